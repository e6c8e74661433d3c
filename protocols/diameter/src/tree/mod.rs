//! A message as text for people: its header on one line, a tree of its AVPs
//! with names and typed values, and what is wrong with it.
//!
//! Lines with `!` stand below the AVP that is at fault, with its offset from
//! the start of the message; the last lines sum up, each with its result
//! code, the code's name and the section that defines it. The text of a
//! message is bounded by the message: a few lines for each AVP, four or five
//! characters for each octet.
//!
//! Nothing that a peer sent reaches a terminal as it came: text is quoted and
//! its control characters are escaped.

mod avps;
mod value;

use std::fmt::{self, Write};

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{AvpError, CommandFlags, DecodeError, FrameError, HEADER_LENGTH, Header, Message, Problem};
use crate::dictionary::{Dictionary, Report, Strictness};
use crate::names;
use crate::result_code::ResultCode;
use avps::{Place, Printer};

/// What was printed off the front of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Octets of the message; all that there are where the stream cannot be
    /// cut any further.
    pub octets: usize,
    /// The message is whole and passes the strict check.
    pub good: bool,
}

/// Prints one message with the names of `dictionary`; true where its strict check
/// finds nothing.
pub fn write_message(message: &Message, dictionary: &Dictionary, out: &mut dyn Write) -> Result<bool, fmt::Error> {
    write_header(&message.header, HEADER_LENGTH + message.body().len(), dictionary, out)?;
    let strict = dictionary.check(message, Strictness::Strict);
    let lenient = dictionary.check(message, Strictness::Lenient);
    let header = &message.header;
    let grammar = match dictionary.find_command(header.application_id, header.command_code) {
        Some(_) if header.is_error() => None,
        Some(command) if header.is_request() => Some(command.request),
        Some(command) => Some(command.answer),
        None => None,
    };
    let mut printer = Printer::new(dictionary, out, &strict, &lenient);
    printer.chain(message.avps(), Place { at: HEADER_LENGTH, depth: 1, grammar })?;
    write_summary(header, &strict, &lenient, dictionary, out)?;
    Ok(strict.result_code().is_none())
}

/// Prints the message at the front of `octets`, or what can be read of it:
/// one that is cut short or whose chain of AVPs breaks is shown up to there.
pub fn write_front(octets: &Bytes, dictionary: &Dictionary, out: &mut dyn Write) -> Result<Shown, fmt::Error> {
    let Some(start) = octets.first_chunk::<HEADER_LENGTH>() else {
        writeln!(out, "{} octets, a header has {HEADER_LENGTH}", octets.len())?;
        value::write_octets(octets, 1, out)?;
        writeln!(out)?;
        return Ok(Shown { octets: octets.len(), good: false });
    };
    let length = u32::from_be_bytes([0, start[1], start[2], start[3]]) as usize;
    if start[0] == 1 && length >= HEADER_LENGTH && length.is_multiple_of(4) && length <= octets.len() {
        let good = write_frame(octets.slice(..length), dictionary, out)?;
        return Ok(Shown { octets: length, good });
    }
    write_uncut(octets, length, dictionary, out)?;
    Ok(Shown { octets: octets.len(), good: false })
}

/// A frame whose header is right.
fn write_frame(frame: Bytes, dictionary: &Dictionary, out: &mut dyn Write) -> Result<bool, fmt::Error> {
    let whole = frame.clone();
    match Message::decode(frame) {
        Ok(message) => write_message(&message, dictionary, out),
        Err(DecodeError::Avp { message, error }) => {
            write_header(&message.header, whole.len(), dictionary, out)?;
            let at = write_readable(&message, dictionary, out)?;
            write_break(whole.get(at..).unwrap_or_default(), at, 1, &error, dictionary, out)?;
            write_wrong(ResultCode::INVALID_AVP_LENGTH, out)?;
            write_subject(&error, dictionary, out)?;
            writeln!(out, ", octet {at}{}", Section(error.result_code()))?;
            writeln!(out, "  the AVPs behind it cannot be read, and the grammar is not judged")?;
            Ok(false)
        }
        Err(error) => {
            writeln!(out, "  {error}")?;
            Ok(false)
        }
    }
}

/// A message whose header is wrong, or whose end is missing.
fn write_uncut(octets: &Bytes, length: usize, dictionary: &Dictionary, out: &mut dyn Write) -> fmt::Result {
    let end = octets.len().min(length.max(HEADER_LENGTH)) & !3;
    // as a frame of what is there, it can be read up to its end
    let mut patched = BytesMut::with_capacity(end);
    patched.put_u32(1 << 24 | end as u32);
    patched.put_slice(octets.get(4..end).unwrap_or_default());
    let (message, error) = match Message::decode(patched.freeze()) {
        Ok(message) => (message, None),
        Err(DecodeError::Avp { message, error }) => (message, Some(error)),
        Err(error) => return writeln!(out, "  {error}"),
    };
    write_header(&message.header, length, dictionary, out)?;
    let version = octets.first().copied().unwrap_or_default();
    if version == 1 {
        let at = write_readable(&message, dictionary, out)?;
        if error.is_some() {
            writeln!(out, "  ! octet {at}: cut short")?;
            value::write_rest(octets.get(at..end).unwrap_or_default(), 2, out)?;
        }
    }
    let (code, header) = (ResultCode::INVALID_MESSAGE_LENGTH, message.header);
    if version != 1 {
        let error = FrameError::Version { version, header };
        write_wrong(error.result_code(), out)?;
        writeln!(out, ": version {version}, need 1{}", Section(error.result_code()))
    } else if length < HEADER_LENGTH || !length.is_multiple_of(4) {
        write_wrong(code, out)?;
        writeln!(out, ": length {length}, need a multiple of 4 from {HEADER_LENGTH}{}", Section(code))
    } else {
        writeln!(out, "  wrong: cut short at octet {}: the header says {length} octets", octets.len())
    }
}

