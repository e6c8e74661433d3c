//! Modems behind an MQTT broker of the operator's.
//!
//! Owns: the clients to the broker, the order of acknowledgements, what waits to
//! be sent to modems. Does **not** own payloads, usage or line states (those are
//! behind [`ModemIntake`]), nor who a modem is: the broker's access list is what
//! makes sure that a device publishes on its own topics only.
//!
//! Invariants:
//! - A message is acknowledged to the broker after it is durable, in order of
//!   arrival, on the connection that it came on.
//! - No client outlives its connection. Whatever the library remembers of a lost
//!   connection (acknowledgements that were not sent, packet ids, a publish that
//!   collided) ends with it; what must not be lost is kept here.
//! - A loop that polls a client never awaits anything but the poll, and that poll
//!   is never cancelled while the connection is to live on.
//! - Usage, states and what goes out have a client each: a relational store that
//!   is away holds up no usage, and a broker that takes nothing from us no
//!   acknowledgement.

mod consumer;
mod outgoing;
mod publisher;
mod settings;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use linegate_mqtt::topic::TopicKind;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::consumer::Consumer;
use self::publisher::Publisher;
use crate::adapters::system::SystemClock;
use crate::ports::modem::ModemIntake;
use crate::ports::{Clock, Ids};
use crate::telemetry::metrics;

pub use outgoing::BrokerModems;
pub use settings::{BrokerSettings, BrokerTlsSettings};

/// What the usage client subscribes to.
const USAGE: &[TopicKind] = &[TopicKind::Usage];
/// What the states client subscribes to.
const STATES: &[TopicKind] = &[TopicKind::Reported, TopicKind::Status];

/// How long the last packets may take to leave before a connection is dropped.
const LINGER: Duration = Duration::from_secs(1);

/// Where modems' messages come from and go to.
pub struct BrokerServices {
    /// Takes what modems publish.
    pub intake: Arc<dyn ModemIntake>,
    /// What waits for modems.
    pub modems: BrokerModems,
    /// For expiry intervals.
    pub clock: Arc<dyn Clock>,
    /// For jitter.
    pub ids: Arc<dyn Ids>,
}

/// Connects to the broker and stays connected until `stop`, in `tasks`.
///
/// # Errors
/// Names the setting that is wrong. A broker that is away is no error.
pub fn start(
    settings: BrokerSettings,
    services: BrokerServices,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let BrokerServices { intake, modems, clock, ids } = services;
    let settings = Arc::new(settings);
    let broker = |role| Broker::new(Arc::clone(&settings), role, Arc::clone(&ids));
    let taking = TaskTracker::new();
    for (role, kinds) in [("usage", USAGE), ("states", STATES)] {
        let consumer = Consumer::new(broker(role)?, kinds, Arc::clone(&intake), modems.clone());
        tasks.spawn(taking.track_future(consumer.run(stop.clone())));
    }
    taking.close();
    let publisher = Publisher::new(broker("out")?, intake, modems, clock);
    tasks.spawn(async move {
        // It leaves last: the consumers' last messages have receipts.
        let sent = CancellationToken::new();
        let leave = async {
            stop.cancelled().await;
            taking.wait().await;
            sent.cancel();
        };
        tokio::join!(publisher.run(sent.clone()), leave);
    });
    Ok(())
}

/// One client's way to the broker.
struct Broker {
    settings: Arc<BrokerSettings>,
    role: &'static str,
    options: MqttOptions,
    ids: Arc<dyn Ids>,
}

impl Broker {
    fn new(settings: Arc<BrokerSettings>, role: &'static str, ids: Arc<dyn Ids>) -> anyhow::Result<Self> {
        let options = settings.options(&format!("linegate-{}-{role}", settings.replica))?;
        metrics().broker_connected.with_label_values(&[role]).set(0);
        Ok(Self { settings, role, options, ids })
    }

    /// A client with room for `requests`, and its connection once it stands;
    /// `None` at `stop`.
    async fn connect(
        &self,
        requests: usize,
        stop: &CancellationToken,
    ) -> Result<Option<(AsyncClient, Link, ConnAck)>, Lost> {
        let (client, eventloop) = AsyncClient::new(self.options.clone(), requests);
        let mut link = Link { eventloop, up: None };
        let connack = async {
            loop {
                if let Event::Incoming(Packet::ConnAck(connack)) = link.next().await? {
                    return Ok::<_, Lost>(connack);
                }
            }
        };
        let connack = tokio::select! {
            connack = connack => connack?,
            () = stop.cancelled() => return Ok(None),
        };
        info!(role = self.role, session_present = connack.session_present, "connected to the broker");
        link.up = Some(Up::new(self.role));
        Ok(Some((client, link, connack)))
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

    fn first_pause(&self) -> Duration {
        Duration::from_millis(self.settings.reconnect_min_ms)
    }
}

/// One connection; the library would begin another one by itself.
struct Link {
    eventloop: EventLoop,
    up: Option<Up>,
}

impl Link {
    /// What happens next. An event comes at least with each keep alive, so a
    /// broker that is silent for twice as long, or takes nothing from us for so
    /// long, is lost: the library waits for ever for a write.
    async fn next(&mut self) -> Result<Event, Lost> {
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
enum Lost {
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
