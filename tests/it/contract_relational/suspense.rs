//! Suspense: what turns its records, and what is kept of that.

use linegate::domain::network::Plmn;
use linegate::domain::rating::request::Used;
use linegate::domain::usage::{Identifier, RecordKey, SuspenseReason, Told, UsageOutcome, UsageRecord};
use linegate::ports::relational::{SuspenseAge, SuspenseNote, SuspenseVerb, UsageFilter, Write};

use super::sample::{at, october, usage};
use super::{ALL, Store, check_conflict};

const IMSI: &str = "450080000000001";

fn waits(key: &RecordKey, reason: SuspenseReason) -> UsageRecord {
    UsageRecord {
        key: key.clone(),
        outcome: UsageOutcome::Suspense(reason),
        line: None,
        account: None,
        cycle: None,
        plan: None,
        subscriber: Some(Identifier::imsi(IMSI)),
        amount: 0,
        postings: Vec::new(),
        told: Told::new(Plmn::parse("44010"), Used::both_ways(2, 3).volumes()),
        ..usage("", "a", 5, 0)
    }
}

fn modem(sequence: u64) -> RecordKey {
    RecordKey::Modem("m".into(), 1, 1, sequence)
}

fn counted(key: &RecordKey) -> UsageRecord {
    UsageRecord { key: key.clone(), ..usage("", "a", 5, 3) }
}

async fn drain(store: &Store, position: u64, records: &[UsageRecord]) {
    let after = store.drain_cursor().await.unwrap();
    store.save(vec![Write::Drain { log: 0, after, position, records: records.to_vec().into() }]).await.unwrap();
}

/// What was recycled under the keys of what is counted.
async fn recycled(store: &Store) -> Vec<RecordKey> {
    let mut counted = store.usage_after(&UsageFilter::default(), 0, 100).await.unwrap();
    counted.retain(|stored| matches!(stored.outcome, UsageOutcome::Rated | UsageOutcome::Reconciled));
    store.recycled(&counted).await.unwrap().into_iter().map(|stored| stored.record.key).collect()
}

async fn outcome(store: &Store, key: &RecordKey) -> UsageOutcome {
    store.suspense_case(&key.to_string(), 0).await.unwrap().unwrap().record.outcome
}

async fn listed(store: &Store, outcome: &str) -> u64 {
    let filter = UsageFilter { outcome: Some(outcome.to_owned()), ..UsageFilter::default() };
    let found = store.usage(&filter, ALL).await.unwrap();
    assert_eq!(found.items.len() as u64, found.total, "{outcome}");
    found.total
}

fn note(key: &RecordKey, verb: SuspenseVerb, text: &str) -> Vec<Write> {
    vec![Write::Suspense(SuspenseNote {
        key: key.clone(),
        rating_group: 0,
        at: at(50),
        by: "kim".to_owned(),
        verb,
        note: text.to_owned(),
    })]
}

pub(crate) async fn a_counted_record_turns_what_is_open_to_recycled(store: &Store) {
    let reason = SuspenseReason::UnknownLine;
    let other_group = UsageRecord { rating_group: 7, ..waits(&modem(1), reason) };
    drain(store, 1, &[waits(&modem(1), reason), other_group, waits(&modem(2), reason)]).await;
    drain(store, 2, &[counted(&modem(1))]).await;
    assert_eq!(outcome(store, &modem(1)).await, UsageOutcome::Recycled(reason));
    assert_eq!(outcome(store, &modem(2)).await, UsageOutcome::Suspense(reason));
    let counts = [("suspense", 2), ("rejected", 2), ("recycled", 1), ("rated", 1), ("unknown-line", 2), ("dropped", 0)];
    for (wanted, count) in counts {
        assert_eq!(listed(store, wanted).await, count, "{wanted}");
    }
    // in one drain with its suspense, and reconciled
    let reconciled = UsageRecord { outcome: UsageOutcome::Reconciled, ..counted(&modem(3)) };
    drain(store, 3, &[waits(&modem(3), reason), reconciled]).await;
    assert_eq!(outcome(store, &modem(3)).await, UsageOutcome::Recycled(reason));
    // it is counted: a late repeat opens nothing again
    drain(store, 4, &[UsageRecord { account: Some("a".into()), ..waits(&modem(3), SuspenseReason::ForeignApn) }]).await;
    assert_eq!(outcome(store, &modem(3)).await, UsageOutcome::Recycled(reason));
    assert_eq!(store.suspense_case("modem/m/1/1/9", 0).await.unwrap(), None);
    assert_eq!(recycled(store).await, [modem(1), modem(3)]);
}

