//! TMF697 work orders (its schemas; paths by analogy with TMF641), and what has
//! no TM Forum shape: workers, slots, the outbound-call list.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query, counted};
use super::visits::refused;
use crate::domain::fieldwork::{WorkOrder, WorkOrderState, WorkReport, WorkResult};
use crate::domain::ids::{CallId, OrderId, SlotId, WorkOrderId, WorkerId};
use crate::domain::scheduling::{Call, CallOutcome, CallState, WorkCalendar, Worker};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::WorkFilter;
use crate::services::fieldwork::FieldworkError;
use crate::services::ordering::tmf;
use crate::services::scheduling::{SlotSearch, When, time_slot};

const BASE: &str = "/tmf-api/workOrderManagement/v4";
/// Reason of a return where the worker gives none.
const NO_REASON: &str = "other";

/// Work orders, workers, slots, calls.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(&format!("{BASE}/workOrder"), get(list))
        .route(&format!("{BASE}/workOrder/{{id}}"), get(one).patch(change))
        .route("/linegate/v1/workers", get(workers).post(put_worker))
        .route("/linegate/v1/workers/{id}/absences", post(put_absence).delete(remove_absence))
        .route("/linegate/v1/slots", get(slots).post(put_slot))
        .route("/linegate/v1/calls", get(calls))
        .route("/linegate/v1/calls/{id}", get(call))
        .route("/linegate/v1/calls/{id}/outcome", post(outcome))
        .route("/linegate/v1/calls/{id}/again", post(again))
}

struct Tmf(WorkOrderState);

impl std::str::FromStr for Tmf {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        use WorkOrderState::{Acknowledged, Cancelled, Completed, InProgress, Returned};
        let all = [Acknowledged, InProgress, Completed, Returned, Cancelled];
        all.into_iter().find(|s| s.tmf() == text).map(Tmf).ok_or(())
    }
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["state", "relatedParty.id", "serviceOrder.id", "date"])?;
    let wanted = query.parse::<Tmf>("state", "acknowledged, inProgress, completed, failed or cancelled")?;
    let worker = query.text("relatedParty.id").map(WorkerId::from);
    let planned = match (query.parse::<Date>("date", "a day such as 2026-11-27")?, &worker) {
        (None, _) => None,
        (Some(day), Some(worker)) => Some(state.scheduling.day_of_worker(worker, Some(day)).await.map_err(refused)?),
        (Some(_), None) => return Err(ApiError::malformed("date", "needs relatedParty.id: it is a worker's day")),
    };
    let filter = WorkFilter {
        worker,
        state: wanted.map(|s| s.0),
        order: query.text("serviceOrder.id").map(OrderId::from),
        planned,
    };
    let found = state.fieldwork.work_orders(&filter, query.page()?).await?;
    Ok(query.list(found, |work| tmf::work_order(&work)))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let work = state.fieldwork.work_order(&WorkOrderId::from(id.as_str())).await?;
    let work = work.ok_or_else(|| ApiError::not_found("workOrder", &id))?;
    Ok(Json(query.select(tmf::work_order(&work))))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkBody {
    state: String,
    #[serde(default)]
    result: Option<WorkResult>,
    /// Reason code of a return.
    #[serde(default)]
    return_reason: Option<String>,
    /// The return in the worker's own words.
    #[serde(default)]
    return_note: Option<String>,
    /// Whether the customer shall be called for another time.
    #[serde(default)]
    reschedule: bool,
}

async fn change(State(state): State<ApiState>, Path(id): Path<String>, body: Body) -> ApiResult<Json<Value>> {
    report(&state, &WorkOrderId::from(id), &body, None).await.map(|work| Json(tmf::work_order(&work)))
}

/// Takes a report; with `by` of that worker's own work alone.
pub(super) async fn report(
    state: &ApiState,
    id: &WorkOrderId,
    body: &Body,
    by: Option<&WorkerId>,
) -> ApiResult<WorkOrder> {
    let read: WorkBody = body.read()?;
    let report = match read.state.as_str() {
        "inProgress" => WorkReport::Started,
        "completed" => WorkReport::Completed(read.result.unwrap_or_default()),
        "failed" => {
            let note_max = state.fieldwork.settings().note_max;
            if read.return_note.as_ref().is_some_and(|note| note.chars().count() > note_max) {
                return Err(ApiError::malformed("$.returnNote", format!("is longer than {note_max} characters")));
            }
            let reason = read.return_reason.unwrap_or_else(|| NO_REASON.to_owned());
            WorkReport::Returned { reason, note: read.return_note, reschedule: read.reschedule }
        }
        other => {
            let reason = format!("`{other}`: expected inProgress, completed or failed");
            return Err(ApiError::malformed("$.state", reason));
        }
    };
    let work = state.fieldwork.report(id, report, by).await.map_err(|e| match e {
        FieldworkError::Unknown(id) => ApiError::not_found("workOrder", id.as_str()),
        FieldworkError::IllegalMove { .. } => ApiError::conflict("wrong-state", e.to_string()),
        FieldworkError::BadResult(_) => ApiError::unprocessable("bad-result", e.to_string()).at("$.result"),
        FieldworkError::UnknownReason { .. } => ApiError::malformed("$.returnReason", e.to_string()),
        FieldworkError::Store(e) => ApiError::from(e),
    })?;
    state.outbox.wake();
    Ok(work)
}

