//! Values to store, with what a test cares about as arguments.

use linegate::domain::billing::{Charge, ChargeKind, Invoice};
use linegate::domain::cycle::CycleId;
use linegate::domain::fieldwork::{WorkOrder, WorkOrderState};
use linegate::domain::ids::LineId;
use linegate::domain::ledger::{LedgerSide, Posting, Unit};
use linegate::domain::line::{Access, Line, LineState, Profile};
use linegate::domain::money::Currency;
use linegate::domain::notification::{Body, Happening, Message, Recipient};
use linegate::domain::ordering::{Milestone, Order, OrderItem, OrderKind, OrderState};
use linegate::domain::scheduling::{Appointment, AppointmentState, Call, CallState, Slot};
use linegate::domain::time::{Interval, Timestamp};
use linegate::domain::usage::{RecordKey, UsageOutcome, UsageRecord};
use linegate::saga::record::{Phase, SagaRecord, StepSpec};
use serde_json::json;

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn span(from: i64, until: i64) -> Interval {
    Interval { from: at(from), until: at(until) }
}

pub(crate) fn october() -> CycleId {
    CycleId { year: 2026, month: 10 }
}

pub(crate) fn profile() -> Profile {
    Profile {
        access: Access::Cellular,
        imsi: None,
        msisdn: None,
        device: None,
        apns: vec!["iot.example".into()],
        plan: "iot-payg".into(),
        source: None,
        address: None,
        email: Some("a@example.com".to_owned()),
        phone: None,
    }
}

pub(crate) fn order(id: &str, line: &str, created: i64) -> Order {
    Order {
        id: id.into(),
        external_id: Some(format!("ext-{id}")),
        customer: "c-1".into(),
        items: vec![OrderItem {
            id: "1".to_owned(),
            kind: OrderKind::Activate,
            line: line.into(),
            profile: profile(),
            reconnects: None,
            state: OrderState::Acknowledged,
            code: None,
            service: json!({"serviceSpecification": {"id": "cellular"}, "한글": [1, null]}),
            action: "add".to_owned(),
        }],
        state: OrderState::Acknowledged,
        priority: 4,
        requested_start: None,
        cancellation_reason: None,
        notes: Vec::new(),
        milestones: vec![Milestone { at: at(created), name: "acknowledged".to_owned(), message: String::new() }],
        created: at(created),
        started: None,
        completed: None,
        extra: serde_json::Map::new(),
        version: 0,
    }
}

pub(crate) fn line(id: &str, account: &str, created: i64) -> Line {
    Line {
        id: id.into(),
        customer: "c-1".into(),
        account: account.into(),
        profile: profile(),
        intended: LineState::Active,
        actual: LineState::Active,
        element: None,
        desired_version: 0,
        last_order: None,
        queue: Vec::new(),
        reconnects: None,
        periods: Vec::new(),
        plans: Vec::new(),
        created: at(created),
        version: 0,
    }
}

pub(crate) fn saga(id: &str, priority: u8, wake: i64, created: i64) -> SagaRecord {
    SagaRecord {
        id: id.into(),
        steps: vec![StepSpec { name: "provision".to_owned(), input: json!({"line": "l-1"}) }],
        phase: Phase::Forward { step: 0 },
        data: serde_json::Map::new(),
        wake_at: at(wake),
        waiting_for: None,
        attempts: 0,
        priority,
        cancel: None,
        created: at(created),
        version: 0,
    }
}

pub(crate) fn slot(id: &str, from: i64, capacity: u32) -> Slot {
    Slot { id: id.into(), worker: "w-1".into(), span: span(from, from + 3600), capacity, held: 0 }
}

pub(crate) fn appointment(id: &str, order: &str, created: i64) -> Appointment {
    Appointment {
        id: id.into(),
        order: order.into(),
        customer: "c-1".into(),
        phone: None,
        address: "1 Example Street".to_owned(),
        skills: vec!["internet".to_owned()],
        state: AppointmentState::Wanted,
        slot: None,
        worker: None,
        span: None,
        created: at(created),
        external: None,
        round: 0,
        wanted_since: None,
        deleted: false,
        version: 0,
    }
}

