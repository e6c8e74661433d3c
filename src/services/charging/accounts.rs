//! The accounts of a shard, with what the shard notes about each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use ahash::RandomState;

use crate::domain::account::{Account, AccountLimits, stable_hash};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ports::hot::AccountChange;

/// When accounts have something that expires, soonest first.
pub(super) type Expiries = BinaryHeap<Reverse<(Timestamp, AccountId)>>;

/// The accounts of one shard.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) slots: HashMap<AccountId, Slot, RandomState>,
    /// Accounts that recovery has changed and that are to be made durable.
    pub(super) recovered: Vec<AccountId>,
}

/// One account with what its shard notes about it.
pub(super) struct Slot {
    pub(super) account: Account,
    /// Its place in the pending batch, where it is changed by it.
    pub(super) pending: Option<usize>,
    /// When the shard looks at it next for what expires; [`Timestamp::MAX`] for never.
    pub(super) scheduled: Timestamp,
}

impl Accounts {
    pub(super) fn insert(&mut self, account: Account, changed: bool) {
        if changed {
            self.recovered.push(account.id.clone());
        }
        let slot = Slot { account, pending: None, scheduled: Timestamp::MAX };
        self.slots.insert(slot.account.id.clone(), slot);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn open_sessions(&self) -> i64 {
        let open = |slot: &Slot| slot.account.sessions.iter().filter(|s| s.is_open()).count();
        i64::try_from(self.slots.values().map(open).sum::<usize>()).unwrap_or(i64::MAX)
    }
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
