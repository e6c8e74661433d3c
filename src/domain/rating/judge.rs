//! What becomes of a group's reported octets.

use super::allowance::crossed;
use super::price::{Served, charge};
use super::{Place, RatingSettings};
use crate::domain::account::{Account, LineCharging};
use crate::domain::ids::PlanId;
use crate::domain::rating::request::{ChargeRequest, Octets, Phase, Used};
use crate::domain::tariff::{Plan, Tariff};
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, SuspenseReason, Told, UsageOutcome, UsageRecord};

/// A group's usage with its own time.
pub(super) struct Usage {
    /// The request's key, with its place among those of the same rating group.
    pub(super) key: RecordKey,
    pub(super) rating_group: u32,
    pub(super) used: Octets,
    /// All of `used`.
    pub(super) octets: u64,
    /// What no plan prices, and is kept for a person.
    pub(super) unpriced: Option<String>,
    pub(super) starts: Timestamp,
    pub(super) ends: Timestamp,
}

impl Usage {
    /// What the group at `at` of a request reports.
    pub(super) fn of(request: &ChargeRequest, at: usize, used: Used, starts: Timestamp) -> Self {
        let octets = used.volumes();
        Self {
            key: request.part_key(at),
            rating_group: request.groups[at].rating_group,
            used: octets,
            octets: octets.total(),
            unpriced: used.unpriced(),
            starts,
            ends: request.ends,
        }
    }
}

impl Usage {
    /// Both sides of `change`, where the source has split its usage there: the one before
    /// it ends with the last instant before it, and has the key of its own.
    pub(super) fn split_at(self, change: Option<Timestamp>, key: impl FnOnce() -> RecordKey) -> [Option<Self>; 2] {
        let Some(change) = change else { return [Some(self), None] };
        let before = Timestamp(change.0 - 1);
        let Octets { whole, before: used_before, after } = self.used;
        let after = Octets { whole, after, ..Octets::default() };
        let used = Octets { before: used_before, ..Octets::default() };
        let first = Usage {
            key: self.key.clone(),
            rating_group: self.rating_group,
            octets: used.total(),
            used,
            unpriced: None,
            starts: self.starts.min(before),
            ends: before,
        };
        if after.total() == 0 {
            return [Some(first), None];
        }
        let second = Usage { key: key(), octets: after.total(), used: after, starts: change, ..self };
        [Some(first), Some(second)]
    }
}

/// Judges one group's usage, counts it, and makes its record.
pub(super) fn count(
    account: &mut Account,
    place: &Place,
    usage: &Usage,
    request: &ChargeRequest,
    tariff: &Tariff,
    settings: &RatingSettings,
) -> UsageRecord {
    let mut record = blank_record(account, place, usage, request, tariff);
    let line = &account.lines[place.line];
    let judged = judge(line, place, usage, tariff, settings);
    let outcome =
        judged.and_then(|(id, plan)| move_totals(account, place, usage, request, (id, plan), tariff, &mut record));
    match outcome {
        Ok(outcome) => record.outcome = outcome,
        Err(reason) => {
            record.outcome = UsageOutcome::Suspense(reason);
            record.subscriber = request.subscribers.first().cloned();
            record.detail.clone_from(&usage.unpriced);
        }
    }
    record
}

/// The record of a group's usage, before anything moves.
pub(super) fn blank_record(
    account: &Account,
    place: &Place,
    usage: &Usage,
    request: &ChargeRequest,
    tariff: &Tariff,
) -> UsageRecord {
    UsageRecord {
        key: usage.key.clone(),
        rating_group: usage.rating_group,
        outcome: UsageOutcome::Rated,
        line: Some(account.lines[place.line].id.clone()),
        account: Some(account.id.clone()),
        cycle: None,
        late_for: None,
        plan: None,
        tariff_version: tariff.version,
        apn: place.apn.clone(),
        subscriber: None,
        starts: usage.starts,
        ends: usage.ends,
        received: request.received,
        octets: usage.octets,
        amount: 0,
        postings: Vec::new(),
        crossed: Vec::new(),
        told: Told::new(place.network, usage.used),
        detail: None,
    }
}

/// The plan that prices a usage, or why none does.
pub(super) fn judge<'t>(
    line: &LineCharging,
    place: &Place,
    usage: &Usage,
    tariff: &'t Tariff,
    settings: &RatingSettings,
) -> Result<(PlanId, &'t Plan), SuspenseReason> {
    if usage.octets > settings.record_octets_max {
        return Err(SuspenseReason::BadRecord);
    }
    if place.foreign {
        return Err(SuspenseReason::ForeignApn);
    }
    let skew = std::time::Duration::from_millis(settings.clock_skew_ms);
    if !place.last_of_ended && !line.was_active(usage.starts, usage.ends.plus(skew)) {
        return Err(SuspenseReason::LineNotActive);
    }
    let id = line.plan_at(usage.ends).ok_or(SuspenseReason::NoUsagePrice)?;
    let priced = |p: &&Plan| p.usage.is_some() && usage.unpriced.is_none();
    let plan = tariff.plan(id).filter(priced).ok_or(SuspenseReason::NoUsagePrice)?;
    Ok((id.clone(), plan))
}

/// Adds to the totals of the usage's cycle: one source charges the line in a
/// cycle, the others are only counted.
pub(super) fn move_totals(
    account: &mut Account,
    place: &Place,
    usage: &Usage,
    request: &ChargeRequest,
    (id, plan): (PlanId, &Plan),
    tariff: &Tariff,
    record: &mut UsageRecord,
) -> Result<UsageOutcome, SuspenseReason> {
    let source = request.key.source();
    let line = &account.lines[place.line];
    let (no, fixed) = (line.no, line.source.unwrap_or(plan.source).fixed());
    let accumulation = account.accumulation(usage.ends.min(place.now));
    record.cycle = Some(accumulation.billed);
    record.late_for = accumulation.late_for;
    record.plan = Some(id);
    let total = account.buckets[accumulation.bucket].total_mut(no);
    let charges = fixed.or(total.source).unwrap_or(source);
    // a one-time event is no meter: who charges the cycle is left open
    if !matches!(request.phase, Phase::OneTime(_)) {
        total.source = Some(charges);
    }
    if charges != source {
        total.reconcile(source, usage.octets);
        return Ok(UsageOutcome::Reconciled);
    }
    let prices = plan.usage.as_ref().ok_or(SuspenseReason::NoUsagePrice)?;
    let served = Served { apn: place.apn.as_ref(), network: place.network };
    let cycle = account.buckets[accumulation.bucket].cycle;
    let priced = charge(account, cycle, no, prices, tariff, usage, served)?;
    if cycle == account.cycle {
        record.crossed = crossed(account, no, prices);
    }
    record.amount = priced.amount;
    record.postings = priced.postings;
    Ok(UsageOutcome::Rated)
}
