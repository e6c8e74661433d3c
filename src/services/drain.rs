//! The drain: moves what was charged from the hot log into the relational store.
//!
//! Exactly once: records and cursor are saved in one transaction, guarded by the
//! cursor that the records were read after. Where gateways share both stores, each
//! drains: of two that read the same entries one is refused, and leaves the log to
//! the other for a while. The hot store hears of it afterwards and trims its log.
//! Does **not** judge or sum records.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::usage::Records;
use crate::ports::hot::{HotError, HotStore, LogEntry, LogNo, Position};
use crate::ports::relational::{Relational, StoreError, UsageSink, Write};
use crate::telemetry::metrics;

/// How fast the drain goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainSettings {
    /// Log entries read at once, over all logs.
    pub batch_entries: usize,
    /// Records after which a transaction is closed; one entry may exceed it.
    pub batch_records: usize,
    /// Pause when the log is drained; what comes meanwhile is moved together. Milliseconds.
    pub idle_ms: u64,
    /// Pause after a failed try, milliseconds.
    pub retry_ms: u64,
    /// Pause of a gateway that found another one draining, milliseconds.
    pub yield_ms: u64,
    /// Threads that read the log, make rows and write the relational store, 1 or more.
    pub threads: usize,
    /// Their nice value, 0 to 19: how far they give way to charging.
    pub niceness: u8,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            batch_entries: 64,
            batch_records: 32_000,
            idle_ms: 200,
            retry_ms: 1000,
            yield_ms: 500,
            threads: 1,
            niceness: 5,
        }
    }
}

/// Entries read of each log at least, where there are many: they are small then.
const LOG_ENTRIES_MIN: usize = 8;

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

/// The drain; one runs at a time in a process.
pub struct Drain<S: UsageSink + ?Sized = dyn Relational> {
    hot: Arc<dyn HotStore>,
    relational: Arc<S>,
    settings: DrainSettings,
    reached: watch::Sender<Reached>,
    hurry: Notify,
}

/// What a round came to.
#[derive(Debug, Clone, Copy)]
struct Moved {
    entries: usize,
    /// Whether the logs held no more than that.
    is_all: bool,
}

/// Rounds over every log, each up to where it ended then.
#[derive(Debug, Default)]
struct Reached {
    begun: u64,
    /// The newest round that found every log drained.
    finished: u64,
    /// The furthest that any log is drained.
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
            let is_last = stop.is_cancelled();
            let pause = match self.step().await {
                Ok(Moved { is_all: true, .. }) if is_last => return,
                // What comes meanwhile goes in one transaction: a large one costs less for each record.
                Ok(Moved { is_all: true, .. }) => self.settings.idle_ms,
                Ok(_) => continue,
                Err(DrainError::Relational(StoreError::Conflict { .. })) if !stop.is_cancelled() => {
                    self.settings.yield_ms
                }
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
    /// drained from it is another one, and its records would be passed over. A store
    /// of its own name ([`HotStore::id`]) is known by that, and has lost writes then.
    ///
    /// # Errors
    /// [`DrainError::Strangers`] when they do not.
    pub async fn check(&self) -> Result<(), DrainError> {
        let cursors = self.relational.taken_through().await.map_err(DrainError::Relational)?;
        for (log, cursor) in cursors.into_iter().filter(|(log, _)| *log < self.hot.logs()) {
            let is_behind = self.hot.is_behind(log, cursor).await.map_err(DrainError::Hot)?;
            if is_behind && self.hot.id().is_none() {
                return Err(DrainError::Strangers { last: self.hot.last_position(), cursor });
            }
        }
        Ok(())
    }

    /// Waits until the running drain has passed `position`, and everything that the logs
    /// hold at this moment: of several, one may be further than another.
    ///
    /// # Errors
    /// [`DrainError::Stopped`] when the drain is gone before that.
    pub async fn drain_until(&self, position: Position) -> Result<(), DrainError> {
        let mut reached = self.reached.subscribe();
        let begun = reached.borrow().begun;
        let is_there = |r: &Reached| r.finished > begun && r.position >= position;
        self.hurry.notify_one();
        let seen = reached.wait_for(|r| is_there(r) || r.stopped).await;
        match seen {
            Ok(reached) if is_there(&reached) => Ok(()),
            Ok(_) | Err(_) => Err(DrainError::Stopped(position)),
        }
    }

    /// Moves everything that the log holds at this moment, without [`Drain::run`].
    pub async fn drain_all(&self) -> Result<(), DrainError> {
        while self.step().await?.entries > 0 {}
        Ok(())
    }

    /// Moves one batch of each log.
    async fn step(&self) -> Result<Moved, DrainError> {
        let mut round = 0;
        self.reached.send_modify(|reached| {
            reached.begun += 1;
            round = reached.begun;
        });
        let cursors = self.relational.taken_through().await.map_err(DrainError::Relational)?;
        let limit = (self.settings.batch_entries / usize::from(self.hot.logs())).max(LOG_ENTRIES_MIN);
        let reading = (0..self.hot.logs()).map(|log| {
            let after = cursors.get(&log).copied().unwrap_or(0);
            async move { Ok((log, after, self.hot.log_after(log, after, limit).await?)) }
        });
        let read = try_join_all(reading).await.map_err(DrainError::Hot)?;
        let lag: u64 = read.iter().map(|(log, after, _)| self.hot.undrained(*log, *after)).sum();
        metrics().drain_lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        let entries = read.iter().map(|(.., entries)| entries.len()).sum();
        let is_all = read.iter().all(|(.., entries)| entries.len() < limit);
        let moved = self.save_all(read).await?;
        let furthest = moved.iter().map(|(_, position)| *position).max().unwrap_or(0);
        for (log, position) in moved {
            self.hot.drained_through(log, position).await.map_err(DrainError::Hot)?;
        }
        self.reached.send_modify(|reached| {
            reached.position = reached.position.max(furthest);
            if is_all {
                reached.finished = round;
            }
        });
        Ok(Moved { entries, is_all })
    }

    /// Saves what was read, in transactions of a bounded size; gives how far each log came.
    async fn save_all(
        &self,
        read: Vec<(LogNo, Position, Vec<LogEntry>)>,
    ) -> Result<Vec<(LogNo, Position)>, DrainError> {
        let records_max = self.settings.batch_records.max(1);
        let (mut writes, mut waiting, mut moved) = (Vec::new(), 0, Vec::new());
        for (log, mut after, entries) in read {
            let mut records = Records::default();
            let mut position = after;
            for LogEntry { position: at, records: some } in entries {
                position = at;
                waiting += some.len();
                records.append(&some);
                if waiting >= records_max {
                    writes.push(Write::Drain { log, after, position, records: std::mem::take(&mut records) });
                    self.save(std::mem::take(&mut writes)).await?;
                    (after, waiting) = (position, 0);
                }
            }
            if position > after {
                writes.push(Write::Drain { log, after, position, records });
            }
            moved.push((log, position));
        }
        if !writes.is_empty() {
            self.save(writes).await?;
        }
        Ok(moved)
    }

    async fn save(&self, writes: Vec<Write>) -> Result<(), DrainError> {
        self.relational.take(writes).await.map_err(DrainError::Relational)
    }
}
