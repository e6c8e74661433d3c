//! The charging side of a PGW-C: Gy sessions (RFC 8506, TS 32.299) with usage
//! that a test scripts, Rf records, and the answers to RAR and ASR.
//!
//! Invariant: what was used is reported once: octets leave the unreported pile
//! when the request that carries them is numbered, and that request is sent,
//! with T, until it is answered or the attempts run out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::BytesMut;
use linegate_diameter::answer::ReplyTo;
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::base::{AbortSessionRequest, PlainAnswer, ReAuthRequest, TerminationCause};
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, FinalUnitAction, PsInformation, ReportingReason, ServiceInformation,
    ServiceRequest, Subscriber, TrafficVolume, Units, UsedUnit,
};
use linegate_diameter::apps::rf::{AccountingRequest, RecordType};
use linegate_diameter::codec::AvpError;
use linegate_diameter::{Message, Outcome, ResultCode, Time};
use tokio::sync::Mutex;

use super::{Core, Dealt, ElementHandle};
use crate::peer::Peer;
use crate::wire::{code_of, encoded};

/// Packet-switched charging (TS 32.299 section 7.1.12).
pub(crate) const SERVICE_CONTEXT: &str = "32251@3gpp.org";

/// What a session is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Subscriber.
    pub imsi: String,
    /// Subscriber's number.
    pub msisdn: Option<String>,
    /// Called-Station-Id.
    pub apn: String,
    /// Rating groups; usage without one goes to the first. Default 1.
    pub rating_groups: Vec<u32>,
    /// Octets asked for with each request; `None` lets the gateway decide.
    pub requested_octets: Option<u64>,
    /// Leave Subscription-Id out of updates and terminations, as PGWs do that
    /// count on Session-Id.
    pub subscriber_in_initial_only: bool,
}

impl SessionConfig {
    /// One rating group, the gateway decides on the quota.
    pub fn new(imsi: &str, apn: &str) -> Self {
        Self {
            imsi: imsi.into(),
            msisdn: None,
            apn: apn.into(),
            rating_groups: vec![1],
            requested_octets: None,
            subscriber_in_initial_only: false,
        }
    }
}

/// One rating group's part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupAnswer {
    /// Rating-Group.
    pub rating_group: u32,
    /// Its own Result-Code.
    pub result_code: Option<u32>,
    /// CC-Total-Octets granted; `None` for no grant.
    pub granted_octets: Option<u64>,
    /// Validity-Time, seconds.
    pub validity_secs: Option<u32>,
    /// Final-Unit-Action, where the grant is the last.
    pub final_unit: Option<&'static str>,
}

/// A credit-control answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreditAnswer {
    /// Result-Code of the command.
    pub result_code: u32,
    /// CC-Request-Number.
    pub request_number: u32,
    /// Each rating group.
    pub groups: Vec<GroupAnswer>,
}

impl CreditAnswer {
    /// 2xxx for the command as a whole.
    pub fn is_success(&self) -> bool {
        self.result_code / 1000 == 2
    }

    /// Octets granted over all groups.
    pub fn granted_octets(&self) -> u64 {
        self.groups.iter().filter_map(|group| group.granted_octets).sum()
    }
}

/// One step of scripted usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageStep {
    /// Wait before it.
    pub after: Duration,
    /// Octets from the user.
    pub up: u64,
    /// Octets to the user.
    pub down: u64,
}

/// What [`Session::spend`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Octets that flowed.
    pub octets: u64,
    /// Result-Code of the group whose last grant ended the session.
    pub stopped: Option<u32>,
}

/// A charging session. Clones are handles to the same one.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    config: SessionConfig,
    element: ElementHandle,
    open: AtomicBool,
    /// Held while a request is under way: one at a time, in order.
    turn: Mutex<Turn>,
    unreported: SyncMutex<BTreeMap<u32, (u64, u64)>>,
    answers: SyncMutex<Vec<CreditAnswer>>,
}

#[derive(Default)]
struct Turn {
    next_number: u32,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.shared.id).field("open", &self.is_open()).finish_non_exhaustive()
    }
}

impl ElementHandle {
    /// Opens a Gy session with CCR-I. The session is there even when the answer
    /// is a refusal; it is open only after a success.
    pub async fn open_session(&self, config: SessionConfig) -> anyhow::Result<(Session, CreditAnswer)> {
        let shared = Shared {
            id: self.next_session_id(),
            config,
            element: self.clone(),
            open: AtomicBool::new(false),
            turn: Mutex::new(Turn::default()),
            unreported: SyncMutex::new(BTreeMap::new()),
            answers: SyncMutex::new(Vec::new()),
        };
        let session = Session { shared: Arc::new(shared) };
        let answer = session.credit(CcRequestType::Initial, None, None).await.context("open session")?;
        if answer.is_success() {
            session.shared.open.store(true, Ordering::Release);
            self.core.state().sessions.insert(session.id().to_owned(), session.clone());
        }
        Ok((session, answer))
    }

