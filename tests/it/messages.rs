//! Every message that our encoders write, in every shape, for judges that read
//! messages and hold no conversation.

mod charging;
mod lines;
mod refusals;

use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::Route;
use linegate_diameter::apps::base::{
    AbortSessionRequest, Application, Capabilities, DeviceWatchdog, DisconnectCause, DisconnectPeer, PlainAnswer,
    ReAuthRequest, ReAuthRequestType,
};
use linegate_diameter::codec::Time;
use linegate_diameter::dictionary::{self as dict, AvpDef, application};
use linegate_diameter::{Header, Message, Outcome, ResultCode};

/// One message on the wire.
pub struct Sample {
    /// What it shows.
    pub what: String,
    /// The message.
    pub bytes: Bytes,
}

/// Collects samples; each has hop-by-hop and end-to-end ids of its own, an
/// answer those of its request.
#[derive(Default)]
struct Samples {
    all: Vec<Sample>,
}

impl Samples {
    fn ids(&self, header: Header) -> Header {
        let number = u32::try_from(self.all.len()).unwrap() + 1;
        Header { hop_by_hop: 0x1000_0000 | number, end_to_end: 0x2000_0000 | number, ..header }
    }

    fn add(&mut self, what: &str, bytes: Bytes) -> Message {
        let message = Message::decode(bytes.clone()).unwrap_or_else(|e| panic!("{what}: {e}"));
        self.all.push(Sample { what: what.to_owned(), bytes });
        message
    }

    /// Adds a request; gives it for its answers.
    fn request(&mut self, what: &str, header: Header, write: impl FnOnce(&Header, &mut BytesMut)) -> Message {
        let mut out = BytesMut::new();
        write(&self.ids(header), &mut out);
        self.add(what, out.freeze())
    }

    /// Adds an answer to `request`.
    fn answer(&mut self, what: &str, request: &Message, write: impl FnOnce(&ReplyTo, &Origin, &mut BytesMut)) {
        let mut out = BytesMut::new();
        write(&ReplyTo::new(request), &origin(), &mut out);
        self.add(what, out.freeze());
    }
}

fn origin() -> Origin {
    Origin::new("gateway.linegate.example", "linegate.example")
}

/// From a peer to the gateway.
fn to_gateway() -> Route<'static> {
    Route {
        session_id: "pgw.example.net;1790000000;1",
        origin_host: "pgw.example.net",
        origin_realm: "example.net",
        destination_host: None,
        destination_realm: "linegate.example",
    }
}

/// From the gateway to a peer.
fn from_gateway() -> Route<'static> {
    Route {
        session_id: "gateway.linegate.example;1790000000;1",
        origin_host: "gateway.linegate.example",
        origin_realm: "linegate.example",
        destination_host: Some("peer.example.net"),
        destination_realm: "example.net",
    }
}

fn time() -> Option<Time> {
    Time::from_unix_seconds(1_790_000_000)
}

/// All of them.
pub fn all() -> Vec<Sample> {
    let mut samples = Samples::default();
    base(&mut samples);
    sessions(&mut samples);
    charging::gy(&mut samples);
    charging::rf(&mut samples);
    lines::provisioning(&mut samples);
    lines::s6a(&mut samples);
    refusals::all(&mut samples);
    samples.all
}

/// A CCA without its CC-Request-Number and with an AVP that nobody knows, to see
/// that a judge judges.
pub fn faulty_answer() -> Bytes {
    const NOBODYS: AvpDef = AvpDef { code: 9_999, name: "Nobodys", ..dict::ERROR_MESSAGE };
    let mut out = BytesMut::new();
    let request = Header::request(dict::command::CREDIT_CONTROL, application::CREDIT_CONTROL, true);
    let mut writer = ReplyTo::to_header(&request).begin(Outcome::SUCCESS, &origin(), &mut out);
    writer
        .text(&dict::SESSION_ID, "pgw.example.net;1790000000;1")
        .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
        .i32(&dict::CC_REQUEST_TYPE, 1)
        .text(&NOBODYS, "unknown");
    writer.finish();
    out.freeze()
}

fn base(samples: &mut Samples) {
    let ours = Capabilities {
        origin_host: "gateway.linegate.example".into(),
        origin_realm: "linegate.example".into(),
        host_ip_addresses: vec!["127.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        vendor_id: 0,
        product_name: "Linegate".into(),
        origin_state_id: Some(7),
        supported_vendors: vec![10415, 32473],
        applications: Application::GATEWAY.to_vec(),
        inband_security: vec![0],
        firmware_revision: Some(1),
    };
    let cer = samples.request("CER", Capabilities::header(), |header, out| ours.encode_request(header, out));
    samples.answer("CEA", &cer, |to, _, out| ours.encode_answer(to, Outcome::SUCCESS, out));
    for code in [ResultCode::NO_COMMON_APPLICATION, ResultCode::UNKNOWN_PEER] {
        samples.answer("CEA, refused", &cer, |to, _, out| ours.encode_answer(to, code.into(), out));
    }

    for state in [None, Some(7)] {
        let write = |header: &Header, out: &mut BytesMut| DeviceWatchdog::encode(header, &origin(), state, out);
        let dwr = samples.request("DWR", DeviceWatchdog::header(), write);
        let plain = PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id: state };
        samples.answer("DWA", &dwr, |to, origin, out| plain.encode(to, origin, out));
    }
    for &cause in DisconnectCause::ALL {
        let write = |header: &Header, out: &mut BytesMut| DisconnectPeer { cause }.encode(header, &origin(), out);
        let dpr = samples.request("DPR", DisconnectPeer::header(), write);
        let plain = PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id: None };
        samples.answer("DPA", &dpr, |to, origin, out| plain.encode(to, origin, out));
    }
}

fn sessions(samples: &mut Samples) {
    let outcomes = [ResultCode::SUCCESS, ResultCode::LIMITED_SUCCESS, ResultCode::UNKNOWN_SESSION_ID];
    let application_id = application::CREDIT_CONTROL;
    for (rating_group, service_identifier) in [(None, None), (Some(10), None), (None, Some(5))] {
        let request = ReAuthRequest {
            route: from_gateway(),
            application_id,
            request_type: ReAuthRequestType::AuthorizeOnly,
            origin_state_id: Some(7),
            rating_group,
            service_identifier,
        };
        let header = ReAuthRequest::header(application_id);
        let rar = samples.request("RAR", header, |header, out| request.encode(header, out));
        for code in outcomes {
            let plain = PlainAnswer { outcome: code.into(), origin_state_id: Some(7) };
            samples.answer("RAA", &rar, |to, origin, out| plain.encode(to, origin, out));
        }
    }
    let request = AbortSessionRequest { route: from_gateway(), application_id, origin_state_id: Some(7) };
    let header = AbortSessionRequest::header(application_id);
    let asr = samples.request("ASR", header, |header, out| request.encode(header, out));
    for code in outcomes {
        let plain = PlainAnswer { outcome: code.into(), origin_state_id: None };
        samples.answer("ASA", &asr, |to, origin, out| plain.encode(to, origin, out));
    }
}
