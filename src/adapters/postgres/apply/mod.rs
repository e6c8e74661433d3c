//! Carrying out one save's writes, in their order, inside the writer's transaction.
//!
//! Writes are taken by reference: after a deadlock the whole batch is tried again.

mod aggregates;
mod billing;
mod outbox;
mod suspense;
mod tariffs;

use sqlx::postgres::{PgConnection, PgQueryResult};

use super::claim::Claim;
use super::error::Refused;
use super::row::{Statement, statement, text};
use crate::adapters::columns::{json, signed};
use crate::adapters::usage_rows::PartCache;
use crate::ports::hot::LogNo;
use crate::ports::relational::Write;

/// Result of one write.
type Applied<T = ()> = Result<T, Refused>;

/// The writer's connection, inside a transaction.
pub(super) struct Apply<'c> {
    connection: &'c mut PgConnection,
    claim: &'c Claim,
    hot_log: &'c str,
    parts: &'c mut PartCache,
}

impl<'c> Apply<'c> {
    pub(super) fn new(
        connection: &'c mut PgConnection,
        claim: &'c Claim,
        hot_log: &'c str,
        parts: &'c mut PartCache,
    ) -> Self {
        Self { connection, claim, hot_log, parts }
    }

    /// Stops at the first refused write; the caller takes back the others.
    pub(super) async fn all(mut self, writes: &[Write]) -> Applied {
        for write in writes {
            self.write(write).await?;
        }
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Applied {
        match write {
            Write::Order(order) => self.order(order).await,
            Write::Line(line) => self.line(line).await,
            Write::Device(device) => self.device(device).await,
            Write::Sessions(sessions) => self.sessions(sessions).await,
            Write::Saga(saga, events) => self.saga(saga, events).await,
            Write::Appointment(appointment) => self.appointment(appointment).await,
            Write::Call(call) => self.call(call).await,
            Write::WorkOrder(work_order) => self.work_order(work_order).await,
            Write::Worker(worker) => self.worker(worker).await,
            Write::Slot(slot) => self.slot(slot).await,
            Write::HoldSlot(id) => self.hold_slot(id).await,
            Write::ReleaseSlot(id) => self.release_slot(id).await,
            Write::SlotSearch(search) => self.slot_search(search).await,
            Write::RemoveSlotSearch(id) => self.remove_slot_search(id).await,
            Write::ForgetSlotSearches(before) => self.forget_slot_searches(*before).await,
            Write::Idempotency(record) => self.idempotency(record).await,
            Write::Happening(happening) => self.happening(happening).await,
            Write::Message(message) => self.message(message).await,
            Write::FanOutCursor(sequence) => self.cursor(FAN_OUT, *sequence).await,
            Write::Delivery(id, delivery) => self.delivery(id, delivery).await,
            Write::Listener(listener) => self.listener(listener).await,
            Write::RemoveListener(id) => self.remove_listener(id).await,
            Write::Drain { log, after, position, records } => self.drain(*log, *after, *position, records).await,
            Write::Suspense(note) => self.suspense_note(note).await,
            Write::Invoices { series, invoices } => self.invoices(series, invoices).await,
            Write::Settlement(settlement) => {
                let upsert = statement(
                    "INSERT INTO settlements (cycle, body) VALUES ($1, $2)
                     ON CONFLICT (cycle) DO UPDATE SET body = excluded.body",
                );
                self.run(upsert.bind(settlement.cycle.to_string()).bind(json(settlement)?)).await
            }
            Write::CloseRun(run) => self.close_run(run).await,
            Write::Tariff { revision, change } => self.tariff(*revision, change).await,
            Write::Meta(key, value) => {
                let upsert = statement(
                    "INSERT INTO meta (key, value) VALUES ($1, $2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                );
                self.run(upsert.bind(text(key)).bind(text(value))).await
            }
        }
    }

    /// Never goes back: another gateway may be further by now.
    async fn cursor(&mut self, name: &'static str, position: u64) -> Applied {
        let upsert = statement(
            "INSERT INTO cursors (name, position) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET position = GREATEST(cursors.position, excluded.position)",
        );
        self.run(upsert.bind(name).bind(signed(position))).await
    }

    async fn run(&mut self, statement: Statement) -> Applied {
        self.execute(statement).await.map(|_| ())
    }

    /// Runs a write that has a guard: refused when it changed no row.
    async fn guarded(&mut self, statement: Statement, kind: &str, id: &str) -> Applied {
        match self.execute(statement).await?.rows_affected() {
            0 => Err(Refused::Conflict(format!("{kind} {id}"))),
            _ => Ok(()),
        }
    }

    async fn execute(&mut self, statement: Statement) -> Applied<PgQueryResult> {
        Ok(statement.execute(&mut *self.connection).await?)
    }
}

/// Rows of the table `cursors`: how far the fan-out has come, and how far each
/// gateway's hot log was drained.
pub(super) const FAN_OUT: &str = "fan-out";

/// The cursor of one log of a hot store.
pub(super) fn drain_cursor(hot_log: &str, log: LogNo) -> String {
    match log {
        0 => format!("drain/{hot_log}"),
        _ => format!("drain/{hot_log}/{log}"),
    }
}

/// The log that a cursor belongs to, where it is one of this hot store.
pub(in crate::adapters::postgres) fn log_of_cursor(hot_log: &str, cursor: &str) -> Option<LogNo> {
    match cursor.strip_prefix("drain/")?.strip_prefix(hot_log)? {
        "" => Some(0),
        numbered => numbered.strip_prefix('/')?.parse().ok(),
    }
}
