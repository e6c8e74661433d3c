//! A dictionary that a file extends.

use linegate_diameter::apps::gy::{CcRequest, CcRequestType};
use linegate_diameter::codec::{Message, Writer};
use linegate_diameter::dictionary::{self as dict, AvpDef, DataType, Dictionary, MandatoryBit, Strictness};

use crate::{message, numbered, route};

const FILE: &str = "
# Meters of an example company
avp 4242 vendor 32473 Meter-Class Unsigned32 must
avp 4243 vendor 32473 Meter-Mode Enumerated may ( 0 IDLE, 1 RUNNING )   # its values have names
avp 70000 Meter-Name UTF8String mustnot
avp 4244 vendor 32473 Meter-Information Grouped must

Meter-Information ::= { Meter-Class } *2[ Meter-Mode ]
in Credit-Control-Request 1*{ Meter-Class } [Meter-Name]
in PS-Information [ Meter-Information ]
";

fn extended() -> Dictionary {
    Dictionary::standard().extend(&Dictionary::parse_extension(FILE).unwrap()).unwrap()
}

/// The AVP that the extension adds, for who writes it.
fn added(dictionary: &Dictionary, name: &str) -> AvpDef {
    *dictionary.find_avp_named(name).unwrap()
}

fn request(more: impl FnOnce(&mut Writer<'_>)) -> Message {
    let request = CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Initial, 0);
    let good = message(|out| request.encode(&numbered(CcRequest::header()), out));
    message(|out| {
        let mut writer = Writer::begin(out, &good.header);
        writer.encoded(good.body());
        more(&mut writer);
        writer.finish();
    })
}

#[test]
fn an_extension_adds_names_types_flags_and_rules() {
    let dictionary = extended();
    let class = added(&dictionary, "Meter-Class");
    assert_eq!((class.code, class.vendor, class.data_type), (4242, 32473, DataType::Unsigned32));
    assert_eq!(class.mandatory, MandatoryBit::M);
    assert_eq!(added(&dictionary, "Meter-Mode").value_name(1), Some("RUNNING"));
    assert_eq!(dictionary.find_avp(0, 70_000).map(|def| def.name), Some("Meter-Name"));
    assert_eq!(dictionary.find_avp(0, 1).map(|def| def.name), Some("User-Name"));
    assert_eq!(dictionary.avps().count(), dict::AVPS.len() + 4);
    // the standard one stays as it is
    assert_eq!(Dictionary::standard().find_avp(32473, 4242), None);
}

#[test]
fn an_extension_is_checked_like_the_standard() {
    #[track_caller]
    fn check(dictionary: &Dictionary, message: &Message, expected: &[u32]) {
        let report = dictionary.check(message, Strictness::Strict);
        let codes: Vec<u32> = report.errors.iter().map(|error| error.result_code().0).collect();
        assert_eq!(codes, expected);
    }
    let dictionary = extended();
    let (class, mode) = (added(&dictionary, "Meter-Class"), added(&dictionary, "Meter-Mode"));
    let information = added(&dictionary, "Meter-Information");
    let good = request(|writer| {
        writer.u32(&class, 1).u32(&class, 2).group(&dict::SERVICE_INFORMATION, |service| {
            service.group(&dict::PS_INFORMATION, |ps| {
                ps.group(&information, |meter| {
                    meter.u32(&class, 1).i32(&mode, 0).i32(&mode, 1);
                });
            });
        });
    });
    check(&dictionary, &good, &[]);
    check(Dictionary::standard(), &good, &[5001, 5001, 5001]);
    // missing, of the wrong length
    check(&dictionary, &request(|_| {}), &[5005]);
    check(&dictionary, &request(|writer| _ = writer.octets(&class, &[1])), &[5014]);
    // once too often, and what a closed group does not name
    let bad = request(|writer| {
        writer.u32(&class, 1).group(&dict::SERVICE_INFORMATION, |service| {
            service.group(&dict::PS_INFORMATION, |ps| {
                ps.group(&information, |meter| {
                    meter.u32(&class, 1).i32(&mode, 0).i32(&mode, 1).i32(&mode, 0).i32(&mode, 1);
                    meter.u32(&dict::RATING_GROUP, 1);
                });
            });
        });
    });
    check(&dictionary, &bad, &[5009, 5008]);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_line() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let extended = Dictionary::parse_extension(text).and_then(|more| Dictionary::standard().extend(&more));
        let error = extended.map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("extend the dictionary, line {expected}"));
    }
    check("\navp x", "2: need an AVP code at `x`");
    check("avp 5 vendor x A Unsigned32 may", "1: `x` is no data type of RFC 6733");
    check("avp 5 Meter Float32 may", "1: `Float32` is no data type of RFC 6733");
    check("avp 5 Meter Unsigned32", "1: need must, may or mustnot at ``");
    check("avp 5 Meter Unsigned32 may 7", "1: need `( 0 NAME, … )` or the end of the line at `7`");
    check("avp 1 Meter Unsigned32 may", "1: code 1 of vendor 0 is User-Name already");
    check("avp 70000 A Time may\navp 70000 B Time may", "2: code 70000 of vendor 0 is A already");
    check("avp 70000 User-Name Time may", "1: User-Name is there already");
    check(
        "in Credit-Control [ User-Name ]",
        "1: Credit-Control is neither a command, such as \
        Credit-Control-Request, nor a group with a grammar",
    );
    check(
        "in Failed-AVP [ User-Name ]",
        "1: Failed-AVP is neither a command, such as \
        Credit-Control-Request, nor a group with a grammar",
    );
    check("in PS-Information [ Meter ]", "1: no AVP is named Meter");
    check("in Credit-Control-Answer [ User-Name ]", "1: Credit-Control-Answer names User-Name already");
    check("in Credit-Control-Request 2*1[ Class ]", "1: Class: at least 2 and at most 1 times");
    check("in Credit-Control-Request *[ AVP ]", "1: no AVP is named AVP");
    check("in Credit-Control-Request", "1: need a rule such as `*[ Name ]` at `nothing`");
    check("in Credit-Control-Request Class", "1: need a rule such as `*[ Name ]` at `Class`");
    check("PS-Information ::= *[ AVP ]", "1: PS-Information is no group that lacks a grammar");
    check("User-Name ::= *[ AVP ]", "1: User-Name is no group that lacks a grammar");
    check("what is this", "1: need `avp …`, `in …` or `Group ::= …` at `what is this`");
}

#[test]
fn a_group_of_the_standard_that_takes_anything_can_be_given_a_grammar() {
    let text = "IMS-Information ::= { Node-Id }";
    let dictionary = Dictionary::standard().extend(&Dictionary::parse_extension(text).unwrap()).unwrap();
    let empty = request(|writer| {
        writer.group(&dict::SERVICE_INFORMATION, |service| {
            service.group(&dict::IMS_INFORMATION, |_| {});
        });
    });
    let report = dictionary.check(&empty, Strictness::Strict);
    assert_eq!(report.result_code().map(|code| code.0), Some(5005));
    assert_eq!(dict::check(&empty, Strictness::Strict).result_code(), None);
}
