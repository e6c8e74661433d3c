//! Mosquitto, modems as its own clients, our clients, and an intake whose
//! answers a test holds.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use linegate::adapters::broker::{self, BrokerModems, BrokerServices, BrokerSettings};
use linegate::adapters::system::{SeededIds, SystemClock};
use linegate::config::Config;
use linegate::domain::ids::DeviceId;
use linegate::domain::rating::request::{ChargeAnswer, Outcome};
use linegate::ports::intake::{ChargingError, Reply};
use linegate::ports::modem::{DesiredMessage, ModemIntake, ModemMessage, ModemTopic, Modems};
use linegate::ports::relational::Stored;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::{Running, free_port, wait_for};

/// Debian's broker on a free port, with its store in a folder of its own.
pub struct Mosquitto {
    running: Option<Running>,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Mosquitto {
    pub fn start(folder: &Path, more: &str) -> Self {
        let address = free_port();
        let folder = folder.join(format!("mosquitto-{}", address.port()));
        fs::create_dir(&folder).unwrap();
        let text = format!(
            "per_listener_settings false\nuser root\nallow_anonymous true\npersistence true\n\
             persistence_location {}/\nlog_type all\nlistener {} 127.0.0.1\n{more}\n",
            folder.display(),
            address.port()
        );
        fs::write(folder.join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { running: None, address, folder };
        broker.run();
        broker
    }

    fn run(&mut self) {
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.folder.join("mosquitto.conf"));
        self.running = Some(Running::start("mosquitto", &mut command, &self.folder.join("log")));
        let listens = || std::net::TcpStream::connect(self.address).is_ok();
        wait_for("mosquitto", Duration::from_secs(5), listens, || self.log());
    }

    /// Ends it; it writes down what it holds.
    pub fn stop(&mut self) {
        assert_eq!(self.running.take().unwrap().terminate(), Some(0), "{}", self.log());
    }

    /// Ends it and starts it again with what it held.
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Starts it again after [`Mosquitto::stop`].
    pub fn resume(&mut self) {
        self.run();
    }

    /// Kills it and starts it again with nothing.
    pub fn crash_and_forget(&mut self) {
        self.running.take().unwrap().kill();
        let _none_yet = fs::remove_file(self.folder.join("mosquitto.db"));
        self.run();
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    pub fn log(&self) -> String {
        crate::support::tail(&self.folder.join("log"))
    }

    /// One of mosquitto's own clients.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "mqttv5", "-h", "127.0.0.1", "-p", &self.address.port().to_string(), "-q", "1"]);
        command
    }

    /// A modem publishes; the broker has acknowledged it.
    pub fn publish(&self, topic: &str, payload: &str) {
        let sent = self.client("mosquitto_pub").args(["-t", topic, "-m", payload]).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    /// A modem publishes lines, one message each, over one connection.
    pub fn publish_lines(&self, topic: &str, lines: &[String]) {
        let file = self.folder.join("lines");
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        let input = fs::File::open(file).unwrap();
        let sent = self.client("mosquitto_pub").args(["-t", topic, "-l"]).stdin(input).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }
}

/// `mosquitto_sub` as a modem; each message is a line of a file.
pub struct Subscriber {
    _running: Running,
    file: PathBuf,
}

impl Subscriber {
    pub fn start(broker: &Mosquitto, folder: &Path, name: &str, topics: &[&str]) -> Self {
        let file = folder.join(format!("{name}.messages"));
        let mut command = broker.client("mosquitto_sub");
        // Topic, expiry, payload.
        command.args(["-i", name, "-F", "%t %E %p"]);
        for topic in topics {
            command.args(["-t", topic]);
        }
        let running = Running::start("mosquitto_sub", &mut command, &file);
        let subscribed = || broker.log().contains(&format!("Sending SUBACK to {name}"));
        wait_for("the subscription", Duration::from_secs(5), subscribed, || broker.log());
        Self { _running: running, file }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// Messages on a topic of this kind with `part` in them.
    pub fn count(&self, kind: &str, part: &str) -> usize {
        let of_kind = |line: &&str| line.split(' ').next().is_some_and(|topic| topic.ends_with(kind));
        self.text().lines().filter(of_kind).filter(|line| line.contains(part)).count()
    }

    pub fn saw(&self, kind: &str, part: &str) -> bool {
        self.count(kind, part) > 0
    }
}

/// What an intake does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answers,
    Holds,
    Fails,
}

/// An intake whose answers a test holds. Its receipt for usage is the payload.
pub struct Desk {
    manner: Mutex<Manner>,
    taken: Mutex<Vec<(ModemMessage, Option<Reply>)>>,
    desired: Mutex<Option<DesiredMessage>>,
}

impl Desk {
    pub fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { manner: Mutex::new(manner), taken: Mutex::default(), desired: Mutex::default() })
    }

