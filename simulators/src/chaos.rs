//! Connections to the MQTT listener that break the rules, each in its own way,
//! and how the gateway ended them: with what words, after how long.
//!
//! Owns no expectation: whoever starts it knows what the gateway should do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use linegate_mqtt::client::{Client, ClientEvent, ConnectOptions};
use linegate_mqtt::topic::{DeviceId, TopicKind};
use linegate_mqtt::{Qos, Version};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant as Deadline, sleep, timeout, timeout_at};

use crate::modem::ModemConfig;
use crate::roster::Roster;
use crate::transport::Stream;

/// How long the link may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Between two octets of a slow loris.
const DRIP_EVERY: Duration = Duration::from_secs(1);
/// CONNECT with the largest remaining length there is, 268,435,455 (MQTT 5.0 section 1.5.5).
const HUGE_HEADER: [u8; 5] = [0x10, 0xff, 0xff, 0xff, 0x7f];
/// What the system keeps of answers that nobody takes.
const SMALL_BUFFER_BYTES: u32 = 4096;
/// Requests written at once by one who never reads.
const REQUESTS_AT_ONCE: usize = 64;
/// Octets written at once.
const CHUNK_BYTES: usize = 4096;
/// Between two chunks of garbage or of a huge packet: a connection that is let
/// live costs the machine little.
const CHUNK_EVERY: Duration = Duration::from_millis(10);

/// What a connection does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChaosKind {
    /// A good CONNECT, an octet a second.
    Slowloris,
    /// Connects, TCP alone, and says nothing.
    HalfOpen,
    /// A CONNECT that announces 256 MB, and goes on with it.
    HugeHeader,
    /// A good modem that asks without end and takes no answer.
    NeverReads,
    /// Random octets.
    Garbage,
}

/// What to open.
#[derive(Debug, Clone)]
pub struct ChaosConfig {
    /// Who connects; of the modems' settings those of the connection count, and
    /// the seed, of the garbage.
    pub roster: Roster,
    /// What they do.
    pub kind: ChaosKind,
    /// How many, all at once.
    pub count: u64,
    /// How long each goes on where it is let.
    pub time_max: Duration,
}

/// How one connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// The connection, from 0.
    pub number: u64,
    /// `still open`, `closed`, `reset`, `no link: …`, or what the gateway said
    /// before: `CONNACK 0x81, closed`.
    pub ending: String,
    /// After how long, milliseconds from the attempt to connect.
    pub after_ms: u64,
    /// Octets sent by then, as far as the system took them.
    pub sent_bytes: u64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChaosSummary {
    /// Always `chaos`.
    pub kind: &'static str,
    /// Of the garbage, to have it again.
    pub seed: u64,
    /// How often each ending came.
    pub endings: BTreeMap<String, u64>,
    /// The earliest end, milliseconds; none where all are still open.
    pub first_ms: Option<u64>,
    /// The latest end, milliseconds.
    pub last_ms: Option<u64>,
    /// Each connection.
    pub connections: Vec<Ending>,
}

/// How a connection that is still open is called.
const STILL_OPEN: &str = "still open";

/// Opens them, and waits until all have ended or their time is over.
///
/// # Errors
/// Where a modem has no settings, or the machine does not allow so many.
pub async fn run(config: ChaosConfig) -> anyhow::Result<ChaosSummary> {
    crate::open_files::allow(config.count)?;
    let mut tasks = JoinSet::new();
    for number in 0..config.count {
        let modem = config.roster.modem(number)?;
        tasks.spawn(one(number, modem, config.kind, config.time_max));
    }
    let mut connections = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        connections.push(ended.context("chaos task")?);
    }
    connections.sort_by_key(|ending| ending.number);
    Ok(summed(config.roster.shared.seed, connections))
}

