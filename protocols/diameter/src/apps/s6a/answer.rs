//! The answers of S6a (TS 29.272 section 7.2).

use bytes::BytesMut;

use super::requests::{optional_u32, write_optional};
use super::subscription::SubscriptionData;
use crate::answer::{Origin, ReplyTo};
use crate::apps::route::{Answered, NO_STATE_MAINTAINED, write_vendor_application};
use crate::codec::{AvpError, Message};
use crate::dictionary::{self as dict, AvpDef, application, command, key, vendor};
use crate::result_code::Outcome;

/// ULA, PUA, NOA, AIA, IDA, CLA and DSA. An answer with the E bit is not
/// one: read [`Answered`] of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct S6aAnswer<'a> {
    /// Result-Code, or Experimental-Result of vendor 10415.
    pub outcome: Outcome,
    /// ULA-Flags 1406, PUA-Flags 1442, IDA-Flags 1441 or DSA-Flags 1422, by
    /// the command; the other commands have none.
    pub flags: Option<u32>,
    /// Subscription-Data 1400, in a ULA.
    pub subscription_data: Option<SubscriptionData<'a>>,
}

impl<'a> S6aAnswer<'a> {
    /// An answer that says its outcome and nothing more.
    pub const fn new(outcome: Outcome) -> Self {
        Self { outcome, flags: None, subscription_data: None }
    }

    /// Appends the answer.
    pub fn encode(&self, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        let mut writer = to.begin(self.outcome, origin, out);
        write_vendor_application(&mut writer, vendor::TGPP, application::S6A);
        writer.i32(&dict::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
        if let Some(def) = flags_of(to.header.command_code) {
            write_optional(&mut writer, def, self.flags);
        }
        if let Some(data) = &self.subscription_data {
            data.write(&mut writer);
        }
        writer.finish();
    }

    /// Reads an answer without the E bit.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let outcome = Answered::parse(message)?.outcome;
        let flags = match flags_of(message.header.command_code) {
            Some(def) => optional_u32(message, def.key())?,
            None => None,
        };
        let subscription_data = match message.find(key::SUBSCRIPTION_DATA) {
            Some(avp) => Some(SubscriptionData::read(&avp)?),
            None => None,
        };
        Ok(Self { outcome, flags, subscription_data })
    }
}

const fn flags_of(command_code: u32) -> Option<&'static AvpDef> {
    match command_code {
        command::UPDATE_LOCATION => Some(&dict::ULA_FLAGS),
        command::PURGE_UE => Some(&dict::PUA_FLAGS),
        command::INSERT_SUBSCRIBER_DATA => Some(&dict::IDA_FLAGS),
        command::DELETE_SUBSCRIBER_DATA => Some(&dict::DSA_FLAGS),
        _ => None,
    }
}
