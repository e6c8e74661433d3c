//! The client's side of one connection, for simulators and load.
//!
//! Cheap and obedient: it says what it is told, so that faults can be built on
//! top. It keeps the next packet id and the number in flight; resending after a
//! reconnect is the caller's, who knows what it sent.
//!
//! ```
//! # use bytes::Bytes;
//! use linegate_mqtt::client::{Client, ClientEvent, ConnectOptions};
//! use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};
//!
//! let mut client = Client::new(Version::V5);
//! client.connect(&ConnectOptions::new("modem-1"));
//! client.subscribe(&[("lg/v1/modem-1/desired", Qos::AtLeastOnce)]);
//! let json = Some(ContentType::Json);
//! let id = client.publish("lg/v1/modem-1/usage", b"[]", Qos::AtLeastOnce, false, json);
//! let to_write: Bytes = client.take_output();
//! # let read = Bytes::from_static(&[0x40, 2, 0, 2]);
//! client.handle_input(read)?;
//! while let Some(event) = client.poll_event() {
//!     match event {
//!         ClientEvent::PubAck { packet_id, .. } => assert_eq!(Some(packet_id), id),
//!         ClientEvent::Publish(message) => {
//!             if let Some(id) = message.packet_id {
//!                 client.puback(id);
//!             }
//!         }
//!         _ => {}
//!     }
//! }
//! client.disconnect(ReasonCode::SUCCESS);
//! # drop(to_write);
//! # Ok::<(), linegate_mqtt::client::ClientError>(())
//! ```

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use mqtt_proto::{v3, v5};

use crate::codec::publish::{self, PublishParts};
use crate::codec::{self, BadPacket, Frame, control, packet_type};
use crate::{ContentType, Qos, ReasonCode, Version};

/// Largest packet that is taken from a server, in bytes.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Client identifier; may be empty.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Bytes>,
    /// Clean Start, or Clean Session in 3.1.1.
    pub clean_start: bool,
    /// Keep alive in seconds, 0 for none.
    pub keep_alive_secs: u16,
    /// Session Expiry Interval in seconds, said in version 5 when not 0.
    pub session_expiry_secs: u32,
    /// Receive Maximum, said in version 5.
    pub receive_max: Option<u16>,
    /// Maximum Packet Size in bytes, said in version 5.
    pub packet_bytes_max: Option<u32>,
    /// The will.
    pub will: Option<crate::session::Will>,
}

impl ConnectOptions {
    /// A clean session with a keep alive of 60 s and nothing else.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            username: None,
            password: None,
            clean_start: true,
            keep_alive_secs: 60,
            session_expiry_secs: 0,
            receive_max: None,
            packet_bytes_max: None,
            will: None,
        }
    }
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// CONNACK.
    ConnAck(ConnAck),
    /// PUBACK of our message.
    PubAck {
        /// The id that `publish` gave.
        packet_id: u16,
        /// The answer; success in 3.1.1.
        reason: ReasonCode,
    },
    /// A message; one with a packet id wants `puback`.
    Publish(Message),
    /// SUBACK, one code for each filter.
    SubAck {
        /// The id that `subscribe` gave.
        packet_id: u16,
        /// Granted QoS, or a failure.
        reasons: Vec<ReasonCode>,
    },
    /// UNSUBACK.
    UnsubAck {
        /// The id that `unsubscribe` gave.
        packet_id: u16,
    },
    /// PINGRESP.
    PingResp,
    /// DISCONNECT from the server (version 5).
    Disconnect(ReasonCode),
}

/// A CONNACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// The server went on with a session.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// Client id that the server made.
    pub assigned_client_id: Option<String>,
    /// QoS 1 messages that may be in flight to the server (65,535 if not said).
    pub receive_max: u16,
    /// Topic aliases that the server takes.
    pub topic_alias_max: u16,
    /// Highest QoS that the server takes.
    pub qos_max: Qos,
    /// Largest packet that the server takes, in bytes.
    pub packet_bytes_max: Option<u32>,
    /// Keep alive to use in place of ours, in seconds.
    pub server_keep_alive_secs: Option<u16>,
    /// Session expiry in place of ours, in seconds.
    pub session_expiry_secs: Option<u32>,
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// Payload, a slice of the input.
    pub payload: Bytes,
    /// Packet id for QoS 1.
    pub packet_id: Option<u16>,
    /// Sent before.
    pub dup: bool,
    /// A retained message.
    pub retain: bool,
    /// Content type, where said.
    pub content_type: Option<ContentType>,
}

