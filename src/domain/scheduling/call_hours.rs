//! When customers may be called.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::calendar::{BadCalendar, Hours, instant, local, zone};
use crate::domain::time::Timestamp;

/// The hours of calls, in the zone of the customer's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallHours {
    hours: Hours,
    zone: TimeZone,
    /// By prefix of the address; the longest one counts.
    zones: BTreeMap<String, TimeZone>,
}

impl CallHours {
    /// From `from` to `until`, which may be before it: over midnight. Equal ends are the
    /// whole day. `zones` are by prefix of the address, `of_others` is everywhere else.
    ///
    /// # Errors
    /// A zone is not known.
    pub fn new(
        from: Time,
        until: Time,
        of_others: &str,
        zones: &BTreeMap<String, String>,
    ) -> Result<Self, BadCalendar> {
        let by_prefix = zones.iter().map(|(prefix, name)| Ok((prefix.clone(), zone(name)?)));
        Ok(Self { hours: Hours { from, until }, zone: zone(of_others)?, zones: by_prefix.collect::<Result<_, _>>()? })
    }

    /// The zone of an address.
    fn zone_of(&self, address: &str) -> &TimeZone {
        let found = self.zones.iter().filter(|(prefix, _)| address.starts_with(prefix.as_str()));
        found.max_by_key(|(prefix, _)| prefix.len()).map_or(&self.zone, |(_, zone)| zone)
    }

    /// `at` where the customer may be called then, else the next time when the hours begin.
    pub fn next(&self, address: &str, at: Timestamp) -> Timestamp {
        let zone = self.zone_of(address);
        let there = local(zone, at);
        let Hours { from, until } = self.hours;
        let time = there.time();
        let is_open = match from.cmp(&until) {
            std::cmp::Ordering::Less => from <= time && time < until,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => from <= time || time < until,
        };
        if is_open {
            return at;
        }
        let day = if time < from { there.date() } else { there.date().saturating_add(1.day()) };
        instant(zone, day.to_datetime(from)).unwrap_or(at)
    }

    /// Whether the customer may be called.
    pub fn are_open(&self, address: &str, at: Timestamp) -> bool {
        self.next(address, at) == at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hours: (&str, &str), address: &str, at: &str, expected: &str) {
        let zones = BTreeMap::from([("Guam".to_owned(), "Pacific/Guam".to_owned())]);
        let hours = CallHours::new(hours.0.parse().unwrap(), hours.1.parse().unwrap(), "Asia/Seoul", &zones).unwrap();
        let next = hours.next(address, Timestamp::parse(at).unwrap());
        assert_eq!(next, Timestamp::parse(expected).unwrap(), "{address} at {at}: {next}");
        assert!(hours.are_open(address, next));
    }

    #[test]
    fn a_call_waits_for_the_hours_of_the_customers_zone() {
        let day = ("09:00", "20:00");
        check(day, "Seoul", "2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z");
        check(day, "Seoul", "2026-11-26T23:59:59Z", "2026-11-27T00:00:00Z");
        check(day, "Seoul", "2026-11-27T11:00:00Z", "2026-11-28T00:00:00Z");
        check(day, "Guam, Hagatna", "2026-11-26T23:30:00Z", "2026-11-26T23:30:00Z");
        check(day, "Guam, Hagatna", "2026-11-27T10:30:00Z", "2026-11-27T23:00:00Z");
        check(("22:00", "02:00"), "Seoul", "2026-11-27T16:00:00Z", "2026-11-27T16:00:00Z");
        check(("22:00", "02:00"), "Seoul", "2026-11-27T17:00:00Z", "2026-11-28T13:00:00Z");
        check(("00:00", "00:00"), "Seoul", "2026-11-27T17:00:00Z", "2026-11-27T17:00:00Z");
    }
}
