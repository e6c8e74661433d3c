//! From payloads to what the gateway keeps, and back: the same for modems that
//! are connected here and for those behind another broker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use linegate_mqtt::ContentType;
use linegate_mqtt::payload::{self, Payload, PayloadError};
use tracing::debug;

use super::unreadable::Unreadable;
use super::usage;
use crate::domain::device::FIRST_EPOCH;
use crate::domain::ids::DeviceId;
use crate::domain::line::{LineState, Presence};
use crate::domain::rating::request::{ChargeAnswer, Outcome};
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::intake::{ChargingError, Replies, Reply, RequestIntake};
use crate::ports::modem::{DesiredMessage, ModemIntake, ModemMessage, ModemTopic, PayloadFormat};
use crate::ports::relational::Stored;
use crate::services::device_states::{Desired, DeviceStates, Report, Reported};
use crate::services::devices::DeviceRegistry;
use crate::telemetry::metrics;

/// How long usage under an epoch that nobody remembers may wait for the store.
const EPOCH_PATIENCE: Duration = Duration::from_secs(2);

/// The one [`ModemIntake`], whatever carries the messages.
pub struct MessageIntake {
    charging: Arc<dyn RequestIntake>,
    states: DeviceStates,
    registry: Arc<DeviceRegistry>,
    clock: Arc<dyn Clock>,
    unreadable: Unreadable,
    settings: IntakeSettings,
}

/// What a [`MessageIntake`] is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeSettings {
    /// This gateway's name among those on the store, or that of the broker that
    /// stands between.
    pub gateway: String,
    /// Seconds after which a desired state lapses that was sent; 0 is never.
    pub desired_expiry_s: u32,
    /// Unreadable usage payloads of one device that are kept in each minute.
    pub unreadable_per_minute_max: u32,
    /// Receipts for one usage message at most.
    pub receipts_per_message_max: usize,
}

impl MessageIntake {
    /// Usage goes to `charging`, everything else to `states`; `registry` knows the
    /// enrolment epoch that a modem is told, and that its usage may be under.
    pub fn new(
        charging: Arc<dyn RequestIntake>,
        states: DeviceStates,
        registry: Arc<DeviceRegistry>,
        clock: Arc<dyn Clock>,
        settings: IntakeSettings,
    ) -> Self {
        let unreadable = Unreadable::new(settings.unreadable_per_minute_max);
        Self { charging, states, registry, clock, unreadable, settings }
    }

    fn usage(&self, message: ModemMessage, reply: Reply) {
        let received = self.clock.now();
        let usage = match payload::Usage::decode(&message.payload, content_type(message.format)) {
            Ok(usage) => usage,
            Err(_) if !self.unreadable.admit(&message.device, received) => {
                count(message.topic, "unreadable_over_limit");
                return reply.to.reply(reply.tag, Err(ChargingError::Unreadable));
            }
            Err(error) => {
                count(message.topic, "unreadable");
                let record =
                    usage::unreadable_from_modem(&message.device, &message.payload, &error.to_string(), received);
                return self.charging.suspend(record, reply);
            }
        };
        count(message.topic, "taken");
        let newest = usage.records().iter().map(|record| record.epoch).max().unwrap_or(FIRST_EPOCH);
        let batch = UsageBatch { charging: Arc::clone(&self.charging), device: message.device, usage, received };
        if newest <= message.epoch.max(FIRST_EPOCH) || self.registry.remembers_epoch(&batch.device, newest) {
            return batch.submit(u32::MAX, reply);
        }
        // Seldom: the device has invented it, or was enrolled anew at another gateway.
        let registry = Arc::clone(&self.registry);
        tokio::spawn(async move {
            let enrolled = tokio::time::timeout(EPOCH_PATIENCE, registry.stored_epoch(&batch.device)).await;
            // Usage does not wait for a relational store that is away.
            batch.submit(enrolled.ok().and_then(Result::ok).flatten().unwrap_or(u32::MAX), reply);
        });
    }

    /// Reported state and presence are seldom: each waits in a task of its own.
    fn state(&self, message: &ModemMessage, reply: Reply) {
        let news = match self.read(message) {
            Ok(news) => news,
            // Acknowledged, or it would come back for ever.
            Err(error) => {
                debug!(device = %message.device, %error, "unreadable state");
                count(message.topic, "unreadable");
                return reply.to.reply(reply.tag, Ok(ChargeAnswer::bare(Outcome::Success)));
            }
        };
        let (states, topic, device) = (self.states.clone(), message.topic, message.device.clone());
        tokio::spawn(async move {
            let (outcome, answer) = match keep(&states, &device, news).await {
                Ok(outcome) => (outcome, Ok(ChargeAnswer::bare(Outcome::Success))),
                Err(error) => {
                    debug!(%device, %error, "keep what a modem told");
                    ("failed", Err(ChargingError::Stopping))
                }
            };
            count(topic, outcome);
            reply.to.reply(reply.tag, answer);
        });
    }

    fn read(&self, message: &ModemMessage) -> Result<News, PayloadError> {
        let (at, format) = (self.clock.now(), content_type(message.format));
        if message.topic == ModemTopic::Status {
            let status = payload::Status::decode(&message.payload, format)?;
            return Ok(News::Presence(Presence {
                online: status.state == payload::Presence::Online,
                session: Some(status.session),
                gateway: Some(self.settings.gateway.clone()),
                at,
            }));
        }
        let reported = payload::Reported::decode(&message.payload, format)?;
        let state = match reported.state {
            payload::LineState::Active => LineState::Active,
            payload::LineState::Suspended => LineState::Suspended,
            payload::LineState::Terminated => LineState::Terminated,
        };
        Ok(News::Report(Report { version: reported.version, state, reason: reported.reason, at }))
    }

