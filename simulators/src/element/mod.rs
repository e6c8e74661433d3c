//! A network element over Diameter: HSS front end, MME, PGW-C, OLT or
//! television head end, alone or several in one.
//!
//! Owns the truth that the gateway asks for: the lines provisioned on it, the
//! subscribers attached to it, the sessions it charges. Everything it holds and
//! received can be read, every fault can be set while it runs.
//!
//! Invariants: a command is recorded before it is answered; a session's credit
//! requests leave one at a time, in the order of their numbers.

pub(crate) mod charging;
mod events;
mod faults;
mod mobility;
mod register;
pub mod script;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::answer::{ReplyTo, refuse, refuse_avp, refuse_report};
use linegate_diameter::apps::base::Application;
use linegate_diameter::apps::lp::{self, Characteristics, LineAnswer, LineState, ProvisionRequest, QueryRequest};
use linegate_diameter::codec::AvpError;
use linegate_diameter::dictionary::{Strictness, application, check, command, vendor};
use linegate_diameter::{Message, Outcome, ResultCode};

pub use charging::{AccountingSession, CreditAnswer, GroupAnswer, Session, SessionConfig, Spent, UsageStep};
pub use events::{Event, EventAnswer, EventUnits};
pub use faults::{Fault, FaultRule, Struck};
pub use linegate_diameter::apps::lp::{Access, LineState as HeldState};
pub use mobility::{AttachError, Attachment, Cancelled};
pub use register::HeldLine;

use crate::peer::{CallError, Endpoint, Handler, LinkSettings, Peer, Reaction};
use crate::wire::{Identity, code_of, encoded};

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// HSS front end: line provisioning of cellular lines.
    Hss,
    /// MME: attaches subscribers, S6a.
    Mme,
    /// PGW-C: charges sessions, Gy and Rf.
    PgwC,
    /// OLT: line provisioning of internet lines.
    Olt,
    /// Television head end: line provisioning of television lines.
    TvHeadEnd,
}

impl Role {
    /// Every role, with the name that the command line uses.
    pub const ALL: [(&'static str, Role); 5] =
        [("hss", Role::Hss), ("mme", Role::Mme), ("pgw", Role::PgwC), ("olt", Role::Olt), ("tv", Role::TvHeadEnd)];

    /// What CER announces for it.
    pub const fn applications(self) -> &'static [Application] {
        const PROVISIONING: &[Application] =
            &[Application::vendor_auth(vendor::EXAMPLE, application::LINE_PROVISIONING)];
        const MOBILITY: &[Application] = &[Application::vendor_auth(vendor::TGPP, application::S6A)];
        const CHARGING: &[Application] = &[
            Application::auth(application::CREDIT_CONTROL),
            Application::vendor_auth(vendor::TGPP, application::CREDIT_CONTROL),
            Application::acct(application::ACCOUNTING),
        ];
        match self {
            Role::Hss | Role::Olt | Role::TvHeadEnd => PROVISIONING,
            Role::Mme => MOBILITY,
            Role::PgwC => CHARGING,
        }
    }
}

/// How an element starts.
#[derive(Debug, Clone)]
pub struct ElementConfig {
    /// Dial the gateway, or wait for it.
    pub endpoint: Endpoint,
    /// Who it is; applications are those of the roles.
    pub identity: Identity,
    /// How it behaves on its link.
    pub link: LinkSettings,
    /// Commands kept for [`ElementHandle::commands_received`]; the oldest go
    /// first. Default 100,000.
    pub commands_kept_max: usize,
    /// How often a credit or accounting request is sent in all when no answer
    /// comes. Default 5.
    pub charging_attempts: u32,
}

impl ElementConfig {
    /// An element of these roles named `host` that dials the gateway.
    pub fn new(host: &str, roles: &[Role], gateway: SocketAddr) -> Self {
        let applications: Vec<Application> = roles.iter().flat_map(|role| role.applications()).copied().collect();
        Self {
            endpoint: Endpoint::Connect(gateway),
            identity: Identity::new(host, &applications),
            link: LinkSettings::default(),
            commands_kept_max: 100_000,
            charging_attempts: 5,
        }
    }
}

/// One request of the gateway, as it was dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedCommand {
    /// Command code.
    pub command_code: u32,
    /// Its name: `Provision`, `IDR`, `RAR`.
    pub name: &'static str,
    /// What it was about: line id, IMSI or Session-Id; empty when it could not be read.
    pub subject: String,
    /// Order-Id of a Provision.
    pub order: Option<String>,
    /// Result-Code or Experimental-Result-Code it was given; `None` for silence.
    pub result_code: Option<u32>,
    /// It had the T flag.
    pub retransmitted: bool,
}

