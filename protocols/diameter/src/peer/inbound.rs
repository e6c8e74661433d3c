//! Messages that come in, state by state (RFC 6733 section 5.6).

use std::time::Instant;

use super::handshake::{accept_cer, read_cea, read_cer, refuse_cer};
use super::machine::{Peer, State};
use super::watchdog::Watchdog;
use super::{CloseReason, Event, Opened, RequestFailure, Verdict};
use crate::answer::{ReplyTo, refuse, refuse_avp, refuse_undecoded};
use crate::apps::base::{DisconnectPeer, PlainAnswer};
use crate::codec::{DecodeError, Message};
use crate::dictionary::{application, command, key};
use crate::result_code::{Outcome, ResultCode};

impl Peer {
    pub(super) fn received(&mut self, message: Message, now: Instant) {
        let (request, code) = (message.header.is_request(), message.header.command_code);
        match self.state {
            State::Idle | State::Closed | State::Leaving { .. } => {}
            State::WaitCea { hop_by_hop, .. } => {
                let cea = !request && code == command::CAPABILITIES_EXCHANGE && message.header.hop_by_hop == hop_by_hop;
                // Wait-I-CEA, I-Rcv-CEA: Process-CEA -> I-Open
                // Wait-I-CEA, I-Rcv-Non-CEA: Error -> Closed
                match cea.then(|| read_cea(&message, &self.config)) {
                    Some(agreed) => self.arrived(agreed, None, now),
                    None => self.end(CloseReason::ExchangeBroken),
                }
            }
            State::WaitCer { .. } => {
                // Closed, R-Conn-CER: Process-CER; R-Snd-CEA follows the admission
                if request && code == command::CAPABILITIES_EXCHANGE {
                    let agreed = read_cer(&message, &self.config, &mut self.out);
                    self.arrived(agreed, Some(message), now);
                } else {
                    self.end(CloseReason::ExchangeBroken);
                }
            }
            // nobody may speak between the CER and the CEA
            State::Arriving { .. } => self.end(CloseReason::ExchangeBroken),
            State::Open { watchdog, .. } => {
                let dwa = !request && code == command::DEVICE_WATCHDOG;
                if !dwa {
                    let (next, action) = watchdog.on_other();
                    self.watch(next, action, now);
                }
                self.route(message, now);
            }
            // answers may still come while the DPR waits for its own
            State::Closing { .. } => self.route(message, now),
        }
    }

    fn arrived(&mut self, agreed: Result<Opened, CloseReason>, cer: Option<Message>, now: Instant) {
        match agreed {
            Ok(opened) => {
                self.peer_state = opened.peer.origin_state_id;
                self.events.push_back(Event::Arrived(Box::new(opened)));
                let deadline = now + self.config.admission_timeout;
                self.state = State::Arriving { cer: cer.map(Box::new), due: false, deadline };
            }
            Err(why) => self.end(why),
        }
    }

    pub(super) fn decided(&mut self, verdict: Verdict, now: Instant) {
        match (&self.state, verdict) {
            (State::Arriving { cer, .. }, Verdict::Admit { reopen }) => {
                // Wait-Returns, Win-Election or I-Peer-Disc: R-Snd-CEA -> R-Open
                if let Some(cer) = cer {
                    accept_cer(cer, &self.config, &mut self.out);
                }
                self.events.push_back(Event::Open);
                let (watchdog, action) = Watchdog::start(reopen && self.config.reopen_answers > 0);
                self.state = State::Open { watchdog, dwr: None, probe: None, deadline: now };
                self.watch(watchdog, action, now);
            }
            (State::Arriving { cer, .. }, Verdict::Refuse(code)) => {
                // Wait-Returns, I-Rcv-CEA: R-Disc; I-Open or R-Open, R-Conn-CER: R-Reject
                if let Some(cer) = cer {
                    refuse_cer(cer, code, &self.config, &mut self.out);
                }
                self.end(CloseReason::Refused(code));
            }
            (State::Open { .. }, Verdict::Probe) => self.probe(),
            // Wait-Conn-Ack or Wait-I-CEA, Win-Election: I-Disc
            (State::Idle | State::WaitCea { .. } | State::Arriving { .. } | State::Open { .. }, Verdict::Abandon) => {
                self.end(CloseReason::Abandoned);
            }
            // it has gone on meanwhile
            _ => {}
        }
    }

