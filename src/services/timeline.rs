//! The state of an order as a customer reads it: what was reached and when, and what
//! it waits for, in Korean and English.

use serde_json::{Value, json};

use crate::domain::ordering::{Order, OrderState};
use crate::saga::SagaRecord;
use crate::services::activation::SCHEDULER;

/// A text in both languages.
type Text = (&'static str, &'static str);

/// What an order waits for; the code is for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    code: &'static str,
    text: Text,
}

/// The timeline of an order. Names of elements, causes and people stay inside.
pub fn timeline(order: &Order, saga: Option<&SagaRecord>) -> Value {
    let milestones = order.milestones.iter().map(|m| {
        let (ko, en) = milestone(&m.name);
        json!({ "name": m.name, "at": m.at.to_string(), "text": { "ko": ko, "en": en } })
    });
    let (ko, en) = state(order.state);
    let waits_for = waiting(order.state, saga.and_then(|s| s.waiting_for.as_deref()))
        .map(|Waiting { code, text: (ko, en) }| json!({ "code": code, "text": { "ko": ko, "en": en } }));
    json!({
        "order": order.id,
        "externalId": order.external_id,
        "state": order.state,
        "text": { "ko": ko, "en": en },
        "milestone": milestones.collect::<Vec<_>>(),
        "waitsFor": waits_for,
        "orderDate": order.created.to_string(),
        "requestedStartDate": order.requested_start.map(|t| t.to_string()),
        "completionDate": order.completed.map(|t| t.to_string()),
    })
}

const fn state(state: OrderState) -> Text {
    match state {
        OrderState::Acknowledged => ("접수됨", "Received"),
        OrderState::Rejected => ("접수 불가", "Not accepted"),
        OrderState::Pending => ("대기 중", "Waiting"),
        OrderState::Held => ("확인 중", "Being checked"),
        OrderState::InProgress => ("처리 중", "In progress"),
        OrderState::Cancelled => ("취소됨", "Cancelled"),
        OrderState::Completed => ("완료", "Complete"),
        OrderState::Failed => ("처리 실패", "Not carried out"),
        OrderState::Partial => ("일부 완료", "Partly complete"),
        OrderState::AssessingCancellation => ("취소 가능 여부 확인 중", "Cancellation is being checked"),
        OrderState::PendingCancellation => ("취소 처리 중", "Being cancelled"),
    }
}

/// A milestone by its name: what a step leaves, or the state that ends an order.
fn milestone(name: &str) -> Text {
    match name {
        "acknowledged" => ("주문이 접수되었습니다", "The order was accepted"),
        "started" => ("처리를 시작했습니다", "Work on the order has begun"),
        "sessions-ended" => ("데이터 접속을 종료했습니다", "Data sessions were ended"),
        "provisioned" => ("통신망에 반영되었습니다", "The network holds the new state"),
        "modem-steered" => ("단말에 전달했습니다", "The modem was told its new state"),
        "visit-requested" => ("방문 일정을 잡고 있습니다", "A time for the visit is being agreed"),
        "visit-agreed" => ("방문 일정이 정해졌습니다", "A visit was agreed"),
        "work-assigned" => ("기사가 배정되었습니다", "A field worker has the job"),
        "work-done" => ("방문 작업이 끝났습니다", "The field worker has finished"),
        "completed" => ("주문이 완료되었습니다", "The order is complete"),
        "failed" => ("주문을 처리하지 못했습니다", "The order could not be carried out"),
        "cancelled" => ("주문이 취소되었습니다", "The order was cancelled"),
        _ => ("진행되었습니다", "The order went on"),
    }
}

/// From what a saga says it waits for: its first word is stable.
fn waiting(state: OrderState, reason: Option<&str>) -> Option<Waiting> {
    let waiting = |code, ko, en| Some(Waiting { code, text: (ko, en) });
    if state.is_final() {
        return None;
    }
    if state == OrderState::Held {
        return waiting("check", "담당자가 확인하고 있습니다", "We are checking the order");
    }
    let reason = reason?;
    let first = reason.split([' ', ':']).next().unwrap_or_default();
    match first {
        "call" => waiting("call", "방문 일정 상담 전화를 기다리고 있습니다", "We will call to agree on a visit"),
        "worker" => {
            waiting("worker", "기사의 방문을 기다리고 있습니다", "The field worker will come at the agreed time")
        }
        _ if reason.starts_with(SCHEDULER) => {
            waiting("scheduling", "방문 일정을 잡고 있습니다", "A time for the visit is being agreed")
        }
        "requested" => waiting("start-date", "요청하신 시작일을 기다리고 있습니다", "It begins on the requested date"),
        "line" | "its" => waiting(
            "earlier-order",
            "같은 회선의 앞선 주문을 기다리고 있습니다",
            "An earlier order on the line comes first",
        ),
        _ => waiting("network", "통신망 처리를 기다리고 있습니다", "The network has to carry it out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::activation::ActivationStep;

    #[test]
    fn every_milestone_of_a_step_has_its_own_text() {
        for (name, _) in ActivationStep::ALL.into_iter().filter_map(ActivationStep::milestone) {
            assert_ne!(milestone(name), milestone("?"), "{name}");
        }
    }

    #[test]
    fn what_an_order_waits_for_is_told_without_names() {
        let check = |state, reason: Option<&str>, expected: Option<&str>| {
            assert_eq!(waiting(state, reason).map(|w| w.code), expected, "{reason:?}");
        };
        let pending = OrderState::Pending;
        check(pending, Some("call: to agree on a visit"), Some("call"));
        check(pending, Some("scheduler: to answer"), Some("scheduling"));
        check(pending, Some("worker: to finish the visit"), Some("worker"));
        check(pending, Some("element olt-1: not connected"), Some("network"));
        check(OrderState::Acknowledged, Some("requested start 2026-12-01T00:00:00.000Z"), Some("start-date"));
        check(OrderState::Acknowledged, Some("line a: order b is before it"), Some("earlier-order"));
        check(OrderState::Held, Some("element olt-1: refused"), Some("check"));
        check(OrderState::InProgress, None, None);
        check(OrderState::Completed, Some("worker: to finish the visit"), None);
    }
}
