//! A peer's request on its way: judged, told from a repeat, checked, handed to the
//! service that answers it; and the answer's way back.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use linegate_diameter::answer::{ReplyTo, refuse, refuse_avp, refuse_report};
use linegate_diameter::apps::gy::CcRequest;
use linegate_diameter::apps::rf::AccountingRequest;
use linegate_diameter::codec::AvpError;
use linegate_diameter::dictionary::{Strictness, application, command};
use linegate_diameter::{Message, ResultCode};

use super::connection::{Connection, Known, Late, command_name};
use super::duplicates::{Identity, replay};
use super::envelope::Envelope;
use super::routes::Destination;
use super::{Node, accounting, gy, relay, s6a};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::ports::intake::{ChargingError, Replies, Reply};
use crate::telemetry::metrics;

/// A request that waits for its shard.
pub(super) struct Waiting {
    to: ReplyTo,
    started: Instant,
    asked: Asked,
    identity: Option<Identity>,
}

enum Asked {
    Gy(gy::Asked),
    Rf(accounting::Asked),
}

/// A request that is being judged.
struct Request<'m> {
    message: &'m Message,
    envelope: Envelope<'m>,
    name: &'static str,
    identity: Option<Identity>,
}

impl Connection {
    pub(super) fn request(&mut self, message: Message) {
        let name = command_name(&message);
        let envelope = Envelope::of(&message);
        self.note_origin(&envelope);
        let from = self.peer.as_ref().map_or("", |peer| &peer.host);
        match self.node.peers.routes().judge(&message, &envelope, from) {
            Destination::Local => {}
            Destination::Refuse(code) => return self.refuse(&message, code, name),
            Destination::Relay(hops) => {
                self.late_outstanding += 1;
                let (from, mailbox) = (from.into(), Arc::clone(&self.opening.mailbox));
                return relay::pass_on(&self.node, message, hops, from, mailbox, self.now);
            }
        }
        if !self.is_agreed(&message) {
            return self.refuse(&message, ResultCode::APPLICATION_UNSUPPORTED, name);
        }
        let identity = self.node.duplicates.identify(&message, &envelope);
        if identity.is_some_and(|identity| self.replayed(identity, &message)) {
            return;
        }
        let request = Request { message: &message, envelope, name, identity };
        if self.is_good(&request) {
            self.hand_over(&request);
        }
    }

    /// Sends the answer that this request got before; false where there is none.
    fn replayed(&mut self, identity: Identity, message: &Message) -> bool {
        let machine = &mut self.machine;
        let replay = |stored: &[u8]| machine.send_answer(|out| replay(stored, &message.header, out));
        let found = self.node.duplicates.find(identity, self.now, replay).is_some();
        if found {
            metrics().diameter_replayed.inc();
        }
        found
    }

    /// Notes whose request it is: hosts behind an agent, and another life of a host.
    fn note_origin(&mut self, envelope: &Envelope<'_>) {
        let (Some(peer), Some(host)) = (&mut self.peer, envelope.origin_host) else { return };
        if !host.eq_ignore_ascii_case(&peer.host) && peer.learned.as_deref() != Some(host) {
            self.node.peers.learn(host, envelope.origin_realm.unwrap_or_default(), &peer.host);
            peer.learned = Some(host.into());
        }
        let Some(state) = envelope.origin_state else { return };
        let same = |(known, before): &(Box<str>, u32)| **known == *host && *before == state;
        if !peer.state.as_ref().is_some_and(same) {
            peer.state = Some((host.into(), state));
            self.node.note_origin_state(host, state, &peer.host);
        }
    }

    /// Whether the application is one that CER and CEA agreed on; an unknown one is
    /// named by the grammar check.
    fn is_agreed(&self, message: &Message) -> bool {
        let application = message.header.application_id;
        let agreed = |peer: &Known| peer.applications.contains(&application);
        application == application::BASE || self.peer.as_ref().is_some_and(agreed)
    }

    fn is_good(&mut self, request: &Request<'_>) -> bool {
        let strictness = self.peer.as_ref().map_or(Strictness::Strict, |peer| peer.strictness);
        let report = self.node.dictionary.check(request.message, strictness);
        if let Some(code) = report.result_code() {
            self.answer(request.identity, |node, out| {
                refuse_report(request.message, &report, &node.origin, out);
                code
            });
            self.tally.count(request.name, code, self.now, self.now);
            return false;
        }
        if let (false, Some(peer)) = (report.tolerated.is_empty(), &self.peer) {
            self.node.tolerated.note(&peer.host, request.name, &report.tolerated);
        }
        true
    }

