//! Usage as it arrives, free of the protocol that carried it, and as it is kept
//! once rated.
//!
//! Timestamps: `starts`/`ends` are the usage's own time and decide line state,
//! identifier ownership and cycle; `received` is the gateway's clock.

mod codec;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use self::codec::{Logged, Records, Shared};

use super::cycle::CycleId;
use super::ids::{AccountId, Apn, DeviceId, LineId, PlanId, SessionId};
use super::ledger::{LedgerSide, Posting, Unit};
use super::network::Plmn;
use super::rating::request::{Octets, Used};
use super::tariff::ThresholdAction;
use super::time::Timestamp;

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// Credit control (RFC 8506, TS 32.299).
    Gy,
    /// Offline charging (TS 32.299).
    Rf,
    /// A modem's own counters.
    Modem,
    /// A charging file.
    File,
    /// No usage: a top-up of what is left.
    TopUp,
}

impl UsageSource {
    /// For metrics, REST and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            UsageSource::Gy => "gy",
            UsageSource::Rf => "rf",
            UsageSource::Modem => "modem",
            UsageSource::File => "file",
            UsageSource::TopUp => "top-up",
        }
    }
}

/// Which way octets went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the device (CC-Input-Octets, RFC 8506 section 8.24).
    Up,
    /// To the device (CC-Output-Octets, RFC 8506 section 8.25).
    Down,
}

/// What makes a record the same record when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecordKey {
    /// Session-Id and CC-Request-Number.
    Gy(SessionId, u32),
    /// Session-Id and Accounting-Record-Number.
    Rf(SessionId, u32),
    /// Device, enrolment epoch, boot counter, sequence.
    Modem(DeviceId, u32, u32, u64),
    /// The record's own id where the mapping names one, else file digest and row.
    File(String),
    /// Another record of the same request and rating group, by its place from 1:
    /// services of one group are reported apart.
    Part(Box<RecordKey>, u16),
    /// A top-up, by its request's id.
    TopUp(String),
    /// The rating that replaces a record's, by the id of the re-rating.
    Rerated(Box<RecordKey>, String),
    /// Takes back the rating that was replaced.
    Reversed(Box<RecordKey>, String),
}

impl RecordKey {
    /// The key of the record at `place` among those of one request and rating group.
    pub fn part(&self, place: usize) -> Self {
        match u16::try_from(place) {
            Ok(0) => self.clone(),
            Ok(place) => RecordKey::Part(Box::new(self.clone()), place),
            Err(_) => RecordKey::Part(Box::new(self.clone()), u16::MAX),
        }
    }

    /// The source that the key belongs to.
    pub fn source(&self) -> UsageSource {
        match self {
            RecordKey::Gy(..) => UsageSource::Gy,
            RecordKey::Rf(..) => UsageSource::Rf,
            RecordKey::Modem(..) => UsageSource::Modem,
            RecordKey::File(..) => UsageSource::File,
            RecordKey::Part(whole, _) | RecordKey::Rerated(whole, _) | RecordKey::Reversed(whole, _) => whole.source(),
            RecordKey::TopUp(_) => UsageSource::TopUp,
        }
    }
}

/// Stable text, unique across sources: the key of stores.
impl std::fmt::Display for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecordKey::Gy(session, number) => write!(f, "gy/{session}/{number}"),
            RecordKey::Rf(session, number) => write!(f, "rf/{session}/{number}"),
            RecordKey::Modem(device, epoch, boot, seq) => {
                write!(f, "modem/{device}/{epoch}/{boot}/{seq}")
            }
            RecordKey::File(id) => write!(f, "file/{id}"),
            RecordKey::Part(whole, place) => write!(f, "{whole}+{place}"),
            RecordKey::TopUp(id) => write!(f, "top-up/{id}"),
            RecordKey::Rerated(whole, id) => write!(f, "rerated/{id}/{whole}"),
            RecordKey::Reversed(whole, id) => write!(f, "reversed/{id}/{whole}"),
        }
    }
}

