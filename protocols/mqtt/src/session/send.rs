//! Messages to the device: packet ids, the window, the queue, resending.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Connection, Event, Open, Outgoing, Phase, PublishError, Sent, Subscription, granted};
use crate::codec::publish::PublishParts;
use crate::topic::TOPIC_ROOT;
use crate::{Qos, ReasonCode};

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

    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            let id = self.last_packet_id;
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
    pub fn publish(&mut self, message: Outgoing, _now: Instant) -> Result<Sent, PublishError> {
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
        let message = Outgoing { qos: granted(message.qos).min(granted_qos), ..message };
        let size = packet_len(open, &message).unwrap_or(usize::MAX);
        if size > open.peer_packet_bytes_max {
            return Err(PublishError::TooLarge { size, max: open.peer_packet_bytes_max });
        }
        if message.qos == Qos::AtMostOnce {
            if self.out.len() + size > self.limits.output_bytes_max / 2 {
                return Err(PublishError::QueueFull(self.session.queue.len()));
            }
            parts(open, &message, 0, false).encode(open.version, &mut self.out);
            return Ok(Sent::AtMostOnce);
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
        let out_max = self.limits.output_bytes_max / 2;
        // Once all that an earlier connection left is written, what is in flight
        // needs no second look.
        let mut at = match self.session.in_flight.len() == open.in_flight {
            true => open.in_flight,
            false => 0,
        };
        while at < self.session.in_flight.len() && open.in_flight < open.send_max {
            let sent = &mut self.session.in_flight[at];
            if sent.written {
                at += 1;
                continue;
            }
            // The device's Maximum Packet Size may be smaller on this connection.
            let size = packet_len(open, &sent.message).unwrap_or(usize::MAX);
            if size > open.peer_packet_bytes_max {
                let token = sent.message.token;
                let reason = ReasonCode::PACKET_TOO_LARGE;
                self.session.in_flight.remove(at);
                self.events.push_back(Event::PubAck { token, reason });
                continue;
            }
            if !self.out.is_empty() && self.out.len() + size > out_max {
                return;
            }
            sent.written = true;
            open.in_flight += 1;
            parts(open, &sent.message, sent.packet_id, true).encode(open.version, &mut self.out);
            at += 1;
        }
        while open.in_flight < open.send_max {
            let Some(message) = self.session.queue.front() else {
                return;
            };
            let size = packet_len(open, message).unwrap_or(usize::MAX);
            let fits = self.out.is_empty() || self.out.len() + size <= out_max;
            if !fits {
                return;
            }
            let Some(message) = self.session.queue.pop_front() else {
                return;
            };
            if size > open.peer_packet_bytes_max {
                self.events.push_back(Event::PubAck { token: message.token, reason: ReasonCode::PACKET_TOO_LARGE });
                continue;
            }
            let packet_id = self.session.next_packet_id();
            parts(open, &message, packet_id, false).encode(open.version, &mut self.out);
            open.in_flight += 1;
            self.session.in_flight.push_back(InFlight { packet_id, message, written: true });
        }
    }
}

fn packet_len(open: &Open, message: &Outgoing) -> Option<usize> {
    parts(open, message, 1, false).packet_len(open.version)
}

fn parts<'a>(open: &'a Open, message: &'a Outgoing, packet_id: u16, dup: bool) -> PublishParts<'a> {
    PublishParts {
        topic: [TOPIC_ROOT, open.device.as_str(), message.kind.topic_suffix()],
        payload: &message.payload,
        qos: message.qos,
        packet_id,
        dup,
        retain: message.retain,
        content_type: message.content_type,
    }
}
