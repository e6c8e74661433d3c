//! The visit that an order's new fixed lines share: wanted, agreed, assigned, done.
//!
//! Ids are the order's own with a suffix, so that a step that runs again writes
//! the same records.

use async_trait::async_trait;

use super::{ItemRun, ItemRuns, Outside, store};
use crate::domain::activation::{cause, needs_visit};
use crate::domain::fieldwork::{WorkItem, WorkOrder, WorkOrderState};
use crate::domain::ids::{AppointmentId, CallId, OrderId, WorkOrderId};
use crate::domain::scheduling::{Appointment, AppointmentState, Call, CallState};
use crate::ports::relational::{Page, WorkFilter, Write};
use crate::ports::scheduling::{Asked, SchedulerError, Standing};
use crate::saga::{Acted, Step, StepContext, StepError, Wait, WaitUntil};
use crate::services::scheduling;
use crate::telemetry::metrics;

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
            round: 0,
            wanted_since: None,
            deleted: false,
            version: 0,
        };
        Ok(Acted::writes(self.0.visits.request(appointment, 1, ctx.now)))
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(mut appointment) = self.0.store.appointment(&appointment_id(ctx)).await.map_err(store)? else {
            return Ok(Acted::nothing());
        };
        self.0.take_back_outside(ctx, &appointment).await?;
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
        match self.0.agreement(ctx).await? {
            Agreement::Agreed(_) => Ok(Acted::nothing()),
            Agreement::New(writes) => Ok(Acted::writes(writes)),
            Agreement::Asked(writes, wait) => Ok(Acted { wait: Some(wait), ..Acted::writes(writes) }),
        }
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
        let appointment = self.0.appointment(ctx).await?;
        match appointment.state {
            AppointmentState::Cancelled => {
                Err(StepError::failed(cause::VISIT_CANCELLED, "the appointment was cancelled"))
            }
            // Its worker fell out between two steps: the next step waits for another time.
            AppointmentState::Wanted => Ok(Acted::nothing()),
            _ => Ok(Acted::writes(self.0.assign(ctx, &appointment, 1)?)),
        }
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
        let appointment = match self.0.agreement(ctx).await? {
            Agreement::Agreed(appointment) => appointment,
            Agreement::New(writes) => {
                let wait = Wait { reason: WORKER.to_owned(), until: WaitUntil::At(ctx.now) };
                return Ok(Acted { wait: Some(wait), ..Acted::writes(writes) });
            }
            Agreement::Asked(writes, wait) => return Ok(Acted { wait: Some(wait), ..Acted::writes(writes) }),
        };
        let round = self.0.rounds(ctx).await? + 1;
        let wait = Wait { reason: WORKER.to_owned(), until: WaitUntil::Signal };
        Ok(Acted { wait: Some(wait), ..Acted::writes(self.0.assign(ctx, &appointment, round)?) })
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

const WORKER: &str = "worker: to finish the visit";
const CALL: &str = "call: to agree on a visit";
/// A wait for the scheduler outside begins so: when it is back, each goes on.
pub const SCHEDULER: &str = "scheduler:";

/// What the visit's time is waiting for.
enum Agreement {
    /// Nothing: it is agreed.
    Agreed(Box<Appointment>),
    /// Nothing, with this saved: it was agreed just now.
    New(Vec<Write>),
    /// This, once the rest is saved.
    Asked(Vec<Write>, Wait),
}

/// Rounds of one visit looked through; a return without end becomes fallout long before.
const ROUNDS_MAX: u32 = 1_000;

impl Outside {
    async fn appointment(&self, ctx: &StepContext<'_>) -> Result<Appointment, StepError> {
        let id = appointment_id(ctx);
        let found = self.store.appointment(&id).await.map_err(store)?;
        found.ok_or_else(|| StepError::stuck(cause::RECORD_MISSING, format!("appointment {id}: not stored")))
    }

    /// Whether a time is agreed; who is to agree on it is asked.
    async fn agreement(&self, ctx: &StepContext<'_>) -> Result<Agreement, StepError> {
        let appointment = self.appointment(ctx).await?;
        match appointment.state {
            AppointmentState::Agreed | AppointmentState::Done => return Ok(Agreement::Agreed(Box::new(appointment))),
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
            Some(_) => Err(StepError::signal(CALL)),
            None => self.ask_outside(ctx, appointment).await,
        }
    }

