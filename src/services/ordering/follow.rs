//! Keeps an order in step with its saga, in the saga's own transactions: state,
//! timeline, events, SMS, and the lines' queues at the end.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::tmf;
use crate::domain::activation::{ActivationStep, cause};
use crate::domain::ids::{MessageId, OrderId, SagaId};
use crate::domain::line::LineState;
use crate::domain::notification::{
    Body, Happening, Language, Message, ORDER_SMS_TEMPLATE, Recipient, order_sms, sms_number,
};
use crate::domain::ordering::{Milestone, Note, Order, OrderState};
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::relational::{Relational, StoreError, Write};
use crate::saga::{Change, Observer, Phase, Reaction, SagaEventKind, SagaStoreError};
use crate::services::activation::ItemRuns;
use crate::telemetry::metrics;

/// Follows the sagas of orders.
pub struct Follower {
    store: Arc<dyn Relational>,
    clock: Arc<dyn Clock>,
    language: Language,
}

impl Follower {
    /// Writes SMS in `language`.
    pub fn new(store: Arc<dyn Relational>, clock: Arc<dyn Clock>, language: Language) -> Self {
        Self { store, clock, language }
    }

    async fn end(
        &self,
        order: &mut Order,
        change: &Change<'_>,
        reaction: &mut Reaction<Write>,
    ) -> Result<(), SagaStoreError> {
        let failed = match &change.after.phase {
            Phase::Undone { cause } => Some(cause.as_str()),
            _ => None,
        };
        let runs = ItemRuns::of(&change.after.data);
        let end = if failed == Some(cause::CANCELLED) { OrderState::Cancelled } else { OrderState::Failed };
        for item in order.items.iter_mut().filter(|i| !i.state.is_final()) {
            item.state = if failed.is_some() { end } else { OrderState::Completed };
            item.code = match (failed, runs.item(&item.id)) {
                (Some(cause), _) => Some(cause.to_owned()),
                (None, Some(run)) => run.already.clone(),
                (None, None) => None,
            };
            if let (None, Some(run)) = (failed, runs.item(&item.id)) {
                item.profile = run.after.clone();
            }
            let Some(mut line) = self.store.line(&item.line).await.map_err(failure)? else { continue };
            line.queue.retain(|q| q.order != order.id);
            line.intended = line.actual;
            if failed.is_some() && line.actual == LineState::Absent && line.queue.is_empty() {
                // Never in service: what it would have been known by is free again.
                (line.profile.imsi, line.profile.msisdn, line.profile.device) = (None, None, None);
            }
            reaction.wake.extend(line.queue.first().map(|q| SagaId::from(q.order.as_str())));
            reaction.writes.push(Write::Line(line));
        }
        Ok(())
    }
}

#[async_trait]
impl Observer<Write> for Follower {
    async fn changed(&self, change: &Change<'_>) -> Result<Reaction<Write>, SagaStoreError> {
        let mut reaction = Reaction::default();
        let targets = targets(change);
        let done = milestones(change);
        let notes = notes(change);
        if targets.is_empty() && done.is_empty() && notes.is_empty() {
            return Ok(reaction);
        }
        let written = !done.is_empty() || !notes.is_empty() || change.after.phase.is_final();
        let id = OrderId::from(change.after.id.as_str());
        let Some(mut order) = self.store.order(&id).await.map_err(failure)? else { return Ok(reaction) };
        let now = self.clock.now();
        for (name, message) in done {
            order.milestones.push(Milestone { at: now, name: name.to_owned(), message: message.to_owned() });
        }
        order.notes.extend(notes.into_iter().map(|text| Note { at: now, author: "linegate".to_owned(), text }));
        if change.after.phase.is_final() {
            self.end(&mut order, change, &mut reaction).await?;
        }
        let mut moves = Vec::new();
        for target in targets {
            for next in path(order.state, target) {
                move_order(&mut order, next, now, self.language, &mut reaction.writes)?;
                moves.push(next);
            }
        }
        if moves.is_empty() && !written {
            return Ok(reaction);
        }
        reaction.writes.push(Write::Order(order));
        let stuck = match (&change.before.phase, &change.after.phase) {
            (_, Phase::Stuck { cause, .. }) => Some(cause.clone()),
            _ => None,
        };
        reaction.saved = Some(Box::new(move || {
            for state in moves {
                metrics().orders.with_label_values(&[state.as_str()]).inc();
            }
            if let Some(cause) = stuck {
                metrics().fallout.with_label_values(&[cause::label(&cause)]).inc();
            }
        }));
        Ok(reaction)
    }
}

