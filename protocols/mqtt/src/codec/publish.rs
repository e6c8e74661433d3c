//! PUBLISH (section 3.3) and PUBACK (section 3.4).

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};

use super::cursor::Cursor;
pub(crate) use super::cursor::text;
use super::property::{self, Audience, MessageParts, REASON_STRING, USER_PROPERTY};
use super::{BadPacket, ContentType, Qos, VARINT_MAX, Version, packet_type, varint_len};
use crate::{Reason, ReasonCode};

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
    /// The properties, where there are others than the two above.
    pub(crate) more: Option<&'a [u8]>,
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
    let mut cursor = Cursor::new(body);
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
        more: None,
        payload_at: cursor.at,
    };
    if version == Version::V5 {
        let len = cursor.varint()?;
        let end = cursor.at + len;
        let properties =
            body.get(cursor.at..end).ok_or_else(|| BadPacket::malformed("PUBLISH properties over the packet's end"))?;
        if len > 0 {
            let checked = property::check(properties)?;
            view.topic_alias = checked.topic_alias;
            view.content_type = checked.content_type;
            view.more = checked.has_more.then_some(properties);
        }
        view.payload_at = end;
    }
    Ok(view)
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
    /// Said in version 5.
    pub(crate) properties: MessageParts<'a>,
}

impl PublishParts<'_> {
    fn topic_len(&self) -> usize {
        self.topic.iter().map(|part| part.len()).sum()
    }

    fn remaining_len(&self, version: Version) -> usize {
        let id = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let properties = match version {
            Version::V311 => 0,
            Version::V5 => {
                let len = self.properties.len();
                varint_len(len) + len
            }
        };
        2 + self.topic_len() + id + properties + self.payload.len()
    }

    /// Size of the whole packet in bytes; `None` when no packet is that large.
    pub(crate) fn packet_len(&self, version: Version) -> Option<usize> {
        let len = self.remaining_len(version);
        let fits = len <= VARINT_MAX && self.topic_len() <= usize::from(u16::MAX) && self.properties.fits();
        fits.then(|| 1 + varint_len(len) + len)
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
            put_varint(out, self.properties.len());
            self.properties.encode(out);
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

/// Appends PUBACK with its Reason String, where the client takes it.
pub(crate) fn encode_puback_because(packet_id: u16, reason: &Reason, to: Audience, out: &mut BytesMut) {
    let text = to.reason_string(reason, 5);
    if text.is_empty() {
        return encode_puback(packet_id, reason.code, to.version, out);
    }
    out.put_u8(packet_type::PUBACK << 4);
    put_varint(out, 3 + property::properties_len(text.len()));
    out.put_u16(packet_id);
    out.put_u8(reason.code.0);
    property::put_reason_string(text, out);
}

/// Reads PUBACK: packet id and reason.
pub(crate) fn decode_puback(body: &[u8], version: Version) -> Result<(NonZeroU16, ReasonCode), BadPacket> {
    let mut cursor = Cursor::new(body);
    let id = NonZeroU16::new(cursor.u16()?).ok_or_else(|| BadPacket::protocol("PUBACK with packet id 0"))?;
    if body.len() == 2 {
        return Ok((id, ReasonCode::SUCCESS));
    }
    if version == Version::V311 {
        return Err(BadPacket::malformed("PUBACK longer than its packet id"));
    }
    let reason = ReasonCode(cursor.u8()?);
    if reason.for_puback() != reason {
        return Err(BadPacket::malformed(format!("PUBACK with reason {reason}")));
    }
    let mut has_reason_string = false;
    if body.len() > 3 {
        let len = cursor.varint()?;
        if cursor.at + len != body.len() {
            return Err(BadPacket::malformed("PUBACK properties of a wrong length"));
        }
        while cursor.at < body.len() {
            match cursor.u8()? {
                REASON_STRING if has_reason_string => return Err(BadPacket::protocol("property 0x1f twice")),
                REASON_STRING => {
                    cursor.text()?;
                    has_reason_string = true;
                }
                USER_PROPERTY => {
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
