//! The dictionary and the grammar check.

use std::collections::HashSet;

use linegate_diameter::apps::gy::{CcRequest, CcRequestType};
use linegate_diameter::codec::{CommandFlags, Header, Message, Writer};
use linegate_diameter::dictionary::{self as dict, AvpDef, DataType, MandatoryBit, Strictness};

use crate::{message, numbered, route};

#[test]
fn every_avp_is_found_under_its_own_key() {
    let mut names = HashSet::new();
    for def in dict::AVPS {
        assert_eq!(dict::find_avp(def.vendor, def.code), Some(*def));
        assert!(names.insert((def.vendor, def.name)), "{} twice", def.name);
    }
    assert_eq!(dict::find_avp(0, 999_999), None);
}

#[test]
fn every_command_is_found_and_its_grammar_names_an_avp_once() {
    for command in dict::COMMANDS {
        let application = command.application.unwrap_or(dict::application::CREDIT_CONTROL);
        let found = dict::find_command(application, command.code).unwrap();
        assert_eq!(found.name, command.name);
        for rules in [command.request.rules(), command.answer.rules()] {
            let keys: HashSet<_> = rules.iter().map(|rule| rule.avp.key()).collect();
            assert_eq!(keys.len(), rules.len(), "{} names an AVP twice", command.name);
        }
    }
}

#[test]
fn the_published_dictionary_names_every_avp_of_line_provisioning() {
    let xml = include_str!("../../dictionary/line-provisioning.xml");
    let ours = dict::AVPS.iter().filter(|def| def.vendor == dict::vendor::EXAMPLE);
    for def in ours {
        let line = format!("<avp name=\"{}\" code=\"{}\"", def.name, def.code);
        assert!(xml.contains(&line), "{line}");
    }
    let application = format!("<application id=\"{}\"", dict::application::LINE_PROVISIONING);
    assert!(xml.contains(&application));
    for code in [dict::command::PROVISION, dict::command::QUERY] {
        assert!(xml.contains(&format!("code=\"{code}\"")));
    }
}

/// A good request, then changed: AVPs left out, AVPs added.
fn changed(left_out: &[&AvpDef], added: impl FnOnce(&mut Writer<'_>)) -> Message {
    let good = message(|out| {
        CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Initial, 0)
            .encode(&numbered(CcRequest::header()), out);
    });
    message(|out| {
        let mut writer = Writer::begin(out, &good.header);
        for avp in good.avps() {
            if left_out.iter().all(|def| def.key() != avp.key()) {
                writer.avp(&avp);
            }
        }
        added(&mut writer);
        writer.finish();
    })
}

#[track_caller]
fn check(message: &Message, strict: &[u32], lenient: &[u32], tolerated: &[u32]) {
    let codes = |errors: &[linegate_diameter::codec::AvpError]| -> Vec<u32> {
        errors.iter().map(|error| error.result_code().0).collect()
    };
    let report = dict::check(message, Strictness::Strict);
    assert_eq!(codes(&report.errors), strict, "strict");
    assert!(report.tolerated.is_empty());
    let report = dict::check(message, Strictness::Lenient);
    assert_eq!(codes(&report.errors), lenient, "lenient");
    assert_eq!(codes(&report.tolerated), tolerated, "tolerated");
}

const UNKNOWN: AvpDef = AvpDef {
    code: 60_000,
    vendor: 99_999,
    name: "Unknown",
    data_type: DataType::OctetString,
    mandatory: MandatoryBit::M,
    value_names: &[],
};

#[test]
fn a_good_request_has_no_errors() {
    check(&changed(&[], |_| {}), &[], &[], &[]);
}

#[test]
fn every_error_is_collected_with_its_code() {
    // missing, twice
    let missing = changed(&[&dict::CC_REQUEST_TYPE, &dict::ORIGIN_REALM], |_| {});
    check(&missing, &[5005, 5005], &[5005, 5005], &[]);
    // once too often; the third is not reported again
    let twice = changed(&[], |writer| {
        for number in [1, 2] {
            writer.u32(&dict::CC_REQUEST_NUMBER, number);
        }
    });
    check(&twice, &[5009], &[5009], &[]);
    // bad length and bad value, also within a group
    let bad = changed(&[], |writer| {
        writer.octets(&dict::ORIGIN_STATE_ID, &[1]);
        writer.octets(&dict::USER_NAME, &[0xff]);
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            group.octets(&dict::RATING_GROUP, &[1, 2]);
        });
    });
    check(&bad, &[5014, 5004, 5014], &[5014, 5004, 5014], &[]);
    // a member that its group requires
    let member = changed(&[], |writer| {
        writer.group(&dict::SUBSCRIPTION_ID, |group| {
            group.i32(&dict::SUBSCRIPTION_ID_TYPE, 1);
        });
    });
    check(&member, &[5005], &[5005], &[]);
}