/// Starts elements.
#[derive(Debug)]
pub struct Element;

impl Element {
    /// Starts one; it connects in the background and keeps coming back.
    pub fn start(config: ElementConfig) -> ElementHandle {
        let core = Arc::new(Core {
            commands_kept_max: config.commands_kept_max,
            charging_attempts: config.charging_attempts,
            next_session: AtomicU32::new(1),
            started: crate::clock::unix_seconds(),
            state: Mutex::new(State::default()),
        });
        let peer = Peer::start(config.endpoint, config.identity, config.link, Arc::clone(&core) as Arc<dyn Handler>);
        ElementHandle { core, peer }
    }
}

/// A running element. Clones are handles to the same one; it ends with
/// [`ElementHandle::shutdown`].
#[derive(Debug, Clone)]
pub struct ElementHandle {
    core: Arc<Core>,
    peer: Peer,
}

impl ElementHandle {
    /// Sets the one fault, for every command, until cleared.
    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.core.state();
        state.faults.clear();
        state.faults.add(FaultRule::always(fault));
    }

    /// Adds a fault with its limits behind those set already; first match wins.
    pub fn add_fault(&self, rule: FaultRule) {
        self.core.state().faults.add(rule);
    }

    /// Clears every fault; a connection that one cut stays cut until [`ElementHandle::reconnect`].
    pub fn clear(&self) {
        self.core.state().faults.clear();
    }

    /// Every line it holds, by line id.
    pub fn lines(&self) -> BTreeMap<String, HeldLine> {
        self.core.state().register.lines()
    }

    /// One line it holds.
    pub fn line(&self, id: &str) -> Option<HeldLine> {
        self.core.state().register.line(id).cloned()
    }

    /// Puts a line there behind the gateway's back, for reconciliation to find.
    pub fn put_line(&self, id: &str, line: HeldLine) {
        self.core.state().register.put(id, line);
    }

    /// Loses a line behind the gateway's back.
    pub fn forget_line(&self, id: &str) -> Option<HeldLine> {
        self.core.state().register.forget(id)
    }

    /// What the gateway asked of it, oldest first.
    pub fn commands_received(&self) -> Vec<ReceivedCommand> {
        self.core.state().commands.iter().cloned().collect()
    }

    /// How many commands came in all, those no longer kept too.
    pub fn commands_count(&self) -> u64 {
        self.core.state().commands_total
    }

    /// The commands that came after the first `seen`, as far as they are kept.
    pub fn commands_since(&self, seen: u64) -> Vec<ReceivedCommand> {
        let state = self.core.state();
        let kept = state.commands.len();
        let new = usize::try_from(state.commands_total.saturating_sub(seen)).unwrap_or(kept);
        state.commands.iter().skip(kept - new.min(kept)).cloned().collect()
    }

    /// Whether its link to the gateway is up.
    pub fn is_connected(&self) -> bool {
        self.peer.is_connected()
    }

    /// Waits for the link; false when the time ran out.
    pub async fn connected_within(&self, wait: Duration) -> bool {
        self.peer.connected_within(wait).await
    }

    /// Cuts the link without a word and stays away.
    pub fn disconnect(&self) {
        self.peer.cut();
    }

    /// Leaves with DPR and stays away.
    pub fn leave(&self) {
        self.peer.leave();
    }

    /// Comes back.
    pub fn reconnect(&self) {
        self.peer.reconnect();
    }

    /// Ends the element.
    pub fn shutdown(&self) {
        self.peer.shutdown();
    }

    /// Its node, for its address and its counters.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    fn next_session_id(&self) -> String {
        let low = self.core.next_session.fetch_add(1, Ordering::Relaxed);
        format!("{};{};{low}", self.peer.identity().host, self.core.started)
    }

    /// The request's answer, or why there is none.
    async fn call(&self, encode: impl FnOnce(&mut BytesMut)) -> Result<Message, CallError> {
        let mut frame = BytesMut::with_capacity(512);
        encode(&mut frame);
        self.peer.call(frame).await
    }
}

