//! Allowances: which octets of a cycle the fee has paid for.
//!
//! An allowance is a pot of octets for each cycle. What is left of a pot is worked
//! out where it is used, and what later cycles use of it is noted in the pot itself:
//! so usage that comes late for its cycle finds what is really left, and idle lines
//! cost nothing.

use crate::domain::account::{Account, Bucket, LineCharging, Pot};
use crate::domain::cycle::CycleId;
use crate::domain::tariff::{
    Allowance, BitRates, Circumstances, Reach, Rollover, Tariff, Threshold, UsagePrice, counter_key,
};
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
        left -= Pots { allowance, key: counter_key(&allowance.name), no, tariff }.take(account, cycle, left);
    }
    octets - left
}

/// An allowance's pots, one for each cycle: of line `no` alone, or of all lines.
struct Pots<'a> {
    allowance: &'a Allowance,
    key: u32,
    no: u16,
    tariff: &'a Tariff,
}

impl Pots<'_> {
    /// Takes up to `wanted` octets for `cycle`: what earlier cycles have left, the
    /// oldest first, and then its own.
    fn take(&self, account: &mut Account, cycle: CycleId, wanted: u64) -> u64 {
        let octets = self.size(account, cycle);
        let rolled = self.allowance.rollover.map_or(0, |rollover| {
            account.bucket_mut(cycle).roll_through(cycle.later(rollover.cycles));
            self.take_rolled(account, cycle, rollover, wanted)
        });
        let pot = self.pot_mut(account, cycle);
        let taken = (wanted - rolled).min(octets.saturating_sub(pot.used));
        pot.used += taken;
        rolled + taken
    }

    fn take_rolled(&self, account: &mut Account, cycle: CycleId, rollover: Rollover, wanted: u64) -> u64 {
        if self.allowance.pooled && account.bucket(cycle).and_then(|b| b.pool(self.key)).is_some_and(|p| p.is_dry) {
            return 0;
        }
        let carried = self.pot(account, cycle).map_or(0, |pot| pot.carried);
        let most = wanted.min(rollover.octets_max.saturating_sub(carried));
        let mut taken = 0;
        for of in (1..=rollover.cycles).rev().map(|back| cycle.earlier(back)) {
            if taken == most {
                break;
            }
            let used = self.pot(account, of).map_or(0, |pot| pot.used);
            let some = (most - taken).min(self.octets(account, of).saturating_sub(used));
            if some > 0 {
                account.bucket_mut(of).roll_through(of.later(rollover.cycles));
                self.pot_mut(account, of).used += some;
                taken += some;
            }
        }
        if taken > 0 {
            self.pot_mut(account, cycle).carried += taken;
        }
        // Looking costs as much as there are lines: once is enough.
        if self.allowance.pooled && taken < most {
            account.bucket_mut(cycle).pool_mut(self.key).is_dry = true;
        }
        taken
    }

    fn pot<'b>(&self, account: &'b Account, of: CycleId) -> Option<&'b Pot> {
        let bucket = account.bucket(of)?;
        match self.allowance.pooled {
            true => bucket.pool(self.key).map(|pool| &pool.pot),
            false => bucket.total(self.no)?.pot(self.key),
        }
    }

    fn pot_mut<'b>(&self, account: &'b mut Account, of: CycleId) -> &'b mut Pot {
        let bucket = account.bucket_mut(of);
        match self.allowance.pooled {
            true => &mut bucket.pool_mut(self.key).pot,
            false => bucket.total_mut(self.no).pot_mut(self.key),
        }
    }

    /// How much the pot of `cycle`, which is used in, holds when it is full; a pool's
    /// size is kept.
    fn size(&self, account: &mut Account, cycle: CycleId) -> u64 {
        if !self.allowance.pooled {
            return self.allowance.octets;
        }
        let octets = self.octets(account, cycle);
        let pool = account.bucket_mut(cycle).pool_mut(self.key);
        let by = Some(self.tariff.version);
        if pool.sized_by != by {
            (pool.octets, pool.sized_by, pool.is_dry) = (octets, by, false);
        }
        octets
    }

    /// How much the pot of `of` holds when it is full: what the line brings in, or all
    /// lines, each by its last plan in the cycle.
    fn octets(&self, account: &Account, of: CycleId) -> u64 {
        let span = || account.calendar().bounds(of);
        if !self.allowance.pooled {
            return account.line_by_no(self.no).map_or(0, |line| self.share_of(line, span()));
        }
        let pool = account.bucket(of).and_then(|bucket| bucket.pool(self.key));
        match pool.filter(|pool| pool.sized_by == Some(self.tariff.version)) {
            Some(sized) => sized.octets,
            None => {
                let span = span();
                account.lines.iter().fold(0, |sum, line| sum.saturating_add(self.share_of(line, span)))
            }
        }
    }

    /// What the line brings in in the cycle of `span`, by its last plan in it; nothing
    /// where it was not in service.
    fn share_of(&self, line: &LineCharging, span: Interval) -> u64 {
        let last = Timestamp(span.until.0 - 1);
        if !line.was_active(span.from, last) {
            return 0;
        }
        let plan = line.plan_at(last).and_then(|id| self.tariff.plan(id)).and_then(|plan| plan.usage.as_ref());
        let same = plan.and_then(|usage| usage.allowances.iter().find(|a| a.name == self.allowance.name));
        same.filter(|a| a.pooled == self.allowance.pooled).map_or(0, |a| a.octets)
    }
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
        (key, true) => bucket.pool(key).map_or(0, |pool| pool.pot.used),
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
    for (key, pooled, back) in backs.into_iter().filter(|(_, _, back)| *back > 0) {
        match pooled {
            true => {
                account.bucket_mut(cycle).pool_mut(key).pot.used -= back;
                account.look_into_pools_again();
            }
            false => account.bucket_mut(cycle).total_mut(no).pot_mut(key).used -= back,
        }
    }
    true
}

