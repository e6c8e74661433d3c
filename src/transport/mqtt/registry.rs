//! Which device is on which connection, the sessions of devices that are away,
//! and when a device that has gone is given up.
//!
//! Invariants: a device has at most one connection; a newer one takes over
//! (MQTT 5 section 3.1.4, reason 0x8E) and goes on with the session. A device
//! that comes back in time has never been away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ahash::HashMap;
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
    /// Another connection of the device takes over; the session goes on with it.
    TakenOver,
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
    /// When devices are given up; the number tells those of one instant apart.
    leaving: BTreeMap<Due, DeviceId>,
    /// When the sessions end that are kept.
    expiring: BTreeMap<Due, DeviceId>,
    next: u64,
    connected: usize,
}

type Due = (Instant, u64);

/// Rises with each connection of any device, so that the end of an old one is told
/// from the end of the newest.
type Generation = u64;

#[derive(Default)]
struct Device {
    generation: Generation,
    link: Option<Arc<Link>>,
    /// The connection has its session, if there was one.
    has_claimed: bool,
    kept: Option<Box<SessionState>>,
    owed: Option<Box<Owed>>,
    gone_at: Option<Due>,
    expires_at: Option<Due>,
}

/// A session that a former connection has not left behind yet.
struct Owed {
    by: Generation,
    /// Tells the newest connection that it is there.
    left: oneshot::Sender<()>,
}

/// A device's connection, as the registry knows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub device: DeviceId,
    generation: Generation,
}

/// How a device left.
pub struct Leave {
    /// Its session.
    pub session: SessionState,
    /// How long that lives on; zero ends it with its connection.
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

    /// Makes `link` the device's own and sends the former one away. Where that one
    /// leaves a session, the receiver tells when it has; then, or when nobody waits
    /// any longer, [`Registry::claim`] gives it.
    pub fn take_over(&self, device: &DeviceId, link: Arc<Link>) -> (Entry, Option<oneshot::Receiver<()>>) {
        let mut devices = self.lock();
        let devices = &mut *devices;
        devices.next += 1;
        let known = devices.known.entry(device.clone()).or_default();
        let former = std::mem::replace(&mut known.generation, devices.next);
        known.gone_at.take().map(|due| devices.leaving.remove(&due));
        // One that had not come to its session has none to leave: what is kept, or
        // owed by another one before it, is this one's.
        let mut by = known.owed.take().map(|owed| owed.by);
        match known.link.replace(link) {
            Some(link) => {
                by = by.or(known.has_claimed.then_some(former));
                let _ending = link.mailbox.send(ToModem::TakenOver);
            }
            None => devices.connected += 1,
        }
        known.has_claimed = false;
        let coming = by.map(|by| {
            let (left, coming) = oneshot::channel();
            known.owed = Some(Box::new(Owed { by, left }));
            coming
        });
        let entry = Entry { device: device.clone(), generation: known.generation };
        devices.count();
        (entry, coming)
    }

    /// The session that a connection goes on with. It is the connection's own from
    /// here on; one that comes later is dropped.
    pub fn claim(&self, entry: &Entry) -> Option<SessionState> {
        let mut devices = self.lock();
        let devices = &mut *devices;
        let known = devices.known.get_mut(&entry.device).filter(|known| known.generation == entry.generation)?;
        known.has_claimed = true;
        known.owed = None;
        known.expires_at.take().map(|due| devices.expiring.remove(&due));
        let session = known.kept.take().map(|session| *session);
        devices.count();
        session
    }

    /// Ends a connection and keeps its session: for the connection that has taken
    /// over, or the one that comes next.
    pub fn leave(&self, entry: &Entry, leave: Leave, kept_max: usize, now: Instant) {
        let mut devices = self.lock();
        let devices = &mut *devices;
        let Some(known) = devices.known.get_mut(&entry.device) else { return };
        devices.next += 1;
        let number = devices.next;
        let due = |after| (now + after, number);
        if known.generation == entry.generation {
            known.link = None;
            devices.connected -= 1;
            devices.leaving.insert(due(leave.gone_after), entry.device.clone());
            known.gone_at = Some(due(leave.gone_after));
        } else {
            let Some(owed) = known.owed.take_if(|owed| owed.by == entry.generation) else { return };
            let _gone = owed.left.send(());
        }
        if !leave.expiry.is_zero() {
            known.expires_at.take().map(|due| devices.expiring.remove(&due));
            devices.expiring.insert(due(leave.expiry), entry.device.clone());
            known.expires_at = Some(due(leave.expiry));
            known.kept = Some(Box::new(leave.session));
        }
        if devices.expiring.len() > kept_max {
            // the session that would end first makes room
            devices.expire_first();
            metrics().mqtt_refused.with_label_values(&["sessions_kept_max"]).inc();
        }
        devices.count();
    }

    /// Ends what is due at `now`; the devices that are given up.
    pub fn sweep(&self, now: Instant) -> Vec<DeviceId> {
        let mut devices = self.lock();
        let mut gone = Vec::new();
        while devices.expiring.first_key_value().is_some_and(|(due, _)| due.0 <= now) {
            devices.expire_first();
        }
        while let Some(first) = devices.leaving.first_entry().filter(|first| first.key().0 <= now) {
            let device = first.remove();
            if let Some(known) = devices.known.get_mut(&device) {
                known.gone_at = None;
            }
            devices.forget(&device);
            gone.push(device);
        }
        devices.count();
        gone
    }

