//! S6a between the gateway and the serving MME or SGSN (TS 29.272),
//! application 16777251.
//!
//! The gateway learns the serving node from [`UpdateLocationRequest`],
//! [`PurgeUeRequest`] and [`NotifyRequest`], and sends
//! [`InsertSubscriberDataRequest`], [`DeleteSubscriberDataRequest`] and
//! [`CancelLocationRequest`]. Authentication stays with the operator's HSS:
//! an AIR is refused with [`AUTHENTICATION_DATA_UNAVAILABLE`]. Every answer
//! is an [`S6aAnswer`].

mod answer;
mod requests;
mod subscription;

pub use answer::S6aAnswer;
pub use requests::{
    AuthenticationInformationRequest, CancelLocationRequest, CancellationType, DeleteSubscriberDataRequest,
    InsertSubscriberDataRequest, NotifyRequest, PurgeUeRequest, UpdateLocationRequest,
};
pub use subscription::{
    Ambr, ApnConfiguration, ApnProfile, Msisdn, NetworkAccessMode, PdnType, SubscriberStatus, SubscriptionData,
};

use crate::dictionary::vendor;
use crate::result_code::Outcome;

/// DIAMETER_ERROR_USER_UNKNOWN (TS 29.272 section 7.4.3.1). In the answer to
/// an IDR, DSR or CLR: the user is not attached there.
pub const USER_UNKNOWN: Outcome = experimental(5001);
/// DIAMETER_ERROR_UNKNOWN_EPS_SUBSCRIPTION (TS 29.272 section 7.4.3.3).
pub const UNKNOWN_EPS_SUBSCRIPTION: Outcome = experimental(5420);
/// DIAMETER_ERROR_RAT_NOT_ALLOWED (TS 29.272 section 7.4.3.4).
pub const RAT_NOT_ALLOWED: Outcome = experimental(5421);
/// DIAMETER_ERROR_ROAMING_NOT_ALLOWED (TS 29.272 section 7.4.3.2).
pub const ROAMING_NOT_ALLOWED: Outcome = experimental(5004);
/// DIAMETER_ERROR_UNKNOWN_SERVING_NODE (TS 29.272 section 7.4.3.6).
pub const UNKNOWN_SERVING_NODE: Outcome = experimental(5423);
/// DIAMETER_AUTHENTICATION_DATA_UNAVAILABLE (TS 29.272 section 7.4.4.1).
pub const AUTHENTICATION_DATA_UNAVAILABLE: Outcome = experimental(4181);

const fn experimental(code: u32) -> Outcome {
    Outcome::Experimental { vendor: vendor::TGPP, code }
}
