//! `/linegate/v1/explain`: how a line's usage of a cycle's bill came about.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::usage::usage_id;
use crate::domain::cycle::CycleId;
use crate::domain::ids::LineId;
use crate::domain::money::{Currency, Money};
use crate::ports::relational::StoredUsage;
use crate::services::explain::Explanation;

/// `GET /explain?line=&cycle=`, paged by `after`.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/linegate/v1/explain", get(explain))
}

/// Records behind `after` (the `next` of the page before); the first page sums and
/// compares everything.
async fn explain(State(state): State<ApiState>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&["line", "cycle", "after"])?;
    let missing = |name: &str| ApiError::malformed(name, "is needed");
    let line = LineId::from(query.text("line").ok_or_else(|| missing("line"))?);
    let cycle: CycleId = query.parse("cycle", "a cycle such as 2026-10")?.ok_or_else(|| missing("cycle"))?;
    let after = query.parse("after", "the `next` of a page")?.unwrap_or(0);
    let limit = query.page()?.limit.max(1);
    let records = state.explain.records(&line, cycle, after, limit).await?;
    let next = records.last().filter(|_| records.len() as u64 == limit).map(|last| last.sequence);
    let currency = state.currency;
    let shown = records.iter().map(|r| record(r, state.explain.rule(r), currency)).collect::<Vec<_>>();
    let mut body = json!({ "line": line, "cycle": cycle, "records": shown, "next": next });
    if after == 0 {
        let found = state.explain.explain(&line, cycle).await?;
        let found = found.ok_or_else(|| ApiError::not_found("line", line.as_str()))?;
        body["accounts"] = json!(found.accounts);
        body["sums"] = json!(found.rows);
        body["sources"] = json!(found.sources);
        body["bill"] = bill(&found, &line);
        body["agrees"] = json!(found.differences.is_empty());
        body["differences"] = json!(found.differences);
        body["currency"] = json!(currency.code());
    }
    Ok(Json(body))
}

fn record(record: &StoredUsage, rule: String, currency: Currency) -> Value {
    json!({
        "id": usage_id(record),
        "key": record.key.to_string(),
        "source": record.key.source().as_str(),
        "start": record.starts.to_string(),
        "end": record.ends.to_string(),
        "outcome": record.outcome.as_str(),
        "octets": record.octets_counted(),
        "plan": record.plan,
        "tariffVersion": record.tariff_version,
        "rule": rule,
        "lateFor": record.late_for,
        "amount": record.amount,
        "price": Money::new(record.amount, currency).decimal(),
        "postings": record.postings,
    })
}

/// Every line of the bill that is the line's; `null` where no bill is made yet.
fn bill(found: &Explanation, line: &LineId) -> Value {
    if found.invoices.is_empty() {
        return Value::Null;
    }
    let charges = found.charges(line).map(|(invoice, charge)| {
        json!({
            "invoice": invoice.id,
            "number": invoice.number.as_ref().map(ToString::to_string),
            "kind": charge.kind,
            "plan": charge.plan,
            "lateFor": charge.late_for,
            "quantity": charge.quantity,
            "amount": charge.amount,
            "price": Money::new(charge.amount, invoice.currency).decimal(),
        })
    });
    charges.collect()
}
