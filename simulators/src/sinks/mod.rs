//! The servers that the gateway delivers to: mail, and HTTP for the SMS gateway
//! and webhooks. Each keeps what it was given, up to a limit, and fails on demand.

mod http;
mod mail;
mod mime;

pub use http::{HttpFault, HttpRequest, HttpSink};
pub use mail::{MailFault, MailSink};
pub use mime::{Attachment, Mail};

use std::time::Duration;

use tokio::sync::watch;

/// Deliveries that a sink keeps; the oldest go first.
const KEPT_MAX: usize = 100_000;

/// Waits until a count that only rises reaches `count`; false when the time ran out.
async fn reaches(counted: &watch::Sender<usize>, count: usize, wait: Duration) -> bool {
    let mut counted = counted.subscribe();
    matches!(tokio::time::timeout(wait, counted.wait_for(|have| *have >= count)).await, Ok(Ok(_)))
}
