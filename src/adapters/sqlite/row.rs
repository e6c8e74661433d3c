//! Between domain values and columns.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use crate::domain::cycle::CycleId;
use crate::domain::ids::{DeviceId, SessionId};
use crate::domain::scheduling::CallState;
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, SuspenseReason, UsageOutcome, UsageRecord};

/// A statement with its arguments.
pub(super) type Statement = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// A statement, kept prepared by the connection.
pub(super) fn statement(sql: &'static str) -> Statement {
    sqlx::query(sql)
}

/// A value as JSON text.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|e| sqlx::Error::Encode(Box::new(e)))
}

/// A value from JSON text.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// The value in the row's `body`.
pub(super) fn body<T: DeserializeOwned>(row: &SqliteRow) -> Result<T, sqlx::Error> {
    from_json(row.try_get("body")?)
}

/// Texts as one parameter, for `json_each`.
pub(super) fn json_list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from(texts.collect::<Vec<_>>()).to_string()
}

/// A count as SQLite keeps it; saturates at 2^63 - 1.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count that is never negative in the store.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
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

/// A text column that may hold an id.
pub(super) fn maybe_id<T: From<String>>(row: &SqliteRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    row.try_get::<Option<String>, _>(column).map(|text| text.map(T::from))
}

/// A column that may hold a cycle; empty text is none.
pub(super) fn maybe_cycle(row: &SqliteRow, column: &str) -> Result<Option<CycleId>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.filter(|t| !t.is_empty()).map(|t| t.parse().map_err(unreadable)).transpose()
}

/// The state of a call as its column has it.
pub(super) const fn call_state(state: CallState) -> &'static str {
    match state {
        CallState::Due => "due",
        CallState::Agreed => "agreed",
        CallState::Refused => "refused",
        CallState::Exhausted => "exhausted",
        CallState::Cancelled => "cancelled",
    }
}

/// A usage record from its columns.
pub(super) fn usage_record(row: &SqliteRow) -> Result<UsageRecord, sqlx::Error> {
    let subscriber: Option<&str> = row.try_get("subscriber")?;
    let postings: Option<&str> = row.try_get("postings")?;
    Ok(UsageRecord {
        key: record_key(row.try_get("key")?)?,
        rating_group: row.try_get("rating_group")?,
        outcome: outcome(row.try_get("outcome")?)?,
        line: maybe_id(row, "line")?,
        account: maybe_id(row, "account")?,
        cycle: maybe_cycle(row, "cycle")?,
        late_for: maybe_cycle(row, "late_for")?,
        plan: maybe_id(row, "plan")?,
        tariff_version: row.try_get("tariff_version")?,
        apn: maybe_id(row, "apn")?,
        subscriber: subscriber.map(from_json).transpose()?,
        starts: time(row, "starts")?,
        ends: time(row, "ends")?,
        received: time(row, "received")?,
        octets: count(row, "octets")?,
        amount: row.try_get("amount")?,
        postings: postings.map(from_json).transpose()?.unwrap_or_default(),
        detail: row.try_get("detail")?,
    })
}

/// The key behind its text: the numbers stand at the end, because a Session-Id
/// or device may hold a slash. Only requests with groups have parts.
fn record_key(text: &str) -> Result<RecordKey, sqlx::Error> {
    if let Some((whole, place)) = text.rsplit_once('+').filter(|_| text.starts_with("gy/") || text.starts_with("rf/"))
        && let Ok(place) = place.parse()
    {
        return Ok(RecordKey::Part(Box::new(record_key(whole)?), place));
    }
    let bad = || unreadable(format!("`{text}` is no record key"));
    let (source, rest) = text.split_once('/').ok_or_else(bad)?;
    let numbered = |rest: &str| {
        let (session, number) = rest.rsplit_once('/')?;
        Some((SessionId::from(session), number.parse().ok()?))
    };
    match source {
        "gy" => numbered(rest).map(|(session, number)| RecordKey::Gy(session, number)).ok_or_else(bad),
        "rf" => numbered(rest).map(|(session, number)| RecordKey::Rf(session, number)).ok_or_else(bad),
        "modem" => modem_key(rest).ok_or_else(bad),
        "file" => Ok(RecordKey::File(rest.to_owned())),
        _ => Err(bad()),
    }
}

fn modem_key(rest: &str) -> Option<RecordKey> {
    let mut parts = rest.rsplitn(4, '/');
    let sequence = parts.next()?.parse().ok()?;
    let boot = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    Some(RecordKey::Modem(DeviceId::from(parts.next()?), epoch, boot, sequence))
}

fn outcome(text: &str) -> Result<UsageOutcome, sqlx::Error> {
    use SuspenseReason as Reason;
    let every = [
        Reason::UnknownLine,
        Reason::ForeignApn,
        Reason::LineNotActive,
        Reason::BadRecord,
        Reason::NoUsagePrice,
        Reason::TooManyKeys,
        Reason::TooManySessions,
    ];
    let every = every.map(UsageOutcome::Suspense);
    let mut every = every.into_iter().chain([UsageOutcome::Rated, UsageOutcome::Reconciled]);
    every.find(|o| o.as_str() == text).ok_or_else(|| unreadable(format!("`{text}` is no outcome of usage")))
}

fn unreadable(reason: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_key_comes_back_from_its_text() {
        let keys = [
            RecordKey::Gy("pgw;1;2/3".into(), 7),
            RecordKey::Rf("a".into(), 0),
            RecordKey::Rf("a+1".into(), 0),
            RecordKey::Gy("pgw+2;1".into(), 7).part(3),
            RecordKey::Modem("m/1".into(), 1, 2, u64::MAX),
            RecordKey::File("abc/12".to_owned()),
        ];
        for key in keys {
            assert_eq!(record_key(&key.to_string()).unwrap(), key);
        }
        for bad in ["", "gy", "gy/1", "modem/d/1/2", "other/1"] {
            assert!(record_key(bad).is_err(), "{bad}");
        }
    }
}
