//! A usage record as both relational engines keep it.
//!
//! What is searched or summed stands in columns; what many records have in common
//! (cycle, account, line, plan, cycle of late usage, source) stands once, in a row of
//! `usage_parts`; everything else is one value, `body`. Reads go through the view
//! `usage`, which puts the three together, with SQL that both engines understand.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sqlx::{ColumnIndex, Database, Decode, Encode, QueryBuilder, Row, Type};

use super::columns::{json, outcome, record_key, unreadable};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, Apn, LineId, PlanId};
use crate::domain::ledger::Posting;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, RecordKey, Told, UsageOutcome, UsageRecord};
use crate::ports::relational::{StoredUsage, UsageFilter};
use crate::telemetry::metrics;

/// One record of suspense by key and rating group.
pub(super) const CASE: &str = "SELECT * FROM usage WHERE suspense AND key = $1 AND rating_group = $2";

/// The same while it is open.
pub(super) const OPEN_CASE: &str = "SELECT * FROM usage
     WHERE suspense AND key = $1 AND rating_group = $2 AND outcome <> 'recycled' AND outcome <> 'dropped'";

/// Puts another judgement on a record of suspense, where it still has the outcome that was read.
pub(super) const JUDGE_ANEW: &str =
    "UPDATE usage_records SET outcome = $3, part = $4, body = $5 WHERE sequence = $1 AND outcome = $2";

/// What was done about it, oldest first.
pub(super) const CASE_LOG: &str =
    "SELECT at, operator, verb, note FROM suspense_log WHERE key = $1 AND rating_group = $2 ORDER BY place";

/// The record at a place.
pub(super) const AT: &str = "SELECT * FROM usage WHERE sequence = $1";

/// The oldest record with an outcome, and how many there are.
pub(super) const AGE: &str = "SELECT *,
         CAST((SELECT COALESCE(SUM(records), 0) FROM usage_counts WHERE outcome = $1) AS BIGINT) AS records
     FROM usage WHERE outcome <> 'rated' AND outcome = $1 ORDER BY sequence LIMIT 1";

/// Rated usage of a cycle and a range of accounts. Sums come in halves, whose sum no
/// engine lets overflow.
pub(super) const TOTALS: &str = "SELECT p.account, p.line, p.plan, p.late_for,
         CAST(SUM(u.counted >> 32) AS BIGINT) AS octets_high, CAST(SUM(u.counted & 4294967295) AS BIGINT) AS octets_low,
         CAST(SUM(u.amount >> 32) AS BIGINT) AS amount_high, CAST(SUM(u.amount & 4294967295) AS BIGINT) AS amount_low,
         COUNT(*) AS records
     FROM usage_parts p JOIN usage_records u ON u.part = p.id
     WHERE p.cycle = $1 AND p.account >= $2 AND p.account <= $3 AND u.counted IS NOT NULL
     GROUP BY p.account, p.line, p.plan, p.late_for ORDER BY p.account, p.line, p.plan, p.late_for";

/// A sum from its halves, at most the largest integer.
pub(super) fn sum(high: i64, low: i64) -> i64 {
    let whole = (i128::from(high) << 32) + i128::from(low);
    i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
}

/// The queries that list a filter's usage, and count it: by its counts, where they tell.
pub(super) fn list_and_count<DB: Database>(filter: &UsageFilter) -> Result<[QueryBuilder<DB>; 2], sqlx::Error>
where
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    let counts = "SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT) FROM usage_counts WHERE TRUE";
    let is_counted = filter.line.is_none() && filter.account.is_none() && filter.subscriber.is_none();
    let count = if is_counted { counts } else { "SELECT COUNT(*) FROM usage WHERE TRUE" };
    let mut queries = [QueryBuilder::new("SELECT * FROM usage WHERE TRUE"), QueryBuilder::new(count)];
    let named = [
        ("line = ", filter.line.as_ref().map(|line| text(line.as_str()))),
        ("account = ", filter.account.as_ref().map(|account| text(account.as_str()))),
        ("cycle = ", filter.cycle.map(|cycle| cycle.to_string())),
        ("source = ", filter.source.map(|source| source.as_str().to_owned())),
        ("subscriber = ", filter.subscriber.as_ref().map(json).transpose()?.map(|s| text(&s))),
    ];
    // Naming what is not wanted beside the wanted lets an engine use the index without
    // rated usage.
    let (fixed, outcome) = match filter.outcome.as_deref() {
        None => ("", None),
        Some("suspense") => (" AND outcome <> 'rated' AND outcome NOT IN ('reconciled', 'recycled', 'dropped')", None),
        Some("rejected") => (" AND outcome <> 'rated' AND outcome NOT IN ('reconciled', 'recycled')", None),
        Some("rated") => (" AND outcome = 'rated'", None),
        Some(other) => ("", Some(text(other))),
    };
    for query in &mut queries {
        for (condition, value) in named.iter().filter_map(|(c, value)| Some((c, value.clone()?))) {
            query.push(" AND ").push(condition).push_bind(value);
        }
        query.push(fixed);
        if let Some(outcome) = outcome.clone() {
            query.push(" AND outcome <> 'rated' AND outcome = ").push_bind(outcome);
        }
    }
    Ok(queries)
}

