//! `/linegate/v1/planChanges/preview`: the open cycle's bill with and without a change
//! of plan, side by side. Nothing is changed.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use crate::domain::billing::{Compared, Invoice, Side};
use crate::domain::ids::{AccountId, LineId, PlanId};
use crate::domain::time::Timestamp;
use crate::services::month::{Changing, MonthError, PlanChange, PlanPreview, PreviewError};

/// The preview.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/linegate/v1/planChanges/preview", get(preview))
}

impl From<PreviewError> for ApiError {
    fn from(e: PreviewError) -> Self {
        let reason = e.to_string();
        match e {
            PreviewError::Unknown(id) => ApiError::not_found("line or account", &id),
            PreviewError::UnknownPlan { .. } => ApiError::unprocessable("unknown-plan", reason).at("plan"),
            PreviewError::WrongAccess { .. } => ApiError::unprocessable("wrong-access", reason).at("plan"),
            PreviewError::NotInService(_) => ApiError::unprocessable("not-in-service", reason).at("line"),
            PreviewError::OutsideCycle { .. } => ApiError::unprocessable("outside-cycle", reason).at("at"),
            PreviewError::TooManyLines { .. } => ApiError::unprocessable("too-many-lines", reason).at("account"),
            PreviewError::Month(MonthError::Store(e)) => ApiError::from(e),
            PreviewError::Month(_) => ApiError::unprocessable("account-unbillable", reason),
        }
    }
}

async fn preview(State(state): State<ApiState>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&["line", "account", "plan", "at"])?;
    let of = match (query.text("line"), query.text("account")) {
        (Some(line), None) => Changing::Line(LineId::from(line)),
        (None, Some(account)) => Changing::Account(AccountId::from(account)),
        _ => return Err(ApiError::malformed("line", "name either a line or an account")),
    };
    let plan = query.text("plan").ok_or_else(|| ApiError::malformed("plan", "names the plan to change to"))?;
    let at = query.text("at").map(Timestamp::parse).transpose();
    let at = at.map_err(|e| ApiError::malformed("at", e.to_string()))?;
    let preview = state.previews.preview(PlanChange { of, plan: PlanId::from(plan), at }).await?;
    Ok(Json(query.select(body(&preview, state.currency.code()))))
}

fn body(preview: &PlanPreview, currency: &str) -> Value {
    let (current, changed) = (totals(preview.current.as_ref()), totals(preview.changed.as_ref()));
    let difference: [i64; 3] = std::array::from_fn(|i| changed[i] - current[i]);
    let money = |[net, tax, gross]: [i64; 3]| json!({ "net": net, "tax": tax, "gross": gross });
    json!({
        "account": preview.account,
        "lines": preview.lines,
        "cycle": preview.cycle.cycle,
        "validFor": {
            "startDateTime": preview.cycle.bounds.from.to_string(),
            "endDateTime": preview.cycle.bounds.until.to_string(),
        },
        "at": preview.at.to_string(),
        "usageUntil": preview.usage_until.to_string(),
        "currency": currency,
        "current": money(current),
        "changed": money(changed),
        "difference": money(difference),
        "charges": preview.rows.iter().map(row).collect::<Vec<_>>(),
        "@type": "PlanChangePreview",
    })
}

fn totals(bill: Option<&Invoice>) -> [i64; 3] {
    bill.map_or([0; 3], |bill| [bill.net, bill.tax, bill.gross])
}

fn row(row: &Compared) -> Value {
    let side = |side: Option<Side>| side.map(|s| json!({ "quantity": s.quantity, "amount": s.amount }));
    json!({
        "line": row.line,
        "plan": row.plan,
        "kind": row.kind,
        "description": row.description,
        "lateFor": row.late_for,
        "current": side(row.before),
        "changed": side(row.after),
    })
}
