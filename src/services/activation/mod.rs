//! Carries orders out: the steps of [`crate::domain::activation`] over elements,
//! modems, charging and the visit.
//!
//! Every step may run more than once: commands carry a key of order, item and
//! step, an answer that never came is asked for, and what was before is kept in
//! the saga's data from the moment the order begins.

mod begin;
mod charging;
mod mobility;
mod modem;
mod provision;
mod reauthorize;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::activation::{ActivationStep, cause};
use crate::domain::ids::{ElementId, LineId};
use crate::domain::line::{Line, LineState, Profile};
use crate::domain::notification::Happening;
use crate::domain::ordering::OrderKind;
use crate::domain::tariff::SharedTariff;
use crate::domain::time::Timestamp;
use crate::ports::charging::{LineCharging, LineChargingError};
use crate::ports::modem::Modems;
use crate::ports::network::{Elements, NetworkError};
use crate::ports::relational::{Relational, StoreError, Write};
use crate::ports::{Clock, Ids};
use crate::saga::{Engine, SagaSettings, StepContext, StepError};
use crate::services::ordering::{Follower, tmf};
use crate::services::saga_store::RelationalSagas;
use crate::services::scheduling::VisitPlan;

pub use self::reauthorize::{Told, reauthorize};
pub use self::visit::SCHEDULER;
pub(crate) use self::visit::call_id;

/// Limits of activation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivationSettings {
    /// Tries of a command whose answer never came before it becomes fallout.
    pub unknown_outcome_tries: u32,
    /// Tries to end or re-authorise a session before the order goes on without its peer.
    pub session_end_tries: u32,
    /// Tries to reach a serving MME before the order becomes fallout.
    pub mobility_tries: u32,
    /// Orders that may wait on one line when a future-dated one joins them.
    pub queue_max_per_line: usize,
}

impl Default for ActivationSettings {
    fn default() -> Self {
        Self { unknown_outcome_tries: 20, session_end_tries: 5, mobility_tries: 20, queue_max_per_line: 16 }
    }
}

/// What the steps stand on.
#[derive(Clone)]
pub struct Outside {
    /// Lines, orders, visits.
    pub store: Arc<dyn Relational>,
    /// Network elements.
    pub elements: Arc<dyn Elements>,
    /// Modems.
    pub modems: Arc<dyn Modems>,
    /// Charging.
    pub charging: Arc<dyn LineCharging>,
    /// Plans and APNs.
    pub tariff: SharedTariff,
    /// How visits are asked for.
    pub visits: VisitPlan,
    /// Limits.
    pub settings: ActivationSettings,
}

/// The engine with every activation step registered, over the relational store.
pub fn engine(
    outside: &Outside,
    sagas: RelationalSagas,
    follower: Follower,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: SagaSettings,
) -> Arc<Engine<Write>> {
    register(Engine::builder(Arc::new(sagas), clock, ids, settings), outside).observer(Arc::new(follower)).build()
}

/// Registers every step of [`ActivationStep`].
pub fn register(
    mut builder: crate::saga::EngineBuilder<Write>,
    outside: &Outside,
) -> crate::saga::EngineBuilder<Write> {
    for step in ActivationStep::ALL {
        let (name, on) = (step.as_str(), outside.clone());
        builder = match step {
            ActivationStep::Begin => builder.step(name, begin::Begin(on)),
            ActivationStep::Provision => builder.step(name, provision::Provision(on)),
            ActivationStep::StopGrants => builder.step(name, charging::StopGrants(on)),
            ActivationStep::OpenCharging => builder.step(name, charging::OpenCharging(on)),
            ActivationStep::ChangeCharging => builder.step(name, charging::ChangeCharging(on)),
            ActivationStep::ReachCharging => builder.step(name, charging::ReachCharging(on)),
            ActivationStep::EndSessions => builder.step(name, mobility::EndSessions(on)),
            ActivationStep::Reauthorize => builder.step(name, mobility::Reauthorize(on)),
            ActivationStep::InsertSubscriber => builder.step(name, mobility::InsertSubscriber(on)),
            ActivationStep::DetachSubscriber => builder.step(name, mobility::DetachSubscriber(on)),
            ActivationStep::SteerModem => builder.step(name, modem::SteerModem(on)),
            ActivationStep::TellModem => builder.step(name, modem::TellModem(on)),
            ActivationStep::RequestVisit => builder.step(name, visit::RequestVisit(on)),
            ActivationStep::AwaitAgreement => builder.step(name, visit::AwaitAgreement(on)),
            ActivationStep::AssignWork => builder.step(name, visit::AssignWork(on)),
            ActivationStep::AwaitWork => builder.step(name, visit::AwaitWork(on)),
        };
    }
    builder
}

