//! Tests over the library, without servers.
#![allow(clippy::unwrap_used, missing_docs)]

mod api;
mod delivery;
mod outbox;
mod sagas;
