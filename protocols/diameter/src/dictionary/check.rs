//! A message against its grammar and the dictionary.

use super::DataType;
use super::grammar::{Counted, Grammar, Occurrences, Place};
use super::table::{Content, Dictionary, Kind};
use crate::codec::{Avp, AvpError, Avps, CommandFlags, Message, Problem};
use crate::result_code::ResultCode;

/// Errors and tolerated deviations kept of one message, each.
const REPORTED_MAX: usize = 16;

/// What to do with deviations that do not change the meaning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// By the letter: an AVP with the M bit that is unknown or has no place
    /// in the grammar is 5001, one that a closed group forbids 5008; flags
    /// against their definition are 3008, 3009.
    #[default]
    Strict,
    /// Those are accepted and reported as tolerated.
    Lenient,
}

/// What [`Dictionary::check`] found; empty where the message is good. Only
/// the first sixteen of each list are kept.
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
}

/// Checks a message against the standard dictionary.
pub fn check(message: &Message, strictness: Strictness) -> Report {
    Dictionary::standard().check(message, strictness)
}

impl Dictionary {
    /// Checks a request or an answer against its command's grammar and the
    /// dictionary, and collects everything that is wrong. Allocates only
    /// where something is.
    ///
    /// An answer with the E bit follows the generic grammar (RFC 6733 section
    /// 7.2): only its values are checked.
    pub fn check(&self, message: &Message, strictness: Strictness) -> Report {
        let mut report = Report::default();
        let header = &message.header;
        let Some(command) = self.find_command(header.application_id, header.command_code) else {
            let known = self.knows_application(header.application_id);
            let code = if known { ResultCode::COMMAND_UNSUPPORTED } else { ResultCode::APPLICATION_UNSUPPORTED };
            report.header = Some(code);
            return report;
        };
        let grammar = match (header.is_request(), header.is_error()) {
            (true, false) => Some(command.request),
            (false, false) => Some(command.answer),
            (false, true) => None,
            // R and E together are never valid (RFC 6733 section 7.1.3)
            (true, true) => {
                report.header = Some(ResultCode::INVALID_HDR_BITS);
                return report;
            }
        };
        let proxiable = header.flags.has(CommandFlags::PROXIABLE);
        if strictness == Strictness::Strict && header.is_request() && proxiable != command.proxiable {
            report.header = Some(ResultCode::INVALID_HDR_BITS);
        }
        Checker { dictionary: self, strictness, report: &mut report }.chain(message.avps(), grammar);
        report
    }
}

struct Checker<'c> {
    dictionary: &'c Dictionary,
    strictness: Strictness,
    report: &'c mut Report,
}

impl Checker<'_> {
    /// One chain of AVPs; without a grammar, any known AVP may come.
    fn chain(&mut self, chain: Avps<'_>, grammar: Option<&Grammar>) {
        let dictionary = self.dictionary;
        let mut occurrences = Occurrences::default();
        let mut rest = chain;
        while let Some(avp) = rest.next() {
            let index = dictionary.index(avp.vendor_id(), avp.code);
            if index == 0 {
                self.unknown(avp);
                continue;
            }
            let kind = dictionary.kinds[index];
            if !kind.allows(avp.flags) {
                self.deviation(avp, Problem::Bits);
            }
            if let Some(grammar) = grammar {
                let place = grammar.place(index);
                match grammar.count(place, &mut occurrences) {
                    Counted::Allowed => {}
                    Counted::Misplaced => self.misplaced(avp, grammar),
                    Counted::Again => self.again(avp, chain, grammar, place, &mut occurrences),
                }
            }
            self.value(avp, kind);
        }
        if let Err(error) = rest.end() {
            self.error(error);
        }
        if let Some(grammar) = grammar {
            grammar.missing(&occurrences).for_each(|rule| self.error(AvpError::missing(rule.avp)));
        }
    }

    #[inline(always)]
    fn value(&mut self, avp: Avp<'_>, kind: Kind) {
        let good = match kind.content {
            Content::Octets(length) => length == 0 || avp.data.len() == usize::from(length),
            Content::Text => avp.data.is_ascii() || avp.text().is_ok(),
            Content::Identity => avp.is_visible_ascii(),
            Content::Group(group) => {
                self.group(avp, group);
                true
            }
            Content::Anything => true,
            Content::Other => false,
        };
        if !good {
            self.bad_value(avp);
        }
    }

    fn group(&mut self, avp: Avp<'_>, group: u8) {
        let (errors, tolerated) = (self.report.errors.len(), self.report.tolerated.len());
        match avp.members() {
            Ok(members) => self.chain(members, self.dictionary.group(group)),
            Err(error) => return self.error(error),
        }
        let report = &mut *self.report;
        for error in report.errors[errors..].iter_mut().chain(&mut report.tolerated[tolerated..]) {
            error.wrap(&avp);
        }
    }

    /// What is wrong with a value, if it is wrong.
    #[cold]
    fn bad_value(&mut self, avp: Avp<'_>) {
        let Some(def) = avp.definition(self.dictionary) else { return };
        let result = match def.data_type {
            DataType::OctetString | DataType::Grouped => Ok(()),
            DataType::Integer32 | DataType::Enumerated => avp.i32().map(drop),
            DataType::Integer64 => avp.i64().map(drop),
            DataType::Unsigned32 => avp.u32().map(drop),
            DataType::Unsigned64 => avp.u64().map(drop),
            DataType::Address => avp.address().map(drop),
            DataType::Time => avp.time().map(drop),
            DataType::UTF8String => avp.text().map(drop),
            DataType::DiameterIdentity => avp.identity().map(drop),
            DataType::DiameterURI => avp.uri().map(drop),
            DataType::IPFilterRule => avp.filter_rule().map(drop),
        };
        if let Err(error) = result {
            self.error(error);
        }
    }

    #[cold]
    fn unknown(&mut self, avp: Avp<'_>) {
        if avp.is_mandatory() {
            self.deviation(avp, Problem::Unsupported);
        }
    }

    /// One more AVP of a rule that was met: the first one too many is the one
    /// that failed.
    #[cold]
    fn again(&mut self, avp: Avp<'_>, chain: Avps<'_>, grammar: &Grammar, place: Place, occurrences: &mut Occurrences) {
        let earlier = chain.take_while(|other| !std::ptr::eq(other.data, avp.data));
        let before = earlier.filter(|other| other.key() == avp.key()).count();
        if let Some(max) = grammar.exceeded(place, before, occurrences) {
            self.error(AvpError::new(&avp, Problem::TooMany { max }));
        }
    }

    /// A known AVP that the grammar does not name. `*[AVP]` takes what may
    /// be ignored; what must be understood has no meaning here.
    #[cold]
    fn misplaced(&mut self, avp: Avp<'_>, grammar: &Grammar) {
        if !grammar.is_open() {
            self.deviation(avp, Problem::NotAllowed);
        } else if avp.is_mandatory() {
            self.deviation(avp, Problem::Unsupported);
        }
    }

    #[cold]
    fn error(&mut self, error: AvpError) {
        if self.report.errors.len() < REPORTED_MAX {
            self.report.errors.push(error);
        }
    }

    #[cold]
    fn deviation(&mut self, avp: Avp<'_>, problem: Problem) {
        match self.strictness {
            Strictness::Strict => self.error(AvpError::new(&avp, problem)),
            Strictness::Lenient if self.report.tolerated.len() < REPORTED_MAX => {
                self.report.tolerated.push(AvpError::new(&avp, problem));
            }
            Strictness::Lenient => {}
        }
    }
}
