//! What a shard is asked to do, and who waits for it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::accounts::{AccountNo, Accounts};
use super::{ChargingError, Reply};
use crate::domain::account::{AccountCommand, AccountView, CommandAnswer};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, LineId};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::domain::time::Timestamp;
use crate::domain::usage::{RecordKey, UsageRecord};
use crate::ports::hot::{Position, StoredAccount};
use crate::telemetry::metrics;

/// Who waits for an answer.
pub(super) enum Answer {
    Queue(Reply),
    One(oneshot::Sender<Result<ChargeAnswer, ChargingError>>),
    /// The journal of an outage, which has the request already.
    Journal(oneshot::Sender<Result<ChargeAnswer, ChargingError>>),
    /// Nobody any more: it was answered from the journal of an outage.
    Nobody,
}

impl Answer {
    pub(super) fn send(self, answer: Result<ChargeAnswer, ChargingError>) {
        // Nobody listens any more where the connection has gone: the client repeats.
        match self {
            Answer::Queue(reply) => reply.to.reply(reply.tag, answer),
            Answer::One(to) | Answer::Journal(to) => drop(to.send(answer)),
            Answer::Nobody => {}
        }
    }
}

/// How a close goes on in one shard.
pub(super) enum CloseProgress {
    Begun { accounts: u64 },
    Durable { accounts: u64, position: Position },
    Finished,
}

/// What comes through a shard's queue.
pub(super) enum Work {
    Charge {
        request: ChargeRequest,
        account: AccountNo,
        /// Its number in the account.
        line: Option<u16>,
        reply: Answer,
    },
    Loose {
        records: Vec<UsageRecord>,
        answer: ChargeAnswer,
        reply: Answer,
    },
    /// A record of suspense that names its line itself.
    Recycle {
        request: ChargeRequest,
        account: AccountId,
        line: LineId,
        reply: Answer,
    },
    Command {
        account: AccountId,
        command: AccountCommand,
        to: oneshot::Sender<Result<CommandAnswer, ChargingError>>,
    },
    View {
        account: AccountId,
        to: oneshot::Sender<Result<Option<AccountView>, ChargingError>>,
    },
    Close {
        cycle: CycleId,
        to: mpsc::UnboundedSender<CloseProgress>,
    },
    SessionsLost {
        peer: Arc<str>,
        before: Timestamp,
    },
    /// An account as the store that gateways share has it.
    Know {
        stored: StoredAccount,
        done: oneshot::Sender<()>,
    },
    /// Asks which of these accounts are not here.
    Missing {
        accounts: Vec<AccountId>,
        to: oneshot::Sender<Vec<AccountId>>,
    },
    ClosedElsewhere {
        cycle: CycleId,
    },
    /// The shard's own: an account has something that expires, is to be closed, or may have
    /// sessions that its client has lost.
    Expire {
        account: AccountNo,
    },
    CloseOne {
        account: AccountNo,
        cycle: CycleId,
    },
    Sweep {
        account: AccountNo,
        peer: Arc<str>,
        before: Timestamp,
    },
    Stop,
}

impl Work {
    /// The account that has to be open for it.
    pub(super) fn account(&self, accounts: &Accounts) -> Option<AccountNo> {
        match self {
            Work::Charge { account, .. }
            | Work::Expire { account }
            | Work::CloseOne { account, .. }
            | Work::Sweep { account, .. } => Some(*account),
            Work::Recycle { account, .. } | Work::Command { account, .. } | Work::View { account, .. } => {
                accounts.find(account)
            }
            Work::Loose { .. }
            | Work::Close { .. }
            | Work::SessionsLost { .. }
            | Work::Know { .. }
            | Work::Missing { .. }
            | Work::ClosedElsewhere { .. }
            | Work::Stop => None,
        }
    }

    /// Answers that there is too much; `None` for the shard's own, which has to be done.
    pub(super) fn refuse(self) -> Option<Work> {
        metrics().shard_refused.inc();
        match self {
            Work::Charge { reply, .. } | Work::Recycle { reply, .. } => reply.send(Err(ChargingError::Overloaded)),
            Work::Command { to, .. } => drop(to.send(Err(ChargingError::Overloaded))),
            Work::View { to, .. } => drop(to.send(Err(ChargingError::Overloaded))),
            own => return Some(own),
        }
        None
    }
}

/// What comes past the queue.
pub(super) enum Urgent {
    /// Asks what a request would be answered, after those that were foreseen before it; `None`
    /// where the account is not here.
    Foresee {
        request: Box<ChargeRequest>,
        account: AccountNo,
        line: Option<u16>,
        to: oneshot::Sender<Option<ChargeAnswer>>,
    },
    /// Refuses a Gy request, unless its first is decided and waits for the store.
    Refuse { key: RecordKey, account: AccountNo, reply: Answer },
    /// The store is away: nobody waits for it whom the settings let be answered here.
    StoreAway,
    /// What was foreseen has been charged.
    Forget,
}

/// Where a shard's work comes from.
pub(super) struct Receivers {
    pub(super) work: mpsc::UnboundedReceiver<Work>,
    pub(super) urgent: mpsc::UnboundedReceiver<Urgent>,
}
