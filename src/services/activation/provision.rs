//! The line's element: the one step that moves a line's actual state.

use async_trait::async_trait;

use super::{ItemRun, Outside, key, line_happening, network, run_of};
use crate::domain::activation::cause;
use crate::domain::ids::ElementId;
use crate::domain::line::{Line, LineState, Profile};
use crate::domain::ordering::OrderKind;
use crate::domain::time::Timestamp;
use crate::ports::network::{Held, NetworkError, ProvisionCommand};
use crate::ports::relational::Write;
use crate::saga::{Acted, Step, StepContext, StepError};

pub(super) struct Provision(pub(super) Outside);

#[async_trait]
impl Step<Write> for Provision {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let mut line = self.0.line(&run.line).await?;
        let element = self.element(&line)?;
        let command = ProvisionCommand {
            key: key(ctx, &run, "provision"),
            line: run.line.clone(),
            // A reconnected line is a new one to its element.
            action: if run.kind == OrderKind::Reconnect { OrderKind::Activate } else { run.kind },
            state: run.target,
            profile: run.after.clone(),
        };
        let held = self.tell(&element, &command, ctx.attempts).await?;
        if held.state != run.target {
            let reason = format!("element {element}: line {} is {}", run.line, held.state.as_str());
            return Err(StepError::stuck(cause::ELEMENT_MISMATCH, reason));
        }
        line.element = Some(element);
        Ok(Acted::writes(reached(line, run.target, &run.after, ctx.now)))
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let mut line = self.0.line(&run.line).await?;
        let element = self.element(&line)?;
        let held =
            self.0.elements.query(&element, &run.line).await.map_err(|e| network(e, ctx.attempts, &self.0.settings))?;
        if !is_as_before(&held, &run) {
            for (step, action, state) in back(&run) {
                let command = ProvisionCommand {
                    key: key(ctx, &run, step),
                    line: run.line.clone(),
                    action,
                    state,
                    profile: run.before_profile.clone(),
                };
                let held = self.tell(&element, &command, ctx.attempts).await?;
                let forgot = state == LineState::Terminated && held.state == LineState::Absent;
                if held.state != state && !forgot {
                    let reason = format!("element {element}: line {} stays {}", run.line, held.state.as_str());
                    return Err(StepError::stuck(cause::ELEMENT_MISMATCH, reason));
                }
            }
        }
        line.element = run.before_element.clone();
        if line.desired_version != run.before_version {
            // The modem may have been told: what it is told next must be newer.
            line.desired_version += 1;
        }
        let never_in_service = matches!(run.kind, OrderKind::Activate | OrderKind::Reconnect);
        let mut writes = reached(line, run.before, &run.before_profile, ctx.now);
        if let (true, Some(Write::Line(line))) = (never_in_service, writes.first_mut()) {
            // Nobody pays for a line whose activation was undone.
            line.periods.clear();
            line.plans.clear();
        }
        Ok(Acted::writes(writes))
    }
}

impl Provision {
    fn element(&self, line: &Line) -> Result<ElementId, StepError> {
        let access = line.profile.access;
        match line.element.clone().or_else(|| self.0.elements.element_for(access)) {
            Some(element) => Ok(element),
            None => Err(network(NetworkError::NoElement { access }, 0, &self.0.settings)),
        }
    }

    /// Commands an element. When the answer never comes the element is asked
    /// whether it has applied the command, and told once more when it has not.
    async fn tell(&self, element: &ElementId, command: &ProvisionCommand, attempts: u32) -> Result<Held, StepError> {
        let elements = &self.0.elements;
        let failed = |e| network(e, attempts, &self.0.settings);
        match elements.provision(element, command).await {
            Err(NetworkError::Unknown { .. }) => {
                let held = elements.query(element, &command.line).await.map_err(failed)?;
                if held.last_key.as_deref() == Some(command.key.as_str()) {
                    return Ok(held);
                }
                elements.provision(element, command).await.map_err(failed)
            }
            other => other.map_err(failed),
        }
    }
}

/// The commands that take an item back, each with the state that it leads to.
/// An element keeps a line that it has held as terminated; to us it is absent again.
fn back(run: &ItemRun) -> Vec<(&'static str, OrderKind, LineState)> {
    const UNDO: &str = "provision/undo";
    match (run.kind, run.before) {
        (OrderKind::Activate | OrderKind::Reconnect, _) => vec![(UNDO, OrderKind::Terminate, LineState::Terminated)],
        (OrderKind::Suspend, before) => vec![(UNDO, OrderKind::Resume, before)],
        (OrderKind::Resume, before) => vec![(UNDO, OrderKind::Suspend, before)],
        (OrderKind::Modify, before) => vec![(UNDO, OrderKind::Modify, before)],
        (OrderKind::Terminate, LineState::Suspended) => vec![
            ("provision/undo-reconnect", OrderKind::Reconnect, LineState::Active),
            (UNDO, OrderKind::Suspend, LineState::Suspended),
        ],
        (OrderKind::Terminate, before) => vec![(UNDO, OrderKind::Reconnect, before)],
    }
}

fn is_as_before(held: &Held, run: &ItemRun) -> bool {
    let gone = matches!(held.state, LineState::Absent | LineState::Terminated);
    if run.before == LineState::Absent && gone {
        return true;
    }
    if held.state != run.before {
        return false;
    }
    let profile = &run.before_profile;
    let same_plan = held.plan.as_deref().is_none_or(|plan| plan == profile.plan.as_str());
    let same_apns =
        held.apns.len() == profile.apns.len() && profile.apns.iter().all(|a| held.apns.iter().any(|b| a.matches(b)));
    // An element answers with plan and APNs only, so a changed SIM or modem is always told again.
    let same_ids = run.before_profile.identifiers() == run.after.identifiers();
    held.state == LineState::Absent || (same_plan && same_apns && same_ids)
}

/// The line as its element holds it, and the event that says so.
fn reached(mut line: Line, state: LineState, profile: &Profile, now: Timestamp) -> Vec<Write> {
    let (was, had) = (line.actual, line.profile.clone());
    line.change_plan(profile.plan.clone(), now);
    line.profile = profile.clone();
    line.reach(state, now);
    let event = match (was != state, had != *profile) {
        (true, _) => Some(line_happening("ServiceStateChangeEvent", &line, now)),
        (false, true) => Some(line_happening("ServiceAttributeValueChangeEvent", &line, now)),
        (false, false) => None,
    };
    std::iter::once(Write::Line(line)).chain(event).collect()
}
