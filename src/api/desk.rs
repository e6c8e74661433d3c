//! `/linegate/v1`: what people at the operator do: the fallout queue.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::orders::verb_refused;
use crate::domain::ids::OrderId;
use crate::services::ordering::{Fallout, FalloutVerb, tmf};

/// Who did it, where the request does not say.
pub(super) const OPERATOR: &str = "operator";

/// Fallout.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/linegate/v1/fallout", get(fallout))
        .route("/linegate/v1/fallout/{order}/{verb}", post(intervene))
}

async fn fallout(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let found = state.ordering.fallout(query.page()?).await?;
    let now = state.clock.now();
    Ok(query.list(found, |Fallout { order, cause, reason, step, undoing, since }| {
        json!({
            "order": order,
            "cause": cause,
            "reason": reason,
            "step": step,
            "undoing": undoing,
            "since": since.to_string(),
            "ageSeconds": now.since(since).as_secs(),
        })
    }))
}

async fn intervene(
    State(state): State<ApiState>,
    Path((order, verb)): Path<(String, String)>,
    query: Query,
) -> ApiResult<Json<Value>> {
    let query = query.only(&["by"])?;
    let known = [FalloutVerb::Retry, FalloutVerb::Skip, FalloutVerb::Fail];
    let Some(verb) = known.into_iter().find(|v| v.as_str() == verb) else {
        return Err(ApiError::not_found("verb", &verb));
    };
    let by = query.text("by").unwrap_or(OPERATOR);
    let order = state.ordering.intervene(&OrderId::from(order), verb, by).await.map_err(verb_refused)?;
    state.outbox.wake();
    Ok(Json(tmf::service_order(&order)))
}
