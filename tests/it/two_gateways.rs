//! Two gateways on one Redis and one PostgreSQL: real processes that charge the
//! same lines at once, killed in the middle, compared record by record.

use tokio::runtime::Runtime;

use crate::books::{Books, Compared, Lines, Load, Sent, import};
use crate::contract_relational::postgres::Server;
use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, pause};

/// Gateways on the same stores, each with a folder and a name of its own.
pub(crate) struct House {
    pub(crate) runtime: Runtime,
    pub(crate) folder: tempfile::TempDir,
    postgres: Server,
    database: String,
    settings: Vec<(String, String)>,
}

impl House {
    /// Over a PostgreSQL of its own, and with these settings.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let postgres = Server::start();
        let database = runtime.block_on(postgres.fresh_database());
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { runtime, folder: tempfile::tempdir().unwrap(), postgres, database, settings }
    }

    pub(crate) fn start(&self, name: &str, ports: Ports) -> Gateway {
        self.start_with(name, ports, &[])
    }

    /// Starts one whose settings are not those of all.
    pub(crate) fn start_with(&self, name: &str, ports: Ports, own: &[(&str, &str)]) -> Gateway {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (url, host) = (self.postgres.url(&self.database), format!("{name}.linegate.example"));
        let fixed = [("LINEGATE__RELATIONAL__URL", url.as_str()), ("LINEGATE__DIAMETER__ORIGIN_HOST", host.as_str())];
        let of_all = self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let settings: Vec<(&str, &str)> = of_all.chain(own.iter().copied()).chain(fixed).collect();
        Gateway::start(&folder, ports, &settings)
    }

    pub(crate) fn load(&self, name: &str, ports: Ports, lines: &Lines) -> Load {
        Load::start(&self.runtime, self.folder.path(), name, ports, lines)
    }

    pub(crate) fn compare(&self, gateways: &[&Gateway], sent: &[Sent]) -> Compared {
        Books::Postgres(self.postgres.url(&self.database)).compare(&self.runtime, gateways, sent)
    }
}

/// Two gateways that are killed under load, one after the other; they are looked at in the end.
fn two_gateways(settings: &[(&str, &str)], each: u64, look: impl FnOnce([&Gateway; 2])) {
    let redis = RedisServer::start("always");
    let url = redis.url();
    let house = House::new(&[&[("LINEGATE__HOT__URL", url.as_str())], settings].concat());
    let (ports_a, ports_b) = (Ports::free(), Ports::free());
    let mut a = house.start("gateway-a", ports_a);
    let mut b = house.start("gateway-b", ports_b);
    let (of_a, of_b) = (Lines::of(0, each), Lines::of(1, each));
    // Opened at one alone: the other finds them.
    of_b.import(&a);
    import(&b, &of_a.modems);
    let load_a = house.load("a", ports_a, &of_a);
    // Sessions are named after the second.
    pause(1100);
    let load_b = house.load("b", ports_b, &of_b);
    pause(2000);
    assert!(b.metric("linegate_account_lookups_total{outcome=\"found\"}") > 0);
    b.kill();
    pause(700);
    b = house.start("gateway-b", ports_b);
    pause(1500);
    a.kill();
    a = house.start("gateway-a", ports_a);
    pause(2000);
    let sent = [load_a.finish(&house.runtime), load_b.finish(&house.runtime)];
    assert!(sent.iter().all(|sent| sent.ledger.acknowledged > 100), "too little happened to prove anything");
    assert_eq!(house.compare(&[&a, &b], &sent), Compared::default());
    assert!(a.metric("linegate_hot_conflicts_total") + b.metric("linegate_hot_conflicts_total") > 0);
    assert_eq!((a.metric("linegate_hot_losses_total"), b.metric("linegate_hot_losses_total")), (0, 0));
    look([&a, &b]);
    assert_eq!((a.terminate(), b.terminate()), (Some(0), Some(0)));
}

#[test]
fn two_gateways_rate_the_same_lines_and_lose_or_double_nothing() {
    two_gateways(&[], 8, |_| {});
}

#[test]
fn two_gateways_that_keep_few_accounts_read_them_back_and_lose_or_double_nothing() {
    let tiny = [
        ("LINEGATE__CHARGING__SHARDS", "2"),
        ("LINEGATE__CHARGING__ACCOUNTS_OPEN_MAX", "2"),
        ("LINEGATE__CHARGING__ACCOUNTS_CACHED_MAX", "4"),
    ];
    two_gateways(&tiny, 12, |gateways| {
        for gateway in gateways {
            let [evicted, loaded] =
                ["evicted", "loaded"].map(|what| gateway.metric(&format!("linegate_accounts_{what}_total")));
            println!("{evicted} accounts left to the store, {loaded} read back");
            assert!(evicted > 50 && loaded > 50);
        }
    });
}
