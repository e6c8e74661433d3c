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
    /// A scheduler outside that agrees on visits; empty takes our own call list.
    pub external_url: String,
    /// Its bearer token; empty sends none.
    pub external_token: String,
    /// Time for one call to it, milliseconds.
    pub external_timeout_ms: u64,
    /// Calls to it at a time.
    pub external_concurrency: usize,
    /// Failures in a row after which it is left alone.
    pub external_failures_max: u32,
    /// How long it is left alone, milliseconds.
    pub external_open_ms: u64,
    /// A visit that it has not taken after so long goes to the call list, seconds; 0 waits for ever.
    pub external_fallback_s: u64,
    /// Tries to take a visit back from it before the order goes on without.
    pub external_cancel_tries: u32,
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
            external_url: String::new(),
            external_token: String::new(),
            external_timeout_ms: 5_000,
            external_concurrency: 16,
            external_failures_max: 5,
            external_open_ms: 10_000,
            external_fallback_s: 0,
            external_cancel_tries: 10,
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
