//! Usage of known amounts, and a record of what the gateway acknowledged: the
//! client's half of the promise that acknowledged usage is counted once.
//!
//! The gateway may be killed and started at any moment meanwhile: requests that
//! were not answered go again, the same Session-Id and CC-Request-Number with
//! the T flag, the same modem sequence number. At the end each record is
//! acknowledged, refused, or unknown (given up); a correct gateway has charged
//! every line at least what was acknowledged and at most that plus what is
//! unknown.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::element::{CreditAnswer, Element, ElementConfig, ElementHandle, Role, SessionConfig};
use crate::lines::LineRange;
use crate::modem::{Modem, ModemConfig, ModemHandle, SentUsage, UsageSample};

/// How long one attempt waits for its answer.
const ATTEMPT_WAIT: Duration = Duration::from_secs(2);
/// Unacknowledged records of a modem.
const MODEM_WINDOW: usize = 16;
/// DIAMETER_SUCCESS.
const SUCCESS: u32 = 2001;
/// Before the next try after a refusal, so that a gateway that refuses all is not hammered.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// What to send.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// The gateway's Diameter listener; `None` sends no Gy and no Rf usage.
    pub diameter: Option<SocketAddr>,
    /// The gateway's MQTT listener; `None` sends no modem usage.
    pub mqtt: Option<SocketAddr>,
    /// Lines charged over Gy.
    pub gy_lines: LineRange,
    /// Lines charged by their modems; apart from the others.
    pub modem_lines: LineRange,
    /// Lines charged over Rf; apart from the others.
    pub rf_lines: LineRange,
    /// Gy sessions at once. Default 8.
    pub gy_sessions: u64,
    /// Rf sessions at once. Default none.
    pub rf_sessions: u64,
    /// Modems at once. Default 4.
    pub modems: u64,
    /// CCR-U of each Gy session before a CCR-T with usage, ACR interim of each Rf session before
    /// an ACR stop. Default 5.
    pub updates: u32,
    /// Wait of each session or modem between two records. Default none.
    pub pause: Duration,
    /// Records in all; 0 for no limit.
    pub records_max: u64,
    /// No new record after this time.
    pub time_max: Duration,
    /// How long a record is sent again before it is unknown. Default 60 s.
    pub give_up: Duration,
    /// CSV file of every record and what became of it.
    pub file: Option<PathBuf>,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        let gy_lines = LineRange { lines: 100, ..LineRange::default() };
        Self {
            diameter: None,
            mqtt: None,
            modem_lines: LineRange { imsi_from: gy_lines.imsi_from + gy_lines.lines, ..gy_lines.clone() },
            rf_lines: LineRange { imsi_from: gy_lines.imsi_from + 2 * gy_lines.lines, ..gy_lines.clone() },
            gy_lines,
            gy_sessions: 8,
            rf_sessions: 0,
            modems: 4,
            updates: 5,
            pause: Duration::ZERO,
            records_max: 0,
            time_max: Duration::from_secs(10),
            give_up: Duration::from_secs(60),
            file: None,
        }
    }
}

/// What was sent and what became of it. Octets are up and down together, by IMSI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Records sent.
    pub sent: u64,
    /// Acknowledged with success.
    pub acknowledged: u64,
    /// Answered with a refusal: not to be counted.
    pub refused: u64,
    /// Given up: may be counted.
    pub unknown: u64,
    /// Octets acknowledged of each line.
    pub acknowledged_octets: BTreeMap<String, u64>,
    /// Octets unknown of each line.
    pub unknown_octets: BTreeMap<String, u64>,
    /// Octets that all modems and sessions were told are refused.
    pub refused_octets: BTreeMap<String, u64>,
    /// How often each result code came, with its source: `gy 2001`, `rf 2001`, `mqtt 0`.
    pub result_codes: BTreeMap<String, u64>,
    /// Times that a connection was opened; one each without a crash.
    pub connections: u64,
}

/// Runs to the end.
pub async fn run(config: LedgerConfig) -> anyhow::Result<Ledger> {
    start(config)?.wait().await
}

/// Starts in the background.
pub fn start(config: LedgerConfig) -> anyhow::Result<LedgerHandle> {
    let file = match &config.file {
        Some(path) => {
            let mut file = std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?;
            writeln!(file, "source,key,imsi,octets,outcome").context("write ledger file")?;
            Some(file)
        }
        None => None,
    };
    let shared = Arc::new(Shared {
        began: crate::clock::now(),
        started: AtomicU64::new(0),
        book: Mutex::new(Book { ledger: Ledger::default(), file }),
        stop: CancellationToken::new(),
        config,
    });
    let task = tokio::spawn(conduct(Arc::clone(&shared)));
    Ok(LedgerHandle { shared, task })
}

/// A ledger under way.
#[derive(Debug)]
pub struct LedgerHandle {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl LedgerHandle {
    /// What is known so far.
    pub fn so_far(&self) -> Ledger {
        self.shared.book().ledger.clone()
    }

