//! Start of charging: accounts from the store into shards and directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::time::Duration;

use ahash::RandomState;
use tokio::sync::{mpsc, watch};

use super::accounts::{Accounts, CacheLimits, Versions, open_sessions};
use super::committer;
use super::directory::Directory;
use super::lookups::Lookups;
use super::outage::Outage;
use super::shard::Shard;
use super::work::Receivers;
use super::{Charging, ChargingError, ChargingSettings, ChargingTasks, Queue, RUNNING, Shared, shard_of};
use crate::domain::account::Account;
use crate::domain::cycle::CycleId;
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
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        named => named.min(64),
    };
    let now = clock.now();
    let directory = Directory::new();
    let accounts = load(hot.as_ref(), &directory, shards, &settings, now).await?;
    let (queues, receivers): (Vec<Queue>, Vec<Receivers>) = (0..shards)
        .map(|_| {
            let ((to, work), (urgent, foresee)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
            (Queue { to, urgent, waiting: AtomicUsize::new(0) }, Receivers { work, foresee })
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
    let (to_committer, packages) = mpsc::unbounded_channel();
    // Fresh for each start, and for each gateway: the hasher is seeded by the system.
    let writer = RandomState::new().hash_one(now.millis());
    let committer = committer::start(packages, Arc::clone(&shared), writer).map_err(|error| {
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

/// Reads every account, and gives reservations the time of our absence back.
async fn load(
    hot: &dyn HotStore,
    directory: &Directory,
    shards: usize,
    settings: &ChargingSettings,
    now: Timestamp,
) -> Result<Vec<Accounts>, ChargingError> {
    let cache = CacheLimits {
        open_max: settings.accounts_open_max.div_ceil(shards),
        cached_max: settings.accounts_cached_max.div_ceil(shards),
    };
    let mut accounts: Vec<Accounts> = (0..shards).map(|_| Accounts::new(cache)).collect();
    let mut sessions = 0;
    let last_alive = hot.last_commit_at();
    let downtime = last_alive.map_or(Duration::ZERO, |at| now.since(at));
    let mut bad = None;
    let mut take = |stored: StoredAccount| match Account::decode(&stored.state) {
        Ok(mut account) => {
            account.version = stored.version;
            let lengthened = last_alive.is_some_and(|at| account.lengthen_reservations(at, downtime));
            directory.add_account(&account);
            sessions += open_sessions(&account);
            let shard = &mut accounts[shard_of(&account.id, shards)];
            if lengthened {
                shard.insert(account, true);
            } else {
                shard.insert_idle(&account, stored.state, &settings.rating.limits);
            }
        }
        Err(error) => bad = Some((stored.account, error)),
    };
    let read = hot.for_each_account(&mut take).await;
    if let Some((account, error)) = bad {
        tracing::error!(%account, %error, "load accounts from the hot store");
        return Err(ChargingError::Fatal);
    }
    if let Err(error) = read {
        tracing::error!(%error, "load accounts from the hot store");
        return Err(ChargingError::Fatal);
    }
    let count: usize = accounts.iter().map(Accounts::len).sum();
    metrics().accounts.set(i64::try_from(count).unwrap_or(i64::MAX));
    metrics().sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    tracing::info!(accounts = count, downtime_ms = downtime.as_millis(), "charging accounts loaded");
    Ok(accounts)
}
