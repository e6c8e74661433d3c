//! Certificates and keys of the listeners, and who a certificate is for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
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
        let chain = certificates(&self.certificate).with_context(|| format!("settings: {section}.certificate"))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("settings: {section}.key: read {}", self.key.display()))?;
        let mut roots = RootCertStore::empty();
        let authorities =
            certificates(&self.authorities).with_context(|| format!("settings: {section}.authorities"))?;
        for authority in authorities {
            roots.add(authority).with_context(|| format!("settings: {section}.authorities"))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .with_context(|| format!("settings: {section}.key does not fit {section}.certificate"))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Some(Tls { server: Arc::new(server), client: Arc::new(client) }))
    }
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
