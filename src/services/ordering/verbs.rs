//! What people do to orders: cancel, and the verbs of the fallout queue.

use super::{CancelOutcome, Ordering, VerbRefused, follow};
use crate::domain::activation::{ActivationStep, cause, is_final_for};
use crate::domain::ids::{OrderId, SagaId};
use crate::domain::ordering::{Note, Order, OrderState};
use crate::domain::time::Timestamp;
use crate::ports::relational::{Page, Paged, StoreError, Stored, Write};
use crate::saga::{self, Phase, SagaEvent, SagaRecord, SagaStoreError, StepSpec, VerbError};
use crate::telemetry::metrics;

/// What may be done with an order in fallout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FalloutVerb {
    /// Run the step again.
    Retry,
    /// The step was done by hand: go on after it. Refused for steps that the
    /// gateway's own records come from ([`ActivationStep::may_be_skipped`]).
    Skip,
    /// Undo everything; the order fails.
    Fail,
}

impl FalloutVerb {
    /// For logs and REST.
    pub const fn as_str(self) -> &'static str {
        match self {
            FalloutVerb::Retry => "retry",
            FalloutVerb::Skip => "skip",
            FalloutVerb::Fail => "fail",
        }
    }
}

/// An order that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallout {
    /// Which.
    pub order: OrderId,
    /// Cause code.
    pub cause: String,
    /// For people.
    pub reason: String,
    /// The step that is stuck.
    pub step: String,
    /// Whether it was being undone.
    pub undoing: bool,
    /// Since when.
    pub since: Timestamp,
}

impl Ordering {
    /// Asks to cancel an order: it is judged, and where it can be taken back it
    /// is being undone when this returns; `cancelled` follows once the elements
    /// are as before. Against a completion at the same time there is one winner.
    ///
    /// # Errors
    /// [`VerbRefused::WrongState`] when the order has ended or is being undone
    /// already, [`VerbRefused::TooLate`] past the point of no return.
    pub async fn cancel(&self, id: &OrderId, reason: &str) -> Result<CancelOutcome, VerbRefused> {
        let order = self
            .with_saga(id, "cancel", |order, saga, now| {
                if is_past_return(order, saga) {
                    return Err(VerbRefused::TooLate { order: order.id.clone() });
                }
                let stuck = stuck_cause(saga);
                let events =
                    saga::request_cancel(saga, cause::CANCELLED, "customer", now).map_err(|e| refused(order, &e))?;
                order.cancellation_reason = Some(reason.to_owned());
                Ok(Moved {
                    events,
                    states: vec![OrderState::AssessingCancellation, OrderState::PendingCancellation],
                    left_fallout: stuck,
                })
            })
            .await?;
        Ok(CancelOutcome { order })
    }

    /// Steps in for an order in fallout.
    ///
    /// # Errors
    /// [`VerbRefused::WrongState`] when it is not in fallout, or is stuck while
    /// being undone and asked to fail.
    pub async fn intervene(&self, id: &OrderId, verb: FalloutVerb, by: &str) -> Result<Order, VerbRefused> {
        self.with_saga(id, verb.as_str(), |order, saga, now| {
            let stuck = stuck_cause(saga);
            if verb == FalloutVerb::Skip && !may_skip(saga) {
                return Err(VerbRefused::WrongState { verb: "skip", order: order.id.clone(), state: order.state });
            }
            let done = match verb {
                FalloutVerb::Retry => saga::retry(saga, by, now),
                FalloutVerb::Skip => saga::skip(saga, by, now),
                FalloutVerb::Fail => saga::roll_back(saga, by, now),
            };
            let events = done.map_err(|e| refused(order, &e))?;
            order.notes.push(Note { at: now, author: by.to_owned(), text: format!("fallout: {}", verb.as_str()) });
            let states = if order.state == OrderState::Held { vec![OrderState::InProgress] } else { vec![] };
            Ok(Moved { events, states, left_fallout: stuck })
        })
        .await
    }

