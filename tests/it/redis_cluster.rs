//! Redis Cluster: three masters with a replica each, real servers on loopback.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, free_port, pause, wait_for};
use crate::two_gateways::{Compared, House, Load, import, ranges};

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
            let server =
                RedisServer::start_in(tempfile::tempdir().unwrap(), &[&common[..], &quick, arguments].concat());
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
        let ready = || {
            cluster.nodes.iter().all(|node| {
                let info = node.say("CLUSTER INFO").unwrap_or_default();
                let replication = node.say("INFO replication").unwrap_or_default();
                info.contains("cluster_state:ok")
                    && !replication.contains("master_link_status:down")
                    && (replication.contains("role:slave") || replication.contains("connected_slaves:1"))
            })
        };
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

    /// Kills a master, waits until its replica has taken over, and starts it again.
    fn fail_over(&mut self, master: usize) {
        self.nodes[master].kill();
        wait_for("a replica to take over", Duration::from_secs(20), || self.masters().len() == 3, String::new);
        pause(500);
        self.nodes[master].run();
    }

    /// Where every node listens, as `hot.redis.nodes` has it.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }
}

/// Two gateways on a cluster under load, and what was done to it meanwhile: what does not agree
/// at the end, and how many losses the gateways have reported.
fn under_load(disturb: impl FnOnce(&mut RedisCluster)) -> (Compared, i64) {
    let mut cluster = RedisCluster::start(&[]);
    let nodes: Vec<String> = cluster.addresses().iter().map(|address| format!("\"{address}\"")).collect();
    let (url, nodes) = (cluster.url(), format!("[{}]", nodes.join(", ")));
    let house = House::new(&[("LINEGATE__HOT__URL", url.as_str()), ("LINEGATE__HOT__REDIS__NODES", nodes.as_str())]);
    let [gy, modems_a, modems_b] = ranges();
    let ranges = [&gy, &modems_a, &modems_b];
    let names = ["gateway-a", "gateway-b"];
    let mut running = Vec::new();
    let mut loads = Vec::new();
    for (name, modems) in names.into_iter().zip([&modems_a, &modems_b]) {
        let ports = Ports::free();
        let gateway = house.start(name, ports);
        if running.is_empty() {
            ranges.iter().for_each(|range| import(&gateway, range));
        }
        loads.push(house.load(name, ports, &gy, modems));
        running.push(gateway);
        // Sessions are named after the second.
        pause(1100);
    }
    let before: u64 = loads.iter().map(Load::acknowledged).sum();
    disturb(&mut cluster);
    let goes_on = || loads.iter().map(Load::acknowledged).sum::<u64>() > before + 200;
    wait_for("usage to go on", Duration::from_secs(30), goes_on, || running[0].tail());
    pause(1000);
    let files: Vec<_> = loads.iter().map(|load| load.file.clone()).collect();
    for load in loads {
        let sent = load.finish(&house);
        println!("{} acknowledged, {} unknown, {:?}", sent.acknowledged, sent.unknown, sent.result_codes);
    }
    let of_all: Vec<&Gateway> = running.iter().collect();
    let compared = house.compare(&of_all, &ranges, &files);
    let reported: i64 = running.iter().map(|gateway| gateway.metric("linegate_hot_losses_total")).sum();
    println!("{reported} losses are reported");
    assert!(reported > 0 || compared == Compared::default(), "there is a loss, and nobody says so");
    for gateway in running {
        assert_eq!(gateway.terminate(), Some(0));
    }
    (compared, reported)
}

#[test]
fn a_master_killed_in_mid_batch_loses_nothing_that_is_not_reported() {
    under_load(|cluster| cluster.fail_over(cluster.masters()[1]));
}

#[test]
fn a_failover_that_loses_acknowledged_writes_is_reported() {
    let (compared, reported) = under_load(|cluster| {
        let master = cluster.masters()[1];
        // Its replica hears nothing more of it, and takes over all the same.
        let port = cluster.nodes[master].address.port();
        let of_master = |node: &&RedisServer| {
            node.say("ROLE").is_some_and(|role| role.contains("slave") && role.contains(&format!(":{port}\r\n")))
        };
        let replica = cluster.nodes.iter().find(of_master).unwrap();
        replica.say("CONFIG SET masteruser nobody masterauth nothing").unwrap();
        replica.say("CLIENT KILL TYPE master").unwrap();
        pause(1000);
        cluster.fail_over(master);
    });
    assert!(compared != Compared::default() && reported > 0, "{compared:?}, {reported} reported");
}
