//! What clients saw acknowledged against what is stored, record by record, and that
//! against the accounts.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linegate::adapters::sqlite::{SqliteSettings, SqliteStore};
use linegate::domain::ledger::{LedgerSide, Posting, balanced};
use linegate::domain::usage::UsageOutcome;
use linegate::ports::relational::{BillingReads, Page, StoredUsage, UsageFilter};
use linegate_simulators::ledger::{self, Ledger, LedgerConfig, LedgerHandle};
use linegate_simulators::lines::LineRange;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::contract_relational::postgres;
use crate::support::{Gateway, Ports, http, pause, wait_for};

/// Lines whose usage is known.
#[derive(Clone)]
pub(crate) struct Lines {
    pub(crate) gy: LineRange,
    pub(crate) modems: LineRange,
    pub(crate) rf: LineRange,
}

impl Lines {
    /// Lines that one gateway of several gets usage of: Gy and Rf lines that all share, so many
    /// of each, and modems of its own.
    pub(crate) fn of(gateway: u64, each: u64) -> Self {
        let part = |n| {
            let all = LineRange::default();
            LineRange { imsi_from: all.imsi_from + n * each, lines: each, ..all }
        };
        Self { gy: part(0), rf: part(1), modems: part(2 + gateway) }
    }

    pub(crate) fn all(&self) -> [&LineRange; 3] {
        [&self.gy, &self.rf, &self.modems]
    }

    /// Moves them into a gateway.
    pub(crate) fn import(&self, gateway: &Gateway) {
        self.all().into_iter().for_each(|range| import(gateway, range));
    }
}

/// Moves lines into a gateway; those that are there already stay as they are.
pub(crate) fn import(gateway: &Gateway, range: &LineRange) {
    let mut csv = Vec::new();
    range.write_csv(&mut csv).unwrap();
    let text = String::from_utf8(csv).unwrap();
    let (status, body) = http("POST", gateway.http, "/linegate/v1/lines/import", Some(("text/csv", &text))).unwrap();
    assert_eq!(status, 200, "{body}");
    let last: Value = serde_json::from_str(body.trim().lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["taken"], range.lines, "{body}");
}

/// Usage under way.
pub(crate) struct Load {
    handle: LedgerHandle,
    file: PathBuf,
    lines: Lines,
}

impl Load {
    /// Usage of lines through one gateway; every record goes to a file of that name.
    pub(crate) fn start(runtime: &Runtime, folder: &Path, name: &str, ports: Ports, lines: &Lines) -> Self {
        let file = folder.join(format!("{name}.csv"));
        let config = LedgerConfig {
            diameter: Some(ports.diameter),
            mqtt: Some(ports.mqtt),
            gy_lines: lines.gy.clone(),
            modem_lines: lines.modems.clone(),
            rf_lines: lines.rf.clone(),
            rf_sessions: 4,
            pause: Duration::from_millis(2),
            time_max: Duration::from_secs(3600),
            give_up: Duration::from_secs(60),
            file: Some(file.clone()),
            ..LedgerConfig::default()
        };
        let handle = runtime.block_on(async { ledger::start(config).unwrap() });
        Load { handle, file, lines: lines.clone() }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.handle.so_far().acknowledged
    }

    /// Settles what is open.
    pub(crate) fn finish(self, runtime: &Runtime) -> Sent {
        self.handle.stop();
        let ledger = runtime.block_on(self.handle.wait()).unwrap();
        println!(
            "{} records acknowledged, {} refused, {} unknown, {:?}",
            ledger.acknowledged, ledger.refused, ledger.unknown, ledger.result_codes
        );
        Sent { ledger, file: self.file, lines: self.lines }
    }
}

/// Usage that has come to its end.
pub(crate) struct Sent {
    pub(crate) ledger: Ledger,
    file: PathBuf,
    lines: Lines,
}

impl Sent {
    /// The records that were acknowledged: key as the gateway has it, IMSI, octets.
    fn acknowledged(&self) -> Vec<(String, String, u64)> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let of_row = |row: &str| {
            let [source, key, imsi, octets, outcome] = row.split(',').collect::<Vec<_>>().try_into().ok()?;
            let source = if source == "mqtt" { "modem" } else { source };
            (outcome == "acknowledged").then(|| (format!("{source}/{key}"), imsi.to_owned(), octets.parse().unwrap()))
        };
        text.lines().skip(1).filter_map(of_row).collect()
    }
}

