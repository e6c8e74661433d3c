//! Messages to the device: packet ids, the window, the queue, resending.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::{Connection, Event, Open, Outgoing, Phase, PublishError, Sent, Subscription, granted};
use crate::codec::property::MessageParts;
use crate::codec::publish::PublishParts;
use crate::topic::{TOPIC_ROOT, TopicKind};
use crate::{ContentType, Qos, ReasonCode};

/// What outlives a connection: subscriptions, our unacknowledged messages and
/// the next packet id (section 4.1).
#[derive(Debug, Clone, Default)]
pub struct SessionState {
    subscriptions: Vec<Subscription>,
    in_flight: VecDeque<InFlight>,
    queue: VecDeque<Outgoing>,
    last_packet_id: u16,
}

#[derive(Debug, Clone)]
struct InFlight {
    packet_id: u16,
    message: Outgoing,
    /// Written on this connection; before that it waits to be sent again.
    written: bool,
}

impl SessionState {
    /// What the device subscribed to.
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// Messages to the device without an acknowledgement, sent or queued.
    pub fn pending(&self) -> usize {
        self.in_flight.len() + self.queue.len()
    }

    /// Tokens of those messages, oldest first.
    pub fn pending_tokens(&self) -> impl Iterator<Item = u64> + '_ {
        let in_flight = self.in_flight.iter().map(|sent| sent.message.token);
        in_flight.chain(self.queue.iter().map(|message| message.token))
    }

    /// Adds or replaces a subscription; `None` when there are `max` already,
    /// else whether it is new.
    pub(super) fn subscribe(&mut self, subscription: Subscription, max: usize) -> Option<bool> {
        let same = |s: &&mut Subscription| s.filter == subscription.filter;
        if let Some(old) = self.subscriptions.iter_mut().find(same) {
            *old = subscription;
            return Some(false);
        }
        if self.subscriptions.len() >= max {
            return None;
        }
        self.subscriptions.push(subscription);
        Some(true)
    }

    /// Whether there was such a subscription.
    pub(super) fn unsubscribe(&mut self, filter: &str) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|s| s.filter != filter);
        self.subscriptions.len() < before
    }

    /// A new connection: all that is in flight is to be sent again.
    pub(super) fn begin_resend(&mut self) {
        for sent in &mut self.in_flight {
            sent.written = false;
        }
    }

    /// The next id that is not in flight: there is one, because the device's
    /// window is smaller than the ids are many.
    fn next_packet_id(&self) -> u16 {
        let mut id = self.last_packet_id;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !self.in_flight.iter().any(|sent| sent.packet_id == id) {
                return id;
            }
        }
    }
}

impl Connection {
    /// Sends a message to the device, or queues it. A QoS 1 message whose
    /// subscription was granted QoS 1 is kept until the device acknowledges it,
    /// over reconnects while its session lives.
    pub fn publish(&mut self, message: Outgoing, now: Instant) -> Result<Sent, PublishError> {
        self.now = now;
        let Phase::Open(open) = &self.phase else {
            return Err(PublishError::NotOpen);
        };
        if message.kind.is_from_device() {
            return Err(PublishError::NotForDevices(message.kind));
        }
        let granted_qos = self
            .session
            .subscriptions
            .iter()
            .filter(|s| s.access.delivers(message.kind))
            .map(|s| s.qos)
            .max()
            .ok_or(PublishError::NotSubscribed)?;
        if message.is_expired(now) {
            return Err(PublishError::Expired);
        }
        let message = Outgoing { qos: granted(message.qos).min(granted_qos), ..message };
        let max = open.audience.packet_bytes_max;
        let size = packet_len(open, &message, now);
        if size > max {
            return Err(PublishError::TooLarge { size, max });
        }
        if message.qos == Qos::AtMostOnce {
            if self.out.len() + size > self.limits.output_bytes_max / 2 {
                return Err(PublishError::QueueFull(self.session.queue.len()));
            }
            with_parts(open, &message, now, |parts| parts.encode(open.version(), &mut self.out));
            return Ok(Sent::AtMostOnce);
        }
        if message.supersedes {
            self.session.queue.retain(|waiting| waiting.kind != message.kind);
        }
        if self.session.queue.len() >= self.limits.queue_messages_max {
            return Err(PublishError::QueueFull(self.session.queue.len()));
        }
        self.session.queue.push_back(message);
        self.send_waiting();
        Ok(Sent::AtLeastOnce)
    }

