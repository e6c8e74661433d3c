//! A Diameter gateway as small as it can be: grants everything it is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo, refuse};
use linegate_diameter::apps::Route;
use linegate_diameter::apps::base::{AbortSessionRequest, Application, ReAuthRequest, ReAuthRequestType};
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, FinalUnit, FinalUnitAction, Grant, ServiceAnswer, Units,
};
use linegate_diameter::apps::rf::{AccountingAnswer, AccountingRequest};
use linegate_diameter::apps::s6a::{S6aAnswer, UpdateLocationRequest};
use linegate_diameter::dictionary::{Strictness, application, check, command};
use linegate_diameter::{Message, Outcome, ResultCode};
use linegate_simulators::Identity;
use linegate_simulators::peer::{Endpoint, Handler, LinkSettings, Peer, Reaction};

/// One credit request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub session: String,
    pub number: u32,
    pub kind: CcRequestType,
    pub imsi: Option<String>,
    pub octets: u64,
    pub retransmitted: bool,
}

/// What the gateway saw, and the knob that makes it lose answers.
#[derive(Default)]
pub struct Grants {
    pub seen: Mutex<Vec<Seen>>,
    pub attached: Mutex<Vec<String>>,
    pub accounted: Mutex<u64>,
    /// Cut the connection in place of every n-th answer; 0 never.
    pub cut_every: AtomicU64,
    /// Grants left until the last one, which is a final unit; 0 for no end.
    pub grants_left: AtomicU64,
    count: AtomicU64,
}

pub struct Gateway {
    pub peer: Peer,
    pub grants: Arc<Grants>,
    pub address: SocketAddr,
}

impl Gateway {
    pub async fn start() -> Self {
        let grants = Arc::new(Grants::default());
        let mut identity = Identity::new("gateway.linegate.example", &Application::GATEWAY);
        identity.realm = "linegate.example".into();
        identity.destination_realm = "network.example".into();
        let any = Endpoint::Listen("127.0.0.1:0".parse().unwrap());
        let settings = LinkSettings {
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(1),
            answer_timeout: Duration::from_millis(300),
            ..LinkSettings::default()
        };
        let peer = Peer::start(any, identity, settings, Arc::clone(&grants) as Arc<dyn Handler>);
        let address = peer.local_address().await.unwrap();
        Self { peer, grants, address }
    }

    pub fn route<'a>(&self, session_id: &'a str, host: &'a str) -> Route<'a> {
        Route {
            session_id,
            origin_host: "gateway.linegate.example",
            origin_realm: "linegate.example",
            destination_host: Some(host),
            destination_realm: "network.example",
        }
    }

    pub async fn abort(&self, session: &str, host: &str) -> Message {
        let application_id = application::CREDIT_CONTROL;
        let request = AbortSessionRequest { route: self.route(session, host), application_id, origin_state_id: None };
        let mut frame = BytesMut::new();
        request.encode(&self.peer.header(AbortSessionRequest::header(application_id)), &mut frame);
        self.peer.call(frame).await.unwrap()
    }

    pub async fn reauthorize(&self, session: &str, host: &str) -> Message {
        let application_id = application::CREDIT_CONTROL;
        let request = ReAuthRequest {
            route: self.route(session, host),
            application_id,
            request_type: ReAuthRequestType::AuthorizeOnly,
            origin_state_id: None,
            rating_group: None,
            service_identifier: None,
        };
        let mut frame = BytesMut::new();
        request.encode(&self.peer.header(ReAuthRequest::header(application_id)), &mut frame);
        self.peer.call(frame).await.unwrap()
    }
}

impl Handler for Grants {
    fn handle(&self, peer: &Peer, request: Message) -> Reaction {
        // By the letter: what the simulators send is to be good Diameter.
        let report = check(&request, Strictness::Strict);
        assert_eq!(report.result_code(), None, "{report:?}");
        let mut out = BytesMut::new();
        let origin = peer.origin();
        let reply = ReplyTo::new(&request);
        match request.header.command_code {
            command::CREDIT_CONTROL => self.grant(&request, &reply, origin, &mut out),
            command::UPDATE_LOCATION => {
                let update = UpdateLocationRequest::parse(&request).unwrap();
                self.attached.lock().unwrap().push(update.user_name.to_owned());
                S6aAnswer::new(Outcome::SUCCESS).encode(&reply, origin, &mut out);
            }
            command::PURGE_UE => S6aAnswer::new(Outcome::SUCCESS).encode(&reply, origin, &mut out),
            command::ACCOUNTING => {
                let record = AccountingRequest::parse(&request).unwrap();
                let volumes = record.service_information.unwrap().ps.unwrap().traffic;
                let octets = volumes.iter().map(|volume| volume.unwrap().output_octets.unwrap()).sum::<u64>();
                *self.accounted.lock().unwrap() += octets;
                let answer = AccountingAnswer {
                    outcome: Outcome::SUCCESS,
                    record_type: record.record_type,
                    record_number: record.record_number,
                    interim_interval: None,
                    origin_state_id: None,
                };
                answer.encode(&reply, origin, &mut out);
            }
            _ => refuse(&request, ResultCode::COMMAND_UNSUPPORTED, &[], None, origin, &mut out),
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let every = self.cut_every.load(Ordering::Relaxed);
        if every > 0 && count.is_multiple_of(every) {
            let peer = peer.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                peer.reconnect();
            });
            return Reaction::Cut;
        }
        Reaction::Answer(out.freeze())
    }
}

impl Grants {
    fn grant(&self, message: &Message, reply: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        let request = CcRequest::parse(message).unwrap();
        let octets = |service: linegate_diameter::apps::gy::ServiceRequest<'_>| {
            service.used.iter().map(|used| used.unwrap().units.total_octets.unwrap()).sum::<u64>()
        };
        let used = request.services.iter().map(|service| octets(service.unwrap())).sum();
        self.seen.lock().unwrap().push(Seen {
            session: request.route.session_id.to_owned(),
            number: request.request_number,
            kind: request.request_type,
            imsi: request.subscriber.imsi.map(str::to_owned),
            octets: used,
            retransmitted: message.header.is_retransmitted(),
        });
        let left = self.grants_left.load(Ordering::Relaxed);
        self.grants_left.store(left.saturating_sub(1), Ordering::Relaxed);
        let final_unit = (left == 1).then(|| FinalUnit::new(FinalUnitAction::Terminate));
        let services: Vec<ServiceAnswer<'_>> = request
            .services
            .iter()
            .map(|service| ServiceAnswer {
                rating_group: service.unwrap().rating_group,
                result_code: Some(ResultCode::SUCCESS),
                granted: Some(Grant { units: Units::octets(50_000), tariff_time_change: None }),
                validity_time: Some(3600),
                final_unit,
                ..ServiceAnswer::default()
            })
            .collect();
        let answer = CcAnswer {
            services: (&services).into(),
            ..CcAnswer::new(Outcome::SUCCESS, request.request_type, request.request_number)
        };
        answer.encode(reply, origin, out);
    }
}
