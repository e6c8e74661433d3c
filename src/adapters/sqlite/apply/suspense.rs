//! Records of suspense on their way out of it.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row};

use super::billing::CHUNK;
use super::{Applied, Apply};
use crate::adapters::columns::signed;
use crate::adapters::sqlite::error::Refused;
use crate::adapters::sqlite::row::{Statement, statement};
use crate::domain::usage::UsageRecord;
use crate::ports::relational::{SuspenseNote, SuspenseVerb};

/// How many records moved between two outcomes, by cycle, source, former and new outcome.
type Moves = BTreeMap<[String; 4], u64>;

impl Apply<'_> {
    /// An account's judgement replaces what an open record was in suspense for.
    pub(super) async fn judge_anew(&mut self, record: &UsageRecord) -> Applied {
        if !record.is_judged() {
            return Ok(());
        }
        let find = statement(
            "SELECT outcome, COALESCE(cycle, '') AS cycle FROM usage_records WHERE suspense = 1
             AND key = $1 AND rating_group = $2 AND outcome <> 'recycled' AND outcome <> 'dropped'",
        );
        let key = record.key.to_string();
        let found = find.bind(key.clone()).bind(record.rating_group).fetch_optional(&mut *self.connection).await?;
        let Some(row) = found else { return Ok(()) };
        let (before, cycle): (String, String) = (row.try_get("outcome")?, row.try_get("cycle")?);
        let update = statement(
            "UPDATE usage_records SET outcome = $3, line = $4, account = $5, tariff_version = $6, detail = $7
             WHERE suspense = 1 AND key = $1 AND rating_group = $2",
        )
        .bind(key)
        .bind(record.rating_group)
        .bind(record.outcome.as_str())
        .bind(record.line.as_ref().map(|l| l.as_str().to_owned()))
        .bind(record.account.as_ref().map(|a| a.as_str().to_owned()))
        .bind(record.tariff_version)
        .bind(record.detail.clone());
        self.run(update).await?;
        let source = record.key.source().as_str().to_owned();
        self.recount(Moves::from([([cycle, source, before, record.outcome.as_str().to_owned()], 1)])).await
    }

    /// What is open in suspense under the keys of records that are counted now was recycled.
    pub(super) async fn recycle_counted(&mut self, charged: &[&UsageRecord]) -> Applied {
        let open = statement(
            "SELECT EXISTS (SELECT 1 FROM usage_records
             WHERE suspense = 1 AND outcome <> 'recycled' AND outcome <> 'dropped') AS any_open",
        );
        if charged.is_empty() || !open.fetch_one(&mut *self.connection).await?.try_get::<bool, _>("any_open")? {
            return Ok(());
        }
        let mut moves = Moves::new();
        for chunk in charged.chunks(CHUNK) {
            let wanted = vec!["(?,?)"; chunk.len()].join(",");
            let sql = format!(
                "WITH wanted (k, g) AS (VALUES {wanted})
                 UPDATE usage_records SET reason = outcome, outcome = 'recycled' WHERE sequence IN (
                     SELECT u.sequence FROM wanted CROSS JOIN usage_records u ON u.key = k AND u.rating_group = g
                     WHERE u.suspense = 1 AND u.outcome <> 'recycled' AND u.outcome <> 'dropped')
                 RETURNING COALESCE(cycle, '') AS cycle, source, reason"
            );
            let mut recycle: Statement = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
            for record in chunk {
                recycle = recycle.bind(record.key.to_string()).bind(record.rating_group);
            }
            for row in recycle.fetch_all(&mut *self.connection).await? {
                let key =
                    [row.try_get("cycle")?, row.try_get("source")?, row.try_get("reason")?, "recycled".to_owned()];
                *moves.entry(key).or_default() += 1;
            }
        }
        self.recount(moves).await
    }

    pub(super) async fn suspense_note(&mut self, note: &SuspenseNote) -> Applied {
        let (to, expected) = match note.verb {
            SuspenseVerb::Recycled => (None, None),
            SuspenseVerb::CountedBefore(reason) => (Some("recycled"), Some(reason)),
            SuspenseVerb::Dropped(reason) => (Some("dropped"), Some(reason)),
        };
        let key = note.key.to_string();
        if let Some((to, expected)) = to.zip(expected) {
            let settle = statement(
                "UPDATE usage_records SET reason = outcome, outcome = $4
                 WHERE suspense = 1 AND key = $1 AND rating_group = $2 AND outcome = $3
                 RETURNING COALESCE(cycle, '') AS cycle",
            );
            let settle = settle.bind(key.clone()).bind(note.rating_group).bind(expected.as_str()).bind(to);
            let Some(row) = settle.fetch_optional(&mut *self.connection).await? else {
                return Err(Refused::Conflict(format!("usage {key}/{}", note.rating_group)));
            };
            let source = note.key.source().as_str().to_owned();
            let moved = [row.try_get("cycle")?, source, expected.as_str().to_owned(), to.to_owned()];
            self.recount(Moves::from([(moved, 1)])).await?;
        }
        let insert = statement(
            "INSERT INTO suspense_log (key, rating_group, place, at, operator, verb, note)
             SELECT $1, $2, COALESCE(MAX(place), 0) + 1, $3, $4, $5, $6 FROM suspense_log
             WHERE key = $1 AND rating_group = $2",
        );
        let insert = insert.bind(key).bind(note.rating_group).bind(note.at.millis());
        self.run(insert.bind(note.by.clone()).bind(note.verb.as_str()).bind(note.note.clone())).await
    }

    async fn recount(&mut self, moves: Moves) -> Applied {
        for ([cycle, source, before, after], records) in moves {
            for (outcome, change) in [(before, -signed(records)), (after, signed(records))] {
                let upsert = statement(
                    "INSERT INTO usage_counts (cycle, source, outcome, records) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (cycle, source, outcome) DO UPDATE SET records = records + excluded.records",
                );
                self.run(upsert.bind(cycle.clone()).bind(source.clone()).bind(outcome).bind(change)).await?;
            }
        }
        Ok(())
    }
}
