//! Modems that are to be told once more.
//!
//! A change waits in memory until the broker has it. After a start, and after some
//! were refused because too many waited, every modem that has not reported its newest
//! version is told again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::outgoing::{BrokerModems, Outgoing};
use crate::ports::modem::ModemIntake;

/// Read at once.
const PAGE: u64 = 500;
/// Between looks whether somebody was missed, and whether there is room again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn tell(intake: Arc<dyn ModemIntake>, modems: BrokerModems, stop: CancellationToken) {
    let mut after = None;
    let mut telling = true;
    loop {
        telling |= modems.take_missed();
        while telling && modems.has_room() {
            match intake.behind(after.as_ref(), PAGE).await {
                Ok(devices) => {
                    after = devices.last().cloned();
                    telling = after.is_some();
                    devices.into_iter().for_each(|device| modems.push(Outgoing::Desired(device)));
                }
                Err(error) => {
                    debug!(%error, "read the modems that are behind");
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
