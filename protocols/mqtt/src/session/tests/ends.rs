//! How connections end: timers, wills, takeover, session expiry.

use super::*;

fn with_will(delay_secs: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new("c");
    options.session_expiry_secs = 60;
    options.will = Some(Will {
        topic: "lg/v1/modem-1/status".into(),
        payload: Bytes::from_static(b"{\"state\":\"offline\",\"session\":1}"),
        qos: Qos::AtLeastOnce,
        retain: true,
        delay_secs,
        content_type: None,
        properties: None,
    });
    options
}

#[test]
fn the_will_follows_every_end_but_a_leave_taken() {
    type End = fn(&mut Pair);
    let table: &[(&str, End, bool)] = &[
        ("link lost", |p| p.server.handle_input(Input::Closed, p.now), true),
        ("bad packet", |p| p.feed(&[0, 0]), true),
        ("keep alive", |p| p.wait(Duration::from_secs(91)), true),
        ("takeover", |p| p.server.disconnect(ReasonCode::SESSION_TAKEN_OVER, p.now), true),
        ("shutdown", |p| p.server.disconnect(ReasonCode::SERVER_SHUTTING_DOWN, p.now), true),
        ("DISCONNECT of two bytes", |p| p.feed(&[0xe0, 0]), false),
    ];
    for version in BOTH {
        for (what, end, expected) in table {
            let (mut pair, _) = Pair::open_with(version, small_limits(), &with_will(0), None);
            end(&mut pair);
            pair.run();
            let ended = pair.disconnected().unwrap();
            assert_eq!(ended.will.is_some(), *expected, "{what}, {version:?}");
            assert_eq!(pair.server_events.len(), 1, "{what}: one end");
            pair.server.handle_input(Input::Closed, pair.now);
            pair.feed(&[0xc0, 0]);
            assert!(pair.server.poll_event().is_none(), "{what}: the end is the last event");
        }
    }
}

#[test]
fn a_version_5_leave_keeps_the_will_when_it_says_so() {
    for (bytes, expected) in [
        (&[0xe0u8, 0][..], None),
        (&[0xe0, 1, 0x00], None),
        (&[0xe0, 2, 0x00, 0], None),
        (&[0xe0, 1, 0x04], Some(30)),
        (&[0xe0, 2, 0x04, 0], Some(30)),
        (&[0xe0, 1, 0x80], Some(30)),
    ] {
        let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &with_will(30), None);
        pair.feed(bytes);
        pair.run();
        let will = pair.disconnected().unwrap().will.as_ref();
        assert_eq!(will.map(|will| will.delay_secs), expected, "{bytes:02x?}");
        assert!(pair.client_events.is_empty(), "a leave is not answered");
    }
}

#[test]
fn a_will_on_another_topic_is_refused() {
    for topic in ["lg/v1/modem-2/status", "lg/v1/modem-1/usage", "x"] {
        let mut options = with_will(0);
        options.will.as_mut().unwrap().topic = topic.into();
        let mut pair = Pair::new(Version::V5);
        pair.client.connect(&options);
        pair.run();
        let answer = pair.server.accept(ConnackOptions::new(device()), pair.now);
        assert_eq!(answer, Err(ReasonCode::NOT_AUTHORIZED), "{topic}");
        pair.run();
        let end = pair.disconnected().unwrap();
        assert_eq!((&end.will, end.session_expiry_secs), (&None, 0));
        let Some(ClientEvent::ConnAck(connack)) = pair.client_events.pop() else {
            panic!("CONNACK expected");
        };
        assert_eq!(connack.reason, ReasonCode::NOT_AUTHORIZED);
    }
}

