//! `/linegate/v1/outbox`: messages on their way out, one with all that it
//! carries, and the dead: one or many of them back on their way.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use crate::domain::ids::MessageId;
use crate::domain::notification::{Body as MessageBody, Recipient};
use crate::domain::time::Timestamp;
use crate::ports::relational::{DeliveryState, OutboxEntry};
use crate::services::outbox::{DeadFilter, ReplayError};

const CHANNELS: [&str; 3] = ["webhook", "sms", "mail"];

/// The outbox.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/linegate/v1/outbox", get(list))
        .route("/linegate/v1/outbox/replay", post(replay_many))
        .route("/linegate/v1/outbox/{id}", get(one))
        .route("/linegate/v1/outbox/{id}/replay", post(replay))
}

impl From<ReplayError> for ApiError {
    fn from(e: ReplayError) -> Self {
        match e {
            ReplayError::NotDead(_) => ApiError::conflict("wrong-state", e.to_string()),
            ReplayError::Store(e) => ApiError::from(e),
        }
    }
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["channel", "state"])?;
    let one_of = |name: &str, known: &[&str]| match query.text(name) {
        Some(value) if !known.contains(&value) => {
            Err(ApiError::malformed(name, format!("`{value}`: expected one of {known:?}")))
        }
        value => Ok(value),
    };
    let channel = one_of("channel", &CHANNELS)?;
    let delivery = one_of("state", &["pending", "sent", "dead"])?;
    let found = state.store.messages(channel, delivery, query.page()?).await?;
    let now = state.clock.now();
    Ok(query.list(found, |entry| summary(&entry, now)))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let found = state.store.message(&MessageId::from(id.as_str())).await?;
    let entry = found.ok_or_else(|| ApiError::not_found("message", &id))?;
    let mut body = summary(&entry, state.clock.now());
    body["content"] = json!(entry.message.body);
    Ok(Json(body))
}

fn summary(entry: &OutboxEntry, now: Timestamp) -> Value {
    let message = &entry.message;
    let to = match &message.to {
        Recipient::Webhook { listener } => json!(listener),
        Recipient::Sms { phone } => json!(phone),
        Recipient::Mail { address } => json!(address),
    };
    let carries = match &message.body {
        MessageBody::Event { event_type, .. } => json!({ "event": event_type }),
        MessageBody::Text { text } => json!({ "text": text }),
        MessageBody::Invoice { invoice } => json!({ "invoice": invoice }),
        MessageBody::Settlement { cycle, department } => json!({ "settlement": cycle, "department": department }),
    };
    let mut body = json!({
        "id": message.id,
        "channel": message.to.channel(),
        "to": to,
        "stream": message.stream,
        "carries": carries,
        "created": message.created.to_string(),
        "ageSeconds": now.since(message.created).as_secs(),
    });
    match &entry.delivery {
        DeliveryState::Pending { attempts, next_attempt, last_error } => {
            body["state"] = json!("pending");
            body["attempts"] = json!(attempts);
            body["nextAttempt"] = json!(next_attempt.to_string());
            body["lastError"] = json!(last_error);
        }
        DeliveryState::Sent { at } => {
            body["state"] = json!("sent");
            body["at"] = json!(at.to_string());
        }
        DeliveryState::Dead { at, reason } => {
            body["state"] = json!("dead");
            body["at"] = json!(at.to_string());
            body["reason"] = json!(reason);
        }
    }
    body
}

async fn replay(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let id = MessageId::from(id);
    state.outbox.replay(&id).await?;
    Ok(Json(json!({ "id": id, "state": "pending" })))
}

/// At most `limit` of the dead, as many as a page without it; each with what came of it.
async fn replay_many(State(state): State<ApiState>, query: Query, body: Body) -> ApiResult<Json<Value>> {
    let limit = query.only(&[])?.page()?.limit;
    let filter: DeadFilter = body.read()?;
    if let Some(other) = filter.channel.as_deref().filter(|c| !CHANNELS.contains(c)) {
        return Err(ApiError::malformed("$.channel", format!("`{other}`: expected one of {CHANNELS:?}")));
    }
    let results = state.outbox.replay_all(&filter, limit).await?;
    let items = results.into_iter().map(|(id, result)| match result {
        Ok(()) => json!({ "id": id, "state": "pending" }),
        Err(e) => json!({ "id": id, "error": e.to_string() }),
    });
    Ok(Json(items.collect()))
}