    /// The sessions that are open.
    pub fn sessions(&self) -> Vec<Session> {
        self.core.state().sessions.values().cloned().collect()
    }

    /// Opens an Rf session: ACR start. `Ok` brings the Result-Code too.
    pub async fn start_accounting(&self, imsi: &str, apn: &str) -> anyhow::Result<(AccountingSession, u32)> {
        let mut session = AccountingSession {
            id: self.next_session_id(),
            imsi: imsi.into(),
            apn: apn.into(),
            element: self.clone(),
            next_number: 0,
        };
        let code = session.record(RecordType::Start, 0, 0).await?;
        Ok((session, code))
    }

    /// One Rf event record (ACR event); its Result-Code.
    pub async fn accounting_event(&self, imsi: &str, apn: &str, up: u64, down: u64) -> anyhow::Result<u32> {
        let mut session = AccountingSession {
            id: self.next_session_id(),
            imsi: imsi.into(),
            apn: apn.into(),
            element: self.clone(),
            next_number: 0,
        };
        session.record(RecordType::Event, up, down).await
    }
}

impl Session {
    /// Session-Id.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// What it was opened with.
    pub fn config(&self) -> &SessionConfig {
        &self.shared.config
    }

    /// Whether it was granted and has not ended.
    pub fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Every answer it was given, oldest first.
    pub fn answers(&self) -> Vec<CreditAnswer> {
        self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses octets of the first rating group without a report; the next report,
    /// RAR or ASR carries them.
    pub fn consume(&self, up: u64, down: u64) {
        let group = self.shared.config.rating_groups.first().copied().unwrap_or(1);
        self.consume_in(group, up, down);
    }

    /// Uses octets of a rating group without a report.
    pub fn consume_in(&self, rating_group: u32, up: u64, down: u64) {
        let mut unreported = self.shared.unreported.lock().unwrap_or_else(PoisonError::into_inner);
        let pile = unreported.entry(rating_group).or_default();
        *pile = (pile.0.saturating_add(up), pile.1.saturating_add(down));
    }

    /// Reports usage of the first rating group and asks for more: CCR-U.
    pub async fn report(&self, up: u64, down: u64) -> anyhow::Result<CreditAnswer> {
        self.consume(up, down);
        self.credit(CcRequestType::Update, Some(ReportingReason::QuotaExhausted), None).await.context("report usage")
    }

    /// Reports what is unreported: CCR-U with a reason.
    pub async fn update(&self, reason: ReportingReason) -> anyhow::Result<CreditAnswer> {
        self.credit(CcRequestType::Update, Some(reason), None).await.context("update session")
    }

    /// Ends the session with what is unreported: CCR-T.
    pub async fn terminate(&self) -> anyhow::Result<CreditAnswer> {
        self.end(TerminationCause::LOGOUT).await
    }

    /// Uses up to `octets` of the first rating group as a PGW-C does: spends what
    /// is granted, reports and asks when it is used up, and terminates when the
    /// last grant is. Traffic without a grant does not flow. What is left of the
    /// last grant at the end stays unreported.
    pub async fn spend(&self, octets: u64) -> anyhow::Result<Spent> {
        let mut spent = Spent { octets: 0, stopped: None };
        while spent.octets < octets && self.is_open() {
            let last = self.answers().pop().unwrap_or_default();
            let group = last.groups.first().cloned().unwrap_or_default();
            let grant = group.granted_octets.unwrap_or(0);
            let used = grant.min(octets - spent.octets);
            self.consume(used / 4, used - used / 4);
            spent.octets += used;
            if used < grant {
                break;
            }
            if group.final_unit.is_some() || grant == 0 {
                spent.stopped = Some(group.result_code.unwrap_or(last.result_code));
                self.terminate().await?;
                break;
            }
            if spent.octets < octets {
                self.update(ReportingReason::QuotaExhausted).await?;
            }
        }
        Ok(spent)
    }

    /// Plays a script; stops early when the session ends or is refused.
    pub async fn play(&self, script: &[UsageStep]) -> anyhow::Result<()> {
        for step in script {
            tokio::time::sleep(step.after).await;
            if !self.is_open() || !self.report(step.up, step.down).await?.is_success() {
                break;
            }
        }
        Ok(())
    }

    async fn end(&self, cause: TerminationCause) -> anyhow::Result<CreditAnswer> {
        // Of two that end it at once, one sends the CCR-T.
        if !self.shared.open.swap(false, Ordering::AcqRel) {
            anyhow::bail!("session {} is not open", self.id());
        }
        self.shared.element.core.state().sessions.remove(self.id());
        self.credit(CcRequestType::Termination, Some(ReportingReason::Final), Some(cause))
            .await
            .context("terminate session")
    }

    async fn credit(
        &self,
        kind: CcRequestType,
        reason: Option<ReportingReason>,
        cause: Option<TerminationCause>,
    ) -> anyhow::Result<CreditAnswer> {
        let mut turn = self.shared.turn.lock().await;
        let number = turn.next_number;
        turn.next_number += 1;
        let frame = self.encode(kind, number, reason, cause);
        let element = &self.shared.element;
        let answer = element.peer.call_until_answered(frame, element.core.charging_attempts).await?;
        let answer = read_credit(&answer, number)?;
        self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer.clone());
        Ok(answer)
    }