#[test]
fn a_refusal_is_said_in_the_words_of_the_version() {
    for (version, reason, said) in [
        (Version::V5, ReasonCode::BAD_USER_NAME_OR_PASSWORD, 0x86),
        (Version::V5, ReasonCode::SUCCESS, 0x80),
        (Version::V311, ReasonCode::BAD_USER_NAME_OR_PASSWORD, 0x86),
        (Version::V311, ReasonCode::NOT_AUTHORIZED, 0x87),
        (Version::V311, ReasonCode::QUOTA_EXCEEDED, 0x88),
    ] {
        let mut pair = Pair::new(version);
        pair.client.connect(&with_will(0));
        pair.run();
        pair.server.refuse(reason, pair.now);
        pair.run();
        let Some(ClientEvent::ConnAck(connack)) = pair.client_events.pop() else {
            panic!("CONNACK expected");
        };
        assert_eq!(connack.reason.0, said);
        assert_eq!(pair.disconnected().unwrap().will, None);
        assert!(pair.server.wants_close());
    }
}

#[test]
fn a_takeover_is_told_to_a_version_5_client() {
    let mut pair = Pair::open(Version::V5);
    let id = pair.publish();
    pair.server.disconnect(ReasonCode::SESSION_TAKEN_OVER, pair.now);
    pair.run();
    assert_eq!(pair.client_events, [ClientEvent::Disconnect(ReasonCode::SESSION_TAKEN_OVER)]);
    assert!(!pair.ack(id), "an ack after the end goes nowhere");
    assert_eq!(pair.server.unacked(), 0);
}

#[test]
fn a_connect_has_a_timer() {
    let mut pair = Pair::new(Version::V5);
    pair.feed(&[0x10, 0x20, 0]);
    pair.wait(Duration::from_secs(9));
    assert_eq!(pair.disconnected(), None);
    pair.wait(Duration::from_secs(1));
    assert_eq!(pair.disconnected().unwrap().cause, Cause::Timeout(Timer::Connect));
}

#[test]
fn keep_alive_is_one_and_a_half_times_what_was_agreed() {
    for version in BOTH {
        let mut options = ConnectOptions::new("c");
        options.keep_alive_secs = 10;
        let (mut pair, _) = Pair::open_with(version, small_limits(), &options, None);
        pair.wait(Duration::from_millis(14_999));
        pair.client.ping();
        pair.run();
        assert_eq!(pair.server.poll_timeout(), Some(pair.now + Duration::from_secs(15)));
        pair.wait(Duration::from_millis(14_999));
        assert_eq!(pair.disconnected(), None);
        pair.wait(Duration::from_millis(1));
        let end = pair.disconnected().unwrap();
        assert_eq!(end.cause, Cause::Timeout(Timer::KeepAlive));
        assert_eq!(end.cause.code(), ReasonCode::KEEP_ALIVE_TIMEOUT);
    }
}

#[test]
fn no_keep_alive_in_version_3_means_no_timer() {
    let mut options = ConnectOptions::new("c");
    options.keep_alive_secs = 0;
    let (pair, _) = Pair::open_with(Version::V311, small_limits(), &options, None);
    assert_eq!(pair.server.poll_timeout(), None);
}

#[test]
fn half_a_packet_does_not_keep_a_connection_alive() {
    let mut options = ConnectOptions::new("c");
    options.keep_alive_secs = 0;
    let (mut pair, _) = Pair::open_with(Version::V311, small_limits(), &options, None);
    pair.feed(&[0x30]);
    for byte in [0x40u8, 0, 1] {
        pair.wait(Duration::from_secs(15));
        pair.feed(&[byte]);
    }
    assert_eq!(pair.disconnected(), None);
    pair.wait(Duration::from_secs(15));
    assert_eq!(pair.disconnected().unwrap().cause, Cause::Timeout(Timer::Packet));
}

