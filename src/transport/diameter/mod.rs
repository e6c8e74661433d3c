//! The Diameter node: listener, connections, and requests both ways.
//!
//! Owns: one task for each connection, the table of open peers, the way from a
//! request to the service that answers it. Does **not** own the protocol
//! (`linegate_diameter`), what usage costs or what an order needs.
//!
//! Invariants: an answer that acknowledges usage is written after its commit; a
//! connection that has too much unanswered or unwritten is not read from, and
//! slows nobody else.

mod accounting;
mod connection;
mod elements;
mod gy;
mod mobility;
mod peers;
mod s6a;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use linegate_diameter::apps::base::{Application, Capabilities};
use linegate_diameter::dictionary::{Strictness, vendor};
use linegate_diameter::peer::{PeerPolicy, Role};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::domain::line::Access;
use crate::ports::{Clock, Ids};
use crate::services::activation::Devices;
use crate::services::charging::Charging;
use crate::telemetry::metrics;

pub use elements::DiameterElements;
pub use peers::Peers;

/// `[diameter]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiameterSettings {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Our Origin-Host (RFC 6733 section 6.3).
    pub origin_host: String,
    /// Our Origin-Realm (RFC 6733 section 6.4).
    pub origin_realm: String,
    /// Whether requests for a Destination-Realm that is not ours are served.
    pub accept_any_realm: bool,
    /// Peers: who may connect, and whom we connect to; empty: any, on loopback only.
    pub peers: Vec<PeerSettings>,
    /// Which element holds the lines of which access.
    pub elements: Vec<ElementSettings>,
    /// Tw, the watchdog period, seconds, at least 6 (RFC 3539 section 3.4.1).
    pub watchdog_s: u64,
    /// How long an element may take for an answer, milliseconds.
    pub request_timeout_ms: u64,
    /// Connections at most; one more is closed at once.
    pub connections_max: usize,
    /// Largest message, bytes.
    pub message_bytes_max: usize,
    /// Milliseconds from the first to the last byte of a message.
    pub message_timeout_ms: u64,
    /// Requests of one connection that may wait for our answer; reading stops at it.
    pub requests_outstanding_max: usize,
    /// Bytes of one connection that may wait to be written; reading stops at it.
    pub output_bytes_max: usize,
    /// Requests of ours that may wait for one peer's answer.
    pub pending_max: usize,
    /// What Gy answers say.
    pub gy: gy::GySettings,
    /// What serving MMEs are told, and how.
    pub s6a: s6a::S6aSettings,
    /// Result code for usage on an APN that is not the line's own.
    pub foreign_apn_result: u32,
    /// Seconds between Rf interim records that we ask for; 0 leaves it to the client.
    pub interim_interval_s: u32,
}

/// `[[diameter.peers]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// Its Origin-Host.
    pub host: String,
    /// Where we connect to it; absent: it connects to us.
    #[serde(default)]
    pub connect: Option<SocketAddr>,
    /// Accepts what is known and has no place in a strict grammar.
    #[serde(default)]
    pub lenient: bool,
}

/// `[[diameter.elements]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementSettings {
    /// What we call it.
    pub id: String,
    /// Its Origin-Host.
    pub host: String,
    /// The lines that it holds.
    pub access: Vec<Access>,
}

/// What a connection needs from the rest of the gateway.
pub struct DiameterServices {
    /// Where usage goes.
    pub charging: Charging,
    /// Lines by IMSI, serving MME.
    pub devices: Arc<Devices>,
    /// Wall-clock time, for records.
    pub clock: Arc<dyn Clock>,
    /// Seeds of connections.
    pub ids: Arc<dyn Ids>,
    /// Kept across restarts; rises only when sessions were truly lost.
    pub origin_state_id: u32,
}

/// The running node.
pub(crate) struct Node {
    settings: DiameterSettings,
    services: DiameterServices,
    peers: Peers,
    moves: s6a::Moves,
    connections: AtomicUsize,
    next_tag: AtomicU64,
    /// For the requests that services answer outside their connection's task.
    tasks: TaskTracker,
}

