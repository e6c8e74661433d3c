//! How an amount came about: record → tariff and rule → postings → line of the bill.
//!
//! Three sums are held against each other: the records as they are stored, the
//! totals that bills are made from, and the usage on the bill. Does **not** rate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::domain::billing::{Charge, ChargeKind, Invoice, invoice_id};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, LineId, PlanId};
use crate::domain::ledger::{LedgerSide, Unit};
use crate::domain::rating::request::Volume;
use crate::domain::tariff::{Circumstances, Price, PriceRule, SharedTariff, TariffBook, Tier};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Direction, UsageOutcome, UsageRecord, UsageSource};
use crate::ports::relational::{Relational, Stored, StoredUsage, UsageFilter};

/// Records read at a time.
const CHUNK: u64 = 1000;

/// Usage of one plan, and of the cycle that it was late for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The plan that priced it.
    pub plan: PlanId,
    /// Its own cycle, where that was closed before.
    pub late_for: Option<CycleId>,
}

/// A sum of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Octets.
    pub octets: i64,
    /// Minor units.
    pub amount: i64,
    /// Records; 0 where what was summed does not count them.
    pub records: u64,
}

/// One part in all three books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which usage.
    #[serde(flatten)]
    pub part: Part,
    /// Its records, summed.
    pub records: Sum,
    /// What bills are made from.
    pub totals: Sum,
    /// What the bill says; `None` where none is made yet.
    pub billed: Option<Sum>,
}

/// What one source reported of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub source: &'static str,
    /// Octets of its records that were charged.
    pub charged: u64,
    /// Octets of its records that are only compared.
    pub compared: u64,
    /// How much more it reported than was charged altogether; `None` where nothing of
    /// it is only compared.
    pub difference: Option<i64>,
}

/// How a line's usage of a cycle's bill came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The accounts that its records are of; one, unless it moved.
    pub accounts: Vec<AccountId>,
    /// Its usage, part by part.
    pub rows: Vec<Row>,
    /// Source by source: the one that charges the line, and those that are compared.
    pub sources: Vec<Source>,
    /// The bills of these accounts, as far as they are made.
    pub invoices: Vec<Invoice>,
    /// Where the books do not agree; empty when they do.
    pub differences: Vec<String>,
}

impl Explanation {
    /// Every charge of the line on its bills, usage or not.
    pub fn charges<'a>(&'a self, line: &'a LineId) -> impl Iterator<Item = (&'a Invoice, &'a Charge)> {
        self.invoices.iter().flat_map(move |i| i.charges.iter().filter(|c| c.line == *line).map(move |c| (i, c)))
    }
}

/// Explains amounts.
pub struct Explain {
    store: Arc<dyn Relational>,
    tariff: SharedTariff,
}

impl Explain {
    /// Over the store; the versions of the tariff say what its rules were.
    pub fn new(store: Arc<dyn Relational>, tariff: SharedTariff) -> Self {
        Self { store, tariff }
    }

    /// Some of the records behind a place, in the order in which they were drained. Those that are only compared are among them, and top-ups.
    pub async fn records(&self, line: &LineId, cycle: CycleId, after: u64, limit: u64) -> Stored<Vec<StoredUsage>> {
        let filter = UsageFilter { line: Some(line.clone()), cycle: Some(cycle), ..UsageFilter::default() };
        self.store.usage_after(&filter, after, limit).await
    }

    /// The rule that priced a record, for people.
    pub fn rule(&self, record: &UsageRecord) -> String {
        rule(record, &self.tariff.book())
    }

