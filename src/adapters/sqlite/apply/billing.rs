//! Drained usage, invoices with their ledger.
//!
//! Both come by the thousand, so rows go in many to a statement; the statement
//! of a full chunk stays prepared.

use std::collections::HashSet;

use sqlx::Row;

use super::{Applied, Apply, bulk, drain_cursor};
use crate::adapters::columns::{json, side_name, signed, unit_name, unreadable, unsigned};
use crate::adapters::sqlite::error::Refused;
use crate::adapters::sqlite::row::{Statement, composed, statement};
use crate::adapters::usage_rows::{Part, Searched, by_part, counted, logged, usage_counts};
use crate::domain::billing::{Invoice, InvoiceNumber};
use crate::domain::ledger::Posting;
use crate::domain::notification::threshold_happenings;
use crate::domain::usage::{Logged, Records, UsageOutcome};
use crate::ports::hot::LogNo;

/// Rows in one statement; times the columns it stays under SQLite's 32,766 parameters.
pub(super) const CHUNK: usize = 256;

/// What is rated, which is nearly all usage, leaves the other columns at their defaults.
const RATED_HEAD: &str = "INSERT INTO usage_records (part, counted, amount, body)";
const RATED_COLUMNS: usize = 4;

const UNRATED_HEAD: &str = "INSERT INTO usage_records \
     (part, amount, body, outcome, suspense, key, rating_group, subscriber)";
const UNRATED_COLUMNS: usize = 8;

const PARTS_HEAD: &str = "INSERT INTO usage_parts (id, cycle, account, line, plan, late_for, source)";
const PARTS_COLUMNS: usize = 7;

const INVOICE_HEAD: &str = "INSERT INTO invoices (id, series, number, account, cycle, customer, body)";
const INVOICE_COLUMNS: usize = 7;

const LEDGER_HEAD: &str = "INSERT INTO ledger (cycle, invoice, place, side, unit, amount)";
const LEDGER_COLUMNS: usize = 6;

