//! A CCR-U and its CCA, stage by stage on one thread: decode, rate, encode the account,
//! commit, encode the answer: `cargo bench --bench stages -- [lines] [requests]`.
//!
//! Prints CPU time per request of each stage (user and system; the commit's includes the
//! kernel's share of the disk write), and the machine's own fdatasync beside the commits.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::tariff_file;
use linegate::domain::account::{Account, AccountCommand};
use linegate::domain::ids::{AccountId, CustomerId, LineId, PlanId};
use linegate::domain::line::{Access, LineState, Profile};
use linegate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use linegate::domain::rating::{RatingSettings, apply};
use linegate::domain::tariff::TariffBook;
use linegate::domain::time::Timestamp;
use linegate::ports::hot::{AccountChange, Batch, HotStore};
use linegate::transport::diameter::gy::{Asked, GySettings, Terms, charge_request, encode_answer};
use linegate_diameter::Message;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::Route;
use linegate_diameter::apps::gy::{
    CcRequest, CcRequestType, PsInformation, ServiceInformation, ServiceRequest, Subscriber, Units, UsedUnit,
};
use linegate_diameter::dictionary::{self, Strictness};

/// Requests of one durable write.
const BATCH: usize = 256;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let lines = numbers.next().unwrap_or(10_000);
    let requests = numbers.next().unwrap_or(200_000);
    let (tariff, settings) = (tariff(), RatingSettings::default());
    let mut accounts: Vec<Account> = (0..lines).map(|n| account(n, &settings)).collect();
    for (n, account) in accounts.iter_mut().enumerate() {
        let (_, _, opening) = decode(frame(n, 0));
        let line = account.lines[0].id.clone();
        apply(account, Some(&line), &opening, &tariff, &settings, NOW);
    }
    let folder = tempfile::tempdir().unwrap();
    let hot = FjallHot::open(folder.path(), FjallSettings::default()).unwrap();
    let mut stages = Stages::default();
    let mut commits = Vec::new();
    for (number, first) in (0..requests).step_by(BATCH).enumerate() {
        let turns = first..requests.min(first + BATCH);
        let frames: Vec<(usize, Bytes)> =
            turns.map(|turn| (turn % lines, frame(turn % lines, (turn / lines) as u32 + 1))).collect();
        let decoded: Vec<_> =
            stages.run("decode", || frames.into_iter().map(|(at, frame)| (at, decode(frame))).collect());
        let rated: Vec<(usize, ReplyTo, Asked, ChargeAnswer, Vec<_>)> = stages.run("rate", || {
            let each = decoded.into_iter().map(|(at, (to, asked, request))| {
                let applied = apply(&mut accounts[at], None, &request, &tariff, &settings, NOW);
                (at, to, asked, applied.answer, applied.records)
            });
            each.collect()
        });
        let changes = stages.run("encode account and record", || {
            let each = rated.iter().map(|(at, _, _, _, records)| {
                let account = &mut accounts[*at];
                let previous = account.version;
                account.version += 1;
                let mut bytes = Vec::new();
                records.iter().for_each(|record| record.encode(&mut bytes));
                AccountChange {
                    account: account.id.clone(),
                    previous,
                    version: account.version,
                    state: account.encode(Vec::with_capacity(512)),
                    records: bytes,
                    record_count: records.len() as u32,
                    opened: Vec::new(),
                    closed: Vec::new(),
                    named: Vec::new(),
                    unnamed: Vec::new(),
                }
            });
            each.collect()
        });
        let batch =
            Batch { writer: 1, number: number as u64 + 1, at: NOW, changes, loose: Vec::new(), loose_records: 0 };
        let began = Instant::now();
        stages.run("commit", || futures_util::FutureExt::now_or_never(hot.commit(&batch)).unwrap().unwrap());
        commits.push(began.elapsed());
        let origin = Origin::new("gateway.linegate.example", "linegate.example");
        let gy = GySettings::default();
        let mut out = BytesMut::with_capacity(BATCH * 512);
        stages.run("encode answer", || {
            for (_, to, asked, answer, _) in &rated {
                let terms = Terms { settings: &gy, foreign_apn: 5003, origin_state_id: 1 };
                encode_answer(asked, answer, terms, to, &origin, &mut out);
            }
        });
    }
    println!("{requests} CCR-U of {lines} lines, {BATCH} in each durable write");
    stages.print(requests);
    let bytes: usize = accounts.iter().map(|account| account.encode(Vec::new()).len()).sum();
    println!("{:28} {:>9} bytes with an open session", "account as stored", bytes / lines);
    println!(
        "{:28} {:>9} µs p50, {} µs p99",
        "commit, elapsed",
        quantile(&mut commits, 50),
        quantile(&mut commits, 99)
    );
    let mut syncs = fdatasyncs(folder.path());
    println!(
        "{:28} {:>9} µs p50, {} µs p99",
        "fdatasync of 64 KiB, elapsed",
        quantile(&mut syncs, 50),
        quantile(&mut syncs, 99)
    );
}

