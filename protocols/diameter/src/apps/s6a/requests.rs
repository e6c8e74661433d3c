//! The requests of S6a (TS 29.272 section 7.2).

use bytes::BytesMut;

use super::subscription::SubscriptionData;
use crate::apps::route::{NO_STATE_MAINTAINED, Route, RouteReader, need, write_vendor_application};
use crate::apps::{List, enumerated};
use crate::codec::{Avp, AvpError, Header, Message, Writer};
use crate::dictionary::{self as dict, AvpDef, application, command, key, vendor};

enumerated! {
    /// Cancellation-Type 1420 (TS 29.272 section 7.3.24).
    CancellationType, "a Cancellation-Type" {
        /// The user moved to another MME.
        MmeUpdate = 0,
        /// The user moved to another SGSN.
        SgsnUpdate = 1,
        /// The subscription is withdrawn: detach.
        SubscriptionWithdrawal = 2,
        /// Update of the interworking function.
        UpdateProcedureIwf = 3,
        /// Attach of another kind.
        InitialAttach = 4,
    }
}

const fn header(command_code: u32) -> Header {
    Header::request(command_code, application::S6A, true)
}

fn begin<'a>(route: &Route<'_>, user_name: &str, header: &Header, out: &'a mut BytesMut) -> Writer<'a> {
    let mut writer = route.begin(header, out);
    write_vendor_application(&mut writer, vendor::TGPP, application::S6A);
    writer.i32(&dict::AUTH_SESSION_STATE, NO_STATE_MAINTAINED).text(&dict::USER_NAME, user_name);
    writer
}

/// Route and User-Name of a request; the rest goes to `read`.
fn parse<'a>(
    message: &'a Message,
    mut read: impl FnMut(&Avp<'a>) -> Result<(), AvpError>,
) -> Result<(Route<'a>, &'a str), AvpError> {
    let mut route = RouteReader::default();
    let mut user_name = None;
    for avp in message.avps() {
        match avp.key() {
            key::USER_NAME => user_name = Some(avp.text()?),
            _ => {
                route.read(&avp)?;
                read(&avp)?;
            }
        }
    }
    Ok((route.finish()?, need(user_name, &dict::USER_NAME)?))
}

/// Update-Location-Request (TS 29.272 section 7.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateLocationRequest<'a> {
    /// Session, origin (the serving node) and destination.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// RAT-Type 1032, 1004 is EUTRAN, 1005 EUTRAN-NB-IoT.
    pub rat_type: i32,
    /// ULR-Flags 1405: bit 1 is S6a, bit 2 skips subscriber data, bit 5 is
    /// the initial attach.
    pub ulr_flags: u32,
    /// Visited-PLMN-Id 1407: three octets.
    pub visited_plmn_id: &'a [u8],
    /// IMEI 1402 in Terminal-Information 1401.
    pub imei: Option<&'a str>,
    /// Software-Version 1403 in Terminal-Information 1401.
    pub software_version: Option<&'a str>,
}

impl<'a> UpdateLocationRequest<'a> {
    /// The header of a ULR.
    pub const fn header() -> Header {
        header(command::UPDATE_LOCATION)
    }

