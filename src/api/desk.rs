//! `/linegate/v1`: what people at the operator do: the fallout queue and the outbox.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::orders::verb_refused;
use crate::domain::ids::{MessageId, OrderId};
use crate::domain::notification::{Body as MessageBody, Recipient};
use crate::ports::relational::{DeliveryState, OutboxEntry};
use crate::services::ordering::{Fallout, FalloutVerb, tmf};
use crate::services::outbox::ReplayError;

/// Who did it, where the request does not say.
pub(super) const OPERATOR: &str = "operator";
/// Dead messages that are looked through to replay one.
const REPLAY_SCAN_MAX: u64 = 65_536;

/// Fallout and outbox.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/linegate/v1/fallout", get(fallout))
        .route("/linegate/v1/fallout/{order}/{verb}", post(intervene))
        .route("/linegate/v1/outbox", get(outbox))
        .route("/linegate/v1/outbox/{id}/replay", post(replay))
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

async fn outbox(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["channel", "state"])?;
    let one_of = |name: &str, known: &[&str]| match query.text(name) {
        Some(value) if !known.contains(&value) => {
            Err(ApiError::malformed(name, format!("`{value}`: expected one of {known:?}")))
        }
        value => Ok(value),
    };
    let channel = one_of("channel", &["webhook", "sms", "mail"])?;
    let delivery = one_of("state", &["pending", "sent", "dead"])?;
    let found = state.store.messages(channel, delivery, query.page()?).await?;
    Ok(query.list(found, |entry| entry_body(&entry)))
}

fn entry_body(entry: &OutboxEntry) -> Value {
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
    match state.outbox.replay(&id, REPLAY_SCAN_MAX).await {
        Ok(()) => Ok(Json(json!({ "id": id, "state": "pending" }))),
        Err(e @ ReplayError::NotDead(_)) => Err(ApiError::conflict("wrong-state", e.to_string())),
        Err(ReplayError::Store(e)) => Err(ApiError::from(e)),
    }
}
