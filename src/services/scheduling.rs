//! Visits: the outbound-call list, slots, appointments.
//!
//! A slot is held by the store's transaction, together with the appointment
//! that holds it: two agreements on the last place have one winner. Everything
//! that an order waits for wakes its saga once it is saved.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::domain::fieldwork::WorkOrder;
use crate::domain::ids::{AppointmentId, CallId, OrderId, SagaId, SlotId, WorkerId};
use crate::domain::notification::Happening;
use crate::domain::scheduling::{
    Appointment, AppointmentState, Call, CallClosed, CallOutcome, CallPlan, CallState, Slot, Worker,
};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{Page, Paged, Relational, StoreError, Stored, Write};
use crate::ports::{Clock, Ids};
use crate::saga::Engine;
use crate::services::activation::call_id;
use crate::services::ordering::tmf;

/// The retry plan of a call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulingSettings {
    /// Attempts without an agreement before a person has to look.
    pub call_attempts_max: u32,
    /// Delay after the first, second, … attempt, seconds; the last one repeats.
    pub call_intervals_s: Vec<u64>,
    /// Loads again when something is changed by somebody else meanwhile.
    pub conflict_retries: u32,
    /// Slots looked through for one search.
    pub slots_max: u64,
}

impl Default for SchedulingSettings {
    fn default() -> Self {
        Self {
            call_attempts_max: 5,
            call_intervals_s: vec![1_800, 7_200, 86_400],
            conflict_retries: 16,
            slots_max: 1_000,
        }
    }
}

