//! Settings of the Redis hot store.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What an acknowledgement is worth when the server or its machine fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// On disk before anybody is answered. The server has to sync every write
    /// (`appendfsync always`), or know WAITAOF (7.2); else it is refused.
    Durable,
    /// The server's memory is enough: about one second of acknowledged usage may
    /// be lost, more where the server keeps no append-only file.
    Relaxed,
}

/// How the server is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSettings {
    /// What an acknowledgement is worth; checked with every connection.
    pub durability: Durability,
    /// What keys begin with. Gateways of one name share accounts.
    pub prefix: String,
    /// PEM file of the authorities of the servers' certificates, for `rediss://`;
    /// empty trusts the system's.
    pub tls_ca_file: PathBuf,
    /// PEM files of our own certificate with its chain, and of its key, where the
    /// servers ask for one; both empty or none.
    pub tls_certificate: PathBuf,
    /// See `tls_certificate`.
    pub tls_key: PathBuf,
    /// More nodes of a Cluster, `host:port`, asked where the one of the URL is away
    /// at the start.
    pub nodes: Vec<String>,
    /// Replicas that have to have a write before it counts (WAIT). 0 waits for none,
    /// and a failover may lose what the replica had not got: that is found out.
    pub replicas_min: u32,
    /// Longest wait for a connection, milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait for a reply, milliseconds; a disk that syncs slowly needs more.
    pub reply_timeout_ms: u64,
    /// First pause before a request is tried again, milliseconds; it doubles.
    pub retry_ms_min: u64,
    /// Longest pause, milliseconds.
    pub retry_ms_max: u64,
    /// How long a request is tried again, milliseconds. After it a write's
    /// outcome counts as unknown, and the process ends.
    pub outage_ms_max: u64,
    /// Records that the log may hold before usage is refused: nothing drains it.
    pub log_records_max: u64,
    /// Accounts that the server looks at in one step when all are loaded.
    pub scan_accounts: usize,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            durability: Durability::Durable,
            prefix: "linegate".to_owned(),
            tls_ca_file: PathBuf::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            nodes: Vec::new(),
            replicas_min: 0,
            connect_timeout_ms: 2000,
            reply_timeout_ms: 5000,
            retry_ms_min: 50,
            retry_ms_max: 1000,
            outage_ms_max: 3_600_000,
            log_records_max: 20_000_000,
            scan_accounts: 1000,
        }
    }
}
