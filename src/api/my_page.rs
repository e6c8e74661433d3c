//! My page: what a customer sees of their own orders, lines, visits, usage and
//! bills, straight from the store. Usage alone lags behind, by what is not drained
//! yet, and says so.
//!
//! A token binds a request to one customer, or to one visit (see
//! [`crate::services::tokens`]). Invariant: every handler takes its customer or
//! visit from the token and from nowhere else.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::bills::{customer_bill, invoice_pdf, load as load_invoice};
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query, bearer, counted};
use super::inventory::service;
use super::orders::Reference;
use super::usage::{billed, is_billed, usage};
use super::visits::{Period, chosen, refused};
use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AppointmentId, CustomerId, LineId, OrderId, SagaId};
use crate::domain::ordering::Order;
use crate::domain::scheduling::Appointment;
use crate::domain::time::Timestamp;
use crate::ports::relational::{AppointmentFilter, LineFilter, OrderFilter, Page, StoredUsage, UsageFilter};
use crate::services::ordering::tmf;
use crate::services::scheduling::{SlotSearch, time_slot};
use crate::services::timeline::timeline;
use crate::services::tokens::Bearer;
use crate::telemetry::metrics;

/// The customer that the request's token is bound to.
struct Customer(CustomerId);

impl FromRequestParts<ApiState> for Customer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        let token = bearer(&parts.headers).ok_or_else(|| ApiError::unauthorized("a bearer token is needed"))?;
        match state.tokens.read(token, state.clock.now()) {
            Some(Bearer::Customer(customer)) => Ok(Self(customer)),
            _ => Err(ApiError::unauthorized("the bearer token is not known or has expired")),
        }
    }
}

/// What customers read.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/my-page/v1/orders", get(orders))
        .route("/my-page/v1/orders/{id}", get(order))
        .route("/my-page/v1/orders/{id}/timeline", get(order_timeline))
        .route("/my-page/v1/lines", get(lines))
        .route("/my-page/v1/lines/{id}", get(line))
        .route("/my-page/v1/visits", get(visits))
        .route("/my-page/v1/visits/{id}", get(visit))
        .route("/my-page/v1/visit/{token}", get(linked_visit).post(move_linked_visit))
        .route("/my-page/v1/usage", get(usage_list))
        .route("/my-page/v1/bills", get(bills))
        .route("/my-page/v1/bills/{id}", get(bill))
        .route("/my-page/v1/bills/{id}/pdf", get(bill_pdf))
}

/// What operators give customers.
pub fn token_routes() -> Router<ApiState> {
    Router::new().route("/linegate/v1/tokens/my-page", post(issue))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    customer: String,
}

async fn issue(State(state): State<ApiState>, body: Body) -> ApiResult<Json<Value>> {
    let TokenBody { customer } = body.read()?;
    if customer.is_empty() {
        return Err(ApiError::malformed("$.customer", "is empty"));
    }
    let customer = CustomerId::from(customer);
    let life = std::time::Duration::from_secs(state.settings.my_page_token_s);
    let until = state.clock.now().plus(life);
    Ok(Json(json!({
        "customer": customer,
        "token": state.tokens.sign(&Bearer::Customer(customer.clone()), until),
        "expires": until.to_string(),
    })))
}

async fn orders(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let filter = OrderFilter { customer: Some(customer), ..OrderFilter::default() };
    let found = state.store.orders(&filter, query.page()?).await?;
    Ok(query.list(found, shown_order))
}

fn shown_order(mut order: Order) -> Value {
    // Notes are between operators.
    order.notes.clear();
    tmf::service_order(&order)
}

async fn own_order(state: &ApiState, customer: &CustomerId, id: &str) -> ApiResult<Order> {
    let found = state.store.order(&OrderId::from(id)).await?.filter(|order| order.customer == *customer);
    found.ok_or_else(|| ApiError::not_found("serviceOrder", id))
}

async fn order(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
    query: Query,
) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    Ok(Json(query.select(shown_order(own_order(&state, &customer, &id).await?))))
}

/// What an order has reached, and what it waits for.
async fn order_timeline(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let order = own_order(&state, &customer, &id).await?;
    let saga = state.store.saga(&SagaId::from(id)).await?;
    Ok(Json(timeline(&order, saga.as_ref())))
}

async fn lines(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let filter = LineFilter { customer: Some(customer), ..LineFilter::default() };
    let found = state.store.lines(&filter, query.page()?).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for line in &found.items {
        items.push(query.select(service(line, &state.store.session(&line.id).await?)));
    }
    Ok(counted(items, found.total))
}

async fn line(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
    query: Query,
) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let found = state.store.line(&LineId::from(id.as_str())).await?.filter(|line| line.customer == customer);
    let line = found.ok_or_else(|| ApiError::not_found("service", &id))?;
    Ok(Json(query.select(service(&line, &state.store.session(&line.id).await?))))
}

async fn visit(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
    query: Query,
) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let found = state.scheduling.appointment(&AppointmentId::from(id.as_str())).await?;
    let visit = found.filter(|visit| visit.customer == customer);
    Ok(Json(query.select(tmf::appointment(&visit.ok_or_else(|| ApiError::not_found("appointment", &id))?))))
}

/// The customer's visits, newest first.
async fn visits(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let filter = AppointmentFilter { customer: Some(customer), ..AppointmentFilter::default() };
    let found = state.scheduling.appointments(&filter, query.page()?).await?;
    Ok(query.list(found, |visit| tmf::appointment(&visit)))
}

