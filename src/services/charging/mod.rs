//! Charging: brings each request to the shard that owns its account, and its
//! answer back when it is durable.
//!
//! Accounts are spread over shards by a fixed hash. One task owns a shard and
//! rates in memory; a single committer gathers the batches of all shards into
//! one durable write, and answers leave when that is done. While one batch is
//! written, the next is computed. Does **not** judge usage
//! ([`crate::domain::rating`]) or store accounts ([`crate::ports::hot`]).
//!
//! Invariants: nothing is answered that is not durable, a repeat included; an
//! account is changed by its shard alone; after a fatal error of the store
//! nobody is answered any more.

mod accounts;
mod committer;
mod counters;
mod dense;
mod directory;
mod loads;
mod lookups;
mod outage;
mod recovery;
mod recycle;
mod settings;
mod shard;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use futures_util::future::select_all;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::outage::{OfflinePolicy, OnlinePolicy, OutageSettings};
pub use self::settings::ChargingSettings;

use self::accounts::AccountNo;
use self::directory::{Directory, Owner};
use self::lookups::Lookups;
use self::outage::Outage;
use self::work::{Answer, CloseProgress, Urgent, Work};
use crate::domain::account::{AccountCommand, AccountView, CommandAnswer, slot_of, stable_hash};
use crate::domain::cycle::CycleId;
use crate::domain::ids::AccountId;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome, Phase, Used};
use crate::domain::tariff::{SharedTariff, TariffBook};
use crate::domain::usage::{SuspenseReason, Told, UsageOutcome, UsageRecord, UsageSource};
use crate::ports::Clock;
use crate::ports::hot::{HotError, HotStore, Position};
pub use crate::ports::intake::{ChargingError, Replies, Reply, RequestIntake};
use crate::telemetry::metrics;

/// What closing a cycle came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedCycle {
    /// Accounts that are closed, now or before.
    pub accounts: u64,
    /// Log position that holds everything charged to the cycle: bill when the
    /// drain has passed it.
    pub position: Position,
}

/// The handle that the rest of the gateway charges through; cheap to clone.
#[derive(Clone)]
pub struct Charging {
    shared: Arc<Shared>,
}

/// The running tasks; dropped, they go on until the process ends.
pub struct ChargingTasks {
    shared: Arc<Shared>,
    fatal: watch::Receiver<Option<String>>,
    shards: Vec<tokio::task::JoinHandle<()>>,
    committer: committer::Running,
}

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const FATAL: u8 = 2;

pub(in crate::services::charging) struct Shared {
    queues: Box<[Queue]>,
    directory: Arc<Directory>,
    lookups: Lookups,
    outage: Outage,
    hot: Arc<dyn HotStore>,
    tariff: SharedTariff,
    clock: Arc<dyn Clock>,
    settings: ChargingSettings,
    state: AtomicU8,
    fatal: watch::Sender<Option<String>>,
}

struct Queue {
    to: mpsc::UnboundedSender<Work>,
    /// Does not wait behind what waits for the store; bounded by the journal of an outage and
    /// by the requests that connections may have outstanding.
    urgent: mpsc::UnboundedSender<Urgent>,
    waiting: AtomicUsize,
}

impl RequestIntake for Charging {
    fn submit(&self, request: ChargeRequest, reply: Reply) {
        self.route(request, Answer::Queue(reply));
    }

    fn suspend(&self, record: UsageRecord, reply: Reply) {
        let reason = match record.outcome {
            UsageOutcome::Suspense(reason) => reason,
            UsageOutcome::Rated | UsageOutcome::Reconciled | UsageOutcome::Recycled(_) | UsageOutcome::Dropped(_) => {
                SuspenseReason::BadRecord
            }
        };
        let record = UsageRecord { outcome: UsageOutcome::Suspense(reason), ..record };
        self.admit_loose(vec![record], ChargeAnswer::bare(Outcome::Success), Answer::Queue(reply));
    }

    fn sessions_lost(&self, peer: &str) {
        let before = self.shared.clock.now();
        for queue in &self.shared.queues {
            let work = Work::SessionsLost { peer: peer.into(), before };
            queue.waiting.fetch_add(1, Ordering::Relaxed);
            // A shard that stops gives reservations back by their own expiry.
            let _stopping = queue.to.send(work);
        }
    }
}

