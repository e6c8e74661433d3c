//! Who the modems of a fleet are: the device, token and certificate of the n-th,
//! and the address that it comes from.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::lines::LineRange;
use crate::modem::{Modem, ModemConfig, ModemHandle};
use crate::transport::{TlsSettings, source_of};

/// Between two looks at a modem that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes the settings of modem after modem.
#[derive(Debug, Clone)]
pub struct Roster {
    /// What all of them share; device, token, source and TLS are set for each,
    /// and the seed differs by the number of the modem.
    pub shared: ModemConfig,
    /// What they are called.
    pub names: Names,
    /// What they prove it with, beside a certificate.
    pub tokens: Tokens,
    /// TLS; `None` for plain TCP.
    pub tls: Option<TlsSettings>,
}

/// What the modems of a fleet are called.
#[derive(Debug, Clone)]
pub enum Names {
    /// Device of line n.
    Lines(LineRange),
    /// `PREFIX-1` and so on.
    Prefix(String),
    /// These, in this order.
    Listed(Vec<String>),
}

/// The passwords of a fleet.
#[derive(Debug, Clone)]
pub enum Tokens {
    /// The same for all, or none.
    Shared(Option<String>),
    /// By device.
    Each(HashMap<String, String>),
}

impl Roster {
    /// The devices of these lines on plain TCP, without tokens.
    pub fn of_lines(lines: LineRange, gateway: SocketAddr) -> Self {
        Self {
            shared: ModemConfig::new("", gateway),
            names: Names::Lines(lines),
            tokens: Tokens::Shared(None),
            tls: None,
        }
    }

    /// The settings of modem `n`, from 0.
    ///
    /// # Errors
    /// Where there is no such device, token or certificate.
    pub fn modem(&self, n: u64) -> anyhow::Result<ModemConfig> {
        let device = match &self.names {
            Names::Lines(lines) => lines.device(n),
            Names::Prefix(prefix) => format!("{prefix}-{}", n + 1),
            Names::Listed(names) => usize::try_from(n)
                .ok()
                .and_then(|at| names.get(at))
                .with_context(|| format!("modem {}: the token file names {} devices", n + 1, names.len()))?
                .clone(),
        };
        let token = match &self.tokens {
            Tokens::Shared(token) => token.clone(),
            Tokens::Each(tokens) => Some(
                tokens.get(&device).with_context(|| format!("device {device}: no line in the token file"))?.clone(),
            ),
        };
        let tls = self.tls.as_ref().map(|tls| tls.of_device(&device)).transpose()?;
        let source = source_of(self.shared.gateway, n);
        let seed = self.shared.seed.wrapping_add(n);
        Ok(ModemConfig { device, token, tls, source, seed, ..self.shared.clone() })
    }

    /// Starts the first `count` modems, `per_second` of them a second (0 for all
    /// at once); they connect in the background.
    ///
    /// # Errors
    /// Where one has no settings, a name that is no device id, or the machine
    /// does not allow so many connections; then none is left running.
    pub async fn start(&self, count: u64, per_second: u64) -> anyhow::Result<Vec<ModemHandle>> {
        crate::open_files::allow(count)?;
        let configs: Vec<ModemConfig> = (0..count).map(|n| self.modem(n)).collect::<anyhow::Result<_>>()?;
        let burst = (per_second / 100).max(1);
        let mut fleet: Vec<ModemHandle> = Vec::with_capacity(configs.len());
        for (n, config) in (0..).zip(configs) {
            if per_second > 0 && n > 0 && n % burst == 0 {
                tokio::time::sleep(Duration::from_micros(1_000_000 * burst / per_second)).await;
            }
            let device = config.device.clone();
            match Modem::start(config) {
                Ok(modem) => fleet.push(modem),
                Err(error) => {
                    fleet.iter().for_each(ModemHandle::shutdown);
                    return Err(error).with_context(|| format!("name modem {device:?}"));
                }
            }
        }
        Ok(fleet)
    }
}

