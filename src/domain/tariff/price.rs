//! What usage costs: an ordered list of prices, the first that fits applies.
//!
//! Each price counts its octets in a counter of the line's cycle, and a charge is
//! the price of the counter after the usage minus the price before it. So a record
//! costs the same in one piece or in a hundred, and a rounded part is never lost:
//! only totals are rounded, in [`Price::of_total`].

use serde::{Deserialize, Serialize};

use super::allowance::{Allowance, Reach, Threshold};
use super::clock::Window;
use super::{Tariff, named};
use crate::domain::ids::Apn;
use crate::domain::money::{Rate, Ratio};
use crate::domain::network::Plmn;
use crate::domain::time::Timestamp;
use crate::domain::usage::Direction;

/// How a plan's usage is priced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written")]
pub struct UsagePrice {
    /// In order: the first whose conditions hold prices the usage.
    #[serde(rename = "price")]
    pub rules: Vec<PriceRule>,
    /// No quota is granted past this total of a cycle (final unit).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_octets: Option<u64>,
    /// Octets that are paid for with the fee: used up before a price counts.
    #[serde(rename = "allowance", skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<Allowance>,
    /// What happens as usage adds up.
    #[serde(rename = "threshold", skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
}

/// One price with its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRule {
    /// For faults; names the counter too, where no `counter` does.
    pub name: String,
    /// When it applies; absent, always.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub when: Conditions,
    /// Prices of one counter count together; absent, the price counts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<String>,
    /// What it costs.
    pub cost: Price,
}

/// What usage has to be like; each list that is absent or empty asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// On one of these APNs. Usage that names none does not fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apns: Vec<Apn>,
    /// Of one of these rating groups; sources without groups report 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rating_groups: Vec<u32>,
    /// In one direction. Usage whose source tells the sum alone does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Served in one of these zones of the tariff, or `home`: every network that
    /// no zone names, and usage whose source names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// While one of these windows of the tariff is open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
}

/// What usage is like.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The APN, where the source names one.
    pub apn: Option<&'a Apn>,
    /// Rating-Group, 0 where the source has none.
    pub rating_group: u32,
    /// The serving network, where the source names one.
    pub network: Option<Plmn>,
    /// The direction, where the source tells them apart.
    pub direction: Option<Direction>,
    /// When it was used.
    pub at: Timestamp,
}

/// The zone of every network that no zone of the tariff names.
pub const HOME: &str = "home";

/// What octets cost. Prices are in minor units, exact decimals; blocks are counted
/// from the counter's first octet, or from the first octet of the tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Price {
    /// By the octet, exactly: `price` for `octets`, and its share for a part.
    PerUnit(Block),
    /// `price` for each block of `octets` that was started.
    PerBlock(Block),
    /// The same, as a customer buys it: a fixed fee for a package of `octets`, due
    /// with the first octet out of it; the next package follows.
    Package(Block),
    /// Each tier prices the octets inside it.
    Graduated(Vec<Tier>),
    /// The tier that the total has reached prices every octet from the first one
    /// on. Reprices what was charged: for lines that pay afterwards.
    Volume(Vec<Tier>),
}

/// A price for so many octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Minor units.
    pub price: Rate,
    /// How many octets it is for, 1 or more.
    pub octets: u64,
}

/// From `from_octets` of the counter on: the boundary octet, the one after
/// `from_octets` others, belongs to this tier alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Octets below the tier.
    pub from_octets: u64,
    /// Minor units for `per_octets`; 0 is free.
    pub price: Rate,
    /// Block size, 1 or more. A block started is a block charged.
    pub per_octets: u64,
    /// Whether a part of a block costs its exact share instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
}

/// The price as it may be written: `tier` alone stands for one graduated price.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "price")]
    rules: Vec<PriceRule>,
    #[serde(default, rename = "tier")]
    tiers: Vec<Tier>,
    cap_octets: Option<u64>,
    #[serde(default, rename = "allowance")]
    allowances: Vec<Allowance>,
    #[serde(default, rename = "threshold")]
    thresholds: Vec<Threshold>,
}

impl TryFrom<Written> for UsagePrice {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let Written { mut rules, tiers, cap_octets, allowances, thresholds } = written;
        match (rules.is_empty(), tiers.is_empty()) {
            (false, false) => return Err("both `price` and `tier` are given: `tier` is short for one graduated price"),
            (true, true) => return Err("neither `price` nor `tier` is given"),
            (true, false) => rules = UsagePrice::graduated(tiers).rules,
            (false, true) => {}
        }
        Ok(Self { rules, cap_octets, allowances, thresholds })
    }
}

