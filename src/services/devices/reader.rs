//! Reading devices for many modems at once.
//!
//! One read is under way at a time; what is asked for meanwhile goes into the
//! next one together. A modem alone waits for nobody, and ten thousand that come
//! back at once cost some tens of reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::known::{Found, Key};
use crate::domain::device::Device;
use crate::ports::relational::{Relational, Stored};

/// Devices in one read at most.
const BATCH_MAX: usize = 1000;

type Waiting = (Key, oneshot::Sender<Stored<Found>>);

pub(super) struct Reader {
    store: Arc<dyn Relational>,
    /// As many at most as there are connections.
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

impl Reader {
    pub(super) fn new(store: Arc<dyn Relational>) -> Self {
        Self { store, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The device, as the store has it at some moment after the call.
    pub(super) async fn device(&self, key: &Key) -> Stored<Found> {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.waiting().push((key.clone(), answer));
            let found = tokio::select! {
                biased;
                found = &mut answered => found.ok(),
                _turn = self.turn.lock() => loop {
                    match answered.try_recv() {
                        Err(TryRecvError::Empty) => self.read_batch().await,
                        found => break found.ok(),
                    }
                },
            };
            // None: whoever read for us has gone away in the middle of it.
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Reads for those who have waited longest.
    async fn read_batch(&self) {
        let batch: Vec<Waiting> = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(BATCH_MAX);
            waiting.drain(..count).collect()
        };
        let found = self.read(batch.iter().map(|(key, _)| key)).await;
        for (key, answer) in batch {
            let found = found.as_ref().map(|found| found.get(&key).cloned()).map_err(Clone::clone);
            // Nobody waits any more when the connection has ended.
            let _gone = answer.send(found);
        }
    }

    async fn read(&self, keys: impl Iterator<Item = &Key>) -> Stored<HashMap<Key, Arc<Device>>> {
        let (mut ids, mut names) = (Vec::new(), Vec::new());
        for key in keys {
            match key {
                Key::Id(id) => ids.push(id.clone()),
                Key::Certificate(name) => names.push(name.clone()),
            }
        }
        let mut found = HashMap::new();
        if !ids.is_empty() {
            let devices = self.store.devices(&ids).await?;
            found.extend(devices.into_iter().map(|device| (Key::Id(device.id.clone()), Arc::new(device))));
        }
        if !names.is_empty() {
            let devices = self.store.devices_of_certificates(&names).await?;
            let named =
                devices.into_iter().filter_map(|d| Some((Key::Certificate(d.certificate_name.clone()?), Arc::new(d))));
            found.extend(named);
        }
        Ok(found)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::MemoryStore;
    use crate::domain::device::Credential;
    use crate::domain::time::Timestamp;
    use crate::ports::relational::Write;

    fn device(n: usize) -> Device {
        let name = format!("name-{n}");
        Device::enrolled(format!("meter-{n}").into(), Credential::Certificate(name.as_str().into()), Timestamp(0))
    }

    async fn reader(devices: usize) -> Arc<Reader> {
        let store = MemoryStore::new();
        store.save((0..devices).map(|n| Write::Device(device(n))).collect()).await.unwrap();
        Arc::new(Reader::new(Arc::new(store)))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_of_many_gets_its_own_device() {
        let reader = reader(3_000).await;
        let mut reading = tokio::task::JoinSet::new();
        for n in 0..3_500 {
            for key in [Key::Id(format!("meter-{n}").into()), Key::Certificate(format!("name-{n}").as_str().into())] {
                let reader = Arc::clone(&reader);
                reading.spawn(async move { (n, reader.device(&key).await.unwrap()) });
            }
        }
        while let Some(read) = reading.join_next().await {
            let (n, found) = read.unwrap();
            assert_eq!(found.map(|d| d.id.clone()), (n < 3_000).then(|| device(n).id), "{n}");
        }
        assert!(reader.waiting().is_empty());
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_takes_nobody_with_it() {
        let reader = reader(1).await;
        let key = Key::Id("meter-0".into());
        let turn = reader.turn.lock().await;
        let (gone, left) = (Arc::clone(&reader), Arc::clone(&reader));
        let (of_gone, of_left) = (key.clone(), key.clone());
        let gone = tokio::spawn(async move { gone.device(&of_gone).await });
        let left = tokio::spawn(async move { left.device(&of_left).await });
        tokio::task::yield_now().await;
        gone.abort();
        // As if it had taken the batch with it.
        reader.waiting().clear();
        drop(turn);
        assert_eq!(left.await.unwrap().unwrap().unwrap().id, device(0).id);
    }
}