/// The visit of a signed link, with the times that are free for it.
async fn linked_visit(State(state): State<ApiState>, Path(token): Path<String>) -> ApiResult<Json<Value>> {
    let visit = visit_of(&state, &token).await?;
    let mut free = Vec::new();
    if visit.is_open() {
        let now = state.clock.now();
        free = state.scheduling.free_slots(&SlotSearch::of(&visit), now, Timestamp::MAX).await?;
    }
    let shown = usize::try_from(state.settings.page_max).unwrap_or(usize::MAX);
    Ok(Json(json!({
        "appointment": tmf::appointment(&visit),
        "availableTimeSlot": free.iter().take(shown).map(time_slot).collect::<Vec<_>>(),
    })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Choice {
    #[serde(default)]
    calendar_event: Option<Reference>,
    #[serde(default)]
    valid_for: Option<Period>,
}

/// The customer of a signed link chooses another time.
async fn move_linked_visit(
    State(state): State<ApiState>,
    Path(token): Path<String>,
    body: Body,
) -> ApiResult<Json<Value>> {
    let choice: Choice = body.read()?;
    let visit = visit_of(&state, &token).await?;
    let when = chosen(choice.calendar_event.as_ref(), choice.valid_for.as_ref())?;
    let moved = state.scheduling.reschedule(&visit.id, &when).await.map_err(refused)?;
    state.outbox.wake();
    Ok(Json(tmf::appointment(&moved)))
}

async fn visit_of(state: &ApiState, token: &str) -> ApiResult<Appointment> {
    let Some(Bearer::Visit(id)) = state.tokens.read(token, state.clock.now()) else {
        return Err(ApiError::unauthorized("the link is not known or has expired"));
    };
    let found = state.scheduling.appointment(&id).await?;
    found.ok_or_else(|| ApiError::not_found("appointment", id.as_str()))
}

/// Usage of the customer's lines, or of one of them. The read model lags behind
/// the network by what is not drained yet: the header `x-as-of-position` shows how
/// far it is, `x-lag-entries` how many entries of the hot log are behind it.
async fn usage_list(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&["line", "cycle"])?;
    let cycle = query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?;
    let page = query.page()?;
    let (records, total) = match query.text("line") {
        Some(id) => {
            let id = LineId::from(id);
            let own = state.store.line(&id).await?.is_some_and(|line| line.customer == customer);
            if !own {
                return Err(ApiError::not_found("line", id.as_str()));
            }
            let filter = UsageFilter { line: Some(id), cycle, ..UsageFilter::default() };
            let found = state.store.usage(&filter, page).await?;
            (found.items, found.total)
        }
        None => usage_of_all(&state, customer, cycle, page).await?,
    };
    let billed = billed(&state, &records).await?;
    let shown = records.iter().map(|record| usage(record, state.currency, is_billed(record, &billed)));
    let items = shown.map(|record| query.select(record)).collect();
    let mut response = counted(items, total);
    let position = state.store.drain_cursor().await?;
    response.headers_mut().insert("x-as-of-position", position.into());
    response.headers_mut().insert("x-lag-entries", metrics().drain_lag.get().max(0).into());
    Ok(response)
}

/// The window over every line's usage, newest first.
async fn usage_of_all(
    state: &ApiState,
    customer: CustomerId,
    cycle: Option<CycleId>,
    page: Page,
) -> ApiResult<(Vec<StoredUsage>, u64)> {
    let filter = LineFilter { customer: Some(customer), ..LineFilter::default() };
    let lines = state.store.lines(&filter, Page { offset: 0, limit: state.settings.page_max }).await?;
    let reach = Page { offset: 0, limit: page.offset.saturating_add(page.limit).min(state.settings.page_max) };
    let (mut records, mut total) = (Vec::new(), 0);
    for line in lines.items {
        let filter = UsageFilter { line: Some(line.id), cycle, ..UsageFilter::default() };
        let found = state.store.usage(&filter, reach).await?;
        total += found.total;
        records.extend(found.items);
        records.sort_by_key(|r| std::cmp::Reverse(r.ends));
        records.truncate(reach.limit as usize);
    }
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    Ok((records.into_iter().skip(skip).collect(), total))
}

async fn bills(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&["cycle"])?;
    let cycle = query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?;
    let found = state.store.invoices(cycle, Some(&customer), query.page()?).await?;
    Ok(query.list(found, |invoice| shown_bill(&invoice)))
}

fn shown_bill(invoice: &Invoice) -> Value {
    let mut bill = customer_bill(invoice);
    bill["billDocument"][0]["url"] = json!(format!("/my-page/v1/bills/{}/pdf", invoice.id));
    bill
}

async fn own_bill(state: &ApiState, customer: &CustomerId, id: &str) -> ApiResult<Invoice> {
    let invoice = load_invoice(state, id).await?;
    if invoice.customer != *customer {
        return Err(ApiError::not_found("customerBill", id));
    }
    Ok(invoice)
}

async fn bill(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
    query: Query,
) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    Ok(Json(query.select(shown_bill(&own_bill(&state, &customer, &id).await?))))
}

async fn bill_pdf(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let invoice = own_bill(&state, &customer, &id).await?;
    invoice_pdf(&state, invoice).await
}
