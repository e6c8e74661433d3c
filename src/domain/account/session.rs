//! Charging sessions of an account, with what is reserved for them.

use std::time::Duration;

use super::seen::NumberSet;
use super::{AccountLimits, Answers};
use crate::domain::ids::{Apn, ClientHost, SessionId};
use crate::domain::network::Plmn;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, GroupRequest, Outcome};
use crate::domain::time::Timestamp;
use crate::domain::usage::UsageSource;

/// Octets set aside for one group of a session: a pending transfer that is
/// posted by a report, voided by the end of the group, or expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Rating-Group.
    pub rating_group: u32,
    /// Service-Identifiers: groups that differ in them have their own quota.
    pub services: Vec<u32>,
    /// What the client may still use of its grant.
    pub octets: u64,
    /// When the group was granted it, or last reported: its next report tells the rate.
    pub since: Timestamp,
    /// Tcc: from here on nothing is set aside.
    pub expires: Timestamp,
}

impl Reservation {
    /// Whether it is what is set aside for `group`.
    pub fn is_for(&self, group: &GroupRequest) -> bool {
        self.rating_group == group.rating_group && self.services == group.services
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// Goes on.
    Open,
    /// We ended it; its last usage is still to come, and is rated.
    ByUs,
    /// The client reported its end at that time.
    ByClient(Timestamp),
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Session-Id.
    pub id: SessionId,
    /// Gy or Rf: each counts its own request numbers.
    pub source: UsageSource,
    /// Origin-Host of the client.
    pub peer: Option<ClientHost>,
    /// Number of the line within the account.
    pub line: u16,
    /// The APN that it was opened with.
    pub apn: Option<Apn>,
    /// The serving network named last; kept where the line's plan asks for it.
    pub network: Option<Plmn>,
    /// Request numbers seen.
    pub numbers: NumberSet,
    /// The newest answers by request number.
    pub answers: Answers,
    /// One for each group that holds a grant.
    pub reservations: Vec<Reservation>,
    /// When the last request came, by the gateway's clock.
    pub last_activity: Timestamp,
    /// Up to where its usage has been reported, by the usage's own time.
    pub reported_until: Timestamp,
    /// How it ended.
    pub end: SessionEnd,
}

impl Session {
    /// Whether the client has not reported its end.
    pub fn is_open(&self) -> bool {
        !matches!(self.end, SessionEnd::ByClient(_))
    }

    /// The stored answer to a repeated request; a bare success where the
    /// request is older than the answers kept.
    pub fn answer_to(&self, number: u32, request: &ChargeRequest) -> ChargeAnswer {
        let stored = self.answers.find(u64::from(number));
        let mut answer = stored.unwrap_or_else(|| ChargeAnswer::alike(Outcome::Success, request));
        answer.repeated = true;
        answer
    }

    /// Octets set aside at `now`.
    pub fn reserved(&self, now: Timestamp) -> u64 {
        self.reservations.iter().filter(|r| r.expires > now).fold(0, |sum, r| sum.saturating_add(r.octets))
    }

    /// Gives back what is set aside for a group.
    pub fn release(&mut self, group: &GroupRequest) -> Option<Reservation> {
        let at = self.reservations.iter().position(|r| r.is_for(group))?;
        Some(self.reservations.swap_remove(at))
    }

    /// How readily it gives way to another session where the account is full:
    /// the lowest first. `None` while something is set aside for it.
    ///
    /// Ended Gy sessions go first, because a repeat of an unknown one is refused;
    /// then those that have been silent for long. A repeat of an Rf session that
    /// is not known would be counted again: it is kept as long as there is another.
    pub(crate) fn gives_way(&self, now: Timestamp, limits: &AccountLimits) -> Option<(u8, Timestamp)> {
        let quiet = self.last_activity.plus(Duration::from_secs(limits.session_keys_live_s)) <= now;
        match (self.end, self.source) {
            (SessionEnd::ByClient(when), UsageSource::Rf) => Some((2, when)),
            (SessionEnd::ByClient(when), _) => Some((0, when)),
            (SessionEnd::Open | SessionEnd::ByUs, _) if self.reservations.iter().any(|r| r.expires > now) => None,
            (SessionEnd::Open | SessionEnd::ByUs, _) => Some((if quiet { 1 } else { 3 }, self.last_activity)),
        }
    }

    /// When its keys may be forgotten.
    pub fn forgotten_at(&self, limits: &AccountLimits) -> Timestamp {
        match self.end {
            SessionEnd::ByClient(at) => {
                let live = match self.source {
                    UsageSource::Rf => limits.rf_session_keys_live_s,
                    UsageSource::Gy | UsageSource::Modem | UsageSource::File | UsageSource::TopUp => {
                        limits.session_keys_live_s
                    }
                };
                at.plus(Duration::from_secs(live))
            }
            SessionEnd::Open | SessionEnd::ByUs => {
                let tcc = self.reservations.iter().map(|r| r.expires).max().unwrap_or(self.last_activity);
                tcc.max(self.last_activity).plus(Duration::from_secs(limits.session_idle_s))
            }
        }
    }
}
