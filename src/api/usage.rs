//! TMF635 usage: what was rated, reconciled, or waits in suspense.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::ApiState;
use super::error::ApiResult;
use super::extract::Query;
use crate::domain::cycle::CycleId;
use crate::domain::ids::LineId;
use crate::domain::money::{Currency, Money};
use crate::domain::usage::{Identifier, UsageOutcome, UsageRecord, UsageSource};
use crate::ports::relational::UsageFilter;

const BASE: &str = "/tmf-api/usageManagement/v4";
const FILTERS: [&str; 5] = ["line", "cycle", "outcome", "status", "source"];

/// `GET /usage`, filtered by line, cycle, outcome (ours) or status (TMF635), source.
pub fn routes() -> Router<ApiState> {
    Router::new().route(&format!("{BASE}/usage"), get(list))
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&FILTERS)?;
    let filter = UsageFilter {
        line: query.text("line").map(LineId::from),
        cycle: query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?,
        outcome: outcome(&query)?,
        source: query.parse::<Source>("source", "gy, rf, modem or file")?.map(|s| s.0),
    };
    let records = state.store.usage(&filter, query.page()?).await?;
    let currency = state.currency;
    Ok(query.list(records, |record| usage(&record, currency)))
}

fn outcome(query: &Query) -> ApiResult<Option<String>> {
    if let Some(outcome) = query.text("outcome") {
        return Ok(Some(outcome.to_owned()));
    }
    Ok(query.parse::<Status>("status", "rated, guided or rejected")?.map(|status| status.0.to_owned()))
}

struct Source(UsageSource);

impl std::str::FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [UsageSource::Gy, UsageSource::Rf, UsageSource::Modem, UsageSource::File];
        all.into_iter().find(|s| s.as_str() == text).map(Source).ok_or(())
    }
}

/// TMF635 `UsageStatusType` as our outcome.
struct Status(&'static str);

impl std::str::FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "rated" => Ok(Status("rated")),
            "guided" => Ok(Status("reconciled")),
            "rejected" => Ok(Status("suspense")),
            _ => Err(()),
        }
    }
}

/// TMF635 v4 `Usage`. What is reconciled found its line and is not priced:
/// `guided`; what is in suspense is `rejected`, with the reason beside it.
pub(super) fn usage(record: &UsageRecord, currency: Currency) -> Value {
    let id = format!("{}/{}", record.key, record.rating_group);
    let status = match record.outcome {
        UsageOutcome::Rated => "rated",
        UsageOutcome::Reconciled => "guided",
        UsageOutcome::Suspense(_) => "rejected",
    };
    let mut body = json!({
        "id": id,
        "usageDate": record.ends.to_string(),
        "usageType": "data",
        "status": status,
        "usageCharacteristic": characteristics(record),
        "@type": "Usage",
    });
    if let UsageOutcome::Rated = record.outcome {
        let amount = Money::new(record.amount, currency);
        body["ratedProductUsage"] = json!([{
            "ratingDate": record.received.to_string(),
            "usageRatingTag": "usage",
            "ratingAmountType": "total",
            "isBilled": false,
            "taxExcludedRatingAmount": money(amount),
            "productRef": { "id": record.line, "name": record.plan },
        }]);
    }
    body
}

/// TMF `Money`: the value is a JSON number written from the exact decimal text.
pub(super) fn money(amount: Money) -> Value {
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
        ("line", json!(record.line)),
        ("account", json!(record.account)),
        ("cycle", json!(record.cycle)),
        ("lateFor", json!(record.late_for)),
        ("apn", json!(record.apn)),
        ("detail", json!(record.detail)),
        ("source", json!(record.key.source().as_str())),
        ("outcome", json!(record.outcome.as_str())),
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
