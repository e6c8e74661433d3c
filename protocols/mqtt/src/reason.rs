//! Reason codes (MQTT 5, section 2.4), and the six return codes that MQTT 3.1.1
//! has for CONNACK (3.1.1, section 3.2.2.3).

use std::borrow::Cow;
use std::fmt;

/// Longest Reason String that is sent, in bytes; a longer one is cut.
pub const REASON_STRING_BYTES_MAX: usize = 256;

/// A reason code of MQTT 5: below 0x80 success, from 0x80 on failure.
///
/// The machine uses these for both versions; what MQTT 3.1.1 cannot say on the
/// wire stands in the event, for the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)+) => {
        impl ReasonCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)+

            /// The name that the standard gives the code, in lower case.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($value => $text,)+
                    _ => "unassigned reason code",
                }
            }
        }
    };
}

reason_codes! {
    /// 0x00: success, or a normal disconnection, or granted QoS 0.
    SUCCESS = 0x00, "success";
    /// 0x01: granted QoS 1, in SUBACK.
    GRANTED_QOS_1 = 0x01, "granted qos 1";
    /// 0x02: granted QoS 2, in SUBACK; this server never grants it.
    GRANTED_QOS_2 = 0x02, "granted qos 2";
    /// 0x04: the client goes and wants its will published.
    DISCONNECT_WITH_WILL = 0x04, "disconnect with will message";
    /// 0x10: accepted, nobody subscribed.
    NO_MATCHING_SUBSCRIBERS = 0x10, "no matching subscribers";
    /// 0x11: the filter to unsubscribe was not there.
    NO_SUBSCRIPTION_EXISTED = 0x11, "no subscription existed";
    /// 0x80: failure without a nearer reason; the only SUBACK failure in 3.1.1.
    UNSPECIFIED_ERROR = 0x80, "unspecified error";
    /// 0x81: the packet cannot be parsed.
    MALFORMED_PACKET = 0x81, "malformed packet";
    /// 0x82: the packet parses, and is not allowed here.
    PROTOCOL_ERROR = 0x82, "protocol error";
    /// 0x83: valid, and not accepted by this server.
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "implementation specific error";
    /// 0x84: neither 3.1.1 nor 5.
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "unsupported protocol version";
    /// 0x85: the client identifier is not allowed.
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "client identifier not valid";
    /// 0x86: user name or password not accepted.
    BAD_USER_NAME_OR_PASSWORD = 0x86, "bad user name or password";
    /// 0x87: not authorised.
    NOT_AUTHORIZED = 0x87, "not authorized";
    /// 0x88: the server is not available.
    SERVER_UNAVAILABLE = 0x88, "server unavailable";
    /// 0x89: the server is busy.
    SERVER_BUSY = 0x89, "server busy";
    /// 0x8A: barred by an administrator.
    BANNED = 0x8A, "banned";
    /// 0x8B: the server is shutting down.
    SERVER_SHUTTING_DOWN = 0x8B, "server shutting down";
    /// 0x8C: extended authentication is not served.
    BAD_AUTHENTICATION_METHOD = 0x8C, "bad authentication method";
    /// 0x8D: no packet for one and a half times the keep alive.
    KEEP_ALIVE_TIMEOUT = 0x8D, "keep alive timeout";
    /// 0x8E: another connection took the session over.
    SESSION_TAKEN_OVER = 0x8E, "session taken over";
    /// 0x8F: the topic filter is not accepted.
    TOPIC_FILTER_INVALID = 0x8F, "topic filter invalid";
    /// 0x90: the topic name is not accepted.
    TOPIC_NAME_INVALID = 0x90, "topic name invalid";
    /// 0x91: the packet identifier is in use.
    PACKET_IDENTIFIER_IN_USE = 0x91, "packet identifier in use";
    /// 0x92: the packet identifier is not known.
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "packet identifier not found";
    /// 0x93: more unacknowledged publishes than Receive Maximum.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "receive maximum exceeded";
    /// 0x94: topic alias 0 or over the maximum.
    TOPIC_ALIAS_INVALID = 0x94, "topic alias invalid";
    /// 0x95: larger than the maximum packet size.
    PACKET_TOO_LARGE = 0x95, "packet too large";
    /// 0x96: too many messages in a time.
    MESSAGE_RATE_TOO_HIGH = 0x96, "message rate too high";
    /// 0x97: a limit of ours is reached.
    QUOTA_EXCEEDED = 0x97, "quota exceeded";
    /// 0x98: closed by an administrator.
    ADMINISTRATIVE_ACTION = 0x98, "administrative action";
    /// 0x99: the payload is not what its format indicator says.
    PAYLOAD_FORMAT_INVALID = 0x99, "payload format invalid";
    /// 0x9A: retained messages are not served.
    RETAIN_NOT_SUPPORTED = 0x9A, "retain not supported";
    /// 0x9B: QoS 2 is not served.
    QOS_NOT_SUPPORTED = 0x9B, "qos not supported";
    /// 0x9C: use another server for a time.
    USE_ANOTHER_SERVER = 0x9C, "use another server";
    /// 0x9D: use another server for good.
    SERVER_MOVED = 0x9D, "server moved";
    /// 0x9E: shared subscriptions are not served.
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "shared subscriptions not supported";
    /// 0x9F: too many connections in a time.
    CONNECTION_RATE_EXCEEDED = 0x9F, "connection rate exceeded";
    /// 0xA0: the connection lasted as long as is allowed.
    MAXIMUM_CONNECT_TIME = 0xA0, "maximum connect time";
    /// 0xA1: subscription identifiers are not served.
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "subscription identifiers not supported";
    /// 0xA2: wildcard subscriptions are not served.
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// Whether the code says failure (0x80 and up).
    pub fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// The code with words for a person: the Reason String (section 3.1.2.11.7).
    pub fn because(self, text: impl Into<Cow<'static, str>>) -> Reason {
        Reason { code: self, text: text.into() }
    }

    /// The nearest code that a CONNACK may carry (section 3.2.2.2) to say no.
    pub(crate) fn for_connack(self) -> Self {
        match self.0 {
            0x80..=0x8a | 0x8c | 0x90 | 0x95 | 0x97 | 0x99..=0x9d | 0x9f => self,
            // Taken over, shutting down: nothing of ours is there for it.
            0x8b | 0x8e => Self::SERVER_UNAVAILABLE,
            0x98 => Self::BANNED,
            _ => Self::UNSPECIFIED_ERROR,
        }
    }

    /// The nearest code that a PUBACK may carry (section 3.4.2.1).
    pub(crate) fn for_puback(self) -> Self {
        match self.0 {
            0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99 => self,
            0x01..=0x7f => Self::SUCCESS,
            _ => Self::UNSPECIFIED_ERROR,
        }
    }

    /// The nearest code that a server's DISCONNECT may carry (section 3.14.2.1).
    pub(crate) fn for_disconnect(self) -> Self {
        match self.0 {
            0x00 | 0x80..=0x83 | 0x87 | 0x89 | 0x8b | 0x8d..=0x90 | 0x93..=0xa2 => self,
            0x01..=0x7f => Self::SUCCESS,
            _ => Self::UNSPECIFIED_ERROR,
        }
    }

    /// The MQTT 3.1.1 CONNACK return code that comes nearest, 0..=5.
    pub fn connect_return_code(self) -> u8 {
        match self {
            code if !code.is_failure() => 0,
            Self::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Self::CLIENT_IDENTIFIER_NOT_VALID => 2,
            Self::BAD_USER_NAME_OR_PASSWORD => 4,
            Self::NOT_AUTHORIZED | Self::BANNED | Self::BAD_AUTHENTICATION_METHOD | Self::TOPIC_NAME_INVALID => 5,
            _ => 3,
        }
    }

    /// The reason code that a 3.1.1 CONNACK return code stands for.
    pub fn from_connect_return_code(code: u8) -> Self {
        match code {
            0 => Self::SUCCESS,
            1 => Self::UNSUPPORTED_PROTOCOL_VERSION,
            2 => Self::CLIENT_IDENTIFIER_NOT_VALID,
            3 => Self::SERVER_UNAVAILABLE,
            4 => Self::BAD_USER_NAME_OR_PASSWORD,
            5 => Self::NOT_AUTHORIZED,
            _ => Self::UNSPECIFIED_ERROR,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} {}", self.0, self.name())
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reason code and, where there is more to say, the words for it.
///
/// The words go out as Reason String to a version 5 client that wants problem
/// information, when the packet stays within its Maximum Packet Size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// For a person who reads the device's log; empty when the code says all.
    pub text: Cow<'static, str>,
}

impl From<ReasonCode> for Reason {
    fn from(code: ReasonCode) -> Self {
        Self { code, text: Cow::Borrowed("") }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_proto::v5;

    use super::ReasonCode;

    #[test]
    fn a_code_is_said_only_in_a_packet_that_may_carry_it() {
        for code in (0..=255).map(ReasonCode) {
            let connack = code.for_connack();
            assert!(connack.is_failure(), "{code}");
            assert!(v5::ConnectReasonCode::from_u8(connack.0).is_some(), "{code}");
            let puback = code.for_puback();
            assert!(v5::PubackReasonCode::from_u8(puback.0).is_some(), "{code}");
            assert_eq!(puback.is_failure(), code.is_failure());
            let disconnect = code.for_disconnect();
            assert!(v5::DisconnectReasonCode::from_u8(disconnect.0).is_some(), "{code}");
            assert_eq!(disconnect.is_failure(), code.is_failure());
        }
    }
}
