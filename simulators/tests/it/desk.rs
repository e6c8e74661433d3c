use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use linegate_simulators::desk::{CallAct, Desk, DeskConfig, WorkAct};
use serde_json::{Value, json};

/// One call that stays due until it is agreed, one work order that comes back
/// once after a return.
#[derive(Default)]
struct Office {
    agreed: bool,
    returns: u32,
    done: bool,
    outcomes: Vec<Value>,
    patches: Vec<Value>,
}

type Shared = Arc<Mutex<Office>>;

async fn office() -> (String, Shared) {
    let shared = Shared::default();
    let app = Router::new()
        .route("/linegate/v1/calls", get(calls))
        .route("/linegate/v1/calls/{id}/outcome", post(outcome))
        .route("/tmf-api/appointment/v4/searchTimeSlot", post(slots))
        .route("/tmf-api/workOrderManagement/v4/workOrder", get(work_orders))
        .route("/tmf-api/workOrderManagement/v4/workOrder/{id}", patch(work))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (format!("http://{address}"), shared)
}

async fn calls(State(shared): State<Shared>) -> Json<Value> {
    let due = !shared.lock().unwrap().agreed;
    let call = json!({ "id": "call-1", "appointment": "app-1", "order": "order-1", "phone": "01012345678" });
    Json(Value::Array(if due { vec![call] } else { Vec::new() }))
}

async fn slots(Json(body): Json<Value>) -> Json<Value> {
    assert_eq!(body["relatedEntity"][0]["id"], "order-1");
    Json(json!({ "availableTimeSlot": [{ "id": "slot-1" }, { "id": "slot-2" }] }))
}

async fn outcome(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> axum::http::StatusCode {
    assert_eq!(id, "call-1");
    let mut office = shared.lock().unwrap();
    office.outcomes.push(body.clone());
    if body["slot"] == "slot-1" {
        return axum::http::StatusCode::CONFLICT;
    }
    office.agreed |= body["outcome"] == "agreed";
    axum::http::StatusCode::OK
}

async fn work_orders(State(shared): State<Shared>) -> Json<Value> {
    let office = shared.lock().unwrap();
    let open = office.agreed && !office.done;
    let order =
        json!({ "id": format!("wo-{}", office.returns), "relatedParty": [{ "id": "kim", "role": "customer" }] });
    Json(Value::Array(if open { vec![order] } else { Vec::new() }))
}

async fn work(State(shared): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let mut office = shared.lock().unwrap();
    office.patches.push(body.clone());
    office.returns += u32::from(body["state"] == "failed");
    office.done |= body["state"] == "completed";
    Json(body)
}

#[tokio::test]
async fn scripts_decide_what_comes_of_calls_and_visits() {
    let (gateway, shared) = office().await;
    let config = DeskConfig { poll: Duration::from_millis(5), ..DeskConfig::new(&gateway) };
    let desk = Desk::start(config).unwrap();
    desk.script_calls("01012345678", [CallAct::NoAnswer, CallAct::CallBack(Duration::from_secs(60))]);
    desk.script_visits("kim", [WorkAct::Return { reason: "no-signal".into(), reschedule: true }]);
    assert!(desk.acts_within(8, Duration::from_secs(5)).await);
    desk.shutdown();

    let told: Vec<_> = desk.calls_made().into_iter().map(|act| (act.told, act.status)).collect();
    let told: Vec<_> = told.iter().map(|(told, status)| (told.as_str(), *status)).collect();
    assert_eq!(told, [("noAnswer", 200), ("callBack", 200), ("agreed", 409), ("agreed", 200)]);
    let told: Vec<_> = desk.visits_made().into_iter().map(|act| act.told).collect();
    assert_eq!(told, ["inProgress", "failed", "inProgress", "completed"]);
    let office = shared.lock().unwrap();
    assert_eq!(office.outcomes[3], json!({ "agent": "desk", "outcome": "agreed", "slot": "slot-2" }));
    assert!(office.outcomes[1]["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(office.patches[1], json!({ "state": "failed", "returnReason": "no-signal", "reschedule": true }));
}
