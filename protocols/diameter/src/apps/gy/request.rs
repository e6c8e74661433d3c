//! Credit-Control-Request 272 (RFC 8506 section 3.1, TS 32.299 section 6.4.2).

use bytes::BytesMut;

use super::service_information::{ServiceInformation, Subscriber};
use super::units::{PoolReference, ReportingReason, Units, UsedUnit, read_trigger, write_trigger};
use crate::apps::base::TerminationCause;
use crate::apps::route::{Route, RouteReader, need, need_in};
use crate::apps::{FromAvp, List, enumerated};
use crate::codec::{Avp, AvpError, Header, Message, Time, Writer};
use crate::dictionary::{self as dict, application, command, key};

enumerated! {
    /// CC-Request-Type 416 (RFC 8506 section 8.3).
    CcRequestType, "a CC-Request-Type" {
        /// Opens a session.
        Initial = 1,
        /// Reports and asks within a session.
        Update = 2,
        /// Ends a session.
        Termination = 3,
        /// One request without a session.
        Event = 4,
    }
}

enumerated! {
    /// Requested-Action 436 of an event (RFC 8506 section 8.41).
    RequestedAction, "a Requested-Action" {
        /// Take the units off the account.
        DirectDebiting = 0,
        /// Give them back.
        RefundAccount = 1,
        /// Say whether the balance covers them.
        CheckBalance = 2,
        /// Say what they cost.
        PriceEnquiry = 3,
    }
}

enumerated! {
    /// User-Equipment-Info-Type 459 (RFC 8506 section 8.50).
    UserEquipmentType, "a User-Equipment-Info-Type" {
        /// IMEI and software version, 16 digits.
        Imeisv = 0,
        /// A MAC address.
        Mac = 1,
        /// An EUI-64.
        Eui64 = 2,
        /// A modified EUI-64.
        ModifiedEui64 = 3,
    }
}

/// User-Equipment-Info 458 (RFC 8506 section 8.49).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserEquipment<'a> {
    /// User-Equipment-Info-Type 459.
    pub kind: UserEquipmentType,
    /// User-Equipment-Info-Value 460: for an IMEISV its digits in ASCII or
    /// packed, as the peer sends them.
    pub value: &'a [u8],
}

/// One Multiple-Services-Credit-Control 456 of a request
/// (RFC 8506 section 8.16).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServiceRequest<'a> {
    /// Rating-Group 432.
    pub rating_group: Option<u32>,
    /// Service-Identifier 439.
    pub service_identifiers: List<'a, u32>,
    /// Requested-Service-Unit 437: absent means report only, empty units
    /// mean that the server decides.
    pub requested: Option<Units>,
    /// Used-Service-Unit 446.
    pub used: List<'a, UsedUnit>,
    /// Reporting-Reason 872 of the whole service.
    pub reporting_reason: Option<ReportingReason>,
    /// G-S-U-Pool-Reference 457: the pools that the service draws from.
    pub pools: List<'a, PoolReference>,
    /// Trigger 1264: the Trigger-Types 870 that made the client report.
    pub trigger: Option<List<'a, i32>>,
    /// Refund-Information 2022: what the server said when it debited.
    pub refund_information: Option<&'a [u8]>,
}

/// Credit-Control-Request (RFC 8506 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CcRequest<'a> {
    /// Session, origin and destination.
    pub route: Route<'a>,
    /// Service-Context-Id 461, `32251@3gpp.org` for packet data.
    pub service_context_id: &'a str,
    /// CC-Request-Type 416.
    pub request_type: CcRequestType,
    /// CC-Request-Number 415: with the Session-Id, the key of the request.
    pub request_number: u32,
    /// User-Name 1.
    pub user_name: Option<&'a str>,
    /// CC-Sub-Session-Id 419.
    pub sub_session_id: Option<u64>,
    /// CC-Correlation-Id 411: what belongs to one service delivery.
    pub correlation_id: Option<&'a [u8]>,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
    /// Event-Timestamp 55: when the usage was measured.
    pub event_timestamp: Option<Time>,
    /// Subscription-Id 443; updates and terminations may lack it.
    pub subscriber: Subscriber<'a>,
    /// User-Equipment-Info 458.
    pub user_equipment: Option<UserEquipment<'a>>,
    /// Requested-Action 436, in events.
    pub requested_action: Option<RequestedAction>,
    /// Termination-Cause 295, in terminations.
    pub termination_cause: Option<TerminationCause>,
    /// Multiple-Services-Indicator 455 is 1.
    pub multiple_services: bool,
    /// Multiple-Services-Credit-Control 456.
    pub services: List<'a, ServiceRequest<'a>>,
    /// Service-Identifier 439 of a request without such groups.
    pub service_identifier: Option<u32>,
    /// Requested-Service-Unit 437 of a request without such groups.
    pub requested: Option<Units>,
    /// Used-Service-Unit 446 of a request without such groups.
    pub used: List<'a, UsedUnit>,
    /// Service-Information 873.
    pub service_information: Option<ServiceInformation<'a>>,
}