    /// Reads a ULR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let (mut rat_type, mut ulr_flags, mut visited_plmn_id) = (None, None, None);
        let (mut imei, mut software_version) = (None, None);
        let (route, user_name) = parse(message, |avp| {
            match avp.key() {
                key::RAT_TYPE => rat_type = Some(avp.enumerated()?),
                key::ULR_FLAGS => ulr_flags = Some(avp.u32()?),
                key::VISITED_PLMN_ID => visited_plmn_id = Some(avp.octets()),
                key::TERMINAL_INFORMATION => {
                    avp.read_members(|member, _| {
                        match member.key() {
                            key::IMEI => imei = Some(member.text()?),
                            key::SOFTWARE_VERSION => software_version = Some(member.text()?),
                            _ => {}
                        }
                        Ok(())
                    })?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            route,
            user_name,
            rat_type: need(rat_type, &dict::RAT_TYPE)?,
            ulr_flags: need(ulr_flags, &dict::ULR_FLAGS)?,
            visited_plmn_id: need(visited_plmn_id, &dict::VISITED_PLMN_ID)?,
            imei,
            software_version,
        })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        if self.imei.is_some() || self.software_version.is_some() {
            writer.group(&dict::TERMINAL_INFORMATION, |group| {
                if let Some(imei) = self.imei {
                    group.text(&dict::IMEI, imei);
                }
                if let Some(version) = self.software_version {
                    group.text(&dict::SOFTWARE_VERSION, version);
                }
            });
        }
        writer
            .i32(&dict::RAT_TYPE, self.rat_type)
            .u32(&dict::ULR_FLAGS, self.ulr_flags)
            .octets(&dict::VISITED_PLMN_ID, self.visited_plmn_id);
        writer.finish();
    }
}

/// Authentication-Information-Request (TS 29.272 section 7.2.5): read to be
/// refused, written by simulators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticationInformationRequest<'a> {
    /// Session, origin and destination.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// Visited-PLMN-Id 1407: three octets.
    pub visited_plmn_id: &'a [u8],
}

impl<'a> AuthenticationInformationRequest<'a> {
    /// The header of an AIR.
    pub const fn header() -> Header {
        header(command::AUTHENTICATION_INFORMATION)
    }

    /// Reads an AIR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let (route, user_name) = parse(message, |_| Ok(()))?;
        let plmn = need(message.find(key::VISITED_PLMN_ID), &dict::VISITED_PLMN_ID)?;
        Ok(Self { route, user_name, visited_plmn_id: plmn.octets() })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        writer.octets(&dict::VISITED_PLMN_ID, self.visited_plmn_id);
        writer.finish();
    }
}

/// Purge-UE-Request: the serving node forgot the user
/// (TS 29.272 section 7.2.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeUeRequest<'a> {
    /// Session, origin (the serving node) and destination.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// PUR-Flags 1635: bit 0 purged in MME, bit 1 in SGSN.
    pub pur_flags: Option<u32>,
}

impl<'a> PurgeUeRequest<'a> {
    /// The header of a PUR.
    pub const fn header() -> Header {
        header(command::PURGE_UE)
    }

    /// Reads a PUR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let (route, user_name) = parse(message, |_| Ok(()))?;
        Ok(Self { route, user_name, pur_flags: optional_u32(message, key::PUR_FLAGS)? })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        write_optional(&mut writer, &dict::PUR_FLAGS, self.pur_flags);
        writer.finish();
    }
}

/// Notify-Request (TS 29.272 section 7.2.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyRequest<'a> {
    /// Session, origin (the serving node) and destination.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// NOR-Flags 1443.
    pub nor_flags: Option<u32>,
    /// Service-Selection 493: the APN that a PDN GW serves.
    pub service_selection: Option<&'a str>,
}

impl<'a> NotifyRequest<'a> {
    /// The header of a NOR.
    pub const fn header() -> Header {
        header(command::NOTIFY)
    }

    /// Reads a NOR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut service_selection = None;
        let (route, user_name) = parse(message, |avp| {
            if avp.key() == key::SERVICE_SELECTION {
                service_selection = Some(avp.text()?);
            }
            Ok(())
        })?;
        let nor_flags = optional_u32(message, key::NOR_FLAGS)?;
        Ok(Self { route, user_name, nor_flags, service_selection })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        if let Some(apn) = self.service_selection {
            writer.text(&dict::SERVICE_SELECTION, apn);
        }
        write_optional(&mut writer, &dict::NOR_FLAGS, self.nor_flags);
        writer.finish();
    }
}

/// Insert-Subscriber-Data-Request (TS 29.272 section 7.2.9).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InsertSubscriberDataRequest<'a> {
    /// Session, origin and destination; the Destination-Host is the serving
    /// node and required.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// Subscription-Data 1400.
    pub subscription_data: SubscriptionData<'a>,
    /// IDR-Flags 1490.
    pub idr_flags: Option<u32>,
}

