//! The worker's task: a TMF697 work order.
//!
//! Owns its states and what a worker reports. Does **not** own the visit's time
//! ([`super::scheduling`]) or what follows for the order ([`super::ordering`]).
//!
//! Timestamps: `planned` is the agreed stretch, `started`/`ended` the worker's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{AppointmentId, CustomerId, LineId, OrderId, PlanId, WorkOrderId, WorkerId};
use super::line::Access;
use super::time::{Interval, Timestamp};

/// Where a work order stands, in TMF697's words (`returned` is `failed` there).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkOrderState {
    /// Assigned.
    Acknowledged,
    /// The worker is on it.
    InProgress,
    /// Done, with a result.
    Completed,
    /// 반송: the worker could not finish; TMF697 `failed`.
    Returned,
    /// Not needed any more.
    Cancelled,
}

impl WorkOrderState {
    /// As TMF697 writes it.
    pub const fn tmf(self) -> &'static str {
        match self {
            WorkOrderState::Acknowledged => "acknowledged",
            WorkOrderState::InProgress => "inProgress",
            WorkOrderState::Completed => "completed",
            WorkOrderState::Returned => "failed",
            WorkOrderState::Cancelled => "cancelled",
        }
    }

    /// Whether the worker may report `next` from here.
    pub const fn may_become(self, next: WorkOrderState) -> bool {
        use WorkOrderState::{Acknowledged, Cancelled, Completed, InProgress, Returned};
        matches!(
            (self, next),
            (Acknowledged, InProgress | Completed | Returned | Cancelled)
                | (InProgress, Completed | Returned | Cancelled)
        )
    }
}

/// What a worker measured and installed. What is said of the whole holds for each line
/// that says nothing of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkResult {
    /// Serial number of the installed equipment.
    pub serial_number: Option<String>,
    /// Signal at the outlet, tenths of a dBm.
    pub signal_ddbm: Option<i32>,
    /// Anything else.
    pub remark: Option<String>,
    /// What differs by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemResult>,
}

/// What was installed and measured for one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ItemResult {
    /// The line.
    pub line: LineId,
    /// Serial number of its equipment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Signal at its outlet, tenths of a dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_ddbm: Option<i32>,
}

/// A member of a result that can be required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResultMember {
    /// `serialNumber`
    SerialNumber,
    /// `signalDdbm`
    SignalDdbm,
}

impl ResultMember {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            ResultMember::SerialNumber => "serialNumber",
            ResultMember::SignalDdbm => "signalDdbm",
        }
    }
}

/// What a result has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRules {
    /// Members that each line of an access needs.
    pub required: BTreeMap<Access, Vec<ResultMember>>,
    /// A signal outside is a mistake in writing, tenths of a dBm; both ends are inside.
    pub signal_ddbm: std::ops::RangeInclusive<i32>,
}

/// What is wrong with a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResult {
    /// A line has not what its access needs.
    #[error("line {line}: a result needs {}", member.as_str())]
    Missing {
        /// Which.
        line: LineId,
        /// What.
        member: ResultMember,
    },
    /// No line of the work order.
    #[error("line {0} is not in the work order")]
    Stranger(LineId),
    /// A signal that cannot be.
    #[error("signalDdbm {signal}: expected tenths of a dBm from {} to {}", range.start(), range.end())]
    Signal {
        /// As it came.
        signal: i32,
        /// What can be.
        range: std::ops::RangeInclusive<i32>,
    },
}

impl WorkResult {
    /// Whether it says what is needed about every line.
    ///
    /// # Errors
    /// The first thing that is missing or cannot be.
    pub fn check(&self, items: &[WorkItem], rules: &ResultRules) -> Result<(), BadResult> {
        let own = |line: &LineId| self.items.iter().find(|item| item.line == *line);
        if let Some(other) = self.items.iter().find(|item| !items.iter().any(|known| known.line == item.line)) {
            return Err(BadResult::Stranger(other.line.clone()));
        }
        let signals = self.items.iter().map(|item| item.signal_ddbm).chain([self.signal_ddbm]).flatten();
        if let Some(signal) = signals.into_iter().find(|signal| !rules.signal_ddbm.contains(signal)) {
            return Err(BadResult::Signal { signal, range: rules.signal_ddbm.clone() });
        }
        for item in items {
            for &member in rules.required.get(&item.access).into_iter().flatten() {
                let is_said = match member {
                    ResultMember::SerialNumber => {
                        let serial = own(&item.line).and_then(|own| own.serial_number.as_ref());
                        serial.or(self.serial_number.as_ref()).is_some_and(|serial| !serial.trim().is_empty())
                    }
                    ResultMember::SignalDdbm => {
                        own(&item.line).and_then(|own| own.signal_ddbm).or(self.signal_ddbm).is_some()
                    }
                };
                if !is_said {
                    return Err(BadResult::Missing { line: item.line.clone(), member });
                }
            }
        }
        Ok(())
    }
}

