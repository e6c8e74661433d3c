//! Every kind of order on every access: crashed at every point, refused and
//! left without an answer at every call, cancelled at every point. Afterwards
//! order, line, element and charging always agree.

mod thresholds;
mod visits;
pub mod world;

use std::sync::Arc;

use linegate::domain::fieldwork::WorkReport;
use linegate::domain::line::LineState;
use linegate::domain::ordering::OrderState;
use linegate::domain::request::NewOrder;
use linegate::domain::scheduling::CallOutcome;
use linegate::domain::time::Timestamp;
use linegate::ports::Clock;
use linegate::ports::relational::{OutboxReads, WorkFilter, WorkReads};
use linegate::saga::Drive;
use linegate::saga::testing::{CrashPlan, Side, every_crash};
use linegate::services::device_states::{Report, Reported};
use linegate::services::ordering::{FalloutVerb, Idempotency, SubmitError, VerbRefused};
use linegate::services::scheduling::{SchedulingError, When};

use world::{ALL, Fault, START, World, order};

const CELLULAR: &str = "add line spec=cellular plan=iot-payg imsi=450081234567890 deviceId=modem-1 phone=+821012345678";
const INTERNET: &str = "add line spec=internet plan=internet-500m address=Seoul";
const TV: &str = "add line spec=tv plan=tv-basic address=Seoul";
const SUSPEND: &str = "modify line state=inactive";
const RESUME: &str = "modify line state=active";
const TERMINATE: &str = "delete line";

/// Name, orders before, the order, the line it is about, the state it ends in.
type Case = (&'static str, Vec<&'static str>, Vec<&'static str>, &'static str, LineState);

fn cases() -> Vec<Case> {
    use LineState::{Active, Suspended, Terminated};
    let mut cases = Vec::new();
    for (add, modify) in [(CELLULAR, "iot-10mb"), (INTERNET, "internet-1g"), (TV, "tv-plus")] {
        let modify = match modify {
            "iot-10mb" => "modify line plan=iot-10mb",
            "internet-1g" => "modify line plan=internet-1g",
            _ => "modify line plan=tv-plus",
        };
        let reconnect = "add new reconnects=line";
        cases.push(("activate", vec![], vec![add], "line", Active));
        cases.push(("suspend", vec![add], vec![SUSPEND], "line", Suspended));
        cases.push(("resume", vec![add, SUSPEND], vec![RESUME], "line", Active));
        cases.push(("terminate", vec![add], vec![TERMINATE], "line", Terminated));
        cases.push(("terminate suspended", vec![add, SUSPEND], vec![TERMINATE], "line", Terminated));
        cases.push(("reconnect", vec![add, TERMINATE], vec![reconnect], "new", Active));
        cases.push(("modify", vec![add], vec![modify], "line", Active));
    }
    let both =
        vec!["add net spec=internet plan=internet-500m address=Seoul", "add tele spec=tv plan=tv-basic address=Seoul"];
    cases.push(("internet and tv", vec![], both, "tele", Active));
    cases.push(("swap sim", vec![CELLULAR], vec!["modify line imsi=450089999999999"], "line", Active));
    cases
}

/// The cases whose steps differ: TV lines take the steps of internet lines.
fn distinct_cases() -> Vec<Case> {
    cases().into_iter().filter(|c| c.0 == "activate" || !c.1.contains(&TV)).collect()
}

/// The world before the order: earlier orders done, the device attached with a session.
async fn prepared(case: &Case, plan: Arc<CrashPlan>) -> World {
    let world = World::new(plan).await;
    for before in &case.1 {
        let done = world.carry_out(order(&[before])).await;
        assert_eq!(done.state, OrderState::Completed, "{before}");
    }
    if case.1 == [CELLULAR] {
        world.net.open_session(&"line".into(), "450081234567890");
        world.devices.attach("450081234567890", "mme").await.unwrap();
    }
    world
}

/// Any case whose line is attached and has a session before the order.
fn with_session() -> Case {
    ("suspend", vec![CELLULAR], vec![SUSPEND], "line", LineState::Suspended)
}

