//! A record of usage as bytes, for the hot log and for the relational store.
//!
//! The shard writes a record once. The drain takes it apart without reading it, and the
//! relational store keeps the last piece as it is:
//!
//! | piece | what | who reads it |
//! |---|---|---|
//! | length | of the pieces behind it: 4 bytes, little-endian | the drain |
//! | shared | what many records have in common: source, cycle, account, line, plan, late cycle | by its bytes the drain finds their number |
//! | outcome | one byte; then, for few, the thresholds crossed | the drain |
//! | body | format, octets and amount, which bills sum, then everything else | whoever reads the record |
//!
//! Numbers are as short as they are, times stand as the way from the end of the usage, a
//! posting of the record's octets or amount is one byte, and what is not there takes a bit.

#[cfg(test)]
mod tests;

use super::{Crossing, RecordKey, SuspenseReason, Told, UsageOutcome, UsageRecord, UsageSource};
use crate::domain::compact::{Damaged, Reader, Writer, bits, cycle_of, damaged};
use crate::domain::cycle::CycleId;
use crate::domain::ledger::{LedgerSide, Posting, Unit};
use crate::domain::network::Plmn;
use crate::domain::rating::request::{Octets, Volume};
use crate::domain::tariff::ThresholdAction;
use crate::domain::time::Timestamp;

/// Format of a body, and with it of the pieces before it.
const FORMAT: u8 = 2;

/// What nearly every record fits into, bytes.
const ROOM: usize = 256;

/// How often a key may be rated again; it is written once for each time.
const KEY_DEPTH_MAX: usize = 1000;

const SOURCES: [UsageSource; 5] =
    [UsageSource::Gy, UsageSource::Rf, UsageSource::Modem, UsageSource::File, UsageSource::TopUp];

const ACTIONS: [ThresholdAction; 3] = [ThresholdAction::Notify, ThresholdAction::Throttle, ThresholdAction::Suspend];

const SIDES: [LedgerSide; 9] = [
    LedgerSide::Network,
    LedgerSide::Allowance,
    LedgerSide::Charged,
    LedgerSide::Unbilled,
    LedgerSide::Receivable,
    LedgerSide::Revenue,
    LedgerSide::Tax,
    LedgerSide::TopUp,
    LedgerSide::Credit,
];

mod shared_has {
    pub(super) const CYCLE: u8 = 1;
    pub(super) const ACCOUNT: u8 = 2;
    pub(super) const LINE: u8 = 4;
    pub(super) const LINE_AS_ACCOUNT: u8 = 8;
    pub(super) const PLAN: u8 = 16;
    pub(super) const LATE: u8 = 32;
}

/// An outcome is its kind, with the place of its reason in the lowest bits.
mod outcome_is {
    pub(super) const RATED: u8 = 0;
    pub(super) const RECONCILED: u8 = 0x10;
    pub(super) const SUSPENSE: u8 = 0x20;
    pub(super) const RECYCLED: u8 = 0x30;
    pub(super) const DROPPED: u8 = 0x40;
    /// Beside any of them: thresholds follow.
    pub(super) const WITH_CROSSED: u8 = 0x80;
}

mod body_has {
    /// Octets were taken off the cycle's total.
    pub(super) const GIVEN_BACK: u8 = 1;
    pub(super) const APN: u8 = 2;
    pub(super) const SUBSCRIBER: u8 = 4;
    pub(super) const TOLD: u8 = 8;
    pub(super) const DETAIL: u8 = 16;
}

mod key_is {
    pub(super) const GY: u8 = 0;
    pub(super) const RF: u8 = 1;
    pub(super) const MODEM: u8 = 2;
    pub(super) const FILE: u8 = 3;
    pub(super) const TOP_UP: u8 = 4;
    pub(super) const PART: u8 = 5;
    pub(super) const RERATED: u8 = 6;
    pub(super) const REVERSED: u8 = 7;
}

