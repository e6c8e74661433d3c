//! Gy load: sessions of CCR-I, some CCR-U and CCR-T on every peer connection, so
//! many at once, each waiting for its answer before its next request.
//!
//! A unit is a request. When the load is over no session is opened and the open
//! ones are terminated, so that no reservation is left behind; those last
//! requests come on top of the count.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo, refuse};
use linegate_diameter::apps::base::{PlainAnswer, TerminationCause};
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, PsInformation, ReportingReason, ServiceInformation, ServiceRequest, Subscriber,
    Units, UsedUnit,
};
use linegate_diameter::apps::{Answered, Route};
use linegate_diameter::dictionary::command;
use linegate_diameter::{Header, Message, Outcome, ResultCode, Time};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Bounds, Course, Pace, Summary, Tally, conduct};
use crate::element::{Role, charging};
use crate::lines::LineRange;
use crate::wire::{self, Identity, Opened, code_of};

/// How late a unit may start under a rate before it is shed.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How long the last answers may take.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// What to load.
#[derive(Debug, Clone)]
pub struct GyLoad {
    /// The gateway's Diameter listener.
    pub gateway: SocketAddr,
    /// Peer connections. Default 2.
    pub peers: u64,
    /// Sessions under way on each connection. Default 64.
    pub outstanding: u32,
    /// The subscribers, used in turn.
    pub lines: LineRange,
    /// CCR-U of each session. Default 3.
    pub updates: u32,
    /// Octets reported by each CCR-U and CCR-T, for each rating group. Default 10,000.
    pub octets: u64,
    /// Rating groups of each session. Default one, number 1.
    pub rating_groups: Vec<u32>,
    /// When it stops.
    pub bounds: Bounds,
    /// The gateway's process, for its CPU time.
    pub server_pid: Option<u32>,
}

impl GyLoad {
    /// The defaults on a gateway.
    pub fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            peers: 2,
            outstanding: 64,
            lines: LineRange::default(),
            updates: 3,
            octets: 10_000,
            rating_groups: vec![1],
            bounds: Bounds::default(),
            server_pid: None,
        }
    }
}

/// Runs it. Errors only where a connection cannot be opened at the start.
pub async fn run(config: GyLoad) -> anyhow::Result<Summary> {
    let config = Arc::new(config);
    let mut opened = Vec::new();
    for index in 0..config.peers.max(1) {
        let identity = Identity::new(&format!("load-{index}.network.example"), Role::PgwC.applications());
        let stream =
            TcpStream::connect(config.gateway).await.with_context(|| format!("connect to {}", config.gateway))?;
        let dialled = timeout(LAST_WAIT, wire::dial(stream, &identity)).await.context("no CEA in time")??;
        opened.push((index, dialled, identity));
    }
    let course = Course::new(config.bounds);
    let tasks = opened
        .into_iter()
        .map(|(index, opened, identity)| {
            tokio::spawn(Connection::new(index, Arc::clone(&config), Arc::clone(&course), identity).run(opened))
        })
        .collect();
    Ok(conduct("gy", course, config.server_pid, tasks).await)
}

/// One session's place.
struct Slot {
    session_id: String,
    line: u64,
    /// 0 is CCR-I, then the CCR-U, last the CCR-T; the CC-Request-Number too.
    step: u32,
    termination: bool,
    /// When the request under way was due.
    due: Option<Instant>,
}

struct Connection {
    index: u64,
    config: Arc<GyLoad>,
    course: Arc<Course>,
    identity: Identity,
    origin: Origin,
    started: u32,
    sessions: u64,
    next_end_to_end: u32,
    slots: Vec<Slot>,
    ready: VecDeque<u32>,
    in_flight: u64,
    pace: Pace,
    out: BytesMut,
    tally: Tally,
}

