//! Frames, AVP chains and typed values.

use std::fmt::Debug;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use linegate_diameter::apps::{Answered, gy, lp, rf, s6a};
use linegate_diameter::codec::{
    Address, Avp, AvpError, DecodeError, GROUP_DEPTH_MAX, Header, Message, Time, Writer, frame_length,
};
use linegate_diameter::dictionary::{self as dict, Strictness, key};
use proptest::prelude::*;

use crate::{message, numbered};

fn header() -> Header {
    numbered(Header::request(272, 4, true))
}

#[test]
fn a_stream_is_cut_at_the_length_that_its_header_states() {
    #[track_caller]
    fn check(octets: &[u8], expected: Result<Option<usize>, u32>) {
        let mut buf = octets.to_vec();
        buf.resize(buf.len().max(4), 0);
        let got = frame_length(&buf, 64).map_err(|error| error.result_code().0);
        assert_eq!(got, expected);
    }
    let frame = |version: u8, length: u8, octets: usize| {
        let mut frame = vec![0; octets];
        (frame[0], frame[3]) = (version, length);
        frame
    };
    check(&[], Ok(None));
    check(&frame(1, 20, 19), Ok(None));
    check(&frame(1, 20, 20), Ok(Some(20)));
    check(&frame(1, 24, 23), Ok(None));
    check(&frame(1, 24, 60), Ok(Some(24)));
    check(&frame(2, 20, 20), Err(5011));
    check(&frame(1, 16, 20), Err(5015));
    check(&frame(1, 22, 24), Err(5015));
    check(&frame(1, 68, 20), Err(5015));
}

#[test]
fn a_header_survives_the_round_trip() {
    let sent = header();
    let got = message(|out| {
        Writer::begin(out, &sent).finish();
    });
    assert_eq!(got.header, sent);
    assert!(got.header.is_request() && !got.header.answer().is_request());
}

/// What the only AVP of a message reads as.
fn read<T>(data: &[u8], read: impl for<'a> Fn(&Avp<'a>) -> Result<T, AvpError>) -> Result<T, u32> {
    let message = message(|out| {
        let mut writer = Writer::begin(out, &header());
        writer.octets(&dict::CLASS, data);
        writer.finish();
    });
    let avp = message.avps().next().unwrap();
    read(&avp).map_err(|error| {
        assert!(error.failed_avp().len().is_multiple_of(4));
        error.result_code().0
    })
}

#[track_caller]
fn check_value<T: PartialEq + Debug>(got: Result<T, u32>, expected: Result<T, u32>) {
    assert_eq!(got, expected);
}

#[test]
fn numbers_are_read_at_their_exact_length_only() {
    check_value(read(&[0, 0, 1, 2], |avp| avp.u32()), Ok(258));
    check_value(read(&[0xff; 4], |avp| avp.u32()), Ok(u32::MAX));
    check_value(read(&[0xff; 4], |avp| avp.i32()), Ok(-1));
    check_value(read(&[0xff; 4], |avp| avp.enumerated()), Ok(-1));
    check_value(read(&[0xff; 8], |avp| avp.u64()), Ok(u64::MAX));
    check_value(read(&[0xff; 8], |avp| avp.i64()), Ok(-1));
    for length in [0, 3, 5, 8] {
        check_value(read(&vec![0; length], |avp| avp.u32()), Err(5014));
        check_value(read(&vec![0; length], |avp| avp.i32()), Err(5014));
        check_value(read(&vec![0; length], |avp| avp.time()), Err(5014));
    }
    for length in [0, 4, 7, 9] {
        check_value(read(&vec![0; length], |avp| avp.u64()), Err(5014));
        check_value(read(&vec![0; length], |avp| avp.i64()), Err(5014));
    }
}

#[test]
fn text_is_utf8_and_identities_are_visible_ascii() {
    let text = |data: &[u8]| read(data, |avp| avp.text().map(str::to_owned));
    let identity = |data: &[u8]| read(data, |avp| avp.identity().map(str::to_owned));
    check_value(text("회선".as_bytes()), Ok("회선".into()));
    check_value(text(b""), Ok(String::new()));
    check_value(text(&[0xc3, 0x28]), Err(5004));
    check_value(identity(b"pgw.example"), Ok("pgw.example".into()));
    check_value(identity(b""), Err(5004));
    check_value(identity(b"pgw example"), Err(5004));
    check_value(identity("회선".as_bytes()), Err(5004));
    check_value(read(&[1, 2, 3], |avp| Ok(avp.octets().to_vec())), Ok(vec![1, 2, 3]));
}

