//! Charging accounts: the state that usage is rated against.
//!
//! Owns lines as charging sees them, buckets of cycles, sessions with their
//! reservations, and the keys of records seen. Does **not** own how a record is
//! judged and priced ([`super::rating`]) or where accounts are kept
//! ([`crate::ports::hot`]).
//!
//! Invariants: an account changes only in the hands of its owner, and its
//! version rises with every change that is made durable; the last bucket is the
//! open one and its cycle is the account's; what is reserved never exceeds what
//! is left under a cap when it is granted.
//!
//! Timestamps: times in lines are the network's (when an element reached a
//! state); `expires` and `last_activity` are the gateway's clock.

mod answers;
mod bucket;
mod codec;
mod command;
mod credit;
mod keys;
mod seen;
mod session;
mod view;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use answers::Answers;
pub use bucket::{Bucket, BucketMore, LineMore, LineTotal, Pool, Pot};
pub use command::{AccountCommand, CommandAnswer, Commanded, OpenSession};
pub use credit::TopUp;
pub use keys::{EventKeys, KeySeen};
pub use seen::NumberSet;
pub use session::{Reservation, Session, SessionEnd};
pub use view::{AccountView, LineView, SessionView};

use super::cycle::{BadCalendar, Calendar, CycleId};
use super::ids::{AccountId, Apn, CustomerId, DeviceId, LineId, PlanId};
use super::line::LineState;
use super::tariff::{ChargingSource, Rollover};
use super::time::{Interval, Timestamp};
use super::usage::{Identifier, UsageSource};

/// Limits of what one account keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountLimits {
    /// Answers kept in each session for repeated requests, 1 or more.
    pub answers_max: usize,
    /// Ranges of seen numbers kept in each session and each modem boot.
    pub number_ranges_max: usize,
    /// Sessions kept in an account, open and ended.
    pub sessions_max: usize,
    /// How long an ended Gy session is known for repeats, seconds.
    pub session_keys_live_s: u64,
    /// The same for an Rf session, whose client may have kept records for days.
    pub rf_session_keys_live_s: u64,
    /// How long after Tcc a silent session is forgotten, seconds.
    pub session_idle_s: u64,
    /// Boots kept for each modem.
    pub modem_boots_max: usize,
    /// How long a modem's boot is known after its last record, seconds.
    pub modem_keys_live_s: u64,
    /// Keys of file rows and single events kept in an account; past them records
    /// go to suspense. An account's state is written whole with each change, about
    /// 13 bytes for a key.
    pub event_keys_max: usize,
    /// How long such a key is known, seconds.
    pub event_keys_live_s: u64,
    /// Answers to one-time events kept in an account; a repeat older than that
    /// hears that it was done, and not what it cost.
    pub event_answers_max: usize,
    /// Keys of commands kept for each line.
    pub command_keys_max: usize,
    /// States and plans kept in a line's history.
    pub history_max: usize,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            answers_max: 4,
            number_ranges_max: 32,
            sessions_max: 64,
            session_keys_live_s: 3600,
            rf_session_keys_live_s: 604_800,
            session_idle_s: 172_800,
            modem_boots_max: 8,
            modem_keys_live_s: 5_184_000,
            event_keys_max: 100_000,
            event_keys_live_s: 3_456_000,
            event_answers_max: 16,
            command_keys_max: 16,
            history_max: 32,
        }
    }
}

/// A line as charging sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineCharging {
    /// Which line.
    pub id: LineId,
    /// Its number within the account, used by buckets and sessions.
    pub no: u16,
    /// What usage may call it by, and when.
    pub identifiers: Vec<(Identifier, Interval)>,
    /// APNs that it may use; empty means those of its plan.
    pub apns: Vec<Apn>,
    /// Plans with their first instant, oldest first.
    pub plans: Vec<(Timestamp, PlanId)>,
    /// States with their first instant by the network's time, oldest first.
    pub states: Vec<(Timestamp, LineState)>,
    /// Who charges it, where not as its plan says.
    pub source: Option<ChargingSource>,
    /// Whether grants have stopped, ahead of a suspension.
    pub no_new_grant: bool,
    /// Hashes of the newest commands' keys.
    pub command_keys: Vec<u64>,
}

