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

mod event;
mod limits;
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

pub use event::{
    Cause, Command, ConnackOptions, Connect, Disconnected, Event, Input, Outgoing, Publish, PublishError, Sent,
    Subscription, Timer, Will,
};
pub use limits::Limits;
pub use send::SessionState;

use crate::codec::control::{self, ConnackSaid, Greeting};
use crate::topic::{DeviceId, TopicKind};
use crate::{Qos, ReasonCode, Version};
use receive::Received;
use window::AckWindow;

/// What a written output buffer may keep of its memory: idle connections are
/// many, and each had its burst.
const OUTPUT_KEPT_BYTES: usize = 16 << 10;

/// The server's side of one connection.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
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
    version: Version,
    device: DeviceId,
    keep_alive: Option<Duration>,
    will: Option<Will>,
    session_expiry_secs: u32,
    /// QoS 1 messages from the device that wait for `ack`.
    window: AckWindow,
    /// What each topic alias stands for; index 0 is alias 1.
    aliases: Vec<Option<TopicKind>>,
    /// Messages to the device written on this connection and not acknowledged.
    in_flight: usize,
    send_max: usize,
    /// The device's Maximum Packet Size in bytes.
    peer_packet_bytes_max: usize,
}

impl Connection {
    /// A connection whose link was opened at `now`.
    pub fn new(limits: Arc<Limits>, now: Instant) -> Self {
        let deadline = now + limits.connect_timeout;
        Self {
            limits,
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
        match input {
            Input::Bytes(bytes) => self.receive(bytes, now),
            Input::Closed => self.end(Cause::LinkLost),
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((deadline, timer)) = self.next_timer() else {
            return;
        };
        if now < deadline {
            return;
        }
        if let Phase::Open(open) = &self.phase
            && open.version == Version::V5
        {
            control::encode_disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT, Version::V5, &mut self.out);
        }
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
        self.events.pop_front()
    }

    /// Lets the client in. `Err` when the machine refuses it after all (a will on
    /// a topic that is not the device's own status; a client whose packets are
    /// too small for our CONNACK) or when the connection ended meanwhile; a
    /// client that is there has been told, and `take_session` gives the session
    /// back.
    pub fn accept(&mut self, options: ConnackOptions, now: Instant) -> Result<(), ReasonCode> {
        let greeting = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::AwaitAnswer(greeting) => *greeting,
            other => {
                self.phase = other;
                self.session = options.session.unwrap_or_default();
                return Err(ReasonCode::UNSPECIFIED_ERROR);
            }
        };
        let connect = &greeting.connect;
        let session = options.session.filter(|_| !connect.clean_start);
        let session_present = session.is_some();
        self.session = session.unwrap_or_default();
        let version = connect.version;
        let foreign_will = connect
            .will
            .as_ref()
            .is_some_and(|will| options.device.own_topic(will.topic.as_bytes()) != Some(TopicKind::Status));
        if foreign_will {
            return Err(self.turn_away(ReasonCode::NOT_AUTHORIZED, version));
        }
        let device = options.device;
        let keep_alive_secs = self.keep_alive_secs(connect);
        let assigned = options.assigned_client_id.as_deref();
        let said = ConnackSaid {
            session_expiry_secs: (self.session_expiry_secs(connect) != connect.session_expiry_secs)
                .then(|| self.session_expiry_secs(connect)),
            receive_max: self.limits.receive_max.max(1),
            packet_bytes_max: self.packet_bytes_max() as u32,
            assigned_client_id: assigned.or(Some(device.as_str())).filter(|_| connect.client_id.is_empty()),
            topic_alias_max: self.limits.topic_alias_max,
            server_keep_alive_secs: (keep_alive_secs != connect.keep_alive_secs).then_some(keep_alive_secs),
        };
        let before = self.out.len();
        control::encode_connack(session_present, &said, version, &mut self.out);
        if self.out.len() - before > greeting.packet_bytes_max {
            self.out.truncate(before);
            return Err(self.turn_away(ReasonCode::PACKET_TOO_LARGE, version));
        }
        self.open(greeting, device, keep_alive_secs, now);
        Ok(())
    }

    fn open(&mut self, greeting: Greeting, device: DeviceId, keep_alive_secs: u16, now: Instant) {
        let session_expiry_secs = self.session_expiry_secs(&greeting.connect);
        let send_max = self.limits.send_max.max(1).min(greeting.receive_max);
        self.phase = Phase::Open(Box::new(Open {
            version: greeting.connect.version,
            device,
            keep_alive: (keep_alive_secs > 0).then(|| Duration::from_millis(u64::from(keep_alive_secs) * 1500)),
            will: greeting.connect.will,
            session_expiry_secs,
            window: AckWindow::default(),
            aliases: Vec::new(),
            in_flight: 0,
            send_max: usize::from(send_max),
            peer_packet_bytes_max: greeting.packet_bytes_max,
        }));
        self.session.begin_resend();
        self.send_waiting();
        self.received.restart_clock(now);
        self.resume(now);
    }

