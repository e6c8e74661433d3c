//! A journal on this machine's own disk, for what was answered while the hot
//! store was away.

/// What a journal could not do.
#[derive(Debug, thiserror::Error)]
#[error("journal: {operation}: {reason}")]
pub struct JournalError {
    /// What was done.
    pub operation: &'static str,
    /// What happened.
    pub reason: String,
}

/// Entries in the order in which they came. Calls block their thread for a disk
/// write.
pub trait Journal: Send + Sync + 'static {
    /// Appends entries, on disk when it returns. After an error none of them may be
    /// relied on, and some may be there.
    fn append(&self, entries: &[Vec<u8>]) -> Result<(), JournalError>;

    /// Every entry; one that a crash cut short is left out.
    fn entries(&self) -> Result<Vec<Vec<u8>>, JournalError>;

    /// Empties it where it holds `count` entries; says whether it did.
    fn clear_of(&self, count: usize) -> Result<bool, JournalError>;
}
