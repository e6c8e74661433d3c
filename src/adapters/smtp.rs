//! Mail through an SMTP relay (RFC 5321), with a stable Message-ID.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde::Deserialize;

use super::sms::ClientError;
use crate::ports::delivery::{DeliveryError, Mail, Mailer};

/// How the connection to the relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Not at all: a relay on the same host.
    Plain,
    /// STARTTLS, and no mail without it (RFC 3207).
    Starttls,
    /// TLS from the first octet (RFC 8314).
    Tls,
}

/// Section `[smtp]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpSettings {
    /// Relay; empty sends no mail: it is dead in the outbox, and replayable.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `plain`, `starttls` or `tls`.
    pub tls: SmtpTls,
    /// User; empty logs in nowhere.
    pub username: String,
    /// Password.
    pub password: String,
    /// Sender: `Name <mailbox>` or a mailbox.
    pub from: String,
    /// Time for one SMTP command, milliseconds.
    pub timeout_ms: u64,
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            tls: SmtpTls::Starttls,
            username: String::new(),
            password: String::new(),
            from: "Linegate <billing@linegate.example>".to_owned(),
            timeout_ms: 30_000,
        }
    }
}

/// The adapter.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMailer {
    /// Checks sender and host; connects when there is mail.
    pub fn new(settings: &SmtpSettings) -> Result<Self, ClientError> {
        let fault = |source: Box<dyn std::error::Error + Send + Sync>| ClientError { what: "smtp", source };
        let from = settings.from.parse().map_err(|e: lettre::address::AddressError| fault(Box::new(e)))?;
        let parameters = || TlsParameters::new(settings.host.clone()).map_err(|e| fault(Box::new(e)));
        let tls = match settings.tls {
            SmtpTls::Plain => Tls::None,
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::Tls => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(Duration::from_millis(settings.timeout_ms)));
        if !settings.username.is_empty() {
            builder = builder.credentials(Credentials::new(settings.username.clone(), settings.password.clone()));
        }
        Ok(Self { transport: builder.build(), from })
    }

    fn compose(&self, mail: &Mail) -> Result<Message, DeliveryError> {
        let bad = |what: &str, e: &dyn std::fmt::Display| DeliveryError::Permanent {
            reason: format!("compose mail: {what}: {e}"),
        };
        let to: Mailbox = mail.to.parse().map_err(|e| bad("recipient", &e))?;
        let mut parts = MultiPart::mixed().singlepart(SinglePart::plain(mail.text.clone()));
        for (name, media_type, content) in &mail.attachments {
            let media_type = ContentType::parse(media_type).map_err(|e| bad("media type", &e))?;
            // Base64 whatever it holds: a relay may change the line ends of text.
            let encoded = Body::new_with_encoding(content.clone(), ContentTransferEncoding::Base64)
                .map_err(|_| bad("attachment", name))?;
            parts = parts.singlepart(Attachment::new(name.clone()).body(encoded, media_type));
        }
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject.clone())
            .message_id(Some(format!("<{}>", mail.message_id)))
            .multipart(parts)
            .map_err(|e| bad("message", &e))
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> Result<(), DeliveryError> {
        let message = self.compose(mail)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(e) if e.is_permanent() => Err(DeliveryError::Permanent { reason: format!("send mail: {e}") }),
            Err(e) => Err(DeliveryError::Transient { reason: format!("send mail: {e}") }),
        }
    }
}
