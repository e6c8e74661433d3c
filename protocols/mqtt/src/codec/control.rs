//! The rare packets, through `mqtt-proto`, with the checks that it leaves out.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use mqtt_proto::{Error, PollHeader, v3, v5};

use super::{BadPacket, ContentType, Qos, Version, packet_type, publish, varint_len};
use crate::ReasonCode;
use crate::session::{Connect, Will};

/// A CONNECT and what its properties say about the client.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) connect: Connect,
    /// Receive Maximum of the client (65,535 where not said).
    pub(crate) receive_max: u16,
    /// Maximum Packet Size of the client in bytes.
    pub(crate) packet_bytes_max: usize,
}

/// A CONNECT that is refused.
#[derive(Debug)]
pub(crate) struct BadConnect {
    pub(crate) bad: BadPacket,
    /// In which version the client is told; `None` when it is told nothing.
    pub(crate) answer: Option<Version>,
}

/// Reads the body of CONNECT (section 3.1).
pub(crate) fn decode_connect(body: &[u8], minimal: bool) -> Result<Greeting, BadConnect> {
    let (version, level_bad) = match body {
        [0, 4, b'M', b'Q', b'T', b'T', 4, ..] => (Version::V311, false),
        [0, 4, b'M', b'Q', b'T', b'T', 5, ..] => (Version::V5, false),
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] if *level > 5 => (Version::V5, true),
        [0, 4, b'M', b'Q', b'T', b'T', _, ..] => (Version::V311, true),
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => (Version::V311, true),
        _ => {
            return Err(BadConnect { bad: BadPacket::malformed("CONNECT of another protocol"), answer: None });
        }
    };
    let result = if level_bad {
        Err(BadPacket::new(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, "CONNECT of neither 3.1.1 nor 5"))
    } else {
        match version {
            Version::V311 => decode_connect_v311(body),
            Version::V5 => decode_connect_v5(body, minimal),
        }
    };
    result.map_err(|bad| BadConnect {
        // 3.1.1 says no to a version or an id, and nothing to a packet that does
        // not conform (3.1.1, section 3.1.4).
        answer: match bad.code {
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => Some(version),
            _ => Some(version).filter(|version| *version == Version::V5),
        },
        bad,
    })
}

fn decode_connect_v311(body: &[u8]) -> Result<Greeting, BadPacket> {
    // Flags that MQTT 3.1.1 forbids (section 3.1.2 there) and the codec lets pass.
    let flags = body.get(7).copied().unwrap_or_default();
    if flags & 0b1100_0000 == 0b0100_0000 {
        return Err(BadPacket::malformed("password without user name"));
    }
    check_will_flags(flags)?;
    let v3::Packet::Connect(packet) = decode_v3(packet_type::CONNECT << 4, body)? else {
        return Err(BadPacket::malformed("CONNECT expected"));
    };
    if packet.client_id.is_empty() && !packet.clean_session {
        return Err(BadPacket::new(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "no client id and no clean session"));
    }
    let will = packet.last_will.map(|will| Will {
        topic: will.topic_name.to_string(),
        payload: will.message,
        qos: Qos::from(will.qos),
        retain: will.retain,
        delay_secs: 0,
        content_type: None,
    });
    let connect = Connect {
        version: Version::V311,
        client_id: packet.client_id.to_string(),
        username: packet.username.map(|name| name.to_string()),
        password: packet.password,
        clean_start: packet.clean_session,
        session_expiry_secs: if packet.clean_session { 0 } else { u32::MAX },
        keep_alive_secs: packet.keep_alive,
        will,
    };
    check_texts(&connect)?;
    Ok(Greeting { connect, receive_max: u16::MAX, packet_bytes_max: usize::MAX })
}

