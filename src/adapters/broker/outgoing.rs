//! What waits to be sent to modems: whom to tell their desired state, and
//! receipts. Nobody who leaves something here waits.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tracing::warn;

use crate::domain::ids::DeviceId;
use crate::ports::modem::Modems;
use crate::telemetry::metrics;

/// Modems behind the broker; cheap to clone. Made before the services, because
/// activation nudges modems.
#[derive(Clone)]
pub struct BrokerModems(Arc<Queue>);

struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Of each of both.
    max: usize,
}

#[derive(Default)]
struct Waiting {
    desired: VecDeque<DeviceId>,
    /// Those in `desired`: once is as good as twice, since the state is loaded
    /// when it is sent.
    nudged: HashSet<DeviceId>,
    receipts: VecDeque<Receipt>,
    /// Said in the log once each time that it fills up.
    is_full: bool,
    /// A desired state was refused.
    has_missed: bool,
}

/// What is durable of a device's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose.
    pub device: DeviceId,
    /// As it goes out.
    pub payload: Bytes,
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// The device's desired state, whatever it is by then.
    Desired(DeviceId),
    /// A receipt.
    Receipt(Receipt),
}

impl BrokerModems {
    /// Keeps `max` devices and `max` receipts at most.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Queue { waiting: Mutex::default(), arrived: Notify::new(), max }))
    }

    /// Leaves something to be sent. Where it is full: a desired state is sent once
    /// there is room again, and usage without a receipt comes again.
    pub fn push(&self, item: Outgoing) {
        let mut waiting = self.lock();
        let (kind, length) = match &item {
            Outgoing::Desired(_) => ("desired", waiting.desired.len()),
            Outgoing::Receipt(_) => ("receipt", waiting.receipts.len()),
        };
        if matches!(&item, Outgoing::Desired(device) if waiting.nudged.contains(device)) {
            return;
        }
        if length >= self.0.max {
            metrics().broker_messages.with_label_values(&[kind, "refused"]).inc();
            waiting.has_missed |= kind == "desired";
            if !std::mem::replace(&mut waiting.is_full, true) {
                warn!(kind, "broker.outgoing_max is reached: the broker takes less than there is to send");
            }
            return;
        }
        waiting.put(item);
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// Puts back what was not sent; its number was bounded when it was taken.
    pub fn put_back(&self, items: impl IntoIterator<Item = Outgoing>) {
        let mut waiting = self.lock();
        items.into_iter().for_each(|item| waiting.put(item));
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// Waits for something to send and takes up to `max` of either; without
    /// desired states where the store rests.
    pub async fn take(&self, max: usize, with_desired: bool) -> Vec<Outgoing> {
        loop {
            let taken = self.lock().take(max, with_desired);
            if !taken.is_empty() {
                return taken;
            }
            self.0.arrived.notified().await;
        }
    }

    /// Whether a desired state was refused since this was last asked.
    pub fn take_missed(&self) -> bool {
        std::mem::take(&mut self.lock().has_missed)
    }

    /// Whether at least half of the room for desired states is free.
    pub fn has_room(&self) -> bool {
        self.lock().desired.len() <= self.0.max / 2
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.desired.is_empty() && waiting.receipts.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Modems for BrokerModems {
    async fn desired_changed(&self, device: &DeviceId) {
        self.push(Outgoing::Desired(device.clone()));
    }

    /// The broker lets modems in by a list of its own, and ends their connections.
    async fn expel(&self, _device: &DeviceId) {}
}

impl Waiting {
    fn put(&mut self, item: Outgoing) {
        match item {
            Outgoing::Desired(device) => {
                if self.nudged.insert(device.clone()) {
                    self.desired.push_back(device);
                }
            }
            Outgoing::Receipt(receipt) => self.receipts.push_back(receipt),
        }
        self.count();
    }

    fn take(&mut self, max: usize, with_desired: bool) -> Vec<Outgoing> {
        let receipts = self.receipts.len().min(max);
        let mut taken: Vec<_> = self.receipts.drain(..receipts).map(Outgoing::Receipt).collect();
        if with_desired {
            let desired = self.desired.len().min(max);
            for device in self.desired.drain(..desired) {
                self.nudged.remove(&device);
                taken.push(Outgoing::Desired(device));
            }
        }
        self.is_full &= taken.is_empty();
        self.count();
        taken
    }

    fn count(&self) {
        let gauge = |kind, length| {
            metrics().broker_waiting.with_label_values(&[kind]).set(i64::try_from(length).unwrap_or(i64::MAX));
        };
        gauge("desired", self.desired.len());
        gauge("receipt", self.receipts.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(device: &str) -> Outgoing {
        Outgoing::Desired(device.into())
    }

    #[tokio::test]
    async fn one_nudge_is_as_good_as_several_until_it_is_taken() {
        let modems = BrokerModems::new(2);
        for device in ["a", "b", "a", "b", "c"] {
            modems.push(desired(device));
        }
        assert_eq!(modems.take(9, true).await, [desired("a"), desired("b")], "c finds it full");
        modems.push(desired("a"));
        assert_eq!(modems.take(9, true).await, [desired("a")], "it changed after it was taken");
    }

    #[tokio::test]
    async fn receipts_go_on_while_the_store_rests() {
        let modems = BrokerModems::new(2);
        let receipt = Outgoing::Receipt(Receipt { device: "a".into(), payload: Bytes::from_static(b"{}") });
        modems.push(desired("a"));
        modems.push(receipt.clone());
        assert_eq!(modems.take(9, false).await, [receipt]);
        modems.put_back([desired("a")]);
        assert_eq!(modems.take(9, true).await, [desired("a")]);
        assert!(modems.is_empty());
    }
}
