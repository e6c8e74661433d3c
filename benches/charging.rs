//! Credit-control requests through charging on the embedded store, without
//! sockets: `cargo bench --bench charging -- [accounts] [requests] [outstanding]`.
//! One account is the hot line that every connection hits.
//!
//! Prints memory per idle line (after a restart on the same store) and more per open
//! session with its last answers, requests per second, CPU time per request (user and
//! system, every thread, from /proc/self/stat) and how the durable writes were batched.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::Instant;

use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::system::SystemClock;
use linegate::adapters::tariff_file;
use linegate::domain::account::AccountCommand;
use linegate::domain::ids::{AccountId, Apn, CustomerId, LineId, PlanId, SessionId};
use linegate::domain::line::{Access, LineState, Profile};
use linegate::domain::rating::request::{ChargeRequest, GroupRequest, Phase, Used, Wanted};
use linegate::domain::tariff::SharedTariff;
use linegate::domain::usage::{Identifier, RecordKey};
use linegate::ports::Clock;
use linegate::ports::hot::HotStore;
use linegate::services::charging::{Charging, ChargingSettings, Reply, RequestIntake};
use linegate::telemetry::metrics;
use tokio::sync::mpsc;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let accounts = numbers.next().unwrap_or(20_000);
    let requests = numbers.next().unwrap_or(600_000);
    let outstanding = numbers.next().unwrap_or(2000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(accounts, requests, outstanding));
}

async fn run(accounts: usize, requests: usize, outstanding: usize) {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let open = || FjallHot::open(folder.path(), FjallSettings::default()).unwrap();
    let settings = ChargingSettings::default();
    let hot: Arc<FjallHot> = Arc::new(open());
    let (charging, tasks) =
        Charging::start(hot.clone(), tariff(), clock.clone(), settings.clone(), None).await.unwrap();
    open_lines(&charging, accounts, clock.as_ref()).await;
    tasks.shutdown().await;
    hot.snapshot().unwrap();
    drop((charging, hot));

    let before = resident_bytes();
    let began = Instant::now();
    let hot: Arc<dyn HotStore> = Arc::new(open());
    let (charging, tasks) = Charging::start(hot.clone(), tariff(), clock.clone(), settings, None).await.unwrap();
    println!("recovery          {:>12}  ms, {accounts} accounts from snapshots", began.elapsed().as_millis());
    let idle = resident_bytes();
    println!("bytes/idle line   {:>12}  directory and store included", idle.saturating_sub(before) / accounts);

    let (to, mut answers) = mpsc::unbounded_channel();
    let (began, cpu) = (Instant::now(), cpu_micros());
    let (commits, committed) = (metrics().hot_commits.get(), metrics().hot_commit_records.get_sample_sum());
    let (mut sent, mut received, mut refused) = (0, 0, 0);
    while received < requests {
        while sent < requests && sent - received < outstanding {
            let request = request(sent % accounts, (sent / accounts) as u32, clock.as_ref());
            charging.submit(request, Reply { tag: sent as u64, to: Arc::new(to.clone()) });
            sent += 1;
        }
        let (_, answer) = answers.recv().await.unwrap();
        refused += usize::from(answer.is_err());
        received += 1;
        while let Ok((_, answer)) = answers.try_recv() {
            refused += usize::from(answer.is_err());
            received += 1;
        }
    }
    let (elapsed, cpu) = (began.elapsed(), cpu_micros() - cpu);
    let commits = metrics().hot_commits.get() - commits;
    let records = metrics().hot_commit_records.get_sample_sum() - committed;
    println!("requests          {requests:>12}  {refused} refused, {outstanding} outstanding");
    println!("requests/s        {:>12.0}", requests as f64 / elapsed.as_secs_f64());
    println!("CPU µs/request    {:>12.2}  the bench's own client included", cpu as f64 / requests as f64);
    println!(
        "durable writes    {commits:>12}  {:.0} requests and {:.0} records each",
        requests as f64 / commits as f64,
        records / commits as f64
    );
    println!(
        "bytes/session     {:>12}  more for each line, with its last answers and what no snapshot holds",
        resident_bytes().saturating_sub(idle) / accounts
    );
    tasks.shutdown().await;
}

async fn open_lines(charging: &Charging, accounts: usize, clock: &dyn Clock) {
    let mut opening = tokio::task::JoinSet::new();
    for n in 0..accounts {
        let (charging, at) = (charging.clone(), clock.now());
        opening.spawn(async move {
            let command = AccountCommand::OpenLine {
                key: format!("open-{n}"),
                line: LineId::from(format!("line-{n}")),
                customer: CustomerId::from(format!("customer-{n}")),
                anchor_day: 1,
                zone: "Asia/Seoul".to_owned(),
                profile: Box::new(profile(n)),
                state: LineState::Active,
                at,
            };
            charging.command(&AccountId::from(format!("line-{n}")), command).await.unwrap();
        });
        if opening.len() >= 2000 {
            while opening.join_next().await.is_some() {}
        }
    }
    while opening.join_next().await.is_some() {}
}

fn profile(n: usize) -> Profile {
    Profile {
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
    }
}

fn request(n: usize, round: u32, clock: &dyn Clock) -> ChargeRequest {
    let session = SessionId::from(format!("pgw.example;1096298391;{n}"));
    let phase = if round == 0 { Phase::Initial } else { Phase::Update };
    let now = clock.now();
    let group = GroupRequest {
        rating_group: 1,
        services: vec![],
        used: (round > 0).then_some(Used::octets(70_000)),
        wanted: Wanted::AsMuchAsWeGive,
        is_final: false,
    };
    ChargeRequest {
        key: RecordKey::Gy(session.clone(), round),
        phase,
        session: Some(session),
        peer: Some("pgw.example".into()),
        subscribers: vec![Identifier::imsi(format!("45008{n:010}"))],
        apn: Some(Apn::from("iot.example")),
        network: None,
        starts: None,
        ends: now,
        received: now,
        groups: vec![group],
    }
}

fn tariff() -> SharedTariff {
    tariff_file::shipped().unwrap().into()
}

/// User and system time of every thread; a tick is 10 ms on Linux.
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10_000
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
