//! Charging: brings each request to the shard that owns its account.
