//! Two machines, a fake link and a stepped clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{ReplyTo, refuse};
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::base::{Application, Capabilities, DeviceWatchdog, DisconnectCause};
use linegate_diameter::apps::gy::{CcAnswer, CcRequest, CcRequestType};
use linegate_diameter::codec::{Header, Message, Writer, frame_length};
use linegate_diameter::dictionary::{self as dict, key};
use linegate_diameter::peer::{
    CloseReason, Command, Config, EndToEndIds, Event, Input, Opened, Peer, RequestFailure, Role, Token, Verdict,
};
use linegate_diameter::{Outcome, ResultCode};

use crate::apps::capabilities;
use crate::{message, route};

struct Side {
    peer: Peer,
    events: Vec<Event>,
    closed: bool,
    /// Messages sent, oldest first.
    sent: Vec<Message>,
    /// What the table says when the peer arrives.
    verdict: Verdict,
    opened: Option<Opened>,
}

impl Side {
    fn new(config: Config) -> Self {
        let verdict = Verdict::Admit { reopen: false };
        Self { peer: Peer::new(config), events: vec![], closed: false, sent: vec![], verdict, opened: None }
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Arrived(opened) => {
                self.opened = Some(*opened);
                self.peer.handle_input(Input::Decided(self.verdict), now);
            }
            event => self.events.push(event),
        }
    }

    /// Drains the machine; gives what it wrote.
    fn drain(&mut self, now: Instant) -> BytesMut {
        while let Some(event) = self.peer.poll_event() {
            self.take(event, now);
        }
        let mut wire = BytesMut::new();
        while let Some(command) = self.peer.next_command() {
            match command {
                Command::Write(octets) => wire.extend_from_slice(&octets),
                Command::Close => self.closed = true,
            }
        }
        let mut rest = wire.clone();
        while let Some(length) = frame_length(&rest, 65_536).unwrap() {
            self.sent.push(Message::decode(rest.split_to(length).freeze()).unwrap());
        }
        assert!(rest.is_empty(), "whole messages only");
        wire
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

struct Pair {
    client: Side,
    server: Side,
    now: Instant,
    /// What the link swallows.
    deaf_client: bool,
    deaf_server: bool,
}

fn config(host: &str, role: Role) -> Config {
    let local = Capabilities { origin_state_id: Some(7), ..capabilities(host) };
    Config::new(Arc::new(local), role, 42)
}

impl Pair {
    fn new(change: impl FnOnce(&mut Config, &mut Config)) -> Self {
        let mut client = config("pgw.example", Role::Initiator);
        let mut server = config("gateway.linegate.example", Role::Responder);
        change(&mut client, &mut server);
        Self {
            client: Side::new(client),
            server: Side::new(server),
            now: Instant::now(),
            deaf_client: false,
            deaf_server: false,
        }
    }

    fn open() -> Self {
        let mut pair = Self::new(|_, _| {});
        pair.connect();
        assert!(pair.client.peer.is_open() && pair.server.peer.is_open());
        pair.client.events();
        pair.server.events();
        pair
    }

    fn connect(&mut self) {
        self.server.peer.handle_input(Input::TransportUp, self.now);
        self.client.peer.handle_input(Input::TransportUp, self.now);
        self.settle();
    }

    /// Carries messages until none is under way.
    fn settle(&mut self) {
        loop {
            let up = self.client.drain(self.now);
            let down = self.server.drain(self.now);
            if up.is_empty() && down.is_empty() {
                break;
            }
            if !self.deaf_server {
                deliver(&mut self.server, up, self.now);
            }
            if !self.deaf_client {
                deliver(&mut self.client, down, self.now);
            }
        }
        if self.client.closed || self.server.closed {
            self.client.peer.handle_input(Input::TransportDown, self.now);
            self.server.peer.handle_input(Input::TransportDown, self.now);
            self.client.drain(self.now);
            self.server.drain(self.now);
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timers = [self.client.peer.poll_timeout(), self.server.peer.poll_timeout()];
            let Some(next) = timers.into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.client.peer.handle_timeout(self.now);
            self.server.peer.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn send_ccr(&mut self, token: u64, timeout: Duration) -> Result<(), RequestFailure> {
        let header = Header { end_to_end: 1000 + token as u32, ..CcRequest::header() };
        let request = CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Initial, 0);
        self.client.peer.send_request(Token(token), timeout, self.now, header, |header, out| {
            request.encode(header, out);
        })
    }

    /// The request that waits at the server.
    fn request(&mut self) -> Message {
        match self.server.events().as_slice() {
            [Event::Request(request)] => request.clone(),
            other => panic!("one request expected: {other:?}"),
        }
    }

    fn answer(&mut self, request: &Message) -> bool {
        let origin = self.server.peer.origin().clone();
        let answer = CcAnswer::new(Outcome::SUCCESS, CcRequestType::Initial, 0);
        let to = ReplyTo::new(request);
        let sent = self.server.peer.send_answer(|out| answer.encode(&to, &origin, out));
        self.settle();
        sent
    }
}

fn deliver(to: &mut Side, mut octets: BytesMut, now: Instant) {
    while let Some(length) = frame_length(&octets, 65_536).unwrap() {
        let message = Message::decode(octets.split_to(length).freeze()).unwrap();
        to.peer.handle_input(Input::Received(message), now);
        while let Some(event) = to.peer.poll_event() {
            to.take(event, now);
        }
    }
}

const TW: Duration = Duration::from_secs(32);

fn closed(events: &[Event]) -> Option<&CloseReason> {
    match events.last() {
        Some(Event::Closed(why)) => Some(why),
        _ => None,
    }
}

#[test]
fn both_sides_open_and_know_each_other() {
    let mut pair = Pair::new(|_, _| {});
    pair.connect();
    assert_eq!(pair.server.events(), [Event::Open]);
    assert_eq!(pair.client.events(), [Event::Open]);
    let at_server = pair.server.opened.clone().unwrap();
    assert_eq!(&*at_server.peer.origin_host, "pgw.example");
    assert_eq!(at_server.peer.origin_state_id, Some(7));
    assert_eq!(at_server.applications, [4, 3, 16_777_251, 16_777_999]);
    let at_client = pair.client.opened.clone().unwrap();
    assert_eq!(&*at_client.peer.origin_host, "gateway.linegate.example");
}

#[test]
fn an_exchange_that_fails_closes_both_sides() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Config, &mut Config), code: ResultCode, error_bit: bool) {
        let mut pair = Pair::new(change);
        pair.connect();
        assert_eq!(closed(&pair.server.events()), Some(&CloseReason::Refused(code)));
        let refused = CloseReason::RefusedByPeer(Some(code.into()));
        assert_eq!(closed(&pair.client.events()), Some(&refused));
        assert_eq!(pair.server.sent[0].header.is_error(), error_bit);
    }
    let nothing = |client: &mut Config, _: &mut Config| {
        Arc::make_mut(&mut client.local).applications = vec![Application::auth(1)];
    };
    check(nothing, ResultCode::NO_COMMON_APPLICATION, false);
    let tls = |client: &mut Config, _: &mut Config| Arc::make_mut(&mut client.local).inband_security = vec![1];
    check(tls, ResultCode::NO_COMMON_SECURITY, false);
}

