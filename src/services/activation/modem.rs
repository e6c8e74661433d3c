//! Modems: each is brought to a new desired state and told of it.

use async_trait::async_trait;

use super::{Outside, run_of};
use crate::ports::relational::Write;
use crate::saga::{Acted, Step, StepContext, StepError};

/// Brings the desired state up by one version. The undo is [`super::provision`]'s:
/// the version may only rise again once the line's actual state is back.
pub(super) struct SteerModem(pub(super) Outside);

#[async_trait]
impl Step<Write> for SteerModem {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        let Some(run) = run_of(ctx)?.filter(|r| r.after.device.is_some()) else { return Ok(Acted::nothing()) };
        let mut line = self.0.line(&run.line).await?;
        line.desired_version += 1;
        Ok(Acted::writes(vec![Write::Line(line)]))
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}

/// Tells the modem, once its desired state is stored. Does not wait for it: one
/// that is asleep converges when it comes back.
pub(super) struct TellModem(pub(super) Outside);

#[async_trait]
impl Step<Write> for TellModem {
    async fn act(&self, ctx: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        if let Some(device) = run_of(ctx)?.and_then(|run| run.after.device) {
            self.0.modems.desired_changed(&device).await;
        }
        Ok(Acted::nothing())
    }

    /// Told again when the whole order is undone, by the undo of its first step.
    async fn undo(&self, _: &StepContext<'_>) -> Result<Acted<Write>, StepError> {
        Ok(Acted::nothing())
    }
}