    /// Waits until so many records are acknowledged; false when the time ran out.
    pub async fn acknowledged_within(&self, count: u64, wait: Duration) -> bool {
        let deadline = crate::clock::now() + wait;
        while self.shared.book().ledger.acknowledged < count {
            if crate::clock::now() >= deadline || self.task.is_finished() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Starts no new record; what is open is still settled.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Whether everything is settled.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end.
    pub async fn wait(self) -> anyhow::Result<Ledger> {
        self.task.await.context("ledger task")??;
        Ok(self.shared.book().ledger.clone())
    }
}

#[derive(Debug)]
struct Shared {
    config: LedgerConfig,
    began: Instant,
    started: AtomicU64,
    book: Mutex<Book>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Book {
    ledger: Ledger,
    file: Option<std::fs::File>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused,
    Unknown,
}

/// One record: its source and key, and whom it charges with how much.
struct Entry<'a> {
    source: &'static str,
    key: &'a str,
    imsi: &'a str,
    octets: u64,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing new is begun.
    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || crate::clock::now().duration_since(self.began) >= self.config.time_max
    }

    /// The right to send one more record: its number.
    fn next(&self) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        (self.config.records_max == 0 || number < self.config.records_max).then_some(number)
    }

    fn sent(&self) {
        self.book().ledger.sent += 1;
    }

