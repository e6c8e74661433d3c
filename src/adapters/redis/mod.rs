//! The shared hot store: accounts and log in Redis 7 or newer.
//!
//! A single server has one log, a Cluster 64, each with the accounts that write it
//! under one hash tag. A log's part of a batch is one script, which guards versions
//! and writes; it runs alone on its server, so its accounts, sessions, log entry and
//! position are there together or not at all. It also remembers each writer's newest
//! batch: one that comes again because the reply was lost gets the outcomes of the
//! first time, and one that was overtaken is refused.
//!
//! While the server is away, requests wait and are tried again within a bound,
//! and [`HotStore::refuses`] keeps usage out. A server that comes back without
//! what it had acknowledged (`relaxed`, a failover, a broken disk) is found out
//! by positions and batch numbers: positions go on from the newest that was
//! seen, accounts conflict and are loaded again, and the loss is logged and
//! counted.

mod keys;
mod link;
mod links;
mod server;
mod settings;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::RandomState;
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis::Cmd;

pub use self::settings::{Durability, RedisSettings};

use self::keys::{COMMIT, Keys, LOGS_OF_CLUSTER, TRIM};
use self::link::Purpose;
use self::links::{Door, Links};
use crate::adapters::system::SystemClock;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, Records};
use crate::ports::hot::{
    AccountVisitor, Batch, Change, Committed, HotError, HotStore, LogEntry, LogNo, Part, Position, StoredAccount,
    log_of,
};
use crate::telemetry::metrics;

/// Format of the whole store; `commit.lua` writes it, too.
const FORMAT: u64 = 2;

/// How long a writer's newest batch is remembered, seconds: longer than any retry, and renewed
/// by every batch.
const WRITER_REMEMBERED_S: u64 = 86_400;

/// A log entry as XRANGE gives it: id, then field names and values in turn.
type StreamEntry = (String, Vec<Vec<u8>>);

/// Accounts as HSCAN gives them.
type Page = Vec<(Vec<u8>, Vec<u8>)>;

/// Format, newest position, its time, records ever logged, and those of them that were trimmed.
type Meta = (Option<u64>, Option<u64>, Option<i64>, Option<u64>, Option<u64>);

/// The store. Gateways with the same server or Cluster and prefix share it.
pub struct RedisHot {
    settings: RedisSettings,
    logs: Vec<Log>,
    id: String,
    /// Carries batches alone: waiting for the disk holds up what comes behind.
    writes: Links,
    reads: Links,
    poisoned: AtomicBool,
    last_commit_at: Option<Timestamp>,
}

/// One log, and what this process was told of it.
struct Log {
    keys: Keys,
    position: AtomicU64,
    records: AtomicU64,
    entries: AtomicU64,
    drained: AtomicU64,
    /// The newest batch that was confirmed.
    confirmed: AtomicU64,
}

impl RedisHot {
    /// Connects to `url` (`redis://[[user]:password@]host[:port][/database]`, `rediss://` for
    /// TLS) and checks the server. Any node of a Cluster leads to the others. Waits for servers
    /// that are starting. `fresh_id` names the store where it is new.
    ///
    /// # Errors
    /// [`HotError::Fatal`] for a server that cannot be trusted with accounts as the settings ask,
    /// or that holds another format; [`HotError::Transient`] for one that is away for too long.
    pub async fn open(url: &str, settings: RedisSettings, fresh_id: &str) -> Result<Self, HotError> {
        let operation = "open";
        let door = Door::new(url, &settings)?;
        let is_cluster = door.is_cluster().await?;
        let count = if is_cluster { LOGS_OF_CLUSTER } else { 1 };
        let keys: Vec<Keys> = (0..count).map(|log| Keys::new(&settings.prefix, log, count)).collect();
        let links = |role| Links::new(role, door.clone(), &keys, is_cluster);
        let (writes, reads) = (links("writes")?, links("reads")?);
        let name = redis::cmd("HSETNX").arg(&keys[0].meta).arg("id").arg(fresh_id).to_owned();
        let _is_new: u64 = reads.ask(0, operation, &name, Purpose::Write).await?;
        let id = redis::cmd("HGET").arg(&keys[0].meta).arg("id").to_owned();
        let id: String = reads.ask(0, operation, &id, Purpose::Read).await?;
        let opened = keys.into_iter().enumerate().map(|(log, keys)| Log::open(log, keys, &reads));
        let (logs, times): (Vec<Log>, Vec<Option<i64>>) = try_join_all(opened).await?.into_iter().unzip();
        if settings.durability == Durability::Relaxed {
            tracing::warn!(
                "hot.redis.durability is relaxed: when the server fails, acknowledged usage of about a second may be \
                 lost, and all since its last save where it has appendonly no"
            );
        }
        metrics().hot_relaxed.set(i64::from(settings.durability == Durability::Relaxed));
        let last_commit_at = times.into_iter().flatten().max().map(Timestamp);
        Ok(Self { settings, logs, id, writes, reads, poisoned: AtomicBool::new(false), last_commit_at })
    }

