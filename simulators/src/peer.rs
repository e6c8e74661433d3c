//! One Diameter node towards the gateway: dials or listens, keeps the watchdog,
//! comes back with backoff, matches answers to requests.
//!
//! Obedient on purpose: the election and the strict parts of RFC 3539 are the
//! gateway's to get right, this side only has to be a fair partner and, on
//! demand, an unfair one. Requests that a lost connection left open fail with
//! [`CallError::Lost`]; [`Peer::call_until_answered`] sends them again with T.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::base::{DeviceWatchdog, DisconnectCause, DisconnectPeer, PlainAnswer};
use linegate_diameter::dictionary::command;
use linegate_diameter::{Header, Message, Outcome};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::wire::{self, Identity, Opened};

/// Where the gateway is, or where it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Dial the gateway.
    Connect(SocketAddr),
    /// Wait for the gateway; port 0 takes any ([`Peer::local_address`]).
    Listen(SocketAddr),
}

/// How a node behaves on its link.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Tw of RFC 3539: silence after which DWR is sent. Default 30 s.
    pub watchdog: Duration,
    /// First wait before dialling again; doubles. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest wait before dialling again. Default 2 s.
    pub backoff_max: Duration,
    /// How long a request waits for its answer. Default 10 s.
    pub answer_timeout: Duration,
    /// Requests and answers that may wait to be written. Default 4096.
    pub outbox_messages_max: usize,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            watchdog: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(10),
            outbox_messages_max: 4096,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection went away before the answer: it may have been carried out.
    #[error("request to gateway: connection lost before the answer")]
    Lost,
    /// No answer in time: it may have been carried out.
    #[error("request to gateway: no answer within {0:?}")]
    TimedOut(Duration),
    /// The node was shut down.
    #[error("request to gateway: the node is shut down")]
    ShutDown,
}

/// What to do about a request from the gateway.
#[derive(Debug)]
pub enum Reaction {
    /// Send this answer.
    Answer(Bytes),
    /// Send this answer after a time.
    AnswerLater(Duration, Bytes),
    /// Say nothing.
    Silence,
    /// Cut the connection and stay away.
    Cut,
}

/// Answers the gateway's requests; DWR and DPR never get here.
pub trait Handler: Send + Sync + 'static {
    /// Takes one request.
    fn handle(&self, peer: &Peer, request: Message) -> Reaction;
}

/// A node that only asks: refuses every request with 3001.
#[derive(Debug)]
pub struct AsksOnly {
    origin: Origin,
}

impl AsksOnly {
    /// A handler for `identity`.
    pub fn new(identity: &Identity) -> Self {
        Self { origin: identity.origin() }
    }
}

impl Handler for AsksOnly {
    fn handle(&self, _peer: &Peer, request: Message) -> Reaction {
        use linegate_diameter::{ResultCode, answer};
        Reaction::Answer(wire::encoded(|out| {
            answer::refuse(&request, ResultCode::COMMAND_UNSUPPORTED, &[], None, &self.origin, out);
        }))
    }
}

/// A running node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    origin: Origin,
    settings: LinkSettings,
    outbox: mpsc::Sender<Bytes>,
    wanted: watch::Sender<Wanted>,
    up: watch::Sender<bool>,
    local: watch::Sender<Option<SocketAddr>>,
    pending: Mutex<HashMap<u32, oneshot::Sender<Message>>>,
    next_id: AtomicU32,
    connections: AtomicU64,
    dismissed: AtomicBool,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Up,
    /// Away, after a DPR.
    Left,
    /// Away, without a word.
    Cut,
}

