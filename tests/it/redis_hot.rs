//! The hot store on a real redis-server: what the contract cannot ask of every
//! store. Lost replies, restarts, outages, and servers that cannot be trusted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use linegate::adapters::redis::{Durability, RedisHot, RedisSettings};
use linegate::domain::ids::AccountId;
use linegate::domain::time::Timestamp;
use linegate::ports::hot::{Change, HotError, HotStore};
use linegate::telemetry::metrics;

use crate::contract_hot::{batch, change, logged, owned, states};
use crate::diameter_node::certificates;
use crate::proxy::Proxy;
use crate::support::{Gateway, Ports, Running, free_port, pause, signal, tail, wait_for};

/// A redis-server of this test: Debian's, or the one that `LINEGATE_TEST_REDIS_SERVER` names.
pub(crate) struct RedisServer {
    process: Option<Running>,
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// Starts one with an append-only file.
    pub(crate) fn start(appendfsync: &'static str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &["--appendfsync", appendfsync])
    }

    pub(crate) fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut server = Self { process: None, address: free_port(), arguments, folder };
        server.run();
        server
    }

    pub(crate) fn run(&mut self) {
        let log = self.folder.path().join("redis.log");
        let program = std::env::var_os("LINEGATE_TEST_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--dir"])
            .arg(self.folder.path())
            .args(&self.arguments);
        self.process = Some(Running::start("redis-server", &mut command, &log));
        let ready = || self.say("PING").is_some_and(|answer| answer.starts_with("+PONG"));
        wait_for("redis-server to be ready", Duration::from_secs(20), ready, || tail(&log));
    }

    /// SIGKILL, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// SIGSTOP: it is there and says nothing.
    pub(crate) fn freeze(&self) {
        signal(self.process.as_ref().unwrap().pid(), "STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        signal(self.process.as_ref().unwrap().pid(), "CONT");
    }

    /// SIGKILL, and up again on the same files.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// One command on its own connection; the start of the raw answer.
    pub(crate) fn say(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

/// A certificate for `localhost`, which servers and clients show one another.
pub(crate) struct Tls(tempfile::TempDir);

impl Tls {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path(), &["localhost"]);
        Self(folder)
    }

    /// Certificate, key, and the authority's certificate.
    fn files(&self) -> [String; 3] {
        ["localhost.pem", "localhost.key", "ca.pem"].map(|name| self.0.path().join(name).display().to_string())
    }

    /// Options of a server that speaks TLS on a port of its own.
    pub(crate) fn of_server(&self, port: u16) -> Vec<String> {
        let [certificate, key, authority] = self.files();
        let named = [("port", port.to_string()), ("auth-clients", "yes".to_owned())];
        let files = [("cert-file", certificate), ("key-file", key), ("ca-cert-file", authority)];
        named.into_iter().chain(files).flat_map(|(name, value)| [format!("--tls-{name}"), value]).collect()
    }

    /// Options of redis-cli.
    pub(crate) fn of_client(&self) -> Vec<String> {
        let [certificate, key, authority] = self.files();
        ["--tls", "--cert", &certificate, "--key", &key, "--cacert", &authority].map(str::to_owned).to_vec()
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        let [tls_certificate, tls_key, tls_ca_file] = self.files().map(Into::into);
        RedisSettings { tls_certificate, tls_key, tls_ca_file, ..RedisSettings::default() }
    }
}

pub(crate) async fn open_at(url: &str, settings: RedisSettings) -> Result<RedisHot, HotError> {
    RedisHot::open(url, settings, "store-of-the-test").await
}

pub(crate) async fn open_redis(server: &RedisServer) -> RedisHot {
    open_at(&server.url(), RedisSettings::default()).await.unwrap()
}

