//! What a line costs: plans, prices, allowances and quota policy, as data.
//!
//! Owns the shape of a tariff and its checks. Does **not** own how a record is
//! priced ([`crate::domain::rating`]) or how a month is charged
//! ([`crate::domain::billing`]).
//!
//! Invariants: tiers ascend from 0 octets; a boundary octet belongs to one tier
//! (the one that starts there); megabyte and kilobyte are decimal.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Apn, PlanId};
use super::line::Access;
use super::money::{Currency, round_half_away};
use super::usage::UsageSource;

/// A versioned price list in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Rises with every change; kept in each rated record.
    pub version: u32,
    /// What every price in it is in.
    pub currency: Currency,
    /// Value-added tax in percent of the net amount, 0 to 100.
    pub tax_percent: u8,
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
    /// Whether suspended days are charged the monthly fee.
    #[serde(default)]
    pub charge_suspended_days: bool,
    /// Who charges usage: the first source of a cycle (`auto`), or a named one.
    #[serde(default)]
    pub source: ChargingSource,
    /// How usage is priced; absent on lines without usage.
    #[serde(default)]
    pub usage: Option<UsagePrice>,
    /// How quota is granted on Gy.
    #[serde(default)]
    pub quota: QuotaPolicy,
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

/// Graduated price of a cycle's octets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsagePrice {
    /// Ascending by `from_octets`, the first at 0.
    #[serde(rename = "tier")]
    pub tiers: Vec<Tier>,
    /// No quota is granted past this total of a cycle (final unit).
    #[serde(default)]
    pub cap_octets: Option<u64>,
}

/// From `from_octets` of the cycle's total on, each started block of
/// `per_octets` costs `price`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// First octet of the tier, counted from the cycle's start.
    pub from_octets: u64,
    /// Minor units for a block; 0 is an allowance.
    pub price: i64,
    /// Block size; a block started is a block charged. 1 prices each octet.
    pub per_octets: u64,
}

impl UsagePrice {
    /// What `total_octets` of one cycle cost, in minor units. A charge is the
    /// difference of two of these, so splitting a record changes nothing.
    pub fn price_of(&self, total_octets: u64) -> i64 {
        self.tiers
            .iter()
            .enumerate()
            .map(|(i, tier)| {
                let until = self.tiers.get(i + 1).map_or(u64::MAX, |next| next.from_octets);
                let inside = total_octets.min(until).saturating_sub(tier.from_octets);
                let blocks = inside.div_ceil(tier.per_octets);
                i64::try_from(i128::from(blocks) * i128::from(tier.price)).expect("amounts stay inside 64 bits")
            })
            .sum()
    }

    /// Octets of the cycle that cost nothing before the first priced tier.
    pub fn allowance_octets(&self) -> u64 {
        match self.tiers.iter().find(|t| t.price != 0) {
            Some(first_priced) => first_priced.from_octets,
            None => self.cap_octets.unwrap_or(u64::MAX),
        }
    }
}

/// How much is granted at once, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaPolicy {
    /// Largest grant for one rating group, octets.
    pub slice_octets: u64,
    /// Validity-Time of a grant, seconds, at least 1 (RFC 8506 section 8.33).
    pub validity_s: u32,
    /// Volume-Quota-Threshold as a share of the grant, percent, 0 to 99.
    pub threshold_percent: u8,
    /// Quota-Holding-Time, seconds; 0 leaves it out (TS 32.299 section 7.2.143).
    pub holding_s: u32,
    /// What the client does once the last grant under the cap is used up.
    pub final_unit: FinalUnit,
}

/// What a client does after the final unit (RFC 8506 section 5.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum FinalUnit {
    /// Ends the service.
    #[default]
    Terminate,
    /// Sends the user there.
    Redirect(RedirectTo),
    /// Lets only some traffic through.
    Restrict(RestrictTo),
}

/// Where a user without credit is sent (RFC 8506 section 8.37).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedirectTo {
    /// What kind of address it is.
    pub address_type: AddressType,
    /// The address.
    pub address: String,
}

/// Redirect-Address-Type (RFC 8506 section 8.38).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressType {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A URL.
    Url,
    /// A SIP URI.
    SipUri,
}

/// Traffic that goes on without credit (RFC 8506 section 5.6.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestrictTo {
    /// Names of filters that the client holds (Filter-Id).
    pub filter_ids: Vec<String>,
    /// IPFilterRules (Restriction-Filter-Rule).
    pub rules: Vec<String>,
}

