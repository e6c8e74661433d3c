use proptest::prelude::*;

use super::*;
use crate::domain::line::{Access, Profile};
use crate::domain::money::Currency;
use crate::domain::tariff::Tariff;

const OCTOBER: &str = "2026-10";

fn plan(fee: i64, activation_fee: i64, suspended_percent: u8) -> Plan {
    Plan { monthly_fee: fee, activation_fee, suspended_percent, ..Plan::without_usage(Access::Internet) }
}

/// `basic` 31,000 a month, free while suspended; `kept` 31,000, charged while
/// suspended; `big` 62,000; `odd` 10,000. Each activation costs 5,000.
fn tariff() -> TariffBook {
    let plans = [("basic", 31_000, 0), ("kept", 31_000, 100), ("big", 62_000, 0), ("odd", 10_000, 0)];
    let plans = plans.map(|(id, fee, kept)| (PlanId::from(id), plan(fee, 5_000, kept)));
    TariffBook::from(Tariff { plans: plans.into(), ..Tariff::empty(1, Currency::KRW, 10) })
}

fn calendar(anchor: u8) -> Calendar {
    Calendar::new(anchor, "Asia/Seoul").unwrap()
}

/// `10-05T12:00` of 2026, in Seoul.
fn seoul(text: &str) -> Timestamp {
    let text = if text.len() > 11 { text.to_owned() } else { format!("2026-{text}") };
    Timestamp::parse(&format!("{text}:00+09:00")).unwrap()
}

