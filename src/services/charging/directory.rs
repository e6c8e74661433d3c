//! Who is meant: identifiers and sessions to accounts, in memory.
//!
//! Derived from accounts: rebuilt at every start and kept up by the shards. A
//! reader never waits for a shard.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use ahash::RandomState;

use crate::domain::account::{Account, LineCharging};
use crate::domain::ids::{AccountId, LineId, SessionId};
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::Identifier;

/// Pieces that are locked on their own.
const PIECES: usize = 64;

/// An identifier, compactly: nearly all are digits.
#[derive(PartialEq, Eq, Hash)]
enum Name {
    Imsi(u64),
    Msisdn(u64),
    Other(Box<Identifier>),
}

impl From<&Identifier> for Name {
    fn from(identifier: &Identifier) -> Self {
        let name = match identifier {
            Identifier::Imsi(text) => digits(text).map(Name::Imsi),
            Identifier::Msisdn(text) => digits(text).map(Name::Msisdn),
            Identifier::Device(_) => None,
        };
        name.unwrap_or_else(|| Name::Other(Box::new(identifier.clone())))
    }
}

/// The number behind a 1, so that leading zeroes count; `None` for any other text.
fn digits(text: &str) -> Option<u64> {
    let fits = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.bytes().fold(1, |number, byte| number * 10 + u64::from(byte - b'0')))
}

/// Whom an identifier names; one for all identifiers of a line.
#[derive(Debug)]
struct Owner {
    line: LineId,
    account: AccountId,
}

#[derive(Debug, Clone)]
struct Holding {
    span: Interval,
    owner: Arc<Owner>,
}

/// Who holds an identifier: nearly always one line since some time.
enum Holders {
    One(Timestamp, Arc<Owner>),
    Several(Box<Several>),
}

/// By the start of their time.
struct Several(Box<[Holding]>);

impl Holders {
    /// `None` where there is nobody.
    fn of(mut all: Vec<Holding>) -> Option<Self> {
        all.sort_by_key(|holding| holding.span.from);
        match &all[..] {
            [] => None,
            [only] if only.span.until == Timestamp::MAX => Some(Holders::One(only.span.from, Arc::clone(&only.owner))),
            _ => Some(Holders::Several(Box::new(Several(all.into_boxed_slice())))),
        }
    }

    fn at(&self, at: Timestamp) -> Option<&Owner> {
        match self {
            Holders::One(since, owner) => (*since <= at).then_some(owner),
            Holders::Several(several) => {
                several.0.iter().rev().find(|h| h.span.contains(at)).map(|holding| &*holding.owner)
            }
        }
    }

    /// Those of other lines.
    fn without(&self, line: &LineId) -> Vec<Holding> {
        match self {
            Holders::One(_, owner) if owner.line == *line => Vec::new(),
            Holders::One(since, owner) => vec![Holding { span: Interval::starting(*since), owner: Arc::clone(owner) }],
            Holders::Several(several) => several.0.iter().filter(|h| h.owner.line != *line).cloned().collect(),
        }
    }
}

type Piece<K, V> = RwLock<HashMap<K, V, RandomState>>;

/// The directory of all shards.
pub(super) struct Directory {
    hasher: RandomState,
    identifiers: Vec<Piece<Name, Holders>>,
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
        let name = Name::from(identifier);
        let piece = read(self.piece(&self.identifiers, &name));
        let owner = piece.get(&name)?.at(at)?;
        Some((owner.line.clone(), owner.account.clone()))
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
        let owner = Arc::new(Owner { line: line.id.clone(), account: account.clone() });
        for (identifier, _) in &line.identifiers {
            let name = Name::from(identifier);
            let mut piece = write(self.piece(&self.identifiers, &name));
            let mut all = piece.get(&name).map(|holders| holders.without(&line.id)).unwrap_or_default();
            let spans = line.identifiers.iter().filter(|(i, _)| i == identifier);
            all.extend(spans.map(|(_, span)| Holding { span: *span, owner: Arc::clone(&owner) }));
            replace(&mut piece, name, Holders::of(all));
        }
    }

    pub(super) fn forget_line(&self, line: &LineCharging) {
        self.forget_names(line.identifiers.iter().map(|(identifier, _)| identifier), &line.id);
    }

    /// Identifiers that do not name the line any more.
    pub(super) fn forget_names<'i>(&self, identifiers: impl IntoIterator<Item = &'i Identifier>, line: &LineId) {
        for identifier in identifiers {
            let name = Name::from(identifier);
            let mut piece = write(self.piece(&self.identifiers, &name));
            let Some(holders) = piece.get(&name) else { continue };
            let kept = Holders::of(holders.without(line));
            replace(&mut piece, name, kept);
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

fn replace(piece: &mut HashMap<Name, Holders, RandomState>, name: Name, holders: Option<Holders>) {
    match holders {
        Some(holders) => drop(piece.insert(name, holders)),
        None => drop(piece.remove(&name)),
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
