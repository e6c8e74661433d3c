//! Commands to network elements: line provisioning, S6a and the ends of
//! charging sessions, over whatever connection the element has open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use linegate_diameter::apps::base::{AbortSessionRequest, ReAuthRequest, ReAuthRequestType};
use linegate_diameter::apps::lp::{
    self, Access as LpAccess, Action, Characteristics, LineAnswer, ProvisionRequest, QueryRequest,
};
use linegate_diameter::apps::{Answered, List, Route};
use linegate_diameter::dictionary::application;
use linegate_diameter::peer::RequestFailure;
use linegate_diameter::{Header, Message, Outcome, ResultCode, names};
use tracing::debug;

use super::peers::Peers;
use super::s6a::S6aSettings;
use super::settings::{DiameterSettings, ElementSettings};
use crate::domain::ids::{ElementId, LineId, SessionId};
use crate::domain::line::{Access, LineState, Profile};
use crate::domain::ordering::OrderKind;
use crate::ports::network::{Cancellation, Elements, Held, NetworkError, ProvisionCommand};
use crate::telemetry::metrics;

/// The elements behind the Diameter node.
#[derive(Clone)]
pub struct DiameterElements {
    peers: Peers,
    origin_host: Arc<str>,
    origin_realm: Arc<str>,
    elements: Arc<[ElementSettings]>,
    timeout: Duration,
    pub(super) s6a: Arc<S6aSettings>,
}

impl DiameterElements {
    /// Over the open peers of a node.
    pub fn new(settings: &DiameterSettings, peers: Peers) -> Self {
        Self {
            peers,
            origin_host: settings.origin_host.as_str().into(),
            origin_realm: settings.origin_realm.as_str().into(),
            elements: settings.elements.clone().into(),
            timeout: Duration::from_millis(settings.request_timeout_ms),
            s6a: Arc::new(settings.s6a.clone()),
        }
    }

    /// The elements whose Origin-Host this is.
    pub fn ids_of_host(&self, host: &str) -> Vec<ElementId> {
        let of_host = self.elements.iter().filter(|e| e.hosts.iter().any(|of| of.eq_ignore_ascii_case(host)));
        of_host.map(|e| ElementId::new(&e.id)).collect()
    }

    fn hosts_of(&self, element: &ElementId) -> &[String] {
        self.elements.iter().find(|e| e.id == element.as_str()).map_or(&[], |e| &e.hosts)
    }

    /// Where an element's requests go. One that has several hosts is addressed by
    /// its realm alone, so that any of them may answer.
    fn towards_element(&self, element: &ElementId) -> Option<Towards<'_>> {
        match self.hosts_of(element) {
            [] => None,
            [only] => Some(self.towards_host(only)),
            all => {
                let hops = all.iter().map(|host| host.to_ascii_lowercase().into()).collect();
                Some(Towards { name: &all[0], host: None, realm: self.peers.realm_of(&all[0]), hops })
            }
        }
    }

    pub(super) fn towards_host<'a>(&self, host: &'a str) -> Towards<'a> {
        Towards { name: host, host: Some(host), realm: self.peers.realm_of(host), hops: self.peers.hops(host) }
    }

    /// Sends one request; `encode` gets the header, the route and the buffer.
    pub(super) async fn ask(
        &self,
        towards: &Towards<'_>,
        operation: &'static str,
        header: Header,
        session: Option<&str>,
        encode: impl FnOnce(&Header, Route<'_>, &mut BytesMut),
    ) -> Result<Message, NetworkError> {
        let host = towards.name;
        let session = session.map_or_else(|| self.peers.fresh_session(&self.origin_host), str::to_owned);
        let write = |header: &Header, out: &mut BytesMut| {
            let route = Route {
                session_id: &session,
                origin_host: &self.origin_host,
                origin_realm: &self.origin_realm,
                destination_host: towards.host,
                destination_realm: &towards.realm,
            };
            encode(header, route, out);
        };
        let result = self.peers.request(&towards.hops, header, self.timeout, write).await;
        let outcome = match &result {
            Ok(answer) => outcome_label(answer),
            Err(_) => "unanswered".to_owned(),
        };
        metrics().diameter_sent.with_label_values(&[operation, &outcome]).inc();
        result.map_err(|why| match why {
            RequestFailure::NotOpen | RequestFailure::TooMany => NetworkError::Away { element: host.to_owned() },
            RequestFailure::Timeout | RequestFailure::Disconnected | RequestFailure::Undecodable(_) => {
                NetworkError::Unknown { element: host.to_owned(), operation }
            }
        })
    }
}

