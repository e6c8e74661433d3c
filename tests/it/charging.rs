//! Charging end to end: shards, committer and stores, without sockets.

use std::sync::Arc;
use std::time::Duration;

use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::memory_hot::MemoryHot;
use linegate::adapters::redis::RedisHot;
use linegate::adapters::system::ManualClock;
use linegate::adapters::tariff_file;
use linegate::domain::account::{AccountCommand, CommandAnswer};
use linegate::domain::ids::{AccountId, Apn, LineId, PlanId, SessionId};
use linegate::domain::line::LineState;
use linegate::domain::money::Rate;
use linegate::domain::rating::request::{ChargeRequest, GroupRequest, Outcome, Phase, Used, Wanted};
use linegate::domain::tariff::{Block, Price, Reach, SharedTariff, Threshold, ThresholdAction};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{RecordKey, SuspenseReason, UsageRecord};
use linegate::ports::hot::{HotError, HotStore};
use linegate::ports::relational::OutboxReads;
use linegate::services::charging::{Charging, ChargingError, ChargingSettings, ChargingTasks, Reply, RequestIntake};
use linegate::services::drain::{Drain, DrainSettings};
use linegate::telemetry::metrics;
use tokio::sync::mpsc;

use crate::cellular::{self, imsi};
use crate::contract_hot::record;
use crate::redis_hot::{RedisServer, open_redis};

fn tariff() -> SharedTariff {
    tariff_file::shipped().unwrap().into()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-{text}+09:00")).unwrap()
}

struct Gateway {
    tariff: SharedTariff,
    charging: Charging,
    tasks: ChargingTasks,
    clock: Arc<ManualClock>,
}

async fn start(hot: Arc<dyn HotStore>) -> Gateway {
    start_with(hot, ChargingSettings { shards: 2, ..ChargingSettings::default() }).await
}

async fn start_with(hot: Arc<dyn HotStore>, settings: ChargingSettings) -> Gateway {
    let clock = Arc::new(ManualClock::at(at("10-10T12:00:00")));
    let settings = ChargingSettings { commit_retry_ms: 1, ..settings };
    let tariff = tariff();
    let (charging, tasks) = Charging::start(hot, tariff.clone(), clock.clone(), settings, None).await.unwrap();
    Gateway { tariff, charging, tasks, clock }
}

fn account(n: usize) -> AccountId {
    AccountId::from(format!("a{n}"))
}

impl Gateway {
    async fn open(&self, n: usize) {
        self.open_since(n, "10-01T00:00:00").await;
    }

    async fn open_since(&self, n: usize, since: &str) {
        let command = cellular::open(n, "iot-payg", at(since));
        assert_eq!(self.charging.command(&account(n), command).await.unwrap(), CommandAnswer::Done);
    }

    async fn octets(&self, n: usize) -> u64 {
        self.charging.view(&account(n)).await.unwrap().unwrap().lines.iter().map(|l| l.octets).sum()
    }
}

fn gy(n: usize, phase: Phase, number: u32, used: Option<u64>) -> ChargeRequest {
    let session = SessionId::from(format!("pgw;{n}"));
    let subscribers = if phase == Phase::Initial { vec![imsi(n)] } else { vec![] };
    ChargeRequest {
        key: RecordKey::Gy(session.clone(), number),
        phase,
        session: Some(session),
        peer: Some("pgw.example".into()),
        subscribers,
        apn: Some(Apn::from("iot.example")),
        network: None,
        starts: None,
        ends: at("10-10T12:00:00"),
        received: at("10-10T12:00:00"),
        groups: vec![GroupRequest {
            rating_group: 1,
            services: vec![],
            used: used.map(Used::octets),
            wanted: if phase == Phase::Terminate { Wanted::Nothing } else { Wanted::AsMuchAsWeGive },
            is_final: false,
        }],
    }
}

fn file(n: usize, id: &str, octets: u64) -> ChargeRequest {
    ChargeRequest {
        key: RecordKey::File(id.to_owned()),
        session: None,
        peer: None,
        subscribers: vec![imsi(n)],
        groups: vec![GroupRequest {
            rating_group: 0,
            services: vec![],
            used: Some(Used::octets(octets)),
            wanted: Wanted::Nothing,
            is_final: false,
        }],
        ..gy(n, Phase::Event, 0, None)
    }
}

