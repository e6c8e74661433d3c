//! Messages on their way out, and the dead that go again.

use axum::http::StatusCode;
use linegate::domain::notification::{Body, Message, Recipient};
use linegate::domain::time::Timestamp;
use linegate::ports::relational::{DeliveryState, Relational, Write};
use serde_json::{Value, json};

use super::harness::Api;

async fn dead(api: &Api, id: &str, phone: &str, reason: &str) {
    let message = Message {
        id: id.into(),
        once_key: None,
        stream: id.to_owned(),
        to: Recipient::Sms { phone: phone.to_owned() },
        body: Body::Text { text: "주문이 완료되었습니다".to_owned() },
        created: Timestamp(0),
    };
    let died = DeliveryState::Dead { at: Timestamp(5), reason: reason.to_owned() };
    api.store.save(vec![Write::Message(message), Write::Delivery(id.into(), died)]).await.unwrap();
}

async fn state(api: &Api, id: &str) -> Value {
    api.get(&format!("/linegate/v1/outbox/{id}")).await.body["state"].clone()
}

#[tokio::test]
async fn a_message_is_shown_whole_and_the_dead_of_a_reason_go_again() {
    let api = Api::new().await;
    dead(&api, "m-1", "821011111111", "after 8 tries: gateway away").await;
    dead(&api, "m-2", "821022222222", "no such number").await;

    let one = api.get("/linegate/v1/outbox/m-2").await;
    assert_eq!(one.status, StatusCode::OK);
    assert_eq!((&one.body["state"], &one.body["reason"]), (&json!("dead"), &json!("no such number")));
    assert!(one.body["content"].to_string().contains("주문이 완료되었습니다"), "{}", one.body);
    assert!(one.body["ageSeconds"].as_u64() > Some(0));
    assert_eq!(api.get("/linegate/v1/outbox/m-9").await.status, StatusCode::NOT_FOUND);

    let wrong = api.post("/linegate/v1/outbox/replay", &json!({ "channel": "fax" })).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.body);
    let away = json!({ "channel": "sms", "reason": "gateway away" });
    let replayed = api.post("/linegate/v1/outbox/replay", &away).await;
    assert_eq!((replayed.status, &replayed.body), (StatusCode::OK, &json!([{ "id": "m-1", "state": "pending" }])));
    assert_eq!((state(&api, "m-1").await, state(&api, "m-2").await), (json!("pending"), json!("dead")));
    let again = api.post("/linegate/v1/outbox/replay", &away).await;
    assert_eq!(again.body, json!([]), "nothing of it is dead any more");
}
