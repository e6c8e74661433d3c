use proptest::prelude::*;
use proptest::{collection, option};

use super::*;
use crate::domain::ids::{AccountId, Apn, DeviceId, LineId, PlanId, SessionId};
use crate::domain::ledger::balanced;
use crate::domain::usage::Identifier;

/// Text as it comes: digits, words, nothing, other scripts.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[0-9]{1,20}", "[a-z0-9.;-]{1,60}", "[가-힣]{1,8}", Just("0".repeat(300))]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    let usual = 1_790_000_000_000_i64..1_800_000_000_000;
    prop_oneof![4 => usual, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)].prop_map(Timestamp)
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..300, any::<u64>(), Just(u64::MAX), Just(i64::MAX as u64), Just(i64::MAX as u64 + 1)]
}

fn any_amount() -> impl Strategy<Value = i64> {
    prop_oneof![-300_i64..300, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

fn any_cycle() -> impl Strategy<Value = CycleId> {
    (1970_i16..=9000, 1_i8..=12).prop_map(|(year, month)| CycleId { year, month })
}

fn any_key() -> impl Strategy<Value = RecordKey> {
    let plain = prop_oneof![
        (any_text(), any::<u32>()).prop_map(|(session, number)| RecordKey::Gy(SessionId::from(session), number)),
        (any_text(), any::<u32>()).prop_map(|(session, number)| RecordKey::Rf(SessionId::from(session), number)),
        (any_text(), any::<u32>(), any::<u32>(), any_number())
            .prop_map(|(device, epoch, boot, number)| RecordKey::Modem(DeviceId::from(device), epoch, boot, number)),
        any_text().prop_map(RecordKey::File),
        any_text().prop_map(RecordKey::TopUp),
    ];
    plain.prop_recursive(3, 8, 1, |inner| {
        prop_oneof![
            (inner.clone(), any::<u16>()).prop_map(|(key, place)| RecordKey::Part(Box::new(key), place)),
            (inner.clone(), any_text()).prop_map(|(key, id)| RecordKey::Rerated(Box::new(key), id)),
            (inner, any_text()).prop_map(|(key, id)| RecordKey::Reversed(Box::new(key), id)),
        ]
    })
}

fn any_outcome() -> impl Strategy<Value = UsageOutcome> {
    let reason = || proptest::sample::select(SuspenseReason::ALL.to_vec());
    prop_oneof![
        Just(UsageOutcome::Rated),
        Just(UsageOutcome::Reconciled),
        reason().prop_map(UsageOutcome::Suspense),
        reason().prop_map(UsageOutcome::Recycled),
        reason().prop_map(UsageOutcome::Dropped),
    ]
}

fn any_identifier() -> impl Strategy<Value = Identifier> {
    prop_oneof![
        any_text().prop_map(Identifier::imsi),
        any_text().prop_map(Identifier::msisdn),
        any_text().prop_map(|id| Identifier::Device(DeviceId::from(id))),
    ]
}

fn any_told() -> impl Strategy<Value = Box<Told>> {
    let numbers = || (any_number(), any_number(), any_number());
    let volume = || numbers().prop_map(|(up, down, either)| Volume { up, down, either });
    let network = prop_oneof![Just(None), Just(Plmn::parse("45008")), Just(Plmn::parse("310-410"))];
    let split = prop_oneof![Just((Volume::default(), Volume::default())), (volume(), volume())];
    (network, volume(), split)
        .prop_map(|(network, whole, (before, after))| Box::new(Told { network, used: Octets { whole, before, after } }))
}

/// Amounts are any, or the record's own octets and cost on either side.
fn any_posting(octets: u64, cost: i64) -> impl Strategy<Value = Posting> {
    let octets = i64::try_from(octets).unwrap_or(i64::MAX);
    let own = proptest::sample::select(vec![octets, -octets, cost, cost.wrapping_neg()]);
    let unit = prop_oneof![Just(Unit::Octets), Just(Unit::Minor)];
    let side = proptest::sample::select(SIDES.to_vec());
    (side, unit, prop_oneof![own, any_amount()]).prop_map(|(side, unit, amount)| Posting { side, unit, amount })
}

/// Boxed piece by piece: whole, it is more than a test's stack holds.
fn any_record() -> BoxedStrategy<UsageRecord> {
    let action = proptest::sample::select(ACTIONS.to_vec());
    let crossing = (any_text(), action).prop_map(|(threshold, action)| Crossing { threshold, action });
    let sums = (any_number(), any_amount()).prop_flat_map(|(octets, amount)| {
        (Just(octets), Just(amount), collection::vec(any_posting(octets, amount), 0..6))
    });
    let sums = sums.boxed();
    let owners = prop_oneof![
        any_text().prop_map(|id| (Some(id.clone()), Some(id))),
        (option::of(any_text()), option::of(any_text())),
    ];
    let cycle = || option::of(any_cycle());
    let shared = (owners, cycle(), cycle(), option::of(any_text()), any_outcome()).boxed();
    let names = (any_key(), any::<u32>(), any::<u32>(), option::of(any_text()), option::of(any_identifier())).boxed();
    let few = (collection::vec(crossing, 0..3), option::of(any_told()), option::of(any_text())).boxed();
    let times = (any_time(), any_time(), any_time());
    (shared, names, times, sums, few)
        .prop_map(|(shared, names, times, sums, few)| UsageRecord {
            key: names.0,
            rating_group: names.1,
            outcome: shared.4,
            line: shared.0.1.map(LineId::from),
            account: shared.0.0.map(AccountId::from),
            cycle: shared.1,
            late_for: shared.2,
            plan: shared.3.map(PlanId::from),
            tariff_version: names.2,
            apn: names.3.map(Apn::from),
            subscriber: names.4,
            starts: times.0,
            ends: times.1,
            received: times.2,
            octets: sums.0,
            amount: sums.1,
            postings: sums.2,
            crossed: few.0,
            told: few.1,
            detail: few.2,
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_record_reads_back_as_it_was_written(records in collection::vec(any_record(), 1..4)) {
        let logged = Records::from(records.clone());
        prop_assert_eq!(&logged.decode().unwrap(), &records);
        for (logged, record) in logged.iter().zip(&records) {
            let logged = logged.unwrap();
            prop_assert_eq!(logged.octets_counted, record.octets_counted());
            prop_assert_eq!(logged.is_billed_usage(), record.is_billed_usage());
            prop_assert_eq!((logged.source, logged.cycle), (record.key.source(), record.cycle));
            prop_assert_eq!(logged.key().unwrap(), (record.key.clone(), record.rating_group));
            prop_assert_eq!(logged.has_crossed(), !record.crossed.is_empty());
            prop_assert_eq!(logged.body, record.encode_body());
        }
    }

    #[test]
    fn records_share_the_bytes_of_what_they_have_in_common(one in any_record(), other in any_record()) {
        let of = |record: &UsageRecord| {
            let source = record.key.source();
            (source, record.cycle, record.account.clone(), record.line.clone(), record.plan.clone(), record.late_for)
        };
        let alike = UsageRecord { key: one.key.clone(), cycle: one.cycle, account: one.account.clone(), ..other.clone() };
        let alike = UsageRecord { line: one.line.clone(), plan: one.plan.clone(), late_for: one.late_for, ..alike };
        let all = [one, other, alike];
        let logged = Records::from(all.to_vec());
        let shared: Vec<&[u8]> = logged.iter().map(|record| record.unwrap().shared).collect();
        for (left, right) in [(0, 1), (0, 2), (1, 2)] {
            prop_assert_eq!(shared[left] == shared[right], of(&all[left]) == of(&all[right]));
        }
    }

    #[test]
    fn damage_is_an_error_or_another_record(record in any_record(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        prop_assert!(Records::new(bytes.clone(), 2).decode().is_err());
        prop_assert!(Records::new(bytes[..1 + at % (bytes.len() - 1)].to_vec(), 1).decode().is_err());
        let at = at % bytes.len();
        bytes[at] = byte;
        let _either = Records::new(bytes, 1).decode();
        let mut body = record.encode_body();
        let at = at % body.len();
        body[at] = byte;
        let _either = UsageRecord::decode_body(&body);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in collection::vec(any::<u8>(), 0..200)) {
        let _either = UsageRecord::decode_body(&[&[FORMAT], bytes.as_slice()].concat());
        let length = (bytes.len() as u32).to_le_bytes();
        let _either = Records::new([length.as_slice(), &bytes].concat(), 1).decode();
    }
}

#[test]
fn another_format_is_refused_by_name() {
    let error = UsageRecord::decode_body(&[1, 0, 0]).unwrap_err();
    assert_eq!(error.to_string(), "a record of usage has format 1, this program reads 2");
}

#[test]
fn a_key_that_never_ends_is_refused() {
    let mut body = vec![FORMAT, 0, 0, 0];
    body.extend([key_is::PART, 1].repeat(1_000_000));
    assert!(UsageRecord::decode_body(&body).unwrap_err().to_string().contains("no end"));
}

#[test]
fn a_plain_record_takes_few_bytes() {
    let ends = Timestamp::parse("2026-10-05T10:00:00+09:00").unwrap();
    let (octets, amount) = (70_000, 3);
    let sides = [
        (LedgerSide::Network, Unit::Octets, -octets),
        (LedgerSide::Charged, Unit::Octets, octets),
        (LedgerSide::Unbilled, Unit::Minor, amount),
        (LedgerSide::Revenue, Unit::Minor, -amount),
    ];
    let postings: Vec<_> = sides.into_iter().map(|(side, unit, amount)| Posting { side, unit, amount }).collect();
    assert!(balanced(&postings));
    let record = UsageRecord {
        key: RecordKey::Gy(SessionId::from("pgw.example;1096298391;77"), 1),
        rating_group: 1,
        outcome: UsageOutcome::Rated,
        line: Some(LineId::from("line-1000000")),
        account: Some(AccountId::from("line-1000000")),
        cycle: Some("2026-10".parse().unwrap()),
        late_for: None,
        plan: Some(PlanId::from("iot-payg")),
        tariff_version: 1,
        apn: Some(Apn::from("iot.example")),
        subscriber: None,
        starts: ends,
        ends,
        received: ends,
        octets: 70_000,
        amount,
        postings,
        crossed: Vec::new(),
        told: None,
        detail: None,
    };
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    let sizes = (bytes.len(), record.encode_body().len());
    assert!(sizes.0 <= 100 && sizes.1 <= 66, "{sizes:?}");
}
