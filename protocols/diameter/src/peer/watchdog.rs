//! The watchdog (RFC 3539 section 3.4.1) of an open connection.
//!
//! INITIAL and DOWN have no connection and lie outside this machine.

/// OKAY, SUSPECT and REOPEN, each with what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watchdog {
    Okay {
        /// A DWR waits for its DWA.
        pending: bool,
    },
    Suspect,
    Reopen {
        pending: bool,
        /// DWAs that came since the connection; `None` is NumDWA -1: one
        /// period went by without any.
        answers: Option<u8>,
    },
}

/// What the connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    None,
    SetWatchdog,
    SendWatchdog,
    Failover,
    Failback,
    CloseConnection,
}

impl Watchdog {
    /// Connection up.
    pub(super) const fn start(reopen: bool) -> (Self, Action) {
        if reopen {
            // DOWN, connection up: NumDWA = 0, SendWatchdog, Pending -> REOPEN
            (Self::Reopen { pending: true, answers: Some(0) }, Action::SendWatchdog)
        } else {
            // INITIAL, connection up: SetWatchdog, OpenConnection -> OKAY
            (Self::Okay { pending: false }, Action::SetWatchdog)
        }
    }

    /// A DWA came.
    pub(super) const fn on_answer(self, needed: u8) -> (Self, Action) {
        match self {
            // OKAY, receive DWA: Pending = FALSE, SetWatchdog -> OKAY
            Self::Okay { .. } => (Self::Okay { pending: false }, Action::SetWatchdog),
            // SUSPECT, receive DWA: Pending = FALSE, Failback, SetWatchdog -> OKAY
            Self::Suspect => (Self::Okay { pending: false }, Action::Failback),
            Self::Reopen { answers, .. } => {
                let answers = match answers {
                    Some(answers) => answers + 1,
                    None => 0,
                };
                if answers >= needed {
                    // REOPEN, receive DWA & NumDWA == 2: NumDWA++, Failback -> OKAY
                    (Self::Okay { pending: false }, Action::Failback)
                } else {
                    // REOPEN, receive DWA & NumDWA < 2: Pending = FALSE, NumDWA++ -> REOPEN
                    (Self::Reopen { pending: false, answers: Some(answers) }, Action::None)
                }
            }
        }
    }

    /// Anything but a DWA came.
    pub(super) const fn on_other(self) -> (Self, Action) {
        match self {
            // OKAY, receive non-DWA: SetWatchdog -> OKAY
            Self::Okay { .. } => (self, Action::SetWatchdog),
            // SUSPECT, receive non-DWA: Failback, SetWatchdog -> OKAY
            Self::Suspect => (Self::Okay { pending: false }, Action::Failback),
            // REOPEN, receive non-DWA: Throwaway -> REOPEN; see the module for
            // why the message itself is served
            Self::Reopen { .. } => (self, Action::None),
        }
    }

    /// The period is over.
    pub(super) const fn on_timer(self) -> (Self, Action) {
        match self {
            // OKAY, timer expires & !Pending: SendWatchdog, SetWatchdog, Pending -> OKAY
            Self::Okay { pending: false } => (Self::Okay { pending: true }, Action::SendWatchdog),
            // OKAY, timer expires & Pending: Failover, SetWatchdog -> SUSPECT
            Self::Okay { pending: true } => (Self::Suspect, Action::Failover),
            // SUSPECT, timer expires: CloseConnection, SetWatchdog -> DOWN
            Self::Suspect => (Self::Suspect, Action::CloseConnection),
            // REOPEN, timer expires & !Pending: SendWatchdog, SetWatchdog, Pending -> REOPEN
            Self::Reopen { pending: false, answers } => (Self::Reopen { pending: true, answers }, Action::SendWatchdog),
            // REOPEN, timer expires & Pending & NumDWA >= 0: NumDWA = -1, SetWatchdog -> REOPEN
            Self::Reopen { pending: true, answers: Some(_) } => {
                (Self::Reopen { pending: true, answers: None }, Action::SetWatchdog)
            }
            // REOPEN, timer expires & Pending & NumDWA < 0: CloseConnection, SetWatchdog -> DOWN
            Self::Reopen { pending: true, answers: None } => (self, Action::CloseConnection),
        }
    }

    /// New requests may be sent.
    pub(super) const fn takes_requests(self) -> bool {
        matches!(self, Self::Okay { .. })
    }
}
