//! What a hostile device costs: never more than the limits say, whatever it
//! claims and however slowly it sends.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a test's clock has to start somewhere")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use linegate_mqtt::client::{Client, ConnectOptions};
use linegate_mqtt::payload::{Desired, Payload, Receipt, Reported, Status, Usage};
use linegate_mqtt::session::{
    Cause, Command, ConnackOptions, Connection, Event, Input, Limits, Timer, UserProperty, Will,
};
use linegate_mqtt::topic::DeviceId;
use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};

const BOTH: [Version; 2] = [Version::V311, Version::V5];

/// What an answer, an event and an error cost beside the bytes themselves.
const SLACK: u64 = 4 << 10;

fn limits() -> Arc<Limits> {
    Arc::new(Limits { connect_bytes_max: 4 << 10, packet_bytes_max: 16 << 10, ..Limits::default() })
}

fn connect_with(version: Version, options: &ConnectOptions) -> Bytes {
    let mut client = Client::new(version);
    client.connect(options);
    client.take_output()
}

fn open(version: Version, now: Instant) -> Connection {
    let mut connection = Connection::new(limits(), now);
    connection.handle_input(Input::Bytes(connect_with(version, &ConnectOptions::new("d"))), now);
    assert!(matches!(connection.poll_event(), Some(Event::Connect(_))));
    connection.accept(ConnackOptions::new(DeviceId::new("d").unwrap()), now).unwrap();
    drain(&mut connection);
    connection
}

fn drain(connection: &mut Connection) -> Option<Cause> {
    let mut cause = None;
    while let Some(event) = connection.poll_event() {
        if let Event::Disconnected(end) = event {
            cause = Some(end.cause);
        }
    }
    while let Some(Command::Send(_)) = connection.next_command() {}
    cause
}

#[test]
fn a_slow_connect_costs_its_own_bytes_and_ends_in_time() {
    let begin = Instant::now();
    let mut head = vec![0x10, 0xf0, 0x1f];
    head.extend_from_slice(b"\0\x04MQTT\x05\x02\0\x3c\0");
    let mut cause = None;
    let cost = measure(|| {
        let mut connection = Connection::new(limits(), begin);
        let mut now = begin;
        for byte in head.iter().copied().chain(std::iter::repeat(b'x')) {
            connection.handle_input(Input::Bytes(Bytes::copy_from_slice(&[byte])), now);
            now += Duration::from_millis(10);
            connection.handle_timeout(now);
            cause = drain(&mut connection);
            if cause.is_some() {
                break;
            }
        }
        assert!(now <= begin + Duration::from_secs(10), "in time");
    });
    assert_eq!(cause, Some(Cause::Timeout(Timer::Connect)));
    assert!(cost.bytes_max <= 2 * 1000 + SLACK, "{} at once for 1000 bytes", cost.bytes_max);
}

#[test]
fn a_slow_packet_costs_its_own_bytes_and_ends_in_time() {
    for version in BOTH {
        let begin = Instant::now();
        let mut connection = open(version, begin);
        let mut cause = None;
        let cost = measure(|| {
            let mut now = begin;
            for byte in [0x30, 0xf0, 0x7f].into_iter().chain(std::iter::repeat(b'x')) {
                connection.handle_input(Input::Bytes(Bytes::copy_from_slice(&[byte])), now);
                now += Duration::from_millis(50);
                connection.handle_timeout(now);
                cause = drain(&mut connection);
                if cause.is_some() {
                    break;
                }
            }
            assert!(now <= begin + Duration::from_secs(61), "in time");
        });
        assert_eq!(cause, Some(Cause::Timeout(Timer::Packet)), "{version:?}");
        assert!(cost.bytes_max <= 2 * 1300 + SLACK, "{} at once for 1300 bytes", cost.bytes_max);
    }
}

#[test]
fn a_claim_of_256_mb_costs_nothing() {
    let now = Instant::now();
    let mut waiting = Connection::new(limits(), now);
    let mut open = BOTH.map(|version| open(version, now));
    let claims =
        [&[0x10, 0xff, 0xff, 0xff, 0x7f][..], &[0x30, 0xff, 0xff, 0xff, 0x7f], &[0x82, 0xff, 0xff, 0xff, 0x7f]];
    for (connection, claim) in std::iter::once(&mut waiting).chain(&mut open).zip(claims) {
        let claim = Bytes::copy_from_slice(claim);
        let cost = measure(|| {
            connection.handle_input(Input::Bytes(claim.clone()), now);
            let cause = drain(connection);
            assert_eq!(cause.map(|cause| cause.code()), Some(ReasonCode::PACKET_TOO_LARGE));
        });
        assert!(cost.bytes_max <= SLACK, "{}", cost.bytes_max);
    }
}

