//! What an order system asks for, read and free of any protocol.
//!
//! Owns the mapping from TMF641 actions to the six kinds of orders, and how
//! characteristics change a line's profile. Does **not** own the judgement of a
//! kind against a line's state ([`super::ordering::judge`]).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids::{Apn, CustomerId, DeviceId, LineId, PlanId};
use super::line::{Access, LineState, Profile};
use super::ordering::{Note, OrderKind};
use super::tariff::ChargingSource;
use super::time::Timestamp;

/// An order as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewOrder {
    /// Who orders; may be left out where every item names an existing line.
    pub customer: Option<CustomerId>,
    /// What is asked, at least one item.
    pub items: Vec<NewItem>,
    /// The order system's own id.
    pub external_id: Option<String>,
    /// TMF641 priority, 0 (highest) to 4.
    pub priority: u8,
    /// Earliest start.
    pub requested_start: Option<Timestamp>,
    /// Notes.
    pub notes: Vec<Note>,
    /// Top-level fields that the gateway does not read.
    pub extra: Map<String, Value>,
}

/// One item as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// TMF641 item id, unique in its order.
    pub id: String,
    /// TMF641 `action`.
    pub action: ItemAction,
    /// `service.id`.
    pub service: Option<LineId>,
    /// `service.state`.
    pub state: Option<RequestedState>,
    /// `service.serviceSpecification.id`: `cellular`, `internet`, `tv`.
    pub spec: Option<String>,
    /// `service.serviceCharacteristic`, name and value, in order.
    pub characteristics: Vec<(String, Value)>,
    /// `service.serviceRelationship[].service.id`: the terminated line to reconnect.
    pub relationships: Vec<LineId>,
    /// The `service` member as it came.
    pub raw: Value,
}

/// TMF641 `OrderItemActionType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemAction {
    /// A new service.
    Add,
    /// Another state or other characteristics.
    Modify,
    /// An end.
    Delete,
    /// Nothing.
    NoChange,
}

impl ItemAction {
    /// As TMF641 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ItemAction::Add => "add",
            ItemAction::Modify => "modify",
            ItemAction::Delete => "delete",
            ItemAction::NoChange => "noChange",
        }
    }
}

impl std::str::FromStr for ItemAction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [ItemAction::Add, ItemAction::Modify, ItemAction::Delete, ItemAction::NoChange]
            .into_iter()
            .find(|a| a.as_str() == text)
            .ok_or(())
    }
}

/// The states of TMF641 `ServiceStateType` that an order may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedState {
    /// `active`.
    Active,
    /// `inactive`.
    Inactive,
    /// `terminated`.
    Terminated,
}

impl std::str::FromStr for RequestedState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "active" => Ok(RequestedState::Active),
            "inactive" => Ok(RequestedState::Inactive),
            "terminated" => Ok(RequestedState::Terminated),
            _ => Err(()),
        }
    }
}

/// Something in a request that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read order item {item}: {what}: {reason}")]
pub struct BadRequest {
    /// The item's id.
    pub item: String,
    /// Which field.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl NewItem {
    /// Which of the six orders it is; `None` for `noChange`. `line` is the state
    /// the named line will have after everything queued before, `changed`
    /// whether the characteristics say anything new about it.
    pub fn kind(&self, line: LineState, changed: bool) -> Result<Option<OrderKind>, BadRequest> {
        use ItemAction::{Add, Delete, Modify, NoChange};
        use RequestedState::{Active, Inactive, Terminated};
        match (self.action, self.state) {
            (Add, None | Some(Active)) if self.relationships.is_empty() => Ok(Some(OrderKind::Activate)),
            (Add, None | Some(Active)) => Ok(Some(OrderKind::Reconnect)),
            (Add, Some(_)) => Err(self.bad("service.state", "a new service starts active")),
            (Modify, None) => Ok(Some(OrderKind::Modify)),
            (Modify, Some(Active)) if line == LineState::Active && changed => Ok(Some(OrderKind::Modify)),
            (Modify, Some(_)) if changed => {
                Err(self.bad("service", "asks for another state and other characteristics at once: send two items"))
            }
            (Modify, Some(Active)) => Ok(Some(OrderKind::Resume)),
            (Modify, Some(Inactive)) => Ok(Some(OrderKind::Suspend)),
            (Modify, Some(Terminated)) => Ok(Some(OrderKind::Terminate)),
            (Delete, None | Some(Terminated)) => Ok(Some(OrderKind::Terminate)),
            (Delete, Some(_)) => Err(self.bad("service.state", "a deleted service ends terminated")),
            (NoChange, _) => Ok(None),
        }
    }

    /// A fault in this item.
    pub fn bad(&self, what: &str, reason: impl Into<String>) -> BadRequest {
        BadRequest { item: self.id.clone(), what: what.to_owned(), reason: reason.into() }
    }

    /// The characteristics as changes of a profile. Names that the gateway does
    /// not know are left to the order system.
    pub fn changes(&self) -> Result<ProfileChanges, BadRequest> {
        let mut changes = ProfileChanges::default();
        for (name, value) in &self.characteristics {
            match name.as_str() {
                "imsi" => changes.imsi = Some(digits(value, 6..=15).map_err(|r| self.bad(name, r))?),
                "msisdn" => changes.msisdn = Some(digits(value, 3..=15).map_err(|r| self.bad(name, r))?),
                "deviceId" => {
                    changes.device = Some(text(value).map_err(|r| self.bad(name, r)).map(DeviceId::from)?);
                }
                "apns" => changes.apns = Some(apns(value).map_err(|r| self.bad(name, r))?),
                "plan" => changes.plan = Some(text(value).map_err(|r| self.bad(name, r)).map(PlanId::from)?),
                "chargingSource" => {
                    let source = serde_json::from_value(value.clone());
                    changes.source = Some(source.map_err(|_| self.bad(name, "one of auto, gy, rf, modem, file"))?);
                }
                "address" => changes.address = Some(text(value).map_err(|r| self.bad(name, r))?),
                "email" => changes.email = Some(text(value).map_err(|r| self.bad(name, r))?),
                "phone" => changes.phone = Some(text(value).map_err(|r| self.bad(name, r))?),
                _ => {}
            }
        }
        Ok(changes)
    }
}

