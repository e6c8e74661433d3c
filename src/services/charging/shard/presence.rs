//! Which accounts a shard has in memory: how they come, stay and leave.
//!
//! Opens packed accounts, lets work wait for those that the store alone has, takes over
//! what the store knows better, and makes room. Where accounts are kept is
//! [`super::super::accounts`].

use tokio::sync::oneshot;

use super::Shard;
use super::batches::Waiting;
use crate::domain::account::{Account, BadAccount};
use crate::domain::time::Timestamp;
use crate::ports::hot::{HotError, StoredAccount};
use crate::services::charging::accounts::{AccountNo, Place, open_sessions, schedule};
use crate::services::charging::directory::Owner;
use crate::services::charging::loads::Loaded;
use crate::services::charging::work::Work;
use crate::telemetry::metrics;

impl Shard {
    /// Opens an account where it is in memory.
    pub(super) fn bring(&mut self, no: AccountNo) -> Result<Place, HotError> {
        let failed =
            |error: BadAccount| HotError::Fatal { operation: "open a packed account", reason: error.to_string() };
        self.accounts.bring(no).map_err(failed)
    }

    pub(super) fn wait(&mut self, work: Work) {
        if let Some(no) = work.account(&self.accounts) {
            self.loads.wait(no, self.accounts.id(no), work, &self.shared);
        }
    }

    /// An account has been read: what waited for it is done.
    pub(super) fn loaded(&mut self, loaded: Result<Loaded, HotError>) -> Result<(), HotError> {
        let (no, stored) = loaded?;
        let stored = stored?;
        metrics().accounts_loaded.inc();
        // It may have come another way meanwhile.
        if self.accounts.slot(no).is_none() {
            match stored {
                // Others may have changed it since it was left to a store that they share.
                Some(stored) if self.shared.hot.is_shared() => self.put(stored)?,
                Some(stored) => drop(self.accounts.insert(decode(&stored)?, false)),
                None => self.forget_account(no)?,
            }
        }
        let (now, tariff) = (self.shared.clock.now(), self.shared.tariff.book());
        for work in self.loads.take(no, &self.shared) {
            self.do_work(work, &tariff, now);
        }
        Ok(())
    }

    pub(super) fn make_room(&mut self) {
        self.accounts.make_room();
        let cached = self.accounts.cached();
        metrics().accounts_cached.add(cached as i64 - self.counted as i64);
        self.counted = cached;
    }

    /// Takes an account as the store has it, where that is newer than what is here, and says so.
    /// What is changed here at this moment waits for its batch: either that conflicts and the
    /// account is loaded, or what is here counts from then on.
    pub(super) fn know(&mut self, stored: StoredAccount, done: oneshot::Sender<()>) {
        let no = self.accounts.number(&stored.account);
        if let Err(error) = self.bring(no) {
            return self.fail(&error);
        }
        match self.accounts.slot(no) {
            Some(slot) if slot.pending.is_some() || slot.in_flight => {
                return self.pending.waiting.push(Waiting::Know { stored, done });
            }
            Some(slot) if slot.account.version >= stored.version => {}
            _ => {
                if let Err(error) = self.put(stored) {
                    // Whoever waits hears that it is not known.
                    return tracing::error!(%error, "take over an account");
                }
            }
        }
        let _waits_no_more = done.send(());
    }

    /// Opens an account as the store has it, in the place of what was known of it.
    pub(super) fn put(&mut self, stored: StoredAccount) -> Result<(), HotError> {
        let account = decode(&stored)?;
        let no = self.accounts.number(&account.id);
        self.bring(no)?;
        let known = self.accounts.open_sessions(no);
        // Whoever looks for it meanwhile finds it: what stays is replaced before the rest goes.
        self.shared.directory.add_account(no, &account);
        self.forget_names(no, Some(&account));
        metrics().sessions.add(open_sessions(&account) as i64 - known.unwrap_or(0) as i64);
        metrics().accounts.add(i64::from(known.is_none()));
        self.accounts.insert(account, false);
        let limits = &self.shared.settings.rating.limits;
        let slot = self.accounts.slot_mut(no).expect("it was put there");
        // What was known may have expired later.
        if slot.account.next_tick(limits).is_some_and(|at| at < slot.scheduled) {
            slot.scheduled = Timestamp::MAX;
        }
        schedule(slot, &mut self.expiries, limits);
        Ok(())
    }

    /// Drops an account, with what it is found by.
    pub(super) fn forget_account(&mut self, no: AccountNo) -> Result<(), HotError> {
        self.bring(no)?;
        let Some(open) = self.accounts.open_sessions(no) else { return Ok(()) };
        self.forget_names(no, None);
        self.accounts.remove(no);
        metrics().sessions.sub(open as i64);
        metrics().accounts.dec();
        Ok(())
    }

    /// An open account is not found any more by what it says, and `now` does not.
    fn forget_names(&self, no: AccountNo, now: Option<&Account>) {
        let Some(slot) = self.accounts.slot(no) else { return };
        for line in &slot.account.lines {
            let stays = now.and_then(|account| account.line_by_no(line.no));
            let has =
                |identifier| stays.is_some_and(|line| line.identifiers.iter().any(|(kept, _)| kept == identifier));
            let gone = line.identifiers.iter().map(|(identifier, _)| identifier).filter(|identifier| !has(*identifier));
            self.shared.directory.forget_names(gone, Owner { account: no, line: line.no });
        }
        for session in &slot.account.sessions {
            if !now.is_some_and(|account| account.sessions.iter().any(|kept| kept.id == session.id)) {
                self.shared.directory.forget_session(&session.id);
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
