//! Visits: workers, their slots, the outbound call that agrees on one.
//!
//! Owns slots, calendars, appointments and calls, and the retry plan of a call.
//! Does **not** own the task that the worker carries out ([`super::fieldwork`]).
//!
//! Invariants: a slot takes an appointment only while it holds fewer than
//! `capacity`, kept by the store's transaction; an appointment has a slot only
//! while it is `Agreed`; a call is due only within the call hours.
//!
//! Timestamps: `span` is the agreed stretch, `next_attempt` when to call again.

mod calendar;
mod call_hours;
mod texts;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::calendar::{BadCalendar, Day, Hours, WorkCalendar, date_in, day_in};
pub use self::call_hours::CallHours;
pub use self::texts::visit_sms;
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
    /// Where it goes: prefixes of addresses, none for everywhere. Older bodies have one
    /// text, `area`.
    #[serde(default, alias = "area", deserialize_with = "one_or_many")]
    pub areas: Vec<String>,
    /// When it works; without one its slots are put by hand alone.
    #[serde(default)]
    pub calendar: Option<WorkCalendar>,
    /// When it cannot come all the same: ill, on leave.
    #[serde(default)]
    pub absences: Vec<Interval>,
}

/// One text or a list; empty ones say nothing.
fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let mut all = match OneOrMany::deserialize(d)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(all) => all,
    };
    all.retain(|text| !text.is_empty());
    Ok(all)
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
    /// How many appointments fit; 0 once it is withdrawn.
    pub capacity: u32,
    /// How many are held.
    pub held: u32,
}

impl Slot {
    /// Whether another appointment fits.
    pub const fn has_room(&self) -> bool {
        self.held < self.capacity
    }
}

/// Places held by each worker, for choosing the least loaded.
#[derive(Debug, Clone, Default)]
pub struct Load(BTreeMap<WorkerId, u32>);

impl Load {
    /// What these slots hold.
    pub fn of(slots: &[Slot]) -> Self {
        let mut load = BTreeMap::new();
        for slot in slots {
            *load.entry(slot.worker.clone()).or_insert(0u32) += slot.held;
        }
        Self(load)
    }

    /// What a worker holds.
    pub fn on(&self, worker: &WorkerId) -> u32 {
        self.0.get(worker).copied().unwrap_or(0)
    }

    /// The slot whose worker has least to do; of several the first by worker.
    pub fn least<'s>(&self, slots: impl IntoIterator<Item = &'s Slot>) -> Option<&'s Slot> {
        slots.into_iter().min_by_key(|s| (self.on(&s.worker), s.worker.clone()))
    }
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
    /// Its id at the scheduler outside, once that has it.
    #[serde(default)]
    pub external: Option<String>,
    /// How often it had to be agreed anew, from 0: each round is another visit to the
    /// scheduler outside.
    #[serde(default)]
    pub round: u32,
    /// When its round began, where that is not the first.
    #[serde(default)]
    pub wanted_since: Option<Timestamp>,
    /// Taken out of every list by a DELETE; the order behind it still reads it.
    #[serde(default)]
    pub deleted: bool,
    /// Rises with every stored change.
    pub version: u64,
}

impl Appointment {
    /// Whether it may still be moved or cancelled.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, AppointmentState::Wanted | AppointmentState::Agreed)
    }

    /// Back to where no time is agreed, in another round; gives the slot that it held.
    pub fn reopen(&mut self, now: Timestamp) -> Option<SlotId> {
        (self.state, self.worker, self.span) = (AppointmentState::Wanted, None, None);
        (self.external, self.wanted_since) = (None, Some(now));
        self.round = self.round.saturating_add(1);
        self.slot.take()
    }

    /// What the scheduler outside knows this round by.
    pub fn round_id(&self) -> String {
        match self.round {
            0 => self.id.to_string(),
            round => format!("{}-{round}", self.id),
        }
    }
}

