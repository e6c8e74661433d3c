//! What a line costs: plans, prices, allowances and quota policy, as data.
//!
//! Owns the shape of a tariff, its versions and its checks, what a number of octets
//! costs, and when a window of the day is open. Does **not** own how a record is
//! priced ([`crate::domain::rating`]) or how a month is charged
//! ([`crate::domain::billing`]).
//!
//! Invariants: tiers ascend from 0 octets; a boundary octet belongs to one tier
//! (the one that starts there); a window is half-open; a version that holds is never
//! changed; megabyte and kilobyte are decimal; amounts are in minor units, and only
//! [`Price::of_total`] rounds one.

mod allowance;
mod book;
mod check;
mod clock;
mod price;
mod quota;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use allowance::{Allowance, BitRates, Reach, Rollover, ShareOf, Threshold, ThresholdAction};
pub use book::{SharedTariff, TariffBook, TariffSource, Version};
pub use check::{BadTariff, Fault};
pub use clock::{Clock, Day, Window};
pub use price::{
    Block, Circumstances, Conditions, HOME, MAIN_COUNTER, Price, PriceRule, Tier, UsagePrice, counter_key,
};
pub use quota::{AddressType, FinalUnit, QuotaPolicy, RedirectTo, RestrictTo};

use super::ids::{Apn, PlanId};
use super::line::Access;
use super::money::{Currency, round_half_away};
use super::network::{Plmn, ZoneMember};
use super::time::Timestamp;
use super::usage::UsageSource;

/// One version of the price list, in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Rises with every change; kept in each rated record.
    pub version: u32,
    /// From when on it holds; [`Tariff::BEGINNING`] where it says nothing.
    #[serde(default = "beginning", with = "instant", skip_serializing_if = "is_beginning")]
    pub effective_from: Timestamp,
    /// What every price in it is in.
    pub currency: Currency,
    /// Value-added tax in percent of the net amount, 0 to 100.
    pub tax_percent: u8,
    /// IANA name of the zone that windows are in; UTC where it says nothing.
    #[serde(default = "utc", with = "jiff::fmt::serde::tz::required")]
    pub time_zone: TimeZone,
    /// Local days that count as [`Day::Holiday`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<Date>,
    /// Windows of the day by name.
    #[serde(default, rename = "window", skip_serializing_if = "BTreeMap::is_empty")]
    pub windows: BTreeMap<String, Window>,
    /// Roaming zones by name.
    #[serde(default, rename = "zone", skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, Vec<ZoneMember>>,
    /// The plans by id.
    #[serde(rename = "plan")]
    pub plans: BTreeMap<PlanId, Plan>,
}

/// One plan: what a customer subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// For documents, in the customer's language.
    pub name: String,
    /// Settlement product, such as `iot`.
    pub product: String,
    /// Business department that the revenue belongs to.
    pub department: String,
    /// The kind of line it can be on.
    pub access: Access,
    /// APNs whose usage it accumulates; empty for lines without usage.
    #[serde(default)]
    pub apns: Vec<Apn>,
    /// Charged for each cycle, prorated by days, in minor units.
    pub monthly_fee: i64,
    /// Charged once in the cycle of the activation, in minor units.
    #[serde(default)]
    pub activation_fee: i64,
    /// More fees beside the two.
    #[serde(default, rename = "fee", skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<Fee>,
    /// How much of a monthly fee a suspended day is charged, percent, 0 to 100.
    #[serde(default)]
    pub suspended_percent: u8,
    /// Who charges usage: the first source of a cycle (`auto`), or a named one.
    #[serde(default)]
    pub source: ChargingSource,
    /// How usage is priced; absent on lines without usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsagePrice>,
    /// How quota is granted on Gy.
    #[serde(default)]
    pub quota: QuotaPolicy,
}

/// A fee beside the monthly and the activation fee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// For documents, in the customer's language.
    pub name: String,
    /// Minor units, 0 or more.
    pub amount: i64,
    /// When it is charged.
    pub charged: FeeTime,
}

/// When a fee is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeeTime {
    /// For each cycle, prorated by days like the monthly fee.
    Monthly,
    /// Once, in the cycle of the activation.
    Once,
}

/// Which source's records move money (the others are reconciled).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChargingSource {
    /// The source that reports first in a cycle charges the line in that cycle.
    #[default]
    Auto,
    /// Diameter credit control.
    Gy,
    /// Diameter offline charging.
    Rf,
    /// The modem's own counters over MQTT.
    Modem,
    /// Charging files.
    File,
}

impl ChargingSource {
    /// The source that it names; `None` for [`ChargingSource::Auto`].
    pub fn fixed(self) -> Option<UsageSource> {
        match self {
            ChargingSource::Auto => None,
            ChargingSource::Gy => Some(UsageSource::Gy),
            ChargingSource::Rf => Some(UsageSource::Rf),
            ChargingSource::Modem => Some(UsageSource::Modem),
            ChargingSource::File => Some(UsageSource::File),
        }
    }
}

impl Tariff {
    /// Before every real time.
    pub const BEGINNING: Timestamp = Timestamp(i64::MIN);

    /// A version without plans that holds from the beginning, in UTC.
    pub fn empty(version: u32, currency: Currency, tax_percent: u8) -> Self {
        Self {
            version,
            effective_from: Self::BEGINNING,
            currency,
            tax_percent,
            time_zone: TimeZone::UTC,
            holidays: Vec::new(),
            windows: BTreeMap::new(),
            zones: BTreeMap::new(),
            plans: BTreeMap::new(),
        }
    }

    /// The plan of that name.
    pub fn plan(&self, id: &PlanId) -> Option<&Plan> {
        self.plans.get(id)
    }

    /// Tax on a net amount by the named rounding rule.
    pub fn tax_on(&self, net: i64) -> i64 {
        round_half_away(i128::from(net) * i128::from(self.tax_percent), 100)
    }

    /// What local time is.
    pub fn clock(&self) -> Clock<'_> {
        Clock { zone: &self.time_zone, holidays: &self.holidays }
    }

    /// Whether a zone has that name and network.
    pub fn is_in_zone(&self, zone: &str, network: Plmn) -> bool {
        self.zones.get(zone).is_some_and(|members| members.iter().any(|m| m.contains(network)))
    }

    /// Whether any zone names the network.
    pub fn is_roaming(&self, network: Plmn) -> bool {
        self.zones.values().flatten().any(|member| member.contains(network))
    }
}

/// Names for a message.
fn named<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn beginning() -> Timestamp {
    Tariff::BEGINNING
}

fn is_beginning(at: &Timestamp) -> bool {
    *at == Tariff::BEGINNING
}

fn utc() -> TimeZone {
    TimeZone::UTC
}

/// RFC 3339 text.
mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        Timestamp::parse(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}
