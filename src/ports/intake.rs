//! The ways into charging: requests of connections, usage of charging files, and
//! accounts for lines that are moved in.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::account::CommandAnswer;
use crate::domain::ids::AccountId;
use crate::domain::line::Line;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::domain::rating::rerate::Rerate;
use crate::domain::usage::UsageRecord;

/// Where an answer goes.
#[derive(Clone)]
pub struct Reply {
    /// Tells the connection which request it is.
    pub tag: u64,
    /// The connection.
    pub to: Arc<dyn Replies>,
}

/// Takes answers for a connection, which bounds them by its own limit of
/// outstanding requests.
pub trait Replies: Send + Sync {
    /// Takes one; never blocks. Where the connection has gone it is dropped: the
    /// client repeats its request.
    fn reply(&self, tag: u64, answer: Result<ChargeAnswer, ChargingError>);
}

/// Why a request was not charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChargingError {
    /// Too much waits, or the disk is nearly full: nothing moved, worth another try.
    #[error("charging: overloaded")]
    Overloaded,
    /// The gateway is going down: nothing moved.
    #[error("charging: stopping")]
    Stopping,
    /// The hot store failed and the outcome is unknown: the client must not be answered.
    #[error("charging: the hot store failed")]
    Fatal,
    /// The hot store is away, and the same request is on its way there: the client must not
    /// be answered, and sends it again under its number.
    #[error("charging: nobody knows yet whether it was charged")]
    Unknown,
    /// It cannot be read, and more of its sender's that cannot is not kept: nothing
    /// moved.
    #[error("charging: too much from one sender cannot be read")]
    Unreadable,
}

/// Takes the requests of connections.
pub trait RequestIntake: Send + Sync + 'static {
    /// Takes a request in; its answer comes through `reply` when it is durable.
    /// Never blocks. An overload is answered at once: new sessions are shed
    /// first, terminations last. After a fatal error nothing is answered.
    fn submit(&self, request: ChargeRequest, reply: Reply);

    /// Makes a record durable in suspense that could not become a request: an
    /// unreadable payload. Its answer comes through `reply`.
    fn suspend(&self, record: UsageRecord, reply: Reply);

    /// The client `peer` (its Origin-Host) has lost its sessions from before now:
    /// what is reserved for them is given back (RFC 6733 section 8.16).
    fn sessions_lost(&self, peer: &str);
}

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

    /// Keeps a record in suspense that could not become a request. `Ok` means durable;
    /// by its key and rating group it is kept once.
    async fn suspend(&self, record: UsageRecord) -> Result<ChargeAnswer, IntakeError>;
}

/// Takes records of suspense in once more.
#[async_trait]
pub trait RecycleIntake: Send + Sync + 'static {
    /// Judges a record anew, as things are now. `Ok` means durable and counted once,
    /// however often it is asked; `repeated` that it was counted before, `suspense`
    /// why it stays.
    async fn recycle(&self, record: UsageRecord) -> Result<ChargeAnswer, IntakeError>;

    /// Returns when the relational store holds everything that was answered before.
    async fn settled(&self) -> Result<(), IntakeError>;
}

/// Rates accounts again.
#[async_trait]
pub trait RerateIntake: Send + Sync + 'static {
    /// Carries it out in the account's shard. `Ok` means durable, and once for each id.
    async fn rerate(&self, account: &AccountId, ask: Rerate) -> Result<CommandAnswer, IntakeError>;

    /// Returns when the relational store holds everything that was answered before.
    async fn settled(&self) -> Result<(), IntakeError>;
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
