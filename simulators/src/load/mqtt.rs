//! MQTT load: modems that publish usage at QoS 1, so many unacknowledged at
//! once. A unit is a PUBLISH; it may carry a batch of records.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use linegate_mqtt::client::{Client, ClientEvent, ConnectOptions};
use linegate_mqtt::payload::{Payload, Usage, UsageRecord};
use linegate_mqtt::topic::{DeviceId, TopicKind};
use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Bounds, Course, Pace, Summary, Tally, conduct};
use crate::lines::LineRange;
use crate::modem::ModemConfig;
use crate::roster::Roster;
use crate::transport::Stream;

/// Connections opened at once.
const OPENING_MAX: usize = 64;
/// How long CONNACK, and the last acknowledgements, may take.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How late a unit may start under a rate before it is shed.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What to load.
#[derive(Debug, Clone)]
pub struct MqttLoad {
    /// The modems; of their settings, those that concern the connection count.
    pub roster: Roster,
    /// How many. Default 100.
    pub connections: u64,
    /// Unacknowledged publishes of each, under what the gateway allows. Default 8.
    pub outstanding: usize,
    /// APN of the records.
    pub apn: String,
    /// Usage records in each publish. Default 1, which is sent by itself.
    pub records: u64,
    /// Octets of each record. Default 1000.
    pub octets: u64,
    /// Bytes of each payload, where it is shorter: spaces follow, so JSON alone.
    /// Default as it comes.
    pub payload_bytes: usize,
    /// When it stops.
    pub bounds: Bounds,
    /// The gateway's process, for its CPU time.
    pub server_pid: Option<u32>,
}

impl MqttLoad {
    /// The defaults with the devices of these lines.
    pub fn of_lines(lines: LineRange, gateway: std::net::SocketAddr) -> Self {
        Self {
            apn: lines.apn.clone(),
            roster: Roster::of_lines(lines, gateway),
            connections: 100,
            outstanding: 8,
            records: 1,
            octets: 1000,
            payload_bytes: 0,
            bounds: Bounds::default(),
            server_pid: None,
        }
    }
}

/// Runs it. Errors only where a connection cannot be opened at the start.
pub async fn run(config: MqttLoad) -> anyhow::Result<Summary> {
    if config.payload_bytes > 0 && config.roster.shared.content_type == ContentType::Cbor {
        bail!("pad payloads to {} bytes: CBOR takes no padding, use JSON", config.payload_bytes);
    }
    crate::open_files::allow(config.connections)?;
    let config = Arc::new(config);
    let mut opening = JoinSet::new();
    let mut opened = Vec::new();
    for n in 0..config.connections.max(1) {
        if opening.len() >= OPENING_MAX
            && let Some(one) = opening.join_next().await
        {
            opened.push(one.context("open connection")??);
        }
        let modem = config.roster.modem(n)?;
        opening.spawn(Link::open(Arc::clone(&config), modem));
    }
    while let Some(one) = opening.join_next().await {
        opened.push(one.context("open connection")??);
    }
    let course = Course::new(config.bounds);
    let tasks = opened.into_iter().map(|link| tokio::spawn(Publisher::new(link, Arc::clone(&course)).run())).collect();
    Ok(conduct("mqtt", course, config.server_pid, tasks).await)
}

/// A connection after its CONNACK.
struct Link {
    config: Arc<MqttLoad>,
    stream: Stream,
    client: Client,
    device: DeviceId,
    outstanding: usize,
}

impl Link {
    async fn open(config: Arc<MqttLoad>, modem: ModemConfig) -> anyhow::Result<Self> {
        let device = DeviceId::new(&modem.device).context("name device")?;
        let route = modem.route();
        let stream =
            timeout(LAST_WAIT, Stream::connect(&route)).await.context("no link in time")?.context("connect")?;
        let mut link =
            Self { client: Client::new(modem.version), outstanding: config.outstanding.max(1), config, stream, device };
        let options = ConnectOptions {
            username: Some(link.device.as_str().to_owned()),
            password: modem.token.map(Bytes::from),
            keep_alive_secs: 600,
            ..ConnectOptions::new(link.device.as_str())
        };
        link.client.connect(&options);
        let acked = timeout(LAST_WAIT, async {
            loop {
                link.flush().await?;
                link.receive().await?;
                if let Some(ClientEvent::ConnAck(acked)) = link.client.poll_event() {
                    return anyhow::Ok(acked);
                }
            }
        })
        .await
        .context("no CONNACK in time")??;
        if acked.reason.is_failure() {
            bail!("gateway refused modem {}: {}", link.device, acked.reason);
        }
        link.outstanding = link.outstanding.min(usize::from(acked.receive_max));
        Ok(link)
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let input = self.stream.read().await.context("read from gateway")?;
        if input.is_empty() {
            bail!("gateway closed the connection");
        }
        self.client.handle_input(input).context("read from gateway")
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let out = self.client.take_output();
        if out.is_empty() { Ok(()) } else { self.stream.write(&out).await.context("write to gateway") }
    }
}

