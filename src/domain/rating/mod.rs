//! Rating: what a usage record does to a charging account.
//!
//! Owns the judgement of a record (duplicate, foreign APN, inactive line,
//! reconciled, rated), the exact split at an allowance, grants of quota, and
//! one-time events.
//! Knows no protocol: Diameter, MQTT and files are translated into
//! [`request::ChargeRequest`] by whoever received them. Does **not** own
//! accounts' storage or how requests reach them.
//!
//! Invariants: a request is applied once, by its key; a charge is the price of
//! the cycle's total after it minus the price before it; the postings of a
//! record sum to zero in each unit; a grant is never more than what is left.

mod allowance;
mod event;
mod grant;
mod judge;
mod price;
pub mod recycle;
pub mod request;
pub mod rerate;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use self::grant::{Pace, grant};
use self::judge::{Usage, count};
use self::request::{ChargeAnswer, ChargeRequest, GroupAnswer, GroupRequest, Outcome, Phase, Used, Wanted};
use super::account::{Account, AccountLimits, Answers, KeySeen, ModemBoot, NumberSet, Session, SessionEnd};
use super::ids::{Apn, LineId, SessionId};
use super::line::LineState;
use super::network::Plmn;
use super::tariff::{Plan, Tariff, TariffBook, UsagePrice};
use super::time::Timestamp;
use super::usage::{RecordKey, SuspenseReason, UsageOutcome, UsageRecord, UsageSource};

/// How records are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatingSettings {
    /// How far an element's clock may be behind ours, milliseconds: usage that
    /// ended so much before a line became active is still the line's. Diameter
    /// times have whole seconds.
    pub clock_skew_ms: u64,
    /// Most octets that one record may report; more is a bad record.
    pub record_octets_max: u64,
    /// Most money that one group of a one-time event may debit, minor units.
    pub event_money_max: i64,
    /// Whether a CCR-U or CCR-T of an unknown session is taken as late usage
    /// where it names its subscriber, instead of 5002.
    pub adopt_unknown_sessions: bool,
    /// What an account keeps.
    pub limits: AccountLimits,
}

impl Default for RatingSettings {
    fn default() -> Self {
        Self {
            clock_skew_ms: 5000,
            record_octets_max: 1_000_000_000_000_000,
            event_money_max: 1_000_000,
            adopt_unknown_sessions: false,
            limits: AccountLimits::default(),
        }
    }
}

/// What a request did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// For the client, once the account is durable.
    pub answer: ChargeAnswer,
    /// What was counted.
    pub records: Vec<UsageRecord>,
    /// Whether the account changed and has to be stored.
    pub changed: bool,
    /// A session that became the account's.
    pub opened: Option<SessionId>,
    /// A session that was forgotten to make room for it.
    pub forgotten: Option<Session>,
    /// Whether its session has ended with it.
    pub ended: bool,
    /// Why all that it reports has to be kept in suspense beside the account.
    pub suspend: Option<SuspenseReason>,
}

impl Applied {
    fn unchanged(answer: ChargeAnswer) -> Self {
        Self { answer, records: Vec::new(), changed: false, opened: None, forgotten: None, ended: false, suspend: None }
    }

    fn repeated(request: &ChargeRequest) -> Self {
        Self::unchanged(ChargeAnswer { repeated: true, ..ChargeAnswer::alike(Outcome::Success, request) })
    }

    fn refused(outcome: Outcome, request: &ChargeRequest) -> Self {
        let answer = ChargeAnswer::alike(outcome, request);
        // Online, the client hears of it; elsewhere usage that is not taken would be lost.
        let suspend = match outcome {
            Outcome::Success => None,
            _ if request.key.source() == UsageSource::Gy => None,
            Outcome::UnknownSubscriber => Some(SuspenseReason::UnknownLine),
            _ => Some(SuspenseReason::TooManySessions),
        };
        Self { suspend, ..Self::unchanged(answer) }
    }
}

/// Where a request's usage belongs.
struct Place {
    /// Index of the line.
    line: usize,
    apn: Option<Apn>,
    /// The serving network during the usage.
    network: Option<Plmn>,
    foreign: bool,
    /// The last usage of a session that we ended.
    last_of_ended: bool,
    /// Groups of the request that are still to be granted quota, the one in hand included.
    asking: u64,
    now: Timestamp,
}

