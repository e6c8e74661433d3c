//! Who is meant: identifiers and sessions to accounts, in memory.
//!
//! Derived from accounts: rebuilt at every start and kept up by the shards. A
//! reader never waits for a shard.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use ahash::RandomState;

use crate::domain::account::{Account, LineCharging};
use crate::domain::ids::{AccountId, LineId, SessionId};
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::Identifier;

/// Pieces that are locked on their own.
const PIECES: usize = 64;

#[derive(Debug, Clone)]
struct Holding {
    span: Interval,
    line: LineId,
    account: AccountId,
}

type Piece<K, V> = RwLock<HashMap<K, V, RandomState>>;

/// The directory of all shards.
pub(super) struct Directory {
    hasher: RandomState,
    identifiers: Vec<Piece<Identifier, Box<[Holding]>>>,
    sessions: Vec<Piece<SessionId, AccountId>>,
}

impl Directory {
    pub(super) fn new() -> Self {
        let hasher = RandomState::new();
        Self {
            identifiers: (0..PIECES).map(|_| RwLock::new(HashMap::with_hasher(hasher.clone()))).collect(),
            sessions: (0..PIECES).map(|_| RwLock::new(HashMap::with_hasher(hasher.clone()))).collect(),
            hasher,
        }
    }

    /// The line that an identifier named at `at`.
    pub(super) fn line_of(&self, identifier: &Identifier, at: Timestamp) -> Option<(LineId, AccountId)> {
        let piece = read(self.piece(&self.identifiers, identifier));
        let holding = piece.get(identifier)?.iter().rev().find(|h| h.span.contains(at))?;
        Some((holding.line.clone(), holding.account.clone()))
    }

    pub(super) fn account_of(&self, session: &SessionId) -> Option<AccountId> {
        read(self.piece(&self.sessions, session)).get(session).cloned()
    }

    /// Takes over everything that an account is found by.
    pub(super) fn add_account(&self, account: &Account) {
        for line in &account.lines {
            self.add_line(&account.id, line);
        }
        for session in &account.sessions {
            self.open_session(&session.id, &account.id);
        }
    }

    /// Replaces what a line is found by.
    pub(super) fn add_line(&self, account: &AccountId, line: &LineCharging) {
        for (identifier, _) in &line.identifiers {
            let spans = line.identifiers.iter().filter(|(i, _)| i == identifier);
            let holdings =
                spans.map(|(_, span)| Holding { span: *span, line: line.id.clone(), account: account.clone() });
            let mut piece = write(self.piece(&self.identifiers, identifier));
            let others = piece.get(identifier).map_or(&[][..], |all| all).iter().filter(|h| h.line != line.id).cloned();
            let mut all: Vec<Holding> = others.chain(holdings).collect();
            all.sort_by_key(|h| h.span.from);
            piece.insert(identifier.clone(), all.into_boxed_slice());
        }
    }

    pub(super) fn forget_line(&self, line: &LineCharging) {
        for (identifier, _) in &line.identifiers {
            let mut piece = write(self.piece(&self.identifiers, identifier));
            let Some(all) = piece.get(identifier) else { continue };
            let kept: Box<[Holding]> = all.iter().filter(|h| h.line != line.id).cloned().collect();
            if kept.is_empty() {
                piece.remove(identifier);
            } else {
                piece.insert(identifier.clone(), kept);
            }
        }
    }

    pub(super) fn open_session(&self, session: &SessionId, account: &AccountId) {
        write(self.piece(&self.sessions, session)).insert(session.clone(), account.clone());
    }

    pub(super) fn forget_session(&self, session: &SessionId) {
        write(self.piece(&self.sessions, session)).remove(session);
    }

    fn piece<'a, K: Hash, V>(&self, pieces: &'a [Piece<K, V>], key: &K) -> &'a Piece<K, V> {
        &pieces[(self.hasher.hash_one(key) >> 32) as usize % PIECES]
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
