//! Result codes (RFC 6733 section 7.1) and their 3GPP counterparts.

use std::fmt;

/// The value of a Result-Code AVP (RFC 6733 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResultCode(pub u32);

macro_rules! result_codes {
    ($( $value:literal $ident:ident $std:literal; )*) => {
        impl ResultCode {
            $(
                #[doc = concat!("`", stringify!($ident), "` ", stringify!($value), ", ", $std, ".")]
                pub const $ident: Self = Self($value);
            )*

            /// The standard's name of the code, where it has one here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some(stringify!($ident)), )*
                    _ => None,
                }
            }

            /// The standard and section that define the code, where it has a
            /// name here.
            pub const fn standard(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($std), )*
                    _ => None,
                }
            }
        }
    };
}

result_codes! {
    2001 SUCCESS "RFC 6733 section 7.1.2";
    2002 LIMITED_SUCCESS "RFC 6733 section 7.1.2";
    3001 COMMAND_UNSUPPORTED "RFC 6733 section 7.1.3";
    3002 UNABLE_TO_DELIVER "RFC 6733 section 7.1.3";
    3003 REALM_NOT_SERVED "RFC 6733 section 7.1.3";
    3004 TOO_BUSY "RFC 6733 section 7.1.3";
    3005 LOOP_DETECTED "RFC 6733 section 7.1.3";
    3007 APPLICATION_UNSUPPORTED "RFC 6733 section 7.1.3";
    3008 INVALID_HDR_BITS "RFC 6733 section 7.1.3";
    3009 INVALID_AVP_BITS "RFC 6733 section 7.1.3";
    3010 UNKNOWN_PEER "RFC 6733 section 7.1.3";
    4001 AUTHENTICATION_REJECTED "RFC 6733 section 7.1.4";
    4002 OUT_OF_SPACE "RFC 6733 section 7.1.4";
    4003 ELECTION_LOST "RFC 6733 section 7.1.4";
    4010 END_USER_SERVICE_DENIED "RFC 8506 section 9.1";
    4011 CREDIT_CONTROL_NOT_APPLICABLE "RFC 8506 section 9.1";
    4012 CREDIT_LIMIT_REACHED "RFC 8506 section 9.1";
    5001 AVP_UNSUPPORTED "RFC 6733 section 7.1.5";
    5002 UNKNOWN_SESSION_ID "RFC 6733 section 7.1.5";
    5003 AUTHORIZATION_REJECTED "RFC 6733 section 7.1.5";
    5004 INVALID_AVP_VALUE "RFC 6733 section 7.1.5";
    5005 MISSING_AVP "RFC 6733 section 7.1.5";
    5006 RESOURCES_EXCEEDED "RFC 6733 section 7.1.5";
    5008 AVP_NOT_ALLOWED "RFC 6733 section 7.1.5";
    5009 AVP_OCCURS_TOO_MANY_TIMES "RFC 6733 section 7.1.5";
    5010 NO_COMMON_APPLICATION "RFC 6733 section 7.1.5";
    5011 UNSUPPORTED_VERSION "RFC 6733 section 7.1.5";
    5012 UNABLE_TO_COMPLY "RFC 6733 section 7.1.5";
    5014 INVALID_AVP_LENGTH "RFC 6733 section 7.1.5";
    5015 INVALID_MESSAGE_LENGTH "RFC 6733 section 7.1.5";
    5017 NO_COMMON_SECURITY "RFC 6733 section 7.1.5";
    5030 USER_UNKNOWN "RFC 8506 section 9.2";
    5031 RATING_FAILED "RFC 8506 section 9.2";
}

impl ResultCode {
    /// 2xxx (RFC 6733 section 7.1.2).
    pub const fn is_success(self) -> bool {
        self.0 / 1000 == 2
    }

    /// 3xxx: the answer carries the E bit (RFC 6733 section 7.1.3).
    pub const fn is_protocol_error(self) -> bool {
        self.0 / 1000 == 3
    }

    /// 4xxx: the same request may succeed later (RFC 6733 section 7.1.4).
    pub const fn is_transient(self) -> bool {
        self.0 / 1000 == 4
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// How an answer ends: with Result-Code or with Experimental-Result
/// (RFC 6733 sections 7.1 and 7.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Result-Code 268.
    Result(ResultCode),
    /// Experimental-Result 297.
    Experimental {
        /// Vendor-Id 266: who defines the code.
        vendor: u32,
        /// Experimental-Result-Code 298.
        code: u32,
    },
}

impl Outcome {
    /// Result-Code 2001.
    pub const SUCCESS: Self = Self::Result(ResultCode::SUCCESS);

    /// True for 2xxx, in either form.
    pub const fn is_success(self) -> bool {
        match self {
            Self::Result(code) => code.is_success(),
            Self::Experimental { code, .. } => code / 1000 == 2,
        }
    }
}

impl From<ResultCode> for Outcome {
    fn from(code: ResultCode) -> Self {
        Self::Result(code)
    }
}