/// Applies a request to the account of `line`, or of its session where `line`
/// is `None`. A repeat gets its stored answer and moves nothing. The answer may
/// leave only when the changed account and the records are durable.
///
/// Usage is judged by the version of the tariff that holds at its end, and quota is
/// granted by the one that holds now.
pub fn apply(
    account: &mut Account,
    line: Option<&LineId>,
    request: &ChargeRequest,
    book: &TariffBook,
    settings: &RatingSettings,
    now: Timestamp,
) -> Applied {
    let rolled = account.roll(now);
    let mut applied = match (&request.session, &request.key, request.phase) {
        (_, _, Phase::OneTime(action)) => event::one_time(account, line, request, action, book.at(now), settings, now),
        (_, _, Phase::Recycled { judged }) => {
            recycle::again(account, line, request, judged, book.at(request.ends), settings, now)
        }
        (
            Some(id),
            RecordKey::Gy(_, number) | RecordKey::Rf(_, number),
            Phase::Initial | Phase::Update | Phase::Terminate,
        ) => in_session(account, line, request, (id, *number), book, settings, now),
        _ => stand_alone(account, line, request, book.at(request.ends), settings, now),
    };
    applied.changed |= rolled;
    applied
}

/// A record without a session: a modem's, a file row, a single event.
fn stand_alone(
    account: &mut Account,
    line: Option<&LineId>,
    request: &ChargeRequest,
    tariff: &Tariff,
    settings: &RatingSettings,
    now: Timestamp,
) -> Applied {
    let Some(line) = line.and_then(|id| account.lines.iter().position(|l| l.id == *id)) else {
        return Applied::refused(Outcome::UnknownSubscriber, request);
    };
    if recycle::was_counted(account, request, &settings.limits, now) {
        return Applied::repeated(request);
    }
    let seen = first_time(account, &request.key, &settings.limits, now);
    if seen != KeySeen::First {
        let mut applied = Applied::refused(Outcome::Success, request);
        applied.answer.repeated = seen == KeySeen::Repeated;
        // A record whose key cannot be kept could be charged again when it comes again.
        applied.suspend = (seen == KeySeen::NoRoom).then_some(SuspenseReason::TooManyKeys);
        return applied;
    }
    let foreign = is_foreign(account, line, request.apn.as_ref(), tariff, request.ends);
    let (apn, network) = (request.apn.clone(), request.network);
    let place = Place { line, apn, network, foreign, last_of_ended: false, asking: 0, now };
    let starts = request.starts.unwrap_or(request.ends).min(request.ends);
    let mut records = Vec::with_capacity(request.groups.len());
    let mut groups = Vec::with_capacity(request.groups.len());
    for (at, group) in request.groups.iter().enumerate() {
        let outcome = group.used.map_or(Outcome::Success, |used| {
            let usage = Usage::of(request, at, used, starts);
            let record = count(account, &place, &usage, request, tariff, settings);
            let outcome = outcome_of(&record);
            records.push(record);
            outcome
        });
        groups.push(GroupAnswer::bare(group.rating_group, outcome));
    }
    recycle::forget_suspended(account, &request.key, &records);
    let answer = ChargeAnswer { groups, suspense: first_suspense(&records), ..ChargeAnswer::bare(Outcome::Success) };
    Applied { answer, records, changed: true, opened: None, forgotten: None, ended: false, suspend: None }
}

/// A request of a Gy or Rf session.
fn in_session(
    account: &mut Account,
    line: Option<&LineId>,
    request: &ChargeRequest,
    (id, number): (&SessionId, u32),
    book: &TariffBook,
    settings: &RatingSettings,
    now: Timestamp,
) -> Applied {
    let source = request.key.source();
    let known = account.session(source, id);
    if let Some(at) = known {
        let session = &account.sessions[at];
        if session.numbers.contains(u64::from(number)) {
            return Applied::unchanged(session.answer_to(number, request));
        }
    }
    if recycle::was_counted(account, request, &settings.limits, now) {
        return Applied::repeated(request);
    }
    let (at, forgotten) = match known {
        Some(at) => (at, None),
        None => match open_session(account, line, request, id, book.at(request.ends), settings, now) {
            Ok(opened) => opened,
            Err(outcome) => return Applied::refused(outcome, request),
        },
    };
    let session = &mut account.sessions[at];
    let late = !session.is_open() || session.numbers.highest().is_some_and(|highest| u64::from(number) < highest);
    session.numbers.insert(u64::from(number), settings.limits.number_ranges_max);
    session.last_activity = session.last_activity.max(now);
    let mut applied = work_groups(account, at, request, late, book, settings, now);
    applied.opened = known.is_none().then(|| id.clone());
    applied.forgotten = forgotten;
    let session = &mut account.sessions[at];
    if request.phase == Phase::Terminate {
        session.reservations.clear();
        if session.is_open() {
            session.end = SessionEnd::ByClient(now);
            applied.ended = true;
        }
    }
    session.answers.keep(u64::from(number), &applied.answer, settings.limits.answers_max);
    applied
}

