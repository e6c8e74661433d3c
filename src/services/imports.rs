//! Bringing in files: the lines of an existing network, and charging files.
//!
//! Both are read on a thread of their own, a bounded number of rows ahead; a bad
//! row is reported with its number and reason and the others go in; both may be
//! run again after any crash. Does **not** own the format of charging files
//! (`linegate_cdr`) or rating.

pub mod lines;
mod usage;

use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::rating::request::ChargeAnswer;
use crate::domain::tariff::SharedTariff;
use crate::domain::time::Timestamp;
use crate::domain::usage::UsageRecord;
use crate::ports::Clock;
use crate::ports::intake::{AccountIntake, IntakeError, UsageIntake};
use crate::ports::relational::{Relational, StoreError};
use crate::services::devices::DeviceRegistry;

/// Limits of imports, and the layout of charging files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportSettings {
    /// Lines saved, and accounts opened, at a time, at least 1.
    pub batch_lines: usize,
    /// Since when imported lines are taken to have been in service, RFC 3339.
    /// Months before it are not billed. The default is long ago: the month of
    /// the import is billed whole.
    pub in_service_since: String,
    /// Rows of a lines file at most; the rest is refused.
    pub rows_max: u64,
    /// Longest row in bytes, header included.
    pub row_bytes_max: usize,
    /// Usage records on their way through charging at once, at least 1.
    pub outstanding_max: usize,
    /// Tries to hand a record over while charging is busy, at least 1.
    pub busy_attempts_max: u32,
    /// Pause between these tries, milliseconds.
    pub busy_pause_ms: u64,
    /// Bad rows that a report lists; the rest is only counted.
    pub listed_rows_max: usize,
    /// Bad rows of one charging file that are kept in suspense: a file in another layout
    /// has nothing but bad rows.
    pub suspended_rows_max: u64,
    /// Names of the columns of a charging file.
    pub usage_mapping: linegate_cdr::Mapping,
}

impl Default for ImportSettings {
    fn default() -> Self {
        Self {
            batch_lines: 2000,
            in_service_since: "2000-01-01T00:00:00Z".to_owned(),
            rows_max: 20_000_000,
            row_bytes_max: 65_536,
            outstanding_max: 1024,
            busy_attempts_max: 100,
            busy_pause_ms: 50,
            listed_rows_max: 1000,
            suspended_rows_max: 10_000,
            usage_mapping: linegate_cdr::Mapping::default(),
        }
    }
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRow {
    /// Its number among the data rows, from 1; the header has none.
    pub row: u64,
    /// Why.
    pub reason: String,
}

/// What came of a lines file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesReport {
    /// Data rows.
    pub rows: u64,
    /// Lines stored.
    pub imported: u64,
    /// Lines that were here already and say the same.
    pub existing: u64,
    /// Modems of these lines that were enrolled.
    pub enrolled: u64,
    /// Rows not taken, or whose modem could not be enrolled.
    pub bad: u64,
    /// The first of them.
    pub bad_rows: Vec<BadRow>,
}

/// What came of a charging file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// The file as it was called when it was taken.
    pub file: String,
    /// SHA-256 of the file, hex.
    pub digest: String,
    /// Data rows.
    pub rows: u64,
    /// Taken and accounted for: charged, or kept to compare where another source
    /// charges the line.
    pub rated: u64,
    /// Taken before; nothing moved.
    pub repeated: u64,
    /// In suspense, by reason; `bad-record` for bad rows.
    pub suspense: std::collections::BTreeMap<String, u64>,
    /// Rows not taken.
    pub bad: u64,
    /// The first of them.
    pub bad_rows: Vec<BadRow>,
    /// Whether the same file had been imported before: the rest is what was
    /// reported then, and nothing moved.
    #[serde(skip_deserializing)]
    pub already_imported: bool,
}

/// Why an import stopped. What was taken stays; importing again is safe.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The lines file has another header.
    #[error("read lines file: the header is `{found}`, expected `{expected}`")]
    Header {
        /// As it came.
        found: String,
        /// As it must be.
        expected: &'static str,
    },
    /// The source failed.
    #[error("read file {file}: {reason}")]
    Source {
        /// Which.
        file: String,
        /// What happened.
        reason: String,
    },
    /// A charging file that cannot be read as a whole.
    #[error("read charging file {file}")]
    UsageFile {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: linegate_cdr::FileError,
    },
    /// A corrected row that is none.
    #[error("read the corrected row: {reason}")]
    CorrectedRow {
        /// What is wrong.
        reason: String,
    },
    /// More rows than the limit.
    #[error("read lines file: more than {max} rows")]
    TooManyRows {
        /// The limit.
        max: u64,
    },
    /// A setting that cannot be used.
    #[error("imports.{key}: {reason}")]
    Setting {
        /// Which.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Charging did not take it.
    #[error(transparent)]
    Charging(#[from] IntakeError),
    /// The store could not read or save.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hears how many rows have been dealt with.
pub type ImportListener<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Imports files.
pub struct Imports {
    store: Arc<dyn Relational>,
    accounts: Arc<dyn AccountIntake>,
    usage: Arc<dyn UsageIntake>,
    devices: Arc<DeviceRegistry>,
    tariff: SharedTariff,
    clock: Arc<dyn Clock>,
    settings: ImportSettings,
    in_service_since: Timestamp,
}

impl Imports {
    /// Ready to import; fails on a setting that cannot be used.
    pub fn new(
        store: Arc<dyn Relational>,
        accounts: Arc<dyn AccountIntake>,
        usage: Arc<dyn UsageIntake>,
        devices: Arc<DeviceRegistry>,
        tariff: SharedTariff,
        clock: Arc<dyn Clock>,
        settings: ImportSettings,
    ) -> Result<Self, ImportError> {
        let in_service_since = Timestamp::parse(&settings.in_service_since)
            .map_err(|e| ImportError::Setting { key: "in_service_since", reason: e.to_string() })?;
        settings.usage_mapping.check().map_err(|reason| ImportError::Setting { key: "usage_mapping", reason })?;
        Ok(Self { store, accounts, usage, devices, tariff, clock, settings, in_service_since })
    }

    /// Imports a lines file: CSV with the header [`lines::HEADER`]. A line that is
    /// here already and says the same counts as existing; one that says something
    /// else is a bad row. An empty `apns` means the plan's own. A `device_id` that was
    /// never enrolled is, by the certificate of its own name.
    pub async fn import_lines(
        &self,
        source: Box<dyn Read + Send>,
        listener: ImportListener<'_>,
    ) -> Result<LinesReport, ImportError> {
        lines::import(self, source, listener).await
    }

    /// Imports a charging file, unless one with the same digest was imported to
    /// its end before. Records are charged by their own id where the file has
    /// one, so that a corrected file debits only what is new; without ids, by
    /// digest and row.
    pub async fn import_usage(
        &self,
        file: &str,
        digest: &str,
        source: Box<dyn Read + Send>,
        listener: ImportListener<'_>,
    ) -> Result<UsageReport, ImportError> {
        usage::import(self, file, digest, source, listener).await
    }

    /// Charges the corrected row of a record of suspense: `text` is a charging file of that
    /// one row. Under the row's own id where it has one, else under the record's key, so
    /// that it is counted once however often it is asked.
    pub async fn corrected_row(&self, record: &UsageRecord, text: &str) -> Result<ChargeAnswer, ImportError> {
        usage::corrected(self, record, text).await
    }
}

/// SHA-256 of everything that `source` gives, hex: the digest of a file.
pub fn digest_of(mut source: impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
