//! Units of service: requested, granted, used (RFC 8506 sections 8.17 to 8.27).

use crate::apps::route::need_in;
use crate::apps::{FromAvp, List, enumerated};
use crate::codec::{Avp, AvpError, Writer};
use crate::dictionary::{self as dict, AvpDef, key};

enumerated! {
    /// Why usage is reported: Reporting-Reason 872 (TS 32.299).
    ReportingReason, "a Reporting-Reason" {
        /// The threshold of the quota was reached.
        Threshold = 0,
        /// No traffic for Quota-Holding-Time.
        QuotaHoldingTime = 1,
        /// The service ends: the session or the bearer does.
        Final = 2,
        /// The quota is used up.
        QuotaExhausted = 3,
        /// Validity-Time ran out.
        ValidityTime = 4,
        /// Another type of quota of the same grant is used up.
        OtherQuotaType = 5,
        /// The conditions of rating changed, such as RAT or tariff.
        RatingConditionChange = 6,
        /// We asked for it with a Re-Auth-Request.
        ForcedReauthorisation = 7,
        /// The pool of credit is used up.
        PoolExhausted = 8,
        /// The threshold for unused quota timer was reached.
        UnusedQuotaTimer = 9,
    }
}

enumerated! {
    /// On which side of a tariff change the units were used:
    /// Tariff-Change-Usage 452 (RFC 8506 section 8.27).
    TariffChangeUsage, "a Tariff-Change-Usage" {
        /// Before it.
        Before = 0,
        /// After it.
        After = 1,
        /// It cannot be told.
        Indeterminate = 2,
    }
}

enumerated! {
    /// What a pool counts: CC-Unit-Type 454 (RFC 8506 section 8.32).
    CcUnitType, "a CC-Unit-Type" {
        /// Seconds.
        Time = 0,
        /// Money.
        Money = 1,
        /// Octets in both directions.
        TotalOctets = 2,
        /// Octets from the user.
        InputOctets = 3,
        /// Octets to the user.
        OutputOctets = 4,
        /// What the service counts.
        ServiceSpecificUnits = 5,
    }
}

/// G-S-U-Pool-Reference 457: the grant comes out of a pool of credit that
/// several services share (RFC 8506 section 8.30).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolReference {
    /// G-S-U-Pool-Identifier 453.
    pub identifier: u32,
    /// CC-Unit-Type 454.
    pub unit_type: CcUnitType,
    /// Value-Digits 447: what one unit of the service takes from the pool.
    pub digits: i64,
    /// Exponent 429 of it, 0 where it does not come.
    pub exponent: i32,
}

/// An amount of money: digits × 10^exponent (RFC 8506 sections 8.8 and 8.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// Value-Digits 447.
    pub digits: i64,
    /// Exponent 429, 0 where it does not come.
    pub exponent: i32,
    /// Currency-Code 425, numeric ISO 4217 (410 is KRW).
    pub currency: Option<u32>,
}

/// Amounts of service. All absent in a Requested-Service-Unit means that the
/// server decides (RFC 8506 section 8.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// CC-Time 420, seconds.
    pub time: Option<u32>,
    /// CC-Total-Octets 421.
    pub total_octets: Option<u64>,
    /// CC-Input-Octets 412: from the user.
    pub input_octets: Option<u64>,
    /// CC-Output-Octets 414: to the user.
    pub output_octets: Option<u64>,
    /// CC-Service-Specific-Units 417.
    pub service_specific: Option<u64>,
    /// CC-Money 413.
    pub money: Option<Money>,
}

impl Units {
    /// Octets in both directions together.
    pub const fn octets(total: u64) -> Self {
        Self {
            total_octets: Some(total),
            time: None,
            input_octets: None,
            output_octets: None,
            service_specific: None,
            money: None,
        }
    }

    /// True where no amount is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read(&mut self, avp: &Avp<'_>) -> Result<(), AvpError> {
        match avp.key() {
            key::CC_TIME => self.time = Some(avp.u32()?),
            key::CC_TOTAL_OCTETS => self.total_octets = Some(avp.u64()?),
            key::CC_INPUT_OCTETS => self.input_octets = Some(avp.u64()?),
            key::CC_OUTPUT_OCTETS => self.output_octets = Some(avp.u64()?),
            key::CC_SERVICE_SPECIFIC_UNITS => self.service_specific = Some(avp.u64()?),
            key::CC_MONEY => self.money = Some(Money::read(avp)?),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn read_group(&mut self, avp: &Avp<'_>) -> Result<(), AvpError> {
        avp.read_members(|member, _| self.read(&member))
    }

    #[inline]
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.some_u32(&dict::CC_TIME, self.time);
        if let Some(money) = self.money {
            writer.group(&dict::CC_MONEY, |group| money.write(group));
        }
        writer
            .some_u64(&dict::CC_TOTAL_OCTETS, self.total_octets)
            .some_u64(&dict::CC_INPUT_OCTETS, self.input_octets)
            .some_u64(&dict::CC_OUTPUT_OCTETS, self.output_octets)
            .some_u64(&dict::CC_SERVICE_SPECIFIC_UNITS, self.service_specific);
    }

