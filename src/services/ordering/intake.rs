//! Judges one order item against the store: which kind, which line, which
//! profile, and what forbids it.

use std::collections::BTreeMap;

use crate::domain::activation::{cause, needs_visit};
use crate::domain::ids::{AccountId, Apn, CustomerId, LineId, OrderId, PlanId};
use crate::domain::line::{Access, Line, LineState, Profile, QueuedOrder};
use crate::domain::ordering::{OrderItem, OrderKind, OrderState, Verdict, judge};
use crate::domain::request::{BadRequest, NewItem, NewOrder, ProfileChanges};
use crate::domain::tariff::Tariff;
use crate::domain::time::Timestamp;
use crate::ports::Ids;
use crate::ports::relational::{Relational, StoreError};

use super::SubmitError;

/// Items, and the lines that change with them.
pub(crate) struct Intake<'a> {
    pub(crate) store: &'a dyn Relational,
    pub(crate) tariff: &'a Tariff,
    pub(crate) ids: &'a dyn Ids,
    pub(crate) now: Timestamp,
    pub(crate) order: &'a OrderId,
    pub(crate) queue_max: usize,
}

/// What the items of a request come to.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) items: Vec<OrderItem>,
    /// What each item that goes changes, by item id.
    pub(crate) changes: BTreeMap<String, ProfileChanges>,
    pub(crate) lines: Vec<Line>,
    pub(crate) customer: Option<CustomerId>,
}

