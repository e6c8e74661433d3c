//! CONNECT and CONNACK, through `mqtt-proto`, with the checks that it leaves out.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use mqtt_proto::{v3, v5};

use super::property::{self, Audience};
use super::{BadPacket, ContentType, Qos, Version, control, packet_type, publish, varint_len};
use crate::session::{Connect, MessageProperties, UserProperty, Will};
use crate::{Reason, ReasonCode};

/// A CONNECT and what its properties say about the client.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) connect: Connect,
    /// Receive Maximum of the client (65,535 where not said).
    pub(crate) receive_max: u16,
    /// Request Response Information: it takes Response Information.
    pub(crate) wants_response_info: bool,
    pub(crate) audience: Audience,
}

/// A CONNECT that is refused.
#[derive(Debug)]
pub(crate) struct BadConnect {
    pub(crate) bad: BadPacket,
    /// Who is told; `None` when nobody is.
    pub(crate) answer: Option<Audience>,
}

/// Reads the body of CONNECT (section 3.1). Of its user properties it keeps the
/// first `user_properties_max`.
pub(crate) fn decode_connect(body: &[u8], minimal: bool, user_properties_max: usize) -> Result<Greeting, BadConnect> {
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
    let mut audience = Audience::unknown(version);
    let result = if level_bad {
        Err(BadPacket::new(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, "CONNECT of neither 3.1.1 nor 5"))
    } else {
        match version {
            Version::V311 => decode_v311(body),
            Version::V5 => decode_v5(body, minimal, user_properties_max, &mut audience),
        }
    };
    result.map_err(|bad| BadConnect {
        // 3.1.1 says no to a version or an id, and nothing to a packet that does
        // not conform (3.1.1, section 3.1.4).
        answer: match bad.code {
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => Some(audience),
            _ => Some(audience).filter(|to| to.version == Version::V5),
        },
        bad,
    })
}

fn decode_v311(body: &[u8]) -> Result<Greeting, BadPacket> {
    // Flags that MQTT 3.1.1 forbids (section 3.1.2 there) and the codec lets pass.
    let flags = body.get(7).copied().unwrap_or_default();
    if flags & 0b1100_0000 == 0b0100_0000 {
        return Err(BadPacket::malformed("password without user name"));
    }
    check_will_flags(flags)?;
    let v3::Packet::Connect(packet) = control::decode_v3(packet_type::CONNECT << 4, body)? else {
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
        properties: None,
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
        user_properties: Vec::new(),
    };
    check_texts(&connect)?;
    let audience = Audience::unknown(Version::V311);
    Ok(Greeting { connect, receive_max: u16::MAX, wants_response_info: false, audience })
}

/// Says in `audience` what the client takes, as soon as that is read.
fn decode_v5(
    body: &[u8],
    minimal: bool,
    user_properties_max: usize,
    audience: &mut Audience,
) -> Result<Greeting, BadPacket> {
    if !minimal {
        return Err(BadPacket::malformed("remaining length too long"));
    }
    check_will_flags(body.get(7).copied().unwrap_or_default())?;
    let v5::Packet::Connect(packet) = control::decode_v5(packet_type::CONNECT << 4, body)? else {
        return Err(BadPacket::malformed("CONNECT expected"));
    };
    let said = packet.properties;
    audience.wants_problems = said.request_problem_info.unwrap_or(true);
    audience.packet_bytes_max = said.max_packet_size.filter(|max| *max > 0).map_or(usize::MAX, |max| max as usize);
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
    let will = packet.last_will.map(|will| will_of(will, user_properties_max)).transpose()?;
    if will.as_ref().is_some_and(|will| will.qos == Qos::ExactlyOnce) {
        return Err(BadPacket::new(ReasonCode::QOS_NOT_SUPPORTED, "will with QoS 2"));
    }
    let connect = Connect {
        version: Version::V5,
        client_id: packet.client_id.to_string(),
        username: packet.username.map(|name| name.to_string()),
        password: packet.password,
        clean_start: packet.clean_start,
        session_expiry_secs: said.session_expiry_interval.unwrap_or(0),
        keep_alive_secs: packet.keep_alive,
        will,
        user_properties: owned(said.user_properties, user_properties_max)?,
    };
    check_texts(&connect)?;
    Ok(Greeting {
        connect,
        receive_max: said.receive_max.unwrap_or(u16::MAX),
        wants_response_info: said.request_response_info.unwrap_or(false),
        audience: *audience,
    })
}

fn will_of(will: v5::LastWill, user_properties_max: usize) -> Result<Will, BadPacket> {
    let said = will.properties;
    let properties = MessageProperties {
        is_utf8: said.payload_is_utf8.unwrap_or(false),
        expiry_secs: said.message_expiry_interval,
        response_topic: said.response_topic.map(|topic| topic.to_string()),
        correlation_data: said.correlation_data,
        user_properties: owned(said.user_properties, user_properties_max)?,
    };
    if properties.response_topic.as_deref() == Some("") {
        return Err(BadPacket::protocol("empty response topic"));
    }
    Ok(Will {
        topic: will.topic_name.to_string(),
        payload: will.payload,
        qos: Qos::from(will.qos),
        retain: will.retain,
        delay_secs: said.delay_interval.unwrap_or(0),
        content_type: said.content_type.as_deref().map(ContentType::parse),
        properties: (properties != MessageProperties::default()).then(|| Box::new(properties)),
    })
}

/// The first `max`; all of them must be good texts.
fn owned(user_properties: Vec<mqtt_proto::v5::UserProperty>, max: usize) -> Result<Vec<UserProperty>, BadPacket> {
    for user in &user_properties {
        publish::text(user.name.as_bytes())?;
        publish::text(user.value.as_bytes())?;
    }
    let owned = |user: v5::UserProperty| UserProperty { name: user.name.to_string(), value: user.value.to_string() };
    Ok(user_properties.into_iter().take(max).map(owned).collect())
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

/// What a CONNACK of version 5 says beside success (section 3.2.2.3).
#[derive(Debug, Default)]
pub(crate) struct ConnackSaid<'a> {
    pub(crate) session_expiry_secs: Option<u32>,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) assigned_client_id: Option<&'a str>,
    pub(crate) topic_alias_max: u16,
    pub(crate) server_keep_alive_secs: Option<u16>,
    pub(crate) response_info: Option<String>,
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
        response_info: said.response_info.as_deref().map(Arc::from),
        ..Default::default()
    };
    // Encoding fails for packets over 256 MB only, which nobody here builds.
    if let Ok(bytes) = v5::Packet::from(packet).encode() {
        out.put_slice(bytes.as_ref());
    }
}

/// Appends CONNACK with a refusal; nothing when even that is more than the
/// client takes.
pub(crate) fn encode_refusal(reason: &Reason, to: Audience, out: &mut BytesMut) {
    if to.version == Version::V311 {
        out.put_slice(&[packet_type::CONNACK << 4, 2, 0, reason.code.connect_return_code()]);
        return;
    }
    let text = to.reason_string(reason, 4);
    let len = 2 + property::properties_len(text.len());
    if 1 + varint_len(len) + len > to.packet_bytes_max {
        return;
    }
    out.put_u8(packet_type::CONNACK << 4);
    publish::put_varint(out, len);
    out.put_slice(&[0, reason.code.0]);
    property::put_reason_string(text, out);
}
