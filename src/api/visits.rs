//! TMF646 appointments and time slots.
//!
//! An order that needs a visit makes its appointment; POST agrees on a time for
//! it, PATCH moves or cancels it. `calendarEvent.id` names the slot, or
//! `validFor` a stretch that a free slot has exactly.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use super::orders::Reference;
use crate::domain::ids::{AppointmentId, OrderId, SlotId};
use crate::domain::scheduling::{Appointment, AppointmentState, Slot};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::Page;
use crate::services::ordering::tmf;
use crate::services::scheduling::{SchedulingError, SlotSearch};

const BASE: &str = "/tmf-api/appointment/v4";
/// Appointments of one order that are looked through.
const OF_ORDER_MAX: u64 = 100;

/// Appointments and searches.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(&format!("{BASE}/appointment"), get(list).post(create))
        .route(&format!("{BASE}/appointment/{{id}}"), get(one).patch(change))
        .route(&format!("{BASE}/searchTimeSlot"), get(search_by_query).post(search))
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Period {
    start_date_time: String,
    end_date_time: String,
}

impl Period {
    fn interval(&self, path: &str) -> ApiResult<Interval> {
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
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["relatedEntity.id"])?;
    let order = query.text("relatedEntity.id").map(OrderId::from);
    let found = state.scheduling.appointments(order.as_ref(), query.page()?).await?;
    Ok(query.list(found, |appointment| tmf::appointment(&appointment)))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    Ok(Json(query.select(tmf::appointment(&load(&state, &id).await?))))
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
    let all = state.scheduling.appointments(Some(&order), page).await?;
    let Some(wanted) = all.items.into_iter().find(|a| a.state == AppointmentState::Wanted) else {
        return Err(ApiError::unprocessable("no-visit-wanted", format!("order {order} waits for no visit")));
    };
    let slot = slot_of(&state, &read, &wanted).await?;
    let agreed = state.scheduling.reschedule(&wanted.id, &slot).await.map_err(refused)?;
    state.outbox.wake();
    let location = format!("{BASE}/appointment/{}", agreed.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(tmf::appointment(&agreed))).into_response())
}

async fn change(State(state): State<ApiState>, Path(id): Path<String>, body: Body) -> ApiResult<Json<Value>> {
    let read: AppointmentBody = body.read()?;
    let present = load(&state, &id).await?;
    let changed = match read.status.as_deref() {
        Some("cancelled") => state.scheduling.cancel(&present.id).await.map_err(refused)?,
        None | Some("confirmed") => {
            let slot = slot_of(&state, &read, &present).await?;
            state.scheduling.reschedule(&present.id, &slot).await.map_err(refused)?
        }
        Some(other) => {
            return Err(ApiError::malformed("$.status", format!("`{other}`: expected confirmed or cancelled")));
        }
    };
    state.outbox.wake();
    Ok(Json(tmf::appointment(&changed)))
}

async fn slot_of(state: &ApiState, body: &AppointmentBody, appointment: &Appointment) -> ApiResult<SlotId> {
    if let Some(slot) = &body.calendar_event {
        return Ok(SlotId::from(slot.id.as_str()));
    }
    let Some(period) = &body.valid_for else {
        return Err(ApiError::malformed("$.calendarEvent", "names no slot, and there is no validFor"));
    };
    let span = period.interval("$.validFor")?;
    let search = SlotSearch { skills: appointment.skills.clone(), address: appointment.address.clone() };
    let free = state.scheduling.free_slots(&search, span.from, span.until).await?;
    free.into_iter().find(|s| s.span == span).map(|s| s.id).ok_or_else(|| {
        ApiError::conflict("no-free-slot", format!("no suitable slot is free from {} to {}", span.from, span.until))
    })
}

