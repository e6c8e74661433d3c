//! Settings of S6a.

use linegate_diameter::apps::s6a::PdnType;
use serde::Deserialize;

/// APNs of one profile, at most (TS 29.272 section 7.3.27: Context-Identifier up to 50).
pub(super) const CONTEXTS_MAX: usize = 50;

/// `[diameter.s6a]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S6aSettings {
    /// AMBR from the user, of a subscriber and of each APN, bits per second.
    pub ambr_up_bps: u32,
    /// AMBR to the user, of a subscriber and of each APN, bits per second.
    pub ambr_down_bps: u32,
    /// QoS-Class-Identifier of every APN (TS 23.203 table 6.1.7).
    pub qci: Qci,
    /// Priority-Level of every APN, 1, the highest, to 15 (TS 29.212 section 5.3.45).
    pub priority: Priority,
    /// PDN-Type of every APN.
    pub pdn_type: PdnTypeSetting,
    /// Whether a modification is followed by a CLR that has the device attach
    /// anew: for MMEs that apply new data only then.
    pub reattach_after_modify: bool,
    /// Whether APNs alone that go are withdrawn by a DSR; false sends an IDR.
    pub delete_subscriber_data: bool,
    /// Tries of the CLR that tells a former MME of a move.
    pub move_tries: u32,
    /// Pause between them, milliseconds.
    pub move_retry_ms: u64,
    /// Moves being told at the same time, at most.
    pub moves_max: usize,
    /// MMEs that differ.
    pub mmes: Vec<MmeSettings>,
}

/// `[[diameter.s6a.mmes]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MmeSettings {
    /// Its Origin-Host.
    pub host: String,
    /// As [`S6aSettings::reattach_after_modify`]; absent, as for all.
    #[serde(default)]
    pub reattach_after_modify: Option<bool>,
    /// As [`S6aSettings::delete_subscriber_data`]; absent, as for all.
    #[serde(default)]
    pub delete_subscriber_data: Option<bool>,
}

/// How modifications reach one MME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MmePolicy {
    /// CLR follows.
    pub reattach_after_modify: bool,
    /// DSR is tried.
    pub delete_subscriber_data: bool,
}

/// A standardised QCI of a non-guaranteed bit rate, or one of the operator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Qci(pub u8);

/// A Priority-Level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Priority(pub u8);

impl TryFrom<u8> for Qci {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        // A default bearer has no guaranteed bit rate (TS 23.401 section 4.7.2.1).
        match value {
            5..=9 | 69 | 70 | 79 | 80 | 128..=254 => Ok(Self(value)),
            _ => Err("no QCI of a default bearer: 5 to 9, 69, 70, 79, 80, or 128 to 254"),
        }
    }
}

impl TryFrom<u8> for Priority {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        (1..=15).contains(&value).then_some(Self(value)).ok_or("no Priority-Level: 1 to 15")
    }
}

/// PDN-Type as the settings name it (TS 29.272 section 7.3.62).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PdnTypeSetting {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Both at once.
    Ipv4v6,
}

impl PdnTypeSetting {
    pub(super) const fn wire(self) -> PdnType {
        match self {
            PdnTypeSetting::Ipv4 => PdnType::Ipv4,
            PdnTypeSetting::Ipv6 => PdnType::Ipv6,
            PdnTypeSetting::Ipv4v6 => PdnType::Ipv4v6,
        }
    }
}

impl Default for S6aSettings {
    fn default() -> Self {
        Self {
            ambr_up_bps: 50_000_000,
            ambr_down_bps: 100_000_000,
            qci: Qci(9),
            priority: Priority(15),
            pdn_type: PdnTypeSetting::Ipv4,
            reattach_after_modify: false,
            delete_subscriber_data: true,
            move_tries: 5,
            move_retry_ms: 2000,
            moves_max: 1000,
            mmes: Vec::new(),
        }
    }
}

impl S6aSettings {
    /// What holds for the MME of this Origin-Host.
    pub fn policy(&self, host: &str) -> MmePolicy {
        let own = self.mmes.iter().find(|mme| mme.host.eq_ignore_ascii_case(host));
        MmePolicy {
            reattach_after_modify: own.and_then(|mme| mme.reattach_after_modify).unwrap_or(self.reattach_after_modify),
            delete_subscriber_data: own
                .and_then(|mme| mme.delete_subscriber_data)
                .unwrap_or(self.delete_subscriber_data),
        }
    }
}
