//! `/linegate/v1/tariffs` over the shipped list, at 2026-09-21T14:13:20Z.

use axum::http::StatusCode;
use linegate::ports::relational::TariffReads;
use serde_json::{Value, json};

use super::harness::{Answer, Api};

const TARIFFS: &str = "/linegate/v1/tariffs";
const OCTOBER: &str = "2026-10-01T00:00:00.000Z";

/// The shipped list as version `number` from October on, one plan dearer.
async fn next(api: &Api, number: u32) -> Value {
    let mut document = api.get(&format!("{TARIFFS}/1")).await.body;
    document["version"] = json!(number);
    document["effective_from"] = json!(OCTOBER);
    document["plan"]["iot-payg"]["monthly_fee"] = json!(600);
    document
}

async fn put(api: &Api, number: u32, headers: &[(&str, &str)], document: &Value) -> Answer {
    api.send("PUT", &format!("{TARIFFS}/{number}"), headers, document.to_string()).await
}

#[track_caller]
fn check_refused(answer: &Answer, status: StatusCode, code: &str, message: Option<&str>, names: &str) {
    assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{}", answer.body);
    assert_eq!(answer.body["message"].as_str(), message, "{}", answer.body);
    assert!(answer.text.contains(names), "{names} in {}", answer.text);
}