/// A queue, for callers that are no connection.
impl Replies for tokio::sync::mpsc::UnboundedSender<(u64, Result<ChargeAnswer, ChargingError>)> {
    fn reply(&self, tag: u64, answer: Result<ChargeAnswer, ChargingError>) {
        let _gone = self.send((tag, answer));
    }
}

impl Charging {
    /// Loads every account from the store and starts the shards. Accounts that
    /// are made later begin behind `newest_closed`, the newest month closed.
    ///
    /// # Errors
    /// [`ChargingError::Fatal`] when the store cannot be read; the log says why.
    pub async fn start(
        hot: Arc<dyn HotStore>,
        tariff: SharedTariff,
        clock: Arc<dyn Clock>,
        settings: ChargingSettings,
        newest_closed: Option<CycleId>,
    ) -> Result<(Charging, ChargingTasks), ChargingError> {
        recovery::start(hot, tariff, clock, settings, newest_closed).await
    }

    /// As [`Charging::submit`], for callers that wait for one answer.
    pub async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, ChargingError> {
        let (to, answer) = oneshot::channel();
        self.route(request, Answer::One(to));
        answer.await.unwrap_or(Err(ChargingError::Fatal))
    }

    /// Carries a command out on an account, in the order of its queue; durable
    /// when it returns. Idempotent by the command's key.
    pub async fn command(&self, account: &AccountId, command: AccountCommand) -> Result<CommandAnswer, ChargingError> {
        self.refresh(account).await.map_err(unread)?;
        let (to, answer) = oneshot::channel();
        self.enqueue_control(account, Work::Command { account: account.clone(), command, to })?;
        answer.await.unwrap_or(Err(ChargingError::Fatal))
    }

    /// An account as it stands, or as it was when the store went away; `None` when there is none.
    pub async fn view(&self, account: &AccountId) -> Result<Option<AccountView>, ChargingError> {
        if !self.shared.hot.is_away() {
            self.refresh(account).await.map_err(unread)?;
        }
        let (to, answer) = oneshot::channel();
        self.enqueue_control(account, Work::View { account: account.clone(), to })?;
        answer.await.unwrap_or(Err(ChargingError::Fatal))
    }

    /// Closes a cycle for every account, in bulk, between the usage that goes
    /// on. `progress` hears how many accounts are durable of how many. Repeating
    /// it, or taking it up after a kill, closes what is still open.
    pub async fn close_cycle(
        &self,
        cycle: CycleId,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<ClosedCycle, ChargingError> {
        self.check_running()?;
        self.load_missing().await.map_err(unread)?;
        let (to, mut reports) = mpsc::unbounded_channel();
        for queue in &self.shared.queues {
            queue.waiting.fetch_add(1, Ordering::Relaxed);
            queue.to.send(Work::Close { cycle, to: to.clone() }).map_err(|_| ChargingError::Stopping)?;
        }
        drop(to);
        let (mut done, mut total, mut finished) = (0, 0, 0);
        let mut position = 0;
        while let Some(report) = reports.recv().await {
            match report {
                CloseProgress::Begun { accounts } => total += accounts,
                CloseProgress::Durable { accounts, position: at } => {
                    done += accounts;
                    position = position.max(at);
                    progress(done, total.max(done));
                }
                CloseProgress::Finished => finished += 1,
            }
        }
        if finished < self.shared.queues.len() {
            return Err(self.check_running().err().unwrap_or(ChargingError::Fatal));
        }
        Ok(ClosedCycle { accounts: done, position: position.max(self.shared.hot.last_position()) })
    }

    /// Another gateway on the store has closed `cycle`: accounts that are made later begin
    /// behind it.
    pub fn closed_elsewhere(&self, cycle: CycleId) {
        for queue in &self.shared.queues {
            queue.push(Work::ClosedElsewhere { cycle });
        }
    }

    /// Why usage is refused altogether at this moment, where it is.
    pub fn refuses(&self) -> Option<&'static str> {
        match self.shared.state.load(Ordering::Acquire) {
            RUNNING => self.shared.hot.refuses(),
            STOPPING => Some("stopping"),
            _ => Some("the hot store failed"),
        }
    }

    fn check_running(&self) -> Result<(), ChargingError> {
        match self.shared.state.load(Ordering::Acquire) {
            RUNNING => Ok(()),
            STOPPING => Err(ChargingError::Stopping),
            _ => Err(ChargingError::Fatal),
        }
    }