impl FinalUnit {
    /// What is wrong with it, where something is.
    fn fault(&self) -> Option<&'static str> {
        match self {
            FinalUnit::Terminate => None,
            FinalUnit::Redirect(to) => {
                let fits = match to.address_type {
                    AddressType::Ipv4 => to.address.parse::<std::net::Ipv4Addr>().is_ok(),
                    AddressType::Ipv6 => to.address.parse::<std::net::Ipv6Addr>().is_ok(),
                    AddressType::Url => {
                        to.address.split_once("://").is_some_and(|(s, rest)| !s.is_empty() && !rest.is_empty())
                    }
                    AddressType::SipUri => to.address.starts_with("sip:") || to.address.starts_with("sips:"),
                };
                (!fits).then_some("quota.final_unit redirects to an address that is not of its address_type")
            }
            FinalUnit::Restrict(to) if to.filter_ids.is_empty() && to.rules.is_empty() => {
                Some("quota.final_unit restricts without filter_ids or rules")
            }
            FinalUnit::Restrict(to) => {
                let reads = |rule: &String| {
                    (rule.starts_with("permit ") || rule.starts_with("deny ")) && rule.contains(" from ")
                };
                let good = to.rules.iter().all(reads) && to.filter_ids.iter().all(|id| !id.is_empty());
                (!good).then_some("quota.final_unit has an empty filter id or a rule that is no IPFilterRule")
            }
        }
    }
}

impl Default for QuotaPolicy {
    fn default() -> Self {
        Self {
            slice_octets: 1_000_000,
            validity_s: 3600,
            threshold_percent: 20,
            holding_s: 0,
            final_unit: FinalUnit::Terminate,
        }
    }
}

impl Tariff {
    /// The plan of that name.
    pub fn plan(&self, id: &PlanId) -> Option<&Plan> {
        self.plans.get(id)
    }

    /// Tax on a net amount by the named rounding rule.
    pub fn tax_on(&self, net: i64) -> i64 {
        round_half_away(i128::from(net) * i128::from(self.tax_percent), 100)
    }

    /// Checks what the types cannot say; the first fault found.
    pub fn check(&self) -> Result<(), BadTariff> {
        let fault = |plan: &PlanId, reason: &'static str| Err(BadTariff { plan: plan.clone(), reason });
        if self.tax_percent > 100 {
            return fault(&PlanId::from("*"), "tax_percent is over 100");
        }
        for (id, plan) in &self.plans {
            if plan.monthly_fee < 0 || plan.activation_fee < 0 {
                return fault(id, "a fee is negative");
            }
            if plan.quota.validity_s == 0 || plan.quota.slice_octets == 0 || plan.quota.threshold_percent > 99 {
                return fault(id, "quota needs validity_s and slice_octets above 0 and threshold_percent under 100");
            }
            if let Some(reason) = plan.quota.final_unit.fault() {
                return fault(id, reason);
            }
            let Some(usage) = &plan.usage else { continue };
            if usage.tiers.first().is_none_or(|t| t.from_octets != 0) {
                return fault(id, "the first tier does not start at 0 octets");
            }
            if usage.tiers.windows(2).any(|w| w[0].from_octets >= w[1].from_octets) {
                return fault(id, "tiers do not ascend");
            }
            if usage.tiers.iter().any(|t| t.per_octets == 0 || t.price < 0) {
                return fault(id, "a tier has a block of 0 octets or a negative price");
            }
            if plan.apns.is_empty() {
                return fault(id, "usage is priced but no APN is named");
            }
        }
        Ok(())
    }
}

/// A tariff that cannot be charged by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tariff: plan `{plan}`: {reason}")]
pub struct BadTariff {
    /// The plan at fault.
    pub plan: PlanId,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The tariff in force, shared by shards and services.
pub type SharedTariff = Arc<Tariff>;

#[cfg(test)]
mod tests {
    use super::*;

    fn price(tiers: &[(u64, i64, u64)]) -> UsagePrice {
        UsagePrice {
            tiers: tiers
                .iter()
                .map(|&(from_octets, price, per_octets)| Tier { from_octets, price, per_octets })
                .collect(),
            cap_octets: None,
        }
    }

    #[test]
    fn a_boundary_octet_belongs_to_one_tier() {
        let ten_mb_then_overage = price(&[(0, 0, 1), (10_000_000, 11, 100_000)]);
        let table = [(0, 0), (1, 0), (10_000_000, 0), (10_000_001, 11), (10_100_000, 11), (10_100_001, 22)];
        for (octets, won) in table {
            assert_eq!(ten_mb_then_overage.price_of(octets), won, "{octets} octets");
        }
        assert_eq!(ten_mb_then_overage.allowance_octets(), 10_000_000);
    }

    #[test]
    fn started_blocks_are_charged_whole() {
        let payg = price(&[(0, 3, 100_000)]);
        for (octets, won) in [(0, 0), (1, 3), (100_000, 3), (100_001, 6), (1_000_000, 30)] {
            assert_eq!(payg.price_of(octets), won, "{octets} octets");
        }
    }
}
