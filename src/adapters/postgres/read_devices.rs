//! Reads of devices.

use async_trait::async_trait;

use super::PostgresStore;
use super::read_orders::list_and_count;
use super::row::{body, statement, texts};
use crate::domain::device::Device;
use crate::domain::ids::{CertificateName, DeviceId};
use crate::ports::relational::{DeviceReads, Page, Paged, Stored};

impl PostgresStore {
    /// The devices whose column is one of `keys`. An array keeps it one prepared
    /// statement, however many are asked for.
    async fn devices_among(&self, sql: &'static str, keys: Vec<String>) -> Stored<Vec<Device>> {
        self.all("read devices", statement(sql).bind(keys), body).await
    }
}

#[async_trait]
impl DeviceReads for PostgresStore {
    async fn devices(&self, ids: &[DeviceId]) -> Stored<Vec<Device>> {
        let sql = "SELECT body FROM devices WHERE id = ANY ($1) ORDER BY id";
        self.devices_among(sql, texts(ids.iter().map(DeviceId::as_str))).await
    }

    async fn devices_of_certificates(&self, names: &[CertificateName]) -> Stored<Vec<Device>> {
        let sql = "SELECT body FROM devices WHERE certificate_name = ANY ($1) ORDER BY id";
        self.devices_among(sql, texts(names.iter().map(CertificateName::as_str))).await
    }

    async fn device_list(&self, page: Page) -> Stored<Paged<Device>> {
        let [mut list, total] = list_and_count("body", "devices");
        list.push(" ORDER BY id");
        self.paged("list devices", list, total, page, body).await
    }
}