impl Connection {
    fn new(index: u64, config: Arc<GyLoad>, course: Arc<Course>, identity: Identity) -> Self {
        let slot = |_| Slot { session_id: String::new(), line: 0, step: 0, termination: false, due: None };
        let outstanding = config.outstanding.max(1);
        Self {
            index,
            origin: identity.origin(),
            identity,
            started: crate::clock::unix_seconds(),
            sessions: 0,
            next_end_to_end: crate::clock::unix_seconds() << 20,
            slots: (0..outstanding).map(slot).collect(),
            ready: (0..outstanding).collect(),
            in_flight: 0,
            pace: Pace::new(config.bounds.rate, config.peers, course.began),
            out: BytesMut::with_capacity(64 << 10),
            tally: Tally::default(),
            config,
            course,
        }
    }

    async fn run(mut self, opened: Opened) -> Tally {
        if let Err(error) = self.drive(opened).await {
            tracing::warn!(peer = self.index, "gy load ended: {error:#}");
            self.tally.errors += 1;
        }
        self.tally.unanswered += self.in_flight;
        self.tally
    }

    async fn drive(&mut self, opened: Opened) -> anyhow::Result<()> {
        let Opened { mut reader, mut writer, .. } = opened;
        loop {
            let now = crate::clock::now();
            self.fill(now);
            if !self.out.is_empty() {
                writer.write_all_buf(&mut self.out).await.context("write to gateway")?;
            }
            let over = self.course.is_over(now);
            if over && self.in_flight == 0 {
                return Ok(());
            }
            let last = self.course.began + self.config.bounds.time_max + LAST_WAIT;
            let wake = self.pace.wake().filter(|_| !self.ready.is_empty() && !over).unwrap_or(last).min(last);
            let read = tokio::select! {
                read = reader.read() => read?,
                () = tokio::time::sleep_until(wake.into()) => {
                    if crate::clock::now() >= last {
                        return Ok(());
                    }
                    continue;
                }
            };
            let mut message = Some(read.context("gateway closed the connection")?);
            let now = crate::clock::now();
            while let Some(one) = message {
                self.take(&one, now);
                message = reader.buffered()?;
            }
        }
    }

    /// Sends for every slot that is ready, as far as the pace lets it.
    fn fill(&mut self, now: Instant) {
        self.tally.shed += self.pace.shed(now, LATE_MAX);
        let over = self.course.is_over(now);
        for _ in 0..self.ready.len() {
            let Some(&index) = self.ready.front() else { return };
            let opens = self.slots[index as usize].step == 0;
            if over && opens {
                self.ready.pop_front();
                continue;
            }
            // The terminations that end the load do not wait for their turn.
            let Some(due) = (if over { Some(now) } else { self.pace.due(now) }) else { return };
            if !over && !self.course.start_one(now) && opens {
                self.ready.pop_front();
                continue;
            }
            self.ready.pop_front();
            self.send(index, due, over);
        }
    }

    fn send(&mut self, index: u32, due: Instant, over: bool) {
        let config = Arc::clone(&self.config);
        let slot = &mut self.slots[index as usize];
        if slot.step == 0 {
            slot.session_id.clear();
            let low = self.sessions;
            let _infallible = write!(slot.session_id, "{};{};{low}", self.identity.host, self.started);
            slot.line = (self.sessions * config.peers + self.index) % config.lines.lines.max(1);
            slot.termination = false;
            self.sessions += 1;
        } else if over || slot.step > config.updates {
            slot.termination = true;
        }
        slot.due = Some(due);
        let kind = match (slot.step, slot.termination) {
            (0, _) => CcRequestType::Initial,
            (_, true) => CcRequestType::Termination,
            (_, false) => CcRequestType::Update,
        };
        self.next_end_to_end = self.next_end_to_end.wrapping_add(1);
        let header = Header { hop_by_hop: index, end_to_end: self.next_end_to_end, ..CcRequest::header() };
        encode(&config, &self.identity, slot, kind, &header, &mut self.out);
        self.in_flight += 1;
    }

