//! `kill -9` in the middle of Gy usage, MQTT usage and orders: nothing that was
//! acknowledged is lost, nothing is counted twice, every order ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use linegate_simulators::element::HeldState;
use serde_json::{Value, json};

use crate::books::{Books, Compared, Lines, Load};
use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, http, pause, wait_for};

/// Rounds of `./tests/run` on each hot store; its long form sets the variable.
fn rounds() -> u64 {
    std::env::var("LINEGATE_TEST_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

fn order(n: u64) -> Value {
    json!({
        "externalId": format!("kill-{n}"),
        "relatedParty": [{ "id": "customer-kill", "role": "customer" }],
        "serviceOrderItem": [{
            "id": "1", "action": "add",
            "service": {
                "state": "active",
                "serviceSpecification": { "id": "cellular" },
                "serviceCharacteristic": [
                    { "name": "imsi", "value": format!("45099{n:010}") },
                    { "name": "apns", "value": ["iot.example"] },
                    { "name": "plan", "value": "iot-payg" }
                ]
            }
        }]
    })
}

/// Posts orders one after the other until told to stop; one that got no answer
/// is posted again. Gives how many were accepted.
fn order_system(ports: Ports, stop: Arc<AtomicBool>, accepted: Arc<AtomicU64>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let path = "/tmf-api/serviceOrdering/v4/serviceOrder";
        let mut next = 1;
        while !stop.load(Ordering::Relaxed) {
            match http("POST", ports.http, path, Some(("application/json", &order(next).to_string()))) {
                Some((200 | 201, _)) => {
                    accepted.store(next, Ordering::Relaxed);
                    next += 1;
                    pause(5);
                }
                Some((503, _)) | None => pause(20),
                Some((status, body)) => panic!("order {next}: {status} {body}"),
            }
        }
    })
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_counted_twice_over_kills() {
    over_kills(&[], rounds(), || {});
}

#[test]
fn nothing_is_lost_or_counted_twice_when_redis_is_killed_as_well() {
    let mut server = RedisServer::start("always");
    let url = server.url();
    over_kills(&[("LINEGATE__HOT__URL", &url)], rounds(), || server.restart());
}

/// Kills the gateway in each round, after `disturb` has done what else may go wrong.
fn over_kills(settings: &[(&str, &str)], rounds: u64, mut disturb: impl FnMut()) {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let mut gateway = Gateway::start(folder.path(), ports, settings);
    let lines = Lines::of(0, 20);
    lines.import(&gateway);
    let network = crate::network::hss(ports.diameter);

    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicU64::new(0));
    let orders = order_system(ports, Arc::clone(&stop), Arc::clone(&accepted));
    let load = Load::start(&network.runtime, folder.path(), "usage", ports, &lines);
    for round in 0..rounds {
        // Different moments of a batch, a save and a saga step.
        pause(150 + (round * 97) % 300);
        disturb();
        pause((round * 61) % 200);
        gateway.kill();
        gateway = Gateway::start(folder.path(), ports, settings);
    }
    pause(500);
    let sent = load.finish(&network.runtime);
    stop.store(true, Ordering::Relaxed);
    orders.join().unwrap();
    let accepted = accepted.load(Ordering::Relaxed);
    println!("{rounds} rounds: {accepted} orders accepted");
    assert!(sent.ledger.acknowledged > 100 && accepted > 20, "too little happened to prove anything");
    orders_end(&gateway, accepted);
    let books = Books::Sqlite(folder.path().join("data/linegate.sqlite"));
    assert_eq!(books.compare(&network.runtime, &[&gateway], &[sent]), Compared::default());

    let lines = gateway.get("/tmf-api/serviceInventory/v4/service?relatedParty.id=customer-kill&limit=1").1;
    let line = lines[0]["id"].as_str().unwrap();
    assert_eq!(network.hss.line(line).unwrap().state, HeldState::Active);
    let active = network.hss.lines().values().filter(|l| l.state == HeldState::Active).count();
    assert_eq!(active as u64, accepted, "lines on the element, orders accepted");
    network.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}

fn orders_end(gateway: &Gateway, accepted: u64) {
    let done = || gateway.metric_of_state("completed") == accepted;
    wait_for("every order to end", Duration::from_secs(60), done, || {
        format!("{} of {accepted} completed\n{}", gateway.metric_of_state("completed"), gateway.tail())
    });
}
