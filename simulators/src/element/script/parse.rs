//! Tokens to statements. Names of commands and AVPs are looked up and values
//! are encoded here, so that a script with a mistake does not start.

use std::time::Duration;

use linegate_diameter::apps::base::DisconnectCause;
use linegate_diameter::codec::CommandFlags;
use linegate_diameter::dictionary::{self as dict, CommandDef};
use linegate_diameter::names;

use super::ScriptError;
use super::avps::Context;
use super::lexer::{Lexeme, Token, lexemes};
use super::syntax::{Action, Expectation, HeaderOptions, Literal, Outgoing, Reaction, Script, Statement};
use super::value::{hexadecimal, number};

/// How long is waited where the script does not say.
const PATIENCE: Duration = Duration::from_secs(5);

/// Blocks within blocks.
const NESTING_MAX: usize = 8;

/// Times of one `repeat`.
const TIMES_MAX: u32 = 10_000_000;

impl Script {
    /// Reads a script; `file` is how errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScriptError> {
        let mut parser = Parser { file, lexemes: lexemes(file, text)?, at: 0 };
        let statements = parser.block(0)?;
        Ok(Self { file: file.to_owned(), statements })
    }
}

pub(super) struct Parser<'t> {
    file: &'t str,
    lexemes: Vec<Lexeme>,
    at: usize,
}

type Parsed<T> = Result<T, ScriptError>;

