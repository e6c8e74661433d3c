//! Gateways: each starts, lives by the seed, dies and is started again while others go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linegate::domain::time::Timestamp;
use linegate::ports::Clock;
use linegate::ports::hot::HotStore;
use linegate::services::charging::{Charging, ChargingTasks};
use linegate::services::drain::{Drain, DrainSettings};
use tokio_util::sync::CancellationToken;

use super::faults::{Dice, FaultyHot, FaultySink, Life, LivingJournal, Rates};
use super::{SimClock, TARIFF, World, october};

/// A gateway's process.
pub struct Gateway {
    pub charging: Charging,
    tasks: ChargingTasks,
    drain: tokio::task::JoinHandle<()>,
    bridge: tokio::task::JoinHandle<()>,
    life: Life,
}

/// What gateways stand on, and what goes wrong there.
#[derive(Clone)]
pub struct Ground {
    pub hot: Arc<dyn HotStore>,
    pub rates: Rates,
    pub clock: Arc<SimClock>,
}

/// Where clients find gateways, whichever processes run there.
#[derive(Clone)]
pub struct Doors {
    charging: Arc<[Mutex<Charging>]>,
    is_shared: bool,
}

/// How something that lived has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed,
    Fatal,
    Stopped,
    Done,
}

impl Doors {
    pub fn of(gateways: &[Gateway], hot: &dyn HotStore) -> Self {
        let charging = gateways.iter().map(|gateway| Mutex::new(gateway.charging.clone())).collect();
        Self { charging, is_shared: hot.is_shared() }
    }

    /// Where a client of gateway `home` goes this time: now and then to another one, where all
    /// know the same.
    pub fn choose(&self, home: usize, dice: &Dice) -> Charging {
        let away = self.is_shared && dice.one_in(3);
        let at = if away { dice.below(self.charging.len() as u64) as usize } else { home % self.charging.len() };
        self.charging[at].lock().unwrap().clone()
    }
}

impl World {
    /// Starts a gateway, and again where it dies of that.
    pub async fn start(&self, at: usize, ground: &Ground, last_alive: Option<Timestamp>) -> Gateway {
        loop {
            let life = Life::new(self.dice.clone(), ground.rates);
            tokio::select! {
                biased;
                () = life.killed.cancelled() => {}
                started = self.try_start(at, ground, &life, last_alive) => match started {
                    Some(gateway) => return gateway,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
    }

    async fn try_start(
        &self,
        at: usize,
        ground: &Ground,
        life: &Life,
        last_alive: Option<Timestamp>,
    ) -> Option<Gateway> {
        let hot = Arc::new(FaultyHot {
            inner: Arc::clone(&ground.hot),
            life: life.clone(),
            kept: Arc::clone(&self.kept),
            poisoned: AtomicBool::new(false),
            away: AtomicBool::new(false),
            last_commit_at: last_alive,
        });
        let newest_closed = self.closed.lock().unwrap().map(|_| october());
        let (settings, clock) = (self.settings.clone(), ground.clock.clone());
        let (charging, tasks) =
            Charging::start(hot.clone(), TARIFF.clone().into(), clock, settings, newest_closed).await.ok()?;
        let journal = LivingJournal { entries: Arc::clone(&self.journals[at]), life: life.clone() };
        let bridge = charging.bridge_outages(Arc::new(journal), CancellationToken::new()).ok()?;
        let sink = Arc::new(FaultySink { inner: Arc::clone(&self.relational), life: life.clone() });
        let settings = DrainSettings {
            batch_entries: 1 + self.dice.below(8) as usize,
            batch_records: 1 + self.dice.below(8) as usize,
            idle_ms: 50,
            retry_ms: 100,
            yield_ms: 70,
            ..DrainSettings::default()
        };
        let drain = Drain::new(hot, sink, settings);
        // It ends with the process: what it has not taken is taken by the next one.
        let drain = tokio::spawn(async move { drain.run(CancellationToken::new()).await });
        Some(Gateway { charging, tasks, drain, bridge: tokio::spawn(bridge), life: life.clone() })
    }

    /// Starts a gateway again whenever it ends by itself, while others go on; gives how it has
    /// ended where all end with it.
    pub async fn keep(&self, at: usize, gateway: &mut Gateway, doors: &Doors, ground: &Ground) -> End {
        loop {
            let end = gateway.ends().await;
            self.dice.note(&format!("gateway {at}: {end:?}"));
            gateway.abandon();
            if !doors.is_shared || self.dice.one_in(4) {
                return end;
            }
            tokio::time::sleep(Duration::from_millis(self.dice.below(2000))).await;
            *gateway = self.start(at, ground, Some(ground.clock.now())).await;
            *doors.charging[at].lock().unwrap() = gateway.charging.clone();
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Gateway {
    async fn ends(&mut self) -> End {
        tokio::select! {
            biased;
            () = self.life.killed.cancelled() => End::Killed,
            reason = self.tasks.fatal() => {
                assert!(reason.contains("by the seed"), "{reason}");
                End::Fatal
            }
        }
    }

    /// Nothing of it reaches a store any more.
    fn abandon(&self) {
        self.life.killed.cancel();
        self.drain.abort();
        self.bridge.abort();
    }

    /// Ends it in peace; false where it is killed in the middle of that.
    pub async fn shut_down(self) -> bool {
        let is_whole = tokio::select! {
            biased;
            () = self.life.killed.cancelled() => false,
            () = self.tasks.shutdown() => true,
        };
        self.drain.abort();
        self.bridge.abort();
        is_whole
    }
}
