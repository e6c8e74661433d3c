//! Credit-Control-Answer 272 (RFC 8506 section 3.2, TS 32.299 section 6.4.3).

use bytes::BytesMut;

use super::request::CcRequestType;
use super::units::{Money, PoolReference, TariffChangeUsage, Units, read_trigger, write_trigger};
use crate::answer::{Origin, ReplyTo};
use crate::apps::route::{Answered, need, need_in};
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
    /// Direct-Debiting-Failure-Handling 428 (RFC 8506 section 8.15).
    DebitingFailureHandling, "a Direct-Debiting-Failure-Handling" {
        /// Refuse the service, or keep the request and send it later.
        TerminateOrBuffer = 0,
        /// Serve all the same.
        Continue = 1,
    }
}

/// What one Failed-AVP 279 holds: whole, padded AVPs (RFC 6733 section 7.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedAvp<'a>(pub &'a [u8]);

impl<'a> From<&'a AvpError> for FailedAvp<'a> {
    fn from(error: &'a AvpError) -> Self {
        Self(error.failed_avp())
    }
}

impl<'a> FromAvp<'a> for FailedAvp<'a> {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Ok(Self(avp.octets()))
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
    /// Tariff-Change-Usage 452: the side of a tariff change that the grant
    /// is for, where two grants of one service were given.
    pub tariff_change_usage: Option<TariffChangeUsage>,
    /// G-S-U-Pool-Reference 457.
    pub pools: List<'a, PoolReference>,
    /// Trigger 1264: the Trigger-Types 870 at which to ask again; an empty
    /// one switches all of them off.
    pub trigger: Option<List<'a, i32>>,
    /// Quota-Consumption-Time 881, seconds without traffic that still count.
    pub quota_consumption_time: Option<u32>,
    /// Refund-Information 2022, to be sent back with a refund.
    pub refund_information: Option<&'a [u8]>,
    /// QoS-Information 1016: the bit rates that the service may have.
    pub qos: Option<MaxBitRates>,
}

/// QoS-Information 1016, of which only bit rates are read and written
/// (TS 29.212 section 5.3.16); bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaxBitRates {
    /// Max-Requested-Bandwidth-UL 516: from the user.
    pub uplink: Option<u32>,
    /// Max-Requested-Bandwidth-DL 515: to the user.
    pub downlink: Option<u32>,
}

impl MaxBitRates {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut rates = Self::default();
        avp.read_members(|member, _| {
            match member.key() {
                key::MAX_REQUESTED_BANDWIDTH_UL => rates.uplink = Some(member.u32()?),
                key::MAX_REQUESTED_BANDWIDTH_DL => rates.downlink = Some(member.u32()?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(rates)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::QOS_INFORMATION, |group| {
            group
                .some_u32(&dict::MAX_REQUESTED_BANDWIDTH_UL, self.uplink)
                .some_u32(&dict::MAX_REQUESTED_BANDWIDTH_DL, self.downlink);
        });
    }
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
    /// Direct-Debiting-Failure-Handling 428.
    pub debiting_failure_handling: Option<DebitingFailureHandling>,
    /// Cost-Unit 424 of the cost: what the price is for.
    pub cost_unit: Option<&'a str>,
    /// Remaining-Balance 2021 (TS 32.299 section 7.2).
    pub remaining_balance: Option<Money>,
    /// Low-Balance-Indication 2020: true is YES (TS 32.299 section 7.2).
    pub low_balance: Option<bool>,
    /// Failed-AVP 279: what was wrong with the request.
    pub failed_avps: List<'a, FailedAvp<'a>>,
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
            debiting_failure_handling: None,
            cost_unit: None,
            remaining_balance: None,
            low_balance: None,
            failed_avps: List::EMPTY,
        }
    }

    /// Appends the answer.
    pub fn encode(&self, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        self.encode_with(std::iter::empty(), to, origin, out);
    }

