//! The lines that an element holds: the table of line provisioning
//! (`linegate_diameter::apps::lp`), as an element carries it out.
//!
//! Invariants: an order is carried out once, however often it comes; a refusal
//! changes nothing, but for the half-applied fault, which is there to lie.

use std::collections::{BTreeMap, HashMap, VecDeque};

use linegate_diameter::Outcome;
use linegate_diameter::apps::lp::{
    Access, Action, BUSY, Characteristics, ILLEGAL_TRANSITION, LINE_UNKNOWN, LineState, ORDER_CONFLICT,
    ProvisionRequest,
};

/// Orders remembered for repeats; the oldest go first.
const ORDERS_MAX: usize = 1_000_000;

/// A line as an element holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLine {
    /// Its state.
    pub state: LineState,
    /// Rises with every change.
    pub version: u64,
    /// Key of the last order that changed it.
    pub last_order: Option<String>,
    /// The kind of line.
    pub access: Option<Access>,
    /// IMSI of a cellular line.
    pub imsi: Option<String>,
    /// MSISDN of a cellular line.
    pub msisdn: Option<String>,
    /// Modem, ONT or set-top box.
    pub device_id: Option<String>,
    /// APNs.
    pub apns: Vec<String>,
    /// Plan.
    pub plan: Option<String>,
    /// Where a fixed line ends.
    pub service_address: Option<String>,
}

impl HeldLine {
    fn absent() -> Self {
        Self {
            state: LineState::Absent,
            version: 0,
            last_order: None,
            access: None,
            imsi: None,
            msisdn: None,
            device_id: None,
            apns: Vec::new(),
            plan: None,
            service_address: None,
        }
    }

    fn take(&mut self, said: &Characteristics<'_>) {
        let text = |value: Option<&str>| value.map(str::to_owned);
        self.access = Some(said.access);
        self.imsi = text(said.imsi);
        self.msisdn = text(said.msisdn);
        self.device_id = text(said.device_id);
        self.apns = said.apns.iter().filter_map(Result::ok).map(str::to_owned).collect();
        self.plan = text(said.plan);
        self.service_address = text(said.service_address);
    }
}

/// Every line and the orders that made it so.
#[derive(Debug, Default)]
pub(super) struct Register {
    lines: BTreeMap<String, HeldLine>,
    orders: HashMap<String, (String, Action)>,
    order_of_orders: VecDeque<String>,
    half_done: HashMap<String, ()>,
}

impl Register {
    pub(super) fn lines(&self) -> BTreeMap<String, HeldLine> {
        self.lines.clone()
    }

    pub(super) fn line(&self, id: &str) -> Option<&HeldLine> {
        self.lines.get(id)
    }

    /// Puts a line there without an order, for a difference to be found.
    pub(super) fn put(&mut self, id: &str, line: HeldLine) {
        self.lines.insert(id.to_owned(), line);
    }

    pub(super) fn forget(&mut self, id: &str) -> Option<HeldLine> {
        self.lines.remove(id)
    }

    /// Carries an order out, or says why not.
    pub(super) fn provision(&mut self, order: &ProvisionRequest<'_>) -> Outcome {
        if let Some((line, action)) = self.orders.get(order.order_id) {
            let same = line == order.line_id && *action == order.action;
            return if same { Outcome::SUCCESS } else { ORDER_CONFLICT };
        }
        let present = self.lines.get(order.line_id).map_or(LineState::Absent, |line| line.state);
        let next = match next_state(order.action, present) {
            Ok(next) => next,
            Err(refusal) => return refusal,
        };
        let line = self.lines.entry(order.line_id.to_owned()).or_insert_with(HeldLine::absent);
        line.state = next;
        line.version += 1;
        line.last_order = Some(order.order_id.to_owned());
        if let Some(said) = &order.characteristics {
            line.take(said);
        }
        self.half_done.remove(order.order_id);
        self.remember(order);
        Outcome::SUCCESS
    }

