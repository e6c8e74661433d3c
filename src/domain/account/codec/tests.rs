use proptest::prelude::*;
use proptest::{collection, option};

use crate::domain::account::{
    Account, AccountLimits, Answers, Bucket, BucketMore, EventKeys, LineCharging, LineMore, LineTotal, ModemBoot,
    NumberSet, Pool, Pot, Reservation, Session, SessionEnd,
};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, Apn, ClientHost, CustomerId, DeviceId, LineId, PlanId, SessionId};
use crate::domain::line::LineState;
use crate::domain::network::Plmn;
use crate::domain::rating::request::{ChargeAnswer, Grant, GroupAnswer, Outcome};
use crate::domain::tariff::{BitRates, ChargingSource};
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::{Identifier, UsageSource};

/// Text as it comes: digits, words, nothing, other scripts.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[0-9]{1,20}", "[a-z0-9.-]{1,40}", "[가-힣]{1,8}", Just("0".repeat(15))]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let usual = 1_790_000_000_000_i64..1_800_000_000_000;
    prop_oneof![4 => usual, 1 => any::<i64>(), 1 => Just(i64::MAX)].prop_map(Timestamp)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..300, any::<u64>(), Just(u64::MAX)]
}

fn interval() -> impl Strategy<Value = Interval> {
    (time(), time()).prop_map(|(from, until)| Interval { from, until })
}

fn cycle() -> impl Strategy<Value = CycleId> {
    (1970_i16..=9000, 1_i8..=12).prop_map(|(year, month)| CycleId { year, month })
}

fn source() -> impl Strategy<Value = UsageSource> {
    prop_oneof![Just(UsageSource::Gy), Just(UsageSource::Rf), Just(UsageSource::Modem), Just(UsageSource::File)]
}

fn few<S: Strategy>(of: S) -> impl Strategy<Value = Vec<S::Value>> {
    collection::vec(of, 0..3)
}

fn numbers() -> impl Strategy<Value = NumberSet> {
    few(any::<u64>()).prop_map(|numbers| {
        let mut set = NumberSet::default();
        for number in numbers {
            set.insert(number, 8);
        }
        set
    })
}

fn identifier() -> impl Strategy<Value = Identifier> {
    prop_oneof![
        text().prop_map(Identifier::imsi),
        text().prop_map(Identifier::msisdn),
        text().prop_map(|id| Identifier::Device(DeviceId::from(id))),
    ]
}

fn total() -> impl Strategy<Value = LineTotal> {
    let pot = (any::<u32>(), number(), number()).prop_map(|(key, used, carried)| Pot { key, used, carried });
    let more = (few((any::<u32>(), number())), few(pot), few(any::<u32>()), number(), number()).prop_map(
        |(counters, pots, fired, credit, credit_used)| {
            Box::new(LineMore { counters, pots, fired, credit, credit_used })
        },
    );
    (any::<u16>(), number(), any::<i64>(), option::of(source()), few((source(), number())), option::of(more)).prop_map(
        |(line, octets, amount, source, reconciled, more)| LineTotal { line, octets, amount, source, reconciled, more },
    )
}

fn bucket() -> impl Strategy<Value = Bucket> {
    let pot = (any::<u32>(), number(), number()).prop_map(|(key, used, carried)| Pot { key, used, carried });
    let pool = (pot, number(), option::of(any::<u32>()), any::<bool>(), few(any::<u32>()))
        .prop_map(|(pot, octets, sized_by, is_dry, fired)| Pool { pot, octets, sized_by, is_dry, fired });
    let more = (option::of(cycle()), few(pool))
        .prop_map(|(rolls_through, pools)| Box::new(BucketMore { rolls_through, pools }));
    (cycle(), any::<bool>(), few(total()), option::of(more)).prop_map(|(cycle, closed, totals, more)| Bucket {
        cycle,
        closed,
        totals,
        more,
    })
}

fn line() -> impl Strategy<Value = LineCharging> {
    let state = prop_oneof![Just(LineState::Absent), Just(LineState::Active), Just(LineState::Terminated)];
    let charging = prop_oneof![Just(ChargingSource::Auto), Just(ChargingSource::File)];
    let plan = text().prop_map(PlanId::from);
    let history = (few((identifier(), interval())), few(text()), few((time(), plan)), few((time(), state)));
    let rest = (option::of(charging), any::<bool>(), few(any::<u64>()));
    (text(), any::<u16>(), history, rest).prop_map(|(id, no, (identifiers, apns, plans, states), rest)| LineCharging {
        id: LineId::from(id),
        no,
        identifiers,
        apns: apns.into_iter().map(Apn::from).collect(),
        plans,
        states,
        source: rest.0,
        no_new_grant: rest.1,
        command_keys: rest.2,
    })
}

fn answer() -> impl Strategy<Value = ChargeAnswer> {
    let grant = (number(), option::of(time()), any::<u32>()).prop_map(|(octets, tariff_change, validity_s)| Grant {
        octets,
        tariff_change,
        validity_s,
        threshold_octets: octets / 5,
        holding_s: 0,
        final_unit: None,
        throttle: (octets % 2 == 1).then_some(BitRates { up_bps: validity_s, down_bps: 1 }),
    });
    let group = (any::<u32>(), option::of(grant)).prop_map(|(rating_group, grant)| GroupAnswer {
        rating_group,
        outcome: Outcome::CreditLimitReached,
        grant,
        cost: None,
    });
    (few(group), option::of(any::<bool>())).prop_map(|(groups, covered)| ChargeAnswer {
        groups,
        covered,
        ..ChargeAnswer::bare(Outcome::Success)
    })
}