    /// Brings a request to its shard, or does what the settings say while the store is away.
    fn route(&self, request: ChargeRequest, reply: Answer) {
        let taken = if self.shared.hot.is_away() { self.bridge(request, reply) } else { self.hold(request, reply) };
        if let Some((request, reply)) = taken {
            self.route_to_store(request, reply);
        }
    }

    /// Finds the account and puts the request into its shard's queue.
    fn route_to_store(&self, request: ChargeRequest, reply: Answer) {
        match self.resolve(&request) {
            Some((account, line)) => self.admit(request, account, line, reply),
            None if self.shared.hot.is_shared() => self.look_up(request, reply),
            None => self.answer_unknown(&request, reply),
        }
    }

    /// The account that a request is for, and the line's number in it where its names tell it.
    fn resolve(&self, request: &ChargeRequest) -> Option<(AccountNo, Option<u16>)> {
        let directory = &self.shared.directory;
        if let Some(account) = request.session.as_ref().and_then(|session| directory.account_of(session)) {
            // A Gy session may have the same Session-Id as an Rf session that is yet to begin. What
            // a first request has opened here is taken back where its batch conflicts.
            let opens = request.key.source() == UsageSource::Rf || request.phase == Phase::Initial;
            let line = opens.then(|| self.find_line(request)).flatten();
            let line = line.filter(|owner| owner.account == account).map(|owner| owner.line);
            return Some((account, line));
        }
        self.find_line(request).map(|owner| (owner.account, Some(owner.line)))
    }

    /// The line by the usage's own time, with room for an element's slower clock.
    fn find_line(&self, request: &ChargeRequest) -> Option<Owner> {
        let directory = &self.shared.directory;
        let skew = std::time::Duration::from_millis(self.shared.settings.rating.clock_skew_ms);
        let began = request.starts.unwrap_or(request.ends).min(request.ends);
        [began, request.ends, request.ends.plus(skew)]
            .into_iter()
            .find_map(|at| request.subscribers.iter().find_map(|s| directory.line_of(s, at)))
    }

    /// Online, the client hears that nobody is known; what cannot be sent again
    /// is kept in suspense.
    fn answer_unknown(&self, request: &ChargeRequest, reply: Answer) {
        if request.key.source() == UsageSource::Gy {
            let outcome = match request.phase {
                Phase::Initial | Phase::Event | Phase::OneTime(_) | Phase::Recycled { .. } => {
                    Outcome::UnknownSubscriber
                }
                Phase::Update | Phase::Terminate => Outcome::UnknownSession,
            };
            return reply.send(Ok(ChargeAnswer::alike(outcome, request)));
        }
        let reason = SuspenseReason::UnknownLine;
        let (records, answer) = suspend_whole(request, reason, &self.shared.tariff.book());
        self.admit_loose(records, answer, reply);
    }

    fn admit(&self, request: ChargeRequest, account: AccountNo, line: Option<u16>, reply: Answer) {
        let queue = &self.shared.queues[account.shard()];
        let (phase, source) = (request.phase, request.key.source());
        self.admit_to(queue, phase, source, reply, |reply| Work::Charge { request, account, line, reply });
    }

