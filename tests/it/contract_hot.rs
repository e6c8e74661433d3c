//! The contract of the hot store, run against every implementation.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::memory_hot::MemoryHot;
use linegate::adapters::redis::RedisSettings;
use linegate::domain::ids::{AccountId, SessionId};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{Identifier, RecordKey, SuspenseReason, UsageOutcome, UsageRecord};
use linegate::ports::hot::{AccountChange, Batch, Change, HotStore, LogNo, StoredAccount};

use crate::redis_cluster::RedisCluster;
use crate::redis_hot::{RedisServer, open_at, open_redis};

pub fn record(name: &str) -> UsageRecord {
    UsageRecord {
        key: RecordKey::File(name.to_owned()),
        rating_group: 0,
        outcome: UsageOutcome::Suspense(SuspenseReason::BadRecord),
        line: None,
        account: None,
        cycle: Some("2026-10".parse().unwrap()),
        late_for: None,
        plan: None,
        tariff_version: 1,
        apn: None,
        subscriber: None,
        starts: Timestamp(0),
        ends: Timestamp(1),
        received: Timestamp(2),
        octets: 3,
        amount: 0,
        postings: Vec::new(),
        crossed: Vec::new(),
        told: None,
        detail: Some(name.to_owned()),
    }
}

fn encoded(names: &[&str]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::new();
    for name in names {
        record(name).encode(&mut bytes);
    }
    (bytes, names.len() as u32)
}

pub(crate) fn change(account: &str, previous: u64, state: &str, records: &[&str]) -> AccountChange {
    let (records, record_count) = encoded(records);
    AccountChange {
        version: previous + 1,
        state: state.as_bytes().to_vec(),
        records,
        record_count,
        ..AccountChange::check(AccountId::from(account), previous)
    }
}

pub(crate) fn batch(number: u64, changes: Vec<AccountChange>, loose: &[&str]) -> Batch {
    let (loose, loose_records) = encoded(loose);
    Batch { writer: 7, number, at: Timestamp(number as i64), changes, loose, loose_records }
}

pub(crate) async fn states(hot: &dyn HotStore) -> Vec<(String, u64, String)> {
    let mut all = Vec::new();
    let mut take = |a: StoredAccount| {
        all.push((a.account.to_string(), a.version, String::from_utf8(a.state).unwrap()));
    };
    hot.for_each_account(&mut take).await.unwrap();
    all.sort();
    all
}

/// What every log holds after a position, by position; sorted where there are several logs.
pub(crate) async fn logged(hot: &dyn HotStore, after: u64) -> Vec<String> {
    let mut records = Vec::new();
    for log in 0..hot.logs() {
        let entries = hot.log_after(log, after, 1000).await.unwrap();
        assert!(entries.windows(2).all(|w| w[0].position < w[1].position));
        records.extend(entries.into_iter().flat_map(|e| e.records.decode().unwrap()).map(|r| r.detail.unwrap()));
    }
    if hot.logs() > 1 {
        records.sort();
    }
    records
}

pub(crate) fn owned(states: &[(&str, u64, &str)]) -> Vec<(String, u64, String)> {
    states.iter().map(|(a, v, s)| ((*a).to_owned(), *v, (*s).to_owned())).collect()
}

/// A store under test: `reopen` keeps what is durable and loses the rest.
struct Subject {
    hot: Option<Arc<dyn HotStore>>,
    place: Place,
}

/// Where a store keeps what is durable.
enum Place {
    /// Memory, as an embedded store or as a shared one with some logs.
    Nowhere(Option<LogNo>),
    Folder(tempfile::TempDir),
    Server(RedisServer),
    /// One cluster for many stores, each with its prefix.
    Cluster(Arc<RedisCluster>, &'static str),
}

fn small() -> FjallSettings {
    FjallSettings { free_bytes_min: 0, ..FjallSettings::default() }
}

fn fjall(folder: &Path) -> FjallHot {
    FjallHot::open(folder, small()).unwrap()
}

impl Subject {
    async fn all() -> Vec<Subject> {
        let mut all = Vec::new();
        let server = Place::Server(RedisServer::start("always"));
        let memory = [Place::Nowhere(None), Place::Nowhere(Some(3))];
        for place in memory.into_iter().chain([Place::Folder(tempfile::tempdir().unwrap()), server]) {
            all.push(Subject { hot: Some(place.open().await), place });
        }
        all
    }