#[test]
fn addresses_fit_their_family() {
    let ip = |data: &[u8]| read(data, |avp| avp.ip_address());
    check_value(ip(&[0, 1, 127, 0, 0, 1]), Ok("127.0.0.1".parse().unwrap()));
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let IpAddr::V6(octets) = v6 else { unreachable!() };
    check_value(ip(&[&[0, 2][..], &octets.octets()].concat()), Ok(v6));
    check_value(ip(&[0, 1, 127, 0, 0]), Err(5014));
    check_value(ip(&[0, 2, 127, 0, 0, 1]), Err(5014));
    check_value(ip(&[0]), Err(5014));
    check_value(ip(&[0, 8, 49]), Err(5004));
    let other = |data: &[u8]| {
        read(data, |avp| avp.address().map(|address| matches!(address, Address::Other { family: 8, .. })))
    };
    check_value(other(&[0, 8, 49]), Ok(true));
}

#[test]
fn identities_are_visible_at_any_length() {
    // eight octets are looked at together
    for length in 1..40 {
        let good = vec![b'a'; length];
        check_value(read(&good, |avp| avp.identity().map(str::len)), Ok(length));
        for at in 0..length {
            for strange in [0, b' ', 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = strange;
                check_value(read(&bad, |avp| avp.identity().map(str::len)), Err(5004));
            }
            for edge in [b'!', b'~'] {
                let mut visible = good.clone();
                visible[at] = edge;
                check_value(read(&visible, |avp| avp.identity().map(str::len)), Ok(length));
            }
        }
    }
}

#[test]
fn uris_name_a_host_and_how_to_reach_it() {
    #[track_caller]
    fn check(text: &str, expected: Result<(bool, &str, u16, Option<&str>), u32>) {
        let got = read(text.as_bytes(), |avp| {
            avp.uri().map(|uri| (uri.secure, uri.host.to_owned(), uri.port, uri.transport.map(str::to_owned)))
        });
        let got = got.as_ref().map(|(secure, host, port, transport)| (*secure, &**host, *port, transport.as_deref()));
        assert_eq!(got.map_err(|code| *code), expected, "{text}");
    }
    check("aaa://host.example", Ok((false, "host.example", 3868, None)));
    check("aaas://host.example", Ok((true, "host.example", 5658, None)));
    check("aaa://host.example:6666;transport=tcp", Ok((false, "host.example", 6666, Some("tcp"))));
    check("aaa://host.example;transport=sctp;protocol=radius", Ok((false, "host.example", 3868, Some("sctp"))));
    for bad in [
        "",
        "host.example",
        "http://host.example",
        "aaa://",
        "aaa://host.example:x",
        "aaa://host.example:70000",
        "aaa://host.example;transport=pigeon",
        "aaa://host.example;transport",
        "aaa://a host",
        "aaa://회선",
    ] {
        check(bad, Err(5004));
    }
}

#[test]
fn filter_rules_have_an_action_a_direction_and_two_ends() {
    #[track_caller]
    fn check(text: &str, expected: Result<(bool, bool, &str, &str, &str), u32>) {
        let got = read(text.as_bytes(), |avp| {
            avp.filter_rule().map(|rule| {
                let [protocol, from, to] = [rule.protocol, rule.from, rule.to].map(str::to_owned);
                (rule.permit, rule.out, protocol, from, to)
            })
        });
        let got = got.as_ref().map(|(permit, out, protocol, from, to)| (*permit, *out, &**protocol, &**from, &**to));
        assert_eq!(got.map_err(|code| *code), expected, "{text}");
    }
    check("permit in ip from any to any", Ok((true, false, "ip", "any", "any")));
    check(
        "deny out 6 from 10.0.0.0/8 80,443 to assigned established",
        Ok((false, true, "6", "10.0.0.0/8 80,443", "assigned established")),
    );
    for bad in [
        "",
        "permit",
        "allow in ip from any to any",
        "permit up ip from any to any",
        "permit in ip any to any",
        "permit in ip from any",
        "permit in ip from any to ",
    ] {
        check(bad, Err(5004));
    }
}

