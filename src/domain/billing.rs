//! Bills: what a month costs an account, and the document that says so.
//!
//! Owns charges, proration, tax and the invoice. Does **not** own rated usage
//! ([`super::rating`]) or the totals over all customers ([`super::settlement`]).
//!
//! Invariants: one bill for an account and cycle; lines sum to the net, net and
//! tax to the gross; a final invoice never changes; numbers have no gap; nothing is
//! due of a bill below zero: it is a credit of the customer.
//!
//! [`charges`] makes the charges of lines, [`invoicing`] the invoice of an account
//! and its postings, [`comparison`] puts two bills side by side.
//!
//! Timestamps: `issued` is when it was finalised, the cycle's interval is the
//! customer's local month.

pub mod charges;
pub mod comparison;
pub mod invoicing;

pub use charges::{CycleDays, Unbillable, UsageSum, account_charges};
pub use comparison::{Compared, Side, side_by_side};
pub use invoicing::{BillTo, invoice, invoice_id};

use serde::{Deserialize, Serialize};

use super::cycle::CycleId;
use super::ids::{AccountId, CustomerId, InvoiceId, LineId, PlanId};
use super::money::Currency;
use super::time::{Interval, Timestamp};

/// What a charge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChargeKind {
    /// The monthly fee, prorated by days.
    Recurring,
    /// A fee charged once.
    OneTime,
    /// Rated usage.
    Usage,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The line charged.
    pub line: LineId,
    /// The plan that the price is from.
    pub plan: PlanId,
    /// Settlement product.
    pub product: String,
    /// Business department.
    pub department: String,
    /// What for.
    pub kind: ChargeKind,
    /// For the document.
    pub description: String,
    /// What it covers.
    pub span: Interval,
    /// Days charged for a recurring charge, octets for usage, 1 for a one-time fee.
    pub quantity: u64,
    /// Net, minor units.
    pub amount: i64,
    /// The cycle of late usage, where it is not the bill's own.
    pub late_for: Option<CycleId>,
}

/// A gapless number within a series: `2026-000042`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InvoiceNumber {
    /// The series: the year of issue.
    pub series: String,
    /// 1, 2, 3, … without a gap.
    pub number: u64,
}

impl std::fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:06}", self.series, self.number)
    }
}

/// One invoice, final. TMF678 `customerBill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// Its id; stable for an account and cycle.
    pub id: InvoiceId,
    /// Given in the transaction that stores it; `None` until then.
    pub number: Option<InvoiceNumber>,
    /// What it bills.
    pub account: AccountId,
    /// Who pays.
    pub customer: CustomerId,
    /// Where the document goes.
    pub email: Option<String>,
    /// Which cycle.
    pub cycle: CycleId,
    /// The cycle's stretch.
    pub span: Interval,
    /// What every amount is in.
    pub currency: Currency,
    /// The lines.
    pub charges: Vec<Charge>,
    /// Σ charges.
    pub net: i64,
    /// Percent.
    pub tax_percent: u8,
    /// Tax on the net, once.
    pub tax: i64,
    /// Net + tax; negative where more is given back than is charged.
    pub gross: i64,
    /// When it was finalised.
    pub issued: Timestamp,
}

impl Invoice {
    /// What is to be paid, minor units: never negative.
    pub fn due(&self) -> i64 {
        self.gross.max(0)
    }

    /// What the customer has to his credit, minor units: 0 where there is something to pay.
    pub fn credit(&self) -> i64 {
        self.gross.saturating_neg().max(0)
    }
}
