//! Service-Information 873 and its PS-Information 874, which Gy and Rf share
//! (TS 32.299 section 7.2), and Subscription-Id 443 (RFC 8506 section 8.46).

use std::net::IpAddr;

use crate::apps::route::need_in;
use crate::apps::{FromAvp, List};
use crate::codec::{Avp, AvpError, Time, Writer};
use crate::dictionary::{self as dict, AvpDef, key};

const E164: i32 = 0;
const IMSI: i32 = 1;

/// The Subscription-Ids that name a line; other types are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscriber<'a> {
    /// END_USER_E164 (0): the MSISDN, digits without a plus sign.
    pub msisdn: Option<&'a str>,
    /// END_USER_IMSI (1): 6 to 15 digits.
    pub imsi: Option<&'a str>,
}

impl<'a> Subscriber<'a> {
    pub(in crate::apps) fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        let (mut kind, mut data) = (None, None);
        avp.read_members(|member, _| {
            match member.key() {
                key::SUBSCRIPTION_ID_TYPE => kind = Some(member.enumerated()?),
                key::SUBSCRIPTION_ID_DATA => data = Some(member.text()?),
                _ => {}
            }
            Ok(())
        })?;
        let data = need_in(avp, data, &dict::SUBSCRIPTION_ID_DATA)?;
        match need_in(avp, kind, &dict::SUBSCRIPTION_ID_TYPE)? {
            E164 => self.msisdn = Some(data),
            IMSI => self.imsi = Some(data),
            _ => {}
        }
        Ok(())
    }

    /// Subscription-Id-Extension 659 (RFC 8506 section 8.58).
    pub(super) fn read_extension(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        avp.read_members(|member, _| {
            match member.key() {
                key::SUBSCRIPTION_ID_E164 => self.msisdn = Some(member.text()?),
                key::SUBSCRIPTION_ID_IMSI => self.imsi = Some(member.text()?),
                _ => {}
            }
            Ok(())
        })
    }

    pub(in crate::apps) fn write(&self, writer: &mut Writer<'_>) {
        for (kind, data) in [(E164, self.msisdn), (IMSI, self.imsi)] {
            if let Some(data) = data {
                writer.group(&dict::SUBSCRIPTION_ID, |group| {
                    group.i32(&dict::SUBSCRIPTION_ID_TYPE, kind).text(&dict::SUBSCRIPTION_ID_DATA, data);
                });
            }
        }
    }
}

/// Service-Information 873 (TS 32.299 section 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServiceInformation<'a> {
    /// Subscription-Id 443 in it, as Rf has it.
    pub subscriber: Subscriber<'a>,
    /// PS-Information 874.
    pub ps: Option<PsInformation<'a>>,
}

impl<'a> ServiceInformation<'a> {
    pub(in crate::apps) fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        avp.read_members(|member, _| {
            match member.key() {
                key::SUBSCRIPTION_ID => self.subscriber.read(&member)?,
                key::PS_INFORMATION => self.ps.insert(PsInformation::default()).read(&member)?,
                _ => {}
            }
            Ok(())
        })
    }

    pub(in crate::apps) fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::SERVICE_INFORMATION, |group| {
            self.subscriber.write(group);
            if let Some(ps) = &self.ps {
                ps.write(group);
            }
        });
    }
}

/// PS-Information 874 (TS 32.299 section 7.2): what charging needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PsInformation<'a> {
    /// Called-Station-Id 30: the APN.
    pub called_station_id: Option<&'a str>,
    /// 3GPP-Charging-Id 2: four octets.
    pub charging_id: Option<&'a [u8]>,
    /// 3GPP-SGSN-MCC-MNC 18: five or six digits, the zone where the user is.
    pub sgsn_mcc_mnc: Option<&'a str>,
    /// 3GPP-IMSI-MCC-MNC 8: five or six digits, the home network.
    pub imsi_mcc_mnc: Option<&'a str>,
    /// 3GPP-RAT-Type 21: one octet, 6 is EUTRAN, 8 is NB-IoT.
    pub rat_type: Option<&'a [u8]>,
    /// 3GPP-User-Location-Info 22, as TS 29.061 encodes it.
    pub user_location: Option<&'a [u8]>,
    /// 3GPP-Charging-Characteristics 13: four hexadecimal digits.
    pub charging_characteristics: Option<&'a str>,
    /// The first PDP-Address 1227.
    pub pdp_address: Option<IpAddr>,
    /// The first SGSN-Address 1228.
    pub sgsn_address: Option<IpAddr>,
    /// The first GGSN-Address 847.
    pub ggsn_address: Option<IpAddr>,
    /// Traffic-Data-Volumes 2046, on Rf.
    pub traffic: List<'a, TrafficVolume>,
    /// Service-Data-Container 2040, on Rf.
    pub service_data: List<'a, ServiceData>,
}

