//! What a saga's log means: the state of each step, and which row may follow which.

use super::record::{SagaEvent, SagaEventKind};

/// Where one step stands, read from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// No row.
    Never,
    /// Begun; acting, waiting, or cut off by a crash.
    Begun,
    /// Acted.
    Done,
    /// Refused for good.
    Failed,
    /// Being undone, or cut off there.
    UndoBegun,
    /// Undone.
    Undone,
    /// Waits for a person, going forward.
    StuckForward,
    /// Waits for a person, going back.
    StuckBackward,
}

impl StepStatus {
    /// The explicit transition match: the status after a row, if the row is legal there.
    pub const fn after(self, kind: &SagaEventKind) -> Option<StepStatus> {
        use SagaEventKind as E;
        use StepStatus::{Begun, Done, Failed, Never, StuckBackward, StuckForward, UndoBegun, Undone};
        match (self, kind) {
            // forward
            (Never, E::Begun) => Some(Begun),
            (Begun, E::Waits { .. }) => Some(Begun),
            (Begun, E::Done) => Some(Done),
            (Begun, E::Failed { .. }) => Some(Failed),
            (Begun, E::Stuck { .. }) => Some(StuckForward),
            // a person: retried steps are begun again, skipped ones are done
            (StuckForward, E::Begun) => Some(Begun),
            (StuckForward, E::Done) => Some(Done),
            // back
            (Begun | Done | Failed | StuckForward, E::UndoBegun) => Some(UndoBegun),
            (UndoBegun, E::Waits { .. }) => Some(UndoBegun),
            (UndoBegun, E::Undone) => Some(Undone),
            (UndoBegun, E::Stuck { .. }) => Some(StuckBackward),
            (StuckBackward, E::UndoBegun) => Some(UndoBegun),
            (StuckBackward, E::Undone) => Some(Undone),
            // a note of an intervention moves no step
            (status, E::Intervened { .. }) => Some(status),
            _ => None,
        }
    }

    /// Begun and not undone: has to be undone when the saga turns round.
    pub const fn is_live(self) -> bool {
        !matches!(self, StepStatus::Never | StepStatus::Undone)
    }
}

/// A row that may not follow what is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saga log: step {step} is {status:?} and cannot take {event:?}")]
pub struct IllegalEvent {
    /// Index into the plan.
    pub step: usize,
    /// Where the step stands.
    pub status: StepStatus,
    /// The row.
    pub event: SagaEventKind,
}

/// The status of every step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    steps: Vec<StepStatus>,
}

impl LogState {
    /// Reads a whole log of a plan with `steps` steps.
    pub fn replay(steps: usize, log: &[SagaEvent]) -> Result<Self, IllegalEvent> {
        let mut state = Self { steps: vec![StepStatus::Never; steps] };
        for event in log {
            state.apply(event)?;
        }
        Ok(state)
    }

    /// Takes one more row.
    pub fn apply(&mut self, event: &SagaEvent) -> Result<(), IllegalEvent> {
        let status = self.status(event.step);
        let next = status.after(&event.kind).ok_or_else(|| IllegalEvent {
            step: event.step,
            status,
            event: event.kind.clone(),
        })?;
        if let Some(slot) = self.steps.get_mut(event.step) {
            *slot = next;
        }
        Ok(())
    }

    /// Where a step stands; [`StepStatus::Never`] past the end.
    pub fn status(&self, step: usize) -> StepStatus {
        self.steps.get(step).copied().unwrap_or(StepStatus::Never)
    }

    /// The next step to undo: the last one that was begun and is not undone.
    pub fn last_live(&self) -> Option<usize> {
        self.steps.iter().rposition(|s| s.is_live())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn check(kinds: &[SagaEventKind], expected: Result<StepStatus, StepStatus>) {
        let log: Vec<_> =
            kinds.iter().map(|kind| SagaEvent { step: 0, kind: kind.clone(), at: Timestamp(0) }).collect();
        let found = LogState::replay(1, &log).map(|s| s.status(0)).map_err(|e| e.status);
        assert_eq!(found, expected, "{kinds:?}");
    }

    #[test]
    fn a_log_takes_only_legal_rows() {
        use SagaEventKind::{Begun, Done, Stuck, UndoBegun, Undone};
        let stuck = Stuck { cause: "x".into(), reason: "y".into() };
        check(&[], Ok(StepStatus::Never));
        check(&[Begun, Done], Ok(StepStatus::Done));
        check(&[Begun, Done, UndoBegun, Undone], Ok(StepStatus::Undone));
        check(&[Begun, stuck.clone(), Begun, Done], Ok(StepStatus::Done));
        check(&[Begun, UndoBegun, stuck, UndoBegun, Undone], Ok(StepStatus::Undone));
        check(&[Done], Err(StepStatus::Never));
        check(&[Begun, Begun], Err(StepStatus::Begun));
        check(&[Begun, Done, Done], Err(StepStatus::Done));
        check(&[Begun, UndoBegun, Done], Err(StepStatus::UndoBegun));
        check(&[Begun, UndoBegun, Undone, Begun], Err(StepStatus::Undone));
    }
}
