//! What is asked of a charging account, and what it answers; free of protocols.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Apn, SessionId};
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
}

/// One rating group of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRequest {
    /// Rating-Group (RFC 8506 section 8.29), 0 where the source has none.
    pub rating_group: u32,
    /// Octets used since the last report, up + down.
    pub used_octets: Option<u64>,
    /// What is wanted.
    pub wanted: Wanted,
    /// The client's final report for this group: its grant is given back.
    pub is_final: bool,
}

/// One request, from any source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    /// What makes it the same request when it comes again.
    pub key: RecordKey,
    /// Where it stands in its session.
    pub phase: Phase,
    /// The session, for Gy and Rf.
    pub session: Option<SessionId>,
    /// Origin-Host of the client, so that the session can be ended there.
    pub peer: Option<String>,
    /// Names for the subscriber, best first; may be empty within a session.
    pub subscribers: Vec<Identifier>,
    /// Called-Station-Id or the record's APN; `None` inside a session means the session's own.
    pub apn: Option<Apn>,
    /// When the usage began, where the source says.
    pub starts: Option<Timestamp>,
    /// When the usage ended: Event-Timestamp, or the record's end.
    pub ends: Timestamp,
    /// When the gateway received it.
    pub received: Timestamp,
    /// The rating groups; one for sources without groups.
    pub groups: Vec<GroupRequest>,
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
}

/// Quota for one rating group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// CC-Total-Octets, up + down.
    pub octets: u64,
    /// Validity-Time in seconds, at least 1.
    pub validity_s: u32,
    /// Volume-Quota-Threshold in octets; 0 leaves it out.
    pub threshold_octets: u64,
    /// Quota-Holding-Time in seconds; 0 leaves it out.
    pub holding_s: u32,
    /// Nothing is left after it: Final-Unit-Indication TERMINATE.
    pub is_final: bool,
}

/// The answer to one request. The fields are stored with the account, and a
/// repeat gets them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeAnswer {
    /// For the whole request.
    pub outcome: Outcome,
    /// For each group, in the request's order.
    pub groups: Vec<GroupAnswer>,
    /// Whether it is the stored answer of an earlier request; not stored itself.
    #[serde(skip)]
    pub repeated: bool,
    /// Why the usage went to suspense, where it did; not stored itself.
    #[serde(skip)]
    pub suspense: Option<SuspenseReason>,
}
