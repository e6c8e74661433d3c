//! When a worker works, and the slots that follow from it.
//!
//! Hours are local times of the calendar's zone; a slot's instants are computed
//! from its own local start and end, so that it stays at the same hour of the day
//! when the clocks change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};

use super::Slot;
use crate::domain::ids::{SlotId, WorkerId};
use crate::domain::time::{Interval, Timestamp};

/// Shortest and longest slot, minutes.
const SLOT_MINUTES: std::ops::RangeInclusive<u32> = 5..=720;
/// Most visits in one slot.
const CAPACITY_MAX: u32 = 1_000;

/// The hours in which a worker can be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkCalendar {
    /// IANA zone that every hour and day in here is in.
    pub zone: String,
    /// Hours of each weekday, in their order; a day that is not named is free.
    pub week: BTreeMap<Day, Vec<Hours>>,
    /// Days without work.
    #[serde(default)]
    pub days_off: BTreeSet<Date>,
    /// First day on which it holds.
    #[serde(default)]
    pub valid_from: Option<Date>,
    /// Last day on which it holds.
    #[serde(default)]
    pub valid_until: Option<Date>,
    /// Length of a slot, 5 to 720 minutes; what is left at the end of the hours is none.
    pub slot_minutes: u32,
    /// Visits that fit into one slot, 1 to 1000.
    #[serde(default = "one")]
    pub capacity: u32,
}

fn one() -> u32 {
    1
}

/// A weekday as calendars write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "days are days")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        }
    }
}

/// A stretch of a local day, `09:00` to `12:00`; until `00:00` is the day's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// First minute inside.
    pub from: Time,
    /// First minute outside.
    pub until: Time,
}

impl Hours {
    /// Every hour of the day.
    pub const ALL_DAY: Hours = Hours { from: Time::midnight(), until: Time::midnight() };

    /// Both ends on a day.
    pub(super) fn on(self, day: Date) -> (DateTime, DateTime) {
        let last = if self.until == Time::midnight() { day.saturating_add(1.day()) } else { day };
        (day.to_datetime(self.from), last.to_datetime(self.until))
    }
}

/// Why a calendar cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BadCalendar {
    #[error("zone `{0}`: no IANA time zone, such as Asia/Seoul")]
    Zone(String),
    #[error("slotMinutes {0}: expected 5 to 720")]
    SlotMinutes(u32),
    #[error("capacity {0}: expected 1 to 1000")]
    Capacity(u32),
    #[error("week.{day}: hours {from} to {until} end before they begin, or overlap the ones before")]
    Hours { day: String, from: Time, until: Time },
    #[error("validUntil {until} is before validFrom {from}")]
    Validity { from: Date, until: Date },
}

