//! Modems, as the rest of the gateway sees them, whatever carries their messages.
//!
//! Outwards: the desired state comes from the store, not from a queue. Whatever
//! transport serves a modem asks for it when the modem comes, and is nudged when it
//! changes. Inwards: what a modem publishes is taken in once, and acknowledged by
//! the transport when the reply says that it is durable.

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::ids::DeviceId;
use crate::domain::time::Timestamp;
use crate::ports::intake::Reply;
use crate::ports::relational::Stored;

/// Reaches modems.
#[async_trait]
pub trait Modems: Send + Sync + 'static {
    /// The device's desired state changed: send it if the device is connected.
    /// Never fails: a device that is away gets it when it comes back.
    async fn desired_changed(&self, device: &DeviceId);

    /// The device may not be connected as it is: ends its connection (0x98), if
    /// it has one. Never fails.
    async fn expel(&self, device: &DeviceId);
}

/// Which of its topics a modem published on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModemTopic {
    /// The state reached, or the reason why not.
    Reported,
    /// Usage records.
    Usage,
    /// Birth and will.
    Status,
}

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    /// The modem did not say: its first byte tells.
    Unsaid,
    /// JSON (RFC 8259).
    Json,
    /// CBOR (RFC 8949).
    Cbor,
    /// The modem said something else.
    Foreign,
}

/// What a modem has published.
#[derive(Debug, Clone)]
pub struct ModemMessage {
    /// Who; the transport has made sure of it.
    pub device: DeviceId,
    /// On which topic.
    pub topic: ModemTopic,
    /// What.
    pub payload: Bytes,
    /// In which format.
    pub format: PayloadFormat,
    /// An enrolment epoch that the device has, or had: its newest as far as the
    /// transport knows, 1 where it knows nothing.
    pub epoch: u32,
}

/// The desired state of a modem, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredMessage {
    /// Rises with every change.
    pub version: u64,
    /// When the message lapses; the transport does not deliver it after that.
    pub expires: Option<Timestamp>,
    /// JSON.
    pub payload: Bytes,
}

/// Takes what modems tell.
#[async_trait]
pub trait ModemIntake: Send + Sync + 'static {
    /// Takes a message in. One answer comes through `reply`, when everything in
    /// it is durable; on an error nothing may be acknowledged, and the modem's
    /// next try is counted once. A message that cannot be read is kept in
    /// suspense, or it would come back for ever; past a limit for each device it is
    /// not ([`ChargingError::Unreadable`]), and a transport that cannot tell the
    /// device so acknowledges it all the same. Never blocks.
    ///
    /// [`ChargingError::Unreadable`]: crate::ports::intake::ChargingError::Unreadable
    fn take(&self, message: ModemMessage, reply: Reply);

    /// What tells a modem that the usage in a message is durable, where the
    /// message's acknowledgement does not reach it: one payload for each boot, the
    /// oldest boots first, up to a limit. The device sends again what has none.
    fn receipts(&self, message: &ModemMessage) -> Vec<Bytes>;

    /// A modem has come; stored when it returns. What it is to be.
    async fn came(&self, device: &DeviceId) -> Stored<Option<DesiredMessage>>;

    /// A modem has gone and not come back.
    async fn went(&self, device: &DeviceId) -> Stored<()>;

    /// Modems that are recorded as connected to this gateway, above `after`, by id.
    async fn recorded(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>>;

    /// Modems that have not reported the newest version of their desired state,
    /// above `after`, by id.
    async fn behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>>;

    /// What a modem is to be; `None` where it was never told anything.
    async fn desired(&self, device: &DeviceId) -> Stored<Option<DesiredMessage>>;
}
