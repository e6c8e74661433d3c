//! What a shard does past its queue while the store is away.
//!
//! Owns the shadows of accounts, on which requests are charged that the store is away
//! for; nothing of them is kept. Gives up who waits in the shard and is to be answered
//! past the store. Who asks, and what may be answered, is [`super::super::outage`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shard;
use super::batches::Waiting;
use crate::domain::rating::apply;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::domain::usage::RecordKey;
use crate::services::charging::accounts::AccountNo;
use crate::services::charging::outage::{Decided, count};
use crate::services::charging::work::{Answer, Urgent, Work};
use crate::services::charging::{Charging, ChargingError};

impl Shard {
    pub(super) fn do_urgent(&mut self, urgent: Urgent) {
        match urgent {
            Urgent::Foresee { request, account, line, to } => {
                let _waits_no_more = to.send(self.foresee(&request, account, line));
            }
            Urgent::Refuse { key, account, reply } => self.refuse(&key, account, reply),
            Urgent::StoreAway => {
                self.answer_decided();
                self.turn_queued();
            }
            Urgent::Forget => self.shadows.clear(),
        }
    }

    fn foresee(&mut self, request: &ChargeRequest, account: AccountNo, line: Option<u16>) -> Option<ChargeAnswer> {
        if !self.shadows.contains_key(&account) {
            // Nothing is foreseen of one that the store alone has.
            if let Err(error) = self.bring(account) {
                self.fail(&error);
                return None;
            }
            if let Some(slot) = self.accounts.slot(account) {
                self.shadows.insert(account, slot.account.clone());
            }
        }
        let (tariff, settings) = (self.shared.tariff.book(), &self.shared.settings.rating);
        let shadow = self.shadows.get_mut(&account)?;
        let line = line.and_then(|no| shadow.line_by_no(no)).map(|line| line.id.clone());
        Some(apply(shadow, line.as_ref(), request, &tariff, settings, self.shared.clock.now()).answer)
    }

    /// A client that is refused may report its usage again under another number: not one
    /// whose request may be counted already.
    fn refuse(&self, key: &RecordKey, account: AccountNo, reply: Answer) {
        let waits = self.waiting().any(|waiting| match waiting {
            Waiting::Charge { work: (request, of, _), .. } => *of == account && request.key == *key,
            _ => false,
        });
        let (outcome, error) = match waits || self.loads.waits_with(account, key) {
            true => ("unanswered", ChargingError::Unknown),
            false => ("refused", ChargingError::Overloaded),
        };
        count(key.source(), outcome);
        reply.send(Err(error));
    }

    /// Those who wait for a batch are answered what was decided. The batch goes on, and is
    /// decided again where it conflicts; with nobody waiting for them.
    fn answer_decided(&mut self) {
        let charging = Charging { shared: Arc::clone(&self.shared) };
        let mut decided = Vec::new();
        let in_flight = self.in_flight.iter_mut().flat_map(|batch| &mut batch.waiting);
        for waiting in in_flight.chain(&mut self.pending.waiting) {
            let Waiting::Charge { work: (request, account, line), answer, reply } = waiting else { continue };
            if charging.takes_over(request, reply) {
                let reply = std::mem::replace(reply, Answer::Nobody);
                let (request, answer) = (request.clone(), answer.clone());
                decided.push(Decided { request, account: *account, line: *line, answer, reply });
            }
        }
        for decided in decided {
            // What follows in its session finds it, even where the batch conflicts.
            if decided.request.session.is_some() {
                let _decided_before = self.foresee(&decided.request, decided.account, decided.line);
            }
            charging.take_over(decided);
        }
    }

    /// What came before the store was known to be away, and is not decided, goes the way of
    /// what comes now.
    fn turn_queued(&mut self) {
        let charging = Charging { shared: Arc::clone(&self.shared) };
        let queue = &self.shared.queues[self.index];
        for _ in 0..if self.stopping { 0 } else { self.queue.len() } {
            let Ok(work) = self.queue.try_recv() else { break };
            let kept = match work {
                Work::Charge { request, account, line, reply } if charging.turns(&request, &reply) => {
                    let waits = charging.bridge(request, reply);
                    waits.map(|(request, reply)| Work::Charge { request, account, line, reply })
                }
                other => Some(other),
            };
            match kept {
                Some(work) => drop(queue.to.send(work)),
                None => drop(queue.waiting.fetch_sub(1, Ordering::Relaxed)),
            }
        }
    }
}
