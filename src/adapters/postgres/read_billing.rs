//! Reads of usage, bills and settlement.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::PostgresStore;
use super::apply::log_of_cursor;
use super::read_orders::{list_and_count, narrow};
use super::row::{body, count, id, maybe_cycle, statement, text, usage_record};
use crate::adapters::columns::posting;
use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, CustomerId, InvoiceId};
use crate::domain::ledger::Posting;
use crate::domain::settlement::Settlement;
use crate::domain::usage::UsageRecord;
use crate::ports::hot::LogNo;
use crate::ports::relational::{BillingReads, CloseRun, CloseState, Page, Paged, Stored, UsageFilter, UsageTotal};

#[async_trait]
impl BillingReads for PostgresStore {
    async fn drain_cursors(&self) -> Stored<BTreeMap<LogNo, u64>> {
        let query = statement("SELECT name, position FROM cursors");
        let read = |row: &PgRow| Ok((row.try_get("name")?, count(row, "position")?));
        let rows: Vec<(String, u64)> = self.all("read drain cursors", query, read).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(name, position)| Some((log_of_cursor(&self.hot_log, &name)?, position)))
            .collect())
    }

    async fn usage(&self, filter: &UsageFilter, page: Page) -> Stored<Paged<UsageRecord>> {
        let [mut list, mut total] = list_and_count("*", "usage_records");
        if filter.line.is_none() {
            total = QueryBuilder::new("SELECT COALESCE(SUM(records), 0)::BIGINT FROM usage_counts WHERE TRUE");
        }
        let mut queries = [list, total];
        let cycle = filter.cycle.map(|c| c.to_string());
        narrow(&mut queries, "line = ", filter.line.as_ref().map(|l| text(l.as_str())));
        narrow(&mut queries, "cycle = ", cycle.as_deref());
        narrow(&mut queries, "source = ", filter.source.map(|s| s.as_str()));
        by_outcome(&mut queries, filter.outcome.as_deref());
        [list, total] = queries;
        list.push(" ORDER BY sequence DESC");
        self.paged("list usage", list, total, page, usage_record).await
    }

    async fn usage_totals(&self, cycle: CycleId, from: &AccountId, to: &AccountId) -> Stored<Vec<UsageTotal>> {
        let query = statement(
            "SELECT account, line, plan, late_for, octets, amount, records FROM usage_totals
             WHERE cycle = $1 AND account >= $2 AND account <= $3 ORDER BY account, line, plan, late_for",
        )
        .bind(cycle.to_string())
        .bind(text(from.as_str()))
        .bind(text(to.as_str()));
        self.all("read usage totals", query, |row| {
            Ok(UsageTotal {
                account: id(row, "account")?,
                line: id(row, "line")?,
                plan: id(row, "plan")?,
                late_for: maybe_cycle(row, "late_for")?,
                octets: count(row, "octets")?,
                amount: row.try_get("amount")?,
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
        narrow(&mut queries, "customer = ", customer.map(|c| text(c.as_str())));
        let [mut list, total] = queries;
        list.push(" ORDER BY series, number");
        self.paged("list invoices", list, total, page, body).await
    }

    async fn ledger_totals(&self, cycle: CycleId) -> Stored<Vec<Posting>> {
        let query = statement(
            "SELECT side, unit, SUM(amount)::BIGINT AS amount FROM ledger WHERE cycle = $1 GROUP BY side, unit",
        );
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
        let query = statement("SELECT value FROM meta WHERE key = $1").bind(text(key));
        self.one("read meta", query, |row| row.try_get("value")).await
    }
}

/// `suspense` stands for every reason. Naming what is not wanted beside the
/// wanted lets the engine use the index without rated usage.
fn by_outcome(queries: &mut [QueryBuilder<Postgres>; 2], outcome: Option<&str>) {
    match outcome {
        None => {}
        Some("rated") => narrow(queries, "outcome = ", Some("rated")),
        Some("suspense") => {
            for query in queries {
                query.push(" AND outcome <> 'rated' AND outcome <> 'reconciled'");
            }
        }
        Some(other) => {
            narrow(queries, "outcome <> 'rated' AND outcome = ", Some(text(other)));
        }
    }
}
