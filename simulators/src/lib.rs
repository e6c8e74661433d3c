//! Everything around the gateway, played over real sockets: network elements,
//! modems, the call desk and its workers, the mail and SMS servers, and load.
//!
//! Each is a library module with fault knobs that can be turned while it runs,
//! and with everything that it received and holds open to be read, so that a
//! test can compare both sides. The binary `linegate-sim` is a thin layer over
//! these modules.
//!
//! Owns no rule of the gateway: a simulator uses the protocol crates alone and
//! never imports the gateway.
//!
//! | module | plays |
//! |---|---|
//! | [`element`] | HSS front end, MME, PGW-C, OLT and television head end, over Diameter |
//! | [`modem`] | IoT modems, one or thousands, over MQTT 3.1.1 and 5 |
//! | [`desk`] | the outbound-call desk and the field workers, over REST |
//! | [`sinks`] | a mail server, and an HTTP server for SMS and webhooks |
//! | [`load`] | load on every listener, with a summary in JSON |
//! | [`ledger`] | usage of known amounts that survives a crash of the gateway |
//! | [`lines`] | the lines that load and ledger speak for |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
pub mod desk;
pub mod element;
pub mod ledger;
pub mod lines;
pub mod load;
pub mod modem;
pub mod peer;
mod rest;
pub mod sinks;
mod wire;

pub use wire::Identity;
