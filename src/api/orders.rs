//! TMF641 service ordering: orders and their cancellation.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query, counted};
use crate::domain::ids::{CustomerId, LineId, OrderId};
use crate::domain::ordering::{Note, Order, OrderState};
use crate::domain::request::{ItemAction, NewItem, NewOrder, RequestedState};
use crate::domain::time::Timestamp;
use crate::ports::relational::OrderFilter;
use crate::saga::{Phase, SagaRecord};
use crate::services::ordering::{Idempotency, SubmitError, VerbRefused, tmf};
use crate::telemetry::metrics;

const BASE: &str = "/tmf-api/serviceOrdering/v4";
/// TMF641 runs from 0, the highest, to 4.
const PRIORITY_LOWEST: u8 = 4;
/// Characters of an Idempotency-Key or externalId.
const KEY_MAX: usize = 200;
/// Members of an order that the gateway reads or sets itself; everything else
/// is kept and given back.
const OWN_MEMBERS: [&str; 16] = [
    "id",
    "href",
    "state",
    "externalId",
    "priority",
    "requestedStartDate",
    "serviceOrderItem",
    "note",
    "orderDate",
    "startDate",
    "completionDate",
    "cancellationDate",
    "cancellationReason",
    "milestone",
    "errorMessage",
    "@type",
];