async fn logged(hot: &dyn HotStore) -> Vec<UsageRecord> {
    hot.log_after(0, 0, 10_000).await.unwrap().into_iter().flat_map(|e| e.records.decode().unwrap()).collect()
}

fn fjall(folder: &tempfile::TempDir) -> Arc<FjallHot> {
    Arc::new(FjallHot::open(folder.path(), FjallSettings { free_bytes_min: 0, ..FjallSettings::default() }).unwrap())
}

#[tokio::test]
async fn sessions_and_answers_survive_a_restart_and_a_repeat_is_charged_once() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(&folder);
    let gateway = start(hot.clone()).await;
    gateway.open(1).await;
    let opened = gateway.charging.charge(gy(1, Phase::Initial, 0, None)).await.unwrap();
    assert_eq!(opened.groups[0].grant.as_ref().unwrap().octets, 1_000_000);
    let updated = gateway.charging.charge(gy(1, Phase::Update, 1, Some(150_000))).await.unwrap();
    gateway.tasks.shutdown().await;
    drop((gateway.charging, hot));

    let hot = fjall(&folder);
    let gateway = start(hot.clone()).await;
    let again = gateway.charging.charge(gy(1, Phase::Update, 1, Some(150_000))).await.unwrap();
    assert!(again.repeated);
    assert_eq!(again.groups, updated.groups);
    assert_eq!(gateway.octets(1).await, 150_000);
    let ended = gateway.charging.charge(gy(1, Phase::Terminate, 2, Some(50_001))).await.unwrap();
    assert_eq!(ended.outcome, Outcome::Success);
    let amounts: Vec<i64> = logged(hot.as_ref()).await.iter().map(|r| r.amount).collect();
    assert_eq!(amounts, [6, 3], "price of 200,001 octets is 9 won in all");
}

#[tokio::test]
async fn a_version_that_is_added_while_charging_runs_prices_what_ends_in_it() {
    let hot = Arc::new(MemoryHot::new());
    let gateway = start(hot.clone()).await;
    gateway.open(1).await;
    let from = at("10-10T13:00:00");
    let mut next = gateway.tariff.book().at(from).clone();
    (next.version, next.effective_from) = (2, from);
    let usage = next.plans.get_mut(&PlanId::from("iot-payg")).unwrap().usage.as_mut().unwrap();
    usage.rules[0].cost = Price::PerBlock(Block { price: Rate::whole(7), octets: 100_000 });
    gateway.charging.charge(file(1, "before", 100_000)).await.unwrap();
    gateway.tariff.replace(gateway.tariff.book().with(next).unwrap());
    for (id, ends) in [("still", "10-10T12:59:59"), ("after", "10-10T13:00:00")] {
        gateway.clock.set(at(ends));
        gateway.charging.charge(ChargeRequest { ends: at(ends), ..file(1, id, 100_000) }).await.unwrap();
    }
    let priced: Vec<_> = logged(hot.as_ref()).await.iter().map(|r| (r.tariff_version, r.amount)).collect();
    assert_eq!(priced, [(1, 3), (1, 3), (2, 7)]);
}

#[tokio::test]
async fn a_threshold_becomes_an_event_with_the_usage_that_reached_it() {
    let folder = tempfile::tempdir().unwrap();
    let (hot, relational) = (fjall(&folder), Arc::new(MemoryStore::new()));
    let gateway = start(hot.clone()).await;
    gateway.open(1).await;
    let from = at("10-10T12:30:00");
    let mut next = gateway.tariff.book().at(from).clone();
    (next.version, next.effective_from) = (2, from);
    let usage = next.plans.get_mut(&PlanId::from("iot-payg")).unwrap().usage.as_mut().unwrap();
    let (name, at_amount) = ("bill-shock".to_owned(), Reach::Amount(6));
    usage.thresholds = vec![Threshold { name, at: at_amount, action: ThresholdAction::Suspend, throttle: None }];
    gateway.tariff.replace(gateway.tariff.book().with(next).unwrap());
    gateway.clock.set(at("10-10T13:00:00"));
    for id in ["1", "2", "3"] {
        let request = ChargeRequest { ends: at("10-10T13:00:00"), ..file(1, id, 100_000) };
        gateway.charging.charge(request).await.unwrap();
    }
    for _ in 0..2 {
        Drain::new(hot.clone(), relational.clone(), DrainSettings::default()).drain_all().await.unwrap();
    }
    let told = relational.happenings_after(0, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|h| (h.happening.line.clone(), &h.happening.event["usageThreshold"])).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, Some(LineId::from("l1")));
    assert_eq!((&told[0].1["action"], &told[0].1["record"]), (&"suspend".into(), &"file/2".into()));
}

