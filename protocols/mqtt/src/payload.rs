//! What modems and gateway say to each other, in JSON or CBOR.
//!
//! Times are `i64` milliseconds since the Unix epoch (UTC). On the wire a time is
//! an integer of milliseconds or an RFC 3339 text; we write the integer. Unknown
//! fields are passed over, so that modems may be newer than the gateway.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ContentType;

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
    pub state: LineState,
    /// The order that wants it.
    #[serde(rename = "order")]
    pub order_id: String,
    /// When the wish lapses; `None` never.
    #[serde(rename = "expires", default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// The plan, where it matters to the modem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Access points that the line may use; empty leaves them as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apns: Vec<String>,
}

/// Topic `reported`: the state reached, or the reason why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The version of the desired state that is answered.
    pub version: u64,
    /// The state that the modem is in.
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
    #[serde(rename = "start")]
    pub start_ms: i64,
    /// End of the usage, not before its start.
    #[serde(rename = "end")]
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
    pub state: Presence,
    /// Counts the modem's sessions, so that a late will of an old one is told
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
pub trait Payload: Sized {
    /// What it is called in errors.
    const WHAT: &'static str;

    /// Reads it. Without a content type, a first byte `{`, `[` or white space
    /// means JSON and any other CBOR.
    fn decode(payload: &[u8], content_type: Option<ContentType>) -> Result<Self, PayloadError>;

    /// Writes it, in CBOR when asked and in JSON otherwise.
    fn encode(&self, content_type: ContentType) -> Bytes;
}
