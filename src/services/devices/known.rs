//! Devices as they were read last, so that a modem that comes back soon costs
//! no read.
//!
//! Invariant: what this process changes is forgotten here before the change is
//! answered. What another gateway on the store changes is seen when the entry's
//! time is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bounded::Bounded;
use crate::domain::device::Device;
use crate::domain::ids::{CertificateName, DeviceId};
use crate::domain::time::Timestamp;

/// How a device is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Id(DeviceId),
    Certificate(CertificateName),
}

/// A device, or that there is none.
pub(super) type Found = Option<Arc<Device>>;

#[derive(Debug)]
pub(super) struct Known {
    inner: Mutex<Inner>,
    live: Duration,
}

#[derive(Debug)]
struct Inner {
    entries: Bounded<Key, (Found, Timestamp)>,
    /// Rises with each change, so that a read begun before it is not kept.
    changes: u64,
}

/// When a read began, counted in changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl Known {
    pub(super) fn new(entries_max: usize, live: Duration) -> Self {
        Self { inner: Mutex::new(Inner { entries: Bounded::new(entries_max), changes: 0 }), live }
    }

    /// What is known at `now`; else where a read begins.
    pub(super) fn get(&self, key: &Key, now: Timestamp) -> Result<Found, Mark> {
        let inner = self.inner();
        match inner.entries.get(key) {
            // A clock that was set back keeps an entry no longer than its time either.
            Some((found, read)) if now.since(*read).max(read.since(now)) < self.live => Ok(found.clone()),
            _ => Err(Mark(inner.changes)),
        }
    }

    /// Where a read begins.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.inner().changes)
    }

    /// Keeps what a read found, unless something was changed meanwhile.
    pub(super) fn keep(&self, key: Key, found: Found, mark: Mark, now: Timestamp) {
        let mut inner = self.inner();
        if inner.changes == mark.0 {
            inner.entries.put(key, (found, now));
        }
    }

    /// Forgets what has changed.
    pub(super) fn forget(&self, changed: impl IntoIterator<Item = Key>) {
        let mut inner = self.inner();
        inner.changes += 1;
        for key in changed {
            inner.entries.remove(&key);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Duration = Duration::from_secs(60);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn an_entry_lives_its_time_and_ends_with_a_change() {
        let known = Known::new(10, LIVE);
        let key = Key::Id("meter-1".into());
        let mark = known.get(&key, at(0)).unwrap_err();
        known.keep(key.clone(), None, mark, at(0));
        assert!(known.get(&key, at(59)).is_ok());
        assert!(known.get(&key, at(60)).is_err());
        assert!(known.get(&key, at(-60)).is_err(), "the clock was set back");
        known.forget([key.clone()]);
        assert!(known.get(&key, at(1)).is_err());
    }

    #[test]
    fn a_read_that_a_change_has_overtaken_is_not_kept() {
        let known = Known::new(10, LIVE);
        let key = Key::Certificate("meter-1".into());
        let mark = known.mark();
        known.forget([]);
        known.keep(key.clone(), None, mark, at(0));
        assert!(known.get(&key, at(0)).is_err());
    }
}