/// Order, line and element say the same.
async fn agree(world: &World, id: &linegate::domain::ids::OrderId, case: &Case, what: &str) {
    let stands = world.order(id).await;
    for item in &stands.items {
        let line = world.line(item.line.as_str()).await;
        let held = world.net.held(&item.line);
        assert_eq!(line.actual, held, "{} {what}: line and element of {stands:?}", case.0);
        assert_eq!(line.intended, line.actual, "{} {what}: intended and actual", case.0);
        let charged = match held {
            LineState::Absent => None,
            state => Some((state, state == LineState::Active)),
        };
        assert_eq!(world.net.charged(&item.line), charged, "{} {what}: element and charging", case.0);
        assert!(line.queue.is_empty(), "{} {what}: the queue is empty", case.0);
        if matches!(held, LineState::Suspended | LineState::Terminated) {
            let imsi = line.profile.imsi.as_deref().unwrap_or_default();
            assert_eq!(world.net.in_use(&item.line, imsi), (false, false), "{} {what}: in use", case.0);
        }
        let reached = line.actual == case.4;
        let went = stands.state == OrderState::Completed;
        let moves = case.0 != "modify" && case.0 != "swap sim";
        assert!(!moves || reached == went, "{} {what}: {:?} and {:?}", case.0, stands.state, line.actual);
    }
}

#[tokio::test]
async fn a_crash_at_any_point_changes_nothing_about_the_end() {
    for case in &cases() {
        let run = |plan: Arc<CrashPlan>| async move {
            let world = prepared(case, plan).await;
            let id = world.submit(order(&case.2)).await.unwrap().order.id;
            world.plan.arm();
            let world = world.survive(&id).await;
            agree(&world, &id, case, "after a crash").await;
            world.end(&id).await
        };
        let (expected, ends) = every_crash(run).await;
        assert_eq!(expected.order, OrderState::Completed, "{}: {expected:?}", case.0);
        assert!(ends.len() > 8, "{} passes {} points", case.0, ends.len());
        for (point, side, end) in ends {
            assert_eq!(end, expected, "{}: crash {side:?} point {point}", case.0);
        }
    }
}