fn decode_connect_v5(body: &[u8], minimal: bool) -> Result<Greeting, BadPacket> {
    if !minimal {
        return Err(BadPacket::malformed("remaining length too long"));
    }
    check_will_flags(body.get(7).copied().unwrap_or_default())?;
    let v5::Packet::Connect(packet) = decode_v5(packet_type::CONNECT << 4, body)? else {
        return Err(BadPacket::malformed("CONNECT expected"));
    };
    let said = &packet.properties;
    if said.receive_max == Some(0) {
        return Err(BadPacket::protocol("receive maximum 0"));
    }
    if said.max_packet_size == Some(0) {
        return Err(BadPacket::protocol("maximum packet size 0"));
    }
    if said.auth_method.is_some() {
        return Err(BadPacket::new(ReasonCode::BAD_AUTHENTICATION_METHOD, "extended authentication is not served"));
    }
    if said.auth_data.is_some() {
        return Err(BadPacket::protocol("authentication data without a method"));
    }
    let receive_max = said.receive_max.unwrap_or(u16::MAX);
    let packet_bytes_max = said.max_packet_size.map_or(usize::MAX, |max| max as usize);
    let will = packet.last_will.map(|will| Will {
        topic: will.topic_name.to_string(),
        payload: will.payload,
        qos: Qos::from(will.qos),
        retain: will.retain,
        delay_secs: will.properties.delay_interval.unwrap_or(0),
        content_type: will.properties.content_type.as_deref().map(ContentType::parse),
    });
    if will.as_ref().is_some_and(|will| will.qos == Qos::ExactlyOnce) {
        return Err(BadPacket::new(ReasonCode::QOS_NOT_SUPPORTED, "will with QoS 2"));
    }
    let connect = Connect {
        version: Version::V5,
        client_id: packet.client_id.to_string(),
        username: packet.username.map(|name| name.to_string()),
        password: packet.password,
        clean_start: packet.clean_start,
        session_expiry_secs: packet.properties.session_expiry_interval.unwrap_or(0),
        keep_alive_secs: packet.keep_alive,
        will,
    };
    check_texts(&connect)?;
    Ok(Greeting { connect, receive_max, packet_bytes_max })
}

fn check_will_flags(flags: u8) -> Result<(), BadPacket> {
    if flags & 0b100 == 0 && flags & 0b0011_1000 != 0 {
        return Err(BadPacket::malformed("will flags without a will"));
    }
    Ok(())
}

fn check_texts(connect: &Connect) -> Result<(), BadPacket> {
    publish::text(connect.client_id.as_bytes())?;
    if let Some(name) = &connect.username {
        publish::text(name.as_bytes())?;
    }
    match &connect.will {
        Some(will) if will.topic.is_empty() => {
            Err(BadPacket::new(ReasonCode::TOPIC_NAME_INVALID, "will without a topic"))
        }
        _ => Ok(()),
    }
}

/// One filter of SUBSCRIBE.
#[derive(Debug)]
pub(crate) struct FilterRequest {
    pub(crate) filter: String,
    pub(crate) qos: Qos,
    /// 0 send, 1 send when new, 2 do not send (section 3.8.3.1).
    pub(crate) retain_handling: u8,
    pub(crate) retain_as_published: bool,
}

/// Reads the body of SUBSCRIBE (section 3.8): packet id and filters.
pub(crate) fn decode_subscribe(body: &[u8], version: Version) -> Result<(u16, Vec<FilterRequest>), BadPacket> {
    let first = packet_type::SUBSCRIBE << 4 | 0b0010;
    if version == Version::V311 {
        let v3::Packet::Subscribe(packet) = decode_v3(first, body)? else {
            return Err(BadPacket::malformed("SUBSCRIBE expected"));
        };
        let filters = packet.topics.into_iter().map(|(filter, qos)| FilterRequest {
            filter: filter.to_string(),
            qos: qos.into(),
            retain_handling: 0,
            retain_as_published: false,
        });
        return Ok((packet.pid.value(), filters.collect()));
    }
    let v5::Packet::Subscribe(packet) = decode_v5(first, body)? else {
        return Err(BadPacket::malformed("SUBSCRIBE expected"));
    };
    if packet.properties.subscription_id.is_some() {
        return Err(BadPacket::new(
            ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
            "SUBSCRIBE with a subscription identifier",
        ));
    }
    let filters = packet.topics.into_iter().map(|(filter, options)| FilterRequest {
        filter: filter.to_string(),
        qos: options.max_qos.into(),
        retain_handling: options.retain_handling as u8,
        retain_as_published: options.retain_as_published,
    });
    Ok((packet.pid.value(), filters.collect()))
}

