//! Messages both ways: windows, order, aliases, access, sessions.

use super::*;

#[test]
fn a_puback_leaves_only_after_ack_and_in_the_order_of_the_messages() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        let ids: Vec<_> = (0..3).map(|_| pair.publish()).collect();
        assert_eq!(pair.server.unacked(), 3);
        assert!(pair.client_events.is_empty());
        assert!(pair.ack(ids[2]));
        assert!(pair.ack(ids[1]));
        assert!(pair.acked().is_empty(), "the first still waits");
        assert!(pair.ack(ids[0]));
        assert_eq!(pair.acked(), ids);
        assert_eq!(pair.server.unacked(), 0);
        assert!(!pair.ack(ids[0]), "an ack counts once");
    }
}

#[test]
fn a_version_5_client_over_receive_maximum_is_sent_away() {
    let mut pair = Pair::open(Version::V5);
    for _ in 0..4 {
        pair.publish();
    }
    assert_eq!(pair.disconnected(), None);
    pair.publish();
    let end = pair.disconnected().unwrap();
    assert_eq!(end.cause.code(), ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
}

#[test]
fn a_version_3_client_with_a_full_window_is_not_read_until_an_ack() {
    let mut pair = Pair::open(Version::V311);
    for _ in 0..6 {
        pair.client.publish(USAGE, b"{}", Qos::AtLeastOnce, false, None);
    }
    pair.run();
    assert_eq!(pair.server_events.len(), 4);
    assert!(!pair.server.wants_read());
    assert_eq!(pair.server.poll_timeout(), None, "we are the ones who are late");
    pair.wait(Duration::from_secs(1000));
    pair.ack(1);
    assert_eq!(pair.server_events.len(), 5);
    assert!(!pair.server.wants_read());
    pair.ack(2);
    assert_eq!(pair.server_events.len(), 6);
    pair.ack(3);
    assert!(pair.server.wants_read());
    assert_eq!(pair.disconnected(), None);
}

#[test]
fn a_message_sent_again_on_the_same_connection_is_told_once() {
    let mut pair = Pair::open(Version::V311);
    let id = pair.publish();
    pair.client.publish_again(id, USAGE, b"{}", false, None);
    pair.run();
    assert_eq!(pair.server_events.len(), 1);
    pair.ack(id);
    assert_eq!(pair.acked(), vec![id]);

    let mut pair = Pair::open(Version::V5);
    let id = pair.publish();
    pair.client.publish_again(id, USAGE, b"{}", false, None);
    pair.run();
    assert_eq!(pair.disconnected().unwrap().cause.code(), ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn packet_ids_may_come_in_any_order_and_wrap() {
    let mut pair = Pair::open(Version::V311);
    let ids = [65_535, 1, 7, 3];
    for id in ids {
        pair.client.publish_again(id, USAGE, b"{}", false, None);
    }
    pair.run();
    assert_eq!(pair.server.unacked(), 4);
    ids.into_iter().for_each(|id| assert!(pair.ack(id), "{id}"));
    assert_eq!(pair.acked(), ids);
}

#[test]
fn a_publish_tells_kind_payload_and_content_type() {
    let mut pair = Pair::open(Version::V5);
    let cbor = Some(ContentType::Cbor);
    pair.client.publish("lg/v1/modem-1/status", b"xyz", Qos::AtMostOnce, true, cbor);
    pair.run();
    let expected = Publish {
        kind: TopicKind::Status,
        payload: Bytes::from_static(b"xyz"),
        packet_id: None,
        dup: false,
        retain: true,
        content_type: Some(ContentType::Cbor),
        properties: None,
    };
    let Some(Event::Publish(publish)) = pair.server_events.pop() else {
        panic!("publish expected");
    };
    assert_eq!(publish, expected);
}

#[test]
fn a_foreign_topic_is_not_authorized() {
    for topic in [DESIRED, "lg/v1/modem-1/receipt", "lg/v1/modem-2/usage", "x", "$SYS/a"] {
        let mut pair = Pair::open(Version::V5);
        let own = pair.publish();
        pair.client.publish(topic, b"", Qos::AtLeastOnce, false, None);
        pair.run();
        let Some(Event::PublishRefused { topic: named, .. }) = pair.server_events.pop() else {
            panic!("{topic}: refusal expected");
        };
        assert_eq!(named, topic);
        assert!(pair.client_events.is_empty(), "its turn is after the first");
        pair.ack(own);
        let refused = ClientEvent::PubAck { packet_id: own + 1, reason: ReasonCode::NOT_AUTHORIZED };
        assert_eq!(pair.client_events.pop(), Some(refused), "{topic}");
        assert_eq!(pair.disconnected(), None);
    }
}

#[test]
fn a_topic_alias_stands_for_the_topic_that_set_it() {
    let mut pair = Pair::open(Version::V5);
    let mut set = vec![0x30, 0, 0, USAGE.len() as u8];
    set.extend_from_slice(USAGE.as_bytes());
    set.extend_from_slice(&[3, 0x23, 0, 2]);
    set[1] = set.len() as u8 - 2;
    pair.feed(&set);
    pair.feed(&[0x30, 7, 0, 0, 3, 0x23, 0, 2, b'x']);
    pair.run();
    let kinds: Vec<_> = pair
        .server_events
        .iter()
        .map(|event| match event {
            Event::Publish(publish) => publish.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [TopicKind::Usage, TopicKind::Usage]);
}

#[test]
fn a_filter_is_granted_inside_the_devices_own_level_only() {
    for (version, forbidden) in [(Version::V5, 0x87), (Version::V311, 0x80)] {
        let mut pair = Pair::open(version);
        assert_eq!(pair.subscribe("#").0, forbidden);
        assert_eq!(pair.subscribe("lg/v1/modem-2/desired").0, forbidden);
        assert!(pair.server_events.is_empty());
        assert_eq!(pair.subscribe(DESIRED).0, 1, "QoS 2 is granted as 1");
        let Some(Event::Subscribed(granted)) = pair.server_events.pop() else {
            panic!("subscribed expected");
        };
        assert_eq!(granted[0].access, FilterAccess { desired: true, receipt: false });
        assert!(granted[0].wants_retained);
        assert_eq!(pair.subscribe("lg/v1/modem-1/#").0, 1);
        assert_eq!(pair.subscribe(DESIRED).0, 1, "again is not one more");
        let full = if version == Version::V5 { 0x97 } else { 0x80 };
        assert_eq!(pair.subscribe("lg/v1/modem-1/receipt").0, full);
        if version == Version::V5 {
            assert_eq!(pair.subscribe("$share/g/lg/v1/modem-1/desired").0, 0x9e);
        }
    }
}

#[test]
fn a_message_goes_where_a_subscription_is() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        assert_eq!(pair.send(1), Err(PublishError::NotSubscribed));
        pair.subscribe(DESIRED);
        pair.server_events.clear();
        assert_eq!(pair.send(7), Ok(Sent::AtLeastOnce));
        let Some(ClientEvent::Publish(message)) = pair.client_events.pop() else {
            panic!("message expected");
        };
        assert_eq!(message.topic, DESIRED);
        assert!(message.retain && !message.dup);
        pair.client.puback(message.packet_id.unwrap());
        pair.run();
        let Some(Event::PubAck { token: 7, reason }) = pair.server_events.pop() else {
            panic!("ack expected");
        };
        assert_eq!(reason, ReasonCode::SUCCESS);
        pair.client.unsubscribe(&[DESIRED, "x"]);
        pair.run();
        assert_eq!(pair.send(8), Err(PublishError::NotSubscribed));
        let usage = Outgoing { kind: TopicKind::Usage, ..desired(9) };
        let refused = Err(PublishError::NotForDevices(TopicKind::Usage));
        assert_eq!(pair.server.publish(usage, pair.now), refused);
    }
}

#[test]
fn messages_over_the_devices_window_wait_and_the_queue_has_an_end() {
    let mut options = ConnectOptions::new("c");
    options.receive_max = Some(1);
    let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &options, None);
    pair.subscribe(DESIRED);
    for token in 0..4 {
        assert_eq!(pair.send(token), Ok(Sent::AtLeastOnce));
    }
    assert_eq!(pair.send(4), Err(PublishError::QueueFull(3)));
    for expected in 1..=4 {
        assert_eq!(pair.received(), [(expected, false)], "one at a time");
        pair.client.puback(expected);
        pair.run();
    }
}

#[test]
fn of_what_waits_only_the_newest_desired_state_is_sent() {
    let mut options = ConnectOptions::new("c");
    options.receive_max = Some(1);
    let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &options, None);
    pair.subscribe(DESIRED);
    for token in 0..40 {
        pair.server.publish(Outgoing { supersedes: true, ..desired(token) }, pair.now).unwrap();
    }
    pair.run();
    assert_eq!(pair.received(), [(1, false)], "the first was on its way");
    pair.client.puback(1);
    pair.run();
    assert_eq!(pair.received(), [(2, false)]);
    pair.server_events.clear();
    pair.client.puback(2);
    pair.run();
    assert!(matches!(pair.server_events[..], [Event::PubAck { token: 39, .. }]), "{:?}", pair.server_events);
}

