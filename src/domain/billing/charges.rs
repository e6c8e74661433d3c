//! What a cycle costs a line: the monthly fee by days, the fee of its
//! activation, and its usage.
//!
//! The rules, each by local days of the account's calendar:
//!
//! - A day is charged when the line was in service during any part of it. So the
//!   day of the activation counts, and the day of the termination counts, unless
//!   it ended at midnight exactly.
//! - A day on which the line was suspended from midnight to midnight is charged
//!   the plan's `suspended_percent` of the fee.
//! - A day is charged once: a change of plan counts from its own day on, for the
//!   plan that the line has at the end of that day.
//! - A day is charged by the version of the tariff that holds at its end, so a fee
//!   that changes within a cycle counts by days.
//! - Each monthly fee is divided over all days of the cycle by largest remainder, so
//!   that the parts of a whole cycle sum to the fee.
//! - The activation fee, and each fee charged once, is charged in the cycle in which the line first came into
//!   service, by the plan that it had then. A line that was in service before it
//!   was known here (moved in from another system) pays none.
//! - An activation that was undone (the line went back to absent) was never in
//!   service and costs nothing.
//! - A period that is still open counts to the end of the cycle.

use std::collections::BTreeMap;

use super::{Charge, ChargeKind};
use crate::domain::cycle::{Calendar, CycleId};
use crate::domain::ids::{LineId, PlanId};
use crate::domain::line::{Line, LineState, Period};
use crate::domain::money::split_by_weight;
use crate::domain::tariff::{FeeTime, Plan, TariffBook};
use crate::domain::time::{Interval, Timestamp};

/// A cycle with its local days, worked out once for all lines of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleDays {
    /// Which cycle.
    pub cycle: CycleId,
    /// Its stretch.
    pub bounds: Interval,
    /// Each local day, half-open, from midnight to midnight.
    pub days: Vec<Interval>,
}

impl CycleDays {
    /// The days of `cycle` in `calendar`; 28 to 31 of them (a clock change makes
    /// a day shorter or longer, not fewer).
    pub fn of(calendar: &Calendar, cycle: CycleId) -> Self {
        let (mut day, end) = (calendar.first_day(cycle), calendar.first_day(cycle.next()));
        let mut days = Vec::with_capacity(31);
        while day < end {
            let Ok(next) = day.tomorrow() else { break };
            days.push(Interval { from: calendar.midnight(day), until: calendar.midnight(next) });
            day = next;
        }
        Self { cycle, bounds: calendar.bounds(cycle), days }
    }
}

/// Rated usage of one line and plan on one bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSum {
    /// The line.
    pub line: LineId,
    /// The plan that priced it.
    pub plan: PlanId,
    /// The cycle that it belongs to and its stretch, where that was closed before.
    pub late_for: Option<(CycleId, Interval)>,
    /// Octets.
    pub octets: u64,
    /// Minor units.
    pub amount: i64,
}

/// A line that cannot be billed as things are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bill line `{line}`: plan `{plan}` is not in the tariff")]
pub struct Unbillable {
    /// The line.
    pub line: LineId,
    /// The plan that nothing is known of.
    pub plan: PlanId,
}

/// What the cycle costs an account: line by line, fees and then usage, so that a bill
/// reads line by line; usage of lines that have left the account is behind it all.
///
/// # Errors
/// A line or its usage has a plan that is not in the tariff.
pub fn account_charges(
    lines: &[Line],
    usage: Vec<UsageSum>,
    cycle: &CycleDays,
    tariff: &TariffBook,
) -> Result<Vec<Charge>, Unbillable> {
    let mut by_line: BTreeMap<LineId, Vec<UsageSum>> = BTreeMap::new();
    for sum in usage {
        by_line.entry(sum.line.clone()).or_default().push(sum);
    }
    let mut charges = Vec::new();
    for line in lines {
        charges.extend(charges_for(line, cycle, tariff)?);
        for sum in by_line.remove(&line.id).unwrap_or_default() {
            charges.push(usage_charge(sum, cycle, tariff)?);
        }
    }
    for sum in by_line.into_values().flatten() {
        charges.push(usage_charge(sum, cycle, tariff)?);
    }
    Ok(charges)
}

