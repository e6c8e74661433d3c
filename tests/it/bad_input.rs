//! Bad input over real sockets: each gets its error in the protocol's own way,
//! and the gateway goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use linegate_diameter::apps::Answered;

use linegate_diameter::dictionary::{self as dict, application, command, key};
use linegate_diameter::{Header, Message, Outcome, ResultCode, Writer};

use crate::raw_peer::{RawPeer, capabilities};
use crate::support::{Gateway, Ports};

/// An open peer of credit control.
fn connect(gateway: SocketAddr) -> RawPeer {
    let mut peer = RawPeer::dial(gateway);
    let answer = peer.introduce(&capabilities("raw.example.net")).unwrap();
    assert!(Answered::parse(&answer).unwrap().outcome.is_success());
    peer
}

/// Sends a credit-control request of these AVPs.
fn ccr(peer: &mut RawPeer, header: Header, avps: impl FnOnce(&mut Writer<'_>)) -> Message {
    let mut out = BytesMut::new();
    let mut writer = Writer::begin(&mut out, &Header { hop_by_hop: 7, end_to_end: 9, ..header });
    writer.text(&dict::SESSION_ID, "raw;1;1");
    avps(&mut writer);
    writer.finish();
    let answer = peer.ask(&out);
    assert_eq!((answer.header.hop_by_hop, answer.header.end_to_end), (7, 9));
    answer
}

fn origin(writer: &mut Writer<'_>) {
    writer
        .text(&dict::ORIGIN_HOST, "raw.example.net")
        .text(&dict::ORIGIN_REALM, "example.net")
        .text(&dict::DESTINATION_REALM, "linegate.example")
        .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
        .text(&dict::SERVICE_CONTEXT_ID, "32251@3gpp.org");
}

fn code(answer: &Message) -> u32 {
    match Answered::parse(answer).unwrap().outcome {
        Outcome::Result(ResultCode(code)) | Outcome::Experimental { code, .. } => code,
    }
}

#[test]
fn a_broken_request_gets_its_result_code_and_failed_avp() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let mut peer = connect(gateway.diameter);
    let header = Header::request(command::CREDIT_CONTROL, application::CREDIT_CONTROL, true);

    let missing = ccr(&mut peer, header, |w| {
        origin(w);
        w.u32(&dict::CC_REQUEST_NUMBER, 0);
    });
    assert_eq!(code(&missing), 5005, "CC-Request-Type is missing");
    let failed = missing.find(key::FAILED_AVP).expect("a Failed-AVP");
    assert!(failed.grouped().unwrap().find(key::CC_REQUEST_TYPE).is_some());

    let bad_value = ccr(&mut peer, header, |w| {
        origin(w);
        w.i32(&dict::CC_REQUEST_TYPE, 77).u32(&dict::CC_REQUEST_NUMBER, 0);
    });
    assert_eq!(code(&bad_value), 5004, "no such CC-Request-Type");

    let elsewhere = ccr(&mut peer, header, |w| {
        origin(w);
        w.text(&dict::DESTINATION_HOST, "another.example")
            .i32(&dict::CC_REQUEST_TYPE, 1)
            .u32(&dict::CC_REQUEST_NUMBER, 0);
    });
    assert_eq!(code(&elsewhere), 3002, "addressed to another host");
    assert!(elsewhere.header.is_error());

    let unknown = ccr(&mut peer, Header::request(0x00f0_0000, application::CREDIT_CONTROL, true), origin);
    assert_eq!(code(&unknown), 3001, "no such command");
    let foreign = ccr(&mut peer, Header::request(command::CREDIT_CONTROL, 4711, true), origin);
    assert_eq!(code(&foreign), 3007, "no such application");

    let nobody = ccr(&mut peer, header, |w| {
        origin(w);
        w.i32(&dict::CC_REQUEST_TYPE, 1).u32(&dict::CC_REQUEST_NUMBER, 0);
    });
    assert_eq!(code(&nobody), 5030, "nobody is named");

    peer.stream.write_all(&[9, 0, 0, 20, 0x80, 0, 1, 16, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 9]).unwrap();
    let version = peer.ask(&[]);
    assert_eq!(code(&version), 5011, "version 9");
    let mut rest = Vec::new();
    assert_eq!(peer.stream.read_to_end(&mut rest).unwrap(), 0, "the stream cannot be cut any more: closed");
    assert_eq!(gateway.terminate(), Some(0));
}

/// Sends bytes to the MQTT listener; what comes back until it closes.
fn mqtt(gateway: &Gateway, bytes: &[u8]) -> Bytes {
    let mut stream = TcpStream::connect(gateway.mqtt).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the gateway closes the connection");
    answer.into()
}

#[test]
fn a_broken_packet_gets_its_reason_code_and_the_connection_ends() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    // CONNECT of version 5, clean start, client id "m1".
    let connect = b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02m1";
    let after = |packet: &[u8]| mqtt(&gateway, &[&connect[..], packet].concat());
    let last_reason = |answer: &Bytes| {
        let disconnect = answer.windows(3).rev().find(|w| w[0] == 0xe0).map(|w| w[2]);
        disconnect.unwrap_or_else(|| panic!("no DISCONNECT in {answer:02x?}"))
    };
    assert!(mqtt(&gateway, b"GET / HTTP/1.1\r\n\r\n").is_empty(), "not MQTT: closed without a word");
    assert_eq!(last_reason(&after(connect)), 0x82, "a second CONNECT");
    assert_eq!(last_reason(&after(b"\x30\xff\xff\xff\xff\x01")), 0x81, "a length of five bytes");
    assert_eq!(last_reason(&after(b"\x30\xff\xff\xff\x7f")), 0x95, "a packet of 256 MB");
    let qos_2 = b"\x34\x15\x00\x0flg/v1/m1/usage_\x00\x01\x00{}";
    assert_eq!(last_reason(&after(qos_2)), 0x9b, "QoS 2");
    let (status, _) = gateway.get("/healthz");
    assert_eq!(status, 200);
    assert_eq!(gateway.terminate(), Some(0));
}
