//! Which device is on which connection, the sessions of devices that are away,
//! and when a device that has gone is given up.
//!
//! Invariants: a device has at most one connection; a newer one takes over
//! (MQTT 5 section 3.1.4, reason 0x8E) and goes on with the session. A device
//! that comes back in time has never been away.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use linegate_mqtt::session::SessionState;
use tokio::sync::oneshot;

use crate::domain::ids::DeviceId;
use crate::domain::rating::request::ChargeAnswer;
use crate::ports::intake::{ChargingError, Replies};
use crate::telemetry::metrics;
use crate::transport::mailbox::Mailbox;

/// What other tasks have for a modem's connection.
pub enum ToModem {
    /// The message with this tag is durable, or is not.
    Taken(u64, Result<(), ChargingError>),
    /// The desired state changed.
    Desired,
    /// The device may not be connected as it is.
    Expelled,
    /// Another connection of the device takes over, and goes on with the session.
    TakenOver(oneshot::Sender<SessionState>),
}

/// How a connection is reached.
#[derive(Default)]
pub struct Link {
    /// What waits for it.
    pub mailbox: Mailbox<ToModem>,
    /// A [`ToModem::Desired`] waits: one is as good as several.
    nudged: AtomicBool,
}

impl Link {
    fn nudge(&self) {
        if !self.nudged.swap(true, Ordering::AcqRel) {
            let _gone = self.mailbox.send(ToModem::Desired);
        }
    }

    /// The connection is about to look at the desired state.
    pub fn heed(&self) {
        self.nudged.store(false, Ordering::Release);
    }
}

impl Replies for Link {
    fn reply(&self, tag: u64, answer: Result<ChargeAnswer, ChargingError>) {
        let _gone = self.mailbox.send(ToModem::Taken(tag, answer.map(drop)));
    }
}

#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    places: AtomicUsize,
    devices: Mutex<Devices>,
}

#[derive(Default)]
struct Devices {
    known: HashMap<DeviceId, Device>,
    /// What falls due when; the number tells those of one instant apart.
    due: BTreeMap<Due, (DeviceId, Deadline)>,
    next: u64,
    connected: usize,
}

type Due = (Instant, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    /// The device is given up.
    Gone,
    /// Its session ends.
    Expired,
}

/// Rises with each connection, so that the end of an old one is told from the
/// end of the newest.
type Generation = u64;

#[derive(Default)]
struct Device {
    generation: Generation,
    link: Option<Arc<Link>>,
    kept: Option<SessionState>,
    gone_at: Option<Due>,
    expires_at: Option<Due>,
}

/// A device's connection, as the registry knows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub device: DeviceId,
    generation: Generation,
}

/// A session to go on with.
pub enum Kept {
    /// There is none.
    None,
    /// The device was away.
    Here(SessionState),
    /// The device's former connection hands it over.
    Coming(oneshot::Receiver<SessionState>),
}

