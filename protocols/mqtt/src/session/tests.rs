//! Two machines, a fake link and a stepped clock.

mod bad_packets;
mod ends;
mod flow;
mod property;
mod words;

use super::*;
use crate::client::{Client, ClientEvent, ConnAck, ConnectOptions};
use crate::topic::FilterAccess;

/// A modem's client and the gateway's machine, joined by a perfect link.
struct Pair {
    client: Client,
    server: Connection,
    now: Instant,
    /// Events of the server, `Connect` left out.
    server_events: Vec<Event>,
    client_events: Vec<ClientEvent>,
}

#[expect(clippy::disallowed_methods, reason = "a test's clock has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn device() -> DeviceId {
    DeviceId::new("modem-1").unwrap()
}

fn small_limits() -> Limits {
    Limits {
        receive_max: 4,
        send_max: 2,
        queue_messages_max: 3,
        packet_bytes_max: 1024,
        topic_alias_max: 2,
        subscriptions_max: 2,
        ..Limits::default()
    }
}

const USAGE: &str = "lg/v1/modem-1/usage";
const DESIRED: &str = "lg/v1/modem-1/desired";

impl Pair {
    fn new(version: Version) -> Self {
        Self::with(version, small_limits())
    }

    fn with(version: Version, limits: Limits) -> Self {
        let now = start();
        Self {
            client: Client::new(version),
            server: Connection::new(Arc::new(limits), now),
            now,
            server_events: Vec::new(),
            client_events: Vec::new(),
        }
    }

    /// A connection that is open, with CONNACK out of the way.
    fn open(version: Version) -> Self {
        Self::open_with(version, small_limits(), &ConnectOptions::new("c"), None).0
    }

    fn open_with(
        version: Version,
        limits: Limits,
        options: &ConnectOptions,
        session: Option<SessionState>,
    ) -> (Self, ConnAck) {
        let mut pair = Self::with(version, limits);
        pair.client.connect(options);
        pair.flush_client();
        let Some(Event::Connect(_)) = pair.server.poll_event() else {
            panic!("CONNECT expected");
        };
        let answer = ConnackOptions { session, ..ConnackOptions::new(device()) };
        pair.server.accept(answer, pair.now).unwrap();
        pair.flush_server();
        let ClientEvent::ConnAck(connack) = pair.client_events.remove(0) else {
            panic!("CONNACK expected");
        };
        (pair, connack)
    }

    fn flush_client(&mut self) {
        let bytes = self.client.take_output();
        self.feed(&bytes);
    }

    fn feed(&mut self, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.server.handle_input(Input::Bytes(bytes), self.now);
    }

    fn flush_server(&mut self) {
        while let Some(command) = self.server.next_command() {
            if let Command::Send(bytes) = command {
                self.client.handle_input(bytes).unwrap();
            }
        }
        self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn run(&mut self) {
        self.flush_client();
        self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
        self.flush_server();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.server.handle_timeout(self.now);
        self.run();
    }

    fn publish(&mut self) -> u16 {
        let id = self.client.publish(USAGE, b"{}", Qos::AtLeastOnce, false, None);
        self.run();
        id.unwrap()
    }

    fn ack(&mut self, id: u16) -> bool {
        let id = NonZeroU16::new(id).unwrap();
        let known = self.server.ack(id, ReasonCode::SUCCESS, self.now);
        self.run();
        known
    }

    fn subscribe(&mut self, filter: &str) -> ReasonCode {
        self.client.subscribe(&[(filter, Qos::ExactlyOnce)]);
        self.run();
        match self.client_events.pop() {
            Some(ClientEvent::SubAck { reasons, .. }) => reasons[0],
            other => panic!("SUBACK expected, not {other:?}"),
        }
    }

    fn send(&mut self, token: u64) -> Result<Sent, PublishError> {
        let sent = self.server.publish(desired(token), self.now);
        self.run();
        sent
    }

    fn acked(&mut self) -> Vec<u16> {
        let acked = |event: &ClientEvent| match event {
            ClientEvent::PubAck { packet_id, .. } => Some(*packet_id),
            _ => None,
        };
        self.client_events.drain(..).filter_map(|e| acked(&e)).collect()
    }

    /// Messages that reached the client: id and DUP.
    fn received(&mut self) -> Vec<(u16, bool)> {
        let received = |event: &ClientEvent| match event {
            ClientEvent::Publish(message) => Some((message.packet_id?, message.dup)),
            _ => None,
        };
        self.client_events.drain(..).filter_map(|e| received(&e)).collect()
    }

    fn disconnected(&self) -> Option<&Disconnected> {
        self.server_events.iter().find_map(|event| match event {
            Event::Disconnected(disconnected) => Some(&**disconnected),
            _ => None,
        })
    }
}

fn desired(token: u64) -> Outgoing {
    Outgoing {
        kind: TopicKind::Desired,
        payload: Bytes::from_static(b"{\"version\":1}"),
        qos: Qos::AtLeastOnce,
        retain: true,
        content_type: Some(ContentType::Json),
        expires: None,
        correlation_data: None,
        supersedes: false,
        token,
    }
}

use crate::ContentType;

const BOTH: [Version; 2] = [Version::V311, Version::V5];
