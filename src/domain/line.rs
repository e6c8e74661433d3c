//! Lines: service contracts on the network (회선).
//!
//! A line has three states that never stand for each other: **intended** (what
//! orders have asked for), **actual** (what the elements hold) and **session**
//! (what the device does at this moment). Owns their meaning and the line's
//! identifiers with the interval in which they hold. Does **not** own how an
//! order moves a line ([`super::ordering`]) or what its usage costs.
//!
//! Timestamps: `created` is when the line was first ordered, `Period::from` and
//! `until` when a state began and ended on the elements.

use serde::{Deserialize, Serialize};

use super::ids::{AccountId, Apn, CustomerId, DeviceId, ElementId, LineId, OrderId, PlanId};
use super::ordering::OrderKind;
use super::tariff::ChargingSource;
use super::time::{Interval, Timestamp};
use super::usage::Identifier;

/// How a line reaches the customer: `serviceSpecification.id` in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// A SIM in an IoT modem.
    Cellular,
    /// Fixed internet behind an OLT.
    Internet,
    /// TV behind an IPTV head end.
    Tv,
}

impl Access {
    /// As orders, files and settings write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Access::Cellular => "cellular",
            Access::Internet => "internet",
            Access::Tv => "tv",
        }
    }

    /// Whether a worker has to visit before the line is in use.
    pub const fn needs_visit(self) -> bool {
        matches!(self, Access::Internet | Access::Tv)
    }
}

impl std::str::FromStr for Access {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "cellular" => Ok(Access::Cellular),
            "internet" => Ok(Access::Internet),
            "tv" => Ok(Access::Tv),
            _ => Err(()),
        }
    }
}

/// Where a line stands, for intent and for the elements alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    /// Not on the network: ordered and not yet activated, or undone.
    Absent,
    /// In service.
    Active,
    /// Kept, out of service.
    Suspended,
    /// Ended; final.
    Terminated,
}

impl LineState {
    /// As REST, stores and modems write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            LineState::Absent => "absent",
            LineState::Active => "active",
            LineState::Suspended => "suspended",
            LineState::Terminated => "terminated",
        }
    }

    /// TMF638 `service.state`.
    pub const fn tmf(self) -> &'static str {
        match self {
            LineState::Absent => "reserved",
            LineState::Active => "active",
            LineState::Suspended => "inactive",
            LineState::Terminated => "terminated",
        }
    }
}

impl LineState {
    /// Whether the network holds a subscription for it, in service or barred.
    pub const fn is_subscribed(self) -> bool {
        matches!(self, LineState::Active | LineState::Suspended)
    }
}

/// What the device does at this moment, learnt from birth, will, Gy and S6a.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// Whether the modem's MQTT session is up.
    pub modem_online: bool,
    /// When the modem came, went or reported last.
    pub modem_seen: Option<Timestamp>,
    /// The newest of its sessions that the modem told of, by its own count.
    #[serde(default)]
    pub modem_session: Option<u64>,
    /// The gateway that holds its connection, or held it last; `None` behind a broker.
    #[serde(default)]
    pub modem_gateway: Option<String>,
    /// The desired-state version that the modem last reported as reached.
    pub modem_version: Option<u64>,
    /// Why the modem has not reached the present version, in its own words.
    #[serde(default)]
    pub modem_refusal: Option<String>,
    /// Origin-Host of the serving MME (TS 29.272), while attached.
    pub serving_mme: Option<String>,
}

impl SessionState {
    /// Notes that the modem came or went. The end of an old session may be heard of
    /// after the next one began, here or at another gateway: it changes nothing.
    /// Hearing the same again changes nothing.
    pub fn notice(&mut self, presence: &Presence) {
        let Presence { online, session, gateway, at } = presence;
        let is_old = match (session, self.modem_session) {
            (Some(told), Some(newest)) => *told < newest,
            _ => !online && self.modem_seen.is_some_and(|seen| *at < seen),
        };
        let is_elsewhere =
            !online && gateway.is_some() && self.modem_gateway.is_some() && *gateway != self.modem_gateway;
        let is_known = *online == self.modem_online
            && (session.is_none() || *session == self.modem_session)
            && (gateway.is_none() || *gateway == self.modem_gateway);
        if is_old || is_elsewhere || is_known {
            return;
        }
        self.modem_online = *online;
        self.modem_seen = Some(*at);
        self.modem_session = session.or(self.modem_session);
        self.modem_gateway = gateway.clone().or_else(|| self.modem_gateway.take());
    }
}

