//! Accounts on their way from the store, and the work that waits for them.
//!
//! A shard goes on with its other accounts meanwhile. So many are read at once; what
//! waits beyond a limit is refused as an overload.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use tokio::task::JoinSet;

use super::Shared;
use super::accounts::AccountNo;
use super::work::Work;
use crate::domain::ids::AccountId;
use crate::domain::usage::RecordKey;
use crate::ports::hot::{HotError, StoredAccount};

/// What a read came to.
pub(super) type Loaded = (AccountNo, Result<Option<StoredAccount>, HotError>);

/// The reads of one shard.
#[derive(Default)]
pub(super) struct Loads {
    waiting: HashMap<AccountNo, Vec<Work>, RandomState>,
    works: usize,
    queued: VecDeque<(AccountNo, AccountId)>,
    running: JoinSet<Loaded>,
}

impl Loads {
    /// Lets a work wait for its account.
    pub(super) fn wait(&mut self, no: AccountNo, id: AccountId, work: Work, shared: &Arc<Shared>) {
        self.works += 1;
        match self.waiting.get_mut(&no) {
            Some(works) => works.push(work),
            None => {
                self.waiting.insert(no, vec![work]);
                self.queued.push_back((no, id));
                self.start(shared);
            }
        }
    }

    /// Whether more may wait.
    pub(super) fn has_room(&self, shared: &Shared) -> bool {
        self.works < shared.settings.load_requests_max
    }

    /// Whether a request of that key waits for its account.
    pub(super) fn waits_with(&self, no: AccountNo, key: &RecordKey) -> bool {
        let works = self.waiting.get(&no).into_iter().flatten();
        works.into_iter().any(|work| matches!(work, Work::Charge { request, .. } if request.key == *key))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next account that has been read; `None` where none is on its way.
    pub(super) async fn next(&mut self) -> Option<Result<Loaded, HotError>> {
        let loaded = self.running.join_next().await?;
        Some(loaded.map_err(|error| HotError::Fatal { operation: "read an account", reason: error.to_string() }))
    }

    /// What waited for an account, in its order.
    pub(super) fn take(&mut self, no: AccountNo, shared: &Arc<Shared>) -> Vec<Work> {
        let works = self.waiting.remove(&no).unwrap_or_default();
        self.works -= works.len();
        self.start(shared);
        works
    }

    fn start(&mut self, shared: &Arc<Shared>) {
        while self.running.len() < shared.settings.loads_max.max(1) {
            let Some((no, id)) = self.queued.pop_front() else { return };
            let shared = Arc::clone(shared);
            // A task of its own: an embedded store blocks for the disk.
            self.running.spawn(async move {
                let stored = read_account(&shared, &id).await;
                (no, stored)
            });
        }
    }
}

/// Reads an account, and again while the store says that it is worth it.
pub(super) async fn read_account(shared: &Shared, id: &AccountId) -> Result<Option<StoredAccount>, HotError> {
    let settings = &shared.settings;
    let mut tries = 1;
    loop {
        match shared.hot.account(id).await {
            Err(HotError::Transient { operation, reason }) if tries < settings.commit_tries_max => {
                tracing::warn!(operation, reason, tries, "read an account of the hot store");
                tries += 1;
                tokio::time::sleep(Duration::from_millis(settings.commit_retry_ms)).await;
            }
            outcome => return outcome,
        }
    }
}
