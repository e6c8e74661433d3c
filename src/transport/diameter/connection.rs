//! One Diameter connection: its socket, its peer machine, and the requests
//! that wait on either side.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{ReplyTo, refuse, refuse_avp, refuse_report};
use linegate_diameter::apps::base::DisconnectCause;
use linegate_diameter::apps::gy::CcRequest;
use linegate_diameter::apps::rf::AccountingRequest;
use linegate_diameter::codec::{AvpError, DecodeError, frame_length};
use linegate_diameter::dictionary::{self, Strictness, application, command, key};
use linegate_diameter::peer::{Command, Config, Event, Input, Opened, Peer, RequestFailure, Role, Token};
use linegate_diameter::{Message, ResultCode};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::peers::{OUTBOUND_QUEUE, Outbound};
use super::{Node, accounting, gy, s6a};
use crate::adapters::system::SystemClock;
use crate::domain::rating::request::ChargeAnswer;
use crate::services::charging::{ChargingError, Reply};
use crate::telemetry::metrics;

/// Bytes read at once; the buffer lives only while something is in it, so an
/// idle peer costs none.
const READ_BYTES: usize = 16 << 10;

/// Answers that services finish outside this task, for one connection.
const LATE_ANSWERS: usize = 256;

type Charged = (u64, Result<ChargeAnswer, ChargingError>);

/// An answer that was made outside the connection's task.
pub(super) struct Late {
    pub command: &'static str,
    pub result: ResultCode,
    pub started: Instant,
    pub bytes: Bytes,
}

/// Serves one connection to its end; whether connecting again is welcome.
pub(super) async fn serve(stream: TcpStream, node: Arc<Node>, role: Role, stop: CancellationToken) -> bool {
    let Ok((local, remote)) = stream.local_addr().and_then(|l| Ok((l, stream.peer_addr()?))) else { return true };
    let _nodelay = stream.set_nodelay(true);
    let mut config = Config::new(node.capabilities(local), role, node.services.ids.jitter(u64::MAX));
    config.policy = node.policy();
    config.watchdog = Duration::from_secs(node.settings.watchdog_s);
    config.pending_max = node.settings.pending_max;
    let (charged_to, charged) = mpsc::unbounded_channel();
    let (late_to, late) = mpsc::channel(LATE_ANSWERS);
    let (outbound_to, outbound) = mpsc::channel(OUTBOUND_QUEUE);
    let connection = Connection {
        machine: Peer::new(config),
        node,
        stream,
        input: BytesMut::new(),
        partial_since: None,
        output: BytesMut::new(),
        closing: false,
        peer: None,
        charging: HashMap::new(),
        asked: HashMap::new(),
        late_outstanding: 0,
        charged_to,
        late_to,
        outbound_to,
        welcome: true,
    };
    let span = info_span!("peer", %remote, host = tracing::field::Empty);
    connection.run(Queues { charged, late, outbound }, stop).instrument(span).await
}

struct Queues {
    charged: mpsc::UnboundedReceiver<Charged>,
    late: mpsc::Receiver<Late>,
    outbound: mpsc::Receiver<Outbound>,
}

/// What is known of the peer once capabilities are exchanged.
struct Known {
    host: Arc<str>,
    strictness: Strictness,
    /// Our place in the table of open peers.
    connection: u64,
}

/// A request that waits for its shard.
struct Waiting {
    to: ReplyTo,
    started: Instant,
    asked: Asked,
}

