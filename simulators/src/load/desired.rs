//! How fast desired states reach a fleet. The change itself is made elsewhere,
//! by whatever the gateway offers for many lines at once: this load connects the
//! modems, says that it is ready, and measures from the first desired state that
//! comes to the last PUBACK.
//!
//! ```text
//! linegate-sim load desired --connections 10000 --lines 10000 &
//! # after "ready": a bulk change, an import, or orders for these lines:
//! linegate-sim load orders --lines 10000 --concurrency 32
//! ```
//!
//! It is over when every modem had one, or when none came for the quiet time.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use super::process::cpu_us;
use super::{Histogram, Latency};
use crate::modem::ModemHandle;
use crate::roster::{Roster, all_online};

/// Between two looks at the fleet; the modems take the times themselves.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For desired states of old that come with the subscription.
const SETTLE: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug, Clone)]
pub struct DesiredLoad {
    /// The modems.
    pub roster: Roster,
    /// How many.
    pub connections: u64,
    /// Connections opened in a second.
    pub per_second: u64,
    /// How long all of them may take to come.
    pub open_max: Duration,
    /// How long to wait for the first desired state.
    pub first_max: Duration,
    /// It is over when none came for so long.
    pub quiet: Duration,
    /// The gateway's process, for its CPU time.
    pub server_pid: Option<u32>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DesiredSummary {
    /// Always `desired`.
    pub kind: &'static str,
    /// Modems that were connected.
    pub modems: u64,
    /// Of them, those that a new desired state reached.
    pub reached: u64,
    /// From the first to the last PUBACK, milliseconds.
    pub elapsed_ms: u64,
    /// Modems reached in a second.
    pub rate_per_second: u64,
    /// From the first to each, microseconds.
    pub since_first_us: Latency,
    /// CPU time of the server for each reached, microseconds: from before the first.
    pub server_cpu_us_per_modem: Option<u64>,
}

/// Runs it.
///
/// # Errors
/// Where the modems cannot be started or do not all come online, or no desired
/// state comes.
pub async fn run(config: DesiredLoad) -> anyhow::Result<DesiredSummary> {
    let fleet = config.roster.start(config.connections, config.per_second).await?;
    let outcome = measure(&config, &fleet).await;
    fleet.iter().for_each(ModemHandle::shutdown);
    outcome
}

async fn measure(config: &DesiredLoad, fleet: &[ModemHandle]) -> anyhow::Result<DesiredSummary> {
    let online = all_online(fleet, config.open_max).await;
    if online < config.connections {
        bail!("desired: {online} of {} modems came online within {:?}", config.connections, config.open_max);
    }
    tokio::time::sleep(SETTLE).await;
    let cpu_before = config.server_pid.and_then(cpu_us);
    let ready = crate::clock::now();
    eprintln!("desired: ready, {online} modems; change their desired states");
    let reached = || fleet.iter().filter_map(ModemHandle::desired_at).filter(|at| *at > ready);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = crate::clock::now();
        match reached().max() {
            None if now.duration_since(ready) >= config.first_max => {
                bail!("desired: no desired state came within {:?}", config.first_max);
            }
            Some(last) if now.duration_since(last) >= config.quiet => break,
            Some(_) if reached().count() == fleet.len() => break,
            _ => {}
        }
    }
    let first = reached().min().unwrap_or(ready);
    let mut times = Histogram::default();
    for at in reached() {
        times.record(u64::try_from(at.duration_since(first).as_micros()).unwrap_or(u64::MAX));
    }
    let cpu = config.server_pid.and_then(cpu_us).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let elapsed_ms = times.max() / 1000;
    Ok(DesiredSummary {
        kind: "desired",
        modems: config.connections,
        reached: times.count(),
        elapsed_ms,
        rate_per_second: times.count() * 1000 / elapsed_ms.max(1),
        since_first_us: Latency::from(&times),
        server_cpu_us_per_modem: cpu.and_then(|us| us.checked_div(times.count())),
    })
}
