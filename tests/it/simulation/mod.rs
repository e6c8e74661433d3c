//! Shards, committer, hot store, drain and relational store in one thread, on a clock that
//! moves when nothing else can: a seed decides what goes wrong at every await, and the same
//! seed runs the same course.
//!
//! `LINEGATE_TEST_SIMULATION_SEEDS` is how many seeds run, from `LINEGATE_TEST_SIMULATION_SEED` on.

mod clients;
mod faults;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::memory_hot::MemoryHot;
use linegate::domain::account::{AccountCommand, AccountView, CommandAnswer};
use linegate::domain::cycle::CycleId;
use linegate::domain::ids::{AccountId, Apn, CustomerId, LineId, PlanId};
use linegate::domain::ledger::{LedgerSide, balanced};
use linegate::domain::line::{Access, LineState, Profile};
use linegate::domain::money::{Currency, Rate};
use linegate::domain::tariff::{ChargingSource, Plan, QuotaPolicy, SharedTariff, Tariff, Tier, UsagePrice};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{Identifier, UsageOutcome, UsageRecord};
use linegate::ports::Clock;
use linegate::ports::hot::{HotStore, Position};
use linegate::ports::relational::{BillingReads, Page, UsageFilter};
use linegate::services::charging::{Charging, ChargingSettings, ChargingTasks};
use linegate::services::drain::{Drain, DrainSettings};
use tokio_util::sync::CancellationToken;

use self::clients::{Client, Kind};
use self::faults::{Dice, FaultyHot, FaultySink, Kept, Life, Rates};

const CAP: u64 = 4_000_000;
/// An hour before the month ends.
const BEGIN: &str = "2026-10-31T23:00:00+09:00";
/// Lives with faults; then one without lets everything come to its end.
const LIVES_MAX: u64 = 12;

/// A line of the simulated network: its account, its plan, and who reports its usage from
/// which gateway.
struct LineOf {
    account: &'static str,
    plan: &'static str,
    clients: &'static [(Kind, usize)],
}

const LINES: &[LineOf] = &[
    LineOf { account: "pool", plan: "payg", clients: &[(Kind::Gy, 0)] },
    LineOf { account: "pool", plan: "payg", clients: &[(Kind::Gy, 1)] },
    LineOf { account: "capped", plan: "capped", clients: &[(Kind::Gy, 0), (Kind::Gy, 1)] },
    LineOf { account: "modem", plan: "payg", clients: &[(Kind::Modem, 1)] },
    LineOf { account: "offline", plan: "payg", clients: &[(Kind::Rf, 0), (Kind::File, 0)] },
    LineOf { account: "mixed", plan: "payg", clients: &[(Kind::Gy, 1), (Kind::Modem, 1)] },
    LineOf { account: "", plan: "", clients: &[(Kind::Stray, 0)] },
];

fn line_id(n: usize) -> LineId {
    LineId::from(format!("l{n}"))
}

fn imsi(n: usize) -> String {
    format!("45008{n:010}")
}

fn tariff() -> SharedTariff {
    let tier =
        |from_octets, price, per_octets| Tier { from_octets, price: Rate::whole(price), per_octets, exact: false };
    let payg = UsagePrice::graduated(vec![tier(0, 3, 100_000)]);
    let capped =
        UsagePrice { cap_octets: Some(CAP), ..UsagePrice::graduated(vec![tier(0, 0, 1), tier(1_000_000, 7, 100_000)]) };
    let plan = |usage| Plan {
        name: "IoT".to_owned(),
        product: "iot".to_owned(),
        department: "iot-business".to_owned(),
        access: Access::Cellular,
        apns: vec![Apn::from("iot.example")],
        monthly_fee: 1000,
        activation_fee: 0,
        fees: Vec::new(),
        suspended_percent: 0,
        source: ChargingSource::Auto,
        usage: Some(usage),
        quota: QuotaPolicy { slice_octets: 400_000, ..QuotaPolicy::default() },
    };
    let plans = [(PlanId::from("payg"), plan(payg)), (PlanId::from("capped"), plan(capped))];
    Tariff { plans: plans.into_iter().collect(), ..Tariff::empty(1, Currency::KRW, 10) }.into()
}

