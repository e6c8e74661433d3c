//! Allowances: which octets of a cycle the fee has paid for.
//!
//! An allowance is a pot of octets for each cycle. What is left of a pot is worked
//! out where it is used, and what later cycles use of it is noted in the pot itself:
//! so usage that comes late for its cycle finds what is really left, and idle lines
//! cost nothing.

use crate::domain::account::{Account, LineCharging};
use crate::domain::cycle::CycleId;
use crate::domain::tariff::{Allowance, Circumstances, Reach, Rollover, Tariff, UsagePrice, counter_key};
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::Crossing;

/// Uses the allowances that fit, in their order, for `octets` of line `no`; says how
/// many octets they cover.
pub(super) fn cover(
    account: &mut Account,
    cycle: CycleId,
    no: u16,
    prices: &UsagePrice,
    tariff: &Tariff,
    usage: &Circumstances<'_>,
    octets: u64,
) -> u64 {
    let own_first =
        [false, true].into_iter().flat_map(|pooled| prices.allowances.iter().filter(move |a| a.pooled == pooled));
    let mut left = octets;
    for allowance in own_first.filter(|a| a.when.hold(tariff, usage)) {
        if left == 0 {
            break;
        }
        left -= match allowance.pooled {
            true => use_pool(account, cycle, allowance, tariff, left),
            false => use_own(account, cycle, no, allowance, tariff, left),
        };
    }
    octets - left
}

fn use_pool(account: &mut Account, cycle: CycleId, allowance: &Allowance, tariff: &Tariff, wanted: u64) -> u64 {
    let key = counter_key(&allowance.name);
    let sized = account.bucket(cycle).and_then(|b| b.pool(key)).filter(|p| p.sized_by == Some(tariff.version));
    let octets = sized.map(|pool| pool.octets).unwrap_or_else(|| pool_octets(account, cycle, allowance, tariff));
    let pool = account.bucket_mut(cycle).pool_mut(key);
    (pool.octets, pool.sized_by) = (octets, Some(tariff.version));
    let taken = wanted.min(octets.saturating_sub(pool.used));
    pool.used += taken;
    taken
}

/// What the account's lines bring in: each that was in service in the cycle, by its
/// last plan in it.
fn pool_octets(account: &Account, cycle: CycleId, allowance: &Allowance, tariff: &Tariff) -> u64 {
    let span = account.calendar().bounds(cycle);
    let lines = account.lines.iter();
    lines.fold(0, |sum, line| sum.saturating_add(share_of(line, span, allowance, tariff)))
}

/// The allowance's octets in the cycle of `span`, by the line's last plan in it;
/// none where the line was not in service.
fn share_of(line: &LineCharging, span: Interval, allowance: &Allowance, tariff: &Tariff) -> u64 {
    let last = Timestamp(span.until.0 - 1);
    if !line.was_active(span.from, last) {
        return 0;
    }
    let plan = line.plan_at(last).and_then(|id| tariff.plan(id)).and_then(|plan| plan.usage.as_ref());
    let same = plan.and_then(|usage| usage.allowances.iter().find(|a| a.name == allowance.name));
    same.filter(|a| a.pooled == allowance.pooled).map_or(0, |a| a.octets)
}

fn use_own(account: &mut Account, cycle: CycleId, no: u16, allowance: &Allowance, tariff: &Tariff, wanted: u64) -> u64 {
    let rolled = allowance.rollover.map_or(0, |r| use_rolled(account, cycle, no, (allowance, r), tariff, wanted));
    let bucket = account.bucket_mut(cycle);
    if let Some(rollover) = allowance.rollover {
        bucket.roll_through(later(cycle, rollover.cycles));
    }
    let pot = bucket.total_mut(no).pot_mut(counter_key(&allowance.name));
    let taken = (wanted - rolled).min(allowance.octets.saturating_sub(pot.used));
    pot.used += taken;
    rolled + taken
}

