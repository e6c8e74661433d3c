//! The embedded hot store: a log with snapshots in fjall.
//!
//! Every batch is one value in the keyspace `log` under its position, written
//! and synced once. Changed accounts stay in memory until a snapshot writes them
//! sorted and in bulk to `accounts`. The log is trimmed to the older of the
//! drain's cursor and the newest snapshot; its last entry always stays, because
//! it holds the position and the time of the last sign of life. Recovery is the
//! snapshots and the entries behind them.
//!
//! A failed write or sync poisons fjall: the outcome is unknown, every later
//! call is fatal, and the next start recovers. Calls block their thread.

mod entry;
mod snapshot;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use ahash::RandomState;
use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize};

use self::entry::EntryChange;
use crate::adapters::system::SystemClock;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::domain::usage::Records;
use crate::ports::hot::{
    AccountVisitor, Batch, Change, Committed, HotError, HotStore, LogEntry, LogNo, Position, StoredAccount,
};
use crate::telemetry::metrics;

/// Format of the whole store.
const FORMAT: u64 = 1;

/// Settings of the embedded hot store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FjallSettings {
    /// Records that the log may hold before usage is refused: nothing drains it.
    pub log_records_max: u64,
    /// Records after which changed accounts are written out.
    pub snapshot_records: u64,
    /// Changed accounts after which they are written out: they are in memory until then.
    pub snapshot_accounts: usize,
    /// Free space under which usage is refused, bytes.
    pub free_bytes_min: u64,
    /// How often free space is looked at, milliseconds.
    pub check_ms: u64,
    /// Cache for reads, bytes.
    pub cache_bytes: u64,
}

impl Default for FjallSettings {
    fn default() -> Self {
        Self {
            log_records_max: 20_000_000,
            snapshot_records: 500_000,
            snapshot_accounts: 200_000,
            free_bytes_min: 1_000_000_000,
            check_ms: 1000,
            cache_bytes: 16_000_000,
        }
    }
}

/// The store. One process opens a folder at a time.
pub struct FjallHot {
    inner: Arc<Inner>,
    snapshots: Option<(mpsc::SyncSender<()>, std::thread::JoinHandle<()>)>,
    last_commit_at: Option<Timestamp>,
}

struct Inner {
    folder: PathBuf,
    settings: FjallSettings,
    db: Database,
    log: Keyspace,
    accounts: Keyspace,
    sessions: Keyspace,
    meta: Keyspace,
    /// One batch at a time.
    committing: Mutex<()>,
    state: Mutex<State>,
    poisoned: AtomicBool,
    is_short_of_space: AtomicBool,
    log_records: AtomicU64,
    position: AtomicU64,
}

/// What recovery rebuilds from the log.
#[derive(Default)]
struct State {
    fresh: Fresh,
    /// What a snapshot is writing at this moment.
    writing: Option<Arc<Fresh>>,
    /// Entries of the log with their records, oldest first.
    entries: VecDeque<(Position, u32)>,
    records_since_snapshot: u64,
    drained: Position,
    snapshotted: Position,
    last: Option<(u64, u64, Committed)>,
}

/// Changes that no snapshot holds yet.
#[derive(Default)]
struct Fresh {
    /// Version and encoded state.
    accounts: HashMap<AccountId, (u64, Box<[u8]>), RandomState>,
    /// `None` where a session was forgotten.
    sessions: HashMap<SessionId, Option<AccountId>, RandomState>,
}

impl FjallHot {
    /// Opens or makes the store in `folder` and recovers it.
    ///
    /// # Errors
    /// [`HotError::Fatal`] when the folder cannot be opened or read, or holds a newer format.
    pub fn open(folder: &Path, settings: FjallSettings) -> Result<Self, HotError> {
        let opened = open_keyspaces(folder, &settings).map_err(|e| fatal("open", &e))?;
        let (db, [log, accounts, sessions, meta]) = opened;
        let inner = Inner {
            folder: folder.to_owned(),
            settings,
            db,
            log,
            accounts,
            sessions,
            meta,
            committing: Mutex::default(),
            state: Mutex::default(),
            poisoned: AtomicBool::new(false),
            is_short_of_space: AtomicBool::new(false),
            log_records: AtomicU64::new(0),
            position: AtomicU64::new(0),
        };
        inner.check_format()?;
        let last_commit_at = inner.recover()?;
        inner.check_space();
        let inner = Arc::new(inner);
        let (wake, woken) = mpsc::sync_channel(1);
        let of_thread = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("hot-snapshots".to_owned())
            .spawn(move || snapshot::run(&of_thread, &woken))
            .map_err(|e| fatal("start the snapshot thread", &e))?;
        let store = Self { inner, snapshots: Some((wake, thread)), last_commit_at };
        store.wake_when_due();
        Ok(store)
    }

