use std::collections::BTreeMap;
use std::time::Duration;

use linegate_simulators::fleet::{Behaviour, Fleet, FleetConfig, Profile};
use linegate_simulators::lines::LineRange;
use linegate_simulators::load::{DesiredLoad, Served, StormLoad, run_desired, run_storm};
use linegate_simulators::modem::LineState;
use linegate_simulators::roster::{Names, Roster};

use crate::broker::Broker;

const SOON: Duration = Duration::from_secs(5);

fn roster(broker: &Broker) -> Roster {
    let lines = Roster::of_lines(LineRange::default(), broker.address);
    let mut roster = Roster { names: Names::Prefix("m".into()), ..lines };
    roster.shared.backoff_min = Duration::from_millis(5);
    roster
}

#[tokio::test]
async fn usage_of_a_flapping_fleet_is_all_acknowledged_and_booked() {
    let broker = Broker::start().await;
    broker.kept.lock().unwrap().lose_acks = 7;
    let behaviour = Behaviour {
        usage_every: Some(Duration::from_millis(30)),
        link_lasts: Some(Duration::from_millis(150)),
        ..Profile::Idle.behaviour()
    };
    let config = FleetConfig { behaviour, batch: 2, octets: 100, ..FleetConfig::new(roster(&broker), 10) };
    let mut fleet = Fleet::start(config).await.unwrap();
    fleet.play(Duration::from_millis(900)).await;
    fleet.settle(SOON).await;
    let summary = fleet.summary();
    assert!(summary.links_lost >= 10 && summary.connections > summary.links_lost, "{summary:?}");
    assert!(summary.records_sent > 100, "{summary:?}");
    assert_eq!(summary.records_acknowledged, summary.records_sent);
    assert_eq!((summary.records_unacknowledged, summary.octets_acknowledged), (0, summary.records_sent * 100));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.csv");
    fleet.write_ledger(&file).unwrap();
    fleet.leave(SOON).await;
    let mut counted = BTreeMap::<String, Vec<u64>>::new();
    for (device, record) in &broker.kept.lock().unwrap().usage {
        counted.entry(device.clone()).or_default().push(record.seq);
    }
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 11);
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (seqs, last) = (counted.get_mut(cells[0]).unwrap(), cells[3].parse::<u64>().unwrap());
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!((seqs.len() as u64, seqs.last()), (last, Some(&last)), "{line}");
    }
}

fn storm(broker: &Broker, served: Served) -> StormLoad {
    StormLoad {
        roster: roster(broker),
        connections: 50,
        per_second: 0,
        open_max: SOON,
        served_max: Duration::from_secs(1),
        served,
        rounds: 2,
        server_pid: None,
    }
}

#[tokio::test]
async fn a_storm_is_over_when_all_are_served_again() {
    let broker = Broker::start().await;
    for round in run_storm(storm(&broker, Served::Subscribed)).await.unwrap() {
        assert_eq!((round.modems, round.served, round.all_served_ms), (50, 50, Some(round.latency_us.max / 1000)));
        assert!(round.latency_us.p50 > 0 && round.latency_us.p50 <= round.latency_us.max);
    }
    // Each with birth, once for each connection.
    let online = broker.kept.lock().unwrap().status.len();
    assert!(online >= 150, "{online}");
}

#[tokio::test]
async fn a_modem_whose_desired_state_does_not_come_is_not_served() {
    let broker = Broker::start().await;
    for n in 1..50 {
        broker.wish(&format!("m-{n}"), 1, LineState::Active);
    }
    let round = &run_storm(storm(&broker, Served::Desired)).await.unwrap()[1];
    assert_eq!((round.served, round.all_served_ms), (49, None));
}

#[tokio::test]
async fn desired_states_are_counted_from_the_first_to_the_last() {
    let broker = Broker::start().await;
    broker.wish("m-1", 1, LineState::Active);
    let load = DesiredLoad {
        roster: roster(&broker),
        connections: 5,
        per_second: 0,
        open_max: SOON,
        first_max: SOON,
        quiet: Duration::from_millis(500),
        server_pid: None,
    };
    let load = tokio::spawn(run_desired(load));
    // An old one is no change; it comes again with every piece of news.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for n in 1..5 {
        broker.wish(&format!("m-{n}"), 2, LineState::Suspended);
    }
    let summary = load.await.unwrap().unwrap();
    assert_eq!((summary.modems, summary.reached), (5, 4));
}
