//! One usage record of a file, and why it may not be taken.

use crate::line::Fields;
use crate::mapping::{COLUMNS, Column};
use crate::times::Times;

/// Largest number of octets in one direction, and in both together.
pub const OCTETS_MAX: u64 = i64::MAX as u64;

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
    /// Octets to the device, 0 to 2^63-1; with those from it, at most 2^63-1.
    /// `None` where the file tells them together, in `octets_up`.
    pub octets_down: Option<u64>,
    /// The serving network: three digits of country, two or three of network, with or
    /// without `-` between them.
    pub network: Option<String>,
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read row {row_number}: {reason}")]
pub struct RowError {
    /// Number of the row among the data rows, from 1.
    pub row_number: u64,
    /// Why.
    pub reason: RowErrorReason,
    /// The row as it came, cut at 512 characters; empty where there is none.
    pub text: String,
    /// The record's own id, where that can be read.
    pub record_id: Option<String>,
    /// Its rating group, where that can be read.
    pub rating_group: Option<u32>,
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
    #[error("octets up and down together are over {OCTETS_MAX}")]
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
    /// A quote is not closed on its line, or something stands behind a closed one.
    #[error("quotes do not match up")]
    BadQuotes,
    /// The row is longer than the limit.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// The row is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The source failed; no row comes after this one.
    #[error("source failed: {0}")]
    Source(String),
}

/// Where the columns are in a row, and what the file calls them.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) places: [Option<usize>; COLUMNS],
    pub(crate) names: [String; COLUMNS],
    /// How many there are; 0 where no header says it.
    pub(crate) fields: usize,
    pub(crate) times: Times,
    pub(crate) octets_unit: u64,
}

impl Layout {
    /// Reads the fields of one row.
    pub(crate) fn read(&self, row_number: u64, fields: &Fields) -> Result<Row, RowErrorReason> {
        if self.fields != 0 && fields.len() != self.fields {
            return Err(RowErrorReason::FieldCount { found: fields.len(), expected: self.fields });
        }
        let imsi = self.digits(fields, Column::Imsi, 6, "6 to 15 digits")?;
        let msisdn = self.digits(fields, Column::Msisdn, 5, "5 to 15 digits")?;
        if imsi.is_none() && msisdn.is_none() {
            return Err(RowErrorReason::NoSubscriber);
        }
        let start_ms = self.time(fields, Column::Start)?;
        let end_ms = self.time(fields, Column::End)?;
        if end_ms < start_ms {
            return Err(RowErrorReason::EndBeforeStart);
        }
        let octets_up = self.octets(fields, Column::OctetsUp)?;
        let octets_down = match self.places[Column::OctetsDown as usize] {
            Some(_) => Some(self.octets(fields, Column::OctetsDown)?),
            None => None,
        };
        if octets_up + octets_down.unwrap_or(0) > OCTETS_MAX {
            return Err(RowErrorReason::OctetsOverflow);
        }
        Ok(Row {
            row_number,
            record_id: self.value(fields, Column::RecordId).map(str::to_owned),
            imsi,
            msisdn,
            apn: self.value(fields, Column::Apn).map(str::to_owned),
            rating_group: self.rating_group(fields)?,
            start_ms,
            end_ms,
            octets_up,
            octets_down,
            network: self.network(fields)?,
        })
    }

    /// Record id and rating group of a row that cannot be read whole.
    pub(crate) fn named(&self, fields: &Fields) -> (Option<String>, Option<u32>) {
        let record_id = self.value(fields, Column::RecordId).map(str::to_owned);
        (record_id, self.rating_group(fields).ok().flatten())
    }

    /// The column's value, `None` when it is empty or the file has none.
    fn value<'a>(&self, fields: &'a Fields, column: Column) -> Option<&'a str> {
        let value = fields.at(self.places[column as usize]?);
        (!value.is_empty()).then_some(value)
    }

    fn required<'a>(&self, fields: &'a Fields, column: Column) -> Result<&'a str, RowErrorReason> {
        self.value(fields, column).ok_or_else(|| RowErrorReason::Empty { column: self.names[column as usize].clone() })
    }

    fn digits(
        &self,
        fields: &Fields,
        column: Column,
        min: usize,
        expected: &'static str,
    ) -> Result<Option<String>, RowErrorReason> {
        let Some(value) = self.value(fields, column) else {
            return Ok(None);
        };
        let digits = match column {
            Column::Msisdn => value.strip_prefix('+').unwrap_or(value),
            _ => value,
        };
        if (min..=15).contains(&digits.len()) && is_digits(digits) {
            return Ok(Some(digits.to_owned()));
        }
        Err(self.bad(column, value, expected))
    }

    fn network(&self, fields: &Fields) -> Result<Option<String>, RowErrorReason> {
        let Some(value) = self.value(fields, Column::Network) else {
            return Ok(None);
        };
        let parts = value.split_at_checked(3).map(|(mcc, mnc)| (mcc, mnc.strip_prefix('-').unwrap_or(mnc)));
        match parts {
            Some((mcc, mnc)) if is_digits(mcc) && is_digits(mnc) && matches!(mnc.len(), 2 | 3) => {
                Ok(Some(value.to_owned()))
            }
            _ => Err(self.bad(Column::Network, value, "MCC and MNC, such as 45008 or 450-08")),
        }
    }

    fn rating_group(&self, fields: &Fields) -> Result<Option<u32>, RowErrorReason> {
        let column = Column::RatingGroup;
        let Some(value) = self.value(fields, column) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(group) if is_digits(value) => Ok(Some(group)),
            _ => Err(self.bad(column, value, "a whole number from 0 to 4294967295")),
        }
    }

    fn time(&self, fields: &Fields, column: Column) -> Result<i64, RowErrorReason> {
        let value = self.required(fields, column)?;
        self.times.read(value).ok_or_else(|| self.bad(column, value, self.times.expected()))
    }

    fn octets(&self, fields: &Fields, column: Column) -> Result<u64, RowErrorReason> {
        let value = self.required(fields, column)?;
        let units = value.parse::<u64>().ok().filter(|_| is_digits(value));
        match units.and_then(|units| units.checked_mul(self.octets_unit)) {
            Some(octets) if octets <= OCTETS_MAX => Ok(octets),
            _ => Err(self.bad(column, value, "a whole number from 0 to 9223372036854775807")),
        }
    }

    fn bad(&self, column: Column, value: &str, expected: &'static str) -> RowErrorReason {
        RowErrorReason::BadValue {
            column: self.names[column as usize].clone(),
            value: value.chars().take(64).collect(),
            expected,
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
