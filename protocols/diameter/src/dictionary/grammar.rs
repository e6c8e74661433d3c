//! Grammars in the notation of RFC 6733 section 3.2.
//!
//! `<A>` and `{A}` are required, `[A]` may occur once, `*[A]` any number of
//! times, `1*{A}` at least once. Every grammar ends in an implied `*[AVP]`.

use super::avps::*;
use super::{AvpDef, key};

/// How often an AVP may occur (RFC 6733 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The AVP.
    pub avp: &'static AvpDef,
    /// Its key, at hand for the search.
    pub key: u64,
    /// The least number of times.
    pub min: u16,
    /// The most; `u16::MAX` for any number.
    pub max: u16,
}

macro_rules! grammar {
    (@ [$($done:tt)*]) => { &[$($done)*] };
    (@ [$($done:tt)*] 1 * { $a:ident } $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule { avp: &$a, key: $a.key(), min: 1, max: u16::MAX },] $($rest)*)
    };
    (@ [$($done:tt)*] * [ $a:ident ] $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule { avp: &$a, key: $a.key(), min: 0, max: u16::MAX },] $($rest)*)
    };
    (@ [$($done:tt)*] < $a:ident > $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule { avp: &$a, key: $a.key(), min: 1, max: 1 },] $($rest)*)
    };
    (@ [$($done:tt)*] { $a:ident } $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule { avp: &$a, key: $a.key(), min: 1, max: 1 },] $($rest)*)
    };
    (@ [$($done:tt)*] [ $a:ident ] $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule { avp: &$a, key: $a.key(), min: 0, max: 1 },] $($rest)*)
    };
    ($($rule:tt)*) => { grammar!(@ [] $($rule)*) };
}
pub(super) use grammar;

/// The grammar of a Grouped AVP; `None` where any members may come.
pub fn group_rules(group: u64) -> Option<&'static [Rule]> {
    Some(match group {
        key::VENDOR_SPECIFIC_APPLICATION_ID => VENDOR_SPECIFIC_APPLICATION,
        key::EXPERIMENTAL_RESULT => EXPERIMENTAL,
        key::PROXY_INFO => PROXY,
        key::SUBSCRIPTION_ID => SUBSCRIPTION,
        key::USER_EQUIPMENT_INFO => USER_EQUIPMENT,
        key::MULTIPLE_SERVICES_CREDIT_CONTROL => SERVICES,
        key::REQUESTED_SERVICE_UNIT => REQUESTED_UNIT,
        key::GRANTED_SERVICE_UNIT => GRANTED_UNIT,
        key::USED_SERVICE_UNIT => USED_UNIT,
        key::FINAL_UNIT_INDICATION => FINAL_UNIT,
        key::REDIRECT_SERVER => REDIRECT,
        key::CC_MONEY => MONEY,
        key::UNIT_VALUE => UNIT,
        key::LP_CHARACTERISTICS => CHARACTERISTICS,
        _ => return None,
    })
}

// RFC 6733 section 6.11; RFC 3588 allowed several Vendor-Ids
const VENDOR_SPECIFIC_APPLICATION: &[Rule] = grammar! { 1*{ VENDOR_ID } [AUTH_APPLICATION_ID] [ACCT_APPLICATION_ID] };
// RFC 6733 section 7.6
const EXPERIMENTAL: &[Rule] = grammar! { { VENDOR_ID } { EXPERIMENTAL_RESULT_CODE } };
// RFC 6733 section 6.7.2
const PROXY: &[Rule] = grammar! { { PROXY_HOST } { PROXY_STATE } };
// RFC 8506 section 8.46
const SUBSCRIPTION: &[Rule] = grammar! { { SUBSCRIPTION_ID_TYPE } { SUBSCRIPTION_ID_DATA } };
// RFC 8506 section 8.49
const USER_EQUIPMENT: &[Rule] = grammar! { { USER_EQUIPMENT_INFO_TYPE } { USER_EQUIPMENT_INFO_VALUE } };
// RFC 8506 section 8.16 with the AVPs of TS 32.299
const SERVICES: &[Rule] = grammar! {
    [GRANTED_SERVICE_UNIT] [REQUESTED_SERVICE_UNIT] *[USED_SERVICE_UNIT] [TARIFF_CHANGE_USAGE]
    *[SERVICE_IDENTIFIER] [RATING_GROUP] *[G_S_U_POOL_REFERENCE] [VALIDITY_TIME] [RESULT_CODE]
    [FINAL_UNIT_INDICATION] [TIME_QUOTA_THRESHOLD] [VOLUME_QUOTA_THRESHOLD]
    [UNIT_QUOTA_THRESHOLD] [QUOTA_HOLDING_TIME] [QUOTA_CONSUMPTION_TIME] *[REPORTING_REASON]
    [TRIGGER] [PS_INFORMATION] [REFUND_INFORMATION] *[ENVELOPE] [TIME_QUOTA_MECHANISM]
    [QOS_INFORMATION]
};
// RFC 8506 section 8.18
const REQUESTED_UNIT: &[Rule] = grammar! {
    [CC_TIME] [CC_MONEY] [CC_TOTAL_OCTETS] [CC_INPUT_OCTETS] [CC_OUTPUT_OCTETS]
    [CC_SERVICE_SPECIFIC_UNITS]
};
// RFC 8506 section 8.17
const GRANTED_UNIT: &[Rule] = grammar! {
    [TARIFF_TIME_CHANGE] [CC_TIME] [CC_MONEY] [CC_TOTAL_OCTETS] [CC_INPUT_OCTETS]
    [CC_OUTPUT_OCTETS] [CC_SERVICE_SPECIFIC_UNITS]
};
// RFC 8506 section 8.19 with the AVPs of TS 32.299
const USED_UNIT: &[Rule] = grammar! {
    *[REPORTING_REASON] [TARIFF_CHANGE_USAGE] [CC_TIME] [CC_MONEY] [CC_TOTAL_OCTETS]
    [CC_INPUT_OCTETS] [CC_OUTPUT_OCTETS] [CC_SERVICE_SPECIFIC_UNITS]
};
// RFC 8506 section 8.34
const FINAL_UNIT: &[Rule] = grammar! {
    { FINAL_UNIT_ACTION } *[RESTRICTION_FILTER_RULE] *[FILTER_ID] [REDIRECT_SERVER]
};
// RFC 8506 section 8.37
const REDIRECT: &[Rule] = grammar! { { REDIRECT_ADDRESS_TYPE } { REDIRECT_SERVER_ADDRESS } };
// RFC 8506 section 8.22
const MONEY: &[Rule] = grammar! { { UNIT_VALUE } [CURRENCY_CODE] };
// RFC 8506 section 8.8
const UNIT: &[Rule] = grammar! { { VALUE_DIGITS } [EXPONENT] };
// line provisioning
const CHARACTERISTICS: &[Rule] = grammar! {
    { LP_ACCESS } [LP_IMSI] [LP_MSISDN] [LP_DEVICE_ID] *[LP_APN] [LP_PLAN] [LP_SERVICE_ADDRESS]
};
