//! Reads of devices.

use async_trait::async_trait;

use super::SqliteStore;
use super::read_orders::list_and_count;
use super::row::{body, statement};
use crate::adapters::columns::json;
use crate::domain::device::Device;
use crate::domain::ids::{CertificateName, DeviceId};
use crate::ports::relational::{DeviceReads, Page, Paged, Stored};

impl SqliteStore {
    /// The devices whose column is one of `keys`. A JSON array keeps it one prepared
    /// statement, however many are asked for.
    async fn devices_among(&self, sql: &'static str, keys: Vec<&str>) -> Stored<Vec<Device>> {
        const OPERATION: &str = "read devices";
        let keys = json(&keys).map_err(|e| self.faults.explain(OPERATION, &e))?;
        self.all(OPERATION, statement(sql).bind(keys), body).await
    }
}

#[async_trait]
impl DeviceReads for SqliteStore {
    async fn devices(&self, ids: &[DeviceId]) -> Stored<Vec<Device>> {
        let sql = "SELECT body FROM devices WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id";
        self.devices_among(sql, ids.iter().map(DeviceId::as_str).collect()).await
    }

    async fn devices_of_certificates(&self, names: &[CertificateName]) -> Stored<Vec<Device>> {
        let sql = "SELECT body FROM devices WHERE certificate_name IN (SELECT value FROM json_each($1)) ORDER BY id";
        self.devices_among(sql, names.iter().map(CertificateName::as_str).collect()).await
    }

    async fn device_list(&self, page: Page) -> Stored<Paged<Device>> {
        let [mut list, total] = list_and_count("body", "devices");
        list.push(" ORDER BY id");
        self.paged("list devices", list, total, page, body).await
    }
}
