//! One log entry as bytes: lengths and numbers little-endian, then the bytes
//! themselves. Encoded accounts and records go through untouched.

use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::ports::hot::{Batch, Change};

/// Format of entries.
const FORMAT: u8 = 1;

/// One applied change of an entry.
pub(super) struct EntryChange<'a> {
    pub(super) account: AccountId,
    pub(super) version: u64,
    pub(super) state: &'a [u8],
    pub(super) records: &'a [u8],
    pub(super) record_count: u32,
    pub(super) opened: Vec<SessionId>,
    pub(super) closed: Vec<SessionId>,
}

/// A decoded entry.
pub(super) struct Entry<'a> {
    pub(super) at: Timestamp,
    pub(super) records: u32,
    pub(super) loose: &'a [u8],
    pub(super) loose_records: u32,
    pub(super) changes: Vec<EntryChange<'a>>,
}

/// Encodes the applied changes of a batch; also says how many records they hold.
pub(super) fn encode(batch: &Batch, outcomes: &[Change]) -> (Vec<u8>, u32) {
    let applied = || batch.changes.iter().zip(outcomes).filter(|(_, o)| **o == Change::Applied).map(|(c, _)| c);
    let size: usize = applied().map(|c| c.state.len() + c.records.len() + c.account.as_str().len() + 64).sum();
    let mut out = Vec::with_capacity(size + batch.loose.len() + 64);
    let records = applied().map(|c| c.record_count).sum::<u32>() + batch.loose_records;
    out.push(FORMAT);
    out.extend(batch.at.millis().to_le_bytes());
    out.extend(records.to_le_bytes());
    out.extend(batch.loose_records.to_le_bytes());
    put(&mut out, &batch.loose);
    out.extend((applied().count() as u32).to_le_bytes());
    for change in applied() {
        put(&mut out, change.account.as_str().as_bytes());
        out.extend(change.version.to_le_bytes());
        put(&mut out, &change.state);
        out.extend(change.record_count.to_le_bytes());
        put(&mut out, &change.records);
        for sessions in [&change.opened, &change.closed] {
            out.extend((sessions.len() as u32).to_le_bytes());
            for session in sessions {
                put(&mut out, session.as_str().as_bytes());
            }
        }
    }
    (out, records)
}

/// Reads what [`encode`] wrote; `None` for anything else.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry<'_>> {
    let mut at = Cursor(bytes);
    if at.take(1)? != [FORMAT] {
        return None;
    }
    let time = Timestamp(i64::from_le_bytes(at.take(8)?.try_into().ok()?));
    let records = at.number()?;
    let loose_records = at.number()?;
    let loose = at.bytes()?;
    let count = at.number()?;
    let mut changes = Vec::with_capacity((count as usize).min(bytes.len() / 32));
    for _ in 0..count {
        changes.push(EntryChange {
            account: AccountId::from(at.text()?),
            version: u64::from_le_bytes(at.take(8)?.try_into().ok()?),
            state: at.bytes()?,
            record_count: at.number()?,
            records: at.bytes()?,
            opened: at.sessions()?,
            closed: at.sessions()?,
        });
    }
    at.0.is_empty().then_some(Entry { at: time, records, loose, loose_records, changes })
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("one account's state stays under 4 GiB");
    out.extend(length.to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn sessions(&mut self) -> Option<Vec<SessionId>> {
        let count = self.number()?;
        (0..count).map(|_| self.text().map(SessionId::from)).collect()
    }
}
