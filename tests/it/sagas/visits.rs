//! Slots of calendars, the choice of a worker, workers who fall out, call hours.

use std::sync::Arc;
use std::time::Duration;

use linegate::domain::fieldwork::{WorkOrderState, WorkReport};
use linegate::domain::ids::{OrderId, WorkerId};
use linegate::domain::line::LineState;
use linegate::domain::ordering::OrderState;
use linegate::domain::scheduling::{CallOutcome, CallState, WorkCalendar, Worker};
use linegate::domain::time::{Interval, Timestamp};
use linegate::ports::Clock;
use linegate::ports::relational::{OutboxReads, WorkFilter, WorkReads};
use linegate::saga::Drive;
use linegate::saga::testing::{CrashPlan, Side, every_crash};
use linegate::services::ordering::FalloutVerb;
use linegate::services::scheduling::{MovedVisit, SchedulingError, When};
use serde_json::json;

use super::until_work;
use super::world::{ALL, Fault, START, World, order, worker};

const DAY: Duration = Duration::from_secs(86_400);

fn skilled(id: &str) -> Worker {
    Worker { skills: vec!["internet".to_owned(), "tv".to_owned()], ..worker(id) }
}

fn calendar(days: &[&str], capacity: u32) -> WorkCalendar {
    let week = days.iter().map(|d| ((*d).to_owned(), json!([{ "from": "09:00", "until": "12:00" }])));
    let week = serde_json::Map::from_iter(week);
    let whole = json!({ "zone": "Asia/Seoul", "week": week, "slotMinutes": 60, "capacity": capacity });
    serde_json::from_value(whole).unwrap()
}

async fn of_worker(world: &World, id: &str) -> Vec<(Timestamp, u32, u32)> {
    let all = Interval { from: Timestamp(0), until: Timestamp::MAX };
    let slots = world.store.slots(Some(&id.into()), all, 10_000).await.unwrap();
    slots.iter().map(|s| (s.span.from, s.capacity, s.held)).collect()
}

/// An order for a new line, up to where it waits for its call.
async fn wanting(world: &World, line: &str) -> OrderId {
    let add = format!("add {line} spec=internet plan=internet-500m address=Seoul phone=+821012345678");
    let id = world.submit(order(&[&add])).await.unwrap().order.id;
    world.engine.drive(&id.as_str().into()).await.unwrap();
    id
}

#[tokio::test]
async fn slots_are_made_of_calendars_up_to_the_horizon_and_never_doubled() {
    let world = World::new(CrashPlan::never()).await;
    let daily = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let lee = Worker { calendar: Some(calendar(&daily, 2)), ..skilled("lee") };
    world.scheduling.put_worker(lee.clone()).await.unwrap();
    let first = of_worker(&world, "lee").await;
    assert_eq!(first.len(), 28 * 3);
    // Again, by another process, and once more a day later: only the new day is new.
    let world = world.restarted();
    world.scheduling.make_slots().await.unwrap();
    assert_eq!(of_worker(&world, "lee").await, first);
    world.clock.set(START.plus(DAY));
    world.scheduling.make_slots().await.unwrap();
    world.scheduling.make_slots().await.unwrap();
    let second = of_worker(&world, "lee").await;
    assert_eq!((second.len(), &second[..84]), (29 * 3, &first[..]));
}

#[tokio::test]
async fn a_changed_calendar_withdraws_what_it_lost_and_keeps_what_is_agreed() {
    let world = World::new(CrashPlan::never()).await;
    let lee = Worker { calendar: Some(calendar(&["wed", "thu"], 1)), ..skilled("lee") };
    world.scheduling.put_worker(lee.clone()).await.unwrap();
    let id = wanting(&world, "home").await;
    let wednesday = of_worker(&world, "lee").await[0].0;
    let slot = linegate::domain::scheduling::Slot::calendar_id(&"lee".into(), wednesday);
    let booked = world.scheduling.book(&id, &slot).await.unwrap();
    // By hand, over the second hour of Thursday.
    let thursday = of_worker(&world, "lee").await[3].0;
    let by_hand = Interval { from: thursday.plus(DAY / 24), until: thursday.plus(DAY / 12) };
    world.scheduling.put_slot(Some("mine".into()), &"lee".into(), by_hand, 5).await.unwrap();
    world.scheduling.put_worker(Worker { calendar: Some(calendar(&["thu"], 3)), ..lee }).await.unwrap();
    let now = of_worker(&world, "lee").await;
    assert_eq!(&now[..3], &[(wednesday, 0, 1), (now[1].0, 0, 0), (now[2].0, 0, 0)]);
    let thursdays: Vec<_> = now[3..7].iter().map(|(_, capacity, _)| *capacity).collect();
    assert_eq!(thursdays, [3, 0, 5, 3], "the one under the slot by hand is withdrawn");
    assert_eq!(world.scheduling.appointment(&booked.id).await.unwrap(), Some(booked));
    let again = wanting(&world, "home-2").await;
    let refused = world.scheduling.book(&again, &slot).await.unwrap_err();
    assert_eq!(refused, SchedulingError::SlotTaken(slot));
}

