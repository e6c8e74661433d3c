//! Answers (RFC 6733 sections 6.2 and 7).
//!
//! An answer repeats the request's ids, command, application, P bit,
//! Session-Id and Proxy-Info. [`ReplyTo`] keeps just those, so the request
//! itself may go while the answer waits for a durable write.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::codec::{Avp, AvpError, CommandFlags, DecodeError, HEADER_LENGTH, Header, Message, Writer};
use crate::dictionary::{self as dict, Report, Strictness, key};
use crate::result_code::{Outcome, ResultCode};

/// Octets of an answer beside what it repeats of the request, about.
const ANSWER_LENGTH: usize = 512;

/// Who we are: Origin-Host and Origin-Realm, encoded once; a clone shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    host: Arc<str>,
    realm: Arc<str>,
    avps: Bytes,
}

impl Origin {
    /// From a DiameterIdentity and a realm (RFC 6733 sections 6.3 and 6.4).
    pub fn new(host: &str, realm: &str) -> Self {
        let mut out = BytesMut::new();
        let mut writer = Writer::begin(&mut out, &Header::request(0, 0, false));
        writer.text(&dict::ORIGIN_HOST, host).text(&dict::ORIGIN_REALM, realm);
        writer.finish();
        let avps = out.freeze().slice(HEADER_LENGTH..);
        Self { host: host.into(), realm: realm.into(), avps }
    }

    /// Origin-Host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Origin-Realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Both AVPs, encoded.
    pub fn avps(&self) -> &[u8] {
        &self.avps
    }
}

/// What an answer repeats of its request (RFC 6733 section 6.2). Shares the
/// request's bytes; two reference counts to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The header of the answer.
    pub header: Header,
    session_id: Option<Bytes>,
    /// The request, where it has Proxy-Info.
    proxied: Option<Message>,
}

impl ReplyTo {
    /// From the request; also from one whose AVP chain breaks somewhere.
    pub fn new(request: &Message) -> Self {
        let (mut session_id, mut has_proxy_info) = (None, false);
        for avp in request.avps() {
            match avp.key() {
                key::SESSION_ID => session_id = session_id.or(Some(avp.data)),
                key::PROXY_INFO => has_proxy_info = true,
                _ => {}
            }
        }
        Self::of(request, session_id, has_proxy_info)
    }

    /// From the request and what is known of it already: its first
    /// Session-Id, a slice of the request, and whether it has Proxy-Info.
    ///
    /// # Panics
    ///
    /// Where the Session-Id is not a slice of the request's octets.
    pub fn of(request: &Message, session_id: Option<&[u8]>, has_proxy_info: bool) -> Self {
        Self {
            header: request.header.answer(),
            session_id: session_id.map(|octets| request.body().slice_ref(octets)),
            proxied: has_proxy_info.then(|| request.clone()),
        }
    }

    /// From a header alone, where nothing else of the request can be read.
    pub const fn to_header(request: &Header) -> Self {
        Self { header: request.answer(), session_id: None, proxied: None }
    }

    /// The request's Session-Id as it came.
    pub fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_deref()
    }

    /// Octets that the answer repeats, at most.
    fn repeated_length(&self) -> usize {
        let proxied = self.proxied.as_ref().map_or(0, |request| request.body().len());
        self.session_id.as_ref().map_or(0, Bytes::len) + proxied
    }

    /// Starts the answer: header (with the E bit for a 3xxx), Session-Id,
    /// Result-Code or Experimental-Result, Origin-Host, Origin-Realm,
    /// Proxy-Info. The application's own AVPs follow, then
    /// [`Writer::finish`].
    pub fn begin<'a>(&self, outcome: Outcome, origin: &Origin, out: &'a mut BytesMut) -> Writer<'a> {
        let error = matches!(outcome, Outcome::Result(code) if code.is_protocol_error());
        self.begin_with(outcome, origin, error, out)
    }

    fn begin_with<'a>(&self, outcome: Outcome, origin: &Origin, error_bit: bool, out: &'a mut BytesMut) -> Writer<'a> {
        let mut header = self.header;
        if error_bit {
            header.flags = header.flags.with(CommandFlags::ERROR);
        }
        // once, rather than by doubling on the way
        out.reserve(self.repeated_length() + ANSWER_LENGTH);
        let mut writer = Writer::begin(out, &header);
        if let Some(session_id) = &self.session_id {
            writer.octets(&dict::SESSION_ID, session_id);
        }
        write_outcome(&mut writer, outcome);
        writer.encoded(&origin.avps);
        let proxies = self.proxied.iter().flat_map(Message::avps).filter(|avp| avp.key() == key::PROXY_INFO);
        for avp in proxies {
            writer.avp(&avp);
        }
        writer
    }
}