async fn workers(State(state): State<ApiState>) -> ApiResult<Response> {
    let all = state.scheduling.workers().await?;
    let total = all.len() as u64;
    Ok(counted(all.iter().map(worker_body).collect(), total))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerBody {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    skills: Vec<String>,
    #[serde(default)]
    areas: Vec<String>,
    /// One area, as older callers send it.
    #[serde(default)]
    area: String,
    #[serde(default)]
    calendar: Option<WorkCalendar>,
}

fn worker_body(worker: &Worker) -> Value {
    let absences = worker.absences.iter();
    let absences: Vec<Value> =
        absences.map(|a| json!({ "start": a.from.to_string(), "end": a.until.to_string() })).collect();
    json!({
        "id": worker.id,
        "name": worker.name,
        "skills": worker.skills,
        "areas": worker.areas,
        "calendar": worker.calendar,
        "absences": absences,
    })
}

async fn put_worker(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let read: WorkerBody = body.read()?;
    if read.id.is_empty() {
        return Err(ApiError::malformed("$.id", "is empty"));
    }
    let mut areas = read.areas;
    areas.push(read.area);
    areas.retain(|area| !area.is_empty());
    let worker = Worker {
        id: WorkerId::from(read.id),
        name: read.name,
        skills: read.skills,
        areas,
        calendar: read.calendar,
        absences: vec![],
    };
    let worker = state.scheduling.put_worker(worker).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(worker_body(&worker))).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanBody {
    start: String,
    end: String,
}

impl SpanBody {
    fn interval(&self) -> ApiResult<Interval> {
        let at = |path: &str, text: &str| Timestamp::parse(text).map_err(|e| ApiError::malformed(path, e.to_string()));
        let span = Interval { from: at("$.start", &self.start)?, until: at("$.end", &self.end)? };
        if span.from >= span.until {
            return Err(ApiError::malformed("$.end", "is not after start"));
        }
        Ok(span)
    }
}

/// A worker cannot come: the visits go to others, or back to the call list.
async fn put_absence(State(state): State<ApiState>, Path(id): Path<String>, body: Body) -> ApiResult<Response> {
    let span = body.read::<SpanBody>()?.interval()?;
    let moved = state.scheduling.put_absence(&WorkerId::from(id), span).await.map_err(refused)?;
    state.outbox.wake();
    let moved = moved.iter().map(|m| json!({ "appointment": m.appointment, "worker": m.worker }));
    Ok((StatusCode::CREATED, Json(json!({ "moved": moved.collect::<Vec<_>>() }))).into_response())
}

async fn remove_absence(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&["from", "until"])?;
    let from = time(&query, "from")?.unwrap_or(Timestamp(0));
    let until = time(&query, "until")?.unwrap_or(Timestamp::MAX);
    let worker = state.scheduling.remove_absence(&WorkerId::from(id), Interval { from, until }).await;
    Ok(Json(worker_body(&worker.map_err(refused)?)))
}

async fn slots(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["from", "until", "skills", "address"])?;
    let from = time(&query, "from")?.unwrap_or(Timestamp(0));
    let until = time(&query, "until")?.unwrap_or(Timestamp::MAX);
    let skills = query.text("skills").map(|s| s.split(',').map(|t| t.trim().to_owned()).collect());
    let address = query.text("address").unwrap_or_default().to_owned();
    let search = SlotSearch { skills: skills.unwrap_or_default(), address };
    let free = state.scheduling.free_slots(&search, from, until).await?;
    let total = free.len() as u64;
    let page = query.page()?;
    let (skip, take) = (page.offset.min(total) as usize, page.limit as usize);
    Ok(counted(free.iter().skip(skip).take(take).map(time_slot).collect(), total))
}

