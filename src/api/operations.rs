//! What the API needs of services that it does not own: month close, imports,
//! the view of a charging account. The composition root names who does them.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::domain::account::AccountView as Balance;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, LineId};
use crate::domain::rating::request::ChargeAnswer;
use crate::domain::usage::UsageRecord;

/// Why an operation was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Can be read, cannot be done: a cycle that has not ended, a file without header (422).
    #[error("{reason}")]
    Refused {
        /// Stable, for programs: `cycle-not-ended`.
        code: &'static str,
        /// For people.
        reason: String,
    },
    /// Somebody else is at it (409).
    #[error("{reason}")]
    InProgress {
        /// For people.
        reason: String,
    },
    /// Worth another try (503).
    #[error("{reason}")]
    Unavailable {
        /// For people.
        reason: String,
    },
    /// A person must look (500).
    #[error("{reason}")]
    Broken {
        /// For people and the log.
        reason: String,
    },
}

/// Carries lines of a report to whoever asked, as newline-delimited JSON.
///
/// An operation never fails because nobody reads its report.
#[derive(Debug, Clone)]
pub struct Report {
    lines: mpsc::Sender<Value>,
}

impl Report {
    /// A report and its reading end, which holds up to `waiting_max` lines.
    pub fn channel(waiting_max: usize) -> (Self, mpsc::Receiver<Value>) {
        let (lines, reader) = mpsc::channel(waiting_max);
        (Self { lines }, reader)
    }

    /// A line that must not be lost, such as a bad row: waits for a slow reader.
    pub async fn line(&self, line: Value) {
        // A reader that has gone away does not stop the operation.
        let _ = self.lines.send(line).await;
    }

    /// A line that only shows how far it is: dropped when the reader is slow.
    pub fn progress(&self, line: Value) {
        let _ = self.lines.try_send(line);
    }
}

/// What is asked of a month close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseRequest {
    /// Which month.
    pub cycle: CycleId,
    /// Compute and show, store nothing.
    pub dry_run: bool,
    /// Also before the cycle has ended.
    pub early: bool,
}

/// Closes months.
#[async_trait]
pub trait MonthOperations: Send + Sync + 'static {
    /// Closes a month, or goes on with a close that was cut off; a second run
    /// changes nothing. Refuses before it says the first line of its report, and
    /// says that within the request's time limit.
    /// Returns the last line of the report.
    async fn close(&self, request: CloseRequest, report: &Report) -> Result<Value, OperationError>;
}

/// A body that has arrived whole, on disk.
#[derive(Debug)]
pub struct Upload {
    /// Where it is; removed when this is dropped.
    pub path: PathBuf,
    /// Its name as the sender gave it, for reports.
    pub name: String,
    /// SHA-256 of its content, hex: with the row, the key of records without an own id.
    pub digest: String,
    /// Octets.
    pub size: u64,
    /// Removes the file.
    pub(crate) _guard: tempfile::TempPath,
}

/// Takes files in.
#[async_trait]
pub trait Imports: Send + Sync + 'static {
    /// Takes a charging file in: a report line for each bad row
    /// (`{"row": 7, "reason": …}`), progress now and then; returns the totals
    /// `{"taken", "repeated", "suspense", "bad"}`. What it counts is durable.
    async fn usage_file(&self, file: &Upload, report: &Report) -> Result<Value, OperationError>;

    /// Charges the corrected row of a record that could not be read: `text` is a charging
    /// file of that one row. Under the row's own id where it has one, else under the record's key.
    async fn corrected_row(&self, record: &UsageRecord, text: &str) -> Result<ChargeAnswer, OperationError>;

    /// Takes lines of an existing network in; reports likewise, returns `{"taken", "existing", "enrolled", "bad"}`.
    async fn lines(&self, file: &Upload, report: &Report) -> Result<Value, OperationError>;
}

/// A charging account as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// The open cycle.
    pub cycle: Option<CycleId>,
    /// Octets of the open cycle.
    pub octets: u64,
    /// Their price, minor units.
    pub amount: i64,
    /// Octets left of the allowance, where the plan has one.
    pub allowance_left_octets: Option<u64>,
    /// Octets granted and not reported yet.
    pub reserved_octets: u64,
    /// Sessions open.
    pub sessions: u64,
    /// Whether no new quota is granted.
    pub grants_stopped: bool,
    /// Whatever else the account can show.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// Shows charging accounts.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// The account as it stands now.
    async fn account(&self, id: &AccountId) -> Result<Option<AccountView>, OperationError>;
}

/// What is left of lines, as charging counts it.
#[async_trait]
pub trait Balances: Send + Sync + 'static {
    /// The account with its lines as they stand now.
    async fn balance(&self, account: &AccountId) -> Result<Option<Balance>, OperationError>;

    /// Raises what is left of a line's open cycle by `octets`, once for each `id`;
    /// durable when it returns. The line's open sessions are asked to come back for
    /// more quota afterwards.
    async fn top_up(&self, account: &AccountId, line: &LineId, id: &str, octets: u64) -> Result<(), OperationError>;
}
