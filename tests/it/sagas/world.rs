//! A gateway's order room over the memory store, and a network outside that
//! really holds state: elements, MMEs, sessions, charging, with fault knobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::{ManualClock, SeededIds};
use linegate::domain::fieldwork::WorkReport;
use linegate::domain::ids::{AccountId, DeviceId, ElementId, LineId, OrderId, SagaId, SessionId};
use linegate::domain::line::{Access, Line, LineState, Profile};
use linegate::domain::notification::Language;
use linegate::domain::ordering::OrderKind;
use linegate::domain::ordering::{Order, OrderState};
use linegate::domain::request::{NewItem, NewOrder};
use linegate::domain::scheduling::{Appointment, CallOutcome, CallState, Worker};
use linegate::domain::tariff::{SharedTariff, Tariff};
use linegate::domain::time::{Interval, Timestamp};
use linegate::ports::charging::{LineCharging, LineChargingError, OpenSession};
use linegate::ports::modem::Modems;
use linegate::ports::network::{Cancellation, Elements, Held, NetworkError, ProvisionCommand};
use linegate::ports::relational::{OutboxReads, Page, Relational, WorkFilter, WorkReads, Write};
use linegate::ports::scheduling::{Asked, Scheduler, SchedulerError, Standing};
use linegate::ports::{Clock, Ids};
use linegate::saga::testing::{CrashPlan, CrashStore, Side};
use linegate::saga::{Drive, Engine, SagaSettings};
use linegate::services::activation::{ActivationSettings, Outside, register};
use linegate::services::device_states::{DeviceStateSettings, DeviceStates};
use linegate::services::fieldwork::{Fieldwork, FieldworkSettings};
use linegate::services::ordering::{Follower, Idempotency, Ordering, OrderingSettings, SubmitError, Submitted};
use linegate::services::saga_store::RelationalSagas;
use linegate::services::scheduling::{Scheduling, SchedulingSettings, VisitPlan};
use linegate::services::tokens::Tokens;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub const START: Timestamp = Timestamp(1_790_000_000_000);
pub const ALL: Page = Page { offset: 0, limit: 1_000 };

const TARIFF: &str = r#"
version = 1
currency = "KRW"
tax_percent = 10
[plan.iot-payg]
name = "IoT"
product = "iot"
department = "iot"
access = "cellular"
apns = ["iot.example"]
monthly_fee = 1000
[plan.iot-payg.usage]
tier = [{ from_octets = 0, price = 1, per_octets = 100_000 }]
threshold = [
    { name = "most", at = { amount = 50 }, action = "throttle" },
    { name = "slow", at = { amount = 80 }, action = "throttle", throttle = { up_bps = 128_000, down_bps = 256_000 } },
]
[plan.iot-10mb]
name = "IoT 10"
product = "iot"
department = "iot"
access = "cellular"
apns = ["iot.example"]
monthly_fee = 2000
[plan.internet-500m]
name = "Internet"
product = "internet"
department = "home"
access = "internet"
monthly_fee = 30000
[plan.internet-1g]
name = "Internet 1G"
product = "internet"
department = "home"
access = "internet"
monthly_fee = 40000
[plan.tv-basic]
name = "TV"
product = "tv"
department = "home"
access = "tv"
monthly_fee = 10000
[plan.tv-plus]
name = "TV"
product = "tv"
department = "home"
access = "tv"
monthly_fee = 12000
"#;

pub static SHARED_TARIFF: LazyLock<SharedTariff> = LazyLock::new(|| toml::from_str::<Tariff>(TARIFF).unwrap().into());

/// What goes wrong with one call to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Away,
    LostAnswer,
    LostCommand,
    Refused,
}