#[tokio::test]
async fn nobody_known_is_answered_online_and_kept_in_suspense_offline() {
    let hot = Arc::new(MemoryHot::new());
    let gateway = start(hot.clone()).await;
    let charging = &gateway.charging;
    let online = charging.charge(gy(5, Phase::Initial, 0, None)).await.unwrap();
    assert_eq!(online.outcome, Outcome::UnknownSubscriber);
    let online = charging.charge(gy(5, Phase::Update, 1, Some(1))).await.unwrap();
    assert_eq!(online.outcome, Outcome::UnknownSession);
    let offline = charging.charge(file(5, "row-1", 7)).await.unwrap();
    assert_eq!((offline.outcome, offline.suspense), (Outcome::Success, Some(SuspenseReason::UnknownLine)));
    let (to, mut replies) = tokio::sync::mpsc::unbounded_channel();
    charging.suspend(record("unreadable"), Reply { tag: 7, to: Arc::new(to) });
    assert_eq!(replies.recv().await.unwrap().0, 7);
    let kept: Vec<&str> = logged(hot.as_ref()).await.iter().map(|r| r.outcome.as_str()).collect();
    assert_eq!(kept, ["unknown-line", "bad-record"]);
}

#[tokio::test]
async fn a_row_past_the_keys_of_its_account_is_kept_in_suspense() {
    let hot = Arc::new(MemoryHot::new());
    let mut settings = ChargingSettings { shards: 1, ..ChargingSettings::default() };
    settings.rating.limits.event_keys_max = 1;
    let gateway = start_with(hot.clone(), settings).await;
    gateway.open(1).await;
    let charging = &gateway.charging;
    assert_eq!(charging.charge(file(1, "row-1", 7)).await.unwrap().suspense, None);
    let past = charging.charge(file(1, "row-2", 8)).await.unwrap();
    assert_eq!((past.outcome, past.suspense), (Outcome::Success, Some(SuspenseReason::TooManyKeys)));
    assert!(charging.charge(file(1, "row-1", 7)).await.unwrap().repeated);
    assert_eq!(gateway.octets(1).await, 7);
    let kept = logged(hot.as_ref()).await;
    assert_eq!(kept.iter().map(|r| r.outcome.as_str()).collect::<Vec<_>>(), ["rated", "too-many-keys"]);
    assert_eq!((kept[1].account.clone(), kept[1].octets), (Some(account(1)), 8));
}

#[tokio::test]
async fn after_a_fatal_error_nobody_is_answered_and_the_process_hears_of_it() {
    let hot = Arc::new(MemoryHot::new());
    let mut gateway = start(hot.clone()).await;
    gateway.open(1).await;
    hot.fail_next(HotError::Fatal { operation: "write", reason: "disk gone".to_owned() });
    let (to, mut answers) = mpsc::unbounded_channel();
    gateway.charging.submit(file(1, "row", 7), Reply { tag: 1, to: Arc::new(to) });
    assert!(gateway.tasks.fatal().await.contains("disk gone"));
    assert!(answers.recv().await.is_none(), "the queue ends without an answer");
    assert_eq!(gateway.charging.charge(file(1, "row", 7)).await, Err(ChargingError::Fatal));
    assert!(gateway.charging.refuses().is_some());
}

