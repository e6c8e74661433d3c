//! Visits: workers, their slots, the outbound call that agrees on one.
//!
//! Owns slots, appointments and calls, and the retry plan of a call. Does
//! **not** own the task that the worker carries out ([`super::fieldwork`]).
//!
//! Invariants: a slot holds at most `capacity` appointments, kept by the store's
//! transaction; an appointment has a slot exactly while it is `Agreed`.
//!
//! Timestamps: `span` is the agreed stretch, `next_attempt` when to call again.

use serde::{Deserialize, Serialize};

use super::ids::{AppointmentId, CallId, CustomerId, OrderId, SlotId, WorkerId};
use super::time::{Interval, Timestamp};

/// Someone who visits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// For people.
    pub name: String,
    /// What it can do: `internet`, `tv`.
    pub skills: Vec<String>,
    /// Where it goes: a prefix of the address, empty for everywhere.
    pub area: String,
}

/// A bookable piece of a worker's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its id.
    pub id: SlotId,
    /// Whose time.
    pub worker: WorkerId,
    /// When.
    pub span: Interval,
    /// How many appointments fit, at least 1.
    pub capacity: u32,
    /// How many are held.
    pub held: u32,
}

/// Where an appointment stands; TMF646 `appointment.status` beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppointmentState {
    /// Wanted; the customer has not been reached (TMF646 `initialized`).
    Wanted,
    /// Time and worker agreed (TMF646 `confirmed`).
    Agreed,
    /// The visit took place (TMF646 `completed`).
    Done,
    /// Not needed any more (TMF646 `cancelled`).
    Cancelled,
    /// The worker returned the job (TMF646 `failed`).
    Failed,
}

impl AppointmentState {
    /// TMF646 `appointment.status`.
    pub const fn tmf(self) -> &'static str {
        match self {
            AppointmentState::Wanted => "initialized",
            AppointmentState::Agreed => "confirmed",
            AppointmentState::Done => "completed",
            AppointmentState::Cancelled => "cancelled",
            AppointmentState::Failed => "failed",
        }
    }
}

/// A visit to be agreed, or agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Its id.
    pub id: AppointmentId,
    /// The order that needs it.
    pub order: OrderId,
    /// Whom to visit.
    pub customer: CustomerId,
    /// Whom to call.
    pub phone: Option<String>,
    /// Where.
    pub address: String,
    /// What the worker must be able to do.
    pub skills: Vec<String>,
    /// Where it stands.
    pub state: AppointmentState,
    /// The slot held, while agreed.
    pub slot: Option<SlotId>,
    /// The worker, once agreed.
    pub worker: Option<WorkerId>,
    /// When, once agreed.
    pub span: Option<Interval>,
    /// When it was asked for.
    pub created: Timestamp,
    /// Rises with every stored change.
    pub version: u64,
}

/// Where an entry of the outbound-call list stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallState {
    /// To be called at `next_attempt` or later.
    Due,
    /// Reached; a time was agreed.
    Agreed,
    /// Reached; the customer does not want the visit any more.
    Refused,
    /// The retry plan is used up.
    Exhausted,
    /// Not needed any more.
    Cancelled,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum CallOutcome {
    /// The customer agreed on a slot.
    Agreed {
        /// The slot.
        slot: SlotId,
    },
    /// Nobody answered.
    NoAnswer,
    /// The line was busy, or the customer asked to be called later.
    CallBack {
        /// Not before.
        at: Timestamp,
    },
    /// The customer refused the visit.
    Refused,
}

/// An entry of the outbound-call list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// The visit to agree on.
    pub appointment: AppointmentId,
    /// The order behind it.
    pub order: OrderId,
    /// Whom to call.
    pub phone: Option<String>,
    /// Where it stands.
    pub state: CallState,
    /// What was tried, oldest first.
    pub attempts: Vec<CallAttempt>,
    /// When to call.
    pub next_attempt: Timestamp,
    /// Rises with every stored change.
    pub version: u64,
}

