//! One-time events: what each of the four actions moves and answers.

use super::*;
use crate::domain::money::Money;
use crate::domain::rating::request::{Action, MoneyAsked};

const OCTETS: fn(u64) -> Wanted = Wanted::Octets;

/// 1 kB with the fee in group 10, then a won for each started 100 octets; 5 won in
/// group 20; a cap of 5 kB.
const RULES: &str = r#"
version = 1
currency = "KRW"
tax_percent = 10
[plan.payg]
name = "P"
product = "iot"
department = "iot"
access = "cellular"
apns = ["iot.example"]
monthly_fee = 0
[plan.payg.usage]
cap_octets = 5000
allowance = [
    { name = "own", octets = 700, when = { rating_groups = [10] } },
    { name = "pool", octets = 300, pooled = true, when = { rating_groups = [10] } },
]
price = [
    { name = "video", when = { rating_groups = [20] }, cost = { per_block = { price = 5, octets = 100 } } },
    { name = "rest", cost = { per_block = { price = 1, octets = 100 } } },
]
"#;

fn by_rules() -> World {
    let mut world = World::on("payg");
    world.tariff = toml::from_str(RULES).unwrap();
    world.tariff.check().unwrap();
    world
}

fn won(digits: i64) -> Wanted {
    Wanted::Money(MoneyAsked { digits, exponent: 0, currency: None })
}

impl World {
    fn one_time(&self, action: Action, number: u32, wanted: Wanted) -> ChargeRequest {
        let key = RecordKey::Gy(SessionId::from("event"), number);
        let groups = vec![group(None, wanted)];
        ChargeRequest { key, phase: Phase::OneTime(action), groups, ..self.event(RecordKey::File("e".into()), 0) }
    }

    /// Applies it to a rating group; its outcome, what it cost, and whether it is covered.
    fn once_in(
        &mut self,
        rating_group: u32,
        action: Action,
        number: u32,
        octets: u64,
    ) -> (Outcome, Option<i64>, Option<bool>) {
        let mut request = self.one_time(action, number, OCTETS(octets));
        request.groups[0].rating_group = rating_group;
        let answer = self.apply(&request).answer;
        (answer.groups[0].outcome, answer.groups[0].cost.map(|c| c.minor), answer.covered)
    }

    /// Applies it; the group's outcome, what was granted and what it cost.
    fn once(&mut self, action: Action, number: u32, wanted: Wanted) -> (Outcome, Option<u64>, Option<i64>) {
        let request = self.one_time(action, number, wanted);
        let applied = self.apply(&request);
        assert!(applied.opened.is_none() && applied.forgotten.is_none() && self.account.sessions.is_empty());
        let group = &applied.answer.groups[0];
        (group.outcome, group.grant.as_ref().map(|g| g.octets), group.cost.map(|c| c.minor))
    }
}

