//! Rating as tables: what a line is charged, granted and refused.

mod events;
mod groups;
mod pools;
mod recycling;
mod rerating;
mod sessions;
mod slices;
mod tables;
mod throttling;
mod top_ups;
mod totals;

use proptest::prelude::*;

use super::request::Grant;
use super::*;
use crate::domain::account::AccountCommand;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, CustomerId, DeviceId, PlanId};
use crate::domain::ledger::{LedgerSide, Unit, balanced};
use crate::domain::line::{Access, Profile};
use crate::domain::money::{Currency, Rate};
use crate::domain::tariff::{ChargingSource, Plan, QuotaPolicy, Tier, UsagePrice};
use crate::domain::usage::{Identifier, SuspenseReason};

const MB: u64 = 1_000_000;

fn plan(tiers: &[(u64, i64, u64)], cap_octets: Option<u64>) -> Plan {
    let tier = |&(from_octets, price, per_octets): &(u64, i64, u64)| Tier {
        from_octets,
        price: Rate::whole(price),
        per_octets,
        exact: false,
    };
    let tiers = tiers.iter().map(tier).collect();
    Plan {
        apns: vec![Apn::from("iot.example")],
        usage: Some(UsagePrice { cap_octets, ..UsagePrice::graduated(tiers) }),
        quota: QuotaPolicy { slice_octets: MB, validity_s: 3600, threshold_percent: 20, ..QuotaPolicy::default() },
        ..Plan::without_usage(Access::Cellular)
    }
}

