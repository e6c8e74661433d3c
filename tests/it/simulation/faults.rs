//! What can go wrong, decided by the seed: the stores as the gateway sees them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use linegate::domain::account::stable_hash;
use linegate::domain::ids::{AccountId, SessionId};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{Identifier, Records, UsageRecord};
use linegate::ports::hot::{
    AccountVisitor, Batch, Change, Committed, HotError, HotStore, LogEntry, LogNo, Position, StoredAccount,
};
use linegate::ports::journal::{Journal, JournalError};
use linegate::ports::relational::{StoreError, Stored, UsageSink, Write};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

/// The seed's decisions, in the order in which they are asked for, and a trace of them.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<(StdRng, u64)>>);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new((StdRng::seed_from_u64(seed), seed))))
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.lock().unwrap().0.random_range(0..bound)
    }

    /// True once in `times`; never for 0.
    pub fn one_in(&self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// Notes what happened: two runs of one seed leave the same trace. A seed that runs
    /// alone tells it.
    pub fn note(&self, what: &str) {
        if super::seeds() == 1 {
            println!("{what}");
        }
        let trace = &mut self.0.lock().unwrap().1;
        *trace = stable_hash(format!("{trace}{what}").as_bytes());
    }

    pub fn trace(&self) -> u64 {
        self.0.lock().unwrap().1
    }
}

/// How often each thing goes wrong: once in so many times, 0 for never. Each seed has its
/// own, so that some runs meet one kind alone and others meet them all.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub delay: u64,
    pub crash: u64,
    pub transient: u64,
    pub fatal: u64,
    pub lost_reply: u64,
    pub away: u64,
    pub give_up: u64,
}

impl Rates {
    pub const CALM: Self = Self { delay: 0, crash: 0, transient: 0, fatal: 0, lost_reply: 0, away: 0, give_up: 0 };

    pub fn of(dice: &Dice) -> Self {
        let some = |often: &[u64]| often[dice.below(often.len() as u64) as usize];
        Self {
            delay: some(&[0, 2, 5, 20]),
            crash: some(&[0, 50, 150, 400]),
            transient: some(&[0, 3, 10, 50]),
            fatal: some(&[0, 60, 200]),
            lost_reply: some(&[0, 3, 10, 50]),
            give_up: some(&[0, 4, 20]),
            away: some(&[0, 0, 5, 20]),
        }
    }
}

/// One life of a process: what goes wrong in it, and how it ends.
#[derive(Clone)]
pub struct Life {
    pub dice: Dice,
    pub rates: Rates,
    pub killed: CancellationToken,
}

impl Life {
    pub fn new(dice: Dice, rates: Rates) -> Self {
        Self { dice, rates, killed: CancellationToken::new() }
    }

    /// An await: it may take its time, and it may be the last thing the process does. Nothing
    /// of a process comes past here when it was killed.
    async fn point(&self, what: &str) {
        if !self.killed.is_cancelled() && self.dice.one_in(self.rates.crash) {
            self.dice.note(&format!("killed at {what}"));
            self.killed.cancel();
        }
        if !self.killed.is_cancelled() && self.dice.one_in(self.rates.delay) {
            tokio::time::sleep(Duration::from_millis(self.dice.below(300))).await;
        }
        if self.killed.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    fn fails(&self) -> bool {
        self.dice.one_in(self.rates.transient)
    }
}

/// What the hot store has kept, as an oracle: records with the positions of their batches.
pub type Kept = Arc<Mutex<Vec<(Position, UsageRecord)>>>;

/// A hot store that fails by the seed.
pub struct FaultyHot {
    pub inner: Arc<dyn HotStore>,
    pub life: Life,
    pub kept: Kept,
    pub poisoned: AtomicBool,
    /// Whether its server does not answer.
    pub away: AtomicBool,
    /// The newest batch of the life before.
    pub last_commit_at: Option<Timestamp>,
}

fn transient<T>(operation: &'static str) -> Result<T, HotError> {
    Err(HotError::Transient { operation, reason: "by the seed".to_owned() })
}

fn fatal<T>(operation: &'static str) -> Result<T, HotError> {
    Err(HotError::Fatal { operation, reason: "by the seed".to_owned() })
}

impl FaultyHot {
    /// Each log's part by itself: the process may die when some of them are written.
    async fn apply(&self, batch: &Batch) -> Result<Committed, HotError> {
        let mut committed = Committed { position: 0, changes: vec![Change::Conflict; batch.changes.len()] };
        let parts = batch.parts(self.inner.logs());
        for (n, part) in parts.into_values().enumerate() {
            if n > 0 {
                self.life.point("a batch that is written in part").await;
            }
            let (loose, loose_records) =
                if part.has_loose { (batch.loose.clone(), batch.loose_records) } else { (Vec::new(), 0) };
            let changes: Vec<_> = part.changes.iter().map(|at| batch.changes[*at].clone()).collect();
            let of_log = Batch { changes, loose, loose_records, ..*batch };
            let written = self.inner.commit(&of_log).await?;
            self.keep(&of_log, &written);
            committed.position = committed.position.max(written.position);
            for (at, change) in part.changes.iter().zip(written.changes) {
                committed.changes[*at] = change;
            }
        }
        Ok(committed)
    }

