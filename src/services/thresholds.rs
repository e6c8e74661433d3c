//! What the gateway does itself about a threshold of usage: suspend the line, or call
//! its sessions back for slower quota.
//!
//! Follows the stream of happenings with a cursor of its own. A suspension is an
//! order like any other, under the external id `threshold/<line>/<cycle>/<rule>`: so
//! it is placed once, however often the event is read, and is seen, cancelled and
//! undone where orders are. How slow a line is follows from what it has used
//! ([`crate::domain::rating`]); here its clients are only asked to come for the quota
//! that says so. `notify` is for whoever listens.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::activation::reauthorize;
use super::ordering::{Idempotency, Ordering, SubmitError};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{LineId, PlanId};
use crate::domain::line::Line;
use crate::domain::notification::USAGE_THRESHOLD;
use crate::domain::ordering::Note;
use crate::domain::request::{ItemAction, NewItem, NewOrder, RequestedState};
use crate::domain::tariff::{SharedTariff, ThresholdAction};
use crate::domain::time::Timestamp;
use crate::ports::charging::LineCharging;
use crate::ports::network::Elements;
use crate::ports::relational::{LineFilter, Page, Relational, Stored, StreamedHappening, Write};
use crate::telemetry::metrics;

/// Name of the stored cursor.
const CURSOR: &str = "thresholds.cursor";

/// Section `[thresholds]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdSettings {
    /// Looks for thresholds that were reached this often, milliseconds.
    pub poll_ms: u64,
    /// Happenings read at once.
    pub batch: u64,
    /// Looks at a line that has no room for another order before its suspension is given up.
    pub busy_tries: u32,
    /// Lines of an account that are called back at most when its pool reaches a threshold.
    pub pool_lines_max: u64,
}

impl Default for ThresholdSettings {
    fn default() -> Self {
        Self { poll_ms: 1_000, batch: 256, busy_tries: 60, pool_lines_max: 1_000 }
    }
}

/// What a session is called back with.
#[derive(Clone)]
pub struct Recall {
    /// Knows the open sessions.
    pub charging: Arc<dyn LineCharging>,
    /// Reaches their clients.
    pub elements: Arc<dyn Elements>,
    /// Says what a rule slows down.
    pub tariff: SharedTariff,
}

/// The service.
pub struct Thresholds {
    store: Arc<dyn Relational>,
    ordering: Arc<Ordering>,
    recall: Recall,
    settings: ThresholdSettings,
    /// The last happening that was looked at.
    cursor: u64,
    /// Tries of the one behind it.
    tries: u32,
}

/// What is read of a threshold's event.
#[derive(Deserialize)]
struct Reached {
    threshold: String,
    action: String,
    line: LineId,
    plan: Option<PlanId>,
    cycle: CycleId,
    record: String,
}