    fn admit_to(
        &self,
        queue: &Queue,
        phase: Phase,
        source: UsageSource,
        reply: Answer,
        work: impl FnOnce(Answer) -> Work,
    ) {
        match self.may_take(queue, self.shared.settings.queue_room(phase), source) {
            Ok(()) => queue.push(work(reply)),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn admit_loose(&self, records: Vec<UsageRecord>, answer: ChargeAnswer, reply: Answer) {
        let Some(first) = records.first() else { return reply.send(Ok(answer)) };
        let hash = stable_hash(first.key.to_string().as_bytes());
        let queue = &self.shared.queues[(hash % self.shared.queues.len() as u64) as usize];
        let source = first.key.source();
        self.admit_to(queue, Phase::Event, source, reply, |reply| Work::Loose { records, answer, reply });
    }

    fn enqueue_control(&self, account: &AccountId, work: Work) -> Result<(), ChargingError> {
        self.check_running()?;
        let queue = self.queue_of(account);
        let room = self.shared.settings.queue_requests_max.saturating_mul(2);
        if queue.waiting.load(Ordering::Relaxed) >= room {
            metrics().shard_refused.inc();
            return Err(ChargingError::Overloaded);
        }
        queue.push(work);
        Ok(())
    }

    fn may_take(&self, queue: &Queue, room: usize, source: UsageSource) -> Result<(), ChargingError> {
        self.check_running()?;
        if queue.waiting.load(Ordering::Relaxed) >= room || self.keeps_out(source) {
            metrics().shard_refused.inc();
            return Err(ChargingError::Overloaded);
        }
        Ok(())
    }

    fn keeps_out(&self, source: UsageSource) -> bool {
        let hot = &self.shared.hot;
        hot.refuses().is_some() && !(hot.is_away() && self.may_wait(source))
    }

    fn queue_of(&self, account: &AccountId) -> &Queue {
        &self.shared.queues[shard_of(account, self.shared.queues.len())]
    }
}

impl ChargingTasks {
    /// Waits until the store has failed or a shard has ended by itself, and says
    /// how. The process has to end: recovery at the next start settles what is
    /// unknown.
    pub async fn fatal(&mut self) -> String {
        loop {
            if let Some(reason) = self.fatal.borrow_and_update().clone() {
                return reason;
            }
            tokio::select! {
                biased;
                changed = self.fatal.changed() => {
                    if changed.is_err() {
                        return "charging has ended".to_owned();
                    }
                }
                // Its accounts would answer nobody while the rest goes on.
                (_, shard, _) = select_all(self.shards.iter_mut()) => {
                    // The store's failure ends shards too, and is the reason to tell.
                    if let Some(reason) = self.fatal.borrow().clone() {
                        return reason;
                    }
                    return format!("shard {shard} has ended by itself");
                }
            }
        }
    }

    /// Takes nothing more in, finishes what was taken in, sends the answers, and ends.
    pub async fn shutdown(self) {
        let _ = self.shared.state.compare_exchange(RUNNING, STOPPING, Ordering::AcqRel, Ordering::Acquire);
        for queue in &self.shared.queues {
            queue.push(Work::Stop);
        }
        for shard in self.shards {
            let _ = shard.await;
        }
        self.committer.join().await;
    }
}

impl Queue {
    fn push(&self, work: Work) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A closed queue drops the work: its waiters hear of the end by that.
        let _ = self.to.send(work);
    }
}

/// An account could not be read: nothing moved.
fn unread(error: HotError) -> ChargingError {
    tracing::warn!(%error, "read an account");
    ChargingError::Overloaded
}

/// The shard that owns an account: the same for all time for a number of shards.
fn shard_of(account: &AccountId, shards: usize) -> usize {
    usize::from(slot_of(account)) % shards
}

/// What is kept and answered where a request cannot be rated and the client has
/// no other way.
fn suspend_whole(
    request: &ChargeRequest,
    reason: SuspenseReason,
    tariff: &TariffBook,
) -> (Vec<UsageRecord>, ChargeAnswer) {
    let records = suspended_records(request, reason, tariff.at(request.ends).version);
    let suspense = (!records.is_empty()).then_some(reason);
    let answer = ChargeAnswer { suspense, ..ChargeAnswer::alike(Outcome::Success, request) };
    (records, answer)
}

fn suspended_records(request: &ChargeRequest, reason: SuspenseReason, tariff_version: u32) -> Vec<UsageRecord> {
    let counts = |used: &Used| !used.is_nothing() || request.phase == Phase::Event;
    let reported = request.groups.iter().enumerate().filter_map(|(at, g)| Some((at, g.used.filter(counts)?)));
    reported
        .map(|(at, used)| UsageRecord {
            key: request.part_key(at),
            rating_group: request.groups[at].rating_group,
            outcome: UsageOutcome::Suspense(reason),
            line: None,
            account: None,
            cycle: None,
            late_for: None,
            plan: None,
            tariff_version,
            apn: request.apn.clone(),
            subscriber: request.subscribers.first().cloned(),
            starts: request.starts.unwrap_or(request.ends).min(request.ends),
            ends: request.ends,
            received: request.received,
            octets: used.octets_total(),
            amount: 0,
            postings: Vec::new(),
            crossed: Vec::new(),
            told: Told::new(request.network, used.volumes()),
            detail: used.unpriced(),
        })
        .collect()
}
