//! What the standards call the numbers, for people: commands and their short
//! forms, applications, vendors, enumerated values, experimental results.
//!
//! The one way in which [`crate::tree`] and scripts ask the dictionary, so
//! that another dictionary can stand behind it.

use crate::dictionary::{self as dict, AvpDef, CommandDef, application, command, key, vendor};

/// The AVP of this vendor (0 for the IETF's) and code.
pub fn avp(vendor: u32, code: u32) -> Option<&'static AvpDef> {
    dict::find_avp(vendor, code)
}

/// Every AVP of this name; names are unique within a vendor alone.
pub fn avps_named(name: &str) -> impl Iterator<Item = &'static AvpDef> + use<'_> {
    dict::AVPS.iter().copied().filter(move |def| def.name == name)
}

/// The command with this code in this application.
pub fn command(application_id: u32, code: u32) -> Option<&'static CommandDef> {
    dict::find_command(application_id, code)
}

/// The command of a name, long or short, and whether it is the request:
/// `Credit-Control-Request`, `CCR`, `Provision-Answer`.
pub fn command_named(name: &str) -> Option<(&'static CommandDef, bool)> {
    let (stem, is_request) = match name.strip_suffix("-Request") {
        Some(stem) => (stem, true),
        None => match name.strip_suffix("-Answer") {
            Some(stem) => (stem, false),
            None => return short_named(name),
        },
    };
    dict::COMMANDS.iter().find(|command| command.name == stem).map(|command| (command, is_request))
}

fn short_named(name: &str) -> Option<(&'static CommandDef, bool)> {
    let (stem, is_request) = match name.strip_suffix('R') {
        Some(stem) => (stem, true),
        None => (name.strip_suffix('A')?, false),
    };
    let found = dict::COMMANDS.iter().find(|command| short(command.code) == Some(stem));
    found.map(|command| (command, is_request))
}

/// The standard's short form of a command without its last letter: `CC` for
/// CCR and CCA. Line provisioning has none.
pub const fn short(command_code: u32) -> Option<&'static str> {
    Some(match command_code {
        command::CAPABILITIES_EXCHANGE => "CE",
        command::DEVICE_WATCHDOG => "DW",
        command::DISCONNECT_PEER => "DP",
        command::CREDIT_CONTROL => "CC",
        command::ACCOUNTING => "AC",
        command::RE_AUTH => "RA",
        command::ABORT_SESSION => "AS",
        command::UPDATE_LOCATION => "UL",
        command::CANCEL_LOCATION => "CL",
        command::AUTHENTICATION_INFORMATION => "AI",
        command::INSERT_SUBSCRIBER_DATA => "ID",
        command::DELETE_SUBSCRIBER_DATA => "DS",
        command::PURGE_UE => "PU",
        command::NOTIFY => "NO",
        _ => return None,
    })
}

/// What an application is called.
pub const fn application(id: u32) -> Option<&'static str> {
    Some(match id {
        application::BASE => "Diameter common messages",
        application::ACCOUNTING => "base accounting",
        application::CREDIT_CONTROL => "credit control",
        application::S6A => "S6a",
        application::LINE_PROVISIONING => "line provisioning",
        application::RELAY => "relay",
        _ => return None,
    })
}

/// What a vendor is called (IANA private enterprise numbers).
pub const fn vendor(id: u32) -> Option<&'static str> {
    Some(match id {
        0 => "IETF",
        vendor::TGPP => "3GPP",
        vendor::EXAMPLE => "example",
        _ => return None,
    })
}