/// Why the client cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server sent something that cannot be read.
    #[error("decode packet from server: {0}")]
    Malformed(String),
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct Client {
    version: Version,
    out: BytesMut,
    partial: BytesMut,
    events: VecDeque<ClientEvent>,
    last_packet_id: u16,
    in_flight: usize,
    broken: bool,
}

impl Client {
    /// A client before its CONNECT.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            out: BytesMut::new(),
            partial: BytesMut::new(),
            events: VecDeque::new(),
            last_packet_id: 0,
            in_flight: 0,
            broken: false,
        }
    }

    /// Sends CONNECT (section 3.1).
    pub fn connect(&mut self, options: &ConnectOptions) {
        let v5 = self.version == Version::V5;
        let mut body = BytesMut::with_capacity(128);
        put_text(&mut body, "MQTT");
        body.put_u8(if v5 { 5 } else { 4 });
        let will = options.will.as_ref();
        let will_flags = will.map_or(0, |will| 0b100 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
        body.put_u8(
            u8::from(options.clean_start) << 1
                | will_flags
                | u8::from(options.password.is_some()) << 6
                | u8::from(options.username.is_some()) << 7,
        );
        body.put_u16(options.keep_alive_secs);
        if v5 {
            let mut properties = BytesMut::new();
            if options.session_expiry_secs > 0 {
                properties.put_u8(0x11);
                properties.put_u32(options.session_expiry_secs);
            }
            if let Some(max) = options.receive_max {
                properties.put_u8(0x21);
                properties.put_u16(max);
            }
            if let Some(max) = options.packet_bytes_max {
                properties.put_u8(0x27);
                properties.put_u32(max);
            }
            publish::put_varint(&mut body, properties.len());
            body.put_slice(&properties);
        }
        put_text(&mut body, &options.client_id);
        if let Some(will) = will {
            if v5 {
                let mut properties = BytesMut::new();
                if will.delay_secs > 0 {
                    properties.put_u8(0x18);
                    properties.put_u32(will.delay_secs);
                }
                if let Some(text) = will.content_type.and_then(ContentType::as_str) {
                    properties.put_u8(0x03);
                    put_text(&mut properties, text);
                }
                publish::put_varint(&mut body, properties.len());
                body.put_slice(&properties);
            }
            put_text(&mut body, &will.topic);
            put_bytes(&mut body, &will.payload);
        }
        if let Some(name) = &options.username {
            put_text(&mut body, name);
        }
        if let Some(password) = &options.password {
            put_bytes(&mut body, password);
        }
        self.put_packet(packet_type::CONNECT << 4, &body);
    }

    /// Sends PUBLISH; the packet id for QoS 1 and 2, `None` for QoS 0.
    ///
    /// Ids run from 1 to 65,535 and start over: not more than that may be in
    /// flight.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        retain: bool,
        content_type: Option<ContentType>,
    ) -> Option<u16> {
        let packet_id = match qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => {
                self.in_flight += 1;
                Some(self.next_packet_id())
            }
        };
        self.put_publish(PublishParts {
            topic: [topic, "", ""],
            payload,
            qos,
            packet_id: packet_id.unwrap_or(0),
            dup: false,
            retain,
            content_type,
        });
        packet_id
    }

    /// Sends a QoS 1 PUBLISH again with DUP and its old packet id, after a
    /// reconnect.
    pub fn publish_again(
        &mut self,
        packet_id: u16,
        topic: &str,
        payload: &[u8],
        retain: bool,
        content_type: Option<ContentType>,
    ) {
        self.in_flight += 1;
        self.last_packet_id = self.last_packet_id.max(packet_id);
        self.put_publish(PublishParts {
            topic: [topic, "", ""],
            payload,
            qos: Qos::AtLeastOnce,
            packet_id,
            dup: true,
            retain,
            content_type,
        });
    }

    fn put_publish(&mut self, parts: PublishParts<'_>) {
        // Nothing is sent when no packet is large enough: 256 MB.
        if parts.packet_len(self.version).is_some() {
            parts.encode(self.version, &mut self.out);
        }
    }

    /// Sends PUBACK for a message from the server.
    pub fn puback(&mut self, packet_id: u16) {
        publish::encode_puback(packet_id, ReasonCode::SUCCESS, self.version, &mut self.out);
    }

    /// Sends SUBSCRIBE; its packet id.
    pub fn subscribe(&mut self, filters: &[(&str, Qos)]) -> u16 {
        let id = self.next_packet_id();
        let mut body = self.filters_head(id);
        for (filter, qos) in filters {
            put_text(&mut body, filter);
            body.put_u8(*qos as u8);
        }
        self.put_packet(packet_type::SUBSCRIBE << 4 | 0b0010, &body);
        id
    }

    /// Sends UNSUBSCRIBE; its packet id.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> u16 {
        let id = self.next_packet_id();
        let mut body = self.filters_head(id);
        for filter in filters {
            put_text(&mut body, filter);
        }
        self.put_packet(packet_type::UNSUBSCRIBE << 4 | 0b0010, &body);
        id
    }

    fn filters_head(&self, id: u16) -> BytesMut {
        let mut body = BytesMut::with_capacity(64);
        body.put_u16(id);
        if self.version == Version::V5 {
            body.put_u8(0);
        }
        body
    }

    /// Sends PINGREQ.
    pub fn ping(&mut self) {
        self.out.put_slice(&[packet_type::PINGREQ << 4, 0]);
    }

    /// Sends DISCONNECT; the reason is said in version 5.
    pub fn disconnect(&mut self, reason: ReasonCode) {
        control::encode_disconnect(reason, self.version, &mut self.out);
    }

    /// Sends any bytes, for faults.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// Takes bytes from the server, in any fragmentation. After an error the
    /// client takes nothing more.
    pub fn handle_input(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        if self.broken {
            return Err(ClientError::Malformed("an earlier packet was bad".into()));
        }
        let bytes = if self.partial.is_empty() {
            bytes
        } else {
            self.partial.extend_from_slice(&bytes);
            std::mem::take(&mut self.partial).freeze()
        };
        self.parse(&bytes).map_err(|bad| {
            self.broken = true;
            ClientError::Malformed(bad.detail.into_owned())
        })
    }

    fn parse(&mut self, bytes: &Bytes) -> Result<(), BadPacket> {
        let mut at = 0;
        while at < bytes.len() {
            let buf = &bytes[at..];
            let Frame::Sized { header, total, .. } = codec::frame(buf)? else {
                break;
            };
            if total > PACKET_BYTES_MAX {
                return Err(BadPacket::malformed(format!("packet of {total} bytes")));
            }
            if buf.len() < total {
                break;
            }
            self.on_packet(bytes, at, at + header, at + total)?;
            at += total;
        }
        self.partial = BytesMut::from(&bytes[at..]);
        Ok(())
    }

    fn on_packet(&mut self, bytes: &Bytes, at: usize, body_at: usize, end: usize) -> Result<(), BadPacket> {
        let first = bytes[at];
        let body = &bytes[body_at..end];
        let event = match first >> 4 {
            packet_type::PUBLISH => {
                let view = publish::decode(first, body, self.version)?;
                ClientEvent::Publish(Message {
                    topic: publish::text(view.topic)?.to_owned(),
                    payload: bytes.slice(body_at + view.payload_at..end),
                    packet_id: view.packet_id.map(u16::from),
                    dup: view.dup,
                    retain: view.retain,
                    content_type: view.content_type,
                })
            }
            packet_type::PUBACK => {
                let (id, reason) = publish::decode_puback(body, self.version)?;
                self.in_flight = self.in_flight.saturating_sub(1);
                ClientEvent::PubAck { packet_id: id.get(), reason }
            }
            packet_type::PINGRESP => ClientEvent::PingResp,
            _ => match self.version {
                Version::V311 => event_of_v3(control::decode_v3(first, body)?)?,
                Version::V5 => event_of_v5(control::decode_v5(first, body)?)?,
            },
        };
        self.events.push_back(event);
        Ok(())
    }

    /// What the server said next.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Bytes to write, all of them, leaving none.
    pub fn take_output(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Messages sent at QoS 1 and not acknowledged yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    fn next_packet_id(&mut self) -> u16 {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        self.last_packet_id
    }

    fn put_packet(&mut self, first: u8, body: &[u8]) {
        self.out.put_u8(first);
        publish::put_varint(&mut self.out, body.len());
        self.out.put_slice(body);
    }
}

