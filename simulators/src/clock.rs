//! The clock of the simulators, which stand for machines of their own and so
//! cannot be given the gateway's. The one place of this crate that asks the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one clock of the simulators")]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch, UTC.
#[expect(clippy::disallowed_methods, reason = "the one clock of the simulators")]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A seed that differs from run to run; whoever uses it says which it was.
pub fn seed() -> u64 {
    unix_ms().unsigned_abs()
}

/// Seconds since the Unix epoch as a Diameter number, for Origin-State-Id and
/// the start-up half of a Session-Id (RFC 6733 sections 8.8 and 8.16).
pub fn unix_seconds() -> u32 {
    u32::try_from(unix_ms() / 1000).unwrap_or(u32::MAX)
}
