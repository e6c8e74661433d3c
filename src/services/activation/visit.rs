//! The visit that an order's new fixed lines share: wanted, agreed, assigned, done.
//!
//! Ids are the order's own with a suffix, so that a step that runs again writes
//! the same records.

use async_trait::async_trait;

use super::{ItemRun, ItemRuns, Outside, store};
use crate::domain::activation::{cause, needs_visit};
use crate::domain::fieldwork::{WorkOrder, WorkOrderState};
use crate::domain::ids::{AppointmentId, CallId, OrderId, WorkOrderId};
use crate::domain::scheduling::{Appointment, AppointmentState, Call, CallState};
use crate::ports::relational::{Page, WorkFilter, Write};
use crate::saga::{Acted, Step, StepContext, StepError, Wait, WaitUntil};
use crate::services::scheduling;

pub(super) struct RequestVisit(pub(super) Outside);

#[async_trait]
impl Step<Write> for RequestVisit {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let runs = visited(ctx);
        let Some(first) = runs.first() else { return Ok(Acted::nothing()) };
        let line = self.0.line(&first.line).await?;
        let text = |of: fn(&ItemRun) -> &Option<String>| runs.iter().find_map(|r| of(r).clone());
        let mut skills: Vec<String> = runs.iter().map(|r| r.after.access.as_str().to_owned()).collect();
        skills.dedup();
        let appointment = Appointment {
            id: appointment_id(ctx),
            order: OrderId::from(ctx.saga.as_str()),
            customer: line.customer,
            phone: text(|r| &r.after.phone),
            address: text(|r| &r.after.address).unwrap_or_default(),
            skills,
            state: AppointmentState::Wanted,
            slot: None,
            worker: None,
            span: None,
            created: ctx.now,
            external: None,
            deleted: false,
            version: 0,
        };
        Ok(Acted::writes(self.0.visits.request(appointment, 1, ctx.now)))
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(mut appointment) = self.0.store.appointment(&appointment_id(ctx)).await.map_err(store)? else {
            return Ok(Acted::nothing());
        };
        let mut writes = Vec::new();
        if appointment.is_open() {
            writes.extend(appointment.slot.take().map(Write::ReleaseSlot));
            appointment.state = AppointmentState::Cancelled;
            writes.push(scheduling::appointment_happening(&appointment, ctx.now));
            writes.push(Write::Appointment(appointment));
        }
        if let Some(mut call) = self.0.last_call(ctx).await?.filter(|c| c.state == CallState::Due) {
            call.state = CallState::Cancelled;
            writes.push(Write::Call(call));
        }
        if let Some(mut work) = self.0.last_work(ctx).await?
            && work.state.may_become(WorkOrderState::Cancelled)
        {
            work.state = WorkOrderState::Cancelled;
            work.ended = Some(ctx.now);
            writes.push(scheduling::work_happening(&work, ctx.now));
            writes.push(Write::WorkOrder(work));
        }
        Ok(Acted::writes(writes))
    }
}

pub(super) struct AwaitAgreement(pub(super) Outside);

#[async_trait]
impl Step<Write> for AwaitAgreement {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        if visited(ctx).is_empty() {
            return Ok(Acted::nothing());
        }
        self.0.agreed(ctx).await.map(|_| Acted::nothing())
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

pub(super) struct AssignWork(pub(super) Outside);

#[async_trait]
impl Step<Write> for AssignWork {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        if visited(ctx).is_empty() || self.0.last_work(ctx).await?.is_some() {
            return Ok(Acted::nothing());
        }
        let appointment = self.0.agreed(ctx).await?;
        Ok(Acted::writes(self.0.assign(ctx, &appointment, 1)?))
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

pub(super) struct AwaitWork(pub(super) Outside);

#[async_trait]
impl Step<Write> for AwaitWork {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        if visited(ctx).is_empty() {
            return Ok(Acted::nothing());
        }
        let appointment = self.0.appointment(ctx).await?;
        let work = self.0.last_work(ctx).await?;
        match work.as_ref().map(|w| w.state) {
            Some(WorkOrderState::Completed) => {
                let ended = work.and_then(|w| w.ended).unwrap_or(ctx.now);
                let mut writes = Vec::new();
                for run in visited(ctx) {
                    let mut line = self.0.line(&run.line).await?;
                    line.handed_over(ended);
                    writes.push(Write::Line(line));
                }
                return Ok(Acted::writes(writes));
            }
            Some(WorkOrderState::Acknowledged | WorkOrderState::InProgress)
                if appointment.state == AppointmentState::Agreed =>
            {
                return Err(StepError::signal(WORKER));
            }
            Some(WorkOrderState::Returned) if appointment.state == AppointmentState::Failed => {
                let reason = work.and_then(|w| w.return_reason).unwrap_or_else(|| "other".to_owned());
                let cause = format!("{}:{reason}", cause::WORKER_RETURNED);
                return Err(StepError::failed(cause, "the worker returned the job"));
            }
            _ => {}
        }
        // Returned to be visited again: once a time is agreed there is a new task.
        let appointment = self.0.agreed(ctx).await?;
        let round = self.0.rounds(ctx).await? + 1;
        let wait = Wait { reason: WORKER.to_owned(), until: WaitUntil::Signal };
        Ok(Acted { wait: Some(wait), ..Acted::writes(self.0.assign(ctx, &appointment, round)?) })
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

const WORKER: &str = "worker: to finish the visit";

/// Rounds of one visit looked through; a return without end becomes fallout long before.
const ROUNDS_MAX: u32 = 1_000;

impl Outside {
    async fn appointment(&self, ctx: &StepContext<'_>) -> Result<Appointment, StepError> {
        let id = appointment_id(ctx);
        let found = self.store.appointment(&id).await.map_err(store)?;
        found.ok_or_else(|| StepError::stuck(cause::RECORD_MISSING, format!("appointment {id}: not stored")))
    }

