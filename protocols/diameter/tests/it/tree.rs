//! Messages as text.

use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{refuse_report, refuse_undecoded};
use linegate_diameter::apps::gy::{CcRequest, CcRequestType, ServiceRequest, Subscriber, Units, UsedUnit};
use linegate_diameter::apps::lp::{self, Access, Action, Characteristics, ProvisionRequest};
use linegate_diameter::apps::s6a::{self, S6aAnswer, UpdateLocationRequest};
use linegate_diameter::codec::{Message, Time, Writer};
use linegate_diameter::dictionary::{self as dict, AvpDef, DataType, Dictionary, MandatoryBit, Strictness, key};
use linegate_diameter::{names, tree};
use proptest::prelude::*;

use crate::{message, numbered, origin, route};

/// Prints every message of a stream; whether all are good.
fn text(octets: &Bytes) -> (String, bool) {
    let (mut out, mut good, mut rest) = (String::new(), true, octets.clone());
    while !rest.is_empty() {
        let shown = tree::write_front(&rest, Dictionary::standard(), &mut out).unwrap();
        good &= shown.good;
        rest = rest.slice(shown.octets..);
    }
    (out, good)
}

#[track_caller]
fn check(octets: impl Into<Bytes>, good: bool, expected: &str) {
    let (text, is_good) = text(&octets.into());
    assert_eq!(text.trim_end(), expected.trim(), "\n{text}");
    assert_eq!(is_good, good);
}

fn octets(message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.write_to(&mut out);
    out
}

fn update() -> Message {
    let used = [UsedUnit { units: Units::octets(250_000), ..UsedUnit::default() }];
    let services = [ServiceRequest {
        rating_group: Some(10),
        requested: Some(Units::default()),
        used: (&used).into(),
        ..ServiceRequest::default()
    }];
    let request = CcRequest {
        event_timestamp: Time::from_unix_seconds(1_790_000_000),
        subscriber: Subscriber { imsi: Some("450050000000001"), ..Subscriber::default() },
        services: (&services).into(),
        ..CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Update, 4)
    };
    message(|out| request.encode(&numbered(CcRequest::header()), out))
}