#[test]
fn a_lenient_check_reports_what_it_lets_pass() {
    // unknown with the M bit, as such and within a group
    let unknown = changed(&[], |writer| {
        writer.octets(&UNKNOWN, b"x");
        writer.group(&dict::SERVICE_INFORMATION, |group| {
            group.octets(&UNKNOWN, b"x");
        });
    });
    check(&unknown, &[5001, 5001], &[], &[5001, 5001]);
    // known, but with no place in this grammar
    let unexpected = changed(&[], |writer| {
        writer.i32(&dict::ACCOUNTING_RECORD_TYPE, 1);
    });
    check(&unexpected, &[5001], &[], &[5001]);
    // M bit clear where it must be set
    let bits = AvpDef { mandatory: MandatoryBit::Never, ..dict::USER_NAME };
    let bits = changed(&[], |writer| {
        writer.text(&bits, "x");
    });
    check(&bits, &[3009], &[], &[3009]);
    // a V bit with Vendor-Id 0, before the value
    let no_vendor = changed(&[], |writer| {
        writer.encoded(&[0, 0, 0, 1, 0xc0, 0, 0, 13, 0, 0, 0, 0, b'x', 0, 0, 0]);
    });
    check(&no_vendor, &[3009], &[], &[3009]);
    // what a closed group does not name
    let closed = changed(&[], |writer| {
        writer.group(&dict::SUBSCRIPTION_ID, |group| {
            group
                .i32(&dict::SUBSCRIPTION_ID_TYPE, 1)
                .text(&dict::SUBSCRIPTION_ID_DATA, "450050000000001")
                .u32(&dict::RATING_GROUP, 1);
        });
    });
    check(&closed, &[5008], &[], &[5008]);
    // unknown without the M bit is passed over
    let optional = AvpDef { mandatory: MandatoryBit::Never, ..UNKNOWN };
    let optional = changed(&[], |writer| {
        writer.octets(&optional, b"x");
    });
    check(&optional, &[], &[], &[]);
}

#[test]
fn a_missing_avp_is_shown_with_a_value_of_zeros() {
    let report = dict::check(&changed(&[&dict::CC_REQUEST_NUMBER], |_| {}), Strictness::Strict);
    assert_eq!(report.errors[0].failed_avp(), [0, 0, 1, 159, 0x40, 0, 0, 12, 0, 0, 0, 0]);
}

#[test]
fn the_header_is_checked_first() {
    #[track_caller]
    fn check(header: Header, expected: Option<u32>) {
        let message = message(|out| {
            Writer::begin(out, &header).finish();
        });
        let report = dict::check(&message, Strictness::Strict);
        assert_eq!(report.header.map(|code| code.0), expected);
    }
    check(Header::request(999, 4, true), Some(3001));
    check(Header::request(272, 77, true), Some(3007));
    check(Header::request(272, 4, false), Some(3008));
    let both = CommandFlags::REQUEST.with(CommandFlags::ERROR);
    check(Header { flags: both, ..Header::request(272, 4, true) }, Some(3008));
    check(Header::request(272, 4, true), None);
}

#[test]
fn what_is_wrong_in_a_group_is_shown_within_it() {
    let bad = changed(&[], |writer| {
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |service| {
            service.u32(&dict::RATING_GROUP, 1).group(&dict::USED_SERVICE_UNIT, |used| {
                used.u64(&dict::CC_TOTAL_OCTETS, 1).octets(&dict::CC_TIME, &[1, 2]);
            });
        });
        writer.group(&dict::SUBSCRIPTION_ID, |group| {
            group.i32(&dict::SUBSCRIPTION_ID_TYPE, 1);
        });
    });
    let report = dict::check(&bad, Strictness::Strict);
    let [length, missing] = &report.errors[..] else { panic!("two errors") };
    // the AVP alone, in its groups without their other members
    assert_eq!((length.code, length.result_code().0), (420, 5014));
    let services = [0, 0, 1, 200, 0x40, 0, 0, 28];
    let used = [0, 0, 1, 190, 0x40, 0, 0, 20];
    let time = [0, 0, 1, 164, 0x40, 0, 0, 10, 1, 2, 0, 0];
    assert_eq!(length.failed_avp(), [&services[..], &used, &time].concat());
    assert_eq!((missing.code, missing.result_code().0), (444, 5005));
    assert_eq!(missing.failed_avp(), [0, 0, 1, 187, 0x40, 0, 0, 16, 0, 0, 1, 188, 0x40, 0, 0, 8]);
}

#[test]
fn an_avp_may_occur_as_often_as_its_rule_says() {
    #[track_caller]
    fn check(times: usize, expected: &[u32]) {
        let data = changed_s6a(|writer| {
            writer.group(&dict::SUBSCRIPTION_DATA, |data| {
                for code in 0..times {
                    data.octets(&dict::REGIONAL_SUBSCRIPTION_ZONE_CODE, &[0, code as u8]);
                }
            });
        });
        let report = dict::check(&data, Strictness::Strict);
        let codes: Vec<u32> = report.errors.iter().map(|error| error.result_code().0).collect();
        assert_eq!(codes, expected, "{times} times");
    }
    // `*10[ Regional-Subscription-Zone-Code ]`
    check(0, &[]);
    check(10, &[]);
    check(11, &[5009]);
    check(30, &[5009]);
}

fn changed_s6a(added: impl FnOnce(&mut Writer<'_>)) -> Message {
    message(|out| {
        let header = numbered(Header::request(dict::command::INSERT_SUBSCRIBER_DATA, dict::application::S6A, true));
        let mut writer = Writer::begin(out, &header);
        writer
            .text(&dict::SESSION_ID, "a;1;2")
            .i32(&dict::AUTH_SESSION_STATE, 1)
            .text(&dict::ORIGIN_HOST, "a.example")
            .text(&dict::ORIGIN_REALM, "example")
            .text(&dict::DESTINATION_HOST, "mme.example")
            .text(&dict::DESTINATION_REALM, "example")
            .text(&dict::USER_NAME, "450050000000001");
        added(&mut writer);
        writer.finish();
    })
}

#[test]
fn values_have_names() {
    assert_eq!(dict::CC_REQUEST_TYPE.value_name(2), Some("UPDATE_REQUEST"));
    assert_eq!(dict::RESULT_CODE.value_name(5030), Some("USER_UNKNOWN"));
    assert_eq!(dict::LP_ACTION.value_name(6), Some("RECONNECT"));
    assert_eq!(dict::CC_REQUEST_TYPE.value_name(9), None);
    assert_eq!(dict::RATING_GROUP.value_name(1), None);
}