pub(crate) async fn an_accounts_judgement_replaces_the_reason_while_it_is_open(store: &Store) {
    let judged = |reason| UsageRecord {
        line: Some("l-a".into()),
        account: Some("a".into()),
        detail: Some("seen".to_owned()),
        ..waits(&modem(1), reason)
    };
    drain(store, 1, &[waits(&modem(1), SuspenseReason::UnknownLine)]).await;
    drain(store, 2, &[judged(SuspenseReason::ForeignApn)]).await;
    let case = store.suspense_case(&modem(1).to_string(), 0).await.unwrap().unwrap();
    assert_eq!(case.record, judged(SuspenseReason::ForeignApn));
    drain(store, 3, &[waits(&modem(1), SuspenseReason::UnknownLine)]).await;
    assert_eq!(outcome(store, &modem(1)).await, UsageOutcome::Suspense(SuspenseReason::ForeignApn));
    assert_eq!((listed(store, "unknown-line").await, listed(store, "foreign-apn").await), (0, 1));
    store.save(note(&modem(1), SuspenseVerb::Dropped(SuspenseReason::ForeignApn), "test card")).await.unwrap();
    drain(store, 4, &[judged(SuspenseReason::LineNotActive)]).await;
    assert_eq!(outcome(store, &modem(1)).await, UsageOutcome::Dropped(SuspenseReason::ForeignApn));
}

pub(crate) async fn what_is_done_about_a_record_is_kept_and_moves_it_once(store: &Store) {
    let reason = SuspenseReason::UnknownLine;
    drain(store, 1, &[waits(&modem(1), reason), waits(&modem(2), reason)]).await;
    store.save(note(&modem(1), SuspenseVerb::Recycled, "stays unknown-line")).await.unwrap();
    assert_eq!(outcome(store, &modem(1)).await, UsageOutcome::Suspense(reason));
    let wrong = note(&modem(1), SuspenseVerb::Dropped(SuspenseReason::ForeignApn), "no");
    check_conflict(store.save(wrong).await, "modem/m/1/1/1/0");
    store.save(note(&modem(1), SuspenseVerb::Dropped(reason), "test card")).await.unwrap();
    for again in [SuspenseVerb::Dropped(reason), SuspenseVerb::CountedBefore(reason)] {
        check_conflict(store.save(note(&modem(1), again, "again")).await, "modem/m/1/1/1/0");
    }
    store.save(note(&modem(2), SuspenseVerb::CountedBefore(reason), "")).await.unwrap();
    assert_eq!(outcome(store, &modem(2)).await, UsageOutcome::Recycled(reason));
    let case = store.suspense_case(&modem(1).to_string(), 0).await.unwrap().unwrap();
    assert_eq!(case.record.outcome, UsageOutcome::Dropped(reason));
    let told: Vec<_> = case.history.iter().map(|(at, by, verb, why)| (at.0, &**by, &**verb, &**why)).collect();
    let when = at(50).0;
    assert_eq!(told, [(when, "kim", "recycled", "stays unknown-line"), (when, "kim", "dropped", "test card")]);
    assert_eq!(
        (listed(store, "dropped").await, listed(store, "rejected").await, listed(store, "suspense").await),
        (1, 1, 0)
    );
}

pub(crate) async fn usage_is_read_on_from_a_place(store: &Store) {
    let reason = SuspenseReason::UnknownLine;
    let other = UsageRecord { subscriber: Some(Identifier::Device("m".into())), ..waits(&modem(9), reason) };
    drain(store, 1, &[waits(&modem(1), reason), counted(&modem(5)), other]).await;
    drain(store, 2, &[waits(&modem(2), reason), counted(&modem(6))]).await;
    let subscriber = Some(Identifier::imsi(IMSI));
    let mine = UsageFilter { outcome: Some("suspense".to_owned()), subscriber, ..UsageFilter::default() };
    let first = store.usage_after(&mine, 0, 1).await.unwrap();
    assert_eq!(first[0].key, modem(1));
    let rest = store.usage_after(&mine, first[0].sequence, 10).await.unwrap();
    assert_eq!(rest.iter().map(|r| r.key.clone()).collect::<Vec<_>>(), [modem(2)]);
    assert_eq!(store.usage_after(&mine, rest[0].sequence, 10).await.unwrap(), []);
    assert_eq!(store.usage(&mine, ALL).await.unwrap().total, 2);
    let of_line = UsageFilter { line: Some("l-a".into()), cycle: Some(october()), ..UsageFilter::default() };
    let of_line = store.usage_after(&of_line, 0, 10).await.unwrap();
    assert_eq!(of_line.iter().map(|r| r.key.clone()).collect::<Vec<_>>(), [modem(5), modem(6)]);
}

pub(crate) async fn ages_are_those_of_what_is_open(store: &Store) {
    assert_eq!(store.suspense_ages().await.unwrap(), []);
    let (unknown, foreign) = (SuspenseReason::UnknownLine, SuspenseReason::ForeignApn);
    let taken = |sequence, reason, when| UsageRecord { received: at(when), ..waits(&modem(sequence), reason) };
    drain(store, 1, &[taken(1, unknown, 10), taken(2, unknown, 20), taken(3, foreign, 30)]).await;
    drain(store, 2, &[counted(&modem(1)), counted(&modem(3))]).await;
    let want = SuspenseAge { reason: unknown, records: 1, oldest: at(20) };
    assert_eq!(store.suspense_ages().await.unwrap(), [want]);
}
