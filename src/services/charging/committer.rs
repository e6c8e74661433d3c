//! The committer: gathers the batches of all shards into one durable write after
//! another. A thread of its own, because an embedded store blocks for the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};

use super::{FATAL, Shared};
use crate::ports::hot::{AccountChange, Batch, Change, Committed, HotError, Position};

/// Hears how far the log reaches, and what became of each change.
pub(super) type Done = oneshot::Sender<(Position, Vec<Change>)>;

/// What one shard wants durable; at most one of each shard is on its way.
pub(super) struct Package {
    pub(super) changes: Vec<AccountChange>,
    pub(super) loose: Vec<u8>,
    pub(super) loose_records: u32,
    pub(super) done: Done,
}

/// The running committer.
pub(super) enum Running {
    Thread(std::thread::JoinHandle<()>),
    /// In a runtime of one thread, where nothing could run beside it: one seed, one course.
    Task(tokio::task::JoinHandle<()>),
}

/// Starts it on the current runtime.
pub(super) fn start(
    packages: mpsc::UnboundedReceiver<Package>,
    shared: Arc<Shared>,
    writer: u64,
) -> std::io::Result<Running> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(Running::Task(tokio::spawn(run(packages, shared, writer))));
    }
    let thread = std::thread::Builder::new().name("hot-committer".to_owned());
    Ok(Running::Thread(thread.spawn(move || runtime.block_on(run(packages, shared, writer)))?))
}

impl Running {
    /// Waits until it has ended.
    pub(super) async fn join(self) {
        match self {
            Running::Thread(thread) => drop(tokio::task::spawn_blocking(move || thread.join()).await),
            Running::Task(task) => drop(task.await),
        }
    }
}

/// Runs until every shard has gone or the store has failed.
async fn run(mut packages: mpsc::UnboundedReceiver<Package>, shared: Arc<Shared>, writer: u64) {
    let mut number = 0;
    while let Some(first) = packages.recv().await {
        number += 1;
        let mut batch = Batch { writer, number, at: shared.clock.now(), ..Batch::default() };
        let mut waiting = Vec::with_capacity(shared.queues.len());
        take(first, &mut batch, &mut waiting);
        while let Ok(more) = packages.try_recv() {
            take(more, &mut batch, &mut waiting);
        }
        match commit(batch, &shared).await {
            Ok(committed) => release(committed, waiting),
            Err(error) => {
                tracing::error!(%error, "nobody is answered any more; this process has to end and recover");
                shared.state.store(FATAL, Ordering::Release);
                shared.fatal.send_replace(Some(error.to_string()));
                return;
            }
        }
    }
}

fn take(package: Package, batch: &mut Batch, waiting: &mut Vec<(usize, Done)>) {
    waiting.push((package.changes.len(), package.done));
    if batch.changes.is_empty() {
        batch.changes = package.changes;
    } else {
        batch.changes.extend(package.changes);
    }
    batch.loose.extend_from_slice(&package.loose);
    batch.loose_records += package.loose_records;
}

/// Tries again under the same number while the store says that nothing was applied.
async fn commit(batch: Batch, shared: &Shared) -> Result<Committed, HotError> {
    let settings = &shared.settings;
    let mut tries = 1;
    loop {
        match shared.hot.commit(&batch).await {
            Err(HotError::Transient { operation, reason }) if tries < settings.commit_tries_max => {
                tracing::warn!(operation, reason, tries, "commit to the hot store");
                tries += 1;
                tokio::time::sleep(Duration::from_millis(settings.commit_retry_ms)).await;
            }
            outcome => return outcome,
        }
    }
}

fn release(committed: Committed, waiting: Vec<(usize, Done)>) {
    let mut changes = committed.changes.into_iter();
    for (count, done) in waiting {
        let _ = done.send((committed.position, changes.by_ref().take(count).collect()));
    }
}