/// Where a request goes.
pub(super) struct Towards<'a> {
    /// For errors.
    name: &'a str,
    /// Destination-Host.
    host: Option<&'a str>,
    /// Destination-Realm.
    realm: Arc<str>,
    /// The peers to try.
    hops: Vec<Box<str>>,
}

fn outcome_label(answer: &Message) -> String {
    match Answered::parse(answer).map(|a| a.outcome) {
        Ok(Outcome::Result(code)) if code.name().is_some() => code.0.to_string(),
        Ok(Outcome::Experimental { vendor, code }) if names::experimental_result(vendor, code).is_some() => {
            format!("experimental-{code}")
        }
        Ok(_) => "other".to_owned(),
        Err(_) => "unreadable".to_owned(),
    }
}

/// Ok for success, else the error of a refusal.
pub(super) fn accepted(answer: &Message, host: &str, operation: &'static str) -> Result<(), NetworkError> {
    let element = host.to_owned();
    let Ok(said) = Answered::parse(answer) else {
        return Err(NetworkError::Unknown { element, operation });
    };
    let code = match said.outcome {
        outcome if outcome.is_success() => return Ok(()),
        outcome if outcome == lp::BUSY => return Err(NetworkError::Busy { element, code: 4001 }),
        Outcome::Result(ResultCode::TOO_BUSY) => return Err(NetworkError::Busy { element, code: 3004 }),
        Outcome::Result(ResultCode::UNABLE_TO_DELIVER) => return Err(NetworkError::Away { element }),
        Outcome::Result(code) if code.is_transient() => return Err(NetworkError::Busy { element, code: code.0 }),
        Outcome::Result(code) => code.0,
        Outcome::Experimental { code, .. } => code,
    };
    let detail = said.error_message.map(|text| format!(" {text}")).unwrap_or_default();
    Err(NetworkError::Refused { element, operation, code, detail })
}

pub(super) fn is_outcome(answer: &Message, outcome: Outcome) -> bool {
    Answered::parse(answer).is_ok_and(|a| a.outcome == outcome)
}

#[async_trait]
impl Elements for DiameterElements {
    fn element_for(&self, access: Access) -> Option<ElementId> {
        self.elements.iter().find(|e| e.access.contains(&access)).map(|e| ElementId::new(&e.id))
    }

    fn connected(&self, element: &ElementId) -> bool {
        self.hosts_of(element).iter().any(|host| self.peers.is_reachable(host))
    }

    async fn provision(&self, element: &ElementId, command: &ProvisionCommand) -> Result<Held, NetworkError> {
        let towards =
            self.towards_element(element).ok_or_else(|| NetworkError::Away { element: element.to_string() })?;
        let host = towards.name;
        let answer = self
            .ask(&towards, "provision", ProvisionRequest::header(), None, |header, route, out| {
                let apns: Vec<&str> = command.profile.apns.iter().map(|a| a.as_str()).collect();
                ProvisionRequest {
                    route,
                    order_id: &command.key,
                    line_id: command.line.as_str(),
                    action: action(command.action),
                    characteristics: Some(characteristics(command, &apns)),
                    event_timestamp: None,
                }
                .encode(header, out);
            })
            .await?;
        accepted(&answer, host, "provision")?;
        held(&answer, host, "provision")
    }

    async fn query(&self, element: &ElementId, line: &LineId) -> Result<Held, NetworkError> {
        let towards =
            self.towards_element(element).ok_or_else(|| NetworkError::Away { element: element.to_string() })?;
        let host = towards.name;
        let answer = self
            .ask(&towards, "query", QueryRequest::header(), None, |header, route, out| {
                QueryRequest { route, line_id: line.as_str() }.encode(header, out);
            })
            .await?;
        accepted(&answer, host, "query")?;
        held(&answer, host, "query")
    }