fn event_of_v3(packet: v3::Packet) -> Result<ClientEvent, BadPacket> {
    Ok(match packet {
        v3::Packet::Connack(packet) => ClientEvent::ConnAck(ConnAck {
            session_present: packet.session_present,
            reason: ReasonCode::from_connect_return_code(packet.code as u8),
            assigned_client_id: None,
            receive_max: u16::MAX,
            topic_alias_max: 0,
            qos_max: Qos::ExactlyOnce,
            packet_bytes_max: None,
            server_keep_alive_secs: None,
            session_expiry_secs: None,
        }),
        v3::Packet::Suback(packet) => {
            use v3::SubscribeReturnCode as Code;
            let reason = |code: &Code| match code {
                Code::MaxLevel0 => ReasonCode::SUCCESS,
                Code::MaxLevel1 => ReasonCode::GRANTED_QOS_1,
                Code::MaxLevel2 => ReasonCode::GRANTED_QOS_2,
                Code::Failure => ReasonCode::UNSPECIFIED_ERROR,
            };
            ClientEvent::SubAck { packet_id: packet.pid.value(), reasons: packet.topics.iter().map(reason).collect() }
        }
        v3::Packet::Unsuback(id) => ClientEvent::UnsubAck { packet_id: id.value() },
        packet => return Err(unexpected(&packet.get_type())),
    })
}