impl Parser<'_> {
    /// Statements up to the end of the script, or of the block that they are in.
    fn block(&mut self, depth: usize) -> Parsed<Vec<Statement>> {
        if depth > NESTING_MAX {
            return self.fail(format!("blocks nest deeper than {NESTING_MAX}"));
        }
        let mut statements = Vec::new();
        loop {
            self.skip_newlines();
            match self.peek() {
                None if depth == 0 => return Ok(statements),
                None => return self.fail("a block without its closing brace"),
                Some(Token::Close) if depth > 0 => {
                    self.at += 1;
                    return Ok(statements);
                }
                Some(_) => {}
            }
            let line = self.line();
            let what = self.statement(depth)?;
            statements.push(Statement { line, what });
            match self.peek() {
                None | Some(Token::Newline) => {}
                Some(Token::Close) if depth > 0 => {}
                Some(_) => return self.fail("one statement a line"),
            }
        }
    }

    fn statement(&mut self, depth: usize) -> Parsed<Action> {
        let verb = self.word("a statement")?;
        Ok(match verb.as_str() {
            "set" => {
                let name = self.word("a variable's name")?;
                self.equals()?;
                Action::Set { name, value: self.literal()? }
            }
            "new" => {
                self.keyword("session")?;
                Action::NewSession
            }
            "connect" => {
                let to = match self.peek_word().map(str::parse) {
                    Some(Ok(address)) => {
                        self.at += 1;
                        Some(address)
                    }
                    _ => None,
                };
                Action::Connect { to, name: self.optional("as")?, within: self.within()? }
            }
            "listen" => {
                let address = self.word("an address and port")?;
                let Ok(at) = address.parse() else { return self.fail(format!("{address}: not an address and port")) };
                Action::Listen { at, name: self.optional("as")?, within: self.within()? }
            }
            "use" => Action::Use(self.word("a connection's name")?),
            "prepare" => Action::Prepare(self.outgoing()?),
            "send" => Action::Send(self.outgoing()?),
            "answer" => Action::Answer(self.outgoing()?),
            "again" => {
                let (mut which, mut retransmitted, mut same_hop_by_hop) = (None, false, false);
                while let Some(word) = self.peek_word() {
                    match word {
                        "T" => retransmitted = true,
                        "same-hop-by-hop" => same_hop_by_hop = true,
                        name => which = Some(name.to_owned()),
                    }
                    self.at += 1;
                }
                Action::Again { which, retransmitted, same_hop_by_hop }
            }
            "expect" => self.expect()?,
            "on" => self.reaction()?,
            "half" => Action::Half(self.integer("a number of octets")?),
            "rest" => Action::Rest,
            "raw" => self.raw()?,
            "repeat" => self.repeat(depth)?,
            "wait" => Action::Wait(self.duration()?),
            "drop" => Action::Drop,
            "close" => self.leave()?,
            "pause" => {
                self.keyword("reading")?;
                Action::Reading(false)
            }
            "resume" => {
                self.keyword("reading")?;
                Action::Reading(true)
            }
            other => {
                self.at -= 1;
                return self.fail(format!("no statement is called {other}"));
            }
        })
    }

    fn outgoing(&mut self) -> Parsed<Outgoing> {
        let (command, is_request) = self.command()?;
        let context = Context::of(command, is_request);
        let header = self.header_options(context)?;
        let avps = self.avps(context)?;
        Ok(Outgoing { command, is_request, header, avps })
    }

    fn header_options(&mut self, context: Context) -> Parsed<HeaderOptions> {
        let mut options = HeaderOptions { copies: 1, ..HeaderOptions::default() };
        while let Some(word) = self.peek_word() {
            let word = word.to_owned();
            self.at += 1;
            match word.as_str() {
                "E" => options.error = true,
                "T" => options.retransmitted = true,
                "bare" => options.bare = true,
                "twice" => options.copies = 2,
                "flags" => options.flags = Some(self.integer("command flags")?),
                "version" => options.version = Some(self.integer("a version")?),
                "length" => options.length = Some(self.integer("a length")?),
                "application" => options.application = Some(self.integer("an application id")?),
                "hop-by-hop" => options.hop_by_hop = Some(self.integer("an id")?),
                "end-to-end" => options.end_to_end = Some(self.integer("an id")?),
                "as" => options.name = Some(self.word("a name")?),
                "after" => options.after = Some(self.duration()?),
                "omit" => {
                    let name = self.word("an AVP's name")?;
                    let def = self.resolve(&name, context)?;
                    options.omitted.push(def.key());
                }
                _ => {
                    self.at -= 1;
                    break;
                }
            }
        }
        Ok(options)
    }

    fn expect(&mut self) -> Parsed<Action> {
        match self.peek_word() {
            Some("closed") => {
                self.at += 1;
                return Ok(Action::ExpectClosed { within: self.within()? });
            }
            Some("nothing") => {
                self.at += 1;
                self.keyword("for")?;
                return Ok(Action::ExpectNothing { during: self.duration()? });
            }
            _ => {}
        }
        let (command, is_request) = self.command()?;
        let mut flags = 0;
        while let Some(flag) = self.peek_word().and_then(|word| match word {
            "E" => Some(CommandFlags::ERROR),
            "T" => Some(CommandFlags::RETRANSMITTED),
            "P" => Some(CommandFlags::PROXIABLE),
            _ => None,
        }) {
            flags |= flag.0;
            self.at += 1;
        }
        let avps = self.avps(Context::of(command, is_request))?;
        Ok(Action::Expect(Expectation { command, is_request, flags, avps, within: self.within()? }))
    }

    fn reaction(&mut self) -> Parsed<Action> {
        let (command, is_request) = self.command()?;
        if !is_request {
            return self.fail("only requests are reacted to");
        }
        let react = match self.word("answer, silent or drop")?.as_str() {
            "answer" => {
                let answer = self.outgoing()?;
                if answer.is_request || answer.command.code != command.code {
                    return self.fail(format!("not the answer of a {}-Request", command.name));
                }
                Reaction::Answer(answer)
            }
            "silent" => Reaction::Silent,
            "drop" => Reaction::Drop,
            _ => return self.fail("a reaction is answer, silent or drop"),
        };
        Ok(Action::On { command, react })
    }

    fn raw(&mut self) -> Parsed<Action> {
        let mut digits = String::new();
        while let Some(word) = self.peek_word() {
            digits.extend(word.strip_prefix("0x").unwrap_or(word).chars().filter(|c| *c != ':'));
            self.at += 1;
        }
        match hexadecimal(&digits) {
            Some(octets) if !octets.is_empty() => Ok(Action::Raw(octets)),
            _ => self.fail("raw takes octets in hexadecimal"),
        }
    }

    fn repeat(&mut self, depth: usize) -> Parsed<Action> {
        let times: u32 = self.integer("a number of times")?;
        if times > TIMES_MAX {
            return self.fail(format!("repeat {times}: at most {TIMES_MAX}"));
        }
        if self.peek() != Some(&Token::Open) {
            return self.fail("repeat takes a block in braces");
        }
        self.at += 1;
        Ok(Action::Repeat { times, body: self.block(depth + 1)? })
    }

    fn leave(&mut self) -> Parsed<Action> {
        let Some(name) = self.peek_word().map(str::to_owned) else {
            return Ok(Action::Leave(DisconnectCause::Rebooting));
        };
        self.at += 1;
        let value = dict::DISCONNECT_CAUSE.value_named(&name);
        match DisconnectCause::ALL.iter().find(|cause| Some(cause.value()) == value) {
            Some(cause) => Ok(Action::Leave(*cause)),
            None => self.fail(format!("no Disconnect-Cause is called {name}")),
        }
    }

    fn command(&mut self) -> Parsed<(&'static CommandDef, bool)> {
        let name = self.word("a command")?;
        match names::command_named(&name) {
            Some(found) => Ok(found),
            None => self.fail(format!("no command is called {name}")),
        }
    }

    pub(super) fn literal(&mut self) -> Parsed<Literal> {
        let literal = match self.peek() {
            Some(Token::Word(text)) => Literal { text: text.clone(), quoted: false },
            Some(Token::Text(text)) => Literal { text: text.clone(), quoted: true },
            _ => return self.fail("a value is missing"),
        };
        self.at += 1;
        Ok(literal)
    }

    pub(super) fn integer<T: TryFrom<i128>>(&mut self, what: &str) -> Parsed<T> {
        let word = self.word(what)?;
        match number(&word).and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.fail(format!("{word}: not {what}")),
        }
    }

    /// `within 5s`, where it stands.
    fn within(&mut self) -> Parsed<Duration> {
        if self.peek_word() != Some("within") {
            return Ok(PATIENCE);
        }
        self.at += 1;
        self.duration()
    }

    fn duration(&mut self) -> Parsed<Duration> {
        let word = self.word("a time, such as 500ms")?;
        let units = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let (count, unit) = word.split_at(units);
        let each = match unit {
            "ms" => 1,
            "s" => 1000,
            "min" => 60_000,
            _ => return self.fail(format!("{word}: not a time in ms, s or min")),
        };
        match count.parse::<u32>() {
            Ok(count) => Ok(Duration::from_millis(u64::from(count) * each)),
            Err(_) => self.fail(format!("{word}: not a time in ms, s or min")),
        }
    }

    /// A keyword and the word behind it, where it stands.
    fn optional(&mut self, keyword: &str) -> Parsed<Option<String>> {
        if self.peek_word() != Some(keyword) {
            return Ok(None);
        }
        self.at += 1;
        self.word("a name").map(Some)
    }

    fn keyword(&mut self, keyword: &str) -> Parsed<()> {
        if self.peek_word() != Some(keyword) {
            return self.fail(format!("{keyword} is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn equals(&mut self) -> Parsed<()> {
        if self.peek() != Some(&Token::Equals) {
            return self.fail("= is missing");
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn word(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => self.fail(format!("{what} is missing")),
        }
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.lexemes.get(self.at).map(|lexeme| &lexeme.token)
    }

    pub(super) fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_newlines(&mut self) {
        while self.take(&Token::Newline) {}
    }

    /// The line of the next token, or of the last one.
    pub(super) fn line(&self) -> usize {
        self.lexemes.get(self.at).or(self.lexemes.last()).map_or(1, |lexeme| lexeme.line)
    }

    /// An error at the token that was read last.
    pub(super) fn fail<T>(&self, reason: impl Into<String>) -> Parsed<T> {
        let at = self.lexemes.get(self.at.saturating_sub(1)).map_or(1, |lexeme| lexeme.line);
        let newline = self.lexemes.get(self.at.saturating_sub(1)).is_some_and(|l| l.token == Token::Newline);
        let line = if newline { self.line() } else { at };
        Err(ScriptError::Syntax { file: self.file.to_owned(), line, reason: reason.into() })
    }
}
