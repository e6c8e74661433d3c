//! Rating a cycle again, after its tariff was corrected.
//!
//! Charges depend on their order: tiers, allowances and pools are used up. So the whole
//! cycle of an account is rated again, every record in the order in which it was taken,
//! and the totals are what the corrected tariff would have given from the start. A record
//! whose charge changes by that gets two more: its new rating, and the reversal of the
//! old one. Nothing is edited.
//!
//! The records come from outside the account, which may have counted more since they were
//! read: their sums are held against the account's own, and nothing moves where they
//! differ. Octets, who charges the line, plan and network stay as they were; what a
//! record's source told of these stands in the record.
//!
//! What cannot be rated again exactly is refused: octets that a one-time event gave back,
//! and what has rolled over from or into another cycle. Money that an event moved stays.

use std::collections::HashMap;
use std::sync::Arc;

use super::judge::Usage;
use super::price::{Served, charge};
use super::{knows_key, text_hash};
use crate::domain::account::{Account, AccountLimits, Bucket, BucketMore, CommandAnswer, Commanded};
use crate::domain::cycle::CycleId;
use crate::domain::rating::request::Used;
use crate::domain::tariff::TariffBook;
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, UsageRecord};

/// What is to be rated again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerate {
    /// The request's own id: an account and cycle is rated again once for each.
    pub id: String,
    /// Which cycle.
    pub cycle: CycleId,
    /// The account's records from that cycle on, in the order in which they were drained.
    pub records: Arc<Vec<UsageRecord>>,
    /// The versions of the tariff, corrected.
    pub book: Arc<TariffBook>,
    /// Works out what would change, and changes nothing.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rerated {
    /// Records of the cycle.
    pub records: u64,
    /// Those of them whose charge changes.
    pub changed: u64,
    /// What the cycle's usage cost, minor units.
    pub before: i64,
    /// What it costs.
    pub after: i64,
}

/// Carries it out.
pub(in crate::domain) fn rerate(
    account: &mut Account,
    ask: &Rerate,
    limits: &AccountLimits,
    now: Timestamp,
) -> Commanded {
    let key = text_hash(&format!("rerate/{}/{}", ask.id, ask.cycle));
    if !ask.dry_run && knows_key(account, key, limits, now) {
        return Commanded::unchanged(CommandAnswer::Done);
    }
    let (rerated, buckets, records) = match work_out(account, ask) {
        Ok(worked_out) => worked_out,
        Err(refused) => return Commanded::unchanged(refused),
    };
    let answer = CommandAnswer::Rerated(rerated);
    if ask.dry_run {
        return Commanded::unchanged(answer);
    }
    if account.event_keys.insert(key, now, limits) != crate::domain::account::KeySeen::First {
        let reason = format!("account {}: it remembers as many keys as it may", account.id);
        return Commanded::unchanged(CommandAnswer::Refused(reason));
    }
    account.buckets = buckets;
    Commanded { records, ..Commanded::changed(answer) }
}

fn work_out(account: &Account, ask: &Rerate) -> Result<(Rerated, Vec<Bucket>, Vec<UsageRecord>), CommandAnswer> {
    let refused = |reason: String| CommandAnswer::Refused(format!("account {}: {reason}", account.id));
    let bucket = account.bucket(ask.cycle).ok_or_else(|| {
        refused(format!("it has forgotten {}; the open cycle and the one closed last can be rated again", ask.cycle))
    })?;
    let mut old = in_force(account, ask);
    old.sort_by_key(|record| record.received);
    if !agrees(account, bucket, &old) {
        return Err(CommandAnswer::Outdated);
    }
    if has_rolled(bucket) {
        return Err(refused(format!("what is left of allowances has rolled over, from or into {}", ask.cycle)));
    }
    let mut again = account.clone();
    again.bucket_mut(ask.cycle).unprice();
    let (mut sum, mut records) = (Rerated::default(), Vec::new());
    for record in old {
        let new =
            price_again(&mut again, ask, record).map_err(|why| refused(format!("usage {}: {why}", record.key)))?;
        sum.records += 1;
        sum.before += record.amount;
        sum.after += new.amount;
        if (new.amount, &new.postings) != (record.amount, &record.postings) {
            sum.changed += 1;
            let billed = billed(account, ask.cycle, record);
            let base = base(&record.key);
            records.push(
                UsageRecord { key: RecordKey::Rerated(Box::new(base.clone()), ask.id.clone()), ..new }.billed(billed),
            );
            records.push(reversal(record, RecordKey::Reversed(Box::new(base.clone()), ask.id.clone())).billed(billed));
        }
    }
    Ok((sum, again.buckets, records))
}

