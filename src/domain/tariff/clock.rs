//! Times of day: windows of the week in the tariff's time zone.
//!
//! A window is half-open and opens and shuts at local wall-clock times. Each day
//! that it opens on gives one stretch of real time, from the instant of `from` to
//! the instant of `until`, so on the nights of a clock change it is an hour
//! shorter or longer and never open twice. A local time that a change skips is the
//! first instant after it; one that comes twice is the earlier.

use jiff::ToSpan;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::domain::time::{Interval, Timestamp};

/// A stretch of the day, on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Days on which it opens; absent, every day.
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
    /// When it opens, such as `22:00`; whole minutes.
    pub from: Time,
    /// When it shuts: on the same day, or where that is not after `from` on the
    /// next one. `00:00` to `00:00` is the whole day.
    pub until: Time,
}

/// A kind of day. One of the tariff's holidays is a holiday and no day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
    Holiday,
}

fn every_day() -> Vec<Day> {
    vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun, Day::Holiday]
}

/// Days looked ahead and back for a window's edge.
const EDGE_DAYS: i32 = 8;

/// What local time is in a tariff.
#[derive(Debug, Clone, Copy)]
pub struct Clock<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) holidays: &'a [Date],
}

impl Clock<'_> {
    /// Whether `window` is open at `at`.
    pub fn is_open(self, window: &Window, at: Timestamp) -> bool {
        let today = self.date(at);
        [-1, 0].into_iter().any(|days| self.stretch(window, today, days).is_some_and(|s| s.contains(at)))
    }

    /// The first instant after `at`, within eight days, at which one of `windows`
    /// opens or shuts.
    pub fn next_edge<'w>(self, windows: impl Iterator<Item = &'w Window>, at: Timestamp) -> Option<Timestamp> {
        let edges = self.edges(windows, at, -1..=EDGE_DAYS);
        edges.into_iter().filter(|edge| *edge > at).min()
    }

    /// The last instant up to `at`, within eight days, at which one did.
    pub fn last_edge<'w>(self, windows: impl Iterator<Item = &'w Window>, at: Timestamp) -> Option<Timestamp> {
        let edges = self.edges(windows, at, -EDGE_DAYS..=0);
        edges.into_iter().filter(|edge| *edge <= at).max()
    }

    fn edges<'w>(
        self,
        windows: impl Iterator<Item = &'w Window>,
        at: Timestamp,
        days: std::ops::RangeInclusive<i32>,
    ) -> Vec<Timestamp> {
        let today = self.date(at);
        let stretches = windows.flat_map(|window| days.clone().filter_map(move |d| self.stretch(window, today, d)));
        stretches.filter(|s| s.from < s.until).flat_map(|s| [s.from, s.until]).collect()
    }

    /// When the window is open that opens `days` after `today`, where it does on that day.
    fn stretch(self, window: &Window, today: Date, days: i32) -> Option<Interval> {
        let day = today.checked_add(days.days()).ok()?;
        if !window.days.contains(&self.kind_of(day)) {
            return None;
        }
        let shuts = if window.until > window.from { day } else { day.tomorrow().ok()? };
        Some(Interval { from: self.instant(day, window.from)?, until: self.instant(shuts, window.until)? })
    }

    fn kind_of(self, day: Date) -> Day {
        if self.holidays.contains(&day) {
            return Day::Holiday;
        }
        match day.weekday() {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        }
    }

    fn date(self, at: Timestamp) -> Date {
        let instant = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(instant).date()
    }

    fn instant(self, day: Date, time: Time) -> Option<Timestamp> {
        let instant = self.zone.to_timestamp(day.to_datetime(time)).ok()?;
        Some(Timestamp(instant.as_millisecond()))
    }
}

