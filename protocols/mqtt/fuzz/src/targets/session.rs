//! The life of one device's session: connections that come, take over and go,
//! messages both ways, acknowledgements in any order, time.
//!
//! The first bytes say what the device is like; every byte after is an operation
//! with its arguments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use linegate_mqtt::client::{Client, ClientEvent, ConnectOptions, Message};
use linegate_mqtt::session::{
    Cause, Command, ConnackOptions, Connection, Disconnected, Event, Input, Limits, MessageProperties, Outgoing,
    SessionState, UserProperty, Will,
};
use linegate_mqtt::topic::DeviceId;
use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};

use super::Source;

const USAGE: &str = "lg/v1/d/usage";
const RECEIVE_MAX: u16 = 3;
const SEND_MAX: u16 = 2;

/// The target.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut world = World::new(&mut source);
    let mut steps = 0;
    while !source.is_empty() && steps < 300 {
        world.step(&mut source);
        steps += 1;
    }
    world.finish();
}

struct World {
    now: Instant,
    version: Version,
    receive_max: Option<u16>,
    packet_bytes_max: Option<u32>,
    has_will: bool,
    limits: Arc<Limits>,
    /// What the last connection left, when its session lives on.
    kept: Option<SessionState>,
    link: Option<Link>,
    next_token: u64,
    /// Messages to the device that were taken and have not come to their end:
    /// when they expire, and the packet id that they were sent with.
    pending: BTreeMap<u64, Pending>,
}

#[derive(Default)]
struct Pending {
    expires: Option<Instant>,
    packet_id: Option<u16>,
}

/// One connection.
struct Link {
    client: Client,
    server: Connection,
    /// Ids of the device's messages without PUBACK, in the order they were sent.
    sent: VecDeque<u16>,
    /// Those of them that the caller has not acknowledged.
    to_ack: Vec<NonZeroU16>,
    /// Ids of messages to the device without PUBACK.
    received: Vec<u16>,
    /// The device has broken its bounds, so the rest is as it comes.
    is_rude: bool,
    is_open: bool,
    end: Option<Disconnected>,
}

impl World {
    fn new(source: &mut Source<'_>) -> Self {
        let limits = Limits {
            receive_max: RECEIVE_MAX,
            send_max: SEND_MAX,
            queue_messages_max: 3,
            packet_bytes_max: 1024,
            session_expiry_secs_max: 1000,
            output_bytes_max: 4096,
            ..Limits::default()
        };
        Self {
            now: Instant::now(),
            version: if source.flag() { Version::V5 } else { Version::V311 },
            receive_max: source.option(|source| 1 + source.u16() % 4),
            packet_bytes_max: source.option(|source| 1 + u32::from(source.u16() % 300)),
            has_will: source.flag(),
            limits: Arc::new(limits),
            kept: None,
            link: None,
            next_token: 0,
            pending: BTreeMap::new(),
        }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.u8() % 16 {
            0 => self.connect(source),
            1 => self.device_publishes(source),
            2 => self.caller_acks(source),
            3 => self.caller_publishes(source),
            4 => self.device_acks(source),
            5 => self.now += Duration::from_secs(u64::from(source.u8())),
            6 => self.with_link(|link, now| link.server.handle_timeout(now)),
            7 => self.with_link(|link, now| link.server.handle_input(Input::Closed, now)),
            8 => {
                let reason = source.pick(&[ReasonCode::SUCCESS, ReasonCode::DISCONNECT_WITH_WILL]);
                self.with_link(|link, _| link.client.disconnect(reason));
            }
            9 => {
                let filter = source.pick(&["lg/v1/d/desired", "lg/v1/d/#", "lg/v1/e/desired", "lg/v1/d/receipt"]);
                let qos = source.pick(&[Qos::AtLeastOnce, Qos::AtMostOnce, Qos::ExactlyOnce]);
                self.with_link(|link, _| {
                    link.client.subscribe(&[(filter, qos)]);
                });
            }
            10 => {
                let filter = source.pick(&["lg/v1/d/desired", "lg/v1/d/#", "x"]);
                self.with_link(|link, _| {
                    link.client.unsubscribe(&[filter]);
                });
            }
            11 => self.with_link(|link, _| link.client.ping()),
            12 => {
                let reason = ReasonCode(source.u8()).because(source.text().to_owned());
                self.with_link(|link, now| link.server.disconnect(reason, now));
            }
            13 => {
                let bytes = source.bytes();
                self.with_link(|link, _| {
                    link.is_rude |= !bytes.is_empty();
                    link.client.send_raw(bytes);
                });
            }
            _ => self.with_link(|_, _| {}),
        }
    }