impl Intake<'_> {
    /// Judges every item of `request`.
    pub(crate) async fn take(&self, request: &NewOrder) -> Result<Taken, SubmitError> {
        let mut taken = Taken { customer: request.customer.clone(), ..Taken::default() };
        let later = request.requested_start.is_some_and(|start| start > self.now);
        for item in &request.items {
            let changes = item.changes()?;
            match item.action {
                crate::domain::request::ItemAction::Add => self.add(item, changes, &mut taken).await?,
                _ => self.change(item, changes, later, &mut taken).await?,
            }
        }
        Ok(taken)
    }

    async fn add(&self, item: &NewItem, changes: ProfileChanges, taken: &mut Taken) -> Result<(), SubmitError> {
        let kind = item.kind(LineState::Absent, false)?.expect("an added service is activated or reconnected");
        let old = match item.relationships.first() {
            Some(old) => Some(self.line(old, &mut taken.customer).await?),
            None => None,
        };
        if let Some(old) = &old {
            let state = old.state_after_queue();
            match judge(OrderKind::Reconnect, state) {
                _ if state == LineState::Terminated => {}
                Verdict::Already(code) => {
                    taken.items.push(done_item(item, kind, old, code));
                    return Ok(());
                }
                _ => return Err(SubmitError::Illegal { line: old.id.clone(), kind, state }),
            }
        }
        let customer = taken
            .customer
            .clone()
            .ok_or_else(|| item.bad("relatedParty", "a new service needs a party with role customer"))?;
        let access = self.access(item, old.as_ref())?;
        let profile = match &old {
            Some(old) => changes.apply(&old.profile, |plan| self.apns_of(plan)),
            None => changes
                .fresh(access, |plan| self.apns_of(plan))
                .ok_or_else(|| item.bad("plan", "a new service needs a plan"))?,
        };
        let id = item.service.clone().unwrap_or_else(|| LineId::from(self.ids.fresh(self.now)));
        distinct(item, &id, taken)?;
        let known = if item.service.is_some() { self.store.line(&id).await? } else { None };
        let line = match known {
            Some(line) if line.customer != customer => {
                return Err(SubmitError::Unknown { what: "service", name: id.to_string() });
            }
            Some(line) => line,
            None => new_line(id, customer, &profile, old.as_ref(), self.now),
        };
        match judge(kind, line.state_after_queue()) {
            Verdict::Already(code) => taken.items.push(done_item(item, kind, &line, code)),
            Verdict::Illegal => {
                return Err(SubmitError::Illegal { state: line.state_after_queue(), line: line.id, kind });
            }
            Verdict::Go => {
                self.check_profile(item, kind, &profile)?;
                let old_id = old.as_ref().map(|o| &o.id);
                check_identifiers(self.store, &profile, &line.id, old_id).await?;
                let mut line = self.enqueued(line, kind)?;
                if line.actual == LineState::Absent {
                    line.profile = profile.clone();
                    line.reconnects = old_id.cloned();
                }
                self.go(item, kind, &line, profile, changes, taken);
                taken.lines.push(line);
            }
        }
        Ok(())
    }

    async fn change(
        &self,
        item: &NewItem,
        changes: ProfileChanges,
        later: bool,
        taken: &mut Taken,
    ) -> Result<(), SubmitError> {
        let id = item.service.clone().ok_or_else(|| item.bad("service.id", "names no service"))?;
        distinct(item, &id, taken)?;
        let line = self.line(&id, &mut taken.customer).await?;
        let state = line.state_after_queue();
        let profile = changes.apply(&line.profile, |plan| self.apns_of(plan));
        let Some(kind) = item.kind(state, profile != line.profile)? else {
            taken.items.push(done_item(item, OrderKind::Modify, &line, cause::NO_CHANGE));
            return Ok(());
        };
        // What a later order meets is judged when it starts; only an ended line stays ended.
        let verdict = match judge(kind, state) {
            Verdict::Already(_) | Verdict::Illegal if later && state != LineState::Terminated => Verdict::Go,
            verdict => verdict,
        };
        match verdict {
            Verdict::Already(code) => taken.items.push(done_item(item, kind, &line, code)),
            Verdict::Illegal => return Err(SubmitError::Illegal { line: id, kind, state }),
            Verdict::Go => {
                if kind == OrderKind::Modify {
                    if item.spec.as_deref().is_some_and(|spec| spec != line.profile.access.as_str()) {
                        return Err(item.bad("serviceSpecification", "the access of a line does not change").into());
                    }
                    self.check_profile(item, kind, &profile)?;
                    check_identifiers(self.store, &profile, &line.id, None).await?;
                }
                self.go(item, kind, &line, profile, changes, taken);
                if !later {
                    taken.lines.push(self.enqueued(line, kind)?);
                }
            }
        }
        Ok(())
    }

    fn go(
        &self,
        item: &NewItem,
        kind: OrderKind,
        line: &Line,
        profile: Profile,
        changes: ProfileChanges,
        taken: &mut Taken,
    ) {
        taken.changes.insert(item.id.clone(), changes);
        taken.items.push(OrderItem {
            id: item.id.clone(),
            kind,
            line: line.id.clone(),
            profile,
            reconnects: line.reconnects.clone().filter(|_| kind == OrderKind::Reconnect),
            state: OrderState::Acknowledged,
            code: None,
            service: item.raw.clone(),
            action: item.action.as_str().to_owned(),
        });
    }

    fn enqueued(&self, mut line: Line, kind: OrderKind) -> Result<Line, SubmitError> {
        if line.queue.len() >= self.queue_max {
            return Err(SubmitError::Busy { waiting: line.queue.len(), line: line.id });
        }
        line.queue.push(QueuedOrder { order: self.order.clone(), kind });
        Ok(line)
    }

    /// The line, where it belongs to the customer; the customer of the first line where none is named.
    async fn line(&self, id: &LineId, customer: &mut Option<CustomerId>) -> Result<Line, SubmitError> {
        let line = self.store.line(id).await?;
        match line {
            Some(line) if customer.as_ref().is_none_or(|c| *c == line.customer) => {
                *customer = Some(line.customer.clone());
                Ok(line)
            }
            _ => Err(SubmitError::Unknown { what: "service", name: id.to_string() }),
        }
    }

    fn access(&self, item: &NewItem, old: Option<&Line>) -> Result<Access, SubmitError> {
        let named = match &item.spec {
            None => None,
            Some(spec) => Some(
                spec.parse::<Access>()
                    .map_err(|()| SubmitError::Unknown { what: "serviceSpecification", name: spec.clone() })?,
            ),
        };
        match (named, old) {
            (Some(named), Some(old)) if named != old.profile.access => {
                Err(item.bad("serviceSpecification", "a line is reconnected by its own access").into())
            }
            (Some(access), _) => Ok(access),
            (None, Some(old)) => Ok(old.profile.access),
            (None, None) => Err(item.bad("serviceSpecification", "names no specification").into()),
        }
    }

    fn apns_of(&self, plan: &PlanId) -> Vec<Apn> {
        self.tariff.plan(plan).map(|p| p.apns.clone()).unwrap_or_default()
    }

    fn check_profile(&self, item: &NewItem, kind: OrderKind, profile: &Profile) -> Result<(), SubmitError> {
        let Some(plan) = self.tariff.plan(&profile.plan) else {
            return Err(SubmitError::Unknown { what: "plan", name: profile.plan.to_string() });
        };
        if plan.access != profile.access {
            let reason = format!("plan {} is for {} lines", profile.plan, plan.access.as_str());
            return Err(item.bad("plan", reason).into());
        }
        if let Some(foreign) = profile.apns.iter().find(|a| !plan.apns.iter().any(|b| b.matches(a.as_str()))) {
            return Err(SubmitError::Unknown { what: "apn", name: foreign.to_string() });
        }
        if profile.access == Access::Cellular && profile.imsi.is_none() {
            return Err(item.bad("imsi", "a cellular line needs one").into());
        }
        if needs_visit(kind, profile.access) && profile.address.is_none() {
            return Err(item.bad("address", "somebody has to come: needs one").into());
        }
        Ok(())
    }
}