/// `of` without the AVP `key`, with what `extra` writes behind.
fn changed(of: &Message, key: u64, extra: impl FnOnce(&mut Writer<'_>)) -> Message {
    message(|out| {
        let mut writer = Writer::begin(out, &of.header);
        for avp in of.avps().filter(|avp| avp.key() != key) {
            writer.avp(&avp);
        }
        extra(&mut writer);
        writer.finish();
    })
}

#[test]
fn a_credit_control_update_is_a_tree_with_names() {
    check(
        octets(&update()),
        true,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 304 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Origin-Realm (296) M = "example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Auth-Application-Id (258) M = 4 credit control
  Service-Context-Id (461) M = "32251@3gpp.org"
  CC-Request-Type (416) M = 2 UPDATE_REQUEST
  CC-Request-Number (415) M = 4
  Event-Timestamp (55) M = 2026-09-21T14:13:20Z
  Subscription-Id (443) M
    Subscription-Id-Type (450) M = 1 END_USER_IMSI
    Subscription-Id-Data (444) M = "450050000000001"
  Multiple-Services-Credit-Control (456) M
    Requested-Service-Unit (437) M
    Used-Service-Unit (446) M
      CC-Total-Octets (421) M = 250000
    Rating-Group (432) M = 10
  good
"#,
    );
}

#[test]
fn what_is_wrong_stands_at_its_avp_and_in_the_summary() {
    let request = changed(&update(), key::ORIGIN_REALM, |writer| {
        writer.octets(&dict::VALIDITY_TIME, &[1, 2, 3]).u32(&dict::CC_REQUEST_NUMBER, 4);
    });
    check(
        octets(&request),
        false,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 312 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Auth-Application-Id (258) M = 4 credit control
  Service-Context-Id (461) M = "32251@3gpp.org"
  CC-Request-Type (416) M = 2 UPDATE_REQUEST
  CC-Request-Number (415) M = 4
  Event-Timestamp (55) M = 2026-09-21T14:13:20Z
  Subscription-Id (443) M
    Subscription-Id-Type (450) M = 1 END_USER_IMSI
    Subscription-Id-Data (444) M = "450050000000001"
  Multiple-Services-Credit-Control (456) M
    Requested-Service-Unit (437) M
    Used-Service-Unit (446) M
      CC-Total-Octets (421) M = 250000
    Rating-Group (432) M = 10
  Validity-Time (448) M = 01 02 03
  ! octet 288: 5001 AVP_UNSUPPORTED: mandatory and not known here; a lenient peer's would pass
  ! octet 288: 5014 INVALID_AVP_LENGTH: length 11, need 12
  CC-Request-Number (415) M = 4
  ! octet 300: 5009 AVP_OCCURS_TOO_MANY_TIMES: occurs more than 1 times
  ! 5005 MISSING_AVP: Origin-Realm
  wrong: 5001 AVP_UNSUPPORTED: Validity-Time: mandatory and not known here (RFC 6733 section 7.1.5); a lenient peer's would pass
  wrong: 5014 INVALID_AVP_LENGTH: Validity-Time: length 11, need 12 (RFC 6733 section 7.1.5)
  wrong: 5009 AVP_OCCURS_TOO_MANY_TIMES: CC-Request-Number: occurs more than 1 times (RFC 6733 section 7.1.5)
  wrong: 5005 MISSING_AVP: Origin-Realm (RFC 6733 section 7.1.5)
"#,
    );
}

#[test]
fn failed_avp_shows_what_failed_elsewhere_unjudged() {
    let request = changed(&update(), key::CC_REQUEST_TYPE, |_| {});
    let report = dict::check(&request, Strictness::Strict);
    let answer = message(|out| assert!(refuse_report(&request, &report, &origin(), out)));
    check(
        octets(&answer),
        true,
        r#"
Credit-Control-Answer (272), Proxiable, Error, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 132 octets
  Session-Id (263) M = "pgw.example;1;2"
  Result-Code (268) M = 5005 MISSING_AVP
  Origin-Host (264) M = "gateway.linegate.example"
  Origin-Realm (296) M = "linegate.example"
  Failed-AVP (279) M
    CC-Request-Type (416) M = 0
  good
"#,
    );
}

#[test]
fn an_unknown_avp_is_kept_and_only_a_lenient_peer_may_set_its_m_bit() {
    const VENDORS_OWN: AvpDef = AvpDef {
        code: 4711,
        vendor: 10415,
        name: "none",
        data_type: DataType::OctetString,
        mandatory: MandatoryBit::M,
        value_names: &[],
    };
    const OPTIONAL: AvpDef = AvpDef { code: 65_000, vendor: 0, mandatory: MandatoryBit::Never, ..VENDORS_OWN };
    let request = changed(&update(), key::MULTIPLE_SERVICES_CREDIT_CONTROL, |writer| {
        writer.octets(&VENDORS_OWN, b"a\x1bb").octets(&OPTIONAL, b"a value of more than one line");
    });
    check(
        octets(&request),
        false,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 308 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Origin-Realm (296) M = "example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Auth-Application-Id (258) M = 4 credit control
  Service-Context-Id (461) M = "32251@3gpp.org"
  CC-Request-Type (416) M = 2 UPDATE_REQUEST
  CC-Request-Number (415) M = 4
  Event-Timestamp (55) M = 2026-09-21T14:13:20Z
  Subscription-Id (443) M
    Subscription-Id-Type (450) M = 1 END_USER_IMSI
    Subscription-Id-Data (444) M = "450050000000001"
  unknown AVP (4711, vendor 10415 3GPP) M 61 1b 62
  ! octet 252: 5001 AVP_UNSUPPORTED: mandatory and not known here; a lenient peer's would pass
  unknown AVP (65000) 29 octets
    61 20 76 61 6c 75 65 20 6f 66 20 6d 6f 72 65 20 "a value of more "
    74 68 61 6e 20 6f 6e 65 20 6c 69 6e 65 "than one line"
  wrong: 5001 AVP_UNSUPPORTED: unknown AVP 4711 of vendor 10415: mandatory and not known here (RFC 6733 section 7.1.5); a lenient peer's would pass
"#,
    );
}

#[test]
fn a_broken_chain_is_shown_up_to_the_octet_where_it_breaks() {
    let mut broken = octets(&changed(&update(), key::MULTIPLE_SERVICES_CREDIT_CONTROL, |writer| {
        writer.u32(&dict::RATING_GROUP, 7);
    }));
    let at = broken.len() - 5;
    broken[at] = 200;
    assert!(refuse_undecoded(&Message::decode(broken.clone().freeze()).unwrap_err(), &origin(), &mut BytesMut::new()));
    check(
        broken,
        false,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 264 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Origin-Realm (296) M = "example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Auth-Application-Id (258) M = 4 credit control
  Service-Context-Id (461) M = "32251@3gpp.org"
  CC-Request-Type (416) M = 2 UPDATE_REQUEST
  CC-Request-Number (415) M = 4
  Event-Timestamp (55) M = 2026-09-21T14:13:20Z
  Subscription-Id (443) M
    Subscription-Id-Type (450) M = 1 END_USER_IMSI
    Subscription-Id-Data (444) M = "450050000000001"
  ! octet 252: 5014 INVALID_AVP_LENGTH: Rating-Group: member cut short
    00 00 01 b0 40 00 00 c8 00 00 00 07
  wrong: 5014 INVALID_AVP_LENGTH: Rating-Group: member cut short, octet 252 (RFC 6733 section 7.1.5)
  the AVPs behind it cannot be read, and the grammar is not judged
"#,
    );
}

#[test]
fn a_group_that_breaks_is_shown_up_to_there_and_what_follows_it_too() {
    let mut members = BytesMut::from(
        &octets(&message(|out| {
            let mut writer = Writer::begin(out, &update().header);
            writer.u32(&dict::RATING_GROUP, 7).u32(&dict::VALIDITY_TIME, 60);
            writer.finish();
        }))[20..],
    );
    members[19] = 99;
    let request = changed(&update(), key::MULTIPLE_SERVICES_CREDIT_CONTROL, |writer| {
        writer.octets(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, &members).text(&dict::USER_NAME, "after");
    });
    check(
        octets(&request),
        false,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 300 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Origin-Realm (296) M = "example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Auth-Application-Id (258) M = 4 credit control
  Service-Context-Id (461) M = "32251@3gpp.org"
  CC-Request-Type (416) M = 2 UPDATE_REQUEST
  CC-Request-Number (415) M = 4
  Event-Timestamp (55) M = 2026-09-21T14:13:20Z
  Subscription-Id (443) M
    Subscription-Id-Type (450) M = 1 END_USER_IMSI
    Subscription-Id-Data (444) M = "450050000000001"
  Multiple-Services-Credit-Control (456) M
    Rating-Group (432) M = 7
    ! octet 272: 5014 INVALID_AVP_LENGTH: Validity-Time: member cut short
      00 00 01 c0 40 00 00 63 00 00 00 3c
  User-Name (1) M = "after"
  wrong: 5014 INVALID_AVP_LENGTH: Validity-Time: member cut short (RFC 6733 section 7.1.5)
"#,
    );
}

#[test]
fn a_message_that_is_cut_short_or_of_another_version_is_shown_as_far_as_it_goes() {
    let whole = octets(&update()).freeze();
    check(
        whole.slice(..60),
        false,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 304 octets
  Session-Id (263) M = "pgw.example;1;2"
  ! octet 44: cut short
    00 00 01 08 40 00 00 13 70 67 77 2e 65 78 61 6d
  wrong: cut short at octet 60: the header says 304 octets
"#,
    );
    let mut other = BytesMut::from(&whole[..]);
    other[0] = 2;
    check(
        other,
        false,
        r#"
Credit-Control-Request (272), Proxiable, application 4 credit control, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 304 octets
  wrong: 5011 UNSUPPORTED_VERSION: version 2, need 1 (RFC 6733 section 7.1.5)
"#,
    );
    check(
        Bytes::from_static(b"GET / HTTP"),
        false,
        r#"
10 octets, a header has 20
47 45 54 20 2f 20 48 54 54 50 "GET / HTTP"
"#,
    );
}

#[test]
fn line_provisioning_has_its_names() {
    let request = ProvisionRequest {
        route: route(),
        order_id: "order-1",
        line_id: "line-1",
        action: Action::Activate,
        characteristics: Some(Characteristics {
            imsi: Some("450050000000001"),
            apns: (&["iot.example"]).into(),
            ..Characteristics::new(Access::Cellular)
        }),
        event_timestamp: None,
    };
    let request = message(|out| request.encode(&numbered(ProvisionRequest::header()), out));
    check(
        octets(&request),
        true,
        r#"
Provision-Request (16777214), Proxiable, application 16777999 line provisioning, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 316 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Origin-Realm (296) M = "example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Vendor-Specific-Application-Id (260) M
    Vendor-Id (266) M = 32473 example
    Auth-Application-Id (258) M = 16777999 line provisioning
  Auth-Session-State (277) M = 1 NO_STATE_MAINTAINED
  Order-Id (1, vendor 32473 example) M = "order-1"
  Line-Id (2, vendor 32473 example) M = "line-1"
  Action (3, vendor 32473 example) M = 1 ACTIVATE
  Characteristics (14, vendor 32473 example) M
    Access (4, vendor 32473 example) M = 0 CELLULAR
    IMSI (5, vendor 32473 example) M = "450050000000001"
    APN (7, vendor 32473 example) M = "iot.example"
  good
"#,
    );
    let answer = message(|out| {
        let to = linegate_diameter::answer::ReplyTo::new(&request);
        lp::LineAnswer::new(lp::LINE_UNKNOWN).encode(&to, &origin(), out);
    });
    check(
        octets(&answer),
        true,
        r#"
Provision-Answer (16777214), Proxiable, application 16777999 line provisioning, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 176 octets
  Session-Id (263) M = "pgw.example;1;2"
  Experimental-Result (297) M
    Vendor-Id (266) M = 32473 example
    Experimental-Result-Code (298) M = 5001 LINE_UNKNOWN
  Origin-Host (264) M = "gateway.linegate.example"
  Origin-Realm (296) M = "linegate.example"
  Vendor-Specific-Application-Id (260) M
    Vendor-Id (266) M = 32473 example
    Auth-Application-Id (258) M = 16777999 line provisioning
  Auth-Session-State (277) M = 1 NO_STATE_MAINTAINED
  good
"#,
    );
}

#[test]
fn an_update_location_has_its_names() {
    let request = UpdateLocationRequest {
        route: route(),
        user_name: "450050000000001",
        rat_type: 1004,
        ulr_flags: 0x22,
        visited_plmn_id: &[0x54, 0xf0, 0x50],
        imei: Some("352099001761482"),
        software_version: None,
    };
    let request = message(|out| request.encode(&numbered(UpdateLocationRequest::header()), out));
    check(
        octets(&request),
        true,
        r#"
Update-Location-Request (316), Proxiable, application 16777251 S6a, hop-by-hop 0x12345678, end-to-end 0x9abcdef0, 292 octets
  Session-Id (263) M = "pgw.example;1;2"
  Origin-Host (264) M = "pgw.example"
  Origin-Realm (296) M = "example"
  Destination-Host (293) M = "gateway.linegate.example"
  Destination-Realm (283) M = "linegate.example"
  Vendor-Specific-Application-Id (260) M
    Vendor-Id (266) M = 10415 3GPP
    Auth-Application-Id (258) M = 16777251 S6a
  Auth-Session-State (277) M = 1 NO_STATE_MAINTAINED
  User-Name (1) M = "450050000000001"
  Terminal-Information (1401, vendor 10415 3GPP) M
    IMEI (1402, vendor 10415 3GPP) M = "352099001761482"
  RAT-Type (1032, vendor 10415 3GPP) = 1004 EUTRAN
  ULR-Flags (1405, vendor 10415 3GPP) M = 34
  Visited-PLMN-Id (1407, vendor 10415 3GPP) M = 54 f0 50
  good
"#,
    );
    let answer = message(|out| {
        let to = linegate_diameter::answer::ReplyTo::new(&request);
        S6aAnswer::new(s6a::USER_UNKNOWN).encode(&to, &origin(), out);
    });
    let (text, good) = text(&octets(&answer).freeze());
    assert!(good && text.contains("Experimental-Result-Code (298) M = 5001 USER_UNKNOWN"), "{text}");
}

#[test]
fn commands_are_found_by_their_names() {
    #[track_caller]
    fn check(name: &str, expected: Option<(u32, bool)>) {
        assert_eq!(names::command_named(name).map(|(command, request)| (command.code, request)), expected);
    }
    check("CCR", Some((272, true)));
    check("CCA", Some((272, false)));
    check("Credit-Control-Request", Some((272, true)));
    check("Provision-Answer", Some((0x00ff_fffe, false)));
    check("NOR", Some((323, true)));
    check("CC", None);
    check("R", None);
    check("", None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_printed_and_the_text_is_bounded(mut octets in prop::collection::vec(any::<u8>(), 0..300), front in any::<bool>()) {
        if front && octets.len() >= 20 {
            let length = octets.len() as u32;
            octets[..4].copy_from_slice(&(1 << 24 | length).to_be_bytes());
        }
        let (text, _) = text(&octets.clone().into());
        prop_assert!(text.len() <= 1000 + octets.len() * 64, "{} octets of text", text.len());
    }

    #[test]
    fn a_damaged_request_is_printed(at in 0_usize..400, value in any::<u8>()) {
        let mut damaged = octets(&update());
        let at = at % damaged.len();
        damaged[at] = value;
        text(&damaged.freeze());
    }
}
