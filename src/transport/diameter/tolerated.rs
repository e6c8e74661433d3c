//! What lenient peers were forgiven: counted each time, logged once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use linegate_diameter::codec::{AvpError, Problem};
use tracing::warn;

use crate::telemetry::metrics;

/// Deviations that are remembered as logged; past it they are only counted.
const LOGGED_MAX: usize = 1_000;

/// Host, vendor and code of the AVP, problem.
type Deviation = (Box<str>, u32, u32, &'static str);

/// The deviations that were logged.
#[derive(Debug, Default)]
pub(super) struct Tolerated {
    logged: Mutex<HashSet<Deviation>>,
}

impl Tolerated {
    /// Notes what a check let pass in a message of `host`.
    pub(super) fn note(&self, host: &str, command: &'static str, deviations: &[AvpError]) {
        for deviation in deviations {
            let problem = label(deviation.problem);
            metrics().diameter_tolerated.with_label_values(&[command, problem]).inc();
            let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
            if logged.len() < LOGGED_MAX && logged.insert((host.into(), deviation.vendor, deviation.code, problem)) {
                warn!(host, command, vendor = deviation.vendor, %deviation, "tolerated from a lenient peer; not logged again");
            }
        }
    }
}

const fn label(problem: Problem) -> &'static str {
    match problem {
        Problem::Unsupported => "unsupported",
        Problem::Bits => "bits",
        _ => "other",
    }
}
