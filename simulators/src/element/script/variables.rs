//! What a script can name with `$`.

use std::collections::{BTreeMap, BTreeSet};

use super::syntax::Literal;
use crate::clock;

/// Length of one value, octets, with everything put in.
const VALUE_OCTETS_MAX: usize = 1 << 20;

/// Variables by name. `host`, `realm`, `destination-realm`,
/// `destination-host`, `service-context`, `product` and `session` are what
/// messages are filled in from.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    /// Given from outside; `set` leaves them.
    given: BTreeSet<String>,
    sessions: u32,
}

impl Variables {
    pub(super) fn new(given: &[(String, String)]) -> Self {
        let defaults = [
            ("host", "script.network.example"),
            ("realm", "network.example"),
            ("destination-realm", "linegate.example"),
            ("destination-host", "gateway.linegate.example"),
            ("service-context", "32251@3gpp.org"),
            ("product", "linegate-sim script"),
        ];
        let defaults = defaults.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut variables = Self {
            values: defaults.chain(given.iter().cloned()).collect(),
            given: given.iter().map(|(name, _)| name.clone()).collect(),
            sessions: 0,
        };
        if !variables.values.contains_key("session") {
            variables.new_session();
        }
        variables
    }

    /// A Session-Id that was not used before (RFC 6733 section 8.8).
    pub(super) fn new_session(&mut self) {
        self.sessions += 1;
        let session = format!("{};{};{}", self.known("host"), clock::unix_ms(), self.sessions);
        self.set("session", session);
    }

    /// What the statement `set` does: what was given from outside stays.
    pub(super) fn set_default(&mut self, name: &str, value: String) {
        if !self.given.contains(name) {
            self.set(name, value);
        }
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// A variable that has a default.
    pub(super) fn known(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// `literal` with every `$name` replaced; `$$` is a dollar.
    pub(super) fn filled(&self, literal: &Literal) -> Result<Literal, String> {
        let mut text = String::new();
        let mut rest = literal.text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                text.push('$');
                rest = after;
                continue;
            }
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            text.push_str(self.values.get(name).ok_or_else(|| format!("no variable is called {name}"))?);
            rest = after;
            if text.len() > VALUE_OCTETS_MAX {
                return Err(format!("a value of more than {VALUE_OCTETS_MAX} octets"));
            }
        }
        text.push_str(rest);
        Ok(Literal { text, quoted: literal.quoted })
    }
}
