//! Accepting an order: one save, or nothing.

use std::collections::BTreeSet;

use serde_json::{Map, json};

use super::intake::{Intake, Taken};
use super::{Idempotency, Ordering, SubmitError, Submitted, follow, tmf};
use crate::domain::activation::plan;
use crate::domain::ids::{OrderId, SagaId};
use crate::domain::notification::Happening;
use crate::domain::ordering::{Milestone, Order, OrderState};
use crate::domain::request::{BadRequest, NewOrder};
use crate::domain::time::Timestamp;
use crate::ports::relational::{IdempotencyRecord, StoreError, Write};
use crate::saga::{Phase, SagaRecord, StepSpec};
use crate::telemetry::metrics;

impl Ordering {
    /// Accepts an order: judged, queued on its lines and durable when this returns.
    ///
    /// # Errors
    /// Nothing moved on any error but [`SubmitError::Store`], where the store
    /// may have taken it; repeating the request under its key is safe.
    pub async fn submit(&self, request: &NewOrder, idempotency: &Idempotency) -> Result<Submitted, SubmitError> {
        self.check_shape(request)?;
        let keys = keys(request, idempotency);
        let _held = self.claims.hold(&claimed(request)).await;
        let (now, book) = (self.clock.now(), self.tariff.book());
        let id = OrderId::from(self.ids.fresh(now));
        let mut left = self.settings.conflict_retries;
        loop {
            if let Some(first) = self.replay(&keys, &idempotency.fingerprint).await? {
                return Ok(first);
            }
            let intake = Intake {
                store: self.store.as_ref(),
                tariff: book.at(now),
                ids: self.ids.as_ref(),
                now,
                order: &id,
                queue_max: self.settings.queue_max_per_line.max(1),
            };
            let taken = intake.take(request).await?;
            let (order, writes) = self.writes(&id, request, taken, &keys, &idempotency.fingerprint, now);
            match self.store.save(writes).await {
                Ok(()) => return Ok(self.accepted(order)),
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                // The outcome is unknown: the order's own id tells.
                Err(e) => match self.store.order(&id).await {
                    Ok(Some(_)) => return Ok(self.accepted(order)),
                    _ => return Err(e.into()),
                },
            }
        }
    }

    fn accepted(&self, mut order: Order) -> Submitted {
        order.version = 1;
        metrics().orders.with_label_values(&[order.state.as_str()]).inc();
        if !order.state.is_final() {
            self.engine.signal(&SagaId::from(order.id.as_str()));
        }
        Submitted { response: tmf::service_order(&order), order, replayed: false }
    }

    fn check_shape(&self, request: &NewOrder) -> Result<(), BadRequest> {
        let bad = |what: &str, reason: String| BadRequest { item: "*".to_owned(), what: what.to_owned(), reason };
        if request.items.is_empty() || request.items.len() > self.settings.items_max {
            let reason = format!("expected 1 to {} items, got {}", self.settings.items_max, request.items.len());
            return Err(bad("serviceOrderItem", reason));
        }
        let mut seen = BTreeSet::new();
        match request.items.iter().find(|item| !seen.insert(item.id.as_str())) {
            Some(twice) => Err(bad("serviceOrderItem.id", format!("`{}` is there twice", twice.id))),
            None => Ok(()),
        }
    }

    async fn replay(&self, keys: &[String], fingerprint: &str) -> Result<Option<Submitted>, SubmitError> {
        for key in keys {
            let Some(first) = self.store.idempotency(key).await? else { continue };
            if first.fingerprint != fingerprint {
                return Err(SubmitError::KeyReused { key: key.clone() });
            }
            let order = self.store.order(&first.order).await?.ok_or_else(|| StoreError::Broken {
                operation: "replay order",
                reason: format!("order {} is remembered and not stored", first.order),
            })?;
            return Ok(Some(Submitted { order, response: first.response, replayed: true }));
        }
        Ok(None)
    }