/// The gateway's clock: it goes with the runtime's, and jumps into the next month.
struct SimClock {
    epoch: Timestamp,
    began: tokio::time::Instant,
    jumped_ms: AtomicI64,
}

impl SimClock {
    #[expect(clippy::disallowed_methods, reason = "the runtime's clock stands until it is moved")]
    fn from(epoch: Timestamp) -> Self {
        Self { epoch, began: tokio::time::Instant::now(), jumped_ms: AtomicI64::new(0) }
    }

    fn jump_to(&self, at: Timestamp) {
        self.jumped_ms.fetch_add(at.since(self.now()).as_millis() as i64, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let jumped = Duration::from_millis(self.jumped_ms.load(Ordering::Relaxed) as u64);
        self.epoch.plus(self.began.elapsed()).plus(jumped)
    }
}

/// Where the accounts are kept.
enum Place {
    Memory(Arc<MemoryHot>),
    Folder(tempfile::TempDir),
}

impl Place {
    fn open(&self) -> Arc<dyn HotStore> {
        match self {
            Place::Memory(hot) => hot.clone(),
            Place::Folder(folder) => {
                let settings = FjallSettings { free_bytes_min: 0, ..FjallSettings::default() };
                Arc::new(FjallHot::open(folder.path(), settings).unwrap())
            }
        }
    }
}

/// What outlives the gateway's processes.
struct World {
    seed: u64,
    dice: Dice,
    place: Place,
    relational: Arc<MemoryStore>,
    kept: Kept,
    clients: Vec<Arc<Mutex<Client>>>,
    settings: ChargingSettings,
    gateways: usize,
    now: Timestamp,
    last_alive: Option<Timestamp>,
    /// Commands that the order system still wants carried out.
    commands: Arc<Mutex<Vec<AccountCommand>>>,
    /// Whether the month is closed in this run, and the marker once it is.
    closes: bool,
    closed: Arc<Mutex<Option<Position>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Fatal,
    Stopped,
    Done,
}

struct Gateway {
    charging: Charging,
    tasks: ChargingTasks,
    drain: tokio::task::JoinHandle<()>,
}

/// One life's processes, with the store behind their faults.
struct Running {
    gateways: Vec<Gateway>,
    inner: Arc<dyn HotStore>,
    life: Life,
    clock: Arc<SimClock>,
}

fn october() -> CycleId {
    "2026-10".parse().unwrap()
}

impl World {
    fn of(seed: u64, place: Place) -> Self {
        let dice = Dice::of(seed);
        let mut clients = Vec::new();
        let is_shared = matches!(place, Place::Memory(_));
        let gateways = if is_shared { 1 + dice.below(2) as usize } else { 1 };
        for (n, line) in LINES.iter().enumerate() {
            for (place, (kind, gateway)) in line.clients.iter().enumerate() {
                let (name, subscriber) = (format!("client-{n}-{place}"), Identifier::imsi(imsi(n)));
                let to_do = 3 + dice.below(12) as u32;
                let client = Client::new(*kind, &name, subscriber, gateway % gateways, to_do);
                clients.push(Arc::new(Mutex::new(client)));
            }
        }
        let mut settings = ChargingSettings {
            shards: 1 + dice.below(2) as usize,
            batch_requests_max: 1 + dice.below(8) as usize,
            commit_tries_max: 1 + dice.below(8) as u32,
            commit_retry_ms: 1 + dice.below(50),
            tick_ms: 1 + dice.below(500),
            heartbeat_ms: 1 + dice.below(2000),
            accounts_open_max: 1 + dice.below(6) as usize,
            accounts_cached_max: 1 + dice.below(8) as usize,
            loads_max: 1 + dice.below(3) as usize,
            load_requests_max: 1 + dice.below(8) as usize,
            ..ChargingSettings::default()
        };
        // Longer than a run takes, the jump into the next month included.
        settings.rating.limits.session_keys_live_s = 7200;
        let now = Timestamp::parse(BEGIN).unwrap();
        let closes = dice.one_in(4);
        Self {
            seed,
            place,
            relational: Arc::new(MemoryStore::new()),
            kept: Kept::default(),
            clients,
            settings,
            gateways,
            now,
            last_alive: None,
            commands: Arc::new(Mutex::new(commands(&dice, now))),
            closes,
            closed: Arc::default(),
            dice,
        }
    }

