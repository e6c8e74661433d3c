//! Anything may come in, in any pieces.

use proptest::prelude::*;

use super::*;
use crate::codec::{control, publish};

/// Feeds bytes in pieces, answers what is asked, and checks what always holds.
fn survive(version: Version, open: bool, bytes: &[u8], piece: usize) {
    let mut pair = if open { Pair::open(version) } else { Pair::new(version) };
    let mut ends = 0;
    for piece in bytes.chunks(piece) {
        pair.feed(piece);
        while let Some(event) = pair.server.poll_event() {
            assert_eq!(ends, 0, "the end is the last event: {event:?}");
            match event {
                Event::Connect(_) => {
                    let _refused = pair.server.accept(ConnackOptions::new(device()), pair.now);
                }
                Event::Publish(Publish { packet_id: Some(id), .. }) => {
                    pair.server.ack(id, ReasonCode::SUCCESS, pair.now);
                }
                Event::Disconnected(_) => ends += 1,
                _ => {}
            }
        }
        assert_eq!(ends > 0, pair.server.wants_close());
        assert!(pair.server.unacked() <= 4);
    }
}

/// All that comes out, in words: events, then bytes.
fn happens(version: Version, bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let limits = Limits { receive_max: 16, ..small_limits() };
    let mut pair = Pair::with(version, limits);
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        pair.feed(piece);
        while let Some(event) = pair.server.poll_event() {
            events.push(format!("{event:?}"));
            if let Event::Connect(_) = event {
                pair.server.accept(ConnackOptions::new(device()), pair.now).unwrap();
            }
        }
    }
    let mut written = Vec::new();
    while let Some(Command::Send(bytes)) = pair.server.next_command() {
        written.extend_from_slice(&bytes);
    }
    (events, written)
}

/// Bytes that look like packets more often than chance has it.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..12)).prop_map(|(id, rest)| {
            let mut body = vec![0, USAGE.len() as u8];
            body.extend_from_slice(USAGE.as_bytes());
            body.extend_from_slice(&id.to_be_bytes());
            body.extend(rest);
            body
        }),
    ];
    let packet = (any::<u8>(), body).prop_map(|(first, body)| {
        let mut packet = vec![first, body.len() as u8];
        packet.extend(body);
        packet
    });
    proptest::collection::vec(packet, 0..8).prop_map(|packets| packets.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop_oneof![packets(), proptest::collection::vec(any::<u8>(), 0..200)],
        v5: bool,
        open: bool,
        piece in 1usize..50,
    ) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        survive(version, open, &bytes, piece);
    }

    #[test]
    fn a_damaged_connect_never_panics(
        v5: bool,
        at in 0usize..60,
        byte: u8,
        piece in 1usize..60,
    ) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let mut client = Client::new(version);
        let mut options = ConnectOptions::new("c");
        options.username = Some("u".into());
        options.password = Some(Bytes::from_static(b"p"));
        options.session_expiry_secs = 9;
        client.connect(&options);
        let mut bytes = client.take_output().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        survive(version, false, &bytes, piece);
    }

    #[test]
    fn the_pieces_do_not_change_what_happens(
        bytes in packets(),
        messages in 0usize..12,
        v5: bool,
        piece in 1usize..20,
    ) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let mut client = Client::new(version);
        client.connect(&ConnectOptions::new("c"));
        client.subscribe(&[(DESIRED, Qos::AtLeastOnce)]);
        for _ in 0..messages {
            client.publish(USAGE, b"{}", Qos::AtMostOnce, false, None);
        }
        let bytes = [&client.take_output()[..], &bytes].concat();
        prop_assert_eq!(happens(version, &bytes, piece), happens(version, &bytes, bytes.len()));
    }

    #[test]
    fn our_reader_of_publish_agrees_with_the_library(
        flags in 0u8..16,
        body in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..40),
        v5: bool,
    ) {
        let first = 0x30 | flags;
        let version = if v5 { Version::V5 } else { Version::V311 };
        let ours = publish::decode(first, &body, version);
        let theirs = match version {
            Version::V311 => control::decode_v3(first, &body).map(|packet| match packet {
                mqtt_proto::v3::Packet::Publish(p) => {
                    (p.topic_name.to_string(), p.payload, p.qos_pid)
                }
                other => panic!("{other:?}"),
            }),
            Version::V5 => control::decode_v5(first, &body).map(|packet| match packet {
                mqtt_proto::v5::Packet::Publish(p) => {
                    (p.topic_name.to_string(), p.payload, p.qos_pid)
                }
                other => panic!("{other:?}"),
            }),
        };
        // Ours is stricter (DUP, aliases, U+0000) and leaves the topic's own
        // rules to the access check; what both take they read the same way.
        if let (Ok(ours), Ok((topic, payload, qos_pid))) = (&ours, &theirs) {
            prop_assert_eq!(ours.topic, topic.as_bytes());
            prop_assert_eq!(&body[ours.payload_at..], &payload[..]);
            prop_assert_eq!(
                ours.packet_id.map(u16::from),
                qos_pid.pid().map(|id| id.value())
            );
        }
        if ours.is_ok() && theirs.is_err() {
            // Only for what the access check or the payload's reader refuses.
            let code = theirs.unwrap_err().code;
            prop_assert!(
                [0x81, 0x90, 0x99].contains(&code.0),
                "{:?}", code
            );
        }
    }
}
