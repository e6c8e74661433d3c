//! AVPs and their chains (RFC 6733 section 4).

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::error::ErrorKind;
use nom::{IResult, Parser};

use super::error::{AvpError, Problem};
use crate::dictionary::{AvpDef, Dictionary, avp_key};

/// Groups within groups that are followed, counted from the message.
pub const GROUP_DEPTH_MAX: u8 = 16;

/// The AVP flags V, M, P (RFC 6733 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AvpFlags(pub u8);

impl AvpFlags {
    /// V: a Vendor-Id follows.
    pub const VENDOR: Self = Self(0x80);
    /// M: who does not know the AVP must refuse the message.
    pub const MANDATORY: Self = Self(0x40);

    /// True where every flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One AVP; its data is a slice of the message (RFC 6733 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avp<'a> {
    /// AVP code.
    pub code: u32,
    /// Vendor-Id, where the V bit is set.
    pub vendor: Option<u32>,
    /// V, M, P and the reserved bits as they came.
    pub flags: AvpFlags,
    /// The value without padding.
    pub data: &'a [u8],
    /// How many groups it lies in.
    pub(super) depth: u8,
}

impl<'a> Avp<'a> {
    /// Vendor-Id, 0 for the IETF's.
    pub const fn vendor_id(&self) -> u32 {
        match self.vendor {
            Some(vendor) => vendor,
            None => 0,
        }
    }

    /// Vendor and code in one word, to match against
    /// [`crate::dictionary::key`].
    #[inline]
    pub const fn key(&self) -> u64 {
        avp_key(self.vendor_id(), self.code)
    }

    /// True where the M bit is set.
    pub const fn is_mandatory(&self) -> bool {
        self.flags.has(AvpFlags::MANDATORY)
    }

    /// What the dictionary says about it.
    pub fn definition(&self, dictionary: &Dictionary) -> Option<&'static AvpDef> {
        dictionary.find_avp(self.vendor_id(), self.code)
    }

    /// The length that its header states: without padding, in octets.
    pub const fn length(&self) -> usize {
        let header = if self.vendor.is_some() { 12 } else { 8 };
        header + self.data.len()
    }

    /// The members of a Grouped value (RFC 6733 section 4.4). The whole
    /// chain is checked first: a broken one is 5014, one nested deeper than
    /// [`GROUP_DEPTH_MAX`] 5004.
    pub fn grouped(&self) -> Result<Avps<'a>, AvpError> {
        let mut members = self.members()?;
        let whole = members.0;
        while members.next_member().map_err(|error| error.within(self))?.is_some() {}
        Ok(whole)
    }

    /// The members of a Grouped value, each checked when it is reached.
    #[inline]
    pub fn members(&self) -> Result<Members<'a>, AvpError> {
        if self.depth >= GROUP_DEPTH_MAX {
            return Err(AvpError::new(self, Problem::Depth { max: GROUP_DEPTH_MAX }));
        }
        Ok(Members(Avps { rest: self.data, depth: self.depth + 1 }))
    }

    /// Gives every member of a Grouped value to `read`, with the chain that
    /// starts at it. What `read` finds wrong, or what is wrong with the
    /// chain, is reported within this AVP.
    #[inline]
    pub fn read_members(
        &self,
        mut read: impl FnMut(Avp<'a>, Avps<'a>) -> Result<(), AvpError>,
    ) -> Result<(), AvpError> {
        let mut members = self.members()?;
        loop {
            let start = members.0;
            let result = match members.next_member() {
                Ok(Some(member)) => read(member, start),
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return Err(error.within(self));
            }
        }
    }

    /// Appends the AVP, padded, as it came.
    pub fn write_to(&self, out: &mut BytesMut) {
        out.reserve(self.length() + 3);
        out.put_u32(self.code);
        out.put_u32(u32::from(self.flags.0) << 24 | (self.length() as u32 & 0x00ff_ffff));
        if let Some(vendor) = self.vendor {
            out.put_u32(vendor);
        }
        out.put_slice(self.data);
        out.put_bytes(0, padding(self.data.len()));
    }
}

/// A chain of AVPs whose lengths are known to be right.
#[derive(Debug, Clone, Copy)]
pub struct Avps<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Avps<'a> {
    /// No AVPs.
    pub const EMPTY: Avps<'static> = Avps { rest: &[], depth: 0 };

    /// Checks the lengths of a chain; the error names the AVP at which it
    /// breaks.
    pub(super) fn check(octets: &'a [u8]) -> Result<(), AvpError> {
        let mut members = Members(Self::checked(octets));
        while members.next_member()?.is_some() {}
        Ok(())
    }

    /// A chain that [`Avps::check`] has seen before.
    #[inline]
    pub(super) const fn checked(octets: &'a [u8]) -> Self {
        Self { rest: octets, depth: 0 }
    }

    /// The first AVP with this key.
    pub fn find(mut self, key: u64) -> Option<Avp<'a>> {
        self.by_ref().find(|avp| avp.key() == key)
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Avp<'a>;

    #[inline]
    fn next(&mut self) -> Option<Avp<'a>> {
        let (rest, found) = avp(self.rest, self.depth).ok()?;
        self.rest = rest;
        Some(found)
    }
}

/// A chain of AVPs whose lengths are checked on the way.
#[derive(Debug, Clone, Copy)]
pub struct Members<'a>(Avps<'a>);

impl<'a> Members<'a> {
    /// The next AVP; where the chain breaks, 5014 with the broken AVP.
    #[inline]
    pub fn next_member(&mut self) -> Result<Option<Avp<'a>>, AvpError> {
        let Avps { rest, depth } = self.0;
        match avp(rest, depth) {
            Ok((rest, found)) => {
                self.0.rest = rest;
                Ok(Some(found))
            }
            Err(_) if rest.is_empty() => Ok(None),
            Err(_) => Err(AvpError::broken_chain(rest)),
        }
    }
}

impl<'a> From<Avps<'a>> for Members<'a> {
    fn from(avps: Avps<'a>) -> Self {
        Self(avps)
    }
}

/// Octets that fill a value up to a multiple of 4.
pub(super) const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

/// One AVP and its padding. The padding of the last AVP in a group may be
/// missing: some peers leave it out.
#[inline(always)]
fn avp(input: &[u8], depth: u8) -> IResult<&[u8], Avp<'_>> {
    let (rest, code) = word(input)?;
    let (rest, flags_and_length) = word(rest)?;
    let flags = AvpFlags((flags_and_length >> 24) as u8);
    let length = (flags_and_length & 0x00ff_ffff) as usize;
    let (rest, vendor, header) = if flags.has(AvpFlags::VENDOR) {
        let (rest, vendor) = word(rest)?;
        (rest, Some(vendor), 12)
    } else {
        (rest, None, 8)
    };
    let Some(data_length) = length.checked_sub(header) else {
        return Err(nom::Err::Error(nom::error::Error::new(input, ErrorKind::LengthValue)));
    };
    let (rest, data) = take(data_length).parse(rest)?;
    let rest = rest.get(padding(data_length)..).unwrap_or_default();
    Ok((rest, Avp { code, vendor, flags, data, depth }))
}

/// Four octets, most significant first. `be_u32` reads octet by octet, which
/// shows on the way of every message.
#[inline(always)]
pub(super) fn word(input: &[u8]) -> IResult<&[u8], u32> {
    match input.split_first_chunk() {
        Some((octets, rest)) => Ok((rest, u32::from_be_bytes(*octets))),
        None => Err(nom::Err::Error(nom::error::Error::new(input, ErrorKind::Eof))),
    }
}