    fn commit_request(log: &Log, batch: &Batch, part: &Part) -> Cmd {
        let keys = &log.keys;
        let mut call = redis::cmd("EVALSHA");
        call.arg(COMMIT.get_hash()).arg(6);
        call.arg(&keys.meta).arg(&keys.accounts).arg(&keys.sessions).arg(&keys.identifiers).arg(&keys.log);
        call.arg(keys.writer(batch.writer));
        call.arg(batch.number).arg(log.confirmed.load(Ordering::Acquire)).arg(batch.at.millis());
        call.arg(log.position.load(Ordering::Acquire)).arg(WRITER_REMEMBERED_S);
        let (loose_records, loose) =
            if part.has_loose { (batch.loose_records, batch.loose.as_slice()) } else { (0, &[][..]) };
        call.arg(loose_records).arg(loose);
        for change in part.changes.iter().map(|at| &batch.changes[*at]) {
            call.arg(change.account.as_str()).arg(change.previous.to_be_bytes().as_slice());
            let is_check = change.version == change.previous;
            call.arg(if is_check { Vec::new() } else { join_account(change.version, &change.state) });
            call.arg(change.record_count).arg(change.records.as_slice());
            call.arg(change.opened.len()).arg(change.closed.len()).arg(change.named.len()).arg(change.unnamed.len());
            for session in change.opened.iter().chain(&change.closed) {
                call.arg(session.as_str());
            }
            for identifier in change.named.iter().chain(&change.unnamed) {
                call.arg(name(identifier));
            }
        }
        call
    }

    /// Writes one log's part, and gives its outcomes.
    async fn commit_part(&self, at: LogNo, batch: &Batch, part: &Part) -> Result<(Position, Vec<Change>), HotError> {
        let (operation, at) = ("commit a batch", usize::from(at));
        let log = &self.logs[at];
        let request = Self::commit_request(log, batch, part);
        let (position, outcomes, records, entries, is_missing): (Position, Vec<u8>, u64, u64, bool) =
            self.writes.ask(at, operation, &request, Purpose::Write).await?;
        if is_missing {
            report_loss(at, position);
        }
        let changes: Vec<Change> =
            outcomes.iter().map(|o| if *o == b'1' { Change::Applied } else { Change::Conflict }).collect();
        if changes.len() != part.changes.len() {
            return Err(fatal(operation, &format!("{} outcomes for {} changes", changes.len(), part.changes.len())));
        }
        log.position.fetch_max(position, Ordering::AcqRel);
        log.confirmed.fetch_max(batch.number, Ordering::AcqRel);
        log.note_length(records, entries);
        Ok((position, changes))
    }

    /// Every log's part at once; each is tried again by itself until its outcome is known.
    async fn commit_once_known(&self, batch: &Batch) -> Result<Committed, HotError> {
        let parts = batch.parts(self.logs());
        let writing = parts.iter().map(|(log, part)| self.commit_part(*log, batch, part));
        let mut committed = Committed { position: 0, changes: vec![Change::Conflict; batch.changes.len()] };
        for (part, written) in parts.values().zip(join_all(writing).await) {
            let (position, changes) = written?;
            committed.position = committed.position.max(position);
            for (at, change) in part.changes.iter().zip(changes) {
                committed.changes[*at] = change;
            }
        }
        Ok(committed)
    }

