//! The hot store: charging accounts, and the log of what was charged.
//!
//! The shard that owns an account decides in memory; the store makes decisions
//! durable in batches and never decides a price or a grant. Accounts travel
//! encoded ([`crate::domain::account::Account::encode`]): the owner encodes each
//! changed account once for a batch, and the store needs none of its fields.
//!
//! Guarantees:
//!
//! - [`HotStore::commit`] is one durable write for the whole batch, or one for
//!   each log that it touches. What it reports as [`Change::Applied`] is on
//!   disk: the account's whole new state and its records together, or neither.
//! - A change is applied when the stored version is the one that it was decided
//!   on (`previous`, 0 for a new account); else it is a [`Change::Conflict`] and
//!   nothing of it is kept. Other changes of the batch are not affected. An embedded
//!   store has one writer, whose shards own the accounts: it compares the versions
//!   that it has in memory and those of new accounts, and believes the writer for the
//!   others, so that it need not keep a version for each account.
//! - On a shared store a change whose version is the previous one is compared
//!   alone: an answer that changes nothing is right only while the account is as
//!   it was read.
//! - A batch is known by writer and number: committing it again, because the
//!   reply was lost, applies nothing twice and gives the same outcomes. Numbers
//!   of a writer rise by one.
//! - `Err(HotError::Fatal)`: the outcome is unknown and the store takes no more
//!   writes. Nobody may be answered; the process ends and recovers at its start.
//! - Positions rise with every batch that holds records or changes. An entry
//!   stays readable until it is drained, and an account's state until it is
//!   replaced, through an unclean stop too.
//! - A store carries a format version and refuses to open a newer one.
//!
//! Calls of an embedded store may block their thread for one disk write.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::domain::account::slot_of;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, Records};

/// Where an entry stands in its log; 0 is before the first.
pub type Position = u64;

/// Which log: a store has one, or several that rise each by itself.
pub type LogNo = u8;

/// What one writer wants durable together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The process that writes; fresh for each start.
    pub writer: u64,
    /// 1, 2, 3, … for each writer.
    pub number: u64,
    /// When it was made, by the gateway's clock.
    pub at: Timestamp,
    /// Changed accounts, each at most once.
    pub changes: Vec<AccountChange>,
    /// Records that belong to no account (suspense), one after the other as
    /// [`UsageRecord::encode`](crate::domain::usage::UsageRecord::encode) writes them.
    pub loose: Vec<u8>,
    /// How many records `loose` holds.
    pub loose_records: u32,
}

/// What one log takes of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Places of its changes in the batch.
    pub changes: Vec<usize>,
    /// Whether it takes the loose records.
    pub has_loose: bool,
}

impl Batch {
    /// Which of so many logs takes what. The same batch is always split alike.
    pub fn parts(&self, logs: LogNo) -> BTreeMap<LogNo, Part> {
        let mut parts: BTreeMap<LogNo, Part> = BTreeMap::new();
        for (at, change) in self.changes.iter().enumerate() {
            parts.entry(log_of(&change.account, logs)).or_default().changes.push(at);
        }
        if parts.is_empty() || self.loose_records > 0 {
            // The logs take turns.
            let home = parts.keys().next().copied().unwrap_or((self.number % u64::from(logs)) as LogNo);
            parts.entry(home).or_default().has_loose = true;
        }
        parts
    }
}

/// The log of an account, of so many: the same for all time.
pub fn log_of(account: &AccountId, logs: LogNo) -> LogNo {
    slot_of(account) % logs
}

/// One account's way from a version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountChange {
    /// Which.
    pub account: AccountId,
    /// The version it was decided on; 0 for a new account.
    pub previous: u64,
    /// The version it becomes; higher than `previous`, and never given twice to one
    /// account with different states.
    pub version: u64,
    /// The whole new state, encoded.
    pub state: Vec<u8>,
    /// What was charged, one after the other, as
    /// [`UsageRecord::encode`](crate::domain::usage::UsageRecord::encode) writes it.
    pub records: Vec<u8>,
    /// How many records that is.
    pub record_count: u32,
    /// Sessions that became this account's.
    pub opened: Vec<SessionId>,
    /// Sessions whose keys are forgotten.
    pub closed: Vec<SessionId>,
    /// Identifiers that the account's lines took.
    pub named: Vec<Identifier>,
    /// Identifiers of lines that are forgotten.
    pub unnamed: Vec<Identifier>,
}