fn answers() -> impl Strategy<Value = Answers> {
    few((number(), answer())).prop_map(|given| {
        let mut answers = Answers::default();
        given.iter().for_each(|(key, answer)| answers.keep(*key, answer, 2));
        answers
    })
}

fn session() -> impl Strategy<Value = Session> {
    let reservation = (any::<u32>(), few(any::<u32>()), number(), time(), time()).prop_map(
        |(rating_group, services, octets, since, expires)| Reservation {
            rating_group,
            services,
            octets,
            since,
            expires,
        },
    );
    let end = prop_oneof![Just(SessionEnd::Open), Just(SessionEnd::ByUs), time().prop_map(SessionEnd::ByClient)];
    let network = option::of(Just(Plmn::parse("45008").unwrap()));
    let names = (text(), source(), option::of(text()), any::<u16>(), option::of(text()), network);
    let kept = (numbers(), answers(), few(reservation));
    (names, kept, time(), time(), end).prop_map(|(names, kept, last_activity, reported_until, end)| Session {
        id: SessionId::from(names.0),
        source: names.1,
        peer: names.2.map(ClientHost::from),
        line: names.3,
        apn: names.4.map(Apn::from),
        network: names.5,
        numbers: kept.0,
        answers: kept.1,
        reservations: kept.2,
        last_activity,
        reported_until,
        end,
    })
}

fn account() -> impl Strategy<Value = Account> {
    let modem = (text(), any::<u32>(), any::<u32>(), numbers(), time()).prop_map(
        |(device, epoch, boot, numbers, last_seen)| ModemBoot {
            device: DeviceId::from(device),
            epoch,
            boot,
            numbers,
            last_seen,
        },
    );
    let names = (text(), number(), text(), any::<u8>(), text());
    let cycles = (cycle(), option::of(cycle()), interval(), few(bucket()));
    let kept = (few(line()), any::<u16>(), few(session()), few(modem));
    let keys = (few(any::<u64>()), answers());
    (names, cycles, kept, keys).prop_map(|(names, cycles, kept, (keys, event_answers))| {
        let mut event_keys = EventKeys::default();
        for key in keys {
            event_keys.insert(key, Timestamp(1_790_000_000_000), &AccountLimits::default());
        }
        Account {
            id: AccountId::from(names.0),
            version: names.1,
            customer: CustomerId::from(names.2),
            anchor_day: names.3,
            zone: names.4.into(),
            cycle: cycles.0,
            closed_through: cycles.1.unwrap_or(cycles.0.previous()),
            bounds: cycles.2,
            buckets: cycles.3,
            lines: kept.0,
            next_line: kept.1,
            sessions: kept.2,
            modems: kept.3,
            event_keys,
            event_answers,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_account_reads_back_as_it_was_written(account in account()) {
        let bytes = account.encode(Vec::new());
        prop_assert_eq!(Account::id_in(&bytes).unwrap(), account.id.as_str());
        prop_assert_eq!(Account::decode(&bytes).unwrap(), account);
    }

    #[test]
    fn damage_is_an_error_and_no_panic(account in account(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = account.encode(Vec::new());
        prop_assert!(Account::decode(&bytes[..at % bytes.len()]).is_err());
        let at = at % bytes.len();
        bytes[at] = byte;
        let _either = Account::decode(&bytes);
    }
}

proptest! {
    #[test]
    fn the_newest_answers_are_found_again_and_older_ones_are_gone(
        given in collection::vec(answer(), 1..6), max in 0_usize..5
    ) {
        let mut answers = Answers::default();
        for (key, answer) in given.iter().enumerate() {
            answers.keep(key as u64, answer, max);
        }
        let kept = given.len().min(max.max(1));
        for (key, answer) in given.iter().enumerate() {
            let is_kept = key >= given.len() - kept;
            prop_assert_eq!(answers.find(key as u64), is_kept.then(|| answer.clone()));
        }
    }
}

#[test]
fn a_plain_line_takes_few_bytes() {
    let at = Timestamp::parse("2026-10-01T00:00:00+09:00").unwrap();
    let id = AccountId::from("line-1000000");
    let mut account = Account::new(id, CustomerId::from("customer-1000000"), 1, "Asia/Seoul", at).unwrap();
    let held = |identifier| (identifier, Interval::starting(at));
    account.lines.push(LineCharging {
        id: LineId::from("line-1000000"),
        no: 0,
        identifiers: vec![
            held(Identifier::Imsi("450080000000001".into())),
            held(Identifier::Msisdn("821000000001".into())),
        ],
        apns: Vec::new(),
        plans: vec![(at, PlanId::from("iot-payg"))],
        states: vec![(at, LineState::Active)],
        source: None,
        no_new_grant: false,
        command_keys: vec![u64::MAX],
    });
    let bytes = account.encode(Vec::new()).len();
    assert!(bytes <= 112, "{bytes}");
}
