//! Properties of totals: whatever the pieces, the order and the sessions.

use super::*;
use crate::domain::network::Plmn;
use crate::domain::rating::price::price;
use crate::domain::rating::request::{Octets, Volume};
use crate::domain::tariff::{Block, Price};

/// Every kind of price and condition at once, and two allowances of which one is
/// pooled; without a window, so that time plays no part.
const EVERYTHING: &str = r#"
version = 1
currency = "KRW"
tax_percent = 10
[zone]
japan = ["440"]
[plan.p]
name = "P"
product = "iot"
department = "iot"
access = "cellular"
apns = ["iot.example"]
monthly_fee = 0
source = "file"
[plan.p.usage]
allowance = [
    { name = "pool", octets = 40_000, pooled = true },
    { name = "own", octets = 30_000, when = { rating_groups = [1, 2] }, rollover = { cycles = 2, octets_max = 9_000 } },
]
[[plan.p.usage.price]]
name = "abroad"
when = { zones = ["japan"] }
cost = { package = { price = 500, octets = 25_000 } }
[[plan.p.usage.price]]
name = "up"
when = { direction = "up", rating_groups = [1] }
cost = { per_unit = { price = "0.37", octets = 100 } }
[[plan.p.usage.price]]
name = "volume"
when = { rating_groups = [2] }
cost = { volume = [
    { from_octets = 0, price = 7, per_octets = 1000 },
    { from_octets = 20_000, price = "3.5", per_octets = 1000, exact = true },
] }
[[plan.p.usage.price]]
name = "rest"
cost = { graduated = [
    { from_octets = 0, price = "1.5", per_octets = 300, exact = true },
    { from_octets = 10_000, price = 2, per_octets = 700 },
    { from_octets = 50_000, price = "0.1", per_octets = 9, exact = true },
] }
"#;

fn everything() -> World {
    let mut world = World::on("p");
    world.tariff = toml::from_str(EVERYTHING).unwrap();
    world.tariff.check().unwrap();
    world
}

fn usage(world: &World, id: String, rating_group: u32, network: Option<Plmn>, whole: Volume) -> ChargeRequest {
    let used = Some(Used::Octets(Octets { whole, ..Octets::default() }));
    let groups = vec![GroupRequest { rating_group, used, ..group(None, Wanted::Nothing) }];
    ChargeRequest { network, groups, ..world.event(RecordKey::File(id), 0) }
}

fn rated(world: &mut World, request: &ChargeRequest) -> UsageRecord {
    let record = world.apply(request).records.remove(0);
    assert_eq!(record.outcome, UsageOutcome::Rated);
    record
}

