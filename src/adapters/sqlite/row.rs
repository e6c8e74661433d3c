//! Between domain values and columns.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteArguments, SqliteQueryResult, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row, Sqlite, SqliteExecutor};

use crate::adapters::columns::{from_json, unreadable, unsigned};
use crate::domain::cycle::CycleId;
use crate::domain::time::Timestamp;

/// A statement with its arguments.
pub(super) struct Statement {
    pub(super) sql: Cow<'static, str>,
    is_kept: bool,
    pub(super) values: Vec<Value>,
}

/// An argument.
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A statement, kept prepared by the connection. Its arguments are numbered: `$1`.
pub(super) fn statement(sql: &'static str) -> Statement {
    Statement { sql: Cow::Borrowed(sql), is_kept: true, values: Vec::new() }
}

/// A statement that was put together, with arguments in their order: `?`. Kept prepared
/// where it `comes_again`.
pub(super) fn composed(sql: String, comes_again: bool) -> Statement {
    Statement { sql: Cow::Owned(sql), is_kept: comes_again, values: Vec::new() }
}

impl Statement {
    /// With one more argument.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// As the driver takes it.
    pub(super) fn query(self) -> sqlx::query::Query<'static, Sqlite, SqliteArguments> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            let added = match value {
                Value::Null => arguments.add(None::<i64>),
                Value::Integer(number) => arguments.add(number),
                Value::Text(text) => arguments.add(text),
                Value::Bytes(bytes) => arguments.add(bytes),
            };
            added.expect("a value of a kind that SQLite has");
        }
        let query = match self.sql {
            Cow::Borrowed(sql) => sqlx::query_with(sql, arguments),
            Cow::Owned(sql) => sqlx::query_with(AssertSqlSafe(sql), arguments),
        };
        query.persistent(self.is_kept)
    }

    pub(super) async fn execute<'e>(self, on: impl SqliteExecutor<'e>) -> Result<SqliteQueryResult, sqlx::Error> {
        self.query().execute(on).await
    }

    pub(super) async fn fetch_one<'e>(self, on: impl SqliteExecutor<'e>) -> Result<SqliteRow, sqlx::Error> {
        self.query().fetch_one(on).await
    }

    pub(super) async fn fetch_optional<'e>(
        self,
        on: impl SqliteExecutor<'e>,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        self.query().fetch_optional(on).await
    }

    pub(super) async fn fetch_all<'e>(self, on: impl SqliteExecutor<'e>) -> Result<Vec<SqliteRow>, sqlx::Error> {
        self.query().fetch_all(on).await
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Bytes(bytes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Integer(number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Value::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Value::Integer(is.into())
    }
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