/// Reads the body of UNSUBSCRIBE (section 3.10): packet id and filters.
pub(crate) fn decode_unsubscribe(body: &[u8], version: Version) -> Result<(u16, Vec<String>), BadPacket> {
    let first = packet_type::UNSUBSCRIBE << 4 | 0b0010;
    let (id, topics) = match version {
        Version::V311 => match decode_v3(first, body)? {
            v3::Packet::Unsubscribe(packet) => (packet.pid, packet.topics),
            _ => return Err(BadPacket::malformed("UNSUBSCRIBE expected")),
        },
        Version::V5 => match decode_v5(first, body)? {
            v5::Packet::Unsubscribe(packet) => (packet.pid, packet.topics),
            _ => return Err(BadPacket::malformed("UNSUBSCRIBE expected")),
        },
    };
    let filters = topics.into_iter().map(|filter| filter.to_string());
    Ok((id.value(), filters.collect()))
}

/// Reads the body of DISCONNECT (section 3.14): reason and new session expiry.
pub(crate) fn decode_disconnect(body: &[u8], version: Version) -> Result<(ReasonCode, Option<u32>), BadPacket> {
    if body.is_empty() {
        return Ok((ReasonCode::SUCCESS, None));
    }
    if version == Version::V311 {
        return Err(BadPacket::malformed("DISCONNECT with a body"));
    }
    match decode_v5(packet_type::DISCONNECT << 4, body)? {
        v5::Packet::Disconnect(packet) => {
            Ok((ReasonCode(packet.reason_code as u8), packet.properties.session_expiry_interval))
        }
        _ => Err(BadPacket::malformed("DISCONNECT expected")),
    }
}

/// Reads a packet of 3.1.1 whose body must be used up.
pub(crate) fn decode_v3(first: u8, body: &[u8]) -> Result<v3::Packet, BadPacket> {
    let total = 1 + varint_len(body.len()) + body.len();
    let header = v3::Header::new_with(first, body.len() as u32, total as u32).map_err(bad_v3)?;
    let mut used = 0;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut used).map_err(bad_v3)?,
    };
    check_used(used, body)?;
    Ok(packet)
}

/// Reads a packet of 5 whose body must be used up.
pub(crate) fn decode_v5(first: u8, body: &[u8]) -> Result<v5::Packet, BadPacket> {
    let total = 1 + varint_len(body.len()) + body.len();
    let header = v5::Header::new_with(first, body.len() as u32, total as u32).map_err(bad_v5)?;
    let mut used = 0;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut used).map_err(bad_v5)?,
    };
    check_used(used, body)?;
    Ok(packet)
}

fn check_used(used: usize, body: &[u8]) -> Result<(), BadPacket> {
    if used == body.len() {
        return Ok(());
    }
    Err(BadPacket::malformed(format!("{} bytes behind the packet's last field", body.len().saturating_sub(used))))
}

fn bad_v3(error: Error) -> BadPacket {
    let code = match &error {
        Error::ZeroPid | Error::EmptySubscription => ReasonCode::PROTOCOL_ERROR,
        Error::InvalidTopicName(_) => ReasonCode::TOPIC_NAME_INVALID,
        Error::InvalidProtocol(..) | Error::UnexpectedProtocol(_) => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        _ => ReasonCode::MALFORMED_PACKET,
    };
    let detail = match error {
        error if error.is_eof() => "packet ends inside a field".into(),
        // The name of a topic or a filter may be as long as the packet.
        Error::InvalidTopicName(_) => "invalid topic name".into(),
        Error::InvalidTopicFilter(_) => "invalid topic filter".into(),
        error => error.to_string().into(),
    };
    BadPacket { code, detail }
}

fn bad_v5(error: v5::ErrorV5) -> BadPacket {
    use v5::ErrorV5;
    match error {
        ErrorV5::Common(error) => bad_v3(error),
        ErrorV5::DuplicatedProperty(_) | ErrorV5::InvalidByteProperty(..) => BadPacket::protocol(error.to_string()),
        // Section 3.8.3.1: QoS 3 and Retain Handling 3 are protocol errors, the
        // reserved bits make the packet malformed.
        ErrorV5::InvalidSubscriptionOption(options) if options & 0b1100_0000 == 0 => {
            BadPacket::protocol(error.to_string())
        }
        ErrorV5::InvalidPayloadFormat => BadPacket::new(ReasonCode::PAYLOAD_FORMAT_INVALID, error.to_string()),
        error => BadPacket::malformed(error.to_string()),
    }
}

