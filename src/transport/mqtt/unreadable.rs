//! How many unreadable payloads of one device are kept.
//!
//! Each of them is a row for a person to look at, and the device chooses when it
//! sends one: a few tell him all, and the rest would only fill the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::ids::DeviceId;
use crate::domain::time::Timestamp;

/// Devices that are counted at once. So many with unreadable payloads are a fleet
/// and not one device; all of them begin anew.
const DEVICES_MAX: usize = 100_000;

/// Counts them, minute by minute.
#[derive(Debug)]
pub struct Unreadable {
    per_minute_max: u32,
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    counts: HashMap<DeviceId, u32>,
}

impl Unreadable {
    /// `per_minute_max` of each device; 0 keeps none.
    pub fn new(per_minute_max: u32) -> Self {
        Self { per_minute_max, minute: Mutex::default() }
    }

    /// Whether one more of `device` is kept at `now`.
    pub fn admit(&self, device: &DeviceId, now: Timestamp) -> bool {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.millis().div_euclid(60_000);
        if minute.number != number || minute.counts.len() >= DEVICES_MAX {
            *minute = Minute { number, counts: HashMap::new() };
        }
        let count = minute.counts.entry(device.clone()).or_default();
        *count = count.saturating_add(1);
        *count <= self.per_minute_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_its_number_in_each_minute() {
        let unreadable = Unreadable::new(2);
        let admit = |device: &str, second| unreadable.admit(&device.into(), Timestamp::from_secs(second));
        assert_eq!([admit("a", 0), admit("a", 30), admit("a", 59)], [true, true, false]);
        assert!(admit("b", 59), "another device");
        assert!(admit("a", 60), "another minute");
    }

    #[test]
    fn names_do_not_grow_it() {
        let unreadable = Unreadable::new(1);
        for n in 0..=DEVICES_MAX {
            assert!(unreadable.admit(&DeviceId::from(format!("m-{n}")), Timestamp(0)));
        }
        assert!(unreadable.minute.lock().unwrap().counts.len() <= DEVICES_MAX);
    }
}