/// A posting is a side, a bit for the unit, and what its amount is.
mod posting_is {
    pub(super) const SIDE: u8 = 0x0f;
    pub(super) const MINOR: u8 = 0x10;
    pub(super) const AMOUNT: u8 = 0xe0;
    /// It follows.
    pub(super) const GIVEN: u8 = 0x00;
    pub(super) const OCTETS: u8 = 0x20;
    pub(super) const OCTETS_NEGATIVE: u8 = 0x40;
    pub(super) const COST: u8 = 0x60;
    pub(super) const COST_NEGATIVE: u8 = 0x80;
}

mod told_has {
    pub(super) const NETWORK: u8 = 1;
    /// A tariff change splits the octets.
    pub(super) const SPLIT: u8 = 2;
}

/// Records in the form of the hot log, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
    count: usize,
}

impl Records {
    /// What [`UsageRecord::encode`] wrote so many times.
    pub fn new(bytes: Vec<u8>, count: usize) -> Self {
        Self { bytes, count }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts others behind them.
    pub fn append(&mut self, others: &Records) {
        self.bytes.extend_from_slice(&others.bytes);
        self.count += others.count;
    }

    /// All of them, taken apart.
    ///
    /// # Errors
    /// Where one is damaged or has another format, which is named, and where there are more
    /// or fewer than was said.
    pub fn taken_apart(&self) -> Result<Vec<Logged<'_>>, Damaged> {
        let mut logged = Vec::with_capacity(self.count.min(self.bytes.len()));
        for record in self.iter() {
            logged.push(record?);
        }
        if logged.len() == self.count {
            Ok(logged)
        } else {
            Err(damaged(format!("{} records of usage where {} were written", logged.len(), self.count)))
        }
    }

    /// Each of them, taken apart; ends behind the first that is damaged.
    pub fn iter(&self) -> impl Iterator<Item = Result<Logged<'_>, Damaged>> {
        let mut left = Reader(&self.bytes);
        std::iter::from_fn(move || {
            let next = (!left.0.is_empty()).then(|| Logged::take(&mut left));
            if let Some(Err(_)) = next {
                left.0 = &[];
            }
            next
        })
    }

    /// Each of them, read.
    ///
    /// # Errors
    /// As [`Records::taken_apart`].
    pub fn decode(&self) -> Result<Vec<UsageRecord>, Damaged> {
        self.taken_apart()?.iter().map(Logged::decode).collect()
    }
}

impl From<Vec<UsageRecord>> for Records {
    fn from(records: Vec<UsageRecord>) -> Self {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(&mut bytes));
        Self { bytes, count: records.len() }
    }
}

/// A record of the hot log, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged<'a> {
    /// What it has in common with others: the same bytes where that is the same.
    pub shared: &'a [u8],
    /// Where it came from.
    pub source: UsageSource,
    /// The cycle that it is billed in.
    pub cycle: Option<CycleId>,
    /// What became of it.
    pub outcome: UsageOutcome,
    /// Octets that it added to its cycle's total, as [`UsageRecord::octets_counted`].
    pub octets_counted: i64,
    /// What they cost, minor units.
    pub amount: i64,
    /// What the relational store keeps of it as it is: [`UsageRecord::decode_body`].
    pub body: &'a [u8],
    crossed: Option<&'a [u8]>,
}

impl<'a> Logged<'a> {
    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        let length = u32::from_le_bytes(from.array()?);
        let record = from.take(length as usize)?;
        let mut input = Reader(record);
        let Shared { source, cycle, .. } = Shared::take(&mut input)?;
        let shared = &record[..record.len() - input.0.len()];
        let kind = input.byte()?;
        let crossed = if kind & outcome_is::WITH_CROSSED == 0 { None } else { Some(input.bytes()?) };
        let body = input.0;
        let (_, octets_counted, amount) = sums(&mut Reader(body))?;
        let outcome = outcome_of(kind & !outcome_is::WITH_CROSSED)?;
        Ok(Self { shared, source, cycle, outcome, octets_counted, amount, body, crossed })
    }

    /// Whether it was the first to reach a threshold.
    pub fn has_crossed(&self) -> bool {
        self.crossed.is_some()
    }

    /// Whether a bill sums it, as [`UsageRecord::is_billed_usage`].
    pub fn is_billed_usage(&self) -> bool {
        self.outcome == UsageOutcome::Rated && self.source != UsageSource::TopUp
    }

    /// What it has in common with others.
    pub fn shared(&self) -> Result<Shared<'a>, Damaged> {
        Shared::take(&mut Reader(self.shared))
    }

    /// Its key and rating group.
    pub fn key(&self) -> Result<(RecordKey, u32), Damaged> {
        let mut input = Reader(self.body);
        sums(&mut input)?;
        Ok((key(&mut input)?, input.word()?))
    }

    /// The whole record.
    pub fn decode(&self) -> Result<UsageRecord, Damaged> {
        let shared = self.shared()?;
        Ok(UsageRecord {
            outcome: self.outcome,
            line: text(shared.line)?.map(Into::into),
            account: text(shared.account)?.map(Into::into),
            cycle: shared.cycle,
            late_for: shared.late_for,
            plan: text(shared.plan)?.map(Into::into),
            crossed: self.crossed.map_or(Ok(Vec::new()), crossings)?,
            ..UsageRecord::decode_body(self.body)?
        })
    }
}

