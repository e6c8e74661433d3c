//! Prices and checks as tables.

use super::*;
use crate::domain::money::Rate;
use crate::domain::usage::Direction;

impl Plan {
    /// One without fees and without usage, for tests of the domain to start from.
    pub(in crate::domain) fn without_usage(access: Access) -> Self {
        Self {
            name: "plan".to_owned(),
            product: "product".to_owned(),
            department: "department".to_owned(),
            access,
            apns: Vec::new(),
            monthly_fee: 0,
            activation_fee: 0,
            fees: Vec::new(),
            suspended_percent: 0,
            source: ChargingSource::Auto,
            usage: None,
            quota: QuotaPolicy::default(),
        }
    }
}

fn block(price: &str, octets: u64) -> Block {
    Block { price: Rate::parse(price).unwrap(), octets }
}

fn tiers(tiers: &[(u64, &str, u64)]) -> Vec<Tier> {
    let tier = |&(from_octets, price, per_octets): &(u64, &str, u64)| Tier {
        from_octets,
        price: Rate::parse(price).unwrap(),
        per_octets,
        exact: false,
    };
    tiers.iter().map(tier).collect()
}

#[test]
fn octets_cost_what_the_table_says() {
    let ten_mb = &[(0, "0", 1), (10_000_000, "11", 100_000)];
    let falling = &[(0, "3", 1000), (10_000, "2", 1000), (20_000, "1", 1000)];
    let exact = |list: Vec<Tier>| list.into_iter().map(|tier| Tier { exact: true, ..tier }).collect();
    // price, (total octets, minor units)
    type Case = (&'static str, Price, &'static [(u64, i64)]);
    let table: &[Case] = &[
        (
            "3 for 100 kB",
            Price::PerBlock(block("3", 100_000)),
            &[(0, 0), (1, 3), (100_000, 3), (100_001, 6), (1_000_000, 30)],
        ),
        (
            "0.35 a kB",
            Price::PerUnit(block("0.35", 1000)),
            &[(0, 0), (1428, 0), (1429, 1), (1000, 0), (10_000, 4), (1_000_000, 350)],
        ),
        ("a third", Price::PerUnit(block("1", 3)), &[(1, 0), (2, 1), (3, 1), (4, 1), (5, 2)]),
        ("0.5 a block", Price::PerBlock(block("0.5", 10)), &[(1, 1), (10, 1), (11, 1), (20, 1), (21, 2)]),
        (
            "5000 a GB",
            Price::Package(block("5000", 1_000_000_000)),
            &[(0, 0), (1, 5000), (1_000_000_000, 5000), (1_000_000_001, 10_000)],
        ),
        (
            "10 MB, then 11",
            Price::Graduated(tiers(ten_mb)),
            &[(0, 0), (1, 0), (10_000_000, 0), (10_000_001, 11), (10_100_000, 11), (10_100_001, 22)],
        ),
        ("graduated", Price::Graduated(tiers(falling)), &[(10_000, 30), (10_001, 32), (20_000, 50), (20_001, 51)]),
        ("graduated, exact", Price::Graduated(exact(tiers(&[(0, "1", 3), (3, "1", 6)]))), &[(3, 1), (6, 2), (5, 1)]),
        // the boundary octet is the first tier's last one; one more reprices everything
        ("volume", Price::Volume(tiers(falling)), &[(0, 0), (10_000, 30), (10_001, 22), (20_000, 40), (20_001, 21)]),
    ];
    for (name, price, totals) in table {
        assert_eq!(price.fault(), None, "{name}");
        for (octets, won) in *totals {
            assert_eq!(price.of_total(*octets), Some(*won), "{name}: {octets} octets");
        }
    }
    assert_eq!(Price::PerBlock(block("9223372036854775807", 1)).of_total(u64::MAX), None);
}

