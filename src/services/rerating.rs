//! Rating again: cycles of accounts, after their tariff was corrected.
//!
//! The records come from the relational store, the account carries it out in its shard
//! ([`crate::domain::rating::rerate`]), and what changed comes back through the drain. An
//! account that has counted more since its records were read says so, and they are read
//! again. Each account and cycle is rated again once for each id, so a run that was cut
//! off is begun again with the same id. Does **not** price.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::account::CommandAnswer;
use crate::domain::cycle::{Calendar, CycleId};
use crate::domain::ids::{AccountId, LineId};
use crate::domain::rating::rerate::{Rerate, Rerated};
use crate::domain::tariff::SharedTariff;
use crate::domain::usage::UsageRecord;
use crate::ports::Clock;
use crate::ports::intake::{IntakeError, RerateIntake};
use crate::ports::relational::{Relational, StoreError, StoredUsage, UsageFilter};
use crate::telemetry::metrics;

/// Limits of rating again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RerateSettings {
    /// Records of one account from the cycle on at most: they become one durable write.
    pub records_max: usize,
    /// Tries with an account that goes on counting meanwhile, at least 1.
    pub tries_max: u32,
}

impl Default for RerateSettings {
    fn default() -> Self {
        Self { records_max: 20_000, tries_max: 10 }
    }
}

/// Which accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every account with a line.
    All,
    /// One.
    Account(AccountId),
    /// The one of this line: what else it pools with is rated again, too.
    Line(LineId),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RerateRequest {
    /// Its id: the same again does the rest of what was cut off.
    pub id: String,
    /// The cycle.
    pub cycle: CycleId,
    /// Whose.
    pub which: Which,
    /// Only says what would change.
    pub dry_run: bool,
}

/// What came of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RerateOutcome {
    /// Rated again; or what it would come to.
    Rerated(Rerated),
    /// By an earlier run with this id.
    DoneBefore,
    /// It cannot be: the reason.
    Refused(String),
    /// Not this time: the reason.
    Failed(String),
}

impl RerateOutcome {
    /// For metrics and REST.
    pub const fn as_str(&self) -> &'static str {
        match self {
            RerateOutcome::Rerated(Rerated { changed: 0, .. }) => "unchanged",
            RerateOutcome::Rerated(_) => "rerated",
            RerateOutcome::DoneBefore => "done-before",
            RerateOutcome::Refused(_) => "refused",
            RerateOutcome::Failed(_) => "failed",
        }
    }
}

