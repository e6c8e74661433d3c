//! Top-ups: what they raise, and what they cover.

use super::*;
use crate::domain::account::{CommandAnswer, TopUp};

impl World {
    fn top_up(&mut self, id: &str, octets: u64) -> crate::domain::account::Commanded {
        let line = self.line.clone();
        let plan = self.account.line(&line).unwrap().plan_at(self.now).unwrap().clone();
        let allowance_octets = self.tariff.plan(&plan).unwrap().usage.as_ref().unwrap().allowance_octets();
        self.command(AccountCommand::TopUp(TopUp { id: id.into(), line, octets, allowance_octets, tariff_version: 4 }))
    }
}

#[test]
fn a_top_up_raises_what_is_left_under_the_cap_once_for_its_id() {
    let mut world = World::on("capped");
    world.open();
    assert_eq!(world.ask(Phase::Update, 1, Some(10 * MB), Wanted::AsMuchAsWeGive).0, Outcome::CreditLimitReached);
    let done = world.top_up("t1", 3 * MB / 2);
    assert_eq!(done.answer, CommandAnswer::Done);
    assert!(balanced(&done.records[0].postings), "{:?}", done.records[0].postings);
    assert_eq!(side(&done.records[0], LedgerSide::TopUp, Unit::Octets), 1_500_000);
    let again = world.top_up("t1", 3 * MB / 2);
    assert!(again.answer == CommandAnswer::Done && !again.changed && again.records.is_empty());
    let (_, grant) = world.ask(Phase::Update, 2, None, Wanted::AsMuchAsWeGive);
    assert_eq!(grant.as_ref().map(|g| (g.octets, g.final_unit.is_some())), Some((MB, false)));
    let (_, grant) = world.ask(Phase::Update, 3, Some(MB), Wanted::AsMuchAsWeGive);
    assert_eq!(grant.map(|g| (g.octets, g.final_unit.is_some())), Some((MB / 2, true)));
    let record = world.records.last().unwrap();
    assert_eq!(side(record, LedgerSide::Credit, Unit::Octets), 1_000_000);
    assert_eq!(side(record, LedgerSide::Network, Unit::Octets), -1_000_000);
}

#[test]
fn octets_of_a_top_up_cost_nothing_and_the_price_goes_on_behind_them() {
    // plan, used before, topped up, then used; what each of the later records costs
    type Row = (&'static str, u64, u64, &'static [u64], &'static [i64]);
    let table: &[Row] = &[
        ("payg", 0, 200_000, &[100_000, 100_000, 100_000], &[0, 0, 3]),
        ("payg", 50_000, 100_000, &[100_000, 50_000, 1], &[0, 0, 3]),
        ("10mb", 0, MB, &[10 * MB, MB, 1], &[0, 0, 11]),
        ("10mb", 12 * MB, MB, &[MB, 100_000], &[0, 11]),
        ("10mb", 9 * MB, MB, &[2 * MB + 100_000], &[11]),
    ];
    for (plan, before, topped_up, octets, prices) in table {
        let mut world = World::on(plan);
        world.file("before", *before, "10-10T12:00:00");
        world.top_up("t1", topped_up / 2);
        world.top_up("t2", topped_up - topped_up / 2);
        for (n, (octets, price)) in octets.iter().zip(*prices).enumerate() {
            let record = world.file(&n.to_string(), *octets, "10-10T12:00:00");
            assert_eq!(record.amount, *price, "{plan} after {before}, record {n} of {octets} octets");
        }
    }
}

#[test]
fn what_is_left_of_a_top_up_ends_with_its_cycle() {
    let mut world = World::on("capped");
    world.top_up("t1", 5 * MB);
    let view = |world: &World| world.account.view(&world.tariff, world.now).lines[0].clone();
    assert_eq!((view(&world).cap_left, view(&world).allowance_left), (Some(15 * MB), Some(15 * MB)));
    let october = world.account.cycle;
    world.now = at("11-02T00:00:00");
    world.command(AccountCommand::CloseCycle { cycle: october });
    assert_eq!(view(&world).cap_left, Some(10 * MB));
    world.now = at("12-02T00:00:00");
    world.command(AccountCommand::CloseCycle { cycle: october.next() });
    assert!(world.account.credits.is_empty());
}

#[test]
fn a_top_up_that_cannot_be_is_refused() {
    let mut world = World::on("capped");
    for octets in [0, u64::MAX] {
        assert!(matches!(world.top_up("t", octets).answer, CommandAnswer::Refused(_)), "{octets}");
    }
    world.line = LineId::from("nobody");
    let top_up = TopUp { id: "t".into(), line: world.line.clone(), octets: 1, allowance_octets: 0, tariff_version: 4 };
    assert_eq!(world.command(AccountCommand::TopUp(top_up)).answer, CommandAnswer::UnknownLine);
}

#[test]
fn an_account_of_the_format_before_top_ups_is_read() {
    let mut world = World::on("capped");
    world.file("1", MB, "10-10T12:00:00");
    let mut former = world.account.encode(Vec::new());
    assert_eq!(former.pop(), Some(0), "no credits");
    former[0] = 3;
    assert_eq!(Account::decode(&former).unwrap(), world.account);
}