/// What has been seen of one boot of a modem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModemBoot {
    /// The modem.
    pub device: DeviceId,
    /// Enrolment epoch.
    pub epoch: u32,
    /// Boot counter.
    pub boot: u32,
    /// Sequence numbers seen.
    pub numbers: NumberSet,
    /// When the last one came.
    pub last_seen: Timestamp,
}

/// A charging account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Rises with every durable change; 0 before the first.
    pub version: u64,
    /// Who pays.
    pub customer: CustomerId,
    /// Day of the month on which its cycles start, 1 to 31.
    pub anchor_day: u8,
    /// IANA name of the zone that its cycles follow.
    pub zone: Box<str>,
    /// The open cycle.
    pub cycle: CycleId,
    /// The open cycle's stretch.
    pub bounds: Interval,
    /// The newest cycle that was closed.
    pub closed_through: CycleId,
    /// Cycles by age; the last is the open one, the others wait for their close,
    /// but for closed ones that are kept to price late usage or roll over.
    pub buckets: Vec<Bucket>,
    /// Its lines.
    pub lines: Vec<LineCharging>,
    /// Number of the next line.
    pub next_line: u16,
    /// Sessions, open and lately ended.
    pub sessions: Vec<Session>,
    /// Modems heard of.
    pub modems: Vec<ModemBoot>,
    /// Keys of file rows and single events.
    pub event_keys: EventKeys,
    /// The newest answers to one-time events by their keys' hashes.
    pub event_answers: Answers,
}

/// An account that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("decode account: {reason}")]
pub struct BadAccount {
    /// What is wrong.
    pub reason: String,
}

/// Where usage of a cycle is accumulated and billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accumulation {
    /// Index of the bucket that prices it.
    pub bucket: usize,
    /// The cycle that bills it.
    pub billed: CycleId,
    /// The usage's own cycle, where that was closed.
    pub late_for: Option<CycleId>,
}

impl Account {
    /// An account without lines whose cycle is the one at `at`.
    pub fn new(
        id: AccountId,
        customer: CustomerId,
        anchor_day: u8,
        zone: &str,
        at: Timestamp,
    ) -> Result<Self, BadCalendar> {
        let calendar = Calendar::new(anchor_day, zone)?;
        let cycle = calendar.cycle_at(at);
        Ok(Self {
            id,
            version: 0,
            customer,
            anchor_day,
            zone: Box::from(zone),
            cycle,
            bounds: calendar.bounds(cycle),
            closed_through: cycle.previous(),
            buckets: vec![Bucket::new(cycle)],
            lines: Vec::new(),
            next_line: 0,
            sessions: Vec::new(),
            modems: Vec::new(),
            event_keys: EventKeys::default(),
            event_answers: Answers::default(),
        })
    }

    /// One of its lines.
    pub fn line(&self, id: &LineId) -> Option<&LineCharging> {
        self.lines.iter().find(|line| line.id == *id)
    }

    pub(crate) fn line_by_no(&self, no: u16) -> Option<&LineCharging> {
        self.lines.iter().find(|line| line.no == no)
    }

    /// One of its sessions.
    pub fn session(&self, source: UsageSource, id: &crate::domain::ids::SessionId) -> Option<usize> {
        self.sessions.iter().position(|s| s.source == source && s.id == *id)
    }

    /// Octets set aside for a line at `now`, over all its sessions.
    pub fn reserved(&self, line: u16, now: Timestamp) -> u64 {
        self.sessions.iter().filter(|s| s.line == line).fold(0, |sum, s| sum.saturating_add(s.reserved(now)))
    }

    /// Groups of a line that hold a grant at `now`, over all its sessions.
    pub fn holding(&self, line: u16, now: Timestamp) -> u64 {
        let of_line = self.sessions.iter().filter(|s| s.line == line);
        of_line.flat_map(|s| &s.reservations).filter(|r| r.expires > now).count() as u64
    }