    fn settle(&self, entry: &Entry<'_>, outcome: Outcome, code: Option<u32>) {
        let mut book = self.book();
        let ledger = &mut book.ledger;
        let (count, octets, word) = match outcome {
            Outcome::Acknowledged => (&mut ledger.acknowledged, &mut ledger.acknowledged_octets, "acknowledged"),
            Outcome::Refused => (&mut ledger.refused, &mut ledger.refused_octets, "refused"),
            Outcome::Unknown => (&mut ledger.unknown, &mut ledger.unknown_octets, "unknown"),
        };
        *count += 1;
        *octets.entry(entry.imsi.to_owned()).or_default() += entry.octets;
        if let Some(code) = code {
            *ledger.result_codes.entry(format!("{} {code}", entry.source)).or_default() += 1;
        }
        if let Some(file) = &mut book.file {
            let Entry { source, key, imsi, octets } = entry;
            if let Err(error) = writeln!(file, "{source},{key},{imsi},{octets},{word}") {
                tracing::warn!("write ledger file: {error}");
            }
        }
    }
}

/// Octets of record `number`: all different enough that two lines with the same
/// sum are no accident.
fn octets_of(number: u64) -> (u64, u64) {
    (1_000 + number * 7_919 % 50_021, 2_000 + number * 104_729 % 90_001)
}

async fn conduct(shared: Arc<Shared>) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut elements = Vec::new();
    let mut modems = Vec::new();
    if let Some(gateway) = shared.config.diameter {
        let element = start_element(&shared.config, gateway);
        for worker in 0..shared.config.gy_sessions.max(1) {
            tasks.spawn(charge_sessions(Arc::clone(&shared), element.clone(), worker));
        }
        for worker in 0..shared.config.rf_sessions {
            tasks.spawn(account_sessions(Arc::clone(&shared), element.clone(), worker));
        }
        elements.push(element);
    }
    if let Some(gateway) = shared.config.mqtt {
        for n in 0..shared.config.modems.min(shared.config.modem_lines.lines) {
            let config = ModemConfig {
                boot: crate::clock::unix_seconds(),
                backoff_max: Duration::from_millis(500),
                ..ModemConfig::new(&shared.config.modem_lines.device(n), gateway)
            };
            let modem = Modem::start(config).context("name modem")?;
            tasks.spawn(publish_usage(Arc::clone(&shared), modem.clone(), shared.config.modem_lines.imsi(n)));
            modems.push(modem);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("ledger task")?;
    }
    shared.book().ledger.connections += elements.iter().map(|element| element.peer().connections()).sum::<u64>();
    elements.iter().for_each(ElementHandle::shutdown);
    modems.iter().for_each(ModemHandle::shutdown);
    Ok(())
}

fn start_element(config: &LedgerConfig, gateway: SocketAddr) -> ElementHandle {
    let mut element = ElementConfig::new("ledger.network.example", &[Role::PgwC], gateway);
    element.link.answer_timeout = ATTEMPT_WAIT;
    element.link.backoff_max = Duration::from_millis(500);
    let attempts = config.give_up.as_millis().div_ceil(ATTEMPT_WAIT.as_millis());
    element.charging_attempts = u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
    Element::start(element)
}

/// One session after the other, each on the next line.
async fn charge_sessions(shared: Arc<Shared>, element: ElementHandle, worker: u64) {
    let lines = &shared.config.gy_lines;
    let mut turn = worker;
    loop {
        let imsi = lines.imsi(turn % lines.lines.max(1));
        turn += shared.config.gy_sessions.max(1);
        if shared.is_over() {
            return;
        }
        let session = match element.open_session(SessionConfig::new(&imsi, &lines.apn)).await {
            Ok((session, _)) if session.is_open() => session,
            refused => {
                tracing::debug!("ledger session: {refused:?}");
                tokio::time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        for update in 0..=shared.config.updates {
            let Some(number) = shared.next() else {
                let _unused = session.terminate().await;
                return;
            };
            let (up, down) = octets_of(number);
            shared.sent();
            let last = update == shared.config.updates;
            let answer = if last {
                session.consume(up, down);
                session.terminate().await
            } else {
                session.report(up, down).await
            };
            let key = format!("{}/{}", session.id(), update + 1);
            let entry = Entry { source: "gy", key: &key, imsi: &imsi, octets: up + down };
            let ends = settle_credit(&shared, &entry, answer);
            tokio::time::sleep(shared.config.pause).await;
            if ends {
                if session.is_open() {
                    let _unused = session.terminate().await;
                }
                break;
            }
        }
    }
}

/// As [`charge_sessions`], over Rf.
async fn account_sessions(shared: Arc<Shared>, element: ElementHandle, worker: u64) {
    let lines = &shared.config.rf_lines;
    let mut turn = worker;
    while !shared.is_over() {
        let imsi = lines.imsi(turn % lines.lines.max(1));
        turn += shared.config.rf_sessions;
        let mut session = match element.start_accounting(&imsi, &lines.apn).await {
            Ok((session, SUCCESS)) => session,
            refused => {
                tracing::debug!("ledger Rf session: {refused:?}");
                tokio::time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        let session_id = session.id().to_owned();
        for update in 0..=shared.config.updates {
            let Some(number) = shared.next() else { break };
            let (up, down) = octets_of(number);
            shared.sent();
            let is_last = update == shared.config.updates;
            let code = if is_last { session.stop(up, down).await } else { session.interim(up, down).await };
            let key = format!("{session_id}/{}", update + 1);
            let entry = Entry { source: "rf", key: &key, imsi: &imsi, octets: up + down };
            let outcome = match code {
                Ok(SUCCESS) => Outcome::Acknowledged,
                Ok(_) => Outcome::Refused,
                Err(_) => Outcome::Unknown,
            };
            shared.settle(&entry, outcome, code.ok());
            tokio::time::sleep(shared.config.pause).await;
            if is_last || outcome != Outcome::Acknowledged {
                break;
            }
        }
    }
}

/// Whether the session is to end.
fn settle_credit(shared: &Shared, entry: &Entry<'_>, answer: anyhow::Result<CreditAnswer>) -> bool {
    match answer {
        // A group that is refused for good has its usage in suspense, not on the account.
        Ok(answer)
            if answer.is_success() && answer.groups.iter().all(|group| group.result_code.unwrap_or(SUCCESS) < 5000) =>
        {
            shared.settle(entry, Outcome::Acknowledged, Some(answer.result_code));
            false
        }
        Ok(answer) => {
            shared.settle(entry, Outcome::Refused, Some(answer.result_code));
            true
        }
        Err(error) => {
            tracing::debug!("ledger record {}: {error:#}", entry.key);
            shared.settle(entry, Outcome::Unknown, None);
            true
        }
    }
}

/// One record after the other, a window of them unacknowledged.
async fn publish_usage(shared: Arc<Shared>, modem: ModemHandle, imsi: String) {
    let mut window = std::collections::VecDeque::new();
    while let Some(number) = shared.next() {
        let (up, down) = octets_of(number);
        match modem.send_usage(&UsageSample::of_now(&shared.config.modem_lines.apn, up, down)) {
            Ok(sent) => {
                shared.sent();
                window.push_back((sent, up + down));
            }
            Err(error) => tracing::debug!("ledger modem: {error}"),
        }
        if window.len() >= MODEM_WINDOW
            && let Some((sent, octets)) = window.pop_front()
        {
            settle_usage(&shared, &modem, &imsi, sent, octets).await;
        }
        tokio::time::sleep(shared.config.pause).await;
    }
    for (sent, octets) in window {
        settle_usage(&shared, &modem, &imsi, sent, octets).await;
    }
}

async fn settle_usage(shared: &Shared, modem: &ModemHandle, imsi: &str, sent: SentUsage, octets: u64) {
    let key = format!("{}/{}", modem.device(), sent.seq);
    let entry = Entry { source: "mqtt", key: &key, imsi, octets };
    match tokio::time::timeout(shared.config.give_up, sent.acknowledged()).await {
        Ok(Ok(_)) => shared.settle(&entry, Outcome::Acknowledged, Some(0)),
        Ok(Err(crate::modem::SendError::Refused(code))) => {
            shared.settle(&entry, Outcome::Refused, Some(u32::from(code)));
        }
        Ok(Err(_)) | Err(_) => shared.settle(&entry, Outcome::Unknown, None),
    }
}
