//! Faults of an element: what goes wrong, with which commands, how often.

use std::time::Duration;

use linegate_diameter::dictionary::command;

/// What goes wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Never answers, and does nothing.
    Silent,
    /// Carries the command out and answers late.
    Slow(Duration),
    /// Carries the command out; the answer is lost.
    AnswerLost,
    /// The first attempt of each order stores only a part and answers busy; the
    /// second carries it out. Commands other than provision are plain busy once.
    HalfApplied,
    /// Cuts the connection and stays away until told to come back.
    Disconnect,
    /// Refuses with a Result-Code.
    Refuse(u32),
    /// Refuses with an Experimental-Result of this vendor.
    RefuseExperimental {
        /// Vendor-Id.
        vendor: u32,
        /// Experimental-Result-Code.
        code: u32,
    },
}

/// Which commands a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Struck {
    /// Every request of the gateway but DWR and DPR.
    #[default]
    All,
    /// Provision of line provisioning.
    Provision,
    /// Query of line provisioning.
    Query,
    /// IDR, DSR and CLR of S6a.
    Mobility,
    /// RAR and ASR.
    Charging,
    /// The one with this command code.
    Command(u32),
}

impl Struck {
    /// Whether the command code is among them.
    pub const fn covers(self, command_code: u32) -> bool {
        match self {
            Struck::All => true,
            Struck::Provision => command_code == command::PROVISION,
            Struck::Query => command_code == command::QUERY,
            Struck::Mobility => matches!(
                command_code,
                command::INSERT_SUBSCRIBER_DATA | command::DELETE_SUBSCRIBER_DATA | command::CANCEL_LOCATION
            ),
            Struck::Command(code) => command_code == code,
            Struck::Charging => matches!(command_code, command::RE_AUTH | command::ABORT_SESSION),
        }
    }
}

/// One fault with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// With which commands.
    pub struck: Struck,
    /// How many times more; `None` until cleared.
    pub times: Option<u32>,
}

impl FaultRule {
    /// The fault with every command, until cleared.
    pub const fn always(fault: Fault) -> Self {
        Self { fault, struck: Struck::All, times: None }
    }
}

/// The faults that are set, first match wins.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<FaultRule>,
}

impl Faults {
    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// The fault that strikes this command, counted down.
    pub(super) fn strike(&mut self, command_code: u32) -> Option<Fault> {
        let at = self.rules.iter().position(|rule| rule.struck.covers(command_code))?;
        let rule = &mut self.rules[at];
        let fault = rule.fault.clone();
        if let Some(times) = &mut rule.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.rules.remove(at);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_commands_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(FaultRule { fault: Fault::Silent, struck: Struck::Provision, times: Some(2) });
        let mut check = |command_code, expected| assert_eq!(faults.strike(command_code), expected);
        check(command::QUERY, None);
        check(command::PROVISION, Some(Fault::Silent));
        check(command::PROVISION, Some(Fault::Silent));
        check(command::PROVISION, None);
    }
}
