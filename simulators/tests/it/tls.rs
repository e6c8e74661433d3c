use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use linegate_simulators::transport::{Route, Stream, TlsSettings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn openssl(folder: &Path, line: &str) {
    let out = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// An authority, and certificates of it with their keys.
fn certify(folder: &Path, names: &[&str]) {
    openssl(folder, "ecparam -name prime256v1 -genkey -noout -out ca.key");
    openssl(folder, "req -x509 -new -key ca.key -days 30 -subj /CN=authority -out ca.pem");
    for name in names {
        fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(folder, &format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        openssl(folder, &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        let sign = "x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions";
        openssl(folder, &format!("{sign} -in {name}.csr -out {name}.pem"));
    }
}

/// A server that wants certificates and says the size of the one that it was shown.
async fn serve(folder: &Path) -> std::net::SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let shown = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            let mut asked = [0; 2];
            tls.read_exact(&mut asked).await.unwrap();
            tls.write_all(&shown).await.unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    address
}

async fn ask(route: &Route) -> std::io::Result<Vec<u8>> {
    let mut stream = Stream::connect(route).await?;
    stream.write(b"hi").await?;
    let mut answer = Vec::new();
    loop {
        let read = stream.read().await?;
        if read.is_empty() {
            return Ok(answer);
        }
        answer.extend_from_slice(&read);
    }
}

#[tokio::test]
async fn each_device_shows_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certify(folder, &["server", "m-1", "m-2"]);
    let gateway = serve(folder).await;
    let settings = TlsSettings::new(&folder.join("ca.pem"), "127.0.0.1", Some(folder)).unwrap();
    for device in ["m-1", "m-2"] {
        let route = Route { tls: Some(settings.of_device(device).unwrap()), ..Route::plain(gateway) };
        let certificate = CertificateDer::from_pem_file(folder.join(format!("{device}.pem"))).unwrap();
        assert_eq!(ask(&route).await.unwrap(), certificate.to_vec());
    }
    let missing = settings.of_device("m-3").unwrap_err();
    assert!(format!("{missing:#}").contains("m-3.pem"), "{missing:#}");

    let bare = TlsSettings::new(&folder.join("ca.pem"), "127.0.0.1", None).unwrap();
    let route = Route { tls: Some(bare.of_device("m-1").unwrap()), ..Route::plain(gateway) };
    assert!(ask(&route).await.is_err(), "the server wants a certificate");

    let wrong = TlsSettings::new(&folder.join("ca.pem"), "gateway.example", Some(folder)).unwrap();
    let route = Route { tls: Some(wrong.of_device("m-1").unwrap()), ..Route::plain(gateway) };
    assert!(ask(&route).await.unwrap_err().to_string().contains("not valid for name"));
}
