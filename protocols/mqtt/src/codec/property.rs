//! Properties of an application message (section 3.3.2.3), and the Reason
//! String that our answers carry.

use std::num::NonZeroU16;

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::publish::put_varint;
use super::{BadPacket, ContentType, varint_len};
use crate::reason::{REASON_STRING_BYTES_MAX, Reason};
use crate::session::{MessageProperties, UserProperty};
use crate::{ReasonCode, Version};

const FORMAT_INDICATOR: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_ID: u8 = 0x0b;
pub(super) const REASON_STRING: u8 = 0x1f;
const TOPIC_ALIAS: u8 = 0x23;
pub(super) const USER_PROPERTY: u8 = 0x26;

/// One property of a PUBLISH from a client.
enum Property<'a> {
    IsUtf8(bool),
    ExpirySecs(u32),
    ContentType(ContentType),
    ResponseTopic(&'a str),
    Correlation(&'a [u8]),
    TopicAlias(NonZeroU16),
    User(&'a str, &'a str),
}

fn next<'a>(cursor: &mut Cursor<'a>) -> Result<(u8, Property<'a>), BadPacket> {
    let id = cursor.u8()?;
    let property = match id {
        CONTENT_TYPE => Property::ContentType(ContentType::parse(cursor.text()?)),
        TOPIC_ALIAS => {
            let alias = NonZeroU16::new(cursor.u16()?);
            let zero = || BadPacket::new(ReasonCode::TOPIC_ALIAS_INVALID, "topic alias 0");
            Property::TopicAlias(alias.ok_or_else(zero)?)
        }
        FORMAT_INDICATOR => match cursor.u8()? {
            flag @ (0 | 1) => Property::IsUtf8(flag == 1),
            _ => return Err(BadPacket::protocol("payload format indicator over 1")),
        },
        MESSAGE_EXPIRY => Property::ExpirySecs(cursor.u32()?),
        RESPONSE_TOPIC => match cursor.text()? {
            "" => return Err(BadPacket::protocol("empty response topic")),
            topic if topic.contains(['+', '#']) => {
                return Err(BadPacket::protocol("response topic with a wildcard"));
            }
            topic => Property::ResponseTopic(topic),
        },
        CORRELATION_DATA => Property::Correlation(cursor.bytes()?),
        USER_PROPERTY => Property::User(cursor.text()?, cursor.text()?),
        SUBSCRIPTION_ID => {
            // Section 3.3.4: only a server sends subscription identifiers.
            cursor.varint()?;
            return Err(BadPacket::protocol("subscription identifier from a client"));
        }
        _ => return Err(BadPacket::malformed(format!("property {id:#04x} in PUBLISH"))),
    };
    Ok((id, property))
}

/// What every PUBLISH is looked at for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) topic_alias: Option<NonZeroU16>,
    pub(super) content_type: Option<ContentType>,
    /// There are others, for [`read`].
    pub(super) has_more: bool,
}

/// Checks the properties of a PUBLISH, without allocating.
pub(super) fn check(properties: &[u8]) -> Result<Checked, BadPacket> {
    let mut checked = Checked::default();
    let mut cursor = Cursor::new(properties);
    let mut seen = 0u64;
    while !cursor.is_at_end() {
        let (id, property) = next(&mut cursor)?;
        // Every property but the user property stands once (section 2.2.2.2).
        if id != USER_PROPERTY && seen & (1 << id) != 0 {
            return Err(BadPacket::protocol(format!("property {id:#04x} twice")));
        }
        seen |= 1 << id;
        match property {
            Property::ContentType(content_type) => checked.content_type = Some(content_type),
            Property::TopicAlias(alias) => checked.topic_alias = Some(alias),
            _ => checked.has_more = true,
        }
    }
    Ok(checked)
}

