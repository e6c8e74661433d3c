//! `/linegate/v1/suspense`: what waits, one record with what was done about it,
//! and the two verbs: back into charging, or given up. Lists are TMF635's.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::desk::OPERATOR;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use super::operations::{OperationError, Report};
use super::stream::{REPORT_LINES_WAITING_MAX, report};
use super::usage::{self, suspended_id};
use crate::domain::ids::{DeviceId, LineId};
use crate::domain::usage::{Identifier, SuspenseReason, UsageRecord, UsageSource};
use crate::ports::relational::{SuspenseCase, UsageFilter};
use crate::services::suspense::{RecycleListener, Recycled, SuspenseError};

/// Suspense and its verbs.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/linegate/v1/suspense", get(summary))
        .route("/linegate/v1/suspense/recycle", post(recycle_many))
        .route("/linegate/v1/suspense/{id}", get(one))
        .route("/linegate/v1/suspense/{id}/recycle", post(recycle))
        .route("/linegate/v1/suspense/{id}/correct", post(correct))
        .route("/linegate/v1/suspense/{id}/drop", post(drop_one))
}

impl From<SuspenseError> for ApiError {
    fn from(e: SuspenseError) -> Self {
        match e {
            SuspenseError::Unknown { key, rating_group } => {
                ApiError::not_found("usage in suspense", &format!("{key}/{rating_group}"))
            }
            SuspenseError::Closed { .. } => ApiError::conflict("wrong-state", e.to_string()),
            SuspenseError::Busy => ApiError::conflict("in-progress", e.to_string()),
            SuspenseError::Charging(e) => ApiError::unavailable(e.to_string()),
            SuspenseError::Store(e) => ApiError::from(e),
        }
    }
}

async fn summary(State(state): State<ApiState>) -> ApiResult<Json<Value>> {
    let now = state.clock.now();
    let ages = state.store.suspense_ages().await?;
    let rows = ages.iter().map(|age| {
        json!({
            "reason": age.reason.as_str(),
            "records": age.records,
            "oldest": age.oldest.to_string(),
            "ageSeconds": now.since(age.oldest).as_secs(),
        })
    });
    Ok(Json(rows.collect()))
}

/// `KEY/GROUP`, as [`suspended_id`] writes it.
pub(super) fn key_of(id: &str) -> ApiResult<(&str, u32)> {
    let (key, group) = id.rsplit_once('/').ok_or_else(|| ApiError::not_found("usage in suspense", id))?;
    let group = group.parse().map_err(|_| ApiError::not_found("usage in suspense", id))?;
    Ok((key, group))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let (key, group) = key_of(&id)?;
    Ok(Json(case(state.suspense.case(key, group).await?)))
}

fn case(case: SuspenseCase) -> Value {
    let mut body = usage::suspended(&case.record);
    let history = case.history.iter();
    body["history"] = history
        .map(|(at, by, verb, note)| json!({ "at": at.to_string(), "by": by, "verb": verb, "note": note }))
        .collect();
    body
}

async fn recycle(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&["by"])?;
    let (key, group) = key_of(&id)?;
    let outcome = state.suspense.recycle(key, group, query.text("by").unwrap_or(OPERATOR)).await?;
    judged(&state, key, group, &outcome).await
}

/// The case as it is now, with what came of it.
async fn judged(state: &ApiState, key: &str, group: u32, outcome: &Recycled) -> ApiResult<Json<Value>> {
    let mut body = case(state.suspense.case(key, group).await?);
    body["result"] = json!(outcome.as_str());
    body["reason"] = json!(outcome.reason());
    Ok(Json(body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correct {
    /// A charging file of one row, header included where the mapping has one.
    file: String,
}

/// Charges the corrected row of a charging file in place of the one that could not be read.
async fn correct(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
    body: Body,
) -> ApiResult<Json<Value>> {
    let query = query.only(&["by"])?;
    let (key, group) = key_of(&id)?;
    let Correct { file } = body.read()?;
    let record = state.suspense.open_case(key, group).await?;
    if record.key.source() != UsageSource::File || record.octets > 0 {
        return Err(ApiError::conflict(
            "wrong-state",
            "only a row of a charging file that could not be read is corrected",
        ));
    }
    let answer = state.imports.corrected_row(&record, &file).await?;
    let outcome = state.suspense.corrected(record, &answer, query.text("by").unwrap_or(OPERATOR)).await?;
    judged(&state, key, group, &outcome).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    /// Why.
    reason: String,
}

async fn drop_one(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
    body: Body,
) -> ApiResult<Json<Value>> {
    let query = query.only(&["by"])?;
    let (key, group) = key_of(&id)?;
    let Drop { reason } = body.read()?;
    if reason.trim().is_empty() {
        return Err(ApiError::malformed("$.reason", "says why the usage is given up"));
    }
    state.suspense.give_up(key, group, query.text("by").unwrap_or(OPERATOR), &reason).await?;
    Ok(Json(case(state.suspense.case(key, group).await?)))
}

/// Which records; empty takes every one that is open.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[derive(Default)]
struct Many {
    reason: Option<String>,
    line: Option<LineId>,
    source: Option<String>,
    imsi: Option<String>,
    msisdn: Option<String>,
    device_id: Option<DeviceId>,
}

impl Many {
    fn filter(self) -> ApiResult<UsageFilter> {
        let reason = self.reason.as_deref();
        if let Some(other) = reason.filter(|reason| SuspenseReason::ALL.iter().all(|r| r.as_str() != *reason)) {
            let known = SuspenseReason::ALL.map(SuspenseReason::as_str).join(", ");
            return Err(ApiError::malformed("$.reason", format!("`{other}`: expected one of {known}")));
        }
        let source = self.source.as_deref().map(usage::source).transpose().map_err(|e| e.at("$.source"))?;
        let imsi = self.imsi.map(Identifier::imsi);
        let subscriber = imsi.or(self.msisdn.map(Identifier::msisdn)).or(self.device_id.map(Identifier::Device));
        let outcome = Some(reason.unwrap_or("suspense").to_owned());
        Ok(UsageFilter { line: self.line, outcome, subscriber, source, ..UsageFilter::default() })
    }
}

/// Tells the reader of a report.
struct Lines(Report);

#[async_trait]
impl RecycleListener for Lines {
    async fn recycled(&self, record: &UsageRecord, outcome: &Recycled) {
        self.0.line(json!({ "id": suspended_id(record), "result": outcome.as_str(), "why": outcome.reason() })).await;
    }
}

/// Newline-delimited JSON: a line for each record, then the totals.
async fn recycle_many(State(state): State<ApiState>, query: Query, body: Body) -> ApiResult<Response> {
    let query = query.only(&["by"])?;
    let filter = body.read::<Many>()?.filter()?;
    let by = query.text("by").unwrap_or(OPERATOR).to_owned();
    let (sender, lines) = Report::channel(REPORT_LINES_WAITING_MAX);
    let suspense = Arc::clone(&state.suspense);
    let operation = tokio::spawn(async move {
        let listener = Lines(sender);
        let done = suspense.recycle_many(filter, &by, &listener).await.map_err(|e| match e {
            SuspenseError::Busy => OperationError::InProgress { reason: e.to_string() },
            other => OperationError::Unavailable { reason: other.to_string() },
        })?;
        serde_json::to_value(&done).map_err(|e| OperationError::Broken { reason: e.to_string() })
    });
    report(lines, operation).await
}
