//! The relational store in memory, for tests and for a gateway that may forget.
//!
//! Owns the tables ([`State`]) behind one lock, and a transaction that keeps an
//! undo list, so that a refused save leaves nothing behind. Does **not** own
//! durability: everything is gone with the process.
//!
//! Invariant: same contract as every other backend (`tests/it/contract_relational.rs`).

mod reads;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::device::Device;
use crate::domain::fieldwork::WorkOrder;
use crate::domain::ids::{
    AccountId, AppointmentId, CallId, CertificateName, DeviceId, InvoiceId, LineId, ListenerId, MessageId, OrderId,
    PlanId, SagaId, SlotId, WorkOrderId, WorkerId,
};
use crate::domain::ledger::Posting;
use crate::domain::line::{Line, SessionState};
use crate::domain::notification::Happening;
use crate::domain::ordering::Order;
use crate::domain::scheduling::{Appointment, Call, Slot, SlotSearchRecord, Worker};
use crate::domain::settlement::Settlement;
use crate::domain::tariff::Tariff;
use crate::domain::usage::UsageRecord;
use crate::ports::hot::LogNo;
use crate::ports::relational::{
    CloseRun, IdempotencyRecord, Listener, OutboxEntry, Relational, StoreError, Stored, SuspenseNote, Write,
};
use crate::saga::record::{SagaEvent, SagaRecord};

/// A relational store that lives in this process only.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    failures: Mutex<VecDeque<StoreError>>,
}

impl MemoryStore {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next save fail with `error` and change nothing; several queue up.
    pub fn fail_next_save(&self, error: StoreError) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push_back(error);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Relational for MemoryStore {
    async fn save(&self, writes: Vec<Write>) -> Stored<()> {
        if let Some(error) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            return Err(error);
        }
        writes::apply(&mut self.state(), writes)
    }
}

/// Bill, line, plan and late cycle of a usage total.
type TotalKey = (CycleId, AccountId, LineId, PlanId, Option<CycleId>);

/// Octets, minor units, records.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    octets: i64,
    amount: i64,
    records: u64,
}

/// Every table; ordered maps, so that reads come in one order whatever the run.
#[derive(Debug, Default)]
struct State {
    orders: BTreeMap<OrderId, Order>,
    lines: BTreeMap<LineId, Line>,
    sessions: BTreeMap<LineId, SessionState>,
    devices: BTreeMap<DeviceId, Device>,
    certificate_names: BTreeMap<CertificateName, DeviceId>,
    sagas: BTreeMap<SagaId, SagaRecord>,
    saga_log: BTreeMap<(SagaId, u64), SagaEvent>,
    appointments: BTreeMap<AppointmentId, Appointment>,
    calls: BTreeMap<CallId, Call>,
    work_orders: BTreeMap<WorkOrderId, WorkOrder>,
    workers: BTreeMap<WorkerId, Worker>,
    slots: BTreeMap<SlotId, Slot>,
    slot_searches: BTreeMap<String, SlotSearchRecord>,
    idempotency: BTreeMap<String, IdempotencyRecord>,
    happenings: BTreeMap<u64, Happening>,
    outbox: BTreeMap<u64, OutboxEntry>,
    message_ids: BTreeMap<MessageId, u64>,
    once_keys: BTreeMap<String, u64>,
    listeners: BTreeMap<ListenerId, Listener>,
    usage: BTreeMap<u64, UsageRecord>,
    suspense: BTreeMap<(String, u32), u64>,
    suspense_log: BTreeMap<u64, SuspenseNote>,
    totals: BTreeMap<TotalKey, Total>,
    invoices: BTreeMap<InvoiceId, (Invoice, Vec<Posting>)>,
    billed: BTreeMap<(AccountId, CycleId), InvoiceId>,
    series: BTreeMap<String, u64>,
    settlements: BTreeMap<CycleId, Settlement>,
    close_runs: BTreeMap<CycleId, CloseRun>,
    cursors: BTreeMap<Cursor, u64>,
    tariffs: BTreeMap<u32, Tariff>,
    tariff_revision: u64,
    meta: BTreeMap<String, String>,
}

/// The store's own two cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cursor {
    Drain(LogNo),
    FanOut,
}