/// The name of an Experimental-Result-Code of a vendor.
pub const fn experimental_result(vendor_id: u32, code: u32) -> Option<&'static str> {
    Some(match (vendor_id, code) {
        // TS 29.272 section 7.4
        (vendor::TGPP, 4181) => "AUTHENTICATION_DATA_UNAVAILABLE",
        (vendor::TGPP, 5001) => "USER_UNKNOWN",
        (vendor::TGPP, 5004) => "ROAMING_NOT_ALLOWED",
        (vendor::TGPP, 5420) => "UNKNOWN_EPS_SUBSCRIPTION",
        (vendor::TGPP, 5421) => "RAT_NOT_ALLOWED",
        (vendor::TGPP, 5423) => "UNKNOWN_SERVING_NODE",
        // line provisioning
        (vendor::EXAMPLE, 4001) => "BUSY",
        (vendor::EXAMPLE, 5001) => "LINE_UNKNOWN",
        (vendor::EXAMPLE, 5002) => "ILLEGAL_TRANSITION",
        (vendor::EXAMPLE, 5003) => "ORDER_CONFLICT",
        (vendor::EXAMPLE, 5004) => "CHARACTERISTICS_REFUSED",
        _ => return None,
    })
}

/// The name of a value of an Enumerated AVP.
pub fn value(avp: u64, number: i32) -> Option<&'static str> {
    values(avp).iter().find(|(value, _)| *value == number).map(|(_, name)| *name)
}

/// The number of a value of an Enumerated AVP.
pub fn number(avp: u64, name: &str) -> Option<i32> {
    values(avp).iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
}

/// Values of an Enumerated AVP with the standard's names; empty where none
/// are known here.
pub const fn values(avp: u64) -> &'static [(i32, &'static str)] {
    match avp {
        // RFC 6733
        key::DISCONNECT_CAUSE => &[(0, "REBOOTING"), (1, "BUSY"), (2, "DO_NOT_WANT_TO_TALK_TO_YOU")],
        key::AUTH_REQUEST_TYPE => &[(1, "AUTHENTICATE_ONLY"), (2, "AUTHORIZE_ONLY"), (3, "AUTHORIZE_AUTHENTICATE")],
        key::AUTH_SESSION_STATE => &[(0, "STATE_MAINTAINED"), (1, "NO_STATE_MAINTAINED")],
        key::RE_AUTH_REQUEST_TYPE => &[(0, "AUTHORIZE_ONLY"), (1, "AUTHORIZE_AUTHENTICATE")],
        key::SESSION_SERVER_FAILOVER => {
            &[(0, "REFUSE_SERVICE"), (1, "TRY_AGAIN"), (2, "ALLOW_SERVICE"), (3, "TRY_AGAIN_ALLOW_SERVICE")]
        }
        key::TERMINATION_CAUSE => &[
            (1, "LOGOUT"),
            (2, "SERVICE_NOT_PROVIDED"),
            (3, "BAD_ANSWER"),
            (4, "ADMINISTRATIVE"),
            (5, "LINK_BROKEN"),
            (6, "AUTH_EXPIRED"),
            (7, "USER_MOVED"),
            (8, "SESSION_TIMEOUT"),
        ],
        key::ACCOUNTING_RECORD_TYPE => {
            &[(1, "EVENT_RECORD"), (2, "START_RECORD"), (3, "INTERIM_RECORD"), (4, "STOP_RECORD")]
        }
        key::ACCOUNTING_REALTIME_REQUIRED => &[(1, "DELIVER_AND_GRANT"), (2, "GRANT_AND_STORE"), (3, "GRANT_AND_LOSE")],
        // RFC 8506
        key::CC_REQUEST_TYPE => {
            &[(1, "INITIAL_REQUEST"), (2, "UPDATE_REQUEST"), (3, "TERMINATION_REQUEST"), (4, "EVENT_REQUEST")]
        }
        key::CC_SESSION_FAILOVER => &[(0, "FAILOVER_NOT_SUPPORTED"), (1, "FAILOVER_SUPPORTED")],
        key::CHECK_BALANCE_RESULT => &[(0, "ENOUGH_CREDIT"), (1, "NO_CREDIT")],
        key::CREDIT_CONTROL => &[(0, "CREDIT_AUTHORIZATION"), (1, "RE_AUTHORIZATION")],
        key::CREDIT_CONTROL_FAILURE_HANDLING => &[(0, "TERMINATE"), (1, "CONTINUE"), (2, "RETRY_AND_TERMINATE")],
        key::DIRECT_DEBITING_FAILURE_HANDLING => &[(0, "TERMINATE_OR_BUFFER"), (1, "CONTINUE")],
        key::REDIRECT_ADDRESS_TYPE => &[(0, "IPV4_ADDRESS"), (1, "IPV6_ADDRESS"), (2, "URL"), (3, "SIP_URI")],
        key::REQUESTED_ACTION => {
            &[(0, "DIRECT_DEBITING"), (1, "REFUND_ACCOUNT"), (2, "CHECK_BALANCE"), (3, "PRICE_ENQUIRY")]
        }
        key::FINAL_UNIT_ACTION => &[(0, "TERMINATE"), (1, "REDIRECT"), (2, "RESTRICT_ACCESS")],
        key::SUBSCRIPTION_ID_TYPE => &[
            (0, "END_USER_E164"),
            (1, "END_USER_IMSI"),
            (2, "END_USER_SIP_URI"),
            (3, "END_USER_NAI"),
            (4, "END_USER_PRIVATE"),
        ],
        key::TARIFF_CHANGE_USAGE => {
            &[(0, "UNIT_BEFORE_TARIFF_CHANGE"), (1, "UNIT_AFTER_TARIFF_CHANGE"), (2, "UNIT_INDETERMINATE")]
        }
        key::MULTIPLE_SERVICES_INDICATOR => {
            &[(0, "MULTIPLE_SERVICES_NOT_SUPPORTED"), (1, "MULTIPLE_SERVICES_SUPPORTED")]
        }
        key::USER_EQUIPMENT_INFO_TYPE => &[(0, "IMEISV"), (1, "MAC"), (2, "EUI64"), (3, "MODIFIED_EUI64")],
        _ => tgpp_values(avp),
    }
}

