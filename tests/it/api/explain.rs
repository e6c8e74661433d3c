//! How an amount came about, over what the stores hold.

use axum::http::StatusCode;
use linegate::domain::billing::invoice_id;
use linegate::domain::usage::{UsageOutcome, UsageRecord};
use linegate::ports::relational::{BillingReads, LineReads, Relational, Write};
use serde_json::json;

use super::harness::{self, Api, activate};

const EXPLAIN: &str = "/linegate/v1/explain?line=line-1&cycle=2026-10";

async fn drain(api: &Api, position: u64, records: Vec<UsageRecord>) {
    let after = api.store.drain_cursor().await.unwrap();
    api.store.save(vec![Write::Drain { log: 0, after, position, records: records.into() }]).await.unwrap();
}

#[tokio::test]
async fn records_totals_and_bill_are_shown_and_agree_or_not() {
    let api = Api::new().await;
    api.carry_out(&activate("line-1", "450080000000001")).await;
    let line = api.store.line(&"line-1".into()).await.unwrap().unwrap();
    let of_line = |id: &str, octets, amount| UsageRecord {
        account: Some(line.account.clone()),
        ..harness::rated(id, "line-1", octets, amount)
    };
    let compared = UsageRecord { outcome: UsageOutcome::Reconciled, amount: 0, ..of_line("f-3", 500, 0) };
    drain(&api, 1, vec![of_line("f-1", 600, 20), of_line("f-2", 400, 1_010), compared]).await;

    let open = api.get(EXPLAIN).await.body;
    assert_eq!((&open["agrees"], &open["bill"], &open["next"]), (&json!(true), &json!(null), &json!(null)), "{open}");
    let ids: Vec<_> = open["records"].as_array().unwrap().iter().map(|r| r["key"].clone()).collect();
    assert_eq!(ids, ["file/f-1", "file/f-2", "file/f-3"], "as they were rated");
    let sum = json!({ "octets": 1_000, "amount": 1_030, "records": 2 });
    assert_eq!((&open["sums"][0]["records"], &open["sums"][0]["totals"]), (&sum, &sum));

    let sources = json!([{ "source": "file", "charged": 1_000, "compared": 500, "difference": 500 }]);
    assert_eq!(open["sources"], sources);

    let pages = api.get(&format!("{EXPLAIN}&limit=2")).await.body;
    let next = pages["next"].as_u64().unwrap();
    let last = api.get(&format!("{EXPLAIN}&limit=2&after={next}")).await.body;
    assert_eq!((&last["records"][0]["id"], &last["next"]), (&json!("3"), &json!(null)));
    assert!(last.get("sums").is_none(), "only the first page adds up");

    let cycle = "2026-10".parse().unwrap();
    let mut invoice = harness::invoice(invoice_id(cycle, &line.account).as_str(), "customer-1");
    invoice.account = line.account.clone();
    api.store.save(vec![Write::Invoices { series: "2026".into(), invoices: vec![(invoice, vec![])] }]).await.unwrap();
    let billed = api.get(EXPLAIN).await.body;
    assert_eq!((&billed["agrees"], &billed["bill"][0]["amount"]), (&json!(true), &json!(1_030)), "{billed}");

    drain(&api, 2, vec![of_line("f-4", 1, 3)]).await;
    let differs = api.get(EXPLAIN).await.body;
    assert_eq!(differs["agrees"], json!(false));
    assert!(
        differs["differences"][0].as_str().unwrap().contains("1001 octets in its records, 1000 on the bill"),
        "{differs}"
    );
}

#[tokio::test]
async fn what_cannot_be_explained_is_named() {
    let api = Api::new().await;
    assert_eq!(api.get(EXPLAIN).await.status, StatusCode::NOT_FOUND);
    for bad in ["cycle=2026-10", "line=line-1", "line=line-1&cycle=october", "line=l&cycle=2026-10&after=x"] {
        assert_eq!(api.get(&format!("/linegate/v1/explain?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}