#[test]
fn a_refused_peer_is_told_the_code_of_the_table() {
    #[track_caller]
    fn check(code: ResultCode, error_bit: bool) {
        let mut pair = Pair::new(|_, _| {});
        pair.server.verdict = Verdict::Refuse(code);
        pair.connect();
        assert_eq!(pair.server.sent[0].header.is_error(), error_bit);
        assert_eq!(closed(&pair.server.events()), Some(&CloseReason::Refused(code)));
        assert_eq!(closed(&pair.client.events()), Some(&CloseReason::RefusedByPeer(Some(code.into()))));
    }
    check(ResultCode::UNKNOWN_PEER, true);
    check(ResultCode::ELECTION_LOST, false);
}

#[test]
fn a_peer_that_arrives_waits_for_the_table_and_not_for_ever() {
    let mut server = Side::new(config("gateway.linegate.example", Role::Responder));
    let now = Instant::now();
    server.peer.handle_input(Input::TransportUp, now);
    let cer = message(|out| capabilities("pgw.example").encode_request(&Capabilities::header(), out));
    server.peer.handle_input(Input::Received(cer), now);
    assert!(matches!(server.peer.poll_event(), Some(Event::Arrived(_))));
    assert_eq!(server.peer.next_command(), None, "no CEA before the verdict");
    let due = server.peer.poll_timeout().unwrap();
    server.peer.handle_timeout(due);
    assert_eq!(server.peer.poll_event(), Some(Event::AdmissionDue));
    let over = server.peer.poll_timeout().unwrap();
    assert!(over > due);
    server.peer.handle_timeout(over);
    assert_eq!(server.peer.poll_event(), Some(Event::Closed(CloseReason::ExchangeTimeout)));
}

