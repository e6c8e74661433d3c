//! Settings of charging.

use serde::{Deserialize, Serialize};

use super::outage::OutageSettings;
use crate::domain::rating::RatingSettings;
use crate::domain::rating::request::Phase;

/// How requests are spread and held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChargingSettings {
    /// Tasks that accounts are spread over; 0 takes the number of cores.
    pub shards: usize,
    /// Requests that may wait for one shard. New sessions and one-time
    /// events are refused at 70 % of it, updates and single records at 90 %, terminations at 100 %.
    pub queue_requests_max: usize,
    /// Requests that one shard puts into one durable write.
    pub batch_requests_max: usize,
    /// How often a shard looks for reservations that expire, milliseconds.
    pub tick_ms: u64,
    /// How often an idle gateway notes that it is alive, milliseconds; its
    /// downtime is measured from there.
    pub heartbeat_ms: u64,
    /// Tries of a durable write that certainly was not applied, before giving up.
    pub commit_tries_max: u32,
    /// Pause between such tries, milliseconds.
    pub commit_retry_ms: u64,
    /// Accounts that are kept ready to be charged; the others are kept as they are stored.
    pub accounts_open_max: usize,
    /// Accounts that are kept in memory at all; the least recently used beyond them are in
    /// the hot store alone, and are read when they are needed.
    pub accounts_cached_max: usize,
    /// Accounts that one shard reads from the store at once.
    pub loads_max: usize,
    /// Requests that may wait in one shard for accounts that are read; more are refused.
    pub load_requests_max: usize,
    /// Accounts that may be looked for at once on a store that gateways share, where a
    /// request names a session or line that is not known here.
    pub lookups_max: usize,
    /// How long what was not found is taken for unknown, milliseconds.
    pub lookup_missed_ms: u64,
    /// What was not found and is remembered; the oldest goes first.
    pub lookups_missed_max: usize,
    /// What is done while the hot store is away.
    pub outage: OutageSettings,
    /// How records are judged.
    pub rating: RatingSettings,
}

impl Default for ChargingSettings {
    fn default() -> Self {
        Self {
            shards: 0,
            queue_requests_max: 20_000,
            batch_requests_max: 1024,
            tick_ms: 1000,
            heartbeat_ms: 10_000,
            commit_tries_max: 20,
            commit_retry_ms: 100,
            accounts_open_max: 100_000,
            accounts_cached_max: 2_000_000,
            loads_max: 64,
            load_requests_max: 10_000,
            lookups_max: 256,
            lookup_missed_ms: 1000,
            lookups_missed_max: 100_000,
            outage: OutageSettings::default(),
            rating: RatingSettings::default(),
        }
    }
}

impl ChargingSettings {
    /// How many may wait when a request of this phase is still taken in: what is
    /// new is shed first, what ends last.
    pub(super) fn queue_room(&self, phase: Phase) -> usize {
        let percent = match phase {
            Phase::Initial | Phase::OneTime(_) => 70,
            Phase::Update | Phase::Event | Phase::Recycled { .. } => 90,
            Phase::Terminate => 100,
        };
        self.queue_requests_max.saturating_mul(percent) / 100
    }
}