/// What a CONNACK of version 5 says beside success (section 3.2.2.3).
#[derive(Debug, Default)]
pub(crate) struct ConnackSaid<'a> {
    pub(crate) session_expiry_secs: Option<u32>,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) assigned_client_id: Option<&'a str>,
    pub(crate) topic_alias_max: u16,
    pub(crate) server_keep_alive_secs: Option<u16>,
}

/// Appends CONNACK with success.
pub(crate) fn encode_connack(session_present: bool, said: &ConnackSaid<'_>, version: Version, out: &mut BytesMut) {
    if version == Version::V311 {
        out.put_slice(&[packet_type::CONNACK << 4, 2, u8::from(session_present), 0]);
        return;
    }
    let mut packet = v5::Connack::new(session_present, v5::ConnectReasonCode::Success);
    packet.properties = v5::ConnackProperties {
        session_expiry_interval: said.session_expiry_secs,
        receive_max: Some(said.receive_max),
        max_qos: Some(mqtt_proto::QoS::Level1),
        max_packet_size: Some(said.packet_bytes_max),
        assigned_client_id: said.assigned_client_id.map(Arc::from),
        topic_alias_max: Some(said.topic_alias_max),
        subscription_id_available: Some(false),
        shared_subscription_available: Some(false),
        server_keep_alive: said.server_keep_alive_secs,
        ..Default::default()
    };
    put_v5(packet.into(), out);
}

/// Appends CONNACK with a refusal.
pub(crate) fn encode_refusal(reason: ReasonCode, version: Version, out: &mut BytesMut) {
    match version {
        Version::V311 => {
            out.put_slice(&[packet_type::CONNACK << 4, 2, 0, reason.connect_return_code()]);
        }
        Version::V5 => out.put_slice(&[packet_type::CONNACK << 4, 3, 0, reason.0, 0]),
    }
}

/// Appends SUBACK.
pub(crate) fn encode_suback(id: u16, reasons: &[ReasonCode], version: Version, out: &mut BytesMut) {
    put_codes(packet_type::SUBACK, id, reasons, version, out);
}

/// Appends UNSUBACK; 3.1.1 has no room for the reasons.
pub(crate) fn encode_unsuback(id: u16, reasons: &[ReasonCode], version: Version, out: &mut BytesMut) {
    let reasons = match version {
        Version::V311 => &[],
        Version::V5 => reasons,
    };
    put_codes(packet_type::UNSUBACK, id, reasons, version, out);
}

fn put_codes(typ: u8, id: u16, reasons: &[ReasonCode], version: Version, out: &mut BytesMut) {
    let properties = usize::from(version == Version::V5);
    out.put_u8(typ << 4);
    publish::put_varint(out, 2 + properties + reasons.len());
    out.put_u16(id);
    if version == Version::V5 {
        out.put_u8(0);
    }
    for reason in reasons {
        out.put_u8(match version {
            Version::V311 if reason.is_failure() => ReasonCode::UNSPECIFIED_ERROR.0,
            _ => reason.0,
        });
    }
}

/// Appends DISCONNECT of version 5, or the two bytes of 3.1.1.
pub(crate) fn encode_disconnect(reason: ReasonCode, version: Version, out: &mut BytesMut) {
    if version == Version::V311 || reason == ReasonCode::SUCCESS {
        out.put_slice(&[packet_type::DISCONNECT << 4, 0]);
    } else {
        out.put_slice(&[packet_type::DISCONNECT << 4, 1, reason.0]);
    }
}

/// Appends a packet of 5 that `mqtt-proto` writes.
fn put_v5(packet: v5::Packet, out: &mut BytesMut) {
    // Encoding fails for packets over 256 MB only, which nobody here builds.
    if let Ok(bytes) = packet.encode() {
        out.put_slice(bytes.as_ref());
    }
}

impl From<mqtt_proto::QoS> for Qos {
    fn from(qos: mqtt_proto::QoS) -> Self {
        match qos {
            mqtt_proto::QoS::Level0 => Self::AtMostOnce,
            mqtt_proto::QoS::Level1 => Self::AtLeastOnce,
            mqtt_proto::QoS::Level2 => Self::ExactlyOnce,
        }
    }
}