/// What many records have in common; texts as they came, without a look at their letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared<'a> {
    /// Where they came from.
    pub source: UsageSource,
    /// The cycle that they are billed in.
    pub cycle: Option<CycleId>,
    /// The cycle of their own time, where that was closed already.
    pub late_for: Option<CycleId>,
    account: Option<&'a [u8]>,
    line: Option<&'a [u8]>,
    plan: Option<&'a [u8]>,
}

impl<'a> Shared<'a> {
    fn take(input: &mut Reader<'a>) -> Result<Self, Damaged> {
        use shared_has::{ACCOUNT, CYCLE, LATE, LINE, LINE_AS_ACCOUNT, PLAN};
        let has = input.byte()?;
        let source = *SOURCES.get(usize::from(input.byte()?)).ok_or_else(|| damaged("usage of no known source"))?;
        let cycle =
            |input: &mut Reader<'a>, bit| if has & bit == 0 { Ok(None) } else { cycle_of(input.signed()?).map(Some) };
        let bytes = |input: &mut Reader<'a>, bit| if has & bit == 0 { Ok(None) } else { input.bytes().map(Some) };
        let (cycle_billed, late_for) = (cycle(input, CYCLE)?, cycle(input, LATE)?);
        let account = bytes(input, ACCOUNT)?;
        let line = if has & LINE_AS_ACCOUNT == 0 { bytes(input, LINE)? } else { account };
        Ok(Self { source, cycle: cycle_billed, late_for, account, line, plan: bytes(input, PLAN)? })
    }

    /// The charging account.
    pub fn account(&self) -> Result<Option<&'a str>, Damaged> {
        text(self.account)
    }

    /// The line.
    pub fn line(&self) -> Result<Option<&'a str>, Damaged> {
        text(self.line)
    }

    /// The plan that priced them.
    pub fn plan(&self) -> Result<Option<&'a str>, Damaged> {
        text(self.plan)
    }
}

impl UsageRecord {
    /// Appends the record in the form of the hot log.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(ROOM);
        let begin = buffer.len();
        buffer.extend_from_slice(&[0; 4]);
        let mut out = Writer(buffer);
        self.put_shared(&mut out);
        self.put_outcome(&mut out);
        self.put_body(&mut out);
        let length = u32::try_from(buffer.len() - begin - 4).expect("one record stays under 4 GiB");
        buffer[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// The record's body, for who edits what a relational store has.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ROOM);
        self.put_body(&mut Writer(&mut bytes));
        bytes
    }

