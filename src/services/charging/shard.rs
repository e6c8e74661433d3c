//! A shard: the one task that changes its accounts.
//!
//! It applies what waits, keeps the changes as a pending batch, and sends that
//! to the committer when the batch before it is durable. Answers, those of
//! repeats and of commands without effect too, leave behind the batch that was
//! pending when they were decided.

mod batches;
mod closes;
mod foresight;
mod presence;
mod sweeps;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use self::batches::{InFlight, Pending, Waiting};
use self::closes::Closing;
use self::sweeps::Sweep;
use super::accounts::{AccountNo, Accounts, Expiries, Place, Versions, schedule};
use super::committer::{Next, Package};
use super::counters::{count_record, count_repeated};
use super::directory::Owner;
use super::loads::Loads;
use super::work::{Answer, CloseProgress, Receivers, Urgent, Work};
use super::{ChargingError, FATAL, Shared};
use crate::domain::account::{Account, AccountCommand, CommandAnswer, LineCharging, Session};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::rating::apply;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome};
use crate::domain::tariff::TariffBook;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, SuspenseReason, UsageRecord, UsageSource};
use crate::ports::hot::{AccountChange, HotError};
use crate::telemetry::metrics;

/// The task's state.
pub(super) struct Shard {
    index: usize,
    shared: Arc<Shared>,
    accounts: Accounts,
    loads: Loads,
    /// Accounts in memory, as the metric has them.
    counted: usize,
    queue: mpsc::UnboundedReceiver<Work>,
    urgent: mpsc::UnboundedReceiver<Urgent>,
    /// Accounts as they would be, had requests been charged that the store is away for.
    shadows: HashMap<AccountNo, Account>,
    committer: mpsc::UnboundedSender<(usize, Next)>,
    pending: Pending,
    in_flight: Option<InFlight>,
    closing: Vec<Closing>,
    sweeps: Vec<Sweep>,
    /// The newest cycle closed for everybody: an account that is made later begins behind it.
    closed_through: Option<CycleId>,
    expiries: Expiries,
    versions: Versions,
    last_write: Timestamp,
    stopping: bool,
}

impl Shard {
    pub(super) fn new(
        index: usize,
        shared: Arc<Shared>,
        accounts: Accounts,
        receivers: Receivers,
        committer: mpsc::UnboundedSender<(usize, Next)>,
        closed_through: Option<CycleId>,
        versions: Versions,
    ) -> Self {
        let last_write = shared.clock.now();
        Self {
            index,
            shared,
            accounts,
            loads: Loads::default(),
            counted: 0,
            queue: receivers.work,
            urgent: receivers.urgent,
            shadows: HashMap::new(),
            committer,
            pending: Pending::default(),
            in_flight: None,
            closing: Vec::new(),
            sweeps: Vec::new(),
            closed_through,
            expiries: Expiries::new(),
            versions,
            last_write,
            stopping: false,
        }
    }