impl WorkCalendar {
    /// Whether slots can be made from it.
    ///
    /// # Errors
    /// The first member that is out of its range.
    pub fn check(&self) -> Result<(), BadCalendar> {
        zone(&self.zone)?;
        if !SLOT_MINUTES.contains(&self.slot_minutes) {
            return Err(BadCalendar::SlotMinutes(self.slot_minutes));
        }
        if !(1..=CAPACITY_MAX).contains(&self.capacity) {
            return Err(BadCalendar::Capacity(self.capacity));
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && until < from
        {
            return Err(BadCalendar::Validity { from, until });
        }
        for (day, hours) in &self.week {
            let mut before = DateTime::MIN;
            for &stretch in hours {
                let (from, until) = stretch.on(Date::constant(2026, 1, 1));
                if until <= from || from < before {
                    let day = format!("{day:?}").to_lowercase();
                    return Err(BadCalendar::Hours { day, from: stretch.from, until: stretch.until });
                }
                before = until;
            }
        }
        Ok(())
    }

    /// The slots of `worker` that start inside `span`, earliest first.
    ///
    /// # Errors
    /// The zone is not known.
    pub fn slots(&self, worker: &WorkerId, span: Interval) -> Result<Vec<Slot>, BadCalendar> {
        let zone = zone(&self.zone)?;
        let (mut day, last) = (local_date(&zone, span.from), local_date(&zone, span.until));
        let mut slots: Vec<Slot> = Vec::new();
        while day <= last {
            for (from, until) in self.local_slots(day) {
                let (Some(from), Some(until)) = (instant(&zone, from), instant(&zone, until)) else { continue };
                // Where the clocks go forward an hour is missing: what falls into it is none.
                let is_after = slots.last().is_none_or(|s| s.span.until <= from);
                if span.contains(from) && from < until && is_after {
                    let id = Slot::calendar_id(worker, from);
                    let span = Interval { from, until };
                    slots.push(Slot { id, worker: worker.clone(), span, capacity: self.capacity, held: 0 });
                }
            }
            match day.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        Ok(slots)
    }

    fn local_slots(&self, day: Date) -> impl Iterator<Item = (DateTime, DateTime)> + '_ {
        let holds = self.valid_from.is_none_or(|from| from <= day)
            && self.valid_until.is_none_or(|until| day <= until)
            && !self.days_off.contains(&day);
        let hours = self.week.get(&Day::from(day.weekday())).filter(|_| holds);
        let length = Span::new().minutes(i64::from(self.slot_minutes.max(1)));
        hours.into_iter().flatten().flat_map(move |stretch| {
            let (mut from, end) = stretch.on(day);
            std::iter::from_fn(move || {
                let until = from.checked_add(length).ok().filter(|until| *until <= end)?;
                let slot = (from, until);
                from = until;
                Some(slot)
            })
        })
    }
}

impl Slot {
    /// The id of the slot that a calendar makes for the worker at that time: made again
    /// it is the same slot.
    pub fn calendar_id(worker: &WorkerId, from: Timestamp) -> SlotId {
        SlotId::new(format!("calendar-{worker}-{}", from.millis().div_euclid(60_000)))
    }

    /// Whether a calendar made it.
    pub fn is_from_calendar(&self) -> bool {
        self.id == Self::calendar_id(&self.worker, self.span.from)
    }
}

/// A zone by its IANA name.
pub(super) fn zone(name: &str) -> Result<TimeZone, BadCalendar> {
    TimeZone::get(name).map_err(|_| BadCalendar::Zone(name.to_owned()))
}

/// The day that it is there.
pub(super) fn local_date(zone: &TimeZone, at: Timestamp) -> Date {
    local(zone, at).date()
}

/// The time that it is there.
pub(super) fn local(zone: &TimeZone, at: Timestamp) -> DateTime {
    let end = if at.millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    zone.to_datetime(jiff::Timestamp::from_millisecond(at.millis()).unwrap_or(end))
}

/// The instant of a local time; of one that is there twice the first.
pub(super) fn instant(zone: &TimeZone, at: DateTime) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(at).compatible().ok().map(|t| Timestamp(t.as_millisecond()))
}

/// The stretch of a local day.
///
/// # Errors
/// The zone is not known.
pub fn day_in(name: &str, day: Date) -> Result<Interval, BadCalendar> {
    let zone = zone(name)?;
    let (from, until) = Hours::ALL_DAY.on(day);
    let at = |time| instant(&zone, time).unwrap_or(Timestamp::MAX);
    Ok(Interval { from: at(from), until: at(until) })
}