impl<'a> CcRequest<'a> {
    /// A request with what the grammar requires and nothing else.
    pub fn new(
        route: Route<'a>,
        service_context_id: &'a str,
        request_type: CcRequestType,
        request_number: u32,
    ) -> Self {
        Self {
            route,
            service_context_id,
            request_type,
            request_number,
            user_name: None,
            sub_session_id: None,
            correlation_id: None,
            origin_state_id: None,
            event_timestamp: None,
            subscriber: Subscriber::default(),
            user_equipment: None,
            requested_action: None,
            termination_cause: None,
            multiple_services: false,
            services: List::EMPTY,
            service_identifier: None,
            requested: None,
            used: List::EMPTY,
            service_information: None,
        }
    }

    /// The header of such a request.
    pub const fn header() -> Header {
        Header::request(command::CREDIT_CONTROL, application::CREDIT_CONTROL, true)
    }

    /// Called-Station-Id in Service-Information / PS-Information: the APN.
    pub fn apn(&self) -> Option<&'a str> {
        self.service_information?.ps?.called_station_id
    }

    /// Reads a request.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut route = RouteReader::default();
        let (mut context, mut request_type, mut request_number) = (None, None, None);
        // replaced by what the message has before it is returned
        let blank =
            Route { session_id: "", origin_host: "", origin_realm: "", destination_host: None, destination_realm: "" };
        let mut request = Self::new(blank, "", CcRequestType::Event, 0);
        let mut avps = message.avps();
        loop {
            let from = avps;
            let Some(avp) = avps.next() else { break };
            match avp.key() {
                key::SESSION_ID
                | key::ORIGIN_HOST
                | key::ORIGIN_REALM
                | key::DESTINATION_HOST
                | key::DESTINATION_REALM => route.read(&avp)?,
                key::SERVICE_CONTEXT_ID => context = Some(avp.text()?),
                key::CC_REQUEST_TYPE => request_type = Some(CcRequestType::read(&avp)?),
                key::CC_REQUEST_NUMBER => request_number = Some(avp.u32()?),
                key::MULTIPLE_SERVICES_CREDIT_CONTROL => request.services.came(from),
                key::USED_SERVICE_UNIT => request.used.came(from),
                _ => request.read(&avp)?,
            }
        }
        request.route = route.finish()?;
        request.service_context_id = need(context, &dict::SERVICE_CONTEXT_ID)?;
        request.request_type = need(request_type, &dict::CC_REQUEST_TYPE)?;
        request.request_number = need(request_number, &dict::CC_REQUEST_NUMBER)?;
        Ok(request)
    }

    #[inline(always)]
    fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        match avp.key() {
            key::USER_NAME => self.user_name = Some(avp.text()?),
            key::ORIGIN_STATE_ID => self.origin_state_id = Some(avp.u32()?),
            key::EVENT_TIMESTAMP => self.event_timestamp = Some(avp.time()?),
            key::SUBSCRIPTION_ID => self.subscriber.read(avp)?,
            key::SUBSCRIPTION_ID_EXTENSION => self.subscriber.read_extension(avp)?,
            key::USER_EQUIPMENT_INFO => self.user_equipment = Some(UserEquipment::read(avp)?),
            key::USER_EQUIPMENT_INFO_EXTENSION => {
                self.user_equipment = UserEquipment::read_extension(avp)?.or(self.user_equipment);
            }
            key::CC_SUB_SESSION_ID => self.sub_session_id = Some(avp.u64()?),
            key::CC_CORRELATION_ID => self.correlation_id = Some(avp.octets()),
            key::REQUESTED_ACTION => self.requested_action = Some(RequestedAction::read(avp)?),
            key::TERMINATION_CAUSE => self.termination_cause = Some(TerminationCause::read(avp)?),
            key::MULTIPLE_SERVICES_INDICATOR => {
                self.multiple_services = match avp.enumerated()? {
                    0 => false,
                    1 => true,
                    _ => return Err(avp.value_error("a Multiple-Services-Indicator")),
                };
            }
            key::SERVICE_IDENTIFIER => self.service_identifier = Some(avp.u32()?),
            key::REQUESTED_SERVICE_UNIT => self.requested.insert(Units::default()).read_group(avp)?,
            key::SERVICE_INFORMATION => {
                self.service_information.insert(ServiceInformation::default()).read(avp)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends the request; `header` comes from [`CcRequest::header`] with
    /// its ids set.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = self.route.begin(header, out);
        writer
            .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
            .text(&dict::SERVICE_CONTEXT_ID, self.service_context_id)
            .i32(&dict::CC_REQUEST_TYPE, self.request_type.value())
            .u32(&dict::CC_REQUEST_NUMBER, self.request_number);
        if let Some(name) = self.user_name {
            writer.text(&dict::USER_NAME, name);
        }
        writer
            .some_u64(&dict::CC_SUB_SESSION_ID, self.sub_session_id)
            .some_u32(&dict::ORIGIN_STATE_ID, self.origin_state_id);
        if let Some(time) = self.event_timestamp {
            writer.time(&dict::EVENT_TIMESTAMP, time);
        }
        self.subscriber.write(&mut writer);
        self.write_service(&mut writer);
        self.services.each(|service| service.write(&mut writer));
        if let Some(id) = self.correlation_id {
            writer.octets(&dict::CC_CORRELATION_ID, id);
        }
        if let Some(equipment) = &self.user_equipment {
            equipment.write(&mut writer);
        }
        if let Some(information) = &self.service_information {
            information.write(&mut writer);
        }
        writer.finish();
    }

    fn write_service(&self, writer: &mut Writer<'_>) {
        if let Some(identifier) = self.service_identifier {
            writer.u32(&dict::SERVICE_IDENTIFIER, identifier);
        }
        if let Some(cause) = self.termination_cause {
            writer.i32(&dict::TERMINATION_CAUSE, cause.value());
        }
        if let Some(units) = &self.requested {
            units.write_group(&dict::REQUESTED_SERVICE_UNIT, writer);
        }
        if let Some(action) = self.requested_action {
            writer.i32(&dict::REQUESTED_ACTION, action.value());
        }
        self.used.each(|used| used.write(writer));
        if self.multiple_services {
            writer.i32(&dict::MULTIPLE_SERVICES_INDICATOR, 1);
        }
    }
}