#[derive(Default)]
struct NetState {
    held: BTreeMap<LineId, Held>,
    imsi_at: BTreeSet<String>,
    sessions: BTreeMap<LineId, Vec<OpenSession>>,
    /// Charging holds nothing for them, whatever their peer does.
    given_back: BTreeSet<SessionId>,
    charged: BTreeMap<LineId, (LineState, bool, String)>,
    keys: BTreeMap<String, Vec<OpenSession>>,
    /// Visits at the scheduler outside, by how often it was asked.
    scheduled: BTreeMap<String, u32>,
    calls: usize,
    commands: usize,
    trace: Vec<String>,
}

/// The outside.
pub struct Net {
    plan: Arc<CrashPlan>,
    state: Mutex<NetState>,
    fault: Mutex<Option<(usize, Fault)>>,
    pub away: Mutex<BTreeSet<String>>,
}

impl Net {
    fn new(plan: Arc<CrashPlan>) -> Arc<Self> {
        Arc::new(Self { plan, state: Mutex::default(), fault: Mutex::default(), away: Mutex::default() })
    }

    /// Commands that were applied so far.
    pub fn commands(&self) -> usize {
        self.state.lock().unwrap().commands
    }

    pub fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    /// Every call in order, since the last look.
    pub fn trace(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().trace)
    }

    /// Whether a session has something set aside, and whether the subscriber is attached.
    pub fn in_use(&self, line: &LineId, imsi: &str) -> (bool, bool) {
        let state = self.state.lock().unwrap();
        let mut sessions = state.sessions.get(line).into_iter().flatten();
        (sessions.any(|s| !state.given_back.contains(&s.session)), state.imsi_at.contains(imsi))
    }

    /// The client reports the end of the line's sessions.
    pub fn close_sessions(&self, line: &LineId) {
        self.state.lock().unwrap().sessions.remove(line);
    }

    /// The `n`-th call from now goes wrong.
    pub fn fail(&self, n: usize, fault: Fault) {
        *self.fault.lock().unwrap() = Some((self.calls() + n, fault));
    }

    pub fn held(&self, line: &LineId) -> LineState {
        self.state.lock().unwrap().held.get(line).map_or(LineState::Absent, |h| h.state)
    }

    /// State and whether grants are allowed, as charging holds them.
    pub fn charged(&self, line: &LineId) -> Option<(LineState, bool)> {
        self.state.lock().unwrap().charged.get(line).map(|c| (c.0, c.1))
    }

    /// What it holds of the lines, as text.
    fn holds(&self, lines: &[Line]) -> Vec<String> {
        let net = self.state.lock().unwrap();
        let held = lines.iter().map(|l| {
            let held = net.held.get(&l.id).filter(|h| h.state != LineState::Absent);
            let charged = net.charged.get(&l.id);
            let sessions = net.sessions.get(&l.id).map_or(0, Vec::len);
            format!("{}: {:?} {charged:?} {sessions} sessions", l.id, held.map(|h| (h.state, &h.plan)))
        });
        held.chain(net.imsi_at.iter().map(|i| format!("attached {i}"))).collect()
    }

    pub fn open_session(&self, line: &LineId, imsi: &str) {
        let mut state = self.state.lock().unwrap();
        state.imsi_at.insert(imsi.to_owned());
        let open = OpenSession { session: SessionId::new(format!("pgw;{line}")), peer: "pgw".into() };
        state.sessions.insert(line.clone(), vec![open]);
    }

    fn call<T>(
        &self,
        element: &str,
        operation: &'static str,
        apply: impl FnOnce(&mut NetState) -> T,
    ) -> Result<T, NetworkError> {
        let name = element.to_owned();
        let unknown = || NetworkError::Unknown { element: element.to_owned(), operation };
        if self.plan.is_dead() {
            return Err(unknown());
        }
        if self.away.lock().unwrap().contains(element) {
            return Err(NetworkError::Away { element: name });
        }
        let crash = self.plan.pass();
        let mut state = self.state.lock().unwrap();
        let n = state.calls;
        state.calls += 1;
        state.trace.push(format!("{element}: {operation}"));
        match *self.fault.lock().unwrap() {
            Some((at, Fault::Away)) if at == n => return Err(NetworkError::Away { element: name }),
            Some((at, Fault::LostCommand)) if at == n => return Err(unknown()),
            Some((at, Fault::LostAnswer)) if at == n => {
                apply(&mut state);
                return Err(unknown());
            }
            Some((at, Fault::Refused)) if at == n => {
                return Err(NetworkError::Refused { element: name, operation, code: 5012, detail: String::new() });
            }
            _ => {}
        }
        match crash {
            Some(Side::Before) => Err(unknown()),
            Some(Side::After) => {
                apply(&mut state);
                Err(unknown())
            }
            None => Ok(apply(&mut state)),
        }
    }

    fn charge<T>(
        &self,
        operation: &'static str,
        apply: impl FnOnce(&mut NetState) -> T,
    ) -> Result<T, LineChargingError> {
        self.call("charging", operation, apply).map_err(|e| match e {
            NetworkError::Refused { .. } => LineChargingError::Refused { reason: e.to_string() },
            other => LineChargingError::Busy { reason: other.to_string() },
        })
    }
}