    /// One message of an open or closing connection.
    fn route(&mut self, message: Message, now: Instant) {
        let header = message.header;
        let base = header.application_id == application::BASE;
        match (header.is_request(), header.command_code) {
            // Open, Rcv-DWR: Process-DWR, Snd-DWA -> Open
            (true, command::DEVICE_WATCHDOG) if base => {
                self.answer_own(&message);
                self.noted_state(&message);
            }
            // Open, Rcv-DWA: Process-DWA -> Open
            (false, command::DEVICE_WATCHDOG) if base => self.received_dwa(message, now),
            (true, command::DISCONNECT_PEER) if base => self.received_dpr(&message, now),
            (false, command::DISCONNECT_PEER) if base => self.received_dpa(message),
            // no row: capabilities are exchanged once, at the start
            (true, command::CAPABILITIES_EXCHANGE) if base => {
                let code = ResultCode::UNABLE_TO_COMPLY;
                refuse(&message, code, &[], None, &self.config.origin, &mut self.out);
            }
            // Closing: the peer has our DPR and sends its requests elsewhere
            (true, _) if matches!(self.state, State::Closing { .. }) => {}
            // Open, Rcv-Message: Process -> Open
            (true, _) => self.events.push_back(Event::Request(message)),
            (false, _) => self.events.push_back(match self.pending.take(&header) {
                Some(token) => Event::Answer { token, message },
                None => Event::UnexpectedAnswer(message),
            }),
        }
    }

    fn answer_own(&mut self, request: &Message) {
        let origin_state_id = self.config.local.origin_state_id;
        PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id }.encode(
            &ReplyTo::new(request),
            &self.config.origin,
            &mut self.out,
        );
    }

    fn received_dwa(&mut self, message: Message, now: Instant) {
        self.noted_state(&message);
        let State::Open { watchdog, dwr, probe, .. } = &mut self.state else {
            return;
        };
        if *probe == Some(message.header.hop_by_hop) {
            *probe = None;
            let (next, action) = watchdog.on_other();
            self.events.push_back(Event::Alive);
            self.watch(next, action, now);
            return;
        }
        if *dwr != Some(message.header.hop_by_hop) {
            // a DWA that answers nothing proves nothing
            self.events.push_back(Event::UnexpectedAnswer(message));
            return;
        }
        *dwr = None;
        let (next, action) = watchdog.on_answer(self.config.reopen_answers);
        self.watch(next, action, now);
    }

    fn noted_state(&mut self, message: &Message) {
        let Some(state) = message.find(key::ORIGIN_STATE_ID).and_then(|avp| avp.u32().ok()) else { return };
        if self.peer_state.replace(state) != Some(state) {
            self.events.push_back(Event::OriginState(state));
        }
    }

    fn received_dpr(&mut self, message: &Message, now: Instant) {
        let cause = match DisconnectPeer::parse(message) {
            Ok(dpr) => dpr.cause,
            Err(error) => {
                refuse_avp(message, &error, &self.config.origin, &mut self.out);
                return;
            }
        };
        PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id: None }.encode(
            &ReplyTo::new(message),
            &self.config.origin,
            &mut self.out,
        );
        match self.state {
            // both sides disconnect at once: our own DPR decides
            State::Closing { .. } => {}
            // Open, Rcv-DPR: Snd-DPA -> Closing
            _ => {
                let deadline = now + self.config.exchange_timeout;
                self.state = State::Leaving { cause, deadline };
                self.fail_pending();
            }
        }
    }

    fn received_dpa(&mut self, message: Message) {
        match self.state {
            // Closing, Rcv-DPA: Disc -> Closed
            State::Closing { hop_by_hop, cause, .. } if message.header.hop_by_hop == hop_by_hop => {
                self.end(CloseReason::WeDisconnected(cause));
            }
            _ => self.events.push_back(Event::UnexpectedAnswer(message)),
        }
    }

    pub(super) fn undecodable(&mut self, error: DecodeError, now: Instant) {
        if matches!(self.state, State::Idle | State::Closed) {
            return;
        }
        refuse_undecoded(&error, &self.config.origin, &mut self.out);
        match (&self.state, &error) {
            // the stream is still whole: one bad message, answered or failed
            (State::Open { watchdog, .. }, DecodeError::Avp { message, .. }) => {
                let header = message.header;
                let (next, action) = watchdog.on_other();
                self.watch(next, action, now);
                if header.is_request() {
                    return;
                }
                if let Some(token) = self.pending.take(&header) {
                    let why = RequestFailure::Undecodable(error);
                    self.events.push_back(Event::RequestFailed { token, why });
                }
            }
            (State::Closing { .. } | State::Leaving { .. }, DecodeError::Avp { .. }) => {}
            _ => self.end(CloseReason::Undecodable(error)),
        }
    }
}
