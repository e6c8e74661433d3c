//! Two gateways on one Redis and one PostgreSQL: real processes that charge the
//! same lines at once, killed in the middle, compared record by record.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linegate::ports::relational::{BillingReads, Page, StoredUsage, UsageFilter};
use linegate_simulators::ledger::{self, Ledger, LedgerConfig, LedgerHandle};
use linegate_simulators::lines::LineRange;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::contract_relational::postgres::Server;
use crate::redis_hot::RedisServer;
use crate::support::{Gateway, Ports, http, pause, wait_for};

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
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (url, host) = (self.postgres.url(&self.database), format!("{name}.linegate.example"));
        let own = [("LINEGATE__RELATIONAL__URL", url.as_str()), ("LINEGATE__DIAMETER__ORIGIN_HOST", host.as_str())];
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(own).collect();
        Gateway::start(&folder, ports, &settings)
    }

    /// Usage of lines through one gateway; every record goes to a file.
    pub(crate) fn load(&self, name: &str, ports: Ports, gy_lines: &LineRange, modem_lines: &LineRange) -> Load {
        let file = self.folder.path().join(format!("{name}.csv"));
        let config = LedgerConfig {
            diameter: Some(ports.diameter),
            mqtt: Some(ports.mqtt),
            gy_lines: gy_lines.clone(),
            modem_lines: modem_lines.clone(),
            pause: Duration::from_millis(2),
            time_max: Duration::from_secs(3600),
            give_up: Duration::from_secs(60),
            file: Some(file.clone()),
            ..LedgerConfig::default()
        };
        let handle = self.runtime.block_on(async { ledger::start(config).unwrap() });
        Load { handle, file }
    }

    /// Every record that PostgreSQL holds as rated: its key, line and octets.
    fn rated(&self) -> Vec<(String, String, u64)> {
        self.runtime.block_on(async {
            let store = self.postgres.open(&self.database, "compared").await;
            let rated = UsageFilter { outcome: Some("rated".to_owned()), ..UsageFilter::default() };
            let found = store.usage(&rated, Page { offset: 0, limit: u64::MAX }).await.unwrap().items;
            let line = |of: &StoredUsage| of.line.as_ref().map(ToString::to_string).unwrap_or_default();
            found.iter().map(|of| (short_key(&of.key.to_string()), line(of), of.octets)).collect()
        })
    }

    /// Compares what clients saw acknowledged with what is stored, and that with the accounts.
    pub(crate) fn compare(&self, gateways: &[&Gateway], ranges: &[&LineRange], sent: &[PathBuf]) -> Compared {
        for gateway in gateways {
            let drained = || gateway.metric("linegate_drain_lag_entries") == 0;
            wait_for("the drain", Duration::from_secs(30), drained, || gateway.tail());
        }
        // Lag is said of what was last looked at; let one more round pass.
        pause(1500);
        let mut compared = Compared::default();
        let mut stored: HashMap<String, (String, u64)> = HashMap::new();
        let mut by_line: BTreeMap<String, u64> = BTreeMap::new();
        for (key, line, octets) in self.rated() {
            *by_line.entry(line.clone()).or_default() += octets;
            if stored.insert(key.clone(), (line, octets)).is_some() {
                compared.twice.push(key);
            }
        }
        for (key, imsi, octets) in sent.iter().flat_map(|file| acknowledged(file)) {
            match stored.get(&key) {
                Some((line, counted)) => {
                    assert_eq!((line.as_str(), *counted), (format!("line-{imsi}").as_str(), octets), "{key}");
                }
                None => compared.missing.push(key),
            }
        }
        for (range, gateway) in ranges.iter().flat_map(|range| gateways.iter().map(move |g| (range, g))) {
            for line in (0..range.lines).map(|n| range.line_id(n)) {
                let account = gateway.get(&format!("/linegate/v1/accounts/{line}")).1["octets"].as_u64();
                let records = by_line.get(&line).copied().unwrap_or(0);
                if account != Some(records) {
                    compared.differing.push(format!("{line}: account {account:?}, records {records}"));
                }
            }
        }
        println!("{} records stored; {compared:?}", stored.len());
        compared
    }
}

/// What does not agree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Keys of records that were acknowledged and are not stored.
    pub(crate) missing: Vec<String>,
    /// Keys of records that are stored more than once.
    pub(crate) twice: Vec<String>,
    /// Accounts that are not the sum of their records.
    pub(crate) differing: Vec<String>,
}