#[tokio::test]
async fn of_the_suitable_workers_of_a_time_the_least_loaded_goes() {
    let world = World::new(CrashPlan::never()).await;
    let day = |hour: u64| {
        let from = START.plus(DAY * 10 + Duration::from_secs(3_600 * (12 + hour)));
        Interval { from, until: from.plus(Duration::from_secs(3_600)) }
    };
    let far = Worker { areas: vec!["Busan".to_owned()], ..skilled("aa-far") };
    for worker in [skilled("lee"), skilled("park"), far, worker("aa-unskilled")] {
        let id = worker.id.clone();
        world.scheduling.put_worker(worker).await.unwrap();
        for hour in [0, 1] {
            world.scheduling.put_slot(Some(format!("{id}-{hour}").into()), &id, day(hour), 1).await.unwrap();
        }
    }
    let mut went = Vec::new();
    for (line, hour) in [("a", 0), ("b", 1), ("c", 1), ("d", 0)] {
        let id = wanting(&world, line).await;
        let call = world.scheduling.due_calls(ALL).await.unwrap().items.remove(0);
        world.scheduling.record_agreement(&call.id, "agent", &When::Span(day(hour))).await.unwrap();
        let visits = linegate::ports::relational::AppointmentFilter::of_order(&id);
        let visit = world.scheduling.appointments(&visits, ALL).await.unwrap().items.remove(0);
        went.push(visit.worker.unwrap().to_string());
    }
    assert_eq!(went, ["lee", "park", "lee", "park"]);
    wanting(&world, "e").await;
    let call = world.scheduling.due_calls(ALL).await.unwrap().items.remove(0);
    let full = world.scheduling.record_agreement(&call.id, "agent", &When::Span(day(0))).await.unwrap_err();
    assert_eq!(full, SchedulingError::NobodyFree(day(0)));
}

#[tokio::test]
async fn the_visits_of_a_worker_who_falls_out_go_to_others_or_back_to_the_call_list() {
    let world = World::new(CrashPlan::never()).await;
    let kim = WorkerId::from("kim");
    let (first, second, begun) =
        (wanting(&world, "one").await, wanting(&world, "two").await, wanting(&world, "three").await);
    let mut visits = Vec::new();
    for (id, day) in [(&first, "day-1"), (&second, "day-2"), (&begun, "day-3")] {
        visits.push(world.scheduling.book(id, &day.into()).await.unwrap());
        until_work(&world, id).await;
    }
    let started = until_work(&world, &begun).await;
    world.fieldwork.report(&started.id, WorkReport::Started, None).await.unwrap();
    // Somebody is free on the first day alone.
    world.scheduling.put_worker(skilled("lee")).await.unwrap();
    let span = visits[0].span.unwrap();
    world.scheduling.put_slot(Some("lee-1".into()), &"lee".into(), span, 1).await.unwrap();

    let away = Interval { from: START, until: START.plus(DAY * 4) };
    let moved = world.scheduling.put_absence(&kim, away).await.unwrap();
    let moved = |n: usize| moved.iter().find(|m| m.appointment == visits[n].id).cloned();
    assert_eq!(moved(0), Some(MovedVisit { appointment: visits[0].id.clone(), worker: Some("lee".into()) }));
    assert_eq!(moved(1), Some(MovedVisit { appointment: visits[1].id.clone(), worker: None }));
    assert_eq!(moved(2), None);
    for (day, held) in [("day-1", 0), ("day-2", 0), ("day-3", 1), ("lee-1", 1)] {
        assert_eq!(world.store.slot(&day.into()).await.unwrap().unwrap().held, held, "{day}");
    }
    let work = until_work(&world, &first).await;
    assert_eq!((work.worker.as_str(), work.planned), ("lee", span));
    let cancelled = WorkFilter { state: Some(WorkOrderState::Cancelled), ..WorkFilter::of_order(&second) };
    assert_eq!(world.store.work_orders(&cancelled, ALL).await.unwrap().total, 1);
    let due = world.scheduling.due_calls(ALL).await.unwrap().items;
    assert_eq!(due.iter().map(|c| &c.order).collect::<Vec<_>>(), [&second]);
    let taken = world.scheduling.reschedule(&visits[1].id, &When::Slot("day-3".into())).await.unwrap_err();
    assert!(matches!(taken, SchedulingError::SlotTaken(_)));
    let absent = world.scheduling.reschedule(&visits[1].id, &When::Slot("day-2".into())).await.unwrap_err();
    assert!(matches!(absent, SchedulingError::Unsuitable { .. }), "{absent}");
    // A round of the background task finds nothing left to move.
    world.scheduling.make_slots().await.unwrap();
    assert_eq!(world.scheduling.due_calls(ALL).await.unwrap().total, 1);
    for id in [&first, &second, &begun] {
        assert!(world.drive(id).await);
        assert_eq!(world.order(id).await.state, OrderState::Completed);
    }
}