    /// The lines are opened in peace, and then the gateway lives until all is done.
    fn run(mut self) -> u64 {
        self.live(Rates::CALM, World::open_lines);
        for _ in 0..LIVES_MAX {
            let rates = Rates::of(&self.dice);
            if self.live(rates, World::serve) == End::Done {
                break;
            }
            if self.dice.one_in(3) {
                self.stay_down();
            }
        }
        assert_eq!(self.live(Rates::CALM, World::serve), End::Done, "without faults everything comes to its end");
        self.live(Rates::CALM, World::judge);
        self.dice.trace()
    }

    /// Nobody serves for a while.
    fn stay_down(&mut self) {
        let began = Timestamp::parse(BEGIN).unwrap();
        let room = Duration::from_secs(3000).saturating_sub(self.now.since(began)).as_millis();
        self.now = self.now.plus(Duration::from_millis(self.dice.below(room as u64 + 1)));
        // A grant may not be valid any more: a client uses nothing of it.
        self.clients.iter().for_each(|client| client.lock().unwrap().forget_grants());
    }

    /// One life: whatever still runs at its end is gone with the runtime.
    fn live<T>(&mut self, rates: Rates, act: impl AsyncFnOnce(&World, Running) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (ended, now, last_alive) = runtime.block_on(async {
            let life = Life { dice: self.dice.clone(), rates, killed: CancellationToken::new() };
            let clock = Arc::new(SimClock::from(self.now.plus(Duration::from_millis(1))));
            let mut gateways = Vec::new();
            let inner = self.place.open();
            for _ in 0..self.gateways {
                gateways.push(self.start(&inner, &life, &clock).await);
            }
            let ended = act(self, Running { gateways, inner, life, clock: Arc::clone(&clock) }).await;
            (ended, clock.now(), Some(clock.now()))
        });
        (self.now, self.last_alive) = (now, last_alive);
        ended
    }

    async fn start(&self, inner: &Arc<dyn HotStore>, life: &Life, clock: &Arc<SimClock>) -> Gateway {
        let hot = Arc::new(FaultyHot {
            inner: Arc::clone(inner),
            life: life.clone(),
            kept: Arc::clone(&self.kept),
            poisoned: AtomicBool::new(false),
            last_commit_at: self.last_alive,
        });
        let newest_closed = self.closed.lock().unwrap().map(|_| october());
        let (charging, tasks) =
            Charging::start(hot.clone(), tariff(), clock.clone(), self.settings.clone(), newest_closed).await.unwrap();
        let sink = Arc::new(FaultySink { inner: Arc::clone(&self.relational), life: life.clone() });
        let settings = DrainSettings {
            batch_entries: 1 + self.dice.below(8) as usize,
            batch_records: 1 + self.dice.below(8) as usize,
            idle_ms: 50,
            retry_ms: 100,
            yield_ms: 70,
        };
        let drain = Drain::new(hot, sink, settings);
        // It ends with the process: what it has not taken is taken by the next one.
        let drain = tokio::spawn(async move { drain.run(CancellationToken::new()).await });
        Gateway { charging, tasks, drain }
    }

