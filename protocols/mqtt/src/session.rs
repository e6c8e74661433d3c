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
//!
//! | state | event | action | new state |
//! |---|---|---|---|
//! | `AwaitConnect` | CONNECT | `Event::Connect` | `AwaitAnswer` |
//! | `AwaitConnect` | anything else, or the timer | close | `Closed` |
//! | `AwaitAnswer` | `accept` | CONNACK, resend what the session holds | `Open` |
//! | `AwaitAnswer` | `refuse` | CONNACK with the reason, close | `Closed` |
//! | `AwaitAnswer` | bytes | kept until the answer, up to a limit | `AwaitAnswer` |
//! | `Open` | a good packet | see `receive` | `Open` |
//! | `Open` | a bad packet, a timer | DISCONNECT (5), close, will | `Closed` |
//! | `Open` | DISCONNECT | close, will only for a reason that is not 0x00 | `Closed` |
//! | any | link lost | will | `Closed` |
//!
//! A transport's loop, with the reading and writing left out:
//!
//! ```
//! # use std::{sync::Arc, time::Instant};
//! # use bytes::Bytes;
//! use linegate_mqtt::payload::{Payload, Usage};
//! use linegate_mqtt::session::{Command, ConnackOptions, Connection, Event, Input, Limits};
//! use linegate_mqtt::topic::{DeviceId, TopicKind};
//! use linegate_mqtt::ReasonCode;
//!
//! # let now = Instant::now();
//! # let mut client = linegate_mqtt::client::Client::new(linegate_mqtt::Version::V5);
//! # client.connect(&linegate_mqtt::client::ConnectOptions::new("modem-1"));
//! # let read: Bytes = client.take_output();
//! # let mut written = Vec::new();
//! let mut connection = Connection::new(Arc::new(Limits::default()), now);
//! connection.handle_input(Input::Bytes(read), now);
//! while let Some(event) = connection.poll_event() {
//!     match event {
//!         Event::Connect(connect) => match DeviceId::new(&connect.client_id) {
//!             Ok(device) => drop(connection.accept(ConnackOptions::new(device), now)),
//!             Err(_) => connection.refuse(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, now),
//!         },
//!         Event::Publish(publish) if publish.kind == TopicKind::Usage => {
//!             let usage = Usage::decode(&publish.payload, publish.content_type);
//!             // Commit `usage`, or put the payload into suspense; then:
//!             if let Some(id) = publish.packet_id {
//!                 connection.ack(id, ReasonCode::SUCCESS, now);
//!             }
//! #           drop(usage);
//!         }
//!         Event::Disconnected(end) => println!("{:?}, will {:?}", end.cause, end.will),
//!         _ => {}
//!     }
//! }
//! while let Some(command) = connection.next_command() {
//!     match command {
//!         Command::Send(bytes) => written.push(bytes),
//!         Command::Close => println!("close"),
//!     }
//! }
//! # assert_eq!(written.len(), 1);
//! // Read on only while `connection.wants_read()`; wake at `connection.poll_timeout()`.
//! ```

mod accept;
mod event;
mod filters;
mod limits;
mod message;
mod receive;
mod send;
#[cfg(test)]
mod tests;
mod window;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

pub use event::{Cause, Command, ConnackOptions, Connect, Disconnected, Event, Input, Subscription, Timer};
pub use limits::Limits;
pub use message::{MessageProperties, Outgoing, Publish, PublishError, Sent, UserProperty, Will};
pub use send::SessionState;

use crate::codec::connect::Greeting;
use crate::codec::control;
use crate::codec::property::Audience;
use crate::topic::{DeviceId, TopicKind};
use crate::{Qos, Reason, ReasonCode, Version};
use receive::Received;
use window::AckWindow;

/// What a written output buffer may keep of its memory: idle connections are
/// many, and each had its burst.
const OUTPUT_KEPT_BYTES: usize = 16 << 10;

/// What the queue of events may keep of its memory once it is empty.
const EVENTS_KEPT: usize = 8;

/// The server's side of one connection.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    /// The last instant that was given.
    now: Instant,
    phase: Phase,
    received: Received,
    out: BytesMut,
    events: VecDeque<Event>,
    /// Outlives `Phase::Open`, so that it can be taken after the end.
    session: SessionState,
    close_told: bool,
}

#[derive(Debug)]
enum Phase {
    AwaitConnect { deadline: Instant },
    AwaitAnswer(Box<Greeting>),
    Open(Box<Open>),
    Closed,
}

