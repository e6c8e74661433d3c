//! Answers kept for repeated requests (RFC 6733 sections 3 and 5.5.4): a request
//! with the Origin-Host and end-to-end id of one that was answered gets that
//! answer again, whichever connection it comes on, with the T flag or without.
//!
//! It is the first net, in memory and for minutes. The second is the charging
//! account's, durable and by request number.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use bytes::BytesMut;
use linegate_diameter::{Header, Message};

use super::envelope::Envelope;
use crate::telemetry::metrics;

/// Parts, each with a lock of its own.
const PARTS: usize = 16;
/// Where the hop-by-hop id stands in a message (RFC 6733 section 3).
const HOP_BY_HOP: std::ops::Range<usize> = 12..16;
/// What stands before each answer: the request's identity and the answer's length.
const ENTRY_HEADER: usize = 12;
/// Bytes of answers for each place in the index.
const BYTES_PER_PLACE: usize = 128;
/// Places that an identity may take in the index.
const WAYS: usize = 2;

/// The answers of one node.
pub(super) struct Duplicates {
    key: RandomState,
    parts: [Mutex<Part>; PARTS],
    bytes_max_each: usize,
    keep: Duration,
}

/// Answers one behind the other in a ring; new ones overwrite the oldest, so
/// nothing is allocated or freed for one answer. The index says where an
/// identity's answer was written; whether it still stands there, the ring says.
#[derive(Default)]
struct Part {
    ring: Vec<u8>,
    /// Bytes written since the start: the next answer's position.
    head: u64,
    /// Positions by identity, 0 for none.
    index: Vec<u64>,
    /// When each answer in the ring was written, oldest first.
    written: VecDeque<(Instant, u64)>,
}

/// A request that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64);

impl Duplicates {
    /// Keeps answers for `keep`, `bytes_max` bytes of them at most; 0 keeps none.
    pub(super) fn new(keep: Duration, bytes_max: usize, seed: u64) -> Self {
        let key = RandomState::with_seeds(seed, seed.rotate_left(17), seed.rotate_left(34), seed.rotate_left(51));
        Self { key, parts: Default::default(), bytes_max_each: bytes_max / PARTS, keep }
    }

    /// What a request is known by; `None` where it cannot be told or none are kept.
    pub(super) fn identify(&self, message: &Message, envelope: &Envelope<'_>) -> Option<Identity> {
        if self.bytes_max_each == 0 {
            return None;
        }
        envelope.identity(message, &self.key).map(Identity)
    }

    /// Hands the answer that this request got before to `use_it`.
    pub(super) fn find<T>(&self, identity: Identity, now: Instant, use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut part = self.part(identity);
        part.forget_until(now.checked_sub(self.keep));
        part.answer(identity).map(use_it)
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, identity: Identity, answer: &[u8], now: Instant) {
        let mut part = self.part(identity);
        part.forget_until(now.checked_sub(self.keep));
        part.write(identity, answer, self.bytes_max_each, now);
    }

