//! The JSON Schemas say what the decoder takes and what the encoder writes.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use jsonschema::{Registry, Validator};
use linegate_mqtt::ContentType;
use linegate_mqtt::payload::{
    Desired, LineState, Payload, Presence, Receipt, Reported, SeqRange, Status, Usage, UsageRecord,
};
use serde_json::{Value, json};

const KINDS: [&str; 5] = ["desired", "reported", "usage", "receipt", "status"];

fn read(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

pub(super) fn validator(kind: &str) -> Validator {
    let shared = ["time", "usage-record"].map(|name| {
        let schema = read(name);
        (schema["$id"].as_str().unwrap().to_owned(), schema)
    });
    let registry = Registry::new().extend(shared).unwrap().prepare().unwrap();
    jsonschema::options().with_registry(&registry).should_validate_formats(true).build(&read(kind)).unwrap()
}

/// Whether the decoder takes it, in both formats alike.
pub(super) fn is_taken(kind: &str, value: &Value) -> bool {
    fn takes<T: Payload>(value: &Value) -> bool {
        let json = serde_json::to_vec(value).unwrap();
        let mut cbor = Vec::new();
        ciborium::into_writer(value, &mut cbor).unwrap();
        let [json, cbor] = [(json, ContentType::Json), (cbor, ContentType::Cbor)]
            .map(|(bytes, format)| T::decode(&bytes, Some(format)).is_ok());
        assert_eq!(json, cbor, "JSON and CBOR are read alike: {value}");
        json
    }
    match kind {
        "desired" => takes::<Desired>(value),
        "reported" => takes::<Reported>(value),
        "usage" => takes::<Usage>(value),
        "receipt" => takes::<Receipt>(value),
        "status" => takes::<Status>(value),
        other => panic!("no payload {other}"),
    }
}

/// Schema and decoder are of one mind.
fn check(kind: &str, value: &Value, expected: bool) {
    assert_eq!(validator(kind).is_valid(value), expected, "schema of {kind}: {value}");
    assert_eq!(is_taken(kind, value), expected, "decoder of {kind}: {value}");
}

#[test]
fn every_schema_is_one() {
    for name in KINDS.into_iter().chain(["time", "usage-record"]) {
        jsonschema::meta::validate(&read(name)).unwrap();
    }
}

#[test]
fn what_is_encoded_is_as_its_schema_says() {
    fn written<T: Payload + Debug>(kind: &str, value: &T) {
        let json: Value = serde_json::from_slice(&value.encode(ContentType::Json)).unwrap();
        let cbor: Value = ciborium::from_reader(&value.encode(ContentType::Cbor)[..]).unwrap();
        assert_eq!(json, cbor);
        let errors: Vec<_> = validator(kind).iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{value:?}: {errors:?}");
    }
    let record = UsageRecord {
        epoch: u32::MAX,
        boot: 0,
        seq: u64::MAX,
        start_ms: -62_167_219_200_000,
        end_ms: 253_402_300_799_999,
        apn: "a".repeat(100),
        rating_group: u32::MAX,
        octets_up: i64::MAX as u64,
        octets_down: 0,
        imei: Some("490154203237518".into()),
    };
    let plain = UsageRecord { imei: None, seq: 0, ..record.clone() };
    written("usage", &Usage::One(record.clone()));
    written("usage", &Usage::Batch(vec![record, plain]));
    written("usage", &Usage::Batch(Vec::new()));
    for state in [LineState::Active, LineState::Suspended, LineState::Terminated] {
        written("reported", &Reported { version: 0, state, reason: None });
        written("reported", &Reported { version: u64::MAX, state, reason: Some("é".repeat(512)) });
        let desired = Desired {
            version: 1,
            state,
            epoch: None,
            order_id: String::new(),
            expires_ms: None,
            plan: None,
            apns: Vec::new(),
        };
        written("desired", &desired);
        let order_id = "o".repeat(1024);
        let apns = vec!["iot.example".into(); 64];
        written(
            "desired",
            &Desired { order_id, expires_ms: Some(1_790_000_000_000), plan: Some(String::new()), apns, ..desired },
        );
    }
    written("receipt", &Receipt { epoch: 1, boot: 2, ranges: vec![SeqRange { from: 3, to: u64::MAX }] });
    written("receipt", &Receipt { epoch: 1, boot: 2, ranges: Vec::new() });
    for state in [Presence::Online, Presence::Offline] {
        written("status", &Status { state, session: u64::MAX });
    }
}

/// The good payload with one field changed; `null` in `change` takes it away.
fn changed(good: &Value, field: &str, change: Option<Value>) -> Value {
    let mut value = good.clone();
    match change {
        Some(change) => value[field] = change,
        None => drop(value.as_object_mut().unwrap().remove(field)),
    }
    value
}

#[test]
fn schema_and_decoder_agree() {
    let record = json!({"epoch": 1, "boot": 42, "seq": 7, "start": 1_793_491_200_000_u64,
        "end": "2026-11-01T00:41:00.250+00:00", "apn": "iot.example", "rating_group": 0,
        "octets_up": 1200, "octets_down": 800, "imei": "490154203237518"});
    let good = [
        (
            "desired",
            json!({"version": 3, "state": "suspended", "order": "o", "expires": 5, "plan": "p", "apns": ["a"]}),
        ),
        ("reported", json!({"version": 3, "state": "active", "reason": "r"})),
        ("usage", record.clone()),
        ("receipt", json!({"epoch": 1, "boot": 2, "ranges": [{"from": 1, "to": 2}]})),
        ("status", json!({"state": "online", "session": 1})),
    ];
    let optional = ["order", "expires", "plan", "apns", "reason", "imei"];
    for (kind, value) in &good {
        check(kind, value, true);
        for field in value.as_object().unwrap().keys() {
            let is_optional = optional.contains(&field.as_str());
            check(kind, &changed(value, field, None), is_optional);
            let may_be_null = is_optional && !["order", "apns"].contains(&field.as_str());
            check(kind, &changed(value, field, Some(Value::Null)), may_be_null);
            for wrong in [json!(-62_167_219_200_001_i64), json!(true), json!({}), json!({"active": null}), json!(1.5)] {
                check(kind, &changed(value, field, Some(wrong)), false);
            }
        }
        check(kind, &changed(value, "unknown", Some(json!([1, {}]))), true);
        let as_array = Value::Array(value.as_object().unwrap().values().cloned().collect());
        check(kind, &as_array, false);
        for other in [json!(null), json!(3), json!("online"), json!({})] {
            check(kind, &other, false);
        }
    }
    check("usage", &json!([]), true);
    check("usage", &json!([record, record]), true);
    check("usage", &json!([record, 3]), false);
    check("usage", &json!([[record]]), false);
    check("usage", &Value::Array(vec![record.clone(); 4096]), true);
    check("usage", &Value::Array(vec![record.clone(); 4097]), false);
}

#[test]
fn schema_and_decoder_agree_at_the_edges() {
    let record = json!({"epoch": 1, "boot": 42, "seq": 7, "start": 1, "end": 2, "apn": "iot.example",
        "rating_group": 0, "octets_up": 0, "octets_down": 0});
    let long = |c: &str, n: usize| Some(json!(c.repeat(n)));
    for (field, value, expected) in [
        ("apn", long("a", 100), true),
        ("apn", long("a", 101), false),
        ("apn", long("a", 0), false),
        ("apn", Some(json!("iot example")), false),
        ("apn", Some(json!("é")), false),
        ("imei", long("1", 13), false),
        ("imei", long("1", 14), true),
        ("imei", long("1", 17), false),
        ("imei", Some(json!("4901542032375１８")), false),
        ("epoch", Some(json!(u32::MAX)), true),
        ("epoch", Some(json!(u64::from(u32::MAX) + 1)), false),
        ("seq", Some(json!(u64::MAX)), true),
        ("octets_up", Some(json!(i64::MAX)), true),
        ("octets_up", Some(json!(i64::MAX as u64 + 1)), false),
        ("octets_down", Some(json!(-1)), false),
        ("end", Some(json!(253_402_300_799_999_u64)), true),
        ("end", Some(json!(253_402_300_800_000_u64)), false),
        ("end", Some(json!("2026-11-01T00:40:00Z")), true),
        ("end", Some(json!("2026-11-01t00:40:00.123456789-05:30")), true),
        ("end", Some(json!("2026-11-01T00:40:00.1234567890Z")), false),
        ("end", Some(json!("2026-11-01T00:40:00")), false),
        ("end", Some(json!("2026-11-01 00:40:00Z")), false),
        ("end", Some(json!("20261101T004000Z")), false),
        ("end", Some(json!("2026-11-01T00:40:00+00:00[UTC]")), false),
        ("end", Some(json!("2026-13-01T00:40:00Z")), false),
        ("end", Some(json!("2026-02-30T00:40:00Z")), false),
        ("end", Some(json!("2026-11-01T24:40:00Z")), false),
    ] {
        check("usage", &changed(&record, field, value), expected);
    }
    let desired = json!({"version": 3, "state": "active"});
    for (field, value, expected) in [
        ("order", long("o", 1025), false),
        ("plan", long("p", 1025), false),
        ("apns", Some(json!(vec!["a"; 64])), true),
        ("apns", Some(json!(vec!["a"; 65])), false),
        ("apns", Some(json!([""])), false),
        ("state", Some(json!("Active")), false),
        ("state", Some(json!("online")), false),
    ] {
        check("desired", &changed(&desired, field, value), expected);
    }
    let receipt = json!({"epoch": 1, "boot": 2, "ranges": []});
    for (value, expected) in [
        (json!(vec![json!({"from": 1, "to": 1}); 1024]), true),
        (json!(vec![json!({"from": 1, "to": 1}); 1025]), false),
        (json!([[1, 2]]), false),
        (json!([{"from": 1}]), false),
    ] {
        check("receipt", &changed(&receipt, "ranges", Some(value)), expected);
    }
}

#[test]
fn the_examples_of_the_modems_manual_are_good() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/modem.md");
    let manual = fs::read_to_string(manual).unwrap();
    let mut found = Vec::new();
    for (at, _) in manual.match_indices("```json\n") {
        let kind = manual[..at].trim_end().rsplit('\n').next().unwrap().trim_matches('`');
        let text = manual[at + 8..].split("```").next().unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        check(kind, &value, true);
        found.push(kind);
    }
    assert_eq!(found, KINDS, "one example of each payload");
}