enum Asked {
    Gy(gy::Asked),
    Rf(accounting::Asked),
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

struct Connection {
    node: Arc<Node>,
    machine: Peer,
    stream: TcpStream,
    input: BytesMut,
    /// Since when a message has been coming in pieces.
    partial_since: Option<Instant>,
    output: BytesMut,
    closing: bool,
    peer: Option<Known>,
    /// Requests of the peer that wait for their shard, by tag.
    charging: HashMap<u64, Waiting>,
    /// Requests of ours that wait for the peer, by token.
    asked: HashMap<u64, oneshot::Sender<Result<Message, RequestFailure>>>,
    late_outstanding: usize,
    charged_to: mpsc::UnboundedSender<Charged>,
    late_to: mpsc::Sender<Late>,
    outbound_to: mpsc::Sender<Outbound>,
    welcome: bool,
}

impl Connection {
    async fn run(mut self, mut queues: Queues, stop: CancellationToken) -> bool {
        self.machine.handle_input(Input::TransportUp, SystemClock::instant());
        let mut leaving = Leaving::No;
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
            if leaving == Leaving::Answering && self.charging.is_empty() && self.late_outstanding == 0 {
                self.machine.handle_input(Input::Close(DisconnectCause::Rebooting), SystemClock::instant());
                leaving = Leaving::Told;
                continue;
            }
            // Once we leave, only the answer to our DPR is read; what the peer still
            // sends is repeated on its next connection.
            let may_read = leaving != Leaving::Answering && self.may_read();
            let deadline = self.deadline(may_read);
            tokio::select! {
                biased;
                Some(charged) = queues.charged.recv() => {
                    self.charged(charged);
                    while let Ok(charged) = queues.charged.try_recv() {
                        self.charged(charged);
                    }
                }
                Some(late) = queues.late.recv() => self.late(late),
                Some(outbound) = queues.outbound.recv() => self.send(outbound),
                ready = self.stream.writable(), if !self.output.is_empty() => {
                    if ready.is_err() {
                        self.lost();
                    }
                }
                ready = self.stream.readable(), if may_read => self.read(ready),
                () = sleep_until(deadline) => self.timeout(),
                () = stop.cancelled(), if leaving == Leaving::No => leaving = Leaving::Answering,
            }
        }
        self.left();
        self.welcome
    }

    fn may_read(&self) -> bool {
        let limits = &self.node.settings;
        self.charging.len() + self.late_outstanding < limits.requests_outstanding_max
            && self.output.len() < limits.output_bytes_max
    }

    /// The half-message timer stands still while we do not read ourselves.
    fn deadline(&self, may_read: bool) -> Option<Instant> {
        let partial = self
            .partial_since
            .filter(|_| may_read)
            .map(|since| since + Duration::from_millis(self.node.settings.message_timeout_ms));
        self.machine.poll_timeout().into_iter().chain(partial).min()
    }

    fn timeout(&mut self) {
        let now = SystemClock::instant();
        let patience = Duration::from_millis(self.node.settings.message_timeout_ms);
        if self.may_read() && self.partial_since.is_some_and(|since| since + patience <= now) {
            metrics().diameter_refused.with_label_values(&["half_message"]).inc();
            debug!("a message did not come to its end in time");
            self.lost();
        }
        self.machine.handle_timeout(now);
    }

