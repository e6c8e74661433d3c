//! TMF638 service inventory: lines as they are intended, as the elements hold
//! them, and what the device does now.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Query, counted};
use crate::domain::ids::{CustomerId, DeviceId, LineId};
use crate::domain::line::{Line, LineState, SessionState};
use crate::ports::relational::LineFilter;
use crate::services::ordering::tmf;

const BASE: &str = "/tmf-api/serviceInventory/v4";

/// List and one.
pub fn routes() -> Router<ApiState> {
    Router::new().route(&format!("{BASE}/service"), get(list)).route(&format!("{BASE}/service/{{id}}"), get(one))
}

/// TMF638 `ServiceStateType`, as far as lines have it.
struct Tmf(LineState);

impl std::str::FromStr for Tmf {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [LineState::Absent, LineState::Active, LineState::Suspended, LineState::Terminated];
        all.into_iter().find(|s| s.tmf() == text).map(Tmf).ok_or(())
    }
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["state", "relatedParty.id", "imsi", "msisdn", "deviceId"])?;
    let filter = LineFilter {
        state: query.parse::<Tmf>("state", "reserved, active, inactive or terminated")?.map(|s| s.0),
        customer: query.text("relatedParty.id").map(CustomerId::from),
        imsi: query.text("imsi").map(str::to_owned),
        msisdn: query.text("msisdn").map(str::to_owned),
        device: query.text("deviceId").map(DeviceId::from),
        ..LineFilter::default()
    };
    let lines = state.ordering.lines(&filter, query.page()?).await?;
    let mut items = Vec::with_capacity(lines.items.len());
    for line in &lines.items {
        items.push(query.select(service(line, &state.ordering.session(&line.id).await?)));
    }
    Ok(counted(items, lines.total))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    let id = LineId::from(id);
    let line = state.ordering.line(&id).await?.ok_or_else(|| ApiError::not_found("service", id.as_str()))?;
    let session = state.ordering.session(&id).await?;
    Ok(Json(query.select(service(&line, &session))))
}

/// TMF638 v4 `Service` with the device's session as characteristics beside the
/// intended and the actual state.
pub(super) fn service(line: &Line, session: &SessionState) -> Value {
    let mut body = tmf::service(line);
    let session = [
        ("sessionModemOnline", json!(session.modem_online)),
        ("sessionModemSeen", json!(session.modem_seen.map(|t| t.to_string()))),
        ("sessionModemVersion", json!(session.modem_version)),
        ("sessionModemGateway", json!(session.modem_gateway)),
        ("sessionModemRefusal", json!(session.modem_refusal)),
        ("sessionServingMme", json!(session.serving_mme)),
        ("element", json!(line.element)),
        ("account", json!(line.account)),
        ("ordersWaiting", json!(line.queue.len())),
    ];
    if let Some(characteristics) = body.get_mut("serviceCharacteristic").and_then(Value::as_array_mut) {
        let known = session.into_iter().filter(|(_, value)| !value.is_null());
        characteristics.extend(known.map(|(name, value)| json!({ "name": name, "value": value })));
    }
    body
}
