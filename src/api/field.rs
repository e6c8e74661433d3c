//! What a field worker reads and reports, with a token of his own.
//!
//! Invariant: every handler takes its worker from the token and from nowhere else;
//! the work of others is not known here.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query, bearer};
use super::visits::refused;
use super::work::report;
use crate::domain::fieldwork::{RETURN_REASONS, WorkOrder};
use crate::domain::ids::{WorkOrderId, WorkerId};
use crate::ports::relational::WorkFilter;
use crate::services::fieldwork::FieldworkSettings;
use crate::services::ordering::tmf;
use crate::services::tokens::Bearer;

/// The worker that the request's token is bound to.
struct Own(WorkerId);

impl FromRequestParts<ApiState> for Own {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        let token = bearer(&parts.headers).ok_or_else(|| ApiError::unauthorized("a bearer token is needed"))?;
        match state.tokens.read(token, state.clock.now()) {
            Some(Bearer::Worker(worker)) => Ok(Self(worker)),
            _ => Err(ApiError::unauthorized("the bearer token is not known or has expired")),
        }
    }
}

/// What workers use.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/field/v1/workOrder", get(list))
        .route("/field/v1/workOrder/{id}", get(one).patch(change))
        .route("/field/v1/returnReasons", get(reasons))
}

/// What operators give workers.
pub fn token_routes() -> Router<ApiState> {
    Router::new().route("/linegate/v1/tokens/worker", post(issue))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    worker: String,
}

async fn issue(State(state): State<ApiState>, body: Body) -> ApiResult<Json<Value>> {
    let TokenBody { worker } = body.read()?;
    if !state.scheduling.workers().await?.iter().any(|w| w.id.as_str() == worker) {
        return Err(
            ApiError::unprocessable("unknown-reference", format!("worker `{worker}` is not known")).at("$.worker")
        );
    }
    let worker = WorkerId::from(worker);
    let life = std::time::Duration::from_secs(state.fieldwork.settings().token_s);
    let until = state.clock.now().plus(life);
    Ok(Json(json!({
        "worker": worker,
        "token": state.tokens.sign(&Bearer::Worker(worker.clone()), until),
        "expires": until.to_string(),
    })))
}

/// The list of a day in the worker's zone, by planned start; today where none is named.
async fn list(State(state): State<ApiState>, Own(worker): Own, query: Query) -> ApiResult<Response> {
    let query = query.only(&["date"])?;
    let day = query.parse::<Date>("date", "a day such as 2026-11-27")?;
    let planned = state.scheduling.day_of_worker(&worker, day).await.map_err(refused)?;
    let filter = WorkFilter { worker: Some(worker), planned: Some(planned), ..WorkFilter::default() };
    let found = state.fieldwork.work_orders(&filter, query.page()?).await?;
    Ok(query.list(found, |work| shown(&work, state.fieldwork.settings())))
}

async fn one(
    State(state): State<ApiState>,
    Own(worker): Own,
    Path(id): Path<String>,
    query: Query,
) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let work = state.fieldwork.work_order(&WorkOrderId::from(id.as_str())).await?;
    let work = work.filter(|w| w.worker == worker).ok_or_else(|| ApiError::not_found("workOrder", &id))?;
    Ok(Json(query.select(shown(&work, state.fieldwork.settings()))))
}

async fn change(
    State(state): State<ApiState>,
    Own(worker): Own,
    Path(id): Path<String>,
    body: Body,
) -> ApiResult<Json<Value>> {
    let work = report(&state, &WorkOrderId::from(id), &body, Some(&worker)).await?;
    Ok(Json(shown(&work, state.fieldwork.settings())))
}

async fn reasons(State(state): State<ApiState>, _: Own) -> Json<Value> {
    let listed = state.fieldwork.settings().return_reasons.iter().map(|code| {
        let text = RETURN_REASONS.iter().find(|(known, ..)| known == code);
        json!({ "code": code, "text": text.map(|(_, ko, en)| json!({ "ko": ko, "en": en })) })
    });
    Json(listed.collect())
}

/// TMF697 with what the worker needs at the door: whom to call, what to install.
fn shown(work: &WorkOrder, settings: &FieldworkSettings) -> Value {
    let mut body = tmf::work_order(work);
    body["contactMedium"] = json!(
        work.phone
            .iter()
            .map(|phone| json!({
                "mediumType": "telephone", "characteristic": { "phoneNumber": phone },
            }))
            .collect::<Vec<_>>()
    );
    let install = work.items.iter().map(|item| {
        json!({ "service": item.line, "access": item.access, "plan": item.plan,
            "equipment": settings.equipment.get(&item.access) })
    });
    body["install"] = install.collect();
    body["returnNote"] = json!(work.return_note);
    body
}
