//! What is PostgreSQL's own: gateways that share a store, the server's comings
//! and goings. The server is Debian's, started by the test on a free loopback
//! port and ended by its own process id.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use linegate::adapters::postgres::{PostgresSettings, PostgresStore, PostgresTls, Sharer};
use linegate::domain::billing::Invoice;
use linegate::domain::ledger::Posting;
use linegate::domain::line::SessionState;
use linegate::domain::usage::{RecordKey, UsageRecord};
use linegate::ports::relational::{
    BillingReads, DeliveryState, LineReads, OrderReads, OutboxReads, Relational, StoreError, UsageFilter, Write,
};
use sqlx::{Connection, PgConnection};

use super::billing::{USAGE_OF_FORMAT_3, usage_of_format_3_is_kept};
use super::sample::{at, happening, invoice, line, october, order, saga, slot, sms, usage};
use super::work::{WORK_OF_FORMAT_3, work_of_format_3_is_kept};
use super::{ALL, Store};
use crate::support::{Running, free_port, pause, signal};

/// A server of PostgreSQL that ends with the test.
pub(crate) struct Server {
    process: Option<Running>,
    port: u16,
    folder: tempfile::TempDir,
    databases: AtomicU32,
}

impl Server {
    /// Sorts by a language's rules, so that the store's own order shows.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            // The server refuses to run as root; the package brings a user of its own.
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        run(program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=linegate", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--locale-provider=icu", "--icu-locale=en", "-D"])
            .arg(folder.path().join("data")));
        let mut server = Self { process: None, port: free_port().port(), folder, databases: AtomicU32::new(0) };
        server.serve();
        server
    }

    fn serve(&mut self) {
        let mut command = program("postgres");
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
        command.args(["-p", &self.port.to_string(), "-D"]).arg(self.folder.path().join("data"));
        self.process = Some(Running::start("postgres", &mut command, &self.folder.path().join("server.log")));
    }

    /// Ends it as an operator would: connections are cut.
    fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            signal(process.pid(), "INT");
            process.terminate();
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://linegate@127.0.0.1:{}/{database}", self.port)
    }

    async fn connect(&self, database: &str) -> PgConnection {
        for _ in 0..500 {
            match PgConnection::connect(&self.url(database)).await {
                Ok(connection) => return connection,
                Err(_) => pause(20),
            }
        }
        panic!("no server: {}", std::fs::read_to_string(self.folder.path().join("server.log")).unwrap());
    }

    /// An empty database; gives its name.
    pub(crate) async fn fresh_database(&self) -> String {
        let name = format!("store_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let mut connection = self.connect("postgres").await;
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        name
    }

    pub(crate) async fn fresh_store(&self) -> Arc<PostgresStore> {
        self.open(&self.fresh_database().await, "gw-1").await
    }

    pub(crate) async fn open(&self, database: &str, gateway: &str) -> Arc<PostgresStore> {
        Arc::new(open(&self.url(database), gateway).await.unwrap())
    }

    async fn run(&self, database: &str, sql: &'static str) {
        let mut connection = self.connect(database).await;
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; ./tests/run installs it"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// One of the server's programs, under a user that it accepts. `setpriv` becomes
/// the program: its process id is the server's.
fn program(name: &str) -> Command {
    let path = newest_package().join("bin").join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path).current_dir("/");
    command
}

fn newest_package() -> PathBuf {
    let packages = Path::new("/usr/lib/postgresql").read_dir().expect("no PostgreSQL; ./tests/run installs it");
    let version = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()?.parse::<u32>().ok());
    packages.map(|entry| entry.unwrap().path()).max_by_key(version).unwrap()
}

pub(crate) async fn open(url: &str, gateway: &str) -> Result<PostgresStore, StoreError> {
    let settings = PostgresSettings { connect_timeout_ms: 10_000, ..PostgresSettings::default() };
    let sharer = Sharer { gateway: gateway.to_owned(), hot_log: format!("log of {gateway}") };
    PostgresStore::open(url, settings, sharer).await
}

