//! Units of service: requested, granted, used (RFC 8506 sections 8.17 to 8.27).

use crate::apps::route::need;
use crate::apps::{FromAvp, enumerated};
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

    pub(super) fn read_group(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let mut units = Self::default();
        for member in avp.grouped()? {
            units.read(&member)?;
        }
        Ok(units)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        if let Some(seconds) = self.time {
            writer.u32(&dict::CC_TIME, seconds);
        }
        if let Some(money) = self.money {
            writer.group(&dict::CC_MONEY, |group| money.write(group));
        }
        let octets = [
            (&dict::CC_TOTAL_OCTETS, self.total_octets),
            (&dict::CC_INPUT_OCTETS, self.input_octets),
            (&dict::CC_OUTPUT_OCTETS, self.output_octets),
            (&dict::CC_SERVICE_SPECIFIC_UNITS, self.service_specific),
        ];
        for (def, value) in octets {
            if let Some(value) = value {
                writer.u64(def, value);
            }
        }
    }

    pub(super) fn write_group(&self, def: &AvpDef, writer: &mut Writer<'_>) {
        writer.group(def, |group| self.write(group));
    }
}

impl Money {
    /// Reads CC-Money and Cost-Information alike.
    pub(super) fn read(avp: &Avp<'_>) -> Result<Self, AvpError> {
        let (mut digits, mut exponent, mut currency) = (None, 0, None);
        for member in avp.grouped()? {
            match member.key() {
                key::UNIT_VALUE => {
                    for part in member.grouped()? {
                        match part.key() {
                            key::VALUE_DIGITS => digits = Some(part.i64()?),
                            key::EXPONENT => exponent = part.i32()?,
                            _ => {}
                        }
                    }
                }
                key::CURRENCY_CODE => currency = Some(member.u32()?),
                _ => {}
            }
        }
        Ok(Self { digits: need(digits, &dict::VALUE_DIGITS)?, exponent, currency })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::UNIT_VALUE, |group| {
            group.i64(&dict::VALUE_DIGITS, self.digits);
            if self.exponent != 0 {
                group.i32(&dict::EXPONENT, self.exponent);
            }
        });
        if let Some(currency) = self.currency {
            writer.u32(&dict::CURRENCY_CODE, currency);
        }
    }
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
        for member in avp.grouped()? {
            match member.key() {
                key::REPORTING_REASON => {
                    used.reporting_reason = Some(ReportingReason::read(&member)?);
                }
                key::TARIFF_CHANGE_USAGE => {
                    used.tariff_change_usage = Some(TariffChangeUsage::read(&member)?);
                }
                _ => used.units.read(&member)?,
            }
        }
        Ok(used)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::USED_SERVICE_UNIT, |group| {
            if let Some(reason) = self.reporting_reason {
                group.i32(&dict::REPORTING_REASON, reason.value());
            }
            if let Some(side) = self.tariff_change_usage {
                group.i32(&dict::TARIFF_CHANGE_USAGE, side.value());
            }
            self.units.write(group);
        });
    }
}

impl<'a> FromAvp<'a> for UsedUnit {
    fn from_avp(avp: &Avp<'a>) -> Result<Self, AvpError> {
        Self::read(avp)
    }
}
