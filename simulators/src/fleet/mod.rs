//! Thousands of modems in one process: quiet, talking, losing their links one
//! by one or all at once.
//!
//! A modem is a task of its own; what the fleet does is decided in one place, a
//! schedule. Usage that was not acknowledged goes again under its key with the
//! next connection, and the fleet's book says of every device how far it came,
//! to be compared with what the gateway counts.

mod schedule;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::Notify;

use crate::load::{Latency, Served, StormSummary, reconnect, rss_bytes};
use crate::modem::{ModemHandle, UsageSample};
use crate::roster::{Roster, all_online};
use schedule::{Act, Schedule};
pub use schedule::{Behaviour, Profile};

/// Messages of usage that a modem of a fleet keeps for want of a PUBACK; more
/// are shed.
const UNACKNOWLEDGED_MAX: usize = 256;
/// Between two lines on stderr.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What to play.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The modems.
    pub roster: Roster,
    /// How many.
    pub count: u64,
    /// Modems that connect in a second; 0 for all at once.
    pub per_second: u64,
    /// How long all of them may take to come. Default 60 s.
    pub open_max: Duration,
    /// What they do.
    pub behaviour: Behaviour,
    /// APN of their usage.
    pub apn: String,
    /// Records in each message of usage. Default 1, which is sent by itself.
    pub batch: usize,
    /// Octets of each record. Default 1000.
    pub octets: u64,
    /// When a modem counts as served in a storm.
    pub served: Served,
    /// How long a storm may take. Default 120 s.
    pub storm_max: Duration,
    /// Of the random times. Default another one each time.
    pub seed: u64,
}

impl FleetConfig {
    /// So many quiet modems.
    pub fn new(roster: Roster, count: u64) -> Self {
        Self {
            roster,
            count,
            per_second: 500,
            open_max: Duration::from_secs(60),
            behaviour: Behaviour::default(),
            apn: "iot.example".into(),
            batch: 1,
            octets: 1000,
            served: Served::default(),
            storm_max: Duration::from_secs(120),
            seed: crate::clock::seed(),
        }
    }
}

/// What a fleet did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FleetSummary {
    /// Always `fleet`.
    pub kind: &'static str,
    /// Of the random times, to have them again.
    pub seed: u64,
    /// Modems.
    pub modems: u64,
    /// Online at the end.
    pub online: u64,
    /// Modems that a desired state ever reached.
    pub with_desired: u64,
    /// Connections that came up to their CONNACK.
    pub connections: u64,
    /// Links cut by the fleet itself, without its storms.
    pub links_lost: u64,
    /// Records of usage sent.
    pub records_sent: u64,
    /// Acknowledged with success.
    pub records_acknowledged: u64,
    /// Acknowledged with a failure.
    pub records_refused: u64,
    /// Without an answer at the end: they may be counted.
    pub records_unacknowledged: u64,
    /// Due and not sent, because too much was unacknowledged.
    pub records_shed: u64,
    /// Octets acknowledged.
    pub octets_acknowledged: u64,
    /// Each storm.
    pub storms: Vec<StormSummary>,
    /// Resident memory of this process for each modem, bytes: at the end, all of it.
    pub client_bytes_per_modem: Option<u64>,
}

/// A running fleet.
#[derive(Debug)]
pub struct Fleet {
    config: FleetConfig,
    modems: Vec<ModemHandle>,
    storm_wanted: Arc<Notify>,
    links_lost: u64,
    records_shed: u64,
    storms: Vec<StormSummary>,
}

impl Fleet {
    /// Starts the modems and waits until they are online, or their time is over:
    /// those that are late keep trying.
    ///
    /// # Errors
    /// Those of [`Roster::start`].
    pub async fn start(mut config: FleetConfig) -> anyhow::Result<Self> {
        config.roster.shared.unacknowledged_max = UNACKNOWLEDGED_MAX;
        config.roster.shared.seed = config.seed;
        let modems = config.roster.start(config.count, config.per_second).await?;
        let online = all_online(&modems, config.open_max).await;
        eprintln!("fleet: {online} of {} online, seed {}", modems.len(), config.seed);
        Ok(Self { config, modems, storm_wanted: Arc::default(), links_lost: 0, records_shed: 0, storms: Vec::new() })
    }

    /// The modems.
    pub fn modems(&self) -> &[ModemHandle] {
        &self.modems
    }

    /// Notified, it makes a storm as soon as the one before is over.
    pub fn storm_trigger(&self) -> Arc<Notify> {
        Arc::clone(&self.storm_wanted)
    }