/// Opens a session for its first request, or says why not; also names the
/// session that had to be forgotten for it.
fn open_session(
    account: &mut Account,
    line: Option<&LineId>,
    request: &ChargeRequest,
    id: &SessionId,
    tariff: &Tariff,
    settings: &RatingSettings,
    now: Timestamp,
) -> Result<(usize, Option<Session>), Outcome> {
    let source = request.key.source();
    let adopts = source == UsageSource::Rf || settings.adopt_unknown_sessions;
    if request.phase != Phase::Initial && !adopts {
        return Err(Outcome::UnknownSession);
    }
    let at = line.and_then(|id| account.lines.iter().position(|l| l.id == *id)).ok_or(Outcome::UnknownSubscriber)?;
    let foreign = is_foreign(account, at, request.apn.as_ref(), tariff, request.ends);
    let line = &account.lines[at];
    let reports = request.groups.iter().any(|g| g.used.is_some_and(|used| !used.is_nothing()));
    let denied = line.no_new_grant || line.state() != LineState::Active;
    if source == UsageSource::Gy && request.phase == Phase::Initial && !reports && denied && !foreign {
        return Err(Outcome::ServiceDenied);
    }
    let line = line.no;
    let forgotten = make_room(account, &settings.limits, now)?;
    account.sessions.push(Session {
        id: id.clone(),
        source,
        peer: request.peer.clone(),
        line,
        apn: request.apn.clone(),
        network: None,
        numbers: NumberSet::default(),
        answers: Answers::default(),
        reservations: Vec::new(),
        last_activity: now,
        reported_until: request.starts.unwrap_or(request.ends).min(request.ends),
        end: SessionEnd::Open,
    });
    Ok((account.sessions.len() - 1, forgotten))
}

/// Forgets the session that can be missed most where the account is full; none
/// that holds a grant.
fn make_room(account: &mut Account, limits: &AccountLimits, now: Timestamp) -> Result<Option<Session>, Outcome> {
    if account.sessions.len() < limits.sessions_max.max(1) {
        return Ok(None);
    }
    let ranked = account.sessions.iter().enumerate().filter_map(|(at, s)| Some((s.gives_way(now, limits)?, at)));
    let (_, at) = ranked.min().ok_or(Outcome::ServiceDenied)?;
    Ok(Some(account.sessions.remove(at)))
}