#[test]
fn time_turns_over_in_2036() {
    let unix = |data: [u8; 4]| read(&data, |avp| avp.time().map(Time::unix_seconds));
    check_value(unix([0x83, 0xaa, 0x7e, 0x80]), Ok(0));
    check_value(unix([0xff; 4]), Ok(2_085_978_495));
    check_value(unix([0; 4]), Ok(2_085_978_496));
    assert_eq!(Time::from_unix_seconds(-61_505_153), None);
    assert_eq!(Time::from_unix_seconds(4_233_462_144), None);
    for seconds in [-61_505_152, 0, 1_790_000_000, 2_085_978_496, 4_233_462_143] {
        assert_eq!(Time::from_unix_seconds(seconds).unwrap().unix_seconds(), seconds);
    }
}

/// Octets of a message around this chain of AVPs.
fn around(chain: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = Writer::begin(&mut out, &header());
    writer.text(&dict::SESSION_ID, "abcd");
    writer.finish();
    out.extend_from_slice(chain);
    let length = out.len() as u32;
    out[1..4].copy_from_slice(&length.to_be_bytes()[1..]);
    out.freeze()
}

#[test]
fn a_broken_chain_is_5014_with_the_avp_that_breaks_it() {
    #[track_caller]
    fn check(chain: &[u8], failed: &[u8]) {
        let Err(DecodeError::Avp { message, error }) = Message::decode(around(chain)) else {
            panic!("the chain is broken");
        };
        assert_eq!(error.result_code().0, 5014);
        assert_eq!(error.failed_avp(), failed);
        // what comes before can still be read
        assert_eq!(message.find(key::SESSION_ID).unwrap().text(), Ok("abcd"));
    }
    let flags = 0x40;
    // longer than the message: the header and a zero value of the type
    check(&[0, 0, 1, 12, flags, 0, 0, 16, 0, 0, 7, 209], &[0, 0, 1, 12, flags, 0, 0, 12, 0, 0, 0, 0]);
    // shorter than its own header
    check(&[0, 0, 0, 25, flags, 0, 0, 7], &[0, 0, 0, 25, flags, 0, 0, 8]);
    // the header itself is cut: completed with zeros
    check(&[0, 0, 0, 25], &[0, 0, 0, 25, 0, 0, 0, 8]);
    // V bit without room for the vendor
    check(&[0, 0, 0, 25, 0xc0, 0, 0, 8], &[0, 0, 0, 25, 0xc0, 0, 0, 12, 0, 0, 0, 0]);
}

#[test]
fn groups_are_followed_to_a_depth_and_no_further() {
    fn nest(writer: &mut Writer<'_>, depth: u8) {
        writer.group(&dict::PROXY_INFO, |group| {
            if depth > 1 {
                nest(group, depth - 1);
            }
        });
    }
    let depth = |levels: u8| {
        let message = message(|out| {
            let mut writer = Writer::begin(out, &header());
            nest(&mut writer, levels);
            writer.finish();
        });
        let mut reached = 0;
        let mut members = message.avps();
        while let Some(avp) = members.next() {
            members = match avp.grouped() {
                Ok(members) => members,
                Err(error) => {
                    assert_eq!(error.result_code().0, 5004);
                    break;
                }
            };
            reached += 1;
        }
        reached
    };
    assert_eq!(depth(3), 3);
    assert_eq!(depth(GROUP_DEPTH_MAX), GROUP_DEPTH_MAX);
    assert_eq!(depth(GROUP_DEPTH_MAX + 5), GROUP_DEPTH_MAX);
}

#[test]
fn failed_avp_shows_the_start_of_a_long_value() {
    #[track_caller]
    fn check(write: impl FnOnce(&mut Writer<'_>), expected: usize) {
        let message = message(|out| {
            let mut writer = Writer::begin(out, &header());
            write(&mut writer);
            writer.finish();
        });
        let avp = message.avps().next().unwrap();
        let error = avp.value_error("anything");
        let shown = Message::decode(around(error.failed_avp())).unwrap().avps().nth(1).unwrap().data.to_vec();
        assert_eq!(shown.len(), expected);
        assert!(avp.data.starts_with(&shown));
    }
    let class = |length: usize| {
        move |writer: &mut Writer<'_>| {
            writer.octets(&dict::CLASS, &vec![7; length]);
        }
    };
    check(class(256), 256);
    check(class(257), 256);
    // of a group, whole members
    let members = |count: usize, length: usize| {
        move |writer: &mut Writer<'_>| {
            writer.group(&dict::SERVICE_INFORMATION, |group| {
                for _ in 0..count {
                    group.octets(&dict::CLASS, &vec![7; length]);
                }
            });
        }
    };
    check(members(3, 90), 2 * 100);
    check(members(1, 300), 0);
}