#[tokio::test]
async fn nobody_is_called_outside_the_hours() {
    let mut world = World::new(CrashPlan::never()).await;
    // 23:13 in Seoul.
    let hours = |s: &mut linegate::services::scheduling::SchedulingSettings| {
        (s.call_from, s.call_until) = ("09:00".parse().unwrap(), "20:00".parse().unwrap());
    };
    world = world.rescheduled(hours);
    let id = wanting(&world, "home").await;
    assert_eq!(world.scheduling.due_calls(ALL).await.unwrap().total, 0);
    let call = world.scheduling.calls(Some(CallState::Due), ALL).await.unwrap().items.remove(0);
    let morning = Timestamp::parse("2026-09-22T00:00:00Z").unwrap();
    assert_eq!(call.next_attempt, morning);
    world.clock.set(morning);
    assert_eq!(world.scheduling.due_calls(ALL).await.unwrap().items[0].id, call.id);
    // Due all day and not made: it leaves the list in the evening.
    world.clock.set(Timestamp::parse("2026-09-22T12:00:00Z").unwrap());
    assert_eq!(world.scheduling.due_calls(ALL).await.unwrap().total, 0);
    let again = world.scheduling.record_outcome(&call.id, "agent", CallOutcome::NoAnswer).await.unwrap();
    assert_eq!(again.next_attempt, Timestamp::parse("2026-09-23T00:00:00Z").unwrap());
    assert_eq!(world.order(&id).await.state, OrderState::Pending);
}

#[tokio::test]
async fn an_agreed_time_is_told_by_sms_with_a_link_once_for_each_time() {
    let world = World::new(CrashPlan::never()).await;
    let id = wanting(&world, "home").await;
    let booked = world.scheduling.book(&id, &"day-2".into()).await.unwrap();
    world.scheduling.reschedule(&booked.id, &When::Slot("day-2".into())).await.unwrap();
    world.scheduling.reschedule(&booked.id, &When::Slot("day-3".into())).await.unwrap();
    let sent = world.store.messages(Some("sms"), None, ALL).await.unwrap().items;
    let keys: Vec<_> = sent.iter().filter_map(|m| m.message.once_key.clone()).collect();
    assert_eq!(keys.iter().filter(|k| k.ends_with("/visit-agreed")).count(), 2, "{keys:?}");
    let events = world.store.happenings_of_order(&id).await.unwrap();
    let kinds = events.iter().map(|h| h.happening.event_type.as_str());
    assert_eq!(kinds.filter(|k| *k == "AppointmentAttributeValueChangeEvent").count(), 1);
}

const BOTH: [&str; 2] =
    ["add net spec=internet plan=internet-500m address=Seoul", "add tele spec=tv plan=tv-basic address=Seoul"];