    /// All of it summed and compared; `None` for a line that is not known and has no
    /// records. Reads every record of the line and cycle, a bounded number at a time.
    pub async fn explain(&self, line: &LineId, cycle: CycleId) -> Stored<Option<Explanation>> {
        let mut accounts: BTreeSet<AccountId> = self.store.line(line).await?.map(|l| l.account).into_iter().collect();
        let mut rows: BTreeMap<Part, Row> = BTreeMap::new();
        let mut reported: BTreeMap<&'static str, [u64; 2]> = BTreeMap::new();
        let mut after = 0;
        loop {
            let chunk = self.records(line, cycle, after, CHUNK).await?;
            let Some(last) = chunk.last() else { break };
            after = last.sequence;
            for StoredUsage { record, .. } in chunk {
                if record.outcome == UsageOutcome::Reconciled {
                    reported.entry(record.key.source().as_str()).or_default()[1] += record.octets;
                }
                if !record.is_billed_usage() {
                    continue;
                }
                let charged = &mut reported.entry(record.key.source().as_str()).or_default()[0];
                *charged = charged.saturating_add_signed(record.octets_counted());
                let plan = record.plan.clone().unwrap_or_else(|| PlanId::from(""));
                let sum = &mut row(&mut rows, Part { plan, late_for: record.late_for }).records;
                sum.octets = sum.octets.saturating_add(record.octets_counted());
                sum.amount = sum.amount.saturating_add(record.amount);
                sum.records += 1;
                accounts.extend(record.account);
            }
        }
        if accounts.is_empty() {
            return Ok(None);
        }
        let mut invoices = Vec::new();
        for account in &accounts {
            for total in self.store.usage_totals(cycle, account, account).await? {
                if total.line == *line {
                    let sum = &mut row(&mut rows, Part { plan: total.plan, late_for: total.late_for }).totals;
                    sum.octets += signed(total.octets);
                    sum.amount += total.amount;
                    sum.records += total.records;
                }
            }
            invoices.extend(self.store.invoice(&invoice_id(cycle, account)).await?);
        }
        let charges = invoices.iter().flat_map(|i| &i.charges);
        for charge in charges.filter(|c| c.line == *line && c.kind == ChargeKind::Usage) {
            let part = Part { plan: charge.plan.clone(), late_for: charge.late_for };
            let sum = row(&mut rows, part).billed.get_or_insert_default();
            sum.octets += signed(charge.quantity);
            sum.amount += charge.amount;
        }
        let rows: Vec<Row> = rows.into_values().collect();
        let all_billed = invoices.len() == accounts.len();
        let differences = rows.iter().flat_map(|row| differences(row, all_billed)).collect();
        let (accounts, sources) = (accounts.into_iter().collect(), sources(&reported));
        Ok(Some(Explanation { accounts, rows, sources, invoices, differences }))
    }
}

fn signed(octets: u64) -> i64 {
    i64::try_from(octets).unwrap_or(i64::MAX)
}

fn sources(reported: &BTreeMap<&'static str, [u64; 2]>) -> Vec<Source> {
    let whole: u64 = reported.values().map(|[charged, _]| charged).sum();
    let difference = |octets: u64| i64::try_from(i128::from(octets) - i128::from(whole)).unwrap_or(i64::MAX);
    let of = |(source, [charged, compared]): (&&'static str, &[u64; 2])| Source {
        source,
        charged: *charged,
        compared: *compared,
        difference: (*compared > 0).then(|| difference(charged + compared)),
    };
    reported.iter().map(of).collect()
}

fn row(rows: &mut BTreeMap<Part, Row>, part: Part) -> &mut Row {
    let blank = |part: &Part| Row { part: part.clone(), records: Sum::default(), totals: Sum::default(), billed: None };
    let new = blank(&part);
    rows.entry(part).or_insert(new)
}

