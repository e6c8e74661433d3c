//! Connections over real sockets, in front of stores that can be held.

use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use linegate_mqtt::client::{Client, ClientEvent, ConnectOptions};
use linegate_mqtt::topic::TOPIC_ROOT;
use linegate_mqtt::{Qos, ReasonCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;
use crate::adapters::memory::MemoryStore;
use crate::adapters::system::SeededIds;
use crate::config::Config;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome};
use crate::domain::usage::UsageRecord;
use crate::ports::intake::{Reply, RequestIntake};
use crate::ports::modem::{DesiredMessage, ModemMessage};
use crate::ports::relational::Stored;
use crate::services::device_states::{DeviceStateSettings, DeviceStates};
use crate::services::devices::{DeviceRegistry, Wanted};

/// Takes usage, and makes all of it durable at once.
#[derive(Default)]
struct Ledger {
    charged: Mutex<Vec<ChargeRequest>>,
    suspended: Mutex<Vec<UsageRecord>>,
}

impl RequestIntake for Ledger {
    fn submit(&self, request: ChargeRequest, reply: Reply) {
        self.charged.lock().unwrap().push(request);
        reply.to.reply(reply.tag, Ok(ChargeAnswer::bare(Outcome::Success)));
    }

    fn suspend(&self, record: UsageRecord, reply: Reply) {
        self.suspended.lock().unwrap().push(record);
        reply.to.reply(reply.tag, Ok(ChargeAnswer::bare(Outcome::Success)));
    }

    fn sessions_lost(&self, _peer: &str) {}
}

/// The gateway's intake, behind a door that the relational store's answers wait at.
struct Door {
    intake: MessageIntake,
    is_open: watch::Sender<bool>,
}

impl Door {
    async fn pass(&self) -> Stored<Option<DesiredMessage>> {
        let mut is_open = self.is_open.subscribe();
        let _open = is_open.wait_for(|open| *open).await;
        Ok(Some(DesiredMessage { version: 3, expires: None, payload: Bytes::from_static(b"{}") }))
    }
}

#[async_trait]
impl ModemIntake for Door {
    fn take(&self, message: ModemMessage, reply: Reply) {
        self.intake.take(message, reply);
    }

    fn receipts(&self, message: &ModemMessage) -> Vec<Bytes> {
        self.intake.receipts(message)
    }

    async fn came(&self, _device: &DeviceId) -> Stored<Option<DesiredMessage>> {
        self.pass().await
    }

    async fn went(&self, device: &DeviceId) -> Stored<()> {
        self.intake.went(device).await
    }

    async fn recorded(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        self.intake.recorded(after, limit).await
    }

    async fn behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        self.intake.behind(after, limit).await
    }

    async fn desired(&self, _device: &DeviceId) -> Stored<Option<DesiredMessage>> {
        self.pass().await
    }
}

struct World {
    address: SocketAddr,
    store: Arc<MemoryStore>,
    devices: Arc<DeviceRegistry>,
    ledger: Arc<Ledger>,
    door: Arc<Door>,
    modems: ModemRegistry,
    stop: CancellationToken,
    tasks: TaskTracker,
}

fn registry(store: &Arc<MemoryStore>, modems: &ModemRegistry) -> Arc<DeviceRegistry> {
    let settings = Config::load(None, []).unwrap().mqtt.registry();
    let ids = Arc::new(SeededIds::from_os());
    let modems = Arc::new(modems.clone());
    Arc::new(DeviceRegistry::new(Arc::clone(store) as _, modems, Arc::new(SystemClock), ids, settings))
}

impl World {
    async fn start(is_open: bool) -> Self {
        let mut settings = Config::load(None, []).unwrap().mqtt;
        settings.unreadable_per_minute_max = 2;
        let (store, modems) = (Arc::new(MemoryStore::new()), ModemRegistry::default());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let devices = registry(&store, &modems);
        let states =
            DeviceStates::start(Arc::clone(&store) as _, &DeviceStateSettings::default(), stop.clone(), &tasks);
        let ledger = Arc::new(Ledger::default());
        let told = IntakeSettings {
            gateway: "g".into(),
            desired_expiry_s: 0,
            unreadable_per_minute_max: settings.unreadable_per_minute_max,
            receipts_per_message_max: 64,
        };
        let clock = Arc::new(SystemClock);
        let intake = MessageIntake::new(Arc::clone(&ledger) as _, states, Arc::clone(&devices), clock, told);
        let door = Arc::new(Door { intake, is_open: watch::Sender::new(is_open) });
        let listeners = MqttListeners { tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None };
        let identities = Identities::new(Arc::clone(&devices));
        let intake = Arc::clone(&door) as Arc<dyn ModemIntake>;
        let address = start(listeners, settings, identities, modems.clone(), intake, stop.clone(), &tasks).unwrap();
        Self { address, store, devices, ledger, door, modems, stop, tasks }
    }

