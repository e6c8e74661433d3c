//! TMF646 and the signed link.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::ORDERS;
use super::harness::{Api, internet};

const VISITS: &str = "/tmf-api/appointment/v4/appointment";
const SEARCHES: &str = "/tmf-api/appointment/v4/searchTimeSlot";

/// An order that waits for its visit; its id and the appointment's.
pub async fn wanted(api: &Api, customer: &str, line: &str) -> (String, String) {
    let mut body = internet(line);
    body["relatedParty"][0]["id"] = json!(customer);
    let phone = json!({ "name": "phone", "value": "+821012345678" });
    body["serviceOrderItem"][0]["service"]["serviceCharacteristic"].as_array_mut().unwrap().push(phone);
    let made = api.post(ORDERS, &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    api.drive(&id).await;
    let visits = api.get(&format!("{VISITS}?relatedEntity.id={id}")).await;
    (id, visits.body[0]["id"].as_str().unwrap().to_owned())
}

async fn delete(api: &Api, path: &str) -> StatusCode {
    api.send("DELETE", path, &[], String::new()).await.status
}

#[tokio::test]
async fn a_search_is_kept_changed_and_deleted() {
    let api = Api::new().await;
    let (order, _) = wanted(&api, "customer-1", "home-1").await;
    let ask = json!({ "relatedEntity": [{ "id": order }], "relatedParty": { "id": "customer-1" } });
    let made = api.post(SEARCHES, &ask).await;
    assert_eq!((made.status, &made.body["status"]), (StatusCode::CREATED, &json!("done")));
    assert_eq!(made.body["availableTimeSlot"].as_array().unwrap().len(), 5);
    let href = made.body["href"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), href);
    assert_eq!(api.get(&href).await.body, made.body);
    assert_eq!(api.get(SEARCHES).await.header("x-total-count"), "1");

    let second = &made.body["availableTimeSlot"][1]["validFor"];
    let narrowed = api.patch(&href, &json!({ "requestedTimeSlot": [{ "validFor": second }] })).await;
    assert_eq!(narrowed.body["availableTimeSlot"].as_array().unwrap().len(), 1, "{}", narrowed.body);
    assert_eq!(narrowed.body["relatedEntity"], ask["relatedEntity"]);
    let elsewhere = api.patch(&href, &json!({ "relatedPlace": { "name": "Busan" } })).await;
    assert_eq!(elsewhere.body["searchResult"], "fail");
    assert_eq!(api.get(&href).await.body, elsewhere.body);
    let answer = api.patch(&href, &json!({ "status": "rejected" })).await;
    assert_eq!((answer.status, &answer.body["message"]), (StatusCode::BAD_REQUEST, &json!("$.status")));
    let bad = json!({ "requestedTimeSlot": [{ "validFor": { "startDateTime": "2026-12-01T00:00:00Z",
        "endDateTime": "2026-11-01T00:00:00Z" } }] });
    let backwards = api.patch(&href, &bad).await;
    assert_eq!(backwards.body["message"], "$.requestedTimeSlot[0].validFor");

    assert_eq!(delete(&api, &href).await, StatusCode::NO_CONTENT);
    assert_eq!(delete(&api, &href).await, StatusCode::NOT_FOUND);
    assert_eq!(api.get(&href).await.status, StatusCode::NOT_FOUND);
    let skilled = json!({ "relatedEntity": [{ "id": "fibre", "@referredType": "ServiceSpecification" }] });
    assert_eq!(api.post(SEARCHES, &skilled).await.body["searchResult"], "fail");
}

#[tokio::test]
async fn an_appointment_is_moved_deleted_and_its_order_fails() {
    let api = Api::new().await;
    let (order, visit) = wanted(&api, "customer-1", "home-1").await;
    let span = |n: usize, all: &Value| all[n]["validFor"].clone();
    let free = api.get("/linegate/v1/slots?skills=internet,tv&address=Seoul").await.body;
    let made = api.post(VISITS, &json!({ "relatedEntity": [{ "id": order }], "validFor": span(0, &free) })).await;
    assert_eq!((made.status, &made.body["validFor"]), (StatusCode::CREATED, &span(0, &free)));
    let href = format!("{VISITS}/{visit}");
    let moved = api.patch(&href, &json!({ "validFor": span(1, &free) })).await;
    assert_eq!((&moved.body["status"], &moved.body["validFor"]), (&json!("confirmed"), &span(1, &free)));
    let taken = json!({ "startDateTime": "2026-12-24T00:00:00Z", "endDateTime": "2026-12-24T01:00:00Z" });
    let nobody = api.patch(&href, &json!({ "validFor": taken })).await;
    assert_eq!((nobody.status, &nobody.body["code"]), (StatusCode::CONFLICT, &json!("no-free-slot")));
    for (filter, total) in [("status=confirmed", "1"), ("status=failed", "0"), ("relatedParty.id=customer-1", "1")] {
        assert_eq!(api.get(&format!("{VISITS}?{filter}")).await.header("x-total-count"), total, "{filter}");
    }
    assert_eq!(api.get(&format!("{VISITS}?status=danced")).await.status, StatusCode::BAD_REQUEST);

    assert_eq!(delete(&api, &href).await, StatusCode::NO_CONTENT);
    assert_eq!(delete(&api, &href).await, StatusCode::NOT_FOUND);
    assert_eq!(api.get(&href).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get(VISITS).await.header("x-total-count"), "0");
    api.drive(&order).await;
    let failed = api.get(&format!("{ORDERS}/{order}")).await.body;
    assert_eq!((&failed["state"], &failed["errorMessage"][0]["code"]), (&json!("failed"), &json!("visit-cancelled")));
}

