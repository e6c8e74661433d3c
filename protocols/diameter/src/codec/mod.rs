//! Bytes to messages and back (RFC 6733 sections 3 and 4).
//!
//! [`frame_length`] cuts a stream into messages, [`Message::decode`] checks
//! the AVP chain of one, [`Avp`] reads typed values, [`Writer`] writes
//! straight into a `BytesMut`. Decoding keeps slices of the input.

mod avp;
mod error;
mod header;
mod message;
mod value;
mod writer;

pub use avp::{Avp, AvpFlags, Avps, GROUP_DEPTH_MAX};
pub use error::{AvpError, BadAvp, DecodeError, FAILED_VALUE_MAX, FrameError, Problem};
pub use header::{CommandFlags, HEADER_LENGTH, Header, frame_length};
pub use message::Message;
pub use value::{Address, FilterRule, Time, Uri};
pub use writer::Writer;
