//! The shared hot store: accounts and log in Redis 7 or newer.
//!
//! A batch is one script, which guards versions and writes; it runs alone on the
//! server, so its accounts, sessions, log entry and position are there together
//! or not at all. It also remembers each writer's newest batch: one that comes
//! again because the reply was lost gets the outcomes of the first time, and one
//! that was overtaken is refused.
//!
//! While the server is away, requests wait and are tried again within a bound,
//! and [`HotStore::refuses`] keeps usage out. A server that comes back without
//! what it had acknowledged (`relaxed`, a failover, a broken disk) is found out
//! by positions and batch numbers: positions go on from the newest that was
//! seen, accounts conflict and are loaded again, and the loss is logged and
//! counted.

mod keys;
mod link;
mod server;
mod settings;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::RandomState;
use async_trait::async_trait;
use redis::{Client, Cmd};

pub use self::settings::{Durability, RedisSettings};

use self::keys::{COMMIT, Keys, TRIM};
use self::link::{Link, Purpose};
use crate::adapters::system::SystemClock;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::ports::hot::{
    AccountVisitor, Batch, Change, Committed, HotError, HotStore, LogEntry, Position, StoredAccount, decode_records,
};
use crate::telemetry::metrics;

/// How long a writer's newest batch is remembered, seconds: longer than any retry, and renewed
/// by every batch.
const WRITER_REMEMBERED_S: u64 = 86_400;

/// A log entry as XRANGE gives it: id, then field names and values in turn.
type StreamEntry = (String, Vec<Vec<u8>>);

/// Newest position, its time, records ever logged, and those of them that were trimmed.
type Meta = (Option<u64>, Option<i64>, Option<u64>, Option<u64>);

/// The store. Gateways with the same server and prefix share it.
pub struct RedisHot {
    settings: RedisSettings,
    keys: Keys,
    /// Carries batches alone: waiting for the disk holds up what comes behind.
    writes: Link,
    reads: Link,
    position: AtomicU64,
    log_records: AtomicU64,
    drained: AtomicU64,
    poisoned: AtomicBool,
    last_commit_at: Option<Timestamp>,
}

impl RedisHot {
    /// Connects to `url` (`redis://[[user]:password@]host[:port][/database]`, `rediss://` for
    /// TLS) and checks the server. Waits for one that is starting.
    ///
    /// # Errors
    /// [`HotError::Fatal`] for a server that cannot be trusted with accounts as the settings ask,
    /// or that holds another format; [`HotError::Transient`] for one that is away for too long.
    pub async fn open(url: &str, settings: RedisSettings) -> Result<Self, HotError> {
        // The URL may hold a password and stays out of the error.
        let client = Client::open(url).map_err(|e| fatal("read hot.url", &e))?;
        let keys = Keys::new(&settings.prefix);
        let link = |role| Link::new(role, client.clone(), settings.clone(), keys.clone());
        let (writes, reads) = (link("writes"), link("reads"));
        let mut ask = redis::cmd("HMGET");
        ask.arg(&keys.meta).arg(&["position", "at", "records", "trimmed"]);
        let (position, at, records, trimmed): Meta = reads.ask("open", &ask, Purpose::Read).await?;
        if settings.durability == Durability::Relaxed {
            tracing::warn!(
                "hot.redis.durability is relaxed: when the server fails, acknowledged usage of about a second may be \
                 lost, and all since its last save where it has appendonly no"
            );
        }
        metrics().hot_relaxed.set(i64::from(settings.durability == Durability::Relaxed));
        Ok(Self {
            settings,
            keys,
            writes,
            reads,
            position: AtomicU64::new(position.unwrap_or(0)),
            log_records: AtomicU64::new(records.unwrap_or(0).saturating_sub(trimmed.unwrap_or(0))),
            drained: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            last_commit_at: at.map(Timestamp),
        })
    }

    fn commit_request(&self, batch: &Batch) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(COMMIT.get_hash()).arg(5);
        call.arg(&self.keys.meta).arg(&self.keys.accounts).arg(&self.keys.sessions).arg(&self.keys.log);
        call.arg(self.keys.writer(batch.writer));
        call.arg(batch.number).arg(batch.at.millis()).arg(self.position.load(Ordering::Acquire));
        call.arg(WRITER_REMEMBERED_S).arg(batch.loose_records).arg(batch.loose.as_slice());
        for change in &batch.changes {
            call.arg(change.account.as_str()).arg(change.previous.to_be_bytes().as_slice());
            call.arg(join_account(change.version, &change.state));
            call.arg(change.record_count).arg(change.records.as_slice());
            call.arg(change.opened.len()).arg(change.closed.len());
            for session in change.opened.iter().chain(&change.closed) {
                call.arg(session.as_str());
            }
        }
        call
    }

    async fn commit_once_known(&self, batch: &Batch) -> Result<Committed, HotError> {
        let operation = "commit a batch";
        let request = self.commit_request(batch);
        let (position, outcomes, log_records, is_missing): (Position, Vec<u8>, u64, bool) =
            self.writes.ask(operation, &request, Purpose::Write).await?;
        if is_missing {
            metrics().hot_losses.inc();
            tracing::error!(
                position,
                "redis has lost writes that it had acknowledged; usage of that time may be missing: \
                 look at its appendfsync, its disk, and whether a replica took over"
            );
        }
        let changes: Vec<Change> =
            outcomes.iter().map(|o| if *o == b'1' { Change::Applied } else { Change::Conflict }).collect();
        if changes.len() != batch.changes.len() {
            return Err(fatal(operation, &format!("{} outcomes for {} changes", changes.len(), batch.changes.len())));
        }
        self.position.fetch_max(position, Ordering::AcqRel);
        self.log_records.store(log_records, Ordering::Relaxed);
        Ok(Committed { position, changes })
    }

    async fn read<T: redis::FromRedisValue>(&self, operation: &'static str, request: &Cmd) -> Result<T, HotError> {
        self.reads.ask(operation, request, Purpose::Read).await
    }
}

