//! Between domain values and columns.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Postgres, Row};

use crate::adapters::columns::{from_json, unreadable, unsigned};
use crate::domain::cycle::CycleId;
use crate::domain::time::Timestamp;

/// A statement with its arguments.
pub(super) type Statement = sqlx::query::Query<'static, Postgres, PgArguments>;

/// A statement, kept prepared by the connection.
pub(super) fn statement(sql: &'static str) -> Statement {
    sqlx::query(sql)
}

/// The value in the row's `body`.
pub(super) fn body<T: DeserializeOwned>(row: &PgRow) -> Result<T, sqlx::Error> {
    from_json(row.try_get("body")?)
}

/// Text as a column takes it: PostgreSQL's has no NUL, and peers may send one.
/// It becomes U+2400, the picture of it; bodies hold it escaped, as it came.
pub(super) fn text(value: &str) -> Cow<'_, str> {
    if value.contains('\0') { Cow::Owned(value.replace('\0', "\u{2400}")) } else { Cow::Borrowed(value) }
}

/// Texts as one parameter, for `= ANY`.
pub(super) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    values.map(|value| text(value).into_owned()).collect()
}

/// A column that holds a count.
pub(super) fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    row.try_get(column).map(unsigned)
}

/// A column that holds a number which was one of 32 bits when it was written.
pub(super) fn small(row: &PgRow, column: &str) -> Result<u32, sqlx::Error> {
    u32::try_from(row.try_get::<i64, _>(column)?).map_err(unreadable)
}

/// A column that holds a time.
pub(super) fn time(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp)
}

/// A text column that holds an id.
pub(super) fn id<T: From<String>>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<String, _>(column).map(T::from)
}

/// A column that may hold a cycle; empty text is none.
pub(super) fn maybe_cycle(row: &PgRow, column: &str) -> Result<Option<CycleId>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.filter(|t| !t.is_empty()).map(|t| t.parse().map_err(unreadable)).transpose()
}
