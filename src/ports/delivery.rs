//! Sending what the outbox holds: webhooks, SMS, mail.
//!
//! Guarantee: `Ok` means that the other side took responsibility for the
//! message. Anything else may or may not have arrived; the message is sent
//! again under the same id.

use async_trait::async_trait;

/// A message that did not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Worth another try: no connection, time-out, 5xx, SMTP 4yz.
    #[error("{reason}")]
    Transient {
        /// What happened.
        reason: String,
    },
    /// Will not get better by itself: 4xx, SMTP 5yz, a forbidden address.
    #[error("{reason}")]
    Permanent {
        /// What happened.
        reason: String,
    },
}

/// One SMS to an HTTP gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sms {
    /// Stable id; the gateway may drop a repeat by it.
    pub id: String,
    /// E.164 without `+`.
    pub to: String,
    /// The text.
    pub text: String,
}

/// One mail with attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Stable Message-ID without angle brackets: `<id>@<our domain>`.
    pub message_id: String,
    /// Recipient address.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// File name, media type, content.
    pub attachments: Vec<(String, &'static str, Vec<u8>)>,
}

/// One webhook call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Stable id, header `webhook-id`.
    pub id: String,
    /// Where to.
    pub callback: String,
    /// The listener's secret.
    pub secret: String,
    /// Seconds since the epoch, header `webhook-timestamp`.
    pub timestamp_secs: i64,
    /// JSON, exactly the bytes that are signed.
    pub payload: Vec<u8>,
}

/// Sends SMS.
#[async_trait]
pub trait SmsGateway: Send + Sync + 'static {
    /// Hands one SMS over.
    async fn send(&self, sms: &Sms) -> Result<(), DeliveryError>;
}

/// Sends mail.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Hands one mail over to the relay.
    async fn send(&self, mail: &Mail) -> Result<(), DeliveryError>;
}

/// Calls `/hub` listeners.
#[async_trait]
pub trait WebhookSender: Send + Sync + 'static {
    /// Posts one signed event; success is any 2xx.
    async fn send(&self, hook: &Hook) -> Result<(), DeliveryError>;

    /// Whether a callback address may be registered under the settings.
    async fn admits(&self, callback: &str) -> Result<(), DeliveryError>;
}
