//! A worker who cannot come: the visits go to others, or back to the call list.

use super::events::work_moved;
use super::{Scheduling, SchedulingError, SlotSearch, When, unknown, work_happening};
use crate::domain::fieldwork::{WorkOrder, WorkOrderState};
use crate::domain::ids::{AppointmentId, WorkerId};
use crate::domain::scheduling::{Appointment, AppointmentState, Worker};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{AppointmentFilter, Page, StoreError, Stored, WorkFilter, Write};
use crate::telemetry::metrics;

/// Stretches of absence that are remembered of one worker.
const ABSENCES_MAX: usize = 100;
/// Work orders of one order that are looked through.
const WORKS_MAX: u64 = 1_000;

/// What became of the visit of a worker who cannot come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedVisit {
    /// Which.
    pub appointment: AppointmentId,
    /// Who goes now; `None` when the customer is called again.
    pub worker: Option<WorkerId>,
}

impl Scheduling {
    /// Notes that a worker cannot come during `span`, and moves the visits in it: to the
    /// least loaded suitable worker who is free at the same time, else the customer is
    /// called again. What a worker has begun stays.
    ///
    /// # Errors
    /// No such worker; the store did not take it. What was not moved yet is moved by the
    /// next round of [`Scheduling::keep_slots`].
    pub async fn put_absence(&self, id: &WorkerId, span: Interval) -> Result<Vec<MovedVisit>, SchedulingError> {
        let mut worker = self.worker(id).await?.ok_or_else(|| unknown("worker", id.as_str()))?;
        let now = self.clock.now();
        worker.absences.retain(|away| away.until > now && *away != span);
        worker.absences.push(span);
        let surplus = worker.absences.len().saturating_sub(ABSENCES_MAX);
        worker.absences.drain(..surplus);
        self.store.save(vec![Write::Worker(worker.clone())]).await?;
        self.move_visits(&worker).await
    }

    /// Forgets that a worker cannot come at times that begin inside `span`.
    ///
    /// # Errors
    /// No such worker; the store did not take it.
    pub async fn remove_absence(&self, id: &WorkerId, span: Interval) -> Result<Worker, SchedulingError> {
        let mut worker = self.worker(id).await?.ok_or_else(|| unknown("worker", id.as_str()))?;
        worker.absences.retain(|away| !span.contains(away.from));
        self.store.save(vec![Write::Worker(worker.clone())]).await?;
        Ok(worker)
    }

    /// Moves every visit that falls into an absence of the worker.
    pub(super) async fn move_visits(&self, worker: &Worker) -> Result<Vec<MovedVisit>, SchedulingError> {
        let filter = AppointmentFilter {
            worker: Some(worker.id.clone()),
            state: Some(AppointmentState::Agreed),
            ..AppointmentFilter::default()
        };
        let page = Page { offset: 0, limit: self.settings.slots_max };
        let now = self.clock.now();
        let mut moved = Vec::new();
        for appointment in self.store.appointments(&filter, page).await?.items {
            let falls_in = appointment.span.is_some_and(|span| span.until > now && worker.is_away(&span));
            if falls_in {
                moved.extend(self.move_visit(&appointment.id, worker).await?);
            }
        }
        Ok(moved)
    }

    async fn move_visit(&self, id: &AppointmentId, from: &Worker) -> Result<Option<MovedVisit>, SchedulingError> {
        let mut left = self.settings.conflict_retries;
        loop {
            let appointment = self.load(id).await?;
            let Some(span) = appointment.span.filter(|_| appointment.worker.as_ref() == Some(&from.id)) else {
                return Ok(None);
            };
            let work = self.open_work(&appointment).await?;
            if work.as_ref().is_some_and(|w| w.state == WorkOrderState::InProgress) {
                return Ok(None);
            }
            let now = self.clock.now();
            let order = appointment.order.clone();
            let search = SlotSearch::of(&appointment);
            let free = self.least_loaded(&search, span).await?;
            let mut writes: Vec<Write> = appointment.slot.clone().map(Write::ReleaseSlot).into_iter().collect();
            let worker = free.as_ref().map(|slot| slot.worker.clone());
            match free {
                Some(slot) => {
                    let agreed = self.agree(appointment, &When::Slot(slot.id), now).await?;
                    writes.extend(self.move_work(&order, &agreed, now).await?);
                    writes.extend(agreed);
                }
                None => writes.extend(self.call_for_another_time(appointment, work, now).await?),
            }
            match self.store.save(writes).await {
                Ok(()) => {
                    let outcome = if worker.is_some() { "worker" } else { "call" };
                    metrics().visits_moved.with_label_values(&[outcome]).inc();
                    self.wake(&order);
                    return Ok(Some(MovedVisit { appointment: id.clone(), worker }));
                }
                Err(StoreError::Conflict { .. }) if left > 0 => left -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn call_for_another_time(
        &self,
        mut appointment: Appointment,
        work: Option<WorkOrder>,
        now: Timestamp,
    ) -> Stored<Vec<Write>> {
        let (_, round) = self.last_call(&appointment.id).await?;
        let _released_by_the_caller = appointment.reopen(now);
        let mut writes = self.visits.request(appointment, round + 1, now);
        if let Some(mut work) = work {
            (work.state, work.ended) = (WorkOrderState::Cancelled, Some(now));
            writes.push(work_happening(&work, now));
            writes.push(Write::WorkOrder(work));
        }
        Ok(writes)
    }

    /// The task of an appointment that is not finished, where there is one.
    async fn open_work(&self, appointment: &Appointment) -> Stored<Option<WorkOrder>> {
        let page = Page { offset: 0, limit: WORKS_MAX };
        let works = self.store.work_orders(&WorkFilter::of_order(&appointment.order), page).await?;
        Ok(works.items.into_iter().find(|w| w.state.may_become(WorkOrderState::Completed)))
    }

    /// A task that was assigned already goes with its appointment.
    pub(super) async fn move_work(
        &self,
        order: &crate::domain::ids::OrderId,
        agreed: &[Write],
        now: Timestamp,
    ) -> Stored<Vec<Write>> {
        let appointment = agreed.iter().find_map(|w| match w {
            Write::Appointment(a) if a.order == *order => Some(a),
            _ => None,
        });
        let Some(appointment) = appointment else { return Ok(vec![]) };
        let Some(mut work) = self.open_work(appointment).await? else { return Ok(vec![]) };
        if let (Some(worker), Some(planned)) = (appointment.worker.clone(), appointment.span) {
            (work.worker, work.planned) = (worker, planned);
        }
        Ok(vec![work_moved(&work, now), Write::WorkOrder(work)])
    }
}
