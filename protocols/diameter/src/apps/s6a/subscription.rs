//! Subscription-Data 1400 (TS 29.272 section 7.3.2): what the gateway sets.

use crate::apps::route::need_in;
use crate::apps::{FromAvp, List, enumerated};
use crate::codec::{Avp, AvpError, Writer};
use crate::dictionary::{self as dict, key};

enumerated! {
    /// Subscriber-Status 1424 (TS 29.272 section 7.3.29).
    SubscriberStatus, "a Subscriber-Status" {
        /// Service is granted.
        ServiceGranted = 0,
        /// Barred as Operator-Determined-Barring says.
        OperatorDeterminedBarring = 1,
    }
}

enumerated! {
    /// Network-Access-Mode 1417 (TS 29.272 section 7.3.21).
    NetworkAccessMode, "a Network-Access-Mode" {
        /// Packets and circuits.
        PacketAndCircuit = 0,
        /// Reserved by the standard.
        Reserved = 1,
        /// Packets only.
        OnlyPacket = 2,
    }
}

enumerated! {
    /// PDN-Type 1456 (TS 29.272 section 7.3.62).
    PdnType, "a PDN-Type" {
        /// IPv4.
        Ipv4 = 0,
        /// IPv6.
        Ipv6 = 1,
        /// Both at once.
        Ipv4v6 = 2,
        /// One of them.
        Ipv4OrIpv6 = 3,
    }
}

/// Digits in an MSISDN, at most (ITU-T E.164).
const MSISDN_DIGITS_MAX: usize = 15;

/// MSISDN 701: 1 to 15 digits, TBCD on the wire (TS 29.329 section 6.3.2,
/// TS 29.002).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Msisdn {
    digits: [u8; MSISDN_DIGITS_MAX + 1],
    length: u8,
}

impl Msisdn {
    /// From digits without a plus sign; `None` unless 1 to 15 of them.
    pub fn new(text: &str) -> Option<Self> {
        let good = (1..=MSISDN_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        if !good {
            return None;
        }
        let mut digits = [0; MSISDN_DIGITS_MAX + 1];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { digits, length: text.len() as u8 })
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.length)]).unwrap_or_default()
    }

    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let bad = || avp.value_error("an MSISDN in TBCD");
        let mut digits = [0; MSISDN_DIGITS_MAX + 1];
        let mut length = 0;
        for (at, octet) in avp.octets().iter().enumerate() {
            let last = at + 1 == avp.octets().len();
            for (half, nibble) in [octet & 0x0f, octet >> 4].into_iter().enumerate() {
                // a filler closes an odd number of digits
                if nibble == 0x0f && half == 1 && last {
                    continue;
                }
                if nibble > 9 || length >= MSISDN_DIGITS_MAX {
                    return Err(bad());
                }
                digits[length] = b'0' + nibble;
                length += 1;
            }
        }
        if length == 0 {
            return Err(bad());
        }
        Ok(Self { digits, length: length as u8 })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let mut octets = [0; MSISDN_DIGITS_MAX.div_ceil(2)];
        let digits = &self.digits[..usize::from(self.length)];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
            let high = pair.get(1).map_or(0x0f, |digit| digit - b'0');
            *octet = high << 4 | (pair[0] - b'0');
        }
        writer.octets(&dict::MSISDN, &octets[..digits.len().div_ceil(2)]);
    }
}

impl std::fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Msisdn").field(&self.as_str()).finish()
    }
}

/// AMBR 1435: the most that all sessions use together, bits per second
/// (TS 29.272 section 7.3.41).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ambr {
    /// Max-Requested-Bandwidth-UL 516.
    pub uplink: u32,
    /// Max-Requested-Bandwidth-DL 515.
    pub downlink: u32,
}

impl Ambr {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let members = avp.grouped()?;
        let uplink = members.find(key::MAX_REQUESTED_BANDWIDTH_UL);
        let downlink = members.find(key::MAX_REQUESTED_BANDWIDTH_DL);
        Ok(Self {
            uplink: need_in(avp, uplink, &dict::MAX_REQUESTED_BANDWIDTH_UL)?.u32()?,
            downlink: need_in(avp, downlink, &dict::MAX_REQUESTED_BANDWIDTH_DL)?.u32()?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::AMBR, |group| {
            group
                .u32(&dict::MAX_REQUESTED_BANDWIDTH_UL, self.uplink)
                .u32(&dict::MAX_REQUESTED_BANDWIDTH_DL, self.downlink);
        });
    }
}