#[async_trait]
impl Elements for Net {
    fn element_for(&self, access: Access) -> Option<ElementId> {
        Some(ElementId::from(match access {
            Access::Cellular => "hss",
            Access::Internet => "olt",
            Access::Tv => "iptv",
        }))
    }

    fn connected(&self, element: &ElementId) -> bool {
        !self.away.lock().unwrap().contains(element.as_str())
    }

    async fn provision(&self, element: &ElementId, command: &ProvisionCommand) -> Result<Held, NetworkError> {
        self.call(element.as_str(), "provision", |s| {
            s.commands += 1;
            let held = Held {
                state: command.state,
                last_key: Some(command.key.clone()),
                apns: command.profile.apns.iter().map(ToString::to_string).collect(),
                plan: Some(command.profile.plan.to_string()),
            };
            // This element forgets a line that it takes back from an activation.
            let forgets = command.action == OrderKind::Terminate && command.key.ends_with("undo");
            let held = if forgets { Held { state: LineState::Absent, ..held } } else { held };
            s.held.insert(command.line.clone(), held.clone());
            held
        })
    }

    async fn query(&self, element: &ElementId, line: &LineId) -> Result<Held, NetworkError> {
        self.call(element.as_str(), "query", |s| {
            let nothing = Held { state: LineState::Absent, last_key: None, apns: vec![], plan: None };
            s.held.get(line).cloned().unwrap_or(nothing)
        })
    }

    async fn insert_subscriber_data(&self, mme: &str, imsi: &str, _: &ProvisionCommand) -> Result<bool, NetworkError> {
        self.call(mme, "insert subscriber data", |s| {
            s.commands += 1;
            s.imsi_at.contains(imsi)
        })
    }

    async fn modify_subscription(
        &self,
        mme: &str,
        imsi: &str,
        _: &Profile,
        _: &ProvisionCommand,
    ) -> Result<bool, NetworkError> {
        self.call(mme, "modify subscription", |s| {
            s.commands += 1;
            s.imsi_at.contains(imsi)
        })
    }

    async fn cancel_location(&self, mme: &str, imsi: &str, _: Cancellation) -> Result<bool, NetworkError> {
        self.call(mme, "cancel location", |s| {
            s.commands += 1;
            s.imsi_at.remove(imsi)
        })
    }

    async fn abort_session(&self, peer: &str, session: &SessionId) -> Result<bool, NetworkError> {
        self.call(peer, "abort session", |s| {
            s.commands += 1;
            let mut ended = false;
            for open in s.sessions.values_mut() {
                let before = open.len();
                open.retain(|o| o.session != *session);
                ended |= open.len() != before;
            }
            ended
        })
    }

    async fn reauthorize(&self, peer: &str, session: &SessionId) -> Result<bool, NetworkError> {
        self.call(peer, "reauthorize", |s| {
            s.commands += 1;
            s.sessions.values().flatten().any(|o| o.session == *session)
        })
    }
}