    /// Moves on to the cycle that `now` is in; the one before keeps its bucket
    /// until it is closed.
    pub fn roll(&mut self, now: Timestamp) -> bool {
        if now < self.bounds.until {
            return false;
        }
        let calendar = self.calendar();
        self.open_cycle(calendar.cycle_at(now), &calendar);
        true
    }

    /// For a new account: months that ended before `now`, and those that are
    /// closed for everybody, count as closed, so that their usage is billed late
    /// and not in a cycle that nobody bills any more.
    pub fn begin_behind(&mut self, closed: Option<CycleId>, now: Timestamp) {
        let ended = self.calendar().cycle_at(now).previous();
        self.close(closed.map_or(ended, |closed| closed.max(ended)));
    }

    /// Where usage that ended at `at` (not later than the open cycle's end) counts.
    pub fn accumulation(&mut self, at: Timestamp) -> Accumulation {
        let open = self.buckets.len() - 1;
        let own = if self.bounds.contains(at) { self.cycle } else { self.calendar().cycle_at(at).min(self.cycle) };
        if own == self.cycle {
            return Accumulation { bucket: open, billed: own, late_for: None };
        }
        let kept = self.buckets.iter().position(|b| b.cycle == own);
        if own <= self.closed_through {
            return Accumulation { bucket: kept.unwrap_or(open), billed: self.cycle, late_for: Some(own) };
        }
        let bucket = kept.unwrap_or_else(|| {
            let at = self.buckets.partition_point(|b| b.cycle < own);
            self.buckets.insert(at, Bucket::new(own));
            at
        });
        Accumulation { bucket, billed: own, late_for: None }
    }

    /// Closes a cycle: its usage is final, and what comes late goes to the next
    /// bill. Lines that ended before it and used nothing are forgotten and
    /// returned. `None` when it was closed before.
    pub fn close(&mut self, cycle: CycleId) -> Option<Vec<LineCharging>> {
        if cycle <= self.closed_through {
            return None;
        }
        let calendar = self.calendar();
        if self.cycle <= cycle {
            self.open_cycle(cycle.next(), &calendar);
        }
        self.closed_through = cycle;
        for bucket in self.buckets.iter_mut().filter(|b| b.cycle <= cycle) {
            bucket.closed = true;
        }
        let last_closed = self.buckets.iter().rev().find(|b| b.closed).map(|b| b.cycle);
        let open = self.cycle;
        self.buckets.retain(|b| !b.closed || Some(b.cycle) == last_closed || b.rolls_into(open));
        Some(self.forget_ended_lines(calendar.bounds(cycle).from))
    }

    /// Forgets what has outlived its limit at `now`: reservations past Tcc,
    /// keys, silent sessions. Returns the sessions forgotten.
    pub fn tick(&mut self, now: Timestamp, limits: &AccountLimits) -> Vec<Session> {
        let mut forgotten = Vec::new();
        let mut at = 0;
        while at < self.sessions.len() {
            if self.sessions[at].forgotten_at(limits) <= now {
                forgotten.push(self.sessions.remove(at));
            } else {
                self.sessions[at].reservations.retain(|r| r.expires > now);
                at += 1;
            }
        }
        self.modems.retain(|m| m.last_seen.plus(Duration::from_secs(limits.modem_keys_live_s)) > now);
        self.event_keys.expire(now, limits);
        forgotten
    }

    /// The client `peer` has lost its Gy sessions that were last heard of before
    /// then: nothing is set aside for them any more. Returns how many. Rf clients
    /// keep their records over a restart and report them late.
    pub fn lose_sessions(&mut self, peer: &str, before: Timestamp) -> usize {
        let lost = |s: &&mut Session| {
            s.source == UsageSource::Gy
                && s.is_open()
                && s.last_activity < before
                && s.peer.as_ref().is_some_and(|of| of.as_str().eq_ignore_ascii_case(peer))
        };
        let mut count = 0;
        for session in self.sessions.iter_mut().filter(lost) {
            session.reservations.clear();
            session.end = SessionEnd::ByClient(before);
            count += 1;
        }
        count
    }