    async fn on_cluster(cluster: &Arc<RedisCluster>, prefix: &'static str) -> Self {
        let place = Place::Cluster(Arc::clone(cluster), prefix);
        Self { hot: Some(place.open().await), place }
    }

    fn hot(&self) -> &dyn HotStore {
        self.hot.as_ref().unwrap().as_ref()
    }

    async fn reopen(&mut self) {
        match &mut self.place {
            Place::Nowhere(_) => return,
            Place::Cluster(..) => {}
            Place::Folder(_) => self.hot = None,
            Place::Server(server) => server.restart(),
        }
        self.hot = Some(self.place.open().await);
    }
}

impl Place {
    async fn open(&self) -> Arc<dyn HotStore> {
        match self {
            Self::Nowhere(None) => Arc::new(MemoryHot::new()),
            Self::Nowhere(Some(logs)) => Arc::new(MemoryHot::shared(*logs)),
            Self::Folder(folder) => Arc::new(fjall(folder.path())),
            Self::Server(server) => Arc::new(open_redis(server).await),
            Self::Cluster(cluster, prefix) => {
                let settings = RedisSettings { prefix: (*prefix).to_owned(), ..RedisSettings::default() };
                Arc::new(open_at(&cluster.url(), settings).await.unwrap())
            }
        }
    }
}

/// A store with several logs tells no order between them.
fn in_order<const N: usize>(subject: &Subject, mut records: [&'static str; N]) -> [&'static str; N] {
    if subject.hot().logs() > 1 {
        records.sort_unstable();
    }
    records
}

macro_rules! contract {
    ($($check:ident),+ $(,)?) => {
        mod on_one_server {
            $(#[tokio::test]
            async fn $check() {
                for subject in super::Subject::all().await {
                    super::$check(subject).await;
                }
            })+
        }

        #[tokio::test]
        async fn the_contract_holds_on_a_cluster() {
            let cluster = Arc::new(RedisCluster::start(&[]));
            $($check(Subject::on_cluster(&cluster, stringify!($check)).await).await;)+
        }
    };
}

contract! {
    a_commit_keeps_accounts_and_records_together,
    a_change_decided_on_another_version_conflicts_alone,
    a_batch_committed_again_after_a_lost_reply_applies_nothing_twice,
    sessions_are_found_until_they_are_closed,
    a_shared_store_compares_versions_alone_and_finds_accounts_by_identifier,
}

async fn a_shared_store_compares_versions_alone_and_finds_accounts_by_identifier(subject: Subject) {
    let hot = subject.hot();
    if !hot.is_shared() {
        return;
    }
    let imsi = Identifier::imsi("450080000000001");
    let mut opening = change("a", 0, "a1", &[]);
    opening.named = vec![imsi.clone()];
    hot.commit(&batch(1, vec![opening, change("b", 0, "b1", &[])], &[])).await.unwrap();
    assert_eq!(hot.accounts_of_identifier(&imsi).await.unwrap(), [AccountId::from("a")]);
    let mut kept = AccountChange::check("a".into(), 1);
    (kept.records, kept.record_count) = encoded(&["kept"]);
    let mut lost = AccountChange::check("b".into(), 7);
    (lost.records, lost.record_count) = encoded(&["lost"]);
    let committed = hot.commit(&batch(2, vec![kept, lost], &[])).await.unwrap();
    assert_eq!(committed.changes, [Change::Applied, Change::Conflict]);
    assert_eq!(states(hot).await, owned(&[("a", 1, "a1"), ("b", 1, "b1")]));
    assert_eq!(logged(hot, 0).await, ["kept"]);
    let mut ending = change("a", 1, "a2", &[]);
    ending.unnamed = vec![imsi.clone()];
    hot.commit(&batch(3, vec![ending], &[])).await.unwrap();
    assert_eq!(hot.accounts_of_identifier(&imsi).await.unwrap(), []);
}

async fn a_commit_keeps_accounts_and_records_together(mut subject: Subject) {
    let first = batch(1, vec![change("a", 0, "a1", &["r1", "r2"]), change("b", 0, "b1", &[])], &["loose"]);
    let committed = subject.hot().commit(&first).await.unwrap();
    assert_eq!(committed.changes, vec![Change::Applied; 2]);
    let second = subject.hot().commit(&batch(2, vec![change("a", 1, "a2", &["r3"])], &[])).await.unwrap();
    assert!(second.position > committed.position);
    for _ in 0..2 {
        let hot = subject.hot();
        assert_eq!(states(hot).await, owned(&[("a", 2, "a2"), ("b", 1, "b1")]));
        assert_eq!(logged(hot, 0).await, in_order(&subject, ["r1", "r2", "loose", "r3"]));
        assert_eq!(logged(hot, committed.position).await, ["r3"]);
        assert_eq!(hot.last_position(), second.position);
        let one = hot.account(&AccountId::from("a")).await.unwrap().unwrap();
        assert_eq!((one.version, one.state), (2, b"a2".to_vec()));
        assert_eq!(hot.account(&AccountId::from("nobody")).await.unwrap(), None);
        subject.reopen().await;
    }
}

async fn a_change_decided_on_another_version_conflicts_alone(mut subject: Subject) {
    let hot = subject.hot();
    hot.commit(&batch(1, vec![change("a", 0, "a1", &[])], &[])).await.unwrap();
    let mixed = vec![change("a", 0, "stale", &["lost"]), change("b", 0, "b1", &["kept"])];
    let committed = hot.commit(&batch(2, mixed, &[])).await.unwrap();
    assert_eq!(committed.changes, vec![Change::Conflict, Change::Applied]);
    subject.reopen().await;
    assert_eq!(states(subject.hot()).await, owned(&[("a", 1, "a1"), ("b", 1, "b1")]));
    assert_eq!(logged(subject.hot(), 0).await, ["kept"]);
}

async fn a_batch_committed_again_after_a_lost_reply_applies_nothing_twice(subject: Subject) {
    let hot = subject.hot();
    let lost = batch(1, vec![change("a", 0, "a1", &["once"])], &["loose"]);
    let first = hot.commit(&lost).await.unwrap();
    assert_eq!(hot.commit(&lost).await.unwrap(), first);
    assert_eq!(logged(hot, 0).await, in_order(&subject, ["once", "loose"]));
}

async fn sessions_are_found_until_they_are_closed(mut subject: Subject) {
    let (one, two) = (SessionId::from("s1"), SessionId::from("s2"));
    let mut opening = change("a", 0, "a1", &[]);
    opening.opened = vec![one.clone(), two.clone()];
    subject.hot().commit(&batch(1, vec![opening], &[])).await.unwrap();
    let mut closing = change("a", 1, "a2", &[]);
    closing.closed = vec![one.clone()];
    subject.hot().commit(&batch(2, vec![closing], &[])).await.unwrap();
    for _ in 0..2 {
        assert_eq!(subject.hot().account_of_session(&one).await.unwrap(), None);
        assert_eq!(subject.hot().account_of_session(&two).await.unwrap(), Some(AccountId::from("a")));
        subject.reopen().await;
    }
}

#[tokio::test]
async fn what_is_drained_and_in_a_snapshot_leaves_the_log_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(folder.path());
    for n in 1..=5 {
        hot.commit(&batch(n, vec![change("a", n - 1, &format!("a{n}"), &[&format!("r{n}")])], &[])).await.unwrap();
    }
    hot.drained_through(0, 2).await.unwrap();
    assert_eq!(logged(&hot, 0).await.len(), 5, "no snapshot holds the account yet");
    hot.snapshot().unwrap();
    assert_eq!(logged(&hot, 0).await, ["r3", "r4", "r5"]);
    hot.drained_through(0, 5).await.unwrap();
    assert_eq!(logged(&hot, 0).await, ["r5"], "the last entry stays: it holds the position");
    drop(hot);
    let hot = fjall(folder.path());
    assert_eq!(hot.last_position(), 5);
    assert_eq!(hot.last_commit_at(), Some(Timestamp(5)));
    assert_eq!(states(&hot).await, owned(&[("a", 5, "a5")]));
    hot.commit(&batch(6, vec![change("a", 5, "a6", &["r6"])], &[])).await.unwrap();
    assert_eq!(hot.last_position(), 6);
}

#[tokio::test]
async fn an_account_that_a_snapshot_alone_has_is_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(folder.path());
    hot.commit(&batch(1, vec![change("a", 0, "a1", &[])], &[])).await.unwrap();
    hot.snapshot().unwrap();
    let committed = hot.commit(&batch(2, vec![change("a", 0, "stale", &[])], &[])).await.unwrap();
    assert_eq!(committed.changes, [Change::Conflict]);
    assert_eq!(states(&hot).await, owned(&[("a", 1, "a1")]));
}

