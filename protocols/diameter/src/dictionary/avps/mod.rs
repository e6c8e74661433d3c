//! Every AVP that the gateway knows, one line each: code, constant, name,
//! type, rule for the M bit, standard and, for those whose number means
//! nothing to a person, the names of its values.

macro_rules! avps {
    ($( vendor $vendor:literal { $(
        $code:literal $ident:ident $name:literal $data_type:ident $mandatory:ident $std:literal
        $( [ $( $value:literal $value_name:literal ),* $(,)? ] )?;
    )* } )*) => {
        use crate::dictionary::{AvpDef, DataType, MandatoryBit};

        $($(
            #[doc = concat!("`", $name, "` ", stringify!($code), ", ", stringify!($data_type), ", ", $std, ".")]
            pub const $ident: AvpDef = AvpDef {
                code: $code,
                vendor: $vendor,
                name: $name,
                data_type: DataType::$data_type,
                mandatory: MandatoryBit::$mandatory,
                value_names: &[ $( $( ($value, $value_name), )* )? ],
            };
        )*)*

        pub mod key {
            //! Keys of the AVPs of this file.
            $($(
                #[doc = concat!("Key of `", $name, "`.")]
                pub const $ident: u64 = super::$ident.key();
            )*)*
        }

        /// The AVPs of this file.
        pub(super) const AVPS: &[&AvpDef] = &[ $($( &$ident, )*)* ];
    };
}

mod base;
mod charging;
mod credit_control;
mod line_provisioning;
mod s6a;

pub use base::*;
pub use charging::*;
pub use credit_control::*;
pub use line_provisioning::*;
pub use s6a::*;

use super::{AvpDef, DataType, MandatoryBit, vendor};

/// Vendor and code of each AVP in one word, to match against
/// [`crate::Avp::key`].
pub mod key {
    pub use super::base::key::*;
    pub use super::charging::key::*;
    pub use super::credit_control::key::*;
    pub use super::line_provisioning::key::*;
    pub use super::s6a::key::*;
}

const FILES: [&[&AvpDef]; 5] = [base::AVPS, credit_control::AVPS, charging::AVPS, s6a::AVPS, line_provisioning::AVPS];

/// AVPs of the standard dictionary and one place more: index 0 stands for
/// what is not known.
pub(super) const COUNT: usize = {
    let (mut count, mut file) = (1, 0);
    while file < FILES.len() {
        count += FILES[file].len();
        file += 1;
    }
    count
};

const UNKNOWN: AvpDef = AvpDef {
    code: 0,
    vendor: 0,
    name: "",
    data_type: DataType::OctetString,
    mandatory: MandatoryBit::MayClear,
    value_names: &[],
};

/// Every AVP by its index.
pub(super) static TABLE: [&AvpDef; COUNT] = TABLE_VALUES;
pub(super) const TABLE_VALUES: [&AvpDef; COUNT] = {
    let mut table = [&UNKNOWN; COUNT];
    let (mut at, mut file) = (1, 0);
    while file < FILES.len() {
        let mut line = 0;
        while line < FILES[file].len() {
            table[at] = FILES[file][line];
            (at, line) = (at + 1, line + 1);
        }
        file += 1;
    }
    table
};

/// Every AVP of the standard dictionary.
pub static AVPS: &[&AvpDef] = TABLE.split_at(1).1;

// Codes of one vendor to indexes; 0 where there is none.
static IETF: [u16; codes_end(0)] = IETF_VALUES;
static TGPP: [u16; codes_end(vendor::TGPP)] = TGPP_VALUES;
static EXAMPLE: [u16; codes_end(vendor::EXAMPLE)] = EXAMPLE_VALUES;
const IETF_VALUES: [u16; codes_end(0)] = indexes(0);
const TGPP_VALUES: [u16; codes_end(vendor::TGPP)] = indexes(vendor::TGPP);
const EXAMPLE_VALUES: [u16; codes_end(vendor::EXAMPLE)] = indexes(vendor::EXAMPLE);

const fn codes_end(vendor: u32) -> usize {
    let (mut end, mut at) = (0, 1);
    while at < COUNT {
        let def = TABLE_VALUES[at];
        if def.vendor == vendor && def.code as usize >= end {
            end = def.code as usize + 1;
        }
        at += 1;
    }
    end
}

const fn indexes<const N: usize>(vendor: u32) -> [u16; N] {
    let (mut indexes, mut at) = ([0; N], 1);
    while at < COUNT {
        let def = TABLE_VALUES[at];
        if def.vendor == vendor {
            assert!(indexes[def.code as usize] == 0, "an AVP is there twice");
            indexes[def.code as usize] = at as u16;
        }
        at += 1;
    }
    indexes
}

/// The index of an AVP, 0 for one that is not known.
#[inline]
pub(super) fn index(vendor: u32, code: u32) -> usize {
    let indexes: &[u16] = match vendor {
        0 => &IETF,
        vendor::TGPP => &TGPP,
        vendor::EXAMPLE => &EXAMPLE,
        _ => &[],
    };
    indexes.get(code as usize).copied().map_or(0, usize::from)
}

/// [`index`] for what is computed before the program runs.
pub(super) const fn const_index(def: &AvpDef) -> usize {
    let index = match def.vendor {
        0 => IETF_VALUES[def.code as usize],
        vendor::TGPP => TGPP_VALUES[def.code as usize],
        vendor::EXAMPLE => EXAMPLE_VALUES[def.code as usize],
        _ => panic!("an AVP of a vendor without a table"),
    };
    index as usize
}
