//! One modem's connection: its socket, its machine, and the usage that waits
//! for the commit.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use linegate_mqtt::ContentType;
use linegate_mqtt::payload::{self, Payload};
use linegate_mqtt::session::{
    ConnackOptions, Connect, Connection, Disconnected, Event, Input, Outgoing, Publish, Will,
};
use linegate_mqtt::topic::TopicKind;
use linegate_mqtt::{Qos, ReasonCode};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span, trace};

use super::Server;
use super::registry::{Bells, Place};
use super::usage;
use crate::adapters::system::SystemClock;
use crate::domain::ids::DeviceId;
use crate::domain::line::LineState;
use crate::domain::rating::request::ChargeAnswer;
use crate::services::charging::{ChargingError, Replies, Reply, RequestIntake};
use crate::telemetry::metrics;

/// Bytes read at once; the buffer lives only while a read is worked on, so an
/// idle modem costs none.
const READ_BYTES: usize = 8 << 10;

type Charged = (u64, Result<ChargeAnswer, ChargingError>);

pub async fn serve(stream: TcpStream, peer: SocketAddr, server: Arc<Server>, place: Place, stop: CancellationToken) {
    let span = info_span!("modem", %peer);
    let bells = Bells::new();
    let (reply_to, replies) = mpsc::unbounded_channel();
    let machine = Connection::new(Arc::clone(&server.limits), SystemClock::instant());
    let mut modem = Modem {
        server,
        peer,
        stream,
        machine,
        bells: bells.clone(),
        reply_to: Arc::new(reply_to),
        device: None,
        waiting: VecDeque::new(),
        first_waiting: 0,
        records_outstanding: 0,
        _place: place,
    };
    modem.run(bells, replies, stop).instrument(span).await;
}

struct Modem {
    server: Arc<Server>,
    peer: SocketAddr,
    stream: TcpStream,
    machine: Connection,
    bells: Bells,
    reply_to: Arc<dyn Replies>,
    device: Option<Known>,
    /// Usage publishes not yet acknowledged, oldest first; the tag of a charge
    /// is `first_waiting` plus the index in here.
    waiting: VecDeque<Waiting>,
    first_waiting: u64,
    records_outstanding: usize,
    _place: Place,
}

#[derive(Clone)]
struct Known {
    id: DeviceId,
    generation: u64,
}

struct Waiting {
    packet_id: Option<NonZeroU16>,
    records_left: usize,
}