impl Thresholds {
    /// Goes on where it was, the first time where the outbox is: what has happened
    /// before that is nobody's order any more.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn open(
        store: Arc<dyn Relational>,
        ordering: Arc<Ordering>,
        recall: Recall,
        settings: ThresholdSettings,
    ) -> Stored<Self> {
        let cursor = match store.meta(CURSOR).await?.and_then(|text| text.parse().ok()) {
            Some(cursor) => cursor,
            None => {
                let first = store.fan_out_cursor().await?;
                store.save(vec![cursor_at(first)]).await?;
                first
            }
        };
        Ok(Self { store, ordering, recall, settings, cursor, tries: 0 })
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let pause = Duration::from_millis(self.settings.poll_ms.max(1));
        while !stop.is_cancelled() {
            let is_full = match self.step().await {
                Ok(read) => read >= self.settings.batch.max(1),
                Err(error) => {
                    tracing::warn!(%error, "carry thresholds out; tried again soon");
                    false
                }
            };
            if is_full {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Orders what the next happenings ask for; says how many it has done with.
    ///
    /// # Errors
    /// The store did not take it; the next step repeats what is left.
    pub async fn step(&mut self) -> Stored<u64> {
        let fresh = self.store.happenings_after(self.cursor, self.settings.batch.max(1)).await?;
        let (mut done, mut last) = (0, self.cursor);
        for streamed in &fresh {
            if !self.look_at(streamed).await? {
                break;
            }
            (done, last) = (done + 1, streamed.sequence);
        }
        if last > self.cursor {
            self.store.save(vec![cursor_at(last)]).await?;
            self.cursor = last;
        }
        Ok(done)
    }

    /// Does what one happening asks for; `false` where it has to wait.
    async fn look_at(&mut self, streamed: &StreamedHappening) -> Stored<bool> {
        let Some(reached) = reached(streamed) else { return Ok(true) };
        if reached.action == ThresholdAction::Throttle.as_str() {
            self.call_back(&reached, streamed.happening.at).await?;
            return Ok(true);
        }
        if reached.action != ThresholdAction::Suspend.as_str() {
            return Ok(true);
        }
        let outcome = match self.suspend(&reached, streamed).await {
            Err(SubmitError::Store(error)) => return Err(error),
            Err(SubmitError::Busy { .. }) if self.tries < self.settings.busy_tries => {
                self.tries += 1;
                return Ok(false);
            }
            // It has ended meanwhile.
            Err(SubmitError::Illegal { .. }) => "already",
            Err(error) => {
                let (line, threshold) = (&reached.line, &reached.threshold);
                tracing::error!(%line, threshold, %error, "the line is not suspended: order it by hand");
                "refused"
            }
            Ok(outcome) => outcome,
        };
        self.tries = 0;
        metrics().threshold_orders.with_label_values(&[outcome]).inc();
        Ok(true)
    }

    /// Asks the sessions of every line that the rule slows down to come back for quota.
    /// One that is not reached comes when its Validity-Time is over.
    async fn call_back(&self, reached: &Reached, at: Timestamp) -> Stored<()> {
        let book = self.recall.tariff.book();
        let plan = reached.plan.as_ref().and_then(|plan| book.plan_at(plan, at));
        let Some(usage) = plan.and_then(|plan| plan.usage.as_ref()) else { return Ok(()) };
        let rule = usage.thresholds.iter().find(|rule| rule.name == reached.threshold && rule.throttle.is_some());
        let (Some(rule), Some(line)) = (rule, self.store.line(&reached.line).await?) else { return Ok(()) };
        let lines = match usage.pool_of(rule) {
            None => vec![line],
            Some(_) => {
                let filter = LineFilter { account: Some(line.account), ..LineFilter::default() };
                self.store.lines(&filter, Page { offset: 0, limit: self.settings.pool_lines_max }).await?.items
            }
        };
        for line in lines {
            self.call_line_back(&line).await;
        }
        Ok(())
    }

    async fn call_line_back(&self, line: &Line) {
        let Recall { charging, elements, .. } = &self.recall;
        let count = |outcome: &str| metrics().threshold_recalls.with_label_values(&[outcome]).inc();
        match reauthorize(&**charging, &**elements, &line.account, &line.id).await {
            Ok(told) => told.into_iter().for_each(|(open, asked)| match asked {
                Ok(true) => count("told"),
                Ok(false) => count("unknown"),
                Err(error) => {
                    tracing::debug!(%error, peer = %open.peer, "call a session back to slow it down");
                    count("unreached");
                }
            }),
            Err(error) => {
                tracing::debug!(%error, line = %line.id, "call a line's sessions back to slow it down");
                count("unreached");
            }
        }
    }

    async fn suspend(&self, reached: &Reached, streamed: &StreamedHappening) -> Result<&'static str, SubmitError> {
        let Reached { threshold, line, cycle, record, .. } = reached;
        let external = format!("threshold/{line}/{cycle}/{threshold}");
        let plan = reached.plan.as_ref().map_or("none", |plan| plan.as_str());
        let order = NewOrder {
            items: vec![suspend_item(line)],
            external_id: Some(external.clone()),
            notes: vec![Note {
                at: streamed.happening.at,
                author: "linegate".to_owned(),
                text: format!("threshold `{threshold}` of plan {plan} was reached in {cycle} by record {record}"),
            }],
            ..NewOrder::default()
        };
        let placed = self.ordering.submit(&order, &Idempotency { key: None, fingerprint: external }).await?;
        Ok(match (placed.replayed, placed.order.state.is_final()) {
            (true, _) => "repeated",
            (false, true) => "already",
            (false, false) => "ordered",
        })
    }
}

/// The threshold that a happening is about.
fn reached(streamed: &StreamedHappening) -> Option<Reached> {
    let happening = Some(&streamed.happening).filter(|h| h.event_type == USAGE_THRESHOLD)?;
    let reached = Reached::deserialize(&happening.event["usageThreshold"]);
    reached.inspect_err(|error| tracing::error!(id = streamed.id, %error, "read a threshold's event")).ok()
}

fn suspend_item(line: &LineId) -> NewItem {
    NewItem {
        id: "1".to_owned(),
        action: ItemAction::Modify,
        service: Some(line.clone()),
        state: Some(RequestedState::Inactive),
        spec: None,
        characteristics: Vec::new(),
        relationships: Vec::new(),
        raw: json!({ "id": line, "state": "inactive" }),
    }
}

fn cursor_at(sequence: u64) -> Write {
    Write::Meta(CURSOR.to_owned(), sequence.to_string())
}
