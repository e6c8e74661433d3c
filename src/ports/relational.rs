//! The relational store: orders, sagas, outbox, lines, devices, tariffs, work, rated
//! usage, invoices, ledger.
//!
//! A service loads what it needs, decides in the domain, and saves a list of
//! [`Write`]s. Guarantees:
//!
//! - [`Relational::save`] is all or nothing, and durable when it returns `Ok`.
//! - Aggregates carry the version they were loaded with (0 = new). A write is
//!   refused with [`StoreError::Conflict`] when the stored version is another;
//!   the stored version is then one higher. Load again and decide again.
//! - `Err` other than `Conflict` on `save` may or may not have been applied;
//!   repeating a guarded write is safe, because the first one moved the version.
//! - Reads see every save that returned before them.
//! - A store carries a format version and refuses to open a newer one.
//! - Where gateways share a store, what is due (sagas, messages) is given to one of
//!   them for a while. That saves work; versions and ids guard what is done twice.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::device::Device;
use crate::domain::fieldwork::{WorkOrder, WorkOrderState};
use crate::domain::ids::{
    AccountId, AppointmentId, CallId, CertificateName, CustomerId, DeviceId, InvoiceId, LineId, ListenerId, MessageId,
    OrderId, PlanId, SagaId, SlotId, WorkOrderId, WorkerId,
};
use crate::domain::ledger::Posting;
use crate::domain::line::{DeviceLine, Line, LineState, SessionState};
use crate::domain::notification::{Happening, Message};
use crate::domain::ordering::{Order, OrderState};
use crate::domain::scheduling::{Appointment, AppointmentState, Call, CallState, Slot, SlotSearchRecord, Worker};
use crate::domain::settlement::Settlement;
use crate::domain::tariff::Tariff;
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::{Identifier, RecordKey, Records, SuspenseReason, UsageRecord};
use crate::ports::hot::LogNo;
use crate::saga::record::{SagaEvent, SagaRecord};

/// One change; a [`Relational::save`] takes several as one transaction.
#[derive(Debug, Clone)]
pub enum Write {
    /// Inserts or updates, guarded by version.
    Order(Order),
    /// Inserts or updates, guarded by version.
    Line(Line),
    /// Inserts or updates, guarded by version; `Conflict` too when another device has
    /// its certificate name.
    Device(Device),
    /// Replaces what a line's device does now; not guarded, last one wins.
    Sessions(Vec<(LineId, SessionState)>),
    /// Inserts or updates a saga, guarded by version, and appends to its log.
    Saga(SagaRecord, Vec<SagaEvent>),
    /// Inserts or updates, guarded by version.
    Appointment(Appointment),
    /// Inserts or updates, guarded by version.
    Call(Call),
    /// Inserts or updates, guarded by version.
    WorkOrder(WorkOrder),
    /// Inserts or replaces.
    Worker(Worker),
    /// Inserts or replaces, keeping how many are held.
    Slot(Slot),
    /// Takes one place; `Conflict` when the slot is full or unknown.
    HoldSlot(SlotId),
    /// Gives one place back.
    ReleaseSlot(SlotId),
    /// Inserts or replaces.
    SlotSearch(SlotSearchRecord),
    /// Removes; nothing when it is not there.
    RemoveSlotSearch(String),
    /// Removes every search that was made before.
    ForgetSlotSearches(Timestamp),
    /// Remembers the first response of an idempotent request; `Conflict` when the key is taken.
    Idempotency(IdempotencyRecord),
    /// Appends to the stream of events.
    Happening(Happening),
    /// Puts a message into the outbox; dropped silently when its id or once-key is there already.
    Message(Message),
    /// Moves the fan-out cursor on: everything up to this sequence number has become messages.
    FanOutCursor(u64),
    /// What came of sending a message.
    Delivery(MessageId, DeliveryState),
    /// Inserts or replaces.
    Listener(Listener),
    /// Removes; nothing when it is not there.
    RemoveListener(ListenerId),
    /// Appends drained usage, and an event for each threshold that it crossed, and
    /// moves a log's drain cursor from `after` to `position`. Nothing where the cursor is
    /// there already (the drain was repeated); a conflict where it is anywhere else:
    /// another gateway drains the log, too.
    Drain {
        /// Which of the hot store's logs.
        log: LogNo,
        /// The cursor that the records were read after.
        after: u64,
        /// Hot-log position up to which everything is in this store, inclusive.
        position: u64,
        /// What the log held. Rated and reconciled ones are appended, and turn what is in
        /// suspense under their key and rating group to recycled. Suspense is unique by
        /// key and rating group: while it is open, an account's judgement
        /// ([`UsageRecord::is_judged`]) replaces what it was before.
        records: Records,
    },
    /// Notes what was done about a record of suspense, and moves it; `Conflict` when a
    /// move finds it not open, or open for another reason than the move expects.
    Suspense(SuspenseNote),
    /// Finalises invoices: gives each that is new (by account and cycle) the next number
    /// of `series` and stores it with its postings; the others are left as they are.
    Invoices {
        /// Number series, such as `2026`.
        series: String,
        /// Invoices without number, with their ledger postings.
        invoices: Vec<(Invoice, Vec<Posting>)>,
    },
    /// Inserts or replaces the settlement of its cycle.
    Settlement(Settlement),
    /// Inserts or updates the state of a month close, guarded by version.
    CloseRun(CloseRun),
    /// Changes the versions of the tariff that are kept here; `Conflict` where they are
    /// not at `revision` any more. The revision is one higher afterwards.
    Tariff {
        /// As [`StoredTariffs`] had it, on which the change was decided.
        revision: u64,
        /// The change.
        change: TariffChange,
    },
    /// Sets a small named value, such as the Origin-State-Id.
    Meta(String, String),
}

