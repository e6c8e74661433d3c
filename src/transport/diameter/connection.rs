//! One Diameter connection: its stream, its peer machine, and the requests that
//! wait on either side.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use bytes::{Bytes, BytesMut};
use linegate_diameter::apps::base::DisconnectCause;
use linegate_diameter::codec::{DecodeError, frame_length};
use linegate_diameter::dictionary::{Strictness, application, command};
use linegate_diameter::peer::{
    Command, Config, ConnectionId, Event, Input, Opened, Peer, RequestFailure, Role, Token, Verdict,
};
use linegate_diameter::{Message, ResultCode};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::Node;
use super::duplicates::Identity;
use super::peers::Outbound;
use super::requests::Waiting;
use super::tally::Tally;
use crate::adapters::system::SystemClock;
use crate::domain::rating::request::ChargeAnswer;
use crate::domain::time::Timestamp;
use crate::ports::intake::{ChargingError, Replies};
use crate::telemetry::metrics;
use crate::transport::mailbox::Mailbox;
use crate::transport::tls;
use crate::transport::wire::{Received, Wire};

/// How long the last answer may take to leave before the close.
const LINGER: Duration = Duration::from_secs(1);

/// What other tasks have for a connection.
pub(super) enum ToConnection {
    /// Charging has an answer for the request with this tag.
    Charged(u64, Result<ChargeAnswer, ChargingError>),
    /// An answer that was made outside the connection's task.
    Late(Box<Late>),
    /// A request of ours.
    Send(Box<Outbound>),
    /// What the table of connections says.
    Decided(Verdict),
}

/// An answer that was made outside the connection's task.
pub(super) struct Late {
    pub command: &'static str,
    pub result: ResultCode,
    pub started: Instant,
    pub bytes: Bytes,
    /// Where a repeat of the request is to find it.
    pub identity: Option<Identity>,
}

impl Replies for Mailbox<ToConnection> {
    fn reply(&self, tag: u64, answer: Result<ChargeAnswer, ChargingError>) {
        let _gone = self.send(ToConnection::Charged(tag, answer));
    }
}

/// How a connection begins.
pub(super) struct Opening {
    pub id: ConnectionId,
    pub mailbox: Arc<Mailbox<ToConnection>>,
    /// Whom we meant to reach, where we connected.
    pub dialled: Option<Arc<str>>,
}

/// How a connection ended.
pub(super) struct Ended {
    /// Whether connecting again is welcome.
    pub welcome: bool,
    /// Whether capabilities were exchanged.
    pub was_open: bool,
}

/// Serves one connection to its end.
pub(super) async fn serve(wire: Wire, node: Arc<Node>, opening: Opening, stop: CancellationToken) -> Ended {
    let (local, remote) = match wire.stream().local_addr().and_then(|l| Ok((l, wire.stream().peer_addr()?))) {
        Ok(addresses) => addresses,
        Err(_) => {
            node.closed(opening.dialled.as_deref(), opening.id, &opening.mailbox, false);
            return Ended { welcome: true, was_open: false };
        }
    };
    let _nodelay = wire.stream().set_nodelay(true);
    let settings = &node.settings;
    let config = Config {
        origin: node.origin.clone(),
        watchdog: Duration::from_secs(settings.watchdog_s),
        reopen_answers: settings.reopen_answers,
        exchange_timeout: settings.exchange_timeout(),
        admission_timeout: Duration::from_millis(settings.admission_timeout_ms),
        pending_max: settings.pending_max,
        ..Config::new(
            node.capabilities(local),
            if opening.dialled.is_some() { Role::Initiator } else { Role::Responder },
            node.services.ids.jitter(u64::MAX),
        )
    };
    let connection = Connection {
        machine: Peer::new(config),
        now: SystemClock::instant(),
        received: node.services.clock.now(),
        node,
        wire,
        opening,
        input: BytesMut::new(),
        partial_since: None,
        output: BytesMut::new(),
        closing: false,
        gone: false,
        arriving: None,
        peer: None,
        charging: HashMap::default(),
        asked: HashMap::new(),
        late_outstanding: 0,
        tally: Tally::default(),
        leaving: Leaving::No,
        failed: false,
        ended: Ended { welcome: true, was_open: false },
    };
    let span = info_span!("peer", %remote, host = tracing::field::Empty);
    connection.run(stop).instrument(span).await
}

/// What is known of the peer once capabilities are exchanged.
pub(super) struct Known {
    pub host: Arc<str>,
    pub strictness: Strictness,
    pub applications: Vec<u32>,
    /// The last host behind this peer that was learnt, to learn it once.
    pub learned: Option<Box<str>>,
    /// The Origin-Host and Origin-State-Id last noted.
    pub state: Option<(Box<str>, u32)>,
}

