//! The worker's task: a TMF697 work order.
//!
//! Owns its states and what a worker reports. Does **not** own the visit's time
//! ([`super::scheduling`]) or what follows for the order ([`super::ordering`]).
//!
//! Timestamps: `planned` is the agreed stretch, `started`/`ended` the worker's own.

use serde::{Deserialize, Serialize};

use super::ids::{AppointmentId, CustomerId, LineId, OrderId, WorkOrderId, WorkerId};
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

/// What a worker measured and installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkResult {
    /// Serial number of the installed equipment.
    pub serial_number: Option<String>,
    /// Signal at the outlet, tenths of a dBm.
    pub signal_ddbm: Option<i32>,
    /// Anything else.
    pub remark: Option<String>,
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
    /// Whom to visit.
    pub customer: CustomerId,
    /// Where.
    pub address: String,
    /// Who goes.
    pub worker: WorkerId,
    /// When.
    pub planned: Interval,
    /// Where it stands.
    pub state: WorkOrderState,
    /// What was done, once completed.
    pub result: Option<WorkResult>,
    /// Reason code of a return: `no-access`, `no-signal`, `customer-absent`, `other`.
    pub return_reason: Option<String>,
    /// When the worker began.
    pub started: Option<Timestamp>,
    /// When the worker ended.
    pub ended: Option<Timestamp>,
    /// Rises with every stored change.
    pub version: u64,
}
