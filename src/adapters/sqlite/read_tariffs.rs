//! Reads of tariff versions.

use async_trait::async_trait;

use super::SqliteStore;
use super::row::{body, count, statement};
use crate::ports::relational::{Stored, StoredTariffs, TariffReads};

#[async_trait]
impl TariffReads for SqliteStore {
    async fn tariff_revision(&self) -> Stored<u64> {
        let query = statement("SELECT revision FROM tariff_revision");
        let revision = self.one("read tariff revision", query, |row| count(row, "revision")).await?;
        Ok(revision.unwrap_or(0))
    }

    async fn tariffs(&self) -> Stored<StoredTariffs> {
        // Versions read after it may be newer: a change of them is then refused.
        let revision = self.tariff_revision().await?;
        let query = statement("SELECT body FROM tariffs ORDER BY version");
        Ok(StoredTariffs { revision, versions: self.all("read tariffs", query, body).await? })
    }
}
