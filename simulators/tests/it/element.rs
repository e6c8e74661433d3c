use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::Message;
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::gy::CcRequestType;
use linegate_diameter::apps::lp::{
    Access, Action, BUSY, Characteristics, LineAnswer, LineState, ProvisionRequest, QueryRequest,
};
use linegate_diameter::apps::s6a::{
    CancelLocationRequest, CancellationType, InsertSubscriberDataRequest, SubscriberStatus, SubscriptionData,
    USER_UNKNOWN,
};
use linegate_diameter::{Outcome, ResultCode};
use linegate_simulators::element::{
    Element, ElementConfig, ElementHandle, Fault, FaultRule, HeldState, Role, SessionConfig, Struck,
};

use crate::gateway::Gateway;

const SOON: Duration = Duration::from_secs(5);
const IMSI: &str = "450080000000001";

async fn linked(role: Role) -> (Gateway, ElementHandle) {
    let gateway = Gateway::start().await;
    let mut config = ElementConfig::new("ne.network.example", &[role], gateway.address);
    config.link.answer_timeout = Duration::from_secs(2);
    let element = Element::start(config);
    assert!(gateway.peer.connected_within(SOON).await && element.connected_within(SOON).await);
    (gateway, element)
}

/// The answer to a Provision, where there is one.
async fn provision(gateway: &Gateway, order_id: &str, action: Action) -> Option<Outcome> {
    let apns = ["iot.example"];
    let characteristics = Characteristics {
        imsi: Some(IMSI),
        plan: Some("iot-payg"),
        apns: (&apns).into(),
        ..Characteristics::new(Access::Cellular)
    };
    let request = ProvisionRequest {
        route: gateway.route("gateway;1;1", "ne.network.example"),
        order_id,
        line_id: "line-1",
        action,
        characteristics: (action == Action::Activate).then_some(characteristics),
        event_timestamp: None,
    };
    let mut frame = BytesMut::new();
    request.encode(&gateway.peer.header(ProvisionRequest::header()), &mut frame);
    let answer = gateway.peer.call(frame).await.ok()?;
    Some(Answered::parse(&answer).unwrap().outcome)
}

async fn query(gateway: &Gateway) -> (LineState, Option<String>, usize) {
    let request = QueryRequest { route: gateway.route("gateway;1;2", "ne.network.example"), line_id: "line-1" };
    let mut frame = BytesMut::new();
    request.encode(&gateway.peer.header(QueryRequest::header()), &mut frame);
    let message = gateway.peer.call(frame).await.unwrap();
    let answer = LineAnswer::parse(&message).unwrap();
    let apns = answer.characteristics.map_or(0, |held| held.apns.iter().count());
    (answer.line_state.unwrap(), answer.last_order_id.map(str::to_owned), apns)
}

fn outcome(message: &Message) -> Outcome {
    Answered::parse(message).unwrap().outcome
}

#[tokio::test]
async fn an_order_is_carried_out_once_and_the_line_can_be_asked_for() {
    let (gateway, element) = linked(Role::Hss).await;
    assert_eq!(query(&gateway).await, (LineState::Absent, None, 0));
    assert_eq!(provision(&gateway, "o-1", Action::Activate).await, Some(Outcome::SUCCESS));
    assert_eq!(provision(&gateway, "o-2", Action::Suspend).await, Some(Outcome::SUCCESS));
    assert_eq!(provision(&gateway, "o-1", Action::Activate).await, Some(Outcome::SUCCESS));
    assert_eq!(query(&gateway).await, (LineState::Suspended, Some("o-2".into()), 1));
    assert_eq!(element.line("line-1").unwrap().state, HeldState::Suspended);
    let orders: Vec<_> = element.commands_received().into_iter().filter_map(|command| command.order).collect();
    assert_eq!(orders, ["o-1", "o-2", "o-1"]);
}

