//! Broker-side MQTT 3.1.1 and 5, the modem topics and the modem payloads.
//!
//! The gateway is the only subscriber of its modems, so there is no topic tree
//! and no fan-out: a topic filter is an access check, and a device reaches its
//! own topics only. The crate has no runtime, no sockets and no clock; time
//! comes in as `now`.
//!
//! | module | what it owns |
//! |---|---|
//! | [`topic`] | `lg/v1/{device}/…`: names, device ids, the access check of a filter |
//! | [`payload`] | what the modems and the gateway say to each other, in JSON or CBOR |
//! | [`session`] | the server's side of one connection, as a sans-IO machine |
//! | [`client`] | the client's side, cheap enough to drive thousands of modems |
//! | [`reason`] | reason codes of both versions |
//!
//! Section numbers in the docs are those of MQTT Version 5.0 (OASIS Standard,
//! 7 March 2019) unless they say 3.1.1.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
mod codec;
pub mod payload;
pub mod reason;
pub mod session;
pub mod topic;

pub use codec::{ContentType, Qos, Version};
pub use reason::{Reason, ReasonCode};
