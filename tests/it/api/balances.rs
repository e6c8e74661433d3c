//! TMF654 as order systems see it.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{Api, activate};

const TOP_UPS: &str = "/tmf-api/prepayBalanceManagement/v4/topupBalance";

#[tokio::test]
async fn a_top_up_is_taken_once_under_its_key_and_read_back() {
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    let ask = json!({ "amount": { "amount": 5, "units": "MB" }, "product": { "id": "line-1" }, "reason": "paid at the desk" });
    let key = [("idempotency-key", "t-1")];
    let first = api.send("POST", TOP_UPS, &key, ask.to_string()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(first.body["amount"], json!({ "amount": 5_000_000, "units": "octets" }));
    assert_eq!((&first.body["status"], &first.body["reason"]), (&json!("completed"), &json!("paid at the desk")));
    let again = api.send("POST", TOP_UPS, &key, ask.to_string()).await;
    assert_eq!((again.status, again.body), (StatusCode::CREATED, first.body.clone()));
    let mut other = ask.clone();
    other["amount"]["amount"] = json!(6);
    let clash = api.send("POST", TOP_UPS, &key, other.to_string()).await;
    assert_eq!((clash.status, &clash.body["code"]), (StatusCode::CONFLICT, &json!("key-reused")));
    assert_eq!(api.get(first.header("location")).await.body, first.body);
    assert_eq!(api.get(&format!("{TOP_UPS}/t-2")).await.status, StatusCode::NOT_FOUND);
    let by_imsi = json!({ "amount": { "amount": 1 }, "logicalResource": { "id": "450080000000001" } });
    assert_eq!(api.post(TOP_UPS, &by_imsi).await.body["bucket"]["id"], "line-1");
}

#[tokio::test]
async fn a_top_up_that_cannot_be_names_what_is_wrong() {
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    let ask = |amount: serde_json::Value| json!({ "amount": amount, "product": { "id": "line-1" } });
    let bad = StatusCode::BAD_REQUEST;
    let cannot = StatusCode::UNPROCESSABLE_ENTITY;
    let table = [
        (json!({ "product": { "id": "line-1" } }), bad, "amount"),
        (ask(json!({ "amount": 0 })), bad, "$.amount.amount"),
        (ask(json!({ "amount": 1.5, "units": "MB" })), bad, "smaller unit"),
        (ask(json!({ "amount": 5, "units": "KRW" })), bad, "$.amount.units"),
        (ask(json!({ "amount": 20_000_000_000_u64, "units": "GB" })), bad, "$.amount.amount"),
        (json!({ "amount": { "amount": 1 } }), bad, "$.bucket"),
        (json!({ "amount": { "amount": 1 }, "bucket": { "id": "nobody" } }), cannot, "unknown-reference"),
        (
            json!({ "amount": { "amount": 1 }, "product": { "id": "line-1" }, "isAutoTopup": true }),
            cannot,
            "isAutoTopup",
        ),
        (ask(json!({ "amount": 666 })), cannot, "nothing-to-top-up"),
    ];
    for (body, status, names) in table {
        let answer = api.post(TOP_UPS, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.to_string().contains(names), "{names} in {}", answer.body);
    }
}