    /// Orders that wait for a person, oldest first.
    pub async fn fallout(&self, page: Page) -> Stored<Paged<Fallout>> {
        let stuck = self.store.stuck_sagas(page).await?;
        let mut items = Vec::with_capacity(stuck.items.len());
        for saga in stuck.items {
            let Phase::Stuck { step, cause, undoing, .. } = &saga.phase else { continue };
            let last = self.store.saga_log(&saga.id).await?.into_iter().next_back();
            items.push(Fallout {
                order: OrderId::from(saga.id.as_str()),
                cause: cause.clone(),
                reason: saga.waiting_for.clone().unwrap_or_default(),
                step: saga.steps.get(*step).map_or_else(String::new, |s| s.name.clone()),
                undoing: *undoing,
                since: last.map_or(saga.created, |e| e.at),
            });
        }
        Ok(Paged { items, total: stuck.total })
    }

    /// Counts the fallout queue into its metric anew; once at start.
    pub async fn count_fallout(&self) -> Stored<()> {
        metrics().fallout.reset();
        let mut page = Page { offset: 0, limit: 1_000 };
        loop {
            let stuck = self.store.stuck_sagas(page).await?;
            for cause in stuck.items.iter().filter_map(stuck_cause) {
                metrics().fallout.with_label_values(&[cause::label(&cause)]).inc();
            }
            page.offset += page.limit;
            if page.offset >= stuck.total {
                return Ok(());
            }
        }
    }

    /// Changes an order and its saga in one guarded save, then wakes the saga.
    async fn with_saga(
        &self,
        id: &OrderId,
        verb: &'static str,
        change: impl Fn(&mut Order, &mut SagaRecord, Timestamp) -> Result<Moved, VerbRefused> + Send + Sync,
    ) -> Result<Order, VerbRefused> {
        let saga_id = SagaId::from(id.as_str());
        let mut left = self.settings.conflict_retries;
        loop {
            let Some(mut order) = self.store.order(id).await? else {
                return Err(VerbRefused::Unknown(id.clone()));
            };
            let saga = self.store.saga(&saga_id).await?.filter(|_| !order.state.is_final());
            let Some(mut saga) = saga else {
                return Err(VerbRefused::WrongState { verb, order: id.clone(), state: order.state });
            };
            let now = self.clock.now();
            let moved = change(&mut order, &mut saga, now)?;
            let mut writes = Vec::new();
            let state = order.state;
            let wrong = |_: SagaStoreError| VerbRefused::WrongState { verb, order: id.clone(), state };
            for next in &moved.states {
                follow::move_order(&mut order, *next, now, self.settings.sms_language, &mut writes).map_err(wrong)?;
            }
            writes.push(Write::Order(order.clone()));
            writes.push(Write::Saga(saga, moved.events));
            match self.store.save(writes).await {
                Ok(()) => {
                    order.version += 1;
                    for state in &moved.states {
                        metrics().orders.with_label_values(&[state.as_str()]).inc();
                    }
                    if let Some(cause) = &moved.left_fallout {
                        metrics().fallout.with_label_values(&[cause::label(cause)]).dec();
                    }
                    self.engine.signal(&saga_id);
                    return Ok(order);
                }
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

struct Moved {
    events: Vec<SagaEvent>,
    states: Vec<OrderState>,
    left_fallout: Option<String>,
}

fn stuck_cause(saga: &SagaRecord) -> Option<String> {
    match &saga.phase {
        Phase::Stuck { cause, .. } => Some(cause.clone()),
        _ => None,
    }
}

fn refused(order: &Order, e: &VerbError) -> VerbRefused {
    VerbRefused::WrongState { verb: e.verb, order: order.id.clone(), state: order.state }
}

fn may_skip(saga: &SagaRecord) -> bool {
    let Phase::Stuck { step, .. } = saga.phase else { return false };
    let step = saga.steps.get(step).and_then(|spec| spec.name.parse::<ActivationStep>().ok());
    step.is_some_and(ActivationStep::may_be_skipped)
}

/// Whether a step that cannot be taken back may have been begun, or everything is done.
fn is_past_return(order: &Order, saga: &SagaRecord) -> bool {
    let (Phase::Forward { step: at } | Phase::Stuck { step: at, .. }) = saga.phase else { return false };
    let first = saga.steps.iter().position(|spec| is_final_step(order, spec)).unwrap_or(saga.steps.len());
    at >= first
}

fn is_final_step(order: &Order, spec: &StepSpec) -> bool {
    let Ok(step) = spec.name.parse::<ActivationStep>() else { return false };
    let item = spec.input["item"].as_str().and_then(|id| order.items.iter().find(|i| i.id == id));
    item.is_some_and(|item| is_final_for(step, item.kind))
}