impl Window {
    /// What is wrong with it, where something is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let whole = |time: Time| time.second() == 0 && time.subsec_nanosecond() == 0;
        if self.days.is_empty() {
            return Some("days is empty: leave it out for every day");
        }
        (!whole(self.from) || !whole(self.until)).then_some("from and until must be whole minutes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Day], from: &str, until: &str) -> Window {
        let days = if days.is_empty() { every_day() } else { days.to_vec() };
        Window { days, from: from.parse().unwrap(), until: until.parse().unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn check(zone: &str, window: &Window, table: &[(&str, bool)]) {
        let (zone, holidays) = (TimeZone::get(zone).unwrap(), [jiff::civil::date(2026, 10, 9)]);
        let clock = Clock { zone: &zone, holidays: &holidays };
        for (instant, open) in table {
            assert_eq!(clock.is_open(window, at(instant)), *open, "{window:?} at {instant}");
        }
    }

    #[test]
    fn a_window_is_half_open_and_belongs_to_the_day_on_which_it_opens() {
        let night = window(&[], "22:00", "06:00");
        check(
            "Asia/Seoul",
            &night,
            &[
                ("2026-10-12T21:59:59.999+09:00", false),
                ("2026-10-12T22:00:00+09:00", true),
                ("2026-10-13T05:59:59.999+09:00", true),
                ("2026-10-13T06:00:00+09:00", false),
            ],
        );
        // Friday's night reaches into Saturday; 10-09, a Friday, is a holiday
        let friday_night = window(&[Day::Fri], "22:00", "06:00");
        check(
            "Asia/Seoul",
            &friday_night,
            &[
                ("2026-10-16T23:00:00+09:00", true),
                ("2026-10-17T05:00:00+09:00", true),
                ("2026-10-17T23:00:00+09:00", false),
                ("2026-10-09T23:00:00+09:00", false),
                ("2026-10-10T05:00:00+09:00", false),
            ],
        );
        check(
            "Asia/Seoul",
            &window(&[Day::Holiday], "00:00", "00:00"),
            &[
                ("2026-10-09T00:00:00+09:00", true),
                ("2026-10-09T23:59:59+09:00", true),
                ("2026-10-10T00:00:00+09:00", false),
            ],
        );
    }

    #[test]
    fn clock_changes_make_a_window_shorter_or_longer_and_never_open_twice() {
        // New York: 02:00 is skipped on 03-08, and 01:00 to 02:00 comes twice on 11-01.
        let small_hours = window(&[], "01:30", "03:00");
        check(
            "America/New_York",
            &small_hours,
            &[
                ("2026-03-08T01:45:00-05:00", true),
                ("2026-03-08T03:00:00-04:00", false),
                ("2026-11-01T01:29:00-04:00", false),
                ("2026-11-01T01:30:00-04:00", true),
                ("2026-11-01T01:00:00-05:00", true),
                ("2026-11-01T02:59:00-05:00", true),
                ("2026-11-01T03:00:00-05:00", false),
            ],
        );
        check(
            "America/New_York",
            &window(&[], "02:00", "03:00"),
            &[("2026-03-08T01:59:59-05:00", false), ("2026-03-08T03:00:00-04:00", false)],
        );
    }

    #[test]
    fn edges_are_where_a_window_opens_or_shuts() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let clock = Clock { zone: &zone, holidays: &[] };
        let windows = [window(&[Day::Sat, Day::Sun], "00:00", "00:00"), window(&[], "22:00", "06:00")];
        // instant, last edge, next edge
        let table = [
            ("2026-10-13T12:00:00-04:00", "2026-10-13T06:00:00-04:00", "2026-10-13T22:00:00-04:00"),
            ("2026-10-13T22:00:00-04:00", "2026-10-13T22:00:00-04:00", "2026-10-14T06:00:00-04:00"),
            ("2026-10-16T23:00:00-04:00", "2026-10-16T22:00:00-04:00", "2026-10-17T00:00:00-04:00"),
            ("2026-11-01T00:30:00-04:00", "2026-11-01T00:00:00-04:00", "2026-11-01T06:00:00-05:00"),
        ];
        for (instant, last, next) in table {
            assert_eq!(clock.last_edge(windows.iter(), at(instant)), Some(at(last)), "{instant}");
            assert_eq!(clock.next_edge(windows.iter(), at(instant)), Some(at(next)), "{instant}");
        }
        assert_eq!(clock.next_edge([].into_iter(), at("2026-10-13T12:00:00Z")), None);
    }
}