/// How a record names its subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Identifier {
    /// International Mobile Subscriber Identity, 6 to 15 digits (TS 23.003 section 2.2).
    Imsi(SmolStr),
    /// E.164 number without `+`, up to 15 digits.
    Msisdn(SmolStr),
    /// The modem's own id.
    Device(DeviceId),
}

impl Identifier {
    /// Names a subscriber by its IMSI, as it came.
    pub fn imsi(digits: impl AsRef<str>) -> Self {
        Self::Imsi(SmolStr::new(digits))
    }

    /// Names a subscriber by its number, as it came.
    pub fn msisdn(digits: impl AsRef<str>) -> Self {
        Self::Msisdn(SmolStr::new(digits))
    }
}

/// The number of a text of 1 to 18 digits, behind a 1 so that leading zeroes count;
/// `None` for any other text.
pub fn number_of(digits: &str) -> Option<u64> {
    let fits = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.bytes().fold(1, |number, byte| number * 10 + u64::from(byte - b'0')))
}

/// The digits that [`number_of`] made a number of; `None` for a number of none.
pub fn digits_of(number: u64) -> Option<String> {
    let mut digits = number.to_string();
    let is_one = digits.starts_with('1') && (2..=19).contains(&digits.len());
    is_one.then(|| digits.split_off(1))
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageOutcome {
    /// Accumulated and charged.
    Rated,
    /// Another source charges the line: kept to compare, moves nothing.
    Reconciled,
    /// Waits for a person, with the reason.
    Suspense(SuspenseReason),
    /// Was in suspense for that reason and has been counted since: the counted
    /// record stands beside it under the same key. Only stores say this.
    Recycled(SuspenseReason),
    /// Was in suspense for that reason, and a person gave it up. Only stores say this.
    Dropped(SuspenseReason),
}

/// Why a record could not be rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuspenseReason {
    /// No line had that identifier at the usage's time.
    UnknownLine,
    /// The line does not own the APN.
    ForeignApn,
    /// The line was suspended or terminated at the usage's time.
    LineNotActive,
    /// The payload or row could not be read.
    BadRecord,
    /// The line's plan has no usage price.
    NoUsagePrice,
    /// The account remembers as many records as it may: one more could not be
    /// told from its repeat.
    TooManyKeys,
    /// The account has as many sessions as it may, and all of them hold grants.
    TooManySessions,
}

impl SuspenseReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        SuspenseReason::UnknownLine,
        SuspenseReason::ForeignApn,
        SuspenseReason::LineNotActive,
        SuspenseReason::BadRecord,
        SuspenseReason::NoUsagePrice,
        SuspenseReason::TooManyKeys,
        SuspenseReason::TooManySessions,
    ];

    /// For metrics, REST and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            SuspenseReason::UnknownLine => "unknown-line",
            SuspenseReason::ForeignApn => "foreign-apn",
            SuspenseReason::LineNotActive => "line-not-active",
            SuspenseReason::BadRecord => "bad-record",
            SuspenseReason::NoUsagePrice => "no-usage-price",
            SuspenseReason::TooManyKeys => "too-many-keys",
            SuspenseReason::TooManySessions => "too-many-sessions",
        }
    }
}

impl UsageRecord {
    /// Whether an account has judged this record of suspense and remembers its key,
    /// so that nothing but recycling can count it. A file's id is remembered only
    /// once its record is counted, because a corrected file may bring it again.
    pub fn is_judged(&self) -> bool {
        use SuspenseReason::{BadRecord, ForeignApn, LineNotActive, NoUsagePrice};
        let by_account =
            matches!(self.outcome, UsageOutcome::Suspense(BadRecord | ForeignApn | LineNotActive | NoUsagePrice));
        by_account && self.account.is_some() && self.key.source() != UsageSource::File
    }