    fn writes(
        &self,
        id: &OrderId,
        request: &NewOrder,
        taken: Taken,
        keys: &[String],
        fingerprint: &str,
        now: Timestamp,
    ) -> (Order, Vec<Write>) {
        let order = new_order(id, request, &taken, now);
        let mut writes = vec![Write::Order(order.clone())];
        for line in &taken.lines {
            if line.version == 0 {
                writes.push(Write::Happening(Happening {
                    event_type: "ServiceCreateEvent".to_owned(),
                    at: now,
                    order: Some(id.clone()),
                    line: Some(line.id.clone()),
                    customer: Some(line.customer.clone()),
                    event: json!({ "service": tmf::service(line) }),
                }));
            }
        }
        writes.push(Write::Happening(follow::order_happening("ServiceOrderCreateEvent", &order, now)));
        if !order.state.is_final() {
            writes.push(Write::Saga(saga(&order, &taken, now), vec![]));
            writes.extend(follow::sms(&order, self.settings.sms_language, now).map(Write::Message));
        }
        writes.extend(taken.lines.into_iter().map(Write::Line));
        let response = tmf::service_order(&order);
        writes.extend(keys.iter().map(|key| {
            Write::Idempotency(IdempotencyRecord {
                key: key.clone(),
                fingerprint: fingerprint.to_owned(),
                order: id.clone(),
                response: response.clone(),
                created: now,
            })
        }));
        (order, writes)
    }
}

fn keys(request: &NewOrder, idempotency: &Idempotency) -> Vec<String> {
    let key = idempotency.key.as_ref().map(|k| format!("key/{k}"));
    let external = request.external_id.as_ref().map(|e| format!("external/{e}"));
    key.into_iter().chain(external).collect()
}

fn claimed(request: &NewOrder) -> Vec<String> {
    let taken = |name: &str| matches!(name, "imsi" | "msisdn" | "deviceId");
    request
        .items
        .iter()
        .flat_map(|i| i.characteristics.iter().filter(|(n, _)| taken(n)).map(|(n, v)| format!("{n}/{v}")))
        .collect()
}

fn new_order(id: &OrderId, request: &NewOrder, taken: &Taken, now: Timestamp) -> Order {
    let at_once = taken.items.iter().all(|i| i.state.is_final());
    let milestone =
        |name: &str, message: &str| Milestone { at: now, name: name.to_owned(), message: message.to_owned() };
    let mut milestones = vec![milestone("acknowledged", "The order was accepted")];
    if at_once {
        milestones.push(milestone("completed", "Nothing was left to do"));
    }
    Order {
        id: id.clone(),
        external_id: request.external_id.clone(),
        customer: taken.customer.clone().expect("an item that was taken has named its customer"),
        items: taken.items.clone(),
        state: if at_once { OrderState::Completed } else { OrderState::Acknowledged },
        priority: request.priority.min(4),
        requested_start: request.requested_start,
        cancellation_reason: None,
        notes: request.notes.clone(),
        milestones,
        created: now,
        started: at_once.then_some(now),
        completed: at_once.then_some(now),
        extra: request.extra.clone(),
        version: 0,
    }
}

fn saga(order: &Order, taken: &Taken, now: Timestamp) -> SagaRecord {
    let going = order.items.iter().filter(|i| !i.state.is_final());
    let steps = plan(going.map(|i| (i.id.as_str(), i.kind, i.profile.access)))
        .into_iter()
        .map(|p| StepSpec {
            name: p.step.as_str().to_owned(),
            input: p.item.map_or(json!({}), |item| json!({ "item": item })),
        })
        .collect();
    let mut data = Map::new();
    data.insert("changes".to_owned(), json!(taken.changes));
    SagaRecord {
        id: SagaId::from(order.id.as_str()),
        steps,
        phase: Phase::Forward { step: 0 },
        data,
        wake_at: now,
        waiting_for: None,
        attempts: 0,
        priority: order.priority,
        cancel: None,
        created: now,
        version: 0,
    }
}
