//! What modems and gateway say to each other, in JSON or CBOR.
//!
//! Times are `i64` milliseconds since the Unix epoch (UTC). On the wire a time is
//! an integer of milliseconds or an RFC 3339 text; we write the integer. Unknown
//! fields are passed over, so that modems may be newer than the gateway.
//!
//! `schemas/` beside this crate's sources says the same in JSON Schema, and
//! `asyncapi.yaml` which of them goes where.

mod strict;
#[cfg(test)]
mod tests;
mod time;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Serialize, Serializer};

use crate::ContentType;

/// Longest batch of usage records in one payload.
pub const USAGE_RECORDS_MAX: usize = 4096;

/// Most ranges in one receipt.
pub const RANGES_MAX: usize = 1024;

/// Most access points of one line.
pub const APNS_MAX: usize = 64;

/// Largest number of octets in one direction, and in both together.
pub const OCTETS_MAX: u64 = i64::MAX as u64;

/// Longest text of any field, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// The state of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    /// In service.
    Active,
    /// Barred for a time.
    Suspended,
    /// Ended.
    Terminated,
}

/// Topic `desired`: the state to be in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Rises with every change; the modem answers with it.
    pub version: u64,
    /// The state to be in.
    #[serde(deserialize_with = "strict::word")]
    pub state: LineState,
    /// The order that wants it; empty where no order does.
    #[serde(rename = "order", default, skip_serializing_if = "String::is_empty")]
    pub order_id: String,
    /// The enrolment epoch to report usage under, where the device is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// When the wish lapses; `None` never.
    #[serde(rename = "expires", default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// The plan, where it matters to the modem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Access points that the line may use; empty leaves them as they are.
    #[serde(default, deserialize_with = "strict::apns", skip_serializing_if = "Vec::is_empty")]
    pub apns: Vec<String>,
}

/// Topic `reported`: the state reached, or the reason why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The version of the desired state that is answered.
    pub version: u64,
    /// The state that the modem is in.
    #[serde(deserialize_with = "strict::word")]
    pub state: LineState,
    /// Why the desired state was not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One usage record. Its key is (device, epoch, boot, seq).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Enrolment epoch: rises when the device is enrolled anew.
    pub epoch: u32,
    /// Boot counter within the epoch.
    pub boot: u32,
    /// Sequence number within the boot.
    pub seq: u64,
    /// Start of the usage.
    #[serde(rename = "start", deserialize_with = "time::required")]
    pub start_ms: i64,
    /// End of the usage, not before its start.
    #[serde(rename = "end", deserialize_with = "time::required")]
    pub end_ms: i64,
    /// Access point name, 1 to 100 bytes.
    pub apn: String,
    /// Rating group (RFC 8506, section 8.29).
    pub rating_group: u32,
    /// Octets from the modem, 0 to 2^63-1.
    pub octets_up: u64,
    /// Octets to the modem, 0 to 2^63-1.
    pub octets_down: u64,
    /// Equipment identity, 14 to 16 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imei: Option<String>,
}

/// Topic `usage`: one record or a batch (an array).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// A record by itself.
    One(UsageRecord),
    /// A batch, possibly empty.
    Batch(Vec<UsageRecord>),
}

impl Usage {
    /// The records, in their order.
    pub fn records(&self) -> &[UsageRecord] {
        match self {
            Self::One(record) => std::slice::from_ref(record),
            Self::Batch(records) => records,
        }
    }
}

/// Topic `receipt`: usage of one boot that is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Enrolment epoch of the records.
    pub epoch: u32,
    /// Boot counter of the records.
    pub boot: u32,
    /// Sequence numbers that are durable, as inclusive ranges.
    #[serde(deserialize_with = "strict::ranges")]
    pub ranges: Vec<SeqRange>,
}

/// An inclusive range of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeqRange {
    /// First.
    pub from: u64,
    /// Last, not below the first.
    pub to: u64,
}

/// Topic `status`: birth and will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether the modem is there.
    #[serde(deserialize_with = "strict::word")]
    pub state: Presence,
    /// Session counter: rises with every session of the modem, so that a late will of an old one is told
    /// from the news of a new one.
    pub session: u64,
}

