//! Events, outbox, listeners, small values.

use linegate::domain::notification::{Body, Message, Recipient};
use linegate::domain::time::Timestamp;
use linegate::ports::relational::{DeliveryState, Listener, Page, StoreError, Write};

use super::sample::{at, happening, sms};
use super::{ALL, Store, check_conflict};

pub(crate) async fn a_save_of_many_writes_is_all_or_nothing_and_in_order(store: &Store) {
    let many = |from: i64| (from..from + 100).map(|n| Write::Happening(happening(None, n))).collect::<Vec<_>>();
    let mut refused = many(1_000);
    refused.insert(50, Write::HoldSlot("none".into()));
    assert!(matches!(store.save(refused).await, Err(StoreError::Conflict { .. })));
    store.save(many(0)).await.unwrap();
    let kept = store.happenings_after(0, 1_000).await.unwrap();
    let expected: Vec<_> = (0..100).map(|n| happening(None, n)).collect();
    assert_eq!(kept.into_iter().map(|streamed| streamed.happening).collect::<Vec<_>>(), expected);
}

pub(crate) async fn happenings_have_rising_sequence_and_stable_ids(store: &Store) {
    let writes = [Some("o-1"), None, Some("o-1")].into_iter().zip(1..);
    for (order, n) in writes {
        // A refused save uses up no place in the stream.
        let refused = vec![Write::Happening(happening(order, 0)), Write::HoldSlot("none".into())];
        check_conflict(store.save(refused).await, "none");
        store.save(vec![Write::Happening(happening(order, n))]).await.unwrap();
    }
    let all = store.happenings_after(0, 10).await.unwrap();
    assert_eq!(all.iter().map(|h| h.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all.iter().map(|h| h.id.as_str()).collect::<Vec<_>>(), ["evt-1", "evt-2", "evt-3"]);
    assert_eq!(all[1].happening, happening(None, 2));
    assert_eq!(store.happenings_after(1, 1).await.unwrap(), all[1..2]);
    assert_eq!(store.happenings_after(3, 10).await.unwrap(), []);
    let of_order = store.happenings_of_order(&"o-1".into()).await.unwrap();
    assert_eq!(of_order.iter().map(|h| h.sequence).collect::<Vec<_>>(), [1, 3]);
}

pub(crate) async fn a_message_with_a_known_id_or_once_key_is_dropped(store: &Store) {
    let first = Message { once_key: Some("sms/o-1/completed/done".to_owned()), ..sms("m-1", "l-1", "1", 1) };
    let same_id = sms("m-1", "l-2", "2", 2);
    let same_key = Message { id: "m-2".into(), ..first.clone() };
    store.save(vec![Write::Message(first.clone()), Write::Message(same_key.clone())]).await.unwrap();
    store.save(vec![Write::Message(same_id), Write::Message(same_key)]).await.unwrap();
    let all = store.messages(None, None, ALL).await.unwrap();
    assert_eq!(all.total, 1);
    assert_eq!(all.items[0].message, first);
    let pending = DeliveryState::Pending { attempts: 0, next_attempt: at(1), last_error: None };
    assert_eq!(all.items[0].delivery, pending);
}

pub(crate) async fn only_the_oldest_pending_of_a_stream_and_recipient_is_due(store: &Store) {
    let messages = [
        sms("a-1", "l-1", "1", 10),
        sms("a-2", "l-1", "1", 5),
        sms("other-phone", "l-1", "2", 11),
        sms("other-line", "l-2", "1", 12),
        sms("later", "l-3", "1", 90),
    ];
    store.save(messages.into_iter().map(Write::Message).collect()).await.unwrap();
    check_due(store, 50, &["a-1", "other-phone", "other-line"]).await;
    check_due(store, 9, &[]).await;
    // A failed try holds back what waits behind it.
    let retry = DeliveryState::Pending { attempts: 1, next_attempt: at(60), last_error: Some("timed out".to_owned()) };
    deliver(store, "a-1", retry.clone()).await;
    check_due(store, 50, &["other-phone", "other-line"]).await;
    check_due(store, 60, &["other-phone", "other-line", "a-1"]).await;
    let due = store.due_messages(at(60), 10).await.unwrap();
    assert_eq!(due.iter().find(|e| e.message.id.as_str() == "a-1").unwrap().delivery, retry);
    deliver(store, "a-1", DeliveryState::Sent { at: at(61) }).await;
    check_due(store, 61, &["a-2", "other-phone", "other-line"]).await;
    deliver(store, "a-2", DeliveryState::Dead { at: at(62), reason: "410".to_owned() }).await;
    check_due(store, 62, &["other-phone", "other-line"]).await;
    store.save(vec![Write::Message(sms("a-3", "l-1", "1", 63))]).await.unwrap();
    check_due(store, 63, &["other-phone", "other-line", "a-3"]).await;
    assert_eq!(store.due_messages(at(100), 2).await.unwrap().len(), 2);
    deliver(store, "unknown", DeliveryState::Sent { at: at(1) }).await;
}

pub(crate) async fn a_replayed_message_goes_before_later_ones(store: &Store) {
    for n in 1..=3 {
        store.save(vec![Write::Message(sms(&format!("m-{n}"), "l-1", "1", n))]).await.unwrap();
    }
    let replayed = || DeliveryState::Pending { attempts: 0, next_attempt: at(20), last_error: None };
    deliver(store, "m-1", DeliveryState::Dead { at: at(10), reason: "gone".to_owned() }).await;
    check_due(store, 30, &["m-2"]).await;
    deliver(store, "m-1", replayed()).await;
    check_due(store, 30, &["m-1"]).await;
    deliver(store, "m-1", DeliveryState::Sent { at: at(31) }).await;
    check_due(store, 31, &["m-2"]).await;
    // Ended out of turn, and back again behind the head.
    deliver(store, "m-3", DeliveryState::Dead { at: at(32), reason: "gone".to_owned() }).await;
    deliver(store, "m-3", replayed()).await;
    check_due(store, 33, &["m-2"]).await;
    deliver(store, "m-2", DeliveryState::Sent { at: at(34) }).await;
    check_due(store, 35, &["m-3"]).await;
}

pub(crate) async fn messages_are_listed_by_channel_and_state_newest_first(store: &Store) {
    let mail = Message {
        to: Recipient::Mail { address: "a@example.com".to_owned() },
        body: Body::Invoice { invoice: "inv-1".into() },
        ..sms("mail-1", "l-1", "", 1)
    };
    let writes = [sms("sms-1", "l-1", "1", 1), mail, sms("sms-2", "l-1", "1", 1)].map(Write::Message);
    store.save(writes.into()).await.unwrap();
    let dead = DeliveryState::Dead { at: at(9), reason: "no such number".to_owned() };
    deliver(store, "sms-1", dead.clone()).await;
    let list = |channel, state| async move {
        let found = store.messages(channel, state, ALL).await.unwrap();
        assert_eq!(found.total, found.items.len() as u64);
        found.items.iter().map(|e| e.message.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None).await, ["sms-2", "mail-1", "sms-1"]);
    assert_eq!(list(Some("sms"), None).await, ["sms-2", "sms-1"]);
    assert_eq!(list(Some("sms"), Some("dead")).await, ["sms-1"]);
    assert_eq!(list(None, Some("pending")).await, ["sms-2", "mail-1"]);
    assert!(list(Some("webhook"), None).await.is_empty());
    let last = store.messages(None, None, Page { offset: 2, limit: 1 }).await.unwrap();
    assert_eq!((last.items[0].delivery.clone(), last.total), (dead.clone(), 3));
    let one = store.message(&"sms-1".into()).await.unwrap().unwrap();
    assert_eq!((one.message, one.delivery), (sms("sms-1", "l-1", "1", 1), dead));
    assert!(store.message(&"sms-9".into()).await.unwrap().is_none());
}

pub(crate) async fn listeners_are_replaced_and_removed(store: &Store) {
    let first = Listener {
        id: "h-1".into(),
        callback: "http://127.0.0.1:1/a".to_owned(),
        query: String::new(),
        api: "serviceOrdering".to_owned(),
        secret: "s".to_owned(),
    };
    let other = Listener { id: "h-2".into(), ..first.clone() };
    let changed = Listener { query: "eventType=X".to_owned(), ..first.clone() };
    store.save(vec![Write::Listener(other.clone()), Write::Listener(first)]).await.unwrap();
    store.save(vec![Write::Listener(changed.clone())]).await.unwrap();
    assert_eq!(store.listeners().await.unwrap(), vec![changed, other.clone()]);
    store.save(vec![Write::RemoveListener("h-1".into()), Write::RemoveListener("h-1".into())]).await.unwrap();
    assert_eq!(store.listeners().await.unwrap(), vec![other]);
}

pub(crate) async fn small_values_and_cursors_are_kept(store: &Store) {
    assert_eq!(store.meta("origin-state-id").await.unwrap(), None);
    assert_eq!(store.fan_out_cursor().await.unwrap(), 0);
    for n in [7, 8] {
        let meta = Write::Meta("origin-state-id".to_owned(), n.to_string());
        store.save(vec![meta, Write::FanOutCursor(n)]).await.unwrap();
    }
    assert_eq!(store.meta("origin-state-id").await.unwrap().as_deref(), Some("8"));
    assert_eq!(store.fan_out_cursor().await.unwrap(), 8);
}

async fn deliver(store: &Store, id: &str, delivery: DeliveryState) {
    store.save(vec![Write::Delivery(id.into(), delivery)]).await.unwrap();
}

async fn check_due(store: &Store, now: i64, want: &[&str]) {
    let now: Timestamp = at(now);
    let due = store.due_messages(now, 10).await.unwrap();
    assert_eq!(due.iter().map(|e| e.message.id.as_str()).collect::<Vec<_>>(), want, "due at {now}");
}
