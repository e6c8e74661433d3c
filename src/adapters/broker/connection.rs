//! One connection after the other: each with a client of its own, and a pause
//! between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::settings::BrokerSettings;
use crate::adapters::system::SystemClock;
use crate::ports::Ids;
use crate::telemetry::metrics;

/// How long the last packets may take to leave before a connection is dropped.
pub const LINGER: Duration = Duration::from_secs(1);

/// What a connection is for.
pub trait Role {
    /// Requests that the client may have waiting.
    const REQUESTS: usize;

    /// Its way to the broker.
    fn broker(&self) -> &Broker;

    /// Serves a connection to its end; `None` where we took leave, at `stop`.
    fn serve(
        &self,
        client: AsyncClient,
        link: &mut Link,
        connack: &ConnAck,
        stop: &CancellationToken,
    ) -> impl Future<Output = Option<Lost>> + Send;
}

/// Serves one connection after the other until `stop`.
pub async fn keep_connected<R: Role>(role: R, stop: CancellationToken) {
    let broker = role.broker();
    let mut delay = Duration::from_millis(broker.settings.reconnect_min_ms);
    while !stop.is_cancelled() {
        let (client, mut link) = broker.client(R::REQUESTS);
        let lost = tokio::select! {
            connack = link.connect(broker.role) => match connack {
                Ok(connack) => role.serve(client, &mut link, &connack, &stop).await,
                Err(lost) => Some(lost),
            },
            () = stop.cancelled() => return,
        };
        let Some(lost) = lost else { return };
        broker.pause(&lost, link.lived(), &mut delay, &stop).await;
    }
}

/// One client's way to the broker.
pub struct Broker {
    /// `[broker]`
    pub settings: Arc<BrokerSettings>,
    /// The end of its client id, and the metrics' label.
    pub role: &'static str,
    /// What it connects with.
    pub options: MqttOptions,
    ids: Arc<dyn Ids>,
}

impl Broker {
    /// As the settings say.
    pub fn new(settings: Arc<BrokerSettings>, role: &'static str, ids: Arc<dyn Ids>) -> anyhow::Result<Self> {
        let options = settings.options(&format!("linegate-{}-{role}", settings.replica))?;
        metrics().broker_connected.with_label_values(&[role]).set(0);
        Ok(Self { settings, role, options, ids })
    }

    fn client(&self, requests: usize) -> (AsyncClient, Link) {
        let (client, eventloop) = AsyncClient::new(self.options.clone(), requests);
        (client, Link { eventloop, up: None })
    }

    /// Pauses before the next connection; each pause is twice as long as the last
    /// one, until a connection has lived as long as the longest pause.
    async fn pause(&self, lost: &Lost, lived: Duration, delay: &mut Duration, stop: &CancellationToken) {
        let reason = lost.reason();
        metrics().broker_reconnects.with_label_values(&[self.role, reason]).inc();
        match lost {
            Lost::Refused(_) => error!(role = self.role, error = %lost, "the broker refuses a subscription"),
            _ => warn!(role = self.role, error = %lost, "connection to the broker"),
        }
        let longest = Duration::from_millis(self.settings.reconnect_max_ms);
        if lived >= longest {
            *delay = Duration::from_millis(self.settings.reconnect_min_ms);
        }
        let half = u64::try_from(delay.as_millis() / 2).unwrap_or(u64::MAX);
        let pause = Duration::from_millis(half + self.ids.jitter(half.saturating_add(1)));
        *delay = delay.saturating_mul(2).min(longest);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One connection; the library would begin another one by itself.
pub struct Link {
    /// The library's side.
    pub eventloop: EventLoop,
    up: Option<Up>,
}

impl Link {
    async fn connect(&mut self, role: &'static str) -> Result<ConnAck, Lost> {
        loop {
            if let Event::Incoming(Packet::ConnAck(connack)) = self.next().await? {
                info!(role, session_present = connack.session_present, "connected to the broker");
                self.up = Some(Up::new(role));
                return Ok(connack);
            }
        }
    }

    /// What happens next. An event comes at least with each keep alive, so a
    /// broker that is silent for twice as long, or takes nothing from us for so
    /// long, is lost: the library waits for ever for a write.
    pub async fn next(&mut self) -> Result<Event, Lost> {
        let connecting = Duration::from_secs(self.eventloop.options.connection_timeout());
        let patience = self.eventloop.options.keep_alive() * 2 + connecting;
        match tokio::time::timeout(patience, self.eventloop.poll()).await {
            Ok(event) => event.map_err(|error| Lost::Connection(Box::new(error))),
            Err(_) => Err(Lost::Stalled),
        }
    }

    /// How long the connection has stood.
    fn lived(&self) -> Duration {
        self.up.as_ref().map_or(Duration::ZERO, |up| SystemClock::instant() - up.since)
    }
}

/// A connection that stands, in the metric as long as it lives.
struct Up {
    role: &'static str,
    since: Instant,
}

impl Up {
    fn new(role: &'static str) -> Self {
        metrics().broker_connected.with_label_values(&[role]).set(1);
        Self { role, since: SystemClock::instant() }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        metrics().broker_connected.with_label_values(&[self.role]).set(0);
    }
}

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error(transparent)]
    Connection(Box<ConnectionError>),
    #[error("the broker is silent, or takes nothing")]
    Stalled,
    #[error("{0}; look at the broker's access list, and whether it serves shared subscriptions")]
    Refused(String),
    #[error("a message could not be made durable; the broker sends it again")]
    NotDurable,
    #[error("more waits for its commit than broker.unacknowledged_bytes_max; the broker sends the rest again")]
    Full,
}

impl Lost {
    /// The metric's label.
    fn reason(&self) -> &'static str {
        match self {
            Self::Connection(_) => "lost",
            Self::Stalled => "stalled",
            Self::Refused(_) => "refused",
            Self::NotDurable => "not_durable",
            Self::Full => "full",
        }
    }
}
