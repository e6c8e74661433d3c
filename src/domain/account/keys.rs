//! Keys of records without a session, compactly: each is a hash and the hour in
//! which it came.

use serde::{Deserialize, Serialize};

use super::AccountLimits;
use crate::domain::time::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const HOUR_S: u64 = 3600;

/// Whether a key was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySeen {
    /// It was not, and is now.
    First,
    /// It was: the record is a repeat.
    Repeated,
    /// It was not, and there is no room: nothing alive is forgotten for it.
    NoRoom,
}

/// A set of hashes in ascending order. 64 bits are enough: among 100,000 keys a
/// new one is taken for a repeat once in 10^14 records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventKeys {
    keys: Vec<(u64, u32)>,
    /// Hour of the oldest key, so that most calls need not look for expired ones.
    oldest: u32,
}

impl EventKeys {
    /// Adds a key unless it is there or the account is full of living ones.
    pub fn insert(&mut self, key: u64, now: Timestamp, limits: &AccountLimits) -> KeySeen {
        self.expire(now, limits);
        let at = match self.keys.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(_) => return KeySeen::Repeated,
            Err(_) if self.keys.len() >= limits.event_keys_max.max(1) => return KeySeen::NoRoom,
            Err(at) => at,
        };
        let hour = hour_of(now);
        self.oldest = if self.keys.is_empty() { hour } else { self.oldest.min(hour) };
        self.keys.insert(at, (key, hour));
        KeySeen::First
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Takes a key out again.
    pub fn remove(&mut self, key: u64) {
        if let Ok(at) = self.keys.binary_search_by_key(&key, |(known, _)| *known) {
            self.keys.remove(at);
        }
    }

    /// What [`EventKeys::insert`] would say.
    pub fn seen(&mut self, key: u64, now: Timestamp, limits: &AccountLimits) -> KeySeen {
        self.expire(now, limits);
        match self.keys.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(_) => KeySeen::Repeated,
            Err(_) if self.keys.len() >= limits.event_keys_max.max(1) => KeySeen::NoRoom,
            Err(_) => KeySeen::First,
        }
    }

    /// Forgets the keys that have outlived their limit, at most an hour late.
    pub fn expire(&mut self, now: Timestamp, limits: &AccountLimits) {
        let live = u32::try_from(limits.event_keys_live_s.div_ceil(HOUR_S)).unwrap_or(u32::MAX);
        let hour = hour_of(now);
        let is_alive = |came: u32| hour <= came.saturating_add(live);
        if self.keys.is_empty() || is_alive(self.oldest) {
            return;
        }
        self.keys.retain(|(_, came)| is_alive(*came));
        self.oldest = self.keys.iter().map(|(_, came)| *came).min().unwrap_or(hour);
    }
}

fn hour_of(at: Timestamp) -> u32 {
    u32::try_from(at.millis().div_euclid(HOUR_MS).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_living_key_is_never_forgotten_for_another() {
        let limits = AccountLimits { event_keys_max: 3, event_keys_live_s: 7200, ..AccountLimits::default() };
        let mut keys = EventKeys::default();
        let at = |minutes: u64| Timestamp(1_790_000_000_000).plus(Duration::from_secs(minutes * 60));
        for (key, minute, expected) in [
            (9, 0, KeySeen::First),
            (5, 1, KeySeen::First),
            (9, 2, KeySeen::Repeated),
            (7, 90, KeySeen::First),
            (8, 100, KeySeen::NoRoom),
            (9, 119, KeySeen::Repeated),
            (8, 180, KeySeen::First),
            (7, 180, KeySeen::Repeated),
            (9, 180, KeySeen::First),
        ] {
            assert_eq!(keys.insert(key, at(minute), &limits), expected, "key {key} at minute {minute}");
        }
    }
}
