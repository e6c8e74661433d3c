//! Writes the inputs that are made by hand: packets and walks to start from,
//! and hostile ones that keep their names.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use linegate_mqtt::client::{Client, ConnectOptions};
use linegate_mqtt::payload::{
    Desired, LineState, Payload, Presence, Receipt, Reported, SeqRange, Status, Usage, UsageRecord,
};
use linegate_mqtt::session::{MessageProperties, UserProperty, Will};
use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    packets(&corpus.join("packets"))?;
    payloads(&corpus.join("payload"))?;
    sessions(&corpus.join("session"))
}

fn write(folder: &Path, name: &str, input: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let file: PathBuf = folder.join(name);
    fs::write(file, input)
}

const USAGE: &str = "lg/v1/d/usage";

fn properties() -> MessageProperties {
    MessageProperties {
        is_utf8: true,
        expiry_secs: Some(60),
        response_topic: Some("a/b".into()),
        correlation_data: Some(Bytes::from_static(b"7")),
        user_properties: vec![UserProperty { name: "k".into(), value: "v".into() }; 2],
    }
}

fn connect(version: Version) -> Bytes {
    let mut client = Client::new(version);
    let mut options = ConnectOptions::new("d");
    options.username = Some("d".into());
    options.password = Some(Bytes::from_static(b"token"));
    options.session_expiry_secs = 60;
    options.receive_max = Some(2);
    options.packet_bytes_max = Some(300);
    options.wants_response_info = true;
    options.user_properties = properties().user_properties;
    options.will = Some(Will {
        topic: "lg/v1/d/status".into(),
        payload: Bytes::from_static(b"{\"state\":\"offline\",\"session\":1}"),
        qos: Qos::AtLeastOnce,
        retain: true,
        delay_secs: 30,
        content_type: Some(ContentType::Json),
        properties: Some(Box::new(properties())),
    });
    client.connect(&options);
    client.take_output()
}