#[test]
fn the_last_padding_of_a_group_may_be_missing() {
    // Proxy-Info with a Proxy-State of one octet and no padding in it
    let chain = [0, 0, 1, 28, 0x40, 0, 0, 17, 0, 0, 0, 33, 0x40, 0, 0, 9, 7, 0, 0, 0];
    let message = Message::decode(around(&chain)).unwrap();
    let group = message.find(key::PROXY_INFO).unwrap().grouped().unwrap();
    assert_eq!(group.find(key::PROXY_STATE).unwrap().octets(), [7]);
}

/// Reads a message in every way that there is.
fn read_everything(octets: &[u8]) {
    if let Ok(Some(length)) = frame_length(octets, octets.len()) {
        assert!(length <= octets.len());
    }
    let Ok(message) = Message::decode(Bytes::copy_from_slice(octets)) else {
        return;
    };
    for avp in message.avps() {
        let _ = (avp.u32(), avp.u64(), avp.text(), avp.identity(), avp.address(), avp.time());
        if let Ok(members) = avp.grouped() {
            let _ = members.count();
        }
    }
    let _ = dict::check(&message, Strictness::Strict);
    let _ = dict::check(&message, Strictness::Lenient);
    let _ = Answered::parse(&message);
    if let Ok(request) = gy::CcRequest::parse(&message) {
        let _ = request.services.iter().count();
    }
    if let Ok(answer) = gy::CcAnswer::parse(&message) {
        let _ = answer.services.iter().count();
    }
    let _ = rf::AccountingRequest::parse(&message);
    let _ = lp::ProvisionRequest::parse(&message);
    let _ = lp::LineAnswer::parse(&message);
    let _ = s6a::InsertSubscriberDataRequest::parse(&message);
    let _ = linegate_diameter::apps::base::Capabilities::parse(&message);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_octets_never_panic(mut octets in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&octets);
        octets.truncate(octets.len() & !3);
        if octets.len() >= 20 {
            let length = octets.len() as u32;
            octets[..4].copy_from_slice(&(1 << 24 | length).to_be_bytes());
            read_everything(&octets);
        }
    }

    #[test]
    fn a_damaged_request_never_panics(at in 0_usize..400, value in any::<u8>()) {
        let mut out = BytesMut::new();
        crate::apps::with_full_ccr(|request| {
            request.encode(&numbered(gy::CcRequest::header()), &mut out);
        });
        let at = at % out.len();
        out[at] = value;
        read_everything(&out);
    }

    #[test]
    fn avps_survive_the_round_trip(
        number in any::<u32>(),
        wide in any::<i64>(),
        text in "\\PC{0,20}",
        octets in prop::collection::vec(any::<u8>(), 0..30),
        seconds in -61_505_152_i64..4_233_462_144,
    ) {
        let time = Time::from_unix_seconds(seconds).unwrap();
        let message = message(|out| {
            let mut writer = Writer::begin(out, &header());
            writer
                .u32(&dict::RATING_GROUP, number)
                .text(&dict::USER_NAME, &text)
                .octets(&dict::CLASS, &octets)
                .group(&dict::UNIT_VALUE, |group| { group.i64(&dict::VALUE_DIGITS, wide); })
                .time(&dict::EVENT_TIMESTAMP, time)
                .octets(&dict::TGPP_CHARGING_ID, &octets);
            writer.finish();
        });
        let find = |key| message.find(key).unwrap();
        prop_assert_eq!(find(key::RATING_GROUP).u32().unwrap(), number);
        prop_assert_eq!(find(key::USER_NAME).text().unwrap(), text);
        prop_assert_eq!(find(key::CLASS).octets(), &octets[..]);
        let unit = find(key::UNIT_VALUE).grouped().unwrap();
        prop_assert_eq!(unit.find(key::VALUE_DIGITS).unwrap().i64().unwrap(), wide);
        prop_assert_eq!(find(key::EVENT_TIMESTAMP).time().unwrap(), time);
        prop_assert_eq!(find(key::TGPP_CHARGING_ID).octets(), &octets[..]);
        prop_assert_eq!(message.avps().count(), 6);
        let mut again = BytesMut::new();
        message.write_to(&mut again);
        prop_assert_eq!(Message::decode(again.freeze()).unwrap(), message);
    }
}
