//! A connection that is made again when it is lost, and requests that bridge
//! the time between.
//!
//! Any request may be sent twice: reads anyway, trims as well, and a batch is
//! known by writer and number. So a lost reply needs no care here but patience,
//! which [`RedisSettings::outage_ms_max`] bounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::Mutex;

use super::keys::{COMMIT, Keys, TRIM};
use super::server;
use super::settings::RedisSettings;
use crate::adapters::system::SystemClock;
use crate::ports::hot::HotError;
use crate::telemetry::metrics;

/// Why a request was not answered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server is away, or cannot do it at this moment.
    Passes(String),
    /// Waiting does not help.
    Lasts(String),
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Without an answer nothing is lost.
    Read,
    /// The answer has to be on disk, and without one the outcome is unknown.
    Write,
}

/// One of the connections to the server.
pub(super) struct Link {
    role: &'static str,
    client: Client,
    settings: RedisSettings,
    keys: Keys,
    live: Mutex<Option<Live>>,
    connects: AtomicU64,
    is_away: AtomicBool,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    sync: DiskSync,
}

/// How a write gets to the disk before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskSync {
    /// The server does it by itself, or nobody asks for it.
    Implied,
    /// By WAITAOF after each write.
    Waited,
}

impl Link {
    pub(super) fn new(role: &'static str, client: Client, settings: RedisSettings, keys: Keys) -> Self {
        let (live, connects, is_away) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
        Self { role, client, settings, keys, live, connects, is_away }
    }

    /// Whether the newest request has gone wrong and is being tried again.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// How many connections there have been.
    pub(super) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Acquire)
    }

    /// Sends a request until it is answered or time is up.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        request: &Cmd,
        purpose: Purpose,
    ) -> Result<T, HotError> {
        let began = SystemClock::instant();
        let patience = Duration::from_millis(self.settings.outage_ms_max);
        let mut pause = Duration::from_millis(self.settings.retry_ms_min.max(1));
        loop {
            let reason = match self.ask_once(request, purpose).await {
                Ok(answer) => {
                    self.note_back();
                    return Ok(answer);
                }
                Err(Trouble::Lasts(reason)) => return Err(HotError::Fatal { operation, reason }),
                Err(Trouble::Passes(reason)) => reason,
            };
            self.note_away(operation, &reason);
            if began.elapsed() >= patience {
                let reason = format!("redis was away for {patience:?} (hot.redis.outage_ms_max): {reason}");
                return Err(match purpose {
                    Purpose::Read => HotError::Transient { operation, reason },
                    Purpose::Write => HotError::Fatal { operation, reason },
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(self.settings.retry_ms_max.max(1)));
        }
    }

    async fn ask_once<T: FromRedisValue>(&self, request: &Cmd, purpose: Purpose) -> Result<T, Trouble> {
        let live = self.live().await?;
        let outcome = self.send(live, request, purpose).await;
        if outcome.is_err() {
            // Whatever went wrong, the next connection is checked from the start.
            *self.live.lock().await = None;
        }
        outcome
    }

    async fn send<T: FromRedisValue>(&self, mut live: Live, request: &Cmd, purpose: Purpose) -> Result<T, Trouble> {
        let answer = request.query_async(&mut live.connection).await.map_err(|e| Trouble::of_request(&e))?;
        if purpose == Purpose::Write && live.sync == DiskSync::Waited {
            // It gives up a little before we would stop listening.
            let patience_ms = (self.settings.reply_timeout_ms * 9 / 10).max(1);
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(0).arg(patience_ms);
            let (synced, _replicas): (u64, u64) =
                wait.query_async(&mut live.connection).await.map_err(|e| Trouble::of_request(&e))?;
            if synced == 0 {
                return Err(Trouble::Passes(format!("the server did not sync within {patience_ms} ms")));
            }
        }
        Ok(answer)
    }

    async fn live(&self) -> Result<Live, Trouble> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref() {
            return Ok(live.clone());
        }
        let limit = Duration::from_millis(self.settings.connect_timeout_ms.max(1));
        let live = tokio::time::timeout(limit, self.connect())
            .await
            .map_err(|_| Trouble::Passes(format!("no connection within {limit:?}")))??;
        self.connects.fetch_add(1, Ordering::AcqRel);
        *slot = Some(live.clone());
        Ok(live)
    }

    /// A connection to a server that has been checked and knows the scripts.
    async fn connect(&self) -> Result<Live, Trouble> {
        let limit = |ms: u64| Some(Duration::from_millis(ms.max(1)));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(limit(self.settings.connect_timeout_ms))
            .set_response_timeout(limit(self.settings.reply_timeout_ms));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|e| Trouble::of_connecting(&e))?;
        let sync = server::check(&mut connection, &self.settings, &self.keys).await?;
        for script in [&*COMMIT, &*TRIM] {
            script.load_async(&mut connection).await.map_err(|e| Trouble::of_connecting(&e))?;
        }
        Ok(Live { connection, sync })
    }

    fn note_away(&self, operation: &'static str, reason: &str) {
        metrics().hot_redis_up.with_label_values(&[self.role]).set(0);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(link = self.role, operation, reason, "redis is away; usage is refused until it is back");
        }
    }

    fn note_back(&self) {
        metrics().hot_redis_up.with_label_values(&[self.role]).set(1);
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!(link = self.role, "redis is back");
        }
    }
}

impl Trouble {
    /// What a request's error means. Codes that are not named here may have come
    /// from half a script: nobody knows what it has written.
    fn of_request(error: &RedisError) -> Self {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoScript, ReadOnly, TryAgain};
        let passes = match error.kind() {
            ErrorKind::Io => true,
            ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | NoScript | ReadOnly | TryAgain) => true,
            _ => matches!(error.code(), Some("OOM" | "MISCONF" | "BUSY" | "NOREPLICAS" | "NOAUTH")),
        };
        if passes { Self::Passes(error.to_string()) } else { Self::Lasts(error.to_string()) }
    }

    /// What an error before the first request means: nothing has been asked yet.
    pub(super) fn of_connecting(error: &RedisError) -> Self {
        use ServerErrorKind::NoPerm;
        let lasts = matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::Server(NoPerm)
        );
        if lasts { Self::Lasts(error.to_string()) } else { Self::Passes(error.to_string()) }
    }
}