/// What the cycle costs the line beside its usage: recurring charges in order of
/// time, then the activation fee. Charges of nothing are left out.
fn charges_for(line: &Line, cycle: &CycleDays, tariff: &TariffBook) -> Result<Vec<Charge>, Unbillable> {
    let service = in_service(&line.periods);
    let mut charges = recurring(line, service, cycle, tariff)?;
    charges.extend(activation(line, service, cycle, tariff)?);
    Ok(charges)
}

/// A usage charge: kept when it costs nothing, because the document and the
/// settlement show the octets.
fn usage_charge(sum: UsageSum, cycle: &CycleDays, tariff: &TariffBook) -> Result<Charge, Unbillable> {
    let plan = plan_of(tariff, last_of(&cycle.bounds), &sum.line, &sum.plan)?;
    let span = sum.late_for.map_or(cycle.bounds, |(_, span)| span);
    let mut charge = charge(&sum.line, &sum.plan, plan, ChargeKind::Usage, span);
    charge.quantity = sum.octets;
    charge.amount = sum.amount;
    charge.late_for = sum.late_for.map(|(cycle, _)| cycle);
    Ok(charge)
}

/// The periods of the service that was not undone. A service ends in
/// `Terminated`, whose period begins where the last one ended; one that ends
/// without a successor went back to absent.
fn in_service(periods: &[Period]) -> &[Period] {
    let mut start = 0;
    for (i, period) in periods.iter().enumerate() {
        let followed = periods.get(i + 1).is_some_and(|next| next.span.from == period.span.until);
        if period.span.until != Timestamp::MAX && !followed {
            start = i + 1;
        }
    }
    &periods[start..]
}

fn recurring(
    line: &Line,
    service: &[Period],
    cycle: &CycleDays,
    tariff: &TariffBook,
) -> Result<Vec<Charge>, Unbillable> {
    let stretches = stretches(line, service, cycle, tariff)?;
    // What is charged of each stretch, and what is not: hundredths of days.
    let percent = |s: &Stretch<'_>| u64::from(s.held.map_or(0, |held| held.percent));
    let weights: Vec<u64> = stretches.iter().flat_map(|s| [s.days * percent(s), s.days * (100 - percent(s))]).collect();
    let mut charges = Vec::new();
    for (i, stretch) in stretches.iter().enumerate() {
        let Some(Held { id, plan, .. }) = stretch.held else { continue };
        for (name, fee) in fees(plan, FeeTime::Monthly, plan.monthly_fee) {
            // The stretches are the same for every plan, so two plans with one fee
            // share it without a remainder between them.
            let amount = split_by_weight(fee, &weights)[2 * i];
            if amount != 0 {
                let mut charge = charge(&line.id, id, plan, ChargeKind::Recurring, stretch.span);
                charge.description = name.to_owned();
                charge.quantity = stretch.days;
                charge.amount = amount;
                charges.push(charge);
            }
        }
    }
    Ok(charges)
}

/// The plan's own fee, then those beside it.
fn fees(plan: &Plan, charged: FeeTime, own: i64) -> impl Iterator<Item = (&str, i64)> {
    let more = plan.fees.iter().filter(move |fee| fee.charged == charged).map(|fee| (fee.name.as_str(), fee.amount));
    std::iter::once((plan.name.as_str(), own)).chain(more)
}

fn activation(
    line: &Line,
    service: &[Period],
    cycle: &CycleDays,
    tariff: &TariffBook,
) -> Result<Vec<Charge>, Unbillable> {
    let Some(first) = service.iter().find(|p| p.state == LineState::Active) else { return Ok(Vec::new()) };
    let at = first.span.from;
    let moved_in = at < line.created;
    if moved_in || !cycle.bounds.contains(at) {
        return Ok(Vec::new());
    }
    let Some(id) = plan_at(line, at) else { return Ok(Vec::new()) };
    let plan = plan_of(tariff, at, &line.id, id)?;
    let span = Interval { from: at, until: Timestamp(at.0.saturating_add(1)) };
    let due = fees(plan, FeeTime::Once, plan.activation_fee).filter(|(_, amount)| *amount != 0);
    Ok(due
        .map(|(name, amount)| Charge {
            description: name.to_owned(),
            amount,
            ..charge(&line.id, id, plan, ChargeKind::OneTime, span)
        })
        .collect())
}