/// Orders and cancellations.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(&format!("{BASE}/serviceOrder"), get(list).post(create))
        .route(&format!("{BASE}/serviceOrder/{{id}}"), get(one))
        .route(&format!("{BASE}/cancelServiceOrder"), get(cancellations).post(cancel))
        .route(&format!("{BASE}/cancelServiceOrder/{{id}}"), get(cancellation))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody {
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    priority: Option<Value>,
    #[serde(default)]
    requested_start_date: Option<String>,
    #[serde(default)]
    related_party: Vec<PartyBody>,
    #[serde(default)]
    note: Vec<NoteBody>,
    service_order_item: Vec<ItemBody>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PartyBody {
    pub(super) id: String,
    #[serde(default)]
    pub(super) role: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NoteBody {
    #[serde(default)]
    author: Option<String>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct ItemBody {
    id: String,
    action: String,
    service: ServiceBody,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceBody {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    service_specification: Option<Reference>,
    #[serde(default)]
    service_characteristic: Vec<CharacteristicBody>,
    #[serde(default)]
    service_relationship: Vec<RelationshipBody>,
}

/// A TM Forum reference: its id.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
struct CharacteristicBody {
    name: String,
    value: Value,
}

#[derive(Debug, Deserialize)]
struct RelationshipBody {
    service: Reference,
}

async fn create(State(state): State<ApiState>, headers: HeaderMap, body: Body) -> ApiResult<Response> {
    let request = new_order(&body, state.clock.now())?;
    let idempotency = Idempotency { key: idempotency_key(&headers)?, fingerprint: body.fingerprint() };
    let submitted = state.ordering.submit(&request, &idempotency).await.map_err(refused)?;
    state.outbox.wake();
    let location = href(&submitted.order.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(submitted.response)).into_response())
}

fn href(id: &OrderId) -> String {
    format!("{BASE}/serviceOrder/{id}")
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|k| !k.is_empty() && k.len() <= KEY_MAX);
    key.map(|k| Some(k.to_owned()))
        .ok_or_else(|| ApiError::malformed("Idempotency-Key", format!("expected 1 to {KEY_MAX} ASCII characters")))
}

fn new_order(body: &Body, now: Timestamp) -> ApiResult<NewOrder> {
    let read: OrderBody = body.read()?;
    if read.external_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > KEY_MAX) {
        return Err(ApiError::malformed("$.externalId", format!("expected 1 to {KEY_MAX} octets")));
    }
    let requested_start = read
        .requested_start_date
        .map(|text| Timestamp::parse(&text).map_err(|e| ApiError::malformed("$.requestedStartDate", e.to_string())))
        .transpose()?;
    let note = |n: NoteBody| Note { at: now, author: n.author.unwrap_or_else(|| "customer".into()), text: n.text };
    let raws = body.0["serviceOrderItem"].as_array().cloned().unwrap_or_default();
    let items = read.service_order_item.into_iter().zip(raws).enumerate();
    Ok(NewOrder {
        customer: customer(&read.related_party),
        items: items.map(|(i, (item, raw))| new_item(i, item, &raw)).collect::<ApiResult<_>>()?,
        external_id: read.external_id,
        priority: priority(read.priority.as_ref())?,
        requested_start,
        notes: read.note.into_iter().map(note).collect(),
        extra: body.others(&OWN_MEMBERS),
    })
}

/// The party with role `customer`, whatever its case.
pub(super) fn customer(parties: &[PartyBody]) -> Option<CustomerId> {
    let with_role = |p: &&PartyBody| p.role.as_deref().is_some_and(|r| r.eq_ignore_ascii_case("customer"));
    parties.iter().find(with_role).map(|p| CustomerId::from(p.id.as_str()))
}

fn priority(value: Option<&Value>) -> ApiResult<u8> {
    let number = match value {
        None | Some(Value::Null) => return Ok(PRIORITY_LOWEST),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64().and_then(|n| u8::try_from(n).ok()),
    };
    number
        .filter(|n| *n <= PRIORITY_LOWEST)
        .ok_or_else(|| ApiError::malformed("$.priority", "expected 0 (highest) to 4 (lowest)"))
}

fn new_item(index: usize, item: ItemBody, raw: &Value) -> ApiResult<NewItem> {
    let path = |member: &str| format!("$.serviceOrderItem[{index}].{member}");
    let action: ItemAction = item.action.parse().map_err(|()| {
        ApiError::malformed(path("action"), format!("`{}`: expected add, modify, delete or noChange", item.action))
    })?;
    let state = item.service.state.map(|text| {
        text.parse::<RequestedState>().map_err(|()| {
            ApiError::malformed(path("service.state"), format!("`{text}`: expected active, inactive or terminated"))
        })
    });
    let related = item.service.service_relationship.iter().map(|r| LineId::from(r.service.id.as_str()));
    Ok(NewItem {
        id: item.id,
        action,
        service: item.service.id.map(LineId::from),
        state: state.transpose()?,
        spec: item.service.service_specification.map(|s| s.id),
        characteristics: item.service.service_characteristic.into_iter().map(|c| (c.name, c.value)).collect(),
        relationships: related.collect(),
        raw: raw["service"].clone(),
    })
}

/// Why an order was refused, as a status.
pub(super) fn refused(e: SubmitError) -> ApiError {
    let refusal = match e {
        SubmitError::Invalid(bad) if bad.item == "*" => ApiError::malformed(format!("$.{}", bad.what), bad.reason),
        SubmitError::Invalid(bad) => {
            let place = format!("$.serviceOrderItem[?(@.id=='{}')].{}", bad.item, bad.what);
            ApiError::malformed(place, bad.reason)
        }
        SubmitError::Illegal { .. } => ApiError::unprocessable("illegal-transition", e.to_string()),
        SubmitError::Unknown { what, .. } => ApiError::unprocessable("unknown-reference", e.to_string()).at(what),
        SubmitError::Taken { what, .. } => ApiError::conflict("identifier-taken", e.to_string()).at(what),
        SubmitError::Busy { .. } => ApiError::conflict("queue-full", e.to_string()),
        SubmitError::KeyReused { .. } => ApiError::conflict("key-reused", e.to_string()),
        SubmitError::Store(e) => ApiError::from(e),
    };
    metrics().orders_refused.with_label_values(&[refusal.status.as_str()]).inc();
    refusal
}

/// Why a verb was refused, as a status.
pub(super) fn verb_refused(e: VerbRefused) -> ApiError {
    match e {
        VerbRefused::Unknown(id) => ApiError::not_found("serviceOrder", id.as_str()),
        VerbRefused::WrongState { .. } => ApiError::conflict("wrong-state", e.to_string()),
        VerbRefused::TooLate { .. } => ApiError::conflict("too-late", e.to_string()),
        VerbRefused::Store(e) => ApiError::from(e),
    }
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["state", "externalId", "relatedParty.id", "service.id"])?;
    let filter = OrderFilter {
        state: query.parse::<OrderState>("state", "a TMF641 order state")?,
        customer: query.text("relatedParty.id").map(CustomerId::from),
        external_id: query.text("externalId").map(str::to_owned),
        line: query.text("service.id").map(LineId::from),
    };
    let orders = state.ordering.orders(&filter, query.page()?).await?;
    Ok(query.list(orders, |order| tmf::service_order(&order)))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let order = load(&state, &id).await?;
    let mut body = tmf::service_order(&order);
    if let OrderState::Pending | OrderState::Held = order.state
        && let Some((saga, _)) = state.ordering.saga(&order.id).await?
        && let Some(alert) = jeopardy(&saga)
    {
        body["jeopardyAlert"] = json!([alert]);
    }
    Ok(Json(query.select(body)))
}

