//! A connection to one server, made again when it was lost. A server is checked
//! with each before anything is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::Mutex;

use super::keys::{COMMIT, TRIM};
use super::server;
use super::settings::RedisSettings;

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

/// A connection to one server.
pub(super) struct Link {
    client: Client,
    settings: RedisSettings,
    live: Mutex<Option<Live>>,
    connects: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Live {
    /// Tells it from the connections before and after it.
    number: u64,
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
    /// `connects` counts connections, over all links that share it.
    pub(super) fn new(client: Client, settings: RedisSettings, connects: Arc<AtomicU64>) -> Self {
        Self { client, settings, live: Mutex::default(), connects }
    }

    /// Sends a request once.
    pub(super) async fn ask_once<T: FromRedisValue>(&self, request: &Cmd, purpose: Purpose) -> Result<T, Trouble> {
        let live = self.live().await?;
        let number = live.number;
        let outcome = self.send(live, request, purpose).await;
        if outcome.is_err() {
            // Whatever went wrong, the next connection is checked from the start. Another
            // request may have made it already.
            let mut slot = self.live.lock().await;
            if slot.as_ref().is_some_and(|live| live.number == number) {
                *slot = None;
            }
        }
        outcome
    }

    async fn send<T: FromRedisValue>(&self, mut live: Live, request: &Cmd, purpose: Purpose) -> Result<T, Trouble> {
        let answer = request.query_async(&mut live.connection).await.map_err(|e| Trouble::of_request(&e))?;
        if purpose == Purpose::Read {
            return Ok(answer);
        }
        // They give up a little before we would stop listening.
        let patience_ms = (self.settings.reply_timeout_ms * 9 / 10).max(1);
        if live.sync == DiskSync::Waited {
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(0).arg(patience_ms);
            let (synced, _replicas): (u64, u64) =
                wait.query_async(&mut live.connection).await.map_err(|e| Trouble::of_request(&e))?;
            if synced == 0 {
                return Err(Trouble::Passes(format!("the server did not sync within {patience_ms} ms")));
            }
        }
        let wanted = self.settings.replicas_min;
        if wanted > 0 {
            let mut wait = redis::cmd("WAIT");
            wait.arg(wanted).arg(patience_ms);
            let reached: u64 = wait.query_async(&mut live.connection).await.map_err(|e| Trouble::of_request(&e))?;
            if reached < u64::from(wanted) {
                let reason = format!("{reached} replicas have the write, hot.redis.replicas_min is {wanted}");
                return Err(Trouble::Passes(reason));
            }
        }
        Ok(answer)
    }

    async fn live(&self) -> Result<Live, Trouble> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref() {
            return Ok(live.clone());
        }
        let mut connection = connect(&self.client, &self.settings).await?;
        let sync = server::check(&mut connection, &self.settings).await?;
        for script in [&*COMMIT, &*TRIM] {
            script.load_async(&mut connection).await.map_err(|e| Trouble::of_connecting(&e))?;
        }
        let number = self.connects.fetch_add(1, Ordering::AcqRel) + 1;
        let live = Live { number, connection, sync };
        *slot = Some(live.clone());
        Ok(live)
    }
}

/// A connection that nothing is known of yet.
pub(super) async fn connect(client: &Client, settings: &RedisSettings) -> Result<MultiplexedConnection, Trouble> {
    let limit = Duration::from_millis(settings.connect_timeout_ms.max(1));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(Duration::from_millis(settings.reply_timeout_ms.max(1))));
    tokio::time::timeout(limit, client.get_multiplexed_async_connection_with_config(&config))
        .await
        .map_err(|_| Trouble::Passes(format!("no connection within {limit:?}")))?
        .map_err(|e| Trouble::of_connecting(&e))
}

impl Trouble {
    /// What happened.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Passes(reason) | Self::Lasts(reason) => reason,
        }
    }

    /// What a request's error means. Codes that are not named here may have come
    /// from half a script: nobody knows what it has written.
    fn of_request(error: &RedisError) -> Self {
        use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoScript, ReadOnly, TryAgain};
        let passes = match error.kind() {
            ErrorKind::Io => true,
            // A slot that is being moved is waited for.
            ErrorKind::Server(Ask | Moved | TryAgain) => true,
            ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | NoScript | ReadOnly) => true,
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
