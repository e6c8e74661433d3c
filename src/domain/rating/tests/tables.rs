//! Runs the cases of `tables.txt`, which is written for people.

use std::collections::BTreeMap;

use super::*;
use crate::domain::network::Plmn;
use crate::domain::rating::request::{Octets, Volume};

const CASES: &str = include_str!("tables.txt");
const HEAD: &str = "version = 1\ncurrency = \"KRW\"\ntax_percent = 10\ntime_zone = \"Asia/Seoul\"\n\
                    holidays = [\"2026-10-09\"]\n";

#[test]
fn usage_costs_what_the_tables_say() {
    let cases: Vec<&str> = CASES.split("\n== ").skip(1).collect();
    assert!(cases.len() > 15, "the cases were found");
    for case in cases {
        let (name, body) = case.split_once('\n').unwrap();
        let (plan, table) = body.split_once("\n\n").unwrap();
        run(name, plan, table);
    }
}

fn run(name: &str, plan: &str, table: &str) {
    let (tariff, lines) = tariff_of(name, plan);
    let mut world = World::on("p");
    world.tariff = tariff;
    world.line = LineId::from("a");
    world.account = Account::new("a1".into(), "c1".into(), 1, "Asia/Seoul", at("10-02T00:00:00")).unwrap();
    for (line, plan) in [("a".to_owned(), "p".to_owned())].into_iter().chain(lines) {
        open(&mut world, &line, &plan);
    }
    let mut rows = table.lines().filter(|row| !row.trim().is_empty());
    let columns: Vec<&str> = rows.next().unwrap().split('|').map(str::trim).collect();
    for (number, row) in rows.enumerate() {
        let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(row.split('|').map(str::trim)).collect();
        let record = charge(&mut world, &number.to_string(), &cells);
        let got = match record.outcome {
            UsageOutcome::Rated => record.amount.to_string(),
            other => other.as_str().to_owned(),
        };
        assert_eq!(got, cells["costs"], "{name}: {row}");
        let fired: Vec<&str> = record.crossed.iter().map(|c| c.threshold.as_str()).collect();
        assert_eq!(fired.join(", "), cells.get("fires").copied().unwrap_or(""), "{name}: {row}");
    }
    let encoded = world.account.encode(Vec::new());
    assert_eq!(Account::decode(&encoded).unwrap(), world.account, "{name}");
}

/// The tariff of a case, and its lines beside `a` with their plans.
fn tariff_of(name: &str, text: &str) -> (Tariff, Vec<(String, String)>) {
    // keys before the first table belong to the plan, or to its usage
    let (keys, tables): (Vec<&str>, Vec<&str>) = {
        let first = text.lines().position(|line| line.starts_with('[')).unwrap();
        (text.lines().take(first).collect(), text.lines().skip(first).collect())
    };
    let (of_usage, of_plan): (Vec<&str>, Vec<&str>) = keys.into_iter().partition(|key| key.starts_with("cap_"));
    let plan = "name = \"P\"\nproduct = \"iot\"\ndepartment = \"iot\"\naccess = \"cellular\"\n\
                apns = [\"iot.example\"]\nmonthly_fee = 0\n";
    let mut toml = format!("{HEAD}[plan.p]\n{plan}{}\n[plan.p.usage]\n{}\n", of_plan.join("\n"), of_usage.join("\n"));
    let mut lines = Vec::new();
    for line in tables {
        match line.strip_prefix("@line ").and_then(|rest| rest.split_once(' ')) {
            Some((line, plan)) => lines.push((line.to_owned(), plan.to_owned())),
            None => toml.extend([line, "\n"]),
        }
    }
    let tariff: Tariff = toml::from_str(&toml).unwrap_or_else(|e| panic!("{name}: {e}"));
    tariff.check().unwrap_or_else(|e| panic!("{name}: {e}"));
    let json = serde_json::to_string(&tariff).unwrap();
    assert_eq!(serde_json::from_str::<Tariff>(&json).unwrap(), tariff, "{name}: as JSON");
    (tariff, lines)
}

fn open(world: &mut World, line: &str, plan: &str) {
    world.command(AccountCommand::OpenLine {
        key: format!("open-{line}"),
        line: LineId::from(line),
        customer: CustomerId::from("c1"),
        anchor_day: 1,
        zone: "Asia/Seoul".to_owned(),
        profile: Box::new(profile(plan)),
        state: LineState::Active,
        at: at("10-02T00:00:00"),
    });
}

fn charge(world: &mut World, id: &str, cells: &BTreeMap<&str, &str>) -> UsageRecord {
    let cell = |name: &str| cells.get(name).copied().filter(|text| !text.is_empty());
    let octets = |name: &str| cell(name).map_or(0, size);
    let either = |octets: u64| Volume { either: octets, ..Volume::default() };
    let whole = Volume { up: octets("up"), down: octets("down"), either: octets("octets") };
    let used = Used::Octets(Octets { whole, before: either(octets("before")), after: either(octets("after")) });
    let ends = time(cell("at").unwrap());
    world.now = ends;
    let line = LineId::from(cell("line").unwrap_or("a"));
    let hour = Timestamp((ends.0 - 1) / 3_600_000 * 3_600_000);
    let request = ChargeRequest {
        starts: Some(cell("from").map_or(hour, time)),
        ends,
        network: cell("network").map(|text| Plmn::parse(text).unwrap()),
        groups: vec![GroupRequest {
            rating_group: cell("group").map_or(10, |text| text.parse().unwrap()),
            used: Some(used),
            ..group(None, Wanted::Nothing)
        }],
        ..world.event(RecordKey::File(id.to_owned()), 0)
    };
    world.line = line;
    world.apply(&request).records.remove(0)
}

/// `10-12T22:00:00`; month 13 is January.
fn time(text: &str) -> Timestamp {
    match text.strip_prefix("13-") {
        Some(january) => Timestamp::parse(&format!("2027-01-{january}+09:00")).unwrap(),
        None => at(text),
    }
}

/// `12`, `4 999`, `1 kB`, `3 MB`.
fn size(text: &str) -> u64 {
    let (number, unit) = match text.split_once(" kB") {
        Some((number, _)) => (number, 1000),
        None => text.split_once(" MB").map_or((text, 1), |(number, _)| (number, MB)),
    };
    number.replace(' ', "").parse::<u64>().unwrap() * unit
}
