//! The rare packets of an open connection, through `mqtt-proto`, with the checks
//! that it leaves out.

use bytes::{BufMut, BytesMut};
use mqtt_proto::{Error, PollHeader, v3, v5};

use super::property::{self, Audience};
use super::{BadPacket, Qos, Version, packet_type, publish, varint_len};
use crate::{Reason, ReasonCode};

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

/// Appends SUBACK, or UNSUBACK: one code for each filter, and the words for the
/// first that failed. `false` and nothing when the client's Maximum Packet Size
/// has no room even for the codes.
pub(crate) fn encode_codes(typ: u8, id: u16, answers: &[Reason], to: Audience, out: &mut BytesMut) -> bool {
    // UNSUBACK of 3.1.1 has no room for the codes.
    let codes = if typ == packet_type::UNSUBACK && to.version == Version::V311 { &[] } else { answers };
    let said = 2 + codes.len();
    let bare = 1 + varint_len(said + 1) + said;
    if to.version == Version::V311 {
        out.put_u8(typ << 4);
        publish::put_varint(out, said);
        out.put_u16(id);
        let code = |reason: &Reason| if reason.code.is_failure() { ReasonCode::UNSPECIFIED_ERROR } else { reason.code };
        codes.iter().for_each(|reason| out.put_u8(code(reason).0));
        return true;
    }
    if bare + 1 > to.packet_bytes_max {
        return false;
    }
    let failed = codes.iter().find(|reason| !reason.text.is_empty());
    let text = failed.map_or("", |reason| to.reason_string(reason, bare));
    out.put_u8(typ << 4);
    publish::put_varint(out, said + property::properties_len(text.len()));
    out.put_u16(id);
    property::put_reason_string(text, out);
    codes.iter().for_each(|reason| out.put_u8(reason.code.0));
    true
}

/// Appends DISCONNECT of version 5; 3.1.1 has none from a server.
pub(crate) fn encode_disconnect_because(reason: &Reason, to: Audience, out: &mut BytesMut) {
    if to.version == Version::V311 {
        return;
    }
    let text = to.reason_string(reason, 3);
    if text.is_empty() {
        return encode_disconnect(reason.code, to.version, out);
    }
    out.put_u8(packet_type::DISCONNECT << 4);
    publish::put_varint(out, 1 + property::properties_len(text.len()));
    out.put_u8(reason.code.0);
    property::put_reason_string(text, out);
}

/// Appends DISCONNECT of version 5, or the two bytes of 3.1.1.
pub(crate) fn encode_disconnect(reason: ReasonCode, version: Version, out: &mut BytesMut) {
    if version == Version::V311 || reason == ReasonCode::SUCCESS {
        out.put_slice(&[packet_type::DISCONNECT << 4, 0]);
    } else {
        out.put_slice(&[packet_type::DISCONNECT << 4, 1, reason.0]);
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
