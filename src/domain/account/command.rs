//! Commands on an account, idempotent by key.

use super::{Account, AccountLimits, LineCharging, Pool, Session, SessionEnd, TopUp, stable_hash};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{ClientHost, CustomerId, LineId, SessionId};
use crate::domain::line::{LineState, Profile};
use crate::domain::rating::rerate::{Rerate, Rerated, rerate};
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::{UsageRecord, UsageSource};

/// What an account can be told. Commands go through the same queue as usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    /// Takes a line in, and makes the account where it is the first line.
    /// A line that is there already (withdrawn, and ordered anew) is taken over.
    OpenLine {
        /// Idempotency key.
        key: String,
        /// The line.
        line: LineId,
        /// Who pays.
        customer: CustomerId,
        /// Day of the month on which cycles start, 1 to 31; for a new account.
        anchor_day: u8,
        /// IANA zone of the cycles; for a new account.
        zone: String,
        /// What the line is.
        profile: Box<Profile>,
        /// The state that it is in from `at` on.
        state: LineState,
        /// By the network's time.
        at: Timestamp,
    },
    /// Identifiers, APNs, plan and source hold from `at` on.
    ChangeLine {
        /// Idempotency key.
        key: String,
        /// The line.
        line: LineId,
        /// What it becomes.
        profile: Box<Profile>,
        /// By the network's time.
        at: Timestamp,
    },
    /// The network brought the line to a state. `Active` allows grants again.
    /// An unknown line is no error for `Absent` and `Terminated`.
    Reach {
        /// Idempotency key.
        key: String,
        /// The line.
        line: LineId,
        /// The state.
        state: LineState,
        /// By the network's time.
        at: Timestamp,
    },
    /// No new grant until the line reaches `Active`; its open sessions count as
    /// ended by us and are returned, on a repeat too.
    StopGrants {
        /// Idempotency key.
        key: String,
        /// The line.
        line: LineId,
    },
    /// The line's open sessions that quota was granted to; changes nothing.
    OpenSessions {
        /// The line.
        line: LineId,
    },
    /// A session was ended at our wish, or is unknown to its client: what is
    /// reserved is given back, and its last usage is rated when it comes.
    EndedSession {
        /// The session.
        session: SessionId,
    },
    /// Raises what is left of a line's open cycle, once for each id.
    TopUp(TopUp),
    /// Rates a cycle again, once for each id.
    Rerate(Rerate),
    /// Closes a cycle, see [`Account::close`]; repeating it changes nothing.
    CloseCycle {
        /// Which.
        cycle: CycleId,
    },
}

/// A session to be ended or re-authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Session-Id.
    pub session: SessionId,
    /// Origin-Host of its client.
    pub peer: Option<ClientHost>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandAnswer {
    /// Done, now or by an earlier command with this key, and durable.
    Done,
    /// The sessions asked for; what went with it is durable.
    Sessions(Vec<OpenSession>),
    /// The account has no such line, or there is no such account.
    UnknownLine,
    /// What rating a cycle again changed, or would change.
    Rerated(Rerated),
    /// The account has moved on from the records that it was given: nothing changed.
    Outdated,
    /// It cannot be: the reason.
    Refused(String),
}

/// A command's effect on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commanded {
    /// The answer.
    pub answer: CommandAnswer,
    /// Whether the account changed and has to be stored.
    pub changed: bool,
    /// Lines whose identifiers changed, to be found by them from then on.
    pub lines_changed: Vec<LineId>,
    /// Lines that the account has forgotten.
    pub lines_forgotten: Vec<LineCharging>,
    /// What moved, for the log.
    pub records: Vec<UsageRecord>,
}

impl Commanded {
    pub(in crate::domain) fn unchanged(answer: CommandAnswer) -> Self {
        Self { answer, changed: false, lines_changed: Vec::new(), lines_forgotten: Vec::new(), records: Vec::new() }
    }

    pub(in crate::domain) fn changed(answer: CommandAnswer) -> Self {
        Self { changed: true, ..Self::unchanged(answer) }
    }
}