    /// A record from its body; what stands beside bodies is empty in it, and it is rated.
    ///
    /// # Errors
    /// Where it is damaged or has another format, which is named.
    pub fn decode_body(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = Reader(bytes);
        let (has, octets_counted, amount) = sums(&mut input)?;
        let octets = octets_counted.unsigned_abs();
        let (key, rating_group, tariff_version) = (key(&mut input)?, input.word()?, input.word()?);
        // Larger ones than bills can sum stand once more.
        let octets = if octets == i64::MAX as u64 { input.number()? } else { octets };
        let ends = input.signed()?;
        let starts = ends.wrapping_sub(input.signed()?);
        let received = ends.wrapping_add(input.signed()?);
        let postings = postings(&mut input, octets_counted, amount)?;
        let if_has = |bit| (has & bit != 0).then_some(());
        let record = Self {
            key,
            rating_group,
            outcome: UsageOutcome::Rated,
            line: None,
            account: None,
            cycle: None,
            late_for: None,
            plan: None,
            tariff_version,
            apn: if_has(body_has::APN).map(|()| input.text()).transpose()?.map(Into::into),
            subscriber: if_has(body_has::SUBSCRIBER).map(|()| input.identifier()).transpose()?,
            starts: Timestamp(starts),
            ends: Timestamp(ends),
            received: Timestamp(received),
            octets,
            amount,
            postings,
            crossed: Vec::new(),
            told: if_has(body_has::TOLD).map(|()| told(&mut input)).transpose()?,
            detail: if_has(body_has::DETAIL).map(|()| input.text()).transpose()?.map(Into::into),
        };
        if input.0.is_empty() { Ok(record) } else { Err(damaged("more than a record of usage")) }
    }

    fn put_shared(&self, out: &mut Writer<'_>) {
        use shared_has::{ACCOUNT, CYCLE, LATE, LINE, LINE_AS_ACCOUNT, PLAN};
        let account = self.account.as_ref().map(|account| account.as_str());
        let line = self.line.as_ref().map(|line| line.as_str());
        let of_line = match line {
            None => 0,
            line if line == account => LINE_AS_ACCOUNT,
            Some(_) => LINE,
        };
        let has = bits([
            (CYCLE, self.cycle.is_some()),
            (ACCOUNT, account.is_some()),
            (PLAN, self.plan.is_some()),
            (LATE, self.late_for.is_some()),
        ]);
        out.byte(has | of_line);
        out.byte(self.key.source() as u8);
        for cycle in [self.cycle, self.late_for].into_iter().flatten() {
            out.signed(cycle.months());
        }
        let own_line = line.filter(|_| of_line == LINE);
        for text in [account, own_line, self.plan.as_ref().map(|plan| plan.as_str())].into_iter().flatten() {
            out.text(text);
        }
    }

    fn put_outcome(&self, out: &mut Writer<'_>) {
        let kind = match self.outcome {
            UsageOutcome::Rated => outcome_is::RATED,
            UsageOutcome::Reconciled => outcome_is::RECONCILED,
            UsageOutcome::Suspense(reason) => outcome_is::SUSPENSE | reason as u8,
            UsageOutcome::Recycled(reason) => outcome_is::RECYCLED | reason as u8,
            UsageOutcome::Dropped(reason) => outcome_is::DROPPED | reason as u8,
        };
        if self.crossed.is_empty() {
            return out.byte(kind);
        }
        out.byte(kind | outcome_is::WITH_CROSSED);
        let mut crossed = Vec::new();
        for Crossing { threshold, action } in &self.crossed {
            let mut one = Writer(&mut crossed);
            one.text(threshold);
            one.byte(*action as u8);
        }
        out.bytes(&crossed);
    }

    fn put_body(&self, out: &mut Writer<'_>) {
        use body_has::{APN, DETAIL, GIVEN_BACK, SUBSCRIBER, TOLD};
        let counted = self.octets_counted();
        out.byte(FORMAT);
        out.byte(bits([
            (GIVEN_BACK, counted < 0),
            (APN, self.apn.is_some()),
            (SUBSCRIBER, self.subscriber.is_some()),
            (TOLD, self.told.is_some()),
            (DETAIL, self.detail.is_some()),
        ]));
        out.number(counted.unsigned_abs());
        out.signed(self.amount);
        put_key(out, &self.key);
        out.number(u64::from(self.rating_group));
        out.number(u64::from(self.tariff_version));
        if counted.unsigned_abs() == i64::MAX as u64 {
            out.number(self.octets);
        }
        let ends = self.ends.millis();
        out.signed(ends);
        out.signed(ends.wrapping_sub(self.starts.millis()));
        out.signed(self.received.millis().wrapping_sub(ends));
        put_postings(out, &self.postings, counted, self.amount);
        if let Some(apn) = &self.apn {
            out.text(apn.as_str());
        }
        if let Some(subscriber) = &self.subscriber {
            out.identifier(subscriber);
        }
        if let Some(told) = &self.told {
            put_told(out, told);
        }
        if let Some(detail) = &self.detail {
            out.text(detail);
        }
    }
}

