//! `/linegate/v1/devices`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, Api, activate};

const DEVICES: &str = "/linegate/v1/devices";

async fn enrol(api: &Api, body: Value) -> Answer {
    api.post(DEVICES, &body).await
}

#[track_caller]
fn check_refused(answer: &Answer, status: StatusCode, code: &str, names: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.body["code"], code, "{}", answer.body);
    assert!(answer.text.contains(names), "{names} in {}", answer.text);
}

#[tokio::test]
async fn a_token_is_shown_once_and_the_device_ever_after() {
    let api = Api::new().await;
    let made = enrol(&api, json!({ "device": "meter:1", "credential": "token" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.header("location"), "/linegate/v1/devices/meter:1");
    assert_eq!(made.header("cache-control"), "no-store");
    let token = made.body["token"].as_str().unwrap();
    assert!(token.len() >= 22 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
    let read = api.get(made.header("location")).await;
    assert_eq!(read.status, StatusCode::OK);
    let mut expected = made.body.clone();
    expected.as_object_mut().unwrap().remove("token");
    assert_eq!(read.body, expected);
    for name in ["created", "enrolled", "rotated"] {
        assert_eq!(read.body[name], "2026-09-21T14:13:20.000Z", "{name}");
    }
    assert_eq!((&read.body["epoch"], &read.body["credentials"]), (&json!(1), &json!(["token"])));
    for path in [made.header("location"), DEVICES] {
        assert!(!api.get(path).await.text.contains(token), "{path} shows the token");
    }
    assert_eq!(api.net.trace(), ["modem: meter:1 expelled"]);
}

#[tokio::test]
async fn a_certificate_has_the_devices_own_name_or_the_one_that_was_given() {
    let api = Api::new().await;
    let own = enrol(&api, json!({ "device": "meter-1", "credential": "certificate" })).await;
    assert_eq!((own.status, &own.body["certificateName"]), (StatusCode::CREATED, &json!("meter-1")));
    assert_eq!((&own.body["credentials"], &own.body["token"]), (&json!(["certificate"]), &Value::Null));
    let named = json!({ "device": "meter-2", "credential": "certificate", "certificateName": "urn:dev:2" });
    assert_eq!(enrol(&api, named).await.body["certificateName"], "urn:dev:2");
    let found = api.get(&format!("{DEVICES}?certificateName=urn:dev:2&fields=epoch")).await;
    assert_eq!(found.body, json!([{ "id": "meter-2", "href": format!("{DEVICES}/meter-2"), "epoch": 1 }]));
    let taken = enrol(&api, json!({ "device": "meter-3", "credential": "certificate", "certificateName": "meter-1" }));
    check_refused(&taken.await, StatusCode::CONFLICT, "identifier-taken", "meter-1");
    // A token beside the certificate; the line that has the device.
    assert_eq!(
        api.post(&format!("{DEVICES}/meter-1/token"), &json!({})).await.body["credentials"],
        json!(["certificate", "token"])
    );
    let mut order = activate("line-1", "450080000000001");
    let characteristics = "/serviceOrderItem/0/service/serviceCharacteristic";
    order
        .pointer_mut(characteristics)
        .unwrap()
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "deviceId", "value": "meter-1" }));
    api.carry_out(&order).await;
    assert_eq!(api.get(&format!("{DEVICES}/meter-1")).await.body["line"], "line-1");
}

#[tokio::test]
async fn devices_are_listed_in_pages() {
    let api = Api::new().await;
    for n in [3, 1, 2] {
        enrol(&api, json!({ "device": format!("meter-{n}"), "credential": "token" })).await;
    }
    let page = api.get(&format!("{DEVICES}?offset=1&limit=1")).await;
    assert_eq!((page.header("x-total-count"), page.header("x-result-count")), ("3", "1"));
    assert_eq!(page.body[0]["id"], "meter-2");
    check_refused(&api.get(&format!("{DEVICES}?line=1")).await, StatusCode::BAD_REQUEST, "malformed", "line");
}

