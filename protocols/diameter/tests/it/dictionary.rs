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
