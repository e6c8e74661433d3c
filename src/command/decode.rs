//! `linegate decode`: Diameter messages as text, from hexadecimal text, dumps
//! and binary files.

mod hex;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use linegate_diameter::dictionary::Dictionary;
use linegate_diameter::tree;

/// Octets read of one input at most.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// First octets of capture files: pcap in both byte orders, with micro- and
/// nanoseconds, and pcapng.
const CAPTURES: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// Prints every message of the inputs: a file, `-` for standard input, or
/// hexadecimal text in one or several arguments. The exit code is 0 where
/// all are good and 1 where something is wrong with one; an input that
/// cannot be read is an error. `extension` adds to the dictionary.
pub fn decode(inputs: &[String], extension: Option<&Path>) -> anyhow::Result<ExitCode> {
    let dictionary = crate::transport::diameter::load_dictionary(extension)?;
    let octets = read(inputs)?;
    if octets.is_empty() {
        bail!("decode: nothing to decode");
    }
    let mut out = io::stdout().lock();
    match print(&octets, &dictionary, &mut out) {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        // whoever reads has seen enough
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error).context("write to standard output"),
    }
}

fn read(inputs: &[String]) -> anyhow::Result<Bytes> {
    match inputs {
        [one] if one == "-" => contents("standard input", io::stdin().lock()),
        [one] if Path::new(one).is_file() => contents(one, File::open(one).with_context(|| format!("open {one}"))?),
        texts => match hex::octets(&texts.join(" ")) {
            Ok(octets) => Ok(octets.into()),
            Err(error) => match texts {
                [one] => bail!("decode {one}: no such file, and as hexadecimal text: {error}"),
                _ => bail!("decode: {error}"),
            },
        },
    }
}

/// Hexadecimal text where the whole of it is text, else the octets themselves.
fn contents(name: &str, from: impl Read) -> anyhow::Result<Bytes> {
    let mut octets = Vec::new();
    let read = from.take(INPUT_BYTES_MAX + 1).read_to_end(&mut octets).with_context(|| format!("read {name}"))?;
    if read as u64 > INPUT_BYTES_MAX {
        bail!("read {name}: more than {INPUT_BYTES_MAX} bytes");
    }
    if octets.first_chunk().is_some_and(|first| CAPTURES.contains(first)) {
        bail!(
            "read {name}: a capture; `tshark -r FILE -Y diameter -T fields -e tcp.payload` writes its messages as \
             hexadecimal text for `linegate decode -`"
        );
    }
    let text = octets.iter().all(|octet| octet.is_ascii_graphic() || octet.is_ascii_whitespace());
    match std::str::from_utf8(&octets) {
        Ok(dump) if text => Ok(hex::octets(dump).with_context(|| format!("read {name}"))?.into()),
        _ => Ok(octets.into()),
    }
}

/// Prints the messages of a stream; whether all of them are good.
fn print(octets: &Bytes, dictionary: &Dictionary, out: &mut impl Write) -> io::Result<bool> {
    let (mut at, mut good, mut text) = (0, true, String::new());
    while at < octets.len() {
        text.clear();
        let shown = tree::write_front(&octets.slice(at..), dictionary, &mut text).map_err(io::Error::other)?;
        let alone = at == 0 && shown.octets == octets.len();
        if !alone {
            let space = if at > 0 { "\n" } else { "" };
            writeln!(out, "{space}octet {at} of {}:", octets.len())?;
        }
        out.write_all(text.as_bytes())?;
        good &= shown.good;
        at += shown.octets.max(1);
    }
    out.flush()?;
    Ok(good)
}
