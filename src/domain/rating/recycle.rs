//! Records that come back from suspense.
//!
//! A record keeps its own key. Where an account has judged it, that key counts as
//! seen ([`UsageRecord::is_judged`]), so recycling remembers a key of its own once
//! it has counted the record; where none has, the record's own key tells whether
//! the client brought it again meanwhile. The other way round, a client's late
//! repeat is held against what was recycled. So a record is counted once, whoever
//! is first and however often either is repeated.

use super::judge::{Usage, count};
use super::request::{ChargeAnswer, ChargeRequest, GroupAnswer, GroupRequest, Outcome, Phase, Used, Wanted};
use super::{Applied, Place, RatingSettings, first_suspense, is_foreign, key_hash, outcome_of, text_hash};
use crate::domain::account::{Account, AccountLimits, KeySeen};
use crate::domain::ids::LineId;
use crate::domain::tariff::Tariff;
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, SuspenseReason, UsageOutcome, UsageRecord, UsageSource};

impl ChargeRequest {
    /// Asks for a record of suspense to be judged anew; `None` for one that reports
    /// no octets, because there is nothing to count.
    pub fn again(record: &UsageRecord) -> Option<Self> {
        let phase = match record.key.source() {
            UsageSource::File => Phase::Event,
            UsageSource::Gy | UsageSource::Rf | UsageSource::Modem | UsageSource::TopUp => {
                Phase::Recycled { judged: record.is_judged() }
            }
        };
        (record.octets > 0).then(|| ChargeRequest {
            key: record.key.clone(),
            phase,
            session: None,
            peer: None,
            subscribers: record.subscriber.iter().cloned().collect(),
            apn: record.apn.clone(),
            network: record.told.as_ref().and_then(|told| told.network),
            starts: Some(record.starts),
            ends: record.ends,
            received: record.received,
            groups: vec![GroupRequest {
                rating_group: record.rating_group,
                services: Vec::new(),
                used: Some(record.told.as_ref().map_or(Used::octets(record.octets), |told| Used::Octets(told.used))),
                wanted: Wanted::Nothing,
                is_final: true,
            }],
        })
    }
}

/// Judges a record of suspense anew, and counts it unless it was counted before.
pub(super) fn again(
    account: &mut Account,
    line: Option<&LineId>,
    request: &ChargeRequest,
    judged: bool,
    tariff: &Tariff,
    settings: &RatingSettings,
    now: Timestamp,
) -> Applied {
    let Some(line) = line.and_then(|id| account.lines.iter().position(|l| l.id == *id)) else {
        return Applied::refused(Outcome::UnknownSubscriber, request);
    };
    let key = recycled(request, 0);
    match account.event_keys.seen(key, now, &settings.limits) {
        KeySeen::Repeated => return Applied::repeated(request),
        KeySeen::First if !judged && knows(account, &request.key, &settings.limits, now) => {
            return Applied::repeated(request);
        }
        KeySeen::First => {}
        KeySeen::NoRoom => {
            let suspense = Some(SuspenseReason::TooManyKeys);
            let answer = ChargeAnswer { suspense, ..ChargeAnswer::alike(Outcome::Success, request) };
            return Applied::unchanged(answer);
        }
    }
    let Some((group, used)) = request.groups.first().and_then(|group| Some((group, group.used?))) else {
        return Applied::refused(Outcome::Success, request);
    };
    let foreign = is_foreign(account, line, request.apn.as_ref(), tariff, request.ends);
    let (apn, network) = (request.apn.clone(), request.network);
    let place = Place { line, apn, network, foreign, last_of_ended: false, asking: 0, now };
    let starts = request.starts.unwrap_or(request.ends).min(request.ends);
    let record = count(account, &place, &Usage::of(request, 0, used, starts), request, tariff, settings);
    if is_counted(&record) {
        account.event_keys.insert(key, now, &settings.limits);
    }
    let groups = vec![GroupAnswer::bare(group.rating_group, outcome_of(&record))];
    let records = vec![record];
    let answer = ChargeAnswer { groups, suspense: first_suspense(&records), ..ChargeAnswer::bare(Outcome::Success) };
    Applied { records, changed: true, ..Applied::unchanged(answer) }
}

/// Whether some of what a request reports was counted out of suspense before.
pub(super) fn was_counted(
    account: &mut Account,
    request: &ChargeRequest,
    limits: &AccountLimits,
    now: Timestamp,
) -> bool {
    // Nearly no account has keys beside those of files, and those go by their own.
    if account.event_keys.is_empty() || request.key.source() == UsageSource::File {
        return false;
    }
    (0..request.groups.len()).any(|at| account.event_keys.seen(recycled(request, at), now, limits) == KeySeen::Repeated)
}

/// A file's record that went to suspense may come again, corrected.
pub(super) fn forget_suspended(account: &mut Account, key: &RecordKey, records: &[UsageRecord]) {
    if matches!(key, RecordKey::File(_)) && !records.is_empty() && !records.iter().any(is_counted) {
        account.event_keys.remove(key_hash(key));
    }
}

fn is_counted(record: &UsageRecord) -> bool {
    matches!(record.outcome, UsageOutcome::Rated | UsageOutcome::Reconciled)
}

/// Under what the account remembers that the group at `at` was counted out of suspense.
fn recycled(request: &ChargeRequest, at: usize) -> u64 {
    text_hash(&format!("recycled/{}/{}", request.part_key(at), request.groups[at].rating_group))
}

/// Whether the account has seen a request with this key.
fn knows(account: &mut Account, key: &RecordKey, limits: &AccountLimits, now: Timestamp) -> bool {
    let whole = match key {
        RecordKey::Part(whole, _) => whole,
        whole => whole,
    };
    let in_session = match whole {
        RecordKey::Gy(session, number) | RecordKey::Rf(session, number) => {
            let of_session = account.session(whole.source(), session).map(|at| &account.sessions[at]);
            of_session.is_some_and(|session| session.numbers.contains(u64::from(*number)))
        }
        RecordKey::Modem(device, epoch, boot, sequence) => account
            .modems
            .iter()
            .find(|m| m.device == *device && m.epoch == *epoch && m.boot == *boot)
            .is_some_and(|m| m.numbers.contains(*sequence)),
        RecordKey::File(_)
        | RecordKey::Part(..)
        | RecordKey::TopUp(_)
        | RecordKey::Rerated(..)
        | RecordKey::Reversed(..) => false,
    };
    in_session || account.event_keys.seen(key_hash(whole), now, limits) == KeySeen::Repeated
}
