//! A customer's own page: every route with the own and another customer's token.

use axum::http::StatusCode;
use linegate::ports::relational::{Relational, Write};
use serde_json::{Value, json};

use super::harness::{Api, invoice, rated};
use super::visits::wanted;

/// A customer with one of everything.
struct Someone {
    bearer: String,
    order: String,
    line: String,
    visit: String,
    bill: String,
}

async fn token(api: &Api, kind: &str, body: Value) -> String {
    let made = api.post(&format!("/linegate/v1/tokens/{kind}"), &body).await;
    format!("Bearer {}", made.body["token"].as_str().unwrap())
}

async fn someone(api: &Api, n: u64) -> Someone {
    let (customer, line, bill) = (format!("customer-{n}"), format!("home-{n}"), format!("inv-{n}"));
    let (order, visit) = wanted(api, &customer, &line).await;
    let records = vec![rated(&format!("r-{n}"), &line, 100_000, 30)];
    let drain = Write::Drain { log: 0, after: n - 1, position: n, records: records.into() };
    let series =
        Write::Invoices { series: "2026".into(), invoices: vec![(account(invoice(&bill, &customer), &line), vec![])] };
    api.store.save(vec![drain, series]).await.unwrap();
    let bearer = token(api, "my-page", json!({ "customer": customer })).await;
    Someone { bearer, order, line, visit, bill }
}

fn account(mut invoice: linegate::domain::billing::Invoice, line: &str) -> linegate::domain::billing::Invoice {
    invoice.account = line.into();
    invoice
}

async fn get(api: &Api, path: &str, bearer: &str) -> super::harness::Answer {
    api.send("GET", path, &[("authorization", bearer)], String::new()).await
}

#[tokio::test]
async fn every_route_shows_a_customer_their_own_and_nothing_of_others() {
    let api = Api::new().await;
    let (one, two) = (someone(&api, 1).await, someone(&api, 2).await);
    let worker = token(&api, "worker", json!({ "worker": "kim" })).await;
    let document = api.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap().keys().filter(|p| p.starts_with("/my-page/v1/"));
    let paths: Vec<&String> = paths.filter(|p| !p.contains("{token}")).collect();
    assert_eq!(paths.len(), 11, "{paths:?}");
    for path in paths {
        let of = |someone: &Someone| {
            let id = match path.split('/').nth(3).unwrap() {
                "orders" => &someone.order,
                "lines" => &someone.line,
                "visits" => &someone.visit,
                "bills" => &someone.bill,
                other => panic!("{other}: add it here"),
            };
            path.replace("{id}", id)
        };
        let address = if path.contains("{id}") { of(&one) } else { path.clone() };
        let own = get(&api, &address, &one.bearer).await;
        assert_eq!(own.status, StatusCode::OK, "{path}: {}", own.text);
        let strange = get(&api, &address, &two.bearer).await;
        if path.contains("{id}") {
            assert_eq!(strange.status, StatusCode::NOT_FOUND, "{path}: {}", strange.text);
        } else {
            assert_eq!((own.header("x-total-count"), strange.header("x-total-count")), ("1", "1"), "{path}");
            for (shown, id) in [(&strange, 1), (&own, 2)] {
                let names = [format!("home-{id}\""), format!("customer-{id}\""), format!("inv-{id}\"")];
                assert!(names.iter().all(|name| !shown.text.contains(name)), "{path}: {}", shown.text);
            }
        }
        for (bearer, what) in [("Bearer nothing", "an unknown token"), (worker.as_str(), "a worker's token")] {
            assert_eq!(get(&api, &address, bearer).await.status, StatusCode::UNAUTHORIZED, "{path} with {what}");
        }
        assert_eq!(api.get(&address).await.status, StatusCode::UNAUTHORIZED, "{path} with no token");
    }
    let line = format!("/my-page/v1/usage?line={}", one.line);
    assert_eq!(get(&api, &line, &two.bearer).await.status, StatusCode::NOT_FOUND);
    let usage = get(&api, &line, &one.bearer).await;
    assert_eq!((usage.header("x-as-of-position"), usage.header("x-lag-entries").is_empty()), ("2", false));
}

#[tokio::test]
async fn a_timeline_tells_what_was_reached_and_what_is_waited_for_in_both_languages() {
    let api = Api::new().await;
    let one = someone(&api, 1).await;
    let path = format!("/my-page/v1/orders/{}/timeline", one.order);
    let names = |body: &Value| -> Vec<String> {
        let all = body["milestone"].as_array().unwrap().iter();
        all.map(|m| m["name"].as_str().unwrap().to_owned()).collect()
    };
    let waits = get(&api, &path, &one.bearer).await.body;
    assert_eq!((&waits["state"], &waits["waitsFor"]["code"]), (&json!("pending"), &json!("call")));
    assert_eq!(waits["waitsFor"]["text"]["ko"], "방문 일정 상담 전화를 기다리고 있습니다");
    assert_eq!(waits["waitsFor"]["text"]["en"], "We will call to agree on a visit");
    assert_eq!(names(&waits), ["acknowledged", "started", "provisioned", "modem-steered", "visit-requested"]);
    let agree = json!({ "relatedEntity": [{ "id": one.order }], "calendarEvent": { "id": "day-1" } });
    assert_eq!(api.post("/tmf-api/appointment/v4/appointment", &agree).await.status, StatusCode::CREATED);
    api.drive(&one.order).await;
    let waits = get(&api, &path, &one.bearer).await.body;
    assert_eq!(waits["waitsFor"]["code"], "worker");
    let works = api.get("/tmf-api/workOrderManagement/v4/workOrder").await.body;
    let done = api.patch(works[0]["href"].as_str().unwrap(), &json!({ "state": "completed" })).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    api.drive(&one.order).await;
    let done = get(&api, &path, &one.bearer).await.body;
    assert_eq!((&done["state"], &done["waitsFor"]), (&json!("completed"), &Value::Null));
    assert_eq!(names(&done)[5..], ["visit-agreed", "work-assigned", "work-done", "completed"]);
    let last = done["milestone"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["text"]["ko"], last["at"].is_string()), (&json!("주문이 완료되었습니다"), true));
}