/// Why scheduling refused, as a status.
pub(super) fn refused(e: SchedulingError) -> ApiError {
    match e {
        SchedulingError::Unknown { what: what @ ("call" | "appointment"), id } => ApiError::not_found(what, &id),
        SchedulingError::Unknown { what, .. } => ApiError::unprocessable("unknown-reference", e.to_string()).at(what),
        SchedulingError::Closed(_) | SchedulingError::WrongState { .. } => {
            ApiError::conflict("wrong-state", e.to_string())
        }
        SchedulingError::SlotTaken(_) => ApiError::conflict("no-free-slot", e.to_string()),
        SchedulingError::Unsuitable { .. } => ApiError::unprocessable("unsuitable-slot", e.to_string()),
        SchedulingError::Store(e) => ApiError::from(e),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchBody {
    #[serde(default)]
    requested_time_slot: Vec<RequestedSlot>,
    #[serde(default)]
    related_entity: Vec<Reference>,
    #[serde(default)]
    related_place: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestedSlot {
    valid_for: Period,
}

#[derive(Debug, Deserialize)]
struct Place {
    #[serde(default)]
    name: Option<String>,
}

async fn search(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let read: SearchBody = body.read()?;
    let mut who = SlotSearch::default();
    if let Some(order) = read.related_entity.first() {
        let page = Page { offset: 0, limit: 1 };
        let found = state.scheduling.appointments(Some(&OrderId::from(order.id.as_str())), page).await?;
        if let Some(appointment) = found.items.into_iter().next() {
            who = SlotSearch { skills: appointment.skills, address: appointment.address };
        }
    }
    if let Some(address) = read.related_place.and_then(|p| p.name) {
        who.address = address;
    }
    let mut spans = Vec::new();
    for (i, requested) in read.requested_time_slot.iter().enumerate() {
        spans.push(requested.valid_for.interval(&format!("$.requestedTimeSlot[{i}].validFor"))?);
    }
    if spans.is_empty() {
        spans.push(Interval::starting(state.clock.now()));
    }
    let answer = searched(&state, &who, &spans).await?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn search_by_query(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["from", "until", "skills", "address"])?;
    let time = |name: &str| match query.text(name) {
        Some(text) => Timestamp::parse(text).map(Some).map_err(|e| ApiError::malformed(name, e.to_string())),
        None => Ok(None),
    };
    let from = time("from")?.unwrap_or_else(|| state.clock.now());
    let until = time("until")?.unwrap_or(Timestamp::MAX);
    let skills = query.text("skills").map(|s| s.split(',').map(|t| t.trim().to_owned()).collect());
    let who = SlotSearch {
        skills: skills.unwrap_or_default(),
        address: query.text("address").unwrap_or_default().to_owned(),
    };
    let answer = searched(&state, &who, &[Interval { from, until }]).await?;
    Ok(super::extract::counted(vec![answer], 1))
}

/// TMF646 v4 `SearchTimeSlot`, answered at once and not kept.
async fn searched(state: &ApiState, who: &SlotSearch, spans: &[Interval]) -> ApiResult<Value> {
    let mut free: Vec<Slot> = Vec::new();
    for span in spans {
        for slot in state.scheduling.free_slots(who, span.from, span.until).await? {
            if free.len() < usize::try_from(state.settings.page_max).unwrap_or(usize::MAX)
                && !free.iter().any(|s| s.id == slot.id)
            {
                free.push(slot);
            }
        }
    }
    let now = state.clock.now();
    Ok(json!({
        "id": state.ids.fresh(now),
        "searchDate": now.to_string(),
        "searchResult": if free.is_empty() { "fail" } else { "success" },
        "status": "done",
        "availableTimeSlot": free.iter().map(time_slot).collect::<Vec<_>>(),
        "@type": "SearchTimeSlot",
    }))
}

/// TMF646 v4 `TimeSlot`.
pub(super) fn time_slot(slot: &Slot) -> Value {
    json!({
        "id": slot.id,
        "validFor": { "startDateTime": slot.span.from.to_string(), "endDateTime": slot.span.until.to_string() },
        "relatedParty": { "id": slot.worker, "role": "worker", "@referredType": "Individual" },
        "capacity": slot.capacity,
        "held": slot.held,
    })
}