#[test]
fn lengths_that_lie_within_a_packet_cost_no_more_than_the_packet() {
    let now = Instant::now();
    let body = |head: &[u8]| [head, &vec![0xff; 8000][..]].concat();
    for (what, first, body) in [
        ("topic", 0x30, body(&[0xff, 0xff])),
        ("properties", 0x30, body(&[0, 1, b'a', 0xff, 0xff, 0xff, 0x7f])),
        ("SUBSCRIBE properties", 0x82, body(&[0, 1, 0xff, 0xff, 0xff, 0x7f])),
        ("SUBSCRIBE filter", 0x82, body(&[0, 1, 0, 0xff, 0xff])),
        ("UNSUBSCRIBE filter", 0xa2, body(&[0, 1, 0, 0xff, 0xff])),
        ("DISCONNECT properties", 0xe0, body(&[0, 0xff, 0xff, 0xff, 0x7f])),
    ] {
        let mut packet = vec![first, 0x80 | (body.len() & 0x7f) as u8, (body.len() >> 7) as u8];
        packet.extend_from_slice(&body);
        let packet = Bytes::from(packet);
        let mut connection = open(Version::V5, now);
        let cost = measure(|| {
            connection.handle_input(Input::Bytes(packet.clone()), now);
            assert!(drain(&mut connection).is_some(), "{what} is refused");
        });
        assert!(cost.bytes_max <= 2 * packet.len() as u64 + SLACK, "{what}: {}", cost.bytes_max);
    }
}

#[test]
fn many_small_things_cost_a_bounded_share_of_their_packet() {
    let now = Instant::now();
    let mut client = Client::new(Version::V5);
    client.subscribe(&vec![("x", Qos::AtMostOnce); 4000]);
    let filters = client.take_output();
    let mut options = ConnectOptions::new("d");
    options.user_properties = vec![UserProperty { name: String::new(), value: String::new() }; 790];
    let connect = connect_with(Version::V5, &options);
    for (what, mut connection, packet) in
        [("filters", open(Version::V5, now), filters), ("user properties", Connection::new(limits(), now), connect)]
    {
        let cost = measure(|| {
            connection.handle_input(Input::Bytes(packet.clone()), now);
            drain(&mut connection);
        });
        let share = cost.bytes_max / packet.len() as u64;
        println!("{what}: {} for {} bytes", cost.bytes_max, packet.len());
        assert!(share <= 40, "{what}: {} for {}", cost.bytes_max, packet.len());
    }
}

#[test]
fn deep_nesting_costs_no_more_than_the_payload() {
    let deep = |byte: u8, before: &[u8]| [before, &vec![byte; 200_000][..]].concat();
    let payloads = [
        (ContentType::Json, deep(b'[', b"")),
        (ContentType::Json, deep(b'[', b"{\"a\":")),
        (ContentType::Json, deep(b'[', b"[{\"a\":")),
        (ContentType::Cbor, deep(0x81, b"")),
        (ContentType::Cbor, deep(0x9f, b"")),
        (ContentType::Cbor, deep(0xc1, b"")),
        (ContentType::Cbor, deep(0x81, &[0xa1, 0x61, b'a'])),
        (ContentType::Cbor, vec![0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (ContentType::Cbor, vec![0xa1, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (ContentType::Cbor, vec![0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61]),
    ];
    for (format, payload) in payloads {
        let cost = measure(|| {
            assert!(Usage::decode(&payload, Some(format)).is_err());
            assert!(Desired::decode(&payload, Some(format)).is_err());
            assert!(Reported::decode(&payload, Some(format)).is_err());
            assert!(Receipt::decode(&payload, Some(format)).is_err());
            assert!(Status::decode(&payload, Some(format)).is_err());
        });
        let begin = &payload[..8];
        assert!(cost.bytes_max <= 2 * payload.len() as u64 + (64 << 10), "{format:?} {begin:02x?}: {}", cost.bytes_max);
    }
}

/// What an idle connection keeps, with its will and its subscription, after a
/// burst of messages.
#[test]
fn an_idle_connection_is_small() {
    let now = Instant::now();
    println!("size of a connection: {} bytes", size_of::<Connection>());
    for version in BOTH {
        let limits = limits();
        let mut connection = None;
        let cost = measure(|| {
            let mut idle = Connection::new(Arc::clone(&limits), now);
            let mut client = Client::new(version);
            let mut options = ConnectOptions::new("d");
            options.will = Some(Will {
                topic: "lg/v1/d/status".into(),
                payload: Bytes::from_static(b"{\"state\":\"offline\",\"session\":1}"),
                qos: Qos::AtLeastOnce,
                retain: false,
                delay_secs: 0,
                content_type: None,
                properties: None,
            });
            client.connect(&options);
            client.subscribe(&[("lg/v1/d/desired", Qos::AtLeastOnce)]);
            idle.handle_input(Input::Bytes(client.take_output()), now);
            assert!(matches!(idle.poll_event(), Some(Event::Connect(_))));
            idle.accept(ConnackOptions::new(DeviceId::new("d").unwrap()), now).unwrap();
            drain(&mut idle);
            for _ in 0..64 {
                client.publish("lg/v1/d/usage", b"{}", Qos::AtLeastOnce, false, None);
            }
            idle.handle_input(Input::Bytes(client.take_output()), now);
            let ids: Vec<_> = std::iter::from_fn(|| idle.poll_event())
                .filter_map(|event| match event {
                    Event::Publish(publish) => publish.packet_id,
                    _ => None,
                })
                .collect();
            assert_eq!(ids.len(), 64);
            for id in ids {
                idle.ack(id, ReasonCode::SUCCESS, now);
            }
            let written = idle.output().len();
            idle.output_written(written);
            connection = Some(idle);
        });
        let kept = cost.bytes_current + size_of::<Connection>() as i64;
        println!("{version:?}: {kept} bytes kept");
        assert!(kept <= 2048, "{version:?}: {kept}");
    }
}
