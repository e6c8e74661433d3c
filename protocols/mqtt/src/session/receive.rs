//! Bytes from the device: framing, and what each packet does.

use std::num::NonZeroU16;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Cause, Connection, Event, Phase, Publish};
use crate::codec::connect::{self, BadConnect};
use crate::codec::publish::{self, PublishView};
use crate::codec::{self, BadPacket, Frame, control, packet_type, property};
use crate::topic::TopicKind;
use crate::{ReasonCode, Version};

/// Bytes that came and are not used yet.
#[derive(Debug)]
pub(super) struct Received {
    /// The beginning of a packet.
    partial: BytesMut,
    /// Bytes that make it worth looking at `partial` again.
    needed: usize,
    partial_since: Option<Instant>,
    /// Whole packets, kept while the machine is paused.
    held: Bytes,
    last_packet: Instant,
}

impl Received {
    pub(super) fn new(now: Instant) -> Self {
        Self { partial: BytesMut::new(), needed: 0, partial_since: None, held: Bytes::new(), last_packet: now }
    }

    pub(super) fn partial_since(&self) -> Option<Instant> {
        self.partial_since
    }

    pub(super) fn last_packet(&self) -> Instant {
        self.last_packet
    }

    pub(super) fn restart_clock(&mut self, now: Instant) {
        self.last_packet = now;
        self.partial_since = self.partial_since.map(|_| now);
    }

    /// Bytes kept while the machine is paused.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn clear(&mut self) {
        self.partial = BytesMut::new();
        self.partial_since = None;
        self.held = Bytes::new();
    }

    /// What to parse next, `None` when a packet is still not whole.
    fn next(&mut self, bytes: Bytes) -> Option<Bytes> {
        if self.partial.is_empty() {
            return Some(bytes);
        }
        self.partial.extend_from_slice(&bytes);
        if self.partial.len() < self.needed {
            return None;
        }
        Some(std::mem::take(&mut self.partial).freeze())
    }

    fn keep_partial(&mut self, rest: &[u8], needed: usize, now: Instant, is_new: bool) {
        self.needed = needed;
        self.partial = BytesMut::from(rest);
        if is_new || self.partial_since.is_none() {
            self.partial_since = Some(now);
        }
    }

    fn hold(&mut self, bytes: Bytes) {
        if self.held.is_empty() {
            self.held = bytes;
        } else {
            self.held = [&self.held[..], &bytes[..]].concat().into();
        }
    }
}

/// How far a packet took the buffer.
enum Step {
    /// Past a packet that ends here.
    Packet(usize),
    /// Nowhere: these many bytes are needed from here.
    Need(usize),
}

impl Connection {
    pub(super) fn receive(&mut self, bytes: Bytes, now: Instant) {
        if bytes.is_empty() || matches!(self.phase, Phase::Closed) {
            return;
        }
        if self.is_paused() {
            self.received.hold(bytes);
            let max = match self.phase {
                Phase::AwaitAnswer(_) => self.limits.unanswered_bytes_max,
                // A transport that heeds `wants_read` gives at most one read more.
                _ => self.packet_bytes_max() + self.limits.unanswered_bytes_max,
            };
            if self.received.held() > max {
                self.fail(ReasonCode::QUOTA_EXCEEDED, "too many bytes ahead of an answer".into());
            }
            return;
        }
        if let Some(bytes) = self.received.next(bytes) {
            self.parse(bytes, now);
        }
    }

