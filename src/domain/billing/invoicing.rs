//! The invoice of an account, and what it posts.
//!
//! An account without any charge gets no invoice. One whose charges come to
//! nothing (usage inside an allowance) gets one over nothing, because it shows
//! the usage.

use super::{Charge, ChargeKind, CycleDays, Invoice};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, CustomerId, InvoiceId};
use crate::domain::ledger::{LedgerSide, Posting, Unit, balanced};
use crate::domain::tariff::Tariff;
use crate::domain::time::Timestamp;

/// Whom an invoice is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillTo {
    /// What is billed.
    pub account: AccountId,
    /// Who pays.
    pub customer: CustomerId,
    /// Where the document goes.
    pub email: Option<String>,
}

/// The id of an account's invoice for a cycle: the same every time.
pub fn invoice_id(cycle: CycleId, account: &AccountId) -> InvoiceId {
    InvoiceId::from(format!("inv-{cycle}-{account}"))
}

/// The invoice over `charges`, without its number, and its postings; `None`
/// without charges. Tax is worked out once, on the net, by the one rounding rule
/// ([`Tariff::tax_on`]). `charges` keep their order.
pub fn invoice(
    to: BillTo,
    cycle: &CycleDays,
    charges: Vec<Charge>,
    tariff: &Tariff,
    issued: Timestamp,
) -> Option<(Invoice, Vec<Posting>)> {
    if charges.is_empty() {
        return None;
    }
    let net = charges.iter().map(|c| c.amount).sum();
    let tax = tariff.tax_on(net);
    let invoice = Invoice {
        id: invoice_id(cycle.cycle, &to.account),
        number: None,
        account: to.account,
        customer: to.customer,
        email: to.email,
        cycle: cycle.cycle,
        span: cycle.bounds,
        currency: tariff.currency,
        charges,
        net,
        tax_percent: tariff.tax_percent,
        tax,
        gross: net + tax,
        issued,
    };
    let postings = postings(&invoice);
    assert!(balanced(&postings), "an invoice's postings sum to zero");
    Some((invoice, postings))
}

/// Usage was earned when it was rated, and moves from unbilled to receivable;
/// fees are earned here; tax is held for the state.
fn postings(invoice: &Invoice) -> Vec<Posting> {
    let usage: i64 = invoice.charges.iter().filter(|c| c.kind == ChargeKind::Usage).map(|c| c.amount).sum();
    [
        (LedgerSide::Receivable, invoice.gross),
        (LedgerSide::Unbilled, -usage),
        (LedgerSide::Revenue, usage - invoice.net),
        (LedgerSide::Tax, -invoice.tax),
    ]
    .into_iter()
    .filter(|(_, amount)| *amount != 0)
    .map(|(side, amount)| Posting { side, unit: Unit::Minor, amount })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cycle::Calendar;
    use crate::domain::ids::{LineId, PlanId};
    use crate::domain::money::Currency;

    fn bill(currency: Currency, tax_percent: u8, amounts: &[(ChargeKind, i64)]) -> Option<(Invoice, Vec<Posting>)> {
        let tariff = Tariff::empty(1, currency, tax_percent);
        let cycle = CycleDays::of(&Calendar::new(1, "Asia/Seoul").unwrap(), "2026-10".parse().unwrap());
        let charges = amounts.iter().map(|&(kind, amount)| Charge {
            line: LineId::from("L1"),
            plan: PlanId::from("p"),
            product: "iot".into(),
            department: "iot".into(),
            kind,
            description: "plan".into(),
            span: cycle.bounds,
            quantity: 1,
            amount,
            late_for: None,
        });
        let to = BillTo { account: "A1".into(), customer: "C1".into(), email: None };
        invoice(to, &cycle, charges.collect(), &tariff, Timestamp(0))
    }

    #[test]
    fn tax_is_rounded_once_on_the_net_of_the_invoice() {
        use ChargeKind::{OneTime, Recurring, Usage};
        type Row = (Currency, u8, &'static [(ChargeKind, i64)], i64, i64, i64);
        // currency, tax %, charges, net, tax, gross
        let table: &[Row] = &[
            (Currency::KRW, 10, &[(Recurring, 5500), (Usage, 333)], 5833, 583, 6416),
            (Currency::KRW, 10, &[(Recurring, 4), (Usage, 4)], 8, 1, 9),
            (Currency::KRW, 10, &[(Usage, 5)], 5, 1, 6),
            (Currency::USD, 7, &[(Recurring, 1999), (OneTime, 500)], 2499, 175, 2674),
            (Currency::KWD, 5, &[(Recurring, 1_234)], 1_234, 62, 1_296),
            (Currency::JPY, 0, &[(Recurring, 980)], 980, 0, 980),
            (Currency::KRW, 10, &[(Usage, 0)], 0, 0, 0),
        ];
        for (currency, percent, charges, net, tax, gross) in table {
            let (invoice, postings) = bill(*currency, *percent, charges).unwrap();
            assert_eq!((invoice.net, invoice.tax, invoice.gross), (*net, *tax, *gross), "{currency:?} {charges:?}");
            assert!(balanced(&postings));
            assert_eq!(invoice.id.as_str(), "inv-2026-10-A1");
        }
    }

    #[test]
    fn a_bill_below_zero_is_a_credit_and_nothing_is_due() {
        use ChargeKind::{Recurring, Usage};
        type Row = (Currency, u8, &'static [(ChargeKind, i64)], i64, i64, i64, i64);
        // currency, tax %, charges (reversed usage of a closed month is negative), net, tax, due, credit
        let table: &[Row] = &[
            (Currency::KRW, 10, &[(Recurring, 5500), (Usage, -333)], 5167, 517, 5684, 0),
            (Currency::KRW, 10, &[(Recurring, 550), (Usage, -550)], 0, 0, 0, 0),
            (Currency::KRW, 10, &[(Recurring, 550), (Usage, -1000)], -450, -45, 0, 495),
            // The tax that is given back is rounded as the tax that was taken.
            (Currency::KRW, 10, &[(Usage, -5)], -5, -1, 0, 6),
            (Currency::USD, 7, &[(Usage, -2499)], -2499, -175, 0, 2674),
            (Currency::JPY, 0, &[(Usage, -1)], -1, 0, 0, 1),
        ];
        for (currency, percent, charges, net, tax, due, credit) in table {
            let (invoice, postings) = bill(*currency, *percent, charges).unwrap();
            assert_eq!((invoice.net, invoice.tax), (*net, *tax), "{currency:?} {charges:?}");
            assert_eq!((invoice.due(), invoice.credit()), (*due, *credit), "{currency:?} {charges:?}");
            let receivable = postings.iter().filter(|p| p.side == LedgerSide::Receivable).map(|p| p.amount);
            assert_eq!(receivable.sum::<i64>(), due - credit, "{currency:?} {charges:?}");
        }
    }

    #[test]
    fn usage_leaves_unbilled_and_fees_become_revenue() {
        let (_, postings) =
            bill(Currency::KRW, 10, &[(ChargeKind::Recurring, 1000), (ChargeKind::Usage, 200)]).unwrap();
        let side = |side| postings.iter().find(|p| p.side == side).map(|p| p.amount);
        assert_eq!(side(LedgerSide::Receivable), Some(1320));
        assert_eq!(side(LedgerSide::Unbilled), Some(-200));
        assert_eq!(side(LedgerSide::Revenue), Some(-1000));
        assert_eq!(side(LedgerSide::Tax), Some(-120));
    }

    #[test]
    fn an_account_without_charges_gets_no_invoice() {
        assert_eq!(bill(Currency::KRW, 10, &[]), None);
    }
}
