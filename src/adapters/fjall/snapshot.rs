//! Snapshots of changed accounts, and trimming the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use fjall::PersistMode;

use super::{Fresh, Inner, fatal, join_account};
use crate::ports::hot::{HotError, Position};

/// Entries removed in one write.
const TRIM_ENTRIES: usize = 4096;

/// Snapshots when it is woken, looks at free space now and then, and ends when
/// the store is dropped.
pub(super) fn run(inner: &Inner, woken: &Receiver<()>) {
    let pause = Duration::from_millis(inner.settings.check_ms.max(1));
    loop {
        match woken.recv_timeout(pause) {
            Ok(()) => {
                if let Err(error) = inner.snapshot() {
                    inner.poisoned.store(true, Ordering::Release);
                    tracing::error!(%error, "snapshot of changed accounts");
                }
            }
            Err(RecvTimeoutError::Timeout) => inner.check_space(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Inner {
    /// Writes what is fresh, sorted and in bulk, then trims the log. The tables
    /// are synced before the mark that lets the log go.
    pub(super) fn snapshot(&self) -> Result<(), HotError> {
        let (fresh, through) = {
            let _between_batches = self.committing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut state = self.state();
            if state.writing.is_some() {
                return Ok(());
            }
            let fresh = Arc::new(std::mem::take(&mut state.fresh));
            state.writing = Some(Arc::clone(&fresh));
            state.records_since_snapshot = 0;
            (fresh, self.position.load(Ordering::Acquire))
        };
        let written = self.write_out(&fresh, through);
        let mut state = self.state();
        if written.is_ok() {
            state.writing = None;
            state.snapshotted = through;
        }
        drop(state);
        written.map_err(|e| fatal("write a snapshot", &e))?;
        self.trim()
    }

    fn write_out(&self, fresh: &Fresh, through: Position) -> fjall::Result<()> {
        let mut accounts: Vec<_> = fresh.accounts.iter().collect();
        accounts.sort_unstable_by_key(|(id, _)| *id);
        if !accounts.is_empty() {
            let mut ingestion = self.accounts.start_ingestion()?;
            for (id, (version, state)) in accounts {
                ingestion.write(id.as_str().as_bytes(), join_account(*version, state))?;
            }
            ingestion.finish()?;
        }
        let mut sessions: Vec<_> = fresh.sessions.iter().collect();
        sessions.sort_unstable_by_key(|(id, _)| *id);
        if !sessions.is_empty() {
            let mut ingestion = self.sessions.start_ingestion()?;
            for (id, account) in sessions {
                match account {
                    Some(account) => ingestion.write(id.as_str().as_bytes(), account.as_str().as_bytes())?,
                    None => ingestion.write_tombstone(id.as_str().as_bytes())?,
                }
            }
            ingestion.finish()?;
        }
        let mut mark = self.db.batch().durability(Some(PersistMode::SyncAll));
        mark.insert(&self.meta, "snapshotted", through.to_be_bytes());
        mark.commit()
    }

    pub(super) fn drained_through(&self, position: Position) -> Result<(), HotError> {
        {
            let mut state = self.state();
            if position <= state.drained {
                return Ok(());
            }
            state.drained = position;
        }
        // Not synced: where it is lost, the drain repeats and the relational store's cursor settles it.
        self.meta.insert("drained", position.to_be_bytes()).map_err(|e| fatal("note the drain", &e))?;
        self.trim()
    }

    /// Removes entries that are drained and in a snapshot, but never the last one.
    fn trim(&self) -> Result<(), HotError> {
        loop {
            let gone: Vec<(Position, u32)> = {
                let mut state = self.state();
                let through = state.drained.min(state.snapshotted);
                let trimmable = state.entries.iter().take_while(|(at, _)| *at <= through).count();
                let count = trimmable.min(state.entries.len().saturating_sub(1)).min(TRIM_ENTRIES);
                state.entries.drain(..count).collect()
            };
            if gone.is_empty() {
                return Ok(());
            }
            let mut batch = self.db.batch();
            for (position, _) in &gone {
                batch.remove(&self.log, position.to_be_bytes());
            }
            batch.commit().map_err(|e| fatal("trim the log", &e))?;
            let records: u64 = gone.iter().map(|(_, records)| u64::from(*records)).sum();
            self.log_records.fetch_sub(records, Ordering::Relaxed);
        }
    }

    pub(super) fn check_space(&self) {
        match rustix::fs::statvfs(&self.folder) {
            Ok(stat) => {
                let free = stat.f_bavail.saturating_mul(stat.f_frsize);
                let is_short = free < self.settings.free_bytes_min;
                if is_short != self.is_short_of_space.swap(is_short, Ordering::Relaxed) {
                    tracing::warn!(free, min = self.settings.free_bytes_min, is_short, "free space of the hot store");
                }
            }
            Err(error) => tracing::warn!(%error, "look at the free space of the hot store"),
        }
    }
}
