//! One peer machine under watch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use linegate_diameter::MESSAGE_LENGTH_MAX;
use linegate_diameter::ResultCode;
use linegate_diameter::answer::refuse;
use linegate_diameter::apps::base::{Application, Capabilities};
use linegate_diameter::codec::{Header, Message, Writer, frame_length};
use linegate_diameter::dictionary::{Report, Strictness, application, check, command};
use linegate_diameter::peer::{Command, Config, Event, Input, Peer, RequestFailure, Role, Token, Verdict};

use super::Source;

/// Requests of the other side that are kept to be answered.
const ASKED_MAX: usize = 32;
/// Events that one input brings beside those of the requests that wait.
const EVENTS_MAX: usize = 8;

/// The header of the requests that the targets send.
pub const REQUEST: Header = Header::request(command::CREDIT_CONTROL, application::CREDIT_CONTROL, true);

/// A machine with what it promised so far.
pub struct Node {
    pub peer: Peer,
    /// Requests sent that have had no end yet, by token.
    waiting: BTreeMap<Token, Header>,
    /// Requests that came and wait for our answer.
    asked: VecDeque<Message>,
    /// The last request of each own command that was written: CER, DWR, DPR.
    own: BTreeMap<u32, Header>,
    next_token: u64,
    pending_max: usize,
    /// Nothing is to be written any more.
    hung_up: bool,
    /// How far the events say that it came.
    stage: Stage,
}

/// What the events said last, in this order and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Starting,
    /// [`Event::Arrived`]: a table is to decide.
    Arrived,
    Open,
    Closed,
}

/// A configuration with small limits.
pub fn config(host: &str, role: Role, source: &mut Source<'_>) -> Config {
    let shape = source.u8();
    let applications =
        if shape & 1 != 0 { vec![Application::auth(application::RELAY)] } else { Application::GATEWAY.to_vec() };
    let local = Capabilities {
        origin_host: host.into(),
        origin_realm: "example".into(),
        host_ip_addresses: vec![[127, 0, 0, 1].into()],
        vendor_id: 0,
        product_name: "Linegate".into(),
        origin_state_id: (shape & 2 != 0).then_some(7),
        supported_vendors: vec![10_415],
        applications,
        inband_security: vec![],
        firmware_revision: None,
    };
    let mut config = Config::new(Arc::new(local), role, source.u64());
    config.reopen_answers = source.u8() % 5;
    config.pending_max = usize::from(source.u8()) % 9;
    config.watchdog = Duration::from_secs(u64::from(source.u8()));
    config.exchange_timeout = Duration::from_secs(1 + u64::from(source.u8()));
    config.admission_timeout = Duration::from_secs(1 + u64::from(source.u8()));
    config
}

impl Node {
    pub fn new(config: Config) -> Self {
        Self {
            pending_max: config.pending_max,
            peer: Peer::new(config),
            waiting: BTreeMap::new(),
            asked: VecDeque::new(),
            own: BTreeMap::new(),
            next_token: 0,
            hung_up: false,
            stage: Stage::Starting,
        }
    }

    /// Gives one input; returns what the machine writes.
    pub fn input(&mut self, input: Input, now: Instant) -> BytesMut {
        let down = matches!(input, Input::TransportDown);
        self.peer.handle_input(input, now);
        self.hung_up |= down;
        self.drain()
    }

    /// Fires the timer.
    pub fn timeout(&mut self, now: Instant) -> BytesMut {
        self.peer.handle_timeout(now);
        let written = self.drain();
        let next = self.peer.poll_timeout();
        assert!(next.is_none_or(|next| next > now), "the timer would fire for ever");
        written
    }

    /// Sends a request, straight or as an input.
    pub fn send(&mut self, timeout: Duration, straight: bool, now: Instant) -> BytesMut {
        self.next_token += 1;
        let (token, end_to_end) = (Token(self.next_token), self.next_token as u32);
        let header = Header { end_to_end, ..REQUEST };
        if straight {
            let (open, full) = (self.peer.is_open(), self.waiting.len() >= self.pending_max);
            let mut sent = None;
            let result = self.peer.send_request(token, timeout, now, header, |header, out| {
                sent = Some(*header);
                Writer::begin(out, header).finish();
            });
            let expected = match (open, full) {
                (false, _) => Err(RequestFailure::NotOpen),
                (true, true) => Err(RequestFailure::TooMany),
                (true, false) => Ok(()),
            };
            assert_eq!(result, expected);
            assert_eq!(result.is_ok(), sent.is_some());
            if let Some(header) = sent {
                self.waits(token, header);
            }
            self.drain()
        } else {
            // its hop-by-hop id shows in what is written
            self.waits(token, header);
            let request = Message::without_avps(header);
            self.input(Input::Send { token, timeout, request }, now)
        }
    }

    fn waits(&mut self, token: Token, header: Header) {
        assert!(self.waiting.insert(token, header).is_none());
    }

    /// Answers the oldest request that came, straight or as an input.
    pub fn answer(&mut self, straight: bool, now: Instant) -> BytesMut {
        let Some(request) = self.asked.pop_front() else {
            return BytesMut::new();
        };
        let origin = self.peer.origin().clone();
        let mut answer = BytesMut::new();
        refuse(&request, ResultCode::TOO_BUSY, &[], None, &origin, &mut answer);
        if straight {
            let written = self.peer.send_answer(|out| out.extend_from_slice(&answer));
            assert!(written || self.peer.poll_timeout().is_none(), "dropped though the connection is there");
            self.drain()
        } else {
            self.input(Input::SendAnswer(answer.freeze()), now)
        }
    }

