//! Crash points of any saga, enumerated by running it.
//!
//! A [`CrashPlan`] counts every save of the engine and every call to the
//! outside that reports to it, and cuts the process off at one of them: before
//! it happened, or after it happened and before anybody learnt so. From then on
//! every save fails, as it would for a dead process. [`every_crash`] runs a saga
//! once for each such point, starts a new engine after the crash, and hands the
//! end state over for comparison. A new step is covered as soon as a plan has it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{SagaEvent, SagaRecord, SagaStore, SagaStoreError};
use crate::domain::ids::SagaId;
use crate::domain::time::Timestamp;

/// On which side of a point the crash falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It never happened.
    Before,
    /// It happened, and nobody learnt so.
    After,
}

/// Where to crash, and what has been passed. Counts from [`CrashPlan::arm`] on, so
/// that what comes before the saga is not disturbed.
#[derive(Debug, Default)]
pub struct CrashPlan {
    armed: AtomicBool,
    at: Mutex<Option<(usize, Side)>>,
    passed: AtomicUsize,
    dead: AtomicBool,
}

impl CrashPlan {
    /// Never crashes; counts.
    pub fn never() -> Arc<Self> {
        Arc::default()
    }

    /// Crashes at the `n`-th point, counted from 0.
    pub fn at(n: usize, side: Side) -> Arc<Self> {
        Arc::new(Self { at: Mutex::new(Some((n, side))), ..Self::default() })
    }

    /// Starts to count.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Points passed so far.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    /// Passes one point; `Some` when the crash falls on it. Outside calls ask
    /// before they apply a command and, on [`Side::After`], apply it all the same.
    pub fn pass(&self) -> Option<Side> {
        if !self.armed.load(Ordering::SeqCst) {
            return None;
        }
        let n = self.passed.fetch_add(1, Ordering::SeqCst);
        let planned = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, side) = planned?;
        if n != at {
            return None;
        }
        self.dead.store(true, Ordering::SeqCst);
        Some(side)
    }

    /// Whether the process is cut off.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Starts the process again; the crash does not come twice.
    pub fn restart(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.dead.store(false, Ordering::SeqCst);
    }
}

/// A saga store that crashes by plan.
pub struct CrashStore<W> {
    inner: Arc<dyn SagaStore<W>>,
    plan: Arc<CrashPlan>,
}

impl<W: Send + 'static> CrashStore<W> {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn SagaStore<W>>, plan: Arc<CrashPlan>) -> Arc<Self> {
        Arc::new(Self { inner, plan })
    }
}

fn dead() -> SagaStoreError {
    SagaStoreError::Failed { reason: "the process is dead".to_owned() }
}

#[async_trait]
impl<W: Send + 'static> SagaStore<W> for CrashStore<W> {
    async fn load(&self, id: &SagaId) -> Result<Option<(SagaRecord, Vec<SagaEvent>)>, SagaStoreError> {
        if self.plan.is_dead() { Err(dead()) } else { self.inner.load(id).await }
    }

    async fn due(&self, now: Timestamp, limit: u64) -> Result<Vec<SagaRecord>, SagaStoreError> {
        if self.plan.is_dead() { Err(dead()) } else { self.inner.due(now, limit).await }
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, SagaStoreError> {
        if self.plan.is_dead() { Err(dead()) } else { self.inner.next_wake().await }
    }

    async fn save(&self, record: SagaRecord, events: Vec<SagaEvent>, extra: Vec<W>) -> Result<(), SagaStoreError> {
        if self.plan.is_dead() {
            return Err(dead());
        }
        match self.plan.pass() {
            None => self.inner.save(record, events, extra).await,
            Some(Side::Before) => Err(dead()),
            Some(Side::After) => {
                self.inner.save(record, events, extra).await?;
                Err(dead())
            }
        }
    }
}

/// Runs `run` undisturbed and then once for each crash point, and
/// returns the undisturbed end state with every other one: `(point, side, end)`.
///
/// `run` builds a fresh world, arms the plan, drives its saga to an end with the given plan
/// (after a crash: [`CrashPlan::restart`], a new engine, again) and returns what
/// the world then holds.
///
/// # Panics
/// When a run passes more than 10,000 points, because it then never ends.
pub async fn every_crash<E, F, Fut>(run: F) -> (E, Vec<(usize, Side, E)>)
where
    F: Fn(Arc<CrashPlan>) -> Fut,
    Fut: Future<Output = E>,
{
    let undisturbed = CrashPlan::never();
    let expected = run(Arc::clone(&undisturbed)).await;
    let points = undisturbed.passed();
    assert!(points < 10_000, "a saga passed {points} crash points");
    let mut ends = Vec::with_capacity(points + 1);
    // Nothing lasting happens between two points: a crash before one is a crash after the last.
    for (n, side) in (0..points.min(1)).map(|n| (n, Side::Before)).chain((0..points).map(|n| (n, Side::After))) {
        ends.push((n, side, run(CrashPlan::at(n, side)).await));
    }
    (expected, ends)
}