#[test]
fn a_debit_charges_what_is_wanted_whole_or_not_at_all() {
    let (success, failed) = (Outcome::Success, Outcome::RatingFailed);
    let limit = Outcome::CreditLimitReached;
    let (dollars, half) = (
        MoneyAsked { digits: 5, exponent: 0, currency: Some(840) },
        MoneyAsked { digits: 15, exponent: -1, currency: Some(410) },
    );
    // plan, octets before, wanted, outcome, granted, cost, the cycle's total afterwards
    let table = [
        ("payg", 0, OCTETS(1), success, Some(1), Some(3), (1, 3)),
        ("payg", 100_000, OCTETS(100_001), success, Some(100_001), Some(6), (200_001, 9)),
        ("10mb", 9 * MB, OCTETS(2 * MB), success, Some(2 * MB), Some(110), (11 * MB, 110)),
        ("capped", 9 * MB, OCTETS(MB), success, Some(MB), Some(0), (10 * MB, 0)),
        ("capped", 9 * MB, OCTETS(MB + 1), limit, None, None, (9 * MB, 0)),
        ("payg", 0, won(1200), success, None, Some(1200), (0, 1200)),
        ("payg", 0, won(1_000_001), failed, None, None, (0, 0)),
        ("payg", 0, won(-1), failed, None, None, (0, 0)),
        ("payg", 0, Wanted::Money(dollars), failed, None, None, (0, 0)),
        ("payg", 0, Wanted::Money(half), failed, None, None, (0, 0)),
        ("payg", 0, OCTETS(u64::MAX), failed, None, None, (0, 0)),
        ("payg", 0, Wanted::Unpriced, failed, None, None, (0, 0)),
        ("payg", 0, Wanted::Nothing, failed, None, None, (0, 0)),
        ("tv", 0, OCTETS(1), failed, None, None, (0, 0)),
    ];
    for (plan, before, wanted, outcome, granted, cost, total) in table {
        let mut world = World::on(plan);
        if before > 0 {
            let used = ChargeRequest {
                groups: vec![group(None, OCTETS(before))],
                ..world.one_time(Action::Debit, 0, OCTETS(before))
            };
            world.apply(&used);
        }
        let got = world.once(Action::Debit, 1, wanted);
        assert_eq!(got, (outcome, granted, cost), "{plan}, {wanted:?} after {before}");
        assert_eq!(world.total(), total, "{plan}, {wanted:?} after {before}");
        assert_eq!(
            world.records.len(),
            usize::from(before > 0) + usize::from(outcome == success),
            "{plan}, {wanted:?}"
        );
    }
}

#[test]
fn a_refund_gives_back_what_the_cycle_has_charged_and_never_more() {
    let too_large = (Outcome::RefundTooLarge, None, None);
    // plan, octets and won debited, wanted back, the answer, the total afterwards
    let table = [
        ("payg", 100_001, 0, OCTETS(1), (Outcome::Success, Some(1), Some(3)), (100_000, 3)),
        ("10mb", 11 * MB, 0, OCTETS(2 * MB), (Outcome::Success, Some(2 * MB), Some(110)), (9 * MB, 0)),
        ("payg", 10, 0, OCTETS(11), too_large, (10, 3)),
        ("payg", 0, 1000, won(400), (Outcome::Success, None, Some(400)), (0, 600)),
        ("payg", 0, 1000, won(1001), too_large, (0, 1000)),
        ("payg", 10, 0, Wanted::Unpriced, (Outcome::RatingFailed, None, None), (10, 3)),
    ];
    for (plan, octets, money, wanted, answer, total) in table {
        let mut world = World::on(plan);
        world.once(Action::Debit, 1, OCTETS(octets));
        world.once(Action::Debit, 2, won(money));
        assert_eq!(world.once(Action::Refund, 3, wanted), answer, "{plan}, {wanted:?}");
        assert_eq!(world.total(), total, "{plan}, {wanted:?}");
        if answer.0 == Outcome::Success {
            let record = world.records.last().unwrap();
            assert_eq!(record.amount, -answer.2.unwrap());
            assert_eq!(side(record, LedgerSide::Unbilled, Unit::Minor), -answer.2.unwrap());
            assert_eq!(record.octets_counted(), -i64::try_from(answer.1.unwrap_or(0)).unwrap());
            assert_eq!(record.cycle, Some(world.account.cycle));
        }
    }
}

#[test]
fn octets_are_not_refunded_after_their_money_was() {
    let mut world = World::on("payg");
    world.once(Action::Debit, 1, OCTETS(1));
    assert_eq!(world.once(Action::Refund, 2, won(3)).0, Outcome::Success);
    assert_eq!(world.once(Action::Refund, 3, OCTETS(1)).0, Outcome::RefundTooLarge);
    assert_eq!(world.total(), (1, 0));
}

