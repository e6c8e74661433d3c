//! What the server says, as the client reads it.

use bytes::Bytes;
use mqtt_proto::{v3, v5};

use crate::codec::BadPacket;
use crate::session::MessageProperties;
use crate::{ContentType, Qos, ReasonCode};

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
    /// What the client's topics begin with, for Response Topics.
    pub response_info: Option<String>,
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
    /// What else version 5 says of it, where it says anything.
    pub properties: Option<Box<MessageProperties>>,
}

pub(super) fn event_of_v3(packet: v3::Packet) -> Result<ClientEvent, BadPacket> {
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
            response_info: None,
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

pub(super) fn event_of_v5(packet: v5::Packet) -> Result<ClientEvent, BadPacket> {
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
                response_info: said.response_info.map(|info| info.to_string()),
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

pub(super) fn reason_string_of(packet: &v5::Packet) -> Option<String> {
    let text = match packet {
        v5::Packet::Connack(packet) => &packet.properties.reason_string,
        v5::Packet::Puback(packet) => &packet.properties.reason_string,
        v5::Packet::Suback(packet) => &packet.properties.reason_string,
        v5::Packet::Unsuback(packet) => &packet.properties.reason_string,
        v5::Packet::Disconnect(packet) => &packet.properties.reason_string,
        _ => &None,
    };
    text.as_deref().map(str::to_owned)
}

fn unexpected(typ: &dyn std::fmt::Debug) -> BadPacket {
    BadPacket::protocol(format!("{typ:?} from a server"))
}
