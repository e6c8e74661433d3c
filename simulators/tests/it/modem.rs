use std::time::Duration;

use linegate_mqtt::payload::Presence;
use linegate_simulators::lines::LineRange;
use linegate_simulators::modem::{
    ContentType, LineState, Modem, ModemConfig, ModemFault, ModemHandle, UsageSample, Version,
};
use linegate_simulators::roster::{Roster, all_online};

use crate::broker::Broker;

const SOON: Duration = Duration::from_secs(5);

async fn online(broker: &Broker, config: ModemConfig) -> ModemHandle {
    let modem = Modem::start(ModemConfig { gateway: broker.address, ..config }).unwrap();
    assert!(modem.online_within(SOON).await);
    modem
}

fn config(device: &str) -> ModemConfig {
    ModemConfig { backoff_min: Duration::from_millis(5), ..ModemConfig::new(device, "127.0.0.1:1".parse().unwrap()) }
}

fn sample() -> UsageSample {
    UsageSample::of_now("iot.example", 10, 20)
}

#[tokio::test]
async fn a_modem_takes_the_desired_state_also_after_it_slept() {
    let broker = Broker::start().await;
    broker.wish("m-1", 1, LineState::Active);
    let modem = online(&broker, config("m-1")).await;
    assert!(modem.state_within(LineState::Active, SOON).await);
    modem.go_offline();
    broker.wish("m-1", 2, LineState::Suspended);
    modem.go_online();
    assert!(modem.state_within(LineState::Suspended, SOON).await);
    assert_eq!(modem.desired_version(), 2);
    modem.send_usage(&sample()).unwrap().acknowledged().await.unwrap();
    let kept = broker.kept.lock().unwrap();
    let versions: Vec<u64> = kept.reported.iter().map(|(_, reported)| reported.version).collect();
    assert_eq!((versions.first(), versions.last()), (Some(&1), Some(&2)));
    let status: Vec<Presence> = kept.status.iter().map(|(_, presence)| *presence).collect();
    assert_eq!(status, [Presence::Online, Presence::Offline, Presence::Online]);
}

#[tokio::test]
async fn a_modem_that_refuses_says_why_and_stays_as_it_was() {
    let broker = Broker::start().await;
    let modem = online(&broker, config("m-2")).await;
    broker.wish("m-2", 1, LineState::Active);
    assert!(modem.state_within(LineState::Active, SOON).await);
    modem.set_fault(ModemFault::Refuses("no-coverage".into()));
    broker.wish("m-2", 2, LineState::Suspended);
    tokio::time::timeout(SOON, async {
        while modem.desired_version() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    modem.send_usage(&sample()).unwrap().acknowledged().await.unwrap();
    assert_eq!(modem.state(), Some(LineState::Active));
    let kept = broker.kept.lock().unwrap();
    let (_, last) = kept.reported.last().unwrap();
    assert_eq!((last.version, last.reason.as_deref()), (2, Some("no-coverage")));
}

async fn check_usage_survives_lost_acknowledgements(version: Version, content_type: ContentType, expiry_secs: u32) {
    let broker = Broker::start().await;
    let config = ModemConfig { version, content_type, session_expiry_secs: expiry_secs, ..config("m-3") };
    let modem = online(&broker, config).await;
    broker.kept.lock().unwrap().lose_acks = 2;
    let sent: Vec<_> = (0..5).map(|_| modem.send_usage(&sample()).unwrap()).collect();
    for (at, sent) in sent.into_iter().enumerate() {
        let seq = tokio::time::timeout(SOON, sent.acknowledged()).await.unwrap().unwrap();
        assert_eq!(seq, at as u64 + 1);
    }
    assert_eq!((modem.unacknowledged(), modem.acknowledged()), (0, 5));
    assert!(modem.send_last_again());
    modem.reboot();
    modem.send_usage(&sample()).unwrap().acknowledged().await.unwrap();
    let kept = broker.kept.lock().unwrap();
    let mut keys: Vec<(u32, u64)> = kept.usage.iter().map(|(_, record)| (record.boot, record.seq)).collect();
    assert!(keys.len() >= 8, "two went again, one was sent twice: {keys:?}");
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys, [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 1)]);
    assert_eq!(kept.dups > 0, expiry_secs > 0, "DUP is for a session that went on");
}

#[tokio::test]
async fn usage_goes_again_with_the_same_sequence_until_it_is_acknowledged() {
    check_usage_survives_lost_acknowledgements(Version::V5, ContentType::Json, 3600).await;
    check_usage_survives_lost_acknowledgements(Version::V5, ContentType::Cbor, 0).await;
    check_usage_survives_lost_acknowledgements(Version::V311, ContentType::Json, 3600).await;
}

#[tokio::test]
async fn a_fleet_comes_online_from_one_process() {
    let broker = Broker::start().await;
    let fleet = Roster::of_lines(LineRange::default(), broker.address).start(100, 0).await.unwrap();
    assert_eq!(all_online(&fleet, SOON).await, 100);
    fleet.iter().for_each(ModemHandle::shutdown);
}