/// Text as every engine's column takes it: PostgreSQL's has no NUL, and peers may send
/// one. It becomes U+2400, the picture of it; bodies hold it as it came.
fn text(value: &str) -> String {
    value.replace('\0', "\u{2400}")
}

/// What records of one line and plan in one cycle have in common; a text is empty where
/// there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) cycle: String,
    pub(super) account: String,
    pub(super) line: String,
    pub(super) plan: String,
    pub(super) late_for: String,
    pub(super) source: &'static str,
}

impl Part {
    pub(super) fn of(record: &UsageRecord) -> Self {
        let cycle = |cycle: Option<CycleId>| cycle.map(|c| c.to_string()).unwrap_or_default();
        Part {
            cycle: cycle(record.cycle),
            account: record.account.as_ref().map(|a| text(a.as_str())).unwrap_or_default(),
            line: record.line.as_ref().map(|l| text(l.as_str())).unwrap_or_default(),
            plan: record.plan.as_ref().map(|p| text(p.as_str())).unwrap_or_default(),
            late_for: cycle(record.late_for),
            source: record.key.source().as_str(),
        }
    }
}

/// The numbers of parts that were used before. A transaction that is taken back may take
/// parts with it: [`PartCache::forget`].
#[derive(Debug)]
pub(super) struct PartCache {
    known: HashMap<Box<[u8]>, i64, ahash::RandomState>,
    max: usize,
}

/// The numbers of some records' parts; those that the cache does not know are to be
/// looked up.
#[derive(Debug, Default)]
pub(super) struct PartIds {
    /// For each record; 0 while unknown.
    ids: Vec<i64>,
    unknown: BTreeMap<Box<[u8]>, (Part, Vec<usize>)>,
}

impl PartCache {
    /// That keeps so many at most.
    pub(super) fn new(max: usize) -> Self {
        Self { known: HashMap::default(), max: max.max(1) }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The parts of some records, as far as they are known.
    pub(super) fn find(&self, records: &[UsageRecord]) -> PartIds {
        let mut found = PartIds { ids: Vec::with_capacity(records.len()), unknown: BTreeMap::new() };
        let mut key = Vec::with_capacity(128);
        for (at, record) in records.iter().enumerate() {
            key.clear();
            let of = (record.cycle, &record.account, &record.line, &record.plan, record.late_for, record.key.source());
            key = postcard::to_extend(&of, key).expect("plain data, and memory grows");
            found.ids.push(self.known.get(key.as_slice()).copied().unwrap_or_default());
            if found.ids[at] == 0 {
                let unknown = found.unknown.entry(Box::from(key.as_slice()));
                unknown.or_insert_with(|| (Part::of(record), Vec::new())).1.push(at);
            }
        }
        metrics().usage_parts_read.inc_by(found.unknown.len() as u64);
        found
    }

    /// Takes over what was looked up: a number for each of [`PartIds::unknown`], in that order.
    pub(super) fn learn(&mut self, mut found: PartIds, numbers: Vec<i64>) -> Vec<i64> {
        if self.known.len() + numbers.len() > self.max {
            self.forget();
        }
        for ((key, (_, places)), number) in found.unknown.into_iter().zip(numbers) {
            places.into_iter().for_each(|at| found.ids[at] = number);
            if self.known.len() < self.max {
                self.known.insert(key, number);
            }
        }
        found.ids
    }
}

impl PartIds {
    /// What is to be looked up, in the same order for every gateway.
    pub(super) fn unknown(&self) -> Vec<&Part> {
        self.unknown.values().map(|(part, _)| part).collect()
    }
}

/// What nobody searches or sums, as it is kept with a record.
#[derive(Debug, Serialize, Deserialize)]
struct Body<K, A, P, T> {
    key: K,
    rating_group: u32,
    tariff_version: u32,
    apn: A,
    starts: Timestamp,
    ends: Timestamp,
    received: Timestamp,
    octets: u64,
    postings: P,
    subscriber: Option<Identifier>,
    told: T,
    detail: Option<String>,
}

type OwnBody<K> = Body<K, Option<Apn>, Option<Vec<Posting>>, Option<Box<Told>>>;

/// Before a body in postcard. Rows from before it have JSON, which begins with a brace.
const FORMAT: u8 = 1;

/// The body of a record.
pub(super) fn body(record: &UsageRecord) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(FORMAT);
    let body = Body {
        key: &record.key,
        rating_group: record.rating_group,
        tariff_version: record.tariff_version,
        apn: &record.apn,
        starts: record.starts,
        ends: record.ends,
        received: record.received,
        octets: record.octets,
        postings: Some(&record.postings),
        subscriber: record.subscriber.clone(),
        told: &record.told,
        detail: record.detail.clone(),
    };
    postcard::to_extend(&body, bytes).expect("plain data, and memory grows")
}

