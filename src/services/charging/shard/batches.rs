//! A shard's batches: what is decided and pending, what is on its way, and who waits
//! for it.
//!
//! Owns when a batch leaves and what becomes of it. Answers leave when their batch is
//! durable; what was decided on a state that another gateway has replaced is decided
//! again. Does **not** write batches ([`super::super::committer`]).

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Shard;
use crate::domain::account::{AccountCommand, CommandAnswer};
use crate::domain::cycle::CycleId;
use crate::domain::ids::AccountId;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::domain::tariff::TariffBook;
use crate::domain::time::Timestamp;
use crate::ports::hot::{AccountChange, Change, HotError, Position, StoredAccount};
use crate::services::charging::accounts::{AccountNo, Slot};
use crate::services::charging::committer::{Next, Package};
use crate::services::charging::loads::read_account;
use crate::services::charging::work::{Answer, CloseProgress};
use crate::services::charging::{Charging, ChargingError};
use crate::telemetry::metrics;

/// Who waits for a batch, with what it takes to decide again after a conflict.
pub(super) enum Waiting {
    Charge {
        work: (ChargeRequest, AccountNo, Option<u16>),
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
    /// Says whether an account is as new here as it was read from the store.
    Know {
        stored: StoredAccount,
        done: oneshot::Sender<()>,
    },
}

impl Waiting {
    /// Whether it waits for a change of one of these accounts.
    fn is_of(&self, accounts: &[(AccountNo, AccountId)]) -> bool {
        match self {
            Waiting::Charge { work: (_, account, _), .. } => accounts.iter().any(|(no, _)| no == account),
            Waiting::Command { account, .. } => accounts.iter().any(|(_, id)| id == account),
            Waiting::Know { stored, .. } => accounts.iter().any(|(_, id)| *id == stored.account),
            Waiting::Loose { .. } | Waiting::Close { .. } => false,
        }
    }

    /// Whether it waits on where these accounts conflict. What a close has closed may be among
    /// what is loaded, and is not closed then.
    fn waits_again(&self, conflicts: &[(AccountNo, AccountId)]) -> bool {
        matches!(self, Waiting::Close { .. }) || self.is_of(conflicts)
    }
}

/// Changes that are decided and not yet on their way.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) changes: Vec<AccountChange>,
    /// Whose each change is.
    accounts: Vec<AccountNo>,
    pub(super) loose: Vec<u8>,
    pub(super) loose_records: u32,
    pub(super) waiting: Vec<Waiting>,
}

impl Pending {
    /// The account's change, made at the first use.
    pub(super) fn change(&mut self, slot: &mut Slot) -> &mut AccountChange {
        let change = self.check(slot);
        change.version = change.previous + 1;
        change
    }

    /// The account's place in the batch, where its version is compared and, unless
    /// something changes it, nothing more.
    pub(super) fn check(&mut self, slot: &mut Slot) -> &mut AccountChange {
        let at = *slot.pending.get_or_insert_with(|| {
            self.changes.push(AccountChange::check(slot.account.id.clone(), slot.account.version));
            self.accounts.push(slot.no);
            self.changes.len() - 1
        });
        &mut self.changes[at]
    }
}

/// The batch that is on its way.
pub(super) struct InFlight {
    pub(super) accounts: Vec<AccountNo>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) done: oneshot::Receiver<(Position, Vec<Change>)>,
}

