//! Tests that need more than one module: contract suites, crash points, real
//! servers. One binary, so that it links once.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod contract_relational;
mod sagas;
mod support;
mod tidy;