#[async_trait]
impl Modems for Net {
    async fn desired_changed(&self, _: &DeviceId) {
        if !self.plan.is_dead() {
            self.plan.pass();
            self.state.lock().unwrap().trace.push("modem: told".to_owned());
        }
    }

    async fn expel(&self, device: &DeviceId) {
        self.state.lock().unwrap().trace.push(format!("modem: {device} expelled"));
    }
}

#[async_trait]
impl LineCharging for Net {
    async fn open_line(&self, key: &str, line: &Line, _: Timestamp) -> Result<(), LineChargingError> {
        self.charge("open line", |s| {
            if s.keys.insert(key.to_owned(), vec![]).is_none() {
                let plan = line.profile.plan.to_string();
                s.charged.insert(line.id.clone(), (LineState::Active, true, plan));
            }
        })
    }

    async fn change_line(&self, key: &str, line: &Line, _: Timestamp) -> Result<(), LineChargingError> {
        self.charge("change line", |s| {
            if s.keys.insert(key.to_owned(), vec![]).is_none() {
                s.charged.get_mut(&line.id).unwrap().2 = line.profile.plan.to_string();
            }
        })
    }

    async fn reach(
        &self,
        key: &str,
        _: &AccountId,
        line: &LineId,
        state: LineState,
        _: Timestamp,
    ) -> Result<(), LineChargingError> {
        self.charge("reach", |s| {
            if s.keys.insert(key.to_owned(), vec![]).is_some() {
                return;
            }
            if state == LineState::Absent {
                s.charged.remove(line);
            } else if let Some(charged) = s.charged.get_mut(line) {
                assert_ne!(charged.0, LineState::Terminated, "charging never reopens a line");
                (charged.0, charged.1) = (state, state == LineState::Active);
            }
        })
    }

    async fn stop_grants(
        &self,
        key: &str,
        _: &AccountId,
        line: &LineId,
    ) -> Result<Vec<OpenSession>, LineChargingError> {
        self.charge("stop grants", |s| {
            let open = s.sessions.get(line).cloned().unwrap_or_default();
            if s.keys.insert(key.to_owned(), vec![]).is_none()
                && let Some(charged) = s.charged.get_mut(line)
            {
                charged.1 = false;
            }
            open
        })
    }

    async fn session_ended(&self, _: &AccountId, session: &SessionId) -> Result<(), LineChargingError> {
        self.charge("session ended", |s| {
            s.given_back.insert(session.clone());
        })
    }

    async fn open_sessions(&self, _: &AccountId, line: &LineId) -> Result<Vec<OpenSession>, LineChargingError> {
        self.charge("open sessions", |s| s.sessions.get(line).cloned().unwrap_or_default())
    }
}

/// Somebody without skills, who goes everywhere.
pub fn worker(id: &str) -> Worker {
    Worker { id: id.into(), name: id.to_owned(), skills: vec![], areas: vec![], calendar: None, absences: vec![] }
}

/// A finished job needs no result.
fn any_result() -> FieldworkSettings {
    FieldworkSettings { required: BTreeMap::new(), ..FieldworkSettings::default() }
}

/// Customers may be called at any hour, and a link goes out.
pub fn any_hour() -> SchedulingSettings {
    let midnight = jiff::civil::Time::midnight();
    SchedulingSettings {
        call_from: midnight,
        call_until: midnight,
        link_url: "https://my.example/visit/".to_owned(),
        ..SchedulingSettings::default()
    }
}

