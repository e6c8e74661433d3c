//! `/linegate/v1`: month close, settlements, files, charging accounts.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use super::operations::{AccountView, CloseRequest, Report};
use super::stream::{REPORT_LINES_WAITING_MAX, report, take};
use crate::domain::cycle::CycleId;
use crate::domain::ids::AccountId;
use crate::services::outbox::settlement_csv;

/// Routes answered within the request's time limit.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/linegate/v1/monthClose", post(close))
        .route("/linegate/v1/monthClose/{cycle}", get(close_run))
        .route("/linegate/v1/settlements/{cycle}", get(settlement))
        .route("/linegate/v1/settlements/{cycle}/csv", get(settlement_as_csv))
        .route("/linegate/v1/settlements/{cycle}/pdf", get(settlement_pdf))
        .route("/linegate/v1/accounts/{id}", get(account))
}

/// Routes that take files, with limits of their own.
pub fn upload_routes() -> Router<ApiState> {
    Router::new()
        .route("/linegate/v1/usageFiles", post(usage_file))
        .route("/linegate/v1/lines/import", post(lines))
        .layer(DefaultBodyLimit::disable())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CloseBody {
    cycle: CycleId,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    early: bool,
}

async fn close(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let CloseBody { cycle, dry_run, early } = body.read()?;
    let (sender, lines) = Report::channel(REPORT_LINES_WAITING_MAX);
    let month = state.month.clone();
    let outbox = state.outbox.clone();
    // A task of its own: a caller that goes away does not stop a close.
    let operation = tokio::spawn(async move {
        let result = month.close(CloseRequest { cycle, dry_run, early }, &sender).await;
        outbox.wake();
        result
    });
    report(lines, operation).await
}

async fn close_run(State(state): State<ApiState>, Path(cycle): Path<String>) -> ApiResult<Json<Value>> {
    let cycle: CycleId = cycle.parse()?;
    let run = state.store.close_run(cycle).await?;
    let run = run.ok_or_else(|| ApiError::not_found("month close", &cycle.to_string()))?;
    Ok(Json(json!({
        "cycle": run.cycle,
        "state": run.state,
        "accounts": run.accounts,
        "invoices": run.invoices,
        "billedThrough": run.billed_through,
        "started": run.started.to_string(),
        "finished": run.finished.map(|t| t.to_string()),
    })))
}

async fn load_settlement(state: &ApiState, cycle: &str) -> ApiResult<crate::domain::settlement::Settlement> {
    let cycle: CycleId = cycle.parse()?;
    let settlement = state.store.settlement(cycle).await?;
    settlement.ok_or_else(|| ApiError::not_found("settlement", &cycle.to_string()))
}

async fn settlement(State(state): State<ApiState>, Path(cycle): Path<String>) -> ApiResult<Json<Value>> {
    let settlement = load_settlement(&state, &cycle).await?;
    let ledger = state.store.ledger_totals(settlement.cycle).await?;
    let mut body = serde_json::to_value(&settlement).map_err(|e| ApiError::internal("render settlement", &e))?;
    body["ledger"] = json!(ledger);
    Ok(Json(body))
}

async fn settlement_as_csv(State(state): State<ApiState>, Path(cycle): Path<String>) -> ApiResult<Response> {
    let settlement = load_settlement(&state, &cycle).await?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], settlement_csv(&settlement)).into_response())
}

async fn settlement_pdf(State(state): State<ApiState>, Path(cycle): Path<String>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["department"])?;
    let settlement = load_settlement(&state, &cycle).await?;
    let department = query.text("department").map(str::to_owned);
    let documents = state.documents.clone();
    pdf(&format!("settlement-{}", settlement.cycle), move || {
        documents.settlement_pdf(&settlement, department.as_deref())
    })
    .await
}

/// Draws off the event loop and answers with the document.
pub(super) async fn pdf<F>(name: &str, draw: F) -> ApiResult<Response>
where
    F: FnOnce() -> Result<Vec<u8>, crate::ports::documents::DocumentError> + Send + 'static,
{
    let drawn = tokio::task::spawn_blocking(draw).await.map_err(|e| ApiError::internal("draw document", &e))?;
    let bytes = drawn.map_err(|e| ApiError::internal("draw document", &e))?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}.pdf\"")),
    ];
    Ok((headers, bytes).into_response())
}

async fn account(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Json<AccountView>> {
    let found = state.accounts.account(&AccountId::from(id.as_str())).await?;
    found.map(Json).ok_or_else(|| ApiError::not_found("account", &id))
}

async fn usage_file(State(state): State<ApiState>, headers: HeaderMap, body: axum::body::Body) -> ApiResult<Response> {
    import(state, headers, body, Kind::Usage).await
}

async fn lines(State(state): State<ApiState>, headers: HeaderMap, body: axum::body::Body) -> ApiResult<Response> {
    import(state, headers, body, Kind::Lines).await
}

enum Kind {
    Usage,
    Lines,
}

async fn import(state: ApiState, headers: HeaderMap, body: axum::body::Body, kind: Kind) -> ApiResult<Response> {
    let Ok(place) = Arc::clone(&state.uploads).try_acquire_owned() else {
        return Err(ApiError::unavailable("too many files are being taken in"));
    };
    let upload = take(&headers, body, &state.settings).await?;
    let (sender, lines) = Report::channel(REPORT_LINES_WAITING_MAX);
    let imports = Arc::clone(&state.imports);
    let operation = tokio::spawn(async move {
        let _place = place;
        let mut done = match kind {
            Kind::Usage => imports.usage_file(&upload, &sender).await?,
            Kind::Lines => imports.lines(&upload, &sender).await?,
        };
        if let Some(totals) = done.as_object_mut() {
            totals.insert("file".to_owned(), json!(upload.name));
            totals.insert("digest".to_owned(), json!(upload.digest));
        }
        Ok(done)
    });
    report(lines, operation).await
}
