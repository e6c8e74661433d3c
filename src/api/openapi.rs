//! `/openapi.json`: what is served, in OpenAPI 3.1, kept beside the router as a
//! table. TM Forum's own documents describe the bodies; this one says which
//! part of them is here, and which filters a list takes.

use axum::Json;
use serde_json::{Map, Value, json};

/// Path, methods, one line, filters of its list.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const ORDERS: &str = "/tmf-api/serviceOrdering/v4";
const INVENTORY: &str = "/tmf-api/serviceInventory/v4";
const APPOINTMENTS: &str = "/tmf-api/appointment/v4";
const WORK: &str = "/tmf-api/workOrderManagement/v4";
const USAGE: &str = "/tmf-api/usageManagement/v4";
const BALANCES: &str = "/tmf-api/prepayBalanceManagement/v4";
const BILLS: &str = "/tmf-api/customerBillManagement/v4";
const OURS: &str = "/linegate/v1";
const MY_PAGE: &str = "/my-page/v1";
const FIELD: &str = "/field/v1";

/// Every route by base, in the order of the router.
pub const ROUTES: [(&str, &[Row]); 11] = [
    (
        ORDERS,
        &[
            (
                "/serviceOrder",
                "get post",
                "TMF641 ServiceOrder",
                &["state", "externalId", "relatedParty.id", "service.id"],
            ),
            ("/serviceOrder/{id}", "get", "TMF641 ServiceOrder", &[]),
            ("/cancelServiceOrder", "get post", "TMF641 CancelServiceOrder", &[]),
            ("/cancelServiceOrder/{id}", "get", "TMF641 CancelServiceOrder", &[]),
        ],
    ),
    (
        INVENTORY,
        &[
            ("/service", "get", "TMF638 Service", &["state", "relatedParty.id", "imsi", "msisdn", "deviceId"]),
            ("/service/{id}", "get", "TMF638 Service", &[]),
        ],
    ),
    (
        APPOINTMENTS,
        &[
            ("/appointment", "get post", "TMF646 Appointment", &["relatedEntity.id", "relatedParty.id", "status"]),
            ("/appointment/{id}", "get patch delete", "TMF646 Appointment", &[]),
            ("/searchTimeSlot", "get post", "TMF646 SearchTimeSlot", &[]),
            ("/searchTimeSlot/{id}", "get patch delete", "TMF646 SearchTimeSlot", &[]),
        ],
    ),
    (
        WORK,
        &[
            ("/workOrder", "get", "TMF697 WorkOrder", &["state", "relatedParty.id", "serviceOrder.id", "date"]),
            ("/workOrder/{id}", "get patch", "TMF697 WorkOrder", &[]),
        ],
    ),
    (
        USAGE,
        &[
            (
                "/usage",
                "get",
                "TMF635 Usage",
                &["line", "cycle", "outcome", "status", "source", "imsi", "msisdn", "deviceId"],
            ),
            ("/usage/{id}", "get", "TMF635 Usage", &[]),
        ],
    ),
    (
        BALANCES,
        &[
            ("/bucket", "get", "TMF654 Bucket", &["product.id", "partyAccount.id", "logicalResource.id"]),
            ("/bucket/{id}", "get", "TMF654 Bucket", &[]),
            ("/accumulatedBalance", "get", "TMF654 AccumulatedBalance", &["partyAccount.id"]),
            ("/accumulatedBalance/{id}", "get", "TMF654 AccumulatedBalance", &[]),
            ("/topupBalance", "get post", "TMF654 TopupBalance", &["product.id"]),
            ("/topupBalance/{id}", "get", "TMF654 TopupBalance", &[]),
        ],
    ),
    (
        BILLS,
        &[
            ("/customerBill", "get", "TMF678 CustomerBill", &["cycle", "relatedParty.id"]),
            ("/customerBill/{id}", "get", "TMF678 CustomerBill", &[]),
            ("/customerBill/{id}/pdf", "get", "The bill as PDF", &[]),
        ],
    ),
    (
        OURS,
        &[
            ("/calls", "get", "Outbound-call list", &["state", "due"]),
            ("/calls/{id}", "get", "One call", &[]),
            ("/calls/{id}/outcome", "post", "What came of an attempt", &[]),
            ("/calls/{id}/again", "post", "Another round after the retry plan is used up", &[]),
            ("/workers", "get post", "Field workers", &[]),
            ("/workers/{id}/absences", "post delete", "When a worker cannot come", &["from", "until"]),
            ("/slots", "get post", "Bookable time", &["from", "until", "skills", "address"]),
            ("/fallout", "get", "Orders that wait for a person", &[]),
            ("/fallout/{order}/{verb}", "post", "retry, skip or fail", &["by"]),
            ("/outbox", "get", "Messages on their way out", &["channel", "state"]),
            ("/outbox/replay", "post", "Try the dead of a channel, reason or listener again", &["limit"]),
            ("/outbox/{id}", "get", "A message with what it carries", &[]),
            ("/outbox/{id}/replay", "post", "Try a dead message again", &[]),
            ("/devices", "get post", "Modems that may connect; enrol one", &["certificateName"]),
            ("/devices/{id}", "get delete", "One modem; revoke it", &[]),
            ("/devices/{id}/enrolments", "post", "Enrol a modem anew, under the next epoch", &[]),
            ("/devices/{id}/token", "post", "Give a modem a new token", &[]),
            ("/monthClose", "post", "Close a month; newline-delimited JSON", &[]),
            ("/monthClose/{cycle}", "get", "How far a close is", &[]),
            ("/settlements/{cycle}", "get", "The month's totals", &[]),
            ("/settlements/{cycle}/csv", "get", "The month's totals as CSV", &[]),
            ("/settlements/{cycle}/pdf", "get", "The month's totals as PDF", &["department"]),
            ("/accounts/{id}", "get", "A charging account", &[]),
            ("/usageFiles", "post", "Take a charging file in; newline-delimited JSON", &[]),
            ("/explain", "get", "How a line's usage of a bill came about", &["line", "cycle", "after"]),
            ("/rerating", "post", "Rate a cycle again after its tariff was corrected; newline-delimited JSON", &[]),
            ("/suspense", "get", "Usage that waits in suspense, by reason", &[]),
            ("/suspense/recycle", "post", "Put many back into charging; newline-delimited JSON", &["by"]),
            ("/suspense/{id}", "get", "One record with what was done about it", &[]),
            ("/suspense/{id}/recycle", "post", "Put it back into charging", &["by"]),
            ("/suspense/{id}/correct", "post", "Charge the corrected row of a charging file", &["by"]),
            ("/suspense/{id}/drop", "post", "Give it up, with the reason", &["by"]),
            (
                "/planChanges/preview",
                "get",
                "The open cycle's bill with and without a change of plan; changes nothing",
                &["line", "account", "plan", "at"],
            ),
            ("/tariffs", "get", "Versions of the tariff, the oldest first", &["state"]),
            ("/tariffs/{version}", "get put delete", "One version; put it; withdraw it before it holds", &[]),
            ("/lines/import", "post", "Take lines in; newline-delimited JSON", &[]),
            ("/tokens/my-page", "post", "A token for one customer", &[]),
            ("/tokens/worker", "post", "A token for one field worker", &[]),
        ],
    ),
    (
        MY_PAGE,
        &[
            ("/orders", "get", "The customer's orders", &[]),
            ("/orders/{id}", "get", "One of the customer's orders", &[]),
            ("/orders/{id}/timeline", "get", "What it has reached and waits for, in Korean and English", &[]),
            ("/lines", "get", "The customer's lines", &[]),
            ("/lines/{id}", "get", "One of the customer's lines", &[]),
            ("/visits", "get", "The customer's visits", &[]),
            ("/visits/{id}", "get", "One of the customer's visits", &[]),
            ("/visit/{token}", "get post", "The visit of a signed link; choose another time", &[]),
            ("/usage", "get", "The customer's usage", &["line", "cycle"]),
            ("/bills", "get", "The customer's bills", &["cycle"]),
            ("/bills/{id}", "get", "One of the customer's bills", &[]),
            ("/bills/{id}/pdf", "get", "A bill as PDF", &[]),
        ],
    ),
    (
        FIELD,
        &[
            ("/workOrder", "get", "The worker's list of a day", &["date"]),
            ("/workOrder/{id}", "get patch", "One job of the worker", &[]),
            ("/returnReasons", "get", "Codes with which a job is given back", &[]),
        ],
    ),
    (
        "",
        &[
            ("/healthz", "get", "Alive", &[]),
            ("/readyz", "get", "May take traffic", &[]),
            ("/metrics", "get", "Prometheus", &[]),
            ("/openapi.json", "get", "This document", &[]),
        ],
    ),
];

