//! What imports need from charging: accounts for lines that are moved in, and a
//! way in for usage of charging files.

use async_trait::async_trait;

use crate::domain::line::Line;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};

/// Opens charging accounts in bulk.
#[async_trait]
pub trait AccountIntake: Send + Sync + 'static {
    /// Opens the account of each line, in the state that the line is in. Durable
    /// when it returns. An account that is open already is left as it is, so
    /// repeating changes nothing.
    async fn open(&self, lines: Vec<Line>) -> Result<(), IntakeError>;
}

/// Takes usage records.
#[async_trait]
pub trait UsageIntake: Send + Sync + 'static {
    /// Charges one request. `Ok` means durable and counted once; a request whose
    /// key was there before gets the first answer, marked as repeated.
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, IntakeError>;
}

/// Why charging did not take it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// Full at this moment; try again.
    #[error("charging is busy")]
    Busy,
    /// Will not get better by waiting. Whether it was applied is unknown;
    /// repeating is safe.
    #[error("{operation}: {reason}")]
    Failed {
        /// What was done.
        operation: &'static str,
        /// What happened.
        reason: String,
    },
}