#[test]
fn a_probe_is_answered_beside_the_watchdog() {
    let mut pair = Pair::open();
    pair.server.peer.handle_input(Input::Decided(Verdict::Probe), pair.now);
    pair.settle();
    assert_eq!(pair.server.events(), [Event::Alive]);
    assert!(pair.server.peer.is_open());
}

#[test]
fn an_abandoned_connection_closes_and_fails_what_waits() {
    let mut pair = Pair::open();
    pair.send_ccr(1, TW).unwrap();
    pair.client.peer.handle_input(Input::Decided(Verdict::Abandon), pair.now);
    pair.settle();
    let why = RequestFailure::Disconnected;
    let failed = Event::RequestFailed { token: Token(1), why };
    assert_eq!(pair.client.events(), [failed, Event::Closed(CloseReason::Abandoned)]);
}

#[test]
fn another_origin_state_id_of_the_peer_is_told() {
    let mut pair = Pair::open();
    let origin = pair.client.peer.origin().clone();
    let mut dwr = |state| {
        let dwr = message(|out| DeviceWatchdog::encode(&DeviceWatchdog::header(), &origin, Some(state), out));
        pair.server.peer.handle_input(Input::Received(dwr), pair.now);
        pair.settle();
        pair.server.events()
    };
    assert_eq!(dwr(7), [], "as in the CER");
    assert_eq!(dwr(8), [Event::OriginState(8)]);
    assert_eq!(dwr(8), []);
}

#[test]
fn the_cer_comes_first_and_in_time() {
    let mut pair = Pair::new(|_, _| {});
    pair.deaf_server = true;
    pair.connect();
    pair.pass(Duration::from_secs(11));
    assert_eq!(closed(&pair.server.events()), Some(&CloseReason::ExchangeTimeout));
    assert_eq!(closed(&pair.client.events()), Some(&CloseReason::ExchangeTimeout));

    let mut server = Side::new(config("gateway.linegate.example", Role::Responder));
    let now = Instant::now();
    server.peer.handle_input(Input::TransportUp, now);
    let early = message(|out| {
        CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Initial, 0).encode(&CcRequest::header(), out);
    });
    server.peer.handle_input(Input::Received(early), now);
    server.drain(now);
    assert!(server.closed);
    assert_eq!(closed(&server.events), Some(&CloseReason::ExchangeBroken));
}

#[test]
fn a_cer_without_its_avps_is_answered_with_what_is_missing() {
    let mut server = Side::new(config("gateway.linegate.example", Role::Responder));
    let now = Instant::now();
    server.peer.handle_input(Input::TransportUp, now);
    let cer = message(|out| {
        let mut writer = Writer::begin(out, &Capabilities::header());
        writer.text(&dict::ORIGIN_HOST, "pgw.example");
        writer.finish();
    });
    server.peer.handle_input(Input::Received(cer), now);
    server.drain(now);
    let answer = Answered::parse(&server.sent[0]).unwrap();
    assert_eq!(answer.outcome, ResultCode::MISSING_AVP.into());
    assert_eq!(server.sent[0].avps().filter(|avp| avp.key() == key::FAILED_AVP).count(), 4);
    assert_eq!(closed(&server.events), Some(&CloseReason::Refused(ResultCode::MISSING_AVP)));
}

