//! Runs sagas: forward, parked, back, to an end.
//!
//! Owns how one saga moves, and when a step is tried again. Does **not** own
//! which saga runs at this moment ([`super::desk`]) or anything durable: all of
//! that is in the store, and a new engine on the same store goes on where the
//! last one was cut off.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;

use super::desk::Desk;
use super::log::{LogState, StepStatus};
use super::record::{Phase, SagaEvent, SagaEventKind, SagaRecord};
use super::{
    Acted, Change, NoObserver, Observer, SagaStore, SagaStoreError, Step, StepContext, StepError, UNKNOWN_STEP, Wait,
    WaitUntil,
};
use crate::domain::ids::SagaId;
use crate::domain::time::Timestamp;
use crate::ports::{Clock, Ids};
use crate::telemetry::metrics;

/// Limits and delays of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SagaSettings {
    /// Sagas run at once, at least 1.
    pub concurrency: usize,
    /// First delay before a step is tried again, milliseconds.
    pub retry_first_ms: u64,
    /// Longest delay before a step is tried again, milliseconds.
    pub retry_max_ms: u64,
    /// Random addition to a delay, percent of it.
    pub retry_jitter_percent: u64,
    /// A saga that waits for a signal is looked at again after this, seconds.
    pub recheck_s: u64,
    /// Parked sagas remembered by what they wait for; past it they are found by their delay alone.
    pub parked_max: usize,
    /// Sagas resumed at start at once; past it the rest follow by their wake time.
    pub resume_max: u64,
    /// Loads again in a row when a saga is changed by somebody else meanwhile.
    pub conflict_retries: u32,
    /// Longest sleep of the loop, milliseconds; sagas of other gateways' making are seen this late.
    pub poll_ms: u64,
}

impl Default for SagaSettings {
    fn default() -> Self {
        Self {
            concurrency: 64,
            retry_first_ms: 500,
            retry_max_ms: 60_000,
            retry_jitter_percent: 25,
            recheck_s: 3600,
            parked_max: 1_000_000,
            resume_max: 100_000,
            conflict_retries: 16,
            poll_ms: 5_000,
        }
    }
}

/// How a drive came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drive {
    /// No such saga.
    Unknown,
    /// Done or undone.
    Finished,
    /// Waits for a person.
    Stuck,
    /// Waits until then, or for a signal.
    Parked(Timestamp),
    /// The engine is shutting down; goes on at the next start.
    Stopped,
}

/// Collects what an engine needs.
pub struct EngineBuilder<W> {
    store: Arc<dyn SagaStore<W>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: SagaSettings,
    steps: BTreeMap<String, Arc<dyn Step<W>>>,
    observer: Arc<dyn Observer<W>>,
}

impl<W: Send + 'static> EngineBuilder<W> {
    /// Registers a step under its name; the last one of a name stays.
    #[must_use]
    pub fn step(mut self, name: &str, step: impl Step<W>) -> Self {
        self.steps.insert(name.to_owned(), Arc::new(step));
        self
    }

    /// Sets who follows every saga.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer<W>>) -> Self {
        self.observer = observer;
        self
    }

    /// The engine; [`Engine::run`] starts it.
    pub fn build(self) -> Arc<Engine<W>> {
        Arc::new(Engine {
            store: self.store,
            clock: self.clock,
            ids: self.ids,
            settings: self.settings,
            steps: self.steps,
            observer: self.observer,
            desk: Mutex::new(Desk::default()),
            bell: Notify::new(),
            stopping: AtomicBool::new(false),
        })
    }
}

/// Runs sagas.
pub struct Engine<W> {
    pub(super) store: Arc<dyn SagaStore<W>>,
    pub(super) clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    pub(super) settings: SagaSettings,
    steps: BTreeMap<String, Arc<dyn Step<W>>>,
    observer: Arc<dyn Observer<W>>,
    pub(super) desk: Mutex<Desk>,
    pub(super) bell: Notify,
    pub(super) stopping: AtomicBool,
}

struct Run {
    record: SagaRecord,
    log: LogState,
}

enum Move {
    On,
    Rest(Drive),
}

