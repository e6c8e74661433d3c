//! Between domain values and columns.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Postgres, Row};

use crate::adapters::columns::{from_json, outcome, record_key, unreadable, unsigned};
use crate::domain::cycle::CycleId;
use crate::domain::time::Timestamp;
use crate::domain::usage::UsageRecord;

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

/// A text column that may hold an id.
pub(super) fn maybe_id<T: From<String>>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    row.try_get::<Option<String>, _>(column).map(|text| text.map(T::from))
}

/// A column that may hold a cycle; empty text is none.
pub(super) fn maybe_cycle(row: &PgRow, column: &str) -> Result<Option<CycleId>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.filter(|t| !t.is_empty()).map(|t| t.parse().map_err(unreadable)).transpose()
}

/// A usage record from its columns.
pub(super) fn usage_record(row: &PgRow) -> Result<UsageRecord, sqlx::Error> {
    let subscriber: Option<&str> = row.try_get("subscriber")?;
    let postings: Option<&str> = row.try_get("postings")?;
    let told: Option<&str> = row.try_get("told")?;
    Ok(UsageRecord {
        key: record_key(row.try_get("key")?)?,
        rating_group: small(row, "rating_group")?,
        outcome: outcome(row.try_get("outcome")?, row.try_get("reason")?)?,
        line: maybe_id(row, "line")?,
        account: maybe_id(row, "account")?,
        cycle: maybe_cycle(row, "cycle")?,
        late_for: maybe_cycle(row, "late_for")?,
        plan: maybe_id(row, "plan")?,
        tariff_version: small(row, "tariff_version")?,
        apn: maybe_id(row, "apn")?,
        subscriber: subscriber.map(from_json).transpose()?,
        starts: time(row, "starts")?,
        ends: time(row, "ends")?,
        received: time(row, "received")?,
        octets: count(row, "octets")?,
        amount: row.try_get("amount")?,
        postings: postings.map(from_json).transpose()?.unwrap_or_default(),
        crossed: Vec::new(),
        told: told.map(from_json).transpose()?,
        detail: row.try_get("detail")?,
    })
}
