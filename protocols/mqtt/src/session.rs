//! The server's side of one MQTT connection, as a sans-IO machine.
//!
//! Owns: framing, the CONNECT gate, keep alive, flow control both ways, access
//! checks, the will's rules, packet ids and the session that outlives the
//! connection. Does not own: who a device is (the caller says at `accept`),
//! takeover and will delays (the caller knows the other connections), retained
//! messages (the caller keeps the desired state).
//!
//! One `Connection` is one network connection. Acknowledgements belong to it:
//! an `ack` for a message of an earlier connection must not be given to a later
//! one, where the same packet id means another message.

mod event;
mod limits;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use event::{
    Cause, Command, ConnackOptions, Connect, Disconnected, Event, Input, Outgoing, Publish,
    PublishError, Sent, Subscription, Timer, Will,
};
pub use limits::Limits;

use crate::topic::DeviceId;
use crate::{ReasonCode, Version};

/// What outlives a connection: subscriptions, our unacknowledged messages and
/// the next packet id.
#[derive(Debug, Clone, Default)]
pub struct SessionState {}

/// The server's side of one connection.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
}

impl Connection {
    /// A connection whose link was opened at `now`.
    pub fn new(limits: Arc<Limits>, now: Instant) -> Self {
        let _ = now;
        Self { limits }
    }

    /// Takes what happened on the link. Drain events and commands before the
    /// next input.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        let _ = (input, now, &self.limits);
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next thing for the transport to do.
    pub fn next_command(&mut self) -> Option<Command> {
        None
    }

    /// The next thing for the caller to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Lets the client in. `Err` when the machine refuses it after all (a will on
    /// a topic that is not the device's own status); the client has been told.
    pub fn accept(&mut self, options: ConnackOptions, now: Instant) -> Result<(), ReasonCode> {
        let _ = (options, now);
        Ok(())
    }

    /// Refuses the CONNECT with the reason and closes.
    pub fn refuse(&mut self, reason: ReasonCode, now: Instant) {
        let _ = (reason, now);
    }

    /// Acknowledges a published message, after its commit. PUBACKs leave in the
    /// order of the messages, whatever the order of the calls. `false` when no
    /// message with this id waits.
    pub fn ack(&mut self, packet_id: NonZeroU16, reason: ReasonCode, now: Instant) -> bool {
        let _ = (packet_id, reason, now);
        false
    }

    /// Sends a message to the device, or queues it.
    pub fn publish(&mut self, message: Outgoing, now: Instant) -> Result<Sent, PublishError> {
        let _ = (message, now);
        Err(PublishError::NotOpen)
    }

    /// Ends the connection from our side: 0x8E when another connection took the
    /// session over, 0x8B at shutdown, 0x98 by an administrator.
    pub fn disconnect(&mut self, reason: ReasonCode, now: Instant) {
        let _ = (reason, now);
    }

    /// Bytes to write, all of them, leaving none.
    pub fn take_output(&mut self) -> Bytes {
        Bytes::new()
    }

    /// Whether the link is to be closed once the output is written.
    pub fn wants_close(&self) -> bool {
        false
    }

    /// Whether the transport should read from the link at all.
    pub fn wants_read(&self) -> bool {
        true
    }

    /// QoS 1 messages from the device that wait for `ack`.
    pub fn unacked(&self) -> usize {
        0
    }

    /// Protocol version, once a CONNECT came.
    pub fn version(&self) -> Option<Version> {
        None
    }

    /// The device, once accepted.
    pub fn device(&self) -> Option<&DeviceId> {
        None
    }

    /// The session to carry to the device's next connection; leaves an empty
    /// one. Call it after `Disconnected` when the session lives on.
    pub fn take_session(&mut self) -> SessionState {
        SessionState::default()
    }
}