/// What is to be brought into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The line.
    pub line: LineId,
    /// What it is.
    pub access: Access,
    /// Its plan.
    pub plan: PlanId,
}

/// Published reason codes of a return, Korean, English.
pub const RETURN_REASONS: [(&str, &str, &str); 7] = [
    ("no-access", "출입 불가", "The worker could not get in"),
    ("no-signal", "신호 불량", "There is no signal, or it is too weak"),
    ("customer-absent", "고객 부재", "Nobody was there"),
    ("customer-refused", "고객 거부", "The customer did not want it"),
    ("equipment-missing", "장비 부족", "Equipment was missing or broken"),
    ("address-wrong", "주소 오류", "The address is wrong"),
    ("other", "기타", "Something else; the note says what"),
];

/// What a worker reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkReport {
    /// Begun.
    Started,
    /// Finished.
    Completed(WorkResult),
    /// 반송: could not be finished.
    Returned {
        /// One of [`RETURN_REASONS`].
        reason: String,
        /// In the worker's own words.
        note: Option<String>,
        /// Whether the customer shall be called for another time; else the order fails
        /// and is undone.
        reschedule: bool,
    },
}

impl WorkReport {
    /// A return without a note.
    pub fn returned(reason: &str, reschedule: bool) -> Self {
        WorkReport::Returned { reason: reason.to_owned(), note: None, reschedule }
    }

    /// The state that it leads to.
    pub const fn leads_to(&self) -> WorkOrderState {
        match self {
            WorkReport::Started => WorkOrderState::InProgress,
            WorkReport::Completed(_) => WorkOrderState::Completed,
            WorkReport::Returned { .. } => WorkOrderState::Returned,
        }
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// Its id.
    pub id: WorkOrderId,
    /// The order behind it.
    pub order: OrderId,
    /// The visit it belongs to.
    pub appointment: AppointmentId,
    /// The lines to bring into use.
    pub lines: Vec<LineId>,
    /// What they are; empty in bodies of before it was kept.
    #[serde(default)]
    pub items: Vec<WorkItem>,
    /// Whom to visit.
    pub customer: CustomerId,
    /// Where.
    pub address: String,
    /// Whom to call.
    #[serde(default)]
    pub phone: Option<String>,
    /// Who goes.
    pub worker: WorkerId,
    /// When.
    pub planned: Interval,
    /// Where it stands.
    pub state: WorkOrderState,
    /// What was done, once completed.
    pub result: Option<WorkResult>,
    /// Reason code of a return, of [`RETURN_REASONS`].
    pub return_reason: Option<String>,
    /// The return in the worker's own words.
    #[serde(default)]
    pub return_note: Option<String>,
    /// When the worker began.
    pub started: Option<Timestamp>,
    /// When the worker ended.
    pub ended: Option<Timestamp>,
    /// Rises with every stored change.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: &str, expected: Result<(), &str>) {
        use ResultMember::{SerialNumber, SignalDdbm};
        let item = |line: &str, access| WorkItem { line: line.into(), access, plan: "p".into() };
        let items = [item("net", Access::Internet), item("tele", Access::Tv)];
        let required =
            BTreeMap::from([(Access::Internet, vec![SerialNumber, SignalDdbm]), (Access::Tv, vec![SerialNumber])]);
        let rules = ResultRules { required, signal_ddbm: -500..=100 };
        let result: WorkResult = serde_json::from_str(result).unwrap();
        let found = result.check(&items, &rules).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_result_says_what_each_line_needs() {
        check(r#"{"serialNumber": "S-1", "signalDdbm": -185}"#, Ok(()));
        check(
            r#"{"signalDdbm": -185, "items": [{"line": "net", "serialNumber": "A"}, {"line": "tele", "serialNumber": "B"}]}"#,
            Ok(()),
        );
        check(
            r#"{"items": [{"line": "net", "serialNumber": "A", "signalDdbm": -1}]}"#,
            Err("line tele: a result needs serialNumber"),
        );
        check(r#"{"serialNumber": "S-1"}"#, Err("line net: a result needs signalDdbm"));
        check(r#"{"serialNumber": " ", "signalDdbm": 1}"#, Err("line net: a result needs serialNumber"));
        check(
            r#"{"serialNumber": "S-1", "signalDdbm": -1850}"#,
            Err("signalDdbm -1850: expected tenths of a dBm from -500 to 100"),
        );
        check(r#"{"items": [{"line": "other"}]}"#, Err("line other is not in the work order"));
    }
}
