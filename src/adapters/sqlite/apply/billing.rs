//! Drained usage with its totals, invoices with their ledger.
//!
//! Both come by the thousand, so rows go in many to a statement; the statement
//! of a full chunk stays prepared.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Row};

use super::{Applied, Apply, bulk, drain_cursor};
use crate::adapters::columns::{json, side_name, signed, unit_name, unsigned, usage_counts, usage_sums};
use crate::adapters::sqlite::error::Refused;
use crate::adapters::sqlite::row::{Statement, statement};
use crate::domain::billing::{Invoice, InvoiceNumber};
use crate::domain::ledger::Posting;
use crate::domain::usage::{UsageOutcome, UsageRecord};
use crate::ports::hot::LogNo;

/// Rows in one statement; times the columns it stays under SQLite's 32,766 parameters.
const CHUNK: usize = 256;

const USAGE_HEAD: &str = "INSERT INTO usage_records (key, rating_group, source, outcome, suspense, line, account, cycle, \
     late_for, plan, tariff_version, apn, subscriber, starts, ends, received, octets, amount, postings, detail)";
const USAGE_COLUMNS: usize = 20;

const TOTALS_HEAD: &str = "INSERT INTO usage_totals (cycle, account, line, plan, late_for, octets, amount, records)";
const TOTALS_COLUMNS: usize = 8;
/// An overflowing sum would turn into a float: it stays at the largest integer.
const TOTALS_TAIL: &str = " ON CONFLICT (cycle, account, line, plan, late_for) DO UPDATE SET \
     octets = MIN(9223372036854775807, octets + excluded.octets), \
     amount = MIN(9223372036854775807, amount + excluded.amount), records = records + excluded.records";

const INVOICE_HEAD: &str = "INSERT INTO invoices (id, series, number, account, cycle, customer, body)";
const INVOICE_COLUMNS: usize = 7;

const LEDGER_HEAD: &str = "INSERT INTO ledger (cycle, invoice, place, side, unit, amount)";
const LEDGER_COLUMNS: usize = 6;

impl Apply<'_> {
    pub(super) async fn drain(&mut self, log: LogNo, after: u64, position: u64, records: &[UsageRecord]) -> Applied {
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
        let mut new = Vec::with_capacity(records.len());
        for record in records {
            if matches!(record.outcome, UsageOutcome::Suspense(_)) {
                // Few, and each has to say whether it is new.
                let insert = bulk_statement(USAGE_HEAD, USAGE_COLUMNS, 1, " ON CONFLICT DO NOTHING");
                if self.execute(bind_usage(insert, record)?).await?.rows_affected() == 0 {
                    continue;
                }
            }
            new.push(record);
        }
        let charged: Vec<&UsageRecord> =
            new.iter().copied().filter(|r| !matches!(r.outcome, UsageOutcome::Suspense(_))).collect();
        for chunk in charged.chunks(CHUNK) {
            let mut insert = bulk_statement(USAGE_HEAD, USAGE_COLUMNS, chunk.len(), "");
            for record in chunk {
                insert = bind_usage(insert, record)?;
            }
            self.run(insert).await?;
        }
        self.totals(&charged).await?;
        self.counts(&new).await
    }

    async fn totals(&mut self, records: &[&UsageRecord]) -> Applied {
        let sums = usage_sums(records);
        for chunk in sums.chunks(CHUNK) {
            let mut upsert = bulk_statement(TOTALS_HEAD, TOTALS_COLUMNS, chunk.len(), TOTALS_TAIL);
            for (key, sum) in chunk {
                for part in key {
                    upsert = upsert.bind(part.as_str());
                }
                upsert = upsert.bind(sum.octets).bind(sum.amount).bind(signed(sum.records));
            }
            self.run(upsert).await?;
        }
        Ok(())
    }

    async fn counts(&mut self, records: &[&UsageRecord]) -> Applied {
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
        let last = last.fetch_optional(&mut *self.connection).await?;
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
            let mut find: Statement = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
            for (invoice, _) in chunk {
                find = find.bind(invoice.cycle.to_string()).bind(invoice.account.as_str());
            }
            for row in find.fetch_all(&mut *self.connection).await? {
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
    sqlx::query(AssertSqlSafe(bulk(head, columns, rows, tail))).persistent(rows == CHUNK || rows == 1)
}

fn bind_usage(insert: Statement, record: &UsageRecord) -> Applied<Statement> {
    let subscriber = record.subscriber.as_ref().map(json).transpose()?;
    let postings = (!record.postings.is_empty()).then(|| json(&record.postings)).transpose()?;
    Ok(insert
        .bind(record.key.to_string())
        .bind(record.rating_group)
        .bind(record.key.source().as_str())
        .bind(record.outcome.as_str())
        .bind(matches!(record.outcome, UsageOutcome::Suspense(_)))
        .bind(record.line.as_ref().map(|l| l.as_str()))
        .bind(record.account.as_ref().map(|a| a.as_str()))
        .bind(record.cycle.map(|c| c.to_string()))
        .bind(record.late_for.map(|c| c.to_string()))
        .bind(record.plan.as_ref().map(|p| p.as_str()))
        .bind(record.tariff_version)
        .bind(record.apn.as_ref().map(|a| a.as_str()))
        .bind(subscriber)
        .bind(record.starts.millis())
        .bind(record.ends.millis())
        .bind(record.received.millis())
        .bind(signed(record.octets))
        .bind(record.amount)
        .bind(postings)
        .bind(record.detail.as_deref()))
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
