//! Work orders: what the worker reports, and the order that goes on with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::domain::fieldwork::{
    BadResult, RETURN_REASONS, ResultMember, ResultRules, WorkOrder, WorkOrderState, WorkReport,
};
use crate::domain::ids::{AppointmentId, SagaId, WorkOrderId, WorkerId};
use crate::domain::line::Access;
use crate::domain::scheduling::{Appointment, AppointmentState};
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::relational::{Page, Paged, Relational, StoreError, Stored, WorkFilter, Write};
use crate::saga::Engine;
use crate::services::activation::call_id;
use crate::services::scheduling::{VisitPlan, appointment_happening, work_happening};

/// Loads again when something is changed by somebody else meanwhile.
const CONFLICT_RETRIES: u32 = 16;

/// Section `[fieldwork]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldworkSettings {
    /// What a result has to say about each line, by access.
    pub required: BTreeMap<Access, Vec<ResultMember>>,
    /// The weakest and strongest signal that can be, tenths of a dBm.
    pub signal_ddbm_min: i32,
    /// See `signal_ddbm_min`.
    pub signal_ddbm_max: i32,
    /// Codes with which a job can be given back.
    pub return_reasons: Vec<String>,
    /// Characters of a note.
    pub note_max: usize,
    /// What is to be installed, by access, for the worker's list.
    pub equipment: BTreeMap<Access, String>,
    /// How long a worker's token is good for, seconds.
    pub token_s: u64,
}

impl Default for FieldworkSettings {
    fn default() -> Self {
        use ResultMember::{SerialNumber, SignalDdbm};
        let equipment = [(Access::Internet, "ONT, router"), (Access::Tv, "set-top box")];
        Self {
            required: BTreeMap::from([
                (Access::Internet, vec![SerialNumber, SignalDdbm]),
                (Access::Tv, vec![SerialNumber]),
            ]),
            signal_ddbm_min: -500,
            signal_ddbm_max: 200,
            return_reasons: RETURN_REASONS.iter().map(|(code, ..)| (*code).to_owned()).collect(),
            note_max: 500,
            equipment: equipment.into_iter().map(|(access, text)| (access, text.to_owned())).collect(),
            token_s: 43_200,
        }
    }
}

impl FieldworkSettings {
    fn rules(&self) -> ResultRules {
        let signal_ddbm = self.signal_ddbm_min..=self.signal_ddbm_max;
        ResultRules { required: self.required.clone(), signal_ddbm }
    }
}

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
    /// The result does not say what is needed.
    #[error(transparent)]
    BadResult(#[from] BadResult),
    /// The reason of a return is in no list.
    #[error("`{reason}` is no reason of a return; known: {known}")]
    UnknownReason {
        /// As it came.
        reason: String,
        /// The list.
        known: String,
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
    settings: FieldworkSettings,
}

impl Fieldwork {
    /// Over the engine whose sagas wait for workers.
    pub fn new(
        store: Arc<dyn Relational>,
        engine: Arc<Engine<Write>>,
        clock: Arc<dyn Clock>,
        visits: VisitPlan,
        settings: FieldworkSettings,
    ) -> Self {
        Self { store, engine, clock, visits, settings }
    }

    /// Its limits and lists.
    pub fn settings(&self) -> &FieldworkSettings {
        &self.settings
    }

    /// One work order.
    pub async fn work_order(&self, id: &WorkOrderId) -> Stored<Option<WorkOrder>> {
        self.store.work_order(id).await
    }

    /// Work orders by planned start.
    pub async fn work_orders(&self, filter: &WorkFilter, page: Page) -> Stored<Paged<WorkOrder>> {
        self.store.work_orders(filter, page).await
    }

    /// Takes a worker's report. A finished visit completes the order; one that is given
    /// back is agreed anew, or fails the order, which is undone in reverse. With `by` the
    /// work of that worker alone.
    ///
    /// # Errors
    /// No such work, or another worker's; a report that does not say enough, or comes out
    /// of turn. Nothing moved.
    pub async fn report(
        &self,
        id: &WorkOrderId,
        report: WorkReport,
        by: Option<&WorkerId>,
    ) -> Result<WorkOrder, FieldworkError> {
        if let WorkReport::Returned { reason, .. } = &report
            && !self.settings.return_reasons.contains(reason)
        {
            let known = self.settings.return_reasons.join(", ");
            return Err(FieldworkError::UnknownReason { reason: reason.clone(), known });
        }
        let round = self.next_call_round(id).await?;
        self.change(id, report.leads_to(), by, |work, appointment, now| {
            work.started = work.started.or(Some(now));
            match &report {
                WorkReport::Started => Ok(vec![]),
                WorkReport::Completed(result) => {
                    result.check(&work.items, &self.settings.rules())?;
                    (work.result, work.ended) = (Some(result.clone()), Some(now));
                    Ok(end_visit(appointment, AppointmentState::Done, now))
                }
                WorkReport::Returned { reason, note, reschedule } => {
                    (work.return_reason, work.return_note) = (Some(reason.clone()), note.clone());
                    work.ended = Some(now);
                    if !reschedule {
                        return Ok(end_visit(appointment, AppointmentState::Failed, now));
                    }
                    let mut wanted = appointment;
                    let mut writes: Vec<Write> = wanted.reopen(now).map(Write::ReleaseSlot).into_iter().collect();
                    writes.extend(self.visits.request(wanted, round, now));
                    Ok(writes)
                }
            }
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
        by: Option<&WorkerId>,
        report: impl Fn(&mut WorkOrder, Appointment, Timestamp) -> Result<Vec<Write>, BadResult> + Send + Sync,
    ) -> Result<WorkOrder, FieldworkError> {
        let mut left = CONFLICT_RETRIES;
        loop {
            let work = self.store.work_order(id).await?;
            let own = work.filter(|w| by.is_none_or(|by| w.worker == *by));
            let mut work = own.ok_or_else(|| FieldworkError::Unknown(id.clone()))?;
            if !work.state.may_become(next) {
                return Err(FieldworkError::IllegalMove { work: id.clone(), from: work.state, to: next });
            }
            let appointment = self.appointment(&work.appointment).await?;
            let now = self.clock.now();
            work.state = next;
            let mut writes = report(&mut work, appointment, now)?;
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
