//! Bookable time: what calendars make of the days ahead, what is put by hand, and
//! which of it is free for a visit.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use tokio_util::sync::CancellationToken;

use super::{Scheduling, SchedulingError, SlotSearch, unknown};
use crate::domain::ids::{SlotId, WorkerId};
use crate::domain::scheduling::{Load, Slot, Worker, date_in, day_in};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{Stored, Write};
use crate::telemetry::metrics;

/// Slots of one worker on one day at most: a calendar has none shorter than 5 minutes.
const SLOTS_A_DAY: u64 = 300;
/// Changed slots in one save.
const SLOTS_A_SAVE: usize = 500;
/// Days ahead at most, whatever the settings say.
const HORIZON_MAX: u32 = 366;
const DAY: Duration = Duration::from_secs(86_400);

impl Scheduling {
    /// Takes a worker in, or replaces one; its absences stay.
    ///
    /// # Errors
    /// The calendar cannot be used; the store did not take it.
    pub async fn put_worker(&self, worker: Worker) -> Result<Worker, SchedulingError> {
        if let Some(calendar) = &worker.calendar {
            calendar.check().map_err(|e| SchedulingError::BadCalendar { worker: worker.id.clone(), source: e })?;
        }
        let before = self.worker(&worker.id).await?;
        let worker = Worker { absences: before.map(|w| w.absences).unwrap_or_default(), ..worker };
        self.store.save(vec![Write::Worker(worker.clone())]).await?;
        self.make_slots_of(&worker).await?;
        Ok(worker)
    }

    /// Every worker.
    pub async fn workers(&self) -> Stored<Vec<Worker>> {
        self.store.workers().await
    }

    pub(super) async fn worker(&self, id: &WorkerId) -> Stored<Option<Worker>> {
        Ok(self.store.workers().await?.into_iter().find(|w| w.id == *id))
    }

    /// Offers a piece of a worker's time; `id` makes repeating it safe.
    ///
    /// # Errors
    /// No such worker; the store did not take it.
    pub async fn put_slot(
        &self,
        id: Option<SlotId>,
        worker: &WorkerId,
        span: Interval,
        capacity: u32,
    ) -> Result<Slot, SchedulingError> {
        let known = self.worker(worker).await?.ok_or_else(|| unknown("worker", worker.as_str()))?;
        let id = id.unwrap_or_else(|| SlotId::from(self.ids.fresh(self.clock.now())));
        let slot = Slot { id, worker: worker.clone(), span, capacity: capacity.max(1), held: 0 };
        self.store.save(vec![Write::Slot(slot.clone())]).await?;
        if known.calendar.is_some() {
            self.make_slots_of(&known).await?;
        }
        Ok(slot)
    }

    /// Slots with a free place inside `[from, until)` whose worker suits, earliest first;
    /// at the same time the least loaded worker first.
    pub async fn free_slots(&self, search: &SlotSearch, from: Timestamp, until: Timestamp) -> Stored<Vec<Slot>> {
        let workers: BTreeMap<WorkerId, Worker> =
            self.store.workers().await?.into_iter().map(|w| (w.id.clone(), w)).collect();
        let suits = |slot: &Slot| {
            let worker = workers.get(&slot.worker);
            worker.is_some_and(|w| w.suits(&search.skills, &search.address) && !w.is_away(&slot.span))
        };
        let from = from.max(self.clock.now());
        let mut slots = self.store.free_slots(from, until, self.settings.slots_max).await?;
        slots.retain(suits);
        let mut loads: BTreeMap<_, Load> = BTreeMap::new();
        for slot in &slots {
            let day = self.day_of(slot.span.from);
            if let Entry::Vacant(unknown) = loads.entry(day.from) {
                unknown.insert(Load::of(&self.store.slots(None, day, self.settings.slots_max).await?));
            }
        }
        slots.sort_by_cached_key(|slot| {
            let load = loads.get(&self.day_of(slot.span.from).from).map_or(0, |load| load.on(&slot.worker));
            (slot.span.from, load, slot.worker.clone(), slot.id.clone())
        });
        Ok(slots)
    }