impl<'a> ServiceRequest<'a> {
    // apart, so that each field is written where it stays
    #[inline(never)]
    fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        avp.read_members(|member, from| {
            match member.key() {
                key::RATING_GROUP => self.rating_group = Some(member.u32()?),
                key::SERVICE_IDENTIFIER => self.service_identifiers.came(from),
                key::USED_SERVICE_UNIT => self.used.came(from),
                key::REQUESTED_SERVICE_UNIT => {
                    self.requested.insert(Units::default()).read_group(&member)?;
                }
                key::REPORTING_REASON => {
                    self.reporting_reason = Some(ReportingReason::read(&member)?);
                }
                key::G_S_U_POOL_REFERENCE => self.pools.came(from),
                key::TRIGGER => self.trigger = Some(read_trigger(&member)?),
                key::REFUND_INFORMATION => self.refund_information = Some(member.octets()),
                _ => {}
            }
            Ok(())
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            if let Some(units) = &self.requested {
                units.write_group(&dict::REQUESTED_SERVICE_UNIT, group);
            }
            self.used.each(|used| used.write(group));
            self.service_identifiers.each(|identifier| {
                group.u32(&dict::SERVICE_IDENTIFIER, *identifier);
            });
            group.some_u32(&dict::RATING_GROUP, self.rating_group);
            self.pools.each(|pool| pool.write(group));
            group.some_i32(&dict::REPORTING_REASON, self.reporting_reason.map(ReportingReason::value));
            if let Some(types) = &self.trigger {
                write_trigger(types, group);
            }
            if let Some(octets) = self.refund_information {
                group.octets(&dict::REFUND_INFORMATION, octets);
            }
        });
    }
}

impl<'a> UserEquipment<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let (mut kind, mut value) = (None, None);
        avp.read_members(|member, _| {
            match member.key() {
                key::USER_EQUIPMENT_INFO_TYPE => kind = Some(UserEquipmentType::read(&member)?),
                key::USER_EQUIPMENT_INFO_VALUE => value = Some(member.octets()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            kind: need_in(avp, kind, &dict::USER_EQUIPMENT_INFO_TYPE)?,
            value: need_in(avp, value, &dict::USER_EQUIPMENT_INFO_VALUE)?,
        })
    }

    /// User-Equipment-Info-Extension 653 (RFC 8506 section 8.52); an IMEI
    /// without a software version has no type here and is passed over.
    fn read_extension(avp: &Avp<'a>) -> Result<Option<Self>, AvpError> {
        let mut found = None;
        avp.read_members(|member, _| {
            let kind = match member.key() {
                key::USER_EQUIPMENT_INFO_IMEISV => UserEquipmentType::Imeisv,
                key::USER_EQUIPMENT_INFO_MAC => UserEquipmentType::Mac,
                key::USER_EQUIPMENT_INFO_EUI64 => UserEquipmentType::Eui64,
                key::USER_EQUIPMENT_INFO_MODIFIEDEUI64 => UserEquipmentType::ModifiedEui64,
                _ => return Ok(()),
            };
            found = Some(Self { kind, value: member.octets() });
            Ok(())
        })?;
        Ok(found)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::USER_EQUIPMENT_INFO, |group| {
            group
                .i32(&dict::USER_EQUIPMENT_INFO_TYPE, self.kind.value())
                .octets(&dict::USER_EQUIPMENT_INFO_VALUE, self.value);
        });
    }
}

impl<'a> FromAvp<'a> for ServiceRequest<'a> {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let mut service = Self::default();
        service.read(avp)?;
        Ok(service)
    }
}