    /// Writes every changed account out and trims the log, as the background
    /// thread does now and then.
    pub fn snapshot(&self) -> Result<(), HotError> {
        self.inner.snapshot()
    }

    fn wake_when_due(&self) {
        let is_due = {
            let (state, settings) = (self.inner.state(), &self.inner.settings);
            state.records_since_snapshot >= settings.snapshot_records
                || state.fresh.accounts.len() >= settings.snapshot_accounts
        };
        if is_due {
            self.wake_snapshots();
        }
    }

    fn wake_snapshots(&self) {
        if let Some((wake, _)) = &self.snapshots {
            // Full: it is awake already.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for FjallHot {
    fn drop(&mut self) {
        if let Some((wake, thread)) = self.snapshots.take() {
            drop(wake);
            let _ = thread.join();
        }
    }
}

fn open_keyspaces(folder: &Path, settings: &FjallSettings) -> fjall::Result<(Database, [Keyspace; 4])> {
    let db = Database::builder(folder).cache_size(settings.cache_bytes).worker_threads(1).open()?;
    let open = |name| db.keyspace(name, KeyspaceCreateOptions::default);
    let keyspaces = [open("log")?, open("accounts")?, open("sessions")?, open("meta")?];
    Ok((db, keyspaces))
}

fn fatal(operation: &'static str, reason: &impl ToString) -> HotError {
    HotError::Fatal { operation, reason: reason.to_string() }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_format(&self) -> Result<(), HotError> {
        match self.meta_number("format")? {
            None => {
                self.meta.insert("format", FORMAT.to_be_bytes()).map_err(|e| fatal("write the format", &e))?;
                self.db.persist(PersistMode::SyncAll).map_err(|e| fatal("write the format", &e))
            }
            Some(FORMAT) => Ok(()),
            Some(other) => Err(fatal("open", &format!("the store has format {other}, this program reads {FORMAT}"))),
        }
    }

    fn meta_number(&self, name: &'static str) -> Result<Option<u64>, HotError> {
        let value = self.meta.get(name).map_err(|e| fatal("read the store's state", &e))?;
        Ok(value.and_then(|v| v.as_ref().try_into().ok().map(u64::from_be_bytes)))
    }

    /// Every entry behind the newest snapshot; what is in that is left where it is.
    fn recover(&self) -> Result<Option<Timestamp>, HotError> {
        let read = |e: fjall::Error| fatal("recover", &e);
        let mut state = self.state();
        state.snapshotted = self.meta_number("snapshotted")?.unwrap_or(0);
        state.drained = self.meta_number("drained")?.unwrap_or(0);
        let mut last_commit_at = None;
        let mut position = state.snapshotted;
        for item in self.log.iter() {
            let (key, value) = item.into_inner().map_err(read)?;
            let at = key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| fatal("recover", &"a bad log key"))?;
            let unreadable = |reason: String| fatal("recover", &format!("position {at}: {reason}"));
            let entry = entry::decode(&value).map_err(unreadable)?;
            last_commit_at = Some(entry.at);
            position = at;
            let records = entry.record_count;
            state.entries.push_back((at, records));
            self.log_records.fetch_add(u64::from(records), Ordering::Relaxed);
            if at > state.snapshotted {
                // What earlier processes left unsnapshotted counts, or a store that is
                // opened often would never write its accounts out.
                state.records_since_snapshot += u64::from(records.max(1));
                state.take_over(entry.changes().map_err(unreadable)?);
            }
        }
        self.position.store(position, Ordering::Release);
        Ok(last_commit_at)
    }

    fn commit(&self, batch: &Batch) -> Result<Committed, HotError> {
        let _one = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_alive()?;
        let outcomes = {
            let state = self.state();
            match &state.last {
                Some((writer, number, done)) if (*writer, *number) == (batch.writer, batch.number) => {
                    return Ok(done.clone());
                }
                _ => self.judge(batch, &state)?,
            }
        };
        let position = self.position.load(Ordering::Acquire) + 1;
        let (value, records) = entry::encode(batch, &outcomes);
        let began = SystemClock::instant();
        let mut write = self.db.batch().durability(Some(PersistMode::SyncData));
        write.insert(&self.log, position.to_be_bytes(), value);
        write.commit().map_err(|e| self.poison("write the log", &e))?;
        metrics().hot_commits.inc();
        metrics().hot_commit_seconds.observe(began.elapsed().as_secs_f64());
        metrics().hot_commit_records.observe(f64::from(records));
        self.position.store(position, Ordering::Release);
        self.log_records.fetch_add(u64::from(records), Ordering::Relaxed);
        let committed = Committed { position, changes: outcomes };
        let mut state = self.state();
        state.entries.push_back((position, records));
        state.records_since_snapshot += u64::from(records.max(1));
        state.apply(batch, &committed.changes);
        metrics().hot_changed_accounts.set(i64::try_from(state.fresh.accounts.len()).unwrap_or(i64::MAX));
        state.last = Some((batch.writer, batch.number, committed.clone()));
        Ok(committed)
    }

    /// Which changes were decided on the version that is stored. Versions of what no snapshot
    /// has yet are here, and a new account is looked for; of the others the only writer is
    /// believed, which tests look after.
    fn judge(&self, batch: &Batch, state: &State) -> Result<Vec<Change>, HotError> {
        let judged = batch.changes.iter().map(|change| {
            let fits = match state.fresh_version(&change.account) {
                Some(version) => version == change.previous,
                None if change.previous == 0 => self.snapshot_version(&change.account)?.is_none(),
                None => {
                    debug_assert_eq!(self.snapshot_version(&change.account), Ok(Some(change.previous)), "{change:?}");
                    true
                }
            };
            Ok(if fits && change.version > change.previous { Change::Applied } else { Change::Conflict })
        });
        judged.collect()
    }

    fn snapshot_version(&self, id: &AccountId) -> Result<Option<u64>, HotError> {
        let value = self.accounts.get(id.as_str()).map_err(|e| fatal("read an account", &e))?;
        Ok(value.and_then(|value| value.first_chunk().copied().map(u64::from_be_bytes)))
    }

    fn check_alive(&self) -> Result<(), HotError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(fatal("write the log", &"an earlier write failed"));
        }
        Ok(())
    }

    fn poison(&self, operation: &'static str, reason: &fjall::Error) -> HotError {
        self.poisoned.store(true, Ordering::Release);
        fatal(operation, reason)
    }

    fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        {
            let state = self.state();
            let writing = state.writing.as_ref().and_then(|w| w.accounts.get(id));
            if let Some((version, bytes)) = state.fresh.accounts.get(id).or(writing) {
                let (account, version, state) = (id.clone(), *version, bytes.to_vec());
                return Ok(Some(StoredAccount { account, version, state }));
            }
        }
        let value = self.accounts.get(id.as_str()).map_err(|e| fatal("read an account", &e))?;
        Ok(value.and_then(|value| split_account(id.as_str().as_bytes(), &value)))
    }

    fn for_each_account(&self, visit: AccountVisitor<'_>) -> Result<(), HotError> {
        let (fresh, writing) = {
            let state = self.state();
            let fresh: Vec<StoredAccount> = state.fresh.stored().collect();
            (fresh, state.writing.clone())
        };
        let is_newer = |id: &AccountId, fresh: &HashMap<&AccountId, ()>| {
            fresh.contains_key(id) || writing.as_ref().is_some_and(|w| w.accounts.contains_key(id))
        };
        let known: HashMap<&AccountId, ()> = fresh.iter().map(|a| (&a.account, ())).collect();
        for item in self.accounts.iter() {
            let (key, value) = item.into_inner().map_err(|e| fatal("read accounts", &e))?;
            let stored =
                split_account(&key, &value).ok_or_else(|| fatal("read accounts", &"a snapshot cannot be read"))?;
            if !is_newer(&stored.account, &known) {
                visit(stored);
            }
        }
        let writing = writing.iter().flat_map(|w| w.stored()).filter(|a| !known.contains_key(&a.account));
        writing.for_each(&mut *visit);
        drop(known);
        fresh.into_iter().for_each(visit);
        Ok(())
    }

    fn log_after(&self, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        let mut entries = Vec::new();
        for item in self.log.range((position + 1).to_be_bytes()..).take(limit) {
            let (key, value) = item.into_inner().map_err(|e| fatal("read the log", &e))?;
            let key = key.as_ref().try_into();
            let position = key.map(u64::from_be_bytes).map_err(|_| fatal("read the log", &"a bad log key"))?;
            let entry = entry::decode(&value).map_err(|reason| fatal("read the log", &reason))?;
            let records = Records::new(entry.records.to_vec(), entry.record_count as usize);
            entries.push(LogEntry { position, records });
        }
        Ok(entries)
    }
}