fn summed(seed: u64, connections: Vec<Ending>) -> ChaosSummary {
    let mut endings = BTreeMap::new();
    for ending in &connections {
        *endings.entry(ending.ending.clone()).or_default() += 1;
    }
    let ended = || connections.iter().filter(|ending| ending.ending != STILL_OPEN).map(|ending| ending.after_ms);
    ChaosSummary { kind: "chaos", seed, endings, first_ms: ended().min(), last_ms: ended().max(), connections }
}

async fn one(number: u64, modem: ModemConfig, kind: ChaosKind, time_max: Duration) -> Ending {
    let begun = crate::clock::now();
    let mut route = modem.route();
    match kind {
        ChaosKind::HalfOpen => route.tls = None,
        // Answers shall fill the gateway's side, not the system's.
        ChaosKind::NeverReads => route.receive_buffer = Some(SMALL_BUFFER_BYTES),
        ChaosKind::Slowloris | ChaosKind::HugeHeader | ChaosKind::Garbage => {}
    }
    let (ending, sent_bytes) = match timeout(CONNECT_WAIT, Stream::connect(&route)).await {
        Err(_) => (format!("no link: nothing within {CONNECT_WAIT:?}"), 0),
        Ok(Err(error)) => (format!("no link: {error}"), 0),
        Ok(Ok(stream)) => {
            let mut hostile = Hostile { stream, said: Said::new(modem.version), sent: 0, until: begun + time_max };
            let ending = hostile.play(kind, &modem).await;
            (ending, hostile.sent)
        }
    };
    let after_ms = u64::try_from(crate::clock::now().duration_since(begun).as_millis()).unwrap_or(u64::MAX);
    Ending { number, ending, after_ms, sent_bytes }
}

/// One connection that breaks the rules.
struct Hostile {
    stream: Stream,
    said: Said,
    sent: u64,
    until: Instant,
}

impl Hostile {
    async fn play(&mut self, kind: ChaosKind, modem: &ModemConfig) -> String {
        let until = Deadline::from_std(self.until);
        let outcome = match kind {
            ChaosKind::NeverReads => timeout_at(until, self.never_read(modem)).await,
            ChaosKind::Slowloris => {
                let octets = connect(modem, &mut Client::new(modem.version));
                let drops = octets.chunks(1).map(Bytes::copy_from_slice);
                timeout_at(until, self.speak(drops, DRIP_EVERY)).await
            }
            ChaosKind::HalfOpen => timeout_at(until, self.speak(std::iter::empty(), CHUNK_EVERY)).await,
            ChaosKind::HugeHeader => {
                let body = std::iter::repeat(Bytes::from_static(&[0; CHUNK_BYTES]));
                let octets = std::iter::once(Bytes::from_static(&HUGE_HEADER)).chain(body);
                timeout_at(until, self.speak(octets, CHUNK_EVERY)).await
            }
            ChaosKind::Garbage => {
                let mut random = StdRng::seed_from_u64(modem.seed);
                let octets = std::iter::repeat_with(|| {
                    let mut octets = [0; CHUNK_BYTES];
                    random.fill_bytes(&mut octets);
                    Bytes::copy_from_slice(&octets)
                });
                timeout_at(until, self.speak(octets, CHUNK_EVERY)).await
            }
        };
        let end = outcome.unwrap_or_else(|_| STILL_OPEN.to_owned());
        self.said.before(&end)
    }

    /// Sends piece after piece, and listens until the end.
    async fn speak(&mut self, pieces: impl Iterator<Item = Bytes>, every: Duration) -> String {
        let mut pieces = pieces;
        let mut piece = pieces.next();
        loop {
            let read = match &piece {
                None => Some(self.stream.read().await),
                Some(_) => tokio::select! {
                    biased;
                    read = self.stream.read() => Some(read),
                    () = sleep(every) => None,
                },
            };
            match read {
                Some(Ok(bytes)) if bytes.is_empty() => return "closed".into(),
                Some(Ok(bytes)) => self.said.take(bytes),
                Some(Err(error)) => return cut(&error),
                None => {
                    if let Some(bytes) = piece {
                        match self.stream.write(&bytes).await {
                            Ok(()) => self.sent += bytes.len() as u64,
                            Err(error) => return self.last_words(&error).await,
                        }
                    }
                    piece = pieces.next();
                }
            }
        }
    }