/// Reads properties that were checked; `whole` is the buffer that they are in.
pub(crate) fn read(properties: &[u8], whole: &Bytes, user_properties_max: usize) -> MessageProperties {
    let mut read = MessageProperties::default();
    let mut cursor = Cursor::new(properties);
    while !cursor.is_at_end() {
        match next(&mut cursor) {
            Ok((_, Property::IsUtf8(is_utf8))) => read.is_utf8 = is_utf8,
            Ok((_, Property::ExpirySecs(secs))) => read.expiry_secs = Some(secs),
            Ok((_, Property::ResponseTopic(topic))) => read.response_topic = Some(topic.to_owned()),
            Ok((_, Property::Correlation(data))) => read.correlation_data = Some(whole.slice_ref(data)),
            Ok((_, Property::User(name, value))) if read.user_properties.len() < user_properties_max => {
                read.user_properties.push(UserProperty { name: name.to_owned(), value: value.to_owned() });
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    read
}

/// Properties of a message to write. The response topic is given in parts that
/// follow each other; none means that there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MessageParts<'a> {
    pub(crate) is_utf8: bool,
    pub(crate) expiry_secs: Option<u32>,
    pub(crate) content_type: Option<ContentType>,
    pub(crate) response_topic: &'a [&'a str],
    pub(crate) correlation_data: Option<&'a [u8]>,
    pub(crate) user_properties: &'a [UserProperty],
}

impl MessageParts<'_> {
    /// Size in bytes, without the length in front.
    pub(super) fn len(&self) -> usize {
        let text = |len: usize| 3 + len;
        let content_type = self.content_type.and_then(ContentType::as_str);
        let user = self.user_properties.iter().map(|user| 5 + user.name.len() + user.value.len());
        2 * usize::from(self.is_utf8)
            + self.expiry_secs.map_or(0, |_| 5)
            + content_type.map_or(0, |name| text(name.len()))
            + if self.response_topic.is_empty() { 0 } else { text(joined_len(self.response_topic)) }
            + self.correlation_data.map_or(0, |data| text(data.len()))
            + user.sum::<usize>()
    }

    /// Whether every field has room for its length.
    pub(super) fn fits(&self) -> bool {
        let max = usize::from(u16::MAX);
        joined_len(self.response_topic) <= max
            && self.correlation_data.is_none_or(|data| data.len() <= max)
            && self.user_properties.iter().all(|user| user.name.len().max(user.value.len()) <= max)
    }

    /// Appends them, without the length in front.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        if self.is_utf8 {
            out.put_slice(&[FORMAT_INDICATOR, 1]);
        }
        if let Some(secs) = self.expiry_secs {
            out.put_u8(MESSAGE_EXPIRY);
            out.put_u32(secs);
        }
        if let Some(name) = self.content_type.and_then(ContentType::as_str) {
            put_field(CONTENT_TYPE, name.as_bytes(), out);
        }
        if !self.response_topic.is_empty() {
            out.put_u8(RESPONSE_TOPIC);
            out.put_u16(joined_len(self.response_topic) as u16);
            self.response_topic.iter().for_each(|part| out.put_slice(part.as_bytes()));
        }
        if let Some(data) = self.correlation_data {
            put_field(CORRELATION_DATA, data, out);
        }
        put_user_properties(self.user_properties, out);
    }
}

fn joined_len(parts: &[&str]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// `bytes` must have room in a two-byte length.
fn put_field(id: u8, bytes: &[u8], out: &mut BytesMut) {
    out.put_u8(id);
    put_bytes(bytes, out);
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

pub(crate) fn put_user_properties(user_properties: &[UserProperty], out: &mut BytesMut) {
    for user in user_properties {
        put_field(USER_PROPERTY, user.name.as_bytes(), out);
        put_bytes(user.value.as_bytes(), out);
    }
}

/// What a client lets us say beside a reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) version: Version,
    /// Request Problem Information: it takes Reason Strings.
    pub(crate) wants_problems: bool,
    /// Its Maximum Packet Size in bytes.
    pub(crate) packet_bytes_max: usize,
}

impl Audience {
    /// One that has not said what it takes.
    pub(crate) fn unknown(version: Version) -> Self {
        Self { version, wants_problems: false, packet_bytes_max: usize::MAX }
    }

    /// The Reason String of a packet that is `packet_len` bytes long without it
    /// and without the length of its properties; empty where none may be said.
    pub(super) fn reason_string<'a>(&self, reason: &'a Reason, packet_len: usize) -> &'a str {
        if !self.wants_problems || reason.text.contains('\0') {
            return "";
        }
        let mut len = reason.text.len().min(REASON_STRING_BYTES_MAX);
        while !reason.text.is_char_boundary(len) {
            len -= 1;
        }
        // Both lengths may take one byte more than they do without.
        if packet_len + 2 + properties_len(len) > self.packet_bytes_max {
            return "";
        }
        &reason.text[..len]
    }
}

/// Size of properties that hold a Reason String of `len` bytes, or none, with
/// their length in front.
pub(super) fn properties_len(len: usize) -> usize {
    let properties = if len == 0 { 0 } else { 3 + len };
    varint_len(properties) + properties
}

/// Appends properties that hold the text, or none, with their length in front.
pub(super) fn put_reason_string(text: &str, out: &mut BytesMut) {
    if text.is_empty() {
        out.put_u8(0);
        return;
    }
    put_varint(out, 3 + text.len());
    put_field(REASON_STRING, text.as_bytes(), out);
}
