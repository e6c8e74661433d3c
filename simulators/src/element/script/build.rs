//! Messages that a script sends: what it gives, and around it what the
//! command's grammar requires. Written octet by octet, because a script may
//! want what [`linegate_diameter::Writer`] refuses to write.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use linegate_diameter::codec::CommandFlags;
use linegate_diameter::dictionary::{self as dict, AvpDef, application, command, key, vendor};
use linegate_diameter::{Header, Message, ResultCode};

use super::syntax::{Given, GivenAvp, Outgoing};
use super::value;
use super::variables::Variables;

/// Why a message cannot be built, and the script's line.
pub(super) type Mistake = (usize, String);

/// What messages are filled in from.
pub(super) struct Around<'a> {
    pub(super) variables: &'a Variables,
    /// Host-IP-Address.
    pub(super) local: IpAddr,
    /// CC-Request-Number and Accounting-Record-Number.
    pub(super) number: u32,
    pub(super) hop_by_hop: u32,
    pub(super) end_to_end: u32,
    /// The request that is answered.
    pub(super) request: Option<&'a Message>,
}

/// The octets of `outgoing`.
pub(super) fn message(outgoing: &Outgoing, around: &Around<'_>) -> Result<Bytes, Mistake> {
    let options = &outgoing.header;
    let header = header(outgoing, around);
    let mut body = BytesMut::with_capacity(512);
    let session_first = |avp: &&GivenAvp| avp.def.key() == key::SESSION_ID && !options.bare;
    for avp in outgoing.avps.iter().filter(session_first) {
        write(avp, around.variables, &mut body)?;
    }
    if !options.bare {
        fill_in(outgoing, &header, around, &mut body);
    }
    for avp in outgoing.avps.iter().filter(|avp| !session_first(avp)) {
        write(avp, around.variables, &mut body)?;
    }
    let length = options.length.unwrap_or(20 + body.len() as u32);
    let mut flags = header.flags;
    if options.error || is_protocol_error(outgoing) {
        flags = flags.with(CommandFlags::ERROR);
    }
    if options.retransmitted {
        flags = flags.with(CommandFlags::RETRANSMITTED);
    }
    let flags = options.flags.unwrap_or(flags.0);
    let mut out = BytesMut::with_capacity(20 + body.len());
    out.put_u32(u32::from(options.version.unwrap_or(1)) << 24 | (length & 0x00ff_ffff));
    out.put_u32(u32::from(flags) << 24 | header.command_code);
    out.put_u32(header.application_id);
    out.put_u32(header.hop_by_hop);
    out.put_u32(header.end_to_end);
    out.put_slice(&body);
    Ok(out.freeze())
}

fn header(outgoing: &Outgoing, around: &Around<'_>) -> Header {
    let command = outgoing.command;
    let options = &outgoing.header;
    let own = command.application.unwrap_or(application::CREDIT_CONTROL);
    let mut header = match around.request {
        Some(request) if !outgoing.is_request => request.header.answer(),
        _ => Header::request(command.code, own, command.proxiable),
    };
    if !outgoing.is_request {
        header.flags = CommandFlags(header.flags.0 & !CommandFlags::REQUEST.0);
    }
    if outgoing.is_request || around.request.is_none() {
        (header.hop_by_hop, header.end_to_end) = (around.hop_by_hop, around.end_to_end);
    }
    header.command_code = command.code;
    header.application_id = options.application.unwrap_or(header.application_id);
    header.hop_by_hop = options.hop_by_hop.unwrap_or(header.hop_by_hop);
    header.end_to_end = options.end_to_end.unwrap_or(header.end_to_end);
    header
}

/// A 3xxx sets the E bit (RFC 6733 section 7.1.3).
fn is_protocol_error(outgoing: &Outgoing) -> bool {
    let code = outgoing.avps.iter().find(|avp| avp.def.key() == key::RESULT_CODE);
    let octets = code.and_then(|avp| match &avp.value {
        Given::Octets(octets) => <[u8; 4]>::try_from(&octets[..]).ok(),
        _ => None,
    });
    octets.is_some_and(|octets| ResultCode(u32::from_be_bytes(octets)).is_protocol_error())
}

