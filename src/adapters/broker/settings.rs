//! `[broker]`: where the broker is, and how much may wait.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::Url;
use rumqttc::v5::MqttOptions;
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

/// `[broker]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSettings {
    /// `mqtt://host:port` or `mqtts://host:port`; empty: no broker.
    pub url: String,
    /// User name, where the broker asks for one; empty: none.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The stable name of this gateway, part of its client ids; empty takes
    /// `diameter.origin_host`.
    pub replica: String,
    /// The name that gateways share their subscriptions under.
    pub group: String,
    /// Keep alive, seconds, at least 5.
    pub keep_alive_s: u16,
    /// How long TCP, TLS and CONNACK may take together, seconds.
    pub connect_timeout_s: u16,
    /// How long the broker keeps a session without its connection, seconds.
    pub session_expiry_s: u32,
    /// Messages that may be unacknowledged; said as Receive Maximum.
    pub receive_max: u16,
    /// Largest packet that is taken, bytes; said as Maximum Packet Size.
    pub packet_bytes_max: u32,
    /// Payload bytes of one connection that may wait for their commit.
    pub unacknowledged_bytes_max: usize,
    /// Desired states and receipts that may wait to be sent, each.
    pub outgoing_max: usize,
    /// Messages sent that may wait for the broker's PUBACK.
    pub outgoing_inflight_max: u16,
    /// Receipts for one usage message at most, one for each boot in it; the modem
    /// sends the records of the others again.
    pub receipts_per_message_max: usize,
    /// Seconds after which a receipt that was not fetched lapses.
    pub receipt_expiry_s: u32,
    /// The first pause before another connection, milliseconds; it doubles.
    pub reconnect_min_ms: u64,
    /// The longest pause, milliseconds.
    pub reconnect_max_ms: u64,
    /// TLS, for `mqtts://`.
    pub tls: BrokerTlsSettings,
}

/// `[broker.tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerTlsSettings {
    /// The authorities of the broker's certificate, PEM.
    pub authorities: PathBuf,
    /// Our certificate with its chain, PEM; empty: none is shown.
    pub certificate: PathBuf,
    /// The key of our certificate, PEM.
    pub key: PathBuf,
}

impl BrokerSettings {
    /// Whether a broker is named.
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// Checks every value, and reads what they name.
    ///
    /// # Errors
    /// Names the setting and what to do.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.is_set() {
            self.options("check")?;
        }
        Ok(())
    }

    /// What a client connects with; the role is the end of its client id.
    pub(super) fn options(&self, client_id: &str) -> anyhow::Result<MqttOptions> {
        self.check_limits()?;
        let (host, port, tls) = self.address()?;
        let mut options = MqttOptions::new(client_id, host, port);
        if tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(self.tls.load()?)));
        }
        if !self.user.is_empty() {
            options.set_credentials(&self.user, &self.password);
        }
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options
            .set_network_options(network)
            .set_keep_alive(Duration::from_secs(self.keep_alive_s.into()))
            .set_connection_timeout(self.connect_timeout_s.into())
            .set_clean_start(false)
            .set_session_expiry_interval(Some(self.session_expiry_s))
            .set_receive_maximum(Some(self.receive_max))
            .set_max_packet_size(Some(self.packet_bytes_max))
            .set_outgoing_inflight_upper_limit(self.outgoing_inflight_max)
            .set_manual_acks(true);
        Ok(options)
    }

    fn check_limits(&self) -> anyhow::Result<()> {
        let name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        ensure!(name(&self.replica), "settings: broker.replica: `{}`: use letters, digits and . _ -", self.replica);
        ensure!(
            name(&self.group) && !self.group.is_empty(),
            "settings: broker.group: `{}`: use letters, digits and . _ -",
            self.group
        );
        ensure!(self.keep_alive_s >= 5, "settings: broker.keep_alive_s: must be at least 5");
        let positive = [
            ("connect_timeout_s", u64::from(self.connect_timeout_s)),
            ("receive_max", self.receive_max.into()),
            ("outgoing_max", self.outgoing_max as u64),
            ("outgoing_inflight_max", self.outgoing_inflight_max.into()),
            ("receipts_per_message_max", self.receipts_per_message_max as u64),
            ("receipt_expiry_s", self.receipt_expiry_s.into()),
            ("reconnect_min_ms", self.reconnect_min_ms),
        ];
        for (key, value) in positive {
            ensure!(value > 0, "settings: broker.{key}: must be at least 1");
        }
        ensure!(
            self.reconnect_max_ms >= self.reconnect_min_ms,
            "settings: broker.reconnect_max_ms: must be at least broker.reconnect_min_ms"
        );
        // Else a broker that keeps to Receive Maximum could pass the limit.
        let window = u64::from(self.receive_max) * u64::from(self.packet_bytes_max);
        ensure!(
            self.unacknowledged_bytes_max as u64 >= window,
            "settings: broker.unacknowledged_bytes_max: must be at least receive_max × packet_bytes_max, {window}"
        );
        Ok(())
    }

    /// Host, port, and whether TLS is asked for.
    fn address(&self) -> anyhow::Result<(String, u16, bool)> {
        let key = || format!("settings: broker.url: `{}`", self.url);
        let url = Url::parse(&self.url).with_context(key)?;
        let (tls, port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => bail!("{}: expected mqtt://host:port or mqtts://host:port", key()),
        };
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "settings: broker.url: credentials belong in broker.user and broker.password"
        );
        ensure!(matches!(url.path(), "" | "/") && url.query().is_none(), "{}: has more than host and port", key());
        let host = url.host_str().filter(|host| !host.is_empty()).with_context(|| format!("{}: no host", key()))?;
        ensure!(!tls || !host.starts_with('['), "{}: name the host: its certificate is for a name", key());
        Ok((host.to_owned(), url.port().unwrap_or(port), tls))
    }
}

impl BrokerTlsSettings {
    fn load(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let key = "settings: broker.tls.authorities";
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authorities).context(key)? {
            roots.add(authority).context(key)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        if self.certificate.as_os_str().is_empty() {
            return Ok(Arc::new(config.with_no_client_auth()));
        }
        let chain = certificates(&self.certificate).context("settings: broker.tls.certificate")?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("settings: broker.tls.key: read {}", self.key.display()))?;
        let config = config.with_client_auth_cert(chain, key);
        Ok(Arc::new(config.context("settings: broker.tls.key does not fit broker.tls.certificate")?))
    }
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || format!("read {}", file.display());
    let found = CertificateDer::pem_file_iter(file).with_context(read)?;
    let found = found.collect::<Result<Vec<_>, _>>().with_context(read)?;
    ensure!(!found.is_empty(), "{}: holds no certificate", file.display());
    Ok(found)
}
