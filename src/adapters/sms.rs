//! SMS through an HTTP gateway: `POST {"id", "to", "text"}`, any 2xx is success.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::ports::delivery::{DeliveryError, Sms, SmsGateway};

/// Section `[sms]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmsSettings {
    /// Where to post; empty sends no SMS: they are dead in the outbox, and replayable.
    pub url: String,
    /// Bearer token; empty sends none.
    pub token: String,
    /// Time for one call, milliseconds.
    pub timeout_ms: u64,
}

impl Default for SmsSettings {
    fn default() -> Self {
        Self { url: String::new(), token: String::new(), timeout_ms: 10_000 }
    }
}

/// The adapter.
pub struct HttpSmsGateway {
    client: reqwest::Client,
    settings: SmsSettings,
}

/// A client that cannot be built from its settings.
#[derive(Debug, thiserror::Error)]
#[error("build {what} client")]
pub struct ClientError {
    /// Of what.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl HttpSmsGateway {
    /// A process-wide rustls provider must be installed before.
    pub fn new(settings: SmsSettings) -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(settings.timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ClientError { what: "sms", source: Box::new(e) })?;
        Ok(Self { client, settings })
    }
}

#[async_trait]
impl SmsGateway for HttpSmsGateway {
    async fn send(&self, sms: &Sms) -> Result<(), DeliveryError> {
        let body = json!({ "id": sms.id, "to": sms.to, "text": sms.text });
        let mut request = self.client.post(&self.settings.url).json(&body);
        if !self.settings.token.is_empty() {
            request = request.bearer_auth(&self.settings.token);
        }
        let response = request
            .send()
            .await
            .map_err(|e| DeliveryError::Transient { reason: format!("post sms: {}", e.without_url()) })?;
        judge_status("post sms", response.status())
    }
}

/// 2xx is done; what asks for patience and what the other side broke is worth
/// another try; the rest will not get better.
pub(super) fn judge_status(operation: &str, status: StatusCode) -> Result<(), DeliveryError> {
    let reason = format!("{operation}: status {}", status.as_u16());
    match status {
        s if s.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(DeliveryError::Transient { reason })
        }
        s if s.is_server_error() => Err(DeliveryError::Transient { reason }),
        _ => Err(DeliveryError::Permanent { reason }),
    }
}
