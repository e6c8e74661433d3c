//! S6a as the serving MME speaks it (TS 29.272): attaches subscribers with ULR,
//! lets them go with PUR, answers IDR, DSR and CLR.
//!
//! Invariant: a subscriber that is not attached is USER_UNKNOWN, whatever is asked.

use std::collections::BTreeMap;

use linegate_diameter::answer::ReplyTo;
use linegate_diameter::apps::s6a::{
    AuthenticationInformationRequest, CancelLocationRequest, CancellationType, DeleteSubscriberDataRequest,
    InsertSubscriberDataRequest, NotifyRequest, PurgeUeRequest, S6aAnswer, SubscriberStatus, SubscriptionData,
    USER_UNKNOWN, UpdateLocationRequest,
};
use linegate_diameter::apps::{Answered, Route};
use linegate_diameter::codec::AvpError;
use linegate_diameter::{Message, Outcome};

use super::{Core, Dealt, ElementHandle};
use crate::peer::{CallError, Peer};
use crate::wire::{code_of, encoded};

/// RAT-Type EUTRAN-NB-IoT (TS 29.212 section 5.3.31).
const RAT_NB_IOT: i32 = 1005;
/// ULR-Flags: S6a indicator (bit 1) and initial attach (bit 5).
const ULR_FLAGS: u32 = 1 << 1 | 1 << 5;
/// PUA-Flags, bit 0: freeze the M-TMSI.
const PUA_FREEZE_M_TMSI: u32 = 1;
/// CLR-Flags, bit 1: attach anew.
const CLR_REATTACH: u32 = 0b10;
/// DSR-Flags, bit 3: the contexts listed.
const DSR_CONTEXTS: u32 = 0b1000;
/// PLMN 450-08 in TBCD.
const PLMN: [u8; 3] = [0x54, 0xf0, 0x80];

/// A subscriber that is attached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// Subscriber-Status says operator-determined barring.
    pub barred: bool,
    /// Operator-Determined-Barring bits.
    pub barring: u32,
    /// APNs of the profile by their Context-Identifiers.
    pub apns: BTreeMap<u32, String>,
    /// How many IDR and DSR changed it.
    pub updates: u64,
}

/// What the last CLR of a subscriber said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled {
    /// Another MME serves the subscriber (MME_UPDATE_PROCEDURE).
    pub moved: bool,
    /// The device is to attach anew.
    pub reattach: bool,
}

/// Why a subscriber is not attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The gateway refused with this code.
    #[error("attach: refused with {0}")]
    Refused(u32),
    /// The answer could not be read.
    #[error("attach: answer could not be read: {0}")]
    Unreadable(String),
    /// There was no answer.
    #[error(transparent)]
    NoAnswer(#[from] CallError),
}

impl ElementHandle {
    /// Attaches a subscriber: ULR, and what its ULA brings.
    pub async fn attach(&self, imsi: &str) -> Result<Attachment, AttachError> {
        let session_id = self.next_session_id();
        let request = UpdateLocationRequest {
            route: self.route(&session_id),
            user_name: imsi,
            rat_type: RAT_NB_IOT,
            ulr_flags: ULR_FLAGS,
            visited_plmn_id: &PLMN,
            imei: None,
            software_version: None,
        };
        let header = self.peer.header(UpdateLocationRequest::header());
        let answer = self.call(|out| request.encode(&header, out)).await?;
        let attachment = read_update(&answer)?;
        self.core.state().attached.insert(imsi.to_owned(), attachment.clone());
        Ok(attachment)
    }

    /// Notifies of a subscriber: NOR; the code of its answer.
    pub async fn notify(&self, imsi: &str) -> Result<u32, AttachError> {
        let session_id = self.next_session_id();
        let route = self.route(&session_id);
        let request = NotifyRequest { route, user_name: imsi, nor_flags: None, service_selection: None };
        let header = self.peer.header(NotifyRequest::header());
        let answer = self.call(|out| request.encode(&header, out)).await?;
        read_outcome(&answer).map(code_of)
    }

    /// Asks for authentication vectors: AIR; the code of its answer.
    pub async fn authenticate(&self, imsi: &str) -> Result<u32, AttachError> {
        let session_id = self.next_session_id();
        let route = self.route(&session_id);
        let request = AuthenticationInformationRequest { route, user_name: imsi, visited_plmn_id: &PLMN };
        let header = self.peer.header(AuthenticationInformationRequest::header());
        let answer = self.call(|out| request.encode(&header, out)).await?;
        read_outcome(&answer).map(code_of)
    }

    /// What the last CLR of a subscriber said, where one came.
    pub fn cancelled(&self, imsi: &str) -> Option<Cancelled> {
        self.core.state().cancelled.get(imsi).copied()
    }

