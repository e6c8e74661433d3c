//! Rating again: a cycle comes to what the corrected tariff would have given.

use std::sync::Arc;

use super::*;
use crate::domain::account::{CommandAnswer, Commanded};
use crate::domain::network::Plmn;
use crate::domain::rating::request::Used;
use crate::domain::rating::rerate::{Rerate, Rerated};

/// Tiers, a pool, directions and zones; `{}` are what is corrected.
fn tariff_of(version: u32, price: u32, pool: u64) -> Tariff {
    let text = format!(
        r#"
        version = {version}
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
        allowance = [{{ name = "pool", octets = {pool}, pooled = true }}]
        [[plan.p.usage.price]]
        name = "abroad"
        when = {{ zones = ["japan"] }}
        cost = {{ per_unit = {{ price = {price}, octets = 500 }} }}
        [[plan.p.usage.price]]
        name = "up"
        when = {{ direction = "up" }}
        cost = {{ graduated = [
            {{ from_octets = 0, price = {price}, per_octets = 300 }},
            {{ from_octets = 10_000, price = 1, per_octets = 700 }},
        ] }}
        [[plan.p.usage.price]]
        name = "rest"
        cost = {{ per_unit = {{ price = 1, octets = 100 }} }}
        "#
    );
    let tariff: Tariff = toml::from_str(&text).unwrap();
    tariff.check().unwrap();
    tariff
}

fn world(tariff: Tariff) -> World {
    let mut world = World::on("p");
    world.tariff = tariff;
    world.command(AccountCommand::OpenLine {
        key: "open l2".to_owned(),
        line: "l2".into(),
        customer: CustomerId::from("c1"),
        anchor_day: 1,
        zone: "Asia/Seoul".to_owned(),
        profile: Box::new(Profile { imsi: Some("450080000000002".to_owned()), ..profile("p") }),
        state: LineState::Active,
        at: at("10-02T00:00:00"),
    });
    world
}

type Taken = (bool, u64, u64, bool, u32);

fn take(world: &mut World, n: usize, (second, up, down, abroad, group): Taken) {
    let mut request = world.event(RecordKey::File(n.to_string()), 0);
    request.received = Timestamp(world.now.0 + n as i64);
    request.network = Plmn::parse(if abroad { "44010" } else { "45008" });
    request.groups[0].rating_group = group;
    request.groups[0].used = Some(Used::both_ways(up, down));
    world.line = if second { "l2" } else { "l1" }.into();
    world.apply(&request);
}

fn rerate(world: &mut World, id: &str, tariff: &Tariff, dry_run: bool) -> Commanded {
    let ask = Rerate {
        id: id.to_owned(),
        cycle: "2026-10".parse().unwrap(),
        records: Arc::new(world.records.clone()),
        book: Arc::new(tariff.clone().into()),
        dry_run,
    };
    let done = world.command(AccountCommand::Rerate(ask));
    for record in &done.records {
        assert!(balanced(&record.postings), "{record:?}");
    }
    world.records.extend(done.records.iter().cloned());
    done
}

fn sums(records: &[UsageRecord], late_for: Option<CycleId>) -> (i64, i64) {
    let of = records.iter().filter(|record| record.late_for == late_for);
    of.fold((0, 0), |(octets, amount), record| (octets + record.octets_counted(), amount + record.amount))
}

fn sum_of(done: &Commanded) -> Rerated {
    match done.answer {
        CommandAnswer::Rerated(sum) => sum,
        ref other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_cycle_rated_again_is_what_the_corrected_tariff_gives(
        taken in proptest::collection::vec((any::<bool>(), 0..9_000_u64, 1..9_000_u64, any::<bool>(), 0..3_u32), 1..30),
        price in 0..9_u32,
        pool in 1..40_000_u64,
    ) {
        let (wrong, right) = (tariff_of(1, 3, 20_000), tariff_of(2, price, pool));
        let (mut corrected, mut expected) = (world(wrong.clone()), world(right.clone()));
        for (n, one) in taken.iter().enumerate() {
            take(&mut corrected, n, *one);
            take(&mut expected, n, *one);
        }
        let first = corrected.account.buckets.clone();
        let dry = rerate(&mut corrected, "a", &right, true);
        prop_assert!(!dry.changed && dry.records.is_empty());
        let done = rerate(&mut corrected, "a", &right, false);
        prop_assert_eq!(sum_of(&done), sum_of(&dry));
        prop_assert_eq!(&corrected.account.buckets, &expected.account.buckets);
        prop_assert_eq!(sums(&corrected.records, None), sums(&expected.records, None));
        // Each changed record has its reversal, and both together move nothing but money.
        prop_assert_eq!(done.records.len() as u64, 2 * sum_of(&done).changed);
        prop_assert_eq!(sums(&done.records, None), (0, sum_of(&done).after - sum_of(&done).before));
        let again = rerate(&mut corrected, "a", &right, false);
        prop_assert!(again.answer == CommandAnswer::Done && !again.changed);
        // And back.
        rerate(&mut corrected, "b", &wrong, false);
        prop_assert_eq!(&corrected.account.buckets, &first);
    }
}

#[test]
fn an_account_that_has_counted_more_says_so() {
    let mut world = world(tariff_of(1, 3, 1));
    take(&mut world, 1, (false, 500, 500, false, 0));
    let known = world.records.clone();
    take(&mut world, 2, (false, 500, 500, false, 0));
    let all = std::mem::replace(&mut world.records, known);
    assert_eq!(rerate(&mut world, "a", &tariff_of(2, 5, 1), false).answer, CommandAnswer::Outdated);
    world.records = all;
    assert_eq!(sum_of(&rerate(&mut world, "a", &tariff_of(2, 5, 1), false)).changed, 2);
}

#[test]
fn a_closed_cycle_is_corrected_on_the_next_bill_and_a_forgotten_one_is_refused() {
    let (mut world, october) = (world(tariff_of(1, 3, 1)), "2026-10".parse().unwrap());
    take(&mut world, 1, (false, 3000, 0, false, 0));
    world.now = at("11-02T00:00:00");
    world.command(AccountCommand::CloseCycle { cycle: october });
    let done = rerate(&mut world, "a", &tariff_of(2, 5, 1), false);
    assert_eq!(sum_of(&done), Rerated { records: 1, changed: 1, before: 30, after: 50 });
    assert!(done.records.iter().all(|r| (r.cycle, r.late_for) == (Some(october.next()), Some(october))));
    assert_eq!(sums(&done.records, Some(october)), (0, 20));
    // Once more: what the correction came to is what is corrected.
    assert_eq!(sum_of(&rerate(&mut world, "b", &tariff_of(3, 4, 1), false)).before, 50);
    take(&mut world, 2, (false, 3000, 0, false, 0));
    world.now = at("12-02T00:00:00");
    world.command(AccountCommand::CloseCycle { cycle: october.next() });
    assert!(matches!(rerate(&mut world, "c", &tariff_of(4, 9, 1), false).answer, CommandAnswer::Refused(_)));
}
