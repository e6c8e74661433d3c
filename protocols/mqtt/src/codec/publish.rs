//! PUBLISH (section 3.3) and PUBACK (section 3.4).

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};

use super::{BadPacket, ContentType, Qos, VARINT_MAX, Version, packet_type, varint, varint_len};
use crate::ReasonCode;

const CONTENT_TYPE: u8 = 0x03;
const TOPIC_ALIAS: u8 = 0x23;

/// A PUBLISH, borrowed from its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublishView<'a> {
    /// Not checked to be UTF-8: who compares it with a known topic need not.
    pub(crate) topic: &'a [u8],
    pub(crate) packet_id: Option<NonZeroU16>,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    /// 1 to 65,535.
    pub(crate) topic_alias: Option<NonZeroU16>,
    pub(crate) content_type: Option<ContentType>,
    /// Where the payload starts in the body.
    pub(crate) payload_at: usize,
}

/// Reads a PUBLISH from its first byte and its body.
pub(crate) fn decode(first: u8, body: &[u8], version: Version) -> Result<PublishView<'_>, BadPacket> {
    let dup = first & 0b1000 != 0;
    let qos = (first >> 1) & 0b11;
    match qos {
        0 if dup => return Err(BadPacket::malformed("PUBLISH with DUP and QoS 0")),
        0 | 1 => {}
        2 => {
            return Err(BadPacket::new(ReasonCode::QOS_NOT_SUPPORTED, "PUBLISH with QoS 2"));
        }
        _ => return Err(BadPacket::malformed("PUBLISH with QoS 3")),
    }
    let mut cursor = Cursor { buf: body, at: 0 };
    let topic = cursor.bytes()?;
    let packet_id = if qos == 0 {
        None
    } else {
        let id = NonZeroU16::new(cursor.u16()?);
        Some(id.ok_or_else(|| BadPacket::protocol("PUBLISH with packet id 0"))?)
    };
    let mut view = PublishView {
        topic,
        packet_id,
        dup,
        retain: first & 1 != 0,
        topic_alias: None,
        content_type: None,
        payload_at: cursor.at,
    };
    if version == Version::V5 {
        let len = cursor.varint()?;
        let end = cursor.at + len;
        let properties =
            body.get(..end).ok_or_else(|| BadPacket::malformed("PUBLISH properties over the packet's end"))?;
        if len > 0 {
            decode_properties(properties, cursor.at, &mut view)?;
        }
        view.payload_at = end;
    }
    Ok(view)
}

fn decode_properties(buf: &[u8], at: usize, view: &mut PublishView<'_>) -> Result<(), BadPacket> {
    let mut cursor = Cursor { buf, at };
    let mut seen = 0u64;
    while cursor.at < buf.len() {
        let id = cursor.u8()?;
        match id {
            0x01 => {
                if cursor.u8()? > 1 {
                    return Err(BadPacket::protocol("payload format indicator over 1"));
                }
            }
            0x02 => {
                cursor.u32()?;
            }
            CONTENT_TYPE => view.content_type = Some(ContentType::parse(cursor.text()?)),
            0x08 => {
                if cursor.text()?.contains(['+', '#']) {
                    return Err(BadPacket::protocol("response topic with a wildcard"));
                }
            }
            0x09 => {
                cursor.bytes()?;
            }
            0x0b => {
                // Section 3.3.4: only a server sends subscription identifiers.
                cursor.varint()?;
                return Err(BadPacket::protocol("subscription identifier from a client"));
            }
            TOPIC_ALIAS => {
                let alias = NonZeroU16::new(cursor.u16()?);
                view.topic_alias =
                    Some(alias.ok_or_else(|| BadPacket::new(ReasonCode::TOPIC_ALIAS_INVALID, "topic alias 0"))?);
            }
            0x26 => {
                cursor.text()?;
                cursor.text()?;
                continue;
            }
            _ => {
                return Err(BadPacket::malformed(format!("property {id:#04x} in PUBLISH")));
            }
        }
        // Every property but the user property stands once (section 2.2.2.2).
        if seen & (1 << id) != 0 {
            return Err(BadPacket::protocol(format!("property {id:#04x} twice")));
        }
        seen |= 1 << id;
    }
    Ok(())
}

/// A PUBLISH to write. The topic is given in parts that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishParts<'a> {
    pub(crate) topic: [&'a str; 3],
    pub(crate) payload: &'a [u8],
    pub(crate) qos: Qos,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) content_type: Option<ContentType>,
}