/// Where the books of one part differ. A bill that is made has to show all of it.
fn differences(row: &Row, is_billed: bool) -> Vec<String> {
    let late = row.part.late_for.map(|cycle| format!(", late for {cycle}")).unwrap_or_default();
    let of = format!("plan {}{late}", row.part.plan);
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: i128, theirs: i128, whose: &str| {
        if ours != theirs {
            found.push(format!("{of}: {ours} {what} in its records, {theirs} {whose}"));
        }
    };
    let (records, totals) = (&row.records, &row.totals);
    compare("octets", records.octets.into(), totals.octets.into(), "in the totals");
    compare("minor units", records.amount.into(), totals.amount.into(), "in the totals");
    compare("records", records.records.into(), totals.records.into(), "in the totals");
    if is_billed {
        let billed = row.billed.clone().unwrap_or_default();
        compare("octets", records.octets.into(), billed.octets.into(), "on the bill");
        compare("minor units", records.amount.into(), billed.amount.into(), "on the bill");
    }
    found
}

/// What a record's postings say about its price, with the name and words of the rule
/// where it can be told.
fn rule(record: &UsageRecord, book: &TariffBook) -> String {
    match record.outcome {
        UsageOutcome::Rated => {}
        UsageOutcome::Reconciled => return "compared only: another source charges the line".to_owned(),
        other => return format!("not counted: {}", other.as_str()),
    }
    let octets = |side| -> i64 {
        let of_side = record.postings.iter().filter(|p| p.side == side && p.unit == Unit::Octets);
        of_side.map(|p| p.amount).sum()
    };
    if record.key.source() == UsageSource::TopUp {
        return format!("top-up of {}", octets(LedgerSide::TopUp));
    }
    let charged = octets(LedgerSide::Charged);
    let mut parts = Vec::new();
    for (side, name) in [(LedgerSide::Allowance, "allowance"), (LedgerSide::Credit, "top-up")] {
        if octets(side) != 0 {
            parts.push(format!("{} {name}", octets(side)));
        }
    }
    if charged != 0 {
        parts.push(match priced_by(record, book) {
            Some(rule) => format!("{charged} at {}: {}", rule.name, words(&rule.cost)),
            None => format!("{charged} charged"),
        });
    }
    if parts.is_empty() {
        return if record.amount == 0 { "nothing used".to_owned() } else { "money alone".to_owned() };
    }
    parts.join(" + ")
}

/// The rule that priced a record, by the record's version of the tariff. `None` where
/// that is gone, and where one price cannot be named: for octets of both directions, or
/// on both sides of a window of the day, and where the record does not tell.
fn priced_by<'b>(record: &UsageRecord, book: &'b TariffBook) -> Option<&'b PriceRule> {
    let tariff = &book.version(record.tariff_version)?.tariff;
    let usage = tariff.plan(record.plan.as_ref()?)?.usage.as_ref()?;
    if let [only] = usage.rules.as_slice() {
        return Some(only);
    }
    let UsageRecord { rating_group, starts, ends, .. } = *record;
    let is_split = record.key.source() == UsageSource::Gy
        && tariff.clock().last_edge(usage.windows(tariff), ends).is_some_and(|edge| edge > starts);
    let told = record.told.as_deref();
    let network = told.and_then(|told| told.network);
    let direction = match told.map(|told| told.used.whole) {
        Some(Volume { up: 1.., down: 0, either: 0 }) => Some(Direction::Up),
        Some(Volume { up: 0, down: 1.., either: 0 }) => Some(Direction::Down),
        _ => None,
    };
    let is_untold = |rule: &PriceRule| {
        (rule.when.direction.is_some() && direction.is_none()) || (!rule.when.zones.is_empty() && network.is_none())
    };
    if is_split || usage.rules.iter().any(is_untold) {
        return None;
    }
    let at = if starts < ends { Timestamp(ends.0 - 1) } else { ends };
    let apn = record.apn.as_ref();
    let direction = direction.filter(|_| usage.asks_direction());
    usage.rule_for(tariff, &Circumstances { apn, rating_group, network, direction, at })
}

