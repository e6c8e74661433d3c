//! The dictionary as a value: what the standards say, and what a file of the
//! settings adds.

use super::avps::{self, COUNT, const_index};
use super::commands::{COMMANDS, CommandDef};
use super::grammar::Grammar;
use super::groups::GROUPS;
use super::{AvpDef, DataType, MandatoryBit, application};
use crate::codec::{Avp, AvpFlags};

/// AVPs, the grammars of groups, and commands.
///
/// [`Dictionary::standard`] is tables that are computed when the crate is
/// built. [`Dictionary::extend`] makes another one at start; its tables stay
/// until the process ends.
#[derive(Debug, Clone, Copy)]
pub struct Dictionary {
    /// By index; 0 stands for what is not known.
    pub(super) avps: &'static [&'static AvpDef],
    /// The same, as short as the check can use it.
    pub(super) kinds: &'static [Kind],
    /// Keys that an extension added, sorted, with their indexes.
    pub(super) added: &'static [(u64, u16)],
    /// By [`Content::Group`]; 0 takes anything.
    pub(super) groups: &'static [&'static Grammar],
    pub(super) commands: &'static [CommandDef],
}

/// What the check needs of an AVP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) content: Content,
    /// The flags that are not free, and what they must be.
    fixed: AvpFlags,
    expected: AvpFlags,
}

/// How a value is checked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// So many octets.
    Octets(u8),
    /// UTF-8.
    Text,
    /// Visible ASCII.
    Identity,
    /// Members by a grammar of [`Dictionary::groups`].
    Group(u8),
    /// Nothing is checked in it: any octets, and what failed elsewhere.
    Anything,
    /// By its data type.
    Other,
}

impl Kind {
    /// `group` is 0 where any members may come.
    pub(super) const fn new(def: &AvpDef, group: u8) -> Self {
        // a V bit with Vendor-Id 0 is not for an AVP of the IETF's (RFC 6733
        // section 4.1.1)
        let fixed = match def.mandatory {
            MandatoryBit::M | MandatoryBit::Never => AvpFlags(AvpFlags::VENDOR.0 | AvpFlags::MANDATORY.0),
            MandatoryBit::MaySet | MandatoryBit::MayClear => AvpFlags::VENDOR,
        };
        let content = match def.data_type {
            DataType::OctetString => Content::Anything,
            DataType::Integer32 | DataType::Unsigned32 | DataType::Enumerated | DataType::Time => Content::Octets(4),
            DataType::Integer64 | DataType::Unsigned64 => Content::Octets(8),
            DataType::UTF8String => Content::Text,
            DataType::DiameterIdentity => Content::Identity,
            DataType::Grouped if def.key() == avps::key::FAILED_AVP => Content::Anything,
            DataType::Grouped => Content::Group(group),
            DataType::Address | DataType::DiameterURI | DataType::IPFilterRule => Content::Other,
        };
        Self { content, fixed, expected: AvpFlags(def.flags().0 & fixed.0) }
    }

    #[inline]
    pub(super) const fn allows(self, flags: AvpFlags) -> bool {
        flags.0 & self.fixed.0 == self.expected.0
    }
}

static KINDS: [Kind; COUNT] = {
    let mut kinds = [Kind::new(avps::TABLE_VALUES[0], 0); COUNT];
    let mut at = 1;
    while at < COUNT {
        kinds[at] = Kind::new(avps::TABLE_VALUES[at], 0);
        at += 1;
    }
    at = 0;
    while at < GROUPS.len() {
        let index = const_index(GROUPS[at].0);
        assert!(matches!(kinds[index].content, Content::Group(0)), "no group, or there twice");
        kinds[index] = Kind::new(avps::TABLE_VALUES[index], at as u8 + 1);
        at += 1;
    }
    kinds
};

static GROUP_GRAMMARS: [&Grammar; GROUPS.len() + 1] = {
    let mut grammars = [Grammar::FREE; GROUPS.len() + 1];
    let mut at = 0;
    while at < GROUPS.len() {
        grammars[at + 1] = GROUPS[at].1;
        at += 1;
    }
    grammars
};

static STANDARD: Dictionary =
    Dictionary { avps: &avps::TABLE, kinds: &KINDS, added: &[], groups: &GROUP_GRAMMARS, commands: COMMANDS };

impl Dictionary {
    /// What the standards say, and line provisioning.
    pub const fn standard() -> &'static Self {
        &STANDARD
    }

    /// The AVP of this vendor (0 for the IETF's) and code.
    pub fn find_avp(&self, vendor: u32, code: u32) -> Option<&'static AvpDef> {
        self.definition(self.index(vendor, code))
    }

    /// The AVP that has this name; of two vendors' the first.
    pub fn find_avp_named(&self, name: &str) -> Option<&'static AvpDef> {
        self.avps().find(|def| def.name == name)
    }

    /// Every AVP.
    pub fn avps(&self) -> impl Iterator<Item = &'static AvpDef> + use<> {
        self.avps.iter().skip(1).copied()
    }

    /// Every command.
    pub const fn commands(&self) -> &'static [CommandDef] {
        self.commands
    }

    /// The command with this code in this application.
    #[inline]
    pub fn find_command(&self, application_id: u32, code: u32) -> Option<&'static CommandDef> {
        self.commands.iter().find(|command| {
            command.code == code && command.application.is_none_or(|application| application == application_id)
        })
    }

    /// True where a command of this application is known.
    pub fn knows_application(&self, application_id: u32) -> bool {
        application_id == application::BASE
            || self.commands.iter().any(|command| command.application == Some(application_id))
    }

    /// The grammar of a Grouped AVP; `None` where any members may come.
    pub fn group_grammar(&self, avp: &Avp<'_>) -> Option<&'static Grammar> {
        self.grammar_of(avp.vendor_id(), avp.code())
    }

    /// As [`Dictionary::group_grammar`], by vendor (0 for the IETF's) and code.
    pub fn grammar_of(&self, vendor: u32, code: u32) -> Option<&'static Grammar> {
        match self.kinds[self.index(vendor, code)].content {
            Content::Group(group) if group > 0 => Some(self.group(group)),
            _ => None,
        }
    }

    pub(super) fn definition(&self, index: usize) -> Option<&'static AvpDef> {
        if index == 0 { None } else { self.avps.get(index).copied() }
    }

    #[inline]
    pub(super) fn group(&self, group: u8) -> &'static Grammar {
        self.groups[usize::from(group)]
    }

    /// The index of an AVP, 0 for one that is not known.
    #[inline]
    pub(super) fn index(&self, vendor: u32, code: u32) -> usize {
        match avps::index(vendor, code) {
            0 => self.added_index(vendor, code),
            index => index,
        }
    }

    #[cold]
    #[inline(never)]
    fn added_index(&self, vendor: u32, code: u32) -> usize {
        let key = super::avp_key(vendor, code);
        match self.added.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => usize::from(self.added[at].1),
            Err(_) => 0,
        }
    }
}
