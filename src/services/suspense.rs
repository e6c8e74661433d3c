//! Usage in suspense: put back into charging after a correction, or given up.
//!
//! A record goes back under its own key, and charging counts it once
//! ([`crate::domain::rating::recycle`]). Its row turns to recycled in the very
//! save that brings the counted record out of the hot log, so a crash anywhere
//! leaves it either open, to be recycled again, or recycled. Does **not** judge
//! records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::usage_events::USAGE_STATE_CHANGE;
use super::usage_tmf::suspended;
use crate::domain::notification::Happening;
use crate::domain::rating::request::{ChargeAnswer, Outcome};
use crate::domain::usage::{SuspenseReason, UsageOutcome, UsageRecord};
use crate::ports::Clock;
use crate::ports::intake::{IntakeError, RecycleIntake};
use crate::ports::relational::{
    Relational, StoreError, StoredUsage, SuspenseCase, SuspenseNote, SuspenseVerb, UsageFilter, Write,
};
use crate::telemetry::metrics;

/// Limits of recycling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SuspenseSettings {
    /// Records that are recycled at once, at least 1.
    pub outstanding_max: usize,
    /// Records recycled in a second at most, at least 1.
    pub records_per_s: u32,
    /// Records that one request recycles at most.
    pub records_max: u64,
    /// How often what waits is counted for the metrics, seconds, at least 1.
    pub watch_s: u64,
}

impl Default for SuspenseSettings {
    fn default() -> Self {
        Self { outstanding_max: 64, records_per_s: 1000, records_max: 1_000_000, watch_s: 30 }
    }
}

/// What came of recycling one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recycled {
    /// Counted now.
    Counted,
    /// Counted before; nothing moved.
    CountedBefore,
    /// Stays in suspense, for this reason.
    Stays(SuspenseReason),
    /// Charging did not take it; it is open as before.
    Failed(String),
}

impl Recycled {
    /// For metrics and REST.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Recycled::Counted => "counted",
            Recycled::CountedBefore => "counted-before",
            Recycled::Stays(_) => "stays",
            Recycled::Failed(_) => "failed",
        }
    }

    /// Why it was not counted.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Recycled::Counted | Recycled::CountedBefore => None,
            Recycled::Stays(reason) => Some(reason.as_str()),
            Recycled::Failed(reason) => Some(reason),
        }
    }
}