impl<'a> PsInformation<'a> {
    fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        avp.read_members(|member, from| {
            match member.key() {
                key::CALLED_STATION_ID => self.called_station_id = Some(member.text()?),
                key::TGPP_CHARGING_ID => self.charging_id = Some(member.octets()),
                key::TGPP_SGSN_MCC_MNC => self.sgsn_mcc_mnc = Some(member.text()?),
                key::TGPP_IMSI_MCC_MNC => self.imsi_mcc_mnc = Some(member.text()?),
                key::TGPP_RAT_TYPE => self.rat_type = Some(member.octets()),
                key::TGPP_USER_LOCATION_INFO => self.user_location = Some(member.octets()),
                key::TGPP_CHARGING_CHARACTERISTICS => {
                    self.charging_characteristics = Some(member.text()?);
                }
                key::PDP_ADDRESS => first(&mut self.pdp_address, &member)?,
                key::SGSN_ADDRESS => first(&mut self.sgsn_address, &member)?,
                key::GGSN_ADDRESS => first(&mut self.ggsn_address, &member)?,
                key::TRAFFIC_DATA_VOLUMES => self.traffic.came(from),
                key::SERVICE_DATA_CONTAINER => self.service_data.came(from),
                _ => {}
            }
            Ok(())
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::PS_INFORMATION, |group| {
            let octets: [(&AvpDef, Option<&[u8]>); 7] = [
                (&dict::TGPP_CHARGING_ID, self.charging_id),
                (&dict::CALLED_STATION_ID, self.called_station_id.map(str::as_bytes)),
                (&dict::TGPP_SGSN_MCC_MNC, self.sgsn_mcc_mnc.map(str::as_bytes)),
                (&dict::TGPP_IMSI_MCC_MNC, self.imsi_mcc_mnc.map(str::as_bytes)),
                (&dict::TGPP_RAT_TYPE, self.rat_type),
                (&dict::TGPP_USER_LOCATION_INFO, self.user_location),
                (&dict::TGPP_CHARGING_CHARACTERISTICS, self.charging_characteristics.map(str::as_bytes)),
            ];
            for (def, value) in octets {
                if let Some(value) = value {
                    group.octets(def, value);
                }
            }
            let addresses = [
                (&dict::PDP_ADDRESS, self.pdp_address),
                (&dict::SGSN_ADDRESS, self.sgsn_address),
                (&dict::GGSN_ADDRESS, self.ggsn_address),
            ];
            for (def, value) in addresses {
                if let Some(value) = value {
                    group.address(def, value);
                }
            }
            self.traffic.each(|volume| volume.write(group));
            self.service_data.each(|container| container.write(group));
        });
    }
}

fn first(slot: &mut Option<IpAddr>, avp: &Avp<'_>) -> Result<(), AvpError> {
    if slot.is_none() {
        *slot = Some(avp.ip_address()?);
    }
    Ok(())
}

/// One Traffic-Data-Volumes 2046: the volume up to a change of charging
/// condition (TS 32.299 section 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficVolume {
    /// Accounting-Input-Octets 363: from the user.
    pub input_octets: Option<u64>,
    /// Accounting-Output-Octets 364: to the user.
    pub output_octets: Option<u64>,
    /// QoS-Class-Identifier 1028 in QoS-Information 1016: 1 to 9 and on.
    pub qci: Option<i32>,
    /// Change-Condition 2037: why the container was closed; 0 is normal release.
    pub change_condition: Option<i32>,
    /// Change-Time 2038: when it was closed.
    pub change_time: Option<Time>,
}