    /// Whether a bill sums it: rated, and no top-up.
    pub fn is_billed_usage(&self) -> bool {
        self.outcome == UsageOutcome::Rated && self.key.source() != UsageSource::TopUp
    }

    /// Octets that it added to its cycle's total; a refund took them off.
    pub fn octets_counted(&self) -> i64 {
        let octets = i64::try_from(self.octets).unwrap_or(i64::MAX);
        let given_back =
            self.postings.iter().any(|p| p.side == LedgerSide::Network && p.unit == Unit::Octets && p.amount > 0);
        if given_back { -octets } else { octets }
    }
}

impl UsageOutcome {
    /// The reason of what is, or was, in suspense.
    pub const fn reason(self) -> Option<SuspenseReason> {
        match self {
            UsageOutcome::Rated | UsageOutcome::Reconciled => None,
            UsageOutcome::Suspense(reason) | UsageOutcome::Recycled(reason) | UsageOutcome::Dropped(reason) => {
                Some(reason)
            }
        }
    }

    /// For metrics, REST and stores; suspense gives its reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            UsageOutcome::Rated => "rated",
            UsageOutcome::Reconciled => "reconciled",
            UsageOutcome::Suspense(reason) => reason.as_str(),
            UsageOutcome::Recycled(_) => "recycled",
            UsageOutcome::Dropped(_) => "dropped",
        }
    }
}

/// A threshold of a plan that usage has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// Its name in the plan.
    pub threshold: String,
    /// What is to be done.
    pub action: ThresholdAction,
}

/// One record after it was judged, as the hot log and the relational store keep
/// it. What is counted is never edited; of what is in suspense the outcome moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// What makes it unique, with the group's position for a record of several groups.
    pub key: RecordKey,
    /// Rating group within the record; 0 where the source has none.
    pub rating_group: u32,
    /// What became of it.
    pub outcome: UsageOutcome,
    /// The line, where one was found.
    pub line: Option<LineId>,
    /// The charging account, where one was found.
    pub account: Option<AccountId>,
    /// The cycle that it is billed in.
    pub cycle: Option<CycleId>,
    /// The cycle of its own time, where that was closed already.
    pub late_for: Option<CycleId>,
    /// The plan that priced it.
    pub plan: Option<PlanId>,
    /// Version of the tariff that priced it.
    pub tariff_version: u32,
    /// The APN as reported.
    pub apn: Option<Apn>,
    /// How the record named its subscriber, kept for suspense.
    pub subscriber: Option<Identifier>,
    /// Start of the usage.
    pub starts: Timestamp,
    /// End of the usage.
    pub ends: Timestamp,
    /// When the gateway took it.
    pub received: Timestamp,
    /// Octets reported (up + down).
    pub octets: u64,
    /// What they cost, minor units; 0 unless rated, negative for a refund.
    pub amount: i64,
    /// The movements, summing to zero in each unit; empty unless rated.
    pub postings: Vec<Posting>,
    /// Thresholds of the plan that it was the first to reach in its cycle. Kept in
    /// the hot log, from where they become events, and not beside stored usage.
    pub crossed: Vec<Crossing>,
    /// What else its source told of what it was like: prices ask for it when the record is
    /// rated again.
    pub told: Option<Box<Told>>,
    /// What could not be read, for `bad-record`: at most 1 KiB of it.
    pub detail: Option<String>,
}

/// What some prices ask for beside APN, rating group and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The serving network.
    pub network: Option<Plmn>,
    /// The octets by direction and by their side of a tariff change.
    pub used: Octets,
}

impl Told {
    /// `None` where nothing is told but a sum.
    pub fn new(network: Option<Plmn>, used: Octets) -> Option<Box<Self>> {
        let sum = Used::octets(used.total());
        (network.is_some() || Used::Octets(used) != sum).then(|| Box::new(Self { network, used }))
    }
}
