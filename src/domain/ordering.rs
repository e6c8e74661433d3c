//! Orders on lines: what may be asked of a line, and how an order moves.
//!
//! Owns the six order types, their mapping from TMF641 actions, the order state
//! machine and the judgement of an order against a line's state. Does **not**
//! own how an order is carried out ([`super::activation`]).
//!
//! Invariants: an order moves only along [`OrderState::may_become`]; a
//! terminated line stays terminated (reconnecting makes a new line).
//!
//! Timestamps: `created` when it was accepted, `requested_start` the earliest
//! time it may begin, `completed` when it reached a final state.

use serde::{Deserialize, Serialize};

use super::ids::{CustomerId, LineId, OrderId};
use super::line::{LineState, Profile};
use super::time::Timestamp;

/// What an order item asks of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderKind {
    /// 개통: a new line into service.
    Activate,
    /// 정지: out of service, kept.
    Suspend,
    /// 정지복구: back into service.
    Resume,
    /// 해지: ended for good.
    Terminate,
    /// 해지복구: a new line in place of a terminated one.
    Reconnect,
    /// 변경: other characteristics, same line.
    Modify,
}

impl OrderKind {
    /// For metrics, REST and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            OrderKind::Activate => "activate",
            OrderKind::Suspend => "suspend",
            OrderKind::Resume => "resume",
            OrderKind::Terminate => "terminate",
            OrderKind::Reconnect => "reconnect",
            OrderKind::Modify => "modify",
        }
    }

    /// The state that the line is in when the order has completed.
    pub const fn target(self, before: LineState) -> LineState {
        match self {
            OrderKind::Activate | OrderKind::Resume | OrderKind::Reconnect => LineState::Active,
            OrderKind::Suspend => LineState::Suspended,
            OrderKind::Terminate => LineState::Terminated,
            OrderKind::Modify => before,
        }
    }
}

/// The judgement of an order item against the state its line will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It moves the line.
    Go,
    /// The line is there already: complete at once with this code.
    Already(&'static str),
    /// It can never be carried out from there.
    Illegal,
}

/// Judges `kind` against the state the line will have after everything queued
/// before it. The table of FEATURES, one row an arm.
pub fn judge(kind: OrderKind, line: LineState) -> Verdict {
    use LineState::{Absent, Active, Suspended, Terminated};
    use OrderKind::{Activate, Modify, Reconnect, Resume, Suspend, Terminate};
    match (kind, line) {
        (Activate | Reconnect, Absent) => Verdict::Go,
        (Activate | Reconnect, Active) => Verdict::Already("already-active"),
        (Activate, Suspended | Terminated) => Verdict::Illegal,
        (Reconnect, Suspended | Terminated) => Verdict::Illegal,
        (Suspend, Active) => Verdict::Go,
        (Suspend, Suspended) => Verdict::Already("already-suspended"),
        (Suspend, Absent | Terminated) => Verdict::Illegal,
        (Resume, Suspended) => Verdict::Go,
        (Resume, Active) => Verdict::Already("already-active"),
        (Resume, Absent | Terminated) => Verdict::Illegal,
        (Terminate, Active | Suspended) => Verdict::Go,
        (Terminate, Terminated) => Verdict::Already("already-terminated"),
        (Terminate, Absent) => Verdict::Illegal,
        (Modify, Active | Suspended) => Verdict::Go,
        (Modify, Absent | Terminated) => Verdict::Illegal,
    }
}

/// TMF641 `ServiceOrderStateType`; items use the same states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderState {
    /// Stored; nothing has begun.
    Acknowledged,
    /// Refused by judgement after it was accepted.
    Rejected,
    /// Waits for something outside: an element, a visit, an earlier order.
    Pending,
    /// In fallout: waits for a person.
    Held,
    /// Being carried out.
    InProgress,
    /// Cancelled; the network is as before.
    Cancelled,
    /// Carried out.
    Completed,
    /// Could not be carried out; the network is as before.
    Failed,
    /// Some items completed, some failed.
    Partial,
    /// A cancel request is judged.
    AssessingCancellation,
    /// Being undone.
    PendingCancellation,
}