    fn part(&self, identity: Identity) -> std::sync::MutexGuard<'_, Part> {
        let at = (identity.0 % PARTS as u64) as usize;
        self.parts[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn answer(&self, identity: Identity) -> Option<&[u8]> {
        let places = self.places(identity)?;
        places.iter().find_map(|&position| self.entry(position, identity))
    }

    fn entry(&self, position: u64, identity: Identity) -> Option<&[u8]> {
        if position == 0 || self.written.front().is_none_or(|(_, oldest)| position < *oldest) {
            return None;
        }
        let at = (position % self.ring.len() as u64) as usize;
        let (whose, rest) = self.ring.get(at..)?.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let answer = rest.get(..u32::from_le_bytes(*length) as usize)?;
        (u64::from_le_bytes(*whose) == identity.0).then_some(answer)
    }

    fn places(&self, identity: Identity) -> Option<&[u64]> {
        self.index.get(self.first_place(identity)..)?.get(..WAYS)
    }

    fn first_place(&self, identity: Identity) -> usize {
        // the low bits have chosen the part
        (identity.0 >> 8) as usize % (self.index.len() / WAYS).max(1) * WAYS
    }

    fn write(&mut self, identity: Identity, answer: &[u8], bytes_max: usize, now: Instant) {
        let size = ENTRY_HEADER + answer.len();
        if size > bytes_max {
            return;
        }
        if self.ring.is_empty() {
            self.ring = vec![0; bytes_max];
            self.index = vec![0; (bytes_max / BYTES_PER_PLACE).next_multiple_of(WAYS).max(WAYS)];
            // position 0 stands for none
            self.head = bytes_max as u64;
        }
        let ring = self.ring.len() as u64;
        let left = ring - self.head % ring;
        if left < size as u64 {
            // an answer stands in one piece
            self.head += left;
        }
        let position = self.head;
        self.head += size as u64;
        self.make_room(ring);
        let at = (position % ring) as usize;
        if let Some(entry) = self.ring.get_mut(at..at + size) {
            entry[..8].copy_from_slice(&identity.0.to_le_bytes());
            entry[8..ENTRY_HEADER].copy_from_slice(&(answer.len() as u32).to_le_bytes());
            entry[ENTRY_HEADER..].copy_from_slice(answer);
        }
        self.written.push_back((now, position));
        let first = self.first_place(identity);
        if let Some(place) = self.index[first..first + WAYS].iter_mut().min() {
            *place = position;
        }
    }

    /// Forgets what the head has written over.
    fn make_room(&mut self, ring: u64) {
        while self.written.front().is_some_and(|(_, position)| position + ring < self.head) {
            self.written.pop_front();
            metrics().diameter_answers_forgotten.inc();
        }
    }

    /// Forgets what was written until `last`.
    fn forget_until(&mut self, last: Option<Instant>) {
        while self.written.front().is_some_and(|(since, _)| Some(*since) <= last) {
            self.written.pop_front();
        }
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
    fn a_repeat_by_another_way_is_the_same() {
        let duplicates = Duplicates::new(Duration::from_secs(240), 1 << 20, 7);
        let direct = request("s;1", 0, 5, false);
        let mut out = BytesMut::new();
        let mut writer = Writer::begin(&mut out, &direct.header);
        writer.text(&dict::ROUTE_RECORD, "dra-1.example").encoded(direct.body());
        writer.text(&dict::ROUTE_RECORD, "dra-2.example");
        writer.finish();
        let relayed = Message::decode(out.freeze()).unwrap();
        assert_eq!(identify(&duplicates, &relayed), identify(&duplicates, &direct));
    }

    #[test]
    fn answers_are_kept_for_their_time_and_within_their_bytes() {
        let duplicates = Duplicates::new(Duration::from_secs(240), PARTS * 1000, 7);
        let start = SystemClock::instant();
        let identity = identify(&duplicates, &request("s;1", 0, 5, false)).unwrap();
        duplicates.keep(identity, &[1; 300], start);
        let found = |identity, now| duplicates.find(identity, now, |answer| answer == [1; 300]) == Some(true);
        assert!(found(identity, start + Duration::from_secs(239)));
        assert!(!found(identity, start + Duration::from_secs(240)));
        for end_to_end in 0..10_000 {
            let identity = identify(&duplicates, &request("s;1", 0, end_to_end, false)).unwrap();
            duplicates.keep(identity, &[1; 300], start);
            assert!(found(identity, start));
        }
        let kept: usize = duplicates.parts.iter().map(|part| part.lock().unwrap().written.len()).sum();
        assert!(kept <= 3 * PARTS, "{kept} answers of 300 bytes in {PARTS} rings of 1,000");
    }

    #[test]
    fn the_newest_answers_are_found_whole_and_the_oldest_give_way() {
        let duplicates = Duplicates::new(Duration::from_secs(240), PARTS << 14, 7);
        let start = SystemClock::instant();
        let identity = |number| identify(&duplicates, &request("s;1", 0, number, false)).unwrap();
        for number in 0..20_000_u32 {
            duplicates.keep(identity(number), &number.to_be_bytes().repeat(1 + number as usize % 90), start);
        }
        let (mut right, mut gone) = (0, 0);
        for number in 0..20_000_u32 {
            match duplicates.find(identity(number), start, <[u8]>::to_vec) {
                Some(answer) => {
                    assert_eq!(answer, number.to_be_bytes().repeat(1 + number as usize % 90));
                    right += 1;
                }
                None => gone += 1,
            }
        }
        assert!(right > 900 && gone > 17_000, "{right} found, {gone} gone");
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