/// Bases that have `/hub`.
const WITH_HUB: [&str; 7] = [ORDERS, INVENTORY, APPOINTMENTS, WORK, USAGE, BILLS, OURS];

/// The document.
pub async fn document() -> Json<Value> {
    let mut paths = Map::new();
    for (base, rows) in ROUTES {
        for (path, methods, summary, filters) in rows {
            let item: Map<String, Value> =
                methods.split(' ').map(|m| (m.to_owned(), operation(m, path, summary, filters))).collect();
            paths.insert(format!("{base}{path}"), Value::Object(item));
        }
        if WITH_HUB.contains(&base) {
            let hub = |method: &str, path: &str| operation(method, path, "TMF688 event subscription", &[]);
            paths.insert(format!("{base}/hub"), json!({ "post": hub("post", "/hub") }));
            paths.insert(format!("{base}/hub/{{id}}"), json!({ "delete": hub("delete", "/hub/{id}") }));
        }
    }
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Linegate", "version": env!("CARGO_PKG_VERSION") },
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": {
                "type": "object",
                "required": ["code", "reason", "status"],
                "properties": {
                    "code": { "type": "string" },
                    "reason": { "type": "string" },
                    "message": { "type": "string" },
                    "status": { "type": "string" },
                },
            } },
        },
        "security": [{}, { "bearer": [] }],
        "paths": paths,
    }))
}

fn operation(method: &str, path: &str, summary: &str, filters: &[&str]) -> Value {
    let named = path.split('/').filter_map(|s| s.strip_prefix('{').and_then(|s| s.strip_suffix('}')));
    let mut parameters: Vec<Value> = named
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let is_list = method == "get" && !path.contains('{');
    let paging: &[&str] = if is_list && !filters.is_empty() { &["offset", "limit", "fields"] } else { &[] };
    let queried = filters.iter().filter(|_| method != "patch" && (is_list || path.contains('{'))).chain(paging);
    parameters.extend(queried.map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } })));
    let error = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
    json!({
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "2XX": { "description": "Done" },
            "default": { "description": "Refused", "content": error },
        },
    })
}
