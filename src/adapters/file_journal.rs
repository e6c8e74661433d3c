//! A journal in one file: for each entry its length and checksum, then its bytes.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::account::stable_hash;
use crate::ports::journal::{Journal, JournalError};

/// Length and checksum, 8 bytes each, little-endian.
const HEAD_BYTES: usize = 16;

/// The file; one process holds it, by the lock of its folder.
pub struct FileJournal {
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    /// Where the next entry goes: behind the last whole one.
    end: u64,
    count: usize,
}

impl FileJournal {
    /// Opens it, and makes it where it is not there. An entry that a crash cut short is
    /// dropped, with what may stand behind it: nobody was answered on it.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |e: std::io::Error| fault("open", path, &e);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
        let (entries, end) = read(&mut file).map_err(failed)?;
        file.set_len(end).map_err(failed)?;
        if let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let open = Mutex::new(Open { file, end, count: entries.len() });
        Ok(Self { path: path.to_owned(), open })
    }

    fn open_file(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault(operation: &'static str, path: &Path, error: &std::io::Error) -> JournalError {
    JournalError { operation, reason: format!("{}: {error}", path.display()) }
}

/// Every whole entry, and where the last one ends.
fn read(file: &mut File) -> std::io::Result<(Vec<Vec<u8>>, u64)> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let (mut entries, mut at) = (Vec::new(), 0);
    while let Some(entry) = entry_at(&bytes[at..]) {
        at += HEAD_BYTES + entry.len();
        entries.push(entry.to_vec());
    }
    Ok((entries, at as u64))
}

fn entry_at(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, rest) = rest.split_first_chunk::<8>()?;
    let entry = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    (stable_hash(entry) == u64::from_le_bytes(*checksum)).then_some(entry)
}

impl Journal for FileJournal {
    fn append(&self, entries: &[Vec<u8>]) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend((entry.len() as u64).to_le_bytes());
            bytes.extend(stable_hash(entry).to_le_bytes());
            bytes.extend_from_slice(entry);
        }
        let mut open = self.open_file();
        let end = open.end;
        let written = (open.file.seek(SeekFrom::Start(end)).map(|_| ()))
            .and_then(|()| open.file.write_all(&bytes))
            .and_then(|()| open.file.sync_data());
        written.map_err(|e| fault("append", &self.path, &e))?;
        open.end += bytes.len() as u64;
        open.count += entries.len();
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut open = self.open_file();
        let count = open.count;
        let (mut entries, _) = read(&mut open.file).map_err(|e| fault("read", &self.path, &e))?;
        if entries.len() < count {
            let error = std::io::Error::new(ErrorKind::InvalidData, "an entry is damaged");
            return Err(fault("read", &self.path, &error));
        }
        // What a failed append has left behind was not relied on.
        entries.truncate(count);
        Ok(entries)
    }

    fn clear_of(&self, count: usize) -> Result<bool, JournalError> {
        let mut open = self.open_file();
        if open.count != count {
            return Ok(false);
        }
        let cleared = open.file.set_len(0).and_then(|()| open.file.sync_all());
        cleared.map_err(|e| fault("clear", &self.path, &e))?;
        (open.end, open.count) = (0, 0);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_a_reopening_and_a_torn_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = FileJournal::open(&path).unwrap();
        journal.append(&[b"one".to_vec(), b"two".to_vec()]).unwrap();
        journal.append(&[b"three".to_vec()]).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 2]).unwrap();
        let journal = FileJournal::open(&path).unwrap();
        assert_eq!(journal.entries().unwrap(), [b"one".to_vec(), b"two".to_vec()]);
        journal.append(&[b"four".to_vec()]).unwrap();
        assert!(!journal.clear_of(2).unwrap(), "somebody has appended");
        assert_eq!(FileJournal::open(&path).unwrap().entries().unwrap().len(), 3);
        assert!(journal.clear_of(3).unwrap());
        assert_eq!(journal.entries().unwrap(), Vec::<Vec<u8>>::new());
    }
}