#[tokio::test]
async fn a_client_that_lost_its_sessions_gets_their_reservations_back_and_no_later_ones() {
    let gateway = start(Arc::new(MemoryHot::new())).await;
    for n in 1..=3 {
        gateway.open(n).await;
        gateway.charging.charge(gy(n, Phase::Initial, 0, None)).await.unwrap();
    }
    gateway.clock.advance(std::time::Duration::from_secs(1));
    gateway.charging.sessions_lost("PGW.example");
    let open = async |n: usize| gateway.charging.view(&account(n)).await.unwrap().unwrap().sessions.len();
    for n in 1..=3 {
        while open(n).await > 0 {
            tokio::task::yield_now().await;
        }
    }
    // what it opens afterwards is its own
    let session = SessionId::from("pgw;new");
    let mut again = gy(1, Phase::Initial, 0, None);
    again.key = RecordKey::Gy(session.clone(), 0);
    again.session = Some(session);
    gateway.charging.charge(again).await.unwrap();
    assert_eq!(open(1).await, 1);
}

#[tokio::test]
async fn a_write_that_was_not_applied_is_tried_again() {
    let hot = Arc::new(MemoryHot::new());
    let gateway = start(hot.clone()).await;
    gateway.open(1).await;
    hot.fail_next(HotError::Transient { operation: "write", reason: "busy".to_owned() });
    assert_eq!(gateway.charging.charge(file(1, "row", 7)).await.unwrap().outcome, Outcome::Success);
    assert_eq!(gateway.octets(1).await, 7);
}

#[tokio::test]
async fn two_gateways_on_one_store_charge_every_record_once() {
    let hot = Arc::new(MemoryHot::new());
    let first = start(hot.clone()).await;
    first.open(1).await;
    let second = start(hot.clone()).await;
    for n in 0..10 {
        let gateway = if n % 2 == 0 { &first } else { &second };
        gateway.charging.charge(file(1, &format!("row-{n}"), 10)).await.unwrap();
    }
    let repeated = first.charging.charge(file(1, "row-9", 10)).await.unwrap();
    assert!(repeated.repeated, "decided again on the account as the other gateway left it");
    assert_eq!(logged(hot.as_ref()).await.len(), 10);
    assert_eq!(first.octets(1).await, 100);
}

#[tokio::test]
async fn overload_sheds_new_sessions_first_and_terminations_last() {
    let settings = ChargingSettings { shards: 1, queue_requests_max: 10, ..ChargingSettings::default() };
    let gateway = start_with(Arc::new(MemoryHot::new()), settings).await;
    gateway.open(1).await;
    gateway.charging.charge(gy(1, Phase::Initial, 0, None)).await.unwrap();
    let (to, mut answers) = mpsc::unbounded_channel();
    // Nothing awaits in between: the shard has no turn, and all of it waits.
    let waves = [(Phase::Initial, 9, 7), (Phase::Update, 5, 2), (Phase::Terminate, 5, 1)];
    for (wave, (phase, count, _)) in (0u32..).zip(waves) {
        for n in 0..count {
            let number = n + 10 * wave + 1;
            let reply = Reply { tag: u64::from(wave), to: Arc::new(to.clone()) };
            gateway.charging.submit(gy(1, phase, number, Some(1)), reply);
        }
    }
    drop(to);
    let mut taken = [0; 3];
    while let Some((tag, answer)) = answers.recv().await {
        match answer {
            Ok(_) => taken[tag as usize] += 1,
            Err(error) => assert_eq!(error, ChargingError::Overloaded),
        }
    }
    for (taken, (phase, _, expected)) in taken.into_iter().zip(waves) {
        assert_eq!(taken, expected, "{phase:?}");
    }
}

#[tokio::test]
async fn a_store_that_refuses_is_an_overload_and_moves_nothing() {
    let hot = Arc::new(MemoryHot::new());
    let gateway = start(hot.clone()).await;
    gateway.open(1).await;
    hot.refuse(Some("little free space"));
    assert_eq!(gateway.charging.charge(file(1, "row", 7)).await, Err(ChargingError::Overloaded));
    hot.refuse(None);
    assert_eq!(gateway.octets(1).await, 0);
}

