//! What version 5 says beside the packets themselves: reason strings,
//! properties, expiry.

use super::*;
use crate::reason::REASON_STRING_BYTES_MAX;

fn user(name: &str, value: &str) -> UserProperty {
    UserProperty { name: name.into(), value: value.into() }
}

fn properties() -> MessageProperties {
    MessageProperties {
        is_utf8: true,
        expiry_secs: Some(60),
        response_topic: Some("a/b".into()),
        correlation_data: Some(Bytes::from_static(b"\0\xff")),
        user_properties: vec![user("a", "1"), user("a", "2")],
    }
}

impl Pair {
    /// Refuses in every way, and gives what the client was told.
    fn told(&mut self) -> Option<String> {
        self.run();
        self.client.take_reason_string()
    }
}

/// What a client is told when its connection is refused, when a message of its
/// own fails, when a filter does and when the connection ends.
fn told_everywhere(options: &ConnectOptions, text: &str) -> [Option<String>; 4] {
    let mut refused = Pair::new(Version::V5);
    refused.client.connect(options);
    refused.run();
    refused.server.refuse(ReasonCode::BANNED.because(text.to_owned()), refused.now);
    let open = || Pair::open_with(Version::V5, small_limits(), options, None).0;
    let mut failed = open();
    let id = NonZeroU16::new(failed.publish()).unwrap();
    assert!(failed.server.ack(id, ReasonCode::QUOTA_EXCEEDED.because(text.to_owned()), failed.now));
    let mut filter = open();
    filter.client.subscribe(&[(DESIRED, Qos::AtLeastOnce), ("#", Qos::AtLeastOnce)]);
    let mut ended = open();
    ended.server.disconnect(ReasonCode::SERVER_BUSY.because(text.to_owned()), ended.now);
    [refused.told(), failed.told(), filter.told(), ended.told()]
}

#[test]
fn a_failure_is_explained() {
    let options = ConnectOptions::new("c");
    let text = Some("come back at noon".to_owned());
    let filter = Some("a filter matches topics that this device does not receive".to_owned());
    let told = told_everywhere(&options, "come back at noon");
    assert_eq!(told, [text.clone(), text.clone(), filter, text]);
}

#[test]
fn a_client_that_wants_no_problem_information_gets_codes_alone() {
    let options = ConnectOptions { wants_problems: false, ..ConnectOptions::new("c") };
    assert_eq!(told_everywhere(&options, "come back at noon"), [None, None, None, None]);
}

#[test]
fn a_reason_string_stays_within_the_clients_maximum_packet_size() {
    let text = "é".repeat(REASON_STRING_BYTES_MAX);
    let mut said = 0;
    for max in 40..400 {
        let options = ConnectOptions { packet_bytes_max: Some(max), ..ConnectOptions::new("c") };
        for told in told_everywhere(&options, &text).into_iter().flatten() {
            assert!(told.len() <= REASON_STRING_BYTES_MAX && told.len() < max as usize, "{max}: {told}");
            said += 1;
        }
    }
    assert!(said > 400, "{said}");
    let nul = told_everywhere(&ConnectOptions::new("c"), "a\0b");
    assert_eq!(nul.into_iter().flatten().count(), 1, "U+0000 is in no string; the filter's text is our own");
}

#[test]
fn version_3_has_no_words() {
    let mut pair = Pair::open(Version::V311);
    let id = NonZeroU16::new(pair.publish()).unwrap();
    pair.server.ack(id, ReasonCode::QUOTA_EXCEEDED.because("x"), pair.now);
    pair.run();
    assert_eq!(pair.acked(), [id.get()]);
    pair.server.disconnect(ReasonCode::SERVER_BUSY.because("x"), pair.now);
    assert!(pair.server.take_output().is_empty());
    assert!(pair.server.wants_close());
}

#[test]
fn an_end_by_the_machine_is_explained() {
    let mut pair = Pair::open(Version::V5);
    pair.feed(&[0x30, 0xff, 0x7f]);
    assert_eq!(pair.told().as_deref(), Some("packet of 16386 bytes, allowed are 1024"));
    let mut pair = Pair::open(Version::V5);
    pair.wait(Duration::from_secs(91));
    assert_eq!(pair.told().as_deref(), Some(Timer::KeepAlive.as_str()));
}

