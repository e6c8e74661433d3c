//! What is stored of a saga: one record, and a log with a row before and after
//! every action.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::ids::SagaId;
use crate::domain::time::Timestamp;

/// One step of a saga as it was planned; the plan never changes afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The registered name of its action and undo.
    pub name: String,
    /// What it works on.
    pub input: Value,
}

/// Where a saga stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// Going forward: `step` is next, or was begun and has no recorded outcome.
    Forward {
        /// Index into the plan.
        step: usize,
    },
    /// Going back: `step` is to be undone next.
    Backward {
        /// Index into the plan.
        step: usize,
        /// Why it turned round: a cause code.
        cause: String,
    },
    /// A step can go neither on nor back alone and waits for a person.
    Stuck {
        /// Index into the plan.
        step: usize,
        /// Cause code.
        cause: String,
        /// Whether the step was being undone.
        undoing: bool,
        /// Why it turned round, where it was being undone.
        turned: Option<String>,
    },
    /// Every step done.
    Done,
    /// Every begun step undone.
    Undone {
        /// Why.
        cause: String,
    },
}

impl Phase {
    /// Whether nothing follows.
    pub const fn is_final(&self) -> bool {
        matches!(self, Phase::Done | Phase::Undone { .. })
    }

    /// For metrics and filters.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Phase::Forward { .. } => "forward",
            Phase::Backward { .. } => "backward",
            Phase::Stuck { .. } => "stuck",
            Phase::Done => "done",
            Phase::Undone { .. } => "undone",
        }
    }
}

/// One saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaRecord {
    /// Its id; the order's, where an order started it.
    pub id: SagaId,
    /// The plan.
    pub steps: Vec<StepSpec>,
    /// Where it stands.
    pub phase: Phase,
    /// What steps left for later ones.
    pub data: Map<String, Value>,
    /// Not before this time; [`Timestamp::MAX`] while only a signal wakes it.
    pub wake_at: Timestamp,
    /// What it waits for, for people: `element olt-1: not connected`.
    pub waiting_for: Option<String>,
    /// Tries of the current step so far.
    pub attempts: u32,
    /// Lower runs first.
    pub priority: u8,
    /// Asked to turn round at the next safe point, with the cause.
    pub cancel: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Rises with every stored change; guards concurrent writers.
    pub version: u64,
}

/// What a log row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum SagaEventKind {
    /// About to act.
    Begun,
    /// Acted.
    Done,
    /// Cannot act yet; waits.
    Waits {
        /// For what.
        reason: String,
    },
    /// Refused for good.
    Failed {
        /// Cause code.
        cause: String,
        /// For people.
        reason: String,
    },
    /// About to undo.
    UndoBegun,
    /// Undone.
    Undone,
    /// Waits for a person.
    Stuck {
        /// Cause code.
        cause: String,
        /// For people.
        reason: String,
    },
    /// A person or a cancel request stepped in.
    Intervened {
        /// Who.
        by: String,
        /// What.
        verb: String,
    },
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaEvent {
    /// Index into the plan.
    pub step: usize,
    /// What happened.
    #[serde(flatten)]
    pub kind: SagaEventKind,
    /// When.
    pub at: Timestamp,
}
