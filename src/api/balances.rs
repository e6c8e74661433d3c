//! TMF654 prepay balance: what is left of a line's cycle, and top-ups.
//!
//! A bucket is a line's open cycle: what is left of its plan's cap, or of its
//! allowance where it has no cap, with top-ups; without an end it has no
//! `remainingValue`. Amounts are octets. Top-ups are paid for elsewhere.

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
use super::orders::idempotency_key;
use crate::domain::account::{AccountView, LineView};
use crate::domain::ids::{AccountId, LineId, OrderId};
use crate::domain::ledger::LedgerSide;
use crate::domain::line::{Line, LineState};
use crate::domain::notification::Happening;
use crate::domain::usage::{RecordKey, UsageRecord, UsageSource};
use crate::ports::relational::{IdempotencyRecord, LineFilter, Page, Paged, StoreError, UsageFilter, Write};

const BASE: &str = "/tmf-api/prepayBalanceManagement/v4";

/// Buckets, accumulated balances, top-ups.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(&format!("{BASE}/bucket"), get(buckets))
        .route(&format!("{BASE}/bucket/{{id}}"), get(bucket_of))
        .route(&format!("{BASE}/accumulatedBalance"), get(accumulated_list))
        .route(&format!("{BASE}/accumulatedBalance/{{id}}"), get(accumulated_of))
        .route(&format!("{BASE}/topupBalance"), get(top_ups).post(top_up))
        .route(&format!("{BASE}/topupBalance/{{id}}"), get(top_up_of))
}

async fn buckets(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["product.id", "partyAccount.id", "logicalResource.id"])?;
    if let Some(account) = query.text("partyAccount.id") {
        let view = state.balances.balance(&AccountId::from(account)).await?;
        let items: Vec<Value> = view.iter().flat_map(|v| open_lines(v).map(|l| bucket(v, l))).collect();
        let total = items.len() as u64;
        return Ok(counted(items.into_iter().map(|item| query.select(item)).collect(), total));
    }
    let lines = match (query.text("product.id"), query.text("logicalResource.id")) {
        (Some(id), _) => alone(state.store.line(&LineId::from(id)).await?),
        (None, Some(resource)) => alone(line_of_resource(&state, resource).await?),
        (None, None) => state.store.lines(&LineFilter::default(), query.page()?).await?,
    };
    let mut items = Vec::with_capacity(lines.items.len());
    for line in lines.items {
        items.extend(bucket_of_line(&state, &line).await?.map(|item| query.select(item)));
    }
    Ok(counted(items, lines.total))
}

fn alone(line: Option<Line>) -> Paged<Line> {
    Paged { total: u64::from(line.is_some()), items: line.into_iter().collect() }
}

async fn bucket_of(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let found = match state.store.line(&LineId::from(id.as_str())).await? {
        Some(line) => bucket_of_line(&state, &line).await?,
        None => None,
    };
    Ok(Json(query.select(found.ok_or_else(|| ApiError::not_found("bucket", &id))?)))
}

async fn bucket_of_line(state: &ApiState, line: &Line) -> ApiResult<Option<Value>> {
    let view = state.balances.balance(&line.account).await?;
    Ok(view.and_then(|view| open_lines(&view).find(|l| l.line == line.id).map(|l| bucket(&view, l))))
}

/// The line that has the MSISDN or IMSI now.
async fn line_of_resource(state: &ApiState, resource: &str) -> ApiResult<Option<Line>> {
    let number = resource.strip_prefix('+').unwrap_or(resource).to_owned();
    let filter = LineFilter { msisdn: Some(number), ..LineFilter::default() };
    let page = Page { offset: 0, limit: state.settings.page_max };
    let living = |line: &Line| line.actual != LineState::Terminated;
    match state.store.lines(&filter, page).await?.items.into_iter().find(living) {
        Some(line) => Ok(Some(line)),
        None => Ok(state.store.line_of_imsi(resource).await?),
    }
}

fn open_lines(view: &AccountView) -> impl Iterator<Item = &LineView> {
    view.lines.iter().filter(|l| l.cycle == view.cycle && !l.closed)
}

/// What is left; `None` where the plan has no end.
fn remaining(line: &LineView) -> Option<u64> {
    line.cap_left.or(line.allowance_left)
}