    async fn insert_subscriber_data(
        &self,
        mme: &str,
        imsi: &str,
        command: &ProvisionCommand,
    ) -> Result<bool, NetworkError> {
        self.insert(mme, imsi, command).await
    }

    async fn modify_subscription(
        &self,
        mme: &str,
        imsi: &str,
        before: &Profile,
        command: &ProvisionCommand,
    ) -> Result<bool, NetworkError> {
        self.modify(mme, imsi, before, command).await
    }

    async fn cancel_location(&self, mme: &str, imsi: &str, why: Cancellation) -> Result<bool, NetworkError> {
        self.cancel(mme, imsi, why).await
    }

    async fn abort_session(&self, peer: &str, session: &SessionId) -> Result<bool, NetworkError> {
        let header = AbortSessionRequest::header(application::CREDIT_CONTROL);
        let answer = self
            .ask(&self.towards_host(peer), "ASR", header, Some(session.as_str()), |header, route, out| {
                AbortSessionRequest { route, application_id: application::CREDIT_CONTROL, origin_state_id: None }
                    .encode(header, out);
            })
            .await?;
        session_answer(&answer, peer, "ASR")
    }

    async fn reauthorize(&self, peer: &str, session: &SessionId) -> Result<bool, NetworkError> {
        let header = ReAuthRequest::header(application::CREDIT_CONTROL);
        let answer = self
            .ask(&self.towards_host(peer), "RAR", header, Some(session.as_str()), |header, route, out| {
                ReAuthRequest {
                    route,
                    application_id: application::CREDIT_CONTROL,
                    request_type: ReAuthRequestType::AuthorizeOnly,
                    origin_state_id: None,
                    rating_group: None,
                    service_identifier: None,
                }
                .encode(header, out);
            })
            .await?;
        session_answer(&answer, peer, "RAR")
    }
}

/// 5002: the client has no such session, which is what ending it wants.
fn session_answer(answer: &Message, host: &str, operation: &'static str) -> Result<bool, NetworkError> {
    if is_outcome(answer, ResultCode::UNKNOWN_SESSION_ID.into()) {
        return Ok(false);
    }
    accepted(answer, host, operation).map(|()| true)
}

fn action(kind: OrderKind) -> Action {
    match kind {
        OrderKind::Activate => Action::Activate,
        OrderKind::Suspend => Action::Suspend,
        OrderKind::Resume => Action::Resume,
        OrderKind::Terminate => Action::Terminate,
        OrderKind::Reconnect => Action::Reconnect,
        OrderKind::Modify => Action::Modify,
    }
}

fn characteristics<'a>(command: &'a ProvisionCommand, apns: &'a Vec<&'a str>) -> Characteristics<'a> {
    let profile = &command.profile;
    let access = match profile.access {
        Access::Cellular => LpAccess::Cellular,
        Access::Internet => LpAccess::Internet,
        Access::Tv => LpAccess::Tv,
    };
    Characteristics {
        imsi: profile.imsi.as_deref(),
        msisdn: profile.msisdn.as_deref(),
        device_id: profile.device.as_ref().map(|d| d.as_str()),
        apns: List::from(apns),
        plan: Some(profile.plan.as_str()),
        service_address: profile.address.as_deref(),
        ..Characteristics::new(access)
    }
}

fn held(answer: &Message, host: &str, operation: &'static str) -> Result<Held, NetworkError> {
    let unreadable = |error| {
        debug!(%error, operation, "unreadable answer");
        NetworkError::Unknown { element: host.to_owned(), operation }
    };
    let line = LineAnswer::parse(answer).map_err(unreadable)?;
    let state = match line.line_state {
        Some(lp::LineState::Active) => LineState::Active,
        Some(lp::LineState::Suspended) => LineState::Suspended,
        Some(lp::LineState::Terminated) => LineState::Terminated,
        Some(lp::LineState::Absent) | None => LineState::Absent,
    };
    let (mut apns, mut plan) = (Vec::new(), None);
    if let Some(characteristics) = &line.characteristics {
        for apn in characteristics.apns.iter() {
            apns.push(apn.map_err(unreadable)?.to_owned());
        }
        plan = characteristics.plan.map(str::to_owned);
    }
    Ok(Held { state, last_key: line.last_order_id.map(str::to_owned), apns, plan })
}
