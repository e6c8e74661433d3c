//! Base commands (RFC 6733): the peer's own (CER, DWR, DPR) and those of a
//! session that the server starts (RAR, ASR).

mod capabilities;
mod session;

use bytes::BytesMut;

pub use capabilities::{Application, ApplicationKind, Capabilities};
pub use session::{AbortSessionRequest, ReAuthRequest, ReAuthRequestType};

use super::enumerated;
use super::route::need;
use crate::answer::{Origin, ReplyTo};
use crate::codec::{Avp, AvpError, Header, Message, Writer};
use crate::dictionary::{self as dict, application, command, key};
use crate::result_code::Outcome;

enumerated! {
    /// Disconnect-Cause 273 (RFC 6733 section 5.4.3).
    DisconnectCause, "a Disconnect-Cause" {
        /// It will be back: connecting again is welcome.
        Rebooting = 0,
        /// It is short of resources.
        Busy = 1,
        /// It expects no more messages: do not connect again.
        DoNotWantToTalkToYou = 2,
    }
}

/// Termination-Cause 295; any number, because RFC 7155 adds RADIUS's own
/// (RFC 6733 section 8.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TerminationCause(pub i32);

impl TerminationCause {
    /// The user ended the session.
    pub const LOGOUT: Self = Self(1);
    /// The service was not provided.
    pub const SERVICE_NOT_PROVIDED: Self = Self(2);
    /// The answer was not acceptable.
    pub const BAD_ANSWER: Self = Self(3);
    /// An operator ended the session.
    pub const ADMINISTRATIVE: Self = Self(4);
    /// The link broke.
    pub const LINK_BROKEN: Self = Self(5);
    /// The authorisation ran out.
    pub const AUTH_EXPIRED: Self = Self(6);
    /// The user moved elsewhere.
    pub const USER_MOVED: Self = Self(7);
    /// The session lasted its time.
    pub const SESSION_TIMEOUT: Self = Self(8);

    /// The number on the wire.
    pub const fn value(self) -> i32 {
        self.0
    }

    pub(super) fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        avp.enumerated().map(Self)
    }
}

/// Device-Watchdog-Request (RFC 6733 section 5.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceWatchdog;

impl DeviceWatchdog {
    /// The header of a DWR.
    pub const fn header() -> Header {
        Header::request(command::DEVICE_WATCHDOG, application::BASE, false)
    }

    /// Appends a DWR.
    pub fn encode(header: &Header, origin: &Origin, origin_state_id: Option<u32>, out: &mut BytesMut) {
        let mut writer = Writer::begin(out, header);
        writer.encoded(origin.avps());
        write_state(&mut writer, origin_state_id);
        writer.finish();
    }
}

/// Disconnect-Peer-Request (RFC 6733 section 5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisconnectPeer {
    /// Disconnect-Cause 273.
    pub cause: DisconnectCause,
}

impl DisconnectPeer {
    /// The header of a DPR.
    pub const fn header() -> Header {
        Header::request(command::DISCONNECT_PEER, application::BASE, false)
    }

    /// Reads a DPR.
    pub fn parse(message: &Message) -> Result<Self, AvpError> {
        let cause = need(message.find(key::DISCONNECT_CAUSE), &dict::DISCONNECT_CAUSE)?;
        Ok(Self { cause: DisconnectCause::read(&cause)? })
    }

    /// Appends a DPR.
    pub fn encode(&self, header: &Header, origin: &Origin, out: &mut BytesMut) {
        let mut writer = Writer::begin(out, header);
        writer.encoded(origin.avps()).i32(&dict::DISCONNECT_CAUSE, self.cause.value());
        writer.finish();
    }
}

/// An answer that says its outcome and who answers, and nothing of its own:
/// DWA, DPA, RAA, ASA. It is read with [`super::Answered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainAnswer {
    /// The outcome.
    pub outcome: Outcome,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
}

impl PlainAnswer {
    /// Appends the answer.
    pub fn encode(&self, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        let mut writer = to.begin(self.outcome, origin, out);
        write_state(&mut writer, self.origin_state_id);
        writer.finish();
    }
}

fn write_state(writer: &mut Writer<'_>, origin_state_id: Option<u32>) {
    if let Some(state) = origin_state_id {
        writer.u32(&dict::ORIGIN_STATE_ID, state);
    }
}
