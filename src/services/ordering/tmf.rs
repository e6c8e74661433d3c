//! Our values in TM Forum shapes: TMF641 ServiceOrder, TMF638 Service, TMF646
//! Appointment, TMF697 WorkOrder. Events carry them, and the API answers with them.

use serde_json::{Map, Value, json};

use crate::domain::fieldwork::WorkOrder;
use crate::domain::ids::CustomerId;
use crate::domain::line::{Line, LineState, Profile};
use crate::domain::ordering::{Order, OrderItem};
use crate::domain::scheduling::Appointment;

/// TMF641 v4 `ServiceOrder`.
pub fn service_order(order: &Order) -> Value {
    let href = format!("/tmf-api/serviceOrdering/v4/serviceOrder/{}", order.id);
    let mut body = order.extra.clone();
    put(&mut body, "id", json!(order.id));
    put(&mut body, "href", json!(href));
    put(&mut body, "externalId", json!(order.external_id));
    put(&mut body, "priority", json!(order.priority.to_string()));
    put(&mut body, "state", json!(order.state));
    put(&mut body, "orderDate", json!(order.created.to_string()));
    put(&mut body, "requestedStartDate", json!(order.requested_start.map(|t| t.to_string())));
    put(&mut body, "startDate", json!(order.started.map(|t| t.to_string())));
    put(&mut body, "completionDate", json!(order.completed.map(|t| t.to_string())));
    put(&mut body, "cancellationReason", json!(order.cancellation_reason));
    put(&mut body, "relatedParty", related_party(&mut order.extra.clone(), &order.customer));
    put(&mut body, "serviceOrderItem", order.items.iter().map(item).collect());
    let errors: Vec<Value> = order.items.iter().filter_map(error_message).collect();
    if !errors.is_empty() {
        put(&mut body, "errorMessage", json!(errors));
    }
    if !order.notes.is_empty() {
        let notes = order.notes.iter().map(|n| json!({ "date": n.at.to_string(), "author": n.author, "text": n.text }));
        put(&mut body, "note", notes.collect());
    }
    let milestones = order.milestones.iter().enumerate().map(|(i, m)| {
        json!({
            "id": (i + 1).to_string(),
            "name": m.name,
            "message": m.message,
            "milestoneDate": m.at.to_string(),
            "status": "completed",
        })
    });
    put(&mut body, "milestone", milestones.collect());
    put(&mut body, "@type", json!("ServiceOrder"));
    Value::Object(body)
}

/// TMF638 v4 `Service`, with the line's intended and actual state as characteristics.
pub fn service(line: &Line) -> Value {
    let began = line.periods.first().map(|p| p.span.from.to_string());
    let ended = line.periods.last().filter(|p| p.state == LineState::Terminated).map(|p| p.span.from.to_string());
    let mut body = Map::new();
    put(&mut body, "id", json!(line.id));
    put(&mut body, "href", json!(format!("/tmf-api/serviceInventory/v4/service/{}", line.id)));
    put(&mut body, "state", json!(line.actual.tmf()));
    put(&mut body, "hasStarted", json!(began.is_some()));
    put(&mut body, "isServiceEnabled", json!(line.actual == LineState::Active));
    put(&mut body, "serviceDate", json!(line.created.to_string()));
    put(&mut body, "startDate", json!(began));
    put(&mut body, "endDate", json!(ended));
    put(&mut body, "serviceSpecification", json!({ "id": line.profile.access }));
    let mut characteristics = profile(&line.profile);
    characteristics.push(characteristic("intendedState", json!(line.intended.as_str())));
    characteristics.push(characteristic("actualState", json!(line.actual.as_str())));
    characteristics.push(characteristic("desiredVersion", json!(line.desired_version)));
    put(&mut body, "serviceCharacteristic", Value::Array(characteristics));
    put(&mut body, "relatedParty", json!([party(&line.customer)]));
    if let Some(old) = &line.reconnects {
        let relation = json!([{ "relationshipType": "reconnects", "service": { "id": old } }]);
        put(&mut body, "serviceRelationship", relation);
    }
    put(&mut body, "@type", json!("Service"));
    Value::Object(body)
}

/// TMF646 v4 `Appointment`.
pub fn appointment(appointment: &Appointment) -> Value {
    let valid_for = appointment
        .span
        .map_or(json!({}), |s| json!({ "startDateTime": s.from.to_string(), "endDateTime": s.until.to_string() }));
    let mut parties = vec![party(&appointment.customer)];
    parties.extend(
        appointment.worker.as_ref().map(|w| json!({ "id": w, "role": "worker", "@referredType": "Individual" })),
    );
    json!({
        "id": appointment.id,
        "href": format!("/tmf-api/appointment/v4/appointment/{}", appointment.id),
        "status": appointment.state.tmf(),
        "category": appointment.skills.join(","),
        "creationDate": appointment.created.to_string(),
        "validFor": valid_for,
        "calendarEvent": appointment.slot.as_ref().map(|slot| json!({ "id": slot, "@referredType": "TimeSlot" })),
        "relatedParty": parties,
        "relatedPlace": { "name": appointment.address, "role": "installation address" },
        "relatedEntity": [{ "id": appointment.order, "role": "service order", "@referredType": "ServiceOrder" }],
        "@type": "Appointment",
    })
}