    fn hand_over(&mut self, request: &Request<'_>) {
        let header = request.message.header;
        let outcome = match (header.application_id, header.command_code) {
            (application::CREDIT_CONTROL, command::CREDIT_CONTROL) => self.credit_control(request),
            (application::ACCOUNTING, command::ACCOUNTING) => self.accounting(request),
            (application::S6A, _) => {
                self.late_outstanding += 1;
                let mailbox = Arc::clone(&self.opening.mailbox);
                s6a::answer(&self.node, request.message.clone(), request.identity, mailbox, self.now);
                Ok(None)
            }
            // Known to the dictionary, and sent only by us.
            _ => Ok(Some(ResultCode::COMMAND_UNSUPPORTED)),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(code)) => self.refuse(request.message, code, request.name),
            Err(error) => {
                let code = error.result_code();
                self.answer(request.identity, |node, out| {
                    refuse_avp(request.message, &error, &node.origin, out);
                    code
                });
                self.tally.count(request.name, code, self.now, self.now);
            }
        }
    }

    fn credit_control(&mut self, request: &Request<'_>) -> Result<Option<ResultCode>, AvpError> {
        let parsed = CcRequest::parse(request.message)?;
        let (asked, charge) = gy::charge_request(&parsed, self.received)?;
        self.wait(request, Asked::Gy(asked), charge);
        Ok(None)
    }

    fn accounting(&mut self, request: &Request<'_>) -> Result<Option<ResultCode>, AvpError> {
        let parsed = AccountingRequest::parse(request.message)?;
        let charge = accounting::charge_request(&parsed, self.received)?;
        self.wait(request, Asked::Rf(accounting::Asked::of(&parsed)), charge);
        Ok(None)
    }

    fn wait(&mut self, request: &Request<'_>, asked: Asked, charge: ChargeRequest) {
        let tag = self.node.fresh_tag();
        let to = request.envelope.reply_to(request.message);
        let waiting = Waiting { to, started: self.now, asked, identity: request.identity };
        self.charging.insert(tag, waiting);
        metrics().diameter_pending.inc();
        let mailbox = Arc::clone(&self.opening.mailbox) as Arc<dyn Replies>;
        self.node.services.charging.submit(charge, Reply { tag, to: mailbox });
    }

    pub(super) fn charged(&mut self, tag: u64, result: Result<ChargeAnswer, ChargingError>) {
        let Some(waiting) = self.charging.remove(&tag) else { return };
        metrics().diameter_pending.dec();
        let name = match waiting.asked {
            Asked::Gy(_) => "CCR",
            Asked::Rf(_) => "ACR",
        };
        let code = match result {
            Ok(answer) => {
                let write = |node: &Node, out: &mut BytesMut| encode_answer(node, &waiting, &answer, out);
                // A connection that is gone has no use for it: the client repeats.
                let Some(code) = self.answer(waiting.identity, write) else { return };
                code
            }
            // The outcome of the write is unknown: nobody is answered.
            Err(ChargingError::Fatal | ChargingError::Unknown) => return,
            Err(ChargingError::Overloaded | ChargingError::Stopping | ChargingError::Unreadable) => {
                let origin = &self.node.origin;
                self.machine.send_answer(|out| {
                    waiting.to.begin(ResultCode::TOO_BUSY.into(), origin, out).finish();
                });
                ResultCode::TOO_BUSY
            }
        };
        self.tally.count(name, code, waiting.started, self.now);
    }

    pub(super) fn late(&mut self, late: Late) {
        self.late_outstanding = self.late_outstanding.saturating_sub(1);
        self.answer(late.identity, |_, out| {
            out.extend_from_slice(&late.bytes);
            late.result
        });
        self.tally.count(late.command, late.result, late.started, self.now);
    }

    fn refuse(&mut self, message: &Message, code: ResultCode, name: &'static str) {
        let origin = &self.node.origin;
        self.machine.send_answer(|out| refuse(message, code, &[], None, origin, out));
        self.tally.count(name, code, self.now, self.now);
    }

    /// Sends an answer and keeps it for a repeat; `write` gives its result code. A
    /// protocol error says something of this moment: a repeat is judged anew.
    fn answer(
        &mut self,
        identity: Option<Identity>,
        write: impl FnOnce(&Node, &mut BytesMut) -> ResultCode,
    ) -> Option<ResultCode> {
        let (node, now) = (&*self.node, self.now);
        let mut result = None;
        self.machine.send_answer(|out| {
            let start = out.len();
            let code = write(node, out);
            result = Some(code);
            if let Some(identity) = identity.filter(|_| !code.is_protocol_error()) {
                node.duplicates.keep(identity, &out[start..], now);
            }
        });
        result
    }
}

fn encode_answer(node: &Node, waiting: &Waiting, answer: &ChargeAnswer, out: &mut BytesMut) -> ResultCode {
    let (settings, origin) = (&node.settings, &node.origin);
    let origin_state_id = node.services.origin_state_id;
    match &waiting.asked {
        Asked::Gy(asked) => {
            let terms = gy::Terms { settings: &settings.gy, foreign_apn: settings.foreign_apn_result, origin_state_id };
            gy::encode_answer(asked, answer, terms, &waiting.to, origin, out)
        }
        Asked::Rf(asked) => {
            let interim = settings.interim_interval_s;
            accounting::encode_answer(*asked, answer, interim, origin_state_id, &waiting.to, origin, out)
        }
    }
}
