//! Connections of one role: to a single server, or to each master of a Cluster,
//! with requests that bridge the time while one is away.
//!
//! Any request may be sent twice: reads anyway, trims as well, and a batch is
//! known by writer and number. So a lost reply needs no care here but patience,
//! which [`RedisSettings::outage_ms_max`] bounds.
//!
//! The crate's own Cluster client is not used: each server has to be checked
//! before it is trusted, and WAITAOF and WAIT have to follow a write on its own
//! connection. What is left of it is a table from logs to masters, read anew
//! after every failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, InfoDict, IntoConnectionInfo,
    TlsCertificates, Value,
};
use tokio::sync::Mutex;

use super::fatal;
use super::keys::Keys;
use super::link::{Link, Purpose, Trouble, connect};
use super::settings::RedisSettings;
use crate::adapters::system::SystemClock;
use crate::ports::hot::HotError;
use crate::telemetry::metrics;

/// How servers are reached: the URL's user, password and TLS, at any address.
#[derive(Clone)]
pub(super) struct Door {
    url: ConnectionInfo,
    certificates: Option<TlsCertificates>,
    settings: RedisSettings,
}

/// Where a server listens: host and port.
type Address = (String, u16);

impl Door {
    pub(super) fn new(url: &str, settings: &RedisSettings) -> Result<Self, HotError> {
        // The URL may hold a password and stays out of the error.
        let url = url.into_connection_info().map_err(|e| fatal("read hot.url", &e))?;
        let file = |key: &'static str, path: &Path| {
            std::fs::read(path).map_err(|e| fatal(key, &format!("{}: {e}", path.display())))
        };
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        let root_cert = match &settings.tls_ca_file {
            path if is_set(path) => Some(file("read hot.redis.tls_ca_file", path)?),
            _ => None,
        };
        let client_tls = match (&settings.tls_certificate, &settings.tls_key) {
            (certificate, key) if is_set(certificate) || is_set(key) => Some(ClientTlsConfig {
                client_cert: file("read hot.redis.tls_certificate", certificate)?,
                client_key: file("read hot.redis.tls_key", key)?,
            }),
            _ => None,
        };
        let is_tls = matches!(url.addr(), ConnectionAddr::TcpTls { .. });
        let certificates = is_tls.then_some(TlsCertificates { client_tls, root_cert });
        Ok(Self { url, certificates, settings: settings.clone() })
    }

    /// The server that the URL names.
    fn client(&self) -> Result<Client, Trouble> {
        self.open(self.url.clone())
    }

    fn client_at(&self, (host, port): &Address) -> Result<Client, Trouble> {
        let (host, port) = (host.clone(), *port);
        let address = match self.url.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.open(self.url.clone().set_addr(address))
    }

    fn open(&self, info: ConnectionInfo) -> Result<Client, Trouble> {
        let made = match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        };
        made.map_err(|e| Trouble::Lasts(e.to_string()))
    }

    /// Whether the servers are a Cluster.
    pub(super) async fn is_cluster(&self) -> Result<bool, HotError> {
        let patience = Patience::new("open", &self.settings);
        let seeds = self.seeds()?;
        for at in 0_usize.. {
            let told = async {
                let mut connection = connect(&seeds[at % seeds.len()], &self.settings).await?;
                let info: Result<InfoDict, _> = redis::cmd("INFO").arg("cluster").query_async(&mut connection).await;
                info.map_err(|e| Trouble::of_connecting(&e))
            };
            match told.await {
                Ok(info) => return Ok(info.get::<String>("cluster_enabled").as_deref() == Some("1")),
                Err(trouble) => patience.wait(at, trouble, Purpose::Read).await?,
            }
        }
        unreachable!("patience ends")
    }

    fn seeds(&self) -> Result<Vec<Client>, HotError> {
        let refused = |trouble: Trouble| fatal("read hot.url", &trouble.reason());
        let mut seeds = vec![self.client().map_err(refused)?];
        for node in &self.settings.nodes {
            let address = node.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
            let address = address.ok_or_else(|| fatal("read hot.redis.nodes", &format!("`{node}` is no host:port")))?;
            seeds.push(self.client_at(&address).map_err(refused)?);
        }
        Ok(seeds)
    }
}

