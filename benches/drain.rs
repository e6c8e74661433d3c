//! The drain of rated usage from the embedded hot store into SQLite, and what a record of it
//! costs: `cargo bench --bench drain -- [records] [lines]`.
//!
//! Prints records per second, CPU time per record (user and system, every thread) by stage:
//! reading the log, making rows of it, and SQLite, whose writer has a thread of its own; and
//! bytes per record on disk. Then what REST and a bill ask of it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::sqlite::{SqliteSettings, SqliteStore};
use linegate::domain::ids::{AccountId, Apn, LineId, PlanId, SessionId};
use linegate::domain::ledger::{LedgerSide, Posting, Unit};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{RecordKey, UsageOutcome, UsageRecord};
use linegate::ports::hot::{Batch, HotStore};
use linegate::ports::relational::{BillingReads, Page, UsageFilter};
use linegate::services::drain::{Drain, DrainSettings};

/// Records of one durable write, as under load.
const BATCH: usize = 400;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let records = numbers.next().unwrap_or(400_000);
    let lines = numbers.next().unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(records, lines));
}

async fn run(records: usize, lines: usize) {
    let folder = tempfile::tempdir().unwrap();
    let hot = Arc::new(FjallHot::open(&folder.path().join("hot"), FjallSettings::default()).unwrap());
    for first in (0..records).step_by(BATCH) {
        let mut loose = Vec::new();
        let until = records.min(first + BATCH);
        for n in first..until {
            record(n, lines).encode(&mut loose);
        }
        let number = (first / BATCH) as u64 + 1;
        let (at, loose_records) = (Timestamp(0), (until - first) as u32);
        hot.commit(&Batch { writer: 1, number, at, changes: vec![], loose, loose_records }).await.unwrap();
    }
    let cpu = cpu_micros();
    let (mut after, mut read) = (0, 0);
    loop {
        let entries = hot.log_after(0, after, 64).await.unwrap();
        let Some(last) = entries.last() else { break };
        after = last.position;
        read += entries.iter().map(|entry| entry.records.len()).sum::<usize>();
    }
    let reading = cpu_micros() - cpu;
    assert_eq!(read, records);

    let url = format!("sqlite:{}", folder.path().join("linegate.db").display());
    let store = Arc::new(SqliteStore::open(&url, SqliteSettings::default()).await.unwrap());
    let drain = Drain::new(hot.clone(), store.clone(), DrainSettings::default());
    let (began, cpu) = (Instant::now(), cpu_micros());
    drain.drain_all().await.unwrap();
    let (elapsed, cpu, sqlite) = (began.elapsed(), cpu_micros() - cpu, sqlite_micros());
    println!("records           {records:>12}  of {lines} lines, {BATCH} in each durable write");
    println!("records/s         {:>12.0}", records as f64 / elapsed.as_secs_f64());
    println!("CPU µs/record     {:>12.2}", each(cpu, records));
    let rows = cpu.saturating_sub(reading + sqlite);
    for (stage, micros) in [("reading the log", reading), ("rows", rows), ("SQLite", sqlite)] {
        println!("  {stage:<15} {:>12.2}", each(micros, records));
    }
    println!("bytes/record      {:>12}  on disk, indexes included", bytes_of(folder.path()) / records as u64);
    let line = UsageFilter { line: Some(LineId::from("line-77")), ..UsageFilter::default() };
    for (what, filter) in [("of a line", line), ("newest", UsageFilter::default())] {
        let began = Instant::now();
        let found = store.usage(&filter, Page { offset: 0, limit: 50 }).await.unwrap();
        println!("GET usage, {what}: {} of {} in {} µs", found.items.len(), found.total, began.elapsed().as_micros());
    }
    let began = Instant::now();
    let totals = store.usage_totals("2026-10".parse().unwrap(), &"".into(), &"~".into()).await.unwrap();
    let each_record = began.elapsed().as_nanos() as f64 / 1000.0 / records as f64;
    println!("sums for bills: {} of {records} records, {each_record:.2} µs a record", totals.len());
}

fn each(micros: u64, records: usize) -> f64 {
    micros as f64 / records as f64
}

fn record(n: usize, lines: usize) -> UsageRecord {
    // Lines come in no order.
    let line = n.wrapping_mul(7919) % lines;
    let (octets, amount) = (70_000, 3);
    let sides = [
        (LedgerSide::Network, Unit::Octets, -octets),
        (LedgerSide::Charged, Unit::Octets, octets),
        (LedgerSide::Unbilled, Unit::Minor, amount),
        (LedgerSide::Revenue, Unit::Minor, -amount),
    ];
    let ends = Timestamp(1_790_000_000_000 + n as i64);
    UsageRecord {
        key: RecordKey::Gy(SessionId::from(format!("pgw.example;1096298391;{line}")), (n / lines) as u32),
        rating_group: 1,
        outcome: UsageOutcome::Rated,
        line: Some(LineId::from(format!("line-{line}"))),
        account: Some(AccountId::from(format!("line-{line}"))),
        cycle: Some("2026-10".parse().unwrap()),
        late_for: None,
        plan: Some(PlanId::from("iot-payg")),
        tariff_version: 1,
        apn: Some(Apn::from("iot.example")),
        subscriber: None,
        starts: ends,
        ends,
        received: ends,
        octets: octets as u64,
        amount,
        postings: sides.iter().map(|&(side, unit, amount)| Posting { side, unit, amount }).collect(),
        crossed: Vec::new(),
        told: None,
        detail: None,
    }
}

/// Of the database and its write-ahead log.
fn bytes_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.filter(|f| f.file_name().to_string_lossy().contains(".db")).map(|f| f.metadata().unwrap().len()).sum()
}

/// User and system time of SQLite's threads: the writer, and readers that have done nothing yet.
fn sqlite_micros() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let is_sqlite = |thread: &std::path::PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("sqlx-sqlite"))
    };
    let ran = |thread: std::path::PathBuf| {
        let stat = std::fs::read_to_string(thread.join("schedstat")).unwrap();
        stat.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1000
    };
    threads.filter(is_sqlite).map(ran).sum()
}

/// User and system time of every thread; a tick is 10 ms on Linux.
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10_000
}
