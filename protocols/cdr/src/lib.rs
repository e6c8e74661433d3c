//! Charging files: usage records in CSV, with a mapping for other layouts.
//!
//! The reader streams: it holds one row at a time and reads from any
//! `std::io::Read` that it is given. A bad row is reported with its number and
//! its reason, and the rows behind it go on.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod mapping;
mod reader;

pub use mapping::{Columns, Mapping};
pub use reader::{FileError, Limits, Reader, Row, RowError, RowErrorReason};
