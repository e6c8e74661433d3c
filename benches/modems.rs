//! The modem side by itself: usage is appended to a file and synced, many
//! publishes in one write, and rated by nobody. Beside it, in the same run and with
//! the same client, mosquitto, which keeps nothing on disk.
//!
//!     cargo build --release -p linegate-simulators && cargo bench --bench modems -- [seconds]
//!
//! Prints what the client saw and the server's CPU (user and system, of its own
//! process): publishes of 20 connections × 50 outstanding; 10,000 idle modems; as
//! many desired states handed to connected modems, to the last PUBACK.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use linegate::adapters::sqlite::SqliteStore;
use linegate::adapters::system::{SeededIds, SystemClock};
use linegate::config::Config;
use linegate::domain::ids::{DeviceId, LineId};
use linegate::domain::line::{Access, Line, LineState, Profile};
use linegate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::UsageRecord;
use linegate::ports::intake::{Reply, RequestIntake};
use linegate::ports::modem::Modems;
use linegate::ports::relational::{Relational, Write};
use linegate::services::device_states::{DeviceStateSettings, DeviceStates};
use linegate::services::devices::DeviceRegistry;
use linegate::transport::mqtt::{Identities, IntakeSettings, MessageIntake, ModemRegistry, MqttListeners, start};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve-modems") => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(serve_modems());
        }
        first => compare(first.and_then(|text| text.parse().ok()).unwrap_or(10)),
    }
}

fn compare(seconds: u32) {
    let (mut gateway, address) = ours();
    load("linegate, appended and synced", &address, seconds, &gateway);
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    let (mut mosquitto, address) = mosquitto();
    load("mosquitto, in memory", &address, seconds, &mosquitto);
    mosquitto.kill().unwrap();
    mosquitto.wait().unwrap();
}

fn ours() -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("serve-modems")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (child, address.trim().to_owned())
}

fn mosquitto() -> (Child, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = std::env::temp_dir().join(format!("linegate-bench-mosquitto-{port}.conf"));
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
    );
    std::fs::write(&settings, text).unwrap();
    let child = Command::new("mosquitto").arg("-c").arg(&settings).stderr(Stdio::null()).spawn();
    let child = child.expect("mosquitto is installed by tests/run");
    std::thread::sleep(std::time::Duration::from_millis(500));
    std::fs::remove_file(settings).unwrap();
    (child, format!("127.0.0.1:{port}"))
}

fn load(name: &str, address: &str, seconds: u32, server: &Child) {
    println!("== {name}");
    let simulator = std::env::current_exe().unwrap().parent().unwrap().with_file_name("linegate-sim");
    let out = Command::new(&simulator)
        .args(["load", "mqtt", "--gateway", address, "--connections", "20", "--outstanding", "50"])
        .args(["--payload-bytes", "200", "--lines", "10000"])
        .args(["--seconds", &seconds.to_string(), "--server-pid", &server.id().to_string()])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: build linegate-simulators first", simulator.display()));
    println!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// Appends to a file: what came meanwhile goes out in one write and one sync.
#[derive(Clone)]
struct Append(Arc<(Mutex<Waiting>, Condvar)>);

type Waiting = Vec<(ChargeRequest, Reply)>;

impl Append {
    fn start() -> Self {
        let queue = Self(Arc::default());
        let (mut file, waiting) = (tempfile::tempfile().unwrap(), queue.clone());
        std::thread::spawn(move || {
            let mut out = Vec::new();
            loop {
                let mut taken = waiting.0.0.lock().unwrap();
                while taken.is_empty() {
                    taken = waiting.0.1.wait(taken).unwrap();
                }
                let batch = std::mem::take(&mut *taken);
                drop(taken);
                out.clear();
                for (request, _) in &batch {
                    writeln!(out, "{} {:?} {}", request.key, request.apn, request.ends.millis()).unwrap();
                }
                file.write_all(&out).unwrap();
                file.sync_data().unwrap();
                for (_, reply) in batch {
                    reply.to.reply(reply.tag, Ok(ChargeAnswer::bare(Outcome::Success)));
                }
            }
        });
        queue
    }
}

impl RequestIntake for Append {
    fn submit(&self, request: ChargeRequest, reply: Reply) {
        self.0.0.lock().unwrap().push((request, reply));
        self.0.1.notify_one();
    }

    fn suspend(&self, _record: UsageRecord, _reply: Reply) {}

    fn sessions_lost(&self, _peer: &str) {}
}

async fn serve_modems() {
    linegate::telemetry::start_logs(&Config::load(None, []).unwrap().log).ok();
    let config = Config::load(None, []).unwrap();
    let settings = config.mqtt;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("lines.sqlite").display());
    let store = Arc::new(SqliteStore::open(&url, config.relational.sqlite).await.unwrap());
    let states = DeviceStates::start(store.clone(), &DeviceStateSettings::default(), stop.clone(), &tasks);
    let registry = ModemRegistry::default();
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SeededIds::from_os()));
    let modems = Arc::new(registry.clone());
    let devices = Arc::new(DeviceRegistry::new(store.clone(), modems, clock.clone(), ids, settings.registry()));
    let told = IntakeSettings {
        gateway: "gateway".to_owned(),
        desired_expiry_s: 0,
        unreadable_per_minute_max: settings.unreadable_per_minute_max,
        receipts_per_message_max: config.broker.receipts_per_message_max,
    };
    let intake = MessageIntake::new(Arc::new(Append::start()), states, Arc::clone(&devices), clock, told);
    let listeners = MqttListeners { tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None };
    let identities = Identities::new(devices);
    println!("{}", start(listeners, settings, identities, registry.clone(), Arc::new(intake), stop, &tasks).unwrap());
    // Each line on standard input names devices, which get a new desired state.
    let mut commands = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    let mut version = 0;
    while let Ok(Some(command)) = commands.next_line().await {
        version += 1;
        let devices: Vec<DeviceId> = command.split(' ').map(DeviceId::new).collect();
        steer(&store, &devices, version).await;
        let began = Instant::now();
        for device in &devices {
            registry.desired_changed(device).await;
        }
        println!("handed {} over in {:?}", devices.len(), began.elapsed());
    }
    std::future::pending::<()>().await;
}

/// Stores one line for each device, to be active in this version.
async fn steer(store: &SqliteStore, devices: &[DeviceId], version: u64) {
    for some in devices.chunks(1000) {
        let lines = some.iter().map(|device| Write::Line(line(device, version)));
        store.save(lines.collect()).await.unwrap();
    }
}

fn line(device: &DeviceId, version: u64) -> Line {
    Line {
        id: LineId::new(device.as_str()),
        customer: "c".into(),
        account: "a".into(),
        profile: Profile {
            access: Access::Cellular,
            imsi: None,
            msisdn: None,
            device: Some(device.clone()),
            apns: vec!["iot.example".into()],
            plan: "iot-payg".into(),
            source: None,
            address: None,
            email: None,
            phone: None,
        },
        intended: LineState::Active,
        actual: LineState::Active,
        element: None,
        desired_version: version,
        last_order: None,
        queue: Vec::new(),
        reconnects: None,
        periods: Vec::new(),
        plans: Vec::new(),
        created: Timestamp(0),
        // the one that is stored: each save raises it by one, as the desired version rises
        version: version - 1,
    }
}
