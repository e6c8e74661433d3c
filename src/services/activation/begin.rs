//! The first step of every order: its turn on each line, and the second judgement.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{ItemRun, ItemRuns, Outside, store};
use crate::domain::activation::cause;
use crate::domain::ids::{OrderId, PlanId};
use crate::domain::line::{Line, LineState, QueuedOrder};
use crate::domain::ordering::{Order, OrderItem, OrderKind, Verdict, judge};
use crate::domain::request::ProfileChanges;
use crate::domain::time::Timestamp;
use crate::ports::relational::{StoreError, Write};
use crate::saga::{Acted, Step, StepContext, StepError, Wait, WaitUntil};
use crate::services::ordering::{SubmitError, check_identifiers};

pub(super) struct Begin(pub(super) Outside);

#[async_trait]
impl Step<Write> for Begin {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let id = OrderId::from(ctx.saga.as_str());
        let order = self.0.store.order(&id).await.map_err(store)?;
        let order = order.ok_or_else(|| StepError::stuck(cause::RECORD_MISSING, format!("order {id}: not stored")))?;
        if let Some(start) = order.requested_start.filter(|start| *start > ctx.now) {
            let reason = format!("requested start {start}");
            return Err(StepError::Wait(Wait { reason, until: WaitUntil::At(start) }));
        }
        let mut lines = BTreeMap::new();
        for item in going(&order) {
            lines.insert(item.line.clone(), self.0.line(&item.line).await?);
        }
        if let Some(joined) = self.join_queues(&order, &mut lines, ctx)? {
            return Ok(joined);
        }
        let changes: BTreeMap<String, ProfileChanges> =
            ctx.data.get("changes").and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
        let mut runs = ItemRuns::default();
        for item in going(&order) {
            let line = lines.get(&item.line).expect("every line of the order was loaded");
            runs.insert(self.run(item, line, changes.get(&item.id), ctx.now).await?);
        }
        let writes = runs
            .going()
            .map(|run| {
                let mut line = lines.remove(&run.line).expect("a line is in an order once");
                line.intended = run.target;
                line.last_order = Some(id.clone());
                if line.actual == LineState::Absent {
                    line.profile = run.after.clone();
                }
                Write::Line(line)
            })
            .collect();
        Ok(Acted::writes(writes).with(ItemRuns::NAME, runs.to_data()))
    }

    /// Everything else is undone: modems that were steered are told so. The lines
    /// are given back in the save that ends the saga.
    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        for run in ItemRuns::of(ctx.data).going() {
            for device in [&run.after.device, &run.before_profile.device].into_iter().flatten() {
                self.0.modems.desired_changed(device).await;
            }
        }
        Ok(Acted::nothing())
    }
}

impl Begin {
    /// Waits until the order is first on every line. A future-dated order joins
    /// the queues when its time has come, so that it does not block others before.
    fn join_queues(
        &self,
        order: &Order,
        lines: &mut BTreeMap<crate::domain::ids::LineId, Line>,
        ctx: &StepContext<'_>,
    ) -> Result<Option<Acted<Write>>, StepError> {
        let mut joined = Vec::new();
        for item in going(order) {
            let line = lines.get_mut(&item.line).expect("every line of the order was loaded");
            if line.queue.iter().any(|q| q.order == order.id) {
                continue;
            }
            if line.queue.len() >= self.0.settings.queue_max_per_line.max(1) {
                return Err(StepError::backoff(format!("line {}: its queue is full", line.id)));
            }
            line.queue.push(QueuedOrder { order: order.id.clone(), kind: item.kind });
            joined.push(Write::Line(line.clone()));
        }
        if !joined.is_empty() {
            let wait = Wait { reason: "its turn on the line".to_owned(), until: WaitUntil::At(ctx.now) };
            return Ok(Some(Acted { wait: Some(wait), ..Acted::writes(joined) }));
        }
        for item in going(order) {
            let line = &lines[&item.line];
            match line.queue.first() {
                Some(first) if first.order != order.id => {
                    return Err(StepError::signal(format!("line {}: order {} is before it", line.id, first.order)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    async fn run(
        &self,
        item: &OrderItem,
        line: &Line,
        changes: Option<&ProfileChanges>,
        now: Timestamp,
    ) -> Result<ItemRun, StepError> {
        let already = match judge(item.kind, line.actual) {
            Verdict::Go => None,
            Verdict::Already(code) => Some(code.to_owned()),
            Verdict::Illegal => return Err(illegal(item, line)),
        };
        if let Some(old) = &item.reconnects {
            let old = self.0.line(old).await?;
            if old.actual != LineState::Terminated {
                return match old.queue.first() {
                    Some(first) => Err(StepError::backoff(format!("line {}: order {} ends it", old.id, first.order))),
                    None => Err(illegal(item, &old)),
                };
            }
        }
        let book = self.0.tariff.book();
        let apns_of = |plan: &PlanId| book.plan_at(plan, now).map(|plan| plan.apns.clone()).unwrap_or_default();
        let after = match (item.kind, changes) {
            (OrderKind::Activate | OrderKind::Reconnect, _) => item.profile.clone(),
            (OrderKind::Modify, Some(changes)) => changes.apply(&line.profile, apns_of),
            _ => line.profile.clone(),
        };
        if matches!(item.kind, OrderKind::Activate | OrderKind::Reconnect | OrderKind::Modify) {
            let checked = check_identifiers(self.0.store.as_ref(), &after, &line.id, item.reconnects.as_ref()).await;
            checked.map_err(|e| match e {
                SubmitError::Taken { .. } => StepError::failed(cause::IDENTIFIER_TAKEN, e.to_string()),
                other => store(StoreError::from(other)),
            })?;
        }
        Ok(ItemRun {
            item: item.id.clone(),
            line: line.id.clone(),
            kind: item.kind,
            target: item.kind.target(line.actual),
            before: line.actual,
            before_profile: line.profile.clone(),
            before_element: line.element.clone(),
            before_version: line.desired_version,
            after,
            already,
        })
    }
}

fn going(order: &Order) -> impl Iterator<Item = &OrderItem> {
    order.items.iter().filter(|i| !i.state.is_final())
}

fn illegal(item: &OrderItem, line: &Line) -> StepError {
    let reason = format!("{} line {}: it is {}", item.kind.as_str(), line.id, line.actual.as_str());
    StepError::failed(cause::ILLEGAL_TRANSITION, reason)
}
