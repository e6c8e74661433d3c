//! Thresholds of usage: the suspension that one asks for, and sessions that are
//! called back for quota.

use std::sync::Arc;

use linegate::domain::ids::OrderId;
use linegate::domain::line::LineState;
use linegate::domain::notification::threshold_happenings;
use linegate::domain::ordering::OrderState;
use linegate::domain::tariff::ThresholdAction;
use linegate::domain::usage::{Crossing, UsageRecord};
use linegate::ports::network::NetworkError;
use linegate::ports::relational::{OrderFilter, OrderReads, OutboxReads, Relational, Write};
use linegate::saga::testing::CrashPlan;
use linegate::services::activation::reauthorize;
use linegate::services::thresholds::{Recall, ThresholdSettings, Thresholds};

use super::world::{ALL, Fault, SHARED_TARIFF, World, order};
use super::{CELLULAR, SUSPEND, TERMINATE, prepared, with_session};
use crate::contract_hot::record;

async fn thresholds(world: &World, busy_tries: u32) -> Thresholds {
    let settings = ThresholdSettings { busy_tries, ..ThresholdSettings::default() };
    let recall = Recall { charging: world.net.clone(), elements: world.net.clone(), tariff: SHARED_TARIFF.clone() };
    Thresholds::open(world.store.clone(), Arc::clone(&world.ordering), recall, settings).await.unwrap()
}

/// The usage of `line` reaches a threshold.
async fn reach(world: &World, line: &str, threshold: &str, action: ThresholdAction) {
    let crossed = vec![Crossing { threshold: threshold.to_owned(), action }];
    let record = UsageRecord { line: Some(line.into()), plan: Some("iot-payg".into()), crossed, ..record("1") };
    world.store.save(threshold_happenings(&record).map(Write::Happening).collect()).await.unwrap();
}

/// Everything that is new is done with.
async fn all(thresholds: &mut Thresholds) {
    while thresholds.step().await.unwrap() > 0 {}
}

async fn order_of(world: &World, external: &str) -> Option<OrderId> {
    let filter = OrderFilter { external_id: Some(external.to_owned()), ..OrderFilter::default() };
    let found = world.store.orders(&filter, ALL).await.unwrap().items;
    assert!(found.len() < 2, "{external} was ordered once");
    found.first().map(|order| order.id.clone())
}

#[tokio::test]
async fn a_threshold_suspends_its_line_once_in_a_cycle() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    let mut service = thresholds(&world, 0).await;
    reach(&world, "line", "half", ThresholdAction::Notify).await;
    reach(&world, "line", "most", ThresholdAction::Throttle).await;
    reach(&world, "line", "bill-shock", ThresholdAction::Suspend).await;
    all(&mut service).await;
    for told in ["half", "most"] {
        assert_eq!(order_of(&world, &format!("threshold/line/2026-10/{told}")).await, None);
    }
    let id = order_of(&world, "threshold/line/2026-10/bill-shock").await.expect("the line is to be suspended");
    assert!(world.drive(&id).await);
    let done = world.order(&id).await;
    assert_eq!((done.state, world.line("line").await.actual), (OrderState::Completed, LineState::Suspended));
    assert!(done.notes[0].text.contains("`bill-shock` of plan iot-payg"), "{:?}", done.notes);
    assert_eq!(world.net.charged(&"line".into()), Some((LineState::Suspended, false)), "no quota any more");
    assert_eq!(world.net.in_use(&"line".into(), "450081234567890"), (false, false), "its session has ended");

    // The line goes on, and the event is read again: the first order stands.
    world.carry_out(order(&[super::RESUME])).await;
    world.store.save(vec![Write::Meta("thresholds.cursor".to_owned(), "0".to_owned())]).await.unwrap();
    let mut again = thresholds(&world, 0).await;
    all(&mut again).await;
    assert_eq!(order_of(&world, "threshold/line/2026-10/bill-shock").await, Some(id));
    assert_eq!(world.line("line").await.actual, LineState::Active);
}

