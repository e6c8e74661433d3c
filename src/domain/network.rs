//! Which mobile network a line is served by: home or roaming.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A mobile network by its country and network code (TS 23.003 section 2.2), as
/// 3GPP-SGSN-MCC-MNC carries it (TS 29.061 section 16.4.7).
///
/// Codes of two and of three digits are different networks: `310-41` is not
/// `310-041`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plmn(u32);

impl Plmn {
    /// Reads `45008`, `450-08` or `310410`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let (mcc, mnc) = text.split_at_checked(3)?;
        let mnc = mnc.strip_prefix(b"-").unwrap_or(mnc);
        if !matches!(mnc.len(), 2 | 3) {
            return None;
        }
        let digits = mcc
            .iter()
            .chain(mnc)
            .try_fold(0u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))?;
        Some(Self(digits * 10 + if mnc.len() == 3 { 3 } else { 2 }))
    }

    /// As a number, for compact formats.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The network of a [`Plmn::number`].
    pub(super) const fn of_number(number: u32) -> Self {
        Self(number)
    }

    /// Mobile country code, 0 to 999.
    pub const fn country(self) -> u32 {
        self.digits() / if self.has_long_code() { 1000 } else { 100 }
    }

    const fn has_long_code(self) -> bool {
        self.0 % 10 == 3
    }

    const fn digits(self) -> u32 {
        self.0 / 10
    }
}

impl fmt::Display for Plmn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.has_long_code() {
            true => write!(f, "{:03}-{:03}", self.country(), self.digits() % 1000),
            false => write!(f, "{:03}-{:02}", self.country(), self.digits() % 100),
        }
    }
}

impl fmt::Debug for Plmn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A member of a roaming zone: one network (`450-08`), or every network of a
/// country (`450`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ZoneMember {
    /// Mobile country code, 0 to 999.
    Country(u32),
    /// One network.
    Network(Plmn),
}

impl ZoneMember {
    /// Whether `network` is it, or one of its networks.
    pub fn contains(self, network: Plmn) -> bool {
        match self {
            ZoneMember::Country(country) => network.country() == country,
            ZoneMember::Network(own) => own == network,
        }
    }
}

impl TryFrom<String> for ZoneMember {
    type Error = BadZoneMember;

    fn try_from(text: String) -> Result<Self, BadZoneMember> {
        if text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(ZoneMember::Country).map_err(|_| BadZoneMember { text });
        }
        Plmn::parse(&text).map(ZoneMember::Network).ok_or(BadZoneMember { text })
    }
}

impl From<ZoneMember> for String {
    fn from(member: ZoneMember) -> String {
        match member {
            ZoneMember::Country(country) => format!("{country:03}"),
            ZoneMember::Network(network) => network.to_string(),
        }
    }
}

/// Text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read network `{text}`: expected a country code such as 450, or a network such as 450-08")]
pub struct BadZoneMember {
    /// The text as it came.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_every_digit() {
        for (text, shown) in [("45008", "450-08"), ("450-08", "450-08"), ("310410", "310-410"), ("00101", "001-01")] {
            assert_eq!(Plmn::parse(text).unwrap().to_string(), shown);
        }
        assert_ne!(Plmn::parse("31041"), Plmn::parse("310041"));
        for bad in ["", "450", "4500", "450-8", "450-0008", "45o08", "-45008", "4500811", "한국"] {
            assert_eq!(Plmn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_country_is_all_of_its_networks() {
        let member = |text: &str| ZoneMember::try_from(text.to_owned()).unwrap();
        let (kt, docomo) = (Plmn::parse("45008").unwrap(), Plmn::parse("44010").unwrap());
        assert!(member("450").contains(kt) && !member("450").contains(docomo));
        assert!(member("440-10").contains(docomo) && !member("440-100").contains(docomo));
        assert!(ZoneMember::try_from("45".to_owned()).is_err());
    }
}