fn tariff() -> Tariff {
    let tv = Plan { usage: None, ..plan(&[], None) };
    let plans = [
        ("payg", plan(&[(0, 3, 100_000)], None)),
        ("10mb", plan(&[(0, 0, 1), (10 * MB, 11, 100_000)], None)),
        ("capped", plan(&[(0, 0, 1)], Some(10 * MB))),
        ("by-modem", Plan { source: ChargingSource::Modem, ..plan(&[(0, 3, 100_000)], None) }),
        ("tv", tv),
    ];
    Tariff {
        plans: plans.into_iter().map(|(id, plan)| (PlanId::from(id), plan)).collect(),
        ..Tariff::empty(4, Currency::KRW, 10)
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-{text}+09:00")).unwrap()
}

fn profile(plan: &str) -> Profile {
    Profile {
        access: Access::Cellular,
        imsi: Some("450081234567890".to_owned()),
        msisdn: None,
        device: Some(DeviceId::from("dev-1")),
        apns: Vec::new(),
        plan: PlanId::from(plan),
        source: None,
        address: None,
        email: None,
        phone: None,
    }
}

/// One account with one line that has been active since 10-02, and a clock.
struct World {
    account: Account,
    tariff: Tariff,
    settings: RatingSettings,
    now: Timestamp,
    line: LineId,
    records: Vec<UsageRecord>,
}

impl World {
    fn on(plan: &str) -> Self {
        let opened = at("10-02T00:00:00");
        let mut world = World {
            account: Account::new(AccountId::from("a1"), CustomerId::from("c1"), 1, "Asia/Seoul", opened).unwrap(),
            tariff: tariff(),
            settings: RatingSettings::default(),
            now: at("10-10T12:00:00"),
            line: LineId::from("l1"),
            records: Vec::new(),
        };
        world.command(AccountCommand::OpenLine {
            key: "open".to_owned(),
            line: world.line.clone(),
            customer: CustomerId::from("c1"),
            anchor_day: 1,
            zone: "Asia/Seoul".to_owned(),
            profile: Box::new(profile(plan)),
            state: LineState::Active,
            at: opened,
        });
        world
    }

    fn command(&mut self, command: AccountCommand) -> crate::domain::account::Commanded {
        self.account.command(command, &self.settings.limits, self.now)
    }

    fn reach(&mut self, state: LineState, when: &str) {
        let (key, line) = (format!("{state:?}{when}"), self.line.clone());
        self.command(AccountCommand::Reach { key, line, state, at: at(when) });
    }

    fn apply(&mut self, request: &ChargeRequest) -> Applied {
        let line = self.line.clone();
        let applied =
            apply(&mut self.account, Some(&line), request, &self.tariff.clone().into(), &self.settings, self.now);
        for record in &applied.records {
            assert!(balanced(&record.postings), "{record:?}");
        }
        self.records.extend(applied.records.iter().cloned());
        applied
    }

    /// A record from a file with its own id.
    fn file(&mut self, id: &str, octets: u64, ends: &str) -> UsageRecord {
        let request = ChargeRequest { ends: at(ends), ..self.event(RecordKey::File(id.to_owned()), octets) };
        self.apply(&request).records.remove(0)
    }

    fn event(&self, key: RecordKey, octets: u64) -> ChargeRequest {
        ChargeRequest {
            key,
            phase: Phase::Event,
            session: None,
            peer: None,
            subscribers: vec![Identifier::imsi("450081234567890")],
            apn: Some(Apn::from("iot.example")),
            network: None,
            starts: None,
            ends: self.now,
            received: self.now,
            groups: vec![group(Some(octets), Wanted::Nothing)],
        }
    }

    fn gy(&self, phase: Phase, number: u32, used: Option<u64>, wanted: Wanted) -> ChargeRequest {
        let session = SessionId::from("s1");
        let apn = (phase == Phase::Initial).then(|| Apn::from("iot.example"));
        ChargeRequest {
            key: RecordKey::Gy(session.clone(), number),
            phase,
            session: Some(session),
            peer: Some("pgw.example".into()),
            apn,
            groups: vec![group(used, wanted)],
            ..self.event(RecordKey::File(String::new()), 0)
        }
    }

    /// A request of session `s1`; what it was granted.
    fn ask(&mut self, phase: Phase, number: u32, used: Option<u64>, wanted: Wanted) -> (Outcome, Option<Grant>) {
        let request = self.gy(phase, number, used, wanted);
        let applied = self.apply(&request);
        match applied.answer.groups.first() {
            Some(group) if applied.answer.outcome == Outcome::Success => (group.outcome, group.grant.clone()),
            _ => (applied.answer.outcome, None),
        }
    }

    fn open(&mut self) -> Grant {
        self.ask(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive).1.unwrap()
    }

    fn total(&self) -> (u64, i64) {
        let cycle = self.account.cycle;
        self.total_of(cycle)
    }

    fn total_of(&self, cycle: CycleId) -> (u64, i64) {
        let bucket = self.account.buckets.iter().find(|b| b.cycle == cycle).unwrap();
        bucket.total(0).map_or((0, 0), |t| (t.octets, t.amount))
    }
}

fn group(used: Option<u64>, wanted: Wanted) -> GroupRequest {
    GroupRequest { rating_group: 10, services: Vec::new(), used: used.map(Used::octets), wanted, is_final: false }
}

fn side(record: &UsageRecord, side: LedgerSide, unit: Unit) -> i64 {
    record.postings.iter().filter(|p| p.side == side && p.unit == unit).map(|p| p.amount).sum()
}

#[test]
fn records_cost_what_the_table_says() {
    // plan, octets of each record, what each costs, KRW
    let table: &[(&str, &[u64], &[i64])] = &[
        ("payg", &[1], &[3]),
        ("payg", &[100_000, 1], &[3, 3]),
        ("payg", &[50_000, 50_000, 1], &[3, 0, 3]),
        ("payg", &[0, 1_000_000], &[0, 30]),
        ("10mb", &[10 * MB], &[0]),
        ("10mb", &[10 * MB, 1], &[0, 11]),
        ("10mb", &[9 * MB, 2 * MB], &[0, 110]),
        ("10mb", &[10 * MB + 1, 99_999, 1], &[11, 0, 11]),
        ("capped", &[12 * MB], &[0]),
    ];
    for (plan, octets, prices) in table {
        let mut world = World::on(plan);
        for (n, (octets, price)) in octets.iter().zip(*prices).enumerate() {
            let record = world.file(&n.to_string(), *octets, "10-10T12:00:00");
            assert_eq!(record.outcome, UsageOutcome::Rated);
            assert_eq!(record.amount, *price, "{plan}, record {n} of {octets} octets");
        }
        assert_eq!(world.total(), (octets.iter().sum(), prices.iter().sum()), "{plan}");
    }
}

#[test]
fn a_record_across_the_allowance_is_split_at_its_last_octet() {
    let mut world = World::on("10mb");
    world.file("1", 9 * MB, "10-10T12:00:00");
    let record = world.file("2", 3 * MB, "10-10T12:00:00");
    assert_eq!(side(&record, LedgerSide::Network, Unit::Octets), -3_000_000);
    assert_eq!(side(&record, LedgerSide::Allowance, Unit::Octets), 1_000_000);
    assert_eq!(side(&record, LedgerSide::Charged, Unit::Octets), 2_000_000);
    assert_eq!(side(&record, LedgerSide::Unbilled, Unit::Minor), 220);
    assert_eq!(side(&record, LedgerSide::Revenue, Unit::Minor), -220);
}

#[test]
fn usage_is_judged_by_its_own_time() {
    // Active from 10-02, suspended 10-05 to 10-07, terminated 10-09.
    let table = [
        ("10-01T12:00:00", UsageOutcome::Suspense(SuspenseReason::LineNotActive)),
        ("10-01T23:59:57", UsageOutcome::Rated), // an element's clock is 3 s behind
        ("10-04T12:00:00", UsageOutcome::Rated),
        ("10-04T23:59:59", UsageOutcome::Rated),
        ("10-05T00:00:00", UsageOutcome::Suspense(SuspenseReason::LineNotActive)),
        ("10-06T12:00:00", UsageOutcome::Suspense(SuspenseReason::LineNotActive)),
        ("10-07T00:00:00", UsageOutcome::Rated),
        ("10-09T00:00:01", UsageOutcome::Suspense(SuspenseReason::LineNotActive)),
    ];
    for (ends, outcome) in table {
        let mut world = World::on("payg");
        world.reach(LineState::Suspended, "10-05T00:00:00");
        world.reach(LineState::Active, "10-07T00:00:00");
        world.reach(LineState::Terminated, "10-09T00:00:00");
        assert_eq!(world.file("1", 5, ends).outcome, outcome, "usage that ended {ends}");
    }
}

#[test]
fn usage_that_cannot_be_rated_goes_to_suspense_and_moves_nothing() {
    let mut world = World::on("payg");
    let foreign = ChargeRequest { apn: Some(Apn::from("internet")), ..world.event(RecordKey::File("f".into()), 7) };
    let applied = world.apply(&foreign);
    assert_eq!(applied.answer.suspense, Some(SuspenseReason::ForeignApn));
    assert_eq!(applied.answer.groups[0].outcome, Outcome::ForeignApn);
    let huge = world.event(RecordKey::File("h".into()), u64::MAX);
    assert_eq!(world.apply(&huge).answer.suspense, Some(SuspenseReason::BadRecord));
    assert_eq!(world.total(), (0, 0));
    let mut tv = World::on("tv");
    let watched = tv.event(RecordKey::File("t".into()), 7);
    assert_eq!(tv.apply(&watched).answer.suspense, Some(SuspenseReason::NoUsagePrice));
    assert!(world.records.iter().chain(&tv.records).all(|r| r.postings.is_empty() && r.amount == 0));
}

#[test]
fn an_octet_price_that_would_not_fit_is_no_panic() {
    let mut world = World::on("payg");
    let dear = plan(&[(0, i64::MAX / 2, 1)], None);
    world.tariff.plans.insert(PlanId::from("payg"), dear);
    assert_eq!(world.file("1", 3, "10-10T12:00:00").outcome, UsageOutcome::Suspense(SuspenseReason::BadRecord));
}

#[test]
fn one_source_charges_the_line_and_the_others_are_reconciled() {
    let modem = |seq| RecordKey::Modem(DeviceId::from("dev-1"), 1, 1, seq);
    let file = |id: &str| RecordKey::File(id.to_owned());
    // plan, first and second source, who charges
    for (plan, first, second, charged) in [
        ("payg", modem(1), file("1"), UsageSource::Modem),
        ("payg", file("1"), modem(1), UsageSource::File),
        ("by-modem", file("1"), modem(1), UsageSource::Modem),
    ] {
        let mut world = World::on(plan);
        for key in [first, second] {
            let request = world.event(key, 500);
            world.apply(&request);
        }
        for record in &world.records {
            let charges = record.key.source() == charged;
            let expected = if charges { UsageOutcome::Rated } else { UsageOutcome::Reconciled };
            assert_eq!(record.outcome, expected, "{plan}: {}", record.key);
            assert_eq!(record.amount, if charges { 3 } else { 0 });
        }
        let total = &world.account.buckets[0].totals[0];
        assert_eq!((total.octets, total.reconciled.len(), total.reconciled[0].1), (500, 1, 500));
    }
}

#[test]
fn late_usage_goes_to_the_next_bill_and_is_priced_where_it_belongs() {
    let mut world = World::on("10mb");
    world.file("1", 10 * MB, "10-10T12:00:00");
    world.now = at("11-03T09:00:00");
    let october: CycleId = "2026-10".parse().unwrap();
    // Before the close, the month that has ended still takes its usage.
    let before = world.file("2", 1, "10-31T23:59:59");
    assert_eq!((before.cycle, before.late_for, before.amount), (Some(october), None, 11));
    assert_eq!(world.file("3", 1, "11-01T00:00:00").cycle, Some(october.next()));
    assert!(world.command(AccountCommand::CloseCycle { cycle: october }).changed);
    assert!(!world.command(AccountCommand::CloseCycle { cycle: october }).changed, "a second close changes nothing");
    // After it, the next bill; the price is October's, whose allowance is used up.
    let late = world.file("4", 100_000, "10-31T23:59:59");
    assert_eq!((late.cycle, late.late_for, late.amount), (Some(october.next()), Some(october), 11));
    assert_eq!(world.total_of(october.next()), (1, 0));
}

#[test]
fn a_session_across_the_boundary_counts_where_each_report_ended() {
    let mut world = World::on("payg");
    world.now = at("10-31T23:00:00");
    world.open();
    world.now = at("10-31T23:59:59");
    world.ask(Phase::Update, 1, Some(10), Wanted::AsMuchAsWeGive);
    world.now = at("11-01T00:00:00");
    world.ask(Phase::Update, 2, Some(20), Wanted::AsMuchAsWeGive);
    let cycles: Vec<String> = world.records.iter().map(|r| r.cycle.unwrap().to_string()).collect();
    assert_eq!(cycles, ["2026-10", "2026-11"]);
    assert_eq!(world.records[1].starts, at("10-31T23:59:59"), "a report goes on where the one before it ended");
}

#[test]
fn quota_is_granted_in_slices_until_nothing_is_left() {
    // used so far, wanted, outcome, granted, whether final; cap 10 MB, slice 1 MB
    let (any, success) = (Wanted::AsMuchAsWeGive, Outcome::Success);
    let table = [
        (0, any, success, Some((MB, false))),
        (0, Wanted::Octets(5), success, Some((5, false))),
        (0, Wanted::Octets(50 * MB), success, Some((MB, false))),
        (9 * MB, any, success, Some((MB, true))),
        (9 * MB + 1, any, success, Some((MB - 1, true))),
        (10 * MB - 1, any, success, Some((1, true))),
        (10 * MB, any, Outcome::CreditLimitReached, None),
        (11 * MB, any, Outcome::CreditLimitReached, None),
        (0, Wanted::Nothing, success, None),
    ];
    for (used, wanted, outcome, granted) in table {
        let mut world = World::on("capped");
        world.file("before", used, "10-10T11:00:00");
        let (got, grant) = world.ask(Phase::Initial, 0, None, wanted);
        assert_eq!(got, outcome, "{used} used, {wanted:?}");
        assert_eq!(grant.as_ref().map(|g| (g.octets, g.final_unit.is_some())), granted, "{used} used, {wanted:?}");
        if let Some(grant) = grant {
            assert_eq!((grant.validity_s, grant.threshold_octets), (3600, grant.octets / 5));
        }
    }
}

#[test]
fn what_is_set_aside_for_one_session_is_not_granted_to_another() {
    let mut world = World::on("capped");
    world.file("before", 9 * MB - 500_000, "10-10T11:00:00");
    assert_eq!(world.open().octets, MB);
    let other = |world: &World, number, phase| {
        let (session, request) = (SessionId::from("s2"), world.gy(phase, number, None, Wanted::AsMuchAsWeGive));
        ChargeRequest { key: RecordKey::Gy(session.clone(), number), session: Some(session), ..request }
    };
    let second = other(&world, 0, Phase::Initial);
    let grant = world.apply(&second).answer.groups[0].grant.clone().unwrap();
    assert_eq!((grant.octets, grant.final_unit.is_some()), (500_000, true));
    let third = other(&world, 1, Phase::Update);
    world.ask(Phase::Terminate, 1, Some(100_000), Wanted::Nothing);
    let grant = world.apply(&third).answer.groups[0].grant.clone().unwrap();
    assert_eq!((grant.octets, grant.final_unit.is_some()), (MB, false), "what the first gave back and its own");
}

#[test]
fn a_reservation_ends_with_tcc_and_our_own_downtime_lengthens_it() {
    let mut world = World::on("capped");
    world.open();
    let (granted, tcc) = (world.now, std::time::Duration::from_secs(7200));
    assert_eq!(world.account.reserved(0, granted.plus(tcc - std::time::Duration::from_millis(1))), MB);
    assert_eq!(world.account.reserved(0, granted.plus(tcc)), 0);
    let hour = std::time::Duration::from_secs(3600);
    assert!(world.account.lengthen_reservations(granted, hour));
    assert_eq!(world.account.reserved(0, granted.plus(tcc)), MB);
    assert_eq!(world.account.next_tick(&world.settings.limits), Some(granted.plus(tcc + hour)));
    assert!(world.account.tick(granted.plus(tcc + hour), &world.settings.limits).is_empty());
    assert!(world.account.sessions[0].reservations.is_empty());
    let idle = std::time::Duration::from_secs(world.settings.limits.session_idle_s);
    assert_eq!(
        world.account.tick(granted.plus(idle), &world.settings.limits).len(),
        1,
        "a silent session is forgotten"
    );
}

#[test]
fn a_repeat_gets_its_stored_answer_and_moves_nothing() {
    let mut world = World::on("10mb");
    let requests = [
        world.gy(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive),
        world.gy(Phase::Update, 1, Some(700), Wanted::Octets(33)),
        world.gy(Phase::Terminate, 2, Some(5), Wanted::Nothing),
        world.event(RecordKey::Modem(DeviceId::from("dev-1"), 1, 1, 1), 10),
        world.event(RecordKey::File("row".to_owned()), 10),
    ];
    let first: Vec<Applied> = requests.iter().map(|r| world.apply(r)).collect();
    let before = world.account.clone();
    for (request, first) in requests.iter().zip(first) {
        let again = world.apply(request);
        assert!(again.answer.repeated && !again.changed && again.records.is_empty(), "{}", request.key);
        if request.session.is_some() {
            assert_eq!(again.answer.groups, first.answer.groups, "{}", request.key);
        }
    }
    assert_eq!(world.account, before);
}

#[test]
fn a_record_whose_key_has_no_room_is_suspended_and_no_living_key_is_forgotten() {
    let mut world = World::on("payg");
    world.settings.limits.event_keys_max = 2;
    world.file("1", 10, "10-10T12:00:00");
    world.file("2", 10, "10-10T12:00:00");
    let before = world.account.clone();
    let third = world.event(RecordKey::File("3".to_owned()), 10);
    let applied = world.apply(&third);
    assert_eq!((applied.suspend, applied.changed), (Some(SuspenseReason::TooManyKeys), false));
    assert_eq!((applied.answer.outcome, applied.answer.repeated), (Outcome::Success, false));
    let first = world.event(RecordKey::File("1".to_owned()), 10);
    assert!(world.apply(&first).answer.repeated);
    assert_eq!(world.account, before);
    world.now = at("11-25T12:00:00");
    assert_eq!(world.apply(&third).suspend, None, "the keys before have outlived their limit");
}

#[test]
fn a_full_account_forgets_what_can_be_missed_and_never_loses_offline_usage() {
    let named = |world: &World, source: UsageSource, name: &str, phase, number| {
        let id = SessionId::from(name);
        let key = match source {
            UsageSource::Rf => RecordKey::Rf(id.clone(), number),
            _ => RecordKey::Gy(id.clone(), number),
        };
        let used = (number > 0).then_some(10);
        let apn = Some(Apn::from("iot.example"));
        ChargeRequest { key, session: Some(id), apn, ..world.gy(phase, number, used, Wanted::AsMuchAsWeGive) }
    };
    let (gy, rf) = (UsageSource::Gy, UsageSource::Rf);
    // sessions with whether they have ended, minutes since, and who gives way
    type Case<'a> = (&'a [(UsageSource, &'a str, bool)], u64, Option<&'a str>);
    let table: [Case<'_>; 5] = [
        (&[(rf, "a", true), (gy, "b", true), (rf, "c", false)], 5, Some("b")),
        (&[(rf, "a", true), (rf, "b", false)], 5, Some("a")),
        (&[(rf, "a", true), (rf, "b", false)], 90, Some("b")),
        (&[(rf, "a", false), (rf, "b", false)], 5, Some("a")),
        (&[(gy, "a", false), (gy, "b", false)], 5, None),
    ];
    for (sessions, minutes, gone) in table {
        let mut world = World::on("payg");
        world.settings.limits.sessions_max = sessions.len();
        for (source, name, ended) in sessions {
            world.now = world.now.plus(std::time::Duration::from_secs(1));
            let request = named(&world, *source, name, Phase::Initial, 0);
            world.apply(&request);
            if *ended {
                let request = named(&world, *source, name, Phase::Terminate, 1);
                world.apply(&request);
            }
        }
        world.now = world.now.plus(std::time::Duration::from_secs(minutes * 60));
        let online = named(&world, gy, "new", Phase::Initial, 0);
        let offline = named(&world, rf, "new", Phase::Update, 1);
        match gone {
            Some(gone) => {
                let forgotten = world.apply(&offline).forgotten.map(|s| s.id);
                assert_eq!(forgotten, Some(SessionId::from(gone)), "{sessions:?}");
            }
            None => {
                assert_eq!(world.apply(&online).answer.outcome, Outcome::ServiceDenied);
                assert_eq!(world.apply(&online).suspend, None, "online, the client hears of it");
                assert_eq!(world.apply(&offline).suspend, Some(SuspenseReason::TooManySessions));
            }
        }
        assert_eq!(world.account.sessions.len(), sessions.len());
    }
}

#[test]
fn gaps_are_accepted_and_a_lower_number_is_counted_without_a_grant() {
    let mut world = World::on("capped");
    world.open();
    let (outcome, grant) = world.ask(Phase::Update, 5, Some(100), Wanted::AsMuchAsWeGive);
    assert_eq!((outcome, grant.unwrap().octets), (Outcome::Success, MB));
    let (outcome, grant) = world.ask(Phase::Update, 3, Some(30), Wanted::AsMuchAsWeGive);
    assert_eq!((outcome, grant), (Outcome::Success, None));
    assert_eq!(world.account.reserved(0, world.now), MB, "late usage leaves the reservation alone");
    assert_eq!(world.total().0, 130);
    world.ask(Phase::Terminate, 6, Some(1), Wanted::Nothing);
    assert_eq!(world.ask(Phase::Update, 4, Some(4), Wanted::AsMuchAsWeGive), (Outcome::Success, None));
    assert_eq!(world.total().0, 135, "late usage after the end is counted too");
}

#[test]
fn a_session_that_we_do_not_know_is_refused_or_adopted_by_setting() {
    let mut world = World::on("payg");
    assert_eq!(world.ask(Phase::Update, 3, Some(10), Wanted::AsMuchAsWeGive).0, Outcome::UnknownSession);
    assert_eq!(world.total(), (0, 0));
    world.settings.adopt_unknown_sessions = true;
    assert_eq!(world.ask(Phase::Update, 3, Some(10), Wanted::Nothing).0, Outcome::Success);
    assert_eq!(world.total(), (10, 3));
}

#[test]
fn a_suspension_stops_grants_first_and_rates_the_last_usage() {
    let mut world = World::on("payg");
    world.open();
    let line = world.line.clone();
    let stop = || AccountCommand::StopGrants { key: "order-1/stop".to_owned(), line: line.clone() };
    let sessions =
        vec![crate::domain::account::OpenSession { session: SessionId::from("s1"), peer: Some("pgw.example".into()) }];
    for _ in 0..2 {
        let answer = world.command(stop()).answer;
        assert_eq!(answer, crate::domain::account::CommandAnswer::Sessions(sessions.clone()));
    }
    assert_eq!(world.ask(Phase::Update, 1, Some(10), Wanted::AsMuchAsWeGive), (Outcome::ServiceDenied, None));
    world.reach(LineState::Suspended, "10-10T12:00:00");
    world.now = at("10-10T12:30:00");
    assert_eq!(world.ask(Phase::Terminate, 2, Some(20), Wanted::Nothing).0, Outcome::Success);
    assert!(world.records.iter().all(|r| r.outcome == UsageOutcome::Rated), "{:?}", world.records);
    let again = ChargeRequest {
        key: RecordKey::Gy(SessionId::from("s9"), 0),
        session: Some(SessionId::from("s9")),
        ..world.gy(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive)
    };
    assert_eq!(world.apply(&again).answer.outcome, Outcome::ServiceDenied);
    world.reach(LineState::Active, "10-10T13:00:00");
    world.now = at("10-10T13:00:01");
    assert!(world.apply(&again).answer.groups[0].grant.is_some(), "grants go on after the resumption");
}

#[test]
fn a_foreign_apn_gets_no_quota_and_its_units_go_to_suspense() {
    let mut world = World::on("payg");
    let mut initial = world.gy(Phase::Initial, 0, None, Wanted::AsMuchAsWeGive);
    initial.apn = Some(Apn::from("internet"));
    let answer = world.apply(&initial).answer;
    assert_eq!((answer.outcome, answer.groups[0].outcome), (Outcome::Success, Outcome::ForeignApn));
    assert_eq!(world.ask(Phase::Update, 1, Some(10), Wanted::AsMuchAsWeGive).0, Outcome::ForeignApn);
    assert_eq!(world.records[0].outcome, UsageOutcome::Suspense(SuspenseReason::ForeignApn));
    assert_eq!(world.total(), (0, 0));
}

#[test]
fn an_encoded_account_reads_back_and_another_format_is_refused_by_name() {
    let mut world = World::on("capped");
    world.open();
    world.file("1", 5, "10-10T12:00:00");
    let bytes = world.account.encode(Vec::new());
    assert_eq!(Account::decode(&bytes).unwrap(), world.account);
    let newer = [&[9], &bytes[1..]].concat();
    assert!(Account::decode(&newer).unwrap_err().to_string().contains("format 9"));
    assert!(Account::decode(&bytes[..bytes.len() / 2]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn splitting_a_record_anywhere_changes_no_total(
        octets in 0..40 * MB,
        cuts in proptest::collection::vec(0u64..1000, 0..6),
        plan in prop::sample::select(vec!["payg", "10mb", "capped"]),
    ) {
        let mut whole = World::on(plan);
        whole.file("whole", octets, "10-10T12:00:00");
        let mut marks: Vec<u64> = cuts.iter().map(|c| octets * c / 1000).chain([0, octets]).collect();
        marks.sort_unstable();
        let mut parts = World::on(plan);
        for (n, pair) in marks.windows(2).enumerate() {
            parts.file(&n.to_string(), pair[1] - pair[0], "10-10T12:00:00");
        }
        prop_assert_eq!(parts.total(), whole.total());
        let charged = |world: &World| -> i64 {
            world.records.iter().map(|r| side(r, LedgerSide::Charged, Unit::Octets)).sum()
        };
        prop_assert_eq!(charged(&parts), charged(&whole));
    }

    #[test]
    fn repeats_in_any_order_never_debit_twice(
        order in proptest::collection::vec(0u32..12, 1..80),
        used in proptest::collection::vec(1u64..200_000, 12),
    ) {
        let mut world = World::on("payg");
        world.open();
        let mut expected = std::collections::BTreeMap::new();
        for number in order {
            let octets = used[number as usize];
            // Number 0 is the initial request, which is repeated too.
            let phase = if number == 0 { Phase::Initial } else { Phase::Update };
            let request = world.gy(phase, number, (number > 0).then_some(octets), Wanted::AsMuchAsWeGive);
            world.apply(&request);
            if number > 0 {
                expected.insert(number, octets);
            }
        }
        prop_assert_eq!(world.total().0, expected.values().sum::<u64>());
    }

    #[test]
    fn what_is_granted_never_exceeds_what_is_left(
        steps in proptest::collection::vec((0u32..4, 0u64..3 * MB, 0u8..4, 0u64..3 * MB, 0u64..4000), 1..60),
    ) {
        let mut world = World::on("capped");
        let mut numbers = [0u32; 4];
        for (session, used, kind, wish, seconds) in steps {
            world.now = world.now.plus(std::time::Duration::from_secs(seconds));
            let id = SessionId::from(format!("s{session}"));
            let number = numbers[session as usize];
            numbers[session as usize] += 1;
            let phase = match (number, kind) {
                (0, _) => Phase::Initial,
                (_, 3) => Phase::Terminate,
                _ => Phase::Update,
            };
            let wanted = match kind {
                0 => Wanted::Nothing,
                1 => Wanted::Octets(wish),
                _ => Wanted::AsMuchAsWeGive,
            };
            let used = (number > 0).then_some(used);
            let mut request = world.gy(phase, number, used, wanted);
            (request.key, request.session) = (RecordKey::Gy(id.clone(), number), Some(id));
            let before = world.account.reserved(0, world.now);
            let granted = world.apply(&request).answer.groups.first().and_then(|g| g.grant.clone());
            let left = (10 * MB).saturating_sub(world.total().0);
            if let Some(grant) = granted {
                // Sessions may use more than they were granted; nothing is granted on top of that.
                prop_assert!(grant.octets <= left && grant.octets <= MB);
                prop_assert!(world.account.reserved(0, world.now) <= left.max(before));
            }
        }
    }
}
