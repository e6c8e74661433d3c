//! The exchange of capabilities (RFC 6733 section 5.3).

use bytes::BytesMut;

use super::config::Config;
use super::{CloseReason, Opened};
use crate::answer::{ReplyTo, refuse, refuse_avp, refuse_report};
use crate::apps::Answered;
use crate::apps::base::Capabilities;
use crate::codec::Message;
use crate::dictionary::{Strictness, check};
use crate::result_code::{Outcome, ResultCode};

/// Inband-Security-Id NO_INBAND_SECURITY (RFC 6733 section 6.10).
const NO_INBAND_SECURITY: u32 = 0;

/// Reads a CER; an error is answered, and closes the connection. What is good
/// waits for its admission.
pub(super) fn read_cer(cer: &Message, config: &Config, out: &mut BytesMut) -> Result<Opened, CloseReason> {
    let report = check(cer, Strictness::Lenient);
    if let Some(code) = report.result_code() {
        refuse_report(cer, &report, &config.origin, out);
        return Err(CloseReason::Refused(code));
    }
    let peer = match Capabilities::parse(cer) {
        Ok(peer) => peer,
        Err(error) => {
            refuse_avp(cer, &error, &config.origin, out);
            return Err(CloseReason::Refused(error.result_code()));
        }
    };
    agree(peer, config).map_err(|code| {
        refuse_cer(cer, code, config, out);
        CloseReason::Refused(code)
    })
}

/// The CEA that opens the connection.
pub(super) fn accept_cer(cer: &Message, config: &Config, out: &mut BytesMut) {
    config.local.encode_answer(&ReplyTo::new(cer), Outcome::SUCCESS, out);
}

/// The CEA that refuses: a 3xxx in the generic grammar, any other code with
/// our capabilities.
pub(super) fn refuse_cer(cer: &Message, code: ResultCode, config: &Config, out: &mut BytesMut) {
    if code.is_protocol_error() {
        refuse(cer, code, &[], None, &config.origin, out);
    } else {
        config.local.encode_answer(&ReplyTo::new(cer), code.into(), out);
    }
}

/// Reads a CEA.
pub(super) fn read_cea(cea: &Message, config: &Config) -> Result<Opened, CloseReason> {
    let Ok(answered) = Answered::parse(cea) else {
        return Err(CloseReason::RefusedByPeer(None));
    };
    if !answered.outcome.is_success() {
        return Err(CloseReason::RefusedByPeer(Some(answered.outcome)));
    }
    let peer = Capabilities::parse(cea).map_err(|_| CloseReason::RefusedByPeer(None))?;
    agree(peer, config).map_err(CloseReason::Refused)
}

fn agree(peer: Capabilities, config: &Config) -> Result<Opened, ResultCode> {
    let security = &peer.inband_security;
    if !security.is_empty() && !security.contains(&NO_INBAND_SECURITY) {
        return Err(ResultCode::NO_COMMON_SECURITY);
    }
    let applications = config.local.common_applications(&peer);
    if applications.is_empty() {
        return Err(ResultCode::NO_COMMON_APPLICATION);
    }
    Ok(Opened { peer, applications })
}
