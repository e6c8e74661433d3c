//! Saves wait in line for one writer, which commits what waits together.
//!
//! Both relational adapters stand behind this queue: one durable commit answers
//! every save of a batch. What a commit is, and how a conflict takes back one
//! save alone, is the engine's part ([`Committer`]).

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::adapters::system::SystemClock;
use crate::ports::relational::{StoreError, Stored, Write};
use crate::telemetry::metrics;

/// Name of the operation in errors.
pub(super) const SAVE: &str = "save";

/// What a save is told whose writer has ended.
pub(super) const WRITER_GONE: &str = "the writer has ended; open the store again";

/// The one writer of an engine.
#[async_trait]
pub(super) trait Committer: Send + 'static {
    /// Carries out each list of writes, all or nothing each, and commits once.
    /// Gives what came of each, or the error that took back all of them.
    async fn commit(&mut self, saves: Vec<Vec<Write>>) -> Result<Vec<Stored<()>>, StoreError>;

    /// Lets go of the engine, after the last commit.
    async fn close(self);
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    /// Saves that may wait, at least 1.
    pub(super) saves: usize,
    /// Saves in one commit at most, at least 1.
    pub(super) batch: usize,
    /// How long a save may wait for room.
    pub(super) patience: Duration,
}

/// The way in. Dropping it lets the writer finish what waits; [`Self::close`]
/// waits for that.
#[derive(Debug)]
pub(super) struct SaveQueue {
    jobs: mpsc::Sender<Job>,
    patience: Duration,
}

#[derive(Debug)]
enum Job {
    Save(Save),
    Close(oneshot::Sender<()>),
}

/// One list of writes and who waits for it.
#[derive(Debug)]
struct Save {
    writes: Vec<Write>,
    answer: oneshot::Sender<Stored<()>>,
    arrived: Instant,
}

/// The writer has ended; the store has to be opened again.
#[derive(Debug)]
pub(super) struct WriterGone;

impl SaveQueue {
    /// Starts the writer's task.
    pub(super) fn start(writer: impl Committer, limits: QueueLimits) -> Self {
        let (jobs, waiting) = mpsc::channel(limits.saves.max(1));
        tokio::spawn(run(writer, waiting, limits.batch.max(1)));
        Self { jobs, patience: limits.patience }
    }

    /// Waits until the writes are durable, or refused.
    pub(super) async fn save(&self, writes: Vec<Write>) -> Result<Stored<()>, WriterGone> {
        let arrived = SystemClock::instant();
        let Ok(room) = tokio::time::timeout(self.patience, self.jobs.reserve()).await else {
            metrics().relational_saves.with_label_values(&["refused"]).inc();
            let reason = format!("no room in the queue of saves for {} ms", self.patience.as_millis());
            return Ok(Err(StoreError::Transient { operation: SAVE, reason }));
        };
        let room = room.map_err(|_| WriterGone)?;
        let (answer, answered) = oneshot::channel();
        metrics().relational_queue.inc();
        room.send(Job::Save(Save { writes, answer, arrived }));
        answered.await.map_err(|_| WriterGone)
    }

    /// Lets the writer carry out what waits and close. Saves fail afterwards.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            // An error means that the writer ended by itself.
            let _ = closed.await;
        }
    }
}

/// Ends when asked to close, or when every sender is gone.
async fn run(mut writer: impl Committer, mut jobs: mpsc::Receiver<Job>, batch_saves: usize) {
    let mut taken = Vec::with_capacity(batch_saves);
    let mut closing = None;
    while closing.is_none() && jobs.recv_many(&mut taken, batch_saves).await > 0 {
        let mut saves = Vec::with_capacity(taken.len());
        for job in taken.drain(..) {
            match job {
                Job::Save(save) if closing.is_none() => saves.push(save),
                // Dropped unanswered: its caller learns that the writer has ended.
                Job::Save(_) => metrics().relational_queue.dec(),
                Job::Close(done) => closing = Some(done),
            }
        }
        if !saves.is_empty() {
            batch(&mut writer, saves).await;
        }
    }
    jobs.close();
    while jobs.try_recv().is_ok() {
        metrics().relational_queue.dec();
    }
    writer.close().await;
    if let Some(done) = closing {
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
    }
}

async fn batch(writer: &mut impl Committer, saves: Vec<Save>) {
    let size = u32::try_from(saves.len()).unwrap_or(u32::MAX);
    metrics().relational_queue.sub(i64::from(size));
    metrics().relational_batch_saves.observe(f64::from(size));
    let (writes, waiting): (Vec<_>, Vec<_>) =
        saves.into_iter().map(|save| (save.writes, (save.answer, save.arrived))).unzip();
    let outcomes = writer.commit(writes).await.unwrap_or_else(|error| {
        if error.is_transient() {
            tracing::warn!(%error, saves = size, "saves not committed");
        } else {
            tracing::error!(%error, saves = size, "saves not committed");
        }
        vec![Err(error); waiting.len()]
    });
    let now = SystemClock::instant();
    for ((answer, arrived), outcome) in waiting.into_iter().zip(outcomes) {
        let label = match &outcome {
            Ok(()) => "committed",
            Err(StoreError::Conflict { .. }) => "conflict",
            Err(StoreError::Transient { .. }) => "transient",
            Err(StoreError::Broken { .. }) => "broken",
        };
        metrics().relational_saves.with_label_values(&[label]).inc();
        metrics().relational_save_seconds.observe(now.saturating_duration_since(arrived).as_secs_f64());
        // Whoever asked may have stopped waiting.
        let _ = answer.send(outcome);
    }
}
