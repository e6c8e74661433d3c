//! One modem's connection: its stream, its machine, and the messages that wait
//! until they are durable.
//!
//! Invariant: the loop waits for no store. What it asks is answered beside
//! everything else, one question at a time, and nobody answers a connection that
//! has ended.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use linegate_mqtt::session::{
    Cause, ConnackOptions, Connect, Connection, Disconnected, Event, Input, Outgoing, Publish,
};
use linegate_mqtt::topic::{self, TopicKind};
use linegate_mqtt::{ContentType, ReasonCode};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span, trace};

use super::Server;
use super::registry::{Entry, Leave, Link, Place, ToModem};
use crate::adapters::system::SystemClock;
use crate::domain::device::FIRST_EPOCH;
use crate::domain::ids::DeviceId;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::intake::{ChargingError, Reply};
use crate::ports::modem::{DesiredMessage, ModemMessage, ModemTopic, PayloadFormat};
use crate::telemetry::metrics;
use crate::transport::wire::{Received, Wire};

/// How long the last packet, with its reason code, may take to leave, and the modem
/// to close its side, before the close.
const LINGER: Duration = Duration::from_millis(500);
/// How long a device's former connection may take to hand the session over.
const HANDOVER: Duration = Duration::from_secs(2);

/// Serves one connection to its end.
pub async fn serve(wire: Wire, server: Arc<Server>, place: Place, stop: CancellationToken) {
    let Ok(peer) = wire.stream().peer_addr() else { return };
    // In a box: an async function keeps room for each place that a value was moved from.
    let modem = Box::new(Modem {
        machine: Connection::new(Arc::clone(&server.limits), SystemClock::instant()),
        server,
        peer,
        wire,
        link: Arc::new(Link::default()),
        entry: None,
        epoch: FIRST_EPOCH,
        question: None,
        desired: None,
        wanted: None,
        is_stale: false,
        outstanding: 0,
        outstanding_bytes: 0,
        _place: place,
    });
    modem.run(stop).instrument(info_span!("modem", %peer)).await;
}

struct Modem {
    server: Arc<Server>,
    peer: SocketAddr,
    wire: Wire,
    machine: Connection,
    link: Arc<Link>,
    entry: Option<Entry>,
    /// The enrolment epoch that the device had when it came.
    epoch: u32,
    question: Option<Question>,
    /// What the device is to be, from when it came until it subscribes.
    desired: Option<Box<DesiredMessage>>,
    /// It is to be told what it is to be, as a retained message or not.
    wanted: Option<bool>,
    /// What it is to be has changed since it was asked.
    is_stale: bool,
    /// Messages that wait until they are durable, and their payloads' bytes.
    outstanding: usize,
    outstanding_bytes: usize,
    _place: Place,
}

/// What is asked outside of the connection; it costs nothing while there is none.
type Question = Pin<Box<dyn Future<Output = Answer> + Send>>;

enum Answer {
    /// Whose CONNECT it is.
    Identified(Box<Connect>, Result<Identity, ReasonCode>),
    /// What the device is to be; `None` also where the store failed.
    Desired(Option<Box<DesiredMessage>>),
}

/// Who a modem is.
struct Identity {
    device: topic::DeviceId,
    epoch: u32,
}

impl Modem {
    async fn run(mut self: Box<Self>, stop: CancellationToken) {
        let secured = tokio::select! {
            secured = Box::pin(self.handshake()) => secured,
            () = stop.cancelled() => None,
        };
        if secured.is_none() {
            return;
        }
        let mut stopping = false;
        loop {
            self.drain_events();
            if self.flush().is_err() {
                self.machine.handle_input(Input::Closed, SystemClock::instant());
                self.drain_events();
            }
            if stopping && self.outstanding == 0 {
                self.machine.disconnect(ReasonCode::SERVER_SHUTTING_DOWN, SystemClock::instant());
                self.drain_events();
            }
            if self.machine.wants_close() {
                self.question = None;
                Box::pin(self.linger()).await;
                self.link.mailbox.close();
                return;
            }
            let may_read = self.machine.wants_read() && self.has_room();
            let must_write = !self.machine.output().is_empty() || self.wire.wants_write();
            let deadline = self.machine.poll_timeout();
            tokio::select! {
                biased;
                () = self.link.mailbox.ready() => self.take_mail(),
                answer = answered(&mut self.question) => {
                    self.question = None;
                    self.take_answer(answer);
                }
                () = stop.cancelled(), if !stopping => stopping = true,
                ready = self.wire.stream().writable(), if must_write => {
                    if ready.is_err() {
                        self.machine.handle_input(Input::Closed, SystemClock::instant());
                    }
                }
                ready = self.wire.readable(), if may_read && !stopping => self.read(ready.is_ok()),
                // While we are the ones who do not read, the modem is not late.
                () = sleep_until(deadline), if may_read => self.machine.handle_timeout(SystemClock::instant()),
            }
        }
    }