    fn presence(&self, online: bool) -> Presence {
        Presence { online, session: None, gateway: Some(self.settings.gateway.clone()), at: self.clock.now() }
    }

    async fn message(&self, device: &DeviceId, desired: Option<Desired>) -> Stored<Option<DesiredMessage>> {
        let Some(desired) = desired else { return Ok(None) };
        let state = match desired.state {
            LineState::Active => payload::LineState::Active,
            LineState::Suspended => payload::LineState::Suspended,
            LineState::Terminated => payload::LineState::Terminated,
            LineState::Absent => return Ok(None),
        };
        let lapses = |seconds: u32| Timestamp(self.clock.now().millis() + i64::from(seconds) * 1000);
        let expires = (self.settings.desired_expiry_s > 0).then(|| lapses(self.settings.desired_expiry_s));
        let message = payload::Desired {
            epoch: self.registry.epoch(device).await?,
            version: desired.version,
            state,
            order_id: desired.order.map(|order| order.to_string()).unwrap_or_default(),
            expires_ms: expires.map(Timestamp::millis),
            plan: Some(desired.plan.to_string()),
            apns: desired.apns.iter().map(ToString::to_string).collect(),
        };
        Ok(Some(DesiredMessage { version: desired.version, expires, payload: message.encode(ContentType::Json) }))
    }
}

#[async_trait]
impl ModemIntake for MessageIntake {
    fn take(&self, message: ModemMessage, reply: Reply) {
        match message.topic {
            ModemTopic::Usage => self.usage(message, reply),
            ModemTopic::Reported | ModemTopic::Status => self.state(&message, reply),
        }
    }

    fn receipts(&self, message: &ModemMessage) -> Vec<Bytes> {
        let usage = payload::Usage::decode(&message.payload, content_type(message.format));
        let Ok(usage) = usage else { return Vec::new() };
        let (receipts, left_out) = usage::receipts(usage.records(), self.settings.receipts_per_message_max);
        metrics().broker_messages.with_label_values(&["receipt", "left_out"]).inc_by(left_out as u64);
        receipts
    }

    async fn came(&self, device: &DeviceId) -> Stored<Option<DesiredMessage>> {
        let desired = self.states.presence(device, self.presence(true)).await?;
        self.message(device, desired).await
    }

    async fn went(&self, device: &DeviceId) -> Stored<()> {
        self.states.presence(device, self.presence(false)).await.map(drop)
    }

    async fn recorded(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        self.states.online_at(&self.settings.gateway, after, limit).await
    }

    async fn behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        self.states.behind(after, limit).await
    }

    async fn desired(&self, device: &DeviceId) -> Stored<Option<DesiredMessage>> {
        let desired = self.states.desired(device).await?;
        self.message(device, desired).await
    }
}

/// What a modem tells of itself.
enum News {
    Report(Report),
    Presence(Presence),
}

async fn keep(states: &DeviceStates, device: &DeviceId, news: News) -> Stored<&'static str> {
    let report = match news {
        News::Presence(presence) => return states.presence(device, presence).await.map(|_| "taken"),
        News::Report(report) => report,
    };
    Ok(match states.reported(device, report).await? {
        Reported::Converged => "taken",
        Reported::Differs => "differs",
        Reported::Stale => "stale",
        Reported::Unknown => "unknown",
    })
}

fn content_type(format: PayloadFormat) -> Option<ContentType> {
    match format {
        PayloadFormat::Unsaid => None,
        PayloadFormat::Json => Some(ContentType::Json),
        PayloadFormat::Cbor => Some(ContentType::Cbor),
        PayloadFormat::Foreign => Some(ContentType::Unknown),
    }
}

fn count(topic: ModemTopic, outcome: &str) {
    let topic = match topic {
        ModemTopic::Reported => "reported",
        ModemTopic::Usage => "usage",
        ModemTopic::Status => "status",
    };
    metrics().mqtt_publishes.with_label_values(&[topic, outcome]).inc();
}

/// The usage of one message.
struct UsageBatch {
    charging: Arc<dyn RequestIntake>,
    device: DeviceId,
    usage: payload::Usage,
    received: Timestamp,
}

impl UsageBatch {
    /// Hands the records in; those under an epoch above `enrolled` go to suspense.
    fn submit(&self, enrolled: u32, reply: Reply) {
        let submit = |record: &payload::UsageRecord, reply| match record.epoch > enrolled {
            true => {
                let record = usage::above_enrolment(&self.device, record, enrolled, self.received);
                self.charging.suspend(record, reply);
            }
            false => self.charging.submit(usage::from_modem(&self.device, record, self.received), reply),
        };
        match self.usage.records() {
            [] => reply.to.reply(reply.tag, Ok(ChargeAnswer::bare(Outcome::Success))),
            [record] => submit(record, reply),
            records => {
                let batch: Arc<dyn Replies> = Arc::new(Batch::new(records.len(), reply));
                for record in records {
                    submit(record, Reply { tag: 0, to: Arc::clone(&batch) });
                }
            }
        }
    }
}

/// One answer for the records of one message: the last one's, or the first error.
struct Batch {
    left: AtomicUsize,
    failed: Mutex<Option<ChargingError>>,
    reply: Reply,
}

impl Batch {
    fn new(records: usize, reply: Reply) -> Self {
        Self { left: AtomicUsize::new(records), failed: Mutex::new(None), reply }
    }
}

impl Replies for Batch {
    fn reply(&self, _tag: u64, answer: Result<ChargeAnswer, ChargingError>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match (*failed, answer) {
            (Some(earlier), _) => Err(earlier),
            (None, answer) => answer,
        };
        *failed = answer.as_ref().err().copied();
        drop(failed);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reply.to.reply(self.reply.tag, answer);
        }
    }
}
