//! The reads of the memory store: scans over ordered maps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{Cursor, MemoryStore};
use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::device::Device;
use crate::domain::fieldwork::WorkOrder;
use crate::domain::ids::{
    AccountId, AppointmentId, CallId, CertificateName, CustomerId, DeviceId, InvoiceId, LineId, MessageId, OrderId,
    SagaId, SlotId, WorkOrderId, WorkerId,
};
use crate::domain::ledger::{LedgerSide, Posting, Unit};
use crate::domain::line::{DeviceLine, Line, LineState, SessionState};
use crate::domain::ordering::{Order, OrderState};
use crate::domain::scheduling::{Appointment, Call, CallState, Slot, SlotSearchRecord, Worker};
use crate::domain::settlement::Settlement;
use crate::domain::time::{Interval, Timestamp};
use crate::domain::usage::{SuspenseReason, UsageOutcome, UsageRecord};
use crate::ports::hot::LogNo;
use crate::ports::relational::{
    AppointmentFilter, BillingReads, CloseRun, CloseState, DeliveryState, DeviceReads, IdempotencyRecord, LineFilter,
    LineReads, Listener, OrderFilter, OrderReads, OutboxEntry, OutboxReads, Page, Paged, Stored, StoredTariffs,
    StoredUsage, StreamedHappening, SuspenseAge, SuspenseCase, TariffReads, UsageFilter, UsageTotal, WorkFilter,
    WorkReads,
};
use crate::saga::record::{Phase, SagaEvent, SagaRecord};

#[async_trait]
impl OrderReads for MemoryStore {
    async fn order(&self, id: &OrderId) -> Stored<Option<Order>> {
        Ok(self.state().orders.get(id).cloned())
    }

    async fn orders(&self, filter: &OrderFilter, page: Page) -> Stored<Paged<Order>> {
        let state = self.state();
        let found = state.orders.values().filter(|o| order_matches(filter, o));
        Ok(window(found, page, |o| Reverse((o.created, o.id.clone()))))
    }

