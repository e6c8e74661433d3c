//! Idle connections, to see what one costs the gateway in memory. Each is alive:
//! it answers watchdogs or pings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::process::rss_bytes;
use crate::element::Role;
use crate::modem::ModemHandle;
use crate::peer::{AsksOnly, Endpoint, LinkSettings, Peer};
use crate::roster::Roster;
use crate::wire::Identity;

/// Time for the gateway's memory to come to rest.
const SETTLE: Duration = Duration::from_secs(1);

/// Who connects.
#[derive(Debug, Clone)]
pub enum IdleProtocol {
    /// Modems with their subscription.
    Mqtt(Box<Roster>),
    /// Diameter peers, each with an identity of its own, to this listener.
    Diameter(SocketAddr),
}

/// What to open.
#[derive(Debug, Clone)]
pub struct IdleLoad {
    /// Who connects, and to what.
    pub protocol: IdleProtocol,
    /// How many connections.
    pub connections: u64,
    /// Connections opened in a second.
    pub per_second: u64,
    /// How long they stay, once all are there.
    pub hold: Duration,
    /// How long all of them may take to come.
    pub open_max: Duration,
    /// The gateway's process, for its memory.
    pub server_pid: Option<u32>,
}

/// What they cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdleSummary {
    /// Always `idle`.
    pub kind: &'static str,
    /// Wanted.
    pub connections: u64,
    /// Open when all had their time.
    pub open: u64,
    /// Still open after the hold.
    pub open_at_end: u64,
    /// Resident memory of the gateway before, bytes.
    pub server_rss_before_bytes: Option<u64>,
    /// And with them, bytes.
    pub server_rss_after_bytes: Option<u64>,
    /// The difference for each open connection, bytes.
    pub server_bytes_per_connection: Option<u64>,
    /// What each costs this process, resident bytes.
    pub client_bytes_per_connection: Option<u64>,
}

/// Runs it.
pub async fn run(config: IdleLoad) -> anyhow::Result<IdleSummary> {
    let before = config.server_pid.and_then(rss_bytes);
    let ours_before = rss_bytes(std::process::id());
    let fleet = Fleet::open(&config).await?;
    let deadline = crate::clock::now() + config.open_max;
    while fleet.open_now() < config.connections && crate::clock::now() < deadline {
        eprintln!("idle: {} of {} open", fleet.open_now(), config.connections);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let open = fleet.open_now();
    let after = config.server_pid.and_then(rss_bytes);
    let ours_after = rss_bytes(std::process::id());
    tokio::time::sleep(config.hold).await;
    let open_at_end = fleet.open_now();
    fleet.shutdown();
    let each = |after: Option<u64>, before: Option<u64>| {
        after.zip(before).and_then(|(after, before)| after.saturating_sub(before).checked_div(open))
    };
    Ok(IdleSummary {
        kind: "idle",
        connections: config.connections,
        open,
        open_at_end,
        server_rss_before_bytes: before,
        server_rss_after_bytes: after,
        server_bytes_per_connection: each(after, before),
        client_bytes_per_connection: each(ours_after, ours_before),
    })
}

enum Fleet {
    Modems(Vec<ModemHandle>),
    Peers(Vec<Peer>),
}

impl Fleet {
    async fn open(config: &IdleLoad) -> anyhow::Result<Self> {
        match &config.protocol {
            IdleProtocol::Mqtt(roster) => Ok(Fleet::Modems(roster.start(config.connections, config.per_second).await?)),
            IdleProtocol::Diameter(gateway) => {
                crate::open_files::allow(config.connections)?;
                let mut peers = Vec::new();
                let pause = Duration::from_micros(1_000_000 / config.per_second.max(1));
                for n in 0..config.connections {
                    let identity = Identity::new(&format!("idle-{n}.network.example"), Role::PgwC.applications());
                    let handler = Arc::new(AsksOnly::new(&identity));
                    let endpoint = Endpoint::Connect(*gateway);
                    peers.push(Peer::start(endpoint, identity, LinkSettings::default(), handler));
                    tokio::time::sleep(pause).await;
                }
                Ok(Fleet::Peers(peers))
            }
        }
    }

    fn open_now(&self) -> u64 {
        let open = match self {
            Fleet::Modems(modems) => modems.iter().filter(|modem| modem.is_online()).count(),
            Fleet::Peers(peers) => peers.iter().filter(|peer| peer.is_connected()).count(),
        };
        open as u64
    }

    fn shutdown(&self) {
        match self {
            Fleet::Modems(modems) => modems.iter().for_each(ModemHandle::shutdown),
            Fleet::Peers(peers) => peers.iter().for_each(Peer::shutdown),
        }
    }
}
