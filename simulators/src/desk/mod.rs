//! The call desk and the field workers, over REST.
//!
//! The desk polls the calls that are due, asks for free slots, and posts what
//! came of the call; the workers poll their work orders, begin and end them.
//! What happens is scripted by subject: the order or appointment of both, a
//! call's phone, a work order's customer (a call names none) —
//! one act for each attempt, and the default when the script is used up.
//!
//! Owns the scripts and the record of what was done, nothing else: an act that
//! the gateway refused is tried again at the next poll.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::rest::{self, Rest};

/// Acts that are kept for reading; the oldest go first.
const ACTS_KEPT_MAX: usize = 100_000;
/// Slots tried for one call before it is left for the next poll.
const SLOTS_TRIED_MAX: usize = 5;

/// What comes of one call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallAct {
    /// The customer agrees on the first free slot.
    #[default]
    Agree,
    /// Nobody answers.
    NoAnswer,
    /// The customer asks to be called after this time.
    CallBack(Duration),
    /// The customer does not want the visit.
    Refuse,
}

/// What comes of one visit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WorkAct {
    /// Done.
    #[default]
    Complete,
    /// Returned (반송).
    Return {
        /// Reason code: `no-access`, `no-signal`, `customer-absent`, `other`.
        reason: String,
        /// The customer is to be called for another time.
        reschedule: bool,
    },
    /// Begun and never ended.
    Stall,
}

/// How the desk starts.
#[derive(Debug, Clone)]
pub struct DeskConfig {
    /// The gateway's URL without a path, plain HTTP.
    pub gateway: String,
    /// Bearer token.
    pub token: Option<String>,
    /// The agent's name.
    pub agent: String,
    /// Between two polls. Default 200 ms.
    pub poll: Duration,
    /// Whether calls are made.
    pub calls: bool,
    /// Whether work orders are carried out.
    pub visits: bool,
    /// What comes of a call without a script.
    pub call_default: CallAct,
    /// What comes of a visit without a script.
    pub work_default: WorkAct,
}

impl DeskConfig {
    /// Desk and workers for which everything goes well.
    pub fn new(gateway: &str) -> Self {
        Self {
            gateway: gateway.into(),
            token: None,
            agent: "desk".into(),
            poll: Duration::from_millis(200),
            calls: true,
            visits: true,
            call_default: CallAct::Agree,
            work_default: WorkAct::Complete,
        }
    }
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Call or work order.
    pub id: String,
    /// Order, appointment, phone of a call, customer of a visit: what a script may name it by.
    pub subjects: Vec<String>,
    /// As the gateway was told: `agreed`, `noAnswer`, `inProgress`, `completed`.
    pub told: String,
    /// Status of the answer.
    pub status: u16,
}

/// Starts desks.
#[derive(Debug)]
pub struct Desk;

impl Desk {
    /// Starts desk and workers.
    pub fn start(config: DeskConfig) -> anyhow::Result<DeskHandle> {
        let rest = Rest::new(&config.gateway, config.token.as_deref())?;
        let shared = Arc::new(Shared {
            rest,
            state: Mutex::new(State::default()),
            count: watch::Sender::new(0),
            stop: CancellationToken::new(),
            config,
        });
        tokio::spawn(run(Arc::clone(&shared)));
        Ok(DeskHandle { shared })
    }
}

/// A running desk. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct DeskHandle {
    shared: Arc<Shared>,
}

impl DeskHandle {
    /// What comes of the next calls about `subject`, in turn.
    pub fn script_calls(&self, subject: &str, acts: impl IntoIterator<Item = CallAct>) {
        self.shared.state().calls.entry(subject.to_owned()).or_default().extend(acts);
    }

    /// What comes of the next visits about `subject`, in turn.
    pub fn script_visits(&self, subject: &str, acts: impl IntoIterator<Item = WorkAct>) {
        self.shared.state().visits.entry(subject.to_owned()).or_default().extend(acts);
    }

    /// Calls whose outcome was posted, oldest first.
    pub fn calls_made(&self) -> Vec<Act> {
        self.shared.state().calls_made.iter().cloned().collect()
    }

    /// Work orders patched, oldest first.
    pub fn visits_made(&self) -> Vec<Act> {
        self.shared.state().visits_made.iter().cloned().collect()
    }

    /// Waits until calls and visits made are so many in all; false when the time ran out.
    pub async fn acts_within(&self, count: usize, wait: Duration) -> bool {
        let mut counted = self.shared.count.subscribe();
        matches!(tokio::time::timeout(wait, counted.wait_for(|have| *have >= count)).await, Ok(Ok(_)))
    }

    /// Enters a worker who goes everywhere.
    pub async fn put_worker(&self, id: &str, name: &str, skills: &[&str]) -> anyhow::Result<()> {
        self.put(rest::WORKERS, &rest::worker(id, name, skills)).await
    }

    /// Enters a slot of a worker, from and until in milliseconds since the Unix epoch.
    pub async fn put_slot(&self, worker: &str, from_ms: i64, until_ms: i64, capacity: u32) -> anyhow::Result<()> {
        self.put(rest::SLOTS, &rest::slot(worker, from_ms, until_ms, capacity)).await
    }

