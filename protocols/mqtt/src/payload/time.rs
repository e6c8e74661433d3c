//! Times on the wire: integer milliseconds, or an RFC 3339 text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// First and last millisecond that a time may have: the years 0000 and 9999.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(TimeVisitor)
}

pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Time(i64);

    impl<'de> Deserialize<'de> for Time {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            required(deserializer).map(Time)
        }
    }

    Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds since 1970 or an RFC 3339 time")
    }

    fn visit_i64<E: Error>(self, ms: i64) -> Result<i64, E> {
        if RANGE_MS.contains(&ms) { Ok(ms) } else { Err(E::invalid_value(Unexpected::Signed(ms), &self)) }
    }

    fn visit_u64<E: Error>(self, ms: u64) -> Result<i64, E> {
        match i64::try_from(ms) {
            Ok(ms) => self.visit_i64(ms),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(ms), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => self.visit_i64(time.as_millisecond()),
            Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