/// Counts every group's report first, then grants, so that one group's fresh
/// grant is measured against every other group's fresh report.
fn work_groups(
    account: &mut Account,
    at: usize,
    request: &ChargeRequest,
    late: bool,
    book: &TariffBook,
    settings: &RatingSettings,
    now: Timestamp,
) -> Applied {
    let tariff = book.at(request.ends);
    let session = &account.sessions[at];
    let no = session.line;
    let apn = request.apn.clone().or_else(|| session.apn.clone());
    let starts = request.starts.unwrap_or(session.reported_until).min(request.ends);
    let last_of_ended = session.end == SessionEnd::ByUs && request.phase == Phase::Terminate;
    let Some(line) = account.lines.iter().position(|l| l.no == no) else {
        return Applied::refused(Outcome::UnknownSubscriber, request);
    };
    let foreign = is_foreign(account, line, apn.as_ref(), tariff, request.ends);
    // What a client reports when the network changes was used in the one before.
    let network = if late { request.network.or(session.network) } else { session.network.or(request.network) };
    let mut place = Place { line, apn, network, foreign, last_of_ended, asking: 0, now };
    let mut records = Vec::with_capacity(request.groups.len());
    let mut reported = Vec::with_capacity(request.groups.len());
    for (at_group, group) in request.groups.iter().enumerate() {
        let mut outcome = Outcome::Success;
        if let Some(used) = group.used.filter(|used| !used.is_nothing()) {
            let usage = Usage::of(request, at_group, used, starts);
            let change = change_within(account, &place, &usage, book);
            for usage in usage.split_at(change, || request.spare_key(at_group)).into_iter().flatten() {
                let record = count(account, &place, &usage, request, book.at(usage.ends), settings);
                outcome = if outcome == Outcome::Success { outcome_of(&record) } else { outcome };
                records.push(record);
            }
        }
        let pace = if late { None } else { settle_reservation(&mut account.sessions[at], group, now) };
        reported.push((outcome, pace));
    }
    if !records.is_empty() && !late {
        let session = &mut account.sessions[at];
        session.reported_until = session.reported_until.max(request.ends);
    }
    let tariff = book.at(now);
    if !late && request.network.is_some() {
        place.network = request.network;
        let prices = plan_of(account, line, tariff, now).and_then(|plan| plan.usage.as_ref());
        account.sessions[at].network = request.network.filter(|_| prices.is_some_and(UsagePrice::asks_zone));
    }
    let may_grant = !late && request.phase != Phase::Terminate && request.key.source() == UsageSource::Gy;
    let wanted = |group: &GroupRequest| if may_grant && !group.is_final { group.wanted } else { Wanted::Nothing };
    place.asking = request.groups.iter().filter(|group| wanted(group) != Wanted::Nothing).count() as u64;
    let mut groups = Vec::with_capacity(request.groups.len());
    for (group, reported) in request.groups.iter().zip(reported) {
        let wanted = wanted(group);
        groups.push(answer_group(account, at, &place, group, wanted, book, reported));
        place.asking -= u64::from(wanted != Wanted::Nothing);
    }
    let denied = may_grant && groups.is_empty() && is_denied(account, line);
    let outcome = if denied { Outcome::ServiceDenied } else { Outcome::Success };
    let answer = ChargeAnswer { groups, suspense: first_suspense(&records), ..ChargeAnswer::bare(outcome) };
    Applied { answer, records, changed: true, opened: None, forgotten: None, ended: false, suspend: None }
}

/// A report takes from what is set aside for its group; a final report or a
/// wish for more gives the rest back. How fast it was used, where that is known.
fn settle_reservation(session: &mut Session, group: &GroupRequest, now: Timestamp) -> Option<Pace> {
    let used = group.used.map_or(0, Used::octets_total);
    if group.is_final || group.wanted != Wanted::Nothing {
        return session.release(group).map(|held| (used, now.since(held.since)));
    }
    let held = session.reservations.iter_mut().find(|r| r.is_for(group))?;
    held.octets = held.octets.saturating_sub(used);
    held.since = now;
    None
}

fn answer_group(
    account: &mut Account,
    session: usize,
    place: &Place,
    group: &GroupRequest,
    wanted: Wanted,
    book: &TariffBook,
    (reported, pace): (Outcome, Option<Pace>),
) -> GroupAnswer {
    let refused = |outcome| GroupAnswer::bare(group.rating_group, outcome);
    if place.foreign {
        return refused(Outcome::ForeignApn);
    }
    if wanted == Wanted::Nothing || reported == Outcome::RatingFailed {
        return refused(reported);
    }
    if is_denied(account, place.line) {
        return refused(Outcome::ServiceDenied);
    }
    match plan_of(account, place.line, book.at(place.now), place.now) {
        Some(plan) => grant(account, session, place, (plan, book), group, (wanted, pace)),
        None => refused(Outcome::RatingFailed),
    }
}

/// Where a client has split its usage at the end of a cycle, or at the start of a
/// version of the tariff: both sides are of their own. `None` where it has not, or has
/// split it at a later change of the time of day.
fn change_within(account: &Account, place: &Place, usage: &Usage, book: &TariffBook) -> Option<Timestamp> {
    if usage.used.before.total() == 0 {
        return None;
    }
    let changes = [Some(account.bounds.from), book.last_change(usage.ends)];
    let change = changes.into_iter().flatten().filter(|c| usage.starts < *c && *c <= usage.ends).max()?;
    let tariff = book.at(usage.ends);
    let prices = plan_of(account, place.line, tariff, usage.ends).and_then(|plan| plan.usage.as_ref());
    let later = prices.and_then(|prices| tariff.clock().last_edge(prices.windows(tariff), usage.ends));
    later.is_none_or(|edge| edge <= change).then_some(change)
}

