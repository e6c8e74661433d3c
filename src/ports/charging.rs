//! Charging, as activation needs it: a line's place in rating.
//!
//! Guarantee: every command is idempotent by `key`; a repeat gets the first
//! answer and moves nothing. `Ok` means durable. After [`LineCharging::stop_grants`]
//! has returned, no quota is granted to the line until [`LineCharging::reach`]
//! brings it to `Active`.

use async_trait::async_trait;

use crate::domain::ids::{AccountId, ClientHost, LineId, SessionId};
use crate::domain::line::{Line, LineState};
use crate::domain::time::Timestamp;

/// A charging session in progress.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpenSession {
    /// Its Session-Id.
    pub session: SessionId,
    /// Origin-Host of the peer that opened it.
    pub peer: ClientHost,
}

/// Why charging did not do as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineChargingError {
    /// Its queue is full, or its store does not answer: may be applied, worth another try.
    #[error("charging: {reason}")]
    Busy {
        /// What happened.
        reason: String,
    },
    /// Will not get better by itself.
    #[error("charging: {reason}")]
    Refused {
        /// What happened.
        reason: String,
    },
}

/// Commands on a line's charging.
#[async_trait]
pub trait LineCharging: Send + Sync + 'static {
    /// Takes a line in: account, identifiers and plan hold from `at` on, state `Active`.
    async fn open_line(&self, key: &str, line: &Line, at: Timestamp) -> Result<(), LineChargingError>;

    /// Takes over the line's changed profile: identifiers, APNs, plan hold from `at` on.
    async fn change_line(&self, key: &str, line: &Line, at: Timestamp) -> Result<(), LineChargingError>;

    /// Records that the line is in `state` from `at` on. `Active` allows grants again;
    /// `Absent` withdraws an opened line; an unknown line is no error for `Absent` and `Terminated`.
    async fn reach(
        &self,
        key: &str,
        account: &AccountId,
        line: &LineId,
        state: LineState,
        at: Timestamp,
    ) -> Result<(), LineChargingError>;

    /// Grants nothing more to the line; returns its sessions that are open, to be ended.
    /// Answers the sessions open at the time of the call, also on a repeat.
    async fn stop_grants(
        &self,
        key: &str,
        account: &AccountId,
        line: &LineId,
    ) -> Result<Vec<OpenSession>, LineChargingError>;

    /// A session was ended at our wish, or is unknown to its peer: what is reserved
    /// for it is given back; its last usage is rated when it comes. Repeating it changes nothing.
    async fn session_ended(&self, account: &AccountId, session: &SessionId) -> Result<(), LineChargingError>;

    /// The line's sessions that are open, to be re-authorised.
    async fn open_sessions(&self, account: &AccountId, line: &LineId) -> Result<Vec<OpenSession>, LineChargingError>;
}
