//! Writes the seeds of every target: hostile messages and walks of the peer
//! machine, made by hand, into `corpus/`; messages of each kind, as our
//! encoders write them, to where the fuzzing goes on from.
//!
//!     cargo +nightly run --example seeds

use std::path::Path;
use std::{fs, io};

use bytes::BytesMut;
use linegate_diameter::codec::{AvpFlags, Header, Message, Writer};
use linegate_diameter::dictionary::{self as dict, AvpDef};
use linegate_diameter_fuzz::targets::{APPLICATIONS, Source};

/// What `tests/fuzz` has found so far.
const FOUND: &str = "../../../target/fuzz/found";
/// Messages built of each kind.
const BUILT: usize = 6;

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let put = |folder: &str, target: &str, name: &str, octets: &[u8]| -> io::Result<()> {
        let folder = here.join(folder).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), octets)
    };
    for (target, kinds) in APPLICATIONS {
        for (at, kind) in kinds.iter().enumerate() {
            for number in 0..BUILT {
                let values = values(at, number);
                let message = (kind.build)(&mut Source::new(&values));
                let name = format!("{}-{number}", kind.name.to_lowercase());
                put(FOUND, target, &format!("{name}-values"), &[&[at as u8 | 0x80], &values[..]].concat())?;
                put(FOUND, target, &format!("{name}-avps"), &[&[at as u8], &message.body()[..]].concat())?;
                if number < 2 {
                    put(FOUND, "decode", &name, &[&[number as u8], &octets(&message)[..]].concat())?;
                }
            }
        }
    }
    for (name, octets) in hostile() {
        put("corpus", "decode", &format!("hostile-{name}"), &[&[7], &octets[..]].concat())?;
    }
    for (target, name, ops) in walks() {
        put("corpus", target, name, &ops)?;
    }
    Ok(())
}

/// Values to build from, the same each time; the first set is all ones, so
/// that everything is there.
fn values(kind: usize, number: usize) -> Vec<u8> {
    if number == 0 {
        return vec![1; 400];
    }
    let mut state = (kind * 1_000 + number) as u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    // numbers and flags, with runs of letters that read as text
    (0..300).map(|at| if at % 7 < 3 { next() % 8 } else { b'a' + next() % 26 }).collect()
}

fn octets(message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.write_to(&mut out);
    out
}

/// A CCR frame around these octets.
fn around(avps: &[u8]) -> Vec<u8> {
    let header = Header::request(272, 4, true);
    let mut out = BytesMut::new();
    let mut writer = Writer::begin(&mut out, &header);
    writer.text(&dict::SESSION_ID, "pgw.example;1;2").text(&dict::ORIGIN_HOST, "pgw.example");
    writer.finish();
    out.extend_from_slice(avps);
    let length = (out.len() as u32).to_be_bytes();
    out[1..4].copy_from_slice(&length[1..]);
    out.to_vec()
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut writer = Writer::begin(&mut out, &Header::request(272, 4, true));
    write(&mut writer);
    writer.finish();
    out[20..].to_vec()
}

