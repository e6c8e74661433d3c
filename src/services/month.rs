//! Closing a month: usage is frozen, billed, settled and mailed.
//!
//! Owns the order of the steps and how they go on after a crash. The steps:
//!
//! | state | done in it | why repeating is safe |
//! |---|---|---|
//! | closing | charging freezes the cycle and names a position | charging's own promise |
//! | draining | wait until the relational store holds that position | only waits |
//! | billing | invoices, a page of accounts at a time | `billed_through` moves in the same save; an account and cycle has one invoice |
//! | settling | totals, books compared, documents into the outbox | replaces; message ids are stable |
//! | done | nothing | |
//!
//! Invariants: an invoice is never made before its cycle is frozen; nothing is
//! mailed before invoices, settlement and ledger agree; a second run changes
//! nothing and reports the same.
//!
//! Does **not** own prices ([`crate::domain::billing`]) or sending (the outbox).

mod bills;
mod documents;
mod preview;
mod settings;

use std::sync::Arc;

use crate::domain::billing::CycleDays;
use crate::domain::billing::Unbillable;
use crate::domain::cycle::{BadCalendar, Calendar, CycleId};
use crate::domain::ids::AccountId;
use crate::domain::settlement::{Imbalance, Settlement};
use crate::domain::tariff::SharedTariff;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::closing::{ClosingError, CycleCloser};
use crate::ports::relational::{CloseRun, CloseState, Relational, StoreError, Write};

pub use preview::{Changing, PlanChange, PlanPreview, PreviewError};
pub use settings::{BillingSettings, DepartmentSettings};

/// What the caller wants of a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CloseOptions {
    /// Work out the totals from what the relational store holds, and store nothing.
    /// Usage still in the open buckets of the hot store and not drained is not in it.
    pub dry_run: bool,
    /// Close before the cycle has ended. What is open counts to the cycle's end.
    pub early: bool,
}

/// How far a close is, for a progress line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseProgress {
    /// Accounts frozen.
    Closing {
        /// So far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Waiting for the drain.
    Draining {
        /// Hot-log position to reach.
        position: u64,
    },
    /// A page of accounts is billed.
    Billing {
        /// The last account of it.
        through: AccountId,
        /// Invoices so far.
        invoices: u64,
    },
    /// Adding up and comparing the books.
    Settling {
        /// Invoices added so far.
        invoices: u64,
    },
    /// Documents are in the outbox.
    Documents {
        /// Messages so far.
        messages: u64,
    },
    /// Finished.
    Done,
}

/// Hears the progress; called often, must not block.
pub type CloseListener<'a> = &'a (dyn Fn(CloseProgress) + Send + Sync);

/// What came of a close. A second close of the same cycle reports the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CloseReport {
    /// Which month.
    pub cycle: CycleId,
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// Accounts that charging froze; 0 in a dry run.
    pub accounts: u64,
    /// Invoices of the month.
    pub invoices: u64,
    /// The month's totals.
    pub settlement: Settlement,
    /// Departments with revenue and no mail address in the settings.
    pub unaddressed: Vec<String>,
    /// When the close began; also when its invoices were issued.
    pub started: Timestamp,
    /// When it was done; `None` in a dry run.
    pub finished: Option<Timestamp>,
}

