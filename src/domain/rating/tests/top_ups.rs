//! Top-ups: what they raise, and what they cover.

use super::*;
use crate::domain::account::{CommandAnswer, TopUp};

impl World {
    pub(super) fn top_up(&mut self, id: &str, octets: u64) -> crate::domain::account::Commanded {
        let line = self.line.clone();
        self.command(AccountCommand::TopUp(TopUp { id: id.into(), line, octets, tariff_version: 4 }))
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

proptest! {
    #[test]
    fn splitting_a_record_under_a_top_up_changes_no_total(
        plan in proptest::sample::select(vec!["payg", "10mb", "capped"]),
        (before, octets, credit) in (0..12 * MB, 0..12 * MB, 1..6 * MB),
        cuts in proptest::collection::vec(0u64..=1000, 0..8),
    ) {
        let of = |pieces: &[u64]| {
            let mut world = World::on(plan);
            world.file("before", before, "10-10T12:00:00");
            world.top_up("t", credit);
            for (n, pair) in pieces.windows(2).enumerate() {
                world.file(&n.to_string(), pair[1] - pair[0], "10-10T12:00:00");
            }
            let sides = [LedgerSide::Allowance, LedgerSide::Credit, LedgerSide::Charged, LedgerSide::Network];
            (world.total(), sides.map(|at| world.records.iter().map(|r| side(r, at, Unit::Octets)).sum::<i64>()))
        };
        let mut marks: Vec<u64> = cuts.iter().map(|cut| octets * cut / 1000).chain([0, octets]).collect();
        marks.sort_unstable();
        prop_assert_eq!(of(&marks), of(&[0, octets]));
    }
}

#[test]
fn a_top_up_comes_behind_the_allowances_that_fit_and_before_what_costs() {
    let mut world = World::on("p");
    world.tariff = toml::from_str(
        r#"
version = 4
currency = "KRW"
tax_percent = 10
[plan.p]
name = "P"
product = "iot"
department = "iot"
access = "cellular"
apns = ["iot.example"]
monthly_fee = 0
[plan.p.usage]
cap_octets = 20_000_000
allowance = [{ name = "own", octets = 1_000_000 }]
threshold = [{ name = "full", at = { cap_percent = 100 }, action = "suspend" }]
[[plan.p.usage.price]]
name = "rest"
cost = { per_block = { price = 3, octets = 100_000 } }
"#,
    )
    .unwrap();
    world.top_up("t", MB);
    let view = |world: &World| world.account.view(&world.tariff.clone().into(), world.now).lines[0].clone();
    assert_eq!((view(&world).allowance_left, view(&world).cap_left), (Some(2 * MB), Some(21 * MB)));
    let record = world.file("1", 2 * MB + 100_000, "10-10T12:00:00");
    let sides = [LedgerSide::Allowance, LedgerSide::Credit, LedgerSide::Charged];
    assert_eq!(sides.map(|at| side(&record, at, Unit::Octets)), [1_000_000, 1_000_000, 100_000]);
    assert!(balanced(&record.postings) && record.amount == 3, "{record:?}");
    assert_eq!((view(&world).allowance_left, view(&world).cap_left), (Some(0), Some(18_900_000)));
    let crossed = world.file("2", 18 * MB, "10-10T12:00:00").crossed;
    assert!(crossed.is_empty(), "the top-up has raised the cap");
    assert_eq!(world.file("3", MB, "10-10T12:00:00").crossed.len(), 1);
}

#[test]
fn what_is_left_of_a_top_up_ends_with_its_cycle() {
    let mut world = World::on("capped");
    world.top_up("t1", 5 * MB);
    let view = |world: &World| world.account.view(&world.tariff.clone().into(), world.now).lines[0].clone();
    assert_eq!((view(&world).cap_left, view(&world).allowance_left), (Some(15 * MB), Some(15 * MB)));
    let october = world.account.cycle;
    world.now = at("11-02T00:00:00");
    world.command(AccountCommand::CloseCycle { cycle: october });
    assert_eq!((view(&world).cap_left, view(&world).credit), (Some(10 * MB), 0));
    world.file("november", 1, "11-01T12:00:00");
    world.now = at("12-02T00:00:00");
    world.command(AccountCommand::CloseCycle { cycle: october.next() });
    assert!(world.account.bucket(october).is_none(), "and its credit with it");
}

#[test]
fn a_top_up_that_cannot_be_is_refused() {
    let mut world = World::on("capped");
    for octets in [0, u64::MAX] {
        assert!(matches!(world.top_up("t", octets).answer, CommandAnswer::Refused(_)), "{octets}");
    }
    world.line = LineId::from("nobody");
    let top_up = TopUp { id: "t".into(), line: world.line.clone(), octets: 1, tariff_version: 4 };
    assert_eq!(world.command(AccountCommand::TopUp(top_up)).answer, CommandAnswer::UnknownLine);
}

#[test]
fn an_account_of_a_former_format_is_refused_by_name() {
    let mut former = World::on("capped").account.encode(Vec::new());
    former[0] = 4;
    let error = Account::decode(&former).unwrap_err();
    assert!(error.to_string().contains("format 4, this program reads 6"), "{error}");
}
