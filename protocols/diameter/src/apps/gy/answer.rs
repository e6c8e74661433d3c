//! Credit-Control-Answer 272 (RFC 8506 section 3.2, TS 32.299 section 6.4.3).

use bytes::BytesMut;

use super::request::CcRequestType;
use super::units::{Money, Units};
use crate::answer::{Origin, ReplyTo};
use crate::apps::route::{Answered, need};
use crate::apps::{FromAvp, List, enumerated};
use crate::codec::{Avp, AvpError, Message, Time, Writer};
use crate::dictionary::{self as dict, application, key};
use crate::result_code::{Outcome, ResultCode};

enumerated! {
    /// CC-Session-Failover 418 (RFC 8506 section 8.4).
    CcSessionFailover, "a CC-Session-Failover" {
        /// The session stays with this server.
        NotSupported = 0,
        /// The session may move to another server.
        Supported = 1,
    }
}

enumerated! {
    /// Credit-Control-Failure-Handling 427 (RFC 8506 section 8.14).
    FailureHandling, "a Credit-Control-Failure-Handling" {
        /// End the service when no server answers.
        Terminate = 0,
        /// Go on without credit control.
        Continue = 1,
        /// Try another server, then end the service.
        RetryAndTerminate = 2,
    }
}

enumerated! {
    /// Check-Balance-Result 422 (RFC 8506 section 8.6).
    CheckBalanceResult, "a Check-Balance-Result" {
        /// The balance covers the request.
        EnoughCredit = 0,
        /// It does not.
        NoCredit = 1,
    }
}

enumerated! {
    /// Final-Unit-Action 449 (RFC 8506 section 8.35).
    FinalUnitAction, "a Final-Unit-Action" {
        /// End the service.
        Terminate = 0,
        /// Send the user to a server.
        Redirect = 1,
        /// Let only some traffic through.
        RestrictAccess = 2,
    }
}

enumerated! {
    /// Redirect-Address-Type 433 (RFC 8506 section 8.38).
    RedirectAddressType, "a Redirect-Address-Type" {
        /// An IPv4 address.
        Ipv4 = 0,
        /// An IPv6 address.
        Ipv6 = 1,
        /// A URL.
        Url = 2,
        /// A SIP URI.
        SipUri = 3,
    }
}

/// Redirect-Server 434 (RFC 8506 section 8.37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectServer<'a> {
    /// Redirect-Address-Type 433.
    pub kind: RedirectAddressType,
    /// Redirect-Server-Address 435.
    pub address: &'a str,
}

/// Final-Unit-Indication 430: the grant is the last (RFC 8506 section 8.34).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FinalUnit<'a> {
    /// Final-Unit-Action 449.
    pub action: FinalUnitAction,
    /// Redirect-Server 434, for a redirection.
    pub redirect: Option<RedirectServer<'a>>,
    /// Restriction-Filter-Rule 438, for a restriction.
    pub filter_rules: List<'a, &'a str>,
    /// Filter-Id 11: names of filters that the peer holds.
    pub filter_ids: List<'a, &'a str>,
}

/// Granted-Service-Unit 431 (RFC 8506 section 8.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// What is granted.
    pub units: Units,
    /// Tariff-Time-Change 451: when the price changes.
    pub tariff_time_change: Option<Time>,
}

/// One Multiple-Services-Credit-Control 456 of an answer
/// (RFC 8506 section 8.16, TS 32.299).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServiceAnswer<'a> {
    /// Result-Code 268 of this service.
    pub result_code: Option<ResultCode>,
    /// Rating-Group 432.
    pub rating_group: Option<u32>,
    /// Service-Identifier 439.
    pub service_identifiers: List<'a, u32>,
    /// Granted-Service-Unit 431.
    pub granted: Option<Grant>,
    /// Validity-Time 448, seconds; ask again before they are over.
    pub validity_time: Option<u32>,
    /// Quota-Holding-Time 871, seconds without traffic; 0 is none.
    pub quota_holding_time: Option<u32>,
    /// Volume-Quota-Threshold 869, octets left.
    pub volume_threshold: Option<u32>,
    /// Time-Quota-Threshold 868, seconds left.
    pub time_threshold: Option<u32>,
    /// Unit-Quota-Threshold 1226, service-specific units left.
    pub unit_threshold: Option<u32>,
    /// Final-Unit-Indication 430.
    pub final_unit: Option<FinalUnit<'a>>,
}