/// A modem that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whether it is there.
    pub online: bool,
    /// The modem's own count of its sessions, where it said one.
    pub session: Option<u64>,
    /// The gateway that holds or held its connection; `None` where the modem
    /// itself told, and where a broker stands between.
    pub gateway: Option<String>,
    /// When it was seen.
    pub at: Timestamp,
}

/// What the line is on the network; changed by a `modify` order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The kind of access.
    pub access: Access,
    /// 6 to 15 digits, cellular only.
    pub imsi: Option<String>,
    /// Up to 15 digits.
    pub msisdn: Option<String>,
    /// The modem, where one reports or is steered.
    pub device: Option<DeviceId>,
    /// APNs that the line may use; usage on any other is foreign.
    pub apns: Vec<Apn>,
    /// The plan it is charged by.
    pub plan: PlanId,
    /// Who charges its usage, where not as the plan says.
    pub source: Option<ChargingSource>,
    /// Installation address, for a visit.
    pub address: Option<String>,
    /// Where documents go.
    pub email: Option<String>,
    /// Where SMS and calls go.
    pub phone: Option<String>,
}

impl Profile {
    /// What usage records may call this line by.
    pub fn identifiers(&self) -> Vec<Identifier> {
        let imsi = self.imsi.iter().map(Identifier::imsi);
        let msisdn = self.msisdn.iter().map(Identifier::msisdn);
        let device = self.device.iter().cloned().map(Identifier::Device);
        imsi.chain(msisdn).chain(device).collect()
    }
}

/// A stretch of time in one actual state; the input of proration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The state.
    pub state: LineState,
    /// When it held.
    pub span: Interval,
}

/// A plan held over a stretch of time; the input of recurring charges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPeriod {
    /// The plan.
    pub plan: PlanId,
    /// When it held.
    pub span: Interval,
}

/// An order that waits for its line, or is in flight on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedOrder {
    /// The order.
    pub order: OrderId,
    /// What it asks of the line.
    pub kind: OrderKind,
}

/// One line. Its session state is kept beside it ([`SessionState`]), because it
/// changes with the radio and not with orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id; also TMF638 `service.id`.
    pub id: LineId,
    /// Who pays.
    pub customer: CustomerId,
    /// Where its usage is charged.
    pub account: AccountId,
    /// What it is on the network.
    pub profile: Profile,
    /// What orders have asked for.
    pub intended: LineState,
    /// What the elements hold.
    pub actual: LineState,
    /// The element that holds it, once provisioned.
    pub element: Option<ElementId>,
    /// Version of the desired state, rising with every change sent to the modem.
    pub desired_version: u64,
    /// The order that moved it last.
    pub last_order: Option<OrderId>,
    /// Orders on the line that have not ended: the first is in flight, the rest wait.
    pub queue: Vec<QueuedOrder>,
    /// The line that this one reconnects.
    pub reconnects: Option<LineId>,
    /// Actual states over time, oldest first, the last one open.
    pub periods: Vec<Period>,
    /// Plans over time, oldest first, the last one open.
    pub plans: Vec<PlanPeriod>,
    /// When it was first ordered.
    pub created: Timestamp,
    /// Rises with every stored change; guards concurrent writers.
    pub version: u64,
}

/// What of a line concerns its device: read for each modem that comes or tells
/// something, so it is a line without its history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeviceLine {
    /// See [`Line::id`].
    pub id: LineId,
    /// See [`Line::profile`].
    pub profile: DeviceProfile,
    /// See [`Line::actual`].
    pub actual: LineState,
    /// See [`Line::desired_version`].
    pub desired_version: u64,
    /// See [`Line::last_order`].
    pub last_order: Option<OrderId>,
}

impl From<&Line> for DeviceLine {
    fn from(line: &Line) -> Self {
        let Profile { device, apns, plan, .. } = &line.profile;
        Self {
            id: line.id.clone(),
            profile: DeviceProfile { device: device.clone(), apns: apns.clone(), plan: plan.clone() },
            actual: line.actual,
            desired_version: line.desired_version,
            last_order: line.last_order.clone(),
        }
    }
}

