//! A script carried out, statement by statement.
//!
//! One task: whatever comes in is taken while the script waits, and is kept
//! in order until it is expected. Requests of the other side get their
//! standing reaction as soon as they are taken.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use linegate_diameter::Message;
use linegate_diameter::dictionary::{self as dict, command, key};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ScriptError;
use super::build::{self, Around, Mistake};
use super::link::{Arrival, Incoming, Link};
use super::matching::printed;
use super::syntax::{Action, Given, Outgoing, Reaction, Script, Statement};
use super::variables::Variables;
use crate::clock;
use crate::wire;

/// Messages that came and wait to be expected.
const UNREAD_MAX: usize = 100_000;

/// Arrivals on their way from the readers to the script.
const ARRIVALS: usize = 256;

/// Connections of one script.
const LINKS_MAX: usize = 256;

/// Answers sent later than their request came.
const DELAYED_MAX: usize = 10_000;

/// How a script is run.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Where `connect` goes when it names no address.
    pub gateway: SocketAddr,
    /// Variables, set before the first statement.
    pub variables: Vec<(String, String)>,
    /// Logs every message that is sent and received, as a tree.
    pub trace: bool,
}

impl Script {
    /// Carries the script out; an error at the first expectation that does
    /// not hold. `log` takes what a person may want to see on the way.
    pub async fn run(&self, settings: RunSettings, log: &mut (dyn FnMut(&str) + Send)) -> Result<(), ScriptError> {
        let (arrivals, incoming) = mpsc::channel(ARRIVALS);
        let mut runner = Runner {
            variables: Variables::new(&settings.variables),
            settings,
            links: Vec::new(),
            current: 0,
            arrivals,
            incoming,
            unread: VecDeque::new(),
            delayed: Vec::new(),
            reactions: Vec::new(),
            asked: HashMap::new(),
            last: None,
            named: HashMap::new(),
            halved: 0,
            to_answer: None,
            number: 0,
            // ids that another run, and the gateway, do not use at the same time
            next_id: clock::unix_seconds() << 12 | 1,
            log,
        };
        runner.play(&self.statements).await.map_err(|(line, reason)| ScriptError::Failed {
            file: self.file.clone(),
            line,
            reason,
        })
    }
}

pub(super) struct Runner<'s, 'l> {
    settings: RunSettings,
    pub(super) variables: Variables,
    pub(super) links: Vec<Link>,
    pub(super) current: usize,
    arrivals: mpsc::Sender<Incoming>,
    incoming: mpsc::Receiver<Incoming>,
    pub(super) unread: VecDeque<(usize, Unread)>,
    delayed: Vec<(Instant, usize, Bytes)>,
    reactions: Vec<(u32, &'s Reaction)>,
    /// Requests that wait for an answer, by link and hop-by-hop id.
    pub(super) asked: HashMap<(usize, u32), u32>,
    /// The last request that was built.
    last: Option<Bytes>,
    /// Requests that `again` can name.
    named: HashMap<&'s str, Bytes>,
    /// How much of the last request `half` has sent.
    halved: usize,
    /// The request that was expected last.
    pub(super) to_answer: Option<(usize, Message)>,
    number: u32,
    next_id: u32,
    log: &'l mut (dyn FnMut(&str) + Send),
}

pub(super) enum Unread {
    Message(Message),
    Undecodable(String),
}

/// One block on its way.
struct Block<'s> {
    body: &'s [Statement],
    next: usize,
    round: u32,
    times: u32,
}

