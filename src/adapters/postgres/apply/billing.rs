//! Drained usage, invoices with their ledger.
//!
//! Both come by the thousand, so rows go in many to a statement; the statement
//! of a full chunk stays prepared.

use std::collections::HashSet;

use sqlx::query_builder::Separated;
use sqlx::{Postgres, QueryBuilder, Row};

use super::{Applied, Apply, drain_cursor};
use crate::adapters::columns::{json, side_name, signed, unit_name, unreadable, unsigned};
use crate::adapters::postgres::error::Refused;
use crate::adapters::postgres::row::{statement, text, texts};
use crate::adapters::usage_rows::{Part, Searched, by_part, counted, logged, usage_counts};
use crate::domain::billing::{Invoice, InvoiceNumber};
use crate::domain::ledger::Posting;
use crate::domain::notification::threshold_happenings;
use crate::domain::usage::{Logged, Records, UsageOutcome};
use crate::ports::hot::LogNo;

/// Rows in one statement; times the columns it stays under PostgreSQL's 65,535 parameters.
const CHUNK: usize = 256;

const USAGE_HEAD: &str = "INSERT INTO usage_records \
     (part, counted, amount, body, outcome, suspense, key, rating_group, subscriber) ";

const INVOICE_HEAD: &str = "INSERT INTO invoices (id, series, number, account, cycle, customer, body) ";

const LEDGER_HEAD: &str = "INSERT INTO ledger (cycle, invoice, place, side, unit, amount) ";

/// Values of one row, as [`QueryBuilder::push_values`] hands them out.
type Values<'a> = Separated<'a, Postgres, &'static str>;

