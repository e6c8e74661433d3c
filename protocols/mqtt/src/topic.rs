//! Topics of a modem, `lg/v1/{device}/{kind}`, and the access check of filters.
//!
//! Owns the names and who may reach them. Does not own subscriptions: those are
//! the session's.

use std::fmt;
use std::sync::Arc;

/// What every topic begins with, in front of the device.
pub const TOPIC_ROOT: &str = "lg/v1/";

/// Longest device id, in bytes (all of them ASCII).
pub const DEVICE_ID_BYTES_MAX: usize = 64;

/// The last level of a modem's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicKind {
    /// Gateway to modem, retained: the state to be in.
    Desired,
    /// Modem to gateway: the state reached, or the reason why not.
    Reported,
    /// Modem to gateway: usage records.
    Usage,
    /// Gateway to modem: what is durable, where a broker stands between.
    Receipt,
    /// Modem to gateway: birth and will.
    Status,
}

impl TopicKind {
    /// All kinds, in the order of the design.
    pub const ALL: [Self; 5] = [Self::Desired, Self::Reported, Self::Usage, Self::Receipt, Self::Status];

    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Reported => "reported",
            Self::Usage => "usage",
            Self::Receipt => "receipt",
            Self::Status => "status",
        }
    }

    /// The level with the separator in front of it.
    pub(crate) fn topic_suffix(self) -> &'static str {
        match self {
            Self::Desired => "/desired",
            Self::Reported => "/reported",
            Self::Usage => "/usage",
            Self::Receipt => "/receipt",
            Self::Status => "/status",
        }
    }

    /// The kind that a level names; `None` for any other level.
    pub fn from_level(level: &[u8]) -> Option<Self> {
        match level {
            b"usage" => Some(Self::Usage),
            b"reported" => Some(Self::Reported),
            b"status" => Some(Self::Status),
            b"desired" => Some(Self::Desired),
            b"receipt" => Some(Self::Receipt),
            _ => None,
        }
    }

    /// Whether the modem is the one that publishes it.
    pub fn is_from_device(self) -> bool {
        matches!(self, Self::Reported | Self::Usage | Self::Status)
    }
}

impl fmt::Display for TopicKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a device id or a topic is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A device id has 1 to 64 characters.
    #[error("device id has {0} bytes, allowed are 1 to {DEVICE_ID_BYTES_MAX}")]
    DeviceLength(usize),
    /// A device id holds only `A-Za-z0-9._:-`.
    #[error("device id has {0:?} at byte {1}, allowed are letters, digits and . _ : -")]
    DeviceCharacter(char, usize),
    /// Not of the form `lg/v1/{device}/{kind}`.
    #[error("topic {0:?} is not lg/v1/{{device}}/{{desired|reported|usage|receipt|status}}")]
    NotOurs(String),
}