/// A request of ours that waits for the peer.
struct Asked {
    answer: oneshot::Sender<Result<Message, RequestFailure>>,
    application: u32,
    alternates: Arc<[Box<str>]>,
}

/// How far our own leave has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// What waits is still answered.
    Answering,
    /// The DPR is sent.
    Told,
}

pub(super) struct Connection {
    pub(super) node: Arc<Node>,
    pub(super) machine: Peer,
    /// When what is being dealt with came: asked once for all that came together.
    pub(super) now: Instant,
    /// The same for the messages among it, in charging's time.
    pub(super) received: Timestamp,
    wire: Wire,
    pub(super) opening: Opening,
    input: BytesMut,
    /// Since when a message has been coming in pieces.
    partial_since: Option<Instant>,
    output: BytesMut,
    closing: bool,
    /// The stream failed: nothing can be written any more.
    gone: bool,
    /// Said its capabilities, not admitted yet.
    arriving: Option<Box<Opened>>,
    pub(super) peer: Option<Known>,
    /// Requests of the peer that wait for their shard, by tag.
    pub(super) charging: HashMap<u64, Waiting, RandomState>,
    /// Requests of ours that wait for the peer, by token.
    asked: HashMap<u64, Asked>,
    pub(super) late_outstanding: usize,
    pub(super) tally: Tally,
    leaving: Leaving,
    /// The next connection of this peer starts in REOPEN.
    failed: bool,
    ended: Ended,
}

impl Connection {
    async fn run(mut self, stop: CancellationToken) -> Ended {
        self.machine.handle_input(Input::TransportUp, SystemClock::instant());
        if let Some(host) = &self.opening.dialled {
            let verdict = self.node.peers.connected(host, self.opening.id);
            self.decided(verdict);
        }
        loop {
            self.settle();
            if self.flush().is_err() {
                self.lost();
                continue;
            }
            if self.closing {
                self.linger().await;
                break;
            }
            if self.may_say_goodbye() {
                continue;
            }
            // Once we leave, only the answer to our DPR is read; what the peer still
            // sends is repeated on its next connection.
            let may_read = self.leaving != Leaving::Answering && self.may_read();
            let deadline = self.deadline(may_read);
            tokio::select! {
                biased;
                () = self.opening.mailbox.ready() => self.take_mail(),
                ready = self.wire.stream().writable(), if self.wants_write() => {
                    if ready.is_err() {
                        self.lost();
                    }
                }
                ready = self.wire.readable(), if may_read => self.read(ready),
                () = sleep_until(deadline) => self.timeout(),
                () = stop.cancelled(), if self.leaving == Leaving::No => self.leaving = Leaving::Answering,
            }
        }
        self.left();
        self.ended
    }

    /// Sends the DPR once everything is answered.
    fn may_say_goodbye(&mut self) -> bool {
        let answered = self.charging.is_empty() && self.late_outstanding == 0;
        let now = self.leaving == Leaving::Answering && answered;
        if now {
            self.machine.handle_input(Input::Close(DisconnectCause::Rebooting), SystemClock::instant());
            self.leaving = Leaving::Told;
        }
        now
    }

    fn may_read(&self) -> bool {
        let limits = &self.node.settings;
        self.charging.len() + self.late_outstanding < limits.requests_outstanding_max
            && self.output.len() < limits.output_bytes_max
    }

    fn wants_write(&self) -> bool {
        !self.gone && (!self.output.is_empty() || self.wire.wants_write())
    }

    /// The half-message timer stands still while we do not read ourselves.
    fn deadline(&self, may_read: bool) -> Option<Instant> {
        let patience = Duration::from_millis(self.node.settings.message_timeout_ms);
        let partial = self.partial_since.filter(|_| may_read).map(|since| since + patience);
        self.machine.poll_timeout().into_iter().chain(partial).min()
    }

    fn timeout(&mut self) {
        self.now = SystemClock::instant();
        let patience = Duration::from_millis(self.node.settings.message_timeout_ms);
        if self.may_read() && self.partial_since.is_some_and(|since| since + patience <= self.now) {
            metrics().diameter_refused.with_label_values(&["half_message"]).inc();
            debug!("a message did not come to its end in time");
            self.lost();
        }
        self.machine.handle_timeout(self.now);
    }