fn time(query: &Query, name: &str) -> ApiResult<Option<Timestamp>> {
    let read = |text| Timestamp::parse(text).map_err(|e| ApiError::malformed(name, e.to_string()));
    query.text(name).map(read).transpose()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotBody {
    #[serde(default)]
    id: Option<String>,
    worker: String,
    start: String,
    end: String,
    #[serde(default = "one_place")]
    capacity: u32,
}

fn one_place() -> u32 {
    1
}

async fn put_slot(State(state): State<ApiState>, body: Body) -> ApiResult<Response> {
    let read: SlotBody = body.read()?;
    let span = SpanBody { start: read.start, end: read.end }.interval()?;
    let worker = WorkerId::from(read.worker);
    let slot = state.scheduling.put_slot(read.id.map(SlotId::from), &worker, span, read.capacity).await;
    Ok((StatusCode::CREATED, Json(time_slot(&slot.map_err(refused)?))).into_response())
}

/// A call's state as REST writes it.
struct Listed(CallState);

impl std::str::FromStr for Listed {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        serde_json::from_value(Value::from(text)).map(Listed).map_err(|_| ())
    }
}

/// Calls by state; with `due=true` those to be made by now.
async fn calls(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["state", "due"])?;
    let wanted = query.parse::<Listed>("state", "due, agreed, refused, exhausted or cancelled")?;
    let due = query.parse::<bool>("due", "true or false")?.unwrap_or(false);
    let page = query.page()?;
    let found = match due {
        true => state.scheduling.due_calls(page).await?,
        false => state.scheduling.calls(wanted.map(|s| s.0), page).await?,
    };
    Ok(query.list(found, |call| call_body(&call)))
}

async fn call(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let found = state.scheduling.call(&CallId::from(id.as_str())).await?;
    Ok(Json(call_body(&found.ok_or_else(|| ApiError::not_found("call", &id))?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeBody {
    outcome: String,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    slot: Option<String>,
    /// A time instead of a slot: the least loaded suitable worker goes.
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    end: Option<String>,
    #[serde(default)]
    at: Option<String>,
}

async fn outcome(State(state): State<ApiState>, Path(id): Path<String>, body: Body) -> ApiResult<Json<Value>> {
    let read: OutcomeBody = body.read()?;
    let (id, agent) = (CallId::from(id), read.agent.as_deref().unwrap_or("agent"));
    if let ("agreed", None, Some(start), Some(end)) = (read.outcome.as_str(), &read.slot, &read.start, &read.end) {
        let span = SpanBody { start: start.clone(), end: end.clone() }.interval()?;
        let call = state.scheduling.record_agreement(&id, agent, &When::Span(span)).await.map_err(refused)?;
        state.outbox.wake();
        return Ok(Json(call_body(&call)));
    }
    let outcome = match (read.outcome.as_str(), read.slot, read.at) {
        ("agreed", Some(slot), _) => CallOutcome::Agreed { slot: SlotId::from(slot) },
        ("agreed", None, _) => {
            return Err(ApiError::malformed("$.slot", "an agreement needs a slot, or start and end"));
        }
        ("noAnswer", ..) => CallOutcome::NoAnswer,
        ("refused", ..) => CallOutcome::Refused,
        ("callBack", _, Some(at)) => {
            let at = Timestamp::parse(&at).map_err(|e| ApiError::malformed("$.at", e.to_string()))?;
            CallOutcome::CallBack { at }
        }
        ("callBack", _, None) => return Err(ApiError::malformed("$.at", "calling back needs a time")),
        (other, ..) => {
            let reason = format!("`{other}`: expected agreed, noAnswer, callBack or refused");
            return Err(ApiError::malformed("$.outcome", reason));
        }
    };
    let call = state.scheduling.record_outcome(&id, agent, outcome).await.map_err(refused)?;
    state.outbox.wake();
    Ok(Json(call_body(&call)))
}

/// Another round of calls after the last one was given up.
async fn again(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Response> {
    let call = state.scheduling.call_again(&CallId::from(id)).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(call_body(&call))).into_response())
}

fn call_body(call: &Call) -> Value {
    let attempts: Vec<Value> = call
        .attempts
        .iter()
        .map(|attempt| {
            let mut body = json!({ "at": attempt.at.to_string(), "agent": attempt.agent });
            let (outcome, detail) = match &attempt.outcome {
                CallOutcome::Agreed { slot } => ("agreed", Some(("slot", json!(slot)))),
                CallOutcome::NoAnswer => ("noAnswer", None),
                CallOutcome::CallBack { at } => ("callBack", Some(("callBackAt", json!(at.to_string())))),
                CallOutcome::Refused => ("refused", None),
            };
            body["outcome"] = json!(outcome);
            if let Some((name, value)) = detail {
                body[name] = value;
            }
            body
        })
        .collect();
    json!({
        "id": call.id,
        "appointment": call.appointment,
        "order": call.order,
        "phone": call.phone,
        "state": call.state,
        "nextAttempt": call.next_attempt.to_string(),
        "attempts": attempts,
    })
}