    /// The appointment, once a time is agreed.
    async fn agreed(&self, ctx: &StepContext<'_>) -> Result<Appointment, StepError> {
        let appointment = self.appointment(ctx).await?;
        match appointment.state {
            AppointmentState::Agreed | AppointmentState::Done => return Ok(appointment),
            AppointmentState::Cancelled => {
                return Err(StepError::failed(cause::VISIT_CANCELLED, "the appointment was cancelled"));
            }
            AppointmentState::Wanted | AppointmentState::Failed => {}
        }
        match self.last_call(ctx).await?.map(|call| call.state) {
            Some(CallState::Refused) => Err(StepError::failed(cause::VISIT_REFUSED, "the customer refused the visit")),
            Some(CallState::Exhausted) => {
                Err(StepError::stuck(cause::VISIT_EXHAUSTED, "the customer was not reached within the retry plan"))
            }
            _ => Err(StepError::signal("call: to agree on a visit")),
        }
    }

    async fn last_call(&self, ctx: &StepContext<'_>) -> Result<Option<Call>, StepError> {
        let appointment = appointment_id(ctx);
        let mut last = None;
        for round in 1..ROUNDS_MAX {
            match self.store.call(&call_id(&appointment, round)).await.map_err(store)? {
                Some(call) => last = Some(call),
                None => break,
            }
        }
        Ok(last)
    }

    async fn rounds(&self, ctx: &StepContext<'_>) -> Result<u32, StepError> {
        let order = OrderId::from(ctx.saga.as_str());
        let page = Page { offset: 0, limit: 1 };
        let works = self.store.work_orders(&WorkFilter::of_order(&order), page).await.map_err(store)?;
        Ok(u32::try_from(works.total).unwrap_or(ROUNDS_MAX))
    }

    async fn last_work(&self, ctx: &StepContext<'_>) -> Result<Option<WorkOrder>, StepError> {
        let round = self.rounds(ctx).await?;
        self.store.work_order(&work_id(ctx, round)).await.map_err(store)
    }

    fn assign(&self, ctx: &StepContext<'_>, appointment: &Appointment, round: u32) -> Result<Vec<Write>, StepError> {
        let (Some(worker), Some(planned)) = (appointment.worker.clone(), appointment.span) else {
            let reason = format!("appointment {}: agreed without worker or time", appointment.id);
            return Err(StepError::stuck(cause::RECORD_MISSING, reason));
        };
        let work = WorkOrder {
            id: work_id(ctx, round),
            order: appointment.order.clone(),
            appointment: appointment.id.clone(),
            lines: visited(ctx).into_iter().map(|r| r.line).collect(),
            customer: appointment.customer.clone(),
            address: appointment.address.clone(),
            worker,
            planned,
            state: WorkOrderState::Acknowledged,
            result: None,
            return_reason: None,
            started: None,
            ended: None,
            version: 0,
        };
        Ok(vec![scheduling::work_happening(&work, ctx.now), Write::WorkOrder(work)])
    }
}

fn visited(ctx: &StepContext<'_>) -> Vec<ItemRun> {
    ItemRuns::of(ctx.data).going().filter(|r| needs_visit(r.kind, r.after.access)).cloned().collect()
}

fn appointment_id(ctx: &StepContext<'_>) -> AppointmentId {
    AppointmentId::new(format!("{}-visit", ctx.saga))
}

/// The call list's entry for the `round`-th try to agree on an appointment, counted from 1.
pub(crate) fn call_id(appointment: &AppointmentId, round: u32) -> CallId {
    CallId::new(format!("{appointment}-call-{round}"))
}

fn work_id(ctx: &StepContext<'_>, round: u32) -> WorkOrderId {
    WorkOrderId::new(format!("{}-work-{round}", ctx.saga))
}
