//! Between domain values and columns.

use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use crate::adapters::columns::{from_json, unreadable, unsigned};
use crate::domain::cycle::CycleId;
use crate::domain::time::Timestamp;

/// A statement with its arguments.
pub(super) type Statement = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// A statement, kept prepared by the connection.
pub(super) fn statement(sql: &'static str) -> Statement {
    sqlx::query(sql)
}

/// The value in the row's `body`.
pub(super) fn body<T: DeserializeOwned>(row: &SqliteRow) -> Result<T, sqlx::Error> {
    from_json(row.try_get("body")?)
}

/// Texts as one parameter, for `json_each`.
pub(super) fn json_list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from(texts.collect::<Vec<_>>()).to_string()
}

/// A column that holds a count.
pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    row.try_get(column).map(unsigned)
}

/// A column that holds a time.
pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp)
}

/// A text column that holds an id.
pub(super) fn id<T: From<String>>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<String, _>(column).map(T::from)
}

/// A column that may hold a cycle; empty text is none.
pub(super) fn maybe_cycle(row: &SqliteRow, column: &str) -> Result<Option<CycleId>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.filter(|t| !t.is_empty()).map(|t| t.parse().map_err(unreadable)).transpose()
}