fn packets(folder: &Path) -> std::io::Result<()> {
    for (version, name, kind) in [(Version::V311, "v3", 1), (Version::V5, "v5", 2)] {
        write(folder, &format!("{name}-connect"), &[&[0, 1], &connect(version)[..]].concat())?;
        let mut client = Client::new(version);
        client.subscribe(&[("lg/v1/d/desired", Qos::ExactlyOnce), ("#", Qos::AtMostOnce)]);
        client.unsubscribe(&["lg/v1/d/desired", "x"]);
        client.publish(USAGE, b"{}", Qos::AtLeastOnce, false, Some(ContentType::Json));
        client.publish_saying(USAGE, b"[]", Qos::AtMostOnce, true, Some(ContentType::Cbor), &properties());
        client.publish_again(9, USAGE, b"{}", false, None);
        client.publish("lg/v1/e/usage", b"{}", Qos::AtLeastOnce, false, None);
        client.ping();
        client.puback(1);
        client.disconnect(ReasonCode::DISCONNECT_WITH_WILL);
        write(folder, &format!("{name}-everything"), &[&[kind, 9], &client.take_output()[..]].concat())?;
        client.publish(USAGE, b"{}", Qos::ExactlyOnce, false, None);
        write(folder, &format!("hostile-{name}-qos-2"), &[&[kind, 3], &client.take_output()[..]].concat())?;
        for _ in 0..6 {
            client.publish(USAGE, b"{}", Qos::AtLeastOnce, false, None);
        }
        write(folder, &format!("hostile-{name}-window"), &[&[kind, 3], &client.take_output()[..]].concat())?;
    }
    let alias = [&[0x30, 19, 0, 13][..], USAGE.as_bytes(), &[3, 0x23, 0, 1], &[0x30, 6, 0, 0, 3, 0x23, 0, 1]].concat();
    write(folder, "v5-alias", &[&[2, 1], &alias[..]].concat())?;
    for (name, bytes) in [
        ("claim-256-mb", &[0, 0, 0x10, 0xff, 0xff, 0xff, 0x7f][..]),
        ("varint-of-five", &[2, 0, 0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("varint-too-long", &[2, 0, 0xc0, 0x80, 0x00]),
        ("reserved-flags", &[2, 0, 0xc1, 0x00]),
        ("packet-type-0", &[1, 0, 0x00, 0x00]),
        ("not-connect", &[0, 0, 0xc0, 0x00]),
        ("second-connect", b"\x02\x00\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x03abc"),
        ("behind-connect", b"\x00\x00\x10\x11\0\x04MQTT\x05\x02\0\x3c\0\0\x03abcX"),
        ("level-6", b"\x00\x00\x10\x10\0\x04MQTT\x06\x02\0\x3c\0\0\x03abc"),
        ("mqtt-3-1", b"\x00\x00\x10\x11\0\x06MQIsdp\x03\x02\0\x3c\0\x03abc"),
        ("dup-with-qos-0", &[2, 0, 0x38, 5, 0, 1, b'a', 0, 0]),
        ("alias-0", &[2, 0, 0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0]),
        ("packet-id-0", &[2, 0, 0x32, 6, 0, 1, b'a', 0, 0, 0]),
        ("topic-not-utf8", &[2, 0, 0x30, 5, 0, 2, 0xc3, 0x28, 0]),
        ("response-topic-wildcard", &[2, 0, 0x30, 9, 0, 1, b'a', 5, 8, 0, 1, b'#', 0]),
        ("disconnect-two-bytes", &[1, 0, 0xe0, 0x00]),
        ("oversize", &[2, 0, 0x30, 0xff, 0x7f]),
    ] {
        write(folder, &format!("hostile-{name}"), bytes)?;
    }
    Ok(())
}

fn payloads(folder: &Path) -> std::io::Result<()> {
    let record = UsageRecord {
        epoch: 1,
        boot: 42,
        seq: 7,
        start_ms: 1_793_491_200_000,
        end_ms: 1_793_491_260_000,
        apn: "iot.example".into(),
        rating_group: 0,
        octets_up: 1200,
        octets_down: 800,
        imei: Some("490154203237518".into()),
    };
    let desired = Desired {
        version: 3,
        state: LineState::Suspended,
        order_id: "o".into(),
        expires_ms: Some(1_793_491_200_000),
        plan: Some("p".into()),
        apns: vec!["a".into()],
    };
    let reported = Reported { version: 3, state: LineState::Active, reason: Some("no radio".into()) };
    let receipt = Receipt { epoch: 1, boot: 42, ranges: vec![SeqRange { from: 0, to: 7 }] };
    let status = Status { state: Presence::Online, session: 42 };
    for (how, name, format) in [(0, "json", ContentType::Json), (1, "cbor", ContentType::Cbor)] {
        for (kind, bytes) in [
            ("desired", desired.encode(format)),
            ("reported", reported.encode(format)),
            ("record", Usage::One(record.clone()).encode(format)),
            ("batch", Usage::Batch(vec![record.clone(); 2]).encode(format)),
            ("receipt", receipt.encode(format)),
            ("status", status.encode(format)),
        ] {
            write(folder, &format!("{name}-{kind}"), &[&[how], &bytes[..]].concat())?;
        }
    }
    let time = br#"{"version":1,"state":"active","expires":"2026-09-21T23:13:20.5+09:00"}"#;
    write(folder, "json-rfc-3339", &[&[0], &time[..]].concat())?;
    write(folder, "hostile-json-nested", &[&[0][..], &[b'['; 3000]].concat())?;
    write(folder, "hostile-json-nested-unknown", &[&b"\x00{\"a\":"[..], &[b'['; 3000]].concat())?;
    write(folder, "hostile-cbor-nested", &[&[1][..], &[0x81; 3000]].concat())?;
    write(folder, "hostile-cbor-tags", &[&[1][..], &[0xc1; 3000]].concat())?;
    write(folder, "hostile-cbor-nested-unknown", &[&[1, 0xa1, 0x61, b'a'][..], &[0x81; 3000]].concat())?;
    write(folder, "hostile-cbor-claim", &[1, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])?;
    write(folder, "hostile-cbor-text-claim", &[1, 0xa1, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'a'])?;
    for kind in 0..5 {
        write(folder, &format!("built-{kind}"), &[&[3, 1, kind][..], &[0x15; 120]].concat())?;
    }
    Ok(())
}

/// Operations of the session target.
mod op {
    pub const CONNECT: u8 = 0;
    pub const PUBLISH: u8 = 1;
    pub const ACK: u8 = 2;
    pub const SEND: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const WAIT: u8 = 5;
    pub const TIMEOUT: u8 = 6;
    pub const LINK_LOST: u8 = 7;
    pub const LEAVE: u8 = 8;
    pub const SUBSCRIBE: u8 = 9;
    pub const SERVER_ENDS: u8 = 12;
    pub const RAW: u8 = 13;
}

fn sessions(folder: &Path) -> std::io::Result<()> {
    use op::{ACK, CONNECT, LEAVE, LINK_LOST, PUBACK, PUBLISH, RAW, SEND, SERVER_ENDS, SUBSCRIBE, TIMEOUT, WAIT};
    // A session of 60 s that is not begun anew; the will, where there is one,
    // has a delay of 9 s.
    let connect = [CONNECT, 0, 60, 1, 1, 0, 0, 0, 0, 9];
    let v5 = [1, 1, 0, 1, 0, 1];
    let v3 = [0, 0, 0, 1];
    let send = [SEND, 0, 0];
    let expiring = [SEND, 1, 5, 0];
    let usage = [PUBLISH, 0, 0, 0, 0, 0, 0];
    let subscribe = [SUBSCRIBE, 0, 0];
    for (name, device) in [("v5", &v5[..]), ("v3", &v3[..])] {
        let walks: [(&str, Vec<&[u8]>); 6] = [
            ("usage", vec![&connect, &usage, &usage, &[ACK, 1, 0, 0], &[ACK, 0, 0, 0], &[LEAVE, 0]]),
            ("desired", vec![&connect, &subscribe, &send, &send, &send, &[PUBACK, 1], &[PUBACK, 0], &[LEAVE, 1]]),
            (
                "takeover",
                vec![&connect, &subscribe, &send, &send, &send, &connect, &[PUBACK, 0], &connect, &[PUBACK, 0]],
            ),
            ("expiry", vec![&connect, &subscribe, &expiring, &expiring, &expiring, &[WAIT, 9], &connect, &send]),
            ("keep-alive", vec![&connect, &subscribe, &send, &[LINK_LOST], &connect, &[WAIT, 200], &[TIMEOUT]]),
            ("rude", vec![&connect, &usage, &usage, &usage, &usage, &[RAW, 2, 0, 0], &[SERVER_ENDS, 0x8b, 0]]),
        ];
        for (walk, steps) in walks {
            write(folder, &format!("{name}-{walk}"), &[device, &steps.concat()].concat())?;
        }
    }
    Ok(())
}
