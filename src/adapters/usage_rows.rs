//! A usage record as both relational engines keep it.
//!
//! What is searched or summed stands in columns; what many records have in common
//! (cycle, account, line, plan, cycle of late usage, source) stands once, in a row of
//! `usage_parts`; everything else is one value, `body`, whose bytes come from the hot log
//! as they are ([`Logged`]). Reads go through the view `usage`, which puts the three
//! together, with SQL that both engines understand.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use sqlx::{ColumnIndex, Database, Decode, Encode, QueryBuilder, Row, Type};

use super::columns::{json, outcome, record_key, unreadable};
use crate::domain::compact::Damaged;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, Apn, LineId, PlanId};
use crate::domain::ledger::Posting;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, Logged, Records, Told, UsageOutcome, UsageRecord};
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
    fn of(record: &Logged<'_>) -> Result<Self, Damaged> {
        let shared = record.shared()?;
        let text = |part: Option<&str>| part.map(text).unwrap_or_default();
        Ok(Part {
            cycle: cycle_text(shared.cycle),
            account: text(shared.account()?),
            line: text(shared.line()?),
            plan: text(shared.plan()?),
            late_for: cycle_text(shared.late_for),
            source: shared.source.as_str(),
        })
    }
}

fn cycle_text(cycle: Option<CycleId>) -> String {
    cycle.map(|cycle| cycle.to_string()).unwrap_or_default()
}

/// The numbers of parts that were used before. A transaction that is taken back may take
/// parts with it: [`PartCache::forget`].
#[derive(Debug)]
pub(super) struct PartCache {
    known: HashMap<Box<[u8]>, i64, ahash::RandomState>,
    max: usize,
    /// Whether most of what was not known here was in the store when it was last asked.
    pub(super) are_stored: bool,
}

/// The numbers of some records' parts; those that the cache does not know are to be
/// looked up.
#[derive(Debug)]
pub(super) struct PartIds<'r> {
    /// For each record; below zero the number of a part that is unknown.
    ids: Vec<i64>,
    /// By the bytes that records have for them, which an index takes best.
    unknown: Vec<Unknown<'r>>,
}

#[derive(Debug)]
struct Unknown<'r> {
    shared: &'r [u8],
    part: Part,
    /// Until it has a better one: -1, -2, -3, …
    number: i64,
}

impl PartCache {
    /// That keeps so many at most.
    pub(super) fn new(max: usize) -> Self {
        Self { known: HashMap::default(), max: max.max(1), are_stored: false }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The parts of some records, as far as they are known.
    pub(super) fn find<'r>(&self, records: &[Logged<'r>]) -> Result<PartIds<'r>, sqlx::Error> {
        let mut found = PartIds { ids: Vec::with_capacity(records.len()), unknown: Vec::new() };
        let mut places: HashMap<&[u8], i64, ahash::RandomState> = HashMap::default();
        for record in records {
            let id = match self.known.get(record.shared) {
                Some(id) => *id,
                None => match places.entry(record.shared) {
                    Entry::Occupied(place) => *place.get(),
                    Entry::Vacant(place) => {
                        let number = *place.insert(-1 - found.unknown.len() as i64);
                        let part = Part::of(record).map_err(unreadable)?;
                        found.unknown.push(Unknown { shared: record.shared, part, number });
                        number
                    }
                },
            };
            found.ids.push(id);
        }
        found.unknown.sort_unstable_by_key(|unknown| unknown.shared);
        metrics().usage_parts_read.inc_by(found.unknown.len() as u64);
        Ok(found)
    }

    /// Takes over what was looked up: a number for each of [`PartIds::unknown`], in that order.
    pub(super) fn learn(&mut self, mut found: PartIds<'_>, numbers: &[i64]) -> Vec<i64> {
        if self.known.len() + numbers.len() > self.max {
            self.forget();
        }
        let mut learnt = vec![0; numbers.len()];
        for (unknown, number) in found.unknown.iter().zip(numbers) {
            learnt[unknown.number.unsigned_abs() as usize - 1] = *number;
            if self.known.len() < self.max {
                self.known.insert(Box::from(unknown.shared), *number);
            }
        }
        for id in found.ids.iter_mut().filter(|id| **id < 0) {
            *id = learnt[id.unsigned_abs() as usize - 1];
        }
        found.ids
    }
}

