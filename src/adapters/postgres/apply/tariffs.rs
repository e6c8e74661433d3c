//! Versions of the tariff.
//!
//! The revision is the guard: versions depend on each other, so of two changes that
//! were decided on one state of them the second is refused.

use super::{Applied, Apply};
use crate::adapters::columns::{json, signed};
use crate::adapters::postgres::row::statement;
use crate::ports::relational::TariffChange;

impl Apply<'_> {
    pub(super) async fn tariff(&mut self, revision: u64, change: &TariffChange) -> Applied {
        let raise = statement("UPDATE tariff_revision SET revision = revision + 1 WHERE revision = $1");
        self.guarded(raise.bind(signed(revision)), "tariff versions at revision", &revision.to_string()).await?;
        let change = match change {
            TariffChange::Put(tariff) => {
                let upsert = statement(
                    "INSERT INTO tariffs (version, body) VALUES ($1, $2)
                     ON CONFLICT (version) DO UPDATE SET body = excluded.body",
                );
                upsert.bind(i64::from(tariff.version)).bind(json(tariff)?)
            }
            TariffChange::Withdraw(version) => {
                statement("DELETE FROM tariffs WHERE version = $1").bind(i64::from(*version))
            }
        };
        self.run(change).await
    }
}