impl AccountChange {
    /// One that changes nothing: the version is compared alone.
    pub fn check(account: AccountId, version: u64) -> Self {
        Self {
            account,
            previous: version,
            version,
            state: Vec::new(),
            records: Vec::new(),
            record_count: 0,
            opened: Vec::new(),
            closed: Vec::new(),
            named: Vec::new(),
            unnamed: Vec::new(),
        }
    }
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Durable.
    Applied,
    /// Another writer was there first; nothing of it is kept. Load and decide again.
    Conflict,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The log reaches to here; the batch's entry where it made one.
    pub position: Position,
    /// For each change, in the batch's order.
    pub changes: Vec<Change>,
}

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAccount {
    /// Which.
    pub account: AccountId,
    /// Its version.
    pub version: u64,
    /// Its state, encoded.
    pub state: Vec<u8>,
}

/// One entry of the log, as the drain reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub position: Position,
    /// The records of its applied changes, then the loose ones.
    pub records: Records,
}

/// Why the store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotError {
    /// Certainly not applied, worth another try.
    #[error("hot store: {operation}: {reason}")]
    Transient {
        /// What was done.
        operation: &'static str,
        /// What happened.
        reason: String,
    },
    /// The outcome is unknown and will not get better in this process.
    #[error("hot store: {operation}: {reason}; the process must end and recover")]
    Fatal {
        /// What was done.
        operation: &'static str,
        /// What happened.
        reason: String,
    },
}

/// Takes accounts one by one while a store is read.
pub type AccountVisitor<'a> = &'a mut (dyn FnMut(StoredAccount) + Send);

/// The hot port.
#[async_trait]
pub trait HotStore: Send + Sync + 'static {
    /// Makes a batch durable; see the guarantees above.
    async fn commit(&self, batch: &Batch) -> Result<Committed, HotError>;

    /// Every account once, in no particular order.
    async fn for_each_account(&self, visit: AccountVisitor<'_>) -> Result<(), HotError>;

    /// One account.
    async fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError>;

    /// The account that a session belongs to.
    async fn account_of_session(&self, session: &SessionId) -> Result<Option<AccountId>, HotError>;

    /// Accounts whose lines took an identifier last, on a shared store: one for each
    /// log at most. An embedded store has no other writer, and none to tell.
    async fn accounts_of_identifier(&self, _identifier: &Identifier) -> Result<Vec<AccountId>, HotError> {
        Ok(Vec::new())
    }

    /// Whether other gateways write here, too: what is in memory may be old.
    fn is_shared(&self) -> bool {
        false
    }

    /// The store's own name, where it is no part of the data folder.
    fn id(&self) -> Option<&str> {
        None
    }

    /// How many logs there are; the same for all time.
    fn logs(&self) -> LogNo {
        1
    }

    /// Entries of a log after `position` in order, `limit` of them at most; fewer than
    /// `limit` means that there are no more. Positions may have gaps.
    async fn log_after(&self, log: LogNo, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError>;

    /// Everything of a log up to `position` is in the relational store: it may be trimmed.
    async fn drained_through(&self, log: LogNo, position: Position) -> Result<(), HotError>;

    /// Entries of a log that are not drained, where it is drained to `drained`; roughly.
    fn undrained(&self, _log: LogNo, drained: Position) -> u64 {
        self.last_position().saturating_sub(drained)
    }

    /// The newest position of any log.
    fn last_position(&self) -> Position;

    /// Whether a log ends before what was drained from it. A shared store has lost
    /// writes then: it says so, and goes on behind.
    async fn is_behind(&self, _log: LogNo, drained: Position) -> Result<bool, HotError> {
        Ok(self.last_position() < drained)
    }

    /// When the newest batch was made, before this process opened the store.
    fn last_commit_at(&self) -> Option<Timestamp>;

    /// Why no more usage may be taken in, where it may not: little free space
    /// on the disk, or a log that has reached its limit because nothing drains it.
    fn refuses(&self) -> Option<&'static str>;

    /// Whether that is because its server does not answer, and will by itself.
    fn is_away(&self) -> bool {
        false
    }
}