    async fn read<T: redis::FromRedisValue>(
        &self,
        log: usize,
        operation: &'static str,
        request: &Cmd,
    ) -> Result<T, HotError> {
        self.reads.ask(log, operation, request, Purpose::Read).await
    }

    /// What the same field holds in a hash of each log; all are asked at once.
    async fn find(
        &self,
        operation: &'static str,
        hash: fn(&Keys) -> &str,
        field: &str,
    ) -> Result<Vec<AccountId>, HotError> {
        let asking = self.logs.iter().enumerate().map(|(at, log)| async move {
            let ask = redis::cmd("HGET").arg(hash(&log.keys)).arg(field).to_owned();
            self.read::<Option<String>>(at, operation, &ask).await
        });
        Ok(try_join_all(asking).await?.into_iter().flatten().map(AccountId::from).collect())
    }

    /// One log's accounts. A scan may give an account twice, and its cursor means nothing to a
    /// server that has been started again: then it begins anew.
    async fn scan(&self, at: usize, visit: AccountVisitor<'_>) -> Result<(), HotError> {
        let operation = "read accounts";
        let mut seen: HashSet<AccountId, RandomState> = HashSet::default();
        let mut cursor = 0_u64;
        let mut connects = self.reads.connects();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&self.logs[at].keys.accounts).arg(cursor).arg("COUNT").arg(self.settings.scan_accounts.max(1));
            let (next, page): (u64, Page) = self.read(at, operation, &scan).await?;
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
}

impl Log {
    /// Reads what the store tells of it; gives the time of its newest batch, too.
    async fn open(at: usize, keys: Keys, reads: &Links) -> Result<(Self, Option<i64>), HotError> {
        let operation = "open";
        let mut ask = redis::cmd("HMGET");
        ask.arg(&keys.meta).arg(&["format", "position", "at", "records", "trimmed"]);
        let (format, position, time, records, trimmed): Meta = reads.ask(at, operation, &ask, Purpose::Read).await?;
        if let Some(other) = format.filter(|found| *found != FORMAT) {
            let reason = format!("the store under {} has format {other}, this program reads {FORMAT}", keys.meta);
            return Err(fatal(operation, &reason));
        }
        let length = redis::cmd("XLEN").arg(&keys.log).to_owned();
        let entries: u64 = reads.ask(at, operation, &length, Purpose::Read).await?;
        let log = Self {
            keys,
            position: AtomicU64::new(position.unwrap_or(0)),
            records: AtomicU64::new(records.unwrap_or(0).saturating_sub(trimmed.unwrap_or(0))),
            entries: AtomicU64::new(entries),
            drained: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        };
        Ok((log, time))
    }

    fn note_length(&self, records: u64, entries: u64) {
        self.records.store(records, Ordering::Relaxed);
        self.entries.store(entries, Ordering::Relaxed);
    }
}

fn report_loss(log: usize, position: Position) {
    metrics().hot_losses.inc();
    tracing::error!(
        log,
        position,
        "redis has lost writes that it had acknowledged; usage of that time may be missing: \
         look at its appendfsync, its disk, and whether a replica took over"
    );
}