impl UsagePrice {
    /// One graduated price for everything, without a cap.
    pub fn graduated(tiers: Vec<Tier>) -> Self {
        let cost = Price::Graduated(tiers);
        let rule = PriceRule { name: "usage".to_owned(), when: Conditions::default(), counter: None, cost };
        Self { rules: vec![rule], cap_octets: None, allowances: Vec::new(), thresholds: Vec::new() }
    }

    /// The one price, where there is one for everything and no allowance before it.
    pub fn plain(&self) -> Option<&Price> {
        match self.rules.as_slice() {
            [only] if self.allowances.is_empty() && only.when.is_empty() && only.counter.is_none() => Some(&only.cost),
            _ => None,
        }
    }

    /// The first price that fits.
    pub fn rule_for(&self, tariff: &Tariff, usage: &Circumstances<'_>) -> Option<&PriceRule> {
        self.rules.iter().find(|rule| rule.when.hold(tariff, usage))
    }

    /// The counter of one of its prices, see [`counter_key`].
    pub fn counter_of(&self, rule: &PriceRule) -> u32 {
        match (&rule.counter, self.rules.len()) {
            (Some(counter), _) => counter_key(counter),
            (None, 1) => MAIN_COUNTER,
            (None, _) => counter_key(&rule.name),
        }
    }

    /// Whether some price or allowance depends on the direction.
    pub fn asks_direction(&self) -> bool {
        self.conditions().any(|when| when.direction.is_some())
    }

    /// Whether some price or allowance depends on the serving network.
    pub fn asks_zone(&self) -> bool {
        self.conditions().any(|when| !when.zones.is_empty())
    }

    /// The windows that its prices and allowances depend on.
    pub fn windows<'a>(&'a self, tariff: &'a Tariff) -> impl Iterator<Item = &'a Window> + Clone {
        self.conditions().flat_map(|when| &when.windows).filter_map(|name| tariff.windows.get(name))
    }

    /// Octets of the main counter that cost nothing under `price`; where all do,
    /// those up to the cap, and `u64::MAX` without one.
    pub fn free_octets(&self, price: &Price) -> u64 {
        match price.free_octets() {
            u64::MAX => self.cap_octets.unwrap_or(u64::MAX),
            free => free,
        }
    }

    /// Whether usage meets a cap or costs something: what a top-up puts off.
    pub fn has_end(&self) -> bool {
        self.cap_octets.is_some() || self.rules.iter().any(|rule| rule.cost.free_octets() != u64::MAX)
    }

    /// The pooled allowance whose share reaches a threshold, where it is of one.
    pub fn pool_of(&self, threshold: &Threshold) -> Option<&Allowance> {
        let Reach::Allowance(share) = &threshold.at else { return None };
        self.allowances.iter().find(|a| a.name == share.name && a.pooled)
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = &Conditions> + Clone {
        self.rules.iter().map(|rule| &rule.when).chain(self.allowances.iter().map(|a| &a.when))
    }
}

/// The counter of a plan with one price.
pub const MAIN_COUNTER: u32 = 0;

/// The key of a named counter or allowance in an account: the same for all time.
/// A plan whose names share a key is refused by the tariff's check.
pub fn counter_key(name: &str) -> u32 {
    let hash = crate::domain::account::stable_hash(name.as_bytes());
    u32::try_from(hash >> 32).unwrap_or(u32::MAX).max(1)
}

impl Conditions {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.apns.is_empty()
            && self.rating_groups.is_empty()
            && self.direction.is_none()
            && self.zones.is_empty()
            && self.windows.is_empty()
    }

    /// Whether usage is as they ask.
    pub fn hold(&self, tariff: &Tariff, usage: &Circumstances<'_>) -> bool {
        let on = |apns: &[Apn]| usage.apn.is_some_and(|apn| apns.iter().any(|own| own.matches(apn.as_str())));
        let in_zone = |zone: &String| match zone.as_str() {
            HOME => !usage.network.is_some_and(|network| tariff.is_roaming(network)),
            _ => usage.network.is_some_and(|network| tariff.is_in_zone(zone, network)),
        };
        let open = |name: &String| tariff.windows.get(name).is_some_and(|w| tariff.clock().is_open(w, usage.at));
        (self.apns.is_empty() || on(&self.apns))
            && (self.rating_groups.is_empty() || self.rating_groups.contains(&usage.rating_group))
            && self.direction.is_none_or(|direction| usage.direction == Some(direction))
            && (self.zones.is_empty() || self.zones.iter().any(in_zone))
            && (self.windows.is_empty() || self.windows.iter().any(open))
    }

