//! Names of the keys, and the scripts that write them.

use std::sync::LazyLock;

use redis::Script;

/// Applies a batch, or one log's part of it.
pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Removes drained entries.
pub(super) static TRIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("trim.lua")));

/// Logs of a store in a Cluster: the slots that accounts have for all time.
pub(super) const LOGS_OF_CLUSTER: usize = 64;

/// The keys of one log and of the accounts that write it. All have the same hash
/// tag: a script's keys have to be on one server.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// Hash: `format`, `position`, `at` (ms) of the newest batch; `records` ever logged, and how
    /// many of them are `trimmed`; in the first log `id`, the store's own name.
    pub(super) meta: String,
    /// Hash: account → version (8 bytes, big-endian) and state.
    pub(super) accounts: String,
    /// Hash: session → account.
    pub(super) sessions: String,
    /// Hash: identifier → the account whose line took it last.
    pub(super) identifiers: String,
    /// Stream: one entry for each batch; its id is `position-0`.
    pub(super) log: String,
    writers: String,
}

impl Keys {
    /// A single server has one log, with the prefix as its tag; a Cluster has 64,
    /// `{s00}` to `{s63}`.
    pub(super) fn new(prefix: &str, log: usize, logs: usize) -> Self {
        let key = |name| match logs {
            1 => format!("{{{prefix}}}:{name}"),
            _ => format!("{prefix}:{{s{log:02}}}:{name}"),
        };
        Self {
            meta: key("meta"),
            accounts: key("accounts"),
            sessions: key("sessions"),
            identifiers: key("identifiers"),
            log: key("log"),
            writers: key("writer"),
        }
    }

    /// String: number, position and outcomes of a writer's newest batch.
    pub(super) fn writer(&self, writer: u64) -> String {
        format!("{}:{writer}", self.writers)
    }
}
