//! A worker's own list and reports.

use axum::http::StatusCode;
use linegate::services::fieldwork::FieldworkSettings;
use serde_json::{Value, json};

use super::ORDERS;
use super::harness::{Answer, Api, escape};

const VISITS: &str = "/tmf-api/appointment/v4/appointment";

async fn bearer(api: &Api, worker: &str) -> String {
    let made = api.post("/linegate/v1/tokens/worker", &json!({ "worker": worker })).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    format!("Bearer {}", made.body["token"].as_str().unwrap())
}

async fn get(api: &Api, path: &str, bearer: &str) -> Answer {
    api.send("GET", path, &[("authorization", bearer)], String::new()).await
}

async fn patch(api: &Api, id: &str, bearer: &str, body: Value) -> Answer {
    let path = format!("/field/v1/workOrder/{}", escape(id));
    api.send("PATCH", &path, &[("authorization", bearer)], body.to_string()).await
}

/// Internet and TV in one order, agreed on a slot; the order and its work order.
async fn both(api: &Api, n: u32, slot: &str) -> (String, String) {
    let item = |id: &str, access: &str, plan: &str| {
        json!({ "id": id, "action": "add", "service": {
            "id": format!("{access}-{n}"),
            "serviceSpecification": { "id": access },
            "serviceCharacteristic": [
                { "name": "plan", "value": plan },
                { "name": "address", "value": "Seoul, Jongno-gu 1" },
                { "name": "phone", "value": "+821012345678" },
            ],
        } })
    };
    let body = json!({
        "relatedParty": [{ "id": "customer-1", "role": "customer" }],
        "serviceOrderItem": [item("1", "internet", "internet-500m"), item("2", "tv", "tv-basic")],
    });
    let made = api.post(ORDERS, &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    api.drive(&id).await;
    let agree = json!({ "relatedEntity": [{ "id": id }], "calendarEvent": { "id": slot } });
    assert_eq!(api.post(VISITS, &agree).await.status, StatusCode::CREATED);
    api.drive(&id).await;
    let works = api.get(&format!("/tmf-api/workOrderManagement/v4/workOrder?serviceOrder.id={id}")).await.body;
    (id, works[0]["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_worker_reads_the_list_of_the_day_and_reports_what_it_needs() {
    let api = Api::with_fieldwork(FieldworkSettings::default()).await;
    let (order, work) = both(&api, 1, "day-1").await;
    let kim = bearer(&api, "kim").await;
    // The slot begins at 23:13 in Seoul on the 22nd, and on the 22nd in London too.
    for (day, total) in [("2026-09-22", "1"), ("2026-09-21", "0"), ("2026-09-23", "0")] {
        let list = get(&api, &format!("/field/v1/workOrder?date={day}"), &kim).await;
        assert_eq!((list.status, list.header("x-total-count")), (StatusCode::OK, total), "{day}");
        let path = "/tmf-api/workOrderManagement/v4/workOrder?relatedParty.id=kim&date=";
        assert_eq!(api.get(&format!("{path}{day}")).await.header("x-total-count"), total, "{day}");
    }
    assert_eq!(get(&api, "/field/v1/workOrder", &kim).await.header("x-total-count"), "0", "nothing today");
    let one = get(&api, "/field/v1/workOrder?date=2026-09-22", &kim).await.body[0].clone();
    assert_eq!(one["contactMedium"][0]["characteristic"]["phoneNumber"], "+821012345678");
    assert_eq!(one["place"][0]["name"], "Seoul, Jongno-gu 1");
    let install = json!([
        { "service": "internet-1", "access": "internet", "plan": "internet-500m", "equipment": "ONT, router" },
        { "service": "tv-1", "access": "tv", "plan": "tv-basic", "equipment": "set-top box" },
    ]);
    assert_eq!(one["install"], install);

    assert_eq!(patch(&api, &work, &kim, json!({ "state": "inProgress" })).await.body["state"], "inProgress");
    for (result, names) in [
        (json!({ "serialNumber": "S-1" }), "internet-1"),
        (json!({ "signalDdbm": -185, "items": [{ "line": "internet-1", "serialNumber": "S-1" }] }), "tv-1"),
        (json!({ "serialNumber": "S-1", "signalDdbm": -9999 }), "-9999"),
    ] {
        let refused = patch(&api, &work, &kim, json!({ "state": "completed", "result": result })).await;
        assert_eq!((refused.status, &refused.body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad-result")));
        assert!(refused.body["reason"].as_str().unwrap().contains(names), "{}", refused.body);
    }
    let result = json!({ "signalDdbm": -185, "items": [
        { "line": "internet-1", "serialNumber": "ONT-1" }, { "line": "tv-1", "serialNumber": "STB-1" },
    ] });
    let done = patch(&api, &work, &kim, json!({ "state": "completed", "result": result })).await;
    assert_eq!((&done.body["state"], &done.body["result"]["items"]), (&json!("completed"), &result["items"]));
    api.drive(&order).await;
    let order = api.get(&format!("{ORDERS}/{order}")).await.body;
    assert_eq!(order["state"], "completed");
    let items = order["serviceOrderItem"].as_array().unwrap();
    assert!(items.iter().all(|item| item["state"] == "completed"), "{items:?}");
}

#[tokio::test]
async fn a_worker_sees_and_reports_his_own_work_alone() {
    let api = Api::new().await;
    let lee = json!({ "id": "lee", "skills": ["internet", "tv"] });
    assert_eq!(api.post("/linegate/v1/workers", &lee).await.status, StatusCode::CREATED);
    let (_, work) = both(&api, 1, "day-1").await;
    let (kim, lee) = (bearer(&api, "kim").await, bearer(&api, "lee").await);
    let unknown = api.post("/linegate/v1/tokens/worker", &json!({ "worker": "nobody" })).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    let path = format!("/field/v1/workOrder/{}", escape(&work));
    assert_eq!(get(&api, &path, &kim).await.status, StatusCode::OK);
    assert_eq!(get(&api, &path, &lee).await.status, StatusCode::NOT_FOUND);
    let day = "/field/v1/workOrder?date=2026-09-22";
    assert_eq!(get(&api, day, &lee).await.header("x-total-count"), "0");
    for body in [json!({ "state": "inProgress" }), json!({ "state": "failed", "returnReason": "no-access" })] {
        assert_eq!(patch(&api, &work, &lee, body).await.status, StatusCode::NOT_FOUND);
    }
    let customer = api.post("/linegate/v1/tokens/my-page", &json!({ "customer": "customer-1" })).await;
    let customer = format!("Bearer {}", customer.body["token"].as_str().unwrap());
    for path in [path.as_str(), day, "/field/v1/returnReasons"] {
        assert_eq!(get(&api, path, &customer).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(api.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let mine = get(&api, "/my-page/v1/orders", &kim).await;
    assert_eq!(mine.status, StatusCode::UNAUTHORIZED, "a worker's token is none of a customer");
    // The list follows the work.
    let away = json!({ "start": "2026-09-22T00:00:00Z", "end": "2026-09-23T00:00:00Z" });
    let slots = api.get("/linegate/v1/slots").await.body;
    assert!(slots.as_array().unwrap().iter().all(|s| s["id"] != "day-1"));
    let span = get(&api, &path, &kim).await.body;
    let slot = json!({ "worker": "lee", "start": span["requestedStartDate"], "end": span["requestedCompletionDate"] });
    assert_eq!(api.post("/linegate/v1/slots", &slot).await.status, StatusCode::CREATED);
    assert_eq!(api.post("/linegate/v1/workers/kim/absences", &away).await.body["moved"][0]["worker"], "lee");
    assert_eq!(get(&api, day, &lee).await.header("x-total-count"), "1");
    assert_eq!(get(&api, &path, &kim).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_job_is_given_back_with_a_published_reason_and_both_lines_are_undone() {
    let api = Api::new().await;
    let (order, work) = both(&api, 1, "day-1").await;
    let kim = bearer(&api, "kim").await;
    let reasons = get(&api, "/field/v1/returnReasons", &kim).await.body;
    assert!(reasons.as_array().unwrap().iter().any(|r| r["code"] == "no-signal" && r["text"]["ko"] == "신호 불량"));
    let unknown = patch(&api, &work, &kim, json!({ "state": "failed", "returnReason": "bored" })).await;
    assert_eq!((unknown.status, &unknown.body["message"]), (StatusCode::BAD_REQUEST, &json!("$.returnReason")));
    assert!(unknown.body["reason"].as_str().unwrap().contains("no-signal"), "{}", unknown.body);
    let long = json!({ "state": "failed", "returnReason": "no-signal", "returnNote": "x".repeat(501) });
    assert_eq!(patch(&api, &work, &kim, long).await.body["message"], "$.returnNote");
    let back = json!({ "state": "failed", "returnReason": "no-signal", "returnNote": "단자함 침수" });
    let back = patch(&api, &work, &kim, back).await;
    let error = &back.body["errorMessage"][0];
    assert_eq!((&error["code"], &error["reason"]), (&json!("no-signal"), &json!("단자함 침수")));
    api.drive(&order).await;
    let failed = api.get(&format!("{ORDERS}/{order}")).await.body;
    assert_eq!(failed["errorMessage"][0]["code"], "worker-returned:no-signal");
    for line in ["internet-1", "tv-1"] {
        let state = api.get(&format!("/tmf-api/serviceInventory/v4/service/{line}")).await.body["state"].clone();
        assert_eq!(state, "reserved", "{line}");
    }
}
