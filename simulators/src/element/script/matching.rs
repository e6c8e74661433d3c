//! Whether a message is what the script expects.

use linegate_diameter::codec::{Avp, Avps};
use linegate_diameter::dictionary::{DataType, Dictionary};
use linegate_diameter::{Message, tree};

use super::build::{self, Mistake};
use super::syntax::{Expectation, Given, GivenAvp, command_name};
use super::variables::Variables;

/// What of the expectation is not in the message; `None` where all of it is.
/// Other AVPs may be there, and the order does not matter.
pub(super) fn missing(
    expected: &Expectation,
    message: &Message,
    variables: &Variables,
) -> Result<Option<String>, Mistake> {
    let flags = message.header.flags.0;
    if flags & expected.flags != expected.flags {
        return Ok(Some(format!("command flags 0x{:02x}", expected.flags)));
    }
    chain(&expected.avps, message.avps(), variables)
}

fn chain(expected: &[GivenAvp], avps: Avps<'_>, variables: &Variables) -> Result<Option<String>, Mistake> {
    for given in expected {
        let mut closest = None;
        let mut found = false;
        for avp in avps.filter(|avp| avp.key() == given.def.key()) {
            match one(given, &avp, variables)? {
                None => found = true,
                // of several groups, the deepest reason says most
                Some(reason) => closest = Some(reason),
            }
        }
        match (&given.value, found) {
            (Given::Absent, true) => return Ok(Some(format!("no {}", given.def.name))),
            (Given::Absent, false) | (_, true) => {}
            (_, false) => return Ok(Some(closest.unwrap_or_else(|| text(given, variables)))),
        }
    }
    Ok(None)
}

fn one(given: &GivenAvp, avp: &Avp<'_>, variables: &Variables) -> Result<Option<String>, Mistake> {
    if given.flags.is_some_and(|flags| flags != avp.flags.0) {
        return Ok(Some(format!("{} with flags 0x{:02x}", given.def.name, given.flags.unwrap_or_default())));
    }
    match &given.value {
        Given::Any | Given::Absent => Ok(None),
        Given::Octets(_) | Given::Later(_) => {
            let octets = build::octets(given, variables)?;
            Ok((octets != avp.data).then(|| text(given, variables)))
        }
        Given::Group(members) => {
            let inside = match avp.grouped() {
                Ok(avps) => chain(members, avps, variables)?,
                Err(error) => Some(error.to_string()),
            };
            Ok(inside.map(|reason| format!("{} {{ {reason} }}", given.def.name)))
        }
    }
}

/// An expectation as a person would write it.
pub(super) fn expectation(expected: &Expectation, variables: &Variables) -> String {
    let mut written = command_name(expected.command, expected.is_request);
    for avp in &expected.avps {
        written.push(' ');
        written.push_str(&text(avp, variables));
    }
    written
}

fn text(given: &GivenAvp, variables: &Variables) -> String {
    let name = match given.def.name {
        "avp" => format!("avp({}, {})", given.def.code, given.def.vendor),
        name => name.to_owned(),
    };
    match &given.value {
        Given::Any => name,
        Given::Absent => format!("no {name}"),
        Given::Octets(octets) => format!("{name} = {}", value(given, octets)),
        Given::Later(literal) => match build::octets(given, variables) {
            Ok(octets) => format!("{name} = {}", value(given, &octets)),
            Err(_) => format!("{name} = {}", literal.text),
        },
        Given::Group(members) => {
            let members: Vec<String> = members.iter().map(|member| text(member, variables)).collect();
            format!("{name} {{ {} }}", members.join(" "))
        }
    }
}

fn value(given: &GivenAvp, octets: &[u8]) -> String {
    let word = <[u8; 4]>::try_from(octets).map(u32::from_be_bytes);
    let long = <[u8; 8]>::try_from(octets).map(u64::from_be_bytes);
    match (given.def.data_type, word, long) {
        (DataType::Unsigned32, Ok(word), _) => word.to_string(),
        (DataType::Integer32, Ok(word), _) => word.cast_signed().to_string(),
        (DataType::Enumerated, Ok(word), _) => match given.def.value_name(word.cast_signed()) {
            Some(name) => name.to_owned(),
            None => word.cast_signed().to_string(),
        },
        (DataType::Unsigned64, _, Ok(long)) => long.to_string(),
        (DataType::Integer64, _, Ok(long)) => long.cast_signed().to_string(),
        (DataType::UTF8String | DataType::DiameterIdentity | DataType::DiameterURI, ..) => {
            format!("{:?}", String::from_utf8_lossy(octets))
        }
        _ => octets.iter().fold("0x".to_owned(), |text, octet| text + &format!("{octet:02x}")),
    }
}

/// A message as the tree of `linegate decode`.
pub(super) fn printed(message: &Message) -> String {
    let mut text = String::new();
    // a String takes everything
    let _whole = tree::write_message(message, Dictionary::standard(), &mut text);
    text
}
