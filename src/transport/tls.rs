//! Certificates and keys of the listeners, and who a certificate is for.
//!
//! Files are looked at again and again and read when they have changed: whatever
//! renews a certificate need not know us. A connection keeps what it began with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::telemetry::metrics;

/// `[diameter.tls]`: both sides show a certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Our certificate and the chain to its authority, PEM; empty: no TLS.
    pub certificate: PathBuf,
    /// The key of our certificate, PEM.
    pub key: PathBuf,
    /// The authorities of our peers' certificates, PEM.
    pub authorities: PathBuf,
    /// Seconds between looks whether the files have changed; 0: never.
    pub reload_s: u64,
}

/// Both sides' configuration.
#[derive(Debug, Clone)]
pub struct Tls {
    /// For connections that come in.
    pub server: Arc<ServerConfig>,
    /// For connections that we open.
    pub client: Arc<ClientConfig>,
}

impl TlsSettings {
    /// Reads certificates and key; `None` where none are set.
    ///
    /// # Errors
    /// Names the setting and the file.
    pub fn load(&self, section: &str) -> anyhow::Result<Option<Tls>> {
        if self.certificate.as_os_str().is_empty() {
            return Ok(None);
        }
        let identity = Identity::load(section, &self.certificate, &self.key)?;
        let roots = authorities(section, &self.authorities)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let server = identity.server(section, verifier)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain, identity.key)?;
        Ok(Some(Tls { server: Arc::new(server), client: Arc::new(client) }))
    }

    /// As [`TlsSettings::load`], and again when the files have changed, in `tasks`
    /// until `stop`.
    ///
    /// # Errors
    /// Names the setting and the file.
    pub fn live(
        &self,
        section: &'static str,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Option<Live<Tls>>> {
        let files = [&self.certificate, &self.key, &self.authorities].map(Clone::clone);
        let settings = self.clone();
        let watched = Watched::new(section, files, move || settings.load(section))?;
        Ok(watched.map(|watched| watched.start(self.reload_s, stop, tasks)))
    }
}

/// TLS of a listener whose clients may show a certificate, as modems do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTlsSettings {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Our certificate and the chain to its authority, PEM; empty: no TLS.
    pub certificate: PathBuf,
    /// The key of our certificate, PEM.
    pub key: PathBuf,
    /// The authorities of our clients' certificates, PEM; empty: no certificate is asked for.
    pub authorities: PathBuf,
    /// Whether a client without a certificate is refused.
    pub certificate_required: bool,
    /// Seconds between looks whether the files have changed; 0: never.
    pub reload_s: u64,
}

impl ServerTlsSettings {
    /// Reads certificates and key; `None` where none are set.
    ///
    /// # Errors
    /// Names the setting and the file.
    pub fn load(&self, section: &str) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        if self.certificate.as_os_str().is_empty() {
            return Ok(None);
        }
        let identity = Identity::load(section, &self.certificate, &self.key)?;
        let verifier = if self.authorities.as_os_str().is_empty() {
            ensure!(!self.certificate_required, "settings: {section}.certificate_required needs {section}.authorities");
            WebPkiClientVerifier::no_client_auth()
        } else {
            let roots = authorities(section, &self.authorities)?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            if self.certificate_required { verifier } else { verifier.allow_unauthenticated() }.build()?
        };
        let mut server = identity.server(section, verifier)?;
        // After an outage every modem comes back at once: a ticket saves both sides
        // the signatures, and needs no memory here.
        server.ticketer = rustls::crypto::ring::Ticketer::new()?;
        server.send_tls13_tickets = 1;
        Ok(Some(Arc::new(server)))
    }

    /// As [`ServerTlsSettings::load`], and again when the files have changed, in
    /// `tasks` until `stop`.
    ///
    /// # Errors
    /// Names the setting and the file.
    pub fn live(
        &self,
        section: &'static str,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Option<Live<Arc<ServerConfig>>>> {
        let files = [&self.certificate, &self.key, &self.authorities].map(Clone::clone);
        let settings = self.clone();
        let watched = Watched::new(section, files, move || settings.load(section))?;
        Ok(watched.map(|watched| watched.start(self.reload_s, stop, tasks)))
    }
}