    /// The request, with everything unreported taken off the pile.
    fn encode(
        &self,
        kind: CcRequestType,
        number: u32,
        reason: Option<ReportingReason>,
        cause: Option<TerminationCause>,
    ) -> BytesMut {
        let config = &self.shared.config;
        let mut piles = std::mem::take(&mut *self.shared.unreported.lock().unwrap_or_else(PoisonError::into_inner));
        for group in &config.rating_groups {
            piles.entry(*group).or_default();
        }
        let used: Vec<(u32, [UsedUnit; 1])> = piles
            .into_iter()
            .map(|(group, (up, down))| (group, [UsedUnit { units: octets_of(up, down), ..UsedUnit::default() }]))
            .collect();
        let asks = kind != CcRequestType::Termination;
        let services: Vec<ServiceRequest<'_>> = used
            .iter()
            .map(|(group, used)| ServiceRequest {
                rating_group: Some(*group),
                requested: asks.then(|| config.requested_octets.map_or(Units::default(), Units::octets)),
                used: if kind == CcRequestType::Initial { Default::default() } else { used.into() },
                reporting_reason: reason,
                ..ServiceRequest::default()
            })
            .collect();
        let element = &self.shared.element;
        let named = kind == CcRequestType::Initial || !config.subscriber_in_initial_only;
        let subscriber = Subscriber { imsi: Some(&config.imsi), msisdn: config.msisdn.as_deref() };
        let request = CcRequest {
            origin_state_id: Some(element.peer.identity().origin_state_id),
            event_timestamp: Time::from_unix_seconds(crate::clock::unix_ms() / 1000),
            subscriber: if named { subscriber } else { Subscriber::default() },
            termination_cause: cause,
            multiple_services: true,
            services: (&services).into(),
            service_information: Some(ServiceInformation {
                ps: Some(PsInformation { called_station_id: Some(&config.apn), ..PsInformation::default() }),
                ..ServiceInformation::default()
            }),
            ..CcRequest::new(element.route(&self.shared.id), SERVICE_CONTEXT, kind, number)
        };
        let mut frame = BytesMut::with_capacity(512);
        request.encode(&element.peer.header(CcRequest::header()), &mut frame);
        frame
    }
}

/// Octets as a Used-Service-Unit reports them: both ways and their sum.
pub(crate) fn octets_of(up: u64, down: u64) -> Units {
    Units { input_octets: Some(up), output_octets: Some(down), ..Units::octets(up.saturating_add(down)) }
}

pub(crate) fn read_credit(message: &Message, number: u32) -> anyhow::Result<CreditAnswer> {
    let answered = Answered::parse(message).map_err(|error| anyhow::anyhow!("read CCA: {error:?}"))?;
    let result_code = code_of(answered.outcome);
    // An answer with the E bit, and a refusal by the generic grammar, say no more.
    let Ok(answer) = CcAnswer::parse(message) else {
        return Ok(CreditAnswer { result_code, request_number: number, groups: Vec::new() });
    };
    let groups = answer.services.iter().filter_map(Result::ok).map(|service| GroupAnswer {
        rating_group: service.rating_group.unwrap_or_default(),
        result_code: service.result_code.map(|code| code.0),
        granted_octets: service.granted.and_then(|grant| grant.units.total_octets),
        validity_secs: service.validity_time,
        final_unit: service.final_unit.map(|unit| match unit.action {
            FinalUnitAction::Terminate => "terminate",
            FinalUnitAction::Redirect => "redirect",
            FinalUnitAction::RestrictAccess => "restrict",
        }),
    });
    Ok(CreditAnswer { result_code, request_number: answer.request_number, groups: groups.collect() })
}

