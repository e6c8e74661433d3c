//! Against an independent implementation, both ways.

use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use diameter::avp::{Address, AvpType, Enumerated, Grouped, Identity, UTF8String, Unsigned32, Unsigned64};
use diameter::dictionary::{AvpDefinition, DEFAULT_DICT_XML, Dictionary};
use diameter::{ApplicationId, CommandCode, DiameterMessage};
use linegate_diameter::Outcome;
use linegate_diameter::answer::ReplyTo;
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::base::{Application, Capabilities};
use linegate_diameter::apps::gy::{CcAnswer, CcRequest, CcRequestType, Grant, ServiceAnswer, Units};
use linegate_diameter::codec::Message;
use linegate_diameter::dictionary as dict;

use crate::apps::{capabilities, with_full_ccr};
use crate::{message, numbered, origin, route};

const M: u8 = 0x40;
const REQUEST: u8 = 0x80;
const PROXIABLE: u8 = 0x40;

fn dictionary() -> Arc<Dictionary> {
    static LOADED: OnceLock<Arc<Dictionary>> = OnceLock::new();
    let load = || {
        let mut dictionary = Dictionary::new(&[&DEFAULT_DICT_XML]);
        // it comes without these
        let missing = [
            (&dict::REPORTING_REASON, AvpType::Enumerated),
            (&dict::TRIGGER, AvpType::Grouped),
            (&dict::TRIGGER_TYPE, AvpType::Enumerated),
            (&dict::REFUND_INFORMATION, AvpType::OctetString),
            (&dict::TGPP_CHARGING_ID, AvpType::OctetString),
            (&dict::TGPP_SGSN_MCC_MNC, AvpType::UTF8String),
            (&dict::TGPP_IMSI_MCC_MNC, AvpType::UTF8String),
            (&dict::TGPP_RAT_TYPE, AvpType::OctetString),
            (&dict::TGPP_USER_LOCATION_INFO, AvpType::OctetString),
            (&dict::TGPP_CHARGING_CHARACTERISTICS, AvpType::UTF8String),
            (&dict::PDP_ADDRESS, AvpType::Address),
            (&dict::SGSN_ADDRESS, AvpType::Address),
            (&dict::GGSN_ADDRESS, AvpType::Address),
        ];
        for (def, avp_type) in missing {
            let (code, vendor_id) = (def.code, Some(def.vendor));
            if dictionary.get_avp(code, vendor_id).is_none() {
                let name = def.name.into();
                dictionary.add_avp(AvpDefinition { code, vendor_id, name, avp_type, m_flag: true });
            }
        }
        Arc::new(dictionary)
    };
    LOADED.get_or_init(load).clone()
}

fn ours(theirs: &DiameterMessage) -> Message {
    let mut octets = Vec::new();
    theirs.encode_to(&mut octets).unwrap();
    Message::decode(Bytes::from(octets)).unwrap()
}

fn theirs(write: impl FnOnce(&mut BytesMut)) -> DiameterMessage {
    let mut out = BytesMut::new();
    write(&mut out);
    DiameterMessage::decode_from(&mut Cursor::new(&out[..]), dictionary()).unwrap()
}

fn text(value: &str) -> diameter::avp::AvpValue {
    UTF8String::new(value).into()
}

fn identity(value: &str) -> diameter::avp::AvpValue {
    Identity::new(value).into()
}

fn group(fill: impl FnOnce(&mut Grouped)) -> diameter::avp::AvpValue {
    let mut group = Grouped::new(vec![], dictionary());
    fill(&mut group);
    group.into()
}

