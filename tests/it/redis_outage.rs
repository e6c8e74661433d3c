//! Redis away under load: through a wire that delays, holds, cuts and half-closes,
//! frozen, and killed. Nothing is lost or counted twice, and the gateway is back by
//! itself, whatever the settings say of the time between.

use std::time::Duration;

use crate::books::{Compared, Lines, Load, import};
use crate::proxy::{Proxy, Wire};
use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, pause, wait_for};
use crate::two_gateways::House;

/// Seconds of the longest outage; the long form of the tests sets more.
fn outage_s() -> u64 {
    std::env::var("LINEGATE_TEST_OUTAGE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Everything goes on from a journal.
const JOURNAL: [(&str, &str); 4] = [
    ("LINEGATE__CHARGING__OUTAGE__GY", "local-allowance"),
    ("LINEGATE__CHARGING__OUTAGE__RF", "journal"),
    ("LINEGATE__CHARGING__OUTAGE__MQTT", "journal"),
    ("LINEGATE__CHARGING__OUTAGE__LOCAL_ALLOWANCE_OCTETS", "1000000000"),
];

/// An answer that is late is given up soon.
const QUICK: (&str, &str) = ("LINEGATE__HOT__REDIS__REPLY_TIMEOUT_MS", "1000");

/// A gateway under load behind a wire to Redis, and what was done to both.
fn over_outages(settings: &[(&str, &str)], disturb: impl FnOnce(&mut RedisServer, &Proxy, &Gateway, &Load)) {
    let mut redis = RedisServer::start("always");
    let proxy = Proxy::to(redis.address);
    let url = format!("redis://{}/", proxy.address);
    let house = House::new(&[&[("LINEGATE__HOT__URL", url.as_str()), QUICK][..], settings].concat());
    let ports = Ports::free();
    let gateway = house.start("gateway-a", ports);
    let lines = Lines::of(0, 12);
    lines.import(&gateway);
    let load = house.load("a", ports, &lines);
    goes_on("at first", &gateway, &load);
    disturb(&mut redis, &proxy, &gateway, &load);
    goes_on("at the end", &gateway, &load);
    let sent = load.finish(&house.runtime);
    settled(&gateway);
    assert!(sent.ledger.result_codes.keys().all(|code| !code.contains("5002")), "a session was forgotten");
    assert_eq!(house.compare(&[&gateway], &[sent]), Compared::default());
    assert_eq!(gateway.metric("linegate_hot_losses_total"), 0);
    assert_eq!(gateway.metric("linegate_outage_requests_total{outcome=\"suspended\",source=\"gy\"}"), 0);
    assert_eq!(gateway.terminate(), Some(0));
}

fn settled(gateway: &Gateway) {
    let settled = || gateway.metric("linegate_outage_journal_requests") == 0;
    wait_for("the journal to be settled", Duration::from_secs(30), settled, || gateway.tail());
}

/// Requests of a source that came while Redis was away, and what became of them.
fn met(gateway: &Gateway, source: &str, outcome: &str) -> i64 {
    gateway.metric(&format!("linegate_outage_requests_total{{outcome=\"{outcome}\",source=\"{source}\"}}"))
}

/// Waits until so many requests of each source have come to that.
fn meet(gateway: &Gateway, sources: &[&str], outcome: &str, count: i64) {
    let all = || sources.iter().all(|source| met(gateway, source, outcome) >= count);
    wait_for(&format!("{sources:?} to be {outcome}"), Duration::from_secs(20), all, || gateway.tail());
}

fn cut_off(gateway: &Gateway) {
    wait_for("the gateway to notice", Duration::from_secs(10), || is_away(gateway), || gateway.tail());
}

fn goes_on(when: &str, gateway: &Gateway, load: &Load) {
    let before = load.acknowledged();
    let more = || load.acknowledged() > before + 50;
    wait_for(&format!("usage to go on {when}"), Duration::from_secs(20), more, || gateway.tail());
}

fn is_away(gateway: &Gateway) -> bool {
    ["writes", "reads"].iter().any(|link| gateway.metric(&format!("linegate_hot_redis_up{{link=\"{link}\"}}")) == 0)
}

#[test]
fn a_wire_that_delays_holds_cuts_and_half_closes_loses_and_doubles_nothing() {
    over_outages(&[], |redis, proxy, gateway, load| {
        proxy.set(Wire::Delays(100));
        pause(1000);
        proxy.set(Wire::Passes);
        for _ in 0..5 {
            proxy.lose_reply();
            pause(150);
            proxy.cut();
            pause(150);
            proxy.half_close();
            pause(150);
        }
        goes_on("after cuts", gateway, load);
        // A partition may find no Gy request on its way: then one more has to.
        let unanswered = || met(gateway, "gy", "unanswered") > 0;
        for _ in 0..5 {
            // What was held comes late, from connections that were given up.
            proxy.set(Wire::Holds);
            cut_off(gateway);
            meet(gateway, &["rf", "modem"], "waited", 1);
            // Clients repeat after 2 s. Their first is on its way: it may be counted.
            for _ in 0..50 {
                if unanswered() {
                    break;
                }
                pause(100);
            }
            proxy.set(Wire::Passes);
            goes_on("after a partition", gateway, load);
            if unanswered() {
                break;
            }
        }
        assert!(unanswered());
        proxy.set(Wire::HoldsReplies);
        cut_off(gateway);
        pause(1500);
        proxy.set(Wire::Passes);
        goes_on("after writes that nobody heard of", gateway, load);
        redis.freeze();
        pause(2500);
        redis.thaw();
        goes_on("after a pause", gateway, load);
        redis.kill();
        pause(1500);
        redis.run();
    });
}

#[test]
fn every_source_goes_on_from_a_journal_while_redis_is_away() {
    over_outages(&JOURNAL, |redis, proxy, gateway, load| {
        let sources = ["gy", "rf", "modem"];
        proxy.set(Wire::Refuses);
        cut_off(gateway);
        goes_on("while redis is away", gateway, load);
        let came_to = |outcome| sources.iter().map(|source| met(gateway, source, outcome)).sum::<i64>();
        meet(gateway, &sources, "journalled", 20);
        assert!(gateway.metric("linegate_outage_journal_requests") > 60);
        pause(outage_s() * 1000);
        assert!(gateway.metric("linegate_outage_journal_age_seconds") >= outage_s() as i64);
        redis.restart();
        proxy.set(Wire::Passes);
        settled(gateway);
        assert!(came_to("settled") > 60);
        assert_eq!(gateway.metric("linegate_outage_granted_octets"), 0);
    });
}

/// What takes Redis away, and what brings it back.
type Stop<'s> = (&'s dyn Fn(), &'s dyn Fn());

#[test]
fn what_is_on_its_way_when_redis_stops_is_answered_soon_and_counted_once() {
    over_outages(&JOURNAL, |redis, proxy, gateway, load| {
        let stops: [Stop<'_>; 4] = [
            (&|| redis.freeze(), &|| redis.thaw()),
            (&|| proxy.set(Wire::HoldsReplies), &|| proxy.set(Wire::Passes)),
            (&|| proxy.set(Wire::Holds), &|| proxy.set(Wire::Passes)),
            (&|| proxy.set(Wire::Refuses), &|| proxy.set(Wire::Passes)),
        ];
        for (round, (stop, go_on)) in (1..).zip(stops) {
            let before = met(gateway, "gy", "taken-over");
            stop();
            cut_off(gateway);
            // A connection that is cut is noticed before everybody's request is on its way.
            let least = if round < 4 { 6 } else { 1 };
            let taken = || met(gateway, "gy", "taken-over") >= before + least;
            wait_for("what was on its way", Duration::from_millis(1500), taken, || gateway.tail());
            meet(gateway, &["rf", "modem"], "taken-over", round.min(3));
            goes_on("without redis", gateway, load);
            go_on();
            settled(gateway);
            goes_on("with redis", gateway, load);
        }
        assert_eq!(met(gateway, "gy", "unanswered"), 0);
        assert_eq!(met(gateway, "gy", "refused"), 0);
    });
}

#[test]
fn what_may_not_wait_any_longer_is_refused_and_goes_on_by_itself() {
    over_outages(&[("LINEGATE__CHARGING__OUTAGE__WAIT_MS_MAX", "1")], |_, proxy, gateway, load| {
        for round in 1..=3 {
            proxy.set(Wire::Refuses);
            cut_off(gateway);
            meet(gateway, &["rf", "modem"], "refused", 5 * round);
            let turned = || met(gateway, "gy", "refused") + met(gateway, "gy", "unanswered") >= 3 * round;
            wait_for("gy to be turned away", Duration::from_secs(20), turned, || gateway.tail());
            proxy.set(Wire::Passes);
            goes_on("after an outage", gateway, load);
        }
    });
}

#[test]
fn one_of_two_gateways_is_cut_off_and_settles_what_it_answered_meanwhile() {
    let redis = RedisServer::start("always");
    let proxy = Proxy::to(redis.address);
    let (direct, behind) = (redis.url(), format!("redis://{}/", proxy.address));
    let house = House::new(&[&JOURNAL[..], &[QUICK]].concat());
    let (ports_a, ports_b) = (Ports::free(), Ports::free());
    let a = house.start_with("gateway-a", ports_a, &[("LINEGATE__HOT__URL", behind.as_str())]);
    let b = house.start_with("gateway-b", ports_b, &[("LINEGATE__HOT__URL", direct.as_str())]);
    let (of_a, of_b) = (Lines::of(0, 8), Lines::of(1, 8));
    of_a.import(&a);
    import(&b, &of_b.modems);
    let load_a = house.load("a", ports_a, &of_a);
    // Sessions are named after the second.
    pause(1100);
    let load_b = house.load("b", ports_b, &of_b);
    goes_on("at first", &b, &load_b);
    for wire in [Wire::Refuses, Wire::HoldsReplies, Wire::Holds] {
        proxy.set(wire);
        cut_off(&a);
        pause(outage_s().min(30) * 100);
        goes_on("beside a gateway that is cut off", &b, &load_b);
        proxy.set(Wire::Passes);
        settled(&a);
        goes_on("after it", &a, &load_a);
    }
    let sent = [load_a.finish(&house.runtime), load_b.finish(&house.runtime)];
    settled(&a);
    assert_eq!(house.compare(&[&a, &b], &sent), Compared::default());
    assert!(a.metric("linegate_hot_conflicts_total") > 0);
    assert!(["gy", "rf", "modem"].iter().map(|source| met(&a, source, "settled")).sum::<i64>() > 20);
    assert_eq!((a.metric("linegate_hot_losses_total"), b.metric("linegate_hot_losses_total")), (0, 0));
    assert_eq!((a.terminate(), b.terminate()), (Some(0), Some(0)));
}
