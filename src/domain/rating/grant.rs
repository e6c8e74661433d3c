//! Quota: how much a client may use before it asks again.

use std::time::Duration;

use super::request::{Grant, GroupAnswer, Outcome, Wanted};
use crate::domain::account::{Account, Reservation};
use crate::domain::tariff::Plan;
use crate::domain::time::Timestamp;

/// Grants quota to a group of a session and sets it aside. What is granted is
/// never more than what is left under the cap after everything else that is set
/// aside for the line; the group's own reservation was released before.
pub(super) fn grant(
    account: &mut Account,
    session: usize,
    plan: &Plan,
    rating_group: u32,
    wanted: Wanted,
    now: Timestamp,
) -> GroupAnswer {
    let refused = |outcome| GroupAnswer { rating_group, outcome, grant: None };
    let Some(usage) = &plan.usage else { return refused(Outcome::RatingFailed) };
    let line = account.sessions[session].line;
    let left = usage.cap_octets.map(|cap| {
        let used = account.buckets.last().and_then(|open| open.total(line)).map_or(0, |t| t.octets);
        cap.saturating_sub(used).saturating_sub(account.reserved(line, now))
    });
    let policy = &plan.quota;
    let wanted = match wanted {
        Wanted::Nothing => return refused(Outcome::Success),
        Wanted::AsMuchAsWeGive => policy.slice_octets,
        Wanted::Octets(octets) => octets.min(policy.slice_octets),
    };
    if left == Some(0) {
        return refused(Outcome::CreditLimitReached);
    }
    let octets = left.map_or(wanted, |left| wanted.min(left));
    assert!(left.is_none_or(|left| octets <= left), "a grant stays within what is left");
    let validity_s = policy.validity_s.max(1);
    if octets > 0 {
        let tcc = Duration::from_secs(u64::from(validity_s) * 2);
        let reservation = Reservation { rating_group, octets, expires: now.plus(tcc) };
        account.sessions[session].reservations.push(reservation);
    }
    let threshold = u128::from(octets) * u128::from(policy.threshold_percent.min(99)) / 100;
    GroupAnswer {
        rating_group,
        outcome: Outcome::Success,
        grant: Some(Grant {
            octets,
            validity_s,
            threshold_octets: u64::try_from(threshold).unwrap_or(0),
            holding_s: policy.holding_s,
            is_final: left.is_some_and(|left| left == octets),
        }),
    }
}
