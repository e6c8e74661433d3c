//! Who has shown too many wrong credentials, and until when nobody listens.
//!
//! What is locked is a device's name **from one address** (of IPv6, one /64).
//! Locking the name alone would let anybody who knows it lock the modem out;
//! locking the address alone would lock a fleet behind one NAT out with one of
//! its modems. Somebody who guesses gets `failures_max` tries and then one after
//! each lock-out; from many addresses he gets more, and a random token of 192
//! bits can afford it. Behind one NAT a guesser can delay the modem of that name,
//! by `lockout_max_s` at a time; a certificate is never locked out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::DeviceSettings;
use super::bounded::Bounded;
use crate::domain::ids::DeviceId;
use crate::domain::time::Timestamp;

type Suspect = (DeviceId, IpAddr);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
    locked_until: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Lockouts {
    suspects: Mutex<Bounded<Suspect, Failures>>,
    failures_max: u32,
    window: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Lockouts {
    pub(super) fn new(settings: &DeviceSettings) -> Self {
        Self {
            suspects: Mutex::new(Bounded::new(settings.lockouts_kept_max)),
            failures_max: settings.failures_max.max(1),
            window: Duration::from_secs(settings.failures_window_s),
            shortest: Duration::from_secs(settings.lockout_s),
            longest: Duration::from_secs(settings.lockout_max_s),
        }
    }

    pub(super) fn is_locked(&self, device: &DeviceId, from: IpAddr, now: Timestamp) -> bool {
        let suspects = self.suspects();
        // A clock that was set back makes no lock-out longer.
        let lasts = |until: Timestamp| now < until && until.since(now) <= self.longest;
        suspects.get(&suspect(device, from)).and_then(|f| f.locked_until).is_some_and(lasts)
    }

    /// Counts a wrong credential; whether it locks the name for the address. The
    /// first lock-out takes `lockout_s`, each that follows twice as long, until
    /// there was none for the time of the window.
    pub(super) fn failed(&self, device: &DeviceId, from: IpAddr, now: Timestamp) -> bool {
        let mut suspects = self.suspects();
        let suspect = suspect(device, from);
        let before = suspects.get(&suspect).copied();
        let is_quiet = |f: &Failures| now.since(f.last.max(f.locked_until.unwrap_or(f.last))) > self.window;
        let count = before.filter(|f| !is_quiet(f)).map_or(0, |f| f.count).saturating_add(1);
        let locked_for = count.checked_sub(self.failures_max).map(|doublings| {
            let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
            self.shortest.saturating_mul(factor).min(self.longest)
        });
        let locked_until = locked_for.map(|time| now.plus(time));
        suspects.put(suspect, Failures { count, last: now, locked_until });
        locked_until.is_some()
    }

    /// The right credential came from there: whoever tried is the device.
    pub(super) fn succeeded(&self, device: &DeviceId, from: IpAddr) {
        self.suspects().remove(&suspect(device, from));
    }

    /// Every name that is locked for some address, with the end of the longest lock-out.
    pub(super) fn locked(&self, now: Timestamp) -> HashMap<DeviceId, Timestamp> {
        let mut locked = HashMap::new();
        for ((device, _), failures) in self.suspects().iter() {
            if let Some(until) = failures.locked_until.filter(|until| now < *until) {
                let longest = locked.entry(device.clone()).or_insert(until);
                *longest = until.max(*longest);
            }
        }
        locked
    }

    fn suspects(&self) -> MutexGuard<'_, Bounded<Suspect, Failures>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host has a whole /64 of IPv6 to try from.
fn suspect(device: &DeviceId, from: IpAddr) -> Suspect {
    let from = match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    };
    (device.clone(), from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lockouts(kept_max: usize) -> Lockouts {
        Lockouts::new(&DeviceSettings {
            failures_max: 3,
            failures_window_s: 60,
            lockout_s: 1,
            lockout_max_s: 5,
            lockouts_kept_max: kept_max,
            ..DeviceSettings::default()
        })
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn each_lock_out_is_twice_as_long_up_to_the_longest() {
        let lockouts = lockouts(10);
        let device = DeviceId::from("meter-1");
        let mut now = 0;
        assert!(!lockouts.failed(&device, HERE, at(now)));
        assert!(!lockouts.failed(&device, HERE, at(now)));
        for expected in [1_000, 2_000, 4_000, 5_000, 5_000] {
            assert!(lockouts.failed(&device, HERE, at(now)));
            assert!(lockouts.is_locked(&device, HERE, at(now + expected - 1)), "{expected}");
            assert_eq!(lockouts.locked(at(now)).get(&device), Some(&at(now + expected)));
            now += expected;
            assert!(!lockouts.is_locked(&device, HERE, at(now)), "{expected}");
        }
        assert!(lockouts.locked(at(now)).is_empty());
        assert!(!lockouts.is_locked(&device, HERE, at(now - 3_600_000)), "the clock was set back");
        assert!(!lockouts.failed(&device, HERE, at(now + 60_001)), "a quiet window is a new beginning");
    }

    #[test]
    fn a_right_credential_is_a_new_beginning() {
        let lockouts = lockouts(10);
        let device = DeviceId::from("meter-1");
        for _ in 0..10 {
            assert!(!lockouts.failed(&device, HERE, at(0)));
            assert!(!lockouts.failed(&device, HERE, at(0)));
            lockouts.succeeded(&device, HERE);
        }
    }

    #[test]
    fn nobody_is_locked_out_by_another_address_or_name() {
        let lockouts = lockouts(10);
        let (device, other) = (DeviceId::from("meter-1"), DeviceId::from("meter-2"));
        let attacker: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..9 {
            lockouts.failed(&device, attacker, at(0));
        }
        let locked = |device: &DeviceId, from: &str| lockouts.is_locked(device, from.parse().unwrap(), at(0));
        assert!(locked(&device, "2001:db8::1") && locked(&device, "2001:db8::ffff"), "one /64");
        assert!(!locked(&device, "2001:db8:0:1::1") && !locked(&device, "127.0.0.1"));
        assert!(!locked(&other, "2001:db8::1"));
        lockouts.failed(&device, HERE, at(0));
        assert_eq!(lockouts.suspects().get(&(device, "127.0.0.1".parse().unwrap())).unwrap().count, 1);
    }

    #[test]
    fn names_of_strangers_do_not_grow_it() {
        let lockouts = lockouts(100);
        for n in 0..1_000 {
            lockouts.failed(&DeviceId::from(format!("stranger-{n}")), HERE, at(0));
        }
        assert_eq!(lockouts.suspects().iter().count(), 100);
    }
}
