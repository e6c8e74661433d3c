//! Messages straight into a buffer.

use std::net::IpAddr;

use bytes::BytesMut;

use super::avp::{Avp, padding};
use super::header::{HEADER_LENGTH, Header};
use super::value::Time;
use crate::dictionary::AvpDef;

/// Writes one message behind what the buffer holds already; lengths and
/// padding are filled in on the way. A message is whole after
/// [`Writer::finish`].
///
/// # Panics
///
/// A message of 16 MiB or more does not fit its length field: writing one
/// breaks a promise of this process, not of a peer, and panics.
#[derive(Debug)]
#[must_use = "the length of the message is set by finish()"]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Starts a message with this header.
    pub fn begin(out: &'a mut BytesMut, header: &Header) -> Self {
        let start = out.len();
        out.reserve(512);
        out.extend_from_slice(&header.to_octets(0));
        Self { out, start }
    }

    /// Sets the length; gives the octets of the whole message.
    pub fn finish(self) -> usize {
        let length = self.out.len() - self.start;
        assert!(length <= LENGTH_MAX, "write message: {length} octets do not fit 24 bits");
        let octets = (length as u32).to_be_bytes();
        self.out[self.start + 1..self.start + 4].copy_from_slice(&octets[1..]);
        length
    }

    /// Octets so far, header included.
    pub fn length(&self) -> usize {
        (self.out.len() - self.start).max(HEADER_LENGTH)
    }

    /// Unsigned32.
    #[inline(always)]
    pub fn u32(&mut self, def: &AvpDef, value: u32) -> &mut Self {
        let [code, word, vendor] = head(def, 4);
        if def.vendor == 0 { self.words([code, word, value]) } else { self.words([code, word, vendor, value]) }
    }

    /// Unsigned64.
    #[inline(always)]
    pub fn u64(&mut self, def: &AvpDef, value: u64) -> &mut Self {
        let [code, word, vendor] = head(def, 8);
        let (high, low) = ((value >> 32) as u32, value as u32);
        if def.vendor == 0 { self.words([code, word, high, low]) } else { self.words([code, word, vendor, high, low]) }
    }

    /// Integer32 and Enumerated.
    #[inline(always)]
    pub fn i32(&mut self, def: &AvpDef, value: i32) -> &mut Self {
        self.u32(def, value as u32)
    }

    /// Integer64.
    #[inline(always)]
    pub fn i64(&mut self, def: &AvpDef, value: i64) -> &mut Self {
        self.u64(def, value as u64)
    }

    /// Unsigned32, where there is one.
    #[inline(always)]
    pub fn some_u32(&mut self, def: &AvpDef, value: Option<u32>) -> &mut Self {
        match value {
            Some(value) => self.u32(def, value),
            None => self,
        }
    }

    /// Unsigned64, where there is one.
    #[inline(always)]
    pub fn some_u64(&mut self, def: &AvpDef, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.u64(def, value),
            None => self,
        }
    }

    /// Integer32 or Enumerated, where there is one.
    #[inline(always)]
    pub fn some_i32(&mut self, def: &AvpDef, value: Option<i32>) -> &mut Self {
        self.some_u32(def, value.map(|value| value as u32))
    }

    /// UTF8String, DiameterIdentity, DiameterURI and IPFilterRule.
    pub fn text(&mut self, def: &AvpDef, value: &str) -> &mut Self {
        self.octets(def, value.as_bytes())
    }

    /// Time.
    pub fn time(&mut self, def: &AvpDef, value: Time) -> &mut Self {
        self.octets(def, &value.to_octets())
    }

    /// Address, family 1 or 2.
    pub fn address(&mut self, def: &AvpDef, value: IpAddr) -> &mut Self {
        let mut octets = [0; 18];
        match value {
            IpAddr::V4(value) => {
                octets[1] = 1;
                octets[2..6].copy_from_slice(&value.octets());
                self.octets(def, &octets[..6])
            }
            IpAddr::V6(value) => {
                octets[1] = 2;
                octets[2..].copy_from_slice(&value.octets());
                self.octets(def, &octets)
            }
        }
    }

    /// OctetString, and the octets of any other type.
    #[inline]
    pub fn octets(&mut self, def: &AvpDef, value: &[u8]) -> &mut Self {
        self.avp_header(def, value.len());
        self.out.extend_from_slice(value);
        // four octets at a known length, and back to those that are needed
        let end = self.out.len() + padding(value.len());
        self.out.extend_from_slice(&[0; 4]);
        self.out.truncate(end);
        self
    }

    /// Grouped: the members are what `members` writes.
    #[inline(always)]
    pub fn group(&mut self, def: &AvpDef, members: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.out.len();
        self.avp_header(def, 0);
        members(self);
        let length = self.out.len() - start;
        assert!(length <= LENGTH_MAX, "write AVP {}: {length} octets", def.code);
        let word = flags_and_length(def, length);
        self.out[start + 4..start + 8].copy_from_slice(&word.to_be_bytes());
        self
    }

    /// An AVP as it came from elsewhere.
    pub fn avp(&mut self, avp: &Avp<'_>) -> &mut Self {
        avp.write_to(self.out);
        self
    }

    /// Whole, padded AVPs that were encoded before.
    pub fn encoded(&mut self, avps: &[u8]) -> &mut Self {
        debug_assert!(avps.len().is_multiple_of(4), "encoded AVPs are padded");
        self.out.extend_from_slice(avps);
        self
    }

    #[inline(always)]
    fn avp_header(&mut self, def: &AvpDef, value_length: usize) {
        let [code, word, vendor] = head(def, value_length);
        if def.vendor == 0 {
            self.words([code, word]);
        } else {
            self.words([code, word, vendor]);
        }
    }

    #[inline(always)]
    fn words<const N: usize>(&mut self, words: [u32; N]) -> &mut Self {
        self.out.extend_from_slice(words.map(u32::to_be_bytes).as_flattened());
        self
    }
}

/// The longest AVP and the longest message, in octets.
const LENGTH_MAX: usize = 0x00ff_ffff;

/// Code, flags with the length, and vendor.
#[inline(always)]
fn head(def: &AvpDef, value_length: usize) -> [u32; 3] {
    let length = value_length + if def.vendor == 0 { 8 } else { 12 };
    assert!(length <= LENGTH_MAX, "write AVP {}: {length} octets", def.code);
    [def.code, flags_and_length(def, length), def.vendor]
}

#[inline(always)]
fn flags_and_length(def: &AvpDef, length: usize) -> u32 {
    u32::from(def.flags().0) << 24 | length as u32
}