/// Whether a modem is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Birth.
    Online,
    /// Will, or leave taken.
    Offline,
}

/// Why a payload cannot be read: the field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("decode {what}: {field}: {reason}")]
pub struct PayloadError {
    /// The kind of payload.
    pub what: &'static str,
    /// Path of the field, such as `[3].octets_up`; `.` for the payload itself.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

/// A payload of one topic.
pub trait Payload: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const WHAT: &'static str;

    /// Checks what the types cannot; the path of the field and what is wrong.
    fn check(&self) -> Result<(), (String, String)>;

    /// Reads it from a map, which is what every kind but usage is.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        strict::Object::deserialize(deserializer).map(|object| object.0)
    }

    /// Reads it. Without a content type, a first byte `{`, `[` or white space
    /// means JSON and any other CBOR.
    fn decode(payload: &[u8], content_type: Option<ContentType>) -> Result<Self, PayloadError> {
        let refused = |(field, reason): (String, String)| PayloadError { what: Self::WHAT, field, reason: cut(reason) };
        let read = match format_of(payload, content_type).map_err(refused)? {
            Format::Json => from_json(payload),
            Format::Cbor => from_cbor(payload),
        };
        let strict::Whole(value): strict::Whole<Self> = read.map_err(refused)?;
        value.check().map_err(refused)?;
        Ok(value)
    }

    /// Writes it, in CBOR when asked and in JSON otherwise.
    fn encode(&self, content_type: ContentType) -> Bytes {
        let mut bytes = Vec::with_capacity(128);
        // Neither writer fails on a vector: every key here is text.
        let _written = match content_type {
            ContentType::Cbor => ciborium::into_writer(self, &mut bytes).is_ok(),
            ContentType::Json | ContentType::Unknown => serde_json::to_writer(&mut bytes, self).is_ok(),
        };
        bytes.into()
    }
}

impl Payload for Desired {
    const WHAT: &'static str = "desired";

    fn check(&self) -> Result<(), (String, String)> {
        optional_text("order", Some(&self.order_id))?;
        optional_text("plan", self.plan.as_deref())?;
        for (i, apn) in self.apns.iter().enumerate() {
            check_apn(|| format!("apns[{i}]"), apn)?;
        }
        Ok(())
    }
}

impl Payload for Reported {
    const WHAT: &'static str = "reported";

    fn check(&self) -> Result<(), (String, String)> {
        optional_text("reason", self.reason.as_deref())
    }
}

impl Payload for Usage {
    const WHAT: &'static str = "usage";

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn check(&self) -> Result<(), (String, String)> {
        match self {
            Self::One(record) => check_record(record),
            Self::Batch(records) => {
                for (i, record) in records.iter().enumerate() {
                    check_record(record).map_err(|(field, reason)| (format!("[{i}].{field}"), reason))?;
                }
                Ok(())
            }
        }
    }
}

impl Payload for Receipt {
    const WHAT: &'static str = "receipt";

    fn check(&self) -> Result<(), (String, String)> {
        for (i, range) in self.ranges.iter().enumerate() {
            if range.to < range.from {
                return Err((format!("ranges[{i}].to"), "is before from".into()));
            }
        }
        Ok(())
    }
}

impl Payload for Status {
    const WHAT: &'static str = "status";

    fn check(&self) -> Result<(), (String, String)> {
        Ok(())
    }
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(record) => record.serialize(serializer),
            Self::Batch(records) => records.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsageVisitor)
    }
}

struct UsageVisitor;