impl Account {
    /// Carries a command out.
    pub fn command(&mut self, command: AccountCommand, limits: &AccountLimits, now: Timestamp) -> Commanded {
        match command {
            AccountCommand::OpenLine { key, line, profile, state, at, .. } => {
                self.open_line(&key, line, &profile, state, at, limits)
            }
            AccountCommand::ChangeLine { key, line, profile, at } => {
                self.on_line(&key, &line, limits, |l| l.change(&profile, at, limits))
            }
            AccountCommand::Reach { key, line, state, at } => self.reach(&key, &line, state, at, limits),
            AccountCommand::StopGrants { key, line } => self.stop_grants(&key, &line, limits),
            AccountCommand::OpenSessions { line } => Commanded::unchanged(match self.line(&line) {
                Some(_) => CommandAnswer::Sessions(self.open_sessions(&line)),
                None => CommandAnswer::UnknownLine,
            }),
            AccountCommand::EndedSession { session } => self.ended_session(&session, now),
            AccountCommand::TopUp(top_up) => self.top_up(&top_up, limits, now),
            AccountCommand::Rerate(ask) => rerate(self, &ask, limits, now),
            AccountCommand::CloseCycle { cycle } => match self.close(cycle) {
                None => Commanded::unchanged(CommandAnswer::Done),
                Some(lines_forgotten) => Commanded { lines_forgotten, ..Commanded::changed(CommandAnswer::Done) },
            },
        }
    }

    fn open_line(
        &mut self,
        key: &str,
        id: LineId,
        profile: &Profile,
        state: LineState,
        at: Timestamp,
        limits: &AccountLimits,
    ) -> Commanded {
        if self.line(&id).is_some() {
            return self.on_line(key, &id, limits, |line| {
                line.change(profile, at, limits);
                line.reach(state, at, limits);
            });
        }
        let Some(next_line) = self.next_line.checked_add(1) else {
            return Commanded::unchanged(CommandAnswer::Refused(format!("account {}: too many lines", self.id)));
        };
        let mut line = LineCharging {
            id: id.clone(),
            no: self.next_line,
            identifiers: Vec::new(),
            apns: Vec::new(),
            plans: Vec::new(),
            states: Vec::new(),
            source: None,
            no_new_grant: false,
            command_keys: vec![stable_hash(key.as_bytes())],
        };
        line.change(profile, at, limits);
        line.reach(state, at, limits);
        self.next_line = next_line;
        self.lines.push(line);
        self.resize_pools();
        Commanded { lines_changed: vec![id], ..Commanded::changed(CommandAnswer::Done) }
    }

    fn reach(
        &mut self,
        key: &str,
        line: &LineId,
        state: LineState,
        at: Timestamp,
        limits: &AccountLimits,
    ) -> Commanded {
        let ends = matches!(state, LineState::Absent | LineState::Terminated);
        if ends && self.line(line).is_none() {
            return Commanded::unchanged(CommandAnswer::Done);
        }
        self.on_line(key, line, limits, |l| l.reach(state, at, limits))
    }

    fn stop_grants(&mut self, key: &str, line: &LineId, limits: &AccountLimits) -> Commanded {
        let mut done = self.on_line(key, line, limits, |l| l.no_new_grant = true);
        if done.answer == CommandAnswer::UnknownLine {
            return done;
        }
        done.answer = CommandAnswer::Sessions(self.open_sessions(line));
        let no = self.line(line).map(|l| l.no);
        if done.changed {
            for session in self.sessions.iter_mut().filter(|s| Some(s.line) == no && s.end == SessionEnd::Open) {
                session.end = SessionEnd::ByUs;
            }
        }
        done
    }

    fn ended_session(&mut self, id: &SessionId, now: Timestamp) -> Commanded {
        let Some(session) = self.sessions.iter_mut().find(|s| s.id == *id && s.is_open()) else {
            return Commanded::unchanged(CommandAnswer::Done);
        };
        if session.end == SessionEnd::ByUs && session.reservations.is_empty() {
            return Commanded::unchanged(CommandAnswer::Done);
        }
        session.end = SessionEnd::ByUs;
        session.reservations.clear();
        session.last_activity = session.last_activity.max(now);
        Commanded::changed(CommandAnswer::Done)
    }