/// A scheduler that agrees with the customer at the second look.
#[async_trait]
impl Scheduler for Net {
    async fn ask(&self, visit: &Appointment) -> Result<Asked, SchedulerError> {
        let id = visit.round_id();
        let answer = self.schedule("ask", |s| {
            let looks = s.scheduled.entry(id.clone()).or_default();
            *looks += 1;
            let from = START.plus(Duration::from_secs(86_400));
            let span = Interval { from, until: from.plus(Duration::from_secs(7_200)) };
            let agreed = Standing::Agreed { worker: "theirs".into(), span };
            if *looks > 1 { agreed } else { Standing::Wanted }
        });
        answer.map(|standing| Asked { id: format!("theirs-{id}"), standing })
    }

    async fn cancel(&self, visit: &Appointment) -> Result<(), SchedulerError> {
        self.schedule("cancel", |s| {
            s.scheduled.remove(&visit.round_id());
        })
    }
}

impl Net {
    fn scheduler(self: &Arc<Self>, settings: &SchedulingSettings) -> Option<Arc<dyn Scheduler>> {
        (!settings.external_url.is_empty()).then(|| Arc::clone(self) as Arc<dyn Scheduler>)
    }

    fn schedule<T>(
        &self,
        operation: &'static str,
        apply: impl FnOnce(&mut NetState) -> T,
    ) -> Result<T, SchedulerError> {
        self.call("scheduler", operation, apply).map_err(|e| match e {
            NetworkError::Refused { .. } => SchedulerError::Refused { reason: e.to_string() },
            other => SchedulerError::Away { reason: other.to_string() },
        })
    }

    /// Visits that the scheduler outside has.
    pub fn scheduled(&self) -> usize {
        self.state.lock().unwrap().scheduled.len()
    }
}

/// What everybody holds at the end: equal worlds ended alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub order: OrderState,
    pub codes: Vec<Option<String>>,
    pub lines: Vec<String>,
    pub network: Vec<String>,
    pub events: Vec<String>,
}

/// One gateway and its outside.
pub struct World {
    pub plan: Arc<CrashPlan>,
    pub net: Arc<Net>,
    pub store: Arc<MemoryStore>,
    pub clock: Arc<ManualClock>,
    pub engine: Arc<Engine<Write>>,
    pub ordering: Arc<Ordering>,
    pub scheduling: Scheduling,
    pub fieldwork: Fieldwork,
    pub devices: DeviceStates,
    ids: Arc<SeededIds>,
    settings: SchedulingSettings,
    visits: VisitPlan,
}

impl World {
    pub async fn new(plan: Arc<CrashPlan>) -> Self {
        Self::with(plan, |_| {}).await
    }

    /// With other settings of scheduling.
    pub async fn with(plan: Arc<CrashPlan>, change: impl FnOnce(&mut SchedulingSettings)) -> Self {
        let store = Arc::new(MemoryStore::new());
        let net = Net::new(Arc::clone(&plan));
        let clock = Arc::new(ManualClock::at(START));
        let ids = Arc::new(SeededIds::from_seed(7));
        let mut settings = SchedulingSettings { call_attempts_max: 2, ..any_hour() };
        change(&mut settings);
        let world = Self::over(plan, net, store, clock, ids, settings);
        let skills = vec!["internet".to_owned(), "tv".to_owned()];
        let worker = Worker { skills, areas: vec!["Seoul".to_owned()], ..worker("kim") };
        world.scheduling.put_worker(worker).await.unwrap();
        for day in 1..=5 {
            let from = START.plus(Duration::from_secs(86_400 * day));
            let span = Interval { from, until: from.plus(Duration::from_secs(7_200)) };
            world.scheduling.put_slot(Some(format!("day-{day}").into()), &"kim".into(), span, 1).await.unwrap();
        }
        world
    }

