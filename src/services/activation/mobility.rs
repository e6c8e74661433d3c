//! The steps that touch what is going on now: the serving MME and the sessions
//! at the PGW-C. All of them are safe to repeat; "not attached here" and "no
//! such session" mean done.
//!
//! None of them waits for ever. No quota is granted to the line by then, so a
//! PGW-C that is not reached keeps no order: it goes on after some tries. What an
//! MME holds lets the subscriber through, so an MME that is not reached is
//! fallout, for a person to retry or to skip.

use async_trait::async_trait;

use super::charging::sessions_name;
use super::{ItemRun, Outside, charged, key, network, reauthorize, run_of};
use crate::domain::activation::{ActivationStep, cause};
use crate::domain::line::{LineState, Profile};
use crate::domain::ordering::OrderKind;
use crate::ports::charging::OpenSession;
use crate::ports::network::{Cancellation, NetworkError, ProvisionCommand};
use crate::ports::relational::Write;
use crate::saga::{Acted, Step, StepContext, StepError};
use crate::telemetry::metrics;

pub(super) struct EndSessions(pub(super) Outside);

#[async_trait]
impl Step<Write> for EndSessions {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let listed = ctx.data.get(&sessions_name(&run)).cloned().unwrap_or_default();
        let listed: Vec<OpenSession> = serde_json::from_value(listed).unwrap_or_default();
        if listed.is_empty() {
            return Ok(Acted::nothing());
        }
        let line = self.0.line(&run.line).await?;
        // Charging has a session open until its client reports the end, ended by us or not.
        let still = self.0.charging.open_sessions(&line.account, &line.id).await.map_err(charged)?;
        let mut waits = Ok(Acted::nothing());
        for open in listed.iter().filter(|open| still.contains(open)) {
            let ended = self.0.elements.abort_session(open.peer.as_str(), &open.session).await;
            match self.0.session_told(ctx, ActivationStep::EndSessions, open, ended) {
                Ok(()) => self.0.charging.session_ended(&line.account, &open.session).await.map_err(charged)?,
                // The sessions at other peers are ended all the same.
                Err(wait) => waits = waits.and(Err(wait)),
            }
        }
        waits
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
        let mut waits = Ok(Acted::nothing());
        let asked = reauthorize(&*self.0.charging, &*self.0.elements, &line.account, &line.id).await;
        for (open, asked) in asked.map_err(charged)? {
            if let Err(wait) = self.0.session_told(ctx, ActivationStep::Reauthorize, &open, asked) {
                waits = waits.and(Err(wait));
            }
        }
        waits
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
            match run.kind {
                OrderKind::Modify => {
                    self.0.elements.modify_subscription(&mme, &imsi, &run.before_profile, &command).await
                }
                _ => self.0.elements.insert_subscriber_data(&mme, &imsi, &command).await,
            }
        } else {
            // Another SIM: the old one is not a subscriber any more.
            self.0.elements.cancel_location(&mme, &imsi, Cancellation::Withdrawn).await
        };
        sent.map_err(|e| self.0.mme(ctx, e))?;
        Ok(Acted::nothing())
    }

    async fn undo(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)? else { return Ok(Acted::nothing()) };
        let Some((mme, imsi)) = self.0.attached(&run, &run.after).await? else { return Ok(Acted::nothing()) };
        let undone = if run.kind == OrderKind::Modify && run.before_profile.imsi == run.after.imsi {
            let command = command(ctx, &run, "insert-subscriber/undo", run.before, &run.before_profile);
            self.0.elements.modify_subscription(&mme, &imsi, &run.after, &command).await
        } else {
            let barred = run.before == LineState::Suspended;
            let why = if barred { Cancellation::Reattach } else { Cancellation::Withdrawn };
            self.0.elements.cancel_location(&mme, &imsi, why).await
        };
        undone.map_err(|e| self.0.mme(ctx, e))?;
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
        let ends = run.target == LineState::Terminated;
        let why = if ends { Cancellation::Withdrawn } else { Cancellation::Reattach };
        let sent = self.0.elements.cancel_location(&mme, &imsi, why).await;
        sent.map_err(|e| self.0.mme(ctx, e))?;
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

    /// What a PGW-C's answer about a session means: done, or another try. A refusal
    /// and the last try are done too. The line gets no quota from here on, or its
    /// next under the new profile, so what the peer does not know costs nothing.
    fn session_told(
        &self,
        ctx: &StepContext<'_>,
        step: ActivationStep,
        open: &OpenSession,
        told: Result<bool, NetworkError>,
    ) -> Result<(), StepError> {
        let Err(error) = told else { return Ok(()) };
        let left = ctx.attempts.saturating_add(1) < self.settings.session_end_tries;
        match unreached(&error) {
            Some(wait) if left => Err(wait),
            _ => {
                metrics().saga_steps.with_label_values(&[step.as_str(), "gave-up"]).inc();
                let (order, step) = (ctx.saga, step.as_str());
                tracing::warn!(%order, step, peer = %open.peer, %error, "go on without the peer");
                Ok(())
            }
        }
    }

    /// What a serving MME's error means.
    fn mme(&self, ctx: &StepContext<'_>, error: NetworkError) -> StepError {
        let limit = match error {
            NetworkError::Unknown { .. } => self.settings.unknown_outcome_tries,
            _ => self.settings.mobility_tries,
        };
        let left = ctx.attempts.saturating_add(1) < limit;
        match (unreached(&error), &error) {
            (Some(wait), _) if left => wait,
            (_, NetworkError::Away { .. } | NetworkError::Busy { .. }) => {
                StepError::stuck(cause::MME_UNREACHABLE, error.to_string())
            }
            (_, NetworkError::Unknown { .. }) => StepError::stuck(cause::ELEMENT_UNKNOWN_OUTCOME, error.to_string()),
            _ => network(error, ctx.attempts, &self.settings),
        }
    }
}

/// Waits for a peer that was not reached. One text for every way of that: another
/// text would be another wait, and a peer that comes and goes without ever
/// answering would be tried for ever.
fn unreached(error: &NetworkError) -> Option<StepError> {
    match error {
        NetworkError::Away { element } | NetworkError::Unknown { element, .. } | NetworkError::Busy { element, .. } => {
            Some(StepError::backoff(format!("element {element}: away, busy or silent")))
        }
        NetworkError::Refused { .. } | NetworkError::NoElement { .. } => None,
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
