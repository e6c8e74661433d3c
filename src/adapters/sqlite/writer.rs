//! The one writer, and its group commit.
//!
//! Takes every save that waits, up to a bound, and carries them out in one
//! transaction: one sync of the disk answers them all. Each save of a batch has
//! its own savepoint, so that a conflict takes back that save alone. An error of
//! the engine takes back the whole batch, and everyone in it is told.

use std::time::Instant;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use super::SAVE;
use super::apply::Apply;
use super::error::{Faults, Refused, is_local};
use crate::adapters::system::SystemClock;
use crate::ports::relational::{StoreError, Stored, Write};
use crate::telemetry::metrics;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Carry out a list of writes.
    Save(Save),
    /// Close the file and say so.
    Close(oneshot::Sender<()>),
}

/// One list of writes and who waits for it.
#[derive(Debug)]
pub(super) struct Save {
    pub(super) writes: Vec<Write>,
    pub(super) answer: oneshot::Sender<Stored<()>>,
    pub(super) arrived: Instant,
}

/// A save's place in a batch, once its writes are taken out.
struct Waiting {
    answer: oneshot::Sender<Stored<()>>,
    arrived: Instant,
    outcome: Stored<()>,
}

/// Owns the connection that writes.
pub(super) struct Writer {
    connection: SqliteConnection,
    faults: Faults,
    batch_saves: usize,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, faults: Faults, batch_saves: usize) -> Self {
        Self { connection, faults, batch_saves }
    }

    /// Ends when asked to close, or when every sender is gone.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut taken = Vec::with_capacity(self.batch_saves);
        let mut closing = None;
        while closing.is_none() && jobs.recv_many(&mut taken, self.batch_saves).await > 0 {
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
                self.batch(saves).await;
            }
        }
        jobs.close();
        while jobs.try_recv().is_ok() {
            metrics().relational_queue.dec();
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "close relational store");
        }
        if let Some(done) = closing {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    async fn batch(&mut self, saves: Vec<Save>) {
        let size = u32::try_from(saves.len()).unwrap_or(u32::MAX);
        metrics().relational_queue.sub(i64::from(size));
        metrics().relational_batch_saves.observe(f64::from(size));
        let mut waiting = Vec::with_capacity(saves.len());
        let committed = self.transaction(saves, &mut waiting).await;
        if let Err(error) = &committed {
            // SQLite may have rolled back by itself; then there is nothing to roll back.
            let _ = self.connection.execute("ROLLBACK").await;
            let explained = self.faults.explain(SAVE, error);
            if explained.is_transient() {
                tracing::warn!(error = %explained, saves = size, "saves not committed");
            } else {
                tracing::error!(error = %explained, saves = size, "saves not committed");
            }
            for save in &mut waiting {
                save.outcome = Err(explained.clone());
            }
        }
        let now = SystemClock::instant();
        for save in waiting {
            let outcome = match &save.outcome {
                Ok(()) => "committed",
                Err(StoreError::Conflict { .. }) => "conflict",
                Err(StoreError::Transient { .. }) => "transient",
                Err(StoreError::Broken { .. }) => "broken",
            };
            metrics().relational_saves.with_label_values(&[outcome]).inc();
            metrics().relational_save_seconds.observe(now.saturating_duration_since(save.arrived).as_secs_f64());
            // Whoever asked may have stopped waiting.
            let _ = save.answer.send(save.outcome);
        }
    }

    /// Carries out the saves and commits. On `Err` nothing was applied, unless
    /// the commit itself failed.
    async fn transaction(&mut self, saves: Vec<Save>, waiting: &mut Vec<Waiting>) -> Result<(), sqlx::Error> {
        let mut all = Vec::with_capacity(saves.len());
        for Save { writes, answer, arrived } in saves {
            all.push(writes);
            waiting.push(Waiting { answer, arrived, outcome: Ok(()) });
        }
        // Every statement is a trip to the connection's thread, so they travel together.
        sqlx::query("BEGIN IMMEDIATE; SAVEPOINT one").execute(&mut self.connection).await?;
        let mut savepoint_is_used = false;
        for (writes, save) in all.into_iter().zip(waiting.iter_mut()) {
            let is_atomic = is_one_statement(&writes);
            if savepoint_is_used && !is_atomic {
                sqlx::query("RELEASE one; SAVEPOINT one").execute(&mut self.connection).await?;
            }
            save.outcome = self.save(writes, is_atomic).await?;
            savepoint_is_used = (savepoint_is_used && is_atomic) || save.outcome.is_ok();
        }
        // Releases the last savepoint too.
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Carries out one save inside the open savepoint, and takes it back when it
    /// is refused; there is nothing to take back of a single statement.
    async fn save(&mut self, writes: Vec<Write>, is_atomic: bool) -> Result<Stored<()>, sqlx::Error> {
        let refused = match Apply::new(&mut self.connection).all(writes).await {
            Ok(()) => return Ok(Ok(())),
            Err(Refused::Conflict(what)) => StoreError::Conflict { what },
            Err(Refused::Engine(error)) if is_local(&error) => self.faults.explain(SAVE, &error),
            Err(Refused::Engine(error)) => return Err(error),
        };
        if !is_atomic {
            sqlx::query("ROLLBACK TO one").execute(&mut self.connection).await?;
        }
        Ok(Err(refused))
    }
}

/// Whether a save is all or nothing by itself, and may share a savepoint.
fn is_one_statement(writes: &[Write]) -> bool {
    matches!(
        writes,
        [Write::Sessions(..)
            | Write::Message(_)
            | Write::Happening(_)
            | Write::Line(_)
            | Write::Device(_)
            | Write::Appointment(_)
            | Write::Call(_)
            | Write::WorkOrder(_)
            | Write::Worker(_)
            | Write::Slot(_)
            | Write::HoldSlot(_)
            | Write::ReleaseSlot(_)
            | Write::Idempotency(_)
            | Write::FanOutCursor(_)
            | Write::Meta(..)]
    )
}