#[tokio::test]
async fn a_version_is_put_listed_read_and_withdrawn() {
    let api = Api::new().await;
    let document = next(&api, 2).await;
    let made = put(&api, 2, &[], &document).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["plan"]["iot-payg"]["monthly_fee"], 600);
    let read = api.get(&format!("{TARIFFS}/2")).await;
    assert_eq!((&read.body, read.header("etag")), (&made.body, made.header("etag")));
    let list = api.get(&format!("{TARIFFS}?fields=state,source,effectiveFrom,effectiveUntil")).await;
    let expected = json!([
        { "id": "1", "href": "/linegate/v1/tariffs/1", "state": "inForce", "source": "shipped",
          "effectiveUntil": OCTOBER, "@type": "TariffVersion" },
        { "id": "2", "href": "/linegate/v1/tariffs/2", "state": "future", "source": "rest",
          "effectiveFrom": OCTOBER, "@type": "TariffVersion" },
    ]);
    assert_eq!((&list.body, list.header("x-total-count")), (&expected, "2"));
    let future = api.get(&format!("{TARIFFS}?state=future&fields=etag")).await;
    assert_eq!(future.body[0]["etag"], read.header("etag").trim_matches('"'));
    let stored = api.store.tariffs().await.unwrap();
    assert_eq!((stored.revision, stored.versions[0].version), (1, 2));

    let gone = api.send("DELETE", &format!("{TARIFFS}/2"), &[], String::new()).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
    assert_eq!(api.get(&format!("{TARIFFS}/2")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(put(&api, 2, &[], &document).await.status, StatusCode::CREATED, "its number is free again");
}

#[tokio::test]
async fn a_repeated_put_changes_nothing_and_another_document_needs_the_etag() {
    let api = Api::new().await;
    let mut document = next(&api, 2).await;
    let first = put(&api, 2, &[], &document).await;
    let again = put(&api, 2, &[], &document).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(api.store.tariff_revision().await.unwrap(), 1);

    document["tax_percent"] = json!(12);
    let refused = put(&api, 2, &[], &document).await;
    check_refused(&refused, StatusCode::PRECONDITION_FAILED, "precondition-failed", None, "If-Match");
    let stale = put(&api, 2, &[("if-match", "\"0\"")], &document).await;
    check_refused(&stale, StatusCode::PRECONDITION_FAILED, "precondition-failed", None, "If-Match");
    let etag = first.header("etag").to_owned();
    let replaced = put(&api, 2, &[("if-match", &etag)], &document).await;
    assert_eq!((replaced.status, &replaced.body["tax_percent"]), (StatusCode::OK, &json!(12)));
    assert_ne!(replaced.header("etag"), etag);
    let stale = api.send("DELETE", &format!("{TARIFFS}/2"), &[("if-match", &etag)], String::new()).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let unknown = put(&api, 3, &[("if-match", &etag)], &next(&api, 3).await).await;
    check_refused(&unknown, StatusCode::NOT_FOUND, "not-found", None, "`3`");
}

#[tokio::test]
async fn a_version_without_an_instant_holds_as_soon_as_every_gateway_knows_it() {
    let api = Api::new().await;
    let mut document = next(&api, 2).await;
    document.as_object_mut().unwrap().remove("effective_from");
    let made = put(&api, 2, &[], &document).await;
    assert_eq!((made.status, &made.body["effective_from"]), (StatusCode::CREATED, &json!("2026-09-21T14:13:50.000Z")));
    assert_eq!(put(&api, 2, &[], &document).await.status, StatusCode::OK, "a repeat is not moved on");
}

#[tokio::test]
async fn every_fault_is_named_with_its_path_in_the_document() {
    let api = Api::new().await;
    let mut document = next(&api, 2).await;
    document["plan"]["iot-payg"]["monthly_fee"] = json!("550");
    let path = Some("$.plan.iot-payg.monthly_fee");
    check_refused(&put(&api, 2, &[], &document).await, StatusCode::BAD_REQUEST, "malformed", path, "550");
    document["plan"]["iot-payg"]["monthly_fee"] = json!(-1);
    document["plan"]["iot-10mb"]["suspended_percent"] = json!(101);
    let refused = put(&api, 2, &[], &document).await;
    let path = Some("$.plan.iot-10mb.suspended_percent");
    check_refused(&refused, StatusCode::UNPROCESSABLE_ENTITY, "bad-tariff", path, "plan.iot-payg.monthly_fee");
    let refused = put(&api, 3, &[], &next(&api, 2).await).await;
    check_refused(&refused, StatusCode::BAD_REQUEST, "malformed", Some("$.version"), "is 2");
    let mut without = next(&api, 2).await;
    without["plan"].as_object_mut().unwrap().remove("tv-basic");
    let refused = put(&api, 2, &[], &without).await;
    check_refused(
        &refused,
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad-tariff",
        Some("$.plan.tv-basic"),
        "lines may be on it",
    );
    assert_eq!(api.store.tariff_revision().await.unwrap(), 0);
}

#[tokio::test]
async fn what_holds_or_was_rated_is_never_changed() {
    let api = Api::new().await;
    let mut early = next(&api, 2).await;
    early["effective_from"] = json!("2026-09-21T14:13:49Z");
    let path = Some("$.effective_from");
    let refused = put(&api, 2, &[], &early).await;
    check_refused(&refused, StatusCode::UNPROCESSABLE_ENTITY, "too-early", path, "2026-09-21T14:13:50.000Z");
    let mut shipped = next(&api, 1).await;
    shipped.as_object_mut().unwrap().remove("effective_from");
    check_refused(&put(&api, 1, &[], &shipped).await, StatusCode::CONFLICT, "of-file", None, "the built-in list");
    let of_file = api.send("DELETE", &format!("{TARIFFS}/1"), &[], String::new()).await;
    check_refused(&of_file, StatusCode::CONFLICT, "of-file", None, "the built-in list");

    let mut soon = next(&api, 2).await;
    soon["effective_from"] = json!("2026-09-21T14:13:50Z");
    let made = put(&api, 2, &[], &soon).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    api.clock.advance(std::time::Duration::from_secs(1));
    let late = api.send("DELETE", &format!("{TARIFFS}/2"), &[], String::new()).await;
    check_refused(&late, StatusCode::CONFLICT, "in-force", None, "put a new one");
    let etag = made.header("etag").to_owned();
    let late = put(&api, 2, &[("if-match", &etag)], &next(&api, 2).await).await;
    check_refused(&late, StatusCode::CONFLICT, "in-force", None, "version 2");
}
