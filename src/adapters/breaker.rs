//! A circuit breaker: after failures in a row nobody asks for a while, then one
//! asks, and its answer decides.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;

/// Whether the other side is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// It is.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// One asks; whoever comes meanwhile does not.
    HalfOpen {
        /// When another one may, because nothing was heard of the first.
        until: Timestamp,
    },
    /// It is not.
    Open {
        /// Until then.
        until: Timestamp,
    },
}

impl Circuit {
    /// For a gauge: 0 closed, 1 half-open, 2 open.
    pub const fn as_gauge(self) -> i64 {
        match self {
            Circuit::Closed { .. } => 0,
            Circuit::HalfOpen { .. } => 1,
            Circuit::Open { .. } => 2,
        }
    }
}

/// The breaker.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    rest: Duration,
    circuit: Mutex<Circuit>,
}

impl Breaker {
    /// Opens after so many failures in a row (at least 1), for `rest`.
    pub fn new(failures_max: u32, rest: Duration) -> Self {
        Self { failures_max: failures_max.max(1), rest, circuit: Mutex::new(Circuit::Closed { failures: 0 }) }
    }

    /// Where it stands.
    pub fn circuit(&self) -> Circuit {
        *self.lock()
    }

    /// Whether the caller may ask at `now`; who may, says what came of it.
    pub fn admits(&self, now: Timestamp) -> bool {
        let mut circuit = self.lock();
        match *circuit {
            Circuit::Closed { .. } => true,
            Circuit::Open { until } | Circuit::HalfOpen { until } if now < until => false,
            Circuit::Open { .. } | Circuit::HalfOpen { .. } => {
                *circuit = Circuit::HalfOpen { until: now.plus(self.rest) };
                true
            }
        }
    }

    /// It has answered. Whether it had not before: who waits for it may go on.
    pub fn succeeded(&self) -> bool {
        let before = std::mem::replace(&mut *self.lock(), Circuit::Closed { failures: 0 });
        !matches!(before, Circuit::Closed { .. })
    }

    /// It has not answered. Whether the circuit opened with it.
    pub fn failed(&self, now: Timestamp) -> bool {
        let mut circuit = self.lock();
        let failures = match *circuit {
            Circuit::Closed { failures } => failures.saturating_add(1),
            Circuit::HalfOpen { .. } => self.failures_max,
            // One that was asked before it opened.
            Circuit::Open { .. } => return false,
        };
        let opens = failures >= self.failures_max;
        *circuit = if opens { Circuit::Open { until: now.plus(self.rest) } } else { Circuit::Closed { failures } };
        opens
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_call_closes_it_again() {
        let breaker = Breaker::new(2, Duration::from_millis(100));
        let at = Timestamp;
        assert!(breaker.admits(at(0)) && !breaker.failed(at(0)));
        assert!(breaker.admits(at(1)) && !breaker.succeeded());
        assert!(!breaker.failed(at(2)));
        assert!(breaker.failed(at(3)));
        assert_eq!(breaker.circuit(), Circuit::Open { until: at(103) });
        assert!(!breaker.admits(at(102)) && !breaker.failed(at(102)));
        // Half-open: one asks, the others wait.
        assert!(breaker.admits(at(103)) && !breaker.admits(at(104)));
        assert!(breaker.failed(at(105)));
        assert!(!breaker.admits(at(204)) && breaker.admits(at(205)));
        // Nothing was heard of the one that asked.
        assert!(!breaker.admits(at(304)) && breaker.admits(at(305)));
        assert!(breaker.succeeded());
        assert_eq!(breaker.circuit().as_gauge(), 0);
        assert!(breaker.admits(at(306)));
    }
}