/// A whole answer that refuses `request` (RFC 6733 section 7.2).
///
/// A 3xxx has the E bit and the generic grammar. Any other code follows the
/// grammar of the command's own answer: the AVPs that it requires are taken
/// from the request; where they are not all there (a credit-control request
/// without Session-Id), the E bit and the generic grammar again. One
/// Failed-AVP is written for each AVP in `failed` that has this code; `why`
/// goes into Error-Message.
pub fn refuse(
    request: &Message,
    code: ResultCode,
    failed: &[AvpError],
    why: Option<&str>,
    origin: &Origin,
    out: &mut BytesMut,
) {
    let echoed = if code.is_protocol_error() { None } else { echoed(request, failed) };
    let reply = ReplyTo::new(request);
    let shown: usize = failed.iter().map(|error| error.failed_avp().len() + 8).sum();
    out.reserve(reply.repeated_length() + ANSWER_LENGTH + shown);
    let mut writer = reply.begin_with(code.into(), origin, echoed.is_none(), out);
    writer.encoded(&echoed.unwrap_or_default());
    if let Some(why) = why {
        writer.text(&dict::ERROR_MESSAGE, why);
    }
    for error in failed.iter().filter(|error| error.result_code() == code) {
        writer.group(&dict::FAILED_AVP, |group| {
            group.encoded(error.failed_avp());
        });
    }
    writer.finish();
}

/// Refuses the request for what [`dict::check`] found; false, and nothing
/// written, where it found nothing.
pub fn refuse_report(request: &Message, report: &Report, origin: &Origin, out: &mut BytesMut) -> bool {
    let Some(code) = report.result_code() else {
        return false;
    };
    refuse(request, code, &report.errors, None, origin, out);
    true
}

/// Refuses the request for one bad AVP.
pub fn refuse_avp(request: &Message, error: &AvpError, origin: &Origin, out: &mut BytesMut) {
    refuse(request, error.result_code(), std::slice::from_ref(error), None, origin, out);
}

/// Answers a request that could not be decoded (5011, 5014, 5015); false,
/// and nothing written, where nobody can be answered.
pub fn refuse_undecoded(error: &DecodeError, origin: &Origin, out: &mut BytesMut) -> bool {
    if !error.header().is_some_and(Header::is_request) {
        return false;
    }
    match error {
        DecodeError::Short { .. } => return false,
        DecodeError::Frame(error) => {
            let request = Message::without_avps(*error.header());
            refuse(&request, error.result_code(), &[], None, origin, out);
        }
        DecodeError::Avp { message, error } => refuse_avp(message, error, origin, out),
    }
    true
}

/// The AVPs that the command's answer requires beyond those that every
/// answer has, as the request has them; `None` where one is not there or is
/// itself at fault, or is the answerer's own to say (a CEA's).
fn echoed(request: &Message, failed: &[AvpError]) -> Option<BytesMut> {
    let header = &request.header;
    let command = dict::find_command(header.application_id, header.command_code)?;
    let mut out = BytesMut::new();
    for rule in command.answer.rules().iter().filter(|rule| rule.min > 0) {
        let key = rule.avp.key();
        match key {
            key::RESULT_CODE | key::ORIGIN_HOST | key::ORIGIN_REALM => continue,
            key::HOST_IP_ADDRESS | key::VENDOR_ID | key::PRODUCT_NAME => return None,
            _ => {}
        }
        let mut avp = request.find(key)?;
        avp.flags = rule.avp.flags();
        let reported = failed.iter().any(|error| error.vendor == avp.vendor_id() && error.code == avp.code());
        // a report keeps the first errors only: this one may be a later one's
        if reported || !is_good(header, &avp) {
            return None;
        }
        if key != key::SESSION_ID {
            avp.write_to(&mut out);
        }
    }
    Some(out)
}

/// True where the AVP, taken by itself, is right: in a message without a
/// grammar.
fn is_good(request: &Header, avp: &Avp<'_>) -> bool {
    let generic = Header { flags: CommandFlags::ERROR, ..request.answer() };
    let mut octets = BytesMut::with_capacity(HEADER_LENGTH + avp.length() + 3);
    let mut writer = Writer::begin(&mut octets, &generic);
    writer.avp(avp);
    writer.finish();
    Message::decode(octets.freeze()).is_ok_and(|alone| dict::check(&alone, Strictness::Strict).errors.is_empty())
}

pub(crate) fn write_outcome(writer: &mut Writer<'_>, outcome: Outcome) {
    match outcome {
        Outcome::Result(code) => {
            writer.u32(&dict::RESULT_CODE, code.0);
        }
        Outcome::Experimental { vendor, code } => {
            writer.group(&dict::EXPERIMENTAL_RESULT, |group| {
                group.u32(&dict::VENDOR_ID, vendor).u32(&dict::EXPERIMENTAL_RESULT_CODE, code);
            });
        }
    }
}
