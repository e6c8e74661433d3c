//! What usage does to a line's counters and allowances, what it costs, and its
//! postings.
//!
//! A plan with one price is priced by its one counter. Otherwise usage falls into
//! parts by direction and side of a tariff change; each part is covered by the
//! allowances that fit, in their order, and what is left of it counts in the counter
//! of the first price that fits. Nothing is counted where a part fits no price.
//! Top-ups cover what comes behind the octets of the counter that cost nothing.

use super::allowance::cover;
use super::judge::Usage;
use crate::domain::account::{Account, LineTotal};
use crate::domain::cycle::CycleId;
use crate::domain::ids::Apn;
use crate::domain::ledger::{LedgerSide, Posting, Unit, balanced};
use crate::domain::network::Plmn;
use crate::domain::rating::request::Volume;
use crate::domain::tariff::{Circumstances, MAIN_COUNTER, Price, PriceRule, Tariff, UsagePrice};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Direction, SuspenseReason};

/// A priced movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// Minor units.
    pub amount: i64,
    /// Sum to zero in octets and in minor units.
    pub postings: Vec<Posting>,
}

impl Priced {
    /// `used` octets, of which the plan has `free`, and top-ups cover `credited`.
    fn new(used: i64, free: i64, credited: i64, amount: i64) -> Self {
        let sides = [
            (LedgerSide::Network, Unit::Octets, -used),
            (LedgerSide::Allowance, Unit::Octets, free),
            (LedgerSide::Credit, Unit::Octets, credited),
            (LedgerSide::Charged, Unit::Octets, used - free - credited),
            (LedgerSide::Unbilled, Unit::Minor, amount),
            (LedgerSide::Revenue, Unit::Minor, -amount),
        ];
        let moved = sides.iter().filter(|(_, _, amount)| *amount != 0);
        let postings: Vec<Posting> = moved.map(|&(side, unit, amount)| Posting { side, unit, amount }).collect();
        assert!(balanced(&postings), "the postings of a priced record sum to zero");
        Self { amount, postings }
    }

    /// The same movement the other way.
    pub fn reversed(mut self) -> Self {
        self.amount = -self.amount;
        for posting in &mut self.postings {
            posting.amount = -posting.amount;
        }
        self
    }
}

/// Prices the octets from `before` to `after` of a counter: the difference of two
/// totals, so that splitting a record changes nothing. The first `free` octets are
/// posted as allowance. `None` where the amounts would not fit into 64 bits.
pub fn price(cost: &Price, free: u64, before: u64, after: u64) -> Option<Priced> {
    price_beside(cost, free, before, after, Beside::default())
}

/// Octets of a usage that count in no counter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beside {
    /// Allowances have paid for them.
    pub(super) covered: u64,
    /// Top-ups have.
    pub(super) credited: u64,
}

/// The same, with what is `beside` the counter.
pub(super) fn price_beside(cost: &Price, free: u64, before: u64, after: u64, beside: Beside) -> Option<Priced> {
    let (covered, credited) = (i64::try_from(beside.covered).ok()?, i64::try_from(beside.credited).ok()?);
    let counted = i64::try_from(after).ok()?.checked_sub(i64::try_from(before).ok()?)?;
    let amount = cost.of_total(after)?.checked_sub(cost.of_total(before)?)?;
    let free = free_part(free, before, after)?.checked_add(covered)?;
    Some(Priced::new(counted.checked_add(covered)?.checked_add(credited)?, free, credited, amount))
}

/// How many of the next `octets` of a counter top-ups cover: those behind its free ones.
fn credited(total: &LineTotal, free: u64, counted: u64, octets: u64) -> u64 {
    total.credit_left().min(octets.saturating_sub(free.saturating_sub(counted)))
}

fn free_part(free: u64, before: u64, after: u64) -> Option<i64> {
    i64::try_from(after.min(free) - before.min(free)).ok()
}

/// Where and how usage was, for the prices that ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served<'a> {
    pub(super) apn: Option<&'a Apn>,
    pub(super) network: Option<Plmn>,
}

/// Counts usage on line `no` in `cycle`, and prices it; counts nothing where it
/// cannot be priced.
pub(super) fn charge(
    account: &mut Account,
    cycle: CycleId,
    no: u16,
    prices: &UsagePrice,
    tariff: &Tariff,
    usage: &Usage,
    served: Served<'_>,
) -> Result<Priced, SuspenseReason> {
    let Some(plain) = prices.plain() else {
        return charge_parts(account, cycle, no, prices, tariff, usage, served);
    };
    let total = account.bucket_mut(cycle).total_mut(no);
    let (before, free) = (total.counter(MAIN_COUNTER), prices.free_octets(plain));
    let credited = credited(total, free, before, usage.octets);
    let after = before.checked_add(usage.octets - credited).ok_or(SuspenseReason::BadRecord)?;
    let octets = total.octets.checked_add(usage.octets).ok_or(SuspenseReason::BadRecord)?;
    let priced =
        price_beside(plain, free, before, after, Beside { covered: 0, credited }).ok_or(SuspenseReason::BadRecord)?;
    total.use_credit(credited);
    total.set_counter(MAIN_COUNTER, after);
    total.octets = octets;
    total.amount = total.amount.saturating_add(priced.amount);
    Ok(priced)
}

