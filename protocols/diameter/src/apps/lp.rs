//! Line provisioning, Linegate's own application 16777999 of vendor 32473;
//! the dictionary is published in `dictionary/line-provisioning.xml`.
//!
//! The gateway sends Provision and Query; the element that holds the line
//! answers. No session state is kept between requests.
//!
//! **Provision** carries out one order on one line and is idempotent by
//! Order-Id: an element that has carried out the order already answers the
//! same success with the line's present state and does nothing. A success
//! always has Line-State and Line-Version; the version rises by at least one
//! with every change and never falls. `activate` and `modify` carry
//! Characteristics, whole: what is not in them is removed. The others leave
//! them as they are.
//!
//! | action | legal from | leads to |
//! |---|---|---|
//! | activate | absent, active | active |
//! | suspend | active, suspended | suspended |
//! | resume | suspended, active | active |
//! | terminate | active, suspended, terminated | terminated |
//! | reconnect | terminated, active | active |
//! | modify | active, suspended | unchanged |
//!
//! Refusals are Experimental-Result of vendor 32473 ([`LINE_UNKNOWN`],
//! [`ILLEGAL_TRANSITION`], [`ORDER_CONFLICT`], [`CHARACTERISTICS_REFUSED`],
//! [`BUSY`]) and change nothing on the line.
//!
//! **Query** says what the element holds: the truth after a lost answer. A
//! line that it does not know is a success with the state absent.

use bytes::BytesMut;

use super::route::{Answered, NO_STATE_MAINTAINED, Route, RouteReader, need, need_in, write_vendor_application};
use super::{List, enumerated};
use crate::answer::{Origin, ReplyTo};
use crate::codec::{Avp, AvpError, Header, Message, Time, Writer};
use crate::dictionary::{self as dict, application, command, key, vendor};
use crate::result_code::Outcome;

/// 5001: the action needs a line that the element does not know.
pub const LINE_UNKNOWN: Outcome = experimental(5001);
/// 5002: the action is not legal from the line's state.
pub const ILLEGAL_TRANSITION: Outcome = experimental(5002);
/// 5003: the Order-Id came before with another line or action.
pub const ORDER_CONFLICT: Outcome = experimental(5003);
/// 5004: the characteristics cannot be provided.
pub const CHARACTERISTICS_REFUSED: Outcome = experimental(5004);
/// 4001: another order is being carried out on the line; try again.
pub const BUSY: Outcome = experimental(4001);

const fn experimental(code: u32) -> Outcome {
    Outcome::Experimental { vendor: vendor::EXAMPLE, code }
}

enumerated! {
    /// Action 3: what to do with the line.
    Action, "an Action" {
        /// Bring the line into service.
        Activate = 1,
        /// Stop its service, keep its data.
        Suspend = 2,
        /// Start the service of a suspended line again.
        Resume = 3,
        /// Take the line out of service.
        Terminate = 4,
        /// Change its characteristics.
        Modify = 5,
        /// Bring a terminated line back.
        Reconnect = 6,
    }
}

enumerated! {
    /// Access 4: the kind of line.
    Access, "an Access" {
        /// Cellular IoT.
        Cellular = 0,
        /// Fixed internet.
        Internet = 1,
        /// Television.
        Tv = 2,
    }
}

enumerated! {
    /// Line-State 11: what the element holds.
    LineState, "a Line-State" {
        /// It knows no such line.
        Absent = 0,
        /// In service.
        Active = 1,
        /// Service stopped.
        Suspended = 2,
        /// Out of service; its number may still be held.
        Terminated = 3,
    }
}

/// Characteristics 14: what the line is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Characteristics<'a> {
    /// Access 4.
    pub access: Access,
    /// IMSI 5: 6 to 15 digits, for cellular.
    pub imsi: Option<&'a str>,
    /// MSISDN 6: digits without a plus sign.
    pub msisdn: Option<&'a str>,
    /// Device-Id 10: modem, ONT or set-top box.
    pub device_id: Option<&'a str>,
    /// APN 7, each once.
    pub apns: List<'a, &'a str>,
    /// Plan 8.
    pub plan: Option<&'a str>,
    /// Service-Address 9: where a fixed line ends.
    pub service_address: Option<&'a str>,
}

