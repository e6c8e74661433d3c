//! What must not pass, and the reason it is given.

use super::*;

/// Feeds `bytes` to an open connection and looks at how it ends.
fn check(version: Version, what: &str, bytes: &[u8], expected: Option<u8>) {
    for whole in [true, false] {
        let mut pair = Pair::open(version);
        if whole {
            pair.feed(bytes);
        } else {
            bytes.chunks(1).for_each(|byte| pair.feed(byte));
        }
        pair.run();
        let code = pair.disconnected().map(|end| end.cause.code().0);
        assert_eq!(code, expected, "{what}, {version:?}, whole: {whole}");
        assert_eq!(pair.server.wants_close(), expected.is_some(), "{what}");
        let told = match expected {
            Some(code) if version == Version::V5 => {
                vec![ClientEvent::Disconnect(ReasonCode(code))]
            }
            _ => vec![],
        };
        let said = |event: &&ClientEvent| matches!(event, ClientEvent::Disconnect(_));
        let said: Vec<_> = pair.client_events.iter().filter(said).cloned().collect();
        assert_eq!(said, told, "{what}, {version:?}");
    }
}

fn publish(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0, USAGE.len() as u8];
    body.extend_from_slice(USAGE.as_bytes());
    body.extend_from_slice(rest);
    let mut packet = vec![first, body.len() as u8];
    packet.extend(body);
    packet
}