/// One attempt to reach the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAttempt {
    /// When.
    pub at: Timestamp,
    /// Who called.
    pub agent: String,
    /// What came of it.
    pub outcome: CallOutcome,
}

/// When to call again, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPlan {
    /// Attempts without an agreement before the call is given up, at least 1.
    pub attempts_max: u32,
    /// Delay after the first, second, … attempt, milliseconds; the last one repeats.
    pub intervals_ms: Vec<u64>,
}

/// A call that takes no more attempts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record attempt of call {call}: it is {state:?}")]
pub struct CallClosed {
    /// Which.
    pub call: CallId,
    /// Where it stands.
    pub state: CallState,
}

impl Call {
    /// Records one attempt and what follows from it.
    pub fn record(
        &mut self,
        agent: &str,
        outcome: CallOutcome,
        now: Timestamp,
        plan: &CallPlan,
    ) -> Result<(), CallClosed> {
        if self.state != CallState::Due {
            return Err(CallClosed { call: self.id.clone(), state: self.state });
        }
        let tried = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let exhausted = tried >= plan.attempts_max.max(1);
        self.state = match &outcome {
            CallOutcome::Agreed { .. } => CallState::Agreed,
            CallOutcome::Refused => CallState::Refused,
            CallOutcome::NoAnswer | CallOutcome::CallBack { .. } if exhausted => CallState::Exhausted,
            CallOutcome::NoAnswer => {
                let nth = plan.intervals_ms.get(self.attempts.len()).or(plan.intervals_ms.last());
                self.next_attempt = now.plus(std::time::Duration::from_millis(nth.copied().unwrap_or(0)));
                CallState::Due
            }
            CallOutcome::CallBack { at } => {
                self.next_attempt = (*at).max(now);
                CallState::Due
            }
        };
        self.attempts.push(CallAttempt { at: now, agent: agent.to_owned(), outcome });
        Ok(())
    }
}

impl Worker {
    /// Whether the worker can do the job there: every skill, and the address in the area.
    pub fn suits(&self, skills: &[String], address: &str) -> bool {
        address.starts_with(&self.area) && skills.iter().all(|s| self.skills.contains(s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcomes: &[CallOutcome], expected: CallState, next_ms: i64) {
        let plan = CallPlan { attempts_max: 3, intervals_ms: vec![1_000, 5_000] };
        let mut call = Call {
            id: "c".into(),
            appointment: "a".into(),
            order: "o".into(),
            phone: None,
            state: CallState::Due,
            attempts: vec![],
            next_attempt: Timestamp(0),
            version: 0,
        };
        for outcome in outcomes {
            call.record("agent", outcome.clone(), Timestamp(100), &plan).unwrap();
        }
        assert_eq!((call.state, call.next_attempt), (expected, Timestamp(next_ms)), "{outcomes:?}");
    }

    #[test]
    fn a_call_is_tried_again_by_plan_and_then_given_up() {
        use CallOutcome::{CallBack, NoAnswer, Refused};
        check(&[NoAnswer], CallState::Due, 1_100);
        check(&[NoAnswer, NoAnswer], CallState::Due, 5_100);
        check(&[NoAnswer, NoAnswer, NoAnswer], CallState::Exhausted, 5_100);
        check(&[CallBack { at: Timestamp(777) }], CallState::Due, 777);
        check(&[NoAnswer, Refused], CallState::Refused, 1_100);
    }

    #[test]
    fn a_worker_suits_by_every_skill_and_the_area() {
        let worker = Worker {
            id: "w".into(),
            name: "Kim".into(),
            skills: vec!["internet".into(), "tv".into()],
            area: "Seoul".into(),
        };
        assert!(worker.suits(&["internet".into(), "tv".into()], "Seoul, Jongno-gu 1"));
        assert!(!worker.suits(&["internet".into()], "Busan 1"));
        assert!(!worker.suits(&["fibre".into()], "Seoul"));
    }
}
