//! Orders, sagas, lines, devices, scheduling, field work.
//!
//! An aggregate's statement inserts when the version it was loaded with (`$2`)
//! is 0 or the row is there, and turns into an update that holds only while the
//! stored version is `$2`. No row changed means that somebody was there first.

use super::{Applied, Apply};
use crate::adapters::columns::{call_state, json, listed_state, signed};
use crate::adapters::sqlite::row::statement;
use crate::domain::device::Device;
use crate::domain::fieldwork::WorkOrder;
use crate::domain::ids::{LineId, SlotId};
use crate::domain::line::{Line, SessionState};
use crate::domain::ordering::Order;
use crate::domain::scheduling::{Appointment, Call, Slot, SlotSearchRecord, Worker};
use crate::domain::time::Timestamp;
use crate::ports::relational::{CloseRun, IdempotencyRecord};
use crate::saga::record::{Phase, SagaEvent, SagaRecord};

impl Apply<'_> {
    pub(super) async fn order(&mut self, mut order: Order) -> Applied {
        let expected = order.version;
        order.version += 1;
        let upsert = statement(
            "INSERT INTO orders (id, version, body, state, customer, external_id, created)
             SELECT $1, $2 + 1, $3, $4, $5, $6, $7 WHERE $2 = 0 OR EXISTS (SELECT 1 FROM orders WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body, state = excluded.state,
                 customer = excluded.customer, external_id = excluded.external_id, created = excluded.created
             WHERE orders.version = $2",
        )
        .bind(order.id.as_str())
        .bind(signed(expected))
        .bind(json(&order)?)
        .bind(order.state.as_str())
        .bind(order.customer.as_str())
        .bind(order.external_id.as_deref())
        .bind(order.created.millis());
        self.guarded(upsert, "order", order.id.as_str()).await?;
        for item in &order.items {
            let touches = statement("INSERT INTO order_lines (line, order_id) VALUES ($1, $2) ON CONFLICT DO NOTHING");
            self.run(touches.bind(item.line.as_str()).bind(order.id.as_str())).await?;
        }
        Ok(())
    }

    pub(super) async fn idempotency(&mut self, record: &IdempotencyRecord) -> Applied {
        let insert = statement(
            "INSERT INTO idempotency (key, fingerprint, order_id, response, created) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(record.key.as_str())
        .bind(record.fingerprint.as_str())
        .bind(record.order.as_str())
        .bind(json(&record.response)?)
        .bind(record.created.millis());
        self.guarded(insert, "idempotency key", &record.key).await
    }

    pub(super) async fn saga(&mut self, mut saga: SagaRecord, events: &[SagaEvent]) -> Applied {
        let expected = saga.version;
        saga.version += 1;
        let is_active = !saga.phase.is_final() && !matches!(saga.phase, Phase::Stuck { .. });
        let upsert = statement(
            "INSERT INTO sagas (id, version, body, phase, active, priority, wake_at, created)
             SELECT $1, $2 + 1, $3, $4, $5, $6, $7, $8 WHERE $2 = 0 OR EXISTS (SELECT 1 FROM sagas WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body, phase = excluded.phase,
                 active = excluded.active, priority = excluded.priority, wake_at = excluded.wake_at,
                 created = excluded.created
             WHERE sagas.version = $2",
        )
        .bind(saga.id.as_str())
        .bind(signed(expected))
        .bind(json(&saga)?)
        .bind(saga.phase.as_str())
        .bind(is_active)
        .bind(saga.priority)
        .bind(saga.wake_at.millis())
        .bind(saga.created.millis());
        self.guarded(upsert, "saga", saga.id.as_str()).await?;
        for event in events {
            let append = statement(
                "INSERT INTO saga_log (saga, place, body)
                 VALUES ($1, COALESCE((SELECT MAX(place) + 1 FROM saga_log WHERE saga = $1), 0), $2)",
            );
            self.run(append.bind(saga.id.as_str()).bind(json(event)?)).await?;
        }
        Ok(())
    }

    pub(super) async fn line(&mut self, mut line: Line) -> Applied {
        let expected = line.version;
        line.version += 1;
        let upsert = statement(
            "INSERT INTO lines (id, version, body, state, customer, account, imsi, msisdn, device, created)
             SELECT $1, $2 + 1, $3, $4, $5, $6, $7, $8, $9, $10
             WHERE $2 = 0 OR EXISTS (SELECT 1 FROM lines WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body, state = excluded.state,
                 customer = excluded.customer, account = excluded.account, imsi = excluded.imsi,
                 msisdn = excluded.msisdn, device = excluded.device, created = excluded.created
             WHERE lines.version = $2",
        )
        .bind(line.id.as_str())
        .bind(signed(expected))
        .bind(json(&line)?)
        .bind(line.actual.as_str())
        .bind(line.customer.as_str())
        .bind(line.account.as_str())
        .bind(line.profile.imsi.as_deref())
        .bind(line.profile.msisdn.as_deref())
        .bind(line.profile.device.as_ref().map(|d| d.as_str()))
        .bind(line.created.millis());
        self.guarded(upsert, "line", line.id.as_str()).await
    }

    pub(super) async fn device(&mut self, mut device: Device) -> Applied {
        let expected = device.version;
        device.version += 1;
        let upsert = statement(
            "INSERT INTO devices (id, version, body, certificate_name)
             SELECT $1, $2 + 1, $3, $4 WHERE $2 = 0 OR EXISTS (SELECT 1 FROM devices WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body,
                 certificate_name = excluded.certificate_name
             WHERE devices.version = $2",
        )
        .bind(device.id.as_str())
        .bind(signed(expected))
        .bind(json(&device)?)
        .bind(device.certificate_name.as_ref().map(|n| n.as_str()));
        self.guarded(upsert, "device", device.id.as_str()).await
    }

    /// Thousands of modems that come at once are one statement: each is a trip to
    /// another thread.
    pub(super) async fn sessions(&mut self, sessions: &[(LineId, SessionState)]) -> Applied {
        let upsert = statement(
            "INSERT INTO line_sessions (line, body)
             SELECT value ->> 0, value -> 1 FROM json_each($1) WHERE true
             ON CONFLICT (line) DO UPDATE SET body = excluded.body",
        );
        self.run(upsert.bind(json(sessions)?)).await
    }

    pub(super) async fn appointment(&mut self, mut appointment: Appointment) -> Applied {
        let expected = appointment.version;
        appointment.version += 1;
        let upsert = statement(
            "INSERT INTO appointments (id, version, body, order_id, created, state, customer, worker)
             SELECT $1, $2 + 1, $3, $4, $5, $6, $7, $8
             WHERE $2 = 0 OR EXISTS (SELECT 1 FROM appointments WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body,
                 order_id = excluded.order_id, created = excluded.created, state = excluded.state,
                 customer = excluded.customer, worker = excluded.worker
             WHERE appointments.version = $2",
        )
        .bind(appointment.id.as_str())
        .bind(signed(expected))
        .bind(json(&appointment)?)
        .bind(appointment.order.as_str())
        .bind(appointment.created.millis())
        .bind(listed_state(&appointment))
        .bind(appointment.customer.as_str())
        .bind(appointment.worker.as_ref().map(|w| w.as_str()));
        self.guarded(upsert, "appointment", appointment.id.as_str()).await
    }

    pub(super) async fn call(&mut self, mut call: Call) -> Applied {
        let expected = call.version;
        call.version += 1;
        let upsert = statement(
            "INSERT INTO calls (id, version, body, state, next_attempt)
             SELECT $1, $2 + 1, $3, $4, $5 WHERE $2 = 0 OR EXISTS (SELECT 1 FROM calls WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body, state = excluded.state,
                 next_attempt = excluded.next_attempt
             WHERE calls.version = $2",
        )
        .bind(call.id.as_str())
        .bind(signed(expected))
        .bind(json(&call)?)
        .bind(call_state(call.state))
        .bind(call.next_attempt.millis());
        self.guarded(upsert, "call", call.id.as_str()).await
    }

    pub(super) async fn work_order(&mut self, mut work_order: WorkOrder) -> Applied {
        let expected = work_order.version;
        work_order.version += 1;
        let upsert = statement(
            "INSERT INTO work_orders (id, version, body, worker, state, order_id, planned)
             SELECT $1, $2 + 1, $3, $4, $5, $6, $7 WHERE $2 = 0 OR EXISTS (SELECT 1 FROM work_orders WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body, worker = excluded.worker,
                 state = excluded.state, order_id = excluded.order_id, planned = excluded.planned
             WHERE work_orders.version = $2",
        )
        .bind(work_order.id.as_str())
        .bind(signed(expected))
        .bind(json(&work_order)?)
        .bind(work_order.worker.as_str())
        .bind(work_order.state.tmf())
        .bind(work_order.order.as_str())
        .bind(work_order.planned.from.millis());
        self.guarded(upsert, "work order", work_order.id.as_str()).await
    }

    pub(super) async fn close_run(&mut self, mut run: CloseRun) -> Applied {
        let expected = run.version;
        run.version += 1;
        let cycle = run.cycle.to_string();
        let upsert = statement(
            "INSERT INTO close_runs (id, version, body)
             SELECT $1, $2 + 1, $3 WHERE $2 = 0 OR EXISTS (SELECT 1 FROM close_runs WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body
             WHERE close_runs.version = $2",
        )
        .bind(cycle.as_str())
        .bind(signed(expected))
        .bind(json(&run)?);
        self.guarded(upsert, "close run", &cycle).await
    }

    pub(super) async fn worker(&mut self, worker: &Worker) -> Applied {
        let upsert = statement(
            "INSERT INTO workers (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        );
        self.run(upsert.bind(worker.id.as_str()).bind(json(worker)?)).await
    }

    pub(super) async fn slot(&mut self, slot: &Slot) -> Applied {
        let upsert = statement(
            "INSERT INTO slots (id, worker, starts, ends, capacity, held) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE SET worker = excluded.worker, starts = excluded.starts, ends = excluded.ends,
                 capacity = excluded.capacity",
        )
        .bind(slot.id.as_str())
        .bind(slot.worker.as_str())
        .bind(slot.span.from.millis())
        .bind(slot.span.until.millis())
        .bind(slot.capacity)
        .bind(slot.held);
        self.run(upsert).await
    }

    pub(super) async fn hold_slot(&mut self, id: &SlotId) -> Applied {
        let hold = statement("UPDATE slots SET held = held + 1 WHERE id = $1 AND held < capacity");
        self.guarded(hold.bind(id.as_str()), "slot", id.as_str()).await
    }

    pub(super) async fn release_slot(&mut self, id: &SlotId) -> Applied {
        let release = statement("UPDATE slots SET held = held - 1 WHERE id = $1 AND held > 0");
        self.run(release.bind(id.as_str())).await
    }

    pub(super) async fn slot_search(&mut self, search: &SlotSearchRecord) -> Applied {
        let upsert = statement(
            "INSERT INTO slot_searches (id, body, created) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        );
        self.run(upsert.bind(search.id.as_str()).bind(json(search)?).bind(search.created.millis())).await
    }

    pub(super) async fn remove_slot_search(&mut self, id: &str) -> Applied {
        self.run(statement("DELETE FROM slot_searches WHERE id = $1").bind(id)).await
    }

    pub(super) async fn forget_slot_searches(&mut self, before: Timestamp) -> Applied {
        self.run(statement("DELETE FROM slot_searches WHERE created < $1").bind(before.millis())).await
    }
}
