//! Commands that work beside a running gateway: they call it over HTTP, and
//! start one of their own on the same stores, without listeners for elements
//! and modems, only when none runs. `decode` needs no gateway at all.

mod decode;
mod explain;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

pub use decode::decode;
pub use explain::explain;

use crate::app::{self, Gateway, Mode};
use crate::config::Config;

/// A gateway to talk to: one that runs, or our own.
struct Reached {
    base: String,
    token: Option<String>,
    client: Client,
    own: Option<Gateway>,
}

impl Reached {
    async fn new(config: Config) -> anyhow::Result<Self> {
        app::install_tls();
        let token = config.http.tokens.first().cloned();
        let (address, own) = match app::running_at(&config)? {
            Some(address) => (address, None),
            None => {
                let own = Gateway::start(config, Mode::Stores).await?;
                (own.http, Some(own))
            }
        };
        Ok(Self { base: format!("http://{address}/linegate/v1"), token, client: Client::new(), own })
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.authorized(self.client.post(format!("{}/{path}", self.base)))
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<RequestBuilder> {
        let url = reqwest::Url::parse_with_params(&format!("{}/{path}", self.base), query)?;
        Ok(self.authorized(self.client.get(url)))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn leave(self, code: ExitCode) -> anyhow::Result<ExitCode> {
        if let Some(own) = self.own {
            own.shutdown().await?;
        }
        Ok(code)
    }
}

/// `linegate close-month`
pub async fn close_month(config: Config, cycle: &str, dry_run: bool, early: bool) -> anyhow::Result<ExitCode> {
    let reached = Reached::new(config).await?;
    let body = serde_json::json!({ "cycle": cycle, "dryRun": dry_run, "early": early });
    let response = reached.post("monthClose").json(&body).send().await.context("ask for the month close")?;
    let code = follow(response).await?;
    reached.leave(code).await
}

/// `linegate import-lines`
pub async fn import_lines(config: Config, file: &Path) -> anyhow::Result<ExitCode> {
    let reached = Reached::new(config).await?;
    let response = upload(reached.post("lines/import"), file).await?;
    let code = follow(response).await?;
    reached.leave(code).await
}

/// `linegate import-usage`
pub async fn import_usage(config: Config, files: &[std::path::PathBuf]) -> anyhow::Result<ExitCode> {
    let reached = Reached::new(config).await?;
    let mut worst = ExitCode::SUCCESS;
    for file in files {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or("usage.csv");
        println!("{}", file.display());
        let response = upload(reached.post("usageFiles").header("x-file-name", name), file).await?;
        let code = follow(response).await?;
        if code != ExitCode::SUCCESS {
            worst = code;
        }
    }
    reached.leave(worst).await
}

async fn upload(request: RequestBuilder, file: &Path) -> anyhow::Result<Response> {
    let opened = tokio::fs::File::open(file).await.with_context(|| format!("open {}", file.display()))?;
    let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(opened));
    request
        .header("content-type", "text/csv")
        .body(body)
        .send()
        .await
        .with_context(|| format!("hand over {}", file.display()))
}

/// Prints newline-delimited JSON progress as it comes; the last object with
/// `"ok": false` or an `error` decides the exit code.
async fn follow(mut response: Response) -> anyhow::Result<ExitCode> {
    let status = response.status();
    let mut pending = Vec::new();
    let mut code = if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    while let Some(chunk) = response.chunk().await.context("read progress")? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            code = show(&line, code);
        }
    }
    if !pending.is_empty() {
        code = show(&pending, code);
    }
    if !status.is_success() && code == ExitCode::SUCCESS {
        bail!("the gateway answered {status}");
    }
    Ok(code)
}

fn show(line: &[u8], code: ExitCode) -> ExitCode {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    if text.is_empty() {
        return code;
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str::<Value>(text) else {
        println!("  {text}");
        return code;
    };
    if object.contains_key("alive") {
        return code;
    }
    let failed = object.contains_key("error") || object.contains_key("reason") && object.contains_key("status");
    if let Some(Value::Object(done)) = object.remove("done") {
        object = done;
    }
    let shown: Vec<String> = object
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key} {text}"),
            other => format!("{key} {other}"),
        })
        .collect();
    println!("  {}", shown.join(", "));
    if failed { ExitCode::FAILURE } else { code }
}