/// A search for free time, kept with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSearchRecord {
    /// Its id.
    pub id: String,
    /// When it was made, or made again.
    pub searched: Timestamp,
    /// When it came.
    pub created: Timestamp,
    /// TMF646 `SearchTimeSlot` as it is answered.
    pub body: serde_json::Value,
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
    /// Where the visit is to be; the call hours are those of its zone.
    #[serde(default)]
    pub address: String,
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

/// When to call, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPlan {
    /// When customers may be called.
    pub hours: CallHours,
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
                let after = now.plus(std::time::Duration::from_millis(nth.copied().unwrap_or(0)));
                self.next_attempt = plan.hours.next(&self.address, after);
                CallState::Due
            }
            CallOutcome::CallBack { at } => {
                self.next_attempt = plan.hours.next(&self.address, (*at).max(now));
                CallState::Due
            }
        };
        self.attempts.push(CallAttempt { at: now, agent: agent.to_owned(), outcome });
        Ok(())
    }
}

impl Worker {
    /// Whether the worker can do the job there: every skill, and the address in an area.
    pub fn suits(&self, skills: &[String], address: &str) -> bool {
        let goes_there = self.areas.is_empty() || self.areas.iter().any(|area| address.starts_with(area.as_str()));
        goes_there && skills.iter().all(|s| self.skills.contains(s))
    }

    /// Whether the worker is away at some time of the span.
    pub fn is_away(&self, span: &Interval) -> bool {
        self.absences.iter().any(|away| away.intersect(span).is_some())
    }

    /// What its calendar makes of `span`; what was put by hand goes first.
    ///
    /// # Errors
    /// The calendar's zone is not known.
    pub fn calendar_slots(&self, span: Interval, by_hand: &[Slot]) -> Result<Vec<Slot>, BadCalendar> {
        let Some(calendar) = &self.calendar else { return Ok(vec![]) };
        let mut slots = calendar.slots(&self.id, span)?;
        slots.retain(|slot| !by_hand.iter().any(|other| other.span.intersect(&slot.span).is_some()));
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcomes: &[CallOutcome], expected: CallState, next_ms: i64) {
        let midnight = jiff::civil::Time::midnight();
        let hours = CallHours::new(midnight, midnight, "UTC", &BTreeMap::new()).unwrap();
        let plan = CallPlan { hours, attempts_max: 3, intervals_ms: vec![1_000, 5_000] };
        let mut call = Call {
            id: "c".into(),
            appointment: "a".into(),
            order: "o".into(),
            phone: None,
            address: String::new(),
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
    fn a_worker_suits_by_every_skill_and_one_of_the_areas() {
        let worker: Worker = serde_json::from_value(serde_json::json!({
            "id": "w", "name": "Kim", "skills": ["internet", "tv"], "areas": ["Incheon", "Seoul"],
        }))
        .unwrap();
        assert!(worker.suits(&["internet".into(), "tv".into()], "Seoul, Jongno-gu 1"));
        assert!(!worker.suits(&["internet".into()], "Busan 1"));
        assert!(!worker.suits(&["fibre".into()], "Seoul"));
        let everywhere: Worker =
            serde_json::from_str(r#"{"id": "w", "name": "Kim", "skills": ["tv"], "area": ""}"#).unwrap();
        assert!(everywhere.suits(&["tv".into()], "Busan 1"));
    }

    #[test]
    fn the_least_loaded_worker_is_chosen_then_the_first() {
        let slot = |worker: &str, held| Slot {
            id: worker.into(),
            worker: worker.into(),
            span: Interval { from: Timestamp(1), until: Timestamp(2) },
            capacity: 9,
            held,
        };
        let day = [slot("a", 2), slot("b", 1), slot("c", 1), slot("a", 1)];
        let load = Load::of(&day);
        assert_eq!(load.on(&"a".into()), 3);
        assert_eq!(load.least(&day).unwrap().worker.as_str(), "b");
        assert_eq!(load.least(&day[..1]).unwrap().worker.as_str(), "a");
        assert_eq!(load.least([]), None);
    }
}
