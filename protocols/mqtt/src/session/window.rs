//! QoS 1 messages from the device between their arrival and their PUBACK.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::codec::property::Audience;
use crate::codec::publish;
use crate::{Reason, ReasonCode};

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
    /// Words of settled ids, which are few: those of failures.
    texts: Vec<(u16, Reason)>,
    /// Ids rise from front to back, as they do for most clients: then a repeat
    /// is told by a look at the last one.
    has_gone_back: bool,
}

impl AckWindow {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes an id in; `false` when it waits already.
    pub(super) fn enter(&mut self, packet_id: u16) -> bool {
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
        self.waiting.push_back(Waiting { packet_id, reason: None });
        true
    }

    /// Settles an id; `false` when it does not wait, or is settled already.
    pub(super) fn settle(&mut self, packet_id: u16, reason: Reason) -> bool {
        let waits = |w: &&mut Waiting| w.packet_id == packet_id && w.reason.is_none();
        let Some(waiting) = self.waiting.iter_mut().find(waits) else {
            return false;
        };
        waiting.reason = Some(reason.code);
        if !reason.text.is_empty() {
            self.texts.push((packet_id, reason));
        }
        true
    }

    /// Writes the PUBACKs whose turn has come.
    pub(super) fn write_settled(&mut self, to: Audience, out: &mut BytesMut) {
        while let Some(Waiting { packet_id, reason: Some(code) }) = self.waiting.front().copied() {
            match self.take_text(packet_id) {
                Some(reason) => publish::encode_puback_because(packet_id, &reason, to, out),
                None => publish::encode_puback(packet_id, code, to.version, out),
            }
            self.waiting.pop_front();
        }
    }

    fn take_text(&mut self, packet_id: u16) -> Option<Reason> {
        if self.texts.is_empty() {
            return None;
        }
        let at = self.texts.iter().position(|(id, _)| *id == packet_id)?;
        Some(self.texts.swap_remove(at).1)
    }
}