/// The front of a body: what it has, the octets that it added to its cycle, and its amount.
fn sums(input: &mut Reader<'_>) -> Result<(u8, i64, i64), Damaged> {
    let format = input.byte()?;
    if format != FORMAT {
        return Err(damaged(format!("a record of usage has format {format}, this program reads {FORMAT}")));
    }
    let has = input.byte()?;
    let octets = input.number()?;
    let octets = i64::try_from(octets).map_err(|_| damaged(format!("{octets} octets counted")))?;
    Ok((has, if has & body_has::GIVEN_BACK == 0 { octets } else { -octets }, input.signed()?))
}

fn outcome_of(kind: u8) -> Result<UsageOutcome, Damaged> {
    let reason = || SuspenseReason::ALL.get(usize::from(kind & 0x0f)).copied();
    let outcome = match kind & 0xf0 {
        outcome_is::RATED => Some(UsageOutcome::Rated),
        outcome_is::RECONCILED => Some(UsageOutcome::Reconciled),
        outcome_is::SUSPENSE => reason().map(UsageOutcome::Suspense),
        outcome_is::RECYCLED => reason().map(UsageOutcome::Recycled),
        outcome_is::DROPPED => reason().map(UsageOutcome::Dropped),
        _ => None,
    };
    outcome.ok_or_else(|| damaged(format!("an outcome of usage of kind {kind}")))
}

fn crossings(bytes: &[u8]) -> Result<Vec<Crossing>, Damaged> {
    let (mut input, mut crossed) = (Reader(bytes), Vec::new());
    while !input.0.is_empty() {
        let threshold = input.text()?.to_owned();
        let action = ACTIONS.get(usize::from(input.byte()?)).ok_or_else(|| damaged("an action of no known kind"))?;
        crossed.push(Crossing { threshold, action: *action });
    }
    Ok(crossed)
}

fn text(bytes: Option<&[u8]>) -> Result<Option<&str>, Damaged> {
    bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|e| damaged(e.to_string()))).transpose()
}

/// Outermost first.
fn put_key(out: &mut Writer<'_>, mut key: &RecordKey) {
    loop {
        match key {
            RecordKey::Part(whole, place) => {
                out.byte(key_is::PART);
                out.number(u64::from(*place));
                key = whole;
            }
            RecordKey::Rerated(whole, id) | RecordKey::Reversed(whole, id) => {
                let is_rerated = matches!(key, RecordKey::Rerated(..));
                out.byte(if is_rerated { key_is::RERATED } else { key_is::REVERSED });
                out.text(id);
                key = whole;
            }
            RecordKey::Gy(session, number) | RecordKey::Rf(session, number) => {
                out.byte(if matches!(key, RecordKey::Gy(..)) { key_is::GY } else { key_is::RF });
                out.text(session.as_str());
                return out.number(u64::from(*number));
            }
            RecordKey::Modem(device, epoch, boot, sequence) => {
                out.byte(key_is::MODEM);
                out.text(device.as_str());
                out.number(u64::from(*epoch));
                out.number(u64::from(*boot));
                return out.number(*sequence);
            }
            RecordKey::File(id) | RecordKey::TopUp(id) => {
                out.byte(if matches!(key, RecordKey::File(_)) { key_is::FILE } else { key_is::TOP_UP });
                return out.text(id);
            }
        }
    }
}

