//! A scheduler outside of the gateway, which agrees on visits instead of our own
//! call list.

use async_trait::async_trait;

use crate::domain::ids::WorkerId;
use crate::domain::scheduling::Appointment;
use crate::domain::time::Interval;

/// Where a visit stands at the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has it, and will agree with the customer.
    Wanted,
    /// Time and worker are agreed.
    Agreed {
        /// Who goes.
        worker: WorkerId,
        /// When.
        span: Interval,
    },
    /// The customer does not want it, or the scheduler gave it up.
    Refused,
}

/// A scheduler's answer about a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The visit's id there.
    pub id: String,
    /// Where it stands.
    pub standing: Standing,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchedulerError {
    /// Worth another try: it does not answer, or says that it cannot now. Whether it has
    /// the visit is not known.
    #[error("the scheduler is away: {reason}")]
    Away {
        /// What happened.
        reason: String,
    },
    /// It will never take it.
    #[error("the scheduler refuses: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

/// Guarantees: asking again about the same visit (its id and round) makes no second
/// one; a call ends within a bounded time.
#[async_trait]
pub trait Scheduler: Send + Sync + 'static {
    /// Brings a visit there, or asks where it stands.
    async fn ask(&self, visit: &Appointment) -> Result<Asked, SchedulerError>;

    /// Takes a visit back; one that is not known there is done.
    async fn cancel(&self, visit: &Appointment) -> Result<(), SchedulerError>;
}
