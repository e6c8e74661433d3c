//! The simulators over real sockets, against the protocol crates' other side.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod desk;
mod element;
mod fleet;
mod gateway;
mod load;
mod machine;
mod modem;
mod script;
mod sinks;
mod tls;
