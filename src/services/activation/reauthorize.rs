//! Calling a line's open sessions back for quota (RFC 8506 section 5.5), after
//! something has changed what they may have: a profile, or what is left.

use crate::domain::ids::{AccountId, LineId};
use crate::ports::charging::{LineCharging, LineChargingError, OpenSession};
use crate::ports::network::{Elements, NetworkError};

/// A session, and what its client said: `Ok(false)`, it is unknown there.
pub type Told = (OpenSession, Result<bool, NetworkError>);

/// Sends a RAR for each open session of the line. Safe to repeat; a session whose
/// client was not reached comes back by itself when its grant's validity ends.
///
/// # Errors
/// Charging did not say which sessions are open; nobody was asked.
pub async fn reauthorize(
    charging: &dyn LineCharging,
    elements: &dyn Elements,
    account: &AccountId,
    line: &LineId,
) -> Result<Vec<Told>, LineChargingError> {
    let mut told = Vec::new();
    for open in charging.open_sessions(account, line).await? {
        let asked = elements.reauthorize(open.peer.as_str(), &open.session).await;
        told.push((open, asked));
    }
    Ok(told)
}
