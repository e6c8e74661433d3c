//! Sagas: named steps, each with an action and an undo, that end well or say why not.
//!
//! Knows no business words: a saga is a list of step names with JSON inputs,
//! and whoever registers steps gives the names a meaning. Owns the record, the
//! log, and the engine that runs, parks, resumes and undoes.
//!
//! Promises of the engine:
//!
//! - The log has a row before and after every action. A step that was begun and
//!   has no recorded outcome is run again, so an action and an undo must both be
//!   repeatable: ask the outside what it holds, or repeat what is safe to repeat.
//! - What a step returns to be written is saved in one transaction with the
//!   saga's own record and log, so a step's outcome and its traces never part.
//! - Undo goes in reverse over every step that was begun, the failed one included.
//!
//! To add a step: implement [`Step`], register it by name with
//! [`EngineBuilder::step`], put the name into a plan. The crash tests of
//! [`testing`] cover it by running the plan; no new test is needed.

mod desk;
mod engine;
mod log;
pub mod record;
pub mod testing;
mod verbs;

use async_trait::async_trait;
use serde_json::{Map, Value};

pub use self::engine::{Drive, Engine, EngineBuilder, SagaSettings};
pub use self::log::{IllegalEvent, LogState, StepStatus};
pub use self::record::{Phase, SagaEvent, SagaEventKind, SagaRecord, StepSpec};
pub use self::verbs::{VerbError, request_cancel, retry, roll_back, skip};

use crate::domain::ids::SagaId;
use crate::domain::time::Timestamp;

/// Cause of a saga that names a step nobody registered.
pub const UNKNOWN_STEP: &str = "unknown-step";

/// What a step sees of its saga.
#[derive(Debug, Clone, Copy)]
pub struct StepContext<'a> {
    /// The saga.
    pub saga: &'a SagaId,
    /// Place in the plan.
    pub index: usize,
    /// The step's own input from the plan.
    pub input: &'a Value,
    /// What earlier steps left.
    pub data: &'a Map<String, Value>,
    /// Tries so far that ended in the same wait, 0 at the first.
    pub attempts: u32,
    /// The time of this try.
    pub now: Timestamp,
}

/// What a step did.
#[derive(Debug)]
pub struct Acted<W> {
    /// Merged into the saga's data, replacing members of the same name.
    pub data: Map<String, Value>,
    /// Saved in the transaction that records the outcome.
    pub writes: Vec<W>,
    /// Not finished: save the above, wait, run the step again.
    pub wait: Option<Wait>,
}

impl<W> Acted<W> {
    /// Nothing to record.
    pub fn nothing() -> Self {
        Self { data: Map::new(), writes: Vec::new(), wait: None }
    }

    /// Finished, with writes.
    pub fn writes(writes: Vec<W>) -> Self {
        Self { writes, ..Self::nothing() }
    }

    /// The same with one more member of data.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.data.insert(name.to_owned(), value);
        self
    }
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// For people, and for [`Engine::signal_all`]: what it waits for comes first.
    pub reason: String,
    /// When to try again without a signal.
    pub until: WaitUntil,
}

/// When to try again; a signal always comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitUntil {
    /// After a growing delay.
    Backoff,
    /// At this time.
    At(Timestamp),
    /// When signalled; looked at now and then all the same, because a signal
    /// is lost with the process that would have got it.
    Signal,
}

/// Why a step did not finish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Cannot act yet; the saga is parked.
    #[error("waits for {}", .0.reason)]
    Wait(Wait),
    /// Refused for good: the saga turns round. While undoing, it is stuck.
    #[error("{cause}: {reason}")]
    Failed {
        /// Cause code.
        cause: String,
        /// For people.
        reason: String,
    },
    /// Neither on nor back without a person.
    #[error("{cause}: {reason}")]
    Stuck {
        /// Cause code.
        cause: String,
        /// For people.
        reason: String,
    },
    /// What was read changed meanwhile: load again, run again.
    #[error("changed by somebody else meanwhile")]
    Conflict,
}

impl StepError {
    /// Waits with a growing delay.
    pub fn backoff(reason: impl Into<String>) -> Self {
        Self::Wait(Wait { reason: reason.into(), until: WaitUntil::Backoff })
    }

    /// Waits for a signal.
    pub fn signal(reason: impl Into<String>) -> Self {
        Self::Wait(Wait { reason: reason.into(), until: WaitUntil::Signal })
    }

    /// Refused for good.
    pub fn failed(cause: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed { cause: cause.into(), reason: reason.into() }
    }

    /// Waits for a person.
    pub fn stuck(cause: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Stuck { cause: cause.into(), reason: reason.into() }
    }
}

/// An action and its undo. Both may run more than once.
#[async_trait]
pub trait Step<W>: Send + Sync + 'static {
    /// Acts, or finds that it has acted already.
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<W>, StepError>;

    /// Brings back what was before; the action may have run in part or not at all.
    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<W>, StepError>;
}

/// A stored change of a saga, as an [`Observer`] sees it before it is saved.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// As it is stored.
    pub before: &'a SagaRecord,
    /// As it is to be stored.
    pub after: &'a SagaRecord,
    /// Log rows of the change.
    pub events: &'a [SagaEvent],
}

/// What an [`Observer`] adds to a change.
pub struct Reaction<W> {
    /// Saved in the change's own transaction.
    pub writes: Vec<W>,
    /// Sagas to signal once it is saved.
    pub wake: Vec<SagaId>,
    /// Called once it is saved.
    pub saved: Option<Box<dyn FnOnce() + Send>>,
}

impl<W> Default for Reaction<W> {
    fn default() -> Self {
        Self { writes: Vec::new(), wake: Vec::new(), saved: None }
    }
}

/// Follows every saga: keeps what the saga stands for in step with it.
///
/// The changes that end a saga ([`Phase::is_final`]) carry no writes of steps,
/// so an observer may write there what steps write elsewhere.
#[async_trait]
pub trait Observer<W>: Send + Sync + 'static {
    /// Called before each save; may be called again for the same change.
    async fn changed(&self, change: &Change<'_>) -> Result<Reaction<W>, SagaStoreError>;
}

/// Follows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

#[async_trait]
impl<W: Send + 'static> Observer<W> for NoObserver {
    async fn changed(&self, _: &Change<'_>) -> Result<Reaction<W>, SagaStoreError> {
        Ok(Reaction::default())
    }
}

/// Why the store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SagaStoreError {
    /// Somebody else was there first: load again, decide again.
    #[error("saga store: changed by somebody else meanwhile")]
    Conflict,
    /// May or may not be applied; tried again later.
    #[error("saga store: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
}

/// Where sagas are kept. `save` is all or nothing, durable when it returns, and
/// guarded by the record's version (the version it was loaded with).
#[async_trait]
pub trait SagaStore<W>: Send + Sync + 'static {
    /// One saga with its log, oldest first.
    async fn load(&self, id: &SagaId) -> Result<Option<(SagaRecord, Vec<SagaEvent>)>, SagaStoreError>;

    /// Sagas that are neither final nor stuck with `wake_at` ≤ `now`: by priority, then age.
    async fn due(&self, now: Timestamp, limit: u64) -> Result<Vec<SagaRecord>, SagaStoreError>;

    /// The earliest `wake_at` of sagas that are neither final nor stuck.
    async fn next_wake(&self) -> Result<Option<Timestamp>, SagaStoreError>;

    /// Saves the record, appends to its log, and carries out `extra`.
    async fn save(&self, record: SagaRecord, events: Vec<SagaEvent>, extra: Vec<W>) -> Result<(), SagaStoreError>;
}
