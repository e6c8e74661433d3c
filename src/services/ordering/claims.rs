//! Keeps two submissions from taking the same identifier at the same time
//! inside this process. Between gateways the second judgement, when an order
//! begins, is what stands.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

const STRIPES: usize = 64;

pub(super) struct Claims {
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Claims {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Claims {
    /// Holds every name until the guards go; taken in one order, so that no two wait for each other.
    pub(super) async fn hold(&self, names: &[String]) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> = names
            .iter()
            .map(|name| usize::try_from(self.hasher.hash_one(name) % STRIPES as u64).unwrap_or(0))
            .collect();
        stripes.sort_unstable();
        stripes.dedup();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(self.stripes[stripe].lock().await);
        }
        guards
    }
}