/// What an order waits for, or why it is in fallout: TMF641 `jeopardyAlert`.
fn jeopardy(saga: &SagaRecord) -> Option<Value> {
    let (name, message) = match &saga.phase {
        Phase::Stuck { cause, .. } => ("fallout", cause.clone()),
        _ => ("waiting", saga.waiting_for.clone()?),
    };
    let step = match &saga.phase {
        Phase::Forward { step } | Phase::Backward { step, .. } | Phase::Stuck { step, .. } => saga.steps.get(*step),
        Phase::Done | Phase::Undone { .. } => None,
    };
    Some(json!({
        "id": "1",
        "name": name,
        "message": message,
        "jeopardyType": step.map(|s| s.name.clone()),
    }))
}

async fn load(state: &ApiState, id: &str) -> ApiResult<Order> {
    let order = state.ordering.order(&OrderId::from(id)).await?;
    order.ok_or_else(|| ApiError::not_found("serviceOrder", id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelBody {
    service_order: Reference,
    #[serde(default)]
    cancellation_reason: Option<String>,
}

async fn cancel(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let CancelBody { service_order, cancellation_reason } = body.read()?;
    let reason = cancellation_reason.unwrap_or_else(|| "requested".to_owned());
    let id = OrderId::from(service_order.id);
    let outcome = state.ordering.cancel(&id, &reason).await.map_err(verb_refused)?;
    state.outbox.wake();
    let location = format!("{BASE}/cancelServiceOrder/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(cancel_order(&outcome.order))).into_response())
}

async fn cancellation(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let order = load(&state, &id).await?;
    if task_state(&order).is_none() {
        return Err(ApiError::not_found("cancelServiceOrder", &id));
    }
    Ok(Json(cancel_order(&order)))
}

/// Cancellations of orders that are being undone, then those that are done.
async fn cancellations(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let (mut page, mut items, mut total) = (query.page()?, Vec::new(), 0);
    for order_state in [OrderState::AssessingCancellation, OrderState::PendingCancellation, OrderState::Cancelled] {
        let filter = OrderFilter { state: Some(order_state), ..OrderFilter::default() };
        let found = state.ordering.orders(&filter, page).await?;
        total += found.total;
        page.limit -= (found.items.len() as u64).min(page.limit);
        page.offset = page.offset.saturating_sub(found.total);
        items.extend(found.items.iter().map(|order| query.select(cancel_order(order))));
    }
    Ok(counted(items, total))
}

/// TMF641 `TaskStateType` of an order's cancellation; `None` where none was asked for.
fn task_state(order: &Order) -> Option<&'static str> {
    match order.state {
        OrderState::Cancelled => Some("done"),
        OrderState::AssessingCancellation => Some("acknowledged"),
        OrderState::PendingCancellation => Some("inProgress"),
        _ if order.cancellation_reason.is_some() => Some("terminatedWithError"),
        _ => None,
    }
}

/// TMF641 v4 `CancelServiceOrder`. An order has one cancellation, under the order's own id.
fn cancel_order(order: &Order) -> Value {
    json!({
        "id": order.id,
        "href": format!("{BASE}/cancelServiceOrder/{}", order.id),
        "cancellationReason": order.cancellation_reason,
        "effectiveCancellationDate": order.completed.map(|t| t.to_string()),
        "serviceOrder": { "id": order.id, "href": href(&order.id) },
        "state": task_state(order),
        "@type": "CancelServiceOrder",
    })
}
