//! Credit-Control-Request 272 (RFC 8506 section 3.1, TS 32.299 section 6.4.2).

use bytes::BytesMut;

use super::service_information::{ServiceInformation, Subscriber};
use super::units::{ReportingReason, Units, UsedUnit};
use crate::apps::base::TerminationCause;
use crate::apps::route::{Route, RouteReader, need};
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
        let avps = message.avps();
        let mut route = RouteReader::default();
        let (mut context, mut request_type, mut request_number) = (None, None, None);
        // replaced by what the message has before it is returned
        let blank =
            Route { session_id: "", origin_host: "", origin_realm: "", destination_host: None, destination_realm: "" };
        let mut request = Self {
            services: List::wire(avps, key::MULTIPLE_SERVICES_CREDIT_CONTROL),
            used: List::wire(avps, key::USED_SERVICE_UNIT),
            ..Self::new(blank, "", CcRequestType::Event, 0)
        };
        for avp in avps {
            match avp.key() {
                key::SERVICE_CONTEXT_ID => context = Some(avp.text()?),
                key::CC_REQUEST_TYPE => request_type = Some(CcRequestType::read(&avp)?),
                key::CC_REQUEST_NUMBER => request_number = Some(avp.u32()?),
                key::MULTIPLE_SERVICES_CREDIT_CONTROL | key::USED_SERVICE_UNIT => {}
                _ => request.read(&avp, &mut route)?,
            }
        }
        request.route = route.finish()?;
        request.service_context_id = need(context, &dict::SERVICE_CONTEXT_ID)?;
        request.request_type = need(request_type, &dict::CC_REQUEST_TYPE)?;
        request.request_number = need(request_number, &dict::CC_REQUEST_NUMBER)?;
        Ok(request)
    }

    fn read(&mut self, avp: &Avp<'a>, route: &mut RouteReader<'a>) -> Result<(), AvpError> {
        match avp.key() {
            key::USER_NAME => self.user_name = Some(avp.text()?),
            key::ORIGIN_STATE_ID => self.origin_state_id = Some(avp.u32()?),
            key::EVENT_TIMESTAMP => self.event_timestamp = Some(avp.time()?),
            key::SUBSCRIPTION_ID => self.subscriber.read(avp)?,
            key::USER_EQUIPMENT_INFO => self.user_equipment = Some(UserEquipment::read(avp)?),
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
            key::REQUESTED_SERVICE_UNIT => self.requested = Some(Units::read_group(avp)?),
            key::SERVICE_INFORMATION => {
                self.service_information = Some(ServiceInformation::read(avp)?);
            }
            _ => route.read(avp)?,
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
        if let Some(state) = self.origin_state_id {
            writer.u32(&dict::ORIGIN_STATE_ID, state);
        }
        if let Some(time) = self.event_timestamp {
            writer.time(&dict::EVENT_TIMESTAMP, time);
        }
        self.subscriber.write(&mut writer);
        self.write_service(&mut writer);
        for service in self.services.values() {
            service.write(&mut writer);
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
        for used in self.used.values() {
            used.write(writer);
        }
        if self.multiple_services {
            writer.i32(&dict::MULTIPLE_SERVICES_INDICATOR, 1);
        }
    }
}

impl<'a> ServiceRequest<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let members = avp.grouped()?;
        let mut service = Self {
            service_identifiers: List::wire(members, key::SERVICE_IDENTIFIER),
            used: List::wire(members, key::USED_SERVICE_UNIT),
            ..Self::default()
        };
        for member in members {
            match member.key() {
                key::RATING_GROUP => service.rating_group = Some(member.u32()?),
                key::REQUESTED_SERVICE_UNIT => {
                    service.requested = Some(Units::read_group(&member)?);
                }
                key::REPORTING_REASON => {
                    service.reporting_reason = Some(ReportingReason::read(&member)?);
                }
                _ => {}
            }
        }
        Ok(service)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            if let Some(units) = &self.requested {
                units.write_group(&dict::REQUESTED_SERVICE_UNIT, group);
            }
            for used in self.used.values() {
                used.write(group);
            }
            for identifier in self.service_identifiers.values() {
                group.u32(&dict::SERVICE_IDENTIFIER, identifier);
            }
            if let Some(rating_group) = self.rating_group {
                group.u32(&dict::RATING_GROUP, rating_group);
            }
            if let Some(reason) = self.reporting_reason {
                group.i32(&dict::REPORTING_REASON, reason.value());
            }
        });
    }
}

impl<'a> UserEquipment<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let (mut kind, mut value) = (None, None);
        for member in avp.grouped()? {
            match member.key() {
                key::USER_EQUIPMENT_INFO_TYPE => kind = Some(UserEquipmentType::read(&member)?),
                key::USER_EQUIPMENT_INFO_VALUE => value = Some(member.octets()),
                _ => {}
            }
        }
        Ok(Self {
            kind: need(kind, &dict::USER_EQUIPMENT_INFO_TYPE)?,
            value: need(value, &dict::USER_EQUIPMENT_INFO_VALUE)?,
        })
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
        Self::read(avp)
    }
}
