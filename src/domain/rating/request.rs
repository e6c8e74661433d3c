//! What is asked of a charging account, and what it answers; free of protocols.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Apn, ClientHost, SessionId};
use crate::domain::money::Money;
use crate::domain::network::Plmn;
use crate::domain::tariff::{BitRates, FinalUnit};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, RecordKey, SuspenseReason};

/// Where a request stands in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Opens a session (CCR-I, ACR start).
    Initial,
    /// Goes on with one (CCR-U, ACR interim).
    Update,
    /// Ends one (CCR-T, ACR stop).
    Terminate,
    /// Stands alone (modem, file row, ACR event): usage without a session.
    Event,
    /// A one-time event, before its service is given (CCR-E): no session, no quota.
    OneTime(Action),
    /// One record that comes back from suspense.
    Recycled {
        /// Whether an account has judged it before, and so knows its key.
        judged: bool,
    },
}

/// What a one-time event wants (RFC 8506 sections 6 and 8.41).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Charge what is wanted: each group whole or not at all.
    Debit,
    /// Give back what was charged in the open cycle.
    Refund,
    /// Say whether what is wanted could be debited.
    CheckBalance,
    /// Say what it would cost.
    EnquirePrice,
}

impl Action {
    /// Whether it changes the account.
    pub const fn moves(self) -> bool {
        matches!(self, Action::Debit | Action::Refund)
    }
}

/// What a client wants granted for a rating group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wanted {
    /// Requested-Service-Unit absent: a report only.
    Nothing,
    /// Requested-Service-Unit empty: we decide how much.
    AsMuchAsWeGive,
    /// That many octets, or fewer.
    Octets(u64),
    /// An amount of money, for one-time events.
    Money(MoneyAsked),
    /// Units that no plan prices: seconds, service-specific units.
    Unpriced,
}

/// An amount of money as the client writes it: digits × 10^exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MoneyAsked {
    /// Digits, with the sign.
    pub digits: i64,
    /// Power of ten.
    pub exponent: i32,
    /// Numeric ISO 4217 code; absent, it is the tariff's currency.
    pub currency: Option<u32>,
}

/// Octets by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Volume {
    /// From the device.
    pub up: u64,
    /// To the device.
    pub down: u64,
    /// Of which the source tells the sum alone.
    pub either: u64,
}

impl Volume {
    /// All of them; saturates.
    pub const fn total(self) -> u64 {
        self.up.saturating_add(self.down).saturating_add(self.either)
    }

    /// Adds more; saturates.
    pub const fn add(&mut self, more: Volume) {
        self.up = self.up.saturating_add(more.up);
        self.down = self.down.saturating_add(more.down);
        self.either = self.either.saturating_add(more.either);
    }
}

/// Octets by their side of a tariff change (RFC 8506 sections 5.1.1 and 8.27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Octets {
    /// Not split.
    pub whole: Volume,
    /// Before the last change.
    pub before: Volume,
    /// After it.
    pub after: Volume,
}

impl Octets {
    /// All of them; saturates.
    pub const fn total(self) -> u64 {
        self.whole.total().saturating_add(self.before.total()).saturating_add(self.after.total())
    }
}

/// What was used since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Used {
    /// Octets.
    Octets(Octets),
    /// Seconds alone: no plan prices them.
    Seconds(u64),
    /// Service-specific units alone: no plan prices them.
    ServiceUnits(u64),
    /// Money alone: what the client has priced itself is no usage.
    Money(MoneyAsked),
}

impl Used {
    /// A sum of octets that no tariff change splits.
    pub const fn octets(octets: u64) -> Self {
        Self::volume(Volume { up: 0, down: 0, either: octets })
    }

    /// Octets by direction that no tariff change splits.
    pub const fn both_ways(up: u64, down: u64) -> Self {
        Self::volume(Volume { up, down, either: 0 })
    }

    /// Octets that no tariff change splits.
    pub const fn volume(whole: Volume) -> Self {
        let none = Volume { up: 0, down: 0, either: 0 };
        Used::Octets(Octets { whole, before: none, after: none })
    }

    /// All octets.
    pub const fn octets_total(self) -> u64 {
        match self {
            Used::Octets(octets) => octets.total(),
            Used::Seconds(_) | Used::ServiceUnits(_) | Used::Money(_) => 0,
        }
    }

    /// The octets; none where it is in other units.
    pub const fn volumes(self) -> Octets {
        match self {
            Used::Octets(octets) => octets,
            Used::Seconds(_) | Used::ServiceUnits(_) | Used::Money(_) => {
                let none = Volume { up: 0, down: 0, either: 0 };
                Octets { whole: none, before: none, after: none }
            }
        }
    }

    /// What no plan prices, for a person to read.
    pub fn unpriced(self) -> Option<String> {
        match self {
            _ if self.is_nothing() => None,
            Used::Octets(_) => None,
            Used::Seconds(seconds) => Some(format!("{seconds} s of service, and no octets")),
            Used::ServiceUnits(units) => Some(format!("{units} service-specific units, and no octets")),
            Used::Money(money) => Some(format!("money {}e{}, and no octets", money.digits, money.exponent)),
        }
    }

    /// Whether it is nothing at all.
    pub const fn is_nothing(self) -> bool {
        match self {
            Used::Octets(octets) => octets.total() == 0,
            Used::Seconds(units) | Used::ServiceUnits(units) => units == 0,
            Used::Money(money) => money.digits == 0,
        }
    }
}

