//! The broker side of modems' MQTT sessions.
//!
//! Owns: the listener, one task for each connection, takeover, sessions that
//! outlive a connection, wills with their delay, who a device is. Does **not**
//! own the protocol (`linegate_mqtt`), what usage costs or what state a line is
//! to be in (services).
//!
//! Invariants: a usage publish is acknowledged after its records are durable;
//! the desired state comes from the store each time a modem subscribes.

mod connection;
mod identity;
mod registry;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use linegate_mqtt::session::Limits;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::domain::ids::DeviceId;
use crate::ports::Clock;
use crate::ports::modem::Modems;
use crate::services::activation::Devices;
use crate::services::charging::Charging;
use crate::services::devices::{DeviceRegistry, DeviceSettings, EnrolmentMode};
use crate::telemetry::metrics;

pub use identity::Identities;
use registry::Registry;

/// `[mqtt]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttSettings {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Connections at most; one more is closed at once.
    pub connections_max: usize,
    /// Milliseconds from the first byte to a whole CONNECT.
    pub connect_timeout_ms: u64,
    /// Largest packet after CONNECT, bytes.
    pub packet_bytes_max: usize,
    /// QoS 1 publishes of one modem that may wait for their PUBACK; said as Receive Maximum.
    pub receive_max: u16,
    /// Usage records of one connection that may wait for their commit.
    pub records_outstanding_max: usize,
    /// Longest life of a session after its connection, seconds.
    pub session_expiry_s: u32,
    /// Longest keep alive that a modem may ask for, seconds; 0 leaves it to the modem.
    pub keep_alive_max_s: u16,
    /// Sessions kept for modems that are away.
    pub sessions_kept_max: usize,
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

/// What a connection needs from the rest of the gateway.
pub struct MqttServices {
    /// Where usage goes.
    pub charging: Charging,
    /// Desired and reported state, presence.
    pub devices: Arc<Devices>,
    /// Who may connect.
    pub registry: Arc<DeviceRegistry>,
    /// Wall-clock time, for records.
    pub clock: Arc<dyn Clock>,
}

struct Server {
    services: MqttServices,
    settings: MqttSettings,
    limits: Arc<Limits>,
    identities: Identities,
    registry: Registry,
}

/// The running listener; also the modem port that activation nudges.
#[derive(Clone)]
pub struct MqttServer {
    registry: Registry,
    /// The address that is listened on.
    pub address: SocketAddr,
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

impl MqttServer {
    /// Serves modems on `listener` until `stop`; tasks are tracked in `tasks`.
    pub fn start(
        listener: TcpListener,
        settings: MqttSettings,
        registry: ModemRegistry,
        services: MqttServices,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let limits = Limits {
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            packet_bytes_max: settings.packet_bytes_max,
            receive_max: settings.receive_max,
            session_expiry_secs_max: settings.session_expiry_s,
            keep_alive_secs_max: settings.keep_alive_max_s,
            ..Limits::default()
        };
        let registry = registry.0;
        let server = Arc::new(Server {
            identities: Identities::new(Arc::clone(&services.registry)),
            services,
            limits: Arc::new(limits),
            registry: registry.clone(),
            settings,
        });
        tasks.spawn(accept(listener, server, stop, tasks.clone()));
        info!(%address, "listening for modems");
        Ok(Self { registry, address })
    }

    /// Modems connected at this moment.
    pub fn connected(&self) -> usize {
        self.registry.connected()
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &server, &stop, &tasks),
            // Out of file descriptors, or the peer was gone already: the next
            // one may fare better, a little later.
            Err(error) => {
                warn!(%error, "accept a modem's connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, server: &Arc<Server>, stop: &CancellationToken, tasks: &TaskTracker) {
    let Some(place) = server.registry.admit(server.settings.connections_max) else {
        metrics().mqtt_refused.with_label_values(&["connections_max"]).inc();
        debug!(%peer, "refused a connection: mqtt.connections_max is reached");
        return;
    };
    // Small packets both ways: waiting to fill a segment only adds latency.
    let _ignored = stream.set_nodelay(true);
    tasks.spawn(connection::serve(stream, peer, Arc::clone(server), place, stop.clone()));
}
