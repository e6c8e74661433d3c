//! Bytes of single packets.
//!
//! Framing, PUBLISH, PUBACK and the two-byte packets are read and written here
//! without allocating, because they are every message's way; CONNECT, SUBSCRIBE
//! and the other rare packets go through `mqtt-proto`.

pub(crate) mod connect;
pub(crate) mod control;
mod cursor;
pub(crate) mod property;
pub(crate) mod publish;

use std::borrow::Cow;

use crate::ReasonCode;

/// Protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5, protocol level 5.
    V5,
}

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qos {
    /// QoS 0.
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2; never granted, and only ever seen in what a client asks for.
    ExactlyOnce = 2,
}

/// How a payload is written, from MQTT 5's Content Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// `application/json`, parameters ignored.
    Json,
    /// `application/cbor`.
    Cbor,
    /// Any other; such a payload cannot be read.
    Unknown,
}

impl ContentType {
    /// Reads a Content Type, parameters and letter case ignored.
    pub fn parse(text: &str) -> Self {
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("application/cbor") {
            Self::Cbor
        } else {
            Self::Unknown
        }
    }

    /// The name on the wire; `None` for [`ContentType::Unknown`].
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Json => Some("application/json"),
            Self::Cbor => Some("application/cbor"),
            Self::Unknown => None,
        }
    }
}

/// Packet types (section 2.1.2), the upper half of the first byte.
pub(crate) mod packet_type {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
    pub(crate) const AUTH: u8 = 15;
}

/// Largest value of a variable byte integer (section 1.5.5).
pub(crate) const VARINT_MAX: usize = 268_435_455;

/// A packet that must end the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPacket {
    pub(crate) code: ReasonCode,
    pub(crate) detail: Cow<'static, str>,
}

impl BadPacket {
    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReasonCode::MALFORMED_PACKET, detail)
    }

    pub(crate) fn protocol(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReasonCode::PROTOCOL_ERROR, detail)
    }

    pub(crate) fn new(code: ReasonCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// How much of a packet a buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Not even the fixed header is whole.
    Header,
    /// The fixed header is whole: where the body starts, where the packet ends.
    Sized {
        /// Bytes of the fixed header.
        header: usize,
        /// Bytes of the whole packet; may be more than the buffer has.
        total: usize,
        /// The remaining length is written in as few bytes as it can be.
        minimal: bool,
    },
}

/// Reads the fixed header (section 2.1).
pub(crate) fn frame(buf: &[u8]) -> Result<Frame, BadPacket> {
    let Some(rest) = buf.get(1..) else {
        return Ok(Frame::Header);
    };
    Ok(match varint(rest)? {
        None => Frame::Header,
        Some((len, bytes)) => {
            Frame::Sized { header: 1 + bytes, total: 1 + bytes + len, minimal: bytes == varint_len(len) }
        }
    })
}

/// Reads a variable byte integer: its value and its size.
pub(crate) fn varint(buf: &[u8]) -> Result<Option<(usize, usize)>, BadPacket> {
    let mut value = 0;
    for (i, byte) in buf.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if buf.len() >= 4 {
        return Err(BadPacket::malformed("variable byte integer of over four bytes"));
    }
    Ok(None)
}

/// Bytes that a variable byte integer takes at least.
pub(crate) fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_header_is_read_when_it_is_whole() {
        let sized = |header, total, minimal| Ok(Frame::Sized { header, total, minimal });
        let check = |buf: &[u8], expected| assert_eq!(frame(buf), expected, "{buf:02x?}");
        check(&[], Ok(Frame::Header));
        check(&[0xc0], Ok(Frame::Header));
        check(&[0xc0, 0x00], sized(2, 2, true));
        check(&[0x30, 0x7f], sized(2, 129, true));
        check(&[0x30, 0x80], Ok(Frame::Header));
        check(&[0x30, 0x80, 0x01], sized(3, 131, true));
        check(&[0x30, 0x80, 0x00], sized(3, 3, false));
        check(&[0x30, 0xff, 0xff, 0xff, 0x7f], sized(5, 5 + VARINT_MAX, true));
        check(&[0x30, 0xff, 0xff, 0xff], Ok(Frame::Header));
        check(&[0x30, 0xff, 0xff, 0xff, 0x80], Err(BadPacket::malformed("variable byte integer of over four bytes")));
    }

    #[test]
    fn a_content_type_is_read_without_its_parameters() {
        let check = |text, expected| assert_eq!(ContentType::parse(text), expected, "{text}");
        check("application/json", ContentType::Json);
        check("Application/JSON; charset=utf-8", ContentType::Json);
        check("application/cbor", ContentType::Cbor);
        check("text/plain", ContentType::Unknown);
        check("", ContentType::Unknown);
    }
}