#[tokio::test]
async fn every_fault_leaves_the_line_as_it_says() {
    let (gateway, element) = linked(Role::Hss).await;
    let provision_once = |fault| FaultRule { fault, struck: Struck::Provision, times: Some(1) };

    element.add_fault(provision_once(Fault::Silent));
    assert_eq!(provision(&gateway, "o-1", Action::Activate).await, None);
    assert_eq!(query(&gateway).await.0, LineState::Absent);

    element.add_fault(provision_once(Fault::Refuse(5012)));
    let refused = Outcome::Result(ResultCode::UNABLE_TO_COMPLY);
    assert_eq!(provision(&gateway, "o-1", Action::Activate).await, Some(refused));

    element.set_fault(Fault::HalfApplied);
    assert_eq!(provision(&gateway, "o-1", Action::Activate).await, Some(BUSY));
    assert_eq!(query(&gateway).await, (LineState::Active, None, 0));
    assert_eq!(provision(&gateway, "o-1", Action::Activate).await, Some(Outcome::SUCCESS));
    element.clear();

    element.add_fault(provision_once(Fault::AnswerLost));
    assert_eq!(provision(&gateway, "o-2", Action::Suspend).await, None);
    assert_eq!(query(&gateway).await, (LineState::Suspended, Some("o-2".into()), 1));

    element.set_fault(Fault::Slow(Duration::from_millis(20)));
    assert_eq!(provision(&gateway, "o-3", Action::Resume).await, Some(Outcome::SUCCESS));

    element.set_fault(Fault::Disconnect);
    assert_eq!(provision(&gateway, "o-4", Action::Suspend).await, None);
    element.clear();
    assert!(!element.is_connected());
    element.reconnect();
    assert!(element.connected_within(SOON).await && gateway.peer.connected_within(SOON).await);
    assert_eq!(query(&gateway).await.0, LineState::Active);
}

#[tokio::test]
async fn a_session_reports_each_octet_once_and_ends_when_it_is_aborted() {
    let (gateway, element) = linked(Role::PgwC).await;
    let config = SessionConfig { subscriber_in_initial_only: true, ..SessionConfig::new(IMSI, "iot.example") };
    let (session, answer) = element.open_session(config).await.unwrap();
    assert_eq!((answer.result_code, answer.granted_octets()), (2001, 50_000));
    session.report(100, 200).await.unwrap();
    session.consume(1, 2);
    let answer = gateway.reauthorize(session.id(), "ne.network.example").await;
    assert_eq!(outcome(&answer), Outcome::Result(ResultCode::LIMITED_SUCCESS));
    wait_for(|| gateway.grants.seen.lock().unwrap().len() == 3).await;
    session.consume(10, 20);
    assert_eq!(outcome(&gateway.abort(session.id(), "ne.network.example").await), Outcome::SUCCESS);
    wait_for(|| gateway.grants.seen.lock().unwrap().len() == 4).await;

    let seen = gateway.grants.seen.lock().unwrap().clone();
    let told: Vec<_> = seen.iter().map(|seen| (seen.number, seen.kind, seen.octets, seen.imsi.is_some())).collect();
    let expected = [
        (0, CcRequestType::Initial, 0, true),
        (1, CcRequestType::Update, 300, false),
        (2, CcRequestType::Update, 3, false),
        (3, CcRequestType::Termination, 30, false),
    ];
    assert_eq!(told, expected);
    assert!(!session.is_open() && element.sessions().is_empty());
    let unknown = gateway.abort(session.id(), "ne.network.example").await;
    assert_eq!(outcome(&unknown), Outcome::Result(ResultCode::UNKNOWN_SESSION_ID));
}

