//! The drain: moves what was charged from the hot log into the relational store.
//!
//! Exactly once: records and cursor are saved in one transaction, and the store
//! ignores a batch that is not ahead of its cursor. The hot store hears of it
//! afterwards and trims its log. Does **not** judge or sum records.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::ports::hot::{HotError, HotStore, LogEntry, Position};
use crate::ports::relational::{Relational, StoreError, UsageSink};
use crate::telemetry::metrics;

/// How fast the drain goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainSettings {
    /// Log entries read at once.
    pub batch_entries: usize,
    /// Records after which a transaction is closed; one entry may exceed it.
    pub batch_records: usize,
    /// Pause when the log is drained, milliseconds.
    pub idle_ms: u64,
    /// Pause after a failed try, milliseconds.
    pub retry_ms: u64,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { batch_entries: 64, batch_records: 2000, idle_ms: 200, retry_ms: 1000 }
    }
}

/// Why a step failed; both are tried again by [`Drain::run`].
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The hot log is not the one that was drained.
    #[error(
        "the hot log ends at {last}, and {cursor} was drained from it: the stores are of different times; \
         restore both from one backup"
    )]
    Strangers {
        /// The newest position of the log.
        last: Position,
        /// The relational store's cursor.
        cursor: Position,
    },
    /// The log could not be read or trimmed.
    #[error("drain: {0}")]
    Hot(HotError),
    /// The records could not be saved.
    #[error("drain: {0}")]
    Relational(StoreError),
    /// It was told to stop before it got there.
    #[error("drain: stopped before position {0}")]
    Stopped(Position),
}

/// The drain; one runs at a time, more would only repeat its work.
pub struct Drain<S: UsageSink + ?Sized = dyn Relational> {
    hot: Arc<dyn HotStore>,
    relational: Arc<S>,
    settings: DrainSettings,
    reached: watch::Sender<Reached>,
    hurry: Notify,
}

#[derive(Debug, Default)]
struct Reached {
    position: Position,
    stopped: bool,
}

impl<S: UsageSink + ?Sized> Drain<S> {
    /// Between two stores.
    pub fn new(hot: Arc<dyn HotStore>, relational: Arc<S>, settings: DrainSettings) -> Self {
        Self { hot, relational, settings, reached: watch::Sender::default(), hurry: Notify::new() }
    }

    /// Drains until `stop`, then what is left once more.
    pub async fn run(&self, stop: CancellationToken) {
        self.reached.send_modify(|reached| reached.stopped = false);
        self.run_until(&stop).await;
        self.reached.send_modify(|reached| reached.stopped = true);
    }

    async fn run_until(&self, stop: &CancellationToken) {
        loop {
            let pause = match self.step().await {
                Ok(0) if stop.is_cancelled() => return,
                Ok(0) => self.settings.idle_ms,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "tried again soon");
                    if stop.is_cancelled() {
                        return;
                    }
                    self.settings.retry_ms
                }
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(pause.max(1))) => {}
                () = self.hurry.notified() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Whether the two stores belong together: a log that ends before what was
    /// drained from it is another one, and its records would be passed over.
    ///
    /// # Errors
    /// [`DrainError::Strangers`] when they do not.
    pub async fn check(&self) -> Result<(), DrainError> {
        let cursor = self.relational.taken_through().await.map_err(DrainError::Relational)?;
        let last = self.hot.last_position();
        if last < cursor { Err(DrainError::Strangers { last, cursor }) } else { Ok(()) }
    }

    /// Waits until the running drain has passed `position`.
    ///
    /// # Errors
    /// [`DrainError::Stopped`] when the drain is gone before that.
    pub async fn drain_until(&self, position: Position) -> Result<(), DrainError> {
        let mut reached = self.reached.subscribe();
        self.hurry.notify_one();
        let seen = reached.wait_for(|r| r.position >= position || r.stopped).await;
        match seen {
            Ok(reached) if reached.position >= position => Ok(()),
            Ok(_) | Err(_) => Err(DrainError::Stopped(position)),
        }
    }

    /// Moves everything that the log holds at this moment, without [`Drain::run`].
    pub async fn drain_all(&self) -> Result<(), DrainError> {
        while self.step().await? > 0 {}
        Ok(())
    }

    /// Moves one batch; says how many entries it was.
    pub async fn step(&self) -> Result<usize, DrainError> {
        let cursor = self.relational.taken_through().await.map_err(DrainError::Relational)?;
        let limit = self.settings.batch_entries.max(1);
        let entries = self.hot.log_after(cursor, limit).await.map_err(DrainError::Hot)?;
        let lag = self.hot.last_position().saturating_sub(cursor);
        metrics().drain_lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        let count = entries.len();
        let mut position = cursor;
        let mut records = Vec::new();
        for LogEntry { position: at, records: some } in entries {
            position = at;
            records.extend(some);
            if records.len() >= self.settings.batch_records.max(1) {
                self.save(position, std::mem::take(&mut records)).await?;
            }
        }
        if count > 0 {
            self.save(position, records).await?;
        }
        self.hot.drained_through(position).await.map_err(DrainError::Hot)?;
        self.reached.send_if_modified(|reached| {
            let is_further = position > reached.position;
            reached.position = reached.position.max(position);
            is_further
        });
        Ok(count)
    }

    async fn save(
        &self,
        position: Position,
        records: Vec<crate::domain::usage::UsageRecord>,
    ) -> Result<(), DrainError> {
        self.relational.take(position, records).await.map_err(DrainError::Relational)
    }
}
