//! What a cycle has accumulated so far, for each line.

use serde::{Deserialize, Serialize};

use crate::domain::cycle::CycleId;
use crate::domain::tariff::MAIN_COUNTER;
use crate::domain::usage::UsageSource;

/// The totals of one cycle. The last of an account's buckets is the open one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Which cycle.
    pub cycle: CycleId,
    /// Whether it was closed: usage of this cycle goes to the next bill.
    pub closed: bool,
    /// Lines that have used anything in it.
    pub totals: Vec<LineTotal>,
    /// What plans with pools or rollover need beside it.
    pub more: Option<Box<BucketMore>>,
}

/// What the lines of an account have in common in a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketMore {
    /// The last cycle that may use what is left of this one: it is kept until then.
    pub rolls_through: Option<CycleId>,
    /// Pooled allowances.
    pub pools: Vec<Pool>,
}

/// A pooled allowance in a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// What was used.
    pub pot: Pot,
    /// Octets that the lines bring in.
    pub octets: u64,
    /// Version of the tariff that `octets` is by; worked out anew after a change of
    /// the version or of a line.
    pub sized_by: Option<u32>,
    /// Whether the earlier cycles were found without anything left, by the same version.
    pub is_dry: bool,
    /// Keys of the thresholds that have fired.
    pub fired: Vec<u32>,
}

/// One line's cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineTotal {
    /// Number of the line within the account.
    pub line: u16,
    /// Octets rated.
    pub octets: u64,
    /// What they cost, minor units.
    pub amount: i64,
    /// The source that charges the line in this cycle, once one has reported.
    pub source: Option<UsageSource>,
    /// Octets that other sources reported.
    pub reconciled: Vec<(UsageSource, u64)>,
    /// What top-ups, and plans with several prices, allowances or thresholds, need
    /// beside it.
    pub more: Option<Box<LineMore>>,
}

/// One line's cycle by price, allowance and top-up. Names are kept as keys
/// ([`crate::domain::tariff::counter_key`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineMore {
    /// Octets that each counter has priced.
    pub counters: Vec<(u32, u64)>,
    /// Own allowances.
    pub pots: Vec<Pot>,
    /// Keys of the thresholds that have fired.
    pub fired: Vec<u32>,
    /// Octets that it was topped up with.
    pub credit: u64,
    /// Octets of them used: in no counter.
    pub credit_used: u64,
}

/// What was used of an allowance of one cycle, a line's own or a pooled one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pot {
    /// Key of its name.
    pub key: u32,
    /// Octets of it used, in its own cycle and in later ones.
    pub used: u64,
    /// Octets of earlier cycles that this one has used.
    pub carried: u64,
}

impl Bucket {
    /// Empty and open.
    pub fn new(cycle: CycleId) -> Self {
        Self { cycle, closed: false, totals: Vec::new(), more: None }
    }

    /// Forgets what was counted and priced, and keeps who charges, top-ups, and thresholds
    /// that have fired.
    pub(crate) fn unprice(&mut self) {
        for total in &mut self.totals {
            (total.octets, total.amount) = (0, 0);
            if let Some(more) = &mut total.more {
                more.counters.clear();
                more.pots.clear();
                more.credit_used = 0;
            }
        }
        for pool in self.more.iter_mut().flat_map(|more| &mut more.pools) {
            pool.pot = Pot { key: pool.pot.key, used: 0, carried: 0 };
            pool.is_dry = false;
        }
    }

    /// The line's totals, where it has used anything.
    pub fn total(&self, line: u16) -> Option<&LineTotal> {
        self.totals.iter().find(|t| t.line == line)
    }

    /// The line's totals, made at the first use.
    pub fn total_mut(&mut self, line: u16) -> &mut LineTotal {
        let at = self.totals.iter().position(|t| t.line == line).unwrap_or_else(|| {
            let empty = LineTotal { line, octets: 0, amount: 0, source: None, reconciled: Vec::new(), more: None };
            self.totals.push(empty);
            self.totals.len() - 1
        });
        &mut self.totals[at]
    }

    /// Whether `cycle` may still use what is left of it.
    pub fn rolls_into(&self, cycle: CycleId) -> bool {
        self.more.as_ref().and_then(|more| more.rolls_through).is_some_and(|last| cycle <= last)
    }