/// An Rf session.
#[derive(Debug)]
pub struct AccountingSession {
    id: String,
    imsi: String,
    apn: String,
    element: ElementHandle,
    next_number: u32,
}

impl AccountingSession {
    /// Session-Id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// ACR interim with the octets since the last record; its Result-Code.
    pub async fn interim(&mut self, up: u64, down: u64) -> anyhow::Result<u32> {
        self.record(RecordType::Interim, up, down).await
    }

    /// ACR stop with the octets since the last record; its Result-Code.
    pub async fn stop(&mut self, up: u64, down: u64) -> anyhow::Result<u32> {
        self.record(RecordType::Stop, up, down).await
    }

    async fn record(&mut self, kind: RecordType, up: u64, down: u64) -> anyhow::Result<u32> {
        let number = self.next_number;
        self.next_number += 1;
        let now = Time::from_unix_seconds(crate::clock::unix_ms() / 1000);
        let volume = TrafficVolume {
            input_octets: Some(up),
            output_octets: Some(down),
            qci: None,
            change_condition: None,
            change_time: now,
        };
        let traffic = if kind == RecordType::Start { Vec::new() } else { vec![volume] };
        let subscriber = Subscriber { imsi: Some(&self.imsi), msisdn: None };
        let request = AccountingRequest {
            origin_state_id: Some(self.element.peer.identity().origin_state_id),
            event_timestamp: now,
            service_context_id: Some(SERVICE_CONTEXT),
            service_information: Some(ServiceInformation {
                subscriber,
                ps: Some(PsInformation {
                    called_station_id: Some(&self.apn),
                    traffic: (&traffic).into(),
                    ..PsInformation::default()
                }),
            }),
            ..AccountingRequest::new(self.element.route(&self.id), kind, number)
        };
        let mut frame = BytesMut::with_capacity(512);
        request.encode(&self.element.peer.header(AccountingRequest::header()), &mut frame);
        let answer = self.element.peer.call_until_answered(frame, self.element.core.charging_attempts).await?;
        let answered = Answered::parse(&answer).map_err(|error| anyhow::anyhow!("read ACA: {error:?}"))?;
        Ok(code_of(answered.outcome))
    }
}

impl Core {
    /// RAA, and then the CCR-U that it promises (RFC 8506 section 5.5).
    pub(super) fn re_auth(&self, peer: &Peer, message: &Message) -> Result<Dealt, AvpError> {
        let request = ReAuthRequest::parse(message)?;
        let session = self.state().sessions.get(request.route.session_id).cloned();
        let code = if session.is_some() { ResultCode::LIMITED_SUCCESS } else { ResultCode::UNKNOWN_SESSION_ID };
        if let Some(session) = session {
            tokio::spawn(async move {
                if let Err(error) = session.update(ReportingReason::ForcedReauthorisation).await {
                    tracing::debug!(session = session.id(), "update after RAR: {error:#}");
                }
            });
        }
        Ok(answered(peer, message, code))
    }

    /// ASA, and then the CCR-T with the last usage (RFC 6733 section 8.5).
    pub(super) fn abort_session(&self, peer: &Peer, message: &Message) -> Result<Dealt, AvpError> {
        let request = AbortSessionRequest::parse(message)?;
        let session = self.state().sessions.get(request.route.session_id).cloned();
        let code = if session.is_some() { ResultCode::SUCCESS } else { ResultCode::UNKNOWN_SESSION_ID };
        if let Some(session) = session {
            end_later(session);
        }
        Ok(answered(peer, message, code))
    }

    pub(super) fn end_sessions_of(&self, imsi: &str) {
        let ended: Vec<Session> =
            self.state().sessions.values().filter(|session| session.config().imsi == imsi).cloned().collect();
        ended.into_iter().for_each(end_later);
    }
}

fn end_later(session: Session) {
    tokio::spawn(async move {
        if let Err(error) = session.end(TerminationCause::ADMINISTRATIVE).await {
            tracing::debug!(session = session.id(), "end session: {error:#}");
        }
    });
}

fn answered(peer: &Peer, request: &Message, code: ResultCode) -> Dealt {
    let answer = PlainAnswer { outcome: Outcome::Result(code), origin_state_id: Some(peer.identity().origin_state_id) };
    Dealt { frame: encoded(|out| answer.encode(&ReplyTo::new(request), peer.origin(), out)), result_code: code.0 }
}
