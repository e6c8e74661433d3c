//! Groups of one request: services of one rating group, units without a price,
//! tariff changes, final units.

use super::*;
use crate::domain::rating::request::{Octets, Volume};
use crate::domain::tariff::{AddressType, FinalUnit, RedirectTo, RestrictTo};

fn service(services: &[u32], used: Option<Used>, wanted: Wanted) -> GroupRequest {
    GroupRequest { rating_group: 10, services: services.to_vec(), used, wanted, is_final: false }
}

impl World {
    fn groups(&mut self, phase: Phase, number: u32, groups: Vec<GroupRequest>) -> ChargeAnswer {
        let request = ChargeRequest { groups, ..self.gy(phase, number, None, Wanted::Nothing) };
        self.apply(&request).answer
    }
}

#[test]
fn services_of_one_rating_group_have_their_own_quota_and_records() {
    let mut world = World::on("capped");
    let any = Wanted::AsMuchAsWeGive;
    let answer = world.groups(Phase::Initial, 0, vec![service(&[1], None, any), service(&[2], None, any)]);
    assert!(answer.groups.iter().all(|g| g.grant.is_some()));
    assert_eq!(world.account.reserved(0, world.now), 2 * MB);
    let used = |octets| Some(Used::octets(octets));
    let reports = vec![service(&[1], used(10), Wanted::Nothing), service(&[2], used(20), any)];
    world.groups(Phase::Update, 1, reports);
    let left: Vec<(Vec<u32>, u64)> =
        world.account.sessions[0].reservations.iter().map(|r| (r.services.clone(), r.octets)).collect();
    assert_eq!(left, [(vec![1], MB - 10), (vec![2], MB)]);
    let keys: Vec<String> = world.records.iter().map(|r| r.key.to_string()).collect();
    assert_eq!(keys, ["gy/s1/1", "gy/s1/1+1"], "no two records have one key");
    let last = vec![service(&[1], used(1), Wanted::Nothing), service(&[2], used(2), Wanted::Nothing)];
    world.groups(Phase::Terminate, 2, last);
    assert_eq!(world.total().0, 33);
}

#[test]
fn units_that_no_plan_prices_are_refused_and_kept_for_a_person() {
    // what is reported and wanted, how the group fares, what is kept
    let any = Wanted::AsMuchAsWeGive;
    let table = [
        (Some(Used::Seconds(120)), any, Outcome::RatingFailed, Some("120 s of service, and no octets")),
        (
            Some(Used::ServiceUnits(3)),
            Wanted::Nothing,
            Outcome::RatingFailed,
            Some("3 service-specific units, and no octets"),
        ),
        (Some(Used::Seconds(0)), any, Outcome::Success, None),
        (None, Wanted::Unpriced, Outcome::RatingFailed, None),
    ];
    for (used, wanted, outcome, kept) in table {
        let mut world = World::on("payg");
        world.open();
        let answer = world.groups(Phase::Update, 1, vec![service(&[], used, wanted), service(&[7], None, any)]);
        assert_eq!(answer.groups[0].outcome, outcome, "{used:?}");
        assert!(answer.groups[1].grant.is_some(), "the other group goes on");
        let records: Vec<_> = world.records.iter().map(|r| (r.outcome, r.detail.as_deref(), r.octets)).collect();
        let suspense = UsageOutcome::Suspense(SuspenseReason::NoUsagePrice);
        let expected: Vec<_> = kept.iter().map(|detail| (suspense, Some(*detail), 0)).collect();
        assert_eq!(records, expected, "{used:?}");
        assert_eq!(world.total(), (0, 0));
    }
}

#[test]
fn both_sides_of_a_tariff_change_are_one_sum() {
    let mut world = World::on("payg");
    world.open();
    let used = Some(Used::Octets(Octets {
        before: Volume { either: 60_000, ..Volume::default() },
        after: Volume { up: 30_000, down: 20_000, either: 0 },
        ..Octets::default()
    }));
    world.groups(Phase::Update, 1, vec![service(&[], used, Wanted::Nothing)]);
    assert_eq!(world.total(), (110_000, 6));
}

#[test]
fn the_last_grant_says_what_the_plan_does_then_and_its_final_report_ends_it() {
    let redirect = RedirectTo { address_type: AddressType::Url, address: "https://pay.example/".to_owned() };
    let restrict = RestrictTo { filter_ids: vec!["top-up".to_owned()], rules: Vec::new() };
    for action in [FinalUnit::Terminate, FinalUnit::Redirect(redirect), FinalUnit::Restrict(restrict)] {
        let mut world = World::on("capped");
        world.tariff.plans.get_mut(&PlanId::from("capped")).unwrap().quota.final_unit = action.clone();
        assert_eq!(world.open().final_unit, None);
        let (_, grant) = world.ask(Phase::Update, 1, Some(9 * MB), Wanted::AsMuchAsWeGive);
        assert_eq!(grant.unwrap().final_unit, Some(action));
        let last = GroupRequest { is_final: true, ..group(Some(MB), Wanted::AsMuchAsWeGive) };
        let answer = world.groups(Phase::Update, 2, vec![last]);
        assert_eq!((answer.groups[0].outcome, &answer.groups[0].grant), (Outcome::Success, &None));
        assert_eq!((world.account.reserved(0, world.now), world.total().0), (0, 10 * MB));
        // The session stays for what the restriction lets through, and asks again after a top-up.
        assert_eq!(world.ask(Phase::Update, 3, None, Wanted::AsMuchAsWeGive).0, Outcome::CreditLimitReached);
    }
}

#[test]
fn a_final_unit_that_no_client_could_follow_is_refused_by_the_tariff() {
    let redirect =
        |address_type, address: &str| FinalUnit::Redirect(RedirectTo { address_type, address: address.to_owned() });
    let restrict = |rules: &[&str], ids: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        FinalUnit::Restrict(RestrictTo { rules: owned(rules), filter_ids: owned(ids) })
    };
    let table = [
        (FinalUnit::Terminate, true),
        (redirect(AddressType::Url, "https://pay.example/"), true),
        (redirect(AddressType::Url, "pay.example"), false),
        (redirect(AddressType::Ipv4, "192.0.2.1"), true),
        (redirect(AddressType::Ipv4, "2001:db8::1"), false),
        (redirect(AddressType::Ipv6, "2001:db8::1"), true),
        (redirect(AddressType::SipUri, "sip:pay@example"), true),
        (redirect(AddressType::SipUri, "pay@example"), false),
        (restrict(&[], &[]), false),
        (restrict(&[], &["top-up"]), true),
        (restrict(&["permit out ip from 192.0.2.1 to any"], &[]), true),
        (restrict(&["let them pay"], &[]), false),
    ];
    for (action, good) in table {
        let mut tariff = tariff();
        tariff.plans.get_mut(&PlanId::from("capped")).unwrap().quota.final_unit = action.clone();
        assert_eq!(tariff.check().is_ok(), good, "{action:?}");
    }
}