#[test]
fn a_puback_keeps_its_words_until_its_turn() {
    let mut pair = Pair::open(Version::V5);
    let ids: Vec<_> = (0..2).map(|_| NonZeroU16::new(pair.publish()).unwrap()).collect();
    pair.server.ack(ids[1], ReasonCode::QUOTA_EXCEEDED.because("second"), pair.now);
    assert_eq!(pair.told(), None);
    pair.server.ack(ids[0], ReasonCode::SUCCESS, pair.now);
    assert_eq!(pair.told().as_deref(), Some("second"));
}

#[test]
fn an_answer_that_the_client_has_no_room_for_ends_the_connection() {
    let options = ConnectOptions { packet_bytes_max: Some(30), ..ConnectOptions::new("c") };
    let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &options, None);
    pair.client.subscribe(&[("x", Qos::AtLeastOnce); 24]);
    pair.run();
    assert_eq!(pair.disconnected(), None, "29 bytes");
    pair.client.subscribe(&[("x", Qos::AtLeastOnce); 26]);
    pair.run();
    assert_eq!(pair.disconnected().unwrap().cause.code(), ReasonCode::PACKET_TOO_LARGE);
}

#[test]
fn what_a_publish_says_is_given_to_the_caller() {
    let mut pair = Pair::open(Version::V5);
    let json = Some(ContentType::Json);
    pair.client.publish_saying(USAGE, b"{}", Qos::AtLeastOnce, false, json, &properties());
    pair.client.publish(USAGE, b"{}", Qos::AtLeastOnce, false, json);
    pair.run();
    let said: Vec<_> = pair
        .server_events
        .drain(..)
        .map(|event| match event {
            Event::Publish(publish) => (publish.content_type, publish.properties.map(|properties| *properties)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [(json, Some(properties())), (json, None)]);
}

#[test]
fn user_properties_are_given_up_to_the_limit() {
    let limits = Limits { user_properties_max: 2, ..small_limits() };
    let many: Vec<_> = (0..5).map(|i| user("k", &i.to_string())).collect();
    let mut pair = Pair::with(Version::V5, limits);
    pair.client.connect(&ConnectOptions { user_properties: many.clone(), ..ConnectOptions::new("c") });
    pair.flush_client();
    let Some(Event::Connect(connect)) = pair.server.poll_event() else {
        panic!("CONNECT expected");
    };
    assert_eq!(connect.user_properties, many[..2]);
    pair.server.accept(ConnackOptions::new(device()), pair.now).unwrap();
    let said = MessageProperties { user_properties: many.clone(), ..MessageProperties::default() };
    pair.client.publish_saying(USAGE, b"{}", Qos::AtMostOnce, false, None, &said);
    pair.run();
    let Some(Event::Publish(publish)) = pair.server_events.pop() else {
        panic!("publish expected");
    };
    assert_eq!(publish.properties.unwrap().user_properties, many[..2]);
}

#[test]
fn a_will_keeps_what_it_says() {
    let will = Will {
        topic: "lg/v1/modem-1/status".into(),
        payload: Bytes::from_static(b"{}"),
        qos: Qos::AtLeastOnce,
        retain: false,
        delay_secs: 9,
        content_type: Some(ContentType::Json),
        properties: Some(Box::new(properties())),
    };
    for (expiry, due) in [(60, 9), (5, 5), (0, 0)] {
        let options =
            ConnectOptions { will: Some(will.clone()), session_expiry_secs: expiry, ..ConnectOptions::new("c") };
        let (mut pair, _) = Pair::open_with(Version::V5, small_limits(), &options, None);
        pair.server.handle_input(Input::Closed, pair.now);
        pair.run();
        let end = pair.disconnected().unwrap();
        assert_eq!(end.will.as_ref(), Some(&will));
        assert_eq!(end.will_due_after(), Some(Duration::from_secs(due)), "the lesser of delay and session");
    }
}

#[test]
fn response_information_is_given_to_who_asks() {
    for (wants_response_info, expected) in [(true, Some("lg/v1/modem-1/")), (false, None)] {
        let options = ConnectOptions { wants_response_info, ..ConnectOptions::new("c") };
        let (_, connack) = Pair::open_with(Version::V5, small_limits(), &options, None);
        assert_eq!(connack.response_info.as_deref(), expected);
    }
}

fn next_message(pair: &mut Pair) -> crate::client::Message {
    match pair.client_events.pop() {
        Some(ClientEvent::Publish(message)) => message,
        other => panic!("message expected, not {other:?}"),
    }
}

#[test]
fn a_desired_state_asks_for_its_answer() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        pair.subscribe(DESIRED);
        let expires = Some(pair.now + Duration::from_millis(59_001));
        let desired = Outgoing::desired(17, Bytes::from_static(b"{}"), ContentType::Json);
        pair.server.publish(Outgoing { expires, ..desired }, pair.now).unwrap();
        pair.run();
        let said = next_message(&mut pair).properties;
        let expected = MessageProperties {
            is_utf8: true,
            expiry_secs: Some(60),
            response_topic: Some("lg/v1/modem-1/reported".into()),
            correlation_data: Some(Bytes::from_static(b"17")),
            user_properties: Vec::new(),
        };
        assert_eq!(said.map(|said| *said), (version == Version::V5).then_some(expected));
    }
}

