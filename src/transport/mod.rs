//! Tokio loops that move bytes between sockets and protocol machines, feed them
//! `now`, carry out their commands and fire their timeouts. Result codes and
//! reason codes are chosen here and nowhere below.

pub mod diameter;
pub mod mailbox;
pub mod mqtt;
pub mod tls;
pub mod wire;