/// What an item does to its line, fixed when the order begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRun {
    /// The item.
    pub item: String,
    /// Its line.
    pub line: LineId,
    /// What it does.
    pub kind: OrderKind,
    /// The state to be in.
    pub target: LineState,
    /// The state before.
    pub before: LineState,
    /// The profile before.
    pub before_profile: Profile,
    /// The element before.
    pub before_element: Option<ElementId>,
    /// The desired version before.
    pub before_version: u64,
    /// The profile to hold.
    pub after: Profile,
    /// The line was there already when the order began: nothing to do, with this code.
    pub already: Option<String>,
}

/// Every item's run, as the saga's data holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemRuns(BTreeMap<String, ItemRun>);

impl ItemRuns {
    const NAME: &'static str = "items";

    /// Reads them; empty before the order has begun.
    pub fn of(data: &Map<String, Value>) -> Self {
        Self(data.get(Self::NAME).and_then(|v| BTreeMap::deserialize(v).ok()).unwrap_or_default())
    }

    /// One item's run.
    pub fn item(&self, id: &str) -> Option<&ItemRun> {
        self.0.get(id)
    }

    fn insert(&mut self, run: ItemRun) {
        self.0.insert(run.item.clone(), run);
    }

    fn to_data(&self) -> Value {
        json!(self.0)
    }

    /// The runs that move their line.
    fn going(&self) -> impl Iterator<Item = &ItemRun> {
        self.0.values().filter(|r| r.already.is_none())
    }
}

/// The run that a step works on; `None` when there is nothing to do for it.
fn run_of(ctx: &StepContext<'_>) -> Result<Option<ItemRun>, StepError> {
    let item = ctx.input["item"].as_str().unwrap_or_default();
    let runs = ItemRuns::of(ctx.data);
    match runs.item(item) {
        Some(run) if run.already.is_some() => Ok(None),
        Some(run) => Ok(Some(run.clone())),
        None => Err(StepError::stuck(cause::RECORD_MISSING, format!("item {item}: not in the saga's data"))),
    }
}

impl Outside {
    async fn line(&self, id: &LineId) -> Result<Line, StepError> {
        self.store
            .line(id)
            .await
            .map_err(store)?
            .ok_or_else(|| StepError::stuck(cause::RECORD_MISSING, format!("line {id}: not in the store")))
    }
}

/// Key of a command: repeats of it are one.
fn key(ctx: &StepContext<'_>, run: &ItemRun, step: &str) -> String {
    format!("{}/{}/{step}", ctx.saga, run.item)
}

fn store(e: StoreError) -> StepError {
    match e {
        StoreError::Conflict { .. } => StepError::Conflict,
        other => StepError::backoff(format!("store: {other}")),
    }
}

/// What an element's error means for a step. `Unknown` is tried again until the
/// limit, because every command is safe to repeat under its key.
fn network(e: NetworkError, attempts: u32, settings: &ActivationSettings) -> StepError {
    match e {
        NetworkError::Away { .. } | NetworkError::Busy { .. } => StepError::backoff(e.to_string()),
        NetworkError::Unknown { .. } if attempts < settings.unknown_outcome_tries => StepError::backoff(e.to_string()),
        NetworkError::Unknown { .. } => StepError::stuck(cause::ELEMENT_UNKNOWN_OUTCOME, e.to_string()),
        NetworkError::Refused { .. } => StepError::failed(cause::ELEMENT_REFUSED, e.to_string()),
        NetworkError::NoElement { .. } => StepError::stuck(cause::NO_ELEMENT, e.to_string()),
    }
}

fn charged(e: LineChargingError) -> StepError {
    match e {
        LineChargingError::Busy { .. } => StepError::backoff(e.to_string()),
        LineChargingError::Refused { .. } => StepError::failed(cause::CHARGING_REFUSED, e.to_string()),
    }
}

/// An event about a line, complete.
fn line_happening(event_type: &str, line: &Line, at: Timestamp) -> Write {
    Write::Happening(Happening {
        event_type: event_type.to_owned(),
        at,
        order: line.last_order.clone(),
        line: Some(line.id.clone()),
        customer: Some(line.customer.clone()),
        event: json!({ "service": tmf::service(line) }),
    })
}
