//! The loop that hands messages over: bounded, in order, with retries.
//!
//! The store offers only the oldest pending message of a stream and recipient,
//! and a message under way is not begun again; so order holds without queues.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Outbox, fan_out, render};
use crate::domain::ids::MessageId;
use crate::domain::notification::Recipient;
use crate::domain::time::Timestamp;
use crate::ports::delivery::DeliveryError;
use crate::ports::relational::{DeliveryState, OutboxEntry, Page, Stored, Write};
use crate::telemetry::metrics;

/// Tries to store what came of a delivery.
const STORE_TRIES: u32 = 5;

/// Deliveries under way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    of_task: HashMap<Id, (MessageId, String)>,
    messages: HashSet<MessageId>,
    by_target: HashMap<String, usize>,
}

impl UnderWay {
    fn begin(&mut self, outbox: &Arc<Outbox>, entry: OutboxEntry) {
        let (id, target) = (entry.message.id.clone(), target(&entry.message.to));
        self.messages.insert(id.clone());
        *self.by_target.entry(target.clone()).or_default() += 1;
        let outbox = outbox.clone();
        let task = self.tasks.spawn(async move { outbox.attempt(entry).await }).id();
        self.of_task.insert(task, (id, target));
    }

    fn end(&mut self, task: Id) {
        let Some((message, target)) = self.of_task.remove(&task) else { return };
        self.messages.remove(&message);
        if let Some(count) = self.by_target.get_mut(&target) {
            *count -= 1;
            if *count == 0 {
                self.by_target.remove(&target);
            }
        }
    }

    fn busy(&self, target: &str) -> usize {
        self.by_target.get(target).copied().unwrap_or(0)
    }

    /// Waits for one to end; false when none is under way.
    async fn next(&mut self) -> bool {
        match self.tasks.join_next_with_id().await {
            Some(Ok((task, ()))) => self.end(task),
            Some(Err(e)) => {
                tracing::error!(error = %e, "a delivery broke off");
                self.end(e.id());
            }
            None => return false,
        }
        true
    }
}

pub(super) async fn run(outbox: Arc<Outbox>, stop: CancellationToken) {
    let mut under_way = UnderWay::default();
    let mut poll = tokio::time::interval(Duration::from_millis(outbox.settings.poll_ms.max(1)));
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        if let Err(e) = round(&outbox, &mut under_way).await {
            tracing::warn!(error = %e, "outbox round");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = outbox.bell.notified() => {}
            true = under_way.next() => {}
            _ = poll.tick() => count_pending(&outbox).await,
        }
    }
    while under_way.next().await {}
}

/// Fans out what is new, then begins what is due as far as there is room.
async fn round(outbox: &Arc<Outbox>, under_way: &mut UnderWay) -> Stored<()> {
    if fan_out::fan_out(outbox).await? == outbox.settings.fan_out_batch {
        outbox.wake();
    }
    begin_due(outbox, under_way).await?;
    Ok(())
}

/// Begins what is due. A target that is slow, with its share in use, must not
/// hide the others behind its messages: while places are free and the window is
/// full, the window doubles.
async fn begin_due(outbox: &Arc<Outbox>, under_way: &mut UnderWay) -> Stored<()> {
    let settings = &outbox.settings;
    let mut window = 4 * settings.concurrency.max(1) as u64;
    while under_way.messages.len() < settings.concurrency {
        let due = outbox.store.due_messages(outbox.clock.now(), window).await?;
        let is_full = due.len() as u64 >= window;
        for entry in due {
            let room = under_way.messages.len() < settings.concurrency;
            let target_room = under_way.busy(&target(&entry.message.to)) < settings.concurrency_per_target;
            if room && target_room && !under_way.messages.contains(&entry.message.id) {
                under_way.begin(outbox, entry);
            }
        }
        if !is_full || window >= settings.window_max {
            break;
        }
        window = (window * 2).min(settings.window_max);
    }
    Ok(())
}

async fn count_pending(outbox: &Outbox) {
    if let Ok(pending) = outbox.store.messages(None, Some("pending"), Page { offset: 0, limit: 1 }).await {
        metrics().outbox_pending.set(i64::try_from(pending.total).unwrap_or(i64::MAX));
    }
}

/// What shares a share of the concurrency.
fn target(to: &Recipient) -> String {
    match to {
        Recipient::Webhook { listener } => format!("webhook/{listener}"),
        other => other.channel().to_owned(),
    }
}

impl Outbox {
    /// Carries on until nothing is due; for tests and for a command that ends.
    pub async fn drain(self: &Arc<Self>) -> Stored<()> {
        let mut under_way = UnderWay::default();
        loop {
            let fresh = fan_out::fan_out(self).await?;
            begin_due(self, &mut under_way).await?;
            if !under_way.next().await && fresh == 0 {
                return Ok(());
            }
        }
    }

    /// One try, and what came of it into the store. A result that cannot be
    /// stored leaves the message pending: it goes out again under the same id.
    async fn attempt(&self, entry: OutboxEntry) {
        let OutboxEntry { message, delivery } = entry;
        let attempts = match delivery {
            DeliveryState::Pending { attempts, .. } => attempts.saturating_add(1),
            DeliveryState::Sent { .. } | DeliveryState::Dead { .. } => return,
        };
        let result = render::send(&self.store, &self.senders, &self.settings, self.clock.now(), &message).await;
        let now = self.clock.now();
        let (outcome, state) = self.judge(result, attempts, now);
        metrics().deliveries.with_label_values(&[message.to.channel(), outcome]).inc();
        if let DeliveryState::Dead { reason, .. } = &state {
            tracing::warn!(message = %message.id, channel = message.to.channel(), reason, "message is dead");
        }
        self.keep(&message.id, state).await;
    }

    /// The message stays under way between tries, so that a store that does not
    /// take results does not make it go out again and again at full speed.
    async fn keep(&self, id: &MessageId, state: DeliveryState) {
        for attempt in 1..=STORE_TRIES {
            match self.store.save(vec![Write::Delivery(id.clone(), state.clone())]).await {
                Ok(()) => return,
                Err(e) => tracing::warn!(message = %id, attempt, error = %e, "store delivery"),
            }
            tokio::time::sleep(self.backoff(attempt)).await;
        }
    }

    fn judge(&self, result: Result<(), DeliveryError>, attempts: u32, now: Timestamp) -> (&'static str, DeliveryState) {
        match result {
            Ok(()) => ("sent", DeliveryState::Sent { at: now }),
            Err(DeliveryError::Permanent { reason }) => ("dead", DeliveryState::Dead { at: now, reason }),
            Err(DeliveryError::Transient { reason }) if attempts >= self.settings.attempts_max => {
                ("dead", DeliveryState::Dead { at: now, reason: format!("after {attempts} tries: {reason}") })
            }
            Err(DeliveryError::Transient { reason }) => {
                let next_attempt = now.plus(self.backoff(attempts));
                ("retry", DeliveryState::Pending { attempts, next_attempt, last_error: Some(reason) })
            }
        }
    }

    /// Doubles with each try up to the longest wait, plus up to half of it at random.
    fn backoff(&self, attempts: u32) -> Duration {
        let doubled = self.settings.backoff_ms.saturating_mul(1 << (attempts - 1).min(30));
        let wait = doubled.min(self.settings.backoff_max_ms);
        Duration::from_millis(wait + self.ids.jitter(wait / 2 + 1))
    }
}
