//! Payloads: any bytes are read or refused, and what is written is read again.
//!
//! The first byte says how: 0 to 2 reads the rest as every kind of payload, as
//! JSON, as CBOR or as it looks; any other builds a payload from the rest.

use std::fmt::Debug;

use linegate_mqtt::ContentType;
use linegate_mqtt::payload::{
    Desired, LineState, Payload, Presence, Receipt, Reported, SeqRange, Status, TEXT_BYTES_MAX, USAGE_RECORDS_MAX,
    Usage, UsageRecord,
};

use super::Source;

/// Times of the years 0000 to 9999 are 62,167,219,200 s before 1970 and on.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// The target.
pub fn run(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else {
        return;
    };
    match how {
        0 => read_all(rest, Some(ContentType::Json)),
        1 => read_all(rest, Some(ContentType::Cbor)),
        2 => read_all(rest, None),
        _ => write_all(&mut Source::new(rest)),
    }
}

fn read_all(payload: &[u8], content_type: Option<ContentType>) {
    read::<Desired>(payload, content_type);
    read::<Reported>(payload, content_type);
    read::<Receipt>(payload, content_type);
    read::<Status>(payload, content_type);
    if let Some(usage) = read::<Usage>(payload, content_type) {
        assert!(usage.records().len() <= USAGE_RECORDS_MAX);
        for record in usage.records() {
            assert!(record.start_ms <= record.end_ms, "{record:?}");
            assert!(record.octets_up.checked_add(record.octets_down).is_some_and(|sum| sum <= i64::MAX as u64));
        }
    }
}

fn read<T: Payload + PartialEq + Debug>(payload: &[u8], content_type: Option<ContentType>) -> Option<T> {
    match T::decode(payload, content_type) {
        Ok(value) => {
            again(&value);
            Some(value)
        }
        Err(error) => {
            assert!(error.reason.len() <= 256, "{error}");
            assert!(!error.field.is_empty() && error.field.len() <= payload.len() + 64, "{error}");
            None
        }
    }
}

fn again<T: Payload + PartialEq + Debug>(value: &T) {
    for format in [ContentType::Json, ContentType::Cbor] {
        let written = value.encode(format);
        assert_eq!(T::decode(&written, Some(format)).as_ref(), Ok(value));
        assert_eq!(T::decode(&written, None).as_ref(), Ok(value), "the format shows");
    }
}

fn write_all(source: &mut Source<'_>) {
    let state = source.pick(&[LineState::Active, LineState::Suspended, LineState::Terminated]);
    match source.u8() % 5 {
        0 => again(&Desired {
            version: source.u64(),
            state,
            order_id: source.text().into(),
            expires_ms: source.option(time),
            epoch: source.option(Source::u32),
            plan: source.option(|source| text(source)),
            apns: (0..source.u8() % 5).map(|_| apn(source)).collect(),
        }),
        1 => again(&Reported { version: source.u64(), state, reason: source.option(|source| text(source)) }),
        2 => again(&match source.option(|source| source.u8() % 5) {
            None => Usage::One(record(source)),
            Some(records) => Usage::Batch((0..records).map(|_| record(source)).collect()),
        }),
        3 => {
            let range = |source: &mut Source<'_>| {
                let from = source.u64();
                SeqRange { from, to: from.saturating_add(source.u64()) }
            };
            let ranges = (0..source.u8() % 5).map(|_| range(source)).collect();
            again(&Receipt { epoch: source.u32(), boot: source.u32(), ranges });
        }
        _ => {
            let presence = if source.flag() { Presence::Online } else { Presence::Offline };
            again(&Status { state: presence, session: source.u64() });
        }
    }
}

fn time(source: &mut Source<'_>) -> i64 {
    (source.u64() as i64).clamp(FIRST_MS, LAST_MS)
}

fn text(source: &mut Source<'_>) -> String {
    let text = source.text();
    match source.flag() {
        true => text.repeat(TEXT_BYTES_MAX / text.len().max(1)),
        false => text.to_owned(),
    }
}

fn apn(source: &mut Source<'_>) -> String {
    let visible: String = source.text().chars().filter(char::is_ascii_graphic).collect();
    if visible.is_empty() { "iot.example".into() } else { visible }
}

fn record(source: &mut Source<'_>) -> UsageRecord {
    let start_ms = time(source);
    let octets_up = source.u64() >> 1;
    UsageRecord {
        epoch: source.u32(),
        boot: source.u32(),
        seq: source.u64(),
        start_ms,
        end_ms: start_ms.saturating_add(i64::from(source.u32())).min(LAST_MS),
        apn: apn(source),
        rating_group: source.u32(),
        octets_up,
        octets_down: source.u64().min(i64::MAX as u64 - octets_up),
        imei: source.option(|source| "1".repeat(14 + usize::from(source.u8() % 3))),
    }
}