    /// Whether `cycle` may still use what lines have left together.
    pub fn pools_roll_into(&self, cycle: CycleId) -> bool {
        self.rolls_into(cycle) && self.more.as_ref().is_some_and(|more| !more.pools.is_empty())
    }

    /// Keeps it until `cycle` has been closed.
    pub fn roll_through(&mut self, cycle: CycleId) {
        let more = self.more.get_or_insert_default();
        more.rolls_through = more.rolls_through.max(Some(cycle));
    }

    /// A pooled allowance, where any of it was used.
    pub fn pool(&self, key: u32) -> Option<&Pool> {
        self.more.as_ref()?.pools.iter().find(|pool| pool.pot.key == key)
    }

    /// A pooled allowance, made at the first use.
    pub fn pool_mut(&mut self, key: u32) -> &mut Pool {
        let pools = &mut self.more.get_or_insert_default().pools;
        let at = pools.iter().position(|pool| pool.pot.key == key).unwrap_or_else(|| {
            let pot = Pot { key, used: 0, carried: 0 };
            pools.push(Pool { pot, octets: 0, sized_by: None, is_dry: false, fired: Vec::new() });
            pools.len() - 1
        });
        &mut pools[at]
    }
}

impl LineTotal {
    /// Octets that a counter has priced. Without [`LineTotal::more`] the main
    /// counter has priced all.
    pub fn counter(&self, key: u32) -> u64 {
        match &self.more {
            None if key == MAIN_COUNTER => self.octets,
            None => 0,
            Some(more) => more.counters.iter().find(|(of, _)| *of == key).map_or(0, |(_, octets)| *octets),
        }
    }

    /// Octets that no counter has priced: allowances have covered them.
    pub fn covered(&self) -> u64 {
        let priced = |more: &LineMore| more.counters.iter().fold(0u64, |sum, (_, octets)| sum.saturating_add(*octets));
        self.more.as_ref().map_or(0, |more| self.octets.saturating_sub(priced(more)))
    }

    /// Notes what a counter has priced, before `octets` is changed with it.
    pub fn set_counter(&mut self, key: u32, octets: u64) {
        if key == MAIN_COUNTER && self.more.is_none() {
            return;
        }
        let counters = &mut self.more_mut().counters;
        match counters.iter_mut().find(|(of, _)| *of == key) {
            Some((_, counted)) => *counted = octets,
            None => counters.push((key, octets)),
        }
    }

    /// Its counters, allowances and thresholds; from here on the main counter is
    /// one of several.
    pub fn more_mut(&mut self) -> &mut LineMore {
        let counted = Some((MAIN_COUNTER, self.octets)).filter(|(_, octets)| *octets > 0);
        let more = || Box::new(LineMore { counters: counted.into_iter().collect(), ..LineMore::default() });
        self.more.get_or_insert_with(more)
    }

    /// An own allowance, where any of it was used.
    pub fn pot(&self, key: u32) -> Option<&Pot> {
        self.more.as_ref()?.pots.iter().find(|pot| pot.key == key)
    }

    /// An own allowance, made at the first use.
    pub fn pot_mut(&mut self, key: u32) -> &mut Pot {
        let pots = &mut self.more_mut().pots;
        let at = pots.iter().position(|pot| pot.key == key).unwrap_or_else(|| {
            pots.push(Pot { key, used: 0, carried: 0 });
            pots.len() - 1
        });
        &mut pots[at]
    }

    /// Octets that it was topped up with in this cycle.
    pub fn credit(&self) -> u64 {
        self.more.as_ref().map_or(0, |more| more.credit)
    }

    /// Octets of them left.
    pub fn credit_left(&self) -> u64 {
        self.more.as_ref().map_or(0, |more| more.credit - more.credit_used)
    }

    /// Notes octets, no more than are left, that a top-up covers.
    pub fn use_credit(&mut self, octets: u64) {
        if octets > 0 {
            self.more_mut().credit_used += octets;
        }
    }

    /// Counts octets of a source that does not charge.
    pub fn reconcile(&mut self, source: UsageSource, octets: u64) {
        match self.reconciled.iter_mut().find(|(s, _)| *s == source) {
            Some((_, sum)) => *sum = sum.saturating_add(octets),
            None => self.reconciled.push((source, octets)),
        }
    }
}