/// Why a month was not closed. Whatever was done stays done; closing again goes on.
#[derive(Debug, thiserror::Error)]
pub enum MonthError {
    /// The cycle is still running.
    #[error("close {cycle}: it ends at {ends}; ask for an early close to close it before")]
    NotEnded {
        /// Which.
        cycle: CycleId,
        /// When it ends.
        ends: Timestamp,
    },
    /// The cycle lies in the future.
    #[error("close {cycle}: it begins at {begins}")]
    NotBegun {
        /// Which.
        cycle: CycleId,
        /// When it begins.
        begins: Timestamp,
    },
    /// Another close of the same cycle is at work.
    #[error("close {cycle}: another close of it is running")]
    Busy {
        /// Which.
        cycle: CycleId,
    },
    /// Some accounts have no invoice; every other one has. Mend the tariff and close again.
    #[error("close {cycle}: {accounts} accounts cannot be billed")]
    Unbillable {
        /// Which.
        cycle: CycleId,
        /// How many.
        accounts: u64,
        /// The first of them.
        #[source]
        first: Unbillable,
    },
    /// The books do not agree; nothing was mailed.
    #[error(transparent)]
    Imbalance(#[from] Imbalance),
    /// Charging could not freeze or drain.
    #[error(transparent)]
    Charging(#[from] ClosingError),
    /// The store could not read or save.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Closes months.
pub struct Month {
    store: Arc<dyn Relational>,
    charging: Arc<dyn CycleCloser>,
    tariff: SharedTariff,
    clock: Arc<dyn Clock>,
    settings: BillingSettings,
    calendar: Calendar,
}

impl Month {
    /// Ready to close; fails on a calendar that cannot be.
    pub fn new(
        store: Arc<dyn Relational>,
        charging: Arc<dyn CycleCloser>,
        tariff: SharedTariff,
        clock: Arc<dyn Clock>,
        settings: BillingSettings,
    ) -> Result<Self, BadCalendar> {
        let calendar = settings.calendar()?;
        Ok(Self { store, charging, tariff, clock, settings, calendar })
    }

    /// Closes `cycle`, or goes on where an earlier close stopped.
    pub async fn close(
        &self,
        cycle: CycleId,
        options: CloseOptions,
        listener: CloseListener<'_>,
    ) -> Result<CloseReport, MonthError> {
        let found = self.store.close_run(cycle).await?;
        if let Some(done) = found.as_ref().filter(|run| run.state == CloseState::Done) {
            listener(CloseProgress::Done);
            return self.report_done(done).await;
        }
        if found.is_none() {
            self.check_time(cycle, options)?;
        }
        let days = self.days(cycle);
        if options.dry_run {
            return self.dry_run(&days, listener).await;
        }
        let mut run = match found {
            Some(run) => run,
            None => self.begin(cycle).await?,
        };
        self.carry_out(&mut run, &days, listener).await?;
        listener(CloseProgress::Done);
        self.report_done(&run).await
    }

    async fn carry_out(
        &self,
        run: &mut CloseRun,
        days: &CycleDays,
        listener: CloseListener<'_>,
    ) -> Result<(), MonthError> {
        loop {
            match run.state {
                CloseState::Closing => {
                    let progress = |done, total| listener(CloseProgress::Closing { done, total });
                    let closed = self.charging.close_cycle(run.cycle, &progress).await?;
                    run.accounts = closed.accounts;
                    run.marker = Some(closed.position);
                    run.state = CloseState::Draining;
                    self.save(run, Vec::new()).await?;
                }
                CloseState::Draining => {
                    let position = run.marker.unwrap_or(0);
                    listener(CloseProgress::Draining { position });
                    self.charging.drain_until(position).await?;
                    run.state = CloseState::Billing;
                    self.save(run, Vec::new()).await?;
                }
                CloseState::Billing => self.bill(run, days, listener).await?,
                CloseState::Settling => self.settle(run, listener).await?,
                CloseState::Done => return Ok(()),
            }
        }
    }

    fn check_time(&self, cycle: CycleId, options: CloseOptions) -> Result<(), MonthError> {
        let (bounds, now) = (self.calendar.bounds(cycle), self.clock.now());
        if now < bounds.from {
            return Err(MonthError::NotBegun { cycle, begins: bounds.from });
        }
        if now < bounds.until && !options.early {
            return Err(MonthError::NotEnded { cycle, ends: bounds.until });
        }
        Ok(())
    }

    async fn begin(&self, cycle: CycleId) -> Result<CloseRun, MonthError> {
        let mut run = CloseRun {
            cycle,
            state: CloseState::Closing,
            marker: None,
            billed_through: None,
            accounts: 0,
            invoices: 0,
            started: self.clock.now(),
            finished: None,
            version: 0,
        };
        self.save(&mut run, Vec::new()).await?;
        Ok(run)
    }

    /// Saves the run with `writes` in one transaction.
    async fn save(&self, run: &mut CloseRun, mut writes: Vec<Write>) -> Result<(), MonthError> {
        writes.push(Write::CloseRun(run.clone()));
        match self.store.save(writes).await {
            Ok(()) => {
                run.version += 1;
                Ok(())
            }
            Err(StoreError::Conflict { .. }) => Err(MonthError::Busy { cycle: run.cycle }),
            Err(other) => Err(other.into()),
        }
    }

    async fn report_done(&self, run: &CloseRun) -> Result<CloseReport, MonthError> {
        let settlement = self.store.settlement(run.cycle).await?.ok_or_else(|| StoreError::Broken {
            operation: "read the settlement of a closed month",
            reason: format!("{} has none", run.cycle),
        })?;
        Ok(CloseReport {
            cycle: run.cycle,
            dry_run: false,
            accounts: run.accounts,
            invoices: run.invoices,
            unaddressed: self.settings.unaddressed(&settlement),
            settlement,
            started: run.started,
            finished: run.finished,
        })
    }

    /// The days of `cycle`. One calendar serves every account; an account with an
    /// anchor of its own would get its own here.
    fn days(&self, cycle: CycleId) -> CycleDays {
        CycleDays::of(&self.calendar, cycle)
    }
}