    /// Goes on with what was kept while the machine was paused.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.received.held.is_empty() || self.is_paused() {
            return;
        }
        self.received.restart_clock(now);
        let held = std::mem::take(&mut self.received.held);
        self.parse(held, now);
    }

    fn parse(&mut self, bytes: Bytes, now: Instant) {
        let mut at = 0;
        while at < bytes.len() {
            if self.is_paused() {
                self.received.partial_since = None;
                self.received.hold(bytes.slice(at..));
                return;
            }
            match self.step(&bytes, at) {
                Ok(Step::Packet(end)) => at = end,
                Ok(Step::Need(needed)) => {
                    self.received.keep_partial(&bytes[at..], needed, now, at > 0);
                    break;
                }
                Err(bad) => {
                    self.fail(bad.code, bad.detail);
                    return;
                }
            }
            if matches!(self.phase, Phase::Closed) {
                return;
            }
        }
        if at > 0 {
            self.received.last_packet = now;
        }
        if at == bytes.len() {
            self.received.partial_since = None;
        }
        if self.out.len() > self.limits.output_bytes_max {
            self.fail(ReasonCode::QUOTA_EXCEEDED, "the client does not read what we write".into());
        }
    }

    /// Takes one packet from `bytes[at..]`.
    fn step(&mut self, bytes: &Bytes, at: usize) -> Result<Step, BadPacket> {
        let buf = &bytes[at..];
        let before_connect = matches!(self.phase, Phase::AwaitConnect { .. });
        if before_connect && buf[0] != packet_type::CONNECT << 4 {
            return Err(BadPacket::protocol("the first packet is not CONNECT"));
        }
        let Frame::Sized { header, total, minimal } = codec::frame(buf)? else {
            return Ok(Step::Need(buf.len() + 1));
        };
        let max = if before_connect { self.limits.connect_bytes_max } else { self.packet_bytes_max() };
        if total > max {
            return Err(BadPacket::new(
                ReasonCode::PACKET_TOO_LARGE,
                format!("packet of {total} bytes, allowed are {max}"),
            ));
        }
        if buf.len() < total {
            return Ok(Step::Need(total));
        }
        let (body_at, end) = (at + header, at + total);
        if before_connect {
            self.on_connect(&bytes[body_at..end], minimal);
        } else {
            self.on_packet(bytes[at], bytes, body_at, end, minimal)?;
        }
        Ok(Step::Packet(end))
    }

    fn on_connect(&mut self, body: &[u8], minimal: bool) {
        match connect::decode_connect(body, minimal, self.limits.user_properties_max) {
            Ok(greeting) => {
                let mut connect = greeting.connect.clone();
                connect.session_expiry_secs = self.session_expiry_secs(&connect);
                self.events.push_back(Event::Connect(Box::new(connect)));
                self.phase = Phase::AwaitAnswer(Box::new(greeting));
            }
            Err(BadConnect { bad, answer }) => {
                if let Some(audience) = answer {
                    let reason = bad.code.for_connack().because(bad.detail.clone());
                    connect::encode_refusal(&reason, audience, &mut self.out);
                }
                self.fail(bad.code, bad.detail);
            }
        }
    }

    fn on_packet(
        &mut self,
        first: u8,
        bytes: &Bytes,
        body_at: usize,
        end: usize,
        minimal: bool,
    ) -> Result<(), BadPacket> {
        let Phase::Open(open) = &self.phase else {
            return Ok(());
        };
        let version = open.version();
        if !minimal && version == Version::V5 {
            return Err(BadPacket::malformed("remaining length too long"));
        }
        let body = &bytes[body_at..end];
        let typ = first >> 4;
        if typ == packet_type::PUBLISH {
            let view = publish::decode(first, body, version)?;
            return self.on_publish(view, bytes, body_at, end);
        }
        let flags = match typ {
            packet_type::PUBREL | packet_type::SUBSCRIBE | packet_type::UNSUBSCRIBE => 0b0010,
            _ => 0,
        };
        if first & 0b1111 != flags {
            return Err(BadPacket::malformed(format!("reserved flags of packet type {typ}: {:#06b}", first & 0b1111)));
        }
        match typ {
            packet_type::PUBACK => {
                let (id, reason) = publish::decode_puback(body, version)?;
                self.settle_sent(id.get(), reason);
                Ok(())
            }
            packet_type::SUBSCRIBE => self.on_subscribe(body, version),
            packet_type::UNSUBSCRIBE => self.on_unsubscribe(body, version),
            packet_type::PINGREQ if body.is_empty() => {
                self.out.extend_from_slice(&[packet_type::PINGRESP << 4, 0]);
                Ok(())
            }
            packet_type::PINGREQ => Err(BadPacket::malformed("PINGREQ with a body")),
            packet_type::DISCONNECT => self.on_disconnect(body, version),
            0 => Err(BadPacket::malformed("packet type 0")),
            packet_type::AUTH if version == Version::V311 => Err(BadPacket::malformed("packet type 15")),
            packet_type::CONNECT => Err(BadPacket::protocol("a second CONNECT")),
            _ => Err(BadPacket::protocol(format!("packet type {typ} from a client"))),
        }
    }

    fn on_publish(
        &mut self,
        view: PublishView<'_>,
        bytes: &Bytes,
        body_at: usize,
        end: usize,
    ) -> Result<(), BadPacket> {
        let Phase::Open(open) = &mut self.phase else {
            return Ok(());
        };
        let receive_max = usize::from(self.limits.receive_max.max(1));
        if view.packet_id.is_some() && open.window.len() >= receive_max {
            return Err(BadPacket::new(
                ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                format!("over {receive_max} messages without PUBACK"),
            ));
        }
        let mut kind = open.device.own_topic(view.topic);
        if let Some(alias) = view.topic_alias {
            kind = self.resolve_alias(alias, view.topic, kind)?;
        } else if view.topic.is_empty() {
            return Err(BadPacket::protocol("PUBLISH without topic and alias"));
        }
        let Some(kind) = kind.filter(|kind| kind.is_from_device()) else {
            return self.refuse_publish(view);
        };
        if let Some(id) = view.packet_id
            && !self.enter_window(id, view.dup)?
        {
            return Ok(());
        }
        self.events.push_back(Event::Publish(Publish {
            kind,
            payload: bytes.slice(body_at + view.payload_at..end),
            packet_id: view.packet_id,
            dup: view.dup,
            retain: view.retain,
            content_type: view.content_type,
            properties: view.more.map(|more| Box::new(property::read(more, bytes, self.limits.user_properties_max))),
        }));
        Ok(())
    }

    /// Whether the id is new. A 3.1.1 client may send again on the same
    /// connection; the first copy's PUBACK answers both.
    fn enter_window(&mut self, id: NonZeroU16, dup: bool) -> Result<bool, BadPacket> {
        let Phase::Open(open) = &mut self.phase else {
            return Ok(false);
        };
        if open.window.enter(id.get()) {
            return Ok(true);
        }
        if dup && open.version() == Version::V311 {
            return Ok(false);
        }
        Err(BadPacket::protocol(format!("PUBLISH with packet id {id}, which waits for its PUBACK")))
    }

    /// Topic aliases (section 3.3.2.3.4). What they stand for is one of the
    /// device's own topics, so its kind is all there is to remember; an alias
    /// for a foreign topic is refused with the message that sets it.
    fn resolve_alias(
        &mut self,
        alias: NonZeroU16,
        topic: &[u8],
        kind: Option<TopicKind>,
    ) -> Result<Option<TopicKind>, BadPacket> {
        let Phase::Open(open) = &mut self.phase else {
            return Ok(None);
        };
        if alias.get() > self.limits.topic_alias_max {
            return Err(BadPacket::new(
                ReasonCode::TOPIC_ALIAS_INVALID,
                format!("topic alias {alias} over {}", self.limits.topic_alias_max),
            ));
        }
        let slot = usize::from(alias.get()) - 1;
        if topic.is_empty() {
            let known = open.aliases.get(slot).copied().flatten();
            return known.map(Some).ok_or_else(|| BadPacket::protocol(format!("topic alias {alias} was not set")));
        }
        if open.aliases.len() <= slot {
            open.aliases.resize(slot + 1, None);
        }
        open.aliases[slot] = kind;
        Ok(kind)
    }

    /// A topic that this device may not publish on: PUBACK 0x87 in version 5,
    /// the connection's end in 3.1.1, which has no words for it (3.1.1, section
    /// 3.3.5).
    fn refuse_publish(&mut self, view: PublishView<'_>) -> Result<(), BadPacket> {
        let topic = publish::text(view.topic)?;
        if topic.contains(['+', '#']) {
            return Err(BadPacket::new(ReasonCode::TOPIC_NAME_INVALID, "topic name with a wildcard"));
        }
        let reason = ReasonCode::NOT_AUTHORIZED;
        let version = self.version();
        if let Some(id) = view.packet_id
            && version == Some(Version::V5)
        {
            self.enter_window(id, view.dup)?;
            if let Phase::Open(open) = &mut self.phase {
                open.window.settle(id.get(), reason.because("not a topic that this device publishes on"));
                // Its turn may be later, as with an answer of the caller's.
                open.window.write_settled(open.audience, &mut self.out);
            }
        }
        let mut cut = topic.len().min(128);
        while !topic.is_char_boundary(cut) {
            cut -= 1;
        }
        self.events.push_back(Event::PublishRefused { topic: topic[..cut].to_owned(), reason });
        match version {
            Some(Version::V311) => Err(BadPacket::new(reason, "PUBLISH on a foreign topic")),
            _ => Ok(()),
        }
    }

    fn on_disconnect(&mut self, body: &[u8], version: Version) -> Result<(), BadPacket> {
        let (reason, expiry_secs) = control::decode_disconnect(body, version)?;
        if let (Phase::Open(open), Some(expiry_secs)) = (&mut self.phase, expiry_secs) {
            // Section 3.14.2.2.2: a session that ends with the connection cannot
            // be made to live on.
            if open.session_expiry_secs == 0 && expiry_secs != 0 {
                return Err(BadPacket::protocol("DISCONNECT sets a session expiry where CONNECT had none"));
            }
            open.session_expiry_secs = expiry_secs.min(self.limits.session_expiry_secs_max);
        }
        self.end(Cause::Client(reason));
        Ok(())
    }
}