    fn over(
        plan: Arc<CrashPlan>,
        net: Arc<Net>,
        store: Arc<MemoryStore>,
        clock: Arc<ManualClock>,
        ids: Arc<SeededIds>,
        scheduling: SchedulingSettings,
    ) -> Self {
        let relational: Arc<dyn Relational> = store.clone();
        let tariff = SHARED_TARIFF.clone();
        let visits =
            VisitPlan::new(&scheduling, Arc::new(Tokens::new("secret")), Language::Ko, net.scheduler(&scheduling))
                .unwrap();
        let outside = Outside {
            store: relational.clone(),
            elements: net.clone(),
            modems: net.clone(),
            charging: net.clone(),
            tariff: tariff.clone(),
            visits: visits.clone(),
            settings: ActivationSettings::default(),
        };
        let (any_clock, any_ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (clock.clone(), ids.clone());
        let sagas = CrashStore::new(Arc::new(RelationalSagas::new(relational.clone())), plan.clone());
        let follower = Follower::new(relational.clone(), any_clock.clone(), Language::Ko);
        let builder = Engine::builder(sagas, any_clock.clone(), any_ids.clone(), SagaSettings::default());
        let engine = register(builder, &outside).observer(Arc::new(follower)).build();
        let settings = OrderingSettings { queue_max_per_line: 3, ..OrderingSettings::default() };
        Self {
            ordering: Arc::new(Ordering::new(
                relational.clone(),
                engine.clone(),
                any_clock.clone(),
                any_ids.clone(),
                tariff,
                settings,
            )),
            scheduling: Scheduling::new(
                relational.clone(),
                engine.clone(),
                any_clock.clone(),
                any_ids,
                visits.clone(),
                scheduling.clone(),
            ),
            fieldwork: Fieldwork::new(relational.clone(), engine.clone(), any_clock, visits.clone(), any_result()),
            devices: DeviceStates::start(
                relational,
                &DeviceStateSettings::default(),
                CancellationToken::new(),
                &TaskTracker::new(),
            ),
            plan,
            net,
            store,
            clock,
            engine,
            ids,
            settings: scheduling,
            visits,
        }
    }

    /// The same stores and outside under a new process.
    pub fn restarted(&self) -> Self {
        self.rescheduled(|_| {})
    }

    /// Field work with other settings.
    pub fn fieldwork_with(&self, settings: FieldworkSettings) -> Fieldwork {
        Fieldwork::new(self.store.clone(), self.engine.clone(), self.clock.clone(), self.visits.clone(), settings)
    }

    /// The same under a new process with other settings of scheduling.
    pub fn rescheduled(&self, change: impl FnOnce(&mut SchedulingSettings)) -> Self {
        self.plan.restart();
        let mut settings = self.settings.clone();
        change(&mut settings);
        let (plan, net, store) = (self.plan.clone(), self.net.clone(), self.store.clone());
        Self::over(plan, net, store, self.clock.clone(), self.ids.clone(), settings)
    }

    pub async fn submit(&self, order: NewOrder) -> Result<Submitted, SubmitError> {
        let fingerprint = format!("{:?}", order.items);
        self.ordering.submit(&order, &Idempotency { key: None, fingerprint }).await
    }

    /// Submits and drives to the end.
    pub async fn carry_out(&self, order: NewOrder) -> Order {
        let id = self.submit(order).await.unwrap().order.id;
        assert!(self.drive(&id).await, "order {id} ends without a crash");
        self.ordering.order(&id).await.unwrap().unwrap()
    }

    /// Drives until the order's saga ends or is stuck, playing customer and
    /// worker; `false` when the process crashed.
    pub async fn drive(&self, id: &OrderId) -> bool {
        for _ in 0..1_000 {
            match self.engine.drive(&SagaId::from(id.as_str())).await {
                Err(_) => return false,
                Ok(Drive::Parked(at)) => {
                    if !self.play(id).await {
                        self.clock.set(at.max(self.clock.now()));
                    }
                }
                Ok(_) => return true,
            }
        }
        panic!("order {id} does not end: {:?}", self.ordering.saga(id).await);
    }

    /// Drives over any number of crashes.
    pub async fn survive(self, id: &OrderId) -> Self {
        let mut world = self;
        while !world.drive(id).await {
            world = world.restarted();
        }
        world
    }

    /// What customer and worker do next for the order; `false` when nothing.
    pub async fn play(&self, id: &OrderId) -> bool {
        let calls = self.scheduling.calls(Some(CallState::Due), ALL).await.unwrap();
        if let Some(call) = calls.items.iter().find(|c| c.order == *id) {
            let appointment = self.scheduling.appointment(&call.appointment).await.unwrap().unwrap();
            let search =
                linegate::services::scheduling::SlotSearch { skills: appointment.skills, address: appointment.address };
            let slots = self.scheduling.free_slots(&search, self.clock.now(), Timestamp::MAX).await.unwrap();
            let outcome = CallOutcome::Agreed { slot: slots[0].id.clone() };
            self.scheduling.record_outcome(&call.id, "agent", outcome).await.unwrap();
            return true;
        }
        let works = self.store.work_orders(&WorkFilter::of_order(id), ALL).await.unwrap();
        let open = |w: &&linegate::domain::fieldwork::WorkOrder| {
            w.state.may_become(linegate::domain::fieldwork::WorkOrderState::Completed)
        };
        if let Some(work) = works.items.iter().find(open) {
            self.fieldwork.report(&work.id, WorkReport::Completed(Default::default()), None).await.unwrap();
            return true;
        }
        false
    }

    pub async fn order(&self, id: &OrderId) -> Order {
        self.ordering.order(id).await.unwrap().unwrap()
    }

    pub async fn line(&self, id: &str) -> Line {
        self.ordering.line(&id.into()).await.unwrap().unwrap()
    }

    /// What everybody holds.
    pub async fn end(&self, id: &OrderId) -> End {
        let order = self.order(id).await;
        let lines = self.ordering.lines(&Default::default(), ALL).await.unwrap().items;
        let network = self.net.holds(&lines);
        let lines = lines.iter().map(|l| {
            let periods: Vec<_> = l.periods.iter().map(|p| p.state.as_str()).collect();
            format!(
                "{}: {:?}/{:?} on {:?}, version {}, queue {}, {:?}, {periods:?}",
                l.id,
                l.intended,
                l.actual,
                l.element,
                l.desired_version,
                l.queue.len(),
                l.profile
            )
        });
        let of_order = self.store.happenings_of_order(id).await.unwrap();
        // Waiting is not part of the end: a crash may add a wait or save one.
        let lasting = |e: &&Value| !matches!(e["serviceOrder"]["state"].as_str(), Some("pending" | "inProgress"));
        let events = of_order.iter().map(|h| &h.happening.event).filter(lasting).map(|e| {
            let kind = e.as_object().unwrap().keys().next().unwrap().clone();
            format!("{kind} {}{}", e[&kind]["state"], e[&kind]["status"])
        });
        End {
            order: order.state,
            codes: order.items.iter().map(|i| i.code.clone()).collect(),
            lines: lines.collect(),
            network,
            events: events.collect(),
        }
    }
}

/// An order of one item, written short: `add cellular c1 imsi=…`.
pub fn item(id: &str, text: &str) -> NewItem {
    let mut words = text.split_whitespace();
    let action = words.next().unwrap().parse().unwrap();
    let service = words.next().unwrap();
    let mut item = NewItem {
        id: id.to_owned(),
        action,
        service: Some(service.into()),
        state: None,
        spec: None,
        characteristics: vec![],
        relationships: vec![],
        raw: json!({ "id": service }),
    };
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        match name {
            "state" => item.state = Some(value.parse().unwrap()),
            "spec" => item.spec = Some(value.to_owned()),
            "reconnects" => item.relationships.push(value.into()),
            _ => item.characteristics.push((name.to_owned(), Value::from(value))),
        }
    }
    item
}

pub fn order(items: &[&str]) -> NewOrder {
    let items = items.iter().enumerate().map(|(i, text)| item(&(i + 1).to_string(), text)).collect();
    NewOrder { customer: Some("customer-1".into()), items, priority: 4, ..NewOrder::default() }
}
