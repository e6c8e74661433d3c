//! Takes what modems publish, as a member of the gateways' shared subscription.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use linegate_mqtt::ContentType;
use linegate_mqtt::payload::{Payload, Presence, Status};
use linegate_mqtt::topic::{self, TOPIC_ROOT, TopicError, TopicKind};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, Publish, SubAck, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::{Broker, LINGER, Link, Lost, Role};
use super::outgoing::{BrokerModems, Outgoing, Receipt};
use super::window::Window;
use crate::domain::device::FIRST_EPOCH;
use crate::domain::ids::DeviceId;
use crate::domain::rating::request::ChargeAnswer;
use crate::ports::intake::{ChargingError, Replies, Reply};
use crate::ports::modem::{ModemIntake, ModemMessage, ModemTopic, PayloadFormat};
use crate::telemetry::metrics;

/// Room for our requests: one PUBACK for each packet id, and the subscription.
/// The queue grows as it is used, and an acknowledgement always finds room in it.
const REQUESTS: usize = u16::MAX as usize + 16;

/// The client of some topics.
pub struct Consumer {
    broker: Broker,
    filters: Vec<String>,
    intake: Arc<dyn ModemIntake>,
    modems: BrokerModems,
}

impl Consumer {
    /// Takes the topics of these kinds, from every modem.
    pub fn new(broker: Broker, kinds: &[TopicKind], intake: Arc<dyn ModemIntake>, modems: BrokerModems) -> Self {
        let group = &broker.settings.group;
        let filters = kinds.iter().map(|kind| format!("$share/{group}/{TOPIC_ROOT}+/{kind}")).collect();
        Self { broker, filters, intake, modems }
    }