    /// Whether more may wait for its commit. QoS 0 has no Receive Maximum: it is held
    /// to the same number.
    fn has_room(&self) -> bool {
        let settings = &self.server.settings;
        self.outstanding_bytes < settings.unacknowledged_bytes_max
            && self.outstanding <= usize::from(settings.receive_max)
    }

    /// Brings TLS up, within the time of a CONNECT.
    async fn handshake(&mut self) -> Option<()> {
        if !self.wire.is_tls() {
            return Some(());
        }
        let refused = match tokio::time::timeout(self.server.limits.connect_timeout, self.wire.handshake()).await {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        metrics().mqtt_refused.with_label_values(&["tls"]).inc();
        debug!(refused, "TLS did not come up");
        None
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            self.handle(event);
        }
    }

    fn take_mail(&mut self) {
        for mail in self.link.mailbox.take() {
            match mail {
                ToModem::Taken(tag, result) => self.taken(tag.into(), result),
                ToModem::Desired => {
                    self.link.heed();
                    self.desired = None;
                    self.is_stale = self.question.is_some();
                    if self.is_subscribed() {
                        self.tell_desired(false);
                    }
                }
                ToModem::Expelled => {
                    let reason =
                        ReasonCode::ADMINISTRATIVE_ACTION.because("the device's credential is revoked or replaced");
                    self.machine.disconnect(reason, SystemClock::instant());
                }
                ToModem::TakenOver => {
                    self.machine.disconnect(ReasonCode::SESSION_TAKEN_OVER, SystemClock::instant());
                }
            }
        }
    }

    fn read(&mut self, ready: bool) {
        let now = SystemClock::instant();
        let mut buffer = BytesMut::new();
        let input = match self.wire.try_read(&mut buffer) {
            Ok(Received::Bytes(_)) if ready => Input::Bytes(buffer.freeze()),
            Ok(Received::Nothing) if ready => return,
            _ => Input::Closed,
        };
        self.machine.handle_input(input, now);
    }

