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
    /// AVP index to its place.
    places: &'static [Place],
    /// The place of an index beyond the end: of an AVP that an extension has added.
    beyond: Place,
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
    /// Takes every known AVP any number of times: for a group without a
    /// grammar, and for the generic error answer.
    pub(super) const FREE: &Self =
        &Self { rules: &[], places: &FREE_PLACES, beyond: Place::ANYWHERE, required: RuleSet([0; 2]), open: true };

    pub(super) const fn new(rules: &'static [Rule], places: &'static [Place], open: bool) -> Self {
        let (mut required, mut at) = (RuleSet([0; 2]), 0);
        while at < rules.len() {
            if rules[at].min > 0 {
                required.add(at as u8);
            }
            at += 1;
        }
        let beyond = if rules.is_empty() { Place::ANYWHERE } else { Place::NOWHERE };
        Self { rules, places, beyond, required, open }
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
        match self.places.get(index) {
            Some(place) => *place,
            None => self.beyond,
        }
    }

    /// Notes an AVP; false for one that [`Grammar::count`] has to judge.
    #[inline(always)]
    pub(super) fn meets(&self, place: Place, occurrences: &mut Occurrences) -> bool {
        let rule = place.0;
        if rule >= Place::ANYWHERE.0 {
            return rule == Place::ANYWHERE.0;
        }
        let fresh = !occurrences.met.has(rule);
        occurrences.met.add(rule);
        fresh
    }

    /// Judges an AVP that came `before` times already in its chain.
    pub(super) fn count(&self, place: Place, occurrences: &mut Occurrences, before: impl FnOnce() -> usize) -> Counted {
        match place {
            Place::ANYWHERE => return Counted::Allowed,
            Place::NOWHERE => return Counted::Misplaced,
            Place(rule) => occurrences.met.add(rule),
        }
        let max = self.rules.get(usize::from(place.0)).map_or(ANY_NUMBER, |rule| rule.max);
        if max == ANY_NUMBER || occurrences.exceeded.has(place.0) || before() < usize::from(max) {
            return Counted::Allowed;
        }
        occurrences.exceeded.add(place.0);
        Counted::TooMany { max }
    }

    /// True where everything came that must.
    #[inline]
    pub(super) fn is_complete(&self, occurrences: &Occurrences) -> bool {
        self.required.is_within(&occurrences.met)
    }

    /// The rules that did not occur and must.
    pub(super) fn missing(&self, occurrences: &Occurrences) -> impl Iterator<Item = &'static Rule> + use<> {
        let (required, met) = (self.required, occurrences.met);
        self.rules
            .iter()
            .enumerate()
            .filter(move |(at, _)| required.has(*at as u8) && !met.has(*at as u8))
            .map(|rule| rule.1)
    }
}

/// Anywhere, but for what is not known.
const FREE_PLACES: [Place; COUNT] = {
    let mut places = [Place::ANYWHERE; COUNT];
    places[0] = Place::NOWHERE;
    places
};

/// What a grammar says to one more AVP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Allowed,
    /// The grammar does not name it.
    Misplaced,
    /// It is the first one too many.
    TooMany {
        max: u16,
    },
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
