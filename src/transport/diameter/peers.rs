//! The open peers, and the way of our requests to them.
//!
//! It holds the table of connections ([`Table`]) with the mailbox of each, and
//! what was learnt of hosts behind agents. A request of ours tries the peers that
//! lead to its destination in order: one that is not open is passed over, one that
//! is lost or suspect while it owes an answer is followed by the next with the T
//! flag (RFC 6733 section 5.5.4).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::apps::Answered;
use linegate_diameter::codec::CommandFlags;
use linegate_diameter::dictionary::application;
use linegate_diameter::peer::{ConnectionId, Decision, EndToEndIds, Opened, RequestFailure, Table, Verdict};
use linegate_diameter::{Header, Message, Outcome, ResultCode};
use tokio::sync::oneshot;

use super::connection::ToConnection;
use super::routes::{Learned, Routes, domain_of};
use super::settings::DiameterSettings;
use crate::adapters::system::SystemClock;
use crate::telemetry::metrics;
use crate::transport::mailbox::Mailbox;

/// One request of ours on its way to a connection.
pub struct Outbound {
    /// With the end-to-end id set; its hop-by-hop id is the connection's.
    pub message: Message,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Message, RequestFailure>>,
    /// Where else it could go, should this peer become suspect.
    pub alternates: Arc<[Box<str>]>,
    /// A place among the requests on their way to this connection.
    _place: OutboundPlace,
}

/// Free again when dropped.
struct OutboundPlace(Arc<AtomicUsize>);

impl Drop for OutboundPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection, from before it is up.
struct Link {
    mailbox: Arc<Mailbox<ToConnection>>,
    /// Once it is open.
    open: Option<OpenLink>,
    /// Our requests on their way to it.
    outbound: Arc<AtomicUsize>,
}

struct OpenLink {
    realm: Arc<str>,
    applications: Arc<[u32]>,
    /// Not in REOPEN, not suspect.
    usable: bool,
}

/// The open peers, shared by every connection and by activation.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

type PeerUp = Box<dyn Fn(&str) + Send + Sync>;

struct Inner {
    state: Mutex<State>,
    routes: Routes,
    pending_max: usize,
    next_connection: AtomicU64,
    end_to_end: Mutex<EndToEndIds>,
    session: AtomicU64,
    on_up: RwLock<Option<PeerUp>>,
}

struct State {
    table: Table,
    links: HashMap<ConnectionId, Link>,
    /// By Origin-Host in lower case; the newest connection last.
    open: BTreeMap<Box<str>, Vec<ConnectionId>>,
    learned: Learned,
}

