//! Looking for what another gateway knows: sessions, lines and accounts on a store
//! that gateways share.
//!
//! Each gateway knows every account that it has met, in memory or as one that it
//! left to the store, and hears nothing of what the others write. What is old here
//! is found out when a batch conflicts, or when the account is read again; what is
//! not here at all is looked for in the store. What is not there either is taken
//! for unknown for a moment, so that requests for nobody do not load the store.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ahash::RandomState;
use tokio::sync::oneshot;

use super::work::{Answer, Work};
use super::{Charging, ChargingError, ChargingSettings};
use crate::domain::ids::AccountId;
use crate::domain::rating::request::ChargeRequest;
use crate::domain::time::Timestamp;
use crate::ports::hot::{HotError, StoredAccount};
use crate::telemetry::metrics;

/// What is being looked for, and what was not found.
pub(super) struct Lookups {
    hasher: RandomState,
    running: AtomicUsize,
    running_max: usize,
    missed: Mutex<Missed>,
    missed_max: usize,
    missed_ms: u64,
}

#[derive(Default)]
struct Missed {
    until: HashMap<u64, Timestamp>,
    by_age: VecDeque<u64>,
}

impl Lookups {
    pub(super) fn new(settings: &ChargingSettings) -> Self {
        Self {
            hasher: RandomState::new(),
            running: AtomicUsize::new(0),
            running_max: settings.lookups_max,
            missed: Mutex::default(),
            missed_max: settings.lookups_missed_max,
            missed_ms: settings.lookup_missed_ms,
        }
    }

    fn key(&self, request: &ChargeRequest) -> u64 {
        self.hasher.hash_one((&request.session, &request.subscribers))
    }

    fn is_missed(&self, key: u64, now: Timestamp) -> bool {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.until.get(&key).is_some_and(|until| now < *until)
    }

    fn miss(&self, key: u64, now: Timestamp) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now.plus(std::time::Duration::from_millis(self.missed_ms));
        if missed.until.insert(key, until).is_none() {
            missed.by_age.push_back(key);
        }
        while missed.by_age.len() > self.missed_max
            && let Some(oldest) = missed.by_age.pop_front()
        {
            missed.until.remove(&oldest);
        }
    }
}

impl Charging {
    /// Looks in the store for what a request names, and takes the request in then.
    pub(super) fn look_up(&self, request: ChargeRequest, reply: Answer) {
        let lookups = &self.shared.lookups;
        let key = lookups.key(&request);
        if lookups.is_missed(key, self.shared.clock.now()) {
            return self.answer_unknown(&request, reply);
        }
        let is_full = lookups.running.fetch_add(1, Ordering::AcqRel) >= lookups.running_max;
        if is_full || self.keeps_out(request.key.source()) {
            lookups.running.fetch_sub(1, Ordering::AcqRel);
            metrics().lookups.with_label_values(&["refused"]).inc();
            return reply.send(Err(ChargingError::Overloaded));
        }
        let charging = self.clone();
        tokio::spawn(async move {
            let found = charging.find_and_take(&request).await;
            charging.shared.lookups.running.fetch_sub(1, Ordering::AcqRel);
            if let Err(error) = found {
                tracing::warn!(%error, "look for an account");
                metrics().lookups.with_label_values(&["failed"]).inc();
                return reply.send(Err(ChargingError::Overloaded));
            }
            match charging.resolve(&request) {
                Some((account, line)) => {
                    metrics().lookups.with_label_values(&["found"]).inc();
                    charging.admit(request, account, line, reply);
                }
                None => {
                    metrics().lookups.with_label_values(&["missed"]).inc();
                    charging.shared.lookups.miss(key, charging.shared.clock.now());
                    charging.answer_unknown(&request, reply);
                }
            }
        });
    }

    /// Takes over the accounts that the store has for a request's session or subscribers.
    async fn find_and_take(&self, request: &ChargeRequest) -> Result<(), HotError> {
        let hot = &self.shared.hot;
        if let Some(session) = &request.session
            && let Some(account) = hot.account_of_session(session).await?
        {
            return self.refresh(&account).await;
        }
        for subscriber in &request.subscribers {
            for account in hot.accounts_of_identifier(subscriber).await? {
                self.refresh(&account).await?;
            }
        }
        Ok(())
    }

    /// On a store that gateways share: reads an account anew, and returns when its shard
    /// has it.
    pub(super) async fn refresh(&self, account: &AccountId) -> Result<(), HotError> {
        if !self.shared.hot.is_shared() {
            return Ok(());
        }
        if self.shared.hot.is_away() {
            let reason = "the store is away".to_owned();
            return Err(HotError::Transient { operation: "read an account", reason });
        }
        match self.shared.hot.account(account).await? {
            Some(stored) => self.take(stored).await,
            None => Ok(()),
        }
    }

    async fn take(&self, stored: StoredAccount) -> Result<(), HotError> {
        let (done, taken) = oneshot::channel();
        self.queue_of(&stored.account).push(Work::Know { stored, done });
        let reason = || "its shard has not taken it".to_owned();
        taken.await.map_err(|_| HotError::Transient { operation: "take over an account", reason: reason() })
    }

    /// On a store that gateways share: loads the accounts that were opened by others and
    /// are not here.
    pub(super) async fn load_missing(&self) -> Result<(), HotError> {
        if !self.shared.hot.is_shared() {
            return Ok(());
        }
        let mut all: Vec<Vec<AccountId>> = vec![Vec::new(); self.shared.queues.len()];
        let mut note = |stored: StoredAccount| {
            all[super::shard_of(&stored.account, self.shared.queues.len())].push(stored.account);
        };
        self.shared.hot.for_each_account(&mut note).await?;
        for (queue, accounts) in self.shared.queues.iter().zip(all) {
            let (to, missing) = oneshot::channel();
            queue.push(Work::Missing { accounts, to });
            for account in missing.await.unwrap_or_default() {
                self.refresh(&account).await?;
            }
        }
        Ok(())
    }
}
