//! Redis away under load: through a wire that delays, holds, cuts and half-closes,
//! frozen, and killed. Nothing is lost or counted twice, and the gateway is back by
//! itself, whatever the settings say of the time between.

use std::time::Duration;

use crate::proxy::{Proxy, Wire};
use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, pause, wait_for};
use crate::two_gateways::{Compared, House, Load, import, ranges};

/// Seconds of the longest outage; the long form of the tests sets more.
fn outage_s() -> u64 {
    std::env::var("LINEGATE_TEST_OUTAGE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A gateway under load behind a wire to Redis, and what was done to both.
fn over_outages(settings: &[(&str, &str)], disturb: impl FnOnce(&mut RedisServer, &Proxy, &Gateway, &Load)) {
    let mut redis = RedisServer::start("always");
    let proxy = Proxy::to(redis.address);
    let url = format!("redis://{}/", proxy.address);
    let quick = [("LINEGATE__HOT__URL", url.as_str()), ("LINEGATE__HOT__REDIS__REPLY_TIMEOUT_MS", "1000")];
    let house = House::new(&[&quick[..], settings].concat());
    let ports = Ports::free();
    let gateway = house.start("gateway-a", ports);
    let [gy, modems, _] = ranges();
    import(&gateway, &gy);
    import(&gateway, &modems);
    let load = house.load("a", ports, &gy, &modems);
    pause(500);
    disturb(&mut redis, &proxy, &gateway, &load);
    goes_on("at the end", &gateway, &load);
    let files = [load.file.clone()];
    let sent = load.finish(&house);
    println!("{} acknowledged, {} unknown, {:?}", sent.acknowledged, sent.unknown, sent.result_codes);
    let settled = || gateway.metric("linegate_outage_journal_requests") == 0;
    wait_for("the journal to be settled", Duration::from_secs(30), settled, || gateway.tail());
    assert!(sent.result_codes.keys().all(|code| !code.contains("5002")), "a session was forgotten: {sent:?}");
    assert_eq!(house.compare(&[&gateway], &[&gy, &modems], &files), Compared::default());
    assert_eq!(gateway.metric("linegate_hot_losses_total"), 0);
    assert_eq!(gateway.terminate(), Some(0));
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
        // What was held comes late, from connections that were given up.
        proxy.set(Wire::Holds);
        wait_for("the gateway to notice", Duration::from_secs(10), || is_away(gateway), || gateway.tail());
        pause(1000);
        proxy.set(Wire::Passes);
        goes_on("after a partition", gateway, load);
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
fn gy_and_modems_go_on_from_a_journal_while_redis_is_away() {
    let settings = [
        ("LINEGATE__CHARGING__OUTAGE__GY", "local-allowance"),
        ("LINEGATE__CHARGING__OUTAGE__MQTT", "journal"),
        ("LINEGATE__CHARGING__OUTAGE__LOCAL_ALLOWANCE_OCTETS", "1000000000"),
    ];
    over_outages(&settings, |redis, proxy, gateway, load| {
        proxy.set(Wire::Refuses);
        wait_for("the gateway to notice", Duration::from_secs(10), || is_away(gateway), || gateway.tail());
        goes_on("while redis is away", gateway, load);
        let journalled = |source: &str| {
            let labels = format!("{{outcome=\"journalled\",source=\"{source}\"}}");
            gateway.metric(&format!("linegate_outage_requests_total{labels}"))
        };
        let both = || journalled("gy") > 20 && journalled("modem") > 20;
        wait_for("Gy and modems to be journalled", Duration::from_secs(10), both, || gateway.tail());
        assert!(gateway.metric("linegate_outage_granted_octets") > 0);
        assert!(gateway.metric("linegate_outage_journal_requests") > 40);
        pause(outage_s() * 1000);
        redis.restart();
        proxy.set(Wire::Passes);
        let settled = || gateway.metric("linegate_outage_journal_requests") == 0;
        wait_for("the journal to be settled", Duration::from_secs(30), settled, || gateway.tail());
    });
}
