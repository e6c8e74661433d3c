//! A client's stream to a listener of the gateway: TCP, plain or in TLS.
//!
//! Owns no buffer: what is read goes through the stack, so a connection that is
//! idle costs its socket and, in TLS, its keys.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use anyhow::Context;
use bytes::Bytes;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// Octets read at once.
const READ_BYTES: usize = 8 << 10;
/// Clients on one loopback address: under its some 28,000 ports. The first so
/// many bind to none, as binding makes the system search among the ports taken,
/// which costs more than all else once there are thousands.
const CLIENTS_PER_SOURCE: u64 = 20_000;

/// TLS towards one gateway, for any number of devices.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    server_name: ServerName<'static>,
    certificates: Option<PathBuf>,
    /// For every device, where none shows a certificate.
    shared: Option<TlsClient>,
}

impl TlsSettings {
    /// Trusts the gateway by the authorities in a PEM file; its certificate must
    /// hold `server_name`, a host name or an IP address. With a folder of
    /// `certificates` each device shows `DEVICE.pem` (the certificate, then its
    /// chain) with the key in `DEVICE.key`.
    ///
    /// No session is resumed: every connection pays for a full handshake, which
    /// is what a gateway meets after it was started anew.
    ///
    /// # Errors
    /// Where a file cannot be read or holds no certificate, or the name is none.
    pub fn new(authority: &Path, server_name: &str, certificates: Option<&Path>) -> anyhow::Result<Self> {
        let reading = || format!("read authorities {}", authority.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority).with_context(reading)? {
            roots.add(certificate.with_context(reading)?).with_context(reading)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let mut settings = Self {
            provider,
            verifier: verifier.build().with_context(reading)?,
            server_name: ServerName::try_from(server_name.to_owned())
                .with_context(|| format!("server name {server_name:?}: give a host name or an IP address"))?,
            certificates: certificates.map(Path::to_owned),
            shared: None,
        };
        if settings.certificates.is_none() {
            settings.shared = Some(settings.client(None)?);
        }
        Ok(settings)
    }

    /// What one device connects with.
    ///
    /// # Errors
    /// Where its certificate or key cannot be read.
    pub fn of_device(&self, device: &str) -> anyhow::Result<TlsClient> {
        match (&self.shared, &self.certificates) {
            (Some(shared), _) => Ok(shared.clone()),
            (None, folder) => self.client(folder.as_ref().map(|folder| (folder.as_path(), device))),
        }
    }

    fn client(&self, identity: Option<(&Path, &str)>) -> anyhow::Result<TlsClient> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .with_webpki_verifier(Arc::clone(&self.verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((folder, device)) => {
                let (certificate, key) = (folder.join(format!("{device}.pem")), folder.join(format!("{device}.key")));
                let reading = || format!("read certificate {} with its key", certificate.display());
                let chain = CertificateDer::pem_file_iter(&certificate)
                    .with_context(reading)?
                    .collect::<Result<Vec<_>, _>>()
                    .with_context(reading)?;
                let key = PrivateKeyDer::from_pem_file(&key).with_context(|| format!("read key {}", key.display()))?;
                builder.with_client_auth_cert(chain, key).with_context(reading)?
            }
        };
        config.resumption = Resumption::disabled();
        Ok(TlsClient { config: Arc::new(config), server_name: self.server_name.clone() })
    }
}

/// TLS of one device.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

/// Where a connection goes and in what.
#[derive(Debug, Clone)]
pub struct Route {
    /// The listener.
    pub gateway: SocketAddr,
    /// Address to come from; `None` lets the system choose.
    pub source: Option<IpAddr>,
    /// TLS from the first byte; `None` for plain TCP.
    pub tls: Option<TlsClient>,
    /// Octets that the system keeps for a client that does not read; `None` for
    /// its own choice, which may be megabytes.
    pub receive_buffer: Option<u32>,
}

impl Route {
    /// Plain TCP from wherever the system chooses.
    pub const fn plain(gateway: SocketAddr) -> Self {
        Self { gateway, source: None, tls: None, receive_buffer: None }
    }
}

/// What a stream is made of.
trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// An open connection. Dropped, its link is gone without a word.
pub struct Stream(Box<dyn Duplex>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Stream")
    }
}

impl Stream {
    /// Connects, and shakes hands in TLS. The caller sets the time limit.
    ///
    /// # Errors
    /// What the system or TLS says.
    pub async fn connect(route: &Route) -> io::Result<Self> {
        let tcp = connect_tcp(route).await?;
        Ok(match &route.tls {
            None => Self(Box::new(tcp)),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                Self(Box::new(connector.connect(tls.server_name.clone(), tcp).await?))
            }
        })
    }

    /// What comes next, empty at the end. Safe to cancel.
    ///
    /// # Errors
    /// What the system or TLS says.
    pub async fn read(&mut self) -> io::Result<Bytes> {
        poll_fn(|context| {
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut into = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *self.0).poll_read(context, &mut into))?;
            Poll::Ready(Ok(Bytes::copy_from_slice(into.filled())))
        })
        .await
    }

    /// Writes all of it, as far as the system's buffer.
    ///
    /// # Errors
    /// What the system or TLS says.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Says that nothing more comes: close_notify in TLS, then FIN.
    ///
    /// # Errors
    /// What the system or TLS says.
    pub async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

async fn connect_tcp(route: &Route) -> io::Result<TcpStream> {
    let socket = if route.gateway.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = route.source {
        // Ports of connections that this machine closed are free to it.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    if let Some(octets) = route.receive_buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    let tcp = socket.connect(route.gateway).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// The address that client `n` comes from: on loopback the first so many choose
/// none, and the others share 127.0.0.2 and so on, because the ports of one
/// address do not last for tens of thousands.
pub fn source_of(gateway: SocketAddr, n: u64) -> Option<IpAddr> {
    let turn = n / CLIENTS_PER_SOURCE;
    if turn == 0 || !matches!(gateway.ip(), IpAddr::V4(address) if address.is_loopback()) {
        return None;
    }
    let host = u32::try_from(turn % 250 + 1).unwrap_or(1);
    Some(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 0)) + host).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_on_loopback_spread_over_addresses() {
        let check = |gateway: &str, n, expected: Option<&str>| {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(source_of(gateway.parse().unwrap(), n), expected, "{gateway} {n}");
        };
        check("127.0.0.1:1883", 0, None);
        check("127.0.0.1:1883", 19_999, None);
        check("127.0.0.1:1883", 20_000, Some("127.0.0.2"));
        check("127.0.0.1:1883", 39_999, Some("127.0.0.2"));
        check("127.0.0.1:1883", 40_000, Some("127.0.0.3"));
        check("192.0.2.1:1883", 40_000, None);
        check("[::1]:1883", 40_000, None);
    }

    #[test]
    fn settings_that_cannot_be_read_are_named() {
        let refused = TlsSettings::new(Path::new("/no/such.pem"), "localhost", None).unwrap_err();
        assert!(format!("{refused:#}").contains("/no/such.pem"));
    }
}
