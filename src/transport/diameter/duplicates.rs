//! Answers kept for repeated requests (RFC 6733 sections 3 and 5.5.4): a request
//! with the Origin-Host and end-to-end id of one that was answered gets that
//! answer again, whichever connection it comes on, with the T flag or without.
//!
//! It is the first net, in memory and for minutes. The second is the charging
//! account's, durable and by request number.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use bytes::{Bytes, BytesMut};
use linegate_diameter::{Header, Message};

use super::envelope::Envelope;
use crate::telemetry::metrics;

/// Parts, each with a lock of its own.
const PARTS: usize = 16;
/// Where the hop-by-hop id stands in a message (RFC 6733 section 3).
const HOP_BY_HOP: std::ops::Range<usize> = 12..16;
/// Bookkeeping of one answer, bytes, about.
const OVERHEAD_BYTES: usize = 96;

/// The answers of one node.
pub(super) struct Duplicates {
    keys: [RandomState; 2],
    parts: [Mutex<Part>; PARTS],
    bytes_max_each: usize,
    keep: Duration,
}

#[derive(Default)]
struct Part {
    answers: HashMap<u128, Bytes, ahash::RandomState>,
    order: VecDeque<(Instant, u128)>,
    bytes: usize,
}

/// A request that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u128);

impl Duplicates {
    /// Keeps answers for `keep`, `bytes_max` bytes of them at most; 0 keeps none.
    pub(super) fn new(keep: Duration, bytes_max: usize, seed: u64) -> Self {
        let keys = [seed, seed ^ 0x5555_5555_5555_5555].map(|seed| {
            RandomState::with_seeds(seed, seed.rotate_left(17), seed.rotate_left(34), seed.rotate_left(51))
        });
        Self { keys, parts: Default::default(), bytes_max_each: bytes_max / PARTS, keep }
    }

    /// What a request is known by; `None` where it cannot be told or none are kept.
    pub(super) fn identify(&self, message: &Message, envelope: &Envelope<'_>) -> Option<Identity> {
        if self.bytes_max_each == 0 {
            return None;
        }
        envelope.identity(message, &self.keys).map(Identity)
    }

    /// The answer that this request got before.
    pub(super) fn find(&self, identity: Identity, now: Instant) -> Option<Bytes> {
        let mut part = self.part(identity);
        part.forget_before(now, self.keep);
        part.answers.get(&identity.0).cloned()
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, identity: Identity, answer: &[u8], now: Instant) {
        let mut part = self.part(identity);
        part.forget_before(now, self.keep);
        let size = answer.len() + OVERHEAD_BYTES;
        while part.bytes + size > self.bytes_max_each && part.forget_oldest() {
            metrics().diameter_answers_forgotten.inc();
        }
        if part.bytes + size > self.bytes_max_each {
            return;
        }
        if part.answers.insert(identity.0, Bytes::copy_from_slice(answer)).is_none() {
            part.bytes += size;
            part.order.push_back((now, identity.0));
        }
    }

    fn part(&self, identity: Identity) -> std::sync::MutexGuard<'_, Part> {
        let at = (identity.0 % PARTS as u128) as usize;
        self.parts[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn forget_before(&mut self, now: Instant, keep: Duration) {
        while self.order.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= keep) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, identity)) = self.order.pop_front() else { return false };
        if let Some(answer) = self.answers.remove(&identity) {
            self.bytes = self.bytes.saturating_sub(answer.len() + OVERHEAD_BYTES);
        }
        true
    }
}

/// Writes a stored answer for a repeat, with the repeat's own hop-by-hop id.
pub(super) fn replay(stored: &[u8], repeat: &Header, out: &mut BytesMut) {
    let start = out.len();
    out.extend_from_slice(stored);
    if let Some(id) = out.get_mut(start + HOP_BY_HOP.start..start + HOP_BY_HOP.end) {
        id.copy_from_slice(&repeat.hop_by_hop.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use linegate_diameter::codec::Writer;
    use linegate_diameter::dictionary as dict;

    use super::*;
    use crate::adapters::system::SystemClock;

    fn request(session: &str, number: u32, end_to_end: u32, proxied: bool) -> Message {
        let mut out = BytesMut::new();
        let header = Header { end_to_end, ..Header::request(272, 4, true) };
        let mut writer = Writer::begin(&mut out, &header);
        writer.text(&dict::SESSION_ID, session).text(&dict::ORIGIN_HOST, "pgw.example");
        writer.u32(&dict::CC_REQUEST_NUMBER, number);
        if proxied {
            writer.group(&dict::PROXY_INFO, |_| {});
        }
        writer.finish();
        Message::decode(out.freeze()).unwrap()
    }

    fn identify(duplicates: &Duplicates, message: &Message) -> Option<Identity> {
        duplicates.identify(message, &Envelope::of(message))
    }

    #[test]
    fn a_repeat_is_told_by_all_that_makes_it_the_same() {
        let duplicates = Duplicates::new(Duration::from_secs(240), 1 << 20, 7);
        let first = identify(&duplicates, &request("s;1", 0, 5, false)).unwrap();
        let check = |message: Message, same: bool| {
            assert_eq!(identify(&duplicates, &message).is_some_and(|identity| identity == first), same);
        };
        check(request("s;1", 0, 5, false), true);
        check(request("s;1", 0, 6, false), false);
        check(request("s;2", 0, 5, false), false);
        check(request("s;1", 1, 5, false), false);
        check(request("s;1", 0, 5, true), false);
    }

    #[test]
    fn answers_are_kept_for_their_time_and_within_their_bytes() {
        let duplicates = Duplicates::new(Duration::from_secs(240), PARTS * 1000, 7);
        let start = SystemClock::instant();
        let identity = identify(&duplicates, &request("s;1", 0, 5, false)).unwrap();
        duplicates.keep(identity, &[1; 300], start);
        assert!(duplicates.find(identity, start + Duration::from_secs(239)).is_some());
        assert!(duplicates.find(identity, start + Duration::from_secs(240)).is_none());
        for end_to_end in 0..10_000 {
            let identity = identify(&duplicates, &request("s;1", 0, end_to_end, false)).unwrap();
            duplicates.keep(identity, &[1; 300], start);
            assert!(duplicates.part(identity).bytes <= 1000);
            assert!(duplicates.find(identity, start).is_some());
        }
    }

    #[test]
    fn a_replayed_answer_has_the_hop_by_hop_id_of_the_repeat() {
        let mut out = BytesMut::from(&b"before"[..]);
        let repeat = Header { hop_by_hop: 0x0102_0304, ..Header::request(272, 4, true) };
        replay(&[0xff; 20], &repeat, &mut out);
        assert_eq!(&out[6 + 12..6 + 16], [1, 2, 3, 4]);
        assert_eq!(out[6 + 11], 0xff);
        assert_eq!(out[6 + 16], 0xff);
    }
}
