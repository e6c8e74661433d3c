//! Numbers, texts and identifiers in few bytes: what formats of our own are made of.
//!
//! A number has seven bits to a byte, the lowest first. A signed one is short while it is
//! near zero on either side. A text stands behind its length. What is read is damaged or
//! what was written, and never a reason to panic or to take memory.

use super::cycle::CycleId;
use super::usage::{Identifier, digits_of, number_of};

/// Bytes that nothing of ours has written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Damaged {
    /// What is wrong with them.
    pub reason: String,
}

/// As an error.
pub(super) fn damaged(reason: impl Into<String>) -> Damaged {
    Damaged { reason: reason.into() }
}

/// The bits whose condition holds.
pub(super) fn bits<const N: usize>(all: [(u8, bool); N]) -> u8 {
    all.iter().filter(|(_, is_set)| *is_set).fold(0, |bits, (bit, _)| bits | bit)
}

/// The cycle of [`CycleId::months`].
pub(super) fn cycle_of(months: i64) -> Result<CycleId, Damaged> {
    CycleId::of_months(months).ok_or_else(|| damaged(format!("a cycle {months} months behind year 0")))
}

mod identifier_is {
    pub(super) const IMSI: u8 = 0;
    pub(super) const MSISDN: u8 = 1;
    pub(super) const DEVICE: u8 = 2;
    pub(super) const IMSI_TEXT: u8 = 3;
    pub(super) const MSISDN_TEXT: u8 = 4;
}

/// Appends to a buffer.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn signed(&mut self, number: i64) {
        self.number((number.wrapping_shl(1) ^ (number >> 63)) as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn identifier(&mut self, identifier: &Identifier) {
        let (kind, kind_of_text, text) = match identifier {
            Identifier::Imsi(text) => (identifier_is::IMSI, identifier_is::IMSI_TEXT, text.as_str()),
            Identifier::Msisdn(text) => (identifier_is::MSISDN, identifier_is::MSISDN_TEXT, text.as_str()),
            Identifier::Device(id) => {
                self.byte(identifier_is::DEVICE);
                return self.text(id.as_str());
            }
        };
        match number_of(text) {
            Some(number) => {
                self.byte(kind);
                self.number(number);
            }
            None => {
                self.byte(kind_of_text);
                self.text(text);
            }
        }
    }
}

/// Takes from the front of what is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        let (byte, rest) = self.0.split_first().ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged("a number of more than 64 bits"))
    }

    /// How many items follow. None takes less than a byte: a count beyond that is damage, and
    /// no reason for memory.
    pub(super) fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.number()?;
        let fits = usize::try_from(count).ok().filter(|count| *count <= self.0.len());
        fits.ok_or_else(|| damaged(format!("{count} items in {} bytes", self.0.len())))
    }

    pub(super) fn word(&mut self) -> Result<u32, Damaged> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| damaged(format!("{number} is more than 32 bits")))
    }

    pub(super) fn short(&mut self) -> Result<u16, Damaged> {
        let number = self.number()?;
        u16::try_from(number).map_err(|_| damaged(format!("{number} is more than 16 bits")))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Damaged> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.number()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|e| damaged(e.to_string()))
    }

    pub(super) fn identifier(&mut self) -> Result<Identifier, Damaged> {
        let digits = |input: &mut Self| {
            let number = input.number()?;
            digits_of(number).ok_or_else(|| damaged(format!("an identifier of the number {number}")))
        };
        match self.byte()? {
            identifier_is::IMSI => Ok(Identifier::imsi(digits(self)?)),
            identifier_is::MSISDN => Ok(Identifier::msisdn(digits(self)?)),
            identifier_is::DEVICE => Ok(Identifier::Device(self.text()?.into())),
            identifier_is::IMSI_TEXT => Ok(Identifier::imsi(self.text()?)),
            identifier_is::MSISDN_TEXT => Ok(Identifier::msisdn(self.text()?)),
            kind => Err(damaged(format!("an identifier of kind {kind}"))),
        }
    }
}

fn ends_early() -> Damaged {
    damaged("ends early")
}