/// Moves an order and says so: one event, and one SMS where there is a telephone.
pub(super) fn move_order(
    order: &mut Order,
    next: OrderState,
    now: Timestamp,
    language: Language,
    writes: &mut Vec<Write>,
) -> Result<(), SagaStoreError> {
    order.become_state(next, now).map_err(|e| SagaStoreError::Failed { reason: e.to_string() })?;
    for item in order.items.iter_mut().filter(|i| !i.state.is_final()) {
        item.state = next;
    }
    if next.is_final() {
        let message = order_sms(next, order.id.as_str(), Language::En);
        order.milestones.push(Milestone { at: now, name: next.as_str().to_owned(), message });
    }
    writes.push(Write::Happening(order_happening("ServiceOrderStateChangeEvent", order, now)));
    writes.extend(sms(order, language, now).map(Write::Message));
    Ok(())
}

/// An event about an order, complete.
pub(super) fn order_happening(event_type: &str, order: &Order, now: Timestamp) -> Happening {
    Happening {
        event_type: event_type.to_owned(),
        at: now,
        order: Some(order.id.clone()),
        line: order.items.first().map(|i| i.line.clone()),
        customer: Some(order.customer.clone()),
        event: json!({ "serviceOrder": tmf::service_order(order) }),
    }
}

/// The SMS about the order's state, where there is a telephone; one for each order, state and template.
pub(super) fn sms(order: &Order, language: Language, now: Timestamp) -> Option<Message> {
    let phone = order.items.iter().find_map(|i| i.profile.phone.as_deref().and_then(sms_number))?;
    let key = format!("sms/{}/{}/{ORDER_SMS_TEMPLATE}", order.id, order.state.as_str());
    let number = order.external_id.as_deref().unwrap_or(order.id.as_str());
    Some(Message {
        id: MessageId::new(&key),
        stream: order.items.first().map_or(order.id.as_str(), |i| i.line.as_str()).to_owned(),
        once_key: Some(key),
        to: Recipient::Sms { phone },
        body: Body::Text { text: order_sms(order.state, number, language) },
        created: now,
    })
}

/// Which states a change of the saga brings its order to, in order.
fn targets(change: &Change<'_>) -> Vec<OrderState> {
    let mut targets = Vec::new();
    // An order that has begun and waits for nothing is in progress already.
    let resumes = |step: usize| step == 0 || change.before.waiting_for.is_some();
    for event in change.events {
        match &event.kind {
            SagaEventKind::Done | SagaEventKind::Undone | SagaEventKind::Failed { .. } if resumes(event.step) => {
                targets.push(OrderState::InProgress);
            }
            // Before its turn an order stays acknowledged.
            SagaEventKind::Waits { .. } if event.step > 0 => targets.push(OrderState::Pending),
            SagaEventKind::Stuck { .. } => targets.push(OrderState::Held),
            _ => {}
        }
    }
    match &change.after.phase {
        Phase::Done => targets.push(OrderState::Completed),
        Phase::Undone { cause } if cause == cause::CANCELLED => targets.push(OrderState::Cancelled),
        Phase::Undone { .. } => targets.push(OrderState::Failed),
        _ => {}
    }
    targets
}

/// The legal moves from one state to another, through `inProgress` where there is
/// no direct one. An order that is being cancelled moves on to `cancelled` only.
fn path(from: OrderState, to: OrderState) -> Vec<OrderState> {
    match (from, to) {
        _ if from == to || from.is_final() => vec![],
        (OrderState::PendingCancellation, to) if to != OrderState::Cancelled => vec![],
        _ if from.may_become(to) => vec![to],
        _ => vec![OrderState::InProgress, to],
    }
}

fn milestones(change: &Change<'_>) -> Vec<(&'static str, &'static str)> {
    let done = change.events.iter().filter(|e| e.kind == SagaEventKind::Done);
    done.filter_map(|e| change.after.steps.get(e.step)?.name.parse::<ActivationStep>().ok()?.milestone()).collect()
}

fn notes(change: &Change<'_>) -> Vec<String> {
    let step = |index: usize| change.after.steps.get(index).map_or("?", |s| s.name.as_str());
    change
        .events
        .iter()
        .filter_map(|e| match &e.kind {
            SagaEventKind::Failed { cause, reason } => Some(format!("{} failed: {cause}: {reason}", step(e.step))),
            SagaEventKind::Stuck { cause, reason } => {
                Some(format!("{} waits for a person: {cause}: {reason}", step(e.step)))
            }
            _ => None,
        })
        .collect()
}

fn failure(e: StoreError) -> SagaStoreError {
    match e {
        StoreError::Conflict { .. } => SagaStoreError::Conflict,
        other => SagaStoreError::Failed { reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_an_order_is_legal() {
        use OrderState::{Acknowledged, Completed, Failed, Held, InProgress, Pending, PendingCancellation};
        let table = [
            (Acknowledged, Failed),
            (Acknowledged, Held),
            (InProgress, Pending),
            (Pending, Held),
            (Pending, Completed),
            (Held, Failed),
            (PendingCancellation, OrderState::Cancelled),
        ];
        for (from, to) in table {
            let mut at = from;
            for next in path(from, to) {
                assert!(at.may_become(next), "{from:?} to {to:?}: {at:?} to {next:?}");
                at = next;
            }
            assert_eq!(at, to);
        }
        assert!(path(PendingCancellation, Held).is_empty());
    }
}
