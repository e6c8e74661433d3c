//! A shard: the one task that changes its accounts.
//!
//! It applies what waits, keeps the changes as a pending batch, and sends that
//! to the committer when the batch before it is durable. Answers, those of
//! repeats and of commands without effect too, leave behind the batch that was
//! pending when they were decided.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::accounts::{Accounts, Expiries, Place, Versions, change_of, check_of, open_sessions, schedule};
use super::committer::Package;
use super::counters::{count_record, count_repeated};
use super::loads::{Loaded, Loads, read_account};
use super::work::{Answer, CloseProgress, Foresee, Receivers, Work};
use super::{Charging, ChargingError, FATAL, Shared};
use crate::domain::account::{Account, AccountCommand, BadAccount, CommandAnswer, LineCharging, Session};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, LineId, SessionId};
use crate::domain::rating::apply;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome};
use crate::domain::tariff::TariffBook;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, SuspenseReason, UsageRecord, UsageSource};
use crate::ports::hot::{AccountChange, Change, HotError, Position, StoredAccount, encode_record};
use crate::telemetry::metrics;

/// Who waits for a batch, with what it takes to decide again after a conflict.
enum Waiting {
    Charge {
        work: (ChargeRequest, AccountId, Option<LineId>),
        answer: ChargeAnswer,
        reply: Answer,
    },
    Loose {
        answer: ChargeAnswer,
        reply: Answer,
    },
    Command {
        account: AccountId,
        command: AccountCommand,
        answer: CommandAnswer,
        to: oneshot::Sender<Result<CommandAnswer, ChargingError>>,
    },
    Close {
        cycle: CycleId,
        accounts: u64,
        last: bool,
        to: mpsc::UnboundedSender<CloseProgress>,
    },
}

impl Waiting {
    fn account(&self) -> Option<&AccountId> {
        match self {
            Waiting::Charge { work: (_, account, _), .. } | Waiting::Command { account, .. } => Some(account),
            Waiting::Loose { .. } | Waiting::Close { .. } => None,
        }
    }
}

/// Changes that are decided and not yet on their way.
#[derive(Default)]
struct Pending {
    changes: Vec<AccountChange>,
    loose: Vec<u8>,
    loose_records: u32,
    waiting: Vec<Waiting>,
}

/// The batch that is on its way.
struct InFlight {
    accounts: Vec<AccountId>,
    waiting: Vec<Waiting>,
    done: oneshot::Receiver<(Position, Vec<Change>)>,
}

struct Closing {
    cycle: CycleId,
    left: Vec<AccountId>,
    /// Accounts that are read from the store for it.
    loading: usize,
    to: mpsc::UnboundedSender<CloseProgress>,
}

/// The search for the sessions that a client has lost.
struct Sweep {
    peer: Arc<str>,
    before: Timestamp,
    left: Vec<AccountId>,
    /// It has lost them once more meanwhile.
    again: Option<Timestamp>,
}

/// Clients whose lost sessions are searched for or wait for that; those of more give
/// their reservations back when they expire.
const SWEEPS_MAX: usize = 64;

/// The task's state.
pub(super) struct Shard {
    index: usize,
    shared: Arc<Shared>,
    accounts: Accounts,
    loads: Loads,
    /// Accounts in memory, as the metric has them.
    counted: usize,
    queue: mpsc::UnboundedReceiver<Work>,
    foresee: mpsc::UnboundedReceiver<Foresee>,
    /// Accounts as they would be, had requests been charged that the store is away for.
    shadows: HashMap<AccountId, Account>,
    committer: mpsc::UnboundedSender<Package>,
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
        committer: mpsc::UnboundedSender<Package>,
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
            foresee: receivers.foresee,
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
                Some(asked) = self.foresee.recv() => self.look_ahead(asked),
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

    fn look_ahead(&mut self, asked: Foresee) {
        let Foresee::Request { request, account, line, to } = asked else { return self.shadows.clear() };
        if !self.shadows.contains_key(&account) {
            // Nothing is foreseen of one that the store alone has.
            if let Err(error) = self.bring(&account) {
                return self.fail(&error);
            }
            if let Some(slot) = self.accounts.slots.get(&account) {
                self.shadows.insert(account.clone(), slot.account.clone());
            }
        }
        let (tariff, settings) = (self.shared.tariff.book(), &self.shared.settings.rating);
        let shadow = self.shadows.get_mut(&account);
        let now = self.shared.clock.now();
        let answer = shadow.map(|shadow| apply(shadow, line.as_ref(), &request, &tariff, settings, now).answer);
        let _waits_no_more = to.send(answer);
    }

