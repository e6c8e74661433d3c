//! Redis Cluster: three masters with a replica each, real servers on loopback.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::redis_hot::RedisServer;
use crate::support::{free_port, wait_for};

/// Six servers that end with the test.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one, with more arguments for each server.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let node = |_| {
            let bus = free_port().port();
            let bus_text = bus.to_string();
            let common = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus_text];
            let quick = ["--appendfsync", "always", "--repl-diskless-sync-delay", "0"];
            let server = RedisServer::start_in(tempfile::tempdir().unwrap(), &[&common[..], &quick, arguments].concat());
            (server, bus)
        };
        let (nodes, buses): (Vec<RedisServer>, Vec<u16>) = (0..6).map(node).unzip();
        let addresses = nodes.iter().zip(buses).map(|(node, bus)| format!("{}@{bus}", node.address));
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap_or_else(|e| panic!("redis-cli: {e}; ./tests/run installs it"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let cluster = Self { nodes };
        let ready = || cluster.nodes.iter().all(|node| {
            let info = node.say("CLUSTER INFO").unwrap_or_default();
            let replication = node.say("INFO replication").unwrap_or_default();
            info.contains("cluster_state:ok") && !replication.contains("master_link_status:down")
                && (replication.contains("role:slave") || replication.contains("connected_slaves:1"))
        });
        wait_for("the cluster to be ready", Duration::from_secs(30), ready, String::new);
        cluster
    }

    pub(crate) fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// Places of the masters at this moment.
    pub(crate) fn masters(&self) -> Vec<usize> {
        let is_master = |node: &RedisServer| node.say("ROLE").is_some_and(|role| role.contains("master"));
        (0..self.nodes.len()).filter(|at| is_master(&self.nodes[*at])).collect()
    }

    /// Where every node listens, as `hot.redis.nodes` has it.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }
}
