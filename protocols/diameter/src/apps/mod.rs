//! Typed requests and answers of the applications, both ways.
//!
//! Each request type has `parse(&Message)` for who receives it and
//! `encode(&Header, &mut BytesMut)` for who sends it; each answer type has
//! `encode(&ReplyTo, &Origin, &mut BytesMut)` and `parse(&Message)`. Parsed
//! values borrow from the message and are small enough to copy; repeated
//! AVPs are [`List`]s that are read on the way.
//!
//! `parse` takes a message that [`crate::dictionary::check`] has passed. It
//! still fails, with the AVP to report, on whatever it needs and cannot
//! read; of an AVP that may occur once it takes the last.

pub mod base;
pub mod gy;
mod list;
pub mod lp;
pub mod rf;
mod route;
pub mod s6a;

pub use list::{FromAvp, List};
pub use route::{Answered, Route};

/// An Enumerated AVP with its values; an unknown number is 5004.
macro_rules! enumerated {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $( $(#[$variant_doc:meta])* $variant:ident = $value:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The number on the wire.
            #[inline]
            pub const fn value(self) -> i32 {
                match self { $( Self::$variant => $value, )* }
            }

            /// From the AVP; an unknown number is 5004.
            #[inline]
            pub fn read(avp: &$crate::codec::Avp<'_>) -> Result<Self, $crate::codec::AvpError> {
                match avp.enumerated()? {
                    $( $value => Ok(Self::$variant), )*
                    _ => Err(avp.value_error($expected)),
                }
            }
        }
    };
}
pub(crate) use enumerated;
