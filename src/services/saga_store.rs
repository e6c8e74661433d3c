//! The engine's store over the relational port.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::domain::ids::SagaId;
use crate::domain::time::Timestamp;
use crate::ports::relational::{Relational, StoreError, Write};
use crate::saga::{SagaEvent, SagaRecord, SagaStore, SagaStoreError};

/// Sagas kept beside what their steps write.
pub struct RelationalSagas {
    store: Arc<dyn Relational>,
    bell: Option<Arc<Notify>>,
}

impl RelationalSagas {
    /// Over `store`.
    pub fn new(store: Arc<dyn Relational>) -> Self {
        Self { store, bell: None }
    }

    /// Rings `bell` after every save that has something for the outbox.
    #[must_use]
    pub fn ringing(mut self, bell: Arc<Notify>) -> Self {
        self.bell = Some(bell);
        self
    }
}

#[async_trait]
impl SagaStore<Write> for RelationalSagas {
    async fn load(&self, id: &SagaId) -> Result<Option<(SagaRecord, Vec<SagaEvent>)>, SagaStoreError> {
        // The record first: a change in between moves its version, and the save is refused.
        let Some(record) = self.store.saga(id).await.map_err(failure)? else { return Ok(None) };
        let log = self.store.saga_log(id).await.map_err(failure)?;
        Ok(Some((record, log)))
    }

    async fn due(&self, now: Timestamp, limit: u64) -> Result<Vec<SagaRecord>, SagaStoreError> {
        self.store.due_sagas(now, limit).await.map_err(failure)
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, SagaStoreError> {
        self.store.next_wake().await.map_err(failure)
    }

    async fn save(
        &self,
        record: SagaRecord,
        events: Vec<SagaEvent>,
        mut extra: Vec<Write>,
    ) -> Result<(), SagaStoreError> {
        extra.insert(0, Write::Saga(record, events));
        let tells = extra.iter().any(|w| matches!(w, Write::Happening(_) | Write::Message(_)));
        self.store.save(extra).await.map_err(failure)?;
        if let Some(bell) = self.bell.as_ref().filter(|_| tells) {
            bell.notify_one();
        }
        Ok(())
    }
}

fn failure(e: StoreError) -> SagaStoreError {
    match e {
        StoreError::Conflict { .. } => SagaStoreError::Conflict,
        other => SagaStoreError::Failed { reason: other.to_string() },
    }
}
