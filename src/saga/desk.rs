//! The engine's loop: which sagas run at this moment, who was signalled, who is
//! left alone for a while. Nothing in here has to survive the process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::engine::{Drive, Engine};
use super::record::SagaRecord;
use crate::domain::ids::SagaId;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

/// What the engine remembers between steps; nothing in here has to survive.
#[derive(Default)]
pub(super) struct Desk {
    /// Being driven now; `true` when signalled meanwhile.
    running: HashMap<SagaId, bool>,
    /// Signalled and not yet driven.
    woken: VecDeque<SagaId>,
    woken_set: HashSet<SagaId>,
    /// What parked sagas wait for.
    parked: HashMap<SagaId, String>,
    /// Left alone until then, because the store or a step broke.
    resting: HashMap<SagaId, Timestamp>,
}

impl<W: Send + 'static> Engine<W> {
    /// Wakes one saga at once, parked or new. A signal during a step makes the
    /// step run again after it has parked.
    pub fn signal(&self, id: &SagaId) {
        let mut desk = self.desk();
        if let Some(again) = desk.running.get_mut(id) {
            *again = true;
        } else if desk.woken_set.insert(id.clone()) {
            desk.resting.remove(id);
            desk.woken.push_back(id.clone());
        }
        drop(desk);
        self.bell.notify_one();
    }

    /// Wakes every saga parked for a reason that starts with `reason_prefix`,
    /// such as `element olt-1:`. Returns how many.
    pub fn signal_all(&self, reason_prefix: &str) -> usize {
        let ids: Vec<SagaId> = self
            .desk()
            .parked
            .iter()
            .filter(|(_, reason)| reason.starts_with(reason_prefix))
            .map(|(id, _)| id.clone())
            .collect();
        ids.iter().for_each(|id| self.signal(id));
        ids.len()
    }

    /// Runs until `shutdown`, then finishes the steps in progress and returns.
    /// First resumes every saga that was cut off, then goes by wake times and signals.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        self.stopping.store(false, Ordering::SeqCst);
        let mut tasks = JoinSet::new();
        let mut resumed = false;
        while !shutdown.is_cancelled() {
            if !resumed {
                resumed = self.resume_all().await;
            }
            let sleep = self.fill(&mut tasks).await;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.bell.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                Some(_) = tasks.join_next() => {}
            }
        }
        self.stopping.store(true, Ordering::SeqCst);
        while tasks.join_next().await.is_some() {}
    }

    pub(super) fn remember(&self, record: &SagaRecord, rest: &Drive) {
        let mut desk = self.desk();
        match (rest, &record.waiting_for) {
            (Drive::Parked(_), Some(reason)) if desk.parked.len() < self.settings.parked_max => {
                desk.parked.insert(record.id.clone(), reason.clone());
            }
            (Drive::Parked(_), _) => {
                desk.parked.remove(&record.id);
                metrics().saga_parked_unindexed.inc();
            }
            _ => {
                desk.parked.remove(&record.id);
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every saga that is neither final nor stuck is run once: what it waited
    /// for may have come while nobody listened.
    async fn resume_all(&self) -> bool {
        match self.store.due(Timestamp::MAX, self.settings.resume_max).await {
            Ok(sagas) => {
                tracing::info!(sagas = sagas.len(), "resume sagas");
                sagas.iter().for_each(|s| self.signal(&s.id));
                true
            }
            Err(e) => {
                tracing::warn!(error = %e, "resume sagas: tried again");
                false
            }
        }
    }

    /// Starts what may run; returns how long there is nothing to do.
    async fn fill(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Duration {
        let poll = Duration::from_millis(self.settings.poll_ms);
        while let Some(id) = self.take_woken() {
            self.start(id, tasks);
        }
        let now = self.clock.now();
        let (running, resting) = {
            let mut desk = self.desk();
            desk.resting.retain(|_, until| *until > now);
            (desk.running.len(), desk.resting.len())
        };
        let free = self.settings.concurrency.max(1).saturating_sub(running);
        if free == 0 {
            return poll;
        }
        let limit = u64::try_from(free + running + resting).unwrap_or(u64::MAX);
        let due = match self.store.due(now, limit).await {
            Ok(due) => due,
            Err(e) => {
                tracing::warn!(error = %e, "look for due sagas: tried again");
                return Duration::from_millis(self.settings.retry_first_ms).min(poll);
            }
        };
        let mut started = 0;
        for saga in due {
            if started < free && self.may_start(&saga.id, now) {
                self.start(saga.id, tasks);
                started += 1;
            }
        }
        if started == free {
            return poll;
        }
        match self.store.next_wake().await {
            // What is due and was not started is running or resting.
            Ok(Some(at)) if at > now => at.since(now).min(poll),
            Ok(Some(_)) => Duration::from_millis(self.settings.retry_first_ms).min(poll),
            _ => poll,
        }
    }

    fn take_woken(&self) -> Option<SagaId> {
        let mut desk = self.desk();
        if desk.running.len() >= self.settings.concurrency.max(1) {
            return None;
        }
        let id = desk.woken.pop_front()?;
        desk.woken_set.remove(&id);
        Some(id)
    }

    fn may_start(&self, id: &SagaId, now: Timestamp) -> bool {
        let mut desk = self.desk();
        if desk.resting.get(id).is_some_and(|until| *until > now) {
            return false;
        }
        desk.resting.remove(id);
        !desk.running.contains_key(id)
    }

    fn start(self: &Arc<Self>, id: SagaId, tasks: &mut JoinSet<()>) {
        if self.desk().running.insert(id.clone(), false).is_some() {
            return;
        }
        metrics().sagas_running.inc();
        let engine = Arc::clone(self);
        tasks.spawn(async move {
            let seat = Seat { engine: &engine, id: id.clone() };
            if let Err(e) = engine.drive(&id).await {
                let until = engine.clock.now().plus(Duration::from_millis(engine.settings.retry_max_ms.min(5_000)));
                tracing::warn!(order = %id, error = %e, "run saga: tried again");
                engine.desk().resting.insert(id.clone(), until);
            }
            drop(seat);
        });
    }
}

/// A running saga's entry; gives it back also when a step panics.
struct Seat<'a, W: Send + 'static> {
    engine: &'a Engine<W>,
    id: SagaId,
}

impl<W: Send + 'static> Drop for Seat<'_, W> {
    fn drop(&mut self) {
        metrics().sagas_running.dec();
        if std::thread::panicking() {
            tracing::error!(order = %self.id, "run saga: a step panicked");
            let until = self.engine.clock.now().plus(Duration::from_millis(self.engine.settings.retry_max_ms));
            self.engine.desk().resting.insert(self.id.clone(), until);
        }
        let again = self.engine.desk().running.remove(&self.id).unwrap_or(false);
        if again {
            self.engine.signal(&self.id);
        }
    }
}
