//! The accounts of a shard, with what the shard notes about each.
//!
//! An account has a number from when the shard first hears of it until the process ends.
//! By it the directory, queues and schedules name the account; its id stands in the
//! account's own state and nowhere else.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use ahash::RandomState;

use super::dense::Dense;
use crate::domain::account::{Account, AccountLimits, BadAccount, stable_hash};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

/// Shards that there may be.
pub(super) const SHARDS_MAX: usize = 64;

/// An account's number: which shard has it, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AccountNo(u32);

impl AccountNo {
    pub(super) fn new(shard: usize, place: usize) -> Self {
        // 67 million accounts in a shard: their memory ends before.
        Self(u32::try_from(place * SHARDS_MAX + shard).expect("a shard's memory ends before its numbers"))
    }

    pub(super) const fn shard(self) -> usize {
        self.0 as usize % SHARDS_MAX
    }

    const fn place(self) -> usize {
        self.0 as usize / SHARDS_MAX
    }
}

/// When accounts have something that expires, soonest first.
pub(super) type Expiries = BinaryHeap<Reverse<(Timestamp, AccountNo)>>;

/// The accounts of one shard: open ones, ready to be charged; packed ones, as the bytes that
/// the store has; and those that are in the store alone.
pub(super) struct Accounts {
    shard: usize,
    hasher: RandomState,
    /// Every account by its place.
    entries: Dense<Entry>,
    /// What is open; free places are in `free`.
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Accounts that recovery has changed and that are to be made durable.
    pub(super) recovered: Vec<AccountNo>,
    limits: CacheLimits,
    /// Open accounts, each once; the least recently used is near the front.
    open: VecDeque<AccountNo>,
    /// Packed accounts, each once, likewise; some have been opened since.
    packed: VecDeque<AccountNo>,
    packed_count: usize,
    gone_count: usize,
    /// Where an account is written before it is packed to its own size.
    scratch: Vec<u8>,
}

/// How many accounts a shard keeps in memory.
#[derive(Clone, Copy)]
pub(super) struct CacheLimits {
    pub(super) open_max: usize,
    /// Open and packed together.
    pub(super) cached_max: usize,
}

/// One open account with what its shard notes about it.
pub(super) struct Slot {
    pub(super) no: AccountNo,
    pub(super) account: Account,
    /// Its place in the pending batch, where it is changed by it.
    pub(super) pending: Option<usize>,
    /// Whether a batch that changes it is on its way.
    pub(super) in_flight: bool,
    /// When the shard looks at it next for what expires; [`Timestamp::MAX`] for never.
    pub(super) scheduled: Timestamp,
    /// Whether it was used since it was last looked at for room.
    used: bool,
    /// Whether it is still among the packed ones by number.
    was_packed: bool,
}

/// What is noted of every account: 32 bytes.
struct Entry {
    kept: Kept,
    /// As in [`Slot`], while it is not open.
    scheduled: Timestamp,
}

/// Where an account is kept.
enum Kept {
    Open {
        slot: u32,
    },
    /// Its state as it is stored.
    Packed {
        /// Whether it was opened since it was last looked at for room.
        used: bool,
        open_sessions: u32,
        state: Box<[u8]>,
    },
    /// The store alone has it.
    Stored {
        open_sessions: u32,
        id: Box<str>,
    },
    /// Nowhere: the number stays.
    Gone {
        id: Box<str>,
    },
}

/// Where an account is.
pub(super) enum Place {
    /// Open, or nowhere: there is none of that number.
    Here,
    /// In the store alone.
    Away,
}

impl Accounts {
    pub(super) fn new(shard: usize, limits: CacheLimits) -> Self {
        Self {
            shard,
            hasher: RandomState::new(),
            entries: Dense::new(),
            slots: Vec::new(),
            free: Vec::new(),
            recovered: Vec::new(),
            limits,
            open: VecDeque::new(),
            packed: VecDeque::new(),
            packed_count: 0,
            gone_count: 0,
            scratch: Vec::new(),
        }
    }

