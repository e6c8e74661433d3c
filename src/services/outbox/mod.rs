//! Outbox: what happened becomes messages, messages become deliveries.
//!
//! Owns the fan-out of happenings to `/hub` listeners, the order and retries of
//! deliveries, and the rendering of bodies. Does **not** own what is said (the
//! services that write messages do) or how it travels (the adapters do).
//!
//! Promises: a message leaves at least once under one stable id; messages of
//! one stream leave to one recipient in order; a message that cannot leave is
//! dead, visible and replayable, and holds the ones behind it up no longer.

mod dispatch;
mod fan_out;
mod render;

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(super) use self::fan_out::concerns;
pub use self::fan_out::{BadQuery, EventQuery, api_of};
pub use self::render::settlement_csv;
use crate::domain::ids::{ListenerId, MessageId};
use crate::domain::notification::Recipient;
use crate::ports::delivery::{Mailer, SmsGateway, WebhookSender};
use crate::ports::documents::Documents;
use crate::ports::relational::{DeliveryState, OutboxEntry, Page, Relational, StoreError, Stored, Write};
use crate::ports::{Clock, Ids};

/// Dead messages looked through by one replay with a filter.
const DEAD_SCAN_MAX: u64 = 65_536;
/// Dead messages read at a time.
const DEAD_PAGE: usize = 256;

/// Section `[outbox]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxSettings {
    /// Deliveries at a time.
    pub concurrency: usize,
    /// Deliveries at a time to one listener, or to the SMS or mail server.
    pub concurrency_per_target: usize,
    /// Tries of one message before it is dead.
    pub attempts_max: u32,
    /// Wait after the first failure, milliseconds; doubles with each one, plus up to half of it at random.
    pub backoff_ms: u64,
    /// Longest wait between tries, milliseconds.
    pub backoff_max_ms: u64,
    /// Looks for work this often where nothing wakes it, milliseconds.
    pub poll_ms: u64,
    /// Due messages looked through for one whose target has room.
    pub window_max: u64,
    /// Happenings turned into messages in one transaction.
    pub fan_out_batch: u64,
    /// Domain of Message-IDs, after the `@`.
    pub mail_domain: String,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            concurrency_per_target: 8,
            attempts_max: 12,
            backoff_ms: 1_000,
            backoff_max_ms: 600_000,
            poll_ms: 1_000,
            window_max: 4_096,
            fan_out_batch: 256,
            mail_domain: "gateway.linegate.example".to_owned(),
        }
    }
}

/// Where messages go; SMS and mail may be switched off.
#[derive(Clone)]
pub struct Senders {
    /// Calls listeners.
    pub webhooks: Arc<dyn WebhookSender>,
    /// Sends SMS; without one they are dead at once, and replayable.
    pub sms: Option<Arc<dyn SmsGateway>>,
    /// Sends mail; without one it is dead at once, and replayable.
    pub mail: Option<Arc<dyn Mailer>>,
    /// Draws attachments.
    pub documents: Arc<dyn Documents>,
}

/// The service.
pub struct Outbox {
    store: Arc<dyn Relational>,
    senders: Senders,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: OutboxSettings,
    bell: Arc<Notify>,
}

/// Why a message was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No such message among the dead.
    #[error("replay message {0}: it is not among the dead")]
    NotDead(MessageId),
    /// The store did not take it.
    #[error("replay message")]
    Store(#[from] StoreError),
}

/// Which of the dead; a field that is absent passes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadFilter {
    /// `webhook`, `sms` or `mail`.
    pub channel: Option<String>,
    /// The reason holds this.
    pub reason: Option<String>,
    /// A `/hub` registration.
    pub listener: Option<ListenerId>,
}

impl DeadFilter {
    fn admits(&self, entry: &OutboxEntry) -> bool {
        let DeliveryState::Dead { reason, .. } = &entry.delivery else { return false };
        let to_listener = |wanted: &ListenerId| match &entry.message.to {
            Recipient::Webhook { listener } => listener == wanted,
            Recipient::Sms { .. } | Recipient::Mail { .. } => false,
        };
        self.reason.as_ref().is_none_or(|part| reason.contains(part)) && self.listener.as_ref().is_none_or(to_listener)
    }
}

impl Outbox {
    /// Over a store and senders.
    pub fn new(
        store: Arc<dyn Relational>,
        senders: Senders,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: OutboxSettings,
    ) -> Self {
        Self { store, senders, clock, ids, settings, bell: Arc::new(Notify::new()) }
    }

    /// The bell to ring when there may be work, for whoever saves happenings or messages.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Rings it.
    pub fn wake(&self) {
        self.bell.notify_one();
    }

    /// Fans out and delivers until `stop`; deliveries under way are finished.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        dispatch::run(self, stop).await;
    }

    /// Gives a dead message all its tries again.
    pub async fn replay(&self, id: &MessageId) -> Result<(), ReplayError> {
        let found = self.store.message(id).await?;
        let is_dead = |entry: &OutboxEntry| matches!(entry.delivery, DeliveryState::Dead { .. });
        if !found.as_ref().is_some_and(is_dead) {
            return Err(ReplayError::NotDead(id.clone()));
        }
        let again = DeliveryState::Pending { attempts: 0, next_attempt: self.clock.now(), last_error: None };
        self.store.save(vec![Write::Delivery(id.clone(), again)]).await?;
        self.wake();
        Ok(())
    }

    /// Replays the dead that pass `filter`, the youngest first, `limit` of them at most;
    /// each with what came of it. Messages of one stream leave in their order all the same.
    pub async fn replay_all(
        &self,
        filter: &DeadFilter,
        limit: u64,
    ) -> Stored<Vec<(MessageId, Result<(), ReplayError>)>> {
        let mut results = Vec::new();
        for id in self.dead(filter, limit).await? {
            let result = self.replay(&id).await;
            results.push((id, result));
        }
        Ok(results)
    }

    /// Read before any is replayed, since a replay moves the pages.
    async fn dead(&self, filter: &DeadFilter, limit: u64) -> Stored<Vec<MessageId>> {
        let mut found = Vec::new();
        let channel = filter.channel.as_deref();
        for offset in (0..DEAD_SCAN_MAX).step_by(DEAD_PAGE) {
            let page = Page { offset, limit: DEAD_PAGE as u64 };
            let dead = self.store.messages(channel, Some("dead"), page).await?.items;
            let is_last = dead.len() < DEAD_PAGE;
            found.extend(dead.into_iter().filter(|entry| filter.admits(entry)).map(|entry| entry.message.id));
            if is_last || found.len() as u64 >= limit {
                break;
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}