/// What came of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RerateReport {
    /// Accounts by what came of them.
    pub outcomes: std::collections::BTreeMap<&'static str, u64>,
    /// Records whose charge changed.
    pub changed: u64,
    /// What the cycle's usage cost, minor units.
    pub before: i64,
    /// What it costs.
    pub after: i64,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum RerateError {
    /// No such line.
    #[error("line {0} is unknown")]
    UnknownLine(LineId),
    /// Another run goes on.
    #[error("accounts are being rated again already; wait until that is done")]
    Busy,
    /// Charging did not answer.
    #[error(transparent)]
    Charging(#[from] IntakeError),
    /// The store could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hears of each account what came of it.
#[async_trait::async_trait]
pub trait RerateListener: Send + Sync {
    /// One more is done.
    async fn rerated(&self, account: &AccountId, outcome: &RerateOutcome);
}

/// Rates again.
pub struct Rerating {
    store: Arc<dyn Relational>,
    intake: Arc<dyn RerateIntake>,
    tariff: SharedTariff,
    clock: Arc<dyn Clock>,
    settings: RerateSettings,
    alone: tokio::sync::Mutex<()>,
}

/// Records, and lines, read at a time.
const CHUNK: u64 = 1000;
/// Later cycles that are searched for what was late for one: none is kept longer.
const LATER_CYCLES_MAX: usize = 24;

impl Rerating {
    /// Over the store, charging, and the tariff as it is now.
    pub fn new(
        store: Arc<dyn Relational>,
        intake: Arc<dyn RerateIntake>,
        tariff: SharedTariff,
        clock: Arc<dyn Clock>,
        settings: RerateSettings,
    ) -> Self {
        Self { store, intake, tariff, clock, settings, alone: tokio::sync::Mutex::new(()) }
    }

    /// Rates a cycle of every account that is asked for again. When this returns, the
    /// relational store holds what changed.
    pub async fn run(&self, ask: RerateRequest, listener: &dyn RerateListener) -> Result<RerateReport, RerateError> {
        let Ok(_alone) = self.alone.try_lock() else { return Err(RerateError::Busy) };
        let mut report = RerateReport::default();
        self.intake.settled().await?;
        match &ask.which {
            Which::Account(account) => self.one(&ask, account, &mut report, listener).await?,
            Which::Line(id) => {
                let line = self.store.line(id).await?.ok_or_else(|| RerateError::UnknownLine(id.clone()))?;
                self.one(&ask, &line.account, &mut report, listener).await?;
            }
            Which::All => {
                let mut after: Option<AccountId> = None;
                loop {
                    let lines = self.store.lines_by_account(after.as_ref(), CHUNK).await?;
                    let mut accounts: Vec<AccountId> = lines.into_iter().map(|line| line.account).collect();
                    accounts.dedup();
                    let Some(last) = accounts.last().cloned() else { break };
                    for account in accounts {
                        self.one(&ask, &account, &mut report, listener).await?;
                    }
                    after = Some(last);
                }
            }
        }
        self.intake.settled().await?;
        Ok(report)
    }

    async fn one(
        &self,
        ask: &RerateRequest,
        account: &AccountId,
        report: &mut RerateReport,
        listener: &dyn RerateListener,
    ) -> Result<(), RerateError> {
        let outcome = self.account(ask, account).await?;
        if !ask.dry_run {
            metrics().rerated_accounts.with_label_values(&[outcome.as_str()]).inc();
        }
        *report.outcomes.entry(outcome.as_str()).or_default() += 1;
        if let RerateOutcome::Rerated(sum) = outcome {
            report.changed += sum.changed;
            report.before += sum.before;
            report.after += sum.after;
        }
        listener.rerated(account, &outcome).await;
        Ok(())
    }

    async fn account(&self, ask: &RerateRequest, account: &AccountId) -> Result<RerateOutcome, RerateError> {
        for _ in 0..self.settings.tries_max.max(1) {
            let records = self.records(account, ask.cycle).await?;
            if records.len() > self.settings.records_max {
                let most = self.settings.records_max;
                return Ok(RerateOutcome::Refused(format!("more than {most} records: raise rerating.records_max")));
            }
            let command = Rerate {
                id: ask.id.clone(),
                cycle: ask.cycle,
                records: Arc::new(records),
                book: self.tariff.book(),
                dry_run: ask.dry_run,
            };
            match self.intake.rerate(account, command).await {
                Ok(CommandAnswer::Rerated(sum)) => return Ok(RerateOutcome::Rerated(sum)),
                Ok(CommandAnswer::Done | CommandAnswer::Sessions(_)) => return Ok(RerateOutcome::DoneBefore),
                Ok(CommandAnswer::Refused(reason)) => return Ok(RerateOutcome::Refused(reason)),
                Ok(CommandAnswer::UnknownLine) => {
                    return Ok(RerateOutcome::Refused(format!("charging has no account {account}")));
                }
                // It has counted more since.
                Ok(CommandAnswer::Outdated) | Err(IntakeError::Busy) => self.intake.settled().await?,
                Err(failed) => return Ok(RerateOutcome::Failed(failed.to_string())),
            }
        }
        Ok(RerateOutcome::Failed("its records and what it has counted differ, or it goes on counting".to_owned()))
    }

    /// The account's records of the cycle and of later ones, one more than the limit at most.
    async fn records(&self, account: &AccountId, cycle: CycleId) -> Result<Vec<UsageRecord>, StoreError> {
        let newest = Calendar::new(1, "UTC").map_or(cycle, |utc| utc.cycle_at(self.clock.now()).next());
        let mut records = Vec::new();
        let mut of = cycle;
        for _ in 0..=LATER_CYCLES_MAX {
            let filter = UsageFilter { account: Some(account.clone()), cycle: Some(of), ..UsageFilter::default() };
            let mut after = 0;
            while records.len() <= self.settings.records_max {
                let chunk = self.store.usage_after(&filter, after, CHUNK).await?;
                let Some(last) = chunk.last() else { break };
                after = last.sequence;
                let wanted = |record: &UsageRecord| of == cycle || record.late_for == Some(cycle);
                records.extend(chunk.into_iter().map(|StoredUsage { record, .. }| record).filter(wanted));
            }
            of = of.next();
            if of > newest {
                break;
            }
        }
        Ok(records)
    }
}
