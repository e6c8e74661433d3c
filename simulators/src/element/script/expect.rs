//! What a script waits for.

use std::time::Duration;

use bytes::Bytes;
use linegate_diameter::Message;
use linegate_diameter::apps::base::DisconnectCause;
use linegate_diameter::dictionary::{self as dict, application, command};

use super::matching::{self, printed};
use super::run::{Runner, Stop, Unread};
use super::syntax::{Expectation, Given, GivenAvp, Outgoing, command_name};
use crate::clock;

/// How long a DPR waits for its DPA.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

impl Runner<'_, '_> {
    pub(super) async fn expect(&mut self, expected: &Expectation) -> Result<(), Stop> {
        self.link()?;
        let until = clock::now() + expected.within;
        let code = expected.command.code;
        loop {
            let current = self.current;
            let wanted = |message: &Message| {
                message.header.command_code == code && message.header.is_request() == expected.is_request
            };
            let found = self.unread.iter().position(|(link, unread)| match unread {
                Unread::Message(message) => *link == current && wanted(message),
                Unread::Undecodable(_) => *link == current,
            });
            match found.and_then(|at| self.unread.remove(at)) {
                Some((link, Unread::Message(message))) => return self.compare(expected, link, message),
                Some((_, Unread::Undecodable(text))) => {
                    let expected = matching::expectation(expected, &self.variables);
                    return Err(format!("expected {expected}\nreceived what cannot be decoded:\n{text}").into());
                }
                None => {}
            }
            let closed = self.links.get(current).is_some_and(|link| link.closed);
            if closed || !self.take(until).await? {
                let why = if closed { "before the connection was closed".into() } else { within(expected.within) };
                let expected = matching::expectation(expected, &self.variables);
                return Err(format!("expected {expected}\nit did not come {why}{}", self.instead()).into());
            }
        }
    }

    /// Holds the expectation against a message.
    fn compare(&mut self, expected: &Expectation, link: usize, message: Message) -> Result<(), Stop> {
        let fault = match matching::missing(expected, &message, &self.variables).map_err(Stop::At)? {
            Some(missing) => Some(format!("{missing} is not in it")),
            None if message.header.is_request() || self.answers(link, &message) => None,
            None => Some("it answers no request, or one that was answered before".to_owned()),
        };
        if let Some(fault) = fault {
            let expected = matching::expectation(expected, &self.variables);
            return Err(format!("expected {expected}\n{fault}; received\n{}", printed(&message)).into());
        }
        if message.header.is_request() {
            self.to_answer = Some((link, message));
        }
        Ok(())
    }

    /// True where the answer is one to a request of ours, which is then done.
    fn answers(&mut self, link: usize, message: &Message) -> bool {
        let id = (link, message.header.hop_by_hop);
        let Some(count) = self.asked.get_mut(&id) else { return false };
        *count -= 1;
        if *count == 0 {
            self.asked.remove(&id);
        }
        true
    }

    /// What came and was not expected, for the reader of an error.
    fn instead(&self) -> String {
        let current = self.current;
        let mut text = String::new();
        for (_, unread) in self.unread.iter().filter(|(link, _)| *link == current).take(3) {
            text.push_str("\ncame instead:\n");
            match unread {
                Unread::Message(message) => text.push_str(&printed(message)),
                Unread::Undecodable(octets) => text.push_str(octets),
            }
        }
        text
    }

    pub(super) async fn expect_closed(&mut self, patience: Duration) -> Result<(), Stop> {
        let until = clock::now() + patience;
        while !self.link()?.closed {
            if !self.take(until).await? {
                let why = within(patience);
                return Err(format!("expected that the connection is closed {why}{}", self.instead()).into());
            }
        }
        Ok(())
    }

    /// Neither a message, watchdogs aside, nor the end of the connection.
    pub(super) async fn expect_nothing(&mut self, during: Duration) -> Result<(), Stop> {
        let until = clock::now() + during;
        loop {
            let more = self.take(until).await?;
            let current = self.current;
            self.unread.retain(|(link, unread)| {
                let code = match unread {
                    Unread::Message(message) => Some(message.header.command_code),
                    Unread::Undecodable(_) => None,
                };
                *link != current || code != Some(command::DEVICE_WATCHDOG)
            });
            if self.link()?.closed {
                return Err("expected nothing, but the connection was closed".to_owned().into());
            }
            if self.unread.iter().any(|(link, _)| *link == current) {
                return Err(format!("expected nothing for {during:?}{}", self.instead()).into());
            }
            if !more {
                return Ok(());
            }
        }
    }

    pub(super) async fn leave(&mut self, cause: DisconnectCause) -> Result<(), Stop> {
        let Some(command) = dict::find_command(application::BASE, command::DISCONNECT_PEER) else {
            return Ok(());
        };
        let mut request = Outgoing::plain(command, true);
        let value = Given::Octets(Bytes::copy_from_slice(&cause.value().to_be_bytes()));
        let def = dict::DISCONNECT_CAUSE;
        request.avps.push(GivenAvp { line: 0, def, flags: None, length: None, value });
        let frame = self.build(&request, None)?;
        self.note_request(self.current, &frame);
        self.write(self.current, &frame).await?;
        let until = clock::now() + LEAVE_PATIENCE;
        let name = command_name(command, false);
        loop {
            let current = self.current;
            let answered = self.unread.iter().any(|(link, unread)| match unread {
                Unread::Message(message) => {
                    let header = message.header;
                    *link == current && header.command_code == command.code && !header.is_request()
                }
                Unread::Undecodable(_) => false,
            });
            if answered {
                self.link()?.drop_it();
                return Ok(());
            }
            if self.link()?.closed || !self.take(until).await? {
                return Err(format!("expected {name}: it did not come{}", self.instead()).into());
            }
        }
    }
}

fn within(time: Duration) -> String {
    format!("within {time:?}")
}
