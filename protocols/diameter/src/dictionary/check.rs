//! A message against its grammar and the dictionary.

use super::DataType;
use super::grammar::{Counted, Grammar, Occurrences};
use super::table::{Content, Dictionary};
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

    fn lengths(&self) -> (usize, usize) {
        (self.errors.len(), self.tolerated.len())
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
            (true, false) => command.request,
            (false, false) => command.answer,
            (false, true) => Grammar::FREE,
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
    /// One chain of AVPs. Every message goes through here: what may be wrong is
    /// looked into in functions of their own, which read the AVP again from
    /// where it starts: `left` octets before the end of the chain.
    fn chain(&mut self, chain: Avps<'_>, grammar: &Grammar) {
        let dictionary = self.dictionary;
        let mut occurrences = Occurrences::default();
        let mut rest = chain;
        loop {
            let left = rest.octets_left();
            let Some(avp) = rest.next() else { break };
            let index = dictionary.index(avp.vendor_id(), avp.code());
            let kind = dictionary.kinds[index];
            let place = grammar.place(index);
            if !kind.allows(avp.flags) || !grammar.meets(place, &mut occurrences) {
                self.deviant(chain, left, index, grammar, &mut occurrences);
            }
            match kind.content {
                Content::Octets(length) if avp.data.len() == usize::from(length) => {}
                Content::Anything => {}
                Content::Text if avp.is_ascii() => {}
                Content::Identity if avp.is_visible_ascii() => {}
                Content::Group(group) => self.group(chain, left, avp.inner(), dictionary.group(group)),
                _ => self.value(chain, left),
            }
        }
        if rest.octets_left() > 0 || !grammar.is_complete(&occurrences) {
            self.incomplete(rest, grammar, &occurrences);
        }
    }

    fn group(&mut self, chain: Avps<'_>, left: usize, members: Avps<'_>, grammar: &Grammar) {
        if members.is_too_deep() {
            return self.too_deep(chain, left);
        }
        let before = self.report.lengths();
        self.chain(members, grammar);
        if self.report.lengths() != before {
            self.wrap(chain, left, before);
        }
    }

    #[cold]
    fn too_deep(&mut self, chain: Avps<'_>, left: usize) {
        if let Some(Err(error)) = chain.at(left).map(|group| group.members()) {
            self.error(error);
        }
    }

    /// What was found in a group is shown within it.
    #[cold]
    fn wrap(&mut self, chain: Avps<'_>, left: usize, (errors, tolerated): (usize, usize)) {
        let Some(group) = chain.at(left) else { return };
        let report = &mut *self.report;
        let found = report.errors[errors..].iter_mut().chain(&mut report.tolerated[tolerated..]);
        found.for_each(|error| error.wrap(&group));
    }

    /// An AVP with other flags than its definition's, or one that the
    /// grammar does not just take.
    #[cold]
    fn deviant(
        &mut self,
        chain: Avps<'_>,
        left: usize,
        index: usize,
        grammar: &Grammar,
        occurrences: &mut Occurrences,
    ) {
        let Some(avp) = chain.at(left) else { return };
        if index == 0 {
            if avp.is_mandatory() {
                self.deviation(avp, Problem::Unsupported);
            }
            return;
        }
        if !self.dictionary.kinds[index].allows(avp.flags) {
            self.deviation(avp, Problem::Bits);
        }
        let earlier = chain.take_while(|other| !std::ptr::eq(other.data, avp.data));
        let before = || earlier.filter(|other| other.key() == avp.key()).count();
        match grammar.count(grammar.place(index), occurrences, before) {
            Counted::Allowed => {}
            Counted::TooMany { max } => self.error(AvpError::new(&avp, Problem::TooMany { max })),
            Counted::Misplaced if !grammar.is_open() => self.deviation(avp, Problem::NotAllowed),
            // `*[AVP]` takes what may be ignored; what must be understood has
            // no meaning here
            Counted::Misplaced if avp.is_mandatory() => self.deviation(avp, Problem::Unsupported),
            Counted::Misplaced => {}
        }
    }

    /// A value that was not seen to be good at once.
    #[cold]
    fn value(&mut self, chain: Avps<'_>, left: usize) {
        let Some(avp) = chain.at(left) else { return };
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

    /// A chain that breaks or lacks what it must have.
    #[cold]
    fn incomplete(&mut self, rest: Avps<'_>, grammar: &Grammar, occurrences: &Occurrences) {
        if let Err(error) = rest.end() {
            self.error(error);
        }
        for rule in grammar.missing(occurrences) {
            self.error(AvpError::missing(rule.avp));
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
