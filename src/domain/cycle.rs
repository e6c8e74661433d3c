//! Billing cycles: which half-open stretch of time a month is, for an account.
//!
//! Owns the anchor day and the time zone of an account. A cycle is named by the
//! month in which it starts; it starts at local midnight of the anchor day, or
//! of the month's last day where the month is shorter, and ends where the next
//! one starts. Bounds are always computed from the stored anchor, never from
//! the cycle before, so that an anchor of 31 does not drift.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::time::{Interval, Timestamp};

/// The month in which a cycle starts, written `2026-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CycleId {
    /// 1970 to 9000.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

impl CycleId {
    /// Months since January of year 0.
    pub fn months(self) -> i64 {
        i64::from(self.year) * 12 + i64::from(self.month) - 1
    }

    /// The cycle that begins so many months after January of year 0; `None` where no
    /// calendar has it.
    pub fn of_months(months: i64) -> Option<Self> {
        let year = i16::try_from(months.div_euclid(12)).ok().filter(|year| (0..=9999).contains(year))?;
        Some(Self { year, month: months.rem_euclid(12) as i8 + 1 })
    }

    /// The cycle after this one.
    pub fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1 }
        } else {
            Self { year: self.year, month: self.month + 1 }
        }
    }

    /// The cycle before this one.
    pub fn previous(self) -> Self {
        if self.month == 1 {
            Self { year: self.year - 1, month: 12 }
        } else {
            Self { year: self.year, month: self.month - 1 }
        }
    }

    /// So many cycles before this one.
    pub fn earlier(self, cycles: u8) -> Self {
        (0..cycles).fold(self, |of, _| of.previous())
    }

    /// So many cycles after this one.
    pub fn later(self, cycles: u8) -> Self {
        (0..cycles).fold(self, |of, _| of.next())
    }
}

impl fmt::Display for CycleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for CycleId {
    type Err = BadCycle;

    fn from_str(text: &str) -> Result<Self, BadCycle> {
        let bad = || BadCycle { text: text.to_owned() };
        let (year, month) = text.split_once('-').ok_or_else(bad)?;
        if year.len() != 4 || month.len() != 2 {
            return Err(bad());
        }
        let year: i16 = year.parse().map_err(|_| bad())?;
        let month: i8 = month.parse().map_err(|_| bad())?;
        if !(1970..=9000).contains(&year) || !(1..=12).contains(&month) {
            return Err(bad());
        }
        Ok(Self { year, month })
    }
}

/// Text for people's formats; months since year 0 for compact ones.
impl Serialize for CycleId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            return s.collect_str(self);
        }
        s.serialize_i64(self.months())
    }
}

impl<'de> Deserialize<'de> for CycleId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if d.is_human_readable() {
            return String::deserialize(d)?.parse().map_err(D::Error::custom);
        }
        Self::of_months(i64::deserialize(d)?).ok_or_else(|| D::Error::custom("no calendar has the cycle"))
    }
}

/// Text that names no cycle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read cycle `{text}`: expected a year and a month, such as 2026-10")]
pub struct BadCycle {
    /// The text as it came.
    pub text: String,
}

/// When an account's cycles start: the anchor day and the zone it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    anchor_day: i8,
    zone: TimeZone,
}

impl Calendar {
    /// `anchor_day` is 1 to 31; `zone` an IANA name such as `Asia/Seoul`.
    pub fn new(anchor_day: u8, zone: &str) -> Result<Self, BadCalendar> {
        if !(1..=31).contains(&anchor_day) {
            return Err(BadCalendar::AnchorDay { day: anchor_day });
        }
        let zone = TimeZone::get(zone).map_err(|_| BadCalendar::Zone { name: zone.to_owned() })?;
        Ok(Self { anchor_day: i8::try_from(anchor_day).unwrap_or(1), zone })
    }

    /// The zone that documents show times in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The local date of `at`.
    pub fn local_date(&self, at: Timestamp) -> Date {
        jiff::Timestamp::from_millisecond(at.millis())
            .map(|t| self.zone.to_datetime(t).date())
            .unwrap_or(date(1970, 1, 1))
    }

    /// First local day of `cycle`.
    pub fn first_day(&self, cycle: CycleId) -> Date {
        let month = date(cycle.year, cycle.month, 1);
        let day = self.anchor_day.min(month.days_in_month());
        date(cycle.year, cycle.month, day)
    }

    /// The half-open stretch of `cycle`.
    pub fn bounds(&self, cycle: CycleId) -> Interval {
        Interval { from: self.midnight(self.first_day(cycle)), until: self.midnight(self.first_day(cycle.next())) }
    }

    /// The cycle that `at` is in.
    pub fn cycle_at(&self, at: Timestamp) -> CycleId {
        let day = self.local_date(at);
        let of_month = CycleId { year: day.year(), month: day.month() };
        if day < self.first_day(of_month) { of_month.previous() } else { of_month }
    }

    /// Local midnight at the start of `day`; the first instant of the day
    /// where a clock change skips midnight.
    pub fn midnight(&self, day: Date) -> Timestamp {
        day.to_zoned(self.zone.clone()).map(|z| Timestamp(z.timestamp().as_millisecond())).unwrap_or(Timestamp::MAX)
    }
}

/// A calendar that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCalendar {
    /// Not a day of any month.
    #[error("anchor day {day}: expected 1 to 31")]
    AnchorDay {
        /// The day as it came.
        day: u8,
    },
    /// Not an IANA zone.
    #[error("time zone `{name}`: expected an IANA name such as Asia/Seoul")]
    Zone {
        /// The name as it came.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(anchor: u8, zone: &str, cycle: &str, from: &str, until: &str) {
        let calendar = Calendar::new(anchor, zone).unwrap();
        let cycle: CycleId = cycle.parse().unwrap();
        let bounds = calendar.bounds(cycle);
        assert_eq!(bounds.from, Timestamp::parse(from).unwrap(), "start of {cycle} on {anchor}");
        assert_eq!(bounds.until, Timestamp::parse(until).unwrap(), "end of {cycle} on {anchor}");
        assert_eq!(calendar.cycle_at(bounds.from), cycle);
        assert_eq!(calendar.cycle_at(Timestamp(bounds.until.0 - 1)), cycle);
        assert_eq!(calendar.cycle_at(bounds.until), cycle.next());
    }

    #[test]
    fn cycles_follow_the_anchor_through_short_months_and_clock_changes() {
        check(1, "Asia/Seoul", "2026-10", "2026-10-01T00:00:00+09:00", "2026-11-01T00:00:00+09:00");
        check(31, "Asia/Seoul", "2026-01", "2026-01-31T00:00:00+09:00", "2026-02-28T00:00:00+09:00");
        check(31, "Asia/Seoul", "2026-02", "2026-02-28T00:00:00+09:00", "2026-03-31T00:00:00+09:00");
        check(30, "Asia/Seoul", "2028-02", "2028-02-29T00:00:00+09:00", "2028-03-30T00:00:00+09:00");
        check(15, "America/New_York", "2026-03", "2026-03-15T00:00:00-04:00", "2026-04-15T00:00:00-04:00");
        check(1, "America/New_York", "2026-03", "2026-03-01T00:00:00-05:00", "2026-04-01T00:00:00-04:00");
        check(1, "UTC", "2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    }

    #[test]
    fn a_cycle_that_is_no_month_is_refused_by_name() {
        for bad in ["2026-13", "2026-00", "26-10", "2026/10", "2026-1", ""] {
            assert!(bad.parse::<CycleId>().is_err(), "{bad}");
        }
    }
}
