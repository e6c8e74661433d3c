//! What a process costs, from `/proc` (proc(5)); Linux alone, `None` elsewhere.

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux of our day
/// (`getconf CLK_TCK`), and reading it properly needs a C call.
const TICKS_PER_SECOND: u64 = 100;
/// Page size that `statm` counts in is avoided: `status` has kilobytes.
const RSS_FIELD: &str = "VmRSS:";

/// User and system time of a process, microseconds.
pub fn cpu_us(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    ticks(&stat).map(|ticks| ticks * (1_000_000 / TICKS_PER_SECOND))
}

/// Resident memory of a process, bytes.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(RSS_FIELD))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Fields 14 and 15; the name in field 2 may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_any_name() {
        let check = |stat, expected| assert_eq!(ticks(stat), expected, "{stat}");
        check("7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0", Some(42));
        check("7 (x", None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_process_has_memory() {
        assert!(rss_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
    }
}
