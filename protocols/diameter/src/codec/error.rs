//! What can be wrong with a message, each with its result code.

use bytes::{BufMut, BytesMut};

use super::avp::{Avp, Avps};
use super::header::Header;
use super::message::Message;
use crate::dictionary::{self, AvpDef, DataType, Dictionary};
use crate::result_code::ResultCode;

/// The longest value that Failed-AVP shows whole, in octets. Groups within
/// groups, each of them wrong, would be copied once for each level.
pub const FAILED_VALUE_MAX: usize = 256;

/// The stream cannot be cut into messages (RFC 6733 section 3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// 5011.
    #[error("cut message: version {version}, need 1")]
    Version {
        /// The version that came.
        version: u8,
        /// The header as version 1 reads it.
        header: Header,
    },
    /// 5015.
    #[error("cut message: length {length}, need a multiple of 4 from 20 to {max}")]
    Length {
        /// The length that came, in octets.
        length: usize,
        /// The cap, in octets.
        max: usize,
        /// The header.
        header: Header,
    },
}

impl FrameError {
    /// 5011 or 5015.
    pub const fn result_code(&self) -> ResultCode {
        match self {
            Self::Version { .. } => ResultCode::UNSUPPORTED_VERSION,
            Self::Length { .. } => ResultCode::INVALID_MESSAGE_LENGTH,
        }
    }

    /// The header to answer to.
    pub const fn header(&self) -> &Header {
        match self {
            Self::Version { header, .. } | Self::Length { header, .. } => header,
        }
    }
}

/// One message cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer octets than a header: nobody can be answered.
    #[error("decode message: {length} octets, need 20")]
    Short {
        /// Octets given.
        length: usize,
    },
    /// Version or length of the message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The chain of AVPs breaks: 5014.
    #[error("{error}")]
    Avp {
        /// The message; its AVPs can be read up to the broken one.
        message: Message,
        /// The broken AVP.
        error: AvpError,
    },
}

impl DecodeError {
    /// The header to answer to, where one could be read.
    pub const fn header(&self) -> Option<&Header> {
        match self {
            Self::Short { .. } => None,
            Self::Frame(error) => Some(error.header()),
            Self::Avp { message, .. } => Some(&message.header),
        }
    }
}

/// What is wrong with one AVP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// 5001: mandatory and not known.
    #[error("mandatory and not known here")]
    Unsupported,
    /// 5004.
    #[error("value is not {0}")]
    Value(&'static str),
    /// 5005.
    #[error("missing")]
    Missing,
    /// 5008: a group that takes nothing else.
    #[error("not allowed here")]
    NotAllowed,
    /// 5009.
    #[error("occurs more than {max} times")]
    TooMany {
        /// The most the grammar allows.
        max: u16,
    },
    /// 5014: the length in the AVP header.
    #[error("length {have}, need {need}")]
    Length {
        /// Octets, AVP header included.
        have: usize,
        /// Octets, AVP header included: the least or the only length.
        need: usize,
    },
    /// 5014: its data does not end where its members end.
    #[error("member cut short")]
    Member,
    /// 5004: groups within groups past the cap.
    #[error("grouped deeper than {max}")]
    Depth {
        /// The cap.
        max: u8,
    },
    /// 3009: the M bit, or a V bit with Vendor-Id 0.
    #[error("flags against its definition")]
    Bits,
}

impl Problem {
    /// The result code that names the problem (RFC 6733 section 7.1).
    pub const fn result_code(self) -> ResultCode {
        match self {
            Self::Unsupported => ResultCode::AVP_UNSUPPORTED,
            Self::Value(_) | Self::Depth { .. } => ResultCode::INVALID_AVP_VALUE,
            Self::Missing => ResultCode::MISSING_AVP,
            Self::NotAllowed => ResultCode::AVP_NOT_ALLOWED,
            Self::TooMany { .. } => ResultCode::AVP_OCCURS_TOO_MANY_TIMES,
            Self::Length { .. } | Self::Member => ResultCode::INVALID_AVP_LENGTH,
            Self::Bits => ResultCode::INVALID_AVP_BITS,
        }
    }
}

/// A bad AVP with the octets that go into Failed-AVP 279
/// (RFC 6733 section 7.5). One word, because every value that is read may
/// give one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("decode AVP {}: {}", .0.code, .0.problem)]
pub struct AvpError(Box<BadAvp>);

/// What an [`AvpError`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadAvp {
    /// AVP code.
    pub code: u32,
    /// Vendor-Id, 0 for the IETF's.
    pub vendor: u32,
    /// What is wrong.
    pub problem: Problem,
    failed: Box<[u8]>,
}