impl<'de> Visitor<'de> for UsageVisitor {
    type Value = Usage;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a usage record or an array of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Usage, A::Error> {
        UsageRecord::deserialize(value::MapAccessDeserializer::new(map)).map(Usage::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Usage, A::Error> {
        let records = strict::read_all(&mut seq, USAGE_RECORDS_MAX, |record: strict::Object<UsageRecord>| record.0);
        records.map(Usage::Batch)
    }
}

enum Format {
    Json,
    Cbor,
}

fn format_of(payload: &[u8], content_type: Option<ContentType>) -> Result<Format, (String, String)> {
    match (content_type, payload.first()) {
        (Some(ContentType::Unknown), _) => Err((".".into(), "content type is neither JSON nor CBOR".into())),
        (_, None) => Err((".".into(), "empty payload".into())),
        (Some(ContentType::Json), _) => Ok(Format::Json),
        (Some(ContentType::Cbor), _) => Ok(Format::Cbor),
        (None, Some(b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n')) => Ok(Format::Json),
        (None, Some(_)) => Ok(Format::Cbor),
    }
}

fn from_json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, (String, String)> {
    serde_json::from_slice(payload).map_err(|plain| {
        // A second reading, that follows the path, only when something is wrong.
        let mut again = serde_json::Deserializer::from_slice(payload);
        match serde_path_to_error::deserialize::<_, T>(&mut again) {
            Err(error) => {
                let path = error.path().to_string();
                named(path, error.into_inner().to_string())
            }
            Ok(_) => (".".into(), plain.to_string()),
        }
    })
}

fn from_cbor<T: DeserializeOwned>(payload: &[u8]) -> Result<T, (String, String)> {
    let mut rest = payload;
    match ciborium::from_reader(&mut rest) {
        Ok(value) if rest.is_empty() => Ok(value),
        Ok(_) => Err((".".into(), format!("{} bytes behind the value", rest.len()))),
        Err(plain) => {
            let reason = cbor_reason(plain);
            // A second reading, as a JSON value, for the path of the field.
            let Ok(value) = ciborium::from_reader::<serde_json::Value, _>(payload) else {
                return Err((".".into(), reason));
            };
            match serde_path_to_error::deserialize::<_, T>(value) {
                Err(error) => Err(named(error.path().to_string(), error.inner().to_string())),
                Ok(_) => Err((".".into(), reason)),
            }
        }
    }
}

fn cbor_reason<E: std::fmt::Debug>(error: ciborium::de::Error<E>) -> String {
    use ciborium::de::Error;
    match error {
        Error::Io(_) => "ends inside a value".into(),
        Error::Syntax(at) => format!("not CBOR at byte {at}"),
        Error::Semantic(_, reason) => reason,
        Error::RecursionLimitExceeded => "nested too deep".into(),
    }
}

/// A missing field is named by its parent's path; the field itself says more.
fn named(path: String, reason: String) -> (String, String) {
    let missing = reason.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match missing {
        Some((field, _)) if path == "." => (field.to_owned(), "missing".into()),
        Some((field, _)) => (format!("{path}.{field}"), "missing".into()),
        // A field whose name is empty.
        None if path.is_empty() => (".".into(), reason),
        None => (path, reason),
    }
}

fn cut(mut reason: String) -> String {
    let mut len = reason.len().min(256);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    reason.truncate(len);
    reason
}

fn check_record(record: &UsageRecord) -> Result<(), (String, String)> {
    if record.end_ms < record.start_ms {
        return Err(("end".into(), "is before start".into()));
    }
    check_apn(|| "apn".into(), &record.apn)?;
    if let Some(imei) = &record.imei
        && (!(14..=16).contains(&imei.len()) || !imei.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(("imei".into(), "is not 14 to 16 digits".into()));
    }
    for (field, octets) in [("octets_up", record.octets_up), ("octets_down", record.octets_down)] {
        if octets > OCTETS_MAX {
            return Err((field.into(), format!("{octets} is over {OCTETS_MAX}")));
        }
    }
    if record.octets_up + record.octets_down > OCTETS_MAX {
        return Err(("octets_down".into(), format!("with octets_up is over {OCTETS_MAX}")));
    }
    Ok(())
}

fn check_apn(field: impl Fn() -> String, apn: &str) -> Result<(), (String, String)> {
    if apn.is_empty() || apn.len() > 100 {
        return Err((field(), format!("has {} bytes, allowed are 1 to 100", apn.len())));
    }
    if !apn.bytes().all(|b| b.is_ascii_graphic()) {
        return Err((field(), "has a character that no access point has".into()));
    }
    Ok(())
}

fn optional_text(field: &str, value: Option<&str>) -> Result<(), (String, String)> {
    match value {
        Some(value) if value.len() > TEXT_BYTES_MAX => {
            let reason = format!("has {} bytes, allowed are {TEXT_BYTES_MAX}", value.len());
            Err((field.into(), reason))
        }
        _ => Ok(()),
    }
}
