//! The newest answers to requests, for repeats, as they are stored.
//!
//! An account is written whole with each change, and an answer is read for a repeat
//! alone: so it is encoded once, when it is given, and copied from then on.

use super::BadAccount;
use super::codec::{answer_in, answers_in, append_answer};
use crate::domain::rating::request::ChargeAnswer;

/// Answers by the number of their request or the hash of its key, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    bytes: Vec<u8>,
}

impl Answers {
    /// Keeps an answer, and forgets the oldest past the limit, which is 1 or more.
    pub fn keep(&mut self, key: u64, answer: &ChargeAnswer, answers_max: usize) {
        let too_many = (answers_in(&self.bytes).count() + 1).saturating_sub(answers_max.max(1));
        if let Some(last_gone) = answers_in(&self.bytes).take(too_many).last() {
            let ends = last_gone.ends;
            self.bytes.drain(..ends);
        }
        append_answer(key, answer, &mut self.bytes);
    }

    /// The answer that was kept under `key`.
    pub fn find(&self, key: u64) -> Option<ChargeAnswer> {
        let found = answers_in(&self.bytes).find(|kept| kept.key == key)?;
        answer_in(found.answer).ok()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As they are stored.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// From what is stored; each answer is read when it is asked for.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BadAccount> {
        let mut whole = 0;
        for kept in answers_in(bytes) {
            whole = kept.ends;
        }
        if whole == bytes.len() {
            Ok(Self { bytes: bytes.to_vec() })
        } else {
            Err(BadAccount { reason: "answers end early".to_owned() })
        }
    }
}
