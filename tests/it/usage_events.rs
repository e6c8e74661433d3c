//! Events of usage: for those who listen, from then on, and for nobody else.

use std::sync::Arc;

use linegate::adapters::memory::MemoryStore;
use linegate::domain::money::Currency;
use linegate::domain::notification::Body;
use linegate::domain::usage::{SuspenseReason, UsageOutcome, UsageRecord};
use linegate::ports::relational::{BillingReads, Listener, OutboxReads, Page, Relational, Write};
use linegate::services::usage_events::{UsageEventSettings, UsageEvents};
use tokio::sync::Notify;

use crate::contract_hot::record;

const ALL: Page = Page { offset: 0, limit: 100 };

fn listener(api: &str, query: &str) -> Listener {
    Listener {
        id: "l".into(),
        callback: "http://127.0.0.1/".to_owned(),
        query: query.to_owned(),
        api: api.to_owned(),
        secret: String::new(),
    }
}

async fn drain(store: &MemoryStore, position: u64, keys: &[&str]) {
    let records: Vec<_> = keys.iter().map(|key| record(key)).collect();
    store.save(vec![Write::Drain { log: 0, after: position - 1, position, records: records.into() }]).await.unwrap();
}

#[tokio::test]
async fn a_listener_hears_of_usage_from_its_registration_on_and_once() {
    let store = Arc::new(MemoryStore::new());
    let settings = UsageEventSettings { batch_records: 2, waiting_max: 3, ..UsageEventSettings::default() };
    let events = UsageEvents::new(store.clone(), Currency::KRW, Arc::new(Notify::new()), settings);
    let told = async || store.messages(None, None, ALL).await.unwrap();
    drain(&store, 1, &["before"]).await;
    for other in [("serviceOrdering", ""), ("usageManagement", "eventType=UsageThresholdEvent")] {
        store.save(vec![Write::Listener(listener(other.0, other.1))]).await.unwrap();
        assert_eq!(events.step().await.unwrap(), 0);
        assert_eq!(store.meta("usage-events").await.unwrap(), None, "{other:?} wants none");
    }
    store.save(vec![Write::Listener(listener("usageManagement", ""))]).await.unwrap();
    assert_eq!(events.step().await.unwrap(), 0);
    drain(&store, 2, &["a", "b", "c", "d", "e"]).await;
    assert_eq!((events.step().await.unwrap(), events.step().await.unwrap()), (2, 2));
    // Nobody takes them: the rest waits.
    assert_eq!((events.step().await.unwrap(), told().await.total), (0, 4));
    let first = told().await.items.pop().unwrap().message;
    let Body::Event { event_type, event, .. } = &first.body else { panic!("{first:?}") };
    assert_eq!((event_type.as_str(), event["usage"]["id"].as_str()), ("UsageCreateEvent", Some("file/a/0")));
    store.save(vec![Write::RemoveListener("l".into())]).await.unwrap();
    assert_eq!(events.step().await.unwrap(), 0);
    assert_eq!(store.meta("usage-events").await.unwrap().as_deref(), Some(""));
}

#[tokio::test]
async fn what_the_source_brings_again_and_is_counted_has_left_suspense_once() {
    let store = Arc::new(MemoryStore::new());
    let settings = UsageEventSettings::default();
    let events = UsageEvents::new(store.clone(), Currency::KRW, Arc::new(Notify::new()), settings);
    let changes = "eventType=UsageStateChangeEvent";
    store.save(vec![Write::Listener(listener("usageManagement", changes))]).await.unwrap();
    assert_eq!(events.step().await.unwrap(), 0);
    let waits = |key: &str| {
        let outcome = UsageOutcome::Suspense(SuspenseReason::UnknownLine);
        UsageRecord { outcome, ..record(key) }
    };
    let counted =
        |key: &str| UsageRecord { outcome: UsageOutcome::Reconciled, line: Some("l-1".into()), ..record(key) };
    let rounds = [
        (vec![waits("a"), waits("b")], vec![]),
        // The line came, and the source brings one of them again, and another one.
        (vec![counted("a"), counted("c")], vec!["file/a/0"]),
        (vec![waits("d"), counted("b"), counted("d")], vec!["file/b/0", "file/d/0"]),
        (vec![counted("e")], vec![]),
    ];
    let mut told = 0;
    for (position, (records, left)) in (1..).zip(rounds) {
        store
            .save(vec![Write::Drain { log: 0, after: position - 1, position, records: records.into() }])
            .await
            .unwrap();
        events.step().await.unwrap();
        let all = store.messages(None, None, ALL).await.unwrap();
        let new = (all.total - told) as usize;
        let usage_of = |body: &Body| match body {
            Body::Event { event_type, event, .. } if event_type == "UsageStateChangeEvent" => event["usage"].clone(),
            other => panic!("{other:?}"),
        };
        let mut ids: Vec<_> = all.items[..new].iter().map(|m| usage_of(&m.message.body)).collect();
        assert!(ids.iter().all(|usage| usage["status"] == "recycled"), "{ids:?}");
        ids.sort_by_key(|usage| usage["id"].to_string());
        assert_eq!(ids.iter().map(|usage| usage["id"].as_str().unwrap()).collect::<Vec<_>>(), left);
        told = all.total;
    }
}