/// The octets of one AVP header with a length of its own.
fn avp(def: &AvpDef, flags: u8, length: u32, data: &[u8]) -> Vec<u8> {
    let mut out = def.code.to_be_bytes().to_vec();
    out.extend_from_slice(&(u32::from(flags) << 24 | length).to_be_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn hostile() -> Vec<(String, Vec<u8>)> {
    let mandatory = AvpFlags::MANDATORY.0;
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, octets: Vec<u8>| all.push((name.into(), octets));

    let mut claim = around(&[]);
    claim[1..4].copy_from_slice(&[0xff, 0xff, 0xfc]);
    add("message-of-16-mb", claim);
    add("avp-of-16-mb", around(&avp(&dict::CLASS, mandatory, 0x00ff_ffff, b"abcd")));
    for length in 0..8 {
        add(&format!("avp-length-{length}"), around(&avp(&dict::CLASS, mandatory, length, b"abcd")));
    }
    add("vendor-bit-length-8", around(&avp(&dict::CLASS, 0xc0, 8, &[])));
    add("vendor-bit-length-11", around(&avp(&dict::CLASS, 0xc0, 11, b"abcd")));
    add("version-2", [&[2], &around(&[])[1..]].concat());
    add("message-length-22", {
        let mut octets = around(&[]);
        octets[3] = 22;
        octets
    });
    add("message-length-0", {
        let mut octets = around(&[]);
        octets[1..4].fill(0);
        octets
    });

    for levels in [15, 16, 17, 300, 8_000] {
        let mut nested = Vec::new();
        for level in 0..levels {
            let length = ((levels - level) * 8) as u32;
            nested.extend_from_slice(&avp(&dict::PROXY_INFO, mandatory, length, &[]));
        }
        add(&format!("groups-nested-{levels}"), around(&nested));
    }
    add("tiny-avps-64-kb", around(&avp(&dict::CLASS, mandatory, 8, &[]).repeat(8_180)));
    // one that may occur once: counting it must not start anew each time
    add("one-avp-8000-times", around(&avp(&dict::ORIGIN_STATE_ID, mandatory, 8, &[]).repeat(8_000)));
    add("vendor-tiny-avps", around(&avp(&dict::CLASS, 0x80, 12, &[0, 0, 0x28, 0xaf]).repeat(40)));

    // Proxy-Info whose last member has no padding
    add("padding-cut-in-a-group", around(&[0, 0, 1, 28, 0x40, 0, 0, 17, 0, 0, 0, 33, 0x40, 0, 0, 9, 7, 0, 0, 0]));
    add("padding-not-zero", around(&[0, 0, 0, 25, 0x40, 0, 0, 9, 7, 1, 2, 3]));
    add(
        "failed-avp-in-failed-avp",
        around(&written(|writer| {
            writer.group(&dict::FAILED_AVP, |outer| {
                outer.group(&dict::FAILED_AVP, |inner| {
                    inner.octets(&dict::ORIGIN_STATE_ID, &[1]);
                });
            });
        })),
    );
    add(
        "session-id-twice",
        around(&written(|writer| {
            writer.text(&dict::SESSION_ID, "another").text(&dict::SESSION_ID, "");
        })),
    );
    add(
        "empty-texts",
        around(&written(|writer| {
            writer.text(&dict::USER_NAME, "").text(&dict::SERVICE_CONTEXT_ID, "").text(&dict::DESTINATION_REALM, "");
        })),
    );
    add(
        "bad-utf8",
        around(&written(|writer| {
            writer.octets(&dict::USER_NAME, &[0xc3, 0x28]).octets(&dict::SESSION_ID, &[0xff]);
        })),
    );
    add(
        "proxy-info-broken",
        around(&written(|writer| {
            writer.octets(&dict::PROXY_INFO, &[0, 0, 1, 28, 0x40, 0, 0, 99]);
        })),
    );
    add(
        "echoed-avp-bad",
        around(&written(|writer| {
            writer.u32(&dict::AUTH_APPLICATION_ID, 4).i32(&dict::CC_REQUEST_TYPE, 1);
            writer.octets(&dict::CC_REQUEST_NUMBER, &[0; 8]);
        })),
    );
    add("reserved-bits", around(&avp(&dict::CLASS, 0x5f, 12, b"abcd")));
    add("r-and-e-bits", {
        let mut octets = around(&[]);
        octets[4] = 0xff;
        octets
    });
    add("two-and-a-half-messages", {
        let one = around(&[]);
        [&one[..], &one, &one[..30]].concat()
    });
    all
}

/// Walks of the peer machine and of two of them: the operations of
/// `peer.rs` and `pair.rs`, by their numbers.
fn walks() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    // shape, seed, DWAs to reopen, requests at most; Tw, exchange and
    // admission in seconds
    let settings = |shape: u8| [shape, 0, 0, 0, 0, 0, 0, 0, 9, 3, 8, 30, 10, 3];
    let peer = |role: u8, shape: u8, operations: &[u8]| [&[role], &settings(shape)[..], operations].concat();
    let pair = |admits: u8, operations: &[u8]| [&settings(0)[..], &[0], &settings(0), &[admits], operations].concat();
    let (up, cer, admit, reopen) = ([0], [10, 0, 0], [19, 0, 0], [19, 0, 1]);
    let arrived = [&up[..], &cer].concat();
    let then = |operations: &[u8]| [&arrived[..], &admit, operations].concat();
    let reopened = |operations: &[u8]| [&arrived[..], &reopen, operations].concat();
    let undecided = |operations: &[u8]| [&arrived[..], operations].concat();
    let meet = [0x80, 0];
    let met = |operations: &[u8]| [&meet[..], operations].concat();
    vec![
        ("peer", "requests-both-ways", peer(0, 0, &then(&[3, 16, 0, 4, 16, 0, 16, 0, 3, 0, 17, 0, 0, 0, 1, 5, 1]))),
        ("peer", "watchdogs", peer(0, 2, &then(&[8, 13, 3, 0, 12, 8, 8, 13, 3, 0]))),
        ("peer", "silence", peer(0, 0, &then(&[3, 255, 255, 8, 8, 8, 8]))),
        ("peer", "reopen", peer(0, 0, &reopened(&[13, 3, 0, 8, 13, 3, 0, 8, 13, 3, 0, 3, 16, 0]))),
        ("peer", "dpr-comes", peer(0, 0, &then(&[3, 16, 0, 14, 2, 1]))),
        ("peer", "dpr-goes", peer(0, 0, &then(&[3, 16, 0, 2, 0, 16, 0, 3, 0, 15, 3, 0]))),
        ("peer", "probe", peer(0, 0, &then(&[19, 7, 13, 3, 0]))),
        ("peer", "undecided", peer(0, 0, &undecided(&[8, 8]))),
        ("peer", "refused", peer(0, 0, &undecided(&[19, 5]))),
        ("peer", "abandoned", peer(0, 0, &then(&[3, 16, 0, 19, 6]))),
        ("peer", "initiator", peer(1, 0, &[0, 11, 3, 0, 0, 0, 19, 0, 0, 3, 16, 0, 16, 0, 3, 0, 6, 0, 8])),
        ("peer", "no-common-application", peer(1, 0, &[0, 11, 3, 4, 0, 0])),
        ("peer", "exchange-too-late", peer(0, 0, &[0, 8])),
        (
            "peer",
            "bad-version",
            peer(0, 0, &then(&[20, 20, 2, 0, 0, 20, 128, 0, 1, 16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0])),
        ),
        (
            "peer",
            "bad-avp",
            peer(
                0,
                0,
                &then(&[
                    20, 28, 1, 0, 0, 28, 192, 0, 1, 16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 7, 64, 0, 0, 99, 1,
                ]),
            ),
        ),
        ("pair", "requests", pair(0, &met(&[48, 255, 255, 1, 0x80, 0xc0, 1, 0]))),
        ("pair", "watchdogs", pair(0, &met(&[88, 0x80, 0, 0xd8, 0, 0x80]))),
        ("pair", "reopen", pair(1, &met(&[0, 0x80, 0xd8, 0, 0x80, 0xd8, 0, 0x80]))),
        ("pair", "split", pair(0, &[0xa0, 7, 0xa0, 30, 0x80, 32, 1, 0, 48, 9, 9, 0, 0xa0, 3, 0xa0, 200])),
        ("pair", "lost", pair(0, &met(&[48, 255, 255, 1, 0xe9, 88, 0xe9, 88, 88, 88]))),
        ("pair", "damaged", pair(0, &met(&[48, 255, 255, 1, 0xed, 0, 0, 9, 0x80, 0]))),
        // policy, connections and identities at most, then operations
        ("table", "election", vec![0, 1, 3, 0, 0, 1, 0, 2, 0, 0, 0, 1, 1, 0, 2, 1, 0, 3, 0, 0]),
        ("table", "second-connection", vec![1, 1, 3, 2, 0, 0, 2, 0, 0, 5, 0, 2, 0, 0, 4, 0, 6, 0, 0]),
        ("table", "restart", vec![0, 1, 3, 2, 0, 1, 1, 7, 0, 1, 2, 2, 1, 2, 6, 0, 1, 2, 4, 0]),
        ("pair", "both-close", pair(0, &met(&[100, 0, 0xe4, 1, 0x80, 0, 0x80, 0]))),
    ]
}
