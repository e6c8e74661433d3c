//! Modems: what each is to be, what it says it is, and whether it is there.
//!
//! The three states of a line stay apart: a modem's report moves the session
//! state only, never the line's intended or actual state.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Outside, run_of};
use crate::domain::ids::{Apn, DeviceId, LineId, OrderId, PlanId};
use crate::domain::line::{Line, LineState, SessionState};
use crate::domain::time::Timestamp;
use crate::ports::relational::{LineFilter, Page, Relational, Stored, Write};
use crate::saga::{Acted, Step, StepContext, StepError};

/// Brings the desired state up by one version. The undo is [`super::provision`]'s:
/// the version may only rise again once the line's actual state is back.
pub(super) struct SteerModem(pub(super) Outside);

#[async_trait]
impl Step<Write> for SteerModem {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)?.filter(|r| r.after.device.is_some()) else { return Ok(Acted::nothing()) };
        let mut line = self.0.line(&run.line).await?;
        line.desired_version += 1;
        Ok(Acted::writes(vec![Write::Line(line)]))
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

/// Tells the modem, once its desired state is stored. Does not wait for it: one
/// that is asleep converges when it comes back.
pub(super) struct TellModem(pub(super) Outside);

#[async_trait]
impl Step<Write> for TellModem {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        if let Some(device) = run_of(ctx)?.and_then(|run| run.after.device) {
            self.0.modems.desired_changed(&device).await;
        }
        Ok(Acted::nothing())
    }

    /// Told again when the whole order is undone, by the undo of its first step.
    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

/// What a modem is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The line.
    pub line: LineId,
    /// Rises with every change; a report answers one.
    pub version: u64,
    /// The state to be in.
    pub state: LineState,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// APNs that it may use.
    pub apns: Vec<Apn>,
    /// Its plan.
    pub plan: PlanId,
}

/// What a modem's report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It has converged.
    Converged,
    /// It reports another state than desired.
    Differs,
    /// It answers a version that is no longer desired; nothing changed.
    Stale,
    /// No line has the device.
    Unknown,
}

/// What an MME's registration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attach {
    /// The MME serves the line's subscriber.
    Registered {
        /// The line.
        line: Box<Line>,
        /// The other MME that served it until now.
        former: Option<String>,
    },
    /// The line has ended, is not in service yet, or has no APN.
    NoSubscription,
    /// No line has or had the IMSI.
    Nobody,
}

const STRIPES: usize = 64;

/// What MQTT and S6a tell about devices.
pub struct Devices {
    store: Arc<dyn Relational>,
    /// A session state is replaced whole, so its writers take turns.
    turns: Vec<Mutex<()>>,
}

impl Devices {
    /// Over `store`.
    pub fn new(store: Arc<dyn Relational>) -> Self {
        Self { store, turns: (0..STRIPES).map(|_| Mutex::new(())).collect() }
    }

    /// What a device is to be; `None` when no line has it, or none was ever steered.
    pub async fn desired_state(&self, device: &DeviceId) -> Stored<Option<Desired>> {
        let line = self.line_of(device).await?;
        Ok(line.filter(|l| l.desired_version > 0).map(|line| Desired {
            version: line.desired_version,
            state: line.actual,
            order: line.last_order,
            apns: line.profile.apns,
            plan: line.profile.plan,
            line: line.id,
        }))
    }

    /// Takes a modem's report of the state it has reached for a version.
    pub async fn reported(&self, device: &DeviceId, version: u64, state: LineState, at: Timestamp) -> Stored<Reported> {
        let Some(line) = self.line_of(device).await? else { return Ok(Reported::Unknown) };
        if version != line.desired_version {
            return Ok(Reported::Stale);
        }
        let same = state == line.actual;
        self.change(&line, |session| {
            session.modem_seen = Some(at);
            if same {
                session.modem_version = Some(version);
            }
        })
        .await?;
        Ok(if same { Reported::Converged } else { Reported::Differs })
    }