/// The connections of one role.
pub(super) struct Links {
    role: &'static str,
    door: Door,
    seeds: Vec<Client>,
    /// One key of each log, by which a Cluster places it; none on a single server.
    places: Vec<String>,
    table: Mutex<Table>,
    connects: Arc<AtomicU64>,
    failing: AtomicUsize,
}

/// Which link serves which log.
#[derive(Default)]
struct Table {
    /// Rises each time that the table is read.
    number: u64,
    links: BTreeMap<Address, Arc<Link>>,
    of_logs: Vec<Arc<Link>>,
}

impl Links {
    pub(super) fn new(role: &'static str, door: Door, keys: &[Keys], is_cluster: bool) -> Result<Self, HotError> {
        let connects = Arc::new(AtomicU64::new(0));
        let seeds = door.seeds()?;
        let (places, of_logs) = if is_cluster {
            (keys.iter().map(|k| k.meta.clone()).collect(), Vec::new())
        } else {
            let link = Link::new(seeds[0].clone(), door.settings.clone(), Arc::clone(&connects));
            (Vec::new(), vec![Arc::new(link)])
        };
        let table = Mutex::new(Table { of_logs, ..Table::default() });
        Ok(Self { role, door, seeds, places, table, connects, failing: AtomicUsize::new(0) })
    }

    /// Whether a request has gone wrong and is being tried again.
    pub(super) fn is_away(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
    }

    /// How many connections there have been.
    pub(super) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Acquire)
    }

    /// Sends a request to the server of a log until it is answered or time is up.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        log: usize,
        operation: &'static str,
        request: &Cmd,
        purpose: Purpose,
    ) -> Result<T, HotError> {
        let patience = Patience::new(operation, &self.door.settings);
        let mut away = None;
        for tries in 0_usize.. {
            let trouble = match self.ask_once(log, request, purpose).await {
                Ok(answer) => {
                    if away.is_none() && !self.is_away() {
                        metrics().hot_redis_up.with_label_values(&[self.role]).set(1);
                    }
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            away.get_or_insert_with(|| Away::note(self, operation, &trouble));
            patience.wait(tries, trouble, purpose).await?;
        }
        unreachable!("patience ends")
    }

    async fn ask_once<T: FromRedisValue>(&self, log: usize, request: &Cmd, purpose: Purpose) -> Result<T, Trouble> {
        let (number, link) = {
            let mut table = self.table.lock().await;
            if table.of_logs.is_empty() {
                self.read_table(&mut table).await?;
            }
            (table.number, Arc::clone(&table.of_logs[log]))
        };
        let outcome = link.ask_once(request, purpose).await;
        if outcome.is_err() && !self.places.is_empty() {
            let mut table = self.table.lock().await;
            if table.number == number {
                // The request is tried again in any case, by the old table where none can be read.
                let _away = self.read_table(&mut table).await;
            }
        }
        outcome
    }

    /// Asks the nodes that are known, one after the other, which master has which log.
    async fn read_table(&self, table: &mut Table) -> Result<(), Trouble> {
        let known = table.links.keys().map(|address| self.door.client_at(address));
        let seeds = self.seeds.iter().cloned().map(Ok);
        let mut last = Trouble::Passes("no node of the cluster is known".to_owned());
        for client in seeds.chain(known.collect::<Vec<_>>()) {
            match self.masters(&client?).await {
                Ok(masters) => {
                    let mut links = BTreeMap::new();
                    let mut of_logs = Vec::with_capacity(masters.len());
                    for address in masters {
                        let link = match table.links.get(&address) {
                            Some(link) => Arc::clone(link),
                            None => Arc::new(Link::new(
                                self.door.client_at(&address)?,
                                self.door.settings.clone(),
                                Arc::clone(&self.connects),
                            )),
                        };
                        of_logs.push(Arc::clone(links.entry(address).or_insert(link)));
                    }
                    *table = Table { number: table.number + 1, links, of_logs };
                    return Ok(());
                }
                Err(trouble @ Trouble::Lasts(_)) => return Err(trouble),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    /// The master of each log, as one node sees it.
    async fn masters(&self, client: &Client) -> Result<Vec<Address>, Trouble> {
        let mut connection = connect(client, &self.door.settings).await?;
        let mut ask = redis::pipe();
        ask.cmd("CLUSTER").arg("SLOTS");
        for key in &self.places {
            ask.cmd("CLUSTER").arg("KEYSLOT").arg(key);
        }
        let mut answers: Vec<Value> = ask.query_async(&mut connection).await.map_err(|e| Trouble::of_connecting(&e))?;
        let slots = answers.split_off(1);
        let asked = match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        };
        let ranges = read_ranges(answers.pop(), &asked);
        let place = |slot: Value| {
            let slot = u64::from_redis_value(slot).ok()?;
            let (.., address) = ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot))?;
            Some(address.clone())
        };
        let masters: Option<Vec<Address>> = slots.into_iter().map(place).collect();
        masters.ok_or_else(|| Trouble::Passes("the cluster does not serve every slot".to_owned()))
    }
}

/// The answer to CLUSTER SLOTS: first and last slot of each range, and its master. A node
/// that does not know its own host leaves it out: it is where we asked.
fn read_ranges(answer: Option<Value>, asked: &str) -> Vec<(u64, u64, Address)> {
    let range = |value: Value| {
        let Value::Array(mut parts) = value else { return None };
        let Value::Array(master) = parts.drain(2..3).next()? else { return None };
        let [from, to] = [&parts[0], &parts[1]].map(|v| u64::from_redis_value(v.clone()).ok());
        let mut master = master.into_iter();
        let host = Option::<String>::from_redis_value(master.next()?).ok()?.unwrap_or_default();
        let port = u16::from_redis_value(master.next()?).ok()?;
        let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
        Some((from?, to?, (host, port)))
    };
    let Some(Value::Array(ranges)) = answer else { return Vec::new() };
    ranges.into_iter().filter(|r| matches!(r, Value::Array(parts) if parts.len() > 2)).filter_map(range).collect()
}

/// A request that waits for its server.
struct Away<'l>(&'l Links);

