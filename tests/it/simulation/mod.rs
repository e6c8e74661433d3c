//! Shards, committer, hot store, drain and relational store in one thread, on a clock that
//! moves when nothing else can: a seed decides what goes wrong at every await, and the same
//! seed runs the same course.
//!
//! `LINEGATE_TEST_SIMULATION_SEEDS` is how many seeds run, from `LINEGATE_TEST_SIMULATION_SEED` on.

mod clients;
mod faults;
mod gateways;
mod judge;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use linegate::adapters::fjall::{FjallHot, FjallSettings};
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::memory_hot::MemoryHot;
use linegate::adapters::tariff_file;
use linegate::domain::account::{AccountCommand, CommandAnswer};
use linegate::domain::cycle::CycleId;
use linegate::domain::ids::{AccountId, PlanId};
use linegate::domain::line::LineState;
use linegate::domain::money::Rate;
use linegate::domain::tariff::{Tariff, Tier, UsagePrice};
use linegate::domain::time::Timestamp;
use linegate::ports::Clock;
use linegate::ports::hot::{HotStore, Position};
use linegate::services::charging::{ChargingSettings, OfflinePolicy, OnlinePolicy, OutageSettings};
use linegate::telemetry::metrics;

use self::clients::{Client, Kind};
use self::faults::{Dice, Kept, Rates};
use self::gateways::{Doors, End, Gateway, Ground};
use crate::cellular::{self, imsi, line_id};

const PAYG: &str = "iot-payg";
const CAPPED: &str = "iot-capped";
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
    /// Opened while others are charged already.
    is_late: bool,
}

const fn line(account: &'static str, plan: &'static str, clients: &'static [(Kind, usize)]) -> LineOf {
    LineOf { account, plan, clients, is_late: false }
}

const LINES: &[LineOf] = &[
    line("pool", PAYG, &[(Kind::Gy, 0)]),
    line("pool", PAYG, &[(Kind::Gy, 1)]),
    line("capped", CAPPED, &[(Kind::Gy, 0), (Kind::Gy, 1)]),
    line("modem", PAYG, &[(Kind::Modem, 1)]),
    line("offline", PAYG, &[(Kind::Rf, 0), (Kind::File, 0)]),
    line("mixed", PAYG, &[(Kind::Gy, 1), (Kind::Modem, 1)]),
    line("", "", &[(Kind::Stray, 0)]),
    LineOf { is_late: true, ..line("late", PAYG, &[(Kind::Gy, 0), (Kind::Modem, 1)]) },
];

/// The shipped plans with grants that are soon used up, and a second tier and a cap within reach.
static TARIFF: LazyLock<Tariff> = LazyLock::new(|| {
    let mut tariff = tariff_file::shipped().unwrap();
    let tier =
        |from_octets, price, per_octets| Tier { from_octets, price: Rate::whole(price), per_octets, exact: false };
    let capped =
        UsagePrice { cap_octets: Some(CAP), ..UsagePrice::graduated(vec![tier(0, 0, 1), tier(1_000_000, 7, 100_000)]) };
    tariff.plans.get_mut(&PlanId::from(CAPPED)).unwrap().usage = Some(capped);
    tariff.plans.values_mut().for_each(|plan| plan.quota.slice_octets = 400_000);
    tariff
});

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

/// What a test stands on.
#[derive(Clone, Copy)]
enum Stores {
    /// In memory: one gateway on a store of its own, or several that share one.
    Memory,
    /// One gateway on the embedded store.
    Embedded,
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
    /// What each gateway has answered while the hot store was away, and not settled.
    journals: Vec<Arc<Mutex<Vec<Vec<u8>>>>>,
    now: Timestamp,
    last_alive: Option<Timestamp>,
    /// Commands that the order system still wants carried out, the next one last.
    commands: Arc<Mutex<Vec<Wish>>>,
    /// Whether the month is closed in this run, and the marker once it is.
    closes: bool,
    closed: Arc<Mutex<Option<Position>>>,
    /// Gateways that were started again while others went on.
    restarts: AtomicU64,
}

/// A command for an account.
type Wish = (AccountId, AccountCommand);

