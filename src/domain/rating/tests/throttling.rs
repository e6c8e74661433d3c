//! How slow a line is: while its open cycle has reached a rule, and no top-up is left.

use super::*;
use crate::domain::tariff::{Allowance, BitRates, Conditions, Reach, ShareOf, Threshold, ThresholdAction};

const SLOW: BitRates = BitRates { up_bps: 128_000, down_bps: 256_000 };
const SLOWER: BitRates = BitRates { up_bps: 64_000, down_bps: 512_000 };

fn rule(name: &str, at: Reach, throttle: Option<BitRates>) -> Threshold {
    Threshold { name: name.to_owned(), at, action: ThresholdAction::Throttle, throttle }
}

fn with(plan: &str, thresholds: Vec<Threshold>) -> World {
    let mut world = World::on(plan);
    let usage = world.tariff.plans.get_mut(&PlanId::from(plan)).unwrap().usage.as_mut().unwrap();
    usage.thresholds = thresholds;
    world.tariff.check().unwrap();
    world
}

fn slow_at_half() -> World {
    with("capped", vec![rule("half", Reach::CapPercent(50), Some(SLOW))])
}

#[test]
fn the_answer_to_the_usage_that_reaches_a_rule_slows_the_line_down() {
    let mut world = slow_at_half();
    assert_eq!(world.open().throttle, None);
    let asked = |world: &mut World, number, used| world.ask(Phase::Update, number, used, Wanted::AsMuchAsWeGive).1;
    assert_eq!(asked(&mut world, 1, Some(5 * MB - 1)).unwrap().throttle, None);
    assert_eq!(asked(&mut world, 2, Some(1)).unwrap().throttle, Some(SLOW));
    assert_eq!(asked(&mut world, 3, None).unwrap().throttle, Some(SLOW), "and each that follows");
}

#[test]
fn of_several_rules_the_lowest_rates_hold_and_one_without_rates_slows_nothing() {
    let rules = [
        rule("told", Reach::CapPercent(10), None),
        rule("half", Reach::CapPercent(50), Some(SLOW)),
        rule("most", Reach::CapPercent(80), Some(SLOWER)),
    ];
    let mut world = with("capped", rules.to_vec());
    world.open();
    let both = BitRates { up_bps: 64_000, down_bps: 256_000 };
    for (number, (used, throttle)) in [(2, None), (3, Some(SLOW)), (3, Some(both))].into_iter().enumerate() {
        let number = u32::try_from(number).unwrap() + 1;
        let (_, grant) = world.ask(Phase::Update, number, Some(used * MB), Wanted::AsMuchAsWeGive);
        assert_eq!(grant.unwrap().throttle, throttle, "after {used} MB more");
    }
}

#[test]
fn a_top_up_lifts_it_until_its_octets_are_used_up() {
    let ten_won = rule("ten", Reach::Amount(10), Some(SLOW));
    let mut world = with("payg", vec![ten_won]);
    world.open();
    let mut number = 0;
    let mut asked = |world: &mut World, used| {
        number += 1;
        world.ask(Phase::Update, number, Some(used), Wanted::AsMuchAsWeGive).1.unwrap().throttle
    };
    assert_eq!(asked(&mut world, 400_000), Some(SLOW));
    world.top_up("t1", 300_000);
    assert_eq!(asked(&mut world, 0), None);
    assert_eq!(asked(&mut world, 299_999), None);
    assert_eq!(asked(&mut world, 1), Some(SLOW));
    assert_eq!(world.records.iter().flat_map(|r| &r.crossed).count(), 1, "it is told once");
}

#[test]
fn it_ends_with_the_cycle_and_no_grant_outlives_it() {
    let mut world = slow_at_half();
    world.now = at("10-31T23:59:00");
    world.open();
    let (_, grant) = world.ask(Phase::Update, 1, Some(6 * MB), Wanted::AsMuchAsWeGive);
    let grant = grant.unwrap();
    assert_eq!((grant.throttle, grant.validity_s, grant.tariff_change), (Some(SLOW), 60, None));
    world.now = at("11-01T00:00:00");
    assert_eq!(world.ask(Phase::Update, 2, None, Wanted::AsMuchAsWeGive).1.unwrap().throttle, None);
}

#[test]
fn a_pools_rule_slows_every_line_of_it() {
    let share = Reach::Allowance(ShareOf { name: "pool".to_owned(), percent: 50 });
    let mut world = World::on("payg");
    let usage = world.tariff.plans.get_mut(&PlanId::from("payg")).unwrap().usage.as_mut().unwrap();
    let when = Conditions::default();
    usage.allowances = vec![Allowance { name: "pool".to_owned(), when, octets: MB, pooled: true, rollover: None }];
    usage.thresholds = vec![rule("half", share, Some(SLOW))];
    world.tariff.check().unwrap();
    world.command(AccountCommand::OpenLine {
        key: "second".to_owned(),
        line: LineId::from("l2"),
        customer: CustomerId::from("c1"),
        anchor_day: 1,
        zone: "Asia/Seoul".to_owned(),
        profile: Box::new(profile("payg")),
        state: LineState::Active,
        at: at("10-02T00:00:00"),
    });
    assert_eq!(world.open().throttle, None);
    world.line = LineId::from("l2");
    world.file("1", MB, "10-10T12:00:00");
    world.line = LineId::from("l1");
    assert_eq!(world.ask(Phase::Update, 1, None, Wanted::AsMuchAsWeGive).1.unwrap().throttle, Some(SLOW));
}
