//! TMF678 customer bills: final invoices, as JSON and as PDF.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::month::pdf;
use super::usage::money;
use crate::domain::billing::{ChargeKind, Invoice};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{CustomerId, InvoiceId};
use crate::domain::money::Money;

const BASE: &str = "/tmf-api/customerBillManagement/v4";

/// List, one, one as PDF.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route(&format!("{BASE}/customerBill"), get(list))
        .route(&format!("{BASE}/customerBill/{{id}}"), get(one))
        .route(&format!("{BASE}/customerBill/{{id}}/pdf"), get(document))
}

async fn list(State(state): State<ApiState>, query: Query) -> ApiResult<Response> {
    let query = query.only(&["cycle", "relatedParty.id"])?;
    let cycle = query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?;
    let customer = query.text("relatedParty.id").map(CustomerId::from);
    let invoices = state.store.invoices(cycle, customer.as_ref(), query.page()?).await?;
    Ok(query.list(invoices, |invoice| customer_bill(&invoice)))
}

async fn one(State(state): State<ApiState>, Path(id): Path<String>, query: Query) -> ApiResult<Json<Value>> {
    let query = query.only(&[])?;
    Ok(Json(query.select(customer_bill(&load(&state, &id).await?))))
}

async fn document(State(state): State<ApiState>, Path(id): Path<String>) -> ApiResult<Response> {
    let invoice = load(&state, &id).await?;
    invoice_pdf(&state, invoice).await
}

/// The invoice as PDF.
pub(super) async fn invoice_pdf(state: &ApiState, invoice: Invoice) -> ApiResult<Response> {
    let documents = state.documents.clone();
    let name = format!("invoice-{}", invoice.number.as_ref().map_or_else(String::new, ToString::to_string));
    pdf(&name, move || documents.invoice_pdf(&invoice)).await
}

/// The invoice, or 404.
pub(super) async fn load(state: &ApiState, id: &str) -> ApiResult<Invoice> {
    let found = state.store.invoice(&InvoiceId::from(id)).await?;
    found.ok_or_else(|| ApiError::not_found("customerBill", id))
}

/// TMF678 v4 `CustomerBill`; the invoice's lines are in `appliedBillingRate`.
pub(super) fn customer_bill(invoice: &Invoice) -> Value {
    let amount = |minor| money(Money::new(minor, invoice.currency));
    let href = format!("{BASE}/customerBill/{}", invoice.id);
    json!({
        "id": invoice.id,
        "href": href,
        "billNo": invoice.number.as_ref().map(ToString::to_string),
        "billDate": invoice.issued.to_string(),
        "category": "normal",
        "runType": "onCycle",
        "state": "validated",
        "amountDue": amount(invoice.due()),
        "taxExcludedAmount": amount(invoice.net),
        "taxIncludedAmount": amount(invoice.gross),
        "taxItem": [{ "taxCategory": "VAT", "taxRate": invoice.tax_percent, "taxAmount": amount(invoice.tax) }],
        "billingAccount": { "id": invoice.account },
        "billingPeriod": {
            "startDateTime": invoice.span.from.to_string(),
            "endDateTime": invoice.span.until.to_string(),
        },
        "billCycle": { "id": invoice.cycle },
        "relatedParty": [{ "id": invoice.customer, "role": "customer", "@referredType": "Customer" }],
        "billDocument": [{
            "name": "invoice",
            "attachmentType": "invoice",
            "mimeType": "application/pdf",
            "url": format!("{href}/pdf"),
        }],
        "appliedBillingRate": rates(invoice),
        "@type": "CustomerBill",
    })
}

fn rates(invoice: &Invoice) -> Vec<Value> {
    let amount = |minor| money(Money::new(minor, invoice.currency));
    invoice
        .charges
        .iter()
        .enumerate()
        .map(|(i, charge)| {
            let kind = match charge.kind {
                ChargeKind::Recurring => "recurring",
                ChargeKind::OneTime => "oneTime",
                ChargeKind::Usage => "usage",
            };
            json!({
                "id": (i + 1).to_string(),
                "appliedBillingRateType": kind,
                "name": charge.description,
                "product": { "id": charge.line, "name": charge.plan },
                "periodCoverage": {
                    "startDateTime": charge.span.from.to_string(),
                    "endDateTime": charge.span.until.to_string(),
                },
                "quantity": charge.quantity,
                "lateFor": charge.late_for,
                "taxExcludedAmount": amount(charge.amount),
            })
        })
        .collect()
}