#[test]
fn an_answer_finds_its_request_by_token() {
    let mut pair = Pair::open();
    pair.send_ccr(5, Duration::from_secs(4)).unwrap();
    pair.send_ccr(6, Duration::from_secs(4)).unwrap();
    pair.settle();
    let requests: Vec<_> = pair.server.events();
    // answered the other way round
    for event in requests.iter().rev() {
        let Event::Request(request) = event else { panic!("{event:?}") };
        assert!(pair.answer(request));
    }
    let tokens: Vec<_> = pair
        .client
        .events()
        .iter()
        .map(|event| match event {
            Event::Answer { token, .. } => token.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tokens, [6, 5]);
    assert_eq!(pair.client.peer.pending_requests(), 0);
}

#[test]
fn a_repeated_answer_is_unexpected() {
    let mut pair = Pair::open();
    pair.send_ccr(5, Duration::from_secs(4)).unwrap();
    pair.settle();
    let request = pair.request();
    pair.answer(&request);
    pair.answer(&request);
    let events = pair.client.events();
    assert!(matches!(events[..], [Event::Answer { .. }, Event::UnexpectedAnswer(_)]), "{events:?}");
}

#[test]
fn an_answer_with_another_end_to_end_id_is_unexpected() {
    let mut pair = Pair::open();
    pair.send_ccr(5, Duration::from_secs(4)).unwrap();
    pair.settle();
    let mut request = pair.request();
    request.header.end_to_end ^= 1;
    pair.answer(&request);
    assert!(matches!(pair.client.events()[..], [Event::UnexpectedAnswer(_)]));
    assert_eq!(pair.client.peer.pending_requests(), 1);
}

#[test]
fn a_request_fails_at_its_own_time() {
    let mut pair = Pair::open();
    pair.send_ccr(1, Duration::from_secs(4)).unwrap();
    pair.send_ccr(2, Duration::from_secs(2)).unwrap();
    pair.settle();
    pair.pass(Duration::from_secs(3));
    let failed = |token| Event::RequestFailed { token: Token(token), why: RequestFailure::Timeout };
    assert_eq!(pair.client.events(), [failed(2)]);
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.client.events(), [failed(1)]);
}

#[test]
fn requests_are_refused_past_the_limit_and_before_the_peer_is_open() {
    let mut pair = Pair::new(|client, _| client.pending_max = 1);
    assert_eq!(pair.send_ccr(1, TW), Err(RequestFailure::NotOpen));
    pair.connect();
    assert_eq!(pair.send_ccr(1, TW), Ok(()));
    assert_eq!(pair.send_ccr(2, TW), Err(RequestFailure::TooMany));
}

#[test]
fn requests_that_wait_fail_when_the_transport_goes() {
    let mut pair = Pair::open();
    pair.send_ccr(1, TW).unwrap();
    pair.settle();
    pair.client.peer.handle_input(Input::TransportDown, pair.now);
    pair.client.drain(pair.now);
    let why = RequestFailure::Disconnected;
    assert_eq!(
        pair.client.events(),
        [Event::RequestFailed { token: Token(1), why }, Event::Closed(CloseReason::TransportDown)]
    );
    assert_eq!(pair.client.peer.poll_timeout(), None);
}

#[test]
fn a_pending_request_can_be_taken_elsewhere() {
    let mut pair = Pair::open();
    pair.send_ccr(2, TW * 2).unwrap();
    pair.send_ccr(1, TW).unwrap();
    assert!(pair.client.peer.withdraw(Token(2)));
    assert!(!pair.client.peer.withdraw(Token(2)));
    assert_eq!(pair.client.peer.pending_requests(), 1);
    pair.settle();
    let Event::Request(request) = pair.server.events().remove(0) else { panic!() };
    pair.answer(&request);
    assert!(matches!(pair.client.events()[..], [Event::UnexpectedAnswer(_)]));
}