    /// Lets a subscriber go and says so with PUR; its sessions end.
    /// Whether its M-TMSI is frozen: whether this MME was the one registered.
    pub async fn purge(&self, imsi: &str) -> Result<bool, AttachError> {
        let session_id = self.next_session_id();
        let request = PurgeUeRequest { route: self.route(&session_id), user_name: imsi, pur_flags: Some(1) };
        let header = self.peer.header(PurgeUeRequest::header());
        let answer = self.call(|out| request.encode(&header, out)).await?;
        self.core.state().attached.remove(imsi);
        self.core.end_sessions_of(imsi);
        let outcome = read_outcome(&answer)?;
        if !outcome.is_success() {
            return Err(AttachError::Refused(code_of(outcome)));
        }
        let answer = S6aAnswer::parse(&answer).map_err(|error| unreadable(&error))?;
        Ok(answer.flags.unwrap_or(0) & PUA_FREEZE_M_TMSI != 0)
    }

    /// Who is attached, by IMSI.
    pub fn attached(&self) -> BTreeMap<String, Attachment> {
        self.core.state().attached.clone()
    }

    pub(super) fn route<'a>(&'a self, session_id: &'a str) -> Route<'a> {
        let identity = self.peer.identity();
        Route {
            session_id,
            origin_host: &identity.host,
            origin_realm: &identity.realm,
            destination_host: None,
            destination_realm: &identity.destination_realm,
        }
    }
}

fn read_outcome(answer: &Message) -> Result<Outcome, AttachError> {
    Answered::parse(answer).map(|answered| answered.outcome).map_err(|error| unreadable(&error))
}

fn unreadable(error: &AvpError) -> AttachError {
    AttachError::Unreadable(format!("AVP {}: {:?}", error.code, error.problem))
}

fn read_update(answer: &Message) -> Result<Attachment, AttachError> {
    let outcome = read_outcome(answer)?;
    if !outcome.is_success() {
        return Err(AttachError::Refused(code_of(outcome)));
    }
    let answer = S6aAnswer::parse(answer).map_err(|error| unreadable(&error))?;
    let mut attachment = Attachment::default();
    if let Some(data) = &answer.subscription_data {
        attachment.take(data);
    }
    Ok(attachment)
}

impl Attachment {
    /// What is absent stays (TS 29.272 section 5.2.2.1.2).
    fn take(&mut self, data: &SubscriptionData<'_>) {
        if let Some(status) = data.subscriber_status {
            self.barred = status != SubscriberStatus::ServiceGranted;
        }
        if let Some(barring) = data.operator_determined_barring {
            self.barring = barring;
        }
        if let Some(profile) = &data.apn_profile {
            if profile.all_included {
                self.apns.clear();
            }
            let known = profile.apns.iter().filter_map(Result::ok);
            self.apns.extend(known.map(|apn| (apn.context_identifier, apn.service_selection.to_owned())));
        }
    }
}

impl Core {
    pub(super) fn insert_subscriber_data(&self, peer: &Peer, message: &Message) -> Result<Dealt, AvpError> {
        let request = InsertSubscriberDataRequest::parse(message)?;
        let mut state = self.state();
        let outcome = match state.attached.get_mut(request.user_name) {
            None => USER_UNKNOWN,
            Some(attachment) => {
                attachment.take(&request.subscription_data);
                attachment.updates += 1;
                Outcome::SUCCESS
            }
        };
        Ok(answered(peer, message, outcome))
    }

    pub(super) fn delete_subscriber_data(&self, peer: &Peer, message: &Message) -> Result<Dealt, AvpError> {
        let request = DeleteSubscriberDataRequest::parse(message)?;
        let mut state = self.state();
        let outcome = match state.attached.get_mut(request.user_name) {
            None => USER_UNKNOWN,
            Some(attachment) => {
                if request.dsr_flags & DSR_CONTEXTS != 0 {
                    request.context_identifiers.iter().filter_map(Result::ok).for_each(|id| {
                        attachment.apns.remove(&id);
                    });
                }
                attachment.updates += 1;
                Outcome::SUCCESS
            }
        };
        Ok(answered(peer, message, outcome))
    }

    /// Detaches; the sessions of the subscriber that this element charges end too.
    pub(super) fn cancel_location(&self, peer: &Peer, message: &Message) -> Result<Dealt, AvpError> {
        let request = CancelLocationRequest::parse(message)?;
        let cancelled = Cancelled {
            moved: request.cancellation_type == CancellationType::MmeUpdate,
            reattach: request.clr_flags.unwrap_or(0) & CLR_REATTACH != 0,
        };
        let attached = {
            let mut state = self.state();
            state.cancelled.insert(request.user_name.to_owned(), cancelled);
            state.attached.remove(request.user_name).is_some()
        };
        if attached {
            self.end_sessions_of(request.user_name);
        }
        Ok(answered(peer, message, if attached { Outcome::SUCCESS } else { USER_UNKNOWN }))
    }
}

fn answered(peer: &Peer, request: &Message, outcome: Outcome) -> Dealt {
    let answer = S6aAnswer::new(outcome);
    Dealt {
        frame: encoded(|out| answer.encode(&ReplyTo::new(request), peer.origin(), out)),
        result_code: code_of(outcome),
    }
}
