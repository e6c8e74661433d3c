//! Charging files: usage records in CSV, with a mapping for other layouts.
//!
//! The reader streams: it holds one row at a time and reads from any
//! `std::io::Read` that it is given. A bad row is reported with its number and
//! its reason, and the rows behind it go on.
//!
//! A row is one line: a quoted field (RFC 4180) may hold delimiters and doubled
//! quotes, but no line end. So a quote that is never closed spoils one row and
//! not the rest of the file, and a row's size has a limit.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod asn1;
mod line;
mod mapping;
mod reader;
mod row;
mod times;

pub use mapping::{Columns, Mapping};
pub use reader::{FileError, Limits, Reader};
pub use row::{OCTETS_MAX, Row, RowError, RowErrorReason};
