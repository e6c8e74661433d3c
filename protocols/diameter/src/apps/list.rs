//! Repeated AVPs.

use crate::codec::{Avp, AvpError, Avps};

/// A value that one AVP holds.
pub trait FromAvp<'a>: Copy {
    /// Reads it; the error has the AVP to report.
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError>;
}

impl<'a> FromAvp<'a> for u32 {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        avp.u32()
    }
}

impl<'a> FromAvp<'a> for &'a str {
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
    Wire { avps: Avps<'a>, key: u64 },
    Given(&'a [T]),
}

impl<T> List<'_, T> {
    /// None.
    pub const EMPTY: Self = Self { inner: Inner::Given(&[]) };
}

impl<'a, T: FromAvp<'a>> List<'a, T> {
    pub(super) const fn wire(avps: Avps<'a>, key: u64) -> Self {
        Self { inner: Inner::Wire { avps, key } }
    }

    /// The values in order; one that cannot be read gives its error, and the
    /// next ones follow.
    pub fn iter(&self) -> impl Iterator<Item = Result<T, AvpError>> + use<'a, T> {
        let (avps, key, given) = match self.inner {
            Inner::Wire { avps, key } => (avps, key, &[][..]),
            Inner::Given(values) => (Avps::EMPTY, 0, values),
        };
        let wire = avps.filter(move |avp| avp.key() == key).map(|avp| T::from_avp(&avp));
        wire.chain(given.iter().copied().map(Ok))
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The values that can be read; for writing, where all of them can.
    pub(super) fn values(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.iter().filter_map(Result::ok)
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