#[tokio::test]
async fn a_device_is_enrolled_once_and_anew_under_the_next_epoch() {
    let api = Api::new().await;
    let token = json!({ "device": "meter-1", "credential": "token" });
    let anew = format!("{DEVICES}/meter-1/enrolments");
    check_refused(
        &api.post(&anew, &json!({ "credential": "token" })).await,
        StatusCode::NOT_FOUND,
        "not-found",
        "meter-1",
    );
    let first = enrol(&api, token.clone()).await.body;
    check_refused(&enrol(&api, token.clone()).await, StatusCode::CONFLICT, "already-enrolled", "meter-1/enrolments");
    let second = api.post(&format!("{anew}?by=kim"), &json!({ "credential": "token" })).await;
    assert_eq!((second.status, &second.body["epoch"]), (StatusCode::CREATED, &json!(2)));
    assert_ne!(second.body["token"], first["token"]);
    assert_eq!(second.body["created"], first["created"]);
    let third = api.post(&anew, &json!({ "credential": "certificate" })).await.body;
    assert_eq!(
        (&third["epoch"], &third["credentials"], &third["token"]),
        (&json!(3), &json!(["certificate"]), &Value::Null)
    );
}

#[tokio::test]
async fn a_token_is_rotated_and_a_device_revoked() {
    let api = Api::new().await;
    let (device, rotate) = (format!("{DEVICES}/meter-1"), format!("{DEVICES}/meter-1/token"));
    check_refused(&api.post(&rotate, &json!({})).await, StatusCode::NOT_FOUND, "not-found", "meter-1");
    check_refused(
        &api.send("DELETE", &device, &[], String::new()).await,
        StatusCode::NOT_FOUND,
        "not-found",
        "meter-1",
    );
    let first = enrol(&api, json!({ "device": "meter-1", "credential": "token" })).await.body;
    let second = api.post(&rotate, &json!({})).await;
    assert_eq!(second.status, StatusCode::CREATED);
    assert_ne!(second.body["token"], first["token"]);
    assert_eq!(second.body["formerTokenUntil"], "2026-09-22T14:13:20.000Z");
    api.net.trace();
    for _ in 0..2 {
        let revoked = api.send("DELETE", &format!("{device}?by=kim"), &[], String::new()).await;
        assert_eq!((revoked.status, revoked.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    assert_eq!(api.net.trace()[0], "modem: meter-1 expelled");
    let read = api.get(&device).await.body;
    assert_eq!((&read["state"], &read["revoked"]), (&json!("revoked"), &json!("2026-09-21T14:13:20.000Z")));
    check_refused(&api.post(&rotate, &json!({})).await, StatusCode::CONFLICT, "revoked", "meter-1");
    let token = json!({ "device": "meter-1", "credential": "token" });
    check_refused(&enrol(&api, token).await, StatusCode::CONFLICT, "already-enrolled", "enrolments");
    let again = api.post(&format!("{device}/enrolments"), &json!({ "credential": "token" })).await.body;
    assert_eq!((&again["state"], &again["epoch"]), (&json!("enrolled"), &json!(2)));
}

#[tokio::test]
async fn a_lock_out_is_shown_with_its_device() {
    let api = Api::new().await;
    enrol(&api, json!({ "device": "meter-1", "credential": "token" })).await;
    let id = "meter-1".into();
    for _ in 0..5 {
        api.devices.admit_token(&id, Some(b"guess"), [192, 0, 2, 1].into()).await.unwrap_err();
    }
    let one = api.get(&format!("{DEVICES}/meter-1")).await.body;
    assert_eq!(one["lockedUntil"], "2026-09-21T14:13:21.000Z");
    assert_eq!(api.get(DEVICES).await.body[0]["lockedUntil"], one["lockedUntil"]);
}

#[tokio::test]
async fn what_cannot_be_enrolled_is_refused_with_its_place() {
    let api = Api::new().await;
    let table = [
        (json!({}), "device"),
        (json!({ "device": "a/b", "credential": "token" }), "$.device"),
        (json!({ "device": "meter-1", "credential": "password" }), "$.credential"),
        (json!({ "device": "meter-1", "credential": "token", "certificateName": "x" }), "$.certificateName"),
        (json!({ "device": "meter-1", "credential": "certificate", "certificateName": "" }), "$.certificateName"),
        (json!({ "device": "meter-1", "credential": "token", "token": "mine" }), "token"),
    ];
    for (body, names) in table {
        check_refused(&enrol(&api, body).await, StatusCode::BAD_REQUEST, "malformed", names);
    }
    assert_eq!(api.get(DEVICES).await.header("x-total-count"), "0");
}