#[test]
fn session_expiry_is_the_clients_up_to_our_limit() {
    let limits = Limits { session_expiry_secs_max: 100, ..small_limits() };
    let leave = |expiry: Option<u8>| match expiry {
        None => vec![0xe0, 0],
        Some(secs) => vec![0xe0, 7, 0, 5, 0x11, 0, 0, 0, secs],
    };
    for (version, clean, asked, at_leave, expected) in [
        (Version::V5, true, 0, None, 0),
        (Version::V5, true, 50, None, 50),
        (Version::V5, false, u32::MAX, None, 100),
        (Version::V5, false, 50, Some(0), 0),
        (Version::V5, false, 50, Some(200), 100),
        (Version::V311, true, 0, None, 0),
        (Version::V311, false, 0, None, 100),
    ] {
        let mut options = ConnectOptions::new("c");
        options.clean_start = clean;
        options.session_expiry_secs = asked;
        let (mut pair, _) = Pair::open_with(version, limits.clone(), &options, None);
        pair.feed(&leave(at_leave));
        pair.run();
        let end = pair.disconnected().unwrap();
        assert_eq!(end.session_expiry_secs, expected, "{version:?} {asked} {at_leave:?}");
    }
}

#[test]
fn a_session_without_end_is_one_where_the_limit_allows_it() {
    let limits = Limits { session_expiry_secs_max: u32::MAX, ..small_limits() };
    for version in BOTH {
        let options = ConnectOptions { clean_start: false, session_expiry_secs: u32::MAX, ..ConnectOptions::new("c") };
        let (mut pair, connack) = Pair::open_with(version, limits.clone(), &options, None);
        assert_eq!(connack.session_expiry_secs, None, "nothing was cut");
        pair.server.handle_input(Input::Closed, pair.now);
        pair.run();
        assert_eq!(pair.disconnected().unwrap().session_expiry_secs, u32::MAX);
    }
}

#[test]
fn qos_2_ends_a_version_3_connection_with_the_reason_for_the_log() {
    let mut pair = Pair::open(Version::V311);
    pair.client.publish(USAGE, b"{}", Qos::ExactlyOnce, false, None);
    pair.run();
    let cause = &pair.disconnected().unwrap().cause;
    let expected = Cause::Protocol { code: ReasonCode::QOS_NOT_SUPPORTED, detail: "PUBLISH with QoS 2".into() };
    assert_eq!(*cause, expected);
}

#[test]
fn a_takeover_hands_the_session_on() {
    for version in BOTH {
        let options = ConnectOptions { clean_start: false, session_expiry_secs: 60, ..ConnectOptions::new("c") };
        let (mut old, _) = Pair::open_with(version, small_limits(), &options, None);
        old.subscribe(DESIRED);
        old.send(1).unwrap();
        let mut new = Pair::new(version);
        new.client.connect(&options);
        new.flush_client();
        assert!(matches!(new.server.poll_event(), Some(Event::Connect(_))), "held unanswered");
        old.server.disconnect(ReasonCode::SESSION_TAKEN_OVER, old.now);
        old.run();
        assert!(old.disconnected().unwrap().session_expiry_secs > 0, "it lives on");
        let session = Some(old.server.take_session());
        new.server.accept(ConnackOptions { session, ..ConnackOptions::new(device()) }, new.now).unwrap();
        new.run();
        let ClientEvent::ConnAck(connack) = new.client_events.remove(0) else {
            panic!("CONNACK expected");
        };
        assert!(connack.session_present);
        assert_eq!(new.received(), [(1, true)]);
        assert_eq!(new.server.subscriptions().len(), 1);
    }
}

#[test]
fn too_much_ahead_of_an_answer_is_too_much() {
    let limits = Limits { unanswered_bytes_max: 100, ..small_limits() };
    let mut pair = Pair::with(Version::V5, limits);
    pair.client.connect(&ConnectOptions::new("c"));
    pair.run();
    assert!(pair.server.wants_read());
    pair.feed(&[0xc0, 0].repeat(30));
    assert!(!pair.server.wants_read());
    pair.feed(&[0xc0, 0].repeat(30));
    pair.run();
    assert_eq!(pair.disconnected().unwrap().cause.code(), ReasonCode::QUOTA_EXCEEDED);
    let late = pair.server.accept(ConnackOptions::new(device()), pair.now);
    assert_eq!(late, Err(ReasonCode::UNSPECIFIED_ERROR));
}