#[tokio::test]
async fn a_close_reaches_every_account_once_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(&folder);
    let settings = ChargingSettings { shards: 2, batch_requests_max: 7, ..ChargingSettings::default() };
    let gateway = start_with(hot.clone(), settings).await;
    for n in 0..40 {
        gateway.open(n).await;
        gateway.charging.charge(file(n, &format!("october-{n}"), 100_000)).await.unwrap();
    }
    gateway.clock.set(at("11-01T00:30:00"));
    let october = "2026-10".parse().unwrap();
    let mut seen = Vec::new();
    let closed = gateway.charging.close_cycle(october, |done, total| seen.push((done, total))).await.unwrap();
    assert_eq!(closed.accounts, 40);
    assert_eq!(seen.last(), Some(&(40, 40)));
    assert!(seen.len() >= 6, "progress is shown on the way: {seen:?}");
    let before = hot.last_position();
    let again = gateway.charging.close_cycle(october, |_, _| {}).await.unwrap();
    assert_eq!(
        (again.accounts, again.position, hot.last_position()),
        (40, before, before),
        "a second close writes nothing"
    );
    let late = ChargeRequest { received: at("11-01T00:30:00"), ..file(3, "late", 1) };
    gateway.charging.charge(late).await.unwrap();
    let last = logged(hot.as_ref()).await.pop().unwrap();
    assert_eq!((last.cycle.unwrap().to_string(), last.late_for), ("2026-11".to_owned(), Some(october)));
}

#[tokio::test]
async fn an_account_made_after_a_restart_bills_usage_of_closed_months_late() {
    // the newest closed month, the usage's month, the bill's, what it is late for
    for (closed, ends, billed, late_for) in [
        (None, "09-30T12:00:00", "2026-10", Some("2026-09")),
        (None, "10-09T12:00:00", "2026-10", None),
        (Some("2026-10"), "10-09T12:00:00", "2026-11", Some("2026-10")),
    ] {
        let hot = Arc::new(MemoryHot::new());
        let clock = Arc::new(ManualClock::at(at("10-10T12:00:00")));
        let (settings, newest) = (ChargingSettings::default(), closed.map(|c| c.parse().unwrap()));
        let tariff = tariff();
        let (charging, tasks) =
            Charging::start(hot.clone(), tariff.clone(), clock.clone(), settings, newest).await.unwrap();
        let gateway = Gateway { tariff, charging, tasks, clock };
        gateway.open_since(1, "08-01T00:00:00").await;
        let request = ChargeRequest { ends: at(ends), ..file(1, "row", 7) };
        gateway.charging.charge(request).await.unwrap();
        let record = logged(hot.as_ref()).await.remove(0);
        assert_eq!(record.cycle.unwrap().to_string(), billed, "{ends} with {closed:?} closed");
        assert_eq!(record.late_for.map(|c| c.to_string()).as_deref(), late_for, "{ends} with {closed:?} closed");
    }
}

#[tokio::test]
async fn a_restart_gives_reservations_our_downtime_back() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(&folder);
    let gateway = start(hot.clone()).await;
    gateway.open(1).await;
    gateway.charging.charge(gy(1, Phase::Initial, 0, None)).await.unwrap();
    gateway.tasks.shutdown().await;
    drop((gateway.charging, hot));

    let clock = Arc::new(ManualClock::at(at("10-11T12:00:00")));
    let settings = ChargingSettings { shards: 2, ..ChargingSettings::default() };
    let (charging, tasks) = Charging::start(fjall(&folder), tariff(), clock.clone(), settings, None).await.unwrap();
    let reserved = |view: Option<linegate::domain::account::AccountView>| view.unwrap().lines[0].reserved;
    clock.advance(Duration::from_secs(7199));
    assert_eq!(reserved(charging.view(&account(1)).await.unwrap()), 1_000_000, "Tcc counts the time that we were up");
    clock.advance(Duration::from_secs(1));
    assert_eq!(reserved(charging.view(&account(1)).await.unwrap()), 0);
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_suspended_line_is_found_by_its_identifiers_and_a_terminated_one_for_its_own_time() {
    let gateway = start(Arc::new(MemoryHot::new())).await;
    gateway.open(1).await;
    let line = LineId::from("l1");
    let reach =
        |state, when| AccountCommand::Reach { key: format!("{state:?}"), line: line.clone(), state, at: at(when) };
    for (state, when) in [(LineState::Suspended, "10-05T00:00:00"), (LineState::Terminated, "10-06T00:00:00")] {
        let done = gateway.charging.command(&account(1), reach(state, when)).await.unwrap();
        assert_eq!(done, CommandAnswer::Done);
    }
    for (row, when, suspense) in [
        ("suspended", "10-05T12:00:00", SuspenseReason::LineNotActive),
        ("terminated", "10-06T00:00:00", SuspenseReason::UnknownLine),
    ] {
        let late = ChargeRequest { ends: at(when), ..file(1, row, 10) };
        let answer = gateway.charging.charge(late).await.unwrap();
        assert_eq!(answer.suspense, Some(suspense), "{row}");
    }
    let unknown = gateway.charging.command(&account(9), reach(LineState::Terminated, "10-06T00:00:00")).await.unwrap();
    assert_eq!(unknown, CommandAnswer::Done);
    let unknown = gateway.charging.command(&account(9), reach(LineState::Active, "10-06T00:00:00")).await.unwrap();
    assert_eq!(unknown, CommandAnswer::UnknownLine);
}