    async fn order_counts(&self) -> Stored<Vec<(OrderState, u64)>> {
        let mut counts = BTreeMap::new();
        for order in self.state().orders.values() {
            *counts.entry(order.state).or_insert(0) += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn idempotency(&self, key: &str) -> Stored<Option<IdempotencyRecord>> {
        Ok(self.state().idempotency.get(key).cloned())
    }

    async fn saga(&self, id: &SagaId) -> Stored<Option<SagaRecord>> {
        Ok(self.state().sagas.get(id).cloned())
    }

    async fn saga_log(&self, id: &SagaId) -> Stored<Vec<SagaEvent>> {
        let state = self.state();
        let rows = state.saga_log.range((id.clone(), 0)..=(id.clone(), u64::MAX));
        Ok(rows.map(|(_, event)| event.clone()).collect())
    }

    async fn due_sagas(&self, now: Timestamp, limit: u64) -> Stored<Vec<SagaRecord>> {
        let state = self.state();
        let due = state.sagas.values().filter(|s| is_active(s) && s.wake_at <= now);
        Ok(window(due, first(limit), |s| (s.priority, s.created, s.id.clone())).items)
    }

    async fn next_wake(&self) -> Stored<Option<Timestamp>> {
        Ok(self.state().sagas.values().filter(|s| is_active(s)).map(|s| s.wake_at).min())
    }

    async fn stuck_sagas(&self, page: Page) -> Stored<Paged<SagaRecord>> {
        let state = self.state();
        let stuck = state.sagas.values().filter(|s| matches!(s.phase, Phase::Stuck { .. }));
        Ok(window(stuck, page, |s| (s.created, s.id.clone())))
    }
}

#[async_trait]
impl LineReads for MemoryStore {
    async fn line(&self, id: &LineId) -> Stored<Option<Line>> {
        Ok(self.state().lines.get(id).cloned())
    }

    async fn lines_of_devices(&self, devices: &[DeviceId]) -> Stored<Vec<(DeviceLine, SessionState)>> {
        let state = self.state();
        let mut found: BTreeMap<&DeviceId, &Line> = BTreeMap::new();
        let rank = |line: &Line| (line.actual != LineState::Terminated, line.created, line.id.clone());
        for line in state.lines.values() {
            let Some(device) = line.profile.device.as_ref().filter(|device| devices.contains(device)) else { continue };
            let best = found.entry(device).or_insert(line);
            if rank(line) > rank(best) {
                *best = line;
            }
        }
        let session = |line: &Line| state.sessions.get(&line.id).cloned().unwrap_or_default();
        Ok(found.into_values().map(|line| (DeviceLine::from(line), session(line))).collect())
    }

    async fn line_of_imsi(&self, imsi: &str) -> Stored<Option<Line>> {
        Ok(self.newest_living(|line| line.profile.imsi.as_deref() == Some(imsi)))
    }

    async fn lines_named(
        &self,
        imsi: Option<&str>,
        msisdn: Option<&str>,
        device: Option<&DeviceId>,
    ) -> Stored<Vec<Line>> {
        let is_one = |wanted: Option<&str>, had: Option<&str>| wanted.is_some() && wanted == had;
        let has = |line: &&Line| {
            is_one(imsi, line.profile.imsi.as_deref())
                || is_one(msisdn, line.profile.msisdn.as_deref())
                || device.is_some() && device == line.profile.device.as_ref()
        };
        Ok(self.state().lines.values().filter(has).cloned().collect())
    }

    async fn lines(&self, filter: &LineFilter, page: Page) -> Stored<Paged<Line>> {
        let state = self.state();
        let found = state.lines.values().filter(|l| line_matches(filter, l));
        Ok(window(found, page, |l| l.id.clone()))
    }

    async fn lines_by_account(&self, after: Option<&AccountId>, limit: u64) -> Stored<Vec<Line>> {
        let state = self.state();
        let mut rest: Vec<&Line> = state.lines.values().filter(|l| after.is_none_or(|a| l.account > *a)).collect();
        rest.sort_by_key(|l| (&l.account, &l.id));
        let mut taken: Vec<Line> = Vec::new();
        for line in rest {
            let is_enough = u64::try_from(taken.len()).unwrap_or(u64::MAX) >= limit;
            if is_enough && taken.last().is_some_and(|last| last.account != line.account) {
                break;
            }
            taken.push(line.clone());
        }
        Ok(taken)
    }

    async fn session(&self, id: &LineId) -> Stored<SessionState> {
        Ok(self.state().sessions.get(id).cloned().unwrap_or_default())
    }

    async fn sessions(&self, ids: &[LineId]) -> Stored<Vec<(LineId, SessionState)>> {
        let state = self.state();
        Ok(ids.iter().filter_map(|id| Some((id.clone(), state.sessions.get(id)?.clone()))).collect())
    }

    async fn devices_behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        let state = self.state();
        let reported = |line: &Line| state.sessions.get(&line.id).and_then(|s| s.modem_version).unwrap_or(0);
        let behind = |line: &&Line| line.actual != LineState::Terminated && line.desired_version > reported(line);
        let devices = state.lines.values().filter(behind).filter_map(|line| line.profile.device.clone());
        let devices: BTreeSet<_> = devices.filter(|device| after.is_none_or(|after| device > after)).collect();
        Ok(devices.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn devices_online(&self, gateway: &str, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        let state = self.state();
        let online =
            state.sessions.iter().filter(|(_, s)| s.modem_online && s.modem_gateway.as_deref() == Some(gateway));
        let devices = online.filter_map(|(line, _)| state.lines.get(line)?.profile.device.clone());
        let devices: BTreeSet<_> = devices.filter(|device| after.is_none_or(|after| device > after)).collect();
        Ok(devices.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }
}

#[async_trait]
impl DeviceReads for MemoryStore {
    async fn devices(&self, ids: &[DeviceId]) -> Stored<Vec<Device>> {
        let state = self.state();
        let wanted: BTreeSet<&DeviceId> = ids.iter().collect();
        Ok(wanted.into_iter().filter_map(|id| state.devices.get(id)).cloned().collect())
    }

    async fn devices_of_certificates(&self, names: &[CertificateName]) -> Stored<Vec<Device>> {
        let state = self.state();
        let found: BTreeSet<&DeviceId> = names.iter().filter_map(|name| state.certificate_names.get(name)).collect();
        Ok(found.into_iter().filter_map(|id| state.devices.get(id)).cloned().collect())
    }

    async fn device_list(&self, page: Page) -> Stored<Paged<Device>> {
        Ok(window(self.state().devices.values(), page, |d| d.id.clone()))
    }
}

#[async_trait]
impl TariffReads for MemoryStore {
    async fn tariff_revision(&self) -> Stored<u64> {
        Ok(self.state().tariff_revision)
    }

    async fn tariffs(&self) -> Stored<StoredTariffs> {
        let state = self.state();
        Ok(StoredTariffs { revision: state.tariff_revision, versions: state.tariffs.values().cloned().collect() })
    }
}

#[async_trait]
impl WorkReads for MemoryStore {
    async fn workers(&self) -> Stored<Vec<Worker>> {
        Ok(self.state().workers.values().cloned().collect())
    }

    async fn slot(&self, id: &SlotId) -> Stored<Option<Slot>> {
        Ok(self.state().slots.get(id).cloned())
    }

    async fn free_slots(&self, from: Timestamp, until: Timestamp, limit: u64) -> Stored<Vec<Slot>> {
        let state = self.state();
        let free = state.slots.values().filter(|s| s.held < s.capacity && from <= s.span.from && s.span.from < until);
        Ok(window(free, first(limit), |s| (s.span.from, s.id.clone())).items)
    }

    async fn appointment(&self, id: &AppointmentId) -> Stored<Option<Appointment>> {
        Ok(self.state().appointments.get(id).cloned())
    }

    async fn slots(&self, worker: Option<&WorkerId>, inside: Interval, limit: u64) -> Stored<Vec<Slot>> {
        let state = self.state();
        let found =
            state.slots.values().filter(|s| inside.contains(s.span.from) && worker.is_none_or(|w| s.worker == *w));
        Ok(window(found, first(limit), |s| (s.span.from, s.id.clone())).items)
    }

    async fn slot_search(&self, id: &str) -> Stored<Option<SlotSearchRecord>> {
        Ok(self.state().slot_searches.get(id).cloned())
    }

    async fn slot_searches(&self, page: Page) -> Stored<Paged<SlotSearchRecord>> {
        Ok(window(self.state().slot_searches.values(), page, |s| Reverse((s.created, s.id.clone()))))
    }

    async fn appointments(&self, filter: &AppointmentFilter, page: Page) -> Stored<Paged<Appointment>> {
        let state = self.state();
        let found = state.appointments.values().filter(|a| {
            !a.deleted
                && filter.order.as_ref().is_none_or(|o| a.order == *o)
                && filter.customer.as_ref().is_none_or(|c| a.customer == *c)
                && filter.worker.as_ref().is_none_or(|w| a.worker.as_ref() == Some(w))
                && filter.state.is_none_or(|s| a.state == s)
        });
        Ok(window(found, page, |a| Reverse((a.created, a.id.clone()))))
    }

    async fn call(&self, id: &CallId) -> Stored<Option<Call>> {
        Ok(self.state().calls.get(id).cloned())
    }

    async fn calls(&self, state: Option<CallState>, until: Timestamp, page: Page) -> Stored<Paged<Call>> {
        let tables = self.state();
        let found = tables.calls.values().filter(|c| c.next_attempt <= until && state.is_none_or(|s| c.state == s));
        Ok(window(found, page, |c| (c.next_attempt, c.id.clone())))
    }

    async fn work_order(&self, id: &WorkOrderId) -> Stored<Option<WorkOrder>> {
        Ok(self.state().work_orders.get(id).cloned())
    }

    async fn work_orders(&self, filter: &WorkFilter, page: Page) -> Stored<Paged<WorkOrder>> {
        let tables = self.state();
        let found = tables.work_orders.values().filter(|w| {
            filter.worker.as_ref().is_none_or(|x| w.worker == *x)
                && filter.state.is_none_or(|x| w.state == x)
                && filter.order.as_ref().is_none_or(|x| w.order == *x)
                && filter.planned.is_none_or(|x| x.contains(w.planned.from))
        });
        Ok(window(found, page, |w| (w.planned.from, w.id.clone())))
    }
}

#[async_trait]
impl OutboxReads for MemoryStore {
    async fn happenings_after(&self, sequence: u64, limit: u64) -> Stored<Vec<StreamedHappening>> {
        let state = self.state();
        let later = state.happenings.range(sequence.saturating_add(1)..).take(count(limit));
        Ok(later.map(|(sequence, happening)| streamed(*sequence, happening)).collect())
    }

    async fn happenings_of_order(&self, order: &OrderId) -> Stored<Vec<StreamedHappening>> {
        let state = self.state();
        let own = state.happenings.iter().filter(|(_, h)| h.order.as_ref() == Some(order));
        Ok(own.map(|(sequence, happening)| streamed(*sequence, happening)).collect())
    }

    async fn fan_out_cursor(&self) -> Stored<u64> {
        Ok(self.state().cursors.get(&Cursor::FanOut).copied().unwrap_or(0))
    }

    async fn due_messages(&self, now: Timestamp, limit: u64) -> Stored<Vec<OutboxEntry>> {
        let state = self.state();
        let mut seen = BTreeSet::new();
        let mut due = Vec::new();
        for (sequence, entry) in &state.outbox {
            let DeliveryState::Pending { next_attempt, .. } = &entry.delivery else { continue };
            let is_oldest = seen.insert((entry.message.stream.as_str(), format!("{:?}", entry.message.to)));
            if is_oldest && *next_attempt <= now {
                due.push((*next_attempt, *sequence, entry));
            }
        }
        due.sort_by_key(|(next_attempt, sequence, _)| (*next_attempt, *sequence));
        Ok(due.into_iter().take(count(limit)).map(|(_, _, entry)| entry.clone()).collect())
    }

    async fn message(&self, id: &MessageId) -> Stored<Option<OutboxEntry>> {
        Ok(self.state().outbox.values().find(|e| e.message.id == *id).cloned())
    }

    async fn messages(&self, channel: Option<&str>, state: Option<&str>, page: Page) -> Stored<Paged<OutboxEntry>> {
        let tables = self.state();
        let found = tables.outbox.iter().filter(|(_, e)| {
            channel.is_none_or(|c| e.message.to.channel() == c) && state.is_none_or(|s| e.delivery.as_str() == s)
        });
        let found: Vec<_> = found.map(|(sequence, entry)| (sequence, entry.clone())).collect();
        let paged = window(found.iter(), page, |(sequence, _)| Reverse(*sequence));
        Ok(Paged { items: paged.items.into_iter().map(|(_, entry)| entry).collect(), total: paged.total })
    }

    async fn listeners(&self) -> Stored<Vec<Listener>> {
        Ok(self.state().listeners.values().cloned().collect())
    }
}

#[async_trait]
impl BillingReads for MemoryStore {
    async fn drain_cursors(&self) -> Stored<BTreeMap<LogNo, u64>> {
        let state = self.state();
        let of_logs = state.cursors.iter().filter_map(|(cursor, position)| match cursor {
            Cursor::Drain(log) => Some((*log, *position)),
            Cursor::FanOut => None,
        });
        Ok(of_logs.collect())
    }

    async fn usage(&self, filter: &UsageFilter, page: Page) -> Stored<Paged<StoredUsage>> {
        let state = self.state();
        let found: Vec<_> = state.usage.iter().rev().filter(|(_, record)| usage_matches(filter, record)).collect();
        let total = size(found.len());
        let items = found.into_iter().skip(count(page.offset)).take(count(page.limit)).map(stored_usage).collect();
        Ok(Paged { items, total })
    }

    async fn usage_after(&self, filter: &UsageFilter, after: u64, limit: u64) -> Stored<Vec<StoredUsage>> {
        let state = self.state();
        let later = state.usage.range(after.saturating_add(1)..).filter(|(_, record)| usage_matches(filter, record));
        Ok(later.take(count(limit)).map(stored_usage).collect())
    }

    async fn usage_at(&self, sequence: u64) -> Stored<Option<StoredUsage>> {
        Ok(self.state().usage.get_key_value(&sequence).map(stored_usage))
    }

    async fn suspense_case(&self, key: &str, rating_group: u32) -> Stored<Option<SuspenseCase>> {
        let state = self.state();
        let sequence = state.suspense.get(&(key.to_owned(), rating_group));
        let Some(record) = sequence.and_then(|s| state.usage.get(s)).cloned() else { return Ok(None) };
        let log = state.suspense_log.values().filter(|n| n.rating_group == rating_group && n.key == record.key);
        let history = log.map(|n| (n.at, n.by.clone(), n.verb.as_str().to_owned(), n.note.clone())).collect();
        Ok(Some(SuspenseCase { record, history }))
    }

    async fn recycled(&self, counted: &[StoredUsage]) -> Stored<Vec<StoredUsage>> {
        let state = self.state();
        let case = |record: &StoredUsage| state.suspense.get(&(record.key.to_string(), record.rating_group));
        let cases: BTreeSet<_> = counted.iter().filter_map(case).collect();
        let found = cases.into_iter().filter_map(|sequence| state.usage.get_key_value(sequence)).map(stored_usage);
        Ok(found.filter(|record| matches!(record.outcome, UsageOutcome::Recycled(_))).collect())
    }

    async fn suspense_ages(&self) -> Stored<Vec<SuspenseAge>> {
        let state = self.state();
        let of = |reason| state.usage.values().filter(move |r| r.outcome == UsageOutcome::Suspense(reason));
        let ages = SuspenseReason::ALL.into_iter().filter_map(|reason| {
            let oldest = of(reason).next()?.received;
            Some(SuspenseAge { reason, records: size(of(reason).count()), oldest })
        });
        Ok(ages.collect())
    }

    async fn usage_totals(&self, cycle: CycleId, from: &AccountId, to: &AccountId) -> Stored<Vec<UsageTotal>> {
        let state = self.state();
        let within =
            state.totals.iter().filter(|((c, account, ..), _)| *c == cycle && from <= account && account <= to);
        Ok(within
            .map(|((_, account, line, plan, late_for), total)| UsageTotal {
                account: account.clone(),
                line: line.clone(),
                plan: plan.clone(),
                late_for: *late_for,
                octets: u64::try_from(total.octets).unwrap_or(0),
                amount: total.amount,
                records: total.records,
            })
            .collect())
    }

    async fn invoice(&self, id: &InvoiceId) -> Stored<Option<Invoice>> {
        Ok(self.state().invoices.get(id).map(|(invoice, _)| invoice.clone()))
    }

    async fn invoices(
        &self,
        cycle: Option<CycleId>,
        customer: Option<&CustomerId>,
        page: Page,
    ) -> Stored<Paged<Invoice>> {
        let state = self.state();
        let found = state.invoices.values().map(|(invoice, _)| invoice);
        let found = found.filter(|i| cycle.is_none_or(|c| i.cycle == c) && customer.is_none_or(|c| i.customer == *c));
        Ok(window(found, page, |i| i.number.clone()))
    }

    async fn ledger_totals(&self, cycle: CycleId) -> Stored<Vec<Posting>> {
        let mut sums: BTreeMap<(LedgerSide, Unit), i64> = BTreeMap::new();
        for (_, postings) in self.state().invoices.values().filter(|(invoice, _)| invoice.cycle == cycle) {
            for posting in postings {
                let sum = sums.entry((posting.side, posting.unit)).or_default();
                *sum = sum.saturating_add(posting.amount);
            }
        }
        Ok(sums.into_iter().map(|((side, unit), amount)| Posting { side, unit, amount }).collect())
    }

    async fn settlement(&self, cycle: CycleId) -> Stored<Option<Settlement>> {
        Ok(self.state().settlements.get(&cycle).cloned())
    }

    async fn close_run(&self, cycle: CycleId) -> Stored<Option<CloseRun>> {
        Ok(self.state().close_runs.get(&cycle).cloned())
    }

    async fn newest_closed(&self) -> Stored<Option<CycleId>> {
        let state = self.state();
        let closed = state.close_runs.values().filter(|run| run.state != CloseState::Closing);
        Ok(closed.map(|run| run.cycle).max())
    }

    async fn meta(&self, key: &str) -> Stored<Option<String>> {
        Ok(self.state().meta.get(key).cloned())
    }
}

impl MemoryStore {
    fn newest_living(&self, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        let state = self.state();
        let living = state.lines.values().filter(|l| l.actual != LineState::Terminated && wanted(l));
        living.max_by_key(|l| (l.created, &l.id)).cloned()
    }
}

fn order_matches(filter: &OrderFilter, order: &Order) -> bool {
    filter.state.is_none_or(|s| order.state == s)
        && filter.customer.as_ref().is_none_or(|c| order.customer == *c)
        && filter.external_id.as_ref().is_none_or(|e| order.external_id.as_ref() == Some(e))
        && filter.line.as_ref().is_none_or(|l| order.items.iter().any(|i| i.line == *l))
}

fn line_matches(filter: &LineFilter, line: &Line) -> bool {
    let profile = &line.profile;
    filter.state.is_none_or(|s| line.actual == s)
        && filter.customer.as_ref().is_none_or(|c| line.customer == *c)
        && filter.account.as_ref().is_none_or(|a| line.account == *a)
        && filter.imsi.as_ref().is_none_or(|i| profile.imsi.as_ref() == Some(i))
        && filter.msisdn.as_ref().is_none_or(|m| profile.msisdn.as_ref() == Some(m))
        && filter.device.as_ref().is_none_or(|d| profile.device.as_ref() == Some(d))
}

fn usage_matches(filter: &UsageFilter, record: &UsageRecord) -> bool {
    let is = |wanted: &str| match record.outcome {
        UsageOutcome::Suspense(_) if wanted == "suspense" => true,
        UsageOutcome::Suspense(_) | UsageOutcome::Dropped(_) if wanted == "rejected" => true,
        outcome => outcome.as_str() == wanted,
    };
    filter.line.as_ref().is_none_or(|l| record.line.as_ref() == Some(l))
        && filter.account.as_ref().is_none_or(|a| record.account.as_ref() == Some(a))
        && filter.cycle.is_none_or(|c| record.cycle == Some(c))
        && filter.source.is_none_or(|s| record.key.source() == s)
        && filter.subscriber.as_ref().is_none_or(|s| record.subscriber.as_ref() == Some(s))
        && filter.outcome.as_ref().is_none_or(|o| is(o))
}

fn is_active(saga: &SagaRecord) -> bool {
    !saga.phase.is_final() && !matches!(saga.phase, Phase::Stuck { .. })
}

fn streamed(sequence: u64, happening: &crate::domain::notification::Happening) -> StreamedHappening {
    StreamedHappening { sequence, id: StreamedHappening::id_of(sequence), happening: happening.clone() }
}

fn window<'a, T: Clone + 'a, K: Ord>(
    found: impl Iterator<Item = &'a T>,
    page: Page,
    key: impl Fn(&T) -> K,
) -> Paged<T> {
    let mut found: Vec<&T> = found.collect();
    found.sort_by_cached_key(|item| key(item));
    let total = size(found.len());
    let items = found.into_iter().skip(count(page.offset)).take(count(page.limit)).cloned().collect();
    Paged { items, total }
}

fn first(limit: u64) -> Page {
    Page { offset: 0, limit }
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

fn size(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn stored_usage((sequence, record): (&u64, &UsageRecord)) -> StoredUsage {
    StoredUsage { sequence: *sequence, record: record.clone() }
}
