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
    /// One bit for each occurrence that is counted.
    slots: u128,
}

/// What a command or a group may hold.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    rules: &'static [Rule],
    /// AVP index to the number of its rule, counted from 1; an index beyond
    /// the end has none.
    places: &'static [u8],
    /// The occurrences that must not be missing.
    required: u128,
    open: bool,
}

/// The occurrences seen of what a grammar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Occurrences {
    seen: u128,
    /// Rules that were exceeded already.
    exceeded: u128,
}

impl Rule {
    pub(super) const fn new(avp: &'static AvpDef, min: u16, max: u16) -> Self {
        Self { avp, min, max, slots: 0 }
    }

    /// Occurrences of it that have to be told apart.
    const fn counted(&self) -> u32 {
        (if self.max == ANY_NUMBER { self.min } else { self.max }) as u32
    }
}

impl Grammar {
    pub(super) const fn new(rules: &'static [Rule], places: &'static [u8], open: bool) -> Self {
        let (mut required, mut at) = (0, 0);
        while at < rules.len() {
            let mut left = rules[at].slots;
            let mut min = rules[at].min;
            while min > 0 {
                required |= left & left.wrapping_neg();
                left &= left - 1;
                min -= 1;
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

    /// The rule for the AVP with this index.
    #[inline]
    pub(super) fn rule(&self, index: usize) -> Option<&'static Rule> {
        let place = *self.places.get(index)?;
        self.rules.get(usize::from(place).wrapping_sub(1))
    }

    #[inline]
    pub(super) fn complete(&self, occurrences: Occurrences) -> bool {
        self.required & !occurrences.seen == 0
    }

    /// The rules that did not occur as often as they must.
    pub(super) fn missing(&self, occurrences: Occurrences) -> impl Iterator<Item = &'static Rule> {
        let missing = self.required & !occurrences.seen;
        self.rules.iter().filter(move |rule| rule.slots & missing != 0)
    }
}

impl Occurrences {
    /// Counts one more; false for the first one too many.
    #[inline]
    pub(super) fn count(&mut self, rule: &Rule) -> bool {
        let free = rule.slots & !self.seen;
        if free == 0 && rule.max != ANY_NUMBER {
            let told = self.exceeded & rule.slots != 0;
            self.exceeded |= rule.slots;
            return told;
        }
        self.seen |= free & free.wrapping_neg();
        true
    }
}

/// Gives each rule the bits for the occurrences that it counts; `None` where
/// they do not fit.
pub(super) const fn count_slots(rules: &mut [Rule]) -> Option<()> {
    let (mut used, mut at) = (0, 0);
    while at < rules.len() {
        let counted = rules[at].counted();
        if used + counted > u128::BITS {
            return None;
        }
        let mut slot = 0;
        while slot < counted {
            rules[at].slots |= 1 << (used + slot);
            slot += 1;
        }
        used += counted;
        at += 1;
    }
    Some(())
}

pub(super) const fn with_slots<const N: usize>(mut rules: [Rule; N]) -> [Rule; N] {
    assert!(N < u8::MAX as usize && count_slots(&mut rules).is_some(), "a grammar counts too many AVPs");
    rules
}

pub(super) const fn places(rules: &[Rule]) -> [u8; COUNT] {
    let (mut places, mut at) = ([0; COUNT], 0);
    while at < rules.len() {
        let index = const_index(rules[at].avp);
        assert!(places[index] == 0, "a grammar names an AVP twice");
        places[index] = at as u8 + 1;
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
        const RULES: &[Rule] = &$crate::dictionary::grammar::with_slots([$($rules)*]);
        const PLACES: &[u8] = &$crate::dictionary::grammar::places(RULES);
        const GRAMMAR: &Grammar = &Grammar::new(RULES, PLACES, $open);
        GRAMMAR
    }};
    ($($rule:tt)*) => { grammar!(@ [] $($rule)*) };
}
pub(super) use grammar;