impl Modem {
    async fn run(&mut self, bells: Bells, mut replies: mpsc::UnboundedReceiver<Charged>, stop: CancellationToken) {
        let mut stopping = false;
        loop {
            while let Some(event) = self.machine.poll_event() {
                self.handle(event).await;
            }
            if self.flush().is_err() {
                self.machine.handle_input(Input::Closed, SystemClock::instant());
            }
            if self.machine.wants_close() && (self.machine.output().is_empty() || self.device.is_none()) {
                while let Some(event) = self.machine.poll_event() {
                    self.handle(event).await;
                }
                self.linger().await;
                return;
            }
            let may_read =
                self.machine.wants_read() && self.records_outstanding < self.server.settings.records_outstanding_max;
            let must_write = !self.machine.output().is_empty();
            let deadline = self.machine.poll_timeout();
            tokio::select! {
                biased;
                Some(charged) = replies.recv() => {
                    self.charged(charged);
                    while let Ok(charged) = replies.try_recv() {
                        self.charged(charged);
                    }
                }
                () = bells.taken_over.cancelled(), if self.device.is_some() => {
                    self.machine.disconnect(ReasonCode::SESSION_TAKEN_OVER, SystemClock::instant());
                }
                () = bells.expelled.cancelled(), if self.device.is_some() => {
                    self.machine.disconnect(ReasonCode::ADMINISTRATIVE_ACTION, SystemClock::instant());
                }
                () = bells.desired.notified() => self.send_desired(false).await,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    if self.waiting.is_empty() {
                        self.machine.disconnect(ReasonCode::SERVER_SHUTTING_DOWN, SystemClock::instant());
                    }
                }
                ready = self.stream.writable(), if must_write => {
                    if ready.is_err() {
                        self.machine.handle_input(Input::Closed, SystemClock::instant());
                    }
                }
                ready = self.stream.readable(), if may_read && !stopping => self.read(ready),
                () = sleep_until(deadline) => self.machine.handle_timeout(SystemClock::instant()),
            }
            if stopping && self.waiting.is_empty() {
                self.machine.disconnect(ReasonCode::SERVER_SHUTTING_DOWN, SystemClock::instant());
            }
        }
    }

    fn read(&mut self, ready: io::Result<()>) {
        let now = SystemClock::instant();
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        match ready.and_then(|()| self.stream.try_read_buf(&mut buffer)) {
            Ok(0) => self.machine.handle_input(Input::Closed, now),
            Ok(_) => self.machine.handle_input(Input::Bytes(buffer.freeze()), now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.machine.handle_input(Input::Closed, now),
        }
    }

    /// Writes what the socket takes at this moment.
    fn flush(&mut self) -> io::Result<()> {
        while !self.machine.output().is_empty() {
            match self.stream.try_write(self.machine.output()) {
                Ok(written) => self.machine.output_written(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives the last packet (a reason code) a moment to leave before the close.
    async fn linger(&mut self) {
        let patience = Duration::from_millis(500);
        let _late = tokio::time::timeout(patience, async {
            while !self.machine.output().is_empty() {
                if self.stream.writable().await.is_err() || self.flush().is_err() {
                    return;
                }
            }
        })
        .await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Connect(connect) => self.connect(*connect).await,
            Event::Publish(publish) => self.publish(publish).await,
            Event::PublishRefused { topic, reason } => {
                metrics().mqtt_publishes.with_label_values(&["other", "refused"]).inc();
                debug!(topic, reason = reason.name(), "refused a publish");
            }
            Event::Subscribed(granted) => {
                if granted.iter().any(|s| s.access.delivers(TopicKind::Desired) && s.wants_retained) {
                    self.send_desired(true).await;
                }
            }
            Event::PubAck { token, reason } => trace!(version = token, reason = reason.name(), "desired state taken"),
            Event::Disconnected(end) => self.disconnected(*end).await,
        }
    }

    async fn connect(&mut self, connect: Connect) {
        let now = SystemClock::instant();
        let device = match self.server.identities.identify(&connect, None, self.peer).await {
            Ok(device) => device,
            Err(reason) => {
                metrics().mqtt_refused.with_label_values(&[reason.name()]).inc();
                debug!(reason = reason.name(), "refused a modem");
                return self.machine.refuse(reason, now);
            }
        };
        let id = DeviceId::new(device.as_str());
        let (generation, kept) = self.server.registry.take_over(&id, self.bells.clone(), now);
        self.device = Some(Known { id: id.clone(), generation });
        let options = ConnackOptions {
            assigned_client_id: connect.client_id.is_empty().then(|| device.as_str().to_owned()),
            session: kept,
            ..ConnackOptions::new(device)
        };
        if let Err(reason) = self.machine.accept(options, now) {
            debug!(reason = reason.name(), "refused a modem at its will or size limit");
            return;
        }
        self.presence(&id, true).await;
        // A session that goes on has its subscription already, and may have slept
        // through changes.
        if self.machine.subscriptions().iter().any(|s| s.access.delivers(TopicKind::Desired)) {
            self.send_desired(false).await;
        }
    }

    async fn presence(&self, device: &DeviceId, online: bool) {
        let at = self.server.services.clock.now();
        if let Err(error) = self.server.services.devices.presence(device, online, at).await {
            debug!(%error, "keep a modem's presence");
        }
    }

    async fn publish(&mut self, publish: Publish) {
        let Some(known) = self.device.clone() else { return };
        let outcome = match publish.kind {
            TopicKind::Usage => return self.usage(&known.id, publish).await,
            TopicKind::Reported => self.reported(&known.id, &publish).await,
            TopicKind::Status => self.status(&known.id, &publish).await,
            TopicKind::Desired | TopicKind::Receipt => "refused",
        };
        metrics().mqtt_publishes.with_label_values(&[publish.kind.as_str(), outcome]).inc();
        if let Some(packet_id) = publish.packet_id {
            self.machine.ack(packet_id, ReasonCode::SUCCESS, SystemClock::instant());
        }
    }

    async fn reported(&self, device: &DeviceId, publish: &Publish) -> &'static str {
        let reported = match payload::Reported::decode(&publish.payload, publish.content_type) {
            Ok(reported) => reported,
            Err(error) => {
                debug!(%error, "unreadable reported state");
                return "unreadable";
            }
        };
        let state = match reported.state {
            payload::LineState::Active => LineState::Active,
            payload::LineState::Suspended => LineState::Suspended,
            payload::LineState::Terminated => LineState::Terminated,
        };
        let at = self.server.services.clock.now();
        match self.server.services.devices.reported(device, reported.version, state, at).await {
            Ok(_) => "taken",
            Err(error) => {
                debug!(%error, "keep a modem's reported state");
                "failed"
            }
        }
    }

    async fn status(&self, device: &DeviceId, publish: &Publish) -> &'static str {
        match payload::Status::decode(&publish.payload, publish.content_type) {
            Ok(status) => {
                self.presence(device, status.state == payload::Presence::Online).await;
                "taken"
            }
            Err(error) => {
                debug!(%error, "unreadable status");
                "unreadable"
            }
        }
    }

    /// Hands each record to its shard; the PUBACK follows when all are durable.
    async fn usage(&mut self, device: &DeviceId, publish: Publish) {
        let received = self.server.services.clock.now();
        let records = match payload::Usage::decode(&publish.payload, publish.content_type) {
            Ok(records) => records,
            Err(error) => return self.unreadable_usage(device, &publish, &error.to_string()).await,
        };
        let records = records.records();
        metrics().mqtt_publishes.with_label_values(&["usage", "taken"]).inc();
        let tag = self.first_waiting + self.waiting.len() as u64;
        self.waiting.push_back(Waiting { packet_id: publish.packet_id, records_left: records.len() });
        self.records_outstanding += records.len();
        for record in records {
            let request = usage::from_modem(device, record, received);
            self.server.services.charging.submit(request, Reply { tag, to: Arc::clone(&self.reply_to) });
        }
        self.acknowledge();
    }

    async fn unreadable_usage(&mut self, device: &DeviceId, publish: &Publish, reason: &str) {
        metrics().mqtt_publishes.with_label_values(&["usage", "unreadable"]).inc();
        let record = usage::unreadable_from_modem(device, &publish.payload, reason, self.server.services.clock.now());
        match self.server.services.charging.suspend_record(record).await {
            // Acknowledged, or the modem would send it for ever; in order, behind what waits.
            Ok(()) => {
                self.waiting.push_back(Waiting { packet_id: publish.packet_id, records_left: 0 });
                self.acknowledge();
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn charged(&mut self, (tag, result): Charged) {
        self.records_outstanding = self.records_outstanding.saturating_sub(1);
        if let Err(error) = result {
            return self.give_up(&error);
        }
        let index = usize::try_from(tag - self.first_waiting).unwrap_or(usize::MAX);
        if let Some(waiting) = self.waiting.get_mut(index) {
            waiting.records_left = waiting.records_left.saturating_sub(1);
        }
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        while self.waiting.front().is_some_and(|w| w.records_left == 0) {
            let Some(done) = self.waiting.pop_front() else { return };
            self.first_waiting += 1;
            if let Some(packet_id) = done.packet_id {
                self.machine.ack(packet_id, ReasonCode::SUCCESS, SystemClock::instant());
            }
        }
    }

    /// Nothing more can be made durable: the connection ends without the
    /// PUBACK, and the modem sends again.
    fn give_up(&mut self, error: &ChargingError) {
        let reason = match error {
            ChargingError::Stopping => ReasonCode::SERVER_SHUTTING_DOWN,
            _ => ReasonCode::SERVER_BUSY,
        };
        metrics().mqtt_refused.with_label_values(&[reason.name()]).inc();
        self.machine.disconnect(reason, SystemClock::instant());
    }

    async fn send_desired(&mut self, retained: bool) {
        let Some(known) = self.device.clone() else { return };
        let desired = match self.server.services.devices.desired_state(&known.id).await {
            Ok(Some(desired)) => desired,
            Ok(None) => return,
            Err(error) => return debug!(%error, "load the desired state"),
        };
        let state = match desired.state {
            LineState::Active => payload::LineState::Active,
            LineState::Suspended => payload::LineState::Suspended,
            LineState::Terminated => payload::LineState::Terminated,
            LineState::Absent => return,
        };
        let message = payload::Desired {
            version: desired.version,
            state,
            order_id: desired.order.map(|o| o.to_string()).unwrap_or_default(),
            expires_ms: None,
            plan: Some(desired.plan.to_string()),
            apns: desired.apns.iter().map(ToString::to_string).collect(),
        };
        let outgoing = Outgoing {
            kind: TopicKind::Desired,
            payload: message.encode(ContentType::Json),
            qos: Qos::AtLeastOnce,
            retain: retained,
            content_type: Some(ContentType::Json),
            token: desired.version,
        };
        if let Err(error) = self.machine.publish(outgoing, SystemClock::instant()) {
            debug!(%error, "send the desired state");
        }
    }

    async fn disconnected(&mut self, end: Disconnected) {
        debug!(cause = ?end.cause, "modem left");
        let Some(known) = self.device.take() else { return };
        let now = SystemClock::instant();
        let expiry = match end.session_expiry_secs {
            u32::MAX => Duration::from_secs(u64::from(self.server.settings.session_expiry_s)),
            secs => Duration::from_secs(u64::from(secs)),
        };
        let session = self.machine.take_session();
        let kept_max = self.server.settings.sessions_kept_max;
        if !self.server.registry.leave(&known.id, known.generation, session, expiry, kept_max, now) {
            return;
        }
        match end.will {
            Some(will) if will.delay_secs > 0 => self.delay_will(known, will, expiry),
            _ => self.presence(&known.id, false).await,
        }
    }

    /// A device that comes back in time has never been away (MQTT 5 section 3.1.3.2.2).
    fn delay_will(&self, known: Known, will: Will, session_expiry: Duration) {
        let delay = Duration::from_secs(u64::from(will.delay_secs)).min(session_expiry);
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if server.registry.still_away(&known.id, known.generation) {
                let at = server.services.clock.now();
                if let Err(error) = server.services.devices.presence(&known.id, false, at).await {
                    debug!(%error, "keep a modem's presence");
                }
            }
        });
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
