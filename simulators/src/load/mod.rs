//! Load on every listener of the gateway: bounded in count and in time, with
//! progress on stderr and a summary that serialises to JSON.
//!
//! Latency is measured in the client, from the moment a request was due (with a
//! rate) or sent (without) to its answer.

mod desired;
mod gy;
mod histogram;
mod idle;
mod mqtt;
mod orders;
mod process;
mod storm;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use desired::{DesiredLoad, DesiredSummary, run as run_desired};
pub use gy::{GyLoad, run as run_gy};
pub use histogram::Histogram;
pub use idle::{IdleLoad, IdleProtocol, IdleSummary, run as run_idle};
pub use mqtt::{MqttLoad, run as run_mqtt};
pub use orders::{OrderLoad, run as run_orders};
pub use process::{cpu_us, rss_bytes};
pub use storm::{Served, StormLoad, StormSummary, reconnect, run as run_storm};

/// When a load stops by itself: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Units of work (requests, records, orders); 0 for no limit.
    pub count_max: u64,
    /// Time; always finite.
    pub time_max: Duration,
    /// Units a second over all connections; `None` as fast as answers come.
    pub rate: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { count_max: 0, time_max: Duration::from_secs(10), rate: None }
    }
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

impl From<&Histogram> for Latency {
    fn from(counts: &Histogram) -> Self {
        Self { p50: counts.quantile(500), p99: counts.quantile(990), p999: counts.quantile(999), max: counts.max() }
    }
}

/// What a load did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `gy`, `mqtt` or `orders`.
    pub kind: &'static str,
    /// Answered units.
    pub answered: u64,
    /// Sent and never answered.
    pub unanswered: u64,
    /// Time that it took, milliseconds.
    pub elapsed_ms: u64,
    /// Answered units a second.
    pub rate_per_second: u64,
    /// Latency, microseconds.
    pub latency_us: Latency,
    /// How often each result came: Result-Code, reason code or HTTP status.
    pub result_codes: BTreeMap<String, u64>,
    /// Result codes of rating groups, where there are any.
    pub group_codes: BTreeMap<String, u64>,
    /// Connections that failed or were lost.
    pub errors: u64,
    /// Units that were due and not sent, because too many were unanswered.
    pub shed: u64,
    /// CPU time of the server for each answered unit, nanoseconds, where its
    /// process was named and could be read.
    pub server_cpu_ns_per_unit: Option<u64>,
    /// Its CPU time in all, microseconds.
    pub server_cpu_us: Option<u64>,
    /// Its resident memory at the end, bytes.
    pub server_rss_bytes: Option<u64>,
}

/// What one connection's task counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) unanswered: u64,
    pub(crate) errors: u64,
    pub(crate) shed: u64,
    pub(crate) latency: Histogram,
    pub(crate) codes: BTreeMap<u32, u64>,
    pub(crate) group_codes: BTreeMap<u32, u64>,
}

impl Tally {
    fn merge(&mut self, other: &Tally) {
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.errors += other.errors;
        self.shed += other.shed;
        self.latency.merge(&other.latency);
        for (into, from) in [(&mut self.codes, &other.codes), (&mut self.group_codes, &other.group_codes)] {
            for (code, count) in from {
                *into.entry(*code).or_default() += count;
            }
        }
    }
}

/// The part of a load that its tasks share.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) bounds: Bounds,
    pub(crate) began: Instant,
    started: AtomicU64,
    answered: AtomicU64,
}

impl Course {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, began: crate::clock::now(), started: AtomicU64::new(0), answered: AtomicU64::new(0) })
    }

    /// Whether no new unit may start.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let count = self.bounds.count_max;
        now.duration_since(self.began) >= self.bounds.time_max
            || (count > 0 && self.started.load(Ordering::Relaxed) >= count)
    }

    /// Takes the right to start one unit.
    pub(crate) fn start_one(&self, now: Instant) -> bool {
        if self.is_over(now) {
            return false;
        }
        let count = self.bounds.count_max;
        count == 0 || self.started.fetch_add(1, Ordering::Relaxed) < count
    }

    pub(crate) fn answered(&self, units: u64) {
        self.answered.fetch_add(units, Ordering::Relaxed);
    }
}

/// The moments at which units of one task are due.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// One task's share of the rate among `tasks`.
    pub(crate) fn new(rate: Option<u64>, tasks: u64, now: Instant) -> Self {
        let every = rate.map(|rate| Duration::from_nanos(1_000_000_000 * tasks.max(1) / rate.max(1)));
        Self { every, next: now }
    }

    /// The moment that the next unit was due, where it is; without a rate it
    /// always is.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let Some(every) = self.every else { return Some(now) };
        if self.next > now {
            return None;
        }
        let due = self.next;
        self.next += every;
        Some(due)
    }

    /// Gives up what is overdue for longer than `late`; how many units that is.
    pub(crate) fn shed(&mut self, now: Instant, late: Duration) -> u64 {
        let Some(every) = self.every else { return 0 };
        let mut count = 0;
        while now.duration_since(self.next.min(now)) > late {
            self.next += every;
            count += 1;
        }
        count
    }

    /// When to look again; `None` when an answer is all there is to wait for.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }
}

/// Runs the tasks of a load, says how it goes every second, and sums up.
pub(crate) async fn conduct(
    kind: &'static str,
    course: Arc<Course>,
    server_pid: Option<u32>,
    tasks: Vec<tokio::task::JoinHandle<Tally>>,
) -> Summary {
    let cpu_before = server_pid.and_then(cpu_us);
    let progress = tokio::spawn(report(kind, Arc::clone(&course)));
    let mut total = Tally::default();
    for task in tasks {
        match task.await {
            Ok(tally) => total.merge(&tally),
            Err(_) => total.errors += 1,
        }
    }
    progress.abort();
    let elapsed = crate::clock::now().duration_since(course.began);
    let cpu = server_pid.and_then(cpu_us).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let texts = |codes: &BTreeMap<u32, u64>| codes.iter().map(|(code, n)| (code.to_string(), *n)).collect();
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Summary {
        kind,
        answered: total.answered,
        unanswered: total.unanswered,
        elapsed_ms,
        rate_per_second: total.answered * 1000 / elapsed_ms.max(1),
        latency_us: Latency::from(&total.latency),
        result_codes: texts(&total.codes),
        group_codes: texts(&total.group_codes),
        errors: total.errors,
        shed: total.shed,
        server_cpu_ns_per_unit: cpu.and_then(|us| (us * 1000).checked_div(total.answered)),
        server_cpu_us: cpu,
        server_rss_bytes: server_pid.and_then(rss_bytes),
    }
}

async fn report(kind: &'static str, course: Arc<Course>) {
    let mut before = 0;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        second.tick().await;
        let answered = course.answered.load(Ordering::Relaxed);
        eprintln!("{kind}: {answered} answered, {}/s", answered - before);
        before = answered;
    }
}
