//! Activation: which steps carry an order out, for each kind of order and access.
//!
//! Owns the plan of steps and the list of published cause codes. Does **not**
//! own how a step is carried out (the activation service does).
//!
//! Invariants: suspension and termination stop grants first, then end the
//! sessions, then change the elements, then the modem; nothing after the point
//! of no return can be refused; items of one order share one visit.

use serde::{Deserialize, Serialize};

use super::line::Access;
use super::ordering::OrderKind;

/// Published cause codes: why an order or item did not simply complete.
pub mod cause {
    /// An element refused a command for good.
    pub const ELEMENT_REFUSED: &str = "element-refused";
    /// An element never said whether it applied a command, and cannot be asked.
    pub const ELEMENT_UNKNOWN_OUTCOME: &str = "element-unknown-outcome";
    /// An element holds something else than it was told.
    pub const ELEMENT_MISMATCH: &str = "element-mismatch";
    /// The serving MME was not reached within its tries.
    pub const MME_UNREACHABLE: &str = "mme-unreachable";
    /// The settings name no element for the access.
    pub const NO_ELEMENT: &str = "no-element";
    /// Charging refused a command for good.
    pub const CHARGING_REFUSED: &str = "charging-refused";
    /// The customer refused the visit.
    pub const VISIT_REFUSED: &str = "visit-refused";
    /// The customer was not reached within the retry plan.
    pub const VISIT_EXHAUSTED: &str = "visit-exhausted";
    /// The appointment was cancelled.
    pub const VISIT_CANCELLED: &str = "visit-cancelled";
    /// The scheduler outside will not take the visit.
    pub const SCHEDULER_REFUSED: &str = "scheduler-refused";
    /// The worker returned the job; followed by `:` and the worker's reason code.
    pub const WORKER_RETURNED: &str = "worker-returned";
    /// The line had moved meanwhile so that the order was no longer legal.
    pub const ILLEGAL_TRANSITION: &str = "illegal-transition";
    /// IMSI, MSISDN or device came into use on another line meanwhile.
    pub const IDENTIFIER_TAKEN: &str = "identifier-taken";
    /// Cancelled on request.
    pub const CANCELLED: &str = "cancelled";
    /// The order or one of its lines is not in the store.
    pub const RECORD_MISSING: &str = "record-missing";
    /// An item that asked for nothing.
    pub const NO_CHANGE: &str = "no-change";

    /// Every cause that stands alone; the others start with [`WORKER_RETURNED`].
    pub const ALL: [&str; 16] = [
        ELEMENT_REFUSED,
        ELEMENT_UNKNOWN_OUTCOME,
        ELEMENT_MISMATCH,
        MME_UNREACHABLE,
        NO_ELEMENT,
        CHARGING_REFUSED,
        VISIT_REFUSED,
        VISIT_EXHAUSTED,
        VISIT_CANCELLED,
        SCHEDULER_REFUSED,
        WORKER_RETURNED,
        ILLEGAL_TRANSITION,
        IDENTIFIER_TAKEN,
        CANCELLED,
        RECORD_MISSING,
        NO_CHANGE,
    ];

    /// A cause as a label of bounded variety.
    pub fn label(cause: &str) -> &'static str {
        ALL.into_iter().find(|known| cause.split(':').next() == Some(*known)).unwrap_or("other")
    }
}

/// One step; those above the line work on an item, those below on the whole order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationStep {
    /// No new quota; sessions in progress are listed.
    StopGrants,
    /// Each listed session that is still open is ended at the peer that opened it (ASR).
    EndSessions,
    /// The line's element holds the new state and profile.
    Provision,
    /// Charging takes the line in.
    OpenCharging,
    /// Charging takes the changed profile over.
    ChangeCharging,
    /// Charging knows the new state. After a termination: the point of no return.
    ReachCharging,
    /// The serving MME holds the new subscription (S6a IDR), where attached.
    InsertSubscriber,
    /// The serving MME detaches the subscriber (S6a CLR), where attached.
    DetachSubscriber,
    /// Sessions in progress come back for quota under the new profile (RAR).
    Reauthorize,
    /// The modem's desired state rises by one version.
    SteerModem,
    /// The modem is told, where it is there; it converges by itself.
    TellModem,
    // ----
    /// Waits for the requested start and for earlier orders on the lines, judges again.
    Begin,
    /// An appointment is wanted and the call list has an entry.
    RequestVisit,
    /// Waits for the outbound call to agree on a time.
    AwaitAgreement,
    /// The worker has a work order.
    AssignWork,
    /// Waits for the worker.
    AwaitWork,
}