    /// What lines bring into pools is worked out anew.
    fn resize_pools(&mut self) {
        self.pools_mut().for_each(|pool| pool.sized_by = None);
    }

    /// Pools look anew for what earlier cycles have left.
    pub(crate) fn look_into_pools_again(&mut self) {
        self.pools_mut().for_each(|pool| pool.is_dry = false);
    }

    fn pools_mut(&mut self) -> impl Iterator<Item = &mut Pool> {
        self.buckets.iter_mut().filter_map(|bucket| bucket.more.as_mut()).flat_map(|more| &mut more.pools)
    }

    fn open_sessions(&self, line: &LineId) -> Vec<OpenSession> {
        let Some(no) = self.line(line).map(|l| l.no) else { return Vec::new() };
        let gives_quota = |s: &&Session| s.source == UsageSource::Gy && s.is_open();
        let open = self.sessions.iter().filter(|s| s.line == no).filter(gives_quota);
        open.map(|s| OpenSession { session: s.id.clone(), peer: s.peer.clone() }).collect()
    }

    /// Changes a line once for each key.
    fn on_line(
        &mut self,
        key: &str,
        id: &LineId,
        limits: &AccountLimits,
        change: impl FnOnce(&mut LineCharging),
    ) -> Commanded {
        let Some(line) = self.lines.iter_mut().find(|l| l.id == *id) else {
            return Commanded::unchanged(CommandAnswer::UnknownLine);
        };
        let key = stable_hash(key.as_bytes());
        if line.command_keys.contains(&key) {
            return Commanded::unchanged(CommandAnswer::Done);
        }
        if line.command_keys.len() >= limits.command_keys_max.max(1) {
            line.command_keys.remove(0);
        }
        line.command_keys.push(key);
        change(line);
        self.resize_pools();
        Commanded { lines_changed: vec![id.clone()], ..Commanded::changed(CommandAnswer::Done) }
    }
}

impl LineCharging {
    /// Records a state from `at` on, or from the last change where `at` is before it.
    fn reach(&mut self, state: LineState, at: Timestamp, limits: &AccountLimits) {
        self.no_new_grant = state != LineState::Active;
        if matches!(state, LineState::Absent | LineState::Terminated) {
            self.release_identifiers(at);
        }
        if self.states.last().is_some_and(|(_, last)| *last == state) {
            return;
        }
        let from = self.states.last().map_or(at, |(last, _)| at.max(*last));
        self.states.push((from, state));
        keep_newest(&mut self.states, limits.history_max);
    }

    fn change(&mut self, profile: &Profile, at: Timestamp, limits: &AccountLimits) {
        self.apns.clone_from(&profile.apns);
        self.source = profile.source;
        let wanted = profile.identifiers();
        for (identifier, span) in &mut self.identifiers {
            if span.until == Timestamp::MAX && !wanted.contains(identifier) {
                span.until = at.max(span.from);
            }
        }
        for identifier in wanted {
            let held = self.identifiers.iter().any(|(i, span)| *i == identifier && span.until == Timestamp::MAX);
            if !held {
                self.identifiers.push((identifier, Interval::starting(at)));
            }
        }
        keep_newest(&mut self.identifiers, limits.history_max);
        if self.plans.last().is_none_or(|(_, plan)| *plan != profile.plan) {
            let from = self.plans.last().map_or(at, |(last, _)| at.max(*last));
            self.plans.push((from, profile.plan.clone()));
            keep_newest(&mut self.plans, limits.history_max);
        }
    }

    fn release_identifiers(&mut self, at: Timestamp) {
        for (_, span) in self.identifiers.iter_mut().filter(|(_, span)| span.until == Timestamp::MAX) {
            span.until = at.max(span.from);
        }
    }
}

fn keep_newest<T>(history: &mut Vec<T>, max: usize) {
    if history.len() > max.max(4) {
        history.drain(..history.len() - max.max(4));
    }
}