/// A change of the tariff's versions.
#[derive(Debug, Clone)]
pub enum TariffChange {
    /// Inserts or replaces the version of its number.
    Put(Tariff),
    /// Removes; nothing when it is not there.
    Withdraw(u32),
}

/// Why the store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else was there first: load again and decide again.
    #[error("save {what}: changed by somebody else meanwhile")]
    Conflict {
        /// Kind and id.
        what: String,
    },
    /// Worth another try.
    #[error("{operation}: {reason}")]
    Transient {
        /// What was done.
        operation: &'static str,
        /// What happened.
        reason: String,
    },
    /// Will not get better by itself: full disk, corrupt file, newer format.
    #[error("{operation}: {reason}")]
    Broken {
        /// What was done.
        operation: &'static str,
        /// What happened.
        reason: String,
    },
}

impl StoreError {
    /// Whether another try may help without loading again.
    pub const fn is_transient(&self) -> bool {
        matches!(self, StoreError::Transient { .. })
    }
}

/// Result of every call to the store.
pub type Stored<T> = Result<T, StoreError>;

/// The first response to an idempotent request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// `key/<Idempotency-Key>` or `external/<externalId>`.
    pub key: String,
    /// SHA-256 of the canonical body, hex.
    pub fingerprint: String,
    /// The order that the request made.
    pub order: OrderId,
    /// The response body as it was first given.
    pub response: Value,
    /// When.
    pub created: Timestamp,
}

/// A `/hub` registration (TMF688).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its id.
    pub id: ListenerId,
    /// Where to post.
    pub callback: String,
    /// Event filter as registered: `eventType=ServiceOrderStateChangeEvent`, empty for all.
    pub query: String,
    /// The API it was registered at, such as `serviceOrdering`.
    pub api: String,
    /// Signing secret.
    pub secret: String,
}

/// The versions of the tariff that a store keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredTariffs {
    /// How often they have changed.
    pub revision: u64,
    /// By number.
    pub versions: Vec<Tariff>,
}

/// How far a message of the outbox has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waits for its turn.
    Pending {
        /// Tries so far.
        attempts: u32,
        /// Not before.
        next_attempt: Timestamp,
        /// What the last try said.
        last_error: Option<String>,
    },
    /// Handed over.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// Given up; visible and replayable.
    Dead {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl DeliveryState {
    /// For metrics, filters and stores.
    pub const fn as_str(&self) -> &'static str {
        match self {
            DeliveryState::Pending { .. } => "pending",
            DeliveryState::Sent { .. } => "sent",
            DeliveryState::Dead { .. } => "dead",
        }
    }
}

