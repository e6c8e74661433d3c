//! What a stretch of a cycle's octets costs, and its postings.

use crate::domain::account::{Credit, uncredited};
use crate::domain::cycle::CycleId;
use crate::domain::ledger::{LedgerSide, Posting, Unit, balanced};
use crate::domain::tariff::UsagePrice;

/// A priced movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// Minor units.
    pub amount: i64,
    /// Sum to zero in octets and in minor units.
    pub postings: Vec<Posting>,
}

impl Priced {
    /// The same movement the other way.
    pub fn reversed(mut self) -> Self {
        self.amount = -self.amount;
        for posting in &mut self.postings {
            posting.amount = -posting.amount;
        }
        self
    }
}

/// Prices the octets from `before` to `after` of a cycle's total: the difference
/// of two totals, so that splitting a record changes nothing. `None` where the
/// amounts would not fit into 64 bits.
pub fn price(usage: &UsagePrice, before: u64, after: u64) -> Option<Priced> {
    let used = i64::try_from(after).ok()?.checked_sub(i64::try_from(before).ok()?)?;
    if !fits(usage, after) {
        return None;
    }
    let amount = usage.price_of(after) - usage.price_of(before);
    let allowance = usage.allowance_octets();
    let free = i64::try_from(after.min(allowance) - before.min(allowance)).ok()?;
    let sides = [
        (LedgerSide::Network, Unit::Octets, -used),
        (LedgerSide::Allowance, Unit::Octets, free),
        (LedgerSide::Charged, Unit::Octets, used - free),
        (LedgerSide::Unbilled, Unit::Minor, amount),
        (LedgerSide::Revenue, Unit::Minor, -amount),
    ];
    let moved = sides.iter().filter(|(_, _, amount)| *amount != 0);
    let postings: Vec<Posting> = moved.map(|&(side, unit, amount)| Posting { side, unit, amount }).collect();
    assert!(balanced(&postings), "the postings of a priced record sum to zero");
    Some(Priced { amount, postings })
}

/// Prices the octets from `before` to `after` of a line's cycle, some of which
/// top-ups may cover.
pub fn price_of_line(
    usage: &UsagePrice,
    (credits, cycle, line): (&[Credit], CycleId, u16),
    before: u64,
    after: u64,
) -> Option<Priced> {
    let priced_before = uncredited(credits, cycle, line, before);
    let priced_after = uncredited(credits, cycle, line, after);
    let mut priced = price(usage, priced_before, priced_after)?;
    let covered = i64::try_from((after - before) - (priced_after - priced_before)).ok()?;
    if covered > 0 {
        let posting = |side, amount| Posting { side, unit: Unit::Octets, amount };
        match priced.postings.iter_mut().find(|p| p.side == LedgerSide::Network) {
            Some(network) => network.amount -= covered,
            None => priced.postings.push(posting(LedgerSide::Network, -covered)),
        }
        priced.postings.push(posting(LedgerSide::Credit, covered));
        assert!(balanced(&priced.postings), "the postings of a priced record sum to zero");
    }
    Some(priced)
}

/// Whether the price of `total` octets stays far inside 64 bits.
fn fits(usage: &UsagePrice, total: u64) -> bool {
    let bound: i128 =
        usage.tiers.iter().map(|t| i128::from(total.div_ceil(t.per_octets)).saturating_mul(i128::from(t.price))).sum();
    bound < i128::from(i64::MAX)
}
