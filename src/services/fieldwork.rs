//! Work orders: what the worker reports, and the order that goes on with it.

use std::sync::Arc;

use crate::domain::fieldwork::{WorkOrder, WorkOrderState, WorkResult};
use crate::domain::ids::{AppointmentId, SagaId, WorkOrderId};
use crate::domain::scheduling::{Appointment, AppointmentState};
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::relational::{Page, Paged, Relational, StoreError, Stored, WorkFilter, Write};
use crate::saga::Engine;
use crate::services::activation::call_id;
use crate::services::scheduling::{VisitPlan, appointment_happening, work_happening};

/// Loads again when something is changed by somebody else meanwhile.
const CONFLICT_RETRIES: u32 = 16;

/// Why a report was not taken; nothing moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldworkError {
    /// No such work order.
    #[error("work order {0} is not known")]
    Unknown(WorkOrderId),
    /// The work order may not move so.
    #[error("work order {work}: {} may not become {}", from.tmf(), to.tmf())]
    IllegalMove {
        /// Which.
        work: WorkOrderId,
        /// Where it stands.
        from: WorkOrderState,
        /// Where it was to go.
        to: WorkOrderState,
    },
    /// The store did not take it.
    #[error("store work order")]
    Store(#[source] StoreError),
}

impl From<StoreError> for FieldworkError {
    fn from(e: StoreError) -> Self {
        FieldworkError::Store(e)
    }
}

/// The field work service.
pub struct Fieldwork {
    store: Arc<dyn Relational>,
    engine: Arc<Engine<Write>>,
    clock: Arc<dyn Clock>,
    visits: VisitPlan,
}

impl Fieldwork {
    /// Over the engine whose sagas wait for workers.
    pub fn new(
        store: Arc<dyn Relational>,
        engine: Arc<Engine<Write>>,
        clock: Arc<dyn Clock>,
        visits: VisitPlan,
    ) -> Self {
        Self { store, engine, clock, visits }
    }

    /// One work order.
    pub async fn work_order(&self, id: &WorkOrderId) -> Stored<Option<WorkOrder>> {
        self.store.work_order(id).await
    }

    /// Work orders by planned start.
    pub async fn work_orders(&self, filter: &WorkFilter, page: Page) -> Stored<Paged<WorkOrder>> {
        self.store.work_orders(filter, page).await
    }

    /// The worker has begun.
    pub async fn start(&self, id: &WorkOrderId) -> Result<WorkOrder, FieldworkError> {
        self.change(id, WorkOrderState::InProgress, |work, _, now| {
            work.started = Some(now);
            vec![]
        })
        .await
    }

    /// The worker has finished; the order completes.
    pub async fn complete(&self, id: &WorkOrderId, result: WorkResult) -> Result<WorkOrder, FieldworkError> {
        self.change(id, WorkOrderState::Completed, |work, appointment, now| {
            work.result = Some(result.clone());
            work.started = work.started.or(Some(now));
            work.ended = Some(now);
            end_visit(appointment, AppointmentState::Done, now)
        })
        .await
    }

    /// 반송: the worker could not finish. With `reschedule` the customer is called
    /// again for another time; without, the order fails and is undone in reverse.
    pub async fn give_back(
        &self,
        id: &WorkOrderId,
        reason: &str,
        reschedule: bool,
    ) -> Result<WorkOrder, FieldworkError> {
        let round = self.next_call_round(id).await?;
        self.change(id, WorkOrderState::Returned, |work, appointment, now| {
            work.return_reason = Some(reason.to_owned());
            work.ended = Some(now);
            if !reschedule {
                return end_visit(appointment, AppointmentState::Failed, now);
            }
            let mut wanted = appointment;
            let mut writes: Vec<Write> = wanted.reopen(now).map(Write::ReleaseSlot).into_iter().collect();
            writes.extend(self.visits.request(wanted, round, now));
            writes
        })
        .await
    }

    async fn next_call_round(&self, id: &WorkOrderId) -> Result<u32, FieldworkError> {
        let work = self.store.work_order(id).await?.ok_or_else(|| FieldworkError::Unknown(id.clone()))?;
        let mut round = 1;
        while self.store.call(&call_id(&work.appointment, round)).await?.is_some() {
            round += 1;
        }
        Ok(round)
    }

    async fn change(
        &self,
        id: &WorkOrderId,
        next: WorkOrderState,
        report: impl Fn(&mut WorkOrder, Appointment, Timestamp) -> Vec<Write> + Send + Sync,
    ) -> Result<WorkOrder, FieldworkError> {
        let mut left = CONFLICT_RETRIES;
        loop {
            let work = self.store.work_order(id).await?;
            let mut work = work.ok_or_else(|| FieldworkError::Unknown(id.clone()))?;
            if !work.state.may_become(next) {
                return Err(FieldworkError::IllegalMove { work: id.clone(), from: work.state, to: next });
            }
            let appointment = self.appointment(&work.appointment).await?;
            let now = self.clock.now();
            work.state = next;
            let mut writes = report(&mut work, appointment, now);
            writes.push(work_happening(&work, now));
            writes.push(Write::WorkOrder(work.clone()));
            match self.store.save(writes).await {
                Ok(()) => {
                    work.version += 1;
                    self.engine.signal(&SagaId::from(work.order.as_str()));
                    return Ok(work);
                }
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn appointment(&self, id: &AppointmentId) -> Result<Appointment, FieldworkError> {
        let found = self.store.appointment(id).await?;
        found.ok_or_else(|| {
            FieldworkError::Store(StoreError::Broken {
                operation: "load appointment of work order",
                reason: format!("appointment {id} is not stored"),
            })
        })
    }
}

/// The visit is over. A failed one gives its place back; a done one has used it.
fn end_visit(mut appointment: Appointment, state: AppointmentState, now: Timestamp) -> Vec<Write> {
    let mut writes = Vec::new();
    if state == AppointmentState::Failed {
        writes.extend(appointment.slot.clone().map(Write::ReleaseSlot));
    }
    appointment.slot = None;
    appointment.state = state;
    writes.push(appointment_happening(&appointment, now));
    writes.push(Write::Appointment(appointment));
    writes
}
