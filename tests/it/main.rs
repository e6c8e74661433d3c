//! Tests over the library, without servers.
#![allow(clippy::unwrap_used, missing_docs)]

mod sagas;
