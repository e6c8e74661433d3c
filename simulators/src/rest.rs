//! The gateway's REST interface as its clients see it: paths and field names in
//! one place, and a client for them.
//!
//! Reading is lenient: a field may be absent, a list may come alone or within
//! `items`; what a simulator does not need it does not look at.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Entries of the call list whose time has come (`state=due` lists later ones too).
pub(crate) const CALLS_DUE: &str = "/linegate/v1/calls?due=true";
/// Workers.
pub(crate) const WORKERS: &str = "/linegate/v1/workers";
/// Their slots.
pub(crate) const SLOTS: &str = "/linegate/v1/slots";
/// TMF646: free slots.
pub(crate) const SEARCH_TIME_SLOT: &str = "/tmf-api/appointment/v4/searchTimeSlot";
/// TMF697, by analogy with TMF641.
pub(crate) const WORK_ORDERS: &str = "/tmf-api/workOrderManagement/v4/workOrder";
/// TMF641.
pub(crate) const SERVICE_ORDERS: &str = "/tmf-api/serviceOrdering/v4/serviceOrder";

/// Path of a call's outcome.
pub(crate) fn call_outcome_path(call: &str) -> String {
    format!("/linegate/v1/calls/{call}/outcome")
}

/// Path of one work order.
pub(crate) fn work_order_path(id: &str) -> String {
    format!("{WORK_ORDERS}/{id}")
}

/// Path of the work orders in a state.
pub(crate) fn work_orders_in(state: &str) -> String {
    format!("{WORK_ORDERS}?state={state}")
}

/// A client of one gateway.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// A status with its body; null where that was no JSON.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Rest {
    /// `base` is the gateway's URL without a path.
    pub(crate) fn new(base: &str, token: Option<&str>) -> anyhow::Result<Self> {
        // reqwest wants a TLS provider even for plain HTTP; a second install is refused, and fine.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(ANSWER_WAIT).no_proxy().build().context("make HTTP client")?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), token: token.map(str::to_owned) })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.client.get(format!("{}{path}", self.base))).await.with_context(|| format!("GET {path}"))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        self.send(request).await.with_context(|| format!("POST {path}"))
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = self.client.patch(format!("{}{path}", self.base)).json(body);
        self.send(request).await.with_context(|| format!("PATCH {path}"))
    }

    /// The list at a path.
    pub(crate) async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.get(path).await?;
        if !answer.is_success() {
            bail!("GET {path}: status {}", answer.status);
        }
        Ok(match answer.body {
            Value::Array(items) => items,
            mut other => match other.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
        })
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.context("read body")?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

/// A text field.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// Everything by which a script may name what this is about: customer, phone,
/// order, appointment.
pub(crate) fn subjects(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["customer", "phone", "order", "serviceOrder", "appointment"] {
        match value.get(name) {
            Some(Value::String(text)) => found.push(text.clone()),
            Some(reference) => found.extend(text(reference, "id").map(str::to_owned)),
            None => {}
        }
    }
    let parties = value.get("relatedParty").and_then(Value::as_array).into_iter().flatten();
    let customers = parties.filter(|party| text(party, "role").is_none_or(|role| role == "customer"));
    found.extend(customers.filter_map(|party| text(party, "id")).map(str::to_owned));
    found
}

/// The order whose visit a call is to agree on.
pub(crate) fn order_of(call: &Value) -> Option<&str> {
    text(call, "order").or_else(|| text(call.get("order")?, "id"))
}

/// TMF646 SearchTimeSlot for the visit that an order wants.
pub(crate) fn time_slot_search(order: &str) -> Value {
    json!({
        "@type": "SearchTimeSlot",
        "relatedEntity": [{ "id": order, "@referredType": "ServiceOrder" }],
        "requestedTimeSlot": [],
    })
}

/// Ids of the free slots in an answer to the search, earliest first as they come.
pub(crate) fn free_slots(answer: &Value) -> Vec<String> {
    let slots = answer.get("availableTimeSlot").or(Some(answer)).and_then(Value::as_array);
    slots.into_iter().flatten().filter_map(|slot| text(slot, "id")).map(str::to_owned).collect()
}

/// Body of a call's outcome.
pub(crate) fn call_outcome(agent: &str, outcome: &str, slot: Option<&str>, at_ms: Option<i64>) -> Value {
    let mut body = json!({ "agent": agent, "outcome": outcome });
    if let Some(slot) = slot {
        body["slot"] = json!(slot);
    }
    if let Some(at) = at_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
        body["at"] = json!(at.to_string());
    }
    body
}

/// PATCH of a work order that begins.
pub(crate) fn work_begun() -> Value {
    json!({ "state": "inProgress" })
}

/// PATCH of a work order that is done.
pub(crate) fn work_done(serial_number: &str) -> Value {
    json!({ "state": "completed", "result": { "serialNumber": serial_number, "signalDdbm": -200 } })
}

/// PATCH of a work order that is returned.
pub(crate) fn work_returned(reason: &str, reschedule: bool) -> Value {
    json!({ "state": "failed", "returnReason": reason, "reschedule": reschedule })
}

/// POST of a worker who goes everywhere.
pub(crate) fn worker(id: &str, name: &str, skills: &[&str]) -> Value {
    json!({ "id": id, "name": name, "skills": skills, "area": "" })
}

/// POST of a worker's slot.
pub(crate) fn slot(worker: &str, from_ms: i64, until_ms: i64, capacity: u32) -> Value {
    let time = |ms| jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string();
    json!({ "worker": worker, "start": time(from_ms), "end": time(until_ms), "capacity": capacity })
}

/// TMF641: activate one cellular line.
pub(crate) struct ActivateCellular<'a> {
    pub(crate) external_id: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) imsi: &'a str,
    pub(crate) msisdn: &'a str,
    pub(crate) device: &'a str,
    pub(crate) apn: &'a str,
    pub(crate) plan: &'a str,
}

impl ActivateCellular<'_> {
    pub(crate) fn body(&self) -> Value {
        let characteristic = |name: &str, value: Value| json!({ "name": name, "value": value });
        json!({
            "externalId": self.external_id,
            "relatedParty": [{ "id": self.customer, "role": "customer", "@referredType": "Customer" }],
            "serviceOrderItem": [{
                "id": "1",
                "action": "add",
                "service": {
                    "state": "active",
                    "serviceSpecification": { "id": "cellular" },
                    "serviceCharacteristic": [
                        characteristic("imsi", json!(self.imsi)),
                        characteristic("msisdn", json!(self.msisdn)),
                        characteristic("deviceId", json!(self.device)),
                        characteristic("apns", json!([self.apn])),
                        characteristic("plan", json!(self.plan)),
                    ],
                },
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_found_under_any_of_its_names() {
        let work = json!({
            "id": "w",
            "serviceOrder": { "id": "o-1" },
            "appointment": { "id": "a-1" },
            "relatedParty": [{ "id": "kim", "role": "customer" }, { "id": "park", "role": "worker" }],
        });
        assert_eq!(subjects(&work), ["o-1", "a-1", "kim"]);
        let call = json!({ "id": "c", "appointment": "a-1", "order": "o-1", "phone": "010" });
        assert_eq!((subjects(&call).len(), order_of(&call)), (3, Some("o-1")));
    }
}
