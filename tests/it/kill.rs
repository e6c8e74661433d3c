//! `kill -9` in the middle of Gy usage, MQTT usage and orders: nothing that was
//! acknowledged is lost, nothing is counted twice, every order ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use linegate_simulators::element::HeldState;
use linegate_simulators::ledger::{self, LedgerConfig};
use linegate_simulators::lines::LineRange;
use serde_json::{Value, json};

use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, http, pause, wait_for};

/// Rounds of `./tests/run`; its long form sets the variable.
fn rounds() -> u64 {
    std::env::var("LINEGATE_TEST_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

const LINES: u64 = 60;

fn ranges() -> (LineRange, LineRange) {
    let gy = LineRange { lines: LINES, ..LineRange::default() };
    let modem = LineRange { imsi_from: gy.imsi_from + LINES, ..gy.clone() };
    (gy, modem)
}

fn import(gateway: &Gateway, range: &LineRange) {
    let mut csv = Vec::new();
    range.write_csv(&mut csv).unwrap();
    let text = String::from_utf8(csv).unwrap();
    let (status, body) = http("POST", gateway.http, "/linegate/v1/lines/import", Some(("text/csv", &text))).unwrap();
    assert_eq!(status, 200, "{body}");
    let last: Value = serde_json::from_str(body.trim().lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["taken"], range.lines, "{body}");
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
    over_kills(&[("LINEGATE__HOT__URL", &url)], rounds().div_ceil(4), || {
        // What the last kill left unanswered has gone again by then. Refused as a repeat, it
        // would be in the ledger as not counted, and the first time may have been.
        pause(1500);
        server.restart();
    });
}

/// Kills the gateway in each round, after `disturb` has done what else may go wrong.
fn over_kills(settings: &[(&str, &str)], rounds: u64, mut disturb: impl FnMut()) {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let mut gateway = Gateway::start(folder.path(), ports, settings);
    let (gy_lines, modem_lines) = ranges();
    import(&gateway, &gy_lines);
    import(&gateway, &modem_lines);
    let network = crate::network::hss(ports.diameter);

    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicU64::new(0));
    let orders = order_system(ports, Arc::clone(&stop), Arc::clone(&accepted));
    let usage = network.runtime.block_on(async {
        ledger::start(LedgerConfig {
            diameter: Some(ports.diameter),
            mqtt: Some(ports.mqtt),
            gy_lines: gy_lines.clone(),
            modem_lines: modem_lines.clone(),
            pause: Duration::from_millis(2),
            time_max: Duration::from_secs(3600),
            give_up: Duration::from_secs(120),
            ..LedgerConfig::default()
        })
        .unwrap()
    });
    for round in 0..rounds {
        // Different moments of a batch, a save and a saga step.
        disturb();
        pause(300 + (round * 97) % 400);
        gateway.kill();
        gateway = Gateway::start(folder.path(), ports, settings);
    }
    pause(500);
    usage.stop();
    let sent = network.runtime.block_on(usage.wait()).unwrap();
    stop.store(true, Ordering::Relaxed);
    orders.join().unwrap();
    let accepted = accepted.load(Ordering::Relaxed);
    println!(
        "{rounds} rounds: {} records acknowledged, {} refused, {} unknown, {accepted} orders accepted, {:?}",
        sent.acknowledged, sent.refused, sent.unknown, sent.result_codes
    );
    assert!(sent.acknowledged > 100 && accepted > 20, "too little happened to prove anything: {sent:?}");
    orders_end(&gateway, accepted);
    usage_agrees(&gateway, &[gy_lines, modem_lines], &sent);

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

fn usage_agrees(gateway: &Gateway, ranges: &[LineRange], sent: &ledger::Ledger) {
    let drained = || gateway.metric("linegate_drain_lag_entries") == 0;
    wait_for("the drain", Duration::from_secs(30), drained, || gateway.tail());
    let mut wrong = BTreeMap::new();
    for range in ranges {
        for n in 0..range.lines {
            let (imsi, line) = (range.imsi(n), range.line_id(n));
            let acknowledged = sent.acknowledged_octets.get(&imsi).copied().unwrap_or(0);
            let unknown = sent.unknown_octets.get(&imsi).copied().unwrap_or(0);
            let account = gateway.get(&format!("/linegate/v1/accounts/{line}")).1["octets"].as_u64();
            let stored = gateway.rated_octets(&line);
            let good = account == Some(stored) && (acknowledged..=acknowledged + unknown).contains(&stored);
            if !good {
                wrong.insert(
                    imsi,
                    format!("acknowledged {acknowledged} + {unknown}, account {account:?}, stored {stored}"),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
