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
            Ok(time) if is_rfc_3339(text) => self.visit_i64(time.as_millisecond()),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// Whether the text has the form `2026-09-21T14:13:20.5Z`, or with an offset
/// `+09:00`: one of several forms that the parser takes.
fn is_rfc_3339(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let Some((head, mut tail)) = bytes.split_at_checked(FORM.len()) else {
        return false;
    };
    if let [b'.', rest @ ..] = tail {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        tail = rest.split_at(digits).1;
        if digits == 0 {
            return false;
        }
    }
    has_form(head, FORM) && (matches!(tail, b"Z" | b"z") || has_form(tail, b"+00:00") || has_form(tail, b"-00:00"))
}

/// Whether each byte is as in the form, where 0 stands for any digit.
fn has_form(bytes: &[u8], form: &[u8]) -> bool {
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte.eq_ignore_ascii_case(form),
    };
    bytes.len() == form.len() && bytes.iter().zip(form).all(fits)
}
