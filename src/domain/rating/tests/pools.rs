//! Properties of pooled allowances that roll over, against a model of one sum for each cycle.

use super::*;
use crate::domain::tariff::Rollover;

/// Octets that each line brings in.
const SHARE: u64 = 1000;

fn pooled(rollover: Rollover) -> World {
    let Rollover { cycles, octets_max } = rollover;
    let usage = format!(
        r#"{{
            "price": [{{ "name": "usage", "cost": {{ "per_unit": {{ "price": 1, "octets": 1 }} }} }}],
            "allowance": [{{ "name": "pool", "octets": {SHARE}, "pooled": true,
                            "rollover": {{ "cycles": {cycles}, "octets_max": {octets_max} }} }}]
        }}"#
    );
    let mut world = World::on("10mb");
    let plan = world.tariff.plans.get_mut(&PlanId::from("10mb")).unwrap();
    (plan.usage, plan.source) = (Some(serde_json::from_str(&usage).unwrap()), ChargingSource::File);
    world.tariff.check().unwrap();
    world
}

fn open(world: &mut World, line: &str, from: Timestamp) {
    world.command(AccountCommand::OpenLine {
        key: format!("open-{line}"),
        line: LineId::from(line),
        customer: CustomerId::from("c1"),
        anchor_day: 1,
        zone: "Asia/Seoul".to_owned(),
        profile: Box::new(profile("10mb")),
        state: LineState::Active,
        at: from,
    });
}

fn end(world: &mut World, line: &str, at: Timestamp) {
    let (key, line) = (format!("end-{line}"), LineId::from(line));
    world.command(AccountCommand::Reach { key, line, state: LineState::Terminated, at });
}

/// The tenth of a month from October 2026 on.
fn tenth(month: usize) -> Timestamp {
    let (year, month) = if month < 3 { (2026, 10 + month) } else { (2027, month - 2) };
    Timestamp::parse(&format!("{year}-{month:02}-10T12:00:00+09:00")).unwrap()
}

/// Octets of the record that no price has counted.
fn free(world: &mut World, line: &str, id: usize, month: usize, octets: u64) -> u64 {
    world.line = LineId::from(line);
    let request = ChargeRequest { ends: tenth(month), ..world.event(RecordKey::File(id.to_string()), octets) };
    let record = world.apply(&request).records.remove(0);
    assert_eq!(record.outcome, UsageOutcome::Rated);
    octets - u64::try_from(record.amount).unwrap()
}

/// What each cycle has left, and has used of those before it.
struct Model {
    rollover: Rollover,
    left: Vec<u64>,
    carried: Vec<u64>,
}

impl Model {
    fn take(&mut self, month: usize, octets: u64) -> u64 {
        let mut wanted = octets;
        for of in month.saturating_sub(self.rollover.cycles.into())..month {
            let some = wanted.min(self.left[of]).min(self.rollover.octets_max - self.carried[month]);
            self.left[of] -= some;
            self.carried[month] += some;
            wanted -= some;
        }
        let some = wanted.min(self.left[month]);
        self.left[month] -= some;
        octets - wanted + some
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Usage of any line, on time or late, in one piece or in two.
    #[test]
    fn a_pool_rolls_over_as_a_sum_for_each_cycle_would(
        cycles in 1u8..=4,
        octets_max in 1u64..5000,
        lines in 1usize..4,
        records in proptest::collection::vec((0usize..3, 0usize..6, 0u64..4000, any::<bool>()), 1..30),
    ) {
        let rollover = Rollover { cycles, octets_max };
        let mut world = pooled(rollover);
        for line in 1..lines {
            open(&mut world, &format!("l{}", line + 1), at("10-02T00:00:00"));
        }
        let size = SHARE * lines as u64;
        let mut model = Model { rollover, left: vec![size; 6], carried: vec![0; 6] };
        world.now = tenth(5);
        for (id, (line, month, octets, cut)) in records.into_iter().enumerate() {
            let line = format!("l{}", line % lines + 1);
            let parts = if cut { vec![octets / 3, octets - octets / 3] } else { vec![octets] };
            let got: u64 = parts.into_iter().enumerate().map(|(n, octets)| free(&mut world, &line, id * 2 + n, month, octets)).sum();
            prop_assert_eq!(got, model.take(month, octets), "record {} of month {}", id, month);
        }
    }
}

#[test]
fn a_line_brings_in_from_its_start_and_what_it_left_stays_after_its_end() {
    let mut world = pooled(Rollover { cycles: 2, octets_max: 10_000 });
    open(&mut world, "l2", at("11-05T00:00:00"));
    world.now = tenth(0);
    assert_eq!(free(&mut world, "l1", 0, 0, 400), 400);
    world.now = tenth(1);
    end(&mut world, "l2", at("11-09T00:00:00"));
    assert_eq!(free(&mut world, "l1", 1, 1, 100), 100, "of October's 600");
    for month in ["2026-10", "2026-11"] {
        world.account.close(month.parse().unwrap());
    }
    world.now = tenth(2);
    // 500 of October, 2,000 of November of which the ended line brought in a half, 1,000 of its own.
    assert_eq!(free(&mut world, "l1", 2, 2, 5000), 3500);
    world.account.close("2026-12".parse().unwrap());
    world.now = tenth(3);
    assert_eq!(free(&mut world, "l1", 3, 3, 5000), 1000);
}

#[test]
fn a_pool_looks_again_at_earlier_cycles_when_its_lines_change() {
    let mut world = pooled(Rollover { cycles: 1, octets_max: 10_000 });
    world.now = tenth(1);
    assert_eq!(free(&mut world, "l1", 0, 0, 1000), 1000);
    assert_eq!(free(&mut world, "l1", 1, 1, 400), 400, "October has nothing left");
    let bucket = |world: &World| world.account.buckets.last().unwrap().more.as_ref().unwrap().pools[0].clone();
    assert!(bucket(&world).is_dry);
    open(&mut world, "l2", at("10-20T00:00:00"));
    assert_eq!(free(&mut world, "l1", 2, 1, 5000), 2600, "the new line has brought 1,000 into October, too");
}