impl Apply<'_> {
    pub(super) async fn drain(&mut self, log: LogNo, after: u64, position: u64, records: &Records) -> Applied {
        let advance = statement(
            "INSERT INTO cursors (name, position)
             SELECT $1, $2 WHERE $2 > 0 AND ($3 = 0 OR EXISTS (SELECT 1 FROM cursors WHERE name = $1))
             ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE cursors.position = $3",
        );
        let cursor = drain_cursor(log);
        let advance = advance.bind(cursor.clone()).bind(signed(position)).bind(signed(after));
        if self.execute(advance).await?.rows_affected() == 0 {
            let is_there = statement("UPDATE cursors SET position = position WHERE name = $1 AND position >= $2");
            return self.guarded(is_there.bind(cursor.clone()).bind(signed(position)), "cursor", &cursor).await;
        }
        let records = logged(records)?;
        for record in records.iter().filter(|record| record.has_crossed()) {
            for happening in threshold_happenings(&record.decode().map_err(unreadable)?) {
                self.happening(&happening).await?;
            }
        }
        let parts = self.parts_of(&records).await?;
        let mut new = Vec::with_capacity(records.len());
        for (record, part) in records.iter().zip(&parts) {
            if matches!(record.outcome, UsageOutcome::Suspense(_)) {
                // Few, and each has to say whether it is new.
                let whole = record.decode().map_err(unreadable)?;
                let insert = bulk_statement(UNRATED_HEAD, UNRATED_COLUMNS, 1, " ON CONFLICT DO NOTHING");
                let insert = bind_unrated(insert, record, *part, Some(Searched::of(&whole)?));
                if self.execute(insert).await?.rows_affected() == 0 {
                    self.judge_anew(&whole, *part).await?;
                    continue;
                }
            }
            new.push(record);
        }
        let charged = by_part(records.iter().zip(parts));
        let (rated, reconciled): (Vec<_>, Vec<_>) =
            charged.iter().partition(|(record, _)| record.outcome == UsageOutcome::Rated);
        for chunk in rated.chunks(CHUNK) {
            let mut insert = bulk_statement(RATED_HEAD, RATED_COLUMNS, chunk.len(), "");
            for (record, part) in chunk {
                insert = insert.bind(*part).bind(counted(record)).bind(record.amount).bind(record.body);
            }
            self.run(insert).await?;
        }
        for chunk in reconciled.chunks(CHUNK) {
            let mut insert = bulk_statement(UNRATED_HEAD, UNRATED_COLUMNS, chunk.len(), "");
            for (record, part) in chunk {
                insert = bind_unrated(insert, record, *part, None);
            }
            self.run(insert).await?;
        }
        self.counts(&new).await?;
        let charged: Vec<&Logged<'_>> = charged.into_iter().map(|(record, _)| record).collect();
        self.recycle_counted(&charged).await
    }

    /// The part of each record; those that are not there yet are made.
    async fn parts_of(&mut self, records: &[Logged<'_>]) -> Applied<Vec<i64>> {
        let found = self.parts.find(records)?;
        let mut parts: Vec<(i64, &Part)> = found.unknown().map(|part| (0, part)).collect();
        if !parts.is_empty() {
            let last = statement("SELECT COALESCE(MAX(id), 0) AS last FROM usage_parts");
            let last: i64 = self.fetch_one(last).await?.try_get("last")?;
            parts.iter_mut().zip(last + 1..).for_each(|((number, _), next)| *number = next);
        }
        for chunk in parts.chunks_mut(CHUNK) {
            // At the begin of a month all are new, later in it none: the last chunk tells.
            let found = if self.parts.are_stored { self.numbers_of(chunk).await? } else { 0 };
            if found == chunk.len() {
                continue;
            }
            let mut insert = bulk_statement(PARTS_HEAD, PARTS_COLUMNS, chunk.len(), " ON CONFLICT DO NOTHING");
            for (number, part) in chunk.iter() {
                insert = bind_part(insert, *number, part);
            }
            let new = self.execute(insert).await?.rows_affected() as usize;
            if found + new < chunk.len() {
                self.numbers_of(chunk).await?;
            }
            self.parts.are_stored = 2 * new < chunk.len();
        }
        let numbers: Vec<i64> = parts.into_iter().map(|(number, _)| number).collect();
        Ok(self.parts.learn(found, &numbers))
    }

    /// The numbers of those parts that are there; says how many are.
    async fn numbers_of(&mut self, parts: &mut [(i64, &Part)]) -> Applied<usize> {
        let wanted = vec!["(?,?,?,?,?,?,?)"; parts.len()].join(",");
        let sql = format!(
            "WITH wanted (place, cycle, account, line, plan, late_for, source) AS (VALUES {wanted})
             SELECT w.place, p.id FROM wanted w CROSS JOIN usage_parts p
             ON p.cycle = w.cycle AND p.account = w.account AND p.line = w.line AND p.plan = w.plan
             AND p.late_for = w.late_for AND p.source = w.source"
        );
        let mut find = composed(sql, parts.len() == CHUNK);
        for (place, (_, part)) in (0..).zip(parts.iter()) {
            find = bind_part(find, place, part);
        }
        let found = self.fetch_all(find).await?;
        for row in &found {
            parts[row.try_get::<u32, _>("place")? as usize].0 = row.try_get("id")?;
        }
        Ok(found.len())
    }

    async fn counts(&mut self, records: &[&Logged<'_>]) -> Applied {
        for ((cycle, source, outcome), records) in usage_counts(records) {
            let upsert = statement(
                "INSERT INTO usage_counts (cycle, source, outcome, records) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (cycle, source, outcome) DO UPDATE SET records = records + excluded.records",
            );
            self.run(upsert.bind(cycle).bind(source).bind(outcome).bind(signed(records))).await?;
        }
        Ok(())
    }

    pub(super) async fn invoices(&mut self, series: &str, invoices: Vec<(Invoice, Vec<Posting>)>) -> Applied {
        let last = statement("SELECT last FROM invoice_series WHERE series = $1").bind(series);
        let last = self.fetch_optional(last).await?;
        let before: u64 = last.map(|row| row.try_get("last").map(unsigned)).transpose()?.unwrap_or(0);
        let mut new = self.unbilled(invoices).await?;
        if new.is_empty() {
            return Ok(());
        }
        let mut number = before;
        for (invoice, _) in &mut new {
            number += 1;
            invoice.number = Some(InvoiceNumber { series: series.to_owned(), number });
        }
        for chunk in new.chunks(CHUNK) {
            let mut insert = bulk_statement(INVOICE_HEAD, INVOICE_COLUMNS, chunk.len(), "");
            for (invoice, _) in chunk {
                insert = insert
                    .bind(invoice.id.as_str())
                    .bind(series)
                    .bind(invoice.number.as_ref().map(|n| signed(n.number)))
                    .bind(invoice.account.as_str())
                    .bind(invoice.cycle.to_string())
                    .bind(invoice.customer.as_str())
                    .bind(json(invoice)?);
            }
            self.run(insert).await.map_err(taken_id)?;
        }
        self.ledger(&new).await?;
        let counter = statement(
            "INSERT INTO invoice_series (series, last) VALUES ($1, $2)
             ON CONFLICT (series) DO UPDATE SET last = excluded.last",
        );
        self.run(counter.bind(series).bind(signed(number))).await
    }

    /// Those whose account and cycle have no invoice yet, each once.
    async fn unbilled(&mut self, invoices: Vec<(Invoice, Vec<Posting>)>) -> Applied<Vec<(Invoice, Vec<Posting>)>> {
        let mut billed: HashSet<(String, String)> = HashSet::new();
        for chunk in invoices.chunks(CHUNK) {
            let pairs = vec!["(?,?)"; chunk.len()].join(",");
            let sql = format!("SELECT cycle, account FROM invoices WHERE (cycle, account) IN (VALUES {pairs})");
            let mut find = composed(sql, chunk.len() == CHUNK);
            for (invoice, _) in chunk {
                find = find.bind(invoice.cycle.to_string()).bind(invoice.account.as_str());
            }
            for row in self.fetch_all(find).await? {
                billed.insert((row.try_get("cycle")?, row.try_get("account")?));
            }
        }
        let mut new = invoices;
        new.retain(|(invoice, _)| billed.insert((invoice.cycle.to_string(), invoice.account.to_string())));
        Ok(new)
    }

    async fn ledger(&mut self, invoices: &[(Invoice, Vec<Posting>)]) -> Applied {
        let rows: Vec<(&Invoice, usize, &Posting)> = invoices
            .iter()
            .flat_map(|(invoice, postings)| postings.iter().enumerate().map(move |(place, p)| (invoice, place, p)))
            .collect();
        for chunk in rows.chunks(CHUNK) {
            let mut insert = bulk_statement(LEDGER_HEAD, LEDGER_COLUMNS, chunk.len(), "");
            for (invoice, place, posting) in chunk {
                insert = insert
                    .bind(invoice.cycle.to_string())
                    .bind(invoice.id.as_str())
                    .bind(i64::try_from(*place).unwrap_or(i64::MAX))
                    .bind(side_name(posting.side))
                    .bind(unit_name(posting.unit))
                    .bind(posting.amount);
            }
            self.run(insert).await?;
        }
        Ok(())
    }
}

/// A bulk insert; only a full chunk's statement, and a single row's, come again.
fn bulk_statement(head: &str, columns: usize, rows: usize, tail: &str) -> Statement {
    composed(bulk(head, columns, rows, tail), rows == CHUNK || rows == 1)
}

/// Binds in the order of [`UNRATED_HEAD`].
fn bind_unrated(insert: Statement, record: &Logged<'_>, part: i64, searched: Option<Searched>) -> Statement {
    let insert = insert.bind(part).bind(record.amount).bind(record.body).bind(record.outcome.as_str());
    match searched {
        None => insert.bind(false).bind(None::<String>).bind(None::<i64>).bind(None::<String>),
        Some(of) => insert.bind(true).bind(of.key).bind(of.rating_group).bind(of.subscriber),
    }
}

/// Binds in the order of [`PARTS_HEAD`].
fn bind_part(statement: Statement, number: i64, part: &Part) -> Statement {
    let statement = statement.bind(number).bind(part.cycle.clone()).bind(part.account.clone());
    statement.bind(part.line.clone()).bind(part.plan.clone()).bind(part.late_for.clone()).bind(part.source)
}

/// An invoice id that another account or cycle has.
fn taken_id(refused: Refused) -> Refused {
    match refused {
        Refused::Engine(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            Refused::Conflict(format!("invoice: {}", e.message()))
        }
        other => other,
    }
}
