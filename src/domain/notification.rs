//! What is told to the outside, and in which words.
//!
//! Owns events, their recipients and the texts of SMS. Does **not** own
//! delivery (the outbox service does).
//!
//! Invariants: a message's id is stable across retries; one SMS for an order,
//! state and template; messages of one line leave in order.

use serde::{Deserialize, Serialize};

use super::ids::{CustomerId, InvoiceId, LineId, ListenerId, MessageId, OrderId};
use super::ordering::OrderState;
use super::time::Timestamp;
use super::usage::UsageRecord;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "channel")]
pub enum Recipient {
    /// A `/hub` listener.
    Webhook {
        /// Its registration.
        listener: ListenerId,
    },
    /// A telephone number.
    Sms {
        /// E.164 without `+`.
        phone: String,
    },
    /// A mailbox.
    Mail {
        /// The address.
        address: String,
    },
}

impl Recipient {
    /// For metrics and filters.
    pub const fn channel(&self) -> &'static str {
        match self {
            Recipient::Webhook { .. } => "webhook",
            Recipient::Sms { .. } => "sms",
            Recipient::Mail { .. } => "mail",
        }
    }
}

/// What a message carries; rendered when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Body {
    /// A TMF688-shaped event, complete.
    Event {
        /// TM Forum event type, such as `ServiceOrderStateChangeEvent`.
        event_type: String,
        /// The `event` member.
        event: serde_json::Value,
        /// The same for every listener of one happening.
        #[serde(default)]
        event_id: String,
        /// The order behind it, where there is one.
        #[serde(default)]
        correlation: Option<String>,
    },
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// An invoice as PDF.
    Invoice {
        /// Which.
        invoice: InvoiceId,
    },
    /// The month's settlement for one business department, as JSON and CSV.
    Settlement {
        /// The cycle.
        cycle: super::cycle::CycleId,
        /// The department.
        department: String,
    },
}

/// One message of the outbox, not yet rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Stable across retries; the webhook's and the mail's id too.
    pub id: MessageId,
    /// What it must stay in order with: the line, else the order, else itself.
    pub stream: String,
    /// Two messages with the same key are one: `sms/<order>/<state>/<template>`.
    pub once_key: Option<String>,
    /// Where to.
    pub to: Recipient,
    /// What.
    pub body: Body,
    /// When it was written.
    pub created: Timestamp,
}

/// Something that happened, before it is addressed to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// TM Forum event type.
    pub event_type: String,
    /// When.
    pub at: Timestamp,
    /// The order, where one is behind it.
    pub order: Option<OrderId>,
    /// The line, where one is behind it.
    pub line: Option<LineId>,
    /// The customer, where one is behind it.
    pub customer: Option<CustomerId>,
    /// The `event` member, such as `{"serviceOrder": {…}}`.
    pub event: serde_json::Value,
}

/// The event type of [`threshold_happenings`].
pub const USAGE_THRESHOLD: &str = "UsageThresholdEvent";

/// A `UsageThresholdEvent` for each threshold that the usage was the first to reach
/// in its cycle. What is to be done is in it: a suspension is ordered by the gateway
/// itself, anything else is done by whoever listens.
pub fn threshold_happenings(record: &UsageRecord) -> impl Iterator<Item = Happening> {
    record.crossed.iter().map(|crossing| Happening {
        event_type: USAGE_THRESHOLD.to_owned(),
        at: record.received,
        order: None,
        line: record.line.clone(),
        customer: None,
        event: serde_json::json!({ "usageThreshold": {
            "threshold": crossing.threshold,
            "action": crossing.action.as_str(),
            "line": record.line,
            "account": record.account,
            "plan": record.plan,
            "cycle": record.cycle,
            "tariffVersion": record.tariff_version,
            "record": record.key.to_string(),
        } }),
    })
}

/// Language of texts for customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Korean.
    #[default]
    Ko,
    /// English.
    En,
}

/// The name of the template that a message of an order's state uses; part of
/// the once-key, so that a new wording does not send old states again.
pub const ORDER_SMS_TEMPLATE: &str = "order-state";

/// The SMS about an order's state: one row for each TMF641 state, Korean and English.
pub fn order_sms(state: OrderState, number: &str, language: Language) -> String {
    let (ko, en) = match state {
        OrderState::Acknowledged => ("접수되었습니다", "has been received"),
        OrderState::Rejected => ("접수할 수 없습니다", "cannot be accepted"),
        OrderState::Pending => ("대기 중입니다", "is waiting"),
        OrderState::Held => ("확인이 필요하여 보류되었습니다", "is on hold while we check it"),
        OrderState::InProgress => ("처리 중입니다", "is in progress"),
        OrderState::Cancelled => ("취소되었습니다", "has been cancelled"),
        OrderState::Completed => ("완료되었습니다", "is complete"),
        OrderState::Failed => ("처리하지 못했습니다", "could not be carried out"),
        OrderState::Partial => ("일부만 완료되었습니다", "is partly complete"),
        OrderState::AssessingCancellation => ("취소 가능 여부를 확인 중입니다", "is being checked for cancellation"),
        OrderState::PendingCancellation => ("취소 처리 중입니다", "is being cancelled"),
    };
    match language {
        Language::Ko => format!("[Linegate] 주문 {number} {ko}."),
        Language::En => format!("[Linegate] Order {number} {en}."),
    }
}

/// A telephone number as SMS gateways take it: E.164 digits without `+`;
/// `None` when there are none.
pub fn sms_number(phone: &str) -> Option<String> {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}