/// With white space behind it, which JSON allows (RFC 8259 section 2).
fn padded(payload: Bytes, bytes: usize) -> Bytes {
    if payload.len() >= bytes {
        return payload;
    }
    let mut padded = BytesMut::with_capacity(bytes);
    padded.extend_from_slice(&payload);
    padded.resize(bytes, b' ');
    padded.freeze()
}

struct Publisher {
    link: Link,
    course: Arc<Course>,
    pace: Pace,
    topic: String,
    boot: u32,
    seq: u64,
    /// Packet id and due time, oldest first.
    in_flight: VecDeque<(u16, Instant)>,
    tally: Tally,
}

impl Publisher {
    fn new(link: Link, course: Arc<Course>) -> Self {
        Self {
            pace: Pace::new(link.config.bounds.rate, link.config.connections, course.began),
            topic: link.device.topic(TopicKind::Usage),
            // Another run is another boot, or its records were repeats.
            boot: crate::clock::unix_seconds(),
            seq: 0,
            in_flight: VecDeque::new(),
            tally: Tally::default(),
            link,
            course,
        }
    }

    async fn run(mut self) -> Tally {
        if let Err(error) = self.drive().await {
            tracing::warn!(device = %self.link.device, "mqtt load ended: {error:#}");
            self.tally.errors += 1;
        }
        self.tally.unanswered += self.in_flight.len() as u64;
        self.tally
    }

    async fn drive(&mut self) -> anyhow::Result<()> {
        let last = self.course.began + self.course.bounds.time_max + LAST_WAIT;
        loop {
            let now = crate::clock::now();
            self.fill(now);
            self.link.flush().await?;
            let over = self.course.is_over(now);
            if over && self.in_flight.is_empty() {
                self.link.client.disconnect(ReasonCode::SUCCESS);
                return self.link.flush().await;
            }
            let room = self.in_flight.len() < self.link.outstanding;
            let wake = self.pace.wake().filter(|_| room && !over).unwrap_or(last).min(last);
            tokio::select! {
                received = self.link.receive() => received?,
                () = tokio::time::sleep_until(wake.into()) => {
                    if crate::clock::now() >= last {
                        return Ok(());
                    }
                }
            }
            let now = crate::clock::now();
            while let Some(event) = self.link.client.poll_event() {
                self.take(event, now)?;
            }
        }
    }

    fn fill(&mut self, now: Instant) {
        self.tally.shed += self.pace.shed(now, LATE_MAX);
        while self.in_flight.len() < self.link.outstanding && !self.course.is_over(now) {
            let Some(due) = self.pace.due(now) else { return };
            if !self.course.start_one(now) {
                return;
            }
            let payload = self.payload();
            let modem = &self.link.config.roster.shared;
            let content_type = (modem.version == Version::V5).then_some(modem.content_type);
            let sent = self.link.client.publish(&self.topic, &payload, Qos::AtLeastOnce, false, content_type);
            if let Some(id) = sent {
                self.in_flight.push_back((id, due));
            }
        }
    }

    fn payload(&mut self) -> Bytes {
        let config = &self.link.config;
        let now = crate::clock::unix_ms();
        let mut next = || {
            self.seq += 1;
            UsageRecord {
                epoch: 1,
                boot: self.boot,
                seq: self.seq,
                start_ms: now - 1000,
                end_ms: now,
                apn: config.apn.clone(),
                rating_group: 1,
                octets_up: config.octets / 4,
                octets_down: config.octets - config.octets / 4,
                imei: None,
            }
        };
        let usage = match config.records {
            0 | 1 => Usage::One(next()),
            many => Usage::Batch((0..many).map(|_| next()).collect()),
        };
        padded(usage.encode(config.roster.shared.content_type), config.payload_bytes)
    }

    fn take(&mut self, event: ClientEvent, now: Instant) -> anyhow::Result<()> {
        match event {
            ClientEvent::PubAck { packet_id, reason } => {
                let Some(at) = self.in_flight.iter().position(|(id, _)| *id == packet_id) else { return Ok(()) };
                if let Some((_, due)) = self.in_flight.remove(at) {
                    let us = now.duration_since(due.min(now)).as_micros();
                    self.tally.latency.record(u64::try_from(us).unwrap_or(u64::MAX));
                }
                self.tally.answered += 1;
                self.course.answered(1);
                *self.tally.codes.entry(u32::from(reason.0)).or_default() += 1;
                Ok(())
            }
            ClientEvent::Disconnect(reason) => bail!("gateway disconnected: {reason}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_payload_has_its_size_and_reads_the_same() {
        let check = |bytes, expected| {
            let payload = padded(Usage::Batch(Vec::new()).encode(ContentType::Json), bytes);
            assert_eq!(payload.len(), expected);
            assert_eq!(Usage::decode(&payload, Some(ContentType::Json)).unwrap().records(), []);
        };
        check(0, 2);
        check(2, 2);
        check(200, 200);
    }
}