/// A world whose visits a scheduler outside agrees on.
async fn scheduled_outside(plan: Arc<CrashPlan>) -> World {
    World::with(plan, |settings| "http://scheduler".clone_into(&mut settings.external_url)).await
}

fn with_both() -> super::Case {
    ("internet and tv, scheduled outside", vec![], BOTH.to_vec(), "tele", LineState::Active)
}

#[tokio::test]
async fn a_crash_at_any_point_changes_nothing_about_a_visit_that_is_agreed_outside() {
    let case = &with_both();
    let run = |plan: Arc<CrashPlan>| async move {
        let world = scheduled_outside(plan).await;
        let id = world.submit(order(&case.2)).await.unwrap().order.id;
        world.plan.arm();
        let world = world.survive(&id).await;
        super::agree(&world, &id, case, "after a crash").await;
        assert_eq!(world.net.scheduled(), 1, "one visit there");
        world.end(&id).await
    };
    let (expected, ends) = every_crash(run).await;
    assert_eq!(expected.order, OrderState::Completed, "{expected:?}");
    for (point, side, end) in ends {
        assert_eq!(end, expected, "crash {side:?} point {point}");
    }
}

#[tokio::test]
async fn a_fault_of_any_call_leaves_a_visit_agreed_outside_or_nothing_of_it() {
    let case = &with_both();
    for fault in [Fault::Away, Fault::LostAnswer, Fault::LostCommand, Fault::Refused] {
        for n in 0.. {
            let world = scheduled_outside(CrashPlan::never()).await;
            let id = world.submit(order(&case.2)).await.unwrap().order.id;
            world.net.fail(n, fault);
            assert!(world.drive(&id).await);
            let mut end = world.order(&id).await;
            if end.state == OrderState::Held {
                assert_eq!(fault, Fault::Refused, "call {n}");
                world.ordering.intervene(&id, FalloutVerb::Retry, "op").await.unwrap();
                assert!(world.drive(&id).await);
                end = world.order(&id).await;
            }
            assert!(end.state.is_final(), "{fault:?} at call {n}: {:?}", end.state);
            super::agree(&world, &id, case, &format!("{fault:?} at call {n}")).await;
            let there = usize::from(end.state == OrderState::Completed);
            assert_eq!(world.net.scheduled(), there, "{fault:?} at call {n}: {:?}", end.state);
            if world.net.calls() <= n {
                break;
            }
        }
    }
}

#[tokio::test]
async fn cancelling_at_any_point_leaves_no_visit_at_the_scheduler() {
    let mut cancelled = 0;
    for n in 0.. {
        let world = scheduled_outside(CrashPlan::at(n, Side::After)).await;
        let id = world.submit(order(&BOTH)).await.unwrap().order.id;
        world.plan.arm();
        let crashed = !world.drive(&id).await;
        let world = world.restarted();
        if world.ordering.cancel(&id, "changed my mind").await.is_ok() {
            assert!(world.drive(&id).await);
            assert_eq!(world.order(&id).await.state, OrderState::Cancelled, "at {n}");
            assert_eq!(world.net.scheduled(), 0, "at {n}");
            cancelled += 1;
        }
        if !crashed {
            break;
        }
    }
    assert!(cancelled > 5);
}

#[tokio::test]
async fn while_the_scheduler_is_away_the_activation_stays_and_by_setting_the_call_list_takes_over() {
    for (patience_s, falls_back) in [(0, false), (600, true)] {
        let world = World::with(CrashPlan::never(), |settings| {
            "http://scheduler".clone_into(&mut settings.external_url);
            settings.external_fallback_s = patience_s;
        })
        .await;
        world.net.away.lock().unwrap().insert("scheduler".to_owned());
        let id = world.submit(order(&BOTH)).await.unwrap().order.id;
        for _ in 0..50 {
            if let Drive::Parked(at) = world.engine.drive(&id.as_str().into()).await.unwrap() {
                world.clock.set(at.max(world.clock.now()).min(START.plus(Duration::from_secs(1_200))));
            }
        }
        assert_eq!(world.order(&id).await.state, OrderState::Pending);
        assert_eq!(world.net.held(&"net".into()), LineState::Active);
        let calls = world.scheduling.due_calls(ALL).await.unwrap().total;
        assert_eq!(calls, u64::from(falls_back));
        world.net.away.lock().unwrap().clear();
        assert_eq!(world.engine.signal_all("scheduler:"), usize::from(!falls_back));
        assert!(world.drive(&id).await);
        assert_eq!(world.order(&id).await.state, OrderState::Completed);
        assert_eq!(world.net.scheduled(), usize::from(!falls_back));
    }
}

