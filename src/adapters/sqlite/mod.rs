//! The relational store on SQLite: one file, one writer, readers beside it.
//!
//! Owns the SQL and the file's format. Saves go through one task that gathers
//! what waits into one transaction ([`writer`]); reads go through a small pool
//! and never wait for a writer (WAL).
//!
//! Invariants: a save that returned `Ok` is on disk (`synchronous=FULL`); only
//! the writer's connection writes; SQL is in this folder and nowhere else.

mod apply;
mod error;
mod open;
mod read_billing;
mod read_devices;
mod read_lines;
mod read_orders;
mod read_outbox;
mod read_tariffs;
mod read_work;
mod row;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use sqlx::SqlitePool;

use crate::adapters::save_queue::{QueueLimits, SAVE, SaveQueue, WRITER_GONE, WriterGone};
use crate::adapters::usage_rows::PartCache;
use crate::ports::relational::{Relational, Stored, Write};

use error::Faults;
use writer::Writer;

/// Limits of the store. Section `[relational.sqlite]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqliteSettings {
    /// Connections that read, at least 1.
    pub read_connections: u32,
    /// How long to wait for another process's lock, for a free read
    /// connection, or for room in the queue of saves; milliseconds.
    pub busy_timeout_ms: u64,
    /// Saves that may wait for the writer, at least 1.
    pub queue_saves: usize,
    /// Saves in one commit at most, at least 1.
    pub batch_saves: usize,
    /// Page cache of each connection, KiB.
    pub cache_kib: u32,
    /// Pages of 4 KiB in the write-ahead log before it is folded into the file.
    pub checkpoint_pages: u32,
    /// Lines, by plan and cycle, whose place in usage the writer keeps in memory, at least 1;
    /// about 150 bytes each.
    pub usage_parts_cached: usize,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            read_connections: 4,
            busy_timeout_ms: 5000,
            queue_saves: 1024,
            batch_saves: 256,
            cache_kib: 16_384,
            checkpoint_pages: 8192,
            usage_parts_cached: 200_000,
        }
    }
}

/// The store. Dropping it lets the writer finish what waits; [`Self::close`]
/// waits for that.
#[derive(Debug)]
pub struct SqliteStore {
    reads: SqlitePool,
    saves: SaveQueue,
    faults: Faults,
}

impl SqliteStore {
    /// Opens `sqlite:PATH`, making the file and its folder where they are missing.
    ///
    /// # Errors
    /// `Broken` when the file cannot be made, read or written, is damaged, is
    /// another program's, or has a newer format; `Transient` when another
    /// process holds it for longer than `busy_timeout_ms`.
    pub async fn open(url: &str, settings: SqliteSettings) -> Stored<Self> {
        let opened = open::open(url, &settings).await?;
        let writer = Writer::new(opened.writer, opened.faults.clone(), PartCache::new(settings.usage_parts_cached));
        let limits = QueueLimits {
            saves: settings.queue_saves,
            batch: settings.batch_saves,
            patience: Duration::from_millis(settings.busy_timeout_ms),
        };
        Ok(Self { reads: opened.reads, saves: SaveQueue::start(writer, limits), faults: opened.faults })
    }

    /// Carries out what waits, folds the write-ahead log into the file and lets
    /// go of it. Saves and reads fail afterwards.
    pub async fn close(&self) {
        self.reads.close().await;
        self.saves.close().await;
    }
}

#[async_trait]
impl Relational for SqliteStore {
    async fn save(&self, writes: Vec<Write>) -> Stored<()> {
        let outcome = self.saves.save(writes).await;
        outcome.unwrap_or_else(|WriterGone| Err(self.faults.broken(SAVE, WRITER_GONE)))
    }
}
