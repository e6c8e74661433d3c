//! Who is meant: identifiers and sessions to accounts, in memory.
//!
//! Derived from accounts: rebuilt at every start and kept up by the shards. A
//! reader never waits for a shard.
//!
//! Kept short, because there are millions: an identifier of digits is a number, an owner
//! is the number of an account and of a line in it, and a session is 128 bits of a hash
//! that differs in each process. Two sessions of a billion that have these bits alike are
//! less likely than 10^-20, and the account that is found still compares the whole id.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use ahash::RandomState;

use super::accounts::AccountNo;
use super::dense::Dense;
use crate::domain::account::{Account, LineCharging};
use crate::domain::ids::SessionId;
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::{Identifier, number_of};

/// Pieces that are locked on their own.
const PIECES: usize = 64;

/// Whom an identifier names: a line by its number within its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) account: AccountNo,
    pub(super) line: u16,
}

/// An identifier, compactly: nearly all are digits.
enum Name<'a> {
    Number(u64),
    Text(&'a Identifier),
}

impl<'a> From<&'a Identifier> for Name<'a> {
    fn from(identifier: &'a Identifier) -> Self {
        /// Above every [`number_of`].
        const MSISDN: u64 = 1 << 63;
        let number = match identifier {
            Identifier::Imsi(text) => number_of(text),
            Identifier::Msisdn(text) => number_of(text).map(|number| number | MSISDN),
            Identifier::Device(_) => None,
        };
        number.map_or(Name::Text(identifier), Name::Number)
    }
}

/// Who holds a name since when, without an end.
struct Holding<K> {
    name: K,
    since: Timestamp,
    owner: Owner,
}

/// Who holds names, and held them.
struct Names<K> {
    holdings: Dense<Holding<K>>,
    /// With an end: few.
    ended: HashMap<K, Vec<(Interval, Owner)>, RandomState>,
}

impl<K: Hash + Eq + Clone> Names<K> {
    fn new(hasher: &RandomState) -> Self {
        Self { holdings: Dense::new(), ended: HashMap::with_hasher(hasher.clone()) }
    }

    /// The one who began last of those who hold it at that time.
    fn at(&self, name: &K, hash: u64, at: Timestamp) -> Option<Owner> {
        let held = self.holdings.find(hash, |holding| holding.name == *name);
        let held = held.map(|(_, holding)| (Interval::starting(holding.since), holding.owner));
        let ended = self.ended.get(name).into_iter().flatten().copied();
        let then = held.chain(ended).filter(|(span, _)| span.contains(at));
        then.max_by_key(|(span, _)| span.from).map(|(_, owner)| owner)
    }

    fn add(&mut self, name: K, span: Interval, owner: Owner, hash_of: impl Fn(&K) -> u64) {
        if span.until == Timestamp::MAX {
            let hash = hash_of(&name);
            self.holdings.push(hash, Holding { name, since: span.from, owner }, |holding| hash_of(&holding.name));
        } else {
            self.ended.entry(name).or_default().push((span, owner));
        }
    }

    /// Replaces the owner's holds of a name.
    fn replace(&mut self, name: &K, spans: impl Iterator<Item = Interval>, owner: Owner, hash_of: impl Fn(&K) -> u64) {
        self.forget(name, owner, &hash_of);
        for span in spans {
            self.add(name.clone(), span, owner, &hash_of);
        }
    }

    /// The owner's hold of the name is forgotten.
    fn forget(&mut self, name: &K, owner: Owner, hash_of: impl Fn(&K) -> u64) {
        let hash = hash_of(name);
        let is_his = |holding: &Holding<K>| holding.owner == owner && holding.name == *name;
        while let Some((place, _)) = { self.holdings.find(hash, is_his).next() } {
            self.holdings.take(place, |holding| hash_of(&holding.name));
        }
        if let Some(ended) = self.ended.get_mut(name) {
            ended.retain(|(_, of)| *of != owner);
            if ended.is_empty() {
                self.ended.remove(name);
            }
        }
    }
}

/// A session by its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SessionKey(u64, u64);

type Pieces<T> = Box<[RwLock<T>]>;

/// The directory of all shards.
pub(super) struct Directory {
    hasher: RandomState,
    second: RandomState,
    numbers: Pieces<Names<u64>>,
    texts: Pieces<Names<Box<Identifier>>>,
    sessions: Pieces<Dense<(SessionKey, AccountNo)>>,
}

impl Directory {
    pub(super) fn new() -> Self {
        let hasher = RandomState::new();
        Self {
            second: RandomState::new(),
            numbers: (0..PIECES).map(|_| RwLock::new(Names::new(&hasher))).collect(),
            texts: (0..PIECES).map(|_| RwLock::new(Names::new(&hasher))).collect(),
            sessions: (0..PIECES).map(|_| RwLock::new(Dense::new())).collect(),
            hasher,
        }
    }

    /// The line that an identifier named at `at`.
    pub(super) fn line_of(&self, identifier: &Identifier, at: Timestamp) -> Option<Owner> {
        match Name::from(identifier) {
            Name::Number(number) => {
                let hash = self.hasher.hash_one(number);
                read(&self.numbers, hash).at(&number, hash, at)
            }
            Name::Text(identifier) => {
                let name = Box::new(identifier.clone());
                let hash = self.hasher.hash_one(&name);
                read(&self.texts, hash).at(&name, hash, at)
            }
        }
    }

