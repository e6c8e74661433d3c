//! What each device is to be, what it says it is, and whether it is there.
//!
//! The three states of a line stay apart: what a device reports moves its
//! session state only, never the line's intended or actual state. A session
//! state is replaced whole, so one task changes them all; what waits meanwhile
//! is read and written together, which carries a storm of modems that come back.
//! Does **not** speak to devices.

use std::sync::Arc;
use std::time::Duration;

use ahash::{HashMap, HashMapExt, HashSet};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::domain::ids::{Apn, DeviceId, LineId, OrderId, PlanId};
use crate::domain::line::{DeviceLine, Line, LineState, Presence, SessionState};
use crate::domain::time::Timestamp;
use crate::ports::relational::{LineFilter, Page, Relational, StoreError, Stored, Write};
use crate::telemetry::metrics;

/// `[device_states]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceStateSettings {
    /// Changes that may wait; whoever brings one more waits for room.
    pub queue_max: usize,
    /// Changes that are read and written together, at most.
    pub batch_max: usize,
}

impl Default for DeviceStateSettings {
    fn default() -> Self {
        Self { queue_max: 8192, batch_max: 1024 }
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

/// The state that a modem says it has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The version of the desired state that it answers.
    pub version: u64,
    /// The state that it is in.
    pub state: LineState,
    /// Why it is not the desired one.
    pub reason: Option<String>,
    /// When it was heard of.
    pub at: Timestamp,
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

/// Whose state is changed.
enum Subject {
    /// A device, by the line that has it.
    Device(DeviceId),
    /// A line that is known to be there.
    Line(LineId),
}

/// Given the session state of the subject, if there is one, and the line where it
/// was looked for.
type Apply = Box<dyn FnOnce(Stored<Option<Found<'_>>>) -> Done + Send>;
type Found<'a> = (Option<&'a DeviceLine>, &'a mut SessionState);
/// Tells whoever asked, once what was changed is stored.
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Change {
    subject: Subject,
    apply: Apply,
}

/// The states of devices, for MQTT and S6a; cheap to clone.
#[derive(Clone)]
pub struct DeviceStates {
    store: Arc<dyn Relational>,
    queue: mpsc::Sender<Change>,
}

impl DeviceStates {
    /// Over `store`. Its one task runs in `tasks` until `stop`.
    pub fn start(
        store: Arc<dyn Relational>,
        settings: &DeviceStateSettings,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(settings.queue_max.max(1));
        let keeper = Keeper { store: Arc::clone(&store), batch_max: settings.batch_max.max(1) };
        tasks.spawn(keeper.run(waiting, stop));
        Self { store, queue }
    }

    /// What a device is to be; `None` when no line has it, or none was ever steered.
    pub async fn desired(&self, device: &DeviceId) -> Stored<Option<Desired>> {
        self.of_device(device, |line, _| desired_of(line)).await.map(Option::flatten)
    }

    /// Takes a modem's report of the state it has reached for a version. Stored
    /// when it returns; repeating it changes nothing.
    pub async fn reported(&self, device: &DeviceId, report: Report) -> Stored<Reported> {
        let outcome = self.of_device(device, move |line, session| {
            if report.version != line.desired_version {
                return Reported::Stale;
            }
            let differs = report.state != line.actual;
            let refusal = differs.then(|| report.reason.unwrap_or_else(|| format!("is {}", report.state.as_str())));
            let news = session.modem_refusal != refusal || !differs && session.modem_version != Some(report.version);
            if news {
                session.modem_seen = Some(report.at);
                session.modem_refusal = refusal;
            }
            if differs {
                return Reported::Differs;
            }
            session.modem_version = Some(report.version);
            Reported::Converged
        });
        Ok(outcome.await?.unwrap_or(Reported::Unknown))
    }

    /// A modem came or went. Stored when it returns; what is known already is
    /// not stored again. Returns what the modem is to be.
    pub async fn presence(&self, device: &DeviceId, presence: Presence) -> Stored<Option<Desired>> {
        let told = self.of_device(device, move |line, session| {
            session.notice(&presence);
            desired_of(line)
        });
        told.await.map(Option::flatten)
    }

    /// Modems that `gateway` last held and that are online, above `after`, by id.
    pub async fn online_at(&self, gateway: &str, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        self.store.devices_online(gateway, after, limit).await
    }

    /// Modems that have not reported the newest version of their desired state, above
    /// `after`, by id.
    pub async fn behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        self.store.devices_behind(after, limit).await
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
        let by = mme.to_owned();
        let before = self.of_line(&line.id, move |session| session.serving_mme.replace(by)).await?;
        let former = before.filter(|former| !former.eq_ignore_ascii_case(mme));
        Ok(Attach::Registered { line: Box::new(line), former })
    }

    /// An MME has forgotten a subscriber (PUR); whether it was the one registered.
    /// What another one says changes nothing. `None` where no line has the IMSI.
    pub async fn purge(&self, imsi: &str, mme: &str) -> Stored<Option<bool>> {
        let Some(line) = self.store.line_of_imsi(imsi).await? else { return Ok(None) };
        let mme = mme.to_owned();
        let purge =
            move |session: &mut SessionState| session.serving_mme.take_if(|by| by.eq_ignore_ascii_case(&mme)).is_some();
        self.of_line(&line.id, purge).await.map(Some)
    }

    /// An MME notifies of a subscriber (NOR); whether it serves it. Where none is
    /// registered it does: it was there before we were. `None` where no line has
    /// the IMSI.
    pub async fn notify(&self, imsi: &str, mme: &str) -> Stored<Option<bool>> {
        let Some(line) = self.store.line_of_imsi(imsi).await? else { return Ok(None) };
        let mme = mme.to_owned();
        let serves = move |session: &mut SessionState| {
            session.serving_mme.get_or_insert_with(|| mme.clone()).eq_ignore_ascii_case(&mme)
        };
        self.of_line(&line.id, serves).await.map(Some)
    }

    /// The MME that is registered for a line.
    pub async fn serving_mme(&self, line: &LineId) -> Stored<Option<String>> {
        Ok(self.store.session(line).await?.serving_mme)
    }

    async fn of_device<T: Send + 'static>(
        &self,
        device: &DeviceId,
        change: impl FnOnce(&DeviceLine, &mut SessionState) -> T + Send + 'static,
    ) -> Stored<Option<T>> {
        let change = |(line, session): Found<'_>| line.map(|line| change(line, session));
        self.change(Subject::Device(device.clone()), change).await.map(Option::flatten)
    }

    async fn of_line<T: Send + 'static>(
        &self,
        line: &LineId,
        change: impl FnOnce(&mut SessionState) -> T + Send + 'static,
    ) -> Stored<T> {
        let changed = self.change(Subject::Line(line.clone()), |(_, session)| change(session)).await?;
        changed.ok_or_else(ended)
    }