impl TrafficVolume {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut volume = Self::default();
        avp.read_members(|member, _| {
            match member.key() {
                key::ACCOUNTING_INPUT_OCTETS => volume.input_octets = Some(member.u64()?),
                key::ACCOUNTING_OUTPUT_OCTETS => volume.output_octets = Some(member.u64()?),
                key::CHANGE_CONDITION => volume.change_condition = Some(member.i32()?),
                key::CHANGE_TIME => volume.change_time = Some(member.time()?),
                key::QOS_INFORMATION => {
                    let class = member.grouped()?.find(key::QOS_CLASS_IDENTIFIER);
                    volume.qci = class.map(|avp| avp.enumerated()).transpose()?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(volume)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::TRAFFIC_DATA_VOLUMES, |group| {
            if let Some(qci) = self.qci {
                group.group(&dict::QOS_INFORMATION, |qos| {
                    qos.i32(&dict::QOS_CLASS_IDENTIFIER, qci);
                });
            }
            if let Some(octets) = self.input_octets {
                group.u64(&dict::ACCOUNTING_INPUT_OCTETS, octets);
            }
            if let Some(octets) = self.output_octets {
                group.u64(&dict::ACCOUNTING_OUTPUT_OCTETS, octets);
            }
            if let Some(condition) = self.change_condition {
                group.i32(&dict::CHANGE_CONDITION, condition);
            }
            if let Some(time) = self.change_time {
                group.time(&dict::CHANGE_TIME, time);
            }
        });
    }
}

impl<'a> FromAvp<'a> for TrafficVolume {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}

/// One Service-Data-Container 2040: what the flows of a rating group used up to
/// a change of charging condition (TS 32.299 section 7.2.189).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServiceData {
    /// Rating-Group 432.
    pub rating_group: Option<u32>,
    /// Service-Identifier 439.
    pub service_identifier: Option<u32>,
    /// Accounting-Input-Octets 363: from the user.
    pub input_octets: Option<u64>,
    /// Accounting-Output-Octets 364: to the user.
    pub output_octets: Option<u64>,
    /// Time-Usage 2045, seconds.
    pub time_usage: Option<u32>,
    /// Change-Time 2038: when it was closed.
    pub change_time: Option<Time>,
}

impl ServiceData {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut container = Self::default();
        for member in avp.grouped()? {
            match member.key() {
                key::RATING_GROUP => container.rating_group = Some(member.u32()?),
                key::SERVICE_IDENTIFIER => container.service_identifier = Some(member.u32()?),
                key::ACCOUNTING_INPUT_OCTETS => container.input_octets = Some(member.u64()?),
                key::ACCOUNTING_OUTPUT_OCTETS => container.output_octets = Some(member.u64()?),
                key::TIME_USAGE => container.time_usage = Some(member.u32()?),
                key::CHANGE_TIME => container.change_time = Some(member.time()?),
                _ => {}
            }
        }
        Ok(container)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::SERVICE_DATA_CONTAINER, |group| {
            if let Some(octets) = self.input_octets {
                group.u64(&dict::ACCOUNTING_INPUT_OCTETS, octets);
            }
            if let Some(octets) = self.output_octets {
                group.u64(&dict::ACCOUNTING_OUTPUT_OCTETS, octets);
            }
            if let Some(rating_group) = self.rating_group {
                group.u32(&dict::RATING_GROUP, rating_group);
            }
            if let Some(time) = self.change_time {
                group.time(&dict::CHANGE_TIME, time);
            }
            if let Some(service) = self.service_identifier {
                group.u32(&dict::SERVICE_IDENTIFIER, service);
            }
            if let Some(seconds) = self.time_usage {
                group.u32(&dict::TIME_USAGE, seconds);
            }
        });
    }
}

impl<'a> FromAvp<'a> for ServiceData {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}