/// TMF697 `WorkOrder`.
pub fn work_order(work: &WorkOrder) -> Value {
    let mut body = Map::new();
    put(&mut body, "id", json!(work.id));
    put(&mut body, "href", json!(format!("/tmf-api/workOrderManagement/v4/workOrder/{}", work.id)));
    put(&mut body, "state", json!(work.state.tmf()));
    put(&mut body, "requestedStartDate", json!(work.planned.from.to_string()));
    put(&mut body, "requestedCompletionDate", json!(work.planned.until.to_string()));
    put(&mut body, "startDate", json!(work.started.map(|t| t.to_string())));
    put(&mut body, "completionDate", json!(work.ended.map(|t| t.to_string())));
    let worker = json!({ "id": work.worker, "role": "worker", "@referredType": "Individual" });
    put(&mut body, "relatedParty", json!([party(&work.customer), worker]));
    put(&mut body, "place", json!([{ "name": work.address, "role": "installation address" }]));
    put(&mut body, "appointment", json!({ "id": work.appointment }));
    put(&mut body, "serviceOrder", json!({ "id": work.order }));
    let items = work.lines.iter().enumerate().map(|(i, line)| {
        let mut service = Map::new();
        put(&mut service, "id", json!(line));
        if let Some(item) = work.items.iter().find(|item| item.line == *line) {
            put(&mut service, "serviceSpecification", json!({ "id": item.access }));
            put(&mut service, "serviceCharacteristic", json!([characteristic("plan", json!(item.plan))]));
        }
        json!({ "id": (i + 1).to_string(), "action": "add", "state": work.state.tmf(), "service": service })
    });
    put(&mut body, "workOrderItem", items.collect());
    put(&mut body, "result", json!(work.result));
    if let Some(reason) = &work.return_reason {
        let note = work.return_note.as_deref().unwrap_or("returned by the worker");
        put(&mut body, "errorMessage", json!([{ "code": reason, "reason": note }]));
    }
    put(&mut body, "@type", json!("WorkOrder"));
    Value::Object(body)
}

fn item(item: &OrderItem) -> Value {
    let mut service = match &item.service {
        Value::Object(service) => service.clone(),
        _ => Map::new(),
    };
    put(&mut service, "id", json!(item.line));
    put(&mut service, "href", json!(format!("/tmf-api/serviceInventory/v4/service/{}", item.line)));
    json!({
        "id": item.id,
        "action": item.action,
        "state": item.state,
        "service": service,
        "@type": "ServiceOrderItem",
    })
}

/// The code of an item, for people and programs.
fn error_message(item: &OrderItem) -> Option<Value> {
    let code = item.code.as_ref()?;
    let reason = match code.strip_prefix("already-") {
        Some(state) => format!("{} line {}: it was {state} already", item.kind.as_str(), item.line),
        None => format!("{} line {}: {code}", item.kind.as_str(), item.line),
    };
    Some(json!({ "code": code, "reason": reason, "serviceOrderItem": [{ "itemId": item.id }] }))
}

fn profile(profile: &Profile) -> Vec<Value> {
    let texts = [
        ("imsi", profile.imsi.as_deref()),
        ("msisdn", profile.msisdn.as_deref()),
        ("deviceId", profile.device.as_ref().map(|d| d.as_str())),
        ("plan", Some(profile.plan.as_str())),
        ("address", profile.address.as_deref()),
        ("email", profile.email.as_deref()),
        ("phone", profile.phone.as_deref()),
    ];
    let mut all: Vec<Value> =
        texts.into_iter().filter_map(|(name, value)| value.map(|v| characteristic(name, json!(v)))).collect();
    if !profile.apns.is_empty() {
        all.push(characteristic("apns", json!(profile.apns)));
    }
    all
}

fn characteristic(name: &str, value: Value) -> Value {
    json!({ "name": name, "value": value })
}

fn party(customer: &CustomerId) -> Value {
    json!({ "id": customer, "role": "customer", "@referredType": "Customer" })
}

/// The request's own parties where it named the customer, else the customer alone.
fn related_party(extra: &mut Map<String, Value>, customer: &CustomerId) -> Value {
    match extra.remove("relatedParty") {
        Some(Value::Array(parties)) if parties.iter().any(|p| p["id"] == json!(customer)) => Value::Array(parties),
        Some(Value::Array(mut parties)) => {
            parties.push(party(customer));
            Value::Array(parties)
        }
        _ => json!([party(customer)]),
    }
}

/// Leaves absent members out.
fn put(body: &mut Map<String, Value>, name: &str, value: Value) {
    if !value.is_null() {
        body.insert(name.to_owned(), value);
    }
}
