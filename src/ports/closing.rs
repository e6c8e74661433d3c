//! What the month close needs from charging: freeze the cycle, and say when
//! everything of it has arrived in the relational store.

use async_trait::async_trait;

use crate::domain::cycle::CycleId;

/// Hears how many accounts of how many are done.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Charging, as the month close sees it.
#[async_trait]
pub trait CycleCloser: Send + Sync + 'static {
    /// Moves every account's open bucket of `cycle` to closing. When it returns,
    /// no more usage is rated into that cycle's bills: what comes later is late.
    /// Durable; repeating it changes nothing and gives a position at least as high.
    async fn close_cycle(&self, cycle: CycleId, progress: Progress<'_>) -> Result<ClosedCycle, ClosingError>;

    /// Returns when everything up to and including `position` of the hot log is
    /// in the relational store. Bounded by a setting of its own.
    async fn drain_until(&self, position: u64) -> Result<(), ClosingError>;
}

/// A cycle that is closed in charging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedCycle {
    /// Accounts that were in it.
    pub accounts: u64,
    /// Hot-log position that holds everything of it.
    pub position: u64,
}

/// Why charging could not do it; the close stays where it is and can go on later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {reason}")]
pub struct ClosingError {
    /// What was done.
    pub operation: &'static str,
    /// What happened.
    pub reason: String,
}
