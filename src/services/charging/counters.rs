//! Counters of records, looked up once.

use crate::domain::usage::{UsageOutcome, UsageRecord, UsageSource};
use crate::telemetry::metrics;

/// Counts a record by its source and outcome.
pub(super) fn count_record(record: &UsageRecord) {
    for crossing in &record.crossed {
        metrics().usage_thresholds.with_label_values(&[crossing.action.as_str()]).inc();
    }
    let outcome = match record.outcome {
        UsageOutcome::Rated => 0,
        UsageOutcome::Reconciled => 1,
        UsageOutcome::Suspense(_) | UsageOutcome::Recycled(_) | UsageOutcome::Dropped(_) => {
            let labels = [record.key.source().as_str(), record.outcome.as_str()];
            return metrics().usage_records.with_label_values(&labels).inc();
        }
    };
    counter(record.key.source(), outcome).inc();
}

/// Counts a repeated request.
pub(super) fn count_repeated(source: UsageSource) {
    counter(source, 2).inc();
}

/// The counters of the usual outcomes, looked up once.
fn counter(source: UsageSource, outcome: usize) -> &'static prometheus::IntCounter {
    static COUNTERS: std::sync::LazyLock<Vec<prometheus::IntCounter>> = std::sync::LazyLock::new(|| {
        let sources = [UsageSource::Gy, UsageSource::Rf, UsageSource::Modem, UsageSource::File, UsageSource::TopUp];
        let outcomes = ["rated", "reconciled", "repeated"];
        sources
            .iter()
            .flat_map(|s| outcomes.iter().map(|o| metrics().usage_records.with_label_values(&[s.as_str(), o])))
            .collect()
    });
    let source = match source {
        UsageSource::Gy => 0,
        UsageSource::Rf => 1,
        UsageSource::Modem => 2,
        UsageSource::File => 3,
        UsageSource::TopUp => 4,
    };
    &COUNTERS[source * 3 + outcome]
}
