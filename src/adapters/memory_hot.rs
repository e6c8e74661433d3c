//! The hot store in memory, for tests: the port's contract without a disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::ports::hot::{
    AccountVisitor, Batch, Change, Committed, HotError, HotStore, LogEntry, LogNo, Position, StoredAccount,
    decode_records,
};

/// Everything in one map; nothing survives it.
#[derive(Default)]
pub struct MemoryHot {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<AccountId, StoredAccount>,
    sessions: HashMap<SessionId, AccountId>,
    log: BTreeMap<Position, LogEntry>,
    position: Position,
    /// Each writer's newest batch by its number.
    last: HashMap<u64, (u64, Committed)>,
    faults: Vec<HotError>,
    refuses: Option<&'static str>,
}

impl MemoryHot {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next commit fails with `error` and applies nothing.
    pub fn fail_next(&self, error: HotError) {
        self.state().faults.push(error);
    }

    /// Whether intake is refused, and why.
    pub fn refuse(&self, reason: Option<&'static str>) {
        self.state().refuses = reason;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, batch: &Batch) -> Result<Committed, HotError> {
        if let Some((number, committed)) = self.last.get(&batch.writer)
            && *number == batch.number
        {
            return Ok(committed.clone());
        }
        if let Some(error) = self.faults.pop() {
            return Err(error);
        }
        let mut records = Vec::new();
        let mut changes = Vec::with_capacity(batch.changes.len());
        for change in &batch.changes {
            let version = self.accounts.get(&change.account).map_or(0, |a| a.version);
            if version != change.previous {
                changes.push(Change::Conflict);
                continue;
            }
            decode_records(&change.records, change.record_count, &mut records)?;
            let (account, version, state) = (change.account.clone(), change.version, change.state.clone());
            self.accounts.insert(account.clone(), StoredAccount { account, version, state });
            self.sessions.extend(change.opened.iter().map(|s| (s.clone(), change.account.clone())));
            for session in &change.closed {
                self.sessions.remove(session);
            }
            changes.push(Change::Applied);
        }
        decode_records(&batch.loose, batch.loose_records, &mut records)?;
        self.position += 1;
        self.log.insert(self.position, LogEntry { position: self.position, records });
        let committed = Committed { position: self.position, changes };
        self.last.insert(batch.writer, (batch.number, committed.clone()));
        Ok(committed)
    }
}

#[async_trait]
impl HotStore for MemoryHot {
    async fn commit(&self, batch: &Batch) -> Result<Committed, HotError> {
        self.state().commit(batch)
    }

    async fn for_each_account(&self, visit: AccountVisitor<'_>) -> Result<(), HotError> {
        let accounts: Vec<StoredAccount> = self.state().accounts.values().cloned().collect();
        accounts.into_iter().for_each(visit);
        Ok(())
    }

    async fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        Ok(self.state().accounts.get(id).cloned())
    }

    async fn account_of_session(&self, session: &SessionId) -> Result<Option<AccountId>, HotError> {
        Ok(self.state().sessions.get(session).cloned())
    }

    async fn log_after(&self, _: LogNo, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        Ok(self.state().log.range(position + 1..).take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    async fn drained_through(&self, _: LogNo, position: Position) -> Result<(), HotError> {
        let mut state = self.state();
        state.log = state.log.split_off(&(position + 1));
        Ok(())
    }

    fn last_position(&self) -> Position {
        self.state().position
    }

    fn last_commit_at(&self) -> Option<Timestamp> {
        None
    }

    fn refuses(&self) -> Option<&'static str> {
        self.state().refuses
    }
}