impl OrderState {
    /// As TMF641 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            OrderState::Acknowledged => "acknowledged",
            OrderState::Rejected => "rejected",
            OrderState::Pending => "pending",
            OrderState::Held => "held",
            OrderState::InProgress => "inProgress",
            OrderState::Cancelled => "cancelled",
            OrderState::Completed => "completed",
            OrderState::Failed => "failed",
            OrderState::Partial => "partial",
            OrderState::AssessingCancellation => "assessingCancellation",
            OrderState::PendingCancellation => "pendingCancellation",
        }
    }

    /// Every state, for metrics and filters.
    pub const ALL: [OrderState; 11] = [
        OrderState::Acknowledged,
        OrderState::Rejected,
        OrderState::Pending,
        OrderState::Held,
        OrderState::InProgress,
        OrderState::Cancelled,
        OrderState::Completed,
        OrderState::Failed,
        OrderState::Partial,
        OrderState::AssessingCancellation,
        OrderState::PendingCancellation,
    ];

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            OrderState::Cancelled
                | OrderState::Completed
                | OrderState::Failed
                | OrderState::Partial
                | OrderState::Rejected
        )
    }

    /// The legal moves of TMF641's life cycle.
    pub const fn may_become(self, next: OrderState) -> bool {
        use OrderState::{
            Acknowledged, AssessingCancellation, Cancelled, Completed, Failed, Held, InProgress, Partial, Pending,
            PendingCancellation, Rejected,
        };
        match self {
            Acknowledged => matches!(next, InProgress | Rejected | Cancelled | AssessingCancellation),
            InProgress => {
                matches!(next, Pending | Held | Completed | Failed | Partial | Cancelled | AssessingCancellation)
            }
            Pending | Held => matches!(next, InProgress | Cancelled | AssessingCancellation),
            AssessingCancellation => {
                matches!(next, PendingCancellation | Acknowledged | InProgress | Pending | Held)
            }
            PendingCancellation => matches!(next, Cancelled),
            Cancelled | Completed | Failed | Partial | Rejected => false,
        }
    }
}

impl std::str::FromStr for OrderState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// One thing asked of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// TMF641 item id, unique in its order.
    pub id: String,
    /// What is asked.
    pub kind: OrderKind,
    /// The line; made by the gateway for activate and reconnect where the order names none.
    pub line: LineId,
    /// The profile after the order: whole for activate and reconnect, merged for modify,
    /// the line's own for the others.
    pub profile: Profile,
    /// The terminated line that is reconnected.
    pub reconnects: Option<LineId>,
    /// Where it stands.
    pub state: OrderState,
    /// Why it ended so: `already-active`, a cause code; none for plain success.
    pub code: Option<String>,
    /// The item's service as it came, unknown fields kept.
    pub service: serde_json::Value,
    /// The item's action as it came: add, modify, delete.
    pub action: String,
}

/// A note on an order, written by a person, the gateway or a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// What.
    pub text: String,
}

/// One move of an order, oldest first: the customer's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// When.
    pub at: Timestamp,
    /// Short stable name: `acknowledged`, `activated`, `visit-agreed`, `completed`.
    pub name: String,
    /// For people.
    pub message: String,
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id; also the id of its saga.
    pub id: OrderId,
    /// The order system's own id.
    pub external_id: Option<String>,
    /// Who orders.
    pub customer: CustomerId,
    /// What is asked, in order.
    pub items: Vec<OrderItem>,
    /// Where it stands.
    pub state: OrderState,
    /// TMF641 priority, 0 (highest) to 4.
    pub priority: u8,
    /// Earliest start.
    pub requested_start: Option<Timestamp>,
    /// Why it was cancelled, where it was.
    pub cancellation_reason: Option<String>,
    /// Notes.
    pub notes: Vec<Note>,
    /// What happened so far.
    pub milestones: Vec<Milestone>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When work began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Top-level fields of the request that the gateway does not read, given back as they came.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Rises with every stored change; guards concurrent writers.
    pub version: u64,
}

impl Order {
    /// Moves the order, or says that it may not.
    pub fn become_state(&mut self, next: OrderState, at: Timestamp) -> Result<(), IllegalMove> {
        if self.state == next {
            return Ok(());
        }
        if !self.state.may_become(next) {
            return Err(IllegalMove { order: self.id.clone(), from: self.state, to: next });
        }
        self.state = next;
        match next {
            OrderState::InProgress => self.started = self.started.or(Some(at)),
            s if s.is_final() => self.completed = Some(at),
            _ => {}
        }
        Ok(())
    }
}

/// A move that TMF641's life cycle does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order {order}: {from} may not become {to}", from = from.as_str(), to = to.as_str())]
pub struct IllegalMove {
    /// The order.
    pub order: OrderId,
    /// Where it stands.
    pub from: OrderState,
    /// Where it was to go.
    pub to: OrderState,
}
