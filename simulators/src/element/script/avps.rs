//! Lists of AVPs in a script.

use linegate_diameter::dictionary::{
    AvpDef, CommandDef, DataType, Dictionary, Grammar, MandatoryBit, Rule, application, vendor,
};
use linegate_diameter::names;

use super::ScriptError;
use super::lexer::Token;
use super::parse::Parser;
use super::syntax::{Given, GivenAvp};
use super::value;

/// Groups within groups.
const NESTING_MAX: usize = 32;

/// What decides between AVPs of the same name: the grammar of what they stand
/// in, else the vendor of it.
#[derive(Clone, Copy)]
pub(super) struct Context {
    rules: &'static [Rule],
    vendor: u32,
}

impl Context {
    pub(super) fn of(command: &CommandDef, is_request: bool) -> Self {
        let rules = if is_request { command.request } else { command.answer }.rules();
        let own = command.application == Some(application::LINE_PROVISIONING);
        Self { rules, vendor: if own { vendor::EXAMPLE } else { vendor::TGPP } }
    }

    fn inside(self, group: &AvpDef) -> Self {
        let vendor = if group.vendor == 0 { self.vendor } else { group.vendor };
        Self {
            rules: Dictionary::standard().grammar_of(group.vendor, group.code).map(Grammar::rules).unwrap_or_default(),
            vendor,
        }
    }
}

impl Parser<'_> {
    /// A list in braces, or up to the end of the line or a keyword.
    pub(super) fn avps(&mut self, context: Context) -> Result<Vec<GivenAvp>, ScriptError> {
        if self.take(&Token::Open) {
            return self.members(context, 0);
        }
        let mut avps = Vec::new();
        while self.peek_word().is_some_and(is_avp) {
            avps.push(self.avp(context, 0)?);
        }
        Ok(avps)
    }

    /// Up to the closing brace.
    fn members(&mut self, context: Context, depth: usize) -> Result<Vec<GivenAvp>, ScriptError> {
        if depth > NESTING_MAX {
            return self.fail(format!("groups nest deeper than {NESTING_MAX}"));
        }
        let mut avps = Vec::new();
        loop {
            self.skip_newlines();
            if self.take(&Token::Close) {
                return Ok(avps);
            }
            if !self.peek_word().is_some_and(is_avp) {
                return self.fail("an AVP or a closing brace is missing");
            }
            avps.push(self.avp(context, depth)?);
        }
    }

    fn avp(&mut self, context: Context, depth: usize) -> Result<GivenAvp, ScriptError> {
        let line = self.line();
        let word = self.word("an AVP's name")?;
        if word == "no" {
            let name = self.word("an AVP's name")?;
            let def = self.resolve(&name, context)?;
            return Ok(GivenAvp { line, def, flags: None, length: None, value: Given::Absent });
        }
        let (def, mut flags) = if word == "avp" { self.numbered()? } else { (self.resolve(&word, context)?, None) };
        let mut length = None;
        loop {
            match self.peek_word() {
                Some("flags") => {
                    self.word("flags")?;
                    flags = Some(self.integer("AVP flags")?);
                }
                Some("length") => {
                    self.word("length")?;
                    length = Some(self.integer("a length")?);
                }
                _ => break,
            }
        }
        let equals = self.take(&Token::Equals);
        let value = if self.take(&Token::Open) {
            Given::Group(self.members(context.inside(&def), depth + 1)?)
        } else if equals {
            self.value(&def)?
        } else {
            Given::Any
        };
        Ok(GivenAvp { line, def, flags, length, value })
    }

    /// `avp(code, vendor, flags)`; vendor and flags may be left out.
    fn numbered(&mut self) -> Result<(AvpDef, Option<u8>), ScriptError> {
        if !self.take(&Token::ParenOpen) {
            return self.fail("avp(code, vendor, flags)");
        }
        let code = self.integer("an AVP code")?;
        let vendor = if self.peek_word().is_some() { self.integer("a Vendor-Id")? } else { 0 };
        let flags = if self.peek_word().is_some() { Some(self.integer("AVP flags")?) } else { None };
        if !self.take(&Token::ParenClose) {
            return self.fail("avp(code, vendor, flags)");
        }
        let (data_type, mandatory) = (DataType::OctetString, MandatoryBit::MayClear);
        Ok((AvpDef { code, vendor, name: "avp", data_type, mandatory, value_names: &[] }, flags))
    }

    fn value(&mut self, def: &AvpDef) -> Result<Given, ScriptError> {
        if self.peek_word() == Some("octets") {
            self.word("octets")?;
            let word = self.word("octets in hexadecimal")?;
            return match word.strip_prefix("0x").and_then(value::hexadecimal) {
                Some(octets) => Ok(Given::Octets(octets)),
                None => self.fail(format!("{word}: not 0x and octets in hexadecimal")),
            };
        }
        let literal = self.literal()?;
        if literal.text.contains('$') {
            return Ok(Given::Later(literal));
        }
        match value::octets(def, &literal) {
            Ok(octets) => Ok(Given::Octets(octets)),
            Err(reason) => self.fail(reason),
        }
    }

    /// The AVP of a name.
    pub(super) fn resolve(&self, name: &str, context: Context) -> Result<AvpDef, ScriptError> {
        let in_grammar = |def: &&AvpDef| context.rules.iter().any(|rule| rule.avp.key() == def.key());
        let of_vendor = |def: &&AvpDef| def.vendor == context.vendor;
        let found = names::avps_named(name).find(in_grammar);
        let found = found.or_else(|| names::avps_named(name).find(of_vendor));
        match found.or_else(|| names::avps_named(name).next()) {
            Some(def) => Ok(*def),
            None => self.fail(format!("no AVP is called {name}; avp(code, vendor, flags) gives any")),
        }
    }
}

/// AVPs begin with a capital or a digit; what else stands there is a keyword.
fn is_avp(word: &str) -> bool {
    matches!(word, "avp" | "no") || word.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
}
