//! Limits of scheduling.

use std::collections::BTreeMap;

use jiff::civil::Time;
use serde::Deserialize;

use crate::domain::scheduling::{BadCalendar, CallHours, CallPlan};

/// Section `[scheduling]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulingSettings {
    /// Attempts without an agreement before a person has to look.
    pub call_attempts_max: u32,
    /// Delay after the first, second, … attempt, seconds; the last one repeats.
    pub call_intervals_s: Vec<u64>,
    /// When customers may be called, in their zone: from …
    pub call_from: Time,
    /// … until; the same as `call_from` is the whole day.
    pub call_until: Time,
    /// IANA zone of customers and of the worker's day where nothing else says it.
    pub time_zone: String,
    /// Zones by prefix of the address.
    pub time_zones: BTreeMap<String, String>,
    /// Loads again when something is changed by somebody else meanwhile.
    pub conflict_retries: u32,
    /// Slots looked through for one search, and due calls for one list.
    pub slots_max: u64,
    /// Days ahead for which slots are made of calendars.
    pub horizon_days: u32,
    /// How often they are made, seconds.
    pub slots_every_s: u64,
    /// How long a search for free time is kept, seconds.
    pub searches_kept_s: u64,
    /// What the link in the SMS about a visit begins with; the token follows. Empty sends none.
    pub link_url: String,
    /// How long the link is good for, seconds.
    pub link_s: u64,
}

impl Default for SchedulingSettings {
    fn default() -> Self {
        Self {
            call_attempts_max: 5,
            call_intervals_s: vec![1_800, 7_200, 86_400],
            call_from: Time::constant(9, 0, 0, 0),
            call_until: Time::constant(20, 0, 0, 0),
            time_zone: "Asia/Seoul".to_owned(),
            time_zones: BTreeMap::new(),
            conflict_retries: 16,
            slots_max: 1_000,
            horizon_days: 28,
            slots_every_s: 600,
            searches_kept_s: 86_400,
            link_url: String::new(),
            link_s: 1_209_600,
        }
    }
}

impl SchedulingSettings {
    /// The retry plan of a call.
    ///
    /// # Errors
    /// A zone is not known.
    pub fn calls(&self) -> Result<CallPlan, BadCalendar> {
        Ok(CallPlan {
            hours: CallHours::new(self.call_from, self.call_until, &self.time_zone, &self.time_zones)?,
            attempts_max: self.call_attempts_max,
            intervals_ms: self.call_intervals_s.iter().map(|s| s.saturating_mul(1_000)).collect(),
        })
    }
}