#[test]
fn requests_go_both_ways() {
    let mut pair = Pair::open();
    let now = pair.now;
    let header = Header { end_to_end: 9, ..Header::request(258, 4, true) };
    let request = message(|out| {
        Writer::begin(out, &header).finish();
    });
    let input = Input::Send { token: Token(3), timeout: TW, request };
    pair.server.peer.handle_input(input, now);
    pair.settle();
    let Event::Request(request) = pair.client.events().remove(0) else { panic!() };
    assert_eq!(request.header.end_to_end, 9);
    let mut answer = BytesMut::new();
    let origin = pair.client.peer.origin().clone();
    refuse(&request, ResultCode::COMMAND_UNSUPPORTED, &[], None, &origin, &mut answer);
    pair.client.peer.handle_input(Input::SendAnswer(answer.freeze()), now);
    pair.settle();
    assert!(matches!(pair.server.events()[..], [Event::Answer { token: Token(3), .. }]));
}

#[test]
fn an_idle_connection_is_kept_by_watchdogs() {
    let mut pair = Pair::open();
    pair.pass(Duration::from_secs(600));
    assert_eq!(pair.client.events(), []);
    assert_eq!(pair.server.events(), []);
    let watchdogs = |side: &Side| side.sent.iter().filter(|sent| sent.header.command_code == 280).count();
    assert!((18..=60).contains(&watchdogs(&pair.client)), "{}", watchdogs(&pair.client));
}

#[test]
fn a_silent_peer_is_suspect_then_closed() {
    let mut pair = Pair::open();
    pair.deaf_client = true;
    pair.deaf_server = true;
    pair.pass(TW);
    assert_eq!(pair.client.events(), []);
    pair.pass(TW);
    assert_eq!(pair.client.events(), [Event::Suspect]);
    assert!(!pair.client.peer.is_open());
    assert_eq!(pair.send_ccr(1, TW), Err(RequestFailure::NotOpen));
    pair.pass(TW);
    assert_eq!(pair.client.events(), [Event::Closed(CloseReason::Silent)]);
    assert!(CloseReason::Silent.must_reopen());
}

#[test]
fn any_traffic_brings_a_suspect_back() {
    let mut pair = Pair::open();
    pair.deaf_client = true;
    pair.pass(TW * 2);
    assert_eq!(pair.client.events(), [Event::Suspect]);
    let origin = pair.server.peer.origin().clone();
    let dwr = message(|out| {
        DeviceWatchdog::encode(&DeviceWatchdog::header(), &origin, None, out);
    });
    pair.client.peer.handle_input(Input::Received(dwr), pair.now);
    pair.client.drain(pair.now);
    assert_eq!(pair.client.events(), [Event::Okay]);
    assert!(pair.client.peer.is_open());
}

#[test]
fn reopen_needs_three_watchdogs_and_serves_requests_meanwhile() {
    let mut pair = Pair::new(|_, _| {});
    pair.server.verdict = Verdict::Admit { reopen: true };
    pair.connect();
    pair.server.events();
    assert!(!pair.server.peer.is_open());
    pair.send_ccr(1, TW).unwrap();
    pair.settle();
    let request = pair.request();
    assert!(pair.answer(&request));
    pair.pass(TW);
    assert_eq!(pair.server.events(), []);
    pair.pass(TW * 2);
    assert_eq!(pair.server.events(), [Event::Okay]);
    assert!(pair.server.peer.is_open());
}

#[test]
fn a_peer_that_stays_silent_in_reopen_is_closed() {
    let mut pair = Pair::new(|client, _| client.watchdog = TW * 10);
    pair.server.verdict = Verdict::Admit { reopen: true };
    pair.connect();
    pair.server.events();
    pair.deaf_client = true;
    pair.pass(TW * 4);
    assert_eq!(pair.server.events(), [Event::Closed(CloseReason::Silent)]);
}

