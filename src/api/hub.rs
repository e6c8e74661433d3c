//! `/hub` of every TM Forum API: listeners come and go (TMF630 part 1, TMF688).
//!
//! A listener's secret signs what it gets; it is told once, in the response to
//! its registration.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Body;
use crate::domain::ids::ListenerId;
use crate::ports::delivery::DeliveryError;
use crate::ports::relational::{Listener, Write};
use crate::services::outbox::EventQuery;

/// Octets of a secret that we make.
const SECRET_OCTETS: usize = 24;
/// Standard Webhooks' mark of a symmetric secret.
const SECRET_PREFIX: &str = "whsec_";

#[derive(Debug, Deserialize)]
struct Subscription {
    callback: String,
    #[serde(default)]
    query: Option<String>,
    #[serde(default, rename = "x-secret")]
    secret: Option<String>,
}

/// `POST /hub` and `DELETE /hub/{id}` under `base`, for the events of `api`.
pub fn routes(base: &str, api: &'static str) -> Router<ApiState> {
    Router::new()
        .route(
            &format!("{base}/hub"),
            post(move |state: State<ApiState>, body: Body| async move { register(state, api, body).await }),
        )
        .route(
            &format!("{base}/hub/{{id}}"),
            delete(move |state: State<ApiState>, id: Path<String>| async move { remove(state, api, id).await }),
        )
}

async fn register(State(state): State<ApiState>, api: &'static str, body: Body) -> ApiResult<Response> {
    let wanted: Subscription = body.read()?;
    let query = wanted.query.unwrap_or_default();
    EventQuery::parse(&query).map_err(|e| ApiError::malformed("$.query", e.to_string()))?;
    if wanted.secret.as_ref().is_some_and(|s| s.len() < 16 || s.len() > 128) {
        return Err(ApiError::malformed("$.x-secret", "expected 16 to 128 characters"));
    }
    state.webhooks.admits(&wanted.callback).await.map_err(refused_callback)?;
    let present = state.store.listeners().await?;
    if present.len() >= state.settings.listeners_max {
        return Err(ApiError::conflict("too-many-listeners", format!("{} listeners are registered", present.len())));
    }
    let now = state.clock.now();
    let listener = Listener {
        id: ListenerId::from(state.ids.fresh(now)),
        callback: wanted.callback,
        query,
        api: api.to_owned(),
        secret: wanted.secret.unwrap_or_else(|| fresh_secret(&state)),
    };
    let answer = json!({
        "id": listener.id,
        "callback": listener.callback,
        "query": listener.query,
        "x-secret": listener.secret,
    });
    let location = format!("hub/{}", listener.id);
    state.store.save(vec![Write::Listener(listener)]).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(answer)).into_response())
}

async fn remove(State(state): State<ApiState>, api: &'static str, Path(id): Path<String>) -> ApiResult<StatusCode> {
    let id = ListenerId::from(id);
    let known = state.store.listeners().await?.into_iter().any(|l| l.id == id && l.api == api);
    if !known {
        return Err(ApiError::not_found("hub", id.as_str()));
    }
    state.store.save(vec![Write::RemoveListener(id)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn fresh_secret(state: &ApiState) -> String {
    let mut bytes = [0u8; SECRET_OCTETS];
    state.ids.secret(&mut bytes);
    format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
}

fn refused_callback(e: DeliveryError) -> ApiError {
    match e {
        DeliveryError::Permanent { reason } => ApiError::unprocessable("callback-refused", reason).at("$.callback"),
        DeliveryError::Transient { reason } => ApiError::unprocessable("callback-unreachable", reason).at("$.callback"),
    }
}
