//! Modems, as activation and enrolment need them; MQTT is behind it.
//!
//! The desired state comes from the store, not from a queue: whatever transport
//! serves the modem asks for it when the modem subscribes, and is nudged here
//! when it changes.

use async_trait::async_trait;

use crate::domain::ids::DeviceId;

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
