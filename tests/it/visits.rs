//! Visits over HTTP, with real gateways.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use linegate_simulators::element::{ElementHandle, Role};
use serde_json::{Value, json};

use crate::contract_relational::postgres::Server;
use crate::network::{Network, hss};
use crate::support::{Gateway, Ports, http, pause, wait_for};

const ORDERS: &str = "/tmf-api/serviceOrdering/v4/serviceOrder";
const VISITS: &str = "/tmf-api/appointment/v4/appointment";

/// The elements that carry an internet line out.
pub(crate) struct Olt {
    network: Network,
    olt: ElementHandle,
}

impl Olt {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let network = hss(gateway.diameter);
        let olt = network.add("olt-1.linegate.example", &[Role::Olt], gateway.diameter);
        Self { network, olt }
    }

    pub(crate) fn shutdown(self) {
        self.olt.shutdown();
        self.network.shutdown();
    }
}

pub(crate) fn internet(n: usize) -> Value {
    json!({
        "externalId": format!("visit-{n}"),
        "relatedParty": [{ "id": format!("customer-{n}"), "role": "customer" }],
        "serviceOrderItem": [{ "id": "1", "action": "add", "service": {
            "id": format!("home-{n}"),
            "serviceSpecification": { "id": "internet" },
            "serviceCharacteristic": [
                { "name": "plan", "value": "internet-500m" },
                { "name": "address", "value": "Seoul, Jongno-gu 1" },
                { "name": "phone", "value": "01012345678" },
            ],
        } }],
    })
}

/// Posts orders and waits until each wants a visit; their ids.
fn wanting(gateway: &Gateway, orders: usize) -> Vec<String> {
    let ids: Vec<String> = (0..orders)
        .map(|n| {
            let (status, made) = gateway.post(ORDERS, &internet(n));
            assert_eq!(status, 201, "{made}");
            made["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let wanted = || gateway.get(&format!("{VISITS}?status=initialized&limit=1000")).1.as_array().map_or(0, Vec::len);
    wait_for("every order to want a visit", Duration::from_secs(30), || wanted() == orders, || gateway.tail());
    ids
}

/// Many orders ask at once for the few places of one slot; as many get one as there are.
fn race(settings: &[(&str, &str)]) {
    const ORDERS_AT_ONCE: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), settings);
    let olt = Olt::of(&gateway);
    let kim = json!({ "id": "kim", "skills": ["internet"], "areas": ["Seoul"] });
    assert_eq!(gateway.post("/linegate/v1/workers", &kim).0, 201);
    let ids = wanting(&gateway, ORDERS_AT_ONCE);
    for (slot, places, hour) in [("last", 1, 10), ("last-two", 2, 12)] {
        let at = |hour: i64| {
            let at = crate::support::wall_millis() as i64 + 86_400_000 + hour * 3_600_000;
            linegate::domain::time::Timestamp(at).to_string()
        };
        let body = json!({ "id": slot, "worker": "kim", "start": at(hour), "end": at(hour + 2), "capacity": places });
        assert_eq!(gateway.post("/linegate/v1/slots", &body).0, 201);
        let to = gateway.http;
        let asked: Vec<_> = ids
            .iter()
            .map(|id| {
                let ask = json!({ "relatedEntity": [{ "id": id }], "calendarEvent": { "id": slot } }).to_string();
                thread::spawn(move || http("POST", to, VISITS, Some(("application/json", &ask))).unwrap())
            })
            .collect();
        let answers: Vec<(u16, String)> = asked.into_iter().map(|t| t.join().unwrap()).collect();
        let won = answers.iter().filter(|(status, _)| *status == 201).count();
        assert_eq!(won, places, "{answers:?}");
        // Who lost was told so, or has got a time in the round before.
        let lost = answers.iter().filter(|(status, _)| *status != 201);
        for (status, body) in lost {
            let code = serde_json::from_str::<Value>(body).unwrap()["code"].clone();
            assert!([json!("no-free-slot"), json!("no-visit-wanted")].contains(&code), "{status} {body}");
        }
        let held = gateway.get(&format!("{VISITS}?status=confirmed&limit=1000")).1;
        let of_slot = held.as_array().unwrap().iter().filter(|a| a["calendarEvent"]["id"] == slot).count();
        assert_eq!(of_slot, places);
    }
    olt.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn orders_that_race_for_the_last_place_have_one_winner_on_sqlite() {
    race(&[]);
}

#[test]
fn orders_that_race_for_the_last_place_have_one_winner_on_postgresql() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start();
    let url = server.url(&runtime.block_on(server.fresh_database()));
    race(&[("LINEGATE__RELATIONAL__URL", &url)]);
}

/// What the scheduler outside does with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Works,
    Fails,
    Hangs,
}

