//! The drain between a hot log and a relational store.

use std::sync::Arc;

use linegate::adapters::memory::MemoryStore;
use linegate::adapters::memory_hot::MemoryHot;
use linegate::domain::time::Timestamp;
use linegate::ports::hot::{Batch, HotStore};
use linegate::ports::relational::{BillingReads, Page, UsageFilter};
use linegate::services::drain::{Drain, DrainError, DrainSettings};
use tokio_util::sync::CancellationToken;

use crate::contract_hot::record;

/// Commits `count` entries of two records each, named after their number.
async fn fill(hot: &MemoryHot, from: u64, count: u64) {
    for number in from..from + count {
        let mut loose = Vec::new();
        for half in ["a", "b"] {
            record(&format!("{number}{half}")).encode(&mut loose);
        }
        let batch = Batch { writer: 1, number, at: Timestamp(0), changes: vec![], loose, loose_records: 2 };
        hot.commit(&batch).await.unwrap();
    }
}

async fn stored(relational: &MemoryStore) -> u64 {
    relational.usage(&UsageFilter::default(), Page { offset: 0, limit: 1 }).await.unwrap().total
}

fn small() -> DrainSettings {
    DrainSettings { batch_entries: 3, batch_records: 4, idle_ms: 1, retry_ms: 1, yield_ms: 1, ..Default::default() }
}

#[tokio::test]
async fn every_record_arrives_once_and_the_log_is_let_go() {
    let (hot, relational) = (Arc::new(MemoryHot::new()), Arc::new(MemoryStore::new()));
    fill(&hot, 1, 10).await;
    // A second drain repeats nothing: it starts at the relational store's own cursor.
    for _ in 0..2 {
        Drain::new(hot.clone(), relational.clone(), small()).drain_all().await.unwrap();
        assert_eq!(stored(&relational).await, 20);
    }
    assert_eq!(relational.drain_cursor().await.unwrap(), hot.last_position());
    assert!(hot.log_after(0, 0, 100).await.unwrap().is_empty());
    fill(&hot, 11, 1).await;
    Drain::new(hot.clone(), relational.clone(), small()).drain_all().await.unwrap();
    assert_eq!(stored(&relational).await, 22);
}

#[tokio::test]
async fn whoever_waits_for_a_position_hears_when_it_is_passed_and_when_the_drain_stops() {
    let (hot, relational) = (Arc::new(MemoryHot::new()), Arc::new(MemoryStore::new()));
    let drain = Arc::new(Drain::new(hot.clone(), relational.clone(), small()));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (drain, stop) = (Arc::clone(&drain), stop.clone());
        async move { drain.run(stop).await }
    });
    fill(&hot, 1, 10).await;
    drain.drain_until(hot.last_position()).await.unwrap();
    assert_eq!(stored(&relational).await, 20);
    let waiting = tokio::spawn({
        let drain = Arc::clone(&drain);
        async move { drain.drain_until(1_000).await }
    });
    stop.cancel();
    running.await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(DrainError::Stopped(1_000))));
}
