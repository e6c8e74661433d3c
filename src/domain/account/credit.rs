//! Top-ups: octets of a line's open cycle on top of its plan's.
//!
//! A credit covers a stretch of the cycle's total that begins where the allowance,
//! what is used already and the credits before it end. Octets inside cost nothing
//! and lie above the cap; the price of every other octet is what it would be with
//! the stretch cut out. So a price is still a function of the total, and splitting
//! a record changes nothing. What is left ends with the cycle.

use serde::{Deserialize, Serialize};

use super::{Account, AccountLimits, Commanded, KeySeen, stable_hash};
use crate::domain::cycle::CycleId;
use crate::domain::ids::LineId;
use crate::domain::ledger::{LedgerSide, Posting, Unit};
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, UsageOutcome, UsageRecord};

use super::CommandAnswer;

/// One top-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Number of the line within the account.
    pub line: u16,
    /// The cycle that it is good in.
    pub cycle: CycleId,
    /// The total of the cycle at which it begins.
    pub from: u64,
    /// How many octets.
    pub octets: u64,
}

/// What a line is topped up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// The request's own id: idempotency key, and key of its record.
    pub id: String,
    /// The line.
    pub line: LineId,
    /// How many octets, at least 1.
    pub octets: u64,
    /// Where its plan's allowance ends, octets of the cycle.
    pub allowance_octets: u64,
    /// Version of the tariff that says so.
    pub tariff_version: u32,
}

/// Top-ups of one line in one cycle; more are refused.
const CREDITS_MAX: usize = 256;

/// Octets of credits on a line's cycle.
pub fn credited(credits: &[Credit], cycle: CycleId, line: u16) -> u64 {
    of(credits, cycle, line).fold(0, |sum, credit| sum.saturating_add(credit.octets))
}

/// How many of the cycle's first `total` octets no credit covers.
pub fn uncredited(credits: &[Credit], cycle: CycleId, line: u16, total: u64) -> u64 {
    let covered = of(credits, cycle, line).map(|c| total.saturating_sub(c.from).min(c.octets));
    total - covered.sum::<u64>()
}

fn of(credits: &[Credit], cycle: CycleId, line: u16) -> impl Iterator<Item = &Credit> {
    credits.iter().filter(move |c| c.cycle == cycle && c.line == line)
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
        let total = self.buckets.last().and_then(|open| open.total(line)).map_or(0, |t| t.octets);
        let mine = || of(&self.credits, cycle, line);
        let ends = mine().map(|c| c.from.saturating_add(c.octets)).max().unwrap_or(0);
        let from = total.max(top_up.allowance_octets).max(ends);
        let Some(octets) = i64::try_from(top_up.octets).ok().filter(|o| *o > 0 && from <= i64::MAX as u64 - *o as u64)
        else {
            return refused("no such number of octets fits into its cycle");
        };
        if mine().count() >= CREDITS_MAX {
            return refused("it has as many top-ups in this cycle as it may");
        }
        self.event_keys.insert(key, now, limits);
        self.credits.push(Credit { line, cycle, from, octets: top_up.octets });
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
            detail: None,
        };
        Commanded { records: vec![record], ..Commanded::changed(CommandAnswer::Done) }
    }
}
