//! Visits: the outbound-call list, slots, appointments.
//!
//! A slot is held by the store's transaction, together with the appointment
//! that holds it: two agreements on the last place have one winner. Everything
//! that an order waits for wakes its saga once it is saved.

use std::sync::Arc;

use crate::domain::ids::{AppointmentId, CallId, OrderId, SagaId, SlotId, WorkerId};
use crate::domain::scheduling::{Appointment, AppointmentState, BadCalendar, Call, CallClosed, CallOutcome, CallState};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{AppointmentFilter, Page, Paged, Relational, StoreError, Stored, Write};
use crate::ports::{Clock, Ids};
use crate::saga::Engine;
use crate::services::activation::call_id;

mod absence;
mod events;
mod searches;
mod settings;
mod slots;
mod visits;

pub use self::absence::MovedVisit;
use self::events::appointment_deleted;
pub(crate) use self::events::{appointment_happening, work_happening};
pub use self::searches::{SearchRequest, time_slot};
pub use self::settings::SchedulingSettings;
pub use self::visits::VisitPlan;

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
    /// The scheduler outside agrees on the visit.
    #[error("appointment {0}: the scheduler outside agrees on its time")]
    Elsewhere(AppointmentId),
    /// The calendar of a worker cannot be used.
    #[error("calendar of worker {worker}: {source}")]
    BadCalendar {
        /// Whose.
        worker: WorkerId,
        /// Why.
        source: BadCalendar,
    },
    /// Nobody suitable has a free place at the time.
    #[error("no suitable slot is free from {} to {}", .0.from, .0.until)]
    NobodyFree(Interval),
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

impl SlotSearch {
    /// What a visit needs.
    pub fn of(appointment: &Appointment) -> Self {
        Self { skills: appointment.skills.clone(), address: appointment.address.clone() }
    }
}

/// The time that was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// This slot, and so its worker.
    Slot(SlotId),
    /// This stretch; the least loaded suitable worker goes.
    Span(Interval),
}

/// The scheduling service.
pub struct Scheduling {
    store: Arc<dyn Relational>,
    engine: Arc<Engine<Write>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    visits: VisitPlan,
    settings: SchedulingSettings,
}

impl Scheduling {
    /// Over the engine whose sagas wait for visits.
    pub fn new(
        store: Arc<dyn Relational>,
        engine: Arc<Engine<Write>>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        visits: VisitPlan,
        settings: SchedulingSettings,
    ) -> Self {
        Self { store, engine, clock, ids, visits, settings }
    }

    /// Calls to make by now, earliest first; none to a customer outside the call hours.
    /// As many are looked through as `slots_max`.
    pub async fn due_calls(&self, page: Page) -> Stored<Paged<Call>> {
        let now = self.clock.now();
        let all = Page { offset: 0, limit: self.settings.slots_max };
        let mut due = self.store.calls(Some(CallState::Due), now, all).await?.items;
        due.retain(|call| self.visits.calls().hours.are_open(&call.address, now));
        let total = due.len() as u64;
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        Ok(Paged { items: due.into_iter().skip(skip).take(take).collect(), total })
    }

    /// Calls in a state, or all, earliest first.
    pub async fn calls(&self, state: Option<CallState>, page: Page) -> Stored<Paged<Call>> {
        self.store.calls(state, Timestamp::MAX, page).await
    }

    /// One call.
    pub async fn call(&self, id: &CallId) -> Stored<Option<Call>> {
        self.store.call(id).await
    }

    /// One appointment that was not deleted.
    pub async fn appointment(&self, id: &AppointmentId) -> Stored<Option<Appointment>> {
        Ok(self.store.appointment(id).await?.filter(|a| !a.deleted))
    }

    /// Appointments, newest first.
    pub async fn appointments(&self, filter: &AppointmentFilter, page: Page) -> Stored<Paged<Appointment>> {
        self.store.appointments(filter, page).await
    }

    /// Records what came of calling a customer. An agreement holds the slot,
    /// and gives the visit its worker and time, in one transaction.
    ///
    /// # Errors
    /// The call is closed, the slot taken or unsuitable; nothing moved.
    pub async fn record_outcome(
        &self,
        id: &CallId,
        agent: &str,
        outcome: CallOutcome,
    ) -> Result<Call, SchedulingError> {
        match outcome {
            CallOutcome::Agreed { slot } => self.record_agreement(id, agent, &When::Slot(slot)).await,
            other => self.record(id, agent, Err(other)).await,
        }
    }

