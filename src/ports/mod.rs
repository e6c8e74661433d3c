//! The traits that services need from the world, each with what it guarantees.
//!
//! To add a backend: implement the trait in `src/adapters/`, run its contract
//! suite (`tests/it/contract_*.rs`) against it, and name it in `src/app.rs`.
//! A port never asks the time: `now` is an argument.

pub mod charging;
pub mod closing;
pub mod delivery;
pub mod documents;
pub mod hot;
pub mod intake;
pub mod journal;
pub mod modem;
pub mod network;
pub mod relational;
pub mod scheduling;

use crate::domain::time::Timestamp;

/// The one source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the epoch, UTC. May step backwards with the system clock.
    fn now(&self) -> Timestamp;
}

/// The one source of fresh identifiers and randomness.
pub trait Ids: Send + Sync + 'static {
    /// A time-ordered unique id (RFC 9562 UUID version 7, hyphenated lower-case text).
    fn fresh(&self, now: Timestamp) -> String;

    /// `bytes` filled with unpredictable octets, for secrets and tokens.
    fn secret(&self, bytes: &mut [u8]);

    /// A number below `bound` for jitter; 0 when `bound` is 0.
    fn jitter(&self, bound: u64) -> u64;
}