fn charge_parts(
    account: &mut Account,
    cycle: CycleId,
    no: u16,
    prices: &UsagePrice,
    tariff: &Tariff,
    usage: &Usage,
    served: Served<'_>,
) -> Result<Priced, SuspenseReason> {
    let mut parts: Vec<(Circumstances<'_>, u64, &PriceRule)> = Vec::with_capacity(4);
    for (circumstances, octets) in parts_of(prices, tariff, usage, served) {
        let rule = prices.rule_for(tariff, &circumstances).ok_or(SuspenseReason::NoUsagePrice)?;
        parts.push((circumstances, octets, rule));
    }
    let total = account.bucket_mut(cycle).total_mut(no);
    let fits = |rule: &PriceRule| {
        let most = total.counter(prices.counter_of(rule)).checked_add(usage.octets)?;
        rule.cost.of_total(most).and(i64::try_from(most).ok())
    };
    let used = i64::try_from(usage.octets).ok().filter(|_| parts.iter().all(|(_, _, rule)| fits(rule).is_some()));
    let used = used.ok_or(SuspenseReason::BadRecord)?;
    let octets = total.octets.checked_add(usage.octets).ok_or(SuspenseReason::BadRecord)?;
    // from here on the octets that an allowance covers are in no counter
    total.more_mut();
    let (mut free, mut behind, mut amount) = (0, 0, 0);
    for (circumstances, octets, rule) in parts {
        let covered = cover(account, cycle, no, prices, tariff, &circumstances, octets);
        let total = account.bucket_mut(cycle).total_mut(no);
        let key = prices.counter_of(rule);
        let before = total.counter(key);
        let credited = credited(total, rule.cost.free_octets(), before, octets - covered);
        let after = before + (octets - covered - credited);
        let counted = of_total(&rule.cost, after) - of_total(&rule.cost, before);
        total.use_credit(credited);
        total.set_counter(key, after);
        free += posted(covered) + free_part(rule.cost.free_octets(), before, after).expect("checked above");
        behind += posted(credited);
        amount += counted;
    }
    let total = account.bucket_mut(cycle).total_mut(no);
    total.octets = octets;
    total.amount = total.amount.saturating_add(amount);
    Ok(Priced::new(used, free, behind, amount))
}

fn of_total(cost: &Price, total: u64) -> i64 {
    cost.of_total(total).expect("a larger total was priced before")
}

fn posted(octets: u64) -> i64 {
    i64::try_from(octets).expect("a record's octets were posted before")
}

/// What a price may tell apart. A source that does not split its usage at a change
/// of price has all of it priced at its end: the last instant of it.
fn parts_of<'a>(
    prices: &UsagePrice,
    tariff: &Tariff,
    usage: &Usage,
    served: Served<'a>,
) -> Vec<(Circumstances<'a>, u64)> {
    let ends = if usage.starts < usage.ends { Timestamp(usage.ends.0 - 1) } else { usage.ends };
    let sides = match change_before(prices, tariff, usage.ends) {
        Some(change) => {
            let before = Timestamp(change.0.saturating_sub(1));
            vec![(usage.used.whole, ends), (usage.used.before, before), (usage.used.after, usage.ends)]
        }
        None => {
            let mut all = usage.used.whole;
            all.add(usage.used.before);
            all.add(usage.used.after);
            vec![(all, ends)]
        }
    };
    let mut parts = Vec::with_capacity(4);
    for (volume, at) in sides {
        for (direction, octets) in directions(prices, volume) {
            let Served { apn, network } = served;
            parts.push((Circumstances { apn, rating_group: usage.rating_group, network, direction, at }, octets));
        }
    }
    parts
}

/// The last change of the time of day up to `at`, where prices ask for it.
fn change_before(prices: &UsagePrice, tariff: &Tariff, at: Timestamp) -> Option<Timestamp> {
    let windows = prices.windows(tariff);
    windows.clone().next()?;
    tariff.clock().last_edge(windows, at)
}

fn directions(prices: &UsagePrice, volume: Volume) -> impl Iterator<Item = (Option<Direction>, u64)> {
    let parts = match prices.asks_direction() {
        true => [(Some(Direction::Up), volume.up), (Some(Direction::Down), volume.down), (None, volume.either)],
        false => [(None, volume.total()), (None, 0), (None, 0)],
    };
    parts.into_iter().filter(|(_, octets)| *octets > 0)
}