impl State {
    /// The version of an account that no snapshot has yet.
    fn fresh_version(&self, id: &AccountId) -> Option<u64> {
        let writing = || self.writing.as_ref()?.accounts.get(id);
        self.fresh.accounts.get(id).or_else(writing).map(|(version, _)| *version)
    }

    fn apply(&mut self, batch: &Batch, outcomes: &[Change]) {
        for (change, _) in batch.changes.iter().zip(outcomes).filter(|(_, o)| **o == Change::Applied) {
            self.remember(&change.account, change.version, &change.state, &change.opened, &change.closed);
        }
    }

    fn take_over(&mut self, changes: Vec<EntryChange<'_>>) {
        for change in changes {
            self.remember(&change.account, change.version, change.state, &change.opened, &change.closed);
        }
    }

    fn remember(&mut self, id: &AccountId, version: u64, state: &[u8], opened: &[SessionId], closed: &[SessionId]) {
        for session in opened {
            self.fresh.sessions.insert(session.clone(), Some(id.clone()));
        }
        for session in closed {
            self.fresh.sessions.insert(session.clone(), None);
        }
        match self.fresh.accounts.get_mut(id) {
            // Its memory is used again: most changes are of the same few accounts.
            Some((kept_version, kept)) if kept.len() == state.len() => {
                *kept_version = version;
                kept.copy_from_slice(state);
            }
            Some(kept) => *kept = (version, state.into()),
            None => {
                self.fresh.accounts.insert(id.clone(), (version, state.into()));
            }
        }
    }
}