/// APN-Configuration 1430 (TS 29.272 section 7.3.35).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApnConfiguration<'a> {
    /// Context-Identifier 1423: 1 to 50, unlike the others'.
    pub context_identifier: u32,
    /// PDN-Type 1456.
    pub pdn_type: PdnType,
    /// Service-Selection 493: the APN.
    pub service_selection: &'a str,
    /// QoS-Class-Identifier 1028: 9 is best effort.
    pub qci: Option<i32>,
    /// Priority-Level 1046: 1, the highest, to 15.
    pub priority_level: Option<u32>,
    /// AMBR 1435 of this APN.
    pub ambr: Option<Ambr>,
}

impl<'a> ApnConfiguration<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let (mut context_identifier, mut pdn_type, mut service_selection) = (None, None, None);
        let (mut qci, mut priority_level, mut ambr) = (None, None, None);
        avp.read_members(|member, _| {
            match member.key() {
                key::CONTEXT_IDENTIFIER => context_identifier = Some(member.u32()?),
                key::PDN_TYPE => pdn_type = Some(PdnType::read(&member)?),
                key::SERVICE_SELECTION => service_selection = Some(member.text()?),
                key::AMBR => ambr = Some(Ambr::read(&member)?),
                key::EPS_SUBSCRIBED_QOS_PROFILE => {
                    member.read_members(|part, _| {
                        match part.key() {
                            key::QOS_CLASS_IDENTIFIER => qci = Some(part.enumerated()?),
                            key::ALLOCATION_RETENTION_PRIORITY => {
                                let level = part.grouped()?.find(key::PRIORITY_LEVEL);
                                let level = need_in(&part, level, &dict::PRIORITY_LEVEL)?;
                                priority_level = Some(level.u32()?);
                            }
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
            context_identifier: need_in(avp, context_identifier, &dict::CONTEXT_IDENTIFIER)?,
            pdn_type: need_in(avp, pdn_type, &dict::PDN_TYPE)?,
            service_selection: need_in(avp, service_selection, &dict::SERVICE_SELECTION)?,
            qci,
            priority_level,
            ambr,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::APN_CONFIGURATION, |group| {
            group
                .u32(&dict::CONTEXT_IDENTIFIER, self.context_identifier)
                .i32(&dict::PDN_TYPE, self.pdn_type.value())
                .text(&dict::SERVICE_SELECTION, self.service_selection);
            if self.qci.is_some() || self.priority_level.is_some() {
                group.group(&dict::EPS_SUBSCRIBED_QOS_PROFILE, |qos| {
                    if let Some(qci) = self.qci {
                        qos.i32(&dict::QOS_CLASS_IDENTIFIER, qci);
                    }
                    if let Some(level) = self.priority_level {
                        qos.group(&dict::ALLOCATION_RETENTION_PRIORITY, |priority| {
                            priority.u32(&dict::PRIORITY_LEVEL, level);
                        });
                    }
                });
            }
            if let Some(ambr) = &self.ambr {
                ambr.write(group);
            }
        });
    }
}

/// APN-Configuration-Profile 1429 (TS 29.272 section 7.3.34).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApnProfile<'a> {
    /// Context-Identifier 1423 of the default APN.
    pub default_context: u32,
    /// All-APN-Configurations-Included-Indicator 1428: true where the list
    /// replaces what the node holds, false where it changes some of it,
    /// which Open5GS refuses.
    pub all_included: bool,
    /// APN-Configuration 1430.
    pub apns: List<'a, ApnConfiguration<'a>>,
}

impl<'a> ApnProfile<'a> {
    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let members = avp.grouped()?;
        let default = members.find(key::CONTEXT_IDENTIFIER);
        let def = &dict::ALL_APN_CONFIGURATIONS_INCLUDED_INDICATOR;
        let included = need_in(avp, members.find(def.key()), def)?;
        Ok(Self {
            default_context: need_in(avp, default, &dict::CONTEXT_IDENTIFIER)?.u32()?,
            all_included: match included.enumerated()? {
                0 => true,
                1 => false,
                _ => return Err(included.value_error("0 or 1")),
            },
            apns: List::wire(members, key::APN_CONFIGURATION),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::APN_CONFIGURATION_PROFILE, |group| {
            let indicator = i32::from(!self.all_included);
            group
                .u32(&dict::CONTEXT_IDENTIFIER, self.default_context)
                .i32(&dict::ALL_APN_CONFIGURATIONS_INCLUDED_INDICATOR, indicator);
            self.apns.each(|apn| apn.write(group));
        });
    }
}

/// Subscription-Data 1400: what is absent stays as the node has it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SubscriptionData<'a> {
    /// Subscriber-Status 1424.
    pub subscriber_status: Option<SubscriberStatus>,
    /// Operator-Determined-Barring 1425: bit 0 bars all packet services.
    pub operator_determined_barring: Option<u32>,
    /// MSISDN 701.
    pub msisdn: Option<Msisdn>,
    /// Network-Access-Mode 1417.
    pub network_access_mode: Option<NetworkAccessMode>,
    /// Access-Restriction-Data 1426: one bit for each access that is barred.
    pub access_restriction: Option<u32>,
    /// 3GPP-Charging-Characteristics 13: four hexadecimal digits.
    pub charging_characteristics: Option<&'a str>,
    /// AMBR 1435 of the whole subscription.
    pub ambr: Option<Ambr>,
    /// Subscribed-Periodic-RAU-TAU-Timer 1619, seconds.
    pub periodic_tau_timer: Option<u32>,
    /// APN-Configuration-Profile 1429.
    pub apn_profile: Option<ApnProfile<'a>>,
}

impl<'a> SubscriptionData<'a> {
    pub(super) fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let mut data = Self::default();
        avp.read_members(|member, _| {
            match member.key() {
                key::SUBSCRIBER_STATUS => {
                    data.subscriber_status = Some(SubscriberStatus::read(&member)?);
                }
                key::OPERATOR_DETERMINED_BARRING => {
                    data.operator_determined_barring = Some(member.u32()?);
                }
                key::MSISDN => data.msisdn = Some(Msisdn::read(&member)?),
                key::NETWORK_ACCESS_MODE => {
                    data.network_access_mode = Some(NetworkAccessMode::read(&member)?);
                }
                key::ACCESS_RESTRICTION_DATA => data.access_restriction = Some(member.u32()?),
                key::TGPP_CHARGING_CHARACTERISTICS => {
                    data.charging_characteristics = Some(member.text()?);
                }
                key::AMBR => data.ambr = Some(Ambr::read(&member)?),
                key::SUBSCRIBED_PERIODIC_RAU_TAU_TIMER => {
                    data.periodic_tau_timer = Some(member.u32()?);
                }
                key::APN_CONFIGURATION_PROFILE => {
                    data.apn_profile = Some(ApnProfile::read(&member)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(data)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::SUBSCRIPTION_DATA, |group| {
            if let Some(status) = self.subscriber_status {
                group.i32(&dict::SUBSCRIBER_STATUS, status.value());
            }
            if let Some(msisdn) = &self.msisdn {
                msisdn.write(group);
            }
            if let Some(mode) = self.network_access_mode {
                group.i32(&dict::NETWORK_ACCESS_MODE, mode.value());
            }
            let numbers = [
                (&dict::OPERATOR_DETERMINED_BARRING, self.operator_determined_barring),
                (&dict::ACCESS_RESTRICTION_DATA, self.access_restriction),
                (&dict::SUBSCRIBED_PERIODIC_RAU_TAU_TIMER, self.periodic_tau_timer),
            ];
            for (def, value) in numbers {
                if let Some(value) = value {
                    group.u32(def, value);
                }
            }
            if let Some(text) = self.charging_characteristics {
                group.text(&dict::TGPP_CHARGING_CHARACTERISTICS, text);
            }
            if let Some(ambr) = &self.ambr {
                ambr.write(group);
            }
            if let Some(profile) = &self.apn_profile {
                profile.write(group);
            }
        });
    }
}

impl<'a> FromAvp<'a> for ApnConfiguration<'a> {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}