/// The rating of each record that holds at the moment: the one that came last.
fn in_force<'r>(account: &Account, ask: &'r Rerate) -> Vec<&'r UsageRecord> {
    let mut places: HashMap<(&RecordKey, u32), usize> = HashMap::new();
    let mut old: Vec<&UsageRecord> = Vec::new();
    for record in ask.records.iter().filter(|r| r.is_billed_usage() && counts_in(account, ask.cycle, r)) {
        if let RecordKey::Reversed(..) = record.key {
            continue;
        }
        let place = *places.entry((base(&record.key), record.rating_group)).or_insert(old.len());
        match old.get_mut(place) {
            Some(before) => *before = record,
            None => old.push(record),
        }
    }
    old
}

/// Whether a record was counted in the bucket of `cycle`. Late usage is where its own
/// cycle is still kept, and in the open one where it is not.
fn counts_in(account: &Account, cycle: CycleId, record: &UsageRecord) -> bool {
    match record.late_for {
        Some(late) if account.bucket(late).is_some() => late == cycle,
        Some(_) | None => record.cycle == Some(cycle),
    }
}

/// Whether the records are all that the account has counted.
fn agrees(account: &Account, bucket: &Bucket, records: &[&UsageRecord]) -> bool {
    let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
    for record in records {
        let line = record.line.as_ref().map_or("", |line| line.as_str());
        let (octets, amount) = sums.entry(line).or_default();
        *octets = octets.saturating_add(record.octets_counted());
        *amount = amount.saturating_add(record.amount);
    }
    let all_there = bucket.totals.iter().all(|total| {
        let line = account.line_by_no(total.line).map_or("", |line| line.id.as_str());
        let (octets, amount) = sums.remove(line).unwrap_or_default();
        u64::try_from(octets) == Ok(total.octets) && amount == total.amount
    });
    all_there && sums.is_empty()
}

fn has_rolled(bucket: &Bucket) -> bool {
    let carried = |pots: &[crate::domain::account::Pot]| pots.iter().any(|pot| pot.carried > 0);
    let into = bucket.totals.iter().filter_map(|total| total.more.as_ref()).any(|more| carried(&more.pots));
    let pooled = |more: &BucketMore| more.pools.iter().any(|pool| pool.pot.carried > 0);
    into || bucket.more.as_ref().is_some_and(|more| more.rolls_through.is_some() || pooled(more))
}

fn price_again(account: &mut Account, ask: &Rerate, record: &UsageRecord) -> Result<UsageRecord, String> {
    let line = record.line.as_ref().and_then(|id| account.line(id)).map(|line| line.no);
    let no = line.ok_or_else(|| "its line is not the account's any more".to_owned())?;
    if record.octets == 0 {
        let total = account.bucket_mut(ask.cycle).total_mut(no);
        total.amount = total.amount.saturating_add(record.amount);
        return Ok(record.clone());
    }
    if record.octets_counted() < 0 {
        return Err("it gave octets back, and what they had cost depends on what came before".to_owned());
    }
    let tariff = ask.book.at(record.ends);
    let plan = record.plan.as_ref().ok_or_else(|| "it has no plan".to_owned())?;
    let prices = tariff.plan(plan).and_then(|plan| plan.usage.as_ref());
    let prices = prices.ok_or_else(|| format!("plan {plan} has no usage price in version {}", tariff.version))?;
    let told = record.told.as_deref();
    let usage = Usage {
        key: record.key.clone(),
        rating_group: record.rating_group,
        used: told.map_or_else(|| Used::octets(record.octets).volumes(), |told| told.used),
        octets: record.octets,
        unpriced: None,
        starts: record.starts,
        ends: record.ends,
    };
    let served = Served { apn: record.apn.as_ref(), network: told.and_then(|told| told.network) };
    let priced = charge(account, ask.cycle, no, prices, tariff, &usage, served)
        .map_err(|reason| format!("version {} cannot price it: {}", tariff.version, reason.as_str()))?;
    Ok(UsageRecord {
        amount: priced.amount,
        postings: priced.postings,
        tariff_version: tariff.version,
        crossed: Vec::new(),
        ..record.clone()
    })
}

/// On which bill a correction goes, and what it is late for there.
fn billed(account: &Account, cycle: CycleId, record: &UsageRecord) -> (Option<CycleId>, Option<CycleId>) {
    if cycle <= account.closed_through {
        return (Some(account.cycle), Some(record.late_for.unwrap_or(cycle)));
    }
    (record.cycle, record.late_for)
}

fn reversal(record: &UsageRecord, key: RecordKey) -> UsageRecord {
    let mut back = UsageRecord { key, amount: -record.amount, crossed: Vec::new(), ..record.clone() };
    back.postings.iter_mut().for_each(|posting| posting.amount = -posting.amount);
    back
}

fn base(key: &RecordKey) -> &RecordKey {
    match key {
        RecordKey::Rerated(base, _) | RecordKey::Reversed(base, _) => base,
        own => own,
    }
}

impl UsageRecord {
    fn billed(self, (cycle, late_for): (Option<CycleId>, Option<CycleId>)) -> Self {
        UsageRecord { cycle, late_for, ..self }
    }
}
