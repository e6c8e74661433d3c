//! Records of suspense on their way out of it.

use std::collections::BTreeMap;

use sqlx::Row;

use super::billing::CHUNK;
use super::{Applied, Apply};
use crate::adapters::columns::{signed, unreadable};
use crate::adapters::sqlite::error::Refused;
use crate::adapters::sqlite::row::{composed, statement};
use crate::adapters::usage_rows::{JUDGE_ANEW, OPEN_CASE, Searched, stored_usage};
use crate::domain::usage::{Logged, UsageRecord};
use crate::ports::relational::{SuspenseNote, SuspenseVerb};

/// How many records moved between two outcomes, by cycle, source, former and new outcome.
type Moves = BTreeMap<[String; 4], u64>;

impl Apply<'_> {
    /// An account's judgement replaces what an open record was in suspense for.
    pub(super) async fn judge_anew(&mut self, record: &UsageRecord, part: i64) -> Applied {
        if !record.is_judged() {
            return Ok(());
        }
        let Searched { key, .. } = Searched::of(record)?;
        let find = statement(OPEN_CASE).bind(key).bind(i64::from(record.rating_group));
        let Some(row) = self.fetch_optional(find).await? else { return Ok(()) };
        let open = stored_usage(&row)?;
        let (before, after) = (open.outcome.as_str(), record.outcome.as_str());
        let cycle = open.cycle.map(|cycle| cycle.to_string()).unwrap_or_default();
        let (tariff_version, detail) = (record.tariff_version, record.detail.clone());
        let sequence = signed(open.sequence);
        let judged = UsageRecord { tariff_version, detail, ..open.record };
        let update =
            statement(JUDGE_ANEW).bind(sequence).bind(before).bind(after).bind(part).bind(judged.encode_body());
        let is_open = self.execute(update).await?.rows_affected() > 0;
        let moved = [&cycle, record.key.source().as_str(), before, after].map(str::to_owned);
        self.recount(is_open.then_some((moved, 1)).into_iter().collect()).await
    }

    /// What is open in suspense under the keys of records that are counted now was recycled.
    pub(super) async fn recycle_counted(&mut self, charged: &[&Logged<'_>]) -> Applied {
        let open = statement(
            "SELECT EXISTS (SELECT 1 FROM usage_records
             WHERE suspense AND outcome <> 'recycled' AND outcome <> 'dropped') AS any_open",
        );
        if charged.is_empty() || !self.fetch_one(open).await?.try_get::<bool, _>("any_open")? {
            return Ok(());
        }
        let mut moves = Moves::new();
        for chunk in charged.chunks(CHUNK) {
            let wanted = vec!["(?,?)"; chunk.len()].join(",");
            let sql = format!(
                "WITH wanted (k, g) AS (VALUES {wanted})
                 UPDATE usage_records SET reason = outcome, outcome = 'recycled' WHERE sequence IN (
                     SELECT u.sequence FROM wanted CROSS JOIN usage_records u ON u.key = k AND u.rating_group = g
                     WHERE u.suspense AND u.outcome <> 'recycled' AND u.outcome <> 'dropped')
                 RETURNING (SELECT cycle FROM usage_parts WHERE id = part) AS cycle,
                     (SELECT source FROM usage_parts WHERE id = part) AS source, reason"
            );
            let mut recycle = composed(sql, chunk.len() == CHUNK);
            for record in chunk {
                let (key, group) = record.key().map_err(unreadable)?;
                recycle = recycle.bind(key.to_string()).bind(group);
            }
            for row in self.fetch_all(recycle).await? {
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
                 WHERE suspense AND key = $1 AND rating_group = $2 AND outcome = $3
                 RETURNING (SELECT cycle FROM usage_parts WHERE id = part) AS cycle",
            );
            let settle = settle.bind(key.clone()).bind(note.rating_group).bind(expected.as_str()).bind(to);
            let Some(row) = self.fetch_optional(settle).await? else {
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
