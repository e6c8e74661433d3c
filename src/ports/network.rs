//! The network elements, as activation needs them; Diameter is behind it.
//!
//! Guarantee: `Err(NetworkError::Unknown)` means the command may or may not
//! have been applied. Provisioning is idempotent by `order` (the command's own
//! key), so it may be repeated, and [`Elements::query`] tells what is held.

use async_trait::async_trait;

use crate::domain::ids::{ElementId, LineId, SessionId};
use crate::domain::line::{Access, LineState, Profile};
use crate::domain::ordering::OrderKind;

/// What the line shall become on its element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionCommand {
    /// Idempotency key: `<order>/<item>/<step>`; an undo has its own.
    pub key: String,
    /// The line.
    pub line: LineId,
    /// What to do; an undo has the opposite: resume undoes suspend, reconnect terminate.
    pub action: OrderKind,
    /// The state to be in afterwards.
    pub state: LineState,
    /// The characteristics to hold.
    pub profile: Profile,
}

/// Why a serving MME lets a subscriber go (TS 29.272 section 5.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// The subscription ends.
    Withdrawn,
    /// The device is to attach anew, and gets what is new then.
    Reattach,
    /// Another MME serves the subscriber.
    Moved,
}

/// What an element holds of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its state there; [`LineState::Absent`] when it is unknown.
    pub state: LineState,
    /// The key of the last command applied.
    pub last_key: Option<String>,
    /// APNs held.
    pub apns: Vec<String>,
    /// Plan held.
    pub plan: Option<String>,
}

/// Why an element did not do as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No connection: certainly not applied.
    #[error("element {element}: not connected")]
    Away {
        /// Which.
        element: String,
    },
    /// Sent and not answered, or the connection was lost: may be applied.
    #[error("element {element}: no answer to {operation}")]
    Unknown {
        /// Which.
        element: String,
        /// What was asked.
        operation: &'static str,
    },
    /// Busy (3004, 4xxx): not applied, worth another try.
    #[error("element {element}: busy, result code {code}")]
    Busy {
        /// Which.
        element: String,
        /// Diameter result code.
        code: u32,
    },
    /// Refused for good.
    #[error("element {element}: refused {operation} with result code {code}{detail}")]
    Refused {
        /// Which.
        element: String,
        /// What was asked.
        operation: &'static str,
        /// Result-Code, or Experimental-Result-Code.
        code: u32,
        /// Error-Message, where one came, with a leading space.
        detail: String,
    },
    /// The settings name no element for this access.
    #[error("no element serves access {access}: set diameter.elements", access = access.as_str())]
    NoElement {
        /// The access.
        access: Access,
    },
}

/// Commands to network elements.
#[async_trait]
pub trait Elements: Send + Sync + 'static {
    /// The element that holds lines of this access.
    fn element_for(&self, access: Access) -> Option<ElementId>;

    /// Whether the element is connected at this moment.
    fn connected(&self, element: &ElementId) -> bool;

    /// Brings a line to a state on its element (line provisioning, command 0xfffffe).
    async fn provision(&self, element: &ElementId, command: &ProvisionCommand) -> Result<Held, NetworkError>;

    /// Asks an element what it holds of a line (line provisioning, command 0xffffff).
    async fn query(&self, element: &ElementId, line: &LineId) -> Result<Held, NetworkError>;

    /// Sends subscription data to the serving MME (S6a IDR, TS 29.272 section 5.2.2.1).
    /// `Ok(false)`: the subscriber is not attached there.
    async fn insert_subscriber_data(
        &self,
        mme: &str,
        imsi: &str,
        command: &ProvisionCommand,
    ) -> Result<bool, NetworkError>;

    /// Tells the serving MME what a modification of the profile `before` has
    /// changed, and makes it bite now: APNs alone that go are withdrawn (S6a DSR,
    /// TS 29.272 section 5.2.2.2), else the whole data is sent; an MME that applies
    /// it only at re-attach is told to have the device attach anew. Safe to repeat.
    /// `Ok(false)`: the subscriber is not attached there.
    async fn modify_subscription(
        &self,
        mme: &str,
        imsi: &str,
        before: &Profile,
        command: &ProvisionCommand,
    ) -> Result<bool, NetworkError>;

    /// Detaches the subscriber at the serving MME (S6a CLR, TS 29.272 section 5.2.1.2).
    /// `Ok(false)`: the subscriber is not attached there.
    async fn cancel_location(&self, mme: &str, imsi: &str, why: Cancellation) -> Result<bool, NetworkError>;

    /// Ends a charging session at the PGW-C that opened it (ASR, RFC 6733 section 8.5).
    /// `Ok(false)`: the session is unknown there.
    async fn abort_session(&self, peer: &str, session: &SessionId) -> Result<bool, NetworkError>;

    /// Asks the PGW-C to come back for new quota (RAR, RFC 8506 section 5.5).
    /// `Ok(false)`: the session is unknown there.
    async fn reauthorize(&self, peer: &str, session: &SessionId) -> Result<bool, NetworkError>;
}