impl PublishParts<'_> {
    fn topic_len(&self) -> usize {
        self.topic.iter().map(|part| part.len()).sum()
    }

    fn properties_len(&self) -> usize {
        match self.content_type.and_then(ContentType::as_str) {
            Some(text) => 3 + text.len(),
            None => 0,
        }
    }

    fn remaining_len(&self, version: Version) -> usize {
        let id = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let properties = match version {
            Version::V311 => 0,
            Version::V5 => 1 + self.properties_len(),
        };
        2 + self.topic_len() + id + properties + self.payload.len()
    }

    /// Size of the whole packet in bytes; `None` when no packet is that large.
    pub(crate) fn packet_len(&self, version: Version) -> Option<usize> {
        let len = self.remaining_len(version);
        (len <= VARINT_MAX && self.topic_len() <= usize::from(u16::MAX)).then(|| 1 + varint_len(len) + len)
    }

    /// Appends the packet. `packet_len` must have been `Some`.
    pub(crate) fn encode(&self, version: Version, out: &mut BytesMut) {
        let len = self.remaining_len(version);
        out.reserve(5 + len);
        out.put_u8(packet_type::PUBLISH << 4 | u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain));
        put_varint(out, len);
        out.put_u16(self.topic_len() as u16);
        for part in self.topic {
            out.put_slice(part.as_bytes());
        }
        if self.qos != Qos::AtMostOnce {
            out.put_u16(self.packet_id);
        }
        if version == Version::V5 {
            // At most 3 + 16 bytes: one byte holds the length.
            out.put_u8(self.properties_len() as u8);
            if let Some(text) = self.content_type.and_then(ContentType::as_str) {
                out.put_u8(CONTENT_TYPE);
                out.put_u16(text.len() as u16);
                out.put_slice(text.as_bytes());
            }
        }
        out.put_slice(self.payload);
    }
}

/// Appends PUBACK; 3.1.1 has no room for the reason.
pub(crate) fn encode_puback(packet_id: u16, reason: ReasonCode, version: Version, out: &mut BytesMut) {
    let [high, low] = packet_id.to_be_bytes();
    if version == Version::V311 || reason == ReasonCode::SUCCESS {
        out.put_slice(&[packet_type::PUBACK << 4, 2, high, low]);
    } else {
        out.put_slice(&[packet_type::PUBACK << 4, 3, high, low, reason.0]);
    }
}

/// Reads PUBACK: packet id and reason.
pub(crate) fn decode_puback(body: &[u8], version: Version) -> Result<(NonZeroU16, ReasonCode), BadPacket> {
    let mut cursor = Cursor { buf: body, at: 0 };
    let id = NonZeroU16::new(cursor.u16()?).ok_or_else(|| BadPacket::protocol("PUBACK with packet id 0"))?;
    if body.len() == 2 {
        return Ok((id, ReasonCode::SUCCESS));
    }
    if version == Version::V311 {
        return Err(BadPacket::malformed("PUBACK longer than its packet id"));
    }
    let reason = ReasonCode(cursor.u8()?);
    if body.len() > 3 {
        let len = cursor.varint()?;
        if cursor.at + len != body.len() {
            return Err(BadPacket::malformed("PUBACK properties of a wrong length"));
        }
        while cursor.at < body.len() {
            match cursor.u8()? {
                0x1f => {
                    cursor.text()?;
                }
                0x26 => {
                    cursor.text()?;
                    cursor.text()?;
                }
                id => {
                    return Err(BadPacket::malformed(format!("property {id:#04x} in PUBACK")));
                }
            }
        }
    }
    Ok((id, reason))
}

pub(crate) fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}

/// Checks a UTF-8 string of the protocol (section 1.5.4): no U+0000 in it.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, BadPacket> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => Err(BadPacket::malformed("string with U+0000")),
        Err(_) => Err(BadPacket::malformed("string that is not UTF-8")),
    }
}

struct Cursor<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadPacket> {
        let end = self.at.saturating_add(len);
        let bytes = self.buf.get(self.at..end).ok_or_else(|| BadPacket::malformed("packet ends inside a field"))?;
        self.at = end;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, BadPacket> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, BadPacket> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<(), BadPacket> {
        self.take(4).map(|_| ())
    }

    fn bytes(&mut self) -> Result<&'a [u8], BadPacket> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    fn text(&mut self) -> Result<&'a str, BadPacket> {
        text(self.bytes()?)
    }

    fn varint(&mut self) -> Result<usize, BadPacket> {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let (value, bytes) = varint(rest)?.ok_or_else(|| BadPacket::malformed("packet ends inside a field"))?;
        if bytes != varint_len(value) {
            return Err(BadPacket::malformed("variable byte integer too long"));
        }
        self.at += bytes;
        Ok(value)
    }
}