/// An identifier as the store writes it.
fn name(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Imsi(digits) => format!("imsi:{digits}"),
        Identifier::Msisdn(digits) => format!("msisdn:{digits}"),
        Identifier::Device(device) => format!("device:{device}"),
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
        for at in 0..self.logs.len() {
            self.scan(at, visit).await?;
        }
        Ok(())
    }

    async fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        let operation = "read an account";
        let at = usize::from(log_of(id, self.logs()));
        let mut ask = redis::cmd("HGET");
        ask.arg(&self.logs[at].keys.accounts).arg(id.as_str());
        let Some(value) = self.read::<Option<Vec<u8>>>(at, operation, &ask).await? else { return Ok(None) };
        let stored = split_account(id.clone(), &value);
        stored.map(Some).ok_or_else(|| fatal(operation, &format!("account {id} cannot be read")))
    }

    async fn account_of_session(&self, session: &SessionId) -> Result<Option<AccountId>, HotError> {
        let found = self.find("read a session", |keys| &keys.sessions, session.as_str()).await?;
        Ok(found.into_iter().next())
    }

    async fn accounts_of_identifier(&self, identifier: &Identifier) -> Result<Vec<AccountId>, HotError> {
        self.find("read an identifier", |keys| &keys.identifiers, &name(identifier)).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn logs(&self) -> LogNo {
        LogNo::try_from(self.logs.len()).unwrap_or(LogNo::MAX)
    }

    async fn log_after(&self, log: LogNo, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        let at = usize::from(log);
        let Log { keys, position: newest, .. } = &self.logs[at];
        let mut range = redis::cmd("XRANGE");
        range.arg(&keys.log).arg(position.saturating_add(1)).arg("+").arg("COUNT").arg(limit);
        let entries: Vec<StreamEntry> = self.read(at, "read the log", &range).await?;
        let entries: Vec<LogEntry> = entries.into_iter().map(decode_entry).collect::<Result<_, _>>()?;
        // Other gateways write and drain, too: nothing of ours may stand before what they have passed.
        newest.fetch_max(entries.last().map_or(position, |entry| entry.position), Ordering::AcqRel);
        Ok(entries)
    }

    async fn drained_through(&self, log: LogNo, position: Position) -> Result<(), HotError> {
        let at = usize::from(log);
        let Log { keys, drained, .. } = &self.logs[at];
        if position <= drained.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut call = redis::cmd("EVALSHA");
        call.arg(TRIM.get_hash()).arg(2).arg(&keys.meta).arg(&keys.log);
        call.arg(position).arg(position.saturating_add(1));
        let (records, entries): (u64, u64) = self.read(at, "trim the log", &call).await?;
        self.logs[at].note_length(records, entries);
        drained.fetch_max(position, Ordering::AcqRel);
        Ok(())
    }

    fn undrained(&self, log: LogNo, _drained: Position) -> u64 {
        self.logs[usize::from(log)].entries.load(Ordering::Relaxed)
    }

    fn last_position(&self) -> Position {
        self.logs.iter().map(|log| log.position.load(Ordering::Acquire)).max().unwrap_or(0)
    }

    async fn is_behind(&self, log: LogNo, drained: Position) -> Result<bool, HotError> {
        let at = usize::from(log);
        // Read anew: others have written and drained since the start.
        let ask = redis::cmd("HGET").arg(&self.logs[at].keys.meta).arg("position").to_owned();
        let position: Option<Position> = self.read(at, "read a position", &ask).await?;
        let is_behind = position.unwrap_or(0) < drained;
        if is_behind {
            report_loss(at, drained);
        }
        Ok(is_behind)
    }

    fn last_commit_at(&self) -> Option<Timestamp> {
        self.last_commit_at
    }

    fn refuses(&self) -> Option<&'static str> {
        if self.is_away() {
            return Some("redis is away");
        }
        let records: u64 = self.logs.iter().map(|log| log.records.load(Ordering::Relaxed)).sum();
        (records >= self.settings.log_records_max).then_some("the hot log is full: it is not drained")
    }

    fn is_away(&self) -> bool {
        self.writes.is_away() || self.reads.is_away()
    }
}

fn decode_entry((id, fields): StreamEntry) -> Result<LogEntry, HotError> {
    let damaged = || fatal("read the log", &format!("entry {id} is damaged"));
    let position = id.split('-').next().and_then(|p| p.parse().ok()).ok_or_else(damaged)?;
    let field = |name: &[u8]| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_slice());
    let count = field(b"count").and_then(|c| std::str::from_utf8(c).ok()?.parse().ok()).ok_or_else(damaged)?;
    let records = field(b"records").ok_or_else(damaged)?.to_vec();
    Ok(LogEntry { position, records: Records::new(records, count) })
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