#[test]
fn the_watchdog_is_never_under_six_seconds() {
    for seed in 0..200 {
        let mut server = config("gateway.linegate.example", Role::Responder);
        server.watchdog = Duration::from_secs(1);
        server.seed = seed;
        let mut pair = Pair::new(|_, config| *config = server);
        pair.connect();
        let period = pair.server.peer.poll_timeout().unwrap() - pair.now;
        assert!((6..=8).contains(&period.as_secs()), "{period:?}");
    }
}

#[test]
fn a_disconnection_says_whether_to_come_back() {
    for &cause in DisconnectCause::ALL {
        let mut pair = Pair::open();
        pair.client.peer.handle_input(Input::Close(cause), pair.now);
        pair.settle();
        let events = pair.client.events();
        assert_eq!(closed(&events), Some(&CloseReason::WeDisconnected(cause)));
        let events = pair.server.events();
        let why = closed(&events).unwrap();
        assert_eq!(why, &CloseReason::PeerDisconnected(cause));
        assert_eq!(why.may_reconnect(), cause != DisconnectCause::DoNotWantToTalkToYou);
        assert!(!why.must_reopen());
    }
}

#[test]
fn both_sides_may_disconnect_at_once() {
    let mut pair = Pair::open();
    let cause = DisconnectCause::Rebooting;
    pair.client.peer.handle_input(Input::Close(cause), pair.now);
    pair.server.peer.handle_input(Input::Close(cause), pair.now);
    pair.settle();
    assert_eq!(closed(&pair.client.events()), Some(&CloseReason::WeDisconnected(cause)));
    assert_eq!(closed(&pair.server.events()), Some(&CloseReason::WeDisconnected(cause)));
}

#[test]
fn a_dpr_without_answer_ends_in_time() {
    let mut pair = Pair::open();
    pair.deaf_server = true;
    let cause = DisconnectCause::Busy;
    pair.client.peer.handle_input(Input::Close(cause), pair.now);
    pair.pass(Duration::from_secs(11));
    assert!(pair.client.closed);
    assert_eq!(closed(&pair.client.events()), Some(&CloseReason::WeDisconnected(cause)));
}

#[test]
fn one_bad_message_is_answered_and_a_broken_stream_closes() {
    let mut pair = Pair::open();
    let mut octets = BytesMut::new();
    let mut writer = Writer::begin(&mut octets, &CcRequest::header());
    writer.text(&dict::SESSION_ID, "abcd");
    writer.finish();
    octets[27] = 200;
    let error = Message::decode(Bytes::copy_from_slice(&octets)).unwrap_err();
    pair.server.peer.handle_input(Input::Undecodable(error), pair.now);
    pair.settle();
    assert!(pair.server.peer.is_open());
    let answer = Answered::parse(pair.server.sent.last().unwrap()).unwrap();
    assert_eq!(answer.outcome, ResultCode::INVALID_AVP_LENGTH.into());

    octets[0] = 3;
    let error = Message::decode(octets.freeze()).unwrap_err();
    pair.server.peer.handle_input(Input::Undecodable(error.clone()), pair.now);
    pair.settle();
    let answer = Answered::parse(pair.server.sent.last().unwrap()).unwrap();
    assert_eq!(answer.outcome, ResultCode::UNSUPPORTED_VERSION.into());
    assert_eq!(closed(&pair.server.events()), Some(&CloseReason::Undecodable(error)));
}

#[test]
fn an_answer_that_is_late_for_the_connection_is_dropped() {
    let mut pair = Pair::open();
    pair.send_ccr(1, TW).unwrap();
    pair.settle();
    let request = pair.request();
    pair.server.peer.handle_input(Input::TransportDown, pair.now);
    assert!(!pair.answer(&request));
    assert_eq!(pair.server.peer.next_command(), None);
}

#[test]
fn end_to_end_ids_start_from_the_time() {
    let mut ids = EndToEndIds::new(0x1234_5678, 0xffff_fff0);
    assert_eq!(ids.next(), 0x678f_fff1);
    assert_eq!(ids.next(), 0x678f_fff2);
}