/// CPU time of each stage, in the order of their first run.
#[derive(Default)]
struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    fn run<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let before = cpu_time();
        let done = work();
        let took = cpu_time() - before;
        match self.0.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, sum)) => *sum += took,
            None => self.0.push((stage, took)),
        }
        done
    }

    fn print(&self, requests: usize) {
        for (stage, took) in &self.0 {
            println!("{stage:28} {:>9.2} µs CPU", took.as_secs_f64() * 1e6 / requests as f64);
        }
        let all: Duration = self.0.iter().map(|(_, took)| *took).sum();
        println!("{:28} {:>9.2} µs CPU", "all", all.as_secs_f64() * 1e6 / requests as f64);
    }
}

/// CPU time of this process, from the scheduler's own count in nanoseconds.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The same bytes appended and synced by hand: what the disk itself takes.
fn fdatasyncs(folder: &std::path::Path) -> Vec<Duration> {
    let mut file = File::create(folder.join("probe")).unwrap();
    let block = vec![7; 65_536];
    let mut sync = || {
        file.write_all(&block).unwrap();
        let began = Instant::now();
        file.sync_data().unwrap();
        began.elapsed()
    };
    (0..500).map(|_| sync()).collect()
}

fn quantile(times: &mut [Duration], percent: usize) -> u128 {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_micros()
}

fn decode(frame: Bytes) -> (ReplyTo, Asked, ChargeRequest) {
    let message = Message::decode(frame).unwrap();
    assert!(dictionary::check(&message, Strictness::Strict).result_code().is_none());
    let (asked, request) = charge_request(&CcRequest::parse(&message).unwrap(), NOW).unwrap();
    (ReplyTo::new(&message), asked, request)
}

fn frame(line: usize, number: u32) -> Bytes {
    let (session_id, imsi) = (format!("pgw.example;1096298391;{line}"), format!("45008{line:010}"));
    let kind = if number == 0 { CcRequestType::Initial } else { CcRequestType::Update };
    let used = [UsedUnit { units: Units::octets(70_000), ..UsedUnit::default() }];
    let service = [ServiceRequest {
        rating_group: Some(1),
        requested: Some(Units::default()),
        used: if number == 0 { Default::default() } else { (&used).into() },
        ..ServiceRequest::default()
    }];
    let route = Route {
        session_id: &session_id,
        origin_host: "pgw.example",
        origin_realm: "example",
        destination_host: None,
        destination_realm: "linegate.example",
    };
    let ps = PsInformation { called_station_id: Some("iot.example"), ..PsInformation::default() };
    let request = CcRequest {
        subscriber: Subscriber { imsi: Some(&imsi), msisdn: None },
        services: (&service).into(),
        service_information: Some(ServiceInformation { ps: Some(ps), ..ServiceInformation::default() }),
        ..CcRequest::new(route, "32251@3gpp.org", kind, number)
    };
    let mut out = BytesMut::new();
    request.encode(&CcRequest::header(), &mut out);
    out.freeze()
}

fn account(n: usize, settings: &RatingSettings) -> Account {
    let (id, customer) = (AccountId::from(format!("line-{n}")), CustomerId::from(format!("customer-{n}")));
    let mut account = Account::new(id, customer.clone(), 1, "Asia/Seoul", NOW).unwrap();
    let profile = Profile {
        access: Access::Cellular,
        imsi: Some(format!("45008{n:010}")),
        msisdn: Some(format!("8210{n:08}")),
        device: None,
        apns: vec![],
        plan: PlanId::from("iot-payg"),
        source: None,
        address: None,
        email: None,
        phone: None,
    };
    let command = AccountCommand::OpenLine {
        key: format!("open-{n}"),
        line: LineId::from(format!("line-{n}")),
        customer,
        anchor_day: 1,
        zone: "Asia/Seoul".to_owned(),
        profile: Box::new(profile),
        state: LineState::Active,
        at: NOW,
    };
    account.command(command, &settings.limits, NOW);
    account
}

fn tariff() -> TariffBook {
    tariff_file::shipped().unwrap().into()
}