/// A configuration as it was read last; cheap to clone, and its clones change with it.
#[derive(Debug)]
pub struct Live<T>(Arc<RwLock<T>>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Live<T> {
    /// For the next connection.
    pub fn current(&self) -> T {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Load<T> = Box<dyn Fn() -> anyhow::Result<Option<T>> + Send>;

/// The files of a configuration: our certificate, its key, the authorities.
struct Watched<T> {
    section: &'static str,
    files: [PathBuf; 3],
    load: Load<T>,
    /// Digest of the files as they were tried last.
    tried: [u8; 32],
    live: Live<T>,
}

impl<T: Clone + Send + Sync + 'static> Watched<T> {
    fn new(
        section: &'static str,
        files: [PathBuf; 3],
        load: impl Fn() -> anyhow::Result<Option<T>> + Send + 'static,
    ) -> anyhow::Result<Option<Self>> {
        // Before they are read: what changes in between is seen later.
        let tried = digest(&files);
        let Some(config) = load()? else { return Ok(None) };
        let live = Live(Arc::new(RwLock::new(config)));
        let watched = Self { section, files, load: Box::new(load), tried, live };
        watched.measure();
        Ok(Some(watched))
    }

    fn start(self, reload_s: u64, stop: &CancellationToken, tasks: &TaskTracker) -> Live<T> {
        let live = self.live.clone();
        if reload_s > 0 {
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(self.watch(Duration::from_secs(reload_s))).await });
        }
        live
    }

    async fn watch(mut self, pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(watched) => self = watched,
                Err(error) => return error!(%error, "look at the certificates"),
            }
        }
    }

    /// Reads the files where they have changed. Where they are no good, or half
    /// written, what is in use stays until they change again.
    fn look(&mut self) {
        let seen = digest(&self.files);
        if seen == self.tried {
            return;
        }
        self.tried = seen;
        let outcome = match (self.load)() {
            Ok(Some(config)) => {
                *self.live.0.write().unwrap_or_else(PoisonError::into_inner) = config;
                info!(listener = self.section, "certificates have changed and are in use");
                self.measure();
                "taken"
            }
            Ok(None) => return,
            Err(error) => {
                let error = format!("{error:#}");
                error!(listener = self.section, error, "certificates have changed and are no good: the former stay");
                "refused"
            }
        };
        metrics().tls_reloads.with_label_values(&[self.section, outcome]).inc();
    }

    fn measure(&self) {
        let ends = certificates(&self.files[0]).ok().and_then(|chain| chain.iter().filter_map(not_after).min());
        metrics().tls_certificate_ends.with_label_values(&[self.section]).set(ends.unwrap_or(0));
    }
}

fn digest(files: &[PathBuf; 3]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in files {
        let content = std::fs::read(file).unwrap_or_default();
        digest.update(Sha256::digest(content));
    }
    digest.finalize().into()
}

/// When a certificate ends, seconds since the epoch (RFC 5280 section 4.1.2.5).
fn not_after(certificate: &CertificateDer<'static>) -> Option<i64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let ends = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    i64::try_from(ends.as_secs()).ok()
}

/// Who we are.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn load(section: &str, certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            chain: certificates(certificate).with_context(|| format!("settings: {section}.certificate"))?,
            key: PrivateKeyDer::from_pem_file(key)
                .with_context(|| format!("settings: {section}.key: read {}", key.display()))?,
        })
    }

    fn server(&self, section: &str, verifier: Arc<dyn ClientCertVerifier>) -> anyhow::Result<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .with_context(|| format!("settings: {section}.key does not fit {section}.certificate"))
    }
}

fn authorities(section: &str, file: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let named = || format!("settings: {section}.authorities");
    let mut roots = RootCertStore::empty();
    for authority in certificates(file).with_context(named)? {
        roots.add(authority).with_context(named)?;
    }
    Ok(Arc::new(roots))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || format!("read {}", file.display());
    let found = CertificateDer::pem_file_iter(file).with_context(read)?;
    let found = found.collect::<Result<Vec<_>, _>>().with_context(read)?;
    ensure!(!found.is_empty(), "{}: holds no certificate", file.display());
    Ok(found)
}

/// Whether a certificate is for this host: one of its subjectAltName DNS names
/// matches (RFC 6733 section 13.1, RFC 6125).
pub fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else { return false };
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn renew(folder: &Path, days: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", "/CN=gateway.example", "-days", days]);
        openssl.arg("-keyout").arg(folder.join("key.pem")).arg("-out").arg(folder.join("own.pem"));
        let made = openssl.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_leaves_the_former() {
        const SECTION: &str = "test.tls";
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let settings = ServerTlsSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: folder.join("own.pem"),
            key: folder.join("key.pem"),
            authorities: folder.join("own.pem"),
            certificate_required: true,
            reload_s: 60,
        };
        renew(folder, "10");
        let files = [&settings.certificate, &settings.key, &settings.authorities].map(Clone::clone);
        let mut watched = Watched::new(SECTION, files, move || settings.load(SECTION)).unwrap().unwrap();
        let live = watched.live.clone();
        let ends = || metrics().tls_certificate_ends.with_label_values(&[SECTION]).get();
        let reloads = |outcome| metrics().tls_reloads.with_label_values(&[SECTION, outcome]).get();
        let (first, first_ends) = (live.current(), ends());

        watched.look();
        assert!(Arc::ptr_eq(&first, &live.current()), "nothing has changed");
        renew(folder, "20");
        watched.look();
        let second = live.current();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!((9 * 86_400..=11 * 86_400).contains(&(ends() - first_ends)), "{}", ends() - first_ends);

        let key = std::fs::read(folder.join("key.pem")).unwrap();
        std::fs::write(folder.join("key.pem"), "half of a k").unwrap();
        watched.look();
        watched.look();
        assert!(Arc::ptr_eq(&second, &live.current()));
        assert_eq!((reloads("taken"), reloads("refused")), (1, 1), "told once");
        std::fs::write(folder.join("key.pem"), key).unwrap();
        watched.look();
        assert_eq!((reloads("taken"), reloads("refused")), (2, 1));
    }
}