fn sum_of(world: &World, at: LedgerSide, unit: Unit) -> i64 {
    world.records.iter().map(|record| side(record, at, unit)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn splitting_a_record_changes_no_total_under_any_price(
        records in proptest::collection::vec((0u32..4, any::<bool>(), 0u64..40_000, 0u64..40_000, 0u64..9_000), 1..8),
        cuts in proptest::collection::vec(0u64..=100, 1..4),
    ) {
        let (mut whole, mut parts) = (everything(), everything());
        for (n, (group, abroad, up, down, either)) in records.into_iter().enumerate() {
            let network = abroad.then(|| Plmn::parse("44010").unwrap());
            let request = usage(&whole, format!("{n}"), group, network, Volume { up, down, either });
            rated(&mut whole, &request);
            let mut marks: Vec<u64> = cuts.iter().copied().chain([0, 100]).collect();
            marks.sort_unstable();
            for (part, pair) in marks.windows(2).enumerate() {
                let cut = |octets: u64| octets * pair[1] / 100 - octets * pair[0] / 100;
                let volume = Volume { up: cut(up), down: cut(down), either: cut(either) };
                let request = usage(&parts, format!("{n}/{part}"), group, network, volume);
                rated(&mut parts, &request);
            }
        }
        // Directions that share an allowance take from it in another order when they are
        // cut: what each price counted may differ, and the octets may not.
        prop_assert_eq!(parts.total().0, whole.total().0);
        for side in [LedgerSide::Network, LedgerSide::Unbilled, LedgerSide::Revenue] {
            let unit = if side == LedgerSide::Network { Unit::Octets } else { Unit::Minor };
            let booked = sum_of(&parts, side, unit);
            prop_assert_eq!(booked, if unit == Unit::Minor { sign(side) * parts.total().1 } else { -i64::try_from(parts.total().0).unwrap() });
        }
    }

    #[test]
    fn splitting_a_record_of_one_kind_changes_no_price(
        kind in 0usize..4,
        octets in 0u64..200_000,
        credit in 1u64..60_000,
        cuts in proptest::collection::vec(0u64..=1000, 0..8),
    ) {
        let abroad = (kind == 3).then(|| Plmn::parse("44010").unwrap());
        let volume = |octets: u64| match kind {
            1 => Volume { up: octets, ..Volume::default() },
            _ => Volume { either: octets, ..Volume::default() },
        };
        let group = u32::try_from(kind).unwrap();
        let (mut whole, mut parts) = (everything(), everything());
        whole.top_up("t", credit);
        parts.top_up("t", credit);
        let request = usage(&whole, "whole".to_owned(), group, abroad, volume(octets));
        rated(&mut whole, &request);
        let mut marks: Vec<u64> = cuts.iter().map(|cut| octets * cut / 1000).chain([0, octets]).collect();
        marks.sort_unstable();
        for (n, pair) in marks.windows(2).enumerate() {
            let request = usage(&parts, n.to_string(), group, abroad, volume(pair[1] - pair[0]));
            rated(&mut parts, &request);
        }
        prop_assert_eq!(parts.total(), whole.total());
        for side in [LedgerSide::Allowance, LedgerSide::Credit, LedgerSide::Charged] {
            prop_assert_eq!(sum_of(&parts, side, Unit::Octets), sum_of(&whole, side, Unit::Octets));
        }
    }

    #[test]
    fn records_of_one_price_cost_the_same_in_any_order(
        mut octets in proptest::collection::vec(0u64..30_000, 1..10),
        group in 0u32..4,
        seed in any::<u64>(),
    ) {
        let charged = |octets: &[u64]| {
            let mut world = everything();
            for (n, octets) in octets.iter().enumerate() {
                let volume = Volume { down: *octets, ..Volume::default() };
                let request = usage(&world, n.to_string(), group, None, volume);
                rated(&mut world, &request);
            }
            world.total()
        };
        let first = charged(&octets);
        let turn = usize::try_from(seed).unwrap_or(0) % octets.len();
        octets.rotate_left(turn);
        octets.reverse();
        prop_assert_eq!(charged(&octets), first);
    }

    /// Re-rating is the reversal of what was booked, and the new price.
    #[test]
    fn a_reversal_and_a_new_price_book_the_difference(
        before in 0u64..1_000_000, used in 0u64..1_000_000, old in 0i64..1000, new in 0i64..1000, block in 1u64..5000,
    ) {
        let cost = |price: i64| Price::PerBlock(Block { price: Rate::whole(price), octets: block });
        let booked = price(&cost(old), 0, before, before + used).unwrap();
        let again = price(&cost(new), 0, before, before + used).unwrap();
        let (was, becomes) = (booked.amount, again.amount);
        let postings: Vec<_> = booked.reversed().postings.into_iter().chain(again.postings).collect();
        prop_assert!(balanced(&postings));
        let sum = |at: LedgerSide| postings.iter().filter(|p| p.side == at).map(|p| p.amount).sum::<i64>();
        prop_assert_eq!(sum(LedgerSide::Unbilled), becomes - was);
        prop_assert_eq!((sum(LedgerSide::Network), sum(LedgerSide::Charged) + sum(LedgerSide::Allowance)), (0, 0));
    }

    #[test]
    fn what_is_granted_to_sessions_and_groups_never_exceeds_what_is_left(
        steps in proptest::collection::vec((0u32..3, 0u32..3, 0u64..2 * MB, 0u8..4, 0u64..3 * MB, 0u64..4000), 1..60),
        slices in prop::sample::select(vec![(0, 0), (60, 1), (60, 200_000), (3600, MB)]),
    ) {
        let mut world = World::on("capped");
        let quota = &mut world.tariff.plans.get_mut(&PlanId::from("capped")).unwrap().quota;
        (quota.slice_s, quota.slice_octets_min) = slices;
        let mut numbers = [0u32; 3];
        for (session, rating_group, used, kind, wish, seconds) in steps {
            world.now = world.now.plus(std::time::Duration::from_secs(seconds));
            let id = SessionId::from(format!("s{session}"));
            let number = numbers[session as usize];
            numbers[session as usize] += 1;
            let phase = if number == 0 { Phase::Initial } else { Phase::Update };
            let wanted = [Wanted::Nothing, Wanted::Octets(wish), Wanted::AsMuchAsWeGive, Wanted::AsMuchAsWeGive];
            let one = |rating_group, used: Option<u64>| GroupRequest {
                rating_group,
                ..group(used.filter(|_| number > 0), wanted[kind as usize])
            };
            let groups = vec![one(rating_group, Some(used)), one(rating_group + 1, Some(used / 2))];
            let key = RecordKey::Gy(id.clone(), number);
            let request = ChargeRequest { key, session: Some(id), groups, ..world.gy(phase, number, None, Wanted::Nothing) };
            let before = world.account.reserved(0, world.now);
            let answer = world.apply(&request).answer;
            let left = (10 * MB).saturating_sub(world.total().0);
            let granted: u64 = answer.groups.iter().filter_map(|g| g.grant.as_ref()).map(|g| g.octets).sum();
            prop_assert!(granted <= left, "{granted} granted of {left}");
            let reserved = world.account.reserved(0, world.now);
            prop_assert!(reserved <= left.max(before));
            let is_final = answer.groups.iter().filter_map(|g| g.grant.as_ref()).any(|g| g.final_unit.is_some());
            prop_assert!(!is_final || reserved >= left, "final, and {left} left of which {reserved} are set aside");
        }
    }
}

/// Its plan asks for direction and network: both come back with the record.
#[test]
fn a_record_of_suspense_is_priced_by_what_its_source_told() {
    let abroad = Plmn::parse("44010");
    let mut world = everything();
    let used = Volume { up: 80_000, down: 0, either: 0 };
    let foreign = ChargeRequest { apn: Some(Apn::from("internet")), ..usage(&world, "1".to_owned(), 3, abroad, used) };
    let suspended = world.apply(&foreign).records.remove(0);
    assert_eq!(suspended.outcome, UsageOutcome::Suspense(SuspenseReason::ForeignApn));
    let mut again = ChargeRequest::again(&suspended).unwrap();
    again.apn = Some(Apn::from("iot.example"));
    assert_eq!(rated(&mut world, &again).amount, 1000, "two packages abroad behind the pool");
    let used = Volume { up: 10_000, down: 0, either: 0 };
    let foreign = ChargeRequest { apn: Some(Apn::from("internet")), ..usage(&world, "2".to_owned(), 1, None, used) };
    let suspended = world.apply(&foreign).records.remove(0);
    let again = ChargeRequest::again(&suspended).unwrap();
    assert_eq!(again.groups[0].used, Some(Used::both_ways(10_000, 0)));
}

const fn sign(side: LedgerSide) -> i64 {
    if matches!(side, LedgerSide::Revenue) { -1 } else { 1 }
}
