//! Closing a cycle for every account of a shard, some with each batch, between the usage
//! that goes on.
//!
//! Owns how far each close has come, and tells it with the batch that makes it durable.
//! What a close does to an account is [`crate::domain::account::Account::close`].

use tokio::sync::mpsc;

use super::batches::Waiting;
use super::{Shard, identifiers};
use crate::domain::cycle::CycleId;
use crate::services::charging::accounts::AccountNo;
use crate::services::charging::work::{CloseProgress, Work};

pub(super) struct Closing {
    pub(super) cycle: CycleId,
    pub(super) left: Vec<AccountNo>,
    /// Accounts that are read from the store for it.
    pub(super) loading: usize,
    pub(super) to: mpsc::UnboundedSender<CloseProgress>,
}

impl Shard {
    /// Closes some more accounts where a close is under way and the batch has room.
    pub(super) fn go_on_closing(&mut self, batch_max: usize) {
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
    pub(super) fn close_one(&mut self, no: AccountNo, cycle: CycleId) {
        self.close_account(no, cycle);
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

    pub(super) fn close_account(&mut self, no: AccountNo, cycle: CycleId) {
        let Some(slot) = self.accounts.slot_mut(no) else { return };
        if let Some(forgotten) = slot.account.close(cycle) {
            for line in &forgotten {
                self.shared.directory.forget_line(no, line);
            }
            let change = self.pending.change(slot);
            change.unnamed.extend(forgotten.iter().flat_map(identifiers));
        }
    }
}
