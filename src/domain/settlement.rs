//! The month's totals, for customer and business department.
//!
//! Owns the sums over invoices by product and department. Invariant: Σ invoices
//! = settlement, in net, tax and gross.

use serde::{Deserialize, Serialize};

use super::cycle::CycleId;
use super::money::Currency;

/// One total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementRow {
    /// Business department.
    pub department: String,
    /// Product.
    pub product: String,
    /// Lines charged.
    pub lines: u64,
    /// Octets of rated usage.
    pub octets: u64,
    /// Net recurring, minor units.
    pub recurring: i64,
    /// Net one-time, minor units.
    pub one_time: i64,
    /// Net usage, minor units.
    pub usage: i64,
    /// Σ of the three.
    pub net: i64,
}

/// One month, settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Which.
    pub cycle: CycleId,
    /// What every amount is in.
    pub currency: Currency,
    /// By department and product.
    pub rows: Vec<SettlementRow>,
    /// Invoices counted.
    pub invoices: u64,
    /// Σ net.
    pub net: i64,
    /// Σ tax.
    pub tax: i64,
    /// Σ gross.
    pub gross: i64,
}
