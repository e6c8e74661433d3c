//! Capabilities: CER and CEA (RFC 6733 section 5.3).

use std::net::IpAddr;

use bytes::BytesMut;

use crate::answer::{Origin, ReplyTo};
use crate::apps::route::need;
use crate::codec::{Address, Avp, AvpError, Header, Message, Writer};
use crate::dictionary::{self as dict, application, command, key};
use crate::result_code::Outcome;

/// Whether an application id was announced for authorisation or accounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApplicationKind {
    /// Auth-Application-Id 258.
    Auth,
    /// Acct-Application-Id 259.
    Acct,
}

/// One announced application (RFC 6733 sections 6.8, 6.9 and 6.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Application {
    /// Application id.
    pub id: u32,
    /// Vendor of the Vendor-Specific-Application-Id it came in, if any.
    pub vendor: Option<u32>,
    /// Which AVP names it.
    pub kind: ApplicationKind,
}

impl Application {
    /// Auth-Application-Id on its own.
    pub const fn auth(id: u32) -> Self {
        Self { id, vendor: None, kind: ApplicationKind::Auth }
    }

    /// Acct-Application-Id on its own.
    pub const fn acct(id: u32) -> Self {
        Self { id, vendor: None, kind: ApplicationKind::Acct }
    }

    /// Auth-Application-Id in a Vendor-Specific-Application-Id.
    pub const fn vendor_auth(vendor: u32, id: u32) -> Self {
        Self { id, vendor: Some(vendor), kind: ApplicationKind::Auth }
    }

    /// What the gateway serves: credit control both plain and as
    /// {10415, 4}, accounting, S6a and line provisioning.
    pub const GATEWAY: [Self; 5] = [
        Self::auth(application::CREDIT_CONTROL),
        Self::vendor_auth(dict::vendor::TGPP, application::CREDIT_CONTROL),
        Self::acct(application::ACCOUNTING),
        Self::vendor_auth(dict::vendor::TGPP, application::S6A),
        Self::vendor_auth(dict::vendor::EXAMPLE, application::LINE_PROVISIONING),
    ];

    fn write(&self, writer: &mut Writer<'_>) {
        let def = match self.kind {
            ApplicationKind::Auth => &dict::AUTH_APPLICATION_ID,
            ApplicationKind::Acct => &dict::ACCT_APPLICATION_ID,
        };
        match self.vendor {
            None => {
                writer.u32(def, self.id);
            }
            Some(vendor) => {
                writer.group(&dict::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
                    group.u32(&dict::VENDOR_ID, vendor).u32(def, self.id);
                });
            }
        }
    }
}

/// What a peer says of itself in CER and CEA (RFC 6733 section 5.3). Owned:
/// it lives as long as its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Origin-Host 264.
    pub origin_host: Box<str>,
    /// Origin-Realm 296.
    pub origin_realm: Box<str>,
    /// Host-IP-Address 257, those that are IPv4 or IPv6.
    pub host_ip_addresses: Vec<IpAddr>,
    /// Vendor-Id 266 of the maker.
    pub vendor_id: u32,
    /// Product-Name 269.
    pub product_name: Box<str>,
    /// Origin-State-Id 278; a higher one than before means lost sessions.
    pub origin_state_id: Option<u32>,
    /// Supported-Vendor-Id 265.
    pub supported_vendors: Vec<u32>,
    /// Every application announced, in order.
    pub applications: Vec<Application>,
    /// Inband-Security-Id 299: 0 none, 1 TLS (RFC 6733 section 6.10).
    pub inband_security: Vec<u32>,
    /// Firmware-Revision 267.
    pub firmware_revision: Option<u32>,
}