impl Peer {
    /// Starts the node; it connects in the background.
    pub fn start(endpoint: Endpoint, identity: Identity, settings: LinkSettings, handler: Arc<dyn Handler>) -> Self {
        let (outbox, waiting) = mpsc::channel(settings.outbox_messages_max.max(1));
        let first_id = crate::clock::unix_seconds() << 20;
        let shared = Arc::new(Shared {
            origin: identity.origin(),
            identity,
            settings,
            outbox,
            wanted: watch::Sender::new(Wanted::Up),
            up: watch::Sender::new(false),
            local: watch::Sender::new(None),
            pending: Mutex::new(HashMap::new()),
            next_id: AtomicU32::new(first_id | 2),
            connections: AtomicU64::new(0),
            dismissed: AtomicBool::new(false),
            stop: CancellationToken::new(),
        });
        let peer = Self { shared };
        tokio::spawn(Link { peer: peer.clone(), endpoint, handler, waiting }.run());
        peer
    }

    /// Who the node is.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Origin-Host and Origin-Realm, encoded.
    pub fn origin(&self) -> &Origin {
        &self.shared.origin
    }

    /// Whether the capabilities exchange is done and the link is there.
    pub fn is_connected(&self) -> bool {
        *self.shared.up.borrow()
    }

    /// Waits until the link is there; false when the time ran out.
    pub async fn connected_within(&self, wait: Duration) -> bool {
        let mut up = self.shared.up.subscribe();
        matches!(timeout(wait, up.wait_for(|up| *up)).await, Ok(Ok(_)))
    }

