//! TMF635 usage: what was rated, reconciled, or waits in suspense.
//!
//! | TMF635 status | ours |
//! |---|---|
//! | `rated` | rated; `isBilled` says whether its month is closed |
//! | `guided` | reconciled: found its line and is not priced |
//! | `rejected` | in suspense, or dropped from it |
//! | `recycled` | was in suspense; the counted record stands beside it |
//! | `rerated` | a new rating after the tariff was corrected, and the reversal of the old one |
//!
//! `received` is never seen, because usage is judged as it comes in. `billed` is not used.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::suspense::key_of;
use crate::domain::cycle::CycleId;
use crate::domain::ids::LineId;
use crate::domain::usage::{Identifier, UsageRecord, UsageSource};
use crate::ports::relational::{CloseState, StoredUsage, UsageFilter};
pub(super) use crate::services::usage_tmf::{BASE, money, suspended, suspended_id, usage, usage_id};

const FILTERS: [&str; 8] = ["line", "cycle", "outcome", "status", "source", "imsi", "msisdn", "deviceId"];

/// `GET /usage`, filtered by line, cycle, outcome (ours) or status (TMF635), source.
pub fn routes() -> Router<ApiState> {
    Router::new().route(&format!("{BASE}/usage"), get(list)).route(&format!("{BASE}/usage/{{id}}"), get(one))
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&FILTERS)?;
    let filter = UsageFilter {
        account: None,
        line: query.text("line").map(LineId::from),
        cycle: query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?,
        outcome: outcome(&query)?,
        subscriber: subscriber(&query),
        source: query.parse::<Source>("source", "gy, rf, modem, file or top-up")?.map(|s| s.0),
    };
    let records = state.store.usage(&filter, query.page()?).await?;
    let currency = state.currency;
    let billed = billed(&state, &records.items).await?;
    Ok(query.list(records, |record| usage(&record, currency, is_billed(&record, &billed))))
}

/// By the id that lists give, or by the key of what is, or was, in suspense.
async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let Ok(sequence) = id.parse() else {
        let (key, group) = key_of(&id)?;
        let case = state.suspense.case(key, group).await?;
        return Ok(Json(query.select(suspended(&case.record))));
    };
    let stored = state.store.usage_at(sequence).await?.ok_or_else(|| ApiError::not_found("usage", &id))?;
    let billed = billed(&state, std::slice::from_ref(&stored)).await?;
    Ok(Json(query.select(usage(&stored, state.currency, is_billed(&stored, &billed)))))
}

/// Whether the record's month is among those whose invoices are made.
pub(super) fn is_billed(record: &UsageRecord, billed: &BTreeSet<CycleId>) -> bool {
    record.cycle.is_some_and(|cycle| billed.contains(&cycle))
}

/// Those of the records' months whose invoices are made.
pub(super) async fn billed(state: &ApiState, records: &[StoredUsage]) -> ApiResult<BTreeSet<CycleId>> {
    let mut billed = BTreeSet::new();
    for cycle in records.iter().filter_map(|record| record.cycle).collect::<BTreeSet<_>>() {
        let run = state.store.close_run(cycle).await?;
        if run.is_some_and(|run| matches!(run.state, CloseState::Settling | CloseState::Done)) {
            billed.insert(cycle);
        }
    }
    Ok(billed)
}

fn outcome(query: &Query) -> ApiResult<Option<String>> {
    if let Some(outcome) = query.text("outcome") {
        return Ok(Some(outcome.to_owned()));
    }
    Ok(query.parse::<Status>("status", "rated, guided, rejected or recycled")?.map(|status| status.0.to_owned()))
}

struct Source(UsageSource);

impl std::str::FromStr for Source {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        source(text).map(Source)
    }
}

/// A source by its name.
pub(super) fn source(text: &str) -> ApiResult<UsageSource> {
    let all = [UsageSource::Gy, UsageSource::Rf, UsageSource::Modem, UsageSource::File, UsageSource::TopUp];
    let found = all.into_iter().find(|s| s.as_str() == text);
    found.ok_or_else(|| ApiError::malformed("source", format!("`{text}`: expected gy, rf, modem, file or top-up")))
}

fn subscriber(query: &Query) -> Option<Identifier> {
    let imsi = query.text("imsi").map(Identifier::imsi);
    let msisdn = || query.text("msisdn").map(Identifier::msisdn);
    imsi.or_else(msisdn).or_else(|| query.text("deviceId").map(|device| Identifier::Device(device.into())))
}

/// TMF635 `UsageStatusType` as our outcome.
struct Status(&'static str);

impl std::str::FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "rated" => Ok(Status("rated")),
            "guided" => Ok(Status("reconciled")),
            "rejected" => Ok(Status("rejected")),
            "recycled" => Ok(Status("recycled")),
            _ => Err(()),
        }
    }
}