impl<'a> Characteristics<'a> {
    /// Characteristics with the access and nothing else.
    pub const fn new(access: Access) -> Self {
        Self { access, imsi: None, msisdn: None, device_id: None, apns: List::EMPTY, plan: None, service_address: None }
    }

    fn read(avp: &Avp<'a>) -> Result<Self, AvpError> {
        let members = avp.grouped()?;
        let access = need_in(avp, members.find(key::LP_ACCESS), &dict::LP_ACCESS)?;
        let apns = List::wire(members, key::LP_APN);
        let mut found = Self { apns, ..Self::new(Access::read(&access)?) };
        for member in members {
            match member.key() {
                key::LP_IMSI => found.imsi = Some(member.text()?),
                key::LP_MSISDN => found.msisdn = Some(member.text()?),
                key::LP_DEVICE_ID => found.device_id = Some(member.text()?),
                key::LP_PLAN => found.plan = Some(member.text()?),
                key::LP_SERVICE_ADDRESS => found.service_address = Some(member.text()?),
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.group(&dict::LP_CHARACTERISTICS, |group| {
            group.i32(&dict::LP_ACCESS, self.access.value());
            let texts = [
                (&dict::LP_IMSI, self.imsi),
                (&dict::LP_MSISDN, self.msisdn),
                (&dict::LP_DEVICE_ID, self.device_id),
                (&dict::LP_PLAN, self.plan),
                (&dict::LP_SERVICE_ADDRESS, self.service_address),
            ];
            for (def, text) in texts {
                if let Some(text) = text {
                    group.text(def, text);
                }
            }
            self.apns.each(|apn| {
                group.text(&dict::LP_APN, apn);
            });
        });
    }
}

/// Provision-Request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProvisionRequest<'a> {
    /// Session, origin and destination.
    pub route: Route<'a>,
    /// Order-Id 1: the same for every repeat of this order's step.
    pub order_id: &'a str,
    /// Line-Id 2.
    pub line_id: &'a str,
    /// Action 3.
    pub action: Action,
    /// Characteristics 14; activate and modify need them.
    pub characteristics: Option<Characteristics<'a>>,
    /// Event-Timestamp 55: when the order was accepted.
    pub event_timestamp: Option<Time>,
}

impl<'a> ProvisionRequest<'a> {
    /// The header of a Provision-Request.
    pub const fn header() -> Header {
        Header::request(command::PROVISION, application::LINE_PROVISIONING, true)
    }

    /// Reads a request; activate or modify without characteristics is 5005.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut route = RouteReader::default();
        let (mut order_id, mut line_id, mut action) = (None, None, None);
        let (mut characteristics, mut event_timestamp) = (None, None);
        for avp in message.avps() {
            match avp.key() {
                key::LP_ORDER_ID => order_id = Some(avp.text()?),
                key::LP_LINE_ID => line_id = Some(avp.text()?),
                key::LP_ACTION => action = Some(Action::read(&avp)?),
                key::LP_CHARACTERISTICS => characteristics = Some(Characteristics::read(&avp)?),
                key::EVENT_TIMESTAMP => event_timestamp = Some(avp.time()?),
                _ => route.read(&avp)?,
            }
        }
        let action = need(action, &dict::LP_ACTION)?;
        if matches!(action, Action::Activate | Action::Modify) {
            need(characteristics, &dict::LP_CHARACTERISTICS)?;
        }
        Ok(Self {
            route: route.finish()?,
            order_id: need(order_id, &dict::LP_ORDER_ID)?,
            line_id: need(line_id, &dict::LP_LINE_ID)?,
            action,
            characteristics,
            event_timestamp,
        })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = self.route.begin(header, out);
        write_application(&mut writer);
        writer
            .text(&dict::LP_ORDER_ID, self.order_id)
            .text(&dict::LP_LINE_ID, self.line_id)
            .i32(&dict::LP_ACTION, self.action.value());
        if let Some(characteristics) = &self.characteristics {
            characteristics.write(&mut writer);
        }
        if let Some(time) = self.event_timestamp {
            writer.time(&dict::EVENT_TIMESTAMP, time);
        }
        writer.finish();
    }
}

