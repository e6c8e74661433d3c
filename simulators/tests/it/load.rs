use std::collections::BTreeMap;
use std::time::Duration;

use linegate_diameter::apps::gy::CcRequestType;
use linegate_simulators::ledger::{self, LedgerConfig};
use linegate_simulators::lines::LineRange;
use linegate_simulators::load::{
    Bounds, GyLoad, IdleLoad, IdleProtocol, MqttLoad, OrderLoad, run_gy, run_idle, run_mqtt, run_orders,
};
use linegate_simulators::roster::Roster;
use linegate_simulators::sinks::HttpSink;

use crate::broker::Broker;
use crate::gateway::Gateway;

fn bounds(count_max: u64) -> Bounds {
    Bounds { count_max, time_max: Duration::from_secs(5), rate: None }
}

#[tokio::test]
async fn gy_load_stops_by_itself_and_leaves_no_session_open() {
    let gateway = Gateway::start().await;
    let load = GyLoad {
        peers: 1,
        outstanding: 8,
        updates: 2,
        bounds: bounds(200),
        server_pid: Some(std::process::id()),
        ..GyLoad::new(gateway.address)
    };
    let summary = run_gy(load).await.unwrap();
    let seen = gateway.grants.seen.lock().unwrap();
    let count = |kind| seen.iter().filter(|seen| seen.kind == kind).count();
    assert_eq!((summary.answered as usize, summary.unanswered, summary.errors), (seen.len(), 0, 0));
    assert!((200..=216).contains(&seen.len()), "{}", seen.len());
    assert_eq!(count(CcRequestType::Initial), count(CcRequestType::Termination));
    assert_eq!(summary.result_codes, BTreeMap::from([("2001".to_owned(), summary.answered)]));
    assert!(cfg!(not(target_os = "linux")) || summary.server_rss_bytes.is_some());
}

#[tokio::test]
async fn a_rate_is_kept() {
    let gateway = Gateway::start().await;
    let bounds = Bounds { rate: Some(500), time_max: Duration::from_millis(400), count_max: 0 };
    let load = GyLoad { peers: 1, bounds, ..GyLoad::new(gateway.address) };
    let summary = run_gy(load).await.unwrap();
    assert!((100..=320).contains(&summary.answered), "{summary:?}");
}

#[tokio::test]
async fn mqtt_load_has_every_publish_acknowledged() {
    let broker = Broker::start().await;
    let load = MqttLoad {
        connections: 5,
        records: 3,
        bounds: bounds(100),
        ..MqttLoad::of_lines(LineRange::default(), broker.address)
    };
    let summary = run_mqtt(load).await.unwrap();
    assert_eq!((summary.answered, summary.unanswered, summary.errors), (100, 0, 0));
    assert_eq!(broker.kept.lock().unwrap().usage.len(), 300);
}

#[tokio::test]
async fn idle_modems_are_counted_and_let_go() {
    let broker = Broker::start().await;
    let load = IdleLoad {
        protocol: IdleProtocol::Mqtt(Box::new(Roster::of_lines(LineRange::default(), broker.address))),
        connections: 20,
        per_second: 0,
        hold: Duration::ZERO,
        open_max: Duration::from_secs(5),
        server_pid: Some(std::process::id()),
    };
    let summary = run_idle(load).await.unwrap();
    assert_eq!((summary.open, summary.open_at_end), (20, 20));
}

#[tokio::test]
async fn order_load_posts_each_line_once() {
    let sink = HttpSink::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let lines = LineRange { lines: 20, ..LineRange::default() };
    let load = OrderLoad { lines, bounds: bounds(0), ..OrderLoad::new(&sink.url()) };
    let summary = run_orders(load).await.unwrap();
    assert_eq!((summary.answered, summary.result_codes.get("200")), (20, Some(&20)));
    let mut ids: Vec<String> =
        sink.received().iter().map(|request| request.json().unwrap()["externalId"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn the_ledger_agrees_with_a_gateway_that_keeps_losing_its_links() {
    let (gateway, broker) = (Gateway::start().await, Broker::start().await);
    gateway.grants.cut_every.store(17, std::sync::atomic::Ordering::Relaxed);
    broker.kept.lock().unwrap().lose_acks = 5;
    let config = LedgerConfig {
        diameter: Some(gateway.address),
        mqtt: Some(broker.address),
        records_max: 120,
        modems: 2,
        pause: Duration::from_millis(1),
        ..LedgerConfig::default()
    };
    let modem_lines = config.modem_lines.clone();
    let ledger = tokio::time::timeout(Duration::from_secs(9), ledger::run(config)).await.unwrap().unwrap();
    assert_eq!((ledger.sent, ledger.acknowledged, ledger.refused, ledger.unknown), (120, 120, 0, 0));
    assert!(ledger.connections > 1);

    // What the gateway counts when it counts each key once.
    let mut counted = BTreeMap::new();
    for seen in gateway.grants.seen.lock().unwrap().iter().filter(|seen| seen.octets > 0) {
        counted.insert((seen.session.clone(), u64::from(seen.number)), (seen.imsi.clone().unwrap(), seen.octets));
    }
    for (device, record) in &broker.kept.lock().unwrap().usage {
        let n = (0..modem_lines.lines).find(|n| modem_lines.device(*n) == *device).unwrap();
        counted.insert((device.clone(), record.seq), (modem_lines.imsi(n), record.octets_up + record.octets_down));
    }
    let mut octets = BTreeMap::<String, u64>::new();
    for (imsi, used) in counted.into_values() {
        *octets.entry(imsi).or_default() += used;
    }
    assert_eq!(octets, ledger.acknowledged_octets);
}
