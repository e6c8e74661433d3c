//! Start of charging: accounts from the store into shards and directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::sync::mpsc as mpsc_of_threads;
use std::time::Duration;

use ahash::RandomState;
use tokio::sync::{mpsc, watch};

use super::accounts::{Accounts, CacheLimits, SHARDS_MAX, Versions, open_sessions};
use super::committer;
use super::directory::Directory;
use super::lookups::Lookups;
use super::outage::Outage;
use super::shard::Shard;
use super::work::Receivers;
use super::{Charging, ChargingError, ChargingSettings, ChargingTasks, Queue, RUNNING, Shared, shard_of};
use crate::domain::account::{Account, AccountLimits, BadAccount};
use crate::domain::cycle::CycleId;
use crate::domain::ids::AccountId;
use crate::domain::tariff::SharedTariff;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::hot::{HotStore, StoredAccount};
use crate::telemetry::metrics;

pub(super) async fn start(
    hot: Arc<dyn HotStore>,
    tariff: SharedTariff,
    clock: Arc<dyn Clock>,
    settings: ChargingSettings,
    newest_closed: Option<CycleId>,
) -> Result<(Charging, ChargingTasks), ChargingError> {
    let shards = match settings.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(SHARDS_MAX),
        named => named.min(SHARDS_MAX),
    };
    let now = clock.now();
    let directory = Arc::new(Directory::new());
    let accounts = load(hot.as_ref(), &directory, shards, &settings, now).await?;
    let (queues, receivers): (Vec<Queue>, Vec<Receivers>) = (0..shards)
        .map(|_| {
            let ((to, work), (past, urgent)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
            (Queue { to, urgent: past, waiting: AtomicUsize::new(0) }, Receivers { work, urgent })
        })
        .unzip();
    let (fatal, fatal_heard) = watch::channel(None);
    let shared = Arc::new(Shared {
        queues: queues.into_boxed_slice(),
        directory,
        hot,
        tariff,
        clock,
        lookups: Lookups::new(&settings),
        outage: Outage::default(),
        settings,
        state: AtomicU8::new(RUNNING),
        fatal,
    });
    let (to_committer, of_shards) = mpsc::unbounded_channel();
    // Fresh for each start, and for each gateway: the hasher is seeded by the system.
    let writer = RandomState::new().hash_one(now.millis());
    let committer = committer::start(of_shards, Arc::clone(&shared), writer).map_err(|error| {
        tracing::error!(%error, "start the committer's thread");
        ChargingError::Fatal
    })?;
    let shards = accounts
        .into_iter()
        .zip(receivers)
        .enumerate()
        .map(|(index, (accounts, queue))| {
            let versions = Versions::new(writer.wrapping_add(index as u64));
            let shard =
                Shard::new(index, Arc::clone(&shared), accounts, queue, to_committer.clone(), newest_closed, versions);
            tokio::spawn(shard.run())
        })
        .collect();
    let tasks = ChargingTasks { shared: Arc::clone(&shared), fatal: fatal_heard, shards, committer };
    Ok((Charging { shared }, tasks))
}

/// Accounts that go to their shard's loader at once, and such batches that may wait for it.
const BATCH: usize = 256;
const BATCHES_WAITING: usize = 16;

/// Reads every account, and gives reservations the time of our absence back. Reading goes
/// on while each shard's accounts are decoded on a thread of their own.
async fn load(
    hot: &dyn HotStore,
    directory: &Arc<Directory>,
    shards: usize,
    settings: &ChargingSettings,
    now: Timestamp,
) -> Result<Vec<Accounts>, ChargingError> {
    let cache = CacheLimits {
        open_max: settings.accounts_open_max.div_ceil(shards),
        cached_max: settings.accounts_cached_max.div_ceil(shards),
    };
    let last_alive = hot.last_commit_at();
    let downtime = last_alive.map_or(Duration::ZERO, |at| now.since(at));
    let failed = |reason: &dyn std::fmt::Display| {
        tracing::error!(error = %reason, "load accounts from the hot store");
        ChargingError::Fatal
    };
    let mut loading = Vec::with_capacity(shards);
    for shard in 0..shards {
        let loader = Loader {
            directory: Arc::clone(directory),
            accounts: Accounts::new(shard, cache),
            sessions: 0,
            limits: settings.rating.limits.clone(),
            absence: last_alive.map(|at| (at, downtime)),
        };
        let (to, batches) = mpsc_of_threads::sync_channel(BATCHES_WAITING);
        let thread = std::thread::Builder::new().name(format!("load-{shard}"));
        let thread = thread.spawn(move || loader.run(&batches)).map_err(|error| failed(&error))?;
        loading.push((to, Vec::with_capacity(BATCH), thread));
    }
    let mut take = |stored: StoredAccount| {
        let (to, batch, _) = &mut loading[shard_of(&stored.account, shards)];
        batch.push(stored);
        if batch.len() == BATCH {
            // A loader that has ended says why when it is joined.
            let _ended = to.send(std::mem::replace(batch, Vec::with_capacity(BATCH)));
        }
    };
    let read = hot.for_each_account(&mut take).await;
    let mut accounts = Vec::with_capacity(shards);
    let mut sessions = 0;
    for (to, batch, thread) in loading {
        let _ended = to.send(batch);
        drop(to);
        let loader = thread.join().map_err(|_| failed(&"its thread has panicked"))?;
        let loader = loader.map_err(|(account, error)| failed(&format_args!("{account}: {error}")))?;
        sessions += loader.sessions;
        accounts.push(loader.accounts);
    }
    read.map_err(|error| failed(&error))?;
    let count: usize = accounts.iter().map(Accounts::len).sum();
    metrics().accounts.set(i64::try_from(count).unwrap_or(i64::MAX));
    metrics().sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    tracing::info!(accounts = count, downtime_ms = downtime.as_millis(), "charging accounts loaded");
    Ok(accounts)
}

/// Takes one shard's accounts in.
struct Loader {
    directory: Arc<Directory>,
    accounts: Accounts,
    sessions: usize,
    limits: AccountLimits,
    /// When we were last alive, and how long ago that is.
    absence: Option<(Timestamp, Duration)>,
}

impl Loader {
    fn run(mut self, batches: &mpsc_of_threads::Receiver<Vec<StoredAccount>>) -> Result<Self, (AccountId, BadAccount)> {
        while let Ok(batch) = batches.recv() {
            for stored in batch {
                self.take(stored.version, stored.state).map_err(|error| (stored.account, error))?;
            }
        }
        Ok(self)
    }

    fn take(&mut self, version: u64, state: Vec<u8>) -> Result<(), BadAccount> {
        let mut account = Account::decode(&state)?;
        account.version = version;
        self.sessions += open_sessions(&account);
        let lengthened = self.absence.is_some_and(|(at, downtime)| account.lengthen_reservations(at, downtime));
        let add = |no, account: &Account| self.directory.add_account(no, account);
        if lengthened {
            let no = self.accounts.number(&account.id);
            add(no, &account);
            self.accounts.insert(account, true);
        } else {
            let no = self.accounts.insert_idle(&account, state, &self.limits);
            add(no, &account);
        }
        Ok(())
    }
}
