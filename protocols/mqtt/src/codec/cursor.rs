//! Reads the fields of a packet's body from front to back.

use super::{BadPacket, varint, varint_len};

/// Where reading stands in a body.
pub(super) struct Cursor<'a> {
    pub(super) buf: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(buf: &'a [u8]) -> Self {
        Self { buf, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BadPacket> {
        let end = self.at.saturating_add(len);
        let bytes = self.buf.get(self.at..end).ok_or_else(|| BadPacket::malformed("packet ends inside a field"))?;
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.buf.len()
    }

    pub(super) fn u8(&mut self) -> Result<u8, BadPacket> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, BadPacket> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadPacket> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], BadPacket> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, BadPacket> {
        text(self.bytes()?)
    }

    pub(super) fn varint(&mut self) -> Result<usize, BadPacket> {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let (value, bytes) = varint(rest)?.ok_or_else(|| BadPacket::malformed("packet ends inside a field"))?;
        if bytes != varint_len(value) {
            return Err(BadPacket::malformed("variable byte integer too long"));
        }
        self.at += bytes;
        Ok(value)
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
