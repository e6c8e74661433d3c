//! The accounts of a shard, with what the shard notes about each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use ahash::RandomState;

use crate::domain::account::{Account, AccountLimits};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ports::hot::AccountChange;

/// When accounts have something that expires, soonest first.
pub(super) type Expiries = BinaryHeap<Reverse<(Timestamp, AccountId)>>;

/// The accounts of one shard.
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

impl Default for Accounts {
    /// Hashed alike in every process, so that what goes through all accounts does it in one
    /// order: ids are the operator's own, and nobody else can choose them to collide.
    fn default() -> Self {
        Self { slots: HashMap::with_hasher(RandomState::with_seed(0)), recovered: Vec::new() }
    }
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
    let at = *slot.pending.get_or_insert_with(|| {
        let previous = slot.account.version;
        changes.push(AccountChange {
            account: slot.account.id.clone(),
            previous,
            version: previous + 1,
            state: Vec::new(),
            records: Vec::new(),
            record_count: 0,
            opened: Vec::new(),
            closed: Vec::new(),
        });
        changes.len() - 1
    });
    &mut changes[at]
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
