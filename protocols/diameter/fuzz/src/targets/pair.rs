//! Two peer machines, joined by a link that delays, splits, loses and
//! damages what they say.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use linegate_diameter::MESSAGE_LENGTH_MAX;
use linegate_diameter::apps::base::DisconnectCause;
use linegate_diameter::codec::{Message, frame_length};
use linegate_diameter::peer::{Input, Role, Verdict};

use super::Source;
use super::node::{Node, config, verdict};

/// Operations that one input may have.
const OPERATIONS_MAX: usize = 400;

/// One end, with what is on its way to it.
struct End {
    node: Node,
    on_the_way: BytesMut,
    arrived: BytesMut,
    /// The stream cannot be cut any further.
    broken: bool,
    /// Whoever arrives is admitted at once, in REOPEN or not; else an
    /// operation decides.
    admits: Option<bool>,
}

impl End {
    fn new(host: &str, role: Role, source: &mut Source<'_>) -> Self {
        let node = Node::new(config(host, role, source));
        let admits = source.pick(&[Some(false), Some(true), None]);
        Self { node, on_the_way: BytesMut::new(), arrived: BytesMut::new(), broken: false, admits }
    }

    /// Takes in what has arrived; returns what it writes.
    fn take_in(&mut self, now: Instant) -> BytesMut {
        let mut written = BytesMut::new();
        while !self.broken {
            let input = match frame_length(&self.arrived, MESSAGE_LENGTH_MAX) {
                Ok(None) => break,
                Ok(Some(length)) => match Message::decode(self.arrived.split_to(length).freeze()) {
                    Ok(message) => Input::Received(message),
                    Err(error) => Input::Undecodable(error),
                },
                Err(error) => {
                    self.broken = true;
                    Input::Undecodable(error.into())
                }
            };
            written.extend_from_slice(&self.node.input(input, now));
            if let (true, Some(reopen)) = (self.node.has_arrived(), self.admits) {
                written.extend_from_slice(&self.node.decide(Verdict::Admit { reopen }, now));
            }
        }
        written
    }
}

/// The target.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut ends = [
        End::new("pgw.example", Role::Initiator, &mut source),
        End::new("gateway.linegate.example", Role::Responder, &mut source),
    ];
    let mut now = Instant::now();
    for at in [1, 0] {
        let written = ends[at].node.input(Input::TransportUp, now);
        ends[1 - at].on_the_way.extend_from_slice(&written);
    }
    for _ in 0..OPERATIONS_MAX {
        if source.is_empty() {
            break;
        }
        now = step(&mut ends, &mut source, now);
    }
    for end in &mut ends {
        end.node.finish(now);
    }
}

/// One operation at one end; a new kind gets some of the last numbers.
fn step(ends: &mut [End; 2], source: &mut Source<'_>, mut now: Instant) -> Instant {
    let operation = source.u8();
    let at = usize::from(operation >> 7);
    let end = &mut ends[at];
    let mut written = BytesMut::new();
    match operation & 0x7f {
        0..32 => {
            let arriving = end.on_the_way.split();
            end.arrived.extend_from_slice(&arriving);
            written = end.take_in(now);
        }
        32..48 => {
            let length = usize::from(source.u8()).min(end.on_the_way.len());
            let arriving = end.on_the_way.split_to(length);
            end.arrived.extend_from_slice(&arriving);
            written = end.take_in(now);
        }
        48..64 => written = end.node.send(Duration::from_millis(u64::from(source.u16())), source.flag(), now),
        64..80 => written = end.node.answer(source.flag(), now),
        80..88 => {
            now += Duration::from_millis(u64::from(source.u16()));
            written = end.node.timeout(now);
        }
        88..100 => {
            now = end.node.peer.poll_timeout().map_or(now, |due| due.max(now));
            written = end.node.timeout(now);
        }
        100..104 => written = end.node.input(Input::Close(source.pick(DisconnectCause::ALL)), now),
        104 => written = end.node.input(Input::TransportDown, now),
        // lost: everything, or some octets of it
        105..108 => end.on_the_way.clear(),
        108 => {
            let length = usize::from(source.u8()).min(end.on_the_way.len());
            end.on_the_way.advance(length);
        }
        109..112 => {
            let (place, value) = (usize::from(source.u16()), source.u8());
            if !end.on_the_way.is_empty() {
                let place = place % end.on_the_way.len();
                end.on_the_way[place] = value;
            }
        }
        112..116 => end.node.withdraw(source.u8()),
        _ => written = end.node.decide(verdict(source), now),
    }
    ends[1 - at].on_the_way.extend_from_slice(&written);
    now
}