    /// Takes a request that waits back, or one that does not.
    pub fn withdraw(&mut self, which: u8) {
        assert!(!self.peer.withdraw(Token(0)));
        let at = usize::from(which) % self.waiting.len().max(1);
        if let Some(&token) = self.waiting.keys().nth(at) {
            assert!(self.peer.withdraw(token));
            assert!(!self.peer.withdraw(token));
            self.waiting.remove(&token);
        }
        assert_eq!(self.peer.pending_requests(), self.waiting.len());
    }

    /// Decides as a table would where the peer has arrived, and as one never
    /// should where it has not.
    pub fn decide(&mut self, verdict: Verdict, now: Instant) -> BytesMut {
        self.input(Input::Decided(verdict), now)
    }

    /// True where the peer waits for its admission.
    pub fn has_arrived(&self) -> bool {
        self.stage == Stage::Arrived
    }

    /// The header of an answer to one of our requests that wait.
    pub fn awaited(&self, which: u8) -> Option<Header> {
        let at = usize::from(which) % self.waiting.len().max(1);
        self.waiting.values().nth(at).map(Header::answer)
    }

    /// The header of an answer to our last CER, DWR or DPR.
    pub fn awaited_own(&self, command_code: u32) -> Option<Header> {
        self.own.get(&command_code).map(Header::answer)
    }

    /// The transport goes: every promise falls due.
    pub fn finish(&mut self, now: Instant) {
        let written = self.input(Input::TransportDown, now);
        assert!(written.is_empty());
        assert!(self.stage == Stage::Closed, "the machine says that it is over");
        assert!(self.waiting.is_empty(), "every request has its end");
        assert_eq!(self.peer.poll_timeout(), None);
    }

    fn drain(&mut self) -> BytesMut {
        let mut written = BytesMut::new();
        while let Some(command) = self.peer.next_command() {
            assert!(!self.hung_up, "{command:?} after the end");
            match command {
                Command::Write(octets) => written.extend_from_slice(&octets),
                Command::Close => self.hung_up = true,
            }
        }
        self.read(written.clone().freeze());
        let events_max = self.waiting.len() + EVENTS_MAX;
        let mut events = 0;
        while let Some(event) = self.peer.poll_event() {
            events += 1;
            assert!(events <= events_max, "one input, {events} events");
            self.event(event);
        }
        assert_eq!(self.peer.pending_requests(), self.waiting.len());
        assert!(self.waiting.len() <= self.pending_max);
        written
    }

    /// Everything that is written is whole messages, ours by their grammar.
    fn read(&mut self, mut wire: Bytes) {
        while let Some(length) = frame_length(&wire, MESSAGE_LENGTH_MAX).expect("we write messages") {
            let message = Message::decode(wire.split_to(length)).expect("we write messages");
            let header = message.header;
            if !header.is_request() {
                continue;
            }
            if header.application_id == application::BASE {
                assert_eq!(check(&message, Strictness::Strict), Report::default(), "{message:?}");
                self.own.insert(header.command_code, header);
            } else {
                let token = Token(u64::from(header.end_to_end));
                let waiting = self.waiting.get_mut(&token).expect("only what was asked for is sent");
                waiting.hop_by_hop = header.hop_by_hop;
            }
        }
        assert!(wire.is_empty(), "half a message");
    }

    fn event(&mut self, event: Event) {
        let refused =
            matches!(event, Event::RequestFailed { why: RequestFailure::NotOpen | RequestFailure::TooMany, .. });
        assert!(refused || self.stage < Stage::Closed, "{event:?} after the last event");
        match event {
            Event::Answer { token, message } => {
                let header = self.waiting.remove(&token).expect("one end for each request");
                assert_eq!(header.answer().end_to_end, message.header.end_to_end);
                assert_eq!(header.hop_by_hop, message.header.hop_by_hop);
                assert!(!message.header.is_request());
            }
            Event::RequestFailed { token, .. } => {
                assert!(self.waiting.remove(&token).is_some(), "one end for each request");
            }
            Event::Request(message) => {
                assert!(message.header.is_request());
                if self.asked.len() < ASKED_MAX {
                    self.asked.push_back(message);
                }
            }
            Event::UnexpectedAnswer(message) => assert!(!message.header.is_request()),
            Event::Arrived(opened) => {
                assert!(!opened.applications.is_empty());
                self.reaches(Stage::Arrived);
            }
            Event::AdmissionDue => assert_eq!(self.stage, Stage::Arrived),
            Event::Open => self.reaches(Stage::Open),
            Event::Suspect | Event::Okay | Event::Alive | Event::OriginState(_) => {
                assert_eq!(self.stage, Stage::Open);
            }
            Event::Closed(_) => {
                self.reaches(Stage::Closed);
                assert_eq!(self.peer.poll_timeout(), None);
            }
        }
    }

    /// Open follows Arrived and nothing else; any stage may be the last.
    fn reaches(&mut self, next: Stage) {
        let allowed = match next {
            Stage::Starting => false,
            Stage::Arrived => self.stage == Stage::Starting,
            Stage::Open => self.stage == Stage::Arrived,
            Stage::Closed => self.stage < Stage::Closed,
        };
        assert!(allowed, "{:?} to {next:?}", self.stage);
        self.stage = next;
    }
}

/// What a table might say.
pub fn verdict(source: &mut Source<'_>) -> Verdict {
    match source.u8() % 8 {
        0..4 => Verdict::Admit { reopen: source.flag() },
        4 => Verdict::Refuse(ResultCode::UNKNOWN_PEER),
        5 => Verdict::Refuse(ResultCode::ELECTION_LOST),
        6 => Verdict::Abandon,
        _ => Verdict::Probe,
    }
}
