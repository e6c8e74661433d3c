//! Orders, sagas, lines.

use linegate::domain::line::{LineState, SessionState};
use linegate::domain::ordering::{Order, OrderState};
use linegate::domain::time::Timestamp;
use linegate::ports::relational::{IdempotencyRecord, LineFilter, OrderFilter, Page, Write};
use linegate::saga::record::{Phase, SagaEvent, SagaEventKind};
use serde_json::json;

use super::sample::{at, line, order, saga};
use super::{ALL, Store, check_conflict};

pub(crate) async fn a_new_order_is_read_back_one_version_higher(store: &Store) {
    let new = order("o-1", "l-1", 1);
    store.save(vec![Write::Order(new.clone())]).await.unwrap();
    let first = store.order(&new.id).await.unwrap().unwrap();
    assert_eq!(first, Order { version: 1, ..new.clone() });
    store.save(vec![Write::Order(first)]).await.unwrap();
    let second = store.order(&new.id).await.unwrap().unwrap();
    assert_eq!(second, Order { version: 2, ..new });
    assert_eq!(store.order(&"nobody".into()).await.unwrap(), None);
}

pub(crate) async fn a_stale_version_is_refused_and_nothing_of_its_save_stays(store: &Store) {
    let new = order("o-1", "l-1", 1);
    store.save(vec![Write::Order(new.clone())]).await.unwrap();
    let before = store.order(&new.id).await.unwrap();
    let stale = vec![
        Write::Meta("k".to_owned(), "v".to_owned()),
        Write::Order(order("o-2", "l-2", 2)),
        Write::Saga(saga("o-2", 1, 0, 2), vec![SagaEvent { step: 0, kind: SagaEventKind::Begun, at: at(2) }]),
        Write::Order(new.clone()),
    ];
    check_conflict(store.save(stale).await, "o-1");
    assert_eq!(store.order(&new.id).await.unwrap(), before);
    assert_eq!(store.order(&"o-2".into()).await.unwrap(), None);
    assert_eq!(store.saga(&"o-2".into()).await.unwrap(), None);
    assert_eq!(store.saga_log(&"o-2".into()).await.unwrap(), Vec::new());
    assert_eq!(store.meta("k").await.unwrap(), None);
    assert_eq!(store.order_counts().await.unwrap(), vec![(OrderState::Acknowledged, 1)]);
}

pub(crate) async fn an_update_of_what_is_not_there_is_refused(store: &Store) {
    let loaded = Order { version: 3, ..order("o-1", "l-1", 1) };
    check_conflict(store.save(vec![Write::Order(loaded)]).await, "o-1");
    let mut gone = line("l-1", "a-1", 1);
    gone.version = 1;
    check_conflict(store.save(vec![Write::Line(gone)]).await, "l-1");
    assert_eq!(store.line(&"l-1".into()).await.unwrap(), None);
}

pub(crate) async fn writes_are_applied_in_their_order(store: &Store) {
    let new = order("o-1", "l-1", 1);
    let moved = Order { version: 1, state: OrderState::InProgress, ..new.clone() };
    let meta = |v: &str| Write::Meta("k".to_owned(), v.to_owned());
    store.save(vec![meta("1"), Write::Order(new), Write::Order(moved), meta("2")]).await.unwrap();
    let stored = store.order(&"o-1".into()).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.state), (2, OrderState::InProgress));
    assert_eq!(store.meta("k").await.unwrap().as_deref(), Some("2"));
}

pub(crate) async fn orders_are_found_by_each_filter_newest_first_with_the_total(store: &Store) {
    for n in 1..=5 {
        let mut each = order(&format!("o-{n}"), &format!("l-{}", n % 2), n.min(4));
        if n > 3 {
            each.customer = "c-2".into();
            each.state = OrderState::Completed;
        }
        store.save(vec![Write::Order(each)]).await.unwrap();
    }
    let any = OrderFilter::default;
    let table = [
        (any(), vec!["o-5", "o-4", "o-3", "o-2", "o-1"]),
        (OrderFilter { state: Some(OrderState::Completed), ..any() }, vec!["o-5", "o-4"]),
        (OrderFilter { state: Some(OrderState::Held), ..any() }, vec![]),
        (OrderFilter { customer: Some("c-1".into()), ..any() }, vec!["o-3", "o-2", "o-1"]),
        (OrderFilter { external_id: Some("ext-o-2".to_owned()), ..any() }, vec!["o-2"]),
        (OrderFilter { line: Some("l-1".into()), ..any() }, vec!["o-5", "o-3", "o-1"]),
        (OrderFilter { line: Some("l-1".into()), customer: Some("c-1".into()), ..any() }, vec!["o-3", "o-1"]),
    ];
    for (filter, want) in table {
        let found = store.orders(&filter, ALL).await.unwrap();
        let ids: Vec<&str> = found.items.iter().map(|o| o.id.as_str()).collect();
        assert_eq!(ids, want, "{filter:?}");
        assert_eq!(found.total, want.len() as u64, "{filter:?}");
        let second = store.orders(&filter, Page { offset: 1, limit: 1 }).await.unwrap();
        assert_eq!(second.total, want.len() as u64);
        assert_eq!(second.items.first().map(|o| o.id.as_str()), want.get(1).copied());
    }
}