impl AvpError {
    /// `avp` is wrong as it stands. Of a value longer than
    /// [`FAILED_VALUE_MAX`] the first octets are kept, of a group the first
    /// members.
    #[cold]
    pub fn new(avp: &Avp<'_>, problem: Problem) -> Self {
        let shown = Avp { data: &avp.data[..shown_length(avp)], ..*avp };
        let mut failed = BytesMut::with_capacity(shown.data.len() + 16);
        shown.write_to(&mut failed);
        Self::of(avp.code(), avp.vendor_id(), problem, failed[..].into())
    }

    /// A required AVP is missing: 5005 with an example whose value is zero
    /// and of the least length of its type (RFC 6733 section 7.1.5).
    #[cold]
    pub fn missing(def: &AvpDef) -> Self {
        let failed = example(def.code, def.vendor, def.flags().0);
        Self::of(def.code, def.vendor, Problem::Missing, failed)
    }

    /// The chain breaks at `octets`: the AVP header, completed with zeros,
    /// and a zero value of the least length (RFC 6733 section 7.1.5, 5014).
    #[cold]
    pub(super) fn broken_chain(octets: &[u8]) -> Self {
        let mut start = [0_u8; 12];
        let have = octets.len().min(12);
        start[..have].copy_from_slice(&octets[..have]);
        let word = |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        let (code, flags) = (word(0), start[4]);
        let vendor = if flags & 0x80 != 0 { word(8) } else { 0 };
        let header = if flags & 0x80 != 0 { 12 } else { 8 };
        let length = (word(4) & 0x00ff_ffff) as usize;
        let problem =
            if length > octets.len() { Problem::Member } else { Problem::Length { have: length, need: header } };
        Self::of(code, vendor, problem, example(code, vendor, flags))
    }

    fn of(code: u32, vendor: u32, problem: Problem, failed: Box<[u8]>) -> Self {
        Self(Box::new(BadAvp { code, vendor, problem, failed }))
    }

    /// The AVP lies in `group`: Failed-AVP shows it within its group, without
    /// the group's other members (RFC 6733 section 7.5).
    #[cold]
    #[must_use]
    pub fn within(mut self, group: &Avp<'_>) -> Self {
        self.wrap(group);
        self
    }

    #[cold]
    pub(crate) fn wrap(&mut self, group: &Avp<'_>) {
        let only = Avp { data: &self.failed, ..*group };
        let mut failed = BytesMut::with_capacity(only.length());
        only.write_to(&mut failed);
        self.0.failed = failed[..].into();
    }

    /// The result code of the problem.
    pub fn result_code(&self) -> ResultCode {
        self.problem.result_code()
    }

    /// The value of the AVP itself as Failed-AVP shows it, out of its groups;
    /// `None` where that cannot be found.
    pub(crate) fn shown_value(&self) -> Option<&[u8]> {
        let mut chain = Avps::unchecked(&self.failed);
        loop {
            let avp = chain.next()?;
            if (avp.vendor_id(), avp.code()) == (self.vendor, self.code) {
                return Some(avp.data);
            }
            chain = Avps::unchecked(avp.data);
        }
    }

    /// The AVP in its groups, padded, as it goes into Failed-AVP.
    pub fn failed_avp(&self) -> &[u8] {
        &self.failed
    }
}

impl std::ops::Deref for AvpError {
    type Target = BadAvp;

    fn deref(&self) -> &BadAvp {
        &self.0
    }
}

/// Octets of the value that Failed-AVP shows.
fn shown_length(avp: &Avp<'_>) -> usize {
    if avp.data.len() <= FAILED_VALUE_MAX {
        return avp.data.len();
    }
    if avp.definition(Dictionary::standard()).is_none_or(|def| def.data_type != DataType::Grouped) {
        return FAILED_VALUE_MAX;
    }
    let ends = Avps::unchecked(avp.data).scan(0, |end, member| {
        *end += member.length().next_multiple_of(4);
        Some(*end)
    });
    ends.take_while(|end| *end <= FAILED_VALUE_MAX).last().unwrap_or(0)
}

/// An AVP whose value is zero and has the least length of its type.
fn example(code: u32, vendor: u32, flags: u8) -> Box<[u8]> {
    let payload = dictionary::find_avp(vendor, code).map_or(0, |def| def.data_type.payload_length_min());
    let header: u32 = if flags & 0x80 != 0 { 12 } else { 8 };
    let mut out = BytesMut::with_capacity(32);
    out.put_u32(code);
    out.put_u32(u32::from(flags) << 24 | (header + u32::from(payload)));
    if flags & 0x80 != 0 {
        out.put_u32(vendor);
    }
    out.put_bytes(0, usize::from(payload).next_multiple_of(4));
    out[..].into()
}
