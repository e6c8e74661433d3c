use super::*;

fn record() -> UsageRecord {
    UsageRecord {
        epoch: 1,
        boot: 2,
        seq: 3,
        start_ms: 1_790_000_000_000,
        end_ms: 1_790_000_060_000,
        apn: "iot.example".into(),
        rating_group: 100,
        octets_up: 1,
        octets_down: 2,
        imei: None,
    }
}

const RECORD: &str = r#"{"epoch":1,"boot":2,"seq":3,"start":1790000000000,"end":1790000060000,"apn":"iot.example","rating_group":100,"octets_up":1,"octets_down":2}"#;

#[test]
fn every_payload_is_read_back_in_both_formats() {
    fn check<T: Payload + PartialEq + std::fmt::Debug>(value: T) {
        for format in [ContentType::Json, ContentType::Cbor] {
            let bytes = value.encode(format);
            let named = T::decode(&bytes, Some(format));
            assert_eq!(named.as_ref(), Ok(&value));
            let guessed = T::decode(&bytes, None);
            assert_eq!(guessed.as_ref(), Ok(&value));
        }
    }
    check(Usage::One(record()));
    check(Usage::Batch(vec![record(), record()]));
    check(Usage::Batch(vec![]));
    check(Desired {
        epoch: Some(2),
        version: 9,
        state: LineState::Suspended,
        order_id: "o-1".into(),
        expires_ms: Some(1_790_000_000_000),
        plan: Some("iot-payg".into()),
        apns: vec!["iot.example".into()],
    });
    check(Reported { version: 9, state: LineState::Active, reason: Some("no signal".into()) });
    check(Receipt { epoch: 1, boot: 2, ranges: vec![SeqRange { from: 1, to: 9 }] });
    check(Status { state: Presence::Offline, session: 4 });
}

#[test]
fn a_time_is_milliseconds_or_rfc_3339() {
    let check = |time: &str, expected: Option<i64>| {
        let json = RECORD.replace("1790000000000", time);
        let read = Usage::decode(json.as_bytes(), None);
        let start = read.ok().map(|usage| usage.records()[0].start_ms);
        assert_eq!(start, expected, "{time}");
    };
    check("1790000000000", Some(1_790_000_000_000));
    check("\"2026-09-21T14:13:20Z\"", Some(1_790_000_000_000));
    check("\"2026-09-21T23:13:20.000+09:00\"", Some(1_790_000_000_000));
    check("-1", Some(-1));
    check("\"2026-09-21T14:13:20\"", None);
    check("\"yesterday\"", None);
    check("1.5", None);
    check("\"2026-09-21T14:13:20.5Z\"", Some(1_790_000_000_500));
    check("\"2026-09-21t14:13:20z\"", Some(1_790_000_000_000));
    check("\"2026-09-21T14:13:20.Z\"", None);
    check("\"2026-09-21 14:13:20Z\"", None);
    check("\"20260921T141320Z\"", None);
    check("\"2026-09-21T14:13:20+09\"", None);
    check("\"2026-09-21T14:13:20+00:00[UTC]\"", None);
    check("null", None);
    check("18446744073709551615", None);
}

#[test]
fn an_error_names_the_field_and_the_reason() {
    let check = |from: &str, to: &str, field: &str, reason: &str| {
        let json = RECORD.replace(from, to);
        assert_ne!(json, RECORD, "{from}");
        let batch = format!("[{RECORD},{json}]");
        let value: serde_json::Value = serde_json::from_str(&batch).unwrap();
        let mut cbor = Vec::new();
        ciborium::into_writer(&value, &mut cbor).unwrap();
        for payload in [batch.as_bytes(), &cbor] {
            let error = Usage::decode(payload, None).unwrap_err();
            assert_eq!(error.field, format!("[1].{field}"), "{error}");
            assert!(error.reason.contains(reason), "{error}");
        }
        let error = Usage::decode(json.as_bytes(), None).unwrap_err();
        assert_eq!(error.field, field, "{error}");
    };
    check(r#""seq":3,"#, "", "seq", "missing");
    check(r#""seq":3"#, r#""seq":-3"#, "seq", "-3");
    check(r#""seq":3"#, r#""seq":"3""#, "seq", "string");
    check(r#""octets_up":1"#, r#""octets_up":-1"#, "octets_up", "-1");
    check(r#""octets_up":1"#, r#""octets_up":1.5"#, "octets_up", "1.5");
    check(r#""octets_up":1"#, r#""octets_up":9223372036854775808"#, "octets_up", "over");
    check(r#""octets_up":1"#, r#""octets_up":9223372036854775807"#, "octets_down", "over");
    check("1790000060000", "1", "end", "before start");
    check("iot.example", "", "apn", "0 bytes");
    check("iot.example", "iot example", "apn", "character");
    check(r#""boot":2"#, r#""boot":2,"imei":"12x""#, "imei", "digits");
    check(r#""rating_group":100"#, r#""rating_group":4294967296"#, "rating_group", "4294967296");
}

#[test]
fn what_is_no_payload_is_refused() {
    let check = |payload: &[u8], content_type, reason: &str| {
        let error = Usage::decode(payload, content_type).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    };
    check(b"", None, "empty");
    check(b"{", None, "EOF");
    check(b"\xff", None, "break");
    check(b"3", Some(ContentType::Json), "usage record");
    check(RECORD.as_bytes(), Some(ContentType::Unknown), "content type");
    check(RECORD.as_bytes(), Some(ContentType::Cbor), "");
    check(b"[]x", None, "trailing");
    let mut cbor = Usage::Batch(vec![]).encode(ContentType::Cbor).to_vec();
    cbor.push(0);
    check(&cbor, None, "behind");
    check(&[0x81; 5000], None, "");
    check(&[b'['; 5000], None, "");
    check(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None, "");
    let many = format!("[{}{RECORD}]", format!("{RECORD},").repeat(USAGE_RECORDS_MAX));
    check(many.as_bytes(), None, "over 4096");
    let range = br#"{"epoch":1,"boot":1,"ranges":[{"from":2,"to":1}]}"#;
    let error = Receipt::decode(range, None).unwrap_err();
    assert_eq!(error.field, "ranges[0].to");
}

#[test]
fn unknown_fields_are_passed_over() {
    let json = RECORD.replace('{', r#"{"rssi":-90,"#);
    assert_eq!(Usage::decode(json.as_bytes(), None), Ok(Usage::One(record())));
}

proptest::proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(payload: Vec<u8>) {
        let _any = Usage::decode(&payload, None);
        let _any = Desired::decode(&payload, None);
        let _any = Status::decode(&payload, Some(ContentType::Cbor));
    }
}
