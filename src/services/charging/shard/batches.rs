//! A shard's batches: what is decided and pending, what is on its way, and who waits
//! for it.
//!
//! Owns when a batch leaves and what becomes of it. Answers leave when their batch is
//! durable; what was decided on a state that another gateway has replaced is decided
//! again. Does **not** write batches ([`super::super::committer`]).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Shard;
use crate::domain::account::{AccountCommand, CommandAnswer};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, LineId};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::domain::tariff::TariffBook;
use crate::domain::time::Timestamp;
use crate::ports::hot::{AccountChange, Change, HotError, Position, StoredAccount};
use crate::services::charging::committer::Package;
use crate::services::charging::loads::read_account;
use crate::services::charging::work::{Answer, CloseProgress};
use crate::services::charging::{Charging, ChargingError};
use crate::telemetry::metrics;

/// Who waits for a batch, with what it takes to decide again after a conflict.
pub(super) enum Waiting {
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
    /// Says whether an account is as new here as it was read from the store.
    Know {
        stored: StoredAccount,
        done: oneshot::Sender<()>,
    },
}

impl Waiting {
    pub(super) fn account(&self) -> Option<&AccountId> {
        match self {
            Waiting::Charge { work: (_, account, _), .. } | Waiting::Command { account, .. } => Some(account),
            Waiting::Know { stored, .. } => Some(&stored.account),
            Waiting::Loose { .. } | Waiting::Close { .. } => None,
        }
    }
}

/// Changes that are decided and not yet on their way.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) changes: Vec<AccountChange>,
    pub(super) loose: Vec<u8>,
    pub(super) loose_records: u32,
    pub(super) waiting: Vec<Waiting>,
}

/// The batch that is on its way.
pub(super) struct InFlight {
    pub(super) accounts: Vec<AccountId>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) done: oneshot::Receiver<(Position, Vec<Change>)>,
}

impl Shard {
    /// Sends the pending batch, where none is on its way.
    pub(super) fn dispatch(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        if self.pending.changes.is_empty() && self.pending.loose_records == 0 {
            let position = self.shared.hot.last_position();
            for waiting in std::mem::take(&mut self.pending.waiting) {
                self.release(waiting, position);
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
    pub(super) async fn finish(&mut self, position: Position, changes: &[Change]) -> Result<(), HotError> {
        let Some(in_flight) = self.in_flight.take() else { return Ok(()) };
        for id in &in_flight.accounts {
            if let Some(slot) = self.accounts.slots.get_mut(id) {
                slot.in_flight = false;
            }
        }
        if changes.iter().all(|c| *c == Change::Applied) {
            for waiting in in_flight.waiting {
                self.release(waiting, position);
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
                self.release(waiting, position);
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
                Waiting::Know { stored, done } => self.know(stored, done),
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
