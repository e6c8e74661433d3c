//! Certificates and keys of the listeners, and who a certificate is for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::Deserialize;

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