impl ActivationStep {
    /// Every step.
    pub const ALL: [ActivationStep; 16] = [
        ActivationStep::StopGrants,
        ActivationStep::EndSessions,
        ActivationStep::Provision,
        ActivationStep::OpenCharging,
        ActivationStep::ChangeCharging,
        ActivationStep::ReachCharging,
        ActivationStep::InsertSubscriber,
        ActivationStep::DetachSubscriber,
        ActivationStep::Reauthorize,
        ActivationStep::SteerModem,
        ActivationStep::TellModem,
        ActivationStep::Begin,
        ActivationStep::RequestVisit,
        ActivationStep::AwaitAgreement,
        ActivationStep::AssignWork,
        ActivationStep::AwaitWork,
    ];

    /// The name it is registered and logged by.
    pub const fn as_str(self) -> &'static str {
        match self {
            ActivationStep::StopGrants => "stop-grants",
            ActivationStep::EndSessions => "end-sessions",
            ActivationStep::Provision => "provision",
            ActivationStep::OpenCharging => "open-charging",
            ActivationStep::ChangeCharging => "change-charging",
            ActivationStep::ReachCharging => "reach-charging",
            ActivationStep::InsertSubscriber => "insert-subscriber",
            ActivationStep::DetachSubscriber => "detach-subscriber",
            ActivationStep::Reauthorize => "reauthorize",
            ActivationStep::SteerModem => "steer-modem",
            ActivationStep::TellModem => "tell-modem",
            ActivationStep::Begin => "begin",
            ActivationStep::RequestVisit => "request-visit",
            ActivationStep::AwaitAgreement => "await-agreement",
            ActivationStep::AssignWork => "assign-work",
            ActivationStep::AwaitWork => "await-work",
        }
    }

    /// Whether a person may do it by hand and let the order go on after it. Not
    /// where the gateway's own records come from the step.
    pub const fn may_be_skipped(self) -> bool {
        !matches!(
            self,
            ActivationStep::Begin
                | ActivationStep::Provision
                | ActivationStep::RequestVisit
                | ActivationStep::AwaitAgreement
                | ActivationStep::AssignWork
        )
    }

    /// The milestone in the customer's timeline when it is done: name and message.
    pub const fn milestone(self) -> Option<(&'static str, &'static str)> {
        match self {
            ActivationStep::Begin => Some(("started", "Work on the order has begun")),
            ActivationStep::EndSessions => Some(("sessions-ended", "Data sessions were ended")),
            ActivationStep::Provision => Some(("provisioned", "The network holds the new state")),
            ActivationStep::TellModem => Some(("modem-steered", "The modem was told its new state")),
            ActivationStep::RequestVisit => Some(("visit-requested", "We will call to agree on a visit")),
            ActivationStep::AwaitAgreement => Some(("visit-agreed", "A visit was agreed")),
            ActivationStep::AssignWork => Some(("work-assigned", "A field worker has the job")),
            ActivationStep::AwaitWork => Some(("work-done", "The field worker has finished")),
            _ => None,
        }
    }
}

impl std::str::FromStr for ActivationStep {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// The table: steps of one item, in order. The visit comes after every item's steps.
pub const fn item_steps(kind: OrderKind, access: Access) -> &'static [ActivationStep] {
    use Access::{Cellular, Internet, Tv};
    use ActivationStep::{
        ChangeCharging, DetachSubscriber, EndSessions, InsertSubscriber, OpenCharging, Provision, ReachCharging,
        Reauthorize, SteerModem, StopGrants, TellModem,
    };
    use OrderKind::{Activate, Modify, Reconnect, Resume, Suspend, Terminate};
    match (kind, access) {
        (Activate | Reconnect, Cellular) => &[Provision, OpenCharging, InsertSubscriber, SteerModem, TellModem],
        (Suspend | Terminate, Cellular) => {
            &[StopGrants, EndSessions, Provision, DetachSubscriber, SteerModem, TellModem, ReachCharging]
        }
        (Resume, Cellular) => &[Provision, ReachCharging, InsertSubscriber, SteerModem, TellModem],
        (Modify, Cellular) => &[Provision, ChangeCharging, InsertSubscriber, Reauthorize, SteerModem, TellModem],

        (Activate | Reconnect, Internet | Tv) => &[Provision, OpenCharging, SteerModem, TellModem],
        (Suspend | Terminate, Internet | Tv) => {
            &[StopGrants, EndSessions, Provision, SteerModem, TellModem, ReachCharging]
        }
        (Resume, Internet | Tv) => &[Provision, ReachCharging, SteerModem, TellModem],
        (Modify, Internet | Tv) => &[Provision, ChangeCharging, Reauthorize, SteerModem, TellModem],
    }
}

