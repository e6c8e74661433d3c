//! The limit of open files: each connection is one.

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files of the process beside its connections: the runtime's, the log, a ledger.
const OTHERS: u64 = 64;

/// Raises the soft limit of this process where `connections` need it.
///
/// # Errors
/// Where the hard limit is lower: raising that is the caller's shell's to do.
pub(crate) fn allow(connections: u64) -> anyhow::Result<()> {
    let wanted = connections + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= wanted) {
        return Ok(());
    }
    if let Some(hard) = limit.maximum.filter(|hard| *hard < wanted) {
        bail!(
            "open {connections} connections: at most {hard} files may be open here; \
             run `ulimit -n {wanted}` as root first, or set LimitNOFILE={wanted}"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        .with_context(|| format!("raise the limit of open files to {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_beyond_the_hard_limit_says_what_to_do() {
        allow(1).unwrap();
        let Some(hard) = getrlimit(Resource::Nofile).maximum else { return };
        let refused = allow(hard).unwrap_err().to_string();
        assert!(refused.contains("ulimit -n"), "{refused}");
    }
}