/// A modem's identity: 1 to 64 characters of `A-Za-z0-9._:-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Checks length and characters.
    pub fn new(id: &str) -> Result<Self, TopicError> {
        check_device_id(id)?;
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The device's topic of a kind: `lg/v1/{device}/{kind}`.
    pub fn topic(&self, kind: TopicKind) -> String {
        format!("{TOPIC_ROOT}{}/{}", self.0, kind.as_str())
    }

    /// What all of the device's topics begin with: `lg/v1/{device}/`.
    pub fn topic_prefix(&self) -> String {
        format!("{TOPIC_ROOT}{}/", self.0)
    }

    /// What the whole topic names when it is this device's own, without
    /// allocating; `None` for anything else.
    pub fn own_topic(&self, topic: &[u8]) -> Option<TopicKind> {
        let rest = topic.strip_prefix(TOPIC_ROOT.as_bytes())?;
        let rest = rest.strip_prefix(self.0.as_bytes())?;
        TopicKind::from_level(rest.strip_prefix(b"/")?)
    }

    /// What a subscription to `filter` lets this device receive; `None` when
    /// the filter could match any topic that is not the device's own desired or
    /// receipt topic.
    ///
    /// `lg/v1/{device}/#` and `lg/v1/{device}/+` stay inside the device's level
    /// and are allowed: they deliver desired and receipt. A wildcard at or above
    /// the device's level is not, and no shared subscription is.
    pub fn filter_access(&self, filter: &str) -> Option<FilterAccess> {
        let rest = filter.strip_prefix(TOPIC_ROOT)?;
        let rest = rest.strip_prefix(self.as_str())?.strip_prefix('/')?;
        match rest {
            "#" | "+" => Some(FilterAccess { desired: true, receipt: true }),
            "desired" | "desired/#" => Some(FilterAccess { desired: true, receipt: false }),
            "receipt" | "receipt/#" => Some(FilterAccess { desired: false, receipt: true }),
            _ => None,
        }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

impl std::str::FromStr for DeviceId {
    type Err = TopicError;

    fn from_str(id: &str) -> Result<Self, TopicError> {
        Self::new(id)
    }
}

/// What an allowed filter delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FilterAccess {
    /// The filter matches the desired topic.
    pub desired: bool,
    /// The filter matches the receipt topic.
    pub receipt: bool,
}

impl FilterAccess {
    /// Whether the filter matches the device's own topic of this kind.
    pub fn delivers(self, kind: TopicKind) -> bool {
        match kind {
            TopicKind::Desired => self.desired,
            TopicKind::Receipt => self.receipt,
            TopicKind::Reported | TopicKind::Usage | TopicKind::Status => false,
        }
    }
}

/// Splits any modem's topic into its device and its kind, without allocating.
pub fn parse(topic: &str) -> Result<(&str, TopicKind), TopicError> {
    let not_ours = || TopicError::NotOurs(topic.chars().take(128).collect());
    let rest = topic.strip_prefix(TOPIC_ROOT).ok_or_else(not_ours)?;
    let (device, level) = rest.split_once('/').ok_or_else(not_ours)?;
    let kind = TopicKind::from_level(level.as_bytes()).ok_or_else(not_ours)?;
    check_device_id(device)?;
    Ok((device, kind))
}

fn check_device_id(id: &str) -> Result<(), TopicError> {
    if id.is_empty() || id.len() > DEVICE_ID_BYTES_MAX {
        return Err(TopicError::DeviceLength(id.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    match id.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, c)) => Err(TopicError::DeviceCharacter(c, at)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        DeviceId::new("modem-1").unwrap()
    }

    #[test]
    fn a_device_id_has_one_to_sixty_four_plain_characters() {
        let check = |id: &str, good: bool| assert_eq!(DeviceId::new(id).is_ok(), good, "{id:?}");
        check("a", true);
        check("490154203237518", true);
        check("a.b_c:d-E9", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        check("", false);
        check("a/b", false);
        check("a+b", false);
        check("#", false);
        check("modem é", false);
        check("a\0", false);
    }

    #[test]
    fn every_topic_is_parsed_back_from_its_name() {
        for kind in TopicKind::ALL {
            let topic = device().topic(kind);
            assert_eq!(parse(&topic), Ok(("modem-1", kind)));
            assert_eq!(device().own_topic(topic.as_bytes()), Some(kind));
        }
    }

    #[test]
    fn a_foreign_topic_is_nobodys() {
        for topic in [
            "",
            "lg",
            "lg/v1/",
            "lg/v1/modem-1",
            "lg/v1/modem-1/",
            "lg/v1/modem-1/usage/",
            "lg/v1/modem-1/usages",
            "lg/v2/modem-1/usage",
            "/lg/v1/modem-1/usage",
            "lg/v1/modem-10/usag",
            "lg/v1//usage",
            "lg/v1/+/usage",
        ] {
            assert!(parse(topic).is_err(), "{topic:?}");
            assert_eq!(device().own_topic(topic.as_bytes()), None, "{topic:?}");
        }
        assert_eq!(device().own_topic(b"lg/v1/modem-2/usage"), None);
        assert_eq!(device().own_topic(b"lg/v1/modem-11/usage"), None);
    }

    #[test]
    fn a_filter_is_allowed_only_inside_the_devices_own_level() {
        let both = Some(FilterAccess { desired: true, receipt: true });
        let desired = Some(FilterAccess { desired: true, receipt: false });
        let receipt = Some(FilterAccess { desired: false, receipt: true });
        for (filter, expected) in [
            ("lg/v1/modem-1/desired", desired),
            ("lg/v1/modem-1/receipt", receipt),
            ("lg/v1/modem-1/desired/#", desired),
            ("lg/v1/modem-1/#", both),
            ("lg/v1/modem-1/+", both),
            ("lg/v1/modem-1/usage", None),
            ("lg/v1/modem-1/status", None),
            ("lg/v1/modem-1/reported", None),
            ("lg/v1/modem-1", None),
            ("lg/v1/modem-1/", None),
            ("lg/v1/modem-2/desired", None),
            ("lg/v1/modem-12/desired", None),
            ("lg/v1/+/desired", None),
            ("lg/v1/#", None),
            ("lg/+/modem-1/desired", None),
            ("#", None),
            ("+/+/+/+", None),
            ("$share/g/lg/v1/modem-1/desired", None),
            ("$SYS/#", None),
            ("", None),
        ] {
            assert_eq!(device().filter_access(filter), expected, "{filter:?}");
        }
    }
}