fn ids<T>(items: &[T], id: impl Fn(&T) -> String) -> Vec<String> {
    items.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_a_store() {
    let server = Server::start();
    what_is_due_is_given_to_one_gateway(&server).await;
    events_are_seen_in_order_whoever_writes_them(&server).await;
    numbers_and_places_are_given_out_once(&server).await;
    each_hot_log_has_its_own_cursor(&server).await;
    commits_that_wait_for_each_other_are_tried_again(&server).await;
    what_peers_send_is_kept(&server).await;
}

async fn two_gateways(server: &Server) -> [Arc<PostgresStore>; 2] {
    let database = server.fresh_database().await;
    // At once: one of them makes the tables.
    let (left, right) = tokio::join!(server.open(&database, "gw-1"), server.open(&database, "gw-2"));
    [left, right]
}

async fn what_is_due_is_given_to_one_gateway(server: &Server) {
    let [left, right] = two_gateways(server).await;
    left.save(vec![Write::Saga(saga("s-1", 1, 10, 1), vec![]), Write::Message(sms("m-1", "l-1", "1", 1))])
        .await
        .unwrap();
    right
        .save(vec![Write::Saga(saga("s-2", 1, 10, 2), vec![]), Write::Message(sms("m-2", "l-1", "2", 2))])
        .await
        .unwrap();
    let sagas = |store: Arc<PostgresStore>| async move {
        ids(&store.due_sagas(at(20), 10).await.unwrap(), |s| s.id.to_string())
    };
    let messages = |store: Arc<PostgresStore>| async move {
        ids(&store.due_messages(at(20), 10).await.unwrap(), |e| e.message.id.to_string())
    };
    assert_eq!(sagas(Arc::clone(&left)).await, ["s-1"], "what it saved is its own");
    assert_eq!(sagas(Arc::clone(&right)).await, ["s-2"]);
    let (mut one, other) = tokio::join!(messages(Arc::clone(&left)), messages(Arc::clone(&right)));
    one.extend(other);
    one.sort();
    assert_eq!(one, ["m-1", "m-2"], "each to one of them");
    // Cancelled over the other gateway: it goes on there.
    let loaded = right.saga(&"s-1".into()).await.unwrap().unwrap();
    right.save(vec![Write::Saga(loaded, vec![])]).await.unwrap();
    assert_eq!(sagas(Arc::clone(&right)).await, ["s-1", "s-2"]);
    assert_eq!(left.next_wake().await.unwrap(), None);
    right.close().await;
    assert_eq!(sagas(Arc::clone(&left)).await, ["s-1", "s-2"], "given back at its end");
    assert_eq!(left.next_wake().await.unwrap(), Some(at(10)));
    assert_eq!(messages(Arc::clone(&left)).await, ["m-1", "m-2"]);
}

async fn events_are_seen_in_order_whoever_writes_them(server: &Server) {
    const EACH: i64 = 100;
    let stores = two_gateways(server).await;
    let mut tasks = Vec::new();
    for n in 0..EACH {
        for store in &stores {
            let store = Arc::clone(store);
            let writes = vec![Write::Happening(happening(Some("o-1"), n)), Write::Message(sms("", "l-1", "1", n))];
            let writes = if n % 3 == 0 { [writes, vec![Write::HoldSlot("none".into())]].concat() } else { writes };
            tasks.push(tokio::spawn(async move { store.save(writes).await.is_ok() }));
        }
    }
    let reader = Arc::clone(&stores[0]);
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 132 {
            let fresh = reader.happenings_after(seen.last().copied().unwrap_or(0), 7).await.unwrap();
            seen.extend(fresh.iter().map(|h| h.sequence));
        }
        seen
    });
    let mut kept = 0;
    for task in tasks {
        kept += u64::from(task.await.unwrap());
    }
    assert_eq!(kept, 132);
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await.expect("one was passed over").unwrap();
    assert_eq!(seen, (1..=kept).collect::<Vec<_>>());
    // One stream and recipient: one head, whoever wrote.
    stores[1].save(vec![Write::Message(sms("m-1", "l-1", "1", 0))]).await.unwrap();
    assert_eq!(stores[0].due_messages(at(1000), 10).await.unwrap().len(), 1);
    let sent = DeliveryState::Sent { at: at(1000) };
    stores[1].save(vec![Write::Delivery("".into(), sent)]).await.unwrap();
    assert_eq!(stores[0].due_messages(at(1000), 10).await.unwrap()[0].message.id.as_str(), "m-1");
}

async fn numbers_and_places_are_given_out_once(server: &Server) {
    let stores = two_gateways(server).await;
    stores[0].save(vec![Write::Slot(slot("s-1", 100, 5))]).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..40 {
        for store in &stores {
            let store = Arc::clone(store);
            // Each account twice, once over each gateway.
            let invoices: Vec<(Invoice, Vec<Posting>)> = vec![invoice(&format!("a-{n:02}"), october(), 1000)];
            let bills = Write::Invoices { series: "2026".to_owned(), invoices };
            tasks.push(tokio::spawn(async move {
                store.save(vec![bills]).await.unwrap();
                store.save(vec![Write::HoldSlot("s-1".into())]).await.is_ok()
            }));
        }
    }
    let mut held = 0;
    for task in tasks {
        held += u32::from(task.await.unwrap());
    }
    assert_eq!(held, 5);
    let invoices = stores[1].invoices(Some(october()), None, ALL).await.unwrap().items;
    let numbers: Vec<u64> = invoices.iter().map(|i| i.number.as_ref().unwrap().number).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}

