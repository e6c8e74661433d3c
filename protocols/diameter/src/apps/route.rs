//! What every request and every answer of a session carries.

use bytes::BytesMut;

use crate::codec::{Avp, AvpError, Header, Message, Writer};
use crate::dictionary::{self as dict, key};
use crate::result_code::{Outcome, ResultCode};

/// Session, origin and destination of a request (RFC 6733 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// Session-Id 263.
    pub session_id: &'a str,
    /// Origin-Host 264.
    pub origin_host: &'a str,
    /// Origin-Realm 296.
    pub origin_realm: &'a str,
    /// Destination-Host 293.
    pub destination_host: Option<&'a str>,
    /// Destination-Realm 283.
    pub destination_realm: &'a str,
}

impl Route<'_> {
    /// Starts the request: its header and these AVPs.
    pub(super) fn begin<'b>(&self, header: &Header, out: &'b mut BytesMut) -> Writer<'b> {
        let mut writer = Writer::begin(out, header);
        writer
            .text(&dict::SESSION_ID, self.session_id)
            .text(&dict::ORIGIN_HOST, self.origin_host)
            .text(&dict::ORIGIN_REALM, self.origin_realm);
        if let Some(host) = self.destination_host {
            writer.text(&dict::DESTINATION_HOST, host);
        }
        writer.text(&dict::DESTINATION_REALM, self.destination_realm);
        writer
    }
}

#[derive(Default)]
pub(super) struct RouteReader<'a> {
    session_id: Option<&'a str>,
    origin_host: Option<&'a str>,
    origin_realm: Option<&'a str>,
    destination_host: Option<&'a str>,
    destination_realm: Option<&'a str>,
}

impl<'a> RouteReader<'a> {
    /// The values are taken as text: the check has seen that the identities
    /// among them are identities.
    #[inline(always)]
    pub(super) fn read(&mut self, avp: &Avp<'a>) -> Result<(), AvpError> {
        let field = match avp.key() {
            key::SESSION_ID => &mut self.session_id,
            key::ORIGIN_HOST => &mut self.origin_host,
            key::ORIGIN_REALM => &mut self.origin_realm,
            key::DESTINATION_HOST => &mut self.destination_host,
            key::DESTINATION_REALM => &mut self.destination_realm,
            _ => return Ok(()),
        };
        *field = Some(avp.text()?);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Route<'a>, AvpError> {
        Ok(Route {
            session_id: need(self.session_id, &dict::SESSION_ID)?,
            origin_host: need(self.origin_host, &dict::ORIGIN_HOST)?,
            origin_realm: need(self.origin_realm, &dict::ORIGIN_REALM)?,
            destination_host: self.destination_host,
            destination_realm: need(self.destination_realm, &dict::DESTINATION_REALM)?,
        })
    }
}

/// 5005 where a required AVP did not come.
#[inline]
pub(super) fn need<T>(value: Option<T>, def: &dict::AvpDef) -> Result<T, AvpError> {
    value.ok_or_else(|| AvpError::missing(def))
}

/// 5005 where a required member of the group `avp` did not come.
#[inline]
pub(super) fn need_in<T>(avp: &Avp<'_>, value: Option<T>, def: &dict::AvpDef) -> Result<T, AvpError> {
    value.ok_or_else(|| AvpError::missing(def).within(avp))
}

/// What every answer says, error answers included (RFC 6733 sections 6.2
/// and 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<'a> {
    /// Result-Code or Experimental-Result.
    pub outcome: Outcome,
    /// Origin-Host 264 of who answered.
    pub origin_host: &'a str,
    /// Origin-Realm 296 of who answered.
    pub origin_realm: &'a str,
    /// Session-Id 263; an error answer may lack it.
    pub session_id: Option<&'a str>,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
    /// Error-Message 281.
    pub error_message: Option<&'a str>,
}

impl<'a> Answered<'a> {
    /// Reads any answer, whatever its application. Result-Code wins where
    /// both it and Experimental-Result came.
    pub fn parse(answer: &'a Message) -> Result<Self, AvpError> {
        let mut result = None;
        let mut experimental = None;
        let (mut origin_host, mut origin_realm) = (None, None);
        let (mut session_id, mut origin_state_id, mut error_message) = (None, None, None);
        for avp in answer.avps() {
            match avp.key() {
                key::RESULT_CODE => result = Some(Outcome::Result(ResultCode(avp.u32()?))),
                key::EXPERIMENTAL_RESULT => experimental = Some(read_experimental(&avp)?),
                key::ORIGIN_HOST => origin_host = Some(avp.identity()?),
                key::ORIGIN_REALM => origin_realm = Some(avp.identity()?),
                key::SESSION_ID => session_id = Some(avp.text()?),
                key::ORIGIN_STATE_ID => origin_state_id = Some(avp.u32()?),
                key::ERROR_MESSAGE => error_message = Some(avp.text()?),
                _ => {}
            }
        }
        Ok(Self {
            outcome: need(result.or(experimental), &dict::RESULT_CODE)?,
            origin_host: need(origin_host, &dict::ORIGIN_HOST)?,
            origin_realm: need(origin_realm, &dict::ORIGIN_REALM)?,
            session_id,
            origin_state_id,
            error_message,
        })
    }
}

fn read_experimental(avp: &Avp<'_>) -> Result<Outcome, AvpError> {
    let (mut vendor, mut code) = (None, None);
    avp.read_members(|member, _| {
        match member.key() {
            key::VENDOR_ID => vendor = Some(member.u32()?),
            key::EXPERIMENTAL_RESULT_CODE => code = Some(member.u32()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Outcome::Experimental {
        vendor: need_in(avp, vendor, &dict::VENDOR_ID)?,
        code: need_in(avp, code, &dict::EXPERIMENTAL_RESULT_CODE)?,
    })
}

/// Vendor-Specific-Application-Id with an Auth-Application-Id
/// (RFC 6733 section 6.11).
pub(super) fn write_vendor_application(writer: &mut Writer<'_>, vendor: u32, application: u32) {
    writer.group(&dict::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
        group.u32(&dict::VENDOR_ID, vendor).u32(&dict::AUTH_APPLICATION_ID, application);
    });
}

/// Auth-Session-State NO_STATE_MAINTAINED (RFC 6733 section 8.11).
pub(super) const NO_STATE_MAINTAINED: i32 = 1;
