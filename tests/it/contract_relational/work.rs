//! Scheduling and field work.

use linegate::domain::fieldwork::WorkOrderState;
use linegate::domain::scheduling::{Appointment, AppointmentState, CallState, Slot, SlotSearchRecord};
use linegate::domain::time::Interval;
use linegate::ports::relational::{AppointmentFilter, Page, WorkFilter, Write};

use super::sample::{appointment, at, call, slot, work_order};
use super::{ALL, Store, check_conflict};
use crate::sagas::world::worker;

pub(crate) async fn a_slot_is_held_up_to_its_capacity_and_given_back(store: &Store) {
    check_conflict(store.save(vec![Write::HoldSlot("s-1".into())]).await, "s-1");
    store.save(vec![Write::Slot(slot("s-1", 100, 2))]).await.unwrap();
    store.save(vec![Write::HoldSlot("s-1".into()), Write::HoldSlot("s-1".into())]).await.unwrap();
    let full = vec![Write::Meta("k".to_owned(), "v".to_owned()), Write::HoldSlot("s-1".into())];
    check_conflict(store.save(full).await, "s-1");
    assert_eq!(store.meta("k").await.unwrap(), None);
    assert_eq!(store.slot(&"s-1".into()).await.unwrap(), Some(Slot { held: 2, ..slot("s-1", 100, 2) }));
    store.save(vec![Write::ReleaseSlot("s-1".into())]).await.unwrap();
    store.save(vec![Write::HoldSlot("s-1".into())]).await.unwrap();
    store.save(vec![Write::ReleaseSlot("s-1".into()); 3]).await.unwrap();
    assert_eq!(store.slot(&"s-1".into()).await.unwrap().unwrap().held, 0);
    store.save(vec![Write::ReleaseSlot("nowhere".into())]).await.unwrap();
    assert_eq!(store.slot(&"nowhere".into()).await.unwrap(), None);
}

pub(crate) async fn a_replaced_slot_keeps_what_is_held(store: &Store) {
    store.save(vec![Write::Slot(slot("s-1", 100, 2)), Write::HoldSlot("s-1".into())]).await.unwrap();
    store.save(vec![Write::Slot(slot("s-1", 200, 3))]).await.unwrap();
    assert_eq!(store.slot(&"s-1".into()).await.unwrap(), Some(Slot { held: 1, ..slot("s-1", 200, 3) }));
}