    /// Records that a customer agreed on a time.
    ///
    /// # Errors
    /// As [`Scheduling::record_outcome`]; nobody suitable is free at the time.
    pub async fn record_agreement(&self, id: &CallId, agent: &str, when: &When) -> Result<Call, SchedulingError> {
        self.record(id, agent, Ok(when)).await
    }

    async fn record(
        &self,
        id: &CallId,
        agent: &str,
        told: Result<&When, CallOutcome>,
    ) -> Result<Call, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let call = self.store.call(id).await?;
            let mut call = call.ok_or_else(|| unknown("call", id.as_str()))?;
            if call.state != CallState::Due {
                return Err(CallClosed { call: call.id, state: call.state }.into());
            }
            let now = self.clock.now();
            let mut writes = Vec::new();
            let outcome = match &told {
                Err(other) => other.clone(),
                Ok(when) => {
                    let appointment = self.load(&call.appointment).await?;
                    if appointment.state != AppointmentState::Wanted {
                        return Err(wrong("agree on", &appointment));
                    }
                    writes = self.agree(appointment, when, now).await?;
                    let held = writes.iter().find_map(|w| match w {
                        Write::HoldSlot(slot) => Some(slot.clone()),
                        _ => None,
                    });
                    CallOutcome::Agreed { slot: held.unwrap_or_else(|| SlotId::from("")) }
                }
            };
            call.record(agent, outcome, now, self.visits.calls())?;
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

    /// Agrees on a time for a wanted appointment without the call list, or moves an agreed one.
    ///
    /// # Errors
    /// The appointment is over, the slot taken or unsuitable; nothing moved.
    pub async fn reschedule(&self, id: &AppointmentId, when: &When) -> Result<Appointment, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let appointment = self.load(id).await?;
            if !appointment.is_open() {
                return Err(wrong("reschedule", &appointment));
            }
            if appointment.external.is_some() {
                return Err(SchedulingError::Elsewhere(appointment.id));
            }
            let is_there = match when {
                When::Slot(slot) => appointment.slot.as_ref() == Some(slot),
                When::Span(span) => appointment.span.as_ref() == Some(span),
            };
            if is_there {
                return Ok(appointment);
            }
            let now = self.clock.now();
            let order = appointment.order.clone();
            let mut writes: Vec<Write> = appointment.slot.clone().map(Write::ReleaseSlot).into_iter().collect();
            let agreed = self.agree(appointment, when, now).await?;
            writes.extend(self.close_call(id, CallState::Agreed).await?);
            writes.extend(self.move_work(&order, &agreed, now).await?);
            writes.extend(agreed);
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

    /// The scheduler outside has agreed on a time, or moved it; it keeps its own slots.
    ///
    /// # Errors
    /// The visit is not its: never brought there, agreed by our own call list, or over.
    pub async fn agree_outside(
        &self,
        id: &AppointmentId,
        worker: &WorkerId,
        span: Interval,
    ) -> Result<Appointment, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let mut appointment = self.load(id).await?;
            if !appointment.is_open() || appointment.external.is_none() || appointment.slot.is_some() {
                return Err(wrong("agree outside on", &appointment));
            }
            if appointment.worker.as_ref() == Some(worker) && appointment.span == Some(span) {
                return Ok(appointment);
            }
            let now = self.clock.now();
            let order = appointment.order.clone();
            let agreed = self.visits.agreed(&mut appointment, worker.clone(), span, now);
            let mut writes = self.move_work(&order, &agreed, now).await?;
            writes.extend(self.close_call(id, CallState::Agreed).await?);
            writes.extend(agreed);
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
    ///
    /// # Errors
    /// The order waits for no visit; as [`Scheduling::reschedule`].
    pub async fn book(&self, order: &OrderId, slot: &SlotId) -> Result<Appointment, SchedulingError> {
        let page = Page { offset: 0, limit: 1 };
        let wanted = self.store.appointments(&AppointmentFilter::of_order(order), page).await?.items.into_iter().next();
        let wanted = wanted.ok_or_else(|| unknown("appointment", order.as_str()))?;
        self.reschedule(&wanted.id, &When::Slot(slot.clone())).await
    }