/// Octets that a bill sums; `None` for what no bill does.
pub(super) fn counted(record: &UsageRecord) -> Option<i64> {
    record.is_billed_usage().then(|| record.octets_counted())
}

/// Key and subscriber as their columns have them, for records of suspense.
pub(super) fn searched(record: &UsageRecord) -> Result<(String, Option<String>), sqlx::Error> {
    let subscriber = record.subscriber.as_ref().map(json).transpose()?;
    Ok((text(&record.key.to_string()), subscriber.map(|s| text(&s))))
}

/// Rows of one chunk in the order in which the index by part takes them best; of one
/// part they stay in theirs.
pub(super) fn by_part<'r>(records: impl Iterator<Item = (&'r UsageRecord, i64)>) -> Vec<(&'r UsageRecord, i64)> {
    let mut rows: Vec<_> = records.filter(|(record, _)| !matches!(record.outcome, UsageOutcome::Suspense(_))).collect();
    rows.sort_by_key(|(_, part)| *part);
    rows
}

/// A record from a row of the view `usage`.
pub(super) fn stored_usage<'r, R>(row: &'r R) -> Result<StoredUsage, sqlx::Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
    Option<&'r str>: Decode<'r, R::Database> + Type<R::Database>,
{
    let sequence: i64 = row.try_get("sequence")?;
    let bytes: &[u8] = row.try_get("body")?;
    let (key, rest) = match bytes.split_first() {
        Some((&FORMAT, bytes)) => {
            let body: OwnBody<RecordKey> = postcard::from_bytes(bytes).map_err(unreadable)?;
            split(body)
        }
        Some((b'{', _)) => {
            let body: OwnBody<String> = serde_json::from_slice(bytes).map_err(unreadable)?;
            let (key, rest) = split(body);
            (record_key(&key)?, rest)
        }
        Some((format, _)) => {
            return Err(unreadable(format!("a record of usage has format {format}, this program reads {FORMAT}")));
        }
        None => return Err(unreadable("a record of usage is empty")),
    };
    let cycle = |column| match row.try_get::<&str, _>(column)? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(unreadable),
    };
    let record = UsageRecord {
        key,
        rating_group: rest.rating_group,
        outcome: outcome(row.try_get("outcome")?, row.try_get("reason")?)?,
        line: maybe(row.try_get("line")?).map(LineId::from),
        account: maybe(row.try_get("account")?).map(AccountId::from),
        cycle: cycle("cycle")?,
        late_for: cycle("late_for")?,
        plan: maybe(row.try_get("plan")?).map(PlanId::from),
        tariff_version: rest.tariff_version,
        apn: rest.apn,
        subscriber: rest.subscriber,
        starts: rest.starts,
        ends: rest.ends,
        received: rest.received,
        octets: rest.octets,
        amount: row.try_get("amount")?,
        postings: rest.postings.unwrap_or_default(),
        crossed: Vec::new(),
        told: rest.told,
        detail: rest.detail,
    };
    Ok(StoredUsage { sequence: u64::try_from(sequence).unwrap_or(0), record })
}

fn maybe(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn split<K>(body: OwnBody<K>) -> (K, OwnBody<()>) {
    let Body {
        key,
        rating_group,
        tariff_version,
        apn,
        starts,
        ends,
        received,
        octets,
        postings,
        subscriber,
        told,
        detail,
    } = body;
    let rest = Body {
        key: (),
        rating_group,
        tariff_version,
        apn,
        starts,
        ends,
        received,
        octets,
        postings,
        subscriber,
        told,
        detail,
    };
    (key, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_make_the_sum_that_no_engine_could_overflow() {
        for (values, expected) in [
            (vec![3, -7], -4),
            (vec![i64::MAX, i64::MAX], i64::MAX),
            (vec![i64::MIN, -1], i64::MIN),
            (vec![1 << 40, -(1 << 33), 5], (1 << 40) - (1 << 33) + 5),
        ] {
            let high = values.iter().map(|v: &i64| v >> 32).sum();
            let low = values.iter().map(|v| v & 0xffff_ffff).sum();
            assert_eq!(sum(high, low), expected, "{values:?}");
        }
    }
}