fn octets(amount: u64) -> Value {
    json!({ "amount": amount, "units": "octets" })
}

fn bucket(view: &AccountView, line: &LineView) -> Value {
    let status = match line.state {
        LineState::Active if !line.no_new_grant => "active",
        LineState::Active | LineState::Suspended => "suspended",
        LineState::Absent | LineState::Terminated => "expired",
    };
    let mut body = json!({
        "id": line.line,
        "href": format!("{BASE}/bucket/{}", line.line),
        "name": line.plan,
        "usageType": "data",
        "status": status,
        "isShared": false,
        "usedValue": octets(line.octets),
        "topUpValue": octets(line.credit),
        "reservedValue": octets(line.reserved),
        "validFor": { "startDateTime": view.span.from.to_string(), "endDateTime": view.span.until.to_string() },
        "partyAccount": { "id": view.account },
        "product": [{ "id": line.line }],
        "@type": "Bucket",
    });
    if let Some(left) = remaining(line) {
        body["remainingValue"] = octets(left);
    }
    body
}

fn accumulated(view: &AccountView) -> Value {
    let total = open_lines(view).filter_map(remaining).fold(0, u64::saturating_add);
    let refs = open_lines(view).map(|l| json!({ "id": l.line, "href": format!("{BASE}/bucket/{}", l.line) }));
    json!({
        "id": view.account,
        "href": format!("{BASE}/accumulatedBalance/{}", view.account),
        "totalBalance": octets(total),
        "bucket": refs.collect::<Vec<_>>(),
        "partyAccount": { "id": view.account },
        "relatedParty": [{ "id": view.customer, "role": "customer" }],
        "@type": "AccumulatedBalance",
    })
}

/// Of one account, which has to be named.
async fn accumulated_list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["partyAccount.id"])?;
    let account = query.text("partyAccount.id").ok_or_else(|| ApiError::malformed("partyAccount.id", "is needed"))?;
    let view = state.balances.balance(&AccountId::from(account)).await?;
    let items: Vec<Value> = view.iter().map(|view| query.select(accumulated(view))).collect();
    let total = items.len() as u64;
    Ok(counted(items, total))
}

async fn accumulated_of(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let view = state.balances.balance(&AccountId::from(id.as_str())).await?;
    let view = view.ok_or_else(|| ApiError::not_found("accumulatedBalance", &id))?;
    Ok(Json(query.select(accumulated(&view))))
}

/// What of a TMF654 `TopupBalance_Create` is read; the rest is given back.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    amount: Quantity,
    bucket: Option<Reference>,
    product: Option<Reference>,
    logical_resource: Option<Reference>,
    #[serde(default)]
    is_auto_topup: bool,
}

#[derive(Deserialize)]
struct Quantity {
    amount: Value,
    #[serde(default)]
    units: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    id: String,
}

impl Quantity {
    /// Octets; decimal units.
    fn octets(&self) -> ApiResult<u64> {
        let factor: u64 = match self.units.as_deref() {
            None | Some("octets" | "B") => 1,
            Some("kB") => 1_000,
            Some("MB") => 1_000_000,
            Some("GB") => 1_000_000_000,
            Some(other) => {
                let reason = format!("`{other}`: expected octets, B, kB, MB or GB");
                return Err(ApiError::malformed("$.amount.units", reason));
            }
        };
        let whole = self.amount.as_u64().filter(|amount| *amount > 0);
        whole.and_then(|amount| amount.checked_mul(factor)).ok_or_else(|| {
            let reason = format!("`{}`: expected a whole number above 0; take a smaller unit for a part", self.amount);
            ApiError::malformed("$.amount.amount", reason)
        })
    }
}

const RESPONSE_KEY: &str = "topup/";

