//! Error answers: protocol errors with the E bit, and refusals of broken
//! requests with Failed-AVP.

use bytes::BytesMut;
use linegate_diameter::answer::{refuse, refuse_report, refuse_undecoded};
use linegate_diameter::apps::gy::{CcRequest, CcRequestType};
use linegate_diameter::apps::lp::QueryRequest;
use linegate_diameter::apps::rf::{AccountingRequest, RecordType};
use linegate_diameter::apps::s6a::PurgeUeRequest;
use linegate_diameter::codec::DecodeError;
use linegate_diameter::dictionary::{self as dict, Strictness, application, check, command};
use linegate_diameter::{Header, Message, ResultCode, Writer};

use super::{Samples, origin, to_gateway};

/// Refusals of everything that can be asked of us.
pub fn all(samples: &mut Samples) {
    without_fault(samples);
    broken(samples);
    undecodable(samples);
}

/// Good requests that are refused.
fn without_fault(samples: &mut Samples) {
    let gy = CcRequest::new(to_gateway(), "32251@3gpp.org", CcRequestType::Update, 4);
    let rf = AccountingRequest::new(to_gateway(), RecordType::Interim, 4);
    let s6a = PurgeUeRequest { route: to_gateway(), user_name: "450080000000001", pur_flags: None };
    let lp = QueryRequest { route: to_gateway(), line_id: "line-1" };
    let requests = [
        samples.request("CCR", CcRequest::header(), |header, out| gy.encode(header, out)),
        samples.request("ACR", AccountingRequest::header(), |header, out| rf.encode(header, out)),
        samples.request("PUR", PurgeUeRequest::header(), |header, out| s6a.encode(header, out)),
        samples.request("Query", QueryRequest::header(), |header, out| lp.encode(header, out)),
    ];
    let codes = [
        ResultCode::COMMAND_UNSUPPORTED,
        ResultCode::UNABLE_TO_DELIVER,
        ResultCode::REALM_NOT_SERVED,
        ResultCode::TOO_BUSY,
        ResultCode::LOOP_DETECTED,
        ResultCode::APPLICATION_UNSUPPORTED,
        ResultCode::UNABLE_TO_COMPLY,
    ];
    for request in &requests {
        for code in codes {
            samples.answer("refusal", request, |_, origin, out| {
                refuse(request, code, &[], Some("and this is why"), origin, out);
            });
        }
    }
}

fn ccr_start<'a>(header: &Header, out: &'a mut BytesMut) -> Writer<'a> {
    let mut writer = Writer::begin(out, header);
    writer
        .text(&dict::SESSION_ID, "pgw.example.net;1;2")
        .text(&dict::ORIGIN_HOST, "pgw.example.net")
        .text(&dict::ORIGIN_REALM, "example.net")
        .text(&dict::DESTINATION_REALM, "linegate.example")
        .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
        .text(&dict::SERVICE_CONTEXT_ID, "32251@3gpp.org");
    writer
}

/// Each broken request, with the code that it earns.
fn broken(samples: &mut Samples) {
    type Spoil = fn(&mut Writer<'_>);
    let table: [(u32, Spoil); 5] = [
        (5005, |w| {
            w.u32(&dict::CC_REQUEST_NUMBER, 0);
        }),
        (5004, |w| {
            w.i32(&dict::CC_REQUEST_TYPE, 1).u32(&dict::CC_REQUEST_NUMBER, 0).octets(&dict::USER_NAME, &[0xff, 0xfe]);
        }),
        (5009, |w| {
            w.i32(&dict::CC_REQUEST_TYPE, 1).u32(&dict::CC_REQUEST_NUMBER, 0).u32(&dict::CC_REQUEST_NUMBER, 1);
        }),
        (5001, |w| {
            w.i32(&dict::CC_REQUEST_TYPE, 1).u32(&dict::CC_REQUEST_NUMBER, 0).i32(&dict::DISCONNECT_CAUSE, 1);
        }),
        (5014, |w| {
            w.i32(&dict::CC_REQUEST_TYPE, 1).octets(&dict::CC_REQUEST_NUMBER, &[0; 8]);
        }),
    ];
    let header = Header::request(command::CREDIT_CONTROL, application::CREDIT_CONTROL, true);
    for (code, spoil) in table {
        let mut out = BytesMut::new();
        let mut writer = ccr_start(&samples.ids(header), &mut out);
        spoil(&mut writer);
        writer.finish();
        let request = Message::decode(out.freeze()).unwrap();
        let report = check(&request, Strictness::Strict);
        assert_eq!(report.result_code(), Some(ResultCode(code)));
        samples.answer(&format!("refusal {code}"), &request, |_, origin, out| {
            assert!(refuse_report(&request, &report, origin, out));
        });
    }
}

/// An AVP whose length runs past the message.
fn undecodable(samples: &mut Samples) {
    let header = Header::request(command::CREDIT_CONTROL, application::CREDIT_CONTROL, true);
    let mut out = BytesMut::new();
    let mut writer = ccr_start(&samples.ids(header), &mut out);
    writer.u32(&dict::CC_REQUEST_NUMBER, 0);
    writer.finish();
    let at = out.len() - 5;
    out[at] = 200;
    let error: DecodeError = Message::decode(out.freeze()).unwrap_err();
    let mut answer = BytesMut::new();
    assert!(refuse_undecoded(&error, &origin(), &mut answer));
    samples.add("refusal of a length that runs out", answer.freeze());
}
