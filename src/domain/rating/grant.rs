//! Quota: how much a client may use before it asks again.

use std::time::Duration;

use super::request::{Grant, GroupAnswer, GroupRequest, Outcome, Wanted};
use crate::domain::account::{Account, Reservation, credited};
use crate::domain::tariff::{Plan, UsagePrice};
use crate::domain::time::Timestamp;

/// Grants quota to a group of a session and sets it aside. What is granted is
/// never more than what is left under the cap after everything else that is set
/// aside for the line; the group's own reservation was released before.
pub(super) fn grant(
    account: &mut Account,
    session: usize,
    plan: &Plan,
    group: &GroupRequest,
    wanted: Wanted,
    now: Timestamp,
) -> GroupAnswer {
    let refused = |outcome| GroupAnswer::bare(group.rating_group, outcome);
    let Some(usage) = &plan.usage else { return refused(Outcome::RatingFailed) };
    let line = account.sessions[session].line;
    let left = left_under_cap(account, usage, line, now);
    let policy = &plan.quota;
    let wanted = match wanted {
        Wanted::Nothing => return refused(Outcome::Success),
        Wanted::AsMuchAsWeGive => policy.slice_octets,
        Wanted::Octets(octets) => octets.min(policy.slice_octets),
        // Sessions are granted octets, and nothing else has a price.
        Wanted::Money(_) | Wanted::Unpriced => return refused(Outcome::RatingFailed),
    };
    if left == Some(0) {
        return refused(Outcome::CreditLimitReached);
    }
    let octets = left.map_or(wanted, |left| wanted.min(left));
    assert!(left.is_none_or(|left| octets <= left), "a grant stays within what is left");
    let validity_s = policy.validity_s.max(1);
    if octets > 0 {
        let tcc = Duration::from_secs(u64::from(validity_s) * 2);
        let (rating_group, services) = (group.rating_group, group.services.clone());
        let reservation = Reservation { rating_group, services, octets, expires: now.plus(tcc) };
        account.sessions[session].reservations.push(reservation);
    }
    let threshold = u128::from(octets) * u128::from(policy.threshold_percent.min(99)) / 100;
    GroupAnswer {
        grant: Some(Grant {
            octets,
            validity_s,
            threshold_octets: u64::try_from(threshold).unwrap_or(0),
            holding_s: policy.holding_s,
            final_unit: (left == Some(octets)).then(|| policy.final_unit.clone()),
        }),
        ..GroupAnswer::bare(group.rating_group, Outcome::Success)
    }
}

/// What is left of the open cycle under the cap, with top-ups, after all that is set aside for
/// the line; `None` without a cap.
pub(super) fn left_under_cap(account: &Account, usage: &UsagePrice, line: u16, now: Timestamp) -> Option<u64> {
    usage.cap_octets.map(|cap| {
        let used = account.buckets.last().and_then(|open| open.total(line)).map_or(0, |t| t.octets);
        let cap = cap.saturating_add(credited(&account.credits, account.cycle, line));
        cap.saturating_sub(used).saturating_sub(account.reserved(line, now))
    })
}
