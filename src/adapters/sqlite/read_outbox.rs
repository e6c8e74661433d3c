//! Reads of events, outbox and listeners.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::apply::FAN_OUT;
use super::read_orders::{list_and_count, narrow};
use super::row::{body, count, id, statement, time};
use crate::adapters::columns::signed;
use crate::domain::ids::{MessageId, OrderId};
use crate::domain::time::Timestamp;
use crate::ports::relational::{
    DeliveryState, Listener, OutboxEntry, OutboxReads, Page, Paged, Stored, StreamedHappening,
};

#[async_trait]
impl OutboxReads for SqliteStore {
    async fn happenings_after(&self, sequence: u64, limit: u64) -> Stored<Vec<StreamedHappening>> {
        let query = statement("SELECT sequence, body FROM happenings WHERE sequence > $1 ORDER BY sequence LIMIT $2");
        self.all("read events", query.bind(signed(sequence)).bind(signed(limit)), streamed).await
    }

    async fn happenings_of_order(&self, order: &OrderId) -> Stored<Vec<StreamedHappening>> {
        let query = statement("SELECT sequence, body FROM happenings WHERE order_id = $1 ORDER BY sequence");
        self.all("read events of order", query.bind(order.as_str().to_owned()), streamed).await
    }

    async fn fan_out_cursor(&self) -> Stored<u64> {
        self.position(FAN_OUT).await
    }

    async fn due_messages(&self, now: Timestamp, limit: u64) -> Stored<Vec<OutboxEntry>> {
        let query = statement(
            "SELECT * FROM outbox WHERE head = 1 AND next_attempt <= $1 ORDER BY next_attempt, sequence LIMIT $2",
        );
        self.all("read due messages", query.bind(now.millis()).bind(signed(limit)), entry).await
    }

    async fn message(&self, id: &MessageId) -> Stored<Option<OutboxEntry>> {
        let query = statement("SELECT * FROM outbox WHERE id = $1").bind(id.as_str());
        self.one("read message", query, entry).await
    }

    async fn messages(&self, channel: Option<&str>, state: Option<&str>, page: Page) -> Stored<Paged<OutboxEntry>> {
        let mut queries = list_and_count("*", "outbox");
        narrow(&mut queries, "channel = ", channel);
        narrow(&mut queries, "state = ", state);
        let [mut list, total] = queries;
        list.push(" ORDER BY sequence DESC");
        self.paged("list messages", list, total, page, entry).await
    }

    async fn listeners(&self) -> Stored<Vec<Listener>> {
        self.all("list listeners", statement("SELECT * FROM listeners ORDER BY id"), |row| {
            Ok(Listener {
                id: id(row, "id")?,
                callback: row.try_get("callback")?,
                query: row.try_get("query")?,
                api: row.try_get("api")?,
                secret: row.try_get("secret")?,
            })
        })
        .await
    }
}

impl SqliteStore {
    /// A named cursor; 0 at first.
    pub(super) async fn position(&self, name: &'static str) -> Stored<u64> {
        let query = statement("SELECT position FROM cursors WHERE name = $1").bind(name);
        Ok(self.one("read cursor", query, |row| count(row, "position")).await?.unwrap_or(0))
    }
}

fn streamed(row: &SqliteRow) -> Result<StreamedHappening, sqlx::Error> {
    let sequence = count(row, "sequence")?;
    Ok(StreamedHappening { sequence, id: StreamedHappening::id_of(sequence), happening: body(row)? })
}

fn entry(row: &SqliteRow) -> Result<OutboxEntry, sqlx::Error> {
    let ended = || Ok::<_, sqlx::Error>(Timestamp(row.try_get::<Option<i64>, _>("ended")?.unwrap_or(0)));
    let delivery = match row.try_get("state")? {
        "sent" => DeliveryState::Sent { at: ended()? },
        "dead" => DeliveryState::Dead {
            at: ended()?,
            reason: row.try_get::<Option<String>, _>("reason")?.unwrap_or_default(),
        },
        _ => DeliveryState::Pending {
            attempts: row.try_get("attempts")?,
            next_attempt: time(row, "next_attempt")?,
            last_error: row.try_get("reason")?,
        },
    };
    Ok(OutboxEntry { message: body(row)?, delivery })
}
