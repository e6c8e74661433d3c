//! The search for the sessions that a client has lost, some accounts with each batch.
//!
//! Owns who is searched for, one client after another. What becomes of an account's
//! sessions is [`crate::domain::account::Account::lose_sessions`].

use std::sync::Arc;

use super::Shard;
use crate::domain::time::Timestamp;
use crate::services::charging::accounts::{AccountNo, schedule};
use crate::services::charging::work::Work;
use crate::telemetry::metrics;

/// The search for the sessions that a client has lost.
pub(super) struct Sweep {
    peer: Arc<str>,
    before: Timestamp,
    left: Vec<AccountNo>,
    /// It has lost them once more meanwhile.
    again: Option<Timestamp>,
}

/// Clients whose lost sessions are searched for or wait for that; those of more give
/// their reservations back when they expire.
const SWEEPS_MAX: usize = 64;

impl Shard {
    pub(super) fn sessions_lost(&mut self, peer: Arc<str>, before: Timestamp) {
        if let Some(sweep) = self.sweeps.iter_mut().find(|sweep| sweep.peer == peer) {
            sweep.again = Some(before);
        } else if self.sweeps.len() < SWEEPS_MAX {
            let left = self.accounts.with_sessions();
            self.sweeps.push(Sweep { peer, before, left, again: None });
        } else {
            metrics().sweeps_refused.inc();
        }
    }

    /// Looks through some more accounts for sessions that their client has lost.
    pub(super) fn go_on_sweeping(&mut self, batch_max: usize) {
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

    pub(super) fn sweep(&mut self, no: AccountNo, peer: &str, before: Timestamp) {
        let Some(slot) = self.accounts.slot_mut(no) else { return };
        let lost = slot.account.lose_sessions(peer, before);
        if lost > 0 {
            metrics().sessions.sub(lost as i64);
            self.pending.change(slot);
            schedule(slot, &mut self.expiries, &self.shared.settings.rating.limits);
        }
    }
}