/// What an order changes of a profile; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileChanges {
    /// Another SIM.
    pub imsi: Option<String>,
    /// Another number.
    pub msisdn: Option<String>,
    /// Another modem.
    pub device: Option<DeviceId>,
    /// Other APNs.
    pub apns: Option<Vec<Apn>>,
    /// Another plan.
    pub plan: Option<PlanId>,
    /// Another charging source.
    pub source: Option<ChargingSource>,
    /// Another address.
    pub address: Option<String>,
    /// Another mailbox.
    pub email: Option<String>,
    /// Another telephone.
    pub phone: Option<String>,
}

impl ProfileChanges {
    /// The profile with the changes. A change of plan without APNs takes the
    /// APNs with it that `apns_of` the new plan allows, all of them when none is left.
    pub fn apply(&self, to: &Profile, apns_of: impl Fn(&PlanId) -> Vec<Apn>) -> Profile {
        let plan = self.plan.clone().unwrap_or_else(|| to.plan.clone());
        let apns = match &self.apns {
            Some(apns) => apns.clone(),
            None if plan == to.plan => to.apns.clone(),
            None => {
                let allowed = apns_of(&plan);
                let kept: Vec<Apn> =
                    to.apns.iter().filter(|a| allowed.iter().any(|b| b.matches(a.as_str()))).cloned().collect();
                if kept.is_empty() { allowed } else { kept }
            }
        };
        Profile {
            access: to.access,
            imsi: self.imsi.clone().or_else(|| to.imsi.clone()),
            msisdn: self.msisdn.clone().or_else(|| to.msisdn.clone()),
            device: self.device.clone().or_else(|| to.device.clone()),
            apns,
            plan,
            source: self.source.or(to.source),
            address: self.address.clone().or_else(|| to.address.clone()),
            email: self.email.clone().or_else(|| to.email.clone()),
            phone: self.phone.clone().or_else(|| to.phone.clone()),
        }
    }

    /// A first profile; `None` when no plan is named.
    pub fn fresh(&self, access: Access, apns_of: impl Fn(&PlanId) -> Vec<Apn>) -> Option<Profile> {
        let plan = self.plan.clone()?;
        let empty = Profile {
            access,
            imsi: None,
            msisdn: None,
            device: None,
            apns: apns_of(&plan),
            plan,
            source: None,
            address: None,
            email: None,
            phone: None,
        };
        Some(self.apply(&empty, apns_of))
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(s) if !s.trim().is_empty() => Ok(s.clone()),
        Value::Number(n) => Ok(n.to_string()),
        other => Err(format!("expected text, got `{other}`")),
    }
}

fn digits(value: &Value, length: std::ops::RangeInclusive<usize>) -> Result<String, String> {
    let text = text(value)?;
    let bare = text.strip_prefix('+').unwrap_or(&text);
    if length.contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_digit()) {
        Ok(bare.to_owned())
    } else {
        Err(format!("expected {} to {} digits, got `{text}`", length.start(), length.end()))
    }
}

fn apns(value: &Value) -> Result<Vec<Apn>, String> {
    match value {
        Value::Array(list) => list.iter().map(|v| text(v).map(Apn::from)).collect(),
        other => text(other).map(|t| t.split([';', ',']).map(|s| Apn::from(s.trim())).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(action: &str, state: Option<&str>, reconnects: bool, line: LineState, expected: Result<&str, ()>) {
        let item = NewItem {
            id: "1".into(),
            action: action.parse().unwrap(),
            service: None,
            state: state.map(|s| s.parse().unwrap()),
            spec: None,
            characteristics: vec![],
            relationships: if reconnects { vec!["old".into()] } else { vec![] },
            raw: Value::Null,
        };
        let found = item.kind(line, false).map(|k| k.map_or("none", OrderKind::as_str)).map_err(|_| ());
        assert_eq!(found, expected, "{action} {state:?} {reconnects}");
    }

    #[test]
    fn tmf641_actions_map_to_the_six_kinds() {
        use LineState::{Absent, Active, Suspended};
        check("add", Some("active"), false, Absent, Ok("activate"));
        check("add", None, true, Absent, Ok("reconnect"));
        check("add", Some("inactive"), false, Absent, Err(()));
        check("modify", Some("inactive"), false, Active, Ok("suspend"));
        check("modify", Some("active"), false, Suspended, Ok("resume"));
        check("modify", Some("active"), false, Active, Ok("resume"));
        check("modify", None, false, Active, Ok("modify"));
        check("delete", None, false, Active, Ok("terminate"));
        check("delete", Some("terminated"), false, Active, Ok("terminate"));
        check("delete", Some("active"), false, Active, Err(()));
        check("noChange", None, false, Active, Ok("none"));
    }

    #[test]
    fn an_imsi_is_six_to_fifteen_digits() {
        for (value, good) in
            [("450081234567890", true), ("12345", false), ("4500812345678901", false), ("45008x", false)]
        {
            assert_eq!(digits(&Value::from(value), 6..=15).is_ok(), good, "{value}");
        }
    }
}
