//! The router over the memory store and a network that holds state, without a socket.

mod balances;
mod devices;
mod explain;
mod field;
pub mod harness;
mod my_page;
mod outbox;
mod plan_changes;
mod suspense;
mod tariffs;
mod visits;

use axum::http::StatusCode;
use harness::{Api, activate, order_body};
use serde_json::{Value, json};

const ORDERS: &str = "/tmf-api/serviceOrdering/v4/serviceOrder";
const CANCELS: &str = "/tmf-api/serviceOrdering/v4/cancelServiceOrder";
const LINES: &str = "/tmf-api/serviceInventory/v4/service";

#[tokio::test]
async fn an_order_is_accepted_carried_out_and_read_back_with_unknown_fields() {
    let api = Api::new().await;
    let mut body = activate("line-1", "450080000000001");
    body["description"] = json!("for the meter");
    body["vendorExtension"] = json!({ "batch": 7 });
    let made = api.post(ORDERS, &body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.body["state"], "acknowledged");
    let href = made.header("location");
    assert_eq!(href, made.body["href"]);
    api.drive(made.body["id"].as_str().unwrap()).await;

    let read = api.get(href).await;
    assert_eq!(read.status, StatusCode::OK);
    assert_eq!(read.body["state"], "completed");
    assert_eq!(read.body["description"], "for the meter");
    assert_eq!(read.body["vendorExtension"]["batch"], 7);
    assert_eq!(read.body["serviceOrderItem"][0]["service"]["name"], "meter");

    let line = api.get(&format!("{LINES}/line-1")).await.body;
    assert_eq!(line["state"], "active");
    let value = |name: &str| characteristic(&line, name);
    assert_eq!(value("intendedState"), "active");
    assert_eq!(value("actualState"), "active");
    assert_eq!(value("sessionModemOnline"), false);
    assert_eq!(value("imsi"), "450080000000001");
}

fn characteristic(service: &Value, name: &str) -> Value {
    let all = service["serviceCharacteristic"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).map_or(Value::Null, |c| c["value"].clone())
}

async fn check_refused(api: &Api, body: Value, status: StatusCode, code: &str, names: &str) {
    let answer = api.post(ORDERS, &body).await;
    assert_eq!(answer.status, status, "{body} -> {}", answer.body);
    assert_eq!(answer.body["code"], code, "{}", answer.body);
    assert_eq!(answer.body["status"], status.as_u16().to_string());
    assert!(answer.body.to_string().contains(names), "{names} in {}", answer.body);
}