/// The relational store, where what was rated is read.
pub(crate) enum Books {
    Postgres(String),
    Sqlite(PathBuf),
}

/// A record as it is stored.
struct Record {
    key: String,
    line: String,
    octets: u64,
    outcome: UsageOutcome,
}

impl Books {
    fn records(&self, runtime: &Runtime) -> Vec<Record> {
        let every = UsageFilter::default();
        let all = Page { offset: 0, limit: u64::MAX };
        let found = runtime.block_on(async {
            match self {
                Books::Postgres(url) => postgres::open(url, "compared").await.unwrap().usage(&every, all).await,
                Books::Sqlite(file) => {
                    let store =
                        SqliteStore::open(&format!("sqlite:{}", file.display()), SqliteSettings::default()).await;
                    store.unwrap().usage(&every, all).await
                }
            }
        });
        let read = |stored: StoredUsage| {
            let key = stored.key.to_string();
            if stored.outcome == UsageOutcome::Rated {
                assert_eq!(posted(&stored.postings), stored.octets as i64, "postings of {key}");
            }
            let line = stored.line.as_ref().map(ToString::to_string).unwrap_or_default();
            Record { key: short_key(&key), line, octets: stored.octets, outcome: stored.record.outcome }
        };
        found.unwrap().items.into_iter().map(read).collect()
    }

    /// Compares all this.
    pub(crate) fn compare(&self, runtime: &Runtime, gateways: &[&Gateway], sent: &[Sent]) -> Compared {
        for gateway in gateways {
            let drained = || gateway.metric("linegate_drain_lag_entries") == 0;
            wait_for("the drain", Duration::from_secs(30), drained, || gateway.tail());
        }
        // Lag is said of what was last looked at; let one more round pass.
        pause(1500);
        let mut compared = Compared::default();
        let mut stored: HashMap<String, (String, u64)> = HashMap::new();
        let mut by_line: BTreeMap<String, u64> = BTreeMap::new();
        let mut elsewhere: HashMap<String, UsageOutcome> = HashMap::new();
        for Record { key, line, octets, outcome } in self.records(runtime) {
            if outcome != UsageOutcome::Rated {
                elsewhere.insert(key, outcome);
                continue;
            }
            *by_line.entry(line.clone()).or_default() += octets;
            if stored.insert(key.clone(), (line, octets)).is_some() {
                compared.twice.push(key);
            }
        }
        let mut acknowledged = 0;
        for (key, imsi, octets) in sent.iter().flat_map(Sent::acknowledged) {
            acknowledged += octets;
            match stored.get(&key) {
                Some((line, counted)) => {
                    assert_eq!((line.as_str(), *counted), (format!("line-{imsi}").as_str(), octets), "{key}");
                }
                None => compared.missing.push(match elsewhere.get(&key) {
                    Some(outcome) => format!("{key}: {outcome:?}"),
                    None => key,
                }),
            }
        }
        for (range, gateway) in
            sent.iter().flat_map(|s| s.lines.all()).flat_map(|r| gateways.iter().map(move |g| (r, g)))
        {
            for line in (0..range.lines).map(|n| range.line_id(n)) {
                let account = gateway.get(&format!("/linegate/v1/accounts/{line}")).1["octets"].as_u64();
                let records = by_line.get(&line).copied().unwrap_or(0);
                if account != Some(records) {
                    compared.differing.push(format!("{line}: account {account:?}, records {records}"));
                }
            }
        }
        let octets: u64 = by_line.values().sum();
        println!("{} records stored, {octets} octets, of {acknowledged} acknowledged; {compared:?}", stored.len());
        compared
    }
}

/// What does not agree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Keys of records that were acknowledged and are not rated, with what they are instead.
    pub(crate) missing: Vec<String>,
    /// Keys of records that are stored more than once.
    pub(crate) twice: Vec<String>,
    /// Accounts that are not the sum of their records.
    pub(crate) differing: Vec<String>,
}

/// The octets that the postings of a record move from the network.
fn posted(postings: &[Posting]) -> i64 {
    assert!(balanced(postings), "{postings:?}");
    -postings.iter().filter(|p| p.side == LedgerSide::Network).map(|posting| posting.amount).sum::<i64>()
}

/// The key without a modem's epoch and boot, which are the same throughout.
fn short_key(key: &str) -> String {
    match key.split('/').collect::<Vec<_>>()[..] {
        ["modem", device, _epoch, _boot, sequence] => format!("modem/{device}/{sequence}"),
        _ => key.to_owned(),
    }
}
