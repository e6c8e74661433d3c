//! What is paid for with the fee, and what happens as usage adds up.

use serde::{Deserialize, Serialize};

use super::price::Conditions;

/// Octets of a cycle that no price counts.
///
/// Order of use: own allowances before pooled ones, each kind as listed; within an
/// allowance what is left of earlier cycles first, the oldest first. What ends
/// soonest and belongs to the line alone is used first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// Names it in an account: an allowance of the same name in another plan or
    /// version goes on with what was used of it.
    pub name: String,
    /// The usage that it covers; absent, all.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub when: Conditions,
    /// Octets for a cycle, whole for each cycle in which the line has the plan.
    pub octets: u64,
    /// Whether the lines of the account share what each of them brings in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pooled: bool,
    /// What becomes of octets that are left; absent, they are lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollover: Option<Rollover>,
}

/// How octets that are left live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollover {
    /// For how many cycles, 1 to [`Rollover::CYCLES_MAX`].
    pub cycles: u8,
    /// Most octets of earlier cycles that one cycle may use.
    pub octets_max: u64,
}

impl Rollover {
    /// An account keeps the buckets that octets roll over from.
    pub const CYCLES_MAX: u8 = 12;
}

/// Fires once in a cycle, with the usage that reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Names it in events.
    pub name: String,
    /// What reaches it.
    pub at: Reach,
    /// What is to be done.
    pub action: ThresholdAction,
    /// To what the line is slowed down, where the action is to throttle; absent, it is
    /// only told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<BitRates>,
}

/// What a line may have at most, bits per second, 1 or more each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitRates {
    /// From the device.
    pub up_bps: u32,
    /// To the device.
    pub down_bps: u32,
}

impl BitRates {
    /// The lower one of each.
    pub fn lower(self, other: Self) -> Self {
        Self { up_bps: self.up_bps.min(other.up_bps), down_bps: self.down_bps.min(other.down_bps) }
    }
}

/// What has to be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// So many percent of `cap_octets`, 1 to 100.
    CapPercent(u8),
    /// A share of an allowance.
    Allowance(ShareOf),
    /// Minor units of usage charged in the cycle, above 0.
    Amount(i64),
}

/// A share of an allowance of the same plan, without what has rolled over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareOf {
    /// The allowance. Of a pooled one it is the pool's share, and fires once for
    /// the account.
    pub name: String,
    /// 1 to 100.
    pub percent: u8,
}

/// What is to be done when a threshold is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdAction {
    /// Tell whoever listens.
    Notify,
    /// Slow the line down.
    Throttle,
    /// Suspend the line.
    Suspend,
}

impl ThresholdAction {
    /// For events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            ThresholdAction::Notify => "notify",
            ThresholdAction::Throttle => "throttle",
            ThresholdAction::Suspend => "suspend",
        }
    }
}
