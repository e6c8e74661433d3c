//! `/linegate/v1/rerating`: rates a cycle again after a tariff was corrected.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query};
use super::operations::{OperationError, Report};
use super::stream::{REPORT_LINES_WAITING_MAX, report};
use crate::domain::ids::{AccountId, LineId};
use crate::services::rerating::{RerateError, RerateListener, RerateOutcome, RerateRequest, Which};

/// Rating again.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/linegate/v1/rerating", post(run))
}

/// Longest id of a run, in bytes: every changed record keeps it twice.
const ID_BYTES_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Ask {
    id: String,
    cycle: String,
    account: Option<AccountId>,
    line: Option<LineId>,
    #[serde(default)]
    dry_run: bool,
}

impl Ask {
    fn request(self) -> ApiResult<RerateRequest> {
        let cycle = self.cycle.parse();
        let cycle = cycle.map_err(|_| ApiError::malformed("$.cycle", "expected a cycle such as 2026-10"))?;
        if self.id.trim().is_empty() || self.id.len() > ID_BYTES_MAX {
            let why = format!("names this run in 1 to {ID_BYTES_MAX} bytes; the same id does what is left of it");
            return Err(ApiError::malformed("$.id", why));
        }
        let which = match (self.account, self.line) {
            (Some(_), Some(_)) => return Err(ApiError::malformed("$.line", "give an account or a line, not both")),
            (Some(account), None) => Which::Account(account),
            (None, Some(line)) => Which::Line(line),
            (None, None) => Which::All,
        };
        Ok(RerateRequest { id: self.id, cycle, which, dry_run: self.dry_run })
    }
}

/// Tells the reader of a report.
struct Lines(Report);

#[async_trait]
impl RerateListener for Lines {
    async fn rerated(&self, account: &AccountId, outcome: &RerateOutcome) {
        let mut line = json!({ "account": account, "result": outcome.as_str() });
        match outcome {
            RerateOutcome::Rerated(sum) => {
                line["records"] = json!(sum.records);
                line["changed"] = json!(sum.changed);
                line["before"] = json!(sum.before);
                line["after"] = json!(sum.after);
            }
            RerateOutcome::Refused(why) | RerateOutcome::Failed(why) => line["why"] = json!(why),
            RerateOutcome::DoneBefore => {}
        }
        self.0.line(line).await;
    }
}

/// Newline-delimited JSON: a line for each account, then the totals.
async fn run(State(state): State<ApiState>, query: Query, body: Body) -> ApiResult<Response> {
    query.only(&[])?;
    let ask = body.read::<Ask>()?.request()?;
    let (sender, lines) = Report::channel(REPORT_LINES_WAITING_MAX);
    let rerating = Arc::clone(&state.rerating);
    let operation = tokio::spawn(async move {
        let done = rerating.run(ask, &Lines(sender)).await.map_err(|e| match e {
            RerateError::UnknownLine(_) => OperationError::Refused { code: "unknown-line", reason: e.to_string() },
            RerateError::Busy => OperationError::InProgress { reason: e.to_string() },
            RerateError::Charging(_) | RerateError::Store(_) => OperationError::Unavailable { reason: e.to_string() },
        })?;
        serde_json::to_value(&done).map_err(|e| OperationError::Broken { reason: e.to_string() })
    });
    report(lines, operation).await
}