    /// The server goes away with a batch, which it may have, and comes back.
    async fn outage(&self, batch: &Batch) -> Result<Committed, HotError> {
        let dice = &self.life.dice;
        let before = if dice.one_in(2) { Some(self.apply(batch).await?) } else { None };
        dice.note(&format!("away with batch {}, applied: {}", batch.number, before.is_some()));
        self.away.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(dice.below(4000))).await;
        self.life.point("an outage").await;
        self.away.store(false, Ordering::Relaxed);
        let Some(before) = before else { return self.apply(batch).await };
        let again = self.inner.commit(batch).await?;
        assert_eq!(again, before, "the outcome of a batch does not change");
        Ok(again)
    }

    /// What is no batch waits while the server is away.
    async fn read_point(&self, what: &str) {
        self.life.point(what).await;
        while self.away.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn keep(&self, batch: &Batch, committed: &Committed) {
        let mut records = Vec::new();
        for (change, _) in batch.changes.iter().zip(&committed.changes).filter(|(_, c)| **c == Change::Applied) {
            records.extend(read(&change.records, change.record_count));
        }
        records.extend(read(&batch.loose, batch.loose_records));
        let conflicts = committed.changes.iter().filter(|c| **c == Change::Conflict).count();
        self.life.dice.note(&format!(
            "commit {} of {} records, {conflicts} conflicts",
            committed.position,
            records.len()
        ));
        self.kept.lock().unwrap().extend(records.into_iter().map(|r| (committed.position, r)));
    }
}

#[async_trait]
impl HotStore for FaultyHot {
    async fn commit(&self, batch: &Batch) -> Result<Committed, HotError> {
        self.life.point("a commit that has not begun").await;
        let (dice, rates) = (&self.life.dice, self.life.rates);
        if self.poisoned.load(Ordering::Relaxed) {
            return fatal("commit");
        }
        if self.life.fails() {
            return transient("commit");
        }
        if dice.one_in(rates.fatal) {
            self.poisoned.store(true, Ordering::Relaxed);
            if dice.one_in(2) {
                self.apply(batch).await?;
            }
            return fatal("commit");
        }
        if dice.one_in(rates.away) {
            return self.outage(batch).await;
        }
        let committed = self.apply(batch).await?;
        self.life.point("a commit that nobody has heard of").await;
        if dice.one_in(rates.lost_reply) {
            // An adapter whose reply is lost sends the batch again under its number.
            let again = self.inner.commit(batch).await?;
            assert_eq!(again, committed, "the outcome of a batch does not change");
        }
        Ok(committed)
    }

    async fn for_each_account(&self, visit: AccountVisitor<'_>) -> Result<(), HotError> {
        self.read_point("a read of every account").await;
        if self.life.fails() { transient("read accounts") } else { self.inner.for_each_account(visit).await }
    }

    async fn account(&self, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
        self.read_point("a read of an account").await;
        if self.life.fails() { transient("read an account") } else { self.inner.account(id).await }
    }