#[tokio::test]
async fn changed_accounts_are_written_out_when_they_are_many() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FjallSettings { snapshot_accounts: 2, snapshot_records: u64::MAX, ..small() };
    let hot = FjallHot::open(folder.path(), settings).unwrap();
    for n in 1..=3 {
        hot.commit(&batch(n, vec![change(&format!("a{n}"), 0, "a", &[&format!("r{n}")])], &[])).await.unwrap();
    }
    hot.drained_through(0, 3).await.unwrap();
    // A snapshot in the background lets the drained log go.
    while logged(&hot, 0).await.contains(&"r1".to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Copies the folder while the store is open: what a power loss leaves behind.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn an_unclean_stop_loses_nothing_that_was_committed() {
    let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hot = fjall(folder.path());
    for n in 1..=20 {
        hot.commit(&batch(n, vec![change("a", n - 1, &format!("a{n}"), &[&format!("r{n}")])], &[])).await.unwrap();
        if n == 10 {
            hot.snapshot().unwrap();
        }
    }
    copy(folder.path(), crashed.path());
    let recovered = fjall(crashed.path());
    assert_eq!(states(&recovered).await, owned(&[("a", 20, "a20")]));
    assert_eq!(logged(&recovered, 0).await.len(), 20);
}

#[tokio::test]
async fn a_torn_write_is_dropped_whole_and_everything_before_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(folder.path());
    for n in 1..=3 {
        hot.commit(&batch(n, vec![change("a", n - 1, &format!("a{n}"), &[&format!("r{n}")])], &[])).await.unwrap();
    }
    let crashed = tempfile::tempdir().unwrap();
    copy(folder.path(), crashed.path());
    let journal = std::fs::read_dir(crashed.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "jnl"))
        .unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    std::fs::write(&journal, &bytes[..end - 40]).unwrap();
    let recovered = fjall(crashed.path());
    assert_eq!(states(&recovered).await, owned(&[("a", 2, "a2")]));
    assert_eq!(logged(&recovered, 0).await, ["r1", "r2"]);
    recovered.commit(&batch(9, vec![change("a", 2, "again", &["r3"])], &[])).await.unwrap();
    assert_eq!(logged(&recovered, 0).await, ["r1", "r2", "r3"]);
}

#[tokio::test]
async fn intake_is_refused_when_space_or_the_log_run_out() {
    let folder = tempfile::tempdir().unwrap();
    let starved = FjallSettings { free_bytes_min: u64::MAX, ..small() };
    assert!(FjallHot::open(folder.path(), starved).unwrap().refuses().is_some());
    let hot = FjallHot::open(folder.path(), FjallSettings { log_records_max: 2, ..small() }).unwrap();
    assert_eq!(hot.refuses(), None);
    hot.commit(&batch(1, vec![], &["r1", "r2"])).await.unwrap();
    assert!(hot.refuses().is_some(), "the log holds what it may");
    hot.commit(&batch(2, vec![], &[])).await.unwrap();
    hot.snapshot().unwrap();
    hot.drained_through(0, 2).await.unwrap();
    assert_eq!(hot.refuses(), None);
}