    fn read(&mut self, ready: io::Result<()>) {
        match ready.and_then(|()| self.wire.try_read(&mut self.input)) {
            Ok(Received::Bytes(_)) => self.cut(),
            Ok(Received::Nothing) => {}
            Ok(Received::End) | Err(_) => self.lost(),
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// The transport is gone: nothing more can be read or written.
    fn lost(&mut self) {
        self.machine.handle_input(Input::TransportDown, SystemClock::instant());
        self.output.clear();
        self.closing = true;
        self.gone = true;
    }

    /// Cuts whole messages off the input and feeds them to the machine.
    fn cut(&mut self) {
        let now = SystemClock::instant();
        (self.now, self.received) = (now, self.node.services.clock.now());
        let before = self.input.len();
        while !self.closing {
            let length = match frame_length(&self.input, self.node.settings.message_bytes_max) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(error) => {
                    self.machine.handle_input(Input::Undecodable(DecodeError::Frame(error)), now);
                    self.input.clear();
                    break;
                }
            };
            match Message::decode(self.input.split_to(length).freeze()) {
                Ok(message) => self.received(message, now),
                Err(error) => self.machine.handle_input(Input::Undecodable(error), now),
            }
            self.take_events();
        }
        let whole_ones = self.input.len() < before;
        self.partial_since = match (self.input.is_empty(), self.partial_since) {
            (true, _) => None,
            // What is left is the start of another message.
            (false, _) if whole_ones => Some(now),
            (false, since) => since.or(Some(now)),
        };
    }

    fn received(&mut self, message: Message, now: Instant) {
        let header = message.header;
        if header.is_request() && header.application_id == application::BASE {
            let name = command_name(&message);
            metrics().diameter_requests.with_label_values(&[name, "base"]).inc();
        }
        self.machine.handle_input(Input::Received(message), now);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            self.handle(event);
        }
    }

    /// Takes every event and command of the machine.
    fn settle(&mut self) {
        self.take_events();
        while let Some(command) = self.machine.next_command() {
            match command {
                Command::Write(bytes) if self.output.is_empty() => self.output = bytes,
                Command::Write(bytes) => self.output.extend_from_slice(&bytes),
                Command::Close => self.closing = true,
            }
        }
    }