    /// Asks the scheduler outside. One that does not answer is asked again, and for a
    /// visit that it has not taken in time our own call list is.
    async fn ask_outside(&self, ctx: &StepContext<'_>, mut appointment: Appointment) -> Result<Agreement, StepError> {
        let call_list = |appointment: &Appointment| {
            let wait = Wait { reason: CALL.to_owned(), until: WaitUntil::Signal };
            Agreement::Asked(vec![Write::Call(self.visits.call(appointment, 1, ctx.now))], wait)
        };
        let Some(outside) = self.visits.outside() else { return Ok(call_list(&appointment)) };
        let agrees = Wait { reason: format!("{SCHEDULER} to agree on a visit"), until: WaitUntil::Backoff };
        match outside.scheduler.ask(&appointment).await {
            Ok(Asked { id, standing: Standing::Agreed { worker, span } }) => {
                appointment.external = Some(id);
                Ok(Agreement::New(self.visits.agreed(&mut appointment, worker, span, ctx.now)))
            }
            Ok(Asked { standing: Standing::Refused, .. }) => {
                Err(StepError::failed(cause::VISIT_REFUSED, "the scheduler says that the visit is not wanted"))
            }
            Ok(Asked { id, .. }) if appointment.external.as_ref() == Some(&id) => Err(StepError::Wait(agrees)),
            Ok(Asked { id, .. }) => {
                appointment.external = Some(id);
                Ok(Agreement::Asked(vec![Write::Appointment(appointment)], agrees))
            }
            Err(SchedulerError::Refused { reason }) => Err(StepError::stuck(cause::SCHEDULER_REFUSED, reason)),
            Err(SchedulerError::Away { reason }) => {
                let since = appointment.wanted_since.unwrap_or(appointment.created);
                let is_over = outside.patience.is_some_and(|patience| ctx.now.since(since) >= patience);
                if is_over && appointment.external.is_none() {
                    metrics().scheduler_given_up.with_label_values(&["agree"]).inc();
                    tracing::warn!(order = %ctx.saga, reason, "the call list takes a visit over from the scheduler");
                    return Ok(call_list(&appointment));
                }
                tracing::debug!(order = %ctx.saga, reason, "ask the scheduler again");
                Err(StepError::backoff(format!("{SCHEDULER} to answer")))
            }
        }
    }

    /// Takes a visit back that the scheduler outside has, or may have. One that does not
    /// answer for long is left alone: the lines matter more.
    async fn take_back_outside(&self, ctx: &StepContext<'_>, appointment: &Appointment) -> Result<(), StepError> {
        let Some(outside) = self.visits.outside() else { return Ok(()) };
        let may_have_it = match appointment.state {
            AppointmentState::Done | AppointmentState::Failed => false,
            AppointmentState::Agreed => appointment.external.is_some(),
            AppointmentState::Wanted | AppointmentState::Cancelled => {
                appointment.external.is_some() || self.last_call(ctx).await?.is_none()
            }
        };
        if !may_have_it {
            return Ok(());
        }
        match outside.scheduler.cancel(appointment).await {
            Ok(()) => Ok(()),
            Err(SchedulerError::Away { .. }) if ctx.attempts < outside.cancel_tries => {
                Err(StepError::backoff(format!("{SCHEDULER} to take the visit back")))
            }
            Err(error) => {
                metrics().scheduler_given_up.with_label_values(&["cancel"]).inc();
                tracing::warn!(order = %ctx.saga, %error, "a cancelled visit stays at the scheduler");
                Ok(())
            }
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
            items: visited(ctx).into_iter().map(work_item).collect(),
            customer: appointment.customer.clone(),
            address: appointment.address.clone(),
            phone: appointment.phone.clone(),
            worker,
            planned,
            state: WorkOrderState::Acknowledged,
            result: None,
            return_reason: None,
            return_note: None,
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

fn work_item(run: ItemRun) -> WorkItem {
    WorkItem { line: run.line, access: run.after.access, plan: run.after.plan }
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
