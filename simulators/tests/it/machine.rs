//! An element against the gateway's own peer machine, so that both sides of the
//! link are not the same code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo, refuse};
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::base::{Application, Capabilities, DisconnectCause};
use linegate_diameter::apps::lp::{LineAnswer, LineState, QueryRequest};
use linegate_diameter::apps::s6a::S6aAnswer;
use linegate_diameter::codec::frame_length;
use linegate_diameter::dictionary::{application, command};
use linegate_diameter::peer::{CloseReason, Command, Config, Event, Input, Opened, Peer, Role, Token, Verdict};
use linegate_diameter::{MESSAGE_LENGTH_MAX, Message, Outcome, ResultCode};
use linegate_simulators::clock;
use linegate_simulators::element::{self, Element, ElementConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(5);

struct Driven {
    machine: Peer,
    stream: TcpStream,
    input: BytesMut,
    origin: Origin,
    /// What the element said of itself.
    opened: Option<Opened>,
}

impl Driven {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let local = Capabilities {
            origin_host: "gateway.linegate.example".into(),
            origin_realm: "linegate.example".into(),
            host_ip_addresses: vec!["127.0.0.1".parse().unwrap()],
            vendor_id: 0,
            product_name: "linegate".into(),
            origin_state_id: None,
            supported_vendors: Vec::new(),
            applications: Application::GATEWAY.to_vec(),
            inband_security: Vec::new(),
            firmware_revision: None,
        };
        let mut machine = Peer::new(Config::new(Arc::new(local), Role::Responder, 1));
        machine.handle_input(Input::TransportUp, clock::now());
        let origin = Origin::new("gateway.linegate.example", "linegate.example");
        Self { machine, stream, input: BytesMut::new(), origin, opened: None }
    }

    /// Runs until an event is there, or a second passed without one.
    async fn event(&mut self) -> Option<Event> {
        let deadline = clock::now() + SOON;
        loop {
            let mut closed = false;
            while let Some(command) = self.machine.next_command() {
                match command {
                    Command::Write(bytes) => self.stream.write_all(&bytes).await.unwrap(),
                    Command::Close => closed = true,
                }
            }
            if closed {
                let _gone = self.stream.shutdown().await;
            }
            match self.machine.poll_event() {
                Some(Event::Arrived(opened)) => {
                    self.opened = Some(*opened);
                    let admitted = Input::Decided(Verdict::Admit { reopen: false });
                    self.machine.handle_input(admitted, clock::now());
                    continue;
                }
                Some(event) => return Some(event),
                None => {}
            }
            if clock::now() >= deadline {
                return None;
            }
            let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.input)).await.ok()?;
            let now = clock::now();
            if read.unwrap_or(0) == 0 {
                self.machine.handle_input(Input::TransportDown, now);
            }
            while let Some(length) = frame_length(&self.input, MESSAGE_LENGTH_MAX).unwrap() {
                let message = Message::decode(self.input.split_to(length).freeze()).unwrap();
                self.machine.handle_input(Input::Received(message), now);
            }
        }
    }

    fn query(&mut self, now: Instant) {
        let route = linegate_diameter::apps::Route {
            session_id: "gateway;1;1",
            origin_host: "gateway.linegate.example",
            origin_realm: "linegate.example",
            destination_host: Some("hss.network.example"),
            destination_realm: "network.example",
        };
        let request = QueryRequest { route, line_id: "line-1" };
        let sent = self.machine.send_request(Token(7), SOON, now, QueryRequest::header(), |header, out| {
            request.encode(header, out);
        });
        sent.unwrap();
    }
}

#[tokio::test]
async fn an_element_and_the_peer_machine_understand_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let roles = [element::Role::Hss, element::Role::Mme, element::Role::PgwC];
    let config = ElementConfig::new("hss.network.example", &roles, listener.local_addr().unwrap());
    let element = Arc::new(Element::start(config));

    let mut gateway = Driven::accept(&listener).await;
    assert_eq!(gateway.event().await, Some(Event::Open));
    let opened = gateway.opened.clone().unwrap();
    assert_eq!(&*opened.peer.origin_host, "hss.network.example");
    for id in [application::LINE_PROVISIONING, application::S6A, application::CREDIT_CONTROL, application::ACCOUNTING] {
        assert!(opened.applications.contains(&id), "{id} in {:?}", opened.applications);
    }

    gateway.query(clock::now());
    let Some(Event::Answer { token: Token(7), message }) = gateway.event().await else { panic!("no answer") };
    assert_eq!(LineAnswer::parse(&message).unwrap().line_state, Some(LineState::Absent));

    let attaching = Arc::clone(&element);
    let attached = tokio::spawn(async move { attaching.attach("450080000000001").await });
    let Some(Event::Request(request)) = gateway.event().await else { panic!("no ULR") };
    assert_eq!(request.header.command_code, command::UPDATE_LOCATION);
    let origin = gateway.origin.clone();
    let answer = S6aAnswer::new(Outcome::SUCCESS);
    assert!(gateway.machine.send_answer(|out| answer.encode(&ReplyTo::new(&request), &origin, out)));

    let opening = Arc::clone(&element);
    let refused = tokio::spawn(async move {
        let config = element::SessionConfig::new("450080000000001", "iot.example");
        opening.open_session(config).await.map(|(session, answer)| (session.is_open(), answer.result_code))
    });
    let Some(Event::Request(request)) = gateway.event().await else { panic!("no CCR") };
    assert!(attached.await.unwrap().is_ok());
    let unknown = ResultCode::USER_UNKNOWN;
    assert!(gateway.machine.send_answer(|out| refuse(&request, unknown, &[], None, &origin, out)));

    // The peer's DPR comes in its own time; both sides part in peace.
    gateway.machine.handle_input(Input::Close(DisconnectCause::DoNotWantToTalkToYou), clock::now());
    let closed = loop {
        match gateway.event().await {
            Some(Event::Closed(reason)) => break reason,
            Some(_) => {}
            None => panic!("not closed"),
        }
    };
    assert_eq!(closed, CloseReason::WeDisconnected(DisconnectCause::DoNotWantToTalkToYou));
    assert_eq!(refused.await.unwrap().unwrap(), (false, 5030));
    drop(gateway);
    let again = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(again.is_err(), "who was told not to come back came back");
    element.reconnect();
    let mut gateway = Driven::accept(&listener).await;
    assert_eq!(gateway.event().await, Some(Event::Open));
    let said = Answered::parse(&message).unwrap();
    assert_eq!(said.origin_host, "hss.network.example");
}
