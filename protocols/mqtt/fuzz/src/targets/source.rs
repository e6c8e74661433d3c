//! Structured values out of a fuzz input.
//!
//! Of our own rather than a crate's, so that the committed corpus keeps its
//! meaning when a dependency changes.

/// Longest text or bytes.
const LENGTH_MAX: usize = 40;

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

    /// Up to `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut bytes = [0; N];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
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

    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8()) % (LENGTH_MAX + 1);
        self.take(length)
    }

    /// UTF-8, possibly empty: the bytes up to the first that is none.
    pub fn text(&mut self) -> &'a str {
        let bytes = self.bytes();
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}