/// Reads `device,token` lines; blank ones and those that begin with `#` are
/// passed over. The devices in their order, and their tokens.
///
/// # Errors
/// Where the file cannot be read, a line is no pair, or a device comes twice.
pub fn read_tokens(file: &Path) -> anyhow::Result<(Vec<String>, HashMap<String, String>)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read tokens {}", file.display()))?;
    parse_tokens(&text).with_context(|| format!("read tokens {}", file.display()))
}

fn parse_tokens(text: &str) -> anyhow::Result<(Vec<String>, HashMap<String, String>)> {
    let mut names = Vec::new();
    let mut tokens = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line == "device,token" {
            continue;
        }
        // A token may hold anything, a device no comma.
        let Some((device, token)) = line.split_once(',') else {
            bail!("line {number}: want device,token");
        };
        if tokens.insert(device.to_owned(), token.to_owned()).is_some() {
            bail!("line {number}: device {device} comes twice");
        }
        names.push(device.to_owned());
    }
    Ok((names, tokens))
}

/// Waits until all are online, at most `wait`, with a word on stderr each
/// second; how many are.
pub async fn all_online(fleet: &[ModemHandle], wait: Duration) -> u64 {
    let online = || fleet.iter().filter(|modem| modem.is_online()).count();
    let report = async {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.tick().await;
        loop {
            second.tick().await;
            eprintln!("{} of {} online", online(), fleet.len());
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(wait, each(fleet, ModemHandle::is_online)) => {}
        () = report => {}
    }
    online() as u64
}

/// Waits until each modem has been seen to be `so`. It looks at one after the
/// other, so waiting for thousands takes nothing from what they do.
pub(crate) async fn each(fleet: &[ModemHandle], so: impl Fn(&ModemHandle) -> bool) {
    for modem in fleet {
        while !so(modem) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(names: Names, tokens: Tokens) -> Roster {
        let lines = Roster::of_lines(LineRange::default(), "127.0.0.1:1883".parse().unwrap());
        Roster { names, tokens, ..lines }
    }

    #[test]
    fn modems_are_named_by_line_by_prefix_or_by_list() {
        let check = |names, n, expected: Result<&str, &str>| {
            let made = roster(names, Tokens::Shared(None)).modem(n);
            let made = made.map(|config| config.device).map_err(|error| error.to_string());
            assert_eq!(made, expected.map(str::to_owned).map_err(str::to_owned));
        };
        check(Names::Lines(LineRange::default()), 1, Ok("modem-450080000000002"));
        check(Names::Prefix("meter".into()), 0, Ok("meter-1"));
        check(Names::Listed(vec!["a".into(), "b".into()]), 1, Ok("b"));
        check(Names::Listed(vec!["a".into()]), 1, Err("modem 2: the token file names 1 devices"));
    }

    #[test]
    fn a_device_without_a_token_is_named() {
        let (names, tokens) = parse_tokens("device,token\n# a comment\n\nm-1, t,1\nm-2,t2\n").unwrap();
        assert_eq!(names, ["m-1", "m-2"]);
        let listed = roster(Names::Listed(names), Tokens::Each(tokens.clone()));
        assert_eq!(listed.modem(0).unwrap().token.as_deref(), Some(" t,1"));
        let prefixed = roster(Names::Prefix("m".into()), Tokens::Each(tokens));
        assert_eq!(prefixed.modem(1).unwrap().token.as_deref(), Some("t2"));
        assert_eq!(prefixed.modem(2).unwrap_err().to_string(), "device m-3: no line in the token file");
    }

    #[test]
    fn a_token_file_that_is_wrong_says_where() {
        let check = |text, expected| assert_eq!(parse_tokens(text).unwrap_err().to_string(), expected);
        check("m-1,a\nm-2\n", "line 2: want device,token");
        check("m-1,a\nm-1,b\n", "line 2: device m-1 comes twice");
    }
}