    /// When [`Account::tick`] next has a session or a reservation to look at.
    pub fn next_tick(&self, limits: &AccountLimits) -> Option<Timestamp> {
        let expiries = self.sessions.iter().flat_map(|s| s.reservations.iter().map(|r| r.expires));
        expiries.chain(self.sessions.iter().map(|s| s.forgotten_at(limits))).min()
    }

    /// Gives live reservations the time back during which we could not serve.
    pub fn lengthen_reservations(&mut self, last_alive: Timestamp, downtime: Duration) -> bool {
        let mut changed = false;
        for reservation in self.sessions.iter_mut().flat_map(|s| s.reservations.iter_mut()) {
            if reservation.expires > last_alive {
                reservation.expires = reservation.expires.plus(downtime);
                changed = true;
            }
        }
        changed
    }

    /// The bucket of a cycle up to the open one, made where it is missing.
    pub(crate) fn bucket_mut(&mut self, cycle: CycleId) -> &mut Bucket {
        let at = self.buckets.partition_point(|b| b.cycle < cycle);
        if self.buckets.get(at).is_none_or(|b| b.cycle != cycle) {
            let closed = cycle <= self.closed_through;
            self.buckets.insert(at, Bucket { closed, ..Bucket::new(cycle) });
        }
        &mut self.buckets[at]
    }

    pub(crate) fn bucket(&self, cycle: CycleId) -> Option<&Bucket> {
        self.buckets.iter().rev().find(|b| b.cycle == cycle)
    }

    fn open_cycle(&mut self, cycle: CycleId, calendar: &Calendar) {
        if self.buckets.last().is_some_and(|open| open.totals.is_empty()) {
            self.buckets.pop();
        }
        self.cycle = cycle;
        self.bounds = calendar.bounds(cycle);
        self.buckets.push(Bucket::new(cycle));
    }

    fn forget_ended_lines(&mut self, before: Timestamp) -> Vec<LineCharging> {
        let (buckets, sessions) = (&self.buckets, &self.sessions);
        // What an ended line has brought into a pool may be used as long as it rolls over.
        let pools_roll = buckets.iter().any(|b| b.pools_roll_into(self.cycle));
        let before = match pools_roll {
            true => self.calendar().bounds(self.cycle.earlier(Rollover::CYCLES_MAX)).from,
            false => before,
        };
        let ended = |line: &LineCharging| {
            line.states.last().is_some_and(|(from, state)| {
                matches!(state, LineState::Terminated | LineState::Absent) && *from < before
            }) && !sessions.iter().any(|s| s.line == line.no)
                && !buckets.iter().any(|b| b.total(line.no).is_some())
        };
        let (gone, kept) = std::mem::take(&mut self.lines).into_iter().partition(ended);
        self.lines = kept;
        gone
    }

    /// When its cycles begin.
    pub(crate) fn calendar(&self) -> Calendar {
        Calendar::new(self.anchor_day, &self.zone).expect("an account's calendar was checked when it was made")
    }
}

impl LineCharging {
    /// The plan at `at`; the first one for times before it.
    pub fn plan_at(&self, at: Timestamp) -> Option<&PlanId> {
        let later = self.plans.partition_point(|(from, _)| *from <= at);
        self.plans.get(later.saturating_sub(1)).map(|(_, plan)| plan)
    }

    /// The newest state.
    pub fn state(&self) -> LineState {
        self.states.last().map_or(LineState::Absent, |(_, state)| *state)
    }

    /// Whether it was in service at any instant from `from` to `until`, both included.
    pub fn was_active(&self, from: Timestamp, until: Timestamp) -> bool {
        let ends = self.states.iter().skip(1).map(|(from, _)| *from).chain([Timestamp::MAX]);
        self.states
            .iter()
            .zip(ends)
            .any(|((began, state), ended)| *state == LineState::Active && *began <= until && from < ended)
    }
}

/// The slot of an account, 0 to 63: fixed for all time, because shared engines
/// and shards place accounts by it.
pub fn slot_of(account: &AccountId) -> u8 {
    (stable_hash(account.as_str().as_bytes()) % 64) as u8
}

/// FNV-1a with 64 bits and a final mix: the same for all time.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ (hash >> 29)
}
