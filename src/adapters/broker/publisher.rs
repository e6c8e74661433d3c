//! Sends desired states, retained, and receipts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use linegate_mqtt::topic::{self, TOPIC_ROOT, TopicKind};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAckReason, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, Request};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::connection::{Broker, LINGER, Link, Lost, Role};
use super::outgoing::{BrokerModems, Outgoing, Receipt};
use crate::adapters::system::SystemClock;
use crate::domain::ids::DeviceId;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::modem::ModemIntake;
use crate::ports::relational::Stored;
use crate::telemetry::metrics;

/// Bytes of a PUBLISH beside its payload, at most: topic, properties, header.
const OVERHEAD: usize = 256;

/// The client that sends.
pub struct Publisher {
    broker: Broker,
    intake: Arc<dyn ModemIntake>,
    modems: BrokerModems,
    clock: Arc<dyn Clock>,
}

/// A message as it goes out.
struct Message {
    device: DeviceId,
    kind: TopicKind,
    payload: Bytes,
    expiry_s: Option<u32>,
}

impl Publisher {
    /// Sends what is left in `modems`.
    pub fn new(mut broker: Broker, intake: Arc<dyn ModemIntake>, modems: BrokerModems, clock: Arc<dyn Clock>) -> Self {
        // What is unacknowledged goes out anew, under new packet ids: no session of
        // the broker's is gone on with (MQTT 5 section 4.1).
        broker.options.set_clean_start(true).set_session_expiry_interval(None);
        Self { broker, intake, modems, clock }
    }

    async fn read(&self, link: &mut Link) -> Lost {
        loop {
            match link.next().await {
                Ok(Event::Incoming(Packet::PubAck(ack))) if refuses(ack.reason) => {
                    metrics().broker_messages.with_label_values(&["any", "refused"]).inc();
                    warn!(reason = ?ack.reason, "the broker refuses a message; look at its access list");
                }
                Ok(_) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// Sends one batch after the other. What was taken and is not with the library
    /// yet is in `hand`. Ends when told to stop and nothing waits.
    async fn send(&self, client: &AsyncClient, bytes_max: usize, hand: &mut Vec<Outgoing>, stop: &CancellationToken) {
        let batch = usize::from(self.broker.settings.outgoing_inflight_max);
        let rest = Duration::from_millis(self.broker.settings.reconnect_min_ms);
        // A store that failed is not asked again at once.
        let mut rests_until: Option<Instant> = None;
        while !(stop.is_cancelled() && (self.modems.is_empty() || rests_until.is_some())) {
            tokio::select! {
                taken = self.modems.take(batch, rests_until.is_none()) => *hand = taken,
                () = sleep_until(rests_until) => {
                    rests_until = None;
                    continue;
                }
                () = stop.cancelled() => continue,
            }
            let messages = join_all(hand.iter().map(|item| self.message(item))).await;
            // From the back, so that `hand` is always what is left.
            hand.reverse();
            for message in messages {
                match message {
                    Ok(Some(message)) => {
                        if !publish(client, message, bytes_max).await {
                            // The connection has ended: whoever reads it knows.
                            return std::future::pending().await;
                        }
                        hand.pop();
                    }
                    Ok(None) => drop(hand.pop()),
                    Err(error) => {
                        debug!(%error, "load a desired state");
                        rests_until = Some(SystemClock::instant() + rest);
                        self.modems.put_back(hand.pop());
                    }
                }
            }
        }
    }

    /// The message for what waits; `None` for a device that was never told anything.
    async fn message(&self, item: &Outgoing) -> Stored<Option<Message>> {
        match item {
            Outgoing::Receipt(receipt) => Ok(Some(Message {
                device: receipt.device.clone(),
                kind: TopicKind::Receipt,
                payload: receipt.payload.clone(),
                expiry_s: Some(self.broker.settings.receipt_expiry_s),
            })),
            // As it is at this moment: an older version never follows a newer one.
            Outgoing::Desired(device) => Ok(self.intake.desired(device).await?.map(|desired| {
                let seconds = |lapses: Timestamp| lapses.since(self.clock.now()).as_secs().max(1);
                Message {
                    device: device.clone(),
                    kind: TopicKind::Desired,
                    payload: desired.payload,
                    expiry_s: desired.expires.map(|at| u32::try_from(seconds(at)).unwrap_or(u32::MAX)),
                }
            })),
        }
    }
}

impl Role for Publisher {
    /// The library takes one when the broker's window has room.
    const REQUESTS: usize = 1;

    fn broker(&self) -> &Broker {
        &self.broker
    }

    async fn serve(
        &self,
        client: AsyncClient,
        link: &mut Link,
        connack: &ConnAck,
        stop: &CancellationToken,
    ) -> Option<Lost> {
        let bytes_max = connack.properties.as_ref().and_then(|properties| properties.max_packet_size);
        let bytes_max = bytes_max.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut hand = Vec::new();
        let end = {
            let reading = self.read(link);
            tokio::pin!(reading);
            let sending = async {
                self.send(&client, bytes_max, &mut hand, stop).await;
                // What was sent leaves in front of it.
                tokio::time::timeout(LINGER, client.disconnect()).await
            };
            tokio::select! {
                lost = &mut reading => Some(lost),
                _disconnecting = sending => {
                    let _gone = tokio::time::timeout(LINGER, reading).await;
                    None
                }
            }
        };
        self.modems.put_back(unsent(link).chain(hand));
        end
    }
}

/// Hands a message to the library; false where the connection has ended.
async fn publish(client: &AsyncClient, message: Message, bytes_max: usize) -> bool {
    let Message { device, kind, payload, expiry_s } = message;
    if payload.len().saturating_add(OVERHEAD) > bytes_max {
        // The library would end the connection over it, each time anew.
        metrics().broker_messages.with_label_values(&[kind.as_str(), "refused"]).inc();
        error!(%device, bytes = payload.len(), bytes_max, "a message is larger than the broker's Maximum Packet Size");
        return true;
    }
    let properties = PublishProperties {
        message_expiry_interval: expiry_s,
        content_type: Some("application/json".to_owned()),
        ..PublishProperties::default()
    };
    let (topic, retain) = (format!("{TOPIC_ROOT}{device}/{kind}"), kind == TopicKind::Desired);
    let handed = client.publish_bytes_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties).await;
    if handed.is_ok() {
        metrics().broker_messages.with_label_values(&[kind.as_str(), "sent"]).inc();
    }
    handed.is_ok()
}

/// What the broker has not acknowledged on a connection that ended. A desired
/// state is loaded anew.
fn unsent(link: &mut Link) -> impl Iterator<Item = Outgoing> + use<> {
    let eventloop = &mut link.eventloop;
    eventloop.clean();
    let collided = eventloop.state.collision.take().map(Request::Publish);
    let pending = std::mem::take(&mut eventloop.pending);
    pending.into_iter().chain(collided).filter_map(|request| match request {
        Request::Publish(publish) => outgoing(publish),
        _ => None,
    })
}

fn outgoing(publish: Publish) -> Option<Outgoing> {
    let name = std::str::from_utf8(&publish.topic).ok()?;
    let (device, kind) = topic::parse(name).ok()?;
    let device = DeviceId::new(device);
    match kind {
        TopicKind::Desired => Some(Outgoing::Desired(device)),
        TopicKind::Receipt => Some(Outgoing::Receipt(Receipt { device, payload: publish.payload })),
        _ => None,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn refuses(reason: PubAckReason) -> bool {
    !matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
}
