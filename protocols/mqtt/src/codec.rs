//! Bytes of single packets.

/// Protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5, protocol level 5.
    V5,
}

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qos {
    /// QoS 0.
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2; never granted, and only ever seen in what a client asks for.
    ExactlyOnce = 2,
}

/// How a payload is written, from MQTT 5's Content Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// `application/json`, parameters ignored.
    Json,
    /// `application/cbor`.
    Cbor,
    /// Any other; such a payload cannot be read.
    Unknown,
}

impl ContentType {
    /// Reads a Content Type, parameters and letter case ignored.
    pub fn parse(text: &str) -> Self {
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("application/cbor") {
            Self::Cbor
        } else {
            Self::Unknown
        }
    }

    /// The name on the wire; `None` for [`ContentType::Unknown`].
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Json => Some("application/json"),
            Self::Cbor => Some("application/cbor"),
            Self::Unknown => None,
        }
    }
}
