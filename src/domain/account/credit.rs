//! Top-ups: octets of a line's open cycle on top of its plan's.
//!
//! A credit is a pot of octets in the line's cycle. It raises the cap, and covers
//! what is left of usage behind every allowance and whatever the price itself has
//! free; what it covers is in no price's counter and costs nothing. What was charged
//! before the top-up stays charged, and what is left ends with the cycle.

use super::{Account, AccountLimits, CommandAnswer, Commanded, KeySeen, LineTotal, stable_hash};
use crate::domain::ids::LineId;
use crate::domain::ledger::{LedgerSide, Posting, Unit};
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, UsageOutcome, UsageRecord};

/// What a line is topped up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// The request's own id: idempotency key, and key of its record.
    pub id: String,
    /// The line.
    pub line: LineId,
    /// How many octets, at least 1.
    pub octets: u64,
    /// Version of the tariff in force.
    pub tariff_version: u32,
}

impl Account {
    /// Raises what is left of a line's open cycle, once for each id.
    pub(super) fn top_up(&mut self, top_up: &TopUp, limits: &AccountLimits, now: Timestamp) -> Commanded {
        let rolled = self.roll(now);
        let Some(at) = self.lines.iter().position(|l| l.id == top_up.line) else {
            return Commanded::unchanged(CommandAnswer::UnknownLine);
        };
        let refused = |reason: &str| {
            let reason = format!("line {}: {reason}", top_up.line);
            Commanded { changed: rolled, ..Commanded::unchanged(CommandAnswer::Refused(reason)) }
        };
        let key = stable_hash(format!("top-up/{}", top_up.id).as_bytes());
        match self.event_keys.seen(key, now, limits) {
            KeySeen::First => {}
            KeySeen::Repeated => return Commanded::unchanged(CommandAnswer::Done),
            KeySeen::NoRoom => return refused("its account remembers as many keys as it may"),
        }
        let (line, cycle) = (self.lines[at].no, self.cycle);
        let credit = self.bucket(cycle).and_then(|open| open.total(line)).map_or(0, LineTotal::credit);
        let Some(octets) =
            i64::try_from(top_up.octets).ok().filter(|o| *o > 0 && credit <= i64::MAX as u64 - *o as u64)
        else {
            return refused("no such number of octets fits into its cycle");
        };
        self.event_keys.insert(key, now, limits);
        self.bucket_mut(cycle).total_mut(line).more_mut().credit += top_up.octets;
        let side = |side, amount| Posting { side, unit: Unit::Octets, amount };
        let record = UsageRecord {
            key: RecordKey::TopUp(top_up.id.clone()),
            rating_group: 0,
            outcome: UsageOutcome::Rated,
            line: Some(top_up.line.clone()),
            account: Some(self.id.clone()),
            cycle: Some(cycle),
            late_for: None,
            plan: self.lines[at].plan_at(now).cloned(),
            tariff_version: top_up.tariff_version,
            apn: None,
            subscriber: None,
            starts: now,
            ends: now,
            received: now,
            octets: 0,
            amount: 0,
            postings: vec![side(LedgerSide::TopUp, octets), side(LedgerSide::Credit, -octets)],
            crossed: Vec::new(),
            told: None,
            detail: None,
        };
        Commanded { records: vec![record], ..Commanded::changed(CommandAnswer::Done) }
    }
}
