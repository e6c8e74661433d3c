//! Bytes to accounts; in step with [`super::writer`].

use std::ops::{Deref, DerefMut};

use serde::de::DeserializeOwned;

use super::{FORMAT, account_has, bad, bucket_has, line_has, session_has, total_has};
use crate::domain::account::{
    Account, Answers, BadAccount, Bucket, LineCharging, LineTotal, NumberSet, Reservation, Session, SessionEnd,
};
use crate::domain::compact::{self, cycle_of};
use crate::domain::cycle::CycleId;
use crate::domain::ids::LineId;
use crate::domain::time::{Interval, Timestamp};

/// A compact one that knows the time before.
pub(super) struct Reader<'a> {
    input: compact::Reader<'a>,
    /// Milliseconds.
    last: i64,
}

impl<'a> Deref for Reader<'a> {
    type Target = compact::Reader<'a>;

    fn deref(&self) -> &Self::Target {
        &self.input
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.input
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { input: compact::Reader(bytes), last: 0 }
    }

    pub(super) fn behind_format(bytes: &'a [u8]) -> Result<Self, BadAccount> {
        match bytes.split_first() {
            Some((&FORMAT, bytes)) => Ok(Self::new(bytes)),
            Some((format, _)) => Err(bad(format!("format {format}, this program reads {FORMAT}"))),
            None => Err(bad("empty")),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.input.0.is_empty()
    }

    /// Bytes that are not read yet.
    pub(super) fn left(&self) -> usize {
        self.input.0.len()
    }

    pub(super) fn account(&mut self) -> Result<Account, BadAccount> {
        use account_has::{EVENT_ANSWERS, EVENT_KEYS, GAP_BEHIND_CLOSED, MODEMS, SESSIONS};
        let id = self.text()?;
        let version = self.number()?;
        let has = self.byte()?;
        let customer = self.text()?.into();
        let anchor_day = self.byte()?;
        let zone = self.text()?.into();
        let cycle = self.cycle(0)?;
        let closed_through = if has & GAP_BEHIND_CLOSED != 0 { self.cycle(0)? } else { cycle.previous() };
        Ok(Account {
            id: id.into(),
            version,
            customer,
            anchor_day,
            zone,
            cycle,
            closed_through,
            bounds: self.interval()?,
            buckets: self.each(|input| input.bucket(cycle))?,
            lines: self.each(|input| input.line(id))?,
            next_line: self.short()?,
            sessions: if has & SESSIONS != 0 { self.each(Self::session)? } else { Vec::new() },
            modems: self.plain_if(has & MODEMS != 0)?,
            event_keys: self.plain_if(has & EVENT_KEYS != 0)?,
            event_answers: if has & EVENT_ANSWERS != 0 { self.answers()? } else { Answers::default() },
        })
    }

    fn bucket(&mut self, open: CycleId) -> Result<Bucket, BadAccount> {
        use bucket_has::{CLOSED, MORE, TOTALS};
        let has = self.byte()?;
        let back = self.signed()?;
        Ok(Bucket {
            cycle: cycle_of(open.months().wrapping_sub(back))?,
            closed: has & CLOSED != 0,
            totals: if has & TOTALS != 0 { self.each(Self::total)? } else { Vec::new() },
            more: if has & MORE != 0 { Some(self.plain()?) } else { None },
        })
    }

    fn total(&mut self) -> Result<LineTotal, BadAccount> {
        use total_has::{MORE, RECONCILED, SOURCE};
        let has = self.byte()?;
        Ok(LineTotal {
            line: self.short()?,
            octets: self.number()?,
            amount: self.signed()?,
            source: if has & SOURCE != 0 { Some(self.plain()?) } else { None },
            reconciled: self.plain_if(has & RECONCILED != 0)?,
            more: if has & MORE != 0 { Some(self.plain()?) } else { None },
        })
    }

    fn line(&mut self, account: &str) -> Result<LineCharging, BadAccount> {
        use line_has::{APNS, NO_NEW_GRANT, OWN_ID, SOURCE};
        let has = self.byte()?;
        Ok(LineCharging {
            id: LineId::from(if has & OWN_ID != 0 { self.text()? } else { account }),
            no: self.short()?,
            identifiers: self.each(|input| Ok((input.identifier()?, input.interval()?)))?,
            apns: if has & APNS != 0 { self.each(|input| Ok(input.text()?.into()))? } else { Vec::new() },
            plans: self.each(|input| Ok((input.time()?, input.text()?.into())))?,
            states: self.each(|input| Ok((input.time()?, input.plain()?)))?,
            source: if has & SOURCE != 0 { Some(self.plain()?) } else { None },
            no_new_grant: has & NO_NEW_GRANT != 0,
            command_keys: self.each(|input| Ok(u64::from_le_bytes(input.array()?)))?,
        })
    }

    fn session(&mut self) -> Result<Session, BadAccount> {
        use session_has::{APN, ENDED_BY_CLIENT, ENDED_BY_US, NETWORK, PEER};
        let has = self.byte()?;
        Ok(Session {
            id: self.text()?.into(),
            source: self.plain()?,
            peer: if has & PEER != 0 { Some(self.text()?.into()) } else { None },
            line: self.short()?,
            apn: if has & APN != 0 { Some(self.text()?.into()) } else { None },
            network: if has & NETWORK != 0 { Some(self.plain()?) } else { None },
            numbers: self.numbers()?,
            answers: self.answers()?,
            last_activity: self.time()?,
            reported_until: self.time()?,
            reservations: self.each(Self::reservation)?,
            end: match has & (ENDED_BY_US | ENDED_BY_CLIENT) {
                0 => SessionEnd::Open,
                ENDED_BY_US => SessionEnd::ByUs,
                _ => SessionEnd::ByClient(self.time()?),
            },
        })
    }

    pub(super) fn numbers(&mut self) -> Result<NumberSet, BadAccount> {
        let ranges = self.each(|input| {
            let (first, more) = (input.number()?, input.number()?);
            Ok((first, first.checked_add(more).ok_or_else(|| bad("a range past the last number"))?))
        })?;
        NumberSet::of(ranges).ok_or_else(|| bad("ranges of numbers that touch"))
    }

    fn answers(&mut self) -> Result<Answers, BadAccount> {
        Answers::from_bytes(self.bytes()?)
    }

    fn reservation(&mut self) -> Result<Reservation, BadAccount> {
        Ok(Reservation {
            rating_group: self.word()?,
            services: self.each(|input| Ok(input.word()?))?,
            octets: self.number()?,
            since: self.time()?,
            expires: self.time()?,
        })
    }

    fn cycle(&mut self, from: i64) -> Result<CycleId, BadAccount> {
        Ok(cycle_of(self.signed()?.wrapping_add(from))?)
    }

    fn interval(&mut self) -> Result<Interval, BadAccount> {
        let from = self.time()?;
        let until = match self.byte()? {
            0 => Timestamp::MAX,
            _ => Timestamp(from.millis().wrapping_add(self.signed()?)),
        };
        Ok(Interval { from, until })
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, BadAccount> {
        self.last = self.last.wrapping_add(self.signed()?);
        Ok(Timestamp(self.last))
    }

    pub(super) fn each<T>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<T, BadAccount>,
    ) -> Result<Vec<T>, BadAccount> {
        let count = self.count()?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(take(self)?);
        }
        Ok(items)
    }

    pub(super) fn plain<T: DeserializeOwned>(&mut self) -> Result<T, BadAccount> {
        let (value, rest) = postcard::take_from_bytes(self.input.0).map_err(|e| bad(e.to_string()))?;
        self.input.0 = rest;
        Ok(value)
    }

    fn plain_if<T: DeserializeOwned + Default>(&mut self, is_there: bool) -> Result<T, BadAccount> {
        if is_there { self.plain() } else { Ok(T::default()) }
    }
}