    /// PUBACK from the device. One for an id that is not in flight is passed
    /// over: it may be late, from before a takeover.
    pub(super) fn settle_sent(&mut self, packet_id: u16, reason: ReasonCode) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        let is = |sent: &InFlight| sent.written && sent.packet_id == packet_id;
        let Some(at) = self.session.in_flight.iter().position(is) else {
            return;
        };
        if let Some(sent) = self.session.in_flight.remove(at) {
            open.in_flight -= 1;
            let token = sent.message.token;
            self.events.push_back(Event::PubAck { token, reason });
        }
        self.send_waiting();
    }

    /// Writes what the device's window and our output have room for: first what
    /// an earlier connection left, in its order, with DUP and the same ids, then
    /// the queue.
    pub(super) fn send_waiting(&mut self) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        // The common case: nothing waits.
        if self.session.in_flight.len() == open.in_flight && self.session.queue.is_empty() {
            return;
        }
        // Once all that an earlier connection left is written, what is in flight
        // needs no second look.
        let mut at = match self.session.in_flight.len() == open.in_flight {
            true => open.in_flight,
            false => 0,
        };
        let room = Room { now: self.now, out_max: self.limits.output_bytes_max / 2 };
        while open.in_flight < open.send_max
            && let Some(sent) = self.session.in_flight.get_mut(at)
        {
            if sent.written {
                at += 1;
                continue;
            }
            match room.turn(open, &sent.message, sent.packet_id, true, &mut self.out) {
                Turn::Written => {
                    sent.written = true;
                    open.in_flight += 1;
                    at += 1;
                }
                Turn::Waits => return,
                Turn::Over(event) => {
                    self.session.in_flight.remove(at);
                    self.events.push_back(event);
                }
            }
        }
        while open.in_flight < open.send_max && !self.session.queue.is_empty() {
            let packet_id = self.session.next_packet_id();
            let Some(message) = self.session.queue.front() else {
                return;
            };
            match room.turn(open, message, packet_id, false, &mut self.out) {
                Turn::Written => {
                    open.in_flight += 1;
                    let message = self.session.queue.pop_front();
                    let sent = message.map(|message| InFlight { packet_id, message, written: true });
                    self.session.in_flight.extend(sent);
                    self.session.last_packet_id = packet_id;
                }
                Turn::Waits => return,
                Turn::Over(event) => {
                    self.session.queue.pop_front();
                    self.events.push_back(event);
                }
            }
        }
    }
}

/// What became of a message whose turn it is.
enum Turn {
    Written,
    /// The output has no room.
    Waits,
    /// It is not sent any more.
    Over(Event),
}

struct Room {
    now: Instant,
    /// Output over which messages wait, in bytes.
    out_max: usize,
}

impl Room {
    fn turn(&self, open: &Open, message: &Outgoing, packet_id: u16, dup: bool, out: &mut BytesMut) -> Turn {
        let token = message.token;
        if message.is_expired(self.now) {
            return Turn::Over(Event::Expired { token });
        }
        // The device's Maximum Packet Size may be smaller than it was on the
        // connection that took the message.
        let size = packet_len(open, message, self.now);
        if size > open.audience.packet_bytes_max {
            return Turn::Over(Event::PubAck { token, reason: ReasonCode::PACKET_TOO_LARGE });
        }
        if !out.is_empty() && out.len() + size > self.out_max {
            return Turn::Waits;
        }
        with_parts(open, message, self.now, |parts| {
            PublishParts { packet_id, dup, ..parts }.encode(open.version(), out);
        });
        Turn::Written
    }
}

/// Bytes of the packet; `usize::MAX` when no packet is that large.
fn packet_len(open: &Open, message: &Outgoing, now: Instant) -> usize {
    with_parts(open, message, now, |parts| parts.packet_len(open.version())).unwrap_or(usize::MAX)
}

/// The packet but for its id and DUP.
fn with_parts<T>(open: &Open, message: &Outgoing, now: Instant, then: impl FnOnce(PublishParts<'_>) -> T) -> T {
    let topic = |kind: TopicKind| [TOPIC_ROOT, open.device.as_str(), kind.topic_suffix()];
    let response_topic = topic(TopicKind::Reported);
    let properties = MessageParts {
        is_utf8: message.content_type == Some(ContentType::Json),
        expiry_secs: message.expiry_secs(now),
        content_type: message.content_type,
        response_topic: if message.correlation_data.is_some() { &response_topic } else { &[] },
        correlation_data: message.correlation_data.as_deref(),
        user_properties: &[],
    };
    then(PublishParts {
        topic: topic(message.kind),
        payload: &message.payload,
        qos: message.qos,
        packet_id: 0,
        dup: false,
        retain: message.retain,
        properties,
    })
}