#[test]
fn questions_are_answered_and_move_nothing() {
    let (success, denied) = (Outcome::Success, Outcome::ServiceDenied);
    let (check, price) = (Action::CheckBalance, Action::EnquirePrice);
    // plan, in service, action, wanted, outcome, whether it is covered, cost
    let table = [
        ("capped", true, check, OCTETS(10 * MB), success, Some(true), None),
        ("capped", true, check, OCTETS(10 * MB + 1), success, Some(false), None),
        ("payg", true, check, OCTETS(50 * MB), success, Some(true), None),
        ("payg", true, check, won(500), success, Some(true), None),
        ("payg", true, check, Wanted::Unpriced, Outcome::RatingFailed, None, None),
        ("payg", false, check, OCTETS(1), denied, None, None),
        ("payg", true, price, OCTETS(100_001), success, None, Some(6)),
        ("10mb", true, price, OCTETS(10 * MB), success, None, Some(0)),
        ("payg", false, price, OCTETS(1), success, None, Some(3)),
        ("payg", true, price, won(500), Outcome::RatingFailed, None, None),
        ("tv", true, price, OCTETS(1), Outcome::RatingFailed, None, None),
    ];
    for (plan, in_service, action, wanted, outcome, covered, cost) in table {
        let mut world = World::on(plan);
        if !in_service {
            world.reach(LineState::Suspended, "10-09T00:00:00");
        }
        let before = world.account.clone();
        let request = world.one_time(action, 1, wanted);
        for _ in 0..2 {
            let applied = world.apply(&request);
            let group = &applied.answer.groups[0];
            let got = (group.outcome, applied.answer.covered, group.cost.map(|c: Money| c.minor));
            assert_eq!(got, (outcome, covered, cost), "{plan}, {action:?} {wanted:?}");
            assert!(!applied.changed && !applied.answer.repeated && applied.records.is_empty());
        }
        assert_eq!(world.account, before, "{plan}, {action:?} {wanted:?}");
    }
}

#[test]
fn a_repeated_event_gets_its_stored_answer_and_a_refused_one_is_judged_anew() {
    let mut world = World::on("capped");
    world.settings.limits.event_answers_max = 1;
    let debit = world.one_time(Action::Debit, 1, OCTETS(9 * MB));
    let first = world.apply(&debit).answer;
    let again = world.apply(&debit);
    assert_eq!((again.answer.groups.clone(), again.answer.repeated, again.changed), (first.groups, true, false));
    assert_eq!(world.once(Action::Debit, 2, OCTETS(2 * MB)).0, Outcome::CreditLimitReached);
    assert_eq!(world.once(Action::Refund, 3, OCTETS(MB)).0, Outcome::Success);
    assert_eq!(world.once(Action::Debit, 2, OCTETS(2 * MB)).0, Outcome::Success, "nothing had moved");
    let old = world.apply(&debit).answer;
    let bare = GroupAnswer { cost: None, ..old.groups[0].clone() };
    assert!(old.repeated && old.groups[0] == bare && bare.grant.is_some(), "what it cost is forgotten");
    assert_eq!(world.total().0, 10 * MB);
    let encoded = world.account.encode(Vec::new());
    assert_eq!(Account::decode(&encoded).unwrap(), world.account);
}

#[test]
fn an_event_is_refused_where_the_line_or_the_account_cannot_take_it() {
    let mut world = World::on("payg");
    let foreign = ChargeRequest { apn: Some(Apn::from("internet")), ..world.one_time(Action::Debit, 1, OCTETS(1)) };
    assert_eq!(world.apply(&foreign).answer.groups[0].outcome, Outcome::ForeignApn);
    world.settings.limits.event_keys_max = 1;
    assert_eq!(world.once(Action::Debit, 2, OCTETS(1)).0, Outcome::Success);
    assert_eq!(world.once(Action::Debit, 3, OCTETS(1)).0, Outcome::NoRoom);
    world.reach(LineState::Suspended, "10-10T00:00:00");
    world.settings.limits.event_keys_max = 10;
    assert_eq!(world.once(Action::Debit, 4, OCTETS(1)).0, Outcome::ServiceDenied);
    assert_eq!(world.once(Action::Refund, 5, OCTETS(1)).0, Outcome::Success, "a credit is welcome all the same");
    let nobody = world.one_time(Action::Debit, 6, OCTETS(1));
    let applied = apply(&mut world.account, None, &nobody, &world.tariff.clone().into(), &world.settings, world.now);
    assert_eq!(applied.answer.outcome, Outcome::UnknownSubscriber);
    assert_eq!(world.total(), (0, 0));
}

