//! AVPs and their chains (RFC 6733 section 4).

use bytes::{BufMut, BytesMut};
use nom::IResult;
use nom::error::{Error, ErrorKind};

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
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One AVP; its data is a slice of the message (RFC 6733 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avp<'a> {
    /// Vendor-Id, 0 where the V bit is clear, and code.
    pub(super) key: u64,
    /// The value without padding.
    pub data: &'a [u8],
    /// V, M, P and the reserved bits as they came.
    pub flags: AvpFlags,
    /// How many groups it lies in.
    pub(super) depth: u8,
}

impl<'a> Avp<'a> {
    /// AVP code.
    #[inline]
    pub const fn code(&self) -> u32 {
        self.key as u32
    }

    /// Vendor-Id, where the V bit is set.
    #[inline]
    pub fn vendor(&self) -> Option<u32> {
        self.flags.has(AvpFlags::VENDOR).then(|| self.vendor_id())
    }

    /// Vendor-Id, 0 for the IETF's.
    #[inline]
    pub const fn vendor_id(&self) -> u32 {
        (self.key >> 32) as u32
    }

    /// Vendor and code in one word, to match against
    /// [`crate::dictionary::key`].
    #[inline]
    pub const fn key(&self) -> u64 {
        self.key
    }

    /// True where the M bit is set.
    #[inline]
    pub const fn is_mandatory(&self) -> bool {
        self.flags.has(AvpFlags::MANDATORY)
    }

    /// What the dictionary says about it.
    pub fn definition(&self, dictionary: &Dictionary) -> Option<&'static AvpDef> {
        dictionary.find_avp(self.vendor_id(), self.code())
    }

    /// The length that its header states: without padding, in octets.
    #[inline]
    pub const fn length(&self) -> usize {
        let header = if self.flags.has(AvpFlags::VENDOR) { 12 } else { 8 };
        header + self.data.len()
    }

    /// The members of a Grouped value (RFC 6733 section 4.4). The whole
    /// chain is checked first: a broken one is 5014, one nested deeper than
    /// [`GROUP_DEPTH_MAX`] 5004.
    #[inline]
    pub fn grouped(&self) -> Result<Avps<'a>, AvpError> {
        let members = self.members()?;
        members.check().map_err(|error| error.within(self))?;
        Ok(members)
    }

    /// The members before their lengths are checked: for who asks
    /// [`Avps::end`] afterwards.
    #[inline]
    pub(crate) fn members(&self) -> Result<Avps<'a>, AvpError> {
        let members = self.inner();
        if members.is_too_deep() {
            return Err(AvpError::new(self, Problem::Depth { max: GROUP_DEPTH_MAX }));
        }
        Ok(members)
    }

    /// The members, also at a depth where nobody should follow.
    #[inline]
    pub(crate) const fn inner(&self) -> Avps<'a> {
        Avps { rest: self.data, depth: self.depth + 1 }
    }

    /// Gives every member of a Grouped value to `read`, with the chain that
    /// starts at it. What `read` finds wrong, or what is wrong with the
    /// chain, is reported within this AVP.
    #[inline(always)]
    pub fn read_members(
        &self,
        mut read: impl FnMut(Avp<'a>, Avps<'a>) -> Result<(), AvpError>,
    ) -> Result<(), AvpError> {
        let mut members = self.members()?;
        loop {
            let start = members;
            let Some(member) = members.next() else { break };
            if let Err(error) = read(member, start) {
                return Err(error.within(self));
            }
        }
        members.end().map_err(|error| error.within(self))
    }

    /// Appends the AVP, padded, as it came.
    pub fn write_to(&self, out: &mut BytesMut) {
        out.reserve(self.length() + 3);
        out.put_u32(self.code());
        out.put_u32(u32::from(self.flags.0) << 24 | (self.length() as u32 & 0x00ff_ffff));
        if let Some(vendor) = self.vendor() {
            out.put_u32(vendor);
        }
        out.put_slice(self.data);
        out.put_bytes(0, padding(self.data.len()));
    }
}

/// A chain of AVPs. It ends where an AVP does not fit; the chains that
/// [`crate::Message::avps`] and [`Avp::grouped`] give are known to be whole.
#[derive(Debug, Clone, Copy)]
pub struct Avps<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Avps<'a> {
    /// No AVPs.
    pub const EMPTY: Avps<'static> = Avps { rest: &[], depth: 0 };

    /// A chain whose lengths nobody has looked at.
    #[inline]
    pub(super) const fn unchecked(octets: &'a [u8]) -> Self {
        Self { rest: octets, depth: 0 }
    }

    /// Checks the lengths of the whole chain; the error names the AVP at
    /// which it breaks.
    #[inline]
    pub(super) fn check(self) -> Result<(), AvpError> {
        let mut rest = self;
        while rest.next().is_some() {}
        rest.end()
    }

    /// True for the members of a group past [`GROUP_DEPTH_MAX`].
    #[inline]
    pub(crate) const fn is_too_deep(&self) -> bool {
        self.depth > GROUP_DEPTH_MAX
    }

    /// Octets from here to the end.
    #[inline]
    pub(crate) const fn octets_left(&self) -> usize {
        self.rest.len()
    }

    /// The AVP that starts `left` octets before the end.
    pub(crate) fn at(&self, left: usize) -> Option<Avp<'a>> {
        let rest = self.rest.get(self.rest.len().checked_sub(left)?..)?;
        Self { rest, ..*self }.next()
    }

    /// After the last AVP: 5014 with the broken one, where there is more
    /// that could not be read.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), AvpError> {
        if self.rest.is_empty() { Ok(()) } else { Err(AvpError::broken_chain(self.rest)) }
    }

    /// The first AVP with this key.
    #[inline]
    pub fn find(mut self, key: u64) -> Option<Avp<'a>> {
        self.by_ref().find(|avp| avp.key() == key)
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Avp<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Avp<'a>> {
        let (rest, found) = avp(self.rest, self.depth).ok()?;
        self.rest = rest;
        Some(found)
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
    let Some((head, rest)) = input.split_first_chunk::<8>() else {
        return Err(nom::Err::Error(Error::new(input, ErrorKind::Eof)));
    };
    // both words at once
    let head = u64::from_be_bytes(*head);
    let (code, flags_and_length) = ((head >> 32) as u32, head as u32);
    let flags = AvpFlags((flags_and_length >> 24) as u8);
    let length = (flags_and_length & 0x00ff_ffff) as usize;
    let (key, header) = if flags.has(AvpFlags::VENDOR) { (avp_key(word(rest)?.1, code), 12) } else { (code.into(), 8) };
    // also where the length ends within the header
    let Some(data) = input.get(header..length) else {
        return Err(nom::Err::Error(Error::new(input, ErrorKind::LengthValue)));
    };
    let rest = input.get((length + 3) & !3..).unwrap_or_default();
    Ok((rest, Avp { key, data, flags, depth }))
}

/// Four octets, most significant first. `be_u32` reads octet by octet, which
/// shows on the way of every message.
#[inline(always)]
pub(super) fn word(input: &[u8]) -> IResult<&[u8], u32> {
    match input.split_first_chunk() {
        Some((octets, rest)) => Ok((rest, u32::from_be_bytes(*octets))),
        None => Err(nom::Err::Error(Error::new(input, ErrorKind::Eof))),
    }
}
