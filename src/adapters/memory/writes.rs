//! Applying a list of writes to the tables, all or none.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Cursor, State, Total};
use crate::domain::billing::{Invoice, InvoiceNumber};
use crate::domain::device::Device;
use crate::domain::ids::{MessageId, PlanId, SlotId};
use crate::domain::ledger::Posting;
use crate::domain::notification::{Message, threshold_happenings};
use crate::domain::scheduling::Slot;
use crate::domain::usage::{Records, UsageOutcome, UsageRecord};
use crate::ports::hot::LogNo;
use crate::ports::relational::{
    DeliveryState, OutboxEntry, StoreError, Stored, SuspenseNote, SuspenseVerb, TariffChange, Write,
};
use crate::saga::record::{SagaEvent, SagaRecord};

/// Applies `writes` in their order; takes everything back when one is refused.
pub(super) fn apply(state: &mut State, writes: Vec<Write>) -> Stored<()> {
    let mut transaction = Transaction { state, undo: Vec::new() };
    for write in writes {
        if let Err(refused) = transaction.write(write) {
            transaction.roll_back();
            return Err(refused);
        }
    }
    Ok(())
}

type Undo = Box<dyn FnOnce(&mut State)>;
type Table<K, V> = fn(&mut State) -> &mut BTreeMap<K, V>;

struct Transaction<'a> {
    state: &'a mut State,
    undo: Vec<Undo>,
}

/// Puts an aggregate with its version checked and raised.
macro_rules! guarded {
    ($self:ident, $table:ident, $kind:literal, $value:expr, $key:ident) => {{
        let mut value = $value;
        let stored = $self.state.$table.get(&value.$key).map_or(0, |v| v.version);
        if stored != value.version {
            return Err(conflict($kind, &value.$key));
        }
        value.version += 1;
        $self.put(|s| &mut s.$table, value.$key.clone(), value);
    }};
}

