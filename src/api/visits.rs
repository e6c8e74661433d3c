//! TMF646 appointments and time slots.
//!
//! An order that needs a visit makes its appointment; POST agrees on a time for
//! it, PATCH moves or cancels it, DELETE takes it out of every list.
//! `calendarEvent.id` names the slot and so the worker; with `validFor`, a stretch
//! that a free slot has exactly, the least loaded suitable worker goes.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use super::orders::Reference;
use crate::domain::ids::{AppointmentId, CustomerId, OrderId, SlotId, WorkerId};
use crate::domain::scheduling::{Appointment, AppointmentState};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{AppointmentFilter, Page};
use crate::services::ordering::tmf;
use crate::services::scheduling::{SchedulingError, SearchRequest, SlotSearch, When};

const BASE: &str = "/tmf-api/appointment/v4";
/// Appointments of one order that are looked through.
const OF_ORDER_MAX: u64 = 100;

/// Appointments and searches.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(&format!("{BASE}/appointment"), get(list).post(create))
        .route(&format!("{BASE}/appointment/{{id}}"), get(one).patch(change).delete(remove))
        .route(&format!("{BASE}/searchTimeSlot"), get(searches).post(search))
        .route(&format!("{BASE}/searchTimeSlot/{{id}}"), get(one_search).patch(search_again).delete(forget_search))
}

/// TMF646 `TimePeriod`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Period {
    start_date_time: String,
    end_date_time: String,
}

impl Period {
    pub(super) fn interval(&self, path: &str) -> ApiResult<Interval> {
        let time = |text: &str| Timestamp::parse(text).map_err(|e| ApiError::malformed(path, e.to_string()));
        let (from, until) = (time(&self.start_date_time)?, time(&self.end_date_time)?);
        if from >= until {
            return Err(ApiError::malformed(path, "ends before it starts"));
        }
        Ok(Interval { from, until })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppointmentBody {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    calendar_event: Option<Reference>,
    #[serde(default)]
    valid_for: Option<Period>,
    #[serde(default)]
    related_entity: Vec<Reference>,
    #[serde(default)]
    related_party: Vec<PartyBody>,
}

#[derive(Debug, Deserialize)]
struct PartyBody {
    id: String,
    #[serde(default)]
    role: String,
}

impl AppointmentBody {
    /// The worker that a scheduler outside has agreed on.
    fn worker(&self) -> Option<&str> {
        self.related_party.iter().find(|party| party.role == "worker").map(|party| party.id.as_str())
    }
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["relatedEntity.id", "relatedParty.id", "status"])?;
    let status = query.parse::<Status>("status", "initialized, confirmed, completed, cancelled or failed")?;
    let filter = AppointmentFilter {
        order: query.text("relatedEntity.id").map(OrderId::from),
        customer: query.text("relatedParty.id").map(CustomerId::from),
        state: status.map(|s| s.0),
        worker: None,
    };
    let found = state.scheduling.appointments(&filter, query.page()?).await?;
    Ok(query.list(found, |appointment| tmf::appointment(&appointment)))
}

/// A state as TMF646 writes it.
struct Status(AppointmentState);

impl std::str::FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        use AppointmentState::{Agreed, Cancelled, Done, Failed, Wanted};
        [Wanted, Agreed, Done, Cancelled, Failed].into_iter().find(|s| s.tmf() == text).map(Status).ok_or(())
    }
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    Ok(Json(query.select(tmf::appointment(&load(&state, &id).await?))))
}