impl PartIds<'_> {
    /// What is to be looked up, each once.
    pub(super) fn unknown(&self) -> impl ExactSizeIterator<Item = &Part> {
        self.unknown.iter().map(|unknown| &unknown.part)
    }
}

/// What a log held, taken apart.
pub(super) fn logged(records: &Records) -> Result<Vec<Logged<'_>>, sqlx::Error> {
    records.taken_apart().map_err(unreadable)
}

/// Octets that a bill sums; `None` for what no bill does.
pub(super) fn counted(record: &Logged<'_>) -> Option<i64> {
    record.is_billed_usage().then_some(record.octets_counted)
}

/// What has columns of its own for records of suspense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Searched {
    pub(super) key: String,
    pub(super) rating_group: u32,
    pub(super) subscriber: Option<String>,
}

impl Searched {
    /// Of a record of suspense.
    pub(super) fn of(record: &UsageRecord) -> Result<Self, sqlx::Error> {
        let subscriber = record.subscriber.as_ref().map(json).transpose()?;
        Ok(Self {
            key: text(&record.key.to_string()),
            rating_group: record.rating_group,
            subscriber: subscriber.map(|s| text(&s)),
        })
    }
}

/// Rows of one transaction in the order in which the index by part takes them best; of one
/// part they stay in theirs.
pub(super) fn by_part<'r, 'b>(records: impl Iterator<Item = (&'r Logged<'b>, i64)>) -> Vec<(&'r Logged<'b>, i64)> {
    let mut rows: Vec<_> = records.filter(|(record, _)| !matches!(record.outcome, UsageOutcome::Suspense(_))).collect();
    rows.sort_by_key(|(_, part)| *part);
    rows
}

/// Records counted by cycle, source and outcome, in that order; the cycle is empty where a
/// record has none.
pub(super) fn usage_counts(records: &[&Logged<'_>]) -> BTreeMap<(String, &'static str, &'static str), u64> {
    let of = |record: &Logged<'_>| (record.cycle, record.source, record.outcome);
    let mut counts = BTreeMap::new();
    // Nearly all are alike.
    for alike in records.chunk_by(|one, next| of(one) == of(next)) {
        let (cycle, source, outcome) = of(alike[0]);
        *counts.entry((cycle_text(cycle), source.as_str(), outcome.as_str())).or_default() += alike.len() as u64;
    }
    counts
}

/// The body of a row from before its format was ours: JSON, which begins with a brace.
#[derive(Debug, Deserialize)]
struct JsonBody {
    key: String,
    rating_group: u32,
    tariff_version: u32,
    apn: Option<Apn>,
    starts: Timestamp,
    ends: Timestamp,
    received: Timestamp,
    octets: u64,
    postings: Option<Vec<Posting>>,
    subscriber: Option<Identifier>,
    told: Option<Box<Told>>,
    detail: Option<String>,
}

impl JsonBody {
    fn read(bytes: &[u8], amount: i64) -> Result<UsageRecord, sqlx::Error> {
        let body: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        Ok(UsageRecord {
            key: record_key(&body.key)?,
            rating_group: body.rating_group,
            outcome: UsageOutcome::Rated,
            line: None,
            account: None,
            cycle: None,
            late_for: None,
            plan: None,
            tariff_version: body.tariff_version,
            apn: body.apn,
            subscriber: body.subscriber,
            starts: body.starts,
            ends: body.ends,
            received: body.received,
            octets: body.octets,
            amount,
            postings: body.postings.unwrap_or_default(),
            crossed: Vec::new(),
            told: body.told,
            detail: body.detail,
        })
    }
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
    let rest = match bytes.first() {
        Some(b'{') => JsonBody::read(bytes, row.try_get("amount")?)?,
        _ => UsageRecord::decode_body(bytes).map_err(unreadable)?,
    };
    let cycle = |column| match row.try_get::<&str, _>(column)? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(unreadable),
    };
    let record = UsageRecord {
        outcome: outcome(row.try_get("outcome")?, row.try_get("reason")?)?,
        line: maybe(row.try_get("line")?).map(LineId::from),
        account: maybe(row.try_get("account")?).map(AccountId::from),
        cycle: cycle("cycle")?,
        late_for: cycle("late_for")?,
        plan: maybe(row.try_get("plan")?).map(PlanId::from),
        ..rest
    };
    Ok(StoredUsage { sequence: u64::try_from(sequence).unwrap_or(0), record })
}

fn maybe(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
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