#[test]
fn we_read_their_cer_and_they_read_ours() {
    let code = CommandCode::CapabilitiesExchange;
    let mut cer = DiameterMessage::new(code, ApplicationId::Common, REQUEST, 1, 2, dictionary());
    cer.add_avp(264, None, M, identity("pgw.example"));
    cer.add_avp(296, None, M, identity("example"));
    cer.add_avp(257, None, M, Address::from_ipv4("10.0.0.1".parse().unwrap()).into());
    cer.add_avp(266, None, M, Unsigned32::new(7).into());
    cer.add_avp(269, None, 0, text("other"));
    cer.add_avp(258, None, M, Unsigned32::new(4).into());
    cer.add_avp(
        260,
        None,
        M,
        group(|group| {
            group.add_avp(266, None, M, Unsigned32::new(10415).into());
            group.add_avp(258, None, M, Unsigned32::new(4).into());
        }),
    );
    let got = Capabilities::parse(&ours(&cer)).unwrap();
    assert_eq!(&*got.origin_host, "pgw.example");
    assert_eq!(got.vendor_id, 7);
    assert_eq!(got.host_ip_addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(got.applications, [Application::auth(4), Application::vendor_auth(10415, 4)]);

    let sent = capabilities("gateway.linegate.example");
    let got = theirs(|out| sent.encode_request(&numbered(Capabilities::header()), out));
    assert_eq!(got.get_command_code(), code);
    assert_eq!(got.get_hop_by_hop_id(), 0x1234_5678);
    let host = got.get_avp(264).unwrap().get_identity().unwrap();
    assert_eq!(host.value(), "gateway.linegate.example");
    assert_eq!(got.get_avps().iter().filter(|avp| avp.get_code() == 257).count(), 2);
}

#[test]
fn we_read_their_ccr_and_they_read_ours() {
    let flags = REQUEST | PROXIABLE;
    let mut ccr =
        DiameterMessage::new(CommandCode::CreditControl, ApplicationId::CreditControl, flags, 1, 2, dictionary());
    ccr.add_avp(263, None, M, text("pgw.example;1;2"));
    ccr.add_avp(264, None, M, identity("pgw.example"));
    ccr.add_avp(296, None, M, identity("example"));
    ccr.add_avp(283, None, M, identity("linegate.example"));
    ccr.add_avp(258, None, M, Unsigned32::new(4).into());
    ccr.add_avp(461, None, M, text("32251@3gpp.org"));
    ccr.add_avp(416, None, M, Enumerated::new(2).into());
    ccr.add_avp(415, None, M, Unsigned32::new(9).into());
    ccr.add_avp(
        443,
        None,
        M,
        group(|group| {
            group.add_avp(450, None, M, Enumerated::new(1).into());
            group.add_avp(444, None, M, text("450050000000001"));
        }),
    );
    ccr.add_avp(
        456,
        None,
        M,
        group(|services| {
            services.add_avp(432, None, M, Unsigned32::new(10).into());
            services.add_avp(
                446,
                None,
                M,
                group(|used| {
                    used.add_avp(421, None, M, Unsigned64::new(123_456).into());
                }),
            );
        }),
    );
    ccr.add_avp(
        873,
        Some(10415),
        M,
        group(|service| {
            service.add_avp(
                874,
                Some(10415),
                M,
                group(|ps| {
                    ps.add_avp(30, None, M, text("iot.example"));
                }),
            );
        }),
    );
    let message = ours(&ccr);
    let got = CcRequest::parse(&message).unwrap();
    assert_eq!((got.request_type, got.request_number), (CcRequestType::Update, 9));
    assert_eq!(got.subscriber.imsi, Some("450050000000001"));
    assert_eq!(got.apn(), Some("iot.example"));
    let service = got.services.iter().next().unwrap().unwrap();
    assert_eq!(service.rating_group, Some(10));
    let used = service.used.iter().next().unwrap().unwrap();
    assert_eq!(used.units, Units::octets(123_456));
    let strict = linegate_diameter::dictionary::Strictness::Strict;
    assert_eq!(linegate_diameter::dictionary::check(&message, strict).result_code(), None);

    with_full_ccr(|request| {
        let got = theirs(|out| request.encode(&numbered(CcRequest::header()), out));
        assert_eq!(got.get_avp(415).unwrap().get_unsigned32(), Some(4));
        let services = got.get_avps().iter().filter(|avp| avp.get_code() == 456);
        assert_eq!(services.count(), 2);
        let information = got.get_avp(873).unwrap().get_grouped().unwrap();
        assert_eq!(information.avps().last().unwrap().get_code(), 874);
    });
}

#[test]
fn we_read_their_cca_and_they_read_ours() {
    let mut cca =
        DiameterMessage::new(CommandCode::CreditControl, ApplicationId::CreditControl, PROXIABLE, 1, 2, dictionary());
    cca.add_avp(263, None, M, text("pgw.example;1;2"));
    cca.add_avp(268, None, M, Unsigned32::new(2001).into());
    cca.add_avp(264, None, M, identity("ocs.example"));
    cca.add_avp(296, None, M, identity("example"));
    cca.add_avp(258, None, M, Unsigned32::new(4).into());
    cca.add_avp(416, None, M, Enumerated::new(1).into());
    cca.add_avp(415, None, M, Unsigned32::new(0).into());
    cca.add_avp(
        456,
        None,
        M,
        group(|services| {
            services.add_avp(
                431,
                None,
                M,
                group(|grant| {
                    grant.add_avp(421, None, M, Unsigned64::new(1_000_000).into());
                }),
            );
            services.add_avp(432, None, M, Unsigned32::new(10).into());
            services.add_avp(448, None, M, Unsigned32::new(3600).into());
        }),
    );
    let message = ours(&cca);
    assert_eq!(Answered::parse(&message).unwrap().origin_host, "ocs.example");
    let got = CcAnswer::parse(&message).unwrap();
    assert_eq!(got.outcome, Outcome::SUCCESS);
    let service = got.services.iter().next().unwrap().unwrap();
    assert_eq!(service.granted.unwrap().units, Units::octets(1_000_000));
    assert_eq!(service.validity_time, Some(3600));

    let request = message_of_ccr();
    let services = [ServiceAnswer {
        rating_group: Some(10),
        granted: Some(Grant { units: Units::octets(5), tariff_time_change: None }),
        ..ServiceAnswer::default()
    }];
    let answer =
        CcAnswer { services: (&services).into(), ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Initial, 0) };
    let got = theirs(|out| answer.encode(&ReplyTo::new(&request), &origin(), out));
    assert_eq!(got.get_flags(), PROXIABLE);
    assert_eq!(got.get_avp(268).unwrap().get_unsigned32(), Some(2001));
    let services = got.get_avp(456).unwrap().get_grouped().unwrap();
    assert_eq!(services.avps().len(), 2);
}

fn message_of_ccr() -> Message {
    message(|out| {
        CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Initial, 0)
            .encode(&numbered(CcRequest::header()), out);
    })
}
