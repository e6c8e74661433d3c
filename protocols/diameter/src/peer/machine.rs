//! The states of a connection (RFC 6733 section 5.6).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::config::{Config, Role, Sequence};
use super::pending::Pending;
use super::watchdog::{Action, Watchdog};
use super::{CloseReason, Command, Event, Input, RequestFailure, Token};
use crate::answer::Origin;
use crate::apps::base::{Capabilities, DeviceWatchdog, DisconnectCause, DisconnectPeer};
use crate::codec::{Header, Message};

/// The machine of one transport connection.
#[derive(Debug)]
pub struct Peer {
    pub(super) config: Config,
    pub(super) state: State,
    pub(super) pending: Pending,
    sequence: Sequence,
    next_hop_by_hop: u32,
    next_end_to_end: u32,
    /// The peer's Origin-State-Id, as last heard.
    pub(super) peer_state: Option<u32>,
    pub(super) out: BytesMut,
    close: bool,
    pub(super) events: VecDeque<Event>,
}

#[derive(Debug)]
pub(super) enum State {
    /// No transport yet.
    Idle,
    /// Wait-I-CEA.
    WaitCea { hop_by_hop: u32, deadline: Instant },
    /// The responder's wait for the CER.
    WaitCer { deadline: Instant },
    /// Capabilities are known, the table is asked. A responder holds the CER:
    /// Wait-Returns.
    Arriving { cer: Option<Box<Message>>, due: bool, deadline: Instant },
    /// I-Open and R-Open.
    Open { watchdog: Watchdog, dwr: Option<u32>, probe: Option<u32>, deadline: Instant },
    /// Closing: our DPR waits for its DPA.
    Closing { hop_by_hop: u32, cause: DisconnectCause, deadline: Instant },
    /// Closing: the peer's DPR is answered, the peer is to hang up.
    Leaving { cause: DisconnectCause, deadline: Instant },
    /// Closed for good.
    Closed,
}

impl Peer {
    /// A machine for a transport that is about to come up.
    pub fn new(config: Config) -> Self {
        let mut sequence = Sequence::new(config.seed);
        let ids = sequence.next();
        Self {
            config,
            state: State::Idle,
            pending: Pending::default(),
            sequence,
            next_hop_by_hop: ids as u32,
            next_end_to_end: (ids >> 32) as u32,
            peer_state: None,
            out: BytesMut::new(),
            close: false,
            events: VecDeque::new(),
        }
    }