async fn remove(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<StatusCode> {
    state.scheduling.delete(&AppointmentId::from(id)).await.map_err(refused)?;
    state.outbox.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn load(state: &ApiState, id: &str) -> ApiResult<Appointment> {
    let found = state.scheduling.appointment(&AppointmentId::from(id)).await?;
    found.ok_or_else(|| ApiError::not_found("appointment", id))
}

async fn create(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let read: AppointmentBody = body.read()?;
    let order = read
        .related_entity
        .first()
        .map(|e| OrderId::from(e.id.as_str()))
        .ok_or_else(|| ApiError::malformed("$.relatedEntity", "names no service order"))?;
    let page = Page { offset: 0, limit: OF_ORDER_MAX };
    let all = state.scheduling.appointments(&AppointmentFilter::of_order(&order), page).await?;
    let Some(wanted) = all.items.into_iter().find(|a| a.state == AppointmentState::Wanted) else {
        return Err(ApiError::unprocessable("no-visit-wanted", format!("order {order} waits for no visit")));
    };
    let agreed = state.scheduling.reschedule(&wanted.id, &when(&read)?).await.map_err(refused)?;
    state.outbox.wake();
    let location = format!("{BASE}/appointment/{}", agreed.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(tmf::appointment(&agreed))).into_response())
}

async fn change(State(state): State<ApiState>, Path(id): Path<String>, body: Body) -> ApiResult<Json<Value>> {
    let read: AppointmentBody = body.read()?;
    let present = load(&state, &id).await?;
    let changed = match read.status.as_deref() {
        Some("cancelled") => state.scheduling.cancel(&present.id).await.map_err(refused)?,
        None | Some("confirmed") if read.worker().is_some() => {
            let worker = WorkerId::from(read.worker().unwrap_or_default());
            let span = read.valid_for.as_ref().ok_or_else(|| ApiError::malformed("$.validFor", "is missing"))?;
            let span = span.interval("$.validFor")?;
            state.scheduling.agree_outside(&present.id, &worker, span).await.map_err(refused)?
        }
        None | Some("confirmed") => state.scheduling.reschedule(&present.id, &when(&read)?).await.map_err(refused)?,
        Some(other) => {
            return Err(ApiError::malformed("$.status", format!("`{other}`: expected confirmed or cancelled")));
        }
    };
    state.outbox.wake();
    Ok(Json(tmf::appointment(&changed)))
}

/// The time that a body asks for.
fn when(body: &AppointmentBody) -> ApiResult<When> {
    chosen(body.calendar_event.as_ref(), body.valid_for.as_ref())
}

/// A slot by its id, or a stretch of time.
pub(super) fn chosen(slot: Option<&Reference>, span: Option<&Period>) -> ApiResult<When> {
    match (slot, span) {
        (Some(slot), _) => Ok(When::Slot(SlotId::from(slot.id.as_str()))),
        (None, Some(span)) => span.interval("$.validFor").map(When::Span),
        (None, None) => Err(ApiError::malformed("$.calendarEvent", "names no slot, and there is no validFor")),
    }
}

/// Why scheduling refused, as a status.
pub(super) fn refused(e: SchedulingError) -> ApiError {
    match e {
        SchedulingError::Unknown { what: what @ ("call" | "appointment" | "searchTimeSlot"), id } => {
            ApiError::not_found(what, &id)
        }
        SchedulingError::Unknown { what, .. } => ApiError::unprocessable("unknown-reference", e.to_string()).at(what),
        SchedulingError::Closed(_) | SchedulingError::WrongState { .. } | SchedulingError::Elsewhere(_) => {
            ApiError::conflict("wrong-state", e.to_string())
        }
        SchedulingError::SlotTaken(_) | SchedulingError::NobodyFree(_) => {
            ApiError::conflict("no-free-slot", e.to_string())
        }
        SchedulingError::Unsuitable { .. } => ApiError::unprocessable("unsuitable-slot", e.to_string()),
        SchedulingError::BadCalendar { .. } => ApiError::malformed("$.calendar", e.to_string()),
        SchedulingError::Store(e) => ApiError::from(e),
    }
}

/// Members of a search that its maker chooses; a PATCH may change them.
const CHOSEN: [&str; 4] = ["requestedTimeSlot", "relatedEntity", "relatedPlace", "relatedParty"];
/// Members of a search that are its answer.
const ANSWERED: [&str; 4] = ["availableTimeSlot", "searchResult", "searchDate", "status"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchBody {
    #[serde(default)]
    requested_time_slot: Vec<RequestedSlot>,
    #[serde(default)]
    related_entity: Vec<Entity>,
    #[serde(default)]
    related_place: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestedSlot {
    valid_for: Period,
}

#[derive(Debug, Deserialize)]
struct Entity {
    id: String,
    #[serde(default, rename = "@referredType")]
    referred_type: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Place {
    #[serde(default)]
    name: Option<String>,
}

async fn searches(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let found = state.scheduling.slot_searches(query.page()?).await?;
    Ok(query.list(found, |search| search.body))
}

async fn one_search(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let found = state.scheduling.slot_search(&id).await?;
    Ok(Json(query.select(found.ok_or_else(|| ApiError::not_found("searchTimeSlot", &id))?.body)))
}

async fn search(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let request = search_request(&state, &body).await?;
    let search = state.scheduling.search(request, state.settings.page_max).await?;
    state.outbox.wake();
    let location = format!("{BASE}/searchTimeSlot/{}", search.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(search.body)).into_response())
}

/// Searches anew with the changed members, under the same id.
async fn search_again(State(state): State<ApiState>, Path(id): Path<String>, body: Body) -> ApiResult<Json<Value>> {
    let before = state.scheduling.slot_search(&id).await?;
    let before = Body(before.ok_or_else(|| ApiError::not_found("searchTimeSlot", &id))?.body);
    let changes = body.others(&[]);
    if let Some(answer) = changes.keys().find(|name| ANSWERED.contains(&name.as_str())) {
        return Err(ApiError::malformed(format!("$.{answer}"), "is the search's answer; change what is searched for"));
    }
    let mut members = before.others(&["id", "href", "@type"]);
    members.extend(changes);
    let request = search_request(&state, &Body(Value::Object(members))).await?;
    let search = state.scheduling.search_again(&id, request, state.settings.page_max).await.map_err(refused)?;
    state.outbox.wake();
    Ok(Json(search.body))
}

async fn forget_search(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<StatusCode> {
    state.scheduling.forget_search(&id).await.map_err(refused)?;
    state.outbox.wake();
    Ok(StatusCode::NO_CONTENT)
}

/// Entities are orders whose visit is wanted, or, with `@referredType`
/// `ServiceSpecification`, what the worker must be able to do.
async fn search_request(state: &ApiState, body: &Body) -> ApiResult<SearchRequest> {
    let read: SearchBody = body.read()?;
    let mut who = SlotSearch::default();
    for entity in &read.related_entity {
        if entity.referred_type.as_deref() == Some("ServiceSpecification") {
            who.skills.push(entity.id.clone());
            continue;
        }
        let filter = AppointmentFilter::of_order(&OrderId::from(entity.id.as_str()));
        let found = state.scheduling.appointments(&filter, Page { offset: 0, limit: 1 }).await?;
        if let Some(appointment) = found.items.first() {
            who = SlotSearch::of(appointment);
        }
    }
    if let Some(address) = read.related_place.and_then(|p| p.name) {
        who.address = address;
    }
    let mut spans = Vec::new();
    for (i, requested) in read.requested_time_slot.iter().enumerate() {
        spans.push(requested.valid_for.interval(&format!("$.requestedTimeSlot[{i}].validFor"))?);
    }
    let mut members: Map<String, Value> = body.others(&[]);
    members.retain(|name, _| CHOSEN.contains(&name.as_str()));
    Ok(SearchRequest { who, spans, members })
}
