//! What a script says, statement by statement.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use linegate_diameter::apps::base::DisconnectCause;
use linegate_diameter::dictionary::{AvpDef, CommandDef};

/// A parsed script (see the page `docs/element-scripts.md`).
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) file: String,
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) what: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Set {
        name: String,
        value: Literal,
    },
    NewSession,
    Connect {
        to: Option<SocketAddr>,
        name: Option<String>,
        within: Duration,
    },
    Listen {
        at: SocketAddr,
        name: Option<String>,
        within: Duration,
    },
    Use(String),
    /// Builds a request for `half` and `again`, and sends nothing.
    Prepare(Outgoing),
    Send(Outgoing),
    /// Answers the request that was expected last.
    Answer(Outgoing),
    /// The last request, or one that has a name, once more; by default with a
    /// new hop-by-hop id.
    Again {
        which: Option<String>,
        retransmitted: bool,
        same_hop_by_hop: bool,
    },
    Expect(Expectation),
    ExpectClosed {
        within: Duration,
    },
    ExpectNothing {
        during: Duration,
    },
    On {
        command: &'static CommandDef,
        react: Reaction,
    },
    /// The first octets of the last request.
    Half(usize),
    /// What `half` left out.
    Rest,
    Raw(Bytes),
    Repeat {
        times: u32,
        body: Vec<Statement>,
    },
    Wait(Duration),
    /// Closes without a word.
    Drop,
    /// DPR, DPA, and then closes.
    Leave(DisconnectCause),
    /// Takes nothing from the socket until told.
    Reading(bool),
}

/// Standing behaviour towards one kind of request.
#[derive(Debug, Clone)]
pub(super) enum Reaction {
    Answer(Outgoing),
    Silent,
    Drop,
}

/// A message to be built.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) command: &'static CommandDef,
    pub(super) is_request: bool,
    pub(super) header: HeaderOptions,
    pub(super) avps: Vec<GivenAvp>,
}

/// Where a message leaves the ordinary.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderOptions {
    /// The E bit; set by itself for a 3xxx.
    pub(super) error: bool,
    /// The T bit.
    pub(super) retransmitted: bool,
    /// All command flags, as they are.
    pub(super) flags: Option<u8>,
    pub(super) version: Option<u8>,
    pub(super) length: Option<u32>,
    pub(super) application: Option<u32>,
    pub(super) hop_by_hop: Option<u32>,
    pub(super) end_to_end: Option<u32>,
    /// AVPs that are not filled in.
    pub(super) omitted: Vec<u64>,
    /// Nothing is filled in.
    pub(super) bare: bool,
    /// What `again` calls it.
    pub(super) name: Option<String>,
    /// Sent as often in all.
    pub(super) copies: u32,
    /// Sent so much later.
    pub(super) after: Option<Duration>,
}

/// An AVP that the script gives, or expects.
#[derive(Debug, Clone)]
pub(super) struct GivenAvp {
    pub(super) line: usize,
    pub(super) def: AvpDef,
    /// Instead of the dictionary's.
    pub(super) flags: Option<u8>,
    /// The length that its header claims.
    pub(super) length: Option<u32>,
    pub(super) value: Given,
}

#[derive(Debug, Clone)]
pub(super) enum Given {
    /// No value: in an expectation, any will do.
    Any,
    /// In an expectation: must not be there.
    Absent,
    Octets(Bytes),
    /// Holds variables; becomes octets when it is used.
    Later(Literal),
    Group(Vec<GivenAvp>),
}

/// A value as it stands in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) text: String,
    /// It stood in quotes.
    pub(super) quoted: bool,
}

/// A message that must come.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) command: &'static CommandDef,
    pub(super) is_request: bool,
    /// Command flags that must be set.
    pub(super) flags: u8,
    pub(super) avps: Vec<GivenAvp>,
    pub(super) within: Duration,
}

impl Outgoing {
    /// The message with what its grammar requires and nothing else.
    pub(super) fn plain(command: &'static CommandDef, is_request: bool) -> Self {
        let header = HeaderOptions { copies: 1, ..HeaderOptions::default() };
        Self { command, is_request, header, avps: Vec::new() }
    }
}

/// `CCR`, `Provision-Answer`.
pub(super) fn command_name(command: &CommandDef, is_request: bool) -> String {
    let (letter, word) = if is_request { ("R", "Request") } else { ("A", "Answer") };
    match linegate_diameter::names::short(command.code) {
        Some(short) => format!("{short}{letter}"),
        None => format!("{}-{word}", command.name),
    }
}