fn plan_of<'t>(account: &Account, line: usize, tariff: &'t Tariff, at: Timestamp) -> Option<&'t Plan> {
    account.lines[line].plan_at(at).and_then(|id| tariff.plan(id))
}

fn is_denied(account: &Account, line: usize) -> bool {
    account.lines[line].no_new_grant || account.lines[line].state() != LineState::Active
}

/// Whether usage on `apn` is not the line's own. Without an APN it is.
fn is_foreign(account: &Account, line: usize, apn: Option<&Apn>, tariff: &Tariff, at: Timestamp) -> bool {
    let Some(apn) = apn else { return false };
    let line = &account.lines[line];
    let of_plan = || line.plan_at(at).and_then(|id| tariff.plan(id)).map_or(&[][..], |plan| &plan.apns);
    let own = if line.apns.is_empty() { of_plan() } else { &line.apns };
    !own.iter().any(|own| own.matches(apn.as_str()))
}

/// Remembers the key of a record without session, where it was not there and has room.
fn first_time(account: &mut Account, key: &RecordKey, limits: &AccountLimits, now: Timestamp) -> KeySeen {
    if let RecordKey::Modem(device, epoch, boot, sequence) = key {
        let is_first = first_of_modem(account, (device, *epoch, *boot), *sequence, limits, now);
        return if is_first { KeySeen::First } else { KeySeen::Repeated };
    }
    account.event_keys.insert(key_hash(key), now, limits)
}

fn first_of_modem(
    account: &mut Account,
    (device, epoch, boot): (&crate::domain::ids::DeviceId, u32, u32),
    sequence: u64,
    limits: &AccountLimits,
    now: Timestamp,
) -> bool {
    let known = account.modems.iter().position(|m| m.device == *device && m.epoch == epoch && m.boot == boot);
    let at = known.unwrap_or_else(|| {
        let of_device = |m: &ModemBoot| m.device == *device;
        if account.modems.iter().filter(|m| of_device(m)).count() >= limits.modem_boots_max.max(1) {
            let oldest =
                account.modems.iter().enumerate().filter(|(_, m)| of_device(m)).min_by_key(|(_, m)| m.last_seen);
            if let Some((oldest, _)) = oldest {
                account.modems.remove(oldest);
            }
        }
        let numbers = NumberSet::default();
        account.modems.push(ModemBoot { device: device.clone(), epoch, boot, numbers, last_seen: now });
        account.modems.len() - 1
    });
    let modem = &mut account.modems[at];
    modem.last_seen = modem.last_seen.max(now);
    modem.numbers.insert(sequence, limits.number_ranges_max)
}

/// Whether the account remembers a key.
fn knows_key(account: &mut Account, key: u64, limits: &AccountLimits, now: Timestamp) -> bool {
    account.event_keys.seen(key, now, limits) == KeySeen::Repeated
}

/// 64 bits of SHA-256 over the key's text.
fn key_hash(key: &RecordKey) -> u64 {
    text_hash(&key.to_string())
}

fn text_hash(text: &str) -> u64 {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn outcome_of(record: &UsageRecord) -> Outcome {
    use crate::domain::usage::SuspenseReason as Reason;
    match record.outcome {
        UsageOutcome::Suspense(Reason::ForeignApn) => Outcome::ForeignApn,
        UsageOutcome::Suspense(Reason::NoUsagePrice) => Outcome::RatingFailed,
        UsageOutcome::Suspense(
            Reason::UnknownLine
            | Reason::LineNotActive
            | Reason::BadRecord
            | Reason::TooManyKeys
            | Reason::TooManySessions,
        )
        | UsageOutcome::Rated
        | UsageOutcome::Reconciled
        | UsageOutcome::Recycled(_)
        | UsageOutcome::Dropped(_) => Outcome::Success,
    }
}

fn first_suspense(records: &[UsageRecord]) -> Option<super::usage::SuspenseReason> {
    records.iter().find_map(|r| match r.outcome {
        UsageOutcome::Suspense(reason) => Some(reason),
        UsageOutcome::Rated | UsageOutcome::Reconciled | UsageOutcome::Recycled(_) | UsageOutcome::Dropped(_) => None,
    })
}
