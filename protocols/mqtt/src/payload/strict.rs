//! Readers that take one form where the derived ones take several: a struct
//! would be read from an array of its fields too, and a word from a map.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor, value};

use super::{Payload, SeqRange};

/// A map and nothing else.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(value::MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A payload as its kind wants to be read.
pub(super) struct Whole<T>(pub(super) T);

impl<'de, T: Payload> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Whole)
    }
}

/// One of an enum's words.
pub(super) fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct WordVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for WordVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            T::deserialize(text.into_deserializer())
        }
    }

    deserializer.deserialize_str(WordVisitor(PhantomData))
}

/// At most [`super::RANGES_MAX`] ranges.
pub(super) fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SeqRange>, D::Error> {
    list(deserializer, super::RANGES_MAX, |range: Object<SeqRange>| range.0)
}

/// At most [`super::APNS_MAX`] access points.
pub(super) fn apns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    list(deserializer, super::APNS_MAX, |apn| apn)
}

fn list<'de, D: Deserializer<'de>, W: Deserialize<'de>, T>(
    deserializer: D,
    max: usize,
    take: impl Fn(W) -> T,
) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<W, F>(usize, F, PhantomData<W>);

    impl<'de, W: Deserialize<'de>, T, F: Fn(W) -> T> Visitor<'de> for ListVisitor<W, F> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an array of at most {}", self.0)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            read_all(&mut seq, self.0, self.1)
        }
    }

    deserializer.deserialize_seq(ListVisitor(max, take, PhantomData))
}

/// The elements of a sequence that may have `max`. Memory grows with what is
/// there, not with the length that is claimed.
pub(super) fn read_all<'de, A: SeqAccess<'de>, W: Deserialize<'de>, T>(
    seq: &mut A,
    max: usize,
    take: impl Fn(W) -> T,
) -> Result<Vec<T>, A::Error> {
    let mut all = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64));
    while let Some(element) = seq.next_element()? {
        if all.len() == max {
            return Err(A::Error::custom(format_args!("over {max} elements")));
        }
        all.push(take(element));
    }
    Ok(all)
}