/// Serves peers on `listener` and keeps connections to the configured ones,
/// until `stop`; tasks are tracked in `tasks`. Gives the address.
pub fn start(
    listener: TcpListener,
    settings: DiameterSettings,
    peers: Peers,
    services: DiameterServices,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> std::io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let moves = s6a::Moves::new(&settings, &peers);
    let node = Arc::new(Node {
        settings,
        services,
        peers,
        moves,
        connections: AtomicUsize::new(0),
        next_tag: AtomicU64::new(0),
        tasks: tasks.clone(),
    });
    for peer in &node.settings.peers {
        if let Some(to) = peer.connect {
            tasks.spawn(keep_connected(Arc::clone(&node), peer.clone(), to, stop.clone()));
        }
    }
    tasks.spawn(accept(listener, node, stop));
    info!(%address, "listening for Diameter peers");
    Ok(address)
}

async fn accept(listener: TcpListener, node: Arc<Node>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let Some(place) = Place::take(&node) else {
                    metrics().diameter_refused.with_label_values(&["connections_max"]).inc();
                    debug!(%from, "refused a connection: diameter.connections_max is reached");
                    continue;
                };
                let stop = stop.clone();
                let served = Arc::clone(&node);
                node.tasks.spawn(async move {
                    let _place = place;
                    connection::serve(stream, served, Role::Responder, stop).await;
                });
            }
            Err(error) => {
                warn!(%error, "accept a Diameter connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Connects, serves, and connects again with a growing pause.
async fn keep_connected(node: Arc<Node>, peer: PeerSettings, to: SocketAddr, stop: CancellationToken) {
    const PAUSE_MAX: Duration = Duration::from_secs(30);
    let mut pause = Duration::from_millis(200);
    while !stop.is_cancelled() {
        let connected = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(to)).await;
        match connected {
            Ok(Ok(stream)) => {
                let again = connection::serve(stream, Arc::clone(&node), Role::Initiator, stop.clone()).await;
                if !again {
                    info!(peer = peer.host, "does not want to talk to us: not connecting again");
                    return;
                }
                pause = Duration::from_millis(200);
            }
            Ok(Err(error)) => debug!(peer = peer.host, %to, %error, "connect"),
            Err(_) => debug!(peer = peer.host, %to, "connect: no answer in 5 s"),
        }
        let jitter = Duration::from_millis(node.services.ids.jitter(pause.as_millis() as u64 / 4 + 1));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause + jitter) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A counted place among the connections; free again when dropped.
struct Place(Arc<Node>);

impl Place {
    fn take(node: &Arc<Node>) -> Option<Self> {
        let taken = node.connections.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(node));
        (taken < node.settings.connections_max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    fn capabilities(&self, local: SocketAddr) -> Capabilities {
        Capabilities {
            origin_host: self.settings.origin_host.as_str().into(),
            origin_realm: self.settings.origin_realm.as_str().into(),
            host_ip_addresses: vec![local.ip()],
            vendor_id: 0,
            product_name: "Linegate".into(),
            origin_state_id: Some(self.services.origin_state_id),
            supported_vendors: vec![vendor::TGPP, vendor::EXAMPLE],
            applications: Application::GATEWAY.to_vec(),
            inband_security: Vec::new(),
            firmware_revision: None,
        }
    }

    fn policy(&self) -> PeerPolicy {
        if self.settings.peers.is_empty() {
            return PeerPolicy::Any;
        }
        PeerPolicy::Known(self.settings.peers.iter().map(|p| p.host.as_str().into()).collect())
    }

    fn strictness(&self, host: &str) -> Strictness {
        let lenient = self.settings.peers.iter().any(|p| p.lenient && p.host.eq_ignore_ascii_case(host));
        if lenient { Strictness::Lenient } else { Strictness::Strict }
    }

    fn fresh_tag(&self) -> u64 {
        self.next_tag.fetch_add(1, Ordering::Relaxed)
    }
}
