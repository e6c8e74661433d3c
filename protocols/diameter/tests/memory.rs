//! What a message costs while it is cut, decoded, checked and refused: never
//! more than its own octets again and a little, whatever it claims.
#![allow(missing_docs, clippy::unwrap_used)]

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use linegate_diameter::MESSAGE_LENGTH_MAX;
use linegate_diameter::answer::{Origin, refuse_report, refuse_undecoded};
use linegate_diameter::codec::{Header, Message, Writer, frame_length};
use linegate_diameter::dictionary::{self as dict, AvpDef, Strictness, check};

/// What may come on top of the message, in octets: sixteen errors and sixteen
/// tolerated deviations, and the answer around the errors' Failed-AVPs.
const SLACK: u64 = 16 * 1024;

const UNKNOWN: AvpDef = AvpDef { code: 60_000, vendor: 99_999, name: "Unknown", ..dict::PROXY_INFO };

/// Cuts, decodes, checks and refuses it; the most that is allocated at once
/// is at most the message's own length and [`SLACK`].
#[track_caller]
fn check_cost(what: &str, frame: Bytes) {
    let length = frame.len() as u64;
    let origin = Origin::new("gateway.linegate.example", "linegate.example");
    let mut answered = false;
    let cost = measure(|| {
        let Ok(Some(_)) = frame_length(&frame, MESSAGE_LENGTH_MAX) else { return };
        let mut out = BytesMut::new();
        match Message::decode(frame.clone()) {
            Ok(message) => {
                for strictness in [Strictness::Strict, Strictness::Lenient] {
                    out = BytesMut::new();
                    answered |= refuse_report(&message, &check(&message, strictness), &origin, &mut out);
                }
            }
            Err(error) => answered = refuse_undecoded(&error, &origin, &mut out),
        }
    });
    assert!(answered, "{what} is refused");
    println!("{what}: {length} octets, at most {} allocated", cost.bytes_max);
    assert!(cost.bytes_max <= length + SLACK, "{what}: {} for {length}", cost.bytes_max);
}

/// A CCR of these AVPs.
fn request(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = Writer::begin(&mut out, &Header::request(272, 4, true));
    write(writer.text(&dict::SESSION_ID, "pgw.example;1;2"));
    writer.finish();
    out.freeze()
}

/// Groups in groups, as many as fit in 64 KiB.
fn nested(code: u32, vendor: u32, levels: usize) -> Vec<u8> {
    let header = if vendor == 0 { 8 } else { 12 };
    let mut out = Vec::new();
    for level in 0..levels {
        let length = ((levels - level) * header) as u32;
        let flags = if vendor == 0 { 0x40_u32 } else { 0xc0 };
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&(flags << 24 | length).to_be_bytes());
        if vendor != 0 {
            out.extend_from_slice(&vendor.to_be_bytes());
        }
    }
    out
}

#[test]
fn a_claim_of_16_mb_costs_nothing() {
    let mut claim = request(|_| {}).to_vec();
    claim[1..4].copy_from_slice(&[0xff, 0xff, 0xfc]);
    let (octets, cap) = (Bytes::from(claim), 0x00ff_ffff);
    for max in [MESSAGE_LENGTH_MAX, cap] {
        let cost = measure(|| drop(frame_length(&octets, max)));
        assert_eq!(cost.count_total, 0, "a frame that is not there yet");
    }

    // an AVP that claims them within a whole message
    let mut lying = request(|writer| {
        writer.octets(&dict::CLASS, &[0; 60_000]);
    })
    .to_vec();
    lying[20 + 24 + 5..20 + 24 + 8].copy_from_slice(&[0xff, 0xff, 0xff]);
    check_cost("AVP of 16 MB", lying.into());
}

#[test]
fn lying_lengths_cost_no_more_than_the_message() {
    for length in 0..12_u8 {
        let mut octets = request(|writer| {
            writer.octets(&dict::CLASS, &[0; 1_000]);
        })
        .to_vec();
        octets[20 + 24 + 6..20 + 24 + 8].copy_from_slice(&[0, length]);
        check_cost(&format!("AVP of {length}"), octets.into());
    }
}

#[test]
fn groups_in_groups_cost_no_more_than_the_message() {
    for (what, code, vendor, levels) in [
        ("Proxy-Info", dict::PROXY_INFO.code, 0, 8_000),
        ("Service-Information", dict::SERVICE_INFORMATION.code, dict::vendor::TGPP, 5_000),
        ("Failed-AVP", dict::FAILED_AVP.code, 0, 8_000),
        ("an unknown group", UNKNOWN.code, UNKNOWN.vendor, 5_000),
    ] {
        let chain = nested(code, vendor, levels);
        check_cost(
            what,
            request(|writer| {
                writer.encoded(&chain);
            }),
        );
    }
}

#[test]
fn errors_cost_no_more_than_the_message() {
    // each level is wrong, and each holds all of the next
    fn within(writer: &mut Writer<'_>, levels: u8) {
        writer.group(&dict::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| match levels {
            0 => {
                group.octets(&dict::CLASS, &[0; 60_000]);
            }
            _ => within(group, levels - 1),
        });
    }
    check_cost("groups where none belongs", request(|writer| within(writer, 15)));
    check_cost(
        "values of the wrong length",
        request(|writer| {
            for _ in 0..16 {
                writer.octets(&dict::ORIGIN_STATE_ID, &[0; 4_000]);
            }
        }),
    );
    check_cost(
        "values that are no text",
        request(|writer| {
            for _ in 0..16 {
                writer.octets(&dict::USER_NAME, &[0xff; 4_000]);
            }
        }),
    );
    check_cost(
        "unknown",
        request(|writer| {
            for _ in 0..16 {
                writer.octets(&UNKNOWN, &[0; 4_000]);
            }
        }),
    );
}

#[test]
fn many_avps_cost_no_more_than_the_message() {
    for (what, def) in [("Class", &dict::CLASS), ("Origin-State-Id", &dict::ORIGIN_STATE_ID), ("unknown", &UNKNOWN)] {
        check_cost(
            what,
            request(|writer| {
                while writer.length() < MESSAGE_LENGTH_MAX - 16 {
                    writer.octets(def, &[]);
                }
            }),
        );
    }
}

#[test]
fn what_an_answer_repeats_costs_no_more_than_the_message() {
    let mut session = BytesMut::new();
    let mut writer = Writer::begin(&mut session, &Header::request(272, 4, true));
    writer.octets(&dict::SESSION_ID, &[b'a'; 60_000]);
    writer.finish();
    check_cost("a long Session-Id", session.freeze());
    let proxies = |writer: &mut Writer<'_>| {
        while writer.length() < MESSAGE_LENGTH_MAX - 64 {
            writer.group(&dict::PROXY_INFO, |group| {
                group.text(&dict::PROXY_HOST, "a.example").octets(&dict::PROXY_STATE, &[0; 16]);
            });
        }
    };
    check_cost("Proxy-Info", request(proxies));
}