    pub(super) fn write_group(&self, def: &AvpDef, writer: &mut Writer<'_>) {
        writer.group(def, |group| self.write(group));
    }
}

impl Money {
    /// Reads CC-Money, Cost-Information and Remaining-Balance alike.
    pub(super) fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let (mut value, mut currency) = (None, None);
        avp.read_members(|member, _| {
            match member.key() {
                key::UNIT_VALUE => value = Some(read_unit_value(&member)?),
                key::CURRENCY_CODE => currency = Some(member.u32()?),
                _ => {}
            }
            Ok(())
        })?;
        let (digits, exponent) = need_in(avp, value, &dict::UNIT_VALUE)?;
        Ok(Self { digits, exponent, currency })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        write_unit_value(self.digits, self.exponent, writer);
        writer.some_u32(&dict::CURRENCY_CODE, self.currency);
    }
}

/// Digits and exponent of a Unit-Value 445 (RFC 8506 section 8.8).
fn read_unit_value(avp: &Avp<'_>) -> Result<(i64, i32), AvpError> {
    let (mut digits, mut exponent) = (None, 0);
    avp.read_members(|member, _| {
        match member.key() {
            key::VALUE_DIGITS => digits = Some(member.i64()?),
            key::EXPONENT => exponent = member.i32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((need_in(avp, digits, &dict::VALUE_DIGITS)?, exponent))
}

fn write_unit_value(digits: i64, exponent: i32, writer: &mut Writer<'_>) {
    writer.group(&dict::UNIT_VALUE, |group| {
        group.i64(&dict::VALUE_DIGITS, digits);
        group.some_i32(&dict::EXPONENT, (exponent != 0).then_some(exponent));
    });
}

impl PoolReference {
    fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let (mut identifier, mut unit_type, mut value) = (None, None, None);
        avp.read_members(|member, _| {
            match member.key() {
                key::G_S_U_POOL_IDENTIFIER => identifier = Some(member.u32()?),
                key::CC_UNIT_TYPE => unit_type = Some(CcUnitType::read(&member)?),
                key::UNIT_VALUE => value = Some(read_unit_value(&member)?),
                _ => {}
            }
            Ok(())
        })?;
        let (digits, exponent) = need_in(avp, value, &dict::UNIT_VALUE)?;
        Ok(Self {
            identifier: need_in(avp, identifier, &dict::G_S_U_POOL_IDENTIFIER)?,
            unit_type: need_in(avp, unit_type, &dict::CC_UNIT_TYPE)?,
            digits,
            exponent,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::G_S_U_POOL_REFERENCE, |group| {
            group.u32(&dict::G_S_U_POOL_IDENTIFIER, self.identifier).i32(&dict::CC_UNIT_TYPE, self.unit_type.value());
            write_unit_value(self.digits, self.exponent, group);
        });
    }
}

impl<'a> FromAvp<'a> for PoolReference {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}

/// Trigger 1264: the Trigger-Types 870 of it (TS 32.299 section 7.2). In an
/// answer they are the events at which the client asks again, and an empty
/// one switches all of them off.
pub(super) fn read_trigger<'a>(avp: &Avp<'a>) -> Result<List<'a, i32>, AvpError> {
    let mut types = List::EMPTY;
    avp.read_members(|member, from| {
        if member.key() == key::TRIGGER_TYPE {
            types.came(from);
        }
        Ok(())
    })?;
    Ok(types)
}

pub(super) fn write_trigger(types: &List<'_, i32>, writer: &mut Writer<'_>) {
    writer.group(&dict::TRIGGER, |group| {
        types.each(|kind| {
            group.i32(&dict::TRIGGER_TYPE, *kind);
        });
    });
}

/// One Used-Service-Unit 446 (RFC 8506 section 8.19, TS 32.299).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsedUnit {
    /// What was used since the last report.
    pub units: Units,
    /// Reporting-Reason 872, where it applies to this unit type only.
    pub reporting_reason: Option<ReportingReason>,
    /// Tariff-Change-Usage 452.
    pub tariff_change_usage: Option<TariffChangeUsage>,
}

impl UsedUnit {
    pub(super) fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut used = Self::default();
        avp.read_members(|member, _| {
            match member.key() {
                key::REPORTING_REASON => {
                    used.reporting_reason = Some(ReportingReason::read(&member)?);
                }
                key::TARIFF_CHANGE_USAGE => {
                    used.tariff_change_usage = Some(TariffChangeUsage::read(&member)?);
                }
                _ => used.units.read(&member)?,
            }
            Ok(())
        })?;
        Ok(used)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::USED_SERVICE_UNIT, |group| {
            group
                .some_i32(&dict::REPORTING_REASON, self.reporting_reason.map(ReportingReason::value))
                .some_i32(&dict::TARIFF_CHANGE_USAGE, self.tariff_change_usage.map(TariffChangeUsage::value));
            self.units.write(group);
        });
    }
}

impl<'a> FromAvp<'a> for UsedUnit {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}
