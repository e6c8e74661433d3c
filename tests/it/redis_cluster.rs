//! Redis Cluster: three masters with a replica each, real servers on loopback.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use linegate::adapters::redis::RedisSettings;
use linegate::ports::hot::HotStore;

use crate::books::{Compared, Lines, Load, import};
use crate::contract_hot::{batch, change, logged, owned, states};
use crate::redis_hot::{RedisServer, Tls, open_at};
use crate::support::{Gateway, Ports, free_port, pause, wait_for};
use crate::two_gateways::House;

/// Six servers that end with the test.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
    /// Where the first one takes clients, in TLS where the cluster speaks it.
    port: u16,
}

/// Nodes tell clients a name that is in their certificate.
fn of_tls_cluster() -> Vec<String> {
    let options = ["--tls-cluster", "yes", "--tls-replication", "yes", "--cluster-announce-hostname", "localhost"];
    let all = options.into_iter().chain(["--cluster-preferred-endpoint-type", "hostname"]);
    all.map(str::to_owned).collect()
}

impl RedisCluster {
    /// Starts one, with more arguments for each server.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, None)
    }

    /// Likewise; nodes speak TLS with one another, too, where `tls` says so.
    fn start_with(arguments: &[&str], tls: Option<&Tls>) -> Self {
        let node = |_| {
            let (bus, tls_port) = (free_port().port(), free_port().port());
            let bus_text = bus.to_string();
            let common = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus_text];
            let quick = ["--appendfsync", "always", "--repl-diskless-sync-delay", "0"];
            let of_tls = tls.map(|tls| [tls.of_server(tls_port), of_tls_cluster()].concat()).unwrap_or_default();
            let of_tls: Vec<&str> = of_tls.iter().map(String::as_str).collect();
            let all = [&common[..], &quick, arguments, &of_tls].concat();
            let server = RedisServer::start_in(tempfile::tempdir().unwrap(), &all);
            let port = if tls.is_some() { tls_port } else { server.address.port() };
            (server, (port, bus))
        };
        let (nodes, ports): (Vec<RedisServer>, Vec<(u16, u16)>) = (0..6).map(node).unzip();
        let made = Command::new("redis-cli")
            .args(tls.map(Tls::of_client).unwrap_or_default())
            .args(["--cluster", "create"])
            .args(ports.iter().map(|(port, bus)| format!("127.0.0.1:{port}@{bus}")))
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap_or_else(|e| panic!("redis-cli: {e}; ./tests/run installs it"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let cluster = Self { nodes, port: ports[0].0 };
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
    let mut running = Vec::new();
    let mut loads = Vec::new();
    for (n, name) in ["gateway-a", "gateway-b"].into_iter().enumerate() {
        let (ports, lines) = (Ports::free(), Lines::of(n as u64, 8));
        let gateway = house.start(name, ports);
        match n {
            0 => lines.import(&gateway),
            _ => import(&gateway, &lines.modems),
        }
        loads.push(house.load(name, ports, &lines));
        running.push(gateway);
        // Sessions are named after the second.
        pause(1100);
    }
    let before: u64 = loads.iter().map(Load::acknowledged).sum();
    disturb(&mut cluster);
    let goes_on = || loads.iter().map(Load::acknowledged).sum::<u64>() > before + 200;
    wait_for("usage to go on", Duration::from_secs(30), goes_on, || running[0].tail());
    pause(1000);
    let sent: Vec<_> = loads.into_iter().map(|load| load.finish(&house.runtime)).collect();
    let of_all: Vec<&Gateway> = running.iter().collect();
    let compared = house.compare(&of_all, &sent);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_few_rights_reaches_a_cluster_in_tls_through_a_failover() {
    let tls = Tls::new();
    let mut cluster = RedisCluster::start_with(&[], Some(&tls));
    let rights =
        "~linegate:{s*}:* +@read +@write +@scripting +@connection +info +config|get +cluster|slots +cluster|keyslot";
    for node in &cluster.nodes {
        assert_eq!(node.say(&format!("ACL SETUSER gateway on >secret {rights}")).as_deref(), Some("+OK\r\n"));
    }
    let url = |password| format!("rediss://gateway:{password}@localhost:{}/", cluster.port);
    let settings = tls.settings();
    let wrong = open_at(&url("wrong"), settings.clone()).await.err().unwrap().to_string();
    assert!(wrong.contains("authentication failed"), "{wrong}");
    let strange = RedisSettings { prefix: "another".to_owned(), ..settings.clone() };
    let refused = open_at(&url("secret"), strange).await.err().unwrap().to_string();
    assert!(refused.contains("no permissions"), "{refused}");
    let hot = open_at(&url("secret"), settings).await.unwrap();
    assert_eq!(hot.logs(), 64);
    let names: Vec<String> = (0..20).map(|n| format!("account-{n:02}")).collect();
    let all = |version: u64, state: &str| {
        let of = |name: &String| change(name, version, state, &[&format!("{name}-{version}")]);
        names.iter().map(of).collect::<Vec<_>>()
    };
    hot.commit(&batch(1, all(0, "one"), &[])).await.unwrap();
    cluster.fail_over(cluster.masters()[1]);
    hot.commit(&batch(2, all(1, "two"), &["loose"])).await.unwrap();
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), 2, "two")).collect();
    assert_eq!(states(&hot).await, owned(&expected));
    assert_eq!(logged(&hot, 0).await.len(), 41);
}
