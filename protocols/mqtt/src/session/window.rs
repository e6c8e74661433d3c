//! QoS 1 messages from the device between their arrival and their PUBACK.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::codec::publish;
use crate::{ReasonCode, Version};

#[derive(Debug, Clone, Copy)]
struct Waiting {
    packet_id: u16,
    /// Set once the caller settled it; written when it comes to the front.
    reason: Option<ReasonCode>,
}

/// Holds the order of arrival, in which the PUBACKs must leave.
#[derive(Debug, Default)]
pub(super) struct AckWindow {
    waiting: VecDeque<Waiting>,
    /// Ids rise from front to back, as they do for most clients: then a repeat
    /// is told by a look at the last one.
    has_gone_back: bool,
}

impl AckWindow {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes an id in; `false` when it waits already.
    pub(super) fn enter(&mut self, packet_id: u16, reason: Option<ReasonCode>) -> bool {
        match self.waiting.back() {
            None => self.has_gone_back = false,
            Some(last) if !self.has_gone_back && packet_id > last.packet_id => {}
            Some(_) => {
                if self.waiting.iter().any(|w| w.packet_id == packet_id) {
                    return false;
                }
                self.has_gone_back = true;
            }
        }
        self.waiting.push_back(Waiting { packet_id, reason });
        true
    }

    /// Settles an id; `false` when it does not wait, or is settled already.
    pub(super) fn settle(&mut self, packet_id: u16, reason: ReasonCode) -> bool {
        let waits = |w: &&mut Waiting| w.packet_id == packet_id && w.reason.is_none();
        match self.waiting.iter_mut().find(waits) {
            Some(waiting) => {
                waiting.reason = Some(reason);
                true
            }
            None => false,
        }
    }

    /// Writes the PUBACKs whose turn has come.
    pub(super) fn write_settled(&mut self, version: Version, out: &mut BytesMut) {
        while let Some(Waiting { packet_id, reason: Some(reason) }) = self.waiting.front().copied() {
            publish::encode_puback(packet_id, reason, version, out);
            self.waiting.pop_front();
        }
    }
}
