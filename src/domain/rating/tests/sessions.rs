//! Prices in sessions: the time of day, the serving network, and versions.

use super::*;
use crate::domain::network::{Plmn, ZoneMember};
use crate::domain::rating::request::{Octets, Volume};
use crate::domain::tariff::{Conditions, Price, PriceRule, Window};

fn rule(name: &str, when: Conditions, price: i64) -> PriceRule {
    let cost = Price::PerBlock(crate::domain::tariff::Block { price: Rate::whole(price), octets: 1000 });
    PriceRule { name: name.to_owned(), when, counter: None, cost }
}

/// 1 won a kB from 22:00 to 22:30, 50 won a kB in Japan, else 4 won.
fn world() -> World {
    let mut world = World::on("payg");
    let happy_hour: Window = serde_json::from_str(r#"{ "from": "22:00", "until": "22:30" }"#).unwrap();
    world.tariff.time_zone = jiff::tz::TimeZone::get("Asia/Seoul").unwrap();
    world.tariff.windows.insert("happy".to_owned(), happy_hour);
    world.tariff.zones.insert("japan".to_owned(), vec![ZoneMember::try_from("440".to_owned()).unwrap()]);
    let usage = world.tariff.plans.get_mut(&PlanId::from("payg")).unwrap().usage.as_mut().unwrap();
    let abroad = Conditions { zones: vec!["japan".to_owned()], ..Conditions::default() };
    let happy = Conditions { windows: vec!["happy".to_owned()], ..Conditions::default() };
    usage.rules = vec![rule("abroad", abroad, 50), rule("happy", happy, 1), rule("usual", Conditions::default(), 4)];
    world.tariff.check().unwrap();
    world
}

#[test]
fn a_grant_names_the_change_of_price_within_its_validity_and_reaches_over_one_change_alone() {
    // now, Tariff-Time-Change, Validity-Time
    let table = [
        ("10-10T12:00:00", None, 3600),
        ("10-10T21:00:00", None, 3600),
        ("10-10T21:00:01", Some("10-10T22:00:00"), 3600),
        ("10-10T21:45:00", Some("10-10T22:00:00"), 2700),
        ("10-10T22:00:00", Some("10-10T22:30:00"), 3600),
        ("10-10T22:29:59", Some("10-10T22:30:00"), 3600),
        ("10-10T22:30:00", None, 3600),
    ];
    for (now, change, validity_s) in table {
        let mut world = world();
        world.now = at(now);
        let grant = world.open();
        assert_eq!((grant.tariff_change, grant.validity_s), (change.map(at), validity_s), "{now}");
    }
    let mut plain = World::on("10mb");
    plain.now = at("10-10T21:59:59");
    assert_eq!(plain.open().tariff_change, None);
}

#[test]
fn each_side_of_a_change_has_its_own_price() {
    let mut world = world();
    world.now = at("10-10T21:50:00");
    world.open();
    world.now = at("10-10T22:10:00");
    let side = |either| Volume { either, ..Volume::default() };
    let used = Used::Octets(Octets { before: side(3000), after: side(5000), whole: side(0) });
    let mut request = world.gy(Phase::Update, 1, None, Wanted::AsMuchAsWeGive);
    request.groups[0].used = Some(used);
    assert_eq!(world.apply(&request).records[0].amount, 3 * 4 + 5);
    // 21:50 to 22:10 in one piece: what comes next is priced at its end
    let next = world.ask(Phase::Update, 2, Some(1000), Wanted::AsMuchAsWeGive);
    assert_eq!((next.0, world.total().1), (Outcome::Success, 3 * 4 + 5 + 1));
}

#[test]
fn what_is_reported_with_a_new_network_was_used_in_the_one_before() {
    let mut world = world();
    let docomo = Plmn::parse("44010");
    let ask = |world: &mut World, phase, number, used, network| {
        let request = ChargeRequest { network, ..world.gy(phase, number, used, Wanted::AsMuchAsWeGive) };
        world.apply(&request).records.first().map(|record| record.amount)
    };
    let table = [
        (Phase::Initial, None, Plmn::parse("45008"), None),
        (Phase::Update, Some(1000), docomo, Some(4)),
        (Phase::Update, Some(1000), None, Some(50)),
        (Phase::Update, Some(1000), Plmn::parse("45008"), Some(50)),
        (Phase::Terminate, Some(1000), Plmn::parse("45008"), Some(4)),
    ];
    for (number, (phase, used, network, won)) in table.into_iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        assert_eq!(ask(&mut world, phase, number, used, network), won, "request {number}");
    }
}

#[test]
fn a_session_keeps_its_network_only_where_the_plan_asks_for_it() {
    for (mut world, kept) in [(World::on("10mb"), None), (world(), Plmn::parse("44010"))] {
        let request = world.gy(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive);
        world.apply(&ChargeRequest { network: Plmn::parse("44010"), ..request });
        assert_eq!(world.account.sessions[0].network, kept);
    }
}

