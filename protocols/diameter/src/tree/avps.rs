//! The AVPs of a message, with what is wrong below each.

use std::fmt::{self, Write};

use bytes::{BufMut, Bytes, BytesMut};

use super::{indent, value, write_break, write_name};
use crate::codec::{Avp, AvpError, AvpFlags, Avps, DecodeError, HEADER_LENGTH, Message, Problem};
use crate::dictionary::{DataType, Dictionary, Grammar, Report, Rule, key};
use crate::names;

/// Where a chain stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Octets from the start of the message.
    pub(super) at: usize,
    /// Steps of indentation.
    pub(super) depth: usize,
    /// What its grammar asks for, where it is judged.
    pub(super) grammar: Option<&'static Grammar>,
}

/// Prints chains, and what a check found in them.
pub(super) struct Printer<'p> {
    dictionary: &'p Dictionary,
    out: &'p mut dyn Write,
    strict: &'p Report,
    lenient: &'p Report,
    /// Errors shown already, a bit each.
    told: u64,
}

impl<'p> Printer<'p> {
    pub(super) fn new(
        dictionary: &'p Dictionary,
        out: &'p mut dyn Write,
        strict: &'p Report,
        lenient: &'p Report,
    ) -> Self {
        Self { dictionary, out, strict, lenient, told: 0 }
    }

    /// Prints one chain; the offset of its end.
    pub(super) fn chain(&mut self, avps: Avps<'_>, place: Place) -> Result<usize, fmt::Error> {
        let mut here = place;
        for avp in avps {
            self.avp(&avp, avps, here)?;
            here.at += avp.length().next_multiple_of(4);
        }
        if let Some(grammar) = place.grammar {
            self.missing(avps, grammar.rules(), here)?;
        }
        Ok(here.at)
    }

    fn avp(&mut self, avp: &Avp<'_>, siblings: Avps<'_>, place: Place) -> fmt::Result {
        let def = avp.definition(self.dictionary);
        indent(place.depth, self.out)?;
        self.out.write_str(def.map_or("unknown AVP", |def| def.name))?;
        write!(self.out, " ({}", avp.code())?;
        if let Some(vendor) = avp.vendor() {
            write!(self.out, ", vendor {vendor}")?;
            if let Some(name) = names::vendor(vendor) {
                write!(self.out, " {name}")?;
            }
        }
        self.out.write_char(')')?;
        self.flags(avp.flags)?;
        match def {
            Some(def) if def.data_type == DataType::Grouped => self.group(avp, siblings, place),
            Some(def) => {
                value::write(avp, def, siblings, place.depth, self.out)?;
                self.out.write_char('\n')?;
                self.problems(avp, siblings, place)
            }
            None => {
                self.out.write_char(' ')?;
                value::write_octets(avp.data, place.depth, self.out)?;
                self.out.write_char('\n')?;
                self.problems(avp, siblings, place)
            }
        }
    }

    /// V shows in the vendor.
    fn flags(&mut self, flags: AvpFlags) -> fmt::Result {
        let (mandatory, protected) = (flags.has(AvpFlags::MANDATORY), flags.0 & 0x20 != 0);
        if mandatory || protected {
            self.out.write_char(' ')?;
        }
        if mandatory {
            self.out.write_char('M')?;
        }
        if protected {
            self.out.write_char('P')?;
        }
        match flags.0 & 0x1f {
            0 => Ok(()),
            reserved => write!(self.out, " reserved 0x{reserved:02x}"),
        }
    }

    fn group(&mut self, avp: &Avp<'_>, siblings: Avps<'_>, place: Place) -> fmt::Result {
        self.out.write_char('\n')?;
        self.problems(avp, siblings, place)?;
        let start = place.at + avp.length() - avp.data.len();
        // what failed elsewhere is anything at all
        let failed = avp.key() == key::FAILED_AVP;
        let grammar = if failed { None } else { self.dictionary.group_grammar(avp) };
        let inside = Place { at: start, depth: place.depth + 1, grammar };
        match avp.grouped() {
            Ok(members) => self.chain(members, inside).map(drop),
            Err(error) if matches!(error.problem, Problem::Depth { .. }) => {
                indent(inside.depth, self.out)?;
                value::write_octets(avp.data, inside.depth, self.out)?;
                self.out.write_char('\n')
            }
            Err(error) => self.broken_group(avp.data, &error, inside),
        }
    }