/// Idempotent by `Idempotency-Key`: a repeat gets the first answer, another body 409.
async fn top_up(State(state): State<ApiState>, headers: HeaderMap, body: Body) -> ApiResult<Response> {
    let asked: Asked = body.read()?;
    let octets = asked.amount.octets()?;
    if asked.is_auto_topup {
        return Err(ApiError::unprocessable("not-supported", "a top-up is carried out once: leave isAutoTopup out"));
    }
    let now = state.clock.now();
    let id = idempotency_key(&headers)?.unwrap_or_else(|| state.ids.fresh(now));
    let fingerprint = body.fingerprint();
    if let Some(stored) = state.store.idempotency(&format!("{RESPONSE_KEY}{id}")).await? {
        return first_answer(stored, &fingerprint);
    }
    let line = match (&asked.bucket, &asked.product, &asked.logical_resource) {
        (Some(named), ..) | (None, Some(named), _) => state.store.line(&LineId::from(named.id.as_str())).await?,
        (None, None, Some(resource)) => line_of_resource(&state, &resource.id).await?,
        (None, None, None) => {
            return Err(ApiError::malformed("$.bucket", "name the line: bucket, product or logicalResource"));
        }
    };
    let line = line.ok_or_else(|| ApiError::unprocessable("unknown-reference", "no line has that id or number"))?;
    state.balances.top_up(&line.account, &line.id, &id, octets).await?;
    let mut response = top_up_body(&id, &line, octets);
    response["requestedDate"] = json!(now.to_string());
    response["confirmationDate"] = json!(state.clock.now().to_string());
    for (name, value) in body.others(&["id", "href", "status", "amount", "bucket", "product", "confirmationDate"]) {
        response[name] = value;
    }
    let record = IdempotencyRecord {
        key: format!("{RESPONSE_KEY}{id}"),
        fingerprint: fingerprint.clone(),
        order: OrderId::from(id.as_str()),
        response: response.clone(),
        created: now,
    };
    let happening = Happening {
        event_type: "TopupBalanceCreateEvent".to_owned(),
        at: now,
        order: None,
        line: Some(line.id.clone()),
        customer: Some(line.customer.clone()),
        event: json!({ "topupBalance": response }),
    };
    match state.store.save(vec![Write::Idempotency(record), Write::Happening(happening)]).await {
        // The same request at the same time: whoever was first is answered.
        Err(StoreError::Conflict { .. }) => match state.store.idempotency(&format!("{RESPONSE_KEY}{id}")).await? {
            Some(stored) => first_answer(stored, &fingerprint),
            None => Err(ApiError::unavailable("the store does not answer")),
        },
        saved => {
            saved?;
            state.outbox.wake();
            Ok(created(response))
        }
    }
}

fn first_answer(stored: IdempotencyRecord, fingerprint: &str) -> ApiResult<Response> {
    if stored.fingerprint != fingerprint {
        return Err(ApiError::conflict("key-reused", "this Idempotency-Key was used with another body"));
    }
    Ok(created(stored.response))
}

fn created(body: Value) -> Response {
    let location = body["href"].as_str().unwrap_or_default().to_owned();
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response()
}

fn top_up_body(id: &str, line: &Line, amount: u64) -> Value {
    json!({
        "id": id,
        "href": format!("{BASE}/topupBalance/{id}"),
        "status": "completed",
        "usageType": "data",
        "amount": octets(amount),
        "bucket": { "id": line.id, "href": format!("{BASE}/bucket/{}", line.id) },
        "product": { "id": line.id },
        "partyAccount": { "id": line.account },
        "@type": "TopupBalance",
    })
}

async fn top_up_of(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let stored = state.store.idempotency(&format!("{RESPONSE_KEY}{id}")).await?;
    let stored = stored.ok_or_else(|| ApiError::not_found("topupBalance", &id))?;
    Ok(Json(query.select(stored.response)))
}

/// As they were posted, newest first.
async fn top_ups(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["product.id"])?;
    let line = query.text("product.id").map(LineId::from);
    let filter = UsageFilter { line, source: Some(UsageSource::TopUp), ..UsageFilter::default() };
    let found = state.store.usage(&filter, query.page()?).await?;
    Ok(query.list(found, |record| posted(&record)))
}

fn posted(record: &UsageRecord) -> Value {
    let id = match &record.key {
        RecordKey::TopUp(id) => id.clone(),
        other => other.to_string(),
    };
    let amount = record.postings.iter().find(|p| p.side == LedgerSide::TopUp).map_or(0, |p| p.amount.unsigned_abs());
    json!({
        "id": id,
        "href": format!("{BASE}/topupBalance/{id}"),
        "status": "completed",
        "usageType": "data",
        "amount": octets(amount),
        "bucket": { "id": record.line },
        "product": { "id": record.line },
        "partyAccount": { "id": record.account },
        "confirmationDate": record.received.to_string(),
        "@type": "TopupBalance",
    })
}