#[test]
fn a_message_larger_than_the_device_takes_is_not_sent() {
    let mut options = ConnectOptions::new("c");
    options.packet_bytes_max = Some(100);
    let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &options, None);
    pair.subscribe(DESIRED);
    let large = Outgoing { payload: vec![b'x'; 100].into(), ..desired(1) };
    let sent = pair.server.publish(large, pair.now);
    assert!(matches!(sent, Err(PublishError::TooLarge { max: 100, .. })), "{sent:?}");
}

#[test]
fn a_session_goes_on_with_dup_and_the_same_ids() {
    for version in BOTH {
        let mut options = ConnectOptions::new("c");
        options.clean_start = false;
        options.session_expiry_secs = 60;
        let (mut pair, connack) = Pair::open_with(version, small_limits(), &options, None);
        assert!(!connack.session_present);
        pair.subscribe(DESIRED);
        for token in 1..=3 {
            pair.send(token).unwrap();
        }
        assert_eq!(pair.received(), [(1, false), (2, false)]);
        pair.client.puback(1);
        pair.run();
        assert_eq!(pair.received(), [(3, false)]);
        pair.server.disconnect(ReasonCode::SESSION_TAKEN_OVER, pair.now);
        pair.run();
        let session = pair.server.take_session();
        assert_eq!(session.pending_tokens().collect::<Vec<_>>(), [2, 3]);

        let (mut next, connack) = Pair::open_with(version, small_limits(), &options, Some(session));
        assert!(connack.session_present);
        assert_eq!(next.received(), [(2, true), (3, true)]);
        next.client.puback(2);
        next.run();
        let acked = next.server_events.pop();
        assert!(matches!(acked, Some(Event::PubAck { token: 2, .. })), "{acked:?}");
        assert_eq!(next.send(4), Ok(Sent::AtLeastOnce));
        assert_eq!(next.received(), [(4, false)]);
    }
}

