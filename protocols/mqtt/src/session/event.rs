//! What goes into the machine and what comes out of it.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::{Publish, SessionState, UserProperty, Will};
use crate::topic::{DeviceId, FilterAccess};
use crate::{Qos, ReasonCode, Version};

/// One thing that happened on the link.
#[derive(Debug, Clone)]
pub enum Input {
    /// Bytes arrived, in any fragmentation. Payloads of published messages are
    /// slices of this buffer, so a buffer of one read's size is the right one.
    Bytes(Bytes),
    /// The link is gone: end of file, reset, or a TLS failure.
    Closed,
}

/// One thing for the transport to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write these bytes.
    Send(Bytes),
    /// Close the link, once everything sent before is written.
    Close,
}

/// One thing for the caller to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// A CONNECT came. Nothing else happens on the connection until the caller
    /// answers with `accept` or `refuse`; the machine has no timer for that.
    Connect(Box<Connect>),
    /// The device published on one of its own topics. With a packet id, the
    /// caller calls `ack` when the message is durable.
    Publish(Publish),
    /// The device published where it may not; answered by the machine, named
    /// here for the log and the metric.
    PublishRefused {
        /// The topic as sent, cut at 128 bytes.
        topic: String,
        /// What the device was told, where the version has words for it.
        reason: ReasonCode,
    },
    /// Filters were granted. The caller sends the retained desired state for
    /// each whose `access.desired` and `wants_retained` are true.
    Subscribed(Vec<Subscription>),
    /// Our QoS 1 message came to its end: acknowledged, or (reason 0x95, raised
    /// by the machine itself) too large for the device after a resume.
    PubAck {
        /// The token given to `publish`.
        token: u64,
        /// What the device answered; always success in 3.1.1.
        reason: ReasonCode,
    },
    /// Our message's time ran out before it could be sent; it is dropped.
    Expired {
        /// The token given to `publish`.
        token: u64,
    },
    /// The connection is over; always the last event, and always one.
    Disconnected(Box<Disconnected>),
}

/// A CONNECT, checked as far as it can be without knowing the device.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Protocol version.
    pub version: Version,
    /// Client identifier; empty when the caller is to assign one.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password, or token. Never printed by `Debug`.
    pub password: Option<Bytes>,
    /// Clean Start (5), Clean Session (3.1.1): an old session is to be dropped.
    pub clean_start: bool,
    /// How long the session outlives the connection, in seconds: 0 ends with it,
    /// `u32::MAX` never ends. Already cut to the limit. In 3.1.1 it is 0 with
    /// Clean Session and the limit without.
    pub session_expiry_secs: u32,
    /// Keep alive in seconds, 0 for none, as the client asked.
    pub keep_alive_secs: u16,
    /// The will, when there is one. Its topic is checked at `accept`.
    pub will: Option<Will>,
    /// User properties in their order, up to `Limits::user_properties_max`.
    pub user_properties: Vec<UserProperty>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("clean_start", &self.clean_start)
            .field("session_expiry_secs", &self.session_expiry_secs)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("will", &self.will)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}

/// The caller's answer to a CONNECT that it lets in.
#[derive(Debug)]
pub struct ConnackOptions {
    /// Whose connection this is; decides every later access check.
    pub device: DeviceId,
    /// The session to go on with. `None` starts one and says "session present:
    /// no"; it is dropped when the client asked for a clean start.
    pub session: Option<SessionState>,
    /// The client id made for a client that gave none. In version 5 it is said
    /// in CONNACK; absent, the device id is used.
    pub assigned_client_id: Option<String>,
}

impl ConnackOptions {
    /// A new session for the device.
    pub fn new(device: DeviceId) -> Self {
        Self { device, session: None, assigned_client_id: None }
    }
}

/// One granted filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The filter as sent.
    pub filter: String,
    /// What it delivers.
    pub access: FilterAccess,
    /// Granted quality of service, at most 1.
    pub qos: Qos,
    /// Whether retained messages are sent for this SUBSCRIBE (Retain Handling,
    /// section 3.8.3.1).
    pub wants_retained: bool,
    /// Retain As Published: the retain flag is kept when a message is forwarded.
    pub retain_as_published: bool,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// Who ended it and why.
    pub cause: Cause,
    /// The will to publish after `delay_secs`; `None` when there was none, when
    /// the CONNECT was not accepted, or when the client took leave (0x00).
    pub will: Option<Will>,
    /// How long the session lives from this moment, in seconds: 0 ends it now,
    /// `u32::MAX` never. DISCONNECT may have changed it.
    pub session_expiry_secs: u32,
}

impl Disconnected {
    /// How long after the end the will is due: its delay or the session's end,
    /// whichever comes first (section 3.1.3.2.2). A return of the device within
    /// that time calls the will off. `None` when there is no will.
    pub fn will_due_after(&self) -> Option<Duration> {
        let will = self.will.as_ref()?;
        Some(Duration::from_secs(u64::from(will.delay_secs.min(self.session_expiry_secs))))
    }
}

/// Who ended a connection and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The client sent DISCONNECT.
    Client(ReasonCode),
    /// The link went away.
    LinkLost,
    /// The client broke the protocol or a limit. In version 5 it was told the
    /// code; in 3.1.1 the link is closed and the code stands here only.
    Protocol {
        /// The nearest reason code.
        code: ReasonCode,
        /// What was wrong, for the log.
        detail: Cow<'static, str>,
    },
    /// The caller refused the CONNECT.
    Refused(ReasonCode),
    /// The caller ended the connection with `disconnect`.
    Server(ReasonCode),
    /// No CONNECT in time, or a packet that never ended, or no packet for one
    /// and a half times the keep alive.
    Timeout(Timer),
}

/// The timers of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// From the link's start to a whole CONNECT.
    Connect,
    /// From a packet's first byte to its last.
    Packet,
    /// One and a half times the keep alive, from packet to packet.
    KeepAlive,
}

impl Timer {
    /// What did not come in time.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "no whole CONNECT in time",
            Self::Packet => "a packet did not end in time",
            Self::KeepAlive => "no packet for one and a half times the keep alive",
        }
    }
}

impl Cause {
    /// The reason code that comes nearest; 0x80 for a lost link.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Client(code) | Self::Refused(code) | Self::Server(code) => *code,
            Self::Protocol { code, .. } => *code,
            Self::LinkLost => ReasonCode::UNSPECIFIED_ERROR,
            Self::Timeout(_) => ReasonCode::KEEP_ALIVE_TIMEOUT,
        }
    }
}