/// Uses what earlier cycles have left, the oldest first.
fn use_rolled(
    account: &mut Account,
    cycle: CycleId,
    no: u16,
    (allowance, rollover): (&Allowance, Rollover),
    tariff: &Tariff,
    wanted: u64,
) -> u64 {
    let key = counter_key(&allowance.name);
    let pot = |account: &Account, of: CycleId| account.bucket(of).and_then(|b| b.total(no)?.pot(key).cloned());
    let carried = pot(account, cycle).map_or(0, |pot| pot.carried);
    let most = wanted.min(rollover.octets_max.saturating_sub(carried));
    let calendar = account.calendar();
    let mut taken = 0;
    for back in (1..=rollover.cycles).rev() {
        let of = earlier(cycle, back);
        let had = account.line_by_no(no).map_or(0, |line| share_of(line, calendar.bounds(of), allowance, tariff));
        let used = pot(account, of).map_or(0, |pot| pot.used);
        let some = (most - taken).min(had.saturating_sub(used));
        if some > 0 {
            let bucket = account.bucket_mut(of);
            bucket.roll_through(later(of, rollover.cycles));
            bucket.total_mut(no).pot_mut(key).used += some;
            taken += some;
        }
    }
    if taken > 0 {
        account.bucket_mut(cycle).total_mut(no).pot_mut(key).carried += taken;
    }
    taken
}

/// Gives `octets` of line `no` back to the allowances that cover such usage, the one
/// used last first; to none where they have not covered as many in `cycle`. What
/// earlier cycles had left is not given back.
pub(super) fn give_back(
    account: &mut Account,
    cycle: CycleId,
    no: u16,
    prices: &UsagePrice,
    tariff: &Tariff,
    usage: &Circumstances<'_>,
    octets: u64,
) -> bool {
    let Some(bucket) = account.bucket(cycle) else { return octets == 0 };
    let used = |allowance: &Allowance| match (counter_key(&allowance.name), allowance.pooled) {
        (key, true) => bucket.pool(key).map_or(0, |pool| pool.used),
        (key, false) => bucket.total(no).and_then(|total| total.pot(key)).map_or(0, |pot| pot.used),
    };
    let mut left = octets;
    let mut backs = Vec::new();
    for pooled in [true, false] {
        let of_kind = prices.allowances.iter().rev().filter(|a| a.pooled == pooled && a.when.hold(tariff, usage));
        for allowance in of_kind {
            let back = left.min(used(allowance));
            backs.push((counter_key(&allowance.name), pooled, back));
            left -= back;
        }
    }
    // a pool is the whole account's: the line gives back what it has used itself
    if left > 0 || octets > bucket.total(no).map_or(0, |total| total.covered()) {
        return false;
    }
    let bucket = account.bucket_mut(cycle);
    for (key, pooled, back) in backs.into_iter().filter(|(_, _, back)| *back > 0) {
        match pooled {
            true => bucket.pool_mut(key).used -= back,
            false => bucket.total_mut(no).pot_mut(key).used -= back,
        }
    }
    true
}

fn earlier(cycle: CycleId, cycles: u8) -> CycleId {
    (0..cycles).fold(cycle, |of, _| of.previous())
}

fn later(cycle: CycleId, cycles: u8) -> CycleId {
    (0..cycles).fold(cycle, |of, _| of.next())
}

/// The plan's thresholds that the line's open cycle has reached and that have not
/// fired in it; they have from here on.
pub(super) fn crossed(account: &mut Account, no: u16, prices: &UsagePrice) -> Vec<Crossing> {
    let mut crossed = Vec::new();
    let Some(open) = account.buckets.last_mut().filter(|_| !prices.thresholds.is_empty()) else { return crossed };
    let reached =
        |part: u64, whole: u64, percent: u8| u128::from(part) * 100 >= u128::from(whole) * u128::from(percent);
    for threshold in &prices.thresholds {
        let Some(total) = open.total(no) else { break };
        let mut pool = None;
        let reached = match &threshold.at {
            Reach::Amount(amount) => total.amount >= *amount,
            Reach::CapPercent(percent) => {
                let cap = prices.cap_octets.unwrap_or(u64::MAX).saturating_add(total.credit());
                reached(total.octets, cap, *percent)
            }
            Reach::Allowance(share) => {
                let key = counter_key(&share.name);
                let of_plan = prices.allowances.iter().find(|a| a.name == share.name);
                let (used, octets) = match of_plan {
                    Some(pooled) if pooled.pooled => {
                        pool = Some(key);
                        open.pool(key).map_or((0, 0), |pool| (pool.used, pool.octets))
                    }
                    Some(own) => (total.pot(key).map_or(0, |pot| pot.used), own.octets),
                    None => (0, 0),
                };
                used > 0 && reached(used, octets, share.percent)
            }
        };
        if !reached {
            continue;
        }
        let fired = match pool {
            Some(pool) => &mut open.pool_mut(pool).fired,
            None => &mut open.total_mut(no).more_mut().fired,
        };
        let key = counter_key(&threshold.name);
        if !fired.contains(&key) {
            fired.push(key);
            crossed.push(Crossing { threshold: threshold.name.clone(), action: threshold.action });
        }
    }
    crossed
}
