//! Tests of what the crate shows to the outside.
#![allow(missing_docs, clippy::unwrap_used)]

mod asyncapi;
mod replay;
mod schema;
