//! The broker side of modems' MQTT sessions.
//!
//! Owns: the listeners, one task for each connection, takeover, sessions that
//! outlive a connection, when a modem that has gone is given up, who a device is,
//! payloads. Does **not** own the protocol (`linegate_mqtt`), what usage costs or
//! what state a line is to be in (services).
//!
//! Invariants: a usage publish is acknowledged after its records are durable;
//! the desired state comes from the store each time a modem subscribes.

mod connection;
mod identity;
mod intake;
mod registry;
#[cfg(test)]
mod tests;
mod unreadable;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use linegate_mqtt::session::Limits;
use rustls::ServerConfig;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::adapters::system::SystemClock;
use crate::domain::ids::DeviceId;
use crate::ports::modem::{ModemIntake, Modems};
use crate::services::devices::{DeviceSettings, EnrolmentMode};
use crate::telemetry::metrics;
use crate::transport::tls::{Live, ServerTlsSettings};
use crate::transport::wire::Wire;

pub use identity::Identities;
pub use intake::{IntakeSettings, MessageIntake};
use registry::Registry;

/// `[mqtt]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttSettings {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Threads that serve modems; 0 is one for each core.
    pub threads: usize,
    /// How far those threads give way to charging, 0 (not at all) to 19: their nice value.
    pub niceness: u8,
    /// Connections at most; one more is closed at once.
    pub connections_max: usize,
    /// Milliseconds from the first byte to a whole CONNECT.
    pub connect_timeout_ms: u64,
    /// Largest packet after CONNECT, bytes.
    pub packet_bytes_max: usize,
    /// QoS 1 publishes of one modem that may wait for their PUBACK; said as Receive Maximum.
    pub receive_max: u16,
    /// Payload bytes of one connection that may wait for their commit; reading stops at it.
    pub unacknowledged_bytes_max: usize,
    /// Messages to one modem that wait for its acknowledgements; past it a desired
    /// state is not sent.
    pub queue_messages_max: usize,
    /// User properties of one packet that are read; more are passed over.
    pub user_properties_max: usize,
    /// Unreadable usage payloads of one device that are kept in each minute; past it
    /// its connection ends without their acknowledgement (0x99).
    pub unreadable_per_minute_max: u32,
    /// Longest life of a session after its connection, seconds.
    pub session_expiry_s: u32,
    /// Longest keep alive that a modem may ask for, seconds; 0 leaves it to the modem.
    pub keep_alive_max_s: u16,
    /// Sessions kept for modems that are away; past it the one that would end first ends.
    pub sessions_kept_max: usize,
    /// A modem whose link is lost is recorded as offline after so many seconds, if
    /// it has not come back; its will's delay counts where that is longer.
    pub offline_after_s: u32,
    /// Seconds after which a desired state that was sent lapses, said in it; 0 never.
    pub desired_expiry_s: u32,
    /// TLS beside plain TCP.
    pub tls: ServerTlsSettings,
    /// Who may connect; `open` on loopback only.
    pub enrolment: EnrolmentMode,
    /// See [`DeviceSettings`].
    pub token_overlap_s: u64,
    /// See [`DeviceSettings`].
    pub failures_max: u32,
    /// See [`DeviceSettings`].
    pub failures_window_s: u64,
    /// See [`DeviceSettings`].
    pub lockout_s: u64,
    /// See [`DeviceSettings`].
    pub lockout_max_s: u64,
    /// See [`DeviceSettings`].
    pub lockouts_kept_max: usize,
    /// See [`DeviceSettings`].
    pub identities_cached_max: usize,
    /// See [`DeviceSettings`].
    pub identities_cache_s: u64,
}

impl MqttSettings {
    /// What of it is the device registry's.
    pub fn registry(&self) -> DeviceSettings {
        DeviceSettings {
            enrolment: self.enrolment,
            token_overlap_s: self.token_overlap_s,
            failures_max: self.failures_max,
            failures_window_s: self.failures_window_s,
            lockout_s: self.lockout_s,
            lockout_max_s: self.lockout_max_s,
            lockouts_kept_max: self.lockouts_kept_max,
            identities_cached_max: self.identities_cached_max,
            identities_cache_s: self.identities_cache_s,
        }
    }
}

struct Server {
    intake: Arc<dyn ModemIntake>,
    settings: MqttSettings,
    limits: Arc<Limits>,
    identities: Identities,
    registry: Registry,
}

/// Where modems come in.
pub struct MqttListeners {
    /// Plain TCP.
    pub tcp: TcpListener,
    /// TLS, where it is set up.
    pub tls: Option<(TcpListener, Live<Arc<ServerConfig>>)>,
}

/// Sessions that live on without their connection, and the connections
/// themselves: made before the services, because activation nudges modems.
#[derive(Clone, Default)]
pub struct ModemRegistry(Registry);