    pub(super) fn account_of(&self, session: &SessionId) -> Option<AccountNo> {
        let key = self.key(session);
        let piece = read(&self.sessions, key.0);
        piece.find(key.0, |(of, _)| *of == key).next().map(|(_, (_, account))| *account)
    }

    /// Takes over everything that an account is found by.
    pub(super) fn add_account(&self, no: AccountNo, account: &Account) {
        for line in &account.lines {
            self.add_line(no, line);
        }
        for session in &account.sessions {
            self.open_session(&session.id, no);
        }
    }

    /// Replaces what a line is found by. Whoever looks meanwhile finds it.
    pub(super) fn add_line(&self, account: AccountNo, line: &LineCharging) {
        let owner = Owner { account, line: line.no };
        for (at, (identifier, _)) in line.identifiers.iter().enumerate() {
            let (before, from_here) = line.identifiers.split_at(at);
            if before.iter().any(|(earlier, _)| earlier == identifier) {
                continue;
            }
            let spans = from_here.iter().filter(|(same, _)| same == identifier).map(|(_, span)| *span);
            match Name::from(identifier) {
                Name::Number(number) => {
                    let mut piece = write(&self.numbers, self.hasher.hash_one(number));
                    piece.replace(&number, spans, owner, |number| self.hasher.hash_one(number));
                }
                Name::Text(identifier) => {
                    let name = Box::new(identifier.clone());
                    let mut piece = write(&self.texts, self.hasher.hash_one(&name));
                    piece.replace(&name, spans, owner, |name| self.hasher.hash_one(name));
                }
            }
        }
    }

    pub(super) fn forget_line(&self, account: AccountNo, line: &LineCharging) {
        let owner = Owner { account, line: line.no };
        self.forget_names(line.identifiers.iter().map(|(identifier, _)| identifier), owner);
    }

    /// Identifiers that do not name the line any more.
    pub(super) fn forget_names<'i>(&self, identifiers: impl IntoIterator<Item = &'i Identifier>, owner: Owner) {
        for identifier in identifiers {
            match Name::from(identifier) {
                Name::Number(number) => {
                    let mut piece = write(&self.numbers, self.hasher.hash_one(number));
                    piece.forget(&number, owner, |number| self.hasher.hash_one(number));
                }
                Name::Text(identifier) => {
                    let name = Box::new(identifier.clone());
                    let mut piece = write(&self.texts, self.hasher.hash_one(&name));
                    piece.forget(&name, owner, |name| self.hasher.hash_one(name));
                }
            }
        }
    }

    pub(super) fn open_session(&self, session: &SessionId, account: AccountNo) {
        let key = self.key(session);
        let mut piece = write(&self.sessions, key.0);
        let place = piece.find(key.0, |(of, _)| *of == key).next().map(|(place, _)| place);
        match place.and_then(|place| piece.get_mut(place)) {
            Some((_, of)) => *of = account,
            None => drop(piece.push(key.0, (key, account), |(key, _)| key.0)),
        }
    }

    pub(super) fn forget_session(&self, session: &SessionId) {
        let key = self.key(session);
        let mut piece = write(&self.sessions, key.0);
        let place = piece.find(key.0, |(of, _)| *of == key).next().map(|(place, _)| place);
        if let Some(place) = place {
            piece.take(place, |(key, _)| key.0);
        }
    }

    fn key(&self, session: &SessionId) -> SessionKey {
        SessionKey(self.hasher.hash_one(session), self.second.hash_one(session))
    }
}

/// The piece that a hash is in, by bits that the tables in it do not look at.
fn piece<T>(pieces: &Pieces<T>, hash: u64) -> &RwLock<T> {
    &pieces[(hash >> 32) as usize % PIECES]
}

fn read<T>(pieces: &Pieces<T>, hash: u64) -> std::sync::RwLockReadGuard<'_, T> {
    piece(pieces, hash).read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(pieces: &Pieces<T>, hash: u64) -> std::sync::RwLockWriteGuard<'_, T> {
    piece(pieces, hash).write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::domain::ids::LineId;

    #[test]
    fn a_line_is_found_while_it_is_replaced() {
        let held = |from, until| Interval { from: Timestamp(from), until: Timestamp(until) };
        let imsi = Identifier::Imsi("450061000000001".into());
        let device = Identifier::Device("meter-1".into());
        let line = LineCharging {
            id: LineId::from("line-1"),
            no: 0,
            identifiers: vec![
                (imsi.clone(), held(0, 10)),
                (imsi.clone(), Interval::starting(Timestamp(20))),
                (device.clone(), Interval::starting(Timestamp(20))),
            ],
            apns: Vec::new(),
            plans: Vec::new(),
            states: Vec::new(),
            source: None,
            no_new_grant: false,
            command_keys: Vec::new(),
        };
        let (directory, account, is_over) = (Directory::new(), AccountNo::new(0, 0), AtomicBool::new(false));
        directory.add_line(account, &line);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    directory.add_line(account, &line);
                }
                is_over.store(true, Ordering::Release);
            });
            while !is_over.load(Ordering::Acquire) {
                for (identifier, at) in [(&imsi, 5), (&imsi, 30), (&device, 30)] {
                    assert_eq!(directory.line_of(identifier, Timestamp(at)), Some(Owner { account, line: 0 }));
                }
            }
        });
        assert_eq!(directory.line_of(&imsi, Timestamp(15)), None);
        directory.forget_line(account, &line);
        assert_eq!(directory.line_of(&imsi, Timestamp(30)), None);
    }
}