#[tokio::test]
async fn a_job_given_back_is_another_visit_to_the_scheduler() {
    let world = scheduled_outside(CrashPlan::never()).await;
    let id = world.submit(order(&BOTH)).await.unwrap().order.id;
    let mut work = None;
    for _ in 0..20 {
        match world.engine.drive(&id.as_str().into()).await.unwrap() {
            Drive::Parked(at) => world.clock.set(at.max(world.clock.now()).min(START.plus(DAY))),
            other => panic!("{other:?}"),
        }
        work = world.store.work_orders(&WorkFilter::of_order(&id), ALL).await.unwrap().items.pop();
        if work.is_some() {
            break;
        }
    }
    let work = work.unwrap();
    assert_eq!((work.worker.as_str(), work.lines.len()), ("theirs", 2));
    let visit = world.scheduling.appointment(&work.appointment).await.unwrap().unwrap();
    let later = Interval { from: START.plus(DAY * 3), until: START.plus(DAY * 4) };
    let moved = world.scheduling.agree_outside(&visit.id, &"other".into(), later).await.unwrap();
    assert_eq!((moved.worker.unwrap().as_str(), moved.span), ("other", Some(later)));
    let work = world.fieldwork.work_order(&work.id).await.unwrap().unwrap();
    assert_eq!((work.worker.as_str(), work.planned), ("other", later));
    let here = world.scheduling.reschedule(&visit.id, &When::Slot("day-1".into())).await.unwrap_err();
    assert_eq!(here, SchedulingError::Elsewhere(visit.id.clone()));
    world.fieldwork.report(&work.id, WorkReport::returned("customer-absent", true), None).await.unwrap();
    let refused = world.scheduling.agree_outside(&visit.id, &"other".into(), later).await.unwrap_err();
    assert!(matches!(refused, SchedulingError::WrongState { .. }));
    assert!(world.drive(&id).await);
    assert_eq!(world.order(&id).await.state, OrderState::Completed);
    assert_eq!(world.net.scheduled(), 2);
}

#[tokio::test]
async fn a_worker_who_falls_out_at_any_point_leaves_no_order_behind() {
    let (mut moved_to_calls, mut untouched) = (0, 0);
    for n in 0.. {
        let world = World::new(CrashPlan::at(n, Side::After)).await;
        let id = world.submit(order(&BOTH)).await.unwrap().order.id;
        world.plan.arm();
        let crashed = !world.drive(&id).await;
        let world = world.restarted();
        world.scheduling.put_worker(skilled("lee")).await.unwrap();
        let from = START.plus(DAY * 8);
        let span = Interval { from, until: from.plus(DAY / 12) };
        world.scheduling.put_slot(Some("lee-8".into()), &"lee".into(), span, 1).await.unwrap();
        let away = Interval { from: START, until: START.plus(DAY * 7) };
        let moved = world.scheduling.put_absence(&"kim".into(), away).await.unwrap();
        assert!(world.drive(&id).await, "at {n}");
        assert_eq!(world.order(&id).await.state, OrderState::Completed, "at {n}");
        let works = world.store.work_orders(&WorkFilter::of_order(&id), ALL).await.unwrap().items;
        let done: Vec<_> = works.iter().filter(|w| w.state == WorkOrderState::Completed).collect();
        assert_eq!(done.len(), 1, "at {n}: {works:?}");
        assert!(!works.iter().any(|w| w.state.may_become(WorkOrderState::Cancelled)), "at {n}: {works:?}");
        let all = Interval { from: Timestamp(0), until: Timestamp::MAX };
        let slots = world.store.slots(None, all, 100).await.unwrap();
        assert_eq!(slots.iter().map(|s| s.held).sum::<u32>(), 1, "at {n}: {slots:?}");
        moved_to_calls += usize::from(!moved.is_empty());
        untouched += usize::from(done[0].worker.as_str() == "kim");
        if !crashed {
            break;
        }
    }
    assert!(moved_to_calls > 0 && untouched > 0, "{moved_to_calls} moved, {untouched} not");
}
