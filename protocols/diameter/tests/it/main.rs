//! Behaviour of the crate through its public interface.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod allocation;
mod answer;
mod apps;
mod codec;
mod dictionary;
mod extension;
mod interop;
mod peer;
mod replay;
mod table;
mod tree;

use bytes::BytesMut;
use linegate_diameter::answer::Origin;
use linegate_diameter::apps::Route;
use linegate_diameter::codec::{Header, Message};

/// The message that `write` appends.
pub fn message(write: impl FnOnce(&mut BytesMut)) -> Message {
    let mut out = BytesMut::new();
    write(&mut out);
    Message::decode(out.freeze()).unwrap()
}

pub fn origin() -> Origin {
    Origin::new("gateway.linegate.example", "linegate.example")
}

pub fn route() -> Route<'static> {
    Route {
        session_id: "pgw.example;1;2",
        origin_host: "pgw.example",
        origin_realm: "example",
        destination_host: Some("gateway.linegate.example"),
        destination_realm: "linegate.example",
    }
}

/// The header with ids that tests can recognise.
pub fn numbered(header: Header) -> Header {
    Header { hop_by_hop: 0x1234_5678, end_to_end: 0x9abc_def0, ..header }
}
