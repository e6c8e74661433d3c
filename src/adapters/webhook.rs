//! Signed webhooks (Standard Webhooks: `webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,<base64 of HMAC-SHA256 over id.timestamp.payload>`).
//!
//! A callback may not lead into our own network: the client's resolver gives
//! out checked addresses only, so what was checked is what is connected to,
//! and a second answer of the name server changes nothing. Redirects and
//! proxies are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;
use sha2::Sha256;

use super::sms::{ClientError, judge_status};
use crate::ports::delivery::{DeliveryError, Hook, WebhookSender};

/// Section `[webhook]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// Whether callbacks may lead to loopback, private and link-local addresses.
    pub allow_private: bool,
    /// Whether callbacks must be https.
    pub https_only: bool,
    /// Time for one call, milliseconds.
    pub timeout_ms: u64,
    /// Octets read of a response; the connection is closed past them.
    pub response_max_bytes: usize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { allow_private: false, https_only: false, timeout_ms: 10_000, response_max_bytes: 65_536 }
    }
}

/// The adapter.
pub struct HttpWebhooks {
    client: reqwest::Client,
    settings: WebhookSettings,
}

/// An address that callbacks may not lead to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` leads to {address}, which is not a public address")]
struct ForbiddenAddress {
    host: String,
    address: IpAddr,
}

impl HttpWebhooks {
    /// A process-wide rustls provider must be installed before.
    pub fn new(settings: WebhookSettings) -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(settings.timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(GuardedResolver { allow_private: settings.allow_private }))
            .build()
            .map_err(|e| ClientError { what: "webhook", source: Box::new(e) })?;
        Ok(Self { client, settings })
    }

    /// Reads a callback as far as no name has to be resolved.
    fn read(&self, callback: &str) -> Result<Url, DeliveryError> {
        let refuse = |reason: String| DeliveryError::Permanent { reason: format!("callback `{callback}`: {reason}") };
        let url = Url::parse(callback).map_err(|e| refuse(e.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if !self.settings.https_only => {}
            other => return Err(refuse(format!("scheme {other} is not allowed"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials in the address are not allowed".to_owned()));
        }
        let host = url.host_str().ok_or_else(|| refuse("names no host".to_owned()))?;
        // A literal address never reaches the resolver.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && !self.settings.allow_private
            && !is_public(address)
        {
            return Err(refuse(ForbiddenAddress { host: host.to_owned(), address }.to_string()));
        }
        Ok(url)
    }
}

#[async_trait]
impl WebhookSender for HttpWebhooks {
    async fn send(&self, hook: &Hook) -> Result<(), DeliveryError> {
        let url = self.read(&hook.callback)?;
        let signature = signature(&hook.secret, &hook.id, hook.timestamp_secs, &hook.payload);
        let mut response = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &hook.id)
            .header("webhook-timestamp", hook.timestamp_secs.to_string())
            .header("webhook-signature", signature)
            .body(hook.payload.clone())
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let mut read = 0;
        // Reading to the end lets the connection be used again; what it says is not of interest.
        while read <= self.settings.response_max_bytes {
            match response.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) | Err(_) => break,
            }
        }
        judge_status("post webhook", status)
    }

    async fn admits(&self, callback: &str) -> Result<(), DeliveryError> {
        let url = self.read(callback)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(()) };
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        match resolve(host, port, self.settings.allow_private).await {
            Ok(_) => Ok(()),
            Err(ResolveError::Forbidden(e)) => Err(DeliveryError::Permanent { reason: format!("callback: {e}") }),
            Err(ResolveError::NoAnswer(e)) => {
                Err(DeliveryError::Transient { reason: format!("callback: resolve `{host}`: {e}") })
            }
        }
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.payload`. A secret
/// that begins with `whsec_` is base64 of the key, any other is the key itself.
pub fn signature(secret: &str, id: &str, timestamp_secs: i64, payload: &[u8]) -> String {
    let key = secret
        .strip_prefix("whsec_")
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .unwrap_or_else(|| secret.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp_secs}.").as_bytes());
    mac.update(payload);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

struct GuardedResolver {
    allow_private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            // Port 0 is replaced by the URL's own.
            let addresses = resolve(name.as_str(), 0, allow_private).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum ResolveError {
    #[error(transparent)]
    Forbidden(ForbiddenAddress),
    #[error(transparent)]
    NoAnswer(std::io::Error),
}

/// Every address of a name, or none where one of them is not public.
async fn resolve(host: &str, port: u16, allow_private: bool) -> Result<Vec<SocketAddr>, ResolveError> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(ResolveError::NoAnswer)?;
    let addresses: Vec<SocketAddr> = found.collect();
    match addresses.iter().find(|a| !allow_private && !is_public(a.ip())) {
        Some(bad) => Err(ResolveError::Forbidden(ForbiddenAddress { host: host.to_owned(), address: bad.ip() })),
        None => Ok(addresses),
    }
}

/// Whether an address is outside every special-purpose block (RFC 6890 and its registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match s {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Documentation and Teredo.
        [0x2001, 0xdb8, ..] | [0x2001, 0, ..] => false,
        // Everything else that is public is global unicast, 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// A forbidden address never becomes allowed by waiting; anything else may.
fn failed(e: reqwest::Error) -> DeliveryError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&e);
    while let Some(error) = cause {
        if let Some(ResolveError::Forbidden(forbidden)) = error.downcast_ref::<ResolveError>() {
            return DeliveryError::Permanent { reason: format!("post webhook: {forbidden}") };
        }
        cause = error.source();
    }
    let kind = if e.is_timeout() { "timed out" } else { "no connection" };
    let mut deepest: &dyn std::error::Error = &e;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    DeliveryError::Transient { reason: format!("post webhook: {kind}: {deepest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_let_through() {
        let table = [
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("8.8.8.8", true),
            ("172.32.0.1", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("2002:7f00:1::", false),
            ("2606:4700::1111", true),
            ("ff02::1", false),
        ];
        for (address, expected) in table {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_signature_is_the_one_of_standard_webhooks() {
        // The example of the Standard Webhooks reference libraries.
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
