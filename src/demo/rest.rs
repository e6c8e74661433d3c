//! The demo's own order system: a plain REST client.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Talks to the gateway as an order system would.
#[derive(Clone)]
pub struct Rest {
    base: String,
    client: Client,
}

impl Rest {
    /// A client of the gateway at `address`.
    pub fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { base: format!("http://{address}"), client })
    }

    /// GET of JSON; anything but 2xx is an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        if !(200..300).contains(&status) {
            bail!("GET {path}: {status} {body}");
        }
        Ok(body)
    }

    /// GET of a whole list, page by page.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        const PAGE: usize = 100;
        let mut all = Vec::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}offset={}&limit={PAGE}", all.len())).await?;
            let Value::Array(page) = page else { bail!("GET {path}: expected a list") };
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// POST of JSON; the status and the body.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// GET of bytes.
    pub async fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    /// POST of a file; the last line of the newline-delimited JSON that comes back.
    pub async fn upload(&self, path: &str, name: &str, content: &str) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).header("content-type", "text/csv");
        let response = request.header("x-file-name", name).body(content.to_owned()).send().await?;
        last_line(response).await
    }

    /// POST of JSON that answers with progress; its last line.
    pub async fn follow(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        last_line(self.client.post(format!("{}{path}", self.base)).json(body).send().await?).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}

async fn last_line(response: reqwest::Response) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    let last = text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("{}");
    let value: Value = serde_json::from_str(last).with_context(|| format!("read `{last}`"))?;
    if !status.is_success() {
        bail!("{status}: {value}");
    }
    Ok(value)
}

/// A service order of one item for each service.
pub fn order(external_id: &str, customer: &str, items: Vec<Value>) -> Value {
    let items: Vec<Value> = items
        .into_iter()
        .enumerate()
        .map(|(i, mut item)| {
            item["id"] = json!((i + 1).to_string());
            item
        })
        .collect();
    json!({
        "externalId": external_id,
        "relatedParty": [{ "id": customer, "role": "customer", "@referredType": "Individual" }],
        "serviceOrderItem": items,
    })
}

/// An item that adds a service with these characteristics.
pub fn add(specification: &str, characteristics: &[(&str, Value)]) -> Value {
    let characteristics: Vec<Value> =
        characteristics.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "action": "add",
        "service": {
            "state": "active",
            "serviceSpecification": { "id": specification },
            "serviceCharacteristic": characteristics,
        },
    })
}

/// An item that changes the state of an existing service.
pub fn change(action: &str, service: &str, state: &str) -> Value {
    json!({ "action": action, "service": { "id": service, "state": state } })
}