    async fn account_of_session(&self, session: &SessionId) -> Result<Option<AccountId>, HotError> {
        self.read_point("a read of a session").await;
        if self.life.fails() { transient("read a session") } else { self.inner.account_of_session(session).await }
    }

    async fn accounts_of_identifier(&self, identifier: &Identifier) -> Result<Vec<AccountId>, HotError> {
        self.read_point("a read of an identifier").await;
        match self.life.fails() {
            true => transient("read an identifier"),
            false => self.inner.accounts_of_identifier(identifier).await,
        }
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn logs(&self) -> LogNo {
        self.inner.logs()
    }

    async fn log_after(&self, log: LogNo, position: Position, limit: usize) -> Result<Vec<LogEntry>, HotError> {
        self.read_point("a read of the log").await;
        if self.life.fails() { transient("read the log") } else { self.inner.log_after(log, position, limit).await }
    }

    async fn drained_through(&self, log: LogNo, position: Position) -> Result<(), HotError> {
        self.read_point("a drained position").await;
        if self.life.fails() { transient("note the drain") } else { self.inner.drained_through(log, position).await }
    }

    fn last_position(&self) -> Position {
        self.inner.last_position()
    }

    fn last_commit_at(&self) -> Option<Timestamp> {
        self.last_commit_at
    }

    fn refuses(&self) -> Option<&'static str> {
        if self.is_away() { Some("away by the seed") } else { self.inner.refuses() }
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }
}

/// A gateway's journal, in the hands of one of its processes.
pub struct LivingJournal {
    /// What its processes leave behind.
    pub entries: Arc<Mutex<Vec<Vec<u8>>>>,
    pub life: Life,
}

impl LivingJournal {
    fn open(&self) -> Result<std::sync::MutexGuard<'_, Vec<Vec<u8>>>, JournalError> {
        let dead = || JournalError { operation: "open", reason: "by the seed".to_owned() };
        if self.life.killed.is_cancelled() { Err(dead()) } else { Ok(self.entries.lock().unwrap()) }
    }
}

impl Journal for LivingJournal {
    fn append(&self, entries: &[Vec<u8>]) -> Result<(), JournalError> {
        let mut all = self.open()?;
        self.life.dice.note(&format!("{} requests journalled", entries.len()));
        all.extend_from_slice(entries);
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        Ok(self.open()?.clone())
    }

    fn clear_of(&self, count: usize) -> Result<bool, JournalError> {
        let mut all = self.open()?;
        let is_all = all.len() == count;
        all.retain(|_| !is_all);
        Ok(is_all)
    }
}

/// A relational store that fails by the seed, as far as the drain sees it.
pub struct FaultySink<S: ?Sized> {
    pub inner: Arc<S>,
    pub life: Life,
}

#[async_trait]
impl<S: UsageSink + ?Sized> UsageSink for FaultySink<S> {
    async fn taken_through(&self) -> Stored<BTreeMap<LogNo, u64>> {
        self.life.point("a read of the cursor").await;
        match self.life.fails() {
            true => Err(StoreError::Transient { operation: "read the cursor", reason: "by the seed".to_owned() }),
            false => self.inner.taken_through().await,
        }
    }

    async fn take(&self, drained: Vec<Write>) -> Stored<()> {
        let through: Vec<_> = drained.iter().map(position_of).collect();
        self.life.point("a save that has not begun").await;
        let unknown = || StoreError::Transient { operation: "save", reason: "by the seed".to_owned() };
        if self.life.fails() {
            // Applied or not: the contract leaves it open.
            if self.life.dice.one_in(2) {
                self.inner.take(drained).await?;
            }
            return Err(unknown());
        }
        self.inner.take(drained).await?;
        self.life.dice.note(&format!("taken through {through:?}"));
        self.life.point("a save that nobody has heard of").await;
        Ok(())
    }
}

fn position_of(drained: &Write) -> Position {
    match drained {
        Write::Drain { position, .. } => *position,
        other => panic!("the drain has saved {other:?}"),
    }
}

fn read(bytes: &[u8], count: u32) -> Vec<UsageRecord> {
    Records::new(bytes.to_vec(), count as usize).decode().unwrap()
}
