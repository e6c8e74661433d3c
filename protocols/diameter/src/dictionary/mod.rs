//! The dictionary: AVPs and commands as data, and the check of a message
//! against them.
//!
//! A new AVP is one line in `avps/`, a new command one block in
//! `commands.rs`, a group's grammar one entry in `groups.rs`. The tables are
//! computed when the crate is built; nothing is loaded at start but what the
//! settings add ([`Dictionary::parse_extension`]).

mod avps;
mod check;
mod commands;
mod extension;
mod grammar;
mod groups;
mod notation;
mod table;

pub use avps::*;
pub use check::{Report, Strictness, check};
pub use commands::{COMMANDS, CommandDef};
pub use extension::{AddedAvp, AddedRule, AddedRules, DictionaryError, DictionaryProblem, Extension, GrammarPlace};
pub use grammar::{ANY_NUMBER, Grammar, Rule};
pub use table::Dictionary;

use crate::codec::AvpFlags;
use crate::result_code::ResultCode;

/// Application ids (IANA, "Diameter Application IDs").
pub mod application {
    /// Diameter common messages (RFC 6733 section 2.4).
    pub const BASE: u32 = 0;
    /// Diameter base accounting, which Rf uses (RFC 6733, TS 32.299).
    pub const ACCOUNTING: u32 = 3;
    /// Credit control, which Gy uses (RFC 8506 section 1.3, TS 32.299).
    pub const CREDIT_CONTROL: u32 = 4;
    /// S6a and S6d (TS 29.272 section 7.1.8).
    pub const S6A: u32 = 16_777_251;
    /// Line provisioning, Linegate's own (`dictionary/line-provisioning.xml`).
    pub const LINE_PROVISIONING: u32 = 16_777_999;
    /// Relay: every application (RFC 6733 section 2.4).
    pub const RELAY: u32 = 0xffff_ffff;
}

/// Vendor ids (IANA private enterprise numbers).
pub mod vendor {
    /// 3GPP.
    pub const TGPP: u32 = 10_415;
    /// The number set aside for examples (RFC 5612), used for line
    /// provisioning.
    pub const EXAMPLE: u32 = 32_473;
}

/// Command codes.
pub mod command {
    /// Capabilities-Exchange (RFC 6733 section 5.3).
    pub const CAPABILITIES_EXCHANGE: u32 = 257;
    /// Re-Auth (RFC 6733 section 8.3).
    pub const RE_AUTH: u32 = 258;
    /// Accounting (RFC 6733 section 9.7).
    pub const ACCOUNTING: u32 = 271;
    /// Credit-Control (RFC 8506 section 3).
    pub const CREDIT_CONTROL: u32 = 272;
    /// Session-Termination (RFC 6733 section 8.4).
    pub const SESSION_TERMINATION: u32 = 275;
    /// Abort-Session (RFC 6733 section 8.5).
    pub const ABORT_SESSION: u32 = 274;
    /// Device-Watchdog (RFC 6733 section 5.5).
    pub const DEVICE_WATCHDOG: u32 = 280;
    /// Disconnect-Peer (RFC 6733 section 5.4).
    pub const DISCONNECT_PEER: u32 = 282;
    /// Update-Location (TS 29.272 section 7.2.3).
    pub const UPDATE_LOCATION: u32 = 316;
    /// Cancel-Location (TS 29.272 section 7.2.7).
    pub const CANCEL_LOCATION: u32 = 317;
    /// Authentication-Information (TS 29.272 section 7.2.5).
    pub const AUTHENTICATION_INFORMATION: u32 = 318;
    /// Insert-Subscriber-Data (TS 29.272 section 7.2.9).
    pub const INSERT_SUBSCRIBER_DATA: u32 = 319;
    /// Delete-Subscriber-Data (TS 29.272 section 7.2.11).
    pub const DELETE_SUBSCRIBER_DATA: u32 = 320;
    /// Purge-UE (TS 29.272 section 7.2.13).
    pub const PURGE_UE: u32 = 321;
    /// Reset (TS 29.272 section 7.2.15).
    pub const RESET: u32 = 322;
    /// Notify (TS 29.272 section 7.2.17).
    pub const NOTIFY: u32 = 323;
    /// Provision, line provisioning; experimental range (RFC 6733 section 11.2.1).
    pub const PROVISION: u32 = 0x00ff_fffe;
    /// Query, line provisioning; experimental range (RFC 6733 section 11.2.1).
    pub const QUERY: u32 = 0x00ff_ffff;
}

