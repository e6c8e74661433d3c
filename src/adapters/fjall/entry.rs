//! One log entry as bytes: lengths and numbers little-endian, then the bytes
//! themselves. Records stand together in front, for the drain; encoded accounts and
//! records go through untouched.

use crate::domain::ids::{AccountId, SessionId};
use crate::domain::time::Timestamp;
use crate::ports::hot::{Batch, Change};

/// Format of entries.
const FORMAT: u8 = 2;

/// One applied change of an entry.
pub(super) struct EntryChange<'a> {
    pub(super) account: AccountId,
    pub(super) version: u64,
    pub(super) state: &'a [u8],
    pub(super) opened: Vec<SessionId>,
    pub(super) closed: Vec<SessionId>,
}

/// An entry, its changes still as bytes.
pub(super) struct Entry<'a> {
    pub(super) at: Timestamp,
    pub(super) record_count: u32,
    /// Of the changes, then the loose ones.
    pub(super) records: &'a [u8],
    changes: Cursor<'a>,
}

/// Encodes the applied changes of a batch; also says how many records they hold.
pub(super) fn encode(batch: &Batch, outcomes: &[Change]) -> (Vec<u8>, u32) {
    let applied = || batch.changes.iter().zip(outcomes).filter(|(_, o)| **o == Change::Applied).map(|(c, _)| c);
    let records = applied().map(|c| c.record_count).sum::<u32>() + batch.loose_records;
    let record_bytes = applied().map(|c| c.records.len()).sum::<usize>() + batch.loose.len();
    let size: usize = applied().map(|c| c.state.len() + c.account.as_str().len() + 64).sum();
    let mut out = Vec::with_capacity(record_bytes + size + 64);
    out.push(FORMAT);
    out.extend(batch.at.millis().to_le_bytes());
    out.extend(records.to_le_bytes());
    put_length(&mut out, record_bytes);
    applied().for_each(|change| out.extend_from_slice(&change.records));
    out.extend_from_slice(&batch.loose);
    put_length(&mut out, applied().count());
    for change in applied() {
        put(&mut out, change.account.as_str().as_bytes());
        out.extend(change.version.to_le_bytes());
        put(&mut out, &change.state);
        for sessions in [&change.opened, &change.closed] {
            put_length(&mut out, sessions.len());
            for session in sessions {
                put(&mut out, session.as_str().as_bytes());
            }
        }
    }
    (out, records)
}

/// Reads the front of what [`encode`] wrote; the reason why not for anything else.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry<'_>, String> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => front(Cursor(rest)).ok_or_else(damaged),
        Some((format, _)) => Err(format!("a log entry has format {format}, this program reads {FORMAT}")),
        None => Err(damaged()),
    }
}

fn front(mut at: Cursor<'_>) -> Option<Entry<'_>> {
    let time = Timestamp(i64::from_le_bytes(at.take(8)?.try_into().ok()?));
    Some(Entry { at: time, record_count: at.number()?, records: at.bytes()?, changes: at })
}

fn damaged() -> String {
    "a log entry is damaged".to_owned()
}

impl<'a> Entry<'a> {
    /// What became of accounts.
    pub(super) fn changes(&self) -> Result<Vec<EntryChange<'a>>, String> {
        self.changes.changes().ok_or_else(damaged)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).expect("an entry stays under 4 GiB").to_le_bytes());
}

#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// All that is left.
    fn changes(mut self) -> Option<Vec<EntryChange<'a>>> {
        let count = self.number()?;
        let mut changes = Vec::with_capacity((count as usize).min(self.0.len() / 24));
        for _ in 0..count {
            changes.push(EntryChange {
                account: AccountId::from(self.text()?),
                version: u64::from_le_bytes(self.take(8)?.try_into().ok()?),
                state: self.bytes()?,
                opened: self.sessions()?,
                closed: self.sessions()?,
            });
        }
        self.0.is_empty().then_some(changes)
    }

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

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn an_entry_of_another_format_is_refused_by_name() {
        for format in [1, 3] {
            let reason = decode(&[format, 0, 0]).err().unwrap();
            assert!(reason.contains(&format!("has format {format}, this program reads 2")), "{reason}");
        }
        assert!(decode(&[2, 0]).is_err() && decode(&[]).is_err());
    }
}