#[test]
fn an_event_on_a_line_that_another_source_charges_is_reconciled_and_costs_nothing() {
    let mut world = World::on("by-modem");
    assert_eq!(world.once(Action::Debit, 1, OCTETS(500)), (Outcome::Success, Some(500), None));
    assert_eq!(world.records[0].outcome, UsageOutcome::Reconciled);
    assert_eq!(world.once(Action::Refund, 2, OCTETS(500)).0, Outcome::RefundTooLarge, "nothing was charged");
    assert_eq!(world.total(), (0, 0));
}

#[test]
fn an_open_grant_is_not_there_for_a_debit() {
    let mut world = World::on("capped");
    world.open();
    let debit = world.one_time(Action::Debit, 1, OCTETS(9 * MB + 1));
    assert_eq!(world.apply(&debit).answer.groups[0].outcome, Outcome::CreditLimitReached);
    let debit = world.one_time(Action::Debit, 1, OCTETS(9 * MB));
    assert_eq!(world.apply(&debit).answer.groups[0].outcome, Outcome::Success);
}

#[test]
fn events_go_by_prices_with_conditions_and_allowances() {
    use Action::{CheckBalance, Debit, EnquirePrice, Refund};
    let (done, too_large) = (Outcome::Success, Outcome::RefundTooLarge);
    let mut world = by_rules();
    // action, group, octets, outcome, won, covered, the cycle's total afterwards
    let table = [
        (EnquirePrice, 10, 1000, done, Some(0), None, (0, 0)),
        (EnquirePrice, 10, 1200, done, Some(2), None, (0, 0)),
        (EnquirePrice, 20, 150, done, Some(10), None, (0, 0)),
        (CheckBalance, 10, 5000, done, None, Some(true), (0, 0)),
        (CheckBalance, 10, 5001, done, None, Some(false), (0, 0)),
        (Debit, 10, 1200, done, Some(2), None, (1200, 2)),
        (EnquirePrice, 10, 1, done, Some(1), None, (1200, 2)),
        (EnquirePrice, 10, 100, done, Some(1), None, (1200, 2)),
        (Debit, 20, 150, done, Some(10), None, (1350, 12)),
        (CheckBalance, 20, 3650, done, None, Some(true), (1350, 12)),
        (CheckBalance, 20, 3651, done, None, Some(false), (1350, 12)),
        (Debit, 20, 3651, Outcome::CreditLimitReached, None, None, (1350, 12)),
        // 200 that were priced come back first, then 100 of the allowances
        (Refund, 10, 300, done, Some(2), None, (1050, 10)),
        (EnquirePrice, 10, 101, done, Some(1), None, (1050, 10)),
        (Debit, 10, 100, done, Some(0), None, (1150, 10)),
        (Refund, 20, 151, too_large, None, None, (1150, 10)),
        (Refund, 10, 1001, too_large, None, None, (1150, 10)),
        (Refund, 10, 1000, done, Some(0), None, (150, 10)),
        (Refund, 20, 150, done, Some(10), None, (0, 0)),
        (Refund, 10, 1, too_large, None, None, (0, 0)),
    ];
    for (number, (action, rating_group, octets, outcome, cost, covered, total)) in table.into_iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        let got = world.once_in(rating_group, action, number, octets);
        assert_eq!(got, (outcome, cost, covered), "{number}: {action:?} of {octets} in {rating_group}");
        assert_eq!(world.total(), total, "{number}: {action:?} of {octets} in {rating_group}");
    }
    let back: Vec<_> = world.records.iter().filter(|r| r.octets_counted() < 0).collect();
    let sides =
        |record: &UsageRecord| [LedgerSide::Allowance, LedgerSide::Charged].map(|at| side(record, at, Unit::Octets));
    assert_eq!(back.iter().map(|r| sides(r)).collect::<Vec<_>>(), [[-100, -200], [-1000, 0], [0, -150]]);
}