    /// Members up to where they break.
    fn broken_group(&mut self, data: &[u8], error: &AvpError, inside: Place) -> fmt::Result {
        if let Some(told) = self.strict.errors.iter().position(|known| known == error) {
            self.tell(told);
        }
        // a message of their own, which can be read up to there
        let mut frame = BytesMut::with_capacity(HEADER_LENGTH + data.len() + 3);
        frame.put_bytes(0, HEADER_LENGTH);
        frame.put_slice(data);
        frame.put_bytes(0, data.len().next_multiple_of(4) - data.len());
        let length = frame.len() as u32;
        frame[..4].copy_from_slice(&(1 << 24 | length).to_be_bytes());
        let mut at = inside.at;
        let frame: Bytes = frame.freeze();
        if let Err(DecodeError::Avp { message, .. }) = Message::decode(frame) {
            at = self.chain_of(&message, inside)?;
        }
        let rest = data.get(at - inside.at..).unwrap_or_default();
        write_break(rest, at, inside.depth, error, self.dictionary, self.out)
    }

    fn chain_of(&mut self, message: &Message, inside: Place) -> Result<usize, fmt::Error> {
        self.chain(message.avps(), Place { grammar: None, ..inside })
    }

    /// What the check found at this AVP.
    fn problems(&mut self, avp: &Avp<'_>, siblings: Avps<'_>, place: Place) -> fmt::Result {
        for (index, error) in self.strict.errors.iter().enumerate() {
            if self.is_told(index) || !is_about(error, avp) {
                continue;
            }
            if let Problem::TooMany { max } = error.problem {
                // of AVPs that are the same, the first one too many
                let before = siblings.filter(|other| other.key() == avp.key());
                let before = before.take_while(|other| !std::ptr::eq(other.data.as_ptr(), avp.data.as_ptr())).count();
                if before < usize::from(max) {
                    continue;
                }
            }
            self.tell(index);
            indent(place.depth, self.out)?;
            write!(self.out, "! octet {}: {}: {}", place.at, error.result_code(), error.problem)?;
            self.accepted(error)?;
        }
        Ok(())
    }

    /// What the grammar asks for and is not there.
    fn missing(&mut self, avps: Avps<'_>, rules: &[Rule], place: Place) -> fmt::Result {
        for (index, error) in self.strict.errors.iter().enumerate() {
            if self.is_told(index) || error.problem != Problem::Missing {
                continue;
            }
            let rule = rules.iter().find(|rule| (rule.avp.vendor, rule.avp.code) == (error.vendor, error.code));
            let Some(rule) = rule else { continue };
            if avps.filter(|avp| avp.key() == rule.avp.key()).count() >= usize::from(rule.min) {
                continue;
            }
            self.tell(index);
            indent(place.depth, self.out)?;
            write!(self.out, "! {}: ", error.result_code())?;
            write_name(error.vendor, error.code, self.dictionary, self.out)?;
            self.accepted(error)?;
        }
        Ok(())
    }

    fn accepted(&mut self, error: &AvpError) -> fmt::Result {
        let lenient = !self.lenient.errors.contains(error);
        self.out.write_str(if lenient { "; a lenient peer's would pass\n" } else { "\n" })
    }

    fn is_told(&self, index: usize) -> bool {
        index >= 64 || self.told & 1 << index != 0
    }

    fn tell(&mut self, index: usize) {
        if index < 64 {
            self.told |= 1 << index;
        }
    }
}

/// True where `error` has this AVP: innermost in its groups, its value up to
/// where Failed-AVP cuts it short.
fn is_about(error: &AvpError, avp: &Avp<'_>) -> bool {
    (error.code, error.vendor) == (avp.code(), avp.vendor_id())
        && error.problem != Problem::Missing
        && error.shown_value().is_some_and(|shown| avp.data.starts_with(shown))
}