    /// A modem came or went. Returns whether a line has it.
    pub async fn presence(&self, device: &DeviceId, online: bool, at: Timestamp) -> Stored<bool> {
        let Some(line) = self.line_of(device).await? else { return Ok(false) };
        self.change(&line, |session| {
            // The end of an old connection may be heard of after the next one began.
            if !online && session.modem_seen.is_some_and(|seen| at < seen) {
                return;
            }
            session.modem_online = online;
            session.modem_seen = Some(at);
        })
        .await?;
        Ok(true)
    }

    /// An MME registers for a subscriber (ULR). Nothing changes for one that has no subscription.
    pub async fn attach(&self, imsi: &str, mme: &str) -> Stored<Attach> {
        let Some(line) = self.store.line_of_imsi(imsi).await? else {
            let filter = LineFilter { imsi: Some(imsi.to_owned()), ..LineFilter::default() };
            let ended = self.store.lines(&filter, Page { offset: 0, limit: 1 }).await?;
            return Ok(if ended.items.is_empty() { Attach::Nobody } else { Attach::NoSubscription });
        };
        if !line.actual.is_subscribed() || line.profile.apns.is_empty() {
            return Ok(Attach::NoSubscription);
        }
        let before = self.change(&line, |session| session.serving_mme.replace(mme.to_owned())).await?;
        let former = before.filter(|former| !former.eq_ignore_ascii_case(mme));
        Ok(Attach::Registered { line: Box::new(line), former })
    }

    /// An MME has forgotten a subscriber (PUR); whether it was the one registered.
    /// What another one says changes nothing. `None` where no line has the IMSI.
    pub async fn purge(&self, imsi: &str, mme: &str) -> Stored<Option<bool>> {
        let Some(line) = self.store.line_of_imsi(imsi).await? else { return Ok(None) };
        let purged =
            self.change(&line, |session| session.serving_mme.take_if(|by| by.eq_ignore_ascii_case(mme))).await?;
        Ok(Some(purged.is_some()))
    }

    /// An MME notifies of a subscriber (NOR); whether it serves it. Where none is
    /// registered it does: it was there before we were. `None` where no line has
    /// the IMSI.
    pub async fn notify(&self, imsi: &str, mme: &str) -> Stored<Option<bool>> {
        let Some(line) = self.store.line_of_imsi(imsi).await? else { return Ok(None) };
        let serves = |session: &mut SessionState| {
            session.serving_mme.get_or_insert_with(|| mme.to_owned()).eq_ignore_ascii_case(mme)
        };
        self.change(&line, serves).await.map(Some)
    }

    /// The MME that is registered for a line.
    pub async fn serving_mme(&self, line: &LineId) -> Stored<Option<String>> {
        Ok(self.store.session(line).await?.serving_mme)
    }

    /// The line that has the device, else the one that had it last: a modem is
    /// told that its line has ended, too.
    async fn line_of(&self, device: &DeviceId) -> Stored<Option<Line>> {
        if let Some(line) = self.store.line_of_device(device).await? {
            return Ok(Some(line));
        }
        let filter = LineFilter { device: Some(device.clone()), ..LineFilter::default() };
        let ended = self.store.lines(&filter, Page { offset: 0, limit: 1_000 }).await?;
        Ok(ended.items.into_iter().max_by_key(|line| line.created))
    }

    async fn change<T>(&self, line: &Line, change: impl FnOnce(&mut SessionState) -> T + Send) -> Stored<T> {
        let hash = line.id.as_str().bytes().fold(0usize, |h, b| h.wrapping_mul(31).wrapping_add(usize::from(b)));
        let _turn = self.turns[hash % STRIPES].lock().await;
        let before = self.store.session(&line.id).await?;
        let mut session = before.clone();
        let changed = change(&mut session);
        if session != before {
            self.store.save(vec![Write::Session(line.id.clone(), session)]).await?;
        }
        Ok(changed)
    }
}
