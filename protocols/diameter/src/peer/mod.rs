//! The peer machine of one transport connection (RFC 6733 section 5.6) with
//! its watchdog (RFC 3539 section 3.4).
//!
//! Five verbs: [`Peer::handle_input`], [`Peer::handle_timeout`],
//! [`Peer::poll_timeout`], [`Peer::next_command`], [`Peer::poll_event`].
//! After each input or timeout, take every command and every event; then
//! arm the timer anew. [`Peer::send_request`] and [`Peer::send_answer`] are
//! inputs too: they write straight into the output, which
//! [`Command::Write`] hands over whole.
//!
//! It owns: CER/CEA, DWR/DWA, DPR/DPA, hop-by-hop ids and the requests that
//! wait for an answer on this connection. What concerns several connections of
//! one node is [`Table`]'s: which identities are served, one connection for
//! each, the election. The machine asks with [`Event::Arrived`] and waits for
//! [`Input::Decided`]. Reconnecting and sending requests elsewhere
//! (RFC 6733 section 5.5.4) are the driver's, with [`CloseReason`] and
//! [`Peer::withdraw`].
//!
//! Where it leaves RFC 3539: in REOPEN, requests that come in are served.
//! Throwing them away would lose usage records and prove nothing.

mod config;
mod handshake;
mod inbound;
mod machine;
mod pending;
mod table;
mod watchdog;

use std::time::Duration;

use bytes::{Bytes, BytesMut};

pub use config::{Config, EndToEndIds, Role};
pub use machine::Peer;
pub use table::{ConnectionId, Decision, PeerPolicy, Table, Verdict};

use crate::apps::base::{Capabilities, DisconnectCause};
use crate::codec::{DecodeError, Message};
use crate::result_code::{Outcome, ResultCode};

/// The caller's name for a request it sends; comes back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What happens to the machine.
#[derive(Debug)]
pub enum Input {
    /// The transport is up, its TLS handshake included.
    TransportUp,
    /// A message came.
    Received(Message),
    /// Octets came that are no message. After a [`DecodeError::Frame`] the
    /// connection is closed: its stream cannot be cut further.
    Undecodable(DecodeError),
    /// The transport is gone.
    TransportDown,
    /// Send this request; its hop-by-hop id is replaced.
    Send {
        /// Comes back in [`Event::Answer`] or [`Event::RequestFailed`].
        token: Token,
        /// How long to wait for the answer.
        timeout: Duration,
        /// The request, with the end-to-end id set.
        request: Message,
    },
    /// Send this encoded answer to a request of [`Event::Request`].
    SendAnswer(Bytes),
    /// Disconnect with a DPR.
    Close(DisconnectCause),
    /// What the table says of this connection.
    Decided(Verdict),
}

/// What the transport is to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Send these octets: whole messages, in order.
    Write(BytesMut),
    /// Close the transport once everything is sent.
    Close,
}

/// What the caller is to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The peer's CER or CEA is acceptable. Nothing more is done before
    /// [`Input::Decided`]; ask [`Table::arrived`] before the next input.
    Arrived(Box<Opened>),
    /// The peer that has arrived has waited for [`Config::admission_timeout`]:
    /// ask [`Table::patience_over`].
    AdmissionDue,
    /// Capabilities are exchanged, and the connection may be used. In REOPEN,
    /// requests wait until [`Event::Okay`].
    Open,
    /// The peer has answered after [`Verdict::Probe`].
    Alive,
    /// A DWR or DWA had another Origin-State-Id than before.
    OriginState(u32),
    /// A request that is not the machine's own; answer it with
    /// [`Peer::send_answer`].
    Request(Message),
    /// The answer to a request.
    Answer {
        /// The request's token.
        token: Token,
        /// The answer.
        message: Message,
    },
    /// No answer will come.
    RequestFailed {
        /// The request's token.
        token: Token,
        /// Why not.
        why: RequestFailure,
    },
    /// An answer that nobody waits for: late, repeated or invented.
    UnexpectedAnswer(Message),
    /// The peer has been silent for two watchdog periods: fail over. Requests
    /// still wait; new ones are refused.
    Suspect,
    /// The peer is back after [`Event::Suspect`] or REOPEN.
    Okay,
    /// The connection is over; the last event of the machine.
    Closed(CloseReason),
}

/// What the exchange of capabilities agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the peer said of itself.
    pub peer: Capabilities,
    /// Application ids that both sides serve.
    pub applications: Vec<u32>,
}

/// Why a request gets no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// The peer is not open, or suspect: nothing was sent.
    #[error("send request: the peer is not open")]
    NotOpen,
    /// [`Config::pending_max`] requests wait already: nothing was sent.
    #[error("send request: too many wait for an answer")]
    TooMany,
    /// Its time is up; the peer may have carried it out.
    #[error("await answer: timed out")]
    Timeout,
    /// The connection ended; the peer may have carried it out.
    #[error("await answer: the connection ended")]
    Disconnected,
    /// An answer came that cannot be decoded.
    #[error("await answer: it cannot be decoded")]
    Undecodable(#[source] DecodeError),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent a DPR with this cause, 2001 was answered.
    PeerDisconnected(DisconnectCause),
    /// We sent a DPR with this cause.
    WeDisconnected(DisconnectCause),
    /// The transport went down by itself.
    TransportDown,
    /// The peer was silent for the watchdog's three periods.
    Silent,
    /// CER or CEA did not come in time.
    ExchangeTimeout,
    /// Something else came before CER or CEA.
    ExchangeBroken,
    /// The peer's CEA refused us, or could not be read (`None`).
    RefusedByPeer(Option<Outcome>),
    /// We refused the peer's capabilities.
    Refused(ResultCode),
    /// The stream could not be cut into messages.
    Undecodable(DecodeError),
    /// Another connection of the same peer takes its place.
    Abandoned,
}

impl CloseReason {
    /// False where the peer asked not to be connected to again
    /// (DO_NOT_WANT_TO_TALK_TO_YOU, RFC 6733 section 5.4.3).
    pub const fn may_reconnect(&self) -> bool {
        !matches!(self, Self::PeerDisconnected(DisconnectCause::DoNotWantToTalkToYou))
    }

    /// True where the next connection of this peer starts in REOPEN: this one
    /// failed, without a DPR (RFC 3539 section 3.4.1).
    pub const fn must_reopen(&self) -> bool {
        matches!(self, Self::TransportDown | Self::Silent | Self::Undecodable(_) | Self::Abandoned)
    }
}
