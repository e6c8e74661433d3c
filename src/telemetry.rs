//! Every metric, declared once, and the set-up of logs.
//!
//! Names are `linegate_<noun>_<unit>[_total]`; labels are bounded: never an
//! IMSI, a session id, an address or an error text.

use std::sync::LazyLock;

use anyhow::Context;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Latencies from 100 µs to 25 s, seconds.
const LATENCY_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 25.0];
/// Sizes of batches, items.
const SIZE_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

struct Builder {
    registry: Registry,
}

impl Builder {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help).expect("a metric is declared with a legal name"))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels).expect("a metric is declared with a legal name"))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help).expect("a metric is declared with a legal name"))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels).expect("a metric is declared with a legal name"))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.keep(Histogram::with_opts(opts).expect("a metric is declared with a legal name"))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(opts, labels).expect("a metric is declared with a legal name"))
    }

    fn keep<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> C {
        self.registry.register(Box::new(collector.clone())).expect("a metric is declared once");
        collector
    }
}

macro_rules! metrics {
    ($($(#[doc = $section:literal])* $field:ident: $kind:ty = $make:ident($name:literal, $help:literal $(, $arg:expr)*);)+) => {
        /// One field for each metric; the help text is the documentation.
        #[allow(missing_docs)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $section])* #[doc = $help] pub $field: $kind,)+
        }

        impl Metrics {
            fn new() -> Self {
                let b = Builder { registry: Registry::new() };
                $(let $field = b.$make($name, $help $(, $arg)*);)+
                Self { registry: b.registry, $($field,)+ }
            }
        }
    };
}

metrics! {
    // Diameter
    diameter_peers_up: IntGauge = gauge("linegate_diameter_peers_up", "Diameter peers whose connection is open.");
    diameter_requests: IntCounterVec = counters("linegate_diameter_requests_total", "Diameter requests received, by command and result code of the answer.", &["command", "result"]);
    diameter_request_seconds: HistogramVec = histograms("linegate_diameter_request_seconds", "Time from a received request to its answer, by command.", &["command"], LATENCY_BUCKETS);
    diameter_sent: IntCounterVec = counters("linegate_diameter_sent_total", "Diameter requests that we sent, by command and outcome.", &["command", "outcome"]);
    diameter_pending: IntGauge = gauge("linegate_diameter_pending_requests", "Requests received and not answered yet, over all peers.");
    diameter_remembered: IntGauge = gauge("linegate_diameter_peers_remembered", "Origin-Hosts that are remembered, with a connection and without.");
    diameter_failovers: IntCounter = counter("linegate_diameter_failovers_total", "Requests of ours sent again, with the T flag, to another peer.");
    diameter_replayed: IntCounter = counter("linegate_diameter_replayed_total", "Repeated requests that got their stored answer by Origin-Host and end-to-end id.");
    diameter_answers_forgotten: IntCounter = counter("linegate_diameter_answers_forgotten_total", "Answers kept for repeats that made room for others before their time.");
    diameter_restarts: IntCounter = counter("linegate_diameter_restarts_total", "Peers whose Origin-State-Id has risen: their sessions were ended.");
    diameter_tolerated: IntCounterVec = counters("linegate_diameter_tolerated_total", "Deviations that lenient peers were forgiven, by command and problem.", &["command", "problem"]);
    s6a_moves: IntCounterVec = counters("linegate_s6a_moves_total", "Subscribers whose former MME was told of a move, by how that ended (told, returned, refused, gave-up, too-many).", &["end"]);
    diameter_refused: IntCounterVec = counters("linegate_diameter_refused_total", "Connections and messages refused at a limit, by reason.", &["reason"]);
    // MQTT
    mqtt_sessions: IntGauge = gauge("linegate_mqtt_sessions", "Modems connected.");
    mqtt_sessions_kept: IntGauge = gauge("linegate_mqtt_sessions_kept", "Sessions kept of modems that are away.");
    mqtt_desired_unsent: IntCounter = counter("linegate_mqtt_desired_unsent_total", "Desired states that a connected modem could not be sent: too large for it, or its queue is full.");
    mqtt_handovers_late: IntCounter = counter("linegate_mqtt_handovers_late_total", "Sessions that a former connection did not hand over in time.");
    mqtt_publishes: IntCounterVec = counters("linegate_mqtt_publishes_total", "Publishes received, by topic kind and outcome.", &["topic", "outcome"]);
    mqtt_refused: IntCounterVec = counters("linegate_mqtt_refused_total", "Connections and packets refused, by reason.", &["reason"]);
    broker_connected: IntGaugeVec = gauges("linegate_broker_connected", "Whether each client is connected to the broker, by role (usage, states, out).", &["role"]);
    broker_reconnects: IntCounterVec = counters("linegate_broker_reconnects_total", "Connections to the broker that ended or did not come up, by role and reason.", &["role", "reason"]);
    broker_unacknowledged_bytes: IntGaugeVec = gauges("linegate_broker_unacknowledged_bytes", "Payload bytes taken from the broker that wait until they are durable.", &["role"]);
    broker_stale_acks: IntCounter = counter("linegate_broker_stale_acks_total", "Messages that became durable after their connection to the broker had ended; the broker sends them again.");
    broker_waiting: IntGaugeVec = gauges("linegate_broker_waiting", "Desired states and receipts that wait to be sent through the broker.", &["kind"]);
    broker_messages: IntCounterVec = counters("linegate_broker_messages_total", "Desired states and receipts sent through the broker, or refused.", &["kind", "outcome"]);
    device_states_retries: IntCounter = counter("linegate_device_states_retries_total", "Times that the store failed to read or keep them, and was tried again.");
    device_states_waiting: IntGauge = gauge("linegate_device_states_waiting_changes", "Changes of modems' presence and reported state, and of MMEs, that wait to be stored.");
    mqtt_lockouts: IntCounter = counter("linegate_mqtt_lockouts_total", "Times that a device name was locked for an address after wrong credentials.");
    tls_certificate_ends: IntGaugeVec = gauges("linegate_tls_certificate_not_after_seconds", "When the first certificate of a listener's own chain ends, seconds since the epoch, by section of the settings.", &["listener"]);
    tls_reloads: IntCounterVec = counters("linegate_tls_reloads_total", "Times that a listener's certificates had changed, by section of the settings and outcome (taken, refused).", &["listener", "outcome"]);
    // Rating
    usage_records: IntCounterVec = counters("linegate_usage_records_total", "Usage records by source and outcome (rated, reconciled, repeated, or the reason of suspense).", &["source", "outcome"]);
    usage_thresholds: IntCounterVec = counters("linegate_usage_thresholds_total", "Thresholds of plans that usage has reached, by what is to be done (notify, throttle, suspend).", &["action"]);
    hot_commits: IntCounter = counter("linegate_hot_commits_total", "Durable writes to the hot store.");
    hot_commit_records: Histogram = histogram("linegate_hot_commit_records", "Requests in one durable write.", SIZE_BUCKETS);
    hot_commit_seconds: Histogram = histogram("linegate_hot_commit_seconds", "Time of one durable write.", LATENCY_BUCKETS);
    hot_changed_accounts: IntGauge = gauge("linegate_hot_changed_accounts", "Changed accounts that the embedded hot store has in memory until its next snapshot.");
    hot_redis_up: IntGaugeVec = gauges("linegate_hot_redis_up", "Whether Redis answers, by connection (writes, reads); absent where the hot store is embedded.", &["link"]);
    hot_relaxed: IntGauge = gauge("linegate_hot_relaxed", "1 where a failing Redis may lose acknowledged usage (hot.redis.durability).");
    hot_losses: IntCounter = counter("linegate_hot_losses_total", "Times that Redis was found without writes that it had acknowledged.");
    shard_queue: IntGaugeVec = gauges("linegate_shard_queue_requests", "Requests that wait for their shard.", &["shard"]);
    shard_refused: IntCounter = counter("linegate_shard_refused_total", "Requests refused because a shard's queue was full.");
    lookups: IntCounterVec = counters("linegate_account_lookups_total", "Sessions and lines that were not known here and were looked for in the store that gateways share, by outcome (found, missed, failed, refused).", &["outcome"]);
    hot_conflicts: IntCounter = counter("linegate_hot_conflicts_total", "Account changes that another gateway was ahead of: decided again.");
    outage_requests: IntCounterVec = counters("linegate_outage_requests_total", "Requests that came while the hot store was away, by source and what became of them (refused, waited, journalled, taken over from a batch under way, left unanswered; and later settled or suspended).", &["source", "outcome"]);
    outage_journal: IntGauge = gauge("linegate_outage_journal_requests", "Requests that were answered while the hot store was away and are not settled yet.");
    outage_journal_age: IntGauge = gauge("linegate_outage_journal_age_seconds", "Age of the oldest of them.");
    outage_granted: IntGauge = gauge("linegate_outage_granted_octets", "Octets granted from the local allowance and not settled yet.");
    sweeps_refused: IntCounter = counter("linegate_session_sweeps_refused_total", "Restarted clients whose lost sessions are not searched for, because too many wait for it.");
    accounts: IntGauge = gauge("linegate_accounts", "Charging accounts.");
    accounts_cached: IntGauge = gauge("linegate_accounts_cached", "Charging accounts in memory; the others are in the hot store alone.");
    accounts_evicted: IntCounter = counter("linegate_accounts_evicted_total", "Charging accounts left to the hot store, because memory is for others.");
    accounts_loaded: IntCounter = counter("linegate_accounts_loaded_total", "Charging accounts read from the hot store when they were needed.");
    sessions: IntGauge = gauge("linegate_charging_sessions", "Charging sessions open.");
    drain_lag: IntGauge = gauge("linegate_drain_lag_entries", "Hot-log entries not yet in the relational store.");
    tariff_polls: IntCounterVec = counters("linegate_tariff_polls_total", "Looks for changes of the tariff in the relational store, by outcome (unchanged, taken, failed, refused).", &["outcome"]);
    // Orders
    orders: IntCounterVec = counters("linegate_orders_total", "Moves of orders into a state, by state.", &["state"]);
    threshold_orders: IntCounterVec = counters("linegate_threshold_orders_total", "Suspensions that thresholds of usage asked for, by outcome (ordered, repeated, already, refused).", &["outcome"]);
    threshold_recalls: IntCounterVec = counters("linegate_threshold_recalls_total", "Sessions that were called back to be slowed down, by outcome (told, unknown, unreached).", &["outcome"]);
    orders_refused: IntCounterVec = counters("linegate_orders_refused_total", "Orders refused, by status.", &["status"]);
    saga_steps: IntCounterVec = counters("linegate_saga_steps_total", "Saga steps by name and outcome.", &["step", "outcome"]);
    sagas_running: IntGauge = gauge("linegate_sagas_running", "Sagas being run at this moment.");
    saga_parked_unindexed: IntCounter = counter("linegate_saga_parked_unindexed_total", "Sagas parked past saga.parked_max: no signal finds them, only their delay.");
    fallout: IntGaugeVec = gauges("linegate_fallout_orders", "Orders that wait for a person, by cause code.", &["cause"]);
    calendar_slots: IntCounterVec = counters("linegate_calendar_slots_total", "Slots of workers' calendars, by what was done (made, changed, withdrawn).", &["outcome"]);
    scheduler_circuit: IntGauge = gauge("linegate_scheduler_circuit_state", "The circuit to the scheduler outside: 0 closed, 1 half-open, 2 open.");
    scheduler_requests: IntCounterVec = counters("linegate_scheduler_requests_total", "Calls to the scheduler outside, by operation (ask, look, cancel) and outcome (answered, failed, shut by the circuit, busy).", &["operation", "outcome"]);
    scheduler_given_up: IntCounterVec = counters("linegate_scheduler_given_up_total", "Visits for which the scheduler outside was not waited for, by what was to be done there (agree: the call list has them; cancel: it may still have them).", &["what"]);
    visits_moved: IntCounterVec = counters("linegate_visits_moved_total", "Agreed visits of workers who could not come, by who has them (worker: another one; call: the call list).", &["to"]);
    // Outbox
    outbox_pending: IntGauge = gauge("linegate_outbox_pending_messages", "Messages of the outbox not yet handed over.");
    deliveries: IntCounterVec = counters("linegate_deliveries_total", "Tries to hand a message over, by channel and outcome.", &["channel", "outcome"]);
    // Month
    invoices: IntCounter = counter("linegate_invoices_total", "Invoices finalised.");
    // Stores and HTTP
    relational_saves: IntCounterVec = counters("linegate_relational_saves_total", "Transactions by outcome.", &["outcome"]);
    relational_save_seconds: Histogram = histogram("linegate_relational_save_seconds", "Time from a save's arrival to its commit.", LATENCY_BUCKETS);
    relational_batch_saves: Histogram = histogram("linegate_relational_batch_saves", "Saves in one commit.", SIZE_BUCKETS);
    relational_queue: IntGauge = gauge("linegate_relational_queue_saves", "Saves that wait for the relational store's writer.");
    rerated_accounts: IntCounterVec = counters("linegate_rerated_accounts_total", "Accounts whose cycle was to be rated again, by what came of it: rerated, unchanged, done-before, refused, failed.", &["outcome"]);
    usage_parts_read: IntCounter = counter("linegate_usage_parts_read_total", "Lines by plan and cycle that the drain had to look up in the relational store: new ones, and those beyond its cache.");
    relational_retries: IntCounter = counter("linegate_relational_retries_total", "Commits tried again because they had to give way to another gateway.");
    suspense_records: IntGaugeVec = gauges("linegate_suspense_records", "Usage records that wait in suspense, by reason.", &["reason"]);
    suspense_oldest_seconds: IntGaugeVec = gauges("linegate_suspense_oldest_seconds", "Age of the usage record that waits longest in suspense, by reason; 0 without any.", &["reason"]);
    suspense_verbs: IntCounterVec = counters("linegate_suspense_verbs_total", "Records of suspense that were recycled or dropped, by what came of it (counted, counted-before, stays, failed, dropped).", &["outcome"]);
    http_connections: IntGauge = gauge("linegate_http_connections", "HTTP connections open.");
    http_requests: IntCounterVec = counters("linegate_http_requests_total", "HTTP requests by route and status.", &["route", "status"]);
    http_request_seconds: HistogramVec = histograms("linegate_http_request_seconds", "Time of an HTTP request, by route.", &["route"], LATENCY_BUCKETS);
}

impl Metrics {
    /// Everything in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Directives of tracing's EnvFilter: `info`, `linegate=debug,info`.
    pub filter: String,
    /// `text` for people, `json` for collectors.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// Log lines go to standard error. Nothing about a subscriber is above DEBUG.
pub fn start_logs(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter)
        .with_context(|| format!("settings: log.filter: `{}` is no filter", settings.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    done.map_err(|error| anyhow::anyhow!("start logs: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_declared_once_with_our_prefix() {
        metrics().hot_commits.inc();
        let text = metrics().render();
        assert!(text.contains("linegate_hot_commits_total 1"), "{text}");
        let names = text.lines().filter(|l| l.starts_with("# TYPE"));
        assert!(names.into_iter().all(|l| l.starts_with("# TYPE linegate_")));
    }
}
