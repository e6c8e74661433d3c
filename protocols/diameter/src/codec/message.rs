//! A whole message over shared bytes.

use bytes::{Buf, Bytes, BytesMut};

use super::avp::{Avp, Avps};
use super::error::{DecodeError, FrameError};
use super::header::{HEADER_LENGTH, Header, check, raw_header};

/// A message: its header, and its AVPs as they came (RFC 6733 section 3).
/// Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The header.
    pub header: Header,
    body: Bytes,
}

impl Message {
    /// Decodes the one message that fills `frame`, as [`super::frame_length`]
    /// cut it. Checks the lengths of all its AVPs, copies nothing and
    /// allocates nothing.
    pub fn decode(mut frame: Bytes) -> Result<Self, DecodeError> {
        let Ok((_, raw)) = raw_header(&frame) else {
            return Err(DecodeError::Short { length: frame.len() });
        };
        check(&raw, frame.len())?;
        if raw.length != frame.len() {
            let error = FrameError::Length { length: raw.length, max: frame.len(), header: raw.header };
            return Err(DecodeError::Frame(error));
        }
        frame.advance(HEADER_LENGTH);
        let message = Self { header: raw.header, body: frame };
        match message.avps().check() {
            Ok(()) => Ok(message),
            Err(error) => Err(DecodeError::Avp { message, error }),
        }
    }

    /// A message of a header alone.
    pub const fn without_avps(header: Header) -> Self {
        Self { header, body: Bytes::new() }
    }

    /// The AVPs in order, up to the broken one of a message that
    /// [`DecodeError::Avp`] holds.
    #[inline]
    pub fn avps(&self) -> Avps<'_> {
        Avps::unchecked(&self.body)
    }

    /// The first AVP with this key (see [`crate::dictionary::key`]).
    pub fn find(&self, key: u64) -> Option<Avp<'_>> {
        self.avps().find(key)
    }

    /// The octets behind the header.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Appends the message as it came, with the present header.
    pub fn write_to(&self, out: &mut BytesMut) {
        let length = (HEADER_LENGTH + self.body.len()) as u32;
        out.reserve(length as usize);
        out.extend_from_slice(&self.header.to_octets(length));
        out.extend_from_slice(&self.body);
    }
}