#[test]
fn quota_is_refused_where_no_price_fits() {
    let mut world = world();
    let usage = world.tariff.plans.get_mut(&PlanId::from("payg")).unwrap().usage.as_mut().unwrap();
    usage.rules.truncate(1);
    assert_eq!(world.ask(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive), (Outcome::RatingFailed, None));
}

#[test]
fn usage_is_priced_by_the_version_that_holds_at_its_end() {
    let dearer = |version, from: &str| {
        let mut tariff = tariff();
        tariff.plans.insert(PlanId::from("payg"), plan(&[(0, 7, 100_000)], None));
        Tariff { version, effective_from: at(from), ..tariff }
    };
    let book = TariffBook::new(vec![tariff(), dearer(5, "10-10T10:00:00")]).unwrap();
    let mut world = World::on("payg");
    // end, version, won: the second version prices the whole counter, and the difference is charged
    for (n, (ends, version, won)) in
        [("10-10T09:59:59", 4, 3), ("10-10T10:00:00", 5, 7), ("10-10T09:00:00", 4, 3)].into_iter().enumerate()
    {
        let request = world.event(RecordKey::File(n.to_string()), 100_000);
        let request = ChargeRequest { ends: at(ends), ..request };
        let line = world.line.clone();
        let applied = apply(&mut world.account, Some(&line), &request, &book, &world.settings, world.now);
        let record = &applied.records[0];
        assert_eq!((record.tariff_version, record.amount), (version, won), "{ends}");
    }
}

#[test]
fn usage_split_at_the_end_of_a_cycle_counts_in_both() {
    let mut world = World::on("payg");
    world.now = at("10-31T23:50:00");
    let grant = world.open();
    assert_eq!((grant.tariff_change, grant.validity_s), (Some(at("11-01T00:00:00")), 3600));
    let october = world.account.cycle;
    world.now = at("11-01T00:10:00");
    let side = |either| Volume { either, ..Volume::default() };
    let report = |world: &World, number, before, after| {
        let used = Used::Octets(Octets { before: side(before), after: side(after), whole: side(0) });
        let mut request = world.gy(Phase::Update, number, None, Wanted::AsMuchAsWeGive);
        request.groups[0].used = Some(used);
        request
    };
    let request = report(&world, 1, 150_000, 250_000);
    let records = world.apply(&request).records;
    let got: Vec<_> = records.iter().map(|r| (r.cycle, r.octets, r.amount, r.ends, r.late_for)).collect();
    let last_instant = Timestamp(at("11-01T00:00:00").0 - 1);
    let expected =
        [(Some(october), 150_000, 6, last_instant, None), (Some(october.next()), 250_000, 9, world.now, None)];
    assert_eq!(got, expected);
    assert_ne!(records[0].key, records[1].key);
    let again = world.apply(&request);
    assert!(again.answer.repeated && again.records.is_empty());
    // before it alone: one record, of the cycle that is over
    let mut late = World::on("payg");
    late.now = at("10-31T23:50:00");
    late.open();
    late.now = at("11-01T00:10:00");
    let request = report(&late, 1, 150_000, 0);
    let records = late.apply(&request).records;
    assert_eq!((records.len(), records[0].cycle), (1, Some(october)));
}

#[test]
fn usage_split_at_the_start_of_a_version_is_priced_by_both() {
    let change = at("10-10T13:00:00");
    let dearer = {
        let mut tariff = tariff();
        tariff.plans.insert(PlanId::from("payg"), plan(&[(0, 7, 100_000)], None));
        Tariff { version: 5, effective_from: change, ..tariff }
    };
    let book = TariffBook::new(vec![tariff(), dearer]).unwrap();
    let mut world = World::on("payg");
    world.now = at("10-10T12:30:00");
    let line = world.line.clone();
    let opening = world.gy(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive);
    let opened = apply(&mut world.account, Some(&line), &opening, &book, &world.settings, world.now);
    assert_eq!(opened.answer.groups[0].grant.as_ref().unwrap().tariff_change, Some(change));
    world.now = at("10-10T13:30:00");
    let side = |either| Volume { either, ..Volume::default() };
    let mut request = world.gy(Phase::Update, 1, None, Wanted::Nothing);
    request.groups[0].used = Some(Used::Octets(Octets { before: side(100_000), after: side(100_000), whole: side(0) }));
    let applied = apply(&mut world.account, None, &request, &book, &world.settings, world.now);
    let got: Vec<_> = applied.records.iter().map(|r| (r.tariff_version, r.amount)).collect();
    assert_eq!(got, [(4, 3), (5, 7)]);
}