    async fn modem(&self, version: Version, options: &ConnectOptions) -> Modem {
        let mut client = Client::new(version);
        client.connect(options);
        Modem { client, stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// A modem that is let in; its session outlives its connection.
    async fn connected(&self, version: Version) -> Modem {
        let options = ConnectOptions { session_expiry_secs: 60, clean_start: false, ..ConnectOptions::new("m") };
        let mut modem = self.modem(version, &options).await;
        let answer = modem.event().await;
        assert!(matches!(&answer, ClientEvent::ConnAck(answer) if answer.reason == ReasonCode::SUCCESS), "{answer:?}");
        modem
    }

    /// Within the time of a test, not of a shutdown.
    async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await.expect("every connection ends");
    }
}

struct Modem {
    client: Client,
    stream: TcpStream,
}

impl Modem {
    async fn event(&mut self) -> ClientEvent {
        let next = async {
            loop {
                let out = self.client.take_output();
                self.stream.write_all(&out).await.unwrap();
                if let Some(event) = self.client.poll_event() {
                    return event;
                }
                let mut read = BytesMut::new();
                assert!(self.stream.read_buf(&mut read).await.unwrap() > 0, "the gateway has closed");
                self.client.handle_input(read.freeze()).unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), next).await.expect("an answer in time")
    }

    async fn is_closed(&mut self) {
        let end = tokio::time::timeout(Duration::from_secs(5), self.stream.read(&mut [0; 64])).await;
        assert_eq!(end.expect("closed in time").unwrap(), 0);
    }

    fn usage(&mut self, payload: &str) {
        let topic = format!("{TOPIC_ROOT}m/usage");
        self.client.publish(&topic, payload.as_bytes(), Qos::AtLeastOnce, false, None).unwrap();
    }

    async fn is_acknowledged(&mut self) {
        let answer = self.event().await;
        assert!(matches!(answer, ClientEvent::PubAck { .. }), "{answer:?}");
    }

    async fn hears(&mut self, expected: ReasonCode) {
        let answer = self.event().await;
        assert!(matches!(&answer, ClientEvent::Disconnect(reason) if *reason == expected), "{answer:?}");
    }

    async fn subscribe(&mut self) {
        self.client.subscribe(&[("lg/v1/m/desired", Qos::AtLeastOnce)]);
        assert!(matches!(self.event().await, ClientEvent::SubAck { .. }));
    }