    async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let answer = self.shared.rest.post(path, body).await?;
        anyhow::ensure!(answer.is_success(), "POST {path}: status {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// Stops polling until [`DeskHandle::resume`].
    pub fn pause(&self) {
        self.shared.state().paused = true;
    }

    /// Polls again.
    pub fn resume(&self) {
        self.shared.state().paused = false;
    }

    /// Ends the desk.
    pub fn shutdown(&self) {
        self.shared.stop.cancel();
    }
}

#[derive(Debug)]
struct Shared {
    config: DeskConfig,
    rest: Rest,
    state: Mutex<State>,
    count: watch::Sender<usize>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    paused: bool,
    calls: HashMap<String, VecDeque<CallAct>>,
    visits: HashMap<String, VecDeque<WorkAct>>,
    calls_made: VecDeque<Act>,
    visits_made: VecDeque<Act>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, act: Act, pile: impl FnOnce(&mut State) -> &mut VecDeque<Act>) {
        let mut state = self.state();
        let pile = pile(&mut state);
        if pile.len() >= ACTS_KEPT_MAX {
            pile.pop_front();
        }
        pile.push_back(act);
        drop(state);
        self.count.send_modify(|count| *count += 1);
    }
}

/// The script that names one of the subjects and has acts left.
fn scripted<'a, T>(scripts: &'a mut HashMap<String, VecDeque<T>>, subjects: &[String]) -> Option<&'a mut VecDeque<T>> {
    let subject = subjects.iter().find(|subject| scripts.get(*subject).is_some_and(|script| !script.is_empty()))?;
    scripts.get_mut(subject)
}

async fn run(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let paused = shared.state().paused;
        let work = async {
            if !paused && let Err(error) = poll(&shared).await {
                tracing::debug!("desk poll: {error:#}");
            }
            tokio::time::sleep(shared.config.poll).await;
        };
        tokio::select! {
            () = work => {}
            () = shared.stop.cancelled() => {}
        }
    }
}

async fn poll(shared: &Shared) -> anyhow::Result<()> {
    if shared.config.calls {
        for call in shared.rest.list(rest::CALLS_DUE).await? {
            make_call(shared, &call).await?;
        }
    }
    if shared.config.visits {
        for order in shared.rest.list(&rest::work_orders_in("acknowledged")).await? {
            visit(shared, &order).await?;
        }
    }
    Ok(())
}

async fn make_call(shared: &Shared, call: &Value) -> anyhow::Result<()> {
    let id = rest::text(call, "id").context("call without id")?;
    let subjects = rest::subjects(call);
    let act = {
        let mut state = shared.state();
        let next = scripted(&mut state.calls, &subjects).and_then(|script| script.front().cloned());
        next.unwrap_or_else(|| shared.config.call_default.clone())
    };
    let agent = &shared.config.agent;
    let bodies = match &act {
        CallAct::Agree => {
            let order = rest::order_of(call).context("call without order")?;
            let found = shared.rest.post(rest::SEARCH_TIME_SLOT, &rest::time_slot_search(order)).await?;
            let slots = rest::free_slots(&found.body);
            slots.iter().map(|slot| rest::call_outcome(agent, "agreed", Some(slot), None)).collect()
        }
        CallAct::NoAnswer => vec![rest::call_outcome(agent, "noAnswer", None, None)],
        CallAct::CallBack(after) => {
            let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
            let at = crate::clock::unix_ms().saturating_add(after);
            vec![rest::call_outcome(agent, "callBack", None, Some(at))]
        }
        CallAct::Refuse => vec![rest::call_outcome(agent, "refused", None, None)],
    };
    // A slot may be taken meanwhile: the next one is tried.
    for body in bodies.iter().take(SLOTS_TRIED_MAX) {
        let answer = shared.rest.post(&rest::call_outcome_path(id), body).await?;
        let told = rest::text(body, "outcome").unwrap_or_default().to_owned();
        let act = Act { id: id.to_owned(), subjects: subjects.clone(), told, status: answer.status };
        shared.record(act, |state| &mut state.calls_made);
        if answer.is_success() {
            if let Some(script) = scripted(&mut shared.state().calls, &subjects) {
                script.pop_front();
            }
            return Ok(());
        }
        tracing::debug!(call = id, status = answer.status, body = %answer.body, "outcome refused");
    }
    Ok(())
}

async fn visit(shared: &Shared, order: &Value) -> anyhow::Result<()> {
    let id = rest::text(order, "id").context("work order without id")?;
    let subjects = rest::subjects(order);
    let act = {
        let mut state = shared.state();
        let next = scripted(&mut state.visits, &subjects).and_then(VecDeque::pop_front);
        next.unwrap_or_else(|| shared.config.work_default.clone())
    };
    let mut bodies = vec![rest::work_begun()];
    match &act {
        WorkAct::Complete => bodies.push(rest::work_done(&format!("SN-{id}"))),
        WorkAct::Return { reason, reschedule } => bodies.push(rest::work_returned(reason, *reschedule)),
        WorkAct::Stall => {}
    }
    for body in bodies {
        let answer = shared.rest.patch(&rest::work_order_path(id), &body).await?;
        let told = rest::text(&body, "state").unwrap_or_default().to_owned();
        let act = Act { id: id.to_owned(), subjects: subjects.clone(), told, status: answer.status };
        shared.record(act, |state| &mut state.visits_made);
        if !answer.is_success() {
            tracing::debug!(work_order = id, status = answer.status, body = %answer.body, "patch refused");
            break;
        }
    }
    Ok(())
}
