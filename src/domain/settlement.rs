//! The month's totals, for customer and business department.
//!
//! Owns the sums over invoices by product and department. Invariant: Σ invoices
//! = settlement = ledger, in net, tax and gross.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::billing::{ChargeKind, Invoice};
use super::cycle::CycleId;
use super::ids::LineId;
use super::ledger::{LedgerSide, Posting, Unit};
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

impl Settlement {
    /// One department's rows.
    pub fn department<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SettlementRow> {
        self.rows.iter().filter(move |r| r.department == name)
    }

    /// The departments in it, each once, in order.
    pub fn departments(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.rows.iter().map(|r| r.department.as_str()).collect();
        names.into_iter().collect()
    }

    /// Holds the settlement against the sum of the ledger's postings over the
    /// month's invoices, and its rows against its own totals.
    pub fn check_against(&self, ledger: &[Posting]) -> Result<(), Imbalance> {
        let sum = |f: fn(&SettlementRow) -> i64| self.rows.iter().map(f).sum::<i64>();
        let usage = sum(|r| r.usage);
        let posted = |side: LedgerSide| {
            let of_side = ledger.iter().filter(|p| p.unit == Unit::Minor && p.side == side);
            of_side.map(|p| p.amount).sum::<i64>()
        };
        let table = [
            ("net by product", sum(|r| r.net), self.net),
            ("gross", self.net + self.tax, self.gross),
            ("receivable", posted(LedgerSide::Receivable), self.gross),
            ("unbilled", posted(LedgerSide::Unbilled), -usage),
            ("revenue", posted(LedgerSide::Revenue), usage - self.net),
            ("tax", posted(LedgerSide::Tax), -self.tax),
        ];
        match table.into_iter().find(|(_, found, settled)| found != settled) {
            Some((what, found, settled)) => Err(Imbalance { cycle: self.cycle, what, found, settled }),
            None => Ok(()),
        }
    }
}

/// Books that do not agree: a person must look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settle {cycle}: {what} is {found}, the settlement says {settled}")]
pub struct Imbalance {
    /// Which month.
    pub cycle: CycleId,
    /// Which total.
    pub what: &'static str,
    /// What the books hold, minor units.
    pub found: i64,
    /// What the settlement holds, minor units.
    pub settled: i64,
}

/// Adds invoices up; holds one row for each department and product.
#[derive(Debug, Clone)]
pub struct SettlementSum {
    settlement: Settlement,
    rows: BTreeMap<(String, String), SettlementRow>,
}

impl SettlementSum {
    /// Nothing yet.
    pub fn new(cycle: CycleId, currency: Currency) -> Self {
        let settlement = Settlement { cycle, currency, rows: Vec::new(), invoices: 0, net: 0, tax: 0, gross: 0 };
        Self { settlement, rows: BTreeMap::new() }
    }

    /// Adds one invoice. A line counts once in each row that charges it.
    pub fn add(&mut self, invoice: &Invoice) {
        let mut counted: BTreeSet<(&LineId, &str, &str)> = BTreeSet::new();
        for charge in &invoice.charges {
            let key = (charge.department.clone(), charge.product.clone());
            let row = self.rows.entry(key).or_insert_with(|| SettlementRow {
                department: charge.department.clone(),
                product: charge.product.clone(),
                lines: 0,
                octets: 0,
                recurring: 0,
                one_time: 0,
                usage: 0,
                net: 0,
            });
            row.lines += u64::from(counted.insert((&charge.line, &charge.department, &charge.product)));
            row.net += charge.amount;
            match charge.kind {
                ChargeKind::Recurring => row.recurring += charge.amount,
                ChargeKind::OneTime => row.one_time += charge.amount,
                ChargeKind::Usage => {
                    row.usage += charge.amount;
                    row.octets = row.octets.saturating_add(charge.quantity);
                }
            }
        }
        self.settlement.invoices += 1;
        self.settlement.net += invoice.net;
        self.settlement.tax += invoice.tax;
        self.settlement.gross += invoice.gross;
    }

    /// The settlement, rows by department and product.
    pub fn finish(self) -> Settlement {
        Settlement { rows: self.rows.into_values().collect(), ..self.settlement }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(side: LedgerSide, amount: i64) -> Posting {
        Posting { side, unit: Unit::Minor, amount }
    }

    /// Fees of 1,000 and usage of 200, with 10 % tax.
    fn settled() -> (Settlement, Vec<Posting>) {
        let row = SettlementRow {
            department: "iot".into(),
            product: "iot".into(),
            lines: 1,
            octets: 5,
            recurring: 1000,
            one_time: 0,
            usage: 200,
            net: 1200,
        };
        let cycle = CycleId { year: 2026, month: 10 };
        let rows = vec![row];
        let settlement =
            Settlement { cycle, currency: Currency::KRW, rows, invoices: 1, net: 1200, tax: 120, gross: 1320 };
        let ledger = vec![
            posting(LedgerSide::Receivable, 1320),
            posting(LedgerSide::Unbilled, -200),
            posting(LedgerSide::Revenue, -1000),
            posting(LedgerSide::Tax, -120),
        ];
        (settlement, ledger)
    }

    #[test]
    fn books_that_agree_pass() {
        let (settlement, ledger) = settled();
        assert_eq!(settlement.check_against(&ledger), Ok(()));
    }

    #[test]
    fn one_won_astray_on_any_side_is_named() {
        for (i, what) in ["receivable", "unbilled", "revenue", "tax"].into_iter().enumerate() {
            let (settlement, mut ledger) = settled();
            ledger[i].amount += 1;
            assert_eq!(settlement.check_against(&ledger).unwrap_err().what, what);
        }
        let (mut settlement, ledger) = settled();
        settlement.rows[0].net -= 1;
        assert_eq!(settlement.check_against(&ledger).unwrap_err().what, "net by product");
    }
}
