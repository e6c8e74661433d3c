//! Requests of a session that the server starts: RAR and ASR.

use bytes::BytesMut;

use super::write_state;
use crate::apps::enumerated;
use crate::apps::route::{Route, RouteReader, need};
use crate::codec::{AvpError, Header, Message};
use crate::dictionary::{self as dict, command, key};

enumerated! {
    /// Re-Auth-Request-Type 285 (RFC 6733 section 8.12).
    ReAuthRequestType, "a Re-Auth-Request-Type" {
        /// Authorise again; credit control uses this one.
        AuthorizeOnly = 0,
        /// Authenticate and authorise again.
        AuthorizeAuthenticate = 1,
    }
}

/// Re-Auth-Request: the client is to report and ask anew (RFC 6733 section
/// 8.3.1, RFC 8506 section 5.5). The success of the answer is 2001, or 2002
/// where the client reports at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReAuthRequest<'a> {
    /// Session, origin and destination; the Destination-Host is required.
    pub route: Route<'a>,
    /// Auth-Application-Id 258 of the session.
    pub application_id: u32,
    /// Re-Auth-Request-Type 285.
    pub request_type: ReAuthRequestType,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
    /// Rating-Group 432: only this one; absent means the whole session.
    pub rating_group: Option<u32>,
    /// Service-Identifier 439: only this one.
    pub service_identifier: Option<u32>,
}

impl<'a> ReAuthRequest<'a> {
    /// The header of a RAR in this application.
    pub const fn header(application_id: u32) -> Header {
        Header::request(command::RE_AUTH, application_id, true)
    }

    /// Reads a RAR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut route = RouteReader::default();
        let (mut application_id, mut request_type, mut origin_state_id) = (None, None, None);
        let (mut rating_group, mut service_identifier) = (None, None);
        for avp in message.avps() {
            match avp.key() {
                key::AUTH_APPLICATION_ID => application_id = Some(avp.u32()?),
                key::RE_AUTH_REQUEST_TYPE => request_type = Some(ReAuthRequestType::read(&avp)?),
                key::ORIGIN_STATE_ID => origin_state_id = Some(avp.u32()?),
                key::RATING_GROUP => rating_group = Some(avp.u32()?),
                key::SERVICE_IDENTIFIER => service_identifier = Some(avp.u32()?),
                _ => route.read(&avp)?,
            }
        }
        Ok(Self {
            route: route.finish()?,
            application_id: need(application_id, &dict::AUTH_APPLICATION_ID)?,
            request_type: need(request_type, &dict::RE_AUTH_REQUEST_TYPE)?,
            origin_state_id,
            rating_group,
            service_identifier,
        })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = self.route.begin(header, out);
        writer
            .u32(&dict::AUTH_APPLICATION_ID, self.application_id)
            .i32(&dict::RE_AUTH_REQUEST_TYPE, self.request_type.value());
        write_state(&mut writer, self.origin_state_id);
        if let Some(group) = self.rating_group {
            writer.u32(&dict::RATING_GROUP, group);
        }
        if let Some(identifier) = self.service_identifier {
            writer.u32(&dict::SERVICE_IDENTIFIER, identifier);
        }
        writer.finish();
    }
}

/// Abort-Session-Request: the client is to end the session
/// (RFC 6733 section 8.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortSessionRequest<'a> {
    /// Session, origin and destination; the Destination-Host is required.
    pub route: Route<'a>,
    /// Auth-Application-Id 258 of the session.
    pub application_id: u32,
    /// Origin-State-Id 278.
    pub origin_state_id: Option<u32>,
}

impl<'a> AbortSessionRequest<'a> {
    /// The header of an ASR in this application.
    pub const fn header(application_id: u32) -> Header {
        Header::request(command::ABORT_SESSION, application_id, true)
    }

    /// Reads an ASR.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut route = RouteReader::default();
        let (mut application_id, mut origin_state_id) = (None, None);
        for avp in message.avps() {
            match avp.key() {
                key::AUTH_APPLICATION_ID => application_id = Some(avp.u32()?),
                key::ORIGIN_STATE_ID => origin_state_id = Some(avp.u32()?),
                _ => route.read(&avp)?,
            }
        }
        let application_id = need(application_id, &dict::AUTH_APPLICATION_ID)?;
        Ok(Self { route: route.finish()?, application_id, origin_state_id })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = self.route.begin(header, out);
        writer.u32(&dict::AUTH_APPLICATION_ID, self.application_id);
        write_state(&mut writer, self.origin_state_id);
        writer.finish();
    }
}
