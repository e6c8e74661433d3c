//! The accounts of a shard, with what the shard notes about each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use ahash::RandomState;

use crate::domain::account::{Account, AccountLimits, BadAccount, stable_hash};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ports::hot::AccountChange;
use crate::telemetry::metrics;

/// When accounts have something that expires, soonest first.
pub(super) type Expiries = BinaryHeap<Reverse<(Timestamp, AccountId)>>;

/// The accounts of one shard: open ones, ready to be charged; packed ones, as the bytes that
/// the store has; and those that are in the store alone.
pub(super) struct Accounts {
    pub(super) slots: HashMap<AccountId, Slot, RandomState>,
    /// Accounts that recovery has changed and that are to be made durable.
    pub(super) recovered: Vec<AccountId>,
    idle: HashMap<AccountId, Idle, RandomState>,
    limits: CacheLimits,
    /// Open accounts, each once; the least recently used is near the front.
    open: VecDeque<AccountId>,
    /// Packed accounts, each once, likewise; some have been opened since.
    packed: VecDeque<AccountId>,
    packed_count: usize,
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
    pub(super) account: Account,
    /// Its place in the pending batch, where it is changed by it.
    pub(super) pending: Option<usize>,
    /// Whether a batch that changes it is on its way.
    pub(super) in_flight: bool,
    /// When the shard looks at it next for what expires; [`Timestamp::MAX`] for never.
    pub(super) scheduled: Timestamp,
    /// Whether it was used since it was last looked at for room.
    used: bool,
    /// Whether it is still among the packed ones by name.
    was_packed: bool,
}

/// An account that is not open.
struct Idle {
    /// Its state as it is stored; `None` where the store alone has it.
    state: Option<Box<[u8]>>,
    /// As in [`Slot`].
    scheduled: Timestamp,
    open_sessions: u32,
    /// Whether it was opened since it was last looked at for room.
    used: bool,
}

/// Where an account is.
pub(super) enum Place {
    /// Open, or nowhere: there is none of that name.
    Here,
    /// In the store alone.
    Away,
}

impl Accounts {
    pub(super) fn new(limits: CacheLimits) -> Self {
        // Hashed alike in every process, so that what goes through all accounts does it in one
        // order: ids are the operator's own, and nobody else can choose them to collide.
        let hasher = RandomState::with_seeds(0, 0, 0, 0);
        Self {
            slots: HashMap::with_hasher(hasher.clone()),
            recovered: Vec::new(),
            idle: HashMap::with_hasher(hasher),
            limits,
            open: VecDeque::new(),
            packed: VecDeque::new(),
            packed_count: 0,
        }
    }

    /// Puts an account in as an open one, in the place of what was known of it.
    pub(super) fn insert(&mut self, account: Account, changed: bool) {
        if changed {
            self.recovered.push(account.id.clone());
        }
        if let Some(slot) = self.slots.get_mut(&account.id) {
            (slot.account, slot.pending, slot.in_flight, slot.used) = (account, None, false, true);
            return;
        }
        let id = account.id.clone();
        let before = self.idle.remove(&id);
        let was_packed = before.as_ref().is_some_and(|idle| idle.state.is_some());
        self.packed_count -= usize::from(was_packed);
        let scheduled = before.map_or(Timestamp::MAX, |idle| idle.scheduled);
        let slot = Slot { account, pending: None, in_flight: false, scheduled, used: true, was_packed };
        self.slots.insert(id.clone(), slot);
        self.open.push_back(id);
    }

    /// Puts a durable account in as it is stored: packed where there is room.
    pub(super) fn insert_idle(&mut self, account: &Account, state: Vec<u8>, limits: &AccountLimits) {
        let id = account.id.clone();
        let scheduled = account.next_tick(limits).unwrap_or(Timestamp::MAX);
        let has_room = self.cached() < self.limits.cached_max;
        let state = has_room.then(|| state.into_boxed_slice());
        if has_room {
            self.packed.push_back(id.clone());
            self.packed_count += 1;
        }
        let open_sessions = open_sessions(account) as u32;
        self.idle.insert(id, Idle { state, scheduled, open_sessions, used: false });
    }