    /// Appends the answer, and behind its own services those that are made on the way.
    #[inline]
    pub fn encode_with<'s>(
        &self,
        services: impl Iterator<Item = ServiceAnswer<'s>>,
        to: &ReplyTo,
        origin: &Origin,
        out: &mut BytesMut,
    ) {
        let mut writer = self.begin(to, origin, out);
        for service in services {
            service.write(&mut writer);
        }
        self.finish(writer);
    }

    fn begin<'w>(&self, to: &ReplyTo, origin: &Origin, out: &'w mut BytesMut) -> Writer<'w> {
        let mut writer = to.begin(self.outcome, origin, out);
        writer
            .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
            .i32(&dict::CC_REQUEST_TYPE, self.request_type.value())
            .u32(&dict::CC_REQUEST_NUMBER, self.request_number);
        writer
            .some_i32(&dict::CC_SESSION_FAILOVER, self.session_failover.map(CcSessionFailover::value))
            .some_u32(&dict::ORIGIN_STATE_ID, self.origin_state_id);
        if let Some(grant) = &self.granted {
            grant.write(&mut writer);
        }
        self.services.each(|service| service.write(&mut writer));
        writer
    }

    fn finish(&self, mut writer: Writer<'_>) {
        self.write_account(&mut writer);
        if let Some(final_unit) = &self.final_unit {
            final_unit.write(&mut writer);
        }
        writer
            .some_i32(&dict::CHECK_BALANCE_RESULT, self.check_balance.map(CheckBalanceResult::value))
            .some_i32(&dict::CREDIT_CONTROL_FAILURE_HANDLING, self.failure_handling.map(FailureHandling::value))
            .some_i32(
                &dict::DIRECT_DEBITING_FAILURE_HANDLING,
                self.debiting_failure_handling.map(DebitingFailureHandling::value),
            )
            .some_u32(&dict::VALIDITY_TIME, self.validity_time);
        self.failed_avps.each(|failed| {
            writer.octets(&dict::FAILED_AVP, failed.0);
        });
        writer.finish();
    }

    /// What the answer says of money.
    fn write_account(&self, writer: &mut Writer<'_>) {
        if let Some(cost) = self.cost {
            writer.group(&dict::COST_INFORMATION, |group| {
                cost.write(group);
                if let Some(unit) = self.cost_unit {
                    group.text(&dict::COST_UNIT, unit);
                }
            });
        }
        if let Some(balance) = self.remaining_balance {
            writer.group(&dict::REMAINING_BALANCE, |group| balance.write(group));
        }
        writer.some_i32(&dict::LOW_BALANCE_INDICATION, self.low_balance.map(i32::from));
    }

    /// Reads an answer without the E bit.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let outcome = Answered::parse(message)?.outcome;
        let (mut request_type, mut request_number) = (None, None);
        let mut answer = Self::new(outcome, CcRequestType::Event, 0);
        let mut avps = message.avps();
        loop {
            let from = avps;
            let Some(avp) = avps.next() else { break };
            match avp.key() {
                key::MULTIPLE_SERVICES_CREDIT_CONTROL => answer.services.came(from),
                key::FAILED_AVP => answer.failed_avps.came(from),
                key::CC_REQUEST_TYPE => request_type = Some(CcRequestType::read(&avp)?),
                key::CC_REQUEST_NUMBER => request_number = Some(avp.u32()?),
                _ => answer.read(&avp)?,
            }
        }
        answer.request_type = need(request_type, &dict::CC_REQUEST_TYPE)?;
        answer.request_number = need(request_number, &dict::CC_REQUEST_NUMBER)?;
        Ok(answer)
    }

    fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        match avp.key() {
            key::ORIGIN_STATE_ID => self.origin_state_id = Some(avp.u32()?),
            key::GRANTED_SERVICE_UNIT => self.granted = Some(Grant::read(avp)?),
            key::VALIDITY_TIME => self.validity_time = Some(avp.u32()?),
            key::FINAL_UNIT_INDICATION => self.final_unit = Some(FinalUnit::read(avp)?),
            key::COST_INFORMATION => {
                self.cost = Some(Money::read(avp)?);
                self.cost_unit = avp.grouped()?.find(key::COST_UNIT).map(|unit| unit.text()).transpose()?;
            }
            key::CHECK_BALANCE_RESULT => self.check_balance = Some(CheckBalanceResult::read(avp)?),
            key::CC_SESSION_FAILOVER => self.session_failover = Some(CcSessionFailover::read(avp)?),
            key::CREDIT_CONTROL_FAILURE_HANDLING => self.failure_handling = Some(FailureHandling::read(avp)?),
            key::DIRECT_DEBITING_FAILURE_HANDLING => {
                self.debiting_failure_handling = Some(DebitingFailureHandling::read(avp)?);
            }
            key::REMAINING_BALANCE => self.remaining_balance = Some(Money::read(avp)?),
            key::LOW_BALANCE_INDICATION => {
                self.low_balance = match avp.enumerated()? {
                    0 => Some(false),
                    1 => Some(true),
                    _ => return Err(avp.value_error("a Low-Balance-Indication")),
                };
            }
            _ => {}
        }
        Ok(())
    }
}

