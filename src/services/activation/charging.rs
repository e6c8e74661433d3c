//! The steps that bring a line's charging along.

use async_trait::async_trait;
use serde_json::json;

use super::{ItemRun, Outside, charged, key, run_of};
use crate::domain::line::{Line, LineState};
use crate::domain::time::Timestamp;
use crate::ports::relational::Write;
use crate::saga::{Acted, Step, StepContext, StepError};

/// Name of the open sessions in the saga's data.
pub(super) fn sessions_name(run: &ItemRun) -> String {
    format!("sessions/{}", run.item)
}

/// When the line came into its actual state on the element.
fn since(line: &Line, now: Timestamp) -> Timestamp {
    line.periods.last().filter(|p| p.span.until == Timestamp::MAX).map_or(now, |p| p.span.from)
}

pub(super) struct StopGrants(pub(super) Outside);

#[async_trait]
impl Step<Write> for StopGrants {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        let key = key(ctx, &run, "stop-grants");
        let sessions = self.0.charging.stop_grants(&key, &line.account, &line.id).await.map_err(charged)?;
        Ok(Acted::nothing().with(&sessions_name(&run), json!(sessions)))
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        let (key, at) = (key(ctx, &run, "stop-grants/undo"), ctx.now);
        self.0.charging.reach(&key, &line.account, &line.id, run.before, at).await.map_err(charged)?;
        Ok(Acted::nothing())
    }
}

pub(super) struct OpenCharging(pub(super) Outside);

#[async_trait]
impl Step<Write> for OpenCharging {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        let key = key(ctx, &run, "open-charging");
        self.0.charging.open_line(&key, &line, since(&line, ctx.now)).await.map_err(charged)?;
        Ok(Acted::nothing())
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        let key = key(ctx, &run, "open-charging/undo");
        let reached = self.0.charging.reach(&key, &line.account, &line.id, LineState::Absent, ctx.now).await;
        reached.map_err(charged)?;
        Ok(Acted::nothing())
    }
}

pub(super) struct ChangeCharging(pub(super) Outside);

#[async_trait]
impl Step<Write> for ChangeCharging {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        self.change(ctx, "change-charging", |run| &run.after).await
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        self.change(ctx, "change-charging/undo", |run| &run.before_profile).await
    }
}

impl ChangeCharging {
    async fn change(
        &self,
        ctx: &StepContext<'_>,
        step: &str,
        profile: fn(&ItemRun) -> &crate::domain::line::Profile,
    ) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let mut line = self.0.line(&run.line).await?;
        line.profile = profile(&run).clone();
        self.0.charging.change_line(&key(ctx, &run, step), &line, ctx.now).await.map_err(charged)?;
        Ok(Acted::nothing())
    }
}

pub(super) struct ReachCharging(pub(super) Outside);

#[async_trait]
impl Step<Write> for ReachCharging {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        let (key, at) = (key(ctx, &run, "reach-charging"), since(&line, ctx.now));
        let reached = self.0.charging.reach(&key, &line.account, &line.id, run.target, at).await;
        reached.map_err(charged).map_err(|e| match e {
            // Past the point of no return nothing turns round by itself.
            StepError::Failed { cause, reason } if run.target == LineState::Terminated => {
                StepError::Stuck { cause, reason }
            }
            other => other,
        })?;
        Ok(Acted::nothing())
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        let key = key(ctx, &run, "reach-charging/undo");
        self.0.charging.reach(&key, &line.account, &line.id, run.before, ctx.now).await.map_err(charged)?;
        Ok(Acted::nothing())
    }
}
