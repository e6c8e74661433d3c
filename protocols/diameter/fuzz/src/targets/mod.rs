//! What the fuzz targets do with an input. The fuzz binaries and the replay
//! in `tests/it/replay.rs` both call these functions: a finding in one is a
//! finding in the other.
//!
//! A target panics where the library breaks a promise, and returns otherwise.

pub mod base;
pub mod decode;
pub mod gy;
mod kind;
pub mod lp;
mod node;
pub mod pair;
pub mod peer;
pub mod rf;
pub mod s6a;
mod source;
pub mod table;

pub use kind::Kind;
pub use source::Source;

/// One target: its name, which is also its folder in the corpus, and what it
/// does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("decode", decode::run),
    ("peer", peer::run),
    ("pair", pair::run),
    ("table", table::run),
    ("base", base::run),
    ("gy", gy::run),
    ("rf", rf::run),
    ("s6a", s6a::run),
    ("lp", lp::run),
];

/// The kinds of message of each application's target.
pub const APPLICATIONS: &[(&str, &[Kind])] =
    &[("base", base::KINDS), ("gy", gy::KINDS), ("rf", rf::KINDS), ("s6a", s6a::KINDS), ("lp", lp::KINDS)];
