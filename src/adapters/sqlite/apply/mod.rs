//! Carrying out one save's writes, in their order, inside the writer's transaction.
//!
//! Every statement is a trip to the connection's thread, so those that nothing is read
//! of wait in a script, and go together: before the first that is read of, and last.

mod aggregates;
mod billing;
mod outbox;
mod script;
mod suspense;
mod tariffs;

use futures_util::TryStreamExt;
use sqlx::Either;
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnection, SqliteQueryResult, SqliteRow};

use self::script::Script;
use super::error::{Refused, is_local};
use super::row::{Statement, statement};
use crate::adapters::columns::{json, signed};
use crate::adapters::usage_rows::PartCache;
use crate::ports::hot::LogNo;
use crate::ports::relational::Write;

/// Result of one write.
type Applied<T = ()> = Result<T, Refused>;

/// The writer's connection, inside a transaction.
pub(super) struct Apply<'c> {
    connection: &'c mut SqliteConnection,
    parts: &'c mut PartCache,
    script: Script,
}

impl<'c> Apply<'c> {
    /// `first` goes before everything.
    pub(super) fn new(connection: &'c mut SqliteConnection, parts: &'c mut PartCache, first: &[&'static str]) -> Self {
        let mut script = Script::default();
        first.iter().for_each(|sql| script.push(statement(sql), None));
        Self { connection, parts, script }
    }

    /// Stops at the first refused write; the caller takes back the others.
    pub(super) async fn all(mut self, writes: Vec<Write>) -> Applied {
        for write in writes {
            self.write(write).await?;
        }
        self.flush().await
    }

    async fn write(&mut self, write: Write) -> Applied {
        match write {
            Write::Order(order) => self.order(order).await,
            Write::Line(line) => self.line(line).await,
            Write::Device(device) => self.device(device).await,
            Write::Sessions(sessions) => self.sessions(&sessions).await,
            Write::Saga(saga, events) => self.saga(saga, &events).await,
            Write::Appointment(appointment) => self.appointment(appointment).await,
            Write::Call(call) => self.call(call).await,
            Write::WorkOrder(work_order) => self.work_order(work_order).await,
            Write::Worker(worker) => self.worker(&worker).await,
            Write::Slot(slot) => self.slot(&slot).await,
            Write::HoldSlot(id) => self.hold_slot(&id).await,
            Write::ReleaseSlot(id) => self.release_slot(&id).await,
            Write::SlotSearch(search) => self.slot_search(&search).await,
            Write::RemoveSlotSearch(id) => self.remove_slot_search(&id).await,
            Write::ForgetSlotSearches(before) => self.forget_slot_searches(before).await,
            Write::Idempotency(record) => self.idempotency(&record).await,
            Write::Happening(happening) => self.happening(&happening).await,
            Write::Message(message) => self.message(&message).await,
            Write::FanOutCursor(sequence) => self.cursor(FAN_OUT, sequence).await,
            Write::Delivery(id, delivery) => self.delivery(&id, &delivery).await,
            Write::Listener(listener) => self.listener(&listener).await,
            Write::RemoveListener(id) => self.remove_listener(&id).await,
            Write::Drain { log, after, position, records } => self.drain(log, after, position, &records).await,
            Write::Suspense(note) => self.suspense_note(&note).await,
            Write::Invoices { series, invoices } => self.invoices(&series, invoices).await,
            Write::Settlement(settlement) => {
                let upsert = statement(
                    "INSERT INTO settlements (cycle, body) VALUES ($1, $2)
                     ON CONFLICT (cycle) DO UPDATE SET body = excluded.body",
                );
                self.run(upsert.bind(settlement.cycle.to_string()).bind(json(&settlement)?)).await
            }
            Write::CloseRun(run) => self.close_run(run).await,
            Write::Tariff { revision, change } => self.tariff(revision, &change).await,
            Write::Meta(key, value) => {
                let upsert = statement(
                    "INSERT INTO meta (key, value) VALUES ($1, $2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                );
                self.run(upsert.bind(key).bind(value)).await
            }
        }
    }

    async fn cursor(&mut self, name: &'static str, position: u64) -> Applied {
        let upsert = statement(
            "INSERT INTO cursors (name, position) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        );
        self.run(upsert.bind(name).bind(signed(position))).await
    }

    /// Runs a write, now or with the next that is read of.
    async fn run(&mut self, statement: Statement) -> Applied {
        if Script::takes(&statement) {
            return self.put_off(statement, None).await;
        }
        self.execute(statement).await.map(|_| ())
    }

    /// Runs a write that has a guard: the save is refused when it changes no row.
    async fn guarded(&mut self, statement: Statement, kind: &str, id: &str) -> Applied {
        self.put_off(statement, Some(format!("{kind} {id}"))).await
    }

    async fn put_off(&mut self, statement: Statement, guard: Option<String>) -> Applied {
        if self.script.is_full() {
            self.flush().await?;
        }
        self.script.push(statement, guard);
        Ok(())
    }

    async fn execute(&mut self, statement: Statement) -> Applied<SqliteQueryResult> {
        self.flush().await?;
        Ok(statement.execute(&mut *self.connection).await?)
    }

    async fn fetch_one(&mut self, statement: Statement) -> Applied<SqliteRow> {
        self.flush().await?;
        Ok(statement.fetch_one(&mut *self.connection).await?)
    }

    async fn fetch_optional(&mut self, statement: Statement) -> Applied<Option<SqliteRow>> {
        self.flush().await?;
        Ok(statement.fetch_optional(&mut *self.connection).await?)
    }

    async fn fetch_all(&mut self, statement: Statement) -> Applied<Vec<SqliteRow>> {
        self.flush().await?;
        Ok(statement.fetch_all(&mut *self.connection).await?)
    }

    /// Runs what waits. The first guard that held refuses the save.
    async fn flush(&mut self) -> Applied {
        let Some((script, guards)) = self.script.take() else { return Ok(()) };
        let mut guards = guards.into_iter();
        let mut refused = None;
        let mut outcomes = self.connection.fetch_many(script.query());
        loop {
            match outcomes.try_next().await {
                Ok(Some(Either::Left(done))) => {
                    refused = refused.or(guards.next().flatten().filter(|_| done.rows_affected() == 0));
                }
                Ok(Some(Either::Right(_row))) => {}
                Ok(None) => break,
                // What follows on a refused write may fail because of that.
                Err(error) if refused.is_some() && is_local(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        refused.map_or(Ok(()), |what| Err(Refused::Conflict(what)))
    }
}

/// Rows of the table `cursors`.
pub(super) const FAN_OUT: &str = "fan-out";
/// The cursor of one log of the hot store.
pub(super) fn drain_cursor(log: LogNo) -> String {
    match log {
        0 => "drain".to_owned(),
        _ => format!("drain/{log}"),
    }
}

/// `head ($1, …), (…)` for a bulk insert of `rows` rows of `columns` values.
fn bulk(head: &str, columns: usize, rows: usize, tail: &str) -> String {
    let row = format!("({}),", vec!["?"; columns].join(","));
    let values = row.repeat(rows);
    format!("{head} VALUES {}{tail}", values.trim_end_matches(','))
}

/// The log that a cursor belongs to, where it is one of the hot store.
pub(in crate::adapters::sqlite) fn log_of_cursor(cursor: &str) -> Option<LogNo> {
    match cursor.strip_prefix("drain")? {
        "" => Some(0),
        numbered => numbered.strip_prefix('/')?.parse().ok(),
    }
}
