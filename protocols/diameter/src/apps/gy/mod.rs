//! Gy: online charging by credit control (RFC 8506, TS 32.299 section 6).
//!
//! The gateway parses [`CcRequest`] and encodes [`CcAnswer`]; a charging
//! client does the reverse. Re-Auth and Abort-Session, which the gateway
//! sends, are in [`super::base`].

mod answer;
mod request;
mod service_information;
mod units;

pub use answer::{
    CcAnswer, CcSessionFailover, CheckBalanceResult, DebitingFailureHandling, FailedAvp, FailureHandling, FinalUnit,
    FinalUnitAction, Grant, MaxBitRates, RedirectAddressType, RedirectServer, ServiceAnswer,
};
pub use request::{CcRequest, CcRequestType, RequestedAction, ServiceRequest, UserEquipment, UserEquipmentType};
pub use service_information::{PsInformation, ServiceData, ServiceInformation, Subscriber, TrafficVolume};
pub use units::{CcUnitType, Money, PoolReference, ReportingReason, TariffChangeUsage, Units, UsedUnit};