async fn each_hot_log_has_its_own_cursor(server: &Server) {
    let [left, right] = two_gateways(server).await;
    left.save(vec![Write::Drain { log: 0, after: 0, position: 9, records: vec![usage("1", "a", 10, 1)].into() }])
        .await
        .unwrap();
    assert_eq!((left.drain_cursor().await.unwrap(), right.drain_cursor().await.unwrap()), (9, 0));
    right
        .save(vec![Write::Drain { log: 0, after: 0, position: 3, records: vec![usage("2", "a", 20, 2)].into() }])
        .await
        .unwrap();
    let totals = left.usage_totals(october(), &"a".into(), &"a".into()).await.unwrap();
    assert_eq!((totals[0].octets, totals[0].records), (30, 2));
    left.save(vec![Write::FanOutCursor(7)]).await.unwrap();
    right.save(vec![Write::FanOutCursor(5)]).await.unwrap();
    assert_eq!(left.fan_out_cursor().await.unwrap(), 7, "the slower one does not take it back");
}

async fn commits_that_wait_for_each_other_are_tried_again(server: &Server) {
    let stores = two_gateways(server).await;
    let online = |online| SessionState { modem_online: online, ..SessionState::default() };
    let mut tasks = Vec::new();
    for (store, is_first) in stores.iter().zip([true, false]) {
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move {
            for _ in 0..5 {
                let mut writes: Vec<Write> =
                    (0..200).map(|n| Write::Sessions(vec![(format!("l-{n}").into(), online(is_first))])).collect();
                if is_first {
                    writes.reverse();
                }
                store.save(writes).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn what_peers_send_is_kept(server: &Server) {
    let store = server.fresh_store().await;
    let odd = "a\0b\u{1F4F1}'\"\\";
    let record =
        UsageRecord { key: RecordKey::Gy(odd.into(), 1), detail: Some(odd.to_owned()), ..usage("", "a", 1, 1) };
    store.save(vec![Write::Drain { log: 0, after: 0, position: 1, records: vec![record].into() }]).await.unwrap();
    let stored = &store.usage(&UsageFilter::default(), ALL).await.unwrap().items[0];
    assert_eq!(stored.detail.as_deref(), Some(odd));
    let session = SessionState { modem_refusal: Some(odd.to_owned()), ..SessionState::default() };
    store.save(vec![Write::Sessions(vec![(odd.into(), session.clone())])]).await.unwrap();
    assert_eq!(store.session(&odd.into()).await.unwrap(), session, "bodies hold it as it came");
    assert_eq!(store.lines_of_devices(&[odd.into()]).await.unwrap(), []);
    // By octet, as everywhere, though this server sorts by a language's rules.
    for id in ["b", "B", "a", "A", "-"] {
        store.save(vec![Write::Line(line(id, id, 1))]).await.unwrap();
    }
    let lines = store.lines_by_account(None, 10).await.unwrap();
    assert_eq!(ids(&lines, |l| l.account.to_string()), ["-", "A", "B", "a", "b"]);
}

async fn check_broken(url: &str, says: &[&str]) {
    match open(url, "gw-1").await {
        Err(StoreError::Broken { operation, reason }) => {
            let line = format!("{operation}: {reason}");
            assert!(says.iter().all(|s| line.contains(s)), "{line}");
            assert!(!line.contains('\n') && !line.contains("secret"), "one line, no password: {line}");
        }
        other => panic!("{url}: expected a broken store, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_will_not_do_is_refused_by_name() {
    let server = Server::start();
    let database = server.fresh_database().await;
    server.open(&database, "gw-1").await.close().await;
    server.run(&database, "UPDATE store_format SET version = 99").await;
    check_broken(&server.url(&database), &["format 99", database.as_str(), "newer program"]).await;
    let foreign = server.fresh_database().await;
    server.run(&foreign, "CREATE TABLE customers (id TEXT)").await;
    check_broken(&server.url(&foreign), &[foreign.as_str(), "another program"]).await;
    check_broken(&server.url("nowhere"), &["nowhere", "createdb"]).await;
    check_broken(&format!("postgres://other:secret@127.0.0.1:{}/x", server.port), &["127.0.0.1", "user"]).await;
    check_broken("postgres://linegate:secret@[::1/x", &["relational.url", "postgres://user@host"]).await;
    server
        .run("postgres", "CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0")
        .await;
    check_broken(&server.url("latin"), &["LATIN1", "createdb --encoding UTF8"]).await;
    let plain = open_in_tls(&server, "127.0.0.1", &foreign, PostgresTls::Require, "").await;
    check_tls_refused(&plain);
    let away = open(&format!("postgres://linegate@{}/x", free_port()), "gw-1").await;
    assert!(
        matches!(&away, Err(StoreError::Transient { reason, .. }) if reason.contains("start the server")),
        "{away:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_outlives_a_restart_of_its_server() {
    let mut server = Server::start();
    let database = server.fresh_database().await;
    let store = server.open(&database, "gw-1").await;
    store.save(vec![Write::Order(order("o-1", "l-1", 1))]).await.unwrap();
    server.stop();
    let id = "o-1".into();
    let (away, read) = tokio::join!(store.save(vec![Write::Order(order("o-2", "l-1", 1))]), store.order(&id));
    assert!(matches!(&away, Err(e) if e.is_transient()), "{away:?}");
    assert!(matches!(&read, Err(e) if e.is_transient()), "{read:?}");
    server.serve();
    drop(server.connect(&database).await);
    store.save(vec![Write::Order(order("o-2", "l-1", 1))]).await.unwrap();
    assert!(store.order(&"o-1".into()).await.unwrap().is_some());
    store.close().await;
    let closed = store.save(vec![Write::FanOutCursor(3)]).await;
    assert!(matches!(&closed, Err(StoreError::Broken { reason, .. }) if reason.contains("open the store again")));
    assert!(matches!(store.meta("k").await, Err(StoreError::Broken { .. })));
}

async fn open_in_tls(
    server: &Server,
    host: &str,
    database: &str,
    tls: PostgresTls,
    authority: &str,
) -> Result<PostgresStore, StoreError> {
    let tls_ca_file = match authority {
        "" => PathBuf::new(),
        file => server.folder.path().join("data").join(file),
    };
    let settings = PostgresSettings { tls, tls_ca_file, ..PostgresSettings::default() };
    let sharer = Sharer { gateway: "gw-1".to_owned(), hot_log: "log".to_owned() };
    PostgresStore::open(&format!("postgres://linegate@{host}:{}/{database}", server.port), settings, sharer).await
}

fn check_tls_refused(opened: &Result<PostgresStore, StoreError>) {
    assert!(
        matches!(opened, Err(StoreError::Broken { reason, .. }) if reason.contains("relational.postgres.tls")),
        "{opened:?}"
    );
}

/// An authority `ca.crt`, a stranger `other.crt`, and the server's certificate for 127.0.0.1.
fn make_certificates(folder: &Path) {
    let openssl = |args: &str| run(Command::new("openssl").args(args.split(' ')).current_dir(folder));
    let key = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    for name in ["ca", "other"] {
        openssl(&format!("req -x509 -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt {key}"));
    }
    openssl(&format!("req -new -subj /CN=server -keyout server.key -out server.csr {key}"));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    openssl("x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out server.crt");
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(folder.join("server.key")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_certificate_is_checked_as_asked() {
    linegate::app::install_tls();
    let server = Server::start();
    let database = server.fresh_database().await;
    make_certificates(&server.folder.path().join("data"));
    server.run("postgres", "ALTER SYSTEM SET ssl = on").await;
    server.run("postgres", "SELECT pg_reload_conf()").await;
    pause(500);
    let open = |host, tls, authority| open_in_tls(&server, host, &database, tls, authority);
    open("127.0.0.1", PostgresTls::VerifyFull, "ca.crt").await.unwrap().close().await;
    check_tls_refused(&open("127.0.0.1", PostgresTls::VerifyFull, "other.crt").await);
    check_tls_refused(&open("127.0.0.1", PostgresTls::VerifyCa, "").await);
    check_tls_refused(&open("localhost", PostgresTls::VerifyFull, "ca.crt").await);
    open("localhost", PostgresTls::VerifyCa, "ca.crt").await.unwrap().close().await;
    open("127.0.0.1", PostgresTls::Prefer, "").await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_format_holds_is_kept() {
    let server = Server::start();
    let database = server.fresh_database().await;
    server
        .run(&database, "CREATE TABLE store_format (version BIGINT NOT NULL); INSERT INTO store_format VALUES (0)")
        .await;
    for sql in [
        include_str!("../../../src/adapters/postgres/migrations/0001_store.sql"),
        include_str!("../../../src/adapters/postgres/migrations/0002_devices.sql"),
        include_str!("../../../src/adapters/postgres/migrations/0003_suspense.sql"),
        USAGE_OF_FORMAT_3,
        WORK_OF_FORMAT_3,
    ] {
        server.run(&database, sql).await;
    }
    let store: Store = server.open(&database, "gw-1").await;
    usage_of_format_3_is_kept(&store).await;
    work_of_format_3_is_kept(&store).await;
}
