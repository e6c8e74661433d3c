//! The AsyncAPI document is one, and names what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use linegate_mqtt::topic::{DeviceId, TopicKind};
use serde_json::Value;

use super::schema;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> Value {
    let text = fs::read_to_string(folder().join("asyncapi.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

#[test]
fn it_is_as_the_asyncapi_schema_says() {
    let schema = fs::read_to_string(folder().join("tests/asyncapi/3.0.0-without-id.json")).unwrap();
    let validator = jsonschema::draft7::new(&serde_json::from_str(&schema).unwrap()).unwrap();
    let document = document();
    let errors: Vec<_> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (pointer, wrong) in [("/operations/sendDesired/action", "publish"), ("/asyncapi", "2.6.0")] {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap() = wrong.into();
        assert!(!validator.is_valid(&document), "{pointer} {wrong}");
    }
}

/// Every reference in the document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn what_it_refers_to_is_there() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    let mut files = BTreeSet::new();
    for reference in found {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => {
                assert!(folder().join(reference).is_file(), "{reference}");
                files.insert(Path::new(reference).file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(files, TopicKind::ALL.map(|kind| kind.as_str().to_owned()).into(), "a schema for each topic");
}

#[test]
fn each_topic_is_a_channel_with_its_operation() {
    let document = document();
    let device = DeviceId::new("DEVICE").unwrap();
    for kind in TopicKind::ALL {
        let channel = &document["channels"][kind.as_str()];
        assert_eq!(channel["address"], device.topic(kind).replace("DEVICE", "{device}"));
        let verb = if kind.is_from_device() { "receive" } else { "send" };
        let name = kind.as_str();
        let operation = &document["operations"][format!("{verb}{}{}", name[..1].to_uppercase(), &name[1..])];
        assert_eq!(operation["action"], verb, "{kind}");
        assert_eq!(operation["channel"]["$ref"], format!("#/channels/{kind}"));
    }
    assert_eq!(document["channels"].as_object().unwrap().len(), TopicKind::ALL.len());
    assert_eq!(document["operations"].as_object().unwrap().len(), TopicKind::ALL.len());
}

#[test]
fn its_examples_are_good() {
    let document = document();
    for kind in TopicKind::ALL.map(TopicKind::as_str) {
        let examples = document["components"]["messages"][kind]["examples"].as_array().unwrap();
        for example in examples {
            let payload = &example["payload"];
            assert!(schema::validator(kind).is_valid(payload), "{kind} {payload}");
            assert!(schema::is_taken(kind, payload), "{kind} {payload}");
        }
    }
}