    /// Refuses the CONNECT with the reason, or the nearest that a CONNACK may
    /// carry, and closes.
    pub fn refuse(&mut self, reason: ReasonCode, _now: Instant) {
        if let Phase::AwaitAnswer(greeting) = &self.phase {
            let version = greeting.connect.version;
            let reason = reason.for_connack();
            self.turn_away(reason, version);
        }
    }

    fn turn_away(&mut self, reason: ReasonCode, version: Version) -> ReasonCode {
        control::encode_refusal(reason, version, &mut self.out);
        // A connection that was never open has no will to publish.
        self.phase = Phase::Closed;
        self.received.clear();
        self.events.push_back(Event::Disconnected(Box::new(Disconnected {
            cause: Cause::Refused(reason),
            will: None,
            session_expiry_secs: 0,
        })));
        reason
    }

    /// Acknowledges a published message, after its commit. PUBACKs leave in the
    /// order of the messages, whatever the order of the calls (section 4.6).
    /// `false` when no message with this id waits.
    ///
    /// A failure ends the message at the device as success does, and 3.1.1 has no
    /// room to say it: to have a message sent again, do not acknowledge it but
    /// `disconnect`.
    pub fn ack(&mut self, packet_id: NonZeroU16, reason: ReasonCode, now: Instant) -> bool {
        let Phase::Open(open) = &mut self.phase else {
            return false;
        };
        if !open.window.settle(packet_id.get(), reason.for_puback()) {
            return false;
        }
        open.window.write_settled(open.version, &mut self.out);
        self.resume(now);
        true
    }

    /// Ends the connection from our side: 0x8E when another connection took the
    /// session over, 0x8B at shutdown, 0x98 by an administrator. Before `accept`
    /// it refuses the CONNECT.
    pub fn disconnect(&mut self, reason: ReasonCode, now: Instant) {
        match &self.phase {
            Phase::AwaitAnswer(_) => self.refuse(reason, now),
            Phase::AwaitConnect { .. } => self.end(Cause::Server(reason)),
            Phase::Open(open) => {
                if open.version == Version::V5 {
                    let told = reason.for_disconnect();
                    control::encode_disconnect(told, Version::V5, &mut self.out);
                }
                self.end(Cause::Server(reason));
            }
            Phase::Closed => {}
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
            Phase::Open(open) => Some(open.version),
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
    /// one. Call it after `Disconnected` when the session lives on.
    pub fn take_session(&mut self) -> SessionState {
        std::mem::take(&mut self.session)
    }

    /// Whether reading stops here: the rest of the input is kept.
    fn is_paused(&self) -> bool {
        match &self.phase {
            Phase::AwaitAnswer(_) => true,
            // 3.1.1 has no Receive Maximum to hold the device to.
            Phase::Open(open) => {
                open.version == Version::V311 && open.window.len() >= usize::from(self.limits.receive_max.max(1))
            }
            _ => false,
        }
    }

    fn packet_bytes_max(&self) -> usize {
        self.limits.packet_bytes_max.clamp(16, 5 + crate::codec::VARINT_MAX)
    }

    fn session_expiry_secs(&self, connect: &Connect) -> u32 {
        connect.session_expiry_secs.min(self.limits.session_expiry_secs_max)
    }

    fn keep_alive_secs(&self, connect: &Connect) -> u16 {
        let asked = connect.keep_alive_secs;
        let max = self.limits.keep_alive_secs_max;
        match connect.version {
            Version::V5 if max > 0 && (asked == 0 || asked > max) => max,
            _ => asked,
        }
    }

    /// Ends the connection because of what the client sent.
    fn fail(&mut self, code: ReasonCode, detail: Cow<'static, str>) {
        if let Phase::Open(open) = &self.phase
            && open.version == Version::V5
        {
            control::encode_disconnect(code.for_disconnect(), Version::V5, &mut self.out);
        }
        self.end(Cause::Protocol { code, detail });
    }

    /// The one way from any state to `Closed`.
    fn end(&mut self, cause: Cause) {
        let (will, session_expiry_secs) = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => return,
            Phase::Open(open) => {
                let leave_taken = cause == Cause::Client(ReasonCode::SUCCESS);
                (open.will.filter(|_| !leave_taken), open.session_expiry_secs)
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
