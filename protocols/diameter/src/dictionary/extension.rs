//! What a file of the settings adds to the dictionary.

use super::grammar::{ANY_NUMBER, Grammar, Place, RULES_MAX, Rule};
use super::table::{Content, Dictionary, Kind};
use super::{AvpDef, CommandDef, DataType, MandatoryBit};

/// AVPs to add, and where they may occur. Made by
/// [`Dictionary::parse_extension`] or by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extension {
    /// AVPs that the dictionary does not have.
    pub avps: Vec<AddedAvp>,
    /// Rules for the grammars of commands and groups.
    pub rules: Vec<AddedRules>,
}

/// One AVP to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedAvp {
    /// Where it stands in its file, counted from 1; 0 where it has none.
    pub line: usize,
    /// AVP code.
    pub code: u32,
    /// Vendor-Id, 0 for the IETF's.
    pub vendor: u32,
    /// Its name, which no other AVP has.
    pub name: String,
    /// The type of its value.
    pub data_type: DataType,
    /// The rule for its M bit.
    pub mandatory: MandatoryBit,
    /// Names of its values.
    pub value_names: Vec<(i32, String)>,
}

/// Rules to add to one grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedRules {
    /// Where they stand in their file, counted from 1; 0 where they have none.
    pub line: usize,
    /// The grammar.
    pub place: GrammarPlace,
    /// The rules.
    pub rules: Vec<AddedRule>,
}

/// Whose grammar it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrammarPlace {
    /// A command, such as `Credit-Control-Request`, or a group that has a
    /// grammar, such as `PS-Information`.
    Known(String),
    /// A group without a grammar, such as one that the same extension adds.
    NewGroup {
        /// The group's name.
        name: String,
        /// True where it takes other AVPs too: `*[AVP]`.
        open: bool,
    },
}

/// One rule to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedRule {
    /// The AVP's name.
    pub avp: String,
    /// The least number of times.
    pub min: u16,
    /// The most; [`ANY_NUMBER`] for any number.
    pub max: u16,
}

/// An extension that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("extend the dictionary, line {line}: {problem}")]
pub struct DictionaryError {
    /// The line of its file, counted from 1; 0 where it has none.
    pub line: usize,
    /// What is wrong there.
    pub problem: DictionaryProblem,
}

/// What is wrong with a line of an extension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryProblem {
    /// The line cannot be read from here on.
    #[error("need {expected} at `{rest}`")]
    Syntax {
        /// What should come.
        expected: &'static str,
        /// What came.
        rest: String,
    },
    /// No such data type.
    #[error("`{0}` is no data type of RFC 6733")]
    UnknownType(String),
    /// Vendor and code belong to another AVP.
    #[error("code {code} of vendor {vendor} is {name} already")]
    CodeTaken {
        /// AVP code.
        code: u32,
        /// Vendor-Id.
        vendor: u32,
        /// Whose they are.
        name: String,
    },
    /// The name belongs to another AVP.
    #[error("{0} is there already")]
    NameTaken(String),
    /// No AVP has this name.
    #[error("no AVP is named {0}")]
    UnknownAvp(String),
    /// Neither a command nor a group.
    #[error("{0} is neither a command, such as Credit-Control-Request, nor a group with a grammar")]
    UnknownPlace(String),
    /// The group takes any AVP, or has a grammar that `in` extends.
    #[error("{0} is no group that lacks a grammar")]
    NotANewGroup(String),
    /// The grammar names the AVP already.
    #[error("{place} names {avp} already")]
    NamedTwice {
        /// The command or group.
        place: String,
        /// The AVP.
        avp: String,
    },
    /// The rule can never be met.
    #[error("{avp}: at least {min} and at most {max} times")]
    Occurrence {
        /// The AVP.
        avp: String,
        /// The least.
        min: u16,
        /// The most.
        max: u16,
    },
    /// There are limits to what can be added.
    #[error("too many {0}")]
    TooMany(&'static str),
}

impl Dictionary {
    /// This dictionary and what `extension` adds. Its tables stay until the
    /// process ends: extend once, at start.
    pub fn extend(&self, extension: &Extension) -> Result<Self, DictionaryError> {
        let mut tables = Tables {
            avps: self.avps.to_vec(),
            kinds: self.kinds.to_vec(),
            added: self.added.to_vec(),
            groups: self.groups.to_vec(),
            commands: self.commands.to_vec(),
        };
        self.check_avps(&extension.avps)?;
        extension.avps.iter().for_each(|avp| tables.add_avp(avp));
        for rules in &extension.rules {
            let at_line = |problem| DictionaryError { line: rules.line, problem };
            tables.add_rules(rules).map_err(at_line)?;
        }
        Ok(Self {
            avps: tables.avps.leak(),
            kinds: tables.kinds.leak(),
            added: tables.added.leak(),
            groups: tables.groups.leak(),
            commands: tables.commands.leak(),
        })
    }

    fn check_avps(&self, avps: &[AddedAvp]) -> Result<(), DictionaryError> {
        for (at, avp) in avps.iter().enumerate() {
            let (code, vendor, earlier) = (avp.code, avp.vendor, &avps[..at]);
            let coded = earlier.iter().find(|other| other.code == code && other.vendor == vendor);
            let owner = coded.map(|other| other.name.as_str());
            let problem = if let Some(name) = owner.or(self.find_avp(vendor, code).map(|def| def.name)) {
                DictionaryProblem::CodeTaken { code, vendor, name: name.to_owned() }
            } else if self.find_avp_named(&avp.name).is_some() || earlier.iter().any(|other| other.name == avp.name) {
                DictionaryProblem::NameTaken(avp.name.clone())
            } else if self.avps.len() + at >= usize::from(u16::MAX) {
                DictionaryProblem::TooMany("AVPs")
            } else {
                continue;
            };
            return Err(DictionaryError { line: avp.line, problem });
        }
        Ok(())
    }
}