/// What happens to a line, in order.
enum Then {
    Reach(LineState, &'static str),
    Plan(&'static str, &'static str),
}
use LineState::{Absent, Active, Suspended, Terminated};
use Then::{Plan as Switch, Reach};

fn line(first_plan: &str, ordered: &str, story: &[Then]) -> Line {
    let profile = Profile {
        access: Access::Internet,
        imsi: None,
        msisdn: None,
        device: None,
        apns: Vec::new(),
        plan: first_plan.into(),
        source: None,
        address: None,
        email: None,
        phone: None,
    };
    let mut line = Line {
        id: "L".into(),
        customer: "C".into(),
        account: "L".into(),
        profile,
        intended: Absent,
        actual: Absent,
        element: None,
        desired_version: 0,
        last_order: None,
        queue: Vec::new(),
        reconnects: None,
        periods: Vec::new(),
        plans: Vec::new(),
        created: seoul(ordered),
        version: 0,
    };
    for then in story {
        match then {
            Reach(state, at) => line.reach(*state, seoul(at)),
            Switch(plan, at) => line.change_plan(PlanId::from(*plan), seoul(at)),
        }
    }
    line
}

/// `fee basic 31 days 31000` for each charge.
fn bill(line: &Line, cycle: &str, anchor: u8) -> Vec<String> {
    let days = CycleDays::of(&calendar(anchor), cycle.parse().unwrap());
    let charges = charges_for(line, &days, &tariff()).unwrap();
    let show = |c: &Charge| match c.kind {
        ChargeKind::Recurring => format!("fee {} {} days {}", c.plan, c.quantity, c.amount),
        ChargeKind::OneTime => format!("activation {} {}", c.plan, c.amount),
        ChargeKind::Usage => unreachable!("no usage is given"),
    };
    charges.iter().map(show).collect()
}

fn check(what: &str, line: Line, expected: &[&str]) {
    assert_eq!(bill(&line, OCTOBER, 1), expected, "{what}");
}

#[test]
fn october_of_a_line_is_charged_by_its_days_in_service() {
    let long_ago = || Reach(Active, "01-02T10:00");
    check("in service all month", line("basic", "01-01T00:00", &[long_ago()]), &["fee basic 31 days 31000"]);
    check(
        "activated on the 11th at 23:59: that day counts",
        line("basic", "10-10T00:00", &[Reach(Active, "10-11T23:59")]),
        &["fee basic 21 days 21000", "activation basic 5000"],
    );
    check(
        "terminated on the 10th at 09:00: that day counts",
        line("basic", "01-01T00:00", &[long_ago(), Reach(Terminated, "10-10T09:00")]),
        &["fee basic 10 days 10000"],
    );
    check(
        "terminated at midnight before the 10th: the 10th is free",
        line("basic", "01-01T00:00", &[long_ago(), Reach(Terminated, "10-10T00:00")]),
        &["fee basic 9 days 9000"],
    );
    check(
        "activated and terminated on one day",
        line("basic", "10-05T00:00", &[Reach(Active, "10-05T10:00"), Reach(Terminated, "10-05T11:00")]),
        &["fee basic 1 days 1000", "activation basic 5000"],
    );
    check(
        "terminated in September",
        line("basic", "01-01T00:00", &[long_ago(), Reach(Terminated, "09-30T23:59")]),
        &[],
    );
    check("activated in November", line("basic", "10-30T00:00", &[Reach(Active, "11-01T00:00")]), &[]);
    check("never activated", line("basic", "10-01T00:00", &[]), &[]);
}

#[test]
fn suspended_days_follow_the_plan() {
    let story = || [Reach(Active, "01-02T10:00"), Reach(Suspended, "10-10T12:00"), Reach(Active, "10-20T12:00")];
    check(
        "free while suspended; the days of suspending and resuming were in service for a part",
        line("basic", "01-01T00:00", &story()),
        &["fee basic 10 days 10000", "fee basic 12 days 12000"],
    );
    check("charged while suspended", line("kept", "01-01T00:00", &story()), &["fee kept 31 days 31000"]);
    let all_month = || [Reach(Active, "01-02T10:00"), Reach(Suspended, "09-10T12:00")];
    check("suspended all month, free", line("basic", "01-01T00:00", &all_month()), &[]);
    check("suspended all month, charged", line("kept", "01-01T00:00", &all_month()), &["fee kept 31 days 31000"]);
}

#[test]
fn a_change_of_plan_counts_from_its_own_day() {
    let change = |plan| [Reach(Active, "01-02T10:00"), Switch(plan, "10-11T15:00")];
    check(
        "from basic to big on the 11th",
        line("basic", "01-01T00:00", &change("big")),
        &["fee basic 10 days 10000", "fee big 21 days 42000"],
    );
    check(
        "two changes on one day: the day is charged once, by the last",
        line(
            "basic",
            "01-01T00:00",
            &[Reach(Active, "01-02T10:00"), Switch("big", "10-11T10:00"), Switch("odd", "10-11T15:00")],
        ),
        &["fee basic 10 days 10000", "fee odd 21 days 6774"],
    );
    check(
        "the activation fee is that of the plan at the activation",
        line("basic", "10-01T00:00", &[Reach(Active, "10-01T00:00"), Switch("big", "10-02T00:00")]),
        &["fee basic 1 days 1000", "fee big 30 days 60000", "activation basic 5000"],
    );
}

#[test]
fn what_was_undone_or_moved_in_pays_no_activation() {
    check(
        "the visit was returned and the activation undone",
        line("basic", "10-01T00:00", &[Reach(Active, "10-05T10:00"), Reach(Absent, "10-07T10:00")]),
        &[],
    );
    check(
        "undone, then activated again",
        line(
            "basic",
            "10-01T00:00",
            &[Reach(Active, "10-05T10:00"), Reach(Absent, "10-07T10:00"), Reach(Active, "10-22T10:00")],
        ),
        &["fee basic 10 days 10000", "activation basic 5000"],
    );
    check(
        "in service before it was known here",
        line("basic", "10-20T00:00", &[Reach(Active, "10-01T00:00")]),
        &["fee basic 31 days 31000"],
    );
}

#[test]
fn an_anchor_of_31_bills_every_day_of_the_year_once() {
    let line = line("odd", "2026-01-01T00:00", &[Reach(Active, "2026-01-01T00:00")]);
    let mut days = 0;
    let mut cycle: CycleId = "2026-01".parse().unwrap();
    for _ in 0..12 {
        let of_cycle = CycleDays::of(&calendar(31), cycle);
        let charges = charges_for(&line, &of_cycle, &tariff()).unwrap();
        let fees: Vec<_> = charges.iter().filter(|c| c.kind == ChargeKind::Recurring).collect();
        assert_eq!(fees.iter().map(|c| c.amount).sum::<i64>(), 10_000, "{cycle}");
        days += fees.iter().map(|c| c.quantity).sum::<u64>();
        cycle = cycle.next();
    }
    // 31 January 2026 up to 31 January 2027.
    assert_eq!(days, 365);
    assert_eq!(CycleDays::of(&calendar(31), "2026-02".parse().unwrap()).days.len(), 31);
    assert_eq!(CycleDays::of(&calendar(31), "2026-01".parse().unwrap()).days.len(), 28);
}

#[test]
fn a_clock_change_neither_adds_nor_loses_a_day() {
    let calendar = Calendar::new(1, "America/New_York").unwrap();
    for (cycle, days) in [("2026-03", 31), ("2026-11", 30)] {
        let cycle = CycleDays::of(&calendar, cycle.parse().unwrap());
        assert_eq!(cycle.days.len(), days);
        assert_eq!(cycle.days[0].from, cycle.bounds.from);
        assert_eq!(cycle.days[days - 1].until, cycle.bounds.until);
        assert!(cycle.days.windows(2).all(|d| d[0].until == d[1].from));
    }
}

#[test]
fn a_plan_outside_the_tariff_is_named_with_its_line() {
    let line = line("gone", "01-01T00:00", &[Reach(Active, "01-02T10:00")]);
    let days = CycleDays::of(&calendar(1), OCTOBER.parse().unwrap());
    let error = charges_for(&line, &days, &tariff()).unwrap_err();
    assert_eq!(error.to_string(), "bill line `L`: plan `gone` is not in the tariff");
}

#[test]
fn late_usage_is_charged_under_the_month_it_belongs_to() {
    let days = CycleDays::of(&calendar(1), OCTOBER.parse().unwrap());
    let september: CycleId = "2026-09".parse().unwrap();
    let bounds = calendar(1).bounds(september);
    let sum =
        UsageSum { line: "L".into(), plan: "odd".into(), late_for: Some((september, bounds)), octets: 5, amount: 7 };
    let charge = usage_charge(sum, &days, &tariff()).unwrap();
    assert_eq!((charge.late_for, charge.span), (Some(september), bounds));
    assert_eq!((charge.quantity, charge.amount, charge.kind), (5, 7, ChargeKind::Usage));
}

proptest! {
    /// However a month is cut by changes between plans of one fee, the parts sum
    /// to the fee.
    #[test]
    fn parts_of_a_whole_month_sum_to_the_fee(
        fee in 0i64..10_000_000,
        mut cuts in proptest::collection::vec(0i64..31 * 24 * 60, 0..8),
        anchor in 1u8..=31,
        month in 1i8..=12,
    ) {
        cuts.sort_unstable();
        let cycle = CycleDays::of(&calendar(anchor), CycleId { year: 2026, month });
        let plans = [("a", fee), ("b", fee)].map(|(id, fee)| (PlanId::from(id), plan(fee, 0, 0)));
        let tariff = TariffBook::from(Tariff { plans: plans.into(), ..Tariff::empty(1, Currency::KRW, 10) });
        let mut line = line("a", "2025-01-01T00:00", &[Reach(Active, "2025-01-02T00:00")]);
        for (i, minute) in cuts.iter().enumerate() {
            let at = Timestamp(cycle.bounds.from.0 + minute * 60_000);
            line.change_plan(PlanId::from(if i % 2 == 0 { "b" } else { "a" }), at);
        }
        let charges = charges_for(&line, &cycle, &tariff).unwrap();
        prop_assert_eq!(charges.iter().map(|c| c.amount).sum::<i64>(), fee);
        prop_assert!(charges.windows(2).all(|c| c[0].span.until <= c[1].span.from));
    }

    /// Days charged and days suspended free make up the month.
    #[test]
    fn a_suspension_never_makes_a_month_dearer(from in 0i64..44_640, length in 0i64..44_640) {
        let cycle = CycleDays::of(&calendar(1), OCTOBER.parse().unwrap());
        let mut line = line("odd", "2025-01-01T00:00", &[Reach(Active, "2025-01-02T00:00")]);
        let suspended = Timestamp(cycle.bounds.from.0 + from * 60_000);
        line.reach(Suspended, suspended);
        line.reach(Active, Timestamp(suspended.0 + length * 60_000));
        let charges = charges_for(&line, &cycle, &tariff()).unwrap();
        let total: i64 = charges.iter().map(|c| c.amount).sum();
        let free = cycle.days.iter().filter(|d| {
            suspended <= d.from && Timestamp(suspended.0 + length * 60_000) >= d.until
        }).count();
        prop_assert_eq!(charges.iter().map(|c| c.quantity).sum::<u64>() as usize, 31 - free);
        prop_assert!((0..=10_000).contains(&total));
        prop_assert_eq!(total == 10_000, free == 0);
    }
}

#[test]
fn a_suspended_day_is_charged_its_part_of_the_fee() {
    // suspended from 10-11 to 10-21, ten whole days of 31; percent of the fee, won
    for (percent, won) in [(0, 21_000), (30, 24_000), (50, 26_000), (100, 31_000)] {
        let plans = [(PlanId::from("part"), plan(31_000, 0, percent))];
        let tariff = TariffBook::from(Tariff { plans: plans.into(), ..Tariff::empty(1, Currency::KRW, 10) });
        let line = line(
            "part",
            "09-01T12:00",
            &[Reach(Active, "09-01T12:00"), Reach(Suspended, "10-11T00:00"), Reach(Active, "10-21T00:00")],
        );
        let days = CycleDays::of(&calendar(1), OCTOBER.parse().unwrap());
        let charges = charges_for(&line, &days, &tariff).unwrap();
        assert_eq!(charges.iter().map(|c| c.amount).sum::<i64>(), won, "{percent} %: {charges:?}");
    }
}

#[test]
fn more_fees_are_charged_beside_the_two_and_a_new_version_counts_from_its_day() {
    use crate::domain::tariff::Fee;
    let fee = |name: &str, amount, charged| Fee { name: name.to_owned(), amount, charged };
    let version = |version, from: Timestamp, monthly| {
        let fees = vec![fee("static IP", 3100, FeeTime::Monthly), fee("SIM", 7700, FeeTime::Once)];
        let plans = [(PlanId::from("more"), Plan { fees, ..plan(monthly, 5_000, 0) })];
        Tariff { effective_from: from, plans: plans.into(), ..Tariff::empty(version, Currency::KRW, 10) }
    };
    let (beginning, eleventh) = (Tariff::BEGINNING, seoul("10-11T00:00"));
    let book = TariffBook::new(vec![version(1, beginning, 31_000), version(2, eleventh, 62_000)]).unwrap();
    let line = line("more", "10-01T00:00", &[Reach(Active, "10-01T00:00")]);
    let days = CycleDays::of(&calendar(1), OCTOBER.parse().unwrap());
    let charges = charges_for(&line, &days, &book).unwrap();
    let got: Vec<_> = charges.iter().map(|c| (c.description.as_str(), c.quantity, c.amount)).collect();
    let expected = [
        ("plan", 10, 10_000),
        ("static IP", 10, 1000),
        ("plan", 21, 42_000),
        ("static IP", 21, 2100),
        ("plan", 1, 5000),
        ("SIM", 1, 7700),
    ];
    assert_eq!(got, expected);
}
