//! What the fuzz targets do with an input. The fuzz binaries and the replay
//! in `tests/it/replay.rs` both call these functions: a finding in one is a
//! finding in the other.
//!
//! A target panics where the library breaks a promise, and returns otherwise.

pub mod packets;
pub mod payload;
pub mod session;
mod source;

pub use source::Source;

/// One target: its name, which is also its folder in the corpus, and what it
/// does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[("packets", packets::run), ("session", session::run), ("payload", payload::run)];