impl Peers {
    /// Nobody is connected. End-to-end ids start from the time (RFC 6733 section 3).
    pub fn new(settings: &DiameterSettings, unix_seconds: i64, seed: u64) -> Self {
        let seconds = u64::try_from(unix_seconds).unwrap_or(0);
        let table = Table::new(
            &settings.origin_host,
            settings.policy(),
            settings.connections_per_peer_max,
            settings.peers_remembered_max,
        );
        let state = State {
            table,
            links: HashMap::new(),
            open: BTreeMap::new(),
            learned: Learned::new(settings.peers_remembered_max),
        };
        let inner = Inner {
            state: Mutex::new(state),
            routes: Routes::new(settings),
            pending_max: settings.pending_max,
            next_connection: AtomicU64::new(1),
            end_to_end: Mutex::new(EndToEndIds::new(seconds, seed)),
            session: AtomicU64::new(seconds << 32),
            on_up: RwLock::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Calls `hook` with the Origin-Host of every peer that can be used again.
    pub fn on_up(&self, hook: impl Fn(&str) + Send + Sync + 'static) {
        *self.inner.on_up.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// Whether requests can be sent to this host at this moment.
    pub fn is_reachable(&self, host: &str) -> bool {
        let state = self.lock();
        self.hops_to(&state, host).iter().any(|hop| state.usable(hop, application::RELAY).is_some())
    }

    /// A new Session-Id of ours (RFC 6733 section 8.8).
    pub fn fresh_session(&self, origin_host: &str) -> String {
        let number = self.inner.session.fetch_add(1, Ordering::Relaxed);
        format!("{origin_host};{};{}", number >> 32, number & 0xffff_ffff)
    }

    /// The realm of a host: what it said itself, what its requests said, else its domain.
    pub fn realm_of(&self, host: &str) -> Arc<str> {
        let state = self.lock();
        let open = state.open.get(host.to_ascii_lowercase().as_str()).and_then(|ids| ids.last());
        let said = open.and_then(|id| Some(Arc::clone(&state.links.get(id)?.open.as_ref()?.realm)));
        said.or_else(|| state.learned.realm(host)).unwrap_or_else(|| domain_of(host).into())
    }

    /// The peers that lead to this host: itself, the agent that its requests came
    /// through, the peers of its realm's route.
    pub fn hops(&self, host: &str) -> Vec<Box<str>> {
        self.hops_to(&self.lock(), host)
    }

    fn hops_to(&self, state: &State, host: &str) -> Vec<Box<str>> {
        let mut hops: Vec<Box<str>> = vec![host.to_ascii_lowercase().into()];
        let realm = state.learned.realm(host);
        let agent = state.learned.agent(host);
        let routed = self.inner.routes.peers_of(realm.as_deref().unwrap_or_else(|| domain_of(host)));
        for hop in agent.as_deref().into_iter().chain(routed.iter().map(AsRef::as_ref)) {
            if !hops.iter().any(|known| known.eq_ignore_ascii_case(hop)) {
                hops.push(hop.to_ascii_lowercase().into());
            }
        }
        hops
    }

    /// The routes of the settings.
    pub(super) fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Sends a request of ours to the first of `hops` that can take it and waits for
    /// its answer. `write` encodes it once, behind the header that it is given.
    ///
    /// # Errors
    /// [`RequestFailure::NotOpen`] and [`RequestFailure::TooMany`]: certainly not
    /// sent. Any other: the destination may have carried it out.
    pub async fn request(
        &self,
        hops: &[Box<str>],
        header: Header,
        timeout: Duration,
        write: impl FnOnce(&Header, &mut BytesMut),
    ) -> Result<Message, RequestFailure> {
        let end_to_end = self.inner.end_to_end.lock().unwrap_or_else(PoisonError::into_inner).next();
        let mut encoded = BytesMut::new();
        write(&Header { end_to_end, ..header }, &mut encoded);
        let message = Message::decode(encoded.freeze()).map_err(RequestFailure::Undecodable)?;
        self.forward(hops, message, timeout).await
    }

    /// As [`Peers::request`], for a message that is whole already.
    pub(super) async fn forward(
        &self,
        hops: &[Box<str>],
        mut message: Message,
        timeout: Duration,
    ) -> Result<Message, RequestFailure> {
        let deadline = SystemClock::instant() + timeout;
        let mut failure = RequestFailure::NotOpen;
        let (mut last_answer, mut lost) = (None, false);
        for (at, hop) in hops.iter().enumerate() {
            let left = deadline.saturating_duration_since(SystemClock::instant());
            if left.is_zero() {
                failure = RequestFailure::Timeout;
                break;
            }
            let alternates: Arc<[Box<str>]> = hops[at + 1..].into();
            match self.send(hop, &message, left, alternates).await {
                // 3002 and 3004: another peer may do better (RFC 6733 section 7.1.3)
                Ok(answer) if at + 1 < hops.len() && is_elsewhere(&answer) => last_answer = Some(answer),
                Ok(answer) => return Ok(answer),
                Err(why @ (RequestFailure::NotOpen | RequestFailure::TooMany)) => {
                    if failure == RequestFailure::NotOpen {
                        failure = why;
                    }
                }
                Err(RequestFailure::Disconnected) => {
                    metrics().diameter_failovers.inc();
                    message.header.flags = message.header.flags.with(CommandFlags::RETRANSMITTED);
                    failure = RequestFailure::Disconnected;
                    lost = true;
                }
                Err(why) => return Err(why),
            }
        }
        // Whoever got it and was lost may have carried it out: a refusal from before says nothing of that.
        if lost { Err(failure) } else { last_answer.ok_or(failure) }
    }

    async fn send(
        &self,
        hop: &str,
        message: &Message,
        timeout: Duration,
        alternates: Arc<[Box<str>]>,
    ) -> Result<Message, RequestFailure> {
        let (answer, answered) = oneshot::channel();
        {
            let state = self.lock();
            let id = state.usable(hop, message.header.application_id).ok_or(RequestFailure::NotOpen)?;
            let link = state.links.get(&id).ok_or(RequestFailure::NotOpen)?;
            let place = OutboundPlace(Arc::clone(&link.outbound));
            if link.outbound.fetch_add(1, Ordering::Relaxed) >= self.inner.pending_max {
                return Err(RequestFailure::TooMany);
            }
            let outbound = Outbound { message: message.clone(), timeout, answer, alternates, _place: place };
            let sent = link.mailbox.send(ToConnection::Send(Box::new(outbound)));
            sent.map_err(|_| RequestFailure::NotOpen)?;
        }
        answered.await.unwrap_or(Err(RequestFailure::Disconnected))
    }

    /// Whether one of these could take a request at this moment.
    pub(super) fn any_usable(&self, hops: &[Box<str>], application: u32) -> bool {
        let state = self.lock();
        hops.iter().any(|hop| state.usable(hop, application).is_some())
    }

    /// Makes a connection known before it is up.
    pub(super) fn register(&self, mailbox: Arc<Mailbox<ToConnection>>) -> ConnectionId {
        let id = ConnectionId(self.inner.next_connection.fetch_add(1, Ordering::Relaxed));
        self.lock().links.insert(id, Link { mailbox, open: None, outbound: Arc::default() });
        id
    }

    /// See [`Table::dial`].
    pub(super) fn dial(&self, host: &str, id: ConnectionId) -> bool {
        self.lock().table.dial(host, id)
    }

    /// See [`Table::connected`].
    pub(super) fn connected(&self, host: &str, id: ConnectionId) -> Option<Verdict> {
        self.decide(id, |table| table.connected(host, id))
    }

    /// See [`Table::arrived`]; a peer whose Origin-State-Id has risen is told apart
    /// by [`Peers::origin_state`].
    pub(super) fn arrived(&self, id: ConnectionId, opened: &Opened, dialled: Option<&str>) -> Option<Verdict> {
        let peer = &opened.peer;
        self.decide(id, |table| table.arrived(id, &peer.origin_host, peer.origin_state_id, dialled))
    }

    /// See [`Table::patience_over`].
    pub(super) fn patience_over(&self, host: &str, id: ConnectionId) -> Option<Verdict> {
        self.decide(id, |table| table.patience_over(host, id))
    }

    /// See [`Table::alive`].
    pub(super) fn alive(&self, host: &str, id: ConnectionId) {
        self.decide(id, |table| table.alive(host, id));
    }

    /// See [`Table::origin_state`].
    /// One with a connection of its own speaks for itself alone.
    pub(super) fn origin_state(&self, host: &str, id: u32, from: &str) -> bool {
        let mut state = self.lock();
        let by_another = !host.eq_ignore_ascii_case(from) && state.table.is_open(host);
        !by_another && state.table.origin_state(host, id)
    }

    /// See [`Table::dismissed`].
    pub(super) fn dismissed(&self, host: &str) {
        self.lock().table.dismissed(host);
    }

    /// See [`Table::is_open`].
    pub(super) fn is_open(&self, host: &str) -> bool {
        self.lock().table.is_open(host)
    }

    /// A host behind an agent has sent a request.
    pub(super) fn learn(&self, host: &str, realm: &str, agent: &Arc<str>) {
        self.lock().learned.note(host, realm, agent, SystemClock::instant());
    }

    /// Carries the table's decisions to the connections they concern; gives the one
    /// for `id` itself.
    fn decide(&self, id: ConnectionId, ask: impl FnOnce(&mut Table) -> Vec<Decision>) -> Option<Verdict> {
        let mut state = self.lock();
        let mut own = None;
        let decisions = ask(&mut state.table);
        metrics().diameter_remembered.set(i64::try_from(state.table.len()).unwrap_or(i64::MAX));
        for Decision { connection, verdict } in decisions {
            if connection == id {
                own = Some(verdict);
            } else if let Some(link) = state.links.get(&connection) {
                let _gone = link.mailbox.send(ToConnection::Decided(verdict));
            }
        }
        own
    }

    /// The connection may be used for requests of ours once [`Peers::usable`] says so.
    pub(super) fn opened(&self, id: ConnectionId, opened: &Opened) {
        let mut state = self.lock();
        let Some(link) = state.links.get_mut(&id) else { return };
        let (realm, applications) = (opened.peer.origin_realm.as_ref().into(), opened.applications.as_slice().into());
        link.open = Some(OpenLink { realm, applications, usable: false });
        let host = opened.peer.origin_host.to_ascii_lowercase().into();
        state.open.entry(host).or_default().push(id);
    }

    /// Notes whether requests may be sent on the connection, and tells whoever
    /// waits for the peer.
    pub(super) fn usable(&self, host: &str, id: ConnectionId, usable: bool) {
        if let Some(open) = self.lock().links.get_mut(&id).and_then(|link| link.open.as_mut()) {
            open.usable = usable;
        }
        if let (true, Some(hook)) = (usable, &*self.inner.on_up.read().unwrap_or_else(PoisonError::into_inner)) {
            hook(host);
        }
    }

    /// A connection is over, or a try of ours has failed; `host` where it is known.
    pub(super) fn closed(&self, host: Option<&str>, id: ConnectionId, failed: bool) {
        if let Some(host) = host {
            self.decide(id, |table| table.closed(host, id, failed));
        }
        let mut state = self.lock();
        state.links.remove(&id);
        if let Some(key) = host.map(str::to_ascii_lowercase)
            && let Some(all) = state.open.get_mut(key.as_str())
        {
            all.retain(|open| *open != id);
            if all.is_empty() {
                state.open.remove(key.as_str());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The newest connection of this peer that takes requests of this application;
    /// the relay id stands for any.
    fn usable(&self, host: &str, application: u32) -> Option<ConnectionId> {
        let ids = self.open.get(host)?;
        let usable = |id: &&ConnectionId| {
            self.links.get(id).and_then(|link| link.open.as_ref()).is_some_and(|open| {
                open.usable && (application == application::RELAY || open.applications.contains(&application))
            })
        };
        ids.iter().rev().find(usable).copied()
    }
}

fn is_elsewhere(answer: &Message) -> bool {
    let outcome = Answered::parse(answer).map(|answered| answered.outcome);
    matches!(outcome, Ok(Outcome::Result(ResultCode::UNABLE_TO_DELIVER | ResultCode::TOO_BUSY)))
}
