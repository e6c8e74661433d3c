//! How a file writes its times.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// A way to write times, with the zone of those that name none.
#[derive(Debug, Clone)]
pub(crate) enum Times {
    Rfc3339,
    Unix { per_second: i64 },
    Pattern { pattern: String, zone: TimeZone },
}

impl Times {
    pub(crate) fn new(time: &str, zone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(zone).map_err(|_| format!("zone {zone:?} is not an IANA name such as Asia/Seoul"))?;
        match time {
            "rfc3339" => Ok(Times::Rfc3339),
            "unix" => Ok(Times::Unix { per_second: 1 }),
            "unix-ms" => Ok(Times::Unix { per_second: 1000 }),
            pattern if pattern.contains('%') => {
                let times = Times::Pattern { pattern: pattern.to_owned(), zone };
                // What cannot be written back cannot be read either.
                let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
                let written =
                    jiff::fmt::strtime::format(pattern, &sample).map_err(|e| format!("time {pattern:?}: {e}"))?;
                match times.read(&written) {
                    Some(_) => Ok(times),
                    None => Err(format!("time {pattern:?} does not hold a whole date and time")),
                }
            }
            other => Err(format!("time {other:?} is not rfc3339, unix, unix-ms or a pattern such as %Y%m%d%H%M%S")),
        }
    }

    /// What a value has to be, for people.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Times::Rfc3339 => "an RFC 3339 time",
            Times::Unix { per_second: 1 } => "seconds since 1970",
            Times::Unix { .. } => "milliseconds since 1970",
            Times::Pattern { .. } => "a time as the mapping's pattern says",
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn read(&self, value: &str) -> Option<i64> {
        let time = match self {
            Times::Rfc3339 => value.parse::<jiff::Timestamp>().ok()?,
            Times::Unix { per_second } => {
                let number: i64 = value.parse().ok()?;
                jiff::Timestamp::from_millisecond(number.checked_mul(1000 / per_second)?).ok()?
            }
            Times::Pattern { pattern, zone } => {
                let read = BrokenDownTime::parse(pattern, value).ok()?;
                match read.offset() {
                    Some(_) => read.to_timestamp().ok()?,
                    None => {
                        let civil: DateTime = read.to_datetime().ok()?;
                        zone.to_ambiguous_timestamp(civil).compatible().ok()?
                    }
                }
            }
        };
        Some(time.as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn times_are_read_as_the_mapping_says() {
        let noon = 1_790_910_000_000;
        let table = [
            ("rfc3339", "UTC", "2026-10-02T12:00:00+09:00", Some(1_790_910_000_000)),
            ("unix", "UTC", "1790910000", Some(noon)),
            ("unix-ms", "UTC", "1790910000000", Some(noon)),
            ("%Y%m%d%H%M%S", "Asia/Seoul", "20261002120000", Some(noon)),
            ("%d.%m.%Y %H:%M:%S", "UTC", "02.10.2026 03:00:00", Some(noon)),
            ("%Y%m%d%H%M%S%z", "UTC", "20261002120000+0900", Some(noon)),
            ("%Y%m%d%H%M%S", "UTC", "20261302120000", None),
            ("unix", "UTC", "12x", None),
            ("unix", "UTC", "9223372036854775807", None),
        ];
        for (time, zone, value, expected) in table {
            assert_eq!(Times::new(time, zone).unwrap().read(value), expected, "{time} in {zone}: {value}");
        }
        for (time, zone) in [("rfc3339", "Seoul"), ("iso", "UTC"), ("%Y", "UTC"), ("%H:%M:%S", "UTC"), ("%Q!", "UTC")] {
            assert!(Times::new(time, zone).is_err(), "{time} in {zone}");
        }
    }
}