/// An outbox message with its delivery state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The message.
    pub message: Message,
    /// Its state.
    pub delivery: DeliveryState,
}

/// A happening with its place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedHappening {
    /// Rising by one.
    pub sequence: u64,
    /// Stable id for listeners.
    pub id: String,
    /// What happened.
    pub happening: Happening,
}

impl StreamedHappening {
    /// The id of the happening at that place: the same in every store and on every read.
    pub fn id_of(sequence: u64) -> String {
        format!("evt-{sequence}")
    }
}

/// How far a month close has come; each step is idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseState {
    /// Buckets are being moved from open to closing.
    Closing,
    /// Waiting until the drain has passed the marker.
    Draining,
    /// Making invoices.
    Billing,
    /// Totals are made.
    Settling,
    /// Documents are in the outbox; done.
    Done,
}

/// One month close.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CloseRun {
    /// Which month.
    pub cycle: CycleId,
    /// How far.
    pub state: CloseState,
    /// Hot-log position that the drain has to reach.
    pub marker: Option<u64>,
    /// Last account billed, in ascending order of account id.
    pub billed_through: Option<AccountId>,
    /// Accounts in the month.
    pub accounts: u64,
    /// Invoices made.
    pub invoices: u64,
    /// When it began.
    pub started: Timestamp,
    /// When it was done.
    pub finished: Option<Timestamp>,
    /// Guards concurrent writers.
    pub version: u64,
}

/// Rated usage of one account and bill, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageTotal {
    /// The account.
    pub account: AccountId,
    /// The line.
    pub line: LineId,
    /// The plan that priced it.
    pub plan: PlanId,
    /// The cycle of late usage.
    pub late_for: Option<CycleId>,
    /// Octets.
    pub octets: u64,
    /// Minor units.
    pub amount: i64,
    /// Records.
    pub records: u64,
}

/// A record of usage with its place in the order in which records were drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUsage {
    /// Its place: rises, with gaps, and stays the same for all time.
    pub sequence: u64,
    /// The record.
    pub record: UsageRecord,
}

impl std::ops::Deref for StoredUsage {
    type Target = UsageRecord;

    fn deref(&self) -> &UsageRecord {
        &self.record
    }
}

/// What a person, or recycling, did about a record of suspense. Kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspenseNote {
    /// The record's key.
    pub key: RecordKey,
    /// Its rating group.
    pub rating_group: u32,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What was done.
    pub verb: SuspenseVerb,
    /// Why, or what came of it.
    pub note: String,
}

/// What was done about a record of suspense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspenseVerb {
    /// Put back into charging; the record moves when what came of it is drained.
    Recycled,
    /// Found counted already: an open record turns to recycled.
    CountedBefore(SuspenseReason),
    /// Given up: an open record turns to dropped.
    Dropped(SuspenseReason),
}

impl SuspenseVerb {
    /// For REST and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            SuspenseVerb::Recycled => "recycled",
            SuspenseVerb::CountedBefore(_) => "counted-before",
            SuspenseVerb::Dropped(_) => "dropped",
        }
    }
}

/// A record that is, or was, in suspense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspenseCase {
    /// The record; its outcome says whether it still is.
    pub record: UsageRecord,
    /// What was done about it, oldest first: when, who, verb, note.
    pub history: Vec<(Timestamp, String, String, String)>,
}

/// The open records of suspense with one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuspenseAge {
    /// The reason.
    pub reason: SuspenseReason,
    /// How many.
    pub records: u64,
    /// When the one that came first was taken.
    pub oldest: Timestamp,
}

/// A window on a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Rows passed over.
    pub offset: u64,
    /// Rows at most.
    pub limit: u64,
}

/// A window with the size of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Rows without the window.
    pub total: u64,
}

/// Which orders; empty fields do not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// In this state.
    pub state: Option<OrderState>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// With this external id.
    pub external_id: Option<String>,
    /// Touching this line.
    pub line: Option<LineId>,
}

/// Which lines; empty fields do not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineFilter {
    /// In this actual state.
    pub state: Option<LineState>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Billed with this account.
    pub account: Option<AccountId>,
    /// With this IMSI.
    pub imsi: Option<String>,
    /// With this MSISDN.
    pub msisdn: Option<String>,
    /// With this device.
    pub device: Option<DeviceId>,
}