/// Query-Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryRequest<'a> {
    /// Session, origin and destination.
    pub route: Route<'a>,
    /// Line-Id 2.
    pub line_id: &'a str,
}

impl<'a> QueryRequest<'a> {
    /// The header of a Query-Request.
    pub const fn header() -> Header {
        Header::request(command::QUERY, application::LINE_PROVISIONING, true)
    }

    /// Reads a request.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut route = RouteReader::default();
        let mut line_id = None;
        for avp in message.avps() {
            match avp.key() {
                key::LP_LINE_ID => line_id = Some(avp.text()?),
                _ => route.read(&avp)?,
            }
        }
        Ok(Self { route: route.finish()?, line_id: need(line_id, &dict::LP_LINE_ID)? })
    }

    /// Appends the request.
    pub fn encode(&self, header: &Header, out: &mut BytesMut) {
        let mut writer = self.route.begin(header, out);
        write_application(&mut writer);
        writer.text(&dict::LP_LINE_ID, self.line_id);
        writer.finish();
    }
}

/// Provision-Answer and Query-Answer: the line as the element holds it. An
/// answer with the E bit is not one: read [`Answered`] of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineAnswer<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// Order-Id 1 of a Provision.
    pub order_id: Option<&'a str>,
    /// Line-Id 2.
    pub line_id: Option<&'a str>,
    /// Line-State 11; always there in a success.
    pub line_state: Option<LineState>,
    /// Line-Version 12; always there in a success, 0 for an absent line.
    pub line_version: Option<u64>,
    /// Last-Order-Id 13: the last order that changed the line.
    pub last_order_id: Option<&'a str>,
    /// Characteristics 14, in a Query-Answer.
    pub characteristics: Option<Characteristics<'a>>,
}

impl<'a> LineAnswer<'a> {
    /// An answer that says its outcome and nothing of the line.
    pub const fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            order_id: None,
            line_id: None,
            line_state: None,
            line_version: None,
            last_order_id: None,
            characteristics: None,
        }
    }

    /// Appends the answer.
    pub fn encode(&self, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
        let mut writer = to.begin(self.outcome, origin, out);
        write_application(&mut writer);
        let texts = [
            (&dict::LP_ORDER_ID, self.order_id),
            (&dict::LP_LINE_ID, self.line_id),
            (&dict::LP_LAST_ORDER_ID, self.last_order_id),
        ];
        for (def, text) in texts {
            if let Some(text) = text {
                writer.text(def, text);
            }
        }
        if let Some(state) = self.line_state {
            writer.i32(&dict::LP_LINE_STATE, state.value());
        }
        if let Some(version) = self.line_version {
            writer.u64(&dict::LP_LINE_VERSION, version);
        }
        if let Some(characteristics) = &self.characteristics {
            characteristics.write(&mut writer);
        }
        writer.finish();
    }

    /// Reads an answer without the E bit; a success without the line's state
    /// or version is 5005.
    pub fn parse(message: &'a Message) -> Result<Self, AvpError> {
        let mut answer = Self::new(Answered::parse(message)?.outcome);
        for avp in message.avps() {
            match avp.key() {
                key::LP_ORDER_ID => answer.order_id = Some(avp.text()?),
                key::LP_LINE_ID => answer.line_id = Some(avp.text()?),
                key::LP_LAST_ORDER_ID => answer.last_order_id = Some(avp.text()?),
                key::LP_LINE_STATE => answer.line_state = Some(LineState::read(&avp)?),
                key::LP_LINE_VERSION => answer.line_version = Some(avp.u64()?),
                key::LP_CHARACTERISTICS => {
                    answer.characteristics = Some(Characteristics::read(&avp)?);
                }
                _ => {}
            }
        }
        if answer.outcome.is_success() {
            need(answer.line_state, &dict::LP_LINE_STATE)?;
            need(answer.line_version, &dict::LP_LINE_VERSION)?;
        }
        Ok(answer)
    }
}

fn write_application(writer: &mut Writer<'_>) {
    write_vendor_application(writer, vendor::EXAMPLE, application::LINE_PROVISIONING);
    writer.i32(&dict::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
}