impl<'l> Away<'l> {
    fn note(links: &'l Links, operation: &'static str, trouble: &Trouble) -> Self {
        metrics().hot_redis_up.with_label_values(&[links.role]).set(0);
        if links.failing.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(link = links.role, operation, reason = trouble.reason(), "redis is away");
        }
        Self(links)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if self.0.failing.fetch_sub(1, Ordering::Relaxed) == 1 {
            metrics().hot_redis_up.with_label_values(&[self.0.role]).set(1);
            tracing::info!(link = self.0.role, "redis is back");
        }
    }
}

/// How long a request is tried again.
struct Patience<'s> {
    operation: &'static str,
    settings: &'s RedisSettings,
    began: std::time::Instant,
}

impl<'s> Patience<'s> {
    fn new(operation: &'static str, settings: &'s RedisSettings) -> Self {
        Self { operation, settings, began: SystemClock::instant() }
    }

    /// Pauses before another try, or says that there is none.
    async fn wait(&self, tries: usize, trouble: Trouble, purpose: Purpose) -> Result<(), HotError> {
        let operation = self.operation;
        let reason = match trouble {
            Trouble::Lasts(reason) => return Err(HotError::Fatal { operation, reason }),
            Trouble::Passes(reason) => reason,
        };
        let bound = Duration::from_millis(self.settings.outage_ms_max);
        if self.began.elapsed() >= bound {
            let reason = format!("redis was away for {bound:?} (hot.redis.outage_ms_max): {reason}");
            return Err(match purpose {
                Purpose::Read => HotError::Transient { operation, reason },
                Purpose::Write => HotError::Fatal { operation, reason },
            });
        }
        let doubled = self.settings.retry_ms_min.max(1) << tries.min(16);
        tokio::time::sleep(Duration::from_millis(doubled.min(self.settings.retry_ms_max.max(1)))).await;
        Ok(())
    }
}