pub(crate) fn call(id: &str, state: CallState, next_attempt: i64) -> Call {
    Call {
        id: id.into(),
        appointment: "a-1".into(),
        order: "o-1".into(),
        phone: None,
        address: String::new(),
        state,
        attempts: Vec::new(),
        next_attempt: at(next_attempt),
        version: 0,
    }
}

pub(crate) fn work_order(id: &str, worker: &str, order: &str, planned: i64) -> WorkOrder {
    WorkOrder {
        id: id.into(),
        order: order.into(),
        appointment: "a-1".into(),
        lines: vec!["l-1".into()],
        items: vec![],
        customer: "c-1".into(),
        address: "1 Example Street".to_owned(),
        phone: None,
        worker: worker.into(),
        planned: span(planned, planned + 3600),
        state: WorkOrderState::Acknowledged,
        result: None,
        return_reason: None,
        return_note: None,
        started: None,
        ended: None,
        version: 0,
    }
}

pub(crate) fn happening(order: Option<&str>, at_secs: i64) -> Happening {
    Happening {
        event_type: "ServiceOrderStateChangeEvent".to_owned(),
        at: at(at_secs),
        order: order.map(Into::into),
        line: None,
        customer: None,
        event: json!({"n": at_secs}),
    }
}

pub(crate) fn sms(id: &str, stream: &str, phone: &str, created: i64) -> Message {
    Message {
        id: id.into(),
        stream: stream.to_owned(),
        once_key: None,
        to: Recipient::Sms { phone: phone.to_owned() },
        body: Body::Text { text: format!("text of {id}") },
        created: at(created),
    }
}

pub(crate) fn usage(key: &str, account: &str, octets: u64, amount: i64) -> UsageRecord {
    let octets_signed = i64::try_from(octets).unwrap();
    UsageRecord {
        key: RecordKey::File(key.to_owned()),
        rating_group: 0,
        outcome: UsageOutcome::Rated,
        line: Some(LineId::new(format!("l-{account}"))),
        account: Some(account.into()),
        cycle: Some(october()),
        late_for: None,
        plan: Some("iot-payg".into()),
        tariff_version: 1,
        apn: Some("iot.example".into()),
        subscriber: None,
        starts: at(10),
        ends: at(20),
        received: at(30),
        octets,
        amount,
        postings: vec![
            Posting { side: LedgerSide::Network, unit: Unit::Octets, amount: -octets_signed },
            Posting { side: LedgerSide::Charged, unit: Unit::Octets, amount: octets_signed },
        ],
        crossed: Vec::new(),
        told: None,
        detail: None,
    }
}

pub(crate) fn invoice(account: &str, cycle: CycleId, net: i64) -> (Invoice, Vec<Posting>) {
    let tax = net / 10;
    let invoice = Invoice {
        id: format!("inv-{account}-{cycle}").into(),
        number: None,
        account: account.into(),
        customer: format!("c-{account}").into(),
        email: None,
        cycle,
        span: span(0, 100),
        currency: Currency::KRW,
        charges: vec![Charge {
            line: "l-1".into(),
            plan: "iot-payg".into(),
            product: "iot".to_owned(),
            department: "iot-business".to_owned(),
            kind: ChargeKind::Recurring,
            description: "monthly fee".to_owned(),
            span: span(0, 100),
            quantity: 31,
            amount: net,
            late_for: None,
        }],
        net,
        tax_percent: 10,
        tax,
        gross: net + tax,
        issued: at(200),
    };
    let minor = |side, amount| Posting { side, unit: Unit::Minor, amount };
    let postings =
        vec![minor(LedgerSide::Receivable, net + tax), minor(LedgerSide::Revenue, -net), minor(LedgerSide::Tax, -tax)];
    (invoice, postings)
}
