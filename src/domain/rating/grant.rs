//! Quota: how much a client may use before it asks again.

use std::time::Duration;

use super::Place;
use super::allowance::throttled;
use super::request::{Grant, GroupAnswer, GroupRequest, Outcome, Wanted};
use crate::domain::account::{Account, Reservation};
use crate::domain::tariff::{Circumstances, Plan, Tariff, TariffBook, UsagePrice};
use crate::domain::time::Timestamp;
use crate::domain::usage::Direction;

/// How fast a group has used its quota: octets of its report, and how long they took.
pub(super) type Pace = (u64, Duration);

/// Grants quota to a group of a session and sets it aside. What is granted is
/// never more than what is left under the cap after everything else that is set
/// aside for the line; the group's own reservation was released before.
pub(super) fn grant(
    account: &mut Account,
    session: usize,
    place: &Place,
    (plan, book): (&Plan, &TariffBook),
    group: &GroupRequest,
    (wanted, pace): (Wanted, Option<Pace>),
) -> GroupAnswer {
    let (now, tariff) = (place.now, book.at(place.now));
    let refused = |outcome| GroupAnswer::bare(group.rating_group, outcome);
    let Some(usage) = &plan.usage else { return refused(Outcome::RatingFailed) };
    if usage.plain().is_none() && !may_be_priced(usage, tariff, place, group.rating_group) {
        return refused(Outcome::RatingFailed);
    }
    let line = account.sessions[session].line;
    let left = left_under_cap(account, usage, line, now);
    let policy = &plan.quota;
    let slice = policy.slice(pace);
    let wanted = match wanted {
        Wanted::Nothing => return refused(Outcome::Success),
        Wanted::AsMuchAsWeGive => slice,
        Wanted::Octets(octets) => octets.min(slice),
        // Sessions are granted octets, and nothing else has a price.
        Wanted::Money(_) | Wanted::Unpriced => return refused(Outcome::RatingFailed),
    };
    if left == Some(0) {
        return refused(Outcome::CreditLimitReached);
    }
    let groups = account.holding(line, now) + place.asking;
    let octets = left.map_or(wanted, |left| wanted.min(policy.share(left, groups)));
    assert!(left.is_none_or(|left| octets <= left), "a grant stays within what is left");
    let other_changes = [Some(account.bounds.until), book.next_change(now)];
    let throttle = throttled(account, line, usage);
    let validity_s = match throttle {
        // It ends with the cycle: the client has to ask again by then.
        Some(_) => policy.validity_s.min(u32::try_from(account.bounds.until.since(now).as_secs()).unwrap_or(u32::MAX)),
        None => policy.validity_s,
    };
    let (validity_s, tariff_change) = until_change(usage, tariff, other_changes, validity_s.max(1), now);
    if octets > 0 {
        let tcc = Duration::from_secs(u64::from(validity_s) * 2);
        let (rating_group, services) = (group.rating_group, group.services.clone());
        let reservation = Reservation { rating_group, services, octets, since: now, expires: now.plus(tcc) };
        account.sessions[session].reservations.push(reservation);
    }
    let threshold = u128::from(octets) * u128::from(policy.threshold_percent.min(99)) / 100;
    GroupAnswer {
        grant: Some(Grant {
            octets,
            tariff_change,
            validity_s,
            threshold_octets: u64::try_from(threshold).unwrap_or(0),
            holding_s: policy.holding_s,
            final_unit: (left == Some(octets)).then(|| policy.final_unit.clone()),
            throttle,
        }),
        ..GroupAnswer::bare(group.rating_group, Outcome::Success)
    }
}

/// Whether some price fits what the group may use now; what fits none is not granted.
fn may_be_priced(usage: &UsagePrice, tariff: &Tariff, place: &Place, rating_group: u32) -> bool {
    let (apn, network, at) = (place.apn.as_ref(), place.network, place.now);
    let fits = |direction| Circumstances { apn, rating_group, network, direction, at };
    let directions = [None, Some(Direction::Up), Some(Direction::Down)];
    directions.into_iter().any(|direction| usage.rule_for(tariff, &fits(direction)).is_some())
}

/// When the price changes within a grant's validity, seconds, by the time of day or by
/// one of `others`, and how long the grant then holds: to the next change at most, so
/// that a report has two sides and no more.
fn until_change(
    usage: &UsagePrice,
    tariff: &Tariff,
    others: [Option<Timestamp>; 2],
    validity_s: u32,
    now: Timestamp,
) -> (u32, Option<Timestamp>) {
    let windows = usage.windows(tariff);
    let daily = windows.clone().next().is_some();
    let next = |at: Timestamp| {
        let edge = if daily { tariff.clock().next_edge(windows.clone(), at) } else { None };
        others.into_iter().flatten().filter(|change| *change > at).chain(edge).min()
    };
    let until = now.plus(Duration::from_secs(u64::from(validity_s)));
    let Some(change) = next(now).filter(|change| *change < until) else { return (validity_s, None) };
    let second = next(change).unwrap_or(Timestamp::MAX);
    let holds_s = u32::try_from(second.since(now).as_secs()).unwrap_or(u32::MAX);
    (validity_s.min(holds_s.max(1)), Some(change))
}

/// What is left of the open cycle under the cap, which top-ups raise, after all that
/// is set aside for the line; `None` without a cap.
pub(super) fn left_under_cap(account: &Account, usage: &UsagePrice, line: u16, now: Timestamp) -> Option<u64> {
    usage.cap_octets.map(|cap| {
        let total = account.buckets.last().and_then(|open| open.total(line));
        let (used, credit) = total.map_or((0, 0), |t| (t.octets, t.credit()));
        cap.saturating_add(credit).saturating_sub(used).saturating_sub(account.reserved(line, now))
    })
}
