//! The committer: gathers the batches of all shards into one durable write after
//! another. A thread of its own, because an embedded store blocks for the disk.
//!
//! A shard whose batch has just become durable says at once what it has next, if only
//! that it has nothing. The committer hears it out before it writes again: shards that
//! came one after the other would each pay for a disk write of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};

use super::accounts::SHARDS_MAX;
use super::{FATAL, Shared};
use crate::ports::hot::{AccountChange, Batch, Change, Committed, HotError, Position};

/// Hears how far the log reaches, and what became of each change.
pub(super) type Done = oneshot::Sender<(Position, Vec<Change>)>;

/// What a shard has next.
pub(super) enum Next {
    Package(Package),
    /// Nothing at this moment.
    Nothing,
}

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
    shards: mpsc::UnboundedReceiver<(usize, Next)>,
    shared: Arc<Shared>,
    writer: u64,
) -> std::io::Result<Running> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(Running::Task(tokio::spawn(run(shards, shared, writer))));
    }
    let thread = std::thread::Builder::new().name("hot-committer".to_owned());
    Ok(Running::Thread(thread.spawn(move || runtime.block_on(run(shards, shared, writer)))?))
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
async fn run(mut shards: mpsc::UnboundedReceiver<(usize, Next)>, shared: Arc<Shared>, writer: u64) {
    let mut number = 0;
    let mut owing = Owing(0);
    loop {
        let mut batch = Batch { writer, number: number + 1, ..Batch::default() };
        let mut waiting = Vec::with_capacity(shared.queues.len());
        while waiting.is_empty() || owing.anybody() {
            let Some((shard, next)) = shards.recv().await else { return };
            owing.heard(shard);
            take(shard, next, &mut batch, &mut waiting);
        }
        while let Ok((shard, next)) = shards.try_recv() {
            take(shard, next, &mut batch, &mut waiting);
        }
        number += 1;
        batch.at = shared.clock.now();
        match commit(batch, &shared).await {
            Ok(committed) => {
                release(committed, waiting, &mut owing);
            }
            Err(error) => {
                tracing::error!(%error, "nobody is answered any more; this process has to end and recover");
                shared.state.store(FATAL, Ordering::Release);
                shared.fatal.send_replace(Some(error.to_string()));
                return;
            }
        }
    }
}

/// Shards that have heard that their batch is durable, and not said yet what is next.
struct Owing(u64);

const _: () = assert!(SHARDS_MAX <= 64, "each shard has its bit");

impl Owing {
    fn told(&mut self, shard: usize) {
        self.0 |= 1 << shard;
    }

    fn heard(&mut self, shard: usize) {
        self.0 &= !(1 << shard);
    }

    fn anybody(&self) -> bool {
        self.0 != 0
    }
}

/// A shard that waits for a batch.
struct Waiting {
    shard: usize,
    changes: usize,
    done: Done,
}

fn take(shard: usize, next: Next, batch: &mut Batch, waiting: &mut Vec<Waiting>) {
    let Next::Package(package) = next else { return };
    waiting.push(Waiting { shard, changes: package.changes.len(), done: package.done });
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

fn release(committed: Committed, waiting: Vec<Waiting>, owing: &mut Owing) {
    let mut outcomes = committed.changes.into_iter();
    for of in waiting {
        if of.done.send((committed.position, outcomes.by_ref().take(of.changes).collect())).is_ok() {
            owing.told(of.shard);
        }
    }
}
