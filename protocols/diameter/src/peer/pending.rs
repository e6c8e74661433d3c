//! Requests that wait for an answer on this connection.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::Token;
use crate::codec::Header;

#[derive(Debug)]
struct Waiting {
    token: Token,
    command_code: u32,
    end_to_end: u32,
    deadline: Instant,
}

/// By hop-by-hop id and by deadline.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: HashMap<u32, Waiting>,
    deadlines: BTreeSet<(Instant, u32)>,
    tokens: HashMap<Token, u32>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn insert(&mut self, header: &Header, token: Token, deadline: Instant) {
        let (command_code, end_to_end) = (header.command_code, header.end_to_end);
        let waiting = Waiting { token, command_code, end_to_end, deadline };
        let before = self.waiting.insert(header.hop_by_hop, waiting);
        assert!(before.is_none(), "hop-by-hop ids do not wrap onto a waiting request");
        self.deadlines.insert((deadline, header.hop_by_hop));
        self.tokens.insert(token, header.hop_by_hop);
    }

    pub(super) fn has(&self, hop_by_hop: u32) -> bool {
        self.waiting.contains_key(&hop_by_hop)
    }

    /// The request that this answer belongs to: same ids, same command.
    pub(super) fn take(&mut self, answer: &Header) -> Option<Token> {
        let waiting = self.waiting.get(&answer.hop_by_hop)?;
        let same = waiting.end_to_end == answer.end_to_end && waiting.command_code == answer.command_code;
        if !same {
            return None;
        }
        let waiting = self.waiting.remove(&answer.hop_by_hop)?;
        self.deadlines.remove(&(waiting.deadline, answer.hop_by_hop));
        self.tokens.remove(&waiting.token);
        Some(waiting.token)
    }

    /// Forgets the request with this token.
    pub(super) fn withdraw(&mut self, token: Token) -> bool {
        let Some(hop_by_hop) = self.tokens.remove(&token) else { return false };
        let Some(waiting) = self.waiting.remove(&hop_by_hop) else { return false };
        self.deadlines.remove(&(waiting.deadline, hop_by_hop))
    }

    /// One request whose time is up.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Token> {
        let &(deadline, hop_by_hop) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        let token = self.waiting.remove(&hop_by_hop)?.token;
        self.tokens.remove(&token);
        Some(token)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Everything that waits, in order of deadline.
    pub(super) fn take_all(&mut self) -> Vec<Token> {
        let tokens = self
            .deadlines
            .iter()
            .filter_map(|(_, hop_by_hop)| self.waiting.get(hop_by_hop))
            .map(|waiting| waiting.token)
            .collect();
        self.waiting.clear();
        self.deadlines.clear();
        self.tokens.clear();
        tokens
    }
}
