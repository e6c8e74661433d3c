//! What is done with requests while the hot store is away: refused, kept waiting,
//! or answered here and settled later, by source.
//!
//! A request that is answered here stands in a journal on this machine's disk
//! before its answer leaves. When the store is back, the journal is charged as
//! ordinary requests with their own keys: what was charged before, or comes once
//! more, is counted once. Quota is granted from a local allowance alone, on a
//! shadow of the account as it was last known: an account that is known here gets
//! no more than what is left of it, and than the allowance.
//!
//! A request that was on its way when the store went away is in a batch that may be
//! applied or not. It is answered here, too, with what its shard has decided, and
//! charged with the journal: a repeat where the batch was applied.
//!
//! Invariants: nothing is answered from here that is not in the journal; an
//! account's grants since the journal was last empty stay within the allowance,
//! and all together within theirs; the journal is emptied only when the store has
//! everything in it; no Gy request is refused that may be counted already.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::accounts::AccountNo;
use super::work::{Answer, Urgent};
use super::{Charging, ChargingError};
use crate::domain::ids::SessionId;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome, Phase};
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, SuspenseReason, UsageSource};
use crate::ports::journal::{Journal, JournalError};
use crate::telemetry::metrics;

/// What a Gy client hears while the hot store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnlinePolicy {
    /// 3004: it asks another gateway, or does what Credit-Control-Failure-Handling says. What
    /// may be counted already is left unanswered, repeats included.
    Refuse,
    /// It goes on within a local allowance. One-time events are refused all the same, or left
    /// unanswered where they may be counted.
    LocalAllowance,
}

/// What becomes of an offline source's usage while the hot store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OfflinePolicy {
    /// It waits for its answer until the store is back.
    Wait,
    /// It is journalled here and acknowledged.
    Journal,
}

/// `[charging.outage]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutageSettings {
    /// What Gy clients hear.
    pub gy: OnlinePolicy,
    /// What becomes of Rf records.
    pub rf: OfflinePolicy,
    /// What becomes of modems' records.
    pub mqtt: OfflinePolicy,
    /// How long after the outage began more requests may begin to wait, milliseconds.
    pub wait_ms_max: u64,
    /// Octets that an account may be granted here in one outage.
    pub local_allowance_octets: u64,
    /// Octets that all accounts together may be granted.
    pub local_allowance_total_octets: u64,
    /// Requests that the journal may hold; more are refused.
    pub journal_requests_max: usize,
    /// Journalled requests that are charged at once when the store is back.
    pub settle_requests: usize,
    /// How often the store is looked at, milliseconds: to settle, and to answer what is under way.
    pub settle_ms: u64,
}

impl Default for OutageSettings {
    fn default() -> Self {
        Self {
            gy: OnlinePolicy::Refuse,
            rf: OfflinePolicy::Wait,
            mqtt: OfflinePolicy::Wait,
            wait_ms_max: 60_000,
            local_allowance_octets: 10_000_000,
            local_allowance_total_octets: 100_000_000_000,
            journal_requests_max: 100_000,
            settle_requests: 512,
            settle_ms: 500,
        }
    }
}

/// How long a shard may take to foresee an answer.
const FORESEE_PATIENCE: Duration = Duration::from_millis(500);

/// Requests in one write of the journal.
const WRITE_MAX: usize = 1024;

/// What is known of an outage.
#[derive(Default)]
pub(super) struct Outage {
    journal: OnceLock<mpsc::UnboundedSender<Entry>>,
    /// Requests in the journal and on their way there.
    depth: AtomicUsize,
    local: Mutex<Local>,
}

#[derive(Default)]
struct Local {
    /// When requests were first kept from the store, in this outage.
    since: Option<Timestamp>,
    /// When the oldest request in the journal came.
    oldest: Option<Timestamp>,
    granted: HashMap<AccountNo, u64>,
    granted_total: u64,
    /// Answers given here, for repeats.
    answers: HashMap<RecordKey, ChargeAnswer>,
    /// Sessions opened here.
    sessions: HashMap<SessionId, (AccountNo, Option<u16>)>,
    /// Requests of these sessions that came when the store was back, and the journal not settled.
    held: Vec<(ChargeRequest, Answer)>,
}

/// A request on its way to the journal.
struct Entry {
    request: ChargeRequest,
    answer: ChargeAnswer,
    reply: Answer,
    /// Whether a batch on its way may have counted it already.
    is_decided: bool,
}

/// A request that waits for the store in its shard, with what the shard has decided.
pub(super) struct Decided {
    pub(super) request: ChargeRequest,
    pub(super) account: AccountNo,
    pub(super) line: Option<u16>,
    pub(super) answer: ChargeAnswer,
    pub(super) reply: Answer,
}