/// One service or rating group of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRequest {
    /// Rating-Group (RFC 8506 section 8.29), 0 where the source has none.
    pub rating_group: u32,
    /// Service-Identifiers (RFC 8506 section 8.28): groups that differ in them
    /// have their own quota.
    pub services: Vec<u32>,
    /// What was used since the last report.
    pub used: Option<Used>,
    /// What is wanted.
    pub wanted: Wanted,
    /// The client's final report for this group: its grant is given back.
    pub is_final: bool,
}

/// One request, from any source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRequest {
    /// What makes it the same request when it comes again.
    pub key: RecordKey,
    /// Where it stands in its session.
    pub phase: Phase,
    /// The session, for Gy and Rf.
    pub session: Option<SessionId>,
    /// Origin-Host of the client, so that the session can be ended there.
    pub peer: Option<ClientHost>,
    /// Names for the subscriber, best first; may be empty within a session.
    pub subscribers: Vec<Identifier>,
    /// Called-Station-Id or the record's APN; `None` inside a session means the session's own.
    pub apn: Option<Apn>,
    /// The serving network, where the source names it; `None` inside a session means
    /// the one named last.
    pub network: Option<Plmn>,
    /// When the usage began, where the source says.
    pub starts: Option<Timestamp>,
    /// When the usage ended: Event-Timestamp, or the record's end.
    pub ends: Timestamp,
    /// When the gateway received it.
    pub received: Timestamp,
    /// The rating groups; one for sources without groups.
    pub groups: Vec<GroupRequest>,
}

impl ChargeRequest {
    /// The key of the record of the group at `at`.
    pub fn part_key(&self, at: usize) -> RecordKey {
        let rating_group = self.groups[at].rating_group;
        self.key.part(self.groups[..at].iter().filter(|g| g.rating_group == rating_group).count())
    }

    /// The key of a second record of the group at `at`: behind those of all groups.
    pub fn spare_key(&self, at: usize) -> RecordKey {
        self.key.part(self.groups.len() + at)
    }
}

/// How a whole request or one group fared; transports turn it into result codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Done (2001).
    Success,
    /// No line had that identifier at that time (5030, TS 32.299 / RFC 8506 section 9).
    UnknownSubscriber,
    /// No such session (5002), and settings do not adopt late usage.
    UnknownSession,
    /// The line is suspended or terminated: no new grant (4010).
    ServiceDenied,
    /// The APN is not the line's own (5003 by default).
    ForeignApn,
    /// The cap or allowance is used up (4012).
    CreditLimitReached,
    /// The plan has no price for it (5031).
    RatingFailed,
    /// More is wanted back than the open cycle has charged (5012).
    RefundTooLarge,
    /// The account remembers as many events as it may: nothing moved (3004).
    NoRoom,
}

/// One group of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAnswer {
    /// Rating-Group.
    pub rating_group: u32,
    /// How it fared.
    pub outcome: Outcome,
    /// What was granted, where anything was.
    pub grant: Option<Grant>,
    /// What a one-time event moved, or would cost.
    pub cost: Option<Money>,
}

impl GroupAnswer {
    /// An answer that grants nothing.
    pub const fn bare(rating_group: u32, outcome: Outcome) -> Self {
        Self { rating_group, outcome, grant: None, cost: None }
    }
}

/// Quota for one rating group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// CC-Total-Octets, up + down.
    pub octets: u64,
    /// Tariff-Time-Change: when the price changes while the grant holds (RFC 8506
    /// section 8.20).
    pub tariff_change: Option<Timestamp>,
    /// Validity-Time in seconds; 0, for one-time events, leaves it out.
    pub validity_s: u32,
    /// Volume-Quota-Threshold in octets; 0 leaves it out.
    pub threshold_octets: u64,
    /// Quota-Holding-Time in seconds; 0 leaves it out.
    pub holding_s: u32,
    /// Nothing is left after it: what the client does then.
    pub final_unit: Option<FinalUnit>,
    /// To what the line is slowed down while it holds.
    pub throttle: Option<BitRates>,
}

/// The answer to one request. The fields are stored with the account, and a
/// repeat gets them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeAnswer {
    /// For the whole request.
    pub outcome: Outcome,
    /// For each group, in the request's order.
    pub groups: Vec<GroupAnswer>,
    /// Whether what a balance check asks for could be debited.
    pub covered: Option<bool>,
    /// Whether it is the stored answer of an earlier request; not stored itself.
    #[serde(skip)]
    pub repeated: bool,
    /// Why the usage went to suspense, where it did; not stored itself.
    #[serde(skip)]
    pub suspense: Option<SuspenseReason>,
}

impl ChargeAnswer {
    /// An answer without groups.
    pub const fn bare(outcome: Outcome) -> Self {
        Self { outcome, groups: Vec::new(), covered: None, repeated: false, suspense: None }
    }

    /// The same outcome for every group of `request`.
    pub fn alike(outcome: Outcome, request: &ChargeRequest) -> Self {
        Self::of_groups(outcome, request, outcome)
    }

    /// One outcome for the request and one for each of its groups.
    pub fn of_groups(outcome: Outcome, request: &ChargeRequest, each: Outcome) -> Self {
        let groups = request.groups.iter().map(|g| GroupAnswer::bare(g.rating_group, each)).collect();
        Self { groups, ..Self::bare(outcome) }
    }
}