/// What an accepted connection holds.
#[derive(Debug)]
struct Open {
    audience: Audience,
    device: DeviceId,
    keep_alive: Option<Duration>,
    will: Option<Box<Will>>,
    session_expiry_secs: u32,
    /// QoS 1 messages from the device that wait for `ack`.
    window: AckWindow,
    /// What each topic alias stands for; index 0 is alias 1.
    aliases: Vec<Option<TopicKind>>,
    /// Messages to the device written on this connection and not acknowledged.
    in_flight: usize,
    send_max: usize,
}

impl Open {
    fn version(&self) -> Version {
        self.audience.version
    }
}

impl Connection {
    /// A connection whose link was opened at `now`.
    pub fn new(limits: Arc<Limits>, now: Instant) -> Self {
        let deadline = now + limits.connect_timeout;
        Self {
            limits,
            now,
            phase: Phase::AwaitConnect { deadline },
            received: Received::new(now),
            out: BytesMut::new(),
            events: VecDeque::new(),
            session: SessionState::default(),
            close_told: false,
        }
    }

    /// Takes what happened on the link. Drain events and commands before the
    /// next input.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.now = now;
        match input {
            Input::Bytes(bytes) => self.receive(bytes, now),
            Input::Closed => self.end(Cause::LinkLost),
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let Some((deadline, timer)) = self.next_timer() else {
            return;
        };
        if now < deadline {
            return;
        }
        self.say_disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT.because(timer.as_str()));
        self.end(Cause::Timeout(timer));
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_timer().map(|(deadline, _)| deadline)
    }

    fn next_timer(&self) -> Option<(Instant, Timer)> {
        match &self.phase {
            Phase::AwaitConnect { deadline } => Some((*deadline, Timer::Connect)),
            Phase::AwaitAnswer(_) | Phase::Closed => None,
            // While we are the ones who do not read, the client is not late.
            Phase::Open(_) if self.is_paused() => None,
            Phase::Open(open) => {
                let packet =
                    self.received.partial_since().map(|since| (since + self.limits.packet_timeout, Timer::Packet));
                let keep_alive = open.keep_alive.map(|wait| (self.received.last_packet() + wait, Timer::KeepAlive));
                match (packet, keep_alive) {
                    (Some(packet), Some(alive)) => Some(if packet.0 < alive.0 { packet } else { alive }),
                    (packet, alive) => packet.or(alive),
                }
            }
        }
    }

    /// The next thing for the transport to do.
    pub fn next_command(&mut self) -> Option<Command> {
        if !self.out.is_empty() {
            return Some(Command::Send(self.take_output()));
        }
        if self.wants_close() && !self.close_told {
            self.close_told = true;
            return Some(Command::Close);
        }
        None
    }

    /// The next thing for the caller to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > EVENTS_KEPT {
            self.events = VecDeque::new();
        }
        event
    }

    /// Acknowledges a published message, after its commit. PUBACKs leave in the
    /// order of the messages, whatever the order of the calls (section 4.6).
    /// `false` when no message with this id waits.
    ///
    /// A failure ends the message at the device as success does, and 3.1.1 has no
    /// room to say it: to have a message sent again, do not acknowledge it but
    /// `disconnect`.
    pub fn ack(&mut self, packet_id: NonZeroU16, reason: impl Into<Reason>, now: Instant) -> bool {
        self.now = now;
        let Phase::Open(open) = &mut self.phase else {
            return false;
        };
        let reason = reason.into();
        if !open.window.settle(packet_id.get(), Reason { code: reason.code.for_puback(), ..reason }) {
            return false;
        }
        open.window.write_settled(open.audience, &mut self.out);
        self.resume(now);
        true
    }

    /// Ends the connection from our side: 0x8E when another connection took the
    /// session over, 0x8B at shutdown, 0x98 by an administrator. Before `accept`
    /// it refuses the CONNECT.
    pub fn disconnect(&mut self, reason: impl Into<Reason>, now: Instant) {
        self.now = now;
        let reason = reason.into();
        match &self.phase {
            Phase::AwaitAnswer(_) => self.refuse(reason, now),
            Phase::AwaitConnect { .. } | Phase::Open(_) => {
                let code = reason.code;
                self.say_disconnect(reason);
                self.end(Cause::Server(code));
            }
            Phase::Closed => {}
        }
    }

    /// Tells a client that is there, and whose version can be told, why its
    /// connection ends.
    fn say_disconnect(&mut self, reason: Reason) {
        if let Phase::Open(open) = &self.phase {
            let reason = Reason { code: reason.code.for_disconnect(), ..reason };
            control::encode_disconnect_because(&reason, open.audience, &mut self.out);
        }
    }

    /// Bytes to write. Messages that waited for room move up, so it is called
    /// until it gives none.
    pub fn take_output(&mut self) -> Bytes {
        let output = self.out.split().freeze();
        self.send_waiting();
        output
    }

    /// Bytes to write, for a transport that writes them where they are; it says
    /// with `output_written` how many went out.
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// Drops the first `len` bytes of the output. Bytes over its end are none.
    pub fn output_written(&mut self, len: usize) {
        let len = len.min(self.out.len());
        if len == self.out.len() && self.out.capacity() > OUTPUT_KEPT_BYTES {
            self.out = BytesMut::new();
        } else if len == self.out.len() {
            self.out.clear();
        } else {
            bytes::Buf::advance(&mut self.out, len);
        }
        self.send_waiting();
    }

    /// Whether the link is to be closed once the output is written.
    pub fn wants_close(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether the transport should read from the link. `false` while an earlier
    /// read is not used up: a 3.1.1 device has a full window, or a CONNECT waits
    /// for its answer. The keep alive stands still meanwhile.
    pub fn wants_read(&self) -> bool {
        match &self.phase {
            Phase::AwaitConnect { .. } => true,
            Phase::AwaitAnswer(_) => self.received.held() < self.limits.unanswered_bytes_max / 2,
            Phase::Open(_) => !self.is_paused(),
            Phase::Closed => false,
        }
    }

    /// QoS 1 messages from the device that wait for `ack`.
    pub fn unacked(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => open.window.len(),
            _ => 0,
        }
    }

    /// Protocol version, between CONNECT and the end.
    pub fn version(&self) -> Option<Version> {
        match &self.phase {
            Phase::AwaitAnswer(greeting) => Some(greeting.connect.version),
            Phase::Open(open) => Some(open.version()),
            _ => None,
        }
    }

    /// The device, between `accept` and the end.
    pub fn device(&self) -> Option<&DeviceId> {
        match &self.phase {
            Phase::Open(open) => Some(&open.device),
            _ => None,
        }
    }

    /// What the device subscribed to.
    pub fn subscriptions(&self) -> &[Subscription] {
        self.session.subscriptions()
    }

    /// The session to carry to the device's next connection; leaves an empty
    /// one. Call it after `Disconnected`, when that says that the session lives
    /// on.
    ///
    /// For a takeover of a live connection (section 3.1.4) hold the new CONNECT
    /// unanswered meanwhile: `disconnect` the old connection with 0x8E, drain
    /// its events, take its session, and give that to the new connection's
    /// `accept`. Then [MQTT-3.1.2-5] holds, CONNACK says Session Present, and
    /// what the old connection had in flight is sent again. Messages from the
    /// device that the old connection did not acknowledge are no part of it: the
    /// device sends them again.
    pub fn take_session(&mut self) -> SessionState {
        std::mem::take(&mut self.session)
    }

    /// Whether reading stops here: the rest of the input is kept.
    fn is_paused(&self) -> bool {
        match &self.phase {
            Phase::AwaitAnswer(_) => true,
            // 3.1.1 has no Receive Maximum to hold the device to.
            Phase::Open(open) => {
                open.version() == Version::V311 && open.window.len() >= usize::from(self.limits.receive_max.max(1))
            }
            _ => false,
        }
    }

    fn packet_bytes_max(&self) -> usize {
        self.limits.packet_bytes_max.clamp(16, 5 + crate::codec::VARINT_MAX)
    }

    /// Ends the connection because of what the client sent.
    fn fail(&mut self, code: ReasonCode, detail: Cow<'static, str>) {
        self.say_disconnect(code.because(detail.clone()));
        self.end(Cause::Protocol { code, detail });
    }

    /// The one way from any state to `Closed`.
    fn end(&mut self, cause: Cause) {
        let (will, session_expiry_secs) = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => return,
            Phase::Open(open) => {
                let leave_taken = cause == Cause::Client(ReasonCode::SUCCESS);
                (open.will.filter(|_| !leave_taken).map(|will| *will), open.session_expiry_secs)
            }
            Phase::AwaitConnect { .. } | Phase::AwaitAnswer(_) => (None, 0),
        };
        self.received.clear();
        self.events.push_back(Event::Disconnected(Box::new(Disconnected { cause, will, session_expiry_secs })));
    }
}

fn granted(asked: Qos) -> Qos {
    asked.min(Qos::AtLeastOnce)
}
