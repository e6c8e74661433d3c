//! Reads of orders and sagas.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::SqliteStore;
use super::row::{Statement, body, count, id, statement, time};
use crate::adapters::columns::{from_json, signed, unsigned};
use crate::domain::ids::{OrderId, SagaId};
use crate::domain::ordering::{Order, OrderState};
use crate::domain::time::Timestamp;
use crate::ports::relational::{IdempotencyRecord, OrderFilter, OrderReads, Page, Paged, Stored};
use crate::saga::record::{SagaEvent, SagaRecord};

type Read<T> = Result<T, sqlx::Error>;

/// The shapes that every read has.
impl SqliteStore {
    /// At most one row.
    pub(super) async fn one<T>(
        &self,
        operation: &'static str,
        query: Statement,
        map: impl Fn(&SqliteRow) -> Read<T>,
    ) -> Stored<Option<T>> {
        let found = query.fetch_optional(&self.reads).await;
        found.and_then(|row| row.as_ref().map(map).transpose()).map_err(|e| self.faults.explain(operation, &e))
    }

    /// Every row.
    pub(super) async fn all<T>(
        &self,
        operation: &'static str,
        query: Statement,
        map: impl Fn(&SqliteRow) -> Read<T>,
    ) -> Stored<Vec<T>> {
        let found = query.fetch_all(&self.reads).await;
        found.and_then(|rows| rows.iter().map(map).collect()).map_err(|e| self.faults.explain(operation, &e))
    }

    /// `body` of at most one row.
    pub(super) async fn one_body<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        sql: &'static str,
        key: &str,
    ) -> Stored<Option<T>> {
        self.one(operation, statement(sql).bind(key.to_owned()), body).await
    }

    /// A window on `list`, with the size that `total` counts as its only column.
    pub(super) async fn paged<T>(
        &self,
        operation: &'static str,
        mut list: QueryBuilder<Sqlite>,
        mut total: QueryBuilder<Sqlite>,
        page: Page,
        map: impl Fn(&SqliteRow) -> Read<T>,
    ) -> Stored<Paged<T>> {
        list.push(" LIMIT ").push_bind(signed(page.limit)).push(" OFFSET ").push_bind(signed(page.offset));
        let read = async {
            let size: i64 = total.build().fetch_one(&self.reads).await?.try_get(0)?;
            let rows = list.build().fetch_all(&self.reads).await?;
            let items = rows.iter().map(map).collect::<Read<Vec<T>>>()?;
            Ok(Paged { items, total: unsigned(size) })
        };
        read.await.map_err(|e: sqlx::Error| self.faults.explain(operation, &e))
    }
}

/// `SELECT … FROM table WHERE 1` to be narrowed by [`narrow`], as list and as count.
pub(super) fn list_and_count(columns: &str, table: &str) -> [QueryBuilder<Sqlite>; 2] {
    [
        QueryBuilder::new(format!("SELECT {columns} FROM {table} WHERE 1")),
        QueryBuilder::new(format!("SELECT COUNT(*) FROM {table} WHERE 1")),
    ]
}

/// Adds ` AND <condition><value>` to both where there is a value.
pub(super) fn narrow<'v, T>(queries: &mut [QueryBuilder<Sqlite>; 2], condition: &str, value: Option<T>)
where
    T: Copy + sqlx::Encode<'v, Sqlite> + sqlx::Type<Sqlite>,
{
    if let Some(value) = value {
        for query in queries {
            query.push(" AND ").push(condition).push_bind(value);
        }
    }
}

#[async_trait]
impl OrderReads for SqliteStore {
    async fn order(&self, id: &OrderId) -> Stored<Option<Order>> {
        self.one_body("read order", "SELECT body FROM orders WHERE id = $1", id.as_str()).await
    }

    async fn orders(&self, filter: &OrderFilter, page: Page) -> Stored<Paged<Order>> {
        let mut queries = list_and_count("body", "orders");
        narrow(&mut queries, "state = ", filter.state.map(|s| s.as_str()));
        narrow(&mut queries, "customer = ", filter.customer.as_ref().map(|c| c.as_str()));
        narrow(&mut queries, "external_id = ", filter.external_id.as_deref());
        if let Some(line) = &filter.line {
            for query in &mut queries {
                query.push(" AND id IN (SELECT order_id FROM order_lines WHERE line = ").push_bind(line.as_str());
                query.push(")");
            }
        }
        let [mut list, mut total] = queries;
        list.push(" ORDER BY created DESC, id DESC");
        if filter.customer.is_none() && filter.external_id.is_none() && filter.line.is_none() {
            total = QueryBuilder::new("SELECT COALESCE(SUM(orders), 0) FROM order_counts WHERE 1");
            if let Some(state) = filter.state {
                total.push(" AND state = ").push_bind(state.as_str());
            }
        }
        self.paged("list orders", list, total, page, body).await
    }

    async fn order_counts(&self) -> Stored<Vec<(OrderState, u64)>> {
        let query = statement("SELECT state, orders FROM order_counts WHERE orders > 0");
        let rows =
            self.all("count orders", query, |row| Ok((row.try_get::<String, _>("state")?, count(row, "orders")?)));
        let mut counts: Vec<_> =
            rows.await?.into_iter().filter_map(|(state, orders)| Some((state.parse().ok()?, orders))).collect();
        counts.sort_by_key(|(state, _): &(OrderState, u64)| *state);
        Ok(counts)
    }

    async fn idempotency(&self, key: &str) -> Stored<Option<IdempotencyRecord>> {
        let query = statement("SELECT * FROM idempotency WHERE key = $1").bind(key.to_owned());
        self.one("read idempotency key", query, |row| {
            Ok(IdempotencyRecord {
                key: row.try_get("key")?,
                fingerprint: row.try_get("fingerprint")?,
                order: id(row, "order_id")?,
                response: from_json(row.try_get("response")?)?,
                created: time(row, "created")?,
            })
        })
        .await
    }

    async fn saga(&self, id: &SagaId) -> Stored<Option<SagaRecord>> {
        self.one_body("read saga", "SELECT body FROM sagas WHERE id = $1", id.as_str()).await
    }

    async fn saga_log(&self, id: &SagaId) -> Stored<Vec<SagaEvent>> {
        let query = statement("SELECT body FROM saga_log WHERE saga = $1 ORDER BY place").bind(id.as_str().to_owned());
        self.all("read saga log", query, body).await
    }

    async fn due_sagas(&self, now: Timestamp, limit: u64) -> Stored<Vec<SagaRecord>> {
        // The literal bound lets the engine use the index without the parked ones.
        let query = statement(
            "SELECT body FROM sagas
             WHERE active = 1 AND wake_at < 9223372036854775807 AND wake_at <= $1
             ORDER BY priority, created, id LIMIT $2",
        );
        self.all("read due sagas", query.bind(now.millis()).bind(signed(limit)), body).await
    }

    async fn next_wake(&self) -> Stored<Option<Timestamp>> {
        let query = statement("SELECT MIN(wake_at) AS wake_at FROM sagas WHERE active = 1");
        let found = self.one("read next wake", query, |row| row.try_get::<Option<i64>, _>("wake_at")).await?;
        Ok(found.flatten().map(Timestamp))
    }

    async fn stuck_sagas(&self, page: Page) -> Stored<Paged<SagaRecord>> {
        let [mut list, mut total] = list_and_count("body", "sagas");
        list.push(" AND phase = 'stuck' ORDER BY created, id");
        total.push(" AND phase = 'stuck'");
        self.paged("list stuck sagas", list, total, page, body).await
    }
}