    async fn open_lines(&self, Running { gateways, clock, .. }: Running) {
        for (n, line) in LINES.iter().enumerate().filter(|(_, line)| !line.account.is_empty()) {
            let profile = Profile {
                access: Access::Cellular,
                imsi: Some(imsi(n)),
                msisdn: None,
                device: None,
                apns: vec![],
                plan: PlanId::from(line.plan),
                source: None,
                address: None,
                email: None,
                phone: None,
            };
            let command = AccountCommand::OpenLine {
                key: format!("open-{n}"),
                line: line_id(n),
                customer: CustomerId::from("c1"),
                anchor_day: 1,
                zone: "Asia/Seoul".to_owned(),
                profile: Box::new(profile),
                state: LineState::Active,
                at: clock.now(),
            };
            let done = gateways[0].charging.command(&AccountId::from(line.account), command).await.unwrap();
            assert_eq!(done, CommandAnswer::Done);
        }
        shut_down(gateways).await;
    }

    /// Serves until everybody is done or the process ends.
    async fn serve(&self, running: Running) -> End {
        let Running { mut gateways, life, clock, .. } = running;
        let mut working = Vec::new();
        for client in &self.clients {
            let gateway = &gateways[client.lock().unwrap().node];
            working.push(tokio::spawn(use_up(
                Arc::clone(client),
                gateway.charging.clone(),
                life.clone(),
                Arc::clone(&clock),
            )));
        }
        let order_system = carry_out(Arc::clone(&self.commands), gateways[0].charging.clone(), life.clone());
        working.push(tokio::spawn(order_system));
        if self.closes {
            let close = close(Arc::clone(&self.closed), gateways[0].charging.clone(), life.clone(), Arc::clone(&clock));
            working.push(tokio::spawn(close));
        }
        let stops = self.dice.one_in(if life.rates.crash == 0 { 2 } else { 6 }) && life.rates.delay != 0;
        let stop = Duration::from_millis(self.dice.below(3000));
        let fatal = select_all(gateways.iter_mut().map(|gateway| Box::pin(gateway.tasks.fatal())));
        let end = tokio::select! {
            biased;
            () = life.killed.cancelled() => End::Killed,
            (reason, ..) = fatal => {
                assert!(reason.contains("by the seed"), "{reason}");
                End::Fatal
            }
            () = tokio::time::sleep(stop), if stops => End::Stopped,
            done = join_all(working) => {
                done.into_iter().for_each(|worker| worker.unwrap());
                End::Done
            }
            () = tokio::time::sleep(Duration::from_secs(900)) => panic!("somebody waits for ever"),
        };
        self.dice.note(&format!("{end:?}"));
        if matches!(end, End::Stopped | End::Done) {
            tokio::select! {
                biased;
                () = shut_down(gateways) => {}
                () = life.killed.cancelled() => return End::Killed,
                () = tokio::time::sleep(Duration::from_secs(900)) => panic!("the shutdown waits for ever"),
            }
        }
        end
    }

    /// What was acknowledged is what is counted: record by record, and in sum.
    async fn judge(&self, Running { gateways, inner: hot, .. }: Running) {
        let mut views = BTreeMap::new();
        for line in LINES.iter().filter(|line| !line.account.is_empty()) {
            let view = gateways[0].charging.view(&AccountId::from(line.account)).await.unwrap();
            views.insert(line.account, view.expect("an account does not vanish"));
        }
        shut_down(gateways).await;
        Drain::new(hot.clone(), self.relational.clone(), DrainSettings::default()).drain_all().await.unwrap();
        let cursor = self.relational.drain_cursor().await.unwrap();
        assert_eq!(cursor, hot.last_position(), "the drain has passed everything");
        assert!(hot.log_after(0, cursor, 1).await.unwrap().is_empty());
        let page = Page { offset: 0, limit: 100_000 };
        let stored = self.relational.usage(&UsageFilter::default(), page).await.unwrap().items;
        let stored: Vec<UsageRecord> = stored.into_iter().map(|stored| stored.record).collect();
        self.records_agree(&stored);
        self.marker_holds();
        for (n, line) in LINES.iter().enumerate().filter(|(_, line)| !line.account.is_empty()) {
            self.line_agrees(&line_id(n), line, &views[line.account], &stored);
        }
    }