impl<'s> Runner<'s, '_> {
    async fn play(&mut self, statements: &'s [Statement]) -> Result<(), Mistake> {
        let mut blocks = vec![Block { body: statements, next: 0, round: 0, times: 1 }];
        while let Some(block) = blocks.last_mut() {
            let Some(statement) = block.body.get(block.next).filter(|_| block.round < block.times) else {
                block.round = block.round.saturating_add(1);
                block.next = 0;
                if block.round >= block.times || block.body.is_empty() {
                    blocks.pop();
                } else {
                    let round = block.round.to_string();
                    self.variables.set("n", round);
                }
                continue;
            };
            block.next += 1;
            if let Action::Repeat { times, body } = &statement.what {
                self.variables.set("n", "0".to_owned());
                blocks.push(Block { body, next: 0, round: 0, times: *times });
                continue;
            }
            self.step(&statement.what).await.map_err(|mistake| match mistake {
                Stop::At(mistake) => mistake,
                Stop::Here(reason) => (statement.line, reason),
            })?;
        }
        Ok(())
    }

    async fn step(&mut self, action: &'s Action) -> Result<(), Stop> {
        match action {
            Action::Set { name, value } => self.set(name, self.variables.filled(value)?.text),
            Action::NewSession => {
                self.variables.new_session();
                self.number = 0;
            }
            Action::Connect { to, name, within } => {
                self.connect(to.unwrap_or(self.settings.gateway), name.as_deref(), *within).await?;
            }
            Action::Listen { at, name, within } => self.listen(*at, name.as_deref(), *within).await?,
            Action::Use(name) => {
                let found = self.links.iter().rposition(|link| link.name == *name);
                self.current = found.ok_or_else(|| format!("no connection is called {name}"))?;
            }
            Action::Prepare(outgoing) => {
                self.build_request(outgoing)?;
            }
            Action::Send(outgoing) => self.send(outgoing).await?,
            Action::Answer(outgoing) => {
                let (link, request) = self.to_answer.clone().ok_or("no request was expected before")?;
                let frame = self.build(outgoing, Some(&request))?;
                self.later(link, outgoing, frame).await?;
            }
            Action::Again { which, retransmitted, same_hop_by_hop } => {
                if let Some(name) = which {
                    let named = self.named.get(name.as_str()).cloned();
                    self.last = Some(named.ok_or_else(|| format!("no request is called {name}"))?);
                }
                self.again(*retransmitted, *same_hop_by_hop).await?;
            }
            Action::Expect(expectation) => self.expect(expectation).await?,
            Action::ExpectClosed { within } => self.expect_closed(*within).await?,
            Action::ExpectNothing { during } => self.expect_nothing(*during).await?,
            Action::On { command, react } => {
                self.reactions.retain(|(code, _)| *code != command.code);
                self.reactions.push((command.code, react));
            }
            Action::Half(octets) => {
                let frame = self.last.clone().ok_or("no request was built before")?;
                self.halved = (*octets).min(frame.len());
                self.note_request(self.current, &frame);
                self.write(self.current, &frame.slice(..self.halved)).await?;
            }
            Action::Rest => {
                let frame = self.last.clone().ok_or("no request was built before")?;
                let rest = frame.slice(std::mem::replace(&mut self.halved, 0)..);
                self.write(self.current, &rest).await?;
            }
            Action::Raw(octets) => {
                self.note_request(self.current, octets);
                self.write(self.current, octets).await?;
            }
            // taken apart in `play`
            Action::Repeat { .. } => {}
            Action::Wait(time) => {
                let until = clock::now() + *time;
                while clock::now() < until && self.take(until).await? {}
            }
            Action::Drop => self.link()?.drop_it(),
            Action::Leave(cause) => self.leave(*cause).await?,
            Action::Reading(reading) => self.link()?.set_reading(*reading),
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) {
        if name == "session" {
            self.number = 0;
        }
        self.variables.set_default(name, value);
    }

    async fn connect(&mut self, to: SocketAddr, name: Option<&str>, within: Duration) -> Result<(), Stop> {
        let stream = match timeout(within, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("connect to {to}: {error}").into()),
            Err(_) => return Err(format!("connect to {to}: not within {within:?}").into()),
        };
        self.opened(stream, name)
    }

    async fn listen(&mut self, at: SocketAddr, name: Option<&str>, within: Duration) -> Result<(), Stop> {
        let listener = TcpListener::bind(at).await.map_err(|error| format!("listen on {at}: {error}"))?;
        let local = listener.local_addr().unwrap_or(at);
        (self.log)(&format!("listening on {local}"));
        match timeout(within, listener.accept()).await {
            Ok(Ok((stream, _))) => self.opened(stream, name),
            Ok(Err(error)) => Err(format!("listen on {local}: {error}").into()),
            Err(_) => Err(format!("listen on {local}: nobody came within {within:?}").into()),
        }
    }

    fn opened(&mut self, stream: TcpStream, name: Option<&str>) -> Result<(), Stop> {
        let index = self.links.len();
        if index >= LINKS_MAX {
            return Err(format!("more than {LINKS_MAX} connections").into());
        }
        let name = name.map_or_else(|| index.to_string(), str::to_owned);
        self.links.push(Link::start(name, index, stream, self.arrivals.clone()));
        self.current = index;
        Ok(())
    }

    pub(super) fn link(&mut self) -> Result<&mut Link, Stop> {
        self.links.get_mut(self.current).ok_or_else(|| Stop::Here("there is no connection".into()))
    }

    pub(super) fn build(&mut self, outgoing: &Outgoing, request: Option<&Message>) -> Result<Bytes, Stop> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let local = self.links.get(self.current).map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |link| link.local);
        let around =
            Around { variables: &self.variables, local, number: self.number, hop_by_hop: id, end_to_end: id, request };
        build::message(outgoing, &around).map_err(Stop::At)
    }

    /// Builds a request and counts it.
    fn build_request(&mut self, outgoing: &'s Outgoing) -> Result<Bytes, Stop> {
        let frame = self.build(outgoing, None)?;
        self.last = Some(frame.clone());
        if let Some(name) = &outgoing.header.name {
            self.named.insert(name, frame.clone());
        }
        self.halved = 0;
        if outgoing.is_request && matches!(outgoing.command.code, command::CREDIT_CONTROL | command::ACCOUNTING) {
            let numbers = [key::CC_REQUEST_NUMBER, key::ACCOUNTING_RECORD_NUMBER];
            let given = outgoing.avps.iter().find(|avp| numbers.contains(&avp.def.key())).map(|avp| &avp.value);
            self.number = match given {
                Some(Given::Octets(octets)) => {
                    <[u8; 4]>::try_from(&octets[..]).map_or(self.number, u32::from_be_bytes).wrapping_add(1)
                }
                Some(_) => self.number,
                None => self.number.wrapping_add(1),
            };
        }
        Ok(frame)
    }

    async fn send(&mut self, outgoing: &'s Outgoing) -> Result<(), Stop> {
        if !outgoing.is_request {
            let frame = self.build(outgoing, None)?;
            return self.later(self.current, outgoing, frame).await;
        }
        let frame = self.build_request(outgoing)?;
        for _ in 0..outgoing.header.copies {
            self.note_request(self.current, &frame);
        }
        self.later(self.current, outgoing, frame).await
    }

    async fn again(&mut self, retransmitted: bool, same_hop_by_hop: bool) -> Result<(), Stop> {
        let last = self.last.clone().ok_or("no request was built before")?;
        let mut frame = BytesMut::from(&last[..]);
        if !same_hop_by_hop {
            wire::set_hop_by_hop(&mut frame, self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
        }
        if retransmitted {
            wire::set_retransmitted(&mut frame);
        }
        let frame = frame.freeze();
        self.last = Some(frame.clone());
        self.note_request(self.current, &frame);
        self.write(self.current, &frame).await
    }

    /// Writes a message, or puts it away until its time comes.
    async fn later(&mut self, link: usize, outgoing: &Outgoing, frame: Bytes) -> Result<(), Stop> {
        for _ in 0..outgoing.header.copies {
            match outgoing.header.after {
                None => self.write(link, &frame).await?,
                Some(after) if self.delayed.len() < DELAYED_MAX => {
                    self.delayed.push((clock::now() + after, link, frame.clone()));
                }
                Some(_) => return Err(format!("more than {DELAYED_MAX} messages wait for their time").into()),
            }
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, link: usize, octets: &Bytes) -> Result<(), Stop> {
        if self.settings.trace {
            match Message::decode(octets.clone()) {
                Ok(message) => (self.log)(&format!("sent {}", printed(&message))),
                Err(_) => (self.log)(&format!("sent {} octets", octets.len())),
            }
        }
        match self.links.get_mut(link) {
            Some(link) => Ok(link.write(octets).await?),
            None => Err("there is no connection".to_owned().into()),
        }
    }

    /// Remembers a request, to know its answer.
    pub(super) fn note_request(&mut self, link: usize, frame: &[u8]) {
        if let Some(id) = frame.get(12..16).and_then(|id| <[u8; 4]>::try_from(id).ok()) {
            *self.asked.entry((link, u32::from_be_bytes(id))).or_default() += 1;
        }
    }

    /// Takes what comes next, and sends what is due; false once it is `until`.
    pub(super) async fn take(&mut self, until: Instant) -> Result<bool, Stop> {
        loop {
            let now = clock::now();
            while let Some(due) = self.delayed.iter().position(|(at, ..)| *at <= now) {
                let (_, link, frame) = self.delayed.swap_remove(due);
                self.write(link, &frame).await?;
            }
            let next = self.delayed.iter().map(|(at, ..)| *at).chain([until]).min().unwrap_or(until);
            match tokio::time::timeout_at(next.into(), self.incoming.recv()).await {
                Ok(Some(incoming)) => {
                    self.arrived(incoming).await?;
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(_) if clock::now() >= until => return Ok(false),
                Err(_) => {}
            }
        }
    }

    async fn arrived(&mut self, Incoming { link, what }: Incoming) -> Result<(), Stop> {
        let unread = match what {
            Arrival::Closed => {
                if let Some(link) = self.links.get_mut(link) {
                    link.closed = true;
                }
                return Ok(());
            }
            Arrival::Undecodable(text) => Unread::Undecodable(text),
            Arrival::Message(message) => {
                if self.settings.trace {
                    (self.log)(&format!("received {}", printed(&message)));
                }
                if message.header.is_request() {
                    self.react(link, &message).await?;
                }
                Unread::Message(message)
            }
        };
        if self.unread.len() >= UNREAD_MAX {
            return Err(format!("more than {UNREAD_MAX} messages came that nothing expects").into());
        }
        self.unread.push_back((link, unread));
        Ok(())
    }

    /// The standing reaction to a request; DWR and DPR are answered where the
    /// script says nothing.
    async fn react(&mut self, link: usize, request: &Message) -> Result<(), Stop> {
        let code = request.header.command_code;
        let standing = self.reactions.iter().find(|(known, _)| *known == code).map(|(_, reaction)| *reaction);
        let plain;
        let answer = match standing {
            Some(Reaction::Answer(outgoing)) => outgoing,
            Some(Reaction::Silent) => return Ok(()),
            Some(Reaction::Drop) => {
                if let Some(link) = self.links.get_mut(link) {
                    link.drop_it();
                }
                return Ok(());
            }
            None if matches!(code, command::DEVICE_WATCHDOG | command::DISCONNECT_PEER) => {
                let Some(command) = dict::find_command(request.header.application_id, code) else { return Ok(()) };
                plain = Outgoing::plain(command, false);
                &plain
            }
            None => return Ok(()),
        };
        let frame = self.build(answer, Some(request))?;
        // a connection that has gone meanwhile is the script's to notice
        match self.later(link, answer, frame).await {
            Err(Stop::Here(_)) | Ok(()) => Ok(()),
            Err(stop) => Err(stop),
        }
    }
}

/// Why a statement ends the script.
pub(super) enum Stop {
    /// At the statement that is carried out.
    Here(String),
    /// At another line: inside a block of AVPs, or where a reaction is set.
    At(Mistake),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Here(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Here(reason.to_owned())
    }
}