#[async_trait]
impl Modems for ModemRegistry {
    async fn desired_changed(&self, device: &DeviceId) {
        self.0.nudge(device);
    }

    async fn expel(&self, device: &DeviceId) {
        self.0.expel(device);
    }
}

/// Serves modems until `stop`; tasks are tracked in `tasks`. Gives the address of
/// the plain listener.
pub fn start(
    listeners: MqttListeners,
    settings: MqttSettings,
    identities: Identities,
    registry: ModemRegistry,
    intake: Arc<dyn ModemIntake>,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> std::io::Result<SocketAddr> {
    let address = listeners.tcp.local_addr()?;
    let limits = Limits {
        connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
        packet_bytes_max: settings.packet_bytes_max,
        receive_max: settings.receive_max,
        queue_messages_max: settings.queue_messages_max,
        user_properties_max: settings.user_properties_max,
        session_expiry_secs_max: settings.session_expiry_s,
        keep_alive_secs_max: settings.keep_alive_max_s,
        ..Limits::default()
    };
    let server = Arc::new(Server { identities, intake, limits: Arc::new(limits), registry: registry.0, settings });
    if let Some((listener, config)) = listeners.tls {
        info!(address = %listener.local_addr()?, "listening for modems in TLS");
        tasks.spawn(accept(listener, Some(config), Arc::clone(&server), stop.clone(), tasks.clone()));
    }
    tasks.spawn(sweep(Arc::clone(&server), stop.clone()));
    tasks.spawn(accept(listeners.tcp, None, server, stop, tasks.clone()));
    info!(%address, "listening for modems");
    Ok(address)
}

async fn accept(
    listener: TcpListener,
    tls: Option<Live<Arc<ServerConfig>>>,
    server: Arc<Server>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, tls.as_ref(), &server, &stop, &tasks),
            // Out of file descriptors, or the peer was gone already: the next
            // one may fare better, a little later.
            Err(error) => {
                warn!(%error, "accept a modem's connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<&Live<Arc<ServerConfig>>>,
    server: &Arc<Server>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let Some(place) = server.registry.admit(server.settings.connections_max) else {
        metrics().mqtt_refused.with_label_values(&["connections_max"]).inc();
        debug!(%peer, "refused a connection: mqtt.connections_max is reached");
        return;
    };
    // Small packets both ways: waiting to fill a segment only adds latency.
    let _ignored = stream.set_nodelay(true);
    let wire = match tls {
        Some(config) => Wire::tls_server(stream, config.current()),
        None => Ok(Wire::plain(stream)),
    };
    if let Ok(wire) = wire {
        tasks.spawn(connection::serve(wire, Arc::clone(server), place, stop.clone()));
    }
}

/// Gives up modems that have not come back in time, those that were there before
/// our start included, and ends sessions.
async fn sweep(server: Arc<Server>, stop: CancellationToken) {
    const PAUSE: Duration = Duration::from_secs(1);
    let grace = SystemClock::instant() + Duration::from_secs(server.settings.offline_after_s.into());
    let mut former = Former::Waiting;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        if SystemClock::instant() >= grace && former != Former::Done {
            former = give_up_former(&server, former).await;
        }
        let gone = server.registry.sweep(SystemClock::instant());
        give_up(&server, &gone).await;
    }
}

/// Tells that modems have gone, together, so that it is stored together. One that
/// came back at that very moment may have been overtaken: it is said again that it
/// is there. Whether all was stored.
async fn give_up(server: &Server, gone: &[DeviceId]) -> bool {
    let told = futures_util::future::join_all(gone.iter().map(|device| server.intake.went(device))).await;
    let back = gone.iter().filter(|device| server.registry.is_connected(device));
    let again = futures_util::future::join_all(back.map(|device| server.intake.came(device))).await;
    let failed = told.into_iter().filter_map(Result::err).chain(again.into_iter().filter_map(Result::err));
    failed.inspect(|error| debug!(%error, "keep a modem's presence")).count() == 0
}

/// How far the modems are looked through that were there before our start.
#[derive(PartialEq, Eq)]
enum Former {
    Waiting,
    Above(DeviceId),
    Done,
}

/// Gives up some of the modems that are recorded as connected and are not. Tried
/// again at the next sweep where the store fails.
async fn give_up_former(server: &Server, former: Former) -> Former {
    const AT_ONCE: u64 = 1000;
    let after = match &former {
        Former::Above(device) => Some(device),
        Former::Waiting | Former::Done => None,
    };
    let recorded = match server.intake.recorded(after, AT_ONCE).await {
        Ok(recorded) => recorded,
        Err(error) => {
            debug!(%error, "read the modems of before the start");
            return former;
        }
    };
    let away: Vec<_> = recorded.iter().filter(|device| !server.registry.is_known(device)).cloned().collect();
    if !give_up(server, &away).await {
        return former;
    }
    recorded.into_iter().next_back().map_or(Former::Done, Former::Above)
}