fn october() -> CycleId {
    "2026-10".parse().unwrap()
}

impl World {
    fn of(seed: u64, stores: Stores) -> Self {
        let dice = Dice::of(seed);
        let mut clients = Vec::new();
        let (gateways, place) = match stores {
            Stores::Embedded => (1, Place::Folder(tempfile::tempdir().unwrap())),
            Stores::Memory => match dice.below(4) as usize {
                0 => (1, Place::Memory(Arc::new(MemoryHot::new()))),
                gateways => (gateways, Place::Memory(Arc::new(MemoryHot::shared(1 + dice.below(4) as u8)))),
            },
        };
        for (n, line) in LINES.iter().enumerate() {
            for (place, (kind, gateway)) in line.clients.iter().enumerate() {
                let (name, subscriber) = (format!("client-{n}-{place}"), imsi(n));
                let to_do = 3 + dice.below(12) as u32;
                let client = Client::new(*kind, &name, line_id(n), subscriber, *gateway, to_do);
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
            lookups_max: 1 + dice.below(4) as usize,
            lookup_missed_ms: 1 + dice.below(1000),
            lookups_missed_max: 1 + dice.below(3) as usize,
            outage: outage(&dice, gateways),
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
            journals: (0..gateways).map(|_| Arc::default()).collect(),
            now,
            last_alive: None,
            commands: Arc::new(Mutex::new(commands(&dice, now))),
            closes,
            closed: Arc::default(),
            restarts: AtomicU64::new(0),
            dice,
        }
    }

    /// The lines are opened in peace, and then the gateway lives until all is done.
    fn run(mut self) -> Course {
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
        Course { trace: self.dice.trace(), restarts: self.restarts.into_inner() }
    }

    /// Whether quota is granted while the hot store is away: on what may be old.
    fn grants_blindly(&self) -> bool {
        self.settings.outage.gy == OnlinePolicy::LocalAllowance
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
    fn live<T>(&mut self, rates: Rates, act: impl AsyncFnOnce(&World, Vec<Gateway>, Ground) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (ended, now) = runtime.block_on(async {
            let clock = Arc::new(SimClock::from(self.now.plus(Duration::from_millis(1))));
            let ground = Ground { hot: self.place.open(), rates, clock: Arc::clone(&clock) };
            let mut gateways = Vec::new();
            for at in 0..self.gateways {
                gateways.push(self.start(at, &ground, self.last_alive).await);
            }
            (act(self, gateways, ground).await, clock.now())
        });
        (self.now, self.last_alive) = (now, Some(now));
        ended
    }

    async fn open_lines(&self, gateways: Vec<Gateway>, ground: Ground) {
        for n in (0..LINES.len()).filter(|n| !LINES[*n].account.is_empty() && !LINES[*n].is_late) {
            let (account, command) = open(n, ground.clock.now());
            let done = gateways[0].charging.command(&account, command).await.unwrap();
            assert_eq!(done, CommandAnswer::Done);
        }
        shut_down(gateways).await;
    }

    /// Serves until everybody is done or the gateways end.
    async fn serve(&self, mut gateways: Vec<Gateway>, ground: Ground) -> End {
        let doors = Doors::of(&gateways, ground.hot.as_ref());
        let (dice, grants_blindly) = (self.dice.clone(), self.grants_blindly());
        let scene = Scene { dice, doors: doors.clone(), ground: ground.clone(), grants_blindly };
        let commands = || Arc::clone(&self.commands);
        let clients = self.clients.iter().map(Arc::clone);
        let mut working: Vec<_> = clients.map(|c| tokio::spawn(use_up(c, commands(), scene.clone()))).collect();
        working.push(tokio::spawn(carry_out(commands(), scene.clone())));
        if self.closes {
            working.push(tokio::spawn(close(Arc::clone(&self.closed), scene.clone())));
        }
        let rates = ground.rates;
        let stops = self.dice.one_in(if rates.crash == 0 { 2 } else { 6 }) && rates.delay != 0;
        let stop = Duration::from_millis(self.dice.below(3000));
        let kept = gateways.iter_mut().enumerate().map(|(at, g)| Box::pin(self.keep(at, g, &doors, &ground)));
        let end = tokio::select! {
            biased;
            (end, ..) = select_all(kept) => end,
            () = tokio::time::sleep(stop), if stops => End::Stopped,
            done = join_all(working) => {
                done.into_iter().for_each(|worker| worker.unwrap());
                End::Done
            }
            () = tokio::time::sleep(Duration::from_secs(900)) => panic!("somebody waits for ever"),
        };
        self.dice.note(&format!("{end:?}"));
        if matches!(end, End::Stopped | End::Done) {
            let ended = tokio::time::timeout(Duration::from_secs(900), shut_down(gateways)).await;
            if !ended.expect("a shutdown does not wait for ever") {
                return End::Killed;
            }
        }
        end
    }
}

/// What is done while the hot store is away. A session that is in one gateway's journal alone
/// is not known to others: where there are any, sessions wait.
fn outage(dice: &Dice, gateways: usize) -> OutageSettings {
    let (is_alone, journals) = (gateways == 1, |dice: &Dice| match dice.one_in(3) {
        true => OfflinePolicy::Wait,
        false => OfflinePolicy::Journal,
    });
    OutageSettings {
        gy: if is_alone && !dice.one_in(3) { OnlinePolicy::LocalAllowance } else { OnlinePolicy::Refuse },
        rf: if is_alone { journals(dice) } else { OfflinePolicy::Wait },
        mqtt: journals(dice),
        wait_ms_max: dice.below(3000),
        local_allowance_octets: 1 + dice.below(1_000_000),
        local_allowance_total_octets: 2_000_000,
        journal_requests_max: 1 + dice.below(40) as usize,
        settle_requests: 1 + dice.below(4) as usize,
        settle_ms: 1 + dice.below(400),
    }
}

/// What whoever works in a life works with.
#[derive(Clone)]
struct Scene {
    dice: Dice,
    doors: Doors,
    ground: Ground,
    grants_blindly: bool,
}

/// Opens a line.
fn open(n: usize, at: Timestamp) -> Wish {
    (AccountId::from(LINES[n].account), cellular::open(n, LINES[n].plan, at))
}

/// The order system's wishes: the capped line is suspended and resumed, in this order, and
/// lines are opened in between.
fn commands(dice: &Dice, now: Timestamp) -> Vec<Wish> {
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
    let mut wishes: Vec<Wish> = commands.into_iter().map(|command| (AccountId::from("capped"), command)).collect();
    for n in (0..LINES.len()).filter(|n| LINES[*n].is_late) {
        wishes.insert(dice.below(wishes.len() as u64 + 1) as usize, open(n, now));
    }
    wishes.reverse();
    wishes
}

async fn carry_out(commands: Arc<Mutex<Vec<Wish>>>, Scene { dice, doors, .. }: Scene) {
    loop {
        let Some((account, command)) = commands.lock().unwrap().last().cloned() else { return };
        tokio::time::sleep(Duration::from_millis(dice.below(1500))).await;
        let patience = Duration::from_secs(5);
        match tokio::time::timeout(patience, doors.choose(0, &dice).command(&account, command)).await {
            Ok(Ok(CommandAnswer::Done | CommandAnswer::Sessions(_))) => drop(commands.lock().unwrap().pop()),
            Ok(Ok(other)) => panic!("{other:?}"),
            // The same again: it may have been carried out.
            Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Closes October when it is over, and again until it is told that it is done.
async fn close(closed: Arc<Mutex<Option<Position>>>, Scene { dice, doors, ground, .. }: Scene) {
    tokio::time::sleep(Duration::from_millis(dice.below(2000))).await;
    if closed.lock().unwrap().is_some() {
        return;
    }
    ground.clock.jump_to(Timestamp::parse("2026-11-01T00:00:01+09:00").unwrap());
    loop {
        let charging = doors.choose(0, &dice);
        match tokio::time::timeout(Duration::from_secs(60), charging.close_cycle(october(), |_, _| {})).await {
            Ok(Ok(done)) => {
                dice.note(&format!("closed at {}", done.position));
                *closed.lock().unwrap() = Some(done.position);
                return;
            }
            Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One client's work, until it has nothing left to report.
async fn use_up(client: Arc<Mutex<Client>>, commands: Arc<Mutex<Vec<Wish>>>, scene: Scene) {
    let Scene { dice, doors, ground, .. } = &scene;
    let line = client.lock().unwrap().line.clone();
    let grants_blindly = scene.grants_blindly;
    let is_to_be_opened =
        |(_, command): &Wish| matches!(command, AccountCommand::OpenLine { line: of, .. } if *of == line);
    while commands.lock().unwrap().iter().any(is_to_be_opened) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        let (request, home) = {
            let mut client = client.lock().unwrap();
            (client.next(dice, ground.clock.now()), client.home)
        };
        let Some(request) = request else { return };
        if dice.one_in(3) {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        }
        let patience = if dice.one_in(ground.rates.give_up) { dice.below(60) } else { 5000 };
        let key = request.key.to_string();
        let charging = doors.choose(home, dice);
        let answer = tokio::time::timeout(Duration::from_millis(patience), charging.charge(request)).await;
        match answer {
            Ok(Ok(answer)) => {
                let repeated = if answer.repeated { " again" } else { "" };
                dice.note(&format!("{key}: {:?}{repeated}", answer.outcome));
                client.lock().unwrap().answered(&answer, grants_blindly);
            }
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            // No answer in time: the same again.
            Err(_) => {}
        }
    }
}

/// Ends gateways in peace; false where one was killed meanwhile.
async fn shut_down(gateways: Vec<Gateway>) -> bool {
    let mut is_whole = true;
    for gateway in gateways {
        is_whole &= gateway.shut_down().await;
    }
    is_whole
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

/// What became of a run.
struct Course {
    trace: u64,
    restarts: u64,
}

/// Runs a share of the seeds; gives how many there were.
fn each_seed(share: u64, test: &'static str, stores: Stores) -> u64 {
    let first = number("LINEGATE_TEST_SIMULATION_SEED", 0);
    let seeds = seeds().div_ceil(share);
    let (mut trace, mut restarts) = (0, 0);
    for seed in first..first + seeds {
        let _replay = Replay(seed, test);
        let course = World::of(seed, stores).run();
        trace ^= course.trace;
        restarts += course.restarts;
    }
    let [found, missed] = ["found", "missed"].map(|outcome| metrics().lookups.with_label_values(&[outcome]).get());
    println!(
        "seeds {first} to {}: {} conflicts, {found} accounts found in the store, {missed} not, {} read back, \
         {restarts} restarts beside others, course {trace:x}",
        first + seeds - 1,
        metrics().hot_conflicts.get(),
        metrics().accounts_loaded.get(),
    );
    seeds
}

#[test]
fn what_is_acknowledged_is_what_is_counted_whatever_fails() {
    let seeds = each_seed(1, "what_is_acknowledged_is_what_is_counted_whatever_fails", Stores::Memory);
    let found = metrics().lookups.with_label_values(&["found"]).get();
    let taken_over = |source| metrics().outage_requests.with_label_values(&[source, "taken-over"]).get();
    let taken_over: u64 = ["gy", "rf", "modem"].into_iter().map(taken_over).sum();
    let unanswered = metrics().outage_requests.with_label_values(&["gy", "unanswered"]).get();
    println!("{taken_over} requests taken over from batches, {unanswered} repeats left unanswered");
    let met = [found, metrics().hot_conflicts.get(), metrics().accounts_loaded.get(), taken_over];
    assert!(seeds < 100 || met.into_iter().all(|count| count > 100), "too little happened to prove anything: {met:?}");
}

#[test]
fn the_same_on_the_embedded_store() {
    each_seed(20, "the_same_on_the_embedded_store", Stores::Embedded);
}

#[test]
fn a_seed_runs_the_same_course_again_in_another_process() {
    let run = || {
        let test = "simulation::what_is_acknowledged_is_what_is_counted_whatever_fails";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", test, "--nocapture"]).env("LINEGATE_TEST_SIMULATION_SEEDS", "20");
        let said = String::from_utf8(again.output().unwrap().stdout).unwrap();
        said.lines().find(|line| line.starts_with("seeds")).unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert_eq!(run(), run());
}