#[test]
fn a_message_is_not_sent_once_its_time_is_over() {
    for version in BOTH {
        let options = ConnectOptions { clean_start: false, session_expiry_secs: 600, ..ConnectOptions::new("c") };
        let (mut pair, _) = Pair::open_with(version, small_limits(), &options, None);
        pair.subscribe(DESIRED);
        let expiring = |pair: &Pair, token, secs| Outgoing {
            expires: Some(pair.now + Duration::from_secs(secs)),
            ..desired(token)
        };
        let late = expiring(&pair, 9, 0);
        assert_eq!(pair.server.publish(late, pair.now), Err(PublishError::Expired));
        for (token, secs) in [(1, 10), (2, 100), (3, 10), (4, 100)] {
            let message = expiring(&pair, token, secs);
            pair.server.publish(message, pair.now).unwrap();
        }
        pair.run();
        assert_eq!(pair.received(), [(1, false), (2, false)], "the window is two");
        pair.now += Duration::from_secs(10);
        pair.client.puback(1);
        pair.server_events.clear();
        pair.run();
        let ends: Vec<_> = pair.server_events.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(ends.len(), 2, "{ends:?}");
        assert!(matches!(pair.server_events[1], Event::Expired { token: 3 }), "{ends:?}");
        let message = next_message(&mut pair);
        assert_eq!(message.packet_id, Some(3));
        if version == Version::V5 {
            assert_eq!(message.properties.unwrap().expiry_secs, Some(90), "what is left");
        }

        let session = Some(pair.server.take_session());
        let mut next = Pair::new(version);
        next.now = pair.now + Duration::from_secs(90);
        next.client.connect(&options);
        next.flush_client();
        next.server.accept(ConnackOptions { session, ..ConnackOptions::new(device()) }, next.now).unwrap();
        next.run();
        assert!(next.received().is_empty(), "nor sent again");
        let expired = |event: &&Event| matches!(event, Event::Expired { token: 2 | 4 });
        assert_eq!(next.server_events.iter().filter(expired).count(), 2);
        assert_eq!(next.server.take_session().pending(), 0);
    }
}

#[test]
fn no_topic_alias_is_taken_where_the_maximum_is_0() {
    let limits = Limits { topic_alias_max: 0, ..small_limits() };
    let (mut pair, connack) = Pair::open_with(Version::V5, limits, &ConnectOptions::new("c"), None);
    assert_eq!(connack.topic_alias_max, 0);
    pair.feed(&[0x30, 8, 0, 1, b'a', 3, 0x23, 0, 1, b'x']);
    pair.run();
    assert_eq!(pair.disconnected().unwrap().cause.code(), ReasonCode::TOPIC_ALIAS_INVALID);
}
