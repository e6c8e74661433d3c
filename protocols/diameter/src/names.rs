//! What people call the numbers: short forms of commands, applications,
//! vendors, experimental results. AVPs, commands and enumerated values have
//! their names in the [dictionary](crate::dictionary).

use crate::dictionary::{self as dict, AvpDef, CommandDef, application, command, vendor};

/// Every AVP of this name; names are unique within a vendor alone.
pub fn avps_named(name: &str) -> impl Iterator<Item = &'static AvpDef> + use<'_> {
    dict::AVPS.iter().copied().filter(move |def| def.name == name)
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
        command::RESET => "RS",
        command::SESSION_TERMINATION => "ST",
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
