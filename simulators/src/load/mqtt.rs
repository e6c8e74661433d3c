//! MQTT load: modems that publish usage at QoS 1, so many unacknowledged at
//! once. A unit is a PUBLISH; it may carry a batch of records.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use linegate_mqtt::client::{Client, ClientEvent, ConnectOptions};
use linegate_mqtt::payload::{Payload, Usage, UsageRecord};
use linegate_mqtt::topic::{DeviceId, TopicKind};
use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Bounds, Course, Pace, Summary, Tally, conduct};
use crate::lines::LineRange;

/// Connections opened at once.
const OPENING_MAX: usize = 64;
/// How long CONNACK, and the last acknowledgements, may take.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How late a unit may start under a rate before it is shed.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What to load.
#[derive(Debug, Clone)]
pub struct MqttLoad {
    /// The gateway's MQTT listener.
    pub gateway: SocketAddr,
    /// Modems. Default 100.
    pub connections: u64,
    /// Unacknowledged publishes of each, under what the gateway allows. Default 8.
    pub outstanding: usize,
    /// The modems' lines; modem n is the device of line n.
    pub lines: LineRange,
    /// MQTT version.
    pub version: Version,
    /// How payloads are written.
    pub content_type: ContentType,
    /// Usage records in each publish. Default 1, which is sent by itself.
    pub records: u64,
    /// Octets of each record. Default 1000.
    pub octets: u64,
    /// Password of every modem.
    pub token: Option<String>,
    /// When it stops.
    pub bounds: Bounds,
    /// The gateway's process, for its CPU time.
    pub server_pid: Option<u32>,
}

impl MqttLoad {
    /// The defaults on a gateway.
    pub fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            connections: 100,
            outstanding: 8,
            lines: LineRange::default(),
            version: Version::V5,
            content_type: ContentType::Json,
            records: 1,
            octets: 1000,
            token: None,
            bounds: Bounds::default(),
            server_pid: None,
        }
    }
}

/// Runs it. Errors only where a connection cannot be opened at the start.
pub async fn run(config: MqttLoad) -> anyhow::Result<Summary> {
    let config = Arc::new(config);
    let mut opening = JoinSet::new();
    let mut opened = Vec::new();
    for n in 0..config.connections.max(1) {
        if opening.len() >= OPENING_MAX
            && let Some(one) = opening.join_next().await
        {
            opened.push(one.context("open connection")??);
        }
        opening.spawn(Link::open(Arc::clone(&config), n));
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
    stream: TcpStream,
    client: Client,
    device: DeviceId,
    outstanding: usize,
}

impl Link {
    async fn open(config: Arc<MqttLoad>, n: u64) -> anyhow::Result<Self> {
        let device = DeviceId::new(&config.lines.device(n % config.lines.lines.max(1))).context("name device")?;
        let stream = timeout(LAST_WAIT, TcpStream::connect(config.gateway)).await.context("connect")??;
        stream.set_nodelay(true)?;
        let mut link = Self {
            client: Client::new(config.version),
            outstanding: config.outstanding.max(1),
            config,
            stream,
            device,
        };
        let options = ConnectOptions {
            username: Some(link.device.as_str().to_owned()),
            password: link.config.token.as_ref().map(|token| Bytes::copy_from_slice(token.as_bytes())),
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
        let mut input = BytesMut::with_capacity(8 << 10);
        if self.stream.read_buf(&mut input).await.context("read from gateway")? == 0 {
            bail!("gateway closed the connection");
        }
        self.client.handle_input(input.freeze()).context("read from gateway")
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let out = self.client.take_output();
        if out.is_empty() { Ok(()) } else { self.stream.write_all(&out).await.context("write to gateway") }
    }
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
            let config = &self.link.config;
            let content_type = (config.version == Version::V5).then_some(config.content_type);
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
                apn: config.lines.apn.clone(),
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
        usage.encode(config.content_type)
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