macro_rules! data_types {
    ($( $(#[$doc:meta])* $ident:ident, )*) => {
        /// The type of an AVP's value (RFC 6733 sections 4.2 and 4.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum DataType {
            $( $(#[$doc])* $ident, )*
        }

        impl DataType {
            /// The standard's name.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$ident => stringify!($ident), )* }
            }

            /// The type that has this name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $( stringify!($ident) => Some(Self::$ident), )*
                    _ => None,
                }
            }
        }
    };
}

data_types! {
    /// Any octets.
    OctetString,
    /// 32 bits, signed.
    Integer32,
    /// 64 bits, signed.
    Integer64,
    /// 32 bits, unsigned.
    Unsigned32,
    /// 64 bits, unsigned.
    Unsigned64,
    /// A chain of AVPs.
    Grouped,
    /// An address with its family.
    Address,
    /// Seconds since 1900, 32 bits.
    Time,
    /// UTF-8 text.
    UTF8String,
    /// An FQDN or a realm.
    DiameterIdentity,
    /// `aaa://…`.
    DiameterURI,
    /// Integer32 out of a list of values.
    Enumerated,
    /// A packet filter.
    IPFilterRule,
}

impl DataType {
    /// The least octets that a value of this type has.
    pub const fn payload_length_min(self) -> u8 {
        match self {
            Self::OctetString | Self::UTF8String | Self::Grouped => 0,
            Self::Integer32 | Self::Unsigned32 | Self::Enumerated | Self::Time => 4,
            Self::Integer64 | Self::Unsigned64 => 8,
            Self::Address => 6,
            Self::DiameterIdentity | Self::DiameterURI | Self::IPFilterRule => 1,
        }
    }
}

/// The rule for the M bit of an AVP, and what we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MandatoryBit {
    /// Must be set.
    M,
    /// May be set; we set it.
    MaySet,
    /// May be set; we do not set it.
    MayClear,
    /// Must not be set.
    Never,
}

/// One AVP of the dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvpDef {
    /// AVP code.
    pub code: u32,
    /// Vendor-Id, 0 for the IETF's.
    pub vendor: u32,
    /// The standard's name.
    pub name: &'static str,
    /// The type of its value.
    pub data_type: DataType,
    /// The rule for its M bit.
    pub mandatory: MandatoryBit,
    /// Names of its values, where a number alone says nothing to a person.
    pub value_names: &'static [(i32, &'static str)],
}

/// Vendor (0 for the IETF's) and code in one word.
#[inline]
pub(crate) const fn avp_key(vendor: u32, code: u32) -> u64 {
    (vendor as u64) << 32 | code as u64
}

impl AvpDef {
    /// Vendor and code in one word.
    pub const fn key(&self) -> u64 {
        avp_key(self.vendor, self.code)
    }

    /// The standard's name of a value of this AVP; Result-Code included.
    pub fn value_name(&self, value: i32) -> Option<&'static str> {
        if self.key() == key::RESULT_CODE {
            return ResultCode(value as u32).name();
        }
        self.value_names.iter().find(|(number, _)| *number == value).map(|(_, name)| *name)
    }

    /// The value of this AVP that the standard calls so.
    pub fn value_named(&self, name: &str) -> Option<i32> {
        self.value_names.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
    }

    /// The flags that we send.
    #[inline]
    pub const fn flags(&self) -> AvpFlags {
        let vendor = if self.vendor == 0 { 0 } else { AvpFlags::VENDOR.0 };
        let mandatory = match self.mandatory {
            MandatoryBit::M | MandatoryBit::MaySet => AvpFlags::MANDATORY.0,
            MandatoryBit::MayClear | MandatoryBit::Never => 0,
        };
        AvpFlags(vendor | mandatory)
    }
}

/// The AVP of this vendor (0 for the IETF's) and code in the standard
/// dictionary.
pub fn find_avp(vendor: u32, code: u32) -> Option<&'static AvpDef> {
    Dictionary::standard().find_avp(vendor, code)
}

/// The command with this code in this application in the standard dictionary.
pub fn find_command(application_id: u32, code: u32) -> Option<&'static CommandDef> {
    Dictionary::standard().find_command(application_id, code)
}
