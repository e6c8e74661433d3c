//! Requests of one connection by command and result, and how long they took: what the
//! metrics are counted in, looked up once.

use std::time::Instant;

use linegate_diameter::ResultCode;
use prometheus::{Histogram, IntCounter};

use crate::telemetry::metrics;

/// What the connection has counted before: a few commands, each with a few results.
#[derive(Default)]
pub(super) struct Tally {
    known: Vec<Counted>,
}

struct Counted {
    command: &'static str,
    /// `None` for a code without a name: what an element behind us answers may be any number.
    result: Option<ResultCode>,
    requests: IntCounter,
    seconds: Histogram,
}

impl Tally {
    /// Counts a request that came at `started` and is answered at `now`.
    pub(super) fn count(&mut self, command: &'static str, code: ResultCode, started: Instant, now: Instant) {
        let result = code.name().map(|_| code);
        let known = self.known.iter().position(|c| c.result == result && c.command == command);
        let at = known.unwrap_or_else(|| {
            self.known.push(Counted::new(command, result));
            self.known.len() - 1
        });
        self.known[at].requests.inc();
        self.known[at].seconds.observe(now.saturating_duration_since(started).as_secs_f64());
    }
}

impl Counted {
    fn new(command: &'static str, result: Option<ResultCode>) -> Self {
        let label = result.map_or_else(|| "other".to_owned(), |code| code.0.to_string());
        let requests = metrics().diameter_requests.with_label_values(&[command, &label]);
        let seconds = metrics().diameter_request_seconds.with_label_values(&[command]);
        Self { command, result, requests, seconds }
    }
}