/// What is done with a request.
enum Course {
    Refuse,
    Wait,
    Answer,
}

impl Outage {
    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn course(&self, source: UsageSource, settings: &OutageSettings, now: Timestamp) -> Course {
        let policy = match source {
            UsageSource::Gy if settings.gy == OnlinePolicy::LocalAllowance => Course::Answer,
            // Whoever reads a file or tops up tries again by himself.
            UsageSource::Gy | UsageSource::File | UsageSource::TopUp => Course::Refuse,
            UsageSource::Rf if settings.rf == OfflinePolicy::Journal => Course::Answer,
            UsageSource::Modem if settings.mqtt == OfflinePolicy::Journal => Course::Answer,
            UsageSource::Rf | UsageSource::Modem => Course::Wait,
        };
        let since = *self.local().since.get_or_insert(now);
        match policy {
            Course::Wait if now.since(since) > Duration::from_millis(settings.wait_ms_max) => Course::Refuse,
            Course::Answer if self.journal.get().is_none() => Course::Refuse,
            other => other,
        }
    }
}

impl Charging {
    /// Holds a request back whose session the store does not know yet, but the journal;
    /// gives any other one back.
    pub(super) fn hold(&self, request: ChargeRequest, reply: Answer) -> Option<(ChargeRequest, Answer)> {
        let outage = &self.shared.outage;
        if outage.depth.load(Ordering::Acquire) == 0 {
            return Some((request, reply));
        }
        let mut local = outage.local();
        let is_local = request.session.as_ref().is_some_and(|session| local.sessions.contains_key(session));
        if !is_local || local.held.len() >= self.shared.settings.outage.journal_requests_max {
            return Some((request, reply));
        }
        local.held.push((request, reply));
        None
    }

    /// Brings what was held back on its way: the journal is settled, or the store away again.
    fn let_go(&self) {
        let held = std::mem::take(&mut self.shared.outage.local().held);
        for (request, reply) in held {
            self.route(request, reply);
        }
    }

    /// Whether a source's requests may wait for the store, which is away.
    pub(super) fn may_wait(&self, source: UsageSource) -> bool {
        matches!(self.course(source), Course::Wait)
    }

    fn course(&self, source: UsageSource) -> Course {
        self.shared.outage.course(source, &self.shared.settings.outage, self.shared.clock.now())
    }

    /// Takes a request while the store is away; gives it back where it is to wait.
    pub(super) fn bridge(&self, request: ChargeRequest, reply: Answer) -> Option<(ChargeRequest, Answer)> {
        let source = request.key.source();
        match self.course(source) {
            Course::Refuse => {
                self.refuse(&request, reply);
                None
            }
            Course::Wait => {
                count(source, "waited");
                Some((request, reply))
            }
            Course::Answer => {
                self.answer_here(request, reply);
                None
            }
        }
    }

    fn answer_here(&self, request: ChargeRequest, reply: Answer) {
        let outage = &self.shared.outage;
        let known = outage.local().answers.get(&request.key).cloned();
        if let Some(answer) = known {
            return reply.send(Ok(ChargeAnswer { repeated: true, ..answer }));
        }
        if !self.takes_place() {
            return self.refuse(&request, reply);
        }
        if request.key.source() != UsageSource::Gy {
            let answer = ChargeAnswer::alike(Outcome::Success, &request);
            return self.journal(Entry { request, answer, reply, is_decided: false });
        }
        let charging = self.clone();
        tokio::spawn(async move {
            match charging.foresee(&request).await {
                Some((account, answer)) => {
                    let answer = charging.within_allowance(account, answer);
                    charging.journal(Entry { request, answer, reply, is_decided: false });
                }
                None => {
                    charging.give_place();
                    charging.refuse(&request, reply);
                }
            }
        });
    }

    /// Whether the journal has room for one more, which has its place there then.
    fn takes_place(&self) -> bool {
        let has_room = |depth| (depth < self.shared.settings.outage.journal_requests_max).then_some(depth + 1);
        self.shared.outage.depth.fetch_update(Ordering::AcqRel, Ordering::Acquire, has_room).is_ok()
    }

    fn give_place(&self) {
        self.shared.outage.depth.fetch_sub(1, Ordering::AcqRel);
    }

    /// Refuses a request. A Gy client hears nothing where its shard has the request already: it
    /// may be counted, and the client would report the usage again under another number.
    fn refuse(&self, request: &ChargeRequest, reply: Answer) {
        let source = request.key.source();
        if source == UsageSource::Gy
            && let Some((account, _)) = self.resolve(request)
        {
            let work = Urgent::Refuse { key: request.key.clone(), account, reply };
            let _stopping = self.shared.queues[account.shard()].urgent.send(work);
            return;
        }
        count(source, "refused");
        reply.send(Err(ChargingError::Overloaded));
    }