/// Prints the AVPs up to where they break, unjudged; the offset of that.
fn write_readable(message: &Message, dictionary: &Dictionary, out: &mut dyn Write) -> Result<usize, fmt::Error> {
    let nothing = Report::default();
    Printer::new(dictionary, out, &nothing, &nothing)
        .chain(message.avps(), Place { at: HEADER_LENGTH, depth: 1, grammar: None })
}

/// Where a chain breaks, with the start of what cannot be read.
fn write_break(
    rest: &[u8],
    at: usize,
    depth: usize,
    error: &AvpError,
    dictionary: &Dictionary,
    out: &mut dyn Write,
) -> fmt::Result {
    indent(depth, out)?;
    write!(out, "! octet {at}: {}: ", error.result_code())?;
    write_name(error.vendor, error.code, dictionary, out)?;
    writeln!(out, ": {}", error.problem)?;
    value::write_rest(rest, depth + 1, out)
}

fn write_header(header: &Header, length: usize, dictionary: &Dictionary, out: &mut dyn Write) -> fmt::Result {
    let kind = if header.is_request() { "Request" } else { "Answer" };
    let code = header.command_code;
    match dictionary.find_command(header.application_id, code) {
        Some(command) => write!(out, "{}-{kind} ({code})", command.name)?,
        None => write!(out, "unknown command {code}, {kind}")?,
    }
    let flags = [
        (CommandFlags::PROXIABLE, "Proxiable"),
        (CommandFlags::ERROR, "Error"),
        (CommandFlags::RETRANSMITTED, "Retransmitted"),
    ];
    for (_, name) in flags.iter().filter(|(flag, _)| header.flags.has(*flag)) {
        write!(out, ", {name}")?;
    }
    let reserved = header.flags.0 & 0x0f;
    if reserved != 0 {
        write!(out, ", reserved flags 0x{reserved:02x}")?;
    }
    write!(out, ", application {}", header.application_id)?;
    if let Some(name) = names::application(header.application_id) {
        write!(out, " {name}")?;
    }
    let (hop, end) = (header.hop_by_hop, header.end_to_end);
    writeln!(out, ", hop-by-hop 0x{hop:08x}, end-to-end 0x{end:08x}, {length} octets")
}

fn write_summary(
    header: &Header,
    strict: &Report,
    lenient: &Report,
    dictionary: &Dictionary,
    out: &mut dyn Write,
) -> fmt::Result {
    if let Some(code) = strict.header {
        write_wrong(code, out)?;
        match code {
            ResultCode::COMMAND_UNSUPPORTED => {
                write!(out, ": command {} of application {}", header.command_code, header.application_id)?;
            }
            ResultCode::APPLICATION_UNSUPPORTED => write!(out, ": application {}", header.application_id)?,
            _ => write!(out, ": command flags 0x{:02x}", header.flags.0)?,
        }
        let accepted = if lenient.header.is_none() { "; a lenient peer's would pass" } else { "" };
        writeln!(out, "{}{accepted}", Section(code))?;
    }
    for error in &strict.errors {
        write_wrong(error.result_code(), out)?;
        write_subject(error, dictionary, out)?;
        let accepted = if lenient.errors.contains(error) { "" } else { "; a lenient peer's would pass" };
        writeln!(out, "{}{accepted}", Section(error.result_code()))?;
    }
    match (strict.result_code(), strict.errors.len()) {
        (None, _) => writeln!(out, "  good"),
        // the check keeps no more
        (_, 16..) => writeln!(out, "  only the first {} are listed", strict.errors.len()),
        _ => Ok(()),
    }
}

fn write_wrong(code: ResultCode, out: &mut dyn Write) -> fmt::Result {
    write!(out, "  wrong: {code}")
}

fn write_subject(error: &AvpError, dictionary: &Dictionary, out: &mut dyn Write) -> fmt::Result {
    write!(out, ": ")?;
    write_name(error.vendor, error.code, dictionary, out)?;
    match error.problem {
        Problem::Missing => Ok(()),
        problem => write!(out, ": {problem}"),
    }
}

fn write_name(vendor: u32, code: u32, dictionary: &Dictionary, out: &mut dyn Write) -> fmt::Result {
    match (dictionary.find_avp(vendor, code), vendor) {
        (Some(def), _) => out.write_str(def.name),
        (None, 0) => write!(out, "unknown AVP {code}"),
        (None, vendor) => write!(out, "unknown AVP {code} of vendor {vendor}"),
    }
}

fn indent(depth: usize, out: &mut dyn Write) -> fmt::Result {
    (0..depth).try_for_each(|_| out.write_str("  "))
}

/// The standard's section of a result code, in brackets.
struct Section(ResultCode);

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.standard() {
            Some(standard) => write!(f, " ({standard})"),
            None => Ok(()),
        }
    }
}