const fn tgpp_values(avp: u64) -> &'static [(i32, &'static str)] {
    match avp {
        // TS 32.299
        key::REPORTING_REASON => &[
            (0, "THRESHOLD"),
            (1, "QHT"),
            (2, "FINAL"),
            (3, "QUOTA_EXHAUSTED"),
            (4, "VALIDITY_TIME"),
            (5, "OTHER_QUOTA_TYPE"),
            (6, "RATING_CONDITION_CHANGE"),
            (7, "FORCED_REAUTHORISATION"),
            (8, "POOL_EXHAUSTED"),
        ],
        // TS 29.212 section 5.3.31
        key::RAT_TYPE => &[
            (0, "WLAN"),
            (1, "VIRTUAL"),
            (1000, "UTRAN"),
            (1001, "GERAN"),
            (1002, "GAN"),
            (1003, "HSPA_EVOLUTION"),
            (1004, "EUTRAN"),
            (1005, "EUTRAN_NB_IOT"),
        ],
        // TS 29.272
        key::CANCELLATION_TYPE => &[
            (0, "MME_UPDATE_PROCEDURE"),
            (1, "SGSN_UPDATE_PROCEDURE"),
            (2, "SUBSCRIPTION_WITHDRAWAL"),
            (3, "UPDATE_PROCEDURE_IWF"),
            (4, "INITIAL_ATTACH_PROCEDURE"),
        ],
        key::SUBSCRIBER_STATUS => &[(0, "SERVICE_GRANTED"), (1, "OPERATOR_DETERMINED_BARRING")],
        key::NETWORK_ACCESS_MODE => &[(0, "PACKET_AND_CIRCUIT"), (2, "ONLY_PACKET")],
        key::ALERT_REASON => &[(0, "UE_PRESENT"), (1, "UE_MEMORY_AVAILABLE")],
        key::PDN_TYPE => &[(0, "IPv4"), (1, "IPv6"), (2, "IPv4v6"), (3, "IPv4_OR_IPv6")],
        // line provisioning
        key::LP_ACTION => {
            &[(1, "ACTIVATE"), (2, "SUSPEND"), (3, "RESUME"), (4, "TERMINATE"), (5, "MODIFY"), (6, "RECONNECT")]
        }
        key::LP_ACCESS => &[(0, "CELLULAR"), (1, "INTERNET"), (2, "TV")],
        key::LP_LINE_STATE => &[(0, "ABSENT"), (1, "ACTIVE"), (2, "SUSPENDED"), (3, "TERMINATED")],
        _ => &[],
    }
}