    /// A CONNECT; takes over what is there.
    fn connect(&mut self, source: &mut Source<'_>) {
        let mut options = ConnectOptions::new("d");
        options.clean_start = source.flag();
        options.keep_alive_secs = u16::from(source.u8());
        options.session_expiry_secs = source.pick(&[0, 60, u32::MAX]);
        options.receive_max = self.receive_max;
        options.packet_bytes_max = self.packet_bytes_max;
        options.wants_problems = source.flag();
        options.user_properties = vec![UserProperty { name: source.text().replace('\0', ""), value: String::new() }];
        options.will = self.has_will.then(|| Will {
            topic: "lg/v1/d/status".into(),
            payload: Bytes::from_static(b"{}"),
            qos: Qos::AtLeastOnce,
            retain: false,
            delay_secs: source.u32(),
            content_type: None,
            properties: None,
        });
        let mut link = Link {
            client: Client::new(self.version),
            server: Connection::new(Arc::clone(&self.limits), self.now),
            sent: VecDeque::new(),
            to_ack: Vec::new(),
            received: Vec::new(),
            is_rude: false,
            is_open: false,
            end: None,
        };
        link.client.connect(&options);
        link.server.handle_input(Input::Bytes(link.client.take_output()), self.now);
        let Some(Event::Connect(connect)) = link.server.poll_event() else {
            panic!("a good CONNECT is told");
        };
        assert!(connect.session_expiry_secs <= 1000);
        self.with_link(|old, now| old.server.disconnect(ReasonCode::SESSION_TAKEN_OVER, now));
        assert!(self.link.is_none(), "an old connection is over");

        let session = self.kept.take();
        let goes_on = session.is_some() && !options.clean_start;
        if options.clean_start {
            self.pending.clear();
        }
        let device = DeviceId::new("d").expect("a device id");
        let accepted = link.server.accept(ConnackOptions { session, ..ConnackOptions::new(device) }, self.now);
        link.is_open = accepted.is_ok();
        if link.is_open {
            // The flag stands in front of the reason, behind a length of one byte.
            assert_eq!(link.server.output().get(2), Some(&u8::from(goes_on)), "session present");
        }
        self.link = Some(link);
        self.settle();
    }

    fn device_publishes(&mut self, source: &mut Source<'_>) {
        let qos = source.pick(&[Qos::AtLeastOnce, Qos::AtMostOnce]);
        let topic = source.pick(&[USAGE, USAGE, "lg/v1/d/status", "lg/v1/e/usage"]);
        let properties = MessageProperties {
            is_utf8: source.flag(),
            expiry_secs: source.option(Source::u32),
            response_topic: source.option(|_| "a/b".into()),
            correlation_data: source.option(|source| Bytes::copy_from_slice(source.bytes())),
            user_properties: Vec::new(),
        };
        self.with_link(|link, _| {
            let may = link.sent.len() < usize::from(RECEIVE_MAX);
            link.is_rude |= !may;
            let id = link.client.publish_saying(topic, b"{}", qos, false, Some(ContentType::Json), &properties);
            link.sent.extend(id);
        });
    }

    fn caller_acks(&mut self, source: &mut Source<'_>) {
        let (at, reason) = (usize::from(source.u8()), ReasonCode(source.u8()).because(source.text().to_owned()));
        self.with_link(|link, now| {
            if !link.to_ack.is_empty() {
                let id = link.to_ack.remove(at % link.to_ack.len());
                let known = link.server.ack(id, reason, now);
                assert!(known || link.is_rude, "a message that was told waits for its ack");
            }
        });
    }

    fn caller_publishes(&mut self, source: &mut Source<'_>) {
        let token = self.next_token;
        let expires = source.option(|source| self.now + Duration::from_secs(u64::from(source.u8())));
        let payload = Bytes::from(token.to_string().into_bytes());
        let outgoing = Outgoing { expires, supersedes: false, ..Outgoing::desired(token, payload, ContentType::Json) };
        let at_most_once = source.flag();
        let outgoing = if at_most_once { Outgoing { qos: Qos::AtMostOnce, ..outgoing } } else { outgoing };
        let now = self.now;
        let Some(link) = &mut self.link else { return };
        if let Ok(linegate_mqtt::session::Sent::AtLeastOnce) = link.server.publish(outgoing, now) {
            self.pending.insert(token, Pending { expires, packet_id: None });
        }
        self.next_token += 1;
        self.settle();
    }

    fn device_acks(&mut self, source: &mut Source<'_>) {
        let at = usize::from(source.u8());
        self.with_link(|link, _| {
            if !link.received.is_empty() {
                let id = link.received.remove(at % link.received.len());
                link.client.puback(id);
            }
        });
    }

    fn with_link(&mut self, act: impl FnOnce(&mut Link, Instant)) {
        if let Some(link) = &mut self.link {
            act(link, self.now);
            self.settle();
        }
    }

    /// Carries everything over until nothing moves, and looks at what holds.
    fn settle(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        loop {
            let out = link.client.take_output();
            let moved = !out.is_empty() && link.server.wants_read();
            if moved {
                link.server.handle_input(Input::Bytes(out), self.now);
            } else if !out.is_empty() && !link.server.wants_close() {
                link.client.send_raw(&out);
            }
            let told = self.server_events(&mut link);
            let written = self.server_output(&mut link);
            if !moved && !told && !written {
                break;
            }
        }
        assert!(link.server.unacked() <= usize::from(RECEIVE_MAX));
        let window = SEND_MAX.min(self.receive_max.filter(|_| self.version == Version::V5).unwrap_or(u16::MAX));
        assert!(link.is_rude || link.received.len() <= usize::from(window), "in flight {:?}", link.received);
        match link.end.take() {
            None => self.link = Some(link),
            Some(end) => self.ended(link, &end),
        }
    }

