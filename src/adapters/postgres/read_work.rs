//! Reads of scheduling and field work.

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::read_orders::{list_and_count, narrow};
use super::row::{body, id, small, statement, text, time};
use crate::adapters::columns::{DELETED, appointment_state, call_state, signed};
use crate::domain::fieldwork::WorkOrder;
use crate::domain::ids::{AppointmentId, CallId, SlotId, WorkOrderId, WorkerId};
use crate::domain::scheduling::{Appointment, Call, CallState, Slot, SlotSearchRecord, Worker};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{AppointmentFilter, Page, Paged, Stored, WorkFilter, WorkReads};

#[async_trait]
impl WorkReads for PostgresStore {
    async fn workers(&self) -> Stored<Vec<Worker>> {
        self.all("list workers", statement("SELECT body FROM workers ORDER BY id"), body).await
    }

    async fn slot(&self, id: &SlotId) -> Stored<Option<Slot>> {
        let query = statement("SELECT * FROM slots WHERE id = $1").bind(text(id.as_str()));
        self.one("read slot", query, slot).await
    }

    async fn free_slots(&self, from: Timestamp, until: Timestamp, limit: u64) -> Stored<Vec<Slot>> {
        let query = statement(
            "SELECT * FROM slots WHERE held < capacity AND starts >= $1 AND starts < $2 ORDER BY starts, id LIMIT $3",
        );
        self.all("list free slots", query.bind(from.millis()).bind(until.millis()).bind(signed(limit)), slot).await
    }

    async fn slots(&self, worker: Option<&WorkerId>, inside: Interval, limit: u64) -> Stored<Vec<Slot>> {
        let (from, until) = (inside.from.millis(), inside.until.millis());
        let query = match worker {
            Some(_) => statement(
                "SELECT * FROM slots WHERE worker = $4 AND starts >= $1 AND starts < $2 ORDER BY starts, id LIMIT $3",
            ),
            None => statement("SELECT * FROM slots WHERE starts >= $1 AND starts < $2 ORDER BY starts, id LIMIT $3"),
        };
        let query = query.bind(from).bind(until).bind(signed(limit));
        let query = match worker {
            Some(w) => query.bind(text(w.as_str())),
            None => query,
        };
        self.all("list slots", query, slot).await
    }

    async fn slot_search(&self, id: &str) -> Stored<Option<SlotSearchRecord>> {
        self.one_body("read search for slots", "SELECT body FROM slot_searches WHERE id = $1", id).await
    }

    async fn slot_searches(&self, page: Page) -> Stored<Paged<SlotSearchRecord>> {
        let [mut list, total] = list_and_count("body", "slot_searches");
        list.push(" ORDER BY created DESC, id DESC");
        self.paged("list searches for slots", list, total, page, body).await
    }

    async fn appointment(&self, id: &AppointmentId) -> Stored<Option<Appointment>> {
        self.one_body("read appointment", "SELECT body FROM appointments WHERE id = $1", id.as_str()).await
    }

    async fn appointments(&self, filter: &AppointmentFilter, page: Page) -> Stored<Paged<Appointment>> {
        let mut queries = list_and_count("body", "appointments");
        narrow(&mut queries, "order_id = ", filter.order.as_ref().map(|v| text(v.as_str())));
        narrow(&mut queries, "customer = ", filter.customer.as_ref().map(|v| text(v.as_str())));
        narrow(&mut queries, "worker = ", filter.worker.as_ref().map(|v| text(v.as_str())));
        narrow(&mut queries, "state = ", filter.state.map(appointment_state));
        narrow(&mut queries, "state <> ", Some(DELETED));
        let [mut list, total] = queries;
        list.push(" ORDER BY created DESC, id DESC");
        self.paged("list appointments", list, total, page, body).await
    }

    async fn call(&self, id: &CallId) -> Stored<Option<Call>> {
        self.one_body("read call", "SELECT body FROM calls WHERE id = $1", id.as_str()).await
    }

    async fn calls(&self, state: Option<CallState>, until: Timestamp, page: Page) -> Stored<Paged<Call>> {
        let mut queries = list_and_count("body", "calls");
        narrow(&mut queries, "state = ", state.map(call_state));
        narrow(&mut queries, "next_attempt <= ", Some(until.millis()));
        let [mut list, total] = queries;
        list.push(" ORDER BY next_attempt, id");
        self.paged("list calls", list, total, page, body).await
    }

    async fn work_order(&self, id: &WorkOrderId) -> Stored<Option<WorkOrder>> {
        self.one_body("read work order", "SELECT body FROM work_orders WHERE id = $1", id.as_str()).await
    }

    async fn work_orders(&self, filter: &WorkFilter, page: Page) -> Stored<Paged<WorkOrder>> {
        let mut queries = list_and_count("body", "work_orders");
        narrow(&mut queries, "worker = ", filter.worker.as_ref().map(|v| text(v.as_str())));
        narrow(&mut queries, "state = ", filter.state.map(|s| s.tmf()));
        narrow(&mut queries, "order_id = ", filter.order.as_ref().map(|v| text(v.as_str())));
        narrow(&mut queries, "planned >= ", filter.planned.map(|p| p.from.millis()));
        narrow(&mut queries, "planned < ", filter.planned.map(|p| p.until.millis()));
        let [mut list, total] = queries;
        list.push(" ORDER BY planned, id");
        self.paged("list work orders", list, total, page, body).await
    }
}

fn slot(row: &PgRow) -> Result<Slot, sqlx::Error> {
    Ok(Slot {
        id: id(row, "id")?,
        worker: id(row, "worker")?,
        span: Interval { from: time(row, "starts")?, until: time(row, "ends")? },
        capacity: small(row, "capacity")?,
        held: small(row, "held")?,
    })
}