    /// Whether a request that is decided, and waits for the store, is answered here: then it
    /// has its place in the journal. The account alone grants or refuses a debit: that one waits.
    pub(super) fn takes_over(&self, request: &ChargeRequest, reply: &Answer) -> bool {
        self.turns(request, reply)
            && !matches!(request.phase, Phase::OneTime(_))
            && matches!(self.course(request.key.source()), Course::Answer)
            && self.takes_place()
    }

    /// Whether a request that waits in its shard, and is not decided, goes another way.
    pub(super) fn turns(&self, request: &ChargeRequest, reply: &Answer) -> bool {
        let is_clients = matches!(reply, Answer::Queue(_) | Answer::One(_));
        let is_new = !matches!(request.phase, Phase::Recycled { .. });
        is_clients && is_new && !matches!(self.course(request.key.source()), Course::Wait)
    }

    /// Answers such a request with what its shard has decided.
    pub(super) fn take_over(&self, decided: Decided) {
        let Decided { request, account, line, mut answer, reply } = decided;
        if let (UsageSource::Gy, Some(session)) = (request.key.source(), &request.session) {
            self.shared.outage.local().sessions.entry(session.clone()).or_insert((account, line));
            answer = self.within_allowance(account, answer);
        }
        count(request.key.source(), "taken-over");
        self.journal(Entry { request, answer, reply, is_decided: true });
    }

    /// What the account's shadow answers; `None` where nobody here knows.
    async fn foresee(&self, request: &ChargeRequest) -> Option<(AccountNo, ChargeAnswer)> {
        if matches!(request.phase, Phase::OneTime(_)) {
            return None;
        }
        let outage = &self.shared.outage;
        let opened_here = request.session.as_ref().and_then(|session| outage.local().sessions.get(session).copied());
        let (account, line) = opened_here.or_else(|| self.resolve(request))?;
        let (to, answer) = oneshot::channel();
        let work = Urgent::Foresee { request: Box::new(request.clone()), account, line, to };
        let _stopping = self.shared.queues[account.shard()].urgent.send(work);
        let answer = tokio::time::timeout(FORESEE_PATIENCE, answer).await.ok()?.ok()?;
        if let Some(session) = &request.session {
            outage.local().sessions.entry(session.clone()).or_insert((account, line));
        }
        Some((account, answer?))
    }

    /// Cuts what was foreseen down to what may be granted here.
    fn within_allowance(&self, account: AccountNo, mut answer: ChargeAnswer) -> ChargeAnswer {
        let settings = &self.shared.settings.outage;
        let mut local = self.shared.outage.local();
        for group in &mut answer.groups {
            let Some(grant) = &mut group.grant else { continue };
            let given = local.granted.get(&account).copied().unwrap_or(0);
            let left = settings.local_allowance_octets.saturating_sub(given);
            let octets = grant.octets.min(left).min(settings.local_allowance_total_octets - local.granted_total);
            if octets == 0 {
                (group.grant, group.outcome) = (None, Outcome::CreditLimitReached);
                continue;
            }
            if octets < grant.octets {
                // A threshold past the grant would never be reached.
                grant.threshold_octets = grant.threshold_octets.min(octets / 2);
                grant.octets = octets;
            }
            *local.granted.entry(account).or_default() += octets;
            local.granted_total += octets;
        }
        metrics().outage_granted.set(i64::try_from(local.granted_total).unwrap_or(i64::MAX));
        answer
    }

    fn journal(&self, entry: Entry) {
        match self.shared.outage.journal.get() {
            Some(journal) => drop(journal.send(entry)),
            None => self.turn_away(entry),
        }
    }

    /// Answers nothing good to a request that the journal has not taken.
    fn turn_away(&self, entry: Entry) {
        self.give_place();
        if entry.is_decided {
            count(entry.request.key.source(), "unanswered");
            return entry.reply.send(Err(ChargingError::Unknown));
        }
        self.refuse(&entry.request, entry.reply);
    }