    /// The account of that id, in memory or not.
    pub(super) fn find(&self, id: &AccountId) -> Option<AccountNo> {
        let no = self.known(id.as_str())?;
        let is_there = self.entries.get(no.place()).is_some_and(|entry| !matches!(entry.kept, Kept::Gone { .. }));
        is_there.then_some(no)
    }

    /// The number of an account, whether there is one or not.
    pub(super) fn number(&mut self, id: &AccountId) -> AccountNo {
        self.known(id.as_str()).unwrap_or_else(|| {
            self.gone_count += 1;
            self.push(id.as_str(), Kept::Gone { id: id.as_str().into() })
        })
    }

    /// The id of a number that was given.
    pub(super) fn id(&self, no: AccountNo) -> AccountId {
        match self.slot(no) {
            Some(slot) => slot.account.id.clone(),
            None => AccountId::from(self.entries.get(no.place()).map_or("", |entry| id_of(&self.slots, entry))),
        }
    }

    pub(super) fn slot(&self, no: AccountNo) -> Option<&Slot> {
        match self.entries.get(no.place())?.kept {
            Kept::Open { slot } => self.slots[slot as usize].as_ref(),
            _ => None,
        }
    }

    pub(super) fn slot_mut(&mut self, no: AccountNo) -> Option<&mut Slot> {
        match self.entries.get(no.place())?.kept {
            Kept::Open { slot } => self.slots[slot as usize].as_mut(),
            _ => None,
        }
    }