    fn take(&mut self, message: &Message, now: Instant) {
        if message.header.is_request() {
            self.answer(message);
            return;
        }
        let index = message.header.hop_by_hop;
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(due) = slot.due.take() else { return };
        self.in_flight -= 1;
        self.tally.answered += 1;
        self.course.answered(1);
        let us = now.duration_since(due.min(now)).as_micros();
        self.tally.latency.record(u64::try_from(us).unwrap_or(u64::MAX));
        let good = count_codes(message, &mut self.tally);
        let slot = &mut self.slots[index as usize];
        slot.step = match (good, slot.termination, slot.step) {
            (_, true, _) | (false, false, 0) => 0,
            // Whatever went wrong inside a session, it is ended.
            (false, false, step) => {
                slot.termination = true;
                step + 1
            }
            (true, false, step) => step + 1,
        };
        self.ready.push_back(index);
    }

    /// The gateway's own requests: watchdog, and what wants sessions that are
    /// too short to be found.
    fn answer(&mut self, request: &Message) {
        match request.header.command_code {
            command::DEVICE_WATCHDOG | command::DISCONNECT_PEER => {
                let origin_state_id = Some(self.identity.origin_state_id);
                let answer = PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id };
                answer.encode(&ReplyTo::new(request), &self.origin, &mut self.out);
            }
            command::RE_AUTH | command::ABORT_SESSION => {
                refuse(request, ResultCode::UNKNOWN_SESSION_ID, &[], None, &self.origin, &mut self.out);
            }
            _ => refuse(request, ResultCode::COMMAND_UNSUPPORTED, &[], None, &self.origin, &mut self.out),
        }
    }
}

/// Counts the results; whether the command succeeded.
fn count_codes(message: &Message, tally: &mut Tally) -> bool {
    let Ok(answered) = Answered::parse(message) else {
        tally.errors += 1;
        return false;
    };
    *tally.codes.entry(code_of(answered.outcome)).or_default() += 1;
    if let Ok(answer) = CcAnswer::parse(message) {
        for code in answer.services.iter().filter_map(Result::ok).filter_map(|service| service.result_code) {
            *tally.group_codes.entry(code.0).or_default() += 1;
        }
    }
    answered.outcome.is_success()
}

fn encode(config: &GyLoad, identity: &Identity, slot: &Slot, kind: CcRequestType, header: &Header, out: &mut BytesMut) {
    let imsi = config.lines.imsi(slot.line);
    let (up, down) = (config.octets / 4, config.octets - config.octets / 4);
    let used = [UsedUnit { units: charging::octets_of(up, down), ..UsedUnit::default() }];
    let initial = kind == CcRequestType::Initial;
    let last = kind == CcRequestType::Termination;
    let service = |group: &u32| ServiceRequest {
        rating_group: Some(*group),
        requested: (!last).then(Units::default),
        used: if initial { Default::default() } else { (&used).into() },
        reporting_reason: match kind {
            CcRequestType::Initial | CcRequestType::Event => None,
            CcRequestType::Update => Some(ReportingReason::QuotaExhausted),
            CcRequestType::Termination => Some(ReportingReason::Final),
        },
        ..ServiceRequest::default()
    };
    let services: Vec<ServiceRequest<'_>> = config.rating_groups.iter().map(service).collect();
    let route = Route {
        session_id: &slot.session_id,
        origin_host: &identity.host,
        origin_realm: &identity.realm,
        destination_host: None,
        destination_realm: &identity.destination_realm,
    };
    let request = CcRequest {
        event_timestamp: Time::from_unix_seconds(crate::clock::unix_ms() / 1000),
        subscriber: Subscriber { imsi: Some(&imsi), msisdn: None },
        termination_cause: last.then_some(TerminationCause::LOGOUT),
        multiple_services: true,
        services: (&services).into(),
        service_information: Some(ServiceInformation {
            ps: Some(PsInformation { called_station_id: Some(&config.lines.apn), ..PsInformation::default() }),
            ..ServiceInformation::default()
        }),
        ..CcRequest::new(route, charging::SERVICE_CONTEXT, kind, slot.step)
    };
    request.encode(header, out);
}