/// The plan's thresholds that the line's open cycle has reached and that have not
/// fired in it; they have from here on.
pub(super) fn crossed(account: &mut Account, no: u16, prices: &UsagePrice) -> Vec<Crossing> {
    let mut crossed = Vec::new();
    let Some(open) = account.buckets.last_mut().filter(|_| !prices.thresholds.is_empty()) else { return crossed };
    for threshold in &prices.thresholds {
        if !is_reached(open, no, prices, threshold) {
            continue;
        }
        let fired = match prices.pool_of(threshold) {
            Some(pool) => &mut open.pool_mut(counter_key(&pool.name)).fired,
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

/// To what the line is slowed down at this moment: the lowest rates of the thresholds
/// that its open cycle has reached. A top-up lifts it until its octets are used up.
pub(super) fn throttled(account: &Account, no: u16, prices: &UsagePrice) -> Option<BitRates> {
    let open = account.buckets.last()?;
    if open.total(no).is_some_and(|total| total.credit_left() > 0) {
        return None;
    }
    let rates = |threshold: &Threshold| threshold.throttle.filter(|_| is_reached(open, no, prices, threshold));
    prices.thresholds.iter().filter_map(rates).reduce(BitRates::lower)
}

fn is_reached(open: &Bucket, no: u16, prices: &UsagePrice, threshold: &Threshold) -> bool {
    let reached =
        |part: u64, whole: u64, percent: u8| u128::from(part) * 100 >= u128::from(whole) * u128::from(percent);
    let total = open.total(no);
    match &threshold.at {
        Reach::Amount(amount) => total.is_some_and(|total| total.amount >= *amount),
        Reach::CapPercent(percent) => total.is_some_and(|total| {
            let cap = prices.cap_octets.unwrap_or(u64::MAX).saturating_add(total.credit());
            reached(total.octets, cap, *percent)
        }),
        Reach::Allowance(share) => {
            let key = counter_key(&share.name);
            let of_plan = prices.allowances.iter().find(|a| a.name == share.name);
            let (used, octets) = match of_plan {
                Some(pooled) if pooled.pooled => open.pool(key).map_or((0, 0), |pool| (pool.pot.used, pool.octets)),
                Some(own) => (total.and_then(|total| total.pot(key)).map_or(0, |pot| pot.used), own.octets),
                None => (0, 0),
            };
            used > 0 && reached(used, octets, share.percent)
        }
    }
}