/// Why scheduling did not do as asked; nothing moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchedulingError {
    /// No such thing.
    #[error("{what} `{id}` is not known")]
    Unknown {
        /// `call`, `slot`, `appointment`, `worker`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The call takes no more attempts.
    #[error(transparent)]
    Closed(#[from] CallClosed),
    /// Every place of the slot is held.
    #[error("slot {0}: no free place")]
    SlotTaken(SlotId),
    /// The slot does not fit the visit.
    #[error("slot {slot}: {reason}")]
    Unsuitable {
        /// Which.
        slot: SlotId,
        /// Why.
        reason: &'static str,
    },
    /// The appointment may not be moved from where it stands.
    #[error("{verb} appointment {appointment}: it is {state:?}")]
    WrongState {
        /// What was asked.
        verb: &'static str,
        /// Which.
        appointment: AppointmentId,
        /// Where it stands.
        state: AppointmentState,
    },
    /// The store did not take it.
    #[error("store visit")]
    Store(#[source] StoreError),
}

impl From<StoreError> for SchedulingError {
    fn from(e: StoreError) -> Self {
        SchedulingError::Store(e)
    }
}

/// Who needs a free slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotSearch {
    /// Skills that the worker needs.
    pub skills: Vec<String>,
    /// Where.
    pub address: String,
}

/// The scheduling service.
pub struct Scheduling {
    store: Arc<dyn Relational>,
    engine: Arc<Engine<Write>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: SchedulingSettings,
}

impl Scheduling {
    /// Over the engine whose sagas wait for visits.
    pub fn new(
        store: Arc<dyn Relational>,
        engine: Arc<Engine<Write>>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: SchedulingSettings,
    ) -> Self {
        Self { store, engine, clock, ids, settings }
    }

    /// Takes a worker in, or replaces one.
    pub async fn put_worker(&self, worker: Worker) -> Stored<()> {
        self.store.save(vec![Write::Worker(worker)]).await
    }

    /// Every worker.
    pub async fn workers(&self) -> Stored<Vec<Worker>> {
        self.store.workers().await
    }

    /// Offers a piece of a worker's time; `id` makes repeating it safe.
    pub async fn put_slot(
        &self,
        id: Option<SlotId>,
        worker: &WorkerId,
        span: Interval,
        capacity: u32,
    ) -> Result<Slot, SchedulingError> {
        if !self.store.workers().await?.iter().any(|w| w.id == *worker) {
            return Err(SchedulingError::Unknown { what: "worker", id: worker.to_string() });
        }
        let id = id.unwrap_or_else(|| SlotId::from(self.ids.fresh(self.clock.now())));
        let slot = Slot { id, worker: worker.clone(), span, capacity: capacity.max(1), held: 0 };
        self.store.save(vec![Write::Slot(slot.clone())]).await?;
        Ok(slot)
    }

    /// Slots with a free place inside `[from, until)` whose worker suits, earliest first.
    pub async fn free_slots(&self, search: &SlotSearch, from: Timestamp, until: Timestamp) -> Stored<Vec<Slot>> {
        let workers = self.store.workers().await?;
        let suits =
            |slot: &Slot| workers.iter().any(|w| w.id == slot.worker && w.suits(&search.skills, &search.address));
        let from = from.max(self.clock.now());
        let mut slots = self.store.free_slots(from, until, self.settings.slots_max).await?;
        slots.retain(suits);
        Ok(slots)
    }

    /// Calls to make by now, earliest first.
    pub async fn due_calls(&self, page: Page) -> Stored<Paged<Call>> {
        self.store.calls(Some(CallState::Due), self.clock.now(), page).await
    }

    /// Calls in a state, or all, earliest first.
    pub async fn calls(&self, state: Option<CallState>, page: Page) -> Stored<Paged<Call>> {
        self.store.calls(state, Timestamp::MAX, page).await
    }

    /// One call.
    pub async fn call(&self, id: &CallId) -> Stored<Option<Call>> {
        self.store.call(id).await
    }

    /// One appointment.
    pub async fn appointment(&self, id: &AppointmentId) -> Stored<Option<Appointment>> {
        self.store.appointment(id).await
    }

    /// Appointments, newest first.
    pub async fn appointments(&self, order: Option<&OrderId>, page: Page) -> Stored<Paged<Appointment>> {
        self.store.appointments(order, page).await
    }

    /// Records what came of calling a customer. An agreement holds the slot,
    /// and gives the visit its worker and time, in one transaction.
    pub async fn record_outcome(
        &self,
        id: &CallId,
        agent: &str,
        outcome: CallOutcome,
    ) -> Result<Call, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let call = self.store.call(id).await?;
            let mut call = call.ok_or_else(|| unknown("call", id.as_str()))?;
            let now = self.clock.now();
            call.record(agent, outcome.clone(), now, &self.plan())?;
            let mut writes = Vec::new();
            if let CallOutcome::Agreed { slot } = &outcome {
                let appointment = self.load(&call.appointment).await?;
                if appointment.state != AppointmentState::Wanted {
                    return Err(wrong("agree on", &appointment));
                }
                writes = self.agree(appointment, slot, now).await?;
            }
            writes.push(Write::Call(call.clone()));
            match self.store.save(writes).await {
                Ok(()) => {
                    call.version += 1;
                    self.wake(&call.order);
                    return Ok(call);
                }
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Agrees on a slot for a wanted appointment without the call list, or moves an agreed one.
    pub async fn reschedule(&self, id: &AppointmentId, slot: &SlotId) -> Result<Appointment, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let appointment = self.load(id).await?;
            if !matches!(appointment.state, AppointmentState::Wanted | AppointmentState::Agreed) {
                return Err(wrong("reschedule", &appointment));
            }
            if appointment.slot.as_ref() == Some(slot) {
                return Ok(appointment);
            }
            let now = self.clock.now();
            let order = appointment.order.clone();
            let mut writes: Vec<Write> = appointment.slot.clone().map(Write::ReleaseSlot).into_iter().collect();
            writes.extend(self.agree(appointment, slot, now).await?);
            writes.extend(self.close_call(id, CallState::Agreed).await?);
            writes.extend(self.move_work(&order, &writes, now).await?);
            match self.store.save(writes).await {
                Ok(()) => {
                    self.wake(&order);
                    return self.load(id).await;
                }
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Books a slot for the visit that an order waits for, as a customer does who chooses himself.
    pub async fn book(&self, order: &OrderId, slot: &SlotId) -> Result<Appointment, SchedulingError> {
        let page = Page { offset: 0, limit: 1 };
        let wanted = self.store.appointments(Some(order), page).await?.items.into_iter().next();
        let wanted = wanted.ok_or_else(|| unknown("appointment", order.as_str()))?;
        self.reschedule(&wanted.id, slot).await
    }

    /// Cancels an appointment; the order that needs it fails and is undone.
    pub async fn cancel(&self, id: &AppointmentId) -> Result<Appointment, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let mut appointment = self.load(id).await?;
            if !matches!(appointment.state, AppointmentState::Wanted | AppointmentState::Agreed) {
                return Err(wrong("cancel", &appointment));
            }
            let now = self.clock.now();
            let mut writes: Vec<Write> = appointment.slot.take().map(Write::ReleaseSlot).into_iter().collect();
            appointment.state = AppointmentState::Cancelled;
            writes.push(appointment_happening(&appointment, now));
            writes.push(Write::Appointment(appointment.clone()));
            writes.extend(self.close_call(id, CallState::Cancelled).await?);
            match self.store.save(writes).await {
                Ok(()) => {
                    appointment.version += 1;
                    self.wake(&appointment.order);
                    return Ok(appointment);
                }
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Opens the call list again for an appointment whose retry plan is used up;
    /// the order itself goes on with the fallout verb `retry`.
    pub async fn call_again(&self, id: &AppointmentId) -> Result<Call, SchedulingError> {
        let appointment = self.load(id).await?;
        let (last, round) = self.last_call(id).await?;
        match last {
            Some(call) if call.state == CallState::Due => return Ok(call),
            _ if appointment.state != AppointmentState::Wanted => return Err(wrong("call for", &appointment)),
            _ => {}
        }
        let call = new_call(&appointment, round + 1, self.clock.now());
        self.store.save(vec![Write::Call(call.clone())]).await?;
        Ok(call)
    }

    async fn agree(
        &self,
        mut appointment: Appointment,
        id: &SlotId,
        now: Timestamp,
    ) -> Result<Vec<Write>, SchedulingError> {
        let slot = self.store.slot(id).await?.ok_or_else(|| unknown("slot", id.as_str()))?;
        let unsuitable = |reason| SchedulingError::Unsuitable { slot: id.clone(), reason };
        if slot.held >= slot.capacity {
            return Err(SchedulingError::SlotTaken(id.clone()));
        }
        if slot.span.from <= now {
            return Err(unsuitable("it has begun"));
        }
        let workers = self.store.workers().await?;
        let worker = workers.into_iter().find(|w| w.id == slot.worker);
        if !worker.is_some_and(|w| w.suits(&appointment.skills, &appointment.address)) {
            return Err(unsuitable("its worker lacks a skill or does not go there"));
        }
        appointment.state = AppointmentState::Agreed;
        appointment.slot = Some(id.clone());
        appointment.worker = Some(slot.worker);
        appointment.span = Some(slot.span);
        Ok(vec![Write::HoldSlot(id.clone()), appointment_happening(&appointment, now), Write::Appointment(appointment)])
    }

    /// A task that was assigned already goes with its appointment.
    async fn move_work(&self, order: &OrderId, agreed: &[Write], now: Timestamp) -> Stored<Vec<Write>> {
        let Some(appointment) = agreed.iter().find_map(|w| match w {
            Write::Appointment(a) => Some(a),
            _ => None,
        }) else {
            return Ok(vec![]);
        };
        let works = self.store.work_orders(None, None, Some(order), Page { offset: 0, limit: 1_000 }).await?;
        let open = |w: &WorkOrder| w.state.may_become(crate::domain::fieldwork::WorkOrderState::Completed);
        let Some(mut work) = works.items.into_iter().find(open) else { return Ok(vec![]) };
        if let (Some(worker), Some(planned)) = (appointment.worker.clone(), appointment.span) {
            (work.worker, work.planned) = (worker, planned);
        }
        Ok(vec![work_happening(&work, now), Write::WorkOrder(work)])
    }

    async fn close_call(&self, appointment: &AppointmentId, state: CallState) -> Stored<Option<Write>> {
        let (last, _) = self.last_call(appointment).await?;
        Ok(last.filter(|c| c.state == CallState::Due).map(|call| Write::Call(Call { state, ..call })))
    }

    async fn last_call(&self, appointment: &AppointmentId) -> Stored<(Option<Call>, u32)> {
        let (mut last, mut round) = (None, 0);
        while let Some(call) = self.store.call(&call_id(appointment, round + 1)).await? {
            (last, round) = (Some(call), round + 1);
        }
        Ok((last, round))
    }

    async fn load(&self, id: &AppointmentId) -> Result<Appointment, SchedulingError> {
        self.store.appointment(id).await?.ok_or_else(|| unknown("appointment", id.as_str()))
    }

    fn plan(&self) -> CallPlan {
        CallPlan {
            attempts_max: self.settings.call_attempts_max,
            intervals_ms: self.settings.call_intervals_s.iter().map(|s| s.saturating_mul(1_000)).collect(),
        }
    }

    fn wake(&self, order: &OrderId) {
        self.engine.signal(&SagaId::from(order.as_str()));
    }
}

/// What puts a visit on the call list: the appointment, wanted, and the call to
/// agree on it in its `round`-th try.
pub(crate) fn request_visit(appointment: Appointment, round: u32, now: Timestamp) -> Vec<Write> {
    vec![
        Write::Call(new_call(&appointment, round, now)),
        appointment_happening(&appointment, now),
        Write::Appointment(appointment),
    ]
}

/// An event about an appointment, complete.
pub(crate) fn appointment_happening(appointment: &Appointment, at: Timestamp) -> Write {
    let created = appointment.version == 0;
    Write::Happening(Happening {
        event_type: if created { "AppointmentCreateEvent" } else { "AppointmentStateChangeEvent" }.to_owned(),
        at,
        order: Some(appointment.order.clone()),
        line: None,
        customer: Some(appointment.customer.clone()),
        event: json!({ "appointment": tmf::appointment(appointment) }),
    })
}

/// An event about a work order, complete.
pub(crate) fn work_happening(work: &WorkOrder, at: Timestamp) -> Write {
    let created = work.version == 0;
    Write::Happening(Happening {
        event_type: if created { "WorkOrderCreateEvent" } else { "WorkOrderStateChangeEvent" }.to_owned(),
        at,
        order: Some(work.order.clone()),
        line: work.lines.first().cloned(),
        customer: Some(work.customer.clone()),
        event: json!({ "workOrder": tmf::work_order(work) }),
    })
}

fn new_call(appointment: &Appointment, round: u32, now: Timestamp) -> Call {
    Call {
        id: call_id(&appointment.id, round),
        appointment: appointment.id.clone(),
        order: appointment.order.clone(),
        phone: appointment.phone.clone(),
        state: CallState::Due,
        attempts: vec![],
        next_attempt: now,
        version: 0,
    }
}

fn unknown(what: &'static str, id: &str) -> SchedulingError {
    SchedulingError::Unknown { what, id: id.to_owned() }
}

fn wrong(verb: &'static str, appointment: &Appointment) -> SchedulingError {
    SchedulingError::WrongState { verb, appointment: appointment.id.clone(), state: appointment.state }
}
