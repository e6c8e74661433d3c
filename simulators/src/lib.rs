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
//! | [`fleet`] | thousands of those in one process, quiet, talking or losing their links |
//! | [`roster`] | who the modems of a fleet are: names, tokens, certificates |
//! | [`chaos`] | connections that break the rules, and how each ended |
//! | [`transport`] | a client's stream, plain or in TLS |
//! | [`desk`] | the outbound-call desk and the field workers, over REST |
//! | [`sinks`] | a mail server, and an HTTP server for SMS and webhooks |
//! | [`load`] | load on every listener, with a summary in JSON |
//! | [`ledger`] | usage of known amounts that survives a crash of the gateway |
//! | [`lines`] | the lines that load and ledger speak for |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chaos;
pub mod clock;
pub mod desk;
pub mod element;
pub mod fleet;
pub mod ledger;
pub mod lines;
pub mod load;
pub mod modem;
mod open_files;
pub mod peer;
mod rest;
pub mod roster;
pub mod sinks;
pub mod transport;
mod wire;

pub use wire::Identity;
