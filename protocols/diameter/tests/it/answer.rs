//! Error answers.

use bytes::BytesMut;
use linegate_diameter::answer::{ReplyTo, refuse, refuse_report, refuse_undecoded};
use linegate_diameter::apps::base::Capabilities;
use linegate_diameter::apps::gy::{CcAnswer, CcRequest, CcRequestType};
use linegate_diameter::codec::{CommandFlags, Message, Writer};
use linegate_diameter::dictionary::{self as dict, Strictness, check, key};
use linegate_diameter::{Outcome, ResultCode};

use crate::{message, numbered, origin, route};

fn ccr(extra: impl FnOnce(&mut Writer<'_>)) -> Message {
    message(|out| {
        let request = CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Update, 4);
        request.encode(&numbered(CcRequest::header()), out);
        // the same AVPs again in a message of our own, with more behind them
        let base = Message::decode(out.split().freeze()).unwrap();
        let mut writer = Writer::begin(out, &base.header);
        writer.encoded(base.body());
        extra(&mut writer);
        writer.finish();
    })
}

fn without(request: &Message, key: u64) -> Message {
    message(|out| {
        let mut writer = Writer::begin(out, &request.header);
        for avp in request.avps().filter(|avp| avp.key() != key) {
            writer.avp(&avp);
        }
        writer.finish();
    })
}

fn result(answer: &Message) -> u32 {
    answer.find(key::RESULT_CODE).unwrap().u32().unwrap()
}

#[test]
fn proxy_info_is_copied_in_order_and_session_id_comes_first() {
    let request = ccr(|writer| {
        for state in [b"one", b"two"] {
            writer.group(&dict::PROXY_INFO, |group| {
                group.text(&dict::PROXY_HOST, "proxy.example").octets(&dict::PROXY_STATE, state);
            });
        }
    });
    let answer = message(|out| {
        CcAnswer::new(Outcome::SUCCESS, CcRequestType::Update, 4).encode(&ReplyTo::new(&request), &origin(), out);
    });
    assert_eq!(answer.avps().next().unwrap().key(), key::SESSION_ID);
    assert_eq!(answer.header.flags, CommandFlags::PROXIABLE);
    let proxies = |message: &Message| -> Vec<Vec<u8>> {
        let found = message.avps().filter(|avp| avp.key() == key::PROXY_INFO);
        found.map(|avp| avp.data.to_vec()).collect()
    };
    assert_eq!(proxies(&answer), proxies(&request));
    assert_eq!(proxies(&answer).len(), 2);
}

#[test]
fn a_protocol_error_has_the_e_bit() {
    let request = ccr(|_| {});
    let answer = message(|out| {
        let code = ResultCode::TOO_BUSY;
        refuse(&request, code, &[], Some("come back later"), &origin(), out);
    });
    assert!(answer.header.is_error() && !answer.header.is_request());
    assert_eq!(result(&answer), 3004);
    assert_eq!(answer.find(key::ERROR_MESSAGE).unwrap().text(), Ok("come back later"));
    assert!(answer.find(key::SESSION_ID).is_some());
}

#[test]
fn a_permanent_failure_follows_the_answers_own_grammar() {
    let request = without(&ccr(|_| {}), key::SERVICE_CONTEXT_ID);
    let report = check(&request, Strictness::Strict);
    let answer = message(|out| assert!(refuse_report(&request, &report, &origin(), out)));
    assert!(!answer.header.is_error());
    assert_eq!(result(&answer), 5005);
    assert_eq!(check(&answer, Strictness::Strict).result_code(), None);
    assert_eq!(CcAnswer::parse(&answer).unwrap().request_number, 4);
    let failed = answer.find(key::FAILED_AVP).unwrap().grouped().unwrap();
    assert!(failed.find(key::SERVICE_CONTEXT_ID).is_some());
}

#[test]
fn a_request_without_session_id_gets_the_generic_grammar() {
    let request = without(&ccr(|_| {}), key::SESSION_ID);
    let report = check(&request, Strictness::Strict);
    let answer = message(|out| assert!(refuse_report(&request, &report, &origin(), out)));
    assert!(answer.header.is_error());
    assert_eq!(result(&answer), 5005);
}

#[test]
fn a_refusal_repeats_no_avp_that_is_itself_bad() {
    // refused for something else, as where a report had no more room
    let bad = ccr(|writer| {
        writer.octets(&dict::CC_REQUEST_NUMBER, &[4]);
    });
    let bad = message(|out| {
        let mut writer = Writer::begin(out, &bad.header);
        for avp in bad.avps().filter(|avp| avp.key() != key::CC_REQUEST_NUMBER || avp.data.len() == 1) {
            writer.avp(&avp);
        }
        writer.finish();
    });
    let answer = message(|out| refuse(&bad, ResultCode::UNKNOWN_SESSION_ID, &[], None, &origin(), out));
    assert!(answer.header.is_error());
    assert_eq!(check(&answer, Strictness::Strict).result_code(), None);

    // with the M bit that the request's own lacked
    let bare = dict::AvpDef { mandatory: dict::MandatoryBit::Never, ..dict::CC_REQUEST_NUMBER };
    let mut request = without(&ccr(|_| {}), key::CC_REQUEST_NUMBER);
    request = message(|out| {
        let mut writer = Writer::begin(out, &request.header);
        writer.encoded(request.body()).u32(&bare, 4);
        writer.finish();
    });
    let answer = message(|out| refuse(&request, ResultCode::UNKNOWN_SESSION_ID, &[], None, &origin(), out));
    assert!(!answer.header.is_error());
    assert_eq!(check(&answer, Strictness::Strict).result_code(), None);
}

#[test]
fn a_refused_cer_gets_the_generic_grammar() {
    // what a CEA requires of the answerer is not the refuser's to say
    let cer = message(|out| {
        crate::apps::capabilities("pgw.example").encode_request(&numbered(Capabilities::header()), out);
    });
    let answer = message(|out| refuse(&cer, ResultCode::UNABLE_TO_COMPLY, &[], None, &origin(), out));
    assert!(answer.header.is_error());
    assert_eq!(check(&answer, Strictness::Strict).result_code(), None);
}

#[test]
fn a_request_that_cannot_be_decoded_is_answered_where_it_can_be() {
    let mut octets = BytesMut::new();
    ccr(|_| {}).write_to(&mut octets);
    // the last AVP claims more than there is
    let at = octets.len() - 5;
    octets[at] = 200;
    let error = Message::decode(octets.clone().freeze()).unwrap_err();
    let answer = message(|out| assert!(refuse_undecoded(&error, &origin(), out)));
    assert_eq!(result(&answer), 5014);
    assert!(answer.find(key::SESSION_ID).is_some());
    assert!(answer.find(key::FAILED_AVP).is_some());

    octets[0] = 2;
    let error = Message::decode(octets.clone().freeze()).unwrap_err();
    let answer = message(|out| assert!(refuse_undecoded(&error, &origin(), out)));
    assert_eq!(result(&answer), 5011);

    // an answer is never answered
    octets[4] = 0;
    let error = Message::decode(octets.freeze()).unwrap_err();
    assert!(!refuse_undecoded(&error, &origin(), &mut BytesMut::new()));
}