impl Fresh {
    fn stored(&self) -> impl Iterator<Item = StoredAccount> {
        self.accounts.iter().map(|(id, (version, state))| StoredAccount {
            account: id.clone(),
            version: *version,
            state: state.to_vec(),
        })
    }
}

/// A snapshot's value: the version, then the state.
fn join_account(version: u64, state: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(8 + state.len());
    value.extend(version.to_be_bytes());
    value.extend_from_slice(state);
    value
}

fn split_account(key: &[u8], value: &[u8]) -> Option<StoredAccount> {
    let (version, state) = value.split_first_chunk::<8>()?;
    let account = AccountId::from(std::str::from_utf8(key).ok()?);
    Some(StoredAccount { account, version: u64::from_be_bytes(*version), state: state.to_vec() })
}

#[async_trait]
impl HotStore for FjallHot {
    async fn commit(&self, batch: &Batch) -> Result<Committed, HotError> {
        let committed = self.inner.commit(batch)?;
        self.wake_when_due();
        Ok(committed)
    }

    async fn for_each_account(&self, visit: AccountVisitor<'_>) -> Result<(), HotError> {
        self.inner.for_each_account(visit)
    }

    async fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        self.inner.account(id)
    }

    async fn account_of_session(&self, session: &SessionId) -> Result<Option<AccountId>, HotError> {
        {
            let state = self.inner.state();
            let writing = state.writing.as_ref().and_then(|w| w.sessions.get(session));
            if let Some(account) = state.fresh.sessions.get(session).or(writing) {
                return Ok(account.clone());
            }
        }
        let value = self.inner.sessions.get(session.as_str()).map_err(|e| fatal("read a session", &e))?;
        Ok(value.and_then(|v| std::str::from_utf8(&v).ok().map(AccountId::from)))
    }

    async fn log_after(&self, _: LogNo, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        self.inner.log_after(position, limit)
    }

    async fn drained_through(&self, _: LogNo, position: Position) -> Result<(), HotError> {
        self.inner.drained_through(position)
    }

    fn last_position(&self) -> Position {
        self.inner.position.load(Ordering::Acquire)
    }

    fn last_commit_at(&self) -> Option<Timestamp> {
        self.last_commit_at
    }

    fn refuses(&self) -> Option<&'static str> {
        if self.inner.is_short_of_space.load(Ordering::Relaxed) {
            return Some("little free space for the hot store");
        }
        let is_full = self.inner.log_records.load(Ordering::Relaxed) >= self.inner.settings.log_records_max;
        is_full.then_some("the hot log is full: it is not drained")
    }
}