#[tokio::test]
async fn a_session_spends_what_is_granted_and_stops_at_the_final_unit() {
    let (gateway, element) = linked(Role::PgwC).await;
    let (session, _) = element.open_session(SessionConfig::new(IMSI, "iot.example")).await.unwrap();
    let spent = session.spend(120_000).await.unwrap();
    assert_eq!((spent.octets, spent.stopped, session.is_open()), (120_000, None, true));
    session.terminate().await.unwrap();

    gateway.grants.grants_left.store(2, std::sync::atomic::Ordering::Relaxed);
    let (session, _) = element.open_session(SessionConfig::new(IMSI, "iot.example")).await.unwrap();
    let spent = session.spend(1_000_000).await.unwrap();
    assert_eq!((spent.octets, spent.stopped, session.is_open()), (100_000, Some(2001), false));
    let reported: u64 = gateway.grants.seen.lock().unwrap().iter().map(|seen| seen.octets).sum();
    assert_eq!(reported, 220_000);
}

#[tokio::test]
async fn a_request_that_a_cut_left_open_goes_again_with_t() {
    let (gateway, element) = linked(Role::PgwC).await;
    let (session, _) = element.open_session(SessionConfig::new(IMSI, "iot.example")).await.unwrap();
    gateway.grants.cut_every.store(2, std::sync::atomic::Ordering::Relaxed);
    session.report(1, 1).await.unwrap();
    let seen = gateway.grants.seen.lock().unwrap().clone();
    let updates: Vec<_> = seen[1..].iter().map(|seen| (seen.number, seen.octets, seen.retransmitted)).collect();
    assert_eq!(updates, [(1, 2, false), (1, 2, true)]);
    assert_eq!(element.peer().connections(), 2);
}

#[tokio::test]
async fn a_subscriber_is_attached_changed_and_detached() {
    let (gateway, element) = linked(Role::Mme).await;
    let insert = async || {
        let data = SubscriptionData {
            subscriber_status: Some(SubscriberStatus::OperatorDeterminedBarring),
            operator_determined_barring: Some(1),
            ..SubscriptionData::default()
        };
        let request = InsertSubscriberDataRequest {
            route: gateway.route("gateway;1;3", "ne.network.example"),
            user_name: IMSI,
            subscription_data: data,
            idr_flags: None,
        };
        let mut frame = BytesMut::new();
        request.encode(&gateway.peer.header(InsertSubscriberDataRequest::header()), &mut frame);
        outcome(&gateway.peer.call(frame).await.unwrap())
    };
    assert_eq!(insert().await, USER_UNKNOWN);
    element.attach(IMSI).await.unwrap();
    assert_eq!(insert().await, Outcome::SUCCESS);
    assert!(element.attached()[IMSI].barred);

    let cancel = CancelLocationRequest {
        route: gateway.route("gateway;1;4", "ne.network.example"),
        user_name: IMSI,
        cancellation_type: CancellationType::SubscriptionWithdrawal,
        clr_flags: None,
    };
    for expected in [Outcome::SUCCESS, USER_UNKNOWN] {
        let mut frame = BytesMut::new();
        cancel.encode(&gateway.peer.header(CancelLocationRequest::header()), &mut frame);
        assert_eq!(outcome(&gateway.peer.call(frame).await.unwrap()), expected);
    }
    assert!(element.attached().is_empty());
    element.attach(IMSI).await.unwrap();
    element.purge(IMSI).await.unwrap();
    assert!(element.attached().is_empty());
}

#[tokio::test]
async fn offline_usage_is_accounted_from_start_to_stop() {
    let (gateway, element) = linked(Role::PgwC).await;
    let (mut session, code) = element.start_accounting(IMSI, "iot.example").await.unwrap();
    assert_eq!(code, 2001);
    assert_eq!(session.interim(1, 10).await.unwrap(), 2001);
    assert_eq!(session.stop(2, 20).await.unwrap(), 2001);
    assert_eq!(element.accounting_event(IMSI, "iot.example", 3, 30).await.unwrap(), 2001);
    assert_eq!(*gateway.grants.accounted.lock().unwrap(), 60);
}

async fn wait_for(good: impl Fn() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !good() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap();
}
