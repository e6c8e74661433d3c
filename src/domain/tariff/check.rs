//! Checking what the types cannot say: every fault, with its place in the document.

use std::fmt;

use super::{Allowance, Plan, Rollover, Tariff, Threshold, UsagePrice, counter_key};
use super::{HOME, Price, PriceRule, Reach, ThresholdAction};
use crate::domain::usage::UsageSource;

/// What is wrong at one place of a tariff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path of the key, as `plan.iot-payg.usage.price[0]`.
    pub path: String,
    /// What is wrong, with the name of the rule.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// A version that cannot be charged by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tariff version {version}: {}", joined(.faults))]
pub struct BadTariff {
    /// The version at fault.
    pub version: u32,
    /// One or more.
    pub faults: Vec<Fault>,
}

fn joined(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

impl Tariff {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Every fault, with its place.
    pub fn check(&self) -> Result<(), BadTariff> {
        let mut faults = Faults::default();
        if self.tax_percent > 100 {
            faults.add("tax_percent", "is over 100");
        }
        for (name, window) in &self.windows {
            if let Some(reason) = window.fault() {
                faults.add(format!("window.{name}"), format!("window `{name}`: {reason}"));
            }
        }
        for (name, _) in self.zones.iter().filter(|(name, members)| *name == HOME || members.is_empty()) {
            let reason = "`home` is every network that no zone names, and a zone has one network or more";
            faults.add(format!("zone.{name}"), format!("zone `{name}`: {reason}"));
        }
        for (id, plan) in &self.plans {
            faults.within(format!("plan.{id}"), |faults| plan.check(self, faults));
        }
        if faults.found.is_empty() { Ok(()) } else { Err(BadTariff { version: self.version, faults: faults.found }) }
    }

    /// Refuses it for one reason.
    pub(super) fn fault(&self, path: impl Into<String>, reason: impl Into<String>) -> BadTariff {
        BadTariff { version: self.version, faults: vec![Fault { path: path.into(), reason: reason.into() }] }
    }
}

/// What was found so far.
#[derive(Default)]
struct Faults {
    /// Where it is looked, with a dot behind.
    at: String,
    found: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, key: impl AsRef<str>, reason: impl Into<String>) {
        self.found.push(Fault { path: format!("{}{}", self.at, key.as_ref()), reason: reason.into() });
    }

    /// Looks below `key`.
    fn within(&mut self, key: String, look: impl FnOnce(&mut Self)) {
        let above = self.at.len();
        self.at.push_str(&key);
        self.at.push('.');
        look(self);
        self.at.truncate(above);
    }
}

impl Plan {
    fn check(&self, tariff: &Tariff, faults: &mut Faults) {
        let named = [("monthly_fee".to_owned(), self.monthly_fee), ("activation_fee".to_owned(), self.activation_fee)];
        let listed = self.fees.iter().enumerate().map(|(i, fee)| (format!("fee[{i}].amount"), fee.amount));
        for (key, _) in named.into_iter().chain(listed).filter(|(_, amount)| *amount < 0) {
            faults.add(key, "a fee is negative");
        }
        if self.suspended_percent > 100 {
            faults.add("suspended_percent", "is over 100");
        }
        if let Some(reason) = self.quota.fault() {
            faults.add("quota", reason);
        }
        let Some(usage) = &self.usage else { return };
        if self.apns.is_empty() {
            faults.add("apns", "usage is priced but no APN is named");
        }
        faults.within("usage".to_owned(), |faults| usage.check(tariff, self, faults));
    }
}

impl UsagePrice {
    fn check(&self, tariff: &Tariff, plan: &Plan, faults: &mut Faults) {
        for (i, rule) in self.rules.iter().enumerate() {
            let path = format!("price[{i}]");
            if let Some(reason) = rule.fault(tariff, plan) {
                faults.add(path, format!("price `{}`: {reason}", rule.name));
            }
        }
        for (i, allowance) in self.allowances.iter().enumerate() {
            if let Some(reason) = allowance.fault(tariff, plan) {
                faults.add(format!("allowance[{i}]"), format!("allowance `{}`: {reason}", allowance.name));
            }
        }
        for (i, threshold) in self.thresholds.iter().enumerate() {
            if let Some(reason) = self.threshold_fault(threshold) {
                faults.add(format!("threshold[{i}]"), format!("threshold `{}`: {reason}", threshold.name));
            }
        }
        let kinds: [(&str, Vec<&str>); 3] = [
            ("price", self.rules.iter().map(|rule| rule.name.as_str()).collect()),
            ("allowance", self.allowances.iter().map(|allowance| allowance.name.as_str()).collect()),
            ("threshold", self.thresholds.iter().map(|threshold| threshold.name.as_str()).collect()),
        ];
        for (what, names) in kinds {
            for (i, name) in names.iter().enumerate() {
                if name.is_empty() || names[..i].iter().any(|other| counter_key(other) == counter_key(name)) {
                    let reason = "another has that name or the same key, or it has none: rename it";
                    faults.add(format!("{what}[{i}].name"), format!("{what} `{name}`: {reason}"));
                }
            }
        }
    }

    fn threshold_fault(&self, threshold: &Threshold) -> Option<String> {
        if threshold.action == ThresholdAction::Suspend && self.pool_of(threshold).is_some() {
            return Some("a pooled allowance is of several lines, and suspend is of one: use notify".to_owned());
        }
        if let Some(rates) = threshold.throttle {
            if threshold.action != ThresholdAction::Throttle {
                return Some("throttle goes with the action `throttle`".to_owned());
            }
            if rates.up_bps == 0 || rates.down_bps == 0 {
                return Some("throttle: up_bps and down_bps must be 1 or more; use suspend to stop a line".to_owned());
            }
        }
        let percent = match &threshold.at {
            Reach::Amount(amount) => return (*amount <= 0).then(|| "amount must be above 0".to_owned()),
            Reach::CapPercent(_) if self.cap_octets.is_none() => return Some("the plan has no cap_octets".to_owned()),
            Reach::CapPercent(percent) => *percent,
            Reach::Allowance(share) => match self.allowances.iter().any(|a| a.name == share.name) {
                true => share.percent,
                false => return Some(format!("allowance `{}` is not one of the plan's", share.name)),
            },
        };
        (!(1..=100).contains(&percent)).then(|| "percent must be 1 to 100".to_owned())
    }
}

impl PriceRule {
    fn fault(&self, tariff: &Tariff, plan: &Plan) -> Option<String> {
        if let Some(reason) = self.cost.fault() {
            return Some(reason.to_owned());
        }
        let pays_afterwards = plan.source.fixed().is_some_and(|source| source != UsageSource::Gy);
        let is_volume = matches!(self.cost, Price::Volume(_));
        let volume = "volume reprices what quota was granted for: name a source other than gy, or use graduated";
        let when = self.when.fault(tariff, &plan.apns);
        when.or_else(|| (is_volume && !pays_afterwards).then(|| volume.to_owned()))
    }
}

impl Allowance {
    fn fault(&self, tariff: &Tariff, plan: &Plan) -> Option<String> {
        let rollover = |r: &Rollover| r.cycles == 0 || r.cycles > Rollover::CYCLES_MAX || r.octets_max == 0;
        if self.octets == 0 {
            return Some("octets must be 1 or more".to_owned());
        }
        if self.rollover.as_ref().is_some_and(rollover) {
            return Some("rollover needs octets_max above 0 and 1 to 12 cycles".to_owned());
        }
        self.when.fault(tariff, &plan.apns)
    }
}