impl Transaction<'_> {
    fn write(&mut self, write: Write) -> Stored<()> {
        match write {
            Write::Order(order) => guarded!(self, orders, "order", order, id),
            Write::Line(line) => guarded!(self, lines, "line", line, id),
            Write::Device(device) => self.device(device)?,
            Write::Sessions(sessions) => {
                sessions.into_iter().for_each(|(line, session)| self.put(|s| &mut s.sessions, line, session));
            }
            Write::Saga(saga, events) => self.saga(saga, events)?,
            Write::Appointment(appointment) => guarded!(self, appointments, "appointment", appointment, id),
            Write::Call(call) => guarded!(self, calls, "call", call, id),
            Write::WorkOrder(work_order) => guarded!(self, work_orders, "work order", work_order, id),
            Write::Worker(worker) => self.put(|s| &mut s.workers, worker.id.clone(), worker),
            Write::Slot(slot) => self.slot(slot),
            Write::HoldSlot(id) => self.hold_slot(&id)?,
            Write::ReleaseSlot(id) => self.release_slot(&id),
            Write::SlotSearch(search) => self.put(|s| &mut s.slot_searches, search.id.clone(), search),
            Write::RemoveSlotSearch(id) => self.remove(|s| &mut s.slot_searches, id),
            Write::ForgetSlotSearches(before) => {
                let old = self.state.slot_searches.values().filter(|s| s.created < before);
                let old: Vec<_> = old.map(|s| s.id.clone()).collect();
                old.into_iter().for_each(|id| self.remove(|s| &mut s.slot_searches, id));
            }
            Write::Idempotency(record) => {
                if self.state.idempotency.contains_key(&record.key) {
                    return Err(conflict("idempotency key", &record.key));
                }
                self.put(|s| &mut s.idempotency, record.key.clone(), record);
            }
            Write::Happening(happening) => {
                let sequence = next(&self.state.happenings);
                self.put(|s| &mut s.happenings, sequence, happening);
            }
            Write::Message(message) => self.message(message),
            Write::FanOutCursor(sequence) => self.put(|s| &mut s.cursors, Cursor::FanOut, sequence),
            Write::Delivery(id, delivery) => self.delivery(&id, delivery),
            Write::Listener(listener) => self.put(|s| &mut s.listeners, listener.id.clone(), listener),
            Write::RemoveListener(id) => self.remove(|s| &mut s.listeners, id),
            Write::Drain { log, after, position, records } => self.drain(log, after, position, &records)?,
            Write::Suspense(note) => self.suspense_note(note)?,
            Write::Invoices { series, invoices } => self.invoices(&series, invoices)?,
            Write::Settlement(settlement) => self.put(|s| &mut s.settlements, settlement.cycle, settlement),
            Write::CloseRun(run) => guarded!(self, close_runs, "close run", run, cycle),
            Write::Tariff { revision, change } => self.tariff(revision, change)?,
            Write::Meta(key, value) => self.put(|s| &mut s.meta, key, value),
        }
        Ok(())
    }

    fn saga(&mut self, saga: SagaRecord, events: Vec<SagaEvent>) -> Stored<()> {
        let id = saga.id.clone();
        guarded!(self, sagas, "saga", saga, id);
        let rows = self.state.saga_log.range((id.clone(), 0)..=(id.clone(), u64::MAX));
        let first = rows.last().map_or(0, |((_, row), _)| row + 1);
        for (row, event) in (first..).zip(events) {
            self.put(|s| &mut s.saga_log, (id.clone(), row), event);
        }
        Ok(())
    }

    fn device(&mut self, device: Device) -> Stored<()> {
        let id = device.id.clone();
        let name = device.certificate_name.clone();
        let former = self.state.devices.get(&id).and_then(|stored| stored.certificate_name.clone());
        guarded!(self, devices, "device", device, id);
        if let Some(former) = former {
            self.remove(|s| &mut s.certificate_names, former);
        }
        if let Some(name) = name {
            if self.state.certificate_names.contains_key(&name) {
                return Err(conflict("device with the certificate_name", &name));
            }
            self.put(|s| &mut s.certificate_names, name, id);
        }
        Ok(())
    }

    fn tariff(&mut self, revision: u64, change: TariffChange) -> Stored<()> {
        if self.state.tariff_revision != revision {
            return Err(conflict("tariff versions at revision", &revision));
        }
        self.state.tariff_revision += 1;
        self.undo.push(Box::new(move |state| state.tariff_revision = revision));
        match change {
            TariffChange::Put(tariff) => self.put(|s| &mut s.tariffs, tariff.version, tariff),
            TariffChange::Withdraw(version) => self.remove(|s| &mut s.tariffs, version),
        }
        Ok(())
    }

    fn slot(&mut self, mut slot: Slot) {
        if let Some(stored) = self.state.slots.get(&slot.id) {
            slot.held = stored.held;
        }
        self.put(|s| &mut s.slots, slot.id.clone(), slot);
    }

    fn hold_slot(&mut self, id: &SlotId) -> Stored<()> {
        let free = self.state.slots.get(id).filter(|s| s.held < s.capacity);
        let Some(slot) = free.cloned() else { return Err(conflict("slot", id)) };
        self.put(|s| &mut s.slots, id.clone(), Slot { held: slot.held + 1, ..slot });
        Ok(())
    }

    fn release_slot(&mut self, id: &SlotId) {
        if let Some(slot) = self.state.slots.get(id).cloned() {
            self.put(|s| &mut s.slots, id.clone(), Slot { held: slot.held.saturating_sub(1), ..slot });
        }
    }

    fn message(&mut self, message: Message) {
        let repeated = message.once_key.as_ref().is_some_and(|key| self.state.once_keys.contains_key(key));
        if repeated || self.state.message_ids.contains_key(&message.id) {
            return;
        }
        let sequence = next(&self.state.outbox);
        if let Some(key) = &message.once_key {
            self.put(|s| &mut s.once_keys, key.clone(), sequence);
        }
        self.put(|s| &mut s.message_ids, message.id.clone(), sequence);
        let delivery = DeliveryState::Pending { attempts: 0, next_attempt: message.created, last_error: None };
        self.put(|s| &mut s.outbox, sequence, OutboxEntry { message, delivery });
    }

    fn delivery(&mut self, id: &MessageId, delivery: DeliveryState) {
        let Some(sequence) = self.state.message_ids.get(id).copied() else { return };
        if let Some(entry) = self.state.outbox.get(&sequence) {
            let message = entry.message.clone();
            self.put(|s| &mut s.outbox, sequence, OutboxEntry { message, delivery });
        }
    }

    fn drain(&mut self, log: LogNo, after: u64, position: u64, records: &Records) -> Stored<()> {
        let cursor = self.state.cursors.get(&Cursor::Drain(log)).copied().unwrap_or(0);
        if cursor >= position {
            return Ok(());
        }
        if cursor != after {
            return Err(StoreError::Conflict { what: format!("cursor drain/{log}") });
        }
        self.put(|s| &mut s.cursors, Cursor::Drain(log), position);
        let records = records.decode();
        for record in records.map_err(|e| StoreError::Broken { operation: "drain", reason: e.to_string() })? {
            for happening in threshold_happenings(&record) {
                let sequence = next(&self.state.happenings);
                self.put(|s| &mut s.happenings, sequence, happening);
            }
            self.usage(record);
        }
        Ok(())
    }

    fn usage(&mut self, record: UsageRecord) {
        let sequence = next(&self.state.usage);
        match (record.outcome, &record.account, record.cycle) {
            (UsageOutcome::Suspense(_), ..) => {
                let key = (record.key.to_string(), record.rating_group);
                if let Some(sequence) = self.state.suspense.get(&key).copied() {
                    return self.judge_anew(sequence, record);
                }
                self.put(|s| &mut s.suspense, key, sequence);
            }
            (UsageOutcome::Rated, Some(account), Some(cycle)) if record.is_billed_usage() => {
                let line = record.line.clone().unwrap_or_else(|| "".into());
                let plan = record.plan.clone().unwrap_or_else(|| PlanId::from(""));
                let key = (cycle, account.clone(), line, plan, record.late_for);
                let before = self.state.totals.get(&key).copied().unwrap_or_default();
                let total = Total {
                    octets: before.octets.saturating_add(record.octets_counted()),
                    amount: before.amount.saturating_add(record.amount),
                    records: before.records + 1,
                };
                self.put(|s| &mut s.totals, key, total);
            }
            _ => {}
        }
        if matches!(record.outcome, UsageOutcome::Rated | UsageOutcome::Reconciled) {
            let suspended = self.state.suspense.get(&(record.key.to_string(), record.rating_group));
            if let Some((sequence, suspended)) = suspended.and_then(|s| Some((*s, self.state.usage.get(s)?)))
                && let UsageOutcome::Suspense(reason) = suspended.outcome
            {
                let recycled = UsageRecord { outcome: UsageOutcome::Recycled(reason), ..suspended.clone() };
                self.put(|s| &mut s.usage, sequence, recycled);
            }
        }
        self.put(|s| &mut s.usage, sequence, record);
    }

    /// An account's judgement replaces what an open record was in suspense for.
    fn judge_anew(&mut self, sequence: u64, judged: UsageRecord) {
        let open = self.state.usage.get(&sequence).filter(|r| matches!(r.outcome, UsageOutcome::Suspense(_)));
        let Some(open) = open.filter(|_| judged.is_judged()).cloned() else { return };
        let UsageRecord { outcome, line, account, tariff_version, detail, .. } = judged;
        self.put(|s| &mut s.usage, sequence, UsageRecord { outcome, line, account, tariff_version, detail, ..open });
    }

    fn suspense_note(&mut self, note: SuspenseNote) -> Stored<()> {
        let (expected, outcome) = match note.verb {
            SuspenseVerb::Recycled => (None, None),
            SuspenseVerb::CountedBefore(reason) => (Some(reason), Some(UsageOutcome::Recycled(reason))),
            SuspenseVerb::Dropped(reason) => (Some(reason), Some(UsageOutcome::Dropped(reason))),
        };
        if let Some((expected, outcome)) = expected.zip(outcome) {
            let id = (note.key.to_string(), note.rating_group);
            let sequence = self.state.suspense.get(&id).copied();
            let record = sequence.and_then(|s| self.state.usage.get(&s)).cloned();
            let open = record.filter(|r| r.outcome == UsageOutcome::Suspense(expected));
            let Some((sequence, open)) = sequence.zip(open) else {
                return Err(conflict("usage", &format!("{}/{}", id.0, id.1)));
            };
            self.put(|s| &mut s.usage, sequence, UsageRecord { outcome, ..open });
        }
        let place = next(&self.state.suspense_log);
        self.put(|s| &mut s.suspense_log, place, note);
        Ok(())
    }

    fn invoices(&mut self, series: &str, invoices: Vec<(Invoice, Vec<Posting>)>) -> Stored<()> {
        for (mut invoice, postings) in invoices {
            let bill = (invoice.account.clone(), invoice.cycle);
            if self.state.billed.contains_key(&bill) {
                continue;
            }
            if self.state.invoices.contains_key(&invoice.id) {
                return Err(conflict("invoice", &invoice.id));
            }
            let number = self.state.series.get(series).copied().unwrap_or(0) + 1;
            self.put(|s| &mut s.series, series.to_owned(), number);
            invoice.number = Some(InvoiceNumber { series: series.to_owned(), number });
            self.put(|s| &mut s.billed, bill, invoice.id.clone());
            self.put(|s| &mut s.invoices, invoice.id.clone(), (invoice, postings));
        }
        Ok(())
    }

    fn put<K: Ord + Clone + 'static, V: 'static>(&mut self, table: Table<K, V>, key: K, value: V) {
        let before = table(self.state).insert(key.clone(), value);
        self.undo.push(Box::new(move |state| restore(table(state), key, before)));
    }

    fn remove<K: Ord + Clone + 'static, V: 'static>(&mut self, table: Table<K, V>, key: K) {
        let before = table(self.state).remove(&key);
        self.undo.push(Box::new(move |state| restore(table(state), key, before)));
    }

    fn roll_back(self) {
        for undo in self.undo.into_iter().rev() {
            undo(self.state);
        }
    }
}

fn restore<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}

fn next<V>(table: &BTreeMap<u64, V>) -> u64 {
    table.last_key_value().map_or(1, |(last, _)| last + 1)
}

fn conflict(kind: &str, id: &impl Display) -> StoreError {
    StoreError::Conflict { what: format!("{kind} {id}") }
}