    async fn read(&self, link: &mut Link, taken: &Arc<Taken>) -> Lost {
        loop {
            match link.next().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => self.take(publish, taken),
                Ok(Event::Incoming(Packet::SubAck(answer))) => {
                    if let Some(refused) = refused(&self.filters, &answer) {
                        return refused;
                    }
                }
                Ok(Event::Incoming(Packet::UnsubAck(_))) => taken.unsubscribed.send_modify(|count| *count += 1),
                Ok(_) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// Hands a message in. Never waits.
    fn take(&self, mut publish: Publish, taken: &Arc<Taken>) {
        let payload = std::mem::take(&mut publish.payload);
        let bytes = payload.len();
        let (message, then) = match message_of(&publish, payload) {
            Ok((message, content_type)) => {
                let then = self.once_durable(&message, content_type);
                (Some(message), then)
            }
            Err(error) => {
                metrics().mqtt_publishes.with_label_values(&["other", "refused"]).inc();
                debug!(%error, "a message on nobody's topic");
                (None, Then::Nothing)
            }
        };
        let Some(tag) = taken.admit(Unacknowledged { publish, then }, bytes) else { return };
        match message {
            Some(message) => self.intake.take(message, Reply { tag, to: Arc::clone(taken) as _ }),
            // Unacknowledged it would come back for ever.
            None => taken.settle(tag, true),
        }
    }

    fn once_durable(&self, message: &ModemMessage, content_type: Option<ContentType>) -> Then {
        match message.topic {
            ModemTopic::Usage => Then::Receipts(message.device.clone(), self.intake.receipts(message)),
            // The retained desired state may have lapsed.
            ModemTopic::Status if is_birth(&message.payload, content_type) => Then::Desired(message.device.clone()),
            ModemTopic::Status | ModemTopic::Reported => Then::Nothing,
        }
    }

    /// At `stop`: gives the subscription up and acknowledges what is on its way.
    /// An UNSUBACK, with nothing unacknowledged and nothing come since it was
    /// asked for, says that the broker has nothing more for this session.
    async fn leave(&self, taken: &Taken, stop: &CancellationToken) {
        stop.cancelled().await;
        let mut answers = taken.unsubscribed.subscribe();
        let mut asked = 0;
        loop {
            let Some(before) = taken.count() else { return };
            for filter in &self.filters {
                let _room = taken.client.try_unsubscribe(filter);
                asked += 1;
            }
            if answers.wait_for(|count| *count >= asked).await.is_err() {
                return;
            }
            if taken.count() == Some(before) && taken.is_empty() {
                return;
            }
            while !taken.is_empty() {
                taken.emptied.notified().await;
            }
        }
    }
}

impl Role for Consumer {
    const REQUESTS: usize = REQUESTS;

    fn broker(&self) -> &Broker {
        &self.broker
    }

    async fn serve(
        &self,
        client: AsyncClient,
        link: &mut Link,
        _connack: &ConnAck,
        stop: &CancellationToken,
    ) -> Option<Lost> {
        let taken = Arc::new(Taken {
            client,
            role: self.broker.role,
            modems: self.modems.clone(),
            window: Mutex::new(Some(Window::new(self.broker.settings.unacknowledged_bytes_max))),
            ended: Notify::new(),
            emptied: Notify::new(),
            unsubscribed: watch::Sender::new(0),
        });
        // Also where a session is there: mosquitto restores sessions without their
        // shared subscriptions, and it may be from before we took leave. Subscribing
        // again changes nothing.
        let filters = self.filters.iter().map(|filter| Filter::new(filter, QoS::AtLeastOnce));
        let _room = taken.client.try_subscribe_many(filters);
        let reading = self.read(link, &taken);
        tokio::pin!(reading);
        let leaving = async {
            tokio::select! {
                lost = taken.ended() => Some(lost),
                () = self.leave(&taken, stop) => None,
            }
        };
        let end = tokio::select! {
            lost = &mut reading => Some(lost),
            end = leaving => {
                // What is acknowledged leaves in front of it.
                let _room = taken.client.try_disconnect();
                let _gone = tokio::time::timeout(LINGER, reading).await;
                end
            }
        };
        taken.close();
        end
    }
}

/// A message that waits for its acknowledgement.
struct Unacknowledged {
    /// Without its payload.
    publish: Publish,
    then: Then,
}

/// What follows when a message is durable.
enum Then {
    Nothing,
    Receipts(DeviceId, Vec<Bytes>),
    Desired(DeviceId),
}

/// What one connection has taken. Answers to an earlier connection's messages
/// find its window closed: the broker sends those again, and their keys make them
/// count once.
struct Taken {
    client: AsyncClient,
    role: &'static str,
    modems: BrokerModems,
    /// `None` when the connection has ended.
    window: Mutex<Option<Window<Unacknowledged>>>,
    ended: Notify,
    emptied: Notify,
    /// UNSUBACKs that have come.
    unsubscribed: watch::Sender<usize>,
}

impl Taken {
    fn admit(&self, item: Unacknowledged, bytes: usize) -> Option<u64> {
        let mut window = self.lock();
        let window = window.as_mut()?;
        let tag = window.admit(item, bytes);
        self.tell(window);
        tag
    }

    fn settle(&self, tag: u64, durable: bool) {
        let mut window = self.lock();
        let Some(window) = window.as_mut() else { return metrics().broker_stale_acks.inc() };
        window.settle(tag, durable);
        // Under the lock, so that acknowledgements leave in their order.
        while let Some(Unacknowledged { publish, then }) = window.pop() {
            if self.client.try_ack(&publish).is_err() {
                warn!(role = self.role, "an acknowledgement found no room; the broker sends its message again");
            }
            match then {
                Then::Nothing => {}
                Then::Desired(device) => self.modems.push(Outgoing::Desired(device)),
                Then::Receipts(device, payloads) => {
                    for payload in payloads {
                        self.modems.push(Outgoing::Receipt(Receipt { device: device.clone(), payload }));
                    }
                }
            }
        }
        self.tell(window);
    }

    /// Waits until a message ends the window and those in front of it are acknowledged.
    async fn ended(&self) -> Lost {
        loop {
            let lost = self
                .lock()
                .as_ref()
                .filter(|window| window.is_at_end())
                .map(|window| if window.is_empty() { Lost::Full } else { Lost::NotDurable });
            match lost {
                Some(lost) => return lost,
                None => self.ended.notified().await,
            }
        }
    }

    fn tell(&self, window: &Window<Unacknowledged>) {
        measure(self.role, window.bytes());
        if window.is_at_end() {
            self.ended.notify_one();
        }
        if window.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// How many messages were taken; `None` when the connection has ended.
    fn count(&self) -> Option<u64> {
        self.lock().as_ref().map(Window::next_tag)
    }

    fn is_empty(&self) -> bool {
        self.lock().as_ref().is_none_or(Window::is_empty)
    }

    fn close(&self) {
        *self.lock() = None;
        measure(self.role, 0);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Window<Unacknowledged>>> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replies for Taken {
    fn reply(&self, tag: u64, answer: Result<ChargeAnswer, ChargingError>) {
        if let Err(error) = &answer {
            debug!(role = self.role, %error, "take a modem's message in");
        }
        // The broker cannot tell the modem, and would send it again for ever.
        self.settle(tag, matches!(answer, Ok(_) | Err(ChargingError::Unreadable)));
    }
}

/// A subscription of less than QoS 1 would lose messages.
fn refused(filters: &[String], answer: &SubAck) -> Option<Lost> {
    let granted = |code| matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce));
    let (filter, code) = filters.iter().zip(&answer.return_codes).find(|(_, code)| !granted(**code))?;
    Some(Lost::Refused(format!("subscribe to {filter}: {code:?}")))
}

fn measure(role: &str, bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    metrics().broker_unacknowledged_bytes.with_label_values(&[role]).set(bytes);
}

/// Whose message it is, by its topic; the broker's access list has made sure of it.
fn message_of(publish: &Publish, payload: Bytes) -> Result<(ModemMessage, Option<ContentType>), TopicError> {
    let name = String::from_utf8_lossy(&publish.topic);
    let (device, kind) = topic::parse(&name)?;
    let topic = match kind {
        TopicKind::Usage => ModemTopic::Usage,
        TopicKind::Reported => ModemTopic::Reported,
        TopicKind::Status => ModemTopic::Status,
        TopicKind::Desired | TopicKind::Receipt => return Err(TopicError::NotOurs(name.into_owned())),
    };
    let content_type = publish.properties.as_ref().and_then(|properties| properties.content_type.as_deref());
    let content_type = content_type.map(ContentType::parse);
    let format = match content_type {
        None => PayloadFormat::Unsaid,
        Some(ContentType::Json) => PayloadFormat::Json,
        Some(ContentType::Cbor) => PayloadFormat::Cbor,
        Some(ContentType::Unknown) => PayloadFormat::Foreign,
    };
    Ok((ModemMessage { device: DeviceId::new(device), topic, payload, format, epoch: FIRST_EPOCH }, content_type))
}

fn is_birth(payload: &[u8], content_type: Option<ContentType>) -> bool {
    Status::decode(payload, content_type).is_ok_and(|status| status.state == Presence::Online)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_that_would_lose_messages_is_no_subscription() {
        let filters = ["a".to_owned(), "b".to_owned()];
        let check = |code, expected: bool| {
            let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce), code];
            let answer = SubAck { pkid: 1, return_codes: codes, properties: None };
            let refused = refused(&filters, &answer).map(|lost| lost.to_string());
            assert_eq!(refused.is_some_and(|text| text.contains("b: ")), expected, "{code:?}");
        };
        check(SubscribeReasonCode::Success(QoS::AtLeastOnce), false);
        check(SubscribeReasonCode::Success(QoS::AtMostOnce), true);
        check(SubscribeReasonCode::NotAuthorized, true);
        check(SubscribeReasonCode::SharedSubscriptionsNotSupported, true);
    }

    #[test]
    fn a_message_is_its_topics_devices() {
        let check = |name: &str, expected: Option<(&str, ModemTopic)>| {
            let publish = Publish::new(name, QoS::AtLeastOnce, "", None);
            let message = message_of(&publish, Bytes::new()).ok();
            let found = message.as_ref().map(|(message, _)| (message.device.as_str(), message.topic));
            assert_eq!(found, expected, "{name}");
        };
        check("lg/v1/meter-1/usage", Some(("meter-1", ModemTopic::Usage)));
        check("lg/v1/meter-1/status", Some(("meter-1", ModemTopic::Status)));
        check("lg/v1/meter-1/desired", None);
        check("lg/v1/meter 1/usage", None);
        check("somewhere/else", None);
        check("", None);
    }
}
