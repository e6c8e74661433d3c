//! Rf: offline charging by accounting (RFC 6733 section 9, TS 32.299
//! section 6.2).

use bytes::BytesMut;

use super::enumerated;
use super::gy::ServiceInformation;
use super::route::{Answered, Route, RouteReader, need};
use crate::answer::{Origin, ReplyTo};
use crate::codec::{AvpError, Header, Message, Time};
use crate::dictionary::{self as dict, application, command, key};
use crate::result_code::Outcome;

enumerated! {
    /// Accounting-Record-Type 480 (RFC 6733 section 9.8.1).
    RecordType, "an Accounting-Record-Type" {
        /// One record of a service that has no length.
        Event = 1,
        /// A service begins.
        Start = 2,
        /// What was used so far.
        Interim = 3,
        /// The service ends.
        Stop = 4,
    }
}

/// Accounting-Request (RFC 6733 section 9.7.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccountingRequest<'a> {
    /// Session, origin and destination.
    pub route: Route<'a>,
    /// Accounting-Record-Type 480.
    pub record_type: RecordType,
    /// Accounting-Record-Number 485: with the Session-Id, the key of the record.
    pub record_number: u32,
    /// User-Name 1.
    pub user_name: Option<&'a str>,
    /// Acct-Interim-Interval 85, seconds.
    pub interim_interval: Option<u32>,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
    /// Event-Timestamp 55.
    pub event_timestamp: Option<Time>,
    /// Service-Context-Id 461.
    pub service_context_id: Option<&'a str>,
    /// Service-Information 873: subscriber, APN and volumes.
    pub service_information: Option<ServiceInformation<'a>>,
}

impl<'a> AccountingRequest<'a> {
    /// A request with what the grammar requires and nothing else.
    pub const fn new(route: Route<'a>, record_type: RecordType, record_number: u32) -> Self {
        Self {
            route,
            record_type,
            record_number,
            user_name: None,
            interim_interval: None,
            origin_state_id: None,
            event_timestamp: None,
            service_context_id: None,
            service_information: None,
        }
    }

    /// The header of an ACR.
    pub const fn header() -> Header {
        Header::request(command::ACCOUNTING, application::ACCOUNTING, true)
    }

    /// Reads an ACR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut route = RouteReader::default();
        let (mut record_type, mut record_number, mut user_name) = (None, None, None);
        let (mut interim_interval, mut origin_state_id, mut event_timestamp) = (None, None, None);
        let (mut service_context_id, mut service_information) = (None, None);
        for avp in message.avps() {
            match avp.key() {
                key::ACCOUNTING_RECORD_TYPE => record_type = Some(RecordType::read(&avp)?),
                key::ACCOUNTING_RECORD_NUMBER => record_number = Some(avp.u32()?),
                key::USER_NAME => user_name = Some(avp.text()?),
                key::ACCT_INTERIM_INTERVAL => interim_interval = Some(avp.u32()?),
                key::ORIGIN_STATE_ID => origin_state_id = Some(avp.u32()?),
                key::EVENT_TIMESTAMP => event_timestamp = Some(avp.time()?),
                key::SERVICE_CONTEXT_ID => service_context_id = Some(avp.text()?),
                key::SERVICE_INFORMATION => {
                    service_information.insert(ServiceInformation::default()).read(&avp)?;
                }
                _ => route.read(&avp)?,
            }
        }
        Ok(Self {
            route: route.finish()?,
            record_type: need(record_type, &dict::ACCOUNTING_RECORD_TYPE)?,
            record_number: need(record_number, &dict::ACCOUNTING_RECORD_NUMBER)?,
            user_name,
            interim_interval,
            origin_state_id,
            event_timestamp,
            service_context_id,
            service_information,
        })
    }

    /// Appends the request; `header` comes from [`AccountingRequest::header`]
    /// with its ids set.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = self.route.begin(header, out);
        writer
            .i32(&dict::ACCOUNTING_RECORD_TYPE, self.record_type.value())
            .u32(&dict::ACCOUNTING_RECORD_NUMBER, self.record_number)
            .u32(&dict::ACCT_APPLICATION_ID, application::ACCOUNTING);
        if let Some(name) = self.user_name {
            writer.text(&dict::USER_NAME, name);
        }
        if let Some(seconds) = self.interim_interval {
            writer.u32(&dict::ACCT_INTERIM_INTERVAL, seconds);
        }
        if let Some(state) = self.origin_state_id {
            writer.u32(&dict::ORIGIN_STATE_ID, state);
        }
        if let Some(time) = self.event_timestamp {
            writer.time(&dict::EVENT_TIMESTAMP, time);
        }
        if let Some(context) = self.service_context_id {
            writer.text(&dict::SERVICE_CONTEXT_ID, context);
        }
        if let Some(information) = &self.service_information {
            information.write(&mut writer);
        }
        writer.finish();
    }
}

/// Accounting-Answer (RFC 6733 section 9.7.2). An answer with the E bit is
/// not one: read [`Answered`] of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountingAnswer {
    /// The outcome.
    pub outcome: Outcome,
    /// Accounting-Record-Type 480 of the request.
    pub record_type: RecordType,
    /// Accounting-Record-Number 485 of the request.
    pub record_number: u32,
    /// Acct-Interim-Interval 85: the seconds between interim records that we
    /// want; 0 is none.
    pub interim_interval: Option<u32>,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
}

impl AccountingAnswer {
    /// Appends the answer.
    pub fn encode(&self, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        let mut writer = to.begin(self.outcome, origin, out);
        writer
            .i32(&dict::ACCOUNTING_RECORD_TYPE, self.record_type.value())
            .u32(&dict::ACCOUNTING_RECORD_NUMBER, self.record_number)
            .u32(&dict::ACCT_APPLICATION_ID, application::ACCOUNTING);
        if let Some(seconds) = self.interim_interval {
            writer.u32(&dict::ACCT_INTERIM_INTERVAL, seconds);
        }
        if let Some(state) = self.origin_state_id {
            writer.u32(&dict::ORIGIN_STATE_ID, state);
        }
        writer.finish();
    }

    /// Reads an answer without the E bit.
    pub fn parse(message: &Message) -> Result<Self, AvpError> {
        let answered = Answered::parse(message)?;
        let (mut record_type, mut record_number, mut interim_interval) = (None, None, None);
        for avp in message.avps() {
            match avp.key() {
                key::ACCOUNTING_RECORD_TYPE => record_type = Some(RecordType::read(&avp)?),
                key::ACCOUNTING_RECORD_NUMBER => record_number = Some(avp.u32()?),
                key::ACCT_INTERIM_INTERVAL => interim_interval = Some(avp.u32()?),
                _ => {}
            }
        }
        Ok(Self {
            outcome: answered.outcome,
            record_type: need(record_type, &dict::ACCOUNTING_RECORD_TYPE)?,
            record_number: need(record_number, &dict::ACCOUNTING_RECORD_NUMBER)?,
            interim_interval,
            origin_state_id: answered.origin_state_id,
        })
    }
}
