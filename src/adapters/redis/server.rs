//! What a server has to be before accounts are trusted to it.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, InfoDict};

use super::link::{DiskSync, Trouble};
use super::settings::{Durability, RedisSettings};

/// Oldest server: flags of scripts came with it.
const VERSION_MIN: (u32, u32) = (7, 0);

/// First server with WAITAOF.
const VERSION_WAITAOF: (u32, u32) = (7, 2);

/// Checks a server before its first use, and says how writes get to its disk.
/// What cannot be trusted is refused by name; what is only starting passes.
pub(super) async fn check(
    connection: &mut MultiplexedConnection,
    settings: &RedisSettings,
) -> Result<DiskSync, Trouble> {
    let info: InfoDict = redis::cmd("INFO").query_async(connection).await.map_err(|e| Trouble::of_connecting(&e))?;
    let text = |name: &str| info.get::<String>(name).unwrap_or_default();
    if text("loading") == "1" {
        return Err(Trouble::Passes("the server is loading its data".to_owned()));
    }
    let version = version(&text("redis_version"));
    if version < VERSION_MIN {
        return refuse(format!("the server has version {}; it has to be 7.0 or newer", text("redis_version")));
    }
    if text("role") != "master" {
        return Err(Trouble::Passes("the server is a replica, and takes no writes".to_owned()));
    }
    if text("maxmemory") != "0" && text("maxmemory_policy") != "noeviction" {
        let policy = text("maxmemory_policy");
        return refuse(format!(
            "the server throws accounts away when memory is short: set maxmemory-policy noeviction, not {policy}"
        ));
    }
    match settings.durability {
        Durability::Relaxed => Ok(DiskSync::Implied),
        Durability::Durable if text("aof_enabled") != "1" => {
            refuse(durable_needs("appendonly yes and appendfsync always", "appendonly is no"))
        }
        Durability::Durable => judge_fsync(&appendfsync(connection).await?, version),
    }
}

fn judge_fsync(appendfsync: &str, version: (u32, u32)) -> Result<DiskSync, Trouble> {
    match appendfsync {
        "always" => Ok(DiskSync::Implied),
        "everysec" if version >= VERSION_WAITAOF => Ok(DiskSync::Waited),
        other => refuse(durable_needs("appendfsync always", &format!("appendfsync is {other}"))),
    }
}

fn durable_needs(needed: &str, found: &str) -> String {
    format!(
        "hot.redis.durability is durable, and the server loses what it has acknowledged: {found}; set {needed} there, \
         or hot.redis.durability = \"relaxed\""
    )
}

async fn appendfsync(connection: &mut MultiplexedConnection) -> Result<String, Trouble> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    let answer: Result<HashMap<String, String>, _> = ask.query_async(connection).await;
    match answer {
        Ok(mut found) => Ok(found.remove("appendfsync").unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::Io => Err(Trouble::Passes(error.to_string())),
        Err(error) => refuse(format!(
            "the server does not tell its appendfsync ({error}): let this user CONFIG GET, or set \
             hot.redis.durability = \"relaxed\""
        )),
    }
}

fn refuse<T>(reason: String) -> Result<T, Trouble> {
    Err(Trouble::Lasts(reason))
}

/// Major and minor; what cannot be read is older than everything.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durable_takes_a_server_that_syncs_or_can_be_waited_for() {
        let judged = |fsync, text| judge_fsync(fsync, version(text)).ok();
        assert_eq!(judged("always", "7.0.15"), Some(DiskSync::Implied));
        assert_eq!(judged("everysec", "7.0.15"), None);
        assert_eq!(judged("everysec", "7.2.0"), Some(DiskSync::Waited));
        assert_eq!(judged("everysec", "8.0.1"), Some(DiskSync::Waited));
        assert_eq!(judged("no", "7.2.0"), None);
        assert_eq!(judged("always", "7.2.0"), Some(DiskSync::Implied));
    }
}