    async fn change<T: Send + 'static>(
        &self,
        subject: Subject,
        change: impl FnOnce(Found<'_>) -> T + Send + 'static,
    ) -> Stored<Option<T>> {
        let (to, answer) = oneshot::channel();
        let apply: Apply = Box::new(move |found| {
            let result = found.map(|found| found.map(change));
            Box::new(move |stored| {
                // Whoever asked may have gone.
                let _gone = to.send(stored.and(result));
            })
        });
        self.queue.send(Change { subject, apply }).await.map_err(|_| ended())?;
        count_waiting(self.queue.max_capacity() - self.queue.capacity());
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> StoreError {
    StoreError::Transient { operation: "change a session state", reason: "the gateway is stopping".into() }
}

fn desired_of(line: &DeviceLine) -> Option<Desired> {
    (line.desired_version > 0).then(|| Desired {
        version: line.desired_version,
        state: line.actual,
        order: line.last_order.clone(),
        apns: line.profile.apns.clone(),
        plan: line.profile.plan.clone(),
        line: line.id.clone(),
    })
}

/// The one task that changes session states.
struct Keeper {
    store: Arc<dyn Relational>,
    batch_max: usize,
}

/// How long a store that failed is given before it is tried again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Tries until the store does it, or the gateway stops.
async fn insist<T, F: Future<Output = Stored<T>> + Send>(
    what: &str,
    stop: &CancellationToken,
    operation: impl Fn() -> F + Send,
) -> Stored<T> {
    let mut pause = PAUSE_MIN;
    loop {
        let error = match operation().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        metrics().device_states_retries.inc();
        warn!(%error, again_in = ?pause, "{what}");
        tokio::select! {
            () = stop.cancelled() => return Err(error),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

fn count_waiting(changes: usize) {
    metrics().device_states_waiting.set(i64::try_from(changes).unwrap_or(i64::MAX));
}

impl Keeper {
    async fn run(self, mut waiting: mpsc::Receiver<Change>, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = waiting.recv_many(&mut batch, self.batch_max) => if taken == 0 { return },
                // What waits is still carried out: connections close behind it.
                () = stop.cancelled(), if !waiting.is_closed() => waiting.close(),
            }
            count_waiting(waiting.len());
            if !batch.is_empty() {
                self.carry_out(std::mem::take(&mut batch), &stop).await;
            }
        }
    }

    /// Carries changes out in their order. While the store fails they wait, and
    /// whoever brought them: nobody asks a second time whether a modem is there.
    async fn carry_out(&self, batch: Vec<Change>, stop: &CancellationToken) {
        let named = Named::in_batch(&batch);
        let (lines, mut sessions) = match insist("read the states of devices", stop, || self.load(&named)).await {
            Ok(loaded) => loaded,
            Err(error) => {
                for change in batch {
                    (change.apply)(Err(error.clone()))(Ok(()));
                }
                return;
            }
        };
        let before = sessions.clone();
        let mut told = Vec::with_capacity(batch.len());
        for Change { subject, apply } in batch {
            let (id, line) = match &subject {
                Subject::Device(device) => match lines.get(device) {
                    Some(line) => (&line.id, Some(line)),
                    None => {
                        told.push(apply(Ok(None)));
                        continue;
                    }
                },
                Subject::Line(id) => (id, None),
            };
            told.push(apply(Ok(Some((line, sessions.entry(id.clone()).or_default())))));
        }
        sessions.retain(|line, session| before.get(line) != Some(session));
        let changed: Vec<_> = sessions.into_iter().collect();
        let stored = if changed.is_empty() {
            Ok(())
        } else {
            let save = || self.store.save(vec![Write::Sessions(changed.clone())]);
            insist("keep the states of devices", stop, save).await
        };
        for done in told {
            done(stored.clone());
        }
    }

    /// The lines of devices, and the session states of those and of more lines.
    async fn load(&self, named: &Named) -> Stored<(Lines, Sessions)> {
        let (mut lines, mut sessions) = (Lines::new(), Sessions::new());
        if !named.lines.is_empty() {
            let ids: Vec<_> = named.lines.iter().cloned().collect();
            sessions.extend(self.store.sessions(&ids).await?);
        }
        if !named.devices.is_empty() {
            let devices: Vec<_> = named.devices.iter().cloned().collect();
            for (line, session) in self.store.lines_of_devices(&devices).await? {
                sessions.insert(line.id.clone(), session);
                if let Some(device) = line.profile.device.clone() {
                    lines.insert(device, line);
                }
            }
        }
        Ok((lines, sessions))
    }
}

type Lines = HashMap<DeviceId, DeviceLine>;
type Sessions = HashMap<LineId, SessionState>;

/// Whom a batch is about.
#[derive(Default)]
struct Named {
    devices: HashSet<DeviceId>,
    lines: HashSet<LineId>,
}

impl Named {
    fn in_batch(batch: &[Change]) -> Self {
        let mut named = Self::default();
        for change in batch {
            match &change.subject {
                Subject::Device(device) => drop(named.devices.insert(device.clone())),
                Subject::Line(line) => drop(named.lines.insert(line.clone())),
            }
        }
        named
    }
}
