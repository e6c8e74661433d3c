//! Extensions as text, in the notation of RFC 6733 sections 3.2 and 4.4.
//!
//! One entry on a line; `#` starts a comment:
//!
//! ```text
//! # code, vendor, name, type, M bit (must, may, mustnot), names of values
//! avp 4242 vendor 32473 Meter-Class Unsigned32 may
//! avp 4243 vendor 32473 Meter-Mode Enumerated may ( 0 IDLE, 1 RUNNING )
//! avp 4244 vendor 32473 Meter-Information Grouped may
//!
//! # what a new group holds; without `*[ AVP ]` it takes nothing else
//! Meter-Information ::= { Meter-Class } [ Meter-Mode ] *[ AVP ]
//!
//! # where else the new AVPs may occur, and how often
//! in Credit-Control-Request *[ Meter-Class ]
//! in PS-Information [ Meter-Information ]
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, i32 as signed, space0, space1, u16 as count, u32 as number};
use nom::combinator::{map, opt, value};
use nom::multi::{many0, separated_list1};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Parser};

use super::extension::{AddedAvp, AddedRule, AddedRules, DictionaryError, DictionaryProblem, Extension, GrammarPlace};
use super::{DataType, Dictionary, MandatoryBit};

impl Dictionary {
    /// Reads an extension; the module `notation` shows the notation. The
    /// error names the line and what is wrong with it.
    pub fn parse_extension(text: &str) -> Result<Extension, DictionaryError> {
        let mut extension = Extension::default();
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let read = if let Some(rest) = line.strip_prefix("avp ") {
                avp(line_number, rest).map(|avp| extension.avps.push(avp))
            } else if let Some(rest) = line.strip_prefix("in ") {
                known(line_number, rest).map(|rules| extension.rules.push(rules))
            } else {
                new_group(line_number, line).map(|rules| extension.rules.push(rules))
            };
            read.map_err(|problem| DictionaryError { line: line_number, problem })?;
        }
        Ok(extension)
    }
}

fn avp(line: usize, input: &str) -> Result<AddedAvp, DictionaryProblem> {
    let (rest, code) = part(preceded(space0, number), input, "an AVP code")?;
    let vendor = opt(preceded((space1, tag("vendor"), space1), number));
    let (rest, vendor) = part(vendor, rest, "a vendor")?;
    let (rest, avp_name) = part(preceded(space1, name), rest, "a name")?;
    let (rest, type_name) = part(preceded(space1, name), rest, "a data type")?;
    let data_type = DataType::named(type_name).ok_or_else(|| DictionaryProblem::UnknownType(type_name.to_owned()))?;
    let rule = alt((
        value(MandatoryBit::Never, tag("mustnot")),
        value(MandatoryBit::M, tag("must")),
        value(MandatoryBit::MayClear, tag("may")),
    ));
    let (rest, mandatory) = part(preceded(space1, rule), rest, "must, may or mustnot")?;
    let pair = separated_pair(signed, space1, map(name, str::to_owned));
    let list = separated_list1(delimited(space0, char(','), space0), pair);
    let values = opt(delimited((space0, char('('), space0), list, (space0, char(')'))));
    let (rest, value_names) = part(values, rest, "names of values")?;
    end(rest, "`( 0 NAME, … )` or the end of the line")?;
    Ok(AddedAvp {
        line,
        code,
        vendor: vendor.unwrap_or(0),
        name: avp_name.to_owned(),
        data_type,
        mandatory,
        value_names: value_names.unwrap_or_default(),
    })
}

/// `in Credit-Control-Request *[ Meter-Class ]`.
fn known(line: usize, input: &str) -> Result<AddedRules, DictionaryProblem> {
    let (rest, place) = part(preceded(space0, name), input, "a command or a group")?;
    let (rules, open) = rules(rest)?;
    if open {
        return Err(DictionaryProblem::UnknownAvp("AVP".to_owned()));
    }
    Ok(AddedRules { line, place: GrammarPlace::Known(place.to_owned()), rules })
}

/// `Meter-Information ::= { Meter-Class } *[ AVP ]`.
fn new_group(line: usize, input: &str) -> Result<AddedRules, DictionaryProblem> {
    let head = terminated(name, (space0, tag("::=")));
    let (rest, group) = part(head, input, "`avp …`, `in …` or `Group ::= …`")?;
    let (rules, open) = rules(rest)?;
    Ok(AddedRules { line, place: GrammarPlace::NewGroup { name: group.to_owned(), open }, rules })
}

/// Rules up to the end of the line; true where `*[ AVP ]` is among them.
fn rules(input: &str) -> Result<(Vec<AddedRule>, bool), DictionaryProblem> {
    let (rest, mut rules) = part(many0(preceded(space0, rule)), input, "a rule")?;
    end(rest, "a rule such as `*[ Name ]`")?;
    let all = rules.len();
    rules.retain(|rule| rule.avp != "AVP");
    if all == 0 {
        end("nothing", "a rule such as `*[ Name ]`")?;
    }
    let open = rules.len() < all;
    Ok((rules, open))
}

/// `{ A }`, `< A >`, `[ A ]`, each with `min*max` before it or not.
fn rule(input: &str) -> IResult<&str, AddedRule> {
    let counts = opt(terminated((opt(count), preceded(char('*'), opt(count))), space0));
    let within = |open, close| delimited((char(open), space0), name, (space0, char(close)));
    let required = map(alt((within('{', '}'), within('<', '>'))), |name| (name, true));
    let optional = map(within('[', ']'), |name| (name, false));
    let (rest, (counts, (name, required))) = (counts, alt((required, optional))).parse(input)?;
    Ok((rest, AddedRule::new(name, required, counts)))
}

fn name(input: &str) -> IResult<&str, &str> {
    take_while1(|letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter)).parse(input)
}

fn part<'a, T>(
    mut parser: impl Parser<&'a str, Output = T, Error = nom::error::Error<&'a str>>,
    input: &'a str,
    expected: &'static str,
) -> Result<(&'a str, T), DictionaryProblem> {
    parser.parse(input).map_err(|_| syntax(expected, input))
}

fn end(rest: &str, expected: &'static str) -> Result<(), DictionaryProblem> {
    if rest.trim().is_empty() { Ok(()) } else { Err(syntax(expected, rest)) }
}

fn syntax(expected: &'static str, rest: &str) -> DictionaryProblem {
    DictionaryProblem::Syntax { expected, rest: rest.trim().to_owned() }
}
