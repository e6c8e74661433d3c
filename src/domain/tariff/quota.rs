//! How quota is granted on Gy, and what follows the last grant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much is granted at once, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaPolicy {
    /// Largest grant for one rating group, octets.
    pub slice_octets: u64,
    /// Smallest grant while more is left, octets; where `slice_s` is above 0.
    pub slice_octets_min: u64,
    /// How long a grant should last at the rate of the group's last report, seconds;
    /// 0 grants `slice_octets` each time.
    pub slice_s: u32,
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

impl QuotaPolicy {
    /// Octets of a group's next grant that is to last `slice_s`, where `used` octets of
    /// the one before took `took`; `None` while no rate is known. Whoever has not
    /// reported yet, or after a long silence, begins with the smallest.
    pub fn slice(&self, pace: Option<(u64, Duration)>) -> u64 {
        if self.slice_s == 0 {
            return self.slice_octets;
        }
        let smallest = self.slice_octets_min.min(self.slice_octets);
        let Some((used, took)) = pace else { return smallest };
        let lasts_ms = u128::from(self.slice_s) * 1000;
        let octets = u128::from(used) * lasts_ms / took.as_millis().max(1);
        u64::try_from(octets).unwrap_or(u64::MAX).clamp(smallest, self.slice_octets)
    }

    /// What one of `groups` that hold or ask for quota may have of the `left` octets:
    /// an equal share, so that near the end none takes it all, but no fewer than the
    /// smallest grant while there are as many.
    pub fn share(&self, left: u64, groups: u64) -> u64 {
        if self.slice_s == 0 {
            return left;
        }
        (left / groups.max(1)).max(self.slice_octets_min).min(left)
    }

    /// What is wrong with it, where something is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.validity_s == 0 || self.slice_octets == 0 || self.threshold_percent > 99 {
            return Some("quota needs validity_s and slice_octets above 0 and threshold_percent under 100");
        }
        let adapts = self.slice_s > 0;
        if adapts && !(1..=self.slice_octets).contains(&self.slice_octets_min) {
            return Some("quota with slice_s needs slice_octets_min from 1 to slice_octets");
        }
        self.final_unit.fault()
    }
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
            slice_octets_min: 100_000,
            slice_s: 0,
            validity_s: 3600,
            threshold_percent: 20,
            holding_s: 0,
            final_unit: FinalUnit::Terminate,
        }
    }
}
