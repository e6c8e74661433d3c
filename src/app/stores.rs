//! Which engines the settings name, opened.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::folder;
use crate::adapters::fjall::FjallHot;
use crate::adapters::postgres::{PostgresStore, Sharer};
use crate::adapters::redis::RedisHot;
use crate::adapters::sqlite::SqliteStore;
use crate::config::Config;
use crate::ports::hot::HotStore;
use crate::ports::relational::{Relational, Write};
use crate::ports::{Clock, Ids};

/// The relational store, which has to be closed at the end.
pub enum RelationalStore {
    /// A file of this gateway.
    Sqlite(Arc<SqliteStore>),
    /// A server that gateways share.
    Postgres(Arc<PostgresStore>),
}

impl RelationalStore {
    /// Opens what `relational.url` names.
    pub async fn open(config: &Config, clock: &dyn Clock, ids: &dyn Ids) -> anyhow::Result<Self> {
        const OPENED: &str = "open the relational store";
        let url = config.relational.url.as_str();
        match url.split_once(':') {
            Some(("sqlite", place)) => {
                let url = match place {
                    "" => format!("sqlite:{}", config.data.folder.join("linegate.sqlite").display()),
                    _ => url.to_owned(),
                };
                let store = SqliteStore::open(&url, config.relational.sqlite.clone()).await.context(OPENED)?;
                Ok(Self::Sqlite(Arc::new(store)))
            }
            Some(("postgres" | "postgresql", _)) => {
                let sharer = Sharer {
                    gateway: config.diameter.origin_host.clone(),
                    hot_log: match is_redis(config) {
                        true => redis_name(config),
                        // The hot log is this folder's own, whatever the gateway is called.
                        false => folder::id(&config.data.folder, &ids.fresh(clock.now()))?,
                    },
                };
                let store =
                    PostgresStore::open(url, config.relational.postgres.clone(), sharer).await.context(OPENED)?;
                Ok(Self::Postgres(Arc::new(store)))
            }
            // What follows the scheme may be a password.
            _ => bail!(
                "settings: relational.url: expected sqlite:, sqlite:/path/file.db or postgres://user@host:5432/database"
            ),
        }
    }

    /// As services see it.
    pub fn port(&self) -> Arc<dyn Relational> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres(store) => Arc::clone(store) as _,
        }
    }

    /// Carries out what waits and lets go; calls fail afterwards.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

fn is_redis(config: &Config) -> bool {
    matches!(config.hot.url.split_once(':'), Some(("redis" | "rediss", _)))
}

/// What gateways on one Redis call their log. Which Redis that is, its own id says.
fn redis_name(config: &Config) -> String {
    format!("redis/{}", config.hot.redis.prefix)
}

/// A hot store with a name of its own belongs to the relational store that was first
/// used with it: another one's log would be taken for drained.
pub async fn check_pair(config: &Config, hot: &dyn HotStore, relational: &dyn Relational) -> anyhow::Result<()> {
    let Some(id) = hot.id() else { return Ok(()) };
    let key = format!("hot-store/{}", redis_name(config));
    match relational.meta(&key).await.context("read the hot store's id")? {
        None => Ok(relational.save(vec![Write::Meta(key, id.to_owned())]).await.context("keep the hot store's id")?),
        Some(known) if known == id => Ok(()),
        Some(known) => bail!(
            "hot.url leads to a Redis whose store has the id {id}, and the relational store was used with {known}: \
             restore both from one backup, or name the right ones"
        ),
    }
}

/// Opens what `hot.url` names.
pub async fn open_hot(config: &Config, clock: &dyn Clock, ids: &dyn Ids) -> anyhow::Result<Arc<dyn HotStore>> {
    const OPENED: &str = "open the hot store";
    let url = config.hot.url.as_str();
    match url.split_once(':') {
        Some(("fjall", "")) => {
            let folder = config.data.folder.join("hot");
            Ok(Arc::new(FjallHot::open(Path::new(&folder), config.hot.fjall.clone()).context(OPENED)?))
        }
        Some(("redis" | "rediss", _)) => {
            let fresh_id = ids.fresh(clock.now());
            Ok(Arc::new(RedisHot::open(url, config.hot.redis.clone(), &fresh_id).await.context(OPENED)?))
        }
        // Only the scheme: the rest may hold a password.
        scheme => bail!(
            "settings: hot.url: `{}:…`: expected fjall:, redis://… or rediss://…",
            scheme.map_or("", |(scheme, _)| scheme)
        ),
    }
}
