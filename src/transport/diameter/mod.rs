//! The Diameter node: listeners, connections, and requests both ways.
//!
//! Owns: one task for each connection, the table of open peers, routing, answers
//! kept for repeats, the way from a request to the service that answers it. Does
//! **not** own the protocol (`linegate_diameter`), what usage costs or what an
//! order needs.
//!
//! Invariants: an answer that acknowledges usage is written after its commit; a
//! connection that has too much unanswered or unwritten is not read from, and
//! slows nobody else.

mod accounting;
mod connection;
mod duplicates;
mod elements;
mod envelope;
pub mod gy;
mod mobility;
mod peers;
mod relay;
mod requests;
mod routes;
mod s6a;
mod settings;
mod tally;
mod tolerated;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use linegate_diameter::answer::Origin;
use linegate_diameter::apps::base::{Application, Capabilities};
use linegate_diameter::dictionary::{Dictionary, vendor};
use linegate_diameter::peer::ConnectionId;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use self::connection::{Opening, ToConnection};
use self::duplicates::Duplicates;
use self::tolerated::Tolerated;
use crate::ports::intake::RequestIntake;
use crate::ports::{Clock, Ids};
use crate::services::device_states::DeviceStates;
use crate::telemetry::metrics;
use crate::transport::mailbox::Mailbox;
use crate::transport::tls::{Live, Tls};
use crate::transport::wire::Wire;

pub use elements::DiameterElements;
pub use peers::Peers;
pub use settings::{DiameterSettings, ElementSettings, PeerSettings, RouteSettings, load_dictionary};

/// Addresses of our own that capabilities are kept for.
const LOCAL_ADDRESSES_MAX: usize = 64;

/// What a connection needs from the rest of the gateway.
pub struct DiameterServices {
    /// Where usage goes.
    pub charging: Arc<dyn RequestIntake>,
    /// Lines by IMSI, serving MME.
    pub devices: DeviceStates,
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
    origin: Origin,
    dictionary: Dictionary,
    services: DiameterServices,
    peers: Peers,
    tls: Option<Live<Tls>>,
    duplicates: Duplicates,
    tolerated: Tolerated,
    moves: s6a::Moves,
    /// Connections by address.
    connections: Mutex<HashMap<IpAddr, usize>>,
    /// What we say of ourselves, by our own address.
    capabilities: Mutex<Vec<(IpAddr, Arc<Capabilities>)>>,
    next_tag: AtomicU64,
    /// For the requests that services answer outside their connection's task.
    tasks: TaskTracker,
}

/// The sockets that a node listens on.
pub struct Listeners {
    /// TCP, port 3868.
    pub tcp: TcpListener,
    /// TLS, port 5658, where there is a certificate.
    pub tls: Option<(TcpListener, Live<Tls>)>,
}

