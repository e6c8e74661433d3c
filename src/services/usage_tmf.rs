//! Usage in TM Forum's words (TMF635 v4), as REST answers it and events carry it.

use serde_json::{Value, json};

use crate::domain::money::{Currency, Money};
use crate::domain::usage::{Identifier, RecordKey, SuspenseReason, UsageOutcome, UsageRecord};
use crate::ports::relational::StoredUsage;

/// Where usage is.
pub const BASE: &str = "/tmf-api/usageManagement/v4";

/// The id of a record: its place, or, where it is or was in suspense, its key and rating
/// group: by that it is corrected.
pub fn usage_id(stored: &StoredUsage) -> String {
    if stored.outcome.reason().is_some() { suspended_id(stored) } else { stored.sequence.to_string() }
}

/// The id of what is, or was, in suspense.
pub fn suspended_id(record: &UsageRecord) -> String {
    format!("{}/{}", record.key, record.rating_group)
}

/// `Usage` of a record; `is_billed` says whether the invoices of its month are made.
pub fn usage(stored: &StoredUsage, currency: Currency, is_billed: bool) -> Value {
    let mut body = resource(usage_id(stored), stored);
    if let UsageOutcome::Rated = stored.outcome {
        body["ratedProductUsage"] = json!([{
            "ratingDate": stored.received.to_string(),
            "usageRatingTag": "usage",
            "ratingAmountType": "total",
            "isBilled": is_billed,
            "taxExcludedRatingAmount": money(Money::new(stored.amount, currency)),
            "productRef": { "id": stored.line, "name": stored.plan },
        }]);
    }
    body
}

/// `Usage` of what is, or was, in suspense.
pub fn suspended(record: &UsageRecord) -> Value {
    resource(suspended_id(record), record)
}

/// What is reconciled found its line and is not priced: `guided`; what is in suspense is
/// `rejected`, with the reason beside it.
fn resource(id: String, record: &UsageRecord) -> Value {
    let status = match record.outcome {
        UsageOutcome::Rated if matches!(record.key, RecordKey::Rerated(..) | RecordKey::Reversed(..)) => "rerated",
        UsageOutcome::Rated => "rated",
        UsageOutcome::Reconciled => "guided",
        UsageOutcome::Suspense(_) | UsageOutcome::Dropped(_) => "rejected",
        UsageOutcome::Recycled(_) => "recycled",
    };
    json!({
        "href": format!("{BASE}/usage/{}", id.replace('%', "%25").replace('/', "%2F")),
        "id": id,
        "usageDate": record.ends.to_string(),
        "usageType": "data",
        "status": status,
        "usageCharacteristic": characteristics(record),
        "@type": "Usage",
    })
}

/// TMF `Money`: the value is a JSON number written from the exact decimal text.
pub fn money(amount: Money) -> Value {
    let value: Value = serde_json::from_str(&amount.decimal()).unwrap_or_else(|_| json!(amount.decimal()));
    json!({ "unit": amount.currency.code(), "value": value })
}

fn characteristics(record: &UsageRecord) -> Vec<Value> {
    let subscriber = record.subscriber.as_ref().map(|s| match s {
        Identifier::Imsi(imsi) => ("imsi", json!(imsi)),
        Identifier::Msisdn(msisdn) => ("msisdn", json!(msisdn)),
        Identifier::Device(device) => ("deviceId", json!(device)),
    });
    let named = [
        ("key", json!(record.key.to_string())),
        ("line", json!(record.line)),
        ("account", json!(record.account)),
        ("cycle", json!(record.cycle)),
        ("lateFor", json!(record.late_for)),
        ("apn", json!(record.apn)),
        ("detail", json!(record.detail)),
        ("source", json!(record.key.source().as_str())),
        ("outcome", json!(record.outcome.as_str())),
        ("reason", json!(record.outcome.reason().map(SuspenseReason::as_str))),
        ("tariffVersion", json!(record.tariff_version)),
        ("ratingGroup", json!(record.rating_group)),
        ("octets", json!(record.octets)),
        ("start", json!(record.starts.to_string())),
        ("end", json!(record.ends.to_string())),
    ];
    named
        .into_iter()
        .chain(subscriber)
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}
