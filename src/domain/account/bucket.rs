//! What a cycle has accumulated so far, for each line.

use serde::{Deserialize, Serialize};

use crate::domain::cycle::CycleId;
use crate::domain::usage::UsageSource;

/// The totals of one cycle. The last of an account's buckets is the open one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Which cycle.
    pub cycle: CycleId,
    /// Whether it was closed: usage of this cycle goes to the next bill.
    pub closed: bool,
    /// Lines that have used anything in it.
    pub totals: Vec<LineTotal>,
}

/// One line's cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Bucket {
    /// Empty and open.
    pub fn new(cycle: CycleId) -> Self {
        Self { cycle, closed: false, totals: Vec::new() }
    }

    /// The line's totals, where it has used anything.
    pub fn total(&self, line: u16) -> Option<&LineTotal> {
        self.totals.iter().find(|t| t.line == line)
    }

    /// The line's totals, made at the first use.
    pub fn total_mut(&mut self, line: u16) -> &mut LineTotal {
        let at = self.totals.iter().position(|t| t.line == line).unwrap_or_else(|| {
            self.totals.push(LineTotal { line, octets: 0, amount: 0, source: None, reconciled: Vec::new() });
            self.totals.len() - 1
        });
        &mut self.totals[at]
    }
}

impl LineTotal {
    /// Counts octets of a source that does not charge.
    pub fn reconcile(&mut self, source: UsageSource, octets: u64) {
        match self.reconciled.iter_mut().find(|(s, _)| *s == source) {
            Some((_, sum)) => *sum = sum.saturating_add(octets),
            None => self.reconciled.push((source, octets)),
        }
    }
}