pub(crate) async fn orders_are_counted_by_state_as_they_move(store: &Store) {
    assert_eq!(store.order_counts().await.unwrap(), vec![]);
    for id in ["o-1", "o-2", "o-3"] {
        store.save(vec![Write::Order(order(id, "l-1", 1))]).await.unwrap();
    }
    for id in ["o-1", "o-2"] {
        let mut moved = store.order(&id.into()).await.unwrap().unwrap();
        moved.become_state(OrderState::InProgress, at(2)).unwrap();
        store.save(vec![Write::Order(moved)]).await.unwrap();
    }
    let want = vec![(OrderState::Acknowledged, 1), (OrderState::InProgress, 2)];
    assert_eq!(store.order_counts().await.unwrap(), want);
}

pub(crate) async fn an_idempotency_key_is_taken_once(store: &Store) {
    let first = IdempotencyRecord {
        key: "key/1".to_owned(),
        fingerprint: "aa".to_owned(),
        order: "o-1".into(),
        response: json!({"id": "o-1", "z": 1, "a": 2}),
        created: at(1),
    };
    let second = IdempotencyRecord { order: "o-2".into(), ..first.clone() };
    store.save(vec![Write::Order(order("o-1", "l-1", 1)), Write::Idempotency(first.clone())]).await.unwrap();
    let repeat = vec![Write::Order(order("o-2", "l-1", 1)), Write::Idempotency(second)];
    check_conflict(store.save(repeat).await, "key/1");
    assert_eq!(store.idempotency("key/1").await.unwrap(), Some(first));
    assert_eq!(store.order(&"o-2".into()).await.unwrap(), None);
    assert_eq!(store.idempotency("key/2").await.unwrap(), None);
}

pub(crate) async fn a_saga_keeps_its_log_in_order(store: &Store) {
    let event = |kind, secs| SagaEvent { step: 0, kind, at: at(secs) };
    let begun = event(SagaEventKind::Begun, 1);
    let waits = event(SagaEventKind::Waits { reason: "element olt-1: not connected".to_owned() }, 2);
    let done = event(SagaEventKind::Done, 3);
    store.save(vec![Write::Saga(saga("s", 1, 0, 1), vec![begun.clone()])]).await.unwrap();
    store.save(vec![Write::Saga(saga("other", 1, 0, 1), vec![begun.clone()])]).await.unwrap();
    let mut loaded = store.saga(&"s".into()).await.unwrap().unwrap();
    assert_eq!(loaded.version, 1);
    loaded.phase = Phase::Done;
    store.save(vec![Write::Saga(loaded.clone(), vec![waits.clone(), done.clone()])]).await.unwrap();
    check_conflict(store.save(vec![Write::Saga(loaded, vec![done.clone()])]).await, "saga s");
    assert_eq!(store.saga_log(&"s".into()).await.unwrap(), vec![begun, waits, done]);
    assert_eq!(store.saga(&"s".into()).await.unwrap().unwrap().phase, Phase::Done);
}