    /// The slot of exactly this time whose worker suits and has least to do on that day.
    pub(super) async fn least_loaded(&self, search: &SlotSearch, span: Interval) -> Stored<Option<Slot>> {
        let next = Timestamp(span.from.millis().saturating_add(1));
        Ok(self.free_slots(search, span.from, next).await?.into_iter().find(|slot| slot.span == span))
    }

    /// A day of a worker in its own zone; today where none is named.
    ///
    /// # Errors
    /// The store could not be read; a zone is not known.
    pub async fn day_of_worker(&self, id: &WorkerId, day: Option<Date>) -> Result<Interval, SchedulingError> {
        let bad = |source| SchedulingError::BadCalendar { worker: id.clone(), source };
        let calendar = self.worker(id).await?.and_then(|w| w.calendar);
        let zone = calendar.map_or_else(|| self.settings.time_zone.clone(), |c| c.zone);
        let today = date_in(&zone, self.clock.now()).map_err(bad)?;
        day_in(&zone, day.unwrap_or(today)).map_err(bad)
    }

    /// The local day of an instant, in the zone of the settings.
    fn day_of(&self, at: Timestamp) -> Interval {
        let zone = &self.settings.time_zone;
        let day = date_in(zone, at).and_then(|date| day_in(zone, date));
        day.unwrap_or(Interval { from: at, until: at.plus(DAY) })
    }

    /// Keeps the slots of every calendar up to the horizon, and forgets old searches,
    /// until `stop`. It goes on where it was: a slot has the same id whenever it is made.
    pub async fn keep_slots(self: Arc<Self>, stop: CancellationToken) {
        let pause = Duration::from_secs(self.settings.slots_every_s.max(1));
        while !stop.is_cancelled() {
            if let Err(error) = self.make_slots().await {
                tracing::warn!(%error, "make slots of calendars; tried again soon");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round of [`Scheduling::keep_slots`].
    ///
    /// # Errors
    /// The store could not be read or written; the next round does what is left.
    pub async fn make_slots(&self) -> Result<(), SchedulingError> {
        for worker in self.store.workers().await? {
            self.make_slots_of(&worker).await?;
            if !worker.absences.is_empty() {
                self.move_visits(&worker).await?;
            }
        }
        let kept_s = i64::try_from(self.settings.searches_kept_s).unwrap_or(i64::MAX);
        let before = Timestamp(self.clock.now().millis().saturating_sub(kept_s.saturating_mul(1_000)));
        self.store.save(vec![Write::ForgetSlotSearches(before)]).await?;
        Ok(())
    }

    /// Makes what is missing, changes what differs, withdraws what the calendar no longer
    /// has; what was put by hand is left alone.
    async fn make_slots_of(&self, worker: &Worker) -> Result<(), SchedulingError> {
        let now = self.clock.now();
        let days = self.settings.horizon_days.min(HORIZON_MAX);
        let inside = Interval { from: now, until: now.plus(DAY.saturating_mul(days)) };
        let present = self.store.slots(Some(&worker.id), inside, u64::from(days) * SLOTS_A_DAY).await?;
        let (made, by_hand): (Vec<Slot>, Vec<Slot>) = present.into_iter().partition(Slot::is_from_calendar);
        let wanted = worker
            .calendar_slots(inside, &by_hand)
            .map_err(|e| SchedulingError::BadCalendar { worker: worker.id.clone(), source: e })?;
        let made: BTreeMap<SlotId, Slot> = made.into_iter().map(|s| (s.id.clone(), s)).collect();
        let kept: BTreeSet<SlotId> = wanted.iter().map(|s| s.id.clone()).collect();
        let mut writes = Vec::new();
        let count = |outcome: &str| metrics().calendar_slots.with_label_values(&[outcome]).inc();
        for slot in wanted {
            match made.get(&slot.id) {
                Some(before) if before.span == slot.span && before.capacity == slot.capacity => continue,
                Some(_) => count("changed"),
                None => count("made"),
            }
            writes.push(Write::Slot(slot));
        }
        for slot in made.into_values().filter(|s| s.capacity > 0 && !kept.contains(&s.id)) {
            count("withdrawn");
            writes.push(Write::Slot(Slot { capacity: 0, ..slot }));
        }
        while !writes.is_empty() {
            let rest = writes.split_off(writes.len().min(SLOTS_A_SAVE));
            self.store.save(std::mem::replace(&mut writes, rest)).await?;
        }
        Ok(())
    }
}