/// The local day of an instant.
///
/// # Errors
/// The zone is not known.
pub fn date_in(name: &str, at: Timestamp) -> Result<Date, BadCalendar> {
    Ok(local_date(&zone(name)?, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(zone: &str, week: &[(Day, &str, &str)], minutes: u32) -> WorkCalendar {
        let mut hours: BTreeMap<Day, Vec<Hours>> = BTreeMap::new();
        for (day, from, until) in week {
            hours.entry(*day).or_default().push(Hours { from: from.parse().unwrap(), until: until.parse().unwrap() });
        }
        WorkCalendar {
            zone: zone.to_owned(),
            week: hours,
            days_off: BTreeSet::new(),
            valid_from: None,
            valid_until: None,
            slot_minutes: minutes,
            capacity: 2,
        }
    }

    fn check(calendar: &WorkCalendar, from: &str, until: &str, expected: &[&str]) {
        calendar.check().unwrap();
        let span = Interval { from: Timestamp::parse(from).unwrap(), until: Timestamp::parse(until).unwrap() };
        let slots = calendar.slots(&"kim".into(), span).unwrap();
        let found: Vec<String> = slots.iter().map(|s| format!("{}/{}", s.span.from, s.span.until)).collect();
        let short: Vec<String> = found.iter().map(|s| s.replace(":00.000Z", "")).collect();
        assert_eq!(short, expected);
        assert!(slots.iter().all(|s| s.is_from_calendar() && s.capacity == 2 && s.held == 0));
    }

    #[test]
    fn slots_follow_the_hours_of_each_weekday_in_their_zone() {
        let seoul = calendar("Asia/Seoul", &[(Day::Mon, "09:00", "12:30"), (Day::Tue, "23:00", "00:00")], 60);
        let monday = [
            "2026-11-30T00:00/2026-11-30T01:00",
            "2026-11-30T01:00/2026-11-30T02:00",
            "2026-11-30T02:00/2026-11-30T03:00",
        ];
        check(&seoul, "2026-11-30T00:00:00Z", "2026-11-30T12:00:00Z", &monday);
        check(&seoul, "2026-11-30T00:30:00Z", "2026-11-30T02:00:00Z", &monday[1..2]);
        check(&seoul, "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z", &["2026-12-01T14:00/2026-12-01T15:00"]);
        check(&seoul, "2026-12-02T00:00:00Z", "2026-12-05T00:00:00Z", &[]);
    }

    #[test]
    fn days_off_and_days_outside_the_validity_have_none() {
        let mut utc = calendar("UTC", &[(Day::Mon, "09:00", "10:00"), (Day::Tue, "09:00", "10:00")], 60);
        utc.days_off.insert("2026-11-30".parse().unwrap());
        utc.valid_until = Some("2026-12-07".parse().unwrap());
        let expected = ["2026-12-01T09:00/2026-12-01T10:00", "2026-12-07T09:00/2026-12-07T10:00"];
        check(&utc, "2026-11-29T00:00:00Z", "2026-12-20T00:00:00Z", &expected);
    }

    #[test]
    fn a_slot_stays_at_its_hour_when_the_clocks_change() {
        let sunday = calendar("Europe/Berlin", &[(Day::Sun, "01:00", "04:00")], 60);
        // 2026-03-29: 02:00 to 03:00 does not exist.
        let spring = ["2026-03-29T00:00/2026-03-29T01:00", "2026-03-29T01:00/2026-03-29T02:00"];
        check(&sunday, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", &spring);
        let summer = calendar("Europe/Berlin", &[(Day::Mon, "09:00", "10:00")], 60);
        let both = ["2026-03-23T08:00/2026-03-23T09:00", "2026-03-30T07:00/2026-03-30T08:00"];
        check(&summer, "2026-03-23T00:00:00Z", "2026-03-31T00:00:00Z", &both);
    }

    #[test]
    fn a_calendar_that_cannot_be_used_says_why() {
        let good = || calendar("UTC", &[(Day::Mon, "09:00", "12:00")], 60);
        let table: [(WorkCalendar, &str); 5] = [
            (WorkCalendar { zone: "Mars".to_owned(), ..good() }, "zone `Mars`"),
            (WorkCalendar { slot_minutes: 4, ..good() }, "slotMinutes 4"),
            (WorkCalendar { capacity: 0, ..good() }, "capacity 0"),
            (calendar("UTC", &[(Day::Sat, "12:00", "09:00")], 60), "week.sat"),
            (calendar("UTC", &[(Day::Sat, "09:00", "12:00"), (Day::Sat, "11:00", "13:00")], 60), "week.sat"),
        ];
        for (bad, names) in table {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.starts_with(names), "{text}");
        }
    }
}
