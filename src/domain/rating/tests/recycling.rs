//! Records that come back from suspense, against repeats of every kind.

use super::*;
use crate::domain::rating::request::Octets;
use crate::domain::usage::Told;

impl World {
    fn recycle(&mut self, record: &UsageRecord) -> Applied {
        let again = ChargeRequest::again(record).unwrap();
        self.apply(&again)
    }

    fn modem(&self, sequence: u64, apn: &str) -> ChargeRequest {
        let key = RecordKey::Modem(DeviceId::from("dev-1"), 1, 1, sequence);
        ChargeRequest { apn: Some(Apn::from(apn)), ..self.event(key, 1_000_000) }
    }

    fn allow_internet(&mut self) {
        let profile = Profile { apns: vec!["iot.example".into(), "internet".into()], ..profile("payg") };
        let (line, at) = (self.line.clone(), self.now);
        self.command(AccountCommand::ChangeLine { key: "apns".into(), line, profile: Box::new(profile), at });
    }
}

fn loose(request: &ChargeRequest) -> UsageRecord {
    UsageRecord {
        key: request.part_key(0),
        rating_group: request.groups[0].rating_group,
        outcome: UsageOutcome::Suspense(SuspenseReason::UnknownLine),
        line: None,
        account: None,
        cycle: None,
        late_for: None,
        plan: None,
        tariff_version: 4,
        apn: request.apn.clone(),
        subscriber: request.subscribers.first().cloned(),
        starts: request.ends,
        ends: request.ends,
        received: request.received,
        octets: request.groups[0].used.map_or(0, Used::octets_total),
        amount: 0,
        postings: Vec::new(),
        crossed: Vec::new(),
        told: Told::new(request.network, request.groups[0].used.map_or(Octets::default(), Used::volumes)),
        detail: None,
    }
}

#[test]
fn a_record_that_its_account_judged_is_counted_once_after_the_correction() {
    let mut world = World::on("payg");
    let request = world.modem(1, "internet");
    let suspended = world.apply(&request).records.remove(0);
    assert!(suspended.is_judged());
    let too_early = world.recycle(&suspended);
    assert_eq!(too_early.answer.suspense, Some(SuspenseReason::ForeignApn));
    assert_eq!(world.total(), (0, 0));
    world.allow_internet();
    let counted = world.recycle(&suspended);
    assert_eq!((counted.records[0].outcome, counted.records[0].amount), (UsageOutcome::Rated, 30));
    assert_eq!(counted.records[0].key, suspended.key, "the record keeps its key");
    for again in [world.recycle(&suspended), world.apply(&request)] {
        assert!(again.answer.repeated && again.records.is_empty());
    }
    assert_eq!(world.total(), (1_000_000, 30));
}

#[test]
fn a_record_that_no_account_knew_is_counted_once_whoever_is_first() {
    for recycled_first in [true, false] {
        let mut world = World::on("payg");
        let request = world.modem(1, "iot.example");
        let record = loose(&request);
        let (first, second) = if recycled_first {
            (world.recycle(&record), world.apply(&request))
        } else {
            (world.apply(&request), world.recycle(&record))
        };
        assert_eq!(first.records.len(), 1, "recycled first: {recycled_first}");
        assert!(second.answer.repeated && second.records.is_empty(), "recycled first: {recycled_first}");
        assert!(world.recycle(&record).answer.repeated);
        assert_eq!(world.total(), (1_000_000, 30));
    }
}

#[test]
fn a_session_report_is_recycled_beside_its_session() {
    let rf = |world: &World, phase, number| {
        let key = RecordKey::Rf(SessionId::from("s2"), number);
        ChargeRequest {
            key,
            session: Some(SessionId::from("s2")),
            ..world.gy(phase, number, Some(500_000), Wanted::Nothing)
        }
    };
    let mut world = World::on("payg");
    // the first report came before the line was known here, the second after
    let first = rf(&world, Phase::Initial, 0);
    let second = rf(&world, Phase::Update, 1);
    world.apply(&second);
    let record = loose(&first);
    assert_eq!(world.recycle(&record).records.len(), 1);
    let late = world.apply(&first);
    assert!(late.answer.repeated && late.records.is_empty(), "the client repeats what was recycled");
    assert!(world.recycle(&loose(&second)).answer.repeated, "what the session has counted");
    assert_eq!(world.total().0, 1_000_000);
}

#[test]
fn a_corrected_file_brings_a_suspended_record_again() {
    let mut world = World::on("payg");
    let key = || RecordKey::File("id/7".into());
    let wrong = ChargeRequest { apn: Some(Apn::from("internet")), ..world.event(key(), 1_000_000) };
    let suspended = world.apply(&wrong).records.remove(0);
    assert_eq!(suspended.outcome, UsageOutcome::Suspense(SuspenseReason::ForeignApn));
    let corrected = world.event(key(), 2_000_000);
    assert_eq!(world.apply(&corrected).records[0].amount, 60);
    for again in [world.apply(&corrected), world.apply(&wrong), world.recycle(&suspended)] {
        assert!(again.answer.repeated && again.records.is_empty());
    }
    assert_eq!(world.total(), (2_000_000, 60));
}

#[test]
fn a_record_of_a_closed_month_is_recycled_onto_the_next_bill() {
    let mut world = World::on("payg");
    let request = world.modem(1, "internet");
    let suspended = world.apply(&request).records.remove(0);
    let october = world.account.cycle;
    world.allow_internet();
    world.command(AccountCommand::CloseCycle { cycle: october });
    world.now = at("11-03T00:00:00");
    let counted = world.recycle(&suspended).records.remove(0);
    assert_eq!((counted.cycle, counted.late_for), (Some(october.next()), Some(october)));
}