    /// Does what the fleet does for so long; a storm that has begun is seen to
    /// its end.
    pub async fn play(&mut self, time: Duration) {
        let begun = crate::clock::now();
        let end = begun + time;
        let mut schedule = Schedule::new(self.config.behaviour, self.modems.len(), begun, self.config.seed);
        let mut report = tokio::time::interval(REPORT_EVERY);
        let trigger = self.storm_trigger();
        loop {
            let now = crate::clock::now();
            if now >= end {
                return;
            }
            while let Some(act) = schedule.next(now) {
                self.carry_out(act).await;
            }
            let wake: Instant = schedule.wake().map_or(end, |due| due.min(end));
            tokio::select! {
                () = tokio::time::sleep_until(wake.into()) => {}
                () = trigger.notified() => self.carry_out(Act::Storm).await,
                _ = report.tick() => self.report(),
            }
        }
    }

    async fn carry_out(&mut self, act: Act) {
        match act {
            Act::SendUsage(at) => self.send_usage(at),
            Act::LoseLink(at) => {
                // A modem that is on its way back is left to come.
                if let Some(modem) = self.modems.get(at).filter(|modem| modem.is_online()) {
                    modem.lose_link();
                    self.links_lost += 1;
                }
            }
            Act::Storm => {
                let storm = reconnect(&self.modems, self.config.served, self.config.storm_max, None).await;
                let Latency { p50, p99, max, .. } = storm.latency_us;
                eprintln!(
                    "storm: {} of {} served, p50 {} ms, p99 {} ms, last {} ms",
                    storm.served,
                    storm.modems,
                    p50 / 1000,
                    p99 / 1000,
                    max / 1000
                );
                self.storms.push(storm);
            }
        }
    }

    fn send_usage(&mut self, at: usize) {
        let Some(modem) = self.modems.get(at) else { return };
        let (up, down) = (self.config.octets / 4, self.config.octets - self.config.octets / 4);
        let sample = UsageSample::of_now(&self.config.apn, up, down);
        let sent = match self.config.batch {
            0 | 1 => modem.send_usage(&sample),
            many => modem.send_usage_batch(&vec![sample; many]),
        };
        if sent.is_err() {
            self.records_shed += self.config.batch.max(1) as u64;
        }
    }

    fn report(&self) {
        let summary = self.summary();
        eprintln!(
            "fleet: {} of {} online, {} records sent, {} acknowledged, {} links lost",
            summary.online, summary.modems, summary.records_sent, summary.records_acknowledged, summary.links_lost
        );
    }

    /// Waits, at most so long, until everything that was sent is acknowledged.
    pub async fn settle(&self, wait: Duration) {
        let deadline = crate::clock::now() + wait;
        while self.modems.iter().any(|modem| modem.unacknowledged() > 0) && crate::clock::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it did so far.
    pub fn summary(&self) -> FleetSummary {
        let modems = self.modems.len() as u64;
        let mut summary = FleetSummary {
            kind: "fleet",
            seed: self.config.seed,
            modems,
            online: 0,
            with_desired: 0,
            connections: 0,
            links_lost: self.links_lost,
            records_sent: 0,
            records_acknowledged: 0,
            records_refused: 0,
            records_unacknowledged: 0,
            records_shed: self.records_shed,
            octets_acknowledged: 0,
            storms: self.storms.clone(),
            client_bytes_per_modem: rss_bytes(std::process::id()).and_then(|bytes| bytes.checked_div(modems)),
        };
        for modem in &self.modems {
            let account = modem.account();
            summary.online += u64::from(modem.is_online());
            summary.with_desired += u64::from(modem.desired_version() > 0);
            summary.connections += modem.connections();
            summary.records_sent += account.last_seq;
            summary.records_acknowledged += account.acknowledged_records;
            summary.records_refused += account.refused_records;
            summary.records_unacknowledged += account.unacknowledged_records;
            summary.octets_acknowledged += account.acknowledged_octets;
        }
        summary
    }

    /// Writes a line of CSV for each device: how far its usage came. Every
    /// record up to `acknowledged_seq` has its PUBACK.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_ledger(&self, file: &Path) -> anyhow::Result<()> {
        let writing = || format!("write ledger {}", file.display());
        let mut out = std::io::BufWriter::new(std::fs::File::create(file).with_context(writing)?);
        writeln!(
            out,
            "device,boot,last_seq,acknowledged_seq,acknowledged_records,acknowledged_octets,\
             refused_records,unacknowledged_records,unacknowledged_octets"
        )
        .with_context(writing)?;
        for modem in &self.modems {
            let account = modem.account();
            writeln!(
                out,
                "{},{},{},{},{},{},{},{},{}",
                modem.device(),
                account.boot,
                account.last_seq,
                account.acknowledged_seq,
                account.acknowledged_records,
                account.acknowledged_octets,
                account.refused_records,
                account.unacknowledged_records,
                account.unacknowledged_octets
            )
            .with_context(writing)?;
        }
        out.flush().with_context(writing)
    }

    /// All take leave with DISCONNECT, at most so long.
    pub async fn leave(self, wait: Duration) {
        self.modems.iter().for_each(ModemHandle::take_leave);
        let deadline = crate::clock::now() + wait;
        while self.modems.iter().any(ModemHandle::is_online) && crate::clock::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.modems.iter().for_each(ModemHandle::shutdown);
    }
}
