//! Power loss under the embedded hot store: a kill keeps the page cache, this does not.
//!
//! The journal is cut at and after its last sync, at every byte. What was acknowledged is
//! there after each cut; what was being written is there whole or not at all.

use std::path::{Path, PathBuf};

use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::domain::ids::{AccountId, SessionId};
use linegate::ports::hot::HotStore;

use crate::contract_hot::{batch, change, logged, owned, states};

fn open(folder: &Path) -> FjallHot {
    let settings = FjallSettings { free_bytes_min: 0, cache_bytes: 1_000_000, ..FjallSettings::default() };
    FjallHot::open(folder, settings).unwrap()
}

fn journal(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap()
}

/// Up to the last byte written; the file is longer, because its space is taken at once.
fn written(folder: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(journal(folder)).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    bytes
}

/// The folder without its journal.
fn copy_rest(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_rest(&entry.path(), &target);
        } else if target.extension().is_none_or(|end| end != "jnl") {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_cut_at_every_byte_after_its_last_sync_recovers_to_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    for n in 1..=8 {
        let mut changed = change("a", n - 1, &format!("a{n}"), &[&format!("r{n}")]);
        changed.opened = vec![SessionId::from(format!("s{n}"))];
        hot.commit(&batch(n, vec![changed], &[])).await.unwrap();
        if n == 3 {
            hot.snapshot().unwrap();
            hot.drained_through(0, 2).await.unwrap();
        }
    }
    let synced = written(folder.path()).len();
    let rest = tempfile::tempdir().unwrap();
    copy_rest(folder.path(), rest.path());
    let name = journal(folder.path()).file_name().unwrap().to_owned();
    // Not synced, so it may be lost; then a batch of some size, in the middle of its write.
    hot.drained_through(0, 3).await.unwrap();
    let mut next = change("a", 8, "a9", &["r9", "r10"]);
    next.opened = vec![SessionId::from("s9")];
    next.closed = vec![SessionId::from("s1")];
    let big = "b".repeat(300);
    hot.commit(&batch(9, vec![next, change("b", 0, &big, &["r11"])], &["loose"])).await.unwrap();
    let bytes = written(folder.path());
    drop(hot);
    assert!(bytes.len() > synced + 300, "{synced} of {}", bytes.len());

    let acknowledged = ["r4", "r5", "r6", "r7", "r8"];
    for cut in synced..=bytes.len() {
        // The tail is missing, or its space is there and empty.
        let zeroes = if cut % 2 == 0 { 0 } else { 8192 };
        let crashed = tempfile::tempdir().unwrap();
        copy_rest(rest.path(), crashed.path());
        let mut torn = bytes[..cut].to_vec();
        torn.resize(cut + zeroes, 0);
        std::fs::write(crashed.path().join(&name), torn).unwrap();
        let hot = open(crashed.path());
        let all = states(&hot).await;
        let records = logged(&hot, 3).await;
        let first = hot.account_of_session(&SessionId::from("s1")).await.unwrap();
        let last = hot.account_of_session(&SessionId::from("s9")).await.unwrap();
        let a = AccountId::from("a");
        if cut < bytes.len() {
            assert_eq!(all, owned(&[("a", 8, "a8")]), "cut at {cut} of {}", bytes.len());
            assert_eq!(records, acknowledged, "cut at {cut}");
            assert_eq!((first, last), (Some(a), None), "cut at {cut}");
        } else {
            assert_eq!(all, owned(&[("a", 9, "a9"), ("b", 1, &big)]));
            assert_eq!(records[5..], ["r9", "r10", "r11", "loose"]);
            assert_eq!((first, last), (None, Some(a)));
        }
        // It goes on from there.
        if cut % 16 == 0 || cut == bytes.len() {
            let version = all[0].1;
            let next = hot.commit(&batch(20, vec![change("a", version, "again", &["r12"])], &[])).await.unwrap();
            assert_eq!(logged(&hot, next.position - 1).await, ["r12"], "cut at {cut}");
        }
    }
}