/// A price for people: minor units and octets.
fn words(cost: &Price) -> String {
    let tiers = |tiers: &[Tier]| {
        let priced = tiers.iter().filter(|tier| !tier.price.is_free());
        let priced = priced.map(|t| format!("{}/{} from {}", t.price, t.per_octets, t.from_octets));
        priced.collect::<Vec<_>>().join(", ")
    };
    match cost {
        Price::PerUnit(block) => format!("{}/{} exactly", block.price, block.octets),
        Price::PerBlock(block) => format!("{}/{}", block.price, block.octets),
        Price::Package(block) => format!("{} for a package of {}", block.price, block.octets),
        Price::Graduated(graduated) => tiers(graduated),
        Price::Volume(volume) => format!("all by the total, {}", tiers(volume)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::Posting;
    use crate::domain::tariff::Tariff;
    use crate::domain::usage::RecordKey;

    const PLAN: &str = r#"
currency = "KRW"
tax_percent = 10
time_zone = "Asia/Seoul"
[window.night]
from = "22:00"
until = "06:00"
[zone]
japan = ["440"]
[plan.p]
name = "P"
product = "iot"
department = "iot"
access = "cellular"
apns = ["iot.example"]
monthly_fee = 0
[[plan.p.usage.price]]
name = "night"
when = { windows = ["night"] }
cost = { per_block = { price = 1, octets = 1000 } }
"#;

    fn book() -> TariffBook {
        let day = "[[plan.p.usage.price]]\nname = \"day\"\ncost = { per_unit = { price = \"0.5\", octets = 100 } }\n";
        let abroad = day.replace("\"day\"", "\"abroad\"\nwhen = { zones = [\"japan\"] }");
        let version = |head: &str, rest: &str| -> Tariff { toml::from_str(&format!("{head}{PLAN}{rest}")).unwrap() };
        let second = "version = 2\neffective_from = \"2026-11-01T00:00:00+09:00\"";
        TariffBook::new(vec![version("version = 1", day), version(second, &format!("{abroad}{day}"))]).unwrap()
    }

    fn record(key: RecordKey, tariff_version: u32, starts: &str, ends: &str) -> UsageRecord {
        let at = |time: &str| Timestamp::parse(&format!("2026-10-10T{time}:00+09:00")).unwrap();
        let side = |side, amount| Posting { side, unit: Unit::Octets, amount };
        UsageRecord {
            key,
            rating_group: 0,
            outcome: UsageOutcome::Rated,
            line: Some("l".into()),
            account: Some("a".into()),
            cycle: None,
            late_for: None,
            plan: Some("p".into()),
            tariff_version,
            apn: Some("iot.example".into()),
            subscriber: None,
            starts: at(starts),
            ends: at(ends),
            received: at(ends),
            octets: 1500,
            amount: 5,
            postings: vec![
                side(LedgerSide::Network, -1500),
                side(LedgerSide::Credit, 500),
                side(LedgerSide::Charged, 1000),
            ],
            crossed: Vec::new(),
            told: None,
            detail: None,
        }
    }

    #[test]
    fn the_rule_is_named_by_version_and_time_where_it_can_be_told() {
        let file = || RecordKey::File("1".to_owned());
        let gy = || RecordKey::Gy("s".into(), 1);
        let table = [
            (file(), 1, "20:00", "22:00", "500 top-up + 1000 at day: 0.5/100 exactly"),
            (file(), 1, "21:00", "23:00", "500 top-up + 1000 at night: 1/1000"),
            (gy(), 1, "22:30", "23:00", "500 top-up + 1000 at night: 1/1000"),
            (gy(), 1, "21:00", "23:00", "500 top-up + 1000 charged"),
            (file(), 2, "20:00", "22:00", "500 top-up + 1000 charged"),
            (file(), 3, "20:00", "22:00", "500 top-up + 1000 charged"),
        ];
        for (key, version, starts, ends, expected) in table {
            assert_eq!(rule(&record(key, version, starts, ends), &book()), expected, "{starts} to {ends}, {version}");
        }
    }
}
