//! One-time events: what each of the four actions moves and answers.

use super::*;
use crate::domain::money::Money;
use crate::domain::rating::request::{Action, MoneyAsked};

const OCTETS: fn(u64) -> Wanted = Wanted::Octets;

fn won(digits: i64) -> Wanted {
    Wanted::Money(MoneyAsked { digits, exponent: 0, currency: None })
}

impl World {
    fn one_time(&self, action: Action, number: u32, wanted: Wanted) -> ChargeRequest {
        let key = RecordKey::Gy(SessionId::from("event"), number);
        let groups = vec![group(None, wanted)];
        ChargeRequest { key, phase: Phase::OneTime(action), groups, ..self.event(RecordKey::File("e".into()), 0) }
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