    fn read(&mut self, ready: io::Result<()>) {
        self.input.reserve(READ_BYTES);
        match ready.and_then(|()| self.stream.try_read_buf(&mut self.input)) {
            Ok(0) => self.lost(),
            Ok(_) => self.cut(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.lost(),
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
    }

    /// Cuts whole messages off the input and feeds them to the machine.
    fn cut(&mut self) {
        let now = SystemClock::instant();
        let before = self.input.len();
        loop {
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

    /// Takes every command and event of the machine.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.machine.poll_event() {
                self.handle(event);
            }
            match self.machine.next_command() {
                Some(Command::Write(bytes)) if self.output.is_empty() => self.output = bytes,
                Some(Command::Write(bytes)) => self.output.extend_from_slice(&bytes),
                Some(Command::Close) => self.closing = true,
                None => return,
            }
        }
    }

    /// Writes what the socket takes at this moment.
    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
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
        let patience = Duration::from_secs(1);
        let _late = tokio::time::timeout(patience, async {
            while !self.output.is_empty() {
                if self.stream.writable().await.is_err() || self.flush().is_err() {
                    return;
                }
            }
        })
        .await;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Open(opened) => self.opened(&opened),
            Event::Request(message) => self.request(message),
            Event::Answer { token, message } => self.answered(token, Ok(message)),
            Event::RequestFailed { token, why } => self.answered(token, Err(why)),
            Event::UnexpectedAnswer(message) => debug!(command = command_name(&message), "an answer nobody waits for"),
            // The machine refuses our requests until it is okay again.
            Event::Suspect => warn!("silent for two watchdog periods"),
            Event::Okay => self.announce(),
            Event::Closed(why) => {
                self.welcome = why.may_reconnect();
                info!(?why, "closed");
            }
        }
    }

    fn opened(&mut self, opened: &Opened) {
        let host: Arc<str> = opened.peer.origin_host.as_ref().into();
        tracing::Span::current().record("host", host.as_ref());
        info!(realm = opened.peer.origin_realm.as_ref(), "open");
        metrics().diameter_peers_up.inc();
        let strictness = self.node.strictness(&host);
        let connection = self.node.peers.opened(&host, &opened.peer.origin_realm, self.outbound_to.clone());
        self.peer = Some(Known { host, strictness, connection });
        if self.machine.is_open() {
            self.announce();
        }
    }

    fn announce(&self) {
        if let Some(peer) = &self.peer {
            self.node.peers.announce(&peer.host);
        }
    }

    fn left(&mut self) {
        if let Some(peer) = self.peer.take() {
            metrics().diameter_peers_up.dec();
            self.node.peers.closed(&peer.host, peer.connection);
        }
        metrics().diameter_pending.sub(i64::try_from(self.charging.len()).unwrap_or(0));
    }

    fn request(&mut self, message: Message) {
        let started = SystemClock::instant();
        let name = command_name(&message);
        if let Some(code) = self.misrouted(&message) {
            return self.refuse(&message, code, name);
        }
        let strictness = self.peer.as_ref().map_or(Strictness::Strict, |p| p.strictness);
        let report = dictionary::check(&message, strictness);
        if let Some(code) = report.result_code() {
            let origin = self.machine.origin().clone();
            self.machine.send_answer(|out| {
                refuse_report(&message, &report, &origin, out);
            });
            return count(name, code, started);
        }
        if !report.tolerated.is_empty() {
            debug!(command = name, tolerated = report.tolerated.len(), "tolerated deviations");
        }
        let outcome = match (message.header.application_id, message.header.command_code) {
            (application::CREDIT_CONTROL, command::CREDIT_CONTROL) => self.credit_control(&message, started),
            (application::ACCOUNTING, command::ACCOUNTING) => self.accounting(&message, started),
            (application::S6A, _) => {
                self.late_outstanding += 1;
                s6a::answer(&self.node, message.clone(), self.machine.origin().clone(), self.late_to.clone(), started);
                Ok(None)
            }
            // Known to the dictionary, and sent only by us.
            _ => Ok(Some(ResultCode::COMMAND_UNSUPPORTED)),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(code)) => self.refuse(&message, code, name),
            Err(error) => {
                let origin = self.machine.origin().clone();
                self.machine.send_answer(|out| refuse_avp(&message, &error, &origin, out));
                count(name, error.result_code(), started);
            }
        }
    }

    /// 3002 for another host, 3003 for another realm (RFC 6733 section 7.1.3).
    fn misrouted(&self, message: &Message) -> Option<ResultCode> {
        let text = |key| message.find(key).and_then(|avp| avp.text().ok());
        let settings = &self.node.settings;
        if let Some(host) = text(key::DESTINATION_HOST) {
            return (!host.eq_ignore_ascii_case(&settings.origin_host)).then_some(ResultCode::UNABLE_TO_DELIVER);
        }
        let realm = text(key::DESTINATION_REALM)?;
        let served = settings.accept_any_realm || realm.eq_ignore_ascii_case(&settings.origin_realm);
        (!served).then_some(ResultCode::REALM_NOT_SERVED)
    }

    fn refuse(&mut self, message: &Message, code: ResultCode, name: &'static str) {
        let origin = self.machine.origin().clone();
        self.machine.send_answer(|out| refuse(message, code, &[], None, &origin, out));
        count(name, code, SystemClock::instant());
    }

    fn credit_control(&mut self, message: &Message, started: Instant) -> Result<Option<ResultCode>, AvpError> {
        let request = CcRequest::parse(message)?;
        let received = self.node.services.clock.now();
        let (asked, charge) = gy::charge_request(&request, received)?;
        self.wait(message, started, Asked::Gy(asked), charge);
        Ok(None)
    }

    fn accounting(&mut self, message: &Message, started: Instant) -> Result<Option<ResultCode>, AvpError> {
        let request = AccountingRequest::parse(message)?;
        let charge = accounting::charge_request(&request, self.node.services.clock.now())?;
        self.wait(message, started, Asked::Rf(accounting::Asked::of(&request)), charge);
        Ok(None)
    }

    fn wait(
        &mut self,
        message: &Message,
        started: Instant,
        asked: Asked,
        charge: crate::domain::rating::request::ChargeRequest,
    ) {
        let tag = self.node.fresh_tag();
        self.charging.insert(tag, Waiting { to: ReplyTo::new(message), started, asked });
        metrics().diameter_pending.inc();
        self.node.services.charging.submit(charge, Reply { tag, to: self.charged_to.clone() });
    }

    fn charged(&mut self, (tag, result): Charged) {
        let Some(waiting) = self.charging.remove(&tag) else { return };
        metrics().diameter_pending.dec();
        let settings = &self.node.settings;
        let (interim, origin_state_id) = (settings.interim_interval_s, self.node.services.origin_state_id);
        let foreign_apn = settings.foreign_apn_result;
        let terms = gy::Terms { settings: &settings.gy, foreign_apn, origin_state_id };
        let origin = self.machine.origin().clone();
        let mut code = ResultCode::TOO_BUSY;
        let name = match waiting.asked {
            Asked::Gy(_) => "CCR",
            Asked::Rf(_) => "ACR",
        };
        match result {
            Ok(answer) => {
                self.machine.send_answer(|out| {
                    code = match &waiting.asked {
                        Asked::Gy(asked) => gy::encode_answer(asked, &answer, terms, &waiting.to, &origin, out),
                        Asked::Rf(asked) => accounting::encode_answer(
                            *asked,
                            &answer,
                            interim,
                            origin_state_id,
                            &waiting.to,
                            &origin,
                            out,
                        ),
                    };
                });
            }
            // The outcome of the write is unknown: nobody is answered.
            Err(ChargingError::Fatal) => return,
            Err(_) => {
                self.machine.send_answer(|out| {
                    waiting.to.begin(code.into(), &origin, out).finish();
                });
            }
        }
        count(name, code, waiting.started);
    }

    fn late(&mut self, late: Late) {
        self.late_outstanding = self.late_outstanding.saturating_sub(1);
        self.machine.send_answer(|out| out.extend_from_slice(&late.bytes));
        count(late.command, late.result, late.started);
    }

    fn send(&mut self, outbound: Outbound) {
        let Outbound { header, encode, timeout, answer } = outbound;
        let token = self.node.fresh_tag();
        let now = SystemClock::instant();
        match self.machine.send_request(Token(token), timeout, now, header, encode) {
            Ok(()) => {
                self.asked.insert(token, answer);
            }
            Err(why) => {
                let _gone = answer.send(Err(why));
            }
        }
    }

    fn answered(&mut self, token: Token, result: Result<Message, RequestFailure>) {
        if let Some(answer) = self.asked.remove(&token.0) {
            let _gone = answer.send(result);
        }
    }
}

fn count(name: &'static str, code: ResultCode, started: Instant) {
    let metrics = metrics();
    let mut digits = [0u8; 10];
    metrics.diameter_requests.with_label_values(&[name, decimal(code.0, &mut digits)]).inc();
    let elapsed = SystemClock::instant().saturating_duration_since(started);
    metrics.diameter_request_seconds.with_label_values(&[name]).observe(elapsed.as_secs_f64());
}

/// A result code as text, without allocation.
fn decimal(mut value: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[at..]).unwrap_or("0")
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