    /// Writes without reading, until that fails. Each request has an answer, so
    /// the gateway's side fills up.
    async fn never_read(&mut self, modem: &ModemConfig) -> String {
        let mut client = Client::new(modem.version);
        let mut next = connect(modem, &mut client);
        let desired = DeviceId::new(&modem.device).map(|device| device.topic(TopicKind::Desired)).unwrap_or_default();
        loop {
            match self.stream.write(&next).await {
                Ok(()) => self.sent += next.len() as u64,
                Err(error) => return self.last_words(&error).await,
            }
            for _ in 0..REQUESTS_AT_ONCE {
                client.subscribe(&[(desired.as_str(), Qos::AtLeastOnce)]);
                client.ping();
            }
            next = client.take_output();
        }
    }

    /// What still waits to be read when writing failed.
    async fn last_words(&mut self, error: &std::io::Error) -> String {
        while let Ok(Ok(bytes)) = timeout(Duration::from_millis(100), self.stream.read()).await {
            if bytes.is_empty() {
                return "closed".into();
            }
            self.said.take(bytes);
        }
        cut(error)
    }
}

fn connect(modem: &ModemConfig, client: &mut Client) -> Bytes {
    client.connect(&ConnectOptions {
        username: Some(modem.device.clone()),
        password: modem.token.clone().map(Bytes::from),
        keep_alive_secs: modem.keep_alive_secs,
        ..ConnectOptions::new(&modem.device)
    });
    client.take_output()
}

fn cut(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => "reset".into(),
        // TLS without close_notify.
        std::io::ErrorKind::UnexpectedEof => "closed".into(),
        _ => error.to_string(),
    }
}

/// The last thing of weight that the gateway said.
struct Said {
    reader: Client,
    words: Option<String>,
}

impl Said {
    fn new(version: Version) -> Self {
        Self { reader: Client::new(version), words: None }
    }

    fn take(&mut self, bytes: Bytes) {
        if let Err(error) = self.reader.handle_input(bytes) {
            self.words = Some(error.to_string());
        }
        while let Some(event) = self.reader.poll_event() {
            match event {
                ClientEvent::ConnAck(acked) => self.words = Some(format!("CONNACK {:#04x}", acked.reason.0)),
                ClientEvent::Disconnect(reason) => self.words = Some(format!("DISCONNECT {:#04x}", reason.0)),
                _ => {}
            }
        }
    }

    fn before(&self, end: &str) -> String {
        match &self.words {
            Some(words) if end != STILL_OPEN => format!("{words}, {end}"),
            _ => end.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_said_stands_before_how_it_ended() {
        let check = |input: &'static [u8], end, expected| {
            let mut said = Said::new(Version::V5);
            said.take(Bytes::from_static(input));
            assert_eq!(said.before(end), expected);
        };
        check(&[], "closed", "closed");
        check(&[0x20, 3, 0, 0x81, 0], "closed", "CONNACK 0x81, closed");
        check(&[0x20, 3, 0, 0, 0, 0xe0, 1, 0x8d], "reset", "DISCONNECT 0x8d, reset");
        check(&[0x20, 3, 0, 0, 0], STILL_OPEN, STILL_OPEN);
    }

    #[test]
    fn endings_are_counted_and_timed() {
        let ending = |number, ending: &str, after_ms| Ending { number, ending: ending.into(), after_ms, sent_bytes: 1 };
        let summary = summed(7, vec![ending(0, "closed", 5), ending(1, STILL_OPEN, 99), ending(2, "closed", 7)]);
        assert_eq!(summary.endings, BTreeMap::from([("closed".into(), 2), (STILL_OPEN.into(), 1)]));
        assert_eq!((summary.first_ms, summary.last_ms), (Some(5), Some(7)));
    }
}
