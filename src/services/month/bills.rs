//! Invoices, a page of accounts at a time.

use std::collections::BTreeMap;

use crate::domain::billing::{BillTo, CycleDays, Invoice, Unbillable, UsageSum, account_charges, invoice};
use crate::domain::ids::AccountId;
use crate::domain::ledger::Posting;
use crate::domain::line::Line;
use crate::domain::settlement::SettlementSum;
use crate::domain::time::Timestamp;
use crate::ports::relational::{CloseRun, CloseState, StoreError, UsageTotal, Write};
use crate::telemetry::metrics;

use super::{CloseListener, CloseProgress, CloseReport, Month, MonthError};

/// Sorts behind every account id.
const LAST_ACCOUNT: &str = "\u{10FFFF}";

/// What there is to bill of one account.
#[derive(Default)]
pub(super) struct Billable {
    pub(super) lines: Vec<Line>,
    pub(super) usage: Vec<UsageTotal>,
}

/// The bills of some accounts in a row.
struct BillPage {
    /// The last account of it; `None` behind the last line.
    through: Option<AccountId>,
    invoices: Vec<(Invoice, Vec<Posting>)>,
    faults: Vec<Unbillable>,
}

impl Month {
    /// Bills what is left of the cycle and moves the run on to settling. With
    /// faults the run stands at its beginning again, so that the next close looks
    /// at every account anew; those that have an invoice keep it.
    pub(super) async fn bill(
        &self,
        run: &mut CloseRun,
        days: &CycleDays,
        listener: CloseListener<'_>,
    ) -> Result<(), MonthError> {
        let series = self.calendar.local_date(run.started).year().to_string();
        let mut faults = Vec::new();
        let mut page = Some(self.bill_page(run.billed_through.as_ref(), days, run.started).await?);
        while let Some(BillPage { through, invoices, faults: of_page }) = page {
            faults.extend(of_page);
            let count = u64::try_from(invoices.len()).unwrap_or(u64::MAX);
            run.invoices += count;
            match &through {
                Some(_) => run.billed_through = through.clone(),
                None if faults.is_empty() => run.state = CloseState::Settling,
                None => (run.billed_through, run.invoices) = (None, 0),
            }
            let issued = run.started;
            let writes = vec![Write::Invoices { series: series.clone(), invoices }];
            // The next page is worked out while this one is written.
            let (saved, next) = tokio::join!(self.save(run, writes), self.page_behind(through, days, issued));
            saved?;
            metrics().invoices.inc_by(count);
            if let Some(through) = run.billed_through.clone() {
                listener(CloseProgress::Billing { through, invoices: run.invoices });
            }
            page = next?;
        }
        let accounts = u64::try_from(faults.len()).unwrap_or(u64::MAX);
        match faults.into_iter().next() {
            Some(first) => Err(MonthError::Unbillable { cycle: run.cycle, accounts, first }),
            None => Ok(()),
        }
    }

    /// Works the totals out and stores nothing.
    pub(super) async fn dry_run(
        &self,
        days: &CycleDays,
        listener: CloseListener<'_>,
    ) -> Result<CloseReport, MonthError> {
        let now = self.clock.now();
        let mut sum = SettlementSum::new(days.cycle, self.tariff.book().currency());
        let mut after: Option<AccountId> = None;
        let mut invoices = 0;
        loop {
            let page = self.bill_page(after.as_ref(), days, now).await?;
            if let Some(first) = page.faults.first() {
                let accounts = u64::try_from(page.faults.len()).unwrap_or(u64::MAX);
                return Err(MonthError::Unbillable { cycle: days.cycle, accounts, first: first.clone() });
            }
            for (invoice, _) in &page.invoices {
                sum.add(invoice);
                invoices += 1;
            }
            let Some(through) = page.through else { break };
            listener(CloseProgress::Billing { through: through.clone(), invoices });
            after = Some(through);
        }
        let settlement = sum.finish();
        Ok(CloseReport {
            cycle: days.cycle,
            dry_run: true,
            accounts: 0,
            invoices,
            unaddressed: self.settings.unaddressed(&settlement),
            settlement,
            started: now,
            finished: None,
        })
    }

    /// The page behind `through`; none behind the last one.
    async fn page_behind(
        &self,
        through: Option<AccountId>,
        days: &CycleDays,
        issued: Timestamp,
    ) -> Result<Option<BillPage>, MonthError> {
        match through {
            Some(through) => self.bill_page(Some(&through), days, issued).await.map(Some),
            None => Ok(None),
        }
    }

    /// The bills of the accounts that follow `after`.
    async fn bill_page(
        &self,
        after: Option<&AccountId>,
        days: &CycleDays,
        issued: Timestamp,
    ) -> Result<BillPage, MonthError> {
        let lines = self.store.lines_by_account(after, self.settings.page_lines.max(1)).await?;
        let through = lines.last().map(|l| l.account.clone());
        let to = through.clone().unwrap_or_else(|| AccountId::from(LAST_ACCOUNT));
        let from = after.cloned().unwrap_or_else(|| AccountId::from(""));
        let usage = self.store.usage_totals(days.cycle, &from, &to).await?;
        let mut accounts: BTreeMap<AccountId, Billable> = BTreeMap::new();
        for line in lines {
            accounts.entry(line.account.clone()).or_default().lines.push(line);
        }
        // The range of totals includes `after`, which is billed.
        for total in usage.into_iter().filter(|t| Some(&t.account) != after) {
            accounts.entry(total.account.clone()).or_default().usage.push(total);
        }
        let mut page = BillPage { through, invoices: Vec::with_capacity(accounts.len()), faults: Vec::new() };
        let book = self.tariff.book();
        // tax is by the version that holds when the cycle ends
        let at_end = book.at(Timestamp(days.bounds.until.millis() - 1));
        for (account, billable) in accounts {
            let to = self.bill_to(account, &billable).await?;
            match account_charges(&billable.lines, self.sums(billable.usage), days, &book) {
                Ok(charges) => page.invoices.extend(invoice(to, days, charges, at_end, issued)),
                Err(fault) => page.faults.push(fault),
            }
        }
        Ok(page)
    }

    /// The payer is the customer of the account's first line. An account whose
    /// lines have all moved into a pool since is found by its usage.
    pub(super) async fn bill_to(&self, account: AccountId, billable: &Billable) -> Result<BillTo, MonthError> {
        if let Some(first) = billable.lines.first() {
            let email = billable.lines.iter().find_map(|l| l.profile.email.clone());
            return Ok(BillTo { account, customer: first.customer.clone(), email });
        }
        for total in &billable.usage {
            if let Some(line) = self.store.line(&total.line).await? {
                return Ok(BillTo { account, customer: line.customer, email: line.profile.email });
            }
        }
        let reason = format!("account {account} has usage and no line");
        Err(StoreError::Broken { operation: "find the payer of an account", reason }.into())
    }

    /// The totals as a bill takes them.
    pub(super) fn sums(&self, usage: Vec<UsageTotal>) -> Vec<UsageSum> {
        let sum = |total: UsageTotal| {
            let late_for = total.late_for.map(|cycle| (cycle, self.calendar.bounds(cycle)));
            let UsageTotal { line, plan, octets, amount, .. } = total;
            UsageSum { line, plan, late_for, octets, amount }
        };
        usage.into_iter().map(sum).collect()
    }
}
