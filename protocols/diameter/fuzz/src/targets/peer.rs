//! One peer machine against whatever comes: operations, one octet each, with
//! their arguments behind them.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use linegate_diameter::ResultCode;
use linegate_diameter::answer::{Origin, ReplyTo, refuse};
use linegate_diameter::apps::base::{
    Application, Capabilities, DeviceWatchdog, DisconnectCause, DisconnectPeer, PlainAnswer,
};
use linegate_diameter::codec::{Header, Message, frame_length};
use linegate_diameter::dictionary::command;
use linegate_diameter::peer::{Input, Role};

use super::Source;
use super::kind::encoded;
use super::node::{Node, REQUEST, config, verdict};

/// Operations that one input may have.
const OPERATIONS_MAX: usize = 400;

/// The target.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let role = source.pick(&[Role::Responder, Role::Initiator]);
    let mut node = Node::new(config("gateway.linegate.example", role, &mut source));
    let mut now = Instant::now();
    for _ in 0..OPERATIONS_MAX {
        if source.is_empty() {
            break;
        }
        now = step(&mut node, &mut source, now);
    }
    node.finish(now);
}

/// One operation; a new [`Input`] gets the first of the spare numbers at the
/// end, which until then bring octets.
fn step(node: &mut Node, source: &mut Source<'_>, now: Instant) -> Instant {
    match source.u8() % 24 {
        0 => drop(node.input(Input::TransportUp, now)),
        1 => drop(node.input(Input::TransportDown, now)),
        2 => drop(node.input(Input::Close(source.pick(DisconnectCause::ALL)), now)),
        3 => drop(node.send(Duration::from_millis(u64::from(source.u16())), true, now)),
        4 => drop(node.send(Duration::from_millis(u64::from(source.u16())), false, now)),
        5 => drop(node.answer(source.flag(), now)),
        6 => node.withdraw(source.u8()),
        // time goes by, a little or until something is due
        7 => return pass(node, now + Duration::from_millis(u64::from(source.u16()))),
        8 => return pass(node, node.peer.poll_timeout().map_or(now, |due| due.max(now))),
        9 => return pass(node, now),
        // what a peer sends
        10 => receive(node, cer(source), now),
        11 => answered(node, node.awaited_own(command::CAPABILITIES_EXCHANGE), source, now),
        12 => receive(node, encoded(|out| DeviceWatchdog::encode(&DeviceWatchdog::header(), &other(), None, out)), now),
        13 => answered(node, node.awaited_own(command::DEVICE_WATCHDOG), source, now),
        14 => {
            let dpr = DisconnectPeer { cause: source.pick(DisconnectCause::ALL) };
            receive(node, encoded(|out| dpr.encode(&DisconnectPeer::header(), &other(), out)), now);
        }
        15 => answered(node, node.awaited_own(command::DISCONNECT_PEER), source, now),
        16 => {
            let which = source.u8();
            answered(node, node.awaited(which), source, now);
        }
        17 => receive(node, Message::without_avps(Header { end_to_end: source.u32(), ..REQUEST }), now),
        18 => receive(node, Message::without_avps(header(source)), now),
        19 => drop(node.decide(verdict(source), now)),
        _ => octets(node, source, now),
    }
    now
}

/// Fires the timer where it is due.
fn pass(node: &mut Node, now: Instant) -> Instant {
    node.timeout(now);
    now
}

fn receive(node: &mut Node, message: Message, now: Instant) {
    node.input(Input::Received(message), now);
}

fn other() -> Origin {
    Origin::new("pgw.example", "example")
}

fn header(source: &mut Source<'_>) -> Header {
    let mut header = Header::request(source.u32() & 0x00ff_ffff, source.u32(), source.flag());
    header.flags.0 = source.u8();
    Header { hop_by_hop: source.u32(), end_to_end: source.u32(), ..header }
}

fn cer(source: &mut Source<'_>) -> Message {
    let capabilities = capabilities(source);
    encoded(|out| capabilities.encode_request(&Capabilities::header(), out))
}

fn capabilities(source: &mut Source<'_>) -> Capabilities {
    let shape = source.u8();
    Capabilities {
        origin_host: if shape & 1 == 0 { "pgw.example".into() } else { source.identity().into() },
        origin_realm: "example".into(),
        host_ip_addresses: if shape & 2 == 0 { vec![[127, 0, 0, 1].into()] } else { vec![] },
        vendor_id: 0,
        product_name: "test".into(),
        origin_state_id: source.option(Source::u32),
        supported_vendors: vec![],
        applications: if shape & 4 == 0 { Application::GATEWAY.to_vec() } else { vec![Application::auth(1)] },
        inband_security: if shape & 8 == 0 { vec![] } else { vec![source.u32()] },
        firmware_revision: None,
    }
}

/// An answer to a request of ours that waits: good, an error, or with other
/// ids.
fn answered(node: &mut Node, awaited: Option<Header>, source: &mut Source<'_>, now: Instant) {
    let Some(mut header) = awaited else {
        return;
    };
    let how = source.u8();
    match how % 8 {
        0 => header.end_to_end ^= 1,
        1 => header.hop_by_hop ^= 1,
        2 => header.command_code ^= 1,
        _ => {}
    }
    let to = ReplyTo::to_header(&header);
    let answer = if how & 0x40 != 0 {
        encoded(|out| refuse(&Message::without_avps(header), ResultCode::TOO_BUSY, &[], None, &other(), out))
    } else if header.command_code == command::CAPABILITIES_EXCHANGE {
        let capabilities = capabilities(source);
        let outcome = source.result();
        encoded(|out| capabilities.encode_answer(&to, outcome, out))
    } else {
        let answer = PlainAnswer { outcome: source.result(), origin_state_id: None };
        encoded(|out| answer.encode(&to, &other(), out))
    };
    receive(node, answer, now);
}

/// Octets as they come, cut and decoded as a transport would.
fn octets(node: &mut Node, source: &mut Source<'_>, now: Instant) {
    let length = usize::from(source.u8());
    let mut frame = BytesMut::from(source.take(length));
    if source.flag() && frame.len() >= 20 {
        // a frame that says its own length
        frame.truncate(frame.len() & !3);
        let word = 1 << 24 | frame.len() as u32;
        frame[..4].copy_from_slice(&word.to_be_bytes());
    }
    let frame: Bytes = frame.freeze();
    let input = match frame_length(&frame, frame.len()) {
        Ok(None) => return,
        Ok(Some(length)) => match Message::decode(frame.slice(..length)) {
            Ok(message) => Input::Received(message),
            Err(error) => Input::Undecodable(error),
        },
        Err(error) => Input::Undecodable(error.into()),
    };
    node.input(input, now);
}