    /// Whether a device is connected.
    pub fn is_connected(&self, device: &DeviceId) -> bool {
        self.lock().known.get(device).is_some_and(|known| known.link.is_some())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Devices> {
        self.inner.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Devices {
    /// Ends the kept session that is the first to end.
    fn expire_first(&mut self) {
        let Some((_, device)) = self.expiring.pop_first() else { return };
        if let Some(known) = self.known.get_mut(&device) {
            known.expires_at = None;
            known.kept = None;
        }
        self.forget(&device);
    }

    /// Forgets a device of which nothing is left to know.
    fn forget(&mut self, device: &DeviceId) {
        let is_over = |known: &Device| known.link.is_none() && known.gone_at.is_none() && known.expires_at.is_none();
        if self.known.get(device).is_some_and(is_over) {
            self.known.remove(device);
        }
    }

    fn count(&self) {
        metrics().mqtt_sessions.set(i64::try_from(self.connected).unwrap_or(i64::MAX));
        metrics().mqtt_sessions_kept.set(i64::try_from(self.expiring.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::system::SystemClock;

    fn leave(expiry_s: u64, gone_s: u64) -> Leave {
        Leave {
            session: SessionState::default(),
            expiry: Duration::from_secs(expiry_s),
            gone_after: Duration::from_secs(gone_s),
        }
    }

    /// A connection that has its session, and whether there was one.
    fn come(registry: &Registry) -> (Entry, bool) {
        let (entry, _) = registry.take_over(&"m".into(), Arc::default());
        let session = registry.claim(&entry);
        (entry, session.is_some())
    }

    #[test]
    fn a_device_that_comes_back_in_time_was_never_away() {
        let (registry, start) = (Registry::default(), SystemClock::instant());
        let (entry, _) = come(&registry);
        registry.leave(&entry, leave(60, 10), 100, start);
        assert!(registry.sweep(start + Duration::from_secs(9)).is_empty());
        let (entry, had_session) = come(&registry);
        assert!(had_session);
        assert!(registry.sweep(start + Duration::from_secs(100)).is_empty());
        registry.leave(&entry, leave(60, 10), 100, start);
        assert_eq!(registry.sweep(start + Duration::from_secs(10)), ["m".into()]);
        assert!(come(&registry).1);
    }

    #[test]
    fn a_former_connection_hands_its_session_over_and_its_end_changes_nothing() {
        let (registry, start) = (Registry::default(), SystemClock::instant());
        let link = Arc::<Link>::default();
        let (former, _) = registry.take_over(&"m".into(), Arc::clone(&link));
        registry.claim(&former);
        let (newer, coming) = registry.take_over(&"m".into(), Arc::default());
        let mut coming = coming.unwrap();
        assert!(matches!(link.mailbox.take().as_slice(), [ToModem::TakenOver]));
        assert!(coming.try_recv().is_err(), "not yet");
        registry.leave(&former, leave(60, 0), 100, start);
        assert!(coming.try_recv().is_ok());
        assert!(registry.claim(&newer).is_some());
        assert!(registry.sweep(start + Duration::from_secs(1)).is_empty());
        let devices = registry.lock();
        assert_eq!((devices.connected, devices.expiring.len()), (1, 0));
    }

    /// Whichever is first, the end of the old link or the takeover.
    #[test]
    fn a_session_goes_on_where_the_old_link_ends_at_the_moment_of_a_takeover() {
        for takeover_first in [true, false] {
            let (registry, start) = (Registry::default(), SystemClock::instant());
            let link = Arc::<Link>::default();
            let (former, _) = registry.take_over(&"m".into(), Arc::clone(&link));
            registry.claim(&former);
            let end = || {
                // it looks at its mail no more
                link.mailbox.close();
                registry.leave(&former, leave(60, 10), 100, start);
            };
            if !takeover_first {
                end();
            }
            let (newer, coming) = registry.take_over(&"m".into(), Arc::default());
            if takeover_first {
                end();
                assert!(coming.unwrap().try_recv().is_ok());
            }
            assert!(registry.claim(&newer).is_some(), "takeover first: {takeover_first}");
            assert!(registry.sweep(start + Duration::from_secs(10)).is_empty());
        }
    }

    #[test]
    fn a_session_passes_by_a_connection_that_ends_before_it_has_it() {
        let (registry, start) = (Registry::default(), SystemClock::instant());
        let (first, _) = come(&registry);
        let (second, _) = registry.take_over(&"m".into(), Arc::default());
        let (third, coming) = registry.take_over(&"m".into(), Arc::default());
        registry.leave(&second, leave(0, 0), 100, start);
        assert!(registry.claim(&second).is_none());
        registry.leave(&first, leave(60, 0), 100, start);
        assert!(coming.unwrap().try_recv().is_ok());
        // refused after all, and the next one comes
        registry.leave(&third, leave(0, 10), 100, start);
        assert!(come(&registry).1);
    }

    #[test]
    fn a_session_that_ends_with_its_connection_is_not_handed_over() {
        let (registry, start) = (Registry::default(), SystemClock::instant());
        let (former, _) = come(&registry);
        let (newer, coming) = registry.take_over(&"m".into(), Arc::default());
        registry.leave(&former, leave(0, 0), 100, start);
        assert!(coming.unwrap().try_recv().is_ok(), "nobody waits for nothing");
        assert!(registry.claim(&newer).is_none());
    }

    #[test]
    fn past_the_limit_the_session_that_would_end_first_makes_room() {
        let (registry, start) = (Registry::default(), SystemClock::instant());
        for (name, expiry) in [("a", 30), ("b", 10), ("c", 20)] {
            let (entry, _) = registry.take_over(&name.into(), Arc::default());
            registry.leave(&entry, leave(expiry, 0), 2, start);
            registry.sweep(start);
        }
        let kept = |name: &str| {
            let (entry, _) = registry.take_over(&name.into(), Arc::default());
            registry.claim(&entry).is_some()
        };
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