/// What the element is, behind its handles.
#[derive(Debug)]
struct Core {
    commands_kept_max: usize,
    charging_attempts: u32,
    next_session: AtomicU32,
    started: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: faults::Faults,
    register: register::Register,
    attached: BTreeMap<String, Attachment>,
    cancelled: BTreeMap<String, Cancelled>,
    sessions: HashMap<String, Session>,
    commands: VecDeque<ReceivedCommand>,
    commands_total: u64,
}

/// One request dealt with: the answer, and its code.
struct Dealt {
    frame: bytes::Bytes,
    result_code: u32,
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: &Message, dealt: Option<&Dealt>) {
        let subject = subject_of(request);
        let mut state = self.state();
        if state.commands.len() >= self.commands_kept_max.max(1) {
            state.commands.pop_front();
        }
        state.commands_total += 1;
        state.commands.push_back(ReceivedCommand {
            command_code: request.header.command_code,
            name: name_of(request.header.command_code),
            subject,
            order: order_of(request),
            result_code: dealt.map(|dealt| dealt.result_code),
            retransmitted: request.header.is_retransmitted(),
        });
    }

    /// Carries the request out as the fault lets it.
    fn deal(&self, peer: &Peer, request: &Message, half: bool) -> Dealt {
        let report = check(request, Strictness::Lenient);
        let mut out = BytesMut::new();
        if refuse_report(request, &report, peer.origin(), &mut out) {
            let code = report.result_code().unwrap_or(ResultCode::UNABLE_TO_COMPLY);
            return Dealt { frame: out.freeze(), result_code: code.0 };
        }
        let dealt = match request.header.command_code {
            command::PROVISION => self.provision(peer, request, half),
            command::QUERY => self.query(peer, request),
            command::INSERT_SUBSCRIBER_DATA => self.insert_subscriber_data(peer, request),
            command::DELETE_SUBSCRIBER_DATA => self.delete_subscriber_data(peer, request),
            command::CANCEL_LOCATION => self.cancel_location(peer, request),
            command::RE_AUTH => self.re_auth(peer, request),
            command::ABORT_SESSION => self.abort_session(peer, request),
            _ => Ok(refused(peer, request, ResultCode::COMMAND_UNSUPPORTED)),
        };
        dealt.unwrap_or_else(|error| Dealt {
            frame: encoded(|out| refuse_avp(request, &error, peer.origin(), out)),
            result_code: error.result_code().0,
        })
    }

    fn provision(&self, peer: &Peer, message: &Message, half: bool) -> Result<Dealt, AvpError> {
        let order = ProvisionRequest::parse(message)?;
        let mut state = self.state();
        let register = &mut state.register;
        let outcome = if half { register.provision_half(&order) } else { register.provision(&order) };
        let held = register.line(order.line_id);
        let answer = LineAnswer {
            order_id: Some(order.order_id),
            line_id: Some(order.line_id),
            line_state: Some(held.map_or(LineState::Absent, |line| line.state)),
            line_version: Some(held.map_or(0, |line| line.version)),
            last_order_id: held.and_then(|line| line.last_order.as_deref()),
            ..LineAnswer::new(outcome)
        };
        Ok(Dealt {
            frame: encoded(|out| answer.encode(&ReplyTo::new(message), peer.origin(), out)),
            result_code: code_of(outcome),
        })
    }

    fn query(&self, peer: &Peer, message: &Message) -> Result<Dealt, AvpError> {
        let query = QueryRequest::parse(message)?;
        let state = self.state();
        let held = state.register.line(query.line_id);
        let apns: Vec<&str> = held.map_or(Vec::new(), |line| line.apns.iter().map(String::as_str).collect());
        let characteristics = held.and_then(|line| {
            Some(Characteristics {
                imsi: line.imsi.as_deref(),
                msisdn: line.msisdn.as_deref(),
                device_id: line.device_id.as_deref(),
                apns: (&apns).into(),
                plan: line.plan.as_deref(),
                service_address: line.service_address.as_deref(),
                ..Characteristics::new(line.access?)
            })
        });
        let answer = LineAnswer {
            line_id: Some(query.line_id),
            line_state: Some(held.map_or(LineState::Absent, |line| line.state)),
            line_version: Some(held.map_or(0, |line| line.version)),
            last_order_id: held.and_then(|line| line.last_order.as_deref()),
            characteristics,
            ..LineAnswer::new(Outcome::SUCCESS)
        };
        Ok(Dealt {
            frame: encoded(|out| answer.encode(&ReplyTo::new(message), peer.origin(), out)),
            result_code: code_of(Outcome::SUCCESS),
        })
    }
}

