//! What both relational adapters put into columns: JSON bodies, counts, names.
//!
//! Bodies and names are the same in every engine, so that a store can be moved
//! from one to the other by copying rows.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;

use crate::domain::ids::{DeviceId, SessionId};
use crate::domain::ledger::{LedgerSide, Posting, Unit};
use crate::domain::scheduling::{Appointment, AppointmentState, CallState};
use crate::domain::usage::{RecordKey, SuspenseReason, UsageOutcome};

/// A value as JSON text.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|e| sqlx::Error::Encode(Box::new(e)))
}

/// A value from JSON text.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// A count as the engines keep it; saturates at 2^63 - 1.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count that is never negative in the store.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
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

/// The state of an appointment as its column has it.
pub(super) const fn appointment_state(state: AppointmentState) -> &'static str {
    match state {
        AppointmentState::Wanted => "wanted",
        AppointmentState::Agreed => "agreed",
        AppointmentState::Done => "done",
        AppointmentState::Cancelled => "cancelled",
        AppointmentState::Failed => "failed",
    }
}

/// In the column of an appointment's state once it is in no list any more.
pub(super) const DELETED: &str = "deleted";

/// What the column of an appointment's state holds.
pub(super) const fn listed_state(appointment: &Appointment) -> &'static str {
    if appointment.deleted { DELETED } else { appointment_state(appointment.state) }
}

/// The key behind its text: the numbers stand at the end, because a Session-Id
/// or device may hold a slash. Only requests with groups have parts.
pub(super) fn record_key(text: &str) -> Result<RecordKey, sqlx::Error> {
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
        "top-up" => Ok(RecordKey::TopUp(rest.to_owned())),
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

/// An outcome of usage behind its text; `reason` is why it was in suspense, where it
/// no longer is.
pub(super) fn outcome(text: &str, reason: Option<&str>) -> Result<UsageOutcome, sqlx::Error> {
    match (text, reason) {
        ("rated", _) => Ok(UsageOutcome::Rated),
        ("reconciled", _) => Ok(UsageOutcome::Reconciled),
        ("recycled", Some(reason)) => suspense_reason(reason).map(UsageOutcome::Recycled),
        ("dropped", Some(reason)) => suspense_reason(reason).map(UsageOutcome::Dropped),
        (reason, _) => suspense_reason(reason).map(UsageOutcome::Suspense),
    }
}

/// A reason of suspense behind its text.
pub(super) fn suspense_reason(text: &str) -> Result<SuspenseReason, sqlx::Error> {
    let found = SuspenseReason::ALL.into_iter().find(|reason| reason.as_str() == text);
    found.ok_or_else(|| unreadable(format!("`{text}` is no outcome of usage")))
}

/// What is in a column and cannot be.
pub(super) fn unreadable(reason: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(reason.into())
}

/// A ledger side as its column has it.
pub(super) const fn side_name(side: LedgerSide) -> &'static str {
    match side {
        LedgerSide::Network => "network",
        LedgerSide::Allowance => "allowance",
        LedgerSide::Charged => "charged",
        LedgerSide::Unbilled => "unbilled",
        LedgerSide::Receivable => "receivable",
        LedgerSide::Revenue => "revenue",
        LedgerSide::Tax => "tax",
        LedgerSide::TopUp => "top-up",
        LedgerSide::Credit => "credit",
    }
}

/// A ledger unit as its column has it.
pub(super) const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Octets => "octets",
        Unit::Minor => "minor",
    }
}

/// A posting from its columns; `None` for what a newer program wrote.
pub(super) fn posting(side: &str, unit: &str, amount: i64) -> Option<Posting> {
    use LedgerSide::{Allowance, Charged, Credit, Network, Receivable, Revenue, Tax, TopUp, Unbilled};
    let sides = [Network, Allowance, Charged, Unbilled, Receivable, Revenue, Tax, TopUp, Credit];
    let side = sides.into_iter().find(|s| side_name(*s) == side)?;
    let unit = [Unit::Octets, Unit::Minor].into_iter().find(|u| unit_name(*u) == unit)?;
    Some(Posting { side, unit, amount })
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
            RecordKey::TopUp("t/1".to_owned()),
        ];
        for key in keys {
            assert_eq!(record_key(&key.to_string()).unwrap(), key);
        }
        for bad in ["", "gy", "gy/1", "modem/d/1/2", "other/1"] {
            assert!(record_key(bad).is_err(), "{bad}");
        }
    }
}
