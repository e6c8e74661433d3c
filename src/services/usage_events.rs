//! Events of usage, for those who listen: `UsageCreateEvent` (TMF635) for each record, and
//! `UsageStateChangeEvent` for each that has left suspense because it is counted now,
//! whoever brought it again. What a person has closed otherwise is told by
//! [`super::suspense`].
//!
//! Records are read behind a cursor of the relational store and become messages of the
//! outbox, in the save that moves the cursor. Where nobody listens nothing is read and
//! there is no cursor; it begins behind the newest record when somebody does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::outbox::{EventQuery, concerns};
use super::usage_tmf::{suspended, usage};
use crate::domain::ids::MessageId;
use crate::domain::money::Currency;
use crate::domain::notification::{Body, Message, Recipient};
use crate::domain::usage::UsageOutcome;
use crate::ports::relational::{Listener, Page, Relational, Stored, StoredUsage, UsageFilter, Write};

/// The event of a record (TMF635 section on notifications).
pub const USAGE_CREATE: &str = "UsageCreateEvent";

/// The event of a record that has left suspense.
pub const USAGE_STATE_CHANGE: &str = "UsageStateChangeEvent";

/// Limits of these events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageEventSettings {
    /// Records that become messages in one save, at least 1.
    pub batch_records: u64,
    /// Messages that may wait for their listeners: past it, records wait.
    pub waiting_max: u64,
    /// How often it looks for new records, milliseconds, at least 1.
    pub poll_ms: u64,
}

impl Default for UsageEventSettings {
    fn default() -> Self {
        Self { batch_records: 256, waiting_max: 10_000, poll_ms: 1000 }
    }
}

/// Makes messages of records.
pub struct UsageEvents {
    store: Arc<dyn Relational>,
    currency: Currency,
    bell: Arc<Notify>,
    settings: UsageEventSettings,
}

/// Where its cursor is kept; empty while nobody listens.
const CURSOR: &str = "usage-events";

impl UsageEvents {
    /// Over the store; `bell` wakes whoever delivers.
    pub fn new(
        store: Arc<dyn Relational>,
        currency: Currency,
        bell: Arc<Notify>,
        settings: UsageEventSettings,
    ) -> Self {
        Self { store, currency, bell, settings }
    }

    /// Runs until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let pause = Duration::from_millis(self.settings.poll_ms.max(1));
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(records) if records >= self.settings.batch_records.max(1) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "tell of usage"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Makes messages of some records; says of how many.
    pub async fn step(&self) -> Stored<u64> {
        let all = self.store.listeners().await?;
        let who_want = |event_type| {
            let wants = |l: &&Listener| EventQuery::parse(&l.query).is_ok_and(|query| concerns(l, &query, event_type));
            all.iter().filter(wants).collect::<Vec<_>>()
        };
        let (new, left) = (who_want(USAGE_CREATE), who_want(USAGE_STATE_CHANGE));
        let cursor = self.store.meta(CURSOR).await?.filter(|cursor| !cursor.is_empty());
        match (new.is_empty() && left.is_empty(), cursor) {
            (true, None) => Ok(0),
            (true, Some(_)) => self.store.save(vec![moved("")]).await.map(|()| 0),
            (false, None) => {
                let newest = self.store.usage(&UsageFilter::default(), Page { offset: 0, limit: 1 }).await?;
                let newest = newest.items.first().map_or(0, |newest| newest.sequence);
                self.store.save(vec![moved(&newest.to_string())]).await.map(|()| 0)
            }
            (false, Some(cursor)) => self.tell(&new, &left, cursor.parse().unwrap_or(0)).await,
        }
    }

    /// `new` hear of every record, `left` of what has left suspense with it.
    async fn tell(&self, new: &[&Listener], left: &[&Listener], after: u64) -> Stored<u64> {
        let waiting = self.store.messages(Some("webhook"), Some("pending"), Page { offset: 0, limit: 0 }).await?;
        if waiting.total >= self.settings.waiting_max {
            return Ok(0);
        }
        let limit = self.settings.batch_records.max(1);
        let fresh = self.store.usage_after(&UsageFilter::default(), after, limit).await?;
        let Some(last) = fresh.last() else { return Ok(0) };
        let records = fresh.len() as u64;
        let mut writes = vec![moved(&last.sequence.to_string())];
        for stored in &fresh {
            let event = Event {
                id: format!("usg-{}", stored.sequence),
                event_type: USAGE_CREATE,
                usage: usage(stored, self.currency, false),
            };
            writes.extend(new.iter().map(|listener| message(stored, &event, listener)));
        }
        let recycled = if left.is_empty() { Vec::new() } else { self.recycled_by(fresh).await? };
        for stored in &recycled {
            let event = Event {
                id: format!("usg-{}-left", stored.sequence),
                event_type: USAGE_STATE_CHANGE,
                usage: suspended(stored),
            };
            writes.extend(left.iter().map(|listener| message(stored, &event, listener)));
        }
        self.store.save(writes).await?;
        self.bell.notify_one();
        Ok(records)
    }

    /// What has left suspense with these records: it was there before.
    async fn recycled_by(&self, fresh: Vec<StoredUsage>) -> Stored<Vec<StoredUsage>> {
        let is_counted = |r: &StoredUsage| matches!(r.outcome, UsageOutcome::Rated | UsageOutcome::Reconciled);
        let counted: Vec<StoredUsage> = fresh.into_iter().filter(is_counted).collect();
        let mut recycled = self.store.recycled(&counted).await?;
        let places: HashMap<_, _> = counted.iter().map(|r| ((&r.key, r.rating_group), r.sequence)).collect();
        recycled.retain(|r| places.get(&(&r.key, r.rating_group)).is_some_and(|place| r.sequence < *place));
        Ok(recycled)
    }
}

/// What is told of a record.
struct Event {
    id: String,
    event_type: &'static str,
    usage: Value,
}

/// The id follows from record and listener, so that a repeat makes the same message.
fn message(stored: &StoredUsage, event: &Event, listener: &Listener) -> Write {
    let Event { id, event_type, usage } = event;
    Write::Message(Message {
        id: MessageId::from(format!("{id}.{}", listener.id)),
        stream: stored.line.as_ref().map_or_else(|| id.clone(), ToString::to_string),
        once_key: None,
        to: Recipient::Webhook { listener: listener.id.clone() },
        body: Body::Event {
            event_type: (*event_type).to_owned(),
            event: json!({ "usage": usage }),
            event_id: id.clone(),
            correlation: None,
        },
        created: stored.received,
    })
}

fn moved(cursor: &str) -> Write {
    Write::Meta(CURSOR.to_owned(), cursor.to_owned())
}