    /// Does a work, now or when its account is there.
    fn work(&mut self, work: Work, tariff: &TariffBook, now: Timestamp) {
        let place = match work.account() {
            Some(id) => self.bring(id),
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

    /// Opens an account where it is in memory.
    fn bring(&mut self, id: &AccountId) -> Result<Place, HotError> {
        let failed =
            |error: BadAccount| HotError::Fatal { operation: "open a packed account", reason: error.to_string() };
        self.accounts.bring(id).map_err(failed)
    }

    fn wait(&mut self, work: Work) {
        if let Some(id) = work.account().cloned() {
            self.loads.wait(&id, work, &self.shared);
        }
    }

    /// An account has been read: what waited for it is done.
    fn loaded(&mut self, (id, stored): Loaded) -> Result<(), HotError> {
        let stored = stored?;
        metrics().accounts_loaded.inc();
        // It may have come another way meanwhile.
        if !self.accounts.slots.contains_key(&id) {
            match stored {
                // Others may have changed it since it was left to a store that they share.
                Some(stored) if self.shared.hot.is_shared() => self.put(stored)?,
                Some(stored) => self.accounts.insert(decode(&stored)?, false),
                None => self.forget_account(&id)?,
            }
        }
        let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
        for work in self.loads.take(&id, &self.shared) {
            self.do_work(work, &tariff, now);
        }
        Ok(())
    }

    fn make_room(&mut self) {
        self.accounts.make_room();
        let cached = self.accounts.cached();
        metrics().accounts_cached.add(cached as i64 - self.counted as i64);
        self.counted = cached;
    }

    fn do_work(&mut self, work: Work, tariff: &TariffBook, now: Timestamp) {
        match work {
            Work::Charge { request, account, line, reply } => self.charge(request, account, line, reply, tariff, now),
            Work::Loose { records, answer, reply } => self.suspend(&records, answer, reply),
            Work::Command { account, command, to } => self.command(account, command, to, now),
            Work::View { account, to } => {
                let slot = self.accounts.slots.get(&account);
                let _ = to.send(Ok(slot.map(|slot| slot.account.view(tariff, now))));
            }
            Work::Close { cycle, to } => {
                let left = self.accounts.ids();
                let _ = to.send(CloseProgress::Begun { accounts: left.len() as u64 });
                self.closed_through = self.closed_through.max(Some(cycle));
                self.closing.push(Closing { cycle, left, loading: 0, to });
            }
            Work::SessionsLost { peer, before } => self.sessions_lost(peer, before),
            Work::Expire { account } => self.expire(&account, now),
            Work::CloseOne { account, cycle } => self.close_one(&account, cycle),
            Work::Sweep { account, peer, before } => self.sweep(&account, &peer, before),
            Work::Know { stored, done } => {
                if let Err(error) = self.know(stored) {
                    tracing::error!(%error, "take over an account");
                }
                let _waits_no_more = done.send(());
            }
            Work::Missing { accounts, to } => {
                let missing = accounts.into_iter().filter(|id| !self.accounts.contains(id));
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
        account: AccountId,
        line: Option<LineId>,
        reply: Answer,
        tariff: &TariffBook,
        now: Timestamp,
    ) {
        let Some(slot) = self.accounts.slots.get_mut(&account) else {
            return self.nobody(&request, ChargeAnswer::bare(Outcome::UnknownSubscriber), reply);
        };
        let (shared, settings) = (&self.shared, &self.shared.settings.rating);
        let applied = apply(&mut slot.account, line.as_ref(), &request, tariff, settings, now);
        if applied.answer.repeated {
            count_repeated(request.key.source());
        }
        if applied.changed {
            let change = change_of(slot, &mut self.pending.changes);
            for record in &applied.records {
                encode_record(record, &mut change.records);
                count_record(record);
            }
            change.record_count += applied.records.len() as u32;
            forget(shared, change, applied.forgotten);
            if let Some(session) = applied.opened {
                metrics().sessions.inc();
                shared.directory.open_session(&session, &account);
                change.opened.push(session);
            }
            if applied.ended {
                metrics().sessions.dec();
            }
            schedule(slot, &mut self.expiries, &settings.limits);
        } else if shared.hot.is_shared() {
            // The answer is right while the account is as we know it.
            check_of(slot, &mut self.pending.changes);
        }
        if let Some(reason) = applied.suspend {
            return self.suspend_whole(request, reason, (account, line), reply);
        }
        if applied.answer.outcome == Outcome::UnknownSubscriber {
            if !shared.hot.is_shared() {
                return self.nobody(&request, applied.answer, reply);
            }
            // The line went while the store alone had the account: the next request looks for it.
            line.iter().for_each(|line| shared.directory.forget_names(&request.subscribers, line));
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
        (account, line): (AccountId, Option<LineId>),
        reply: Answer,
    ) {
        let (mut records, answer) = super::suspend_whole(&request, reason, &self.shared.tariff.book());
        for record in records.iter_mut().filter(|_| reason != SuspenseReason::UnknownLine) {
            (record.account, record.line) = (Some(account.clone()), line.clone());
        }
        let Some(slot) = self.accounts.slots.get_mut(&account).filter(|_| self.shared.hot.is_shared()) else {
            return self.suspend(&records, answer, reply);
        };
        let change = check_of(slot, &mut self.pending.changes);
        for record in &records {
            encode_record(record, &mut change.records);
            count_record(record);
        }
        change.record_count += records.len() as u32;
        self.pending.waiting.push(Waiting::Charge { work: (request, account, line), answer, reply });
    }

    fn suspend(&mut self, records: &[UsageRecord], answer: ChargeAnswer, reply: Answer) {
        for record in records {
            encode_record(record, &mut self.pending.loose);
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
        if let (false, AccountCommand::OpenLine { customer, anchor_day, zone, at, .. }) =
            (self.accounts.slots.contains_key(&account), &command)
        {
            match Account::new(account.clone(), customer.clone(), *anchor_day, zone, *at) {
                Ok(mut new) => {
                    new.begin_behind(self.closed_through, now);
                    metrics().accounts.inc();
                    self.accounts.insert(new, false);
                }
                Err(error) => {
                    let _ = to.send(Ok(CommandAnswer::Refused(error.to_string())));
                    return;
                }
            }
        }
        let Some(slot) = self.accounts.slots.get_mut(&account) else {
            let ends = matches!(&command, AccountCommand::Reach { state, .. } if ends(*state));
            let _ = to.send(Ok(if ends { CommandAnswer::Done } else { CommandAnswer::UnknownLine }));
            return;
        };
        let commanded = slot.account.command(command.clone(), &settings.limits, now);
        for line in &commanded.lines_forgotten {
            self.shared.directory.forget_line(line);
        }
        for line in commanded.lines_changed.iter().filter_map(|id| slot.account.line(id)) {
            self.shared.directory.add_line(&account, line);
        }
        if commanded.changed {
            let change = change_of(slot, &mut self.pending.changes);
            for record in &commanded.records {
                encode_record(record, &mut change.records);
                count_record(record);
            }
            change.record_count += commanded.records.len() as u32;
            let changed = commanded.lines_changed.iter().filter_map(|id| slot.account.line(id));
            change.named.extend(changed.flat_map(identifiers));
            change.unnamed.extend(commanded.lines_forgotten.iter().flat_map(identifiers));
            schedule(slot, &mut self.expiries, &settings.limits);
        } else if self.shared.hot.is_shared() {
            check_of(slot, &mut self.pending.changes);
        }
        self.pending.waiting.push(Waiting::Command { account, command, answer: commanded.answer, to });
    }

    /// Closes some more accounts where a close is under way and the batch has room.
    fn go_on_closing(&mut self, batch_max: usize) {
        let has_more = |closing: &Closing| !closing.left.is_empty() || closing.loading == 0;
        let Some(at) = self.closing.iter().position(has_more) else { return };
        let room = batch_max.saturating_sub(self.pending.changes.len());
        if room == 0 || !self.loads.has_room(&self.shared) {
            return;
        }
        let closing = &mut self.closing[at];
        let cycle = closing.cycle;
        let some = closing.left.split_off(closing.left.len().saturating_sub(room));
        closing.loading += some.len();
        if some.is_empty() {
            return self.closed(cycle, 0);
        }
        let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
        for account in some {
            self.work(Work::CloseOne { account, cycle }, &tariff, now);
        }
    }

    /// Closes an account that is open now.
    fn close_one(&mut self, id: &AccountId, cycle: CycleId) {
        self.close_account(id, cycle);
        self.closed(cycle, 1);
    }

    /// Tells how far a close has come, with the batch that is pending.
    fn closed(&mut self, cycle: CycleId, accounts: u64) {
        let Some(at) = self.closing.iter().position(|c| c.cycle == cycle && c.loading as u64 >= accounts) else {
            return;
        };
        let closing = &mut self.closing[at];
        closing.loading -= accounts as usize;
        let last = closing.left.is_empty() && closing.loading == 0;
        let to = closing.to.clone();
        if last {
            self.closing.remove(at);
        }
        match self.pending.waiting.last_mut() {
            Some(Waiting::Close { cycle: of, accounts: so_far, last: ended, to: same })
                if *of == cycle && same.same_channel(&to) =>
            {
                *so_far += accounts;
                *ended |= last;
            }
            _ => self.pending.waiting.push(Waiting::Close { cycle, accounts, last, to }),
        }
    }

    fn has_bulk_work(&self) -> bool {
        let closes = self.closing.iter().any(|closing| !closing.left.is_empty() || closing.loading == 0);
        (closes || !self.sweeps.is_empty()) && self.loads.has_room(&self.shared)
    }

    fn sessions_lost(&mut self, peer: Arc<str>, before: Timestamp) {
        if let Some(sweep) = self.sweeps.iter_mut().find(|sweep| sweep.peer == peer) {
            sweep.again = Some(before);
        } else if self.sweeps.len() < SWEEPS_MAX {
            let left = self.accounts.ids_with_sessions();
            self.sweeps.push(Sweep { peer, before, left, again: None });
        } else {
            metrics().sweeps_refused.inc();
        }
    }

    /// Looks through some more accounts for sessions that their client has lost.
    fn go_on_sweeping(&mut self, batch_max: usize) {
        if !self.loads.has_room(&self.shared) {
            return;
        }
        let Some(sweep) = self.sweeps.first_mut() else { return };
        let room = batch_max.saturating_sub(self.pending.changes.len());
        let some = sweep.left.split_off(sweep.left.len().saturating_sub(room));
        let (peer, before) = (Arc::clone(&sweep.peer), sweep.before);
        if sweep.left.is_empty() {
            let swept = self.sweeps.remove(0);
            if let Some(before) = swept.again {
                self.sessions_lost(swept.peer, before);
            }
        }
        let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
        for account in some {
            self.work(Work::Sweep { account, peer: Arc::clone(&peer), before }, &tariff, now);
        }
    }

    fn sweep(&mut self, id: &AccountId, peer: &str, before: Timestamp) {
        let Some(slot) = self.accounts.slots.get_mut(id) else { return };
        let lost = slot.account.lose_sessions(peer, before);
        if lost > 0 {
            metrics().sessions.sub(lost as i64);
            change_of(slot, &mut self.pending.changes);
            schedule(slot, &mut self.expiries, &self.shared.settings.rating.limits);
        }
    }

    fn close_account(&mut self, id: &AccountId, cycle: CycleId) {
        let Some(slot) = self.accounts.slots.get_mut(id) else { return };
        if let Some(forgotten) = slot.account.close(cycle) {
            for line in &forgotten {
                self.shared.directory.forget_line(line);
            }
            let change = change_of(slot, &mut self.pending.changes);
            change.unnamed.extend(forgotten.iter().flat_map(identifiers));
        }
    }

    /// Sends the pending batch, where none is on its way.
    fn dispatch(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        if self.pending.changes.is_empty() && self.pending.loose_records == 0 {
            let position = self.shared.hot.last_position();
            for waiting in std::mem::take(&mut self.pending.waiting) {
                release(waiting, position);
            }
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        for change in &mut pending.changes {
            let slot = self.accounts.slots.get_mut(&change.account).expect("a changed account is in its shard");
            (slot.pending, slot.in_flight) = (None, true);
            if change.version == change.previous {
                continue;
            }
            if self.shared.hot.is_shared() {
                change.version = self.versions.after(change.previous);
            }
            slot.account.version = change.version;
            change.state = slot.account.encode(Vec::with_capacity(512));
        }
        let (done, outcome) = oneshot::channel();
        let accounts = pending.changes.iter().map(|c| c.account.clone()).collect();
        self.in_flight = Some(InFlight { accounts, waiting: pending.waiting, done: outcome });
        self.last_write = self.shared.clock.now();
        let package =
            Package { changes: pending.changes, loose: pending.loose, loose_records: pending.loose_records, done };
        // A committer that has gone drops the package, and with it `done`: the loop ends by that.
        let _ = self.committer.send(package);
    }

    /// A batch is durable: answers leave. Accounts that somebody else has
    /// changed are loaded, and what was decided on their old state is decided again.
    async fn finish(&mut self, position: Position, changes: &[Change]) -> Result<(), HotError> {
        let Some(in_flight) = self.in_flight.take() else { return Ok(()) };
        for id in &in_flight.accounts {
            if let Some(slot) = self.accounts.slots.get_mut(id) {
                slot.in_flight = false;
            }
        }
        if changes.iter().all(|c| *c == Change::Applied) {
            for waiting in in_flight.waiting {
                release(waiting, position);
            }
            return Ok(());
        }
        let conflicts = in_flight.accounts.into_iter().zip(changes).filter(|(_, c)| **c == Change::Conflict);
        let conflicts: Vec<AccountId> = conflicts.map(|(account, _)| account).collect();
        let mut again = Vec::new();
        for waiting in in_flight.waiting {
            let is_close = matches!(waiting, Waiting::Close { .. });
            if is_close || waiting.account().is_some_and(|a| conflicts.contains(a)) {
                again.push(waiting);
            } else {
                release(waiting, position);
            }
        }
        metrics().hot_conflicts.inc_by(conflicts.len() as u64);
        self.reload(&conflicts, again).await
    }

    async fn reload(&mut self, conflicts: &[AccountId], mut again: Vec<Waiting>) -> Result<(), HotError> {
        let pending = std::mem::take(&mut self.pending.waiting);
        for waiting in pending {
            // What it has closed may be among what is loaded, and is not closed then.
            let is_close = matches!(waiting, Waiting::Close { .. });
            if is_close || waiting.account().is_some_and(|a| conflicts.contains(a)) {
                again.push(waiting);
            } else {
                self.pending.waiting.push(waiting);
            }
        }
        self.pending.changes.retain(|c| !conflicts.contains(&c.account));
        for (at, change) in self.pending.changes.iter().enumerate() {
            if let Some(slot) = self.accounts.slots.get_mut(&change.account) {
                slot.pending = Some(at);
            }
        }
        for id in conflicts {
            let stored = read_account(&self.shared, id).await?;
            match stored {
                Some(stored) => self.put(stored)?,
                None => self.forget_account(id)?,
            }
        }
        let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
        for waiting in again {
            match waiting {
                Waiting::Charge { work: (request, account, line), reply, .. } => {
                    self.charge_again(request, account, line, reply, &tariff, now);
                }
                Waiting::Command { account, command, to, .. } => self.command(account, command, to, now),
                Waiting::Close { cycle, .. } => {
                    for id in conflicts {
                        self.close_account(id, cycle);
                    }
                    self.pending.waiting.push(waiting);
                }
                Waiting::Loose { .. } => self.pending.waiting.push(waiting),
            }
        }
        Ok(())
    }

    /// What the newer state says of whom the request is for may differ, too.
    fn charge_again(
        &mut self,
        request: ChargeRequest,
        account: AccountId,
        line: Option<LineId>,
        reply: Answer,
        tariff: &TariffBook,
        now: Timestamp,
    ) {
        let charging = Charging { shared: Arc::clone(&self.shared) };
        match charging.resolve(&request) {
            Some((of, line)) if of == account => self.charge(request, account, line, reply, tariff, now),
            Some((of, line)) => charging.admit(request, of, line, reply),
            None => self.charge(request, account, line, reply, tariff, now),
        }
    }

    /// Takes an account as the store has it, where that is newer than what is here. What
    /// is changed here at this moment is loaded when it conflicts.
    fn know(&mut self, stored: StoredAccount) -> Result<(), HotError> {
        self.bring(&stored.account)?;
        let is_newer = self
            .accounts
            .slots
            .get(&stored.account)
            .is_none_or(|slot| slot.pending.is_none() && slot.account.version < stored.version);
        if is_newer { self.put(stored) } else { Ok(()) }
    }

    /// Opens an account as the store has it, in the place of what was known of it.
    fn put(&mut self, stored: StoredAccount) -> Result<(), HotError> {
        let account = decode(&stored)?;
        self.bring(&account.id)?;
        let known = self.accounts.open_sessions(&account.id);
        self.forget_names(&account.id);
        self.shared.directory.add_account(&account);
        metrics().sessions.add(open_sessions(&account) as i64 - known.unwrap_or(0) as i64);
        metrics().accounts.add(i64::from(known.is_none()));
        self.accounts.insert(account, false);
        let limits = &self.shared.settings.rating.limits;
        let slot = self.accounts.slots.get_mut(&stored.account).expect("it was put there");
        // What was known may have expired later.
        if slot.account.next_tick(limits).is_some_and(|at| at < slot.scheduled) {
            slot.scheduled = Timestamp::MAX;
        }
        schedule(slot, &mut self.expiries, limits);
        Ok(())
    }

    /// Drops an account, with what it is found by.
    fn forget_account(&mut self, id: &AccountId) -> Result<(), HotError> {
        self.bring(id)?;
        let Some(open) = self.accounts.open_sessions(id) else { return Ok(()) };
        self.forget_names(id);
        self.accounts.remove(id);
        metrics().sessions.sub(open as i64);
        metrics().accounts.dec();
        Ok(())
    }

    /// Nothing is found by what an open account says any more.
    fn forget_names(&self, id: &AccountId) {
        let Some(slot) = self.accounts.slots.get(id) else { return };
        for line in &slot.account.lines {
            self.shared.directory.forget_line(line);
        }
        for session in &slot.account.sessions {
            self.shared.directory.forget_session(&session.id);
        }
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
            if self.accounts.take_expiry(&account, at) {
                self.work(Work::Expire { account }, &tariff, now);
            }
        }
        let heartbeat = Duration::from_millis(self.shared.settings.heartbeat_ms.max(1));
        let is_idle = self.in_flight.is_none() && self.pending.changes.is_empty();
        if self.index == 0 && is_idle && now.since(self.last_write) >= heartbeat {
            let (done, outcome) = oneshot::channel();
            self.in_flight = Some(InFlight { accounts: Vec::new(), waiting: Vec::new(), done: outcome });
            self.last_write = now;
            let _ = self.committer.send(Package { changes: Vec::new(), loose: Vec::new(), loose_records: 0, done });
        }
    }

    fn expire(&mut self, id: &AccountId, now: Timestamp) {
        let limits = &self.shared.settings.rating.limits;
        let Some(slot) = self.accounts.slots.get_mut(id) else { return };
        let forgotten = slot.account.tick(now, limits);
        if !forgotten.is_empty() {
            let change = change_of(slot, &mut self.pending.changes);
            forget(&self.shared, change, forgotten);
        }
        schedule(slot, &mut self.expiries, limits);
    }

    /// Schedules every account's expiry, and makes durable what recovery has changed.
    fn take_over_recovered(&mut self) {
        let limits = &self.shared.settings.rating.limits;
        for slot in self.accounts.slots.values_mut() {
            schedule(slot, &mut self.expiries, limits);
        }
        self.expiries.extend(self.accounts.idle_expiries());
        for id in std::mem::take(&mut self.accounts.recovered) {
            if let Some(slot) = self.accounts.slots.get_mut(&id) {
                change_of(slot, &mut self.pending.changes);
            }
        }
    }
}

fn decode(stored: &StoredAccount) -> Result<Account, HotError> {
    let mut account = Account::decode(&stored.state).map_err(|error| HotError::Fatal {
        operation: "load an account",
        reason: format!("{}: {error}", stored.account),
    })?;
    account.version = stored.version;
    Ok(account)
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

fn release(waiting: Waiting, position: Position) {
    match waiting {
        Waiting::Charge { answer, reply, .. } | Waiting::Loose { answer, reply } => reply.send(Ok(answer)),
        Waiting::Command { answer, to, .. } => drop(to.send(Ok(answer))),
        Waiting::Close { accounts, last, to, .. } => {
            let _ = to.send(CloseProgress::Durable { accounts, position });
            if last {
                let _ = to.send(CloseProgress::Finished);
            }
        }
    }
}
