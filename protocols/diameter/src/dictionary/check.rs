//! A message against its grammar and the dictionary.

use super::{DataType, MandatoryBit, Rule, application, find_command, group_rules};
use crate::codec::{Avp, AvpError, Avps, Message, Problem};
use crate::result_code::ResultCode;

/// Errors and tolerated deviations kept of one message, each.
const REPORTED_MAX: usize = 16;

/// Rules in one grammar, at most.
const RULES_MAX: usize = 64;

/// What to do with deviations that do not change the meaning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// By the letter: an AVP with the M bit that is unknown or has no place
    /// in the grammar is 5001, flags against their definition are 3008, 3009.
    #[default]
    Strict,
    /// Those are accepted and reported as tolerated.
    Lenient,
}

/// What [`check`] found; empty where the message is good. Only the first
/// sixteen of each list are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// 3001, 3007 or 3008, where the header is at fault.
    pub header: Option<ResultCode>,
    /// Every AVP at fault, in order of discovery.
    pub errors: Vec<AvpError>,
    /// What a lenient check let pass.
    pub tolerated: Vec<AvpError>,
}

impl Report {
    /// The result code to answer with: the header's, else the first AVP's;
    /// `None` where the message is good.
    pub fn result_code(&self) -> Option<ResultCode> {
        self.header.or_else(|| self.errors.first().map(AvpError::result_code))
    }

    fn error(&mut self, error: AvpError) {
        if self.errors.len() < REPORTED_MAX {
            self.errors.push(error);
        }
    }

    fn deviation(&mut self, strictness: Strictness, avp: &Avp<'_>, problem: Problem) {
        match strictness {
            Strictness::Strict => self.error(AvpError::new(avp, problem)),
            Strictness::Lenient if self.tolerated.len() < REPORTED_MAX => {
                self.tolerated.push(AvpError::new(avp, problem));
            }
            Strictness::Lenient => {}
        }
    }
}

/// Checks a request or an answer against its command's grammar and the
/// dictionary, and collects everything that is wrong. Allocates only where
/// something is.
///
/// An answer with the E bit follows the generic grammar (RFC 6733 section
/// 7.2): only its values are checked.
pub fn check(message: &Message, strictness: Strictness) -> Report {
    let mut report = Report::default();
    let header = &message.header;
    let Some(command) = find_command(header.application_id, header.command_code) else {
        report.header = Some(unknown(header.application_id));
        return report;
    };
    let rules = match (header.is_request(), header.is_error()) {
        (true, false) => command.request,
        (false, false) => command.answer,
        (false, true) => &[],
        // R and E together are never valid (RFC 6733 section 7.1.3)
        (true, true) => {
            report.header = Some(ResultCode::INVALID_HDR_BITS);
            return report;
        }
    };
    let proxiable = header.flags.has(crate::codec::CommandFlags::PROXIABLE);
    if strictness == Strictness::Strict && header.is_request() && proxiable != command.proxiable {
        report.header = Some(ResultCode::INVALID_HDR_BITS);
    }
    let rules = (!header.is_error()).then_some(rules);
    chain(message.avps(), rules, strictness, &mut report);
    report
}

/// True where a known AVP, taken by itself, has a value of its type, and a
/// group the members that its grammar wants.
pub(crate) fn is_good(avp: &Avp<'_>) -> bool {
    let mut report = Report::default();
    if let Some(def) = avp.definition() {
        value(avp, def.data_type, Strictness::Strict, &mut report);
    }
    report.errors.is_empty()
}

fn unknown(application_id: u32) -> ResultCode {
    let known = application_id == application::BASE
        || super::COMMANDS.iter().any(|command| command.application == Some(application_id));
    if known { ResultCode::COMMAND_UNSUPPORTED } else { ResultCode::APPLICATION_UNSUPPORTED }
}

/// One chain of AVPs; without `rules`, any known AVP may come.
fn chain(avps: Avps<'_>, rules: Option<&[Rule]>, strictness: Strictness, report: &mut Report) {
    let mut counts = [0_u16; RULES_MAX];
    for avp in avps {
        let Some(def) = avp.definition() else {
            if avp.is_mandatory() {
                report.deviation(strictness, &avp, Problem::Unsupported);
            }
            continue;
        };
        let bit_is_wrong = match def.mandatory {
            MandatoryBit::M => !avp.is_mandatory(),
            MandatoryBit::MaySet | MandatoryBit::MayClear => false,
            MandatoryBit::Never => avp.is_mandatory(),
        };
        if bit_is_wrong {
            report.deviation(strictness, &avp, Problem::Bits);
        }
        if let Some(rules) = rules {
            let key = avp.key();
            match rules.iter().position(|rule| rule.key == key) {
                Some(at) => {
                    counts[at] = counts[at].saturating_add(1);
                    // the first one too many is the one that failed
                    if u32::from(counts[at]) == u32::from(rules[at].max) + 1 {
                        let problem = Problem::TooMany { max: rules[at].max };
                        report.error(AvpError::new(&avp, problem));
                    }
                }
                // `*[AVP]` takes what may be ignored; what must be understood
                // has no meaning here
                None if avp.is_mandatory() => {
                    report.deviation(strictness, &avp, Problem::Unsupported);
                }
                None => {}
            }
        }
        value(&avp, def.data_type, strictness, report);
    }
    for (rule, count) in rules.unwrap_or_default().iter().zip(counts) {
        if count < rule.min {
            report.error(AvpError::missing(rule.avp));
        }
    }
}

fn value(avp: &Avp<'_>, data_type: DataType, strictness: Strictness, report: &mut Report) {
    let result = match data_type {
        DataType::OctetString => Ok(()),
        DataType::Integer32 | DataType::Enumerated => avp.i32().map(drop),
        DataType::Integer64 => avp.i64().map(drop),
        DataType::Unsigned32 => avp.u32().map(drop),
        DataType::Unsigned64 => avp.u64().map(drop),
        DataType::Address => avp.address().map(drop),
        DataType::Time => avp.time().map(drop),
        DataType::UTF8String => avp.text().map(drop),
        DataType::DiameterIdentity | DataType::DiameterURI => avp.identity().map(drop),
        DataType::IPFilterRule => avp.text().map(drop),
        DataType::Grouped => avp.grouped().map(|members| {
            // what failed elsewhere is anything at all
            if avp.key() != super::key::FAILED_AVP {
                chain(members, group_rules(avp.key()), strictness, report);
            }
        }),
    };
    if let Err(error) = result {
        report.error(error);
    }
}