#[tokio::test]
async fn accounts_beyond_the_limit_are_left_to_the_store_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let hot = fjall(&folder);
    let settings =
        ChargingSettings { shards: 1, accounts_open_max: 2, accounts_cached_max: 5, ..ChargingSettings::default() };
    let gateway = start_with(hot.clone(), settings.clone()).await;
    let counts = || (metrics().accounts_evicted.get(), metrics().accounts_loaded.get());
    let before = counts();
    for n in 0..40 {
        gateway.open(n).await;
        gateway.charging.charge(gy(n, Phase::Initial, 0, None)).await.unwrap();
    }
    // Each is used again when it has long been left: by its session and by its identifier.
    for n in 0..40 {
        let updated = gateway.charging.charge(gy(n, Phase::Update, 1, Some(1000))).await.unwrap();
        assert_eq!(updated.outcome, Outcome::Success);
        gateway.charging.charge(file(n, &format!("row-{n}"), 500)).await.unwrap();
        assert!(gateway.charging.charge(gy(n, Phase::Update, 1, Some(1000))).await.unwrap().repeated);
    }
    let (evicted, loaded) = counts();
    assert!(evicted >= before.0 + 40 && loaded >= before.1 + 35, "{evicted} evicted, {loaded} loaded");
    // What expires is looked at though its account is not in memory, and a restart changes nothing.
    gateway.clock.advance(Duration::from_secs(7300));
    gateway.tasks.shutdown().await;
    drop((gateway.charging, hot));
    let gateway = start_with(fjall(&folder), settings).await;
    for n in 0..40 {
        assert_eq!(gateway.octets(n).await, 1000, "the file's row is reconciled, Gy charges");
    }
    gateway.clock.set(at("11-01T00:30:00"));
    let closed = gateway.charging.close_cycle("2026-10".parse().unwrap(), |_, _| {}).await.unwrap();
    assert_eq!(closed.accounts, 40);
    for n in 0..40 {
        let view = gateway.charging.view(&account(n)).await.unwrap().unwrap();
        assert_eq!(view.closed_through, "2026-10".parse().unwrap());
    }
    gateway.tasks.shutdown().await;
}

/// Two gateways on one Redis, and the stores that they stand on.
async fn two_on_redis(server: &RedisServer) -> ([Gateway; 2], [Arc<RedisHot>; 2]) {
    let stores = [Arc::new(open_redis(server).await), Arc::new(open_redis(server).await)];
    let [left, right] = &stores;
    ([start(left.clone()).await, start(right.clone()).await], stores)
}