/// Usage under way.
pub(crate) struct Load {
    handle: LedgerHandle,
    pub(crate) file: PathBuf,
}

impl Load {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.handle.so_far().acknowledged
    }

    /// Settles what is open.
    pub(crate) fn finish(self, house: &House) -> Ledger {
        self.handle.stop();
        house.runtime.block_on(self.handle.wait()).unwrap()
    }
}

/// The records of a ledger's file that were acknowledged: key as the gateway has it, IMSI, octets.
fn acknowledged(file: &Path) -> Vec<(String, String, u64)> {
    let text = std::fs::read_to_string(file).unwrap();
    let of_row = |row: &str| {
        let [source, key, imsi, octets, outcome] = row.split(',').collect::<Vec<_>>().try_into().ok()?;
        (outcome == "acknowledged").then(|| (stored_key(source, key), imsi.to_owned(), octets.parse().unwrap()))
    };
    text.lines().skip(1).filter_map(of_row).collect()
}

fn stored_key(source: &str, key: &str) -> String {
    match source {
        "gy" => format!("gy/{key}"),
        _ => format!("modem/{key}"),
    }
}

/// The key without a modem's epoch and boot, which are the same throughout.
fn short_key(key: &str) -> String {
    match key.split('/').collect::<Vec<_>>()[..] {
        ["modem", device, _epoch, _boot, sequence] => format!("modem/{device}/{sequence}"),
        _ => key.to_owned(),
    }
}

pub(crate) fn import(gateway: &Gateway, range: &LineRange) {
    let mut csv = Vec::new();
    range.write_csv(&mut csv).unwrap();
    let text = String::from_utf8(csv).unwrap();
    let (status, body) = http("POST", gateway.http, "/linegate/v1/lines/import", Some(("text/csv", &text))).unwrap();
    assert_eq!(status, 200, "{body}");
    let last: Value = serde_json::from_str(body.trim().lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["taken"], range.lines, "{body}");
}

/// Lines of which both gateways get usage at once, and a modem range for each.
pub(crate) fn ranges() -> [LineRange; 3] {
    let gy = LineRange { lines: 12, ..LineRange::default() };
    let after = |n: u64| LineRange { imsi_from: gy.imsi_from + 100 * n, lines: 4, ..gy.clone() };
    [gy.clone(), after(1), after(2)]
}

#[test]
fn two_gateways_rate_the_same_lines_and_lose_or_double_nothing() {
    let redis = RedisServer::start("always");
    let house = House::new(&[("LINEGATE__HOT__URL", &redis.url())]);
    let (ports_a, ports_b) = (Ports::free(), Ports::free());
    let mut a = house.start("gateway-a", ports_a);
    let mut b = house.start("gateway-b", ports_b);
    let [gy, modems_a, modems_b] = ranges();
    // Opened at one alone: the other finds them.
    import(&a, &gy);
    import(&a, &modems_b);
    import(&b, &modems_a);
    let load_a = house.load("a", ports_a, &gy, &modems_a);
    // Sessions are named after the second.
    pause(1100);
    let load_b = house.load("b", ports_b, &gy, &modems_b);
    pause(2000);
    b.kill();
    pause(700);
    b = house.start("gateway-b", ports_b);
    pause(1500);
    a.kill();
    a = house.start("gateway-a", ports_a);
    pause(2000);
    let files = [load_a.file.clone(), load_b.file.clone()];
    let (of_a, of_b) = (load_a.finish(&house), load_b.finish(&house));
    println!(
        "a: {} acknowledged, {:?}; b: {} acknowledged, {:?}",
        of_a.acknowledged, of_a.result_codes, of_b.acknowledged, of_b.result_codes
    );
    assert!(of_a.acknowledged > 100 && of_b.acknowledged > 100, "too little happened to prove anything");
    assert_eq!(house.compare(&[&a, &b], &[&gy, &modems_a, &modems_b], &files), Compared::default());
    assert!(a.metric("linegate_hot_conflicts_total") + b.metric("linegate_hot_conflicts_total") > 0);
    assert_eq!((a.metric("linegate_hot_losses_total"), b.metric("linegate_hot_losses_total")), (0, 0));
    assert_eq!((a.terminate(), b.terminate()), (Some(0), Some(0)));
}