#[test]
fn a_clean_start_drops_the_session() {
    let mut old = Pair::open(Version::V5);
    old.subscribe(DESIRED);
    let session = Some(old.server.take_session());
    let options = ConnectOptions::new("c");
    let (mut pair, connack) = Pair::open_with(Version::V5, small_limits(), &options, session);
    assert!(!connack.session_present);
    assert_eq!(pair.send(1), Err(PublishError::NotSubscribed));
}

#[test]
fn a_resumed_message_too_large_for_the_device_comes_to_its_end() {
    let mut old = Pair::open(Version::V5);
    old.subscribe(DESIRED);
    let large = Outgoing { payload: vec![b'x'; 300].into(), ..desired(1) };
    old.server.publish(large, old.now).unwrap();
    let mut options = ConnectOptions::new("c");
    options.clean_start = false;
    options.packet_bytes_max = Some(200);
    let session = Some(old.server.take_session());
    let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &options, session);
    pair.run();
    let Some(Event::PubAck { token: 1, reason }) = pair.server_events.pop() else {
        panic!("an end expected");
    };
    assert_eq!(reason, ReasonCode::PACKET_TOO_LARGE);
    assert!(pair.received().is_empty());
}

#[test]
fn connack_says_our_limits() {
    let mut options = ConnectOptions::new("");
    options.keep_alive_secs = 0;
    options.session_expiry_secs = u32::MAX;
    let (_, connack) = Pair::open_with(Version::V5, small_limits(), &options, None);
    let expected = ConnAck {
        session_present: false,
        reason: ReasonCode::SUCCESS,
        assigned_client_id: Some("modem-1".into()),
        receive_max: 4,
        topic_alias_max: 2,
        qos_max: Qos::AtLeastOnce,
        packet_bytes_max: Some(1024),
        server_keep_alive_secs: Some(3600),
        session_expiry_secs: Some(7 * 86_400),
        response_info: None,
    };
    assert_eq!(connack, expected);
}

#[test]
fn packets_behind_connect_wait_for_the_answer() {
    let mut pair = Pair::new(Version::V311);
    pair.client.connect(&ConnectOptions::new("c"));
    pair.client.publish(USAGE, b"{}", Qos::AtLeastOnce, false, None);
    pair.client.ping();
    pair.run();
    assert_eq!(pair.server_events.len(), 1, "the CONNECT alone");
    pair.server.accept(ConnackOptions::new(device()), pair.now).unwrap();
    pair.run();
    assert!(matches!(pair.server_events[1], Event::Publish(_)));
    assert!(matches!(pair.client_events[1], ClientEvent::PingResp));
}

#[test]
fn a_client_that_does_not_read_is_sent_away() {
    let limits = Limits { output_bytes_max: 100, ..small_limits() };
    let (mut pair, _) = Pair::open_with(Version::V5, limits, &ConnectOptions::new("c"), None);
    (0..60).for_each(|_| pair.client.ping());
    pair.run();
    assert_eq!(pair.disconnected().unwrap().cause.code(), ReasonCode::QUOTA_EXCEEDED);
}