/// Which appointments; empty fields do not filter. Deleted ones are in no list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppointmentFilter {
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// With this worker.
    pub worker: Option<WorkerId>,
    /// In this state.
    pub state: Option<AppointmentState>,
}

impl AppointmentFilter {
    /// Those of an order.
    pub fn of_order(order: &OrderId) -> Self {
        Self { order: Some(order.clone()), ..Self::default() }
    }
}

/// Which work orders; empty fields do not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkFilter {
    /// Of this worker.
    pub worker: Option<WorkerId>,
    /// In this state.
    pub state: Option<WorkOrderState>,
    /// Of this order.
    pub order: Option<OrderId>,
    /// Planned to start inside.
    pub planned: Option<Interval>,
}

impl WorkFilter {
    /// Those of an order.
    pub fn of_order(order: &OrderId) -> Self {
        Self { order: Some(order.clone()), ..Self::default() }
    }
}

/// Which usage; empty fields do not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Of this line.
    pub line: Option<LineId>,
    /// Of this account.
    pub account: Option<AccountId>,
    /// Billed in this cycle.
    pub cycle: Option<CycleId>,
    /// `rated`, `reconciled`, a reason of suspense, `recycled` or `dropped`; `suspense` for
    /// every reason that is open, `rejected` for these and what was dropped.
    pub outcome: Option<String>,
    /// Of this subscriber, as suspense names it.
    pub subscriber: Option<Identifier>,
    /// From this source.
    pub source: Option<crate::domain::usage::UsageSource>,
}

/// Orders and sagas.
#[async_trait]
pub trait OrderReads: Send + Sync {
    /// One order.
    async fn order(&self, id: &OrderId) -> Stored<Option<Order>>;
    /// Orders, newest first.
    async fn orders(&self, filter: &OrderFilter, page: Page) -> Stored<Paged<Order>>;
    /// How many orders are in each state.
    async fn order_counts(&self) -> Stored<Vec<(OrderState, u64)>>;
    /// The stored first response.
    async fn idempotency(&self, key: &str) -> Stored<Option<IdempotencyRecord>>;
    /// One saga.
    async fn saga(&self, id: &SagaId) -> Stored<Option<SagaRecord>>;
    /// A saga's log, oldest first.
    async fn saga_log(&self, id: &SagaId) -> Stored<Vec<SagaEvent>>;
    /// Sagas to run: not final, not stuck, `wake_at` ≤ `now`; by priority, then age.
    async fn due_sagas(&self, now: Timestamp, limit: u64) -> Stored<Vec<SagaRecord>>;
    /// The earliest `wake_at` of sagas that are neither final nor stuck, nor another gateway's.
    async fn next_wake(&self) -> Stored<Option<Timestamp>>;
    /// Sagas that wait for a person, oldest first.
    async fn stuck_sagas(&self, page: Page) -> Stored<Paged<SagaRecord>>;
}

