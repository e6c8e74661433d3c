//! Cellular lines for charging without sockets.

use linegate::domain::account::AccountCommand;
use linegate::domain::ids::{CustomerId, LineId, PlanId};
use linegate::domain::line::{Access, LineState, Profile};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::Identifier;

/// The subscriber of line `n`.
pub(crate) fn imsi(n: usize) -> Identifier {
    Identifier::imsi(digits(n))
}

fn digits(n: usize) -> String {
    format!("45008{n:010}")
}

pub(crate) fn line_id(n: usize) -> LineId {
    LineId::from(format!("l{n}"))
}

/// Opens line `n`, with its IMSI alone.
pub(crate) fn open(n: usize, plan: &str, at: Timestamp) -> AccountCommand {
    let profile = Profile {
        access: Access::Cellular,
        imsi: Some(digits(n)),
        msisdn: None,
        device: None,
        apns: vec![],
        plan: PlanId::from(plan),
        source: None,
        address: None,
        email: None,
        phone: None,
    };
    AccountCommand::OpenLine {
        key: format!("open-{n}"),
        line: line_id(n),
        customer: CustomerId::from("c1"),
        anchor_day: 1,
        zone: "Asia/Seoul".to_owned(),
        profile: Box::new(profile),
        state: LineState::Active,
        at,
    }
}
