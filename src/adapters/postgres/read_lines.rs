//! Reads of lines.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::read_orders::{list_and_count, narrow};
use super::row::{body, statement, text, texts};
use crate::adapters::columns::{from_json, signed};
use crate::domain::ids::{AccountId, DeviceId, LineId};
use crate::domain::line::{DeviceLine, Line, SessionState};
use crate::ports::relational::{LineFilter, LineReads, Page, Paged, Stored};

#[async_trait]
impl LineReads for PostgresStore {
    async fn line(&self, id: &LineId) -> Stored<Option<Line>> {
        self.one_body("read line", "SELECT body FROM lines WHERE id = $1", id.as_str()).await
    }

    async fn lines_of_devices(&self, devices: &[DeviceId]) -> Stored<Vec<(DeviceLine, SessionState)>> {
        let sql = "SELECT DISTINCT ON (device) lines.body, line_sessions.body AS session
                   FROM lines LEFT JOIN line_sessions ON line_sessions.line = lines.id
                   WHERE device = ANY ($1)
                   ORDER BY device, (state = 'terminated'), created DESC, id DESC";
        let devices = texts(devices.iter().map(DeviceId::as_str));
        let read = |row: &PgRow| {
            let session: Option<&str> = row.try_get("session")?;
            Ok((body(row)?, session.map(from_json).transpose()?.unwrap_or_default()))
        };
        self.all("read lines of devices", statement(sql).bind(devices), read).await
    }

    async fn line_of_imsi(&self, imsi: &str) -> Stored<Option<Line>> {
        let sql = "SELECT body FROM lines WHERE imsi = $1 AND state <> 'terminated'
                   ORDER BY created DESC, id DESC LIMIT 1";
        self.one_body("read line of IMSI", sql, imsi).await
    }

    async fn lines_named(
        &self,
        imsi: Option<&str>,
        msisdn: Option<&str>,
        device: Option<&DeviceId>,
    ) -> Stored<Vec<Line>> {
        let lines = statement("SELECT body FROM lines WHERE imsi = $1 OR msisdn = $2 OR device = $3 ORDER BY id");
        let query = lines.bind(imsi.map(text)).bind(msisdn.map(text)).bind(device.map(|d| text(d.as_str())));
        self.all("read lines of identifiers", query, body).await
    }

    async fn lines(&self, filter: &LineFilter, page: Page) -> Stored<Paged<Line>> {
        let mut queries = list_and_count("body", "lines");
        narrow(&mut queries, "state = ", filter.state.map(|s| s.as_str()));
        narrow(&mut queries, "customer = ", filter.customer.as_ref().map(|c| text(c.as_str())));
        narrow(&mut queries, "account = ", filter.account.as_ref().map(|a| text(a.as_str())));
        narrow(&mut queries, "imsi = ", filter.imsi.as_deref().map(text));
        narrow(&mut queries, "msisdn = ", filter.msisdn.as_deref().map(text));
        narrow(&mut queries, "device = ", filter.device.as_ref().map(|d| text(d.as_str())));
        let [mut list, total] = queries;
        list.push(" ORDER BY id");
        self.paged("list lines", list, total, page, body).await
    }

    async fn lines_by_account(&self, after: Option<&AccountId>, limit: u64) -> Stored<Vec<Line>> {
        const OPERATION: &str = "read lines by account";
        let after = after.map_or(String::new(), |a| a.to_string());
        // The account of the last line inside the limit is read to its end.
        let last = statement(
            "SELECT account FROM
                 (SELECT account FROM lines WHERE account > $1 ORDER BY account, id LIMIT $2) AS first_lines
             ORDER BY account DESC LIMIT 1",
        )
        .bind(text(&after))
        .bind(signed(limit.max(1)));
        let last = self.one(OPERATION, last, |row| row.try_get::<String, _>("account")).await?;
        let Some(last) = last else { return Ok(Vec::new()) };
        let lines = statement("SELECT body FROM lines WHERE account > $1 AND account <= $2 ORDER BY account, id");
        self.all(OPERATION, lines.bind(text(&after)).bind(last), body).await
    }

    async fn session(&self, id: &LineId) -> Stored<SessionState> {
        let found = self.one_body("read session", "SELECT body FROM line_sessions WHERE line = $1", id.as_str());
        Ok(found.await?.unwrap_or_default())
    }

    async fn sessions(&self, ids: &[LineId]) -> Stored<Vec<(LineId, SessionState)>> {
        let sql = "SELECT line, body FROM line_sessions WHERE line = ANY ($1)";
        let read = |row: &PgRow| Ok((LineId::new(row.try_get::<String, _>("line")?), body(row)?));
        self.all("read sessions", statement(sql).bind(texts(ids.iter().map(LineId::as_str))), read).await
    }

    async fn devices_behind(&self, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        let sql = "SELECT DISTINCT device FROM lines LEFT JOIN line_sessions ON line_sessions.line = lines.id
                   WHERE device > $1 AND state <> 'terminated'
                     AND (lines.body::json ->> 'desired_version')::numeric
                         > COALESCE((line_sessions.body::json ->> 'modem_version')::numeric, 0)
                   ORDER BY device LIMIT $2";
        let after = after.map_or(String::new(), ToString::to_string);
        let query = statement(sql).bind(text(&after)).bind(signed(limit));
        self.all("read modems behind", query, |row| Ok(DeviceId::new(row.try_get::<String, _>("device")?))).await
    }

    async fn devices_online(&self, gateway: &str, after: Option<&DeviceId>, limit: u64) -> Stored<Vec<DeviceId>> {
        let sql = "SELECT DISTINCT device FROM line_sessions JOIN lines ON lines.id = line_sessions.line
                   WHERE device > $1 AND gateway = $2
                   ORDER BY device LIMIT $3";
        let after = after.map_or(String::new(), ToString::to_string);
        let query = statement(sql).bind(text(&after)).bind(text(gateway)).bind(signed(limit));
        self.all("read modems online", query, |row| Ok(DeviceId::new(row.try_get::<String, _>("device")?))).await
    }
}