fn key(input: &mut Reader<'_>) -> Result<RecordKey, Damaged> {
    enum Around {
        Part(u16),
        Rerated(String),
        Reversed(String),
    }
    let mut around = Vec::new();
    let innermost = loop {
        match input.byte()? {
            key_is::GY => break RecordKey::Gy(input.text()?.into(), input.word()?),
            key_is::RF => break RecordKey::Rf(input.text()?.into(), input.word()?),
            key_is::MODEM => {
                break RecordKey::Modem(input.text()?.into(), input.word()?, input.word()?, input.number()?);
            }
            key_is::FILE => break RecordKey::File(input.text()?.to_owned()),
            key_is::TOP_UP => break RecordKey::TopUp(input.text()?.to_owned()),
            _ if around.len() == KEY_DEPTH_MAX => return Err(damaged("a record's key has no end")),
            key_is::PART => around.push(Around::Part(input.short()?)),
            key_is::RERATED => around.push(Around::Rerated(input.text()?.to_owned())),
            key_is::REVERSED => around.push(Around::Reversed(input.text()?.to_owned())),
            kind => return Err(damaged(format!("a record's key of kind {kind}"))),
        }
    };
    Ok(around.into_iter().rev().fold(innermost, |key, around| match around {
        Around::Part(place) => RecordKey::Part(Box::new(key), place),
        Around::Rerated(id) => RecordKey::Rerated(Box::new(key), id),
        Around::Reversed(id) => RecordKey::Reversed(Box::new(key), id),
    }))
}

fn put_postings(out: &mut Writer<'_>, postings: &[Posting], octets: i64, cost: i64) {
    use posting_is::{COST, COST_NEGATIVE, GIVEN, MINOR, OCTETS, OCTETS_NEGATIVE};
    out.number(postings.len() as u64);
    for &Posting { side, unit, amount } in postings {
        let what = match unit {
            Unit::Octets if amount == octets => OCTETS,
            Unit::Octets if amount == -octets => OCTETS_NEGATIVE,
            Unit::Minor if amount == cost => COST,
            Unit::Minor if amount == cost.wrapping_neg() => COST_NEGATIVE,
            _ => GIVEN,
        };
        out.byte(side as u8 | if unit == Unit::Minor { MINOR } else { 0 } | what);
        if what == GIVEN {
            out.signed(amount);
        }
    }
}

fn postings(input: &mut Reader<'_>, octets: i64, cost: i64) -> Result<Vec<Posting>, Damaged> {
    use posting_is::{AMOUNT, COST, COST_NEGATIVE, GIVEN, MINOR, OCTETS, OCTETS_NEGATIVE, SIDE};
    let count = input.count()?;
    let mut postings = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = input.byte()?;
        let side = SIDES.get(usize::from(kind & SIDE)).ok_or_else(|| damaged("a posting to no known side"))?;
        let amount = match kind & AMOUNT {
            GIVEN => input.signed()?,
            OCTETS => octets,
            OCTETS_NEGATIVE => -octets,
            COST => cost,
            COST_NEGATIVE => cost.wrapping_neg(),
            _ => return Err(damaged("a posting of no known kind")),
        };
        let unit = if kind & MINOR == 0 { Unit::Octets } else { Unit::Minor };
        postings.push(Posting { side: *side, unit, amount });
    }
    Ok(postings)
}

fn put_told(out: &mut Writer<'_>, told: &Told) {
    let Octets { whole, before, after } = told.used;
    let is_split = (before, after) != (Volume::default(), Volume::default());
    out.byte(bits([(told_has::NETWORK, told.network.is_some()), (told_has::SPLIT, is_split)]));
    if let Some(network) = told.network {
        out.number(u64::from(network.number()));
    }
    let volumes = [whole, before, after];
    for Volume { up, down, either } in &volumes[..if is_split { 3 } else { 1 }] {
        [up, down, either].into_iter().for_each(|octets| out.number(*octets));
    }
}

fn told(input: &mut Reader<'_>) -> Result<Box<Told>, Damaged> {
    let has = input.byte()?;
    let network = if has & told_has::NETWORK == 0 { None } else { Some(Plmn::of_number(input.word()?)) };
    let volume = |input: &mut Reader<'_>| {
        Ok::<_, Damaged>(Volume { up: input.number()?, down: input.number()?, either: input.number()? })
    };
    let whole = volume(input)?;
    let is_split = has & told_has::SPLIT != 0;
    let (before, after) = if is_split { (volume(input)?, volume(input)?) } else { Default::default() };
    Ok(Box::new(Told { network, used: Octets { whole, before, after } }))
}