#[tokio::test]
async fn a_worker_and_absences_are_put_over_rest() {
    let api = Api::new().await;
    let week = json!({ "mon": [{ "from": "09:00", "until": "11:00" }] });
    let calendar = json!({ "zone": "Asia/Seoul", "week": week, "slotMinutes": 60 });
    let worker = json!({ "id": "lee", "skills": ["tv"], "areas": ["Seoul", "Incheon"], "calendar": calendar });
    let made = api.post("/linegate/v1/workers", &worker).await;
    assert_eq!((made.status, &made.body["areas"]), (StatusCode::CREATED, &json!(["Seoul", "Incheon"])));
    let free = api.get("/linegate/v1/slots?skills=tv&address=Incheon").await;
    assert_eq!(free.header("x-total-count"), "8");
    let mut bad = worker.clone();
    bad["calendar"]["zone"] = json!("Mars");
    let refused = api.post("/linegate/v1/workers", &bad).await;
    assert_eq!((refused.status, &refused.body["message"]), (StatusCode::BAD_REQUEST, &json!("$.calendar")));
    let absences = "/linegate/v1/workers/lee/absences";
    let away = json!({ "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" });
    assert_eq!(api.post(absences, &away).await.body, json!({ "moved": [] }));
    assert_eq!(api.get("/linegate/v1/slots?skills=tv&address=Incheon").await.header("x-total-count"), "0");
    assert_eq!(delete(&api, absences).await, StatusCode::OK);
    assert_eq!(api.get("/linegate/v1/slots?skills=tv&address=Incheon").await.header("x-total-count"), "8");
    assert_eq!(api.post("/linegate/v1/workers/nobody/absences", &away).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_customer_moves_the_visit_with_the_link_of_the_sms_and_no_other() {
    use linegate::ports::relational::OutboxReads;
    let api = Api::new().await;
    let (order, _) = wanted(&api, "customer-1", "home-1").await;
    let (_, other) = wanted(&api, "customer-1", "home-2").await;
    let day = |n: u32| json!({ "calendarEvent": { "id": format!("day-{n}") } });
    let mut agree = day(1);
    agree["relatedEntity"] = json!([{ "id": order }]);
    assert_eq!(api.post(VISITS, &agree).await.status, StatusCode::CREATED);
    let sent = api.store.messages(Some("sms"), None, crate::sagas::world::ALL).await.unwrap().items;
    let texts = sent.iter().filter_map(|m| match &m.message.body {
        linegate::domain::notification::Body::Text { text } => Some(text.clone()),
        _ => None,
    });
    let links: Vec<String> =
        texts.filter_map(|t| t.split_once("https://my.example/visit/").map(|(_, token)| token.to_owned())).collect();
    let [token] = &links[..] else { panic!("{links:?}") };

    let link = format!("/my-page/v1/visit/{token}");
    let shown = api.get(&link).await;
    assert_eq!((shown.status, &shown.body["appointment"]["status"]), (StatusCode::OK, &json!("confirmed")));
    assert_eq!(shown.body["availableTimeSlot"].as_array().unwrap().len(), 4);
    let moved = api.post(&link, &day(4)).await;
    assert_eq!((moved.status, &moved.body["calendarEvent"]["id"]), (StatusCode::OK, &json!("day-4")));
    assert_eq!(api.post(&link, &json!({ "status": "cancelled" })).await.status, StatusCode::BAD_REQUEST);

    let (signed, mac) = token.rsplit_once('.').unwrap();
    let name = |id: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
    };
    let of_other = signed.replace(signed.split('.').nth(1).unwrap(), &name(&other));
    let customer = api.post("/linegate/v1/tokens/my-page", &json!({ "customer": "customer-1" })).await;
    let forged =
        [format!("{of_other}.{mac}"), "nothing".to_owned(), customer.body["token"].as_str().unwrap().to_owned()];
    for token in forged {
        let link = format!("/my-page/v1/visit/{token}");
        assert_eq!(api.get(&link).await.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(api.post(&link, &day(5)).await.status, StatusCode::UNAUTHORIZED, "{token}");
    }
    // The link opens the visit and nothing else.
    let bearer = format!("Bearer {token}");
    let page = api.send("GET", "/my-page/v1/orders", &[("authorization", &bearer)], String::new()).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    api.clock.set(linegate::ports::Clock::now(&*api.clock).plus(std::time::Duration::from_secs(15 * 86_400)));
    assert_eq!(api.get(&link).await.status, StatusCode::UNAUTHORIZED);
}