/// A scheduler over HTTP that a test breaks as it likes. It has a visit once for each
/// `Idempotency-Key`, and agrees when it is asked again.
struct TheirScheduler {
    runtime: tokio::runtime::Runtime,
    shared: Arc<Their>,
    address: std::net::SocketAddr,
}

struct Their {
    mood: Mutex<Mood>,
    /// By our id: status, and how often it was looked at.
    visits: Mutex<BTreeMap<String, (&'static str, u32)>>,
    calls: AtomicU32,
}

impl Their {
    async fn called(&self) -> Result<(), StatusCode> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Works => Ok(()),
            Mood::Fails => Err(StatusCode::SERVICE_UNAVAILABLE),
            Mood::Hangs => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(StatusCode::GATEWAY_TIMEOUT)
            }
        }
    }

    fn shown(key: &str, status: &str) -> Json<Value> {
        Json(json!({
            "id": key, "status": status,
            "validFor": { "startDateTime": "2030-01-01T00:00:00Z", "endDateTime": "2030-01-01T02:00:00Z" },
            "relatedParty": [{ "id": "theirs", "role": "worker" }],
        }))
    }

    async fn ask(
        State(their): State<Arc<Self>>,
        headers: HeaderMap,
        body: Json<Value>,
    ) -> Result<Json<Value>, StatusCode> {
        their.called().await?;
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        assert_eq!(body["externalId"], key.as_str());
        their.visits.lock().unwrap().entry(key.clone()).or_insert(("initialized", 0));
        Ok(Self::shown(&key, "initialized"))
    }

    async fn look(State(their): State<Arc<Self>>, Path(key): Path<String>) -> Result<Json<Value>, StatusCode> {
        their.called().await?;
        let mut visits = their.visits.lock().unwrap();
        let visit = visits.get_mut(&key).ok_or(StatusCode::NOT_FOUND)?;
        visit.1 += 1;
        if visit.0 == "initialized" && visit.1 > 1 {
            visit.0 = "confirmed";
        }
        Ok(Self::shown(&key, visit.0))
    }

    async fn cancel(State(their): State<Arc<Self>>, Path(key): Path<String>) -> Result<Json<Value>, StatusCode> {
        their.called().await?;
        let mut visits = their.visits.lock().unwrap();
        visits.get_mut(&key).ok_or(StatusCode::NOT_FOUND)?.0 = "cancelled";
        Ok(Self::shown(&key, "cancelled"))
    }
}

impl TheirScheduler {
    fn start(mood: Mood) -> Self {
        let shared = Arc::new(Their { mood: Mutex::new(mood), visits: Mutex::default(), calls: AtomicU32::new(0) });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let router = Router::new()
            .route("/wfm/appointment", post(Their::ask))
            .route("/wfm/appointment/{id}", get(Their::look).patch(Their::cancel))
            .with_state(Arc::clone(&shared));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { runtime, shared, address }
    }