    /// The first attempt stores state and identifiers, loses APNs and plan, and
    /// answers busy; a later one is carried out.
    pub(super) fn provision_half(&mut self, order: &ProvisionRequest<'_>) -> Outcome {
        if self.half_done.contains_key(order.order_id) || self.orders.contains_key(order.order_id) {
            return self.provision(order);
        }
        let present = self.lines.get(order.line_id).map_or(LineState::Absent, |line| line.state);
        let next = match next_state(order.action, present) {
            Ok(next) => next,
            Err(refusal) => return refusal,
        };
        if self.half_done.len() < ORDERS_MAX {
            self.half_done.insert(order.order_id.to_owned(), ());
        }
        let line = self.lines.entry(order.line_id.to_owned()).or_insert_with(HeldLine::absent);
        line.version += 1;
        line.state = next;
        if let Some(said) = &order.characteristics {
            line.take(said);
            line.apns.clear();
            line.plan = None;
        }
        BUSY
    }

    fn remember(&mut self, order: &ProvisionRequest<'_>) {
        if self.order_of_orders.len() >= ORDERS_MAX
            && let Some(oldest) = self.order_of_orders.pop_front()
        {
            self.orders.remove(&oldest);
        }
        self.order_of_orders.push_back(order.order_id.to_owned());
        self.orders.insert(order.order_id.to_owned(), (order.line_id.to_owned(), order.action));
    }
}

/// The table of line provisioning, one row an arm.
fn next_state(action: Action, present: LineState) -> Result<LineState, Outcome> {
    use LineState::{Absent, Active, Suspended, Terminated};
    match (action, present) {
        (Action::Activate, Absent | Active) => Ok(Active),
        (Action::Suspend, Active | Suspended) => Ok(Suspended),
        (Action::Resume, Suspended | Active) => Ok(Active),
        (Action::Terminate, Active | Suspended | Terminated) => Ok(Terminated),
        (Action::Reconnect, Terminated | Active) => Ok(Active),
        (Action::Modify, Active | Suspended) => Ok(present),
        (_, Absent) => Err(LINE_UNKNOWN),
        _ => Err(ILLEGAL_TRANSITION),
    }
}

#[cfg(test)]
mod tests {
    use linegate_diameter::apps::Route;

    use super::*;

    fn order<'a>(order_id: &'a str, action: Action, apns: &'a [&'a str]) -> ProvisionRequest<'a> {
        let route = Route {
            session_id: "s",
            origin_host: "g",
            origin_realm: "r",
            destination_host: None,
            destination_realm: "n",
        };
        let characteristics = matches!(action, Action::Activate | Action::Modify)
            .then(|| Characteristics { apns: apns.into(), ..Characteristics::new(Access::Cellular) });
        ProvisionRequest { route, order_id, line_id: "line-1", action, characteristics, event_timestamp: None }
    }

    fn check(register: &mut Register, id: &str, action: Action, expected: Outcome, state: LineState) {
        let outcome = register.provision(&order(id, action, &["iot.example"]));
        let held = register.line("line-1").map_or(LineState::Absent, |line| line.state);
        assert_eq!((outcome, held), (expected, state), "{id} {action:?}");
    }

    #[test]
    fn a_line_goes_through_its_life_once_for_each_order() {
        let mut register = Register::default();
        let ok = Outcome::SUCCESS;
        check(&mut register, "1", Action::Suspend, LINE_UNKNOWN, LineState::Absent);
        check(&mut register, "2", Action::Activate, ok, LineState::Active);
        check(&mut register, "3", Action::Suspend, ok, LineState::Suspended);
        check(&mut register, "2", Action::Activate, ok, LineState::Suspended);
        check(&mut register, "2", Action::Suspend, ORDER_CONFLICT, LineState::Suspended);
        check(&mut register, "4", Action::Terminate, ok, LineState::Terminated);
        check(&mut register, "5", Action::Resume, ILLEGAL_TRANSITION, LineState::Terminated);
        check(&mut register, "6", Action::Reconnect, ok, LineState::Active);
        assert_eq!(register.line("line-1").map(|line| line.version), Some(4));
    }

    #[test]
    fn half_an_order_is_finished_by_its_repeat() {
        let mut register = Register::default();
        let activate = order("1", Action::Activate, &["iot.example"]);
        assert_eq!(register.provision_half(&activate), BUSY);
        let held = register.line("line-1").unwrap();
        assert_eq!((held.state, held.apns.len(), held.last_order.is_some()), (LineState::Active, 0, false));
        assert_eq!(register.provision_half(&activate), Outcome::SUCCESS);
        let held = register.line("line-1").unwrap();
        assert_eq!((held.state, held.apns.len()), (LineState::Active, 1));
    }
}
