//! Visits over HTTP, with real gateways.

use std::thread;
use std::time::Duration;

use linegate_simulators::element::{ElementHandle, Role};
use serde_json::{Value, json};

use crate::contract_relational::postgres::Server;
use crate::network::{Network, hss};
use crate::support::{Gateway, Ports, http, wait_for};

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
