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

mod behind;
mod connection;
mod consumer;
mod outgoing;
mod publisher;
mod settings;
mod window;

use std::sync::Arc;

use linegate_mqtt::topic::TopicKind;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::{Broker, keep_connected};
use self::consumer::Consumer;
use self::publisher::Publisher;
use crate::ports::modem::ModemIntake;
use crate::ports::{Clock, Ids};

pub use outgoing::BrokerModems;
pub use settings::{BrokerSettings, BrokerTlsSettings};

/// What the usage client subscribes to.
const USAGE: &[TopicKind] = &[TopicKind::Usage];
/// What the states client subscribes to.
const STATES: &[TopicKind] = &[TopicKind::Reported, TopicKind::Status];

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
        tasks.spawn(taking.track_future(keep_connected(consumer, stop.clone())));
    }
    taking.close();
    tasks.spawn(behind::tell(Arc::clone(&intake), modems.clone(), stop.clone()));
    let publisher = Publisher::new(broker("out")?, intake, modems, clock);
    tasks.spawn(async move {
        // It leaves last: the consumers' last messages have receipts.
        let sent = CancellationToken::new();
        let leave = async {
            stop.cancelled().await;
            taking.wait().await;
            sent.cancel();
        };
        tokio::join!(keep_connected(publisher, sent.clone()), leave);
    });
    Ok(())
}
