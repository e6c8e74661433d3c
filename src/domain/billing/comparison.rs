//! Two bills side by side, line of the bill by line of the bill.

use super::{Charge, ChargeKind};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{LineId, PlanId};

/// One thing that is charged, on either bill or on both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The line charged.
    pub line: LineId,
    /// The plan that the price is from.
    pub plan: PlanId,
    /// What for.
    pub kind: ChargeKind,
    /// For the document.
    pub description: String,
    /// The cycle of late usage, where it is not the bill's own.
    pub late_for: Option<CycleId>,
    /// On the one bill.
    pub before: Option<Side>,
    /// On the other.
    pub after: Option<Side>,
}

/// What a bill says of it, summed over its stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Side {
    /// See [`Charge::quantity`].
    pub quantity: u64,
    /// Net, minor units.
    pub amount: i64,
}

/// Each thing that one of the bills charges, in the order of the first, and behind
/// the same line's what only the other has.
pub fn side_by_side(before: &[Charge], after: &[Charge]) -> Vec<Compared> {
    let mut rows: Vec<Compared> = Vec::new();
    for charge in before {
        let at = row_of(&mut rows, charge);
        add(&mut rows[at].before, charge);
    }
    for charge in after {
        let at = row_of(&mut rows, charge);
        add(&mut rows[at].after, charge);
    }
    rows
}

/// Where the charge's row is, made where there is none.
fn row_of(rows: &mut Vec<Compared>, charge: &Charge) -> usize {
    let same = |row: &Compared| {
        (&row.line, &row.plan, row.kind, &row.description, row.late_for)
            == (&charge.line, &charge.plan, charge.kind, &charge.description, charge.late_for)
    };
    rows.iter().position(same).unwrap_or_else(|| {
        let at = rows.iter().rposition(|row| row.line == charge.line).map_or(rows.len(), |last| last + 1);
        let Charge { line, plan, kind, description, late_for, .. } = charge.clone();
        rows.insert(at, Compared { line, plan, kind, description, late_for, before: None, after: None });
        at
    })
}

fn add(side: &mut Option<Side>, charge: &Charge) {
    let sum = side.get_or_insert_default();
    sum.quantity = sum.quantity.saturating_add(charge.quantity);
    sum.amount = sum.amount.saturating_add(charge.amount);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Interval, Timestamp};

    fn bill(charges: &[(&str, &str, ChargeKind, u64, i64)]) -> Vec<Charge> {
        let charge = |&(line, plan, kind, quantity, amount): &(&str, &str, ChargeKind, u64, i64)| Charge {
            line: line.into(),
            plan: plan.into(),
            product: "iot".to_owned(),
            department: "iot".to_owned(),
            kind,
            description: plan.to_owned(),
            span: Interval { from: Timestamp(0), until: Timestamp(1) },
            quantity,
            amount,
            late_for: None,
        };
        charges.iter().map(charge).collect()
    }

    #[test]
    fn bills_stand_side_by_side_in_the_order_of_the_first() {
        use ChargeKind::{Recurring, Usage};
        let before = bill(&[
            ("a", "old", Recurring, 10, 100),
            ("a", "old", Recurring, 20, 200),
            ("a", "old", Usage, 5, 7),
            ("b", "old", Recurring, 30, 300),
        ]);
        let after = bill(&[
            ("a", "old", Recurring, 10, 100),
            ("a", "new", Recurring, 20, 900),
            ("a", "old", Usage, 5, 7),
            ("c", "new", Recurring, 1, 1),
        ]);
        let rows = side_by_side(&before, &after);
        let text = |side: Option<Side>| side.map_or("-".to_owned(), |s| format!("{}={}", s.quantity, s.amount));
        let rows: Vec<String> = rows
            .iter()
            .map(|r| format!("{} {} {:?} {} {}", r.line, r.plan, r.kind, text(r.before), text(r.after)))
            .collect();
        assert_eq!(
            rows,
            [
                "a old Recurring 30=300 10=100",
                "a old Usage 5=7 5=7",
                "a new Recurring - 20=900",
                "b old Recurring 30=300 -",
                "c new Recurring - 1=1",
            ]
        );
    }
}
