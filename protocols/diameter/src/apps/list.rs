//! Repeated AVPs.

use crate::codec::{Avp, AvpError, Avps};

/// An AVP that occurs any number of times: either read from a message on the
/// way, without allocation, or given as a slice by who writes the message.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, T> {
    inner: Inner<'a, T>,
}

type Read<'a, T> = fn(&Avp<'a>) -> Result<T, AvpError>;

#[derive(Debug, Clone, Copy)]
enum Inner<'a, T> {
    Wire { avps: Avps<'a>, key: u64, read: Read<'a, T> },
    Given(&'a [T]),
}

impl<'a, T: Copy> List<'a, T> {
    /// None.
    pub const EMPTY: Self = Self { inner: Inner::Given(&[]) };

    pub(super) const fn wire(avps: Avps<'a>, key: u64, read: Read<'a, T>) -> Self {
        Self { inner: Inner::Wire { avps, key, read } }
    }

    /// The values in order; one that cannot be read gives its error, and the
    /// next ones follow.
    pub fn iter(&self) -> impl Iterator<Item = Result<T, AvpError>> + use<'a, T> {
        let (wire, given) = match self.inner {
            Inner::Wire { avps, key, read } => (Some((avps, key, read)), &[][..]),
            Inner::Given(values) => (None, values),
        };
        let wire = wire.into_iter().flat_map(|(avps, key, read)| {
            avps.filter(move |avp| avp.key() == key).map(move |avp| read(&avp))
        });
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

impl<T: Copy> Default for List<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T: Copy + PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
