//! Names of the keys, and the scripts that write them.

use std::sync::LazyLock;

use redis::Script;

/// Applies a batch.
pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Removes drained entries.
pub(super) static TRIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("trim.lua")));

/// Every key has the prefix as its hash tag: a batch is one script, and a script's
/// keys have to be on one server.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// Hash: `format`, `position`, `at` (ms) of the newest batch; `records` ever logged, and how
    /// many of them are `trimmed`.
    pub(super) meta: String,
    /// Hash: account → version (8 bytes, big-endian) and state.
    pub(super) accounts: String,
    /// Hash: session → account.
    pub(super) sessions: String,
    /// Stream: one entry for each batch; its id is `position-0`.
    pub(super) log: String,
    writers: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let key = |name| format!("{{{prefix}}}:{name}");
        Self {
            meta: key("meta"),
            accounts: key("accounts"),
            sessions: key("sessions"),
            log: key("log"),
            writers: key("writer"),
        }
    }

    /// String: number, position and outcomes of a writer's newest batch.
    pub(super) fn writer(&self, writer: u64) -> String {
        format!("{}:{writer}", self.writers)
    }
}