/// What of a [`Profile`] concerns the device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeviceProfile {
    /// See [`Profile::device`].
    pub device: Option<DeviceId>,
    /// See [`Profile::apns`].
    pub apns: Vec<Apn>,
    /// See [`Profile::plan`].
    pub plan: PlanId,
}

impl Line {
    /// The intended state after everything that is queued.
    pub fn state_after_queue(&self) -> LineState {
        self.queue.iter().fold(self.intended, |state, queued| queued.kind.target(state))
    }

    /// Records that the elements hold `state` from `at` on: the one place where
    /// `actual` moves. Repeating it changes nothing.
    pub fn reach(&mut self, state: LineState, at: Timestamp) {
        if self.actual == state {
            return;
        }
        if let Some(open) = self.periods.last_mut().filter(|p| p.span.until == Timestamp::MAX) {
            open.span.until = at.max(open.span.from);
        }
        if state != LineState::Absent {
            self.periods.push(Period { state, span: Interval::starting(at) });
        }
        if state == LineState::Terminated || state == LineState::Absent {
            self.end_plan(at);
        } else if self.plans.last().is_none_or(|p| p.span.until != Timestamp::MAX) {
            self.plans.push(PlanPeriod { plan: self.profile.plan.clone(), span: Interval::starting(at) });
        }
        self.actual = state;
    }

    /// Records that a worker handed the line over at `at`: a line that somebody has
    /// to install is in service, and paid for, from then on, though its element
    /// was made ready before.
    pub fn handed_over(&mut self, at: Timestamp) {
        if let [first] = self.periods.as_mut_slice() {
            first.span.from = at.max(first.span.from).min(first.span.until);
        }
        if let [first] = self.plans.as_mut_slice() {
            first.span.from = at.max(first.span.from).min(first.span.until);
        }
    }

    /// Records a change of plan at `at`.
    pub fn change_plan(&mut self, plan: PlanId, at: Timestamp) {
        if self.profile.plan == plan {
            return;
        }
        self.profile.plan = plan.clone();
        if self.plans.last().is_some_and(|p| p.span.until == Timestamp::MAX) {
            self.end_plan(at);
            self.plans.push(PlanPeriod { plan, span: Interval::starting(at) });
        }
    }

    fn end_plan(&mut self, at: Timestamp) {
        if let Some(open) = self.plans.last_mut().filter(|p| p.span.until == Timestamp::MAX) {
            open.span.until = at.max(open.span.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(online: bool, session: Option<u64>, gateway: Option<&str>, at: i64) -> Presence {
        Presence { online, session, gateway: gateway.map(ToOwned::to_owned), at: Timestamp(at) }
    }

    /// What is heard one after the other, and whether the modem is online then.
    fn heard(all: &[Presence]) -> bool {
        let mut state = SessionState::default();
        all.iter().for_each(|presence| state.notice(presence));
        state.modem_online
    }

    #[test]
    fn the_end_of_an_old_session_is_no_news() {
        let will_of = |session| news(false, Some(session), None, 30);
        assert!(!heard(&[news(true, Some(1), None, 10), will_of(1)]));
        assert!(heard(&[news(true, Some(2), None, 10), will_of(1)]));
        assert!(heard(&[news(true, None, Some("a"), 10), news(false, None, Some("a"), 9)]));
        assert!(!heard(&[news(true, None, Some("a"), 10), news(false, None, Some("a"), 11)]));
    }

    #[test]
    fn a_gateway_gives_up_its_own_modems_only() {
        let moved = [news(true, None, Some("a"), 10), news(true, None, Some("b"), 20)];
        assert!(heard(&[moved[0].clone(), moved[1].clone(), news(false, None, Some("a"), 40)]));
        assert!(!heard(&[moved[0].clone(), moved[1].clone(), news(false, None, Some("b"), 40)]));
        // its will says it too, whoever held it
        assert!(!heard(&[moved[0].clone(), news(false, Some(7), None, 40)]));
    }

    #[test]
    fn hearing_the_same_again_changes_nothing() {
        let mut state = SessionState::default();
        state.notice(&news(true, Some(3), Some("a"), 10));
        let before = state.clone();
        state.notice(&news(true, Some(3), Some("a"), 20));
        state.notice(&news(true, None, None, 30));
        assert_eq!(state, before);
    }
}