/// Credit-Control-Answer (RFC 8506 section 3.2). An answer with the E bit is
/// not one: read [`Answered`] of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CcAnswer<'a> {
    /// The result of the whole command.
    pub outcome: Outcome,
    /// CC-Request-Type 416 of the request.
    pub request_type: CcRequestType,
    /// CC-Request-Number 415 of the request.
    pub request_number: u32,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
    /// Multiple-Services-Credit-Control 456.
    pub services: List<'a, ServiceAnswer<'a>>,
    /// Granted-Service-Unit 431 of an answer without such groups.
    pub granted: Option<Grant>,
    /// Validity-Time 448, seconds, of an answer without such groups.
    pub validity_time: Option<u32>,
    /// Final-Unit-Indication 430 of an answer without such groups.
    pub final_unit: Option<FinalUnit<'a>>,
    /// Cost-Information 423: the price, for an enquiry.
    pub cost: Option<Money>,
    /// Check-Balance-Result 422, for a balance check.
    pub check_balance: Option<CheckBalanceResult>,
    /// CC-Session-Failover 418.
    pub session_failover: Option<CcSessionFailover>,
    /// Credit-Control-Failure-Handling 427.
    pub failure_handling: Option<FailureHandling>,
}

impl<'a> CcAnswer<'a> {
    /// An answer with what the grammar requires and nothing else.
    pub const fn new(outcome: Outcome, request_type: CcRequestType, request_number: u32) -> Self {
        Self {
            outcome,
            request_type,
            request_number,
            origin_state_id: None,
            services: List::EMPTY,
            granted: None,
            validity_time: None,
            final_unit: None,
            cost: None,
            check_balance: None,
            session_failover: None,
            failure_handling: None,
        }
    }

    /// Appends the answer.
    pub fn encode(&self, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        let mut writer = to.begin(self.outcome, origin, out);
        writer
            .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
            .i32(&dict::CC_REQUEST_TYPE, self.request_type.value())
            .u32(&dict::CC_REQUEST_NUMBER, self.request_number);
        if let Some(failover) = self.session_failover {
            writer.i32(&dict::CC_SESSION_FAILOVER, failover.value());
        }
        if let Some(state) = self.origin_state_id {
            writer.u32(&dict::ORIGIN_STATE_ID, state);
        }
        if let Some(grant) = &self.granted {
            grant.write(&mut writer);
        }
        for service in self.services.values() {
            service.write(&mut writer);
        }
        if let Some(cost) = self.cost {
            writer.group(&dict::COST_INFORMATION, |group| cost.write(group));
        }
        if let Some(final_unit) = &self.final_unit {
            final_unit.write(&mut writer);
        }
        if let Some(result) = self.check_balance {
            writer.i32(&dict::CHECK_BALANCE_RESULT, result.value());
        }
        if let Some(handling) = self.failure_handling {
            writer.i32(&dict::CREDIT_CONTROL_FAILURE_HANDLING, handling.value());
        }
        if let Some(seconds) = self.validity_time {
            writer.u32(&dict::VALIDITY_TIME, seconds);
        }
        writer.finish();
    }

    /// Reads an answer without the E bit.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let avps = message.avps();
        let outcome = Answered::parse(message)?.outcome;
        let (mut request_type, mut request_number) = (None, None);
        let mut answer = Self {
            services: List::wire(avps, key::MULTIPLE_SERVICES_CREDIT_CONTROL),
            ..Self::new(outcome, CcRequestType::Event, 0)
        };
        for avp in avps {
            match avp.key() {
                key::CC_REQUEST_TYPE => request_type = Some(CcRequestType::read(&avp)?),
                key::CC_REQUEST_NUMBER => request_number = Some(avp.u32()?),
                key::ORIGIN_STATE_ID => answer.origin_state_id = Some(avp.u32()?),
                key::GRANTED_SERVICE_UNIT => answer.granted = Some(Grant::read(&avp)?),
                key::VALIDITY_TIME => answer.validity_time = Some(avp.u32()?),
                key::FINAL_UNIT_INDICATION => answer.final_unit = Some(FinalUnit::read(&avp)?),
                key::COST_INFORMATION => answer.cost = Some(Money::read(&avp)?),
                key::CHECK_BALANCE_RESULT => {
                    answer.check_balance = Some(CheckBalanceResult::read(&avp)?);
                }
                key::CC_SESSION_FAILOVER => {
                    answer.session_failover = Some(CcSessionFailover::read(&avp)?);
                }
                key::CREDIT_CONTROL_FAILURE_HANDLING => {
                    answer.failure_handling = Some(FailureHandling::read(&avp)?);
                }
                _ => {}
            }
        }
        answer.request_type = need(request_type, &dict::CC_REQUEST_TYPE)?;
        answer.request_number = need(request_number, &dict::CC_REQUEST_NUMBER)?;
        Ok(answer)
    }
}