fn event_of_v5(packet: v5::Packet) -> Result<ClientEvent, BadPacket> {
    Ok(match packet {
        v5::Packet::Connack(packet) => {
            let said = packet.properties;
            ClientEvent::ConnAck(ConnAck {
                session_present: packet.session_present,
                reason: ReasonCode(packet.reason_code as u8),
                assigned_client_id: said.assigned_client_id.map(|id| id.to_string()),
                receive_max: said.receive_max.unwrap_or(u16::MAX),
                topic_alias_max: said.topic_alias_max.unwrap_or(0),
                qos_max: said.max_qos.map_or(Qos::ExactlyOnce, Qos::from),
                packet_bytes_max: said.max_packet_size,
                server_keep_alive_secs: said.server_keep_alive,
                session_expiry_secs: said.session_expiry_interval,
            })
        }
        v5::Packet::Suback(packet) => ClientEvent::SubAck {
            packet_id: packet.pid.value(),
            reasons: packet.topics.iter().map(|c| ReasonCode(*c as u8)).collect(),
        },
        v5::Packet::Unsuback(packet) => ClientEvent::UnsubAck { packet_id: packet.pid.value() },
        v5::Packet::Disconnect(packet) => ClientEvent::Disconnect(ReasonCode(packet.reason_code as u8)),
        packet => return Err(unexpected(&packet.get_type())),
    })
}

fn unexpected(typ: &dyn std::fmt::Debug) -> BadPacket {
    BadPacket::protocol(format!("{typ:?} from a server"))
}

fn put_text(out: &mut BytesMut, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Cut at 65,535 bytes, which is what the length has room for.
fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    let len = bytes.len().min(usize::from(u16::MAX));
    out.put_u16(len as u16);
    out.put_slice(&bytes[..len]);
}
