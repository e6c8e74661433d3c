//! `/linegate/v1/planChanges/preview` over a line that was activated on 2026-09-21.

use axum::http::StatusCode;
use linegate::domain::usage::UsageRecord;
use linegate::ports::relational::{LineReads, Relational, Write};
use serde_json::{Value, json};

use super::harness::{Api, activate, rated};

const PREVIEW: &str = "/linegate/v1/planChanges/preview";

/// A line on `iot-payg` that has used a megabyte.
async fn used() -> Api {
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    let record = UsageRecord { cycle: Some("2026-09".parse().unwrap()), ..rated("1", "line-1", 1_000_000, 30) };
    api.store.save(vec![Write::Drain { log: 0, after: 0, position: 1, records: vec![record].into() }]).await.unwrap();
    api
}

#[tokio::test]
async fn both_bills_stand_side_by_side_and_nothing_is_changed() {
    let api = used().await;
    let before = api.store.line(&"line-1".into()).await.unwrap();
    let query = "plan=iot-10mb&at=2026-09-26T00:00:00%2B09:00";
    let preview = api.get(&format!("{PREVIEW}?line=line-1&{query}")).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.body);
    // 550 and 1,650 won a month of 30 days, ten of them in service, five after the change.
    let charge = |plan: &str, kind: &str, description: &str, current: Value, changed: Value| {
        json!({ "line": "line-1", "plan": plan, "kind": kind, "description": description, "lateFor": null,
                "current": current, "changed": changed })
    };
    let of = |quantity: u64, amount: i64| json!({ "quantity": quantity, "amount": amount });
    let expected = json!({
        "account": "line-1",
        "lines": ["line-1"],
        "cycle": "2026-09",
        "validFor": { "startDateTime": "2026-08-31T15:00:00.000Z", "endDateTime": "2026-09-30T15:00:00.000Z" },
        "at": "2026-09-25T15:00:00.000Z",
        "usageUntil": "2026-09-21T14:13:20.000Z",
        "currency": "KRW",
        "current": { "net": 3213, "tax": 321, "gross": 3534 },
        "changed": { "net": 3397, "tax": 340, "gross": 3737 },
        "difference": { "net": 184, "tax": 19, "gross": 203 },
        "charges": [
            charge("iot-payg", "recurring", "IoT 종량제", of(10, 183), of(5, 92)),
            charge("iot-payg", "one-time", "IoT 종량제", of(1, 3000), of(1, 3000)),
            charge("iot-payg", "usage", "IoT 종량제", of(1_000_000, 30), of(1_000_000, 30)),
            charge("iot-10mb", "recurring", "IoT 10MB", Value::Null, of(5, 275)),
        ],
        "@type": "PlanChangePreview",
    });
    assert_eq!(preview.body, expected);
    assert_eq!(api.get(&format!("{PREVIEW}?account=line-1&{query}")).await.body, expected);
    assert_eq!(api.store.line(&"line-1".into()).await.unwrap(), before);
}

#[tokio::test]
async fn the_plan_that_the_line_has_changes_nothing() {
    let api = used().await;
    let preview = api.get(&format!("{PREVIEW}?line=line-1&plan=iot-payg")).await.body;
    assert_eq!((&preview["difference"]["gross"], &preview["current"]), (&json!(0), &preview["changed"]));
}

#[tokio::test]
async fn a_change_that_nobody_could_order_is_refused() {
    let api = used().await;
    let table = [
        ("plan=iot-10mb", StatusCode::BAD_REQUEST, "malformed", "either a line or an account"),
        ("line=line-1&account=line-1&plan=iot-10mb", StatusCode::BAD_REQUEST, "malformed", "either a line"),
        ("line=line-1", StatusCode::BAD_REQUEST, "malformed", "names the plan"),
        ("line=line-1&plan=iot-10mb&at=soon", StatusCode::BAD_REQUEST, "malformed", "soon"),
        ("line=line-9&plan=iot-10mb", StatusCode::NOT_FOUND, "not-found", "line-9"),
        ("account=line-9&plan=iot-10mb", StatusCode::NOT_FOUND, "not-found", "line-9"),
        ("line=line-1&plan=iot-5g", StatusCode::UNPROCESSABLE_ENTITY, "unknown-plan", "iot-5g"),
        ("line=line-1&plan=tv-basic", StatusCode::UNPROCESSABLE_ENTITY, "wrong-access", "is for tv lines"),
        (
            "line=line-1&plan=iot-10mb&at=2026-09-21T14:13:19Z",
            StatusCode::UNPROCESSABLE_ENTITY,
            "outside-cycle",
            "2026-09-30T15:00:00.000Z",
        ),
        (
            "line=line-1&plan=iot-10mb&at=2026-09-30T15:00:00Z",
            StatusCode::UNPROCESSABLE_ENTITY,
            "outside-cycle",
            "from now",
        ),
    ];
    for (query, status, code, names) in table {
        let refused = api.get(&format!("{PREVIEW}?{query}")).await;
        assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)), "{query}: {}", refused.body);
        assert!(refused.text.contains(names), "{query}: {names} in {}", refused.text);
    }
}