    /// Answers from now on what the settings say while the store is away, with what is in
    /// `journal`; settles what it holds from an earlier run, and whatever comes, until `stop`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn bridge_outages(
        &self,
        journal: Arc<dyn Journal>,
        stop: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + use<>, JournalError> {
        let left = decode_requests(&journal.entries()?)?;
        let outage = &self.shared.outage;
        outage.depth.store(left.len(), Ordering::Release);
        if !left.is_empty() {
            let mut local = outage.local();
            local.oldest = Some(self.shared.clock.now());
            // The store may not know them before that.
            for (request, session) in left.iter().filter_map(|request| Some((request, request.session.as_ref()?))) {
                if let (UsageSource::Gy, Some(owner)) = (request.key.source(), self.resolve(request)) {
                    local.sessions.entry(session.clone()).or_insert(owner);
                }
            }
            tracing::info!(requests = left.len(), "the journal of an outage is settled");
        }
        let (to, entries) = mpsc::unbounded_channel();
        outage.journal.get_or_init(|| to);
        let (charging, of_writer) = (self.clone(), Arc::clone(&journal));
        // It goes with the process: what it has not written is not answered.
        tokio::spawn(async move { charging.write_journal(entries, of_writer).await });
        let charging = self.clone();
        Ok(async move { charging.settle_until(journal, stop).await })
    }

    /// Writes what comes, many at a time, and sends the answers.
    async fn write_journal(&self, mut entries: mpsc::UnboundedReceiver<Entry>, journal: Arc<dyn Journal>) {
        let mut is_failing = false;
        let mut some = Vec::with_capacity(WRITE_MAX);
        while entries.recv_many(&mut some, WRITE_MAX).await > 0 {
            let encode = |e: &Entry| postcard::to_stdvec(&e.request).expect("a request is plain data");
            let (encoded, journal): (Vec<_>, _) = (some.iter().map(encode).collect(), Arc::clone(&journal));
            let written = blocking(move || journal.append(&encoded)).await;
            if let Err(error) = &written
                && !std::mem::replace(&mut is_failing, true)
            {
                tracing::error!(%error, "requests are refused until the hot store is back");
            }
            for entry in some.drain(..) {
                match written {
                    Ok(()) => self.answer_journalled(entry),
                    Err(_) => self.turn_away(entry),
                }
            }
            self.note_depth();
        }
    }

    fn answer_journalled(&self, Entry { request, answer, reply, .. }: Entry) {
        count(request.key.source(), "journalled");
        let mut local = self.shared.outage.local();
        local.oldest.get_or_insert(request.received);
        local.answers.insert(request.key, answer.clone());
        drop(local);
        reply.send(Ok(answer));
    }

    fn note_depth(&self) {
        let (outage, now) = (&self.shared.outage, self.shared.clock.now());
        let depth = outage.depth.load(Ordering::Acquire);
        let age = outage.local().oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        metrics().outage_journal.set(i64::try_from(depth).unwrap_or(i64::MAX));
        metrics().outage_journal_age.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }

