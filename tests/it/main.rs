<<<<<<< HEAD
//! Tests that need more than one module: contract suites, crash points, real
//! servers. One binary, so that it links once.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod sagas;
mod support;
mod tidy;
=======
//! Integration tests that need the library only: one binary, no servers.

#![allow(clippy::unwrap_used, missing_docs)]

mod contract_relational;
>>>>>>> w-store