    /// Writes what the socket takes at this moment.
    fn flush(&mut self) -> std::io::Result<()> {
        while !self.machine.output().is_empty() {
            match self.wire.try_write(self.machine.output()) {
                Ok(written) => self.machine.output_written(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.wire.flush().map(drop)
    }

    /// Gives the last packet a moment to leave, and to arrive, before the close.
    async fn linger(&mut self) {
        let leaving = async {
            while self.flush().is_ok() && (!self.machine.output().is_empty() || self.wire.wants_write()) {
                if self.wire.stream().writable().await.is_err() {
                    return;
                }
            }
            self.wire.finish().await;
        };
        let _late = tokio::time::timeout(LINGER, leaving).await;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connect(connect) => self.identify(connect, None),
            Event::Publish(publish) => self.publish(publish),
            Event::PublishRefused { topic, reason } => {
                metrics().mqtt_publishes.with_label_values(&["other", "refused"]).inc();
                debug!(topic, reason = reason.name(), "refused a publish");
            }
            Event::Subscribed(granted) => {
                if granted.iter().any(|s| s.access.delivers(TopicKind::Desired) && s.wants_retained) {
                    self.tell_desired(true);
                }
            }
            Event::PubAck { token, reason } => trace!(version = token, reason = reason.name(), "desired state taken"),
            Event::Expired { token } => debug!(version = token, "desired state expired before it was sent"),
            Event::Disconnected(end) => self.disconnected(*end),
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Identified(connect, Ok(identity)) => self.identified(connect, identity),
            Answer::Identified(_, Err(reason)) => {
                metrics().mqtt_refused.with_label_values(&[reason.name()]).inc();
                debug!(reason = reason.name(), "refused a modem");
                self.machine.refuse(reason, SystemClock::instant());
            }
            Answer::Desired(_) if std::mem::take(&mut self.is_stale) => self.deliver(),
            Answer::Desired(None) => self.wanted = None,
            Answer::Desired(desired) => {
                self.desired = desired;
                self.deliver();
            }
        }
    }

    /// Asks whose CONNECT it is, and then waits for the session that is `coming`.
    fn identify(&mut self, connect: Box<Connect>, coming: Option<oneshot::Receiver<()>>) {
        let (server, peer) = (Arc::clone(&self.server), self.peer);
        let certificate = self.wire.peer_certificate().cloned();
        self.question = Some(Box::pin(async move {
            let device = match server.identities.identify(&connect, certificate.as_ref(), peer).await {
                Ok(device) => device,
                Err(reason) => return Answer::Identified(connect, Err(reason)),
            };
            let epoch = server.identities.epoch(&device).await;
            if let Some(coming) = coming.filter(|_| !connect.clean_start)
                && tokio::time::timeout(HANDOVER, coming).await.is_err()
            {
                metrics().mqtt_handovers_late.inc();
            }
            Answer::Identified(connect, Ok(Identity { device, epoch }))
        }));
    }

    fn identified(&mut self, connect: Box<Connect>, identity: Identity) {
        let Identity { device, epoch } = identity;
        self.epoch = epoch;
        let Some(entry) = &self.entry else {
            let id = DeviceId::new(device.as_str());
            let (entry, coming) = self.server.registry.take_over(&id, Arc::clone(&self.link));
            self.entry = Some(entry);
            // From here on it can be expelled; what changed meanwhile is seen now.
            return self.identify(connect, coming);
        };
        if entry.device.as_str() != device.as_str() {
            // its certificate became another device's in between
            return self.machine.refuse(ReasonCode::NOT_AUTHORIZED, SystemClock::instant());
        }
        let options = ConnackOptions {
            assigned_client_id: connect.client_id.is_empty().then(|| device.as_str().to_owned()),
            session: self.server.registry.claim(entry),
            ..ConnackOptions::new(device)
        };
        if let Err(reason) = self.machine.accept(options, SystemClock::instant()) {
            return debug!(reason = reason.name(), "refused a modem at its will or size limit");
        }
        self.is_stale = false;
        self.ask_desired(true);
        // A session that goes on has its subscription already, and may have slept
        // through changes.
        if self.is_subscribed() {
            self.tell_desired(false);
        }
    }

    fn is_subscribed(&self) -> bool {
        self.machine.subscriptions().iter().any(|s| s.access.delivers(TopicKind::Desired))
    }

    /// Tells the device what it is to be, at once or when the store has answered.
    fn tell_desired(&mut self, retained: bool) {
        self.wanted = Some(retained || self.wanted.unwrap_or(false));
        self.deliver();
    }

    /// Sends what the device is to be, where it is to be told and that is known.
    fn deliver(&mut self) {
        let Some(retained) = self.wanted else { return };
        match self.desired.take() {
            Some(desired) => {
                self.wanted = None;
                self.send_desired(*desired, retained);
            }
            None if self.question.is_none() => self.ask_desired(false),
            None => {}
        }
    }

    /// Asks what the device is to be; where it `came`, that is kept too.
    fn ask_desired(&mut self, came: bool) {
        let Some(entry) = &self.entry else { return };
        let (server, device) = (Arc::clone(&self.server), entry.device.clone());
        self.question = Some(Box::pin(async move {
            let asked = if came { server.intake.came(&device) } else { server.intake.desired(&device) };
            let desired = asked.await.inspect_err(|error| debug!(%error, came, "load the desired state"));
            Answer::Desired(desired.ok().flatten().map(Box::new))
        }));
    }

    fn send_desired(&mut self, desired: DesiredMessage, retained: bool) {
        let now = SystemClock::instant();
        let left = |at: Timestamp| u64::try_from(at.millis() - SystemClock.now().millis()).unwrap_or(0);
        let outgoing = Outgoing {
            retain: retained,
            expires: desired.expires.map(|at| now + Duration::from_millis(left(at))),
            ..Outgoing::desired(desired.version, desired.payload, ContentType::Json)
        };
        if let Err(error) = self.machine.publish(outgoing, now) {
            metrics().mqtt_desired_unsent.inc();
            debug!(%error, "send the desired state");
        }
    }

    /// Hands a message in; the PUBACK follows when it is durable.
    fn publish(&mut self, publish: Publish) {
        let (Some(entry), epoch) = (&self.entry, self.epoch) else { return };
        let topic = match publish.kind {
            TopicKind::Usage => ModemTopic::Usage,
            TopicKind::Reported => ModemTopic::Reported,
            TopicKind::Status => ModemTopic::Status,
            TopicKind::Desired | TopicKind::Receipt => return,
        };
        let format = match publish.content_type {
            None => PayloadFormat::Unsaid,
            Some(ContentType::Json) => PayloadFormat::Json,
            Some(ContentType::Cbor) => PayloadFormat::Cbor,
            Some(ContentType::Unknown) => PayloadFormat::Foreign,
        };
        let message = ModemMessage { device: entry.device.clone(), topic, payload: publish.payload, format, epoch };
        let tag = Tag { packet_id: publish.packet_id, bytes: message.payload.len() };
        self.outstanding += 1;
        self.outstanding_bytes += tag.bytes;
        self.server.intake.take(message, Reply { tag: tag.into(), to: Arc::clone(&self.link) as _ });
    }

    fn taken(&mut self, tag: Tag, result: Result<(), ChargingError>) {
        self.outstanding -= 1;
        self.outstanding_bytes -= tag.bytes;
        match (result, tag.packet_id) {
            (Err(error), _) => self.give_up(error),
            (Ok(()), Some(packet_id)) => {
                self.machine.ack(packet_id, ReasonCode::SUCCESS, SystemClock::instant());
            }
            (Ok(()), None) => {}
        }
    }

    /// It was not made durable: the connection ends without the
    /// PUBACK, and the modem sends again.
    fn give_up(&mut self, error: ChargingError) {
        if self.machine.wants_close() {
            return;
        }
        let (reason, why) = match error {
            ChargingError::Unreadable => {
                (ReasonCode::PAYLOAD_FORMAT_INVALID, "too many usage payloads cannot be read: send again later")
            }
            ChargingError::Stopping => (ReasonCode::SERVER_SHUTTING_DOWN, "the gateway is stopping: send again"),
            _ => (ReasonCode::SERVER_BUSY, "usage cannot be kept at this moment: send again later"),
        };
        metrics().mqtt_refused.with_label_values(&[reason.name()]).inc();
        self.machine.disconnect(reason.because(why), SystemClock::instant());
    }

    fn disconnected(&mut self, end: Disconnected) {
        debug!(cause = ?end.cause, "modem left");
        let Some(entry) = self.entry.take() else { return };
        let settings = &self.server.settings;
        let expiry = Duration::from_secs(u64::from(end.session_expiry_secs.min(settings.session_expiry_s)));
        let grace = Duration::from_secs(u64::from(settings.offline_after_s));
        // Who takes leave is gone at once. Else the will's delay counts, which ends
        // with the session (MQTT 5 section 3.1.3.2.2), and at least our own patience.
        let gone_after = match end.cause {
            Cause::Client(_) if end.will.is_none() => Duration::ZERO,
            _ => end.will_due_after().unwrap_or_default().max(grace),
        };
        let leave = Leave { session: self.machine.take_session(), expiry, gone_after };
        self.server.registry.leave(&entry, leave, settings.sessions_kept_max, SystemClock::instant());
    }
}

/// Which message an answer is for: its packet id in the low 16 bits, 0 for one of
/// QoS 0, and how long its payload was.
struct Tag {
    packet_id: Option<NonZeroU16>,
    bytes: usize,
}

impl From<Tag> for u64 {
    fn from(tag: Tag) -> Self {
        (tag.bytes as u64) << 16 | tag.packet_id.map_or(0, |id| u64::from(id.get()))
    }
}

impl From<u64> for Tag {
    fn from(tag: u64) -> Self {
        Self { packet_id: NonZeroU16::new((tag & 0xffff) as u16), bytes: (tag >> 16) as usize }
    }
}

async fn answered(question: &mut Option<Question>) -> Answer {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_task<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// An idle connection is this, and what its machine keeps in boxes.
    #[test]
    fn an_idle_connection_is_small() {
        let (task, state) = (size_of_task(serve), size_of::<Modem>());
        println!("a connection: {task} bytes of task, {state} of state");
        assert!(task + state <= 1536, "{task} and {state}");
    }
}