#[tokio::test]
async fn a_gateway_learns_of_lines_and_sessions_that_another_one_opened() {
    let server = RedisServer::start("always");
    let ([left, right], _stores) = two_on_redis(&server).await;
    left.open(1).await;
    let opened = right.charging.charge(gy(1, Phase::Initial, 0, None)).await.unwrap();
    assert_eq!(opened.outcome, Outcome::Success, "the line is looked for by its IMSI");
    // The other gateway has the account, and not the session; the request names no subscriber.
    let update = left.charging.charge(gy(1, Phase::Update, 1, Some(1_000))).await.unwrap();
    assert_eq!((update.outcome, update.repeated), (Outcome::Success, false));
    // A repeat at the first one finds the answer, and a newer report is counted.
    let repeat = right.charging.charge(gy(1, Phase::Update, 1, Some(1_000))).await.unwrap();
    assert!(repeat.repeated && repeat.groups == update.groups, "{repeat:?}");
    right.charging.charge(gy(1, Phase::Terminate, 2, Some(500))).await.unwrap();
    assert_eq!((left.octets(1).await, right.octets(1).await), (1_500, 1_500));
    let unknown = right.charging.charge(gy(7, Phase::Initial, 0, None)).await.unwrap();
    assert_eq!(unknown.outcome, Outcome::UnknownSubscriber);
}

#[tokio::test]
async fn a_session_of_another_gateway_is_found_while_its_account_is_being_changed_here() {
    let hot = Arc::new(MemoryHot::shared(2));
    let (left, right) = (start(hot.clone()).await, start(hot).await);
    for n in 0..20 {
        left.open(n).await;
        // This one has the account, and not the session that comes next.
        assert_eq!(right.octets(n).await, 0);
        left.charging.charge(gy(n, Phase::Initial, 0, None)).await.unwrap();
        let (row, update) = tokio::join!(
            right.charging.charge(file(n, &format!("row-{n}"), 7)),
            right.charging.charge(gy(n, Phase::Update, 1, Some(1_000))),
        );
        assert_eq!((row.unwrap().outcome, update.unwrap().outcome), (Outcome::Success, Outcome::Success), "line {n}");
    }
}

#[tokio::test]
async fn nothing_is_decided_on_what_another_gateway_has_changed() {
    let server = RedisServer::start("always");
    let ([left, right], _stores) = two_on_redis(&server).await;
    left.open(1).await;
    left.charging.charge(gy(1, Phase::Initial, 0, None)).await.unwrap();
    right.charging.charge(gy(1, Phase::Update, 1, Some(1_000))).await.unwrap();
    let suspend = |state| AccountCommand::Reach {
        key: format!("{state:?}"),
        line: LineId::from("l1"),
        state,
        at: at("10-10T12:00:00"),
    };
    right.charging.command(&account(1), suspend(LineState::Suspended)).await.unwrap();
    // Nothing of the account changes by the refusal: it has to be refused all the same.
    let mut another = gy(1, Phase::Initial, 0, None);
    another.session = Some(SessionId::from("pgw;another"));
    another.key = RecordKey::Gy(SessionId::from("pgw;another"), 0);
    let refused = left.charging.charge(another).await.unwrap();
    assert_eq!(refused.groups[0].outcome, Outcome::ServiceDenied, "{refused:?}");
    left.charging.command(&account(1), suspend(LineState::Active)).await.unwrap();
    let last = gy(1, Phase::Terminate, 2, Some(77));
    let (a, b) = tokio::join!(left.charging.charge(last.clone()), right.charging.charge(last));
    let repeated = [a.unwrap().repeated, b.unwrap().repeated];
    assert_eq!(repeated.iter().filter(|r| **r).count(), 1, "one of two is the repeat: {repeated:?}");
    assert_eq!((left.octets(1).await, right.octets(1).await), (1_077, 1_077));
}

#[tokio::test]
async fn a_close_takes_the_accounts_of_every_gateway() {
    let server = RedisServer::start("always");
    let ([left, right], stores) = two_on_redis(&server).await;
    left.open(1).await;
    right.open(2).await;
    right.charging.charge(file(2, "row-1", 5_000)).await.unwrap();
    let closed = left.charging.close_cycle("2026-10".parse().unwrap(), |_, _| {}).await.unwrap();
    assert_eq!(closed.accounts, 2);
    right.charging.charge(file(2, "row-2", 7_000)).await.unwrap();
    let late: Vec<_> = logged(&*stores[0]).await.into_iter().map(|r| (r.octets, r.late_for.is_some())).collect();
    assert_eq!(late, [(5_000, false), (7_000, true)]);
}