    pub fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn set_desired(&self, version: u64, payload: &str) {
        let expires = linegate::ports::Clock::now(&SystemClock).plus(Duration::from_secs(1000));
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        *self.desired.lock().unwrap() = Some(DesiredMessage { version, expires: Some(expires), payload });
    }

    /// Payloads in the order that they came in.
    pub fn payloads(&self) -> Vec<String> {
        let text = |(message, _): &(ModemMessage, _)| String::from_utf8_lossy(&message.payload).into_owned();
        self.taken.lock().unwrap().iter().map(text).collect()
    }

    /// Answers the message at a place, if it was held.
    pub fn answer(&self, place: usize) {
        let reply = self.taken.lock().unwrap()[place].1.take();
        if let Some(reply) = reply {
            success(&reply);
        }
    }

    /// Answers everything that was held.
    pub fn answer_all(&self) {
        for place in 0..self.payloads().len() {
            self.answer(place);
        }
    }
}

fn success(reply: &Reply) {
    reply.to.reply(reply.tag, Ok(ChargeAnswer::bare(Outcome::Success)));
}

#[async_trait]
impl ModemIntake for Desk {
    fn take(&self, message: ModemMessage, reply: Reply) {
        let mut taken = self.taken.lock().unwrap();
        let manner = *self.manner.lock().unwrap();
        taken.push((message, (manner == Manner::Holds).then(|| reply.clone())));
        drop(taken);
        match manner {
            Manner::Answers => success(&reply),
            Manner::Fails => reply.to.reply(reply.tag, Err(ChargingError::Overloaded)),
            Manner::Holds => {}
        }
    }

    fn receipts(&self, message: &ModemMessage) -> Vec<Bytes> {
        assert_eq!(message.topic, ModemTopic::Usage);
        vec![message.payload.clone()]
    }

    async fn came(&self, _device: &DeviceId) -> Stored<Option<DesiredMessage>> {
        Ok(None)
    }

    async fn went(&self, _device: &DeviceId) -> Stored<()> {
        Ok(())
    }

    async fn recorded(&self, _after: Option<&DeviceId>, _limit: u64) -> Stored<Vec<DeviceId>> {
        Ok(Vec::new())
    }

    async fn behind(&self, _after: Option<&DeviceId>, _limit: u64) -> Stored<Vec<DeviceId>> {
        Ok(Vec::new())
    }

    async fn desired(&self, _device: &DeviceId) -> Stored<Option<DesiredMessage>> {
        Ok(self.desired.lock().unwrap().clone())
    }
}

/// Our clients to a broker, in a runtime of their own, over a [`Desk`].
pub struct Node {
    runtime: Runtime,
    stop: CancellationToken,
    tasks: TaskTracker,
    modems: BrokerModems,
}

/// The default settings of `[broker]` with some changed.
pub fn settings(url: &str, changed: &[(&str, &str)]) -> BrokerSettings {
    let quick = [("URL", url), ("REPLICA", "one"), ("RECONNECT_MIN_MS", "50"), ("RECONNECT_MAX_MS", "200")];
    let name = |(key, value): &(&str, &str)| (format!("LINEGATE__BROKER__{key}"), (*value).to_owned());
    // By name, so that a later one stands.
    let all: std::collections::BTreeMap<_, _> = quick.iter().chain(changed).map(name).collect();
    Config::load(None, all).unwrap().broker
}

impl Node {
    pub fn start(url: &str, desk: &Arc<Desk>, changed: &[(&str, &str)]) -> Self {
        linegate::app::install_tls();
        let settings = settings(url, changed);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let modems = BrokerModems::new(settings.outgoing_max);
        let services = BrokerServices {
            intake: Arc::clone(desk) as _,
            modems: modems.clone(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SeededIds::from_seed(1)),
        };
        let within = runtime.enter();
        broker::start(settings, services, stop.clone(), &tasks).unwrap();
        drop(within);
        Self { runtime, stop, tasks, modems }
    }

    /// As [`Node::start`], and waits until the broker has its subscriptions.
    pub fn join(broker: &Mosquitto, desk: &Arc<Desk>, changed: &[(&str, &str)]) -> Self {
        let replica = changed.iter().find(|(key, _)| *key == "REPLICA").map_or("one", |(_, replica)| *replica);
        let node = Self::start(&broker.url(), desk, changed);
        node.wait_joined(broker, replica);
        node
    }

    pub fn wait_joined(&self, broker: &Mosquitto, replica: &str) {
        let joined = || {
            let log = broker.log();
            ["usage", "states"].iter().all(|role| log.contains(&format!("SUBACK to linegate-{replica}-{role}")))
        };
        wait_for("the subscriptions", Duration::from_secs(5), joined, || broker.log());
    }

    pub fn desired_changed(&self, device: &str) {
        self.runtime.block_on(self.modems.desired_changed(&device.into()));
    }

    /// Takes leave, as a shutdown does.
    pub fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        let left = async { tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await };
        assert!(self.runtime.block_on(left).is_ok(), "the clients did not end");
    }

    /// Ends it without a word.
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}
