//! What people and cancel requests do to a saga. Pure: the caller saves the
//! record and the row together with whatever else changes, guarded by version.

use super::record::{Phase, SagaEvent, SagaEventKind, SagaRecord};
use crate::domain::time::Timestamp;

/// A verb that the saga's phase does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{verb} saga {saga}: it is {phase}")]
pub struct VerbError {
    /// What was asked.
    pub verb: &'static str,
    /// Of which saga.
    pub saga: String,
    /// Where it stands.
    pub phase: &'static str,
}

/// Asks the saga to turn round at the next safe point. A saga that is being
/// undone, or has ended, cannot be cancelled.
pub fn request_cancel(
    saga: &mut SagaRecord,
    cause: &str,
    by: &str,
    now: Timestamp,
) -> Result<Vec<SagaEvent>, VerbError> {
    let step = match saga.phase.clone() {
        Phase::Forward { step } => step,
        Phase::Stuck { step, undoing: false, .. } => {
            saga.phase = Phase::Backward { step, cause: cause.to_owned() };
            step
        }
        _ => return Err(refused("cancel", saga)),
    };
    saga.cancel = Some(cause.to_owned());
    wake(saga, now);
    Ok(vec![intervened(step, by, "cancel", now)])
}

/// Runs the step that is stuck again.
pub fn retry(saga: &mut SagaRecord, by: &str, now: Timestamp) -> Result<Vec<SagaEvent>, VerbError> {
    let Phase::Stuck { step, undoing, turned, cause } = saga.phase.clone() else {
        return Err(refused("retry", saga));
    };
    let (phase, begun) = if undoing {
        (Phase::Backward { step, cause: turned.unwrap_or(cause) }, SagaEventKind::UndoBegun)
    } else {
        (Phase::Forward { step }, SagaEventKind::Begun)
    };
    saga.phase = phase;
    wake(saga, now);
    Ok(vec![intervened(step, by, "retry", now), SagaEvent { step, kind: begun, at: now }])
}

/// Undoes what was done up to the step that is stuck.
pub fn roll_back(saga: &mut SagaRecord, by: &str, now: Timestamp) -> Result<Vec<SagaEvent>, VerbError> {
    let Phase::Stuck { step, undoing: false, cause, .. } = saga.phase.clone() else {
        return Err(refused("roll back", saga));
    };
    saga.phase = Phase::Backward { step, cause };
    wake(saga, now);
    Ok(vec![intervened(step, by, "fail", now)])
}

/// Takes the step that is stuck for done (or for undone), because a person did it by hand.
pub fn skip(saga: &mut SagaRecord, by: &str, now: Timestamp) -> Result<Vec<SagaEvent>, VerbError> {
    let Phase::Stuck { step, undoing, turned, cause } = saga.phase.clone() else {
        return Err(refused("skip", saga));
    };
    let (phase, kind) = if undoing {
        (Phase::Backward { step, cause: turned.unwrap_or(cause) }, SagaEventKind::Undone)
    } else {
        (Phase::Forward { step: step + 1 }, SagaEventKind::Done)
    };
    saga.phase = phase;
    wake(saga, now);
    Ok(vec![intervened(step, by, "skip", now), SagaEvent { step, kind, at: now }])
}

fn wake(saga: &mut SagaRecord, now: Timestamp) {
    saga.wake_at = now;
    saga.attempts = 0;
    saga.waiting_for = None;
}

fn intervened(step: usize, by: &str, verb: &str, at: Timestamp) -> SagaEvent {
    SagaEvent { step, kind: SagaEventKind::Intervened { by: by.to_owned(), verb: verb.to_owned() }, at }
}

fn refused(verb: &'static str, saga: &SagaRecord) -> VerbError {
    VerbError { verb, saga: saga.id.to_string(), phase: saga.phase.as_str() }
}