    /// Writes what the socket takes at this moment.
    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        self.wire.flush()?;
        while !self.output.is_empty() {
            match self.wire.try_write(&self.output) {
                Ok(written) if written == self.output.len() => self.output = BytesMut::new(),
                Ok(written) => bytes::Buf::advance(&mut self.output, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives the last answer a moment to leave before the close.
    async fn linger(&mut self) {
        let _late = tokio::time::timeout(LINGER, async {
            while self.wants_write() {
                if self.wire.stream().writable().await.is_err() || self.flush().is_err() {
                    return;
                }
            }
        })
        .await;
        if !self.gone {
            self.wire.say_goodbye();
        }
    }

    fn take_mail(&mut self) {
        self.now = SystemClock::instant();
        for item in self.opening.mailbox.take() {
            match item {
                ToConnection::Charged(tag, answer) => self.charged(tag, answer),
                ToConnection::Late(late) => self.late(*late),
                ToConnection::Send(outbound) => self.send(*outbound),
                ToConnection::Decided(verdict) => self.decided(Some(verdict)),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrived(opened) => self.arrived(opened),
            Event::AdmissionDue => {
                let host = self.arriving.as_ref().map(|opened| opened.peer.origin_host.clone());
                let verdict = host.and_then(|host| self.node.peers.patience_over(&host, self.opening.id));
                self.decided(verdict);
            }
            Event::Open => self.opened(),
            Event::Alive => self.with_host(|node, host, id| node.peers.alive(host, id)),
            Event::OriginState(state) => self.with_host(|node, host, _| node.note_origin_state(host, state, host)),
            Event::Request(message) => self.request(message),
            Event::Answer { token, message } => self.answered(token, Ok(message)),
            Event::RequestFailed { token, why } => self.answered(token, Err(why)),
            Event::UnexpectedAnswer(message) => debug!(command = command_name(&message), "an answer nobody waits for"),
            Event::Suspect => self.suspect(),
            Event::Okay => {
                info!("okay again");
                self.with_host(|node, host, id| node.peers.usable(host, id, true));
            }
            Event::Closed(why) => {
                self.ended.welcome = why.may_reconnect();
                self.failed = why.must_reopen();
                info!(?why, "closed");
            }
        }
    }

    fn with_host(&self, act: impl FnOnce(&Node, &str, ConnectionId)) {
        if let Some(peer) = &self.peer {
            act(&self.node, &peer.host, self.opening.id);
        }
    }

    fn decided(&mut self, verdict: Option<Verdict>) {
        if let Some(verdict) = verdict {
            self.machine.handle_input(Input::Decided(verdict), SystemClock::instant());
            self.take_events();
        }
    }

    fn arrived(&mut self, opened: Box<Opened>) {
        let host = &*opened.peer.origin_host;
        tracing::Span::current().record("host", host);
        let certified = match self.wire.peer_certificate() {
            Some(certificate) => tls::is_for(certificate, host),
            None => !self.node.settings.wants_tls(host),
        };
        let verdict = if certified {
            self.node.peers.arrived(self.opening.id, &opened, self.opening.dialled.as_deref())
        } else {
            warn!(host, tls = self.wire.is_tls(), "refused: its certificate is for another host, or it comes without");
            metrics().diameter_refused.with_label_values(&["certificate"]).inc();
            Some(Verdict::Refuse(ResultCode::UNKNOWN_PEER))
        };
        self.arriving = Some(opened);
        self.decided(verdict);
    }

    fn opened(&mut self) {
        let Some(opened) = self.arriving.take() else { return };
        let host: Arc<str> = opened.peer.origin_host.as_ref().into();
        info!(realm = opened.peer.origin_realm.as_ref(), tls = self.wire.is_tls(), "open");
        metrics().diameter_peers_up.inc();
        self.node.peers.opened(self.opening.id, &opened);
        if let Some(state) = opened.peer.origin_state_id {
            self.node.note_origin_state(&host, state, &host);
        }
        let strictness = self.node.settings.strictness(&host);
        let applications = opened.applications;
        self.peer = Some(Known { host, strictness, applications, learned: None, state: None });
        self.ended.was_open = true;
        if self.machine.is_open() {
            self.with_host(|node, host, id| node.peers.usable(host, id, true));
        }
    }

    fn left(&mut self) {
        let host = match (&self.peer, &self.arriving) {
            (Some(peer), _) => {
                metrics().diameter_peers_up.dec();
                Some(Arc::clone(&peer.host))
            }
            (None, Some(arriving)) => Some(arriving.peer.origin_host.as_ref().into()),
            (None, None) => self.opening.dialled.clone(),
        };
        let host = self.opening.dialled.clone().or(host);
        if let (Some(host), false) = (&host, self.ended.welcome) {
            self.node.peers.dismissed(host);
        }
        self.node.closed(host.as_deref(), self.opening.id, &self.opening.mailbox, self.failed);
        metrics().diameter_pending.sub(i64::try_from(self.charging.len()).unwrap_or(0));
    }

    /// Silent for two watchdog periods: what waits goes elsewhere, where it can
    /// (RFC 3539 section 3.4.1, Failover). What cannot still waits here.
    fn suspect(&mut self) {
        warn!("silent for two watchdog periods");
        self.with_host(|node, host, id| node.peers.usable(host, id, false));
        let peers = &self.node.peers;
        let elsewhere = |asked: &Asked| peers.any_usable(&asked.alternates, asked.application);
        let moved: Vec<u64> =
            self.asked.iter().filter(|(_, asked)| elsewhere(asked)).map(|(token, _)| *token).collect();
        for token in moved {
            if self.machine.withdraw(Token(token)) {
                self.answered(Token(token), Err(RequestFailure::Disconnected));
            }
        }
    }

    fn send(&mut self, outbound: Outbound) {
        if self.output.len() >= self.node.settings.output_bytes_max {
            metrics().diameter_refused.with_label_values(&["output_bytes_max"]).inc();
            let _gone = outbound.answer.send(Err(RequestFailure::TooMany));
            return;
        }
        let token = self.node.fresh_tag();
        let now = SystemClock::instant();
        let application = outbound.message.header.application_id;
        let mut message = outbound.message;
        let sent = self.machine.send_request(Token(token), outbound.timeout, now, message.header, |header, out| {
            message.header = *header;
            message.write_to(out);
        });
        match sent {
            Ok(()) => {
                let asked = Asked { answer: outbound.answer, application, alternates: outbound.alternates };
                self.asked.insert(token, asked);
            }
            Err(why) => {
                let _gone = outbound.answer.send(Err(why));
            }
        }
    }

    fn answered(&mut self, token: Token, result: Result<Message, RequestFailure>) {
        if let Some(asked) = self.asked.remove(&token.0) {
            let _gone = asked.answer.send(result);
        }
    }
}

/// The short name of a request's command, for metrics and logs.
pub(super) fn command_name(message: &Message) -> &'static str {
    match message.header.command_code {
        command::CAPABILITIES_EXCHANGE => "CER",
        command::DEVICE_WATCHDOG => "DWR",
        command::DISCONNECT_PEER => "DPR",
        command::CREDIT_CONTROL => "CCR",
        command::ACCOUNTING => "ACR",
        command::RE_AUTH => "RAR",
        command::ABORT_SESSION => "ASR",
        command::UPDATE_LOCATION => "ULR",
        command::CANCEL_LOCATION => "CLR",
        command::AUTHENTICATION_INFORMATION => "AIR",
        command::INSERT_SUBSCRIBER_DATA => "IDR",
        command::DELETE_SUBSCRIBER_DATA => "DSR",
        command::PURGE_UE => "PUR",
        command::NOTIFY => "NOR",
        command::PROVISION => "provision",
        command::QUERY => "query",
        _ => "other",
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