#[test]
fn a_bad_packet_of_version_5_is_answered_with_its_reason() {
    let table: &[(&str, Vec<u8>, u8)] = &[
        ("varint of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        ("varint too long for its value", vec![0xc0, 0x80, 0x00], 0x81),
        ("packet type 0", vec![0x00, 0x00], 0x81),
        ("reserved flags of PINGREQ", vec![0xc1, 0x00], 0x81),
        ("reserved flags of SUBSCRIBE", vec![0x80, 0x00], 0x81),
        ("PINGREQ with a body", vec![0xc0, 0x01, 0x00], 0x81),
        ("second CONNECT", b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x03abc".to_vec(), 0x82),
        ("CONNACK from a client", vec![0x20, 0x02, 0, 0], 0x82),
        ("PUBREC", vec![0x50, 0x02, 0, 1], 0x82),
        ("PUBREL", vec![0x62, 0x02, 0, 1], 0x82),
        ("AUTH", vec![0xf0, 0x00], 0x82),
        ("PUBLISH QoS 1, packet id 0", publish(0x32, &[0, 0, 0]), 0x82),
        ("PUBLISH QoS 2", publish(0x34, &[0, 1, 0]), 0x9b),
        ("PUBLISH QoS 3", publish(0x36, &[0, 1, 0]), 0x81),
        ("PUBLISH DUP with QoS 0", publish(0x38, &[0]), 0x81),
        ("PUBLISH without properties", publish(0x32, &[0, 1]), 0x81),
        ("topic alias 0", publish(0x32, &[0, 1, 3, 0x23, 0, 0]), 0x94),
        ("topic alias over the maximum", publish(0x32, &[0, 1, 3, 0x23, 0, 3]), 0x94),
        ("topic alias twice", publish(0x32, &[0, 1, 6, 0x23, 0, 1, 0x23, 0, 1]), 0x82),
        ("unknown topic alias", vec![0x32, 8, 0, 0, 0, 1, 3, 0x23, 0, 1], 0x82),
        ("no topic and no alias", vec![0x32, 5, 0, 0, 0, 1, 0], 0x82),
        ("property of another packet", publish(0x32, &[0, 1, 2, 0x24, 1]), 0x81),
        ("properties over the end", publish(0x32, &[0, 1, 9, 0x23]), 0x81),
        ("subscription identifier", publish(0x32, &[0, 1, 2, 0x0b, 1]), 0x82),
        ("payload format 2", publish(0x32, &[0, 1, 2, 0x01, 2]), 0x82),
        ("empty response topic", publish(0x32, &[0, 1, 3, 0x08, 0, 0]), 0x82),
        ("response topic with a wildcard", publish(0x32, &[0, 1, 4, 0x08, 0, 1, b'+']), 0x82),
        ("message expiry cut short", publish(0x32, &[0, 1, 3, 0x02, 0, 0]), 0x81),
        ("message expiry twice", publish(0x32, &[0, 1, 10, 2, 0, 0, 0, 1, 2, 0, 0, 0, 1]), 0x82),
        ("user property with U+0000", publish(0x32, &[0, 1, 7, 0x26, 0, 1, 0, 0, 1, b'v']), 0x81),
        ("content type not UTF-8", publish(0x32, &[0, 1, 4, 0x03, 0, 1, 0xff]), 0x81),
        ("topic not UTF-8", vec![0x30, 5, 0, 2, 0xc3, 0x28, 0], 0x81),
        ("topic with U+0000", vec![0x30, 5, 0, 2, b'a', 0, 0], 0x81),
        ("topic with a wildcard", vec![0x30, 5, 0, 2, b'a', b'#', 0], 0x90),
        ("topic over the end", vec![0x30, 3, 0, 9, b'a'], 0x81),
        ("oversize, before its body", vec![0x30, 0xff, 0x7f], 0x95),
        ("the largest header", vec![0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        ("SUBSCRIBE packet id 0", vec![0x82, 7, 0, 0, 0, 0, 1, b'a', 0], 0x82),
        ("SUBSCRIBE without filters", vec![0x82, 3, 0, 1, 0], 0x82),
        ("SUBSCRIBE QoS 3", vec![0x82, 7, 0, 1, 0, 0, 1, b'a', 3], 0x82),
        ("SUBSCRIBE reserved options", vec![0x82, 7, 0, 1, 0, 0, 1, b'a', 0xc0], 0x81),
        ("SUBSCRIBE bad filter", vec![0x82, 9, 0, 1, 0, 0, 3, b'a', b'#', b'b', 0], 0x81),
        ("SUBSCRIBE identifier", vec![0x82, 9, 0, 1, 2, 0x0b, 1, 0, 1, b'a', 0], 0xa1),
        ("UNSUBSCRIBE without filters", vec![0xa2, 3, 0, 1, 0], 0x82),
        ("PUBACK packet id 0", vec![0x40, 2, 0, 0], 0x82),
        ("PUBACK unknown reason", vec![0x40, 3, 0, 1, 0x42], 0x81),
        ("PUBACK reason string twice", vec![0x40, 12, 0, 1, 0, 8, 0x1f, 0, 1, b'a', 0x1f, 0, 1, b'a'], 0x82),
        ("PUBACK too short", vec![0x40, 1, 0], 0x81),
        ("PUBACK properties too long", vec![0x40, 4, 0, 1, 0, 9], 0x81),
        ("DISCONNECT unknown reason", vec![0xe0, 1, 0x7f], 0x81),
        ("DISCONNECT makes the session live", vec![0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9], 0x82),
    ];
    for (what, bytes, code) in table {
        check(Version::V5, what, bytes, Some(*code));
    }
    check(Version::V5, "PINGREQ", &[0xc0, 0x00], None);
    check(Version::V5, "PUBACK of a stranger", &[0x40, 2, 0, 9], None);
    check(Version::V5, "usage", &publish(0x32, &[0, 1, 0, b'{', b'}']), None);
}

#[test]
fn a_bad_packet_of_version_3_closes_the_link_with_the_reason_in_the_event() {
    let table: &[(&str, Vec<u8>, u8)] = &[
        ("varint of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        ("reserved flags", vec![0xc1, 0x00], 0x81),
        ("packet type 15", vec![0xf0, 0x00], 0x81),
        ("second CONNECT", b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc".to_vec(), 0x82),
        ("PUBLISH packet id 0", publish(0x32, &[0, 0]), 0x82),
        ("PUBLISH QoS 2", publish(0x34, &[0, 1]), 0x9b),
        ("PUBLISH DUP with QoS 0", publish(0x38, &[]), 0x81),
        ("PUBLISH without a topic", vec![0x30, 2, 0, 0], 0x82),
        ("foreign topic", vec![0x30, 3, 0, 1, b'a'], 0x87),
        ("oversize", vec![0x30, 0xff, 0x7f], 0x95),
        ("SUBSCRIBE packet id 0", vec![0x82, 6, 0, 0, 0, 1, b'a', 0], 0x82),
        ("DISCONNECT with a body", vec![0xe0, 1, 0], 0x81),
        ("PUBACK with a reason", vec![0x40, 3, 0, 1, 0], 0x81),
    ];
    for (what, bytes, code) in table {
        check(Version::V311, what, bytes, Some(*code));
    }
    check(Version::V311, "varint too long for its value", &[0xc0, 0x80, 0x00], None);
    check(Version::V311, "usage", &publish(0x32, &[0, 1, b'{', b'}']), None);
}

/// Feeds a first packet and looks at the reason and the answer.
fn check_connect(what: &str, bytes: &[u8], code: u8, answer: &[u8]) {
    for whole in [true, false] {
        let mut pair = Pair::new(Version::V5);
        if whole {
            pair.feed(bytes);
        } else {
            bytes.chunks(1).for_each(|byte| pair.feed(byte));
        }
        let written = pair.server.take_output();
        pair.run();
        let end = pair.disconnected().unwrap_or_else(|| panic!("{what}: no end"));
        assert_eq!(end.cause.code().0, code, "{what}: {end:?}");
        assert_eq!(&written[..], answer, "{what}");
        assert_eq!(end.will, None, "{what}");
        assert_eq!(pair.server_events.len(), 1, "{what}");
    }
}

/// A refusal in version 5, with its Reason String.
fn connack(code: u8, text: &str) -> Vec<u8> {
    let len = text.len() as u8;
    [&[0x20, len + 6, 0, code, len + 3, 0x1f, 0, len], text.as_bytes()].concat()
}

#[test]
fn a_bad_connect_is_refused_in_the_words_of_its_version() {
    let v3_1 = b"\x10\x11\0\x06MQIsdp\x03\x02\0\x3c\0\x03abc";
    check_connect("MQTT 3.1", v3_1, 0x84, &[0x20, 2, 0, 1]);
    let v6 = b"\x10\x10\0\x04MQTT\x06\x02\0\x3c\0\0\x03abc";
    check_connect("level 6", v6, 0x84, &[0x20, 3, 0, 0x84, 0]);
    check_connect("not MQTT", b"\x10\x0f\0\x04HTTP\x04\x02\0\x3c\0\x03abc", 0x81, &[]);
    check_connect("not CONNECT", &[0xc0, 0], 0x82, &[]);
    check_connect("a web browser", b"GET / HTTP/1.1\r\n", 0x82, &[]);
    check_connect("reserved flags of CONNECT", &[0x11], 0x82, &[]);
    check_connect("a CONNECT of 256 MB", &[0x10, 0xff, 0xff, 0xff, 0x7f], 0x95, &[]);
    check_connect("varint of five bytes", &[0x10, 0xff, 0xff, 0xff, 0xff], 0x81, &[]);
    let behind = b"\x10\x11\0\x04MQTT\x05\x02\0\x3c\0\0\x03abcX";
    check_connect("bytes behind CONNECT", behind, 0x81, &[0x20, 3, 0, 0x81, 0]);
    let reserved = b"\x10\x10\0\x04MQTT\x05\x03\0\x3c\0\0\x03abc";
    check_connect("reserved connect flag", reserved, 0x81, &[0x20, 3, 0, 0x81, 0]);
    let will = b"\x10\x10\0\x04MQTT\x05\x22\0\x3c\0\0\x03abc";
    check_connect("will retain without will", will, 0x81, &[0x20, 3, 0, 0x81, 0]);
    let utf8 = b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x03ab\xff";
    check_connect("client id not UTF-8", utf8, 0x81, &[0x20, 3, 0, 0x81, 0]);
    let nul = b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x03ab\0";
    check_connect("client id with U+0000", nul, 0x81, &connack(0x81, "string with U+0000"));
    let short = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x09a";
    check_connect("client id over the end", short, 0x81, &[0x20, 3, 0, 0x81, 0]);
    let receive = b"\x10\x13\0\x04MQTT\x05\x02\0\x3c\x03\x21\0\0\0\x03abc";
    check_connect("receive maximum 0", receive, 0x82, &connack(0x82, "receive maximum 0"));
    let size = b"\x10\x15\0\x04MQTT\x05\x02\0\x3c\x05\x27\0\0\0\0\0\x03abc";
    check_connect("maximum packet size 0", size, 0x82, &connack(0x82, "maximum packet size 0"));
    let auth = b"\x10\x14\0\x04MQTT\x05\x02\0\x3c\x04\x15\0\x01x\0\x03abc";
    check_connect("extended authentication", auth, 0x8c, &connack(0x8c, "extended authentication is not served"));
    let qos2 = b"\x10\x17\0\x04MQTT\x05\x16\0\x3c\0\0\x03abc\0\0\x01w\0\x01p";
    check_connect("will with QoS 2", qos2, 0x9b, &connack(0x9b, "will with QoS 2"));
    let no_name = b"\x10\x12\0\x04MQTT\x04\x42\0\x3c\0\x03abc\0\x01p";
    check_connect("3.1.1 password without name", no_name, 0x81, &[]);
    let no_id = b"\x10\x0c\0\x04MQTT\x04\x00\0\x3c\0\x00";
    check_connect("3.1.1 no id, no clean session", no_id, 0x85, &[0x20, 2, 0, 2]);
}