impl<'a> ServiceAnswer<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let mut service = Self::default();
        avp.read_members(|member, from| {
            match member.key() {
                key::SERVICE_IDENTIFIER => service.service_identifiers.came(from),
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
                key::TARIFF_CHANGE_USAGE => {
                    service.tariff_change_usage = Some(TariffChangeUsage::read(&member)?);
                }
                key::G_S_U_POOL_REFERENCE => service.pools.came(from),
                key::TRIGGER => service.trigger = Some(read_trigger(&member)?),
                key::QUOTA_CONSUMPTION_TIME => service.quota_consumption_time = Some(member.u32()?),
                key::REFUND_INFORMATION => service.refund_information = Some(member.octets()),
                key::QOS_INFORMATION => service.qos = Some(MaxBitRates::read(&member)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(service)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            if let Some(grant) = &self.granted {
                grant.write(group);
            }
            group.some_i32(&dict::TARIFF_CHANGE_USAGE, self.tariff_change_usage.map(TariffChangeUsage::value));
            self.service_identifiers.each(|identifier| {
                group.u32(&dict::SERVICE_IDENTIFIER, *identifier);
            });
            group.some_u32(&dict::RATING_GROUP, self.rating_group);
            self.pools.each(|pool| pool.write(group));
            group
                .some_u32(&dict::VALIDITY_TIME, self.validity_time)
                .some_u32(&dict::RESULT_CODE, self.result_code.map(|code| code.0))
                .some_u32(&dict::TIME_QUOTA_THRESHOLD, self.time_threshold)
                .some_u32(&dict::VOLUME_QUOTA_THRESHOLD, self.volume_threshold)
                .some_u32(&dict::UNIT_QUOTA_THRESHOLD, self.unit_threshold)
                .some_u32(&dict::QUOTA_HOLDING_TIME, self.quota_holding_time)
                .some_u32(&dict::QUOTA_CONSUMPTION_TIME, self.quota_consumption_time);
            if let Some(final_unit) = &self.final_unit {
                final_unit.write(group);
            }
            if let Some(types) = &self.trigger {
                write_trigger(types, group);
            }
            if let Some(octets) = self.refund_information {
                group.octets(&dict::REFUND_INFORMATION, octets);
            }
            if let Some(rates) = &self.qos {
                rates.write(group);
            }
        });
    }
}

impl Grant {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut grant = Self::default();
        avp.read_members(|member, _| {
            match member.key() {
                key::TARIFF_TIME_CHANGE => grant.tariff_time_change = Some(member.time()?),
                _ => grant.units.read(&member)?,
            }
            Ok(())
        })?;
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
        let (mut action, mut redirect) = (None, None);
        let (mut filter_rules, mut filter_ids) = (List::EMPTY, List::EMPTY);
        avp.read_members(|member, from| {
            match member.key() {
                key::FINAL_UNIT_ACTION => action = Some(FinalUnitAction::read(&member)?),
                key::REDIRECT_SERVER => redirect = Some(RedirectServer::read(&member)?),
                key::RESTRICTION_FILTER_RULE => filter_rules.came(from),
                key::FILTER_ID => filter_ids.came(from),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { action: need_in(avp, action, &dict::FINAL_UNIT_ACTION)?, redirect, filter_rules, filter_ids })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::FINAL_UNIT_INDICATION, |group| {
            group.i32(&dict::FINAL_UNIT_ACTION, self.action.value());
            self.filter_rules.each(|rule| {
                group.text(&dict::RESTRICTION_FILTER_RULE, rule);
            });
            self.filter_ids.each(|id| {
                group.text(&dict::FILTER_ID, id);
            });
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
        avp.read_members(|member, _| {
            match member.key() {
                key::REDIRECT_ADDRESS_TYPE => kind = Some(RedirectAddressType::read(&member)?),
                key::REDIRECT_SERVER_ADDRESS => address = Some(member.text()?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            kind: need_in(avp, kind, &dict::REDIRECT_ADDRESS_TYPE)?,
            address: need_in(avp, address, &dict::REDIRECT_SERVER_ADDRESS)?,
        })
    }
}

impl<'a> FromAvp<'a> for ServiceAnswer<'a> {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}