/// Whether IMSI, MSISDN and device are free for `line`, or held by the line it replaces.
pub(crate) async fn check_identifiers(
    store: &dyn Relational,
    profile: &Profile,
    line: &LineId,
    replaces: Option<&LineId>,
) -> Result<(), SubmitError> {
    let Profile { imsi, msisdn, device, .. } = profile;
    let named = store.lines_named(imsi.as_deref(), msisdn.as_deref(), device.as_ref()).await?;
    let is_in_the_way = |other: &&Line| other.id != *line && Some(&other.id) != replaces && is_live(other);
    let Some(theirs) = named.iter().find(is_in_the_way).map(|other| &other.profile) else { return Ok(()) };
    let (what, value) = if imsi.is_some() && theirs.imsi == *imsi {
        ("imsi", imsi.as_deref())
    } else if msisdn.is_some() && theirs.msisdn == *msisdn {
        ("msisdn", msisdn.as_deref())
    } else {
        ("deviceId", device.as_ref().map(|d| d.as_str()))
    };
    Err(SubmitError::Taken { what, value: value.unwrap_or_default().to_owned() })
}

/// Whether a line holds its identifiers: not ended, and not left over from an activation that failed.
fn is_live(line: &Line) -> bool {
    match line.actual {
        LineState::Terminated => false,
        LineState::Absent => !line.queue.is_empty() || line.intended != LineState::Absent,
        LineState::Active | LineState::Suspended => true,
    }
}

fn new_line(id: LineId, customer: CustomerId, profile: &Profile, old: Option<&Line>, now: Timestamp) -> Line {
    Line {
        account: AccountId::new(id.as_str()),
        id,
        customer,
        profile: profile.clone(),
        intended: LineState::Absent,
        actual: LineState::Absent,
        element: None,
        desired_version: 0,
        last_order: None,
        queue: vec![],
        reconnects: old.map(|o| o.id.clone()),
        periods: vec![],
        plans: vec![],
        created: now,
        version: 0,
    }
}

fn done_item(item: &NewItem, kind: OrderKind, line: &Line, code: &str) -> OrderItem {
    OrderItem {
        id: item.id.clone(),
        kind,
        line: line.id.clone(),
        profile: line.profile.clone(),
        reconnects: None,
        state: OrderState::Completed,
        code: Some(code.to_owned()),
        service: item.raw.clone(),
        action: item.action.as_str().to_owned(),
    }
}

fn distinct(item: &NewItem, line: &LineId, taken: &Taken) -> Result<(), BadRequest> {
    if taken.items.iter().any(|i| i.line == *line) {
        return Err(item.bad("service.id", format!("line {line} is in the order twice")));
    }
    Ok(())
}

impl From<SubmitError> for StoreError {
    fn from(e: SubmitError) -> Self {
        match e {
            SubmitError::Store(e) => e,
            other => StoreError::Broken { operation: "judge order", reason: other.to_string() },
        }
    }
}
