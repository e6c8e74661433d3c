//! What people and other services may see of an account.

use serde::Serialize;

use super::{Account, Bucket, LineTotal};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, ClientHost, CustomerId, LineId, PlanId, SessionId};
use crate::domain::line::LineState;
use crate::domain::tariff::{TariffBook, UsagePrice, counter_key};
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::UsageSource;

/// An account at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Which.
    pub account: AccountId,
    /// Who pays.
    pub customer: CustomerId,
    /// The open cycle.
    pub cycle: CycleId,
    /// Its stretch.
    pub span: Interval,
    /// The newest closed cycle.
    pub closed_through: CycleId,
    /// For each line, the open cycle first, then those that wait for their close.
    pub lines: Vec<LineView>,
    /// Sessions that are open.
    pub sessions: Vec<SessionView>,
}

/// A line's cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineView {
    /// Which.
    pub line: LineId,
    /// Which cycle.
    pub cycle: CycleId,
    /// Whether that cycle was closed.
    pub closed: bool,
    /// What charging knows it to be in.
    pub state: LineState,
    /// Whether grants have stopped.
    pub no_new_grant: bool,
    /// Its plan now.
    pub plan: Option<PlanId>,
    /// Octets rated.
    pub octets: u64,
    /// What they cost, minor units.
    pub amount: i64,
    /// Octets left of the line's own allowances and of top-ups, without what rolls
    /// over; `None` where the plan has none that ends.
    pub allowance_left: Option<u64>,
    /// Octets that it was topped up with in this cycle.
    pub credit: u64,
    /// Octets left under the cap; `None` without one.
    pub cap_left: Option<u64>,
    /// Octets set aside for sessions; in the open cycle only.
    pub reserved: u64,
    /// The source that charges it in this cycle.
    pub source: Option<UsageSource>,
    /// Octets that other sources reported.
    pub reconciled: Vec<(UsageSource, u64)>,
}

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Session-Id.
    pub session: SessionId,
    /// Its line.
    pub line: Option<LineId>,
    /// Origin-Host of its client.
    pub peer: Option<ClientHost>,
    /// Gy or Rf.
    pub source: UsageSource,
    /// Octets set aside.
    pub reserved: u64,
    /// When it was last heard of.
    pub last_activity: Timestamp,
}

impl Account {
    /// The account as others may see it.
    pub fn view(&self, tariff: &TariffBook, now: Timestamp) -> AccountView {
        let buckets = || self.buckets.iter().rev();
        AccountView {
            account: self.id.clone(),
            customer: self.customer.clone(),
            cycle: self.cycle,
            span: self.bounds,
            closed_through: self.closed_through,
            lines: (0..self.lines.len())
                .flat_map(|at| buckets().map(move |bucket| self.line_view(at, bucket, tariff, now)))
                .collect(),
            sessions: self
                .sessions
                .iter()
                .filter(|s| s.is_open())
                .map(|s| SessionView {
                    session: s.id.clone(),
                    line: self.line_by_no(s.line).map(|l| l.id.clone()),
                    peer: s.peer.clone(),
                    source: s.source,
                    reserved: s.reserved(now),
                    last_activity: s.last_activity,
                })
                .collect(),
        }
    }

    fn line_view(&self, at: usize, bucket: &Bucket, tariff: &TariffBook, now: Timestamp) -> LineView {
        let line = &self.lines[at];
        let plan = line.plans.last().map(|(_, plan)| plan);
        let usage = plan.and_then(|p| tariff.plan_at(p, now)).and_then(|p| p.usage.as_ref());
        let total = bucket.total(line.no);
        let octets = total.map_or(0, |t| t.octets);
        let credit = total.map_or(0, LineTotal::credit);
        LineView {
            line: line.id.clone(),
            cycle: bucket.cycle,
            closed: bucket.closed,
            state: line.state(),
            no_new_grant: line.no_new_grant,
            plan: plan.cloned(),
            octets,
            amount: total.map_or(0, |t| t.amount),
            allowance_left: usage.and_then(|u| allowance_left(u, total)),
            credit,
            cap_left: usage.and_then(|u| u.cap_octets).map(|c| c.saturating_add(credit).saturating_sub(octets)),
            reserved: if bucket.cycle == self.cycle { self.reserved(line.no, now) } else { 0 },
            source: total.and_then(|t| t.source),
            reconciled: total.map(|t| t.reconciled.clone()).unwrap_or_default(),
        }
    }
}

fn allowance_left(usage: &UsagePrice, total: Option<&LineTotal>) -> Option<u64> {
    let credit = total.map_or(0, LineTotal::credit_left);
    if let Some(price) = usage.plain() {
        let counted = total.map_or(0, |t| t.counter(crate::domain::tariff::MAIN_COUNTER));
        let free = Some(usage.free_octets(price)).filter(|free| *free != u64::MAX);
        return free.map(|free| free.saturating_sub(counted).saturating_add(credit));
    }
    let own = usage.allowances.iter().filter(|allowance| !allowance.pooled);
    own.map(|allowance| {
        let used = total.and_then(|t| t.pot(counter_key(&allowance.name))).map_or(0, |pot| pot.used);
        allowance.octets.saturating_sub(used)
    })
    .chain((credit > 0).then_some(credit))
    .reduce(u64::saturating_add)
}
