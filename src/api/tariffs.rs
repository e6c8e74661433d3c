//! `/linegate/v1/tariffs`: the versions of the tariff. A document is what a file of a
//! version has, as JSON; its ETag guards who replaces or withdraws it.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use crate::domain::tariff::{BadTariff, Tariff, TariffBook, TariffSource, Version};
use crate::domain::time::Timestamp;
use crate::ports::relational::Paged;
use crate::services::tariffs::{TariffError, etag};

const BASE: &str = "/linegate/v1/tariffs";

/// Versions of the tariff.
pub fn routes() -> Router<ApiState> {
    Router::new().route(BASE, get(list)).route(&format!("{BASE}/{{version}}"), get(one).put(put).delete(withdraw))
}

impl From<TariffError> for ApiError {
    fn from(e: TariffError) -> Self {
        let reason = e.to_string();
        match e {
            TariffError::Bad(bad) => ApiError::from(bad),
            TariffError::TooEarly { .. } => ApiError::unprocessable("too-early", reason).at("$.effective_from"),
            TariffError::Unknown(version) => ApiError::not_found("tariff version", &version.to_string()),
            TariffError::Holds { .. } => ApiError::conflict("in-force", reason),
            TariffError::OfFile { .. } => ApiError::conflict("of-file", reason),
            TariffError::Other(_) => ApiError::precondition(reason),
            TariffError::TooMany(_) => ApiError::unprocessable("too-many", reason),
            TariffError::Store(e) => ApiError::from(e),
        }
    }
}

/// Every fault with its path; `message` is where the first one is.
impl From<BadTariff> for ApiError {
    fn from(bad: BadTariff) -> Self {
        let first = bad.faults.first().map_or_else(|| "$".to_owned(), |fault| format!("$.{}", fault.path));
        ApiError::unprocessable("bad-tariff", bad.to_string()).at(first)
    }
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    const STATES: [&str; 3] = ["past", "inForce", "future"];
    let query = query.only(&["state"])?;
    let (page, now, book) = (query.page()?, state.clock.now(), state.tariffs.book().book());
    let wanted = query.text("state");
    if let Some(other) = wanted.filter(|wanted| !STATES.contains(wanted)) {
        return Err(ApiError::malformed("state", format!("`{other}`: expected one of {}", STATES.join(", "))));
    }
    let rows = (0..book.versions().len()).map(|place| row(&book, place, now));
    let rows: Vec<Value> = rows.filter(|row| wanted.is_none_or(|wanted| row["state"] == wanted)).collect();
    let total = rows.len() as u64;
    let [offset, limit] = [page.offset, page.limit].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let items = rows.into_iter().skip(offset).take(limit).collect();
    Ok(query.list(Paged { items, total }, |row| row))
}

/// A version of the list. The first one holds for all time before it, too.
fn row(book: &TariffBook, place: usize, now: Timestamp) -> Value {
    let versions = book.versions();
    let Version { tariff, source } = &versions[place];
    let until = versions.get(place + 1).map(|next| next.tariff.effective_from);
    let begun = place == 0 || tariff.effective_from <= now;
    let state = match until.is_some_and(|until| until <= now) {
        true => "past",
        false if begun => "inForce",
        false => "future",
    };
    let mut row = json!({
        "id": tariff.version.to_string(),
        "href": format!("{BASE}/{}", tariff.version),
        "state": state,
        "source": source.as_str(),
        "etag": etag(tariff),
        "plans": tariff.plans.keys().collect::<Vec<_>>(),
        "@type": "TariffVersion",
    });
    if tariff.effective_from != Tariff::BEGINNING {
        row["effectiveFrom"] = json!(tariff.effective_from.to_string());
    }
    if let Some(until) = until {
        row["effectiveUntil"] = json!(until.to_string());
    }
    if let TariffSource::File(file) = source {
        row["file"] = json!(file);
    }
    row
}

/// The number in the path.
fn number(text: &str) -> ApiResult<u32> {
    text.parse().map_err(|_| ApiError::not_found("tariff version", text))
}

/// The ETag that the caller has seen.
fn seen(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let quoted = value.to_str().ok().and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"'));
    let tag = quoted.ok_or_else(|| ApiError::malformed("If-Match", "expected one ETag in quotes"))?;
    Ok(Some(tag))
}

fn document(status: StatusCode, tariff: &Tariff) -> Response {
    (status, [(header::ETAG, format!("\"{}\"", etag(tariff)))], Json(tariff)).into_response()
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Response> {
    query.only(&[])?;
    let (number, book) = (number(&id)?, state.tariffs.book().book());
    let version = book.version(number).ok_or_else(|| ApiError::not_found("tariff version", &id))?;
    Ok(document(StatusCode::OK, &version.tariff))
}

async fn put(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    query.only(&[])?;
    let (number, tariff) = (number(&id)?, body.read::<Tariff>()?);
    if tariff.version != number {
        let reason = format!("is {}, and the path names {number}", tariff.version);
        return Err(ApiError::malformed("$.version", reason));
    }
    let put = state.tariffs.put(tariff, seen(&headers)?).await?;
    Ok(document(if put.created { StatusCode::CREATED } else { StatusCode::OK }, &put.version.tariff))
}

async fn withdraw(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    query.only(&[])?;
    state.tariffs.withdraw(number(&id)?, seen(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
