//! The message header and the cutting of a stream (RFC 6733 section 3).

use nom::{IResult, Parser};

use super::avp::word;
use super::error::FrameError;

/// Octets in the Diameter header (RFC 6733 section 3).
pub const HEADER_LENGTH: usize = 20;

const VERSION: u8 = 1;

/// The command flags R, P, E, T (RFC 6733 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CommandFlags(pub u8);

impl CommandFlags {
    /// R: the message is a request.
    pub const REQUEST: Self = Self(0x80);
    /// P: the message may be proxied, relayed or redirected.
    pub const PROXIABLE: Self = Self(0x40);
    /// E: the answer reports a protocol error.
    pub const ERROR: Self = Self(0x20);
    /// T: the request may have been sent before, after a failover.
    pub const RETRANSMITTED: Self = Self(0x10);

    /// Both sets of flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True where every flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A message header without version and length, which the frame holds
/// (RFC 6733 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// R, P, E, T and the reserved bits as they came.
    pub flags: CommandFlags,
    /// Command code, 24 bits.
    pub command_code: u32,
    /// Application id.
    pub application_id: u32,
    /// Matches an answer to a request on one connection.
    pub hop_by_hop: u32,
    /// With Origin-Host, names a request from end to end.
    pub end_to_end: u32,
}

impl Header {
    /// A request header; both ids are 0 until the peer machine sets the
    /// hop-by-hop id and the caller the end-to-end id.
    pub const fn request(command_code: u32, application_id: u32, proxiable: bool) -> Self {
        let flags = if proxiable { CommandFlags::REQUEST.with(CommandFlags::PROXIABLE) } else { CommandFlags::REQUEST };
        Self { flags, command_code, application_id, hop_by_hop: 0, end_to_end: 0 }
    }

    /// The header of the answer: same ids, command, application and P bit;
    /// R, E and T clear (RFC 6733 section 6.2).
    #[must_use]
    pub const fn answer(&self) -> Self {
        let flags = CommandFlags(self.flags.0 & CommandFlags::PROXIABLE.0);
        Self { flags, ..*self }
    }

    /// True where the R bit is set.
    pub const fn is_request(&self) -> bool {
        self.flags.has(CommandFlags::REQUEST)
    }

    /// True where the E bit is set.
    pub const fn is_error(&self) -> bool {
        self.flags.has(CommandFlags::ERROR)
    }

    /// True where the T bit is set.
    pub const fn is_retransmitted(&self) -> bool {
        self.flags.has(CommandFlags::RETRANSMITTED)
    }

    /// The twenty octets, with `length` octets for the whole message.
    pub(super) fn to_octets(self, length: u32) -> [u8; HEADER_LENGTH] {
        let mut octets = [0; HEADER_LENGTH];
        let words = [
            u32::from(VERSION) << 24 | (length & 0x00ff_ffff),
            u32::from(self.flags.0) << 24 | (self.command_code & 0x00ff_ffff),
            self.application_id,
            self.hop_by_hop,
            self.end_to_end,
        ];
        for (slot, word) in octets.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
        octets
    }
}

pub(super) struct RawHeader {
    pub(super) version: u8,
    pub(super) length: usize,
    pub(super) header: Header,
}

pub(super) fn raw_header(input: &[u8]) -> IResult<&[u8], RawHeader> {
    let (rest, (start, command, application_id, hop_by_hop, end_to_end)) =
        (word, word, word, word, word).parse(input)?;
    let header = Header {
        flags: CommandFlags((command >> 24) as u8),
        command_code: command & 0x00ff_ffff,
        application_id,
        hop_by_hop,
        end_to_end,
    };
    let (version, length) = ((start >> 24) as u8, (start & 0x00ff_ffff) as usize);
    Ok((rest, RawHeader { version, length, header }))
}

/// The length in octets of the message at the start of `buf`.
///
/// `Ok(None)` means that more octets are needed: fewer than a header, or
/// fewer than the header's length says. `max` caps the length, in octets.
/// A wrong version is 5011, a length under 20, over `max` or not a multiple
/// of 4 is 5015 (RFC 6733 section 7.1.5); after either the stream cannot be
/// cut any further.
pub fn frame_length(buf: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Ok((_, raw)) = raw_header(buf) else {
        return Ok(None);
    };
    check(&raw, max)?;
    Ok((buf.len() >= raw.length).then_some(raw.length))
}

pub(super) fn check(raw: &RawHeader, max: usize) -> Result<(), FrameError> {
    if raw.version != VERSION {
        return Err(FrameError::Version { version: raw.version, header: raw.header });
    }
    if raw.length < HEADER_LENGTH || !raw.length.is_multiple_of(4) || raw.length > max {
        return Err(FrameError::Length { length: raw.length, max, header: raw.header });
    }
    Ok(())
}
