//! Answers kept for repeats: each its key, its length and what was answered.

use super::reader::Reader;
use super::writer::Writer;
use super::{answer_has, grant_has};
use crate::domain::account::BadAccount;
use crate::domain::compact::bits;
use crate::domain::rating::request::{ChargeAnswer, Grant, GroupAnswer};

/// An answer where it is kept.
pub(in crate::domain::account) struct Kept<'a> {
    pub key: u64,
    pub answer: &'a [u8],
    /// Where the next one begins.
    pub ends: usize,
}

/// The answers that [`append_answer`] wrote, up to where they are whole.
pub(in crate::domain::account) fn answers_in(bytes: &[u8]) -> impl Iterator<Item = Kept<'_>> {
    let mut input = Reader::new(bytes);
    std::iter::from_fn(move || {
        let (key, answer) = (input.number().ok()?, input.bytes().ok()?);
        Some(Kept { key, answer, ends: bytes.len() - input.left() })
    })
}

/// Appends an answer to those in `bytes`.
pub(in crate::domain::account) fn append_answer(key: u64, answer: &ChargeAnswer, bytes: &mut Vec<u8>) {
    let mut out = Writer::new(bytes);
    out.number(key);
    out.block(|out| out.answer(answer));
}

/// Reads one answer.
pub(in crate::domain::account) fn answer_in(bytes: &[u8]) -> Result<ChargeAnswer, BadAccount> {
    Reader::new(bytes).answer()
}

impl Writer<'_> {
    fn answer(&mut self, answer: &ChargeAnswer) {
        self.plain(&answer.outcome);
        self.each(&answer.groups, Self::group_answer);
        if let Some(covered) = answer.covered {
            self.byte(u8::from(covered));
        }
    }

    fn group_answer(&mut self, group: &GroupAnswer) {
        use answer_has::{COST, GRANT};
        let has = bits([(GRANT, group.grant.is_some()), (COST, group.cost.is_some())]);
        self.byte(has);
        self.number(u64::from(group.rating_group));
        self.plain(&group.outcome);
        if let Some(grant) = &group.grant {
            self.grant(grant);
        }
        if let Some(cost) = &group.cost {
            self.plain(cost);
        }
    }

    fn grant(&mut self, grant: &Grant) {
        use grant_has::{FINAL_UNIT, TARIFF_CHANGE, THROTTLE};
        self.byte(bits([
            (TARIFF_CHANGE, grant.tariff_change.is_some()),
            (FINAL_UNIT, grant.final_unit.is_some()),
            (THROTTLE, grant.throttle.is_some()),
        ]));
        self.number(grant.octets);
        self.number(u64::from(grant.validity_s));
        self.number(grant.threshold_octets);
        self.number(u64::from(grant.holding_s));
        if let Some(at) = grant.tariff_change {
            self.time(at);
        }
        if let Some(final_unit) = &grant.final_unit {
            self.plain(final_unit);
        }
        if let Some(throttle) = &grant.throttle {
            self.plain(throttle);
        }
    }
}

impl Reader<'_> {
    fn answer(&mut self) -> Result<ChargeAnswer, BadAccount> {
        let outcome = self.plain()?;
        let groups = self.each(Self::group_answer)?;
        let covered = if self.is_at_end() { None } else { Some(self.byte()? != 0) };
        Ok(ChargeAnswer { groups, covered, ..ChargeAnswer::bare(outcome) })
    }

    fn group_answer(&mut self) -> Result<GroupAnswer, BadAccount> {
        use answer_has::{COST, GRANT};
        let has = self.byte()?;
        Ok(GroupAnswer {
            rating_group: self.word()?,
            outcome: self.plain()?,
            grant: if has & GRANT != 0 { Some(self.grant()?) } else { None },
            cost: if has & COST != 0 { Some(self.plain()?) } else { None },
        })
    }

    fn grant(&mut self) -> Result<Grant, BadAccount> {
        use grant_has::{FINAL_UNIT, TARIFF_CHANGE, THROTTLE};
        let has = self.byte()?;
        Ok(Grant {
            octets: self.number()?,
            validity_s: self.word()?,
            threshold_octets: self.number()?,
            holding_s: self.word()?,
            tariff_change: if has & TARIFF_CHANGE != 0 { Some(self.time()?) } else { None },
            final_unit: if has & FINAL_UNIT != 0 { Some(self.plain()?) } else { None },
            throttle: if has & THROTTLE != 0 { Some(self.plain()?) } else { None },
        })
    }
}
