//! Which device is on which connection, and the sessions of devices that are away.
//!
//! Invariant: a device has at most one connection; a newer one takes over
//! (MQTT 5 section 3.1.4, reason 0x8E).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use linegate_mqtt::session::SessionState;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::DeviceId;
use crate::telemetry::metrics;

/// How a connection is told of things from outside.
#[derive(Debug, Clone)]
pub struct Bells {
    /// The desired state changed; several rings are as good as one.
    pub desired: Arc<Notify>,
    /// Another connection of the device takes over.
    pub taken_over: CancellationToken,
    /// The device may not be connected as it is.
    pub expelled: CancellationToken,
}

impl Bells {
    /// Not rung yet.
    pub fn new() -> Self {
        Self {
            desired: Arc::new(Notify::new()),
            taken_over: CancellationToken::new(),
            expelled: CancellationToken::new(),
        }
    }
}

#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    places: AtomicUsize,
    devices: Mutex<HashMap<DeviceId, Device>>,
}

#[derive(Default)]
struct Device {
    /// Rises with each connection, so that the end of an old one is told from
    /// the end of the newest.
    generation: u64,
    connection: Option<Bells>,
    kept: Option<(SessionState, Instant)>,
}

/// A counted place among the connections; free again when dropped.
pub struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// A place for one more connection, unless `max` are there.
    pub fn admit(&self, max: usize) -> Option<Place> {
        let taken = self.inner.places.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.inner));
        (taken < max).then_some(place)
    }

    /// Devices with a connection.
    pub fn connected(&self) -> usize {
        self.lock().values().filter(|d| d.connection.is_some()).count()
    }

    /// Tells a device's connection that its desired state changed.
    pub fn nudge(&self, device: &DeviceId) {
        if let Some(bells) = self.lock().get(device).and_then(|d| d.connection.as_ref()) {
            bells.desired.notify_one();
        }
    }

    /// Ends a device's connection, if it has one.
    pub fn expel(&self, device: &DeviceId) {
        if let Some(bells) = self.lock().get(device).and_then(|d| d.connection.as_ref()) {
            bells.expelled.cancel();
        }
    }

    /// Makes `connection` the device's own, sends the former one away and gives
    /// the session that was kept, if it is still alive at `now`.
    pub fn take_over(&self, device: &DeviceId, connection: Bells, now: Instant) -> (u64, Option<SessionState>) {
        let mut devices = self.lock();
        let entry = devices.entry(device.clone()).or_default();
        entry.generation += 1;
        if let Some(former) = entry.connection.replace(connection) {
            former.taken_over.cancel();
        } else {
            metrics().mqtt_sessions.inc();
        }
        let kept = entry.kept.take().filter(|(_, until)| now < *until).map(|(session, _)| session);
        (entry.generation, kept)
    }

    /// Ends connection `generation` of a device and keeps its session for
    /// `expiry`. `false` when a newer connection has taken over.
    pub fn leave(
        &self,
        device: &DeviceId,
        generation: u64,
        session: SessionState,
        expiry: Duration,
        kept_max: usize,
        now: Instant,
    ) -> bool {
        let mut devices = self.lock();
        let Some(entry) = devices.get_mut(device) else { return false };
        if entry.generation != generation {
            return false;
        }
        entry.connection = None;
        metrics().mqtt_sessions.dec();
        entry.kept = (!expiry.is_zero()).then(|| (session, now + expiry));
        if entry.kept.is_none() {
            // The generation goes with the entry: nothing of the session is left to tell apart.
            devices.remove(device);
        } else if devices.len() > kept_max {
            devices.retain(|_, d| d.connection.is_some() || d.kept.as_ref().is_some_and(|(_, until)| now < *until));
            if devices.len() > kept_max {
                metrics().mqtt_refused.with_label_values(&["sessions_kept_max"]).inc();
                devices.remove(device);
            }
        }
        true
    }

    /// Whether `generation` is the device's last connection and has ended.
    pub fn still_away(&self, device: &DeviceId, generation: u64) -> bool {
        self.lock().get(device).is_none_or(|d| d.generation == generation && d.connection.is_none())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceId, Device>> {
        self.inner.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
