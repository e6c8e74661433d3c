//! `/linegate/v1/devices`: which modems may connect. A token is in the answer
//! that makes it, and in no other.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use super::desk::OPERATOR;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use crate::domain::device::{Device, is_certificate_name, is_device_id};
use crate::domain::ids::{CertificateName, DeviceId};
use crate::domain::time::Timestamp;
use crate::ports::relational::Paged;
use crate::services::devices::{DeviceError, Enrolment, Wanted};

const BASE: &str = "/linegate/v1/devices";

/// Devices and what operators do with them. Each change takes `by`, who makes it,
/// for the log.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(BASE, get(list).post(enrol))
        .route(&format!("{BASE}/{{id}}"), get(one).delete(revoke))
        .route(&format!("{BASE}/{{id}}/enrolments"), post(enrol_again))
        .route(&format!("{BASE}/{{id}}/token"), post(rotate_token))
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["certificateName"])?;
    let page = query.page()?;
    let found = match query.text("certificateName") {
        None => state.devices.devices(page).await?,
        Some(name) => {
            let found = state.devices.device_of_certificate(&CertificateName::from(name)).await?;
            let total = u64::from(found.is_some());
            let items = found.into_iter().filter(|_| page.offset == 0 && page.limit > 0).collect();
            Paged { items, total }
        }
    };
    let locked = state.devices.locked();
    Ok(query.list(found, |device| device_body(&device, &locked)))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let id = DeviceId::from(id);
    let device = state.devices.device(&id).await?.ok_or_else(|| ApiError::not_found("device", id.as_str()))?;
    let mut body = device_body(&device, &state.devices.locked());
    if let Some((line, _)) = state.store.lines_of_devices(&[id]).await?.first() {
        body["line"] = json!(line.id);
    }
    Ok(Json(query.select(body)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnrolBody {
    device: String,
    credential: Kind,
    #[serde(default)]
    certificate_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnrolAgainBody {
    credential: Kind,
    #[serde(default)]
    certificate_name: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Token,
    Certificate,
}

async fn enrol(State(state): State<ApiState>, query: Query, body: Body) -> ApiResult<Response> {
    let by = by(query)?;
    let EnrolBody { device, credential, certificate_name } = body.read()?;
    if !is_device_id(&device) {
        let reason = format!("`{device}`: expected 1 to 64 of A-Z a-z 0-9 . _ : -");
        return Err(ApiError::malformed("$.device", reason));
    }
    let wanted = wanted(credential, certificate_name)?;
    let enrolment = state.devices.enrol(DeviceId::from(device), wanted, &by).await.map_err(refused)?;
    Ok(created(&enrolment))
}

async fn enrol_again(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    query: Query,
    body: Body,
) -> ApiResult<Response> {
    let by = by(query)?;
    let EnrolAgainBody { credential, certificate_name } = body.read()?;
    let wanted = wanted(credential, certificate_name)?;
    let enrolment = state.devices.enrol_again(DeviceId::from(id), wanted, &by).await.map_err(refused)?;
    Ok(created(&enrolment))
}

async fn rotate_token(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Response> {
    let by = by(query)?;
    let enrolment = state.devices.rotate_token(DeviceId::from(id), &by).await.map_err(refused)?;
    Ok(created(&enrolment))
}

async fn revoke(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<StatusCode> {
    let by = by(query)?;
    state.devices.revoke(DeviceId::from(id), &by).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn by(query: Query) -> ApiResult<String> {
    Ok(query.only(&["by"])?.text("by").unwrap_or(OPERATOR).to_owned())
}

fn wanted(kind: Kind, name: Option<String>) -> ApiResult<Wanted> {
    match (kind, name) {
        (Kind::Token, None) => Ok(Wanted::Token),
        (Kind::Token, Some(_)) => Err(ApiError::malformed("$.certificateName", "a token has no certificate's name")),
        (Kind::Certificate, None) => Ok(Wanted::Certificate(None)),
        (Kind::Certificate, Some(name)) if is_certificate_name(&name) => {
            Ok(Wanted::Certificate(Some(CertificateName::from(name))))
        }
        (Kind::Certificate, Some(_)) => {
            Err(ApiError::malformed("$.certificateName", "expected 1 to 255 octets without control characters"))
        }
    }
}

fn refused(error: DeviceError) -> ApiError {
    match error {
        DeviceError::Unknown(id) => ApiError::not_found("device", id.as_str()),
        DeviceError::Known(id) => {
            let reason = format!("device `{id}` is enrolled, or was: POST {BASE}/{id}/enrolments enrols it anew");
            ApiError::conflict("already-enrolled", reason)
        }
        DeviceError::Revoked(_) => ApiError::conflict("revoked", error.to_string()),
        DeviceError::NameTaken { .. } => {
            ApiError::conflict("identifier-taken", error.to_string()).at("$.certificateName")
        }
        DeviceError::Store(error) => ApiError::from(error),
    }
}

/// 201 with the token, where one was made, and the word that nobody keeps it.
fn created(enrolment: &Enrolment) -> Response {
    let mut body = device_body(&enrolment.device, &HashMap::new());
    if let Some(token) = &enrolment.token {
        body["token"] = json!(token);
    }
    let location = href(&enrolment.device.id);
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::CREATED, headers, Json(body)).into_response()
}

fn href(id: &DeviceId) -> String {
    format!("{BASE}/{id}")
}

fn device_body(device: &Device, locked: &HashMap<DeviceId, Timestamp>) -> Value {
    let kinds = [("certificate", device.certificate_name.is_some()), ("token", device.token.is_some())];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(_, has)| *has).map(|(kind, _)| kind).collect();
    let mut body = json!({
        "id": device.id,
        "href": href(&device.id),
        "state": if device.revoked.is_some() { "revoked" } else { "enrolled" },
        "epoch": device.epoch,
        "credentials": kinds,
        "imported": device.imported,
        "created": device.created.to_string(),
        "enrolled": device.enrolled.to_string(),
    });
    let token = device.token.as_ref();
    let times = [
        ("rotated", token.map(|t| t.made)),
        ("formerTokenUntil", token.and_then(|t| t.former.as_ref()).map(|f| f.until)),
        ("revoked", device.revoked),
        ("lockedUntil", locked.get(&device.id).copied()),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            body[name] = json!(time.to_string());
        }
    }
    if let Some(name) = &device.certificate_name {
        body["certificateName"] = json!(name);
    }
    body
}
