//! The bill that a change of plan would make of the open cycle, beside the one
//! without it. Nothing is stored and nobody is told.
//!
//! Both bills are made by the functions that the close uses, over the usage that was
//! rated so far: usage keeps the price that it was charged, because a plan prices what
//! is used while the line has it.

use super::{Month, MonthError};
use crate::domain::billing::{Compared, CycleDays, Invoice, account_charges, invoice, side_by_side};
use crate::domain::ids::{AccountId, LineId, PlanId};
use crate::domain::line::{Line, LineState};
use crate::domain::tariff::TariffBook;
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{LineFilter, Page};

use super::bills::Billable;

/// The lines whose plan changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changing {
    /// One line.
    Line(LineId),
    /// Every line of the account that is in service.
    Account(AccountId),
}

/// A change of plan that nobody has ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanChange {
    /// Whose.
    pub of: Changing,
    /// The plan from then on.
    pub plan: PlanId,
    /// When, from now to the end of the open cycle; now where it is absent.
    pub at: Option<Timestamp>,
}

/// What it would do to the open cycle's bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPreview {
    /// What is billed.
    pub account: AccountId,
    /// The lines whose plan changes.
    pub lines: Vec<LineId>,
    /// The open cycle with its stretch.
    pub cycle: CycleDays,
    /// When the plan changes.
    pub at: Timestamp,
    /// Everything that was rated before is in it.
    pub usage_until: Timestamp,
    /// The bill without the change; `None` where there is nothing to bill.
    pub current: Option<Invoice>,
    /// The bill with it.
    pub changed: Option<Invoice>,
    /// Both, line of the bill by line of the bill.
    pub rows: Vec<Compared>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// No such line or account.
    #[error("`{0}` is not known")]
    Unknown(String),
    /// No such plan at that instant.
    #[error("plan `{plan}` is not in the tariff at {at}")]
    UnknownPlan {
        /// The plan.
        plan: PlanId,
        /// The instant.
        at: Timestamp,
    },
    /// The plan is for lines of another kind.
    #[error("plan `{plan}` is for {wanted} lines, and line `{line}` is {access}")]
    WrongAccess {
        /// The plan.
        plan: PlanId,
        /// What it is for.
        wanted: &'static str,
        /// The line.
        line: LineId,
        /// What that is.
        access: &'static str,
    },
    /// The line has no plan that could change.
    #[error("line `{0}` is not in service")]
    NotInService(LineId),
    /// The instant is past, or in a later cycle.
    #[error("{at} is not from now ({}) to the end of the open cycle ({})", .open.from, .open.until)]
    OutsideCycle {
        /// The instant.
        at: Timestamp,
        /// What is left of the cycle.
        open: Interval,
    },
    /// The account has more lines than are read.
    #[error("account `{account}` has more than {limit} lines")]
    TooManyLines {
        /// The account.
        account: AccountId,
        /// How many are read (billing.page_lines).
        limit: u64,
    },
    /// A bill cannot be made.
    #[error(transparent)]
    Month(#[from] MonthError),
}

impl Month {
    /// The open cycle's bill with and without a change of plan.
    ///
    /// # Errors
    /// There is no such change, or the bill cannot be made as things are.
    pub async fn preview(&self, change: PlanChange) -> Result<PlanPreview, PreviewError> {
        let now = self.clock.now();
        let cycle = self.days(self.calendar.cycle_at(now));
        let at = change.at.unwrap_or(now);
        let open = Interval { from: now, until: cycle.bounds.until };
        if !open.contains(at) {
            return Err(PreviewError::OutsideCycle { at, open });
        }
        let (account, lines) = self.lines_of(&change.of).await?;
        let book = self.tariff.book();
        let mut changed = lines.clone();
        let ids = change_plans(&mut changed, &change, at, &book)?;

        let usage = self.store.usage_totals(cycle.cycle, &account, &account).await.map_err(MonthError::from)?;
        let current = self.bill_of(&account, Billable { lines, usage: usage.clone() }, &cycle, &book, now).await?;
        let changed = self.bill_of(&account, Billable { lines: changed, usage }, &cycle, &book, now).await?;
        let charges = |bill: &Option<Invoice>| bill.as_ref().map_or_else(Vec::new, |bill| bill.charges.clone());
        let rows = side_by_side(&charges(&current), &charges(&changed));
        Ok(PlanPreview { account, lines: ids, cycle, at, usage_until: now, current, changed, rows })
    }

    async fn lines_of(&self, of: &Changing) -> Result<(AccountId, Vec<Line>), PreviewError> {
        let account = match of {
            Changing::Account(account) => account.clone(),
            Changing::Line(id) => match self.store.line(id).await.map_err(MonthError::from)? {
                Some(line) => line.account,
                None => return Err(PreviewError::Unknown(id.to_string())),
            },
        };
        let filter = LineFilter { account: Some(account.clone()), ..LineFilter::default() };
        let limit = self.settings.page_lines.max(1);
        let found = self.store.lines(&filter, Page { offset: 0, limit }).await.map_err(MonthError::from)?;
        match found.total {
            0 => Err(PreviewError::Unknown(account.to_string())),
            total if total > limit => Err(PreviewError::TooManyLines { account, limit }),
            _ => Ok((account, found.items)),
        }
    }

    async fn bill_of(
        &self,
        account: &AccountId,
        billable: Billable,
        cycle: &CycleDays,
        book: &TariffBook,
        now: Timestamp,
    ) -> Result<Option<Invoice>, PreviewError> {
        let to = self.bill_to(account.clone(), &billable).await?;
        let Billable { lines, usage } = billable;
        let unbillable = |first| MonthError::Unbillable { cycle: cycle.cycle, accounts: 1, first };
        let charges = account_charges(&lines, self.sums(usage), cycle, book).map_err(unbillable)?;
        let at_end = book.at(Timestamp(cycle.bounds.until.millis() - 1));
        Ok(invoice(to, cycle, charges, at_end, now).map(|(invoice, _)| invoice))
    }
}

/// Changes the plans; the lines that it was done to.
fn change_plans(
    lines: &mut [Line],
    change: &PlanChange,
    at: Timestamp,
    book: &TariffBook,
) -> Result<Vec<LineId>, PreviewError> {
    let PlanChange { of, plan, .. } = change;
    let unknown = || PreviewError::UnknownPlan { plan: plan.clone(), at };
    let access = book.plan_at(plan, at).ok_or_else(unknown)?.access;
    let in_service = |line: &Line| matches!(line.actual, LineState::Active | LineState::Suspended);
    let mut changed = Vec::new();
    for line in lines {
        match of {
            Changing::Line(id) if *id != line.id => continue,
            Changing::Line(id) if !in_service(line) => return Err(PreviewError::NotInService(id.clone())),
            Changing::Account(_) if !in_service(line) => continue,
            _ => {}
        }
        if line.profile.access != access {
            return Err(PreviewError::WrongAccess {
                plan: plan.clone(),
                wanted: access.as_str(),
                line: line.id.clone(),
                access: line.profile.access.as_str(),
            });
        }
        line.change_plan(plan.clone(), at);
        changed.push(line.id.clone());
    }
    Ok(changed)
}