    fn records_agree(&self, stored: &[UsageRecord]) {
        let mut by_key: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for record in stored {
            let key = (record.key.to_string(), record.rating_group);
            let is_first = by_key.insert(key.clone(), record.octets).is_none();
            assert!(is_first, "{key:?} is counted twice: {:#?}", self.kept_of(&key));
            assert!(balanced(&record.postings), "{record:?}");
            let network: i64 =
                record.postings.iter().filter(|p| p.side == LedgerSide::Network).map(|posting| posting.amount).sum();
            let expected = if record.outcome == UsageOutcome::Rated { -(record.octets as i64) } else { 0 };
            assert_eq!(network, expected, "the postings of {record:?}");
        }
        let is_charged = |record: &&UsageRecord| !matches!(record.outcome, UsageOutcome::Suspense(_));
        let kept = self.kept.lock().unwrap();
        assert_eq!(
            kept.iter().map(|(_, record)| record).filter(is_charged).count(),
            stored.iter().filter(is_charged).count(),
            "the drain takes every record once"
        );
        let mut known: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for client in &self.clients {
            let client = client.lock().unwrap();
            for key in &client.acknowledged {
                assert_eq!(by_key.get(key), client.sent.get(key), "{key:?} was acknowledged");
            }
            for key in &client.refused {
                assert_eq!(by_key.get(key), None, "{key:?} was refused");
            }
            known.extend(client.sent.iter().map(|(key, octets)| (key.clone(), *octets)));
        }
        for (key, octets) in &by_key {
            assert_eq!(known.get(key), Some(octets), "{key:?} was never sent like that");
        }
    }

    fn kept_of(&self, (key, group): &(String, u32)) -> Vec<(Position, UsageRecord)> {
        let kept = self.kept.lock().unwrap();
        kept.iter().filter(|(_, r)| r.key.to_string() == *key && r.rating_group == *group).cloned().collect()
    }

    /// Nothing is billed to a closed month behind the marker.
    fn marker_holds(&self) {
        let Some(marker) = *self.closed.lock().unwrap() else { return };
        for (position, record) in self.kept.lock().unwrap().iter().filter(|(at, _)| *at > marker) {
            assert!(record.cycle.is_none_or(|cycle| cycle > october()), "{record:?} at {position}, marker {marker}");
        }
    }

