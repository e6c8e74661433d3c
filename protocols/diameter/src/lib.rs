//! Diameter (RFC 6733) without a runtime, a socket or a clock.
//!
//! What this crate owns: bytes to messages and back ([`codec`]), the
//! dictionary and the grammar check ([`dictionary`]), answers ([`answer`]),
//! the peer and watchdog machine of one connection ([`peer`]), typed requests
//! and answers of the applications ([`apps`]), and messages as text for people
//! ([`tree`], [`names`]).
//!
//! What it does not own: routing, sessions, duplicate detection, money. Time
//! comes in as an argument, bytes go out through a buffer.
//!
//! Invariants: input from a peer never panics and is never replaced by a
//! default; a known message is decoded without allocation.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
pub mod apps;
pub mod codec;
pub mod dictionary;
pub mod names;
pub mod peer;
mod result_code;
pub mod tree;

pub use codec::{Avp, Avps, Header, Message, Time, Writer};
pub use result_code::{Outcome, ResultCode};

/// The capped length of a message that this crate suggests, in octets.
/// The field itself reaches 16,777,215 (RFC 6733 section 3).
pub const MESSAGE_LENGTH_MAX: usize = 65_536;