    /// What is wrong with them, where something is.
    pub(super) fn fault(&self, tariff: &Tariff, apns: &[Apn]) -> Option<String> {
        let foreign = self.apns.iter().find(|apn| !apns.iter().any(|own| own.matches(apn.as_str())));
        if let Some(apn) = foreign {
            return Some(format!("APN `{apn}` is none of the plan's apns"));
        }
        let unknown = self.zones.iter().find(|zone| *zone != HOME && !tariff.zones.contains_key(*zone));
        if let Some(zone) = unknown {
            return Some(format!("zone `{zone}` is not in [zone], which has {}", named(tariff.zones.keys())));
        }
        let unknown = self.windows.iter().find(|window| !tariff.windows.contains_key(*window));
        unknown.map(|name| format!("window `{name}` is not in [window], which has {}", named(tariff.windows.keys())))
    }
}

impl Price {
    /// What a counter's `total` octets cost, minor units, rounded half away from
    /// zero; `None` where that is not far inside 64 bits. The only place where a
    /// price is rounded.
    pub fn of_total(&self, total: u64) -> Option<i64> {
        match self {
            Price::PerBlock(block) | Price::Package(block) => block.tier().cost(total),
            Price::PerUnit(block) => Tier { exact: true, ..block.tier() }.cost(total),
            Price::Graduated(tiers) => {
                let until = |i: usize| tiers.get(i + 1).map_or(u64::MAX, |next| next.from_octets);
                let parts = tiers
                    .iter()
                    .enumerate()
                    .map(|(i, tier)| (tier, total.min(until(i))))
                    .take_while(|(tier, _)| tier.from_octets < total);
                let mut parts = parts.map(|(tier, total)| tier.cost(total.saturating_sub(tier.from_octets)));
                parts.try_fold(Ratio::ZERO, |sum, part| sum.plus(part?))
            }
            Price::Volume(tiers) => {
                let reached = tiers.iter().rev().find(|tier| tier.from_octets < total);
                reached.map_or(Some(Ratio::ZERO), |tier| tier.cost(total))
            }
        }?
        .rounded()
    }

    /// Octets from the counter's first on that cost nothing; `u64::MAX` where all do.
    pub fn free_octets(&self) -> u64 {
        match self {
            Price::PerUnit(block) | Price::PerBlock(block) | Price::Package(block) if block.price.is_free() => u64::MAX,
            Price::PerUnit(_) | Price::PerBlock(_) | Price::Package(_) => 0,
            Price::Graduated(tiers) => tiers.iter().find(|t| !t.price.is_free()).map_or(u64::MAX, |t| t.from_octets),
            Price::Volume(tiers) if tiers.iter().all(|t| t.price.is_free()) => u64::MAX,
            Price::Volume(_) => 0,
        }
    }

    /// What is wrong with it, where something is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let tiers = match self {
            Price::PerUnit(block) | Price::PerBlock(block) | Price::Package(block) => {
                return (block.octets == 0).then_some("octets must be 1 or more");
            }
            Price::Graduated(tiers) | Price::Volume(tiers) => tiers,
        };
        if tiers.first().is_none_or(|t| t.from_octets != 0) {
            return Some("the first tier does not start at 0 octets");
        }
        if tiers.windows(2).any(|w| w[0].from_octets >= w[1].from_octets) {
            return Some("tiers do not ascend");
        }
        tiers.iter().any(|t| t.per_octets == 0).then_some("a tier has a block of 0 octets")
    }
}

impl Block {
    const fn tier(self) -> Tier {
        Tier { from_octets: 0, price: self.price, per_octets: self.octets, exact: false }
    }
}

impl Tier {
    /// What `octets` cost at its price.
    fn cost(&self, octets: u64) -> Option<Ratio> {
        match self.exact {
            true => self.price.times(octets).over(self.per_octets),
            false => Some(self.price.times(octets.div_ceil(self.per_octets.max(1)))),
        }
    }
}