    fn turns(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    fn of_status(&self, status: &str) -> usize {
        self.shared.visits.lock().unwrap().values().filter(|(s, _)| *s == status).count()
    }
}

/// A gateway that asks it, and is not patient.
fn asking(their: &TheirScheduler, fallback_s: &str) -> Vec<(&'static str, String)> {
    vec![
        ("LINEGATE__SCHEDULING__EXTERNAL_URL", format!("http://{}/wfm/", their.address)),
        ("LINEGATE__SCHEDULING__EXTERNAL_TIMEOUT_MS", "250".to_owned()),
        ("LINEGATE__SCHEDULING__EXTERNAL_FAILURES_MAX", "3".to_owned()),
        ("LINEGATE__SCHEDULING__EXTERNAL_OPEN_MS", "400".to_owned()),
        ("LINEGATE__SCHEDULING__EXTERNAL_FALLBACK_S", fallback_s.to_owned()),
        ("LINEGATE__SAGA__RETRY_FIRST_MS", "50".to_owned()),
        ("LINEGATE__SAGA__RETRY_MAX_MS", "400".to_owned()),
    ]
}

const CIRCUIT: &str = "linegate_scheduler_circuit_state";

#[test]
fn a_scheduler_that_fails_hangs_and_comes_back_loses_no_visit_though_the_gateway_is_killed() {
    let their = TheirScheduler::start(Mood::Fails);
    let settings = asking(&their, "0");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::free());
    let mut gateway = Gateway::start(folder.path(), ports, &settings);
    let olt = Olt::of(&gateway);
    let mut ids = wanting(&gateway, 5);
    wait_for("the circuit to open", Duration::from_secs(10), || gateway.metric(CIRCUIT) == 2, || gateway.tail());
    // The activation stays, and orders go on being accepted.
    let active = gateway.get("/tmf-api/serviceInventory/v4/service?state=active&limit=100").1;
    assert_eq!(active.as_array().unwrap().len(), 5);
    assert_eq!(gateway.metric_of_state("pending"), 5);

    their.turns(Mood::Hangs);
    let (status, made) = gateway.post(ORDERS, &internet(5));
    assert_eq!(status, 201, "{made}");
    ids.push(made["id"].as_str().unwrap().to_owned());
    pause(600);
    gateway.kill();
    gateway = Gateway::start(folder.path(), ports, &settings);
    pause(600);
    let asked = their.shared.calls.load(Ordering::SeqCst);
    pause(1_000);
    let meanwhile = their.shared.calls.load(Ordering::SeqCst) - asked;
    assert!(meanwhile <= 8, "{meanwhile} calls in a second to a scheduler that hangs");
    their.turns(Mood::Works);
    let agreed = || gateway.get(&format!("{VISITS}?status=confirmed&limit=100")).1.as_array().map_or(0, Vec::len);
    wait_for("every visit to be agreed", Duration::from_secs(30), || agreed() == 6, || gateway.tail());
    assert_eq!((their.of_status("confirmed"), gateway.metric(CIRCUIT)), (6, 0));

    let works = || {
        let path = "/tmf-api/workOrderManagement/v4/workOrder?relatedParty.id=theirs&limit=100";
        gateway.get(path).1.as_array().map_or(0, Vec::len)
    };
    wait_for("every worker to have the job", Duration::from_secs(20), || works() == 6, || gateway.tail());
    let moved = json!({
        "status": "confirmed",
        "validFor": { "startDateTime": "2030-02-01T00:00:00Z", "endDateTime": "2030-02-01T02:00:00Z" },
        "relatedParty": [{ "id": "another", "role": "worker" }],
    });
    let visit = format!("{VISITS}/{}-visit", ids[0]);
    let (status, text) = http("PATCH", ports.http, &visit, Some(("application/json", &moved.to_string()))).unwrap();
    assert_eq!(status, 200, "{text}");
    let work = &gateway.get(&format!("/tmf-api/workOrderManagement/v4/workOrder?serviceOrder.id={}", ids[0])).1[0];
    assert_eq!(work["requestedStartDate"], "2030-02-01T00:00:00.000Z");

    let cancel = json!({ "serviceOrder": { "id": ids[1] } });
    assert_eq!(gateway.post("/tmf-api/serviceOrdering/v4/cancelServiceOrder", &cancel).0, 201);
    let is_cancelled = || gateway.metric_of_state("cancelled") == 1;
    wait_for("the order to be cancelled", Duration::from_secs(20), is_cancelled, || gateway.tail());
    assert_eq!(their.of_status("cancelled"), 1);
    olt.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
    their.runtime.shutdown_background();
}

#[test]
fn a_visit_that_the_scheduler_does_not_take_in_time_goes_to_the_call_list() {
    let their = TheirScheduler::start(Mood::Hangs);
    let settings = asking(&their, "1");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let olt = Olt::of(&gateway);
    wanting(&gateway, 3);
    let due = || gateway.get("/linegate/v1/calls?due=true").1.as_array().map_or(0, Vec::len);
    wait_for("the call list to take over", Duration::from_secs(20), || due() == 3, || gateway.tail());
    assert_eq!(gateway.metric("linegate_scheduler_given_up_total{what=\"agree\"}"), 3);
    olt.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
    their.runtime.shutdown_background();
}
