//! Reads of usage, bills and settlement.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::apply::log_of_cursor;
use super::read_orders::{list_and_count, narrow};
use super::row::{body, count, id, maybe_cycle, statement, time};
use crate::adapters::columns::{posting, signed, unsigned};
use crate::adapters::usage_rows::{self, stored_usage};
use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, CustomerId, InvoiceId};
use crate::domain::ledger::Posting;
use crate::domain::settlement::Settlement;
use crate::domain::usage::SuspenseReason;
use crate::ports::hot::LogNo;
use crate::ports::relational::{
    BillingReads, CloseRun, CloseState, Page, Paged, Stored, StoredUsage, SuspenseAge, SuspenseCase, UsageFilter,
    UsageTotal,
};

#[async_trait]
impl BillingReads for SqliteStore {
    async fn drain_cursors(&self) -> Stored<BTreeMap<LogNo, u64>> {
        let query = statement("SELECT name, position FROM cursors");
        let read = |row: &SqliteRow| Ok((row.try_get("name")?, count(row, "position")?));
        let rows: Vec<(String, u64)> = self.all("read drain cursors", query, read).await?;
        Ok(rows.into_iter().filter_map(|(name, position)| Some((log_of_cursor(&name)?, position))).collect())
    }

    async fn usage(&self, filter: &UsageFilter, page: Page) -> Stored<Paged<StoredUsage>> {
        let [mut list, total] =
            usage_rows::list_and_count(filter).map_err(|e| self.faults.explain("list usage", &e))?;
        list.push(" ORDER BY sequence DESC");
        self.paged("list usage", list, total, page, |row| stored_usage(row)).await
    }

    async fn usage_after(&self, filter: &UsageFilter, after: u64, limit: u64) -> Stored<Vec<StoredUsage>> {
        let read = async {
            let [mut list, _] = usage_rows::list_and_count(filter)?;
            list.push(" AND sequence > ").push_bind(signed(after));
            list.push(" ORDER BY sequence LIMIT ").push_bind(signed(limit));
            let rows = list.build().fetch_all(&self.reads).await?;
            rows.iter().map(stored_usage).collect::<Result<Vec<_>, sqlx::Error>>()
        };
        read.await.map_err(|e| self.faults.explain("read usage", &e))
    }

    async fn usage_at(&self, sequence: u64) -> Stored<Option<StoredUsage>> {
        self.one("read usage", statement(usage_rows::AT).bind(signed(sequence)), |row| stored_usage(row)).await
    }

    async fn suspense_case(&self, key: &str, rating_group: u32) -> Stored<Option<SuspenseCase>> {
        let of = |sql| statement(sql).bind(key.to_owned()).bind(i64::from(rating_group));
        let Some(found) = self.one("read suspense", of(usage_rows::CASE), |row| stored_usage(row)).await? else {
            return Ok(None);
        };
        let history = self.all("read suspense log", of(usage_rows::CASE_LOG), |row| {
            Ok((time(row, "at")?, row.try_get("operator")?, row.try_get("verb")?, row.try_get("note")?))
        });
        Ok(Some(SuspenseCase { record: found.record, history: history.await? }))
    }

    async fn recycled(&self, counted: &[StoredUsage]) -> Stored<Vec<StoredUsage>> {
        let wanted: Vec<_> = counted.iter().map(|record| (record.key.to_string(), record.rating_group)).collect();
        let query = statement(
            "SELECT usage.* FROM json_each($1) AS wanted CROSS JOIN usage
             ON usage.key = wanted.value ->> 0 AND usage.rating_group = wanted.value ->> 1
             WHERE suspense AND outcome = 'recycled' ORDER BY sequence",
        );
        self.all("read recycled", query.bind(serde_json::json!(wanted).to_string()), |row| stored_usage(row)).await
    }

    async fn suspense_ages(&self) -> Stored<Vec<SuspenseAge>> {
        let mut ages = Vec::new();
        for reason in SuspenseReason::ALL {
            let query = statement(usage_rows::AGE).bind(reason.as_str());
            let age = self.one("read suspense ages", query, |row| {
                Ok(SuspenseAge { reason, records: count(row, "records")?, oldest: stored_usage(row)?.received })
            });
            ages.extend(age.await?);
        }
        Ok(ages)
    }

    async fn usage_totals(&self, cycle: CycleId, from: &AccountId, to: &AccountId) -> Stored<Vec<UsageTotal>> {
        let query = statement(usage_rows::TOTALS).bind(cycle.to_string());
        let query = query.bind(from.as_str().to_owned()).bind(to.as_str().to_owned());
        self.all("read usage totals", query, |row| {
            let sum = |high, low| Ok::<_, sqlx::Error>(usage_rows::sum(row.try_get(high)?, row.try_get(low)?));
            Ok(UsageTotal {
                account: id(row, "account")?,
                line: id(row, "line")?,
                plan: id(row, "plan")?,
                late_for: maybe_cycle(row, "late_for")?,
                octets: unsigned(sum("octets_high", "octets_low")?),
                amount: sum("amount_high", "amount_low")?,
                records: count(row, "records")?,
            })
        })
        .await
    }

    async fn invoice(&self, id: &InvoiceId) -> Stored<Option<Invoice>> {
        self.one_body("read invoice", "SELECT body FROM invoices WHERE id = $1", id.as_str()).await
    }

    async fn invoices(
        &self,
        cycle: Option<CycleId>,
        customer: Option<&CustomerId>,
        page: Page,
    ) -> Stored<Paged<Invoice>> {
        let mut queries = list_and_count("body", "invoices");
        let cycle = cycle.map(|c| c.to_string());
        narrow(&mut queries, "cycle = ", cycle.as_deref());
        narrow(&mut queries, "customer = ", customer.map(|c| c.as_str()));
        let [mut list, total] = queries;
        list.push(" ORDER BY series, number");
        self.paged("list invoices", list, total, page, body).await
    }

    async fn ledger_totals(&self, cycle: CycleId) -> Stored<Vec<Posting>> {
        let query =
            statement("SELECT side, unit, SUM(amount) AS amount FROM ledger WHERE cycle = $1 GROUP BY side, unit");
        let rows = self.all("sum ledger", query.bind(cycle.to_string()), |row| {
            Ok((row.try_get::<String, _>("side")?, row.try_get::<String, _>("unit")?, row.try_get("amount")?))
        });
        let mut totals: Vec<Posting> =
            rows.await?.into_iter().filter_map(|(side, unit, amount)| posting(&side, &unit, amount)).collect();
        totals.sort_by_key(|p| (p.side, p.unit));
        Ok(totals)
    }

    async fn settlement(&self, cycle: CycleId) -> Stored<Option<Settlement>> {
        let sql = "SELECT body FROM settlements WHERE cycle = $1";
        self.one_body("read settlement", sql, &cycle.to_string()).await
    }

    async fn close_run(&self, cycle: CycleId) -> Stored<Option<CloseRun>> {
        self.one_body("read close run", "SELECT body FROM close_runs WHERE id = $1", &cycle.to_string()).await
    }

    async fn newest_closed(&self) -> Stored<Option<CycleId>> {
        // One for each month: few enough to look at all of them.
        let runs = self.all("read close runs", statement("SELECT body FROM close_runs"), body::<CloseRun>).await?;
        Ok(runs.into_iter().filter(|run| run.state != CloseState::Closing).map(|run| run.cycle).max())
    }

    async fn meta(&self, key: &str) -> Stored<Option<String>> {
        let query = statement("SELECT value FROM meta WHERE key = $1").bind(key.to_owned());
        self.one("read meta", query, |row| row.try_get("value")).await
    }
}