    fn server_events(&mut self, link: &mut Link) -> bool {
        let mut any = false;
        while let Some(event) = link.server.poll_event() {
            any = true;
            assert!(link.end.is_none(), "nothing follows the end: {event:?}");
            match event {
                Event::Connect(_) => panic!("a second CONNECT is not told"),
                Event::Publish(message) => link.to_ack.extend(message.packet_id),
                Event::PublishRefused { .. } | Event::Subscribed(_) => {}
                Event::PubAck { token, .. } => {
                    assert!(self.pending.remove(&token).is_some(), "{token} ends once");
                }
                Event::Expired { token } => {
                    let ended = self.pending.remove(&token).expect("it ends once");
                    assert!(ended.expires.is_some_and(|at| at <= self.now));
                }
                Event::Disconnected(end) => link.end = Some(*end),
            }
        }
        any
    }

    fn server_output(&mut self, link: &mut Link) -> bool {
        let mut any = false;
        while let Some(command) = link.server.next_command() {
            any = true;
            match command {
                Command::Send(bytes) => {
                    self.check_sizes(&bytes);
                    link.client.handle_input(bytes).expect("the server writes good packets");
                }
                Command::Close => assert!(link.end.is_some() || link.server.wants_close()),
            }
        }
        while let Some(event) = link.client.poll_event() {
            match event {
                ClientEvent::PubAck { packet_id, .. } => {
                    assert!(link.is_rude || link.sent.front() == Some(&packet_id), "PUBACKs come in order");
                    link.sent.retain(|id| *id != packet_id);
                }
                ClientEvent::Publish(message) => self.received(link, &message),
                _ => {}
            }
        }
        any
    }

    /// No packet is over what the device takes.
    fn check_sizes(&self, mut bytes: &[u8]) {
        let max = self.packet_bytes_max.filter(|_| self.version == Version::V5).map_or(usize::MAX, |max| max as usize);
        while !bytes.is_empty() {
            let (mut length, mut header) = (0, 1);
            while let Some(byte) = bytes.get(header) {
                length |= usize::from(byte & 0x7f) << (7 * (header - 1));
                header += 1;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            assert!(header + length <= max, "a packet of {} for {max}", header + length);
            bytes = bytes.get(header + length..).expect("whole packets");
        }
    }

    fn received(&mut self, link: &mut Link, message: &Message) {
        let token: u64 = std::str::from_utf8(&message.payload).expect("digits").parse().expect("a token");
        let Some(id) = message.packet_id else { return };
        let pending = self.pending.get_mut(&token).expect("a message that was not over");
        assert!(pending.expires.is_none_or(|at| at > self.now), "{token} has expired");
        assert_eq!(message.dup, pending.packet_id.is_some(), "DUP is said when it was sent before");
        assert!(pending.packet_id.is_none_or(|before| before == id), "the same id again");
        pending.packet_id = Some(id);
        if self.version == Version::V5 {
            let said = message.properties.as_ref().expect("properties");
            assert_eq!(said.response_topic.as_deref(), Some("lg/v1/d/reported"));
            assert_eq!(said.correlation_data.as_deref(), Some(token.to_string().as_bytes()));
            assert_eq!(said.expiry_secs.is_some(), pending.expires.is_some());
        }
        assert!(link.is_rude || !link.received.contains(&id), "an id is used once at a time");
        link.received.push(id);
    }

    fn ended(&mut self, mut link: Link, end: &Disconnected) {
        assert!(link.server.wants_close() && link.server.poll_timeout().is_none());
        let leave_taken = end.cause == Cause::Client(ReasonCode::SUCCESS);
        assert_eq!(end.will.is_some(), self.has_will && link.is_open && !leave_taken, "{:?}", end.cause);
        assert_eq!(end.will_due_after().is_some(), end.will.is_some());
        link.server.handle_input(Input::Bytes(Bytes::from_static(&[0xc0, 0])), self.now);
        link.server.handle_timeout(self.now + Duration::from_secs(100_000));
        link.server.disconnect(ReasonCode::SERVER_BUSY, self.now);
        assert!(link.server.poll_event().is_none(), "the end is the last event");
        let session = link.server.take_session();
        if link.is_open {
            let held: BTreeSet<u64> = session.pending_tokens().collect();
            assert_eq!(held.len(), session.pending(), "each token once");
            assert!(held.iter().eq(self.pending.keys()), "the session holds what has no end");
        }
        if !link.is_open || end.session_expiry_secs > 0 {
            self.kept = Some(session);
        } else {
            self.pending.clear();
        }
    }

    fn finish(&mut self) {
        self.with_link(|link, now| link.server.handle_input(Input::Closed, now));
        assert!(self.link.is_none());
    }
}
