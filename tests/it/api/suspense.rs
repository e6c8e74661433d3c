//! Suspense as people at the operator see it.

use axum::http::StatusCode;
use linegate::domain::usage::{SuspenseReason, UsageOutcome, UsageRecord};
use linegate::ports::relational::{Relational, Write};
use serde_json::json;

use super::harness::{self, Api, escape};

const USAGE: &str = "/tmf-api/usageManagement/v4/usage";
const SUSPENSE: &str = "/linegate/v1/suspense";

async fn with_two_suspended() -> Api {
    let api = Api::new().await;
    let records = vec![
        harness::rated("f-1", "line-1", 1_000, 30),
        harness::suspended("f-2", "999"),
        harness::suspended("f-3", "888"),
    ];
    api.store.save(vec![Write::Drain { log: 0, after: 0, position: 9, records: records.into() }]).await.unwrap();
    api
}

#[tokio::test]
async fn what_waits_is_summed_listed_and_read_one_by_one() {
    let api = with_two_suspended().await;
    let summary = api.get(SUSPENSE).await.body;
    assert_eq!((&summary[0]["reason"], &summary[0]["records"]), (&json!("unknown-line"), &json!(2)));
    let mine = api.get(&format!("{USAGE}?status=rejected&imsi=888")).await;
    assert_eq!((mine.header("x-total-count"), &mine.body[0]["id"]), ("1", &json!("file/f-3/0")));
    for base in [USAGE, SUSPENSE] {
        let one = api.get(&format!("{base}/{}", escape("file/f-2/0"))).await;
        assert_eq!((one.status, &one.body["status"]), (StatusCode::OK, &json!("rejected")), "{base}");
        for unknown in ["file/f-1/0", "file/f-2/1", "nothing", "file/f-2/x"] {
            let answer = api.get(&format!("{base}/{}", escape(unknown))).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{base} {unknown}");
        }
    }
}

#[tokio::test]
async fn a_record_is_dropped_once_with_a_reason_and_that_is_kept() {
    let api = with_two_suspended().await;
    let id = escape("file/f-2/0");
    let path = format!("{SUSPENSE}/{id}/drop?by=kim");
    for (bad, place) in [(json!({}), "reason"), (json!({ "reason": " " }), "$.reason"), (json!({ "why": "x" }), "why")]
    {
        let refused = api.post(&path, &bad).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(refused.body.to_string().contains(place), "{}", refused.body);
    }
    let dropped = api.post(&path, &json!({ "reason": "a test card" })).await;
    assert_eq!(dropped.status, StatusCode::OK, "{}", dropped.body);
    assert_eq!(dropped.body["history"][0]["by"], "kim");
    assert_eq!(
        (&dropped.body["history"][0]["verb"], &dropped.body["history"][0]["note"]),
        (&json!("dropped"), &json!("a test card"))
    );
    for verb in ["drop", "recycle"] {
        let again = api.post(&format!("{SUSPENSE}/{id}/{verb}"), &json!({ "reason": "again" })).await;
        assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("wrong-state")), "{verb}");
    }
    assert_eq!(api.get(&format!("{USAGE}?status=rejected")).await.header("x-total-count"), "2");
    assert_eq!(api.get(&format!("{USAGE}?outcome=dropped")).await.header("x-total-count"), "1");
    assert_eq!(api.get(&format!("{USAGE}?outcome=suspense")).await.header("x-total-count"), "1");
}

#[tokio::test]
async fn many_are_recycled_by_filter_with_a_result_for_each() {
    let api = with_two_suspended().await;
    let bad = api.post(&format!("{SUSPENSE}/recycle"), &json!({ "reason": "colour" })).await;
    assert_eq!((bad.status, &bad.body["message"]), (StatusCode::BAD_REQUEST, &json!("$.reason")));
    let done = api.post(&format!("{SUSPENSE}/recycle?by=kim"), &json!({ "reason": "unknown-line" })).await;
    let lines: Vec<serde_json::Value> = done.text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{}", done.text);
    for (line, id) in lines.iter().zip(["file/f-2/0", "file/f-3/0"]) {
        assert_eq!(*line, json!({ "id": id, "result": "stays", "why": "unknown-line" }));
    }
    assert_eq!(lines[2], json!({ "done": { "records": 2, "outcomes": { "stays": 2 }, "more": false } }));
    let one = api.get(&format!("{SUSPENSE}/{}", escape("file/f-3/0"))).await.body;
    assert_eq!((&one["status"], &one["history"][0]["note"]), (&json!("rejected"), &json!("stays unknown-line")));
}

#[tokio::test]
async fn a_bad_row_is_corrected_and_nothing_else_is() {
    let api = Api::new().await;
    let bad = SuspenseReason::BadRecord;
    let row = UsageRecord { outcome: UsageOutcome::Suspense(bad), octets: 0, ..harness::suspended("id/r1", "999") };
    let records = vec![row, harness::suspended("f-2", "999")];
    api.store.save(vec![Write::Drain { log: 0, after: 0, position: 9, records: records.into() }]).await.unwrap();
    let path = |id: &str| format!("{SUSPENSE}/{}/correct?by=kim", escape(id));
    let file = json!({ "file": "header\nrow\n" });
    assert_eq!(api.post(&path("file/f-2/0"), &file).await.status, StatusCode::CONFLICT, "it can be read");
    let refused = api.post(&path("file/id/r1/0"), &json!({ "file": "header" })).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad-row")));
    let done = api.post(&path("file/id/r1/0"), &file).await;
    assert_eq!((&done.body["result"], &done.body["status"]), (&json!("counted"), &json!("recycled")), "{}", done.body);
    assert_eq!(done.body["history"][0]["by"], "kim");
    assert_eq!(api.post(&path("file/id/r1/0"), &file).await.status, StatusCode::CONFLICT, "it is closed");
}

#[tokio::test]
async fn a_cycle_is_rated_again_with_a_result_for_each_account() {
    let api = Api::new().await;
    const PATH: &str = "/linegate/v1/rerating";
    for (bad, place) in [
        (json!({ "id": "a", "cycle": "october" }), "$.cycle"),
        (json!({ "id": " ", "cycle": "2026-10" }), "$.id"),
        (json!({ "id": "a", "cycle": "2026-10", "line": "l", "account": "a" }), "$.line"),
    ] {
        let refused = api.post(PATH, &bad).await;
        assert_eq!((refused.status, &refused.body["message"]), (StatusCode::BAD_REQUEST, &json!(place)), "{bad}");
    }
    let done = api.post(PATH, &json!({ "id": "a", "cycle": "2026-10", "account": "acc", "dryRun": true })).await;
    let lines: Vec<serde_json::Value> = done.text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let sum = json!({ "account": "acc", "result": "rerated", "records": 3, "changed": 1, "before": 30, "after": 20 });
    assert_eq!(lines[0], sum);
    assert_eq!(lines[1]["done"]["outcomes"], json!({ "rerated": 1 }));
    let unknown = api.post(PATH, &json!({ "id": "a", "cycle": "2026-10", "line": "none" })).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("unknown-line")));
}
