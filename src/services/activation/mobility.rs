//! The steps that touch what is going on now: the serving MME and the sessions
//! at the PGW-C. All of them are safe to repeat; "not attached here" and "no
//! such session" mean done.

use async_trait::async_trait;

use super::charging::sessions_name;
use super::{ItemRun, Outside, charged, key, network, run_of};
use crate::domain::line::{LineState, Profile};
use crate::domain::ordering::OrderKind;
use crate::ports::charging::OpenSession;
use crate::ports::network::ProvisionCommand;
use crate::ports::relational::Write;
use crate::saga::{Acted, Step, StepContext, StepError};

pub(super) struct EndSessions(pub(super) Outside);

#[async_trait]
impl Step<Write> for EndSessions {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let listed = ctx.data.get(&sessions_name(&run)).cloned().unwrap_or_default();
        let listed: Vec<OpenSession> = serde_json::from_value(listed).unwrap_or_default();
        let line = self.0.line(&run.line).await?;
        for open in &listed {
            let ended = self.0.elements.abort_session(&open.peer, &open.session).await;
            ended.map_err(|e| network(e, ctx.attempts, &self.0.settings))?;
            self.0.charging.session_ended(&line.account, &open.session).await.map_err(charged)?;
        }
        Ok(Acted::nothing())
    }

    /// An ended session stays ended; the device opens the next one itself.
    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

pub(super) struct Reauthorize(pub(super) Outside);

#[async_trait]
impl Step<Write> for Reauthorize {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let line = self.0.line(&run.line).await?;
        for open in self.0.charging.open_sessions(&line.account, &line.id).await.map_err(charged)? {
            let asked = self.0.elements.reauthorize(&open.peer, &open.session).await;
            asked.map_err(|e| network(e, ctx.attempts, &self.0.settings))?;
        }
        Ok(Acted::nothing())
    }

    /// Nothing to take back: the next quota is granted under the profile of then.
    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

pub(super) struct InsertSubscriber(pub(super) Outside);

#[async_trait]
impl Step<Write> for InsertSubscriber {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let Some((mme, imsi)) = self.0.attached(&run, &run.before_profile).await? else {
            return Ok(Acted::nothing());
        };
        let sent = if run.before_profile.imsi == run.after.imsi {
            let command = command(ctx, &run, "insert-subscriber", run.target, &run.after);
            self.0.elements.insert_subscriber_data(&mme, &imsi, &command).await
        } else {
            // Another SIM: the old one is not a subscriber any more.
            self.0.elements.cancel_location(&mme, &imsi, true).await
        };
        sent.map_err(|e| network(e, ctx.attempts, &self.0.settings))?;
        Ok(Acted::nothing())
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let Some((mme, imsi)) = self.0.attached(&run, &run.after).await? else { return Ok(Acted::nothing()) };
        let undone = if run.kind == OrderKind::Modify && run.before_profile.imsi == run.after.imsi {
            let command = command(ctx, &run, "insert-subscriber/undo", run.before, &run.before_profile);
            self.0.elements.insert_subscriber_data(&mme, &imsi, &command).await
        } else {
            self.0.elements.cancel_location(&mme, &imsi, run.before != LineState::Suspended).await
        };
        undone.map_err(|e| network(e, ctx.attempts, &self.0.settings))?;
        Ok(Acted::nothing())
    }
}

pub(super) struct DetachSubscriber(pub(super) Outside);

#[async_trait]
impl Step<Write> for DetachSubscriber {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let Some((mme, imsi)) = self.0.attached(&run, &run.before_profile).await? else {
            return Ok(Acted::nothing());
        };
        let withdrawn = run.target == LineState::Terminated;
        let sent = self.0.elements.cancel_location(&mme, &imsi, withdrawn).await;
        sent.map_err(|e| network(e, ctx.attempts, &self.0.settings))?;
        Ok(Acted::nothing())
    }

    /// A detached subscriber attaches again by itself, and the HSS lets it.
    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

impl Outside {
    /// The serving MME and the IMSI it knows the line by, while attached.
    async fn attached(&self, run: &ItemRun, profile: &Profile) -> Result<Option<(String, String)>, StepError> {
        let session = self.store.session(&run.line).await.map_err(super::store)?;
        Ok(session.serving_mme.zip(profile.imsi.clone()))
    }
}

fn command(ctx: &StepContext<'_>, run: &ItemRun, step: &str, state: LineState, profile: &Profile) -> ProvisionCommand {
    ProvisionCommand {
        key: key(ctx, run, step),
        line: run.line.clone(),
        action: run.kind,
        state,
        profile: profile.clone(),
    }
}
