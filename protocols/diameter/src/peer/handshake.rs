//! The exchange of capabilities (RFC 6733 section 5.3).

use bytes::BytesMut;

use super::config::Config;
use super::{CloseReason, Opened};
use crate::answer::{Origin, ReplyTo, refuse, refuse_avp, refuse_report};
use crate::apps::Answered;
use crate::apps::base::Capabilities;
use crate::codec::Message;
use crate::dictionary::{Strictness, check};
use crate::result_code::{Outcome, ResultCode};

/// Inband-Security-Id NO_INBAND_SECURITY (RFC 6733 section 6.10).
const NO_INBAND_SECURITY: u32 = 0;

/// Answers a CER; an error is answered too, and closes the connection.
pub(super) fn answer_cer(
    cer: &Message,
    config: &Config,
    origin: &Origin,
    out: &mut BytesMut,
) -> Result<Opened, CloseReason> {
    let report = check(cer, Strictness::Lenient);
    if let Some(code) = report.result_code() {
        refuse_report(cer, &report, origin, out);
        return Err(CloseReason::Refused(code));
    }
    let peer = match Capabilities::parse(cer) {
        Ok(peer) => peer,
        Err(error) => {
            refuse_avp(cer, &error, origin, out);
            return Err(CloseReason::Refused(error.result_code()));
        }
    };
    // One connection for each identity and the election (section 5.6.4) are
    // decided here once a table of several connections can be asked.
    match agree(peer, config) {
        Ok(opened) => {
            config.local.encode_answer(&ReplyTo::new(cer), Outcome::SUCCESS, out);
            Ok(opened)
        }
        Err(code) if code.is_protocol_error() => {
            refuse(cer, code, &[], None, origin, out);
            Err(CloseReason::Refused(code))
        }
        Err(code) => {
            config.local.encode_answer(&ReplyTo::new(cer), code.into(), out);
            Err(CloseReason::Refused(code))
        }
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
    if !config.policy.serves(&peer.origin_host) {
        return Err(ResultCode::UNKNOWN_PEER);
    }
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