    /// Works until it is told to stop and nothing is left, or the store has failed.
    pub(super) async fn run(mut self) {
        self.take_over_recovered();
        let batch_max = self.shared.settings.batch_requests_max.max(1);
        let gauge = metrics().shard_queue.with_label_values(&[&self.index.to_string()]);
        let mut tick = tokio::time::interval(Duration::from_millis(self.shared.settings.tick_ms.max(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut works = Vec::with_capacity(batch_max);
        loop {
            self.go_on_closing(batch_max);
            self.go_on_sweeping(batch_max);
            self.dispatch();
            self.make_room();
            if self.is_done() {
                return;
            }
            let room = batch_max.saturating_sub(self.pending.waiting.len());
            tokio::select! {
                biased;
                outcome = async { (&mut self.in_flight.as_mut().expect("only polled while a batch is on its way").done).await },
                    if self.in_flight.is_some() => match outcome {
                        Ok((position, changes)) => {
                            if let Err(error) = self.finish(position, &changes).await {
                                return self.fail(&error);
                            }
                        }
                        Err(_) => return,
                    },
                Some(urgent) = self.urgent.recv() => self.do_urgent(urgent),
                taken = self.queue.recv_many(&mut works, room), if room > 0 && !(self.stopping && self.queue.is_empty()) => {
                    self.shared.queues[self.index].waiting.fetch_sub(taken, Ordering::Relaxed);
                    gauge.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
                    let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
                    for work in works.drain(..) {
                        self.work(work, &tariff, now);
                    }
                }
                Some(loaded) = self.loads.next(), if !self.loads.is_empty() => {
                    if let Err(error) = self.loaded(loaded) {
                        return self.fail(&error);
                    }
                }
                _ = tick.tick() => self.tick(),
                () = tokio::task::yield_now(), if self.in_flight.is_none() && self.has_bulk_work() => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_idle = self.in_flight.is_none() && self.loads.is_empty();
        self.stopping && is_idle && self.queue.is_empty() && self.closing.is_empty()
    }

    /// Does a work, now or when its account is there.
    fn work(&mut self, work: Work, tariff: &TariffBook, now: Timestamp) {
        let place = match work.account(&self.accounts) {
            Some(no) => self.bring(no),
            None => Ok(Place::Here),
        };
        match place {
            Ok(Place::Here) => self.do_work(work, tariff, now),
            Ok(Place::Away) if self.loads.has_room(&self.shared) => self.wait(work),
            Ok(Place::Away) => {
                if let Some(own) = work.refuse() {
                    self.wait(own);
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn do_work(&mut self, work: Work, tariff: &TariffBook, now: Timestamp) {
        match work {
            Work::Charge { request, account, line, reply } => self.charge(request, account, line, reply, tariff, now),
            Work::Loose { records, answer, reply } => self.suspend(&records, answer, reply),
            Work::Recycle { request, account, line, reply } => {
                let no = self.accounts.number(&account);
                let line = self.accounts.slot(no).and_then(|slot| slot.account.line(&line)).map(|line| line.no);
                self.charge(request, no, line, reply, tariff, now);
            }
            Work::Command { account, command, to } => self.command(account, command, to, now),
            Work::View { account, to } => {
                let slot = self.accounts.find(&account).and_then(|no| self.accounts.slot(no));
                let _ = to.send(Ok(slot.map(|slot| slot.account.view(tariff, now))));
            }
            Work::Close { cycle, to } => {
                let left = self.accounts.all();
                let _ = to.send(CloseProgress::Begun { accounts: left.len() as u64 });
                self.closed_through = self.closed_through.max(Some(cycle));
                self.closing.push(Closing { cycle, left, loading: 0, to });
            }
            Work::SessionsLost { peer, before } => self.sessions_lost(peer, before),
            Work::Expire { account } => self.expire(account, now),
            Work::CloseOne { account, cycle } => self.close_one(account, cycle),
            Work::Sweep { account, peer, before } => self.sweep(account, &peer, before),
            Work::Know { stored, done } => self.know(stored, done),
            Work::Missing { accounts, to } => {
                let missing = accounts.into_iter().filter(|id| self.accounts.find(id).is_none());
                let _ = to.send(missing.collect());
            }
            Work::ClosedElsewhere { cycle } => self.closed_through = self.closed_through.max(Some(cycle)),
            Work::Stop => {
                self.stopping = true;
                self.queue.close();
            }
        }
    }

    fn charge(
        &mut self,
        request: ChargeRequest,
        account: AccountNo,
        line: Option<u16>,
        reply: Answer,
        tariff: &TariffBook,
        now: Timestamp,
    ) {
        let Some(slot) = self.accounts.slot_mut(account) else {
            return self.nobody(&request, ChargeAnswer::bare(Outcome::UnknownSubscriber), reply);
        };
        let (shared, settings) = (&self.shared, &self.shared.settings.rating);
        let named = line.and_then(|no| slot.account.line_by_no(no)).map(|line| line.id.clone());
        let applied = apply(&mut slot.account, named.as_ref(), &request, tariff, settings, now);
        if applied.answer.repeated {
            count_repeated(request.key.source());
        }
        if applied.changed {
            let change = self.pending.change(slot);
            for record in &applied.records {
                record.encode(&mut change.records);
                count_record(record);
            }
            change.record_count += applied.records.len() as u32;
            forget(shared, change, applied.forgotten);
            if let Some(session) = applied.opened {
                metrics().sessions.inc();
                shared.directory.open_session(&session, account);
                change.opened.push(session);
            }
            if applied.ended {
                metrics().sessions.dec();
            }
            schedule(slot, &mut self.expiries, &settings.limits);
        } else if shared.hot.is_shared() {
            // The answer is right while the account is as we know it.
            self.pending.check(slot);
        }
        if let Some(reason) = applied.suspend {
            return self.suspend_whole(request, reason, (account, line), reply);
        }
        if applied.answer.outcome == Outcome::UnknownSubscriber {
            if !shared.hot.is_shared() {
                return self.nobody(&request, applied.answer, reply);
            }
            // The line went while the store alone had the account: the next request looks for it.
            if let Some(line) = line {
                shared.directory.forget_names(&request.subscribers, Owner { account, line });
            }
        }
        self.pending.waiting.push(Waiting::Charge { work: (request, account, line), answer: applied.answer, reply });
    }

    /// The directory has led to a line that the account has forgotten.
    fn nobody(&mut self, request: &ChargeRequest, answer: ChargeAnswer, reply: Answer) {
        if request.key.source() == UsageSource::Gy {
            self.pending.waiting.push(Waiting::Loose { answer, reply });
            return;
        }
        let reason = SuspenseReason::UnknownLine;
        let (records, answer) = super::suspend_whole(request, reason, &self.shared.tariff.book());
        self.suspend(&records, answer, reply);
    }

    /// The account is known and cannot take the request: what it reports is kept, with
    /// the account's change, so that it is not kept where that conflicts.
    fn suspend_whole(
        &mut self,
        request: ChargeRequest,
        reason: SuspenseReason,
        (account, line): (AccountNo, Option<u16>),
        reply: Answer,
    ) {
        let (mut records, answer) = super::suspend_whole(&request, reason, &self.shared.tariff.book());
        let Some(slot) = self.accounts.slot_mut(account) else { return self.suspend(&records, answer, reply) };
        for record in records.iter_mut().filter(|_| reason != SuspenseReason::UnknownLine) {
            record.account = Some(slot.account.id.clone());
            record.line = line.and_then(|no| slot.account.line_by_no(no)).map(|line| line.id.clone());
        }
        if !self.shared.hot.is_shared() {
            return self.suspend(&records, answer, reply);
        }
        let change = self.pending.check(slot);
        for record in &records {
            record.encode(&mut change.records);
            count_record(record);
        }
        change.record_count += records.len() as u32;
        self.pending.waiting.push(Waiting::Charge { work: (request, account, line), answer, reply });
    }

    fn suspend(&mut self, records: &[UsageRecord], answer: ChargeAnswer, reply: Answer) {
        for record in records {
            record.encode(&mut self.pending.loose);
            self.pending.loose_records += 1;
            count_record(record);
        }
        self.pending.waiting.push(Waiting::Loose { answer, reply });
    }

    fn command(
        &mut self,
        account: AccountId,
        command: AccountCommand,
        to: oneshot::Sender<Result<CommandAnswer, ChargingError>>,
        now: Timestamp,
    ) {
        let settings = &self.shared.settings.rating;
        let mut known = self.accounts.find(&account);
        if let (None, AccountCommand::OpenLine { customer, anchor_day, zone, at, .. }) = (known, &command) {
            match Account::new(account.clone(), customer.clone(), *anchor_day, zone, *at) {
                Ok(mut new) => {
                    new.begin_behind(self.closed_through, now);
                    metrics().accounts.inc();
                    known = Some(self.accounts.insert(new, false));
                }
                Err(error) => {
                    let _ = to.send(Ok(CommandAnswer::Refused(error.to_string())));
                    return;
                }
            }
        }
        let Some(slot) = known.and_then(|no| self.accounts.slot_mut(no)) else {
            let ends = matches!(&command, AccountCommand::Reach { state, .. } if ends(*state));
            let _ = to.send(Ok(if ends { CommandAnswer::Done } else { CommandAnswer::UnknownLine }));
            return;
        };
        let commanded = slot.account.command(command.clone(), &settings.limits, now);
        for line in &commanded.lines_forgotten {
            self.shared.directory.forget_line(slot.no, line);
        }
        for line in commanded.lines_changed.iter().filter_map(|id| slot.account.line(id)) {
            self.shared.directory.add_line(slot.no, line);
        }
        if commanded.changed {
            let change = self.pending.change(slot);
            for record in &commanded.records {
                record.encode(&mut change.records);
                count_record(record);
            }
            change.record_count += commanded.records.len() as u32;
            let changed = commanded.lines_changed.iter().filter_map(|id| slot.account.line(id));
            change.named.extend(changed.flat_map(identifiers));
            change.unnamed.extend(commanded.lines_forgotten.iter().flat_map(identifiers));
            schedule(slot, &mut self.expiries, &settings.limits);
        } else if self.shared.hot.is_shared() {
            self.pending.check(slot);
        }
        self.pending.waiting.push(Waiting::Command { account, command, answer: commanded.answer, to });
    }

    fn has_bulk_work(&self) -> bool {
        let closes = self.closing.iter().any(|closing| !closing.left.is_empty() || closing.loading == 0);
        (closes || !self.sweeps.is_empty()) && self.loads.has_room(&self.shared)
    }

    /// An account cannot be read: its requests would be answered as nobody's.
    fn fail(&self, error: &HotError) {
        tracing::error!(%error, "nobody is answered any more; this process has to end and recover");
        self.shared.state.store(FATAL, Ordering::Release);
        self.shared.fatal.send_replace(Some(error.to_string()));
    }

    /// Lets reservations and keys expire, and notes now and then that we are alive.
    fn tick(&mut self) {
        let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
        while self.expiries.peek().is_some_and(|Reverse((at, _))| *at <= now) && self.loads.has_room(&self.shared) {
            let Some(Reverse((at, account))) = self.expiries.pop() else { break };
            if self.accounts.take_expiry(account, at) {
                self.work(Work::Expire { account }, &tariff, now);
            }
        }
        let heartbeat = Duration::from_millis(self.shared.settings.heartbeat_ms.max(1));
        let is_idle = self.in_flight.is_none() && self.pending.changes.is_empty();
        if self.index == 0 && is_idle && now.since(self.last_write) >= heartbeat {
            let (done, outcome) = oneshot::channel();
            self.in_flight = Some(InFlight { accounts: Vec::new(), waiting: Vec::new(), done: outcome });
            self.last_write = now;
            let empty = Package { changes: Vec::new(), loose: Vec::new(), loose_records: 0, done };
            self.tell_committer(Next::Package(empty));
        }
    }

    fn expire(&mut self, no: AccountNo, now: Timestamp) {
        let limits = &self.shared.settings.rating.limits;
        let Some(slot) = self.accounts.slot_mut(no) else { return };
        let forgotten = slot.account.tick(now, limits);
        if !forgotten.is_empty() {
            let change = self.pending.change(slot);
            forget(&self.shared, change, forgotten);
        }
        schedule(slot, &mut self.expiries, limits);
    }

    /// Schedules every account's expiry, and makes durable what recovery has changed.
    fn take_over_recovered(&mut self) {
        let limits = &self.shared.settings.rating.limits;
        self.accounts.schedule_all(&mut self.expiries, limits);
        for no in std::mem::take(&mut self.accounts.recovered) {
            if let Some(slot) = self.accounts.slot_mut(no) {
                self.pending.change(slot);
            }
        }
    }
}

fn identifiers(line: &LineCharging) -> impl Iterator<Item = Identifier> {
    line.identifiers.iter().map(|(identifier, _)| identifier.clone())
}

fn ends(state: crate::domain::line::LineState) -> bool {
    use crate::domain::line::LineState;
    matches!(state, LineState::Absent | LineState::Terminated)
}

fn forget(shared: &Shared, change: &mut AccountChange, sessions: impl IntoIterator<Item = Session>) {
    for session in sessions {
        shared.directory.forget_session(&session.id);
        if session.is_open() {
            metrics().sessions.dec();
        }
        let id: SessionId = session.id;
        change.closed.push(id);
    }
}