#[async_trait]
impl HotStore for RedisHot {
    async fn commit(&self, batch: &Batch) -> Result<Committed, HotError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(fatal("commit a batch", &"the outcome of an earlier one is unknown"));
        }
        let began = SystemClock::instant();
        let committed = self.commit_once_known(batch).await.inspect_err(|error| {
            self.poisoned.store(matches!(error, HotError::Fatal { .. }), Ordering::Release);
        })?;
        metrics().hot_commits.inc();
        metrics().hot_commit_seconds.observe(began.elapsed().as_secs_f64());
        let applied = batch.changes.iter().zip(&committed.changes).filter(|(_, o)| **o == Change::Applied);
        let records = applied.map(|(c, _)| c.record_count).sum::<u32>() + batch.loose_records;
        metrics().hot_commit_records.observe(f64::from(records));
        Ok(committed)
    }

    async fn for_each_account(&self, visit: AccountVisitor<'_>) -> Result<(), HotError> {
        let operation = "read accounts";
        // A scan may give an account twice, and its cursor means nothing to a server that has
        // been started again: then it begins anew.
        let mut seen: HashSet<AccountId, RandomState> = HashSet::default();
        let mut cursor = 0_u64;
        let mut connects = self.reads.connects();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&self.keys.accounts).arg(cursor).arg("COUNT").arg(self.settings.scan_accounts.max(1));
            let (next, page): (u64, Vec<(Vec<u8>, Vec<u8>)>) = self.read(operation, &scan).await?;
            for (id, value) in page {
                let stored = text(id)
                    .and_then(|id| split_account(AccountId::from(id), &value))
                    .ok_or_else(|| fatal(operation, &"an account cannot be read"))?;
                if seen.insert(stored.account.clone()) {
                    visit(stored);
                }
            }
            let is_another = cursor != 0 && self.reads.connects() != connects;
            connects = self.reads.connects();
            cursor = if is_another { 0 } else { next };
            if cursor == 0 && !is_another {
                return Ok(());
            }
        }
    }

    async fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(&self.keys.accounts).arg(id.as_str());
        let found: Option<Vec<u8>> = self.read("read an account", &ask).await?;
        let unreadable = || fatal("read an account", &format!("{id} cannot be read"));
        found.map(|value| split_account(id.clone(), &value).ok_or_else(unreadable)).transpose()
    }

    async fn account_of_session(&self, session: &SessionId) -> Result<Option<AccountId>, HotError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(&self.keys.sessions).arg(session.as_str());
        let found: Option<String> = self.read("read a session", &ask).await?;
        Ok(found.map(AccountId::from))
    }

    async fn log_after(&self, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.keys.log).arg(position.saturating_add(1)).arg("+").arg("COUNT").arg(limit);
        let entries: Vec<StreamEntry> = self.read("read the log", &range).await?;
        let entries: Vec<LogEntry> = entries.into_iter().map(decode_entry).collect::<Result<_, _>>()?;
        if let Some(newest) = entries.last() {
            // Other gateways write, too.
            self.position.fetch_max(newest.position, Ordering::AcqRel);
        }
        Ok(entries)
    }

    async fn drained_through(&self, position: Position) -> Result<(), HotError> {
        if position <= self.drained.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut call = redis::cmd("EVALSHA");
        call.arg(TRIM.get_hash()).arg(2).arg(&self.keys.meta).arg(&self.keys.log);
        call.arg(position).arg(position.saturating_add(1));
        let log_records: u64 = self.read("trim the log", &call).await?;
        self.log_records.store(log_records, Ordering::Relaxed);
        self.drained.fetch_max(position, Ordering::AcqRel);
        Ok(())
    }

    fn last_position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    fn last_commit_at(&self) -> Option<Timestamp> {
        self.last_commit_at
    }

    fn refuses(&self) -> Option<&'static str> {
        if self.writes.is_away() || self.reads.is_away() {
            return Some("redis is away");
        }
        let is_full = self.log_records.load(Ordering::Relaxed) >= self.settings.log_records_max;
        is_full.then_some("the hot log is full: it is not drained")
    }
}

fn decode_entry((id, fields): StreamEntry) -> Result<LogEntry, HotError> {
    let damaged = || fatal("read the log", &format!("entry {id} is damaged"));
    let position = id.split('-').next().and_then(|p| p.parse().ok()).ok_or_else(damaged)?;
    let field = |name: &[u8]| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_slice());
    let count = field(b"count").and_then(|c| std::str::from_utf8(c).ok()?.parse().ok()).ok_or_else(damaged)?;
    let mut records = Vec::new();
    decode_records(field(b"records").ok_or_else(damaged)?, count, &mut records)?;
    Ok(LogEntry { position, records })
}

/// An account's value: version, then state.
fn join_account(version: u64, state: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(8 + state.len());
    value.extend(version.to_be_bytes());
    value.extend_from_slice(state);
    value
}

fn split_account(account: AccountId, value: &[u8]) -> Option<StoredAccount> {
    let (version, state) = value.split_first_chunk::<8>()?;
    Some(StoredAccount { account, version: u64::from_be_bytes(*version), state: state.to_vec() })
}

fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

fn fatal(operation: &'static str, reason: &impl ToString) -> HotError {
    HotError::Fatal { operation, reason: reason.to_string() }
}