#[tokio::test]
async fn a_fault_of_any_call_leaves_order_line_and_element_in_agreement() {
    for case in &distinct_cases() {
        for fault in [Fault::Away, Fault::LostAnswer, Fault::LostCommand, Fault::Refused] {
            for n in 0.. {
                let world = prepared(case, CrashPlan::never()).await;
                let before = world.net.calls();
                let id = world.submit(order(&case.2)).await.unwrap().order.id;
                world.net.fail(n, fault);
                assert!(world.drive(&id).await);
                let mut end = world.order(&id).await;
                let what = format!("{fault:?} at call {n}");
                if end.state == OrderState::Held {
                    assert_eq!(fault, Fault::Refused, "{} {what}", case.0);
                    world.ordering.intervene(&id, FalloutVerb::Retry, "op").await.unwrap();
                    assert!(world.drive(&id).await);
                    end = world.order(&id).await;
                } else if fault != Fault::Refused {
                    assert_eq!(end.state, OrderState::Completed, "{} {what}", case.0);
                }
                assert!(end.state.is_final(), "{} {what}: {:?}", case.0, end.state);
                agree(&world, &id, case, &what).await;
                if world.net.calls() - before <= n {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn cancelling_at_any_point_has_one_winner() {
    for case in &distinct_cases() {
        let (mut cancelled, mut late) = (0, 0);
        for n in 0.. {
            let world = prepared(case, CrashPlan::at(n, Side::After)).await;
            let undisturbed = case.4;
            let before = match case.1.len() {
                0 => LineState::Absent,
                _ => world.net.held(&case.3.into()),
            };
            let id = world.submit(order(&case.2)).await.unwrap().order.id;
            world.plan.arm();
            let crashed = !world.drive(&id).await;
            let world = world.restarted();
            match world.ordering.cancel(&id, "changed my mind").await {
                Ok(outcome) => {
                    assert_eq!(outcome.order.state, OrderState::PendingCancellation);
                    assert!(world.drive(&id).await);
                    assert_eq!(world.order(&id).await.state, OrderState::Cancelled, "{} at {n}", case.0);
                    assert_eq!(world.net.held(&case.3.into()), before, "{} at {n}", case.0);
                    cancelled += 1;
                }
                Err(VerbRefused::TooLate { .. } | VerbRefused::WrongState { .. }) => {
                    assert!(world.drive(&id).await);
                    assert_eq!(world.order(&id).await.state, OrderState::Completed, "{} at {n}", case.0);
                    assert_eq!(world.net.held(&case.3.into()), undisturbed, "{} at {n}", case.0);
                    late += 1;
                }
                Err(e) => panic!("{} at {n}: {e}", case.0),
            }
            assert!(world.line(case.3).await.queue.is_empty());
            if !crashed {
                break;
            }
        }
        assert!(cancelled > 0 && late > 0, "{}: {cancelled} cancelled, {late} late", case.0);
    }
}

#[tokio::test]
async fn suspension_and_change_reach_the_outside_in_their_order() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    let table: [(&str, &[&str]); 4] = [
        (
            "modify line plan=iot-10mb",
            &[
                "hss: provision",
                "charging: change line",
                "mme: modify subscription",
                "charging: open sessions",
                "pgw: reauthorize",
                "modem: told",
            ],
        ),
        (
            SUSPEND,
            &[
                "charging: stop grants",
                "charging: open sessions",
                "pgw: abort session",
                "charging: session ended",
                "hss: provision",
                "mme: cancel location",
                "modem: told",
                "charging: reach",
            ],
        ),
        (RESUME, &["hss: provision", "charging: reach", "mme: insert subscriber data", "modem: told"]),
        (
            TERMINATE,
            &["charging: stop grants", "hss: provision", "mme: cancel location", "modem: told", "charging: reach"],
        ),
    ];
    for (text, expected) in table {
        world.net.trace();
        world.carry_out(order(&[text])).await;
        assert_eq!(world.net.trace(), expected, "{text}");
    }
}

#[tokio::test]
async fn terminating_a_terminated_line_completes_at_once_and_touches_nothing() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    world.carry_out(order(&[TERMINATE])).await;
    let (commands, version) = (world.net.commands(), world.line("line").await.version);
    let messages = world.store.messages(None, None, ALL).await.unwrap().total;
    let events = world.store.happenings_after(0, 1_000).await.unwrap().len();

    let again = world.submit(order(&[TERMINATE])).await.unwrap();
    assert_eq!(again.order.state, OrderState::Completed);
    assert_eq!(again.order.items[0].code.as_deref(), Some("already-terminated"));
    assert_eq!(again.response["errorMessage"][0]["code"], "already-terminated");
    assert!(world.ordering.saga(&again.order.id).await.unwrap().is_none());
    assert_eq!(world.net.commands(), commands);
    assert_eq!(world.line("line").await.version, version);
    assert_eq!(world.store.messages(None, None, ALL).await.unwrap().total, messages);
    let after = world.store.happenings_after(0, 1_000).await.unwrap();
    let new: Vec<_> = after[events..].iter().map(|h| h.happening.event_type.as_str()).collect();
    assert_eq!(new, ["ServiceOrderCreateEvent"]);
}

async fn refused(world: &World, new: NewOrder) -> String {
    match world.submit(new).await {
        Ok(accepted) => panic!("accepted {:?}", accepted.order),
        Err(SubmitError::Store(e)) => panic!("{e}"),
        Err(e) => e.to_string(),
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_moves() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    let table: [(&[&str], &str); 13] = [
        (&["modify nowhere state=inactive"], "service `nowhere` is not known"),
        (&["modify line plan=gold"], "plan `gold` is not known"),
        (&["modify line apns=evil.example"], "apn `evil.example` is not known"),
        (&["modify line plan=tv-basic"], "read order item 1: plan: plan tv-basic is for tv lines"),
        (
            &["add x spec=cellular plan=iot-payg imsi=450081234567890"],
            "imsi `450081234567890` is in use on another line",
        ),
        (
            &["add x spec=cellular plan=iot-payg imsi=1234567 deviceId=modem-1"],
            "deviceId `modem-1` is in use on another line",
        ),
        (&["add x spec=cellular plan=iot-payg"], "read order item 1: imsi: a cellular line needs one"),
        (&["add x spec=cellular plan=iot-payg imsi=12"], "read order item 1: imsi: expected 6 to 15 digits, got `12`"),
        (&["add x spec=tv plan=tv-basic"], "read order item 1: address: somebody has to come: needs one"),
        (&["add x spec=radio plan=tv-basic"], "serviceSpecification `radio` is not known"),
        (&[SUSPEND, TERMINATE], "read order item 2: service.id: line line is in the order twice"),
        (
            &["modify line state=inactive plan=iot-10mb"],
            "read order item 1: service: asks for another state and other characteristics at once: send two items",
        ),
        (&[], "read order item *: serviceOrderItem: expected 1 to 32 items, got 0"),
    ];
    let version = world.line("line").await.version;
    for (items, expected) in table {
        assert_eq!(refused(&world, order(items)).await, expected);
    }
    let mut strange = order(&[SUSPEND]);
    strange.customer = Some("somebody-else".into());
    assert_eq!(refused(&world, strange).await, "service `line` is not known");
    world.carry_out(order(&[TERMINATE])).await;
    assert_eq!(refused(&world, order(&[SUSPEND])).await, "suspend line line: it is terminated");
    assert_eq!(refused(&world, order(&[CELLULAR])).await, "activate line line: it is terminated");
    assert!(world.line("line").await.version > version);
}

#[tokio::test]
async fn orders_on_one_line_queue_up_and_are_judged_after_the_queue() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    let suspend = world.submit(order(&[SUSPEND])).await.unwrap().order.id;
    let resume = world.submit(order(&[RESUME])).await.unwrap().order.id;
    let already = world.submit(order(&[RESUME])).await.unwrap().order;
    assert_eq!(already.items[0].code.as_deref(), Some("already-active"));
    let terminate = world.submit(order(&[TERMINATE])).await.unwrap().order.id;
    assert_eq!(refused(&world, order(&["modify line plan=iot-10mb"])).await, "modify line line: it is terminated");

    let waits = world.engine.drive(&resume.as_str().into()).await.unwrap();
    assert!(matches!(waits, Drive::Parked(_)));
    assert_eq!(world.order(&resume).await.state, OrderState::Acknowledged);
    for id in [&suspend, &resume, &terminate] {
        assert!(world.drive(id).await);
        assert_eq!(world.order(id).await.state, OrderState::Completed);
    }
    assert_eq!(world.net.held(&"line".into()), LineState::Terminated);
}

#[tokio::test]
async fn a_full_queue_is_busy_and_a_failed_order_is_judged_by_those_behind_it() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    let suspend = world.submit(order(&[SUSPEND])).await.unwrap().order.id;
    let resume = world.submit(order(&[RESUME])).await.unwrap().order.id;
    world.submit(order(&[SUSPEND])).await.unwrap();
    assert_eq!(refused(&world, order(&[RESUME])).await, "line line: 3 orders wait already");

    world.ordering.cancel(&suspend, "not that").await.unwrap();
    assert!(world.drive(&suspend).await);
    assert!(world.drive(&resume).await);
    let resumed = world.order(&resume).await;
    assert_eq!(resumed.state, OrderState::Completed);
    assert_eq!(resumed.items[0].code.as_deref(), Some("already-active"));
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_response_and_another_body_is_refused() {
    let world = World::new(CrashPlan::never()).await;
    let mut new = order(&[CELLULAR]);
    new.external_id = Some("crm-1".into());
    let by = |fingerprint: &str| Idempotency { key: Some("k".into()), fingerprint: fingerprint.into() };
    let first = world.ordering.submit(&new, &by("a")).await.unwrap();
    world.drive(&first.order.id).await;
    let again = world.ordering.submit(&new, &by("a")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.response, first.response);
    let other = world.ordering.submit(&new, &by("b")).await.unwrap_err();
    assert_eq!(other, SubmitError::KeyReused { key: "key/k".into() });
    let external = world.ordering.submit(&new, &Idempotency { key: None, fingerprint: "b".into() }).await.unwrap_err();
    assert_eq!(external, SubmitError::KeyReused { key: "external/crm-1".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_at_the_same_time_have_one_winner() {
    let world = Arc::new(World::new(CrashPlan::never()).await);
    let mut same_key = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let world = Arc::clone(&world);
        same_key.spawn(async move {
            let by = Idempotency { key: Some("k".into()), fingerprint: "a".into() };
            world.ordering.submit(&order(&[CELLULAR]), &by).await.unwrap().order.id
        });
    }
    let mut ids = same_key.join_all().await;
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1);

    let mut same_imsi = tokio::task::JoinSet::new();
    for n in 0..8 {
        let world = Arc::clone(&world);
        same_imsi.spawn(async move {
            let add = format!("add other-{n} spec=cellular plan=iot-payg imsi=450085555555555");
            world.submit(order(&[&add])).await.is_ok()
        });
    }
    let accepted = same_imsi.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn a_future_order_starts_at_its_time_and_does_not_block_the_line() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    let start = Timestamp(START.millis() + 86_400_000);
    let later = NewOrder { requested_start: Some(start), ..order(&[RESUME]) };
    let later = world.submit(later).await.unwrap().order.id;
    assert_eq!(world.engine.drive(&later.as_str().into()).await.unwrap(), Drive::Parked(start));
    assert_eq!(world.carry_out(order(&[SUSPEND])).await.state, OrderState::Completed);
    let world = world.restarted();
    assert!(world.drive(&later).await);
    assert_eq!(world.order(&later).await.state, OrderState::Completed);
    assert!(world.clock.now() >= start);
    assert_eq!(world.net.held(&"line".into()), LineState::Active);
}

#[tokio::test]
async fn an_element_that_is_away_holds_the_order_and_a_signal_takes_it_on() {
    let world = World::new(CrashPlan::never()).await;
    world.net.away.lock().unwrap().insert("hss".into());
    let id = world.submit(order(&[CELLULAR])).await.unwrap().order.id;
    assert!(matches!(world.engine.drive(&id.as_str().into()).await.unwrap(), Drive::Parked(_)));
    assert_eq!(world.order(&id).await.state, OrderState::Pending);
    let (saga, _) = world.ordering.saga(&id).await.unwrap().unwrap();
    assert_eq!(saga.waiting_for.as_deref(), Some("element hss: not connected"));
    assert_eq!(world.engine.signal_all("element olt:"), 0);
    assert_eq!(world.engine.signal_all("element hss:"), 1);
    world.net.away.lock().unwrap().clear();
    assert!(world.drive(&id).await);
    assert_eq!(world.order(&id).await.state, OrderState::Completed);
}

#[tokio::test]
async fn a_pgw_that_is_away_keeps_no_order() {
    let tries = vec!["charging: open sessions"; 5];
    let table: [(&str, &[&str], &[&str]); 3] = [
        (
            SUSPEND,
            &["charging: stop grants"],
            &["charging: session ended", "hss: provision", "mme: cancel location", "modem: told", "charging: reach"],
        ),
        (
            TERMINATE,
            &["charging: stop grants"],
            &["charging: session ended", "hss: provision", "mme: cancel location", "modem: told", "charging: reach"],
        ),
        (
            "modify line plan=iot-10mb",
            &["hss: provision", "charging: change line", "mme: modify subscription"],
            &["modem: told"],
        ),
    ];
    for (text, before, after) in table {
        let world = prepared(&with_session(), CrashPlan::never()).await;
        world.net.away.lock().unwrap().insert("pgw".into());
        world.net.trace();
        assert_eq!(world.carry_out(order(&[text])).await.state, OrderState::Completed, "{text}");
        assert_eq!(world.net.trace(), [before, &tries, after].concat(), "{text}");
    }
}

#[tokio::test]
async fn a_pgw_that_comes_and_goes_and_never_answers_keeps_no_order() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    let id = world.submit(order(&[SUSPEND])).await.unwrap().order.id;
    let mut tries = 0;
    while world.order(&id).await.state != OrderState::Completed {
        tries += 1;
        assert!(tries <= 5, "{:?}", world.ordering.saga(&id).await);
        if tries % 2 == 0 {
            world.net.away.lock().unwrap().clear();
            world.net.fail(1, Fault::LostCommand);
        } else {
            world.net.away.lock().unwrap().insert("pgw".into());
        }
        world.engine.drive(&id.as_str().into()).await.unwrap();
    }
    assert_eq!(tries, 5);
}

#[tokio::test]
async fn a_session_that_its_client_has_ended_meanwhile_is_not_aborted() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    world.net.away.lock().unwrap().insert("pgw".into());
    let id = world.submit(order(&[SUSPEND])).await.unwrap().order.id;
    assert!(matches!(world.engine.drive(&id.as_str().into()).await.unwrap(), Drive::Parked(_)));
    assert_eq!(world.net.held(&"line".into()), LineState::Active, "sessions end before the element changes");
    world.net.close_sessions(&"line".into());
    world.net.trace();
    assert_eq!(world.engine.drive(&id.as_str().into()).await.unwrap(), Drive::Finished);
    assert_eq!(world.net.trace()[..2], ["charging: open sessions", "hss: provision"]);
}

#[tokio::test]
async fn a_refusal_about_a_session_undoes_no_order() {
    for (text, call, refused) in
        [(SUSPEND, 2, "pgw: abort session"), ("modify line plan=iot-10mb", 4, "pgw: reauthorize")]
    {
        let world = prepared(&with_session(), CrashPlan::never()).await;
        world.net.trace();
        world.net.fail(call, Fault::Refused);
        assert_eq!(world.carry_out(order(&[text])).await.state, OrderState::Completed, "{text}");
        assert_eq!(world.net.trace()[call], refused);
        let in_use = text != SUSPEND;
        assert_eq!(world.net.in_use(&"line".into(), "450081234567890"), (in_use, in_use), "{text}");
    }
}

#[tokio::test]
async fn an_mme_that_is_away_becomes_fallout_and_may_be_skipped_or_tried_again() {
    for text in [SUSPEND, TERMINATE, "modify line plan=iot-10mb"] {
        for verb in [FalloutVerb::Skip, FalloutVerb::Retry] {
            let world = prepared(&with_session(), CrashPlan::never()).await;
            world.net.away.lock().unwrap().insert("mme".into());
            let id = world.submit(order(&[text])).await.unwrap().order.id;
            assert!(world.drive(&id).await);
            assert_eq!(world.order(&id).await.state, OrderState::Held, "{text}");
            let fallout = world.ordering.fallout(ALL).await.unwrap().items.remove(0);
            assert_eq!(fallout.cause, "mme-unreachable");
            assert_eq!(fallout.reason, "a person: element mme: not connected");
            if verb == FalloutVerb::Retry {
                world.net.away.lock().unwrap().clear();
            }
            world.ordering.intervene(&id, verb, "op").await.unwrap();
            assert!(world.drive(&id).await);
            assert_eq!(world.order(&id).await.state, OrderState::Completed, "{text} {verb:?}");
        }
    }
}

#[tokio::test]
async fn an_order_is_undone_past_an_mme_that_stays_away() {
    let world = prepared(&with_session(), CrashPlan::never()).await;
    world.net.away.lock().unwrap().insert("mme".into());
    let id = world.submit(order(&["modify line plan=iot-10mb"])).await.unwrap().order.id;
    assert!(world.drive(&id).await);
    world.ordering.intervene(&id, FalloutVerb::Fail, "op").await.unwrap();
    assert!(world.drive(&id).await);
    let fallout = world.ordering.fallout(ALL).await.unwrap().items.remove(0);
    assert!(fallout.undoing && fallout.step == "insert-subscriber", "{fallout:?}");
    world.ordering.intervene(&id, FalloutVerb::Skip, "op").await.unwrap();
    assert!(world.drive(&id).await);
    assert_eq!(world.order(&id).await.state, OrderState::Failed);
    assert_eq!(world.line("line").await.profile.plan.as_str(), "iot-payg");
}

async fn until_work(world: &World, id: &linegate::domain::ids::OrderId) -> linegate::domain::fieldwork::WorkOrder {
    for _ in 0..10 {
        world.engine.drive(&id.as_str().into()).await.unwrap();
        let works = world.store.work_orders(&WorkFilter::of_order(id), ALL).await.unwrap().items;
        let open =
            works.into_iter().find(|w| w.state.may_become(linegate::domain::fieldwork::WorkOrderState::Completed));
        if let Some(open) = open {
            return open;
        }
        world.play(id).await;
    }
    panic!("no work order");
}

#[tokio::test]
async fn a_returned_job_is_undone_in_reverse() {
    let world = World::new(CrashPlan::never()).await;
    let both =
        ["add net spec=internet plan=internet-500m address=Seoul", "add tele spec=tv plan=tv-basic address=Seoul"];
    let id = world.submit(order(&both)).await.unwrap().order.id;
    let work = until_work(&world, &id).await;
    assert_eq!(work.lines.len(), 2);
    world.fieldwork.report(&work.id, WorkReport::Started, None).await.unwrap();
    world.fieldwork.report(&work.id, WorkReport::returned("no-access", false), None).await.unwrap();
    assert!(world.drive(&id).await);
    let failed = world.order(&id).await;
    assert_eq!(failed.state, OrderState::Failed);
    for item in &failed.items {
        assert_eq!(item.code.as_deref(), Some("worker-returned:no-access"));
        assert_eq!(world.net.held(&item.line), LineState::Absent);
        assert!(world.line(item.line.as_str()).await.periods.is_empty(), "nobody pays for it");
    }
    let slot = world.store.slot(&"day-1".into()).await.unwrap().unwrap();
    assert_eq!(slot.held, 0);
    assert!(world.fieldwork.report(&work.id, WorkReport::Completed(Default::default()), None).await.is_err());
}

#[tokio::test]
async fn a_returned_job_may_be_visited_again() {
    let world = World::new(CrashPlan::never()).await;
    let id = world.submit(order(&[INTERNET])).await.unwrap().order.id;
    let work = until_work(&world, &id).await;
    world.fieldwork.report(&work.id, WorkReport::returned("customer-absent", true), None).await.unwrap();
    let second = until_work(&world, &id).await;
    assert_ne!(second.id, work.id);
    assert!(world.drive(&id).await);
    assert_eq!(world.order(&id).await.state, OrderState::Completed);
}

#[tokio::test]
async fn a_customer_who_is_not_reached_becomes_fallout_and_can_be_called_again() {
    let world = World::new(CrashPlan::never()).await;
    let id = world.submit(order(&[TV])).await.unwrap().order.id;
    world.engine.drive(&id.as_str().into()).await.unwrap();
    let call = world.scheduling.due_calls(ALL).await.unwrap().items.remove(0);
    for _ in 0..2 {
        world.scheduling.record_outcome(&call.id, "agent", CallOutcome::NoAnswer).await.unwrap();
    }
    assert_eq!(world.engine.drive(&id.as_str().into()).await.unwrap(), Drive::Stuck);
    assert_eq!(world.order(&id).await.state, OrderState::Held);
    assert_eq!(world.ordering.fallout(ALL).await.unwrap().items[0].cause, "visit-exhausted");
    let closed = world.scheduling.record_outcome(&call.id, "agent", CallOutcome::NoAnswer).await.unwrap_err();
    assert!(matches!(closed, SchedulingError::Closed(_)));

    world.scheduling.call_again(&call.id).await.unwrap();
    world.ordering.intervene(&id, FalloutVerb::Retry, "op").await.unwrap();
    assert!(world.drive(&id).await);
    assert_eq!(world.order(&id).await.state, OrderState::Completed);
    let wrong = world.ordering.intervene(&id, FalloutVerb::Retry, "op").await.unwrap_err();
    assert!(matches!(wrong, VerbRefused::WrongState { .. }));
}

#[tokio::test]
async fn a_refused_visit_fails_the_order_and_is_undone() {
    let world = World::new(CrashPlan::never()).await;
    let id = world.submit(order(&[TV])).await.unwrap().order.id;
    world.engine.drive(&id.as_str().into()).await.unwrap();
    let call = world.scheduling.due_calls(ALL).await.unwrap().items.remove(0);
    world.scheduling.record_outcome(&call.id, "agent", CallOutcome::Refused).await.unwrap();
    assert!(world.drive(&id).await);
    let failed = world.order(&id).await;
    assert_eq!((failed.state, failed.items[0].code.as_deref()), (OrderState::Failed, Some("visit-refused")));
    assert_eq!(world.net.held(&"line".into()), LineState::Absent);
}

#[tokio::test]
async fn two_orders_race_for_the_last_place_and_one_gets_it() {
    let world = World::new(CrashPlan::never()).await;
    let mut calls = Vec::new();
    for line in ["one", "two"] {
        let id = world.submit(order(&[&INTERNET.replace("line", line)])).await.unwrap().order.id;
        world.engine.drive(&id.as_str().into()).await.unwrap();
    }
    calls.extend(world.scheduling.due_calls(ALL).await.unwrap().items);
    let agreed = || CallOutcome::Agreed { slot: "day-1".into() };
    let (a, b) = tokio::join!(
        world.scheduling.record_outcome(&calls[0].id, "agent", agreed()),
        world.scheduling.record_outcome(&calls[1].id, "agent", agreed()),
    );
    let lost = [a, b].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(lost, [SchedulingError::SlotTaken("day-1".into())]);
    assert_eq!(world.store.slot(&"day-1".into()).await.unwrap().unwrap().held, 1);
}

#[tokio::test]
async fn a_modem_converges_and_an_old_report_changes_nothing() {
    let world = World::new(CrashPlan::never()).await;
    world.carry_out(order(&[CELLULAR])).await;
    let device = "modem-1".into();
    let desired = world.devices.desired(&device).await.unwrap().unwrap();
    assert_eq!((desired.version, desired.state), (1, LineState::Active));
    world.carry_out(order(&[SUSPEND])).await;
    let desired = world.devices.desired(&device).await.unwrap().unwrap();
    assert_eq!((desired.version, desired.state), (2, LineState::Suspended));
    let report = |version, state| world.devices.reported(&device, Report { version, state, reason: None, at: START });
    assert_eq!(report(1, LineState::Active).await.unwrap(), Reported::Stale);
    assert_eq!(world.ordering.session(&"line".into()).await.unwrap().modem_version, None);
    assert_eq!(report(2, LineState::Active).await.unwrap(), Reported::Differs);
    assert_eq!(report(2, LineState::Suspended).await.unwrap(), Reported::Converged);
    assert_eq!(world.ordering.session(&"line".into()).await.unwrap().modem_version, Some(2));
    world.carry_out(order(&[TERMINATE])).await;
    let desired = world.devices.desired(&device).await.unwrap().unwrap();
    assert_eq!((desired.version, desired.state), (3, LineState::Terminated));
}

#[tokio::test]
async fn one_sms_goes_out_for_each_state() {
    let world = World::new(CrashPlan::never()).await;
    let id = world.carry_out(order(&[CELLULAR])).await.id;
    let sent = world.store.messages(Some("sms"), None, ALL).await.unwrap().items;
    let mut keys: Vec<_> = sent.iter().map(|m| m.message.once_key.clone().unwrap()).collect();
    keys.sort();
    let expected = ["acknowledged", "completed", "inProgress"].map(|s| format!("sms/{id}/{s}/order-state"));
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn the_engine_runs_everything_and_resumes_what_was_cut_off() {
    let world = World::new(CrashPlan::never()).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        let add = format!("add line-{n} spec=cellular plan=iot-payg imsi=4500812345{n:05}");
        ids.push(world.submit(order(&[&add])).await.unwrap().order.id);
    }
    // A new process: no signal of the submissions above is left.
    let world = world.restarted();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(world.engine.clone().run(stop.clone()));
    let late = world.submit(order(&[CELLULAR])).await.unwrap().order.id;
    ids.push(late);
    let done = async {
        for id in &ids {
            while world.order(id).await.state != OrderState::Completed {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(8), done).await.unwrap();
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_running_engine_goes_on_when_an_element_is_back_though_no_time_passes() {
    let world = World::new(CrashPlan::never()).await;
    world.net.away.lock().unwrap().insert("hss".into());
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(world.engine.clone().run(stop.clone()));
    let id = world.submit(order(&[CELLULAR])).await.unwrap().order.id;
    let done = async {
        while world.order(&id).await.state != OrderState::Pending {
            tokio::task::yield_now().await;
        }
        world.net.away.lock().unwrap().clear();
        while world.engine.signal_all("element hss:") == 0 {
            tokio::task::yield_now().await;
        }
        while world.order(&id).await.state != OrderState::Completed {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(8), done).await.unwrap();
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_customer_books_and_moves_a_visit_and_pays_from_the_hand_over() {
    let world = World::new(CrashPlan::never()).await;
    let id = world.submit(order(&[INTERNET])).await.unwrap().order.id;
    world.engine.drive(&id.as_str().into()).await.unwrap();
    let booked = world.scheduling.book(&id, &"day-2".into()).await.unwrap();
    let work = until_work(&world, &id).await;
    assert_eq!(Some(work.planned), booked.span);
    let moved = world.scheduling.reschedule(&booked.id, &When::Slot("day-3".into())).await.unwrap();
    let work = world.fieldwork.work_order(&work.id).await.unwrap().unwrap();
    assert_eq!(Some(work.planned), moved.span);
    for (day, held) in [("day-2", 0), ("day-3", 1)] {
        assert_eq!(world.store.slot(&day.into()).await.unwrap().unwrap().held, held, "{day}");
    }

    world.clock.set(moved.span.unwrap().until);
    world.fieldwork.report(&work.id, WorkReport::Completed(Default::default()), None).await.unwrap();
    assert!(world.drive(&id).await);
    let line = world.line("line").await;
    assert_eq!(line.periods[0].span.from, moved.span.unwrap().until);
    assert_eq!(line.plans[0].span.from, line.periods[0].span.from);
    let late = world.scheduling.cancel(&booked.id).await.unwrap_err();
    assert!(matches!(late, SchedulingError::WrongState { .. }));
}

#[tokio::test]
async fn a_step_that_our_records_come_from_is_not_skipped() {
    let world = World::new(CrashPlan::never()).await;
    let id = world.submit(order(&[TV])).await.unwrap().order.id;
    world.engine.drive(&id.as_str().into()).await.unwrap();
    let call = world.scheduling.due_calls(ALL).await.unwrap().items.remove(0);
    for _ in 0..2 {
        world.scheduling.record_outcome(&call.id, "agent", CallOutcome::NoAnswer).await.unwrap();
    }
    world.engine.drive(&id.as_str().into()).await.unwrap();
    let skip = world.ordering.intervene(&id, FalloutVerb::Skip, "op").await.unwrap_err();
    assert!(matches!(skip, VerbRefused::WrongState { .. }));
    world.ordering.intervene(&id, FalloutVerb::Fail, "op").await.unwrap();
    assert!(world.drive(&id).await);
    assert_eq!(world.order(&id).await.state, OrderState::Failed);
    assert_eq!(world.net.held(&"line".into()), LineState::Absent);
}