    fn line_agrees(&self, id: &LineId, line: &LineOf, view: &AccountView, stored: &[UsageRecord]) {
        let rated = stored.iter().filter(|r| r.line.as_ref() == Some(id) && r.outcome == UsageOutcome::Rated);
        let (octets, amount) = rated.fold((0, 0), |(octets, amount), r| (octets + r.octets, amount + r.amount));
        if self.closes {
            return;
        }
        let lines = view.lines.iter().filter(|l| l.line == *id);
        let held = lines.clone().fold((0, 0), |(octets, amount), l| (octets + l.octets, amount + l.amount));
        assert_eq!(held, (octets, amount), "{id}: the account and its records");
        let book = tariff().book();
        let price = book.at(Timestamp(0)).plan(&PlanId::from(line.plan)).unwrap().usage.as_ref().unwrap();
        // The run is within an hour of a month's end: a month each has its own tiers.
        let priced: i64 = lines.map(|l| price.plain().unwrap().of_total(l.octets).unwrap()).sum();
        assert_eq!(amount, priced, "{id}: the price of the sum is the sum of the prices");
        if let Some(cap) = price.cap_octets {
            for each in view.lines.iter().filter(|l| l.line == *id) {
                assert!(each.octets + each.reserved <= cap, "{id}: more was granted than was left: {each:?}");
            }
        }
    }
}

/// The order system's wishes: the capped line is suspended and resumed, in this order.
fn commands(dice: &Dice, now: Timestamp) -> Vec<AccountCommand> {
    let line = line_id(2);
    let mut commands = Vec::new();
    for round in 0..dice.below(3) {
        let at = now.plus(Duration::from_secs(1 + round));
        let key = |what: &str| format!("{what}-{round}");
        commands.push(AccountCommand::StopGrants { key: key("stop"), line: line.clone() });
        let reach = |state, what| AccountCommand::Reach { key: key(what), line: line.clone(), state, at };
        commands.push(reach(LineState::Suspended, "suspend"));
        commands.push(reach(LineState::Active, "resume"));
    }
    commands.reverse();
    commands
}

async fn carry_out(commands: Arc<Mutex<Vec<AccountCommand>>>, charging: Charging, life: Life) {
    loop {
        let Some(command) = commands.lock().unwrap().last().cloned() else { return };
        tokio::time::sleep(Duration::from_millis(life.dice.below(1500))).await;
        match charging.command(&AccountId::from("capped"), command).await {
            Ok(CommandAnswer::Done | CommandAnswer::Sessions(_)) => drop(commands.lock().unwrap().pop()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Closes October when it is over, and again until it is told that it is done.
async fn close(closed: Arc<Mutex<Option<Position>>>, charging: Charging, life: Life, clock: Arc<SimClock>) {
    tokio::time::sleep(Duration::from_millis(life.dice.below(2000))).await;
    if closed.lock().unwrap().is_some() {
        return;
    }
    clock.jump_to(Timestamp::parse("2026-11-01T00:00:01+09:00").unwrap());
    loop {
        match charging.close_cycle(october(), |_, _| {}).await {
            Ok(done) => {
                life.dice.note(&format!("closed at {}", done.position));
                *closed.lock().unwrap() = Some(done.position);
                return;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One client's work, until it has nothing left to report.
async fn use_up(client: Arc<Mutex<Client>>, charging: Charging, life: Life, clock: Arc<SimClock>) {
    let dice = &life.dice;
    loop {
        let request = client.lock().unwrap().next(dice, clock.now());
        let Some(request) = request else { return };
        if dice.one_in(3) {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        }
        let patience = if dice.one_in(life.rates.give_up) { dice.below(60) } else { 5000 };
        let key = request.key.to_string();
        let answer = tokio::time::timeout(Duration::from_millis(patience), charging.charge(request)).await;
        match answer {
            Ok(Ok(answer)) => {
                let repeated = if answer.repeated { " again" } else { "" };
                dice.note(&format!("{key}: {:?}{repeated}", answer.outcome));
                client.lock().unwrap().answered(&answer);
            }
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            // No answer in time: the same again.
            Err(_) => {}
        }
    }
}

async fn shut_down(gateways: Vec<Gateway>) {
    for gateway in gateways {
        gateway.tasks.shutdown().await;
        gateway.drain.abort();
    }
}

/// Names the seed where its run panics.
struct Replay(u64, &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "replay: LINEGATE_TEST_SIMULATION_SEED={} LINEGATE_TEST_SIMULATION_SEEDS=1 \
                 cargo test --test it simulation::{} -- --nocapture",
                self.0, self.1
            );
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds() -> u64 {
    number("LINEGATE_TEST_SIMULATION_SEEDS", 200)
}

fn each_seed(share: u64, test: &'static str, place: impl Fn() -> Place) {
    let first = number("LINEGATE_TEST_SIMULATION_SEED", 0);
    let seeds = seeds().div_ceil(share);
    println!("seeds {first} to {}", first + seeds - 1);
    for seed in first..first + seeds {
        let _replay = Replay(seed, test);
        World::of(seed, place()).run();
    }
}

#[test]
fn what_is_acknowledged_is_what_is_counted_whatever_fails() {
    let test = "what_is_acknowledged_is_what_is_counted_whatever_fails";
    each_seed(1, test, || Place::Memory(Arc::new(MemoryHot::new())));
}

#[test]
fn the_same_on_the_embedded_store() {
    each_seed(20, "the_same_on_the_embedded_store", || Place::Folder(tempfile::tempdir().unwrap()));
}

#[test]
fn a_seed_runs_the_same_course_again() {
    for seed in 0..20 {
        let run = || World::of(seed, Place::Memory(Arc::new(MemoryHot::new()))).run();
        assert_eq!(run(), run(), "seed {seed}");
    }
}