#[test]
fn a_line_gives_a_pool_back_what_it_has_used_itself() {
    let mut world = by_rules();
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
    world.line = LineId::from("l2");
    assert_eq!(world.once_in(10, Action::Debit, 1, 1000).1, Some(0));
    world.line = LineId::from("l1");
    assert_eq!(world.once_in(10, Action::Debit, 2, 50).1, Some(0));
    assert_eq!(world.once_in(10, Action::Refund, 3, 51).0, Outcome::RefundTooLarge);
    assert_eq!(world.once_in(10, Action::Refund, 4, 50).0, Outcome::Success);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn debits_and_refunds_in_any_order_leave_the_price_of_what_is_left(
        steps in proptest::collection::vec((any::<bool>(), 0u64..3 * MB, 0u32..40), 1..60),
        plan in prop::sample::select(vec!["payg", "10mb", "capped"]),
    ) {
        let mut world = World::on(plan);
        for (debit, octets, number) in steps {
            let action = if debit { Action::Debit } else { Action::Refund };
            world.once(action, number, OCTETS(octets));
            let (octets, amount) = world.total();
            let usage = world.tariff.plan(&PlanId::from(plan)).unwrap().usage.clone().unwrap();
            prop_assert_eq!(amount, usage.rules[0].cost.of_total(octets).unwrap());
            prop_assert!(usage.cap_octets.is_none_or(|cap| octets <= cap));
            let counted: i64 = world.records.iter().map(|r| r.octets_counted()).sum();
            prop_assert_eq!(u64::try_from(counted).unwrap(), octets);
            prop_assert_eq!(world.records.iter().map(|r| r.amount).sum::<i64>(), amount);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn debits_and_refunds_by_rules_keep_allowances_counters_and_money_in_step(
        steps in proptest::collection::vec((any::<bool>(), any::<bool>(), 0u64..900), 1..60),
    ) {
        let mut world = by_rules();
        for (number, (debit, video, octets)) in steps.into_iter().enumerate() {
            let action = if debit { Action::Debit } else { Action::Refund };
            let rating_group = if video { 20 } else { 10 };
            world.once_in(rating_group, action, u32::try_from(number).unwrap(), octets);
            let (total, amount) = world.total();
            let bucket = world.account.buckets.last().unwrap();
            let Some(line) = bucket.total(0) else { continue };
            let key = crate::domain::tariff::counter_key;
            let used = line.pot(key("own")).map_or(0, |pot| pot.used) + bucket.pool(key("pool")).map_or(0, |pool| pool.pot.used);
            prop_assert_eq!((line.covered(), used <= 1000 && total <= 5000), (used, true));
            let won = line.counter(key("video")).div_ceil(100) * 5 + line.counter(key("rest")).div_ceil(100);
            prop_assert_eq!(u64::try_from(amount).unwrap(), won);
            prop_assert_eq!(world.records.iter().map(|r| r.amount).sum::<i64>(), amount);
            let counted: i64 = world.records.iter().map(|r| r.octets_counted()).sum();
            prop_assert_eq!(u64::try_from(counted).unwrap(), total);
        }
    }
}

#[test]
fn nothing_is_given_back_that_another_source_has_charged() {
    let mut world = World::on("by-modem");
    let used = world.event(RecordKey::Modem(DeviceId::from("dev-1"), 1, 1, 1), 700_000);
    world.apply(&used);
    let before = world.total();
    assert!(before.1 > 0, "the modem's usage is charged");
    world.once(Action::Debit, 1, OCTETS(500));
    assert_eq!(world.once(Action::Refund, 2, OCTETS(500)).0, Outcome::RefundTooLarge);
    assert_eq!(world.total(), before);
}