/// The tables of a dictionary on the way.
struct Tables {
    avps: Vec<&'static AvpDef>,
    kinds: Vec<Kind>,
    added: Vec<(u64, u16)>,
    groups: Vec<&'static Grammar>,
    commands: Vec<CommandDef>,
}

impl Tables {
    fn add_avp(&mut self, avp: &AddedAvp) {
        let value_names: Vec<(i32, &'static str)> =
            avp.value_names.iter().map(|(value, name)| (*value, kept(name))).collect();
        let def: &'static AvpDef = Box::leak(Box::new(AvpDef {
            code: avp.code,
            vendor: avp.vendor,
            name: kept(&avp.name),
            data_type: avp.data_type,
            mandatory: avp.mandatory,
            value_names: value_names.leak(),
        }));
        self.added.push((def.key(), self.avps.len() as u16));
        self.added.sort_unstable();
        self.avps.push(def);
        self.kinds.push(Kind::new(def, 0));
    }

    fn index_named(&self, name: &str) -> Option<usize> {
        self.avps.iter().skip(1).position(|def| def.name == name).map(|at| at + 1)
    }

    fn add_rules(&mut self, added: &AddedRules) -> Result<(), DictionaryProblem> {
        match &added.place {
            GrammarPlace::Known(name) => self.extend_known(name, &added.rules),
            GrammarPlace::NewGroup { name, open } => self.add_group(name, *open, &added.rules),
        }
    }

    fn extend_known(&mut self, name: &str, added: &[AddedRule]) -> Result<(), DictionaryProblem> {
        let command = self.commands.iter().position(|command| {
            let side = name.strip_prefix(command.name);
            matches!(side, Some("-Request" | "-Answer"))
        });
        if let Some(at) = command {
            let request = name.ends_with("-Request");
            let old = if request { self.commands[at].request } else { self.commands[at].answer };
            let grammar = self.grammar(name, old.rules(), added, old.is_open())?;
            let command = &mut self.commands[at];
            *(if request { &mut command.request } else { &mut command.answer }) = grammar;
            return Ok(());
        }
        let index = self.index_named(name).unwrap_or(0);
        match self.kinds[index].content {
            Content::Group(group) if group > 0 => {
                let old = self.groups[usize::from(group)];
                self.groups[usize::from(group)] = self.grammar(name, old.rules(), added, old.is_open())?;
                Ok(())
            }
            _ => Err(DictionaryProblem::UnknownPlace(name.to_owned())),
        }
    }

    fn add_group(&mut self, name: &str, open: bool, added: &[AddedRule]) -> Result<(), DictionaryProblem> {
        let index = self.index_named(name).unwrap_or(0);
        if !matches!(self.kinds[index].content, Content::Group(0)) {
            return Err(DictionaryProblem::NotANewGroup(name.to_owned()));
        }
        let group = u8::try_from(self.groups.len()).map_err(|_| DictionaryProblem::TooMany("groups"))?;
        let grammar = self.grammar(name, &[], added, open)?;
        self.groups.push(grammar);
        self.kinds[index] = Kind::new(self.avps[index], group);
        Ok(())
    }

    /// The grammar of `place`: the rules that it has and those added.
    fn grammar(
        &self,
        place: &str,
        has: &[Rule],
        added: &[AddedRule],
        open: bool,
    ) -> Result<&'static Grammar, DictionaryProblem> {
        let mut rules = has.to_vec();
        for AddedRule { avp, min, max } in added {
            let index = self.index_named(avp).ok_or_else(|| DictionaryProblem::UnknownAvp(avp.clone()))?;
            let (min, max) = (*min, *max);
            if max < min || max == 0 || min > 1 {
                return Err(DictionaryProblem::Occurrence { avp: avp.clone(), min, max });
            }
            if rules.iter().any(|rule| rule.avp.key() == self.avps[index].key()) {
                return Err(DictionaryProblem::NamedTwice { place: place.to_owned(), avp: avp.clone() });
            }
            rules.push(Rule { avp: self.avps[index], min, max });
        }
        if rules.len() > RULES_MAX {
            return Err(DictionaryProblem::TooMany("rules in one grammar"));
        }
        let mut places = vec![Place::NOWHERE; self.avps.len()];
        for (at, rule) in rules.iter().enumerate() {
            let named = self.avps.iter().skip(1).position(|def| def.key() == rule.avp.key());
            places[named.map_or(0, |index| index + 1)] = Place::of(rule, at);
        }
        Ok(Box::leak(Box::new(Grammar::new(rules.leak(), places.leak(), open))))
    }
}

fn kept(text: &str) -> &'static str {
    Box::leak(Box::from(text))
}

/// A rule as [`AddedRule`] has it, for [`Dictionary::parse_extension`].
impl AddedRule {
    /// `[ AVP ]` where `required` is false, `{ AVP }` where it is true, with
    /// the counts before it, if any.
    pub(super) fn new(avp: &str, required: bool, counts: Option<(Option<u16>, Option<u16>)>) -> Self {
        let (min, max) = counts.unwrap_or((None, Some(1)));
        Self { avp: avp.to_owned(), min: min.unwrap_or(required.into()), max: max.unwrap_or(ANY_NUMBER) }
    }
}
