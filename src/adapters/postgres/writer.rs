//! The one writer of this gateway, and its group commit.
//!
//! Carries out every save of a batch in one transaction, each in its own
//! savepoint, as SQLite's writer does. Other gateways write beside it, so:
//!
//! - READ COMMITTED. Guards look at the row itself: a statement waits for whoever
//!   holds it and then sees what they committed. SERIALIZABLE would add retries
//!   and guard nothing that a version does not.
//! - A batch that appends to the stream (happenings, messages, orders' counts)
//!   takes the stream's lock before anything else and keeps it until its commit.
//!   So sequences rise in the order of the commits, and a reader that has seen one
//!   will never see a lower one appear.
//! - Two batches may wait for each other's rows: the server ends one, which is tried
//!   again while all other batches wait, so that it is not ended again.

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgPool};

use super::apply::Apply;
use super::claim::Claim;
use super::error::{Faults, Refused, gave_way, is_local};
use crate::adapters::save_queue::{Committer, SAVE};
use crate::adapters::usage_rows::PartCache;
use crate::ports::relational::{StoreError, Stored, Write};
use crate::telemetry::metrics;

/// Begins a batch, beside those of other gateways.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared(1818689538)";

/// Begins a batch that gave way before, when no other is being carried out.
const BEGIN_ALONE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(1818689538)";

/// The lock of whoever appends to the stream.
const LOCK_STREAM: &str = "SELECT pg_advisory_xact_lock(1818689537)";

/// The lock of whoever drains: sequences of usage rise in the order of the commits, too.
const LOCK_USAGE: &str = "SELECT pg_advisory_xact_lock(1818689539)";

/// Owns the connection that writes; the pool of one makes a new one when it is lost.
pub(super) struct Writer {
    pub(super) pool: PgPool,
    pub(super) faults: Faults,
    pub(super) claim: Claim,
    pub(super) hot_log: String,
    pub(super) retries: u32,
    pub(super) parts: PartCache,
}

#[async_trait]
impl Committer for Writer {
    async fn commit(&mut self, saves: Vec<Vec<Write>>) -> Result<Vec<Stored<()>>, StoreError> {
        let mut retries = 0;
        loop {
            match self.transaction(&saves, if retries == 0 { BEGIN } else { BEGIN_ALONE }).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) if gave_way(&error) && retries < self.retries => {
                    retries += 1;
                    metrics().relational_retries.inc();
                }
                Err(error) => return Err(self.faults.explain(SAVE, &error)),
            }
        }
    }

    async fn close(self) {
        for give_back in self.claim.give_back() {
            if let Err(error) = give_back.execute(&self.pool).await {
                tracing::warn!(%error, "give back claims: they run out by themselves");
            }
        }
        self.pool.close().await;
    }
}

impl Writer {
    /// Carries out the saves and commits. On `Err` nothing was applied, unless
    /// the commit itself failed.
    async fn transaction(&mut self, saves: &[Vec<Write>], begin: &'static str) -> Result<Vec<Stored<()>>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let outcomes = self.carry_out(&mut connection, saves, begin).await;
        if outcomes.is_err() {
            self.parts.forget();
        }
        // A connection that cannot even roll back is not used again.
        if outcomes.is_err() && sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
            connection.close_on_drop();
        }
        outcomes
    }

    async fn carry_out(
        &mut self,
        connection: &mut PgConnection,
        saves: &[Vec<Write>],
        begin: &'static str,
    ) -> Result<Vec<Stored<()>>, sqlx::Error> {
        let mut outcomes = Vec::with_capacity(saves.len());
        sqlx::raw_sql(begin).execute(&mut *connection).await?;
        if saves.iter().flatten().any(appends_to_stream) {
            sqlx::raw_sql(LOCK_STREAM).execute(&mut *connection).await?;
        }
        if saves.iter().flatten().any(|write| matches!(write, Write::Drain { .. })) {
            sqlx::raw_sql(LOCK_USAGE).execute(&mut *connection).await?;
        }
        sqlx::raw_sql("SAVEPOINT one").execute(&mut *connection).await?;
        let mut savepoint_is_used = false;
        for writes in saves {
            if savepoint_is_used {
                sqlx::raw_sql("RELEASE one; SAVEPOINT one").execute(&mut *connection).await?;
            }
            let outcome = self.save(&mut *connection, writes).await?;
            savepoint_is_used = outcome.is_ok();
            outcomes.push(outcome);
        }
        // Releases the last savepoint too.
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        Ok(outcomes)
    }

    /// Carries out one save inside the open savepoint, and takes it back when it is refused.
    async fn save(&mut self, connection: &mut PgConnection, writes: &[Write]) -> Result<Stored<()>, sqlx::Error> {
        let refused = match Apply::new(&mut *connection, &self.claim, &self.hot_log, &mut self.parts).all(writes).await
        {
            Ok(()) => return Ok(Ok(())),
            Err(Refused::Conflict(what)) => StoreError::Conflict { what },
            Err(Refused::Engine(error)) if is_local(&error) => self.faults.explain(SAVE, &error),
            Err(Refused::Engine(error)) => return Err(error),
        };
        self.parts.forget();
        sqlx::raw_sql("ROLLBACK TO one").execute(connection).await?;
        Ok(Err(refused))
    }
}

/// Deliveries appoint the next head of a stream; orders move the counts by state,
/// a handful of rows that every gateway writes.
fn appends_to_stream(write: &Write) -> bool {
    match write {
        Write::Happening(_) | Write::Message(_) | Write::Delivery(..) | Write::Order(_) => true,
        Write::Drain { records, .. } => records.iter().any(|record| record.is_ok_and(|record| record.has_crossed())),
        _ => false,
    }
}
