//! The one writer, and its group commit.
//!
//! Carries out every save of a batch in one transaction: one sync of the disk
//! answers them all. Each save has its own savepoint, so that a conflict takes
//! back that save alone. An error of the engine takes back the whole batch, and
//! everyone in it is told.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Executor};

use super::apply::Apply;
use super::error::{Faults, Refused, is_local};
use crate::adapters::save_queue::{Committer, SAVE};
use crate::adapters::usage_rows::PartCache;
use crate::ports::relational::{StoreError, Stored, Write};

/// Owns the connection that writes.
pub(super) struct Writer {
    connection: SqliteConnection,
    faults: Faults,
    parts: PartCache,
}

#[async_trait]
impl Committer for Writer {
    async fn commit(&mut self, saves: Vec<Vec<Write>>) -> Result<Vec<Stored<()>>, StoreError> {
        match self.transaction(saves).await {
            Ok(outcomes) => Ok(outcomes),
            Err(error) => {
                self.parts.forget();
                // SQLite may have rolled back by itself; then there is nothing to roll back.
                let _ = self.connection.execute("ROLLBACK").await;
                Err(self.faults.explain(SAVE, &error))
            }
        }
    }

    async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "close relational store");
        }
    }
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, faults: Faults, parts: PartCache) -> Self {
        Self { connection, faults, parts }
    }

    /// Carries out the saves and commits. On `Err` nothing was applied, unless
    /// the commit itself failed.
    async fn transaction(&mut self, saves: Vec<Vec<Write>>) -> Result<Vec<Stored<()>>, sqlx::Error> {
        let mut outcomes = Vec::with_capacity(saves.len());
        // Every statement is a trip to the connection's thread, so they travel together.
        sqlx::query("BEGIN IMMEDIATE; SAVEPOINT one").execute(&mut self.connection).await?;
        let mut savepoint_is_used = false;
        for writes in saves {
            let is_atomic = is_one_statement(&writes);
            let first: &[_] = if savepoint_is_used && !is_atomic { &["RELEASE one", "SAVEPOINT one"] } else { &[] };
            let outcome = self.save(writes, first, is_atomic).await?;
            savepoint_is_used = (savepoint_is_used && is_atomic) || outcome.is_ok();
            outcomes.push(outcome);
        }
        // Releases the last savepoint too.
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(outcomes)
    }

    /// Carries out one save inside the open savepoint, and takes it back when it
    /// is refused; there is nothing to take back of a single statement.
    async fn save(
        &mut self,
        writes: Vec<Write>,
        first: &[&'static str],
        is_atomic: bool,
    ) -> Result<Stored<()>, sqlx::Error> {
        let refused = match Apply::new(&mut self.connection, &mut self.parts, first).all(writes).await {
            Ok(()) => return Ok(Ok(())),
            Err(Refused::Conflict(what)) => StoreError::Conflict { what },
            Err(Refused::Engine(error)) if is_local(&error) => self.faults.explain(SAVE, &error),
            Err(Refused::Engine(error)) => return Err(error),
        };
        self.parts.forget();
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