#[test]
fn a_price_is_in_the_minor_unit_of_its_currency() {
    let price = Price::PerUnit(block("1.5", 1000));
    for (currency, shown) in [
        (Currency::KRW, "15"),
        (Currency::JPY, "15"),
        (Currency::USD, "0.15"),
        (Currency::EUR, "0.15"),
        (Currency::KWD, "0.015"),
    ] {
        let minor = price.of_total(10_000).unwrap();
        assert_eq!(crate::domain::money::Money::new(minor, currency).decimal(), shown, "{currency:?}");
    }
}

#[test]
fn free_octets_end_where_the_first_priced_tier_begins() {
    let table = [
        (Price::Graduated(tiers(&[(0, "0", 1), (10, "1", 1)])), 10),
        (Price::Graduated(tiers(&[(0, "0", 1)])), u64::MAX),
        (Price::PerBlock(block("3", 10)), 0),
        (Price::PerUnit(block("0", 10)), u64::MAX),
        (Price::Volume(tiers(&[(0, "0", 1), (10, "1", 1)])), 0),
    ];
    for (price, free) in table {
        assert_eq!(price.free_octets(), free, "{price:?}");
    }
}

#[test]
fn conditions_hold_when_each_of_them_does() {
    let zones = [("japan", "440"), ("usa", "310-410")];
    let mut tariff = Tariff::empty(1, Currency::KRW, 10);
    tariff.time_zone = TimeZone::get("Asia/Seoul").unwrap();
    for (name, member) in zones {
        tariff.zones.insert(name.to_owned(), vec![ZoneMember::try_from(member.to_owned()).unwrap()]);
    }
    let night = r#"{ "from": "22:00", "until": "06:00" }"#;
    tariff.windows.insert("night".to_owned(), serde_json::from_str(night).unwrap());
    let apn = Apn::from("IoT.example.mnc008.mcc450.gprs");
    let table = [
        (r#"{}"#, true),
        (r#"{ "apns": ["iot.example"] }"#, true),
        (r#"{ "apns": ["internet"] }"#, false),
        (r#"{ "rating_groups": [10, 20] }"#, true),
        (r#"{ "rating_groups": [11] }"#, false),
        (r#"{ "direction": "up" }"#, true),
        (r#"{ "direction": "down" }"#, false),
        (r#"{ "zones": ["japan"] }"#, true),
        (r#"{ "zones": ["usa", "home"] }"#, false),
        (r#"{ "windows": ["night"] }"#, true),
        (r#"{ "windows": ["night"], "zones": ["japan"], "direction": "up", "rating_groups": [10] }"#, true),
        (r#"{ "windows": ["night"], "zones": ["usa"] }"#, false),
    ];
    let usage = Circumstances {
        apn: Some(&apn),
        rating_group: 10,
        network: Plmn::parse("44010"),
        direction: Some(Direction::Up),
        at: Timestamp::parse("2026-10-10T23:00:00+09:00").unwrap(),
    };
    for (when, holds) in table {
        let conditions: Conditions = serde_json::from_str(when).unwrap();
        assert_eq!(conditions.hold(&tariff, &usage), holds, "{when}");
    }
    let home: Conditions = serde_json::from_str(r#"{ "zones": ["home"] }"#).unwrap();
    for (network, is_home) in [(None, true), (Plmn::parse("45008"), true), (Plmn::parse("44000"), false)] {
        assert_eq!(home.hold(&tariff, &Circumstances { network, ..usage }), is_home, "{network:?}");
    }
    let sum_alone = Circumstances { direction: None, apn: None, ..usage };
    for when in [r#"{ "direction": "up" }"#, r#"{ "apns": ["iot.example"] }"#] {
        assert!(!serde_json::from_str::<Conditions>(when).unwrap().hold(&tariff, &sum_alone), "{when}");
    }
}

fn version(version: u32, from: Option<&str>) -> Tariff {
    let effective_from = from.map_or(Tariff::BEGINNING, |at| Timestamp::parse(at).unwrap());
    Tariff { effective_from, ..Tariff::empty(version, Currency::KRW, 10) }
}

#[test]
fn each_instant_has_the_version_that_holds_then() {
    let (july, october) = ("2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z");
    let book = TariffBook::new(vec![version(2, Some(july)), version(1, None), version(3, Some(october))]).unwrap();
    let table = [
        ("1999-01-01T00:00:00Z", 1),
        ("2026-06-30T23:59:59.999Z", 1),
        (july, 2),
        ("2026-09-30T23:59:59.999Z", 2),
        (october, 3),
        ("2050-01-01T00:00:00Z", 3),
    ];
    for (at, held) in table {
        assert_eq!(book.at(Timestamp::parse(at).unwrap()).version, held, "{at}");
    }
    let late_start = TariffBook::new(vec![version(1, Some(october))]).unwrap();
    assert_eq!(late_start.at(Timestamp(0)).version, 1, "the first holds for all time before it");
}

#[test]
fn a_book_refuses_versions_that_cannot_follow_each_other() {
    let (july, october) = ("2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z");
    let mut with_plan = version(2, Some(july));
    let plan = r#"{ "name": "A", "product": "p", "department": "d", "access": "tv", "monthly_fee": 1 }"#;
    with_plan.plans.insert("a".into(), serde_json::from_str(plan).unwrap());
    let next = |number, from| Tariff { version: number, plans: with_plan.plans.clone(), ..version(number, Some(from)) };
    let dollars = Tariff { currency: Currency::USD, ..next(3, october) };
    let of_file = Version::new(with_plan.clone(), TariffSource::File("tariffs/2.toml".to_owned()));
    for (tariff, path, fault) in [
        (next(3, july), "effective_from", "same instant as version 2 of tariffs/2.toml, and neither wins"),
        (next(2, october), "version", "above version 2"),
        (next(1, october), "version", "above version 2"),
        (dollars, "currency", "USD, not KRW"),
        (version(3, Some(october)), "plan.a", "plan `a` of version 2 of tariffs/2.toml is missing"),
    ] {
        let error = TariffBook::new([of_file.clone(), Version::new(tariff, TariffSource::Rest)]).unwrap_err();
        assert_eq!(error.faults[0].path, path, "{error}");
        assert!(error.to_string().contains(fault), "{error}");
    }
    let book = TariffBook::new([of_file.clone(), Version::new(next(3, october), TariffSource::Rest)]).unwrap();
    assert_eq!((book.version(2), book.version(4)), (Some(&of_file), None));
    let shared = SharedTariff::from(with_plan);
    let (before, clone) = (shared.book(), shared.clone());
    clone.replace(book);
    assert_eq!((before.versions().len(), shared.book().versions().len()), (1, 2));
}

#[test]
fn every_fault_of_a_version_is_told_with_its_place() {
    let bad = r#"{
        "version": 7, "currency": "KRW", "tax_percent": 101,
        "plan": { "a": {
            "name": "A", "product": "p", "department": "d", "access": "cellular", "apns": ["x"], "monthly_fee": -1,
            "fee": [{ "name": "f", "amount": 1, "charged": "once" }, { "name": "g", "amount": -1, "charged": "once" }],
            "quota": { "threshold_percent": 100 },
            "usage": {
                "price": [
                    { "name": "p", "cost": { "per_block": { "price": 1, "octets": 0 } } },
                    { "name": "p", "when": { "zones": ["moon"] }, "cost": { "per_block": { "price": 1, "octets": 1 } } }
                ],
                "allowance": [{ "name": "o", "octets": 0 }],
                "threshold": [{ "name": "t", "at": { "amount": 0 }, "action": "notify" }]
            }
        } }
    }"#;
    let tariff: Tariff = serde_json::from_str(bad).unwrap();
    let faults = tariff.check().unwrap_err().faults;
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    let usage = ["price[0]", "price[1]", "allowance[0]", "threshold[0]", "price[1].name"];
    let plan = ["monthly_fee", "fee[1].amount", "quota"].map(|key| format!("plan.a.{key}"));
    let expected: Vec<String> = [vec!["tax_percent".to_owned()], plan.to_vec()].concat();
    let expected: Vec<String> = expected.into_iter().chain(usage.map(|key| format!("plan.a.usage.{key}"))).collect();
    assert_eq!(paths, expected);
}
