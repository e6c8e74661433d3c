//! Integration tests that need the library only.
#![allow(clippy::unwrap_used, missing_docs)]

mod charging;
mod contract_hot;
