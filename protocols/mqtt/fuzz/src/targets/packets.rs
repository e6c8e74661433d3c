//! Bytes off the wire, in any pieces.
//!
//! The first byte says what the stream begins with (0 nothing, 1 a CONNECT of
//! 3.1.1, 2 one of 5, 3 and 4 these with a subscription), the second seeds how it
//! is cut into pieces; the rest is the stream.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use linegate_mqtt::client::{Client, ConnectOptions};
use linegate_mqtt::session::{Command, ConnackOptions, Connection, Event, Input, Limits};
use linegate_mqtt::topic::DeviceId;
use linegate_mqtt::{Qos, ReasonCode, Version};

const DEVICE: &str = "d";
const RECEIVE_MAX: u16 = 4;

/// The target.
pub fn run(input: &[u8]) {
    let [begin, seed, rest @ ..] = input else {
        return;
    };
    let stream = [&beginning(begin % 5)[..], rest].concat();
    let whole = feed([&stream[..]].into_iter(), Acks::Never);
    let cut = feed(pieces(*seed, &stream), Acks::Never);
    assert_eq!(whole, cut, "what happens does not hang on the pieces");
    let bytes = feed(stream.chunks(1), Acks::Never);
    assert_eq!(whole, bytes, "nor do single bytes change it");
    feed(pieces(*seed, &stream), Acks::AtOnce);
    feed([&stream[..]].into_iter(), Acks::AtOnce);
}

fn beginning(kind: u8) -> Bytes {
    let version = match kind {
        0 => return Bytes::new(),
        1 | 3 => Version::V311,
        _ => Version::V5,
    };
    let mut client = Client::new(version);
    client.connect(&ConnectOptions::new(DEVICE));
    if kind > 2 {
        client.subscribe(&[("lg/v1/d/#", Qos::AtLeastOnce)]);
    }
    client.take_output()
}

fn pieces(seed: u8, mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 20) as usize % 64;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Acks {
    Never,
    AtOnce,
}

/// All that came out: events, then bytes.
fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>, acks: Acks) -> (Vec<String>, Vec<u8>) {
    let now = Instant::now();
    let limits = Limits { receive_max: RECEIVE_MAX, packet_bytes_max: 2048, ..Limits::default() };
    let mut server = Connection::new(Arc::new(limits), now);
    let mut events = Vec::new();
    let mut fed = 0;
    let mut version = None;
    let mut has_ended = false;
    for piece in pieces {
        fed += piece.len();
        server.handle_input(Input::Bytes(Bytes::copy_from_slice(piece)), now);
        version = version.or(server.version());
        while let Some(event) = server.poll_event() {
            assert!(!has_ended, "nothing follows the end: {event:?}");
            events.push(format!("{event:?}"));
            match event {
                Event::Connect(_) => {
                    let device = DeviceId::new(DEVICE).expect("a device id");
                    let _refused = server.accept(ConnackOptions::new(device), now);
                }
                Event::Publish(message) => {
                    assert!(message.kind.is_from_device());
                    if let Some(properties) = &message.properties {
                        assert!(properties.user_properties.len() <= 16);
                        let topic = properties.response_topic.as_deref().unwrap_or("x");
                        assert!(!topic.is_empty() && !topic.contains(['+', '#', '\0']));
                    }
                    if let Some(id) = message.packet_id.filter(|_| acks == Acks::AtOnce) {
                        let known = server.ack(id, ReasonCode::SUCCESS, now);
                        assert!(known || server.wants_close());
                    }
                }
                Event::Disconnected(_) => has_ended = true,
                _ => {}
            }
        }
        assert_eq!(has_ended, server.wants_close());
        assert!(server.unacked() <= usize::from(RECEIVE_MAX));
        assert!(server.poll_timeout().is_none_or(|at| at >= now));
    }
    let mut out = Vec::new();
    while let Some(command) = server.next_command() {
        match command {
            Command::Send(bytes) => out.extend_from_slice(&bytes),
            Command::Close => assert!(has_ended),
        }
    }
    assert!(out.len() <= 1024 + 16 * fed, "{} bytes for {fed}", out.len());
    if let Some(version) = version {
        let mut client = Client::new(version);
        client.handle_input(out.clone().into()).expect("the server writes good packets");
    }
    (events, out)
}
