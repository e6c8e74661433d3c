//! The relational store on PostgreSQL 15 or newer, which several gateways share.
//!
//! Owns the SQL and the database's format. Each gateway gathers the saves that
//! wait into one transaction ([`writer`]); reads go through a pool beside it.
//! What is due is given to one gateway at a time ([`claim`]).
//!
//! Invariants: a save that returned `Ok` is on the server's disk; sequences of
//! events rise in the order of the commits; one database holds one store; SQL is
//! in this folder and SQLite's, nowhere else.

mod apply;
mod claim;
mod error;
mod open;
mod read_billing;
mod read_devices;
mod read_lines;
mod read_orders;
mod read_outbox;
mod read_tariffs;
mod read_work;
mod row;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use sqlx::PgPool;
use sqlx::postgres::PgSslMode;

use crate::adapters::save_queue::{QueueLimits, SAVE, SaveQueue, WRITER_GONE, WriterGone};
use crate::adapters::usage_rows::PartCache;
use crate::ports::relational::{Relational, Stored, Write};

use claim::Claim;
use error::Faults;
use writer::Writer;

/// Limits of the store. Section `[relational.postgres]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// Connections of this gateway, at least 2: one writes, the others read.
    pub connections_max: u32,
    /// How long to wait for the server's answer at the start, or for a connection, milliseconds.
    pub connect_timeout_ms: u64,
    /// How long one statement may take, or one transaction stand still, milliseconds.
    pub statement_timeout_ms: u64,
    /// Whether the connection is in TLS, and what is checked.
    pub tls: PostgresTls,
    /// PEM file of authorities that are trusted beside the system's; may be empty.
    pub tls_ca_file: PathBuf,
    /// Saves that may wait for the writer, at least 1.
    pub queue_saves: usize,
    /// Saves in one commit, at least 1. More than 64 slow the server's other
    /// connections down: it keeps that many savepoints of a transaction at hand.
    pub batch_saves: usize,
    /// Tries of a commit that had to give way to another gateway's, beside the first.
    pub retries_max: u32,
    /// Lines, by plan and cycle, whose place in usage the writer keeps in memory, at least 1;
    /// about 150 bytes each.
    pub usage_parts_cached: usize,
    /// How long a due saga or message is this gateway's before others may take it, seconds.
    pub claim_s: u32,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connections_max: 8,
            connect_timeout_ms: 5000,
            statement_timeout_ms: 30_000,
            tls: PostgresTls::Prefer,
            tls_ca_file: PathBuf::new(),
            queue_saves: 1024,
            batch_saves: 64,
            retries_max: 5,
            usage_parts_cached: 200_000,
            claim_s: 60,
        }
    }
}

/// TLS towards the server, by libpq's names (`sslmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostgresTls {
    /// Plain.
    Disable,
    /// TLS where the server has it; nothing is checked.
    Prefer,
    /// TLS or nothing; the certificate is not checked.
    Require,
    /// The certificate has to come from a known authority.
    VerifyCa,
    /// And has to be the host's.
    VerifyFull,
}

impl From<PostgresTls> for PgSslMode {
    fn from(tls: PostgresTls) -> Self {
        match tls {
            PostgresTls::Disable => Self::Disable,
            PostgresTls::Prefer => Self::Prefer,
            PostgresTls::Require => Self::Require,
            PostgresTls::VerifyCa => Self::VerifyCa,
            PostgresTls::VerifyFull => Self::VerifyFull,
        }
    }
}

/// Who a gateway is among those that share the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// Its name, the same after each start; holds its claims.
    pub gateway: String,
    /// Name of the hot log that it drains: each log has a cursor of its own.
    pub hot_log: String,
}

/// The store. Dropping it lets the writer finish what waits; [`Self::close`]
/// waits for that.
#[derive(Debug)]
pub struct PostgresStore {
    reads: PgPool,
    saves: SaveQueue,
    faults: Faults,
    claim: Claim,
    hot_log: String,
}

impl PostgresStore {
    /// Connects to `postgres://user@host:port/database`, and makes the tables in
    /// an empty one.
    ///
    /// # Errors
    /// `Broken` when the server lets nobody in, is older than 15, a standby, or
    /// the database is another program's or has a newer format; `Transient` when
    /// it cannot be reached within `connect_timeout_ms`.
    pub async fn open(url: &str, settings: PostgresSettings, sharer: Sharer) -> Stored<Self> {
        let opened = open::open(url, &settings).await?;
        let Sharer { gateway, hot_log } = sharer;
        let claim = Claim { holder: gateway, seconds: i64::from(settings.claim_s) };
        let writer = Writer {
            pool: opened.writes,
            faults: opened.faults.clone(),
            claim: claim.clone(),
            hot_log: hot_log.clone(),
            retries: settings.retries_max,
            parts: PartCache::new(settings.usage_parts_cached),
        };
        let limits = QueueLimits {
            saves: settings.queue_saves,
            batch: settings.batch_saves,
            patience: Duration::from_millis(settings.connect_timeout_ms),
        };
        let saves = SaveQueue::start(writer, limits);
        Ok(Self { reads: opened.reads, saves, faults: opened.faults, claim, hot_log })
    }

    /// Carries out what waits, gives claims back and lets go of the server. Saves
    /// and reads fail afterwards.
    pub async fn close(&self) {
        self.reads.close().await;
        self.saves.close().await;
    }
}

#[async_trait]
impl Relational for PostgresStore {
    async fn save(&self, writes: Vec<Write>) -> Stored<()> {
        let outcome = self.saves.save(writes).await;
        outcome.unwrap_or_else(|WriterGone| Err(self.faults.broken(SAVE, WRITER_GONE)))
    }
}