    async fn is_told_once(&mut self) {
        let told = self.event().await;
        assert!(matches!(&told, ClientEvent::Publish(message) if message.topic.ends_with("/desired")), "{told:?}");
        self.client.ping();
        assert!(matches!(self.event().await, ClientEvent::PingResp));
    }
}

fn record(epoch: u32, seq: u64) -> String {
    format!(
        r#"{{"epoch":{epoch},"boot":1,"seq":{seq},"start":0,"end":1,"apn":"iot.example","rating_group":1,"octets_up":1,"octets_down":1}}"#
    )
}

#[tokio::test]
async fn while_the_store_is_away_usage_is_acknowledged_pings_are_answered_and_sessions_taken_over() {
    let world = World::start(false).await;
    let mut first = world.connected(Version::V5).await;
    first.subscribe().await;
    first.usage(&record(1, 1));
    first.is_acknowledged().await;
    first.client.ping();
    assert!(matches!(first.event().await, ClientEvent::PingResp));
    world.modems.desired_changed(&"m".into()).await;

    let mut second = world.connected(Version::V5).await;
    first.hears(ReasonCode::SESSION_TAKEN_OVER).await;
    second.usage(&record(1, 2));
    second.is_acknowledged().await;
    world.door.is_open.send_replace(true);
    second.is_told_once().await;
    world.modems.desired_changed(&"m".into()).await;
    second.is_told_once().await;
    assert_eq!(world.ledger.charged.lock().unwrap().len(), 2);
    world.shut_down().await;
}

#[tokio::test]
async fn a_subscription_that_comes_before_the_stores_answer_is_told_then() {
    for version in [Version::V5, Version::V311] {
        let world = World::start(false).await;
        let mut modem = world.connected(version).await;
        modem.subscribe().await;
        world.door.is_open.send_replace(true);
        modem.is_told_once().await;
        modem.subscribe().await;
        modem.is_told_once().await;
    }
}

#[tokio::test]
async fn a_connection_that_waits_for_the_store_ends_at_a_stop() {
    let world = World::start(false).await;
    let mut modem = world.connected(Version::V5).await;
    modem.subscribe().await;
    world.stop.cancel();
    modem.hears(ReasonCode::SERVER_SHUTTING_DOWN).await;
    drop(modem);
    world.shut_down().await;
}

#[tokio::test]
async fn the_last_words_arrive_though_we_have_not_read_everything() {
    let world = World::start(true).await;
    let mut modem = world.connected(Version::V5).await;
    // a packet type that there is not, and more than is read at once behind it
    modem.client.send_raw(&[0x00, 0x00]);
    modem.client.send_raw(&vec![0; 200_000]);
    let out = modem.client.take_output();
    modem.stream.write_all(&out).await.unwrap();
    modem.hears(ReasonCode::MALFORMED_PACKET).await;
    modem.is_closed().await;

    // refused at its CONNECT
    let will = linegate_mqtt::session::Will {
        topic: "lg/v1/other/status".into(),
        payload: Bytes::new(),
        qos: Qos::AtLeastOnce,
        retain: false,
        delay_secs: 0,
        content_type: None,
        properties: None,
    };
    let mut modem = world.modem(Version::V5, &ConnectOptions { will: Some(will), ..ConnectOptions::new("m") }).await;
    modem.client.send_raw(&vec![0; 200_000]);
    let answer = modem.event().await;
    assert!(matches!(&answer, ClientEvent::ConnAck(a) if a.reason == ReasonCode::NOT_AUTHORIZED), "{answer:?}");
    modem.is_closed().await;
}

#[tokio::test]
async fn one_device_fills_suspense_no_faster_than_its_limit_and_loses_nothing_readable() {
    let world = World::start(true).await;
    for version in [Version::V5, Version::V311] {
        let mut modem = world.connected(version).await;
        for n in 0..2 {
            modem.usage(&format!("no usage {n}"));
            // of another connection they are over the limit already
            if version == Version::V5 {
                modem.is_acknowledged().await;
            }
        }
        modem.usage(&record(1, 1));
        if version == Version::V5 {
            modem.is_acknowledged().await;
            modem.usage("no usage 2");
            modem.hears(ReasonCode::PAYLOAD_FORMAT_INVALID).await;
        } else {
            let out = modem.client.take_output();
            modem.stream.write_all(&out).await.unwrap();
        }
        modem.is_closed().await;
    }
    assert_eq!(world.ledger.suspended.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn usage_under_an_epoch_that_was_never_enrolled_is_kept_in_suspense() {
    let world = World::start(true).await;
    let token = world.devices.enrol("m".into(), Wanted::Token, "kim").await.unwrap().token.unwrap();
    let mut options = ConnectOptions::new("m");
    (options.username, options.password) = (Some("m".into()), Some(Bytes::from(token)));
    let mut modem = world.modem(Version::V5, &options).await;
    assert!(matches!(modem.event().await, ClientEvent::ConnAck(_)));
    modem.usage(&format!("[{},{},{}]", record(1, 1), record(7, 2), record(0, 3)));
    modem.is_acknowledged().await;
    assert_eq!(world.ledger.charged.lock().unwrap().len(), 2);
    let suspended = world.ledger.suspended.lock().unwrap().pop().unwrap();
    assert_eq!(suspended.detail.as_deref(), Some("usage under epoch 7, the device is enrolled under 1"));
    assert_eq!(suspended.key.to_string(), "file/epoch/m/7/1/2");

    // Another gateway on the store enrols it anew, and nobody tells this one.
    let elsewhere = registry(&world.store, &ModemRegistry::default());
    elsewhere.enrol_again("m".into(), Wanted::Token, "kim").await.unwrap();
    modem.usage(&record(2, 4));
    modem.is_acknowledged().await;
    assert_eq!(world.ledger.charged.lock().unwrap().len(), 3);
}