/// What came of recycling many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecycleReport {
    /// Records looked at.
    pub records: u64,
    /// By what came of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Whether the limit of one request cut it off: ask again.
    pub more: bool,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum SuspenseError {
    /// No such record is or was in suspense.
    #[error("usage {key}/{rating_group} was never in suspense")]
    Unknown {
        /// Its key.
        key: String,
        /// Its rating group.
        rating_group: u32,
    },
    /// It is not open any more.
    #[error("usage {key}/{rating_group} is {state}, and no longer in suspense")]
    Closed {
        /// Its key.
        key: String,
        /// Its rating group.
        rating_group: u32,
        /// `recycled` or `dropped`.
        state: &'static str,
    },
    /// Many are being recycled already.
    #[error("records of suspense are being recycled already; wait until that is done")]
    Busy,
    /// Charging did not answer.
    #[error(transparent)]
    Charging(#[from] IntakeError),
    /// The store could not read or save.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hears of each record what came of it.
#[async_trait::async_trait]
pub trait RecycleListener: Send + Sync {
    /// One more is done.
    async fn recycled(&self, record: &UsageRecord, outcome: &Recycled);
}

/// Recycles and drops.
pub struct Suspense {
    store: Arc<dyn Relational>,
    intake: Arc<dyn RecycleIntake>,
    clock: Arc<dyn Clock>,
    settings: SuspenseSettings,
    many: tokio::sync::Mutex<()>,
}

/// Records read, and noted, at a time.
const CHUNK: u64 = 256;
/// Tries to hand a record over while charging is busy, and the pause between them.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

impl Suspense {
    /// Over the store and charging.
    pub fn new(
        store: Arc<dyn Relational>,
        intake: Arc<dyn RecycleIntake>,
        clock: Arc<dyn Clock>,
        settings: SuspenseSettings,
    ) -> Self {
        Self { store, intake, clock, settings, many: tokio::sync::Mutex::new(()) }
    }

    /// One record, open or not.
    pub async fn case(&self, key: &str, rating_group: u32) -> Result<SuspenseCase, SuspenseError> {
        let found = self.store.suspense_case(key, rating_group).await?;
        found.ok_or_else(|| SuspenseError::Unknown { key: key.to_owned(), rating_group })
    }

    /// Puts one record back into charging. When this returns its row says what came of it.
    pub async fn recycle(&self, key: &str, rating_group: u32, by: &str) -> Result<Recycled, SuspenseError> {
        self.intake.settled().await?;
        let record = open(self.case(key, rating_group).await?.record)?;
        let outcome = recycle(&*self.intake, record.clone()).await;
        let closed = self.close(vec![(record, outcome)], by).await?;
        self.intake.settled().await?;
        let outcome = closed.into_iter().next().map(|(_, outcome)| outcome);
        outcome.ok_or_else(|| SuspenseError::Unknown { key: key.to_owned(), rating_group })
    }

    /// Puts every open record that `filter` finds back into charging, in the order in
    /// which they came; live usage goes first.
    pub async fn recycle_many(
        &self,
        filter: UsageFilter,
        by: &str,
        listener: &dyn RecycleListener,
    ) -> Result<RecycleReport, SuspenseError> {
        let Ok(_alone) = self.many.try_lock() else { return Err(SuspenseError::Busy) };
        self.intake.settled().await?;
        let mut report = RecycleReport::default();
        let mut after = 0;
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.settings.records_per_s.max(1));
        loop {
            let chunk = self.store.usage_after(&filter, after, CHUNK).await?;
            let Some(last) = chunk.last() else { break };
            after = last.sequence;
            let mut under_way = JoinSet::new();
            let mut done = Vec::with_capacity(chunk.len());
            for StoredUsage { record, .. } in chunk {
                if report.records == self.settings.records_max {
                    report.more = true;
                    break;
                }
                report.records += 1;
                if under_way.len() >= self.settings.outstanding_max.max(1) {
                    done.extend(under_way.join_next().await.and_then(Result::ok));
                }
                pace.tick().await;
                let intake = Arc::clone(&self.intake);
                under_way.spawn(async move {
                    let outcome = recycle(&*intake, record.clone()).await;
                    (record, outcome)
                });
            }
            while let Some(joined) = under_way.join_next().await {
                done.extend(joined.ok());
            }
            for (record, outcome) in self.close(done, by).await? {
                *report.outcomes.entry(outcome.as_str()).or_default() += 1;
                listener.recycled(&record, &outcome).await;
            }
            if report.more {
                break;
            }
        }
        self.intake.settled().await?;
        Ok(report)
    }

    /// Gives one record up, with the reason why.
    pub async fn give_up(&self, key: &str, rating_group: u32, by: &str, why: &str) -> Result<(), SuspenseError> {
        let record = open(self.case(key, rating_group).await?.record)?;
        let Some(reason) = record.outcome.reason() else { return Ok(()) };
        let note = self.note(&record, SuspenseVerb::Dropped(reason), by, why);
        let left = self.left(&record, UsageOutcome::Dropped(reason));
        match self.store.save(vec![Write::Suspense(note), left]).await {
            Err(StoreError::Conflict { .. }) => {
                let state = self.case(key, rating_group).await?.record.outcome.as_str();
                Err(SuspenseError::Closed { key: key.to_owned(), rating_group, state })
            }
            done => {
                metrics().suspense_verbs.with_label_values(&["dropped"]).inc();
                Ok(done?)
            }
        }
    }

    /// Notes what came of some records.
    async fn close(
        &self,
        done: Vec<(UsageRecord, Recycled)>,
        by: &str,
    ) -> Result<Vec<(UsageRecord, Recycled)>, SuspenseError> {
        if done.iter().any(|(_, outcome)| *outcome == Recycled::CountedBefore) {
            self.intake.settled().await?;
        }
        let mut closed = Vec::with_capacity(done.len());
        let mut notes = Vec::with_capacity(done.len());
        for (record, mut outcome) in done {
            if outcome == Recycled::CountedBefore {
                outcome = self.counted_before(&record, by).await?;
            } else {
                let came = format!("{} {}", outcome.as_str(), outcome.reason().unwrap_or(""));
                notes.push(Write::Suspense(self.note(&record, SuspenseVerb::Recycled, by, came.trim_end())));
            }
            metrics().suspense_verbs.with_label_values(&[outcome.as_str()]).inc();
            closed.push((record, outcome));
        }
        self.store.save(notes).await?;
        Ok(closed)
    }

    /// Closes a record that was counted before. Where an account has judged it since it
    /// was read, its key says nothing any more: only its newest row tells how to
    /// recycle it, and the next try does.
    async fn counted_before(&self, record: &UsageRecord, by: &str) -> Result<Recycled, SuspenseError> {
        let newest = self.case(&record.key.to_string(), record.rating_group).await?.record;
        match newest.outcome {
            UsageOutcome::Suspense(_) if newest.is_judged() != record.is_judged() => {
                Ok(Recycled::Failed("judged by its account meanwhile; recycle it again".to_owned()))
            }
            UsageOutcome::Suspense(reason) => {
                let note = self.note(record, SuspenseVerb::CountedBefore(reason), by, "");
                let left = self.left(record, UsageOutcome::Recycled(reason));
                self.store.save(vec![Write::Suspense(note), left]).await?;
                Ok(Recycled::CountedBefore)
            }
            _ => Ok(Recycled::CountedBefore),
        }
    }

    /// `UsageStateChangeEvent` of what a person has closed, and no record that is counted now
    /// ([`super::usage_events`]).
    fn left(&self, record: &UsageRecord, outcome: UsageOutcome) -> Write {
        let record = UsageRecord { outcome, ..record.clone() };
        Write::Happening(Happening {
            event_type: USAGE_STATE_CHANGE.to_owned(),
            at: self.clock.now(),
            order: None,
            line: record.line.clone(),
            customer: None,
            event: serde_json::json!({ "usage": suspended(&record) }),
        })
    }

    /// Closes a record whose row was corrected by hand, by what came of it.
    pub async fn corrected(
        &self,
        record: UsageRecord,
        answer: &ChargeAnswer,
        by: &str,
    ) -> Result<Recycled, SuspenseError> {
        let mut outcome = outcome_of(answer);
        if matches!(outcome, Recycled::Counted | Recycled::CountedBefore) {
            self.intake.settled().await?;
            // Under another id the counted record does not turn this one.
            self.counted_before(&record, by).await?;
        } else {
            let closed = self.close(vec![(record, outcome)], by).await?.into_iter().next();
            outcome = closed.map_or(Recycled::CountedBefore, |(_, outcome)| outcome);
        }
        Ok(outcome)
    }

    /// One record that is open.
    pub async fn open_case(&self, key: &str, rating_group: u32) -> Result<UsageRecord, SuspenseError> {
        self.intake.settled().await?;
        open(self.case(key, rating_group).await?.record)
    }

    fn note(&self, record: &UsageRecord, verb: SuspenseVerb, by: &str, note: &str) -> SuspenseNote {
        SuspenseNote {
            key: record.key.clone(),
            rating_group: record.rating_group,
            at: self.clock.now(),
            by: by.to_owned(),
            verb,
            note: note.to_owned(),
        }
    }

    /// Keeps the metrics of what waits, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        let pause = Duration::from_secs(self.settings.watch_s.max(1));
        loop {
            match self.store.suspense_ages().await {
                Ok(ages) => {
                    let now = self.clock.now();
                    for reason in SuspenseReason::ALL {
                        let age = ages.iter().find(|age| age.reason == reason);
                        let (records, oldest) = age.map_or((0, 0), |a| (a.records, now.since(a.oldest).as_secs()));
                        let label = [reason.as_str()];
                        metrics().suspense_records.with_label_values(&label).set(gauge(records));
                        metrics().suspense_oldest_seconds.with_label_values(&label).set(gauge(oldest));
                    }
                }
                Err(error) => tracing::warn!(%error, "count what waits in suspense"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn open(record: UsageRecord) -> Result<UsageRecord, SuspenseError> {
    match record.outcome {
        UsageOutcome::Suspense(_) => Ok(record),
        closed => Err(SuspenseError::Closed {
            key: record.key.to_string(),
            rating_group: record.rating_group,
            state: closed.as_str(),
        }),
    }
}

/// Waits while charging is busy, a bounded number of times.
async fn recycle(intake: &dyn RecycleIntake, record: UsageRecord) -> Recycled {
    for _ in 0..BUSY_TRIES {
        match intake.recycle(record.clone()).await {
            Err(IntakeError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(failed) => return Recycled::Failed(failed.to_string()),
            Ok(answer) => return outcome_of(&answer),
        }
    }
    Recycled::Failed(IntakeError::Busy.to_string())
}

fn outcome_of(answer: &ChargeAnswer) -> Recycled {
    match answer {
        ChargeAnswer { repeated: true, .. } => Recycled::CountedBefore,
        ChargeAnswer { suspense: Some(reason), .. } => Recycled::Stays(*reason),
        ChargeAnswer { outcome: Outcome::Success, .. } => Recycled::Counted,
        // The account has forgotten the line.
        _ => Recycled::Stays(SuspenseReason::UnknownLine),
    }
}