pub(crate) async fn free_slots_come_earliest_first_inside_the_stretch(store: &Store) {
    let slots = [slot("s-4", 400, 1), slot("s-2", 200, 1), slot("s-3", 300, 1), slot("s-1", 100, 1)];
    store.save(slots.into_iter().map(Write::Slot).collect()).await.unwrap();
    store.save(vec![Write::HoldSlot("s-3".into())]).await.unwrap();
    let free = |from, until, limit| async move {
        let slots = store.free_slots(at(from), at(until), limit).await.unwrap();
        slots.iter().map(|s| s.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(free(0, 1000, 10).await, ["s-1", "s-2", "s-4"]);
    assert_eq!(free(200, 400, 10).await, ["s-2"]);
    assert_eq!(free(0, 1000, 1).await, ["s-1"]);
}

pub(crate) async fn every_slot_of_a_worker_is_found_full_or_not(store: &Store) {
    let other = Slot { worker: "w-2".into(), ..slot("s-9", 250, 1) };
    let slots = [slot("s-2", 200, 1), slot("s-1", 100, 1), slot("s-3", 300, 0), other];
    store.save(slots.into_iter().map(Write::Slot).collect()).await.unwrap();
    store.save(vec![Write::HoldSlot("s-1".into())]).await.unwrap();
    let found = |worker: Option<&'static str>, from, until, limit| async move {
        let inside = Interval { from: at(from), until: at(until) };
        let slots = store.slots(worker.map(Into::into).as_ref(), inside, limit).await.unwrap();
        slots.iter().map(|s| s.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("w-1"), 0, 1000, 10).await, ["s-1", "s-2", "s-3"]);
    assert_eq!(found(None, 0, 300, 10).await, ["s-1", "s-2", "s-9"]);
    assert_eq!(found(Some("w-1"), 200, 1000, 1).await, ["s-2"]);
}

pub(crate) async fn searches_are_kept_until_they_are_forgotten(store: &Store) {
    let search = |id: &str, created, searched| SlotSearchRecord {
        id: id.to_owned(),
        searched: at(searched),
        created: at(created),
        body: serde_json::json!({ "id": id, "searched": searched }),
    };
    for (id, created) in [("f-1", 10), ("f-2", 20), ("f-3", 30)] {
        store.save(vec![Write::SlotSearch(search(id, created, created))]).await.unwrap();
    }
    store.save(vec![Write::SlotSearch(search("f-1", 10, 99))]).await.unwrap();
    assert_eq!(store.slot_search("f-1").await.unwrap(), Some(search("f-1", 10, 99)));
    let newest = store.slot_searches(Page { offset: 0, limit: 2 }).await.unwrap();
    assert_eq!(newest.items.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["f-3", "f-2"]);
    assert_eq!(newest.total, 3);
    let writes = vec![Write::RemoveSlotSearch("f-3".to_owned()), Write::ForgetSlotSearches(at(20))];
    store.save(writes).await.unwrap();
    let left = store.slot_searches(ALL).await.unwrap();
    assert_eq!(left.items.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["f-2"]);
    assert_eq!(store.slot_search("f-1").await.unwrap(), None);
}

pub(crate) async fn appointments_are_found_by_each_filter_and_deleted_ones_by_none(store: &Store) {
    let agreed =
        Appointment { state: AppointmentState::Agreed, worker: Some("w-1".into()), ..appointment("a-1", "o-1", 1) };
    let other = Appointment { customer: "c-2".into(), ..appointment("a-2", "o-2", 2) };
    let deleted = Appointment { deleted: true, ..appointment("a-3", "o-3", 3) };
    store.save([agreed, other, deleted].into_iter().map(Write::Appointment).collect()).await.unwrap();
    let check = |filter: AppointmentFilter, expected: &'static [&'static str]| async move {
        let found = store.appointments(&filter, ALL).await.unwrap();
        assert_eq!(found.items.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
        assert_eq!(found.total, expected.len() as u64);
    };
    let any = AppointmentFilter::default;
    check(any(), &["a-2", "a-1"]).await;
    check(AppointmentFilter { customer: Some("c-2".into()), ..any() }, &["a-2"]).await;
    check(AppointmentFilter { worker: Some("w-1".into()), ..any() }, &["a-1"]).await;
    check(AppointmentFilter { state: Some(AppointmentState::Agreed), ..any() }, &["a-1"]).await;
    check(AppointmentFilter { state: Some(AppointmentState::Done), ..any() }, &[]).await;
    check(AppointmentFilter::of_order(&"o-3".into()), &[]).await;
    assert!(store.appointment(&"a-3".into()).await.unwrap().unwrap().deleted);
    let mut moved = store.appointment(&"a-1".into()).await.unwrap().unwrap();
    (moved.state, moved.worker) = (AppointmentState::Wanted, None);
    store.save(vec![Write::Appointment(moved)]).await.unwrap();
    check(AppointmentFilter { worker: Some("w-1".into()), ..any() }, &[]).await;
}

pub(crate) async fn appointments_are_newest_first_and_by_order(store: &Store) {
    for (id, order, created) in [("a-1", "o-1", 1), ("a-2", "o-2", 2), ("a-3", "o-1", 3)] {
        store.save(vec![Write::Appointment(appointment(id, order, created))]).await.unwrap();
    }
    check_conflict(store.save(vec![Write::Appointment(appointment("a-1", "o-1", 1))]).await, "a-1");
    let of_order = store.appointments(&AppointmentFilter::of_order(&"o-1".into()), ALL).await.unwrap();
    assert_eq!(of_order.items.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["a-3", "a-1"]);
    let second = store.appointments(&AppointmentFilter::default(), Page { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((second.items[0].id.as_str(), second.total), ("a-2", 3));
    assert_eq!(store.appointment(&"a-2".into()).await.unwrap().unwrap().version, 1);
}

pub(crate) async fn calls_come_by_next_attempt_and_state(store: &Store) {
    for (id, state, next) in [
        ("k-1", CallState::Due, 30),
        ("k-2", CallState::Due, 10),
        ("k-3", CallState::Agreed, 20),
        ("k-4", CallState::Due, 40),
    ] {
        store.save(vec![Write::Call(call(id, state, next))]).await.unwrap();
    }
    check_conflict(store.save(vec![Write::Call(call("k-1", CallState::Due, 30))]).await, "k-1");
    let due = store.calls(Some(CallState::Due), at(30), ALL).await.unwrap();
    assert_eq!(due.items.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["k-2", "k-1"]);
    let all = store.calls(None, at(100), Page { offset: 0, limit: 2 }).await.unwrap();
    assert_eq!(all.items.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["k-2", "k-3"]);
    assert_eq!(all.total, 4);
    assert_eq!(store.call(&"k-3".into()).await.unwrap().unwrap().state, CallState::Agreed);
}

pub(crate) async fn work_orders_come_by_planned_start_and_filter(store: &Store) {
    let worker = worker("w-1");
    store.save(vec![Write::Worker(worker.clone())]).await.unwrap();
    assert_eq!(store.workers().await.unwrap(), vec![worker]);
    for (id, worker, order, planned) in
        [("x-1", "w-1", "o-1", 30), ("x-2", "w-2", "o-1", 20), ("x-3", "w-1", "o-2", 10)]
    {
        store.save(vec![Write::WorkOrder(work_order(id, worker, order, planned))]).await.unwrap();
    }
    let mut started = store.work_order(&"x-1".into()).await.unwrap().unwrap();
    started.state = WorkOrderState::InProgress;
    store.save(vec![Write::WorkOrder(started.clone())]).await.unwrap();
    check_conflict(store.save(vec![Write::WorkOrder(started)]).await, "x-1");
    let list = |worker: Option<&'static str>, state, order: Option<&'static str>| async move {
        let planned = None;
        let filter = WorkFilter { worker: worker.map(Into::into), state, order: order.map(Into::into), planned };
        let found = store.work_orders(&filter, ALL).await.unwrap();
        assert_eq!(found.total, found.items.len() as u64);
        found.items.iter().map(|w| w.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None).await, ["x-3", "x-2", "x-1"]);
    assert_eq!(list(Some("w-1"), None, None).await, ["x-3", "x-1"]);
    assert_eq!(list(Some("w-1"), Some(WorkOrderState::InProgress), None).await, ["x-1"]);
    assert_eq!(list(None, Some(WorkOrderState::Acknowledged), Some("o-1")).await, ["x-2"]);
    assert_eq!(list(None, None, Some("o-2")).await, ["x-3"]);
    let planned = Some(Interval { from: at(10), until: at(30) });
    let found = store.work_orders(&WorkFilter { planned, ..WorkFilter::default() }, ALL).await.unwrap();
    assert_eq!(found.items.iter().map(|w| w.id.as_str()).collect::<Vec<_>>(), ["x-3", "x-2"]);
}

/// What a store of format 3 may hold of scheduling and field work.
pub(crate) const WORK_OF_FORMAT_3: &str = r#"
INSERT INTO workers (id, body) VALUES
    ('w-1', '{"id":"w-1","name":"Kim","skills":["tv"],"area":"Seoul"}'),
    ('w-2', '{"id":"w-2","name":"Lee","skills":["tv"],"area":""}');
INSERT INTO appointments (id, version, body, order_id, created) VALUES
    ('a-1', 1, '{"id":"a-1","order":"o-1","customer":"c-1","phone":null,"address":"Seoul","skills":["tv"],"state":"agreed",
      "slot":"s-1","worker":"w-1","span":{"from":10,"until":20},"created":5,"version":1}', 'o-1', 5),
    ('a-2', 1, '{"id":"a-2","order":"o-2","customer":"c-2","phone":null,"address":"Seoul","skills":["tv"],"state":"wanted",
      "slot":null,"worker":null,"span":null,"created":6,"version":1}', 'o-2', 6);
INSERT INTO calls (id, version, body, state, next_attempt) VALUES
    ('k-1', 1, '{"id":"k-1","appointment":"a-2","order":"o-2","phone":null,"state":"due","attempts":[],
      "next_attempt":7,"version":1}', 'due', 7);
INSERT INTO work_orders (id, version, body, worker, state, order_id, planned) VALUES
    ('x-1', 1, '{"id":"x-1","order":"o-1","appointment":"a-1","lines":["l-1"],"customer":"c-1","address":"Seoul",
      "worker":"w-1","planned":{"from":10,"until":20},"state":"acknowledged","result":null,"return_reason":null,
      "started":null,"ended":null,"version":1}', 'w-1', 'acknowledged', 'o-1', 10);
"#;

pub(crate) async fn work_of_format_3_is_kept(store: &Store) {
    let found = |filter: AppointmentFilter| async move {
        let found = store.appointments(&filter, ALL).await.unwrap().items;
        found.iter().map(|a| a.id.to_string()).collect::<Vec<_>>()
    };
    let any = AppointmentFilter::default;
    assert_eq!(found(any()).await, ["a-2", "a-1"]);
    assert_eq!(found(AppointmentFilter { customer: Some("c-2".into()), ..any() }).await, ["a-2"]);
    assert_eq!(found(AppointmentFilter { worker: Some("w-1".into()), ..any() }).await, ["a-1"]);
    assert_eq!(found(AppointmentFilter { state: Some(AppointmentState::Wanted), ..any() }).await, ["a-2"]);
    let areas: Vec<_> = store.workers().await.unwrap().into_iter().map(|w| w.areas).collect();
    assert_eq!(areas, [vec!["Seoul".to_owned()], vec![]]);
    assert_eq!(store.calls(Some(CallState::Due), at(100), ALL).await.unwrap().items[0].address, "");
    let work = store.work_order(&"x-1".into()).await.unwrap().unwrap();
    assert_eq!((work.items, work.phone, work.return_note), (vec![], None, None));
}