#[tokio::test]
async fn a_line_that_is_suspended_has_ended_or_is_unknown_stops_no_other() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    world.carry_out(order(&[SUSPEND])).await;
    let mut service = thresholds(&world, 0).await;
    reach(&world, "nobody", "cap", ThresholdAction::Suspend).await;
    reach(&world, "line", "cap", ThresholdAction::Suspend).await;
    all(&mut service).await;
    let id = order_of(&world, "threshold/line/2026-10/cap").await.unwrap();
    let done = world.order(&id).await;
    assert_eq!((done.state, done.items[0].code.as_deref()), (OrderState::Completed, Some("already-suspended")));
    assert_eq!(order_of(&world, "threshold/nobody/2026-10/cap").await, None);
    world.carry_out(order(&[TERMINATE])).await;
    reach(&world, "line", "late", ThresholdAction::Suspend).await;
    all(&mut service).await;
    assert_eq!(order_of(&world, "threshold/line/2026-10/late").await, None);
}

#[tokio::test]
async fn a_full_queue_is_waited_for_and_not_for_ever() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    let mut waiting = Vec::new();
    for plan in ["iot-10mb", "iot-payg", "iot-10mb"] {
        let text = format!("modify line plan={plan}");
        waiting.push(world.submit(order(&[&text])).await.unwrap().order.id);
    }
    let mut service = thresholds(&world, 2).await;
    all(&mut service).await;
    reach(&world, "line", "a", ThresholdAction::Suspend).await;
    assert_eq!([service.step().await.unwrap(), service.step().await.unwrap()], [0, 0], "it waits");
    assert_eq!(service.step().await.unwrap(), 1, "it is given up");
    assert_eq!(order_of(&world, "threshold/line/2026-10/a").await, None);
    reach(&world, "line", "b", ThresholdAction::Suspend).await;
    assert_eq!(service.step().await.unwrap(), 0);
    assert!(world.drive(&waiting[0]).await);
    all(&mut service).await;
    assert!(order_of(&world, "threshold/line/2026-10/b").await.is_some(), "there is room again");
}

#[tokio::test]
async fn the_first_start_begins_where_the_outbox_is() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    reach(&world, "line", "old", ThresholdAction::Suspend).await;
    let last = world.store.happenings_after(0, 1_000).await.unwrap().last().unwrap().sequence;
    world.store.save(vec![Write::FanOutCursor(last)]).await.unwrap();
    let mut service = thresholds(&world, 0).await;
    all(&mut service).await;
    assert_eq!(order_of(&world, "threshold/line/2026-10/old").await, None);
}

#[tokio::test]
async fn open_sessions_are_called_back_and_one_that_is_away_is_told() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    let line = world.line("line").await;
    let call = || reauthorize(&*world.net, &*world.net, &line.account, &line.id);
    let told = call().await.unwrap();
    assert_eq!(told.iter().map(|(open, told)| (open.peer.as_str(), told)).collect::<Vec<_>>(), [("pgw", &Ok(true))]);
    world.net.fail(1, Fault::Away);
    let told = call().await.unwrap();
    assert!(matches!(told[0].1, Err(NetworkError::Away { .. })), "{told:?}");
    world.net.fail(0, Fault::Away);
    assert!(call().await.is_err(), "charging does not say which are open");
    world.net.close_sessions(&line.id);
    assert_eq!(call().await.unwrap(), []);
}

#[tokio::test]
async fn a_rule_that_slows_a_line_down_calls_its_sessions_back() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    let mut service = thresholds(&world, 0).await;
    let called_back = || world.net.trace().iter().filter(|call| call.contains("reauthorize")).count();
    reach(&world, "line", "most", ThresholdAction::Throttle).await;
    reach(&world, "line", "another", ThresholdAction::Throttle).await;
    all(&mut service).await;
    assert_eq!(called_back(), 0, "neither rule says how slow");
    reach(&world, "line", "slow", ThresholdAction::Throttle).await;
    reach(&world, "nobody", "slow", ThresholdAction::Throttle).await;
    all(&mut service).await;
    assert_eq!(called_back(), 1);
    assert_eq!(order_of(&world, "threshold/line/2026-10/slow").await, None, "no order is needed");
    // A client that is away comes by itself, and stops nothing.
    world.net.fail(1, Fault::Away);
    reach(&world, "line", "slow", ThresholdAction::Throttle).await;
    reach(&world, "line", "bill-shock", ThresholdAction::Suspend).await;
    all(&mut service).await;
    assert!(order_of(&world, "threshold/line/2026-10/bill-shock").await.is_some());
}
