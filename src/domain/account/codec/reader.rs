//! Bytes to accounts; in step with [`super::writer`].

use serde::de::DeserializeOwned;

use super::{FORMAT, account_has, bad, bucket_has, identifier_is, line_has, session_has, total_has};
use crate::domain::account::{
    Account, Answers, BadAccount, Bucket, LineCharging, LineTotal, NumberSet, Reservation, Session, SessionEnd,
};
use crate::domain::cycle::CycleId;
use crate::domain::ids::LineId;
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::{Identifier, digits_of};

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    last: i64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, last: 0 }
    }

    pub(super) fn behind_format(bytes: &'a [u8]) -> Result<Self, BadAccount> {
        match bytes.split_first() {
            Some((&FORMAT, bytes)) => Ok(Self::new(bytes)),
            Some((format, _)) => Err(bad(format!("format {format}, this program reads {FORMAT}"))),
            None => Err(bad("empty")),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are not read yet.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
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

    fn identifier(&mut self) -> Result<Identifier, BadAccount> {
        let digits = |input: &mut Self| {
            let number = input.number()?;
            digits_of(number).ok_or_else(|| bad(format!("an identifier of the number {number}")))
        };
        match self.byte()? {
            identifier_is::IMSI => Ok(Identifier::imsi(digits(self)?)),
            identifier_is::MSISDN => Ok(Identifier::msisdn(digits(self)?)),
            identifier_is::DEVICE => Ok(Identifier::Device(self.text()?.into())),
            identifier_is::IMSI_TEXT => Ok(Identifier::imsi(self.text()?)),
            identifier_is::MSISDN_TEXT => Ok(Identifier::msisdn(self.text()?)),
            kind => Err(bad(format!("an identifier of kind {kind}"))),
        }
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
        Answers::from_bytes(self.block()?)
    }

    fn reservation(&mut self) -> Result<Reservation, BadAccount> {
        Ok(Reservation {
            rating_group: self.word()?,
            services: self.each(Self::word)?,
            octets: self.number()?,
            since: self.time()?,
            expires: self.time()?,
        })
    }

    fn cycle(&mut self, from: i64) -> Result<CycleId, BadAccount> {
        cycle_of(self.signed()?.wrapping_add(from))
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
        let count = self.number()?;
        // Nothing takes less than a byte: a count beyond that is damage, and no reason for memory.
        if count > self.bytes.len() as u64 {
            return Err(bad(format!("{count} items in {} bytes", self.bytes.len())));
        }
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            items.push(take(self)?);
        }
        Ok(items)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, BadAccount> {
        std::str::from_utf8(self.block()?).map_err(|e| bad(e.to_string()))
    }

    /// What stands behind its length.
    pub(super) fn block(&mut self) -> Result<&'a [u8], BadAccount> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (block, rest) = self.bytes.split_at_checked(length).ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(block)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadAccount> {
        let (array, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn signed(&mut self) -> Result<i64, BadAccount> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn short(&mut self) -> Result<u16, BadAccount> {
        let number = self.number()?;
        u16::try_from(number).map_err(|_| bad(format!("{number} is more than 16 bits")))
    }

    pub(super) fn word(&mut self) -> Result<u32, BadAccount> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| bad(format!("{number} is more than 32 bits")))
    }

    pub(super) fn number(&mut self) -> Result<u64, BadAccount> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(bad("a number of more than 64 bits"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, BadAccount> {
        let (byte, rest) = self.bytes.split_first().ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(*byte)
    }

    pub(super) fn plain<T: DeserializeOwned>(&mut self) -> Result<T, BadAccount> {
        let (value, rest) = postcard::take_from_bytes(self.bytes).map_err(|e| bad(e.to_string()))?;
        self.bytes = rest;
        Ok(value)
    }

    fn plain_if<T: DeserializeOwned + Default>(&mut self, is_there: bool) -> Result<T, BadAccount> {
        if is_there { self.plain() } else { Ok(T::default()) }
    }
}

fn ends_early() -> BadAccount {
    bad("ends early")
}

fn cycle_of(months: i64) -> Result<CycleId, BadAccount> {
    CycleId::of_months(months).ok_or_else(|| bad(format!("a cycle {months} months behind year 0")))
}
