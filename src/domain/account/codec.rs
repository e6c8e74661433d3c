//! An account as bytes, for the hot store and for memory.
//!
//! Owns the format and nothing of what it means. Compact, because most accounts are kept
//! as these bytes, and quick, because an account is written whole with each change:
//! numbers are as short as they are, times stand as the way from the time before, an
//! identifier of digits is a number, and what has its usual value is left out. The id
//! comes first, so that it is read without the rest.
//!
//! What few accounts have (counters of several prices, pools, modems) stands as postcard
//! writes it.

mod answer;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use self::answer::{answer_in, answers_in, append_answer};
use self::reader::Reader;
use self::writer::Writer;
use super::{Account, BadAccount};
use crate::domain::compact::Damaged;

/// Format of [`Account::encode`].
const FORMAT: u8 = 6;

impl Account {
    /// The whole state, appended to `buffer`.
    pub fn encode(&self, mut buffer: Vec<u8>) -> Vec<u8> {
        // What is usual fits, so that the buffer seldom moves.
        buffer.reserve(192 + 192 * self.sessions.len());
        let mut out = Writer::new(&mut buffer);
        out.byte(FORMAT);
        out.account(self);
        buffer
    }

    /// Reads what [`Account::encode`] wrote.
    ///
    /// # Errors
    /// [`BadAccount`] for another format, by name, and for bytes that are no account.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadAccount> {
        let mut input = Reader::behind_format(bytes)?;
        let account = input.account()?;
        if input.is_at_end() { Ok(account) } else { Err(bad("more than an account")) }
    }

    /// The id of an encoded account.
    ///
    /// # Errors
    /// As [`Account::decode`].
    pub fn id_in(bytes: &[u8]) -> Result<&str, BadAccount> {
        Ok(Reader::behind_format(bytes)?.text()?)
    }
}

/// What of an account is left out where its bit is not set.
mod account_has {
    pub(super) const GAP_BEHIND_CLOSED: u8 = 1;
    pub(super) const SESSIONS: u8 = 2;
    pub(super) const MODEMS: u8 = 4;
    pub(super) const EVENT_KEYS: u8 = 8;
    pub(super) const EVENT_ANSWERS: u8 = 16;
}

mod bucket_has {
    pub(super) const CLOSED: u8 = 1;
    pub(super) const MORE: u8 = 2;
    pub(super) const TOTALS: u8 = 4;
}

mod total_has {
    pub(super) const SOURCE: u8 = 1;
    pub(super) const RECONCILED: u8 = 2;
    pub(super) const MORE: u8 = 4;
}

mod line_has {
    pub(super) const OWN_ID: u8 = 1;
    pub(super) const NO_NEW_GRANT: u8 = 2;
    pub(super) const SOURCE: u8 = 4;
    pub(super) const APNS: u8 = 8;
}

mod session_has {
    pub(super) const PEER: u8 = 1;
    pub(super) const APN: u8 = 2;
    pub(super) const NETWORK: u8 = 4;
    pub(super) const ENDED_BY_US: u8 = 8;
    pub(super) const ENDED_BY_CLIENT: u8 = 16;
}

mod answer_has {
    pub(super) const GRANT: u8 = 1;
    pub(super) const COST: u8 = 2;
}

mod grant_has {
    pub(super) const TARIFF_CHANGE: u8 = 1;
    pub(super) const FINAL_UNIT: u8 = 2;
    pub(super) const THROTTLE: u8 = 4;
}

impl From<Damaged> for BadAccount {
    fn from(damaged: Damaged) -> Self {
        bad(damaged.reason)
    }
}

fn bad(reason: impl Into<String>) -> BadAccount {
    BadAccount { reason: reason.into() }
}