    /// Where a listening node listens, once it does.
    pub async fn local_address(&self) -> Option<SocketAddr> {
        let mut local = self.shared.local.subscribe();
        local.wait_for(Option::is_some).await.ok().and_then(|found| *found)
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Leaves with DPR and stays away until [`Peer::reconnect`].
    pub fn leave(&self) {
        self.shared.wanted.send_replace(Wanted::Left);
    }

    /// Cuts the connection without a word and stays away until [`Peer::reconnect`].
    pub fn cut(&self) {
        self.shared.wanted.send_replace(Wanted::Cut);
    }

    /// Comes back.
    pub fn reconnect(&self) {
        self.shared.wanted.send_replace(Wanted::Up);
    }

    /// Ends the node; open requests fail.
    pub fn shutdown(&self) {
        self.shared.stop.cancel();
    }

    /// A request header with fresh ids.
    pub fn header(&self, header: Header) -> Header {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        Header { hop_by_hop: id, end_to_end: id, ..header }
    }

    /// Sends one encoded request, once a link is there, and waits for its
    /// answer. The hop-by-hop id is set anew.
    pub async fn call(&self, mut frame: BytesMut) -> Result<Message, CallError> {
        let wait = self.shared.settings.answer_timeout;
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        wire::set_hop_by_hop(&mut frame, id);
        let (sender, answer) = oneshot::channel();
        let outcome = timeout(wait, self.exchange(id, frame.freeze(), sender, answer)).await;
        if outcome.is_err() {
            self.pending().remove(&id);
        }
        outcome.unwrap_or(Err(CallError::TimedOut(wait)))
    }

    /// Sends a request until it is answered, at most `attempts` times; every
    /// repeat keeps its end-to-end id and has the T flag (RFC 6733 section 3).
    pub async fn call_until_answered(&self, mut frame: BytesMut, attempts: u32) -> Result<Message, CallError> {
        let mut left = attempts.max(1);
        loop {
            left -= 1;
            match self.call(frame.clone()).await {
                Err(CallError::Lost | CallError::TimedOut(_)) if left > 0 => wire::set_retransmitted(&mut frame),
                outcome => return outcome,
            }
        }
    }

    async fn exchange(
        &self,
        id: u32,
        frame: Bytes,
        sender: oneshot::Sender<Message>,
        answer: oneshot::Receiver<Message>,
    ) -> Result<Message, CallError> {
        let mut up = self.shared.up.subscribe();
        tokio::select! {
            _ = up.wait_for(|up| *up) => {}
            () = self.shared.stop.cancelled() => return Err(CallError::ShutDown),
        }
        self.pending().insert(id, sender);
        self.shared.outbox.send(frame).await.map_err(|_| CallError::ShutDown)?;
        tokio::select! {
            answer = answer => answer.map_err(|_| CallError::Lost),
            () = self.shared.stop.cancelled() => Err(CallError::ShutDown),
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Message>>> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("host", &self.shared.identity.host).finish_non_exhaustive()
    }
}

/// The task that owns the socket.
struct Link {
    peer: Peer,
    endpoint: Endpoint,
    handler: Arc<dyn Handler>,
    waiting: mpsc::Receiver<Bytes>,
}

impl Link {
    async fn run(mut self) {
        let stop = self.peer.shared.stop.clone();
        let mut backoff = self.peer.shared.settings.backoff_min;
        let mut listener = None;
        while !stop.is_cancelled() {
            let mut wanted = self.peer.shared.wanted.subscribe();
            tokio::select! {
                _ = wanted.wait_for(|wanted| *wanted == Wanted::Up) => {}
                () = stop.cancelled() => break,
            }
            let opened = tokio::select! {
                opened = self.open(&mut listener) => opened,
                _ = wanted.wait_for(|wanted| *wanted != Wanted::Up) => continue,
                () = stop.cancelled() => break,
            };
            match opened {
                Ok(opened) => {
                    backoff = self.peer.shared.settings.backoff_min;
                    if let Err(error) = self.serve(opened).await {
                        tracing::debug!(peer = %self.peer.shared.identity.host, "link ended: {error:#}");
                    }
                }
                Err(error) => {
                    tracing::debug!(peer = %self.peer.shared.identity.host, "open link: {error:#}");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = stop.cancelled() => break,
            }
            backoff = (backoff * 2).min(self.peer.shared.settings.backoff_max);
        }
        self.peer.pending().clear();
    }

    async fn open(&self, listener: &mut Option<TcpListener>) -> anyhow::Result<Opened> {
        let identity = &self.peer.shared.identity;
        let wait = self.peer.shared.settings.answer_timeout;
        match self.endpoint {
            Endpoint::Connect(address) => {
                let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
                timeout(wait, wire::dial(stream, identity)).await.context("no CEA in time")?
            }
            Endpoint::Listen(address) => {
                let listener = match listener {
                    Some(listener) => listener,
                    None => {
                        let bound = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
                        self.peer.shared.local.send_replace(bound.local_addr().ok());
                        listener.insert(bound)
                    }
                };
                let (stream, _) = listener.accept().await.context("accept")?;
                timeout(wait, wire::accept(stream, identity)).await.context("no CER in time")?
            }
        }
    }

    /// Runs one connection to its end.
    async fn serve(&mut self, opened: Opened) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.peer.shared);
        // What a former link left unsent was answered with `Lost` already.
        while self.waiting.try_recv().is_ok() {}
        self.peer.pending().clear();
        shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.up.send_replace(true);
        tracing::debug!(peer = %shared.identity.host, remote = %opened.remote.origin_host, "link up");
        let outcome = self.exchange(opened).await;
        shared.up.send_replace(false);
        self.peer.pending().clear();
        if shared.dismissed.swap(false, Ordering::Relaxed) {
            shared.wanted.send_replace(Wanted::Cut);
        }
        outcome
    }

    async fn exchange(&mut self, opened: Opened) -> anyhow::Result<()> {
        let Opened { mut reader, mut writer, .. } = opened;
        let shared = Arc::clone(&self.peer.shared);
        let mut wanted = shared.wanted.subscribe();
        let peer = self.peer.clone();
        let handler = Arc::clone(&self.handler);
        let heard = AtomicU64::new(0);
        let read = async {
            while let Some(message) = reader.read().await? {
                heard.fetch_add(1, Ordering::Relaxed);
                if !peer.dispatch(&*handler, message).await {
                    break;
                }
            }
            anyhow::Ok(())
        };
        let waiting = &mut self.waiting;
        let write = async {
            let mut batch = BytesMut::new();
            while let Some(frame) = waiting.recv().await {
                batch.extend_from_slice(&frame);
                while batch.len() < 64 << 10 {
                    let Ok(frame) = waiting.try_recv() else { break };
                    batch.extend_from_slice(&frame);
                }
                writer.write_all_buf(&mut batch).await.context("write to gateway")?;
            }
            anyhow::Ok(())
        };
        let away = async {
            let left = wanted.wait_for(|wanted| *wanted != Wanted::Up).await.map(|wanted| *wanted);
            if let Ok(Wanted::Left) = left {
                self.peer.say_goodbye().await;
            }
        };
        tokio::select! {
            outcome = read => outcome,
            outcome = write => outcome,
            outcome = peer.watch(&heard) => outcome,
            () = away => Ok(()),
            () = shared.stop.cancelled() => Ok(()),
        }
    }
}

impl Peer {
    /// Takes one message; false when the connection is to end.
    async fn dispatch(&self, handler: &dyn Handler, message: Message) -> bool {
        if !message.header.is_request() {
            let waiter = self.pending().remove(&message.header.hop_by_hop);
            if let Some(waiter) = waiter {
                let _gone = waiter.send(message);
            }
            return true;
        }
        match message.header.command_code {
            command::DEVICE_WATCHDOG => {
                self.push(self.plain(&message)).await;
                true
            }
            command::DISCONNECT_PEER => {
                // RFC 6733 section 5.4: the sender of DPR closes once DPA is there,
                // and who does not want to talk is not dialled again.
                let asked = DisconnectPeer::parse(&message).map(|request| request.cause);
                let dismissed = asked == Ok(DisconnectCause::DoNotWantToTalkToYou);
                self.shared.dismissed.store(dismissed, Ordering::Relaxed);
                self.push(self.plain(&message)).await;
                true
            }
            _ => match handler.handle(self, message) {
                Reaction::Answer(frame) => {
                    self.push(frame).await;
                    true
                }
                Reaction::AnswerLater(delay, frame) => {
                    let peer = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        peer.push(frame).await;
                    });
                    true
                }
                Reaction::Silence => true,
                Reaction::Cut => {
                    self.cut();
                    false
                }
            },
        }
    }

    /// Watchdog of RFC 3539, in its plain form: silence for Tw, DWR; silence
    /// for another Tw, the end.
    async fn watch(&self, heard: &AtomicU64) -> anyhow::Result<()> {
        let mut asked = false;
        let mut before = heard.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(self.shared.settings.watchdog).await;
            let now = heard.load(Ordering::Relaxed);
            match (now != before, asked) {
                (true, _) => asked = false,
                (false, true) => anyhow::bail!("no answer to DWR"),
                (false, false) => {
                    asked = true;
                    let header = self.header(DeviceWatchdog::header());
                    let state = Some(self.shared.identity.origin_state_id);
                    self.push(wire::encoded(|out| {
                        DeviceWatchdog::encode(&header, &self.shared.origin, state, out);
                    }))
                    .await;
                }
            }
            before = now;
        }
    }

    async fn say_goodbye(&self) {
        let mut frame = BytesMut::new();
        let request = DisconnectPeer { cause: DisconnectCause::Rebooting };
        request.encode(&self.header(DisconnectPeer::header()), &self.shared.origin, &mut frame);
        let _answered = timeout(Duration::from_secs(1), self.call(frame)).await;
    }

    fn plain(&self, request: &Message) -> Bytes {
        let origin_state_id = Some(self.shared.identity.origin_state_id);
        let answer = PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id };
        wire::encoded(|out| answer.encode(&ReplyTo::new(request), &self.shared.origin, out))
    }

    async fn push(&self, frame: Bytes) {
        let _gone = self.shared.outbox.send(frame).await;
    }
}
