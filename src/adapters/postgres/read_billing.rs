//! Reads of usage, bills and settlement.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::PostgresStore;
use super::apply::log_of_cursor;
use super::read_orders::{list_and_count, narrow};
use super::row::{body, count, id, maybe_cycle, statement, text, time, usage_record};
use crate::adapters::columns::{json, posting, signed};
use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, CustomerId, InvoiceId};
use crate::domain::ledger::Posting;
use crate::domain::settlement::Settlement;
use crate::domain::usage::{SuspenseReason, UsageRecord};
use crate::ports::hot::LogNo;
use crate::ports::relational::{
    BillingReads, CloseRun, CloseState, Page, Paged, Stored, SuspenseAge, SuspenseCase, UsageFilter, UsageTotal,
};

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
        if filter.line.is_none() && filter.subscriber.is_none() {
            total = QueryBuilder::new("SELECT COALESCE(SUM(records), 0)::BIGINT FROM usage_counts WHERE TRUE");
        }
        let mut queries = [list, total];
        narrow_usage(&mut queries, filter, &subscriber(filter));
        [list, total] = queries;
        list.push(" ORDER BY sequence DESC");
        self.paged("list usage", list, total, page, usage_record).await
    }

    async fn usage_after(&self, filter: &UsageFilter, after: u64, limit: u64) -> Stored<Vec<(u64, UsageRecord)>> {
        let mut queries = list_and_count("*", "usage_records");
        narrow_usage(&mut queries, filter, &subscriber(filter));
        let [mut list, _] = queries;
        list.push(" AND sequence > ").push_bind(signed(after));
        list.push(" ORDER BY sequence LIMIT ").push_bind(signed(limit));
        let placed = |row: &_| Ok((count(row, "sequence")?, usage_record(row)?));
        let read = list.build().fetch_all(&self.reads).await;
        let read = read.and_then(|rows| rows.iter().map(placed).collect());
        read.map_err(|e| self.faults.explain("read usage", &e))
    }

    async fn suspense_case(&self, key: &str, rating_group: u32) -> Stored<Option<SuspenseCase>> {
        let query = statement("SELECT * FROM usage_records WHERE suspense AND key = $1 AND rating_group = $2");
        let query = query.bind(text(key).into_owned()).bind(i64::from(rating_group));
        let Some(record) = self.one("read suspense", query, usage_record).await? else { return Ok(None) };
        let query = statement(
            "SELECT at, operator, verb, note FROM suspense_log WHERE key = $1 AND rating_group = $2 ORDER BY place",
        );
        let history =
            self.all("read suspense log", query.bind(text(key).into_owned()).bind(i64::from(rating_group)), |row| {
                Ok((time(row, "at")?, row.try_get("operator")?, row.try_get("verb")?, row.try_get("note")?))
            });
        Ok(Some(SuspenseCase { record, history: history.await? }))
    }

    async fn suspense_ages(&self) -> Stored<Vec<SuspenseAge>> {
        let mut ages = Vec::new();
        for reason in SuspenseReason::ALL {
            let query = statement(
                "SELECT (SELECT COALESCE(SUM(records), 0)::BIGINT FROM usage_counts WHERE outcome = $1) AS records, received
                 FROM usage_records WHERE outcome <> 'rated' AND outcome = $1 ORDER BY sequence LIMIT 1",
            );
            let age = self.one("read suspense ages", query.bind(reason.as_str()), |row| {
                Ok(SuspenseAge { reason, records: count(row, "records")?, oldest: time(row, "received")? })
            });
            ages.extend(age.await?);
        }
        Ok(ages)
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

/// The subscriber as its column has it.
fn subscriber(filter: &UsageFilter) -> Option<String> {
    filter.subscriber.as_ref().and_then(|subscriber| json(subscriber).ok())
}

fn narrow_usage(queries: &mut [QueryBuilder<Postgres>; 2], filter: &UsageFilter, subscriber: &Option<String>) {
    let cycle = filter.cycle.map(|c| c.to_string());
    narrow(queries, "line = ", filter.line.as_ref().map(|l| text(l.as_str())));
    narrow(queries, "cycle = ", cycle.as_deref());
    narrow(queries, "source = ", filter.source.map(|s| s.as_str()));
    narrow(queries, "subscriber = ", subscriber.as_deref().map(text));
    by_outcome(queries, filter.outcome.as_deref());
}

/// `suspense` stands for every reason that is open. Naming what is not wanted beside the
/// wanted lets the engine use the index without rated usage.
fn by_outcome(queries: &mut [QueryBuilder<Postgres>; 2], outcome: Option<&str>) {
    match outcome {
        None => {}
        Some("rated") => narrow(queries, "outcome = ", Some("rated")),
        Some("suspense") => {
            for query in queries {
                query.push(" AND outcome <> 'rated' AND outcome NOT IN ('reconciled', 'recycled', 'dropped')");
            }
        }
        Some("rejected") => {
            for query in queries {
                query.push(" AND outcome <> 'rated' AND outcome NOT IN ('reconciled', 'recycled')");
            }
        }
        Some(other) => {
            narrow(queries, "outcome <> 'rated' AND outcome = ", Some(text(other)));
        }
    }
}