/// Lines.
#[async_trait]
pub trait LineReads: Send + Sync {
    /// One line.
    async fn line(&self, id: &LineId) -> Stored<Option<Line>>;
    /// For each device the line that has it now, which is not terminated, else the
    /// one that had it last; of several the newest. With what the device does now.
    async fn lines_of_devices(&self, devices: &[DeviceId]) -> Stored<Vec<(DeviceLine, SessionState)>>;
    /// The line that has the IMSI now: not terminated, newest first.
    async fn line_of_imsi(&self, imsi: &str) -> Stored<Option<Line>>;
    /// Every line, ended ones too, that has or had one of these last: IMSI, MSISDN, device.
    async fn lines_named(
        &self,
        imsi: Option<&str>,
        msisdn: Option<&str>,
        device: Option<&DeviceId>,
    ) -> Stored<Vec<Line>>;
    /// Lines by id.
    async fn lines(&self, filter: &LineFilter, page: Page) -> Stored<Paged<Line>>;
    /// Lines of accounts with `account` > `after`, whole accounts only, ascending by account;
    /// at least one account where there is one, `limit` lines or a few more.
    async fn lines_by_account(&self, after: Option<&AccountId>, limit: u64) -> Stored<Vec<Line>>;
    /// What a line's device does now.
    async fn session(&self, id: &LineId) -> Stored<SessionState>;
    /// The same of many lines; those of which nothing was ever heard are left out.
    async fn sessions(&self, ids: &[LineId]) -> Stored<Vec<(LineId, SessionState)>>;
    /// Devices of lines that have not ended whose desired version is above the one
    /// that they reported last, above `after`, by id.
    async fn devices_behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>>;
    /// Devices that are online at `gateway` by their session state, above `after`, by id.
    async fn devices_online(&self, gateway: &str, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>>;
}

/// Modems that are enrolled, or were.
#[async_trait]
pub trait DeviceReads: Send + Sync {
    /// Those of `ids` that are known, by id.
    async fn devices(&self, ids: &[DeviceId]) -> Stored<Vec<Device>>;
    /// The devices that have one of these certificate names, by id.
    async fn devices_of_certificates(&self, names: &[CertificateName]) -> Stored<Vec<Device>>;
    /// Every device by id.
    async fn device_list(&self, page: Page) -> Stored<Paged<Device>>;
}

/// Scheduling and field work.
#[async_trait]
pub trait WorkReads: Send + Sync {
    /// Workers by id.
    async fn workers(&self) -> Stored<Vec<Worker>>;
    /// One slot.
    async fn slot(&self, id: &SlotId) -> Stored<Option<Slot>>;
    /// Slots with a free place that start inside `[from, until)`, earliest first.
    async fn free_slots(&self, from: Timestamp, until: Timestamp, limit: u64) -> Stored<Vec<Slot>>;
    /// Slots, free or not, that start inside, earliest first; of one worker when given.
    async fn slots(&self, worker: Option<&WorkerId>, inside: Interval, limit: u64) -> Stored<Vec<Slot>>;
    /// One search for free time.
    async fn slot_search(&self, id: &str) -> Stored<Option<SlotSearchRecord>>;
    /// Searches for free time, newest first.
    async fn slot_searches(&self, page: Page) -> Stored<Paged<SlotSearchRecord>>;
    /// One appointment.
    async fn appointment(&self, id: &AppointmentId) -> Stored<Option<Appointment>>;
    /// Appointments, newest first.
    async fn appointments(&self, filter: &AppointmentFilter, page: Page) -> Stored<Paged<Appointment>>;
    /// One call.
    async fn call(&self, id: &CallId) -> Stored<Option<Call>>;
    /// Calls in a state with `next_attempt` ≤ `until`, earliest first.
    async fn calls(&self, state: Option<CallState>, until: Timestamp, page: Page) -> Stored<Paged<Call>>;
    /// One work order.
    async fn work_order(&self, id: &WorkOrderId) -> Stored<Option<WorkOrder>>;
    /// Work orders by planned start.
    async fn work_orders(&self, filter: &WorkFilter, page: Page) -> Stored<Paged<WorkOrder>>;
}

/// Events, outbox, listeners.
#[async_trait]
pub trait OutboxReads: Send + Sync {
    /// Everything after a place in the stream, oldest first. Once one was seen, none
    /// before it appears any more.
    async fn happenings_after(&self, sequence: u64, limit: u64) -> Stored<Vec<StreamedHappening>>;
    /// What happened to an order, oldest first.
    async fn happenings_of_order(&self, order: &OrderId) -> Stored<Vec<StreamedHappening>>;
    /// How far the fan-out has come.
    async fn fan_out_cursor(&self) -> Stored<u64>;
    /// Messages to send: pending, due, and the oldest pending of their stream and recipient.
    async fn due_messages(&self, now: Timestamp, limit: u64) -> Stored<Vec<OutboxEntry>>;
    /// One message with its state.
    async fn message(&self, id: &MessageId) -> Stored<Option<OutboxEntry>>;
    /// Messages by channel and state (`pending`, `sent`, `dead`), newest first.
    async fn messages(&self, channel: Option<&str>, state: Option<&str>, page: Page) -> Stored<Paged<OutboxEntry>>;
    /// Every listener.
    async fn listeners(&self) -> Stored<Vec<Listener>>;
}

/// Usage, bills, settlement.
#[async_trait]
pub trait BillingReads: Send + Sync {
    /// For each log of the hot store the position up to which its usage is in this store,
    /// inclusive; a log of which nothing was drained is left out.
    async fn drain_cursors(&self) -> Stored<BTreeMap<LogNo, u64>>;
    /// The furthest of them; 0 at first.
    async fn drain_cursor(&self) -> Stored<u64> {
        Ok(self.drain_cursors().await?.into_values().max().unwrap_or(0))
    }
    /// Usage records, newest first.
    async fn usage(&self, filter: &UsageFilter, page: Page) -> Stored<Paged<StoredUsage>>;
    /// Usage records behind a place in the order in which they were drained (0 for the
    /// first), oldest first.
    async fn usage_after(&self, filter: &UsageFilter, after: u64, limit: u64) -> Stored<Vec<StoredUsage>>;
    /// The record at a place.
    async fn usage_at(&self, sequence: u64) -> Stored<Option<StoredUsage>>;
    /// The record of suspense, open or not, whose key has this text.
    async fn suspense_case(&self, key: &str, rating_group: u32) -> Stored<Option<SuspenseCase>>;
    /// What was recycled under the keys and rating groups of these records.
    async fn recycled(&self, counted: &[StoredUsage]) -> Stored<Vec<StoredUsage>>;
    /// What is open in suspense, by reason; reasons without any are left out.
    async fn suspense_ages(&self) -> Stored<Vec<SuspenseAge>>;
    /// Rated usage of a cycle's bills, summed, for accounts in `[from, to]`, ascending by account.
    async fn usage_totals(&self, cycle: CycleId, from: &AccountId, to: &AccountId) -> Stored<Vec<UsageTotal>>;
    /// One invoice.
    async fn invoice(&self, id: &InvoiceId) -> Stored<Option<Invoice>>;
    /// Invoices by number.
    async fn invoices(
        &self,
        cycle: Option<CycleId>,
        customer: Option<&CustomerId>,
        page: Page,
    ) -> Stored<Paged<Invoice>>;
    /// Sum of ledger postings over every invoice of a cycle, by side and unit.
    async fn ledger_totals(&self, cycle: CycleId) -> Stored<Vec<Posting>>;
    /// One settlement.
    async fn settlement(&self, cycle: CycleId) -> Stored<Option<Settlement>>;
    /// One month close.
    async fn close_run(&self, cycle: CycleId) -> Stored<Option<CloseRun>>;
    /// The newest month whose close has got past [`CloseState::Closing`].
    async fn newest_closed(&self) -> Stored<Option<CycleId>>;
    /// A small named value.
    async fn meta(&self, key: &str) -> Stored<Option<String>>;
}

/// Versions of the tariff.
#[async_trait]
pub trait TariffReads: Send + Sync {
    /// How often they have changed: cheap, for whoever looks often.
    async fn tariff_revision(&self) -> Stored<u64>;
    /// All of them.
    async fn tariffs(&self) -> Stored<StoredTariffs>;
}

/// The whole port.
#[async_trait]
pub trait Relational:
    OrderReads + LineReads + DeviceReads + WorkReads + OutboxReads + BillingReads + TariffReads + 'static
{
    /// Carries out every write, or none.
    async fn save(&self, writes: Vec<Write>) -> Stored<()>;
}

/// What takes over what was charged: the part of a relational store that the drain uses.
#[async_trait]
pub trait UsageSink: Send + Sync + 'static {
    /// For each log of the hot store how far it was taken, as [`BillingReads::drain_cursors`].
    async fn taken_through(&self) -> Stored<BTreeMap<LogNo, u64>>;
    /// Carries out [`Write::Drain`]s: every one, or none.
    async fn take(&self, drained: Vec<Write>) -> Stored<()>;
}

#[async_trait]
impl<S: Relational + ?Sized> UsageSink for S {
    async fn taken_through(&self) -> Stored<BTreeMap<LogNo, u64>> {
        self.drain_cursors().await
    }

    async fn take(&self, drained: Vec<Write>) -> Stored<()> {
        self.save(drained).await
    }
}