impl<'a> InsertSubscriberDataRequest<'a> {
    /// The header of an IDR.
    pub const fn header() -> Header {
        header(command::INSERT_SUBSCRIBER_DATA)
    }

    /// Reads an IDR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let (route, user_name) = parse(message, |_| Ok(()))?;
        let data = need(message.find(key::SUBSCRIPTION_DATA), &dict::SUBSCRIPTION_DATA)?;
        Ok(Self {
            route,
            user_name,
            subscription_data: SubscriptionData::read(&data)?,
            idr_flags: optional_u32(message, key::IDR_FLAGS)?,
        })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        self.subscription_data.write(&mut writer);
        write_optional(&mut writer, &dict::IDR_FLAGS, self.idr_flags);
        writer.finish();
    }
}

/// Delete-Subscriber-Data-Request (TS 29.272 section 7.2.11).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeleteSubscriberDataRequest<'a> {
    /// Session, origin and destination; the Destination-Host is the serving
    /// node and required.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// DSR-Flags 1421: bit 1 withdraws the whole APN profile, bit 3 the PDN
    /// subscription contexts listed.
    pub dsr_flags: u32,
    /// Context-Identifier 1423 of the APNs to withdraw.
    pub context_identifiers: List<'a, u32>,
}

impl<'a> DeleteSubscriberDataRequest<'a> {
    /// The header of a DSR.
    pub const fn header() -> Header {
        header(command::DELETE_SUBSCRIBER_DATA)
    }

    /// Reads a DSR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let (route, user_name) = parse(message, |_| Ok(()))?;
        Ok(Self {
            route,
            user_name,
            dsr_flags: need(optional_u32(message, key::DSR_FLAGS)?, &dict::DSR_FLAGS)?,
            context_identifiers: List::wire(message.avps(), key::CONTEXT_IDENTIFIER),
        })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        writer.u32(&dict::DSR_FLAGS, self.dsr_flags);
        self.context_identifiers.each(|identifier| {
            writer.u32(&dict::CONTEXT_IDENTIFIER, *identifier);
        });
        writer.finish();
    }
}

/// Cancel-Location-Request (TS 29.272 section 7.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelLocationRequest<'a> {
    /// Session, origin and destination; the Destination-Host is the serving
    /// node and required.
    pub route: Route<'a>,
    /// User-Name 1: the IMSI.
    pub user_name: &'a str,
    /// Cancellation-Type 1420.
    pub cancellation_type: CancellationType,
    /// CLR-Flags 1638: bit 0 S6a, bit 1 asks the device to attach again.
    pub clr_flags: Option<u32>,
}

impl<'a> CancelLocationRequest<'a> {
    /// The header of a CLR.
    pub const fn header() -> Header {
        header(command::CANCEL_LOCATION)
    }

    /// Reads a CLR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let (route, user_name) = parse(message, |_| Ok(()))?;
        let kind = need(message.find(key::CANCELLATION_TYPE), &dict::CANCELLATION_TYPE)?;
        Ok(Self {
            route,
            user_name,
            cancellation_type: CancellationType::read(&kind)?,
            clr_flags: optional_u32(message, key::CLR_FLAGS)?,
        })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = begin(&self.route, self.user_name, header, out);
        writer.i32(&dict::CANCELLATION_TYPE, self.cancellation_type.value());
        write_optional(&mut writer, &dict::CLR_FLAGS, self.clr_flags);
        writer.finish();
    }
}

pub(super) fn optional_u32(message: &Message, key: u64) -> Result<Option<u32>, AvpError> {
    message.find(key).map(|avp| avp.u32()).transpose()
}

pub(super) fn write_optional(writer: &mut Writer<'_>, def: &AvpDef, value: Option<u32>) {
    if let Some(value) = value {
        writer.u32(def, value);
    }
}