async fn refusal(server: &RedisServer, settings: RedisSettings) -> String {
    match open_at(&server.url(), settings).await {
        Ok(_) => panic!("the server was taken"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_batch_whose_reply_was_lost_is_applied_once() {
    let server = RedisServer::start("always");
    let wire = Proxy::to(server.address);
    let hot = open_at(&format!("redis://{}/", wire.address), RedisSettings::default()).await.unwrap();
    hot.commit(&batch(1, vec![change("a", 0, "a1", &["r1"])], &[])).await.unwrap();
    wire.lose_reply();
    let mixed = vec![change("a", 1, "a2", &["r2"]), change("a0", 4, "stale", &["lost"])];
    let committed = hot.commit(&batch(2, mixed, &["loose"])).await.unwrap();
    assert!(!wire.loses_reply(), "no reply was lost");
    assert_eq!(committed.changes, [Change::Applied, Change::Conflict]);
    assert_eq!(committed.position, 2000, "positions follow the time");
    assert_eq!(logged(&hot, 0).await, ["r1", "r2", "loose"]);
    assert_eq!(states(&hot).await, owned(&[("a", 2, "a2")]));
}

#[tokio::test]
async fn a_batch_that_was_overtaken_is_refused() {
    let server = RedisServer::start("always");
    let hot = open_redis(&server).await;
    for number in 1..=2 {
        hot.commit(&batch(number, vec![], &["r"])).await.unwrap();
    }
    let late = hot.commit(&batch(1, vec![], &["r"])).await.unwrap_err();
    assert!(
        matches!(late, HotError::Fatal { .. }) && late.to_string().contains("batch 1 came after batch 2"),
        "{late}"
    );
    assert_eq!(logged(&open_redis(&server).await, 0).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_between_two_commits_is_waited_for_and_loses_nothing() {
    let mut server = RedisServer::start("always");
    let hot = Arc::new(open_redis(&server).await);
    hot.commit(&batch(1, vec![change("a", 0, "a1", &["r1"])], &[])).await.unwrap();
    server.kill();
    let (of_task, next) = (Arc::clone(&hot), batch(2, vec![change("a", 1, "a2", &["r2"])], &[]));
    let commit = tokio::spawn(async move { of_task.commit(&next).await });
    wait_for("intake to be refused", Duration::from_secs(10), || hot.refuses().is_some(), String::new);
    pause(300);
    assert!(!commit.is_finished(), "nobody is answered while the server is away");
    server.run();
    assert_eq!(commit.await.unwrap().unwrap().changes, [Change::Applied]);
    assert_eq!(states(hot.as_ref()).await, owned(&[("a", 2, "a2")]));
    assert_eq!(logged(hot.as_ref(), 0).await, ["r1", "r2"]);
    assert_eq!(hot.refuses(), None);
    assert_eq!(open_redis(&server).await.last_commit_at(), Some(Timestamp(2)));
}

#[tokio::test]
async fn an_outage_past_its_bound_leaves_the_outcome_unknown() {
    let mut server = RedisServer::start("always");
    let settings = RedisSettings { outage_ms_max: 200, ..RedisSettings::default() };
    let hot = open_at(&server.url(), settings).await.unwrap();
    hot.commit(&batch(1, vec![], &["r1"])).await.unwrap();
    server.kill();
    let read = hot.account(&AccountId::from("a")).await.unwrap_err();
    assert!(matches!(read, HotError::Transient { .. }), "{read}");
    let write = hot.commit(&batch(2, vec![], &["r2"])).await.unwrap_err();
    assert!(matches!(write, HotError::Fatal { .. }) && write.to_string().contains("outage_ms_max"), "{write}");
    server.run();
    hot.commit(&batch(2, vec![], &["r2"])).await.expect_err("the store takes no more writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_memory_is_waited_for_and_its_log_can_be_trimmed() {
    let server = RedisServer::start("always");
    let hot = Arc::new(open_redis(&server).await);
    hot.commit(&batch(1, vec![], &["r1"])).await.unwrap();
    server.say("CONFIG SET maxmemory 1").unwrap();
    let of_task = Arc::clone(&hot);
    let commit = tokio::spawn(async move { of_task.commit(&batch(2, vec![], &["r2"])).await });
    wait_for("intake to be refused", Duration::from_secs(10), || hot.refuses().is_some(), String::new);
    hot.drained_through(0, 1000).await.unwrap();
    assert!(!commit.is_finished());
    server.say("CONFIG SET maxmemory 0").unwrap();
    commit.await.unwrap().unwrap();
    assert_eq!(logged(hot.as_ref(), 0).await, ["r2"]);
}

#[tokio::test]
async fn a_server_that_lost_acknowledged_writes_is_found_out() {
    let server = RedisServer::start("always");
    let hot = open_redis(&server).await;
    for n in 1..=3 {
        hot.commit(&batch(n, vec![change("a", n - 1, "a", &["r"])], &[])).await.unwrap();
    }
    let before = metrics().hot_losses.get();
    server.say("FLUSHALL").unwrap();
    let changes = vec![change("a", 3, "a", &["r4"]), change("b", 0, "b1", &["r5"])];
    let committed = hot.commit(&batch(4, changes, &[])).await.unwrap();
    assert_eq!(committed.changes, [Change::Conflict, Change::Applied]);
    assert_eq!(committed.position, 4000, "positions go on: the drain has passed the old ones");
    assert_eq!(metrics().hot_losses.get(), before + 1);
    hot.commit(&batch(5, vec![change("a", 0, "a1", &[])], &[])).await.unwrap();
    assert_eq!(metrics().hot_losses.get(), before + 1, "it is reported once");
}

#[tokio::test]
async fn durable_refuses_a_server_that_does_not_sync_every_write() {
    let server = RedisServer::start("no");
    let reason = refusal(&server, RedisSettings::default()).await;
    assert!(reason.contains("appendfsync is no") && reason.contains("set appendfsync always"), "{reason}");
    let relaxed = RedisSettings { durability: Durability::Relaxed, ..RedisSettings::default() };
    let hot = open_at(&server.url(), relaxed).await.unwrap();
    hot.commit(&batch(1, vec![], &["r1"])).await.unwrap();
    assert_eq!(metrics().hot_relaxed.get(), 1);
    server.say("CONFIG SET appendonly no").unwrap();
    let reason = refusal(&server, RedisSettings::default()).await;
    assert!(reason.contains("appendonly is no"), "{reason}");
}

#[tokio::test]
async fn everysec_is_durable_only_where_waitaof_waits_for_the_disk() {
    let mut server = RedisServer::start("everysec");
    if server.say("WAITAOF 0 0 0").unwrap().starts_with("-ERR unknown command") {
        let reason = refusal(&server, RedisSettings::default()).await;
        assert!(reason.contains("appendfsync is everysec"), "{reason}");
        return;
    }
    let wire = Proxy::to(server.address);
    let hot = open_at(&format!("redis://{}/", wire.address), RedisSettings::default()).await.unwrap();
    hot.commit(&batch(1, vec![], &["r1"])).await.unwrap();
    wire.lose_reply();
    hot.commit(&batch(2, vec![], &["r2"])).await.unwrap();
    server.restart();
    assert_eq!(logged(&hot, 0).await, ["r1", "r2"]);
}

#[tokio::test]
async fn another_format_and_a_server_that_evicts_are_refused_by_name() {
    let server = RedisServer::start("always");
    drop(open_redis(&server).await);
    for format in [3, 1] {
        server.say(&format!("HSET {{linegate}}:meta format {format}")).unwrap();
        let reason = refusal(&server, RedisSettings::default()).await;
        assert!(reason.contains(&format!("has format {format}, this program reads 2")), "{reason}");
    }
    server.say("HSET {linegate}:meta format 2").unwrap();
    server.say("CONFIG SET maxmemory 1gb maxmemory-policy allkeys-lru").unwrap();
    let reason = refusal(&server, RedisSettings::default()).await;
    assert!(reason.contains("noeviction"), "{reason}");
}

#[tokio::test]
async fn what_is_drained_leaves_the_log_and_makes_room() {
    let server = RedisServer::start("always");
    let settings = RedisSettings { log_records_max: 4, ..RedisSettings::default() };
    let hot = open_at(&server.url(), settings.clone()).await.unwrap();
    for n in 1..=2 {
        let changes = vec![change("a", n - 1, &format!("a{n}"), &[&format!("r{n}")])];
        assert_eq!(hot.refuses(), None);
        hot.commit(&batch(n, changes, &[&format!("loose{n}")])).await.unwrap();
    }
    assert!(hot.refuses().is_some(), "the log holds what it may");
    let reopened = open_at(&server.url(), settings).await.unwrap();
    assert!(reopened.refuses().is_some(), "and that is known after a start");
    hot.drained_through(0, 1000).await.unwrap();
    assert_eq!(hot.refuses(), None);
    assert_eq!(logged(&hot, 0).await, ["r2", "loose2"]);
    hot.drained_through(0, 2000).await.unwrap();
    assert_eq!(logged(&hot, 0).await, Vec::<String>::new());
    let reopened = open_redis(&server).await;
    assert_eq!((reopened.last_position(), reopened.last_commit_at()), (2000, Some(Timestamp(2))));
    assert_eq!(states(&reopened).await, owned(&[("a", 2, "a2")]));
}

#[tokio::test]
async fn every_account_is_read_once_over_many_pages() {
    let server = RedisServer::start("always");
    let settings = RedisSettings { scan_accounts: 10, ..RedisSettings::default() };
    let hot = open_at(&server.url(), settings).await.unwrap();
    let names: Vec<String> = (0..3000).map(|n| format!("account-{n:04}")).collect();
    let changes = names.iter().map(|name| change(name, 0, "state", &["r"])).collect();
    let committed = hot.commit(&batch(1, changes, &[])).await.unwrap();
    assert!(committed.changes.iter().all(|c| *c == Change::Applied));
    let read: Vec<String> = states(&hot).await.into_iter().map(|(account, ..)| account).collect();
    assert_eq!(read, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_counts_when_as_many_replicas_have_it_as_are_asked_for() {
    let master = RedisServer::start("always");
    let (host, port) = (master.address.ip().to_string(), master.address.port().to_string());
    let settings = RedisSettings { replicas_min: 1, reply_timeout_ms: 1000, ..RedisSettings::default() };
    let alone = RedisSettings { outage_ms_max: 1000, ..settings.clone() };
    let reason = refusal(&master, alone).await;
    assert!(reason.contains("0 replicas have the write, hot.redis.replicas_min is 1"), "{reason}");
    let of_master = ["--replicaof", &host, &port, "--repl-diskless-sync-delay", "0"];
    let replica = RedisServer::start_in(tempfile::tempdir().unwrap(), &of_master);
    let linked = || replica.say("INFO replication").is_some_and(|info| info.contains("master_link_status:up"));
    wait_for("the replica to follow", Duration::from_secs(20), linked, String::new);
    let hot = Arc::new(open_at(&master.url(), settings.clone()).await.unwrap());
    hot.commit(&batch(1, vec![change("a", 0, "a1", &["r1"])], &[])).await.unwrap();
    assert_eq!(replica.say("XLEN {linegate}:log").as_deref(), Some(":1\r\n"), "it is there when it is acknowledged");
    replica.freeze();
    let (of_task, next) = (Arc::clone(&hot), batch(2, vec![change("a", 1, "a2", &["r2"])], &[]));
    let commit = tokio::spawn(async move { of_task.commit(&next).await });
    wait_for("intake to be refused", Duration::from_secs(10), || hot.refuses().is_some(), String::new);
    pause(1500);
    assert!(!commit.is_finished(), "nobody is answered while the replica is away");
    replica.thaw();
    assert_eq!(commit.await.unwrap().unwrap().changes, [Change::Applied]);
    assert_eq!(replica.say("XLEN {linegate}:log").as_deref(), Some(":2\r\n"), "tried many times, and written once");
    assert_eq!(states(hot.as_ref()).await, owned(&[("a", 2, "a2")]));
    replica.freeze();
    let short = RedisSettings { outage_ms_max: 1000, ..settings };
    let reason = refusal(&master, short).await;
    assert!(reason.contains("hot.redis.replicas_min is 1"), "{reason}");
    replica.thaw();
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let server = RedisServer::start("always");
    let rights = "~{linegate}:* +@read +@write +@scripting +@connection +info +config|get";
    assert_eq!(server.say(&format!("ACL SETUSER gateway on >secret {rights}")).as_deref(), Some("+OK\r\n"));
    server.say("CONFIG SET requirepass another").unwrap();
    let url = format!("redis://gateway:secret@{}/", server.address);
    let hot = open_at(&url, RedisSettings::default()).await.unwrap();
    hot.commit(&batch(1, vec![change("a", 0, "a1", &["r1"])], &[])).await.unwrap();
    assert_eq!(logged(&hot, 0).await, ["r1"]);
    hot.drained_through(0, 1000).await.unwrap();
    let wrong = format!("redis://gateway:wrong@{}/", server.address);
    let reason = open_at(&wrong, RedisSettings::default()).await.err().unwrap().to_string();
    assert!(!reason.contains("wrong@"), "{reason}");
}

#[test]
fn a_gateway_reaches_redis_in_tls() {
    let (tls, folder) = (Tls::new(), tempfile::tempdir().unwrap());
    let port = free_port().port();
    let of_tls = tls.of_server(port);
    let arguments: Vec<&str> =
        ["--appendfsync", "always"].into_iter().chain(of_tls.iter().map(String::as_str)).collect();
    let server = RedisServer::start_in(tempfile::tempdir().unwrap(), &arguments);
    assert_eq!(server.say("ACL SETUSER gateway on >secret ~* +@all").as_deref(), Some("+OK\r\n"));
    server.say("CONFIG SET requirepass another").unwrap();
    let url = format!("rediss://gateway:secret@localhost:{port}/");
    let [certificate, key, authority] = tls.files();
    let settings = [
        ("LINEGATE__HOT__URL", url.as_str()),
        ("LINEGATE__HOT__REDIS__TLS_CA_FILE", authority.as_str()),
        ("LINEGATE__HOT__REDIS__TLS_CERTIFICATE", certificate.as_str()),
        ("LINEGATE__HOT__REDIS__TLS_KEY", key.as_str()),
    ];
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    assert_eq!(gateway.metric("linegate_hot_redis_up{link=\"reads\"}"), 1);
    assert_eq!(gateway.terminate(), Some(0));
    drop(server);
}