    async fn settle_until(&self, journal: Arc<dyn Journal>, stop: CancellationToken) {
        let pause = Duration::from_millis(self.shared.settings.outage.settle_ms.max(1));
        let settled = AtomicUsize::new(0);
        let mut settling = None;
        while !stop.is_cancelled() {
            self.note_depth();
            if self.shared.hot.is_away() {
                self.let_go();
                self.tell_shards(|| Urgent::StoreAway);
            } else {
                self.shared.outage.local().since = None;
                if self.shared.outage.depth.load(Ordering::Acquire) > 0 {
                    settling.get_or_insert_with(|| Box::pin(self.settle(&journal, &settled)));
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                // It waits where the store goes away again, and this loop does not.
                outcome = async { settling.as_mut().expect("only polled while it is settled").await },
                    if settling.is_some() => {
                    settling = None;
                    if let Err(error) = outcome {
                        tracing::warn!(%error, "settle the journal of an outage; tried again soon");
                    }
                    tokio::time::sleep(pause).await;
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn tell_shards(&self, what: impl Fn() -> Urgent) {
        for queue in &self.shared.queues {
            let _stopping = queue.urgent.send(what());
        }
    }

    /// Charges everything in the journal past the first `settled`, and empties it. Counts
    /// there how far it has come, so that the next try goes on from there.
    async fn settle(&self, journal: &Arc<dyn Journal>, settled: &AtomicUsize) -> Result<(), JournalError> {
        let of_reader = Arc::clone(journal);
        let entries = blocking(move || of_reader.entries()).await?;
        let failed = |e: ChargingError| JournalError { operation: "settle", reason: e.to_string() };
        let left = entries.get(settled.load(Ordering::Acquire)..).unwrap_or_default();
        for some in left.chunks(self.shared.settings.outage.settle_requests.max(1)) {
            let requests = decode_requests(some)?;
            let chains = by_session(requests.iter().cloned());
            let at_once = join_all(chains.into_iter().map(|chain| self.settle_chain(chain))).await;
            if !at_once.iter().all(Result::is_ok) {
                // They may have been too many at once.
                self.settle_chain(requests).await.map_err(failed)?;
            }
            settled.fetch_add(some.len(), Ordering::AcqRel);
        }
        let (of_clearer, count) = (Arc::clone(journal), entries.len());
        // Not where more has come meanwhile.
        if blocking(move || of_clearer.clear_of(count)).await? {
            settled.store(0, Ordering::Release);
            let outage = &self.shared.outage;
            outage.depth.fetch_sub(count, Ordering::AcqRel);
            let mut local = outage.local();
            let held = std::mem::take(&mut local.held);
            *local = Local { since: local.since, held, ..Local::default() };
            drop(local);
            self.let_go();
            self.tell_shards(|| Urgent::Forget);
            metrics().outage_granted.set(0);
            self.note_depth();
            tracing::info!(requests = count, "the journal of an outage is settled");
        }
        Ok(())
    }

    /// Charges requests one after the other. A session's have to be: its first opens it.
    async fn settle_chain(&self, requests: Vec<ChargeRequest>) -> Result<(), ChargingError> {
        for request in requests {
            self.settle_one(request).await?;
        }
        Ok(())
    }

    /// Charges one request. Usage that the account does not take was acknowledged all the
    /// same: it goes to suspense.
    async fn settle_one(&self, request: ChargeRequest) -> Result<(), ChargingError> {
        let source = request.key.source();
        let (to, answer) = oneshot::channel();
        self.route_to_store(request.clone(), Answer::Journal(to));
        let answer = answer.await.unwrap_or(Err(ChargingError::Fatal))?;
        let is_lost = matches!(answer.outcome, Outcome::UnknownSession | Outcome::UnknownSubscriber)
            && request.key.source() == UsageSource::Gy;
        if is_lost {
            let (records, answer) =
                super::suspend_whole(&request, SuspenseReason::UnknownLine, &self.shared.tariff.book());
            let (to, kept) = oneshot::channel();
            self.admit_loose(records, answer, Answer::Journal(to));
            kept.await.unwrap_or(Err(ChargingError::Fatal))?;
        }
        count(source, if is_lost { "suspended" } else { "settled" });
        Ok(())
    }
}

/// The requests of each session, in their order; each without one by itself.
fn by_session(requests: impl Iterator<Item = ChargeRequest>) -> Vec<Vec<ChargeRequest>> {
    let mut chains: Vec<Vec<ChargeRequest>> = Vec::new();
    let mut of_sessions: HashMap<(UsageSource, SessionId), usize> = HashMap::new();
    for request in requests {
        let chain = match &request.session {
            Some(session) => *of_sessions.entry((request.key.source(), session.clone())).or_insert(chains.len()),
            None => chains.len(),
        };
        match chains.get_mut(chain) {
            Some(chain) => chain.push(request),
            None => chains.push(vec![request]),
        }
    }
    chains
}

fn decode_requests(entries: &[Vec<u8>]) -> Result<Vec<ChargeRequest>, JournalError> {
    let decoded = entries.iter().map(|bytes| postcard::from_bytes(bytes)).collect::<Result<_, _>>();
    decoded.map_err(|e: postcard::Error| JournalError { operation: "read a request", reason: e.to_string() })
}

pub(super) fn count(source: UsageSource, outcome: &str) {
    metrics().outage_requests.with_label_values(&[source.as_str(), outcome]).inc();
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    // In a runtime of one thread nothing runs beside it: one seed, one course.
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    let ended = |e: tokio::task::JoinError| JournalError { operation: "run", reason: e.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: RecordKey, session: Option<&str>) -> ChargeRequest {
        ChargeRequest {
            key,
            phase: Phase::Update,
            session: session.map(SessionId::from),
            peer: None,
            subscribers: Vec::new(),
            apn: None,
            network: None,
            starts: None,
            ends: Timestamp(0),
            received: Timestamp(0),
            groups: Vec::new(),
        }
    }

    #[test]
    fn requests_of_a_session_are_charged_one_after_the_other() {
        let of_session = |id: &str, number| request(RecordKey::Gy(SessionId::from(id), number), Some(id));
        let alone = |row: &str| request(RecordKey::File(row.to_owned()), None);
        let requests = [of_session("a", 0), of_session("b", 0), alone("1"), of_session("a", 1), alone("2")];
        let expected =
            [vec![0, 3], vec![1], vec![2], vec![4]].map(|c| c.into_iter().map(|n: usize| requests[n].clone()));
        assert_eq!(by_session(requests.iter().cloned()), expected.map(Iterator::collect::<Vec<_>>));
    }
}
