//! What one peer machine is told at its start.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::Origin;
use crate::apps::base::Capabilities;

/// The least watchdog period (RFC 3539 section 3.4.1).
const WATCHDOG_MIN: Duration = Duration::from_secs(6);
/// How far a watchdog period may lie from its setting, in milliseconds
/// (RFC 3539 section 3.4.1).
const JITTER_MS: u64 = 2_000;

/// Who opened the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We did; we send the CER.
    Initiator,
    /// The peer did; we wait for its CER.
    Responder,
}

/// The settings of one connection.
#[derive(Debug, Clone)]
pub struct Config {
    /// What we say of ourselves.
    pub local: Arc<Capabilities>,
    /// Our Origin-Host and Origin-Realm, for answers.
    pub origin: Origin,
    /// Who opened the transport.
    pub role: Role,
    /// Tw, the watchdog period; 30 s by default, at least 6 s, ± 2 s.
    pub watchdog: Duration,
    /// How long to wait for CER, CEA and DPA; 10 s by default.
    pub exchange_timeout: Duration,
    /// How long a peer that has arrived may wait for what the table waits for;
    /// shorter than the peer waits for its CEA, 3 s by default.
    pub admission_timeout: Duration,
    /// Requests that may wait for an answer at once; 10,000 by default.
    pub pending_max: usize,
    /// DWAs that REOPEN needs; 3 by default (RFC 3539 section 3.4.1).
    pub reopen_answers: u8,
    /// Makes hop-by-hop ids, end-to-end ids and the watchdog's jitter differ
    /// from connection to connection.
    pub seed: u64,
}

impl Config {
    /// Defaults: Tw 30 s, 10 s for exchanges, 3 s for the table, 10,000 requests.
    pub fn new(local: Arc<Capabilities>, role: Role, seed: u64) -> Self {
        Self {
            origin: Origin::new(&local.origin_host, &local.origin_realm),
            local,
            role,
            watchdog: Duration::from_secs(30),
            exchange_timeout: Duration::from_secs(10),
            admission_timeout: Duration::from_secs(3),
            pending_max: 10_000,
            reopen_answers: 3,
            seed,
        }
    }
}

/// Numbers that differ from seed to seed; nothing secret hangs on them.
#[derive(Debug, Clone)]
pub(super) struct Sequence(u64);

impl Sequence {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64).
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One watchdog period.
    pub(super) fn watchdog_period(&mut self, tw: Duration) -> Duration {
        let jitter = Duration::from_millis(self.next() % (2 * JITTER_MS + 1));
        (tw.max(WATCHDOG_MIN) + jitter).saturating_sub(Duration::from_millis(JITTER_MS)).max(WATCHDOG_MIN)
    }
}

/// End-to-end ids of one Diameter node, unique for at least four minutes
/// across restarts (RFC 6733 section 3): twelve bits of time, then a counter.
#[derive(Debug, Clone)]
pub struct EndToEndIds(u32);

impl EndToEndIds {
    /// Starts from the time, in Unix seconds, and a seed.
    pub const fn new(unix_seconds: u64, seed: u64) -> Self {
        Self((unix_seconds as u32) << 20 | (seed as u32 & 0x000f_ffff))
    }

    /// The next id.
    #[allow(clippy::should_implement_trait, reason = "an endless source, not an iterator")]
    pub const fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}
