//! Structured values out of a fuzz input.
//!
//! Of our own rather than a crate's, so that the committed corpus keeps its
//! meaning when a dependency changes.

use linegate_diameter::apps::Route;
use linegate_diameter::{Outcome, ResultCode, Time};

/// Longest text or octets, in octets.
const LENGTH_MAX: usize = 40;
/// Longest list.
const LIST_MAX: usize = 4;

/// Reads an input from front to back; after its end everything is zero,
/// absent or empty.
#[derive(Debug)]
pub struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `length` octets.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut octets = [0; N];
        octets[..taken.len()].copy_from_slice(taken);
        octets
    }

    pub fn u8(&mut self) -> u8 {
        self.number::<1>()[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.number())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.number())
    }

    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.number())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.number())
    }

    pub fn flag(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    /// One of `values`, which has at least one.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.u8()) % values.len()]
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| read(self))
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = usize::from(self.u8()) % (LIST_MAX + 1);
        (0..length).map(|_| read(self)).collect()
    }

    pub fn octets(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8()) % (LENGTH_MAX + 1);
        self.take(length)
    }

    /// UTF-8, possibly empty: the octets up to the first that is none.
    pub fn text(&mut self) -> &'a str {
        let octets = self.octets();
        match std::str::from_utf8(octets) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&octets[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// A Diameter identity.
    pub fn identity(&mut self) -> &'a str {
        let text = self.text();
        let visible = text.bytes().take_while(u8::is_ascii_graphic).count();
        if visible == 0 { "pgw.example" } else { &text[..visible] }
    }

    pub fn time(&mut self) -> Time {
        let seconds = i64::from(self.u32()) - 61_505_152;
        Time::from_unix_seconds(seconds).expect("a time in the type's range")
    }

    /// A route; `to_host` is whether the Destination-Host has to be there.
    pub fn route(&mut self, to_host: bool) -> Route<'a> {
        Route {
            session_id: self.text(),
            origin_host: self.identity(),
            origin_realm: self.identity(),
            destination_host: if to_host { Some(self.identity()) } else { self.option(Self::identity) },
            destination_realm: self.identity(),
        }
    }

    /// A Result-Code of any class.
    pub fn result(&mut self) -> Outcome {
        match self.u8() % 8 {
            0 | 1 => Outcome::SUCCESS,
            2 => ResultCode::TOO_BUSY.into(),
            3 => ResultCode::CREDIT_LIMIT_REACHED.into(),
            4 => ResultCode::UNABLE_TO_COMPLY.into(),
            _ => ResultCode(self.u32()).into(),
        }
    }

    /// A Result-Code or an Experimental-Result.
    pub fn outcome(&mut self) -> Outcome {
        if self.flag() { Outcome::Experimental { vendor: self.u32(), code: self.u32() } } else { self.result() }
    }
}