impl Capabilities {
    /// Reads CER, or a CEA that carries them all.
    pub fn parse(message: &Message) -> Result<Self, AvpError> {
        let (mut host, mut realm, mut vendor_id, mut product) = (None, None, None, None);
        let mut addressed = false;
        let mut found = Self {
            origin_host: "".into(),
            origin_realm: "".into(),
            host_ip_addresses: Vec::new(),
            vendor_id: 0,
            product_name: "".into(),
            origin_state_id: None,
            supported_vendors: Vec::new(),
            applications: Vec::new(),
            inband_security: Vec::new(),
            firmware_revision: None,
        };
        for avp in message.avps() {
            match avp.key() {
                key::ORIGIN_HOST => host = Some(avp.identity()?),
                key::ORIGIN_REALM => realm = Some(avp.identity()?),
                key::VENDOR_ID => vendor_id = Some(avp.u32()?),
                key::PRODUCT_NAME => product = Some(avp.text()?),
                key::HOST_IP_ADDRESS => {
                    addressed = true;
                    if let Address::Ip(address) = avp.address()? {
                        found.host_ip_addresses.push(address);
                    }
                }
                key::ORIGIN_STATE_ID => found.origin_state_id = Some(avp.u32()?),
                key::SUPPORTED_VENDOR_ID => found.supported_vendors.push(avp.u32()?),
                key::INBAND_SECURITY_ID => found.inband_security.push(avp.u32()?),
                key::FIRMWARE_REVISION => found.firmware_revision = Some(avp.u32()?),
                _ => read_application(&avp, &mut found.applications)?,
            }
        }
        found.origin_host = need(host, &dict::ORIGIN_HOST)?.into();
        found.origin_realm = need(realm, &dict::ORIGIN_REALM)?.into();
        need(addressed.then_some(()), &dict::HOST_IP_ADDRESS)?;
        found.vendor_id = need(vendor_id, &dict::VENDOR_ID)?;
        found.product_name = need(product, &dict::PRODUCT_NAME)?.into();
        Ok(found)
    }

    /// The header of a CER.
    pub const fn header() -> Header {
        Header::request(command::CAPABILITIES_EXCHANGE, application::BASE, false)
    }

    /// Appends a CER.
    pub fn encode_request(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = Writer::begin(out, header);
        writer.text(&dict::ORIGIN_HOST, &self.origin_host).text(&dict::ORIGIN_REALM, &self.origin_realm);
        self.write(&mut writer);
        writer.finish();
    }

    /// Appends a CEA.
    pub fn encode_answer(&self, to: &ReplyTo, outcome: Outcome, out: &mut BytesMut) {
        let origin = Origin::new(&self.origin_host, &self.origin_realm);
        let mut writer = to.begin(outcome, &origin, out);
        // An answer with the E bit has the generic grammar (RFC 6733 section 7.2).
        if !matches!(outcome, Outcome::Result(code) if code.is_protocol_error()) {
            self.write(&mut writer);
        }
        writer.finish();
    }

    /// The ids that both sides announce; the relay id on either side stands
    /// for all of the other's (RFC 6733 section 2.4). Empty is 5010.
    pub fn common_applications(&self, other: &Self) -> Vec<u32> {
        let relays = |side: &Self| side.applications.iter().any(|app| app.id == application::RELAY);
        let (we_relay, they_relay) = (relays(self), relays(other));
        let mut common = Vec::new();
        let ours = self
            .applications
            .iter()
            .filter(|ours| they_relay || other.applications.iter().any(|theirs| theirs.id == ours.id));
        let theirs = other.applications.iter().filter(|_| we_relay);
        for id in ours.chain(theirs).map(|app| app.id) {
            if !common.contains(&id) {
                common.push(id);
            }
        }
        common
    }

    fn write(&self, writer: &mut Writer<'_>) {
        for address in &self.host_ip_addresses {
            writer.address(&dict::HOST_IP_ADDRESS, *address);
        }
        writer.u32(&dict::VENDOR_ID, self.vendor_id).text(&dict::PRODUCT_NAME, &self.product_name);
        if let Some(state) = self.origin_state_id {
            writer.u32(&dict::ORIGIN_STATE_ID, state);
        }
        for vendor in &self.supported_vendors {
            writer.u32(&dict::SUPPORTED_VENDOR_ID, *vendor);
        }
        for application in &self.applications {
            application.write(writer);
        }
        for security in &self.inband_security {
            writer.u32(&dict::INBAND_SECURITY_ID, *security);
        }
        if let Some(revision) = self.firmware_revision {
            writer.u32(&dict::FIRMWARE_REVISION, revision);
        }
    }
}

fn read_application(avp: &Avp<'_>, out: &mut Vec<Application>) -> Result<(), AvpError> {
    match avp.key() {
        key::AUTH_APPLICATION_ID => out.push(Application::auth(avp.u32()?)),
        key::ACCT_APPLICATION_ID => out.push(Application::acct(avp.u32()?)),
        key::VENDOR_SPECIFIC_APPLICATION_ID => {
            let members = avp.grouped()?;
            let vendor = need(members.find(key::VENDOR_ID), &dict::VENDOR_ID)?.u32()?;
            for member in members {
                let start = out.len();
                if member.key() != key::VENDOR_SPECIFIC_APPLICATION_ID {
                    read_application(&member, out)?;
                }
                for found in &mut out[start..] {
                    found.vendor = Some(vendor);
                }
            }
        }
        _ => {}
    }
    Ok(())
}