/// How a device left.
pub struct Leave {
    /// Its session.
    pub session: SessionState,
    /// How long that lives on.
    pub expiry: Duration,
    /// When it is given up, unless it comes back.
    pub gone_after: Duration,
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
        self.lock().connected
    }

    /// Whether a device is connected, or was and has not been given up yet.
    pub fn is_known(&self, device: &DeviceId) -> bool {
        self.lock().known.get(device).is_some_and(|known| known.link.is_some() || known.gone_at.is_some())
    }

    /// Tells a device's connection that its desired state changed.
    pub fn nudge(&self, device: &DeviceId) {
        let link = self.lock().known.get(device).and_then(|known| known.link.clone());
        if let Some(link) = link {
            link.nudge();
        }
    }

    /// Ends a device's connection, if it has one.
    pub fn expel(&self, device: &DeviceId) {
        let link = self.lock().known.get(device).and_then(|known| known.link.clone());
        if let Some(link) = link {
            let _ending = link.mailbox.send(ToModem::Expelled);
        }
    }

    /// Makes `link` the device's own, sends the former one away and gives the
    /// session that was kept.
    pub fn take_over(&self, device: &DeviceId, link: Arc<Link>) -> (Entry, Kept) {
        let mut devices = self.lock();
        let devices = &mut *devices;
        let known = devices.known.entry(device.clone()).or_default();
        known.generation += 1;
        for due in [known.gone_at.take(), known.expires_at.take()].into_iter().flatten() {
            devices.due.remove(&due);
        }
        let kept = match known.link.replace(link) {
            Some(former) => {
                let (to, session) = oneshot::channel();
                let _ending = former.mailbox.send(ToModem::TakenOver(to));
                Kept::Coming(session)
            }
            None => {
                devices.connected += 1;
                known.kept.take().map_or(Kept::None, Kept::Here)
            }
        };
        let entry = Entry { device: device.clone(), generation: known.generation };
        metrics().mqtt_sessions.set(i64::try_from(devices.connected).unwrap_or(i64::MAX));
        (entry, kept)
    }

    /// Ends a connection and keeps its session. Nothing happens where a newer one
    /// has taken over.
    pub fn leave(&self, entry: &Entry, leave: Leave, kept_max: usize, now: Instant) {
        let mut devices = self.lock();
        let devices = &mut *devices;
        let Some(known) = devices.known.get_mut(&entry.device).filter(|known| known.generation == entry.generation)
        else {
            return;
        };
        known.link = None;
        devices.connected -= 1;
        let mut at = |after: Duration, deadline| {
            devices.next += 1;
            let due = (now + after, devices.next);
            devices.due.insert(due, (entry.device.clone(), deadline));
            Some(due)
        };
        known.gone_at = at(leave.gone_after, Deadline::Gone);
        if !leave.expiry.is_zero() {
            known.kept = Some(leave.session);
            known.expires_at = at(leave.expiry, Deadline::Expired);
        }
        metrics().mqtt_sessions.set(i64::try_from(devices.connected).unwrap_or(i64::MAX));
        if devices.known.len() - devices.connected > kept_max {
            devices.forget_first();
        }
        metrics().mqtt_sessions_kept.set(i64::try_from(devices.known.len() - devices.connected).unwrap_or(i64::MAX));
    }

    /// Ends what is due at `now`; the devices that are given up.
    pub fn sweep(&self, now: Instant) -> Vec<DeviceId> {
        let mut devices = self.lock();
        let mut gone = Vec::new();
        while let Some(first) = devices.due.first_entry().filter(|first| first.key().0 <= now) {
            let (device, deadline) = first.remove();
            devices.end(&device, deadline);
            if deadline == Deadline::Gone {
                gone.push(device);
            }
        }
        metrics().mqtt_sessions_kept.set(i64::try_from(devices.known.len() - devices.connected).unwrap_or(i64::MAX));
        gone
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Devices> {
        self.inner.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Devices {
    fn end(&mut self, device: &DeviceId, deadline: Deadline) {
        let Some(known) = self.known.get_mut(device) else { return };
        match deadline {
            Deadline::Gone => known.gone_at = None,
            Deadline::Expired => {
                known.expires_at = None;
                known.kept = None;
            }
        }
        // The generation goes with the entry: nothing is left to tell apart.
        if known.link.is_none() && known.gone_at.is_none() && known.expires_at.is_none() {
            self.known.remove(device);
        }
    }

    /// Makes room: the session that would end first ends now.
    fn forget_first(&mut self) {
        let first = self.due.iter().find(|(_, (_, deadline))| *deadline == Deadline::Expired);
        let Some((&due, (device, deadline))) = first else { return };
        let (device, deadline) = (device.clone(), *deadline);
        self.due.remove(&due);
        self.end(&device, deadline);
        metrics().mqtt_refused.with_label_values(&["sessions_kept_max"]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(expiry_s: u64, gone_s: u64) -> Leave {
        Leave {
            session: SessionState::default(),
            expiry: Duration::from_secs(expiry_s),
            gone_after: Duration::from_secs(gone_s),
        }
    }

    #[test]
    fn a_device_that_comes_back_in_time_was_never_away() {
        let (registry, start) = (Registry::default(), Instant::now());
        let (entry, _) = registry.take_over(&"m".into(), Arc::default());
        registry.leave(&entry, leave(60, 10), 100, start);
        assert!(registry.sweep(start + Duration::from_secs(9)).is_empty());
        let (entry, kept) = registry.take_over(&"m".into(), Arc::default());
        assert!(matches!(kept, Kept::Here(_)));
        assert!(registry.sweep(start + Duration::from_secs(100)).is_empty());
        registry.leave(&entry, leave(60, 10), 100, start);
        assert_eq!(registry.sweep(start + Duration::from_secs(10)), ["m".into()]);
        assert!(matches!(registry.take_over(&"m".into(), Arc::default()).1, Kept::Here(_)));
    }

    #[test]
    fn a_former_connection_hands_its_session_over_and_its_end_changes_nothing() {
        let (registry, start) = (Registry::default(), Instant::now());
        let link = Arc::<Link>::default();
        let (former, _) = registry.take_over(&"m".into(), Arc::clone(&link));
        let (_newer, kept) = registry.take_over(&"m".into(), Arc::default());
        assert!(matches!(kept, Kept::Coming(_)));
        assert!(matches!(link.mailbox.take().as_slice(), [ToModem::TakenOver(_)]));
        registry.leave(&former, leave(60, 0), 100, start);
        assert!(registry.sweep(start + Duration::from_secs(1)).is_empty());
        assert_eq!(registry.connected(), 1);
    }

    #[test]
    fn past_the_limit_the_session_that_would_end_first_makes_room() {
        let (registry, start) = (Registry::default(), Instant::now());
        for (name, expiry) in [("a", 30), ("b", 10), ("c", 20)] {
            let (entry, _) = registry.take_over(&name.into(), Arc::default());
            registry.leave(&entry, leave(expiry, 0), 2, start);
            registry.sweep(start);
        }
        let kept = |name: &str| matches!(registry.take_over(&name.into(), Arc::default()).1, Kept::Here(_));
        assert_eq!([kept("a"), kept("b"), kept("c")], [true, false, true]);
    }

    #[test]
    fn several_nudges_wait_as_one() {
        let (registry, link) = (Registry::default(), Arc::<Link>::default());
        registry.take_over(&"m".into(), Arc::clone(&link));
        registry.nudge(&"m".into());
        registry.nudge(&"m".into());
        assert_eq!(link.mailbox.take().len(), 1);
        link.heed();
        registry.nudge(&"m".into());
        assert_eq!(link.mailbox.take().len(), 1);
    }
}