    /// Takes one input in.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::TransportUp => self.transport_up(now),
            Input::Received(message) => self.received(message, now),
            Input::Undecodable(error) => self.undecodable(error, now),
            Input::TransportDown => self.transport_down(),
            Input::Send { token, timeout, mut request } => {
                let header = request.header;
                let sent = self.send_request(token, timeout, now, header, |header, out| {
                    request.header = *header;
                    request.write_to(out);
                });
                if let Err(why) = sent {
                    self.events.push_back(Event::RequestFailed { token, why });
                }
            }
            Input::SendAnswer(answer) => {
                self.send_answer(|out| out.extend_from_slice(&answer));
            }
            Input::Close(cause) => self.disconnect(cause, now),
            Input::Decided(verdict) => self.decided(verdict, now),
        }
    }

    /// Carries out what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(token) = self.pending.take_expired(now) {
            let why = RequestFailure::Timeout;
            self.events.push_back(Event::RequestFailed { token, why });
        }
        match &mut self.state {
            // Wait-I-CEA, Timeout: Error -> Closed; the same for a CER that
            // does not come
            State::WaitCea { deadline, .. } | State::WaitCer { deadline } if *deadline <= now => {
                self.end(CloseReason::ExchangeTimeout);
            }
            State::Arriving { due, deadline, .. } if *deadline <= now => {
                if *due {
                    self.end(CloseReason::ExchangeTimeout);
                } else {
                    *due = true;
                    *deadline = now + self.config.admission_timeout;
                    self.events.push_back(Event::AdmissionDue);
                }
            }
            State::Open { watchdog, deadline, .. } if *deadline <= now => {
                let (next, action) = watchdog.on_timer();
                self.watch(next, action, now);
            }
            // Closing, Timeout: Error -> Closed
            State::Closing { cause, deadline, .. } if *deadline <= now => {
                let cause = *cause;
                self.end(CloseReason::WeDisconnected(cause));
            }
            State::Leaving { cause, deadline } if *deadline <= now => {
                let cause = *cause;
                self.end(CloseReason::PeerDisconnected(cause));
            }
            _ => {}
        }
    }

    /// When [`Peer::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state = match self.state {
            State::Idle | State::Closed => None,
            State::WaitCea { deadline, .. }
            | State::WaitCer { deadline }
            | State::Arriving { deadline, .. }
            | State::Open { deadline, .. }
            | State::Closing { deadline, .. }
            | State::Leaving { deadline, .. } => Some(deadline),
        };
        state.into_iter().chain(self.pending.deadline()).min()
    }

    /// What the transport is to do; ask until `None`.
    pub fn next_command(&mut self) -> Option<Command> {
        if !self.out.is_empty() {
            return Some(Command::Write(self.out.split()));
        }
        std::mem::take(&mut self.close).then_some(Command::Close)
    }

    /// What the caller is to know; ask until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends a request: `write` encodes it with the header that it is given,
    /// which is `header` with the hop-by-hop id set. Set the end-to-end id
    /// before, from [`super::EndToEndIds`]. The answer comes as
    /// [`Event::Answer`], its absence as [`Event::RequestFailed`]; an error
    /// here means that nothing was sent and no event follows.
    pub fn send_request(
        &mut self,
        token: Token,
        timeout: Duration,
        now: Instant,
        mut header: Header,
        write: impl FnOnce(&Header, &mut BytesMut),
    ) -> Result<(), RequestFailure> {
        match self.state {
            State::Open { watchdog, .. } if watchdog.takes_requests() => {}
            _ => return Err(RequestFailure::NotOpen),
        }
        if self.pending.len() >= self.config.pending_max {
            return Err(RequestFailure::TooMany);
        }
        header.hop_by_hop = self.hop_by_hop();
        self.pending.insert(&header, token, now + timeout);
        write(&header, &mut self.out);
        Ok(())
    }

    /// Sends an answer: `write` appends the whole of it. False, and nothing
    /// written, where the connection is gone and the answer with it.
    pub fn send_answer(&mut self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let open = matches!(self.state, State::Open { .. } | State::Closing { .. } | State::Leaving { .. });
        if open {
            write(&mut self.out);
        }
        open
    }

    /// Takes a request back that waits here, to be sent elsewhere with the T
    /// flag (RFC 6733 section 5.5.4). Its answer, should it still come, is
    /// unexpected. False where it does not wait any more.
    pub fn withdraw(&mut self, token: Token) -> bool {
        self.pending.withdraw(token)
    }

    /// Who we are on this connection, for building answers.
    pub const fn origin(&self) -> &Origin {
        &self.config.origin
    }

    /// Requests that wait for an answer.
    pub fn pending_requests(&self) -> usize {
        self.pending.len()
    }

    /// True where requests can be sent.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { watchdog, .. } if watchdog.takes_requests())
    }

    fn transport_up(&mut self, now: Instant) {
        let deadline = now + self.config.exchange_timeout;
        match (&self.state, self.config.role) {
            // Wait-Conn-Ack, I-Rcv-Conn-Ack: I-Snd-CER -> Wait-I-CEA
            (State::Idle, Role::Initiator) => {
                let header = self.own_header(Capabilities::header());
                self.config.local.encode_request(&header, &mut self.out);
                self.state = State::WaitCea { hop_by_hop: header.hop_by_hop, deadline };
            }
            // Closed, R-Conn: R-Accept; the CER is to come first
            (State::Idle, Role::Responder) => self.state = State::WaitCer { deadline },
            _ => {}
        }
    }

    fn transport_down(&mut self) {
        let why = match self.state {
            State::Closed => return,
            // Closing, I-Peer-Disc or R-Peer-Disc: Disc -> Closed
            State::Closing { cause, .. } => CloseReason::WeDisconnected(cause),
            State::Leaving { cause, .. } => CloseReason::PeerDisconnected(cause),
            // Wait-I-CEA, I-Peer-Disc: I-Disc -> Closed
            // I-Open, R-Open, Peer-Disc: Disc -> Closed
            _ => CloseReason::TransportDown,
        };
        self.end(why);
        self.close = false;
    }

    fn disconnect(&mut self, cause: DisconnectCause, now: Instant) {
        match self.state {
            // I-Open, R-Open, Stop: Snd-DPR -> Closing
            State::Open { .. } => {
                let header = self.own_header(DisconnectPeer::header());
                DisconnectPeer { cause }.encode(&header, &self.config.origin, &mut self.out);
                let deadline = now + self.config.exchange_timeout;
                self.state = State::Closing { hop_by_hop: header.hop_by_hop, cause, deadline };
            }
            State::Idle | State::WaitCea { .. } | State::WaitCer { .. } | State::Arriving { .. } => {
                self.end(CloseReason::WeDisconnected(cause));
            }
            State::Closing { .. } | State::Leaving { .. } | State::Closed => {}
        }
    }

    pub(super) fn watch(&mut self, next: Watchdog, action: Action, now: Instant) {
        if let State::Open { watchdog, .. } = &mut self.state {
            *watchdog = next;
        }
        match action {
            Action::None => {}
            Action::SetWatchdog => self.set_watchdog(now),
            Action::SendWatchdog => {
                let header = self.own_header(DeviceWatchdog::header());
                let state_id = self.config.local.origin_state_id;
                DeviceWatchdog::encode(&header, &self.config.origin, state_id, &mut self.out);
                if let State::Open { dwr, .. } = &mut self.state {
                    *dwr = Some(header.hop_by_hop);
                }
                self.set_watchdog(now);
            }
            Action::Failover => {
                self.events.push_back(Event::Suspect);
                self.set_watchdog(now);
            }
            Action::Failback => {
                self.events.push_back(Event::Okay);
                self.set_watchdog(now);
            }
            Action::CloseConnection => self.end(CloseReason::Silent),
        }
    }

    /// A DWR beside those of the watchdog; one at a time.
    pub(super) fn probe(&mut self) {
        if matches!(self.state, State::Open { probe: Some(_), .. }) {
            return;
        }
        let header = self.own_header(DeviceWatchdog::header());
        DeviceWatchdog::encode(&header, &self.config.origin, self.config.local.origin_state_id, &mut self.out);
        if let State::Open { probe, .. } = &mut self.state {
            *probe = Some(header.hop_by_hop);
        }
    }

    pub(super) fn set_watchdog(&mut self, now: Instant) {
        let period = self.sequence.watchdog_period(self.config.watchdog);
        if let State::Open { deadline, .. } = &mut self.state {
            *deadline = now + period;
        }
    }

    /// Closes the transport and says why; every request that waits fails.
    pub(super) fn end(&mut self, why: CloseReason) {
        self.fail_pending();
        self.state = State::Closed;
        self.close = true;
        self.events.push_back(Event::Closed(why));
    }

    pub(super) fn fail_pending(&mut self) {
        for token in self.pending.take_all() {
            let why = RequestFailure::Disconnected;
            self.events.push_back(Event::RequestFailed { token, why });
        }
    }

    /// The next hop-by-hop id that no request holds.
    fn hop_by_hop(&mut self) -> u32 {
        loop {
            self.next_hop_by_hop = self.next_hop_by_hop.wrapping_add(1);
            if !self.pending.has(self.next_hop_by_hop) {
                return self.next_hop_by_hop;
            }
        }
    }

    /// The header of a request of the machine's own.
    fn own_header(&mut self, header: Header) -> Header {
        self.next_end_to_end = self.next_end_to_end.wrapping_add(1);
        Header { hop_by_hop: self.hop_by_hop(), end_to_end: self.next_end_to_end, ..header }
    }
}
