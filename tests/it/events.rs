//! One-time Gy events over real sockets.

use std::time::Duration;

use linegate_diameter::apps::gy::RequestedAction::{self, CheckBalance, DirectDebiting, PriceEnquiry, RefundAccount};
use linegate_simulators::element::{Event, EventAnswer, EventUnits, Role};

use crate::mobility::Scene;
use crate::support::wait_for;

const KRW: u32 = 410;

fn event(action: Option<RequestedAction>, units: EventUnits) -> Event {
    Event { session: None, number: 0, imsi: "450081234567890".to_owned(), apn: "iot.example".to_owned(), action, units }
}

#[test]
fn the_four_actions_are_answered_and_only_two_of_them_move_anything() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(folder.path());
    let pgw = scene.network.add("pgw-1.linegate.example", &[Role::PgwC], scene.gateway.diameter);
    let once = |event: &Event| scene.run(pgw.one_time(event)).unwrap();
    let octets = |action, octets| once(&event(Some(action), EventUnits::Octets(octets)));
    let won = |digits| Some((digits, 0, Some(KRW)));
    let success = EventAnswer { result_code: 2001, ..EventAnswer::default() };

    let priced = octets(PriceEnquiry, 250_000);
    assert_eq!(priced, EventAnswer { cost: won(9), ..success.clone() });
    let enough = |covered| EventAnswer { enough_credit: Some(covered), ..success.clone() };
    assert_eq!(octets(CheckBalance, 10_000_000), enough(true));
    assert_eq!(octets(CheckBalance, 10_000_001), enough(false));

    let debit =
        Event { session: Some("pgw-1;1;1".to_owned()), ..event(Some(DirectDebiting), EventUnits::Octets(250_000)) };
    let debited = EventAnswer { granted_octets: Some(250_000), cost: won(9), ..success.clone() };
    for _ in 0..3 {
        assert_eq!(once(&debit), debited, "a repeat gets the stored answer");
    }
    assert_eq!(octets(CheckBalance, 9_750_001), enough(false), "debited once");
    assert_eq!(octets(CheckBalance, 9_750_000), enough(true));
    assert_eq!(octets(DirectDebiting, 9_750_001).result_code, 4012, "past the cap");
    assert_eq!(octets(RefundAccount, 50_000).granted_octets, Some(50_000));
    assert_eq!(octets(CheckBalance, 9_800_000), enough(true));
    assert_eq!(octets(RefundAccount, 250_000).result_code, 5012, "more than was charged");

    let money = once(&event(Some(DirectDebiting), EventUnits::Money(12, 2, KRW)));
    assert_eq!((money.result_code, money.cost), (2001, won(1200)));
    let seconds = once(&event(Some(DirectDebiting), EventUnits::Seconds(60)));
    assert_eq!((seconds.result_code, seconds.error_message.is_some()), (5031, true));
    let foreign = Event { apn: "internet".to_owned(), ..event(Some(DirectDebiting), EventUnits::Octets(1)) };
    assert_eq!(once(&foreign).result_code, 5003);
    let nothing = once(&event(None, EventUnits::Octets(1)));
    assert_eq!((nothing.result_code, nothing.failed_avp), (5005, Some(436)));

    assert_eq!(scene.gateway.metric("linegate_charging_sessions"), 0, "no session is opened");
    let path = format!("/tmf-api/usageManagement/v4/usage?line={}&status=rated", scene.line);
    let rated = || scene.gateway.get(&path).1.as_array().map_or(0, Vec::len);
    wait_for(
        "two debits and a refund",
        Duration::from_secs(10),
        || rated() == 3,
        || scene.gateway.get(&path).1.to_string(),
    );
    scene.network.shutdown();
}
