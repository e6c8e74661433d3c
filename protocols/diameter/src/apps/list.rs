//! Repeated AVPs.

use crate::codec::{Avp, AvpError, Avps};

/// A value that one AVP holds.
pub trait FromAvp<'a>: Copy {
    /// Reads it; the error has the AVP to report.
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError>;
}

impl<'a> FromAvp<'a> for u32 {
    #[inline]
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        avp.u32()
    }
}

impl<'a> FromAvp<'a> for i32 {
    #[inline]
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        avp.i32()
    }
}

impl<'a> FromAvp<'a> for &'a str {
    #[inline]
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        avp.text()
    }
}

/// An AVP that occurs any number of times: either read from a message on the
/// way, without allocation, or given as a slice by who writes the message.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, T> {
    inner: Inner<'a, T>,
}

#[derive(Debug, Clone, Copy)]
enum Inner<'a, T> {
    /// `left` AVPs with the key of the first one of `avps`.
    Wire {
        avps: Avps<'a>,
        left: usize,
    },
    Given(&'a [T]),
}

impl<T> List<'_, T> {
    /// None.
    pub const EMPTY: Self = Self { inner: Inner::Given(&[]) };
}

impl<'a, T: FromAvp<'a>> List<'a, T> {
    /// One more came in a message; `from` is the chain that starts at it.
    #[inline]
    pub(super) fn came(&mut self, from: Avps<'a>) {
        match &mut self.inner {
            Inner::Wire { left, .. } => *left += 1,
            Inner::Given(_) => self.inner = Inner::Wire { avps: from, left: 1 },
        }
    }

    /// Those of a chain that have the key.
    pub(super) fn wire(mut avps: Avps<'a>, key: u64) -> Self {
        let mut list = Self::EMPTY;
        loop {
            let from = avps;
            match avps.next() {
                Some(avp) if avp.key() == key => list.came(from),
                Some(_) => {}
                None => return list,
            }
        }
    }

    /// The values in order; one that cannot be read gives its error, and the
    /// next ones follow.
    #[inline]
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter { inner: self.inner, key: None }
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are, those that cannot be read included.
    pub fn len(&self) -> usize {
        match self.inner {
            Inner::Wire { left, .. } => left,
            Inner::Given(values) => values.len(),
        }
    }

    /// Gives each value that can be read to `write`, which is all of them
    /// where they were given.
    #[inline]
    pub(super) fn each(&self, mut write: impl FnMut(&T)) {
        match self.inner {
            Inner::Wire { .. } => self.iter().filter_map(Result::ok).for_each(|value| write(&value)),
            Inner::Given(values) => values.iter().for_each(write),
        }
    }
}

/// The values of a [`List`].
#[derive(Debug, Clone)]
pub struct ListIter<'a, T> {
    inner: Inner<'a, T>,
    key: Option<u64>,
}

impl<'a, T: FromAvp<'a>> Iterator for ListIter<'a, T> {
    type Item = Result<T, AvpError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.inner {
            Inner::Wire { left: 0, .. } => None,
            Inner::Wire { avps, left } => loop {
                let avp = avps.next()?;
                if *self.key.get_or_insert(avp.key()) == avp.key() {
                    *left -= 1;
                    return Some(T::from_avp(&avp));
                }
            },
            Inner::Given(values) => {
                let (first, rest) = values.split_first()?;
                *values = rest;
                Some(Ok(*first))
            }
        }
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Self { inner: Inner::Given(values) }
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(values: &'a [T; N]) -> Self {
        Self { inner: Inner::Given(values) }
    }
}

impl<'a, T> From<&'a Vec<T>> for List<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Self { inner: Inner::Given(values) }
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T: FromAvp<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