    /// Cancels an appointment; the order that needs it fails and is undone.
    ///
    /// # Errors
    /// It is over already.
    pub async fn cancel(&self, id: &AppointmentId) -> Result<Appointment, SchedulingError> {
        self.take_back(id, false).await
    }

    /// Takes an appointment out of every list; one that is open is cancelled by it.
    ///
    /// # Errors
    /// It is not known.
    pub async fn delete(&self, id: &AppointmentId) -> Result<(), SchedulingError> {
        self.take_back(id, true).await.map(|_| ())
    }

    async fn take_back(&self, id: &AppointmentId, deletes: bool) -> Result<Appointment, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let mut appointment = self.load(id).await?;
            if !appointment.is_open() && !deletes {
                return Err(wrong("cancel", &appointment));
            }
            let now = self.clock.now();
            let mut writes: Vec<Write> = Vec::new();
            if appointment.is_open() {
                writes.extend(appointment.slot.take().map(Write::ReleaseSlot));
                appointment.state = AppointmentState::Cancelled;
                writes.push(appointment_happening(&appointment, now));
                writes.extend(self.close_call(id, CallState::Cancelled).await?);
            }
            if deletes {
                appointment.deleted = true;
                writes.push(appointment_deleted(&appointment, now));
            }
            writes.push(Write::Appointment(appointment.clone()));
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

    /// Opens the call list again for the visit of a call whose retry plan is used up;
    /// the order itself goes on with the fallout verb `retry`.
    ///
    /// # Errors
    /// No such call; its visit is agreed or over.
    pub async fn call_again(&self, call: &CallId) -> Result<Call, SchedulingError> {
        let closed = self.store.call(call).await?.ok_or_else(|| unknown("call", call.as_str()))?;
        let id = &closed.appointment;
        let appointment = self.load(id).await?;
        let (last, round) = self.last_call(id).await?;
        match last {
            Some(call) if call.state == CallState::Due => return Ok(call),
            _ if appointment.state != AppointmentState::Wanted => return Err(wrong("call for", &appointment)),
            _ => {}
        }
        let call = self.visits.call(&appointment, round + 1, self.clock.now());
        self.store.save(vec![Write::Call(call.clone())]).await?;
        Ok(call)
    }

    /// Gives an appointment its time and worker, and holds the place.
    async fn agree(
        &self,
        mut appointment: Appointment,
        when: &When,
        now: Timestamp,
    ) -> Result<Vec<Write>, SchedulingError> {
        let search = SlotSearch::of(&appointment);
        let slot = match when {
            When::Slot(id) => self.store.slot(id).await?.ok_or_else(|| unknown("slot", id.as_str()))?,
            When::Span(span) => self.least_loaded(&search, *span).await?.ok_or(SchedulingError::NobodyFree(*span))?,
        };
        let unsuitable = |reason| SchedulingError::Unsuitable { slot: slot.id.clone(), reason };
        if !slot.has_room() {
            return Err(SchedulingError::SlotTaken(slot.id));
        }
        if slot.span.from <= now {
            return Err(unsuitable("it has begun"));
        }
        let worker = self.worker(&slot.worker).await?;
        if !worker.as_ref().is_some_and(|w| w.suits(&search.skills, &search.address)) {
            return Err(unsuitable("its worker lacks a skill or does not go there"));
        }
        if worker.is_some_and(|w| w.is_away(&slot.span)) {
            return Err(unsuitable("its worker is away"));
        }
        appointment.slot = Some(slot.id.clone());
        let mut writes = vec![Write::HoldSlot(slot.id)];
        writes.extend(self.visits.agreed(&mut appointment, slot.worker, slot.span, now));
        Ok(writes)
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
        self.appointment(id).await?.ok_or_else(|| unknown("appointment", id.as_str()))
    }

    fn wake(&self, order: &OrderId) {
        self.engine.signal(&SagaId::from(order.as_str()));
    }
}

fn unknown(what: &'static str, id: &str) -> SchedulingError {
    SchedulingError::Unknown { what, id: id.to_owned() }
}

fn wrong(verb: &'static str, appointment: &Appointment) -> SchedulingError {
    SchedulingError::WrongState { verb, appointment: appointment.id.clone(), state: appointment.state }
}