/// What a day is charged by.
#[derive(Clone, Copy)]
struct Held<'a> {
    id: &'a PlanId,
    plan: &'a Plan,
    /// How much of a monthly fee.
    percent: u8,
}

impl Held<'_> {
    /// Whether two days are one charge; another version of the plan may say the same.
    fn is_alike(&self, other: &Held<'_>) -> bool {
        let (a, b) = (self.plan, other.plan);
        let same_fees = || (a.monthly_fee, &a.fees) == (b.monthly_fee, &b.fees);
        let same_text = || (&a.name, &a.product, &a.department) == (&b.name, &b.product, &b.department);
        self.id == other.id && self.percent == other.percent && (std::ptr::eq(a, b) || same_fees() && same_text())
    }
}

/// Days in a row that are charged alike, or not at all.
struct Stretch<'a> {
    held: Option<Held<'a>>,
    span: Interval,
    days: u64,
}

fn stretches<'a>(
    line: &'a Line,
    service: &[Period],
    cycle: &CycleDays,
    tariff: &'a TariffBook,
) -> Result<Vec<Stretch<'a>>, Unbillable> {
    let mut stretches: Vec<Stretch<'a>> = Vec::new();
    for day in &cycle.days {
        let held = charged_plan(line, service, day, tariff)?;
        let goes_on = |last: &Stretch<'_>| match (&last.held, &held) {
            (Some(before), Some(held)) => before.is_alike(held),
            (before, held) => before.is_none() && held.is_none(),
        };
        match stretches.last_mut() {
            Some(last) if goes_on(last) => {
                last.span.until = day.until;
                last.days += 1;
            }
            _ => stretches.push(Stretch { held, span: *day, days: 1 }),
        }
    }
    Ok(stretches)
}

/// The plan that a day is charged by, and how much of a fee: the last one that
/// charges a part of it.
fn charged_plan<'a>(
    line: &'a Line,
    service: &[Period],
    day: &Interval,
    tariff: &'a TariffBook,
) -> Result<Option<Held<'a>>, Unbillable> {
    for held in line.plans.iter().rev() {
        let Some(part) = held.span.intersect(day) else { continue };
        let during = |state: LineState| service.iter().any(|p| p.state == state && p.span.intersect(&part).is_some());
        let (active, suspended) = (during(LineState::Active), during(LineState::Suspended));
        if !active && !suspended {
            continue;
        }
        let plan = plan_of(tariff, last_of(day), &line.id, &held.plan)?;
        let percent = if active { 100 } else { plan.suspended_percent.min(100) };
        if percent > 0 {
            return Ok(Some(Held { id: &held.plan, plan, percent }));
        }
    }
    Ok(None)
}

/// The last instant of a stretch.
fn last_of(span: &Interval) -> Timestamp {
    Timestamp(span.until.0.saturating_sub(1))
}

fn plan_at(line: &Line, at: Timestamp) -> Option<&PlanId> {
    line.plans.iter().find(|p| p.span.contains(at)).map(|p| &p.plan)
}

fn plan_of<'a>(tariff: &'a TariffBook, at: Timestamp, line: &LineId, plan: &PlanId) -> Result<&'a Plan, Unbillable> {
    tariff.plan_at(plan, at).ok_or_else(|| Unbillable { line: line.clone(), plan: plan.clone() })
}

fn charge(line: &LineId, id: &PlanId, plan: &Plan, kind: ChargeKind, span: Interval) -> Charge {
    Charge {
        line: line.clone(),
        plan: id.clone(),
        product: plan.product.clone(),
        department: plan.department.clone(),
        kind,
        description: plan.name.clone(),
        span,
        quantity: 1,
        amount: 0,
        late_for: None,
    }
}

#[cfg(test)]
mod tests;
