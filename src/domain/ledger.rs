//! Double entry for money and for octets.
//!
//! Owns what a posting is and the accounts it may touch. A posting is never
//! edited; a correction is a reversal and a new posting.
//!
//! Invariant: the postings of one movement sum to zero in each [`Unit`].

use serde::{Deserialize, Serialize};

/// What a posting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Octets of usage.
    Octets,
    /// Minor units of the tariff's currency.
    Minor,
}

/// The side of a movement, within one charging account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerSide {
    /// Octets that the network reported.
    Network,
    /// Octets covered by the allowance.
    Allowance,
    /// Octets charged by price.
    Charged,
    /// What the customer owes and no invoice shows yet.
    Unbilled,
    /// What the customer owes on invoices.
    Receivable,
    /// What the company earned.
    Revenue,
    /// Value-added tax held for the state.
    Tax,
    /// Octets that a line was topped up with.
    TopUp,
    /// Octets of top-ups: credited when topped up, debited as they are used.
    Credit,
}

/// One half of a movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Which side.
    pub side: LedgerSide,
    /// In what.
    pub unit: Unit,
    /// Debit positive, credit negative.
    pub amount: i64,
}

/// Whether a movement's postings sum to zero in each unit.
pub fn balanced(postings: &[Posting]) -> bool {
    [Unit::Octets, Unit::Minor]
        .into_iter()
        .all(|unit| postings.iter().filter(|p| p.unit == unit).map(|p| i128::from(p.amount)).sum::<i128>() == 0)
}
