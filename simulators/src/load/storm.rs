//! A storm: every modem of a fleet loses its link in one moment and connects
//! again at once, as after an outage of the gateway. It is over when all are
//! served.
//!
//! A modem is served with its SUBACK, or, where asked, with the desired state
//! that comes on the subscription. Its time runs from the storm's moment, so
//! what it waits in a listen queue, in TLS and for its second try is in it.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Serialize;

use super::process::{cpu_us, rss_bytes};
use super::{Histogram, Latency};
use crate::modem::ModemHandle;
use crate::roster::{Roster, all_online, each};

/// When a modem counts as served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Served {
    /// With its SUBACK.
    #[default]
    Subscribed,
    /// With the desired state too; for a fleet whose every modem has one.
    Desired,
}

impl Served {
    /// How long after a moment the modem was served; `None` where it was not since.
    fn since(self, begun: Instant, modem: &ModemHandle) -> Option<Duration> {
        let after = |at: Option<Instant>| at?.checked_duration_since(begun);
        let subscribed = after(modem.subscribed_at())?;
        match self {
            Served::Subscribed => Some(subscribed),
            // It may come before its SUBACK (MQTT 5.0 section 3.8.4).
            Served::Desired => after(modem.desired_at()).map(|desired| desired.max(subscribed)),
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct StormLoad {
    /// The modems. Their back-off is for those that the gateway turns away.
    pub roster: Roster,
    /// How many.
    pub connections: u64,
    /// Connections opened in a second, before.
    pub per_second: u64,
    /// How long all of them may take to come.
    pub open_max: Duration,
    /// How long they may take to be served again.
    pub served_max: Duration,
    /// When one is served.
    pub served: Served,
    /// Storms, one after the other.
    pub rounds: u32,
    /// The gateway's process, for its CPU time and memory.
    pub server_pid: Option<u32>,
}

/// How one storm went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StormSummary {
    /// Always `storm`.
    pub kind: &'static str,
    /// Modems that lost their link.
    pub modems: u64,
    /// Served in time.
    pub served: u64,
    /// Until the last was, milliseconds; none where not all were.
    pub all_served_ms: Option<u64>,
    /// Until each was, microseconds.
    pub latency_us: Latency,
    /// CPU time of the server meanwhile for each served, microseconds.
    pub server_cpu_us_per_modem: Option<u64>,
    /// Its resident memory at the end, bytes.
    pub server_rss_bytes: Option<u64>,
}

/// Runs it: one summary for each round.
///
/// # Errors
/// Where the modems cannot be started or do not all come online at first.
pub async fn run(config: StormLoad) -> anyhow::Result<Vec<StormSummary>> {
    let fleet = config.roster.start(config.connections, config.per_second).await?;
    let online = all_online(&fleet, config.open_max).await;
    let mut rounds = Vec::new();
    if online == config.connections {
        for _ in 0..config.rounds {
            rounds.push(reconnect(&fleet, config.served, config.served_max, config.server_pid).await);
        }
    }
    fleet.iter().for_each(ModemHandle::shutdown);
    if online < config.connections {
        bail!("storm: {online} of {} modems came online within {:?}", config.connections, config.open_max);
    }
    Ok(rounds)
}

/// Cuts the links of a fleet and waits, at most `wait`, until all are served.
pub async fn reconnect(fleet: &[ModemHandle], served: Served, wait: Duration, server_pid: Option<u32>) -> StormSummary {
    let cpu_before = server_pid.and_then(cpu_us);
    let begun = crate::clock::now();
    fleet.iter().for_each(ModemHandle::come_again);
    let since = |modem: &ModemHandle| served.since(begun, modem);
    // The modems take the times themselves.
    let _late = tokio::time::timeout(wait, each(fleet, |modem| since(modem).is_some())).await;
    let mut times = Histogram::default();
    for time in fleet.iter().filter_map(since) {
        times.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
    let cpu = server_pid.and_then(cpu_us).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let modems = fleet.len() as u64;
    StormSummary {
        kind: "storm",
        modems,
        served: times.count(),
        all_served_ms: (times.count() == modems).then(|| times.max() / 1000),
        latency_us: Latency::from(&times),
        server_cpu_us_per_modem: cpu.and_then(|us| us.checked_div(times.count())),
        server_rss_bytes: server_pid.and_then(rss_bytes),
    }
}