impl<'a> ServiceAnswer<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let members = avp.grouped()?;
        let mut service = Self { service_identifiers: List::wire(members, key::SERVICE_IDENTIFIER), ..Self::default() };
        for member in members {
            match member.key() {
                key::RESULT_CODE => service.result_code = Some(ResultCode(member.u32()?)),
                key::RATING_GROUP => service.rating_group = Some(member.u32()?),
                key::GRANTED_SERVICE_UNIT => service.granted = Some(Grant::read(&member)?),
                key::VALIDITY_TIME => service.validity_time = Some(member.u32()?),
                key::QUOTA_HOLDING_TIME => service.quota_holding_time = Some(member.u32()?),
                key::VOLUME_QUOTA_THRESHOLD => service.volume_threshold = Some(member.u32()?),
                key::TIME_QUOTA_THRESHOLD => service.time_threshold = Some(member.u32()?),
                key::UNIT_QUOTA_THRESHOLD => service.unit_threshold = Some(member.u32()?),
                key::FINAL_UNIT_INDICATION => {
                    service.final_unit = Some(FinalUnit::read(&member)?);
                }
                _ => {}
            }
        }
        Ok(service)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            if let Some(grant) = &self.granted {
                grant.write(group);
            }
            for identifier in self.service_identifiers.values() {
                group.u32(&dict::SERVICE_IDENTIFIER, identifier);
            }
            let numbers = [
                (&dict::RATING_GROUP, self.rating_group),
                (&dict::VALIDITY_TIME, self.validity_time),
                (&dict::RESULT_CODE, self.result_code.map(|code| code.0)),
                (&dict::TIME_QUOTA_THRESHOLD, self.time_threshold),
                (&dict::VOLUME_QUOTA_THRESHOLD, self.volume_threshold),
                (&dict::UNIT_QUOTA_THRESHOLD, self.unit_threshold),
                (&dict::QUOTA_HOLDING_TIME, self.quota_holding_time),
            ];
            for (def, value) in numbers {
                if let Some(value) = value {
                    group.u32(def, value);
                }
            }
            if let Some(final_unit) = &self.final_unit {
                final_unit.write(group);
            }
        });
    }
}

impl Grant {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut grant = Self::default();
        for member in avp.grouped()? {
            match member.key() {
                key::TARIFF_TIME_CHANGE => grant.tariff_time_change = Some(member.time()?),
                _ => grant.units.read(&member)?,
            }
        }
        Ok(grant)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::GRANTED_SERVICE_UNIT, |group| {
            if let Some(time) = self.tariff_time_change {
                group.time(&dict::TARIFF_TIME_CHANGE, time);
            }
            self.units.write(group);
        });
    }
}

impl<'a> FinalUnit<'a> {
    /// The last grant, and then the action without a redirection or filter.
    pub const fn new(action: FinalUnitAction) -> Self {
        Self { action, redirect: None, filter_rules: List::EMPTY, filter_ids: List::EMPTY }
    }

    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let members = avp.grouped()?;
        let (mut action, mut redirect) = (None, None);
        for member in members {
            match member.key() {
                key::FINAL_UNIT_ACTION => action = Some(FinalUnitAction::read(&member)?),
                key::REDIRECT_SERVER => redirect = Some(RedirectServer::read(&member)?),
                _ => {}
            }
        }
        Ok(Self {
            action: need(action, &dict::FINAL_UNIT_ACTION)?,
            redirect,
            filter_rules: List::wire(members, key::RESTRICTION_FILTER_RULE),
            filter_ids: List::wire(members, key::FILTER_ID),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::FINAL_UNIT_INDICATION, |group| {
            group.i32(&dict::FINAL_UNIT_ACTION, self.action.value());
            for rule in self.filter_rules.values() {
                group.text(&dict::RESTRICTION_FILTER_RULE, rule);
            }
            for id in self.filter_ids.values() {
                group.text(&dict::FILTER_ID, id);
            }
            if let Some(redirect) = self.redirect {
                group.group(&dict::REDIRECT_SERVER, |server| {
                    server
                        .i32(&dict::REDIRECT_ADDRESS_TYPE, redirect.kind.value())
                        .text(&dict::REDIRECT_SERVER_ADDRESS, redirect.address);
                });
            }
        });
    }
}

impl<'a> RedirectServer<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let (mut kind, mut address) = (None, None);
        for member in avp.grouped()? {
            match member.key() {
                key::REDIRECT_ADDRESS_TYPE => kind = Some(RedirectAddressType::read(&member)?),
                key::REDIRECT_SERVER_ADDRESS => address = Some(member.text()?),
                _ => {}
            }
        }
        Ok(Self {
            kind: need(kind, &dict::REDIRECT_ADDRESS_TYPE)?,
            address: need(address, &dict::REDIRECT_SERVER_ADDRESS)?,
        })
    }
}

impl<'a> FromAvp<'a> for ServiceAnswer<'a> {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}