    /// Opens an account where it is in memory.
    ///
    /// # Errors
    /// [`BadAccount`] when its bytes cannot be read.
    pub(super) fn bring(&mut self, id: &AccountId) -> Result<Place, BadAccount> {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.used = true;
            return Ok(Place::Here);
        }
        match self.idle.get(id) {
            None => Ok(Place::Here),
            Some(Idle { state: None, .. }) => Ok(Place::Away),
            Some(Idle { state: Some(state), .. }) => {
                let account = Account::decode(state)?;
                self.insert(account, false);
                Ok(Place::Here)
            }
        }
    }

    /// Whether there is an account of that name, in memory or not.
    pub(super) fn contains(&self, id: &AccountId) -> bool {
        self.slots.contains_key(id) || self.idle.contains_key(id)
    }

    /// The account's open sessions, as far as is known; `None` where there is none of that name.
    pub(super) fn open_sessions(&self, id: &AccountId) -> Option<usize> {
        let idle = || self.idle.get(id).map(|idle| idle.open_sessions as usize);
        self.slots.get(id).map(|slot| open_sessions(&slot.account)).or_else(idle)
    }

    /// Drops what is known of an account.
    pub(super) fn remove(&mut self, id: &AccountId) {
        self.slots.remove(id);
        if let Some(Idle { state: Some(_), .. }) = self.idle.remove(id) {
            self.packed_count -= 1;
        }
    }

    /// Makes room: packs open accounts and leaves packed ones to the store, least recently
    /// used first. One that is changed and not durable stays.
    pub(super) fn make_room(&mut self) {
        let mut looks = 2 * self.slots.len().saturating_sub(self.limits.open_max) + 8;
        while self.slots.len() > self.limits.open_max && looks > 0 {
            looks -= 1;
            let Some(id) = self.open.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let is_clean = slot.pending.is_none() && !slot.in_flight && slot.account.version > 0;
            if std::mem::take(&mut slot.used) || !is_clean {
                self.open.push_back(id);
                continue;
            }
            self.pack(id);
        }
        let mut looks = 2 * self.cached().saturating_sub(self.limits.cached_max) + 8;
        while self.cached() > self.limits.cached_max && looks > 0 {
            looks -= 1;
            let Some(id) = self.packed.pop_front() else { break };
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.was_packed = false;
                continue;
            }
            let Some(idle) = self.idle.get_mut(&id) else { continue };
            if std::mem::take(&mut idle.used) {
                self.packed.push_back(id);
            } else if idle.state.take().is_some() {
                self.packed_count -= 1;
                metrics().accounts_evicted.inc();
            }
        }
    }

    fn pack(&mut self, id: AccountId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        let state = slot.account.encode(Vec::with_capacity(256)).into_boxed_slice();
        let idle = Idle {
            state: Some(state),
            scheduled: slot.scheduled,
            open_sessions: open_sessions(&slot.account) as u32,
            used: slot.was_packed,
        };
        self.packed_count += 1;
        if !slot.was_packed {
            self.packed.push_back(id.clone());
        }
        self.idle.insert(id, idle);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.idle.len()
    }

    /// How many are open or packed.
    pub(super) fn cached(&self) -> usize {
        self.slots.len() + self.packed_count
    }

    /// Every account.
    pub(super) fn ids(&self) -> Vec<AccountId> {
        self.slots.keys().chain(self.idle.keys()).cloned().collect()
    }

    /// Every account that may have a session: the others have nothing that expires.
    pub(super) fn ids_with_sessions(&self) -> Vec<AccountId> {
        let idle = self.idle.iter().filter(|(_, idle)| idle.scheduled != Timestamp::MAX).map(|(id, _)| id);
        self.slots.keys().chain(idle).cloned().collect()
    }

    /// Whether the shard is to look at the account for what expires at `at`; it is noted that
    /// it does.
    pub(super) fn take_expiry(&mut self, id: &AccountId, at: Timestamp) -> bool {
        let scheduled = match self.slots.get_mut(id) {
            Some(slot) => Some(&mut slot.scheduled),
            None => self.idle.get_mut(id).map(|idle| &mut idle.scheduled),
        };
        let is_due = scheduled.as_ref().is_some_and(|scheduled| **scheduled == at);
        if let Some(scheduled) = scheduled.filter(|_| is_due) {
            *scheduled = Timestamp::MAX;
        }
        is_due
    }

    /// What expires of accounts that are not open.
    pub(super) fn idle_expiries(&self) -> impl Iterator<Item = Reverse<(Timestamp, AccountId)>> {
        let due = self.idle.iter().filter(|(_, idle)| idle.scheduled != Timestamp::MAX);
        due.map(|(id, idle)| Reverse((idle.scheduled, id.clone())))
    }
}

/// How many sessions of an account are open.
pub(super) fn open_sessions(account: &Account) -> usize {
    account.sessions.iter().filter(|session| session.is_open()).count()
}

/// The account's change in the pending batch, made at the first use.
pub(super) fn change_of<'c>(slot: &mut Slot, changes: &'c mut Vec<AccountChange>) -> &'c mut AccountChange {
    let change = check_of(slot, changes);
    change.version = change.previous + 1;
    change
}

/// The account's place in the pending batch, where its version is compared and, unless
/// something changes it, nothing more.
pub(super) fn check_of<'c>(slot: &mut Slot, changes: &'c mut Vec<AccountChange>) -> &'c mut AccountChange {
    let at = *slot.pending.get_or_insert_with(|| {
        let version = slot.account.version;
        changes.push(AccountChange::check(slot.account.id.clone(), version));
        changes.len() - 1
    });
    &mut changes[at]
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

/// Notes when the shard has to look at the account for what expires.
pub(super) fn schedule(slot: &mut Slot, expiries: &mut Expiries, limits: &AccountLimits) {
    // One entry for each account: a later expiry waits until the entry comes up.
    if slot.scheduled != Timestamp::MAX {
        return;
    }
    if let Some(at) = slot.account.next_tick(limits) {
        slot.scheduled = at;
        expiries.push(Reverse((at, slot.account.id.clone())));
    }
}