impl Apply<'_> {
    pub(super) async fn drain(&mut self, log: LogNo, after: u64, position: u64, records: &Records) -> Applied {
        let advance = statement(
            "INSERT INTO cursors (name, position)
             SELECT $1, $2 WHERE $2 > 0 AND ($3 = 0 OR EXISTS (SELECT 1 FROM cursors WHERE name = $1))
             ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE cursors.position = $3",
        );
        let cursor = drain_cursor(self.hot_log, log);
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
                let row = UsageRow { record, part: *part, searched: Some(Searched::of(&whole)?) };
                if self.bulk(USAGE_HEAD, [row], UsageRow::push, " ON CONFLICT DO NOTHING").await? == 0 {
                    self.judge_anew(&whole, *part).await?;
                    continue;
                }
            }
            new.push(record);
        }
        let charged = by_part(records.iter().zip(parts));
        for chunk in charged.chunks(CHUNK) {
            let mut rows = Vec::with_capacity(chunk.len());
            for &(record, part) in chunk {
                rows.push(UsageRow { record, part, searched: None });
            }
            self.bulk(USAGE_HEAD, rows, UsageRow::push, "").await?;
        }
        self.counts(&new).await?;
        let charged: Vec<&Logged<'_>> = charged.into_iter().map(|(record, _)| record).collect();
        self.recycle_counted(&charged).await
    }

    /// The part of each record; those that are not there yet are made, by whichever
    /// gateway is first.
    async fn parts_of(&mut self, records: &[Logged<'_>]) -> Applied<Vec<i64>> {
        let found = self.parts.find(records)?;
        let mut numbers = vec![0; found.unknown().len()];
        if !numbers.is_empty() {
            let column = |of: fn(&Part) -> &str| -> Vec<String> { found.unknown().map(|p| of(p).to_owned()).collect() };
            let columns = [
                column(|p| &p.cycle),
                column(|p| &p.account),
                column(|p| &p.line),
                column(|p| &p.plan),
                column(|p| &p.late_for),
                column(|p| p.source),
            ];
            let insert = statement(
                "INSERT INTO usage_parts (cycle, account, line, plan, late_for, source)
                 SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[])
                 ON CONFLICT DO NOTHING",
            );
            let find = statement(
                "SELECT w.place, p.id
                 FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[]) WITH ORDINALITY
                     AS w (cycle, account, line, plan, late_for, source, place)
                 JOIN usage_parts p USING (cycle, account, line, plan, late_for, source)",
            );
            self.run(columns.iter().cloned().fold(insert, |query, column| query.bind(column))).await?;
            let find = columns.into_iter().fold(find, |query, column| query.bind(column));
            for row in find.fetch_all(&mut *self.connection).await? {
                let place = unsigned(row.try_get("place")?);
                numbers[usize::try_from(place).unwrap_or(0) - 1] = row.try_get("id")?;
            }
        }
        Ok(self.parts.learn(found, &numbers))
    }

    async fn counts(&mut self, records: &[&Logged<'_>]) -> Applied {
        for ((cycle, source, outcome), records) in usage_counts(records) {
            let upsert = statement(
                "INSERT INTO usage_counts (cycle, source, outcome, records) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (cycle, source, outcome) DO UPDATE SET records = usage_counts.records + excluded.records",
            );
            self.run(upsert.bind(cycle).bind(source).bind(outcome).bind(signed(records))).await?;
        }
        Ok(())
    }

    /// Whoever numbers invoices of a series holds its row until the commit: the next
    /// one goes on from what was committed, and a refused save gives its numbers back.
    pub(super) async fn invoices(&mut self, series: &str, invoices: &[(Invoice, Vec<Posting>)]) -> Applied {
        let begin = statement("INSERT INTO invoice_series (series, last) VALUES ($1, 0) ON CONFLICT DO NOTHING");
        self.run(begin.bind(text(series))).await?;
        let last = statement("SELECT last FROM invoice_series WHERE series = $1 FOR UPDATE").bind(text(series));
        let last = last.fetch_one(&mut *self.connection).await?;
        let mut number: u64 = last.try_get("last").map(unsigned)?;
        let mut new = self.unbilled(invoices).await?;
        for (invoice, _) in &mut new {
            number += 1;
            invoice.number = Some(InvoiceNumber { series: series.to_owned(), number });
        }
        for chunk in new.chunks(CHUNK) {
            let rows = chunk.iter().map(|(invoice, _)| Ok((invoice, json(invoice)?))).collect::<Applied<Vec<_>>>()?;
            let push = |mut values: Values<'_>, (invoice, body): (&Invoice, String)| {
                values
                    .push_bind(text(invoice.id.as_str()))
                    .push_bind(text(series))
                    .push_bind(invoice.number.as_ref().map(|n| signed(n.number)))
                    .push_bind(text(invoice.account.as_str()))
                    .push_bind(invoice.cycle.to_string())
                    .push_bind(text(invoice.customer.as_str()))
                    .push_bind(body);
            };
            self.bulk(INVOICE_HEAD, rows, push, "").await.map_err(taken_id)?;
        }
        self.ledger(&new).await?;
        let counter = statement("UPDATE invoice_series SET last = $2 WHERE series = $1");
        self.run(counter.bind(text(series)).bind(signed(number))).await
    }

    /// Those whose account and cycle have no invoice yet, each once.
    async fn unbilled(&mut self, invoices: &[(Invoice, Vec<Posting>)]) -> Applied<Vec<(Invoice, Vec<Posting>)>> {
        let find = statement(
            "SELECT cycle, account FROM invoices WHERE (cycle, account) IN (SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[]))",
        );
        let cycles: Vec<String> = invoices.iter().map(|(invoice, _)| invoice.cycle.to_string()).collect();
        let accounts = texts(invoices.iter().map(|(invoice, _)| invoice.account.as_str()));
        let mut billed: HashSet<(String, String)> = HashSet::new();
        for row in find.bind(cycles).bind(accounts).fetch_all(&mut *self.connection).await? {
            billed.insert((row.try_get("cycle")?, row.try_get("account")?));
        }
        let account = |invoice: &Invoice| text(invoice.account.as_str()).into_owned();
        let new = invoices.iter().filter(|(invoice, _)| billed.insert((invoice.cycle.to_string(), account(invoice))));
        Ok(new.cloned().collect())
    }

    async fn ledger(&mut self, invoices: &[(Invoice, Vec<Posting>)]) -> Applied {
        let rows: Vec<(&Invoice, usize, &Posting)> = invoices
            .iter()
            .flat_map(|(invoice, postings)| postings.iter().enumerate().map(move |(place, p)| (invoice, place, p)))
            .collect();
        for chunk in rows.chunks(CHUNK) {
            let push = |mut values: Values<'_>, (invoice, place, posting): &(&Invoice, usize, &Posting)| {
                values
                    .push_bind(invoice.cycle.to_string())
                    .push_bind(text(invoice.id.as_str()))
                    .push_bind(i64::try_from(*place).unwrap_or(i64::MAX))
                    .push_bind(side_name(posting.side))
                    .push_bind(unit_name(posting.unit))
                    .push_bind(posting.amount);
            };
            self.bulk(LEDGER_HEAD, chunk, push, "").await?;
        }
        Ok(())
    }

    /// `head VALUES (…), (…) tail`. Only a full chunk's statement, and a single
    /// row's, come again and stay prepared. Gives the rows inserted.
    async fn bulk<R>(
        &mut self,
        head: &'static str,
        rows: impl IntoIterator<Item = R, IntoIter: ExactSizeIterator>,
        push: impl FnMut(Values<'_>, R),
        tail: &'static str,
    ) -> Applied<u64> {
        let rows = rows.into_iter();
        let comes_again = rows.len() == CHUNK || rows.len() == 1;
        let mut insert = QueryBuilder::new(head);
        insert.push_values(rows, push).push(tail);
        Ok(insert.build().persistent(comes_again).execute(&mut *self.connection).await?.rows_affected())
    }
}

/// A row of usage; what is searched in suspense is there for that alone.
struct UsageRow<'r> {
    record: &'r Logged<'r>,
    part: i64,
    searched: Option<Searched>,
}

impl UsageRow<'_> {
    /// In the order of [`USAGE_HEAD`].
    fn push(mut values: Values<'_>, row: Self) {
        let record = row.record;
        let is_suspense = row.searched.is_some();
        let (key, group, subscriber) = match row.searched {
            Some(of) => (Some(of.key), Some(i64::from(of.rating_group)), of.subscriber),
            None => (None, None, None),
        };
        values
            .push_bind(row.part)
            .push_bind(counted(record))
            .push_bind(record.amount)
            .push_bind(record.body.to_vec())
            .push_bind(record.outcome.as_str())
            .push_bind(is_suspense)
            .push_bind(key)
            .push_bind(group)
            .push_bind(subscriber);
    }
}

/// An invoice id that another account or cycle has, or an account and cycle that
/// was billed in another series meanwhile.
fn taken_id(refused: Refused) -> Refused {
    match refused {
        Refused::Engine(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            Refused::Conflict(format!("invoice: {}", e.message()))
        }
        other => other,
    }
}