    /// Puts an account in as an open one, in the place of what was known of it.
    pub(super) fn insert(&mut self, account: Account, changed: bool) -> AccountNo {
        let no = self.number(&account.id);
        if changed {
            self.recovered.push(no);
        }
        if let Some(slot) = self.slot_mut(no) {
            (slot.account, slot.pending, slot.in_flight, slot.used) = (account, None, false, true);
            return no;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        let entry = self.entries.get_mut(no.place()).expect("a number that was given");
        let was_packed = matches!(entry.kept, Kept::Packed { .. });
        self.packed_count -= usize::from(was_packed);
        self.gone_count -= usize::from(matches!(entry.kept, Kept::Gone { .. }));
        let scheduled = entry.scheduled;
        self.slots[at as usize] =
            Some(Slot { no, account, pending: None, in_flight: false, scheduled, used: true, was_packed });
        entry.kept = Kept::Open { slot: at };
        self.open.push_back(no);
        no
    }

    /// Puts a durable account in as it is stored, where it is not known yet: packed while
    /// there is room.
    pub(super) fn insert_idle(&mut self, account: &Account, state: Vec<u8>, limits: &AccountLimits) -> AccountNo {
        if let Some(no) = self.known(account.id.as_str()) {
            return no;
        }
        let open_sessions = open_sessions(account) as u32;
        let has_room = self.cached() < self.limits.cached_max;
        let kept = if has_room {
            Kept::Packed { used: false, open_sessions, state: state.into_boxed_slice() }
        } else {
            Kept::Stored { open_sessions, id: account.id.as_str().into() }
        };
        let no = self.push(account.id.as_str(), kept);
        if let Some(entry) = self.entries.get_mut(no.place()) {
            entry.scheduled = account.next_tick(limits).unwrap_or(Timestamp::MAX);
        }
        if has_room {
            self.packed.push_back(no);
            self.packed_count += 1;
        }
        no
    }

    /// Opens an account where it is in memory.
    ///
    /// # Errors
    /// [`BadAccount`] when its bytes cannot be read.
    pub(super) fn bring(&mut self, no: AccountNo) -> Result<Place, BadAccount> {
        let account = match self.entries.get(no.place()).map(|entry| &entry.kept) {
            Some(Kept::Open { slot }) => {
                if let Some(slot) = &mut self.slots[*slot as usize] {
                    slot.used = true;
                }
                return Ok(Place::Here);
            }
            None | Some(Kept::Gone { .. }) => return Ok(Place::Here),
            Some(Kept::Stored { .. }) => return Ok(Place::Away),
            Some(Kept::Packed { state, .. }) => Account::decode(state)?,
        };
        self.insert(account, false);
        Ok(Place::Here)
    }

    /// The account's open sessions, as far as is known; `None` where there is none of that number.
    pub(super) fn open_sessions(&self, no: AccountNo) -> Option<usize> {
        match &self.entries.get(no.place())?.kept {
            Kept::Open { .. } => self.slot(no).map(|slot| open_sessions(&slot.account)),
            Kept::Packed { open_sessions, .. } | Kept::Stored { open_sessions, .. } => Some(*open_sessions as usize),
            Kept::Gone { .. } => None,
        }
    }

    /// Drops what is known of an account, but for its number.
    pub(super) fn remove(&mut self, no: AccountNo) {
        let id = self.id(no);
        let Some(entry) = self.entries.get_mut(no.place()) else { return };
        match std::mem::replace(&mut entry.kept, Kept::Gone { id: id.as_str().into() }) {
            Kept::Open { slot } => {
                self.slots[slot as usize] = None;
                self.free.push(slot);
            }
            Kept::Packed { .. } => self.packed_count -= 1,
            Kept::Stored { .. } => {}
            Kept::Gone { .. } => return,
        }
        entry.scheduled = Timestamp::MAX;
        self.gone_count += 1;
    }

    /// Makes room: packs open accounts and leaves packed ones to the store, least recently
    /// used first. One that is changed and not durable stays.
    pub(super) fn make_room(&mut self) {
        let mut looks = 2 * self.open_count().saturating_sub(self.limits.open_max) + 8;
        while self.open_count() > self.limits.open_max && looks > 0 {
            looks -= 1;
            let Some(no) = self.open.pop_front() else { break };
            let Some(slot) = self.slot_mut(no) else { continue };
            let is_clean = slot.pending.is_none() && !slot.in_flight && slot.account.version > 0;
            if std::mem::take(&mut slot.used) || !is_clean {
                self.open.push_back(no);
                continue;
            }
            self.pack(no);
        }
        let mut looks = 2 * self.cached().saturating_sub(self.limits.cached_max) + 8;
        while self.cached() > self.limits.cached_max && looks > 0 {
            looks -= 1;
            let Some(no) = self.packed.pop_front() else { break };
            self.leave(no);
        }
    }

    fn pack(&mut self, no: AccountNo) {
        let Some(entry) = self.entries.get_mut(no.place()) else { return };
        let Kept::Open { slot: at } = entry.kept else { return };
        let Some(slot) = self.slots[at as usize].take() else { return };
        self.free.push(at);
        self.scratch.clear();
        self.scratch = slot.account.encode(std::mem::take(&mut self.scratch));
        entry.kept = Kept::Packed {
            used: slot.was_packed,
            open_sessions: open_sessions(&slot.account) as u32,
            state: self.scratch.as_slice().into(),
        };
        entry.scheduled = slot.scheduled;
        self.packed_count += 1;
        if !slot.was_packed {
            self.packed.push_back(no);
        }
    }

    /// Leaves a packed account to the store, unless it was opened since it was last looked at.
    fn leave(&mut self, no: AccountNo) {
        let Some(entry) = self.entries.get_mut(no.place()) else { return };
        match &mut entry.kept {
            Kept::Open { slot } => {
                if let Some(slot) = &mut self.slots[*slot as usize] {
                    slot.was_packed = false;
                }
            }
            Kept::Packed { used, .. } if *used => {
                *used = false;
                self.packed.push_back(no);
            }
            Kept::Packed { open_sessions, .. } => {
                let open_sessions = *open_sessions;
                let id = id_of(&self.slots, entry).into();
                entry.kept = Kept::Stored { open_sessions, id };
                self.packed_count -= 1;
                metrics().accounts_evicted.inc();
            }
            Kept::Stored { .. } | Kept::Gone { .. } => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.iter().len() - self.gone_count
    }

    fn open_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many are open or packed.
    pub(super) fn cached(&self) -> usize {
        self.open_count() + self.packed_count
    }

    /// Every account.
    pub(super) fn all(&self) -> Vec<AccountNo> {
        self.which(|entry| !matches!(entry.kept, Kept::Gone { .. })).collect()
    }

    /// Every account that may have a session: the others have nothing that expires.
    pub(super) fn with_sessions(&self) -> Vec<AccountNo> {
        self.which(|entry| matches!(entry.kept, Kept::Open { .. }) || entry.scheduled != Timestamp::MAX).collect()
    }

    fn which(&self, is_meant: impl Fn(&Entry) -> bool) -> impl Iterator<Item = AccountNo> {
        let meant = self.entries.iter().enumerate().filter(move |(_, entry)| is_meant(entry));
        meant.map(|(place, _)| AccountNo::new(self.shard, place))
    }

    /// Whether the shard is to look at the account for what expires at `at`; it is noted that
    /// it does.
    pub(super) fn take_expiry(&mut self, no: AccountNo, at: Timestamp) -> bool {
        let Some(entry) = self.entries.get_mut(no.place()) else { return false };
        let scheduled = match entry.kept {
            Kept::Open { slot } => self.slots[slot as usize].as_mut().map(|slot| &mut slot.scheduled),
            _ => Some(&mut entry.scheduled),
        };
        let Some(scheduled) = scheduled.filter(|scheduled| **scheduled == at) else { return false };
        *scheduled = Timestamp::MAX;
        true
    }

    /// Notes when the shard has to look at accounts for what expires.
    pub(super) fn schedule_all(&mut self, expiries: &mut Expiries, limits: &AccountLimits) {
        for slot in self.slots.iter_mut().flatten() {
            schedule(slot, expiries, limits);
        }
        let idle = |entry: &Entry| !matches!(entry.kept, Kept::Open { .. }) && entry.scheduled != Timestamp::MAX;
        for (place, entry) in self.entries.iter().enumerate().filter(|(_, entry)| idle(entry)) {
            expiries.push(Reverse((entry.scheduled, AccountNo::new(self.shard, place))));
        }
    }

    fn known(&self, id: &str) -> Option<AccountNo> {
        let mut found = self.entries.find(self.hasher.hash_one(id), |entry| id_of(&self.slots, entry) == id);
        found.next().map(|(place, _)| AccountNo::new(self.shard, place))
    }

    fn push(&mut self, id: &str, kept: Kept) -> AccountNo {
        let (hasher, slots) = (&self.hasher, &self.slots);
        let entry = Entry { kept, scheduled: Timestamp::MAX };
        let place = self.entries.push(hasher.hash_one(id), entry, |entry| hasher.hash_one(id_of(slots, entry)));
        AccountNo::new(self.shard, place)
    }
}

/// The id of an account, from wherever it is kept.
fn id_of<'a>(slots: &'a [Option<Slot>], entry: &'a Entry) -> &'a str {
    match &entry.kept {
        Kept::Open { slot } => slots[*slot as usize].as_ref().map_or("", |slot| slot.account.id.as_str()),
        Kept::Packed { state, .. } => Account::id_in(state).expect("what is packed was encoded or read here"),
        Kept::Stored { id, .. } | Kept::Gone { id } => id,
    }
}

/// How many sessions of an account are open.
pub(super) fn open_sessions(account: &Account) -> usize {
    account.sessions.iter().filter(|session| session.is_open()).count()
}

/// Notes when the shard has to look at the account for what expires.
pub(super) fn schedule(slot: &mut Slot, expiries: &mut Expiries, limits: &AccountLimits) {
    // One entry for each account: a later expiry waits until the entry comes up.
    if slot.scheduled != Timestamp::MAX {
        return;
    }
    if let Some(at) = slot.account.next_tick(limits) {
        slot.scheduled = at;
        expiries.push(Reverse((at, slot.no)));
    }
}

/// Versions for a store that gateways share: the upper bits count, the lower ones
/// differ each time. A store that has lost writes gives counts again, and a state
/// that was read before the loss must not pass for the one that has its count now.
pub(super) struct Versions {
    seed: u64,
    given: u64,
}

impl Versions {
    const LOW_BITS: u32 = 20;

    /// `seed` differs for each task that gives versions.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, given: 0 }
    }

    pub(super) fn after(&mut self, previous: u64) -> u64 {
        self.given += 1;
        let mark = stable_hash(&(self.seed ^ self.given.rotate_left(32)).to_be_bytes());
        let low = mark & ((1 << Self::LOW_BITS) - 1);
        ((previous >> Self::LOW_BITS) + 1) << Self::LOW_BITS | low
    }
}