/// Steps of the one visit that an order's new fixed lines share.
pub const VISIT_STEPS: &[ActivationStep] = &[
    ActivationStep::RequestVisit,
    ActivationStep::AwaitAgreement,
    ActivationStep::AssignWork,
    ActivationStep::AwaitWork,
];

/// Whether an item needs somebody to come.
pub const fn needs_visit(kind: OrderKind, access: Access) -> bool {
    matches!(kind, OrderKind::Activate | OrderKind::Reconnect) && access.needs_visit()
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// What to do.
    pub step: ActivationStep,
    /// The order item to do it for; `None` for the whole order.
    pub item: Option<String>,
}

/// The plan of an order: begin, each item in its order, then the shared visit,
/// and last what cannot be taken back.
pub fn plan<'a>(items: impl IntoIterator<Item = (&'a str, OrderKind, Access)>) -> Vec<PlannedStep> {
    let mut steps = vec![PlannedStep { step: ActivationStep::Begin, item: None }];
    let mut last = Vec::new();
    let mut visit = false;
    for (id, kind, access) in items {
        visit |= needs_visit(kind, access);
        for &step in item_steps(kind, access) {
            let planned = PlannedStep { step, item: Some(id.to_owned()) };
            if is_final_for(step, kind) { last.push(planned) } else { steps.push(planned) }
        }
    }
    if visit {
        steps.extend(VISIT_STEPS.iter().map(|&step| PlannedStep { step, item: None }));
    }
    steps.extend(last);
    steps
}

/// Whether a step, once begun, cannot be taken back: charging never reopens a terminated line.
pub const fn is_final_for(step: ActivationStep, kind: OrderKind) -> bool {
    matches!((step, kind), (ActivationStep::ReachCharging, OrderKind::Terminate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &[(&str, OrderKind, Access)], expected: &str) {
        let found: Vec<String> = plan(items.iter().copied())
            .into_iter()
            .map(|p| match p.item {
                Some(item) => format!("{item}.{}", p.step.as_str()),
                None => p.step.as_str().to_owned(),
            })
            .collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn suspension_stops_grants_first_and_steers_the_modem_after_the_elements() {
        check(
            &[("1", OrderKind::Suspend, Access::Cellular)],
            "begin 1.stop-grants 1.end-sessions 1.provision 1.detach-subscriber 1.steer-modem 1.tell-modem \
             1.reach-charging",
        );
    }

    #[test]
    fn internet_and_tv_in_one_order_share_one_visit() {
        check(
            &[("1", OrderKind::Activate, Access::Internet), ("2", OrderKind::Activate, Access::Tv)],
            "begin 1.provision 1.open-charging 1.steer-modem 1.tell-modem 2.provision 2.open-charging \
             2.steer-modem 2.tell-modem request-visit await-agreement assign-work await-work",
        );
    }

    #[test]
    fn what_cannot_be_taken_back_comes_last_of_all_items() {
        check(
            &[("1", OrderKind::Terminate, Access::Tv), ("2", OrderKind::Resume, Access::Tv)],
            "begin 1.stop-grants 1.end-sessions 1.provision 1.steer-modem 1.tell-modem 2.provision \
             2.reach-charging 2.steer-modem 2.tell-modem 1.reach-charging",
        );
    }

    #[test]
    fn a_cause_is_a_bounded_label() {
        assert_eq!(cause::label("worker-returned:no-access"), "worker-returned");
        assert_eq!(cause::label("anything"), "other");
    }
}
