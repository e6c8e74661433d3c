//! Pure values and functions: what Linegate means by a line, an order, a price,
//! a charge and an invoice.
//!
//! Nothing in here performs I/O, asks the time or holds a float. Times are
//! [`time::Timestamp`] arguments, ids come from the caller, money is an integer
//! in the currency's minor unit. `tests/it/tidy.rs` holds the line.

pub mod account;
pub mod activation;
pub mod billing;
pub mod compact;
pub mod cycle;
pub mod device;
pub mod fieldwork;
pub mod ids;
pub mod ledger;
pub mod line;
pub mod money;
pub mod network;
pub mod notification;
pub mod ordering;
pub mod rating;
pub mod request;
pub mod scheduling;
pub mod settlement;
pub mod tariff;
pub mod time;
pub mod usage;
