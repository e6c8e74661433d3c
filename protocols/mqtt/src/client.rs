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

mod connect;
mod event;

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

pub use connect::ConnectOptions;
pub use event::{ClientEvent, ConnAck, Message};

use crate::codec::property::{self, MessageParts};
use crate::codec::publish::{self, PublishParts};
use crate::codec::{self, BadPacket, Frame, control, packet_type};
use crate::session::MessageProperties;
use crate::{ContentType, Qos, ReasonCode, Version};
use event::{event_of_v3, event_of_v5, reason_string_of};

/// Largest packet that is taken from a server, in bytes.
const PACKET_BYTES_MAX: usize = 1 << 20;

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
    reason_string: Option<String>,
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
            reason_string: None,
            broken: false,
        }
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
        let none = MessageProperties::default();
        self.publish_saying(topic, payload, qos, retain, content_type, &none)
    }

    /// As `publish`, and says in version 5 what `properties` has to say. Nothing
    /// is sent when a text of it is over 65,535 bytes.
    pub fn publish_saying(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        retain: bool,
        content_type: Option<ContentType>,
        properties: &MessageProperties,
    ) -> Option<u16> {
        let packet_id = match qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => {
                self.in_flight += 1;
                Some(self.next_packet_id())
            }
        };
        let response_topic = properties.response_topic.as_deref();
        self.put_publish(PublishParts {
            topic: [topic, "", ""],
            payload,
            qos,
            packet_id: packet_id.unwrap_or(0),
            dup: false,
            retain,
            properties: message_parts(content_type, properties, response_topic.as_slice()),
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
            properties: MessageParts { content_type, ..MessageParts::default() },
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
                    properties: view.more.map(|more| Box::new(property::read(more, bytes, usize::MAX))),
                })
            }
            packet_type::PUBACK => {
                let (id, reason) = publish::decode_puback(body, self.version)?;
                if body.len() > 3
                    && let Some(text) = reason_string_of(&control::decode_v5(first, body)?)
                {
                    self.reason_string = Some(text);
                }
                self.in_flight = self.in_flight.saturating_sub(1);
                ClientEvent::PubAck { packet_id: id.get(), reason }
            }
            packet_type::PINGRESP => ClientEvent::PingResp,
            _ => match self.version {
                Version::V311 => event_of_v3(control::decode_v3(first, body)?)?,
                Version::V5 => {
                    let packet = control::decode_v5(first, body)?;
                    if let Some(text) = reason_string_of(&packet) {
                        self.reason_string = Some(text);
                    }
                    event_of_v5(packet)?
                }
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

    /// The last Reason String that the server sent, once.
    pub fn take_reason_string(&mut self) -> Option<String> {
        self.reason_string.take()
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

fn message_parts<'a>(
    content_type: Option<ContentType>,
    said: &'a MessageProperties,
    response_topic: &'a [&'a str],
) -> MessageParts<'a> {
    MessageParts {
        is_utf8: said.is_utf8,
        expiry_secs: said.expiry_secs,
        content_type,
        response_topic,
        correlation_data: said.correlation_data.as_deref(),
        user_properties: &said.user_properties,
    }
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