impl Shard {
    /// Whoever waits for what is decided.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.in_flight.iter().flat_map(|batch| &batch.waiting).chain(&self.pending.waiting)
    }

    /// Sends the pending batch, where none is on its way. Says whether one is now.
    pub(super) fn dispatch(&mut self) -> bool {
        if self.in_flight.is_some() {
            return true;
        }
        if self.pending.changes.is_empty() && self.pending.loose_records == 0 {
            let position = self.shared.hot.last_position();
            for waiting in std::mem::take(&mut self.pending.waiting) {
                self.release(waiting, position);
            }
            return false;
        }
        let mut pending = std::mem::take(&mut self.pending);
        for (change, no) in pending.changes.iter_mut().zip(&pending.accounts) {
            let slot = self.accounts.slot_mut(*no).expect("a changed account is in its shard");
            (slot.pending, slot.in_flight) = (None, true);
            if change.version == change.previous {
                continue;
            }
            if self.shared.hot.is_shared() {
                change.version = self.versions.after(change.previous);
            }
            slot.account.version = change.version;
            change.state = slot.account.encode(Vec::new());
        }
        let (done, outcome) = oneshot::channel();
        self.in_flight = Some(InFlight { accounts: pending.accounts, waiting: pending.waiting, done: outcome });
        self.last_write = self.shared.clock.now();
        let package =
            Package { changes: pending.changes, loose: pending.loose, loose_records: pending.loose_records, done };
        self.tell_committer(Next::Package(package));
        true
    }

    /// A committer that has gone drops a package, and with it `done`: the loop ends by that.
    pub(super) fn tell_committer(&self, next: Next) {
        let _gone = self.committer.send((self.index, next));
    }

    /// A batch is durable: answers leave. Accounts that somebody else has
    /// changed are loaded, and what was decided on their old state is decided again.
    pub(super) async fn finish(&mut self, position: Position, changes: &[Change]) -> Result<(), HotError> {
        let Some(in_flight) = self.in_flight.take() else { return Ok(()) };
        for no in &in_flight.accounts {
            if let Some(slot) = self.accounts.slot_mut(*no) {
                slot.in_flight = false;
            }
        }
        if changes.iter().all(|c| *c == Change::Applied) {
            // The disk goes on while the answers leave.
            if !self.dispatch() {
                self.tell_committer(Next::Nothing);
            }
            for waiting in in_flight.waiting {
                self.release(waiting, position);
            }
            return Ok(());
        }
        // What is decided again takes its time.
        self.tell_committer(Next::Nothing);
        let conflicts = in_flight.accounts.into_iter().zip(changes).filter(|(_, c)| **c == Change::Conflict);
        let conflicts: Vec<_> = conflicts.map(|(no, _)| (no, self.accounts.id(no))).collect();
        let mut again = Vec::new();
        for waiting in in_flight.waiting {
            if waiting.waits_again(&conflicts) {
                again.push(waiting);
            } else {
                self.release(waiting, position);
            }
        }
        metrics().hot_conflicts.inc_by(conflicts.len() as u64);
        self.pending.waiting.splice(0..0, again);
        self.reload(&conflicts).await
    }

    async fn reload(&mut self, conflicts: &[(AccountNo, AccountId)]) -> Result<(), HotError> {
        let mut stored = Vec::with_capacity(conflicts.len());
        for (_, id) in conflicts {
            stored.push(self.read(id).await?);
        }
        let waiting = std::mem::take(&mut self.pending.waiting);
        let (again, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|w| w.waits_again(conflicts));
        self.pending.waiting = others;
        let is_kept = |no: &AccountNo| !conflicts.iter().any(|(of, _)| of == no);
        let mut numbers = self.pending.accounts.iter();
        self.pending.changes.retain(|_| numbers.next().is_some_and(is_kept));
        self.pending.accounts.retain(is_kept);
        for (at, no) in self.pending.accounts.iter().enumerate() {
            if let Some(slot) = self.accounts.slot_mut(*no) {
                slot.pending = Some(at);
            }
        }
        for ((no, _), stored) in conflicts.iter().zip(stored) {
            match stored {
                Some(stored) => self.put(stored)?,
                None => self.forget_account(*no)?,
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
                    for (no, _) in conflicts {
                        self.close_account(*no, cycle);
                    }
                    self.pending.waiting.push(waiting);
                }
                Waiting::Know { stored, done } => self.know(stored, done),
                Waiting::Loose { .. } => self.pending.waiting.push(waiting),
            }
        }
        Ok(())
    }

    /// Reads an account. What is urgent does not wait for that: the store may be away.
    async fn read(&mut self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        let shared = Arc::clone(&self.shared);
        let mut reading = pin!(read_account(&shared, id));
        loop {
            tokio::select! {
                biased;
                stored = &mut reading => return stored,
                Some(urgent) = self.urgent.recv() => self.do_urgent(urgent),
            }
        }
    }

    /// What the newer state says of whom the request is for may differ, too.
    fn charge_again(
        &mut self,
        request: ChargeRequest,
        account: AccountNo,
        line: Option<u16>,
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

    fn release(&mut self, waiting: Waiting, position: Position) {
        match waiting {
            Waiting::Charge { answer, reply, .. } | Waiting::Loose { answer, reply } => reply.send(Ok(answer)),
            Waiting::Command { answer, to, .. } => drop(to.send(Ok(answer))),
            Waiting::Close { accounts, last, to, .. } => {
                let _ = to.send(CloseProgress::Durable { accounts, position });
                if last {
                    let _ = to.send(CloseProgress::Finished);
                }
            }
            // Another gateway may have changed it since.
            Waiting::Know { stored, done } => self.know(stored, done),
        }
    }
}
