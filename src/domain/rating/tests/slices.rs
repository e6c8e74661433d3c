//! Slices that follow the rate of use and share what is left.

use std::time::Duration;

use super::*;

const MIN: u64 = 10_000;

/// Grants of `plan` last a minute, 10 kB to 1 MB.
fn world(plan: &str) -> World {
    let mut world = World::on(plan);
    let quota = &mut world.tariff.plans.get_mut(&PlanId::from(plan)).unwrap().quota;
    (quota.slice_s, quota.slice_octets_min) = (60, MIN);
    world.tariff.check().unwrap();
    world
}

impl World {
    /// A request of one session with one group each; what it was granted.
    fn one_of(&mut self, session: &str, rating_group: u32, number: u32, used: Option<u64>) -> (Outcome, Option<Grant>) {
        let phase = if number == 0 { Phase::Initial } else { Phase::Update };
        let id = SessionId::from(session);
        let groups = vec![GroupRequest { rating_group, ..group(used, Wanted::AsMuchAsWeGive) }];
        let request = self.gy(phase, number, None, Wanted::Nothing);
        let request = ChargeRequest { key: RecordKey::Gy(id.clone(), number), session: Some(id), groups, ..request };
        let group = self.apply(&request).answer.groups.remove(0);
        (group.outcome, group.grant)
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }
}

#[test]
fn the_next_slice_lasts_as_long_as_the_plan_says_at_the_rate_of_the_last_report() {
    // octets used, seconds that they took, octets granted
    let table = [
        (5_000, 30, MIN),
        (10_000, 60, MIN),
        (10_000, 59, 10_169),
        (10_000, 10, 60_000),
        (10_000, 1, 600_000),
        (20_000, 1, MB),
        (1, 0, 60_000),
        (10_000, 0, MB),
        (0, 5, MIN),
        (900_000, 7_000, MIN),
    ];
    for (used, seconds, granted) in table {
        let mut world = world("payg");
        assert_eq!(world.open().octets, MIN, "no rate is known");
        world.pass(seconds);
        let grant = world.ask(Phase::Update, 1, Some(used), Wanted::AsMuchAsWeGive).1.unwrap();
        assert_eq!((grant.octets, grant.final_unit), (granted, None), "{used} octets in {seconds} s");
        assert_eq!(world.ask(Phase::Update, 2, Some(0), Wanted::Octets(7)).1.unwrap().octets, 7);
    }
    let mut fixed = World::on("payg");
    fixed.open();
    fixed.pass(100);
    assert_eq!(fixed.ask(Phase::Update, 1, Some(1), Wanted::AsMuchAsWeGive).1.unwrap().octets, MB);
}

#[test]
fn each_group_has_its_own_rate_from_its_own_last_report() {
    let mut world = world("payg");
    world.one_of("s1", 10, 0, None);
    world.one_of("s1", 20, 1, None);
    world.pass(10);
    assert_eq!(world.one_of("s1", 10, 2, Some(100_000)).1.unwrap().octets, 600_000);
    world.pass(90);
    assert_eq!(world.one_of("s1", 20, 3, Some(100_000)).1.unwrap().octets, 60_000);
    // a report without a wish goes on from there
    world.pass(10);
    world.ask(Phase::Update, 4, Some(500_000), Wanted::Nothing);
    world.pass(10);
    assert_eq!(world.one_of("s1", 10, 5, Some(20_000)).1.unwrap().octets, 120_000);
    // what has been given back at Tcc tells no rate
    world.pass(7200);
    world.account.tick(world.now, &world.settings.limits.clone());
    assert_eq!(world.one_of("s1", 10, 6, Some(900_000_000)).1.unwrap().octets, MIN);
}

#[test]
fn sessions_and_groups_share_what_is_left_and_the_last_grant_alone_is_final() {
    let mut world = world("capped");
    world.open();
    world.ask(Phase::Terminate, 1, Some(9_400_000), Wanted::Nothing);
    let users = [("s2", 10), ("s2", 20), ("s3", 10)];
    let mut numbers = std::collections::BTreeMap::new();
    let mut holds = [0u64; 3];
    let (mut granted, mut requests, mut finals) = (0, 0, 0);
    let mut going = true;
    while going {
        going = false;
        assert!(requests < 60, "it comes to an end");
        for (user, (session, rating_group)) in users.into_iter().enumerate() {
            let number = numbers.entry(session).and_modify(|n| *n += 1).or_insert(0);
            let used = (holds[user] > 0).then_some(holds[user]);
            let (outcome, grant) = world.one_of(session, rating_group, *number, used);
            requests += 1;
            holds[user] = grant.as_ref().map_or(0, |grant| grant.octets);
            granted += holds[user];
            let free = (10 * MB).saturating_sub(world.total().0 + world.account.reserved(0, world.now));
            match grant {
                Some(grant) => {
                    assert_eq!(grant.final_unit.is_some(), free == 0, "{free} left for the others");
                    assert!(grant.octets >= MIN || grant.final_unit.is_some());
                    let others = holds.iter().filter(|held| **held > 0).count() > 1;
                    let share = ((free + grant.octets) / 2).max(MIN);
                    assert!(!others || grant.octets <= share, "{} of {share}", grant.octets);
                    finals += u32::from(grant.final_unit.is_some());
                    going = true;
                }
                None => assert_eq!((outcome, free), (Outcome::CreditLimitReached, 0)),
            }
        }
    }
    assert_eq!((granted, world.total().0), (600_000, 10 * MB), "all of it was granted, and no more");
    assert_eq!(finals, 1);
}

#[test]
fn groups_of_one_request_share_too() {
    let mut world = world("capped");
    world.file("before", 10 * MB - 25_000, "10-10T11:00:00");
    let groups = [10, 20, 30].map(|rating_group| GroupRequest { rating_group, ..group(None, Wanted::AsMuchAsWeGive) });
    let request = ChargeRequest { groups: groups.to_vec(), ..world.gy(Phase::Initial, 0, None, Wanted::Nothing) };
    let answer = world.apply(&request).answer;
    let got: Vec<_> =
        answer.groups.iter().map(|g| g.grant.as_ref().map(|g| (g.octets, g.final_unit.is_some()))).collect();
    assert_eq!(got, [Some((MIN, false)), Some((MIN, false)), Some((5_000, true))]);
}

#[test]
fn a_slice_that_cannot_be_is_refused_by_the_tariff() {
    for (slice_s, slice_octets_min, good) in
        [(0, 0, true), (0, 2 * MB, true), (1, 0, false), (1, 1, true), (1, MB, true), (1, MB + 1, false)]
    {
        let mut tariff = tariff();
        let quota = &mut tariff.plans.get_mut(&PlanId::from("payg")).unwrap().quota;
        (quota.slice_s, quota.slice_octets_min) = (slice_s, slice_octets_min);
        assert_eq!(tariff.check().is_ok(), good, "{slice_s} s, {slice_octets_min} octets");
    }
}