#[tokio::test]
async fn an_order_that_cannot_be_taken_says_what_is_wrong_and_moves_nothing() {
    let api = Api::new().await;
    let add = || activate("line-1", "450080000000001");
    let with = |pointer: &str, value: Value| {
        let mut body = add();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let bad = StatusCode::BAD_REQUEST;
    let cannot = StatusCode::UNPROCESSABLE_ENTITY;
    let item = "/serviceOrderItem/0";
    check_refused(&api, json!({}), bad, "malformed", "serviceOrderItem").await;
    check_refused(&api, json!({ "serviceOrderItem": [] }), bad, "malformed", "serviceOrderItem").await;
    check_refused(&api, json!([1]), bad, "malformed", "$").await;
    check_refused(&api, with("/relatedParty", json!([])), bad, "malformed", "relatedParty").await;
    check_refused(&api, with("/relatedParty", json!([{ "role": "customer" }])), bad, "malformed", "relatedParty[0]")
        .await;
    check_refused(&api, with("/priority", json!("5")), bad, "malformed", "priority").await;
    check_refused(&api, with("/requestedStartDate", json!("tomorrow")), bad, "malformed", "tomorrow").await;
    check_refused(&api, with(&format!("{item}/action"), json!("drop")), bad, "malformed", "serviceOrderItem[0].action")
        .await;
    check_refused(&api, with(&format!("{item}/service"), json!(4)), bad, "malformed", "serviceOrderItem[0].service")
        .await;
    check_refused(
        &api,
        with(&format!("{item}/service/serviceCharacteristic/0/value"), json!("12")),
        bad,
        "malformed",
        "imsi",
    )
    .await;
    check_refused(
        &api,
        with(&format!("{item}/service/serviceCharacteristic/1/value"), json!("no-such-plan")),
        cannot,
        "unknown-reference",
        "no-such-plan",
    )
    .await;
    check_refused(
        &api,
        with(&format!("{item}/service/serviceSpecification/id"), json!("fax")),
        cannot,
        "unknown-reference",
        "fax",
    )
    .await;
    check_refused(&api, order_body("modify", "nobody", Some("inactive")), cannot, "unknown-reference", "nobody").await;
    assert_eq!(api.get(ORDERS).await.header("x-total-count"), "0");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_with_its_place() {
    let api = Api::new().await;
    for (text, place) in
        [("{\"serviceOrderItem\": [{]}", "$"), ("", "$"), ("{} {}", "$"), ("{\"a\": \"\\ud800\"}", "$.a")]
    {
        let answer = api.send("POST", ORDERS, &[], text.to_owned()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{text}");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.starts_with(place), "{text}: {message}");
    }
}

#[tokio::test]
async fn a_move_that_the_line_cannot_make_is_refused_and_one_it_has_made_completes_at_once() {
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    api.carry_out(&order_body("delete", "line-1", None)).await;
    let commands = api.net.commands();

    let again = api.post(ORDERS, &order_body("delete", "line-1", None)).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(again.body["state"], "completed");
    assert_eq!(again.body["errorMessage"][0]["code"], "already-terminated");
    assert_eq!(api.net.commands(), commands, "no element is told anything");

    for state in ["inactive", "active"] {
        let body = order_body("modify", "line-1", Some(state));
        check_refused(&api, body, StatusCode::UNPROCESSABLE_ENTITY, "illegal-transition", "line-1").await;
    }
    assert_eq!(api.net.commands(), commands);
}

#[tokio::test]
async fn a_repeat_under_one_key_gets_the_first_response_and_another_body_a_conflict() {
    let api = Api::new().await;
    let body = activate("line-1", "450080000000001");
    let key = [("idempotency-key", "k-1")];
    let first = api.send("POST", ORDERS, &key, body.to_string()).await;
    api.drive(first.body["id"].as_str().unwrap()).await;
    let repeat = api.send("POST", ORDERS, &key, serde_json::to_string_pretty(&body).unwrap()).await;
    assert_eq!(repeat.status, StatusCode::CREATED);
    assert_eq!(repeat.body, first.body, "the first response, although the order has completed since");
    assert_eq!(repeat.header("location"), first.header("location"));

    let other = activate("line-2", "450080000000002").to_string();
    let clash = api.send("POST", ORDERS, &key, other).await;
    assert_eq!((clash.status, &clash.body["code"]), (StatusCode::CONFLICT, &json!("key-reused")));

    let mut external = activate("line-3", "450080000000003");
    external["externalId"] = json!("oss-3");
    let first = api.post(ORDERS, &external).await;
    assert_eq!(api.post(ORDERS, &external).await.body, first.body);
    external["description"] = json!("changed");
    assert_eq!(api.post(ORDERS, &external).await.status, StatusCode::CONFLICT);
    assert_eq!(api.get(ORDERS).await.header("x-total-count"), "2");
}

#[tokio::test]
async fn lists_are_paged_filtered_and_cut_to_fields() {
    let api = Api::new().await;
    for n in 1..=5 {
        let mut body = activate(&format!("line-{n}"), &format!("45008000000000{n}"));
        body["externalId"] = json!(format!("oss-{n}"));
        api.post(ORDERS, &body).await;
    }
    let page = api.get(&format!("{ORDERS}?offset=3&limit=10&fields=state")).await;
    assert_eq!((page.header("x-total-count"), page.header("x-result-count")), ("5", "2"));
    let names: Vec<&String> = page.body[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "href", "state", "@type"]);

    let check = async |query: &str, total: &str| {
        let list = api.get(&format!("{ORDERS}?{query}")).await;
        assert_eq!(list.header("x-total-count"), total, "{query}");
    };
    check("externalId=oss-2", "1").await;
    check("state=acknowledged", "5").await;
    check("state=completed", "0").await;
    check("relatedParty.id=customer-1", "5").await;
    check("relatedParty.id=somebody", "0").await;
    check("service.id=line-4", "1").await;
    for bad in ["state=done", "limit=many", "colour=red", "limit=1&limit=2"] {
        let answer = api.get(&format!("{ORDERS}?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn an_order_is_cancelled_once_and_an_ended_one_never() {
    let api = Api::new().await;
    api.net.away.lock().unwrap().insert("hss".to_owned());
    let made = api.post(ORDERS, &activate("line-1", "450080000000001")).await;
    let id = made.body["id"].as_str().unwrap();
    let ask = json!({ "serviceOrder": { "id": id }, "cancellationReason": "wrong address" });
    let cancelled = api.post(CANCELS, &ask).await;
    assert_eq!(cancelled.status, StatusCode::CREATED, "{}", cancelled.body);
    assert_eq!(cancelled.body["state"], "inProgress");
    api.net.away.lock().unwrap().clear();
    api.drive(id).await;
    let task = api.get(cancelled.header("location")).await;
    assert_eq!((&task.body["state"], &task.body["cancellationReason"]), (&json!("done"), &json!("wrong address")));
    assert_eq!(api.get(&format!("{ORDERS}/{id}")).await.body["state"], "cancelled");
    assert_eq!(api.get(CANCELS).await.header("x-total-count"), "1");
    assert_eq!(api.post(CANCELS, &ask).await.status, StatusCode::CONFLICT);
    let unknown = json!({ "serviceOrder": { "id": "nothing" } });
    assert_eq!(api.post(CANCELS, &unknown).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get(&format!("{CANCELS}/nothing")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_visit_is_agreed_by_call_worked_on_and_completes_the_order() {
    let api = Api::new().await;
    let made = api.post(ORDERS, &harness::internet("home-1")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    api.drive(&id).await;

    let calls = api.get("/linegate/v1/calls?due=true").await;
    assert_eq!(calls.header("x-total-count"), "1");
    let call = calls.body[0]["id"].as_str().unwrap().to_owned();
    let outcome = format!("/linegate/v1/calls/{}/outcome", harness::escape(&call));
    let bad = api.post(&outcome, &json!({ "outcome": "agreed" })).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);

    let search = json!({ "relatedEntity": [{ "id": id }] });
    let found = api.post("/tmf-api/appointment/v4/searchTimeSlot", &search).await;
    assert_eq!((found.status, &found.body["searchResult"]), (StatusCode::CREATED, &json!("success")));
    let slot = found.body["availableTimeSlot"][0]["id"].clone();
    let agreed = api.post(&outcome, &json!({ "outcome": "agreed", "slot": slot, "agent": "Lee" })).await;
    assert_eq!((agreed.status, &agreed.body["state"]), (StatusCode::OK, &json!("agreed")));
    api.drive(&id).await;

    let visits = api.get(&format!("/tmf-api/appointment/v4/appointment?relatedEntity.id={id}")).await;
    assert_eq!(visits.body[0]["status"], "confirmed");
    let works = api.get(&format!("/tmf-api/workOrderManagement/v4/workOrder?serviceOrder.id={id}")).await;
    let work = works.body[0]["href"].as_str().unwrap().to_owned();
    assert_eq!(api.patch(&work, &json!({ "state": "inProgress" })).await.body["state"], "inProgress");
    let result = json!({ "state": "completed", "result": { "serialNumber": "S-1", "signalDdbm": -185 } });
    let done = api.patch(&work, &result).await;
    assert_eq!((&done.body["state"], &done.body["result"]["serialNumber"]), (&json!("completed"), &json!("S-1")));
    assert_eq!(api.patch(&work, &json!({ "state": "inProgress" })).await.status, StatusCode::CONFLICT);
    assert_eq!(api.patch(&work, &json!({ "state": "danced" })).await.status, StatusCode::BAD_REQUEST);
    api.drive(&id).await;
    assert_eq!(api.get(&format!("{ORDERS}/{id}")).await.body["state"], "completed");
}

#[tokio::test]
async fn a_returned_job_undoes_the_activation_and_says_why() {
    let api = Api::new().await;
    let id = api.post(ORDERS, &harness::internet("home-1")).await.body["id"].as_str().unwrap().to_owned();
    api.drive(&id).await;
    let ask = json!({ "relatedEntity": [{ "id": id }], "calendarEvent": { "id": "day-2" } });
    let agreed = api.post("/tmf-api/appointment/v4/appointment", &ask).await;
    assert_eq!(agreed.status, StatusCode::CREATED, "{}", agreed.body);
    api.drive(&id).await;
    let works = api.get("/tmf-api/workOrderManagement/v4/workOrder").await;
    let work = works.body[0]["href"].as_str().unwrap().to_owned();
    let returned = api.patch(&work, &json!({ "state": "failed", "returnReason": "no-signal" })).await;
    assert_eq!(
        (&returned.body["state"], &returned.body["errorMessage"][0]["code"]),
        (&json!("failed"), &json!("no-signal"))
    );
    api.drive(&id).await;
    assert_eq!(api.get(&format!("{ORDERS}/{id}")).await.body["state"], "failed");
    assert_eq!(api.get(&format!("{LINES}/home-1")).await.body["state"], "reserved");
}

#[tokio::test]
async fn an_order_in_fallout_is_listed_and_retried_or_refused() {
    let api = Api::new().await;
    let wrong = api.send("POST", "/linegate/v1/fallout/nothing/retry", &[], String::new()).await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    let id = api.carry_out(&activate("line-1", "450080000000001")).await;
    let wrong = api.send("POST", &format!("/linegate/v1/fallout/{id}/retry"), &[], String::new()).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (StatusCode::CONFLICT, &json!("wrong-state")));
    let wrong = api.send("POST", &format!("/linegate/v1/fallout/{id}/dance"), &[], String::new()).await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/linegate/v1/fallout").await.header("x-total-count"), "0");

    let id = api.post(ORDERS, &harness::internet("home-1")).await.body["id"].as_str().unwrap().to_owned();
    api.drive(&id).await;
    let call = api.get("/linegate/v1/calls?state=due").await.body[0]["id"].as_str().unwrap().to_owned();
    let outcome = format!("/linegate/v1/calls/{call}/outcome");
    for expected in ["due", "exhausted"] {
        let tried = api.post(&outcome, &json!({ "outcome": "noAnswer" })).await;
        assert_eq!(tried.body["state"], expected);
    }
    assert_eq!(api.post(&outcome, &json!({ "outcome": "refused" })).await.status, StatusCode::CONFLICT);
    api.drive(&id).await;
    let stuck = api.get("/linegate/v1/fallout").await;
    assert_eq!((&stuck.body[0]["order"], &stuck.body[0]["cause"]), (&json!(id), &json!("visit-exhausted")));
    assert_eq!(api.get(&format!("{ORDERS}/{id}")).await.body["state"], "held");
    let again = api.send("POST", &format!("/linegate/v1/calls/{call}/again"), &[], String::new()).await;
    assert_eq!((again.status, &again.body["state"]), (StatusCode::CREATED, &json!("due")), "{}", again.body);
    let failed = api.send("POST", &format!("/linegate/v1/fallout/{id}/fail?by=Park"), &[], String::new()).await;
    assert_eq!(failed.status, StatusCode::OK, "{}", failed.body);
    let notes = failed.body["note"].as_array().unwrap();
    assert!(notes.iter().any(|n| n["author"] == "Park" && n["text"] == "fallout: fail"), "{notes:?}");
    api.drive(&id).await;
    assert_eq!(api.get(&format!("{ORDERS}/{id}")).await.body["state"], "failed");
}

#[tokio::test]
async fn a_listener_is_registered_with_a_secret_and_hears_of_its_events() {
    let api = Api::new().await;
    let hub = "/tmf-api/serviceOrdering/v4/hub";
    let query = "eventType=ServiceOrderStateChangeEvent";
    let made = api.post(hub, &json!({ "callback": "https://oss.example/hook", "query": query })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert!(made.body["x-secret"].as_str().unwrap().starts_with("whsec_"));
    api.carry_out(&activate("line-1", "450080000000001")).await;
    api.outbox.drain().await.unwrap();
    let sent = api.sent();
    assert!(!sent.is_empty());
    for hook in &sent {
        let event: Value = serde_json::from_slice(&hook.payload).unwrap();
        assert_eq!(event["eventType"], "ServiceOrderStateChangeEvent");
        assert_eq!(event["domain"], "serviceOrdering");
        assert!(event["event"]["serviceOrder"]["id"].is_string());
    }
    let last: Value = serde_json::from_slice(&sent.last().unwrap().payload).unwrap();
    assert_eq!(last["event"]["serviceOrder"]["state"], "completed");

    for (body, status) in [
        (json!({ "callback": "http://10.0.0.1/" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "callback": "https://oss.example/", "query": "state=done" }), StatusCode::BAD_REQUEST),
        (json!({ "query": "" }), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(api.post(hub, &body).await.status, status, "{body}");
    }
    let gone = format!("{hub}/{}", made.body["id"].as_str().unwrap());
    assert_eq!(api.send("DELETE", &gone, &[], String::new()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.send("DELETE", &gone, &[], String::new()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_customer_reads_only_their_own() {
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    let mut other = activate("line-2", "450080000000002");
    other["relatedParty"][0]["id"] = json!("customer-2");
    api.carry_out(&other).await;
    let token = api.post("/linegate/v1/tokens/my-page", &json!({ "customer": "customer-1" })).await;
    let bearer = format!("Bearer {}", token.body["token"].as_str().unwrap());
    let with = [("authorization", bearer.as_str())];
    for (path, total) in [("orders", "1"), ("lines", "1"), ("visits", "0"), ("usage", "0"), ("bills", "0")] {
        let list = api.send("GET", &format!("/my-page/v1/{path}"), &with, String::new()).await;
        assert_eq!((list.status, list.header("x-total-count")), (StatusCode::OK, total), "{path}");
        let bare = api.get(&format!("/my-page/v1/{path}")).await;
        assert_eq!(bare.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let lines = api.send("GET", "/my-page/v1/lines", &with, String::new()).await;
    assert_eq!(lines.body[0]["id"], "line-1");
    let foreign = api.send("GET", "/my-page/v1/usage?line=line-2", &with, String::new()).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let forged = [("authorization", "Bearer lg1.Y3VzdG9tZXItMg.9999999999.AAAA")];
    let answer = api.send("GET", "/my-page/v1/lines", &forged, String::new()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_route_but_the_probes_needs_a_token_once_there_is_one() {
    let api = Api::with(|settings| settings.tokens = vec!["s3cret-token".to_owned()]).await;
    for path in [ORDERS, LINES, "/linegate/v1/outbox", "/linegate/v1/settlements/2026-10"] {
        let bare = api.get(path).await;
        assert_eq!((bare.status, bare.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"), "{path}");
        let wrong = api.send("GET", path, &[("authorization", "Bearer other")], String::new()).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let good = api.send("GET", ORDERS, &[("authorization", "bearer s3cret-token")], String::new()).await;
    assert_eq!(good.status, StatusCode::OK);
    let upload = api.send("POST", "/linegate/v1/usageFiles", &[], "x".to_owned()).await;
    assert_eq!(upload.status, StatusCode::UNAUTHORIZED);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_ne!(api.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_tm_forums_shape() {
    let api = Api::with(|settings| settings.body_max_bytes = 64).await;
    let nowhere = api.get("/tmf-api/serviceOrdering/v4/nothing").await;
    assert_eq!((nowhere.status, &nowhere.body["code"]), (StatusCode::NOT_FOUND, &json!("no-such-path")));
    assert!(!nowhere.header("x-request-id").is_empty());
    let method = api.send("DELETE", ORDERS, &[], String::new()).await;
    assert_eq!((method.status, &method.body["status"]), (StatusCode::METHOD_NOT_ALLOWED, &json!("405")));
    let large = api.post(ORDERS, &json!({ "description": "x".repeat(100) })).await;
    assert_eq!((large.status, &large.body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too-large")));
    let missing = api.get(&format!("{ORDERS}/nothing")).await;
    assert_eq!((missing.status, &missing.body["@type"]), (StatusCode::NOT_FOUND, &json!("Error")));
    let named = api.send("GET", "/healthz", &[("x-request-id", "mine-1")], String::new()).await;
    assert_eq!(named.header("x-request-id"), "mine-1");
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let api = Api::new().await;
    assert_eq!(api.get("/readyz").await.status, StatusCode::OK);
    api.readiness.not_ready("hot store", "poisoned");
    let answer = api.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["reasons"]["hot store"], "poisoned");
    api.readiness.ready("hot store");
    assert_eq!(api.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_file_is_reported_row_by_row_and_a_bad_one_refused() {
    let api = Api::new().await;
    let name = [("x-file-name", "10월.csv")];
    let answer = api.send("POST", "/linegate/v1/usageFiles", &name, "h\n1\nbad\n2\n".to_owned()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = answer.text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0], json!({ "row": 3, "reason": "bad" }));
    assert_eq!((&lines[1]["done"]["taken"], &lines[1]["done"]["file"]), (&json!(2), &json!("10월.csv")));
    let refused = api.send("POST", "/linegate/v1/lines/import", &[], "nonsense".to_owned()).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad-header")));
}

#[tokio::test]
async fn a_month_close_streams_its_progress_or_is_refused() {
    let api = Api::new().await;
    let path = "/linegate/v1/monthClose";
    let early = api.post(path, &json!({ "cycle": "2026-10" })).await;
    assert_eq!((early.status, &early.body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("cycle-not-ended")));
    let run = api.post(path, &json!({ "cycle": "2026-10", "early": true, "dryRun": true })).await;
    let lines: Vec<Value> = run.text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines, [json!({ "state": "closing" }), json!({ "done": { "dryRun": true } })]);
    for bad in [json!({ "cycle": "2026-13" }), json!({ "cycle": "2026-10", "force": true }), json!({})] {
        assert_eq!(api.post(path, &bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(api.get(&format!("{path}/2026-10")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/linegate/v1/settlements/2026-10").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_documented_route_is_served_and_needs_no_guess() {
    let api = Api::new().await;
    let document = api.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 50, "{}", paths.len());
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let concrete = path.replace("{cycle}", "2026-10").replace("{verb}", "retry").replace("{order}", "o");
            let concrete = concrete.replace("{id}", "nothing");
            let answer = api.send(&method.to_uppercase(), &concrete, &[], String::new()).await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_ne!(answer.body["code"], "no-such-path", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_listening_gateway_answers_and_ends_when_told() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let api = Api::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let settings = linegate::api::HttpSettings {
        connections_max: 2,
        idle_timeout_ms: 50,
        ..linegate::api::HttpSettings::default()
    };
    let (router, until) = (api.router.clone(), stop.clone());
    let serving = tokio::spawn(async move { linegate::api::serve(listener, router, &settings, until).await });
    // Two that say nothing take every place, and lose it.
    let _silent = [
        tokio::net::TcpStream::connect(address).await.unwrap(),
        tokio::net::TcpStream::connect(address).await.unwrap(),
    ];
    for _ in 0..4 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn usage_and_bills_are_read_in_tm_forums_shapes() {
    use linegate::ports::relational::{Relational, Write};
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    let records = vec![harness::rated("f-1", "line-1", 1_000, 30), harness::suspended("f-2", "999")];
    api.store.save(vec![Write::Drain { log: 0, after: 0, position: 9, records: records.into() }]).await.unwrap();
    let usage = "/tmf-api/usageManagement/v4/usage";
    let check = async |query: &str, ids: &[&str]| {
        let list = api.get(&format!("{usage}?{query}")).await;
        let found: Vec<&str> = list.body.as_array().unwrap().iter().map(|u| u["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids, "{query}");
    };
    check("line=line-1", &["1"]).await;
    check("status=rated&cycle=2026-10", &["1"]).await;
    let one = api.get(&format!("{usage}/1")).await.body;
    assert_eq!((&one["id"], &one["status"]), (&json!("1"), &json!("rated")), "{one}");
    assert_eq!(api.get(&format!("{usage}/9")).await.status, StatusCode::NOT_FOUND);
    check("status=rejected", &["file/f-2/0"]).await;
    check("outcome=unknown-line", &["file/f-2/0"]).await;
    check("source=gy", &[]).await;
    for bad in ["status=billed", "cycle=october", "source=fax"] {
        assert_eq!(api.get(&format!("{usage}?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let rated = api.get(&format!("{usage}?status=rated")).await.body;
    let price = json!({ "unit": "KRW", "value": 30 });
    assert_eq!(rated[0]["ratedProductUsage"][0]["taxExcludedRatingAmount"], price);

    let invoice = harness::invoice("inv-1", "customer-1");
    api.store.save(vec![Write::Invoices { series: "2026".into(), invoices: vec![(invoice, vec![])] }]).await.unwrap();
    let bills = "/tmf-api/customerBillManagement/v4/customerBill";
    assert_eq!(api.get(&format!("{bills}?relatedParty.id=somebody")).await.header("x-total-count"), "0");
    let bill = api.get(&format!("{bills}/inv-1")).await.body;
    assert_eq!((&bill["billNo"], &bill["amountDue"]["value"]), (&json!("2026-000001"), &json!(1_133)));
    let pdf = api.get(bill["billDocument"][0]["url"].as_str().unwrap()).await;
    assert_eq!((pdf.header("content-type"), pdf.text.as_str()), ("application/pdf", "%PDF-invoice"));

    for (customer, total, document) in [("customer-1", "1", StatusCode::OK), ("customer-2", "0", StatusCode::NOT_FOUND)]
    {
        let token = api.post("/linegate/v1/tokens/my-page", &json!({ "customer": customer })).await;
        let bearer = format!("Bearer {}", token.body["token"].as_str().unwrap());
        let with = [("authorization", bearer.as_str())];
        for list in ["bills", "usage"] {
            let list = api.send("GET", &format!("/my-page/v1/{list}"), &with, String::new()).await;
            assert_eq!(list.header("x-total-count"), total, "{customer}");
        }
        let pdf = api.send("GET", "/my-page/v1/bills/inv-1/pdf", &with, String::new()).await;
        assert_eq!(pdf.status, document, "{customer}");
    }
}
