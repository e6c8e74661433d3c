//! Grammars in the notation of RFC 6733 section 3.2.
//!
//! `<A>` and `{A}` are required, `[A]` may occur once, `*[A]` any number of
//! times, `*2[A]` up to twice, `1*{A}` at least once. `*[AVP]` at the end
//! takes any other AVP.

use super::AvpDef;
use super::avps::{COUNT, const_index};

/// A rule's `max` for any number of times.
pub const ANY_NUMBER: u16 = u16::MAX;

/// How often an AVP may occur (RFC 6733 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The AVP.
    pub avp: &'static AvpDef,
    /// The least number of times.
    pub min: u16,
    /// The most; [`ANY_NUMBER`] for any number.
    pub max: u16,
}

/// What a command or a group may hold.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    rules: &'static [Rule],
    /// AVP index to its place; an index beyond the end has none.
    places: &'static [Place],
    /// The rules that must not be missing.
    required: RuleSet,
    open: bool,
}

/// A set of the rules of one grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct RuleSet([u64; RULES_MAX / 64]);

/// Where an AVP stands in a grammar: nowhere, anywhere, or at a rule whose
/// occurrences are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u8);

/// The rules of a grammar that were met.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Occurrences {
    met: RuleSet,
    exceeded: RuleSet,
}

/// Rules in one grammar, at most.
pub(super) const RULES_MAX: usize = 128;

impl Rule {
    pub(super) const fn new(avp: &'static AvpDef, min: u16, max: u16) -> Self {
        Self { avp, min, max }
    }

    const fn is_counted(&self) -> bool {
        self.min > 0 || self.max != ANY_NUMBER
    }
}

impl RuleSet {
    const fn has(&self, rule: u8) -> bool {
        self.0[(rule as usize / 64) % 2] >> (rule % 64) & 1 != 0
    }

    const fn add(&mut self, rule: u8) {
        self.0[(rule as usize / 64) % 2] |= 1 << (rule % 64);
    }

    const fn is_within(&self, other: &Self) -> bool {
        self.0[0] & !other.0[0] | self.0[1] & !other.0[1] == 0
    }
}

impl Place {
    pub(super) const NOWHERE: Self = Self(u8::MAX);
    pub(super) const ANYWHERE: Self = Self(u8::MAX - 1);

    pub(super) const fn of(rule: &Rule, at: usize) -> Self {
        if rule.is_counted() { Self(at as u8) } else { Self::ANYWHERE }
    }
}

impl Grammar {
    pub(super) const fn new(rules: &'static [Rule], places: &'static [Place], open: bool) -> Self {
        let (mut required, mut at) = (RuleSet([0; 2]), 0);
        while at < rules.len() {
            if rules[at].min > 0 {
                required.add(at as u8);
            }
            at += 1;
        }
        Self { rules, places, required, open }
    }

    /// Its rules in the standard's order.
    pub const fn rules(&self) -> &'static [Rule] {
        self.rules
    }

    /// True where it ends in `*[AVP]`.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Where the AVP with this index stands.
    #[inline]
    pub(super) fn place(&self, index: usize) -> Place {
        self.places.get(index).copied().unwrap_or(Place::NOWHERE)
    }

    /// Counts an AVP.
    #[inline(always)]
    pub(super) fn count(&self, place: Place, occurrences: &mut Occurrences) -> Counted {
        match place {
            Place::ANYWHERE => Counted::Allowed,
            Place::NOWHERE => Counted::Misplaced,
            Place(rule) if occurrences.met.has(rule) => Counted::Again,
            Place(rule) => {
                occurrences.met.add(rule);
                Counted::Allowed
            }
        }
    }

    /// The most that the rule allows, where an AVP that came `before` times
    /// is the first one too many.
    pub(super) fn exceeded(&self, place: Place, before: usize, occurrences: &mut Occurrences) -> Option<u16> {
        let max = self.rules.get(usize::from(place.0))?.max;
        if max == ANY_NUMBER || before < usize::from(max) || occurrences.exceeded.has(place.0) {
            return None;
        }
        occurrences.exceeded.add(place.0);
        Some(max)
    }

    /// The rules that did not occur and must.
    #[inline]
    pub(super) fn missing(&self, occurrences: &Occurrences) -> impl Iterator<Item = &'static Rule> + use<> {
        let complete = self.required.is_within(&occurrences.met);
        let (required, met) = (self.required, occurrences.met);
        let rules = if complete { &[] } else { self.rules };
        let missing = move |at: &usize| required.has(*at as u8) && !met.has(*at as u8);
        (0..rules.len()).filter(missing).map(|at| &rules[at])
    }
}

/// What a grammar says to one more AVP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Allowed,
    /// The grammar does not name it.
    Misplaced,
    /// Its rule was met before.
    Again,
}

pub(super) const fn places(rules: &[Rule]) -> [Place; COUNT] {
    assert!(rules.len() <= RULES_MAX, "a grammar has too many rules");
    let (mut places, mut at) = ([Place::NOWHERE; COUNT], 0);
    while at < rules.len() {
        let index = const_index(rules[at].avp);
        assert!(places[index].0 == Place::NOWHERE.0, "a grammar names an AVP twice");
        places[index] = Place::of(&rules[at], at);
        at += 1;
    }
    places
}

macro_rules! grammar {
    (@ [$($done:tt)*] * [ AVP ]) => { grammar!(@done [$($done)*] true) };
    (@ [$($done:tt)*]) => { grammar!(@done [$($done)*] false) };
    (@ [$($done:tt)*] 1 * { $a:ident } $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule::new(&$a, 1, $crate::dictionary::ANY_NUMBER),] $($rest)*)
    };
    (@ [$($done:tt)*] * $max:literal [ $a:ident ] $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule::new(&$a, 0, $max),] $($rest)*)
    };
    (@ [$($done:tt)*] * [ $a:ident ] $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule::new(&$a, 0, $crate::dictionary::ANY_NUMBER),] $($rest)*)
    };
    (@ [$($done:tt)*] < $a:ident > $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule::new(&$a, 1, 1),] $($rest)*)
    };
    (@ [$($done:tt)*] { $a:ident } $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule::new(&$a, 1, 1),] $($rest)*)
    };
    (@ [$($done:tt)*] [ $a:ident ] $($rest:tt)*) => {
        grammar!(@ [$($done)* Rule::new(&$a, 0, 1),] $($rest)*)
    };
    (@done [$($rules:tt)*] $open:literal) => {{
        const RULES: &[Rule] = &[$($rules)*];
        const PLACES: &[$crate::dictionary::grammar::Place] = &$crate::dictionary::grammar::places(RULES);
        const GRAMMAR: &Grammar = &Grammar::new(RULES, PLACES, $open);
        GRAMMAR
    }};
    ($($rule:tt)*) => { grammar!(@ [] $($rule)*) };
}
pub(super) use grammar;