impl Handler for Core {
    fn handle(&self, peer: &Peer, request: Message) -> Reaction {
        let fault = self.state().faults.strike(request.header.command_code);
        match fault {
            Some(Fault::Silent) => {
                self.record(&request, None);
                Reaction::Silence
            }
            Some(Fault::Disconnect) => {
                self.record(&request, None);
                Reaction::Cut
            }
            Some(Fault::Refuse(code)) => self.refuse(peer, &request, Outcome::Result(ResultCode(code))),
            Some(Fault::RefuseExperimental { vendor, code }) => {
                self.refuse(peer, &request, Outcome::Experimental { vendor, code })
            }
            Some(Fault::AnswerLost) => {
                self.deal(peer, &request, false);
                self.record(&request, None);
                Reaction::Silence
            }
            Some(Fault::Slow(delay)) => {
                let dealt = self.deal(peer, &request, false);
                self.record(&request, Some(&dealt));
                Reaction::AnswerLater(delay, dealt.frame)
            }
            Some(Fault::HalfApplied) => {
                let dealt = self.deal(peer, &request, true);
                self.record(&request, Some(&dealt));
                Reaction::Answer(dealt.frame)
            }
            None => {
                let dealt = self.deal(peer, &request, false);
                self.record(&request, Some(&dealt));
                Reaction::Answer(dealt.frame)
            }
        }
    }
}

impl Core {
    fn refuse(&self, peer: &Peer, request: &Message, outcome: Outcome) -> Reaction {
        let dealt = match outcome {
            Outcome::Result(code) => refused(peer, request, code),
            Outcome::Experimental { code, .. } => Dealt {
                frame: encoded(|out| {
                    ReplyTo::new(request).begin(outcome, peer.origin(), out).finish();
                }),
                result_code: code,
            },
        };
        self.record(request, Some(&dealt));
        Reaction::Answer(dealt.frame)
    }
}

fn refused(peer: &Peer, request: &Message, code: ResultCode) -> Dealt {
    Dealt { frame: encoded(|out| refuse(request, code, &[], None, peer.origin(), out)), result_code: code.0 }
}

/// Line, subscriber or session that a request is about, as far as it can be read.
fn subject_of(request: &Message) -> String {
    use linegate_diameter::dictionary::key;
    [key::LP_LINE_ID, key::USER_NAME, key::SESSION_ID]
        .into_iter()
        .find_map(|key| request.find(key)?.text().ok())
        .unwrap_or_default()
        .to_owned()
}

fn order_of(request: &Message) -> Option<String> {
    use linegate_diameter::dictionary::key;
    request.find(key::LP_ORDER_ID)?.text().ok().map(str::to_owned)
}

const fn name_of(command_code: u32) -> &'static str {
    match command_code {
        command::PROVISION => "Provision",
        command::QUERY => "Query",
        command::INSERT_SUBSCRIBER_DATA => "IDR",
        command::DELETE_SUBSCRIBER_DATA => "DSR",
        command::CANCEL_LOCATION => "CLR",
        command::RE_AUTH => "RAR",
        command::ABORT_SESSION => "ASR",
        _ => "other",
    }
}

/// Whether an outcome of line provisioning says that another try may work.
pub fn is_busy(code: u32) -> bool {
    code == code_of(lp::BUSY) || code / 1000 == 4
}
