//! Integration tests that need the library only: one binary, no servers.

#![allow(clippy::unwrap_used, missing_docs)]

mod contract_relational;
mod imports;
mod month_close;