impl<W: Send + 'static> Engine<W> {
    /// Starts to collect an engine's parts.
    pub fn builder(
        store: Arc<dyn SagaStore<W>>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: SagaSettings,
    ) -> EngineBuilder<W> {
        EngineBuilder { store, clock, ids, settings, steps: BTreeMap::new(), observer: Arc::new(NoObserver) }
    }

    /// Runs one saga until it ends, parks or is stuck. [`Engine::run`] does this
    /// for every saga; tests and one-off commands call it by hand.
    pub async fn drive(&self, id: &SagaId) -> Result<Drive, SagaStoreError> {
        let mut conflicts = 0;
        'load: loop {
            let Some((record, log)) = self.store.load(id).await? else { return Ok(Drive::Unknown) };
            let log = LogState::replay(record.steps.len(), &log)
                .map_err(|e| SagaStoreError::Failed { reason: e.to_string() })?;
            let mut run = Run { record, log };
            loop {
                if self.stopping.load(Ordering::SeqCst) {
                    return Ok(Drive::Stopped);
                }
                match self.advance(&mut run).await {
                    Ok(Move::On) => conflicts = 0,
                    Ok(Move::Rest(rest)) => {
                        self.remember(&run.record, &rest);
                        return Ok(rest);
                    }
                    Err(SagaStoreError::Conflict) if conflicts < self.settings.conflict_retries => {
                        conflicts += 1;
                        continue 'load;
                    }
                    Err(e) => return Err(e),
                }
            }
        }
    }

    async fn advance(&self, run: &mut Run) -> Result<Move, SagaStoreError> {
        match run.record.phase.clone() {
            Phase::Done | Phase::Undone { .. } => Ok(Move::Rest(Drive::Finished)),
            Phase::Stuck { .. } => Ok(Move::Rest(Drive::Stuck)),
            Phase::Forward { step } => match run.record.cancel.clone() {
                Some(cause) => {
                    let next = SagaRecord { phase: Phase::Backward { step, cause }, ..run.record.clone() };
                    self.save(run, next, vec![], vec![]).await.map(|()| Move::On)
                }
                None if step >= run.record.steps.len() => self.close(run, Phase::Done).await,
                None => self.forward(run, step).await,
            },
            Phase::Backward { cause, .. } => match run.log.last_live() {
                None => self.close(run, Phase::Undone { cause }).await,
                Some(step) => self.backward(run, step, cause).await,
            },
        }
    }

    async fn forward(&self, run: &mut Run, step: usize) -> Result<Move, SagaStoreError> {
        if run.log.status(step) == StepStatus::Never {
            let begun = self.event(step, SagaEventKind::Begun);
            self.save(run, run.record.clone(), vec![begun], vec![]).await?;
        }
        let outcome = self.call(&run.record, step, false).await;
        let mut next = run.record.clone();
        match outcome {
            Ok(Acted { data, writes, wait: None }) => {
                next.data.extend(data);
                next.phase = Phase::Forward { step: step + 1 };
                self.go_on(&mut next);
                let mut events = vec![self.event(step, SagaEventKind::Done)];
                // The next step's "begun" goes into the same transaction: one durable write a step, not two.
                if step + 1 < next.steps.len() {
                    events.push(self.event(step + 1, SagaEventKind::Begun));
                }
                self.save(run, next, events, writes).await.map(|()| Move::On)
            }
            Ok(Acted { data, writes, wait: Some(wait) }) => {
                next.data.extend(data);
                self.park(run, next, step, wait, writes).await
            }
            Err(StepError::Wait(wait)) => self.park(run, next, step, wait, vec![]).await,
            Err(StepError::Failed { cause, reason }) => {
                next.phase = Phase::Backward { step, cause: cause.clone() };
                self.go_on(&mut next);
                let failed = self.event(step, SagaEventKind::Failed { cause, reason });
                self.save(run, next, vec![failed], vec![]).await.map(|()| Move::On)
            }
            Err(StepError::Stuck { cause, reason }) => {
                next.phase = Phase::Stuck { step, cause: cause.clone(), undoing: false, turned: None };
                self.stick(run, next, step, cause, reason).await
            }
            Err(StepError::Conflict) => Err(SagaStoreError::Conflict),
        }
    }

    async fn backward(&self, run: &mut Run, step: usize, cause: String) -> Result<Move, SagaStoreError> {
        if run.log.status(step) != StepStatus::UndoBegun {
            let begun = self.event(step, SagaEventKind::UndoBegun);
            let next = SagaRecord { phase: Phase::Backward { step, cause: cause.clone() }, ..run.record.clone() };
            self.save(run, next, vec![begun], vec![]).await?;
        }
        let outcome = self.call(&run.record, step, true).await;
        let mut next = run.record.clone();
        match outcome {
            Ok(Acted { data, writes, wait: None }) => {
                next.data.extend(data);
                next.phase = Phase::Backward { step: step.saturating_sub(1), cause };
                self.go_on(&mut next);
                let undone = self.event(step, SagaEventKind::Undone);
                self.save(run, next, vec![undone], writes).await.map(|()| Move::On)
            }
            Ok(Acted { data, writes, wait: Some(wait) }) => {
                next.data.extend(data);
                self.park(run, next, step, wait, writes).await
            }
            Err(StepError::Wait(wait)) => self.park(run, next, step, wait, vec![]).await,
            Err(StepError::Failed { cause: why, reason } | StepError::Stuck { cause: why, reason }) => {
                next.phase = Phase::Stuck { step, cause: why.clone(), undoing: true, turned: Some(cause) };
                self.stick(run, next, step, why, reason).await
            }
            Err(StepError::Conflict) => Err(SagaStoreError::Conflict),
        }
    }

    async fn call(&self, record: &SagaRecord, index: usize, undo: bool) -> Result<Acted<W>, StepError> {
        let spec = &record.steps[index];
        let Some(step) = self.steps.get(&spec.name) else {
            return Err(StepError::stuck(UNKNOWN_STEP, format!("run step {}: nobody registered it", spec.name)));
        };
        let ctx = StepContext {
            saga: &record.id,
            index,
            input: &spec.input,
            data: &record.data,
            attempts: record.attempts,
            now: self.clock.now(),
        };
        let outcome = if undo { step.undo(&ctx).await } else { step.act(&ctx).await };
        let label = match &outcome {
            Ok(Acted { wait: Some(_), .. }) | Err(StepError::Wait(_)) => "waits",
            Ok(_) if undo => "undone",
            Ok(_) => "done",
            Err(StepError::Failed { .. }) => "failed",
            Err(StepError::Stuck { .. }) => "stuck",
            Err(StepError::Conflict) => "conflict",
        };
        metrics().saga_steps.with_label_values(&[spec.name.as_str(), label]).inc();
        tracing::debug!(order = %record.id, step = %spec.name, undo, outcome = label, "saga step");
        outcome
    }

    async fn park(
        &self,
        run: &mut Run,
        mut next: SagaRecord,
        step: usize,
        wait: Wait,
        writes: Vec<W>,
    ) -> Result<Move, SagaStoreError> {
        let now = self.clock.now();
        // A wait for the same thing is one row, however often it is tried; another
        // thing is counted and delayed anew.
        let mut events = vec![];
        if next.waiting_for.as_deref() != Some(wait.reason.as_str()) {
            next.attempts = 0;
            events.push(self.event(step, SagaEventKind::Waits { reason: wait.reason.clone() }));
        }
        next.wake_at = match wait.until {
            WaitUntil::Backoff => now.plus(self.backoff(next.attempts)),
            WaitUntil::At(at) => at,
            WaitUntil::Signal => now.plus(Duration::from_secs(self.settings.recheck_s)),
        };
        next.attempts = next.attempts.saturating_add(1);
        next.waiting_for = Some(wait.reason);
        let wake_at = next.wake_at;
        self.save(run, next, events, writes).await?;
        Ok(Move::Rest(Drive::Parked(wake_at)))
    }

    async fn stick(
        &self,
        run: &mut Run,
        mut next: SagaRecord,
        step: usize,
        cause: String,
        reason: String,
    ) -> Result<Move, SagaStoreError> {
        next.waiting_for = Some(format!("a person: {reason}"));
        let stuck = self.event(step, SagaEventKind::Stuck { cause, reason });
        self.save(run, next, vec![stuck], vec![]).await?;
        Ok(Move::Rest(Drive::Stuck))
    }

    async fn close(&self, run: &mut Run, phase: Phase) -> Result<Move, SagaStoreError> {
        let mut next = SagaRecord { phase, ..run.record.clone() };
        self.go_on(&mut next);
        self.save(run, next, vec![], vec![]).await?;
        Ok(Move::Rest(Drive::Finished))
    }

    async fn save(
        &self,
        run: &mut Run,
        next: SagaRecord,
        events: Vec<SagaEvent>,
        mut writes: Vec<W>,
    ) -> Result<(), SagaStoreError> {
        let mut log = run.log.clone();
        for event in &events {
            log.apply(event).map_err(|e| SagaStoreError::Failed { reason: e.to_string() })?;
        }
        let reaction = self.observer.changed(&Change { before: &run.record, after: &next, events: &events }).await?;
        writes.extend(reaction.writes);
        self.store.save(next.clone(), events, writes).await?;
        run.record = next;
        run.record.version += 1;
        run.log = log;
        if let Some(saved) = reaction.saved {
            saved();
        }
        reaction.wake.iter().for_each(|id| self.signal(id));
        Ok(())
    }

    fn go_on(&self, next: &mut SagaRecord) {
        next.wake_at = self.clock.now();
        next.attempts = 0;
        next.waiting_for = None;
    }

    fn event(&self, step: usize, kind: SagaEventKind) -> SagaEvent {
        SagaEvent { step, kind, at: self.clock.now() }
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let base =
            self.settings.retry_first_ms.saturating_mul(1u64 << attempts.min(20)).min(self.settings.retry_max_ms);
        let jitter = self.ids.jitter(base.saturating_mul(self.settings.retry_jitter_percent) / 100 + 1);
        Duration::from_millis(base + jitter)
    }
}