/// What the grammar requires and the script neither gives nor omits.
fn fill_in(outgoing: &Outgoing, header: &Header, around: &Around<'_>, out: &mut BytesMut) {
    let grammar = if outgoing.is_request { outgoing.command.request } else { outgoing.command.answer };
    let given = |key: u64| outgoing.avps.iter().any(|avp| avp.def.key() == key);
    for rule in grammar.rules() {
        let key = rule.avp.key();
        let outcome = key == key::RESULT_CODE && !given(key::EXPERIMENTAL_RESULT);
        let accounting = key == key::ACCT_APPLICATION_ID && header.command_code == command::ACCOUNTING;
        let wanted = rule.min > 0 || outcome || accounting;
        if !wanted || given(key) || outgoing.header.omitted.contains(&key) {
            continue;
        }
        if let Some(data) = filled(key, outgoing.is_request, header, around) {
            put(rule.avp, rule.avp.flags().0, None, &data, out);
        }
    }
    // RFC 6733 section 6.2
    for avp in around.request.iter().flat_map(|request| request.avps()) {
        if avp.key() == key::PROXY_INFO && !outgoing.is_request {
            avp.write_to(out);
        }
    }
}

/// A value for an AVP that the script leaves to us.
fn filled(key: u64, is_request: bool, header: &Header, around: &Around<'_>) -> Option<Bytes> {
    let variable = |name: &str| Bytes::copy_from_slice(around.variables.known(name).as_bytes());
    let word = |value: u32| Bytes::copy_from_slice(&value.to_be_bytes());
    let echoed = || {
        let avp = around.request?.find(key)?;
        Some(Bytes::copy_from_slice(avp.data))
    };
    Some(match key {
        key::SESSION_ID if is_request => variable("session"),
        key::ORIGIN_HOST => variable("host"),
        key::ORIGIN_REALM => variable("realm"),
        key::DESTINATION_REALM => variable("destination-realm"),
        key::DESTINATION_HOST => variable("destination-host"),
        key::SERVICE_CONTEXT_ID => variable("service-context"),
        key::PRODUCT_NAME => variable("product"),
        key::HOST_IP_ADDRESS => value::address(around.local),
        key::VENDOR_ID => word(vendor::EXAMPLE),
        key::AUTH_APPLICATION_ID | key::ACCT_APPLICATION_ID => word(header.application_id),
        // NO_STATE_MAINTAINED
        key::AUTH_SESSION_STATE => word(1),
        key::RESULT_CODE if !is_request => word(ResultCode::SUCCESS.0),
        key::CC_REQUEST_NUMBER | key::ACCOUNTING_RECORD_NUMBER if is_request => word(around.number),
        // REBOOTING, AUTHORIZE_ONLY
        key::DISCONNECT_CAUSE | key::RE_AUTH_REQUEST_TYPE => word(0),
        key::VENDOR_SPECIFIC_APPLICATION_ID => {
            let owner = match header.application_id {
                application::LINE_PROVISIONING => vendor::EXAMPLE,
                _ => vendor::TGPP,
            };
            let mut members = BytesMut::new();
            put(&dict::VENDOR_ID, dict::VENDOR_ID.flags().0, None, &word(owner), &mut members);
            let auth = &dict::AUTH_APPLICATION_ID;
            put(auth, auth.flags().0, None, &word(header.application_id), &mut members);
            members.freeze()
        }
        _ if !is_request => echoed()?,
        _ => return None,
    })
}

/// One AVP of the script, with its lies.
fn write(avp: &GivenAvp, variables: &Variables, out: &mut BytesMut) -> Result<(), Mistake> {
    let data = match &avp.value {
        Given::Absent => return Ok(()),
        Given::Any => Bytes::new(),
        Given::Octets(octets) => octets.clone(),
        Given::Later(_) => octets(avp, variables)?,
        Given::Group(members) => {
            let mut group = BytesMut::new();
            for member in members {
                write(member, variables, &mut group)?;
            }
            group.freeze()
        }
    };
    put(&avp.def, avp.flags.unwrap_or(avp.def.flags().0), avp.length, &data, out);
    Ok(())
}

/// The octets of a value that may hold variables.
pub(super) fn octets(avp: &GivenAvp, variables: &Variables) -> Result<Bytes, Mistake> {
    match &avp.value {
        Given::Octets(octets) => Ok(octets.clone()),
        Given::Later(literal) => {
            let literal = variables.filled(literal).map_err(|reason| (avp.line, reason))?;
            value::octets(&avp.def, &literal).map_err(|reason| (avp.line, reason))
        }
        Given::Any | Given::Absent | Given::Group(_) => Ok(Bytes::new()),
    }
}

fn put(def: &AvpDef, flags: u8, length: Option<u32>, data: &[u8], out: &mut BytesMut) {
    let has_vendor = flags & 0x80 != 0;
    let header: u32 = if has_vendor { 12 } else { 8 };
    let length = length.unwrap_or(header + data.len() as u32);
    out.put_u32(def.code);
    out.put_u32(u32::from(flags) << 24 | (length & 0x00ff_ffff));
    if has_vendor {
        out.put_u32(def.vendor);
    }
    out.put_slice(data);
    out.put_bytes(0, data.len().next_multiple_of(4) - data.len());
}
