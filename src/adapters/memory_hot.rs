//! The hot store in memory, for tests: the port's contract without a disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, Records};
use crate::ports::hot::{
    AccountChange, AccountVisitor, Batch, Change, Committed, HotError, HotStore, LogEntry, LogNo, Part, Position,
    StoredAccount,
};

/// Everything in maps; nothing survives it.
pub struct MemoryHot {
    state: Mutex<State>,
    logs: LogNo,
    is_shared: bool,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<AccountId, StoredAccount>,
    sessions: HashMap<SessionId, AccountId>,
    /// The account whose line took an identifier last, as each log knows it.
    identifiers: BTreeMap<(Identifier, LogNo), AccountId>,
    entries: BTreeMap<(LogNo, Position), Records>,
    /// One for all logs, as where positions follow the time.
    position: Position,
    /// Each writer's newest batch in each log, by its number.
    last: HashMap<(u64, LogNo), (u64, Committed)>,
    faults: Vec<HotError>,
    refuses: Option<&'static str>,
}

impl Default for MemoryHot {
    fn default() -> Self {
        Self { state: Mutex::default(), logs: 1, is_shared: false }
    }
}

impl MemoryHot {
    /// Empty, as an embedded store is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empty, as one that gateways share is, with so many logs.
    pub fn shared(logs: LogNo) -> Self {
        Self { logs: logs.max(1), is_shared: true, ..Self::default() }
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
    fn commit(&mut self, log: LogNo, batch: &Batch, part: &Part) -> Result<Committed, HotError> {
        if let Some((number, committed)) = self.last.get(&(batch.writer, log))
            && *number == batch.number
        {
            return Ok(committed.clone());
        }
        let mut records = Records::default();
        let mut changes = Vec::with_capacity(part.changes.len());
        for change in part.changes.iter().map(|at| &batch.changes[*at]) {
            let version = self.accounts.get(&change.account).map_or(0, |a| a.version);
            if version != change.previous {
                changes.push(Change::Conflict);
                continue;
            }
            records.append(&Records::new(change.records.clone(), change.record_count as usize));
            if change.version != change.previous {
                self.apply(log, change);
            }
            changes.push(Change::Applied);
        }
        if part.has_loose {
            records.append(&Records::new(batch.loose.clone(), batch.loose_records as usize));
        }
        self.position += 1;
        self.entries.insert((log, self.position), records);
        let committed = Committed { position: self.position, changes };
        self.last.insert((batch.writer, log), (batch.number, committed.clone()));
        Ok(committed)
    }

    fn apply(&mut self, log: LogNo, change: &AccountChange) {
        let (account, version, state) = (change.account.clone(), change.version, change.state.clone());
        self.accounts.insert(account.clone(), StoredAccount { account: account.clone(), version, state });
        self.sessions.extend(change.opened.iter().map(|session| (session.clone(), account.clone())));
        for session in &change.closed {
            self.sessions.remove(session);
        }
        self.identifiers.extend(change.named.iter().map(|name| ((name.clone(), log), account.clone())));
        for name in change.unnamed.iter().map(|name| (name.clone(), log)) {
            // Another account may have it by now.
            if self.identifiers.get(&name) == Some(&account) {
                self.identifiers.remove(&name);
            }
        }
    }
}

#[async_trait]
impl HotStore for MemoryHot {
    async fn commit(&self, batch: &Batch) -> Result<Committed, HotError> {
        let mut state = self.state();
        if let Some(error) = state.faults.pop() {
            return Err(error);
        }
        let mut committed = Committed { position: 0, changes: vec![Change::Conflict; batch.changes.len()] };
        for (log, part) in batch.parts(self.logs) {
            let Committed { position, changes } = state.commit(log, batch, &part)?;
            committed.position = committed.position.max(position);
            for (at, change) in part.changes.iter().zip(changes) {
                committed.changes[*at] = change;
            }
        }
        Ok(committed)
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

    async fn accounts_of_identifier(&self, identifier: &Identifier) -> Result<Vec<AccountId>, HotError> {
        let state = self.state();
        let of_log = |log| state.identifiers.get(&(identifier.clone(), log)).cloned();
        Ok((0..self.logs).filter_map(of_log).collect())
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn logs(&self) -> LogNo {
        self.logs
    }

    async fn log_after(&self, log: LogNo, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        let state = self.state();
        let entries = state.entries.range((log, position + 1)..=(log, Position::MAX)).take(limit);
        Ok(entries.map(|((_, position), records)| LogEntry { position: *position, records: records.clone() }).collect())
    }

    async fn drained_through(&self, log: LogNo, position: Position) -> Result<(), HotError> {
        self.state().entries.retain(|(of, at), _| *of != log || *at > position);
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