pub(crate) async fn due_sagas_come_by_priority_then_age(store: &Store) {
    assert_eq!(store.next_wake().await.unwrap(), None);
    let mut parked = saga("parked", 0, 0, 1);
    parked.wake_at = Timestamp::MAX;
    store.save(vec![Write::Saga(parked, vec![])]).await.unwrap();
    assert_eq!(store.next_wake().await.unwrap(), Some(Timestamp::MAX));
    let mut done = saga("done", 0, 0, 1);
    done.phase = Phase::Done;
    let mut stuck = saga("stuck", 0, 0, 1);
    stuck.phase = Phase::Stuck { step: 0, cause: "refused".to_owned(), undoing: false, turned: None };
    let mut back = saga("back", 2, 10, 1);
    back.phase = Phase::Backward { step: 0, cause: "cancelled".to_owned() };
    let all = [done, stuck, back, saga("late", 0, 11, 1), saga("young", 1, 5, 9), saga("old", 1, 10, 8)];
    store.save(all.into_iter().map(|s| Write::Saga(s, vec![])).collect()).await.unwrap();
    let due = |limit| async move {
        let due = store.due_sagas(at(10), limit).await.unwrap();
        due.iter().map(|s| s.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(due(10).await, ["old", "young", "back"]);
    assert_eq!(due(2).await, ["old", "young"]);
    assert_eq!(store.next_wake().await.unwrap(), Some(at(5)));
}

pub(crate) async fn stuck_sagas_are_listed_oldest_first(store: &Store) {
    for (id, created) in [("b", 2), ("a", 1), ("c", 3)] {
        let mut stuck = saga(id, 1, 0, created);
        stuck.phase = Phase::Stuck { step: 0, cause: "refused".to_owned(), undoing: true, turned: None };
        store
            .save(vec![Write::Saga(stuck, vec![]), Write::Saga(saga(&format!("fine-{id}"), 1, 0, 0), vec![])])
            .await
            .unwrap();
    }
    let page = store.stuck_sagas(Page { offset: 1, limit: 5 }).await.unwrap();
    assert_eq!(page.total, 3);
    assert_eq!(page.items.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
}

pub(crate) async fn lines_are_found_by_each_filter_by_id(store: &Store) {
    for n in [3, 1, 2] {
        let mut each = line(&format!("l-{n}"), "a-1", n);
        each.profile.imsi = Some(format!("45008000000000{n}"));
        each.profile.msisdn = Some(format!("8210{n}"));
        each.profile.device = Some(format!("m-{n}").into());
        if n == 3 {
            each.actual = LineState::Suspended;
            each.customer = "c-2".into();
        }
        store.save(vec![Write::Line(each)]).await.unwrap();
    }
    let any = LineFilter::default;
    let table = [
        (any(), vec!["l-1", "l-2", "l-3"]),
        (LineFilter { state: Some(LineState::Suspended), ..any() }, vec!["l-3"]),
        (LineFilter { state: Some(LineState::Absent), ..any() }, vec![]),
        (LineFilter { customer: Some("c-1".into()), ..any() }, vec!["l-1", "l-2"]),
        (LineFilter { account: Some("a-1".into()), ..any() }, vec!["l-1", "l-2", "l-3"]),
        (LineFilter { account: Some("a-2".into()), ..any() }, vec![]),
        (LineFilter { imsi: Some("450080000000002".to_owned()), ..any() }, vec!["l-2"]),
        (LineFilter { msisdn: Some("82101".to_owned()), ..any() }, vec!["l-1"]),
        (LineFilter { device: Some("m-3".into()), ..any() }, vec!["l-3"]),
    ];
    for (filter, want) in table {
        let found = store.lines(&filter, Page { offset: 0, limit: 2 }).await.unwrap();
        let ids: Vec<&str> = found.items.iter().map(|l| l.id.as_str()).collect();
        assert_eq!(ids, want[..want.len().min(2)], "{filter:?}");
        assert_eq!(found.total, want.len() as u64, "{filter:?}");
    }
}

pub(crate) async fn the_newest_living_line_has_the_identifier(store: &Store) {
    for (id, created, state) in
        [("l-1", 1, LineState::Active), ("l-2", 2, LineState::Suspended), ("l-3", 3, LineState::Terminated)]
    {
        let mut each = line(id, "a-1", created);
        each.actual = state;
        each.profile.imsi = Some("450080000000001".to_owned());
        each.profile.device = Some("m-1".into());
        store.save(vec![Write::Line(each)]).await.unwrap();
    }
    let by_imsi = store.line_of_imsi("450080000000001").await.unwrap().unwrap();
    let by_device = store.lines_of_devices(&["m-1".into(), "m-2".into(), "m-3".into()]).await.unwrap();
    let [(line, session)] = by_device.as_slice() else { panic!("{by_device:?}") };
    assert_eq!((by_imsi.id.as_str(), line.id.as_str()), ("l-2", "l-2"));
    let device = line.profile.device.as_ref().map(|device| device.as_str());
    assert_eq!((line.actual, device), (LineState::Suspended, Some("m-1")));
    assert_eq!(*session, SessionState::default());
    let online = SessionState { modem_online: true, ..SessionState::default() };
    store.save(vec![Write::Sessions(vec![("l-2".into(), online.clone())])]).await.unwrap();
    assert_eq!(store.lines_of_devices(&["m-1".into()]).await.unwrap()[0].1, online);
    assert_eq!(store.line_of_imsi("1").await.unwrap(), None);
    let mut other = super::sample::line("l-4", "a-2", 4);
    (other.profile.imsi, other.profile.msisdn) = (None, Some("821012345678".to_owned()));
    store.save(vec![Write::Line(other)]).await.unwrap();
    let table = [
        ((Some("450080000000001"), None, None), vec!["l-1", "l-2", "l-3"]),
        ((Some("1"), Some("821012345678"), None), vec!["l-4"]),
        ((None, Some("821012345678"), Some("m-1".into())), vec!["l-1", "l-2", "l-3", "l-4"]),
        ((None, None, None), vec![]),
    ];
    for ((imsi, msisdn, device), want) in table {
        let found = store.lines_named(imsi, msisdn, device.as_ref()).await.unwrap();
        assert_eq!(found.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), want, "{imsi:?} {msisdn:?} {device:?}");
    }
}

pub(crate) async fn lines_by_account_come_in_whole_accounts(store: &Store) {
    for (id, account) in [("l-5", "a"), ("l-1", "b"), ("l-2", "b"), ("l-3", "b"), ("l-4", "c")] {
        store.save(vec![Write::Line(line(id, account, 1))]).await.unwrap();
    }
    let read = |after: Option<&'static str>, limit| async move {
        let lines = store.lines_by_account(after.map(Into::into).as_ref(), limit).await.unwrap();
        lines.iter().map(|l| l.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(read(None, 1).await, ["l-5"]);
    assert_eq!(read(None, 2).await, ["l-5", "l-1", "l-2", "l-3"]);
    assert_eq!(read(None, 4).await, ["l-5", "l-1", "l-2", "l-3"]);
    assert_eq!(read(None, 5).await, ["l-5", "l-1", "l-2", "l-3", "l-4"]);
    assert_eq!(read(Some("a"), 1).await, ["l-1", "l-2", "l-3"]);
    assert_eq!(read(Some("b"), 0).await, ["l-4"]);
    assert!(read(Some("c"), 9).await.is_empty());
}

pub(crate) async fn the_session_of_a_line_is_what_was_written_last(store: &Store) {
    assert_eq!(store.session(&"l-1".into()).await.unwrap(), SessionState::default());
    for version in [1, 2] {
        let session = SessionState { modem_online: true, modem_version: Some(version), ..SessionState::default() };
        store.save(vec![Write::Sessions(vec![("l-1".into(), session.clone())])]).await.unwrap();
        assert_eq!(store.session(&"l-1".into()).await.unwrap(), session);
        assert_eq!(store.sessions(&["l-0".into(), "l-1".into()]).await.unwrap(), [("l-1".into(), session)]);
    }
}

pub(crate) async fn modems_that_a_gateway_holds_are_found(store: &Store) {
    for (id, online, gateway) in [
        ("l-1", true, Some("here")),
        ("l-2", false, Some("here")),
        ("l-3", true, Some("there")),
        ("l-4", true, None),
        ("l-5", true, Some("here")),
    ] {
        let mut each = line(id, "a-1", 1);
        each.profile.device = Some(id.replace('l', "m").into());
        let gateway = gateway.map(ToOwned::to_owned);
        let session = SessionState { modem_online: online, modem_gateway: gateway, ..SessionState::default() };
        store.save(vec![Write::Line(each), Write::Sessions(vec![(id.into(), session)])]).await.unwrap();
    }
    let mut ahead = line("l-6", "a-1", 1);
    (ahead.profile.device, ahead.desired_version) = (Some("m-6".into()), 12);
    let reported = SessionState { modem_version: Some(9), ..SessionState::default() };
    store.save(vec![Write::Line(ahead), Write::Sessions(vec![("l-6".into(), reported.clone())])]).await.unwrap();
    assert_eq!(store.devices_behind(Some(&"m-5".into()), 9).await.unwrap(), ["m-6".into()]);
    let reported = SessionState { modem_version: Some(12), ..reported };
    store.save(vec![Write::Sessions(vec![("l-6".into(), reported)])]).await.unwrap();
    assert!(store.devices_behind(Some(&"m-5".into()), 9).await.unwrap().is_empty());
    let all = store.devices_online("here", None, 9).await.unwrap();
    assert_eq!(all, ["m-1".into(), "m-5".into()]);
    assert_eq!(store.devices_online("here", None, 1).await.unwrap(), ["m-1".into()]);
    assert_eq!(store.devices_online("here", Some(&"m-1".into()), 9).await.unwrap(), ["m-5".into()]);
}