/// Serves peers on the listeners and keeps connections to the configured ones,
/// until `stop`; tasks are tracked in `tasks`. Gives the address of the plain one.
pub fn start(
    listeners: Listeners,
    settings: DiameterSettings,
    dictionary: Dictionary,
    peers: Peers,
    services: DiameterServices,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> std::io::Result<SocketAddr> {
    let address = listeners.tcp.local_addr()?;
    let keep = Duration::from_secs(settings.answers_kept_s);
    let bytes_max = if keep.is_zero() { 0 } else { settings.answers_kept_bytes_max };
    let moves = s6a::Moves::new(&settings, &peers);
    let node = Arc::new(Node {
        origin: Origin::new(&settings.origin_host, &settings.origin_realm),
        dictionary,
        duplicates: Duplicates::new(keep, bytes_max, services.ids.jitter(u64::MAX)),
        tolerated: Tolerated::default(),
        tls: listeners.tls.as_ref().map(|(_, tls)| tls.clone()),
        settings,
        services,
        peers,
        moves,
        connections: Mutex::default(),
        capabilities: Mutex::default(),
        next_tag: AtomicU64::new(0),
        tasks: tasks.clone(),
    });
    for peer in &node.settings.peers {
        if let Some(to) = peer.connect {
            tasks.spawn(keep_connected(Arc::clone(&node), peer.clone(), to, stop.clone()));
        }
    }
    if let Some((listener, _)) = listeners.tls {
        info!(address = %listener.local_addr()?, "listening for Diameter peers in TLS");
        tasks.spawn(accept(listener, Arc::clone(&node), true, stop.clone()));
    }
    tasks.spawn(accept(listeners.tcp, node, false, stop));
    info!(%address, "listening for Diameter peers");
    Ok(address)
}

async fn accept(listener: TcpListener, node: Arc<Node>, in_tls: bool, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => match Place::take(&node, from.ip()) {
                Ok(place) => {
                    let served = serve_incoming(stream, Arc::clone(&node), in_tls, place, stop.clone());
                    node.tasks.spawn(served);
                }
                Err(limit) => {
                    metrics().diameter_refused.with_label_values(&[limit]).inc();
                    debug!(%from, "refused a connection: diameter.{limit} is reached");
                }
            },
            Err(error) => {
                warn!(%error, "accept a Diameter connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_incoming(stream: TcpStream, node: Arc<Node>, in_tls: bool, place: Place, stop: CancellationToken) {
    let _place = place;
    let tls = node.tls.as_ref().filter(|_| in_tls).map(|tls| tls.current().server);
    let wire = match tls {
        Some(config) => Wire::tls_server(stream, config),
        None => Ok(Wire::plain(stream)),
    };
    let Some(wire) = secured(wire, &node).await else { return };
    let mailbox = Arc::new(Mailbox::default());
    let id = node.peers.register(Arc::clone(&mailbox));
    connection::serve(wire, node, Opening { id, mailbox, dialled: None }, stop).await;
}

/// Brings TLS up within its time.
async fn secured(wire: std::io::Result<Wire>, node: &Node) -> Option<Wire> {
    let mut wire = match wire {
        Ok(wire) => wire,
        Err(error) => {
            warn!(%error, "set TLS up");
            return None;
        }
    };
    if !wire.is_tls() {
        return Some(wire);
    }
    match tokio::time::timeout(node.settings.exchange_timeout(), wire.handshake()).await {
        Ok(Ok(())) => return Some(wire),
        Ok(Err(error)) => info!(%error, "TLS handshake with a Diameter peer"),
        Err(_) => info!("TLS handshake with a Diameter peer: not done in time"),
    }
    metrics().diameter_refused.with_label_values(&["tls_handshake"]).inc();
    None
}

/// Connects, serves, and connects again with a growing pause.
async fn keep_connected(node: Arc<Node>, peer: PeerSettings, to: SocketAddr, stop: CancellationToken) {
    const PAUSE_MIN: Duration = Duration::from_millis(200);
    const PAUSE_MAX: Duration = Duration::from_secs(30);
    let mut pause = PAUSE_MIN;
    while !stop.is_cancelled() {
        let mailbox = Arc::new(Mailbox::default());
        let id = node.peers.register(Arc::clone(&mailbox));
        let mut lasted = false;
        if node.peers.dial(&peer.host, id) {
            match connect(&node, &peer, to).await {
                Some(wire) => {
                    let opening = Opening { id, mailbox, dialled: Some(peer.host.as_str().into()) };
                    let ended = connection::serve(wire, Arc::clone(&node), opening, stop.clone()).await;
                    if !ended.welcome {
                        info!(peer = peer.host, "does not want to talk to us: not connecting until it comes itself");
                    }
                    lasted = ended.was_open && ended.welcome;
                }
                None => node.peers.closed(Some(&peer.host), id, false),
            }
        } else {
            // the peer has connected to us, or does not want to be connected to
            lasted = node.peers.is_open(&peer.host);
            node.peers.closed(None, id, false);
        }
        pause = if lasted { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        let jitter = Duration::from_millis(node.services.ids.jitter(pause.as_millis() as u64 / 4 + 1));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause + jitter) => {}
        }
    }
}

async fn connect(node: &Arc<Node>, peer: &PeerSettings, to: SocketAddr) -> Option<Wire> {
    let stream = match tokio::time::timeout(node.settings.exchange_timeout(), TcpStream::connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(peer = peer.host, %to, %error, "connect");
            return None;
        }
        Err(_) => {
            debug!(peer = peer.host, %to, "connect: no answer in time");
            return None;
        }
    };
    let wire = match (peer.tls, &node.tls) {
        (true, Some(tls)) => ServerName::try_from(peer.host.clone())
            .map_err(std::io::Error::other)
            .and_then(|name| Wire::tls_client(stream, tls.current().client, name)),
        (true, None) => return None,
        (false, _) => Ok(Wire::plain(stream)),
    };
    secured(wire, node).await
}

/// A counted place among the connections; free again when dropped.
struct Place {
    node: Arc<Node>,
    address: IpAddr,
}

impl Place {
    /// A place, or the limit that is reached.
    fn take(node: &Arc<Node>, address: IpAddr) -> Result<Self, &'static str> {
        let mut taken = node.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= node.settings.connections_max {
            return Err("connections_max");
        }
        let here = taken.entry(address).or_default();
        if *here >= node.settings.connections_per_address_max {
            return Err("connections_per_address_max");
        }
        *here += 1;
        Ok(Self { node: Arc::clone(node), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.node.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = taken.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

impl Node {
    /// What we say of ourselves on a connection to this address of ours.
    fn capabilities(&self, local: SocketAddr) -> Arc<Capabilities> {
        let mut made = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, capabilities)) = made.iter().find(|(address, _)| *address == local.ip()) {
            return Arc::clone(capabilities);
        }
        let capabilities = Arc::new(Capabilities {
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
        });
        if made.len() < LOCAL_ADDRESSES_MAX {
            made.push((local.ip(), Arc::clone(&capabilities)));
        }
        capabilities
    }

    fn fresh_tag(&self) -> u64 {
        self.next_tag.fetch_add(1, Ordering::Relaxed)
    }

    /// The connection is over, or was refused before it was open.
    fn closed(&self, host: Option<&str>, id: ConnectionId, mailbox: &Mailbox<ToConnection>, failed: bool) {
        mailbox.close();
        self.peers.closed(host, id, failed);
    }

    /// A client says which life of it this is; its sessions from the one before are lost.
    fn note_origin_state(&self, host: &str, state: u32, from: &str) {
        if self.peers.origin_state(host, state, from) {
            info!(host, "Origin-State-Id has risen: its sessions are over");
            metrics().diameter_restarts.inc();
            self.services.charging.sessions_lost(host);
        }
    }
}
